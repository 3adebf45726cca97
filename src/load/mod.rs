//! `quilt load`: real WebRTC clients in bulk, what they send, and what they see and hear.
//!
//! ```text
//! scene | clip file ▸ mark ▸ clip ┐                         ┌▸ receiver ▸ freeze
//!                    beep: audio ┴▸ publisher ▸ (server) ▸ client
//!                                    └▸ sent ─────────────▸ sample ▸ watch ▸ mark, beep
//! ```
//!
//! - Nothing is encoded while it runs: [`clip`] and [`audio`] make packets beforehand, in loops.
//!   A [`mark`] in each picture names source and frame, a beep each second has its source's pitch.
//! - [`publisher`] knows when a source sends what (pure), an [`outlet`] takes it; [`sent`] remembers
//!   when it did.
//! - Every [`client`] counts what it gets without decoding it ([`receiver`], pure). A few decode it
//!   ([`sample`]), and a [`watch`] (pure) finds marks and beeps again: fresh pictures, latency from
//!   end to end, lip sync.
//! - [`churn`] has such clients come and go for as long as one likes, and [`growth`] (pure) tells what
//!   of the server did not go with them.
//! - After a run the pictures of the mix that were put into an [`album`] are compared with what the
//!   sources show ([`content`]).
//! - [`bench`](mod@bench) puts all of it between [`floor`] and [`naive`]; [`host`] is the door of servers that
//!   are not Quilt.
//! - [`tradeoff`] holds the same meeting as mesh, SFU and MCU, and measures what each way costs.
//! - [`demo`] uses the same clients for the company in `quilt serve --demo`.

pub mod album;
pub mod audio;
pub mod beep;
pub mod bench;
pub mod churn;
pub mod client;
pub mod clip;
pub mod content;
pub mod demo;
#[cfg(test)]
mod echo;
pub mod floor;
pub mod freeze;
pub mod growth;
pub mod host;
pub mod large;
pub mod mark;
pub mod metrics;
pub mod naive;
pub mod outlet;
pub mod persona;
pub mod picture;
pub mod publisher;
pub mod receiver;
pub mod report;
pub mod row;
pub mod run;
pub mod sample;
pub mod scene;
pub mod sent;
pub mod tradeoff;
pub mod verdict;
pub mod voice;
pub mod watch;
pub mod ws;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::id::RoomName;
use crate::media::{self, VideoCodec};

pub use run::run;

/// What `quilt load` is asked to do.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// The room, which needs not exist
    #[arg(long, default_value = "load")]
    pub room: RoomName,
    /// Clients that send and receive
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(..=250))]
    pub publishers: u8,
    /// Clients that only receive
    #[arg(long, default_value_t = 0)]
    pub viewers: u16,
    /// How long is counted, from when everybody has joined
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: u32,
    /// From the last join until counting begins, seconds: layouts settle, encoders find their rate
    #[arg(long, default_value_t = 3)]
    pub settle: u32,
    /// Send this video (its first ten seconds, over and over) instead of generated pictures
    #[arg(long, value_name = "FILE")]
    pub clip: Option<PathBuf>,
    /// What publishers send
    #[arg(long, value_enum, default_value_t = Uplink::Mixed)]
    pub codec: Uplink,
    /// What everybody receives
    #[arg(long, value_enum, default_value_t = Downlink::H264)]
    pub downlink: Downlink,
    /// Quality tier of the downlink
    #[arg(long, value_enum, default_value_t = Quality::High)]
    pub quality: Quality,
    /// How many clients decode what they receive
    #[arg(long, default_value_t = 4)]
    pub decode: u16,
    /// Pictures a second of the sources
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub fps: u32,
    /// Of the content and of the phases of the sources
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print the report as JSON (schema: tests/load-report.schema.json)
    #[arg(long)]
    pub json: bool,
}

/// Codecs of the uplinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Uplink {
    /// All send H.264.
    H264,
    /// All send VP8.
    Vp8,
    /// The first, third, … send H.264, the others VP8.
    Mixed,
}

/// Codec of the downlinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Downlink {
    /// H.264.
    H264,
    /// VP8.
    Vp8,
}

/// What everybody chooses to get at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Quality {
    /// What their line carries.
    Auto,
    /// The full mix: 1280x720 by default.
    High,
    /// Half the size.
    Medium,
    /// A small picture of who speaks.
    Low,
    /// No picture.
    Audio,
}

impl From<Quality> for media::Quality {
    fn from(quality: Quality) -> Self {
        match quality {
            Quality::Auto => Self::Auto,
            Quality::High => Self::High,
            Quality::Medium => Self::Medium,
            Quality::Low => Self::Low,
            Quality::Audio => Self::Audio,
        }
    }
}

impl Uplink {
    fn of(self, publisher: u8) -> VideoCodec {
        match self {
            Uplink::H264 => VideoCodec::H264,
            Uplink::Vp8 => VideoCodec::Vp8,
            Uplink::Mixed if publisher.is_multiple_of(2) => VideoCodec::H264,
            Uplink::Mixed => VideoCodec::Vp8,
        }
    }
}

impl From<Downlink> for VideoCodec {
    fn from(downlink: Downlink) -> Self {
        match downlink {
            Downlink::H264 => VideoCodec::H264,
            Downlink::Vp8 => VideoCodec::Vp8,
        }
    }
}
