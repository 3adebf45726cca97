//! A room's common mix as those take it who take no Opus: pictures as they are, sound in AAC.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::encode::aac;
use crate::gst;
use crate::id::RoomName;
use crate::media::{Layout, SharedPicture, Tier, VideoCodec};
use crate::room::actor::Summary;
use crate::room::output::{self, Ended, Item, Output, Wish};
use crate::room::registry::Registry;
use crate::stats::Stats;

/// How far whoever takes it may be behind. They take within milliseconds what comes, and keep what
/// they cannot send: if it is this much, the machine is behind.
const PATIENCE: Duration = Duration::from_secs(5);
/// Frames of sound that may wait: two thirds of a second.
const SOUNDS: usize = 32;
/// Pictures wait so long for the sound of their time.
const APART: Duration = Duration::from_millis(300);

/// Where programmes come from.
#[derive(Clone)]
pub struct Studio {
    /// The rooms.
    pub rooms: Arc<Registry>,
    /// Pipeline texts.
    pub library: gst::Library,
    /// Figures.
    pub stats: Arc<Stats>,
}

/// One programme; dropping it ends it.
pub struct Programme {
    output: Output,
    encoder: aac::Encoder,
    sounds: mpsc::Receiver<aac::Event>,
}

/// What comes next.
#[derive(Debug, Clone)]
pub enum Piece {
    /// A picture, H.264; the first one is a keyframe.
    Picture(SharedPicture),
    /// A frame of sound.
    Sound(aac::Frame),
}

/// Why there is no programme, or no more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The room has none.
    #[error(transparent)]
    Output(#[from] output::Error),
    /// The room has no more.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// No AAC.
    #[error(transparent)]
    Sound(#[from] aac::Error),
    /// No more AAC; in GStreamer's words.
    #[error("the AAC encoder failed: {0}")]
    Encoder(String),
}

impl Error {
    /// Whether the meeting is over.
    pub fn is_over(&self) -> bool {
        let ended = matches!(self, Self::Ended(Ended::RoomClosed | Ended::Stopping));
        ended || matches!(self, Self::Output(output::Error::NotOpen))
    }
}

impl Studio {
    /// Begins to listen to a room.
    pub async fn programme(
        &self,
        room: &RoomName,
        layout: Option<Layout>,
        tier: Tier,
    ) -> Result<Programme, Error> {
        let wish = Wish {
            video: Some(VideoCodec::H264),
            audio: true,
            layout,
            portrait: false,
            tier,
            patience: PATIENCE,
            sign: false,
        };
        let output = self.rooms.output(room, wish).await?;
        let (tell, sounds) = mpsc::channel(SOUNDS);
        let stats = self.stats.clone();
        let tell = Arc::new(move |event| {
            if tell.try_send(event).is_err() {
                stats.dropped("programme_sound", 1);
            }
        });
        Ok(Programme {
            output,
            encoder: aac::Encoder::start(&self.library, &self.stats, tell)?,
            sounds,
        })
    }
}

impl Programme {
    /// The next picture or sound, in no order between the two. May be cancelled without loss.
    pub async fn next(&mut self) -> Result<Piece, Error> {
        loop {
            tokio::select! {
                item = self.output.next() => match item? {
                    Item::Picture(picture) => return Ok(Piece::Picture(picture)),
                    Item::Audio(audio) => self.encoder.push(&audio)?,
                },
                event = self.sounds.recv() => match event {
                    Some(aac::Event::Frame(frame)) => return Ok(Piece::Sound(frame)),
                    Some(aac::Event::Failed(why)) => return Err(Error::Encoder(why)),
                    None => return Err(Error::Encoder("it is gone".into())),
                },
            }
        }
    }

    /// Who is in the room; its sender is gone when the room is.
    pub fn summary(&self) -> watch::Receiver<Summary> {
        self.output.summary()
    }
}

/// Puts pictures and sound into the order of their times, for those who want one line of both. Pure.
#[derive(Debug, Default)]
pub struct InOrder {
    pictures: VecDeque<SharedPicture>,
}

impl InOrder {
    /// What can be handed on now that this has come.
    pub fn put(&mut self, piece: Piece) -> Vec<Piece> {
        let mut ready = Vec::new();
        match piece {
            Piece::Picture(picture) => {
                // Sound that is this late must not stop the pictures.
                let late = |waits: &SharedPicture| picture.at.since(waits.at) > APART;
                while let Some(waits) = self.pictures.pop_front_if(|waits| late(waits)) {
                    ready.push(Piece::Picture(waits));
                }
                self.pictures.push_back(picture);
            }
            Piece::Sound(frame) => {
                while let Some(waits) = self.pictures.pop_front_if(|waits| waits.at <= frame.at) {
                    ready.push(Piece::Picture(waits));
                }
                ready.push(Piece::Sound(frame));
            }
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MediaTime;
    use crate::package::avc::testing::picture;

    #[test]
    fn pictures_wait_for_the_sound_before_them_but_not_for_ever() {
        let ms = |ms: u64| MediaTime(ms * 1_000_000);
        let mut order = InOrder::default();
        let mut out = Vec::new();
        let mut put = |piece| {
            for piece in order.put(piece) {
                out.push(match piece {
                    Piece::Picture(picture) => ('v', picture.at.0 / 1_000_000),
                    Piece::Sound(frame) => ('a', frame.at.0 / 1_000_000),
                });
            }
        };
        let video = |at| Piece::Picture(Arc::new(picture(ms(at), at == 0)));
        let audio = |at| {
            Piece::Sound(aac::Frame {
                at: ms(at),
                data: bytes::Bytes::new(),
            })
        };
        for piece in [
            video(0),
            video(40),
            audio(10),
            audio(31),
            video(80),
            audio(52),
        ] {
            put(piece);
        }
        for at in (120..=400).step_by(40) {
            put(video(at));
        }
        let expected = [
            ('v', 0),
            ('a', 10),
            ('a', 31),
            ('v', 40),
            ('a', 52),
            ('v', 80),
        ];
        assert_eq!(out, expected);
    }
}
