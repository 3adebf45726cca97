//! Lines of every kind, in virtual time: a queue of so many bytes that empties at so many bit/s.

use std::collections::VecDeque;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;

const LADDER: [u32; 4] = [0, 150_000, 500_000, 1_500_000];
const FPS: [u64; 4] = [0, 10, 20, 25];
/// A step of virtual time, ms.
const STEP: u64 = 5;

/// What there is between us and the client.
#[derive(Debug, Clone, Copy)]
struct Path {
    /// Bytes that may wait.
    buffer: f64,
    /// ms each way.
    delay: u64,
    /// ms that a packet may take longer for no reason.
    jitter: u64,
    /// Packets of a thousand that are lost for no reason.
    loss: u32,
}

const CABLE: Path = Path {
    buffer: 30_000.0,
    delay: 20,
    jitter: 3,
    loss: 0,
};

struct World {
    line: Line,
    path: Path,
    random: SmallRng,
    now: u64,
    queue: f64,
    /// Number, and when it arrives in ms; lost ones never do.
    under_way: VecDeque<(u16, Option<u64>)>,
    /// When the last one arrives: none overtakes another.
    last: u64,
    /// ms, and the rung from then on.
    changes: Vec<(u64, usize)>,
    /// Bytes that were media, and that were not.
    bytes: [f64; 2],
    /// Packets without a number, and with one.
    packets: [u32; 2],
}

impl World {
    fn new(path: Path) -> Self {
        let ladder = Ladder {
            rungs: LADDER.to_vec(),
            at: 3,
            top: 3,
        };
        Self {
            line: Line::new(ms(0), ladder, true),
            path,
            random: SmallRng::seed_from_u64(7),
            now: 0,
            queue: 0.0,
            under_way: VecDeque::new(),
            last: 0,
            changes: Vec::new(),
            bytes: [0.0; 2],
            packets: [0; 2],
        }
    }

    fn rung(&self) -> usize {
        self.line.ladder.at
    }

    /// So many seconds on a line of so many bit/s; 0: nothing gets through.
    fn run(&mut self, seconds: u64, rate: f64) {
        let end = self.now + seconds * 1_000;
        while self.now < end {
            self.now += STEP;
            self.queue = (self.queue - rate / 8.0 * STEP as f64 / 1e3).max(0.0);
            if self.now.is_multiple_of(20) {
                self.send(166, false, rate);
            }
            let fps = FPS[self.rung()];
            if fps > 0 && self.now * fps / 1_000 != (self.now - STEP) * fps / 1_000 {
                self.picture(fps, rate);
            }
            let (filler, _) = self.line.filler(ms(self.now));
            for _ in 0..filler / FILLER as usize {
                self.send(FILLER as u32, true, rate);
            }
            if self.now.is_multiple_of(100) {
                self.report();
            }
        }
    }

    fn picture(&mut self, fps: u64, rate: f64) {
        let mean = f64::from(LADDER[self.rung()]) / 8.0 / fps as f64;
        let mut left = mean * self.random.random_range(0.6..1.4);
        while left > 0.0 {
            let part = left.min(1_150.0);
            self.send(part as u32 + 86, false, rate);
            left -= part;
        }
    }

    fn send(&mut self, bytes: u32, fills: bool, rate: f64) {
        let number = self.line.sent(ms(self.now), bytes, fills);
        self.bytes[usize::from(fills)] += f64::from(bytes);
        self.packets[usize::from(number.is_some())] += 1;
        let full = self.queue + f64::from(bytes) > self.path.buffer;
        let bad = self.random.random_range(0..1_000) < self.path.loss;
        if full || bad || rate == 0.0 {
            self.under_way.extend(number.map(|number| (number, None)));
            return;
        }
        self.queue += f64::from(bytes);
        let jitter = self.random.random_range(0..=self.path.jitter);
        let waits = (self.queue * 8.0 / rate * 1e3) as u64;
        let arrives = self.now + self.path.delay + waits + jitter;
        self.last = self.last.max(arrives);
        let last = Some(self.last);
        self.under_way.extend(number.map(|number| (number, last)));
    }

    /// What a receiver tells: of everything up to the newest packet it has.
    fn report(&mut self) {
        let then = self.now - self.path.delay.min(self.now);
        let here = |(_, arrives): &(u16, Option<u64>)| arrives.is_some_and(|at| at <= then);
        let Some(newest) = self.under_way.iter().rposition(here) else {
            return;
        };
        let told = self
            .under_way
            .drain(..=newest)
            .map(|(number, arrives)| (number, arrives.map(|at| at as i64 * 1_000 - 5_000_000)));
        let told: Vec<(u16, Option<Arrival>)> = told.collect();
        if let Some(rung) = self.line.told(ms(self.now), told.into_iter()) {
            self.changes.push((self.now, rung));
        }
    }

    fn fillers(&self) -> f64 {
        self.bytes[1] / self.bytes[0]
    }
}

fn ms(ms: u64) -> MediaTime {
    MediaTime(ms * 1_000_000)
}

#[test]
fn a_line_with_room_is_left_alone() {
    let mut world = World::new(CABLE);
    world.run(300, 5e6);
    assert_eq!(world.changes, []);
    assert_eq!(world.bytes[1], 0.0, "nothing is to be proven");
}

#[test]
fn a_calm_line_is_asked_little_and_found_out_all_the_same() {
    let mut world = World::new(CABLE);
    world.run(10, 5e6);
    world.packets = [0; 2];
    world.run(60, 5e6);
    let [without, with] = world.packets.map(f64::from);
    assert!(with / (with + without) < 0.4, "{:?}", world.packets);
    for (rate, rung) in [(9e5, 2), (3e5, 1)] {
        let began = world.now;
        world.run(20, rate);
        let (at, to) = world.changes.pop().unwrap();
        assert!(at - began < 3_000 && to == rung, "{} {to}", at - began);
        assert_eq!(world.changes, []);
        // As it would be for somebody who wishes for no more.
        let ladder = Ladder {
            top: rung,
            ..world.line.ladder.clone()
        };
        world.line.serve(ms(world.now), ladder);
        world.run(20, rate);
        world.packets = [0; 2];
        world.run(20, rate);
        let [without, with] = world.packets.map(f64::from);
        assert!(with / (with + without) < 0.4, "{:?}", world.packets);
        assert_eq!(world.changes, []);
    }
}

#[test]
fn a_bottleneck_means_the_low_tier_soon_and_its_end_the_high_one() {
    for buffer in [15_000.0, 30_000.0, 60_000.0] {
        let mut world = World::new(Path { buffer, ..CABLE });
        world.run(20, 5e6);
        world.run(60, 3e5);
        let (first, rung) = world.changes[0];
        assert!(first < 25_000, "{buffer} {:?}", world.changes);
        assert_eq!(
            (rung, world.changes.len()),
            (1, 1),
            "{buffer} {:?}",
            world.changes
        );
        world.run(30, 5e6);
        let rungs: Vec<_> = world.changes.iter().map(|(_, rung)| *rung).collect();
        assert_eq!(rungs, [1, 2, 3], "{buffer} {:?}", world.changes);
        assert!(world.changes[2].0 - world.changes[1].0 >= 5_000);
        assert!(world.fillers() <= SHARE, "{}", world.fillers());
    }
}

#[test]
fn a_steady_line_between_two_tiers_does_not_swing() {
    for buffer in [15_000.0, 30_000.0, 60_000.0] {
        let mut world = World::new(Path { buffer, ..CABLE });
        world.run(300, 9e5);
        let [(at, rung)] = world.changes[..] else {
            panic!("{buffer} {:?}", world.changes);
        };
        assert!(at < 5_000 && rung == 2, "{buffer} {:?}", world.changes);
        assert!(world.bytes[1] > 0.0, "it did try");
        assert!(world.fillers() <= SHARE, "{}", world.fillers());
    }
}

#[test]
fn sound_is_all_that_a_very_small_line_gets() {
    let mut world = World::new(CABLE);
    world.run(30, 1.2e5);
    assert_eq!(world.rung(), 0, "{:?}", world.changes);
    world.run(60, 3e5);
    assert_eq!(world.rung(), 1, "{:?}", world.changes);
}

#[test]
fn an_outage_is_no_bottleneck() {
    let mut world = World::new(CABLE);
    for _ in 0..5 {
        world.run(20, 5e6);
        world.run(8, 0.0);
    }
    world.run(20, 5e6);
    assert_eq!(world.changes, []);
}

#[test]
fn who_wishes_for_less_is_not_bothered() {
    let mut world = World::new(CABLE);
    world.run(10, 5e6);
    let ladder = Ladder {
        at: 1,
        top: 1,
        ..world.line.ladder.clone()
    };
    world.line.serve(ms(world.now), ladder);
    world.run(60, 5e6);
    assert_eq!((world.changes.len(), world.bytes[1]), (0, 0.0));
}

#[test]
fn without_fillers_a_step_up_is_tried_now_and_then() {
    let mut world = World::new(CABLE);
    world.line.fills = false;
    world.run(40, 3e5);
    world.run(80, 5e6);
    assert_eq!(world.rung(), 3, "{:?}", world.changes);
    assert_eq!(world.bytes[1], 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    #[test]
    fn noise_is_no_reason_and_steps_up_are_apart(
        rate in 250_000u32..4_000_000, delay in 1u64..150, jitter in 0u64..40, loss in 0u32..20,
        milliseconds in 60u32..1_000,
    ) {
        let buffer = (f64::from(rate) / 8e3 * f64::from(milliseconds)).max(15_000.0);
        let mut world = World::new(Path { buffer, delay, jitter, loss });
        world.run(180, rate.into());
        let ups = world.changes.windows(2).filter(|pair| pair[1].1 > pair[0].1);
        for pair in ups.clone() {
            prop_assert!(pair[1].0 - pair[0].0 >= 5_000, "{:?}", world.changes);
        }
        prop_assert!(ups.count() <= 4, "{:?}", world.changes);
        prop_assert!(world.fillers() <= SHARE, "{}", world.fillers());
        // What is surely too much is not kept, and what surely fits is reached.
        let rate = f64::from(rate);
        if rate < 1_400_000.0 {
            prop_assert!(world.rung() < 3, "{:?}", world.changes);
        }
        if rate > 2_200_000.0 {
            prop_assert!(world.rung() == 3, "{:?}", world.changes);
        }
    }
}
