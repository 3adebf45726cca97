//! When a push that broke is tried again, and when it is given up. Pure.

use std::time::Duration;

use crate::clock::MediaTime;

/// The first pause; each one after it is twice as long ...
const FIRST: Duration = Duration::from_secs(1);
/// ... up to this.
const LONGEST: Duration = Duration::from_secs(60);
/// Who was live for so long begins with the first pause again.
const PROVEN: Duration = Duration::from_secs(30);
/// Attempts in a row, none of which proved itself, after which nobody believes in it: some eleven
/// minutes.
const ATTEMPTS: u32 = 15;

/// The attempts of one push.
#[derive(Debug, Default, Clone)]
pub struct Retry {
    failed: u32,
    live_since: Option<MediaTime>,
}

impl Retry {
    /// It is live.
    pub fn live(&mut self, now: MediaTime) {
        self.live_since = Some(now);
    }

    /// It broke, or never came about: how long to wait. None: it is given up.
    pub fn broke(&mut self, now: MediaTime) -> Option<Duration> {
        let live = self.live_since.take();
        if live.is_some_and(|since| now.since(since) >= PROVEN) {
            self.failed = 0;
        }
        self.failed += 1;
        if self.failed >= ATTEMPTS {
            return None;
        }
        let doubled = FIRST.saturating_mul(1 << (self.failed - 1).min(16));
        Some(doubled.min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> MediaTime {
        MediaTime(seconds * 1_000_000_000)
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_end() {
        let (mut retry, mut now, mut pauses) = (Retry::default(), 0, vec![]);
        while let Some(pause) = retry.broke(at(now)) {
            now += pause.as_secs();
            pauses.push(pause.as_secs());
        }
        assert_eq!(pauses[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pauses.len() as u32, ATTEMPTS - 1);
        assert!((480..900).contains(&now), "{now}");
    }

    #[test]
    fn who_was_live_begins_anew_and_who_flaps_does_not() {
        let mut retry = Retry::default();
        for _ in 0..5 {
            retry.broke(at(0));
        }
        retry.live(at(100));
        assert_eq!(retry.broke(at(129)), Some(Duration::from_secs(32)));
        retry.live(at(200));
        assert_eq!(retry.broke(at(230)), Some(Duration::from_secs(1)));
    }
}
