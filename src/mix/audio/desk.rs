//! All mixes of a room: who has an encoder, and who shares one.
//!
//! Mixes whose listener adds nothing to the sum are the same sum. Once that has lasted for a
//! while, one of them (the leader) encodes it for all. Whoever begins to be heard gets an encoder
//! of their own in the same tick, which goes on where the leader's was.
//!
//! A listener's decoder thus changes between encoders in mid-stream. Going over to the leader,
//! both had the same input for [`SHARE_AFTER`] and their states are as good as equal; going away,
//! [`Bus::fork`] prepares the new one. Tests below hold both to what a decoder makes of it.

use bytes::Bytes;

use crate::encode::audio::Error;
use crate::id::ParticipantId;
use crate::mix::audio::bus::Bus;
use crate::mix::audio::sum::Mixer;
use crate::mix::audio::taste::Taste;
use crate::mix::plan::MixId;
use crate::stats::Stats;

/// Ticks for which the sums must have been the same: after 1.5 s, what limiter, rate control and
/// prediction remember of before is gone. Longer than the pauses between sentences, too.
const SHARE_AFTER: u32 = 75;

/// A mix as the plan has it: who is left out, and who is louder or softer.
pub type Wanted<'a> = (MixId, Option<ParticipantId>, &'a [(ParticipantId, f32)]);

/// The mixes of a room.
#[derive(Debug, Default)]
pub struct Desk {
    /// In the order of the plan.
    mixes: Vec<Mix>,
    /// Whose packets the sharing ones get.
    leader: Option<MixId>,
}

#[derive(Debug)]
struct Mix {
    id: MixId,
    taste: Taste,
    /// Ticks for which its sum has been everybody's: its listener added nothing to it, and those
    /// whom they want louder or softer did not either.
    quiet: u32,
    way: Way,
}

/// Where a mix gets its packets from.
#[derive(Debug)]
enum Way {
    /// Nothing was sent yet (or its encoder failed).
    New,
    Own(Box<Bus>),
    Shared,
}

impl Desk {
    /// Sets which mixes there are.
    pub fn arrange<'a>(&mut self, mixes: impl IntoIterator<Item = Wanted<'a>>) {
        let mut before = std::mem::take(&mut self.mixes);
        for (id, without, gains) in mixes {
            let kept = before.iter().position(|mix| mix.id == id);
            let mut mix = kept.map_or_else(|| Mix::new(id), |at| before.swap_remove(at));
            mix.taste.set(without, gains);
            self.mixes.push(mix);
        }
        // A leader that goes hands its encoder on.
        let gone = before.into_iter().find(|mix| Some(mix.id) == self.leader);
        if let Some(Mix { way, .. }) = gone {
            self.leader = sharers(&mut self.mixes).next().map(|heir| {
                heir.way = way;
                heir.id
            });
        }
    }

    /// Makes this tick's packet of every mix, in their order.
    pub fn tick(
        &mut self,
        mixer: &Mixer,
        stats: &Stats,
        mut send: impl FnMut(usize, Result<Bytes, Error>),
    ) {
        for mix in &mut self.mixes {
            let differs = mixer.differs(&mix.taste);
            mix.quiet = if differs {
                0
            } else {
                mix.quiet.saturating_add(1)
            };
        }
        self.part(stats);
        self.join();
        // The leader first: the others send what it makes.
        let mut shared = None;
        let leader = self.mixes.iter().position(|m| Some(m.id) == self.leader);
        let others = (0..self.mixes.len()).filter(|index| Some(*index) != leader);
        for index in leader.into_iter().chain(others) {
            let mix = &mut self.mixes[index];
            let packet = match mix.way {
                // Without the leader's packet nobody who shares has one.
                Way::Shared => match &shared {
                    Some(packet) => Ok(Bytes::clone(packet)),
                    None => continue,
                },
                _ => mix.packet(mixer, stats),
            };
            if Some(index) == leader {
                shared = packet.as_ref().ok().cloned();
            }
            send(index, packet);
        }
        for mix in &mut self.mixes {
            mix.taste.step();
        }
    }

    /// How many encoders there are.
    #[cfg(test)]
    fn encoders(&self) -> usize {
        let own = |mix: &&Mix| matches!(mix.way, Way::Own(_));
        self.mixes.iter().filter(own).count()
    }

    /// Gives encoders to those whose sum is no longer the common one.
    fn part(&mut self, stats: &Stats) {
        let Some(leader) = self.mixes.iter().find(|m| Some(m.id) == self.leader) else {
            return;
        };
        let Way::Own(bus) = &leader.way else {
            // It failed: those who shared begin anew.
            self.leader = None;
            sharers(&mut self.mixes).for_each(|mix| mix.way = Way::New);
            return;
        };
        // Failing forks begin anew: heard as a click rather than not at all.
        let fork = || {
            bus.fork(stats)
                .map_or(Way::New, |bus| Way::Own(Box::new(bus)))
        };
        let shared = |mix: &Mix| matches!(mix.way, Way::Shared);
        let mut forks = Vec::new();
        for (index, mix) in self.mixes.iter().enumerate() {
            if shared(mix) && mix.quiet == 0 {
                forks.push((index, fork()));
            }
        }
        let mut next = self.leader;
        if leader.quiet == 0 {
            // Its own sum goes on as it is; the common one is somebody else's now.
            let heir = self.mixes.iter().position(|m| shared(m) && m.quiet > 0);
            next = heir.map(|index| self.mixes[index].id);
            forks.extend(heir.map(|index| (index, fork())));
        }
        for (index, way) in forks {
            self.mixes[index].way = way;
        }
        self.leader = next;
    }

    /// Lets those share whose sum has been the common one for long, or who are new.
    fn join(&mut self) {
        let settled = |mix: &Mix| mix.quiet >= SHARE_AFTER && matches!(mix.way, Way::Own(_));
        if self.leader.is_none() {
            // Among those who are all new one encodes for all from the first packet on.
            let new = |mix: &Mix| mix.quiet > 0 && matches!(mix.way, Way::New);
            let settled = self.mixes.iter().find(|m| settled(m));
            let leader = settled.or_else(|| self.mixes.iter().find(|m| new(m)));
            self.leader = leader.map(|m| m.id);
        }
        let Some(leader) = self.leader else { return };
        for mix in self.mixes.iter_mut().filter(|mix| mix.id != leader) {
            let new = mix.quiet > 0 && matches!(mix.way, Way::New);
            if new || settled(mix) {
                mix.way = Way::Shared;
            }
        }
    }
}

fn sharers(mixes: &mut [Mix]) -> impl Iterator<Item = &mut Mix> {
    let shared = |mix: &&mut Mix| matches!(mix.way, Way::Shared);
    mixes.iter_mut().filter(shared)
}

impl Mix {
    fn new(id: MixId) -> Self {
        Self {
            id,
            taste: Taste::default(),
            quiet: 0,
            way: Way::New,
        }
    }

    /// A packet by an encoder of its own.
    fn packet(&mut self, mixer: &Mixer, stats: &Stats) -> Result<Bytes, Error> {
        let mut bus = match std::mem::replace(&mut self.way, Way::New) {
            Way::Own(bus) => bus,
            _ => Box::new(Bus::start(stats)?),
        };
        let packet = bus.packet(mixer, &self.taste)?;
        self.way = Way::Own(bus);
        Ok(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::audio::Pulled;
    use crate::media::{AUDIO_CLOCK, AUDIO_FRAME};
    use crate::mix::audio::probe::{
        amplitude, decibels, largest_step, speech, to_f32, to_i16, tone,
    };

    const PEOPLE: usize = 4;

    fn who(n: usize) -> ParticipantId {
        ParticipantId(n as u32)
    }

    /// Four people, one mix each and one for everybody else, with decoders at the other end.
    struct Room {
        mixer: Mixer,
        desk: Desk,
        /// The same mixes with an encoder for each, for comparison.
        plain: Vec<Bus>,
        decoders: Vec<opus::Decoder>,
        plain_decoders: Vec<opus::Decoder>,
        voice: Vec<i16>,
        stats: Stats,
    }

    /// What the decoder of one listener made of the desk's packets, and of the plain ones.
    #[derive(Default)]
    struct Heard {
        desk: Vec<f32>,
        plain: Vec<f32>,
    }

    impl Room {
        fn new() -> Self {
            let stats = Stats::default();
            let mut mixer = Mixer::default();
            mixer.arrange((0..PEOPLE).map(|n| (who(n), false)));
            let mut desk = Desk::default();
            desk.arrange(Self::mixes());
            let decoders = || {
                let decoder = |_| opus::Decoder::new(AUDIO_CLOCK, opus::Channels::Mono);
                let all = (0..=PEOPLE).map(decoder);
                all.map(|d| d.expect("libopus starts")).collect()
            };
            Self {
                mixer,
                desk,
                plain: (0..=PEOPLE)
                    .map(|_| Bus::start(&stats).expect("libopus starts"))
                    .collect(),
                decoders: decoders(),
                plain_decoders: decoders(),
                voice: speech(31, -25.0, 20).into_iter().map(to_i16).collect(),
                stats,
            }
        }

        fn mixes() -> impl Iterator<Item = Wanted<'static>> {
            let without = |n| (n < PEOPLE).then(|| who(n));
            (0..=PEOPLE).map(move |n| (MixId(n as u64), without(n), &[][..]))
        }

        /// One tick, in which the first person talks and others play a tone if they `play`.
        fn tick(&mut self, tick: usize, play: &[usize], heard: &mut [Heard]) {
            self.mixer.tick(|source, samples| {
                if source == 0 {
                    let from = tick * AUDIO_FRAME;
                    samples.copy_from_slice(&self.voice[from..from + AUDIO_FRAME]);
                } else if play.contains(&source) {
                    *samples = tone(PITCHES[source], 0.1, tick);
                } else {
                    return Pulled::Nothing;
                }
                Pulled::Speech
            });
            let mut sent = 0;
            self.desk.tick(&self.mixer, &self.stats, |index, packet| {
                let packet = packet.expect("encodes");
                heard[index]
                    .desk
                    .extend(decode(&mut self.decoders[index], &packet));
                sent += 1;
            });
            assert_eq!(sent, self.desk.mixes.len(), "a packet for each mix");
            for (index, bus) in self.plain.iter_mut().enumerate() {
                let own = (index < PEOPLE).then(|| who(index));
                let packet = bus.packet(&self.mixer, &own.into()).expect("encodes");
                heard[index]
                    .plain
                    .extend(decode(&mut self.plain_decoders[index], &packet));
            }
        }
    }

    const PITCHES: [f32; PEOPLE] = [0.0, 613.0, 887.0, 1201.0];

    fn decode(decoder: &mut opus::Decoder, packet: &[u8]) -> Vec<f32> {
        let mut samples = [0; AUDIO_FRAME];
        decoder
            .decode(packet, &mut samples, false)
            .expect("decodes");
        to_f32(&samples)
    }

    fn heard() -> [Heard; PEOPLE + 1] {
        std::array::from_fn(|_| Heard::default())
    }

    #[test]
    fn equal_sums_share_an_encoder_and_part_at_once() {
        let mut room = Room::new();
        let mut heard = heard();
        let mut encoders = |room: &mut Room, ticks: std::ops::Range<usize>, play: &[usize]| {
            ticks.for_each(|tick| room.tick(tick, play, &mut heard));
            room.desk.encoders()
        };
        // From the first packet on.
        assert_eq!(encoders(&mut room, 0..1, &[]), 2, "the talker and the rest");
        assert_eq!(encoders(&mut room, 1..20, &[]), 2);
        assert_eq!(encoders(&mut room, 20..21, &[3]), 3, "one is heard");
        assert_eq!(encoders(&mut room, 21..95, &[]), 3, "too early");
        assert_eq!(encoders(&mut room, 95..100, &[]), 2);
        let leader = room.desk.leader;
        assert_eq!(encoders(&mut room, 100..101, &[2]), 3, "one more is heard");
        assert_eq!(room.desk.leader, leader);
        assert_eq!(
            encoders(&mut room, 101..102, &[1, 2]),
            4,
            "the leader is heard"
        );
        assert_ne!(room.desk.leader, leader);
        assert_eq!(encoders(&mut room, 102..150, &[1, 2, 3]), 5, "all are");
        assert_eq!(encoders(&mut room, 150..230, &[]), 2);
        // The talker is muted: all hear the same nothing.
        room.mixer.arrange((0..PEOPLE).map(|n| (who(n), n == 0)));
        assert_eq!(encoders(&mut room, 230..310, &[]), 1);
        assert_eq!(
            room.stats.encoders(crate::media::Kind::Audio).get(),
            1 + room.plain.len() as i64,
        );
    }

    #[test]
    fn a_leader_that_leaves_hands_its_encoder_on() {
        let mut room = Room::new();
        let mut heard = heard();
        (0..100).for_each(|tick| room.tick(tick, &[], &mut heard));
        assert_eq!(room.desk.leader, Some(MixId(1)));
        room.desk
            .arrange(Room::mixes().filter(|(id, ..)| id.0 != 1));
        assert_eq!(room.desk.leader, Some(MixId(2)));
        assert_eq!(room.desk.encoders(), 2);
        // All leave.
        room.desk.arrange([]);
        assert_eq!((room.desk.leader, room.desk.encoders()), (None, 0));
    }

    #[test]
    fn a_newcomer_who_adds_nothing_needs_no_encoder() {
        let mut room = Room::new();
        room.desk.arrange(Room::mixes().take(4));
        let mut heard = heard();
        (0..100).for_each(|tick| room.tick(tick, &[], &mut heard));
        room.desk.arrange(Room::mixes());
        room.tick(100, &[], &mut heard);
        assert_eq!(room.desk.encoders(), 2);
        assert_eq!(heard[4].desk.len(), AUDIO_FRAME);
    }

    #[test]
    fn decoders_notice_nothing_of_a_change_of_encoder() {
        cross_over(
            speech(31, -25.0, 20).into_iter().map(to_i16).collect(),
            false,
        );
    }

    #[test]
    fn not_even_behind_a_pure_tone() {
        // Coded so well that a gap of a few samples stands out.
        cross_over(
            (0..1000).flat_map(|tick| tone(440.0, 0.1, tick)).collect(),
            true,
        );
    }

    /// People begin and stop while somebody else makes this sound.
    fn cross_over(voice: Vec<i16>, tonal: bool) {
        let mut room = Room::new();
        room.voice = voice;
        let mut heard = heard();
        // People begin and end at various moments of the voice behind; every one of them, as
        // leader or not, goes over and away several times.
        let play: [(usize, std::ops::Range<usize>); 8] = [
            (1, 100..130),
            (2, 231..262),
            (3, 353..380),
            (1, 471..490),
            (2, 473..492),
            (3, 590..611),
            (1, 713..733),
            (2, 833..851),
        ];
        let mut changes = Vec::new();
        let mut ways = [true; PEOPLE + 1];
        for tick in 0..950 {
            let now = play.iter().filter(|(_, ticks)| ticks.contains(&tick));
            let now: Vec<_> = now.map(|(who, _)| *who).collect();
            room.tick(tick, &now, &mut heard);
            for (index, mix) in room.desk.mixes.iter().enumerate() {
                let shared = matches!(mix.way, Way::Shared);
                if std::mem::replace(&mut ways[index], shared) != shared && tick > 80 {
                    changes.push((index, tick));
                }
            }
        }
        assert!(changes.len() > 12, "{changes:?}");
        let mut held = 0;
        for (index, tick) in changes {
            let (heard, from) = (&heard[index], tick * AUDIO_FRAME);
            // From 20 ms before the change until 60 ms after.
            let span = from - AUDIO_FRAME..from + 3 * AUDIO_FRAME;
            let [step, plain] = [&heard.desk, &heard.plain].map(|h| largest_step(&h[span.clone()]));
            // Two encoders of one sum differ: by as much as this.
            assert!(
                step < 1.6 * plain.max(0.01),
                "mix {index}, tick {tick}: {step} against {plain}"
            );
            // Where nobody else begins or stops, the tone behind neither dips nor swells.
            let near = |edge: &usize| (tick - 1..tick + 4).contains(edge);
            let steady = play.iter().filter(|(who, _)| *who != index);
            let mut edges = steady.flat_map(|(_, ticks)| [ticks.start, ticks.end]);
            if tonal && !edges.any(|edge| near(&edge)) {
                let [swing, plain] = [&heard.desk, &heard.plain].map(|h| swing(&h[span.clone()]));
                assert!(
                    swing < plain + 1.0,
                    "mix {index}, tick {tick}: {swing} dB against {plain}"
                );
                held += 1;
            }
        }
        assert_eq!(held > 8, tonal, "{held}");
    }

    /// By how many dB the loudness of 440 Hz varies between windows of 20 ms.
    fn swing(samples: &[f32]) -> f64 {
        let levels = samples
            .windows(AUDIO_FRAME)
            .step_by(120)
            .map(|window| decibels(amplitude(window, 440.0)));
        let (low, high) = levels.fold((f64::MAX, f64::MIN), |(l, h), x| (l.min(x), h.max(x)));
        high - low
    }

    #[test]
    fn who_begins_is_not_heard_by_themselves_not_even_at_first() {
        let mut room = Room::new();
        let mut heard = heard();
        for tick in 0..120 {
            let play: &[usize] = if tick < 100 { &[] } else { &[1, 2] };
            // Nobody talks besides: any tone stands out.
            room.voice[tick * AUDIO_FRAME..][..AUDIO_FRAME].fill(0);
            room.tick(tick, play, &mut heard);
        }
        for own in [1, 2] {
            let other = 3 - own;
            let begin = &heard[own].desk[100 * AUDIO_FRAME..105 * AUDIO_FRAME];
            let [own, other] = [own, other].map(|n| amplitude(begin, f64::from(PITCHES[n])));
            let below = decibels(own / other);
            assert!(below < -40.0, "own {below} dB against the other's");
        }
    }
}
