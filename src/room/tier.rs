//! The quality tiers: what each is like, and which of them somebody gets (pure).
//!
//! An arrangement belongs to its tier: half the size shows four people at most, for nine would be
//! thumbnails, and the smallest picture shows who speaks, alone. A tier's rate need not divide the
//! room's: the mixer leaves ticks out evenly, so 20 pictures of 25 ticks are 40 ms apart, and every
//! fourth time 80 ms.

use crate::media::{Because, Quality, Size, Tier};

/// Tiles of the medium tier at most.
pub const FEW: usize = 4;
/// A screen is this much larger than a tier's canvas, so that its text can be read ...
const SCREEN: (u32, u32) = (3, 2);
/// ... and has at most so many pictures a second, which then costs no more than cameras do.
const SCREEN_FPS: u32 = 10;

/// Bit/s of the pictures of each tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiers {
    /// Of the full size; there always is one.
    pub high: u32,
    /// Of half the size; 0: there is none.
    pub medium: u32,
    /// Of a quarter of the size; 0: there is none.
    pub low: u32,
}

impl Default for Tiers {
    fn default() -> Self {
        Self {
            high: 1_500_000,
            medium: 500_000,
            low: 150_000,
        }
    }
}

impl Tiers {
    /// Bit/s of a tier's pictures; 0 where it has none, or there is no such tier.
    pub fn bitrate(&self, tier: Tier) -> u32 {
        match tier {
            Tier::High => self.high,
            Tier::Medium => self.medium,
            Tier::Low => self.low,
            Tier::Audio => 0,
        }
    }

    /// The best tier there is that is not above this one.
    pub fn at_most(&self, tier: Tier) -> Tier {
        let below = [Tier::High, Tier::Medium, Tier::Low].into_iter();
        let mut there = below.filter(|there| *there <= tier && self.bitrate(*there) > 0);
        there.next().unwrap_or(Tier::Audio)
    }

    /// All there are, from the least.
    pub fn all(&self) -> Vec<Tier> {
        let all = [Tier::Audio, Tier::Low, Tier::Medium, Tier::High].into_iter();
        all.filter(|tier| *tier == self.at_most(*tier)).collect()
    }

    /// Which tier somebody gets who chose `quality`, whose line carries `line`, of a server that
    /// gives nobody more than `cap`; and why not a better one.
    pub fn pick(&self, quality: Quality, line: Tier, cap: Tier) -> (Tier, Because) {
        let [chosen, line, cap] = [quality.most(), line, cap].map(|tier| self.at_most(tier));
        let tier = chosen.min(line).min(cap);
        let because = match tier {
            tier if tier == chosen => Because::Chosen,
            tier if tier == cap => Because::Server,
            _ => Because::Line,
        };
        (tier, because)
    }
}

/// What pictures of a tier are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Of the picture.
    pub size: Size,
    /// Pictures a second at most.
    pub fps: u32,
}

/// What a picture of `tier` is like in a room of this `canvas` and rate; `screen`: it shows one.
/// None: the tier has no pictures.
pub fn shape(tier: Tier, canvas: Size, fps: u32, portrait: bool, screen: bool) -> Option<Shape> {
    let (part, most) = match tier {
        Tier::High => (1, u32::MAX),
        Tier::Medium => (2, 20),
        Tier::Low => (4, 10),
        Tier::Audio => return None,
    };
    // One small picture has no need to be tall, and no pixels to spare for a screen.
    let small = tier == Tier::Low;
    let (times, over) = match screen && !small {
        true => SCREEN,
        false => (1, 1),
    };
    let most = if screen { most.min(SCREEN_FPS) } else { most };
    let side = |side: u32| (side * times / (over * part)) & !1;
    let (width, height) = (side(canvas.width), side(canvas.height));
    let size = match portrait && !small {
        true => Size::new(height, width),
        false => Size::new(width, height),
    };
    let fps = fps.min(most);
    Some(Shape { size, fps })
}

/// What somebody gets, as they are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// The tier.
    pub tier: Tier,
    /// What they chose.
    pub quality: Quality,
    /// Why it is not a better one.
    pub because: Because,
    /// Bit/s of its pictures.
    pub bitrate: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HD: Size = Size::new(1280, 720);

    fn pictures(tier: Tier, portrait: bool, screen: bool) -> Option<(u32, u32, u32)> {
        let shape = shape(tier, HD, 25, portrait, screen)?;
        Some((shape.size.width, shape.size.height, shape.fps))
    }

    #[test]
    fn tiers_are_as_documented() {
        for (tier, lying, standing, screen) in [
            (
                Tier::High,
                (1280, 720, 25),
                (720, 1280, 25),
                (1920, 1080, 10),
            ),
            (Tier::Medium, (640, 360, 20), (360, 640, 20), (960, 540, 10)),
            (Tier::Low, (320, 180, 10), (320, 180, 10), (320, 180, 10)),
        ] {
            assert_eq!(pictures(tier, false, false), Some(lying), "{tier:?}");
            assert_eq!(pictures(tier, true, false), Some(standing), "{tier:?}");
            assert_eq!(pictures(tier, false, true), Some(screen), "{tier:?}");
        }
        assert_eq!(pictures(Tier::Audio, false, false), None);
        let slow = shape(Tier::Medium, HD, 12, false, false);
        assert_eq!(slow.map(|shape| shape.fps), Some(12));
    }

    #[test]
    fn the_least_of_all_says_decides_and_says_why() {
        let tiers = Tiers::default();
        let (high, medium, low) = (Tier::High, Tier::Medium, Tier::Low);
        for (quality, line, cap, tier, because) in [
            (Quality::Auto, high, high, high, Because::Chosen),
            (Quality::Auto, low, high, low, Because::Line),
            (Quality::Auto, high, medium, medium, Because::Server),
            (Quality::Auto, low, medium, low, Because::Line),
            (Quality::Auto, medium, medium, medium, Because::Server),
            (Quality::Medium, medium, medium, medium, Because::Chosen),
            (Quality::High, medium, high, medium, Because::Line),
            (Quality::Audio, high, high, Tier::Audio, Because::Chosen),
        ] {
            let picked = tiers.pick(quality, line, cap);
            assert_eq!(picked, (tier, because), "{quality:?} {line:?} {cap:?}");
        }
    }

    #[test]
    fn a_tier_that_is_switched_off_is_passed_over() {
        let tiers = Tiers {
            medium: 0,
            ..Tiers::default()
        };
        let chosen = tiers.pick(Quality::Medium, Tier::High, Tier::High);
        assert_eq!(chosen, (Tier::Low, Because::Chosen));
        let none = Tiers { low: 0, ..tiers };
        let little = none.pick(Quality::Auto, Tier::Medium, Tier::High);
        assert_eq!(little, (Tier::Audio, Because::Line));
        assert_eq!(none.all(), [Tier::Audio, Tier::High]);
    }
}
