//! What only the operator, or a room's host, may: see everybody, have somebody leave, end a
//! meeting.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;

use crate::gst::census;
use crate::gst::pipeline::Stage;
use crate::id::{ParticipantId, RoomName};
use crate::record::manifest::{self, Manifest};
use crate::room::inspect::Inside;
use crate::server::App;
use crate::server::administered::Administered;
use crate::server::api::{Problem, bearer};
use crate::server::seats::Way;
use crate::signalling::Person;
use crate::stream::push::desk::Listed;

/// How long a room may take to say what is in it. It takes microseconds, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct Overview {
    rooms: Vec<Room>,
    pipelines: Vec<Pipeline>,
}

#[derive(Serialize)]
struct Room {
    name: RoomName,
    viewers: usize,
    people: Vec<Carried>,
    /// None: it did not answer.
    inside: Option<Inside>,
    /// Recordings that go on.
    recordings: Vec<Manifest>,
    /// Where it is pushed to.
    pushes: Vec<Listed>,
}

#[derive(Serialize)]
struct Carried {
    #[serde(flatten)]
    person: Person,
    /// By what their session is carried; none: by something that is no session, as the demo is.
    way: Option<Way>,
}

#[derive(Serialize)]
struct Pipeline {
    number: u64,
    name: &'static str,
    stage: &'static str,
    seconds: u64,
}

/// `GET /api/admin`
pub async fn overview(
    State(app): State<App>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    app.authority.operates(bearer(&headers))?;
    let (mut insides, ways) = (app.rooms.inspect(PATIENCE).await, app.seats.ways());
    let rooms = app.rooms.summaries().into_iter();
    let rooms = rooms.map(|(name, summary)| {
        let people = summary.people.into_iter();
        let people = people.map(|person| Carried {
            way: ways.get(&person.id).copied(),
            person,
        });
        let mut recordings = app.recordings.list(&name);
        recordings.retain(|recording| recording.state == manifest::State::Recording);
        Room {
            recordings,
            pushes: app.outputs.list(&name),
            inside: insides.remove(&name),
            name,
            viewers: summary.viewers,
            people: people.collect(),
        }
    });
    let living = census::living(Instant::now()).into_iter();
    let pipelines = living.map(|one| Pipeline {
        number: one.number,
        name: one.name,
        stage: match one.stage {
            Stage::Built => "built",
            Stage::Playing => "playing",
            Stage::Failed => "failed",
        },
        seconds: one.seconds,
    });
    Ok(Json(Overview {
        rooms: rooms.collect(),
        pipelines: pipelines.collect(),
    }))
}

/// `GET /api/admin/pipelines/{number}`
pub async fn graph(
    State(app): State<App>,
    Path(number): Path<String>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    app.authority.operates(bearer(&headers))?;
    let number = number.parse().unwrap_or_default();
    // It takes the locks of the pipeline's elements.
    let graph = tokio::task::spawn_blocking(move || census::graph(number)).await;
    let gone = || Problem::not_found("there is no such pipeline any more");
    let graph = graph.ok().flatten().ok_or_else(gone)?;
    let kind = "text/vnd.graphviz; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], graph))
}

/// `DELETE /api/rooms/{room}`
pub async fn end(
    State(app): State<App>,
    Administered(room): Administered,
) -> Result<StatusCode, Problem> {
    match app.rooms.end(&room).await {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("nobody is in this room")),
    }
}

/// `DELETE /api/rooms/{room}/people/{id}`
pub async fn dismiss(
    State(app): State<App>,
    Administered(room): Administered,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let id: ParticipantId = id
        .parse()
        .map_err(|error: crate::id::ParticipantIdError| Problem::bad_request(error.to_string()))?;
    match app.rooms.dismiss(&room, id).await {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("they are not in this room")),
    }
}
