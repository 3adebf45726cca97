//! The one task that owns a room. Whatever happens arrives in its inbox; it asks [`State`] what
//! follows, has [`Wiring`] do it and tells the members.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use crate::clock::{self, MediaTime};
use crate::decode;
use crate::encode;
use crate::id::{DisplayName, OutputId, ParticipantId, RoomName, SessionKey};
use crate::media::{Kind, Layer, Layout, Quality, Topology, TopologyPolicy, VideoCodec};
use crate::mix::plan::{Level, MixEvent, MixId};
use crate::peer;
use crate::quiet::{Quiet, REFUSED};
use crate::room::activity::BLOCK;
use crate::room::common_codec::Abilities;
use crate::room::cost::{Account, Full};
use crate::room::demand::Demand;
use crate::room::floor::Entry;
use crate::room::foresee::foresee;
use crate::room::inspect::{Encoder, Inside};
use crate::room::links::Links;
use crate::room::mixes::{Ear, Mix};
use crate::room::output::{Ended, Feed, Wish};
use crate::room::running::{Costs, Running};
use crate::room::sign::Sign;
use crate::room::state::{Change, Effect, Event, MixPolicy, Settings, State, VideoKey, View};
use crate::room::talk::{Refusal, Say, Step, Talk, refuse};
use crate::room::tier::Given;
use crate::room::tilemap::tile_map;
use crate::room::uplink::{Uplink, UplinkEvent};
use crate::room::waiting::{Waiter, Waiting};
use crate::room::wiring::{Context, MediaEvent, Wiring};
use crate::signalling::{ByeReason, ErrorCode, Message, NoticeCode, Person, Signal};
use crate::stats::Counted;

/// Events a room may be behind. Floods are coalesced before they get here (keyframe requests,
/// levels), so a full inbox means a room that hangs.
const INBOX: usize = 1024;
/// Messages a slow client's socket may be behind before the client is let go.
pub const NOTICES: usize = 256;
/// A failed encoder is started again after this long, so that a broken one cannot spin.
const RESTART_AFTER: Duration = Duration::from_secs(1);
/// Uplinks that one client may take as they are: as many as a picture has tiles.
const MOST_TAKEN: usize = 49;
/// How often counters that nobody waits for are moved into the figures.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// A room in which nothing happens for this long has its final shape.
const SETTLED: Duration = Duration::from_secs(10);
/// How often what packets claim about loudness is looked at: a block of
/// [`activity`](crate::room::activity).
const CLAIMS: Duration = BLOCK;

/// What reaches a room.
pub enum Command {
    /// Somebody wants in.
    Join {
        /// Who they are.
        join: Join,
        /// What they get; dropped when the room is ending.
        reply: oneshot::Sender<Result<Answer, Refusal>>,
    },
    /// Somebody says something beside the picture.
    Say {
        /// Who.
        id: ParticipantId,
        /// What.
        say: Say,
        /// Whether it was taken.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Somebody's connection is negotiated.
    Connect(ParticipantId, peer::Peer),
    /// Somebody's connection was negotiated anew: codec and directions may differ.
    Renegotiated(ParticipantId),
    /// The user muted or unmuted.
    Mute {
        /// Who.
        id: ParticipantId,
        /// Microphone on.
        audio: bool,
        /// Camera on.
        video: bool,
    },
    /// Somebody has another socket, and may have missed what was told on the one before.
    Resumed {
        /// Who.
        id: ParticipantId,
        /// Gets everybody; dropped if they are not here any more.
        reply: oneshot::Sender<Vec<Person>>,
    },
    /// Somebody is not told how much video they should send, other than by RTCP.
    Terse(ParticipantId),
    /// What somebody wishes to see.
    View(ParticipantId, View),
    /// How loud somebody wants to hear somebody, in percent; the reply is whether they are here.
    Volume {
        /// Who listens.
        id: ParticipantId,
        /// Whom.
        who: ParticipantId,
        /// Of what everybody hears.
        percent: u16,
        /// Whether it was taken.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Somebody wants to take somebody's uplink as it is.
    Take {
        /// Who.
        id: ParticipantId,
        /// Whose.
        from: ParticipantId,
        /// It, or why not.
        reply: oneshot::Sender<Result<Arc<Uplink>, Refusal>>,
    },
    /// How large somebody is shown those whom they take.
    Sizes(ParticipantId, BTreeMap<ParticipantId, u32>),
    /// The largest copy of a picture that the line bears by which it is taken.
    TakenLine {
        /// Who takes.
        id: ParticipantId,
        /// Whose.
        from: ParticipantId,
        /// The copy.
        bears: Layer,
    },
    /// They take it no longer.
    Drop {
        /// Who.
        id: ParticipantId,
        /// Whose.
        from: ParticipantId,
    },
    /// Somebody arranges a connection with somebody else.
    Relay {
        /// Who.
        id: ParticipantId,
        /// With whom.
        to: ParticipantId,
        /// What is to be brought.
        signal: Signal,
        /// Whether it was taken.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Somebody's video track carries their screen from now on, or their camera again.
    Share(ParticipantId, bool),
    /// Change the room's settings.
    Configure(Change),
    /// So much of the processor's budget is in use.
    Load(f32),
    /// Somebody left.
    Leave(ParticipantId),
    /// Something came up from somebody.
    Uplink(ParticipantId, UplinkEvent),
    /// Something happened in a pipeline.
    Media(MediaEvent),
    /// Start this mix's encoder again.
    Restart(MixId),
    /// The operator has somebody go; the reply is whether they were here.
    Dismiss(ParticipantId, oneshot::Sender<bool>),
    /// Whether somebody whom nobody knows might come in now, as a host or not.
    Admits(bool, oneshot::Sender<Result<(), Refusal>>),
    /// Something listens from now on that is nobody here.
    Tap {
        /// Never used before in this process.
        id: OutputId,
        /// What it wants.
        wish: Wish,
        /// Its sending ends.
        feed: Feed,
        /// Said when it is so; dropped when the room is ending.
        reply: oneshot::Sender<()>,
    },
    /// An output wants nothing any more.
    Untap(OutputId),
    /// The operator has everybody go; the reply says that there was a meeting.
    End(oneshot::Sender<()>),
    /// The operator wants to look inside.
    Inspect(oneshot::Sender<Inside>),
    /// Somebody wants to know what the meeting costs.
    Costs(oneshot::Sender<Costs>),
    /// Whether somebody in here is a host.
    IsHost(ParticipantId, oneshot::Sender<bool>),
    /// Tell everybody this.
    Tell(Message),
    /// The server is stopping: tell everybody and end.
    Shutdown,
}

/// Somebody who wants in.
pub struct Join {
    /// Never used before in this process.
    pub id: ParticipantId,
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
    /// Who this is across connections.
    pub session: Option<SessionKey>,
    /// May moderate.
    pub host: bool,
    /// Can lay their own picture over their own tile.
    pub overlay: bool,
    /// Who they were while they waited to be let in.
    pub ticket: Option<ParticipantId>,
    /// What they wish to get at most.
    pub quality: Quality,
    /// Where messages to them go.
    pub notices: mpsc::Sender<Message>,
}

/// What somebody gets who wants in.
pub enum Answer {
    /// They are in.
    Welcome(Welcome),
    /// A host has to let them in; they are told when one does.
    Wait,
}

/// What somebody gets who comes in.
pub struct Welcome {
    /// What their connection reports to.
    pub uplink: Arc<Uplink>,
    /// Everybody, they too.
    pub people: Vec<Person>,
}

/// What is known of a room from outside.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Summary {
    /// People, without viewers.
    pub participants: usize,
    /// Those who only watch.
    pub viewers: usize,
    /// The people's names, in the order they came.
    pub names: Vec<DisplayName>,
    /// The people themselves, for the operator only.
    #[serde(skip)]
    pub people: Vec<Person>,
    /// Who gets a mix of their own.
    pub mix: MixPolicy,
    /// How mixes are arranged.
    pub layout: Layout,
    /// Tiles at most.
    pub stage_size: usize,
    /// Which way media is to go.
    pub topology: TopologyPolicy,
    /// Newcomers wait until a host lets them in.
    pub waiting: bool,
    /// Distinct pictures that are made for it, each by an encoder.
    pub encoders: usize,
    /// It is being recorded.
    pub recording: bool,
}

impl Summary {
    /// Of a room in which nobody is yet.
    fn of(settings: &Settings) -> Self {
        Self {
            mix: settings.policy,
            layout: settings.layout,
            stage_size: settings.stage_size,
            topology: settings.topology,
            ..Self::default()
        }
    }
}

/// How others reach a room.
#[derive(Debug, Clone)]
pub struct Handle {
    /// The inbox.
    pub commands: mpsc::Sender<Command>,
    /// Who is in.
    pub summary: watch::Receiver<Summary>,
}

struct Member {
    notices: mpsc::Sender<Message>,
    connected: bool,
    /// Nothing has come from them for seconds.
    away: bool,
    /// Their client reads no messages.
    terse: bool,
    /// Trouble with their microphone and their camera.
    failing: [Quiet; 2],
    _counted: Option<Counted>,
}

/// A room's task.
pub struct Room {
    name: RoomName,
    state: State,
    talk: Talk,
    waiting: Waiting,
    sign: Sign,
    wiring: Wiring,
    members: HashMap<ParticipantId, Member>,
    /// The first tick of each mix's present arrangement.
    shown: HashMap<MixId, (u64, MediaTime)>,
    speaking: Vec<ParticipantId>,
    links: Links,
    /// What it costs at present.
    running: Running,
    /// The room does without something because of the load.
    gives_way: Option<Counted>,
    /// What the room costs.
    account: Account,
    context: Arc<Context>,
    commands: mpsc::WeakSender<Command>,
    inbox: mpsc::Receiver<Command>,
    summary: watch::Sender<Summary>,
}

impl Room {
    /// A room and the way to reach it. It does nothing until [`Room::run`].
    pub fn new(name: RoomName, settings: Settings, context: Arc<Context>) -> (Self, Handle) {
        let (commands, inbox) = mpsc::channel(INBOX);
        let (summary, summary_end) = watch::channel(Summary::of(&settings));
        let weak = commands.downgrade();
        let media = weak.clone();
        let tell = Arc::new(move |event| {
            // Media threads never wait: see INBOX for what a full one means.
            if let Some(commands) = media.upgrade() {
                let _ = commands.try_send(Command::Media(event));
            }
        });
        let room = Self {
            name,
            state: State::new(settings),
            talk: Talk::default(),
            waiting: Waiting::default(),
            sign: Sign::default(),
            wiring: Wiring::new(context.clone(), tell),
            members: HashMap::new(),
            shown: HashMap::new(),
            speaking: Vec::new(),
            links: Links::default(),
            running: Running::default(),
            gives_way: None,
            account: context.ledger.open(),
            context,
            commands: weak,
            inbox,
            summary,
        };
        let handle = Handle {
            commands,
            summary: summary_end,
        };
        (room, handle)
    }

    /// Runs until the last one has left, or the server stops.
    pub async fn run(&mut self) {
        tracing::info!(room = %self.name, "room opened");
        // Not at once: the room would find itself empty before the first join is read.
        let start = tokio::time::Instant::now() + HOUSEKEEPING;
        let mut housekeeping = tokio::time::interval_at(start, HOUSEKEEPING);
        let mut claims = tokio::time::interval_at(start, CLAIMS);
        // Late steps make up for those that were missed by themselves.
        claims.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let wake = self.state.wake_at();
            let sleep = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at.instant().into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                command = self.inbox.recv() => match command {
                    Some(Command::Shutdown) => {
                        self.shut_down();
                        return;
                    }
                    Some(command) => self.handle(command),
                    None => return,
                },
                () = sleep => self.apply(Event::Wake),
                _ = housekeeping.tick() => self.keep_house(),
                _ = claims.tick() => {
                    let claims = self.wiring.take_claims();
                    self.apply(Event::Claims(claims));
                }
            }
            if self.members.is_empty() {
                self.wiring.untap_all(Ended::RoomClosed);
                tracing::info!(room = %self.name, "room empty");
                return;
            }
        }
    }

    fn handle(&mut self, command: Command) {
        match command {
            Command::Join { join, reply } => self.join(join, reply),
            Command::Connect(id, peer) => {
                self.wiring.connect(id, peer);
                self.downlink(id);
            }
            Command::Renegotiated(id) => self.downlink(id),
            Command::Mute { id, audio, video } => self.set_media(id, audio, video),
            Command::Say { id, say, reply } => {
                // Who asked may be gone before the answer.
                let _ = reply.send(self.say(id, say));
            }
            Command::Resumed { id, reply } => self.resumed(id, reply),
            Command::Terse(id) => self.terse(id),
            Command::View(id, view) => self.apply(Event::View { id, view }),
            Command::Volume {
                id,
                who,
                percent,
                reply,
            } => {
                let _ = reply.send(self.volume(id, who, percent));
            }
            Command::Take { id, from, reply } => {
                let taken = self.take(id, from);
                let taken = taken.inspect(|_| self.apply(Event::Take { id, from, on: true }));
                // Who asked may be gone; a leave follows.
                let _ = reply.send(taken);
            }
            Command::Drop { id, from } => {
                let on = false;
                self.apply(Event::Take { id, from, on });
                self.wiring.forget(id, from);
            }
            Command::Sizes(id, lines) => self.apply(Event::Sizes { id, lines }),
            Command::TakenLine { id, from, bears } => {
                self.apply(Event::TakenLine { id, from, bears });
            }
            Command::Relay {
                id,
                to,
                signal,
                reply,
            } => {
                let _ = reply.send(self.relay(id, to, signal));
            }
            Command::Share(id, on) => self.apply(Event::Share { id, on }),
            Command::Configure(change) => {
                self.apply(Event::Configure(change));
                if let Some(held) = change.waiting {
                    self.talk.floor.hold(held);
                    if !held {
                        self.answer(None, true);
                    }
                    self.announce();
                }
            }
            Command::Load(used) => self.load(used),
            Command::Leave(id) => self.leave(id),
            Command::Uplink(id, event) => self.uplink(id, event),
            Command::Media(event) => self.media(event),
            Command::Restart(mix) => self.wiring.restart(&self.state, mix),
            Command::Dismiss(id, reply) => {
                let here = self.members.contains_key(&id);
                self.dismiss(id, ByeReason::Removed);
                let _ = reply.send(here);
            }
            Command::Admits(host, reply) => {
                let admitted = self.talk.floor.admits(None, host);
                let _ = reply.send(admitted.and_then(|entry| match entry {
                    Entry::Open => Ok(()),
                    Entry::Wait => {
                        let text = "a host lets people into this meeting one by one";
                        Err(refuse(ErrorCode::NotAdmitted, text))
                    }
                }));
            }
            Command::Tap {
                id,
                wish,
                feed,
                reply,
            } => {
                self.wiring.tap(id, feed);
                if wish.sign && self.sign.begin(id, wall()) {
                    self.show_sign();
                }
                let wish = Some(wish);
                self.apply(Event::Output { id, wish });
                // Who asked may be gone; then the output is dropped, which is told.
                let _ = reply.send(());
            }
            Command::Untap(id) => {
                self.wiring.untap(id, Ended::RoomClosed);
                if self.sign.end(id) {
                    self.show_sign();
                }
                self.apply(Event::Output { id, wish: None });
            }
            Command::End(reply) => {
                self.dismiss_all(ByeReason::Ended);
                let _ = reply.send(());
            }
            Command::Inspect(reply) => {
                // Who asked may have lost patience.
                let _ = reply.send(self.inside());
            }
            Command::Costs(reply) => {
                let used = self.context.stats.budget.used.get();
                // Before it was measured for the first time it is nothing.
                let used = (used > 0.0).then_some(used);
                let part = self.account.part();
                let _ = reply.send(self.running.costs(&self.state, used, part));
            }
            Command::IsHost(id, reply) => {
                let _ = reply.send(self.talk.floor.host(id));
            }
            Command::Tell(message) => self.tell_all(&message),
            // Handled where commands are read, for it ends the reading.
            Command::Shutdown => {}
        }
    }

    fn inside(&self) -> Inside {
        let encoder = |(_, mix): (MixId, &Mix<VideoKey>)| {
            let people = mix.listeners.iter().filter_map(|ear| match ear {
                Ear::Person(id) => Some(*id),
                Ear::Output(_) => None,
            });
            let people: Vec<_> = people.collect();
            Encoder {
                codec: mix.key.codec,
                size: mix.key.size,
                layout: mix.key.layout,
                without: mix.key.without,
                outputs: mix.listeners.len() - people.len(),
                people,
            }
        };
        let talks = |id: &&ParticipantId| self.wiring.peer(**id).is_some_and(|peer| peer.talks());
        Inside {
            encoders: self.state.video_mixes().iter().map(encoder).collect(),
            channels: self.members.keys().filter(talks).copied().collect(),
            waiting: self.waiting.list().len(),
        }
    }

    /// So much of what the processor may do is done.
    fn load(&mut self, used: f32) {
        let before = self.state.gives_way();
        self.apply(Event::Load(used));
        let step = self.state.gives_way();
        if step != before {
            let without = step.name();
            tracing::info!(room = %self.name, used, without = without.unwrap_or("nothing"), "load");
            let gauge = without.map(|step| self.context.stats.budget.giving_way(step));
            self.gives_way = gauge.map(Counted::new);
        }
    }

    /// Says goodbye and ends what the members' connections would keep alive until they close.
    fn shut_down(&mut self) {
        let bye = Message::Bye {
            reason: ByeReason::Shutdown,
        };
        self.tell_all(&bye);
        self.waiting.tell(&bye);
        for id in self.members.keys() {
            self.wiring.unseat(*id);
        }
        self.wiring.untap_all(Ended::Stopping);
    }

    fn join(&mut self, join: Join, reply: oneshot::Sender<Result<Answer, Refusal>>) {
        let id = join.id;
        let admitted = join.ticket.is_some_and(|id| self.waiting.spend(id));
        let entry = match admitted {
            true => Ok(Entry::Open),
            false => self.talk.floor.admits(join.session.as_ref(), join.host),
        };
        match entry {
            Ok(Entry::Open) => {}
            Ok(Entry::Wait) => {
                // Who asked may be gone before the answer; then a leave follows.
                let _ = reply.send(self.wait(join).map(|()| Answer::Wait));
                return;
            }
            Err(refusal) => {
                let _ = reply.send(Err(refusal));
                return;
            }
        }
        let mut event = Event::Joined {
            id,
            name: join.name,
            view: join.view,
            audio: join.audio,
            video: join.video,
            portrait: join.portrait,
        };
        let view = View {
            overlay: join.overlay.then_some(true),
            quality: (join.quality != Quality::default()).then_some(join.quality),
            ..View::default()
        };
        if let Err(full) = self.fits(join.session.as_ref(), &event, view) {
            tracing::warn!(room = %self.name, %full, "somebody was not let in");
            let refusal = refuse(ErrorCode::NoRoom, &full.to_string());
            let _ = reply.send(Err(refusal));
            return;
        }
        let (host, only_watches) = (join.host, join.view);
        if let Some(before) = self
            .talk
            .enter(clock::now(), id, join.session, host, only_watches)
        {
            self.dismiss(before, ByeReason::Replaced);
        }
        let commands = self.commands.clone();
        let tell = Box::new(move |event| {
            if let Some(commands) = commands.upgrade() {
                let _ = commands.try_send(Command::Uplink(id, event));
            }
        });
        let uplink = Arc::new(Uplink::new(tell, Arc::default()));
        let participants = &self.context.stats.participants;
        let member = Member {
            notices: join.notices,
            connected: false,
            away: false,
            terse: false,
            failing: Default::default(),
            _counted: (!only_watches).then(|| Counted::new(participants.clone())),
        };
        self.members.insert(id, member);
        self.wiring.seat(id, uplink.clone());
        if let Event::Joined { audio, .. } = &mut event {
            *audio &= !self.talk.floor.silenced(id);
        }
        self.apply(event);
        if view != View::default() {
            self.apply(Event::View { id, view });
        }
        if self.sign.is_on() {
            // It is queued before their join is answered, so it goes out before any media is agreed on.
            self.tell(id, self.sign.message());
        }
        for line in self.talk.history() {
            self.tell(id, line);
        }
        self.tell_links(id);
        let people = self.people();
        let welcome = Welcome { uplink, people };
        if reply.send(Ok(Answer::Welcome(welcome))).is_err() {
            // They went away while they waited.
            self.leave(id);
        }
    }

    fn wait(&mut self, join: Join) -> Result<(), Refusal> {
        let waiter = Waiter {
            name: join.name,
            session: join.session,
            notices: join.notices,
        };
        if let Some(before) = self.waiting.come(join.id, waiter)? {
            let reason = ByeReason::Replaced;
            // Nobody listens there any more, as like as not.
            let _ = before.notices.try_send(Message::Bye { reason });
        }
        self.tell_hosts();
        Ok(())
    }

    /// Answers the door.
    fn answer(&mut self, who: Option<ParticipantId>, admit: bool) {
        for waiter in self.waiting.answer(who, admit) {
            let message = match admit {
                true => Message::Admitted {},
                false => {
                    if let Some(session) = waiter.session {
                        self.talk.floor.turn_away(session);
                    }
                    let reason = ByeReason::Refused;
                    Message::Bye { reason }
                }
            };
            // Nothing else was told them: it has room, unless nobody listens any more.
            let _ = waiter.notices.try_send(message);
        }
        self.tell_hosts();
    }

    /// Who waits.
    fn tell_hosts(&self) {
        let waiting = self.waiting.list();
        for id in self.members.keys() {
            if self.talk.floor.host(*id) {
                let waiting = waiting.clone();
                self.tell(*id, Message::Waiting { waiting });
            }
        }
    }

    /// Whether the budget has room for the room with this newcomer. Who comes back takes the place
    /// of who they were.
    fn fits(&self, session: Option<&SessionKey>, event: &Event, view: View) -> Result<(), Full> {
        let Event::Joined { id, .. } = *event else {
            return Ok(());
        };
        let (now, mut after) = (clock::now(), self.state.clone());
        if let Some(id) = session.and_then(|session| self.talk.floor.seat(session)) {
            after.apply(now, Event::Left { id });
        }
        after.apply(now, event.clone());
        after.apply(now, Event::View { id, view });
        // By then they are on stage, if they ever are.
        after.apply(now.plus(SETTLED), Event::Wake);
        self.account.admit(&foresee(&after))
    }

    /// Microphone and camera as their user set them, and as a host allows.
    fn set_media(&mut self, id: ParticipantId, audio: bool, video: bool) {
        let audio = audio && !self.talk.floor.silenced(id);
        self.apply(Event::Media { id, audio, video });
    }

    fn say(&mut self, id: ParticipantId, say: Say) -> Result<(), Refusal> {
        let Some(person) = self.state.people().get(&id) else {
            return Err(refuse(ErrorCode::NotThere, "you have left"));
        };
        let name = person.name.clone();
        for step in self.talk.say(clock::now(), wall(), id, &name, say)? {
            match step {
                Step::TellAll(message) => self.tell_all(&message),
                Step::Tell(id, message) => self.tell(id, message),
                Step::Announce => self.announce(),
                Step::Silence(id) => {
                    let video = self.state.people().get(&id).is_some_and(|p| p.video);
                    self.set_media(id, false, video);
                }
                Step::Pin(id, pinned) => self.apply(Event::Pin { id, pinned }),
                Step::Answer(who, admit) => self.answer(who, admit),
                Step::Configure(change) => self.apply(Event::Configure(change)),
                Step::Dismiss(id, reason) => self.dismiss(id, reason),
                Step::DismissAll(reason) => self.dismiss_all(reason),
            }
        }
        let silenced = |id: &ParticipantId| self.talk.floor.silenced(*id);
        let enforced = self.members.keys().any(silenced);
        self.apply(Event::Enforced(enforced));
        Ok(())
    }

    fn volume(
        &mut self,
        id: ParticipantId,
        who: ParticipantId,
        percent: u16,
    ) -> Result<(), Refusal> {
        if self.talk.floor.watches(who) {
            return Err(refuse(ErrorCode::NotThere, "they are not in the room"));
        }
        self.apply(Event::Volume { id, who, percent });
        Ok(())
    }

    /// What there is to take as it is.
    fn take(&self, id: ParticipantId, from: ParticipantId) -> Result<Arc<Uplink>, Refusal> {
        let people = self.state.people();
        let taken = people.get(&id).map_or(0, |person| person.takes.len());
        if taken >= MOST_TAKEN {
            let text = format!("at most {MOST_TAKEN} can be taken");
            return Err(refuse(ErrorCode::BadValue, &text));
        }
        let sends = id != from && people.get(&from).is_some_and(|person| !person.view);
        let uplink = self.wiring.uplink(from).filter(|_| sends);
        uplink.ok_or_else(|| refuse(ErrorCode::NotThere, "they are not in the room"))
    }

    /// Brings what somebody has to say to somebody else's page, where both agree that they meet
    /// without the server.
    fn relay(&self, id: ParticipantId, to: ParticipantId, signal: Signal) -> Result<(), Refusal> {
        let agrees = |id: ParticipantId| {
            let person = self.state.people().get(&id);
            person.map(|person| person.direct && !person.view)
        };
        match (agrees(id), agrees(to)) {
            (_, None) => Err(refuse(ErrorCode::NotThere, "they are not in the room")),
            (Some(true), Some(true)) if self.state.topology() == Topology::Mesh && id != to => {
                self.tell(to, Message::Relay { from: id, signal });
                Ok(())
            }
            _ => Err(refuse(
                ErrorCode::NotDirect,
                "media goes by the server here",
            )),
        }
    }

    /// Looks at everybody's connection, and tells what changed.
    fn look_at_links(&mut self) {
        let mut seen = self.wiring.take_receptions();
        for (id, reception) in &mut seen {
            reception.gone = self.members.get(&*id).is_some_and(|member| member.away);
        }
        if self.links.look(&seen) {
            let links = self.links.told();
            self.tell_all(&Message::Links { links });
        }
    }

    /// Looks which copies of the pictures come that are taken as they are.
    fn look_at_copies(&mut self) {
        for (id, live) in self.wiring.live(clock::now()) {
            if self.state.copies(id).is_some_and(|copies| copies != live) {
                // Who has a narrow line may send the small copy alone.
                self.wiring.decode_copy(id, live);
                self.apply(Event::Copies { id, live });
            }
        }
    }

    fn tell_links(&self, id: ParticipantId) {
        let links = self.links.told();
        if !links.is_empty() {
            self.tell(id, Message::Links { links });
        }
    }

    fn keep_house(&mut self) {
        self.look_at_links();
        let passed = self.wiring.take_traffic();
        let work = self.running.look(clock::now(), &self.state, passed);
        self.account.does(&work);
        self.look_at_copies();
        self.wiring.count_drops();
        // RTCP may be lost, and says nothing of how long it holds.
        let terse = self.members.iter().filter(|(_, member)| member.terse);
        for id in terse.map(|(id, _)| *id) {
            self.limit(id);
        }
    }

    fn terse(&mut self, id: ParticipantId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.terse = true;
            self.limit(id);
        }
    }

    /// Asks somebody for so much video from now on.
    fn ask_for(&self, id: ParticipantId, demand: Demand) {
        self.tell(id, demand.message(self.state.codec()));
        if self.members.get(&id).is_some_and(|member| member.terse) {
            self.limit(id);
        }
    }

    /// The same in RTCP.
    fn limit(&self, id: ParticipantId) {
        if let (Some(demand), Some(peer)) = (self.state.demand(id), self.wiring.peer(id)) {
            peer.limit(demand.with_sound());
        }
    }

    fn dismiss_all(&mut self, reason: ByeReason) {
        self.waiting.tell(&Message::Bye { reason });
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            self.dismiss(id, reason);
        }
    }

    fn dismiss(&mut self, id: ParticipantId, reason: ByeReason) {
        self.tell(id, Message::Bye { reason });
        self.leave(id);
    }

    fn resumed(&self, id: ParticipantId, reply: oneshot::Sender<Vec<Person>>) {
        // If nobody waits for the answer any more, the socket is gone, and a leave follows.
        if !self.members.contains_key(&id) || reply.send(self.people()).is_err() {
            return;
        }
        self.tell(id, self.who_is_in());
        if self.talk.floor.host(id) {
            let waiting = self.waiting.list();
            self.tell(id, Message::Waiting { waiting });
        }
        self.tell(id, self.sign.message());
        let speaking = self.speaking.clone();
        self.tell(id, Message::Speaking { speaking });
        if let Some(demand) = self.state.demand(id) {
            self.tell(id, demand.message(self.state.codec()));
        }
        for line in self.talk.history() {
            self.tell(id, line);
        }
        self.tell_links(id);
        self.tell_tier(id);
        if let Some(mix) = self.state.video_mixes().of(id) {
            self.send_tiles(mix, Some(id));
        }
    }

    fn leave(&mut self, id: ParticipantId) {
        if self.members.remove(&id).is_some() {
            self.talk.leave(id);
            self.apply(Event::Left { id });
            self.wiring.unseat(id);
        } else if self.waiting.leave(id) {
            self.tell_hosts();
        }
    }

    fn uplink(&mut self, id: ParticipantId, event: UplinkEvent) {
        match event {
            UplinkEvent::Track(kind, codec) => {
                self.wiring.track(id, kind, codec);
                self.apply(Event::Track { id, kind });
            }
            UplinkEvent::Voice => self.apply(Event::Voice { id }),
            UplinkEvent::Line(rung) => {
                if let Some(tier) = self.state.settings().tiers.all().get(rung) {
                    self.apply(Event::Line { id, tier: *tier });
                }
            }
            UplinkEvent::KeyframeAwaited(layer) => self.wiring.keyframe_awaited(id, layer),
            UplinkEvent::KeyframeRequested => {
                self.apply(Event::Keyframe { id });
                self.wiring.request_keyframe(id);
            }
            UplinkEvent::State(peer::State::Connected) => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.connected = true;
                    member.away = false;
                    self.downlink(id);
                }
            }
            UplinkEvent::State(peer::State::Disconnected) => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.away = true;
                }
                tracing::info!(room = %self.name, %id, "media disconnected");
            }
            UplinkEvent::State(peer::State::Closed) => self.dismiss(id, ByeReason::MediaLost),
            UplinkEvent::State(peer::State::CutOff) => {
                let room = &self.name;
                tracing::info!(target: REFUSED, %room, %id, "sends more than anybody may");
                self.dismiss(id, ByeReason::SendsTooMuch);
            }
        }
    }

    /// Once connected: what they can receive.
    fn downlink(&mut self, id: ParticipantId) {
        if !self.members.get(&id).is_some_and(|m| m.connected) {
            return;
        }
        if let Some(peer) = self.wiring.peer(id) {
            let (video, audio) = (peer.downlink_codec(), peer.downlink_audio());
            let codecs = Abilities {
                h264: peer.can(VideoCodec::H264),
                vp8: peer.can(VideoCodec::Vp8),
            };
            let layered = peer.layered();
            self.apply(Event::Able {
                id,
                codecs,
                layered,
            });
            self.apply(Event::Downlink { id, video, audio });
        }
    }

    fn media(&mut self, event: MediaEvent) {
        match event {
            MediaEvent::Video(id, event) => self.video_decoder(id, event),
            MediaEvent::Audio(id, event) => self.audio_decoder(id, event),
            MediaEvent::Encoder(mix, event) => {
                let why = match event {
                    encode::video::Event::Failed(why) => why,
                    encode::video::Event::Stalled => "it takes pictures and yields none".into(),
                };
                tracing::error!(room = %self.name, ?mix, why, "encoder failed, starting it again");
                let commands = self.commands.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(RESTART_AFTER).await;
                    if let Some(commands) = commands.upgrade() {
                        let _ = commands.send(Command::Restart(mix)).await;
                    }
                });
            }
            MediaEvent::Mix(MixEvent::LayoutShown { mix, layout, at }) => {
                self.shown.insert(mix, (layout, at));
                self.send_tiles(mix, None);
            }
            MediaEvent::Mix(MixEvent::Levels(levels)) => {
                self.levels(&levels);
                self.apply(Event::Levels(levels));
            }
            // Caught by the registry: it ends this room, and every session is told.
            MediaEvent::Mix(MixEvent::Failed(why)) => panic!("{why}"),
        }
    }

    fn video_decoder(&mut self, id: ParticipantId, event: decode::video::Event) {
        use decode::video::Event as Decoder;
        match event {
            Decoder::KeyframeNeeded => self.wiring.keyframe_needed(id),
            Decoder::Started(_) | Decoder::Resumed => self.apply(Event::Live { id, live: true }),
            Decoder::SizeChanged(_) => {}
            Decoder::Frozen => self.apply(Event::Live { id, live: false }),
            Decoder::Stalled => {
                self.apply(Event::Live { id, live: false });
                self.uplink_failed(id, Kind::Video, "nothing could be decoded for seconds");
            }
            Decoder::Failed(why) => {
                self.apply(Event::Live { id, live: false });
                self.uplink_failed(id, Kind::Video, &why);
            }
        }
    }

    fn audio_decoder(&mut self, id: ParticipantId, event: decode::audio::Event) {
        use decode::audio::Event as Decoder;
        match event {
            Decoder::Stalled => self.uplink_failed(id, Kind::Audio, "nothing could be decoded"),
            Decoder::Failed(why) => self.uplink_failed(id, Kind::Audio, &why),
            // A voice that pauses is silence in the sum; nobody needs to be told.
            Decoder::Started | Decoder::Frozen | Decoder::Resumed => {}
        }
    }

    /// Says so, unless it was said just now: what is broken stays broken for a while.
    fn uplink_failed(&mut self, id: ParticipantId, kind: Kind, why: &str) {
        let now = clock::now();
        let failing = self.members.get_mut(&id).map(|member| &mut member.failing);
        let more = failing.and_then(|failing| match kind {
            Kind::Audio => failing[0].ask(now),
            Kind::Video => failing[1].ask(now),
        });
        let Some(more) = more else { return };
        let room = &self.name;
        tracing::info!(target: REFUSED, %room, %id, ?kind, why, more, "uplink cannot be decoded");
        let (code, what) = match kind {
            Kind::Video => (NoticeCode::UplinkVideoFailed, "camera"),
            Kind::Audio => (NoticeCode::UplinkAudioFailed, "microphone"),
        };
        let text = format!("The server cannot decode what your {what} sends.");
        self.tell(id, Message::Notice { code, text });
    }

    fn levels(&mut self, levels: &[Level]) {
        let mut loudest: Vec<_> = levels.iter().filter(|l| l.speaking).collect();
        loudest.sort_by(|a, b| b.dbfs.total_cmp(&a.dbfs));
        let mut speaking: Vec<_> = loudest.into_iter().map(|l| l.who).collect();
        let unchanged = {
            let (mut was, mut is) = (self.speaking.clone(), speaking.clone());
            was.sort();
            is.sort();
            was == is
        };
        if !unchanged {
            self.speaking = std::mem::take(&mut speaking);
            let speaking = self.speaking.clone();
            self.tell_all(&Message::Speaking { speaking });
        }
    }

    fn apply(&mut self, event: Event) {
        let effects = self.state.apply(clock::now(), event);
        self.wiring.carry_out(&self.state, &effects);
        let encoders =
            |effect: &Effect| matches!(effect, Effect::OpenVideo(..) | Effect::CloseVideo(_));
        if effects.iter().any(encoders) {
            let encoders = self.state.video_mixes().iter().count();
            self.summary
                .send_modify(|summary| summary.encoders = encoders);
        }
        if effects.iter().any(Effect::costs) {
            let work = foresee(&self.state);
            self.account.commit(&work);
        }
        for effect in &effects {
            match effect {
                Effect::ListenVideo(who, Some(mix)) => self.send_tiles(*mix, Some(*who)),
                Effect::CloseVideo(mix) => {
                    self.shown.remove(mix);
                }
                Effect::Announce => self.announce(),
                Effect::Codec(_) => {
                    for id in self.members.keys() {
                        if let Some(demand) = self.state.demand(*id) {
                            self.ask_for(*id, demand);
                        }
                    }
                }
                Effect::Uplink(id, demand) => self.ask_for(*id, *demand),
                Effect::Tier(who) => {
                    self.serve(*who);
                    self.tell_tier(*who);
                }
                _ => {}
            }
        }
    }

    /// Has their connection watch what their line bears of what they get.
    fn serve(&self, id: ParticipantId) {
        let (given, best) = (self.state.given(id), self.state.best(id));
        let (Some(given), Some(best)) = (given, best) else {
            return;
        };
        let tiers = &self.state.settings().tiers;
        let all = tiers.all();
        let rung = |tier| all.iter().position(|one| *one == tier).unwrap_or(0);
        if let Some(peer) = self.wiring.peer(id) {
            peer.serve(peer::Ladder {
                at: rung(given.tier),
                top: rung(best),
                rungs: all.iter().map(|tier| tiers.bitrate(*tier)).collect(),
            });
        }
    }

    fn tell_tier(&self, id: ParticipantId) {
        if let Some(given) = self.state.given(id) {
            let Given {
                tier,
                quality,
                because,
                bitrate,
            } = given;
            let message = Message::Tier {
                tier,
                quality,
                because,
                bitrate,
            };
            self.tell(id, message);
        }
    }

    /// Sends the map of a mix to one or all of its listeners, if it has been shown.
    fn send_tiles(&self, mix: MixId, only: Option<ParticipantId>) {
        let Some((layout, at)) = self.shown.get(&mix) else {
            return;
        };
        let (Some(found), Some(arrangement)) = (
            self.state.video_mixes().get(mix),
            self.state.arrangement(mix),
        ) else {
            return;
        };
        if arrangement.layout != *layout {
            // A newer arrangement is on its way; its map comes with its first picture.
            return;
        }
        for ear in &found.listeners {
            let Ear::Person(who) = ear else { continue };
            if only.is_none_or(|only| only == *who)
                && let Some(peer) = self.wiring.peer(*who)
            {
                let rtp_time = peer.video_rtp_time(*at);
                let map = tile_map(&self.state, &found.key, arrangement, *who, rtp_time);
                self.tell(*who, Message::Tiles(map));
            }
        }
    }

    /// Tells those who are in, and those who ask before they come in.
    fn show_sign(&self) {
        let on = self.sign.is_on();
        self.summary.send_modify(|summary| summary.recording = on);
        self.tell_all(&self.sign.message());
    }

    fn announce(&self) {
        let people = self.people();
        self.summary.send_replace(Summary {
            participants: people.len(),
            viewers: self.state.people().len() - people.len(),
            names: people.iter().map(|p| p.name.clone()).collect(),
            people,
            waiting: self.talk.floor.held(),
            encoders: self.state.video_mixes().iter().count(),
            recording: self.sign.is_on(),
            ..Summary::of(self.state.settings())
        });
        self.tell_all(&self.who_is_in());
        if !self.waiting.is_empty() {
            // Somebody may have become a host just now.
            self.tell_hosts();
        }
    }

    fn who_is_in(&self) -> Message {
        let people = self.people();
        let viewers = self.state.people().len() - people.len();
        let settings = self.state.settings();
        Message::People {
            people,
            viewers,
            locked: self.talk.floor.locked(),
            held: self.talk.floor.held(),
            layout: settings.layout,
            stage_size: settings.stage_size,
            topology: self.state.topology(),
        }
    }

    fn people(&self) -> Vec<Person> {
        let people = self.state.people().iter().filter(|(_, p)| !p.view);
        people
            .map(|(id, p)| Person {
                id: *id,
                name: p.name.clone(),
                audio: p.audio,
                video: p.video,
                host: self.talk.floor.host(*id),
                silenced: self.talk.floor.silenced(*id),
                hand: self.talk.floor.hand(*id),
                pinned: p.pinned,
                sharing: p.shares,
            })
            .collect()
    }

    fn tell_all(&self, message: &Message) {
        for id in self.members.keys() {
            self.tell(*id, message.clone());
        }
    }

    fn tell(&self, id: ParticipantId, message: Message) {
        let Some(member) = self.members.get(&id) else {
            return;
        };
        if member.notices.try_send(message).is_err() {
            // The socket is wedged or gone; its ping times out, which is a leave.
            self.context.stats.dropped("notices", 1);
        }
    }
}

/// Milliseconds since 1970.
fn wall() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_millis() as u64
}
