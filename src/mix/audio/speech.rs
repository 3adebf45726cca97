//! Who is speaking, judged by the energy of decoded samples, 20 ms at a time.
//!
//! A slow tracker follows the quietest moments of a source (its noise floor); what stands clearly
//! above it is voice. The floor falls at once and rises slowly, so that speech does not become
//! its own floor, while a fan that is switched on is background within seconds.

use crate::media::AUDIO_FRAME;

/// Blocks of the 100 ms over which loudness is reported.
const WINDOW: usize = 5;
/// Reported for digital silence, dBFS.
pub const SILENCE: f32 = -100.0;
/// Nothing below this is voice, dBFS: the residue of noise suppressors lies around -60, a quiet
/// talker's syllables above -50.
const QUIETEST_VOICE: f32 = -55.0;
/// Voice begins this far above the floor, dB, and goes on while it stays half as far above it.
const ONSET: f32 = 6.0;
/// See [`ONSET`].
const RELEASE: f32 = 3.0;
/// The floor is never below this, dBFS: there, dithering decides.
const LOWEST_FLOOR: f32 = -75.0;
/// What is louder than this from the start, dBFS, is taken for voice until it has gone on for
/// seconds; and for *speaking* it is never background: continuous music has no pauses either.
const LOUDEST_BACKGROUND: f32 = -45.0;
/// How fast the floor follows a louder background, dB per block (3 dB a second).
const FLOOR_RISE: f32 = 0.06;
/// Blocks with voice, of the last five, at which somebody speaks: a single click does not.
const SPEAKING_AT: u32 = 3;
/// Blocks without voice after which nobody speaks: 400 ms bridge the pauses between words.
const HANGOVER: u32 = 20;

/// Watches one source.
#[derive(Debug, Clone, Default)]
pub struct Speech {
    /// Level of the quietest recent moments, dBFS; none before the first sound.
    floor: Option<f32>,
    /// Mean squares of the last 100 ms.
    window: [f32; WINDOW],
    /// Where the next one goes.
    next: usize,
    /// Whether the last block stood above the floor.
    voice: bool,
    /// The last blocks, newest in bit 0: loud enough to be speaking.
    loud: u32,
    /// Blocks for which speaking goes on without voice.
    hangover: u32,
}

impl Speech {
    /// Takes the mean square (full scale = 1) of 20 ms of decoded sound and tells whether there
    /// is voice in it.
    pub fn heard(&mut self, mean_square: f32) -> bool {
        let level = dbfs(mean_square);
        let floor = self.floor.unwrap_or(LOUDEST_BACKGROUND.min(level));
        let floor = {
            if level < floor {
                // Half way: a single quiet block is not yet the floor.
                (level + floor) / 2.0
            } else {
                level.min(floor + FLOOR_RISE)
            }
        };
        let floor = floor.max(LOWEST_FLOOR);
        self.floor = Some(floor);
        let margin = if self.voice { RELEASE } else { ONSET };
        self.voice = level > (floor + margin).max(QUIETEST_VOICE);
        let margin = if self.hangover > 0 { RELEASE } else { ONSET };
        let loud = level > (floor.min(LOUDEST_BACKGROUND) + margin).max(QUIETEST_VOICE);
        self.push(mean_square, loud);
        self.voice
    }

    /// Takes 20 ms in which the source sent nothing, or only the sign that it pauses.
    pub fn nothing(&mut self) {
        self.voice = false;
        self.push(0.0, false);
    }

    /// Speech or music, with hysteresis: on after 60 ms, off after 400 ms without.
    pub fn speaking(&self) -> bool {
        self.hangover > 0
    }

    /// RMS of the last 100 ms, dBFS.
    pub fn level(&self) -> f32 {
        dbfs(self.window.iter().sum::<f32>() / WINDOW as f32)
    }

    fn push(&mut self, mean_square: f32, loud: bool) {
        self.window[self.next] = mean_square;
        self.next = (self.next + 1) % WINDOW;
        self.loud = (self.loud << 1 | u32::from(loud)) & ((1 << WINDOW) - 1);
        let begins = loud && self.loud.count_ones() >= SPEAKING_AT;
        let goes_on = self.hangover > 0 && loud;
        self.hangover = if begins || goes_on {
            HANGOVER
        } else {
            self.hangover.saturating_sub(1)
        };
    }
}

/// A mean square (full scale = 1) in dBFS, never below [`SILENCE`].
pub fn dbfs(mean_square: f32) -> f32 {
    (10.0 * mean_square.log10()).max(SILENCE)
}

/// Mean square of a block (full scale = 1).
pub fn mean_square(samples: &[f32; AUDIO_FRAME]) -> f32 {
    // Eight sums side by side: float additions are not reordered by the compiler, so a single
    // sum would not be vectorised.
    let mut sums = [0f32; 8];
    for chunk in samples.chunks_exact(8) {
        for (sum, sample) in sums.iter_mut().zip(chunk) {
            *sum += sample * sample;
        }
    }
    sums.iter().sum::<f32>() / AUDIO_FRAME as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(dbfs: f32) -> f32 {
        10f32.powf(dbfs / 10.0)
    }

    #[test]
    fn onset_is_reported_within_100_ms_and_the_hangover_is_400() {
        let mut speech = Speech::default();
        for _ in 0..50 {
            speech.heard(square(-65.0));
        }
        assert!(!speech.speaking());
        let onset = (1..20).find(|_| {
            speech.heard(square(-30.0));
            speech.speaking()
        });
        assert_eq!(onset, Some(3), "blocks until speaking");
        let off = (1..100).find(|_| {
            speech.heard(square(-65.0));
            !speech.speaking()
        });
        assert_eq!(off, Some(20), "blocks until nobody speaks");
    }

    #[test]
    fn a_click_is_not_speech() {
        let mut speech = Speech::default();
        for n in 0..500 {
            speech.heard(square(if n % 50 == 49 { -10.0 } else { -65.0 }));
            assert!(!speech.speaking(), "block {n}");
        }
    }

    #[test]
    fn steady_background_is_not_speech_but_steady_music_is() {
        let mut fan = Speech::default();
        let mut music = Speech::default();
        for _ in 0..500 {
            fan.heard(square(-42.0));
            music.heard(square(-23.0));
        }
        assert!(!fan.speaking());
        assert!(music.speaking());
    }

    #[test]
    fn pauses_of_discontinuous_transmission_are_silence() {
        let mut speech = Speech::default();
        for _ in 0..10 {
            speech.heard(square(-20.0));
        }
        assert!(speech.speaking());
        assert!((speech.level() + 20.0).abs() < 0.1);
        for _ in 0..25 {
            speech.nothing();
        }
        assert!(!speech.speaking());
        assert_eq!(speech.level(), SILENCE);
    }

    #[test]
    fn the_floor_is_the_background_between_words() {
        let mut speech = Speech::default();
        for n in 0..300 {
            speech.heard(square(if n % 30 < 20 { -25.0 } else { -58.0 }));
        }
        let floor = speech.floor.expect("heard something");
        assert!((floor + 58.0).abs() < 2.0, "{floor}");
    }
}
