//! A trial: a stream of known pictures through a real decoder, one after the other.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use gstreamer_video::{VideoFrameExt, VideoFrameRef};

use super::{Backend, Decoder, Event, Frame};
use crate::clock;
use crate::gst::{Library, trial};
use crate::media::{RtpPacket, SharedPicture, Size, VIDEO_CLOCK};
use crate::stats::{Stats, process_cpu_seconds};

/// Looking for what came out so often costs less than it may mislead.
const LOOK: Duration = Duration::from_millis(1);

/// Decodes `pictures` of [`trial::picture`]s of this size. Each must come out before the next goes
/// in, in its size and with its colour.
///
/// # Errors
/// Says what did not work, within about `limit`; longer only if the driver hangs.
pub fn decode(
    backend: Backend,
    library: &Library,
    pictures: &[SharedPicture],
    size: Size,
    limit: Duration,
) -> Result<(), String> {
    each(backend, library, pictures, limit, |frame| look(frame, size))
}

/// CPU seconds that decoding one of these pictures takes. On a machine that does other things at
/// the same time it may be any number.
///
/// # Errors
/// Says what did not work, as [`decode`].
pub fn measure(
    backend: Backend,
    library: &Library,
    pictures: &[SharedPicture],
    limit: Duration,
) -> Result<f64, String> {
    let mut readings = vec![process_cpu_seconds()];
    each(backend, library, pictures, limit, |_| {
        readings.push(process_cpu_seconds());
        Ok(())
    })?;
    trial::middle_step(&readings).ok_or_else(|| "too few pictures".into())
}

/// Decodes one picture after the other and hands each over as it comes out.
fn each(
    backend: Backend,
    library: &Library,
    pictures: &[SharedPicture],
    limit: Duration,
    mut decoded: impl FnMut(&Frame) -> Result<(), String>,
) -> Result<(), String> {
    let deadline = Instant::now() + limit;
    let (tell, events) = mpsc::channel();
    let tell = move |event| {
        // Refused once the trial is over.
        let _ = tell.send(event);
    };
    // Figures of its own: a trial is nobody's track.
    let stats = Arc::<Stats>::default();
    let decoder = Decoder::start(backend, library, &stats, Arc::default(), Arc::new(tell));
    let decoder = decoder.map_err(|error| error.to_string())?;
    let frames = decoder.frames();
    let (mut sequence, mut last) = (0, None);
    for (number, picture) in pictures.iter().enumerate() {
        for packet in packets(picture, &mut sequence) {
            decoder.push(&packet);
        }
        let frame = loop {
            let frame = frames.due(clock::now());
            if let Some(frame) = frame.filter(|frame| Some(frame.serial) != last) {
                break frame;
            }
            let failed = events.try_iter().find_map(|event| match event {
                Event::Failed(why) => Some(why),
                _ => None,
            });
            if let Some(why) = failed {
                return Err(why);
            }
            if Instant::now() >= deadline {
                return Err(format!("picture {} did not come out in time", number + 1));
            }
            std::thread::sleep(LOOK);
        };
        last = Some(frame.serial);
        decoded(&frame)?;
    }
    Ok(())
}

/// The packets of a picture, as a sender makes them.
fn packets(picture: &SharedPicture, sequence: &mut u16) -> Vec<RtpPacket> {
    let (arrived, last) = (clock::now(), picture.payloads.len().saturating_sub(1));
    let payloads = picture.payloads.iter().enumerate();
    let packets = payloads.map(|(n, payload)| {
        *sequence = sequence.wrapping_add(1);
        RtpPacket {
            payload_type: 96,
            marker: n == last,
            sequence: *sequence,
            timestamp: picture.at.rtp_ticks(VIDEO_CLOCK) as u32,
            ssrc: 1,
            payload: payload.clone(),
            arrived,
            level: None,
            rotation: None,
        }
    });
    packets.collect()
}

/// Whether a frame shows what it should.
fn look(frame: &Frame, size: Size) -> Result<(), String> {
    let decoded = Size::new(frame.info.width(), frame.info.height());
    if decoded != size {
        return Err(format!("it makes {decoded:?} of {size:?}"));
    }
    let picture = VideoFrameRef::from_buffer_ref_readable(&frame.buffer, &frame.info)
        .map_err(|_| "its pictures cannot be read")?;
    let (x, y) = (size.width as usize / 2, size.height as usize * 3 / 4);
    for (plane, wanted) in trial::COLOUR.into_iter().enumerate() {
        let half = usize::from(plane > 0);
        let stride = picture.plane_stride()[plane] as usize;
        let at = (y >> half) * stride + (x >> half);
        let bytes = picture.plane_data(plane as u32);
        let value = bytes.ok().and_then(|bytes| bytes.get(at).copied());
        if value.is_none_or(|value| value.abs_diff(wanted) > trial::TOLERANCE) {
            return Err(format!("it decodes {wanted} as {value:?} in plane {plane}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::choice::Encoders;
    use crate::encode::trial::{SIZE, encode};
    use crate::media::VideoCodec;

    /// Nothing that works takes longer, even on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn stream(codec: VideoCodec) -> Vec<SharedPicture> {
        let encoder = Encoders::software().of(codec).unwrap();
        encode(encoder, &Library::embedded(), PATIENCE).unwrap()
    }

    #[test]
    fn software_passes() {
        let library = Library::embedded();
        for backend in [Backend::AvH264, Backend::OpenH264, Backend::Vp8] {
            let stream = stream(backend.codec());
            let passed = decode(backend, &library, &stream, SIZE, PATIENCE);
            assert_eq!(passed, Ok(()), "{backend:?}");
        }
    }

    #[test]
    fn wrong_pictures_are_no_pictures() {
        let library = Library::embedded();
        let stream = stream(VideoCodec::Vp8);
        let other = Size::new(640, 360);
        let why = decode(Backend::Vp8, &library, &stream, other, PATIENCE).unwrap_err();
        assert!(why.starts_with("it makes Size"), "{why}");

        let text = include_str!("../../../pipelines/decode-vp8.gst");
        let grey = text.replace(
            "! vp8dec threads=1",
            "! vp8dec threads=1 ! videobalance saturation=0",
        );
        let why = decode(Backend::Vp8, &with_text(&grey), &stream, SIZE, PATIENCE).unwrap_err();
        assert!(why.contains("in plane 1"), "{why}");
    }

    #[test]
    fn what_yields_nothing_is_given_up() {
        let text = include_str!("../../../pipelines/decode-vp8.gst");
        let swallow = text.replace("! appsink", "! valve drop=true ! appsink");
        let stream = stream(VideoCodec::Vp8);
        let limit = Duration::from_millis(300);
        let why = decode(Backend::Vp8, &with_text(&swallow), &stream, SIZE, limit).unwrap_err();
        assert_eq!(why, "picture 1 did not come out in time");
    }

    fn with_text(text: &str) -> Library {
        let name = std::thread::current().name().unwrap().replace("::", "-");
        let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("decode-vp8.gst"), text).unwrap();
        let library = Library::from_dir(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        library
    }
}
