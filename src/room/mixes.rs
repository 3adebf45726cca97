//! Who listens to which mix, kept so that a mix exists exactly while somebody listens to it.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{OutputId, ParticipantId};
use crate::mix::plan::MixId;

/// Whoever listens to a mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ear {
    /// Somebody in the room.
    Person(ParticipantId),
    /// A recording, a stream.
    Output(OutputId),
}

impl From<ParticipantId> for Ear {
    fn from(id: ParticipantId) -> Self {
        Self::Person(id)
    }
}

impl From<OutputId> for Ear {
    fn from(id: OutputId) -> Self {
        Self::Output(id)
    }
}

/// One mix: what makes it distinct, and who listens.
#[derive(Debug, Clone)]
pub struct Mix<K> {
    /// Its identity; no two mixes of a room have equal ones.
    pub key: K,
    /// Never empty.
    pub listeners: BTreeSet<Ear>,
}

impl<K> Mix<K> {
    /// Whether an output is among the listeners.
    pub fn has_output(&self) -> bool {
        let mut listeners = self.listeners.iter();
        listeners.any(|ear| matches!(ear, Ear::Output(_)))
    }
}

/// The mixes of one kind.
#[derive(Debug, Clone)]
pub struct Mixes<K> {
    by_id: BTreeMap<MixId, Mix<K>>,
    next: u64,
}

/// What has to happen, in this order, so that everybody hears what they want.
#[derive(Debug, PartialEq, Eq)]
pub struct Moves<K> {
    /// Mixes to start.
    pub opened: Vec<(MixId, K)>,
    /// Listeners to attach elsewhere, or nowhere.
    pub moved: Vec<(Ear, Option<MixId>)>,
    /// Mixes to end: nobody is left.
    pub closed: Vec<MixId>,
}

impl<K> Default for Mixes<K> {
    fn default() -> Self {
        Self {
            by_id: BTreeMap::new(),
            next: 1,
        }
    }
}

impl<K: Copy + Eq> Mixes<K> {
    /// All mixes.
    pub fn iter(&self) -> impl Iterator<Item = (MixId, &Mix<K>)> {
        self.by_id.iter().map(|(id, mix)| (*id, mix))
    }

    /// One mix.
    pub fn get(&self, id: MixId) -> Option<&Mix<K>> {
        self.by_id.get(&id)
    }

    /// Which mix somebody listens to.
    pub fn of(&self, listener: impl Into<Ear>) -> Option<MixId> {
        let listener = listener.into();
        self.iter()
            .find(|(_, mix)| mix.listeners.contains(&listener))
            .map(|(id, _)| id)
    }

    /// Rearranges listeners to what they want. Whoever is not named listens to nothing.
    pub fn follow(&mut self, wanted: &BTreeMap<Ear, K>) -> Moves<K> {
        let mut moves = Moves {
            opened: Vec::new(),
            moved: Vec::new(),
            closed: Vec::new(),
        };
        for mix in self.by_id.values_mut() {
            let key = mix.key;
            mix.listeners.retain(|listener| {
                let gone = !wanted.contains_key(listener);
                if gone {
                    moves.moved.push((*listener, None));
                }
                wanted.get(listener) == Some(&key)
            });
        }
        for (listener, key) in wanted {
            if self.of(*listener).is_some() {
                continue;
            }
            let known = self.iter().find(|(_, m)| m.key == *key).map(|(id, _)| id);
            let id = known.unwrap_or_else(|| {
                let id = MixId(self.next);
                self.next += 1;
                moves.opened.push((id, *key));
                id
            });
            let mix = self.by_id.entry(id).or_insert_with(|| Mix {
                key: *key,
                listeners: BTreeSet::new(),
            });
            mix.listeners.insert(*listener);
            moves.moved.push((*listener, Some(id)));
        }
        self.by_id.retain(|id, mix| {
            if mix.listeners.is_empty() {
                moves.closed.push(*id);
            }
            !mix.listeners.is_empty()
        });
        moves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Ear = Ear::Person(ParticipantId(1));
    const BOB: Ear = Ear::Person(ParticipantId(2));

    #[test]
    fn equal_wishes_share_and_the_last_listener_closes() {
        let mut mixes = Mixes::default();
        let both = BTreeMap::from([(ANN, 'x'), (BOB, 'x')]);
        let moves = mixes.follow(&both);
        assert_eq!(moves.opened, [(MixId(1), 'x')]);
        assert_eq!(moves.moved, [(ANN, Some(MixId(1))), (BOB, Some(MixId(1)))]);
        assert_eq!(mixes.follow(&both).moved, [], "nothing changed");
        let moves = mixes.follow(&BTreeMap::from([(BOB, 'y')]));
        assert_eq!(moves.opened, [(MixId(2), 'y')]);
        assert_eq!(moves.moved, [(ANN, None), (BOB, Some(MixId(2)))]);
        assert_eq!(moves.closed, [MixId(1)]);
        assert_eq!(mixes.of(BOB), Some(MixId(2)));
    }
}
