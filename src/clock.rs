//! One clock for the whole process: media times are nanoseconds since it was first read.
//!
//! Only drivers (threads and tasks that act) read it; whatever decides takes the time as an
//! argument. Outgoing RTP timestamps and sender reports are functions of [`MediaTime`], so audio
//! and video of every mix share one time line.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds on the process's monotonic time line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MediaTime(pub u64);

/// A 64-bit NTP timestamp (RFC 3550 section 4): seconds since 1900 in 32.32 fixed point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NtpTime(pub u64);

struct Epoch {
    instant: Instant,
    wall: Duration,
}

fn epoch() -> &'static Epoch {
    static EPOCH: OnceLock<Epoch> = OnceLock::new();
    EPOCH.get_or_init(|| Epoch {
        instant: Instant::now(),
        wall: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    })
}

/// The time now. For drivers only.
pub fn now() -> MediaTime {
    MediaTime::from(Instant::now())
}

impl MediaTime {
    /// This time plus `later`.
    pub fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(later.as_nanos() as u64))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: MediaTime) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The time as ticks of an RTP clock of `rate` Hz, unbounded (callers wrap it to 32 bits).
    pub fn rtp_ticks(self, rate: u32) -> u64 {
        (self.0 as u128 * rate as u128 / 1_000_000_000) as u64
    }

    /// The process's wall clock at this time. It never steps: the offset is read once at start,
    /// so all sender reports of a process share one time line.
    pub fn ntp(self) -> NtpTime {
        const SECONDS_1900_TO_1970: u64 = 2_208_988_800;
        let wall = epoch().wall + Duration::from_nanos(self.0);
        let fraction = ((wall.subsec_nanos() as u64) << 32) / 1_000_000_000;
        NtpTime(((wall.as_secs() + SECONDS_1900_TO_1970) << 32) | fraction)
    }

    /// The same moment for APIs that wait.
    pub fn instant(self) -> Instant {
        epoch().instant + Duration::from_nanos(self.0)
    }
}

impl From<Instant> for MediaTime {
    fn from(instant: Instant) -> Self {
        Self(
            instant
                .saturating_duration_since(epoch().instant)
                .as_nanos() as u64,
        )
    }
}

impl NtpTime {
    /// Nanoseconds since 1900, for differences.
    pub fn nanos(self) -> i128 {
        ((self.0 >> 32) as i128) * 1_000_000_000
            + (((self.0 & 0xffff_ffff) as i128 * 1_000_000_000) >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rtp_ticks_are_exact_over_months() {
        let day = MediaTime(86_400_000_000_000 * 90);
        assert_eq!(day.rtp_ticks(90_000), 86_400 * 90 * 90_000);
        assert_eq!(MediaTime(20_000_000).rtp_ticks(48_000), 960);
    }

    #[test]
    fn ntp_advances_with_media_time() {
        let (a, b) = (
            MediaTime(1_000_000_000).ntp(),
            MediaTime(3_500_000_000).ntp(),
        );
        let apart = b.nanos() - a.nanos();
        assert!((apart - 2_500_000_000).abs() < 10, "{apart}");
    }
}
