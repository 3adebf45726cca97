//! Somebody's place in a room, as a session (WebSocket, and later others) holds it.
//! Dropping it is leaving, however the session ended.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::id::ParticipantId;
use crate::media::VideoCodec;
use crate::peer::{self, Engine, OneWay, Options, Peer, Said, Way};
use crate::room::actor::Command;
use crate::room::event::View;
use crate::room::forward::{News, Taker};
use crate::room::talk::{Refusal, Say, refuse};
use crate::room::uplink::Uplink;
use crate::signalling::{ErrorCode, Person, Signal};

/// A place in a room.
pub struct Member {
    id: ParticipantId,
    room: mpsc::Sender<Command>,
    engine: Arc<Engine>,
    /// The codec that all get, whatever they prefer.
    only: Option<VideoCodec>,
    uplink: Option<Arc<Uplink>>,
    peer: Option<Peer>,
    /// What is taken of others as it is, each by a connection of its own.
    taken: HashMap<ParticipantId, (Peer, Arc<Taker>)>,
    present: watch::Receiver<()>,
}

impl Member {
    pub(super) fn new(
        id: ParticipantId,
        room: mpsc::Sender<Command>,
        engine: Arc<Engine>,
        only: Option<VideoCodec>,
        present: watch::Receiver<()>,
    ) -> Self {
        Self {
            id,
            room,
            engine,
            only,
            uplink: None,
            peer: None,
            taken: HashMap::new(),
            present,
        }
    }

    pub(super) fn admitted(&mut self, uplink: Arc<Uplink>) {
        self.uplink = Some(uplink);
    }

    /// Who this is.
    pub fn id(&self) -> ParticipantId {
        self.id
    }

    /// Answers an SDP offer: the first one connects with these options, later ones renegotiate or
    /// restart ICE.
    pub async fn offer(&mut self, sdp: &str, options: Options) -> Result<String, peer::Error> {
        if let Some(peer) = &self.peer {
            let answer = peer.renegotiate(sdp).await?;
            let _ = self.room.send(Command::Renegotiated(self.id)).await;
            return Ok(answer);
        }
        let uplink = self
            .uplink
            .clone()
            .expect("a member is handed out only once admitted");
        let options = Options {
            prefer: self.only.or(options.prefer),
            ..options
        };
        let (peer, answer) = self.engine.accept(sdp, options, uplink).await?;
        self.peer = Some(peer.clone());
        let _ = self.room.send(Command::Connect(self.id, peer)).await;
        Ok(answer)
    }

    /// Answers an SDP offer of a connection by which somebody's uplink comes as it is.
    ///
    /// # Errors
    /// Says what is wrong with the offer, or that there is nothing to take. What was taken of the
    /// same one before is not touched then.
    pub async fn take(&mut self, from: ParticipantId, sdp: &str) -> Result<String, NotTaken> {
        let offer = OneWay::read(sdp, Way::Receives).map_err(peer::Error::from)?;
        let before = self.taken.get(&from).map(|(_, taker)| taker.clone());
        before.iter().for_each(|before| before.replaced());
        let taken = self.take_instead(from, &offer).await;
        match (&taken, &before) {
            (Err(_), Some(before)) => before.stays(),
            (Err(NotTaken::Failed(_)), None) => {
                let _ = self.room.send(Command::Drop { id: self.id, from }).await;
            }
            _ => {}
        }
        taken
    }

    /// Whatever was taken before, which closes by itself.
    async fn take_instead(
        &mut self,
        from: ParticipantId,
        offer: &OneWay,
    ) -> Result<String, NotTaken> {
        let (reply, uplink) = oneshot::channel();
        let id = self.id;
        let _ = self.room.send(Command::Take { id, from, reply }).await;
        let uplink = uplink.await.unwrap_or_else(|_| Err(ended()))?;
        let options = Options {
            prefer: uplink.source().codec(),
            ..Options::default()
        };
        let room = self.room.downgrade();
        let tell = Box::new(move |news| {
            if let Some(room) = room.upgrade() {
                let _ = room.try_send(match news {
                    News::Gone => Command::Drop { id, from },
                    News::Bears(bears) => Command::TakenLine { id, from, bears },
                });
            }
        });
        let traffic = self.uplink.as_ref().map(|own| own.traffic().clone());
        let taker = Taker::new(id, uplink, traffic.unwrap_or_default(), tell);
        let (uplink, sdp) = (taker.clone(), offer.text());
        let (peer, answer) = self.engine.accept(&sdp, options, uplink).await?;
        taker.play(&peer);
        self.taken.insert(from, (peer, taker));
        Ok(answer)
    }

    /// Takes nothing of somebody any more.
    pub async fn drop_taken(&mut self, from: ParticipantId) {
        if let Some((peer, _)) = self.taken.remove(&from) {
            peer.close().await;
        }
        let id = self.id;
        let _ = self.room.send(Command::Drop { id, from }).await;
    }

    /// Tells the room how large those are shown who are taken.
    pub async fn sizes(&self, lines: BTreeMap<ParticipantId, u32>) {
        let _ = self.room.send(Command::Sizes(self.id, lines)).await;
    }

    /// Brings what this client says to somebody's page.
    pub async fn relay(&self, to: ParticipantId, signal: Signal) -> Result<(), Refusal> {
        let (id, (reply, taken)) = (self.id, oneshot::channel());
        let command = Command::Relay {
            id,
            to,
            signal,
            reply,
        };
        let _ = self.room.send(command).await;
        taken.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Waits for what the client says by its data channel.
    pub async fn hear(&self) -> Said {
        match &self.peer {
            Some(peer) => peer.hear().await,
            None => std::future::pending().await,
        }
    }

    /// Tells the client by its data channel; whether that is open, and not behind.
    pub async fn tell(&self, text: &str) -> bool {
        match &self.peer {
            Some(peer) => peer.say(text).await,
            None => false,
        }
    }

    /// Says something in the room, beside the picture.
    pub async fn say(&self, say: Say) -> Result<(), Refusal> {
        let (id, (reply, answer)) = (self.id, oneshot::channel());
        let _ = self.room.send(Command::Say { id, say, reply }).await;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    /// What was told may not have arrived: everything that is not told anew by itself is told once
    /// more. Answers who is in; none if the room is gone.
    pub async fn resumed(&self) -> Option<Vec<Person>> {
        let (reply, people) = oneshot::channel();
        let command = Command::Resumed { id: self.id, reply };
        self.room.send(command).await.ok()?;
        people.await.ok()
    }

    /// Whether this one may moderate.
    pub async fn is_host(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        let _ = self.room.send(Command::IsHost(self.id, reply)).await;
        answer.await.unwrap_or(false)
    }

    /// Tells the room that this client reads no messages: how much video it should send is said in
    /// RTCP.
    pub async fn terse(&self) {
        let _ = self.room.send(Command::Terse(self.id)).await;
    }

    /// Tells the room what this one wishes to see.
    pub async fn view(&self, view: View) {
        let _ = self.room.send(Command::View(self.id, view)).await;
    }

    /// Tells the room how loud, in percent, this one wants to hear somebody.
    pub async fn volume(&self, who: ParticipantId, percent: u16) -> Result<(), Refusal> {
        let (reply, answer) = oneshot::channel();
        let id = self.id;
        let command = Command::Volume {
            id,
            who,
            percent,
            reply,
        };
        let _ = self.room.send(command).await;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    /// Tells the room that the video track carries the screen from now on, or the camera again.
    pub async fn share(&self, on: bool) {
        let _ = self.room.send(Command::Share(self.id, on)).await;
    }

    /// Tells the room that the user muted or unmuted.
    pub async fn mute(&self, audio: bool, video: bool) {
        let id = self.id;
        let _ = self.room.send(Command::Mute { id, audio, video }).await;
    }
}

/// Why nothing could be taken.
#[derive(Debug)]
pub enum NotTaken {
    /// There is nothing.
    Refused(Refusal),
    /// The connection could not be made.
    Failed(peer::Error),
}

impl From<Refusal> for NotTaken {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<peer::Error> for NotTaken {
    fn from(error: peer::Error) -> Self {
        Self::Failed(error)
    }
}

fn ended() -> Refusal {
    refuse(ErrorCode::Unavailable, "the room has ended")
}

impl Drop for Member {
    fn drop(&mut self) {
        let (room, id) = (self.room.clone(), self.id);
        let taken = std::mem::take(&mut self.taken).into_values();
        let taken = taken.map(|(peer, _)| peer);
        let peers: Vec<_> = self.peer.take().into_iter().chain(taken).collect();
        let present = self.present.clone();
        // A full inbox must not lose a leave, and a drop cannot wait.
        tokio::spawn(async move {
            let _ = room.send(Command::Leave(id)).await;
            for peer in peers {
                peer.close().await;
            }
            drop(present);
        });
    }
}
