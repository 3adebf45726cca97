//! What a run of `quilt tradeoff` measured, as it is written down.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Changes whenever a reader of the JSON would have to.
pub const SCHEMA: u32 = 1;

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Version of Quilt that measured.
    pub version: String,
    /// When it began, RFC 3339.
    pub date: String,
    /// Where.
    pub machine: Machine,
    /// What else took part, and its version: the browser, GStreamer, the codecs.
    pub software: Vec<Named>,
    /// How.
    pub settings: Settings,
    /// What was found, in the order in which it was.
    pub rows: Vec<Row>,
}

/// The machine on which everything ran: the server and all clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Model of the processor.
    pub cpu: String,
    /// Cores that could be used.
    pub cores: u32,
    /// Bytes.
    pub memory: u64,
    /// Name and release of the kernel.
    pub kernel: String,
}

/// Something and what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// What.
    pub name: String,
    /// Its version, or value.
    pub value: String,
}

/// How it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The short version.
    pub quick: bool,
    /// How long each row was counted, seconds.
    pub seconds: f64,
    /// How often each row was measured.
    pub rounds: u32,
    /// Topologies that were asked for.
    pub topologies: Vec<Topology>,
    /// Numbers of people that were asked for.
    pub people: Vec<u8>,
    /// What each client sends.
    pub sent: Picture,
    /// The mix that an MCU client gets.
    pub mix: Picture,
    /// Whatever else is to be known: codecs, layers, seed.
    pub more: Vec<Named>,
}

/// What pictures are like.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Picture {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Pictures a second.
    pub fps: u32,
    /// What the encoder is to reach, 1000 bits a second.
    pub kbps: u32,
}

/// Which way the media goes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// From everybody to everybody.
    Mesh,
    /// The server forwards.
    Sfu,
    /// The server mixes.
    Mcu,
    /// The server forwards to some and mixes for others.
    Hybrid,
}

impl Topology {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Mesh, Self::Sfu, Self::Mcu, Self::Hybrid];

    /// As the API writes it, and as a class of the page.
    pub fn key(self) -> &'static str {
        match self {
            Self::Mesh => "mesh",
            Self::Sfu => "sfu",
            Self::Mcu => "mcu",
            Self::Hybrid => "hybrid",
        }
    }

    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mesh => "Mesh",
            Self::Sfu => "SFU",
            Self::Mcu => "MCU",
            Self::Hybrid => "Hybrid",
        }
    }
}

/// Who, besides the people in the meeting, can see and hear its media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenBy {
    /// Nobody: it is encrypted from client to client.
    Nobody,
    /// The server holds the keys and forwards packets as they are.
    ForwardingServer,
    /// The server decodes and encodes again.
    MixingServer,
}

/// One meeting that was measured once. A quantity that is `None` was not measured in it.
///
/// Several rows may share topology, people and round, such as one of bulk clients for the network's
/// figures and one of browsers for their CPU.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Which way the media went.
    pub topology: Topology,
    /// People in the meeting.
    pub n: u8,
    /// Counted from 1.
    pub round: u32,
    /// Why it came to nothing. Such a row decides nothing, whatever else is in it.
    #[serde(default)]
    pub failed: Option<String>,
    /// Busy share of all cores of the machine while it was counted, 0 to 1.
    #[serde(default)]
    pub busy: Option<f64>,
    /// Pictures a second of each video stream: the client and stream that got the fewest.
    #[serde(default)]
    pub fps_got: Option<f64>,
    /// The same as it should have been.
    #[serde(default)]
    pub fps_wanted: Option<f64>,
    /// Video streams that each client sends, each to another destination (layers of one
    /// simulcast are one stream). The mean over the clients, as in all that follows.
    #[serde(default)]
    pub uplinks: Option<f64>,
    /// Video streams that each client receives.
    #[serde(default)]
    pub downlinks: Option<f64>,
    /// 1000 bits a second that each client sends.
    #[serde(default)]
    pub client_kbps_up: Option<f64>,
    /// 1000 bits a second that each client receives.
    #[serde(default)]
    pub client_kbps_down: Option<f64>,
    /// Cores that each bulk client keeps busy: it encodes nothing and shows nothing.
    #[serde(default)]
    pub client_cores_bulk: Option<f64>,
    /// Cores that each client keeps busy that is a real Chromium.
    #[serde(default)]
    pub client_cores_chromium: Option<f64>,
    /// Cores that the server keeps busy.
    #[serde(default)]
    pub server_cores: Option<f64>,
    /// 1000 bits a second that the server receives.
    #[serde(default)]
    pub server_kbps_in: Option<f64>,
    /// 1000 bits a second that the server sends.
    #[serde(default)]
    pub server_kbps_out: Option<f64>,
    /// From a sender's picture to the receiver's, median, ms.
    #[serde(default)]
    pub latency_p50_ms: Option<f64>,
    /// The same, 95th percentile.
    #[serde(default)]
    pub latency_p95_ms: Option<f64>,
    /// How true a tile is to what its sender's camera saw: SSIM of luma, 1 is the same.
    #[serde(default)]
    pub ssim: Option<f64>,
    /// Who could see the media.
    #[serde(default)]
    pub seen_by: Option<SeenBy>,
}

impl Row {
    /// A row in which nothing was measured yet.
    pub fn new(topology: Topology, n: u8, round: u32) -> Self {
        Self {
            topology,
            n,
            round,
            failed: None,
            busy: None,
            fps_got: None,
            fps_wanted: None,
            uplinks: None,
            downlinks: None,
            client_kbps_up: None,
            client_kbps_down: None,
            client_cores_bulk: None,
            client_cores_chromium: None,
            server_cores: None,
            server_kbps_in: None,
            server_kbps_out: None,
            latency_p50_ms: None,
            latency_p95_ms: None,
            ssim: None,
            seen_by: None,
        }
    }
}
