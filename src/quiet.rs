//! How much of what strangers cause gets into the log: each thing once, then how often it came
//! back, and all of it together only so much. Time is an argument, except in [`Ceiling`], which
//! stands between the program and its log.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::allowance::{Allowance, Rate};
use crate::clock::{self, MediaTime};

/// The log target of refusals: lines that whoever reaches a port can cause.
pub const REFUSED: &str = "quilt::refused";

/// Between two lines about the same thing. Whoever reads along sees that it goes on.
const PAUSE: Duration = Duration::from_secs(10);
/// Lines about strangers at once, and each second in the long run: enough to see what is going
/// on, and at some 200 bytes a line 17 MB a day at worst.
const LINES: Rate = Rate {
    burst: 30.0,
    a_second: 1.0,
};

/// Says a thing once, and again only after a pause.
#[derive(Debug, Default, Clone)]
pub struct Quiet {
    said: Option<MediaTime>,
    held_back: u64,
}

impl Quiet {
    /// It happened (again). Whether to say so; then, how often it happened unsaid since the last
    /// time.
    pub fn ask(&mut self, now: MediaTime) -> Option<u64> {
        if self.said.is_some_and(|said| now.since(said) < PAUSE) {
            self.held_back += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }
}

/// A layer under the log's writer: lets everything of the program's own pass, and only so much of
/// what strangers cause: refusals, and whatever libraries complain about (they do so for every
/// packet they cannot read).
pub struct Ceiling {
    state: Mutex<(Allowance, u64)>,
    /// Told how many lines were held back, before the next one that is not.
    held_back: fn(u64),
}

impl Ceiling {
    /// `held_back` is told how many lines were left out, before the next one that is not.
    pub fn new(held_back: fn(u64)) -> Self {
        let allowance = Allowance::new(LINES, clock::now().instant());
        Self {
            state: Mutex::new((allowance, 0)),
            held_back,
        }
    }

    /// Whether a line for `target` may be written at `now`.
    fn passes(&self, target: &str, now: MediaTime) -> bool {
        let own = target == "quilt" || target.starts_with("quilt::");
        if own && target != REFUSED {
            return true;
        }
        let held_back = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if !state.0.take(now.instant()) {
                state.1 += 1;
                return false;
            }
            std::mem::take(&mut state.1)
        };
        if held_back > 0 {
            (self.held_back)(held_back);
        }
        true
    }
}

impl<S: Subscriber> Layer<S> for Ceiling {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.passes(event.metadata().target(), clock::now())
    }
}

/// The first `bytes` of a text at most, whole characters: what strangers write may be long.
pub fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn seconds(seconds: u64) -> MediaTime {
        MediaTime(seconds * 1_000_000_000)
    }

    #[test]
    fn a_thing_is_said_once_and_then_how_often_it_came_back() {
        let mut quiet = Quiet::default();
        assert_eq!(quiet.ask(seconds(1)), Some(0));
        for _ in 0..1_000 {
            assert_eq!(quiet.ask(seconds(5)), None);
        }
        assert_eq!(quiet.ask(seconds(11)), Some(1_000));
        assert_eq!(quiet.ask(seconds(12)), None);
    }

    #[test]
    fn strangers_cannot_fill_the_log_and_the_program_always_speaks() {
        static HELD_BACK: AtomicU64 = AtomicU64::new(0);
        let ceiling = Ceiling::new(|lines| {
            HELD_BACK.fetch_add(lines, Ordering::Relaxed);
        });
        let now = clock::now();
        let targets = ["log", REFUSED, "webrtc::driver", "quiltlike"];
        let flood = (0..4_000).filter(|n| ceiling.passes(targets[n % 4], now));
        assert_eq!(flood.count(), LINES.burst as usize);
        for target in ["quilt", "quilt::room::actor", "quilt::refusedly"] {
            assert!((0..1_000).all(|_| ceiling.passes(target, now)));
        }
        assert_eq!(HELD_BACK.load(Ordering::Relaxed), 0);
        assert!(ceiling.passes(REFUSED, now.plus(Duration::from_secs(2))));
        assert_eq!(HELD_BACK.load(Ordering::Relaxed), 4_000 - 30);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("größe", 3), "gr");
        assert_eq!(cut("größe", 4), "grö");
        assert_eq!(cut("größe", 100), "größe");
    }
}
