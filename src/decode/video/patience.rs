//! How long the jitter buffer waits for a hole: as long as retransmissions take (pure).
//!
//! Packets in order pass at once whatever it is; only a hole costs the wait. Waiting too briefly
//! makes every retransmission come too late: a corrupt picture and a keyframe, half a second of
//! trouble. Waiting long where nothing is retransmitted delays the same trouble. So it starts
//! short and learns from packets that came after they were given up.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::MediaTime;

/// Where it starts and what it falls back to: reordering is over by then.
const LEAST: Duration = Duration::from_millis(20);
/// Longer is a visible freeze; a keyframe is sooner there.
const MOST: Duration = Duration::from_millis(250);
/// What the retransmissions that came may vary by.
const MARGIN: Duration = Duration::from_millis(15);
/// Without a late packet for this long it falls by an eighth.
const CALM: Duration = Duration::from_secs(20);
/// Losses remembered: a burst of half a second.
const LOSSES: usize = 256;

/// The wait for holes.
#[derive(Debug)]
pub struct Patience {
    wait: Duration,
    given_up: VecDeque<(u16, MediaTime)>,
    changed: MediaTime,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            wait: LEAST,
            given_up: VecDeque::new(),
            changed: MediaTime::default(),
        }
    }
}

impl Patience {
    /// The jitter buffer gave this packet up now.
    pub fn lost(&mut self, sequence: u16, now: MediaTime) {
        if self.given_up.len() == LOSSES {
            self.given_up.pop_front();
        }
        self.given_up.push_back((sequence, now));
    }

    /// A packet came.
    pub fn packet(&mut self, sequence: u16, now: MediaTime) {
        if now.since(self.changed) >= CALM {
            self.wait = (self.wait - self.wait / 8).max(LEAST);
            self.changed = now;
        }
        let late = self.given_up.iter().position(|lost| lost.0 == sequence);
        let Some((_, given_up)) = late.and_then(|index| self.given_up.remove(index)) else {
            return;
        };
        let needed = self.wait + now.since(given_up) + MARGIN;
        // Beyond the most it would not have helped: nothing to learn.
        if needed <= MOST {
            self.wait = self.wait.max(needed);
            self.changed = now;
        }
    }

    /// Another sequence begins.
    pub fn restart(&mut self) {
        self.given_up.clear();
    }

    /// The wait now, ms.
    pub fn ms(&self) -> u32 {
        self.wait.as_millis() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    /// A packet in 50 is lost and sent again `rtt` ms later. Yields how many of the last 100 lost
    /// ones came in time.
    fn in_time(rtt: u64) -> usize {
        let mut patience = Patience::default();
        let mut saved = Vec::new();
        let mut again: VecDeque<(u64, u16)> = VecDeque::new();
        let mut holes: VecDeque<(u64, u16)> = VecDeque::new();
        for t in 0..20_000u64 {
            while holes.front().is_some_and(|hole| hole.0 <= t) {
                let (_, number) = holes.pop_front().unwrap();
                patience.lost(number, ms(t));
                saved.push(false);
            }
            while again.front().is_some_and(|packet| packet.0 <= t) {
                let (_, number) = again.pop_front().unwrap();
                if let Some(at) = holes.iter().position(|hole| hole.1 == number) {
                    holes.remove(at);
                    saved.push(true);
                }
                patience.packet(number, ms(t));
            }
            if t % 3 == 0 {
                let number = (t / 3) as u16;
                if number % 50 == 49 {
                    holes.push_back((t + u64::from(patience.ms()), number));
                    again.push_back((t + rtt, number));
                } else {
                    patience.packet(number, ms(t));
                }
            }
        }
        saved.iter().rev().take(100).filter(|saved| **saved).count()
    }

    #[test]
    fn it_learns_how_long_retransmissions_take() {
        for rtt in [10, 60, 120, 200] {
            assert_eq!(in_time(rtt), 100, "{rtt}");
        }
        // Too far away to wait for: not tried, so nothing is delayed.
        assert_eq!(in_time(400), 0);
    }

    #[test]
    fn it_falls_back_slowly() {
        let mut patience = Patience::default();
        patience.lost(1, ms(0));
        patience.packet(1, ms(100));
        assert_eq!(patience.ms(), 135);
        for t in (0..600_000).step_by(20) {
            patience.packet(2, ms(t));
        }
        assert_eq!(patience.ms(), 20);
    }
}
