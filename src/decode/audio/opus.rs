//! Opus packets in order become sound, losses included (RFC 6716, RFC 7587).
//!
//! A lost packet is noticed when the next one comes. That one carries a coarse copy of the one
//! before it if the sender uses in-band FEC; what it does not carry libopus conceals. The
//! presence of packets is enough to tell a loss from a pause: in a pause (DTX) timestamps jump,
//! sequence numbers do not.

use opus::{Channels, Decoder, packet};

use crate::media::AUDIO_CLOCK;

/// Longest Opus packet: 120 ms.
const LONGEST: usize = AUDIO_CLOCK as usize * 120 / 1000;
/// More than this lost at once is a hole that nobody fills: concealment has faded out by then.
const RECOVERABLE: usize = AUDIO_CLOCK as usize * 100 / 1000;
/// Packets of at most this many bytes carry no sound: libopus in DTX.
const DTX_BYTES: usize = 2;
/// Opus frames are multiples of 2.5 ms.
const GRAIN: usize = AUDIO_CLOCK as usize / 400;

/// What a stretch of sound is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As it was sent.
    Sent,
    /// Rebuilt from the packet after it, or guessed.
    Recovered,
    /// Background of a pause.
    Pause,
}

/// A stretch of sound, 48 kHz mono.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// RTP time of the first sample.
    pub rtp: u32,
    /// What it is.
    pub kind: Kind,
    /// The samples.
    pub pcm: Vec<i16>,
}

/// Decodes one stream.
#[derive(Debug)]
pub struct Unpacker {
    decoder: Decoder,
    next: Option<Next>,
}

/// What the next packet should be.
#[derive(Debug, Clone, Copy)]
struct Next {
    sequence: u16,
    timestamp: u32,
    /// Samples of the packet before it.
    duration: usize,
    kind: Kind,
}

impl Unpacker {
    /// A decoder at its beginning.
    pub fn new() -> Result<Self, opus::Error> {
        Ok(Self {
            decoder: Decoder::new(AUDIO_CLOCK, Channels::Mono)?,
            next: None,
        })
    }

    /// Decodes a packet and what was lost before it. Packets come in order. What is no Opus at
    /// all counts as lost.
    pub fn packet(&mut self, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        let Some(duration) = duration(payload) else {
            return chunks;
        };
        if let Some(next) = self.next
            && next.sequence != sequence
        {
            self.recover(next, timestamp, payload, &mut chunks);
        }
        let kind = if payload.len() <= DTX_BYTES {
            Kind::Pause
        } else {
            Kind::Sent
        };
        if let Some(pcm) = self.decode(payload, duration, false) {
            chunks.push(Chunk {
                rtp: timestamp,
                kind,
                pcm,
            });
        }
        self.next = Some(Next {
            sequence: sequence.wrapping_add(1),
            timestamp: timestamp.wrapping_add(duration as u32),
            duration,
            kind,
        });
        chunks
    }

    /// Fills the time between what was expected and what came.
    fn recover(&mut self, next: Next, timestamp: u32, payload: &[u8], chunks: &mut Vec<Chunk>) {
        let missing = timestamp.wrapping_sub(next.timestamp) as usize;
        if missing > RECOVERABLE {
            return;
        }
        let kind = match next.kind {
            Kind::Pause => Kind::Pause,
            _ => Kind::Recovered,
        };
        let (mut rtp, mut left) = (next.timestamp, missing - missing % GRAIN);
        while left > 0 {
            let step = left.min(next.duration);
            // Only the packet just before this one is in it.
            let last = left == step;
            let pcm = if last {
                self.decode(payload, step, true)
            } else {
                self.decode(&[], step, false)
            };
            let Some(pcm) = pcm else { return };
            chunks.push(Chunk { rtp, kind, pcm });
            rtp = rtp.wrapping_add(step as u32);
            left -= step;
        }
    }

    fn decode(&mut self, payload: &[u8], samples: usize, fec: bool) -> Option<Vec<i16>> {
        let mut pcm = vec![0; samples];
        let decoded = self.decoder.decode(payload, &mut pcm, fec).ok()?;
        pcm.truncate(decoded);
        Some(pcm)
    }
}

/// Samples in a packet; none where it is no Opus packet.
fn duration(payload: &[u8]) -> Option<usize> {
    let samples = packet::get_nb_samples(payload, AUDIO_CLOCK).ok()?;
    (GRAIN..=LONGEST).contains(&samples).then_some(samples)
}

#[cfg(test)]
mod tests {
    use opus::{Application, Bitrate, Encoder};

    use super::*;

    const FRAME: usize = 960;

    fn encoder(fec: bool) -> Encoder {
        let mut encoder = Encoder::new(AUDIO_CLOCK, Channels::Mono, Application::Voip).unwrap();
        encoder.set_bitrate(Bitrate::Bits(32_000)).unwrap();
        encoder.set_inband_fec(fec).unwrap();
        encoder.set_packet_loss_perc(20).unwrap();
        encoder
    }

    /// Something like a voice: a tone of 200 Hz with overtones, swelling four times a second.
    fn voice(n: usize) -> i16 {
        let t = n as f64 / f64::from(AUDIO_CLOCK);
        let swell = 0.6 + 0.4 * (t * 4.0 * std::f64::consts::TAU).sin();
        let tone: f64 = (1..6)
            .map(|k| (t * 200.0 * f64::from(k) * std::f64::consts::TAU).sin() / f64::from(k))
            .sum();
        (tone * swell * 6_000.0) as i16
    }

    fn encoded(encoder: &mut Encoder, packets: usize) -> Vec<Vec<u8>> {
        (0..packets)
            .map(|packet| {
                let pcm: Vec<i16> = (0..FRAME).map(|n| voice(packet * FRAME + n)).collect();
                encoder.encode_vec(&pcm, 1_275).unwrap()
            })
            .collect()
    }

    fn rms(pcm: &[i16]) -> f64 {
        (pcm.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() / pcm.len() as f64).sqrt()
    }

    fn unpack(packets: &[Vec<u8>], keep: impl Fn(usize) -> bool) -> Vec<Chunk> {
        let mut unpacker = Unpacker::new().unwrap();
        let kept = packets.iter().enumerate().filter(|(n, _)| keep(*n));
        kept.flat_map(|(n, packet)| {
            unpacker.packet(65_530u16.wrapping_add(n as u16), (n * FRAME) as u32, packet)
        })
        .collect()
    }

    #[test]
    fn a_loss_is_filled_without_a_gap_in_time() {
        let packets = encoded(&mut encoder(true), 50);
        let chunks = unpack(&packets, |n| n % 10 != 7 && n != 26);
        let mut rtp = 0;
        for chunk in &chunks {
            assert_eq!(chunk.rtp, rtp);
            rtp += chunk.pcm.len() as u32;
            let lost = matches!(chunk.rtp as usize / FRAME, n if n % 10 == 7 || n == 26);
            assert_eq!(chunk.kind == Kind::Recovered, lost, "{}", chunk.rtp);
        }
        assert_eq!(rtp as usize, 50 * FRAME);
    }

    #[test]
    fn fec_comes_closer_than_concealment() {
        let apart = |fec: bool| -> f64 {
            let packets = encoded(&mut encoder(fec), 100);
            let whole = unpack(&packets, |_| true);
            let holed = unpack(&packets, |n| n % 7 != 6);
            let recovered = holed.iter().filter(|c| c.kind == Kind::Recovered);
            recovered
                .map(|chunk| {
                    let sent = whole.iter().find(|c| c.rtp == chunk.rtp).unwrap();
                    (rms(&sent.pcm) - rms(&chunk.pcm)).abs()
                })
                .sum()
        };
        assert!(
            apart(true) < apart(false) * 0.7,
            "{} {}",
            apart(true),
            apart(false)
        );
    }

    #[test]
    fn a_pause_is_no_loss() {
        let mut encoder = encoder(false);
        encoder.set_dtx(true).unwrap();
        let mut unpacker = Unpacker::new().unwrap();
        let (mut pauses, mut recovered, mut sequence) = (0, 0, 0u16);
        for n in 0..200 {
            let pcm: Vec<i16> = (0..FRAME)
                .map(|k| if n < 50 { voice(n * FRAME + k) } else { 0 })
                .collect();
            let packet = encoder.encode_vec(&pcm, 1_275).unwrap();
            // As WebRTC senders do: in a pause most are not sent at all.
            if packet.len() <= DTX_BYTES && n % 20 != 0 {
                continue;
            }
            let chunks = unpacker.packet(sequence, (n * FRAME) as u32, &packet);
            sequence += 1;
            pauses += chunks.iter().filter(|c| c.kind == Kind::Pause).count();
            recovered += chunks.iter().filter(|c| c.kind == Kind::Recovered).count();
        }
        assert!(pauses >= 3, "{pauses}");
        assert_eq!(recovered, 0);
    }

    #[test]
    fn garbage_is_taken_for_lost() {
        let packets = encoded(&mut encoder(true), 10);
        let mut unpacker = Unpacker::new().unwrap();
        let mut out = 0;
        for (n, packet) in packets.iter().enumerate() {
            let payload: &[u8] = match n {
                3 => &[],
                5 => &[0xff; 7],
                _ => packet,
            };
            let chunks = unpacker.packet(n as u16, (n * FRAME) as u32, payload);
            out += chunks.iter().map(|c| c.pcm.len()).sum::<usize>();
        }
        assert_eq!(out, 10 * FRAME);
        // Nor does anything else bring it down.
        let mut noise = 1u32;
        for n in 0..2_000u32 {
            let payload: Vec<u8> = (0..n % 90)
                .map(|_| {
                    noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (noise >> 24) as u8
                })
                .collect();
            unpacker.packet(n as u16, n.wrapping_mul(noise), &payload);
        }
    }
}
