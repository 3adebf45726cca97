//! How a picture of one shape is brought into a tile of another. Pure geometry.

use crate::media::{Fit, Rect, Rotation, Size};

/// Most of a side that [`Fit::Crop`] cuts away, in hundredths; what does not fit then is
/// letterboxed. More would cut heads.
const MOST_CROPPED: u32 = 20;

/// Up to so much of a side, in hundredths, is cut away so that pixels can be copied, or doubled,
/// as they are: sharper than scaling, and a fraction of its cost.
const CROPPED_FOR_PIXELS: u32 = 5;

/// Which part of a source goes where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Placement {
    /// The part that is shown, on the upright source.
    pub source: Rect,
    /// Where it goes on the canvas; inside the tile, the rest of which is bars.
    pub target: Rect,
}

impl Placement {
    /// Pixels are copied one to one.
    pub fn is_copy(&self) -> bool {
        self.source.size() == self.target.size()
    }

    /// Every pixel becomes two by two.
    pub fn is_doubling(&self) -> bool {
        self.source.width * 2 == self.target.width && self.source.height * 2 == self.target.height
    }
}

/// The size of a picture once it stands upright.
pub fn upright(size: Size, rotation: Rotation) -> Size {
    match rotation {
        Rotation::R0 | Rotation::R180 => size,
        Rotation::R90 | Rotation::R270 => Size::new(size.height, size.width),
    }
}

/// Places a decoded picture of size `source`, to be turned by `rotation`, in `tile`.
///
/// All numbers of the answer are even, as I420 needs it. `None` where either has less than two
/// by two pixels.
pub fn place(source: Size, rotation: Rotation, tile: Rect, fit: Fit) -> Option<Placement> {
    let size = upright(source, rotation);
    let size = Size::new(size.width & !1, size.height & !1);
    if size.width < 2 || size.height < 2 || tile.width < 2 || tile.height < 2 {
        return None;
    }
    let room = tile.size();
    let (crop, drawn) = match fit {
        Fit::Whole => (size, contained(size, room)),
        Fit::Crop => match pixel_crop(size, room).or_else(|| shape_crop(size, room)) {
            Some(crop) => (crop, room),
            None => {
                let crop = most_crop(size, room);
                (crop, contained(crop, room))
            }
        },
    };
    let whole = Rect {
        x: 0,
        y: 0,
        width: size.width,
        height: size.height,
    };
    Some(Placement {
        source: centred(whole, crop),
        target: centred(tile, drawn),
    })
}

/// The crop that needs no scaling, or exact doubling, if it takes little.
fn pixel_crop(size: Size, room: Size) -> Option<Size> {
    [1, 2].into_iter().find_map(|factor| {
        if !room.width.is_multiple_of(2 * factor) || !room.height.is_multiple_of(2 * factor) {
            return None;
        }
        let crop = Size::new(room.width / factor, room.height / factor);
        let little = |whole: u32, part: u32| {
            part <= whole && (whole - part) * 100 <= whole * CROPPED_FOR_PIXELS
        };
        (little(size.width, crop.width) && little(size.height, crop.height)).then_some(crop)
    })
}

/// The crop to the tile's shape, if it takes no more than it may.
fn shape_crop(size: Size, room: Size) -> Option<Size> {
    let width = proportional(size.height, room.width, room.height);
    if width <= size.width {
        return (width >= least(size.width)).then_some(Size::new(width, size.height));
    }
    let height = proportional(size.width, room.height, room.width).min(size.height);
    (height >= least(size.height)).then_some(Size::new(size.width, height))
}

/// The most that may be cropped towards the tile's shape.
fn most_crop(size: Size, room: Size) -> Size {
    let wider = u64::from(size.width) * u64::from(room.height)
        > u64::from(room.width) * u64::from(size.height);
    if wider {
        Size::new(least(size.width), size.height)
    } else {
        Size::new(size.width, least(size.height))
    }
}

/// What must be left of a side, even.
fn least(side: u32) -> u32 {
    let left = (side * (100 - MOST_CROPPED)).div_ceil(100);
    left.next_multiple_of(2).min(side)
}

/// The largest size of `shape`'s proportions within `room`; all of `room` where rounding to even
/// numbers is the only difference.
fn contained(shape: Size, room: Size) -> Size {
    let width = proportional(room.height, shape.width, shape.height);
    let height = proportional(room.width, shape.height, shape.width);
    if width.abs_diff(room.width) <= 2 && height.abs_diff(room.height) <= 2 {
        room
    } else if width < room.width {
        Size::new(width.max(2), room.height)
    } else {
        Size::new(room.width, height.min(room.height).max(2))
    }
}

/// `length * by / of`, even.
fn proportional(length: u32, by: u32, of: u32) -> u32 {
    let exact = u64::from(length) * u64::from(by) / u64::from(of);
    u32::try_from(exact + 1).unwrap_or(u32::MAX) & !1
}

fn centred(room: Rect, size: Size) -> Rect {
    Rect {
        x: room.x + (((room.width - size.width) / 2) & !1),
        y: room.y + (((room.height - size.height) / 2) & !1),
        width: size.width,
        height: size.height,
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

    fn placed(source: (u32, u32), tile: Rect, fit: Fit) -> (Rect, Rect) {
        let placement = place(Size::new(source.0, source.1), Rotation::R0, tile, fit).unwrap();
        (placement.source, placement.target)
    }

    #[test]
    fn a_camera_slightly_larger_than_its_tile_keeps_its_pixels() {
        let tile = rect(656, 0, 624, 352);
        assert_eq!(
            placed((640, 360), tile, Fit::Crop),
            (rect(8, 4, 624, 352), tile)
        );
        let placement = place(Size::new(320, 180), Rotation::R0, tile, Fit::Crop).unwrap();
        assert_eq!(placement.source, rect(4, 2, 312, 176));
        assert!(placement.is_doubling());
    }

    #[test]
    fn a_camera_is_cropped_to_the_tiles_shape() {
        // 16:9 into 3:2.
        assert_eq!(
            placed((640, 360), rect(0, 0, 480, 320), Fit::Crop),
            (rect(50, 0, 540, 360), rect(0, 0, 480, 320))
        );
        // 4:3 into 16:9 would need 25 %.
        let (source, target) = placed((640, 480), rect(0, 0, 1280, 720), Fit::Crop);
        assert_eq!(source, rect(0, 48, 640, 384));
        assert_eq!(target, rect(40, 0, 1200, 720));
    }

    #[test]
    fn an_upright_phone_is_cropped_by_a_fifth_and_letterboxed() {
        let tile = rect(16, 16, 624, 352);
        let placement = place(Size::new(640, 360), Rotation::R90, tile, Fit::Crop).unwrap();
        assert_eq!(placement.source, rect(0, 64, 360, 512));
        assert_eq!(placement.target, rect(16 + 188, 16, 248, 352));
    }

    #[test]
    fn a_screen_share_is_never_cropped() {
        for source in [(640, 360), (1920, 1080), (1080, 1920), (300, 1000)] {
            let (shown, _) = placed(source, rect(0, 0, 624, 352), Fit::Whole);
            assert_eq!(shown, rect(0, 0, source.0, source.1));
        }
        let (_, target) = placed((1920, 1080), rect(0, 0, 1280, 720), Fit::Whole);
        assert_eq!(target, rect(0, 0, 1280, 720));
    }

    #[test]
    fn no_pixels_no_place() {
        let tile = rect(0, 0, 64, 64);
        assert_eq!(place(Size::new(1, 9), Rotation::R0, tile, Fit::Crop), None);
        assert_eq!(
            place(Size::new(9, 9), Rotation::R0, rect(0, 0, 0, 4), Fit::Crop),
            None
        );
    }

    proptest! {
        #[test]
        fn places_are_even_inside_and_keep_the_shape(
            w in 16u32..1920, h in 16u32..1088, turned: bool, whole: bool,
            tw in 20u32..640, th in 20u32..360, x in 0u32..300, y in 0u32..300,
        ) {
            let tile = rect(x * 2, y * 2, tw * 2, th * 2);
            let rotation = if turned { Rotation::R270 } else { Rotation::R180 };
            let fit = if whole { Fit::Whole } else { Fit::Crop };
            let placement = place(Size::new(w, h), rotation, tile, fit).unwrap();
            let (w, h) = if turned { (h, w) } else { (w, h) };
            for r in [placement.source, placement.target] {
                prop_assert!((r.x | r.y | r.width | r.height) & 1 == 0, "{:?}", r);
                prop_assert!(r.width >= 2 && r.height >= 2);
            }
            let (s, t) = (placement.source, placement.target);
            prop_assert!(s.x + s.width <= w && s.y + s.height <= h);
            prop_assert!(t.x >= tile.x && t.x + t.width <= tile.x + tile.width);
            prop_assert!(t.y >= tile.y && t.y + t.height <= tile.y + tile.height);
            prop_assert!(t.width == tile.width || t.height == tile.height);
            let least = |side: u32| if whole { (side & !1) as f64 } else { (side & !1) as f64 * 0.8 };
            prop_assert!(s.width as f64 >= least(w) && s.height as f64 >= least(h));
            // Stretching is only what rounding to even numbers makes of it.
            let shorter = |r: Rect| f64::from(r.width.min(r.height));
            if shorter(t) >= 4.0 {
                let across = f64::from(t.width) / f64::from(s.width);
                let down = f64::from(t.height) / f64::from(s.height);
                let rounding = 1.5 / shorter(s) + 3.0 / shorter(t);
                prop_assert!((across / down).ln().abs() <= rounding, "{:?}", placement);
            }
        }
    }
}
