//! Who is on stage, in a room of many who talk, are silent, make noise and lie, in virtual time:
//! nobody who speaks is left out, nobody moves without need, and only what is shown or may be
//! heard is decoded.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use quilt::clock::MediaTime;
use quilt::id::{DisplayName, ParticipantId, Source};
use quilt::media::{Kind, Layout, Rect, VideoCodec};
use quilt::mix::plan::Level;
use quilt::room::speaker::Claims;
use quilt::room::stage::REFLOW;
use quilt::room::state::{Change, Event, MixPolicy, Settings, State};

/// How somebody behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    /// Says what their packets say they do.
    Honest,
    /// Packets carry no levels.
    Mute,
    /// Claims to shout all the time, and is silent.
    Liar,
}

struct Somebody {
    manner: Manner,
    /// dBov while talking.
    voice: f32,
    /// dBov otherwise.
    room: f32,
    talks: bool,
    /// What was said in the last blocks, newest first: decoded sound comes this late.
    said: [f32; 3],
}

/// A room in virtual time, 100 ms a step.
struct Room {
    state: State,
    now: MediaTime,
    people: BTreeMap<ParticipantId, Somebody>,
    noise: u32,
    /// Blocks in which the places of somebody who stayed changed.
    reflows: Vec<MediaTime>,
}

impl Room {
    fn new(stage_size: usize, manners: &[Manner]) -> Self {
        let settings = Settings {
            policy: MixPolicy::Personal,
            stage_size,
            ..Settings::default()
        };
        let mut room = Self {
            state: State::new(settings),
            now: MediaTime(0),
            people: BTreeMap::new(),
            noise: 0x9e37_79b9,
            reflows: Vec::new(),
        };
        for manner in manners {
            room.join(*manner);
        }
        // Everybody is heard to be silent, and the stage fills.
        (0..60).for_each(|_| room.step());
        room.reflows.clear();
        room
    }

    fn apply(&mut self, event: Event) {
        let _ = self.state.apply(self.now, event);
    }

    fn join(&mut self, manner: Manner) -> ParticipantId {
        let id = ParticipantId(self.people.len() as u32 + 1);
        self.apply(Event::Joined {
            id,
            name: DisplayName::new("x").expect("a name"),
            view: false,
            audio: true,
            video: true,
            portrait: false,
            direct: false,
        });
        for kind in [Kind::Audio, Kind::Video] {
            self.apply(Event::Track { id, kind });
        }
        let (video, audio) = (Some(VideoCodec::H264), true);
        self.apply(Event::Downlink { id, video, audio });
        let somebody = Somebody {
            manner,
            voice: -30.0,
            room: -62.0,
            talks: false,
            said: [-62.0; 3],
        };
        self.people.insert(id, somebody);
        id
    }

    fn random(&mut self) -> f32 {
        self.noise ^= self.noise << 13;
        self.noise ^= self.noise >> 17;
        self.noise ^= self.noise << 5;
        (self.noise % 1_000) as f32 / 1_000.0
    }

    /// A hundred milliseconds.
    fn step(&mut self) {
        let before = self.places();
        self.now = self.now.plus(Duration::from_millis(100));
        while self.state.wake_at().is_some_and(|at| at <= self.now) {
            self.apply(Event::Wake);
        }
        let (mut claims, mut levels) = (Vec::new(), Vec::new());
        let ids: Vec<_> = self.people.keys().copied().collect();
        for id in ids {
            // Syllables: one frame in three is a gap, and none is like the other.
            let frames: [f32; 5] = std::array::from_fn(|_| {
                let (gap, wobble) = (self.random() < 0.33, self.random() * 6.0 - 3.0);
                let somebody = &self.people[&id];
                let level = match somebody.talks && !gap {
                    true => somebody.voice,
                    false => somebody.room,
                };
                level + wobble
            });
            let somebody = self.people.get_mut(&id).expect("here");
            let loudest = frames.iter().copied().fold(-100.0, f32::max);
            somebody.said.rotate_right(1);
            somebody.said[0] = loudest - 3.0;
            claims.push((
                id,
                match somebody.manner {
                    Manner::Honest => Claims {
                        levels: frames.to_vec(),
                        bare: false,
                    },
                    Manner::Mute => Claims {
                        levels: Vec::new(),
                        bare: true,
                    },
                    Manner::Liar => Claims {
                        levels: vec![-5.0; 5],
                        bare: false,
                    },
                },
            ));
            let dbfs = somebody.said[2];
            let speaking = dbfs > -45.0;
            let who = id;
            levels.push(Level {
                who,
                dbfs,
                speaking,
            });
        }
        self.apply(Event::Claims(claims));
        // The mixer knows only of what is decoded.
        levels.retain(|level| self.state.decodes(level.who, Kind::Audio));
        self.apply(Event::Levels(levels));
        let after = self.places();
        let stayed = before
            .iter()
            .filter(|(source, _)| after.contains_key(source));
        if stayed.clone().any(|(source, rect)| after[source] != *rect) {
            self.reflows.push(self.now);
        }
        self.check();
    }

    /// Where everybody is for those off stage.
    fn places(&self) -> BTreeMap<Source, Rect> {
        let mixes = self.state.video_mixes().iter();
        let common = mixes.filter(|(_, mix)| mix.key.without.is_none());
        let common = common.filter_map(|(id, _)| self.state.arrangement(id));
        let places = common.flat_map(|arrangement| &arrangement.places);
        places.map(|place| (place.source, place.rect)).collect()
    }

    fn check(&self) {
        let settings = self.state.settings();
        let mut nominees = 0;
        for id in self.people.keys() {
            let on_stage = self.on_stage(*id);
            assert_eq!(self.state.decodes(*id, Kind::Video), on_stage);
            let audio = self.state.decodes(*id, Kind::Audio);
            assert!(audio || !on_stage, "{id} is seen and not heard");
            let opaque = self.state.speakers().is_opaque(*id);
            nominees += usize::from(audio && !on_stage && !opaque);
        }
        assert!(nominees <= settings.audio_active);
        for pair in self.reflows.windows(2) {
            assert!(pair[1].since(pair[0]) >= REFLOW, "{:?}", self.reflows);
        }
    }

    fn on_stage(&self, id: ParticipantId) -> bool {
        self.state.stage().holds(Source::camera(id))
    }

    fn talk(&mut self, id: ParticipantId, talks: bool) {
        self.people.get_mut(&id).expect("here").talks = talks;
    }
}

fn manner() -> impl Strategy<Value = Manner> {
    prop_oneof![4 => Just(Manner::Honest), 1 => Just(Manner::Mute)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    /// Turns of one or two people at a time, as long as half a second and longer.
    #[test]
    fn whoever_speaks_is_on_stage_within_a_second_and_stays_for_two(
        manners in prop::collection::vec(manner(), 12..30),
        stage_size in 4usize..10,
        turns in prop::collection::vec((0..1_000usize, 5..40usize), 5..25),
    ) {
        let mut room = Room::new(stage_size, &manners);
        let mut on_since: BTreeMap<ParticipantId, MediaTime> = BTreeMap::new();
        for (who, tenths) in turns {
            let id = ParticipantId((who % manners.len()) as u32 + 1);
            room.talk(id, true);
            for tenth in 1..=tenths {
                room.step();
                prop_assert!(tenth < 10 || room.on_stage(id), "{id} after {tenth} tenths");
                for id in room.people.keys() {
                    let rank = room.state.speakers().rank(*id);
                    if !room.on_stage(*id) {
                        let came = on_since.remove(id);
                        prop_assert!(came.is_none_or(|at| room.now.since(at) >= Duration::from_secs(2)));
                    } else if rank.speaks {
                        on_since.entry(*id).or_insert(room.now);
                    }
                }
            }
            room.talk(id, false);
        }
        prop_assert!(room.reflows.is_empty(), "the stage was full: {:?}", room.reflows);
    }

    /// Rooms full of fans, keyboards and coughs.
    #[test]
    fn noise_moves_nobody(
        rooms in prop::collection::vec((-75f32..-42.0, 0..20u32), 10..25),
    ) {
        let mut room = Room::new(6, &vec![Manner::Honest; rooms.len()]);
        for (n, (level, _)) in rooms.iter().enumerate() {
            let id = ParticipantId(n as u32 + 1);
            room.people.get_mut(&id).expect("here").room = *level;
        }
        // Whatever was switched on is background by now.
        (0..100).for_each(|_| room.step());
        let places = room.places();
        for step in 0..600u32 {
            for (n, (_, every)) in rooms.iter().enumerate() {
                let id = ParticipantId(n as u32 + 1);
                // A tenth of a second of noise now and then.
                room.talk(id, *every > 0 && step % (every + 10) == 0);
            }
            room.step();
            prop_assert_eq!(&room.places(), &places, "after {} tenths", step);
        }
    }
}

#[test]
fn a_liar_gets_nowhere_and_displaces_nobody() {
    let mut manners = vec![Manner::Honest; 12];
    manners.extend([Manner::Liar; 6]);
    let mut room = Room::new(6, &manners);
    let places = room.places();
    for _ in 0..3_000 {
        room.step();
        assert_eq!(room.places(), places);
    }
    // And keeps nobody else from being heard.
    let id = ParticipantId(12);
    room.talk(id, true);
    (0..10).for_each(|_| room.step());
    assert!(room.on_stage(id));
}

#[test]
fn a_liar_on_stage_is_the_first_to_go() {
    let mut manners = vec![Manner::Liar];
    manners.extend([Manner::Honest; 9]);
    let mut room = Room::new(4, &manners);
    // The others on stage have spoken, the liar has only claimed to.
    for n in [2, 3, 4] {
        room.talk(ParticipantId(n), true);
        (0..20).for_each(|_| room.step());
        room.talk(ParticipantId(n), false);
    }
    room.talk(ParticipantId(10), true);
    (0..10).for_each(|_| room.step());
    assert!(!room.on_stage(ParticipantId(1)) && room.on_stage(ParticipantId(10)));
}

#[test]
fn a_crowd_that_talks_at_once_does_not_make_the_stage_spin() {
    let mut room = Room::new(5, &[Manner::Honest; 15]);
    for n in 1..=15 {
        room.talk(ParticipantId(n), true);
    }
    let mut changes = 0;
    let mut before = room.places();
    for _ in 0..600 {
        room.step();
        let after = room.places();
        changes += usize::from(!after.keys().eq(before.keys()));
        before = after;
    }
    assert!(changes <= 10, "{changes} in a minute");
    // When they become quiet, whoever goes on is seen.
    for n in 1..=15 {
        room.talk(ParticipantId(n), n == 13);
    }
    (0..15).for_each(|_| room.step());
    assert!(room.on_stage(ParticipantId(13)));
}

#[test]
fn who_speaks_stands_large_and_trades_places() {
    let mut room = Room::new(5, &[Manner::Honest; 12]);
    let layout = Some(Layout::Speaker);
    room.apply(Event::Configure(Change {
        layout,
        ..Change::default()
    }));
    let large = |room: &Room| {
        let places = room.places().into_iter();
        let largest = places.max_by_key(|(_, rect)| rect.width * rect.height);
        largest.expect("a place").0.who
    };
    let mut before = room.places();
    for n in [3, 9, 2, 11, 3] {
        let id = ParticipantId(n);
        room.talk(id, true);
        for tenth in 1..=30 {
            room.step();
            assert!(
                tenth < 12 || large(&room) == id,
                "{id} after {tenth} tenths"
            );
        }
        room.talk(id, false);
        let after = room.places();
        let moved = before.iter().filter(|(source, rect)| {
            let now = after.get(source);
            now.is_some_and(|now| now != *rect) && source.who != id
        });
        assert!(moved.count() <= 1, "only who stood there before");
        before = after;
    }
}

#[test]
fn a_voice_off_stage_is_decoded_at_once() {
    let mut room = Room::new(4, &[Manner::Honest; 10]);
    let id = ParticipantId(9);
    assert!(!room.state.decodes(id, Kind::Audio));
    let effects = room.state.apply(room.now, Event::Voice { id });
    let decode = quilt::room::state::Effect::Decode(id, Kind::Audio, true);
    assert_eq!(effects[0], decode);
    assert!(!room.on_stage(id), "a claim only nominates");
    // Nothing came of it: the decoder ends.
    (0..25).for_each(|_| room.step());
    assert!(!room.state.decodes(id, Kind::Audio));
}

#[test]
fn those_who_are_not_decoded_share_one_sum() {
    let mut room = Room::new(4, &[Manner::Honest; 40]);
    assert_eq!(room.state.audio_mixes().iter().count(), 4 + 1);
    room.talk(ParticipantId(30), true);
    (0..8).for_each(|_| room.step());
    assert!(room.on_stage(ParticipantId(30)));
    // Who made room keeps their own for a moment.
    assert_eq!(room.state.audio_mixes().iter().count(), 4 + 1 + 1);
    room.talk(ParticipantId(30), false);
    (0..40).for_each(|_| room.step());
    assert_eq!(room.state.audio_mixes().iter().count(), 4 + 1);
}
