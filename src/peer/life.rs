//! The life of a connection: the task that owns it until it ends, however that comes about.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};
use webrtc::data_channel::DataChannel;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionEventHandler, RTCIceGatheringState, RTCPeerConnectionState,
};

use super::link::Link;
use super::{Error, State, channel};
use crate::clock;
use crate::media::Layer;

/// A connection that has not come about by then never will: the other side has left, or nothing
/// of ours reaches it.
const JOIN: Duration = Duration::from_secs(15);
/// Opening sockets takes no time; this is for a machine that swaps.
const GATHERING: Duration = Duration::from_secs(2);

/// News from the library, which calls on its driver's task.
pub(super) struct Events {
    link: Arc<Link>,
    state: watch::Sender<RTCPeerConnectionState>,
    gathered: watch::Sender<bool>,
}

/// Where the news arrive.
pub(super) struct Watched {
    /// The connection's state.
    pub state: watch::Receiver<RTCPeerConnectionState>,
    /// Whether the agent knows its local candidates.
    pub gathered: watch::Receiver<bool>,
}

impl Events {
    /// Both ends.
    pub fn new(link: Arc<Link>) -> (Arc<Self>, Watched) {
        let (state, state_watched) = watch::channel(RTCPeerConnectionState::New);
        let (gathered, gathered_watched) = watch::channel(false);
        let watched = Watched {
            state: state_watched,
            gathered: gathered_watched,
        };
        let events = Self {
            link,
            state,
            gathered,
        };
        (Arc::new(events), watched)
    }
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Events {
    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        self.state.send_replace(state);
    }

    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        if state == RTCIceGatheringState::Complete {
            self.gathered.send_replace(true);
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        channel::opened(&self.link, channel);
    }
}

impl Watched {
    /// Waits until the agent knows its candidates; until then it would drop a client's checks.
    pub async fn gathered(&mut self) -> Result<(), Error> {
        let gathered = self.gathered.wait_for(|gathered| *gathered);
        match tokio::time::timeout(GATHERING, gathered).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Error::Closed),
            Err(late) => Err(Error::at("gather candidates")(late)),
        }
    }
}

/// What a connection's task is told.
pub(super) enum Command<T> {
    /// To negotiate.
    Negotiate(T),
    /// To end, and to say when it has.
    Close(oneshot::Sender<()>),
}

/// How a connection goes on after a negotiation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// As before.
    GoOn,
    /// As before; if it is in trouble, this may be the cure, so it gets time to work.
    Mend,
    /// Not at all.
    End,
}

/// The part that differs between server and client.
#[async_trait::async_trait]
pub(super) trait Negotiator: Send {
    /// What it is told.
    type Command: Send;
    /// Does it, and answers whoever asked.
    async fn negotiate(&mut self, command: Self::Command) -> Next;
}

/// Owns a connection; ends with it, and frees everything first. A connection in trouble may come
/// back within `patience`, or restart ICE.
pub(super) async fn live<N: Negotiator>(
    link: Arc<Link>,
    connection: Arc<dyn PeerConnection>,
    mut state: watch::Receiver<RTCPeerConnectionState>,
    mut inbox: mpsc::Receiver<Command<N::Command>>,
    mut negotiator: N,
    patience: Duration,
) {
    let mut reported = None;
    let mut report = |state| {
        if reported.replace(state) != Some(state) {
            link.uplink.state(state);
        }
    };
    let mut begun = false;
    let mut end = State::Closed;
    let mut deadline = Some(Instant::now() + JOIN);
    let closing = loop {
        let expired = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            command = inbox.recv() => match command {
                Some(Command::Negotiate(command)) => match negotiator.negotiate(command).await {
                    Next::End => break None,
                    Next::Mend if begun => deadline = deadline.map(|_| Instant::now() + JOIN),
                    Next::Mend | Next::GoOn => begun = true,
                },
                Some(Command::Close(reply)) => break Some(reply),
                // Nobody can reach this connection any more.
                None => break None,
            },
            changed = state.changed() => {
                if changed.is_err() {
                    break None;
                }
                match *state.borrow_and_update() {
                    RTCPeerConnectionState::Connected => {
                        deadline = None;
                        // Whatever was sent while there was no path is lost.
                        if !link.set_connected(true) {
                            link.request_keyframe(clock::now(), Layer::Whole);
                        }
                        report(State::Connected);
                    }
                    // ICE restarts: there is no path until a new one is found.
                    RTCPeerConnectionState::Connecting if link.is_connected() => {
                        link.set_connected(false);
                        deadline = Some(Instant::now() + JOIN);
                    }
                    RTCPeerConnectionState::Disconnected => {
                        deadline = Some(Instant::now() + patience);
                        report(State::Disconnected);
                    }
                    RTCPeerConnectionState::Failed | RTCPeerConnectionState::Closed => break None,
                    _ => {}
                }
            }
            () = link.wire.ended() => break None,
            () = link.wire.flooded() => {
                end = State::CutOff;
                break None;
            }
            () = expired => break None,
        }
    };
    link.close();
    // Its errors are about what is already closed.
    let _ = connection.close().await;
    // The port's tables are freed before anybody is told.
    drop(negotiator);
    drop(connection);
    if begun {
        report(end);
    }
    if let Some(closed) = closing {
        let _ = closed.send(());
    }
}
