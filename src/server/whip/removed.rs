//! Whom hosts removed: a program that sends comes back by itself within seconds, and has no
//! session key by which a room would know it again, unless its address says one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::id::{DisplayName, RoomName};
use crate::server::door::network;

/// How long they stay out: programs try again for some minutes before they give up.
const KEPT: Duration = Duration::from_secs(3600);
/// Most that are remembered.
const REMEMBERED: usize = 1000;

/// Somebody, as far as one can tell: who calls themselves so, and comes from there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    room: RoomName,
    network: IpAddr,
    name: DisplayName,
}

impl Caller {
    /// Who comes from an address into a room under this name.
    pub fn new(room: RoomName, from: IpAddr, name: DisplayName) -> Self {
        Self {
            room,
            network: network(from.to_canonical()),
            name,
        }
    }

    /// Into which room.
    pub fn room(&self) -> &RoomName {
        &self.room
    }
}

/// Those who were removed lately.
#[derive(Debug, Default)]
pub struct Removed(HashMap<Caller, Instant>);

impl Removed {
    /// A host has removed them.
    pub fn add(&mut self, caller: Caller, now: Instant) {
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, at| lately(*at, now));
        }
        if self.0.len() < REMEMBERED {
            self.0.insert(caller, now);
        }
    }

    /// Whether a host has removed them lately.
    pub fn has(&self, caller: &Caller, now: Instant) -> bool {
        self.0.get(caller).is_some_and(|at| lately(*at, now))
    }
}

fn lately(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < KEPT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(room: &str, from: &str, name: &str) -> Caller {
        Caller::new(
            RoomName::new(room).unwrap(),
            from.parse().unwrap(),
            DisplayName::new(name).unwrap(),
        )
    }

    #[test]
    fn they_are_known_for_an_hour_in_that_room() {
        let (mut removed, now) = (Removed::default(), Instant::now());
        let ann = caller("a", "2001:db8::1", "Ann");
        removed.add(ann.clone(), now);
        assert!(removed.has(&ann, now));
        assert!(removed.has(&caller("a", "2001:db8::2", "Ann"), now + KEPT / 2));
        for other in [
            caller("b", "2001:db8::1", "Ann"),
            caller("a", "192.0.2.1", "Ann"),
            caller("a", "2001:db8::1", "Bob"),
        ] {
            assert!(!removed.has(&other, now), "{other:?}");
        }
        assert!(!removed.has(&ann, now + KEPT));
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let (mut removed, now) = (Removed::default(), Instant::now());
        let name = |n: usize| caller("a", "192.0.2.1", &n.to_string());
        (0..=REMEMBERED).for_each(|n| removed.add(name(n), now));
        assert!(removed.has(&name(0), now) && !removed.has(&name(REMEMBERED), now));
        removed.add(name(0), now + KEPT);
        assert_eq!(removed.0.len(), 1);
    }
}
