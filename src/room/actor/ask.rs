//! What members ask of a room, and what it asks of their devices.

use std::sync::Arc;

use super::{Room, wall};
use crate::clock;
use crate::id::ParticipantId;
use crate::media::Topology;
use crate::room::demand::Demand;
use crate::room::state::Event;
use crate::room::talk::{Refusal, Say, Step, refuse};
use crate::room::uplink::Uplink;
use crate::signalling::{ErrorCode, Message, Signal};

/// Uplinks that one client may take as they are: as many as a picture has tiles.
const MOST_TAKEN: usize = 49;

impl Room {
    /// Microphone and camera as their user set them, and as a host allows.
    pub(super) fn set_media(&mut self, id: ParticipantId, audio: bool, video: bool) {
        let audio = audio && !self.talk.floor.silenced(id);
        self.apply(Event::Media { id, audio, video });
    }

    pub(super) fn say(&mut self, id: ParticipantId, say: Say) -> Result<(), Refusal> {
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

    pub(super) fn volume(
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
    pub(super) fn take(
        &self,
        id: ParticipantId,
        from: ParticipantId,
    ) -> Result<Arc<Uplink>, Refusal> {
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
    pub(super) fn relay(
        &self,
        id: ParticipantId,
        to: ParticipantId,
        signal: Signal,
    ) -> Result<(), Refusal> {
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

    pub(super) fn terse(&mut self, id: ParticipantId) {
        if let Some(member) = self.members.get_mut(&id) {
            member.terse = true;
            self.limit(id);
        }
    }

    /// Asks somebody for so much video from now on.
    pub(super) fn ask_for(&self, id: ParticipantId, demand: Demand) {
        self.tell(id, demand.message(self.state.codec()));
        if self.members.get(&id).is_some_and(|member| member.terse) {
            self.limit(id);
        }
    }

    /// The same in RTCP.
    pub(super) fn limit(&self, id: ParticipantId) {
        if let (Some(demand), Some(peer)) = (self.state.demand(id), self.wiring.peer(id)) {
            peer.limit(demand.with_sound());
        }
    }
}
