//! What only the operator, or a room's host, may: see everybody, have somebody leave, end a
//! meeting.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;

use crate::id::{ParticipantId, RoomName};
use crate::server::api::{Problem, bearer, room_name};
use crate::server::{App, security};
use crate::signalling::Person;

#[derive(Serialize)]
struct Overview {
    rooms: Vec<Room>,
}

#[derive(Serialize)]
struct Room {
    name: RoomName,
    viewers: usize,
    people: Vec<Person>,
}

/// `GET /api/admin`
pub async fn overview(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    app.authority.operates(bearer(&headers))?;
    let rooms = app.rooms.summaries().into_iter();
    let rooms = rooms.map(|(name, summary)| Room {
        name,
        viewers: summary.viewers,
        people: summary.people,
    });
    Ok(Json(Overview {
        rooms: rooms.collect(),
    }))
}

/// `DELETE /api/rooms/{room}`
pub async fn end(
    State(app): State<App>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path(room): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let room = allowed(&app, from, &room, &headers)?;
    match app.rooms.end(&room).await {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("nobody is in this room")),
    }
}

/// `DELETE /api/rooms/{room}/people/{id}`
pub async fn dismiss(
    State(app): State<App>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Path((room, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let room = allowed(&app, from, &room, &headers)?;
    let id: ParticipantId = id
        .parse()
        .map_err(|error: crate::id::ParticipantIdError| Problem::bad_request(error.to_string()))?;
    match app.rooms.dismiss(&room, id).await {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("they are not in this room")),
    }
}

/// The room that a request is about, if whoever asks may administrate it.
pub fn allowed(
    app: &App,
    from: SocketAddr,
    room: &str,
    headers: &HeaderMap,
) -> Result<RoomName, Problem> {
    let room = room_name(room)?;
    if !security::origin_allowed(headers) {
        let detail = "this origin may not".to_owned();
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    app.authority
        .administrate(&room, from.ip(), bearer(headers))?;
    Ok(room)
}
