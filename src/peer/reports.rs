//! Sender reports (RFC 3550 section 6.4.1) as a function of media time: receivers play audio and
//! video in sync by them, so both have to lie on one line, whenever packets happened to leave.

use bytes::Bytes;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::source_description::{
    SdesType, SourceDescription, SourceDescriptionChunk, SourceDescriptionItem,
};

use super::link::Stream;
use crate::clock::{MediaTime, NtpTime};

const SECOND: u64 = 1_000_000_000;
/// Reports that come every second once a stream has begun: a receiver needs two to play in sync.
const QUICK: u32 = 5;
/// Seconds between two reports later: RFC 3550's shortest. Our clocks do not drift apart.
const SLOW: u64 = 5;

/// When reports are due.
#[derive(Debug, Default)]
pub(super) struct Pace {
    streams: usize,
    /// Since there are so many streams.
    made: u32,
}

impl Pace {
    /// One is made at `now`, of so many streams; when the next is due. `made_elsewhere`: what is
    /// sent is not all ours, and its clocks may change at any time.
    ///
    /// Whole seconds for all connections, so that their drivers are woken together.
    pub fn next(&mut self, now: MediaTime, streams: usize, made_elsewhere: bool) -> MediaTime {
        if self.streams != streams {
            (self.streams, self.made) = (streams, 0);
        }
        self.made = self.made.saturating_add(1);
        let step = match made_elsewhere || self.made <= QUICK {
            true => 1,
            false => SLOW,
        };
        MediaTime((now.0 / SECOND / step + 1) * step * SECOND)
    }
}

/// What one outgoing stream has sent.
#[derive(Debug)]
pub(super) struct Sent {
    stream: Stream,
    sequence: u16,
    packets: u32,
    octets: u32,
}

impl Sent {
    /// Nothing yet.
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            sequence: stream.sequence,
            packets: 0,
            octets: 0,
        }
    }

    /// Whose packets they are.
    pub fn ssrc(&self) -> u32 {
        self.stream.ssrc
    }

    /// Counts a packet in; returns its sequence number: the next one, or that of its place behind
    /// the first.
    pub fn next(&mut self, payload: usize, place: Option<u16>) -> u16 {
        let place = place.map(|place| self.stream.sequence.wrapping_add(place));
        let sequence = place.unwrap_or(self.sequence);
        let ahead = sequence.wrapping_sub(self.sequence) < 0x8000;
        if ahead {
            self.sequence = sequence.wrapping_add(1);
        }
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload as u32);
        sequence
    }

    /// Whether anything was sent.
    pub fn is_active(&self) -> bool {
        self.packets > 0
    }

    /// The report at `now`, and whose it is. `line`: what is sent is on another time line than ours.
    pub fn report(
        &self,
        now: MediaTime,
        line: Option<(NtpTime, u32)>,
        cname: &str,
    ) -> (SenderReport, SourceDescription) {
        let (ntp, rtp_time) = line.unwrap_or_else(|| (now.ntp(), self.stream.rtp_time(now)));
        let ssrc = self.stream.ssrc;
        let report = SenderReport {
            ssrc,
            ntp_time: ntp.0,
            rtp_time,
            packet_count: self.packets,
            octet_count: self.octets,
            reports: Vec::new(),
            profile_extensions: Bytes::new(),
        };
        let description = SourceDescription {
            chunks: vec![SourceDescriptionChunk {
                source: ssrc,
                items: vec![SourceDescriptionItem {
                    sdes_type: SdesType::SdesCname,
                    text: Bytes::copy_from_slice(cname.as_bytes()),
                }],
            }],
        };
        (report, description)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_lie_on_the_media_time_line() {
        let stream = Stream {
            ssrc: 7,
            rtx: 8,
            base: u32::MAX - 10,
            sequence: u16::MAX,
            clock: 90_000,
        };
        let mut sent = Sent::new(stream);
        assert!(!sent.is_active());
        assert_eq!([sent.next(10, None), sent.next(20, None)], [u16::MAX, 0]);
        let at = MediaTime(2_000_000_000);
        let (report, _) = sent.report(at, None, "x");
        assert_eq!(report.ntp_time, at.ntp().0);
        assert_eq!(report.rtp_time, (u32::MAX - 10).wrapping_add(180_000));
        assert_eq!((report.packet_count, report.octet_count), (2, 30));
        let line = Some((NtpTime(5), 6));
        let (report, _) = sent.report(at, line, "x");
        assert_eq!((report.ntp_time, report.rtp_time), (5, 6));
    }

    #[test]
    fn reports_are_quick_while_a_receiver_needs_them() {
        let mut pace = Pace::default();
        let mut now = MediaTime(SECOND * 17 / 10);
        let mut due = |streams, made_elsewhere| {
            now = pace.next(now, streams, made_elsewhere);
            now.0 / SECOND
        };
        let first: Vec<u64> = (0..8).map(|_| due(1, false)).collect();
        assert_eq!(first, [2, 3, 4, 5, 6, 10, 15, 20]);
        let second: Vec<u64> = (0..7).map(|_| due(2, false)).collect();
        assert_eq!(second, [21, 22, 23, 24, 25, 30, 35], "another stream");
        assert_eq!([due(2, true), due(2, true), due(2, false)], [36, 37, 40]);
    }

    #[test]
    fn what_was_made_elsewhere_keeps_its_place() {
        let stream = Stream {
            ssrc: 7,
            rtx: 8,
            base: 0,
            sequence: u16::MAX,
            clock: 90_000,
        };
        let mut sent = Sent::new(stream);
        let mut at = |place| sent.next(1, place);
        assert_eq!([at(Some(0)), at(Some(3)), at(Some(1))], [u16::MAX, 2, 0]);
        assert_eq!(at(None), 3);
    }
}
