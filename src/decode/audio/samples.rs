//! The queue of decoded sound, shared by the track that fills it and the tick that empties it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Pulled;
use super::opus::Chunk;
use super::playout::Playout;
use crate::clock::MediaTime;
use crate::decode::sync::Sync;
use crate::media::AUDIO_FRAME;

/// Decoded sound on its way to the tick: 48 kHz mono, at most 200 ms of it.
#[derive(Debug, Default)]
pub struct Samples {
    playout: Mutex<Playout>,
    sync: Arc<Sync>,
}

impl Samples {
    /// An empty queue, which tells `sync` what plays when.
    pub fn new(sync: Arc<Sync>) -> Self {
        Self {
            playout: Mutex::default(),
            sync,
        }
    }

    /// The next 20 ms, to be called every 20 ms. Always fills `out`; never blocks.
    pub fn pull(&self, tick: MediaTime, out: &mut [i16; AUDIO_FRAME]) -> Pulled {
        let (pulled, rtp) = self.lock().pull(tick, out);
        if let Some(rtp) = rtp {
            self.sync.played(tick, rtp);
        }
        pulled
    }

    /// Takes sound that was ready at `now`. Answers how many samples were dropped for it.
    pub(super) fn write(&self, now: MediaTime, chunk: Chunk) -> usize {
        self.lock().write(now, chunk)
    }

    fn lock(&self) -> MutexGuard<'_, Playout> {
        self.playout.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
