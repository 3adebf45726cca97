//! Files by HTTP: one is brought in by whoever was told to, and fetched by those who were told where.

use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use tokio::time::{sleep_until, timeout, timeout_at};

use crate::id::RoomName;
use crate::room::talk::Say;
use crate::server::api::{Problem, room_name};
use crate::server::parcels::{ARRIVAL, disposition};
use crate::server::{App, security};
use crate::signalling::ChatFile;

/// How long nothing of a file may come.
const PATIENCE: Duration = Duration::from_secs(15);

/// The address of a file.
pub fn address(room: &RoomName, secret: u128) -> String {
    format!("/api/rooms/{room}/files/{secret:032x}")
}

/// `PUT /api/rooms/{room}/files/{file}`
pub async fn bring(
    State(app): State<App>,
    Path((room, file)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let (room, secret) = read(&room, &file)?;
    if !security::origin_allowed(&headers) {
        let detail = "pages of other sites may not".to_owned();
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let arrival = app.parcels.begin(&room, secret, Instant::now());
    let arrival = arrival.ok_or_else(|| Problem::not_found("no file is expected here"))?;
    let bytes = take(body, arrival.parcel.size).await?;
    let parcel = arrival.parcel.clone();
    let until = arrival.offer(bytes, Instant::now());
    let file = ChatFile {
        size: parcel.size,
        url: address(&room, secret),
    };
    let parcels = app.parcels.clone();
    tokio::spawn(async move {
        sleep_until(until.into()).await;
        parcels.sweep(Instant::now());
    });
    let say = Say::File(file, parcel.name, parcel.to);
    match app.rooms.say(&room, parcel.from, say).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(refusal) => {
            app.parcels.forget(secret);
            Err(Problem::new(StatusCode::CONFLICT, refusal.text))
        }
    }
}

/// `GET /api/rooms/{room}/files/{file}`
pub async fn fetch(
    State(app): State<App>,
    Path((room, file)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (room, secret) = read(&room, &file)?;
    let found = app.parcels.get(&room, secret, Instant::now());
    let gone = || Problem::not_found("the file is not offered any more");
    let (name, body) = found.ok_or_else(gone)?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, disposition(&name)),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, body).into_response())
}

fn read(room: &str, file: &str) -> Result<(RoomName, u128), Problem> {
    let room = room_name(room)?;
    let secret = u128::from_str_radix(file, 16);
    let secret = secret.map_err(|_| Problem::not_found("there is no such file"))?;
    Ok((room, secret))
}

/// Takes a body in that has `size` bytes.
async fn take(body: Body, size: u64) -> Result<Bytes, Problem> {
    let deadline = tokio::time::Instant::now() + ARRIVAL;
    let late = || {
        let detail = "the file did not arrive in time".to_owned();
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
    };
    let odd = || Problem::bad_request("the file is not as long as was said".into());
    let mut chunks = body.into_data_stream();
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        let chunk = timeout_at(deadline, timeout(PATIENCE, chunks.next())).await;
        let chunk = chunk.map_err(|_| late())?.map_err(|_| late())?;
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(|error| Problem::bad_request(error.to_string()))?;
        if (bytes.len() + chunk.len()) as u64 > size {
            return Err(odd());
        }
        bytes.extend_from_slice(&chunk);
    }
    match bytes.len() as u64 == size {
        true => Ok(bytes.into()),
        false => Err(odd()),
    }
}
