//! Which way a room's media goes, in virtual time: the room follows from who is in, whoever takes
//! others as they are costs no mix, and what is taken is what is asked of its sender.

use std::time::Duration;

use quilt::clock::MediaTime;
use quilt::id::{DisplayName, OutputId, ParticipantId};
use quilt::media::{Downlink, Kind, Layer, Quality, Tier, Topology, TopologyPolicy, VideoCodec};
use quilt::room::common_codec::Abilities;
use quilt::room::output::Wish;
use quilt::room::state::{Change, Effect, Event, Settings, State, View};

struct Room {
    state: State,
    now: MediaTime,
}

impl Room {
    fn new(topology: TopologyPolicy) -> Self {
        let settings = Settings {
            topology,
            ..Settings::default()
        };
        Self {
            state: State::new(settings),
            now: MediaTime(1_000_000_000),
        }
    }

    fn apply(&mut self, event: Event) -> Vec<Effect> {
        self.state.apply(self.now, event)
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now.plus(Duration::from_secs(seconds));
        self.apply(Event::Wake);
    }

    /// Somebody comes who sends and receives.
    fn join(&mut self, n: u32, view: View) -> ParticipantId {
        let id = ParticipantId(n);
        let name = DisplayName::new("x").expect("a name");
        self.apply(Event::Joined {
            id,
            name,
            view: false,
            audio: true,
            video: true,
            portrait: false,
            direct: false,
        });
        self.apply(Event::View { id, view });
        for kind in [Kind::Audio, Kind::Video] {
            self.apply(Event::Track { id, kind });
        }
        self.apply(Event::Downlink {
            id,
            video: Some(VideoCodec::H264),
            audio: true,
        });
        id
    }

    fn choose(&mut self, id: ParticipantId, view: View) {
        self.apply(Event::View { id, view });
    }

    fn encoders(&self) -> (usize, usize) {
        let (video, audio) = (self.state.video_mixes(), self.state.audio_mixes());
        (video.iter().count(), audio.iter().count())
    }
}

fn direct() -> View {
    View {
        direct: Some(true),
        ..View::default()
    }
}

fn forwarded() -> View {
    View {
        downlink: Some(Downlink::Forwarded),
        ..View::default()
    }
}

#[test]
fn it_follows_those_who_come_and_go() {
    use Topology::{Mcu, Mesh, Sfu};
    let mut room = Room::new(TopologyPolicy::Auto);
    let mut seen = Vec::new();
    for n in 1..=6 {
        room.join(n, direct());
        seen.push(room.state.topology());
    }
    assert_eq!(seen[1..], [Mesh, Sfu, Sfu, Mcu, Mcu]);
    seen.clear();
    for n in (3..=6).rev() {
        // One after the other, not in one breath.
        room.wait(10);
        let id = ParticipantId(n);
        room.apply(Event::Left { id });
        let soon = room.state.topology();
        // The room wakes by itself for that.
        while let Some(at) = room.state.wake_at() {
            room.now = at;
            room.apply(Event::Wake);
        }
        seen.extend([soon, room.state.topology()]);
    }
    assert_eq!(seen, [Mcu, Mcu, Mcu, Sfu, Sfu, Sfu, Sfu, Mesh]);
}

#[test]
fn what_needs_media_here_ends_a_mesh_and_everybody_is_told() {
    let mut room = Room::new(TopologyPolicy::Mesh);
    let ann = room.join(1, direct());
    let ben = room.join(2, direct());
    assert_eq!(room.state.topology(), Topology::Mesh);
    let output = |on: bool| Event::Output {
        id: OutputId(1),
        wish: on.then_some(Wish {
            video: Some(VideoCodec::H264),
            tier: Tier::High,
            audio: true,
            layout: None,
            portrait: false,
            patience: Duration::from_secs(1),
            sign: true,
        }),
    };
    let needs: [(Event, Event); 4] = [
        (output(true), output(false)),
        (Event::Enforced(true), Event::Enforced(false)),
        (
            Event::Joined {
                id: ParticipantId(3),
                name: DisplayName::new("viewer").expect("a name"),
                view: true,
                audio: false,
                video: false,
                portrait: false,
                direct: false,
            },
            Event::Left {
                id: ParticipantId(3),
            },
        ),
        (
            Event::View {
                id: ben,
                view: View {
                    direct: Some(false),
                    ..View::default()
                },
            },
            Event::View {
                id: ben,
                view: direct(),
            },
        ),
    ];
    for (begins, ends) in needs {
        let effects = room.apply(begins.clone());
        assert_eq!(room.state.topology(), Topology::Sfu, "{begins:?}");
        assert!(effects.contains(&Effect::Announce), "{begins:?}");
        room.apply(ends);
        assert_eq!(room.state.topology(), Topology::Mesh, "{begins:?}");
    }
    assert!(room.state.people().contains_key(&ann));
}

#[test]
fn who_takes_others_as_they_are_costs_no_mix() {
    let mut room = Room::new(TopologyPolicy::Sfu);
    let ann = room.join(1, forwarded());
    let ben = room.join(2, forwarded());
    assert_eq!(room.encoders(), (0, 0));
    for id in [ann, ben] {
        for kind in [Kind::Audio, Kind::Video] {
            assert!(!room.state.decodes(id, kind));
        }
    }
    // One more who wants a mix: one picture and one sum, of the two others.
    let cid = room.join(3, View::default());
    assert_eq!(room.encoders(), (1, 1));
    assert!(room.state.decodes(ann, Kind::Video) && room.state.decodes(ben, Kind::Audio));
    room.choose(cid, forwarded());
    assert_eq!(room.encoders(), (0, 0));
    assert!(!room.state.decodes(ann, Kind::Video) && !room.state.decodes(ben, Kind::Audio));
    let mixed = View {
        downlink: Some(Downlink::Mixed),
        ..View::default()
    };
    for _ in 0..100 {
        for id in [ann, ben, cid] {
            room.choose(id, mixed);
        }
        assert_eq!(room.encoders(), (3, 3));
        for id in [ann, ben, cid] {
            room.choose(id, forwarded());
        }
        assert_eq!(room.encoders(), (0, 0));
    }
}

#[test]
fn what_is_taken_is_asked_for() {
    let mut room = Room::new(TopologyPolicy::Sfu);
    let ann = room.join(1, forwarded());
    let ben = room.join(2, forwarded());
    room.wait(10);
    assert_eq!(room.state.demand(ben).map(|demand| demand.bitrate), Some(0));
    let take = |from, on| Event::Take { id: ann, from, on };
    room.apply(take(ben, true));
    let alone = room.state.demand(ben).expect("sends");
    assert!(alone.height >= 720, "{alone:?}");
    for n in 3..=5 {
        let from = room.join(n, forwarded());
        room.apply(take(from, true));
    }
    room.wait(10);
    let four = room.state.demand(ben).expect("sends");
    assert!(four.height < alone.height && four.height >= 270, "{four:?}");
    room.apply(take(ann, true));
    assert!(!room.state.people()[&ann].takes.contains(&ann), "oneself");
    room.apply(Event::Left { id: ben });
    assert!(!room.state.people()[&ann].takes.contains(&ben));
}

#[test]
fn what_is_forwarded_is_what_all_can_decode() {
    let able = |h264| Abilities { h264, vp8: true };
    let mut room = Room::new(TopologyPolicy::Sfu);
    let people = [1, 2].map(|n| room.join(n, forwarded()));
    let [ann, ben] = people;
    for id in people {
        let codecs = able(true);
        room.apply(Event::Able {
            id,
            codecs,
            layered: false,
        });
    }
    assert_eq!(room.state.codec(), None, "nothing is forwarded yet");
    let take = |id, from, on| Event::Take { id, from, on };
    room.apply(take(ann, ben, true));
    assert_eq!(room.state.codec(), Some(VideoCodec::H264));
    // Who cannot is heeded before anything of theirs is taken.
    let cid = room.join(3, forwarded());
    assert_eq!(room.state.codec(), Some(VideoCodec::H264));
    let codecs = able(false);
    let effects = room.state.apply(
        room.now,
        Event::Able {
            id: cid,
            codecs,
            layered: false,
        },
    );
    assert!(effects.contains(&Effect::Codec(Some(VideoCodec::Vp8))));
    room.apply(Event::Left { id: cid });
    assert_eq!(
        room.state.codec(),
        Some(VideoCodec::Vp8),
        "to change back is worth nothing"
    );
    room.apply(take(ann, ben, false));
    assert_eq!(room.state.codec(), None);
}

/// What was last ordered for `who` of `from`.
fn ordered(effects: &[Effect], of: [ParticipantId; 2]) -> Option<(Layer, Layer)> {
    let mut orders = effects.iter().filter_map(|effect| match effect {
        Effect::Layer {
            who,
            from,
            layer,
            best,
        } if [*who, *from] == of => Some((*layer, *best)),
        _ => None,
    });
    orders.next_back()
}

#[test]
fn who_shows_somebody_small_or_has_a_narrow_line_gets_the_small_copy() {
    use Layer::{Half, Whole};
    let mut room = Room::new(TopologyPolicy::Sfu);
    let [ann, ben, cid] = [1, 2, 3].map(|n| room.join(n, forwarded()));
    let codecs = Abilities {
        h264: true,
        vp8: true,
    };
    room.apply(Event::Able {
        id: cid,
        codecs,
        layered: true,
    });
    for id in [ann, ben] {
        let (from, on) = (cid, true);
        let effects = room.apply(Event::Take { id, from, on });
        assert_eq!(ordered(&effects, [id, cid]), Some((Whole, Whole)));
    }
    // Until the whole comes, the small one is to.
    let demand = room.state.demand(cid).expect("sends");
    assert!(demand.half && demand.height > 0, "{demand:?}");
    let live = |live| Event::Copies { id: cid, live };
    let effects = room.apply(live([true, false]));
    assert_eq!(ordered(&effects, [ann, cid]), Some((Half, Whole)));
    let effects = room.apply(live([true, true]));
    assert_eq!(ordered(&effects, [ann, cid]), Some((Whole, Whole)));
    room.wait(6);
    let demand = room.state.demand(cid).expect("sends");
    assert!(!demand.half && demand.height > 0, "{demand:?}");

    // Ann makes her window small, and large again; Ben gets the whole all the time.
    let sizes = |id, lines| {
        let lines = [(cid, lines)].into();
        Event::Sizes { id, lines }
    };
    assert_eq!(ordered(&room.apply(sizes(ann, 120)), [ann, cid]), None);
    room.now = room.now.plus(Duration::from_secs(3));
    let effects = room.apply(Event::Wake);
    assert_eq!(ordered(&effects, [ann, cid]), Some((Half, Half)));
    assert_eq!(ordered(&effects, [ben, cid]), None);
    let demand = room.state.demand(cid).expect("sends");
    assert!(demand.half && demand.height > 0, "{demand:?}");
    let effects = room.apply(sizes(ann, 500));
    assert_eq!(ordered(&effects, [ann, cid]), Some((Whole, Whole)));

    // Ben's line gets narrow.
    let line = |bears| Event::TakenLine {
        id: ben,
        from: cid,
        bears,
    };
    let effects = room.apply(line(Half));
    assert_eq!(ordered(&effects, [ben, cid]), Some((Half, Whole)));
    assert_eq!(ordered(&effects, [ann, cid]), None);
    let effects = room.apply(line(Whole));
    assert_eq!(ordered(&effects, [ben, cid]), Some((Whole, Whole)));

    // Where all show it small, nothing else is asked for.
    room.apply(sizes(ann, 100));
    room.apply(sizes(ben, 100));
    room.wait(3);
    room.wait(6);
    let demand = room.state.demand(cid).expect("sends");
    assert!(demand.half && demand.height == 0, "{demand:?}");

    // A screen is whole.
    let effects = room.apply(Event::Share { id: cid, on: true });
    assert_eq!(ordered(&effects, [ann, cid]), Some((Whole, Whole)));
}

#[test]
fn a_weak_one_of_three_has_the_room_mixed() {
    let mut room = Room::new(TopologyPolicy::Auto);
    for n in 1..=3 {
        room.join(n, View::default());
    }
    assert_eq!(room.state.topology(), Topology::Sfu);
    room.choose(
        ParticipantId(2),
        View {
            quality: Some(Quality::Low),
            ..View::default()
        },
    );
    assert_eq!(room.state.topology(), Topology::Mcu);
    room.apply(Event::Configure(Change {
        topology: Some(TopologyPolicy::Sfu),
        ..Change::default()
    }));
    assert_eq!(room.state.topology(), Topology::Sfu);
}
