//! Keeps the sum of many voices below full scale without wrapping and without clipping.
//!
//! A gain, not a waveshaper: it looks 1 ms ahead, is down before a peak arrives and comes back
//! slowly, so that loud passages get quieter instead of rough. Below -3 dBFS nothing is changed.

use crate::media::AUDIO_FRAME;

/// Samples over which the gain moves, and by which output is delayed: 1 ms. Shorter would be
/// heard as distortion, longer as delay.
pub const LOOK_AHEAD: usize = 48;
/// Peaks up to here pass unchanged: -3 dBFS.
const KNEE: f32 = 0.707_945_8;
/// What no peak exceeds: -0.3 dBFS leaves room for the codec's own ripple.
const CEILING: f32 = 0.966;
/// Share of the missing gain that comes back each millisecond (150 ms time constant).
const RECOVERY: f32 = 0.006_644;
/// A gain this close to 1 is 1.
const WHOLE: f32 = 0.9999;

/// The limiter of one mix.
#[derive(Debug, Clone)]
pub struct Limiter {
    /// Input that has not gone out yet.
    held: [f32; LOOK_AHEAD],
    /// The largest of it.
    held_peak: f32,
    /// What the last sample that went out was multiplied with.
    gain: f32,
}

impl Default for Limiter {
    fn default() -> Self {
        Self {
            held: [0.0; LOOK_AHEAD],
            held_peak: 0.0,
            gain: 1.0,
        }
    }
}

impl Limiter {
    /// Takes 20 ms of a sum (full scale = 1, may exceed it many times) and gives 20 ms of 16-bit
    /// samples, [`LOOK_AHEAD`] samples late.
    pub fn run(&mut self, input: &[f32; AUDIO_FRAME], out: &mut [i16; AUDIO_FRAME]) {
        let (blocks, _) = input.as_chunks::<LOOK_AHEAD>();
        let (outputs, _) = out.as_chunks_mut::<LOOK_AHEAD>();
        for (block, out) in blocks.iter().zip(outputs) {
            let peak = block.iter().fold(0f32, |peak, s| peak.max(s.abs()));
            // Bounded by what the block going out allows and by what the next one will.
            let allowed = gain_for(self.held_peak).min(gain_for(peak));
            let mut recovered = self.gain + (1.0 - self.gain) * RECOVERY;
            if recovered > WHOLE {
                recovered = 1.0;
            }
            let gain = allowed.min(recovered);
            glide(&self.held, self.gain, gain, out);
            self.held = *block;
            self.held_peak = peak;
            self.gain = gain;
        }
    }

    /// Whether nothing is held back, so that silence in is silence out.
    pub fn is_empty(&self) -> bool {
        self.held_peak == 0.0
    }
}

/// The gain that brings a peak under the ceiling: a soft knee, 1 up to [`KNEE`].
fn gain_for(peak: f32) -> f32 {
    if peak <= KNEE {
        return 1.0;
    }
    let room = CEILING - KNEE;
    (KNEE + room * (1.0 - (-(peak - KNEE) / room).exp())) / peak
}

fn glide(input: &[f32; LOOK_AHEAD], from: f32, to: f32, out: &mut [i16; LOOK_AHEAD]) {
    let step = (to - from) / LOOK_AHEAD as f32;
    for (n, (sample, out)) in input.iter().zip(out).enumerate() {
        let gain = from + step * (n + 1) as f32;
        // Rounds to nearest by truncating a positive number: `round` is a library call for each
        // sample where SSE 4.1 cannot be assumed.
        *out = ((sample * gain * 32_768.0 + 32_768.5) as i32 - 32_768) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::audio::probe::{SECOND, amplitude, decibels, largest_step, sine, to_f32};

    fn limit(input: &[f32]) -> Vec<f32> {
        let mut limiter = Limiter::default();
        let mut out = Vec::new();
        let (blocks, _) = input.as_chunks::<AUDIO_FRAME>();
        for block in blocks {
            let mut samples = [0; AUDIO_FRAME];
            limiter.run(block, &mut samples);
            out.extend(to_f32(&samples));
        }
        out
    }

    #[test]
    fn below_the_knee_every_sample_is_the_same() {
        // All 16-bit values up to -3 dBFS, both signs, then some of them twice.
        let values = (-23_197..=23_197)
            .chain(-1_000..1_000)
            .map(|v| v as f32 / 32_768.0);
        let mut input: Vec<f32> = values.collect();
        input.resize(input.len().next_multiple_of(AUDIO_FRAME), 0.0);
        let out = limit(&input);
        assert_eq!(out[LOOK_AHEAD..], input[..input.len() - LOOK_AHEAD]);
    }

    #[test]
    fn nine_voices_at_full_scale_neither_wrap_nor_clip() {
        let pitches: [f32; 9] = [110., 147., 196., 262., 349., 466., 622., 831., 1109.];
        let mut input = vec![0f32; 2 * SECOND];
        let mut voice = vec![0f32; input.len()];
        for hertz in pitches {
            // All begin at a peak of their sum: nothing may be lost to the attack.
            sine(hertz, 1.0, 0, &mut voice);
            input.iter_mut().zip(&voice).for_each(|(sum, v)| *sum += v);
        }
        let out = limit(&input);
        let peak = out.iter().fold(0f32, |p, s| p.max(s.abs()));
        assert!(peak <= CEILING + 1e-4, "{peak}");
        assert!(peak > 0.8, "{peak}: the gain is not lower than needed");
        // Clipping would hold a value, wrapping would jump from end to end.
        let held = out
            .windows(4)
            .filter(|w| w[0].abs() > 0.5 && w.iter().all(|s| s == &w[0]));
        assert_eq!(held.count(), 0);
        assert!(largest_step(&out) < 0.5);
        // Every voice is still there, as loud as its neighbours within 3 dB.
        let second = &out[SECOND..];
        let levels = pitches.map(|p| decibels(amplitude(second, f64::from(p))));
        let (low, high) = levels
            .iter()
            .fold((f64::MAX, f64::MIN), |(l, h), d| (l.min(*d), h.max(*d)));
        assert!(high - low < 3.0, "{levels:?}");
    }

    #[test]
    fn a_sudden_peak_of_nine_full_scales_stays_below_the_ceiling() {
        let mut input = vec![0.0; SECOND];
        sine(440.0, 0.05, 0, &mut input);
        for n in [0, 47, 48, 959, 960, 20_000, 20_030, 47_000] {
            input[n] = 9.0;
            input[n + 1] = -9.0;
        }
        let peak = limit(&input).iter().fold(0f32, |p, s| p.max(s.abs()));
        assert!(peak <= CEILING + 1e-4, "{peak}");
    }

    #[test]
    fn a_limited_tone_is_still_a_tone() {
        let mut input = vec![0.0; 2 * SECOND];
        sine(440.0, 3.0, 0, &mut input);
        let out = limit(&input);
        let second = &out[SECOND..];
        let tone = amplitude(second, 440.0);
        assert!(decibels(tone) > -1.5, "{tone}");
        for harmonic in [2.0, 3.0, 5.0] {
            let below = decibels(amplitude(second, 440.0 * harmonic) / tone);
            assert!(below < -40.0, "harmonic {harmonic}: {below} dB");
        }
    }

    #[test]
    fn after_a_shout_the_gain_returns() {
        let mut input = vec![0.0; 3 * SECOND];
        sine(440.0, 0.1, 0, &mut input);
        sine(440.0, 4.0, 0, &mut input[..SECOND]);
        let out = limit(&input);
        let last = amplitude(&out[2 * SECOND..], 440.0);
        assert!((last - 0.1).abs() < 0.001, "{last}");
        // In the end to the last bit: not nearly 1, but 1.
        let end = 3 * SECOND - AUDIO_FRAME;
        for (out, input) in out[end..].iter().zip(&input[end - LOOK_AHEAD..]) {
            assert!((out - input).abs() <= 0.502 / 32_768.0, "{out} for {input}");
        }
    }
}
