//! Packets of somebody's uplink to somebody who takes them as they are (RFC 7667 section 3.7,
//! selective forwarding): nothing is decoded, and holes stay holes, which the receiver sees and
//! asks about.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::link::{Behind, Link, Outgoing, Passed};
use super::vp8::Numbering;
use crate::clock::{self, MediaTime, NtpTime};
use crate::fanout::Outlet;
use crate::media::{ForwardedPacket, Kind, Layer, RtpPacket, VideoCodec};

/// Where packets are from that are forwarded: the sender's time lines, so that receivers play
/// sound and picture of the sender in step.
#[derive(Debug, Default)]
pub struct Origin {
    /// Of sound, and of each copy of the picture.
    lines: Mutex<[Option<(NtpTime, u32)>; 3]>,
}

impl Origin {
    /// The sender's report: its RTP clock of this track shows `rtp` when its wall clock is `ntp`.
    pub fn report(&self, kind: Kind, layer: Layer, ntp: NtpTime, rtp: u32) {
        self.lock()[track(kind, layer)] = Some((ntp, rtp));
    }

    fn line(&self, kind: Kind, layer: Layer) -> Option<(NtpTime, u32)> {
        self.lock()[track(kind, layer)]
    }

    fn lock(&self) -> MutexGuard<'_, [Option<(NtpTime, u32)>; 3]> {
        // Whole between any two statements.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a track among all.
fn track(kind: Kind, layer: Layer) -> usize {
    match kind {
        Kind::Audio => 0,
        Kind::Video => 1 + layer as usize,
    }
}

/// Sends packets of one kind on until the connection ends. A decoder starts at a keyframe; one is
/// asked for where the stream was broken on our side.
pub(super) struct Forwarding {
    link: Arc<Link>,
    kind: Kind,
    origin: Arc<Origin>,
    places: Places,
    gate: Gate,
    numbering: Numbering,
    line: Option<(NtpTime, u32)>,
    layer: Option<Layer>,
}

impl Forwarding {
    /// On this connection.
    pub fn on(link: Arc<Link>, kind: Kind, origin: Arc<Origin>) -> Self {
        Self {
            link,
            kind,
            origin,
            places: Places::default(),
            gate: Gate::default(),
            numbering: Numbering::default(),
            line: None,
            layer: None,
        }
    }

    /// The stream begins anew.
    fn break_off(&mut self) {
        (self.gate, self.places.run) = (Gate::default(), None);
    }

    fn pass(&mut self, forwarded: &ForwardedPacket) {
        let (link, kind) = (self.link.clone(), self.kind);
        if kind == Kind::Video && self.layer != Some(forwarded.layer) {
            // Two copies come while one makes room for the other, which begins at a keyframe.
            if link.uplink.layer() != forwarded.layer {
                return;
            }
            if !forwarded.keyframe {
                // Its keyframe may have come when the other one was wanted.
                if link.is_connected() && self.gate.asks(clock::now()) {
                    link.uplink.keyframe_missed(forwarded.layer);
                }
                return;
            }
            self.layer = Some(forwarded.layer);
            link.uplink.sends(forwarded.layer);
            self.gate = Gate::default();
        }
        let negotiated = link.negotiated();
        let sending = negotiated.sending(kind);
        let agreed = sending.map(|format| format.codec.video());
        if agreed != Some(forwarded.codec) {
            // The sender changed to what everybody can decode, or this one cannot.
            let follows = |codec| sending.is_some() && link.send_in(codec);
            if !forwarded.codec.is_some_and(follows) {
                link.stats.dropped("forward_codec", 1);
                return;
            }
            self.break_off();
        }
        if !link.is_connected() {
            self.break_off();
            return;
        }
        if !self.gate.pass(forwarded) {
            if self.gate.asks(clock::now()) {
                link.uplink.keyframe_requested();
            }
            return;
        }
        let packet = &forwarded.packet;
        let clock = link.stream(kind).rtp_time(packet.arrived);
        let place = self.places.of(packet, forwarded.codec, clock);
        let Some(Place { number, timestamp }) = place else {
            return;
        };
        if let Some((ntp, rtp)) = self.origin.line(kind, forwarded.layer) {
            let rtp = rtp.wrapping_add(timestamp.wrapping_sub(packet.timestamp));
            // It changes with the sender's reports, not with packets.
            if self.line != Some((ntp, rtp)) {
                self.line = Some((ntp, rtp));
                link.set_line(kind, self.line);
            }
        }
        let outgoing = Outgoing {
            kind,
            marker: packet.marker,
            timestamp,
            payload: match forwarded.codec {
                Some(VideoCodec::Vp8) => self.numbering.renumber(packet.ssrc, &packet.payload),
                _ => packet.payload.clone(),
            },
            level: packet.level,
            first_of: None,
            forwarded: Some(Passed {
                number,
                rotation: packet.rotation,
                arrived: packet.arrived,
            }),
        };
        if link.send(clock::now(), std::iter::once(outgoing)) == Err(Behind) {
            self.break_off();
        }
    }
}

impl Outlet<ForwardedPacket> for Forwarding {
    fn take(&mut self, forwarded: &Arc<ForwardedPacket>) -> bool {
        self.pass(forwarded);
        !self.link.is_closed()
    }
}

/// While nothing can be sent for want of a keyframe, it is asked for this often.
const ASK_EVERY: Duration = Duration::from_millis(600);

/// Whether a decoder can make something of a packet.
#[derive(Debug, Default)]
struct Gate {
    flowing: bool,
    asked: Option<MediaTime>,
}

impl Gate {
    fn pass(&mut self, packet: &ForwardedPacket) -> bool {
        self.flowing |= packet.keyframe || packet.codec.is_none();
        self.flowing
    }

    /// Whether a keyframe is to be asked for now. What was asked may have been too soon after
    /// somebody else's wish, and the receiver, who has got nothing, will not ask.
    fn asks(&mut self, now: MediaTime) -> bool {
        let asks = self.asked.is_none_or(|asked| now.since(asked) >= ASK_EVERY);
        if asks {
            self.asked = Some(now);
        }
        asks
    }
}

/// Where a packet stands in the stream that goes out.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// Packets behind the first one.
    number: u16,
    timestamp: u32,
}

/// Sequence numbers and timestamps that go on across whatever is forwarded.
#[derive(Debug, Default)]
struct Places {
    run: Option<Run>,
    /// The next number that nothing has, and the newest timestamp.
    next: i64,
    newest: Option<u32>,
}

/// Packets of one source without a break on our side.
#[derive(Debug)]
struct Run {
    ssrc: u32,
    codec: Option<VideoCodec>,
    /// Its first place: what is older was never begun.
    first: i64,
    /// The newest sequence number, and its place.
    newest: (u16, i64),
    /// What is added to timestamps.
    shift: u32,
}

/// Between the last picture of one source and the first of another at least, RTP ticks.
const STEP: u32 = 960;

impl Places {
    /// The place of a packet that arrived when our RTP clock showed `clock`; none: it is from before
    /// the beginning.
    fn of(&mut self, packet: &RtpPacket, codec: Option<VideoCodec>, clock: u32) -> Option<Place> {
        let goes_on = |run: &Run| run.ssrc == packet.ssrc && run.codec == codec;
        if !self.run.as_ref().is_some_and(goes_on) {
            let least = self.newest.map(|newest| newest.wrapping_add(STEP));
            let begins = match least {
                Some(least) if clock.wrapping_sub(least) >= 1 << 31 => least,
                _ => clock,
            };
            self.run = Some(Run {
                ssrc: packet.ssrc,
                codec,
                first: self.next,
                newest: (packet.sequence, self.next),
                shift: begins.wrapping_sub(packet.timestamp),
            });
        }
        let run = self.run.as_mut()?;
        let (sequence, place) = run.newest;
        let place = place + i64::from(packet.sequence.wrapping_sub(sequence) as i16);
        if place < run.first {
            return None;
        }
        if place >= run.newest.1 {
            run.newest = (packet.sequence, place);
        }
        let timestamp = packet.timestamp.wrapping_add(run.shift);
        self.next = self.next.max(place + 1);
        let newer = |newest: u32| timestamp.wrapping_sub(newest) < 1 << 31;
        if self.newest.is_none_or(newer) {
            self.newest = Some(timestamp);
        }
        Some(Place {
            number: place as u16,
            timestamp,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const VP8: Option<VideoCodec> = Some(VideoCodec::Vp8);

    fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> RtpPacket {
        RtpPacket {
            payload_type: 96,
            marker: false,
            sequence,
            timestamp,
            ssrc,
            payload: Bytes::new(),
            arrived: MediaTime(0),
            level: None,
            rotation: None,
        }
    }

    fn place(number: u16, timestamp: u32) -> Option<Place> {
        Some(Place { number, timestamp })
    }

    #[test]
    fn holes_stay_and_what_comes_late_has_its_place() {
        let mut places = Places::default();
        let mut of = |sequence, timestamp| places.of(&packet(1, sequence, timestamp), VP8, 5_000);
        assert_eq!(of(65_534, 100), place(0, 5_000));
        assert_eq!(of(2, 3_100), place(4, 8_000), "across the wrap");
        assert_eq!(of(65_535, 100), place(1, 5_000), "late");
        assert_eq!(of(65_533, 50), None, "from before the beginning");
        assert_eq!(of(3, 3_100), place(5, 8_000));
    }

    #[test]
    fn another_source_goes_on_behind() {
        let mut places = Places::default();
        assert_eq!(places.of(&packet(1, 10, 0), VP8, 1_000), place(0, 1_000));
        assert_eq!(places.of(&packet(1, 12, 3_000), VP8, 0), place(2, 4_000));
        let next = places.of(&packet(2, 700, 90), VP8, 9_000);
        assert_eq!(next, place(3, 9_000));
        let back = places.of(&packet(1, 20, 50), VP8, 8_000);
        assert_eq!(back, place(4, 9_000 + STEP), "time never runs back");
        let codec = Some(VideoCodec::H264);
        assert_eq!(
            places.of(&packet(1, 21, 60), codec, 20_000),
            place(5, 20_000)
        );
    }

    #[test]
    fn numbers_go_on_for_days() {
        let mut places = Places::default();
        for n in 0..200_000u32 {
            let of = places.of(&packet(1, n as u16, n * 3_000), None, 7);
            assert_eq!(of.map(|place| place.number), Some(n as u16));
        }
    }

    #[test]
    fn a_decoder_starts_at_a_keyframe() {
        let mut gate = Gate::default();
        let forwarded = |codec, keyframe| ForwardedPacket {
            packet: packet(1, 0, 0),
            layer: Layer::Whole,
            codec,
            keyframe,
        };
        assert!(!gate.pass(&forwarded(VP8, false)));
        let ms = |ms: u64| MediaTime(ms * 1_000_000);
        let asked = [0, 100, 599, 600, 900].map(|at| gate.asks(ms(at)));
        assert_eq!(asked, [true, false, false, true, false]);
        assert!(gate.pass(&forwarded(VP8, true)));
        assert!(gate.pass(&forwarded(VP8, false)));
        assert!(Gate::default().pass(&forwarded(None, false)), "sound");
    }
}
