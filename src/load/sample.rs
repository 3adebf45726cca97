//! Decodes what a client receives, on threads of its own, for a [`Watch`] to judge.
//!
//! The threads run at normal priority: a decoder that waits for the processor would be counted
//! as latency of the server.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gstreamer::prelude::*;
use gstreamer::{Buffer, ClockTime, FlowError, FlowSuccess, PadProbeData, PadProbeReturn};
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use gstreamer_video::prelude::*;
use gstreamer_video::{VideoFrameRef, VideoInfo};

use super::mark::Plane;
use super::sent::Log;
use super::watch::Watch;
use crate::clock;
use crate::gst::{self, Library, Spec, Value};
use crate::media::{AUDIO_CLOCK, AUDIO_FRAME, Kind, RtpPacket, Size, VIDEO_CLOCK, VideoCodec};

/// How long the jitter buffers wait for a hole, ms. What comes in order passes at once.
const JITTER_LATENCY: i64 = 100;
/// Packets whose RTP time is remembered until their picture is decoded.
const REMEMBERED: usize = 1_024;
/// More lost blocks of 20 ms in a row than this are a pause, not a hole to conceal.
const CONCEALED: u32 = 5;

const fn spec(name: &'static str) -> Spec {
    Spec {
        name,
        values: &[("latency", Value::Int(JITTER_LATENCY))],
        elements: &["src", "jitterbuffer", "sink"],
        inputs: &[],
    }
}

/// What decoding H.264 needs of its text.
pub const H264: Spec = spec("load-decode-h264");
/// What decoding VP8 needs of its text.
pub const VP8: Spec = spec("load-decode-vp8");
/// What putting Opus in order needs of its text.
pub const OPUS: Spec = spec("load-decode-opus");

/// The decoders of one client.
#[derive(Debug)]
pub struct Sampler {
    video: Input,
    audio: Input,
}

#[derive(Debug)]
struct Input {
    source: AppSrc,
    _pipeline: gst::Pipeline,
}

impl Sampler {
    /// Starts decoding a client's downlink, whose video is in this codec.
    pub fn start(
        library: &Library,
        codec: VideoCodec,
        watch: &Arc<Mutex<Watch>>,
        log: &Arc<Log>,
    ) -> Result<Self, gst::Error> {
        let (name, encoding) = match codec {
            VideoCodec::H264 => (H264.name, "H264"),
            VideoCodec::Vp8 => (VP8.name, "VP8"),
        };
        let video = input(
            library,
            name,
            ("video", encoding, VIDEO_CLOCK),
            |sink, times| {
                sink.set_callbacks(see(watch.clone(), log.clone(), times));
            },
        )?;
        let mut ears = None;
        let audio = input(
            library,
            OPUS.name,
            ("audio", "OPUS", AUDIO_CLOCK),
            |sink, _| match hear(watch.clone(), log.clone()) {
                Ok(callbacks) => sink.set_callbacks(callbacks),
                Err(error) => ears = Some(error),
            },
        )?;
        match ears {
            None => Ok(Self { video, audio }),
            Some(error) => Err(gst::Error::Start {
                name: OPUS.name,
                reason: error.to_string(),
            }),
        }
    }

    /// Takes a packet; never blocks.
    pub fn push(&self, kind: Kind, packet: &RtpPacket) {
        let input = match kind {
            Kind::Video => &self.video,
            Kind::Audio => &self.audio,
        };
        // A refused packet means that the pipeline has failed, which the log has told.
        let _ = input.source.push_buffer(Buffer::from_slice(wire(packet)));
    }
}

/// The RTP times of recent packets by the time stamp the jitter buffer gave them.
type Times = Arc<Mutex<VecDeque<(ClockTime, u32)>>>;

fn input(
    library: &Library,
    name: &'static str,
    (media, encoding, rate): (&str, &str, u32),
    connect: impl FnOnce(&AppSink, Times),
) -> Result<Input, gst::Error> {
    let pipeline = library.build(name, &[("latency", Value::Int(JITTER_LATENCY))])?;
    let source = pipeline.app_src("src")?;
    let caps = gstreamer::Caps::builder("application/x-rtp")
        .field("media", media)
        .field("encoding-name", encoding)
        .field("clock-rate", rate as i32)
        .field("payload", PAYLOAD_TYPE as i32)
        .build();
    source.set_caps(Some(&caps));
    let times = Times::default();
    let noted = times.clone();
    let jitterbuffer = pipeline.element("jitterbuffer")?;
    if let Some(pad) = jitterbuffer.static_pad("src") {
        pad.add_probe(gstreamer::PadProbeType::BUFFER, move |_, info| {
            if let Some(PadProbeData::Buffer(buffer)) = &info.data {
                note(&noted, buffer);
            }
            PadProbeReturn::Ok
        });
    }
    connect(&pipeline.app_sink("sink")?, times);
    pipeline.on_error(Box::new(move |text| tracing::error!("{name}: {text}")));
    pipeline.play()?;
    Ok(Input {
        source,
        _pipeline: pipeline,
    })
}

fn note(times: &Times, buffer: &Buffer) {
    let (Some(pts), Ok(map)) = (buffer.pts(), buffer.map_readable()) else {
        return;
    };
    let Some(rtp) = timestamp(&map) else { return };
    let mut times = lock(times);
    if times.back() != Some(&(pts, rtp)) {
        if times.len() == REMEMBERED {
            times.pop_front();
        }
        times.push_back((pts, rtp));
    }
}

fn see(watch: Arc<Mutex<Watch>>, log: Arc<Log>, times: Times) -> AppSinkCallbacks {
    AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| FlowError::Eos)?;
            let now = clock::now();
            let (Some(buffer), Some(caps)) = (sample.buffer(), sample.caps()) else {
                return Ok(FlowSuccess::Ok);
            };
            let info = VideoInfo::from_caps(caps).map_err(|_| FlowError::NotNegotiated)?;
            let frame = VideoFrameRef::from_buffer_ref_readable(buffer, &info)
                .map_err(|_| FlowError::Error)?;
            let of_picture = |(pts, _): &&(ClockTime, u32)| Some(*pts) == buffer.pts();
            let rtp = lock(&times)
                .iter()
                .rev()
                .find(of_picture)
                .map(|(_, rtp)| *rtp);
            if let (Some(rtp), Ok(luma)) = (rtp, frame.plane_data(0)) {
                let plane = Plane {
                    luma,
                    stride: frame.plane_stride()[0] as usize,
                    size: Size::new(info.width(), info.height()),
                };
                lock(&watch).picture(plane, rtp, now, &log);
            }
            Ok(FlowSuccess::Ok)
        })
        .build()
}

fn hear(watch: Arc<Mutex<Watch>>, log: Arc<Log>) -> Result<AppSinkCallbacks, opus::Error> {
    let mut decoder = opus::Decoder::new(AUDIO_CLOCK, opus::Channels::Mono)?;
    let mut expected: Option<u32> = None;
    let callbacks = AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| FlowError::Eos)?;
        let map = sample
            .buffer()
            .and_then(|buffer| buffer.map_readable().ok());
        let Some((rtp, payload)) = map.as_ref().and_then(|map| opened(map)) else {
            return Ok(FlowSuccess::Ok);
        };
        let mut pcm = [0; AUDIO_FRAME];
        let judge = |pcm: &[i16; AUDIO_FRAME], rtp| {
            lock(&watch).samples(pcm, rtp, clock::now(), &log);
        };
        let missing = expected.map_or(0, |due| rtp.wrapping_sub(due) / AUDIO_FRAME as u32);
        if missing <= CONCEALED {
            for lost in (1..=missing).rev() {
                // An empty packet asks for concealment; it cannot fail on a running decoder.
                if decoder.decode(&[], &mut pcm, false).is_ok() {
                    judge(&pcm, rtp.wrapping_sub(lost * AUDIO_FRAME as u32));
                }
            }
        }
        if matches!(decoder.decode(payload, &mut pcm, false), Ok(AUDIO_FRAME)) {
            judge(&pcm, rtp);
        }
        expected = Some(rtp.wrapping_add(AUDIO_FRAME as u32));
        Ok(FlowSuccess::Ok)
    });
    Ok(callbacks.build())
}

/// Payload type inside the process; what was negotiated does not matter any more.
const PAYLOAD_TYPE: u8 = 96;

/// The packet as bytes with a plain header (RFC 3550 section 5.1).
pub(super) fn wire(packet: &RtpPacket) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(12 + packet.payload.len());
    bytes.extend([0x80, (packet.marker as u8) << 7 | PAYLOAD_TYPE]);
    bytes.extend(packet.sequence.to_be_bytes());
    bytes.extend(packet.timestamp.to_be_bytes());
    bytes.extend(packet.ssrc.to_be_bytes());
    bytes.extend(&packet.payload);
    bytes
}

fn timestamp(packet: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(packet.get(4..8)?.try_into().ok()?))
}

fn opened(packet: &[u8]) -> Option<(u32, &[u8])> {
    Some((timestamp(packet)?, packet.get(12..)?))
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Judging adds to lists and counts: a panic in between leaves them usable.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::clock::MediaTime;
    use crate::id::{DisplayName, ParticipantId};
    use crate::load::audio;
    use crate::load::clip::{Clip, Settings};
    use crate::load::mark::{self, Mark};
    use crate::load::report::Sample;
    use crate::load::scene::Scene;
    use crate::load::sent::Sent;
    use crate::load::watch::Source;
    use crate::signalling::{MapTile, NamesIn, TileMap};

    const SIZE: Size = Size::new(640, 360);
    const PICTURES: u32 = 50;

    fn watch() -> Arc<Mutex<Watch>> {
        let source = |id: u32| Source {
            participant: Some(ParticipantId(id)),
            name: id.to_string(),
        };
        let mut watch = Watch::new(4, SIZE);
        watch.tiles(TileMap {
            layout: 1,
            rtp_time: 0,
            width: SIZE.width,
            height: SIZE.height,
            names: NamesIn::Page,
            includes_self: false,
            tiles: vec![MapTile {
                id: ParticipantId(3),
                name: DisplayName::new("three").unwrap(),
                x: 0.0,
                y: 0.0,
                width: 1.0,
                height: 1.0,
                live: true,
                share: false,
            }],
        });
        watch.begin((0..4).map(source).collect(), MediaTime(0));
        Arc::new(Mutex::new(watch))
    }

    fn clip(codec: VideoCodec, bitrate: u32) -> Clip {
        let settings = Settings {
            codec,
            size: SIZE,
            fps: 25,
            bitrate,
            keyframes: PICTURES,
        };
        let scene = Scene::new(3, SIZE, PICTURES);
        Clip::encode(
            &Library::embedded(),
            settings,
            PICTURES,
            |number, picture| {
                scene.draw(number, picture);
                let frame = number as u16;
                mark::draw(picture.luma_mut(), SIZE, Mark { source: 3, frame });
            },
        )
        .unwrap()
    }

    fn packet(sequence: u16, timestamp: u32, marker: bool, payload: &Bytes) -> RtpPacket {
        RtpPacket {
            payload_type: 111,
            marker,
            sequence,
            timestamp,
            ssrc: 9,
            payload: payload.clone(),
            arrived: clock::now(),
            level: None,
            rotation: None,
        }
    }

    /// Two seconds of a source straight into a sampler, all at once; waits until the last
    /// picture and the sound have been judged.
    fn sampled(codec: VideoCodec, bitrate: u32) -> Sample {
        let (watch, log) = (watch(), Arc::new(Log::new(4)));
        let sampler = Sampler::start(&Library::embedded(), codec, &watch, &log).unwrap();
        let now = clock::now();
        for kind in [Kind::Audio, Kind::Video] {
            lock(&watch).sender_report(kind, now.ntp(), 0u32.wrapping_sub(9_000));
        }
        let mut sequence = 65_530u16;
        // RTP times that wrap in mid-stream.
        let start = 0u32.wrapping_sub(25 * 3_600);
        for (slot, payloads) in clip(codec, bitrate).pictures.iter().enumerate() {
            let at = clock::now();
            log.picture(
                3,
                slot as u16,
                Sent {
                    slot: slot as u64,
                    at,
                },
            );
            let timestamp = start.wrapping_add(slot as u32 * 3_600);
            for (n, payload) in payloads.iter().enumerate() {
                let marker = n + 1 == payloads.len();
                sampler.push(Kind::Video, &packet(sequence, timestamp, marker, payload));
                sequence = sequence.wrapping_add(1);
            }
        }
        let track = audio::beeps(3).unwrap();
        let start = 0u32.wrapping_sub(48_000);
        for tick in 0..120u32 {
            let at = clock::now();
            if tick % 50 == 0 {
                let slot = (tick / 2) as u64;
                log.beep(3, Sent { slot, at });
            }
            let payload = &track.packets[(tick % 50) as usize].payload;
            let timestamp = start.wrapping_add(tick * 960);
            sampler.push(
                Kind::Audio,
                &packet(tick as u16, timestamp, tick == 0, payload),
            );
        }
        let until = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            let end = now.plus(Duration::from_secs(2));
            let report = lock(&watch).report(end);
            let pictures = report.video_latency_ms.map_or(0, |p| p.count);
            let beeps = report.audio_latency_ms.map_or(0, |p| p.count);
            if pictures == PICTURES as usize && beeps >= 3 {
                return report;
            }
            assert!(std::time::Instant::now() < until, "{report:?}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn every_mark_and_beep_is_found_in_decoded_media_of_either_codec() {
        for codec in [VideoCodec::H264, VideoCodec::Vp8] {
            let report = sampled(codec, 500_000);
            assert_eq!(report.tiles.len(), 1);
            assert_eq!(report.strange_marks, 0);
        }
    }

    #[test]
    fn marks_survive_a_low_bitrate() {
        for codec in [VideoCodec::H264, VideoCodec::Vp8] {
            sampled(codec, 120_000);
        }
    }
}
