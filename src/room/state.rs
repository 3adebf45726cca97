//! The room's decisions as a pure state machine: `apply(now, Event) -> Effects`.
//!
//! Nothing in here reads a clock, touches a socket or a pipeline. Whatever the events were, some
//! things hold after each: nobody on stage is in the mix they get (unless the room's policy is the
//! common mix), every mix has a listener, everybody who can receive listens to exactly one, and
//! nothing is decoded but what is shown or may be heard.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::MediaTime;
use crate::id::{DisplayName, OutputId, ParticipantId, Source};
use crate::media::{
    Downlink, Kind, Layer, Layout, Quality, Rect, Tier, Topology, TopologyPolicy, VideoCodec,
};
use crate::mix::beside;
use crate::mix::plan::{Level, MixId};
use crate::room::arrange::{Cast, effective};
use crate::room::budget::{Budget, Step};
use crate::room::common_codec::{self, Abilities};
use crate::room::demand::{Demand, Demands};
use crate::room::layers::{self, Choice};
use crate::room::mixes::{Ear, Mixes};
use crate::room::names;
use crate::room::output::Wish as OutputWish;
use crate::room::speaker::{Decoded, Speakers};
use crate::room::stage::{Stage, Wish};
use crate::room::tier::{self, Given};
use crate::room::topology::{Auto, Meeting};

pub use crate::room::event::{
    Arrangement, AudioKey, Change, Effect, Event, MixPolicy, Place, Settings, VideoKey, View,
    Wanted,
};

/// Somebody who mutes keeps their own sum for this long, so that a quick unmute changes nothing
/// and the last fading samples of their own voice never come back to them.
const KEEP_OWN_SUM: Duration = Duration::from_secs(2);
/// Claims within this many dB of each other are equally loud: which of them is decoded is not
/// worth a change.
const AS_LOUD: f32 = 6.0;
/// Who stands large stays for this long, while they are on stage.
const LARGE: Duration = Duration::from_secs(2);
/// Televisions are on before the meeting and after it: an empty picture has to be there soon for
/// whoever comes to watch, and may cost nothing.
const WAITING_FPS: u32 = 2;

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

    /// Writes the event down.
    fn note(&mut self, now: MediaTime, event: Event) -> Noted {
        let listed = match event {
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
                    overlay: false,
                    layout: None,
                    quality: Quality::default(),
                    line: Tier::High,
                    apart: false,
                    downlink: Downlink::Mixed,
                    direct: false,
                    takes: BTreeSet::new(),
                    taken: BTreeMap::new(),
                    layered: false,
                    copies: [false; 2],
                    told: None,
                    without: None,
                    pinned: false,
                    shares: false,
                    has_audio: false,
                    has_video: false,
                    live: false,
                    receives_video: None,
                    receives_audio: false,
                    able: Abilities::default(),
                    volumes: BTreeMap::new(),
                    own_sum_until: None,
                };
                self.people.insert(id, person);
                true
            }
            Event::Left { id } => {
                self.speakers.forget(id);
                self.decoding.retain(|(who, _)| *who != id);
                for person in self.people.values_mut() {
                    person.volumes.remove(&id);
                    person.takes.remove(&id);
                    person.taken.remove(&id);
                }
                self.people.remove(&id).is_some()
            }
            Event::Media { id, audio, video } => {
                if !audio {
                    self.speakers.mute(id);
                }
                let heard = self.decodes(id, Kind::Audio);
                self.change(id, |p| {
                    if p.audible() && heard && !audio {
                        p.own_sum_until = Some(now.plus(KEEP_OWN_SUM));
                    }
                    let changed = (p.audio, p.video) != (audio, video);
                    (p.audio, p.video) = (audio, video);
                    changed
                })
            }
            Event::Track { id, kind } => {
                if kind == Kind::Audio {
                    self.speakers.renew(id);
                }
                self.change(id, |p| match kind {
                    Kind::Audio => !std::mem::replace(&mut p.has_audio, true),
                    Kind::Video => {
                        p.has_video = true;
                        false
                    }
                })
            }
            Event::Live { id, live } => {
                // A decoder that was closed may still have something to say.
                let live = live && self.decodes(id, Kind::Video);
                self.change(id, |p| {
                    p.live = live;
                    false
                })
            }
            Event::Downlink { id, video, audio } => self.change(id, |p| {
                p.receives_video = video;
                p.receives_audio = audio;
                false
            }),
            Event::Able {
                id,
                codecs,
                layered,
            } => self.change(id, |p| {
                (p.able, p.layered) = (codecs, layered);
                false
            }),
            Event::Copies { id, live } => self.change(id, |p| {
                p.copies = live;
                false
            }),
            Event::Sizes { id, lines } => self.change(id, |p| {
                for (from, lines) in lines {
                    if p.takes.contains(&from) {
                        p.taken.entry(from).or_default().lines = Some(lines);
                    }
                }
                false
            }),
            Event::TakenLine { id, from, bears } => self.change(id, |p| {
                if let Some(taken) = p.taken.get_mut(&from) {
                    taken.bears = bears;
                }
                false
            }),
            Event::Voice { id } => {
                if self.people.get(&id).is_some_and(Person::audible) {
                    self.speakers.nominate(now, id);
                }
                return Noted::Sound;
            }
            Event::Claims(claims) => {
                for (id, claims) in claims {
                    if self.people.get(&id).is_some_and(Person::audible) {
                        self.speakers.claim(id, claims);
                    }
                }
                self.speakers.step(now);
                return Noted::Sound;
            }
            Event::Levels(levels) => {
                self.hear(now, &levels);
                return Noted::Sound;
            }
            Event::Share { id, on } => self.change(id, |p| {
                let on = on && !p.view;
                std::mem::replace(&mut p.shares, on) != on
            }),
            Event::Pin { id, pinned } => {
                self.change(id, |p| std::mem::replace(&mut p.pinned, pinned) != pinned)
            }
            Event::View { id, view } => self.change(id, |p| {
                p.layout = view.layout.unwrap_or(p.layout);
                p.downlink = view.downlink.unwrap_or(p.downlink);
                p.direct = view.direct.unwrap_or(p.direct);
                p.overlay = view.overlay.unwrap_or(p.overlay);
                p.portrait = view.portrait.unwrap_or(p.portrait);
                p.apart &= view.quality.is_none();
                p.quality = view.quality.unwrap_or(p.quality);
                p.without = view.without.filter(|_| p.view).or(p.without);
                false
            }),
            Event::Configure(change) => {
                let settings = &mut self.settings;
                settings.policy = change.mix.unwrap_or(settings.policy);
                settings.topology = change.topology.unwrap_or(settings.topology);
                settings.layout = change.layout.unwrap_or(settings.layout);
                settings.stage_size = change.stage_size.unwrap_or(settings.stage_size);
                true
            }
            Event::Load(used) => {
                let before = self.gives_way();
                self.budget.load(now, used);
                return match self.gives_way() == before {
                    true => Noted::Other,
                    false => Noted::Rate,
                };
            }
            Event::Output { id, wish } => {
                match wish {
                    Some(wish) => self.outputs.insert(id, wish),
                    None => self.outputs.remove(&id),
                };
                false
            }
            Event::Take { id, from, on } => {
                let there = id != from && self.people.get(&from).is_some_and(|p| !p.view);
                self.change(id, |p| {
                    match on && there {
                        true => p.takes.insert(from),
                        false => p.takes.remove(&from),
                    };
                    match on && there {
                        // By another connection, of whose line nothing is known.
                        true => p.taken.entry(from).or_default().bears = Layer::Whole,
                        false => drop(p.taken.remove(&from)),
                    }
                    false
                })
            }
            Event::Enforced(on) => {
                self.enforced = on;
                false
            }
            Event::Volume { id, who, percent } => {
                let heard = who != id && self.people.get(&who).is_some_and(|p| !p.view);
                self.change(id, |p| {
                    match percent {
                        100 => p.volumes.remove(&who),
                        _ if heard => p.volumes.insert(who, percent),
                        _ => None,
                    };
                    false
                });
                return Noted::Volume;
            }
            Event::Line { id, tier } => {
                let before = self.given(id).map(|given| given.tier);
                self.change(id, |p| {
                    p.line = tier;
                    p.apart = false;
                    false
                });
                let moves = self.given(id).map(|given| given.tier) != before;
                let apart = moves && self.would_disturb(id);
                self.change(id, |p| {
                    p.apart = apart;
                    false
                })
            }
            Event::Keyframe { id } => {
                let mix = self.video.of(Ear::Person(id));
                let key = mix.and_then(|mix| self.video.get(mix)).map(|mix| mix.key);
                self.let_in(&Vec::from_iter(key));
                false
            }
            Event::TierCap(tier) => {
                self.cap = tier;
                false
            }
            Event::Wake => false,
        };
        match listed {
            true => Noted::People,
            false => Noted::Other,
        }
    }

    fn hear(&mut self, now: MediaTime, levels: &[Level]) {
        for level in levels {
            if self.decodes(level.who, Kind::Audio) {
                let decoded = Decoded {
                    level: level.dbfs,
                    speaking: level.speaking,
                };
                self.speakers.decoded(now, level.who, Some(decoded));
            }
        }
    }

    fn change(&mut self, id: ParticipantId, f: impl FnOnce(&mut Person) -> bool) -> bool {
        self.people.get_mut(&id).is_some_and(f)
    }

    /// What could be shown.
    fn wishes(&self) -> Vec<Wish> {
        let people = self.people.iter().filter(|(_, p)| !p.view);
        let wishes = people.flat_map(|(id, person)| {
            let rank = self.speakers.rank(*id);
            let wish = |source: Source| Wish {
                source,
                first: person.pinned || source.share,
                rank,
            };
            let screen = person.shares.then(|| wish(Source::screen(*id)));
            [Some(wish(Source::camera(*id))), screen]
        });
        wishes.flatten().collect()
    }

    /// Decodes what is shown or may be heard, and nothing else; a track that `began` is told
    /// about in any case.
    fn decode(&mut self, now: MediaTime, began: Option<(ParticipantId, Kind)>) -> Vec<Effect> {
        let wanted = self.worth_decoding(now);
        let mut effects = Vec::new();
        for (id, kind) in self.decoding.difference(&wanted) {
            effects.push(Effect::Decode(*id, *kind, false));
            if let Some(person) = self.people.get_mut(id) {
                match kind {
                    Kind::Video => person.live = false,
                    Kind::Audio => person.own_sum_until = Some(now.plus(KEEP_OWN_SUM)),
                }
            }
            if *kind == Kind::Audio {
                self.speakers.decoded(now, *id, None);
            }
        }
        for (id, kind) in wanted.difference(&self.decoding) {
            effects.push(Effect::Decode(*id, *kind, true));
            if *kind == Kind::Audio {
                // Until the first report: nothing was heard.
                self.speakers.decoded(now, *id, Some(Decoded::SILENCE));
            }
        }
        if let Some((id, kind)) = began.filter(|(id, _)| self.people.contains_key(id)) {
            let on = wanted.contains(&(id, kind));
            let told = |effect: &Effect| *effect == Effect::Decode(id, kind, on);
            if !effects.iter().any(told) {
                effects.push(Effect::Decode(id, kind, on));
            }
        }
        self.decoding = wanted;
        effects
    }

    fn worth_decoding(&self, now: MediaTime) -> BTreeSet<(ParticipantId, Kind)> {
        let mut wanted = BTreeSet::new();
        let mut nominees = Vec::new();
        if !self.mixes() {
            return wanted;
        }
        for (id, person) in self.people.iter().filter(|(_, p)| !p.view) {
            let on_stage = self.stage.sources().any(|source| source.who == *id);
            if person.has_video && on_stage {
                wanted.insert((*id, Kind::Video));
            }
            if person.has_audio && (on_stage || (person.audio && self.speakers.is_opaque(*id))) {
                wanted.insert((*id, Kind::Audio));
            } else if person.audible()
                && let Some((fresh, level)) = self.speakers.nominated(now, *id)
            {
                let class = (level / AS_LOUD).floor() as i32;
                let is_decoded = self.decodes(*id, Kind::Audio);
                nominees.push((fresh, class, is_decoded, std::cmp::Reverse(*id)));
            }
        }
        nominees.sort_unstable();
        let loudest = nominees.into_iter().rev().take(self.settings.audio_active);
        wanted.extend(loudest.map(|(.., id)| (id.0, Kind::Audio)));
        wanted
    }

    /// Whether those on stage get mixes of their own even if they could do without.
    pub fn is_personal(&self) -> bool {
        match self.settings.policy {
            MixPolicy::Personal => true,
            MixPolicy::Common => false,
            MixPolicy::Auto => self.budget.step() < Step::Personal,
        }
    }

    /// What the room does without because of the load.
    pub fn gives_way(&self) -> Step {
        self.budget.step()
    }

    /// What everybody's video is needed for. Who is on stage may be seen by a newcomer at any
    /// time, even if nobody sees them now.
    fn needed(&self) -> BTreeMap<ParticipantId, Demand> {
        let sending = self.people.iter().filter(|(_, p)| p.has_video && !p.view);
        let mixes = self.mixes();
        let on_stage = |id: &ParticipantId| self.stage.sources().any(|s| s.who == *id);
        let least = |id: &ParticipantId| match mixes && on_stage(id) {
            true => Demand::least(),
            false => Demand::HIDDEN,
        };
        let mut needed: BTreeMap<_, _> = sending.map(|(id, _)| (*id, least(id))).collect();
        let slow = if self.gives_way() >= Step::Pictures {
            2
        } else {
            1
        };
        for (id, mix) in self.video.iter() {
            let fps = (mix.key.fps / slow).max(1);
            let places = self.arrangements.get(&id).map(|a| a.places.as_slice());
            for place in places.unwrap_or_default() {
                let who = place.source.who;
                let sent = |person: &Person| person.shares == place.source.share;
                if self.people.get(&who).is_some_and(sent)
                    && let Some(needed) = needed.get_mut(&who)
                {
                    *needed = needed.or(Demand::of(place.rect, fps));
                }
            }
        }
        for person in self.people.values() {
            let places = self.forwarded_places(person.takes.len());
            let each = person.takes.iter().zip(places);
            for (id, rect) in each {
                if let Some(needed) = needed.get_mut(id) {
                    *needed = needed.or(self.taken_demand(person, *id, rect));
                }
            }
        }
        needed
    }

    /// How large somebody's picture is for who takes so many.
    fn forwarded_places(&self, taken: usize) -> Vec<Rect> {
        beside::places(
            Layout::Grid,
            self.settings.canvas,
            taken,
            self.settings.gutter,
        )
    }

    /// What one taker needs of `from`, who is shown in `rect` for all that is known.
    fn taken_demand(&self, taker: &Person, from: ParticipantId, rect: Rect) -> Demand {
        let taken = taker.taken.get(&from);
        let lines = taken.and_then(|taken| taken.lines);
        let rect = match lines {
            Some(height) => Rect {
                width: height * 16 / 9,
                height,
                ..rect
            },
            None => rect,
        };
        let whole = Demand::of(rect, self.settings.fps);
        let sender = self.people.get(&from).filter(|sender| sender.layered);
        let order = taken.and_then(|taken| taken.order);
        match (sender, order) {
            (Some(_), Some((Layer::Half, Layer::Half))) => Demand::HALF,
            // It gets the half for want of the whole, which is still wished for if it would be borne.
            (Some(sender), Some((Layer::Half, _))) => match taken.map(|taken| taken.bears) {
                Some(Layer::Half) => Demand::HALF,
                _ if sender.shares => whole,
                _ => whole.or(Demand::HALF),
            },
            // Until the whole comes, something is to.
            (Some(sender), _) if !sender.copies[1] && !sender.shares => whole.or(Demand::HALF),
            _ => whole,
        }
    }

    /// Chooses which copy of each picture each taker gets; what of that is new.
    fn choose_layers(&mut self, now: MediaTime) -> Vec<Effect> {
        let senders = self.people.iter().filter(|(_, sender)| sender.layered);
        let senders = senders.map(|(id, sender)| (*id, (sender.shares, sender.copies)));
        let senders: BTreeMap<_, _> = senders.collect();
        let mut effects = Vec::new();
        for (who, person) in &mut self.people {
            for (from, taken) in &mut person.taken {
                let Some((shares, copies)) = senders.get(from) else {
                    continue;
                };
                // Text in half its size is none.
                let fits = match shares {
                    true => Layer::Whole,
                    false => layers::fits(taken.lines),
                };
                let choice = taken.choice.get_or_insert(Choice::new(fits));
                let best = choice.follow(now, fits, Layer::Whole);
                let layer = best.min(taken.bears);
                // A sender whose own line is narrow sends the smaller one alone.
                let missing = layer == Layer::Whole && *copies == [true, false];
                let order = match missing {
                    true => (Layer::Half, best),
                    false => (layer, best),
                };
                if taken.order.replace(order) != Some(order) {
                    let (layer, best) = order;
                    effects.push(Effect::Layer {
                        who: *who,
                        from: *from,
                        layer,
                        best,
                    });
                }
            }
        }
        effects
    }

    /// What uplinks are to be, for those who take them as they are; none: as each sends.
    pub fn codec(&self) -> Option<VideoCodec> {
        self.codec
    }

    /// Chooses what uplinks are to be, if that changes.
    fn choose_codec(&mut self) -> Option<Effect> {
        let forwarding = self.people.values().any(|person| !person.takes.is_empty());
        // Who only watches a mix has no say.
        let counts = |person: &&Person| !person.view || !person.takes.is_empty();
        let people = self.people.values().filter(counts);
        let able = people.map(|person| person.able);
        let codec = common_codec::choose(self.codec, forwarding, able);
        let before = std::mem::replace(&mut self.codec, codec);
        (before != codec).then_some(Effect::Codec(codec))
    }

    /// Whether the room chooses its topology by itself.
    fn is_auto(&self) -> bool {
        self.settings.topology == TopologyPolicy::Auto
    }

    /// Chooses which way media goes; whether that has changed.
    fn choose_topology(&mut self, now: MediaTime) -> bool {
        let people = || self.people.values().filter(|person| !person.view);
        let watched = self.people.values().any(|person| person.view);
        let meeting = Meeting {
            people: people().count(),
            agree_to_mesh: people().filter(|person| person.direct).count(),
            weak: people().filter(|person| person.is_weak()).count(),
            server_media: watched || self.enforced || !self.outputs.is_empty(),
        };
        let all_agree = meeting.agree_to_mesh == meeting.people;
        let topology = match self.settings.topology {
            TopologyPolicy::Mcu => Topology::Mcu,
            TopologyPolicy::Mesh if all_agree && !meeting.server_media => Topology::Mesh,
            TopologyPolicy::Mesh | TopologyPolicy::Sfu => Topology::Sfu,
            TopologyPolicy::Auto => self.auto.decide(now, &meeting),
        };
        std::mem::replace(&mut self.topology, topology) != topology
    }

    /// Whether anybody gets a mix, or will when they are connected.
    fn mixes(&self) -> bool {
        !self.outputs.is_empty() || self.people.values().any(Person::mixed)
    }

    /// Who holds the floor, if they are on stage.
    fn wants_large(&self) -> Option<ParticipantId> {
        let dominant = self.speakers.dominant()?;
        let shown = self.stage.holds(Source::camera(dominant));
        shown.then_some(dominant)
    }

    /// Lets who holds the floor stand large, if who did so has had their time. Whether that is
    /// a change.
    fn enlarge(&mut self, now: MediaTime) -> bool {
        let before = self.large;
        self.large = before.filter(|(id, _)| self.stage.holds(Source::camera(*id)));
        let over = |(_, since): (ParticipantId, MediaTime)| now.since(since) >= LARGE;
        if let Some(wanted) = self.wants_large()
            && self.large.map(|(id, _)| id) != Some(wanted)
            && self.large.is_none_or(over)
        {
            self.large = Some((wanted, now));
        }
        self.large != before
    }

    /// Those on stage who speak or spoke, in the order in which they are to stand large.
    fn by_floor(&self) -> Vec<ParticipantId> {
        let on_stage = self.stage.sources().filter(|source| !source.share);
        let ranked = on_stage.filter_map(|source| {
            let dominated = self.speakers.rank(source.who).dominated?;
            let large = self.large.is_some_and(|(id, _)| id == source.who);
            Some((large, dominated, source.who))
        });
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable_by(|a, b| b.cmp(a));
        ranked.into_iter().map(|(_, _, id)| id).collect()
    }

    /// Chooses whom of the stage the medium tier shows, if anybody gets it. Whether that changed.
    fn choose_few(&mut self, now: MediaTime, mut wishes: Vec<Wish>) -> bool {
        let people = self.people.values().map(|person| self.tier(person));
        let mut tiers = people.chain(self.outputs.values().map(|wish| wish.tier));
        let wanted = self.settings.stage_size > tier::FEW && tiers.any(|t| t == Tier::Medium);
        if !wanted {
            self.few = Stage::default();
            return false;
        }
        wishes.retain(|wish| self.stage.holds(wish.source));
        self.few.follow(now, tier::FEW, &wishes)
    }

    /// Whom a tier shows.
    fn shown(&self, tier: Tier) -> &Stage {
        shown(tier, &self.settings, [&self.stage, &self.few])
    }

    /// Who is in a picture of one.
    fn alone(&self) -> Option<ParticipantId> {
        let first = || self.stage.sources().next().map(|source| source.who);
        self.by_floor().first().copied().or_else(first)
    }

    fn tier(&self, person: &Person) -> Tier {
        let tiers = &self.settings.tiers;
        tiers.pick(person.quality, person.line, self.most()).0
    }

    /// Tells everybody what they get, once they are connected, and when that changes.
    fn tell_tiers(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        let connected = |p: &Person| p.receives_audio || p.receives_video.is_some();
        let ids = self.people.iter().filter(|(_, p)| connected(p));
        for id in ids.map(|(id, _)| *id).collect::<Vec<_>>() {
            let given = self.given(id);
            if self.change(id, |p| std::mem::replace(&mut p.told, given) != given) {
                effects.push(Effect::Tier(id));
            }
        }
        effects
    }

    /// Which mix that is. None: there is no picture in this tier.
    pub fn key(&self, wanted: &Wanted) -> Option<VideoKey> {
        let Wanted { tier, without, .. } = *wanted;
        let cast = cast(self.shown(tier), without);
        let layout = match tier {
            Tier::Low => Layout::Solo,
            _ => wanted.layout.unwrap_or(self.settings.layout),
        };
        let screen = cast.iter().flatten().any(|source| source.share);
        let (canvas, fps) = (self.settings.canvas, self.settings.fps);
        let shape = tier::shape(tier, canvas, fps, wanted.portrait, screen)?;
        Some(VideoKey {
            without,
            tier,
            codec: wanted.codec,
            size: shape.size,
            layout: effective(layout, &cast),
            fps: match self.waits() {
                true => shape.fps.min(WAITING_FPS),
                false => shape.fps,
            },
            bitrate: self.settings.tiers.bitrate(tier),
            apart: false,
        })
    }

    /// Whether others share the mix that somebody is to see, and would get a keyframe for them.
    fn would_disturb(&self, id: ParticipantId) -> bool {
        // Where the processor is at its limit, an encoder more is the greater evil.
        let key = self.people.get(&id).and_then(|p| self.wish(id, p));
        let mut mixes = self.video.iter();
        let shared = mixes.find(|(_, mix)| Some(mix.key) == key);
        let others = |ear: &Ear| *ear != Ear::Person(id);
        self.gives_way() < Step::Personal
            && shared.is_some_and(|(_, mix)| mix.listeners.iter().any(others))
    }

    /// Those who are apart see what the others see where these get a keyframe anyway, because
    /// somebody else comes.
    fn rejoin(&mut self, sees: &mut BTreeMap<Ear, VideoKey>) {
        if !self.people.values().any(|person| person.apart) {
            return;
        }
        let has = |ear, key| {
            let mix = self.video.of(ear).and_then(|mix| self.video.get(mix));
            mix.is_some_and(|mix| mix.key == key)
        };
        let comes = sees
            .iter()
            .filter(|(ear, key)| !key.apart && !has(**ear, **key));
        let comes: Vec<_> = comes.map(|(_, key)| *key).collect();
        self.let_in(&comes);
        for key in sees.values_mut().filter(|key| key.apart) {
            key.apart = !comes.contains(&VideoKey {
                apart: false,
                ..*key
            });
        }
    }

    /// Nobody is apart from these mixes any more.
    fn let_in(&mut self, mixes: &[VideoKey]) {
        let apart = self.people.iter().filter(|(_, person)| person.apart);
        let apart = apart.filter(|(id, person)| {
            let key = self.wish(**id, person);
            key.is_some_and(|key| {
                let apart = false;
                mixes.contains(&VideoKey { apart, ..key })
            })
        });
        for id in apart.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.change(id, |person| {
                person.apart = false;
                false
            });
        }
    }

    /// The picture that somebody is to see.
    fn wish(&self, id: ParticipantId, person: &Person) -> Option<VideoKey> {
        let tier = self.tier(person);
        let on_stage = |id| self.shown(tier).sources().any(|source| source.who == id);
        // Who would see nobody but themselves is shown somebody else.
        let alone = || tier == Tier::Low && self.alone() == Some(id);
        let personal = self.is_personal() || !person.overlay || alone();
        let own = match person.without {
            Some(other) => on_stage(other).then_some(other),
            None => (on_stage(id) && personal).then_some(id),
        };
        let key = self.key(&Wanted {
            tier,
            codec: person.receives_video.filter(|_| person.mixed())?,
            portrait: person.portrait,
            layout: own.and(person.layout),
            without: own,
        })?;
        let apart = person.apart && own.is_none();
        Some(VideoKey { apart, ..key })
    }

    /// The best tier that anybody gets.
    fn most(&self) -> Tier {
        self.cap.min(self.gives_way().tier())
    }

    /// The picture each listener will see once all are connected, with this codec if they have not
    /// chosen yet, and the policy has given way.
    pub fn foreseen_video(&self, codec: VideoCodec) -> BTreeMap<Ear, VideoKey> {
        let mut foreseen = self.clone();
        if foreseen.settings.policy == MixPolicy::Auto {
            foreseen.settings.policy = MixPolicy::Common;
        }
        for person in foreseen.people.values_mut() {
            person.receives_video.get_or_insert(codec);
            person.apart = false;
        }
        foreseen.wanted_video()
    }

    /// The picture each listener is to see.
    fn wanted_video(&self) -> BTreeMap<Ear, VideoKey> {
        let person = |(id, person): (&ParticipantId, &Person)| {
            let key = self.wish(*id, person)?;
            Some((Ear::Person(*id), key))
        };
        let output = |(id, wish): (&OutputId, &OutputWish)| {
            let key = self.key(&Wanted {
                portrait: wish.portrait,
                layout: wish.layout,
                ..Wanted::common(wish.tier, wish.video?)
            })?;
            Some((Ear::Output(*id), key))
        };
        let people = self.people.iter().filter_map(person);
        let outputs = self.outputs.iter().filter_map(output);
        people.chain(outputs).collect()
    }

    /// Whether there is nothing to see, for those who only watch.
    fn waits(&self) -> bool {
        self.outputs.is_empty() && self.people.values().all(|person| person.view)
    }

    /// The sum each listener is to hear: without themselves while they may be in it.
    fn wanted_audio(&mut self, now: MediaTime) -> BTreeMap<Ear, AudioKey> {
        let mut heard = BTreeSet::new();
        for (id, person) in &mut self.people {
            person.own_sum_until = person.own_sum_until.filter(|until| *until > now);
            let decoded = self.decoding.contains(&(*id, Kind::Audio));
            if (person.audible() && decoded) || person.own_sum_until.is_some() {
                heard.insert(*id);
            }
        }
        let people = self.people.iter();
        let people = people.filter(|(_, p)| p.receives_audio && p.mixed());
        let people = people.map(|(id, person)| {
            let without = person.without.unwrap_or(*id);
            let key = AudioKey {
                without: heard.contains(&without).then_some(without),
                tuned: (!person.volumes.is_empty()).then_some(*id),
            };
            (Ear::Person(*id), key)
        });
        let everybody = AudioKey {
            without: None,
            tuned: None,
        };
        let outputs = self.outputs.iter().filter(|(_, wish)| wish.audio);
        let outputs = outputs.map(|(id, _)| (Ear::Output(*id), everybody));
        people.chain(outputs).collect()
    }

    /// Lays every mix out; those that changed get a new serial number. Whether any did.
    fn arrange(&mut self) -> bool {
        self.arrangements
            .retain(|id, _| self.video.get(*id).is_some());
        let speakers = self.by_floor();
        let mut changed = false;
        for (id, mix) in self.video.iter() {
            let VideoKey { size, layout, .. } = mix.key;
            let shown = shown(mix.key.tier, &self.settings, [&self.stage, &self.few]);
            let stage = cast(shown, mix.key.without);
            let before = self.arrangements.entry(id).or_default();
            let cast = Cast {
                stage: &stage,
                speakers: &speakers,
                before: &before.order,
            };
            let order = cast.order(layout);
            let rects = beside::places(layout, size, order.len(), self.settings.gutter);
            let place = |(source, rect): (&Option<Source>, Rect)| {
                let source = (*source)?;
                let person = self.people.get(&source.who);
                Some(Place {
                    source,
                    rect,
                    live: person.is_some_and(|p| p.shows(source)),
                })
            };
            let places: Vec<_> = order.iter().zip(rects).filter_map(place).collect();
            if before.layout == 0 || before.places != places {
                self.layouts += 1;
                *before = Arrangement {
                    layout: self.layouts,
                    places,
                    order,
                };
                changed = true;
            }
        }
        changed
    }
}

/// Whom a tier shows: all of the stage, or the few.
fn shown<'a>(tier: Tier, settings: &Settings, [all, few]: [&'a Stage; 2]) -> &'a Stage {
    match tier {
        Tier::Medium if settings.stage_size > tier::FEW => few,
        _ => all,
    }
}

/// The stage without what a mix leaves out.
fn cast(stage: &Stage, without: Option<ParticipantId>) -> Vec<Option<Source>> {
    let own = |place: &Option<Source>| place.is_some_and(|s| Some(s.who) == without);
    stage.places().filter(|place| !own(place)).collect()
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
