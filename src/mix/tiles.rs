//! Sources brought to the sizes in use: each once, however many mixes show it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use gstreamer::{Buffer, glib};
use gstreamer_video::{
    VideoConverter, VideoConverterConfig, VideoFormat, VideoFrameRef, VideoInfo,
    VideoResamplerMethod,
};

use super::pixels::{Picture, PictureMut};
use super::place::{Placement, upright};
use crate::decode::video::Frame;
use crate::media::{Rect, Rotation, Size};

/// Ticks for which an unused converter or buffer is kept: two seconds at 25 a second. A slow
/// source uses its own again; one that changes its size with every frame piles up no more.
const KEPT: u64 = 50;

/// Why a source could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The frame is not what its decoder promised.
    #[error("cannot read a decoded frame: {0}")]
    Read(glib::BoolError),
    /// Memory for a picture.
    #[error("cannot write a tile: {0}")]
    Write(glib::BoolError),
    /// No converter between these shapes.
    #[error("cannot scale {from:?} to {to:?}: {reason}")]
    Scale {
        /// The shape of the source.
        from: Size,
        /// The shape of the tile.
        to: Size,
        /// What GStreamer says.
        reason: glib::BoolError,
    },
    /// Decoders yield I420.
    #[error("a decoded frame is {0:?}, not I420")]
    Format(VideoFormat),
}

/// The tile pictures of one room's video loop.
#[derive(Default)]
pub struct Tiles {
    tick: u64,
    /// Shared by all sources of a shape: a converter has no memory of earlier frames.
    converters: Vec<Converter>,
    /// Frames that had to be turned, by serial.
    turned: HashMap<u64, Made>,
    /// Scaled parts of frames.
    scaled: HashMap<(u64, Rect, Size), Made>,
    spare: Vec<Made>,
}

struct Converter {
    from: VideoInfo,
    part: Rect,
    to: Size,
    convert: VideoConverter,
    used: u64,
}

struct Made {
    buffer: Buffer,
    info: VideoInfo,
    used: u64,
}

impl Tiles {
    /// Draws a frame at its placement: copied, doubled or scaled, and turned before if need be.
    pub fn draw(
        &mut self,
        frame: &Frame,
        placement: &Placement,
        canvas: &mut PictureMut,
    ) -> Result<(), Error> {
        if frame.info.format() != VideoFormat::I420 {
            return Err(Error::Format(frame.info.format()));
        }
        if frame.rotation != Rotation::R0 {
            self.turn(frame)?;
        }
        let to = (placement.target.x, placement.target.y);
        if placement.is_copy() || placement.is_doubling() {
            let (buffer, info) = standing(frame, &self.turned);
            let source = readable(buffer, info)?;
            let source = Picture::of(&source);
            if placement.is_copy() {
                canvas.copy(&source, placement.source, to);
            } else {
                canvas.double(&source, placement.source, to);
            }
            return Ok(());
        }
        let made = self.scale(frame, placement)?;
        let whole = Rect {
            x: 0,
            y: 0,
            ..placement.target
        };
        canvas.copy(
            &Picture::of(&readable(&made.buffer, &made.info)?),
            whole,
            to,
        );
        Ok(())
    }

    /// Ends a tick: what belongs to frames that are no longer shown is recycled.
    pub fn end_tick(&mut self, shown: impl Fn(u64) -> bool) {
        let tick = self.tick;
        let spare = &mut self.spare;
        let mut recycle = |made: Made| {
            spare.push(Made { used: tick, ..made });
        };
        for (_, made) in self.turned.extract_if(|serial, _| !shown(*serial)) {
            recycle(made);
        }
        for (_, made) in self.scaled.extract_if(|(serial, ..), _| !shown(*serial)) {
            recycle(made);
        }
        self.tick += 1;
        let recent = |used: u64| self.tick - used < KEPT;
        self.spare.retain(|made| recent(made.used));
        self.converters.retain(|converter| recent(converter.used));
    }

    /// Makes the upright picture of a frame, once.
    fn turn(&mut self, frame: &Frame) -> Result<(), Error> {
        if self.turned.contains_key(&frame.serial) {
            return Ok(());
        }
        let size = Size::new(frame.info.width(), frame.info.height());
        let mut made = take(&mut self.spare, upright(size, frame.rotation), &frame.info)?;
        {
            let source = readable(&frame.buffer, &frame.info)?;
            let mut target = writable(&mut made)?;
            PictureMut::of(&mut target).turn(&Picture::of(&source), frame.rotation);
        }
        self.turned.insert(frame.serial, made);
        Ok(())
    }

    /// Makes the scaled picture of a frame's part, once.
    fn scale(&mut self, frame: &Frame, placement: &Placement) -> Result<&Made, Error> {
        let (part, to) = (placement.source, placement.target.size());
        let slot = match self.scaled.entry((frame.serial, part, to)) {
            Entry::Occupied(made) => return Ok(made.into_mut()),
            Entry::Vacant(slot) => slot,
        };
        let (buffer, info) = standing(frame, &self.turned);
        let found = self
            .converters
            .iter()
            .position(|c| c.part == part && c.to == to && c.from == *info);
        let found = match found {
            Some(found) => found,
            None => {
                self.converters.push(Converter {
                    from: info.clone(),
                    part,
                    to,
                    convert: converter(info, part, to)?,
                    used: self.tick,
                });
                self.converters.len() - 1
            }
        };
        let converter = &mut self.converters[found];
        converter.used = self.tick;
        let mut made = take(&mut self.spare, to, info)?;
        {
            let source = readable(buffer, info)?;
            let mut target = writable(&mut made)?;
            converter.convert.frame_ref(&source, &mut target);
        }
        Ok(slot.insert(made))
    }
}

/// The frame's pixels as they stand upright.
fn standing<'a>(frame: &'a Frame, turned: &'a HashMap<u64, Made>) -> (&'a Buffer, &'a VideoInfo) {
    match turned.get(&frame.serial) {
        Some(made) => (&made.buffer, &made.info),
        None => (&frame.buffer, &frame.info),
    }
}

fn readable<'a>(
    buffer: &'a Buffer,
    info: &'a VideoInfo,
) -> Result<VideoFrameRef<&'a gstreamer::BufferRef>, Error> {
    VideoFrameRef::from_buffer_ref_readable(buffer, info).map_err(Error::Read)
}

fn writable(made: &mut Made) -> Result<VideoFrameRef<&mut gstreamer::BufferRef>, Error> {
    // Tile pictures never leave this module.
    let buffer = made.buffer.get_mut().expect("held by nobody else");
    VideoFrameRef::from_buffer_ref_writable(buffer, &made.info).map_err(Error::Write)
}

/// A picture to write to, with the colours of `like`: a used one where there is one.
fn take(spare: &mut Vec<Made>, size: Size, like: &VideoInfo) -> Result<Made, Error> {
    let info = with_size(like, size).map_err(Error::Write)?;
    if let Some(at) = spare.iter().position(|made| made.info == info) {
        return Ok(spare.swap_remove(at));
    }
    let buffer = Buffer::with_size(info.size()).map_err(Error::Write)?;
    Ok(Made {
        buffer,
        info,
        used: 0,
    })
}

/// Another size, but the same colours on both sides: else the converter would convert them too,
/// at five times the cost of scaling.
fn with_size(like: &VideoInfo, size: Size) -> Result<VideoInfo, glib::BoolError> {
    VideoInfo::builder(like.format(), size.width, size.height)
        .fps(like.fps())
        .interlace_mode(like.interlace_mode())
        .colorimetry(&like.colorimetry())
        .chroma_site(like.chroma_site())
        .build()
}

fn converter(from: &VideoInfo, part: Rect, to: Size) -> Result<VideoConverter, Error> {
    let failed = |reason| Error::Scale {
        from: part.size(),
        to,
        reason,
    };
    let mut config = VideoConverterConfig::new();
    // Two taps: 190 instead of 286 us for 640x360 to 424x240, and no visible loss at the ratios
    // of tiles. Cubic would take 817.
    config.set_resampler_method(VideoResamplerMethod::Linear);
    config.set("GstVideoResampler.max-taps", 2i32);
    let signed = |length: u32| i32::try_from(length).expect("frames are far smaller");
    config.set_src_x(signed(part.x));
    config.set_src_y(signed(part.y));
    config.set_src_width(Some(signed(part.width)));
    config.set_src_height(Some(signed(part.height)));
    let target = with_size(from, to).map_err(failed)?;
    VideoConverter::new(from, &target, Some(config)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::super::pixels::Yuv;
    use super::super::pixels::testing::Owned;
    use super::super::place::place;
    use super::super::testing::{assert_near, frame, turned};
    use super::*;
    use crate::media::Fit;

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

    fn placed(frame: &Frame, tile: Rect) -> Placement {
        let size = Size::new(frame.info.width(), frame.info.height());
        place(size, frame.rotation, tile, Fit::Crop).unwrap()
    }

    /// Red with a blue left and right edge of a tenth each.
    fn edged(width: u32, height: u32) -> Frame {
        frame(width, height, |picture| {
            picture.fill(rect(0, 0, width, height), BLUE);
            picture.fill(rect(width / 10, 0, width * 8 / 10, height), RED);
        })
    }

    #[test]
    fn scaling_keeps_colours_and_crops_the_sides() {
        for (width, height) in [(640, 360), (1280, 720), (640, 480), (320, 180)] {
            let mut tiles = Tiles::default();
            let mut canvas = Owned::new(416, 416, GREY);
            let source = edged(width, height);
            // Square: a wide camera loses a fifth of its width.
            let placement = placed(&source, rect(0, 0, 416, 416));
            assert!(placement.target.height < 416 || width * 3 == height * 4);
            tiles
                .draw(&source, &placement, &mut canvas.picture_mut())
                .unwrap();
            let (seen, t) = (canvas.picture(), placement.target);
            for x in [t.x + 4, t.x + t.width / 2, t.x + t.width - 5] {
                assert_near(seen.at(x, t.y + t.height / 2), RED, 2);
            }
            assert_eq!(seen.at(200, 0) == GREY, t.y > 0);
        }
    }

    #[test]
    fn a_frame_is_scaled_once_for_all_mixes() {
        let mut tiles = Tiles::default();
        let mut canvas = Owned::new(416, 224, GREY);
        let source = edged(640, 360);
        let placement = placed(&source, rect(0, 0, 416, 224));
        for _ in 0..3 {
            tiles
                .draw(&source, &placement, &mut canvas.picture_mut())
                .unwrap();
        }
        let elsewhere = placed(&source, rect(0, 0, 208, 112));
        tiles
            .draw(&source, &elsewhere, &mut canvas.picture_mut())
            .unwrap();
        assert_eq!(tiles.scaled.len(), 2);
        tiles.end_tick(|serial| serial == source.serial);
        assert_eq!(tiles.scaled.len(), 2, "still shown");
        tiles.end_tick(|_| false);
        assert_eq!((tiles.scaled.len(), tiles.spare.len()), (0, 2));
        let next = edged(640, 360);
        tiles
            .draw(&next, &placement, &mut canvas.picture_mut())
            .unwrap();
        assert_eq!((tiles.converters.len(), tiles.spare.len()), (2, 1));
        for _ in 0..=KEPT {
            tiles.end_tick(|_| false);
        }
        assert_eq!((tiles.converters.len(), tiles.spare.len()), (0, 0));
    }

    #[test]
    fn copies_and_doublings_need_no_tile() {
        let mut tiles = Tiles::default();
        let mut canvas = Owned::new(1280, 720, GREY);
        for tile in [rect(0, 0, 624, 352), rect(0, 0, 1280, 720)] {
            let source = edged(640, 360);
            let placement = placed(&source, tile);
            tiles
                .draw(&source, &placement, &mut canvas.picture_mut())
                .unwrap();
            assert_eq!(tiles.scaled.len(), 0);
        }
        assert_eq!(canvas.picture().at(100, 360), BLUE);
        assert_eq!(canvas.picture().at(140, 360), RED);
    }

    #[test]
    fn a_phone_held_upright_stands_upright() {
        let mut tiles = Tiles::default();
        // The camera's top half is blue; a quarter turn clockwise brings it to the right.
        let source = turned(640, 360, Rotation::R90, |picture| {
            picture.fill(rect(0, 0, 640, 360), RED);
            picture.fill(rect(0, 0, 640, 180), BLUE);
        });
        let mut canvas = Owned::new(624, 352, GREY);
        let placement = placed(&source, rect(0, 0, 624, 352));
        for _ in 0..2 {
            tiles
                .draw(&source, &placement, &mut canvas.picture_mut())
                .unwrap();
        }
        assert_eq!((tiles.turned.len(), tiles.scaled.len()), (1, 1));
        let seen = canvas.picture();
        assert_near(seen.at(312 - 60, 176), RED, 2);
        assert_near(seen.at(312 + 60, 176), BLUE, 2);
        assert_eq!(seen.at(100, 176), GREY);
    }

    #[test]
    fn only_i420_is_drawn() {
        crate::gst::init().unwrap();
        let info = VideoInfo::builder(VideoFormat::Nv12, 64, 64)
            .build()
            .unwrap();
        let buffer = Buffer::with_size(info.size()).unwrap();
        let source = Frame::new(buffer, info, Default::default(), Rotation::R0);
        let mut canvas = Owned::new(64, 64, GREY);
        let placement = placed(&source, rect(0, 0, 64, 64));
        let drawn = Tiles::default().draw(&source, &placement, &mut canvas.picture_mut());
        assert!(matches!(drawn, Err(Error::Format(VideoFormat::Nv12))));
    }
}
