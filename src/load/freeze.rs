//! When a picture that does not move counts as a freeze, as `freezeCount` in W3C's WebRTC
//! statistics defines it: the interval between two consecutive pictures is at least
//! max(3 x average, average + 150 ms), the average being that of the last 30 intervals.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::MediaTime;

const AVERAGED: usize = 30;
const MARGIN: Duration = Duration::from_millis(150);

/// Counts freezes in a sequence of picture times.
#[derive(Debug, Default)]
pub struct Freezes {
    last: Option<MediaTime>,
    intervals: VecDeque<Duration>,
    count: u32,
    total: Duration,
}

impl Freezes {
    /// A picture was complete at this time.
    pub fn picture(&mut self, at: MediaTime) {
        if let Some(last) = self.last {
            let interval = at.since(last);
            if self.is_freeze(interval) {
                self.count += 1;
                self.total += interval;
            }
            if self.intervals.len() == AVERAGED {
                self.intervals.pop_front();
            }
            self.intervals.push_back(interval);
        }
        self.last = Some(at);
    }

    /// How many there were, one that still lasts `now` included. (W3C's count would miss a
    /// stream that stopped for good.)
    pub fn count(&self, now: MediaTime) -> u32 {
        let open = self
            .last
            .is_some_and(|last| self.is_freeze(now.since(last)));
        self.count + open as u32
    }

    /// How long all of them lasted together.
    pub fn total(&self, now: MediaTime) -> Duration {
        let open = self.last.map_or(Duration::ZERO, |last| now.since(last));
        if self.is_freeze(open) {
            self.total + open
        } else {
            self.total
        }
    }

    fn is_freeze(&self, interval: Duration) -> bool {
        if self.intervals.is_empty() {
            return false;
        }
        let average = self.intervals.iter().sum::<Duration>() / self.intervals.len() as u32;
        interval >= (3 * average).max(average + MARGIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(gaps: &[(usize, u64)]) -> (Freezes, MediaTime) {
        let mut freezes = Freezes::default();
        let mut now = MediaTime(0);
        freezes.picture(now);
        for &(times, millis) in gaps {
            for _ in 0..times {
                now = now.plus(Duration::from_millis(millis));
                freezes.picture(now);
            }
        }
        (freezes, now)
    }

    #[test]
    fn at_25_a_second_a_freeze_begins_at_190_ms() {
        let (freezes, now) = played(&[(40, 40), (1, 189), (40, 40)]);
        assert_eq!(freezes.count(now), 0);
        let (freezes, now) = played(&[(40, 40), (1, 190), (40, 40)]);
        assert_eq!(freezes.count(now), 1);
        assert_eq!(freezes.total(now), Duration::from_millis(190));
    }

    #[test]
    fn slow_pictures_are_judged_by_three_times_their_average() {
        let (freezes, now) = played(&[(40, 100), (1, 299), (31, 100), (1, 300)]);
        assert_eq!(freezes.count(now), 1);
    }

    #[test]
    fn a_stream_that_stopped_is_frozen() {
        let (freezes, now) = played(&[(40, 40)]);
        assert_eq!(freezes.count(now.plus(Duration::from_millis(100))), 0);
        assert_eq!(freezes.count(now.plus(Duration::from_secs(3))), 1);
        assert_eq!(Freezes::default().count(now), 0, "it never began");
    }
}
