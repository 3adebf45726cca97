//! A bound on what one connection may send. Pure.
//!
//! A browser's camera and screen take 2 to 5 Mbit/s, and its probes for bandwidth twice that. Who
//! sends much more is broken or means harm: decrypting it takes a core, and the port's buffer in
//! the kernel is everybody's.

use crate::allowance::{Allowance, Rate};
use crate::clock::MediaTime;

/// Bytes. In the long run 20 Mbit/s; at once the largest keyframes many times over, and whatever a
/// kernel's buffer has gathered while the process did not run. At 100 Mbit/s that is used up after
/// half a second, at 35 Mbit/s after three.
const MOST: Rate = Rate {
    burst: 5e6,
    a_second: 2.5e6,
};

/// What one connection has sent.
#[derive(Debug, Default)]
pub(super) struct Flood {
    /// Since its first packet.
    allowance: Option<Allowance>,
    over: bool,
}

impl Flood {
    /// Whether a packet of `bytes` that came at `now` may pass. Once one may not, none may.
    pub fn admit(&mut self, bytes: usize, now: MediaTime) -> bool {
        let allowance = self
            .allowance
            .get_or_insert_with(|| Allowance::new(MOST, now.instant()));
        self.over |= !allowance.take_many(bytes as f64, now.instant());
        !self.over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds until a steady sender of so many Mbit/s is cut, within a minute.
    fn cut_after(mbit: f64) -> Option<f64> {
        let mut flood = Flood::default();
        let packets = mbit * 1e6 / 8.0 / 1200.0;
        (0..(packets * 60.0) as u64).find_map(|n| {
            let at = n as f64 / packets;
            let passes = flood.admit(1200, MediaTime((at * 1e9) as u64 + 7));
            (!passes).then_some(at)
        })
    }

    #[test]
    fn floods_are_cut_within_three_seconds_and_video_never() {
        for mbit in [1.0, 5.0, 10.0, 19.0] {
            assert_eq!(cut_after(mbit), None, "{mbit}");
        }
        for (mbit, most) in [(35.0, 3.0), (100.0, 0.6), (1_000.0, 0.1)] {
            let after = cut_after(mbit).unwrap();
            assert!(after < most, "{mbit} after {after}");
        }
    }

    #[test]
    fn a_burst_is_no_flood_and_a_flood_is_no_burst() {
        let second = |n: u64| MediaTime(n * 1_000_000_000);
        let mut flood = Flood::default();
        // What a camera sends in ten seconds, all at once.
        assert!((0..2_600).all(|_| flood.admit(1200, second(0))));
        assert!((0..2_600).all(|_| flood.admit(1200, second(2))));
        assert!(!(0..2_600).all(|_| flood.admit(1200, second(2))));
        assert!(!flood.admit(1, second(100)), "cut is cut");
    }
}
