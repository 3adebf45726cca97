//! Those who wait before the door until a host answers it. Pure but for the way to tell them.

use std::collections::BTreeMap;

use tokio::sync::mpsc;

use crate::id::{DisplayName, ParticipantId, SessionKey};
use crate::room::talk::{Refusal, refuse};
use crate::signalling::{ErrorCode, Knocking, Message};

/// Who waits at most; a host looks at each of them.
const PLACES: usize = 50;

/// Somebody before the door.
#[derive(Debug, Clone)]
pub struct Waiter {
    /// As they call themselves.
    pub name: DisplayName,
    /// Who they are across connections.
    pub session: Option<SessionKey>,
    /// Where messages to them go.
    pub notices: mpsc::Sender<Message>,
}

/// Everybody before the door of one room, in the order they came.
#[derive(Debug, Default)]
pub struct Waiting {
    waiters: BTreeMap<ParticipantId, Waiter>,
    /// Those who may come in now, and have not yet.
    admitted: BTreeMap<ParticipantId, Waiter>,
}

impl Waiting {
    /// Somebody comes; the same session does not wait twice. Who must stop waiting for that.
    pub fn come(&mut self, id: ParticipantId, waiter: Waiter) -> Result<Option<Waiter>, Refusal> {
        let same = self.waiters.iter().find(|(_, before)| {
            let key = before.session.as_ref();
            key.is_some() && key == waiter.session.as_ref()
        });
        let before = same.map(|(before, _)| *before);
        if before.is_none() && self.waiters.len() >= PLACES {
            let text = "too many people wait already; try again in a moment";
            return Err(refuse(ErrorCode::Unavailable, text));
        }
        let before = before.and_then(|before| self.waiters.remove(&before));
        self.waiters.insert(id, waiter);
        Ok(before)
    }

    /// Somebody waits no more; whether they did.
    pub fn leave(&mut self, id: ParticipantId) -> bool {
        self.spend(id);
        self.waiters.remove(&id).is_some()
    }

    /// Takes those a host has answered off the list: one, or all. Who is admitted may come in once.
    pub fn answer(&mut self, who: Option<ParticipantId>, admit: bool) -> Vec<Waiter> {
        let asked = |id: &ParticipantId| who.is_none_or(|who| who == *id);
        let ids: Vec<_> = self.waiters.keys().copied().filter(asked).collect();
        let answered = ids.into_iter().filter_map(|id| {
            let waiter = self.waiters.remove(&id)?;
            if admit {
                self.admitted.insert(id, waiter.clone());
            }
            Some(waiter)
        });
        answered.collect()
    }

    /// Whether somebody was admitted; they are not twice.
    pub fn spend(&mut self, id: ParticipantId) -> bool {
        self.admitted.remove(&id).is_some()
    }

    /// Those who wait, as hosts see them.
    pub fn list(&self) -> Vec<Knocking> {
        let waiters = self.waiters.iter();
        waiters
            .map(|(id, waiter)| Knocking {
                id: *id,
                name: waiter.name.clone(),
            })
            .collect()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Tells everybody who waits.
    pub fn tell(&self, message: &Message) {
        for waiter in self.waiters.values() {
            // Nothing else was told them: it has room, unless nobody listens any more.
            let _ = waiter.notices.try_send(message.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(n: u32) -> Waiter {
        Waiter {
            name: DisplayName::new("Eve").unwrap(),
            session: Some(SessionKey::new(&format!("session-key-number-{n}")).unwrap()),
            notices: mpsc::channel(1).0,
        }
    }

    #[test]
    fn who_is_admitted_comes_in_once() {
        let mut waiting = Waiting::default();
        for n in 1..=3 {
            assert!(waiting.come(ParticipantId(n), waiter(n)).unwrap().is_none());
        }
        let ids =
            |waiting: &Waiting| -> Vec<_> { waiting.list().iter().map(|one| one.id.0).collect() };
        assert_eq!(ids(&waiting), [1, 2, 3]);
        assert!(!waiting.spend(ParticipantId(2)), "not yet");
        assert_eq!(waiting.answer(Some(ParticipantId(2)), true).len(), 1);
        assert_eq!(ids(&waiting), [1, 3]);
        assert!(waiting.spend(ParticipantId(2)) && !waiting.spend(ParticipantId(2)));
        assert_eq!(waiting.answer(None, false).len(), 2);
        assert!(waiting.is_empty() && !waiting.spend(ParticipantId(1)));
        assert!(waiting.answer(Some(ParticipantId(1)), true).is_empty());
        assert!(
            !waiting.spend(ParticipantId(1)),
            "who does not wait is not let in"
        );
    }

    #[test]
    fn a_session_waits_once_and_only_so_many_do() {
        let mut waiting = Waiting::default();
        for n in 0..PLACES as u32 {
            waiting.come(ParticipantId(n), waiter(n)).unwrap();
        }
        let full = waiting.come(ParticipantId(100), waiter(100)).unwrap_err();
        assert_eq!(full.code, ErrorCode::Unavailable);
        let before = waiting.come(ParticipantId(101), waiter(7)).unwrap();
        assert!(before.is_some(), "by another connection");
        assert_eq!(waiting.list().len(), PLACES);
        assert!(waiting.leave(ParticipantId(101)) && !waiting.leave(ParticipantId(7)));
    }
}
