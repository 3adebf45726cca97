//! Layouts with one large place, which is the first, and the others beside it: at the right of a
//! wide canvas, below on a tall one. Pure geometry, like [`layout`](super::layout).

use super::layout::{Grid, NARROWEST, blocks, even, grid, is_tall};
use crate::media::{Layout, Rect, Size};

/// The strip beside the speaker has at most this part of a wide canvas: a 16:9 camera fills what
/// is left with less than a fifth cropped away.
const STRIP: u32 = 6;
/// And of a tall canvas, where a lying camera cannot fill what is left anyway.
const STRIP_TALL: u32 = 4;
/// Beside a screen, where every pixel is wanted: a 1920 wide one stays nine tenths as large.
const STRIP_SCREEN: u32 = 10;

/// Places `tiles` pictures on `canvas` by a layout; it may show fewer.
///
/// What holds for the places of [`grid`] holds for these, but that the first one may be larger
/// than the others.
pub fn places(layout: Layout, canvas: Size, tiles: usize, gutter: u32) -> Vec<Rect> {
    let part = if is_tall(canvas) { STRIP_TALL } else { STRIP };
    match layout {
        Layout::Grid => grid(canvas, tiles, gutter),
        Layout::Solo => grid(canvas, tiles.min(1), gutter),
        Layout::Speaker => beside(canvas, tiles, gutter, part),
        // On a tall canvas a screen leaves half of the height anyway.
        Layout::Presentation if is_tall(canvas) => grid(canvas, tiles.min(2), gutter),
        Layout::Presentation => beside(canvas, tiles.min(2), gutter, STRIP_SCREEN),
    }
}

/// One large place, and a strip of at most one `part` of the longer side.
fn beside(canvas: Size, tiles: usize, gutter: u32, part: u32) -> Vec<Rect> {
    let canvas = Size::new(even(canvas.width), even(canvas.height));
    let tall = is_tall(canvas);
    let others = u32::try_from(tiles.saturating_sub(1)).unwrap_or(u32::MAX);
    let room = match tall {
        true => Size::new(canvas.width, canvas.height / part),
        false => Size::new(canvas.width / part, canvas.height),
    };
    let strip = (others > 0).then(|| Grid::best(room, others, even(gutter), NARROWEST));
    let Some(strip) = strip.flatten() else {
        return grid(canvas, tiles, gutter);
    };
    // What the strip does not need is the large place's.
    let used = strip.used();
    let (strip_size, large) = match tall {
        true => (
            Size::new(canvas.width, used.height),
            Size::new(canvas.width, canvas.height - used.height - gutter),
        ),
        false => (
            Size::new(used.width, canvas.height),
            Size::new(canvas.width - used.width - gutter, canvas.height),
        ),
    };
    let large = Rect {
        x: 0,
        y: 0,
        width: blocks(large.width),
        height: blocks(large.height),
    };
    let (right, down) = match tall {
        true => (0, canvas.height - strip_size.height),
        false => (canvas.width - strip_size.width, 0),
    };
    let beside = strip.places(strip_size).into_iter().map(|place| Rect {
        x: place.x + right,
        y: place.y + down,
        ..place
    });
    std::iter::once(large).chain(beside).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LAYOUTS: [Layout; 4] = [
        Layout::Grid,
        Layout::Speaker,
        Layout::Presentation,
        Layout::Solo,
    ];

    #[test]
    fn a_screen_keeps_nine_tenths_of_its_size() {
        let places = places(Layout::Presentation, Size::new(1920, 1080), 9, 16);
        assert_eq!(places.len(), 2);
        assert!(places[0].width * 100 >= 1920 * 89, "{:?}", places[0]);
    }

    proptest! {
        #[test]
        fn places_are_even_apart_and_inside(
            width in 320u32..2000, height in 320u32..2000,
            tiles in 0usize..50, gutter in prop::sample::select(vec![0u32, 16, 32]),
            layout in prop::sample::select(LAYOUTS.to_vec()),
        ) {
            let canvas = Size::new(width, height);
            let places = places(layout, canvas, tiles, gutter);
            let shown = match layout {
                Layout::Solo => tiles.min(1),
                Layout::Presentation => tiles.min(2),
                _ => tiles,
            };
            prop_assert_eq!(places.len(), shown);
            for (n, r) in places.iter().enumerate() {
                prop_assert!((r.x | r.y | r.width | r.height) & 1 == 0, "{:?}", r);
                prop_assert!(r.width >= 2 && r.height >= 2);
                prop_assert!(r.x + r.width <= width && r.y + r.height <= height, "{:?}", r);
                for other in &places[..n] {
                    let apart = r.x >= other.x + other.width || other.x >= r.x + r.width
                        || r.y >= other.y + other.height || other.y >= r.y + r.height;
                    prop_assert!(apart, "{:?} {:?}", r, other);
                }
            }
            if matches!(layout, Layout::Speaker) && tiles > 1 {
                let area = |r: &Rect| r.width * r.height;
                prop_assert!(places[1..].iter().all(|r| area(r) <= area(&places[0])));
            }
        }
    }
}
