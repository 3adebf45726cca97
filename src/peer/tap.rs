//! The innermost interceptor: where media enters and leaves the library.
//!
//! Inbound packets go straight to the [`Uplink`](super::Uplink), [`feedback`] is read that did not
//! go past the driver, and sender reports start here. So do outgoing packets that do not take the
//! [`lane`](super::lane); they are complete when they come here. All of it runs on the connection's
//! driver.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rtc::interceptor::{AttributedPacket, Packet, TaggedPacket};
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;

use super::feedback;
use super::inbound::{Inbound, Verdict};
use super::layers::Layers;
use super::link::Link;
use super::reports::Pace;
use super::sdp::{Negotiated, Payload};
use super::streams::heeds_no_streams;
use crate::clock::{MediaTime, NtpTime};
use crate::media::{AudioLevel, Kind, Layer, Rotation, RtpPacket};
use crate::quiet::{Quiet, REFUSED};

/// Distance from the wire: inside of everything the library has.
pub(super) const SLOT: usize = 20_000;

/// The interceptor.
pub(super) struct Tap {
    link: Arc<Link>,
    audio: Inbound,
    video: Inbound,
    /// The half copy of it.
    half: Inbound,
    layers: Layers,
    /// RTCP of ours, and whatever else passes on its way out.
    writes: VecDeque<TaggedPacket>,
    next_report: Option<Instant>,
    pace: Pace,
    unknown: Quiet,
}

impl Tap {
    /// For one connection.
    pub fn new(link: Arc<Link>) -> Self {
        Self {
            audio: Inbound::default(),
            video: Inbound::default(),
            half: Inbound::default(),
            layers: Layers::default(),
            link,
            writes: VecDeque::new(),
            next_report: None,
            pace: Pace::default(),
            unknown: Quiet::default(),
        }
    }

    /// A packet of a payload type or a source that has no place here.
    fn unknown(&mut self, header: &rtp::Header, at: MediaTime) {
        self.link.stats.dropped("inbound_unknown", 1);
        if let Some(more) = self.unknown.ask(at) {
            let (connection, ssrc) = (&self.link.cname, header.ssrc);
            let payload_type = header.payload_type;
            tracing::info!(target: REFUSED, connection, payload_type, ssrc, more, "unknown RTP");
        }
    }

    fn rtp(&mut self, packet: rtp::Packet) {
        let negotiated = self.link.negotiated();
        let header = &packet.header;
        let arrived = self.link.wire.arrived();
        let codec = match negotiated.payload(header.payload_type) {
            Some(Payload::Media(codec)) => codec,
            // What is left of retransmissions here is padding.
            Some(Payload::Rtx(_)) => return,
            None => return self.unknown(header, arrived),
        };
        let kind = codec.kind();
        let layers = negotiated.track(kind).and_then(|track| track.layers);
        let layer = match layers.filter(|_| kind == Kind::Video) {
            None => Some(Layer::Whole),
            Some([id, _]) => {
                let rid = id.and_then(|id| header.get_extension(id));
                self.layers.of(header.ssrc, rid.as_deref())
            }
        };
        let Some(layer) = layer else {
            return self.unknown(header, arrived);
        };
        let inbound = match (kind, layer) {
            (Kind::Audio, _) => &mut self.audio,
            (Kind::Video, Layer::Whole) => &mut self.video,
            (Kind::Video, Layer::Half) => &mut self.half,
        };
        match inbound.packet(arrived, header.ssrc, header.sequence_number, codec) {
            Verdict::Foreign => return self.unknown(header, arrived),
            // Chrome probes for bandwidth by sending packets again.
            Verdict::Repeated => return,
            Verdict::Starts if layer == Layer::Half => {
                self.link
                    .remote(layer)
                    .store(header.ssrc, Ordering::Relaxed);
            }
            Verdict::Starts => {
                self.link.uplink.track(kind, codec.video());
                if kind == Kind::Video {
                    self.link.remote_video.store(header.ssrc, Ordering::Relaxed);
                    self.link.request_keyframe(arrived, layer);
                }
            }
            Verdict::Continues => {}
        }
        let (level, rotation) = extensions(&negotiated, kind, header);
        let packet = RtpPacket {
            payload_type: header.payload_type,
            marker: header.marker,
            sequence: header.sequence_number,
            timestamp: header.timestamp,
            ssrc: header.ssrc,
            payload: packet.payload,
            arrived,
            level,
            rotation,
        };
        match layer {
            Layer::Whole => self.link.uplink.packet(kind, packet),
            Layer::Half => self.link.uplink.half(codec.video(), packet),
        }
    }

    fn rtcp(&self, packet: &dyn rtcp::Packet, now: MediaTime) {
        let Some(report) = packet.as_any().downcast_ref::<SenderReport>() else {
            return feedback::read(&self.link, packet, now);
        };
        feedback::receptions(&self.link, &report.reports);
        let uplink = &self.link.uplink;
        for (kind, inbound) in [(Kind::Audio, &self.audio), (Kind::Video, &self.video)] {
            if inbound.ssrc() == Some(report.ssrc) {
                uplink.sender_report(kind, NtpTime(report.ntp_time), report.rtp_time);
            }
        }
        if self.half.ssrc() == Some(report.ssrc) {
            uplink.half_report(NtpTime(report.ntp_time), report.rtp_time);
        }
    }

    fn keyframe_request(&self, layer: Layer) -> Option<Packet> {
        let media_ssrc = match layer {
            Layer::Whole => self.video.ssrc()?,
            Layer::Half => self.half.ssrc()?,
        };
        let request = PictureLossIndication {
            sender_ssrc: self.link.video.ssrc,
            media_ssrc,
        };
        Some(Packet::Rtcp(vec![Box::new(request)]))
    }

    fn report(&mut self, now: Instant) {
        let at = MediaTime::from(now);
        let reports = self.link.reports(at);
        let made_elsewhere = self.link.has_line();
        let due = self.pace.next(at, reports.len(), made_elsewhere);
        self.next_report = Some(due.instant());
        // All streams in one packet (RFC 8108 section 5.3).
        let compound = reports.into_iter().flat_map(|(report, source)| {
            let both: [Box<dyn rtcp::Packet>; 2] = [Box::new(report), Box::new(source)];
            both
        });
        let compound: Vec<_> = compound.collect();
        if !compound.is_empty() {
            self.writes.push_back(tagged(now, Packet::Rtcp(compound)));
        }
    }

    /// Fetches what waits for the driver.
    fn fetch(&mut self, now: Instant) {
        let (keyframes, odd) = self.link.take_requests();
        let wanted = Layer::ALL.into_iter().zip(keyframes).filter(|(_, is)| *is);
        let requests = wanted.filter_map(|(layer, _)| self.keyframe_request(layer));
        let requests: Vec<_> = odd.into_iter().chain(requests).collect();
        let packets = self.link.take(MediaTime::from(now));
        let all = requests
            .into_iter()
            .chain(packets.into_iter().map(Packet::Rtp));
        self.writes.extend(all.map(|packet| tagged(now, packet)));
        if self.next_report.is_none() && self.link.is_active() {
            // The first report follows the first packet at once, for the receiver's sync.
            self.next_report = Some(now);
        }
    }
}

fn tagged(now: Instant, packet: Packet) -> TaggedPacket {
    TaggedPacket {
        now,
        transport: TransportContext::default(),
        message: AttributedPacket::new(packet),
    }
}

fn extensions(
    negotiated: &Negotiated,
    kind: Kind,
    header: &rtp::Header,
) -> (Option<AudioLevel>, Option<Rotation>) {
    let Some(track) = negotiated.track(kind) else {
        return (None, None);
    };
    let byte = |id: Option<u8>| header.get_extension(id?)?.first().copied();
    match kind {
        Kind::Audio => (byte(track.level).map(level), None),
        Kind::Video => (None, byte(track.rotation).map(rotation)),
    }
}

/// RFC 6464 section 3.
fn level(byte: u8) -> AudioLevel {
    AudioLevel {
        level: byte & 0x7f,
        voice: byte & 0x80 != 0,
    }
}

/// CVO (3GPP TS 26.114 section 7.4.5): the low two bits count quarter turns clockwise that the
/// receiver has to make.
fn rotation(byte: u8) -> Rotation {
    match byte & 3 {
        0 => Rotation::R0,
        1 => Rotation::R90,
        2 => Rotation::R180,
        _ => Rotation::R270,
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        match message.message.packet {
            Packet::Rtp(packet) => self.rtp(packet),
            Packet::Rtcp(packets) => {
                let now = MediaTime::from(message.now);
                for packet in &packets {
                    self.rtcp(packet.as_ref(), now);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        // Nothing goes further in: the library's tracks are not used.
        None
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.writes.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        if self.writes.is_empty() {
            self.fetch(Instant::now());
        }
        self.writes.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.next_report.is_some_and(|due| due <= now) {
            self.report(now);
        }
        self.link.fill(MediaTime::from(now));
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let fillers = self.link.wake().map(MediaTime::instant);
        self.next_report.into_iter().chain(fillers).min()
    }
}

heeds_no_streams!(Tap);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_extensions_are_read() {
        assert_eq!(
            level(0x80 | 37),
            AudioLevel {
                level: 37,
                voice: true
            }
        );
        assert!(!level(127).voice);
        // The camera bit (8) and the flip bit (4) say nothing about rotation.
        assert_eq!(
            [0, 1, 2, 3, 0b1101].map(rotation),
            [
                Rotation::R0,
                Rotation::R90,
                Rotation::R180,
                Rotation::R270,
                Rotation::R90
            ]
        );
    }
}
