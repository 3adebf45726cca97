//! Every setting, from four places: the command line, the environment, a TOML file, and a
//! default; the earlier one wins. A setting has one name in all of them: `--video-bitrate`,
//! `QUILT_VIDEO_BITRATE`, `video-bitrate = …`.
//!
//! - `texts`: how single values are written.
//! - `settle`: which of what is written counts, and whether it can be.

mod settle;
mod texts;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use crate::encode::choice::Family;
use crate::media::{Layout, TopologyPolicy};
use crate::record::manifest::Sound;
use crate::record::upload;
use crate::room::state::MixPolicy;
use crate::room::tier::Tiers;
use crate::signalling::IceServer;
use crate::store::target::{self};
use crate::stream::push::allowed::{Allowed, Pattern};

pub use self::settle::check_environment;
pub use self::texts::IceServerText;
use self::texts::{parse_cores, parse_gutter, parse_layout, parse_policy, parse_tier_bitrate};

/// Settings as they are written down: whatever is absent has a default.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Written {
    /// Address of HTTP and WebSocket; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long, env = "QUILT_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Address of all media, UDP and ICE-TCP; the wildcard offers every local address
    /// [default: 0.0.0.0:40000]
    #[arg(long, env = "QUILT_RTC_LISTEN", value_name = "ADDR")]
    pub rtc_listen: Option<SocketAddr>,
    /// Address under which clients reach the media port, where it differs; repeatable
    #[arg(
        long,
        env = "QUILT_PUBLIC_IP",
        value_name = "IP",
        value_delimiter = ','
    )]
    pub public_ip: Option<Vec<IpAddr>>,
    /// STUN or TURN server handed to clients, as URL or URL,user,credential; repeatable
    #[arg(
        long,
        env = "QUILT_ICE_SERVER",
        value_name = "SERVER",
        value_delimiter = ' '
    )]
    pub ice_server: Option<Vec<IceServerText>>,
    /// Folder for what is kept: recordings, the self-signed certificate, the secret that hosts are known by [default: data]
    #[arg(long, env = "QUILT_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Who gets a mix of their own: personal, common or auto [default: auto]
    #[arg(long, env = "QUILT_MIX", value_name = "POLICY", value_parser = parse_policy)]
    pub mix: Option<MixPolicy>,
    /// Which way the media of a room goes until it is changed: mesh, sfu, mcu or auto [default: mcu]
    #[arg(long, env = "QUILT_TOPOLOGY", value_name = "WAY")]
    pub topology: Option<TopologyPolicy>,
    /// Secret that changing and administrating verbs want; without it they answer loopback only
    #[arg(
        long,
        env = "QUILT_API_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    pub api_key: Option<String>,
    /// Pictures a second of every mix, 1-60 [default: 25]
    #[arg(long, env = "QUILT_FPS", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60))]
    pub fps: Option<u32>,
    /// Bits a second of a full-size mix, 100000-20000000 [default: 1500000]
    #[arg(long, env = "QUILT_VIDEO_BITRATE", value_name = "BPS", value_parser = clap::value_parser!(u32).range(100_000..=20_000_000))]
    pub video_bitrate: Option<u32>,
    /// Bits a second of a mix of half the size, for lines and devices that carry no more; 0: there
    /// is none; else 50000-20000000 [default: 500000]
    #[arg(long, env = "QUILT_MEDIUM_BITRATE", value_name = "BPS", value_parser = parse_tier_bitrate)]
    pub medium_bitrate: Option<u32>,
    /// Bits a second of a small picture of who speaks, for lines that carry even less; 0: there is
    /// none; else 50000-20000000 [default: 150000]
    #[arg(long, env = "QUILT_LOW_BITRATE", value_name = "BPS", value_parser = parse_tier_bitrate)]
    pub low_bitrate: Option<u32>,
    /// Who encodes video; one that is asked for and does not work here is an error. Asking for one
    /// in software (x264, openh264, vp8) leaves hardware decoders alone, too [default: auto]
    #[arg(long, env = "QUILT_VIDEO_ENCODER", value_name = "ENCODER")]
    pub video_encoder: Option<Family>,
    /// At most this many tiles in a mix, 1-49 [default: 9]
    #[arg(long, env = "QUILT_STAGE_SIZE", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=49))]
    pub stage_size: Option<u32>,
    /// How mixes are arranged: grid, speaker, presentation or solo [default: grid]
    #[arg(long, env = "QUILT_LAYOUT", value_name = "LAYOUT", value_parser = parse_layout)]
    pub layout: Option<Layout>,
    /// At most this many voices are heard at a time, 1-49 [default: 5]
    #[arg(long, env = "QUILT_AUDIO_ACTIVE", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=49))]
    pub audio_active: Option<u32>,
    /// Pixels between tiles: 0, 16 or 32 [default: 16]
    #[arg(long, env = "QUILT_GUTTER", value_name = "PX", value_parser = parse_gutter)]
    pub gutter: Option<u32>,
    /// Cores that may be used before meetings give way, 0.1-1024; 85 % of those there are by default
    #[arg(long, env = "QUILT_CPU_BUDGET", value_name = "CORES", value_parser = parse_cores)]
    pub cpu_budget: Option<f64>,
    /// Serve the page from this folder instead of the copy in the binary
    #[arg(long, env = "QUILT_WEB_DIR", value_name = "DIR")]
    pub web_dir: Option<PathBuf>,
    /// Read pipelines from this folder instead of the copies in the binary
    #[arg(long, env = "QUILT_PIPELINES_DIR", value_name = "DIR")]
    pub pipelines_dir: Option<PathBuf>,
    /// Certificate chain to serve HTTPS with, PEM; read once at start
    #[arg(long, env = "QUILT_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of that certificate, PEM
    #[arg(long, env = "QUILT_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// HTTPS without a certificate at hand: self-signed makes one in the data folder
    /// [default: off]
    #[arg(long, env = "QUILT_TLS", value_name = "MODE")]
    pub tls: Option<TlsMode>,
    /// How the sound of recordings is encoded: aac, which plays everywhere, or opus [default: aac]
    #[arg(long, env = "QUILT_RECORDINGS_AUDIO", value_name = "CODEC")]
    pub recordings_audio: Option<Sound>,
    /// Days that recordings are kept, 1-36500; for ever without
    #[arg(long, env = "QUILT_RECORDINGS_KEEP", value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub recordings_keep: Option<u32>,
    /// Megabytes that all recordings together may take up; what the disk has without
    #[arg(long, env = "QUILT_RECORDINGS_QUOTA", value_name = "MB", value_parser = clap::value_parser!(u32).range(1..))]
    pub recordings_quota: Option<u32>,
    /// Where a copy of each recording is put when it is over: `file:///a/folder` or
    /// `s3://bucket/prefix`, the latter with the credentials of the usual AWS_ variables
    #[arg(long, env = "QUILT_RECORDINGS_UPLOAD", value_name = "URL")]
    pub recordings_upload: Option<String>,
    /// Who has that bucket, if it is not Amazon: `https://host` or `http://host:port`
    #[arg(long, env = "QUILT_RECORDINGS_UPLOAD_ENDPOINT", value_name = "URL")]
    pub recordings_upload_endpoint: Option<String>,
    /// Delete films here once their copy is there [default: false]
    #[arg(long, env = "QUILT_RECORDINGS_UPLOAD_REMOVE", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub recordings_upload_remove: Option<bool>,
    /// How long meetings may go on after a SIGTERM, which lets nobody in any more, 0-86400
    /// [default: 0]
    #[arg(long, env = "QUILT_DRAIN_TIMEOUT", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub drain_timeout: Option<u32>,
    /// Origin whose pages may play HLS from here, such as `https://tv.example`; * for any; repeatable.
    /// With an API key all may, by a token
    #[arg(
        long,
        env = "QUILT_HLS_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ','
    )]
    pub hls_origin: Option<Vec<String>>,
    /// Where rooms may be pushed to: a host name, *.domain, an address or a network such as
    /// 10.0.0.0/8; repeatable. Without, every public address; private ones only if they are named
    #[arg(
        long,
        env = "QUILT_OUTPUT_ALLOW",
        value_name = "TARGET",
        value_delimiter = ','
    )]
    pub output_allow: Option<Vec<Pattern>>,
    /// Fill a room called demo with four synthetic participants
    #[arg(long, env = "QUILT_DEMO", num_args = 0..=1, default_missing_value = "true", value_name = "BOOL")]
    pub demo: Option<bool>,
}

/// The words of `tls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// Plain HTTP, unless there are certificate files.
    Off,
    /// A certificate of our own making.
    SelfSigned,
}

/// Where the certificate of HTTPS comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// From files.
    Files {
        /// Certificate chain, PEM.
        cert: PathBuf,
        /// Its private key, PEM.
        key: PathBuf,
    },
    /// Made here and kept in the data folder.
    SelfSigned,
}

/// Settings as they are used: everything has a value.
#[derive(Debug, Clone)]
pub struct Settings {
    /// HTTP and WebSocket.
    pub listen: SocketAddr,
    /// All media.
    pub rtc_listen: SocketAddr,
    /// Offered to clients instead of the local addresses, if any.
    pub public_ips: Vec<IpAddr>,
    /// Handed to clients.
    pub ice_servers: Vec<IceServer>,
    /// Recordings, and the certificate made here.
    pub data_dir: PathBuf,
    /// Who gets a mix of their own.
    pub mix: MixPolicy,
    /// Which way the media of a room goes.
    pub topology: TopologyPolicy,
    /// Secret for changing verbs.
    pub api_key: Option<String>,
    /// Pictures a second.
    pub fps: u32,
    /// Bit/s.
    pub video_bitrate: u32,
    /// The same of each tier.
    pub tiers: Tiers,
    /// Who encodes video.
    pub video_encoder: Family,
    /// Tiles at most.
    pub stage_size: usize,
    /// How mixes are arranged.
    pub layout: Layout,
    /// Voices in a sum at most.
    pub audio_active: usize,
    /// Pixels.
    pub gutter: u32,
    /// Cores that may be used before meetings give way.
    pub cpu_budget: f64,
    /// Page from disk.
    pub web_dir: Option<PathBuf>,
    /// Pipelines from disk.
    pub pipelines_dir: Option<PathBuf>,
    /// HTTPS instead of HTTP.
    pub tls: Option<Tls>,
    /// How the sound of recordings is encoded.
    pub recordings_audio: Sound,
    /// How long recordings are kept.
    pub recordings_keep: Option<Duration>,
    /// Bytes that recordings may take up.
    pub recordings_quota: Option<u64>,
    /// Where copies of recordings are put.
    pub recordings_upload: Option<upload::Settings>,
    /// How long meetings may go on once the server is told to stop.
    pub drain_timeout: Duration,
    /// Origins whose pages may play HLS.
    pub hls_origins: Vec<String>,
    /// Where rooms may be pushed to.
    pub output_allow: Allowed,
    /// Synthetic participants.
    pub demo: bool,
}

/// What is wrong with the settings; names the key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read settings from {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has an unknown key or a bad value.
    #[error("bad settings in {path}: {source}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Names the key.
        source: Box<toml::de::Error>,
    },
    /// An environment variable that looks like a setting but is none.
    #[error("unknown setting {0} in the environment")]
    UnknownVariable(String),
    /// A setting that is nothing without another one.
    #[error("{key} is needed with {with}")]
    Needed {
        /// Which setting is absent.
        key: &'static str,
        /// Which one is there.
        with: &'static str,
    },
    /// Two settings that exclude each other.
    #[error("{key}: leave it out, or leave out {other}: one certificate is enough")]
    Both {
        /// One.
        key: &'static str,
        /// The other.
        other: &'static str,
    },
    /// No place for copies of recordings.
    #[error("recordings-upload and its endpoint: expected {0}")]
    Upload(#[from] target::Error),
    /// A value outside its range.
    #[error("{key}: {value} is not {expected}")]
    Value {
        /// Which setting.
        key: &'static str,
        /// What was written.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_the_key_it_gets_wrong() {
        let wrong = toml::from_str::<Written>("fpz = 25").unwrap_err();
        assert!(wrong.to_string().contains("fpz"), "{wrong}");
        let wrong = toml::from_str::<Written>("listen = \"nowhere\"").unwrap_err();
        assert!(wrong.to_string().contains("listen"), "{wrong}");
        let written: Written = toml::from_str("fps = 0").unwrap();
        assert!(written.settle().unwrap_err().to_string().contains("fps"));
        let written: Written = toml::from_str("low-bitrate = 100").unwrap();
        let wrong = written.settle().unwrap_err().to_string();
        assert!(wrong.contains("low-bitrate"), "{wrong}");
        let off: Written = toml::from_str("low-bitrate = 0").unwrap();
        assert_eq!(off.settle().unwrap().tiers.low, 0);
    }

    #[test]
    fn the_command_line_goes_over_the_file() {
        let line: Written = toml::from_str("fps = 12").unwrap();
        let file: Written = toml::from_str("fps = 30\ngutter = 32").unwrap();
        let settings = line.over(file).settle().unwrap();
        assert_eq!((settings.fps, settings.gutter), (12, 32));
    }

    #[test]
    fn a_certificate_is_whole_and_only_one() {
        let tls = |text: &str| {
            let written: Written = toml::from_str(text).map_err(|error| error.to_string())?;
            let settled = written.settle().map_err(|error| error.to_string());
            settled.map(|settings| settings.tls)
        };
        assert_eq!(tls(""), Ok(None));
        assert_eq!(tls("tls = \"off\""), Ok(None));
        assert_eq!(tls("tls = \"self-signed\""), Ok(Some(Tls::SelfSigned)));
        let files = Tls::Files {
            cert: "c".into(),
            key: "k".into(),
        };
        assert_eq!(tls("tls-cert = \"c\"\ntls-key = \"k\""), Ok(Some(files)));
        let wrong = tls("tls-cert = \"c\"").unwrap_err();
        assert_eq!(wrong, "tls-key is needed with tls-cert");
        let wrong = tls("tls-key = \"k\"").unwrap_err();
        assert_eq!(wrong, "tls-cert is needed with tls-key");
        let both = "tls = \"self-signed\"\ntls-cert = \"c\"\ntls-key = \"k\"";
        assert!(tls(both).unwrap_err().starts_with("tls: "));
        assert!(tls("tls = \"on\"").unwrap_err().contains("tls"));
    }

    #[test]
    fn ice_servers_are_checked() {
        assert!(
            "stun:stun.example.org:3478"
                .parse::<IceServerText>()
                .is_ok()
        );
        assert!("http://x".parse::<IceServerText>().is_err());
        assert!("turn:t.example.org".parse::<IceServerText>().is_err());
        let turn: IceServerText = "turn:t.example.org,ann,s3cret,with,commas".parse().unwrap();
        assert_eq!(turn.0.credential.as_deref(), Some("s3cret,with,commas"));
    }

    #[test]
    fn unknown_variables_are_refused() {
        let known = vec!["QUILT_FPS".to_owned()];
        let names = |n: &str| vec![n.to_owned(), "PATH".to_owned()].into_iter();
        assert!(check_environment(names("QUILT_FPS"), &known).is_ok());
        assert!(check_environment(names("QUILT_FSP"), &known).is_err());
    }
}
