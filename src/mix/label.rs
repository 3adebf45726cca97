//! What stands in a tile besides pictures: names, and avatars of those without video.

use std::sync::Arc;

use unicode_segmentation::UnicodeSegmentation;

use super::overlay::Overlay;
use super::pixels::Yuv;
use super::text::{self, Line, Style};
use crate::id::{DisplayName, ParticipantId};
use crate::media::Size;

/// Canvas between and around tiles, and bars within them: dark grey, as the page's stage.
pub const BACKGROUND: Yuv = Yuv::from_rgb(0x20, 0x21, 0x24);

/// Behind the words of an empty room: a calm slate.
pub const CALM: Yuv = Yuv::from_rgb(0x26, 0x32, 0x3f);

/// What a canvas without tiles says.
pub const EMPTY_ROOM: &str = "Nobody else is here yet";

/// Behind the initials. White on each has a contrast of at least 4.5 to 1 (WCAG 2.1, AA).
const AVATARS: [[u8; 3]; 12] = [
    [0x1b, 0x5e, 0x9b], // blue
    [0xb7, 0x1c, 0x1c], // red
    [0x2e, 0x72, 0x32], // green
    [0x7b, 0x1f, 0xa2], // purple
    [0x9a, 0x4a, 0x00], // orange
    [0x00, 0x69, 0x5c], // teal
    [0xad, 0x14, 0x57], // pink
    [0x5b, 0x66, 0x00], // olive
    [0x45, 0x27, 0xa0], // violet
    [0x5d, 0x40, 0x37], // brown
    [0x45, 0x5a, 0x64], // steel
    [0x28, 0x35, 0x93], // indigo
];

/// The colour of somebody's avatar: people who joined one after the other differ.
pub fn avatar_colour(who: ParticipantId) -> Yuv {
    let [r, g, b] = AVATARS[who.0 as usize % AVATARS.len()];
    Yuv::from_rgb(r, g, b)
}

/// The initials of a name, to be centred in a tile; `None` while they are not ready.
pub fn initials(name: &DisplayName, tile: Size) -> Option<Arc<Overlay>> {
    let pixels = (tile.width.min(tile.height) * 2 / 5) & !1;
    if pixels < 8 {
        return None;
    }
    text::picture(&Line {
        text: initials_of(name.as_str()),
        pixels,
        width: tile.width,
        style: Style::Plain,
    })
}

/// The strip with a name for a tile's lower left corner; `None` while it is not ready, and for
/// tiles too small to be written on.
pub fn name_strip(name: &DisplayName, tile: Size) -> Option<Arc<Overlay>> {
    if tile.width < 64 || tile.height < 48 {
        return None;
    }
    text::picture(&Line {
        text: name.as_str().to_owned(),
        // Of a tall tile its width counts.
        pixels: (tile.height.min(tile.width * 9 / 16) / 16).clamp(12, 28) & !1,
        width: tile.width,
        style: Style::Strip,
    })
}

/// The words for the middle of an empty canvas; `None` while they are not ready.
pub fn empty_room(canvas: Size) -> Option<Arc<Overlay>> {
    text::picture(&Line {
        text: EMPTY_ROOM.to_owned(),
        pixels: (canvas.width / 28).clamp(12, 48) & !1,
        width: canvas.width,
        style: Style::Plain,
    })
}

/// First letters of the first and the last word, in capitals; of a name without letters or
/// digits its first sign.
fn initials_of(name: &str) -> String {
    let first = |word: &str| {
        word.graphemes(true)
            .find(|g| g.chars().any(char::is_alphanumeric))
            .map(str::to_uppercase)
    };
    let mut letters = name.split_whitespace().filter_map(first);
    match (letters.next(), letters.next_back()) {
        (Some(first), Some(last)) => first + &last,
        (Some(only), None) => only,
        (None, _) => name.graphemes(true).next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn initials_are_of_the_first_and_last_word() {
        for (name, initials) in [
            ("Ann", "A"),
            ("ada lovelace", "AL"),
            ("Johann Sebastian Bach", "JB"),
            ("(Bob) smith", "BS"),
            ("김철수", "김"),
            ("élan vital", "ÉV"),
            ("👩‍🚀 ✨", "👩‍🚀"),
            ("7 of 9", "79"),
            ("שרה לוי", "של"),
        ] {
            assert_eq!(initials_of(name), initials, "{name}");
        }
    }

    /// WCAG 2.1 relative luminance.
    fn luminance(rgb: [u8; 3]) -> f64 {
        let [r, g, b] = rgb.map(|c| {
            let c = f64::from(c) / 255.0;
            if c <= 0.04045 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    #[test]
    fn white_is_readable_on_every_avatar_and_all_differ() {
        for (n, colour) in AVATARS.iter().enumerate() {
            let contrast = 1.05 / (luminance(*colour) + 0.05);
            assert!(contrast >= 4.5, "{colour:x?} {contrast}");
            for other in &AVATARS[..n] {
                let apart: u32 = colour
                    .iter()
                    .zip(other)
                    .map(|(a, b)| u32::from(a.abs_diff(*b)))
                    .sum();
                assert!(apart >= 48, "{colour:x?} and {other:x?}");
            }
        }
        assert_ne!(
            avatar_colour(ParticipantId(3)),
            avatar_colour(ParticipantId(4))
        );
    }
}
