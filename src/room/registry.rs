//! The rooms of a server, by name. A room exists from the first join to the last leave.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::error::Elapsed;

use crate::clock;
use crate::id::{DisplayName, OutputId, ParticipantId, RoomName};
use crate::peer;
use crate::room::actor::{Answer, Command, Handle, Join, NOTICES, Room, Summary};
use crate::room::cost::Full;
use crate::room::foresee::foresee;
use crate::room::inspect::Inside;
use crate::room::member::Member;
use crate::room::output::{self, Output};
use crate::room::running::Costs;
use crate::room::state::{Change, Event, Settings, State};
use crate::room::talk::{Refusal, Say, refuse};
use crate::room::wiring::Context;
use crate::signalling::{ErrorCode, Message, Person};
use crate::stats::Counted;

pub use crate::room::actor::Admission;

/// All rooms.
pub struct Registry {
    context: Arc<Context>,
    settings: Settings,
    engine: Arc<peer::Engine>,
    rooms: Mutex<Rooms>,
    participants: AtomicU32,
    outputs: AtomicU32,
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

/// Why nobody comes in.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The server is about to stop: meetings go on, but nobody comes in any more.
    #[error("the server is about to restart and lets nobody in; try again in a few minutes")]
    Draining,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
    /// The room does not let them in.
    #[error("{0}")]
    Refused(Refusal),
    /// Not yet: a host has to let them in.
    #[error("a host has to let you in")]
    Waiting(Wait),
    /// The room kept ending while it was joined.
    #[error("the room could not be opened")]
    Unavailable,
}

/// Somebody's place before the door of a room; dropping it is going away.
pub struct Wait {
    place: Member,
    /// When they may come in, or that they may not; ends with the room.
    pub notices: mpsc::Receiver<Message>,
}

impl std::fmt::Debug for Wait {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Wait").field(&self.ticket()).finish()
    }
}

impl Wait {
    /// What gets them in once they are admitted.
    pub fn ticket(&self) -> ParticipantId {
        self.place.id()
    }
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
            outputs: AtomicU32::new(1),
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
                admission: admission.clone(),
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
                self.context.codecs.only(),
                self.members.subscribe(),
            );
            if let Ok(welcome) = welcome.await {
                return match welcome.map_err(JoinError::Refused)? {
                    Answer::Welcome(welcome) => {
                        member.admitted(welcome.uplink);
                        Ok(Joined {
                            member,
                            notices: notices_end,
                            people: welcome.people,
                        })
                    }
                    Answer::Wait => Err(JoinError::Waiting(Wait {
                        place: member,
                        notices: notices_end,
                    })),
                };
            }
        }
        Err(JoinError::Unavailable)
    }

    /// Has something listen to an open room that is nobody in it.
    pub async fn output(
        &self,
        room: &RoomName,
        wish: output::Wish,
    ) -> Result<Output, output::Error> {
        if let Some(codec) = wish.video
            && self.context.codecs.encoder(codec).is_none()
        {
            return Err(output::Error::NoEncoder(codec));
        }
        let handle = self.lock().get(room).map(|open| open.handle.clone());
        let handle = handle.ok_or(output::Error::NotOpen)?;
        let id = OutputId(self.outputs.fetch_add(1, Ordering::Relaxed));
        let (fps, commands) = (self.context.fps, handle.commands.clone());
        let (output, feed) = output::output(id, &wish, fps, commands, handle.summary);
        let (reply, tapped) = oneshot::channel();
        let command = Command::Tap {
            id,
            wish,
            feed,
            reply,
        };
        let sent = handle.commands.send(command).await;
        sent.map_err(|_| output::Error::NotOpen)?;
        tapped.await.map_err(|_| output::Error::NotOpen)?;
        Ok(output)
    }

    /// Whether a room would let in somebody whom nobody there knows, as a host or not. None: it is
    /// not open.
    pub async fn admits(&self, room: &RoomName, host: bool) -> Option<Result<(), Refusal>> {
        let (reply, answer) = oneshot::channel();
        self.tell(room, Command::Admits(host, reply)).await;
        answer.await.ok()
    }

    /// Every open room and who is in it.
    pub fn summaries(&self) -> BTreeMap<RoomName, Summary> {
        let rooms = self.lock();
        let summary =
            |(name, open): (&RoomName, &Open)| (name.clone(), open.handle.summary.borrow().clone());
        rooms.iter().map(summary).collect()
    }

    /// What is in each room, by name, as far as they answer within `patience`.
    pub async fn inspect(&self, patience: Duration) -> BTreeMap<RoomName, Inside> {
        let rooms: Vec<_> = {
            let rooms = self.lock();
            let commands =
                |(name, open): (&RoomName, &Open)| (name.clone(), open.handle.commands.clone());
            rooms.iter().map(commands).collect()
        };
        let ask = |(name, commands): (RoomName, mpsc::Sender<Command>)| async move {
            let (reply, inside) = oneshot::channel();
            let asked = async {
                commands.send(Command::Inspect(reply)).await.ok()?;
                inside.await.ok()
            };
            let inside = tokio::time::timeout(patience, asked).await.ok()??;
            Some((name, inside))
        };
        let insides = join_all(rooms.into_iter().map(ask)).await;
        insides.into_iter().flatten().collect()
    }

    /// What an open room costs at present, if it answers within `patience`. None: it is not open.
    pub async fn costs(
        &self,
        room: &RoomName,
        patience: Duration,
    ) -> Option<Result<Costs, Elapsed>> {
        let commands = self.lock().get(room)?.handle.commands.clone();
        let asked = async {
            let (reply, costs) = oneshot::channel();
            commands.send(Command::Costs(reply)).await.ok()?;
            costs.await.ok()
        };
        tokio::time::timeout(patience, asked).await.transpose()
    }

    /// One room, if it is open.
    pub fn summary(&self, room: &RoomName) -> Option<Summary> {
        let rooms = self.lock();
        let open = rooms.get(room)?;
        Some(open.handle.summary.borrow().clone())
    }

    /// What an open room is like, from now until it closes.
    pub fn watch(&self, room: &RoomName) -> Option<watch::Receiver<Summary>> {
        Some(self.lock().get(room)?.handle.summary.clone())
    }

    /// Has somebody leave a room; whether they were there.
    pub async fn dismiss(&self, room: &RoomName, id: ParticipantId) -> bool {
        let (reply, answer) = oneshot::channel();
        self.tell(room, Command::Dismiss(id, reply)).await && answer.await.unwrap_or(false)
    }

    /// Has everybody leave a room; whether there was such a room.
    pub async fn end(&self, room: &RoomName) -> bool {
        let (reply, answer) = oneshot::channel();
        // A room that is closing reads nothing any more, which drops the reply.
        self.tell(room, Command::End(reply)).await && answer.await.is_ok()
    }

    /// Says something in somebody's name.
    pub async fn say(&self, room: &RoomName, id: ParticipantId, say: Say) -> Result<(), Refusal> {
        let ended = || Err(refuse(ErrorCode::NotThere, "the room has ended"));
        let (reply, answer) = oneshot::channel();
        match self.tell(room, Command::Say { id, say, reply }).await {
            true => answer.await.unwrap_or_else(|_| ended()),
            false => ended(),
        }
    }

    /// Whether the budget has room for one more meeting of two.
    ///
    /// # Errors
    /// If it has not.
    pub fn has_room(&self) -> Result<(), Full> {
        let mut state = State::new(self.settings.clone());
        for id in [1, 2].map(ParticipantId) {
            let joined = Event::Joined {
                id,
                name: DisplayName::new("somebody").expect("a valid name"),
                view: false,
                audio: true,
                video: true,
                portrait: false,
                direct: false,
            };
            state.apply(clock::now(), joined);
        }
        let work = foresee(&state);
        self.context.ledger.fits(&work)
    }

    /// Tells every room how much of what the processor may do is done; 1: all of it.
    pub fn tell_load(&self, load: f32) {
        for room in self.lock().values() {
            // A room whose inbox is full has other worries, and is told again soon.
            let _ = room.handle.commands.try_send(Command::Load(load));
        }
    }

    async fn tell(&self, room: &RoomName, command: Command) -> bool {
        let commands = {
            let rooms = self.lock();
            rooms.get(room).map(|open| open.handle.commands.clone())
        };
        match commands {
            Some(commands) => commands.send(command).await.is_ok(),
            None => false,
        }
    }

    /// Changes the settings of an open room; what it is like then. None: it is not open.
    pub async fn configure(&self, room: &RoomName, change: Change) -> Option<Summary> {
        let handle = self.lock().get(room)?.handle.clone();
        let (reply, done) = oneshot::channel();
        let command = Command::Configure(change, reply);
        handle.commands.send(command).await.ok()?;
        // It announces every such change before that; an error means that it has ended meanwhile.
        done.await.ok()?;
        let summary = handle.summary.borrow().clone();
        Some(summary)
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
        if tokio::time::timeout_at(deadline, self.members.closed())
            .await
            .is_err()
        {
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
        let (mut room, handle) =
            Room::new(name.clone(), self.settings.clone(), self.context.clone());
        let (registry, its_name) = (Arc::downgrade(self), name.clone());
        let counted = Counted::new(self.context.stats.rooms.clone());
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
            // Not before: where the count says that it is gone, nobody finds it any more.
            drop(counted);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Quality;
    use crate::mix::plan::MixEvent;
    use crate::room::cost::{Ledger, Prices};
    use crate::room::wiring::MediaEvent;
    use crate::signalling::ByeReason;
    use crate::stats::Stats;

    async fn registry() -> Arc<Registry> {
        crate::gst::init().expect("GStreamer");
        let stats = Arc::new(Stats::default());
        let transport = peer::Settings {
            listen: ([127, 0, 0, 1], 0).into(),
            public_ips: Vec::new(),
        };
        let engine = peer::Engine::bind(transport, stats.clone()).await;
        let context = Context {
            library: crate::gst::Library::embedded(),
            ledger: Ledger::new(1_000.0, Prices::default(), stats.clone()),
            stats,
            codecs: crate::room::codecs::Codecs::software(),
            fps: 25,
        };
        Registry::new(context, Settings::default(), engine.expect("a free port"))
    }

    async fn join(registry: &Arc<Registry>, room: &RoomName) -> Joined {
        let admission = Admission {
            name: DisplayName::new("Ann").expect("a name"),
            view: false,
            audio: true,
            video: true,
            portrait: false,
            session: None,
            host: false,
            overlay: false,
            direct: false,
            ticket: None,
            quality: Quality::Auto,
        };
        let joined = registry.join(room, admission).await;
        joined.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Reads what somebody is told until their room is gone; whether it said goodbye.
    async fn until_gone(joined: &mut Joined) -> Option<ByeReason> {
        let mut bye = None;
        while let Some(message) = joined.notices.recv().await {
            if let Message::Bye { reason } = message {
                bye = Some(reason);
            }
        }
        bye
    }

    #[tokio::test]
    async fn a_panic_ends_its_room_and_no_other() {
        let registry = registry().await;
        let (broken, whole) = (RoomName::new("broken"), RoomName::new("whole"));
        let (broken, whole) = (broken.expect("a name"), whole.expect("a name"));
        let mut ann = join(&registry, &broken).await;
        let mut bob = join(&registry, &whole).await;
        let handle = registry.open(&broken).expect("it is open");
        let failed = MixEvent::Failed("a tick panicked, said the test".into());
        let command = Command::Media(MediaEvent::Mix(failed));
        assert!(handle.commands.send(command).await.is_ok());
        assert_eq!(
            until_gone(&mut ann).await,
            None,
            "it had no time to say goodbye"
        );
        // The other room goes on, and the name can be used again.
        bob.member.mute(false, true).await;
        while let Some(message) = bob.notices.recv().await {
            match message {
                Message::People { people, .. } if !people[0].audio => break,
                Message::Bye { reason } => panic!("bob was let go: {reason:?}"),
                _ => {}
            }
        }
        let again = join(&registry, &broken).await;
        assert_eq!(again.people.len(), 1);
    }

    #[tokio::test]
    async fn a_room_lives_from_the_first_join_to_the_last_leave() {
        let registry = registry().await;
        let room = RoomName::new("short").expect("a name");
        for _ in 0..20 {
            // Joins while the room before is just ending, or just not.
            let joined = join(&registry, &room).await;
            assert!(!joined.people.is_empty());
        }
        let mut last = join(&registry, &room).await;
        registry.shut_down(Duration::from_secs(5)).await;
        assert_eq!(until_gone(&mut last).await, Some(ByeReason::Shutdown));
        assert!(registry.summaries().is_empty());
    }
}
