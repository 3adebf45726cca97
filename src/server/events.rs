//! Sessions without a WebSocket, for those whose proxy refuses the upgrade: commands come by POST,
//! messages go as server-sent events (HTML Living Standard, section 9.2). They are the same as on
//! the socket, and so are their limits: all that is here is a [`Line`].
//!
//! The client opens a session, which has an address that nobody can guess; follows its events, each
//! with a number, so that a stream that broke is gone on with where it ended; and posts commands,
//! one a line. An event named `ping` wants any command for an answer; one named `end` is the last.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::id::RoomName;
use crate::room::talk::refuse;
use crate::server::api::{Problem, room_name};
use crate::server::line::{Closing, Heard, Line, Over, SEND_PATIENCE};
use crate::server::outbox::{Item, Outbox};
use crate::server::seats::Way;
use crate::server::session::Session;
use crate::server::{App, door, security};
use crate::signalling::ErrorCode;

/// How long nobody may follow a session's events. The client comes back after [`AGAIN`] if its
/// stream breaks, and says so when it leaves.
const ALONE: Duration = Duration::from_secs(5);
/// When a client whose stream broke tries again.
const AGAIN: Duration = Duration::from_millis(300);
/// Commands that wait while one is carried out. A client that sends more waits.
const COMMANDS: usize = 32;
/// Sessions at the same time: as many as have a connection for their events (see
/// [`listen`](super::listen)), and then a few that have not yet.
const MAX_LINES: usize = 4096;

/// All sessions that are carried by requests, by the secret in their address.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<HashMap<u128, Handle>>>);

/// How requests reach a session.
#[derive(Clone)]
struct Handle {
    room: RoomName,
    commands: mpsc::Sender<Heard>,
    state: watch::Sender<Out>,
}

/// What session and event stream share.
#[derive(Default)]
struct Out {
    outbox: Outbox,
    /// Which stream may send: the last one that came.
    stream: u64,
    /// Since when there has been none.
    alone: Option<Instant>,
}

impl Lines {
    fn open(&self, room: RoomName) -> Option<(u128, RequestLine)> {
        let mut lines = self.lock();
        if lines.len() >= MAX_LINES {
            return None;
        }
        // From a generator made for secrets; 128 bits are as good as a session's key.
        let secret: u128 = rand::random();
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let state = watch::Sender::new(Out {
            alone: Some(Instant::now()),
            ..Out::default()
        });
        let watched = state.subscribe();
        let handle = Handle {
            room,
            commands,
            state: state.clone(),
        };
        lines.insert(secret, handle);
        let line = RequestLine {
            secret,
            lines: self.clone(),
            inbox,
            state,
            watched,
        };
        Some((secret, line))
    }

    fn find(&self, room: &str, secret: &str) -> Result<Handle, Problem> {
        let room = room_name(room)?;
        let secret = u128::from_str_radix(secret, 16).ok();
        let found = secret.and_then(|secret| self.lock().get(&secret).cloned());
        found
            .filter(|handle| handle.room == room)
            .ok_or_else(|| Problem::not_found("there is no such session"))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u128, Handle>> {
        // The list is whole after every statement that changes it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `POST /api/rooms/{room}/sessions`
pub async fn open(
    State(app): State<App>,
    Path(room): Path<String>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let room = door::knock(&app, &room, from, &headers)?;
    let Some((secret, line)) = app.lines.open(room.clone()) else {
        let detail = "there are too many sessions".to_owned();
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
    };
    tokio::spawn(Session::new(app, room.clone(), line).run());
    let session = format!("/api/rooms/{room}/sessions/{secret:032x}");
    let body = Json(serde_json::json!({ "session": session }));
    Ok((StatusCode::CREATED, [(header::LOCATION, session)], body).into_response())
}

/// `GET /api/rooms/{room}/sessions/{session}/events`
pub async fn events(
    State(app): State<App>,
    Path((room, secret)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let handle = allowed(&app, &room, &secret, &headers)?;
    let seen = headers.get("last-event-id").map(|id| {
        let id = id.to_str().ok().and_then(|id| id.parse().ok());
        id.ok_or_else(|| Problem::bad_request("Last-Event-ID: a number".into()))
    });
    let seen: u64 = seen.transpose()?.unwrap_or(0);
    let mut mine = None;
    handle.state.send_if_modified(|out| {
        if out.outbox.can_follow(seen) {
            out.stream += 1;
            out.alone = None;
            mine = Some(out.stream);
        }
        mine.is_some()
    });
    let Some(mine) = mine else {
        let detail = "what followed is kept no more; open another session and resume".to_owned();
        return Err(Problem::new(StatusCode::GONE, detail));
    };
    let stream = Stream {
        watched: handle.state.subscribe(),
        state: handle.state,
        mine,
        seen,
    };
    let first = Ok(Event::default().retry(AGAIN).comment("here you are"));
    let events = stream::unfold(Some(stream), |stream| async {
        let mut stream = stream?;
        let (event, last) = stream.next().await?;
        Some((Ok::<_, Infallible>(event), (!last).then_some(stream)))
    });
    let events = stream::StreamExt::chain(stream::iter([first]), events);
    // Proxies must pass every event on as it comes.
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((unbuffered, Sse::new(events)).into_response())
}

/// `POST /api/rooms/{room}/sessions/{session}/messages`
pub async fn messages(
    State(app): State<App>,
    Path((room, secret)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Problem> {
    let handle = allowed(&app, &room, &secret, &headers)?;
    let text = match body.as_deref().map(str::from_utf8) {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err((
            StatusCode::BAD_REQUEST,
            ErrorCode::BadMessage,
            error.to_string(),
        )),
        Err(rejection) => Err((
            StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::TooLarge,
            rejection.body_text(),
        )),
    };
    match text {
        Ok(text) => {
            for command in text.split_terminator('\n') {
                handle.tell(Heard::Text(command.to_owned())).await?;
            }
            Ok(StatusCode::ACCEPTED)
        }
        Err((status, code, detail)) => {
            handle.tell(Heard::Garbled(refuse(code, &detail))).await?;
            Err(Problem::new(status, detail))
        }
    }
}

/// `DELETE /api/rooms/{room}/sessions/{session}`
pub async fn close(
    State(app): State<App>,
    Path((room, secret)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let handle = allowed(&app, &room, &secret, &headers)?;
    handle.tell(Heard::Gone).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn allowed(app: &App, room: &str, secret: &str, headers: &HeaderMap) -> Result<Handle, Problem> {
    let handle = app.lines.find(room, secret)?;
    if !security::origin_allowed(headers) {
        let detail = "pages of other sites may not".to_owned();
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(handle)
}

impl Handle {
    async fn tell(&self, heard: Heard) -> Result<(), Problem> {
        let ended = |_| Problem::not_found("the session has ended");
        self.commands.send(heard).await.map_err(ended)
    }
}

/// One client's events, as long as they follow them.
struct Stream {
    state: watch::Sender<Out>,
    watched: watch::Receiver<Out>,
    mine: u64,
    /// The number of the last event sent.
    seen: u64,
}

impl Stream {
    /// The next event, and whether it is the last. None if another stream has taken over.
    async fn next(&mut self) -> Option<(Event, bool)> {
        let (seen, mine) = (self.seen, self.mine);
        let ready = |out: &Out| out.stream != mine || out.outbox.has_after(seen);
        // We hold a sender ourselves, so this only ends when there is something.
        self.watched.wait_for(ready).await.ok()?;
        let mut item = None;
        self.state.send_if_modified(|out| {
            if out.stream == mine {
                item = out.outbox.after(seen);
            }
            item.is_some()
        });
        let (number, item) = item?;
        self.seen = number;
        let event = Event::default().id(number.to_string());
        Some(match item {
            Item::Text(text) => (event.data(text), false),
            Item::Ping => (event.event("ping").data(""), false),
            Item::End => (event.event("end").data(""), true),
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mine = self.mine;
        self.state.send_if_modified(|out| {
            let current = out.stream == mine;
            if current {
                out.alone = Some(Instant::now());
            }
            current
        });
    }
}

/// A session's side.
struct RequestLine {
    secret: u128,
    lines: Lines,
    inbox: mpsc::Receiver<Heard>,
    state: watch::Sender<Out>,
    watched: watch::Receiver<Out>,
}

impl Drop for RequestLine {
    fn drop(&mut self) {
        self.lines.lock().remove(&self.secret);
        // Whoever still follows is to stop.
        self.state.send_modify(|out| out.outbox.push(Item::End));
    }
}

impl Line for RequestLine {
    const WAY: Way = Way::Http;

    async fn hear(&mut self) -> Heard {
        loop {
            let alone = self.watched.borrow_and_update().alone;
            let alone = async {
                match alone {
                    Some(since) => sleep_until(since + ALONE).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                heard = self.inbox.recv() => return heard.unwrap_or(Heard::Gone),
                // Somebody follows, or does no longer. We hold a sender, so it is no end.
                _ = self.watched.changed() => {}
                () = alone => return Heard::Gone,
            }
        }
    }

    async fn say(&mut self, text: String) -> Result<(), Over> {
        let room = self.watched.wait_for(|out| out.outbox.has_room());
        match timeout(SEND_PATIENCE, room).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return Err(Over),
        }
        self.state
            .send_modify(|out| out.outbox.push(Item::Text(text)));
        Ok(())
    }

    async fn ping(&mut self) -> Result<(), Over> {
        // To nobody there is nothing to say, and there are better ways to notice.
        self.state.send_if_modified(|out| {
            let followed = out.alone.is_none();
            if followed {
                out.outbox.push(Item::Ping);
            }
            followed
        });
        Ok(())
    }

    async fn close(&mut self, _: Closing) {
        // Dropping it says so, after what was said.
    }
}
