//! The room's decisions as a pure state machine: `apply(now, Event) -> Effects`.
//!
//! Nothing in here reads a clock, touches a socket or a pipeline. Whatever the events were, three
//! things hold after each: nobody on stage is in the mix they get (unless the room's policy is the
//! common mix), every mix has a listener, and everybody who can receive listens to exactly one.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::MediaTime;
use crate::id::{DisplayName, ParticipantId};
use crate::media::{Kind, Rect, Size, VideoCodec};
use crate::mix::layout;
use crate::mix::plan::MixId;
use crate::room::mixes::Mixes;
use crate::room::names;

/// Somebody who mutes keeps their own sum for this long, so that a quick unmute changes nothing
/// and the last fading samples of their own voice never come back to them.
const KEEP_OWN_SUM: Duration = Duration::from_secs(2);

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
    /// The landscape canvas; portrait is the same, turned.
    pub canvas: Size,
    /// Pixels between tiles: 0, 16 or 32.
    pub gutter: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: MixPolicy::default(),
            stage_size: 9,
            canvas: Size::new(1280, 720),
            gutter: 16,
        }
    }
}

/// What happens to a room.
#[derive(Debug, Clone)]
pub enum Event {
    /// Somebody came in; no media yet.
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
    /// The time that [`State::wake_at`] named has come.
    Wake,
}

/// What makes two mixes the same one: whoever's is equal shares the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct VideoKey {
    /// Who is left out; none: nobody (the common mix).
    pub without: Option<ParticipantId>,
    /// How it is encoded.
    pub codec: VideoCodec,
    /// Size of the picture.
    pub size: Size,
}

/// What has to be done about it, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start an encoder.
    OpenVideo(MixId, VideoKey),
    /// Start an audio encoder for the sum without this participant.
    OpenAudio(MixId, Option<ParticipantId>),
    /// Attach somebody's video listener to this mix (and to no other), or to none.
    ListenVideo(ParticipantId, Option<MixId>),
    /// Attach somebody's audio listener to this mix (and to no other), or to none.
    ListenAudio(ParticipantId, Option<MixId>),
    /// End an encoder that nobody listens to any more.
    CloseVideo(MixId),
    /// End an audio encoder that nobody listens to any more.
    CloseAudio(MixId),
    /// Arrangements or sources changed: publish new plans.
    Replan,
    /// The list of people changed: tell everybody.
    Announce,
}

/// One tile of an arrangement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whose.
    pub who: ParticipantId,
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
    /// Who is where, in reading order.
    pub places: Vec<Place>,
}

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
    has_audio: bool,
    live: bool,
    receives_video: Option<VideoCodec>,
    receives_audio: bool,
    /// Until when the own sum is kept although nothing is contributed to it.
    own_sum_until: Option<MediaTime>,
}

impl Person {
    /// Heard by the others at present.
    pub fn audible(&self) -> bool {
        self.has_audio && self.audio && !self.view
    }
}

/// A room.
#[derive(Debug)]
pub struct State {
    settings: Settings,
    /// In the order they came: ids only ever grow.
    people: BTreeMap<ParticipantId, Person>,
    video: Mixes<VideoKey>,
    arrangements: BTreeMap<MixId, Arrangement>,
    /// Keyed by whose voice is left out; `None`: nobody's.
    audio: Mixes<Option<ParticipantId>>,
    layouts: u64,
}

impl State {
    /// An empty room.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            people: BTreeMap::new(),
            video: Mixes::default(),
            arrangements: BTreeMap::new(),
            audio: Mixes::default(),
            layouts: 0,
        }
    }

    /// Takes an event in and says what follows from it. Events about people who are not (or no
    /// longer) here change nothing.
    pub fn apply(&mut self, now: MediaTime, event: Event) -> Vec<Effect> {
        let announce = self.note(now, event);
        let (stage, mut effects) = (self.stage(), Vec::new());
        let (sees, hears) = (self.wanted_video(&stage), self.wanted_audio(now));
        let (video, audio) = (self.video.follow(&sees), self.audio.follow(&hears));
        let opened = video.opened.into_iter();
        effects.extend(opened.map(|(mix, key)| Effect::OpenVideo(mix, key)));
        let opened = audio.opened.into_iter();
        effects.extend(opened.map(|(mix, without)| Effect::OpenAudio(mix, without)));
        let moved = video.moved.into_iter();
        effects.extend(moved.map(|(who, mix)| Effect::ListenVideo(who, mix)));
        let moved = audio.moved.into_iter();
        effects.extend(moved.map(|(who, mix)| Effect::ListenAudio(who, mix)));
        effects.extend(video.closed.into_iter().map(Effect::CloseVideo));
        effects.extend(audio.closed.into_iter().map(Effect::CloseAudio));
        let rearranged = self.arrange(&stage);
        // Mute changes the sources of a sum without changing any mix.
        if rearranged || announce || !effects.is_empty() {
            effects.push(Effect::Replan);
        }
        if announce {
            effects.push(Effect::Announce);
        }
        effects
    }

    /// When [`Event::Wake`] is due.
    pub fn wake_at(&self) -> Option<MediaTime> {
        self.people
            .values()
            .filter(|p| !p.audible())
            .filter_map(|p| p.own_sum_until)
            .min()
    }

    /// Everybody, in the order they came.
    pub fn people(&self) -> &BTreeMap<ParticipantId, Person> {
        &self.people
    }

    /// The distinct pictures.
    pub fn video_mixes(&self) -> &Mixes<VideoKey> {
        &self.video
    }

    /// How a picture is arranged.
    pub fn arrangement(&self, mix: MixId) -> Option<&Arrangement> {
        self.arrangements.get(&mix)
    }

    /// The distinct sums.
    pub fn audio_mixes(&self) -> &Mixes<Option<ParticipantId>> {
        &self.audio
    }

    /// Those who have a tile, in reading order: the first `stage_size` who came.
    pub fn stage(&self) -> Vec<ParticipantId> {
        self.people
            .iter()
            .filter(|(_, p)| !p.view)
            .map(|(id, _)| *id)
            .take(self.settings.stage_size)
            .collect()
    }

    /// Writes the event down; whether the list of people changed.
    fn note(&mut self, now: MediaTime, event: Event) -> bool {
        match event {
            Event::Joined {
                id,
                name,
                view,
                audio,
                video,
                portrait,
            } => {
                let others = self.people.values().filter(|person| !person.view);
                let person = Person {
                    label: names::apart(&name, others.map(|person| &person.label)),
                    name,
                    view,
                    audio,
                    video,
                    portrait,
                    has_audio: false,
                    live: false,
                    receives_video: None,
                    receives_audio: false,
                    own_sum_until: None,
                };
                self.people.insert(id, person);
                true
            }
            Event::Left { id } => self.people.remove(&id).is_some(),
            Event::Media { id, audio, video } => self.change(id, |p| {
                if p.audible() && !audio {
                    p.own_sum_until = Some(now.plus(KEEP_OWN_SUM));
                }
                let changed = (p.audio, p.video) != (audio, video);
                (p.audio, p.video) = (audio, video);
                changed
            }),
            Event::Track { id, kind } => self.change(id, |p| {
                let first = kind == Kind::Audio && !p.has_audio;
                p.has_audio |= first;
                first
            }),
            Event::Live { id, live } => self.change(id, |p| {
                p.live = live;
                false
            }),
            Event::Downlink { id, video, audio } => self.change(id, |p| {
                p.receives_video = video;
                p.receives_audio = audio;
                false
            }),
            Event::Wake => false,
        }
    }

    fn change(&mut self, id: ParticipantId, f: impl FnOnce(&mut Person) -> bool) -> bool {
        self.people.get_mut(&id).is_some_and(f)
    }

    /// The picture each person is to see.
    fn wanted_video(&self, stage: &[ParticipantId]) -> BTreeMap<ParticipantId, VideoKey> {
        let Size { width, height } = self.settings.canvas;
        let wish = |(id, person): (&ParticipantId, &Person)| {
            let own = self.settings.policy != MixPolicy::Common && stage.contains(id);
            let key = VideoKey {
                without: own.then_some(*id),
                codec: person.receives_video?,
                size: match person.portrait {
                    true => Size::new(height, width),
                    false => Size::new(width, height),
                },
            };
            Some((*id, key))
        };
        self.people.iter().filter_map(wish).collect()
    }

    /// The sum each person is to hear: without themselves while they may be in it.
    fn wanted_audio(&mut self, now: MediaTime) -> BTreeMap<ParticipantId, Option<ParticipantId>> {
        let mut wanted = BTreeMap::new();
        for (id, person) in &mut self.people {
            person.own_sum_until = person.own_sum_until.filter(|until| *until > now);
            if person.receives_audio {
                let own = person.audible() || person.own_sum_until.is_some();
                wanted.insert(*id, own.then_some(*id));
            }
        }
        wanted
    }

    /// Lays every mix out; those that changed get a new serial number. Whether any did.
    fn arrange(&mut self, stage: &[ParticipantId]) -> bool {
        self.arrangements
            .retain(|id, _| self.video.get(*id).is_some());
        let mut changed = false;
        for (id, mix) in self.video.iter() {
            let shown: Vec<_> = stage
                .iter()
                .filter(|who| mix.key.without != Some(**who))
                .collect();
            let rects = layout::grid(mix.key.size, shown.len(), self.settings.gutter);
            let place = |(who, rect): (&ParticipantId, Rect)| Place {
                who: *who,
                rect,
                live: self.people.get(who).is_some_and(|p| p.live && p.video),
            };
            let places: Vec<_> = shown.into_iter().zip(rects).map(place).collect();
            let arrangement = self.arrangements.entry(id).or_default();
            if arrangement.layout == 0 || arrangement.places != places {
                self.layouts += 1;
                *arrangement = Arrangement {
                    layout: self.layouts,
                    places,
                };
                changed = true;
            }
        }
        changed
    }
}
