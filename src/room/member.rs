//! Somebody's place in a room, as a session (WebSocket, and later others) holds it.
//! Dropping it is leaving, however the session ended.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::id::ParticipantId;
use crate::media::VideoCodec;
use crate::peer::{self, Engine, Options, Peer, Said};
use crate::room::actor::Command;
use crate::room::event::View;
use crate::room::talk::{Refusal, Say, refuse};
use crate::room::uplink::Uplink;
use crate::signalling::{ErrorCode, Person};

/// A place in a room.
pub struct Member {
    id: ParticipantId,
    room: mpsc::Sender<Command>,
    engine: Arc<Engine>,
    /// The codec that all get, whatever they prefer.
    only: Option<VideoCodec>,
    uplink: Option<Arc<Uplink>>,
    peer: Option<Peer>,
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

fn ended() -> Refusal {
    refuse(ErrorCode::Unavailable, "the room has ended")
}

impl Drop for Member {
    fn drop(&mut self) {
        let (room, id, peer) = (self.room.clone(), self.id, self.peer.take());
        let present = self.present.clone();
        // A full inbox must not lose a leave, and a drop cannot wait.
        tokio::spawn(async move {
            let _ = room.send(Command::Leave(id)).await;
            if let Some(peer) = peer {
                peer.close().await;
            }
            drop(present);
        });
    }
}
