//! Quilt, an MCU for video meetings: everybody sends one uplink and gets one downlink, in which
//! everybody else is mixed (RFC 7667 section 3.6.1, media-mixing mixer).
//!
//! # The way of the data
//!
//! ```text
//! peer ▸ room::uplink ▸ decode ▸ mix (tick) ▸ encode ▸ fanout ▸ peer
//! (RTP)                 (GStreamer)           (GStreamer)
//!       ▸ room::forward (fan-out of packets) ▸ peer of whoever takes it as it is
//! ```
//!
//! Media goes right only. What comes back (keyframe requests, levels, failures) arrives as events
//! in the room's inbox.
//!
//! # The house, from the ground up
//!
//! | module | what it knows |
//! |---|---|
//! | [`id`], [`clock`], [`allowance`], [`quiet`], [`media`], [`payload`], [`signalling`], [`strict_json`] | the vocabulary; imports nobody above |
//! | [`stats`], [`fanout`] | figures; one producer with many listeners, and one task that serves them |
//! | [`gst`] | pipelines as text, their state, errors and watchdogs |
//! | [`decode`] | one pipeline a track: RTP in, pictures and samples out, lip sync |
//! | [`encode`] | one pipeline a mix: pictures in, packets for a fan-out out |
//! | [`mix`] | the two clocks of a room: composing pictures, summing voices |
//! | [`peer`] | WebRTC: one port for all, offers and answers, packets both ways |
//! | [`room`] | who is in, who sees and hears what: a pure state machine and the task that acts |
//! | [`trust`] | TLS towards others |
//! | [`package`] | what is no WebRTC: H.264 as files hold it, CMAF, films, RTMP's messages |
//! | [`store`] | places for files elsewhere: folders and S3 |
//! | [`record`] | recordings: files that survive a crash |
//! | [`stream`] | the programme for the many: HLS, and pushing it to RTMP and SRT servers |
//! | [`server`] | HTTP, WebSocket, WHIP and WHEP, metrics, pages |
//! | [`tradeoff`] | what mesh, SFU, MCU and hybrid cost beside each other: the report |
//! | [`load`] | the load generator: real clients in bulk, what they see, and what each topology costs them |
//! | [`config`] | every setting |
//! | [`memory`] | gives back what nobody uses any more |
//! | [`systemd`] | the service manager, if there is one |
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

pub mod allowance;
pub mod clock;
pub mod config;
pub mod decode;
pub mod encode;
pub mod fanout;
#[cfg(test)]
mod fuzz;
pub mod gst;
pub mod id;
pub mod load;
pub mod media;
pub mod memory;
pub mod mix;
pub mod package;
pub mod payload;
pub mod peer;
pub mod quiet;
pub mod record;
pub mod room;
pub mod server;
pub mod signalling;
pub mod stats;
pub mod store;
pub mod stream;
pub mod strict_json;
pub mod systemd;
pub mod tradeoff;
pub mod trust;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::mpsc;

/// How long pipelines may take to end when nobody needs them any more. They take milliseconds.
const PIPELINES_PATIENCE: Duration = Duration::from_secs(1);

/// A server whose ports are open; it answers once it [`run`](Server::run)s. Whoever makes one owns
/// both ends: the addresses, and when it stops.
pub struct Server {
    listener: server::Listener,
    app: server::App,
    drain_timeout: Duration,
    cpu_budget: f64,
    http: SocketAddr,
    rtc: SocketAddr,
}

impl Server {
    /// Opens the ports and reads pipelines and pages.
    pub async fn bind(settings: config::Settings) -> anyhow::Result<Self> {
        gst::init().context("cannot start GStreamer")?;
        let library = match &settings.pipelines_dir {
            Some(folder) => gst::Library::from_dir(folder)?,
            None => gst::Library::embedded(),
        };
        let stats = Arc::new(stats::Stats::default());
        stats.budget.cores.set(settings.cpu_budget);
        let tls = match &settings.tls {
            None => None,
            Some(tls) => {
                let (public, local) = (&settings.public_ips, peer::addresses());
                Some(server::tls::load(tls, &settings.data_dir, public, &local)?)
            }
        };
        let secret = server::secret::keep(&settings.data_dir);
        let public_ip = !settings.public_ips.is_empty();
        let (codecs, prices) = {
            let (family, library, stats) = (settings.video_encoder, library.clone(), stats.clone());
            let choose = move || {
                let codecs = room::codecs::Codecs::choose(family, &library, &stats)?;
                Ok::<_, encode::choice::Unavailable>((codecs, codecs.prices(&library)))
            };
            let chosen = tokio::task::spawn_blocking(choose).await;
            chosen.context("choosing codecs")??
        };
        let transport = peer::Settings {
            listen: settings.rtc_listen,
            public_ips: settings.public_ips,
        };
        let engine = peer::Engine::bind(transport, stats.clone())
            .await
            .with_context(|| format!("cannot listen for media on {}", settings.rtc_listen))?;
        let limits = server::Limits::with_descriptors(server::descriptors::raise());
        let listener = server::Listener::bind(settings.listen, tls, limits)
            .await
            .with_context(|| format!("cannot listen for HTTP on {}", settings.listen))?;
        let (http, rtc) = (listener.local_addr()?, engine.local_addr());
        let is_turn = |server: &signalling::IceServer| server.urls.starts_with("turn");
        let reach = server::Reach {
            tls: settings.tls.is_some(),
            local: http.ip().is_loopback(),
            rtc_local: rtc.ip().is_loopback(),
            rtc_port: rtc.port(),
            public_ip,
            turn: settings.ice_servers.iter().any(is_turn),
        };
        let kept = record::desk::Settings {
            folder: settings.data_dir.join("recordings"),
            quota: settings.recordings_quota,
            keep: settings.recordings_keep,
            audio: settings.recordings_audio,
            upload: settings.recordings_upload,
        };
        let context = room::wiring::Context {
            library: library.clone(),
            stats: stats.clone(),
            codecs,
            fps: settings.fps,
            ledger: room::cost::Ledger::new(settings.cpu_budget, prices, stats.clone()),
        };
        let rules = room::state::Settings {
            policy: settings.mix,
            topology: settings.topology,
            stage_size: settings.stage_size,
            layout: settings.layout,
            fps: settings.fps,
            gutter: settings.gutter,
            audio_active: settings.audio_active,
            tiers: settings.tiers,
            ..Default::default()
        };
        let rooms = room::registry::Registry::new(context, rules, engine);
        let studio = stream::Studio {
            rooms: rooms.clone(),
            library: library.clone(),
            stats: stats.clone(),
        };
        let app = server::App {
            recordings: record::Desk::new(kept, rooms.clone(), library, stats.clone()),
            report: server::Report::new(
                settings.data_dir.join(load::tradeoff::written::FOLDER),
                draw_report,
                &tradeoff::html::content_security_policy(),
            ),
            outputs: stream::push::Desk::new(studio.clone(), settings.output_allow),
            hls: stream::hls::Desk::new(studio),
            hls_origins: settings.hls_origins.into(),
            rooms,
            stats: stats.clone(),
            authority: Arc::new(server::Authority::new(settings.api_key, secret)),
            reach: Arc::new(reach),
            openings: Arc::default(),
            knocks: Arc::default(),
            lines: server::Lines::default(),
            parcels: server::Parcels::default(),
            seats: server::Seats::default(),
            sessions: server::Sessions::new(stats),
            ice_servers: settings.ice_servers.into(),
            pages: server::Pages::new(settings.web_dir),
        };
        Ok(Self {
            listener,
            app,
            drain_timeout: settings.drain_timeout,
            cpu_budget: settings.cpu_budget,
            http,
            rtc,
        })
    }

    /// Where HTTP and WebSocket answer.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where media is received.
    pub fn rtc(&self) -> SocketAddr {
        self.rtc
    }

    /// Figures, as `/metrics` shows them.
    pub fn stats(&self) -> Arc<stats::Stats> {
        self.app.stats.clone()
    }

    /// The rooms, for those who watch over the server.
    pub fn rooms(&self) -> Arc<room::registry::Registry> {
        self.app.rooms.clone()
    }

    /// Serves until `stop` yields for the first time; then nobody comes in any more, and meetings
    /// go on for as long as the settings say, or until `stop` yields again. Then everybody is
    /// told, and all ends within five seconds. Where `stop` ends instead, so does everything.
    pub async fn run(self, stop: mpsc::Receiver<()>) -> anyhow::Result<()> {
        let (rooms, stats) = (Arc::downgrade(&self.app.rooms), self.app.stats.clone());
        tokio::spawn(memory::watch(Arc::downgrade(&stats)));
        // It ends by itself once there are no rooms any more.
        tokio::spawn(room::load::watch(rooms, stats, self.cpu_budget));
        server::serve(self.listener, self.app, self.drain_timeout, stop).await;
        let stopped = tokio::task::spawn_blocking(|| gst::wait_until_stopped(PIPELINES_PATIENCE));
        if !stopped.await.context("waiting for pipelines to end")? {
            tracing::warn!("some pipelines did not end in time");
        }
        Ok(())
    }
}

/// The page of a report of `quilt tradeoff`, or why there is none.
fn draw_report(json: &str) -> Result<String, String> {
    let report = tradeoff::Report::read(json).map_err(|error| error.to_string())?;
    Ok(tradeoff::html::html(&report))
}
