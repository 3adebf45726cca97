//! One audio track: from its RTP packets to the 20 ms that a tick takes.
//!
//! - `opus`: packets in order become sound; losses are filled (FEC, then concealment).
//! - `playout`, [`Samples`]: the queue whose depth follows the jitter.
//! - `stretch`: sound a little shorter or longer, and continued where it breaks off.

mod opus;
mod playout;
mod samples;
mod stretch;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gstreamer::Sample;

use self::opus::Unpacker;
use super::input::{self, Encoding, HEADER, Tap};
use super::sync::Sync;
use super::track::{Happening, Medium, Track};
use crate::clock::MediaTime;
use crate::gst::{Error, Library, Spec, Value};
use crate::media::{AUDIO_CLOCK, AUDIO_FRAME, Kind, RtpPacket};
use crate::stats::Stats;

pub use samples::Samples;

/// What this module looks up in `decode-opus.gst`.
pub const OPUS: Spec = Spec {
    name: "decode-opus",
    values: &[("latency", Value::Int(WAIT_MS as i64))],
    elements: &[input::JITTER_BUFFER, "sink"],
    inputs: &[(input::JITTER_BUFFER, "sink")],
};

/// How long the jitter buffer waits for a missing packet: until the next one, which carries its
/// copy, is due. What comes later than that is concealed better than waited for.
const WAIT_MS: u32 = 20;

/// What a decoder tells. Called on the network's task, the pipeline's threads and the patrol's:
/// must not block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The first sound.
    Started,
    /// Packets come, but nothing can be decoded; the pipeline is being replaced.
    Stalled,
    /// No packets for 3 s.
    Frozen,
    /// Packets again.
    Resumed,
    /// The pipeline ended with an error; a new one starts within a second or two.
    Failed(String),
}

/// Who is told.
pub type Events = Arc<dyn Fn(Event) + Send + std::marker::Sync>;

/// What [`Samples::pull`] put into its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulled {
    /// Silence: not started, or muted at the source.
    Nothing,
    /// What the sender said.
    Speech,
    /// A guess at what was lost or late.
    Concealed,
    /// A pause (DTX): faint noise.
    Comfort,
}

/// Decodes one Opus track. Dropping it ends its pipeline, without waiting.
pub struct Decoder {
    track: Arc<Track<Audio>>,
}

impl Decoder {
    /// Builds the pipeline: 1 ms, or 100 ms the first time in a process. `sync` is the
    /// participant's, shared with their video.
    pub fn start(
        library: &Library,
        stats: &Arc<Stats>,
        sync: Arc<Sync>,
        events: Events,
    ) -> Result<Self, Error> {
        let audio = Audio {
            samples: Arc::new(Samples::new(sync)),
            stats: stats.clone(),
            events,
            state: Mutex::default(),
        };
        let track = Track::start(audio, library, stats)?;
        Ok(Self { track })
    }

    /// Takes a packet, in whatever order they come. Never blocks; any thread.
    pub fn push(&self, packet: &RtpPacket) {
        self.track.push(packet);
    }

    /// Where the sound comes out.
    pub fn samples(&self) -> Arc<Samples> {
        self.track.medium().samples.clone()
    }
}

struct Audio {
    samples: Arc<Samples>,
    stats: Arc<Stats>,
    events: Events,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Made with the first packet, and anew with another source.
    unpacker: Option<Unpacker>,
    started: bool,
}

impl Audio {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tap for Audio {
    fn passed(&self, _timestamp: u32) {}
    fn lost(&self, _sequence: u16) {}
    fn keyframe_wanted(&self) {}
}

impl Medium for Audio {
    fn kind(&self) -> Kind {
        Kind::Audio
    }

    fn pipeline(&self) -> &'static str {
        OPUS.name
    }

    fn encoding(&self) -> Encoding {
        Encoding {
            media: "audio",
            name: "OPUS",
            rate: AUDIO_CLOCK,
        }
    }

    fn latency(&self) -> u32 {
        WAIT_MS
    }

    fn admit(&self, _packet: &RtpPacket, _number: u16, new: bool) -> bool {
        if new {
            self.lock().unpacker = None;
        }
        true
    }

    fn output(&self, sample: &Sample, now: MediaTime) -> bool {
        let Some(map) = sample
            .buffer()
            .and_then(|buffer| buffer.map_readable().ok())
        else {
            return false;
        };
        let Some((head, payload)) = map.split_at_checked(HEADER) else {
            return false;
        };
        let sequence = u16::from_be_bytes([head[2], head[3]]);
        let timestamp = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let (chunks, started) = {
            let mut state = self.lock();
            if state.unpacker.is_none() {
                state.unpacker = Unpacker::new().ok();
            }
            let Some(unpacker) = &mut state.unpacker else {
                return false;
            };
            let chunks = unpacker.packet(sequence, timestamp, payload);
            let first = !chunks.is_empty() && !std::mem::replace(&mut state.started, true);
            (chunks, first)
        };
        let decoded = !chunks.is_empty();
        let dropped: usize = chunks
            .into_iter()
            .map(|chunk| self.samples.write(now, chunk))
            .sum();
        self.stats
            .dropped("decoded_audio", dropped.div_ceil(AUDIO_FRAME) as u64);
        if started {
            (self.events)(Event::Started);
        }
        decoded
    }

    fn restarted(&self, _now: MediaTime) {
        self.lock().unpacker = None;
    }

    fn check(&self, _now: MediaTime, _flows: bool) {}

    fn tell(&self, happening: Happening) {
        (self.events)(match happening {
            Happening::Stalled => Event::Stalled,
            Happening::Frozen => Event::Frozen,
            Happening::Resumed => Event::Resumed,
            Happening::Failed(reason) => Event::Failed(reason),
        });
    }
}
