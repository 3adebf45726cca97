//! Whether a receiver still takes what it is sent. Pure.

use std::time::Duration;

use crate::clock::MediaTime;

/// How long nothing may move while something waits to be sent. Longer than any network that comes
/// back; with what sockets hold by then, well within the half minute in which it is to be noticed.
pub const STUCK: Duration = Duration::from_secs(10);

/// How often is looked.
pub const LOOK: Duration = Duration::from_millis(500);

/// Watches over what is on its way.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The last time that something moved, or that nothing had to.
    moved: MediaTime,
    sent: u64,
}

impl Progress {
    /// From now on.
    pub fn new(now: MediaTime) -> Self {
        Self {
            moved: now,
            sent: 0,
        }
    }

    /// So much has been taken in all, and something waits or not. Whether it moves no more.
    pub fn is_stuck(&mut self, now: MediaTime, sent: u64, waits: bool) -> bool {
        if !waits || sent != self.sent {
            (self.moved, self.sent) = (now, sent);
        }
        now.since(self.moved) >= STUCK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_moving_for_ten_seconds_is_stuck_and_nothing_to_move_is_not() {
        let at = |seconds: u64| MediaTime(seconds * 1_000_000_000);
        let mut progress = Progress::new(at(0));
        assert!(!progress.is_stuck(at(100), 0, false), "nothing to do");
        assert!(!progress.is_stuck(at(109), 0, true));
        assert!(!progress.is_stuck(at(110), 1, true), "a little");
        assert!(!progress.is_stuck(at(119), 1, true));
        assert!(progress.is_stuck(at(120), 1, true));
    }
}
