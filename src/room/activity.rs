//! Speech activity of one source on three time scales (pure).
//!
//! After Ilana Volfin and Israel Cohen, "Dominant Speaker Identification for Multipoint
//! Videoconferencing" (2012): how many sub-units the level stands above the background *now*, how
//! many frames of the last *tenth of a second* are active, how many tenths of the last *second*.
//! Each count is scored by how much likelier it is for speech than for noise. The paper counts
//! sub-bands of a spectrum; levels (RFC 6464) have none, so steps of loudness take their place.

use std::time::Duration;

/// Length of a frame.
pub const FRAME: Duration = Duration::from_millis(20);
/// Frames of the medium scale.
pub const FRAMES: u8 = 5;
/// Length of a block, the medium scale.
pub const BLOCK: Duration = Duration::from_millis(100);
/// Blocks of the long scale.
const BLOCKS: usize = 10;
/// Most sub-units of the immediate scale ...
const UNITS: u8 = 13;
/// ... and how many dB each is: together what lies between a room and a clear voice in it.
const UNIT: f32 = 3.0;
/// A frame is active from so many sub-units on: 9 dB above the background.
const ACTIVE_UNITS: u8 = 3;
/// A block is active with so many active frames: speech has gaps, clicks have neighbours.
const ACTIVE_FRAMES: u8 = 3;

/// Nothing below this is speech, dBov: what noise suppressors leave lies around -60, a quiet
/// talker's syllables above -50.
const QUIETEST: f32 = -55.0;
/// What is louder is never background, dBov: continuous music has no pauses.
const LOUDEST_BACKGROUND: f32 = -45.0;
/// The background is never below this, dBov: there, dithering decides.
const LOWEST: f32 = -75.0;
/// How fast the background follows a louder room, dB a frame (3 dB a second).
const RISE: f32 = 0.06;
/// Digital silence, dBov (RFC 6464).
pub const SILENCE: f32 = -127.0;

/// Scores are at least this: ratios of them are taken.
const LEAST_SCORE: f64 = 1e-10;
/// What noise is like on each scale: the parameters of its exponential distribution.
const LAMBDA: [f64; 3] = [0.78, 24.0, 47.0];
/// By how much (logarithms of ratios) a challenger's scores must exceed the dominant speaker's.
const MARGIN: [f64; 3] = [3.0, 2.0, 0.0];

/// The level of a source's quietest moments.
///
/// It falls at once and rises slowly: speech does not become its own background, and a fan that
/// is switched on does within seconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Background(Option<f32>);

impl Background {
    /// Takes the level of a frame, dBov. How many sub-units it stands above the background; 0 if
    /// it cannot be speech.
    pub fn hear(&mut self, level: f32) -> u8 {
        let before = self.0.unwrap_or(LOUDEST_BACKGROUND.min(level));
        let floor = match level < before {
            // Half way: a single quiet frame is not yet the background.
            true => (level + before) / 2.0,
            false => level.min(before + RISE),
        };
        let floor = floor.max(LOWEST);
        self.0 = Some(floor);
        let units = ((level - floor.min(LOUDEST_BACKGROUND)) / UNIT) as u8;
        if level <= QUIETEST || units < ACTIVE_UNITS {
            return 0;
        }
        units.min(UNITS)
    }
}

/// What one source has done lately.
#[derive(Debug, Clone)]
pub struct Activity {
    background: Background,
    immediate: u8,
    /// Active frames of the last blocks, newest first.
    blocks: [u8; BLOCKS],
    /// Loudest active frame of each, dBov.
    peaks: [f32; BLOCKS],
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            background: Background::default(),
            immediate: 0,
            blocks: [0; BLOCKS],
            peaks: [SILENCE; BLOCKS],
        }
    }
}

impl Activity {
    /// Takes the next 100 ms: the levels, in dBov, of the frames that came in it. No frames are
    /// silence; where fewer came than there is room for, they stand for the others.
    pub fn block(&mut self, levels: &[f32]) {
        let (mut active, mut units, mut peak) = (0, 0, SILENCE);
        for level in levels {
            let above = self.background.hear(*level);
            units += usize::from(above);
            if above > 0 {
                active += 1;
                peak = level.max(peak);
            }
        }
        let frames = levels.len().max(1);
        self.immediate = units.div_ceil(frames) as u8;
        let share = (active * usize::from(FRAMES)).div_ceil(frames);
        self.blocks.rotate_right(1);
        self.blocks[0] = share as u8;
        self.peaks.rotate_right(1);
        self.peaks[0] = peak;
    }

    /// Forgets what was heard, but not the background.
    pub fn hush(&mut self) {
        *self = Self {
            background: self.background,
            ..Self::default()
        };
    }

    /// Active frames of the last second, 0 to 50.
    pub fn frames(&self) -> u8 {
        self.blocks.iter().sum()
    }

    /// Active frames of the last 100 ms, 0 to 5.
    pub fn newest(&self) -> u8 {
        self.blocks[0]
    }

    /// Whether there was an active frame within the last 300 ms.
    pub fn is_fresh(&self) -> bool {
        self.blocks[..3].iter().any(|frames| *frames > 0)
    }

    /// The loudest active frame of the last second, dBov.
    pub fn peak(&self) -> f32 {
        self.peaks.iter().copied().fold(SILENCE, f32::max)
    }

    /// The loudest of the blocks so many ago, dBov, if at least two of them were active: a single
    /// packet that was lost or late is no evidence of anything.
    pub fn sustained(&self, ago: std::ops::Range<usize>) -> Option<f32> {
        let blocks = self.blocks.iter().zip(&self.peaks);
        let blocks = blocks.take(ago.end).skip(ago.start);
        let mut active = blocks.filter(|(frames, _)| **frames >= ACTIVE_FRAMES);
        let (_, one) = active.next()?;
        let (_, two) = active.next()?;
        Some(active.fold(one.max(*two), |peak, (_, level)| peak.max(*level)))
    }

    /// Whether this source is to take the place of the dominant speaker, and if so by how much
    /// it outdoes them on the medium scale.
    pub fn outdoes(&self, dominant: &Activity) -> Option<f64> {
        let ratios: [f64; 3] = {
            let (own, other) = (self.scores(), dominant.scores());
            std::array::from_fn(|scale| (own[scale] / other[scale]).ln())
        };
        let exceeds = ratios.iter().zip(MARGIN).all(|(ratio, by)| *ratio > by);
        exceeds.then_some(ratios[1])
    }

    fn scores(&self) -> [f64; 3] {
        let blocks = self.blocks.iter().filter(|b| **b >= ACTIVE_FRAMES).count();
        [
            score(self.immediate, UNITS, LAMBDA[0]),
            score(self.blocks[0], FRAMES, LAMBDA[1]),
            score(blocks as u8, BLOCKS as u8, LAMBDA[2]),
        ]
    }
}

/// The log-likelihood of `active` of `all` for speech (every unit active or not with equal
/// probability), against noise (ever less likely, by `lambda`, the more are active).
fn score(active: u8, all: u8, lambda: f64) -> f64 {
    let (v, n) = (f64::from(active), f64::from(all));
    let ways: f64 = (1..=active)
        .map(|k| (f64::from(all - active + k) / f64::from(k)).ln())
        .sum();
    let speech = ways + n * 0.5f64.ln();
    let noise = lambda.ln() - lambda * v;
    (speech - noise).max(LEAST_SCORE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(activity: &mut Activity, count: usize, levels: [f32; 5]) {
        (0..count).for_each(|_| activity.block(&levels));
    }

    #[test]
    fn binomials_are_right() {
        // ln(C(5,3)) + 5 ln(1/2) - ln(24) + 72
        let expected = 10f64.ln() - 5.0 * 2f64.ln() - 24f64.ln() + 72.0;
        assert!((score(3, 5, 24.0) - expected).abs() < 1e-9);
        assert_eq!(score(0, 5, 24.0), LEAST_SCORE);
    }

    #[test]
    fn a_voice_over_its_room_is_active_and_the_room_is_not() {
        let mut background = Background::default();
        (0..100).for_each(|_| assert_eq!(background.hear(-62.0), 0));
        assert_eq!(background.hear(-30.0), 10);
        // A fan is switched on: loud at first, background within seconds.
        assert!(background.hear(-50.0) > 0);
        (0..500).for_each(|_| assert!(background.hear(-50.0) < 13));
        assert_eq!(background.hear(-50.0), 0);
        // Music never is.
        (0..5_000).for_each(|_| assert!(background.hear(-20.0) > 0));
        assert_eq!(background.hear(-20.0), 8);
    }

    #[test]
    fn few_frames_stand_for_many() {
        let mut activity = Activity::default();
        blocks(&mut activity, 10, [-70.0; 5]);
        activity.block(&[-30.0]);
        assert_eq!(activity.newest(), 5);
        activity.block(&[]);
        assert_eq!((activity.newest(), activity.frames()), (0, 5));
        activity.block(&[-30.0, -70.0]);
        assert_eq!(activity.newest(), 3);
        assert_eq!(activity.peak(), -30.0);
    }

    #[test]
    fn the_dominant_speaker_gives_way_in_a_pause_to_who_has_spoken_longer_since() {
        let (mut dominant, mut other) = (Activity::default(), Activity::default());
        for activity in [&mut dominant, &mut other] {
            blocks(activity, 20, [-65.0; 5]);
        }
        blocks(&mut dominant, 10, [-25.0; 5]);
        // Speaking at the same time takes nothing away.
        for _ in 0..10 {
            dominant.block(&[-25.0; 5]);
            other.block(&[-20.0; 5]);
            assert_eq!(other.outdoes(&dominant), None);
        }
        other.block(&[-20.0; 5]);
        dominant.block(&[-65.0; 5]);
        assert!(other.outdoes(&dominant).is_some());
        // Not so who has only just begun: a short interjection in a pause.
        let mut brief = Activity::default();
        blocks(&mut brief, 20, [-65.0; 5]);
        brief.block(&[-20.0; 5]);
        assert_eq!(brief.outdoes(&dominant), None);
        let since = (1..).find(|_| {
            brief.block(&[-20.0; 5]);
            dominant.block(&[-65.0; 5]);
            brief.outdoes(&dominant).is_some()
        });
        assert_eq!(since, Some(5), "tenths of a second");
    }
}
