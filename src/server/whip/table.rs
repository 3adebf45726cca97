//! Every session of WHIP and WHEP, by the secret part of its address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::http::StatusCode;
use tokio::sync::mpsc;

use crate::id::{RoomName, SessionKey};
use crate::peer::Way;
use crate::server::api::Problem;
use crate::server::whip::name;
use crate::server::whip::removed::{Caller, Removed};
use crate::server::whip::session::{Ask, End, Session};
use crate::signalling::ByeReason;
use crate::stats::{Counted, Stats};

/// Sessions at the same time. They hold no connection to the HTTP port, which bounds all others;
/// a machine mixes for fewer.
const SESSIONS: usize = 2048;
/// Requests that wait for a session which is busy with another one.
const WAITING: usize = 4;

/// The sessions.
#[derive(Clone)]
pub struct Sessions {
    list: Arc<Mutex<List>>,
    stats: Arc<Stats>,
}

#[derive(Default)]
struct List {
    sessions: HashMap<SessionKey, Entry>,
    /// Those that are about to come about.
    places: usize,
    removed: Removed,
}

/// How a session is reached, and by whom.
#[derive(Clone)]
pub struct Entry {
    /// What it is for.
    pub way: Way,
    /// Where it is.
    pub room: RoomName,
    /// What it was opened with.
    pub token: Option<String>,
    /// Its inbox.
    pub asks: mpsc::Sender<Ask>,
}

/// Room for one more.
pub struct Place(Sessions);

impl Sessions {
    /// None yet.
    pub fn new(stats: Arc<Stats>) -> Self {
        Self {
            list: Arc::default(),
            stats,
        }
    }

    /// Room for one more, until it is dropped.
    pub fn place(&self) -> Result<Place, Problem> {
        let mut list = self.lock();
        if list.sessions.len() + list.places >= SESSIONS {
            let detail = "too many come in over HTTP already".to_owned();
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
        }
        list.places += 1;
        Ok(Place(self.clone()))
    }

    /// Whether a host has removed them lately.
    pub fn removed(&self, caller: &Caller) -> bool {
        self.lock().removed.has(caller, Instant::now())
    }

    /// The session of an address.
    pub fn find(&self, way: Way, room: &RoomName, key: &SessionKey) -> Option<Entry> {
        let entry = self.lock().sessions.get(key).cloned();
        entry.filter(|entry| entry.way == way && entry.room == *room)
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        // The list is whole after every statement that changes it.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Lists a session, which runs until it ends by itself, under a name that nobody can guess.
    pub fn take(
        self,
        way: Way,
        caller: Caller,
        token: Option<&str>,
        session: Session,
    ) -> SessionKey {
        let key = format!("{:032x}", rand::random::<u128>());
        let key = SessionKey::new(&key).expect("letters and digits");
        let (asks, inbox) = mpsc::channel(WAITING);
        let entry = Entry {
            way,
            room: caller.room().clone(),
            token: token.map(str::to_owned),
            asks,
        };
        self.0.lock().sessions.insert(key.clone(), entry);
        let listed = Listed {
            key: key.clone(),
            caller,
            sessions: self.0.clone(),
            _counted: Counted::new(self.0.stats.http_sessions(name(way))),
        };
        tokio::spawn(session.run(inbox, listed));
        key
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.lock().places -= 1;
    }
}

/// Takes a session off the list with its end.
pub struct Listed {
    key: SessionKey,
    caller: Caller,
    sessions: Sessions,
    _counted: Counted,
}

impl Listed {
    /// Its session has ended.
    pub fn end(self, why: &End) {
        let room = self.caller.room();
        tracing::info!(%room, ?why, "a session over HTTP has ended");
        if matches!(why, End::Bye(ByeReason::Removed)) {
            let mut list = self.sessions.lock();
            list.removed.add(self.caller.clone(), Instant::now());
        }
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.sessions.lock().sessions.remove(&self.key);
    }
}
