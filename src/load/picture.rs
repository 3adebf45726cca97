//! A plain I420 picture in one piece of memory, as the encoders take it.

use crate::media::Size;

/// Three planes in a row: luma, then the two chroma planes at half width and height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    size: Size,
    data: Vec<u8>,
}

/// A colour as limited-range BT.601 luma and chroma.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    /// 16 to 235.
    pub y: u8,
    /// 16 to 240; 128 is neutral.
    pub u: u8,
    /// 16 to 240; 128 is neutral.
    pub v: u8,
}

impl Colour {
    /// From red, green and blue, 0 to 255 each.
    pub fn rgb(red: u8, green: u8, blue: u8) -> Self {
        let (r, g, b) = (red as f32, green as f32, blue as f32);
        Self {
            y: (16.0 + 0.257 * r + 0.504 * g + 0.098 * b) as u8,
            u: (128.0 - 0.148 * r - 0.291 * g + 0.439 * b) as u8,
            v: (128.0 + 0.439 * r - 0.368 * g - 0.071 * b) as u8,
        }
    }

    /// `share` (0 to 1) of the way from this colour to `other`.
    pub fn towards(self, other: Colour, share: f32) -> Self {
        let mix = |a: u8, b: u8| (a as f32 + (b as f32 - a as f32) * share) as u8;
        Self {
            y: mix(self.y, other.y),
            u: mix(self.u, other.u),
            v: mix(self.v, other.v),
        }
    }
}

impl Picture {
    /// A black picture.
    ///
    /// # Panics
    /// Unless the width is a multiple of 8 and the height is even: then the planes have no
    /// padding, and the memory is what GStreamer calls I420 without a stride of its own.
    pub fn new(size: Size) -> Self {
        assert!(
            size.width.is_multiple_of(8) && size.height.is_multiple_of(2),
            "a width in multiples of 8 and an even height"
        );
        let luma = (size.width * size.height) as usize;
        let mut data = vec![16; luma];
        data.resize(luma + luma / 2, 128);
        Self { size, data }
    }

    /// Wraps the bytes of a picture of this size; `None` if they are not as many as it needs.
    pub fn from_bytes(size: Size, data: &[u8]) -> Option<Self> {
        let mut picture = Self::new(size);
        if data.len() != picture.data.len() {
            return None;
        }
        picture.data.copy_from_slice(data);
        Some(picture)
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// All three planes, in order.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// The luma plane; its stride is the width.
    pub fn luma(&self) -> &[u8] {
        &self.data[..self.luma_len()]
    }

    /// The luma plane; its stride is the width.
    pub fn luma_mut(&mut self) -> &mut [u8] {
        let len = self.luma_len();
        &mut self.data[..len]
    }

    /// Luma, U and V at once; the chroma stride is half the width.
    pub fn planes_mut(&mut self) -> (&mut [u8], &mut [u8], &mut [u8]) {
        let luma = self.luma_len();
        let (y, chroma) = self.data.split_at_mut(luma);
        let (u, v) = chroma.split_at_mut(luma / 4);
        (y, u, v)
    }

    /// Colours every pixel for which `paint` has a colour, two by two (the chroma grid).
    /// Coordinates are pixels from the top left corner.
    pub fn paint(&mut self, paint: impl Fn(f32, f32) -> Option<Colour>) {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let (luma, blue, red) = self.planes_mut();
        for top in (0..height).step_by(2) {
            for left in (0..width).step_by(2) {
                let at = top / 2 * (width / 2) + left / 2;
                for (x, y) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                    let (x, y) = (left + x, top + y);
                    if let Some(colour) = paint(x as f32, y as f32) {
                        luma[y * width + x] = colour.y;
                        (blue[at], red[at]) = (colour.u, colour.v);
                    }
                }
            }
        }
    }

    fn luma_len(&self) -> usize {
        (self.size.width * self.size.height) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_in_the_limited_range() {
        assert_eq!(Colour::rgb(0, 0, 0).y, 16);
        assert!((234..=235).contains(&Colour::rgb(255, 255, 255).y));
        let red = Colour::rgb(255, 0, 0);
        assert!(red.v > 230 && red.u < 100, "{red:?}");
    }

    #[test]
    fn painting_reaches_exactly_what_is_asked() {
        let mut picture = Picture::new(Size::new(16, 4));
        let blue = Colour::rgb(0, 0, 255);
        picture.paint(|x, y| (x < 8.0 && y < 2.0).then_some(blue));
        let painted = picture.luma().iter().filter(|&&y| y == blue.y).count();
        assert_eq!(painted, 16);
        let (_, u, _) = picture.planes_mut();
        assert_eq!(u.iter().filter(|&&u| u == blue.u).count(), 4);
    }
}
