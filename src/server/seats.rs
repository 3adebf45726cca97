//! Places in rooms, each held by the session of one socket, and how another session gets one.
//!
//! A client whose address changed cannot use its socket any more, and neither side is told: TCP
//! goes on trying for minutes. Its place, with the media connection in it, is worth more than the
//! socket, so whoever brings the key it was joined with gets it from the session that holds it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::id::{ParticipantId, RoomName, SessionKey};
use crate::media::VideoCodec;
use crate::peer::Said;
use crate::room::member::Member;
use crate::signalling::Message;

/// How long a session may take to hand its place over: it may be in the middle of a command, or
/// of a message that its dead socket does not take.
const HANDOVER_PATIENCE: Duration = Duration::from_secs(2);

/// Asks for a place; it is sent back through this.
pub type Claim = oneshot::Sender<Seat>;

/// A place in a room. Dropping it is leaving.
pub struct Seat {
    /// The place itself.
    pub member: Member,
    /// The codec wished for.
    pub prefer: Option<VideoCodec>,
    notices: mpsc::Receiver<Message>,
    claims: mpsc::Receiver<Claim>,
    way: Carried,
    _listed: Option<Listed>,
}

/// By what a session is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Way {
    /// A WebSocket.
    WebSocket,
    /// Requests and an event stream.
    Http,
}

/// Somebody's way, until dropped.
struct Carried {
    id: ParticipantId,
    seats: Seats,
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.seats.lock().ways.remove(&self.id);
    }
}

/// What happens to a place.
pub enum News {
    /// The room says something; none: the room is gone.
    Notice(Option<Message>),
    /// The client says something by its data channel.
    Said(Said),
    /// Another session wants it, and has its key.
    Claimed(Claim),
}

impl Seat {
    /// From now on its session is carried so.
    pub fn carried(&self, way: Way) {
        let Carried { id, seats } = &self.way;
        seats.lock().ways.insert(*id, way);
    }

    /// Waits for what happens next.
    pub async fn next(&mut self) -> News {
        tokio::select! {
            notice = self.notices.recv() => News::Notice(notice),
            said = self.member.hear() => News::Said(said),
            // Its sender is listed as long as this place is, if it has a key.
            Some(claim) = self.claims.recv() => News::Claimed(claim),
        }
    }
}

/// All places.
#[derive(Clone, Default)]
pub struct Seats(Arc<Mutex<List>>);

#[derive(Default)]
struct List {
    /// Of the places that have keys, which are chosen by clients, for all rooms they are in.
    claims: HashMap<(RoomName, SessionKey), mpsc::Sender<Claim>>,
    /// By what everybody's session is carried.
    ways: HashMap<ParticipantId, Way>,
}

/// Takes a place off the list with its end.
struct Listed {
    key: (RoomName, SessionKey),
    claims: mpsc::Sender<Claim>,
    seats: Seats,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut seats = self.seats.lock();
        // Who joined anew with the same key has another place by then.
        if let Some(claims) = seats.claims.get(&self.key)
            && claims.same_channel(&self.claims)
        {
            seats.claims.remove(&self.key);
        }
    }
}

impl Seats {
    /// Somebody's new place, which can be taken along by whoever brings this key.
    pub fn take(
        &self,
        room: RoomName,
        session: Option<SessionKey>,
        member: Member,
        notices: mpsc::Receiver<Message>,
        prefer: Option<VideoCodec>,
    ) -> Seat {
        // One claim at a time: a second one is a client that does not wait for its answer.
        let (sender, claims) = mpsc::channel(1);
        let listed = session.map(|session| {
            let key = (room, session);
            self.lock().claims.insert(key.clone(), sender.clone());
            Listed {
                key,
                claims: sender,
                seats: self.clone(),
            }
        });
        let way = Carried {
            id: member.id(),
            seats: self.clone(),
        };
        Seat {
            member,
            way,
            prefer,
            notices,
            claims,
            _listed: listed,
        }
    }

    /// Gets a place of this room from whoever holds it; none if nobody does.
    pub async fn claim(&self, room: &RoomName, session: SessionKey) -> Option<Seat> {
        let claims = self.lock().claims.get(&(room.clone(), session))?.clone();
        let (claim, seat) = oneshot::channel();
        claims.try_send(claim).ok()?;
        timeout(HANDOVER_PATIENCE, seat).await.ok()?.ok()
    }

    /// By what everybody's session is carried.
    pub fn ways(&self) -> HashMap<ParticipantId, Way> {
        self.lock().ways.clone()
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        // The list is whole after every statement that changes it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
