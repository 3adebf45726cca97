//! The meeting as one GStreamer pipeline, as one would write it by hand: each source is decoded
//! once and teed into a compositor and an audiomixer for every other participant.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use bytes::Bytes;
use gstreamer::prelude::*;
use gstreamer::{
    Bin, Buffer, ClockTime, Element, ElementFactory, FlowError, FlowSuccess, GhostPad, MessageView,
    Pad, PadProbeReturn, PadProbeType, State,
};
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};

use super::super::sample::wire;
use super::Meeting;
use crate::clock::{self, MediaTime};
use crate::encode::choice::Encoders;
use crate::encode::video::{Config, Encoder, PictureMeta};
use crate::fanout::Fanout;
use crate::gst::{Library, Spec, Value};
use crate::media::{EncodedAudio, EncodedPicture, Kind, Rect, RtpPacket, VideoCodec};
use crate::stats::Stats;

/// How long jitter buffers wait for a hole, ms: what Quilt's wait at first.
const JITTER_LATENCY: i64 = 20;
/// Time for a voice to be decoded, ns: a packet's length.
const VOICE_LATENCY: i64 = 20_000_000;
/// Frames or packets between a tee and a mixer. Mixers keep a few, too, and take them in turn;
/// a queue this long never ran over, and one that does drops the oldest.
const BRANCH: u32 = 5;

const fn decode(name: &'static str) -> Spec {
    Spec {
        name,
        values: &[("latency", Value::Int(JITTER_LATENCY))],
        elements: &["source", "tee"],
        inputs: &[],
    }
}

/// What decoding H.264 needs of its text.
pub const H264: Spec = decode("naive-decode-h264");
/// What decoding VP8 needs of its text.
pub const VP8: Spec = decode("naive-decode-vp8");
/// What decoding Opus needs of its text.
pub const OPUS: Spec = decode("naive-decode-opus");

/// What mixing video needs of its text.
pub const VIDEO_MIX: Spec = Spec {
    name: "naive-mix-video",
    values: &[
        ("width", Value::Int(1280)),
        ("height", Value::Int(720)),
        ("fps", Value::Int(25)),
        ("latency", Value::Int(40_000_000)),
    ],
    elements: &["mixer", "sink"],
    inputs: &[],
};

/// What mixing audio needs of its text.
pub const AUDIO_MIX: Spec = Spec {
    name: "naive-mix-audio",
    values: &[("latency", Value::Int(VOICE_LATENCY))],
    elements: &["mixer", "sink"],
    inputs: &[],
};

/// Where one participant's mix goes.
#[derive(Default)]
pub struct Output {
    /// Their picture.
    pub video: Arc<Fanout<EncodedPicture>>,
    /// Their sound.
    pub audio: Arc<Fanout<EncodedAudio>>,
}

/// The running meeting. It ends when this is dropped.
pub struct Graph {
    pipeline: gstreamer::Pipeline,
    sources: Vec<[AppSrc; 2]>,
    seen: Vec<Arc<AtomicBool>>,
    encoders: Vec<Encoder>,
}

/// Running time of the pipeline at the start of the process's media clock, ns.
type Offset = Arc<OnceLock<i64>>;

impl Graph {
    /// Starts a meeting of those who send in these codecs.
    pub fn start(
        library: &Library,
        stats: &Arc<Stats>,
        meeting: &Meeting,
        codecs: &[VideoCodec],
        outputs: &[&Output],
    ) -> anyhow::Result<Self> {
        let pipeline = gstreamer::Pipeline::new();
        let (mut sources, mut tees, mut seen) = (vec![], vec![], vec![]);
        for codec in codecs {
            let text = match codec {
                VideoCodec::H264 => &H264,
                VideoCodec::Vp8 => &VP8,
            };
            let latency = [("latency", Value::Int(JITTER_LATENCY))];
            let video = Part::add(&pipeline, library, text, &latency)?;
            let audio = Part::add(&pipeline, library, &OPUS, &latency)?;
            sources.push([audio.source()?, video.source()?]);
            seen.push(first_buffer(&video.element("tee")?)?);
            tees.push([audio, video]);
        }
        let offset = Offset::default();
        let places = meeting.places();
        // In software, as Quilt's in the bench.
        let backend = Encoders::software().of(VideoCodec::H264);
        let backend = backend.context("no H.264 encoder is installed")?;
        let mut encoders = vec![];
        for (own, output) in outputs.iter().enumerate() {
            let [picture, sound] = mixes(&pipeline, library, meeting)?;
            let others = tees.iter().enumerate().filter(|(n, _)| *n != own);
            for ((_, [audio, video]), place) in others.zip(&places) {
                position(&branch(&pipeline, video, &picture)?, *place)?;
                branch(&pipeline, audio, &sound)?;
            }
            let config = Config {
                backend,
                size: meeting.canvas,
                fps: meeting.fps,
                bitrate: meeting.bitrate,
            };
            let events = Arc::new(|event| tracing::error!(?event, "an encoder"));
            let encoder = Encoder::start(config, library, stats, output.video.clone(), events)?;
            picture
                .sink()?
                .set_callbacks(encode(&encoder, offset.clone()));
            sound
                .sink()?
                .set_callbacks(send(output.audio.clone(), offset.clone()));
            encoders.push(encoder);
        }
        watch(&pipeline)?;
        pipeline.set_state(State::Playing)?;
        Ok(Self {
            pipeline,
            sources,
            seen,
            encoders,
        })
    }

    /// Takes a packet of a source; never blocks.
    pub fn push(&self, source: usize, kind: Kind, packet: &RtpPacket) {
        // Refused only by a pipeline that has failed, which the log has told.
        let _ = self.sources[source][kind as usize].push_buffer(Buffer::from_slice(wire(packet)));
    }

    /// Whether anything of a source's video has been decoded.
    pub fn has_seen(&self, source: usize) -> bool {
        self.seen[source].load(Ordering::Relaxed)
    }

    /// Asks a participant's encoder for a keyframe.
    pub fn request_keyframe(&self, of: usize) {
        self.encoders[of].request_keyframe();
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // An error means that it has ended by itself.
        let _ = self.pipeline.set_state(State::Null);
        if let Some(bus) = self.pipeline.bus() {
            bus.set_flushing(true);
        }
    }
}

/// One text's elements, within the pipeline.
struct Part {
    name: &'static str,
    bin: Bin,
}

impl Part {
    fn add(
        pipeline: &gstreamer::Pipeline,
        library: &Library,
        text: &Spec,
        values: &[(&str, Value)],
    ) -> anyhow::Result<Self> {
        let line = library.line(text.name, values)?;
        let bin = gstreamer::parse::bin_from_description(&line, false).context(text.name)?;
        pipeline.add(&bin)?;
        Ok(Self {
            name: text.name,
            bin,
        })
    }

    fn element(&self, name: &str) -> anyhow::Result<Element> {
        let found = self.bin.by_name(name);
        found.with_context(|| format!("{} has no {name}", self.name))
    }

    fn source(&self) -> anyhow::Result<AppSrc> {
        let source = self.element("source")?.downcast();
        source.map_err(|_| anyhow::anyhow!("{}: the source is no appsrc", self.name))
    }

    fn sink(&self) -> anyhow::Result<AppSink> {
        let sink = self.element("sink")?.downcast();
        sink.map_err(|_| anyhow::anyhow!("{}: the sink is no appsink", self.name))
    }

    /// Another pad of an element that has as many as are asked for: the pad, and as it looks from
    /// outside.
    fn pad(&self, element: &str, template: &str) -> anyhow::Result<(Pad, GhostPad)> {
        let pad = self.element(element)?.request_pad_simple(template);
        let pad = pad.with_context(|| format!("{}: {element} gives no pad", self.name))?;
        let ghost = GhostPad::with_target(&pad)?;
        self.bin.add_pad(&ghost)?;
        Ok((pad, ghost))
    }
}

/// A mixer each for a participant's picture and sound.
fn mixes(
    pipeline: &gstreamer::Pipeline,
    library: &Library,
    meeting: &Meeting,
) -> anyhow::Result<[Part; 2]> {
    let period = 1_000_000_000 / i64::from(meeting.fps);
    let values = [
        ("width", Value::Int(meeting.canvas.width.into())),
        ("height", Value::Int(meeting.canvas.height.into())),
        ("fps", Value::Int(meeting.fps.into())),
        ("latency", Value::Int(period)),
    ];
    let picture = Part::add(pipeline, library, &VIDEO_MIX, &values)?;
    let values = [("latency", Value::Int(VOICE_LATENCY))];
    let sound = Part::add(pipeline, library, &AUDIO_MIX, &values)?;
    Ok([picture, sound])
}

/// Leads a tee to a mixer, on a thread of its own as GStreamer's manual says: else one mixer that
/// waits holds up all. Answers the mixer's pad.
fn branch(pipeline: &gstreamer::Pipeline, tee: &Part, mixer: &Part) -> anyhow::Result<Pad> {
    let queue = ElementFactory::make("queue")
        .property("max-size-buffers", BRANCH)
        .property("max-size-bytes", 0_u32)
        .property("max-size-time", 0_u64)
        .property_from_str("leaky", "downstream")
        .build()?;
    pipeline.add(&queue)?;
    let (_, from) = tee.pad("tee", "src_%u")?;
    let (mixed, to) = mixer.pad("mixer", "sink_%u")?;
    let end = |name| queue.static_pad(name).context("a queue has two pads");
    from.link(&end("sink")?)?;
    end("src")?.link(&to)?;
    Ok(mixed)
}

fn position(pad: &Pad, place: Rect) -> anyhow::Result<()> {
    for (name, value) in [
        ("xpos", place.x),
        ("ypos", place.y),
        ("width", place.width),
        ("height", place.height),
    ] {
        pad.set_property(name, i32::try_from(value)?);
    }
    Ok(())
}

/// Tells once that something has come.
fn first_buffer(element: &Element) -> anyhow::Result<Arc<AtomicBool>> {
    let seen = Arc::new(AtomicBool::new(false));
    let note = seen.clone();
    let pad = element.static_pad("sink").context("a tee has a way in")?;
    pad.add_probe(PadProbeType::BUFFER, move |_, _| {
        note.store(true, Ordering::Relaxed);
        PadProbeReturn::Remove
    });
    Ok(seen)
}

/// Hands pictures to an encoder.
fn encode(encoder: &Encoder, offset: Offset) -> AppSinkCallbacks {
    let input = encoder.input();
    let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| FlowError::Eos)?;
        let at = sample
            .buffer()
            .and_then(|b| media_time(sink, &offset, b.pts()?));
        if let (Some(at), Some(mut picture)) = (at, sample.buffer_owned()) {
            // The sample's hold on it would make this a copy of its header.
            drop(sample);
            let timing = picture.make_mut();
            timing.set_pts(ClockTime::from_nseconds(at.0));
            timing.set_dts(None);
            let meta = PictureMeta {
                at,
                layout: 1,
                arrivals: vec![],
            };
            input.push(picture, meta);
        }
        Ok(FlowSuccess::Ok)
    });
    callbacks.build()
}

/// Hands packets to a fan-out.
fn send(output: Arc<Fanout<EncodedAudio>>, offset: Offset) -> AppSinkCallbacks {
    let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| FlowError::Eos)?;
        let buffer = sample.buffer().ok_or(FlowError::Error)?;
        let map = buffer.map_readable().map_err(|_| FlowError::Error)?;
        if let Some(at) = buffer.pts().and_then(|pts| media_time(sink, &offset, pts)) {
            let payload = Bytes::copy_from_slice(&map);
            output.send(&Arc::new(EncodedAudio { at, payload }));
        }
        Ok(FlowSuccess::Ok)
    });
    callbacks.build()
}

/// A time of the pipeline, all of whose segments are its running time, on the process's clock.
fn media_time(sink: &AppSink, offset: &Offset, pts: ClockTime) -> Option<MediaTime> {
    let nanos = |time: ClockTime| i64::try_from(time.nseconds()).ok();
    let running = nanos(sink.current_running_time()?)?;
    let offset = offset.get_or_init(|| clock::now().0 as i64 - running);
    u64::try_from(nanos(pts)? + offset).ok().map(MediaTime)
}

/// Does for the pipeline what an application's main loop does.
fn watch(pipeline: &gstreamer::Pipeline) -> anyhow::Result<()> {
    let bus = pipeline.bus().context("a pipeline has a bus")?;
    let pipeline = pipeline.downgrade();
    let run = move || {
        for message in bus.iter_timed(ClockTime::NONE) {
            match message.view() {
                MessageView::Error(error) => {
                    tracing::error!(debug = ?error.debug(), "{}", error.error());
                }
                MessageView::Latency(_) => {
                    let done = pipeline.upgrade().map(|p| p.recalculate_latency());
                    if let Some(Err(error)) = done {
                        tracing::warn!(%error, "the latency");
                    }
                }
                _ => {}
            }
        }
    };
    std::thread::Builder::new()
        .name("naive-bus".into())
        .spawn(run)?;
    Ok(())
}
