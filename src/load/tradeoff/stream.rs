//! What one client gets from one other, by whatever way it comes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::receiver::Receiver;
use super::super::sample::Sampler;
use super::super::sent::Log;
use super::super::watch::{Source, Watch};
use crate::clock::{MediaTime, NtpTime};
use crate::gst::{self, Library};
use crate::id::{DisplayName, ParticipantId};
use crate::media::{Kind, RtpPacket, Size, VideoCodec};
use crate::peer::{State, Uplink};
use crate::signalling::{MapTile, NamesIn, TileMap};

/// Counts one person's pictures and sound, and has a [`Watch`] look at them if it is to.
pub struct Stream {
    codec: VideoCodec,
    receiver: Mutex<Receiver>,
    eyes: Option<(Sampler, Arc<Mutex<Watch>>)>,
    /// Whoever is on the other side wants a keyframe of what this client sends.
    keyframe: Arc<AtomicBool>,
}

/// What a [`Stream`] is looked at with.
#[derive(Clone)]
pub struct Eyes {
    /// Everybody, by their number in marks.
    pub sources: usize,
    /// Of the pictures.
    pub size: Size,
    /// What was sent when.
    pub log: Arc<Log>,
}

impl Stream {
    /// A stream of somebody in this codec; `keyframe` is set when the other side asks for one.
    ///
    /// # Errors
    /// If it is to be looked at, and there is no decoder.
    pub fn new(
        who: ParticipantId,
        codec: VideoCodec,
        eyes: Option<&Eyes>,
        keyframe: Arc<AtomicBool>,
    ) -> Result<Arc<Self>, gst::Error> {
        let eyes = eyes.map(|eyes| {
            let mut watch = Watch::new(eyes.sources, eyes.size);
            watch.tiles(whole(who, eyes.size));
            let watch = Arc::new(Mutex::new(watch));
            let sampler = Sampler::start(&Library::embedded(), codec, &watch, &eyes.log)?;
            Ok::<_, gst::Error>((sampler, watch))
        });
        Ok(Arc::new(Self {
            codec,
            receiver: Mutex::default(),
            eyes: eyes.transpose()?,
            keyframe,
        }))
    }

    /// Counting begins.
    pub fn begin(&self, sources: &[Source], now: MediaTime) {
        self.receiver().begin(now);
        if let Some(mut watch) = self.watch() {
            watch.begin(sources.to_vec(), now);
        }
    }

    /// What has been received.
    pub fn receiver(&self) -> MutexGuard<'_, Receiver> {
        lock(&self.receiver)
    }

    /// What has been seen, if it is looked at.
    pub fn watch(&self) -> Option<MutexGuard<'_, Watch>> {
        self.eyes.as_ref().map(|(_, watch)| lock(watch))
    }
}

/// The stream shows one person and nothing else.
fn whole(id: ParticipantId, size: Size) -> TileMap {
    TileMap {
        layout: 1,
        rtp_time: 0,
        width: size.width,
        height: size.height,
        names: NamesIn::Page,
        includes_self: false,
        tiles: vec![MapTile {
            id,
            name: DisplayName::new("one").expect("a name"),
            x: 0.0,
            y: 0.0,
            width: 1.0,
            height: 1.0,
            live: true,
            share: false,
        }],
    }
}

impl Uplink for Stream {
    fn track(&self, _kind: Kind, _codec: Option<VideoCodec>) {}

    fn packet(&self, kind: Kind, packet: RtpPacket) {
        self.receiver().packet(kind, self.codec, &packet);
        if let Some((sampler, _)) = &self.eyes {
            sampler.push(kind, &packet);
        }
    }

    fn sender_report(&self, kind: Kind, ntp: NtpTime, rtp: u32) {
        if let Some(mut watch) = self.watch() {
            watch.sender_report(kind, ntp, rtp);
        }
    }

    fn keyframe_requested(&self) {
        self.keyframe.store(true, Ordering::Relaxed);
    }

    fn state(&self, _state: State) {
        // Pictures that do not come are noticed.
    }

    fn bandwidth(&self, _bits_per_second: u64) {}
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counting is one step; a panic elsewhere leaves the counts usable.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
