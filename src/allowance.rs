//! A token bucket: how often somebody may do something. Time is an argument.

use std::time::Instant;

/// So many at once, and so many a second in the long run.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// At once.
    pub burst: f64,
    /// Each second.
    pub a_second: f64,
}

/// What is left of somebody's rate.
#[derive(Debug)]
pub struct Allowance {
    rate: Rate,
    left: f64,
    at: Instant,
}

impl Allowance {
    /// A full one.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            left: rate.burst,
            at: now,
        }
    }

    /// Takes one; `false` if there is none left.
    pub fn take(&mut self, now: Instant) -> bool {
        self.take_many(1.0, now)
    }

    /// Takes so many; `false` if there are fewer left.
    pub fn take_many(&mut self, count: f64, now: Instant) -> bool {
        self.refill(now);
        let taken = self.left >= count;
        if taken {
            self.left -= count;
        }
        taken
    }

    /// Whether it is as if nothing had ever been taken.
    pub fn full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.left >= self.rate.burst
    }

    fn refill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.rate.a_second;
        self.left = (self.left + gained).min(self.rate.burst);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_a_flood_does_not() {
        let rate = Rate {
            burst: 120.0,
            a_second: 10.0,
        };
        let start = Instant::now();
        let mut allowance = Allowance::new(rate, start);
        assert!(allowance.full(start));
        let burst = (0..1000).filter(|_| allowance.take(start)).count();
        assert_eq!(burst, 120);
        assert!(!allowance.full(start));
        let later = start + Duration::from_secs(1);
        let refilled = (0..1000).filter(|_| allowance.take(later)).count();
        assert_eq!(refilled, 10);
        assert!(!allowance.take(start), "time does not go back");
        assert!(!allowance.take(later));
        assert!(allowance.full(later + Duration::from_secs(12)));
    }
}
