//! A mix's sound once more, in AAC-LC, for those who take no Opus: HLS players, services that are
//! streamed to, and files for old devices. Opus packets in, AAC frames out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use gstreamer::{Buffer, ClockTime, FlowError, FlowSuccess};
use gstreamer_app::{AppSinkCallbacks, AppSrc};

use crate::clock::MediaTime;
use crate::gst;
use crate::media::{AUDIO_CLOCK, AUDIO_FRAME, EncodedAudio, Kind};
use crate::stats::{Counted, Stats};

/// Bits a second: as good as the Opus it is made from, for one channel.
pub const BITRATE: u32 = 96_000;
/// Samples of one frame.
pub const FRAME: u32 = 1024;
/// What an Opus packet lasts.
const PACKET: Duration = Duration::from_millis(20);
/// Packets that come this much off their time are where they belong: half of one.
const TOLERANCE: Duration = Duration::from_millis(10);
/// Longer pauses are not filled with silence: whoever packs the sound begins anew.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Input that may wait, bytes: two seconds. The encoder takes a hundredth of the time.
const MOST_WAITING: u64 = 2 * 2 * AUDIO_CLOCK as u64;

/// The text of this pipeline.
pub const SPEC: gst::Spec = gst::Spec {
    name: "encode-aac",
    values: &[("bps", gst::Value::Int(BITRATE as i64))],
    elements: &["source", "encoder", "sink"],
    inputs: &[],
};

/// 1,024 samples of sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The time of its first sample.
    pub at: MediaTime,
    /// A raw block (ISO/IEC 14496-3), without ADTS header.
    pub data: Bytes,
}

/// What an encoder tells, on a thread of its own: must not block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It has made one more frame.
    Frame(Frame),
    /// It ended with an error, in GStreamer's words; told once.
    Failed(String),
}

/// Why there is no AAC.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its pipeline.
    #[error("starting an AAC encoder: {0}")]
    Pipeline(#[from] gst::Error),
    /// The Opus it is made from.
    #[error("decoding the mix's Opus: {0}")]
    Opus(#[from] opus::Error),
    /// Nothing came for so long that it is another stream.
    #[error("the sound of the mix paused for {0:?}")]
    Pause(Duration),
    /// It takes no more.
    #[error("the AAC encoder does not keep up")]
    Stalled,
}

/// An encoder; dropping it ends it.
pub struct Encoder {
    opus: opus::Decoder,
    source: AppSrc,
    line: Arc<Mutex<Line>>,
    closed: Arc<AtomicBool>,
    _pipeline: gst::Pipeline,
    _counted: Counted,
}

/// Where it is in time: samples are laid out without a gap from the first packet on.
#[derive(Debug, Default)]
struct Line {
    begin: Option<MediaTime>,
    /// Samples that went in.
    entered: u64,
    /// Frames that came out.
    left: u64,
}

impl Encoder {
    /// Starts one, counted in `quilt_encoders{kind="audio"}` while it lives.
    pub fn start(
        library: &gst::Library,
        stats: &Arc<Stats>,
        tell: Arc<dyn Fn(Event) + Send + Sync>,
    ) -> Result<Self, Error> {
        let pipeline = library.build(SPEC.name, SPEC.values)?;
        let source = pipeline.app_src("source")?;
        let line = Arc::<Mutex<Line>>::default();
        let closed = Arc::<AtomicBool>::default();
        let sample = {
            let (line, closed, tell) = (line.clone(), closed.clone(), tell.clone());
            move |sink: &gstreamer_app::AppSink| {
                let sample = sink.pull_sample().map_err(|_| FlowError::Eos)?;
                let made = line.lock().unwrap_or_else(PoisonError::into_inner).leave();
                let buffer = sample.buffer().ok_or(FlowError::Error)?;
                let data = buffer.map_readable().map_err(|_| FlowError::Error)?;
                if let Some(at) = made
                    && !closed.load(Ordering::Acquire)
                {
                    let data = Bytes::copy_from_slice(&data);
                    tell(Event::Frame(Frame { at, data }));
                }
                Ok(FlowSuccess::Ok)
            }
        };
        pipeline
            .app_sink("sink")?
            .set_callbacks(AppSinkCallbacks::builder().new_sample(sample).build());
        let (failed, counted) = (closed.clone(), stats.clone());
        pipeline.on_error(Box::new(move |why| {
            counted.pipeline_error(SPEC.name);
            if !failed.load(Ordering::Acquire) {
                tell(Event::Failed(why));
            }
        }));
        pipeline.play()?;
        Ok(Self {
            opus: opus::Decoder::new(AUDIO_CLOCK, opus::Channels::Mono)?,
            source,
            line,
            closed,
            _pipeline: pipeline,
            _counted: Counted::new(stats.encoders(Kind::Audio)),
        })
    }

    /// The next packet of the mix. What is missing before it is silence; what comes twice is
    /// left out.
    pub fn push(&mut self, packet: &EncodedAudio) -> Result<(), Error> {
        if self.source.current_level_bytes() > MOST_WAITING {
            return Err(Error::Stalled);
        }
        let place = self.locked(|line| line.place(packet.at));
        let missing = match place {
            Place::Late => return Ok(()),
            Place::Pause(pause) => return Err(Error::Pause(pause)),
            Place::After(missing) => missing,
        };
        for _ in 0..missing {
            self.enter(&[0; AUDIO_FRAME]);
        }
        let mut samples = [0; AUDIO_FRAME];
        self.opus.decode(&packet.payload, &mut samples, false)?;
        self.enter(&samples);
        Ok(())
    }

    fn enter(&mut self, samples: &[i16; AUDIO_FRAME]) {
        let entered = self.locked(|line| {
            line.entered += AUDIO_FRAME as u64;
            line.entered - AUDIO_FRAME as u64
        });
        let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        let mut buffer = Buffer::from_slice(bytes);
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(ClockTime::from_nseconds(nanos(entered)));
            buffer.set_duration(ClockTime::from_mseconds(20));
        }
        // Refused when the pipeline has failed, which is told elsewhere.
        let _ = self.source.push_buffer(buffer);
    }

    fn locked<T>(&self, work: impl FnOnce(&mut Line) -> T) -> T {
        work(&mut self.line.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
    }
}

/// Where a packet belongs.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// After so many that are missing.
    After(u64),
    /// Its time is over.
    Late,
    /// So far away that it begins another stream.
    Pause(Duration),
}

impl Line {
    fn place(&mut self, at: MediaTime) -> Place {
        let begin = *self.begin.get_or_insert(at);
        let due = begin.plus(Duration::from_nanos(nanos(self.entered)));
        if at.plus(TOLERANCE) < due {
            return Place::Late;
        }
        match at.since(due) {
            pause if pause > LONGEST_PAUSE => Place::Pause(pause),
            pause => Place::After(((pause + TOLERANCE).as_nanos() / PACKET.as_nanos()) as u64),
        }
    }

    /// A frame comes out: its time. The first is what the encoder begins with, before the sound:
    /// each frame's sound is heard with the next one (FFmpeg's `initial_padding`).
    fn leave(&mut self) -> Option<MediaTime> {
        let number = self.left;
        self.left += 1;
        let samples = number.checked_sub(1)? * u64::from(FRAME);
        Some(self.begin?.plus(Duration::from_nanos(nanos(samples))))
    }
}

/// Samples in nanoseconds.
fn nanos(samples: u64) -> u64 {
    (u128::from(samples) * 1_000_000_000 / u128::from(AUDIO_CLOCK)) as u64
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use gstreamer::prelude::*;

    use super::*;
    use crate::encode::audio;

    const SECOND: usize = 50;

    fn packet(number: u64, payload: Bytes) -> EncodedAudio {
        let at = MediaTime(1_000_000_000 + number * PACKET.as_nanos() as u64);
        EncodedAudio { at, payload }
    }

    /// Two seconds of silence with a tone from the middle on.
    fn packets(stats: &Stats) -> Vec<EncodedAudio> {
        let mut opus = audio::Encoder::start(stats).unwrap();
        let tone = |n: usize| 8000.0 * (n as f32 * 0.06).sin();
        let samples = |number: usize| match number < SECOND {
            true => [0; AUDIO_FRAME],
            false => std::array::from_fn(|n| tone(number * AUDIO_FRAME + n) as i16),
        };
        let packets = (0..2 * SECOND).map(|n| (n as u64, opus.encode(&samples(n)).unwrap()));
        packets.map(|(n, payload)| packet(n, payload)).collect()
    }

    /// Encodes packets and waits for so many frames: the last ones stay inside.
    fn frames(packets: &[EncodedAudio], count: usize) -> Vec<Frame> {
        crate::gst::init().unwrap();
        let (send, events) = mpsc::channel();
        let stats = Arc::<Stats>::default();
        let send = Mutex::new(send);
        let tell = Arc::new(move |event| drop(send.lock().unwrap().send(event)));
        let library = gst::Library::embedded();
        let mut encoder = Encoder::start(&library, &stats, tell).unwrap();
        for packet in packets {
            encoder.push(packet).unwrap();
        }
        let patience = Duration::from_secs(20);
        let frame = |_| match events.recv_timeout(patience).unwrap() {
            Event::Frame(frame) => frame,
            Event::Failed(why) => panic!("{why}"),
        };
        (0..count).map(frame).collect()
    }

    /// When sound begins in these frames, as a player would hear it: each frame where its time is.
    fn onset(frames: &[Frame]) -> Duration {
        let line = "appsrc name=in format=time caps=\"audio/mpeg,mpegversion=4,stream-format=raw,\
                    rate=48000,channels=1,codec_data=(buffer)1188\" ! avdec_aac ! audioconvert \
                    ! audio/x-raw,format=S16LE,channels=1 ! appsink name=out sync=false";
        let pipeline = gstreamer::parse::launch(line).unwrap();
        let pipeline = pipeline.downcast::<gstreamer::Pipeline>().unwrap();
        let named = |name| pipeline.by_name(name).unwrap();
        let source = named("in").downcast::<AppSrc>().unwrap();
        let sink = named("out").downcast::<gstreamer_app::AppSink>().unwrap();
        pipeline.set_state(gstreamer::State::Playing).unwrap();
        for (number, frame) in frames.iter().enumerate() {
            let mut buffer = Buffer::from_slice(frame.data.clone());
            let time = nanos(number as u64 * u64::from(FRAME));
            buffer
                .get_mut()
                .unwrap()
                .set_pts(ClockTime::from_nseconds(time));
            source.push_buffer(buffer).unwrap();
        }
        source.end_of_stream().unwrap();
        let mut samples = Vec::new();
        while let Ok(sample) = sink.pull_sample() {
            let buffer = sample.buffer().unwrap().map_readable().unwrap();
            let pairs = buffer.chunks_exact(2);
            samples.extend(pairs.map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
        }
        pipeline.set_state(gstreamer::State::Null).unwrap();
        let loud = samples
            .iter()
            .position(|sample| sample.unsigned_abs() > 2000);
        let after = nanos(loud.expect("a tone") as u64);
        frames[0].at.since(MediaTime(1_000_000_000)) + Duration::from_nanos(after)
    }

    #[test]
    fn sound_stays_where_it_was() {
        let frames = frames(&packets(&Stats::default()), 90);
        for pair in frames.windows(2) {
            let apart = pair[1].at.since(pair[0].at).as_micros();
            assert!((21_333..=21_334).contains(&apart), "{apart}");
        }
        let begins = onset(&frames).as_millis();
        // libopus looks 6.5 ms ahead.
        assert!((995..1020).contains(&begins), "{begins} ms");
    }

    #[test]
    fn what_is_missing_is_silence_and_what_comes_twice_is_left_out() {
        let mut packets = packets(&Stats::default());
        packets.drain(10..30);
        let again = packets[5].clone();
        packets.insert(8, again);
        let begins = onset(&frames(&packets, 90)).as_millis();
        assert!((995..1020).contains(&begins), "{begins} ms");
    }

    #[test]
    fn a_long_pause_is_another_stream() {
        let mut line = Line::default();
        let at = |ms: u64| MediaTime(ms * 1_000_000);
        assert_eq!(line.place(at(100)), Place::After(0));
        line.entered += AUDIO_FRAME as u64;
        assert_eq!(line.place(at(121)), Place::After(0));
        assert_eq!(line.place(at(160)), Place::After(2));
        assert_eq!(line.place(at(100)), Place::Late);
        let pause = Duration::from_millis(5001);
        assert_eq!(line.place(at(5121)), Place::Pause(pause));
    }
}
