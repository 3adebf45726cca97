//! A trial: some pictures through a real pipeline, one after the other, as a mix would send them.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use gstreamer::{Buffer, ClockTime};

use super::backend::Backend;
use super::keyframe::APART;
use super::video::{Config, Encoder, Event, PictureMeta};
use crate::clock::MediaTime;
use crate::fanout::{Fanout, ListenerId, Receiver, listener};
use crate::gst::{self, trial};
use crate::media::{EncodedPicture, SharedPicture, Size};
use crate::stats::{Stats, process_cpu_seconds};

/// A full-size mix, which has to fit the encoder.
pub const SIZE: Size = Size::new(1280, 720);
const FPS: u32 = 25;
const BITRATE: u32 = 1_500_000;
/// Pictures before the keyframe that is asked for.
const PICTURES: u32 = 4;
/// The keyframe may come so many pictures late: devices take requests between two pictures.
const LATE: u32 = 3;
/// Pictures by which is measured what a picture costs.
const MEASURED: u32 = 8;
/// Looking for what came out so often costs less than it may mislead.
const LOOK: Duration = Duration::from_millis(1);

/// Encodes and answers the pictures. Each must come out before the next goes in, and a keyframe
/// must come when it is asked for.
///
/// # Errors
/// Says what did not work, within about `limit`; longer only if the driver hangs.
pub fn encode(
    backend: Backend,
    library: &gst::Library,
    limit: Duration,
) -> Result<Vec<SharedPicture>, String> {
    let mut run = Run::start(backend, library, limit)?;
    let mut made = Vec::new();
    for number in 0..PICTURES {
        made.push(run.step(number, MediaTime(0), trial::picture(SIZE, number))?);
    }
    run.encoder.request_keyframe();
    // As much later as it takes for another keyframe to be granted.
    let pause = MediaTime(2 * APART.as_nanos() as u64);
    for number in PICTURES..=PICTURES + LATE {
        let picture = run.step(number, pause, trial::picture(SIZE, number))?;
        let asked_for = picture.keyframe;
        made.push(picture);
        if asked_for {
            return Ok(made);
        }
    }
    Err("it makes no keyframe when asked for one".into())
}

/// CPU seconds that encoding a pixel of a full-size mix takes, and what was made. On a machine that
/// does other things at the same time it may be any number.
///
/// # Errors
/// Says what did not work, as [`encode`].
pub fn measure(
    backend: Backend,
    library: &gst::Library,
    limit: Duration,
) -> Result<(f64, Vec<SharedPicture>), String> {
    let mut run = Run::start(backend, library, limit)?;
    let (mut made, mut readings) = (Vec::new(), Vec::new());
    for number in 0..MEASURED {
        let picture = trial::scenery(SIZE, number);
        readings.push(process_cpu_seconds());
        made.push(run.step(number, MediaTime(0), picture)?);
        readings.push(process_cpu_seconds());
    }
    // Making the pictures lies between every other pair.
    let spent = readings.chunks(2).map(|pair| pair[1] - pair[0]);
    let sums: Vec<f64> = [0.0]
        .into_iter()
        .chain(spent.scan(0.0, |sum, step| {
            *sum += step;
            Some(*sum)
        }))
        .collect();
    let picture = trial::middle_step(&sums).ok_or("too few pictures")?;
    Ok((picture / f64::from(SIZE.width * SIZE.height), made))
}

struct Run {
    encoder: Encoder,
    pictures: Receiver<EncodedPicture>,
    events: mpsc::Receiver<Event>,
    deadline: Instant,
}

impl Run {
    fn start(backend: Backend, library: &gst::Library, limit: Duration) -> Result<Self, String> {
        let deadline = Instant::now() + limit;
        let output = Arc::<Fanout<EncodedPicture>>::default();
        let (tell, events) = mpsc::channel();
        let tell = move |event| {
            // Refused once the trial is over.
            let _ = tell.send(event);
        };
        let config = Config {
            backend,
            size: SIZE,
            fps: FPS,
            bitrate: BITRATE,
        };
        // Figures of its own: a trial is nobody's mix.
        let stats = Arc::<Stats>::default();
        let encoder = Encoder::start(config, library, &stats, output.clone(), Arc::new(tell));
        let encoder = encoder.map_err(|error| error.to_string())?;
        let (sender, pictures) = listener();
        output.attach(ListenerId(0), sender);
        Ok(Self {
            encoder,
            pictures,
            events,
            deadline,
        })
    }

    /// Picture in, picture out.
    fn step(
        &mut self,
        number: u32,
        later: MediaTime,
        picture: Vec<u8>,
    ) -> Result<SharedPicture, String> {
        let at = MediaTime(later.0 + u64::from(number) * 1_000_000_000 / u64::from(FPS));
        let mut picture = Buffer::from_mut_slice(picture);
        if let Some(buffer) = picture.get_mut() {
            buffer.set_pts(ClockTime::from_nseconds(at.0));
        }
        let meta = PictureMeta {
            at,
            layout: 0,
            arrivals: Vec::new(),
        };
        self.encoder.input().push(picture, meta);
        while Instant::now() < self.deadline {
            if let Ok(picture) = self.pictures.try_recv() {
                return Ok(picture);
            }
            if let Ok(Event::Failed(why)) = self.events.try_recv() {
                return Err(why);
            }
            std::thread::sleep(LOOK);
        }
        Err(format!("picture {} did not come out in time", number + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::choice::Encoders;
    use crate::media::VideoCodec;

    /// Nothing that works takes longer, even on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn software_passes() {
        let library = gst::Library::embedded();
        for codec in [VideoCodec::H264, VideoCodec::Vp8] {
            let backend = Encoders::software().of(codec).unwrap();
            let made = encode(backend, &library, PATIENCE).unwrap();
            assert!(made.iter().all(|picture| picture.codec == codec));
            assert!(made[0].keyframe && made.last().unwrap().keyframe);
            assert!(made.len() > PICTURES as usize);
        }
    }

    /// What a trial says of a backend whose text is changed.
    fn with_text(backend: Backend, change: (&str, &str), limit: Duration) -> String {
        let text = match backend {
            Backend::X264 => include_str!("../../pipelines/encode-h264.gst"),
            _ => include_str!("../../pipelines/encode-vp8.gst"),
        };
        assert!(text.contains(change.0));
        let text = text.replace(change.0, change.1);
        let name = std::thread::current().name().unwrap().replace("::", "-");
        let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{}.gst", backend.spec().name)), text).unwrap();
        let library = gst::Library::from_dir(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        encode(backend, &library, limit).unwrap_err()
    }

    #[test]
    fn what_yields_nothing_is_given_up() {
        let began = Instant::now();
        let swallow = ("! rtpvp8pay", "! valve drop=true ! rtpvp8pay");
        let why = with_text(Backend::Vp8, swallow, Duration::from_millis(300));
        assert_eq!(why, "picture 1 did not come out in time");
        assert!(began.elapsed() < PATIENCE);
    }

    #[test]
    fn what_holds_pictures_back_is_refused() {
        let hold = ("tune=zerolatency", "rc-lookahead=20");
        let why = with_text(Backend::X264, hold, Duration::from_secs(1));
        assert_eq!(why, "picture 1 did not come out in time");
    }

    #[test]
    fn what_fails_says_so_itself() {
        let why = with_text(Backend::Vp8, ("I420", "RGB"), PATIENCE);
        assert!(!why.contains("in time"), "{why}");
        let why = with_text(Backend::Vp8, ("vp8enc", "nosuchencoder"), PATIENCE);
        assert!(why.contains("nosuchencoder"), "{why}");
    }

    #[test]
    fn a_keyframe_must_come_when_asked_for() {
        let deaf = (
            "name=encoder",
            "name=encoder min-force-key-unit-interval=3600000000000",
        );
        let why = with_text(Backend::Vp8, deaf, PATIENCE);
        assert_eq!(why, "it makes no keyframe when asked for one");
    }
}
