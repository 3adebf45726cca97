//! Where a room is pushed to.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::media::{Layout, Tier};
use crate::server::App;
use crate::server::administered::Administered;
use crate::server::api::Problem;
use crate::stream::push::connect;
use crate::stream::push::desk::Error;
use crate::stream::push::target::Target;

/// What is to be pushed where.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    url: String,
    #[serde(default)]
    layout: Option<Layout>,
    #[serde(default)]
    tier: Tier,
}

/// `GET /api/rooms/{room}/outputs`
pub async fn list(
    State(app): State<App>,
    Administered(room): Administered,
) -> Result<Response, Problem> {
    if app.rooms.summary(&room).is_none() {
        return Err(Problem::not_found("nobody is in this room"));
    }
    let outputs = app.outputs.list(&room);
    Ok(Json(serde_json::json!({ "outputs": outputs })).into_response())
}

/// `POST /api/rooms/{room}/outputs`
pub async fn start(
    State(app): State<App>,
    Administered(room): Administered,
    body: Result<Json<Wish>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(wish) = body.map_err(|error| Problem::bad_request(error.body_text()))?;
    let target = Target::parse(&wish.url);
    let target = target.map_err(|error| Problem::bad_request(error.to_string()))?;
    if wish.tier == Tier::Audio {
        let detail = "tier: what is pushed has pictures: high, medium or low";
        return Err(Problem::bad_request(detail.to_owned()));
    }
    let listed = app
        .outputs
        .start(&room, target, wish.layout, wish.tier)
        .await?;
    let place = format!("/api/rooms/{room}/outputs/{}", listed.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, place)],
        Json(listed),
    )
        .into_response())
}

/// `DELETE /api/rooms/{room}/outputs/{id}`
pub async fn stop(
    State(app): State<App>,
    Administered(room): Administered,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    match app.outputs.stop(&room, &id) {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("there is no such output")),
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::NotOpen => StatusCode::NOT_FOUND,
            Error::TooMany => StatusCode::CONFLICT,
            Error::Address(connect::Error::Forbidden) => StatusCode::FORBIDDEN,
            Error::Address(_) => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}
