//! What the publishers of this process sent and when, for those who receive it in the same
//! process: the same clock at both ends is what makes latencies true.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::MediaTime;

/// How long a sent picture or beep is remembered. Longer than any delay worth measuring, shorter
/// than a clip, so that a mark seldom means two pictures.
const REMEMBERED: Duration = Duration::from_secs(8);

/// One picture or beep that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The picture's number since the source started: one for each picture interval, never used
    /// twice. A beep has the number of the picture it begins with.
    pub slot: u64,
    /// When the picture's last packet, or the packet that begins with the beep's onset, was
    /// handed to the WebRTC client.
    pub at: MediaTime,
}

/// The log of all publishers.
#[derive(Debug)]
pub struct Log {
    sources: Vec<Mutex<Source>>,
}

#[derive(Debug, Default)]
struct Source {
    pictures: VecDeque<(u16, Sent)>,
    beeps: VecDeque<Sent>,
}

impl Log {
    /// A log for this many sources.
    pub fn new(sources: usize) -> Self {
        Self {
            sources: (0..sources).map(|_| Mutex::default()).collect(),
        }
    }

    /// Notes that a source sent the picture marked `frame`.
    pub fn picture(&self, source: u8, frame: u16, sent: Sent) {
        let Some(mut log) = self.source(source) else {
            return;
        };
        log.pictures.push_back((frame, sent));
        while log
            .pictures
            .front()
            .is_some_and(|(_, old)| forgotten(old, sent.at))
        {
            log.pictures.pop_front();
        }
    }

    /// Notes that a source sent a beep.
    pub fn beep(&self, source: u8, sent: Sent) {
        let Some(mut log) = self.source(source) else {
            return;
        };
        log.beeps.push_back(sent);
        while log.beeps.front().is_some_and(|old| forgotten(old, sent.at)) {
            log.beeps.pop_front();
        }
    }

    /// The latest picture with this mark that had been sent when it was seen.
    pub fn find_picture(&self, source: u8, frame: u16, seen: MediaTime) -> Option<Sent> {
        let log = self.source(source)?;
        let mut latest = log.pictures.iter().rev();
        latest
            .find(|(marked, sent)| *marked == frame && sent.at <= seen)
            .map(|(_, sent)| *sent)
    }

    /// The latest beep that had been sent when one was heard.
    pub fn find_beep(&self, source: u8, heard: MediaTime) -> Option<Sent> {
        let log = self.source(source)?;
        log.beeps
            .iter()
            .rev()
            .find(|sent| sent.at <= heard)
            .copied()
    }

    fn source(&self, source: u8) -> Option<MutexGuard<'_, Source>> {
        let source = self.sources.get(source as usize)?;
        Some(source.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn forgotten(old: &Sent, now: MediaTime) -> bool {
    now.since(old.at) > REMEMBERED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(slot: u64, millis: u64) -> Sent {
        Sent {
            slot,
            at: MediaTime(millis * 1_000_000),
        }
    }

    #[test]
    fn a_mark_sent_twice_means_the_latest_that_could_have_been_seen() {
        let log = Log::new(2);
        log.picture(1, 5, sent(5, 200));
        log.picture(1, 0, sent(6, 240));
        log.picture(1, 5, sent(11, 440));
        let seen = |millis: u64| log.find_picture(1, 5, MediaTime(millis * 1_000_000));
        assert_eq!(seen(199), None);
        assert_eq!(seen(300), Some(sent(5, 200)));
        assert_eq!(seen(500), Some(sent(11, 440)));
        assert_eq!(log.find_picture(0, 5, MediaTime(u64::MAX)), None);
        assert_eq!(log.find_picture(9, 5, MediaTime(u64::MAX)), None);
    }

    #[test]
    fn what_is_long_past_is_forgotten() {
        let log = Log::new(1);
        log.beep(0, sent(0, 0));
        log.beep(0, sent(25, 9_000));
        assert_eq!(log.find_beep(0, MediaTime(1_000_000_000)), None);
        assert_eq!(
            log.find_beep(0, MediaTime(9_050_000_000)),
            Some(sent(25, 9_000))
        );
    }
}
