//! Requests for packets that are not worth sending again: a keyframe is sent instead.
//!
//! After an outage a browser asks for everything it missed. Old pictures that come late, around
//! the keyframe that makes them needless, mislead its clock recovery: Chromium then holds all
//! pictures back for as long as the outage was.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::interceptor::{Packet, TaggedPacket};
use rtc::rtcp;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::link::Link;
use super::streams::heeds_no_streams;

/// Distance from the wire: before the responder that would answer (4000).
pub(super) const SLOT: usize = 3_500;
/// A packet sent longer ago is not sent again. Three times a bad path's round trip: it may be
/// asked for twice in vain.
const AGE: Duration = Duration::from_secs(1);
/// Packets whose time is remembered: all that the responder has.
const PACKETS: usize = 1_024;

/// The interceptor.
pub(super) struct Stale {
    link: Arc<Link>,
    history: History,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

/// When the last packets of a stream were sent.
#[derive(Debug, Default)]
struct History {
    /// Sequence number after the last.
    next: u16,
    sent: VecDeque<Instant>,
}

impl History {
    /// A packet is sent; one that is sent again changes nothing.
    fn note(&mut self, sequence: u16, now: Instant) {
        if !self.sent.is_empty() && sequence != self.next {
            return;
        }
        self.next = sequence.wrapping_add(1);
        if self.sent.len() == PACKETS {
            self.sent.pop_front();
        }
        self.sent.push_back(now);
    }

    /// Whether this one was sent too long ago. One that was not sent yet never was.
    fn is_stale(&self, sequence: u16, now: Instant) -> bool {
        let back = usize::from(self.next.wrapping_sub(sequence));
        if self.sent.is_empty() || back == 0 || back > usize::from(u16::MAX / 2) {
            return false;
        }
        let sent = self.sent.len().checked_sub(back);
        sent.is_none_or(|index| now.saturating_duration_since(self.sent[index]) > AGE)
    }

    fn is_hopeless(&self, nack: &TransportLayerNack, now: Instant) -> bool {
        let pairs = nack.nacks.iter();
        let mut wanted = pairs.flat_map(|pair| {
            let others = (1..=16).filter(|n| pair.lost_packets & (1 << (n - 1)) != 0);
            let first = pair.packet_id;
            std::iter::once(first).chain(others.map(move |n| first.wrapping_add(n)))
        });
        wanted.any(|sequence| self.is_stale(sequence, now))
    }
}

impl Stale {
    /// For one connection.
    pub fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            history: History::default(),
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }

    fn is_hopeless(&self, packet: &dyn rtcp::Packet, now: Instant) -> bool {
        let nack = packet.as_any().downcast_ref::<TransportLayerNack>();
        nack.is_some_and(|nack| {
            nack.media_ssrc == self.link.video.ssrc && self.history.is_hopeless(nack, now)
        })
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Stale {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut message: TaggedPacket) -> Result<(), Error> {
        let now = message.now;
        if let Packet::Rtcp(packets) = &mut message.message.packet {
            let before = packets.len();
            packets.retain(|packet| !self.is_hopeless(packet.as_ref(), now));
            if packets.len() < before {
                self.link.uplink.keyframe_requested();
            }
            if packets.is_empty() {
                return Ok(());
            }
        }
        self.reads.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &message.message.packet
            && packet.header.ssrc == self.link.video.ssrc
        {
            self.history
                .note(packet.header.sequence_number, message.now);
        }
        self.writes.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

heeds_no_streams!(Stale);

#[cfg(test)]
mod tests {
    use rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair;

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

    #[test]
    fn what_is_old_is_not_sent_again() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut history = History::default();
        assert!(!history.is_hopeless(&nack(7, 0), at(0)), "nothing was sent");
        // Numbers wrap; one packet every 10 ms.
        for n in 0..200u16 {
            history.note(n.wrapping_sub(100), at(u64::from(n) * 10));
        }
        let now = at(2_000);
        let sent_at = |n: u16| n.wrapping_sub(100);
        assert!(!history.is_hopeless(&nack(sent_at(100), 0), now));
        assert!(history.is_hopeless(&nack(sent_at(99), 0), now));
        assert!(!history.is_hopeless(&nack(sent_at(100), u16::MAX), now));
        // One of those asked for with the first is too old.
        assert!(history.is_hopeless(&nack(sent_at(98), 0b11), at(1_999)));
        assert!(
            !history.is_hopeless(&nack(sent_at(200), 0), at(9_000)),
            "not yet sent"
        );
        // What is sent again stays as old as it is.
        history.note(sent_at(50), now);
        assert!(history.is_hopeless(&nack(sent_at(50), 0), now));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let now = Instant::now();
        let mut history = History::default();
        for n in 0..5_000 {
            history.note(n, now);
        }
        assert_eq!(history.sent.len(), PACKETS);
        assert!(
            history.is_hopeless(&nack(5, 0), now),
            "nobody has it any more"
        );
        assert!(!history.is_hopeless(&nack(4_999, 0), now));
    }
}
