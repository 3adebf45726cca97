//! One connection to an SRT receiver: a pipeline, for the library of the protocol is GStreamer's.

use std::net::SocketAddr;
use std::time::Duration;

use gstreamer::prelude::*;
use gstreamer::{Buffer, ClockTime, Structure};
use gstreamer_app::AppSrc;
use tokio::sync::mpsc;
use tokio::time::interval;

use crate::clock::{self, MediaTime};
use crate::gst;
use crate::package::avc;
use crate::stream::programme::{Piece, Programme, Studio};
use crate::stream::push::allowed::Allowed;
use crate::stream::push::connect::{self, PATIENCE};
use crate::stream::push::progress::{LOOK, Progress};
use crate::stream::push::target::{Srt, Target};
use crate::stream::push::{Broken, News};

/// The text of this pipeline.
pub const SPEC: gst::Spec = gst::Spec {
    name: "push-srt",
    values: &[],
    elements: &["video", "sound", "sink"],
    inputs: &[],
};

/// What waits in the pipeline at most: it is sent as it comes, or not at all.
const WAITING: Duration = Duration::from_secs(4);

/// A pipeline that is connecting or connected.
pub struct Connection {
    video: AppSrc,
    sound: AppSrc,
    sink: gstreamer::Element,
    failed: mpsc::Receiver<String>,
    _pipeline: gst::Pipeline,
}

/// Begins to connect.
pub async fn open(
    target: &Target,
    srt: &Srt,
    allowed: &Allowed,
    studio: &Studio,
) -> Result<Connection, Broken> {
    let addresses = connect::addresses(&target.host, target.port, allowed).await?;
    let pipeline = studio.library.build(SPEC.name, SPEC.values);
    let pipeline = pipeline.map_err(|error| Broken::Protocol(error.to_string()))?;
    let find = |name| {
        let found = pipeline.app_src(name);
        found.map_err(|error| Broken::Protocol(error.to_string()))
    };
    let (video, sound) = (find("video")?, find("sound")?);
    let sink = pipeline.element("sink");
    let sink = sink.map_err(|error| Broken::Protocol(error.to_string()))?;
    address(&sink, addresses[0], srt);
    let (tell, failed) = mpsc::channel(1);
    let stats = studio.stats.clone();
    pipeline.on_error(Box::new(move |why| {
        stats.pipeline_error(SPEC.name);
        // The first is told.
        let _ = tell.try_send(why);
    }));
    // Looks the address up once more, which is numbers, and does not wait for the receiver.
    let playing = tokio::task::spawn_blocking(move || pipeline.play().map(|()| pipeline));
    let playing = tokio::time::timeout(PATIENCE, playing).await;
    let played = playing.map_err(|_| Broken::Silent)?;
    let played = played.map_err(|error| Broken::Protocol(error.to_string()))?;
    let pipeline = played.map_err(|error| Broken::Protocol(error.to_string()))?;
    Ok(Connection {
        video,
        sound,
        sink,
        failed,
        _pipeline: pipeline,
    })
}

/// Sets where to and how, as properties: nothing of it is ever read as a pipeline.
fn address(sink: &gstreamer::Element, address: SocketAddr, srt: &Srt) {
    sink.set_property("uri", format!("srt://{address}?mode=caller"));
    if let Some(id) = &srt.stream_id {
        sink.set_property("streamid", id);
    }
    if let Some(passphrase) = &srt.passphrase {
        sink.set_property("passphrase", passphrase);
    }
    if let Some(length) = srt.key_length {
        sink.set_property_from_str("pbkeylen", &length.to_string());
    }
    if let Some(latency) = srt.latency {
        sink.set_property("latency", latency.as_millis() as i32);
    }
}

impl Connection {
    /// Sends a programme until something ends it.
    pub async fn send(mut self, programme: &mut Programme, tell: &(dyn Fn(News) + Sync)) -> Broken {
        match self.stream(programme, tell).await {
            Ok(never) => match never {},
            Err(broken) => broken,
        }
    }

    async fn stream(
        &mut self,
        programme: &mut Programme,
        tell: &(dyn Fn(News) + Sync),
    ) -> Result<std::convert::Infallible, Broken> {
        let begun = clock::now();
        let mut begin = None;
        let mut live = false;
        let mut progress = Progress::new(begun);
        let mut look = interval(LOOK);
        loop {
            tokio::select! {
                why = self.failed.recv() => {
                    return Err(match (why, live) {
                        (Some(why), true) => Broken::Protocol(why),
                        // What the library says of a receiver that is not there helps nobody.
                        (Some(_), false) => Broken::Silent,
                        (None, _) => Broken::Closed,
                    });
                }
                piece = programme.next() => match piece? {
                    Piece::Picture(picture) => {
                        if begin.is_none() && !picture.keyframe {
                            continue;
                        }
                        let unit = avc::byte_stream(&picture);
                        let unit = unit.map_err(|error| Broken::Protocol(error.to_string()))?;
                        let zero = *begin.get_or_insert(picture.at);
                        push(&self.video, picture.at, zero, Buffer::from_slice(unit))?;
                    }
                    Piece::Sound(frame) => {
                        if let Some(zero) = begin.filter(|zero| frame.at >= *zero) {
                            push(&self.sound, frame.at, zero, Buffer::from_slice(frame.data))?;
                        }
                    }
                },
                _ = look.tick() => {
                    let stats: Structure = self.sink.property("stats");
                    let acknowledged = number(&stats, "packet-ack-received");
                    if acknowledged > 0 && !live {
                        live = true;
                        tell(News::Live);
                    }
                    // A live stream always has something that waits to be acknowledged.
                    if progress.is_stuck(clock::now(), acknowledged, begin.is_some()) {
                        return Err(if live { Broken::Stuck } else { Broken::Silent });
                    }
                    tell(News::Sent(number(&stats, "bytes-sent")));
                }
            }
        }
    }
}

fn push(source: &AppSrc, at: MediaTime, zero: MediaTime, mut buffer: Buffer) -> Result<(), Broken> {
    if source.current_level_time() > ClockTime::try_from(WAITING).unwrap_or(ClockTime::MAX) {
        return Err(Broken::Stuck);
    }
    if let Some(buffer) = buffer.get_mut() {
        let time = ClockTime::from_nseconds(at.since(zero).as_nanos() as u64);
        buffer.set_pts(time);
        buffer.set_dts(time);
    }
    // Refused where the pipeline has failed, which is told.
    let _ = source.push_buffer(buffer);
    Ok(())
}

/// A counter of the library's, whatever its type.
fn number(stats: &Structure, name: &str) -> u64 {
    let of = |value: i64| u64::try_from(value).unwrap_or(0);
    stats
        .get::<u64>(name)
        .or_else(|_| stats.get::<i64>(name).map(of))
        .or_else(|_| stats.get::<i32>(name).map(|value| of(value.into())))
        .unwrap_or(0)
}
