//! What goes out on one connection, whichever way it leaves: here packets are completed, numbered
//! and kept, and here they wait for the driver where they go by it.
//!
//! All of it is under one lock. So a stream's numbers are in the order in which its packets came,
//! though some go by the driver and some by the [`lane`](super::lane), and no number is given twice.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;

use super::arrivals::Arrivals;
use super::head::{Fixed, Head, Packet};
use super::history::{History, Kept, wanted};
use super::line::{Ladder, Line};
use super::link::{Outgoing, Stream};
use super::reports::Sent;
use super::sdp::{Negotiated, Track};
use crate::clock::MediaTime;
use crate::media::Kind;

/// Packets that the driver has not taken for this long are dropped, and all behind them: a live
/// picture this late is worth less than what it would delay.
const OUTBOX_AGE: Duration = Duration::from_millis(300);
/// What is around a payload on the wire, bytes: Ethernet 14, IP 20, UDP 8, RTP 12, extensions 16,
/// SRTP 16.
const AROUND: usize = 86;
/// How often the estimate is noted for the figures.
const NOTED: Duration = Duration::from_secs(1);

/// One per connection.
#[derive(Debug)]
pub(super) struct Outward {
    audio: Sent,
    video: Sent,
    /// Source of retransmissions, and number of the next.
    rtx: (u32, u16),
    history: History,
    line: Option<Line>,
    /// What the line is to be given.
    ladder: Option<Ladder>,
    arrivals: Arrivals,
    noted: MediaTime,
    /// When fillers are due.
    wake: Option<MediaTime>,
    /// For the driver to take.
    waiting: VecDeque<(MediaTime, Outgoing)>,
    /// Pictures were dropped that waited, which whoever sends pictures does not know yet: it may have
    /// been for sound that came too late.
    broken: bool,
    /// The same, complete.
    complete: VecDeque<Packet>,
}

/// What became of a connection's line.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Told {
    /// It bears this rung from now on.
    pub rung: Option<usize>,
    /// Bit/s that it is believed to carry.
    pub carries: Option<f64>,
    /// That is to be noted.
    pub note: bool,
}

impl Outward {
    /// Of a connection that sends these.
    pub fn new(audio: Stream, video: Stream) -> Self {
        Self {
            audio: Sent::new(audio),
            video: Sent::new(video),
            rtx: (video.rtx, rand::random()),
            history: History::default(),
            line: None,
            ladder: None,
            arrivals: Arrivals::default(),
            noted: MediaTime(0),
            wake: None,
            waiting: VecDeque::new(),
            broken: false,
            complete: VecDeque::new(),
        }
    }

    /// Whether anything was sent.
    pub fn is_active(&self) -> bool {
        self.audio.is_active() || self.video.is_active()
    }

    /// What a stream has sent.
    pub fn sent(&mut self, kind: Kind) -> &mut Sent {
        match kind {
            Kind::Audio => &mut self.audio,
            Kind::Video => &mut self.video,
        }
    }

    /// Whether packets wait for the driver. None may overtake them: its number would be theirs.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Has packets wait for the driver. `Err`: so many are dropped, these included.
    pub fn wait(
        &mut self,
        now: MediaTime,
        packets: impl Iterator<Item = Outgoing>,
    ) -> Result<(), u64> {
        if let Some((since, _)) = self.waiting.front()
            && now.since(*since) > OUTBOX_AGE
        {
            let is_picture = |packet: &Outgoing| packet.kind == Kind::Video;
            let mut told = false;
            let given = packets.inspect(|packet| told |= is_picture(packet)).count();
            let dropped = self.waiting.len() + given;
            self.broken |= !told && self.waiting.iter().any(|(_, packet)| is_picture(packet));
            self.waiting.clear();
            return Err(dropped as u64);
        }
        self.waiting.extend(packets.map(|packet| (now, packet)));
        Ok(())
    }

    /// Whether pictures were dropped since this was asked last.
    pub fn take_broken(&mut self) -> bool {
        std::mem::take(&mut self.broken)
    }

    /// Has complete packets wait for the driver.
    pub fn wait_complete(&mut self, packets: impl IntoIterator<Item = Packet>) {
        self.complete.extend(packets);
    }

    /// For the driver: the next packet that waits, and what it was made of if it was not complete.
    pub fn take(
        &mut self,
        now: MediaTime,
        negotiated: &Negotiated,
    ) -> Option<(Packet, Option<Outgoing>)> {
        if let Some(packet) = self.complete.pop_front() {
            return Some((packet, None));
        }
        while let Some((_, outgoing)) = self.waiting.pop_front() {
            if let Some(packet) = self.complete(now, negotiated, &outgoing) {
                return Some((packet, Some(outgoing)));
            }
        }
        None
    }

    /// Nothing is sent any more.
    pub fn clear(&mut self) {
        self.waiting.clear();
        self.complete.clear();
    }

    /// The client is to be given this.
    pub fn serve(&mut self, ladder: Ladder) {
        self.ladder = Some(ladder);
    }

    /// Follows what the client is to be given, once it is agreed on what is sent.
    pub fn follow(&mut self, now: MediaTime, negotiated: &Negotiated) {
        let Some(ladder) = self.ladder.take() else {
            return;
        };
        match &mut self.line {
            Some(line) => line.serve(now, ladder),
            None => {
                let sending = negotiated.sending_video.as_ref();
                let fills = sending.is_some_and(|format| format.rtx.is_some());
                self.line = Some(Line::new(now, ladder, fills));
            }
        }
    }

    /// Completes a packet. `None` if its kind is not agreed on (any more).
    pub fn complete(
        &mut self,
        now: MediaTime,
        negotiated: &Negotiated,
        outgoing: &Outgoing,
    ) -> Option<Packet> {
        let kind = outgoing.kind;
        let format = negotiated.sending(kind)?;
        let track = negotiated.track(kind)?;
        let place = outgoing.forwarded.map(|passed| passed.number);
        let sent = self.sent(kind);
        let fixed = Fixed {
            marker: outgoing.marker,
            payload_type: format.payload_type,
            sequence: sent.next(outgoing.payload.len(), place),
            timestamp: outgoing.timestamp,
            ssrc: sent.ssrc(),
        };
        let number = self.number(now, track, outgoing.payload.len(), false);
        let mut room = [0; 5];
        let extensions = extensions(track, outgoing, now, &number, &mut room);
        let head = Head::new(fixed, &extensions);
        let packet = Packet::new(head, outgoing.payload.clone());
        if kind == Kind::Video {
            self.history.note(&packet, now, format.rtx.is_none());
        }
        Some(packet)
    }

    /// Numbers a packet across streams, for the line's sake.
    fn number(&mut self, now: MediaTime, track: &Track, payload: usize, fills: bool) -> Number {
        let line = self.line.as_mut().zip(track.transport_cc);
        let bytes = (payload + AROUND) as u32;
        line.and_then(|(line, id)| Some((id, line.sent(now, bytes, fills)?.to_be_bytes())))
    }

    /// What the other side asked for once more, as far as that is worth anything. `Err`: a
    /// keyframe is worth more.
    pub fn again(
        &mut self,
        now: MediaTime,
        negotiated: &Negotiated,
        nack: &TransportLayerNack,
    ) -> Result<Vec<Packet>, Hopeless> {
        if self.history.is_hopeless(nack, now) {
            return Err(Hopeless);
        }
        let sequences: Vec<u16> = wanted(nack).collect();
        let packets = sequences.into_iter().filter_map(|sequence| {
            let kept = self.history.packet(sequence)?;
            let Some(payload_type) = repairs(negotiated) else {
                return kept.whole();
            };
            let again = kept.again();
            Some(self.repair(now, negotiated, again, payload_type, false))
        });
        Ok(packets.collect())
    }

    /// The fillers that are due.
    pub fn fill(&mut self, now: MediaTime, negotiated: &Negotiated) -> Vec<Packet> {
        let mut fillers = Vec::new();
        let Some(line) = &mut self.line else {
            return fillers;
        };
        let (mut due, next) = line.filler(now);
        self.wake = next;
        while due > 0 {
            let original = self.history.largest().map(Kept::again);
            let Some((again, payload_type)) = original.zip(repairs(negotiated)) else {
                break;
            };
            due = due.saturating_sub(again.0.len() + AROUND);
            fillers.push(self.repair(now, negotiated, again, payload_type, true));
        }
        fillers
    }

    /// When [`Outward::fill`] is due.
    pub fn wake(&self) -> Option<MediaTime> {
        self.wake
    }

    /// Completes a retransmission. All of them are numbered here, whatever they are for: two of one
    /// number would be protected by one nonce.
    fn repair(
        &mut self,
        now: MediaTime,
        negotiated: &Negotiated,
        (payload, marker, timestamp): (Bytes, bool, u32),
        payload_type: u8,
        fills: bool,
    ) -> Packet {
        let (ssrc, sequence) = self.rtx;
        self.rtx.1 = sequence.wrapping_add(1);
        let fixed = Fixed {
            marker,
            payload_type,
            sequence,
            timestamp,
            ssrc,
        };
        let track = negotiated.track(Kind::Video);
        let number = track.and_then(|track| self.number(now, track, payload.len(), fills));
        Packet::new(Head::new(fixed, &[across(&number)]), payload)
    }

    /// The other side tells what became of packets.
    pub fn told(&mut self, now: MediaTime, feedback: &TransportLayerCc) -> Told {
        let packets = self.arrivals.of(feedback);
        let Some(line) = &mut self.line else {
            return Told::default();
        };
        let rung = line.told(now, packets.into_iter());
        let carries = line.carries();
        let note = carries.is_some() && now.since(self.noted) >= NOTED;
        if note {
            self.noted = now;
        }
        Told {
            rung,
            carries,
            note,
        }
    }
}

/// What is asked for is too old.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hopeless;

/// The payload type of retransmissions, if they are agreed on. What is forwarded may change its
/// codec, and with it this.
fn repairs(negotiated: &Negotiated) -> Option<u8> {
    negotiated.sending_video.as_ref()?.rtx
}

/// A number across streams, and the extension that it goes by.
type Number = Option<(u8, [u8; 2])>;

fn across(number: &Number) -> (Option<u8>, &[u8]) {
    let number = number.as_ref();
    let (id, number) = number.map(|(id, number)| (*id, &number[..])).unzip();
    (id, number.unwrap_or_default())
}

/// What a header says besides.
fn extensions<'a>(
    track: &Track,
    outgoing: &Outgoing,
    now: MediaTime,
    number: &'a Number,
    room: &'a mut [u8; 5],
) -> [(Option<u8>, &'a [u8]); 4] {
    // 24 bits of seconds in 6.18 fixed point, out of NTP's 32.32.
    let time = (now.ntp().0 >> 14) as u32;
    room[..3].copy_from_slice(&time.to_be_bytes()[1..]);
    if let Some(level) = outgoing.level {
        room[3] = u8::from(level.voice) << 7 | level.level.min(127);
    }
    let rotation = outgoing.forwarded.and_then(|passed| passed.rotation);
    if let Some(rotation) = rotation {
        room[4] = rotation as u8;
    }
    [
        (track.abs_send_time, &room[..3]),
        (
            track.level.filter(|_| outgoing.level.is_some()),
            &room[3..4],
        ),
        (track.rotation.filter(|_| rotation.is_some()), &room[4..]),
        across(number),
    ]
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use rtc::rtcp::transport_feedbacks::transport_layer_nack::NackPair;

    use super::super::sdp::tests::CHROME;
    use super::super::sdp::{Candidate, Offer, Transport, answer, negotiated};
    use super::*;

    fn stream(ssrc: u32, sequence: u16) -> Stream {
        Stream {
            ssrc,
            rtx: ssrc + 1,
            base: 0,
            sequence,
            clock: 90_000,
        }
    }

    fn outward() -> Outward {
        Outward::new(stream(10, 5), stream(20, 65_530))
    }

    fn agreed() -> Negotiated {
        let offer = Offer::parse(CHROME, &[], true).unwrap();
        let ours = Candidate {
            transport: Transport::Udp,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 4)),
            rank: 0,
        };
        let answered = answer(&offer, &offer.for_library(None), &[ours], None).unwrap();
        let mut agreed = negotiated(&answered, true, None).unwrap();
        assert!(repairs(&agreed).is_some());
        let video = agreed.video.as_mut().unwrap();
        video.transport_cc = Some(3);
        agreed
    }

    fn packets(kind: Kind, n: usize) -> impl Iterator<Item = Outgoing> {
        (0..n).map(move |n| Outgoing {
            kind,
            marker: false,
            timestamp: n as u32,
            payload: vec![n as u8; 1_000 + n].into(),
            level: None,
            first_of: None,
            forwarded: None,
        })
    }

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    fn nack(first: u16, others: u16) -> TransportLayerNack {
        TransportLayerNack {
            nacks: vec![NackPair {
                packet_id: first,
                lost_packets: others,
            }],
            ..Default::default()
        }
    }

    fn numbers<'a>(packets: impl IntoIterator<Item = &'a Packet>) -> Vec<(u32, u16)> {
        let heads = packets.into_iter().map(Packet::fixed);
        heads.map(|head| (head.ssrc, head.sequence)).collect()
    }

    #[test]
    fn an_outbox_nobody_empties_is_bounded_in_time() {
        let mut outward = outward();
        assert_eq!(outward.wait(ms(0), packets(Kind::Video, 2)), Ok(()));
        assert_eq!(outward.wait(ms(300), packets(Kind::Video, 2)), Ok(()));
        assert_eq!(outward.wait(ms(301), packets(Kind::Video, 3)), Err(7));
        assert!(!outward.waits());
        assert_eq!(outward.wait(ms(302), packets(Kind::Video, 1)), Ok(()));
    }

    #[test]
    fn pictures_that_sound_had_dropped_are_known_to_be_missing() {
        let mut outward = outward();
        assert_eq!(outward.wait(ms(0), packets(Kind::Audio, 1)), Ok(()));
        assert_eq!(outward.wait(ms(301), packets(Kind::Audio, 1)), Err(2));
        assert!(!outward.take_broken(), "only sound");
        assert_eq!(outward.wait(ms(302), packets(Kind::Video, 1)), Ok(()));
        assert_eq!(outward.wait(ms(603), packets(Kind::Audio, 1)), Err(2));
        assert!(outward.take_broken() && !outward.take_broken());
    }

    #[test]
    fn streams_go_on_whichever_way_their_packets_leave() {
        let (mut outward, agreed) = (outward(), agreed());
        let mut sent = Vec::new();
        for round in 0..4 {
            for kind in [Kind::Video, Kind::Audio] {
                for outgoing in packets(kind, 2) {
                    sent.extend(outward.complete(ms(round), &agreed, &outgoing));
                }
                outward.wait(ms(round), packets(kind, 1)).unwrap();
            }
            assert!(outward.waits());
            while let Some((packet, made_of)) = outward.take(ms(round), &agreed) {
                assert!(made_of.is_some());
                sent.push(packet);
            }
            assert!(!outward.waits());
        }
        let of = |ssrc| {
            let all = numbers(&sent).into_iter();
            all.filter(|(source, _)| *source == ssrc)
                .map(|(_, n)| n)
                .collect::<Vec<_>>()
        };
        assert_eq!(of(10), (5..17).collect::<Vec<u16>>());
        let wraps = (0..12_u16).map(|n| 65_530_u16.wrapping_add(n));
        assert_eq!(of(20), wraps.collect::<Vec<_>>());
    }

    #[test]
    fn no_two_retransmissions_have_one_number() {
        let (mut outward, agreed) = (outward(), agreed());
        let ladder = Ladder {
            rungs: vec![100_000, 1_000_000],
            at: 0,
            top: 1,
        };
        outward.serve(ladder);
        outward.follow(ms(0), &agreed);
        for outgoing in packets(Kind::Video, 3) {
            outward.complete(ms(0), &agreed, &outgoing).unwrap();
        }
        let mut sent = Vec::new();
        for n in 0..5 {
            let again = outward.again(ms(n), &agreed, &nack(65_530, 0b11)).unwrap();
            assert_eq!(again.len(), 3);
            assert_eq!(again[1].payload[..2], 65_531_u16.to_be_bytes());
            sent.extend(again);
            let filler = outward.history.largest().unwrap().again();
            let filler = outward.repair(ms(n), &agreed, filler, 97, true);
            assert_eq!(filler.payload[..2], 65_532_u16.to_be_bytes(), "the largest");
            sent.push(filler);
        }
        let numbers = numbers(&sent);
        let first = numbers[0].1;
        let expected = (0..20_u16).map(|n| (21, first.wrapping_add(n)));
        assert_eq!(numbers, expected.collect::<Vec<_>>());
        let late = outward.again(ms(1_001), &agreed, &nack(65_530, 0));
        assert_eq!(late, Err(Hopeless));
        let unsent = outward.again(ms(1_001), &agreed, &nack(200, 0));
        assert_eq!(unsent, Ok(Vec::new()));
    }

    #[test]
    fn without_retransmissions_packets_go_again_as_they_were() {
        let (mut outward, mut agreed) = (outward(), agreed());
        if let Some(format) = &mut agreed.sending_video {
            format.rtx = None;
        }
        let ladder = Ladder {
            rungs: vec![100_000],
            at: 0,
            top: 0,
        };
        outward.serve(ladder);
        outward.follow(ms(0), &agreed);
        let sent: Vec<_> = packets(Kind::Video, 3)
            .map(|outgoing| outward.complete(ms(0), &agreed, &outgoing).unwrap())
            .collect();
        assert_eq!(
            sent[0].head().bytes().len(),
            20,
            "it has a number across streams"
        );
        for n in 0..3 {
            let again = outward.again(ms(n), &agreed, &nack(65_530, 0b11)).unwrap();
            assert_eq!(again, sent);
        }
    }
}
