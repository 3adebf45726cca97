//! Quilt, an MCU for video meetings: everybody sends one uplink and gets one downlink, in which
//! everybody else is mixed (RFC 7667 section 3.6.1, media-mixing mixer).
//!
//! # The way of the data
//!
//! ```text
//! peer ▸ room::uplink ▸ decode ▸ mix (tick) ▸ encode ▸ fanout ▸ peer
//! (RTP)                 (GStreamer)           (GStreamer)
//! ```
//!
//! Media goes right only. What comes back (keyframe requests, levels, failures) arrives as events
//! in the room's inbox.
//!
//! # The house, from the ground up
//!
//! | module | what it knows |
//! |---|---|
//! | [`id`], [`clock`], [`media`], [`signalling`], [`strict_json`] | the vocabulary; imports nobody above |
//! | [`stats`], [`fanout`] | figures; one producer with many listeners |
//! | [`gst`] | pipelines as text, their state, errors and watchdogs |
//! | [`decode`] | one pipeline a track: RTP in, pictures and samples out, lip sync |
//! | [`encode`] | one pipeline a mix: pictures in, packets for a fan-out out |
//! | [`mix`] | the two clocks of a room: composing pictures, summing voices |
//! | [`peer`] | WebRTC: one port for all, offers and answers, packets both ways |
//! | [`room`] | who is in, who sees and hears what: a pure state machine and the task that acts |
//! | [`server`] | HTTP, WebSocket, metrics, pages |
//! | [`load`] | the load generator: real clients in bulk, and what they see |
//! | [`config`] | every setting |
//!
//! # Invariants
//!
//! - Imports go downwards in this table; `webrtc` is named only in `peer`, GStreamer only in `gst`
//!   and the media stages, `axum` only in `server`.
//! - What decides is pure and takes the time as an argument; what acts is thin.
//! - The media clocks never wait for an input. A late, frozen or broken source costs its own tile.
//! - Each track and each mix has a pipeline of its own; a failure ends that one only.
//! - Encoders are distinct mixes, never viewers; all that consumes a mix is a listener of its
//!   fan-out.
//! - Queues are bounded, drop the oldest and count what they dropped.
//! - Nobody is in the mix they get, unless the room's policy is one common mix.

pub mod clock;
pub mod config;
pub mod decode;
pub mod encode;
pub mod fanout;
pub mod gst;
pub mod id;
pub mod load;
pub mod media;
pub mod mix;
pub mod peer;
pub mod room;
pub mod server;
pub mod signalling;
pub mod stats;
pub mod strict_json;

use std::sync::Arc;

use anyhow::Context as _;

/// Runs a server until `stop` resolves. Its first line on standard output is JSON with the
/// addresses in use: `{"http":"127.0.0.1:8080","rtc":"0.0.0.0:40000"}`.
pub async fn serve(
    settings: config::Settings,
    stop: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    gst::init().context("cannot start GStreamer")?;
    let library = match &settings.pipelines_dir {
        Some(folder) => gst::Library::from_dir(folder)?,
        None => gst::Library::embedded(),
    };
    let stats = Arc::new(stats::Stats::default());
    let transport = peer::Settings {
        listen: settings.rtc_listen,
        public_ips: settings.public_ips.clone(),
    };
    let engine = peer::Engine::bind(transport, stats.clone())
        .await
        .with_context(|| format!("cannot listen for media on {}", settings.rtc_listen))?;
    let listener = tokio::net::TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen for HTTP on {}", settings.listen))?;
    let addresses = serde_json::json!({
        "http": listener.local_addr()?.to_string(),
        "rtc": engine.local_addr().to_string(),
    });
    let rooms = room::registry::Registry::new(
        room::wiring::Context {
            library,
            stats: stats.clone(),
            fps: settings.fps,
            video_bitrate: settings.video_bitrate,
        },
        room::state::Settings {
            policy: settings.mix,
            stage_size: settings.stage_size,
            gutter: settings.gutter,
            ..Default::default()
        },
        engine,
    );
    let app = server::App {
        rooms,
        stats,
        authority: Arc::new(server::Authority::new(settings.api_key)),
        ice_servers: settings.ice_servers.into(),
        pages: server::Pages::new(settings.web_dir),
    };
    println!("{addresses}");
    tracing::info!("open http://{}/", listener.local_addr()?);
    server::serve(listener, app, stop).await?;
    Ok(())
}
