//! What a crowd sends: few clips and voices, worn by many.

use std::sync::Arc;

use super::super::audio::{self, Track};
use super::super::client::Material;
use super::super::clip::{self, Clip};
use super::super::content::Content;
use super::super::run::{BITRATE, SIZE};
use super::super::voice;
use crate::gst::Library;
use crate::media::VideoCodec;

/// Pictures a second of the sources.
pub const FPS: u32 = 25;
/// Different clips.
const CLIPS: u8 = 4;
/// Length of the clips' loops.
const SECONDS: u32 = 5;
/// How long somebody speaks, seconds ...
pub const TURN: u32 = 3;
/// ... until the next one does: so many in all, so that whoever has spoken is off stage for long.
pub const TURNS: u32 = 6;

/// Everything there is to send.
pub struct Wardrobe {
    clips: Vec<Arc<Clip>>,
    /// Those who speak in turn.
    voices: Vec<Arc<Track>>,
    quiet: Arc<Track>,
}

impl Wardrobe {
    /// Draws and encodes it all; takes seconds.
    pub fn make() -> anyhow::Result<Self> {
        let library = Library::embedded();
        let length = SECONDS * FPS;
        let content = Content::generated(CLIPS, 1, SIZE, length);
        let settings = clip::Settings {
            codec: VideoCodec::H264,
            size: SIZE,
            fps: FPS,
            bitrate: BITRATE,
            keyframes: length,
        };
        let clips = (0..CLIPS).map(|source| content.clip(&library, settings, source));
        let clips = clips.map(|clip| clip.map(Arc::new));
        let voices = (0..TURNS).map(|n| {
            let (from, to) = ((n * TURN) as f32, ((n + 1) * TURN) as f32 - 0.5);
            let pitch = 100.0 + 25.0 * n as f32;
            let pcm = voice::turn(n.into(), pitch, TURN * TURNS, from, to);
            audio::encode(&pcm).map(Arc::new)
        });
        // So late and short that nothing is said.
        let quiet = voice::turn(99, 100.0, 2, 1.9, 1.9);
        Ok(Self {
            clips: clips.collect::<Result<_, _>>()?,
            voices: voices.collect::<Result<_, _>>()?,
            quiet: Arc::new(audio::encode(&quiet)?),
        })
    }

    /// What the `n`th sends, who speaks in turn with the others or says nothing.
    pub fn material(&self, n: u32, speaks: bool) -> Material {
        let clip = &self.clips[n as usize % self.clips.len()];
        let voice = &self.voices[n as usize % self.voices.len()];
        Material {
            source: (n % u32::from(CLIPS)) as u8,
            clip: clip.clone(),
            track: if speaks { voice } else { &self.quiet }.clone(),
            log: None,
        }
    }
}
