//! Which packets of the other side belong to a track: one source and one codec at a time. Pure.

use std::time::Duration;

use super::sdp::Codec;
use crate::clock::MediaTime;

/// A new source or codec is taken on at most this often: every time costs a decoder and a
/// keyframe, and packets that were overtaken by a change must not turn it back.
const SETTLE: Duration = Duration::from_millis(500);

/// The track of one kind.
#[derive(Debug, Default)]
pub(super) struct Inbound {
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    ssrc: u32,
    codec: Codec,
    since: MediaTime,
    last: MediaTime,
    window: Window,
}

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The track goes on.
    Continues,
    /// The track begins, or begins again.
    Starts,
    /// It has been here before.
    Repeated,
    /// Not the track's.
    Foreign,
}

/// How far back repetitions are known: four seconds at 2.5 Mbit/s. What is older is old news.
const WINDOW: u16 = 1024;

/// The sequence numbers seen lately.
#[derive(Debug)]
struct Window {
    newest: u16,
    seen: [u64; WINDOW as usize / 64],
}

impl Window {
    fn new(sequence: u16) -> Self {
        let mut window = Self {
            newest: sequence,
            seen: [0; WINDOW as usize / 64],
        };
        window.set(sequence, true);
        window
    }

    fn set(&mut self, sequence: u16, seen: bool) {
        let bit = 1 << (sequence % 64);
        let word = &mut self.seen[usize::from(sequence % WINDOW / 64)];
        if seen { *word |= bit } else { *word &= !bit }
    }

    /// Whether `sequence` is new.
    fn insert(&mut self, sequence: u16) -> bool {
        let ahead = sequence.wrapping_sub(self.newest);
        if ahead >= 0x8000 {
            let new = ahead.wrapping_neg() < WINDOW
                && self.seen[usize::from(sequence % WINDOW / 64)] & (1 << (sequence % 64)) == 0;
            if new {
                self.set(sequence, true);
            }
            return new;
        }
        for skipped in 1..ahead.min(WINDOW) {
            self.set(sequence.wrapping_sub(skipped), false);
        }
        self.newest = sequence;
        self.set(sequence, true);
        ahead != 0
    }
}

impl Inbound {
    /// A packet of `ssrc` in `codec` arrived at `now`.
    pub fn packet(&mut self, now: MediaTime, ssrc: u32, sequence: u16, codec: Codec) -> Verdict {
        match &mut self.current {
            Some(current) if current.ssrc == ssrc && current.codec == codec => {
                current.last = now;
                match current.window.insert(sequence) {
                    true => Verdict::Continues,
                    false => Verdict::Repeated,
                }
            }
            // The codec of a source changes without a pause; a source makes room for another by
            // falling silent.
            Some(current) if current.ssrc == ssrc && now.since(current.since) < SETTLE => {
                Verdict::Foreign
            }
            Some(current) if current.ssrc != ssrc && now.since(current.last) < SETTLE => {
                Verdict::Foreign
            }
            _ => {
                self.current = Some(Current {
                    ssrc,
                    codec,
                    since: now,
                    last: now,
                    window: Window::new(sequence),
                });
                Verdict::Starts
            }
        }
    }

    /// The source of the track.
    pub fn ssrc(&self) -> Option<u32> {
        self.current.as_ref().map(|current| current.ssrc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VP8: Codec = Codec::Vp8;
    const H264: Codec = Codec::H264 {
        profile: 66,
        constrained: true,
        mode: 1,
    };

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    #[test]
    fn a_codec_change_restarts_the_track_once() {
        let mut inbound = Inbound::default();
        assert_eq!(inbound.packet(ms(0), 1, 10, VP8), Verdict::Starts);
        assert_eq!(inbound.packet(ms(1), 1, 11, VP8), Verdict::Continues);
        assert_eq!(inbound.packet(ms(600), 1, 13, H264), Verdict::Starts);
        let overtaken = inbound.packet(ms(601), 1, 12, VP8);
        assert_eq!(overtaken, Verdict::Foreign);
        assert_eq!(inbound.packet(ms(602), 1, 14, H264), Verdict::Continues);
        assert_eq!(inbound.packet(ms(1200), 1, 15, VP8), Verdict::Starts);
    }

    #[test]
    fn another_source_waits_for_silence() {
        let mut inbound = Inbound::default();
        inbound.packet(ms(0), 1, 0, VP8);
        inbound.packet(ms(2000), 1, 1, VP8);
        assert_eq!(inbound.packet(ms(2100), 2, 0, VP8), Verdict::Foreign);
        assert_eq!(inbound.ssrc(), Some(1));
        assert_eq!(inbound.packet(ms(2500), 2, 0, VP8), Verdict::Starts);
        assert_eq!(inbound.ssrc(), Some(2));
    }

    #[test]
    fn repetitions_are_known_for_a_while() {
        let mut inbound = Inbound::default();
        let mut at = |sequence| inbound.packet(ms(0), 1, sequence, VP8);
        assert_eq!(at(65_530), Verdict::Starts);
        assert_eq!(at(65_530), Verdict::Repeated);
        assert_eq!(at(4), Verdict::Continues, "across the wrap");
        assert_eq!(at(65_530), Verdict::Repeated);
        assert_eq!(at(65_535), Verdict::Continues, "late, but new");
        assert_eq!(at(65_535), Verdict::Repeated);
        assert_eq!(at(4 + WINDOW), Verdict::Continues);
        assert_eq!(at(4), Verdict::Repeated, "too old to tell");
        assert_eq!(at(5), Verdict::Continues, "the oldest that can be told");
        assert_eq!(at(20_000), Verdict::Continues, "far ahead");
        assert_eq!(at(19_000), Verdict::Continues, "nothing there was seen");
        assert_eq!(at(19_000), Verdict::Repeated);
    }
}
