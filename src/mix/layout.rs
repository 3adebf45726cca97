//! Where tiles stand on a canvas. Pure geometry: the same arguments give the same places.
//!
//! All tiles of a grid have one size, so that a source is scaled once for everybody. Among all
//! numbers of columns the one that shows most of a camera wins: two people sit side by side on a
//! wide canvas and one above the other on a tall one.

use super::place::place;
use crate::media::{Fit, Rect, Rotation, Size};

/// Widest tile, as width / height in hundredths: a 16:9 camera fills it with less than a tenth of
/// its height cropped away.
const WIDEST: u32 = 190;
/// Narrowest tile on a wide canvas: a 16:9 camera fills it with 16 % of its width cropped away.
pub(super) const NARROWEST: u32 = 150;
/// Narrowest tile on a tall canvas, which phones ask for, among whose people are phones held
/// upright: a tile as tall as they are. Bars above and below a laptop's camera are no loss there.
const NARROWEST_TALL: u32 = 57;

/// Cameras by which grids are judged, large enough that pixels play no part.
const LYING: Size = Size::new(16_000, 9_000);
/// A phone held upright.
const UPRIGHT: Size = Size::new(9_000, 16_000);

/// Codecs work on blocks of this many pixels; a tile whose edges lie between blocks costs no
/// bits for what its neighbour does.
const BLOCK: u32 = 16;

/// From this length on, whole blocks cost at most an eighth of it; below, even is enough.
const WORTH_BLOCKS: u32 = 8 * BLOCK;

/// Places `tiles` tiles of one size on `canvas`, row by row, the last row centred.
///
/// One tile takes the whole canvas. Places are even and inside the canvas, do not overlap, are
/// at least `gutter` pixels apart unless the canvas is too small for any gutter, and are
/// multiples of 16 where the tiles are large enough for it. A canvas without two by two pixels
/// for each tile yields no places.
pub fn grid(canvas: Size, tiles: usize, gutter: u32) -> Vec<Rect> {
    let count = u32::try_from(tiles).unwrap_or(u32::MAX);
    if count == 0 {
        return Vec::new();
    }
    let canvas = Size::new(even(canvas.width), even(canvas.height));
    if count == 1 {
        let whole = Rect {
            x: 0,
            y: 0,
            width: canvas.width,
            height: canvas.height,
        };
        return Vec::from_iter((whole.width >= 2 && whole.height >= 2).then_some(whole));
    }
    let narrowest = if is_tall(canvas) {
        NARROWEST_TALL
    } else {
        NARROWEST
    };
    match Grid::best(canvas, count, even(gutter), narrowest) {
        Some(grid) => grid.places(canvas),
        None => Vec::new(),
    }
}

/// Tiles of one size in rows and columns.
pub(super) struct Grid {
    count: u32,
    columns: u32,
    rows: u32,
    tile: Size,
    gutter: u32,
    /// Pixels of a camera's picture in a tile.
    shown: u64,
}

impl Grid {
    /// The grid that shows most, without gutters where there is no room for them; `None` where
    /// there is none for tiles either. `narrowest` is width / height in hundredths.
    pub(super) fn best(canvas: Size, count: u32, gutter: u32, narrowest: u32) -> Option<Self> {
        let best = |gutter| {
            (1..=count)
                .filter_map(|columns| Self::fit(canvas, count, columns, gutter, narrowest))
                .max_by_key(Grid::rank)
        };
        best(gutter).or_else(|| best(0))
    }

    /// What it takes of a canvas.
    pub(super) fn used(&self) -> Size {
        let length = |tile: u32, parts: u32| tile * parts + self.gutter * (parts - 1);
        Size::new(
            length(self.tile.width, self.columns),
            length(self.tile.height, self.rows),
        )
    }

    /// The largest tiles that fit in so many columns; `None` where there is no room.
    fn fit(canvas: Size, count: u32, columns: u32, gutter: u32, narrowest: u32) -> Option<Self> {
        let rows = count.div_ceil(columns);
        let share = |length: u32, parts: u32| {
            let gutters = gutter.checked_mul(parts - 1)?;
            Some(even(length.checked_sub(gutters)? / parts))
        };
        let (mut width, mut height) = (share(canvas.width, columns)?, share(canvas.height, rows)?);
        width = width.min(scaled(height, WIDEST, 100));
        height = height.min(scaled(width, 100, narrowest));
        let tile = Size::new(blocks(width), blocks(height));
        (tile.width >= 2 && tile.height >= 2).then_some(Self {
            count,
            columns,
            rows,
            tile,
            gutter,
            // Where narrow tiles are wanted, it is for cameras held upright.
            shown: shown(tile, narrowest < NARROWEST),
        })
    }

    /// More to see first, then fewer empty places, then fewer rows.
    fn rank(&self) -> (u64, std::cmp::Reverse<u32>, std::cmp::Reverse<u32>) {
        (
            self.shown,
            std::cmp::Reverse(self.columns * self.rows - self.count),
            std::cmp::Reverse(self.rows),
        )
    }

    /// Where the tiles stand, in the middle of a canvas.
    pub(super) fn places(&self, canvas: Size) -> Vec<Rect> {
        let across = Line::new(canvas.width, self.tile.width, self.columns, self.gutter);
        let down = Line::new(canvas.height, self.tile.height, self.rows, self.gutter);
        (0..self.count)
            .map(|n| {
                let (row, column) = (n / self.columns, n % self.columns);
                let in_row = self.columns.min(self.count - row * self.columns);
                Rect {
                    x: across.start(canvas.width, in_row) + column * across.step,
                    y: down.start(canvas.height, self.rows) + row * down.step,
                    width: self.tile.width,
                    height: self.tile.height,
                }
            })
            .collect()
    }
}

/// Tiles along one direction.
struct Line {
    tile: u32,
    /// From one tile's edge to the next one's.
    step: u32,
}

impl Line {
    fn new(length: u32, tile: u32, parts: u32, gutter: u32) -> Self {
        let spare = length - (tile * parts + gutter * (parts - 1));
        // Two blocks between tiles at both edges look better than one block and two half ones.
        let wider = parts > 1 && gutter > 0 && spare == BLOCK * (parts - 1);
        Self {
            tile,
            step: tile + gutter + if wider { BLOCK } else { 0 },
        }
    }

    /// Where the first of `parts` tiles stands so that together they are in the middle, to a
    /// block where the tiles are whole blocks.
    fn start(&self, length: u32, parts: u32) -> u32 {
        let margin = (length - (self.step * (parts - 1) + self.tile)) / 2;
        if self.tile.is_multiple_of(BLOCK) && self.step.is_multiple_of(BLOCK) {
            margin / BLOCK * BLOCK
        } else {
            even(margin)
        }
    }
}

pub(super) fn is_tall(canvas: Size) -> bool {
    canvas.height > canvas.width
}

/// How many pixels of a tile cameras fill: a lying one, and on a tall canvas as often one held
/// upright.
fn shown(tile: Size, tall: bool) -> u64 {
    let tile = Rect {
        x: 0,
        y: 0,
        width: tile.width,
        height: tile.height,
    };
    let filled = |camera| {
        let placed = place(camera, Rotation::R0, tile, Fit::Crop);
        placed.map_or(0, |p| {
            u64::from(p.target.width) * u64::from(p.target.height)
        })
    };
    filled(LYING) + if tall { filled(UPRIGHT) } else { 0 }
}

pub(super) fn even(length: u32) -> u32 {
    length & !1
}

fn scaled(length: u32, by: u32, of: u32) -> u32 {
    let scaled = u64::from(length) * u64::from(by) / u64::from(of);
    even(u32::try_from(scaled).unwrap_or(u32::MAX))
}

/// Whole blocks, where the length is worth it.
pub(super) fn blocks(length: u32) -> u32 {
    if length >= WORTH_BLOCKS {
        length / BLOCK * BLOCK
    } else {
        even(length)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rect(x: u32, y: u32, width: u32, height: u32) -> Rect {
        Rect {
            x,
            y,
            width,
            height,
        }
    }

    fn overlap(a: &Rect, b: &Rect, apart: u32) -> bool {
        a.x < b.x + b.width + apart
            && b.x < a.x + a.width + apart
            && a.y < b.y + b.height + apart
            && b.y < a.y + a.height + apart
    }

    #[test]
    fn one_tile_is_the_whole_canvas() {
        let canvas = Size::new(1280, 720);
        assert_eq!(grid(canvas, 1, 16), [rect(0, 0, 1280, 720)]);
        assert_eq!(grid(canvas, 0, 16), []);
    }

    #[test]
    fn two_sit_side_by_side_on_a_wide_canvas_and_stacked_on_a_tall_one() {
        assert_eq!(
            grid(Size::new(1280, 720), 2, 16),
            [rect(0, 144, 624, 416), rect(656, 144, 624, 416)]
        );
        assert_eq!(
            grid(Size::new(720, 1280), 2, 16),
            [rect(0, 0, 720, 624), rect(0, 656, 720, 624)]
        );
    }

    #[test]
    fn without_gutters_four_tiles_touch() {
        assert_eq!(
            grid(Size::new(1280, 720), 4, 0),
            [
                rect(0, 0, 640, 352),
                rect(640, 0, 640, 352),
                rect(0, 352, 640, 352),
                rect(640, 352, 640, 352)
            ]
        );
    }

    #[test]
    fn a_short_last_row_is_centred() {
        let places = grid(Size::new(1280, 720), 5, 16);
        assert_eq!(places.len(), 5);
        assert_eq!(places[0].y, places[2].y);
        let (left, right) = (places[3].x, 1280 - places[4].x - places[4].width);
        assert!(left.abs_diff(right) <= BLOCK, "{left} {right}");
    }

    #[test]
    fn a_canvas_without_room_has_no_places() {
        assert_eq!(grid(Size::new(4, 4), 49, 32), []);
        assert_eq!(grid(Size::new(0, 720), 3, 16), []);
        assert_eq!(grid(Size::new(1, 1), 1, 16), []);
    }

    #[test]
    fn tiles_of_meetings_are_whole_blocks() {
        for canvas in [Size::new(1280, 720), Size::new(720, 1280)] {
            for tiles in 2..=9 {
                for gutter in [0, 16, 32] {
                    for r in grid(canvas, tiles, gutter) {
                        assert_eq!((r.x | r.y | r.width | r.height) % 16, 0, "{tiles} {r:?}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn places_are_even_apart_inside_and_of_one_size(
            width in 64u32..2000, height in 64u32..2000,
            tiles in 0usize..50, gutter in prop::sample::select(vec![0u32, 16, 32]),
        ) {
            let canvas = Size::new(width, height);
            let places = grid(canvas, tiles, gutter);
            prop_assert_eq!(&places, &grid(canvas, tiles, gutter));
            prop_assert_eq!(places.len(), tiles);
            for (n, r) in places.iter().enumerate() {
                prop_assert!((r.x | r.y | r.width | r.height) & 1 == 0);
                prop_assert!(r.width >= 2 && r.height >= 2);
                prop_assert!(r.x + r.width <= width && r.y + r.height <= height);
                prop_assert_eq!(r.size(), places[0].size());
                for other in &places[..n] {
                    // On a tiny canvas the gutters go first.
                    let apart = if width.min(height) >= 500 { gutter } else { 0 };
                    prop_assert!(!overlap(r, other, apart), "{:?} {:?}", r, other);
                }
            }
        }

        #[test]
        fn more_tiles_never_show_more(width in 320u32..2000, height in 320u32..2000, tiles in 2usize..49) {
            let canvas = Size::new(even(width), even(height));
            let seen = |n| shown(grid(canvas, n, 16)[0].size(), is_tall(canvas));
            // But for what rounding to even numbers adds.
            prop_assert!(seen(tiles) * 105 >= seen(tiles + 1) * 100);
        }
    }
}
