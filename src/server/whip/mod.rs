//! Ways in and out without our page: WHIP (RFC 9725) for those who send, such as OBS, and WHEP
//! (draft-ietf-wish-whep-03) for those who watch, such as a television.
//!
//! One request makes a place in a room and a connection: `POST` with an offer, answered with the
//! address of a session. What this server decides where the texts leave it open:
//!
//! - Who sends is a participant, on stage and in the list of people, and gets no mix. Who
//!   receives is a viewer, as on the page with `?view=1`, and gets the common mix, with names in
//!   the picture.
//! - A player may come before the meeting: it opens the room as every viewer does. An empty room
//!   with viewers belongs to nobody, so whoever opens the meeting becomes its host all the same.
//! - A session lives as long as its connection: consent (RFC 7675) keeps it alive, and no socket.
//!   When the connection is lost for good, or a host removes them, its address is not found.
//! - Pages of other sites are let in only where a key is set, because only then does a request
//!   have to bring something that its page must have been given. Without a key, being able to
//!   reach this server is all that it takes to join, and any page in a browser here could.

mod cross_origin;
mod precondition;
mod removed;
mod resource;
mod session;
mod table;

use std::net::SocketAddr;
use std::time::Instant;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use serde::Deserialize;

use crate::id::{DisplayName, ParticipantId, RoomName, SessionKey};
use crate::media::{Kind, Quality};
use crate::peer::{OneWay, Way};
use crate::room::event::View;
use crate::room::registry::{Admission, JoinError};
use crate::server::api::{Problem, bearer, room_name};
use crate::server::whip::removed::Caller;
use crate::server::{App, Role};
use crate::signalling::{ErrorCode, IceServer};

pub use cross_origin::rule as cross_origin;
pub use resource::resource;
pub use table::Sessions;

/// Longest body that is read, bytes: what a description may have.
pub const MAX_BODY: usize = 64 * 1024;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
/// What whoever sends is called in the room, for `?without=`.
const PARTICIPANT: HeaderName = HeaderName::from_static("quilt-participant");
/// RFC 5789 and LDP name them; the `http` crate does not.
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

/// `/whip/{room}` or `/whep/{room}`: where sessions are made.
pub fn endpoint(way: Way) -> MethodRouter<App> {
    type Who = ConnectInfo<SocketAddr>;
    let sends = |State(app): State<App>,
                 Path(room): Path<String>,
                 ConnectInfo(from): Who,
                 query: Result<Query<SenderQuery>, QueryRejection>,
                 headers: HeaderMap,
                 body: Result<Bytes, BytesRejection>| async move {
        let query = query.map(|Query(query)| query.into());
        open(&app, Way::Sends, &room, from, query, &headers, body).await
    };
    let receives = |State(app): State<App>,
                    Path(room): Path<String>,
                    ConnectInfo(from): Who,
                    query: Result<Query<PlayerQuery>, QueryRejection>,
                    headers: HeaderMap,
                    body: Result<Bytes, BytesRejection>| async move {
        let query = query.map(|Query(query)| query.into());
        open(&app, Way::Receives, &room, from, query, &headers, body).await
    };
    // For HEAD it is the same: by its type players tell what this address is.
    let look = |Path(room): Path<String>| async move {
        room_name(&room)?;
        Ok::<_, Problem>([(header::CONTENT_TYPE, SDP)])
    };
    let options = |Path(room): Path<String>| async move {
        room_name(&room)?;
        let allow = "GET, HEAD, POST, OPTIONS";
        Ok::<_, Problem>([(header::ALLOW, allow), (ACCEPT_POST, SDP)])
    };
    let routes = get(look).options(options);
    match way {
        Way::Sends => routes.post(sends),
        Way::Receives => routes.post(receives),
    }
}

/// What the address of a WHIP endpoint may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SenderQuery {
    name: Option<DisplayName>,
    /// Who this is across connections.
    session: Option<SessionKey>,
}

/// What the address of a WHEP endpoint may say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlayerQuery {
    /// Whom not to show and not to hear.
    without: Option<ParticipantId>,
    /// The best tier to get.
    #[serde(default)]
    quality: Quality,
}

/// What an endpoint's address says.
#[derive(Default)]
struct Wishes {
    name: Option<DisplayName>,
    session: Option<SessionKey>,
    without: Option<ParticipantId>,
    quality: Quality,
}

impl From<SenderQuery> for Wishes {
    fn from(query: SenderQuery) -> Self {
        Self {
            name: query.name,
            session: query.session,
            ..Self::default()
        }
    }
}

impl From<PlayerQuery> for Wishes {
    fn from(query: PlayerQuery) -> Self {
        Self {
            without: query.without,
            quality: query.quality,
            ..Self::default()
        }
    }
}

/// Makes a place, a connection and the session that holds both.
async fn open(
    app: &App,
    way: Way,
    room: &str,
    from: SocketAddr,
    wishes: Result<Wishes, QueryRejection>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let room = room_name(room)?;
    if !app.knocks.admit(from.ip(), Instant::now()) {
        let detail = "too many joins from this address; wait a moment".to_owned();
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, detail));
    }
    let token = bearer(headers);
    app.authority.join(&room, role(way), token)?;
    let wishes = wishes.map_err(|error| Problem::bad_request(error.body_text()))?;
    if !is_type(headers, SDP) {
        return Ok(unsupported(ACCEPT_POST, SDP));
    }
    let offer = OneWay::read(text(&body)?, way)?;
    let admission = admission(app, way, &room, token, &wishes, &offer)?;
    let caller = Caller::new(room.clone(), from.ip(), admission.name.clone());
    if app.sessions.removed(&caller) && !admission.host {
        let detail = "a host has removed you from this meeting".to_owned();
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let place = app.sessions.place()?;
    let joined = app.rooms.join(&room, admission).await?;
    let mut member = joined.member;
    // It reads no messages.
    member.terse().await;
    if let Some(without) = wishes.without {
        let without = Some(without);
        member
            .view(View {
                without,
                ..View::default()
            })
            .await;
    }
    let answer = member.offer(&offer.text(), session::options()).await?;
    let answer = OneWay::complete(&answer)?;
    let id = member.id();
    let session = session::Session::new(member, joined.notices, offer);
    let tag = session.tag().to_owned();
    let key = place.take(way, caller, token, session);
    tracing::info!(%room, %id, ?way, "came in over HTTP");
    let mut response = (StatusCode::CREATED, answer).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert(ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT));
    let location = format!("/{}/{room}/{}", name(way), String::from(key));
    for (name, value) in [
        (header::LOCATION, location),
        (header::ETAG, tag),
        (PARTICIPANT, id.to_string()),
    ] {
        // All of these are of letters, digits and a few signs.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    for link in app.ice_servers.iter().filter_map(link) {
        headers.append(header::LINK, link);
    }
    Ok(response)
}

/// What they come in as.
fn admission(
    app: &App,
    way: Way,
    room: &RoomName,
    token: Option<&str>,
    wishes: &Wishes,
    offer: &OneWay,
) -> Result<Admission, Problem> {
    if let Some(without) = wishes.without {
        let summary = app.rooms.summary(room).unwrap_or_default();
        if !summary.people.iter().any(|person| person.id == without) {
            let detail = "without: they are not in this room";
            return Err(Problem::not_found(detail));
        }
    }
    let view = way == Way::Receives;
    let name = match (&wishes.name, view) {
        (Some(name), _) => name.clone(),
        (None, true) => DisplayName::new("viewer").expect("a valid name"),
        (None, false) => {
            let detail = "say who sends: add ?name= and a name to the address".to_owned();
            return Err(Problem::bad_request(detail));
        }
    };
    Ok(Admission {
        name,
        view,
        audio: offer.has(Kind::Audio),
        video: offer.has(Kind::Video),
        portrait: false,
        session: wishes.session.clone(),
        host: app.authority.hosts(room, token),
        overlay: false,
        direct: false,
        ticket: None,
        quality: wishes.quality,
    })
}

fn role(way: Way) -> Role {
    match way {
        Way::Sends => Role::Member,
        Way::Receives => Role::Viewer,
    }
}

/// The protocol's name, in addresses and figures.
fn name(way: Way) -> &'static str {
    match way {
        Way::Sends => "whip",
        Way::Receives => "whep",
    }
}

fn is_type(headers: &HeaderMap, wanted: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = value.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case(wanted)
}

fn text(body: &Result<Bytes, BytesRejection>) -> Result<&str, Problem> {
    let body = body
        .as_ref()
        .map_err(|error| Problem::new(error.status(), error.body_text()))?;
    std::str::from_utf8(body).map_err(|_| Problem::bad_request("the body is no text".into()))
}

/// Says which type is wanted.
fn unsupported(accept: HeaderName, wanted: &'static str) -> Response {
    let detail = format!("a body of type {wanted} is needed");
    let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail);
    ([(accept, wanted)], problem).into_response()
}

/// A server of ours as RFC 9725 section 4.6 has it.
fn link(server: &IceServer) -> Option<HeaderValue> {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut link = format!("<{}>; rel=\"ice-server\"", server.urls);
    if let (Some(user), Some(credential)) = (&server.username, &server.credential) {
        let (user, credential) = (quoted(user), quoted(credential));
        link += &format!(
            "; username=\"{user}\"; credential=\"{credential}\"; credential-type=\"password\""
        );
    }
    // A secret that no header can carry stays here; the settings were checked when they were read.
    HeaderValue::from_bytes(link.as_bytes()).ok()
}

impl From<JoinError> for Problem {
    fn from(error: JoinError) -> Self {
        let status = match &error {
            JoinError::Refused(refusal) => match refusal.code {
                ErrorCode::Locked | ErrorCode::Removed | ErrorCode::Forbidden => {
                    StatusCode::FORBIDDEN
                }
                _ => StatusCode::SERVICE_UNAVAILABLE,
            },
            // Who comes by HTTP cannot be told when a host has let them in.
            JoinError::Waiting(_) => StatusCode::FORBIDDEN,
            JoinError::Draining | JoinError::Stopping | JoinError::Unavailable => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        Self::new(status, error.to_string())
    }
}

impl From<crate::peer::SdpError> for Problem {
    fn from(error: crate::peer::SdpError) -> Self {
        use crate::peer::SdpError::{Direction, NoKnownCodec, NotBundled, TooLong, Unserved};
        let status = match &error {
            TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            // It can be read, and asks for what there is not.
            NoKnownCodec | NotBundled(_) | Direction { .. } | Unserved(_) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl From<crate::peer::Error> for Problem {
    fn from(error: crate::peer::Error) -> Self {
        match error {
            crate::peer::Error::Sdp(error) => error.into(),
            crate::peer::Error::Refused { .. } => Self::bad_request(error.to_string()),
            _ => Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_linked_with_their_secrets_quoted() {
        let mut server = IceServer {
            urls: "stun:stun.example.net".into(),
            username: None,
            credential: None,
        };
        assert_eq!(
            link(&server).unwrap(),
            "<stun:stun.example.net>; rel=\"ice-server\""
        );
        server.username = Some("a\"b".into());
        server.credential = Some("c\\d".into());
        assert_eq!(
            link(&server).unwrap(),
            "<stun:stun.example.net>; rel=\"ice-server\"; username=\"a\\\"b\"; \
             credential=\"c\\\\d\"; credential-type=\"password\""
        );
        server.credential = Some("c\r\nset-cookie: x".into());
        assert_eq!(link(&server), None);
    }

    #[test]
    fn types_are_compared_without_their_parameters() {
        let is = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            is_type(&headers, SDP)
        };
        assert!(is("application/sdp") && is("Application/SDP; charset=utf-8"));
        assert!(!is("application/sdpx") && !is("text/plain") && !is(""));
        assert!(!is_type(&HeaderMap::new(), SDP));
    }
}
