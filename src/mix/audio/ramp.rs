//! Entry to and exit from the sum without a click: 10 ms ramps.
//!
//! A source may be cut at any block boundary (mute, leave, underrun): nothing of it is left to
//! fade out. So the end is made of its last 10 ms, played backwards while they fade: continuous
//! at the cut, and of the same sound. Nothing said after a mute is ever used.

use std::f32::consts::PI;
use std::sync::LazyLock;

use crate::media::AUDIO_FRAME;

/// Length of a ramp in samples: 10 ms.
const RAMP: usize = AUDIO_FRAME / 2;

/// A raised cosine from 0 to 1. With its mirror image it sums to 1.
static RISE: LazyLock<[f32; RAMP]> = LazyLock::new(|| {
    std::array::from_fn(|n| 0.5 - 0.5 * (PI * (n as f32 + 0.5) / RAMP as f32).cos())
});

/// The ramps of one source.
#[derive(Debug, Clone)]
pub struct Ramp {
    /// Whether the last block was in the sum.
    on: bool,
    /// The last 10 ms that went out, newest first.
    tail: [f32; RAMP],
}

impl Default for Ramp {
    fn default() -> Self {
        Self {
            on: false,
            tail: [0.0; RAMP],
        }
    }
}

impl Ramp {
    /// Takes the next block of a source that is `on`, or zeros if it is not; where that changes,
    /// fades in what begins and out what was before.
    pub fn run(&mut self, on: bool, samples: &mut [f32; AUDIO_FRAME]) {
        let before = std::mem::replace(&mut self.on, on);
        if before != on {
            for ((sample, old), rise) in samples.iter_mut().zip(&self.tail).zip(RISE.iter()) {
                *sample = *sample * rise + *old * (1.0 - rise);
            }
        }
        for (old, sample) in self.tail.iter_mut().zip(samples.iter().rev()) {
            *old = *sample;
        }
    }

    /// Whether the last block was in the sum, so that something may be left to fade out.
    pub fn is_on(&self) -> bool {
        self.on
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::audio::probe::{largest_step, sine};

    /// Blocks of a 440 Hz tone at half of full scale, cut at awkward phases.
    fn run(states: &[bool]) -> Vec<f32> {
        let mut ramp = Ramp::default();
        let mut out = Vec::new();
        for (n, on) in states.iter().enumerate() {
            let mut block = [0.0; AUDIO_FRAME];
            if *on {
                sine(440.3, 0.5, n * AUDIO_FRAME, &mut block);
            }
            ramp.run(*on, &mut block);
            out.extend(block);
        }
        out
    }

    #[test]
    fn entry_and_exit_do_not_click() {
        let (on, off) = (true, false);
        let out = run(&[off, on, on, off, off, on, off, on, on, on, off, on, off]);
        // The steepest a 440.3 Hz tone of this size gets, from sample to sample.
        let steepest = 0.5 * 2.0 * PI * 440.3 / 48_000.0;
        // A fade adds a little to it; a cut would be a step of up to 0.5.
        let step = largest_step(&out);
        assert!(step < 1.5 * steepest, "{step} of {steepest}");
    }

    #[test]
    fn a_ramp_takes_10_ms_and_then_leaves_samples_alone() {
        let out = run(&[true, true, false, false]);
        let mut whole = [0.0; 2 * AUDIO_FRAME];
        sine(440.3, 0.5, 0, &mut whole);
        assert!(out[0].abs() < 1e-4);
        assert_eq!(out[RAMP..2 * AUDIO_FRAME], whole[RAMP..]);
        let end = 2 * AUDIO_FRAME + RAMP;
        assert!(out[end..].iter().all(|s| *s == 0.0));
        assert!(
            out[end - RAMP..end - RAMP / 2]
                .iter()
                .any(|s| s.abs() > 0.2)
        );
    }
}
