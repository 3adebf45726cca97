//! What the tests of this folder make and measure: tones, speech-like noise, steps, spectra.

use std::f32::consts::PI;

use crate::media::{AUDIO_CLOCK, AUDIO_FRAME};

/// Samples of a second.
pub const SECOND: usize = AUDIO_CLOCK as usize;

/// Fills `out` with a sine that is at phase 0 at sample 0 of its time line.
pub fn sine(hertz: f32, amplitude: f32, from: usize, out: &mut [f32]) {
    for (n, sample) in out.iter_mut().enumerate() {
        let turns = (from + n) as f64 * f64::from(hertz) / f64::from(AUDIO_CLOCK);
        *sample = amplitude * (turns.fract() as f32 * 2.0 * PI).sin();
    }
}

/// A sine as 16-bit samples, one tick after `tick` others.
pub fn tone(hertz: f32, amplitude: f32, tick: usize) -> [i16; AUDIO_FRAME] {
    let mut samples = [0.0; AUDIO_FRAME];
    sine(hertz, amplitude, tick * AUDIO_FRAME, &mut samples);
    samples.map(to_i16)
}

/// Rounds full scale = 1 to 16 bits.
pub fn to_i16(sample: f32) -> i16 {
    (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16
}

/// Full scale = 1.
pub fn to_f32(samples: &[i16]) -> Vec<f32> {
    samples.iter().map(|s| f32::from(*s) / 32_768.0).collect()
}

/// The largest difference between neighbours.
pub fn largest_step(samples: &[f32]) -> f32 {
    samples
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).abs())
        .fold(0.0, f32::max)
}

/// Amplitude of one frequency (Goertzel), full scale = 1. Whole periods give exact results.
pub fn amplitude(samples: &[f32], hertz: f64) -> f64 {
    let omega = 2.0 * std::f64::consts::PI * hertz / f64::from(AUDIO_CLOCK);
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        // A Hann window: tones of others do not leak in from their sides.
        let hann = 1.0 - (2.0 * std::f64::consts::PI * n as f64 / samples.len() as f64).cos();
        let (sin, cos) = (omega * n as f64).sin_cos();
        re += f64::from(*sample) * hann * cos;
        im += f64::from(*sample) * hann * sin;
    }
    2.0 * re.hypot(im) / samples.len() as f64
}

/// A ratio of amplitudes in dB.
pub fn decibels(ratio: f64) -> f64 {
    20.0 * ratio.max(1e-12).log10()
}

/// Something like speech: noise between some 200 Hz and 3 kHz in syllables (4 a second, with
/// gaps), in phrases of 1.6 s with pauses of 0.4 s, over a faint background.
pub fn speech(seed: u32, rms_dbfs: f32, seconds: usize) -> Vec<f32> {
    let mut noise = Noise(seed | 1);
    let (mut low, mut lower) = (0.0, 0.0);
    let mut out: Vec<f32> = (0..seconds * SECOND)
        .map(|n| {
            low += 0.33 * (noise.next() - low);
            lower += 0.026 * (low - lower);
            let at = n as f32 / SECOND as f32;
            let syllable = (2.0 * PI * 4.0 * at).sin().max(0.0).sqrt();
            let phrase = if at % 2.0 < 1.6 { 1.0 } else { 0.0 };
            (low - lower) * (syllable * phrase).max(0.004)
        })
        .collect();
    let mean_square = out.iter().map(|s| s * s).sum::<f32>() / out.len() as f32;
    let scale = 10f32.powf(rms_dbfs / 20.0) / mean_square.sqrt();
    out.iter_mut().for_each(|s| *s *= scale);
    out
}

/// White noise in -1..1 (xorshift32).
pub struct Noise(pub u32);

impl Noise {
    /// The next sample.
    pub fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as i32 as f32 / 2_147_483_648.0
    }
}

/// Integrated loudness (EBU R 128), LUFS.
pub fn loudness(samples: &[f32]) -> f64 {
    let mut meter =
        ebur128::EbuR128::new(1, AUDIO_CLOCK, ebur128::Mode::I).expect("a mono meter at 48 kHz");
    meter.add_frames_f32(samples).expect("mono samples");
    meter.loudness_global().expect("mode I")
}
