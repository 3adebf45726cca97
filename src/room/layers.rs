//! Which copy of a picture each taker gets (pure): as large as it is shown, as small as the line wants.
//!
//! | what changes | when it is followed |
//! |---|---|
//! | it is shown larger | at once: it is not sharp until then |
//! | it is shown smaller | after [`SHRINK`]: windows are dragged, and a change costs a keyframe |
//! | the line bears less | at once |
//! | the line bears more | at once: [`peer::Ladder`](crate::peer::Ladder) takes its time to prove it |

use std::time::Duration;

use crate::clock::MediaTime;
use crate::media::Layer;

/// What is shown smaller is to be so for this long.
pub const SHRINK: Duration = Duration::from_secs(3);
/// Lines of a half copy of a camera's picture.
const HALF: u32 = 180;
/// Bit/s of the half copy and of the whole one of a camera's picture, at most.
pub const RATES: [u32; 2] = [250_000, 1_200_000];

/// What is needed to show so many lines; not known: the whole. A half copy that is enlarged by a
/// quarter looks as good.
pub fn fits(lines: Option<u32>) -> Layer {
    match lines {
        Some(lines) if lines * 4 <= HALF * 5 => Layer::Half,
        _ => Layer::Whole,
    }
}

/// What one taker gets of one sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    layer: Layer,
    /// It is shown smaller since then.
    smaller: Option<MediaTime>,
}

impl Choice {
    /// To begin with.
    pub fn new(fits: Layer) -> Self {
        Self {
            layer: fits,
            smaller: None,
        }
    }

    /// What is to be sent on now, where `fits` shows all and the line `bears` no more than that.
    pub fn follow(&mut self, now: MediaTime, fits: Layer, bears: Layer) -> Layer {
        let shown = match fits < self.layer {
            true => {
                let since = *self.smaller.get_or_insert(now);
                if now.since(since) >= SHRINK {
                    self.layer = fits;
                    self.smaller = None;
                }
                self.layer
            }
            false => {
                self.smaller = None;
                self.layer = fits;
                fits
            }
        };
        shown.min(bears)
    }

    /// When to ask again though nothing changes.
    pub fn wakes(&self) -> Option<MediaTime> {
        self.smaller.map(|since| since.plus(SHRINK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Layer::{Half, Whole};

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    #[test]
    fn a_small_tile_needs_half() {
        for (lines, layer) in [
            (None, Whole),
            (Some(0), Half),
            (Some(180), Half),
            (Some(225), Half),
            (Some(226), Whole),
            (Some(2_160), Whole),
        ] {
            assert_eq!(fits(lines), layer, "{lines:?}");
        }
    }

    #[test]
    fn it_grows_at_once_and_shrinks_late() {
        let mut choice = Choice::new(Half);
        assert_eq!(choice.follow(ms(0), Half, Whole), Half);
        assert_eq!(choice.follow(ms(1), Whole, Whole), Whole);
        assert_eq!(choice.follow(ms(10), Half, Whole), Whole);
        assert_eq!(choice.wakes(), Some(ms(3_010)));
        assert_eq!(choice.follow(ms(3_009), Half, Whole), Whole);
        assert_eq!(choice.follow(ms(3_010), Half, Whole), Half);
        assert_eq!(choice.wakes(), None);
    }

    #[test]
    fn a_window_that_is_dragged_to_and_fro_changes_nothing() {
        let mut choice = Choice::new(Whole);
        for turn in 0..100 {
            let fits = if turn % 3 == 0 { Whole } else { Half };
            assert_eq!(choice.follow(ms(turn * 1_000), fits, Whole), Whole);
        }
    }

    #[test]
    fn the_line_has_the_last_word() {
        let mut choice = Choice::new(Whole);
        assert_eq!(choice.follow(ms(0), Whole, Half), Half);
        assert_eq!(choice.wakes(), None);
        assert_eq!(choice.follow(ms(1), Whole, Whole), Whole);
        // Small and narrow, then large and narrow, then wide.
        choice.follow(ms(2), Half, Half);
        assert_eq!(choice.follow(ms(4_000), Half, Half), Half);
        assert_eq!(choice.follow(ms(4_001), Whole, Half), Half);
        assert_eq!(choice.follow(ms(4_002), Whole, Whole), Whole);
    }
}
