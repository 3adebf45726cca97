//! What listens to a room and is nobody in it: a recording, a stream.
//!
//! An output gets the common mix, from the same encoder as the audience. It keeps that encoder
//! alive, not the room: when the last one leaves, it ends. It is a *strict* listener: one that
//! does not keep up ends, and delays nobody.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::fanout::{Listener, Receiver, strict_listener};
use crate::id::OutputId;
use crate::media::{
    AUDIO_CLOCK, AUDIO_FRAME, EncodedAudio, EncodedPicture, Layout, SharedAudio, SharedPicture,
    Tier, VideoCodec,
};
use crate::room::actor::{Command, Summary};

/// What an output wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wish {
    /// The pictures of the common mix; none: none.
    pub video: Option<VideoCodec>,
    /// How good they are to be.
    pub tier: Tier,
    /// The sum of all voices.
    pub audio: bool,
    /// How pictures are arranged; none: as the room's, which shares the audience's encoder.
    pub layout: Option<Layout>,
    /// Pictures that are taller than wide.
    pub portrait: bool,
    /// How far it may be behind before it ends.
    pub patience: Duration,
}

/// Why an output ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The last one left, or a host ended the meeting.
    #[error("the meeting is over")]
    RoomClosed,
    /// The server stops.
    #[error("the server stops")]
    Stopping,
    /// It was further behind than it wished.
    #[error("it did not keep up")]
    TooSlow,
    /// The room's task is gone without a word.
    #[error("the room failed")]
    RoomFailed,
}

/// Why there is no output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no such room, or it is just ending.
    #[error("nobody is in this room")]
    NotOpen,
    /// No encoder works here.
    #[error("nothing here encodes {}", .0.name())]
    NoEncoder(VideoCodec),
}

/// One thing that an output gets.
#[derive(Debug, Clone)]
pub enum Item {
    /// The next picture; the first one, and the first one after a change of size, is a keyframe.
    Picture(SharedPicture),
    /// The next 20 ms of sound.
    Audio(SharedAudio),
}

/// The receiving ends of an output. Dropping it ends it.
pub struct Output {
    id: OutputId,
    video: Option<Receiver<EncodedPicture>>,
    audio: Option<Receiver<EncodedAudio>>,
    end: Arc<OnceLock<Ended>>,
    let_go: Arc<AtomicBool>,
    summary: watch::Receiver<Summary>,
    room: mpsc::Sender<Command>,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Output({})", self.id)
    }
}

/// The sending ends, for the room.
pub struct Feed {
    pub(super) video: Option<Listener<EncodedPicture>>,
    pub(super) audio: Option<Listener<EncodedAudio>>,
    pub(super) end: Arc<OnceLock<Ended>>,
}

/// Both ends of an output; `fps` is the most pictures a second that come.
pub(super) fn output(
    id: OutputId,
    wish: &Wish,
    fps: u32,
    room: mpsc::Sender<Command>,
    summary: watch::Receiver<Summary>,
) -> (Output, Feed) {
    let let_go = Arc::new(AtomicBool::new(false));
    let items = |a_second: u32| (wish.patience.as_secs_f64() * f64::from(a_second)).ceil() as usize;
    let video = wish.video.map(|_| items(fps).max(1));
    let video = video.map(|queue| strict_listener(queue, let_go.clone()));
    let audio = wish
        .audio
        .then(|| items(AUDIO_CLOCK / AUDIO_FRAME as u32).max(1));
    let audio = audio.map(|queue| strict_listener(queue, let_go.clone()));
    let (video, video_end) = video.unzip();
    let (audio, audio_end) = audio.unzip();
    let end = Arc::<OnceLock<Ended>>::default();
    let output = Output {
        id,
        video: video_end,
        audio: audio_end,
        end: end.clone(),
        let_go,
        summary,
        room,
    };
    (output, Feed { video, audio, end })
}

impl Output {
    /// Which one this is.
    pub fn id(&self) -> OutputId {
        self.id
    }

    /// The next picture or sound, in no order between the two: each has its time. May be
    /// cancelled without loss.
    ///
    /// # Errors
    /// With the reason, once it has ended and everything before that was taken from one of the two.
    pub async fn next(&mut self) -> Result<Item, Ended> {
        async fn take<T>(queue: &mut Option<Receiver<T>>) -> Option<Arc<T>> {
            match queue {
                Some(queue) => queue.recv().await,
                None => std::future::pending().await,
            }
        }
        let item = tokio::select! {
            picture = take(&mut self.video) => picture.map(Item::Picture),
            audio = take(&mut self.audio) => audio.map(Item::Audio),
        };
        item.ok_or_else(|| self.why())
    }

    /// Who is in the room, and what it is like.
    pub fn summary(&self) -> watch::Receiver<Summary> {
        self.summary.clone()
    }

    fn why(&self) -> Ended {
        match self.let_go.load(Ordering::Acquire) {
            true => Ended::TooSlow,
            false => self.end.get().copied().unwrap_or(Ended::RoomFailed),
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let (room, id) = (self.room.clone(), self.id);
        // A full inbox must not lose it, and a drop cannot wait. Where the runtime is gone, so is
        // the room.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { drop(room.send(Command::Untap(id)).await) });
        }
    }
}
