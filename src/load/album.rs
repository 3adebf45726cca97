//! How true a mix is to what its sources show: SSIM (Wang et al. 2004) of the luma of its tiles.
//!
//! While a run is counted, a picture a second is only put aside. Afterwards each is held against
//! a mix of the sources' own pictures that was never encoded. Mixers differ in how they bring a
//! source into a tile, and that is not what is judged: there are two such mixes, one composed as
//! Quilt does it and one as GStreamer's compositor does it if nothing else is said (the whole
//! source stretched over the tile), and the nearer one counts.

use std::time::Duration;

use anyhow::Context as _;
use gstreamer::Buffer;
use gstreamer_video::prelude::*;
use gstreamer_video::{
    VideoConverter, VideoConverterConfig, VideoFormat, VideoFrameRef, VideoInfo,
};

use super::content::Content;
use super::mark::{Mark, Plane};
use super::picture::Picture;
use crate::clock::MediaTime;
use crate::decode::video::Frame;
use crate::media::{Fit, Rect, Rotation, Size};
use crate::mix::canvas::{self, Canvases, Scene, Slot};
use crate::mix::label::BACKGROUND;
use crate::mix::place::place;
use crate::mix::tiles::Tiles;

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
    luma: Vec<u8>,
    size: Size,
    /// Where which picture of which source is.
    tiles: Vec<(Rect, Mark)>,
}

impl Album {
    /// Keeps a picture, all of whose tiles were read, unless there are enough by now.
    pub fn offer(&mut self, plane: Plane<'_>, tiles: Vec<(Rect, Mark)>, now: MediaTime) {
        let soon = self.last.is_some_and(|last| now.since(last) < APART);
        if soon || self.kept.len() == MOST || tiles.is_empty() {
            return;
        }
        self.last = Some(now);
        let rows = plane.luma.chunks(plane.stride);
        let rows = rows.take(plane.size.height as usize);
        self.kept.push(Kept {
            luma: rows
                .flat_map(|row| &row[..plane.size.width as usize])
                .copied()
                .collect(),
            size: plane.size,
            tiles,
        });
    }

    /// The mean of all pictures; `None` if there are none. Takes some 20 ms a picture.
    ///
    /// # Errors
    /// When GStreamer does not scale what it scales every day.
    pub fn ssim(&self, content: &Content) -> anyhow::Result<Option<f64>> {
        let mut sum = 0.0;
        for kept in &self.kept {
            let [quilts, compositors] = kept.references(content)?;
            sum += kept.likeness(&quilts).max(kept.likeness(&compositors));
        }
        let count = self.kept.len();
        Ok((count > 0).then(|| sum / count as f64))
    }
}

impl Kept {
    /// The luma of the same mix without loss, as Quilt and as a compositor makes it.
    fn references(&self, content: &Content) -> anyhow::Result<[Vec<u8>; 2]> {
        let width = self.size.width as usize;
        let mut compositors = vec![0; width * self.size.height as usize];
        let mut slots = vec![];
        for (rect, mark) in &self.tiles {
            let mut picture = Picture::new(content.size());
            content.draw(*mark, &mut picture);
            let info = i420(content.size())?;
            let buffer = Buffer::from_slice(picture.bytes().to_vec());
            for (row, line) in stretched(&buffer, &info, rect.size())?.iter().enumerate() {
                let start = (rect.y as usize + row) * width + rect.x as usize;
                compositors[start..start + line.len()].copy_from_slice(line);
            }
            let placement = place(content.size(), Rotation::R0, *rect, Fit::Crop);
            let frame = Frame::new(buffer, info, MediaTime(0), Rotation::R0);
            slots.push(Slot {
                rect: *rect,
                content: canvas::Content::Frame {
                    frame: frame.into(),
                    placement: placement.context("a tile has pixels")?,
                },
                label: None,
            });
        }
        let scene = Scene {
            background: BACKGROUND,
            slots,
        };
        let mut canvases = Canvases::new(self.size)?;
        let composed = canvases.compose(&scene, &mut Tiles::default(), MediaTime(0))?;
        let composed = composed.context("a new canvas is free")?;
        let info = i420(self.size)?;
        let lines = luma(&composed, &info)?;
        Ok([lines.concat(), compositors])
    }

    /// The mean SSIM of the windows of all tiles.
    fn likeness(&self, reference: &[u8]) -> f64 {
        let (mut sum, mut windows) = (0.0, 0);
        for (rect, _) in &self.tiles {
            let (right, bottom) = (
                (rect.x + rect.width) as usize,
                (rect.y + rect.height) as usize,
            );
            for y in (rect.y as usize..=bottom.saturating_sub(WINDOW)).step_by(WINDOW / 2) {
                for x in (rect.x as usize..=right.saturating_sub(WINDOW)).step_by(WINDOW / 2) {
                    sum += window(
                        &self.luma,
                        reference,
                        y * self.size.width as usize + x,
                        self.size,
                    );
                    windows += 1;
                }
            }
        }
        sum / f64::from(windows.max(1))
    }
}

/// SSIM of one window, whose first pixel is at `start`.
fn window(a: &[u8], b: &[u8], start: usize, size: Size) -> f64 {
    let (mut sums, mut squares, mut products) = ([0_u32; 2], [0_u32; 2], 0_u32);
    for row in 0..WINDOW {
        let from = start + row * size.width as usize;
        let lines = a[from..][..WINDOW].iter().zip(&b[from..][..WINDOW]);
        for (a, b) in lines.map(|(a, b)| (u32::from(*a), u32::from(*b))) {
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

/// The whole of a picture at another size, as a compositor scales it by default: rows of luma.
fn stretched(picture: &Buffer, info: &VideoInfo, to: Size) -> anyhow::Result<Vec<Vec<u8>>> {
    let target = i420(to)?;
    let converter = VideoConverter::new(info, &target, Some(VideoConverterConfig::new()))?;
    let mut scaled = Buffer::with_size(target.size())?;
    {
        let source = VideoFrameRef::from_buffer_ref_readable(picture, info)?;
        let scaled = scaled.make_mut();
        let mut target = VideoFrameRef::from_buffer_ref_writable(scaled, &target)?;
        converter.frame_ref(&source, &mut target);
    }
    luma(&scaled, &target)
}

/// The rows of a picture's luma.
fn luma(picture: &Buffer, info: &VideoInfo) -> anyhow::Result<Vec<Vec<u8>>> {
    let frame = VideoFrameRef::from_buffer_ref_readable(picture, info)?;
    let rows = frame
        .plane_data(0)?
        .chunks(frame.plane_stride()[0] as usize);
    let rows = rows.take(info.height() as usize);
    Ok(rows
        .map(|row| row[..info.width() as usize].to_vec())
        .collect())
}

fn i420(size: Size) -> anyhow::Result<VideoInfo> {
    crate::gst::init()?;
    Ok(VideoInfo::builder(VideoFormat::I420, size.width, size.height).build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Size = Size::new(640, 360);
    const CANVAS: Size = Size::new(640, 360);

    fn rect(x: u32) -> Rect {
        Rect {
            x,
            y: 88,
            width: 304,
            height: 176,
        }
    }

    /// A mix of two sources that is one of the references itself, with this much noise.
    fn album(content: &Content, which: usize, noise: u8) -> Album {
        let mark = |source| Mark { source, frame: 7 };
        let tiles = vec![(rect(0), mark(0)), (rect(320), mark(1))];
        let blank = Kept {
            luma: vec![],
            size: CANVAS,
            tiles: tiles.clone(),
        };
        let mut luma = blank.references(content).unwrap()[which].clone();
        for (n, pixel) in luma.iter_mut().enumerate() {
            *pixel = pixel.saturating_add((n * 40_503 % 17) as u8 % (noise + 1));
        }
        let plane = Plane {
            luma: &luma,
            stride: CANVAS.width as usize,
            size: CANVAS,
        };
        let mut album = Album::default();
        for second in 0..3 {
            album.offer(plane, tiles.clone(), MediaTime(second * 1_000_000_000));
            album.offer(plane, tiles.clone(), MediaTime(second * 1_000_000_000 + 1));
        }
        album
    }

    #[test]
    fn a_mix_without_loss_is_itself_however_it_was_composed() {
        let content = Content::generated(2, 1, SOURCE, 25);
        for which in [0, 1] {
            let album = album(&content, which, 0);
            assert_eq!(album.kept.len(), 3, "one a second");
            let ssim = album.ssim(&content).unwrap().unwrap();
            assert!((ssim - 1.0).abs() < 1e-9, "{ssim}");
        }
        assert_eq!(Album::default().ssim(&content).unwrap(), None);
    }

    #[test]
    fn the_worse_the_picture_the_less_it_is_like() {
        let content = Content::generated(2, 1, SOURCE, 25);
        let ssim = |noise| album(&content, 0, noise).ssim(&content).unwrap().unwrap();
        let (little, much) = (ssim(4), ssim(16));
        assert!(
            1.0 > little && little > much && much > 0.5,
            "{little} {much}"
        );
        let other = Content::generated(2, 2, SOURCE, 25);
        let strange = album(&content, 0, 0).ssim(&other).unwrap().unwrap();
        assert!(strange < much, "{strange} {much}");
    }

    #[test]
    fn windows_are_judged_by_structure() {
        let size = Size::new(8, 8);
        let flat = |value: u8| vec![value; 64];
        let stripes: Vec<u8> = (0..64).map(|n| if n % 2 == 0 { 50 } else { 150 }).collect();
        let inverse: Vec<u8> = stripes.iter().map(|v| 200 - v).collect();
        assert_eq!(window(&stripes, &stripes, 0, size), 1.0);
        assert!(window(&flat(100), &flat(100), 0, size) == 1.0);
        assert!(window(&flat(100), &flat(110), 0, size) > 0.9);
        assert!(window(&stripes, &flat(100), 0, size) < 0.1);
        assert!(window(&stripes, &inverse, 0, size) < -0.9);
    }
}
