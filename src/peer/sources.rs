//! A bound on the sources (SSRCs) that one connection may bring up. Pure.
//!
//! The library keeps a cipher state for each source it has ever seen, and makes it before it knows
//! whether the packet is genuine. Without a bound, whoever can spoof a client's address, or is the
//! client, makes the server remember millions.

/// Sources of a connection in all its life: audio, video and retransmissions, under both RTP and
/// RTCP, with many changes of mind.
pub(super) const SOURCES: usize = 64;

/// The sources seen, in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Sources {
    known: Vec<u32>,
}

impl Sources {
    /// Whether `packet` may pass: it is no SRTP or SRTCP, or of a source that is known or still
    /// has room.
    pub fn admit(&mut self, packet: &[u8]) -> bool {
        // RFC 7983 and RFC 5761: version 2, and payload types that RTCP has for itself.
        let at = match packet {
            [128..=191, 192..=223, ..] => 4,
            [128..=191, ..] => 8,
            _ => return true,
        };
        let Some(ssrc) = packet.get(at..at + 4) else {
            return false;
        };
        let ssrc = u32::from_be_bytes([ssrc[0], ssrc[1], ssrc[2], ssrc[3]]);
        if self.known.contains(&ssrc) {
            return true;
        }
        let room = self.known.len() < SOURCES;
        if room {
            self.known.push(ssrc);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sources_pass_when_there_is_no_more_room() {
        let mut sources = Sources::default();
        let rtp = |ssrc: u8| [128, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, ssrc, 1];
        let rtcp = |ssrc: u8| [128, 200, 0, 1, 0, 0, 0, ssrc];
        assert!(sources.admit(&rtp(1)));
        assert!(sources.admit(&rtcp(1)), "the same source");
        let admitted = (0..=255).filter(|ssrc| sources.admit(&rtp(*ssrc))).count();
        assert_eq!(admitted, SOURCES);
        assert!(sources.admit(&rtp(1)));
        assert!(!sources.admit(&rtcp(254)));
        assert!(sources.admit(&[22, 254, 253]), "DTLS has none");
        assert!(!sources.admit(&[128, 96, 0]), "cut short");
    }
}
