//! The watch over pipelines that take input and give no output: a frozen one posts no message.

use std::sync::{Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use crate::clock::{self, MediaTime};

/// Input without output for this long is a stall. Longer than a start (plugins load, a keyframe
/// is asked for and comes), short enough that a restart is over within 5 s.
pub const STALL: Duration = Duration::from_secs(3);
/// Input that pauses longer than this starts the wait anew: a track that was muted owes nothing.
const PAUSE: Duration = Duration::from_secs(1);
/// How often the patrol asks. A twelfth of [`STALL`]: exact enough, and nothing to the CPU.
const ROUND: Duration = Duration::from_millis(250);

/// Judges one pipeline. Pure: whoever owns it says what happened when.
#[derive(Debug, Default, Clone)]
pub struct Watchdog {
    last_input: Option<MediaTime>,
    /// The first input that no output has answered.
    waiting_since: Option<MediaTime>,
}

impl Watchdog {
    /// Something went in.
    pub fn input(&mut self, now: MediaTime) {
        let paused = self.last_input.is_none_or(|last| now.since(last) > PAUSE);
        if paused || self.waiting_since.is_none() {
            self.waiting_since = Some(now);
        }
        self.last_input = Some(now);
    }

    /// Something came out.
    pub fn output(&mut self) {
        self.waiting_since = None;
    }

    /// Whether input still flows and nothing has come out for [`STALL`].
    pub fn stalled(&self, now: MediaTime) -> bool {
        let flows = self.last_input.is_some_and(|last| now.since(last) <= PAUSE);
        flows
            && self
                .waiting_since
                .is_some_and(|since| now.since(since) >= STALL)
    }
}

/// Something the patrol looks after.
pub trait Watched: Send + Sync {
    /// Called some four times a second on the patrol's thread, which everybody shares: must not
    /// block.
    fn check(&self, now: MediaTime);
}

/// Has the one patrol thread of the process check `watched` until it is gone.
pub fn watch(watched: Weak<dyn Watched>) {
    static POSTS: OnceLock<Mutex<Vec<Weak<dyn Watched>>>> = OnceLock::new();
    let mut first = false;
    let posts = POSTS.get_or_init(|| {
        first = true;
        Mutex::default()
    });
    let locked = || posts.lock().unwrap_or_else(PoisonError::into_inner);
    locked().push(watched);
    if !first {
        return;
    }
    let patrol = move || {
        loop {
            std::thread::sleep(ROUND);
            let round: Vec<_> = {
                let mut posts = locked();
                posts.retain(|post| post.strong_count() > 0);
                posts.clone()
            };
            for watched in round.iter().filter_map(Weak::upgrade) {
                watched.check(clock::now());
            }
        }
    };
    std::thread::Builder::new()
        .name("gst-patrol".into())
        .spawn(patrol)
        .expect("the process can start its one watchdog thread");
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    #[test]
    fn input_without_output_is_a_stall_after_three_seconds() {
        let mut dog = Watchdog::default();
        for t in (0..3000).step_by(40) {
            dog.input(ms(t));
            assert!(!dog.stalled(ms(t)), "too early: {t}");
        }
        dog.input(ms(3000));
        assert!(dog.stalled(ms(3000)));
        dog.output();
        assert!(!dog.stalled(ms(3000)));
    }

    #[test]
    fn silence_at_the_input_is_not_a_stall() {
        let mut dog = Watchdog::default();
        dog.input(ms(0));
        assert!(!dog.stalled(ms(60_000)));
        // And the pause does not count once input flows again.
        for t in (60_000..62_900).step_by(40) {
            dog.input(ms(t));
            assert!(!dog.stalled(ms(t)));
        }
    }

    #[test]
    fn steady_output_never_stalls() {
        let mut dog = Watchdog::default();
        for t in (0..60_000).step_by(40) {
            dog.input(ms(t));
            dog.output();
            assert!(!dog.stalled(ms(t)));
        }
    }

    #[test]
    fn the_patrol_checks_who_lives_and_forgets_who_does_not() {
        struct Post(mpsc::Sender<MediaTime>);
        impl Watched for Post {
            fn check(&self, now: MediaTime) {
                let _ = self.0.send(now);
            }
        }
        let (send, checks) = mpsc::channel();
        let post: Arc<dyn Watched> = Arc::new(Post(send));
        watch(Arc::downgrade(&post));
        let first = checks.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(checks.recv_timeout(Duration::from_secs(10)).unwrap() > first);
        drop(post);
        // The sender is gone with its owner: the channel closes.
        while checks.recv_timeout(Duration::from_secs(10)).is_ok() {}
        assert!(checks.try_recv() == Err(mpsc::TryRecvError::Disconnected));
    }
}
