//! Comfort noise: what is heard while a talker's microphone pauses (discontinuous transmission),
//! so that the line does not sound dead between sentences.

use crate::media::AUDIO_FRAME;

/// No louder than this, dBFS, whatever the background was.
const LOUDEST: f32 = -50.0;
/// A background below this, dBFS, is silence.
const INAUDIBLE: f32 = -72.0;
/// How dark the noise is: coefficient of a one-pole low-pass, some 1.5 kHz, roughly the tilt of
/// rooms and fans. White noise at the same level hisses.
const SMOOTHING: f32 = 0.18;

/// A generator of dark noise.
#[derive(Debug, Clone)]
pub struct Comfort {
    /// xorshift32 state, never 0.
    random: u32,
    /// The low-pass filter's state.
    low: f32,
}

impl Comfort {
    /// A generator whose sequence follows from `seed`.
    pub fn new(seed: u32) -> Self {
        Self {
            random: seed.wrapping_mul(0x9E37_79B9) | 1,
            low: 0.0,
        }
    }

    /// Fills a block with noise as loud as a background of `floor` dBFS, times `gain`. Returns
    /// whether there is anything to hear.
    pub fn fill(&mut self, floor: Option<f32>, gain: f32, out: &mut [f32; AUDIO_FRAME]) -> bool {
        let Some(floor) = floor.filter(|floor| *floor > INAUDIBLE) else {
            return false;
        };
        let rms = 10f32.powf(floor.min(LOUDEST) / 20.0) * gain;
        // Uniform noise in -1..1 has a mean square of 1/3; the one-pole filter leaves a/(2-a).
        let scale = rms / (SMOOTHING / (2.0 - SMOOTHING) / 3.0).sqrt();
        for sample in out.iter_mut() {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 17;
            self.random ^= self.random << 5;
            let white = self.random as i32 as f32 / 2_147_483_648.0;
            self.low += SMOOTHING * (white - self.low);
            *sample = self.low * scale;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::audio::speech::{dbfs, mean_square};

    fn level(floor: Option<f32>, gain: f32) -> Option<f32> {
        let mut comfort = Comfort::new(7);
        let mut block = [0.0; AUDIO_FRAME];
        let mut sum = 0.0;
        for _ in 0..50 {
            if !comfort.fill(floor, gain, &mut block) {
                return None;
            }
            sum += mean_square(&block);
        }
        Some(dbfs(sum / 50.0))
    }

    #[test]
    fn noise_is_as_loud_as_the_background_was() {
        let quiet = level(Some(-60.0), 1.0).expect("audible");
        assert!((quiet + 60.0).abs() < 1.0, "{quiet}");
        let louder = level(Some(-60.0), 2.0).expect("audible");
        assert!((louder - quiet - 6.02).abs() < 0.01, "{louder}");
    }

    #[test]
    fn it_is_never_harsh_and_silence_stays_silence() {
        let capped = level(Some(-20.0), 1.0).expect("audible");
        assert!((capped + 50.0).abs() < 1.0, "{capped}");
        assert_eq!(level(None, 1.0), None);
        assert_eq!(level(Some(-75.0), 1.0), None);
    }
}
