//! Frames of known colours, for tests that look.

use gstreamer::{Buffer, BufferRef};
use gstreamer_video::{VideoFormat, VideoFrameRef, VideoInfo};

use super::pixels::{Picture, PictureMut, Yuv};
use crate::clock::MediaTime;
use crate::decode::video::Frame;
use crate::media::{Rect, Rotation, Size};

/// A frame that `paint` painted.
pub fn frame(width: u32, height: u32, paint: impl FnOnce(&mut PictureMut)) -> Frame {
    turned(width, height, Rotation::R0, paint)
}

/// A frame of one colour.
pub fn plain(width: u32, height: u32, colour: Yuv) -> Frame {
    let whole = Rect {
        x: 0,
        y: 0,
        width,
        height,
    };
    frame(width, height, |picture| picture.fill(whole, colour))
}

/// A frame to be turned.
pub fn turned(
    width: u32,
    height: u32,
    rotation: Rotation,
    paint: impl FnOnce(&mut PictureMut),
) -> Frame {
    crate::gst::init().unwrap();
    let info = info(Size::new(width, height));
    let mut buffer = Buffer::with_size(info.size()).unwrap();
    {
        let buffer = buffer.get_mut().unwrap();
        let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer, &info).unwrap();
        paint(&mut PictureMut::of(&mut frame));
    }
    Frame::new(buffer, info, MediaTime(0), rotation)
}

/// Looks at a picture.
pub fn look<T>(buffer: &BufferRef, size: Size, look: impl FnOnce(&Picture) -> T) -> T {
    let info = info(size);
    let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &info).unwrap();
    look(&Picture::of(&frame))
}

/// Every component is at most `tolerance` away.
#[track_caller]
pub fn assert_near(seen: Yuv, wanted: Yuv, tolerance: u8) {
    let near = |a: u8, b: u8| a.abs_diff(b) <= tolerance;
    assert!(
        near(seen.y, wanted.y) && near(seen.u, wanted.u) && near(seen.v, wanted.v),
        "{seen:?} is not {wanted:?}"
    );
}

fn info(size: Size) -> VideoInfo {
    VideoInfo::builder(VideoFormat::I420, size.width, size.height)
        .build()
        .unwrap()
}
