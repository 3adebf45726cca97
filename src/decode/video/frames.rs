//! Decoded pictures on their way from the decoder to the tick.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gstreamer_video::VideoInfo;

use super::pace::Pace;
use crate::clock::MediaTime;
use crate::decode::sync::Sync;
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

/// A short queue of decoded pictures that keeps step with the ticks and with the sound.
#[derive(Debug)]
pub struct Frames {
    pace: Mutex<Pace<Arc<Frame>>>,
    sync: Arc<Sync>,
}

impl Frames {
    /// An empty queue of a participant whose sound is in `sync`.
    pub fn new(sync: Arc<Sync>) -> Self {
        Self {
            pace: Mutex::default(),
            sync,
        }
    }

    /// The frame to show at this tick; the last one again if nothing newer is due. `None` before
    /// the first, and from three seconds without packets on until there is a new one. Never
    /// waits. Asking again at the same tick yields the same frame.
    pub fn due(&self, tick: MediaTime) -> Option<Arc<Frame>> {
        self.lock()
            .due(tick, |rtp| self.sync.lead(tick, rtp))
            .cloned()
    }

    /// Takes a frame whose RTP timestamp is `rtp` and which was ready at `ready`. Answers how
    /// many older ones were dropped for it.
    pub fn push(&self, frame: Frame, rtp: u32, ready: MediaTime) -> usize {
        self.lock().push(Arc::new(frame), rtp, ready)
    }

    /// Forgets all frames: what was shown last is shown no more.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Pace<Arc<Frame>>> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
