//! The WebSocket: how sessions are carried wherever one can be had.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message as Frame, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{ConnectInfo, Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite;

use crate::room::talk::{Refusal, refuse};
use crate::server::App;
use crate::server::api::Problem;
use crate::server::door;
use crate::server::line::{Closing, Heard, Line, Over, SEND_PATIENCE};
use crate::server::seats::Way;
use crate::server::session::{HARD_LIMIT, Session};
use crate::signalling::ErrorCode;

/// How long a client that is in the middle of sending too much has to read that it is.
const LINGER: Duration = Duration::from_millis(500);
/// What is read from the socket at once. Commands are short, and each of thousands of sockets has
/// such a buffer.
const READ_BUFFER: usize = 16 * 1024;

/// `GET /api/rooms/{room}/ws`
pub async fn upgrade(
    State(app): State<App>,
    Path(room): Path<String>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    socket: WebSocketUpgrade,
) -> Result<Response, Problem> {
    let room = door::knock(&app, &room, from, &headers)?;
    let socket = socket
        .read_buffer_size(READ_BUFFER)
        .max_message_size(HARD_LIMIT)
        .max_frame_size(HARD_LIMIT);
    let session = move |socket| {
        let line = WebSocketLine {
            socket,
            garbled: false,
        };
        Session::new(app, room, line).run()
    };
    Ok(socket.on_upgrade(session).into_response())
}

struct WebSocketLine {
    socket: WebSocket,
    /// The rest of what is being sent is never read.
    garbled: bool,
}

impl WebSocketLine {
    async fn push(&mut self, frame: Frame) -> Result<(), Over> {
        match timeout(SEND_PATIENCE, self.socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Over),
        }
    }

    /// What came is no frame of a WebSocket, or a larger one than is ever read.
    fn unreadable(&mut self, error: axum::Error) -> Heard {
        let error = error.into_inner();
        let code = match error.downcast_ref::<tungstenite::Error>() {
            Some(tungstenite::Error::Capacity(_)) => ErrorCode::TooLarge,
            Some(tungstenite::Error::Protocol(_) | tungstenite::Error::Utf8(_)) => {
                ErrorCode::BadMessage
            }
            // The connection is gone.
            _ => return Heard::Gone,
        };
        self.garbled = true;
        let text = error.to_string();
        Heard::Garbled(Refusal { code, text })
    }
}

impl Line for WebSocketLine {
    const WAY: Way = Way::WebSocket;

    async fn hear(&mut self) -> Heard {
        match self.socket.recv().await {
            Some(Ok(Frame::Text(text))) => Heard::Text(text.as_str().to_owned()),
            Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => Heard::Alive,
            Some(Ok(Frame::Binary(_))) => {
                let text = "binary frames are not used here";
                Heard::Odd(refuse(ErrorCode::BadMessage, text))
            }
            Some(Ok(Frame::Close(_))) | None => Heard::Gone,
            Some(Err(error)) => self.unreadable(error),
        }
    }

    async fn say(&mut self, text: String) -> Result<(), Over> {
        self.push(Frame::Text(text.into())).await
    }

    async fn ping(&mut self) -> Result<(), Over> {
        self.push(Frame::Ping(Default::default())).await
    }

    async fn close(&mut self, why: Closing) {
        let (code, reason) = match why {
            Closing::Left => (close_code::NORMAL, "left"),
            Closing::Resumed => (close_code::NORMAL, "resumed elsewhere"),
            Closing::Away => (close_code::AWAY, "bye"),
            Closing::Refused => (close_code::POLICY, "refused"),
        };
        let reason = reason.into();
        // A client that does not take it is gone already.
        let _: Result<(), Over> = self
            .push(Frame::Close(Some(CloseFrame { code, reason })))
            .await;
        if self.garbled {
            // What is left of it makes the end a reset, which may overtake the refusal.
            sleep(LINGER).await;
        }
    }
}
