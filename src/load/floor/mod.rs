//! The floor that `quilt bench` compares with: the codec libraries alone, doing a room's work.
//!
//! Each source is decoded once, each personal mix is encoded once, Opus likewise, by one thread
//! that is woken at the frame rate: a loop without pauses would keep the caches warm and flatter
//! the floor by 15 %. Decoders and encoders are taken out of the server's own pipelines with all
//! their settings, and the mixes are composed by the server's own code, so that the work is the
//! same; only what the codecs take is counted.

mod codec;

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use gstreamer::prelude::*;
use gstreamer::{Buffer, Caps, ClockTime, PadProbeData, PadProbeReturn, PadProbeType};
use gstreamer_video::{VideoFormat, VideoInfo};

use super::audio::{self, Track};
use super::mark::{self, Mark};
use super::picture::Picture;
use super::run::{BITRATE, SIZE};
use super::scene::Scene;
use crate::clock::MediaTime;
use crate::config::Written;
use crate::decode::video::Frame;
use crate::encode;
use crate::encode::choice::Encoders;
use crate::encode::video::Config;
use crate::gst::{Library, Value};
use crate::media::{AUDIO_CLOCK, AUDIO_FRAME, Fit, Rect, Rotation, Size, VideoCodec};
use crate::mix::canvas::{Canvases, Content, Scene as Arrangement, Slot};
use crate::mix::label::BACKGROUND;
use crate::mix::layout::grid;
use crate::mix::place::place;
use crate::mix::tiles::Tiles;
use crate::room::state;
use codec::{Codec, counted, of_class};

/// Pictures of a source's loop, seconds.
const LOOP_SECONDS: usize = 5;
/// Not counted, seconds: first keyframes, rate control finding its level.
const WARM_UP: usize = 2;
/// Audio packets in a second.
const PACKETS: usize = 50;
/// A machine so busy that encoding a picture takes longer than this is of no use.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the codecs take, CPU seconds a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Floor {
    /// Decoding every source's video.
    pub decode: f64,
    /// Encoding every mix's video.
    pub encode: f64,
    /// Decoding every source's and encoding every mix's audio.
    pub opus: f64,
}

impl Floor {
    /// All of it.
    pub fn cores(&self) -> f64 {
        self.decode + self.encode + self.opus
    }
}

/// Measures a room of `participants`, each with a personal mix in H.264, for `seconds`. The
/// first, third, … source sends H.264, the others VP8. Takes some seconds more to prepare.
///
/// # Errors
/// When a codec is missing or fails.
pub fn run(participants: usize, fps: u32, seconds: usize) -> anyhow::Result<Floor> {
    let library = Library::embedded();
    let sources = (0..participants)
        .map(|index| Source::new(&library, index, fps))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let defaults = Defaults::read()?;
    let mut mixes = (0..participants)
        .map(|own| Mix::new(&library, &defaults, own, participants, fps))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut sound = Sound::new(participants)?;
    let mut tiles = Tiles::default();
    let mut floor = Floor::default();
    let fps = fps as usize;
    let start = Instant::now();
    for tick in 0..(WARM_UP + seconds) * fps {
        let due = Duration::from_secs(tick as u64) / fps as u32;
        std::thread::sleep((start + due).saturating_duration_since(Instant::now()));
        if tick == WARM_UP * fps {
            floor = Floor::default();
        }
        let at = MediaTime(due.as_nanos() as u64);
        let frames = sources
            .iter()
            .map(|source| source.decode(tick, at, &mut floor.decode))
            .collect::<anyhow::Result<Vec<_>>>()?;
        for mix in &mut mixes {
            mix.encode(&frames, &mut tiles, at, &mut floor.encode)?;
        }
        tiles.end_tick(|serial| frames.iter().any(|frame| frame.serial == serial));
        for packet in tick * PACKETS / fps..(tick + 1) * PACKETS / fps {
            sound.tick(packet, &mut floor.opus)?;
        }
    }
    let share = 1.0 / seconds.max(1) as f64;
    Ok(Floor {
        decode: floor.decode * share,
        encode: floor.encode * share,
        opus: floor.opus * share,
    })
}

/// One source's loop and its decoder.
struct Source {
    pictures: Vec<Buffer>,
    decoder: Codec,
}

impl Source {
    fn new(library: &Library, index: usize, fps: u32) -> anyhow::Result<Self> {
        let codec = match index % 2 {
            0 => VideoCodec::H264,
            _ => VideoCodec::Vp8,
        };
        let (caps, pictures) = coded(library, codec, index, fps)?;
        let name = match codec {
            VideoCodec::H264 => "decode-h264",
            VideoCodec::Vp8 => "decode-vp8",
        };
        let pipeline = library.build(name, &[("latency", Value::Int(0))])?;
        let decoder = of_class(&pipeline, "Decoder/Video")?;
        pipeline.inner().remove(&decoder)?;
        Ok(Self {
            pictures,
            decoder: Codec::start(vec![decoder], &caps)?,
        })
    }

    fn decode(&self, tick: usize, at: MediaTime, spent: &mut f64) -> anyhow::Result<Arc<Frame>> {
        let mut picture = self.pictures[tick % self.pictures.len()].copy();
        picture.make_mut().set_pts(ClockTime::from_nseconds(at.0));
        // All are set up to give each picture at once: what they hold back would not be counted.
        let decoded = self.decoder.push(picture, spent)?;
        let (buffer, caps) = decoded.context("a decoder gives no picture")?;
        let info = VideoInfo::from_caps(&caps)?;
        Ok(Arc::new(Frame::new(buffer, info, at, Rotation::R0)))
    }
}

/// A source's loop as access units, and what they are. Encoded as the load generator does it, and
/// caught before they are cut into packets.
fn coded(
    library: &Library,
    codec: VideoCodec,
    index: usize,
    fps: u32,
) -> anyhow::Result<(Caps, Vec<Buffer>)> {
    let length = LOOP_SECONDS as u32 * fps;
    let bitrate = i64::from(BITRATE * fps / 25);
    let keyframes = ("keyframes", Value::Int(length.into()));
    let pipeline = match codec {
        VideoCodec::H264 => {
            let rate = ("kbps", Value::Int(bitrate / 1000));
            library.build("load-encode-h264", &[rate, keyframes])?
        }
        VideoCodec::Vp8 => {
            let rate = ("bps", Value::Int(bitrate));
            library.build("load-encode-vp8", &[rate, keyframes])?
        }
    };
    let source = pipeline.app_src("src")?;
    let info = VideoInfo::builder(VideoFormat::I420, SIZE.width, SIZE.height)
        .fps(gstreamer::Fraction::new(fps as i32, 1))
        .build()?;
    source.set_caps(Some(&info.to_caps()?));
    let payloader = of_class(&pipeline, "Payloader")?;
    let entry = payloader.static_pad("sink").context("a payloader's sink")?;
    let (caught, units) = mpsc::channel();
    entry.add_probe(PadProbeType::BUFFER, move |_, probe| {
        if let Some(PadProbeData::Buffer(unit)) = &probe.data {
            // Nobody listens any more once all are there.
            let _ = caught.send(unit.copy());
        }
        PadProbeReturn::Ok
    });
    pipeline.play()?;
    let scene = Scene::new(1_000 + index as u64, SIZE, length);
    let mut picture = Picture::new(SIZE);
    let mut coded = Vec::with_capacity(length as usize);
    for number in 0..length {
        scene.draw(number, &mut picture);
        let mark = Mark {
            source: index as u8,
            frame: number as u16,
        };
        mark::draw(picture.luma_mut(), SIZE, mark);
        let mut buffer = Buffer::from_slice(picture.bytes().to_vec());
        let period = ClockTime::SECOND / u64::from(fps);
        let timing = buffer.make_mut();
        timing.set_pts(period * u64::from(number));
        timing.set_duration(period);
        source.push_buffer(buffer)?;
        let unit = units.recv_timeout(PATIENCE);
        coded.push(unit.context("an encoder gives no picture")?);
    }
    let caps = entry.current_caps().context("what an encoder gives")?;
    Ok((caps, coded))
}

/// What the server mixes if it is not told otherwise.
struct Defaults {
    canvas: Size,
    gutter: u32,
    /// Bits a second.
    bitrate: u32,
}

impl Defaults {
    fn read() -> anyhow::Result<Self> {
        let rules = state::Settings::default();
        Ok(Self {
            canvas: rules.canvas,
            gutter: rules.gutter,
            bitrate: Written::default().settle()?.video_bitrate,
        })
    }
}

/// One participant's mix and its encoder.
struct Mix {
    own: usize,
    canvases: Canvases,
    places: Vec<Rect>,
    encoder: Codec,
}

impl Mix {
    fn new(
        library: &Library,
        defaults: &Defaults,
        own: usize,
        participants: usize,
        fps: u32,
    ) -> anyhow::Result<Self> {
        // `quilt bench` has the server encode in software, too.
        let backend = Encoders::software().of(VideoCodec::H264);
        let backend = backend.context("no H.264 encoder is installed")?;
        let config = Config {
            backend,
            size: defaults.canvas,
            fps,
            bitrate: defaults.bitrate,
        };
        let others = participants.saturating_sub(1);
        let pipeline = library.build(backend.spec().name, &backend.values(&config))?;
        let caps = pipeline.app_src("source")?.caps();
        let encoder = pipeline.element("encoder")?;
        // What follows the encoder says which profile it is to make.
        let profile = encoder
            .static_pad("src")
            .and_then(|pad| pad.peer()?.parent_element())
            .context("what follows an encoder")?;
        for element in [&encoder, &profile] {
            pipeline.inner().remove(element)?;
        }
        Ok(Self {
            own,
            canvases: Canvases::new(defaults.canvas)?,
            places: grid(defaults.canvas, others, defaults.gutter),
            encoder: Codec::start(
                vec![encoder, profile],
                &caps.context("what an encoder takes")?,
            )?,
        })
    }

    fn encode(
        &mut self,
        frames: &[Arc<Frame>],
        tiles: &mut Tiles,
        at: MediaTime,
        spent: &mut f64,
    ) -> anyhow::Result<()> {
        let others = frames.iter().enumerate().filter(|(n, _)| *n != self.own);
        let slots = others.zip(&self.places).filter_map(|((_, frame), rect)| {
            let content = Content::Frame {
                frame: frame.clone(),
                placement: place(SIZE, frame.rotation, *rect, Fit::Crop)?,
            };
            Some(Slot {
                rect: *rect,
                content,
                label: None,
            })
        });
        let arrangement = Arrangement {
            background: BACKGROUND,
            slots: slots.collect(),
        };
        let picture = self.canvases.compose(&arrangement, tiles, at)?;
        let picture = picture.context("an encoder keeps all pictures")?;
        let coded = self.encoder.push(picture, spent)?;
        coded.context("an encoder gives no picture").map(drop)
    }
}

/// What all say, with a decoder for each, and an encoder for what each one hears.
struct Sound {
    tracks: Vec<Track>,
    decoders: Vec<opus::Decoder>,
    encoders: Vec<opus::Encoder>,
}

impl Sound {
    fn new(participants: usize) -> anyhow::Result<Self> {
        let all = 0..participants;
        let decoder = |_| opus::Decoder::new(AUDIO_CLOCK, opus::Channels::Mono);
        Ok(Self {
            tracks: all
                .clone()
                .map(|n| audio::beeps(n as u8))
                .collect::<Result<_, _>>()?,
            decoders: all.clone().map(decoder).collect::<Result<_, _>>()?,
            encoders: all
                .map(|_| encode::audio::configured())
                .collect::<Result<_, _>>()?,
        })
    }

    fn tick(&mut self, packet: usize, spent: &mut f64) -> anyhow::Result<()> {
        let mut voices = vec![[0; AUDIO_FRAME]; self.tracks.len()];
        for ((track, decoder), voice) in self.tracks.iter().zip(&mut self.decoders).zip(&mut voices)
        {
            let payload = &track.packets[packet % track.packets.len()].payload;
            counted(spent, || decoder.decode(payload, voice, false))?;
        }
        for (own, encoder) in self.encoders.iter_mut().enumerate() {
            let mut sum = [0_i16; AUDIO_FRAME];
            for (_, voice) in voices.iter().enumerate().filter(|(n, _)| *n != own) {
                for (sum, sample) in sum.iter_mut().zip(voice) {
                    *sum = sum.saturating_add(*sample);
                }
            }
            let mut packet = [0; 1275];
            counted(spent, || encoder.encode(&sum, &mut packet))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_does_its_part() {
        let floor = run(3, 10, 1).unwrap();
        assert!(floor.decode > 0.0 && floor.encode > 0.0 && floor.opus > 0.0);
        assert_eq!(floor.cores(), floor.decode + floor.encode + floor.opus);
    }

    #[test]
    #[ignore = "measures; run it alone, in release, with --nocapture"]
    fn what_the_codecs_take() {
        for (participants, fps) in [(2, 25), (4, 25), (8, 12)] {
            let floor = run(participants, fps, 10).unwrap();
            println!(
                "N = {participants} at {fps}: {floor:.3?}, {:.3} cores",
                floor.cores()
            );
        }
    }

    #[test]
    fn the_encoder_is_the_servers_own() {
        let library = Library::embedded();
        let defaults = Defaults::read().unwrap();
        let mix = Mix::new(&library, &defaults, 0, 2, 25).unwrap();
        let encoder = &mix.encoder.elements[0];
        let bitrate: u32 = encoder.property("bitrate");
        assert_eq!(bitrate * 1000, defaults.bitrate);
        assert!(encoder.parent().is_none(), "it left the pipeline");
        assert_eq!(mix.encoder.elements.len(), 2);
    }
}
