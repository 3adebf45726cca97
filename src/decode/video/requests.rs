//! When to ask a publisher for a keyframe (pure).

use std::time::Duration;

use crate::clock::MediaTime;

/// Requests are at least this far apart: a publisher's encoder is not made to send nothing else.
pub const INTERVAL: Duration = Duration::from_millis(500);
/// An unanswered request is repeated after this long: it, or the keyframe, may have been lost.
const REPEAT: Duration = Duration::from_secs(1);

/// When to ask the publisher for a keyframe.
#[derive(Debug, Default)]
pub struct Requests {
    /// Unanswered since then.
    wanted: Option<MediaTime>,
    asked: Option<MediaTime>,
    /// What is wanted came too soon after the last request to be asked for.
    owed: bool,
    /// Some picture has come out of the running pipeline.
    decoded: bool,
}

impl Requests {
    /// A pipeline starts, with this packet or a later one. A stream that begins with a keyframe
    /// needs no request, unless nothing comes of it. Answers whether to ask now.
    pub fn start(&mut self, now: MediaTime, with_keyframe: bool) -> bool {
        self.decoded = false;
        if with_keyframe {
            self.wanted = Some(now);
            return false;
        }
        self.want(now)
    }

    /// Something was lost or broken. Answers whether to ask now; if not, it will be in time.
    pub fn want(&mut self, now: MediaTime) -> bool {
        self.wanted.get_or_insert(now);
        let asks = self.asked.is_none_or(|asked| now.since(asked) >= INTERVAL);
        self.owed = !asks;
        self.ask(now, asks)
    }

    /// A keyframe's first packet came.
    pub fn keyframe(&mut self) {
        if self.decoded {
            self.satisfied();
        }
    }

    /// A picture came out.
    pub fn decoded(&mut self) {
        if !self.decoded {
            self.decoded = true;
            self.satisfied();
        }
    }

    /// Whether to ask (again) now.
    pub fn check(&mut self, now: MediaTime) -> bool {
        let Some(wanted) = self.wanted else {
            return false;
        };
        let (since, pause) = match self.asked {
            Some(asked) if self.owed => (asked, INTERVAL),
            Some(asked) => (asked.max(wanted), REPEAT),
            None => (wanted, REPEAT),
        };
        self.ask(now, now.since(since) >= pause)
    }

    fn ask(&mut self, now: MediaTime, asks: bool) -> bool {
        if asks {
            self.asked = Some(now);
            self.owed = false;
        }
        asks
    }

    fn satisfied(&mut self) {
        self.wanted = None;
        self.owed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    #[test]
    fn requests_are_throttled_and_repeated_until_answered() {
        let mut requests = Requests::default();
        assert!(requests.start(ms(0), false));
        assert!(!requests.want(ms(499)));
        assert!(requests.want(ms(500)));
        assert!(!requests.check(ms(1_400)));
        assert!(requests.check(ms(1_500)), "no picture yet");
        // A keyframe's start is no picture: the rest may be lost.
        requests.keyframe();
        assert!(requests.check(ms(2_500)));
        requests.decoded();
        assert!(!requests.check(ms(9_000)));
        // Later a keyframe's start is answer enough.
        assert!(requests.want(ms(10_000)));
        requests.keyframe();
        assert!(!requests.check(ms(20_000)));
    }

    #[test]
    fn a_stream_that_begins_with_a_keyframe_is_not_asked_for_another() {
        let mut requests = Requests::default();
        assert!(!requests.start(ms(0), true));
        requests.decoded();
        assert!(!requests.check(ms(5_000)));
        let mut requests = Requests::default();
        assert!(!requests.start(ms(0), true));
        assert!(requests.check(ms(1_000)), "but nothing came of it");
        // Beginning was no request: a loss is asked for at once.
        let mut requests = Requests::default();
        assert!(!requests.start(ms(0), true));
        assert!(requests.want(ms(10)));
    }

    #[test]
    fn a_loss_within_the_pause_is_asked_for_after_it() {
        let mut requests = Requests::default();
        requests.start(ms(0), false);
        requests.decoded();
        assert!(!requests.want(ms(100)));
        assert!(!requests.check(ms(499)));
        assert!(requests.check(ms(500)));
        assert!(!requests.check(ms(1_499)));
        assert!(requests.check(ms(1_500)));
    }
}
