//! The server's side of a meeting without its rooms: the transport and just enough signalling for
//! a [`client`](super::client) to join, connect and leave. What media does is up to the [`Guest`]:
//! tests send it back (`echo`), [`naive`](super::naive) mixes it the other way.

use std::io;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::id::{ParticipantId, RoomName};
use crate::peer::{self, Engine, Peer};
use crate::signalling::{self, AckResult, Answered, Command, ErrorCode, Joined, Message};
use crate::stats::Stats;

/// A request of `/metrics`, as [`metrics`](super::metrics) writes it, begins so.
const METRICS: [u8; 12] = *b"GET /metrics";
/// A request's head is shorter.
const REQUEST: usize = 1024;

/// Somebody who came in, as their media sees it.
pub trait Guest: peer::Uplink {
    /// What they are told once they are in.
    fn greeting(&self) -> Vec<Message>;
    /// Their connection is negotiated.
    fn meet(&self, peer: Peer);
}

/// The door: who comes through it becomes a guest, or is turned away.
pub type Door<G> = Arc<dyn Fn(ParticipantId) -> Option<Arc<G>> + Send + Sync>;

/// Serves until accepting fails. Every socket is another participant, numbered from 1 in the
/// order they join.
pub async fn serve<G: Guest>(
    listener: TcpListener,
    engine: Arc<Engine>,
    stats: Arc<Stats>,
    door: Door<G>,
) -> io::Result<()> {
    let mut next = 0;
    loop {
        let (stream, _) = listener.accept().await?;
        let mut start = [0; METRICS.len()];
        // A client that sends less than this and waits would hold up the others: there are none.
        if stream.peek(&mut start).await.is_ok() && start == METRICS {
            if let Err(error) = answer(stream, stats.render()).await {
                tracing::warn!(%error, "answering /metrics");
            }
            continue;
        }
        next += 1;
        let (engine, door) = (engine.clone(), door.clone());
        tokio::spawn(async move {
            if let Err(error) = converse(stream, ParticipantId(next), &engine, &door).await {
                tracing::warn!("participant {next}: {error:#}");
            }
        });
    }
}

async fn answer(mut stream: TcpStream, metrics: String) -> io::Result<()> {
    // Unread, the request would reset the connection.
    let mut request = [0; REQUEST];
    let _ = stream.read(&mut request).await?;
    let answer = format!("HTTP/1.1 200 OK\r\n\r\n{metrics}");
    stream.write_all(answer.as_bytes()).await
}

async fn converse<G: Guest>(
    stream: TcpStream,
    id: ParticipantId,
    engine: &Arc<Engine>,
    door: &Door<G>,
) -> anyhow::Result<()> {
    let mut socket = tokio_tungstenite::accept_async(stream).await?;
    let (mut guest, mut connection) = (None, None);
    while let Some(Ok(Frame::Text(text))) = socket.next().await {
        let request = signalling::read(&text).map_err(|refused| anyhow::anyhow!(refused.text))?;
        let mut answers = vec![];
        let result = match (request.command, &guest) {
            (Command::Join { .. }, None) => match door(id) {
                Some(came) => {
                    answers = came.greeting();
                    guest = Some(came);
                    Ok(AckResult::Joined(Joined {
                        participant: id,
                        room: RoomName::new("host").expect("a valid name"),
                        people: vec![],
                        ice_servers: vec![],
                        stun_port: 0,
                    }))
                }
                None => Err(ErrorCode::Unavailable),
            },
            (Command::Join { .. }, Some(_)) => Err(ErrorCode::AlreadyJoined),
            (_, None) => Err(ErrorCode::NotJoined),
            (Command::Offer { sdp }, Some(guest)) => {
                let options = peer::Options::default();
                let (peer, sdp) = engine.accept(&sdp, options, guest.clone()).await?;
                guest.meet(peer.clone());
                connection = Some(peer);
                Ok(AckResult::Answered(Answered { sdp }))
            }
            _ => Ok(AckResult::Done {}),
        };
        let id = request.id;
        let first = match result {
            Ok(result) => Message::Ack { id, result },
            Err(code) => Message::Error {
                id: Some(id),
                code,
                text: format!("{code:?}"),
                closes: false,
            },
        };
        answers.insert(0, first);
        for answer in answers {
            let text = serde_json::to_string(&answer)?;
            socket.send(Frame::text(text)).await?;
        }
    }
    if let Some(peer) = connection {
        peer.close().await;
    }
    Ok(())
}
