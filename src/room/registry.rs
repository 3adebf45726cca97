//! The rooms of a server, by name. A room exists from the first join to the last leave.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::id::{DisplayName, ParticipantId, RoomName};
use crate::peer;
use crate::room::actor::{Command, Handle, Join, NOTICES, Room, Summary};
use crate::room::member::Member;
use crate::room::state::Settings;
use crate::room::wiring::Context;
use crate::signalling::{Message, Person};

/// All rooms.
pub struct Registry {
    context: Arc<Context>,
    settings: Settings,
    engine: Arc<peer::Engine>,
    rooms: Mutex<Rooms>,
    participants: AtomicU32,
    generations: AtomicU64,
    /// Written under the lock of `rooms`, so that no room opens after the last look at them.
    phase: watch::Sender<Phase>,
    /// How many rooms are open.
    open: watch::Sender<usize>,
    /// Every member holds a receiving end until their connection is closed.
    members: watch::Sender<()>,
}

/// Where a server is in its life; it only goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Everybody may come in.
    Serving,
    /// Those who are in may stay; nobody else comes in.
    Draining,
    /// Everybody goes.
    Stopping,
}

type Rooms = BTreeMap<RoomName, Open>;

struct Open {
    generation: u64,
    handle: Handle,
    task: JoinHandle<()>,
}

/// Who wants to come in.
pub struct Admission {
    /// Shown to the others.
    pub name: DisplayName,
    /// Only watches.
    pub view: bool,
    /// Microphone on.
    pub audio: bool,
    /// Camera on.
    pub video: bool,
    /// Wants a portrait picture.
    pub portrait: bool,
}

/// Why nobody comes in.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The server is about to stop: meetings go on, but nobody comes in any more.
    #[error("the server is about to restart and lets nobody in; try again in a few minutes")]
    Draining,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The room kept ending while it was joined.
    #[error("the room could not be opened")]
    Unavailable,
}

/// Somebody who came in.
pub struct Joined {
    /// Their place; dropping it is leaving.
    pub member: Member,
    /// What the room tells them.
    pub notices: mpsc::Receiver<Message>,
    /// Everybody, they too.
    pub people: Vec<Person>,
}

impl Registry {
    /// No rooms yet.
    pub fn new(context: Context, settings: Settings, engine: Arc<peer::Engine>) -> Arc<Self> {
        Arc::new(Self {
            context: Arc::new(context),
            settings,
            engine,
            rooms: Mutex::default(),
            participants: AtomicU32::new(1),
            generations: AtomicU64::new(0),
            phase: watch::Sender::new(Phase::Serving),
            open: watch::Sender::new(0),
            members: watch::Sender::new(()),
        })
    }

    /// Where the server is in its life.
    pub fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Brings somebody into a room, which is opened if need be.
    pub async fn join(
        self: &Arc<Self>,
        room: &RoomName,
        admission: Admission,
    ) -> Result<Joined, JoinError> {
        let id = ParticipantId(self.participants.fetch_add(1, Ordering::Relaxed));
        // A room may be ending just now; the second try then opens a new one.
        for _ in 0..3 {
            let handle = self.open(room)?;
            let (notices, notices_end) = mpsc::channel(NOTICES);
            let (reply, welcome) = oneshot::channel();
            let join = Join {
                id,
                name: admission.name.clone(),
                view: admission.view,
                audio: admission.audio,
                video: admission.video,
                portrait: admission.portrait,
                notices,
            };
            let command = Command::Join { join, reply };
            if handle.commands.send(command).await.is_err() {
                continue;
            }
            // Made before the reply is awaited: if this task is cancelled here, it leaves.
            let mut member = Member::new(
                id,
                handle.commands.clone(),
                self.engine.clone(),
                self.members.subscribe(),
            );
            if let Ok(welcome) = welcome.await {
                member.admitted(welcome.uplink);
                return Ok(Joined {
                    member,
                    notices: notices_end,
                    people: welcome.people,
                });
            }
        }
        Err(JoinError::Unavailable)
    }

    /// Every open room and who is in it.
    pub fn summaries(&self) -> BTreeMap<RoomName, Summary> {
        let rooms = self.lock();
        let summary = |(name, open): (&RoomName, &Open)| {
            (name.clone(), open.handle.summary.borrow().clone())
        };
        rooms.iter().map(summary).collect()
    }

    /// One room, if it is open.
    pub fn summary(&self, room: &RoomName) -> Option<Summary> {
        let rooms = self.lock();
        let open = rooms.get(room)?;
        Some(open.handle.summary.borrow().clone())
    }

    /// Lets nobody in any more and tells everybody; who is in may stay.
    pub fn drain(&self, notice: &Message) {
        let rooms = self.lock();
        self.phase.send_replace(Phase::Draining);
        for room in rooms.values() {
            // A full inbox belongs to a room that hangs: it tells nobody anything.
            let _ = room.handle.commands.try_send(Command::Tell(notice.clone()));
        }
    }

    /// Resolves when no room is open.
    pub async fn emptied(&self) {
        // An error would mean that the sender, which is ours, has gone.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Lets nobody in any more, tells everybody, and waits for the rooms to end and for their
    /// members' connections to close.
    pub async fn shut_down(&self, patience: Duration) {
        let open = {
            let mut rooms = self.lock();
            self.phase.send_replace(Phase::Stopping);
            std::mem::take(&mut *rooms)
        };
        let deadline = tokio::time::Instant::now() + patience;
        let endings = open.into_iter().map(|(name, room)| async move {
            let end = async {
                // An error means that it has ended already.
                let _ = room.handle.commands.send(Command::Shutdown).await;
                let _ = room.task.await;
            };
            if tokio::time::timeout_at(deadline, end).await.is_err() {
                tracing::error!(room = %name, "did not end in time");
            }
        });
        join_all(endings).await;
        self.open.send_replace(0);
        if tokio::time::timeout_at(deadline, self.members.closed()).await.is_err() {
            let left = self.members.receiver_count();
            tracing::warn!("{left} members' connections did not close in time");
        }
    }

    fn open(self: &Arc<Self>, name: &RoomName) -> Result<Handle, JoinError> {
        let mut rooms = self.lock();
        match *self.phase.borrow() {
            Phase::Serving => {}
            Phase::Draining => return Err(JoinError::Draining),
            Phase::Stopping => return Err(JoinError::Stopping),
        }
        if let Some(open) = rooms.get(name)
            && !open.handle.commands.is_closed()
        {
            return Ok(open.handle.clone());
        }
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let (mut room, handle) = Room::new(name.clone(), self.settings.clone(), self.context.clone());
        let (registry, its_name) = (Arc::downgrade(self), name.clone());
        let task = tokio::spawn(async move {
            // A task of its own, so that a panic ends this room and is seen here.
            let run = tokio::spawn(async move {
                room.run().await;
                // Tearing pipelines down may block for milliseconds: not on a worker.
                tokio::task::spawn_blocking(move || drop(room)).await
            });
            if let Err(error) = run.await {
                tracing::error!(room = %its_name, %error, "room failed");
            }
            if let Some(registry) = registry.upgrade() {
                registry.close(&its_name, generation);
            }
        });
        let open = Open {
            generation,
            handle: handle.clone(),
            task,
        };
        rooms.insert(name.clone(), open);
        self.open.send_replace(rooms.len());
        Ok(handle)
    }

    fn close(&self, name: &RoomName, generation: u64) {
        let mut rooms = self.lock();
        if rooms
            .get(name)
            .is_some_and(|open| open.generation == generation)
        {
            rooms.remove(name);
            self.open.send_replace(rooms.len());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rooms> {
        // Every change of the map is one step, so a panic leaves it whole.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
