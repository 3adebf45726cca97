//! All pushes, and the task of each: connects, sends, and tries again, until somebody says that it is
//! enough or the meeting is over.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::clock;
use crate::id::RoomName;
use crate::media::{Layout, Tier};
use crate::room::actor::Summary;
use crate::stats::Counted;
use crate::stream::programme::Studio;
use crate::stream::push::allowed::Allowed;
use crate::stream::push::retry::Retry;
use crate::stream::push::target::{Protocol, Target};
use crate::stream::push::{Broken, News, connect, rtmp, srt};

/// Pushes of one room at most: each is a connection, and an encoder of sound.
const MOST: usize = 8;

/// Where a push is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// On its way to the receiver.
    Connecting,
    /// The receiver takes the stream.
    Live,
    /// It broke, and is tried again after a pause.
    Waiting,
    /// It is not tried any more.
    Failed,
}

/// A push as it is listed: without anything secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// `o` and a number, unique for the life of the process.
    pub id: String,
    /// `rtmp` or `srt`.
    pub kind: &'static str,
    /// Where to, without the key.
    pub url: String,
    /// How the pictures are arranged; none: as the room's.
    pub layout: Option<Layout>,
    /// How good the pictures are.
    pub tier: Tier,
    /// Where it is.
    pub state: State,
    /// Why it broke the last time.
    pub reason: Option<String>,
    /// When `state` became so, milliseconds since 1970.
    pub since: u64,
    /// How often it was connected to, or tried.
    pub attempts: u32,
    /// What the receiver has taken since it was live the last time.
    pub bytes: u64,
}

/// Why there is no push.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody is there.
    #[error("nobody is in this room")]
    NotOpen,
    /// Enough.
    #[error("a room has at most {MOST} outputs")]
    TooMany,
    /// It leads nowhere, or where it must not.
    #[error("{0}")]
    Address(#[from] connect::Error),
}

/// See the [module](self).
pub struct Desk {
    studio: Studio,
    allowed: Allowed,
    next: AtomicU32,
    pushes: Mutex<BTreeMap<RoomName, Vec<Push>>>,
}

struct Push {
    id: u32,
    listed: Arc<Mutex<Listed>>,
    task: AbortHandle,
}

impl Desk {
    /// Without any push.
    pub fn new(studio: Studio, allowed: Allowed) -> Arc<Self> {
        Arc::new(Self {
            studio,
            allowed,
            next: AtomicU32::new(1),
            pushes: Mutex::default(),
        })
    }

    /// The pushes of a room, oldest first.
    pub fn list(&self, room: &RoomName) -> Vec<Listed> {
        let pushes = self.pushes();
        let of_room = pushes.get(room).into_iter().flatten();
        of_room.map(|push| locked(&push.listed).clone()).collect()
    }

    /// Begins to push an open room.
    pub async fn start(
        self: &Arc<Self>,
        room: &RoomName,
        target: Target,
        layout: Option<Layout>,
        tier: Tier,
    ) -> Result<Listed, Error> {
        let life = self.studio.rooms.watch(room).ok_or(Error::NotOpen)?;
        // So that whoever asks hears at once what can never be.
        connect::addresses(&target.host, target.port, &self.allowed).await?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let listed = Listed {
            id: format!("o{id}"),
            kind: target.kind(),
            url: target.to_string(),
            layout,
            tier,
            state: State::Connecting,
            reason: None,
            since: wall(),
            attempts: 0,
            bytes: 0,
        };
        let shared = Arc::new(Mutex::new(listed.clone()));
        let mut pushes = self.pushes();
        let of_room = pushes.entry(room.clone()).or_default();
        if of_room.len() >= MOST {
            return Err(Error::TooMany);
        }
        let task = Task {
            desk: self.clone(),
            room: room.clone(),
            target,
            layout,
            tier,
            listed: shared.clone(),
        };
        let task = tokio::spawn(task.run(id, life)).abort_handle();
        of_room.push(Push {
            id,
            listed: shared,
            task,
        });
        Ok(listed)
    }

    /// Ends a push; whether there was one.
    pub fn stop(&self, room: &RoomName, id: &str) -> bool {
        let number = id.strip_prefix('o').and_then(|number| number.parse().ok());
        let push = number.and_then(|number| self.remove(room, number));
        push.inspect(|push| push.task.abort()).is_some()
    }

    fn remove(&self, room: &RoomName, id: u32) -> Option<Push> {
        let mut pushes = self.pushes();
        let of_room = pushes.get_mut(room)?;
        let place = of_room.iter().position(|push| push.id == id)?;
        let push = of_room.remove(place);
        if of_room.is_empty() {
            pushes.remove(room);
        }
        Some(push)
    }

    fn pushes(&self) -> MutexGuard<'_, BTreeMap<RoomName, Vec<Push>>> {
        locked(&self.pushes)
    }
}

/// One push.
struct Task {
    desk: Arc<Desk>,
    room: RoomName,
    target: Target,
    layout: Option<Layout>,
    tier: Tier,
    listed: Arc<Mutex<Listed>>,
}

impl Task {
    async fn run(self, id: u32, life: watch::Receiver<Summary>) {
        let (room, target) = (&self.room, &self.target);
        tracing::info!(%room, %target, "a push begins");
        tokio::select! {
            () = self.push() => {}
            () = over(life) => tracing::info!(%room, %target, "the meeting is over, and so is its push"),
        }
        self.desk.remove(&self.room, id);
    }

    /// Over and over again. Ends when the room has nothing more to show.
    async fn push(&self) {
        let (room, target) = (&self.room, &self.target);
        let counted = Counted::new(self.desk.studio.stats.outputs(target.kind()));
        let mut retry = Retry::default();
        loop {
            self.note(State::Connecting, None);
            let broken = self.attempt(&mut retry).await;
            if matches!(&broken, Broken::Programme(error) if error.is_over()) {
                return;
            }
            let reason = target.without_secrets(broken.to_string());
            let pause = retry.broke(clock::now()).filter(|_| !broken.is_final());
            let Some(pause) = pause else {
                tracing::warn!(%room, %target, "a push is given up: {reason}");
                self.note(State::Failed, Some(reason));
                drop(counted);
                // It stays in the list for as long as there is a room.
                return std::future::pending().await;
            };
            tracing::info!(%room, %target, "a push broke, and begins again in {pause:?}: {reason}");
            self.note(State::Waiting, Some(reason));
            tokio::time::sleep(pause).await;
        }
    }

    /// One connection, from its begin to its end.
    async fn attempt(&self, retry: &mut Retry) -> Broken {
        match self.connection(retry).await {
            Ok(broken) | Err(broken) => broken,
        }
    }

    async fn connection(&self, retry: &mut Retry) -> Result<Broken, Broken> {
        let Desk {
            studio, allowed, ..
        } = &*self.desk;
        let retry = Mutex::new(retry);
        let tell = |news| match news {
            News::Live => {
                locked(&retry).live(clock::now());
                self.note(State::Live, None);
            }
            News::Sent(bytes) => locked(&self.listed).bytes = bytes,
        };
        let target = &self.target;
        Ok(match &target.protocol {
            Protocol::Rtmp {
                tls,
                target: stream,
            } => {
                let connection = rtmp::open(target, *tls, stream, allowed).await?;
                // Nobody encodes for a receiver that is not there.
                let mut programme = studio.programme(&self.room, self.layout, self.tier).await?;
                let dropped = |count| studio.stats.dropped("rtmp", count);
                connection.send(&mut programme, &dropped, &tell).await
            }
            Protocol::Srt(how) => {
                let connection = srt::open(target, how, allowed, studio).await?;
                let mut programme = studio.programme(&self.room, self.layout, self.tier).await?;
                connection.send(&mut programme, &tell).await
            }
        })
    }

    fn note(&self, state: State, reason: Option<String>) {
        let mut listed = locked(&self.listed);
        if state == State::Connecting {
            listed.attempts += 1;
        }
        if matches!(state, State::Waiting | State::Failed | State::Live) {
            listed.reason = reason;
        }
        (listed.state, listed.since) = (state, wall());
    }
}

/// Resolves when a room is closed.
async fn over(mut life: watch::Receiver<Summary>) {
    while life.changed().await.is_ok() {}
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_millis() as u64
}
