//! Opus (RFC 6716) for one mix: 20 ms of mono at a time, through libopus itself. Its GStreamer
//! element gives the same packets for 1.6 times the CPU time (a thread and a queue for each mix).

use bytes::Bytes;

use crate::media::{AUDIO_CLOCK, AUDIO_FRAME, Kind};
use crate::stats::{Counted, Stats, process_cpu_seconds};

/// Bits a second: Opus speech is transparent for most ears from here on, in-band FEC included.
pub const BITRATE: i32 = 32_000;
/// Effort, 0 to 10. Measured for 20 ms of music and speech-like noise with FEC: 3 takes .14-.18 ms,
/// 5 .18-.22, 9 .26-.32; without FEC .05 less. Few hear a difference at this bit rate.
const COMPLEXITY: i32 = 5;
/// Loss the encoder prepares for, percent: this much makes it spend bits on in-band FEC, which a
/// receiver uses whenever a packet is lost and the next one is there.
const EXPECTED_LOSS: i32 = 10;
/// Largest packet, bytes: eight times the average, so the rate control is never cut short.
const LARGEST_PACKET: usize = 640;

/// The encoder of one mix.
///
/// DTX stays off: a receiver sees a packet every 20 ms, so that its player runs, its jitter
/// buffer has something to measure and a pause can be told from loss.
#[derive(Debug)]
pub struct Encoder {
    opus: opus::Encoder,
    packet: [u8; LARGEST_PACKET],
    /// The next packet must not rely on what a decoder has heard.
    joins: bool,
    _counted: Counted,
}

/// What went wrong in libopus.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No encoder could be made.
    #[error("starting an Opus encoder: {0}")]
    Start(#[source] opus::Error),
    /// These samples were refused.
    #[error("encoding Opus: {0}")]
    Encode(#[source] opus::Error),
}

impl Encoder {
    /// A new encoder, counted in `quilt_encoders{kind="audio"}` while it lives.
    pub fn start(stats: &Stats) -> Result<Self, Error> {
        let opus = configured().map_err(Error::Start)?;
        Ok(Self {
            opus,
            packet: [0; LARGEST_PACKET],
            joins: false,
            _counted: Counted::new(stats.encoders(Kind::Audio)),
        })
    }

    /// A new encoder that goes on where another one stopped after `before`, for listeners who
    /// heard that one: its look-ahead is filled, and its first packet is coded without
    /// prediction. A decoder gets across with no more error than the codec makes anyway.
    pub fn start_after(before: &[i16; AUDIO_FRAME], stats: &Stats) -> Result<Self, Error> {
        let mut encoder = Self::start(stats)?;
        encoder.encode(before)?;
        encoder.joins = true;
        Ok(encoder)
    }

    /// Encodes 20 ms.
    pub fn encode(&mut self, samples: &[i16; AUDIO_FRAME]) -> Result<Bytes, Error> {
        self.code(samples)
            .map(|length| Bytes::copy_from_slice(&self.packet[..length]))
            .map_err(Error::Encode)
    }

    fn code(&mut self, samples: &[i16; AUDIO_FRAME]) -> Result<usize, opus::Error> {
        if !std::mem::take(&mut self.joins) {
            return self.opus.encode(samples, &mut self.packet);
        }
        self.opus.set_prediction_disabled(true)?;
        let length = self.opus.encode(samples, &mut self.packet)?;
        self.opus.set_prediction_disabled(false)?;
        Ok(length)
    }
}

/// libopus with the settings above, for this and for measuring what it costs alone.
pub(crate) fn configured() -> Result<opus::Encoder, opus::Error> {
    let channels = opus::Channels::Mono;
    let mut encoder = opus::Encoder::new(AUDIO_CLOCK, channels, opus::Application::Voip)?;
    encoder.set_bitrate(opus::Bitrate::Bits(BITRATE))?;
    encoder.set_complexity(COMPLEXITY)?;
    encoder.set_inband_fec(true)?;
    encoder.set_packet_loss_perc(EXPECTED_LOSS)?;
    encoder.set_dtx(false)?;
    Ok(encoder)
}

/// CPU seconds that encoding a second of noise takes. On a machine that does other things at the
/// same time it may be any number.
///
/// # Errors
/// If libopus gives up.
pub fn measure() -> Result<f64, Error> {
    let mut encoder = configured().map_err(Error::Start)?;
    let (mut packet, mut noise) = ([0; LARGEST_PACKET], 1_u32);
    let before = process_cpu_seconds();
    for _ in 0..AUDIO_CLOCK as usize / AUDIO_FRAME {
        let samples: [i16; AUDIO_FRAME] = std::array::from_fn(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 19) as i16
        });
        encoder
            .encode(&samples, &mut packet)
            .map_err(Error::Encode)?;
    }
    Ok(process_cpu_seconds() - before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(tick: usize) -> [i16; AUDIO_FRAME] {
        std::array::from_fn(|n| {
            let at = (tick * AUDIO_FRAME + n) as f32 / AUDIO_CLOCK as f32;
            ((at * 440.0 * std::f32::consts::TAU).sin() * 8_000.0) as i16
        })
    }

    #[test]
    fn packets_are_20_ms_of_mono_at_the_bit_rate() {
        let mut encoder = Encoder::start(&Stats::default()).expect("libopus starts");
        let mut bytes = 0;
        for tick in 0..100 {
            let packet = encoder.encode(&tone(tick)).expect("encodes");
            let samples = opus::packet::get_nb_samples(&packet, AUDIO_CLOCK);
            assert_eq!(samples.expect("a valid packet"), AUDIO_FRAME);
            let channels = opus::packet::get_nb_channels(&packet);
            assert_eq!(channels.expect("a valid packet"), opus::Channels::Mono);
            bytes += packet.len();
        }
        let rate = bytes * 8 / 2;
        assert!((20_000..45_000).contains(&rate), "{rate} bit/s");
    }

    #[test]
    fn silence_is_sent_too() {
        let mut encoder = Encoder::start(&Stats::default()).expect("libopus starts");
        for _ in 0..100 {
            let packet = encoder.encode(&[0; AUDIO_FRAME]).expect("encodes");
            // A DTX packet would be its first byte only.
            assert!(packet.len() > 2, "{} bytes", packet.len());
        }
    }

    #[test]
    fn a_lost_packet_is_in_the_next_one() {
        // Speech-like: voiced bursts, which make the encoder choose its speech mode.
        let voice = |tick: usize| {
            let samples = tone(tick);
            if tick % 12 < 9 {
                samples
            } else {
                samples.map(|s| s / 50)
            }
        };
        let mut encoder = Encoder::start(&Stats::default()).expect("libopus starts");
        let mut decoder =
            opus::Decoder::new(AUDIO_CLOCK, opus::Channels::Mono).expect("libopus starts");
        let packets: Vec<_> = (0..30)
            .map(|tick| encoder.encode(&voice(tick)).expect("encodes"))
            .collect();
        let mut samples = [0; AUDIO_FRAME];
        for packet in &packets[..20] {
            decoder
                .decode(packet, &mut samples, false)
                .expect("decodes");
        }
        // Packet 20 is lost: what it held comes from packet 21, close to what it was.
        decoder
            .decode(&packets[21], &mut samples, true)
            .expect("has FEC");
        let energy = |s: &[i16]| s.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
        let ratio = energy(&samples) / energy(&voice(20));
        assert!((0.3..3.0).contains(&ratio), "{ratio}");
    }

    #[test]
    fn it_is_counted_while_it_lives() {
        let stats = Stats::default();
        let encoder = Encoder::start(&stats).expect("libopus starts");
        assert_eq!(stats.encoders(Kind::Audio).get(), 1);
        drop(encoder);
        assert_eq!(stats.encoders(Kind::Audio).get(), 0);
    }
}
