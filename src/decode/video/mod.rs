//! One video track: from its RTP packets to the frame that a tick shows.
//!
//! - `pace`, [`Frames`]: which of the waiting pictures a tick shows.
//! - `payload`: which packets are refused, and at which a decoder can start.
//! - `slices`: what is taken out of the middle of an H.264 picture.
//! - `requests`: when to ask the publisher for a keyframe.
//! - `patience`: how long to wait for retransmissions.
//! - [`Backend`], [`trial`]: who decodes, and whether it works here.
//! - `book`: what is known of the pictures inside the decoder.

mod backend;
mod book;
mod frames;
mod pace;
mod patience;
mod payload;
mod requests;
mod slices;
#[cfg(test)]
mod tests;
pub mod trial;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gstreamer::{Caps, Sample};
use gstreamer_video::VideoInfo;

use self::book::Book;
use self::patience::Patience;
use self::requests::Requests;
use self::slices::Slices;
use super::input::{self, Encoding, Refined, Tap};
use super::sync::Sync;
use super::track::{Happening, Medium, Track};
use crate::clock::{self, MediaTime};
use crate::gst::choice::Candidate as _;
use crate::gst::{Error, Library, Spec, Value};
use crate::media::{Kind, RtpPacket, Size, VIDEO_CLOCK, VideoCodec};
use crate::stats::Stats;

pub use backend::{Backend, HARDWARE, OPENH264};
pub use frames::{Frame, Frames};

/// What this module looks up in `decode-h264.gst`.
pub const H264: Spec = spec("decode-h264");
/// What this module looks up in `decode-vp8.gst`.
pub const VP8: Spec = spec("decode-vp8");

const fn spec(name: &'static str) -> Spec {
    Spec {
        name,
        values: &[("latency", Value::Int(20))],
        elements: &[input::JITTER_BUFFER, "sink"],
        inputs: &[(input::JITTER_BUFFER, "sink")],
    }
}

/// After a failure the new pipeline waits for a keyframe, but no longer than this: there are
/// streams whose keyframes are not recognised as such.
const GATE: Duration = Duration::from_secs(3);

/// What a decoder tells. Called on the network's task, the pipeline's threads and the patrol's:
/// must not block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Ask the publisher for a keyframe (PLI). At most one in 500 ms.
    KeyframeNeeded,
    /// The first picture, and the first after [`Event::Stalled`] or [`Event::Failed`].
    Started(Size),
    /// Pictures of another size from here on.
    SizeChanged(Size),
    /// Packets come, but no pictures; the pipeline is being replaced.
    Stalled,
    /// No packets for 3 s.
    Frozen,
    /// Packets again.
    Resumed,
    /// The pipeline ended with an error. A new one starts at the next keyframe.
    Failed(String),
}

/// Who is told.
pub type Events = Arc<dyn Fn(Event) + Send + std::marker::Sync>;

/// Decodes one track. Dropping it ends its pipeline, without waiting.
pub struct Decoder {
    track: Arc<Track<Video>>,
}

impl Decoder {
    /// Builds the pipeline: 2 ms, or 100 ms the first time in a process. `sync` is the
    /// participant's, shared with their audio. Where hardware fails, software goes on: devices
    /// have so many decoders and no more.
    pub fn start(
        backend: Backend,
        library: &Library,
        stats: &Arc<Stats>,
        sync: Arc<Sync>,
        events: Events,
    ) -> Result<Self, Error> {
        let frames = Arc::new(Frames::new(sync));
        let start = |backend: Backend| {
            let video = Video {
                codec: backend.codec(),
                backend,
                broken: AtomicBool::new(false),
                frames: frames.clone(),
                stats: stats.clone(),
                events: events.clone(),
                state: Mutex::default(),
            };
            Track::start(video, library, stats)
        };
        let track = match start(backend) {
            Err(error) if backend.is_hardware() => {
                tracing::warn!("{error}; the track is decoded in software");
                start(Backend::software(backend.codec()))?
            }
            started => started?,
        };
        Ok(Self { track })
    }

    /// Takes a packet, in whatever order they come. Never blocks; any thread.
    pub fn push(&self, packet: &RtpPacket) {
        self.track.push(packet);
    }

    /// Where the pictures come out.
    pub fn frames(&self) -> Arc<Frames> {
        self.track.medium().frames.clone()
    }
}

struct Video {
    codec: VideoCodec,
    backend: Backend,
    /// The backend failed this track.
    broken: AtomicBool,
    frames: Arc<Frames>,
    stats: Arc<Stats>,
    events: Events,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    book: Book,
    requests: Requests,
    patience: Patience,
    slices: Slices,
    begun: bool,
    /// Waiting for a keyframe since then.
    gate: Option<MediaTime>,
    format: Option<(Caps, VideoInfo)>,
    size: Option<Size>,
}

impl Video {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who decodes the next pipeline.
    fn backend(&self) -> Backend {
        match self.broken.load(Ordering::Relaxed) {
            true => Backend::software(self.codec),
            false => self.backend,
        }
    }

    /// The pipeline gave up: hardware is not asked again.
    fn broke(&self) {
        if self.backend.is_hardware() && !self.broken.swap(true, Ordering::Relaxed) {
            let element = self.backend.element();
            tracing::warn!("{element} does not go on; the track is decoded in software");
        }
    }

    fn want_keyframe(&self) {
        let ask = self.lock().requests.want(clock::now());
        self.ask(ask);
    }

    fn ask(&self, ask: bool) {
        if ask {
            (self.events)(Event::KeyframeNeeded);
        }
    }
}

impl State {
    /// Whether a packet may go in: not before a keyframe after a failure.
    fn opens(&mut self, keyframe: bool, now: MediaTime) -> bool {
        let waits = self
            .gate
            .is_some_and(|since| !keyframe && now.since(since) < GATE);
        if !waits {
            self.gate = None;
        }
        !waits
    }

    /// Format and size of a sample, parsed only when its caps are others than before.
    fn format(&mut self, caps: &Caps) -> Option<VideoInfo> {
        if let Some((known, info)) = &self.format
            && known == caps
        {
            return Some(info.clone());
        }
        let info = VideoInfo::from_caps(caps).ok()?;
        self.format = Some((caps.clone(), info.clone()));
        Some(info)
    }

    /// What a picture of this size is news of.
    fn news(&mut self, size: Size) -> Option<Event> {
        match self.size.replace(size) {
            None => Some(Event::Started(size)),
            Some(before) if before != size => Some(Event::SizeChanged(size)),
            Some(_) => None,
        }
    }
}

impl Tap for Video {
    fn passed(&self, timestamp: u32) {
        self.lock().book.passed(timestamp);
    }

    fn lost(&self, sequence: u16) {
        self.lock().patience.lost(sequence, clock::now());
        self.want_keyframe();
    }

    fn keyframe_wanted(&self) {
        self.want_keyframe();
    }

    fn refine(&self, timestamp: u32, marker: bool, payload: &[u8]) -> Refined {
        match self.codec {
            VideoCodec::Vp8 => Refined::Whole,
            VideoCodec::H264 => self.lock().slices.refine(timestamp, marker, payload),
        }
    }
}

impl Medium for Video {
    fn kind(&self) -> Kind {
        Kind::Video
    }

    fn pipeline(&self) -> &'static str {
        self.backend().spec().name
    }

    fn values(&self) -> Vec<(&'static str, Value)> {
        let backend = self.backend();
        let element = ("element", Value::Word(backend.element()));
        backend
            .is_hardware()
            .then_some(element)
            .into_iter()
            .collect()
    }

    fn encoding(&self) -> Encoding {
        Encoding {
            media: "video",
            name: match self.codec {
                VideoCodec::H264 => "H264",
                VideoCodec::Vp8 => "VP8",
            },
            rate: VIDEO_CLOCK,
        }
    }

    fn latency(&self) -> u32 {
        self.lock().patience.ms()
    }

    fn admit(&self, packet: &RtpPacket, number: u16, new: bool) -> bool {
        let now = packet.arrived;
        let keyframe = payload::starts(self.codec, &packet.payload);
        let mut state = self.lock();
        let mut ask = false;
        if new {
            state.patience.restart();
        }
        if packet.payload.is_empty() {
            return state.gate.is_none();
        }
        if !payload::sound(self.codec, &packet.payload) {
            // Its number stays a hole, as if it were lost, and the loss asks for a keyframe.
            return false;
        }
        state.begun &= !new;
        if !state.begun && !payload::precedes(self.codec, &packet.payload) {
            state.begun = true;
            ask = state.requests.start(now, keyframe);
        }
        if keyframe {
            state.requests.keyframe();
        }
        state.patience.packet(number, now);
        let open = state.opens(keyframe, now);
        let full = open && state.book.full(now);
        if full {
            ask |= state.requests.want(now);
        } else if open {
            state.book.packet(packet);
        }
        drop(state);
        self.stats.dropped("decode_packets", full.into());
        self.ask(ask);
        open && !full
    }

    fn output(&self, sample: &Sample, now: MediaTime) -> bool {
        let (Some(buffer), Some(caps)) = (sample.buffer_owned(), sample.caps_owned()) else {
            return false;
        };
        let Some(pts) = buffer.pts() else {
            return false;
        };
        let timestamp = input::timestamp(pts, VIDEO_CLOCK);
        let (frame, news) = {
            let mut state = self.lock();
            let Some(info) = state.format(&caps) else {
                return false;
            };
            let (arrived, rotation) = state.book.decoded(timestamp);
            state.requests.decoded();
            let news = state.news(Size::new(info.width(), info.height()));
            (Frame::new(buffer, info, arrived, rotation), news)
        };
        let dropped = self.frames.push(frame, timestamp, now);
        self.stats.dropped("decoded_frames", dropped as u64);
        if let Some(event) = news {
            (self.events)(event);
        }
        true
    }

    fn restarted(&self, now: MediaTime) {
        let mut state = self.lock();
        state.book.clear();
        state.size = None;
        state.gate = Some(now);
        let ask = state.requests.start(now, false);
        drop(state);
        self.ask(ask);
    }

    fn check(&self, now: MediaTime, flows: bool) {
        let ask = flows && self.lock().requests.check(now);
        self.ask(ask);
    }

    fn tell(&self, happening: Happening) {
        (self.events)(match happening {
            Happening::Stalled => {
                self.broke();
                Event::Stalled
            }
            Happening::Frozen => {
                self.frames.clear();
                Event::Frozen
            }
            Happening::Resumed => Event::Resumed,
            Happening::Failed(reason) => {
                self.broke();
                Event::Failed(reason)
            }
        });
    }
}
