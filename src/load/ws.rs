//! The signalling client: one WebSocket, the messages of [`crate::signalling`].

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::id::RoomName;
use crate::signalling::{AckResult, Command, ErrorCode, Message, Request};

/// A server that takes longer to answer is broken.
const ANSWER_TIME_OUT: Duration = Duration::from_secs(10);
/// Commands that wait to be written; a client sends a handful in its life.
const COMMANDS: usize = 8;
/// Notices that wait to be read. One that does not fit is dropped with a warning: a full house
/// of people lists is better lost than in the way of an acknowledgement.
const NOTICES: usize = 64;

/// What can go wrong between a command and its answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not `http://host[:port]`.
    #[error("{0} is not an http:// address of a Quilt server")]
    Url(String),
    /// No connection, or not a WebSocket.
    #[error("connecting to {url}: {source}")]
    Connect {
        /// Where.
        url: String,
        /// Why not.
        source: Box<tokio_tungstenite::tungstenite::Error>,
    },
    /// The server said no.
    #[error("the server refused {command}: {text}")]
    Refused {
        /// Which command.
        command: &'static str,
        /// For programs.
        code: ErrorCode,
        /// In the server's words.
        text: String,
    },
    /// The socket ended before the answer.
    #[error("the connection ended before {command} was answered")]
    Ended {
        /// Which command.
        command: &'static str,
    },
    /// No answer in time.
    #[error("{command} was not answered within {ANSWER_TIME_OUT:?}")]
    Late {
        /// Which command.
        command: &'static str,
    },
    /// An acknowledgement of another command's kind.
    #[error("the answer to {command} is not what it should yield")]
    Unexpected {
        /// Which command.
        command: &'static str,
    },
}

/// One client's signalling connection. It ends when this is dropped.
#[derive(Debug)]
pub struct Session {
    local_ip: IpAddr,
    commands: mpsc::Sender<(Command, Answer)>,
}

type Answer = oneshot::Sender<Result<AckResult, (ErrorCode, String)>>;
type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Session {
    /// Connects to the room's socket of the server at `url` (`http://host:port`). The receiver
    /// yields the notices, and ends with the connection.
    pub async fn connect(
        url: &str,
        room: &RoomName,
    ) -> Result<(Self, mpsc::Receiver<Message>), Error> {
        let address = url
            .strip_prefix("http://")
            .filter(|address| !address.is_empty())
            .ok_or_else(|| Error::Url(url.into()))?;
        let url = format!("ws://{}/api/rooms/{room}/ws", address.trim_end_matches('/'));
        let (socket, _) = tokio_tungstenite::connect_async(&url)
            .await
            .map_err(|source| Error::Connect {
                url,
                source: Box::new(source),
            })?;
        let local_ip = match socket.get_ref() {
            MaybeTlsStream::Plain(stream) => stream.local_addr().map(|address| address.ip()),
            _ => Ok(Ipv4Addr::UNSPECIFIED.into()),
        };
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (outbox, notices) = mpsc::channel(NOTICES);
        tokio::spawn(converse(socket, inbox, outbox));
        let session = Self {
            local_ip: local_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
            commands,
        };
        Ok((session, notices))
    }

    /// The address of this machine from which the server is reached.
    pub fn local_ip(&self) -> IpAddr {
        self.local_ip
    }

    /// Sends a command and waits for its answer.
    pub async fn request(&self, command: Command) -> Result<AckResult, Error> {
        let name = name(&command);
        let ended = Error::Ended { command: name };
        let (answer, answered) = oneshot::channel();
        if self.commands.send((command, answer)).await.is_err() {
            return Err(ended);
        }
        match tokio::time::timeout(ANSWER_TIME_OUT, answered).await {
            Err(_) => Err(Error::Late { command: name }),
            Ok(Err(_)) => Err(ended),
            Ok(Ok(Ok(result))) => Ok(result),
            Ok(Ok(Err((code, text)))) => Err(Error::Refused {
                command: name,
                code,
                text,
            }),
        }
    }
}

fn name(command: &Command) -> &'static str {
    match command {
        Command::Join { .. } => "join",
        Command::Resume { .. } => "resume",
        Command::Offer { .. } => "offer",
        Command::Candidate { .. } => "candidate",
        Command::Media { .. } => "media",
        Command::Chat { .. } => "chat",
        Command::File { .. } => "file",
        Command::React { .. } => "react",
        Command::Hand { .. } => "hand",
        Command::Moderate { .. } => "moderate",
        Command::Volume { .. } => "volume",
        Command::Configure { .. } => "configure",
        Command::Ping {} => "ping",
        Command::View { .. } => "view",
        Command::Quality { .. } => "quality",
        Command::Share { .. } => "share",
        Command::Take { .. } => "take",
        Command::Sizes { .. } => "sizes",
        Command::Drop { .. } => "drop",
        Command::Relay { .. } => "relay",
        Command::Record { .. } => "record",
        Command::Leave {} => "leave",
    }
}

/// Owns the socket until either side ends.
async fn converse(
    mut socket: Socket,
    mut commands: mpsc::Receiver<(Command, Answer)>,
    notices: mpsc::Sender<Message>,
) {
    let mut waiting: HashMap<u32, Answer> = HashMap::new();
    let mut id = 0;
    loop {
        tokio::select! {
            command = commands.recv() => {
                let Some((command, answer)) = command else { break };
                id += 1;
                waiting.insert(id, answer);
                let text = serde_json::to_string(&Request { id, command })
                    .expect("commands have string keys only");
                if socket.send(Frame::text(text)).await.is_err() {
                    break;
                }
            }
            frame = socket.next() => match frame {
                // Pings are answered by the library as soon as it reads on.
                Some(Ok(Frame::Text(text))) => match serde_json::from_str(&text) {
                    Ok(message) => deliver(message, &mut waiting, &notices),
                    Err(error) => tracing::warn!(%error, "a message of the server cannot be read"),
                },
                Some(Ok(Frame::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            }
        }
    }
    // The peer may be gone already.
    let _ = socket.close(None).await;
}

fn deliver(message: Message, waiting: &mut HashMap<u32, Answer>, notices: &mpsc::Sender<Message>) {
    let (id, answer) = match message {
        Message::Ack { id, result } => (id, Ok(result)),
        Message::Error {
            id: Some(id),
            code,
            text,
            ..
        } => (id, Err((code, text))),
        notice => {
            // One that is closed belongs to a client that is leaving.
            if let Err(TrySendError::Full(_)) = notices.try_send(notice) {
                tracing::warn!("a notice of the server was not taken in time");
            }
            return;
        }
    };
    if let Some(waits) = waiting.remove(&id) {
        // Whoever waited may have given up.
        let _ = waits.send(answer);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::signalling::{self, Answered};

    /// A server that answers each frame with what `reply` says.
    async fn server(reply: impl Fn(Request) -> Vec<Message> + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            while let Some(Ok(Frame::Text(text))) = socket.next().await {
                for message in reply(signalling::read(&text).unwrap()) {
                    let text = serde_json::to_string(&message).unwrap();
                    socket.send(Frame::text(text)).await.unwrap();
                }
            }
        });
        url
    }

    #[tokio::test]
    async fn answers_find_their_commands_and_notices_pass() {
        let url = server(|request| {
            let notice = Message::Speaking { speaking: vec![] };
            let answer = match request.command {
                Command::Offer { sdp } => Message::Ack {
                    id: request.id,
                    result: AckResult::Answered(Answered { sdp }),
                },
                _ => Message::Error {
                    id: Some(request.id),
                    code: ErrorCode::NotJoined,
                    text: "join first".into(),
                    closes: false,
                },
            };
            vec![notice, answer]
        })
        .await;
        let room = RoomName::new("r").unwrap();
        let (session, mut notices) = Session::connect(&url, &room).await.unwrap();
        let offer = Command::Offer { sdp: "v=0".into() };
        let media = Command::Media {
            audio: true,
            video: true,
        };
        let (offered, refused) = tokio::join!(session.request(offer), session.request(media));
        let sdp = "v=0".into();
        assert_eq!(offered.unwrap(), AckResult::Answered(Answered { sdp }));
        let refused = refused.unwrap_err().to_string();
        assert_eq!(refused, "the server refused media: join first");
        assert!(matches!(
            notices.recv().await,
            Some(Message::Speaking { .. })
        ));
    }

    #[tokio::test]
    async fn a_socket_that_ends_fails_the_command() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            socket.next().await;
        });
        let room = RoomName::new("r").unwrap();
        let (session, _notices) = Session::connect(&url, &room).await.unwrap();
        let left = session.request(Command::Leave {}).await;
        assert!(matches!(left, Err(Error::Ended { command: "leave" })));
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_named() {
        let room = RoomName::new("r").unwrap();
        let error = Session::connect("quilt.example", &room).await.unwrap_err();
        assert!(error.to_string().starts_with("quilt.example is not"));
    }
}
