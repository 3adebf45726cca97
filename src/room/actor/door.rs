//! Who comes into a room, who waits before it, and who goes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::ear::ear;
use super::{Admission, Answer, Join, Member, Room, Welcome};
use crate::clock;
use crate::id::{ParticipantId, SessionKey};
use crate::media::Quality;
use crate::room::cost::Full;
use crate::room::floor::Entry;
use crate::room::foresee::foresee;
use crate::room::state::{Event, View};
use crate::room::talk::{Refusal, refuse};
use crate::room::uplink::Uplink;
use crate::room::waiting::Waiter;
use crate::signalling::{ByeReason, ErrorCode, Message, Person};
use crate::stats::Counted;

/// A room in which nothing happens for this long has its final shape.
const SETTLED: Duration = Duration::from_secs(10);

impl Room {
    pub(super) fn join(&mut self, join: Join, reply: oneshot::Sender<Result<Answer, Refusal>>) {
        let Join {
            id,
            admission,
            notices,
        } = join;
        let admitted = admission.ticket.is_some_and(|id| self.waiting.spend(id));
        let entry = match admitted {
            true => Ok(Entry::Open),
            false => self
                .talk
                .floor
                .admits(admission.session.as_ref(), admission.host),
        };
        match entry {
            Ok(Entry::Open) => {}
            Ok(Entry::Wait) => {
                // Who asked may be gone before the answer; then a leave follows.
                let _ = reply.send(self.wait(id, admission, notices).map(|()| Answer::Wait));
                return;
            }
            Err(refusal) => {
                let _ = reply.send(Err(refusal));
                return;
            }
        }
        let mut event = Event::Joined {
            id,
            name: admission.name,
            view: admission.view,
            audio: admission.audio,
            video: admission.video,
            portrait: admission.portrait,
            direct: admission.direct,
        };
        let view = View {
            overlay: admission.overlay.then_some(true),
            quality: (admission.quality != Quality::default()).then_some(admission.quality),
            ..View::default()
        };
        if let Err(full) = self.fits(admission.session.as_ref(), &event, view) {
            tracing::warn!(room = %self.name, %full, "somebody was not let in");
            let refusal = refuse(ErrorCode::NoRoom, &full.to_string());
            let _ = reply.send(Err(refusal));
            return;
        }
        let (host, only_watches) = (admission.host, admission.view);
        if let Some(before) =
            self.talk
                .enter(clock::now(), id, admission.session, host, only_watches)
        {
            self.dismiss(before, ByeReason::Replaced);
        }
        let uplink = Arc::new(Uplink::new(ear(self.commands.clone(), id), Arc::default()));
        let participants = &self.context.stats.participants;
        let member = Member {
            notices,
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

    fn wait(
        &mut self,
        id: ParticipantId,
        admission: Admission,
        notices: mpsc::Sender<Message>,
    ) -> Result<(), Refusal> {
        let waiter = Waiter {
            name: admission.name,
            session: admission.session,
            notices,
        };
        if let Some(before) = self.waiting.come(id, waiter)? {
            let reason = ByeReason::Replaced;
            // Nobody listens there any more, as like as not.
            let _ = before.notices.try_send(Message::Bye { reason });
        }
        self.tell_hosts();
        Ok(())
    }

    /// Answers the door.
    pub(super) fn answer(&mut self, who: Option<ParticipantId>, admit: bool) {
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
    pub(super) fn tell_hosts(&self) {
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

    pub(super) fn dismiss_all(&mut self, reason: ByeReason) {
        self.waiting.tell(&Message::Bye { reason });
        for id in self.members.keys().copied().collect::<Vec<_>>() {
            self.dismiss(id, reason);
        }
    }

    pub(super) fn dismiss(&mut self, id: ParticipantId, reason: ByeReason) {
        self.tell(id, Message::Bye { reason });
        self.leave(id);
    }

    pub(super) fn resumed(&self, id: ParticipantId, reply: oneshot::Sender<Vec<Person>>) {
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

    pub(super) fn leave(&mut self, id: ParticipantId) {
        if self.members.remove(&id).is_some() {
            self.talk.leave(id);
            self.apply(Event::Left { id });
            self.wiring.unseat(id);
        } else if self.waiting.leave(id) {
            self.tell_hosts();
        }
    }
}
