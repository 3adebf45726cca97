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

    /// Fills an upright ellipse, `opacity` (0 to 1) over what is there. Coordinates are pixels
    /// from the top left corner; what lies outside the picture is left out.
    pub fn ellipse(&mut self, centre: (f32, f32), radii: (f32, f32), colour: Colour, opacity: f32) {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let (luma, blue, red) = self.planes_mut();
        let blend = |old: &mut u8, new: u8, share: f32| {
            *old = (*old as f32 + (new as f32 - *old as f32) * share).round() as u8;
        };
        let top = (centre.1 - radii.1).max(0.0) as usize;
        let bottom = ((centre.1 + radii.1).ceil().max(0.0) as usize).min(height);
        for y in top..bottom {
            let down = (y as f32 + 0.5 - centre.1) / radii.1;
            let half = radii.0 * (1.0 - down * down).max(0.0).sqrt();
            let (left, right) = (centre.0 - half, centre.0 + half);
            let first = left.max(0.0) as usize;
            let last = (right.ceil().max(0.0) as usize).min(width);
            for x in first..last {
                // How much of the pixel the row's span covers: soft edges left and right.
                let covered = (right.min(x as f32 + 1.0) - left.max(x as f32)).clamp(0.0, 1.0);
                blend(&mut luma[y * width + x], colour.y, covered * opacity);
                if x % 2 == 0 && y % 2 == 0 {
                    let at = y / 2 * (width / 2) + x / 2;
                    blend(&mut blue[at], colour.u, covered * opacity);
                    blend(&mut red[at], colour.v, covered * opacity);
                }
            }
        }
    }

    /// Fills everything from one colour at the top to another at the bottom.
    pub fn gradient(&mut self, top: Colour, bottom: Colour) {
        let (width, height) = (self.size.width as usize, self.size.height as usize);
        let (luma, blue, red) = self.planes_mut();
        for y in 0..height {
            let colour = top.towards(bottom, y as f32 / height as f32);
            luma[y * width..][..width].fill(colour.y);
            if y % 2 == 0 {
                let row = y / 2 * (width / 2)..(y / 2 + 1) * (width / 2);
                blue[row.clone()].fill(colour.u);
                red[row].fill(colour.v);
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
    fn an_ellipse_covers_its_area_and_stays_inside_the_picture() {
        let mut picture = Picture::new(Size::new(64, 64));
        let white = Colour::rgb(255, 255, 255);
        picture.ellipse((32.0, 32.0), (20.0, 10.0), white, 1.0);
        let light: u32 = picture.luma().iter().map(|&y| y as u32 - 16).sum();
        let area = light as f32 / (white.y - 16) as f32;
        let truth = std::f32::consts::PI * 200.0;
        assert!((area - truth).abs() < truth * 0.03, "{area} of {truth}");
        // Far outside, and over the edge.
        picture.ellipse((-90.0, -90.0), (20.0, 10.0), white, 1.0);
        picture.ellipse((64.0, 64.0), (30.0, 30.0), white, 0.5);
        assert_eq!(picture.luma()[0], 16);
        assert_eq!(picture.luma()[64 * 64 - 1], 16 + (white.y - 16).div_ceil(2));
    }

    #[test]
    fn a_gradient_runs_from_top_to_bottom() {
        let mut picture = Picture::new(Size::new(8, 100));
        picture.gradient(Colour::rgb(0, 0, 0), Colour::rgb(255, 255, 255));
        assert!(picture.luma().is_sorted());
        assert_eq!(picture.luma()[0], 16);
        assert!(picture.luma()[799] > 225);
    }
}
