//! What the other side says of what it is sent: read here, for the library routes it by the first
//! source of a compound packet and loses most.
//!
//! It comes ten times a second and more, and the driver has no need of it. So what comes over UDP is
//! opened and read here, once the keys are known: reports where they come in, what asks for
//! something on a task of the connection's own. Only what comes with a sender report is the driver's,
//! whose receiver reports build on those.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};

use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::receiver_report::ReceiverReport;
use rtc::rtcp::reception_report::ReceptionReport;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use tokio::sync::mpsc;

use super::link::Link;
use super::mux::Datagram;
use crate::clock::MediaTime;

/// Datagrams that wait to be read: what a browser says in two seconds.
pub(super) const QUEUE: usize = 64;

const RECEIVER_REPORT: u8 = 201;
const TRANSPORT: u8 = 205;
const PAYLOAD: u8 = 206;
/// What transport feedback tells when packets arrived.
const ARRIVALS: u8 = 15;

/// Whether a datagram is SRTCP that begins with a receiver report or feedback. What it is, is not
/// encrypted, but protected.
pub(super) fn is_feedback(datagram: &[u8]) -> bool {
    matches!(
        datagram,
        [128..=191, RECEIVER_REPORT | TRANSPORT | PAYLOAD, ..]
    )
}

/// Whether feedback is what everybody sends all the time, and is quickly read.
pub(super) fn is_report(feedback: &[u8]) -> bool {
    match feedback {
        [_, RECEIVER_REPORT, ..] => true,
        [first, TRANSPORT, ..] => first & 31 == ARRIVALS,
        _ => false,
    }
}

/// Reads what the port routes into `queue`, until the port is closed.
pub(super) async fn hear(link: Arc<Link>, mut queue: mpsc::Receiver<Datagram>) {
    let heard = Heard(link.clone());
    while let Some(datagram) = queue.recv().await {
        // Nobody wants to hear of a connection that is over.
        if link.is_closed() {
            return;
        }
        open(&link, &datagram.bytes, datagram.arrived);
    }
    drop(heard);
}

/// Reads what came for this connection where it is. Where that trips over something, it is the end
/// of this connection only.
pub(super) fn hear_now(link: &Link, datagram: &[u8], arrived: MediaTime) {
    let reading = || {
        if !link.is_closed() {
            open(link, datagram, arrived);
        }
    };
    if catch_unwind(AssertUnwindSafe(reading)).is_err() {
        link.wire.end();
    }
}

fn open(link: &Link, datagram: &[u8], arrived: MediaTime) {
    let opened = link.learned.opener().and_then(|opener| {
        let mut opener = opener.lock().unwrap_or_else(PoisonError::into_inner);
        opener.packet(datagram)
    });
    // What is not genuine is passed over without a word.
    let packets = opened.map(|opened| rtcp::packet::unmarshal(&mut opened.as_slice()));
    for packet in packets.into_iter().flatten().flatten() {
        read(link, packet.as_ref(), arrived);
    }
}

/// Who is not heard any more, be it that reading tripped over something, is not served either.
struct Heard(Arc<Link>);

impl Drop for Heard {
    fn drop(&mut self) {
        self.0.wire.end();
    }
}

/// Reads a packet, if it is feedback.
pub(super) fn read(link: &Link, packet: &dyn rtcp::Packet, now: MediaTime) {
    let uplink = &link.uplink;
    let any = packet.as_any();
    let ours = link.video.ssrc;
    if let Some(feedback) = any.downcast_ref::<TransportLayerCc>() {
        link.told(now, feedback);
    } else if let Some(nack) = any.downcast_ref::<TransportLayerNack>() {
        if nack.media_ssrc == ours {
            link.send_again(now, nack);
        }
    } else if let Some(report) = any.downcast_ref::<ReceiverReport>() {
        receptions(link, &report.reports);
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
pub(super) fn receptions(link: &Link, reports: &[ReceptionReport]) {
    let ours = [link.audio.ssrc, link.video.ssrc];
    for report in reports.iter().filter(|report| ours.contains(&report.ssrc)) {
        let part = f32::from(report.fraction_lost) / 256.0;
        link.uplink.not_received(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_feedback_goes_past_the_driver() {
        let begins = |second: u8| is_feedback(&[0x81, second, 0, 1]);
        let wanted: Vec<u8> = (0..=255).filter(|second| begins(*second)).collect();
        assert_eq!(wanted, [201, 205, 206]);
        for first in [0, 1, 20, 22, 63, 64, 127, 192, 255] {
            assert!(!is_feedback(&[first, 201]), "{first}");
        }
        assert!(!is_feedback(&[0x81]) && !is_feedback(&[]));
        let reports = [
            (0x81, 201),
            (0x8f, 205),
            (0xaf, 205),
            (0x81, 205),
            (0x8f, 206),
        ];
        let reports = reports.map(|(first, second)| is_report(&[first, second]));
        assert_eq!(reports, [true, true, true, false, false]);
    }
}
