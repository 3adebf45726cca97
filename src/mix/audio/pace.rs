//! When ticks are due: every 20 ms, next = previous + period, whatever the machine does.

use std::time::Duration;

use crate::clock::MediaTime;

/// Time between ticks: [`crate::media::AUDIO_FRAME`] samples.
pub const PERIOD: Duration = Duration::from_millis(20);
/// Missed ticks are made up for as long as they are no older than this: listeners' jitter buffers
/// bridge a burst of it without a gap, and sources keep at least as much.
const CATCH_UP: Duration = Duration::from_millis(200);

/// The pace of one loop.
#[derive(Debug, Default)]
pub struct Pace {
    /// When the next tick is due; none at rest.
    due: Option<MediaTime>,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing before this time.
    Wait(MediaTime),
    /// The tick that was due at this time.
    Tick {
        /// When it was due: the time of its first sample.
        at: MediaTime,
        /// Ticks before it that are left out: the loop was starved for too long.
        skipped: u64,
    },
}

impl Pace {
    /// Stops the beat: the next tick is due whenever it is asked for.
    pub fn rest(&mut self) {
        self.due = None;
    }

    /// What to do at `now`.
    pub fn step(&mut self, now: MediaTime) -> Step {
        let due = self.due.unwrap_or(now);
        if due > now {
            return Step::Wait(due);
        }
        let beyond = now.since(due).saturating_sub(CATCH_UP);
        let skipped = beyond.as_nanos().div_ceil(PERIOD.as_nanos()) as u64;
        let at = due.plus(PERIOD * u32::try_from(skipped).unwrap_or(u32::MAX));
        self.due = Some(at.plus(PERIOD));
        Step::Tick { at, skipped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    fn tick(at: u64, skipped: u64) -> Step {
        Step::Tick {
            at: ms(at),
            skipped,
        }
    }

    #[test]
    fn ticks_do_not_drift() {
        let mut pace = Pace::default();
        assert_eq!(pace.step(ms(1000)), tick(1000, 0));
        assert_eq!(pace.step(ms(1001)), Step::Wait(ms(1020)));
        // Woken 3 ms late: the next one is due as if nothing had been.
        assert_eq!(pace.step(ms(1023)), tick(1020, 0));
        assert_eq!(pace.step(ms(1023)), Step::Wait(ms(1040)));
    }

    #[test]
    fn up_to_200_ms_are_made_up_without_a_gap() {
        let mut pace = Pace::default();
        pace.step(ms(0));
        for n in 1..=11 {
            assert_eq!(pace.step(ms(220)), tick(n * 20, 0));
        }
        assert_eq!(pace.step(ms(220)), Step::Wait(ms(240)));
    }

    #[test]
    fn what_is_older_is_skipped_and_counted() {
        let mut pace = Pace::default();
        pace.step(ms(0));
        // Due at 20; at 1005, all before 805 is too old: 820 is the first one made up.
        assert_eq!(pace.step(ms(1005)), tick(820, 40));
        let made_up = (1..).find(|_| matches!(pace.step(ms(1005)), Step::Wait(_)));
        assert_eq!(made_up, Some(10), "840 to 1000, then wait");
        assert_eq!(pace.step(ms(1005)), Step::Wait(ms(1020)));
    }

    #[test]
    fn a_starved_thread_makes_every_packet() {
        // Woken late, and the later the more often: by up to 180 ms, 5 ms of work for a packet.
        let mut pace = Pace::default();
        let (mut now, mut next) = (ms(0), 0);
        while next < 20 * 10_000 {
            match pace.step(now) {
                Step::Tick { at, skipped } => {
                    assert_eq!((at, skipped), (ms(next), 0));
                    next += 20;
                    now = now.plus(Duration::from_millis(5));
                }
                Step::Wait(until) => now = until.plus(Duration::from_millis(next * 7 % 180)),
            }
        }
    }

    #[test]
    fn after_a_rest_the_beat_starts_anew() {
        let mut pace = Pace::default();
        pace.step(ms(0));
        pace.rest();
        assert_eq!(pace.step(ms(90_000)), tick(90_000, 0));
    }
}
