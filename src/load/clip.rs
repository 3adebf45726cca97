//! Video made beforehand: RTP payloads of a loop, so that sending costs next to nothing.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use gstreamer::prelude::*;
use gstreamer::{ClockTime, Fraction};
use gstreamer_app::AppSink;

use super::picture::Picture;
use crate::gst::{self, Library, Spec, Value};
use crate::media::{Size, VideoCodec};

/// A machine so busy that a picture takes longer than this to encode or read is of no use.
const PATIENCE: ClockTime = ClockTime::from_seconds(20);

/// What encoding H.264 needs of its text.
pub const H264: Spec = Spec {
    name: "load-encode-h264",
    values: &[("kbps", Value::Int(500)), ("keyframes", Value::Int(250))],
    elements: &["src", "sink"],
    inputs: &[],
};

/// What encoding VP8 needs of its text.
pub const VP8: Spec = Spec {
    name: "load-encode-vp8",
    values: &[("bps", Value::Int(500_000)), ("keyframes", Value::Int(250))],
    elements: &["src", "sink"],
    inputs: &[],
};

/// What reading a file needs of its text. `decodebin` links the rest when it knows the file.
pub const FILE: Spec = Spec {
    name: "load-clip",
    values: &[
        ("width", Value::Int(640)),
        ("height", Value::Int(360)),
        ("fps", Value::Int(25)),
    ],
    elements: &["file", "sink"],
    inputs: &[("typefind", "src"), ("decoded", "sink")],
};

/// How a clip is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Codec.
    pub codec: VideoCodec,
    /// Width (a multiple of 8) and height (even).
    pub size: Size,
    /// Pictures a second.
    pub fps: u32,
    /// Bits a second.
    pub bitrate: u32,
    /// Pictures from keyframe to keyframe; the first one always is one.
    pub keyframes: u32,
}

/// A loop of encoded pictures.
#[derive(Debug, Clone)]
pub struct Clip {
    /// How it was encoded.
    pub settings: Settings,
    /// For each picture its RTP payloads in order; the marker bit goes on the last one.
    pub pictures: Vec<Vec<Bytes>>,
}

/// Why there is no clip.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A pipeline cannot be built or started.
    #[error(transparent)]
    Pipeline(#[from] gst::Error),
    /// It stopped on the way.
    #[error("encoding picture {picture} of a clip: {reason}")]
    Encode {
        /// Which one.
        picture: u32,
        /// What happened.
        reason: String,
    },
    /// The file cannot be read or decoded.
    #[error("reading clip {path}: {reason}")]
    Read {
        /// The file.
        path: String,
        /// What happened.
        reason: String,
    },
}

impl Clip {
    /// Draws and encodes `length` pictures. Takes a few ms each: not for an async task.
    pub fn encode(
        library: &Library,
        settings: Settings,
        length: u32,
        mut draw: impl FnMut(u32, &mut Picture),
    ) -> Result<Self, Error> {
        let (name, rate) = match settings.codec {
            VideoCodec::H264 => (
                H264.name,
                ("kbps", Value::Int(settings.bitrate as i64 / 1_000)),
            ),
            VideoCodec::Vp8 => (VP8.name, ("bps", Value::Int(settings.bitrate as i64))),
        };
        let keyframes = ("keyframes", Value::Int(settings.keyframes as i64));
        let pipeline = library.build(name, &[rate, keyframes])?;
        let (source, sink) = (pipeline.app_src("src")?, pipeline.app_sink("sink")?);
        source.set_caps(Some(&raw_caps(settings.size, settings.fps)));
        let failure = Failure::of(&pipeline);
        pipeline.play()?;
        let mut picture = Picture::new(settings.size);
        let mut pictures = Vec::with_capacity(length as usize);
        for number in 0..length {
            let broke = |reason: &str| Error::Encode {
                picture: number,
                reason: failure.or(reason),
            };
            draw(number, &mut picture);
            let period = ClockTime::SECOND / settings.fps as u64;
            let mut buffer = gstreamer::Buffer::from_slice(picture.bytes().to_vec());
            let timing = buffer.make_mut();
            timing.set_pts(period * number as u64);
            timing.set_duration(period);
            source
                .push_buffer(buffer)
                .map_err(|_| broke("the encoder takes no picture"))?;
            pictures.push(pull_picture(&sink).ok_or_else(|| broke("no packets came"))?);
        }
        Ok(Self { settings, pictures })
    }
}

/// Decodes the first `length` pictures of a file (fewer if it is shorter), brought to this size
/// and rate.
pub fn read_file(
    library: &Library,
    path: &Path,
    size: Size,
    fps: u32,
    length: usize,
) -> Result<Vec<Picture>, Error> {
    let values = [
        ("width", Value::Int(size.width as i64)),
        ("height", Value::Int(size.height as i64)),
        ("fps", Value::Int(fps as i64)),
    ];
    let pipeline = library.build(FILE.name, &values)?;
    // A path is never part of the text: GStreamer would parse it.
    pipeline.element("file")?.set_property("location", path);
    let sink = pipeline.app_sink("sink")?;
    let failure = Failure::of(&pipeline);
    let unreadable = |reason: &str| Error::Read {
        path: path.display().to_string(),
        reason: failure.or(reason),
    };
    pipeline
        .play()
        .map_err(|error| unreadable(&error.to_string()))?;
    let mut pictures = vec![];
    while pictures.len() < length {
        let Some(sample) = sink.try_pull_sample(PATIENCE) else {
            break;
        };
        let map = sample
            .buffer()
            .and_then(|buffer| buffer.map_readable().ok());
        pictures.extend(map.and_then(|map| Picture::from_bytes(size, &map)));
    }
    if pictures.is_empty() {
        return Err(unreadable("it has no video"));
    }
    Ok(pictures)
}

fn raw_caps(size: Size, fps: u32) -> gstreamer::Caps {
    gstreamer::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("width", size.width as i32)
        .field("height", size.height as i32)
        .field("framerate", Fraction::new(fps as i32, 1))
        .field("pixel-aspect-ratio", Fraction::new(1, 1))
        .build()
}

/// The payloads of all packets up to the one with the marker bit.
fn pull_picture(sink: &AppSink) -> Option<Vec<Bytes>> {
    let mut payloads = vec![];
    loop {
        let sample = sink.try_pull_sample(PATIENCE)?;
        let lists = sample.buffer_list_owned();
        let buffers = lists
            .iter()
            .flat_map(|list| list.iter())
            .chain(sample.buffer());
        let mut ended = false;
        for buffer in buffers {
            let map = buffer.map_readable().ok()?;
            let packet = map.as_slice();
            // A payloader writes neither CSRCs nor extensions unless asked.
            payloads.push(Bytes::copy_from_slice(packet.get(12..)?));
            ended = packet[1] & 0x80 != 0;
        }
        if ended {
            return Some(payloads);
        }
    }
}

/// What a pipeline's bus said, for the error that its silence leads to.
struct Failure(Arc<Mutex<Option<String>>>);

impl Failure {
    fn of(pipeline: &gst::Pipeline) -> Self {
        let said = Arc::new(Mutex::new(None));
        let noted = said.clone();
        pipeline.on_error(Box::new(move |text| {
            *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        }));
        Self(said)
    }

    fn or(&self, reason: &str) -> String {
        let said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.clone().unwrap_or_else(|| reason.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::mark::{self, Mark};
    use crate::load::scene::Scene;
    use crate::payload::starts_keyframe;

    const SIZE: Size = Size::new(640, 360);

    fn clip(codec: VideoCodec, length: u32) -> Clip {
        let settings = Settings {
            codec,
            size: SIZE,
            fps: 25,
            bitrate: 500_000,
            keyframes: length,
        };
        let scene = Scene::new(5, SIZE, length);
        Clip::encode(&Library::embedded(), settings, length, |number, picture| {
            scene.draw(number, picture);
            let frame = number as u16;
            mark::draw(picture.luma_mut(), SIZE, Mark { source: 5, frame });
        })
        .unwrap()
    }

    #[test]
    fn a_clip_has_its_rate_and_one_keyframe() {
        for codec in [VideoCodec::H264, VideoCodec::Vp8] {
            let clip = clip(codec, 100);
            assert_eq!(clip.pictures.len(), 100);
            let starts = |payload: &Bytes| starts_keyframe(codec, payload);
            let keyframes: Vec<usize> = (0..100)
                .filter(|&n| clip.pictures[n].iter().any(starts))
                .collect();
            assert_eq!(keyframes, [0], "{codec:?}");
            let payloads = clip.pictures.iter().flatten();
            let bits = payloads.clone().map(|p| p.len() * 8).sum::<usize>();
            let kbps = bits / 4_000;
            assert!((300..800).contains(&kbps), "{codec:?}: {kbps} kbit/s");
            let largest = payloads.map(Bytes::len).max().unwrap();
            assert!(largest <= 1_200, "{codec:?}: {largest} bytes in a packet");
        }
    }

    #[test]
    fn a_file_is_brought_to_the_size_and_rate_of_the_sources() {
        gst::init().unwrap();
        let path = std::env::temp_dir().join(format!("quilt-clip-{}.webm", std::process::id()));
        // One second, square, at 10 a second: white.
        let line = "videotestsrc num-buffers=10 pattern=white \
            ! video/x-raw,width=64,height=64,framerate=10/1 ! vp8enc ! webmmux ! filesink name=f";
        let writer = gstreamer::parse::launch(line).unwrap();
        let writer = writer.downcast::<gstreamer::Pipeline>().unwrap();
        writer.by_name("f").unwrap().set_property("location", &path);
        writer.set_state(gstreamer::State::Playing).unwrap();
        let ends = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
        let end = writer.bus().unwrap().timed_pop_filtered(PATIENCE, &ends);
        assert_eq!(end.unwrap().type_(), gstreamer::MessageType::Eos);
        writer.set_state(gstreamer::State::Null).unwrap();

        let pictures = read_file(&Library::embedded(), &path, SIZE, 25, 100).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!((23..=25).contains(&pictures.len()), "{}", pictures.len());
        let line = &pictures[0].luma()[180 * 640..][..640];
        assert!(
            line[320] > 200 && line[10] < 40,
            "white with bars beside it"
        );
    }

    #[test]
    fn a_file_that_is_none_is_named() {
        let path = Path::new("no such file.mp4");
        let error = read_file(&Library::embedded(), path, SIZE, 25, 10).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("reading clip no such file.mp4: "),
            "{text}"
        );
        assert!(text.contains("not found"), "{text}");
    }
}
