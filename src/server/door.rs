//! The door to all rooms: who opened which, and how often somebody knocks.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, StatusCode};

use crate::allowance::{Allowance, Rate};
use crate::id::RoomName;
use crate::server::api::{Problem, room_name};
use crate::server::{App, security};

/// The room that somebody wants to open a session in, if they may.
pub fn knock(
    app: &App,
    room: &str,
    from: SocketAddr,
    headers: &HeaderMap,
) -> Result<RoomName, Problem> {
    let room = room_name(room)?;
    if !app.knocks.admit(from.ip(), Instant::now()) {
        let detail = "too many joins from this address; wait a moment".to_owned();
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail));
    }
    if !security::origin_allowed(headers) {
        let detail = "pages of other sites may not join".to_owned();
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(room)
}

/// How long a room that was opened, and is empty, belongs to whoever opened it.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Most names that are kept; each takes some hundred bytes.
const NAMES: usize = 10_000;

/// Rooms that were opened by a host.
#[derive(Default)]
pub struct Openings(Mutex<BTreeMap<RoomName, Instant>>);

impl Openings {
    /// Whether nobody has opened this room lately; from now on somebody has.
    pub fn first(&self, room: &RoomName, now: Instant) -> bool {
        let mut opened = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = |at: &Instant| now.saturating_duration_since(*at) < KEPT;
        if opened.get(room).is_some_and(lately) {
            return false;
        }
        if opened.len() >= NAMES {
            opened.retain(|_, at| lately(at));
        }
        if opened.len() >= NAMES {
            return false;
        }
        opened.insert(room.clone(), now);
        true
    }
}

/// Joins from one address: a whole school class behind one router comes in at once.
const JOINS: Rate = Rate {
    burst: 100.0,
    a_second: 2.0,
};
/// Most addresses that are watched. Beyond, those that have come seldom are forgotten first.
const ADDRESSES: usize = 4096;

/// How often every address knocks.
#[derive(Default)]
pub struct Knocks(Mutex<HashMap<IpAddr, Allowance>>);

impl Knocks {
    /// Whether another join from this address is one too many. This very machine may knock as it
    /// likes: everybody comes from here when a proxy stands before us, and it has limits of its own.
    pub fn admit(&self, from: IpAddr, now: Instant) -> bool {
        let from = network(from.to_canonical());
        if from.is_loopback() {
            return true;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= ADDRESSES && !known.contains_key(&from) {
            known.retain(|_, allowance| !allowance.full(now));
        }
        if known.len() >= ADDRESSES && !known.contains_key(&from) {
            return false;
        }
        let allowance = known.entry(from);
        allowance
            .or_insert_with(|| Allowance::new(JOINS, now))
            .take(now)
    }
}

/// Whoever has one IPv6 address has 2^64 of them.
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) if !address.is_loopback() => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_belongs_to_the_first_for_a_day() {
        let openings = Openings::default();
        let (tea, start) = (RoomName::new("tea").unwrap(), Instant::now());
        assert!(openings.first(&tea, start));
        assert!(!openings.first(&tea, start + KEPT / 2));
        assert!(openings.first(&RoomName::new("cake").unwrap(), start));
        assert!(openings.first(&tea, start + KEPT));
    }

    #[test]
    fn floods_from_one_address_keep_nobody_else_out() {
        let (knocks, now) = (Knocks::default(), Instant::now());
        let admitted = |text: &str, now| knocks.admit(text.parse().unwrap(), now);
        let passed = (0..500).filter(|_| admitted("192.0.2.1", now)).count();
        assert_eq!(passed, JOINS.burst as usize);
        assert!(admitted("192.0.2.2", now));
        assert!((0..500).all(|_| admitted("127.0.0.1", now)));
        assert!((0..500).all(|_| admitted("::1", now)));
        let neighbours = (0..500).filter(|n| admitted(&format!("2001:db8::{n:x}"), now));
        assert_eq!(neighbours.count(), JOINS.burst as usize);
        assert!(admitted("192.0.2.1", now + Duration::from_secs(1)));
    }
}
