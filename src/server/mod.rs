//! The HTTP edge: pages, API, metrics and WebSocket signalling. The only place that knows `axum`.

mod api;
mod auth;
mod files;
mod security;
mod session;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use tokio::net::TcpListener;

use crate::room::registry::Registry;
use crate::signalling::IceServer;
use crate::stats::Stats;

pub use auth::{Authority, Role};
pub use files::Pages;

/// How long everything may take once the server was told to stop.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(3);

/// What every request may need.
#[derive(Clone)]
pub struct App {
    /// Rooms by name.
    pub rooms: Arc<Registry>,
    /// Figures.
    pub stats: Arc<Stats>,
    /// Who may.
    pub authority: Arc<Authority>,
    /// Handed to clients.
    pub ice_servers: Arc<[IceServer]>,
    /// The page.
    pub pages: Pages,
}

/// All routes.
pub fn router(app: App) -> Router {
    Router::new()
        .route("/", get(files::lobby))
        .route("/r/{room}", get(files::meeting))
        .route("/static/{*path}", get(files::asset))
        .route("/healthz", get(api::health))
        .route("/metrics", get(api::metrics))
        .route("/api/openapi.json", get(api::openapi))
        .route("/api/rooms", get(api::rooms))
        .route("/api/rooms/{room}", get(api::room))
        .route("/api/rooms/{room}/tokens", post(api::token))
        .route("/api/rooms/{room}/ws", get(session::upgrade))
        .fallback(api::not_found)
        .layer(middleware::from_fn(security::headers))
        .with_state(app)
}

/// Serves until `stop` resolves; then tells everybody and ends within a few seconds.
pub async fn serve(
    listener: TcpListener,
    app: App,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let rooms = app.rooms.clone();
    let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
    let (told, stopping) = tokio::sync::oneshot::channel::<()>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async {
        // An error means that the sender is gone, which is the same thing.
        let _ = stopping.await;
    });
    let serving = tokio::spawn(async move { serving.await });
    stop.await;
    tracing::info!("stopping");
    let _ = told.send(());
    rooms.shut_down(SHUTDOWN_PATIENCE).await;
    match tokio::time::timeout(SHUTDOWN_PATIENCE / 3, serving).await {
        Ok(Ok(result)) => result,
        // A client that does not close its connection is not waited for.
        Ok(Err(_)) | Err(_) => Ok(()),
    }
}
