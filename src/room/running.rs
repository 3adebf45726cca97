//! What a meeting costs while it runs (pure): what was measured of the last few seconds, what is
//! counted, and beside it what the other ways to run the same meeting would need.
//!
//! What was not measured is absent and never zero. In a mesh the server sees none of the media, so
//! how many streams there are, and how large they are, only the clients know.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::Serialize;

use crate::clock::MediaTime;
use crate::encode;
use crate::id::ParticipantId;
use crate::media::{Downlink, Kind, VideoCodec};
use crate::peer::{Histogram, Passed, Volume};
use crate::room::budget::Step;
use crate::room::cost::{Part, Work, index};
use crate::room::foresee::{camera_or_screen, pixels};
use crate::room::mixes::Ear;
use crate::room::state::{Person, State};

/// So many looks, one a second, are what is told: enough that a keyframe is no peak, and short
/// enough to watch a change.
const LOOKS: usize = 5;

/// Which way the media of a meeting goes at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// From everybody to everybody.
    Mesh,
    /// The server forwards.
    Sfu,
    /// The server mixes.
    Mcu,
    /// The server forwards to some and mixes for others.
    Hybrid,
}

/// Who, besides those in the meeting, could see and hear it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenBy {
    /// Nobody: media is encrypted from client to client.
    Nobody,
    /// The server holds the keys and forwards packets as they are.
    ForwardingServer,
    /// The server decodes and encodes again.
    MixingServer,
}

/// What a meeting costs. Clients are the people, without those who only watch; their figures are
/// means.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Costs {
    /// People, without those who only watch.
    pub people: usize,
    /// Those who only watch.
    pub viewers: usize,
    /// Which way media goes.
    pub topology: Way,
    /// Who could see and hear it.
    pub seen_by: SeenBy,
    /// Over how many seconds it was measured.
    pub seconds: Option<f64>,
    /// Video streams that a client sends.
    pub uplinks: Option<f64>,
    /// Video streams that a client receives.
    pub downlinks: Option<f64>,
    /// 1000 bits a second that a client sends.
    pub client_kbps_up: Option<f64>,
    /// 1000 bits a second that a client receives.
    pub client_kbps_down: Option<f64>,
    /// Cores that the server keeps busy for this room.
    pub server_cores: Option<f64>,
    /// There are other rooms, so which part of what was measured is this room's is an estimate.
    pub server_cores_estimated: Option<bool>,
    /// 1000 bits a second that the server receives.
    pub server_kbps_in: Option<f64>,
    /// 1000 bits a second that the server sends.
    pub server_kbps_out: Option<f64>,
    /// Encoders of this room.
    pub encoders: Coders,
    /// Decoders of this room.
    pub decoders: Coders,
    /// How long pictures take through the mixer.
    pub mixing: Option<Delay>,
    /// How long packets take that are passed on as they are.
    pub forwarding: Option<Delay>,
    /// What the other ways would need.
    pub computed: Vec<Computed>,
}

/// What encodes or decodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Coders {
    /// Pictures.
    pub video: usize,
    /// Sound.
    pub audio: usize,
}

/// How long something takes on the server.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Delay {
    /// The median.
    pub p50_ms: f64,
    /// One in twenty takes longer.
    pub p95_ms: f64,
}

/// What a meeting of the same people would need, computed from what they send now. The kbit/s are
/// absent where that is not known here.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Computed {
    /// Which way media would go.
    pub topology: Way,
    /// Video streams that a client would send.
    pub uplinks: f64,
    /// Video streams that a client would receive.
    pub downlinks: f64,
    /// 1000 bits a second that a client would send.
    pub client_kbps_up: Option<f64>,
    /// 1000 bits a second that a client would receive.
    pub client_kbps_down: Option<f64>,
    /// 1000 bits a second that the server would receive.
    pub server_kbps_in: Option<f64>,
    /// 1000 bits a second that the server would send.
    pub server_kbps_out: Option<f64>,
}

/// The last few seconds of a meeting.
#[derive(Debug, Default)]
pub struct Running {
    /// When it was looked last, and which way media went then.
    before: Option<(MediaTime, Way)>,
    looks: VecDeque<Look>,
}

/// What went over the wire between two looks.
#[derive(Debug)]
struct Look {
    length: Duration,
    passed: BTreeMap<ParticipantId, Passed>,
}

impl Running {
    /// Takes in what went over the wire since the last call; what the room does at present.
    pub fn look(
        &mut self,
        now: MediaTime,
        state: &State,
        passed: Vec<(ParticipantId, Passed)>,
    ) -> Work {
        let way = way(state);
        let before = self.before.replace((now, way));
        if before.is_some_and(|(_, before)| before != way) {
            // Of two ways in one figure nothing could be learned.
            self.looks.clear();
        } else if let Some((before, _)) = before
            && now > before
        {
            let look = Look {
                length: now.since(before),
                passed: passed.into_iter().collect(),
            };
            if self.looks.len() == LOOKS {
                self.looks.pop_front();
            }
            self.looks.push_back(look);
        }
        self.work(state)
    }

    /// What it costs at present. `used` are the cores that the server keeps busy, `part` is this
    /// room's part of what it does.
    pub fn costs(&self, state: &State, used: Option<f64>, part: Option<Part>) -> Costs {
        let way = way(state);
        if self.before.is_some_and(|(_, before)| before != way) {
            // Nothing was measured of this one yet.
            return Self::default().costs(state, used, part);
        }
        let people = || state.people().iter().filter(|(_, person)| !person.view);
        let n = people().count();
        let seconds = self.seconds().filter(|_| n > 0);
        let by_server = seconds.filter(|_| way != Way::Mesh);
        let mean = |of: &dyn Fn(ParticipantId, &Person) -> f64| {
            people().map(|(id, person)| of(*id, person)).sum::<f64>() / n as f64
        };
        let sends = |id| f64::from(u8::from(self.sum(id, |passed| passed.pictures) > 0));
        let rate = |bytes: u64, seconds: f64| bytes as f64 * 8.0 / 1_000.0 / seconds;
        let of = |id, volume: fn(&Passed) -> Volume| self.sum(id, |passed| volume(passed).bytes);
        let all = |volume: fn(&Passed) -> Volume| {
            let ids = state.people().keys();
            seconds.map(|seconds| rate(ids.map(|id| of(*id, volume)).sum(), seconds))
        };
        let uplinks = by_server.map(|_| mean(&|id, _| sends(id)));
        let up = by_server.map(|s| mean(&|id, _| rate(of(id, |p| p.received), s)));
        let given = |id| state.given(id).map_or(0, |given| given.bitrate);
        let mix = mean(&|id, _| {
            f64::from(given(id)) / 1_000.0 + f64::from(encode::audio::BITRATE) / 1_000.0
        });
        let others = Others {
            n: n as f64,
            streams: mean(&|_, person| f64::from(u8::from(sends_pictures(person)))),
            up,
            mix,
        };
        let decoders = |kind| {
            let ids = state.people().keys();
            ids.filter(|id| state.decodes(**id, kind)).count()
        };
        let cores = used.zip(part);
        let costs = Costs {
            people: n,
            viewers: state.people().len() - n,
            topology: way,
            seen_by: SeenBy::Nobody,
            seconds,
            uplinks,
            downlinks: by_server.map(|_| mean(&|id, person| downlinks(state, id, person))),
            client_kbps_up: up,
            client_kbps_down: by_server.map(|s| mean(&|id, _| rate(of(id, |p| p.sent), s))),
            server_cores: cores.map(|(used, part)| used * part.of_all),
            server_cores_estimated: cores.map(|(_, part)| !part.alone),
            server_kbps_in: all(|passed| passed.received),
            server_kbps_out: all(|passed| passed.sent),
            encoders: Coders {
                video: state.video_mixes().iter().count(),
                audio: state.audio_mixes().iter().count(),
            },
            decoders: Coders {
                video: decoders(Kind::Video),
                audio: decoders(Kind::Audio),
            },
            mixing: self.delay(|passed| &passed.mixed),
            forwarding: self.delay(|passed| &passed.forwarded),
            computed: match n {
                0 => Vec::new(),
                _ => others.than(way),
            },
        };
        let seen_by = seen_by(&costs);
        Costs { seen_by, ..costs }
    }

    fn seconds(&self) -> Option<f64> {
        let length: Duration = self.looks.iter().map(|look| look.length).sum();
        (!length.is_zero()).then_some(length.as_secs_f64())
    }

    fn sum(&self, id: ParticipantId, of: impl Fn(&Passed) -> u64) -> u64 {
        let passed = self.looks.iter().filter_map(|look| look.passed.get(&id));
        passed.map(of).sum()
    }

    fn delay(&self, of: impl Fn(&Passed) -> &Histogram) -> Option<Delay> {
        let mut all = Histogram::default();
        let passed = self.looks.iter().flat_map(|look| look.passed.values());
        passed.for_each(|passed| all.add(of(passed)));
        let ms = |part| all.quantile(part).map(|seconds| seconds * 1_000.0);
        Some(Delay {
            p50_ms: ms(0.5)?,
            p95_ms: ms(0.95)?,
        })
    }

    /// What is done in a second at present; packets as counted, the rest by what there is.
    fn work(&self, state: &State) -> Work {
        let mut work = Work::default();
        let slow = match state.gives_way() >= Step::Pictures {
            true => 2.0,
            false => 1.0,
        };
        for (_, mix) in state.video_mixes().iter() {
            work.encoded[index(mix.key.codec)] += pixels(&mix.key) / slow;
        }
        for (id, person) in state.people() {
            if state.decodes(*id, Kind::Video)
                && let Some(pixels) = camera_or_screen(person)
            {
                // Which codec it is sent in is not known here; this one is dearer.
                work.decoded[index(VideoCodec::H264)] += pixels;
                work.scaled += pixels;
            }
            work.voices += f64::from(u8::from(state.decodes(*id, Kind::Audio)));
        }
        work.sums = state.audio_mixes().iter().count() as f64;
        if let Some(seconds) = self.seconds() {
            let all = || self.looks.iter().flat_map(|look| look.passed.values());
            work.received = all().map(|p| p.received.packets as f64).sum::<f64>() / seconds;
            work.sent = all().map(|p| p.sent.packets as f64).sum::<f64>() / seconds;
        }
        work
    }
}

fn sends_pictures(person: &Person) -> bool {
    !person.view && (person.video || person.shares)
}

/// Video streams that the server sends somebody.
fn downlinks(state: &State, id: ParticipantId, person: &Person) -> f64 {
    let people = state.people();
    let taken = person.takes.iter().filter_map(|from| people.get(from));
    let taken = taken.filter(|person| sends_pictures(person)).count();
    let mixed = usize::from(state.video_mixes().of(Ear::Person(id)).is_some());
    (taken + mixed) as f64
}

/// Which way media goes, by what everybody gets.
fn way(state: &State) -> Way {
    let get = |downlink| state.people().values().any(|p| p.downlink == downlink);
    let (mixed, forwarded) = (get(Downlink::Mixed), get(Downlink::Forwarded));
    match (mixed, forwarded, get(Downlink::Direct)) {
        (true, false, false) => Way::Mcu,
        (false, _, false) => Way::Sfu,
        (false, false, true) => Way::Mesh,
        _ => Way::Hybrid,
    }
}

fn seen_by(costs: &Costs) -> SeenBy {
    let coders = [costs.encoders, costs.decoders];
    match coders.iter().any(|coders| coders.video + coders.audio > 0) {
        true => SeenBy::MixingServer,
        false if costs.topology == Way::Mesh => SeenBy::Nobody,
        false => SeenBy::ForwardingServer,
    }
}

/// What is known of a meeting that does not depend on its way.
struct Others {
    /// People.
    n: f64,
    /// Video streams that each of them makes.
    streams: f64,
    /// 1000 bits a second of what each of them makes, to one other.
    up: Option<f64>,
    /// 1000 bits a second of a mix.
    mix: f64,
}

impl Others {
    /// What the ways would need that are not this one.
    fn than(&self, way: Way) -> Vec<Computed> {
        let ways = [Way::Mesh, Way::Sfu, Way::Mcu].into_iter();
        ways.filter(|other| *other != way)
            .map(|other| self.need(other))
            .collect()
    }

    fn need(&self, topology: Way) -> Computed {
        let &Self {
            n,
            streams,
            up,
            mix,
        } = self;
        let each = |times: f64| up.map(|up| up * times);
        let others = n - 1.0;
        match topology {
            Way::Mesh => Computed {
                topology,
                uplinks: streams * others,
                downlinks: streams * others,
                client_kbps_up: each(others),
                client_kbps_down: each(others),
                server_kbps_in: Some(0.0),
                server_kbps_out: Some(0.0),
            },
            Way::Mcu => Computed {
                topology,
                uplinks: streams,
                downlinks: 1.0,
                client_kbps_up: up,
                client_kbps_down: Some(mix),
                server_kbps_in: each(n),
                server_kbps_out: Some(mix * n),
            },
            // Hybrid is not asked for; of it, too, forwarding is the dearer part.
            Way::Sfu | Way::Hybrid => Computed {
                topology,
                uplinks: streams,
                downlinks: streams * others,
                client_kbps_up: up,
                client_kbps_down: each(others),
                server_kbps_in: each(n),
                server_kbps_out: each(n * others),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::DisplayName;
    use crate::room::state::{Event, Settings, View};

    const SECOND: u64 = 1_000_000_000;

    fn state(people: u32, downlink: impl Fn(u32) -> Downlink) -> State {
        let mut state = State::new(Settings::default());
        for n in 1..=people {
            let id = ParticipantId(n);
            let joined = Event::Joined {
                id,
                name: DisplayName::new("x").expect("a name"),
                view: false,
                audio: true,
                video: true,
                portrait: false,
                direct: false,
            };
            let view = View {
                downlink: Some(downlink(n)),
                ..View::default()
            };
            let receives = Event::Downlink {
                id,
                video: Some(VideoCodec::H264),
                audio: true,
            };
            let tracks = [Kind::Audio, Kind::Video].map(|kind| Event::Track { id, kind });
            let events = [joined, Event::View { id, view }, receives];
            for event in events.into_iter().chain(tracks) {
                state.apply(MediaTime(0), event);
            }
        }
        for id in (1..=people).map(ParticipantId) {
            for from in (1..=people).map(ParticipantId).filter(|from| *from != id) {
                if downlink(id.0) == Downlink::Forwarded {
                    state.apply(MediaTime(0), Event::Take { id, from, on: true });
                }
            }
        }
        // Whoever came last is on stage when what is batched was done.
        for second in 1..=10 {
            state.apply(MediaTime(second * SECOND), Event::Wake);
        }
        state
    }

    fn volume(kbit: u64) -> Volume {
        Volume {
            bytes: kbit * 125,
            packets: kbit,
        }
    }

    /// After so many seconds in which everybody sent and got so much each.
    fn after(state: &State, seconds: u64, up: u64, down: u64) -> Running {
        let mut running = Running::default();
        for second in 0..=seconds {
            let passed = Passed {
                received: volume(up),
                sent: volume(down),
                pictures: 20,
                ..Passed::default()
            };
            let all = state.people().keys().map(|id| (*id, passed.clone()));
            running.look(MediaTime(second * SECOND), state, all.collect());
        }
        running
    }

    #[test]
    fn nothing_is_told_before_it_was_measured() {
        let state = state(2, |_| Downlink::Mixed);
        let costs = after(&state, 0, 300, 500).costs(&state, Some(0.5), None);
        assert_eq!((costs.seconds, costs.uplinks), (None, None));
        assert_eq!((costs.client_kbps_up, costs.server_kbps_in), (None, None));
        assert_eq!((costs.server_cores, costs.mixing), (None, None));
        assert_eq!(costs.computed[0].client_kbps_up, None);
        let nobody = State::new(Settings::default());
        let costs = after(&nobody, 3, 0, 0).costs(&nobody, None, None);
        assert_eq!((costs.people, costs.client_kbps_down), (0, None));
        assert_eq!(costs.computed, []);
    }

    #[test]
    fn a_mixed_meeting_and_what_the_others_would_need() {
        let state = state(4, |_| Downlink::Mixed);
        let running = after(&state, 20, 300, 500);
        let part = Part {
            of_all: 0.5,
            alone: false,
        };
        let costs = running.costs(&state, Some(0.8), Some(part));
        assert_eq!(costs.topology, Way::Mcu);
        assert_eq!(costs.seen_by, SeenBy::MixingServer);
        assert_eq!(costs.seconds, Some(5.0), "not the whole past");
        assert_eq!((costs.uplinks, costs.downlinks), (Some(1.0), Some(1.0)));
        assert_eq!(costs.client_kbps_up, Some(300.0));
        assert_eq!(costs.client_kbps_down, Some(500.0));
        assert_eq!(costs.server_kbps_in, Some(1_200.0));
        assert_eq!(costs.server_kbps_out, Some(2_000.0));
        assert_eq!(costs.server_cores, Some(0.4));
        assert_eq!(costs.server_cores_estimated, Some(true));
        let decoded: Vec<_> = (1..=4)
            .filter(|n| state.decodes(ParticipantId(*n), Kind::Video))
            .collect();
        assert_eq!((costs.encoders.video, decoded), (4, vec![1, 2, 3, 4]));
        assert_eq!(costs.decoders.video, 4);
        let [mesh, sfu] = costs.computed[..] else {
            panic!("{costs:?}")
        };
        assert_eq!((mesh.topology, sfu.topology), (Way::Mesh, Way::Sfu));
        assert_eq!((mesh.uplinks, mesh.downlinks), (3.0, 3.0));
        assert_eq!(mesh.client_kbps_up, Some(900.0));
        assert_eq!(mesh.server_kbps_out, Some(0.0));
        assert_eq!((sfu.uplinks, sfu.downlinks), (1.0, 3.0));
        assert_eq!(sfu.client_kbps_down, Some(900.0));
        assert_eq!(sfu.server_kbps_out, Some(3_600.0));
        let work = Running::default().work(&state);
        assert!(work.encoded.iter().sum::<f64>() > 0.0 && work.voices == 4.0);
    }

    #[test]
    fn a_forwarded_meeting_has_no_coders_and_a_hybrid_one_is_seen_by_the_mixer() {
        let forwarded = state(3, |_| Downlink::Forwarded);
        let costs = after(&forwarded, 3, 400, 800).costs(&forwarded, None, None);
        assert_eq!(costs.topology, Way::Sfu);
        assert_eq!(costs.seen_by, SeenBy::ForwardingServer);
        assert_eq!((costs.uplinks, costs.downlinks), (Some(1.0), Some(2.0)));
        let none = Coders { video: 0, audio: 0 };
        assert_eq!((costs.encoders, costs.decoders), (none, none));
        let mcu = costs.computed[1];
        assert_eq!((mcu.topology, mcu.downlinks), (Way::Mcu, 1.0));
        let mix = f64::from(forwarded.given(ParticipantId(1)).expect("them").bitrate) / 1_000.0;
        assert_eq!(mcu.client_kbps_down, Some(mix + 32.0));
        let hybrid = state(3, |n| match n {
            1 => Downlink::Mixed,
            _ => Downlink::Forwarded,
        });
        let costs = after(&hybrid, 3, 400, 800).costs(&hybrid, None, None);
        assert_eq!(costs.topology, Way::Hybrid);
        assert_eq!(costs.seen_by, SeenBy::MixingServer);
        assert_eq!(costs.downlinks, Some(5.0 / 3.0));
        assert_eq!(costs.computed.len(), 3);
    }

    #[test]
    fn of_a_mesh_the_server_knows_little_and_says_so() {
        let state = state(3, |_| Downlink::Direct);
        let costs = after(&state, 3, 2, 2).costs(&state, None, None);
        assert_eq!(costs.topology, Way::Mesh);
        assert_eq!(costs.seen_by, SeenBy::Nobody);
        assert_eq!((costs.uplinks, costs.downlinks), (None, None));
        assert_eq!((costs.client_kbps_up, costs.client_kbps_down), (None, None));
        assert_eq!(
            costs.server_kbps_in,
            Some(6.0),
            "what keeps connections open"
        );
        let sfu = costs.computed[0];
        assert_eq!((sfu.topology, sfu.downlinks), (Way::Sfu, 2.0));
        assert_eq!((sfu.client_kbps_up, sfu.server_kbps_in), (None, None));
        assert!(
            costs.computed[1].client_kbps_down.is_some(),
            "a mix is known"
        );
    }

    #[test]
    fn two_ways_are_never_in_one_figure() {
        let (mixed, forwarded) = (
            state(2, |_| Downlink::Mixed),
            state(2, |_| Downlink::Forwarded),
        );
        let mut running = after(&mixed, 5, 300, 500);
        let costs = running.costs(&forwarded, None, None);
        assert_eq!((costs.topology, costs.seconds), (Way::Sfu, None));
        running.look(MediaTime(6 * SECOND), &forwarded, Vec::new());
        assert_eq!(running.costs(&forwarded, None, None).client_kbps_up, None);
        let passed = Passed {
            received: volume(100),
            ..Passed::default()
        };
        let passed = vec![(ParticipantId(1), passed)];
        running.look(MediaTime(7 * SECOND), &forwarded, passed);
        let costs = running.costs(&forwarded, None, None);
        assert_eq!(costs.client_kbps_up, Some(50.0));
        assert_eq!(costs.uplinks, Some(0.0), "no picture came");
    }
}
