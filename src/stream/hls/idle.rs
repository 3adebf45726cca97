//! When nobody watches a stream any more: players say nothing when they go, they just stop asking.

use std::time::Duration;

use crate::clock::MediaTime;

/// How long after the last request a stream ends.
pub const IDLE: Duration = Duration::from_secs(30);

/// Whether a stream that was last asked for at `last` is still wanted.
pub fn wanted(last: MediaTime, now: MediaTime) -> bool {
    now.since(last) < IDLE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_ends_half_a_minute_after_the_last_request() {
        let ms = |ms: u64| MediaTime(ms * 1_000_000);
        let requests = [0, 1_000, 20_000, 49_000];
        let ended = (0..200_000).step_by(500).find(|now| {
            let last = requests.iter().rfind(|request| **request <= *now);
            !wanted(ms(*last.unwrap()), ms(*now))
        });
        assert_eq!(ended, Some(79_000));
    }
}
