//! Requests that only the operator, or a host of the room they are about, may make.

use std::collections::HashMap;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use crate::id::RoomName;
use crate::server::api::{Problem, bearer, room_name};
use crate::server::{App, security};

/// The `{room}` of the address. That a handler takes one means that whoever asks may administrate
/// that room; others are refused before the handler runs.
pub struct Administered(pub RoomName);

impl FromRequestParts<App> for Administered {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let names = Path::<HashMap<String, String>>::from_request_parts(parts, app).await;
        let Path(mut names) = names.map_err(IntoResponse::into_response)?;
        let from = ConnectInfo::<SocketAddr>::from_request_parts(parts, app).await;
        let ConnectInfo(from) = from.map_err(IntoResponse::into_response)?;
        let room = names.remove("room").unwrap_or_default();
        let allowed = allowed(app, from, &room, parts);
        allowed.map(Self).map_err(IntoResponse::into_response)
    }
}

fn allowed(app: &App, from: SocketAddr, room: &str, parts: &Parts) -> Result<RoomName, Problem> {
    let room = room_name(room)?;
    if !security::origin_allowed(&parts.headers) {
        let detail = "this origin may not".to_owned();
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    app.authority
        .administrate(&room, from.ip(), bearer(&parts.headers))?;
    Ok(room)
}
