//! What generated sources say: Opus packets made beforehand, sent in a loop.

use std::f64::consts::TAU;

use bytes::Bytes;
use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::media::{AUDIO_CLOCK, AUDIO_FRAME, AudioLevel};

/// One beep a second; it starts with the packet.
pub const PACKETS_PER_BEEP: u64 = 50;
/// Sources with a beep of their own; those beyond are quiet, because two sources with the same
/// tone could not be told apart in a mix.
pub const BEEPING_SOURCES: u8 = 40;

/// Length of a beep: long enough for a detector with a window of 10 ms, and three packets.
const BEEP_SAMPLES: usize = 3 * AUDIO_FRAME;
/// Rise and fall of a beep, samples: 2 ms, so that the onset is sharp but does not click.
const EDGE_SAMPLES: usize = 96;
/// Peak of a beep, of 32,768: -16 dBFS, near the loudness of a voice.
const BEEP_PEAK: f64 = 5_200.0;
/// Peak of the noise in between: -50 dBFS, a quiet room; not so quiet that an encoder would stop.
const NOISE_PEAK: i16 = 100;
/// What a browser uses for speech.
const BITRATE: i32 = 32_000;

/// Packets of 20 ms, to be sent over and over.
#[derive(Debug, Clone)]
pub struct Track {
    /// In order.
    pub packets: Vec<Packet>,
}

/// 20 ms of Opus.
#[derive(Debug, Clone)]
pub struct Packet {
    /// Opus (RFC 6716), one frame.
    pub payload: Bytes,
    /// For the RFC 6464 header extension, measured on what was encoded.
    pub level: AudioLevel,
}

/// The pitch of a source's beep, Hz: all are multiples of 100, so that a window of 10 ms tells
/// them apart. `None` from [`BEEPING_SOURCES`] on.
pub fn pitch(source: u8) -> Option<u32> {
    (source < BEEPING_SOURCES).then(|| 500 + 100 * source as u32)
}

/// A second of soft noise that starts with the source's beep. The beep is encoded early by the
/// encoder's look-ahead, so that a decoder yields its onset with the first sample of packet 0.
pub fn beeps(source: u8) -> Result<Track, opus::Error> {
    let mut rng = SmallRng::seed_from_u64(source as u64);
    let length = PACKETS_PER_BEEP as usize * AUDIO_FRAME;
    let mut pcm: Vec<i16> = (0..length)
        .map(|_| rng.random_range(-NOISE_PEAK..=NOISE_PEAK))
        .collect();
    if let Some(pitch) = pitch(source) {
        let lookahead = encoder()?.get_lookahead()? as usize;
        for n in 0..BEEP_SAMPLES {
            let edge = n.min(BEEP_SAMPLES - n).min(EDGE_SAMPLES) as f64 / EDGE_SAMPLES as f64;
            let phase = TAU * pitch as f64 * n as f64 / AUDIO_CLOCK as f64;
            let at = (length + n - lookahead) % length;
            pcm[at] = (edge * BEEP_PEAK * phase.sin()) as i16;
        }
    }
    encode(&pcm)
}

/// Encodes samples (a whole number of 20 ms) that will be repeated without a seam: the loop goes
/// through the encoder twice and the second pass is kept, so its state at the seam is right.
pub fn encode(pcm: &[i16]) -> Result<Track, opus::Error> {
    let mut encoder = encoder()?;
    let mut packets = Vec::with_capacity(pcm.len() / AUDIO_FRAME);
    for pass in 0..2 {
        for frame in pcm.chunks_exact(AUDIO_FRAME) {
            let mut payload = [0; 1275];
            let length = encoder.encode(frame, &mut payload)?;
            if pass == 1 {
                packets.push(Packet {
                    payload: Bytes::copy_from_slice(&payload[..length]),
                    level: level(frame),
                });
            }
        }
    }
    Ok(Track { packets })
}

fn encoder() -> Result<opus::Encoder, opus::Error> {
    let mut encoder = opus::Encoder::new(
        AUDIO_CLOCK,
        opus::Channels::Mono,
        // Not Voip: that filters tones for the sake of speech.
        opus::Application::Audio,
    )?;
    encoder.set_bitrate(opus::Bitrate::Bits(BITRATE))?;
    encoder.set_inband_fec(true)?;
    Ok(encoder)
}

fn level(frame: &[i16]) -> AudioLevel {
    let power: f64 = frame.iter().map(|&s| (s as f64 / 32_768.0).powi(2)).sum();
    let dbov = 10.0 * (power / frame.len() as f64).max(1e-13).log10();
    let level = (-dbov).clamp(0.0, 127.0) as u8;
    AudioLevel {
        level,
        // A quiet room has about 50, a voice 15 to 35.
        voice: level < 45,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(track: &Track, times: usize) -> Vec<i16> {
        let mut decoder = opus::Decoder::new(AUDIO_CLOCK, opus::Channels::Mono).unwrap();
        let mut all = vec![];
        for packet in track.packets.iter().cycle().take(times) {
            let mut frame = [0; AUDIO_FRAME];
            decoder.decode(&packet.payload, &mut frame, false).unwrap();
            all.extend_from_slice(&frame);
        }
        all
    }

    #[test]
    fn a_beep_is_loud_in_its_packets_and_nowhere_else() {
        let track = beeps(3).unwrap();
        assert_eq!(track.packets.len() as u64, PACKETS_PER_BEEP);
        let voiced: Vec<bool> = track.packets.iter().map(|p| p.level.voice).collect();
        assert_eq!(voiced[..3], [true; 3]);
        // The last packet holds the look-ahead's worth of the next beep.
        assert!(!voiced[3..49].contains(&true));
    }

    #[test]
    fn the_onset_leaves_the_decoder_with_the_first_sample() {
        let pcm = decoded(&beeps(0).unwrap(), 150);
        let second = &pcm[50 * AUDIO_FRAME..];
        let early = second[AUDIO_FRAME * 49..AUDIO_FRAME * 50 - 96].iter();
        let before = early.map(|s| s.abs()).max().unwrap();
        let beep = second[AUDIO_FRAME * 50..][..480].iter();
        let after = beep.map(|s| s.abs()).max().unwrap();
        assert!(
            after > 4_000 && before < after / 4,
            "{before} before, {after} after"
        );
    }

    #[test]
    fn sources_beyond_the_tones_are_quiet() {
        assert_eq!(pitch(39), Some(4_400));
        assert_eq!(pitch(40), None);
        assert!(!beeps(40).unwrap().packets.iter().any(|p| p.level.voice));
    }
}
