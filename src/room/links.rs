//! How good everybody's connection is, as the others see it: by what arrives of what somebody
//! sends, and by what they say arrives of what they are sent. Pure.

use std::collections::BTreeMap;

use crate::clock::MediaTime;
use crate::id::ParticipantId;
use crate::media::{AUDIO_CLOCK, Kind, RtpPacket};
use crate::signalling::LinkQuality;

/// So many looks in a row, one a second, must agree before a connection counts as worse ...
const WORSE_AFTER: u32 = 2;
/// ... or as better: marks that come and go tell nobody anything.
const BETTER_AFTER: u32 = 5;
/// Fewer packets between two looks prove nothing: sound alone has 50.
const FEW: u32 = 10;

/// What was seen of a connection since the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reception {
    /// Lost for good, either way, the worst of all streams; 0 to 1.
    pub lost: f32,
    /// By how much the distances of packets of sound vary, seconds (RFC 3550 section 6.4.1).
    pub jitter: f32,
    /// Nothing comes any more.
    pub gone: bool,
}

impl Reception {
    /// Sound is repaired up to some percent, and is waited for up to a tenth of a second.
    fn quality(&self) -> LinkQuality {
        match self {
            _ if self.gone || self.lost > 0.12 || self.jitter > 0.15 => LinkQuality::Poor,
            _ if self.lost > 0.03 || self.jitter > 0.06 => LinkQuality::Fair,
            _ => LinkQuality::Good,
        }
    }
}

/// Counts the packets of one participant, and remembers what they reported.
#[derive(Debug, Default)]
pub struct Meter {
    audio: Stream,
    video: Stream,
    jitter: Jitter,
    reported: f32,
}

#[derive(Debug, Default)]
struct Stream {
    ssrc: u32,
    /// The highest sequence number, and the one at the last look.
    newest: Option<(u16, u16)>,
    arrived: u32,
}

#[derive(Debug, Default)]
struct Jitter {
    /// When the last packet came, and its timestamp.
    last: Option<(MediaTime, u32)>,
    seconds: f32,
}

impl Meter {
    /// A packet came.
    pub fn packet(&mut self, kind: Kind, packet: &RtpPacket) {
        match kind {
            Kind::Audio => {
                self.audio.packet(packet);
                self.jitter.packet(packet.arrived, packet.timestamp);
            }
            Kind::Video => self.video.packet(packet),
        }
    }

    /// They say that this part of what they are sent did not arrive; 0 to 1.
    pub fn reported(&mut self, lost: f32) {
        self.reported = self.reported.max(lost);
    }

    /// What was seen since the last call.
    pub fn take(&mut self) -> Reception {
        let lost = self.audio.take().max(self.video.take());
        Reception {
            lost: lost.max(std::mem::take(&mut self.reported)),
            jitter: self.jitter.seconds,
            gone: false,
        }
    }
}

impl Stream {
    fn packet(&mut self, packet: &RtpPacket) {
        if self.ssrc != packet.ssrc {
            *self = Self {
                ssrc: packet.ssrc,
                ..Self::default()
            };
        }
        let (newest, looked) = self.newest.get_or_insert((
            packet.sequence.wrapping_sub(1),
            packet.sequence.wrapping_sub(1),
        ));
        let ahead = packet.sequence.wrapping_sub(*newest);
        if ahead < 0x8000 {
            *newest = packet.sequence;
            // After a gap too large to be loss, counting begins anew.
            if ahead > 1000 {
                *looked = packet.sequence.wrapping_sub(1);
                self.arrived = 0;
            }
        }
        self.arrived += 1;
    }

    fn take(&mut self) -> f32 {
        let arrived = std::mem::take(&mut self.arrived);
        let Some((newest, looked)) = &mut self.newest else {
            return 0.0;
        };
        let expected = u32::from(newest.wrapping_sub(*looked));
        *looked = *newest;
        match expected < FEW {
            true => 0.0,
            // Some of the seconds before come late.
            false => expected.saturating_sub(arrived) as f32 / expected as f32,
        }
    }
}

impl Jitter {
    fn packet(&mut self, arrived: MediaTime, timestamp: u32) {
        if let Some((before, then)) = self.last.replace((arrived, timestamp)) {
            let took = (arrived.0 as f64 - before.0 as f64) / 1e9;
            let meant = f64::from(timestamp.wrapping_sub(then) as i32) / f64::from(AUDIO_CLOCK);
            let apart = (took - meant).abs().min(1.0) as f32;
            self.seconds += (apart - self.seconds) / 16.0;
        }
    }
}

/// The connections of a room.
#[derive(Debug, Default)]
pub struct Links {
    all: BTreeMap<ParticipantId, Judged>,
}

#[derive(Debug)]
struct Judged {
    quality: LinkQuality,
    /// What the last looks saw instead, and how many of them did.
    other: (LinkQuality, u32),
}

impl Links {
    /// A look at everybody. Whether something is to be told.
    pub fn look(&mut self, seen: &[(ParticipantId, Reception)]) -> bool {
        let before = self.told();
        self.all
            .retain(|id, _| seen.iter().any(|(other, _)| other == id));
        for (id, reception) in seen {
            let judged = self.all.entry(*id).or_insert(Judged {
                quality: LinkQuality::Good,
                other: (LinkQuality::Good, 0),
            });
            judged.see(reception.quality());
        }
        self.told() != before
    }

    /// Those whose connection is not good.
    pub fn told(&self) -> BTreeMap<ParticipantId, LinkQuality> {
        let all = self.all.iter().map(|(id, judged)| (*id, judged.quality));
        all.filter(|(_, quality)| *quality != LinkQuality::Good)
            .collect()
    }
}

impl Judged {
    fn see(&mut self, seen: LinkQuality) {
        if seen == self.quality {
            self.other.1 = 0;
            return;
        }
        let worse = seen > self.quality;
        let goes_on = self.other.1 > 0 && (self.other.0 > self.quality) == worse;
        // Of several steps in one direction the smallest is sure.
        let sure = match (goes_on, worse) {
            (false, _) => seen,
            (true, true) => seen.min(self.other.0),
            (true, false) => seen.max(self.other.0),
        };
        self.other = (sure, if goes_on { self.other.1 + 1 } else { 1 });
        if self.other.1 >= if worse { WORSE_AFTER } else { BETTER_AFTER } {
            *self = Self {
                quality: sure,
                other: (sure, 0),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: ParticipantId = ParticipantId(1);

    /// The `n`th packet of sound, so late.
    fn packet(n: u64, late_ms: u64) -> RtpPacket {
        RtpPacket {
            payload_type: 111,
            marker: false,
            sequence: (65_500 + n) as u16,
            timestamp: n as u32 * 960,
            ssrc: 1,
            payload: bytes::Bytes::from_static(b"x"),
            arrived: MediaTime((n * 20 + late_ms) * 1_000_000),
            level: None,
            rotation: None,
        }
    }

    #[test]
    fn loss_and_jitter_are_measured_across_the_wrap() {
        let mut meter = Meter::default();
        (0..50).for_each(|n| meter.packet(Kind::Audio, &packet(n, 0)));
        assert_eq!(meter.take(), Reception::default());
        let kept = (50..100).filter(|n| n % 10 != 0);
        kept.for_each(|n| meter.packet(Kind::Audio, &packet(n, 0)));
        let seen = meter.take();
        assert!((seen.lost - 0.1).abs() < 0.03, "{seen:?}");
        assert!(seen.jitter < 0.001, "a gap is no jitter: {seen:?}");
        (100..150).for_each(|n| meter.packet(Kind::Audio, &packet(n, n % 2 * 80)));
        let seen = meter.take();
        assert!(
            seen.lost < 0.01 && (0.06..0.09).contains(&seen.jitter),
            "{seen:?}"
        );
        meter.reported(0.2);
        assert_eq!(meter.take().lost, 0.2);
        assert_eq!(meter.take().lost, 0.0, "nothing came, which may be meant");
    }

    #[test]
    fn marks_need_proof_and_more_of_it_to_go() {
        let mut links = Links::default();
        let lost = |lost| {
            let reception = Reception {
                lost,
                ..Reception::default()
            };
            [(ANN, reception)]
        };
        assert!(!links.look(&lost(0.0)));
        assert!(!links.look(&lost(0.05)), "once is nothing");
        assert!(links.look(&lost(0.2)));
        assert_eq!(links.told(), BTreeMap::from([(ANN, LinkQuality::Fair)]));
        assert!(!links.look(&lost(0.2)));
        assert!(links.look(&lost(0.2)));
        assert_eq!(links.told(), BTreeMap::from([(ANN, LinkQuality::Poor)]));
        let changes: Vec<_> = (0..12)
            .map(|n| links.look(&lost(if n == 3 { 0.2 } else { 0.0 })))
            .collect();
        let at: Vec<_> = (0..12).filter(|n| changes[*n]).collect();
        assert_eq!(at, [8], "one bad second in between starts it over");
        assert!(links.told().is_empty());
        links.look(&lost(0.2));
        links.look(&lost(0.2));
        assert!(links.look(&[]), "who left has no mark");
    }
}
