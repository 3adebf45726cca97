//! `/whip/{room}/{session}` and `/whep/{room}/{session}`: the session itself.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, patch};
use tokio::sync::oneshot;

use crate::id::SessionKey;
use crate::peer::{Fragment, Way};
use crate::server::App;
use crate::server::api::{Problem, bearer, room_name};
use crate::server::auth::same;
use crate::server::whip::precondition::Precondition;
use crate::server::whip::session::{Ask, Patched};
use crate::server::whip::table::Entry;
use crate::server::whip::{ACCEPT_PATCH, FRAGMENT, is_type, role, text, unsupported};

/// A session's address, as the path has it.
type Address = Path<(String, String)>;

/// What can be done with a session.
pub fn resource(way: Way) -> MethodRouter<App> {
    let change = move |State(app): State<App>,
                       Path(address): Address,
                       headers: HeaderMap,
                       body: Result<Bytes, BytesRejection>| async move {
        let entry = find(&app, way, &address, &headers)?;
        change(entry, &headers, body).await
    };
    let end = move |State(app): State<App>, Path(address): Address, headers: HeaderMap| async move {
        let entry = find(&app, way, &address, &headers)?;
        let (reply, ended) = oneshot::channel();
        // An error means that it has just ended otherwise.
        let _ = entry.asks.send(Ask::End(reply)).await;
        let _ = ended.await;
        Ok::<_, Problem>(StatusCode::OK)
    };
    let look = move |State(app): State<App>, Path(address): Address, headers: HeaderMap| async move {
        find(&app, way, &address, &headers)?;
        Ok::<_, Problem>(StatusCode::NO_CONTENT)
    };
    // A preflight has no token, so it is told nothing of what there is.
    let options = |Path((room, _)): Address| async move {
        room_name(&room)?;
        let allow = "GET, HEAD, PATCH, DELETE, OPTIONS";
        Ok::<_, Problem>([(header::ALLOW, allow), (ACCEPT_PATCH, FRAGMENT)])
    };
    patch(change).delete(end).get(look).options(options)
}

/// The session, if whoever asks may have it: who opened it, or could open one like it.
fn find(
    app: &App,
    way: Way,
    (room, key): &(String, String),
    headers: &HeaderMap,
) -> Result<Entry, Problem> {
    let room = room_name(room)?;
    let key = SessionKey::new(key).ok();
    let entry = key.and_then(|key| app.sessions.find(way, &room, &key));
    let token = bearer(headers);
    let opened = entry.as_ref().and_then(|entry| entry.token.as_deref());
    // A token may expire during a meeting, and still be good for what it has opened.
    let opener = opened.zip(token).is_some_and(|(a, b)| same(a, b));
    if !opener {
        app.authority.join(&room, role(way), token)?;
    }
    entry.ok_or_else(gone)
}

fn gone() -> Problem {
    Problem::not_found("there is no such session, or it has ended")
}

async fn change(
    entry: Entry,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    if !is_type(headers, FRAGMENT) {
        return Ok(unsupported(ACCEPT_PATCH, FRAGMENT));
    }
    let precondition = Precondition::read(headers).ok_or_else(|| {
        let detail = "If-Match is needed: the session's ETag, or * to restart ICE".to_owned();
        Problem::new(StatusCode::PRECONDITION_REQUIRED, detail)
    })?;
    let fragment = Fragment::read(text(&body)?)?;
    let (reply, answer) = oneshot::channel();
    let ask = Ask::Patch {
        fragment,
        precondition,
        reply,
    };
    entry.asks.send(ask).await.map_err(|_| gone())?;
    match answer.await.map_err(|_| gone())?? {
        Patched::Taken => Ok(StatusCode::NO_CONTENT.into_response()),
        Patched::Restarted { fragment, tag } => {
            let headers = [
                (header::CONTENT_TYPE, FRAGMENT.to_owned()),
                (header::ETAG, tag),
            ];
            Ok((headers, fragment).into_response())
        }
    }
}
