//! What one client receives, judged without decoding it: complete pictures, freezes, bits.
//!
//! A picture counts when all its packets have come, up to the one with the marker bit, and when
//! every picture before it back to a keyframe has: only then could a decoder show it.

use std::collections::VecDeque;
use std::time::Duration;

use super::freeze::Freezes;
use crate::clock::MediaTime;
use crate::media::{Kind, RtpPacket, VIDEO_CLOCK, VideoCodec};
use crate::payload::starts_keyframe;

/// A packet missing for so long has missed its picture: retransmissions that take longer find
/// the picture frozen anyway.
const PATIENCE: Duration = Duration::from_millis(500);
/// Packets of a second of video at 10 Mbit/s: no hole is waited for longer than that.
const WINDOW: usize = 1_024;

/// The counts of one client since [`Receiver::begin`].
#[derive(Debug, Default)]
pub struct Receiver {
    video: Pictures,
    first_picture: Option<MediaTime>,
    began: Option<MediaTime>,
    counts: Counts,
    freezes: Freezes,
    /// When the last picture came (or counting began), and its RTP time.
    last: Option<(MediaTime, u32)>,
}

/// What was counted.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Counts {
    /// Complete, decodable pictures.
    pub pictures: u64,
    /// Of them, those a decoder can start from.
    pub keyframes: u64,
    /// Video packets that never came, or too late.
    pub lost: u64,
    /// RTP payload bytes, video.
    pub video_bytes: u64,
    /// The packets they came in.
    pub video_packets: u64,
    /// Audio packets with a payload.
    pub audio_packets: u64,
    /// RTP payload bytes, audio.
    pub audio_bytes: u64,
    /// As W3C defines them.
    pub freezes: u32,
    /// All of them together.
    pub frozen: Duration,
    /// The longest time between two pictures, as they came.
    pub longest_gap: Duration,
    /// The longest time between two pictures by the sender's own clock, whatever the network and
    /// this machine did to them on the way.
    pub longest_step: Duration,
}

impl Receiver {
    /// Takes a packet. `codec` is that of the video track.
    pub fn packet(&mut self, kind: Kind, codec: VideoCodec, packet: &RtpPacket) {
        if packet.payload.is_empty() && kind == Kind::Audio {
            return;
        }
        if kind == Kind::Audio {
            self.counts.audio_packets += 1;
            self.counts.audio_bytes += packet.payload.len() as u64;
            return;
        }
        self.counts.video_bytes += packet.payload.len() as u64;
        self.counts.video_packets += u64::from(!packet.payload.is_empty());
        let (counts, freezes) = (&mut self.counts, &mut self.freezes);
        let (first_picture, last) = (&mut self.first_picture, &mut self.last);
        self.video
            .packet(codec, packet, &mut counts.lost, |picture| {
                first_picture.get_or_insert(picture.complete);
                counts.pictures += 1;
                counts.keyframes += picture.keyframe as u64;
                freezes.picture(picture.complete);
                let this = (picture.complete, picture.timestamp);
                if let Some((complete, timestamp)) = last.replace(this) {
                    let gap = picture.complete.since(complete);
                    let ticks = picture.timestamp.wrapping_sub(timestamp);
                    let step = Duration::from_secs(ticks.into()) / VIDEO_CLOCK;
                    counts.longest_gap = counts.longest_gap.max(gap);
                    counts.longest_step = counts.longest_step.max(step);
                }
            });
    }

    /// Counting starts now: what came before was joining.
    pub fn begin(&mut self, now: MediaTime) {
        self.began = Some(now);
        self.counts = Counts::default();
        self.freezes = Freezes::default();
        if self.first_picture.is_some() {
            // So that a client whose pictures stop at once is seen to freeze.
            self.freezes.picture(now);
        }
        self.last = self.last.map(|(_, timestamp)| (now, timestamp));
    }

    /// When counting began.
    pub fn began(&self) -> Option<MediaTime> {
        self.began
    }

    /// When the first decodable picture was complete, whether counting had begun or not.
    pub fn first_picture(&self) -> Option<MediaTime> {
        self.first_picture
    }

    /// The counts now.
    pub fn counts(&self, now: MediaTime) -> Counts {
        Counts {
            freezes: self.freezes.count(now),
            frozen: self.freezes.total(now),
            longest_gap: self.last.map_or(self.counts.longest_gap, |(last, _)| {
                self.counts.longest_gap.max(now.since(last))
            }),
            ..self.counts
        }
    }
}

/// A picture that could be shown.
struct Picture {
    keyframe: bool,
    timestamp: u32,
    /// When the last of its packets to come had come.
    complete: MediaTime,
}

/// Puts packets in order and finds the pictures among them.
#[derive(Debug, Default)]
struct Pictures {
    /// Extended sequence number of the front of `window`.
    next: Option<u64>,
    window: VecDeque<Option<Slot>>,
    /// Everything since the last keyframe has come.
    intact: bool,
    /// All packets of the picture being gathered have come so far.
    whole: bool,
    keyframe: bool,
    latest: MediaTime,
    last_timestamp: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    marker: bool,
    timestamp: u32,
    padding: bool,
    keyframe: bool,
    arrived: MediaTime,
}

impl Pictures {
    fn packet(
        &mut self,
        codec: VideoCodec,
        packet: &RtpPacket,
        lost: &mut u64,
        mut picture: impl FnMut(Picture),
    ) {
        let Some(offset) = self.offset(packet.sequence) else {
            return;
        };
        while self.window.len() <= offset {
            self.window.push_back(None);
        }
        self.window[offset] = Some(Slot {
            marker: packet.marker,
            timestamp: packet.timestamp,
            padding: packet.payload.is_empty(),
            keyframe: starts_keyframe(codec, &packet.payload),
            arrived: packet.arrived,
        });
        loop {
            match self.window.front() {
                Some(Some(slot)) => {
                    let slot = *slot;
                    self.advance();
                    if let Some(done) = self.take(slot) {
                        picture(done);
                    }
                }
                Some(None) if self.overdue(packet.arrived) => {
                    self.advance();
                    *lost += 1;
                    (self.intact, self.whole, self.keyframe) = (false, false, false);
                }
                _ => return,
            }
        }
    }

    /// Where in the window a packet belongs; `None`: it is older, too late.
    fn offset(&mut self, sequence: u16) -> Option<usize> {
        let Some(next) = self.next else {
            self.next = Some(sequence as u64);
            // Whether this is the first packet of its picture is told by its keyframe start.
            self.whole = true;
            return Some(0);
        };
        let ahead = sequence.wrapping_sub(next as u16) as i16;
        usize::try_from(ahead).ok()
    }

    fn advance(&mut self) {
        self.window.pop_front();
        self.next = self.next.map(|next| next + 1);
    }

    fn overdue(&self, now: MediaTime) -> bool {
        let after = self.window.iter().flatten().next();
        self.window.len() > WINDOW || after.is_some_and(|s| now.since(s.arrived) > PATIENCE)
    }

    fn take(&mut self, slot: Slot) -> Option<Picture> {
        self.latest = self.latest.max(slot.arrived);
        if slot.padding {
            return None;
        }
        if self.last_timestamp != Some(slot.timestamp) {
            // A picture whose end was lost must not lend its wholeness to this one.
            self.last_timestamp = Some(slot.timestamp);
            self.keyframe = false;
        }
        if slot.keyframe {
            (self.keyframe, self.whole) = (true, true);
        }
        if !slot.marker {
            return None;
        }
        let shown = self.whole && (self.intact || self.keyframe);
        self.intact = shown;
        let keyframe = std::mem::take(&mut self.keyframe);
        self.whole = true;
        shown.then_some(Picture {
            keyframe,
            timestamp: slot.timestamp,
            complete: self.latest,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    const SPS: &[u8] = &[0x67, 0x42, 0xe0, 0x1f];
    const SLICE: &[u8] = &[0x41, 1, 2];

    fn packet(sequence: u16, millis: u64, marker: bool, payload: &'static [u8]) -> RtpPacket {
        RtpPacket {
            payload_type: 96,
            marker,
            sequence,
            timestamp: (sequence.wrapping_sub(65_000) as u32 / 2) * 3_600,
            ssrc: 1,
            payload: Bytes::from_static(payload),
            arrived: MediaTime(millis * 1_000_000),
            level: None,
            rotation: None,
        }
    }

    /// Pictures of two packets each, the first a keyframe; sequence numbers wrap on the way.
    fn stream(pictures: u16) -> Vec<RtpPacket> {
        (0..pictures * 2)
            .map(|n| {
                let payload = if n == 0 { SPS } else { SLICE };
                packet(
                    65_000u16.wrapping_add(n),
                    n as u64 / 2 * 40,
                    n % 2 == 1,
                    payload,
                )
            })
            .collect()
    }

    fn counted(packets: &[RtpPacket]) -> Counts {
        let mut receiver = Receiver::default();
        for packet in packets {
            receiver.packet(Kind::Video, VideoCodec::H264, packet);
        }
        receiver.counts(packets.last().map_or(MediaTime(0), |p| p.arrived))
    }

    #[test]
    fn every_picture_counts_when_everything_comes() {
        let counts = counted(&stream(500));
        assert_eq!(
            (counts.pictures, counts.keyframes, counts.lost),
            (500, 1, 0)
        );
        assert_eq!(counts.freezes, 0);
        let longest = (counts.longest_gap, counts.longest_step);
        assert_eq!(
            longest,
            (Duration::from_millis(40), Duration::from_millis(40))
        );
    }

    #[test]
    fn a_hole_ends_the_pictures_until_a_keyframe() {
        let mut packets = stream(60);
        packets[80].payload = Bytes::from_static(SPS);
        packets.remove(41);
        let counts = counted(&packets);
        // Pictures 20 to 39 cannot be shown.
        assert_eq!((counts.pictures, counts.lost), (40, 1));
        assert_eq!(counts.freezes, 1, "20 pictures of 40 ms are a freeze");
        assert_eq!(counts.longest_step, Duration::from_millis(840));
        assert!(counts.longest_gap >= counts.longest_step);
    }

    #[test]
    fn before_the_first_keyframe_nothing_can_be_shown() {
        let packets = stream(60);
        assert_eq!(counted(&packets[2..]).pictures, 0);
        assert_eq!(counted(&packets[1..]).pictures, 0);
    }

    #[test]
    fn padding_has_a_number_but_is_no_picture() {
        let mut packets = stream(10);
        packets[6].payload = Bytes::new();
        assert_eq!(counted(&packets).pictures, 10);
    }

    #[test]
    fn counting_begins_when_told() {
        let mut receiver = Receiver::default();
        let packets = stream(100);
        for packet in &packets[..100] {
            receiver.packet(Kind::Video, VideoCodec::H264, packet);
        }
        receiver.begin(packets[99].arrived);
        for packet in &packets[100..] {
            receiver.packet(Kind::Video, VideoCodec::H264, packet);
        }
        assert_eq!(receiver.counts(packets[199].arrived).pictures, 50);
        assert_eq!(receiver.first_picture(), Some(MediaTime(0)));
    }

    proptest! {
        #[test]
        fn retransmissions_and_reordering_lose_nothing(swaps in prop::collection::vec((0usize..24, 0usize..8, 0usize..8), 0..90)) {
            let mut packets = stream(100);
            for (burst, one, other) in swaps {
                // In any order within a burst; the first picture is there to begin with.
                let burst = 2 + burst * 8;
                packets.swap(burst + one, burst + other);
            }
            let counts = counted(&packets);
            prop_assert_eq!((counts.pictures, counts.lost), (100, 0));
        }
    }
}
