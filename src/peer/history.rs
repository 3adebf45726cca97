//! The packets of a picture's stream that were sent lately, to be sent again: because somebody
//! missed them (RFC 4585), or to fill up a [`line`](mod@super::line). Pure.
//!
//! Not all that is asked for is worth sending again; a keyframe is sent instead. After an outage a
//! browser asks for everything it missed. Old pictures that come late, around the keyframe that makes
//! them needless, mislead its clock recovery: Chromium then holds all pictures back for as long as
//! the outage was.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{NackPair, TransportLayerNack};

use super::head::{Fixed, Head, Packet};
use crate::clock::MediaTime;

/// A packet sent longer ago is not sent again. Three times a bad path's round trip: it may be
/// asked for twice in vain.
const AGE: Duration = Duration::from_secs(1);
/// Packets that are kept: two seconds of the largest picture that is forwarded.
const PACKETS: usize = 1_024;
/// Packets that fillers are made of: the largest of a few pictures.
const RECENT: u16 = 32;

/// What one stream has sent.
#[derive(Debug, Default)]
pub(super) struct History {
    /// By the sequence number; what is missing was not sent.
    kept: Vec<Option<Kept>>,
    newest: u16,
    /// How many numbers there were up to the newest, as far as they are kept.
    span: usize,
}

/// A packet that was sent.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    sequence: u16,
    at: MediaTime,
    timestamp: u32,
    marker: bool,
    payload: Bytes,
    /// As it was, where it is sent again as it was.
    head: Option<Box<Head>>,
}

impl History {
    /// A packet is sent. `whole`: nothing is agreed on to send it again as. One that comes twice
    /// stays as old as it is.
    pub fn note(&mut self, packet: &Packet, at: MediaTime, whole: bool) {
        let Fixed {
            sequence,
            timestamp,
            marker,
            ..
        } = packet.fixed();
        if self.kept.is_empty() {
            self.kept.resize(PACKETS, None);
            self.newest = sequence.wrapping_sub(1);
        }
        let ahead = sequence.wrapping_sub(self.newest);
        if ahead < 0x8000 {
            self.span = (self.span + usize::from(ahead)).min(PACKETS);
            self.newest = sequence;
        }
        let slot = &mut self.kept[usize::from(sequence) % PACKETS];
        if slot.as_ref().is_none_or(|kept| kept.sequence != sequence) {
            *slot = Some(Kept {
                sequence,
                at,
                timestamp,
                marker,
                payload: packet.payload.clone(),
                head: whole.then(|| Box::new(*packet.head())),
            });
        }
    }

    /// A packet, if it is kept.
    pub fn packet(&self, sequence: u16) -> Option<&Kept> {
        let kept = self.kept.get(usize::from(sequence) % PACKETS)?.as_ref();
        kept.filter(|kept| kept.sequence == sequence)
    }

    /// The largest of the last packets.
    pub fn largest(&self) -> Option<&Kept> {
        let last = (0..RECENT).filter_map(|back| self.packet(self.newest.wrapping_sub(back)));
        last.max_by_key(|kept| kept.payload.len())
    }

    /// Whether some of what is asked for is too old to be of use.
    pub fn is_hopeless(&self, nack: &TransportLayerNack, now: MediaTime) -> bool {
        wanted(nack).any(|sequence| self.is_stale(sequence, now))
    }

    /// Whether this one was sent too long ago. One that was not sent yet never was, and what is
    /// forwarded may have holes.
    fn is_stale(&self, sequence: u16, now: MediaTime) -> bool {
        let back = usize::from(self.newest.wrapping_sub(sequence));
        if self.kept.is_empty() || back >= 0x8000 {
            return false;
        }
        match self.packet(sequence) {
            Some(kept) => now.since(kept.at) > AGE,
            None => back >= self.span,
        }
    }
}

impl Kept {
    /// As a retransmission (RFC 4588): its payload, and whether it is the last of a picture, and
    /// of which.
    pub fn again(&self) -> (Bytes, bool, u32) {
        let mut payload = BytesMut::with_capacity(2 + self.payload.len());
        payload.put_u16(self.sequence);
        payload.put_slice(&self.payload);
        (payload.freeze(), self.marker, self.timestamp)
    }

    /// As it was, to the last bit: it is protected by the same nonce.
    pub fn whole(&self) -> Option<Packet> {
        let head = self.head.as_ref()?;
        Some(Packet::new(**head, self.payload.clone()))
    }
}

/// The packets that are asked for.
pub(super) fn wanted(nack: &TransportLayerNack) -> impl Iterator<Item = u16> {
    let of = |pair: &NackPair| {
        let (first, lost) = (pair.packet_id, pair.lost_packets);
        let others = (1..=16_u16).filter(move |n| lost & (1 << (n - 1)) != 0);
        std::iter::once(first).chain(others.map(move |n| first.wrapping_add(n)))
    };
    nack.nacks.iter().flat_map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nack(packet_id: u16, lost_packets: u16) -> TransportLayerNack {
        TransportLayerNack {
            nacks: vec![NackPair {
                packet_id,
                lost_packets,
            }],
            ..Default::default()
        }
    }

    fn packet(sequence: u16, size: usize) -> Packet {
        let fixed = Fixed {
            marker: false,
            payload_type: 96,
            sequence,
            timestamp: 1_000 + u32::from(sequence),
            ssrc: 7,
        };
        let head = Head::new(fixed, &[(Some(3), b"ab")]);
        Packet::new(head, vec![sequence as u8; size].into())
    }

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    #[test]
    fn what_is_old_is_not_sent_again() {
        let mut history = History::default();
        assert!(!history.is_hopeless(&nack(7, 0), ms(0)), "nothing was sent");
        // Numbers wrap; one packet every 10 ms.
        let sent_at = |n: u16| n.wrapping_sub(100);
        for n in 0..200 {
            history.note(&packet(sent_at(n), 10), ms(u64::from(n) * 10), false);
        }
        let now = ms(2_000);
        assert!(!history.is_hopeless(&nack(sent_at(100), 0), now));
        assert!(history.is_hopeless(&nack(sent_at(99), 0), now));
        assert!(!history.is_hopeless(&nack(sent_at(100), u16::MAX), now));
        // One of those asked for with the first is too old.
        assert!(history.is_hopeless(&nack(sent_at(98), 0b11), ms(1_999)));
        assert!(
            !history.is_hopeless(&nack(sent_at(200), 0), ms(9_000)),
            "not yet sent"
        );
        assert!(
            history.is_hopeless(&nack(sent_at(0).wrapping_sub(1), 0), now),
            "from before the beginning"
        );
        // What comes twice stays as old as it is.
        history.note(&packet(sent_at(50), 10), now, false);
        assert!(history.is_hopeless(&nack(sent_at(50), 0), now));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut history = History::default();
        for n in 0..5_000 {
            history.note(&packet(n, 10), ms(0), false);
        }
        assert_eq!(history.kept.len(), PACKETS);
        assert!(
            history.is_hopeless(&nack(5, 0), ms(0)),
            "nobody has it any more"
        );
        assert!(history.packet(5).is_none());
        assert!(!history.is_hopeless(&nack(4_999, 0), ms(0)));
        assert!(history.packet(4_999).is_some() && history.packet(5_000).is_none());
        assert!(history.packet(5_000 - PACKETS as u16).is_some());
    }

    #[test]
    fn holes_of_what_is_forwarded_are_no_keyframe_s_matter() {
        let mut history = History::default();
        for n in (0..100).filter(|n| n % 10 != 3) {
            history.note(&packet(n, 10), ms(0), false);
        }
        assert!(!history.is_hopeless(&nack(43, 0), ms(0)));
        assert!(history.packet(43).is_none());
        history.note(&packet(43, 10), ms(500), false);
        assert!(history.packet(43).is_some(), "it came late");
        assert!(!history.is_hopeless(&nack(43, 0), ms(1_500)));
        assert!(history.is_hopeless(&nack(43, 0), ms(1_501)));
    }

    #[test]
    fn packets_go_again_as_what_was_agreed_on() {
        let mut history = History::default();
        for (sequence, size) in [(65_535, 900), (0, 1_000), (1, 30)] {
            history.note(&packet(sequence, size), ms(0), sequence == 1);
        }
        let (payload, marker, timestamp) = history.packet(65_535).unwrap().again();
        assert_eq!(payload[..3], [255, 255, 255]);
        assert_eq!((payload.len(), marker, timestamp), (902, false, 66_535));
        assert_eq!(history.packet(65_535).unwrap().whole(), None);
        assert_eq!(history.packet(1).unwrap().whole(), Some(packet(1, 30)));
        assert_eq!(history.largest().unwrap().sequence, 0);
        for sequence in 2..40 {
            history.note(&packet(sequence, 20), ms(0), false);
        }
        assert_eq!(history.largest().unwrap().payload.len(), 20, "of the last");
    }

    #[test]
    fn all_that_is_asked_for_is_found() {
        assert_eq!(
            wanted(&nack(65_534, 0b101)).collect::<Vec<_>>(),
            [65_534, 65_535, 1]
        );
    }
}
