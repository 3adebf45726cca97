//! The HTTP edge: pages, API, metrics and WebSocket signalling. The only place that knows `axum`.

mod admin;
mod administered;
mod api;
mod auth;
pub mod descriptors;
mod door;
mod events;
mod files;
mod hls;
mod lean;
mod line;
mod listen;
mod outbox;
mod outputs;
mod parcels;
mod post;
mod recordings;
mod report;
mod seats;
pub mod secret;
mod security;
mod self_signed;
mod session;
mod socket;
pub mod tls;
mod websocket;
mod whip;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::peer::Way;
use crate::record;
use crate::room::registry::Registry;
use crate::server::api::Problem;
use crate::server::listen::Routes;
use crate::server::session::HARD_LIMIT;
use crate::signalling::{IceServer, Message, NoticeCode};
use crate::stats::Stats;
use crate::stream::{hls as hls_stream, push};

pub use auth::{Authority, Role};
pub use door::{Knocks, Openings};
pub use events::Lines;
pub use files::Pages;
pub use listen::{Limits, Listener};
pub use parcels::Parcels;
pub use report::Report;
pub use seats::Seats;
pub use whip::Sessions;

/// How long rooms may take to end once the server stops, and then connections to close. Together
/// with pipelines they stay well below the five seconds in which the process is gone.
const ROOMS_PATIENCE: Duration = Duration::from_secs(2);
const SOCKETS_PATIENCE: Duration = Duration::from_millis(1000);
/// In between, how long files may take to be finished; what takes longer is finished at the next
/// start.
const RECORDINGS_PATIENCE: Duration = Duration::from_millis(1000);
/// How long a request may take until its answer begins. None does more than look something up,
/// so whoever takes longer sends its body by drips.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);

/// What every request may need.
#[derive(Clone)]
pub struct App {
    /// Rooms by name.
    pub rooms: Arc<Registry>,
    /// Figures.
    pub stats: Arc<Stats>,
    /// Who may.
    pub authority: Arc<Authority>,
    /// How others reach this server.
    pub reach: Arc<Reach>,
    /// Who opened which room.
    pub openings: Arc<Openings>,
    /// How often who knocks.
    pub knocks: Arc<Knocks>,
    /// Sessions that are carried by requests.
    pub lines: Lines,
    /// Files under way.
    pub parcels: Parcels,
    /// Recordings.
    pub recordings: Arc<record::Desk>,
    /// Everybody's place in a room.
    pub seats: Seats,
    /// Those who came by WHIP and WHEP.
    pub sessions: Sessions,
    /// Handed to clients.
    pub ice_servers: Arc<[IceServer]>,
    /// The page.
    pub pages: Pages,
    /// The rooms' streams.
    pub hls: Arc<hls_stream::Desk>,
    /// Origins whose pages may play them, beside our own.
    pub hls_origins: Arc<[String]>,
    /// What rooms are pushed to.
    pub outputs: Arc<push::Desk>,
    /// What each topology costs, as it was measured here.
    pub report: Arc<Report>,
}

/// How others reach this server, as far as it knows: what the page on sharing explains.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Reach {
    /// HTTPS is spoken here.
    pub tls: bool,
    /// Only this very machine can ask for pages.
    pub local: bool,
    /// Only this very machine can send media.
    pub rtc_local: bool,
    /// The port of all media.
    pub rtc_port: u16,
    /// Addresses were set by which clients reach this machine behind its NAT.
    pub public_ip: bool,
    /// A TURN server was set.
    pub turn: bool,
}

/// All routes.
pub fn router(app: App) -> Router {
    let media = Router::new()
        .route("/whip/{room}", whip::endpoint(Way::Sends))
        .route("/whip/{room}/{session}", whip::resource(Way::Sends))
        .route("/whep/{room}", whip::endpoint(Way::Receives))
        .route("/whep/{room}/{session}", whip::resource(Way::Receives))
        .layer(DefaultBodyLimit::max(whip::MAX_BODY))
        .layer(middleware::from_fn_with_state(
            app.clone(),
            whip::cross_origin,
        ));
    let room = get(api::room).patch(api::configure).delete(admin::end);
    let recordings = get(recordings::list).post(recordings::start);
    let recording = get(recordings::get).delete(recordings::delete);
    let pushes = get(outputs::list).post(outputs::start);
    let hls_index = get(hls::index).options(hls::options);
    let hls_file = get(hls::file).options(hls::options);
    Router::new()
        .route("/", get(files::lobby))
        .route("/r/{room}", get(files::meeting))
        .route("/help/share", get(files::share))
        .route("/admin", get(files::admin))
        .route("/tradeoff", get(report::page))
        .route("/tradeoff.json", get(report::json))
        .route("/tradeoff.csv", get(report::csv))
        .route("/static/{*path}", get(files::asset))
        .route("/healthz", get(api::health))
        .route("/metrics", get(api::metrics))
        .route("/api/openapi.json", get(api::openapi))
        .route("/api/reach", get(api::reach))
        .route("/api/rooms", get(api::rooms))
        .route("/api/admin", get(admin::overview))
        .route("/api/admin/pipelines/{number}", get(admin::graph))
        .route("/api/rooms/{room}", room)
        .route("/api/rooms/{room}/costs", get(api::costs))
        .route("/api/rooms/{room}/people/{id}", delete(admin::dismiss))
        .route("/api/rooms/{room}/tokens", post(api::token))
        .route("/api/rooms/{room}/host", post(api::host))
        .route("/api/rooms/{room}/recordings", recordings)
        .route("/api/rooms/{room}/recordings/{id}", recording)
        .route(
            "/api/rooms/{room}/recordings/{id}/stop",
            post(recordings::stop),
        )
        .route(
            "/api/rooms/{room}/recordings/{id}/file",
            get(recordings::file),
        )
        .route("/api/rooms/{room}/ws", get(websocket::upgrade))
        .route("/api/rooms/{room}/sessions", post(events::open))
        .route(
            "/api/rooms/{room}/sessions/{session}",
            delete(events::close),
        )
        .route(
            "/api/rooms/{room}/sessions/{session}/events",
            get(events::events),
        )
        .route(
            "/api/rooms/{room}/sessions/{session}/messages",
            post(events::messages).layer(DefaultBodyLimit::max(HARD_LIMIT)),
        )
        .route("/api/rooms/{room}/outputs", pushes)
        .route("/api/rooms/{room}/outputs/{id}", delete(outputs::stop))
        .route("/hls/{room}/index.m3u8", hls_index)
        .route("/hls/{room}/{stream}/{file}", hls_file)
        .merge(media)
        .fallback(api::not_found)
        .layer(middleware::from_fn(patience))
        // A file takes its time, and is watched over where it is taken in.
        .route(
            "/api/rooms/{room}/files/{file}",
            put(post::bring).get(post::fetch),
        )
        .layer(middleware::from_fn(security::headers))
        .with_state(app)
}

/// Ends requests that do not get on.
async fn patience(request: Request, next: Next) -> Response {
    match timeout(REQUEST_PATIENCE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = "the request did not arrive in time".to_owned();
            Problem::new(StatusCode::REQUEST_TIMEOUT, detail).into_response()
        }
    }
}

/// What those get who speak HTTP where HTTPS is spoken: the way there, and for load balancers
/// whether the server is well.
fn plain_router(app: App) -> Router {
    Router::new()
        .route("/healthz", get(api::health))
        .fallback(security::to_https)
        .layer(middleware::from_fn(security::headers))
        .with_state(app)
}

/// Serves until `stop` yields, or ends. When it yields, meetings may go on for `drain_timeout`,
/// which `stop` cuts short when it yields again or ends; then everybody is told, and all ends
/// within a few seconds.
pub async fn serve(
    listener: Listener,
    app: App,
    drain_timeout: Duration,
    mut stop: mpsc::Receiver<()>,
) {
    let (rooms, recordings) = (app.rooms.clone(), app.recordings.clone());
    let routes = Routes {
        plain: plain_router(app.clone()),
        all: router(app.clone()),
    };
    let serving = tokio::spawn(listener.serve(routes, rooms.phase(), app.stats));
    if stop.recv().await.is_some() && !drain_timeout.is_zero() {
        drain(&rooms, drain_timeout, &mut stop).await;
    }
    tracing::info!("stopping");
    rooms.shut_down(ROOMS_PATIENCE).await;
    if timeout(RECORDINGS_PATIENCE, recordings.settled())
        .await
        .is_err()
    {
        tracing::warn!("recordings are left to be finished at the next start");
    }
    if timeout(SOCKETS_PATIENCE, serving).await.is_err() {
        tracing::warn!("some clients do not close their connections; not waited for");
    }
}

/// Lets nobody in any more, and meetings go on until they end, the time is over, or `stop` says so.
async fn drain(rooms: &Registry, patience: Duration, stop: &mut mpsc::Receiver<()>) {
    let text = format!(
        "The server will restart. This meeting can go on for {}, but nobody else can join it, \
         and who leaves cannot come back until then.",
        in_words(patience)
    );
    rooms.drain(&Message::Notice {
        code: NoticeCode::Draining,
        text,
    });
    tracing::info!("draining: meetings may go on for {}", in_words(patience));
    tokio::select! {
        () = rooms.emptied() => tracing::info!("drained: every meeting has ended"),
        () = sleep(patience) => tracing::info!("drained: the time is over"),
        _ = stop.recv() => tracing::info!("drained: told to stop at once"),
    }
}

fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        1 => "1 second".into(),
        seconds @ ..120 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_told_in_words() {
        let words = |seconds| in_words(Duration::from_secs(seconds));
        assert_eq!(words(1), "1 second");
        assert_eq!(words(90), "90 seconds");
        assert_eq!(words(600), "10 minutes");
    }
}
