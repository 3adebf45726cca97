//! The sound of a recording: the mix's Opus as it is, or once more in AAC.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;

use crate::clock::MediaTime;
use crate::encode::aac;
use crate::gst;
use crate::media::{AUDIO_FRAME, EncodedAudio};
use crate::package::movie::Track;
use crate::record::manifest;
use crate::stats::Stats;

/// What an Opus packet lasts.
const PACKET: Duration = Duration::from_millis(20);
/// Missing packets are made up for as long as there are no more; then the one before lasts.
const MOST_MISSING: u128 = 250;
/// The code of an Opus packet's first byte that says "one frame" (RFC 6716 section 3.1).
const ONE_FRAME: u8 = 0b1111_1100;

/// Sound on its way into a file.
pub enum Sound {
    /// As it comes.
    Opus {
        /// Time and first byte of the last packet.
        last: Option<(MediaTime, u8)>,
        /// What is ready.
        ready: Vec<(MediaTime, Bytes)>,
    },
    /// Through an encoder.
    Aac {
        /// None after a pause that begins another stream.
        encoder: Option<Box<aac::Encoder>>,
        /// What it tells.
        events: mpsc::Receiver<aac::Event>,
        /// For the next one.
        tell: mpsc::Sender<aac::Event>,
        /// Texts.
        library: gst::Library,
        /// Figures.
        stats: Arc<Stats>,
    },
}

/// Why there is no more sound.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The encoder.
    #[error(transparent)]
    Aac(#[from] aac::Error),
    /// The same, in GStreamer's words.
    #[error("encoding AAC: {0}")]
    Failed(String),
}

impl Sound {
    /// Sound of this kind.
    pub fn new(kind: manifest::Sound, library: &gst::Library, stats: &Arc<Stats>) -> Self {
        let (tell, events) = mpsc::channel();
        match kind {
            manifest::Sound::Opus => Self::Opus {
                last: None,
                ready: Vec::new(),
            },
            manifest::Sound::Aac => Self::Aac {
                encoder: None,
                events,
                tell,
                library: library.clone(),
                stats: stats.clone(),
            },
        }
    }

    /// How its track is described.
    pub fn track(&self) -> Track {
        match self {
            Self::Opus { .. } => Track::Opus,
            Self::Aac { .. } => Track::Aac(aac::BITRATE),
        }
    }

    /// Samples of what it yields one after the other.
    pub fn frame(&self) -> u32 {
        match self {
            Self::Opus { .. } => AUDIO_FRAME as u32,
            Self::Aac { .. } => aac::FRAME,
        }
    }

    /// The next packet of the mix.
    pub fn push(&mut self, packet: &EncodedAudio) -> Result<(), Error> {
        match self {
            Self::Opus { last, ready } => {
                fill(*last, packet.at, ready);
                let first = packet.payload.first().copied().unwrap_or_default();
                *last = Some((packet.at, first));
                ready.push((packet.at, packet.payload.clone()));
                Ok(())
            }
            Self::Aac {
                encoder,
                tell,
                library,
                stats,
                ..
            } => {
                if encoder.is_none() {
                    let tell = tell.clone();
                    let tell = Arc::new(move |event| drop(tell.send(event)));
                    let started = aac::Encoder::start(library, stats, tell)?;
                    *encoder = Some(Box::new(started));
                }
                let pushed = encoder.as_mut().map(|encoder| encoder.push(packet));
                match pushed {
                    Some(Err(aac::Error::Pause(_))) => {
                        *encoder = None;
                        Ok(())
                    }
                    Some(Err(error)) => Err(error.into()),
                    Some(Ok(())) | None => Ok(()),
                }
            }
        }
    }

    /// What is ready for the file.
    pub fn take(&mut self) -> Result<Vec<(MediaTime, Bytes)>, Error> {
        match self {
            Self::Opus { ready, .. } => Ok(std::mem::take(ready)),
            Self::Aac { events, .. } => {
                let event = |event| match event {
                    aac::Event::Frame(frame) => Ok((frame.at, frame.data)),
                    aac::Event::Failed(why) => Err(Error::Failed(why)),
                };
                events.try_iter().map(event).collect()
            }
        }
    }
}

/// Packets for those that are missing between the last one and `at`: of nothing but the first byte,
/// which a decoder conceals.
fn fill(last: Option<(MediaTime, u8)>, at: MediaTime, ready: &mut Vec<(MediaTime, Bytes)>) {
    let Some((last, first)) = last else { return };
    let missing = ((at.since(last) + PACKET / 2).as_nanos() / PACKET.as_nanos()).saturating_sub(1);
    if missing <= MOST_MISSING {
        for number in 1..=missing as u32 {
            let packet = Bytes::copy_from_slice(&[first & ONE_FRAME]);
            ready.push((last.plus(PACKET * number), packet));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_opus_is_made_up_with_what_decoders_conceal() {
        let mut sound = Sound::new(
            manifest::Sound::Opus,
            &gst::Library::embedded(),
            &Arc::default(),
        );
        let mut encoder = crate::encode::audio::Encoder::start(&Stats::default()).unwrap();
        for ms in [0, 20, 80, 60_000] {
            let payload = encoder.encode(&[100; AUDIO_FRAME]).unwrap();
            let at = MediaTime(ms * 1_000_000);
            sound.push(&EncodedAudio { at, payload }).unwrap();
        }
        let made = sound.take().unwrap();
        let times: Vec<_> = made.iter().map(|(at, _)| at.0 / 1_000_000).collect();
        assert_eq!(times, [0, 20, 40, 60, 80, 60_000]);
        let mut decoder = opus::Decoder::new(48_000, opus::Channels::Mono).unwrap();
        for (at, packet) in made {
            let decoded = decoder.decode(&packet, &mut [0; AUDIO_FRAME], false);
            assert_eq!(decoded.unwrap(), AUDIO_FRAME, "at {at:?}");
        }
        assert!(sound.take().unwrap().is_empty());
    }

    #[test]
    fn aac_comes_out_in_step_with_what_went_in() {
        let mut sound = Sound::new(
            manifest::Sound::Aac,
            &gst::Library::embedded(),
            &Arc::default(),
        );
        let mut encoder = crate::encode::audio::Encoder::start(&Stats::default()).unwrap();
        let begin = MediaTime(5_000_000_000);
        for tick in 0..50 {
            let payload = encoder.encode(&[100; AUDIO_FRAME]).unwrap();
            let at = begin.plus(PACKET * tick);
            sound.push(&EncodedAudio { at, payload }).unwrap();
        }
        let mut made = vec![];
        let until = std::time::Instant::now() + Duration::from_secs(20);
        // A second has 46 whole frames; the encoder keeps one or two.
        while made.len() < 43 {
            assert!(std::time::Instant::now() < until, "{}", made.len());
            made.extend(sound.take().unwrap());
            std::thread::sleep(Duration::from_millis(5));
        }
        for (number, (at, data)) in (0..).zip(&made) {
            assert_eq!(at.0, begin.0 + number * 1024 * 1_000_000_000 / 48_000);
            assert!(!data.is_empty());
        }
    }
}
