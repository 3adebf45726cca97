//! When the video loop ticks, and when it gives way. Pure: time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::MediaTime;

/// So many late ticks within [`WINDOW`] are overload, not a hiccup of the scheduler: a fifth of
/// the pictures at 25 a second.
const LATE_TICKS: usize = 5;
/// See [`LATE_TICKS`].
const WINDOW: Duration = Duration::from_secs(1);
/// At half rate without a late tick for this long, the full rate is tried again.
const RELIEF: Duration = Duration::from_secs(5);
/// The longest wait before the full rate is tried again, reached by doubling when it keeps
/// failing: viewers see each change of rate.
const LONGEST_RELIEF: Duration = Duration::from_secs(60);

/// The grid of ticks. It does not drift: each tick is due one step after the one before was due,
/// however late that began.
#[derive(Debug)]
pub struct Pace {
    period: Duration,
    due: MediaTime,
    /// When ticks were late, lately.
    late: VecDeque<MediaTime>,
    rate: Rate,
    /// How long half rate must go well this time.
    relief: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rate {
    /// Since when; `None`: from the start.
    Full(Option<MediaTime>),
    /// Since when without a late tick.
    Half(MediaTime),
}

/// A tick that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// When it was due: the time of its picture.
    pub at: MediaTime,
    /// It begins more than half a step after that.
    pub late: bool,
    /// Ticks that are left out because they could only begin late, too.
    pub skipped: u64,
    /// The rate changed with this tick: `Some(true)` to half of it, `Some(false)` back.
    pub slowed: Option<bool>,
}

impl Pace {
    /// A grid whose first tick is due at once.
    pub fn new(period: Duration, now: MediaTime) -> Self {
        Self {
            period: period.max(Duration::from_millis(1)),
            due: now,
            late: VecDeque::with_capacity(LATE_TICKS),
            rate: Rate::Full(None),
            relief: RELIEF,
        }
    }

    /// Follows another period, from the next tick on.
    pub fn set_period(&mut self, period: Duration) {
        self.period = period.max(Duration::from_millis(1));
    }

    /// When the next tick is due.
    pub fn due(&self) -> MediaTime {
        self.due
    }

    /// Begins the tick that is due; `now` must not be before that.
    pub fn begin(&mut self, now: MediaTime) -> Begun {
        let (at, step) = (self.due, self.step());
        let late = now.since(at) > step / 2;
        // The next tick that can still begin in time.
        let behind = now.since(at.plus(step + step / 2)).as_nanos();
        let skipped = u64::try_from(behind.div_ceil(step.as_nanos())).unwrap_or(u64::MAX);
        self.due = MediaTime(at.0 + step.as_nanos() as u64 * (1 + skipped));
        for _ in 0..(u64::from(late) + skipped).min(LATE_TICKS as u64) {
            self.note_late(now);
        }
        Begun {
            at,
            late,
            skipped,
            slowed: self.adapt(now),
        }
    }

    fn step(&self) -> Duration {
        match self.rate {
            Rate::Full(_) => self.period,
            Rate::Half(_) => self.period * 2,
        }
    }

    fn note_late(&mut self, now: MediaTime) {
        if self.late.len() == LATE_TICKS {
            self.late.pop_front();
        }
        self.late.push_back(now);
    }

    fn adapt(&mut self, now: MediaTime) -> Option<bool> {
        while self.late.front().is_some_and(|t| now.since(*t) > WINDOW) {
            self.late.pop_front();
        }
        match self.rate {
            Rate::Full(since) if self.late.len() >= LATE_TICKS => {
                let too_soon = since.is_some_and(|t| now.since(t) < self.relief * 2);
                self.relief = if too_soon {
                    (self.relief * 2).min(LONGEST_RELIEF)
                } else {
                    RELIEF
                };
                self.late.clear();
                self.rate = Rate::Half(now);
                Some(true)
            }
            Rate::Full(_) => None,
            Rate::Half(_) if !self.late.is_empty() => {
                self.late.clear();
                self.rate = Rate::Half(now);
                None
            }
            Rate::Half(since) if now.since(since) >= self.relief => {
                self.rate = Rate::Full(Some(now));
                Some(false)
            }
            Rate::Half(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(40);

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    /// Runs until `end`, each tick beginning `delay` ms late; the changes of rate, in ms.
    fn run(pace: &mut Pace, end: u64, delay: u64) -> Vec<(u64, bool)> {
        let mut changes = Vec::new();
        while pace.due() < ms(end) {
            let now = pace.due().plus(Duration::from_millis(delay));
            if let Some(slowed) = pace.begin(now).slowed {
                changes.push((now.0 / 1_000_000, slowed));
            }
        }
        changes
    }

    #[test]
    fn the_grid_does_not_drift() {
        // A room that opens when the process is months old is no other.
        let start = 100 * 86_400_000;
        for n in [0, start] {
            grid(n);
        }
    }

    fn grid(start: u64) {
        let mut pace = Pace::new(PERIOD, ms(start));
        for n in 0..1000u64 {
            assert_eq!(pace.due(), ms(start + n * 40));
            let begun = pace.begin(ms(start + n * 40 + n % 20));
            assert_eq!(
                (begun.at, begun.late, begun.skipped),
                (ms(start + n * 40), false, 0)
            );
        }
    }

    #[test]
    fn more_than_half_a_period_is_late_and_what_cannot_be_in_time_is_skipped() {
        let mut pace = Pace::new(PERIOD, ms(0));
        assert!(!pace.begin(ms(20)).late);
        assert!(pace.begin(ms(61)).late);
        assert_eq!(pace.due(), ms(80));
        let begun = pace.begin(ms(80 + 101));
        assert_eq!((begun.late, begun.skipped), (true, 2));
        assert_eq!(pace.due(), ms(200));
        let begun = pace.begin(ms(200 + 3_600_000));
        assert_eq!((begun.at, begun.skipped), (ms(200), 89_999));
        assert_eq!(pace.due(), ms(200 + 3_600_000));
    }

    #[test]
    fn the_rate_halves_under_load_and_comes_back() {
        let mut pace = Pace::new(PERIOD, ms(0));
        assert_eq!(run(&mut pace, 1000, 25), [(4 * 40 + 25, true)]);
        assert_eq!(pace.step(), PERIOD * 2);
        let back = run(&mut pace, 20_000, 0);
        assert_eq!(back.len(), 1);
        assert!((5000..7000).contains(&back[0].0) && !back[0].1, "{back:?}");
        assert_eq!(pace.step(), PERIOD);
    }

    /// A thread that works so many ms for a tick, and gets a share of a processor; the pictures a
    /// second in each second until `end`.
    fn starve(work: f64, share: impl Fn(f64) -> f64, end: f64) -> Vec<u32> {
        let mut pace = Pace::new(PERIOD, ms(0));
        let mut pictures = vec![0; (end / 1e3) as usize + 1];
        let mut free = 0.0f64;
        while free < end {
            let begin = free.max(pace.due().0 as f64 / 1e6);
            pace.begin(MediaTime((begin * 1e6) as u64));
            free = begin + work / share(begin);
            pictures[(begin / 1e3) as usize] += u32::from(begin < end);
        }
        pictures
    }

    #[test]
    fn a_starved_room_gets_half_its_pictures_evenly_and_then_all_of_them() {
        // From the tenth second to the twentieth another takes two thirds of the processor.
        let share = |at: f64| {
            let starved = (10e3..20e3).contains(&at);
            if starved { 1.0 / 3.0 } else { 1.0 }
        };
        let pictures = starve(20.0, share, 40e3);
        assert!(pictures[..10].iter().all(|n| *n == 25), "{pictures:?}");
        // Half after a second, for 60 ms of work fit into 80; five seconds later all is tried again.
        let half = pictures[11..20].iter().filter(|n| (12..=13).contains(*n));
        assert!(half.count() >= 8, "{pictures:?}");
        assert!(
            pictures[11..20].iter().all(|n| (12..=17).contains(n)),
            "{pictures:?}"
        );
        // Tried again after five good seconds, and again after ten if that was during the famine.
        assert!(pictures[36..40].iter().all(|n| *n == 25), "{pictures:?}");
    }

    #[test]
    fn single_late_ticks_change_nothing() {
        let mut pace = Pace::new(PERIOD, ms(0));
        for n in 0..1000 {
            let delay = if n % 7 == 0 { 39 } else { 0 };
            let now = pace.due().plus(Duration::from_millis(delay));
            assert_eq!(pace.begin(now).slowed, None);
        }
    }

    #[test]
    fn the_full_rate_is_tried_less_and_less_often_while_it_fails() {
        let mut pace = Pace::new(PERIOD, ms(0));
        let mut changes = Vec::new();
        while pace.due() < ms(400_000) {
            let delay = if pace.step() == PERIOD { 30 } else { 0 };
            let now = pace.due().plus(Duration::from_millis(delay));
            if pace.begin(now).slowed == Some(false) {
                changes.push(now.0 / 1_000_000_000);
            }
        }
        // In seconds, and a few late ticks more.
        let waits: Vec<u64> = changes.windows(2).map(|w| w[1] - w[0]).collect();
        for (wait, relief) in waits.iter().zip([10, 20, 40, 60, 60]) {
            assert!((relief..=relief + 1).contains(wait), "{waits:?}");
        }
        assert!(waits.len() >= 5, "{waits:?}");
    }
}
