//! When an encoder is asked for a keyframe. Pure: time is an argument.

use std::time::Duration;

use crate::clock::MediaTime;

/// Shortest time between two keyframes that were asked for. A keyframe is worth some ten other
/// pictures; with a hundred viewers and a lossy network requests come by the dozen.
pub const APART: Duration = Duration::from_millis(500);

/// Coalesces requests: any number of them become one keyframe, at most every [`APART`]. A
/// request that comes too soon is remembered, not lost.
#[derive(Debug, Default, Clone)]
pub struct KeyframeGate {
    wanted: bool,
    /// The encoder was last asked, or last made one by itself.
    last: Option<MediaTime>,
    /// Without anybody asking, one is made this long after the last one.
    every: Option<Duration>,
}

impl KeyframeGate {
    /// Somebody needs a keyframe.
    pub fn request(&mut self) {
        self.wanted = true;
    }

    /// From now on somebody needs one whenever there was none for `every`; none: only on request.
    pub fn repeat(&mut self, every: Option<Duration>) {
        self.every = every;
    }

    /// Whether the encoder is to be asked for one now. Having said so, waits [`APART`] for it
    /// before it says so again.
    pub fn ask(&mut self, now: MediaTime) -> bool {
        let apart = |time| self.last.is_none_or(|last| now.since(last) >= time);
        let due = (self.wanted && apart(APART)) || self.every.is_some_and(apart);
        if due {
            self.last = Some(now);
        }
        due
    }

    /// The encoder has made one: it serves everybody who asked before.
    pub fn made(&mut self, now: MediaTime) {
        self.wanted = false;
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    #[test]
    fn nobody_asks_nothing_is_made() {
        let mut gate = KeyframeGate::default();
        assert!((0..100).all(|n| !gate.ask(ms(n * 40))));
    }

    #[test]
    fn a_request_is_served_at_the_next_picture() {
        let mut gate = KeyframeGate::default();
        gate.made(ms(0));
        gate.request();
        assert!(gate.ask(ms(600)));
        gate.made(ms(605));
        assert!(!gate.ask(ms(2000)), "served");
    }

    #[test]
    fn a_request_too_soon_waits_and_is_not_lost() {
        let mut gate = KeyframeGate::default();
        gate.made(ms(0));
        gate.request();
        let asked: Vec<u64> = (0..30)
            .map(|n| n * 40)
            .filter(|t| gate.ask(ms(*t)))
            .collect();
        assert_eq!(asked, [520, 1040], "again, for none came");
    }

    #[test]
    fn a_storm_of_requests_makes_two_keyframes_a_second() {
        let mut gate = KeyframeGate::default();
        let mut made = 0;
        for t in 0..10_000 {
            gate.request();
            if t % 40 == 0 && gate.ask(ms(t)) {
                gate.made(ms(t + 10));
                made += 1;
            }
        }
        assert!((18..=20).contains(&made), "{made}");
    }

    #[test]
    fn one_comes_again_and_again_while_that_is_wanted() {
        let mut gate = KeyframeGate::default();
        gate.made(ms(0));
        gate.repeat(Some(Duration::from_secs(2)));
        let mut made = Vec::new();
        for t in (0..10_000).step_by(40) {
            // Somebody asks in between; the two seconds begin anew.
            if t == 5_000 {
                gate.request();
            }
            if gate.ask(ms(t)) {
                gate.made(ms(t));
                made.push(t);
            }
        }
        assert_eq!(made, [2_000, 4_000, 5_000, 7_000, 9_000]);
        gate.repeat(None);
        assert!((10_000..20_000).all(|t| !gate.ask(ms(t))));
    }

    #[test]
    fn a_keyframe_nobody_asked_for_serves_as_well() {
        let mut gate = KeyframeGate::default();
        gate.request();
        gate.made(ms(10));
        assert!(!gate.ask(ms(1000)));
    }
}
