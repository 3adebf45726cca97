//! Retransmissions (RFC 4588) put back into their stream, before anything looks for holes.
//!
//! The library does this too, but behind its interceptors, so that the NACK generator among them
//! never learns that a hole was filled and asks for the same packet for ever.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rtc::interceptor::{Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::layers::Layers;
use super::link::Link;
use super::sdp::Payload;
use crate::media::{Kind, Layer};

/// Distance from the wire: before the NACK generator (7000).
pub(super) const SLOT: usize = 6_500;

/// The interceptor.
pub(super) struct Rtx {
    link: Arc<Link>,
    /// Sources of retransmissions, and of what they repeat.
    repairs: HashMap<u32, u32>,
    /// Sources of retransmissions of a copy of the picture.
    layers: Layers,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Rtx {
    /// For one connection.
    pub fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            repairs: HashMap::new(),
            layers: Layers::default(),
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }

    /// Makes a retransmission what it repeats. Padding, a probe for bandwidth, is left as it is:
    /// the interceptors that count arrivals have to see it.
    fn unwrap(&mut self, packet: &mut rtp::Packet) {
        let payload_type = packet.header.payload_type;
        let negotiated = self.link.negotiated();
        let Some(Payload::Rtx(original)) = negotiated.payload(payload_type) else {
            return;
        };
        let track = negotiated.track(Kind::Video);
        let layer = match track.and_then(|track| track.layers) {
            // There is one video stream.
            None => Some(Layer::Whole),
            Some([_, id]) => {
                let rid = id.and_then(|id| packet.header.get_extension(id));
                self.layers.of(packet.header.ssrc, rid.as_deref())
            }
        };
        let ssrc = match (self.repairs.get(&packet.header.ssrc), layer) {
            (Some(ssrc), _) => *ssrc,
            // The description did not say whose it is.
            (None, Some(layer)) => self.link.remote(layer).load(Ordering::Relaxed),
            (None, None) => 0,
        };
        if ssrc == 0 || packet.payload.len() < 2 {
            return;
        }
        packet.header.ssrc = ssrc;
        packet.header.payload_type = original;
        packet.header.sequence_number = u16::from_be_bytes([packet.payload[0], packet.payload[1]]);
        packet.header.padding = false;
        packet.payload = packet.payload.slice(2..);
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Rtx {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut message: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &mut message.message.packet {
            self.unwrap(packet);
        }
        self.reads.push_back(message);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.writes.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Rtx {
    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        if let Some(rtx) = info.ssrc_rtx {
            self.repairs.insert(rtx, info.ssrc);
        }
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.repairs.retain(|_, ssrc| *ssrc != info.ssrc);
    }

    fn bind_local_stream(&mut self, _: &StreamInfo) {}

    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
}
