//! Recordings of a room: begin, end, list, fetch, delete. Only for those who may administrate it.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

use crate::media::{Layout, Tier};
use crate::record::manifest::Sound;
use crate::record::{Error, Options, RecordingId};
use crate::room::output;
use crate::server::App;
use crate::server::administered::Administered;
use crate::server::api::Problem;

/// How long the answer to a stop waits for the file to be finished. Long ones take longer and are
/// finished all the same.
const FINISHING: Duration = Duration::from_secs(5);

/// What is to be recorded.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wish {
    layout: Option<Layout>,
    portrait: bool,
    tier: Tier,
    audio_only: bool,
    audio: Option<Sound>,
    name: Option<String>,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Output(output::Error::NotOpen) | Error::NotThere | Error::Uploaded => {
                StatusCode::NOT_FOUND
            }
            Error::Output(output::Error::NoEncoder(_)) => StatusCode::NOT_IMPLEMENTED,
            Error::Name(_) => StatusCode::BAD_REQUEST,
            Error::TooMany | Error::Busy => StatusCode::CONFLICT,
            Error::Quota | Error::Folder { .. } => StatusCode::INSUFFICIENT_STORAGE,
        };
        Self::new(status, error.to_string())
    }
}

/// `POST /api/rooms/{room}/recordings`
pub async fn start(
    State(app): State<App>,
    Administered(room): Administered,
    body: Result<Json<Wish>, JsonRejection>,
) -> Result<Response, Problem> {
    let Json(wish) = body.map_err(|error| Problem::bad_request(error.body_text()))?;
    let desk = &app.recordings;
    let options = Options {
        layout: wish.layout,
        portrait: wish.portrait,
        tier: wish.tier,
        audio_only: wish.audio_only || wish.tier == Tier::Audio,
        audio: wish.audio.unwrap_or(desk.usual().audio),
    };
    let made = desk.start(&room, options, wish.name.as_deref()).await?;
    let place = format!("/api/rooms/{room}/recordings/{}", made.id);
    let headers = [(header::LOCATION, place)];
    Ok((StatusCode::CREATED, headers, Json(made)).into_response())
}

/// `GET /api/rooms/{room}/recordings`
pub async fn list(
    State(app): State<App>,
    Administered(room): Administered,
) -> Result<impl IntoResponse, Problem> {
    let recordings = app.recordings.list(&room);
    Ok(Json(serde_json::json!({ "recordings": recordings })))
}

/// `GET /api/rooms/{room}/recordings/{id}`
pub async fn get(
    State(app): State<App>,
    Administered(room): Administered,
    Path((_, id)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let id = named(&id)?;
    Ok(Json(app.recordings.get(&room, &id)?))
}

/// `POST /api/rooms/{room}/recordings/{id}/stop`
pub async fn stop(
    State(app): State<App>,
    Administered(room): Administered,
    Path((_, id)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let id = named(&id)?;
    Ok(Json(app.recordings.stop(&room, &id, FINISHING).await?))
}

/// `DELETE /api/rooms/{room}/recordings/{id}`
pub async fn delete(
    State(app): State<App>,
    Administered(room): Administered,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let id = named(&id)?;
    app.recordings.delete(&room, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/rooms/{room}/recordings/{id}/file`, in part, too (RFC 9110 section 14).
pub async fn file(
    State(app): State<App>,
    Administered(room): Administered,
    Path((_, id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let id = named(&id)?;
    let path = app.recordings.file(&room, &id)?;
    let served = ServeFile::new(&path).oneshot(request).await;
    // It answers whatever happens; the type is that of a service that cannot fail.
    let Ok(mut response) = served;
    if response.status() == StatusCode::NOT_FOUND {
        return Err(Problem::not_found(
            "the file of this recording is not there",
        ));
    }
    let name = path.file_name().and_then(|name| name.to_str());
    if let Some(named) = name.and_then(|name| HeaderValue::from_str(&attachment(name)).ok()) {
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, named);
    }
    Ok(response.map(Body::new))
}

/// A name to save a file under (RFC 6266, RFC 8187).
fn attachment(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut coded = String::new();
    for c in name.chars() {
        match plain(c) {
            true => coded.push(c),
            false => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    coded.push_str(&format!("%{byte:02X}"));
                }
            }
        }
    }
    format!("attachment; filename*=UTF-8''{coded}")
}

/// The recording of an address.
fn named(id: &str) -> Result<RecordingId, Error> {
    // No other text could name one.
    id.parse().map_err(|_| Error::NotThere)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_script_are_headers() {
        let named = attachment("회의 1.mp4");
        assert_eq!(
            named,
            "attachment; filename*=UTF-8''%ED%9A%8C%EC%9D%98%201.mp4"
        );
    }
}
