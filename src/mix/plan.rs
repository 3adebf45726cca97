//! What a room asks of its media loops: which sources go where in which mix.
//!
//! A plan is complete in itself. The room publishes a new one after every change; a loop takes
//! the newest at its next tick and keeps whatever it has in common with the one before.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::MediaTime;
use crate::decode;
use crate::encode;
use crate::fanout::Fanout;
use crate::id::{DisplayName, ParticipantId};
use crate::media::{EncodedAudio, Fit, Rect, Size};

/// Names a mix within its room; never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MixId(pub u64);

/// Everything the video loop does at each tick.
#[derive(Clone)]
pub struct VideoPlan {
    /// Time between ticks.
    pub period: Duration,
    /// The distinct pictures to compose and encode.
    pub mixes: Vec<VideoMix>,
}

/// One picture, for everybody whose mix is identical.
#[derive(Clone)]
pub struct VideoMix {
    /// Which mix this is.
    pub id: MixId,
    /// Serial number of this arrangement; grows with every change within a room.
    pub layout: u64,
    /// Size of the whole picture.
    pub canvas: Size,
    /// Pictures a second; where there are fewer ticks, each has one.
    pub fps: u32,
    /// Who is where. Empty: the canvas says that nobody else is here yet.
    pub tiles: Vec<Tile>,
    /// Draw names into the picture (the common mix, for players without the page).
    pub labels: bool,
    /// Where the picture goes.
    pub output: encode::video::Input,
}

/// One source's place in a picture.
#[derive(Clone)]
pub struct Tile {
    /// Whose tile this is.
    pub who: ParticipantId,
    /// For the label and the avatar's initials.
    pub name: DisplayName,
    /// Where it is.
    pub rect: Rect,
    /// How the source is brought into the tile's shape.
    pub fit: Fit,
    /// Decoded pictures; none means an avatar.
    pub video: Option<Arc<decode::video::Frames>>,
}

/// Everything the audio loop does every 20 ms.
#[derive(Clone, Default)]
pub struct AudioPlan {
    /// Who may be heard.
    pub sources: Vec<AudioSource>,
    /// At most this many of them are heard at a time.
    pub heard: usize,
    /// The distinct sums to encode.
    pub mixes: Vec<AudioMix>,
}

/// One voice.
#[derive(Clone)]
pub struct AudioSource {
    /// Whose voice this is.
    pub who: ParticipantId,
    /// Decoded samples; none while their sound is not decoded.
    pub samples: Option<Arc<decode::audio::Samples>>,
    /// The server leaves it out, whatever arrives.
    pub muted: bool,
}

/// One sum, for everybody whose sum is identical.
#[derive(Clone)]
pub struct AudioMix {
    /// Which mix this is.
    pub id: MixId,
    /// Whose voice is left out; `None`: nobody's.
    pub without: Option<ParticipantId>,
    /// Where its packets go.
    pub output: Arc<Fanout<EncodedAudio>>,
}

/// What the loops report to the room's inbox.
#[derive(Debug, Clone)]
pub enum MixEvent {
    /// The first picture of an arrangement was composed at this tick.
    LayoutShown {
        /// Of which mix.
        mix: MixId,
        /// Which arrangement.
        layout: u64,
        /// Its tick: outgoing RTP timestamps derive from it.
        at: MediaTime,
    },
    /// Loudness of every source, some ten times a second while anything is heard.
    Levels(Vec<Level>),
    /// A loop panicked and has ended, with these words: the room cannot go on.
    Failed(String),
}

/// How loud one source is, by decoded energy.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// Whose.
    pub who: ParticipantId,
    /// RMS of the last 100 ms, dBFS; -100 for silence.
    pub dbfs: f32,
    /// Judged to be speech (or music), with hysteresis.
    pub speaking: bool,
}

/// How loops report. Called on the loop's thread: must not block.
pub type Report = Arc<dyn Fn(MixEvent) + Send + Sync>;
