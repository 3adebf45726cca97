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

#[derive(Debug, Clone, Copy)]
struct Current {
    ssrc: u32,
    codec: Codec,
    since: MediaTime,
    last: MediaTime,
}

/// What to do with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The track goes on.
    Continues,
    /// The track begins, or begins again.
    Starts,
    /// Not the track's.
    Foreign,
}

impl Inbound {
    /// A packet of `ssrc` in `codec` arrived at `now`.
    pub fn packet(&mut self, now: MediaTime, ssrc: u32, codec: Codec) -> Verdict {
        match &mut self.current {
            Some(current) if current.ssrc == ssrc && current.codec == codec => {
                current.last = now;
                Verdict::Continues
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
                });
                Verdict::Starts
            }
        }
    }

    /// The source of the track.
    pub fn ssrc(&self) -> Option<u32> {
        self.current.map(|current| current.ssrc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(inbound.packet(ms(0), 1, Codec::Vp8), Verdict::Starts);
        assert_eq!(inbound.packet(ms(1), 1, Codec::Vp8), Verdict::Continues);
        assert_eq!(inbound.packet(ms(600), 1, H264), Verdict::Starts);
        assert_eq!(
            inbound.packet(ms(601), 1, Codec::Vp8),
            Verdict::Foreign,
            "overtaken"
        );
        assert_eq!(inbound.packet(ms(602), 1, H264), Verdict::Continues);
        assert_eq!(inbound.packet(ms(1200), 1, Codec::Vp8), Verdict::Starts);
    }

    #[test]
    fn another_source_waits_for_silence() {
        let mut inbound = Inbound::default();
        inbound.packet(ms(0), 1, Codec::Vp8);
        inbound.packet(ms(2000), 1, Codec::Vp8);
        assert_eq!(inbound.packet(ms(2100), 2, Codec::Vp8), Verdict::Foreign);
        assert_eq!(inbound.ssrc(), Some(1));
        assert_eq!(inbound.packet(ms(2500), 2, Codec::Vp8), Verdict::Starts);
        assert_eq!(inbound.ssrc(), Some(2));
    }
}
