//! The one task that owns a room. Whatever happens arrives in its inbox; it asks [`State`] what
//! follows, has [`Wiring`] do it and tells the members.
//!
//! - [`command`]: what can be asked of it, and what it tells from outside.
//! - `door`: who comes in and who goes.
//! - `ear`: where uplinks tell what happens to them.
//! - `media`: what connections, decoders and encoders report.
//! - `ask`: what members ask for, and what their devices are asked.
//! - `tell`: what members are told.

mod ask;
mod command;
mod door;
mod ear;
mod media;
mod tell;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::clock::{self, MediaTime};
use crate::id::{ParticipantId, RoomName};
use crate::mix::plan::MixId;
use crate::quiet::Quiet;
use crate::room::activity::BLOCK;
use crate::room::cost::Account;
use crate::room::floor::Entry;
use crate::room::foresee::foresee;
use crate::room::inspect::{Encoder, Inside};
use crate::room::links::Links;
use crate::room::mixes::{Ear, Mix};
use crate::room::output::Ended;
use crate::room::running::Running;
use crate::room::sign::Sign;
use crate::room::state::{Effect, Event, Settings, State, VideoKey};
use crate::room::talk::{Talk, refuse};
use crate::room::waiting::Waiting;
use crate::room::wiring::{Context, Wiring};
use crate::signalling::{ByeReason, ErrorCode, Message};
use crate::stats::Counted;

pub use self::command::{Admission, Answer, Command, Handle, Join, Summary, Welcome};

/// Events a room may be behind. Floods are coalesced before they get here (keyframe requests,
/// levels), so a full inbox means a room that hangs.
const INBOX: usize = 1024;
/// Messages a slow client's socket may be behind before the client is let go.
pub const NOTICES: usize = 256;
/// How often counters that nobody waits for are moved into the figures.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// How often what packets claim about loudness is looked at: a block of
/// [`activity`](crate::room::activity).
const CLAIMS: Duration = BLOCK;

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
            Command::Configure(change, reply) => {
                self.apply(Event::Configure(change));
                if let Some(held) = change.waiting {
                    self.talk.floor.hold(held);
                    if !held {
                        self.answer(None, true);
                    }
                    self.announce();
                }
                // Who asked may have gone.
                let _ = reply.send(());
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
}

/// Milliseconds since 1970.
fn wall() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_millis() as u64
}
