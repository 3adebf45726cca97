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

/// Ticks for which an unused converter or buffer is kept: some ten seconds, so that a layout
/// that comes back soon costs nothing.
const KEPT: u64 = 250;

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
        canvas.copy(&Picture::of(&readable(&made.buffer, &made.info)?), whole, to);
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
