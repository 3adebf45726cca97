//! One stream's way out: a sum, limited and encoded.

use bytes::Bytes;

use crate::encode::audio::{Encoder, Error};
use crate::media::AUDIO_FRAME;
use crate::mix::audio::limit::Limiter;
use crate::mix::audio::sum::Mixer;
use crate::mix::audio::taste::Taste;
use crate::stats::Stats;

/// Silent packets encoded before the last one is repeated instead: 200 ms are ten times what the
/// codec's own history spans, so one more silent packet is like the other.
const SILENCES: u32 = 10;

/// A limiter and an encoder.
#[derive(Debug)]
pub struct Bus {
    limiter: Limiter,
    encoder: Encoder,
    /// What was encoded last.
    last: [i16; AUDIO_FRAME],
    /// Silent packets since the last sound.
    silences: u32,
    /// The last one of them.
    silence: Bytes,
}

impl Bus {
    /// A bus of its own.
    pub fn start(stats: &Stats) -> Result<Self, Error> {
        Ok(Self {
            limiter: Limiter::default(),
            encoder: Encoder::start(stats)?,
            last: [0; AUDIO_FRAME],
            silences: 0,
            silence: Bytes::new(),
        })
    }

    /// A second bus that goes on from here for listeners who heard this one so far.
    pub fn fork(&self, stats: &Stats) -> Result<Self, Error> {
        Ok(Self {
            limiter: self.limiter.clone(),
            encoder: Encoder::start_after(&self.last, stats)?,
            last: self.last,
            silences: 0,
            silence: Bytes::new(),
        })
    }

    /// The Opus packet of this tick: the mixer's sum to this taste.
    pub fn packet(&mut self, mixer: &Mixer, taste: &Taste) -> Result<Bytes, Error> {
        let mut sum = [0.0; AUDIO_FRAME];
        let sounds = mixer.to_taste(taste, &mut sum);
        if sounds || !self.limiter.is_empty() {
            self.silences = 0;
        } else if self.silences >= SILENCES {
            // A decoder that is given the packet of a silence again plays silence again.
            return Ok(self.silence.clone());
        } else {
            self.silences += 1;
        }
        self.limiter.run(&sum, &mut self.last);
        let packet = self.encoder.encode(&self.last)?;
        if self.silences == SILENCES {
            self.silence = packet.clone();
        }
        Ok(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::audio::Pulled;
    use crate::id::ParticipantId;
    use crate::media::AUDIO_CLOCK;
    use crate::mix::audio::probe::{amplitude, decibels, largest_step, to_f32, tone};

    /// What a listener hears of two sources, of which the second is the listener.
    struct Listener {
        mixer: Mixer,
        bus: Bus,
        decoder: opus::Decoder,
    }

    impl Listener {
        fn new() -> Self {
            let mut mixer = Mixer::default();
            mixer.arrange([(ParticipantId(0), false), (ParticipantId(1), false)]);
            let decoder = opus::Decoder::new(AUDIO_CLOCK, opus::Channels::Mono);
            Self {
                mixer,
                bus: Bus::start(&Stats::default()).expect("libopus starts"),
                decoder: decoder.expect("libopus starts"),
            }
        }

        /// The packet of a tick in which the other source plays 440 Hz or nothing; the listener
        /// plays 700 Hz throughout.
        fn tick(&mut self, tick: usize, other: bool) -> (Bytes, [i16; AUDIO_FRAME]) {
            self.mixer.tick(|source, samples| match source {
                0 if !other => Pulled::Nothing,
                _ => {
                    *samples = tone([440.0, 700.0][source], 0.1, tick);
                    Pulled::Speech
                }
            });
            let own = Some(ParticipantId(1));
            let packet = self.bus.packet(&self.mixer, &own.into()).expect("encodes");
            let mut samples = [0; AUDIO_FRAME];
            let decoded = self.decoder.decode(&packet, &mut samples, false);
            assert_eq!(decoded.expect("decodes"), AUDIO_FRAME);
            (packet, samples)
        }
    }

    #[test]
    fn ones_own_tone_is_not_in_the_packets() {
        let mut listener = Listener::new();
        let heard: Vec<i16> = (0..100).flat_map(|t| listener.tick(t, true).1).collect();
        let second = to_f32(&heard[50 * AUDIO_FRAME..]);
        let other = decibels(amplitude(&second, 440.0));
        let own = decibels(amplitude(&second, 700.0));
        assert!((other + 20.0).abs() < 4.0, "{other} dBFS");
        assert!(own < other - 40.0, "own {own}, other {other} dBFS");
    }

    #[test]
    fn silence_goes_on_without_an_encoder_and_sound_returns_without_a_click() {
        let [spared, encoded] = [true, false].map(|spare| {
            let mut listener = Listener::new();
            let mut repeated = 0;
            let mut last = Bytes::new();
            let mut heard = Vec::new();
            for tick in 0..200 {
                if !spare {
                    listener.bus.silences = 0;
                }
                let (packet, samples) = listener.tick(tick, !(50..150).contains(&tick));
                // The very same memory: nothing was encoded.
                repeated += usize::from(packet.as_ptr() == last.as_ptr());
                last = packet;
                heard.extend(to_f32(&samples));
            }
            assert_eq!(repeated > 80, spare, "{repeated}");
            heard
        });
        let silence = &spared[55 * AUDIO_FRAME..150 * AUDIO_FRAME];
        let loudest = silence.iter().fold(0f32, |l, s| l.max(s.abs()));
        assert!(loudest < 0.0005, "{loudest} in silence");
        // Sound returns as smoothly as if all the silence had been encoded, and as loud.
        let [step, usual] = [&spared, &encoded].map(|h| largest_step(&h[150 * AUDIO_FRAME..]));
        assert!(step < usual * 1.1, "{step} against {usual}");
        let back = decibels(amplitude(&spared[160 * AUDIO_FRAME..], 440.0));
        assert!((back + 20.0).abs() < 4.0, "{back} dBFS");
    }
}
