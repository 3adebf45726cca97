//! The room's decisions under random lives: joins, leaves, mutes, stalls, reconnects, in virtual
//! time. A model carries the effects out and must at every moment be what was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use quilt::clock::MediaTime;
use quilt::id::{DisplayName, OutputId, ParticipantId, Source};
use quilt::media::{Because, Downlink, Kind, Layout, Quality, Size, Tier, VideoCodec};
use quilt::mix::plan::{Level, MixId};
use quilt::room::mixes::Ear;
use quilt::room::output::Wish;
use quilt::room::speaker::Claims;
use quilt::room::state::{
    Change, Effect, Event, MixPolicy, Person, Settings, State, VideoKey, View, Wanted,
};

#[derive(Debug, Clone)]
enum Step {
    Join {
        view: bool,
        audio: bool,
        video: bool,
        portrait: bool,
    },
    Leave(usize),
    Media(usize, bool, bool),
    Track(usize, Kind),
    Live(usize, bool),
    Downlink(usize, Option<VideoCodec>, bool),
    Pin(usize, bool),
    Share(usize, bool),
    Voice(usize),
    /// One of three outputs begins with this layout, without pictures, or ends.
    Output(u32, Option<Option<Layout>>, bool),
    Choose(usize, Quality),
    Line(usize, Tier),
    Cap(Tier),
    Keyframe(usize),
    /// By which way others come.
    Way(usize, Downlink),
    Take(usize, usize, bool),
    /// Somebody claims this loudness, and this is decoded of them, for so many tenths of a second.
    Sound(usize, u8, u8, usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..12usize;
    let kind = prop_oneof![Just(Kind::Audio), Just(Kind::Video)];
    let codec = prop_oneof![
        Just(None),
        Just(Some(VideoCodec::H264)),
        Just(Some(VideoCodec::Vp8))
    ];
    let layout = prop_oneof![
        Just(None),
        Just(Some(None)),
        Just(Some(Some(Layout::Speaker)))
    ];
    let quality = prop::sample::select(vec![
        Quality::Auto,
        Quality::High,
        Quality::Medium,
        Quality::Low,
        Quality::Audio,
    ]);
    let tier = prop::sample::select(vec![Tier::High, Tier::Medium, Tier::Low, Tier::Audio]);
    let way = prop_oneof![
        2 => Just(Downlink::Mixed),
        1 => Just(Downlink::Forwarded),
        1 => Just(Downlink::Direct)
    ];
    prop_oneof![
        4 => (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(view, audio, video, portrait)| Step::Join { view, audio, video, portrait }),
        2 => who.clone().prop_map(Step::Leave),
        3 => (who.clone(), any::<bool>(), any::<bool>()).prop_map(|(w, a, v)| Step::Media(w, a, v)),
        3 => (who.clone(), kind).prop_map(|(w, k)| Step::Track(w, k)),
        3 => (who.clone(), any::<bool>()).prop_map(|(w, l)| Step::Live(w, l)),
        5 => (who.clone(), codec, any::<bool>()).prop_map(|(w, c, a)| Step::Downlink(w, c, a)),
        1 => (who.clone(), any::<bool>()).prop_map(|(w, p)| Step::Pin(w, p)),
        1 => (who.clone(), any::<bool>()).prop_map(|(w, s)| Step::Share(w, s)),
        1 => who.clone().prop_map(Step::Voice),
        1 => (0..3u32, layout, any::<bool>()).prop_map(|(n, l, on)| Step::Output(n, l, on)),
        2 => (who.clone(), quality).prop_map(|(w, q)| Step::Choose(w, q)),
        2 => (who.clone(), tier.clone()).prop_map(|(w, t)| Step::Line(w, t)),
        1 => tier.prop_map(Step::Cap),
        1 => who.clone().prop_map(Step::Keyframe),
        2 => (who.clone(), way).prop_map(|(w, d)| Step::Way(w, d)),
        1 => (who.clone(), who.clone(), any::<bool>()).prop_map(|(w, f, on)| Step::Take(w, f, on)),
        3 => (who, 0..128u8, 0..101u8, 1..15usize)
            .prop_map(|(w, c, d, n)| Step::Sound(w, c, d, n)),
        2 => (0..5_000u64).prop_map(Step::Wait),
    ]
}

/// What the wiring would hold.
#[derive(Default)]
struct World {
    video: BTreeMap<MixId, VideoKey>,
    audio: BTreeMap<MixId, Option<ParticipantId>>,
    sees: BTreeMap<ParticipantId, MixId>,
    hears: BTreeMap<ParticipantId, MixId>,
    shown: BTreeMap<OutputId, MixId>,
    told: BTreeMap<OutputId, MixId>,
    decodes: BTreeSet<(ParticipantId, Kind)>,
    given: BTreeMap<ParticipantId, Tier>,
    planned: u64,
}

impl World {
    fn carry_out(&mut self, state: &State, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Decode(id, kind, true) => {
                    self.decodes.insert((*id, *kind));
                }
                Effect::Decode(id, kind, false) => {
                    self.decodes.remove(&(*id, *kind));
                }
                Effect::OpenVideo(mix, key) => {
                    assert!(!self.video.values().any(|k| k == key), "two mixes alike");
                    assert!(self.video.insert(*mix, *key).is_none(), "an id used twice");
                }
                Effect::OpenAudio(mix, without) => {
                    assert!(!self.audio.values().any(|w| w == without), "two sums alike");
                    assert!(self.audio.insert(*mix, *without).is_none());
                }
                Effect::ListenVideo(who, Some(mix)) => {
                    assert!(self.video.contains_key(mix), "listens to nothing");
                    self.sees.insert(*who, *mix);
                }
                Effect::ListenVideo(who, None) => {
                    self.sees.remove(who);
                }
                Effect::ListenAudio(who, Some(mix)) => {
                    assert!(self.audio.contains_key(mix), "listens to nothing");
                    self.hears.insert(*who, *mix);
                }
                Effect::ListenAudio(who, None) => {
                    self.hears.remove(who);
                }
                Effect::FeedVideo(id, Some(mix)) => {
                    assert_eq!(self.video[mix].without, None, "lacks somebody");
                    self.shown.insert(*id, *mix);
                }
                Effect::FeedVideo(id, None) => {
                    self.shown.remove(id);
                }
                Effect::FeedAudio(id, Some(mix)) => {
                    assert_eq!(self.audio[mix], None, "lacks somebody");
                    self.told.insert(*id, *mix);
                }
                Effect::FeedAudio(id, None) => {
                    self.told.remove(id);
                }
                Effect::CloseVideo(mix) => {
                    assert!(!self.sees.values().any(|m| m == mix), "cut off a listener");
                    assert!(!self.shown.values().any(|m| m == mix), "cut off an output");
                    self.video.remove(mix);
                }
                Effect::CloseAudio(mix) => {
                    assert!(!self.hears.values().any(|m| m == mix), "cut off a listener");
                    assert!(!self.told.values().any(|m| m == mix), "cut off an output");
                    self.audio.remove(mix);
                }
                Effect::Replan => {
                    let newest = state.video_mixes().iter();
                    let newest = newest.filter_map(|(id, _)| state.arrangement(id));
                    self.planned = newest.map(|a| a.layout).max().unwrap_or(self.planned);
                }
                Effect::Announce | Effect::Uplink(..) | Effect::Codec(_) => {}
                Effect::Layer { .. } => {}
                Effect::Tier(who) => {
                    let given = state.given(*who).expect("somebody");
                    self.given.insert(*who, given.tier);
                }
            }
        }
    }

    fn check(&self, state: &State, receives: &BTreeMap<ParticipantId, (Option<VideoCodec>, bool)>) {
        for mix in self.video.keys() {
            let mut listeners = self.sees.values().chain(self.shown.values());
            assert!(listeners.any(|m| m == mix), "an encoder without a listener");
        }
        for mix in self.audio.keys() {
            let mut listeners = self.hears.values().chain(self.told.values());
            assert!(listeners.any(|m| m == mix), "an encoder without a listener");
        }
        let people = state.people().values().filter(|person| !person.view);
        let labels: Vec<_> = people.map(|person| person.label.as_str()).collect();
        let distinct: BTreeSet<_> = labels.iter().collect();
        assert_eq!(distinct.len(), labels.len(), "namesakes: {labels:?}");
        let stage: Vec<_> = state.stage().sources().collect();
        assert!(stage.len() <= state.settings().stage_size);
        for source in &stage {
            let shown = state.people().get(&source.who);
            assert!(shown.is_some_and(|p| !p.view), "shows who is not there");
        }
        let mut heard_off_stage = 0;
        for (id, kind) in &self.decodes {
            assert!(state.people().contains_key(id), "decodes who left");
            assert!(state.decodes(*id, *kind));
            let off_stage = stage.iter().all(|source| source.who != *id);
            assert!(
                *kind == Kind::Audio || !off_stage,
                "decodes what nobody sees"
            );
            let opaque = state.speakers().is_opaque(*id);
            heard_off_stage += usize::from(off_stage && !opaque);
        }
        assert!(heard_off_stage <= state.settings().audio_active);
        let mixed = |person: &Person| person.downlink == Downlink::Mixed;
        if self.shown.is_empty() && self.told.is_empty() && !state.people().values().any(mixed) {
            assert!(self.decodes.is_empty(), "decodes what is not mixed");
        }
        for (id, person) in state.people() {
            let there = |from: &ParticipantId| from != id && state.people().contains_key(from);
            assert!(person.takes.iter().all(there), "takes what is not there");
        }
        for (id, person) in state.people() {
            let (codec, audio) = receives.get(id).copied().unwrap_or((None, false));
            let tier = state.given(*id).expect("here").tier;
            assert_eq!(
                self.sees.contains_key(id),
                codec.is_some() && tier != Tier::Audio && mixed(person),
                "sees iff it can and is to"
            );
            if codec.is_some() || audio {
                assert_eq!(self.given.get(id), Some(&tier), "is told");
            }
            let hears = audio && mixed(person);
            assert_eq!(self.hears.contains_key(id), hears, "hears iff it can");
            if let Some(mix) = self.sees.get(id) {
                assert_eq!(Some(self.video[mix].codec), codec);
                assert_eq!(self.video[mix].tier, tier);
                let places = &state
                    .arrangement(*mix)
                    .expect("every mix is arranged")
                    .places;
                assert!(
                    places.iter().all(|p| p.source.who != *id),
                    "{id} sees themselves"
                );
                let others = stage.iter().filter(|shown| shown.who != *id);
                if tier == Tier::Low {
                    assert_eq!(places.len(), others.count().min(1), "one alone");
                } else if tier == Tier::Medium {
                    let most = others.count().min(4);
                    assert!((most.min(1)..=most).contains(&places.len()), "a few");
                } else if others.clone().any(|shown| shown.share) {
                    assert!(places[0].source.share, "a screen is presented");
                } else {
                    assert_eq!(places.len(), others.count(), "somebody on stage is missing");
                }
            }
            if let Some(mix) = self.hears.get(id)
                && person.audible()
                && state.decodes(*id, Kind::Audio)
            {
                assert_eq!(self.audio[mix], Some(*id), "{id} hears themselves");
            }
        }
        for who in self.sees.keys().chain(self.hears.keys()) {
            assert!(state.people().contains_key(who), "a listener who left");
        }
        let newest = state.video_mixes().iter();
        let newest = newest
            .filter_map(|(id, _)| state.arrangement(id))
            .map(|a| a.layout);
        assert!(
            newest.max().unwrap_or(0) <= self.planned,
            "a change that was not published"
        );
    }
}

fn live(policy: MixPolicy, steps: Vec<Step>) {
    let settings = Settings {
        policy,
        ..Default::default()
    };
    let mut state = State::new(settings);
    let mut world = World::default();
    let mut receives = BTreeMap::new();
    let mut now = MediaTime(0);
    let mut next = 1;
    for step in steps {
        let ids: Vec<_> = state.people().keys().copied().collect();
        // Steps name somebody by position; some name nobody, which must be harmless.
        let id = |n: usize| ids.get(n).copied().unwrap_or(ParticipantId(9999));
        let mut events = Vec::new();
        match step {
            Step::Join {
                view,
                audio,
                video,
                portrait,
            } => {
                let id = ParticipantId(next);
                next += 1;
                let name = DisplayName::new("somebody").expect("a name");
                events.push((
                    now,
                    Event::Joined {
                        id,
                        name,
                        view,
                        audio,
                        video,
                        portrait,
                        direct: false,
                    },
                ));
            }
            Step::Leave(n) => {
                world.decodes.retain(|(who, _)| *who != id(n));
                events.push((now, Event::Left { id: id(n) }));
            }
            Step::Media(n, audio, video) => {
                let id = id(n);
                events.push((now, Event::Media { id, audio, video }));
            }
            Step::Track(n, kind) => events.push((now, Event::Track { id: id(n), kind })),
            Step::Live(n, live) => events.push((now, Event::Live { id: id(n), live })),
            Step::Downlink(n, video, audio) => {
                let id = id(n);
                receives.insert(id, (video, audio));
                events.push((now, Event::Downlink { id, video, audio }));
            }
            Step::Pin(n, pinned) => events.push((now, Event::Pin { id: id(n), pinned })),
            Step::Share(n, on) => events.push((now, Event::Share { id: id(n), on })),
            Step::Choose(n, quality) => {
                let view = View {
                    quality: Some(quality),
                    ..View::default()
                };
                events.push((now, Event::View { id: id(n), view }));
            }
            Step::Way(n, downlink) => {
                let view = View {
                    downlink: Some(downlink),
                    ..View::default()
                };
                events.push((now, Event::View { id: id(n), view }));
            }
            Step::Take(n, from, on) => {
                let (id, from) = (id(n), id(from));
                events.push((now, Event::Take { id, from, on }));
            }
            Step::Line(n, tier) => events.push((now, Event::Line { id: id(n), tier })),
            Step::Keyframe(n) => events.push((now, Event::Keyframe { id: id(n) })),
            Step::Cap(tier) => events.push((now, Event::TierCap(tier))),
            Step::Voice(n) => events.push((now, Event::Voice { id: id(n) })),
            Step::Output(n, layout, on) => {
                let wish = Wish {
                    video: layout.map(|_| VideoCodec::H264),
                    tier: if n == 0 { Tier::Medium } else { Tier::High },
                    audio: true,
                    layout: layout.flatten(),
                    portrait: false,
                    patience: Duration::from_secs(1),
                    sign: false,
                };
                let (id, wish) = (OutputId(n), on.then_some(wish));
                events.push((now, Event::Output { id, wish }));
            }
            Step::Sound(n, claimed, decoded, blocks) => {
                for _ in 0..blocks {
                    now = now.plus(Duration::from_millis(100));
                    let claims = Claims {
                        levels: vec![-f32::from(claimed); 5],
                        bare: claimed == 0,
                    };
                    events.push((now, Event::Claims(vec![(id(n), claims)])));
                    let level = Level {
                        who: id(n),
                        dbfs: -f32::from(decoded),
                        speaking: decoded < 50,
                    };
                    events.push((now, Event::Levels(vec![level])));
                }
            }
            Step::Wait(ms) => {
                now = now.plus(Duration::from_millis(ms));
                events.push((now, Event::Wake));
            }
        }
        for (at, event) in events {
            let effects = state.apply(at, event);
            world.carry_out(&state, &effects);
            if policy != MixPolicy::Common {
                world.check(&state, &receives);
            }
        }
    }
    let everybody: Vec<_> = state.people().keys().copied().collect();
    for id in everybody {
        let effects = state.apply(now, Event::Left { id });
        world.carry_out(&state, &effects);
    }
    for id in (0..3).map(OutputId) {
        let effects = state.apply(now, Event::Output { id, wish: None });
        world.carry_out(&state, &effects);
    }
    assert!(
        world.video.is_empty() && world.audio.is_empty(),
        "an empty room costs something"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn nobody_meets_themselves_and_no_encoder_runs_for_nobody(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        live(MixPolicy::Personal, steps);
    }

    #[test]
    fn the_common_policy_shares_and_cleans_up_too(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        live(MixPolicy::Common, steps);
    }
}

fn join(state: &mut State, n: u32, view: bool) -> ParticipantId {
    let id = ParticipantId(n);
    let name = DisplayName::new("x").expect("a name");
    let (audio, video, portrait) = (true, true, false);
    state.apply(
        MediaTime(0),
        Event::Joined {
            id,
            name,
            view,
            audio,
            video,
            portrait,
            direct: false,
        },
    );
    let video = Some(VideoCodec::H264);
    state.apply(
        MediaTime(0),
        Event::Downlink {
            id,
            video,
            audio: true,
        },
    );
    id
}

/// Until everybody who came at once is on stage.
fn settle(state: &mut State) {
    while let Some(at) = state.wake_at() {
        state.apply(at, Event::Wake);
    }
}

#[test]
fn viewers_share_one_encoder_and_people_have_their_own() {
    let mut state = State::new(Settings::default());
    for n in 1..=4 {
        join(&mut state, n, false);
    }
    for n in 5..=24 {
        join(&mut state, n, true);
    }
    settle(&mut state);
    assert_eq!(state.video_mixes().iter().count(), 4 + 1);
}

#[test]
fn the_tenth_is_off_stage_and_shares_the_common_mix() {
    let mut state = State::new(Settings::default());
    for n in 1..=11 {
        join(&mut state, n, false);
    }
    settle(&mut state);
    assert_eq!(state.stage().sources().count(), 9);
    assert_eq!(state.video_mixes().iter().count(), 9 + 1);
    state.apply(
        MediaTime(0),
        Event::Left {
            id: ParticipantId(1),
        },
    );
    assert!(
        state.stage().holds(Source::camera(ParticipantId(10))),
        "the next one moves up"
    );
    assert_eq!(state.video_mixes().iter().count(), 9 + 1);
}

fn mixes(state: &State) -> Vec<VideoKey> {
    let mut keys: Vec<_> = state.video_mixes().iter().map(|(_, m)| m.key).collect();
    keys.sort_by_key(|key| key.without);
    keys
}

fn view(state: &mut State, id: ParticipantId, view: View) {
    state.apply(MediaTime(0), Event::View { id, view });
}

#[test]
fn with_one_common_mix_only_who_cannot_do_without_has_their_own() {
    let mut state = State::new(Settings {
        policy: MixPolicy::Common,
        ..Settings::default()
    });
    let people: Vec<_> = (1..=4).map(|n| join(&mut state, n, false)).collect();
    join(&mut state, 5, true);
    settle(&mut state);
    assert_eq!(mixes(&state).len(), 4 + 1);
    let overlay = |overlay| View {
        overlay: Some(overlay),
        ..View::default()
    };
    for id in &people {
        view(&mut state, *id, overlay(true));
    }
    let [key] = mixes(&state)[..] else {
        panic!("{:?}", mixes(&state));
    };
    assert_eq!(key.without, None);
    // Picture-in-picture: nothing can be laid over that.
    view(&mut state, people[2], overlay(false));
    assert_eq!(mixes(&state).len(), 2);
    assert_eq!(mixes(&state)[1].without, Some(people[2]));
}

#[test]
fn nobody_is_alone_in_a_picture_of_one() {
    let mut state = State::new(Settings {
        policy: MixPolicy::Common,
        ..Settings::default()
    });
    let people: Vec<_> = (1..=3).map(|n| join(&mut state, n, false)).collect();
    let low = View {
        overlay: Some(true),
        quality: Some(Quality::Low),
        ..View::default()
    };
    for id in &people {
        view(&mut state, *id, low);
    }
    settle(&mut state);
    let lists = |state: &State| -> Vec<_> {
        let mixes = state.video_mixes().iter().map(|(id, mix)| {
            let shown = &state.arrangement(id).expect("it is laid out").places;
            let shown: Vec<_> = shown.iter().map(|place| place.source.who).collect();
            (mix.listeners.clone(), shown)
        });
        mixes.collect()
    };
    let mixes = lists(&state);
    assert_eq!(
        mixes.len(),
        2,
        "one for who is shown, and one for the others: {mixes:?}"
    );
    for (listeners, shown) in mixes {
        let [who] = shown[..] else {
            panic!("{shown:?}")
        };
        assert!(
            !listeners.contains(&Ear::Person(who)),
            "{who} sees themselves"
        );
    }
}

#[test]
fn an_empty_room_costs_next_to_nothing() {
    let mut state = State::new(Settings::default());
    let viewers: Vec<_> = (1..=2).map(|n| join(&mut state, n, true)).collect();
    let fps = |state: &State| -> Vec<_> { mixes(state).iter().map(|key| key.fps).collect() };
    assert_eq!(fps(&state), [2]);
    let ann = join(&mut state, 3, false);
    assert_eq!(fps(&state), [25, 25]);
    let ids = [viewers[0], viewers[1]].map(|id| state.video_mixes().of(id));
    assert_eq!(ids[0], ids[1]);
    state.apply(MediaTime(0), Event::Left { id: ann });
    settle(&mut state);
    assert_eq!(fps(&state), [2]);
}

#[test]
fn a_viewer_may_leave_one_out_and_shares_their_mix() {
    let mut state = State::new(Settings::default());
    let people: Vec<_> = (1..=3).map(|n| join(&mut state, n, false)).collect();
    let (viewer, other) = (join(&mut state, 4, true), join(&mut state, 5, true));
    let kind = Kind::Audio;
    for id in &people {
        state.apply(MediaTime(0), Event::Track { id: *id, kind });
    }
    settle(&mut state);
    let before = mixes(&state).len();
    let without = |id| View {
        without: Some(id),
        ..View::default()
    };
    view(&mut state, viewer, without(people[1]));
    assert_eq!(mixes(&state).len(), before, "no picture more");
    let (sees, hears) = (state.video_mixes(), state.audio_mixes());
    for (mixes, who) in [
        (sees.of(viewer), sees.of(people[1])),
        (hears.of(viewer), hears.of(people[1])),
    ] {
        assert_eq!(mixes, who);
    }
    assert_ne!(sees.of(viewer), sees.of(other));
    assert_ne!(hears.of(viewer), hears.of(other));
    // Who takes part has no choice: they would be in it.
    view(&mut state, people[0], without(people[1]));
    let own = state
        .video_mixes()
        .of(people[0])
        .and_then(|mix| state.video_mixes().get(mix));
    assert_eq!(own.map(|mix| mix.key.without), Some(Some(people[0])));
    // Of whom nothing is left, nothing is left out.
    state.apply(MediaTime(0), Event::Left { id: people[1] });
    assert_eq!(
        state.video_mixes().of(viewer),
        state.video_mixes().of(other)
    );
    assert_eq!(
        state.audio_mixes().of(viewer),
        state.audio_mixes().of(other)
    );
}

#[test]
fn what_the_processor_can_bear_decides_who_has_their_own() {
    let mut state = State::new(Settings::default());
    for n in 1..=4 {
        let id = join(&mut state, n, false);
        let overlay = Some(true);
        view(
            &mut state,
            id,
            View {
                overlay,
                ..View::default()
            },
        );
    }
    settle(&mut state);
    let mut count_at = |second: u64, used: f32| {
        let now = MediaTime((10 + second) * 1_000_000_000);
        let effects = state.apply(now, Event::Load(used));
        // The change is one keyframe of a new mix for each, and nobody is left without.
        let left = |effect: &&Effect| matches!(effect, Effect::ListenVideo(_, None));
        assert!(!effects.iter().any(|effect| left(&effect)), "{effects:?}");
        mixes(&state).len()
    };
    assert_eq!(count_at(0, 1.3), 4, "a peak");
    assert_eq!(count_at(1, 0.9), 4);
    let counts: Vec<_> = (2..6).map(|s| count_at(s, 1.3)).collect();
    assert_eq!(counts, [4, 4, 1, 1]);
    assert_eq!(count_at(7, 0.3), 1);
    assert_eq!(count_at(20, 0.3), 1, "not at once");
    assert_eq!(count_at(27, 0.3), 4);
}

#[test]
fn a_layout_is_the_rooms_or_ones_own() {
    let mut state = State::new(Settings::default());
    let people: Vec<_> = (1..=3).map(|n| join(&mut state, n, false)).collect();
    let viewer = join(&mut state, 4, true);
    settle(&mut state);
    let layouts = |state: &State| -> Vec<_> { mixes(state).iter().map(|key| key.layout).collect() };
    use Layout::{Grid, Solo, Speaker};
    let wish = |layout| View {
        layout: Some(layout),
        ..View::default()
    };
    view(&mut state, people[1], wish(Some(Solo)));
    // A viewer's mix is everybody's.
    view(&mut state, viewer, wish(Some(Solo)));
    assert_eq!(layouts(&state), [Grid, Grid, Solo, Grid]);
    state.apply(
        MediaTime(0),
        Event::Configure(Change {
            layout: Some(Layout::Presentation),
            ..Change::default()
        }),
    );
    // There is no screen to present.
    assert_eq!(layouts(&state), [Speaker, Speaker, Solo, Speaker]);
    view(&mut state, people[1], wish(None));
    assert_eq!(layouts(&state), [Speaker; 4]);
}

#[test]
fn a_screen_is_large_and_its_owner_is_beside_it_while_they_speak() {
    let mut state = State::new(Settings::default());
    let people: Vec<_> = (1..=3).map(|n| join(&mut state, n, false)).collect();
    join(&mut state, 4, true);
    settle(&mut state);
    let (id, on) = (people[1], true);
    state.apply(
        MediaTime(0),
        Event::Track {
            id,
            kind: Kind::Video,
        },
    );
    state.apply(MediaTime(0), Event::Live { id, live: true });
    state.apply(MediaTime(0), Event::Share { id, on });
    settle(&mut state);
    let keys = mixes(&state);
    let presented = |key: &&VideoKey| key.layout == Layout::Presentation;
    // Everybody's but the presenter's own, who sees the others as before.
    assert_eq!(keys.iter().filter(presented).count(), 3);
    assert_eq!(keys[2].layout, Layout::Grid);
    let screens = keys.iter().filter(presented);
    for key in screens {
        assert_eq!((key.size, key.fps), (Size::new(1920, 1080), 10));
    }
    let common = state
        .video_mixes()
        .iter()
        .find(|(_, m)| m.key.without.is_none());
    let (mix, _) = common.expect("a viewer");
    let places = &state.arrangement(mix).expect("arranged").places;
    assert_eq!(places[0].source, Source::screen(id));
    assert!(places[0].live && state.decodes(id, Kind::Video));
    // Whoever is beside it: the camera of who shares is not to be seen.
    let theirs = places[1..].iter().find(|place| place.source.who == id);
    assert!(theirs.is_none_or(|place| !place.live));
    state.apply(MediaTime(0), Event::Share { id, on: false });
    settle(&mut state);
    assert!(mixes(&state).iter().all(|key| key.layout == Layout::Grid));
    assert!(state.stage().sources().all(|source| !source.share));
}

/// Pixels, pictures a second, tiles and listeners of each mix, the best tier first.
fn tiers(state: &State) -> Vec<(u32, u32, usize, usize)> {
    let mut mixes: Vec<_> = state.video_mixes().iter().collect();
    mixes.sort_by_key(|(_, mix)| std::cmp::Reverse(mix.key.tier));
    let seen = mixes.into_iter().map(|(id, mix)| {
        let tiles = state.arrangement(id).expect("arranged").places.len();
        (mix.key.size.width, mix.key.fps, tiles, mix.listeners.len())
    });
    seen.collect()
}

#[test]
fn those_who_get_a_tier_share_its_mix_and_nobody_elses() {
    let mut state = State::new(Settings::default());
    for n in 1..=12 {
        join(&mut state, n, false);
    }
    let viewers: Vec<_> = (20..=28).map(|n| join(&mut state, n, true)).collect();
    settle(&mut state);
    let before = mixes(&state).len();
    let choose = |quality| View {
        quality: Some(quality),
        ..View::default()
    };
    for (n, id) in viewers.iter().enumerate() {
        let quality = [Quality::Medium, Quality::Low, Quality::Audio][n % 3];
        view(&mut state, *id, choose(quality));
    }
    settle(&mut state);
    assert_eq!(mixes(&state).len(), before + 2);
    // Nine personal ones, and that of the three off stage.
    let (all, few) = (before, [(640, 20, 4, 3), (320, 10, 1, 3)]);
    assert_eq!(tiers(&state)[all..], few);
    let shown = |tier: Tier| {
        let mut mixes = state.video_mixes().iter();
        let mix = mixes.find(|(_, mix)| mix.key.tier == tier);
        let arranged = mix.and_then(|(id, _)| state.arrangement(id));
        arranged.expect("a mix").places.clone()
    };
    for (tier, width, height) in [(Tier::Medium, 640, 360), (Tier::Low, 320, 180)] {
        for place in shown(tier) {
            assert!(state.stage().holds(place.source), "decoded anyway");
            let rect = place.rect;
            assert!(rect.x + rect.width <= width && rect.y + rect.height <= height);
        }
    }
    // A recorder asks for the same one.
    let wanted = Wanted::common(Tier::Medium, VideoCodec::H264);
    let key = state.key(&wanted).expect("a picture");
    assert!(state.video_mixes().iter().any(|(_, mix)| mix.key == key));
    assert_eq!(
        state.key(&Wanted::common(Tier::Audio, VideoCodec::H264)),
        None
    );
    // What nobody gets any more costs nothing.
    for id in &viewers {
        view(&mut state, *id, choose(Quality::Auto));
    }
    assert_eq!(mixes(&state).len(), before);
}

#[test]
fn a_portrait_canvas_is_of_the_tier_too() {
    let mut state = State::new(Settings::default());
    join(&mut state, 1, false);
    let viewer = join(&mut state, 2, true);
    for (quality, size) in [
        (Quality::High, (720, 1280)),
        (Quality::Medium, (360, 640)),
        (Quality::Low, (320, 180)),
    ] {
        let wish = View {
            portrait: Some(true),
            quality: Some(quality),
            ..View::default()
        };
        view(&mut state, viewer, wish);
        let mix = state.video_mixes().of(viewer).expect("a mix");
        let key = state.video_mixes().get(mix).expect("a mix").key;
        assert_eq!((key.size.width, key.size.height), size);
    }
}

#[test]
fn who_gets_another_tier_is_told_why_and_nobody_else_notices() {
    let mut state = State::new(Settings::default());
    let [ann, bob] = [1, 2].map(|n| join(&mut state, n, false));
    let mut apply = |event| {
        let effects = state.apply(MediaTime(0), event);
        let told = effects.iter().filter_map(|effect| match effect {
            Effect::Tier(who) => state
                .given(*who)
                .map(|g| (*who, g.tier, g.because, g.bitrate)),
            Effect::ListenVideo(who, _) => {
                assert_eq!(*who, bob);
                None
            }
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let (id, tier) = (bob, Tier::Low);
    let lowered = (bob, Tier::Low, Because::Line, 150_000);
    assert_eq!(apply(Event::Line { id, tier }), [lowered]);
    assert_eq!(apply(Event::Line { id, tier }), []);
    let tier = Tier::High;
    let raised = (bob, Tier::High, Because::Chosen, 1_500_000);
    assert_eq!(apply(Event::Line { id, tier }), [raised]);
    let quality = Some(Quality::Medium);
    let view = View {
        quality,
        ..View::default()
    };
    let chosen = (bob, Tier::Medium, Because::Chosen, 500_000);
    assert_eq!(apply(Event::View { id, view }), [chosen]);
    let given = |state: &State, id| state.given(id).map(|given| given.tier);
    assert_eq!(given(&state, ann), Some(Tier::High));
    let effects = state.apply(MediaTime(0), Event::TierCap(Tier::Low));
    let told = effects.iter().filter(|e| matches!(e, Effect::Tier(_)));
    assert_eq!(told.count(), 2);
    assert_eq!(state.given(ann).map(|g| g.because), Some(Because::Server));
}

#[test]
fn whose_line_changes_costs_the_others_no_keyframe() {
    let mut state = State::new(Settings::default());
    join(&mut state, 1, false);
    let viewers: Vec<_> = (2..=4).map(|n| join(&mut state, n, true)).collect();
    settle(&mut state);
    let before = mixes(&state).len();
    let moved = |effects: Vec<Effect>| -> Vec<ParticipantId> {
        let moved = effects.into_iter().filter_map(|effect| match effect {
            Effect::ListenVideo(who, Some(_)) => Some(who),
            _ => None,
        });
        moved.collect()
    };
    let line = |state: &mut State, id, tier| state.apply(MediaTime(0), Event::Line { id, tier });
    let [first, second, third] = viewers[..] else {
        unreachable!()
    };
    assert_eq!(moved(line(&mut state, first, Tier::Low)), [first]);
    // Back again, but not into the mix of the others ...
    assert_eq!(moved(line(&mut state, first, Tier::High)), [first]);
    assert_eq!(mixes(&state).len(), before + 1);
    assert_eq!(
        tiers(&state)
            .iter()
            .filter(|(width, ..)| *width == 1280)
            .count(),
        before + 1
    );
    // ... until these get a keyframe for another reason: one of them needs it,
    let effects = state.apply(MediaTime(0), Event::Keyframe { id: second });
    assert_eq!(moved(effects), [first]);
    assert_eq!(mixes(&state).len(), before);
    // or somebody comes.
    line(&mut state, third, Tier::Medium);
    line(&mut state, third, Tier::High);
    assert_eq!(mixes(&state).len(), before + 1);
    let own = state.apply(MediaTime(0), Event::Keyframe { id: third });
    assert_eq!(moved(own), []);
    join(&mut state, 9, true);
    assert_eq!(mixes(&state).len(), before);
    // A choice of one's own is like coming.
    let choose = |quality| View {
        quality: Some(quality),
        ..View::default()
    };
    view(&mut state, first, choose(Quality::Low));
    view(&mut state, first, choose(Quality::Auto));
    assert_eq!(mixes(&state).len(), before);
}

#[test]
fn mute_keeps_the_own_sum_for_a_moment_and_then_shares() {
    let mut state = State::new(Settings::default());
    let ann = join(&mut state, 1, false);
    let bob = join(&mut state, 2, false);
    let second = |s: u64| MediaTime(s * 1_000_000_000);
    for id in [ann, bob] {
        state.apply(
            second(0),
            Event::Track {
                id,
                kind: Kind::Audio,
            },
        );
    }
    let sums = |state: &State| {
        state
            .audio_mixes()
            .iter()
            .map(|(_, m)| m.key.without)
            .collect::<Vec<_>>()
    };
    state.apply(
        second(1),
        Event::Media {
            id: ann,
            audio: false,
            video: true,
        },
    );
    assert!(sums(&state).contains(&Some(ann)));
    let wake = state.wake_at().expect("to give the sum up");
    state.apply(wake, Event::Wake);
    assert!(sums(&state).contains(&None) && !sums(&state).contains(&Some(ann)));
    assert_eq!(state.wake_at(), None);
}

#[test]
fn a_volume_costs_a_sum_of_ones_own_while_it_is_set() {
    let mut state = State::new(Settings::default());
    let [ann, bob, eve] = [1, 2, 3].map(|n| join(&mut state, n, false));
    let now = MediaTime(0);
    let sums = |state: &State| state.audio_mixes().iter().count();
    assert_eq!(sums(&state), 1, "nobody is heard yet");
    let volume = |id, who, percent| Event::Volume { id, who, percent };
    let effects = state.apply(now, volume(ann, bob, 50));
    assert_eq!(sums(&state), 2);
    assert!(effects.contains(&Effect::Replan));
    let again = state.apply(now, volume(ann, bob, 30));
    assert_eq!(again, [Effect::Replan], "the same sum, made otherwise");
    assert_eq!(state.people()[&ann].volumes[&bob], 30);
    state.apply(now, volume(ann, ann, 30));
    state.apply(now, volume(ann, ParticipantId(9), 30));
    assert_eq!(
        state.people()[&ann].volumes.len(),
        1,
        "nobody else is heard"
    );
    state.apply(now, volume(ann, bob, 100));
    assert_eq!(sums(&state), 1);
    state.apply(now, volume(eve, bob, 0));
    assert_eq!(sums(&state), 2);
    state.apply(now, Event::Left { id: bob });
    assert_eq!(sums(&state), 1, "who left takes it along");
}

/// What follows when somebody comes, with their own number and those of mixes left out.
fn arrival(state: &mut State, now: MediaTime, id: ParticipantId) -> Vec<String> {
    let name = DisplayName::new("newcomer").expect("a name");
    let (view, audio, video, portrait) = (false, true, true, false);
    let joined = Event::Joined {
        id,
        name,
        view,
        audio,
        video,
        portrait,
        direct: false,
    };
    let kind = Kind::Video;
    let events = [
        joined,
        Event::Downlink {
            id,
            video: Some(VideoCodec::H264),
            audio: true,
        },
        Event::Track { id, kind },
        Event::Live { id, live: true },
    ];
    let mut seen = vec![];
    for event in events {
        for effect in state.apply(now, event) {
            seen.push(match effect {
                Effect::OpenVideo(_, key) => {
                    format!("video {} {:?}", key.without == Some(id), key.size)
                }
                Effect::OpenAudio(_, without) => format!("audio {}", without == Some(id)),
                Effect::ListenVideo(who, mix) => format!("sees {} {}", who == id, mix.is_some()),
                Effect::ListenAudio(who, mix) => format!("hears {} {}", who == id, mix.is_some()),
                Effect::Decode(who, kind, on) => format!("decode {} {kind:?} {on}", who == id),
                Effect::Uplink(who, demand) => format!("sends {} {demand:?}", who == id),
                Effect::Tier(who) => format!("gets {}", who == id),
                Effect::CloseVideo(_) => "close video".into(),
                Effect::CloseAudio(_) => "close audio".into(),
                other => format!("{other:?}"),
            });
        }
    }
    let mix = state.video_mixes().of(id).expect("they see something");
    let tiles = &state
        .arrangement(mix)
        .expect("every mix is arranged")
        .places;
    seen.extend(
        tiles
            .iter()
            .map(|place| format!("{:?} {}", place.rect, place.live)),
    );
    seen
}

#[test]
fn a_room_that_is_hours_old_takes_people_in_like_a_new_one() {
    let mut fresh = State::new(Settings::default());
    join(&mut fresh, 1, false);
    join(&mut fresh, 2, false);
    let fresh = arrival(&mut fresh, MediaTime(0), ParticipantId(3));

    // One join or leave every ten seconds, for two days; then everybody refreshes, the two last
    // ones leave at once, and two others come.
    let mut old = State::new(Settings::default());
    let second = |s: u64| MediaTime(s * 1_000_000_000);
    let (mut present, mut number, mut now) = (std::collections::VecDeque::new(), 10, 0);
    while now < 2 * 86_400 {
        now += 10;
        if present.len() < 3 || now % 70 == 0 {
            let id = ParticipantId(number);
            arrival(&mut old, second(now), id);
            number += 1;
            present.push_back(id);
        } else if let Some(id) = present.pop_front() {
            let (audio, video) = (now % 20 == 0, now % 30 == 0);
            old.apply(second(now), Event::Media { id, audio, video });
            old.apply(second(now + 1), Event::Left { id });
        }
        if old.wake_at().is_some_and(|at| at <= second(now + 5)) {
            old.apply(second(now + 5), Event::Wake);
        }
    }
    while let Some(id) = present.pop_front() {
        old.apply(second(now), Event::Left { id });
    }
    assert_eq!(old.video_mixes().iter().count(), 0);
    assert_eq!(old.wake_at(), None, "nothing is left to be done");
    join(&mut old, number, false);
    join(&mut old, number + 1, false);
    let late = arrival(&mut old, second(now + 1), ParticipantId(number + 2));
    assert_eq!(late, fresh);
}
