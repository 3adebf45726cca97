//! A mark in the picture that a machine reads back: which source this is and which of its frames.
//!
//! The mark is a grid of black and white cells in the middle of the picture: 8 bits of source,
//! 16 bits of frame counter, a CRC-16 over both, and 8 cells of fixed colour that tell the
//! reader where black and white lie. It covers half the width and a bit over half the height, so
//! that a cell has 6 x 4.8 pixels in a tile of 96 x 54, and so that cropping a fifth of the
//! picture's width or height takes nothing away.
//!
//! A reader knows the tile and the shape of the source. How much of the source shows (cropped or
//! letterboxed) is one unknown, the scale, because both keep the centre: it tries those that a
//! mixer might choose, and the CRC says which was right.

use crate::media::{Rect, Size};

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark {
    /// Which source.
    pub source: u8,
    /// Which picture of its loop.
    pub frame: u16,
}

const COLUMNS: usize = 8;
const ROWS: usize = 6;
/// Width of the mark as a share of the picture's.
const WIDTH: f64 = 0.5;
/// Height of the mark as a share of the picture's: 192 of 360, so whole cells in multiples of 8.
const HEIGHT: f64 = 192.0 / 360.0;
/// Luma of the cells: short of the limits, because full contrast costs an encoder more bits.
const BLACK: u8 = 32;
const WHITE: u8 = 216;
/// White must be lighter than black by this much, else what is there is no mark: a third of what
/// was drawn, which even a fade to black keeps for half its length.
const CONTRAST: f64 = 60.0;
/// A mixer crops at most this share of a camera's width or height.
const CROP: f64 = 0.2;

/// A plane of luma and how to step through it.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// Rows of `stride` bytes.
    pub luma: &'a [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Pixels that count.
    pub size: Size,
}

/// Draws the mark into the luma of a picture whose rows lie `size.width` bytes apart.
pub fn draw(luma: &mut [u8], size: Size, mark: Mark) {
    let cells = cells(mark);
    let (width, height) = (size.width as f64, size.height as f64);
    let (left, top) = (width * (1.0 - WIDTH) / 2.0, height * (1.0 - HEIGHT) / 2.0);
    let edge = |start: f64, length: f64, part: usize, parts: usize| {
        (start + length * part as f64 / parts as f64).round() as usize
    };
    for row in 0..ROWS {
        let rows = edge(top, height * HEIGHT, row, ROWS)..edge(top, height * HEIGHT, row + 1, ROWS);
        for y in rows {
            let line = &mut luma[y * size.width as usize..][..size.width as usize];
            for column in 0..COLUMNS {
                let from = edge(left, width * WIDTH, column, COLUMNS);
                let to = edge(left, width * WIDTH, column + 1, COLUMNS);
                line[from..to].fill(if cells[row * COLUMNS + column] {
                    WHITE
                } else {
                    BLACK
                });
            }
        }
    }
}

/// Reads the mark of a source of shape `source` shown in `tile`; `None` if there is none or it
/// cannot be read.
pub fn read(plane: Plane<'_>, tile: Rect, source: Size) -> Option<Mark> {
    if tile.x + tile.width > plane.size.width || tile.y + tile.height > plane.size.height {
        return None;
    }
    scales(tile.size(), source)
        .into_iter()
        .find_map(|scale| read_at(plane, tile, source, scale))
}

/// Scales from source to tile worth trying, the likeliest first; the last two are for mixers that
/// cut a little more to copy or double pixels as they are.
fn scales(tile: Size, source: Size) -> [f64; 7] {
    let across = tile.width as f64 / source.width as f64;
    let down = tile.height as f64 / source.height as f64;
    let (whole, full) = (across.min(down), across.max(down));
    let cropped = full.min(whole / (1.0 - CROP));
    let between = |share: f64| whole + (cropped - whole) * share;
    [cropped, whole, full, between(0.5), between(0.75), 1.0, 2.0]
}

fn read_at(plane: Plane<'_>, tile: Rect, source: Size, scale: f64) -> Option<Mark> {
    let (width, height) = (
        source.width as f64 * scale * WIDTH,
        source.height as f64 * scale * HEIGHT,
    );
    if width > tile.width as f64 || height > tile.height as f64 {
        return None;
    }
    let left = tile.x as f64 + (tile.width as f64 - width) / 2.0;
    let top = tile.y as f64 + (tile.height as f64 - height) / 2.0;
    let (across, down) = (width / COLUMNS as f64, height / ROWS as f64);
    let mut light = [0.0; COLUMNS * ROWS];
    for (index, light) in light.iter_mut().enumerate() {
        let x = left + ((index % COLUMNS) as f64 + 0.5) * across;
        let y = top + ((index / COLUMNS) as f64 + 0.5) * down;
        *light = mean(plane, x, y, across, down);
    }
    let average = |white: bool| {
        let cells = fixed().filter(|&(_, colour)| colour == white);
        cells.map(|(index, _)| light[index]).sum::<f64>() / 4.0
    };
    let (white, black) = (average(true), average(false));
    if white - black < CONTRAST {
        return None;
    }
    let middle = (white + black) / 2.0;
    decode(&light.map(|light| light > middle))
}

/// Mean luma over the inner half of a cell around `x`, `y`, on a grid of 3 x 3 points.
fn mean(plane: Plane<'_>, x: f64, y: f64, across: f64, down: f64) -> f64 {
    let mut sum = 0;
    for dy in [-0.25, 0.0, 0.25] {
        for dx in [-0.25, 0.0, 0.25] {
            let column = ((x + dx * across) as usize).min(plane.size.width as usize - 1);
            let row = ((y + dy * down) as usize).min(plane.size.height as usize - 1);
            sum += plane.luma[row * plane.stride + column] as u32;
        }
    }
    sum as f64 / 9.0
}

/// The cells of fixed colour, at the four corners: index, white or black. Four of each.
fn fixed() -> impl Iterator<Item = (usize, bool)> {
    [0, 1, ROWS - 2, ROWS - 1].into_iter().flat_map(|row| {
        let white = row % 2 == 0;
        [
            (row * COLUMNS, white),
            (row * COLUMNS + COLUMNS - 1, !white),
        ]
    })
}

fn is_fixed(index: usize) -> bool {
    fixed().any(|(fixed, _)| fixed == index)
}

fn cells(mark: Mark) -> [bool; COLUMNS * ROWS] {
    let mut cells = [false; COLUMNS * ROWS];
    for (index, white) in fixed() {
        cells[index] = white;
    }
    let bits = (mark.source as u64) << 32 | (mark.frame as u64) << 16 | crc(mark) as u64;
    let free = (0..COLUMNS * ROWS).filter(|&index| !is_fixed(index));
    for (index, bit) in free.zip((0..40).rev()) {
        cells[index] = bits >> bit & 1 == 1;
    }
    cells
}

fn decode(cells: &[bool; COLUMNS * ROWS]) -> Option<Mark> {
    if fixed().any(|(index, white)| cells[index] != white) {
        return None;
    }
    let bits = (0..COLUMNS * ROWS)
        .filter(|&index| !is_fixed(index))
        .fold(0u64, |bits, index| bits << 1 | cells[index] as u64);
    let mark = Mark {
        source: (bits >> 32) as u8,
        frame: (bits >> 16) as u16,
    };
    (crc(mark) == bits as u16).then_some(mark)
}

/// CRC-16/CCITT-FALSE, bit by bit: three bytes a picture are not worth a table.
fn crc(mark: Mark) -> u16 {
    let [high, low] = mark.frame.to_be_bytes();
    let mut crc = 0xffff_u16;
    for byte in [mark.source, high, low] {
        crc ^= (byte as u16) << 8;
        for _ in 0..8 {
            let carry = crc & 0x8000 != 0;
            crc <<= 1;
            if carry {
                crc ^= 0x1021;
            }
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};

    use super::*;

    /// What a mixer and an encoder do to a picture: crop to the tile's shape by at most a fifth,
    /// letterbox the rest, scale by averaging, blur into blocks of 2 x 2, add noise.
    fn shown(
        source: &[u8],
        size: Size,
        tile: Rect,
        canvas: Size,
        noise: i16,
        seed: u64,
    ) -> Vec<u8> {
        let scale = scales(tile.size(), size)[0];
        scaled(source, size, scale, tile, canvas, noise, seed)
    }

    fn scaled(
        source: &[u8],
        size: Size,
        scale: f64,
        tile: Rect,
        canvas: Size,
        noise: i16,
        seed: u64,
    ) -> Vec<u8> {
        let mut out = vec![16; (canvas.width * canvas.height) as usize];
        let mut rng = SmallRng::seed_from_u64(seed);
        for y in 0..tile.height {
            for x in 0..tile.width {
                let mut sum = 0.0;
                let mut seen = 0.0;
                for (dx, dy) in [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)] {
                    let x =
                        (x as f64 + dx - tile.width as f64 / 2.0) / scale + size.width as f64 / 2.0;
                    let y = (y as f64 + dy - tile.height as f64 / 2.0) / scale
                        + size.height as f64 / 2.0;
                    if x >= 0.0 && y >= 0.0 && x < size.width as f64 && y < size.height as f64 {
                        sum += source[y as usize * size.width as usize + x as usize] as f64;
                        seen += 1.0;
                    }
                }
                let light = if seen > 0.0 { sum / seen } else { 16.0 };
                let noisy = light as i16 + rng.random_range(-noise..=noise);
                out[((tile.y + y) * canvas.width + tile.x + x) as usize] =
                    noisy.clamp(0, 255) as u8;
            }
        }
        for y in (tile.y..tile.y + tile.height - 1).step_by(2) {
            for x in (tile.x..tile.x + tile.width - 1).step_by(2) {
                let at = (y * canvas.width + x) as usize;
                let below = at + canvas.width as usize;
                let block = [at, at + 1, below, below + 1];
                let mean = block.iter().map(|&i| out[i] as u32).sum::<u32>() / 4;
                for i in block {
                    out[i] = mean as u8;
                }
            }
        }
        out
    }

    fn textured(size: Size, seed: u64) -> Vec<u8> {
        let mut luma = vec![0; (size.width * size.height) as usize];
        SmallRng::seed_from_u64(seed).fill_bytes(&mut luma);
        luma
    }

    fn plane(luma: &[u8], size: Size) -> Plane<'_> {
        Plane {
            luma,
            stride: size.width as usize,
            size,
        }
    }

    proptest! {
        #[test]
        fn marks_survive_scaling_cropping_and_noise(
            source: u8, frame: u16, seed: u64,
            width in 96u32..480, shape in 0.8f64..1.25,
            x in 0u32..40, y in 0u32..40, portrait: bool,
        ) {
            let size = if portrait { Size::new(360, 640) } else { Size::new(640, 360) };
            let mark = Mark { source, frame };
            let mut luma = textured(size, seed);
            draw(&mut luma, size, mark);
            // The tile's shape is off the source's by up to what may be cropped, and by more.
            let aspect = size.width as f64 / size.height as f64 * shape * shape;
            let width = width.max((54.0 * aspect).ceil() as u32);
            let height = ((width as f64 / aspect) as u32).max(54);
            let tile = Rect { x, y, width, height };
            let canvas = Size::new(x + width + 3, y + height + 5);
            let out = shown(&luma, size, tile, canvas, 40, seed);
            prop_assert_eq!(read(plane(&out, canvas), tile, size), Some(mark));
        }

        #[test]
        fn what_is_no_mark_is_not_read(seed: u64) {
            let size = Size::new(96, 54);
            let luma = textured(size, seed);
            let tile = Rect { x: 0, y: 0, width: 96, height: 54 };
            prop_assert_eq!(read(plane(&luma, size), tile, Size::new(640, 360)), None);
        }

        #[test]
        fn one_wrong_cell_is_noticed(source: u8, frame: u16, wrong in 0usize..48) {
            let mut cells = cells(Mark { source, frame });
            cells[wrong] = !cells[wrong];
            prop_assert_eq!(decode(&cells), None);
        }
    }

    #[test]
    fn the_smallest_tile_can_be_read_for_every_frame() {
        let (size, small) = (Size::new(640, 360), Size::new(96, 54));
        let tile = Rect {
            x: 0,
            y: 0,
            width: 96,
            height: 54,
        };
        let mut luma = textured(size, 7);
        for frame in (0..=u16::MAX).step_by(251) {
            let mark = Mark {
                source: (frame >> 8) as u8,
                frame,
            };
            draw(&mut luma, size, mark);
            let out = shown(&luma, size, tile, small, 30, frame as u64);
            assert_eq!(read(plane(&out, small), tile, size), Some(mark));
        }
    }

    #[test]
    fn pixels_copied_or_doubled_as_they_are_can_be_read() {
        let size = Size::new(640, 360);
        let mark = Mark {
            source: 9,
            frame: 4_711,
        };
        let mut luma = textured(size, 3);
        draw(&mut luma, size, mark);
        for (scale, width, height) in [(1.0, 608, 344), (2.0, 1_216, 688)] {
            let tile = Rect {
                x: 16,
                y: 16,
                width,
                height,
            };
            let canvas = Size::new(1_280, 720);
            let out = scaled(&luma, size, scale, tile, canvas, 40, 1);
            assert_eq!(read(plane(&out, canvas), tile, size), Some(mark));
        }
    }

    #[test]
    fn a_tile_outside_the_picture_is_no_mark() {
        let size = Size::new(96, 54);
        let tile = Rect {
            x: 8,
            y: 0,
            width: 96,
            height: 54,
        };
        assert_eq!(read(plane(&textured(size, 1), size), tile, size), None);
    }
}
