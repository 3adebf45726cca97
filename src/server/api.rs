//! The HTTP API. Problems are answered as RFC 9457 documents.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::id::RoomName;
use crate::room::actor::Summary;
use crate::room::cost::Full;
use crate::room::event::Change;
use crate::room::registry::Phase;
use crate::room::running::Costs;
use crate::server::administered::Administered;
use crate::server::auth::{Denied, Role, TOKEN_MAX_AGE};
use crate::server::{App, security};

/// When to try again where there is no room now: a restart is over by then, and some meeting may
/// be.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// How long a room may take to say what it costs. It takes microseconds, unless it hangs.
const ROOM_PATIENCE: Duration = Duration::from_secs(1);

/// A refusal in the shape of RFC 9457.
#[derive(Debug, Serialize)]
pub struct Problem {
    status: u16,
    title: &'static str,
    detail: String,
}

impl Problem {
    /// Something in the request is wrong.
    pub fn bad_request(detail: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// Nothing is there.
    pub fn not_found(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail.into())
    }

    /// With any status.
    pub fn new(status: StatusCode, detail: String) -> Self {
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or("Error"),
            detail,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, kind, Json(self)).into_response();
        // RFC 9110 sections 11.6.1 and 10.2.3, seconds.
        let more = match status {
            StatusCode::UNAUTHORIZED => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
            }
            StatusCode::TOO_MANY_REQUESTS => Some((header::RETRY_AFTER, HeaderValue::from(1))),
            StatusCode::SERVICE_UNAVAILABLE => {
                let after = HeaderValue::from(RETRY_AFTER.as_secs());
                Some((header::RETRY_AFTER, after))
            }
            _ => None,
        };
        if let Some((name, value)) = more {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let status = match denied {
            Denied::Missing | Denied::Invalid(_) => StatusCode::UNAUTHORIZED,
            Denied::OtherRoom | Denied::TooWeak | Denied::NotLocal => StatusCode::FORBIDDEN,
            Denied::NoKey => StatusCode::CONFLICT,
        };
        Self::new(status, denied.to_string())
    }
}

/// `GET /healthz`: whether to send people here.
pub async fn health(State(app): State<App>) -> (StatusCode, &'static str) {
    match *app.rooms.phase().borrow() {
        Phase::Serving => (StatusCode::OK, "ok\n"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        Phase::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}

/// `GET /metrics`
pub async fn metrics(State(app): State<App>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], app.stats.render())
}

/// `GET /api/reach`
pub async fn reach(State(app): State<App>) -> impl IntoResponse {
    Json(app.reach.as_ref().clone())
}

/// `GET /api/openapi.json`
pub async fn openapi() -> impl IntoResponse {
    let text = include_str!("openapi.json");
    ([(header::CONTENT_TYPE, "application/json")], text)
}

#[derive(Serialize)]
struct RoomEntry {
    name: RoomName,
    #[serde(flatten)]
    summary: Summary,
}

/// `GET /api/rooms`: all but private ones
pub async fn rooms(State(app): State<App>) -> impl IntoResponse {
    let rooms: Vec<_> = app
        .rooms
        .summaries()
        .into_iter()
        .filter(|(name, _)| !name.is_private())
        .map(|(name, summary)| RoomEntry { name, summary })
        .collect();
    Json(serde_json::json!({ "rooms": rooms }))
}

/// `GET /api/rooms/{room}`
pub async fn room(State(app): State<App>, Path(room): Path<String>) -> Result<Response, Problem> {
    let name = room_name(&room)?;
    let summary = app
        .rooms
        .summary(&name)
        .ok_or_else(|| Problem::not_found("nobody is in this room"))?;
    Ok(Json(RoomEntry { name, summary }).into_response())
}

#[derive(Serialize)]
struct RoomCosts {
    name: RoomName,
    #[serde(flatten)]
    costs: Costs,
}

/// `GET /api/rooms/{room}/costs`
pub async fn costs(State(app): State<App>, Path(room): Path<String>) -> Result<Response, Problem> {
    let name = room_name(&room)?;
    let asked = app.rooms.costs(&name, ROOM_PATIENCE).await;
    let asked = asked.ok_or_else(|| Problem::not_found("nobody is in this room"))?;
    let costs = asked.map_err(|_| {
        let detail = "the room did not answer in time".to_owned();
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    })?;
    Ok(Json(RoomCosts { name, costs }).into_response())
}

/// `PATCH /api/rooms/{room}`
pub async fn configure(
    State(app): State<App>,
    Administered(name): Administered,
    body: Result<Json<Change>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(change) = body.map_err(|error| Problem::bad_request(error.body_text()))?;
    let change = change
        .checked()
        .map_err(|why| Problem::bad_request(why.into()))?;
    let summary = app.rooms.configure(&name, change).await;
    let summary = summary.ok_or_else(|| Problem::not_found("nobody is in this room"))?;
    Ok(Json(RoomEntry { name, summary }).into_response())
}

/// What a new token is to allow.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    role: Role,
    /// Seconds; an hour by default.
    #[serde(default = "an_hour")]
    expires_in: u64,
}

fn an_hour() -> u64 {
    3600
}

/// `POST /api/rooms/{room}/tokens`
pub async fn token(
    State(app): State<App>,
    Administered(room): Administered,
    body: Result<Json<TokenRequest>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(request) = body.map_err(|error| Problem::bad_request(error.body_text()))?;
    if request.expires_in == 0 || request.expires_in > TOKEN_MAX_AGE.as_secs() {
        let most = TOKEN_MAX_AGE.as_secs();
        return Err(Problem::bad_request(format!(
            "expires_in: from 1 to {most} seconds"
        )));
    }
    let age = Duration::from_secs(request.expires_in);
    let token = app.authority.sign(&room, request.role, age)?;
    let body = serde_json::json!({ "token": token, "expires_in": request.expires_in });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// `POST /api/rooms/{room}/host`: opens a room as its host. Only the first to ask for a name that
/// is not in use gets the token.
pub async fn host(
    State(app): State<App>,
    Path(room): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let room = room_name(&room)?;
    if !security::origin_allowed(&headers) {
        let detail = "this origin may not".to_owned();
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let token = app.authority.host_token(&room)?;
    // Who only watches may have come before the meeting.
    let begun = app
        .rooms
        .summary(&room)
        .is_some_and(|room| room.participants > 0);
    if !begun {
        let full = |full: Full| Problem::new(StatusCode::SERVICE_UNAVAILABLE, full.to_string());
        app.rooms.has_room().map_err(full)?;
    }
    if begun || !app.openings.first(&room, Instant::now()) {
        let detail = "somebody else has opened this room".to_owned();
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    let body = serde_json::json!({ "token": token });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// Whatever else is asked for.
pub async fn not_found() -> Problem {
    Problem::not_found("there is nothing here")
}

/// The room's name out of a path.
pub fn room_name(text: &str) -> Result<RoomName, Problem> {
    RoomName::new(text).map_err(|error| Problem::bad_request(error.to_string()))
}

/// The token of an `Authorization: Bearer` header (RFC 6750).
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::trim)
}
