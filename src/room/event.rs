//! What happens to a room, and what has to be done about it: the words between
//! [`State`](crate::room::state::State) and whoever carries its decisions out.

use std::collections::BTreeMap;

use crate::id::{DisplayName, OutputId, ParticipantId, Source};
use crate::media::{
    Downlink, Kind, Layer, Layout, Quality, Rect, Size, Tier, TopologyPolicy, VideoCodec,
};
use crate::mix::plan::{Level, MixId};
use crate::room::common_codec::Abilities;
use crate::room::demand::Demand;
use crate::room::output::Wish;
use crate::room::speaker::Claims;
use crate::room::tier::Tiers;

/// Who gets a mix of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MixPolicy {
    /// Everybody on stage gets a mix without themselves.
    Personal,
    /// Everybody gets the same picture.
    Common,
    /// Personal until a budget says otherwise.
    #[default]
    Auto,
}

/// What a room is like.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who gets a mix of their own.
    pub policy: MixPolicy,
    /// At most this many tiles.
    pub stage_size: usize,
    /// How mixes are arranged for who wishes nothing else.
    pub layout: Layout,
    /// Pictures a second.
    pub fps: u32,
    /// The landscape canvas; portrait is the same, turned.
    pub canvas: Size,
    /// Pixels between tiles: 0, 16 or 32.
    pub gutter: u32,
    /// At most this many voices are in the sum.
    pub audio_active: usize,
    /// How good a picture there is to be had.
    pub tiers: Tiers,
    /// Which way media goes.
    pub topology: TopologyPolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: MixPolicy::default(),
            stage_size: 9,
            layout: Layout::Grid,
            fps: 25,
            canvas: Size::new(1280, 720),
            gutter: 16,
            audio_active: 5,
            tiers: Tiers::default(),
            topology: TopologyPolicy::default(),
        }
    }
}

/// What happens to a room.
#[derive(Debug, Clone)]
pub enum Event {
    /// Somebody came in; no media yet. They wish for the room's layout and cannot overlay.
    Joined {
        /// Unique, never used before in this process.
        id: ParticipantId,
        /// Shown to the others.
        name: DisplayName,
        /// Only watches: not listed, not shown.
        view: bool,
        /// Microphone unmuted.
        audio: bool,
        /// Camera on.
        video: bool,
        /// Wants a picture that is taller than wide.
        portrait: bool,
        /// Agrees that media goes from person to person.
        direct: bool,
    },
    /// Somebody is gone, however that came about.
    Left {
        /// Who.
        id: ParticipantId,
    },
    /// The user muted or unmuted.
    Media {
        /// Who.
        id: ParticipantId,
        /// Microphone unmuted.
        audio: bool,
        /// Camera on.
        video: bool,
    },
    /// An uplink track began.
    Track {
        /// Whose.
        id: ParticipantId,
        /// Which.
        kind: Kind,
    },
    /// Decoded pictures of somebody began or ceased to come.
    Live {
        /// Whose.
        id: ParticipantId,
        /// They come.
        live: bool,
    },
    /// Somebody's downlink is connected, or was negotiated anew.
    Downlink {
        /// Whose.
        id: ParticipantId,
        /// The codec they receive; none: they take no video.
        video: Option<VideoCodec>,
        /// They take audio.
        audio: bool,
    },
    /// What somebody's client can send and receive, as it was negotiated.
    Able {
        /// Whose.
        id: ParticipantId,
        /// Codecs of video.
        codecs: Abilities,
        /// Their picture can come in all of [`Layer`].
        layered: bool,
    },
    /// Of which copies of somebody's picture something came lately, by [`Layer`].
    Copies {
        /// Whose.
        id: ParticipantId,
        /// They come.
        live: [bool; 2],
    },
    /// How large those are shown whom somebody takes as they are: lines, by whose they are. Who is
    /// absent is shown as before.
    Sizes {
        /// Who takes.
        id: ParticipantId,
        /// Lines.
        lines: BTreeMap<ParticipantId, u32>,
    },
    /// The largest copy that the line bears by which somebody takes somebody.
    TakenLine {
        /// Who takes.
        id: ParticipantId,
        /// Whom.
        from: ParticipantId,
        /// The copy.
        bears: Layer,
    },
    /// Somebody whose sound is not decoded claims to begin to speak.
    Voice {
        /// Who.
        id: ParticipantId,
    },
    /// What everybody's packets claimed since the last such event; ten times a second.
    Claims(Vec<(ParticipantId, Claims)>),
    /// How loud decoded sound is; ten times a second while that changes.
    Levels(Vec<Level>),
    /// What somebody wishes to see.
    View {
        /// Who.
        id: ParticipantId,
        /// What they wish.
        view: View,
    },
    /// The room is to be another.
    Configure(Change),
    /// How much of what the processor may do is done; 1: all of it. About once a second.
    Load(f32),
    /// The best that somebody's line carries, as far as is known.
    Line {
        /// Whose.
        id: ParticipantId,
        /// The tier.
        tier: Tier,
    },
    /// Somebody's picture is broken: their mix is about to have a keyframe.
    Keyframe {
        /// Whose.
        id: ParticipantId,
    },
    /// Nobody gets a better tier than this: the server can do no more.
    TierCap(Tier),
    /// Somebody's video track carries their screen, or their camera again.
    Share {
        /// Who.
        id: ParticipantId,
        /// Their screen.
        on: bool,
    },
    /// Somebody is to be on stage whether they speak or not, or no longer.
    Pin {
        /// Who.
        id: ParticipantId,
        /// To be on stage.
        pinned: bool,
    },
    /// Something that is nobody in the room listens from now on; none: no longer.
    Output {
        /// Unique, never used before in this process.
        id: OutputId,
        /// What it wants.
        wish: Option<Wish>,
    },
    /// Somebody takes somebody's uplink as it is, or does so no longer.
    Take {
        /// Who takes.
        id: ParticipantId,
        /// Whose.
        from: ParticipantId,
        /// They do.
        on: bool,
    },
    /// Somebody is muted by a host: what they send may not pass by the server's side.
    Enforced(bool),
    /// How loud somebody wants to hear somebody else.
    Volume {
        /// Who listens.
        id: ParticipantId,
        /// Whom.
        who: ParticipantId,
        /// 0 to 200; 100 is as everybody hears them.
        percent: u16,
    },
    /// The time that [`State::wake_at`](crate::room::state::State::wake_at) named has come.
    Wake,
}

/// What a viewer wishes; what is absent stays as it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct View {
    /// How the mix is arranged where it is theirs alone; `Some(None)`: as the room's.
    pub layout: Option<Option<Layout>>,
    /// They can lay their own picture over their own tile, so a mix that shows them is no harm.
    pub overlay: Option<bool>,
    /// A picture that is taller than wide.
    pub portrait: Option<bool>,
    /// The best tier they are to get.
    pub quality: Option<Quality>,
    /// For who only watches: a mix without this one, once there is nothing of them in another.
    pub without: Option<ParticipantId>,
    /// What they get of others.
    pub downlink: Option<Downlink>,
    /// They agree that media goes from person to person, who learn each other's addresses.
    pub direct: Option<bool>,
}

/// A picture that a listener asks for, whoever or whatever it is;
/// [`State::key`](crate::room::state::State::key) tells which mix that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// How good.
    pub tier: Tier,
    /// How it is to be encoded.
    pub codec: VideoCodec,
    /// Taller than wide, where the tier has that.
    pub portrait: bool,
    /// How it is to be arranged; none: as the room's.
    pub layout: Option<Layout>,
    /// Who is left out; none: nobody (the common mix).
    pub without: Option<ParticipantId>,
}

impl Wanted {
    /// The common mix of a tier.
    pub fn common(tier: Tier, codec: VideoCodec) -> Self {
        Self {
            tier,
            codec,
            portrait: false,
            layout: None,
            without: None,
        }
    }
}

/// A change of a room's settings; what is absent stays as it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Who gets a mix of their own.
    #[serde(default)]
    pub mix: Option<MixPolicy>,
    /// How mixes are arranged.
    #[serde(default)]
    pub layout: Option<Layout>,
    /// Tiles at most, 1 to 49.
    #[serde(default)]
    pub stage_size: Option<usize>,
    /// Newcomers wait until a host lets them in.
    #[serde(default)]
    pub waiting: Option<bool>,
    /// Which way media goes.
    #[serde(default)]
    pub topology: Option<TopologyPolicy>,
}

impl Change {
    /// The change, if there can be such a room; otherwise what is wrong.
    pub fn checked(self) -> Result<Self, &'static str> {
        match self.stage_size {
            Some(size) if !(1..=49).contains(&size) => Err("stage_size: from 1 to 49"),
            _ => Ok(self),
        }
    }
}

/// What makes two sums the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AudioKey {
    /// Whose voice is left out; none: nobody's.
    pub without: Option<ParticipantId>,
    /// To whose taste it is made: they want some louder or softer.
    pub tuned: Option<ParticipantId>,
}

/// What makes two mixes the same one: whoever's is equal shares the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VideoKey {
    /// Who is left out; none: nobody (the common mix).
    pub without: Option<ParticipantId>,
    /// How good it is: whom it shows depends on that.
    pub tier: Tier,
    /// How it is encoded.
    pub codec: VideoCodec,
    /// Size of the picture.
    pub size: Size,
    /// How it is arranged.
    pub layout: Layout,
    /// Pictures a second.
    pub fps: u32,
    /// Bit/s.
    pub bitrate: u32,
    /// Like another one, for those whose line has just changed: to begin with the others' would
    /// cost those a keyframe.
    pub apart: bool,
}

/// What has to be done about it, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Begin to decode a track of somebody (anew, if it is decoded already), or cease to.
    Decode(ParticipantId, Kind, bool),
    /// Start an encoder.
    OpenVideo(MixId, VideoKey),
    /// Start an audio encoder for the sum without this participant.
    OpenAudio(MixId, Option<ParticipantId>),
    /// Attach somebody's video listener to this mix (and to no other), or to none.
    ListenVideo(ParticipantId, Option<MixId>),
    /// Attach somebody's audio listener to this mix (and to no other), or to none.
    ListenAudio(ParticipantId, Option<MixId>),
    /// The same for an output's listener of pictures ...
    FeedVideo(OutputId, Option<MixId>),
    /// ... and of sound.
    FeedAudio(OutputId, Option<MixId>),
    /// End an encoder that nobody listens to any more.
    CloseVideo(MixId),
    /// End an audio encoder that nobody listens to any more.
    CloseAudio(MixId),
    /// Arrangements or sources changed: publish new plans.
    Replan,
    /// The list of people changed: tell everybody.
    Announce,
    /// What somebody gets has changed: tell them.
    Tier(ParticipantId),
    /// Ask somebody for so much video from now on.
    Uplink(ParticipantId, Demand),
    /// Send somebody this copy of somebody's picture from its next keyframe on.
    Layer {
        /// Who takes.
        who: ParticipantId,
        /// Whose.
        from: ParticipantId,
        /// The copy.
        layer: Layer,
        /// What it would be if the line bore all.
        best: Layer,
    },
    /// Everybody who can is to send this codec from now on; none: as they like.
    Codec(Option<VideoCodec>),
}

impl Effect {
    /// Whether there may be more, or less, to do from then on.
    pub fn costs(&self) -> bool {
        !matches!(
            self,
            Self::Replan | Self::Uplink(..) | Self::Codec(_) | Self::Layer { .. }
        )
    }
}

/// One tile of an arrangement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What.
    pub source: Source,
    /// Where.
    pub rect: Rect,
    /// Moving pictures; otherwise an avatar.
    pub live: bool,
}

/// How a mix is arranged.
#[derive(Debug, Clone, Default)]
pub struct Arrangement {
    /// Serial number of `places`, unique in the room; 0 before the first.
    pub layout: u64,
    /// Who is where, in reading order; the large one first where one is.
    pub places: Vec<Place>,
    /// The same with the places that are left empty.
    pub order: Vec<Option<Source>>,
}
