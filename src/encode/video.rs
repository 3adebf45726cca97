//! One mix's video encoder: pictures go in, RTP payloads come out to everybody who listens.
//!
//! Each encoder is a pipeline of its own on a thread of its own: when one fails or hangs, it
//! alone is reported and replaced.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use gstreamer::prelude::*;
use gstreamer::{BufferFlags, BufferRef, ClockTime, Element, FlowError, FlowSuccess, PadProbeType};
use gstreamer_app::{AppSinkCallbacks, AppSrc};
use gstreamer_rtp::RTPBuffer;
use gstreamer_video::UpstreamForceKeyUnitEvent;

use super::backend::Backend;
use super::keyframe::KeyframeGate;
use crate::clock::{self, MediaTime};
use crate::fanout::Fanout;
use crate::gst;
use crate::gst::watchdog::{Watchdog, Watched, watch};
use crate::media::{EncodedPicture, Fanned, Kind, Size, VideoCodec};
use crate::stats::{Counted, Stats};

/// Pictures whose packets have not come out: two that wait, one within the encoder, and one for
/// the moment between them. An older one was dropped on the way.
const IN_FLIGHT: usize = 4;

/// What an encoder is to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Of its packets.
    pub codec: VideoCodec,
    /// Of its pictures; even.
    pub size: Size,
    /// Pictures a second it is to count on, for its rate control.
    pub fps: u32,
    /// Bit/s.
    pub bitrate: u32,
}

/// What happens to an encoder; told once each, on a thread of its own: must not block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It ended with an error, in GStreamer's words.
    Failed(String),
    /// It takes pictures and yields none.
    Stalled,
}

/// How an encoder's events are told.
pub type Events = Arc<dyn Fn(Event) + Send + Sync>;

/// Why an encoder does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing installed encodes this.
    #[error("no encoder for {0:?} is installed")]
    NoEncoder(VideoCodec),
    /// I420 pictures are even, and there must be some of them.
    #[error("cannot encode pictures of {0:?} at {1} a second")]
    Config(Size, u32),
    /// Its pipeline.
    #[error("starting a video encoder: {0}")]
    Pipeline(#[from] gst::Error),
}

/// A running encoder. Dropping it ends it at once; its inputs then lead nowhere.
pub struct Encoder {
    pipeline: gst::Pipeline,
    backend: Backend,
    element: Element,
    shared: Arc<Shared>,
    input: Input,
    _counted: Counted,
}

/// The way into an encoder; cheap to clone.
#[derive(Clone)]
pub struct Input {
    source: AppSrc,
    encoder: Element,
    shared: Arc<Shared>,
}

/// What goes with a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureMeta {
    /// The tick it was composed at; also its buffer's PTS.
    pub at: MediaTime,
    /// Serial number of its layout.
    pub layout: u64,
    /// For each source frame first shown in it: when its last packet had arrived.
    pub arrivals: Vec<MediaTime>,
}

struct Shared {
    codec: VideoCodec,
    /// The pipeline text, for the count of errors.
    name: &'static str,
    output: Arc<Fanout<EncodedPicture>>,
    events: Events,
    stats: Arc<Stats>,
    /// Its owner is gone: nothing is told or handed on any more.
    closed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    gate: KeyframeGate,
    watchdog: Watchdog,
    stalled: bool,
    /// Of the pictures that are on their way through, oldest first.
    in_flight: VecDeque<PictureMeta>,
    /// Of the last picture that went in.
    layout: u64,
}

impl Encoder {
    /// Builds and starts a pipeline; takes some milliseconds, a tenth of a second the first time.
    pub fn start(
        config: Config,
        library: &gst::Library,
        stats: &Arc<Stats>,
        output: Arc<Fanout<EncodedPicture>>,
        events: Events,
    ) -> Result<Self, Error> {
        let Config { size, fps, .. } = config;
        if size.width < 2 || size.height < 2 || (size.width | size.height) & 1 != 0 || fps == 0 {
            return Err(Error::Config(size, fps));
        }
        let backend = Backend::of(config.codec).ok_or(Error::NoEncoder(config.codec))?;
        let name = backend.spec().name;
        let pipeline = library.build(name, &backend.values(&config))?;
        let (source, element) = (pipeline.app_src("source")?, pipeline.element("encoder")?);
        let shared = Arc::new(Shared {
            codec: config.codec,
            name,
            output,
            events,
            stats: stats.clone(),
            closed: AtomicBool::new(false),
            state: Mutex::default(),
        });
        listen(&pipeline, &element, &shared)?;
        let told = shared.clone();
        pipeline.on_error(Box::new(move |error| told.failed(error)));
        pipeline.play()?;
        watch(Arc::downgrade(&shared) as Weak<dyn Watched>);
        Ok(Self {
            pipeline,
            backend,
            input: Input {
                source,
                encoder: element.clone(),
                shared: shared.clone(),
            },
            element,
            shared,
            _counted: Counted::new(stats.encoders(Kind::Video)),
        })
    }

    /// Where pictures go in.
    pub fn input(&self) -> Input {
        self.input.clone()
    }

    /// Somebody needs a keyframe: one of the next pictures becomes one, at most one in
    /// [`super::keyframe::APART`].
    pub fn request_keyframe(&self) {
        self.shared.lock().gate.request();
    }

    /// Changes the bitrate, bit/s, from the next picture on.
    pub fn set_bitrate(&self, bitrate: u32) {
        self.backend.set_bitrate(&self.element, bitrate);
    }

    /// The pipeline, for looking at.
    pub fn pipeline(&self) -> &gst::Pipeline {
        &self.pipeline
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
    }
}

impl Input {
    /// Hands over a picture whose PTS is `meta.at`. Never blocks: of more than two that wait,
    /// the oldest is dropped and counted.
    pub fn push(&self, picture: gstreamer::Buffer, meta: PictureMeta) {
        if self.shared.closed.load(Ordering::Acquire) {
            return;
        }
        let keyframe = {
            let mut state = self.shared.lock();
            state.watchdog.input(clock::now());
            let keyframe = state.gate.ask(meta.at);
            if state.in_flight.len() == IN_FLIGHT {
                state.in_flight.pop_front();
                self.shared.stats.dropped("encode", 1);
            }
            state.layout = meta.layout;
            state.in_flight.push_back(meta);
            keyframe
        };
        if keyframe && let Some(pad) = self.encoder.static_pad("src") {
            pad.send_event(UpstreamForceKeyUnitEvent::builder().all_headers(true).build());
        }
        // Refused only by a pipeline that has failed or ended, which is told by itself.
        let _ = self.source.push_buffer(picture);
    }
}

/// Collects what comes out.
fn listen(pipeline: &gst::Pipeline, encoder: &Element, shared: &Arc<Shared>) -> Result<(), Error> {
    // The payloader does not keep the encoder's flags, but runs on the encoder's thread: what
    // passed the encoder's pad last is what its packets are made of.
    let keyframe = Arc::new(AtomicBool::new(false));
    let seen = keyframe.clone();
    if let Some(pad) = encoder.static_pad("src") {
        pad.add_probe(PadProbeType::BUFFER, move |_, info| {
            if let Some(buffer) = info.buffer() {
                let delta = buffer.flags().contains(BufferFlags::DELTA_UNIT);
                seen.store(!delta, Ordering::Relaxed);
            }
            gstreamer::PadProbeReturn::Ok
        });
    }
    let shared = shared.clone();
    let mut unit = AccessUnit::default();
    let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| FlowError::Eos)?;
        let segment = sample
            .segment()
            .and_then(|s| s.downcast_ref::<ClockTime>())
            .ok_or(FlowError::Error)?;
        let single = sample.buffer();
        let list = sample.buffer_list();
        for buffer in single.into_iter().chain(list.into_iter().flat_map(|l| l.iter())) {
            if unit.take(buffer).map_err(|_| FlowError::Error)? {
                // x264enc moves PTS by 1000 hours, and the segment with them: running time is
                // what went in.
                let at = segment.to_running_time(buffer.pts());
                let payloads = unit.payloads();
                if let Some(at) = at {
                    let at = MediaTime(at.nseconds());
                    shared.picture(at, keyframe.load(Ordering::Relaxed), payloads);
                }
            }
        }
        Ok(FlowSuccess::Ok)
    });
    pipeline.app_sink("sink")?.set_callbacks(callbacks.build());
    Ok(())
}

/// The packets of one picture: a payloader may hand them on in several lists.
#[derive(Default)]
struct AccessUnit {
    bytes: Vec<u8>,
    payloads: Vec<Range<usize>>,
}

impl AccessUnit {
    /// Adds a packet; answers whether it was the picture's last, by its marker bit.
    fn take(&mut self, packet: &BufferRef) -> Result<bool, gstreamer::glib::BoolError> {
        let packet = RTPBuffer::from_buffer_readable(packet)?;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(packet.payload()?);
        self.payloads.push(start..self.bytes.len());
        Ok(packet.is_marker())
    }

    /// The payloads of the whole picture, in one piece of memory.
    fn payloads(&mut self) -> Vec<Bytes> {
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        self.payloads.drain(..).map(|r| bytes.slice(r)).collect()
    }
}

impl Shared {
    /// A picture has come out.
    fn picture(&self, at: MediaTime, keyframe: bool, payloads: Vec<Bytes>) {
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        let meta = {
            let mut state = self.lock();
            state.watchdog.output();
            if keyframe {
                state.gate.made(at);
            }
            let (meta, dropped) = state.claim(at);
            self.stats.dropped("encode", dropped);
            meta
        };
        let waits = self.output.send(&Arc::new(EncodedPicture {
            codec: self.codec,
            at: meta.at,
            keyframe,
            payloads,
            arrivals: meta.arrivals,
            layout: meta.layout,
        }));
        self.stats
            .dropped(EncodedPicture::QUEUE, self.output.take_dropped());
        if waits {
            self.lock().gate.request();
        }
    }

    fn failed(&self, error: String) {
        if !self.closed.load(Ordering::Acquire) {
            self.stats.pipeline_error(self.name);
            (self.events)(Event::Failed(error));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; every field is whole at any time.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The meta of the picture of `at`, and how many before it were dropped on the way.
    fn claim(&mut self, at: MediaTime) -> (PictureMeta, u64) {
        // Encoders that count in the frame rate's units may round.
        const ROUNDING: Duration = Duration::from_millis(1);
        let mut dropped = 0;
        while let Some(first) = self.in_flight.front() {
            if first.at > at.plus(ROUNDING) {
                break;
            }
            let first = self.in_flight.pop_front().expect("looked at just now");
            if first.at.plus(ROUNDING) >= at {
                return (first, dropped);
            }
            dropped += 1;
        }
        let meta = PictureMeta {
            at,
            layout: self.layout,
            arrivals: Vec::new(),
        };
        (meta, dropped)
    }
}

impl Watched for Shared {
    fn check(&self, now: MediaTime) {
        let stalled = {
            let mut state = self.lock();
            let stalled = state.watchdog.stalled(now);
            stalled && !std::mem::replace(&mut state.stalled, true)
        };
        if stalled && !self.closed.load(Ordering::Acquire) {
            self.stats.pipeline_error(self.name);
            (self.events)(Event::Stalled);
        }
    }
}
