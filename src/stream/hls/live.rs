//! One room's stream, and the task that makes it: a listener of the common mix like any other.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::clock::{self, MediaTime};
use crate::stats::{Counted, Stats};
use crate::stream::hls::idle;
use crate::stream::hls::segmenter::{self, Segmenter};
use crate::stream::hls::shelf::{File, Shelf, Track};
use crate::stream::programme::{self, Piece, Programme};

/// How often is looked whether somebody still asks.
const LOOK: Duration = Duration::from_millis(500);
/// So long without a new part is an end: an encoder that fails is started again well before.
const STUCK: Duration = Duration::from_secs(15);
/// One room's stream.
#[derive(Debug)]
pub struct Live {
    /// Part of every file's address: unguessable, and another one for each stream, so that what
    /// caches hold of one is never taken for another's.
    id: String,
    shelf: Mutex<Shelf>,
    /// Changes with everything that is published, and with the end.
    changes: watch::Sender<()>,
    /// When somebody last asked.
    asked: AtomicU64,
    ended: Mutex<Option<String>>,
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shelf({:?})", self.edge())
    }
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("{0}")]
    Programme(#[from] programme::Error),
    #[error("nobody watches")]
    Idle,
    #[error("no picture or no sound came for {STUCK:?}")]
    Stuck,
    #[error("{0}")]
    Segment(#[from] segmenter::Error),
    #[error("{0}")]
    Picture(#[from] crate::package::avc::Error),
    #[error("{0}")]
    Init(#[from] crate::package::cmaf::Error),
}

impl Live {
    /// A stream that has nothing to show yet.
    pub(super) fn new() -> Self {
        Self {
            id: format!("{:032x}", rand::random::<u128>()),
            shelf: Mutex::default(),
            changes: watch::Sender::new(()),
            asked: AtomicU64::new(clock::now().0),
            ended: Mutex::default(),
        }
    }

    /// The folder of its files.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Somebody asks for something of it.
    pub fn touch(&self) {
        self.asked.fetch_max(clock::now().0, Ordering::Relaxed);
    }

    /// Why it has ended, if it has.
    pub fn ended(&self) -> Option<String> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.clone()
    }

    /// The playlist that names the others; none before there is anything to play. For `query`, see
    /// [`Shelf::index`].
    pub fn index(&self, query: &str) -> Option<String> {
        let shelf = self.shelf();
        shelf
            .is_ready()
            .then(|| shelf.index(&self.id, query))
            .flatten()
    }

    /// A track's playlist.
    pub fn playlist(&self, track: Track, query: &str) -> String {
        self.shelf().playlist(track, query)
    }

    /// A file that is no playlist.
    pub fn file(&self, file: File) -> Option<Bytes> {
        self.shelf().file(file)
    }

    /// Whether something comes soon, or is there: what may be waited for.
    pub fn expects(&self, segment: u64) -> bool {
        let edge = self.shelf().edge().map_or(0, |edge| edge.segment);
        segment <= edge + 2
    }

    /// Waits until there is something to play; whether that came about in time.
    pub async fn ready(&self, patience: Duration) -> bool {
        self.until(patience, Shelf::is_ready).await
    }

    /// Waits for a part, or a whole segment; whether it came in time.
    pub async fn published(&self, segment: u64, part: Option<u64>, patience: Duration) -> bool {
        self.until(patience, |shelf| shelf.has(segment, part)).await
    }

    /// Waits until the files are as wished, or no more come.
    async fn until(&self, patience: Duration, wish: impl Fn(&Shelf) -> bool) -> bool {
        let mut changes = self.changes.subscribe();
        let waiting = async {
            while !wish(&self.shelf()) && self.ended().is_none() {
                // Its sender is ours.
                let _ = changes.changed().await;
            }
            wish(&self.shelf())
        };
        let waited = tokio::time::timeout(patience, waiting).await;
        waited.unwrap_or(false)
    }

    /// Makes the stream until something ends it.
    pub(super) async fn run(&self, mut programme: Programme, stats: &Stats) {
        let _counted = Counted::new(stats.outputs("hls"));
        match self.produce(&mut programme).await {
            Ok(never) => match never {},
            Err(end) => self.end(end.to_string()),
        }
    }

    /// Nothing more comes, for this reason.
    pub(super) fn end(&self, why: String) {
        self.shelf().end();
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        self.changes.send_replace(());
    }

    async fn produce(&self, programme: &mut Programme) -> Result<Infallible, End> {
        let mut segmenter = Segmenter::default();
        let mut look = tokio::time::interval(LOOK);
        let mut made = clock::now();
        loop {
            tokio::select! {
                piece = programme.next() => match piece? {
                    Piece::Picture(picture) => segmenter.picture(&picture)?,
                    Piece::Sound(frame) => segmenter.sound(frame),
                },
                _ = look.tick() => {
                    let (now, asked) = (clock::now(), self.asked.load(Ordering::Relaxed));
                    if !idle::wanted(MediaTime(asked), now) {
                        return Err(End::Idle);
                    }
                    if now.since(made) > STUCK {
                        return Err(End::Stuck);
                    }
                }
            }
            while let Some(next) = segmenter.take()? {
                made = clock::now();
                self.shelf().put(next)?;
                self.changes.send_replace(());
            }
        }
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
