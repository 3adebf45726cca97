//! The interceptor next to the wire: numbers all that goes out across streams, reads what the client
//! tells of it, and sends what its [`line`](mod@super::line) wants to be filled up.
//!
//! Fillers are packets that were sent before, sent again as retransmissions (RFC 4588): receivers
//! drop what they have already. Retransmissions that somebody asked for come by here too, and all
//! of them are numbered here, for two packets of one number would be encrypted with one nonce.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use rtc::interceptor::{AttributedPacket, Packet, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
    PacketStatusChunk, SymbolTypeTcc, TransportLayerCc,
};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;

use super::delivery::Arrival;
use super::line::Line;
use super::link::Link;
use super::streams::heeds_no_streams;
use crate::clock::MediaTime;
use crate::media::Kind;

/// Distance from the wire: nothing is nearer.
pub(super) const SLOT: usize = 1_500;
/// What is around a payload on the wire, bytes: Ethernet 14, IP 20, UDP 8, RTP 12, extensions 16,
/// SRTP 16.
const AROUND: usize = 86;
/// Packets that fillers are made of: the largest of a few pictures.
const RECENT: usize = 32;
/// How often the estimate is noted for the figures.
const NOTED: Duration = Duration::from_secs(1);
/// The unit of a feedback's reference time, microseconds.
const REFERENCE: i64 = 64_000;

/// The interceptor.
pub(super) struct Downlink {
    link: Arc<Link>,
    line: Option<Line>,
    /// Which ladder the line has.
    ladder: u64,
    /// Of the next retransmission.
    sequence: u16,
    recent: VecDeque<Original>,
    /// The reference time of the last feedback, without its wrapping.
    reference: Option<i64>,
    noted: MediaTime,
    wake: Option<Instant>,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

/// A packet that was sent.
#[derive(Debug, Clone)]
struct Original {
    sequence: u16,
    timestamp: u32,
    marker: bool,
    payload: Bytes,
}

impl Downlink {
    /// For one connection.
    pub fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            line: None,
            ladder: 0,
            sequence: rand::random(),
            recent: VecDeque::new(),
            reference: None,
            noted: MediaTime(0),
            wake: None,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
        }
    }

    /// Follows what the client is to be given.
    fn follow(&mut self, now: MediaTime) {
        let Some((version, ladder)) = self.link.ladder(self.ladder) else {
            return;
        };
        self.ladder = version;
        match &mut self.line {
            Some(line) => line.serve(now, ladder),
            None => {
                let negotiated = self.link.negotiated();
                let sending = negotiated.sending_video.as_ref();
                let fills = sending.is_some_and(|format| format.rtx.is_some());
                self.line = Some(Line::new(now, ladder, fills));
            }
        }
    }

    /// Numbers a packet on its way out.
    fn number(&mut self, now: MediaTime, packet: &mut rtp::Packet, fills: bool) {
        let header = &mut packet.header;
        let kind = match header.ssrc == self.link.audio.ssrc {
            true => Kind::Audio,
            false => Kind::Video,
        };
        if header.ssrc == self.link.video.rtx {
            header.sequence_number = self.sequence;
            // The library knows what was agreed on first, and what is forwarded changes its codec.
            let negotiated = self.link.negotiated();
            let sending = negotiated.sending_video.as_ref();
            if let Some(payload_type) = sending.and_then(|format| format.rtx) {
                header.payload_type = payload_type;
            }
            self.sequence = self.sequence.wrapping_add(1);
        } else if kind == Kind::Video {
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(Original {
                sequence: header.sequence_number,
                timestamp: header.timestamp,
                marker: header.marker,
                payload: packet.payload.clone(),
            });
        }
        let Some(line) = &mut self.line else { return };
        let negotiated = self.link.negotiated();
        let Some(id) = negotiated.track(kind).and_then(|track| track.transport_cc) else {
            return;
        };
        let bytes = packet.payload.len() + AROUND;
        let number = line.sent(now, bytes as u32, fills);
        let number = Bytes::copy_from_slice(&number.to_be_bytes());
        if let Err(error) = packet.header.set_extension(id, number) {
            tracing::debug!(%error, "a packet goes out without its number");
        }
    }

    /// The largest of the last packets, once more.
    fn filler(&self) -> Option<rtp::Packet> {
        let negotiated = self.link.negotiated();
        let payload_type = negotiated.sending_video.as_ref()?.rtx?;
        let original = self.recent.iter().max_by_key(|one| one.payload.len())?;
        let mut payload = BytesMut::with_capacity(2 + original.payload.len());
        payload.put_u16(original.sequence);
        payload.put_slice(&original.payload);
        Some(rtp::Packet {
            header: rtp::Header {
                version: 2,
                marker: original.marker,
                payload_type,
                timestamp: original.timestamp,
                ssrc: self.link.video.rtx,
                ..Default::default()
            },
            payload: payload.freeze(),
        })
    }

    /// Sends the fillers that are due.
    fn fill(&mut self, instant: Instant) {
        let now = MediaTime::from(instant);
        let Some(line) = &mut self.line else { return };
        let (mut due, next) = line.filler(now);
        self.wake = next.map(|next| next.instant());
        while due > 0 {
            let Some(mut packet) = self.filler() else {
                return;
            };
            due = due.saturating_sub(packet.payload.len() + AROUND);
            self.number(now, &mut packet, true);
            self.writes.push_back(TaggedPacket {
                now: instant,
                transport: TransportContext::default(),
                message: AttributedPacket::new(Packet::Rtp(packet)),
            });
        }
    }

    fn feedback(&mut self, instant: Instant, feedback: &TransportLayerCc) {
        let now = MediaTime::from(instant);
        let packets = arrivals(feedback, &mut self.reference);
        let Some(line) = &mut self.line else { return };
        let changed = line.told(now, packets.into_iter());
        if now.since(self.noted) >= NOTED
            && let Some(carries) = line.carries()
        {
            self.noted = now;
            self.link.stats.line.observe(carries);
        }
        if let Some(rung) = changed {
            let carries = line.carries();
            tracing::info!(connection = %self.link.cname, rung, carries, "line");
            self.link.uplink.line(rung);
        }
        self.fill(instant);
    }
}

/// What a feedback says of each packet that it speaks of.
fn arrivals(
    feedback: &TransportLayerCc,
    reference: &mut Option<i64>,
) -> Vec<(u16, Option<Arrival>)> {
    // 24 bits, of which the difference to the last is the smaller one.
    let low = i64::from(feedback.reference_time);
    let base = match *reference {
        Some(last) => last + (((low - last) << 40) >> 40),
        None => low,
    };
    *reference = Some(base);
    let mut at = base * REFERENCE;
    let mut deltas = feedback.recv_deltas.iter();
    let symbols = feedback.packet_chunks.iter().flat_map(|chunk| {
        let (symbol, run, list) = match chunk {
            PacketStatusChunk::RunLengthChunk(chunk) => {
                (chunk.packet_status_symbol, chunk.run_length, &[][..])
            }
            PacketStatusChunk::StatusVectorChunk(chunk) => {
                (SymbolTypeTcc::default(), 0, &chunk.symbol_list[..])
            }
        };
        std::iter::repeat_n(symbol, run.into()).chain(list.iter().copied())
    });
    let symbols = symbols.take(feedback.packet_status_count.into());
    let first = feedback.base_sequence_number;
    let told = symbols.enumerate().filter_map(|(n, symbol)| {
        let number = first.wrapping_add(n as u16);
        match symbol {
            SymbolTypeTcc::PacketNotReceived => Some((number, None)),
            SymbolTypeTcc::PacketReceivedSmallDelta | SymbolTypeTcc::PacketReceivedLargeDelta => {
                at += deltas.next()?.delta;
                Some((number, Some(at)))
            }
            // It arrived, nobody says when.
            SymbolTypeTcc::PacketReceivedWithoutDelta => None,
        }
    });
    told.collect()
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Downlink {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, mut message: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &mut message.message.packet {
            self.follow(MediaTime::from(message.now));
            let now = message.now;
            packets.retain(|packet| {
                let feedback = packet.as_any().downcast_ref::<TransportLayerCc>();
                feedback.inspect(|told| self.feedback(now, told)).is_none()
            });
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

    fn handle_write(&mut self, mut message: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &mut message.message.packet {
            let now = MediaTime::from(message.now);
            self.follow(now);
            self.number(now, packet, false);
        }
        self.writes.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.wake.is_some_and(|due| due <= now) {
            self.fill(now);
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.wake
    }
}

heeds_no_streams!(Downlink);

#[cfg(test)]
mod tests {
    use rtc::rtcp::transport_feedbacks::transport_layer_cc::{
        RecvDelta, RunLengthChunk, StatusVectorChunk,
    };

    use super::*;

    fn delta(delta: i64) -> RecvDelta {
        RecvDelta {
            delta,
            ..Default::default()
        }
    }

    #[test]
    fn feedback_is_read_packet_by_packet() {
        use SymbolTypeTcc as Symbol;
        let lost = StatusVectorChunk {
            symbol_list: vec![
                Symbol::PacketNotReceived,
                Symbol::PacketReceivedLargeDelta,
                // Past the count: filler of the chunk.
                Symbol::PacketReceivedSmallDelta,
            ],
            ..Default::default()
        };
        let two = RunLengthChunk {
            packet_status_symbol: Symbol::PacketReceivedSmallDelta,
            run_length: 2,
            ..Default::default()
        };
        let mut feedback = TransportLayerCc {
            base_sequence_number: u16::MAX,
            packet_status_count: 4,
            reference_time: 0xff_ffff,
            packet_chunks: vec![
                PacketStatusChunk::RunLengthChunk(two),
                PacketStatusChunk::StatusVectorChunk(lost),
            ],
            recv_deltas: vec![delta(250), delta(500), delta(-1_000)],
            ..Default::default()
        };
        let (mut reference, first) = (None, 0xff_ffff * 64_000);
        let expected = [
            (u16::MAX, Some(first + 250)),
            (0, Some(first + 750)),
            (1, None),
            (2, Some(first - 250)),
        ];
        assert_eq!(arrivals(&feedback, &mut reference), expected);
        // The reference wraps, and may go back a little.
        for (low, passed) in [(1, 2), (0xff_fffe, -1), (5, 6)] {
            feedback.reference_time = low;
            let told = arrivals(&feedback, &mut reference);
            assert_eq!(told[0].1, Some(first + passed * 64_000 + 250), "{low}");
        }
    }
}
