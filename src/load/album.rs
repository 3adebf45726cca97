//! How true a mix is to its sources: SSIM (Wang et al. 2004) of luma.
//!
//! While a run is counted, a picture a second is only put aside. Afterwards every tile is brought
//! back to the size of what it shows, and held against the source's own picture, from before it
//! was encoded for the first time. So all mixers are measured by the same pixels: against a picture
//! scaled as the mixer itself scales, the one that blurs most would win, for what is blurred is
//! easily encoded.
//!
//! What a tile shows is either what Quilt puts there, or the whole source stretched over it, as
//! GStreamer's compositor does: the likelier of the two.

use std::time::Duration;

use anyhow::Context as _;
use gstreamer::Buffer;
use gstreamer_video::prelude::*;
use gstreamer_video::{
    VideoConverter, VideoConverterConfig, VideoFormat, VideoFrameRef, VideoInfo,
    VideoResamplerMethod,
};

use super::content::Content;
use super::mark::{Mark, Plane};
use super::picture::Picture;
use crate::clock::MediaTime;
use crate::media::{Fit, Rect, Rotation, Size};
use crate::mix::place::{Placement, place};

/// From one picture to the next.
const APART: Duration = Duration::from_secs(1);
/// Most pictures of a client: 20 MB.
const MOST: usize = 20;
/// Side of the windows that are compared, pixels; they lie half of it apart.
const WINDOW: usize = 8;
/// Keeps windows of one colour from dividing by nothing: (K L)² with K = .01 and .03, L = 255.
const STABLE: [f64; 2] = [6.5025, 58.5225];

/// Pictures of one client's mix, put aside.
#[derive(Debug, Default)]
pub struct Album {
    kept: Vec<Kept>,
    last: Option<MediaTime>,
}

/// One picture.
#[derive(Debug)]
struct Kept {
    luma: Grey,
    /// Where which picture of which source is.
    tiles: Vec<(Rect, Mark)>,
}

/// A plane of luma.
#[derive(Debug)]
struct Grey {
    info: VideoInfo,
    buffer: Buffer,
}

impl Album {
    /// Keeps a picture, all of whose tiles were read, unless there are enough by now.
    pub fn offer(&mut self, plane: Plane<'_>, tiles: Vec<(Rect, Mark)>, now: MediaTime) {
        let soon = self.last.is_some_and(|last| now.since(last) < APART);
        if soon || self.kept.len() == MOST || tiles.is_empty() {
            return;
        }
        self.last = Some(now);
        // An error is no memory; then there is one picture less.
        if let Ok(luma) = Grey::new(plane) {
            self.kept.push(Kept { luma, tiles });
        }
    }

    /// The mean of all pictures; `None` if there are none. Takes some 50 ms a picture.
    ///
    /// # Errors
    /// When GStreamer does not scale what it scales every day.
    pub fn ssim(&self, content: &Content) -> anyhow::Result<Option<f64>> {
        let mut sum = 0.0;
        for kept in &self.kept {
            let shaped = kept.likeness(content, |rect| {
                place(content.size(), Rotation::R0, rect, Fit::Crop)
            })?;
            let stretched = kept.likeness(content, |target| {
                let Size { width, height } = content.size();
                let source = Rect {
                    x: 0,
                    y: 0,
                    width,
                    height,
                };
                Some(Placement { source, target })
            })?;
            sum += shaped.max(stretched);
        }
        let count = self.kept.len();
        Ok((count > 0).then(|| sum / count as f64))
    }
}

impl Kept {
    /// The mean SSIM of all tiles, if they are placed so.
    fn likeness(
        &self,
        content: &Content,
        placed: impl Fn(Rect) -> Option<Placement>,
    ) -> anyhow::Result<f64> {
        let mut sum = 0.0;
        let mut picture = Picture::new(content.size());
        for (rect, mark) in &self.tiles {
            let Placement { source, target } = placed(*rect).context("a tile has pixels")?;
            content.draw(*mark, &mut picture);
            let shown = self.luma.scaled(target, source.size())?;
            let stride = content.size().width as usize;
            let start = source.y as usize * stride + source.x as usize;
            sum += shown.ssim(&picture.luma()[start..], stride)?;
        }
        Ok(sum / self.tiles.len() as f64)
    }
}

impl Grey {
    fn new(plane: Plane<'_>) -> anyhow::Result<Self> {
        let mut grey = Self::blank(plane.size)?;
        {
            let buffer = grey.buffer.make_mut();
            let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer, &grey.info)?;
            let stride = frame.plane_stride()[0] as usize;
            let lines = frame.plane_data_mut(0)?.chunks_mut(stride);
            let width = plane.size.width as usize;
            for (line, row) in lines.zip(plane.luma.chunks(plane.stride)) {
                line[..width].copy_from_slice(&row[..width]);
            }
        }
        Ok(grey)
    }

    fn blank(size: Size) -> anyhow::Result<Self> {
        crate::gst::init()?;
        let info = VideoInfo::builder(VideoFormat::Gray8, size.width, size.height).build()?;
        let buffer = Buffer::with_size(info.size())?;
        Ok(Self { info, buffer })
    }

    /// A part of it at another size.
    fn scaled(&self, part: Rect, to: Size) -> anyhow::Result<Self> {
        let mut scaled = Self::blank(to)?;
        let mut config = VideoConverterConfig::new();
        config.set_resampler_method(VideoResamplerMethod::Lanczos);
        config.set_src_x(i32::try_from(part.x)?);
        config.set_src_y(i32::try_from(part.y)?);
        config.set_src_width(Some(i32::try_from(part.width)?));
        config.set_src_height(Some(i32::try_from(part.height)?));
        let converter = VideoConverter::new(&self.info, &scaled.info, Some(config))?;
        {
            let source = VideoFrameRef::from_buffer_ref_readable(&self.buffer, &self.info)?;
            let buffer = scaled.buffer.make_mut();
            let mut target = VideoFrameRef::from_buffer_ref_writable(buffer, &scaled.info)?;
            converter.frame_ref(&source, &mut target);
        }
        Ok(scaled)
    }

    /// The mean SSIM of all its windows and those of a picture of the same size, whose rows are
    /// `stride` apart.
    fn ssim(&self, other: &[u8], stride: usize) -> anyhow::Result<f64> {
        let frame = VideoFrameRef::from_buffer_ref_readable(&self.buffer, &self.info)?;
        let (own, own_stride) = (frame.plane_data(0)?, frame.plane_stride()[0] as usize);
        let (width, height) = (self.info.width() as usize, self.info.height() as usize);
        let (mut sum, mut windows) = (0.0, 0);
        for y in (0..(height + 1).saturating_sub(WINDOW)).step_by(WINDOW / 2) {
            for x in (0..(width + 1).saturating_sub(WINDOW)).step_by(WINDOW / 2) {
                let own = own[y * own_stride + x..].chunks(own_stride);
                let other = other[y * stride + x..].chunks(stride);
                sum += window(own.zip(other).take(WINDOW));
                windows += 1;
            }
        }
        Ok(sum / f64::from(windows.max(1)))
    }
}

/// SSIM of one window: the first pixels of both, row by row.
fn window<'a>(rows: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> f64 {
    let (mut sums, mut squares, mut products) = ([0_u32; 2], [0_u32; 2], 0_u32);
    for (a, b) in rows {
        for (a, b) in a[..WINDOW].iter().zip(&b[..WINDOW]) {
            let (a, b) = (u32::from(*a), u32::from(*b));
            sums = [sums[0] + a, sums[1] + b];
            squares = [squares[0] + a * a, squares[1] + b * b];
            products += a * b;
        }
    }
    let pixels = (WINDOW * WINDOW) as f64;
    let mean = sums.map(|sum| f64::from(sum) / pixels);
    let variance = |n: usize| f64::from(squares[n]) / pixels - mean[n] * mean[n];
    let covariance = f64::from(products) / pixels - mean[0] * mean[1];
    let light =
        (2.0 * mean[0] * mean[1] + STABLE[0]) / (mean[0] * mean[0] + mean[1] * mean[1] + STABLE[0]);
    light * (2.0 * covariance + STABLE[1]) / (variance(0) + variance(1) + STABLE[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Size = Size::new(640, 360);
    const CANVAS: Size = Size::new(1280, 720);

    fn rect(x: u32, width: u32, height: u32) -> Rect {
        Rect {
            x,
            y: 16,
            width,
            height,
        }
    }

    /// The part of a source's picture, put into a mix without loss but for this much noise.
    fn album(content: &Content, part: Rect, tile: Rect, noise: u8) -> Album {
        let mark = Mark {
            source: 1,
            frame: 7,
        };
        let mut picture = Picture::new(SOURCE);
        content.draw(mark, &mut picture);
        let plane = |luma, size: Size| Plane {
            luma,
            stride: size.width as usize,
            size,
        };
        let source = Grey::new(plane(picture.luma(), SOURCE)).unwrap();
        let scaled = source.scaled(part, tile.size()).unwrap();
        let info = &scaled.info;
        let shown = VideoFrameRef::from_buffer_ref_readable(&scaled.buffer, info).unwrap();
        let rows = shown.plane_data(0).unwrap();
        let rows = rows.chunks(shown.plane_stride()[0] as usize).enumerate();
        let mut luma = vec![16; (CANVAS.width * CANVAS.height) as usize];
        for (y, row) in rows {
            let start = (tile.y as usize + y) * CANVAS.width as usize + tile.x as usize;
            luma[start..][..tile.width as usize].copy_from_slice(&row[..tile.width as usize]);
        }
        for (n, pixel) in luma.iter_mut().enumerate() {
            *pixel = pixel.saturating_add((n * 40_503 % 17) as u8 % (noise + 1));
        }
        let mut album = Album::default();
        for second in 0..3 {
            for at in [0, 1] {
                let at = MediaTime(second * 1_000_000_000 + at);
                album.offer(plane(&luma, CANVAS), vec![(tile, mark)], at);
            }
        }
        assert_eq!(album.kept.len(), 3, "one a second");
        album
    }

    #[test]
    fn a_source_is_found_back_cropped_or_stretched() {
        let content = Content::generated(2, 1, SOURCE, 25);
        let ssim = |part, tile| {
            let album = album(&content, part, tile, 0);
            album.ssim(&content).unwrap().unwrap()
        };
        let tile = rect(320, 624, 352);
        let copied = Rect {
            y: 4,
            ..rect(8, 624, 352)
        };
        assert!((ssim(copied, tile) - 1.0).abs() < 1e-9);
        let whole = Rect {
            y: 0,
            ..rect(0, 640, 360)
        };
        let large = ssim(whole, tile);
        assert!(large > 0.95, "{large}");
        // Half of the lines are gone for good.
        let small = ssim(whole, rect(320, 320, 176));
        assert!(0.4 < small && small < large - 0.01, "{small} {large}");
        assert_eq!(Album::default().ssim(&content).unwrap(), None);
    }

    #[test]
    fn the_worse_the_picture_the_less_it_is_like() {
        let content = Content::generated(2, 1, SOURCE, 25);
        let part = Rect {
            y: 4,
            ..rect(8, 624, 352)
        };
        let shown = |noise| album(&content, part, rect(0, 624, 352), noise);
        let ssim = |noise| shown(noise).ssim(&content).unwrap().unwrap();
        let (little, much) = (ssim(4), ssim(16));
        assert!(
            1.0 > little && little > much && much > 0.5,
            "{little} {much}"
        );
        let other = Content::generated(2, 2, SOURCE, 25);
        let strange = shown(0).ssim(&other).unwrap().unwrap();
        assert!(strange < little - 0.05, "{strange} {little}");
    }

    #[test]
    fn windows_are_judged_by_structure() {
        let flat = |value: u8| vec![value; 64];
        let of = |a: &[u8], b: &[u8]| window(a.chunks(WINDOW).zip(b.chunks(WINDOW)));
        let stripes: Vec<u8> = (0..64).map(|n| if n % 2 == 0 { 50 } else { 150 }).collect();
        let inverse: Vec<u8> = stripes.iter().map(|v| 200 - v).collect();
        assert_eq!(of(&stripes, &stripes), 1.0);
        assert_eq!(of(&flat(100), &flat(100)), 1.0);
        assert!(of(&flat(100), &flat(110)) > 0.9);
        assert!(of(&stripes, &flat(100)) < 0.1);
        assert!(of(&stripes, &inverse) < -0.9);
    }
}
