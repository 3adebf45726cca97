//! Small pictures with transparency: rendered once, laid over a tile whenever it is drawn.

use super::pixels::{PictureMut, Yuv};
use crate::media::{Rect, Size};

/// I420, and how much of it covers what lies beneath.
#[derive(Debug)]
pub struct Overlay {
    size: Size,
    planes: [Vec<u8>; 3],
    /// Of luma and of chroma; 255 hides what is beneath.
    covers: [Vec<u8>; 2],
}

impl Overlay {
    /// From straight (not premultiplied) RGBA rows. Width and height must be even.
    pub fn from_rgba(size: Size, rgba: &[[u8; 4]]) -> Self {
        let (width, height) = (size.width as usize, size.height as usize);
        assert!(
            width.is_multiple_of(2) && height.is_multiple_of(2),
            "I420 is even"
        );
        assert_eq!(rgba.len(), width * height, "one value a pixel");
        let luma = |[r, g, b, _]: &[u8; 4]| Yuv::from_rgb(*r, *g, *b).y;
        let mut overlay = Self {
            size,
            planes: [rgba.iter().map(luma).collect(), Vec::new(), Vec::new()],
            covers: [rgba.iter().map(|p| p[3]).collect(), Vec::new()],
        };
        for y in (0..height).step_by(2) {
            for x in (0..width).step_by(2) {
                let four =
                    [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(j, i)| rgba[(y + j) * width + x + i]);
                let (colour, cover) = mean(four);
                overlay.planes[1].push(colour.u);
                overlay.planes[2].push(colour.v);
                overlay.covers[1].push(cover);
            }
        }
        overlay
    }

    /// Width and height, even.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Lays this over `picture`; what does not fit is cut off.
    pub fn draw(&self, picture: &mut PictureMut, to: (u32, u32)) {
        let room = picture.size();
        let (x, y) = (to.0.min(room.width) & !1, to.1.min(room.height) & !1);
        let rect = Rect {
            x,
            y,
            width: self.size.width.min((room.width & !1) - x),
            height: self.size.height.min((room.height & !1) - y),
        };
        for (plane, values) in self.planes.iter().enumerate() {
            let halved = usize::from(plane > 0);
            let width = self.size.width as usize >> halved;
            let values = values.chunks(width);
            let covers = self.covers[halved].chunks(width);
            for ((to, values), covers) in picture.rows(plane, rect).zip(values).zip(covers) {
                for ((to, value), cover) in to.iter_mut().zip(values).zip(covers) {
                    *to = mixed(*to, *value, *cover);
                }
            }
        }
    }
}

/// The mean of four pixels, each counting as much as it covers.
fn mean(four: [[u8; 4]; 4]) -> (Yuv, u8) {
    let covers: u32 = four.iter().map(|p| u32::from(p[3])).sum();
    let [r, g, b] = [0, 1, 2].map(|c| {
        let sum: u32 = four.iter().map(|p| u32::from(p[c]) * u32::from(p[3])).sum();
        (sum / covers.max(1)) as u8
    });
    (Yuv::from_rgb(r, g, b), (covers / 4) as u8)
}

fn mixed(below: u8, above: u8, cover: u8) -> u8 {
    let cover = u16::from(cover);
    ((u16::from(below) * (255 - cover) + u16::from(above) * cover + 127) / 255) as u8
}

#[cfg(test)]
mod tests {
    use super::super::pixels::testing::Owned;
    use super::*;

    #[test]
    fn an_overlay_covers_as_much_as_it_says_and_is_cut_at_the_edge() {
        const RED: Yuv = Yuv::from_rgb(255, 0, 0);
        const HALF_DARK: Yuv = Yuv {
            y: 49,
            u: 109,
            v: 184,
        };
        let mut rgba = vec![[255, 255, 255, 255]; 16 * 8];
        for pixel in &mut rgba[..16 * 4] {
            *pixel = [0, 0, 0, 128];
        }
        let overlay = Overlay::from_rgba(Size::new(16, 8), &rgba);
        let mut target = Owned::new(32, 32, RED);
        overlay.draw(&mut target.picture_mut(), (0, 0));
        overlay.draw(&mut target.picture_mut(), (24, 28));
        let seen = target.picture();
        assert_eq!(seen.at(0, 0), HALF_DARK);
        assert_eq!(seen.at(0, 4), Yuv::from_rgb(255, 255, 255));
        assert_eq!(seen.at(16, 0), RED);
        assert_eq!(seen.at(31, 31), HALF_DARK);
        assert_eq!(seen.at(23, 31), RED);
    }
}
