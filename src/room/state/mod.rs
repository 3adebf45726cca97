//! The room's decisions as a pure state machine: `apply(now, Event) -> Effects`.
//!
//! Nothing in here reads a clock, touches a socket or a pipeline. Whatever the events were, some
//! things hold after each: nobody on stage is in the mix they get (unless the room's policy is the
//! common mix), every mix has a listener, everybody who can receive listens to exactly one, and
//! nothing is decoded but what is shown or may be heard.
//!
//! - `note`: what events change.
//! - `choices`: who is shown, by which topology, and what the room does without.
//! - `senders`: whom to decode, and what is asked of senders.
//! - `mixing`: which mixes there are, and who gets which.

mod choices;
mod mixing;
mod note;
mod senders;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::MediaTime;
use crate::id::{DisplayName, OutputId, ParticipantId, Source};
use crate::media::{Downlink, Kind, Layer, Layout, Quality, Tier, Topology, VideoCodec};
use crate::mix::plan::MixId;
use crate::room::budget::Budget;
use crate::room::common_codec::Abilities;
use crate::room::demand::{Demand, Demands};
use crate::room::layers::Choice;
use crate::room::mixes::{Ear, Mixes};
use crate::room::output::Wish as OutputWish;
use crate::room::speaker::Speakers;
use crate::room::stage::Stage;
use crate::room::tier::Given;
use crate::room::topology::Auto;

pub use crate::room::event::{
    Arrangement, AudioKey, Change, Effect, Event, MixPolicy, Place, Settings, VideoKey, View,
    Wanted,
};

/// Somebody who mutes keeps their own sum for this long, so that a quick unmute changes nothing
/// and the last fading samples of their own voice never come back to them.
const KEEP_OWN_SUM: Duration = Duration::from_secs(2);
/// Who stands large stays for this long, while they are on stage.
const LARGE: Duration = Duration::from_secs(2);

/// Somebody in the room.
#[derive(Debug, Clone)]
pub struct Person {
    /// Shown to the others.
    pub name: DisplayName,
    /// The name as it stands in pictures: nobody else has the same there.
    pub label: DisplayName,
    /// Only watches.
    pub view: bool,
    /// Microphone unmuted.
    pub audio: bool,
    /// Camera on.
    pub video: bool,
    portrait: bool,
    overlay: bool,
    layout: Option<Layout>,
    quality: Quality,
    /// The best that their line carries.
    line: Tier,
    /// What they get of others.
    pub downlink: Downlink,
    /// They agree to a mesh.
    pub direct: bool,
    /// Whose uplinks they take as they are.
    pub takes: BTreeSet<ParticipantId>,
    /// And how.
    taken: BTreeMap<ParticipantId, Taken>,
    /// Their picture can come in several sizes ...
    layered: bool,
    /// ... and does.
    copies: [bool; 2],
    /// They have a mix apart from the one that others share, until that has a keyframe anyway.
    apart: bool,
    /// What they were told that they get.
    told: Option<Given>,
    /// Who is not to be in their mix; of those who only watch.
    without: Option<ParticipantId>,
    /// Kept on stage.
    pub pinned: bool,
    /// The video track carries their screen.
    pub shares: bool,
    has_audio: bool,
    has_video: bool,
    live: bool,
    receives_video: Option<VideoCodec>,
    receives_audio: bool,
    able: Abilities,
    /// How loud others are to be for them, in percent of what everybody hears; without those for
    /// whom that is 100.
    pub volumes: BTreeMap<ParticipantId, u16>,
    /// Until when the own sum is kept although nothing is contributed to it.
    own_sum_until: Option<MediaTime>,
}

impl Person {
    /// Whether there are moving pictures of this, which is theirs.
    /// Gets a mix, once connected.
    fn mixed(&self) -> bool {
        self.downlink == Downlink::Mixed
    }

    /// Their line or their device does not take a stream of each of the others.
    fn is_weak(&self) -> bool {
        self.line < Tier::High || !matches!(self.quality, Quality::Auto | Quality::High)
    }

    fn shows(&self, source: Source) -> bool {
        self.live && source.share == self.shares && (self.video || self.shares)
    }

    /// Heard by the others at present.
    pub fn audible(&self) -> bool {
        self.has_audio && self.audio && !self.view
    }
}

/// How somebody takes somebody's uplink as it is.
#[derive(Debug, Clone, Default)]
struct Taken {
    /// How large it is shown, if that was said.
    lines: Option<u32>,
    /// The largest copy that the line bears.
    bears: Layer,
    choice: Option<Choice>,
    /// The copy that is to come, and the best one if the line bore all.
    order: Option<(Layer, Layer)>,
}

/// A room.
#[derive(Debug, Clone)]
pub struct State {
    settings: Settings,
    /// In the order they came: ids only ever grow.
    people: BTreeMap<ParticipantId, Person>,
    outputs: BTreeMap<OutputId, OutputWish>,
    video: Mixes<VideoKey>,
    arrangements: BTreeMap<MixId, Arrangement>,
    stage: Stage,
    /// Whom of the stage the medium tier shows, while somebody gets it.
    few: Stage,
    speakers: Speakers,
    budget: Budget,
    demands: Demands,
    /// Nobody gets a better tier.
    cap: Tier,
    /// Who stands large, since when.
    large: Option<(ParticipantId, MediaTime)>,
    /// Tracks that are decoded.
    decoding: BTreeSet<(ParticipantId, Kind)>,
    audio: Mixes<AudioKey>,
    layouts: u64,
    auto: Auto,
    topology: Topology,
    /// Somebody is muted by a host.
    enforced: bool,
    /// What uplinks are to be; none: as each sends.
    codec: Option<VideoCodec>,
}

impl State {
    /// An empty room.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            people: BTreeMap::new(),
            outputs: BTreeMap::new(),
            video: Mixes::default(),
            arrangements: BTreeMap::new(),
            stage: Stage::default(),
            few: Stage::default(),
            speakers: Speakers::default(),
            budget: Budget::default(),
            demands: Demands::default(),
            cap: Tier::High,
            large: None,
            decoding: BTreeSet::new(),
            audio: Mixes::default(),
            layouts: 0,
            auto: Auto::default(),
            topology: Topology::Mcu,
            enforced: false,
            codec: None,
        }
    }

    /// Takes an event in and says what follows from it. Events about people who are not (or no
    /// longer) here change nothing.
    pub fn apply(&mut self, now: MediaTime, event: Event) -> Vec<Effect> {
        let began = match &event {
            Event::Track { id, kind } => Some((*id, *kind)),
            _ => None,
        };
        let noted = self.note(now, event);
        let noted = match self.choose_topology(now) {
            true => Noted::People,
            false => noted,
        };
        let wishes = self.wishes();
        let staged = self.stage.follow(now, self.settings.stage_size, &wishes);
        let staged = self.choose_few(now, wishes) || staged;
        let enlarged = self.enlarge(now);
        let mut effects = self.decode(now, began);
        if noted == Noted::Sound && !staged && !enlarged && effects.is_empty() {
            // Nothing else follows from what is heard.
            return effects;
        }
        let (mut sees, hears) = (self.wanted_video(), self.wanted_audio(now));
        self.rejoin(&mut sees);
        let (video, audio) = (self.video.follow(&sees), self.audio.follow(&hears));
        let opened = video.opened.into_iter();
        effects.extend(opened.map(|(mix, key)| Effect::OpenVideo(mix, key)));
        let opened = audio.opened.into_iter();
        effects.extend(opened.map(|(mix, key)| Effect::OpenAudio(mix, key.without)));
        let moved = video.moved.into_iter();
        effects.extend(moved.map(|(ear, mix)| match ear {
            Ear::Person(who) => Effect::ListenVideo(who, mix),
            Ear::Output(id) => Effect::FeedVideo(id, mix),
        }));
        let moved = audio.moved.into_iter();
        effects.extend(moved.map(|(ear, mix)| match ear {
            Ear::Person(who) => Effect::ListenAudio(who, mix),
            Ear::Output(id) => Effect::FeedAudio(id, mix),
        }));
        effects.extend(video.closed.into_iter().map(Effect::CloseVideo));
        effects.extend(audio.closed.into_iter().map(Effect::CloseAudio));
        let (rearranged, announce) = (self.arrange(), noted == Noted::People);
        let rearranged = rearranged || matches!(noted, Noted::Volume | Noted::Rate);
        // Mute changes the sources of a sum without changing any mix.
        if rearranged || announce || !effects.is_empty() {
            effects.push(Effect::Replan);
        }
        if announce {
            effects.push(Effect::Announce);
        }
        effects.extend(self.choose_codec());
        effects.extend(self.choose_layers(now));
        effects.extend(self.tell_tiers());
        let asked = self.demands.follow(now, &self.needed()).into_iter();
        effects.extend(asked.map(|(id, demand)| Effect::Uplink(id, demand)));
        effects
    }

    /// When [`Event::Wake`] is due.
    pub fn wake_at(&self) -> Option<MediaTime> {
        let kept = self.people.iter().filter(|(id, p)| !self.is_heard(**id, p));
        let kept = kept.filter_map(|(_, p)| p.own_sum_until).min();
        let large = self.large.filter(|(id, _)| self.wants_large() != Some(*id));
        let large = large.map(|(_, since)| since.plus(LARGE));
        let staged = [self.stage.wake_at(), self.few.wake_at()];
        let auto = self.auto.wakes().filter(|_| self.is_auto());
        let taken = self.people.values().flat_map(|p| p.taken.values());
        let layers = taken.filter_map(|taken| taken.choice?.wakes()).min();
        let times = [kept, large, self.demands.wake_at(), auto, layers].into_iter();
        times.chain(staged).flatten().min()
    }

    /// Everybody, in the order they came.
    pub fn people(&self) -> &BTreeMap<ParticipantId, Person> {
        &self.people
    }

    /// The distinct pictures.
    pub fn video_mixes(&self) -> &Mixes<VideoKey> {
        &self.video
    }

    /// Which way media goes at present.
    pub fn topology(&self) -> Topology {
        self.topology
    }

    /// How a picture is arranged.
    pub fn arrangement(&self, mix: MixId) -> Option<&Arrangement> {
        self.arrangements.get(&mix)
    }

    /// The distinct sums.
    pub fn audio_mixes(&self) -> &Mixes<AudioKey> {
        &self.audio
    }

    /// What is shown.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// What somebody gets.
    pub fn given(&self, id: ParticipantId) -> Option<Given> {
        let person = self.people.get(&id)?;
        let (tiers, quality) = (&self.settings.tiers, person.quality);
        let (tier, because) = tiers.pick(quality, person.line, self.most());
        let bitrate = tiers.bitrate(tier);
        Some(Given {
            tier,
            quality,
            because,
            bitrate,
        })
    }

    /// The best that somebody would get if their line carried everything.
    pub fn best(&self, id: ParticipantId) -> Option<Tier> {
        let person = self.people.get(&id)?;
        let tiers = &self.settings.tiers;
        Some(tiers.pick(person.quality, Tier::High, self.most()).0)
    }

    /// Who speaks.
    pub fn speakers(&self) -> &Speakers {
        &self.speakers
    }

    /// Whether a track is decoded.
    pub fn decodes(&self, id: ParticipantId, kind: Kind) -> bool {
        self.decoding.contains(&(id, kind))
    }

    /// Which copies come of somebody's picture, where there can be several.
    pub fn copies(&self, id: ParticipantId) -> Option<[bool; 2]> {
        let person = self.people.get(&id)?;
        person.layered.then_some(person.copies)
    }

    /// What somebody's video was asked for last; none while they send none.
    pub fn demand(&self, id: ParticipantId) -> Option<Demand> {
        self.demands.of(id)
    }

    /// What the room is like.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether somebody may be in the sum at present.
    fn is_heard(&self, id: ParticipantId, person: &Person) -> bool {
        person.audible() && self.decodes(id, Kind::Audio)
    }
}

/// What an event was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noted {
    /// The list of people changed.
    People,
    /// Only what is heard.
    Sound,
    /// How loud somebody is for somebody.
    Volume,
    /// How many pictures there are.
    Rate,
    Other,
}
