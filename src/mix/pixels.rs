//! Work on the pixels of I420 pictures: plain loops over rows, which the compiler turns into
//! SIMD. Knows no pipelines and allocates next to nothing.
//!
//! Places must be even and inside the pictures (the layout's property); one that is not is a
//! defect and panics on a slice bound, which ends its room.

use gstreamer::BufferRef;
use gstreamer_video::VideoFrameRef;
use gstreamer_video::prelude::*;

use super::turn;
use crate::media::{Rect, Rotation, Size};

/// One colour, BT.601 limited range: what browsers send and what every encoder here declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Yuv {
    /// Luma, 16-235.
    pub y: u8,
    /// Blue difference, 16-240.
    pub u: u8,
    /// Red difference, 16-240.
    pub v: u8,
}

impl Yuv {
    /// The colour of 8-bit sRGB components.
    pub const fn from_rgb(r: u8, g: u8, b: u8) -> Self {
        let (r, g, b) = (r as i32, g as i32, b as i32);
        Self {
            y: (16 + ((66 * r + 129 * g + 25 * b + 128) >> 8)) as u8,
            u: (128 + ((-38 * r - 74 * g + 112 * b + 128) >> 8)) as u8,
            v: (128 + ((112 * r - 94 * g - 18 * b + 128) >> 8)) as u8,
        }
    }

    fn planes(self) -> [u8; 3] {
        [self.y, self.u, self.v]
    }
}

/// An I420 picture to read from.
#[derive(Clone, Copy)]
pub struct Picture<'a> {
    size: Size,
    planes: [Plane<'a>; 3],
}

/// An I420 picture to write to.
pub struct PictureMut<'a> {
    size: Size,
    planes: [PlaneMut<'a>; 3],
}

#[derive(Clone, Copy)]
struct Plane<'a> {
    data: &'a [u8],
    stride: usize,
}

struct PlaneMut<'a> {
    data: &'a mut [u8],
    stride: usize,
}

impl<'a> Picture<'a> {
    /// The picture of a mapped frame.
    pub fn of(frame: &'a VideoFrameRef<&BufferRef>) -> Self {
        let strides = frame.plane_stride();
        let data = frame.planes_data();
        Self {
            size: Size::new(frame.width(), frame.height()),
            planes: [0, 1, 2].map(|p| Plane {
                data: data[p],
                stride: strides[p] as usize,
            }),
        }
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The colour at a place, for tests and for looking.
    pub fn at(&self, x: u32, y: u32) -> Yuv {
        let [y, u, v] = [(0, x, y), (1, x / 2, y / 2), (2, x / 2, y / 2)]
            .map(|(p, x, y)| self.planes[p].data[y as usize * self.planes[p].stride + x as usize]);
        Yuv { y, u, v }
    }
}

impl<'a> PictureMut<'a> {
    /// The picture of a mapped frame.
    pub fn of(frame: &'a mut VideoFrameRef<&mut BufferRef>) -> Self {
        let size = Size::new(frame.width(), frame.height());
        let strides: [usize; 3] = [0, 1, 2].map(|p| frame.plane_stride()[p] as usize);
        let [y, u, v, _] = frame.planes_data_mut();
        let mut planes = [y, u, v].into_iter().zip(strides);
        Self {
            size,
            planes: std::array::from_fn(|_| {
                let (data, stride) = planes.next().expect("I420 has three planes");
                PlaneMut { data, stride }
            }),
        }
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// The mutable rows of `rect` in one plane.
    pub(super) fn rows(&mut self, plane: usize, rect: Rect) -> impl Iterator<Item = &mut [u8]> {
        let rect = in_plane(plane, rect);
        let plane = &mut self.planes[plane];
        let (x, width) = (rect.x as usize, rect.width as usize);
        plane
            .data
            .chunks_mut(plane.stride)
            .skip(rect.y as usize)
            .take(rect.height as usize)
            .map(move |row| &mut row[x..x + width])
    }

    /// Fills a place with one colour.
    pub fn fill(&mut self, rect: Rect, colour: Yuv) {
        for (plane, value) in colour.planes().into_iter().enumerate() {
            for row in self.rows(plane, rect) {
                row.fill(value);
            }
        }
    }

    /// Copies the part `from` of `source` to where its top left corner goes.
    pub fn copy(&mut self, source: &Picture, from: Rect, to: (u32, u32)) {
        let target = Rect {
            x: to.0,
            y: to.1,
            ..from
        };
        for plane in 0..3 {
            for (to, from) in self
                .rows(plane, target)
                .zip(rows(&source.planes[plane], plane, from))
            {
                to.copy_from_slice(from);
            }
        }
    }

    /// Draws the part `from` of `source` at twice its size, bilinear with weights of a quarter
    /// and three quarters: no tile picture in between, and a fifth of a general scaler's cost.
    pub fn double(&mut self, source: &Picture, from: Rect, to: (u32, u32)) {
        let target = Rect {
            x: to.0,
            y: to.1,
            width: from.width * 2,
            height: from.height * 2,
        };
        let mut blended = vec![0u8; from.width as usize + 2];
        for plane in 0..3 {
            let part = in_plane(plane, from);
            let (width, last) = (part.width as usize, part.height as usize - 1);
            let source = &source.planes[plane];
            let line = |y: usize| {
                let at = (part.y as usize + y) * source.stride + part.x as usize;
                &source.data[at..at + width]
            };
            for (y, out) in self.rows(plane, target).enumerate() {
                let near = y / 2;
                let far = if y % 2 == 0 {
                    near.saturating_sub(1)
                } else {
                    (near + 1).min(last)
                };
                for ((to, near), far) in
                    blended[1..=width].iter_mut().zip(line(near)).zip(line(far))
                {
                    *to = ((u16::from(*near) * 3 + u16::from(*far) + 2) >> 2) as u8;
                }
                blended[0] = blended[1];
                blended[width + 1] = blended[width];
                let row = &blended[..width + 2];
                let (left, centre, right) = (&row[..width], &row[1..=width], &row[2..]);
                for (((to, left), centre), right) in
                    out.chunks_exact_mut(2).zip(left).zip(centre).zip(right)
                {
                    let centre = u16::from(*centre) * 3 + 2;
                    to[0] = ((centre + u16::from(*left)) >> 2) as u8;
                    to[1] = ((centre + u16::from(*right)) >> 2) as u8;
                }
            }
        }
    }

    /// Draws the whole of `source` turned clockwise. Sizes must fit each other.
    pub fn turn(&mut self, source: &Picture, rotation: Rotation) {
        let whole = |size: Size| Rect {
            x: 0,
            y: 0,
            width: size.width,
            height: size.height,
        };
        for plane in 0..3 {
            let to = in_plane_up(plane, whole(self.size));
            let from = in_plane_up(plane, whole(source.size));
            let (source, target) = (&source.planes[plane], &mut self.planes[plane]);
            turn::plane(
                (source.data, source.stride, from.size()),
                (target.data, target.stride, to.size()),
                rotation,
            );
        }
    }
}

fn rows<'a>(
    plane: &Plane<'a>,
    index: usize,
    rect: Rect,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let rect = in_plane(index, rect);
    let (x, width) = (rect.x as usize, rect.width as usize);
    plane
        .data
        .chunks(plane.stride)
        .skip(rect.y as usize)
        .take(rect.height as usize)
        .map(move |row| &row[x..x + width])
}

/// An even place in the coordinates of luma (0) or of chroma, which has half of them.
fn in_plane(plane: usize, rect: Rect) -> Rect {
    let halved = u32::from(plane > 0);
    Rect {
        x: rect.x >> halved,
        y: rect.y >> halved,
        width: rect.width >> halved,
        height: rect.height >> halved,
    }
}

/// As [`in_plane`], for a whole picture, which may be odd.
fn in_plane_up(plane: usize, rect: Rect) -> Rect {
    let odd = u32::from(plane > 0);
    in_plane(
        plane,
        Rect {
            width: rect.width + odd,
            height: rect.height + odd,
            ..rect
        },
    )
}

#[cfg(test)]
pub(crate) mod testing {
    //! Pictures in plain memory.
    use super::*;

    /// An I420 picture that owns its memory.
    pub struct Owned {
        size: Size,
        planes: [Vec<u8>; 3],
    }

    impl Owned {
        /// Of one colour.
        pub fn new(width: u32, height: u32, colour: Yuv) -> Self {
            let size = Size::new(width, height);
            let half = (width.div_ceil(2) * height.div_ceil(2)) as usize;
            Self {
                size,
                planes: [
                    vec![colour.y; (width * height) as usize],
                    vec![colour.u; half],
                    vec![colour.v; half],
                ],
            }
        }

        /// Numbers the luma pixels.
        pub fn number(&mut self) {
            for (n, pixel) in self.planes[0].iter_mut().enumerate() {
                *pixel = (n % 251) as u8;
            }
        }

        fn strides(&self) -> [usize; 3] {
            let half = self.size.width.div_ceil(2) as usize;
            [self.size.width as usize, half, half]
        }

        /// To read from.
        pub fn picture(&self) -> Picture<'_> {
            let strides = self.strides();
            Picture {
                size: self.size,
                planes: [0, 1, 2].map(|p| Plane {
                    data: &self.planes[p],
                    stride: strides[p],
                }),
            }
        }

        /// To write to.
        pub fn picture_mut(&mut self) -> PictureMut<'_> {
            let [a, b, c] = self.strides();
            let [y, u, v] = &mut self.planes;
            PictureMut {
                size: self.size,
                planes: [
                    PlaneMut { data: y, stride: a },
                    PlaneMut { data: u, stride: b },
                    PlaneMut { data: v, stride: c },
                ],
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::Owned;
    use super::*;

    const RED: Yuv = Yuv::from_rgb(255, 0, 0);
    const BLUE: Yuv = Yuv::from_rgb(0, 0, 255);
    const GREY: Yuv = Yuv::from_rgb(128, 128, 128);

    fn rect(x: u32, y: u32, width: u32, height: u32) -> Rect {
        Rect {
            x,
            y,
            width,
            height,
        }
    }

    /// Red, but its top left quarter blue.
    fn marked(width: u32, height: u32) -> Owned {
        let mut picture = Owned::new(width, height, RED);
        picture
            .picture_mut()
            .fill(rect(0, 0, (width / 2) & !1, (height / 2) & !1), BLUE);
        picture
    }

    #[test]
    fn colours_are_bt601() {
        assert_eq!(
            RED,
            Yuv {
                y: 82,
                u: 90,
                v: 240
            }
        );
        assert_eq!(
            BLUE,
            Yuv {
                y: 41,
                u: 240,
                v: 110
            }
        );
        assert_eq!(
            Yuv::from_rgb(0, 0, 0),
            Yuv {
                y: 16,
                u: 128,
                v: 128
            }
        );
        assert_eq!(
            Yuv::from_rgb(255, 255, 255),
            Yuv {
                y: 235,
                u: 128,
                v: 128
            }
        );
    }

    #[test]
    fn a_copy_lands_where_it_should_and_nowhere_else() {
        let source = marked(64, 32);
        let mut target = Owned::new(128, 64, GREY);
        target
            .picture_mut()
            .copy(&source.picture(), rect(16, 8, 32, 16), (20, 10));
        let seen = target.picture();
        assert_eq!(seen.at(20, 10), BLUE);
        assert_eq!(seen.at(35, 17), BLUE);
        assert_eq!(seen.at(36, 17), RED);
        assert_eq!(seen.at(51, 25), RED);
        for (x, y) in [(19, 10), (20, 9), (52, 25), (51, 26)] {
            assert_eq!(seen.at(x, y), GREY, "{x} {y}");
        }
    }

    #[test]
    fn doubling_keeps_flat_colours_and_blends_edges() {
        let source = marked(32, 16);
        let mut target = Owned::new(64, 32, GREY);
        target
            .picture_mut()
            .double(&source.picture(), rect(0, 0, 32, 16), (0, 0));
        let seen = target.picture();
        assert_eq!(seen.at(0, 0), BLUE);
        assert_eq!(seen.at(63, 31), RED);
        let edge = [30, 31, 32, 33].map(|x| seen.at(x, 0).y);
        assert_eq!(edge, [41, 51, 72, 82]);
    }
}
