//! Who has the floor: hosts, whom they muted, whose hand is up, and whom the door keeps out. Pure.
//!
//! What a host decided about somebody belongs to their session's key, so that it outlives a lost
//! connection and a reload; it ends with the room.

use std::collections::{BTreeMap, HashMap};

use crate::id::{ParticipantId, SessionKey};
use crate::room::talk::{Refusal, refuse};
use crate::signalling::{Act, ErrorCode};

/// Sessions that left and are still remembered. Far more than ever come back; a room in which
/// more have come and gone forgets those that nothing was decided about.
const REMEMBERED: usize = 1000;

/// What is so about somebody, here or gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Standing {
    host: bool,
    silenced: bool,
    removed: bool,
    /// Was not let in, and so never here.
    refused: bool,
}

/// How somebody may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// At once.
    Open,
    /// When a host lets them.
    Wait,
}

#[derive(Debug)]
struct Here {
    session: Option<SessionKey>,
    view: bool,
    standing: Standing,
}

/// What a host's word comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// They must not be heard any more.
    pub silenced: Vec<ParticipantId>,
    /// They must go, and do not come back.
    pub removed: Vec<ParticipantId>,
    /// Is to stay on stage, or no longer.
    pub pinned: Option<(ParticipantId, bool)>,
    /// Everybody must go.
    pub ended: bool,
    /// Who waits and is let in or not; none in it: all who wait.
    pub answered: Option<(Option<ParticipantId>, bool)>,
}

/// The floor of one room.
#[derive(Debug, Default)]
pub struct Floor {
    here: BTreeMap<ParticipantId, Here>,
    gone: HashMap<SessionKey, Standing>,
    /// In the order they went up.
    hands: Vec<ParticipantId>,
    locked: bool,
    /// Newcomers wait for a host.
    held: bool,
    /// Everybody is muted but hosts, newcomers too.
    quiet: bool,
}

impl Floor {
    /// Whether the door is open for somebody.
    pub fn admits(&self, session: Option<&SessionKey>, host: bool) -> Result<Entry, Refusal> {
        let known = session.and_then(|key| self.known(key));
        if known.is_some_and(|standing| standing.removed) && !host {
            let text = "a host has removed you from this meeting";
            return Err(refuse(ErrorCode::Removed, text));
        }
        if known.is_some_and(|standing| standing.refused) && !host {
            let text = "a host has not let you into this meeting";
            return Err(refuse(ErrorCode::NotAdmitted, text));
        }
        let stranger = !host && known.is_none();
        if self.locked && stranger {
            return Err(refuse(ErrorCode::Locked, "the room is locked"));
        }
        Ok(match self.held && stranger {
            true => Entry::Wait,
            false => Entry::Open,
        })
    }

    /// A session is not let in, and need not ask again.
    pub fn turn_away(&mut self, session: SessionKey) {
        if self.gone.len() < REMEMBERED {
            let standing = Standing {
                refused: true,
                ..Standing::default()
            };
            self.gone.insert(session, standing);
        }
    }

    /// Newcomers wait for a host from now on, or do no longer.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
        if !held {
            self.gone.retain(|_, standing| !standing.refused);
        }
    }

    /// Whether newcomers wait.
    pub fn held(&self) -> bool {
        self.held
    }

    /// Somebody came in. Who must make place: the same session, if it is still here.
    pub fn enter(
        &mut self,
        id: ParticipantId,
        session: Option<SessionKey>,
        host: bool,
        view: bool,
    ) -> Option<ParticipantId> {
        let known = session.as_ref().and_then(|key| self.known(key));
        let replaced = session.as_ref().and_then(|key| self.seat(key));
        let mut standing = known.unwrap_or(Standing {
            silenced: self.quiet && !host,
            ..Standing::default()
        });
        standing.host |= host && !view;
        standing.removed = false;
        standing.refused = false;
        if let Some(old) = replaced {
            // The hand stays up in the same place of the order.
            for hand in self.hands.iter_mut().filter(|hand| **hand == old) {
                *hand = id;
            }
            self.here.remove(&old);
        }
        let here = Here {
            session,
            view,
            standing,
        };
        self.here.insert(id, here);
        replaced
    }

    /// Somebody left, however that came about.
    pub fn leave(&mut self, id: ParticipantId) {
        self.hands.retain(|hand| *hand != id);
        let Some(Here {
            session: Some(key),
            standing,
            ..
        }) = self.here.remove(&id)
        else {
            return;
        };
        if self.gone.len() >= REMEMBERED {
            self.gone
                .retain(|_, standing| *standing != Standing::default());
        }
        if self.gone.len() >= REMEMBERED && !standing.removed {
            return;
        }
        self.gone.insert(key, standing);
    }

    /// Whether they may moderate.
    pub fn host(&self, id: ParticipantId) -> bool {
        self.here.get(&id).is_some_and(|here| here.standing.host)
    }

    /// Refuses whoever may not moderate.
    pub fn only_host(&self, id: ParticipantId) -> Result<(), Refusal> {
        match self.host(id) {
            true => Ok(()),
            false => Err(refuse(ErrorCode::NotHost, "only a host may do this")),
        }
    }

    /// Whether they may not be heard.
    pub fn silenced(&self, id: ParticipantId) -> bool {
        self.here
            .get(&id)
            .is_some_and(|here| here.standing.silenced)
    }

    /// Whether they only watch, or are not here at all.
    pub fn watches(&self, id: ParticipantId) -> bool {
        self.here.get(&id).is_none_or(|here| here.view)
    }

    /// Where in the order their hand is, from 1.
    pub fn hand(&self, id: ParticipantId) -> Option<u32> {
        let place = self.hands.iter().position(|hand| *hand == id)?;
        Some(place as u32 + 1)
    }

    /// Whether the door is closed.
    pub fn locked(&self) -> bool {
        self.locked
    }

    /// A hand goes up or down.
    pub fn raise(&mut self, id: ParticipantId, raised: bool) {
        let up = self.hands.contains(&id);
        if raised && !up {
            self.hands.push(id);
        } else if !raised {
            self.hands.retain(|hand| *hand != id);
        }
    }

    /// A host's word; `who` is everybody where there is none.
    pub fn moderate(
        &mut self,
        by: ParticipantId,
        act: Act,
        who: Option<ParticipantId>,
    ) -> Result<Verdict, Refusal> {
        self.only_host(by)?;
        let waits = matches!(act, Act::Admit | Act::Refuse);
        if !waits && who.is_some_and(|who| self.watches(who)) {
            return Err(refuse(ErrorCode::NotThere, "they are not in the room"));
        }
        let mut verdict = Verdict::default();
        match act {
            Act::Mute => {
                self.quiet |= who.is_none();
                for (id, here) in &mut self.here {
                    // Hosts among themselves must mean it.
                    let meant = who.map_or(!here.standing.host && !here.view, |who| who == *id);
                    if meant {
                        here.standing.silenced = true;
                        verdict.silenced.push(*id);
                    }
                }
            }
            Act::Unmute => {
                self.quiet &= who.is_some();
                for (id, here) in &mut self.here {
                    here.standing.silenced &= who.is_some_and(|who| who != *id);
                }
                if who.is_none() {
                    for standing in self.gone.values_mut() {
                        standing.silenced = false;
                    }
                }
            }
            Act::Lower => match who {
                Some(who) => self.raise(who, false),
                None => self.hands.clear(),
            },
            Act::Host => {
                let here = who.and_then(|who| self.here.get_mut(&who));
                let here = here.ok_or_else(|| refuse(ErrorCode::NotThere, "say who"))?;
                here.standing.host = true;
                here.standing.silenced = false;
            }
            Act::Pin | Act::Unpin => {
                let who = who.ok_or_else(|| refuse(ErrorCode::NotThere, "say who"))?;
                verdict.pinned = Some((who, act == Act::Pin));
            }
            Act::Remove => {
                let who = who.ok_or_else(|| refuse(ErrorCode::NotThere, "say who"))?;
                if self.host(who) {
                    return Err(refuse(ErrorCode::NotHost, "a host cannot be removed"));
                }
                if let Some(here) = self.here.get_mut(&who) {
                    here.standing.removed = true;
                }
                verdict.removed.push(who);
            }
            Act::Lock => self.locked = true,
            Act::Unlock => self.locked = false,
            Act::Hold => self.hold(true),
            Act::Unhold => {
                self.hold(false);
                verdict.answered = Some((None, true));
            }
            Act::Admit | Act::Refuse => verdict.answered = Some((who, act == Act::Admit)),
            Act::End => verdict.ended = true,
        }
        Ok(verdict)
    }

    /// Who is here with this session.
    pub fn seat(&self, key: &SessionKey) -> Option<ParticipantId> {
        let mut here = self.here.iter();
        here.find(|(_, here)| here.session.as_ref() == Some(key))
            .map(|(id, _)| *id)
    }

    fn known(&self, key: &SessionKey) -> Option<Standing> {
        let here = self.seat(key).and_then(|id| self.here.get(&id));
        here.map(|here| here.standing)
            .or_else(|| self.gone.get(key).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: ParticipantId = ParticipantId(1);
    const BOB: ParticipantId = ParticipantId(2);
    const EVE: ParticipantId = ParticipantId(3);

    fn key(n: u8) -> SessionKey {
        SessionKey::new(&format!("session-key-number-{n}")).unwrap()
    }

    /// Ann is host, Bob and Eve are not.
    fn floor() -> Floor {
        let mut floor = Floor::default();
        for (id, n) in [(ANN, 1), (BOB, 2), (EVE, 3)] {
            assert_eq!(floor.enter(id, Some(key(n)), id == ANN, false), None);
        }
        floor
    }

    #[test]
    fn hands_keep_their_order() {
        let mut floor = floor();
        for id in [EVE, ANN, EVE] {
            floor.raise(id, true);
        }
        assert_eq!((floor.hand(EVE), floor.hand(ANN)), (Some(1), Some(2)));
        floor.raise(EVE, false);
        assert_eq!((floor.hand(EVE), floor.hand(ANN)), (None, Some(1)));
        floor.leave(ANN);
        assert_eq!(floor.hand(ANN), None);
    }

    #[test]
    fn only_hosts_moderate() {
        let mut floor = floor();
        for act in [Act::Mute, Act::Lock, Act::End, Act::Unmute, Act::Lower] {
            let refused = floor.moderate(BOB, act, None).unwrap_err();
            assert_eq!(refused.code, ErrorCode::NotHost);
        }
        assert!(!floor.locked() && !floor.silenced(EVE));
        let refused = floor.moderate(ANN, Act::Mute, Some(ParticipantId(9)));
        assert_eq!(refused.unwrap_err().code, ErrorCode::NotThere);
        floor.moderate(ANN, Act::Host, Some(BOB)).unwrap();
        assert!(floor.moderate(BOB, Act::Lock, None).is_ok());
        let refused = floor.moderate(BOB, Act::Remove, Some(ANN)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::NotHost);
    }

    #[test]
    fn who_is_muted_stays_so_across_connections() {
        let mut floor = floor();
        let verdict = floor.moderate(ANN, Act::Mute, Some(BOB)).unwrap();
        assert_eq!(verdict.silenced, [BOB]);
        floor.leave(BOB);
        let again = ParticipantId(4);
        floor.enter(again, Some(key(2)), false, false);
        assert!(floor.silenced(again));
        floor.moderate(ANN, Act::Unmute, Some(again)).unwrap();
        assert!(!floor.silenced(again));
    }

    #[test]
    fn muting_everybody_spares_hosts_and_reaches_newcomers() {
        let mut floor = floor();
        let verdict = floor.moderate(ANN, Act::Mute, None).unwrap();
        assert_eq!(verdict.silenced, [BOB, EVE]);
        let late = ParticipantId(4);
        floor.enter(late, None, false, false);
        assert!(floor.silenced(late) && !floor.silenced(ANN));
        floor.moderate(ANN, Act::Unmute, Some(EVE)).unwrap();
        assert!(floor.silenced(BOB) && !floor.silenced(EVE));
        floor.moderate(ANN, Act::Unmute, None).unwrap();
        assert!(!floor.silenced(BOB));
        let later = ParticipantId(5);
        floor.enter(later, None, false, false);
        assert!(!floor.silenced(later));
    }

    #[test]
    fn a_locked_door_lets_those_back_in_who_were_there() {
        let mut floor = floor();
        floor.moderate(ANN, Act::Lock, None).unwrap();
        floor.leave(BOB);
        assert!(floor.admits(Some(&key(2)), false).is_ok());
        assert!(floor.admits(None, true).is_ok());
        let refused = floor.admits(Some(&key(9)), false).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Locked);
        assert!(floor.admits(None, false).is_err());
    }

    #[test]
    fn newcomers_wait_and_who_is_turned_away_stays_out() {
        let mut floor = floor();
        assert_eq!(floor.admits(Some(&key(9)), false), Ok(Entry::Open));
        floor.moderate(ANN, Act::Hold, None).unwrap();
        floor.leave(BOB);
        assert_eq!(floor.admits(Some(&key(9)), false), Ok(Entry::Wait));
        assert_eq!(floor.admits(None, false), Ok(Entry::Wait));
        assert_eq!(floor.admits(None, true), Ok(Entry::Open), "hosts do not");
        assert_eq!(floor.admits(Some(&key(2)), false), Ok(Entry::Open), "back");
        // Whom it is about is not in the room.
        let verdict = floor.moderate(ANN, Act::Refuse, Some(ParticipantId(9)));
        let expected = Some((Some(ParticipantId(9)), false));
        assert_eq!(verdict.unwrap().answered, expected);
        floor.turn_away(key(9));
        let refused = floor.admits(Some(&key(9)), false).unwrap_err();
        assert_eq!(refused.code, ErrorCode::NotAdmitted);
        floor.moderate(ANN, Act::Lock, None).unwrap();
        let verdict = floor.moderate(ANN, Act::Unhold, None).unwrap();
        assert_eq!(verdict.answered, Some((None, true)));
        let refused = floor.admits(Some(&key(9)), false).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Locked, "never was here");
    }

    #[test]
    fn who_was_removed_stays_out() {
        let mut floor = floor();
        let verdict = floor.moderate(ANN, Act::Remove, Some(EVE)).unwrap();
        assert_eq!(verdict.removed, [EVE]);
        floor.leave(EVE);
        let refused = floor.admits(Some(&key(3)), false).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Removed);
        assert!(floor.admits(Some(&key(4)), false).is_ok());
    }

    #[test]
    fn a_second_connection_of_a_session_takes_the_place_of_the_first() {
        let mut floor = floor();
        floor.raise(BOB, true);
        floor.raise(EVE, true);
        let again = ParticipantId(4);
        assert_eq!(floor.enter(again, Some(key(2)), false, false), Some(BOB));
        assert_eq!(floor.hand(again), Some(1));
        floor.leave(BOB);
        assert_eq!(floor.hand(again), Some(1));
        assert!(floor.watches(BOB) && !floor.watches(again));
    }
}
