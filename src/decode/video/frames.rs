//! Decoded pictures on their way from the decoder to the tick.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gstreamer_video::VideoInfo;

use crate::clock::MediaTime;
use crate::gst;
use crate::media::Rotation;

/// One decoded picture.
#[derive(Debug, Clone)]
pub struct Frame {
    /// I420.
    pub buffer: gst::Buffer,
    /// Size, strides and colours of `buffer`.
    pub info: VideoInfo,
    /// Unique in the process, new for every frame.
    pub serial: u64,
    /// When its last packet was read from the socket.
    pub arrived: MediaTime,
    /// How far it must be turned to stand upright.
    pub rotation: Rotation,
}

/// A short queue of decoded pictures.
#[derive(Debug, Default)]
pub struct Frames {
    queue: Mutex<VecDeque<Arc<Frame>>>,
}

impl Frame {
    /// A frame with a serial number of its own.
    pub fn new(
        buffer: gst::Buffer,
        info: VideoInfo,
        arrived: MediaTime,
        rotation: Rotation,
    ) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        Self {
            buffer,
            info,
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            arrived,
            rotation,
        }
    }
}

impl Frames {
    /// The frame to show at this tick; the last one again if nothing newer is due.
    pub fn due(&self, _tick: MediaTime) -> Option<Arc<Frame>> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.back().cloned()
    }
}
