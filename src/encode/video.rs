//! One mix's video encoder: pictures go in, RTP payloads come out to everybody who listens.
//!
//! Each encoder is a pipeline of its own on a thread of its own: when one fails or hangs, it
//! alone is reported and replaced.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use gstreamer::prelude::*;
use gstreamer::{BufferFlags, ClockTime, Element, FlowError, FlowSuccess, PadProbeType};
use gstreamer_app::{AppSinkCallbacks, AppSrc};
use gstreamer_video::UpstreamForceKeyUnitEvent;

use super::backend::Backend;
use super::in_flight::InFlight;
pub use super::in_flight::PictureMeta;
use super::keyframe::KeyframeGate;
use super::packets::AccessUnit;
use crate::clock::{self, MediaTime};
use crate::fanout::Fanout;
use crate::gst;
use crate::gst::watchdog::{Watchdog, Watched, watch};
use crate::media::{EncodedPicture, Fanned, Kind, Size, VideoCodec};
use crate::stats::{Counted, Stats};

/// What an encoder is to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Who encodes.
    pub backend: Backend,
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
    /// I420 pictures are even, and there must be some of them.
    #[error("cannot encode pictures of {0:?} at {1} a second")]
    Config(Size, u32),
    /// Its pipeline.
    #[error("starting a video encoder: {0}")]
    Pipeline(#[from] gst::Error),
}

/// A running encoder. Dropping it ends it at once; its inputs then lead nowhere.
pub struct Encoder {
    /// Runs as long as this lives.
    _pipeline: gst::Pipeline,
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
    in_flight: InFlight,
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
        let Config {
            backend, size, fps, ..
        } = config;
        if size.width < 2 || size.height < 2 || (size.width | size.height) & 1 != 0 || fps == 0 {
            return Err(Error::Config(size, fps));
        }
        let name = backend.spec().name;
        let pipeline = library.build(name, &backend.values(&config))?;
        let (source, element) = (pipeline.app_src("source")?, pipeline.element("encoder")?);
        let shared = Arc::new(Shared {
            codec: backend.codec(),
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
            _pipeline: pipeline,
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

    /// From now on one of the next pictures becomes a keyframe whenever there was none for `every`;
    /// none: only when somebody asks.
    pub fn keyframe_every(&self, every: Option<Duration>) {
        self.shared.lock().gate.repeat(every);
    }

    /// Changes the bitrate, bit/s, from the next picture on.
    pub fn set_bitrate(&self, bitrate: u32) {
        self.backend.set_bitrate(&self.element, bitrate);
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
            self.shared
                .stats
                .dropped("encode", state.in_flight.enter(meta));
            keyframe
        };
        if keyframe && let Some(pad) = self.encoder.static_pad("src") {
            // All headers come with every keyframe; asked for here, the payloader would send them
            // once more as a picture of their own.
            pad.send_event(UpstreamForceKeyUnitEvent::builder().build());
        }
        // Refused only by a pipeline that has failed or ended, which is told by itself.
        let _ = self.source.push_buffer(picture);
    }
}

#[cfg(test)]
impl Input {
    /// Leads nowhere: for tests of what comes before.
    pub(crate) fn nowhere() -> Self {
        gst::init().unwrap();
        let source = gstreamer::ElementFactory::make("appsrc").build().unwrap();
        Self {
            source: source.clone().downcast().unwrap(),
            encoder: source,
            shared: Arc::new(Shared {
                codec: VideoCodec::H264,
                name: "nowhere",
                output: Arc::default(),
                events: Arc::new(|_| {}),
                stats: Arc::default(),
                closed: AtomicBool::new(true),
                state: Mutex::default(),
            }),
        }
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
        for buffer in single
            .into_iter()
            .chain(list.into_iter().flat_map(|l| l.iter()))
        {
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
            let (meta, dropped) = state.in_flight.leave(at);
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use gstreamer::Buffer;
    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};
    use tokio::runtime::{Builder, Runtime};

    use super::*;
    use crate::fanout::{ListenerId, Receiver, listener};
    use crate::media::SharedPicture;

    /// I420 values of pure BT.601 red.
    const RED: [u8; 3] = [82, 90, 240];
    const PATIENCE: Duration = Duration::from_secs(20);

    struct Bench {
        encoder: Encoder,
        config: Config,
        pictures: Receiver<EncodedPicture>,
        runtime: Runtime,
        output: Arc<Fanout<EncodedPicture>>,
        events: mpsc::Receiver<Event>,
        stats: Arc<Stats>,
        next: u64,
        noise: bool,
    }

    fn config(codec: VideoCodec, width: u32, height: u32) -> Config {
        let backend = match codec {
            VideoCodec::H264 => Backend::X264,
            VideoCodec::Vp8 => Backend::Vp8,
        };
        Config {
            backend,
            size: Size::new(width, height),
            fps: 25,
            bitrate: 800_000,
        }
    }

    impl Bench {
        fn new(config: Config) -> Self {
            Self::with(&gst::Library::embedded(), config).unwrap()
        }

        fn with(library: &gst::Library, config: Config) -> Result<Self, Error> {
            let stats = Arc::<Stats>::default();
            let output = Arc::<Fanout<EncodedPicture>>::default();
            let (send, events) = mpsc::channel();
            let tell = move |event| drop(send.send(event));
            let encoder = Encoder::start(config, library, &stats, output.clone(), Arc::new(tell))?;
            let (sender, pictures) = listener();
            output.attach(ListenerId(1), sender);
            Ok(Self {
                encoder,
                config,
                pictures,
                runtime: Builder::new_current_thread().enable_time().build().unwrap(),
                output,
                events,
                stats,
                next: 0,
                noise: false,
            })
        }

        /// A red picture with noise or a moving bar at its top, 40 ms after the last.
        fn push(&mut self) -> MediaTime {
            let Size { width, height } = self.config.size;
            let luma = (width * height) as usize;
            let mut data = vec![RED[0]; luma];
            if self.noise {
                SmallRng::seed_from_u64(self.next).fill(&mut data[..luma / 16]);
            } else {
                let bar = (self.next as u32 % 5 * 2 * width) as usize;
                data[bar..bar + 4 * width as usize].fill(200);
            }
            data.extend(vec![RED[1]; luma / 4]);
            data.extend(vec![RED[2]; luma / 4]);
            let at = MediaTime(1_000_000_000 + self.next * 40_000_000);
            let mut picture = Buffer::from_mut_slice(data);
            let buffer = picture.get_mut().unwrap();
            buffer.set_pts(ClockTime::from_nseconds(at.0));
            let meta = PictureMeta {
                at,
                layout: 7,
                arrivals: vec![MediaTime(self.next)],
            };
            self.encoder.input().push(picture, meta);
            self.next += 1;
            at
        }

        fn receive(&mut self) -> SharedPicture {
            let next = async { tokio::time::timeout(PATIENCE, self.pictures.recv()).await };
            match self.runtime.block_on(next) {
                Ok(Some(picture)) => picture,
                none => panic!("{none:?}; {:?}", self.events.try_recv()),
            }
        }

        /// The next picture, encoded.
        fn step(&mut self) -> SharedPicture {
            let at = self.push();
            let picture = self.receive();
            assert_eq!((picture.at, picture.layout), (at, 7));
            picture
        }
    }

    /// Decodes pictures and answers the last one's size and the colour near its lower right.
    fn decoded(pictures: &[SharedPicture]) -> (u32, u32, [u8; 3]) {
        let (name, depay) = match pictures[0].codec {
            VideoCodec::H264 => ("H264", "rtph264depay ! avdec_h264 max-threads=1"),
            VideoCodec::Vp8 => ("VP8", "rtpvp8depay ! vp8dec threads=1"),
        };
        let line = format!(
            "appsrc name=source format=time caps=application/x-rtp,media=video,clock-rate=90000,\
             encoding-name={name},payload=96 ! {depay} ! video/x-raw,format=I420 \
             ! appsink name=sink sync=false"
        );
        let pipeline = gstreamer::parse::launch(&line).unwrap();
        let pipeline = pipeline.downcast::<gstreamer::Pipeline>().unwrap();
        let source = pipeline.by_name("source").unwrap();
        let source = source.downcast::<AppSrc>().unwrap();
        let sink = pipeline.by_name("sink").unwrap();
        let sink = sink.downcast::<gstreamer_app::AppSink>().unwrap();
        pipeline.set_state(gstreamer::State::Playing).unwrap();
        let mut sequence = 0u16;
        for picture in pictures {
            for (n, payload) in picture.payloads.iter().enumerate() {
                let marker = n + 1 == picture.payloads.len();
                let mut packet = vec![0x80, 96 | u8::from(marker) << 7];
                packet.extend(sequence.to_be_bytes());
                packet.extend((picture.at.rtp_ticks(90_000) as u32).to_be_bytes());
                packet.extend([0, 0, 0, 1]);
                packet.extend_from_slice(payload);
                let mut packet = Buffer::from_mut_slice(packet);
                let pts = ClockTime::from_nseconds(picture.at.0);
                packet.get_mut().unwrap().set_pts(pts);
                source.push_buffer(packet).unwrap();
                sequence += 1;
            }
        }
        source.end_of_stream().unwrap();
        let mut last = None;
        while let Ok(sample) = sink.pull_sample() {
            last = Some(sample);
        }
        pipeline.set_state(gstreamer::State::Null).unwrap();
        let sample = last.expect("something was decoded");
        let info = gstreamer_video::VideoInfo::from_caps(sample.caps().unwrap()).unwrap();
        let frame = gstreamer_video::VideoFrameRef::from_buffer_ref_readable(
            sample.buffer().unwrap(),
            &info,
        )
        .unwrap();
        let colour =
            crate::mix::pixels::Picture::of(&frame).at(info.width() - 20, info.height() - 20);
        (info.width(), info.height(), [colour.y, colour.u, colour.v])
    }

    fn assert_red(colour: [u8; 3]) {
        // What an encoder may make of it in its first pictures; BT.709 taken for BT.601 is 20 off.
        let near = colour.iter().zip(RED).all(|(a, b)| a.abs_diff(b) <= 7);
        assert!(near, "{colour:?}");
    }

    #[test]
    fn every_size_and_codec_comes_out_as_it_went_in() {
        for codec in [VideoCodec::H264, VideoCodec::Vp8] {
            for (width, height) in [(1280, 720), (640, 360), (720, 1280), (320, 180), (400, 226)] {
                let mut bench = Bench::new(config(codec, width, height));
                let pictures: Vec<_> = (0..5).map(|_| bench.step()).collect();
                assert!(pictures[0].keyframe && pictures[0].codec == codec);
                assert!(pictures[1..].iter().all(|p| !p.keyframe));
                for (n, picture) in pictures.iter().enumerate() {
                    assert_eq!(picture.arrivals, [MediaTime(n as u64)]);
                    assert!(
                        picture
                            .payloads
                            .iter()
                            .all(|p| (1..=1188).contains(&p.len()))
                    );
                }
                let (w, h, colour) = decoded(&pictures);
                assert_eq!((w, h), (width, height), "{codec:?}");
                assert_red(colour);
            }
        }
    }

    #[test]
    fn the_other_h264_encoder_works_as_well() {
        let mut bench = Bench::new(Config {
            backend: Backend::OpenH264,
            ..config(VideoCodec::H264, 640, 360)
        });
        let mut pictures: Vec<_> = (0..5).map(|_| bench.step()).collect();
        bench.encoder.set_bitrate(100_000);
        bench.next += 25;
        bench.encoder.request_keyframe();
        pictures.push(bench.step());
        assert!(pictures[0].keyframe && pictures[5].keyframe);
        assert_red(decoded(&pictures).2);
    }

    #[test]
    fn h264_is_constrained_baseline_and_says_bt601() {
        let mut bench = Bench::new(config(VideoCodec::H264, 1280, 720));
        let first = bench.step();
        // STAP-A (24) of SPS (7) and PPS (8); RFC 6184 section 5.7.1.
        let stap = &first.payloads[0];
        assert_eq!((stap[0] & 31, stap[3] & 31), (24, 7));
        let (profile, constraints, level) = (stap[4], stap[5], stap[6]);
        assert_eq!((profile, constraints & 0xc0), (66, 0xc0));
        assert_eq!(level, 31, "1280x720 at 25 is level 3.1");
    }

    #[test]
    fn a_requested_keyframe_comes_in_the_next_picture() {
        for codec in [VideoCodec::H264, VideoCodec::Vp8] {
            let mut bench = Bench::new(config(codec, 640, 360));
            for _ in 0..15 {
                bench.step();
            }
            for _ in 0..10 {
                bench.encoder.request_keyframe();
            }
            assert!(bench.step().keyframe, "{codec:?}");
            bench.encoder.request_keyframe();
            // Remembered for half a second, 12.5 pictures.
            let keyframes: Vec<u32> = (1..30).filter(|_| bench.step().keyframe).collect();
            assert_eq!(keyframes, [13], "{codec:?}");
        }
    }

    #[test]
    fn a_newcomer_gets_a_keyframe_without_asking() {
        let mut bench = Bench::new(config(VideoCodec::H264, 640, 360));
        for _ in 0..20 {
            bench.step();
        }
        let (sender, mut newcomer) = listener();
        bench.output.attach(ListenerId(2), sender);
        // The first picture tells of them. It may come out a moment before that is noted.
        let first = (0..3).find(|_| bench.step().keyframe);
        assert!(matches!(first, Some(1 | 2)), "{first:?}");
        let next = async { tokio::time::timeout(PATIENCE, newcomer.recv()).await };
        let picture = bench.runtime.block_on(next).unwrap().unwrap();
        assert!(picture.keyframe);
    }

    #[test]
    fn the_bitrate_can_be_changed() {
        for codec in [VideoCodec::H264, VideoCodec::Vp8] {
            let bytes = |bitrate| {
                let mut bench = Bench::new(config(codec, 640, 360));
                bench.noise = true;
                bench.encoder.set_bitrate(bitrate);
                let sizes = (0..50).map(|_| {
                    let picture = bench.step();
                    picture.payloads.iter().map(Bytes::len).sum::<usize>()
                });
                sizes.skip(10).sum::<usize>()
            };
            let (few, many) = (bytes(400_000), bytes(3_000_000));
            assert!(few * 2 < many, "{codec:?} {few} {many}");
        }
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let mut bench = Bench::new(config(VideoCodec::H264, 1280, 720));
        bench.noise = true;
        bench.step();
        let pushed = 30;
        let last = (0..pushed).map(|_| bench.push()).last().unwrap();
        let mut received = 0;
        while bench.receive().at != last {
            received += 1;
        }
        let dropped = pushed - 1 - received;
        assert!(dropped > 0, "pushed faster than anything encodes");
        let text = bench.stats.render();
        let line = format!("quilt_dropped_total{{queue=\"encode\"}} {dropped}");
        assert!(text.contains(&line), "{line}\n{text}");
    }

    #[test]
    fn an_error_is_told_and_counted_and_an_encoder_is() {
        let folder = std::env::temp_dir().join(format!("quilt-failing-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        // Caps that the encoder cannot take.
        let text = include_str!("../../pipelines/encode-vp8.gst").replace("I420", "RGB");
        std::fs::write(folder.join("encode-vp8.gst"), text).unwrap();
        let library = gst::Library::from_dir(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let mut bench = Bench::with(&library, config(VideoCodec::Vp8, 64, 64)).unwrap();
        let encoders = || bench.stats.encoders(Kind::Video).get();
        assert_eq!(encoders(), 1);
        bench.push();
        let event = bench.events.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(event, Event::Failed(_)), "{event:?}");
        let text = bench.stats.render();
        assert!(text.contains("quilt_pipeline_errors_total{pipeline=\"encode-vp8\"} 1"));
        let stats = bench.stats.clone();
        drop(bench);
        assert_eq!(stats.encoders(Kind::Video).get(), 0);
    }

    #[test]
    fn an_encoder_that_yields_nothing_is_told_of_once() {
        let mut bench = Bench::new(config(VideoCodec::Vp8, 64, 64));
        let shared = bench.encoder.shared.clone();
        let second = 1_000_000_000;
        {
            let mut state = shared.lock();
            for n in 0..100 {
                state.watchdog.input(MediaTime(n * second / 25));
            }
        }
        shared.check(MediaTime(4 * second));
        shared.check(MediaTime(4 * second));
        let stalled = || {
            bench
                .events
                .try_iter()
                .filter(|e| *e == Event::Stalled)
                .count()
        };
        assert_eq!(stalled(), 1);
        bench.step();
    }

    #[test]
    fn impossible_pictures_are_refused() {
        for (width, height) in [(0, 0), (641, 360), (640, 361)] {
            let refused = Bench::with(
                &gst::Library::embedded(),
                config(VideoCodec::Vp8, width, height),
            );
            assert!(matches!(refused, Err(Error::Config(..))));
        }
    }

    #[test]
    fn a_dropped_encoder_takes_no_more() {
        let mut bench = Bench::new(config(VideoCodec::Vp8, 64, 64));
        let input = bench.encoder.input();
        bench.step();
        let Bench {
            encoder, output, ..
        } = bench;
        let before = input.shared.lock().in_flight.clone();
        drop(encoder);
        let meta = PictureMeta {
            at: MediaTime(0),
            layout: 0,
            arrivals: Vec::new(),
        };
        input.push(Buffer::new(), meta);
        assert_eq!(input.shared.lock().in_flight, before);
        assert_eq!(output.len(), 1);
    }
}
