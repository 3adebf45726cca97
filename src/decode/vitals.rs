//! Whether a track lives: packets, output, and when a broken pipeline is built again (pure).

use std::time::Duration;

use crate::clock::MediaTime;
use crate::gst::watchdog::Watchdog;

/// Without packets for this long a track is frozen: what it showed last is shown no more.
pub const FREEZE: Duration = Duration::from_secs(3);
/// A pipeline is built at most this often: garbage costs 2 ms of CPU a second at most.
pub const REBUILD: Duration = Duration::from_secs(1);
/// Packets that came within this time still flow.
const FLOW: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Tell that no packets come.
    Freeze,
    /// Tell that nothing comes out, and give up on the pipeline.
    Stall,
    /// Build a new pipeline.
    Build,
}

/// One track's state of health.
#[derive(Debug)]
pub struct Vitals {
    watchdog: Watchdog,
    last_packet: Option<MediaTime>,
    frozen: bool,
    /// A stall was told and nothing has come out since. One restart a stall: a second one would
    /// not find what the first did not.
    stalled: bool,
    broken: bool,
    built: MediaTime,
}

impl Vitals {
    /// A pipeline was built now.
    pub fn new(now: MediaTime) -> Self {
        Self {
            watchdog: Watchdog::default(),
            last_packet: None,
            frozen: false,
            stalled: false,
            broken: false,
            built: now,
        }
    }

    /// A packet came. Answers whether that ends a freeze.
    pub fn packet(&mut self, now: MediaTime) -> bool {
        self.last_packet = Some(now);
        std::mem::take(&mut self.frozen)
    }

    /// A packet was given to the pipeline.
    pub fn input(&mut self, now: MediaTime) {
        self.watchdog.input(now);
    }

    /// Something was decoded.
    pub fn output(&mut self) {
        self.watchdog.output();
        self.stalled = false;
    }

    /// The pipeline is gone.
    pub fn broke(&mut self) {
        self.broken = true;
    }

    /// A new pipeline runs, or none could be built; either way the next try is a while off.
    pub fn built(&mut self, now: MediaTime, runs: bool) {
        self.built = now;
        self.broken = !runs;
        self.watchdog = Watchdog::default();
    }

    /// Whether packets came within the last second.
    pub fn flows(&self, now: MediaTime) -> bool {
        self.last_packet.is_some_and(|last| now.since(last) <= FLOW)
    }

    /// What is to be done now. A stall includes the building that follows it.
    pub fn check(&mut self, now: MediaTime) -> Option<Order> {
        let quiet = self
            .last_packet
            .is_some_and(|last| now.since(last) >= FREEZE);
        if quiet && !self.frozen {
            self.frozen = true;
            return Some(Order::Freeze);
        }
        if !self.broken && !self.stalled && self.watchdog.stalled(now) {
            self.stalled = true;
            self.broken = true;
            return Some(Order::Stall);
        }
        let due = now.since(self.built) >= REBUILD;
        (self.broken && due && self.flows(now)).then_some(Order::Build)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    /// Packets every 20 ms, a check every 250 ms; yields the orders and when they came.
    fn run(from: u64, to: u64, vitals: &mut Vitals, output: bool) -> Vec<(u64, Order)> {
        let mut orders = Vec::new();
        for t in (from..to).step_by(10) {
            if t % 20 == 0 {
                vitals.packet(ms(t));
                if !vitals.broken {
                    vitals.input(ms(t));
                    if output {
                        vitals.output();
                    }
                }
            }
            if t % 250 != 0 {
                continue;
            }
            while let Some(order) = vitals.check(ms(t)) {
                orders.push((t, order));
                if order == Order::Build {
                    vitals.built(ms(t), true);
                }
            }
        }
        orders
    }

    #[test]
    fn a_healthy_track_needs_nothing() {
        let mut vitals = Vitals::new(ms(0));
        assert_eq!(run(0, 60_000, &mut vitals, true), []);
    }

    #[test]
    fn a_stall_is_told_once_and_restarted_once() {
        let mut vitals = Vitals::new(ms(0));
        let orders = run(0, 60_000, &mut vitals, false);
        assert_eq!(orders, [(3_000, Order::Stall), (3_000, Order::Build)]);
        // Output ends it, and the next one is told again.
        assert_eq!(run(60_000, 61_000, &mut vitals, true), []);
        let orders = run(61_000, 70_000, &mut vitals, false);
        assert_eq!(orders, [(64_000, Order::Stall), (64_000, Order::Build)]);
    }

    #[test]
    fn a_broken_pipeline_is_built_again_at_most_once_a_second() {
        let mut vitals = Vitals::new(ms(0));
        let mut builds = 0;
        for t in (250..10_000).step_by(250) {
            vitals.packet(ms(t));
            vitals.broke();
            if vitals.check(ms(t)) == Some(Order::Build) {
                vitals.built(ms(t), true);
                builds += 1;
            }
        }
        assert_eq!(builds, 9);
    }

    #[test]
    fn nothing_is_built_for_nobody() {
        let mut vitals = Vitals::new(ms(0));
        vitals.packet(ms(0));
        vitals.broke();
        assert_eq!(vitals.check(ms(2_000)), None);
        assert_eq!(vitals.check(ms(3_000)), Some(Order::Freeze));
        assert_eq!(vitals.check(ms(9_000)), None);
        assert!(vitals.packet(ms(9_000)), "resumed");
        assert!(!vitals.packet(ms(9_020)));
        assert_eq!(vitals.check(ms(9_020)), Some(Order::Build));
    }

    #[test]
    fn a_track_that_never_began_does_not_freeze() {
        let mut vitals = Vitals::new(ms(0));
        assert_eq!(vitals.check(ms(60_000)), None);
    }
}
