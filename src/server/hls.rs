//! HLS: playlists, and files that never change. Who may watch a room may fetch them.
//!
//! `/hls/{room}/index.m3u8` is what players are given. It begins the stream where there is none, and
//! names playlists in a folder of their own for each stream, so that caches may keep what is in it
//! for good.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::time::Duration;

use crate::id::RoomName;
use crate::server::api::{Problem, bearer, room_name};
use crate::server::{App, Role, security};
use crate::stream::hls::shelf::{File, TARGET, Track};

/// How long whoever is first waits for the first segment: two seconds of media, and what it takes
/// until an encoder and a listener are there on a busy machine. Less than the server's patience
/// with requests.
const FIRST_SEGMENT: Duration = Duration::from_secs(9);
/// How long a request for what comes next may wait: three target durations.
const NEXT: Duration = Duration::from_secs(3 * TARGET);
/// Playlists change with each part; half a target duration is what caches may be late.
const CHANGES: &str = "max-age=1";
/// An answer that was waited for is the answer to a request that is made once.
const AWAITED: &str = "max-age=12";
/// Files never change, and their names are never used again.
const NEVER_CHANGES: &str = "max-age=86400, immutable";

/// What comes with an address.
#[derive(Deserialize)]
pub struct Ask {
    token: Option<String>,
    /// Wait for this segment,
    #[serde(rename = "_HLS_msn")]
    segment: Option<u64>,
    /// or for this part of it (RFC 8216bis section 6.2.5.2).
    #[serde(rename = "_HLS_part")]
    part: Option<u64>,
}

/// An answer, and how long others may keep it.
struct Found {
    kind: &'static str,
    keep: &'static str,
    body: bytes::Bytes,
}

const PLAYLIST: &str = "application/vnd.apple.mpegurl";

/// `GET /hls/{room}/index.m3u8`
pub async fn index(
    State(app): State<App>,
    Path(room): Path<String>,
    Query(ask): Query<Ask>,
    headers: HeaderMap,
) -> Response {
    let found = find_index(&app, &room, &ask, &headers).await;
    answer(&app, &headers, found)
}

async fn find_index(
    app: &App,
    room: &str,
    ask: &Ask,
    headers: &HeaderMap,
) -> Result<Found, Problem> {
    let room = may_watch(app, room, ask, headers)?;
    let host = app.authority.hosts(&room, token(ask, headers));
    let closed = || Problem::not_found("nobody is in this room");
    let admitted = app.rooms.admits(&room, host).await.ok_or_else(closed)?;
    admitted.map_err(|refusal| Problem::new(StatusCode::FORBIDDEN, refusal.to_string()))?;
    let live = app.hls.open(&room).ok_or_else(closed)?;
    let ready = live.ready(FIRST_SEGMENT).await;
    match live.index(&carried(ask)).filter(|_| ready) {
        Some(text) => Ok(Found {
            kind: PLAYLIST,
            keep: CHANGES,
            body: text.into(),
        }),
        None => {
            let starting = || "the stream is not ready yet; ask again".to_owned();
            let detail = live.ended().unwrap_or_else(starting);
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail))
        }
    }
}

/// `GET /hls/{room}/{stream}/{file}`
pub async fn file(
    State(app): State<App>,
    Path((room, stream, name)): Path<(String, String, String)>,
    Query(ask): Query<Ask>,
    headers: HeaderMap,
) -> Response {
    let found = find_file(&app, &room, &stream, &name, &ask, &headers).await;
    answer(&app, &headers, found)
}

async fn find_file(
    app: &App,
    room: &str,
    stream: &str,
    name: &str,
    ask: &Ask,
    headers: &HeaderMap,
) -> Result<Found, Problem> {
    let room = may_watch(app, room, ask, headers)?;
    let none = || Problem::not_found("there is no such file, or not any more");
    let file = File::parse(name).ok_or_else(none)?;
    let live = app.hls.find(&room, stream).ok_or_else(none)?;
    let track = match file {
        File::Playlist(track) => {
            let mut keep = CHANGES;
            if let Some(segment) = ask.segment {
                if !live.expects(segment) {
                    let detail = "_HLS_msn: too far from what is there".to_owned();
                    return Err(Problem::bad_request(detail));
                }
                let there = live.published(segment, ask.part, NEXT).await;
                if !there && live.ended().is_none() {
                    let detail = "it did not come in time".to_owned();
                    return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail));
                }
                keep = AWAITED;
            }
            return Ok(Found {
                kind: PLAYLIST,
                keep,
                body: live.playlist(track, &carried(ask)).into(),
            });
        }
        File::Part(track, place) => {
            // Players ask for what they were told comes next.
            if live.expects(place.segment) {
                let part = Some(place.part);
                live.published(place.segment, part, NEXT).await;
            }
            track
        }
        File::Init(track, _) | File::Segment(track, _) => track,
    };
    Ok(Found {
        kind: match track {
            Track::Video => "video/mp4",
            Track::Audio => "audio/mp4",
        },
        keep: NEVER_CHANGES,
        body: live.file(file).ok_or_else(none)?,
    })
}

/// `OPTIONS` of all of these: pages of other origins ask before they send a token in a header.
pub async fn options(State(app): State<App>, headers: HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(origin) = allowed_origin(&app, &headers) {
        let names = [
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin),
            (
                header::ACCESS_CONTROL_ALLOW_METHODS,
                HeaderValue::from_static("GET, HEAD"),
            ),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                HeaderValue::from_static("authorization, range"),
            ),
            (
                header::ACCESS_CONTROL_MAX_AGE,
                HeaderValue::from_static("86400"),
            ),
        ];
        response.headers_mut().extend(names);
    }
    response
}

/// The room, if whoever asks may watch it.
fn may_watch(app: &App, room: &str, ask: &Ask, headers: &HeaderMap) -> Result<RoomName, Problem> {
    let room = room_name(room)?;
    let token = token(ask, headers);
    app.authority.join(&room, Role::Viewer, token)?;
    Ok(room)
}

fn token<'a>(ask: &'a Ask, headers: &'a HeaderMap) -> Option<&'a str> {
    bearer(headers).or(ask.token.as_deref())
}

/// What addresses in playlists carry on: players resolve them without the query of the playlist.
fn carried(ask: &Ask) -> String {
    let Some(token) = &ask.token else {
        return String::new();
    };
    let mut query = "?token=".to_owned();
    for byte in token.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                query.push(byte.into());
            }
            _ => query.push_str(&format!("%{byte:02X}")),
        }
    }
    query
}

fn answer(app: &App, request: &HeaderMap, found: Result<Found, Problem>) -> Response {
    let mut response = match found {
        Ok(Found { kind, keep, body }) => {
            // What a header's token opened is not for others; one in the address is part of the name.
            let whose = match bearer(request) {
                Some(_) => "private",
                None => "public",
            };
            let keep = format!("{whose}, {keep}");
            let headers = [
                (header::CONTENT_TYPE, kind.to_owned()),
                (header::CACHE_CONTROL, keep),
            ];
            (headers, body).into_response()
        }
        Err(problem) => {
            let mut response = problem.into_response();
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed_origin(app, request) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("cross-origin"),
        );
    }
    response
}

/// Which other origin's pages may read the answer. With an API key any: what they can read, their
/// token opens to anybody. Without one those that the settings name, for what is open to everybody
/// in a network would else be open to every page that somebody in it looks at.
fn allowed_origin(app: &App, request: &HeaderMap) -> Option<HeaderValue> {
    let origin = request.get(header::ORIGIN)?;
    let named = |named: &String| named == "*" || named.as_bytes() == origin.as_bytes();
    let any = app.authority.keyed() || app.hls_origins.iter().any(named);
    (any || security::origin_allowed(request)).then(|| origin.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_carried_on_as_they_were() {
        let ask = |token: Option<&str>| Ask {
            token: token.map(Into::into),
            segment: None,
            part: None,
        };
        assert_eq!(carried(&ask(None)), "");
        assert_eq!(carried(&ask(Some("a.b-c_d"))), "?token=a.b-c_d");
        let odd = carried(&ask(Some("a\"b\n&c/ü")));
        assert_eq!(odd, "?token=a%22b%0A%26c%2F%C3%BC");
    }
}
