//! How much of what the processor may do is done, and the task that tells all rooms.
//!
//! Two signs: the CPU time of this process beside its budget, and ticks of the video loops that
//! begin late. The second one sees what the first cannot, a machine whose other programs leave us
//! less than the budget says.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::clock::{self, MediaTime};
use crate::room::budget::Step;
use crate::room::registry::Registry;
use crate::stats::{Stats, process_cpu_seconds};

/// How often rooms are told.
const EVERY: Duration = Duration::from_secs(1);
/// What happened so long ago counts for a third. Joins and keyframes are peaks of half a second.
const MEMORY: Duration = Duration::from_secs(2);
/// With so many of the ticks late, the machine does not keep up: as
/// [`pace`](crate::mix::pace) sees it.
const LATE: f64 = 0.2;
/// Of fewer ticks no share is taken.
const TICKS: u64 = 5;
/// Part of the cores that is there for us by default: the rest is the kernel's, which receives
/// and sends our packets, and a peak's.
const PART: f64 = 0.85;

/// What the process has done since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Done {
    /// CPU seconds.
    pub cpu: f64,
    /// Video ticks of all rooms.
    pub ticks: u64,
    /// Those of them that were late.
    pub late: u64,
}

/// The load, smoothed. Pure.
#[derive(Debug)]
pub struct Load {
    /// Cores.
    budget: f64,
    before: Option<(MediaTime, Done)>,
    /// Cores in use.
    used: f64,
    /// Share of ticks that are late.
    late: f64,
}

impl Load {
    /// Nothing done yet, with so many cores to use.
    pub fn new(budget: f64) -> Self {
        Self {
            budget,
            before: None,
            used: 0.0,
            late: 0.0,
        }
    }

    /// Takes in what has been done up to now.
    pub fn sample(&mut self, now: MediaTime, done: Done) {
        let Some((at, before)) = self.before.replace((now, done)) else {
            return;
        };
        let seconds = now.since(at).as_secs_f64();
        if seconds <= 0.0 {
            return;
        }
        let weight = 1.0 - (-seconds / MEMORY.as_secs_f64()).exp();
        let used = (done.cpu - before.cpu).max(0.0) / seconds;
        self.used += weight * (used - self.used);
        let (ticks, late) = (done.ticks - before.ticks, done.late - before.late);
        let share = match ticks {
            ..TICKS => 0.0,
            _ => late as f64 / ticks as f64,
        };
        self.late += weight * (share - self.late);
    }

    /// Cores in use.
    pub fn used(&self) -> f64 {
        self.used
    }

    /// So much of what may be done is done; 1: all of it.
    pub fn load(&self) -> f64 {
        (self.used / self.budget).max(self.late / LATE)
    }
}

/// Cores that may be used where no setting says so. Knows of CPU sets and of the quotas of
/// containers.
pub fn default_budget() -> f64 {
    std::thread::available_parallelism().map_or(1, usize::from) as f64 * PART
}

/// Tells the rooms once a second, until there are none to come any more.
pub async fn watch(rooms: Weak<Registry>, stats: Arc<Stats>, budget: f64) {
    let mut load = Load::new(budget);
    for step in Step::ALL.into_iter().filter_map(Step::name) {
        // Gauges exist at 0.
        stats.budget.giving_way(step);
    }
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let Some(rooms) = rooms.upgrade() else { return };
        let done = Done {
            cpu: process_cpu_seconds(),
            ticks: stats.mix_ticks.get(),
            late: stats.mix_late_ticks.get(),
        };
        load.sample(clock::now(), done);
        stats.budget.used.set(load.used());
        stats.budget.load.set(load.load());
        rooms.tell_load(load.load() as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the load is after each second, with so many cores used and so many of 25 ticks late.
    fn loads(budget: f64, seconds: impl Iterator<Item = (f64, u64)>) -> Vec<f64> {
        let (mut load, mut done) = (Load::new(budget), Done::default());
        load.sample(MediaTime(0), done);
        let mut now = MediaTime(0);
        let of = |(used, late)| {
            now = now.plus(EVERY);
            done.cpu += used;
            done.ticks += 25;
            done.late += late;
            load.sample(now, done);
            load.load()
        };
        seconds.map(of).collect()
    }

    #[test]
    fn a_peak_is_smoothed_and_a_plateau_is_reached() {
        let peak = loads(2.0, (0..20).map(|n| (if n == 10 { 4.0 } else { 1.0 }, 0)));
        assert!(peak.iter().all(|load| *load < 1.2), "{peak:?}");
        assert!((peak[19] - 0.5).abs() < 0.02, "{peak:?}");
        let plateau = loads(2.0, (0..20).map(|_| (2.4, 0)));
        assert!(plateau[1] < 1.0 && plateau[4] > 1.0, "{plateau:?}");
        assert!((plateau[19] - 1.2).abs() < 0.01, "{plateau:?}");
    }

    #[test]
    fn late_ticks_are_load_even_where_little_is_used() {
        let starved = loads(2.0, (0..10).map(|_| (0.4, 10)));
        assert!(starved[3] > 1.0, "{starved:?}");
        let hiccups = loads(2.0, (0..10).map(|_| (0.4, 2)));
        assert!(hiccups.iter().all(|load| *load < 0.5), "{hiccups:?}");
    }

    #[test]
    fn a_share_of_next_to_nothing_is_none() {
        let mut load = Load::new(1.0);
        load.sample(MediaTime(0), Done::default());
        let done = Done {
            ticks: 2,
            late: 2,
            ..Done::default()
        };
        load.sample(MediaTime(1_000_000_000), done);
        assert_eq!(load.load(), 0.0);
    }
}
