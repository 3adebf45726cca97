//! The innermost interceptor: where media enters and leaves the library.
//!
//! Inbound packets go straight to the [`Uplink`](super::Uplink), feedback about what we send is
//! read here (the library routes it by the first source of a compound packet and loses most), and
//! outgoing packets and sender reports start here. All of it runs on the connection's driver.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::interceptor::{AttributedPacket, Packet, TaggedPacket};
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;

use super::inbound::{Inbound, Verdict};
use super::layers::Layers;
use super::link::{Link, Outgoing};
use super::reports::Sent;
use super::sdp::{Negotiated, Payload};
use super::streams::heeds_no_streams;
use crate::clock::{self, MediaTime, NtpTime};
use crate::media::{AudioLevel, Kind, Layer, Rotation, RtpPacket};
use crate::quiet::{Quiet, REFUSED};

/// Distance from the wire: inside of everything the library has.
pub(super) const SLOT: usize = 20_000;
/// RFC 3550 wants reports every few seconds; a second keeps a receiver's sync tight after a join.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The interceptor.
pub(super) struct Tap {
    link: Arc<Link>,
    audio: Inbound,
    video: Inbound,
    /// The half copy of it.
    half: Inbound,
    layers: Layers,
    sent_audio: Sent,
    sent_video: Sent,
    outgoing: VecDeque<Outgoing>,
    /// RTCP of ours, and whatever else passes on its way out.
    writes: VecDeque<TaggedPacket>,
    next_report: Option<Instant>,
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
            sent_audio: Sent::new(link.audio),
            sent_video: Sent::new(link.video),
            link,
            outgoing: VecDeque::new(),
            writes: VecDeque::new(),
            next_report: None,
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

    fn rtcp(&self, packet: &dyn rtcp::Packet) {
        let uplink = &self.link.uplink;
        let any = packet.as_any();
        let ours = self.link.video.ssrc;
        if let Some(report) = any.downcast_ref::<SenderReport>() {
            self.receptions(&report.reports);
            for (kind, inbound) in [(Kind::Audio, &self.audio), (Kind::Video, &self.video)] {
                if inbound.ssrc() == Some(report.ssrc) {
                    uplink.sender_report(kind, NtpTime(report.ntp_time), report.rtp_time);
                }
            }
            if self.half.ssrc() == Some(report.ssrc) {
                uplink.half_report(NtpTime(report.ntp_time), report.rtp_time);
            }
        } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
            self.receptions(&report.reports);
        } else if let Some(pli) = any.downcast_ref::<PictureLossIndication>() {
            if pli.media_ssrc == ours {
                uplink.keyframe_requested();
            }
        } else if let Some(fir) = any.downcast_ref::<FullIntraRequest>() {
            if fir.fir.iter().any(|entry| entry.ssrc == ours) {
                uplink.keyframe_requested();
            }
        } else if let Some(remb) = any.downcast_ref::<ReceiverEstimatedMaximumBitrate>()
            && remb.bitrate >= 0.0
        {
            uplink.bandwidth(remb.bitrate as u64);
        }
    }

    /// What the other side says of the streams that it is sent.
    fn receptions(&self, reports: &[ReceptionReport]) {
        let ours = [self.link.audio.ssrc, self.link.video.ssrc];
        for report in reports.iter().filter(|report| ours.contains(&report.ssrc)) {
            let part = f32::from(report.fraction_lost) / 256.0;
            self.link.uplink.not_received(part);
        }
    }

    fn sent(&mut self, kind: Kind) -> &mut Sent {
        match kind {
            Kind::Audio => &mut self.sent_audio,
            Kind::Video => &mut self.sent_video,
        }
    }

    /// Completes an outgoing packet. `None` if its kind is not agreed on (any more).
    fn packet(&mut self, outgoing: Outgoing) -> Option<rtp::Packet> {
        let negotiated = self.link.negotiated();
        let kind = outgoing.kind;
        let format = negotiated.sending(kind)?;
        let place = outgoing.forwarded.map(|passed| passed.number);
        let mut header = rtp::Header {
            version: 2,
            marker: outgoing.marker,
            payload_type: format.payload_type,
            sequence_number: self.sent(kind).next(outgoing.payload.len(), place),
            timestamp: outgoing.timestamp,
            ssrc: self.link.stream(kind).ssrc,
            ..Default::default()
        };
        let track = negotiated.track(kind)?;
        let now = clock::now();
        if let Some(id) = track.abs_send_time {
            // 24 bits of seconds in 6.18 fixed point, out of NTP's 32.32.
            let time = (now.ntp().0 >> 14) as u32;
            let bytes = Bytes::copy_from_slice(&time.to_be_bytes()[1..]);
            header.set_extension(id, bytes).ok()?;
        }
        if let (Some(id), Some(level)) = (track.level, outgoing.level) {
            let byte = (u8::from(level.voice) << 7) | level.level.min(127);
            header.set_extension(id, Bytes::from(vec![byte])).ok()?;
        }
        if let Some(passed) = outgoing.forwarded {
            if let (Some(id), Some(rotation)) = (track.rotation, passed.rotation) {
                header
                    .set_extension(id, Bytes::from(vec![rotation as u8]))
                    .ok()?;
            }
            let latency = now.since(passed.arrived).as_secs_f64();
            self.link.stats.forward_latency.observe(latency);
            self.link.wire.traffic().forwarded(latency);
        }
        if let Some(picture) = outgoing.first_of {
            for arrived in &picture.arrivals {
                let latency = now.since(*arrived).as_secs_f64();
                self.link.stats.video_latency.observe(latency);
                self.link.wire.traffic().mixed(latency);
            }
        }
        Some(rtp::Packet {
            header,
            payload: outgoing.payload,
        })
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
        for (kind, sent) in [
            (Kind::Audio, &self.sent_audio),
            (Kind::Video, &self.sent_video),
        ] {
            if sent.is_active() {
                let line = self.link.line(kind);
                let at = MediaTime::from(now);
                let (report, source) = sent.report(at, line, &self.link.cname);
                let compound: Vec<Box<dyn rtcp::Packet>> = vec![Box::new(report), Box::new(source)];
                self.writes.push_back(tagged(now, Packet::Rtcp(compound)));
            }
        }
        self.next_report = Some(now + REPORT_INTERVAL);
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
                for packet in &packets {
                    self.rtcp(packet.as_ref());
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
        if self.outgoing.is_empty() {
            let (keyframes, odd) = self.link.take(&mut self.outgoing);
            let wanted = Layer::ALL.into_iter().zip(keyframes).filter(|(_, is)| *is);
            let requests = wanted.filter_map(|(layer, _)| self.keyframe_request(layer));
            let packets: Vec<_> = odd.into_iter().chain(requests).collect();
            self.writes.extend(
                packets
                    .into_iter()
                    .map(|packet| tagged(Instant::now(), packet)),
            );
        }
        if let Some(message) = self.writes.pop_front() {
            return Some(message);
        }
        while let Some(outgoing) = self.outgoing.pop_front() {
            if let Some(packet) = self.packet(outgoing) {
                let now = Instant::now();
                // The first report follows the first packet at once, for the receiver's sync.
                self.next_report.get_or_insert(now);
                return Some(tagged(now, Packet::Rtp(packet)));
            }
        }
        None
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if self.next_report.is_some_and(|due| due <= now) {
            self.report(now);
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.next_report
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
