//! Voices for the demonstration: babble. A buzz at the pitch of a voice goes through three
//! resonances (formants) that move from vowel to vowel, syllable by syllable, with breaths in
//! between. Nobody understands a word, but it sounds like talking.

use std::f32::consts::TAU;

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use crate::media::AUDIO_CLOCK;

const RATE: f32 = AUDIO_CLOCK as f32;
/// Formants of a, e, i, o, u (adult speaker), Hz.
const VOWELS: [[f32; 3]; 5] = [
    [730.0, 1_090.0, 2_440.0],
    [530.0, 1_840.0, 2_480.0],
    [270.0, 2_290.0, 3_010.0],
    [570.0, 840.0, 2_410.0],
    [300.0, 870.0, 2_240.0],
];
/// Widths of the formants, Hz.
const WIDTHS: [f32; 3] = [80.0, 100.0, 140.0];
/// RMS while speaking, of 32,768: -22 dBFS, as a person at a good microphone.
const LOUDNESS: f32 = 2_600.0;
/// Sound between the turns: -66 dBFS, so that the encoder always has something to do.
const BREATH: i16 = 16;

/// `seconds` of silence but for one turn, `from` to `to` in seconds, in which somebody with this
/// pitch (Hz) babbles. The same seed says the same.
pub fn turn(seed: u64, pitch: f32, seconds: u32, from: f32, to: f32) -> Vec<i16> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let length = (seconds * AUDIO_CLOCK) as usize;
    let mut voice = vec![0.0; length];
    let mut at = (from * RATE) as usize;
    let end = ((to * RATE) as usize).min(length);
    let mut mouth = Mouth::default();
    let mut syllables = 0;
    loop {
        let syllable = Syllable::random(&mut rng, pitch, syllables);
        if at + syllable.length > end {
            break;
        }
        mouth.say(&syllable, &mut voice[at..at + syllable.length]);
        syllables += 1;
        // A breath now and then, between words of a few syllables.
        let pause = if syllables % rng.random_range(4..9) == 0 {
            rng.random_range(0.18..0.35)
        } else {
            rng.random_range(0.0..0.04)
        };
        at += syllable.length + (pause * RATE) as usize;
    }
    let power: f32 = voice.iter().map(|s| s * s).sum();
    let spoken = voice.iter().filter(|s| **s != 0.0).count().max(1);
    let gain = LOUDNESS / (power / spoken as f32).sqrt().max(f32::MIN_POSITIVE);
    let mut breath = || rng.random_range(-BREATH..=BREATH);
    voice
        .iter()
        .map(|s| (s * gain).clamp(-32_000.0, 32_000.0) as i16 + breath())
        .collect()
}

/// How far the mouth is open (0 to 1) at a time: the loudness around it.
pub fn openness(pcm: &[i16], seconds: f32) -> f32 {
    let centre = (seconds * RATE) as usize;
    let span = AUDIO_CLOCK as usize / 50;
    let around = &pcm[centre.saturating_sub(span).min(pcm.len())..(centre + span).min(pcm.len())];
    let power: f32 = around.iter().map(|&s| (s as f32).powi(2)).sum();
    let rms = (power / around.len().max(1) as f32).sqrt();
    (rms / (1.6 * LOUDNESS)).min(1.0)
}

struct Syllable {
    /// Samples.
    length: usize,
    pitch: (f32, f32),
    vowels: [[f32; 3]; 2],
}

impl Syllable {
    fn random(rng: &mut SmallRng, pitch: f32, number: usize) -> Self {
        let mut vowel = || VOWELS[rng.random_range(0..VOWELS.len())];
        let vowels = [vowel(), vowel()];
        // The pitch falls over a phrase of a dozen syllables, as in a statement.
        let fall = 1.12 - 0.02 * (number % 12) as f32;
        Self {
            length: (rng.random_range(0.11..0.24) * RATE) as usize,
            pitch: (
                pitch * fall * rng.random_range(0.95..1.08),
                pitch * fall * rng.random_range(0.92..1.04),
            ),
            vowels,
        }
    }
}

/// The phase of the voice and the memory of its resonances.
#[derive(Default)]
struct Mouth {
    phase: f32,
    memory: [[f32; 2]; 3],
}

impl Mouth {
    fn say(&mut self, syllable: &Syllable, out: &mut [f32]) {
        let length = out.len() as f32;
        for (n, out) in out.iter_mut().enumerate() {
            let share = n as f32 / length;
            let pitch = syllable.pitch.0 + (syllable.pitch.1 - syllable.pitch.0) * share;
            self.phase = (self.phase + pitch / RATE).fract();
            // The breath of the vocal folds: quick to close, open for the rest.
            let mut sound = if self.phase < 0.4 {
                (std::f32::consts::PI * self.phase / 0.4).sin()
            } else {
                0.0
            } - 0.25;
            for (formant, memory) in self.memory.iter_mut().enumerate() {
                let [from, to] = syllable.vowels.map(|vowel| vowel[formant]);
                sound = resonate(from + (to - from) * share, WIDTHS[formant], memory, sound);
            }
            // Rise over 30 ms, fall over the last third.
            let swell = (n as f32 / (0.03 * RATE)).min(1.0) * ((1.0 - share) * 3.0).min(1.0);
            *out = sound * swell;
        }
    }
}

/// A resonance (Klatt's): a two-pole filter of gain 1 at 0 Hz.
fn resonate(frequency: f32, width: f32, memory: &mut [f32; 2], sound: f32) -> f32 {
    let radius = (-std::f32::consts::PI * width / RATE).exp();
    let (c, b) = (
        -radius * radius,
        2.0 * radius * (TAU * frequency / RATE).cos(),
    );
    let out = (1.0 - b - c) * sound + b * memory[0] + c * memory[1];
    *memory = [out, memory[0]];
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rms(pcm: &[i16]) -> f32 {
        let power: f32 = pcm.iter().map(|&s| (s as f32).powi(2)).sum();
        (power / pcm.len() as f32).sqrt()
    }

    #[test]
    fn one_speaks_in_ones_turn_and_is_still_otherwise() {
        let pcm = turn(1, 120.0, 8, 2.0, 6.0);
        assert_eq!(pcm.len(), 8 * 48_000);
        assert!(rms(&pcm[..2 * 48_000]) < 20.0);
        assert!(rms(&pcm[6 * 48_000..]) < 20.0);
        let spoken = rms(&pcm[2 * 48_000..6 * 48_000]);
        assert!((1_500.0..4_000.0).contains(&spoken), "{spoken}");
        assert!(pcm.iter().all(|s| s.abs() < 32_000), "not clipped");
    }

    #[test]
    fn the_mouth_opens_with_the_voice() {
        let pcm = turn(2, 200.0, 6, 2.0, 6.0);
        assert!(openness(&pcm, 1.0) < 0.02);
        let open = (0..100).map(|n| openness(&pcm, 2.0 + n as f32 * 0.03));
        let widest = open.clone().fold(0.0, f32::max);
        let narrowest = open.fold(1.0, f32::min);
        assert!(widest > 0.4 && narrowest < 0.2, "{narrowest} to {widest}");
        assert_eq!(openness(&pcm, 100.0), 0.0, "after the end");
    }
}
