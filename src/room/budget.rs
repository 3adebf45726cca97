//! When everybody gets a mix of their own, and when that is too much (pure).
//!
//! Personal mixes are given up soon after the processor is at its limit, and tried again when
//! there has been room for long. Each time that was in vain the next try is further off, so a
//! room that is a little too large for its machine does not swing.

use std::time::Duration;

use crate::clock::MediaTime;

/// Over the limit for this long is too much: longer than a join or a keyframe's peak.
const OVER: Duration = Duration::from_secs(2);
/// With less than this part of the limit in use there may be room for personal mixes.
const ROOMY: f32 = 0.6;
/// For how long there must be room at first ...
const PATIENCE: Duration = Duration::from_secs(20);
/// ... and at most.
const MOST_PATIENCE: Duration = Duration::from_secs(640);
/// A try that lasted this long was a success.
const SUCCESS: Duration = Duration::from_secs(60);

/// Whether there is room for personal mixes.
#[derive(Debug)]
pub struct Budget {
    /// Common mixes since then.
    common: Option<MediaTime>,
    /// Personal mixes again since then.
    tried: Option<MediaTime>,
    /// Over the limit, or roomy, since then.
    since: Option<MediaTime>,
    patience: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            common: None,
            tried: None,
            since: None,
            patience: PATIENCE,
        }
    }
}

impl Budget {
    /// Whether the room must do with common mixes.
    pub fn is_tight(&self) -> bool {
        self.common.is_some()
    }

    /// So much is in use, as a part of the limit.
    pub fn load(&mut self, now: MediaTime, used: f32) {
        let (counts, long_enough) = match self.common {
            None => (used >= 1.0, OVER),
            Some(_) => (used < ROOMY, self.patience),
        };
        if !counts {
            self.since = None;
            return;
        }
        let since = *self.since.get_or_insert(now);
        if now.since(since) < long_enough {
            return;
        }
        self.since = None;
        match self.common.take() {
            Some(_) => self.tried = Some(now),
            None => {
                let in_vain = self.tried.is_some_and(|at| now.since(at) < SUCCESS);
                self.patience = match in_vain {
                    true => (self.patience * 2).min(MOST_PATIENCE),
                    false => PATIENCE,
                };
                self.common = Some(now);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds at which it changed, when `used` is in use at each second and with each policy.
    fn changes(seconds: u64, used: impl Fn(u64, bool) -> f32) -> Vec<u64> {
        let mut budget = Budget::default();
        let mut changes = Vec::new();
        for second in 0..seconds {
            let before = budget.is_tight();
            let now = MediaTime(second * 1_000_000_000);
            budget.load(now, used(second, before));
            if budget.is_tight() != before {
                changes.push(second);
            }
        }
        changes
    }

    #[test]
    fn a_peak_is_no_reason_and_a_plateau_is() {
        let peaks = |second, _| if second % 3 == 0 { 2.0 } else { 0.9 };
        assert_eq!(changes(1_000, peaks), [0u64; 0]);
        let plateau = |second, _| {
            if (10..100).contains(&second) {
                1.2
            } else {
                0.3
            }
        };
        assert_eq!(changes(200, plateau), [12, 120]);
    }

    #[test]
    fn a_room_that_is_a_little_too_large_does_not_swing() {
        // Personal mixes are just too much, common ones are cheap.
        let used = |_, tight| if tight { 0.2 } else { 1.1 };
        let changes = changes(3_600, used);
        assert!(changes.len() < 20, "{changes:?}");
        let last = changes.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(last >= Some(600), "{changes:?}");
    }

    #[test]
    fn in_between_nothing_changes() {
        assert_eq!(
            changes(1_000, |_, tight| if tight { 0.7 } else { 0.9 }),
            [0u64; 0]
        );
        let used = |second, tight| {
            if second < 5 {
                1.5
            } else if tight {
                0.7
            } else {
                0.9
            }
        };
        assert_eq!(changes(1_000, used).len(), 1);
    }
}
