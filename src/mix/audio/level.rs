//! Brings every talker to the same loudness: a slow gain for each source, frozen outside speech.
//!
//! Loudness is K-weighted (ITU-R BS.1770), taken over the last 1.5 s *of speech*: pauses neither
//! lower it nor let the gain creep up. Large errors are corrected within a second or two of
//! speech, small ones so slowly that nobody hears it.

use crate::media::AUDIO_FRAME;

/// Where every talker should arrive, LUFS: the loudness of EBU R 128, which leaves 20 dB for
/// peaks and several talkers at once.
const TARGET: f32 = -23.0;
/// Largest correction either way, dB: more would lift the noise behind a distant talker.
const MAX_GAIN: f32 = 15.0;
/// Blocks of speech that loudness is taken over: 1.5 s hold several words.
const MEMORY: usize = 75;
/// Errors from here on, dB, are corrected at full speed: the talker is new or has moved. Below,
/// the speed falls with the square of the error: the wandering of speech itself is not followed.
const LARGE: f32 = 3.0;
/// Share of a large error that is corrected in one block (0.4 s time constant).
const FAST: f32 = 0.05;
/// Share of any error that is corrected in one block (10 s time constant).
const SLOW: f32 = 0.002;

/// The gain of one source.
#[derive(Debug, Clone)]
pub struct Leveller {
    weighting: KWeighting,
    /// Weighted mean squares of the last blocks of speech.
    blocks: [f32; MEMORY],
    /// How many of them have been filled.
    filled: usize,
    /// Where the next one goes.
    next: usize,
    /// What is applied now, dB.
    gain: f32,
    /// The same as a factor.
    factor: f32,
}

impl Default for Leveller {
    fn default() -> Self {
        Self {
            weighting: KWeighting::default(),
            blocks: [0.0; MEMORY],
            filled: 0,
            next: 0,
            gain: 0.0,
            factor: 1.0,
        }
    }
}

impl Leveller {
    /// Applies the gain to 20 ms of samples (full scale = 1), after learning from them if they
    /// carry `voice`. The gain glides through the block.
    pub fn run(&mut self, samples: &mut [f32; AUDIO_FRAME], voice: bool) {
        let loudness = self.weighting.mean_square(samples);
        let before = self.factor;
        if voice {
            self.learn(loudness);
        }
        let step = (self.factor - before) / AUDIO_FRAME as f32;
        if step == 0.0 {
            if before != 1.0 {
                samples.iter_mut().for_each(|s| *s *= before);
            }
            return;
        }
        for (n, sample) in samples.iter_mut().enumerate() {
            *sample *= before + step * (n + 1) as f32;
        }
    }

    fn learn(&mut self, weighted_mean_square: f32) {
        self.blocks[self.next] = weighted_mean_square;
        self.next = (self.next + 1) % MEMORY;
        self.filled = (self.filled + 1).min(MEMORY);
        // Summed anew each time: 75 additions are cheap, and a running sum drifts.
        let mean = self.blocks[..self.filled].iter().sum::<f32>() / self.filled as f32;
        // BS.1770 equation (2), for one channel.
        let loudness = -0.691 + 10.0 * mean.max(1e-10).log10();
        let error = (TARGET - loudness).clamp(-MAX_GAIN, MAX_GAIN) - self.gain;
        let size = (error / LARGE).abs().min(1.0);
        self.gain += error * (SLOW + (FAST - SLOW) * size * size);
        self.factor = 10f32.powf(self.gain / 20.0);
    }
}

/// The two filters of BS.1770 annex 1 at 48 kHz: the head's acoustics, then a high-pass.
#[derive(Debug, Clone, Default)]
struct KWeighting {
    shelf: Biquad,
    high_pass: Biquad,
}

/// State of a second-order filter, transposed direct form II. In f64: the high-pass has its
/// poles within 0.5 % of the unit circle.
#[derive(Debug, Clone, Default)]
struct Biquad {
    first: f64,
    second: f64,
}

impl Biquad {
    #[inline(always)]
    fn step(&mut self, x: f64, b: [f64; 3], a: [f64; 2]) -> f64 {
        let y = b[0] * x + self.first;
        self.first = b[1] * x - a[0] * y + self.second;
        self.second = b[2] * x - a[1] * y;
        y
    }
}

impl KWeighting {
    /// Filters a block; returns the mean square of what comes out.
    fn mean_square(&mut self, samples: &[f32; AUDIO_FRAME]) -> f32 {
        const SHELF_B: [f64; 3] = [1.53512485958697, -2.69169618940638, 1.19839281085285];
        const SHELF_A: [f64; 2] = [-1.69065929318241, 0.73248077421585];
        const HIGH_PASS_B: [f64; 3] = [1.0, -2.0, 1.0];
        const HIGH_PASS_A: [f64; 2] = [-1.99004745483398, 0.99007225036621];
        if samples.iter().all(|s| *s == 0.0) {
            // Also keeps the filters out of denormal numbers, which are many times slower.
            *self = Self::default();
            return 0.0;
        }
        let mut sum = 0.0;
        for sample in samples {
            let y = self.shelf.step(f64::from(*sample), SHELF_B, SHELF_A);
            let y = self.high_pass.step(y, HIGH_PASS_B, HIGH_PASS_A);
            sum += y * y;
        }
        (sum / AUDIO_FRAME as f64) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::audio::probe::{self, SECOND, loudness, speech};
    use crate::mix::audio::speech::{Speech, mean_square};

    /// What comes out, and the gain in dB after each block.
    fn level(input: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let (mut speech, mut leveller) = (Speech::default(), Leveller::default());
        let mut out = Vec::new();
        let mut gains = Vec::new();
        let (blocks, _) = input.as_chunks::<AUDIO_FRAME>();
        for block in blocks {
            let mut block = *block;
            let voice = speech.heard(mean_square(&block));
            leveller.run(&mut block, voice);
            out.extend(block);
            gains.push(20.0 * leveller.factor.log10());
        }
        (out, gains)
    }

    #[test]
    fn talkers_20_db_apart_are_within_3_lu_after_3_s() {
        for (loud, quiet) in [(-14.0, -34.0), (-20.0, -40.0), (-18.0, -38.0)] {
            let (loud, _) = level(&speech(1, loud, 8));
            let (quiet, _) = level(&speech(2, quiet, 8));
            // Whole phrases: from 4 s to 8 s, and the first one that begins after 3 s.
            for span in [4 * SECOND..8 * SECOND, 4 * SECOND..6 * SECOND] {
                let (a, b) = (loudness(&loud[span.clone()]), loudness(&quiet[span]));
                assert!((a - b).abs() < 3.0, "{a} and {b} LUFS");
                assert!((a + 23.0).abs() < 3.0, "{a} LUFS");
            }
        }
    }

    #[test]
    fn a_talker_who_moves_20_db_away_is_followed() {
        let mut input = speech(3, -18.0, 8);
        input.extend(speech(4, -38.0, 10));
        let (out, _) = level(&input);
        let (near, far) = (
            loudness(&out[4 * SECOND..8 * SECOND]),
            loudness(&out[14 * SECOND..18 * SECOND]),
        );
        assert!((near - far).abs() < 3.0, "{near} and {far} LUFS");
    }

    #[test]
    fn the_gain_is_frozen_in_pauses() {
        // Four seconds of a quiet talker, six of the room behind, at -55 dBFS.
        let mut input = speech(5, -36.0, 4);
        let mut noise = probe::Noise(9);
        input.extend((0..6 * SECOND).map(|_| noise.next() * 0.003));
        let (_, gains) = level(&input);
        let end_of_speech = gains[4 * 50 - 1];
        assert!(end_of_speech > 5.0, "{end_of_speech} dB");
        for gain in &gains[4 * 50..] {
            assert!((gain - end_of_speech).abs() < 0.2, "{gain} dB in the pause");
        }
    }

    #[test]
    fn nothing_but_background_is_left_alone() {
        let mut noise = probe::Noise(11);
        let input: Vec<f32> = (0..10 * SECOND).map(|_| noise.next() * 0.003).collect();
        let (_, gains) = level(&input);
        assert!(gains.iter().all(|g| g.abs() < 1.0), "{gains:?}");
    }

    #[test]
    fn the_gain_does_not_pump() {
        let (_, gains) = level(&speech(6, -30.0, 20));
        let settled = &gains[6 * 50..];
        let lowest = settled.iter().copied().fold(f32::MAX, f32::min);
        let highest = settled.iter().copied().fold(f32::MIN, f32::max);
        assert!(highest - lowest < 1.5, "{lowest} to {highest} dB");
        let fastest = settled
            .windows(50)
            .map(|w| (w[49] - w[0]).abs())
            .fold(0.0, f32::max);
        assert!(fastest < 1.0, "{fastest} dB in a second");
    }

    #[test]
    fn corrections_are_bounded() {
        let (_, gains) = level(&speech(7, -50.0, 10));
        assert!(gains.iter().all(|g| *g <= MAX_GAIN + 0.01));
        let (_, gains) = level(&speech(8, -3.0, 10));
        assert!(gains.iter().all(|g| *g >= -MAX_GAIN - 0.01));
    }

    #[test]
    fn tones_stay_pure() {
        // After a second of silence, as a test page would play them: the gain moves.
        for amplitude in [0.1, 0.01] {
            let mut input = vec![0.0; 5 * SECOND];
            probe::sine(440.0, amplitude, 0, &mut input[SECOND..]);
            let (out, _) = level(&input);
            let second = &out[4 * SECOND..];
            let tone = probe::amplitude(second, 440.0);
            for harmonic in 2..6 {
                let other = probe::amplitude(second, 440.0 * f64::from(harmonic));
                let below = probe::decibels(other / tone);
                assert!(below < -80.0, "harmonic {harmonic}: {below} dB");
            }
        }
    }
}
