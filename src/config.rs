//! Every setting, from four places: the command line, the environment, a TOML file, and a
//! default; the earlier one wins. A setting has one name in all of them: `--video-bitrate`,
//! `QUILT_VIDEO_BITRATE`, `video-bitrate = …`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::encode::choice::Family;
use crate::media::{Layout, TopologyPolicy};
use crate::record::manifest::Sound;
use crate::record::upload;
use crate::room::load;
use crate::room::state::MixPolicy;
use crate::room::tier::Tiers;
use crate::signalling::IceServer;
use crate::store::target::{self, Target};
use crate::stream::push::allowed::{Allowed, Pattern};

/// What may be said of the processor: less does not carry one meeting, more is a slip.
const CORES: std::ops::RangeInclusive<f64> = 0.1..=1024.0;

/// What the smaller tiers may have, bit/s.
const TIER_BITRATES: std::ops::RangeInclusive<u32> = 50_000..=20_000_000;

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

/// `URL[,user,credential]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct IceServerText(pub IceServer);

impl FromStr for IceServerText {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(3, ',').map(str::to_owned);
        let urls = parts.next().unwrap_or_default();
        let scheme = urls.split(':').next().unwrap_or_default();
        if !matches!(scheme, "stun" | "stuns" | "turn" | "turns") || urls.len() <= scheme.len() + 1
        {
            return Err(format!("{urls:?} is not a stun: or turn: URL"));
        }
        let (username, credential) = (parts.next(), parts.next());
        if scheme.starts_with("turn") && credential.is_none() {
            return Err(format!("{urls}: a TURN server needs ,user,credential"));
        }
        Ok(Self(IceServer {
            urls,
            username,
            credential,
        }))
    }
}

impl TryFrom<String> for IceServerText {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<IceServerText> for String {
    fn from(server: IceServerText) -> String {
        let IceServer {
            urls,
            username,
            credential,
        } = server.0;
        [Some(urls), username, credential]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(",")
    }
}

/// Which certificate three settings mean together.
fn certificate(
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    mode: Option<TlsMode>,
) -> Result<Option<Tls>, Error> {
    let needed = |key, with| Err(Error::Needed { key, with });
    match (cert, key, mode) {
        (Some(_), None, _) => needed("tls-key", "tls-cert"),
        (None, Some(_), _) => needed("tls-cert", "tls-key"),
        (Some(_), Some(_), Some(TlsMode::SelfSigned)) => Err(Error::Both {
            key: "tls",
            other: "tls-cert",
        }),
        (Some(cert), Some(key), _) => Ok(Some(Tls::Files { cert, key })),
        (None, None, Some(TlsMode::SelfSigned)) => Ok(Some(Tls::SelfSigned)),
        (None, None, Some(TlsMode::Off) | None) => Ok(None),
    }
}

/// Where copies go by three settings together.
fn uploads(
    target: Option<&str>,
    endpoint: Option<&str>,
    remove: Option<bool>,
) -> Result<Option<upload::Settings>, Error> {
    let with = match (endpoint, remove) {
        (Some(_), _) => Some("recordings-upload-endpoint"),
        (None, Some(true)) => Some("recordings-upload-remove"),
        _ => None,
    };
    match (target, with) {
        (None, Some(with)) => Err(Error::Needed {
            key: "recordings-upload",
            with,
        }),
        (None, None) => Ok(None),
        (Some(target), _) => Ok(Some(upload::Settings {
            target: Target::new(target, endpoint)?,
            remove: remove.unwrap_or(false),
        })),
    }
}

fn parse_policy(text: &str) -> Result<MixPolicy, String> {
    match text {
        "personal" => Ok(MixPolicy::Personal),
        "common" => Ok(MixPolicy::Common),
        "auto" => Ok(MixPolicy::Auto),
        _ => Err("expected personal, common or auto".into()),
    }
}

fn parse_layout(text: &str) -> Result<Layout, String> {
    match text {
        "grid" => Ok(Layout::Grid),
        "speaker" => Ok(Layout::Speaker),
        "presentation" => Ok(Layout::Presentation),
        "solo" => Ok(Layout::Solo),
        _ => Err("expected grid, speaker, presentation or solo".into()),
    }
}

fn parse_tier_bitrate(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(bitrate) if bitrate == 0 || TIER_BITRATES.contains(&bitrate) => Ok(bitrate),
        _ => Err("expected 0, or 50000 to 20000000".into()),
    }
}

fn parse_gutter(text: &str) -> Result<u32, String> {
    match text {
        "0" => Ok(0),
        "16" => Ok(16),
        "32" => Ok(32),
        _ => Err("expected 0, 16 or 32".into()),
    }
}

fn parse_cores(text: &str) -> Result<f64, String> {
    let cores = text.parse().ok().filter(|cores| CORES.contains(cores));
    cores.ok_or_else(|| "expected a number from 0.1 to 1024".into())
}

impl Written {
    /// Reads a TOML file.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.into(),
            source,
        })?;
        toml::from_str(&text).map_err(|source| Error::Parse {
            path: path.into(),
            source: Box::new(source),
        })
    }

    /// These settings, and those of `below` where these are silent.
    pub fn over(self, below: Self) -> Self {
        Self {
            listen: self.listen.or(below.listen),
            rtc_listen: self.rtc_listen.or(below.rtc_listen),
            public_ip: self.public_ip.or(below.public_ip),
            ice_server: self.ice_server.or(below.ice_server),
            data_dir: self.data_dir.or(below.data_dir),
            mix: self.mix.or(below.mix),
            topology: self.topology.or(below.topology),
            api_key: self.api_key.or(below.api_key),
            fps: self.fps.or(below.fps),
            video_bitrate: self.video_bitrate.or(below.video_bitrate),
            medium_bitrate: self.medium_bitrate.or(below.medium_bitrate),
            low_bitrate: self.low_bitrate.or(below.low_bitrate),
            video_encoder: self.video_encoder.or(below.video_encoder),
            stage_size: self.stage_size.or(below.stage_size),
            layout: self.layout.or(below.layout),
            audio_active: self.audio_active.or(below.audio_active),
            gutter: self.gutter.or(below.gutter),
            cpu_budget: self.cpu_budget.or(below.cpu_budget),
            web_dir: self.web_dir.or(below.web_dir),
            pipelines_dir: self.pipelines_dir.or(below.pipelines_dir),
            tls_cert: self.tls_cert.or(below.tls_cert),
            tls_key: self.tls_key.or(below.tls_key),
            tls: self.tls.or(below.tls),
            recordings_audio: self.recordings_audio.or(below.recordings_audio),
            recordings_keep: self.recordings_keep.or(below.recordings_keep),
            recordings_quota: self.recordings_quota.or(below.recordings_quota),
            recordings_upload: self.recordings_upload.or(below.recordings_upload),
            recordings_upload_endpoint: self
                .recordings_upload_endpoint
                .or(below.recordings_upload_endpoint),
            recordings_upload_remove: self
                .recordings_upload_remove
                .or(below.recordings_upload_remove),
            drain_timeout: self.drain_timeout.or(below.drain_timeout),
            hls_origin: self.hls_origin.or(below.hls_origin),
            output_allow: self.output_allow.or(below.output_allow),
            demo: self.demo.or(below.demo),
        }
    }

    /// Fills in the defaults and checks what a file may have got wrong.
    pub fn settle(self) -> Result<Settings, Error> {
        let drain_timeout = self.drain_timeout.unwrap_or(0);
        let (keep, quota) = (self.recordings_keep, self.recordings_quota);
        let tiers = Tiers {
            high: self.video_bitrate.unwrap_or(Tiers::default().high),
            medium: self.medium_bitrate.unwrap_or(Tiers::default().medium),
            low: self.low_bitrate.unwrap_or(Tiers::default().low),
        };
        let settings = Settings {
            listen: self.listen.unwrap_or(([127, 0, 0, 1], 8080).into()),
            rtc_listen: self.rtc_listen.unwrap_or(([0, 0, 0, 0], 40_000).into()),
            public_ips: self.public_ip.unwrap_or_default(),
            ice_servers: self
                .ice_server
                .unwrap_or_default()
                .into_iter()
                .map(|server| server.0)
                .collect(),
            data_dir: self.data_dir.unwrap_or_else(|| "data".into()),
            mix: self.mix.unwrap_or_default(),
            topology: self.topology.unwrap_or_default(),
            api_key: self.api_key,
            fps: self.fps.unwrap_or(25),
            video_bitrate: tiers.high,
            tiers,
            video_encoder: self.video_encoder.unwrap_or_default(),
            stage_size: self.stage_size.unwrap_or(9) as usize,
            layout: self.layout.unwrap_or_default(),
            audio_active: self.audio_active.unwrap_or(5) as usize,
            gutter: self.gutter.unwrap_or(16),
            cpu_budget: self.cpu_budget.unwrap_or_else(load::default_budget),
            web_dir: self.web_dir,
            pipelines_dir: self.pipelines_dir,
            tls: certificate(self.tls_cert, self.tls_key, self.tls)?,
            recordings_audio: self.recordings_audio.unwrap_or_default(),
            recordings_keep: keep.map(|days| Duration::from_secs(u64::from(days) * 86_400)),
            recordings_quota: quota.map(|megabytes| u64::from(megabytes) * 1_000_000),
            recordings_upload: uploads(
                self.recordings_upload.as_deref(),
                self.recordings_upload_endpoint.as_deref(),
                self.recordings_upload_remove,
            )?,
            drain_timeout: Duration::from_secs(drain_timeout.into()),
            hls_origins: self.hls_origin.unwrap_or_default(),
            output_allow: Allowed(self.output_allow.unwrap_or_default()),
            demo: self.demo.unwrap_or(false),
        };
        let in_range = |key, value: u32, range: std::ops::RangeInclusive<u32>, expected| {
            if range.contains(&value) {
                return Ok(());
            }
            Err(Error::Value {
                key,
                value: value.to_string(),
                expected,
            })
        };
        in_range("fps", settings.fps, 1..=60, "from 1 to 60")?;
        in_range(
            "drain-timeout",
            drain_timeout,
            0..=86_400,
            "from 0 to 86400",
        )?;
        in_range(
            "video-bitrate",
            settings.video_bitrate,
            100_000..=20_000_000,
            "from 100000 to 20000000",
        )?;
        in_range(
            "stage-size",
            settings.stage_size as u32,
            1..=49,
            "from 1 to 49",
        )?;
        in_range(
            "audio-active",
            settings.audio_active as u32,
            1..=49,
            "from 1 to 49",
        )?;
        in_range(
            "recordings-keep",
            keep.unwrap_or(1),
            1..=36_500,
            "from 1 to 36500",
        )?;
        in_range(
            "recordings-quota",
            quota.unwrap_or(1),
            1..=u32::MAX,
            "at least 1",
        )?;
        if parse_gutter(&settings.gutter.to_string()).is_err() {
            return Err(Error::Value {
                key: "gutter",
                value: settings.gutter.to_string(),
                expected: "0, 16 or 32",
            });
        }
        if !CORES.contains(&settings.cpu_budget) {
            return Err(Error::Value {
                key: "cpu-budget",
                value: settings.cpu_budget.to_string(),
                expected: "from 0.1 to 1024",
            });
        }
        for (key, bitrate) in [
            ("medium-bitrate", settings.tiers.medium),
            ("low-bitrate", settings.tiers.low),
        ] {
            if bitrate > 0 {
                in_range(key, bitrate, TIER_BITRATES, "0, or from 50000 to 20000000")?;
            }
        }
        if settings.api_key.as_ref().is_some_and(|key| key.len() < 16) {
            return Err(Error::Value {
                key: "api-key",
                value: "(hidden)".into(),
                expected: "at least 16 characters long",
            });
        }
        Ok(settings)
    }
}

/// Refuses variables that look like a setting and are none: a typo must not be a silent default.
pub fn check_environment(
    names: impl Iterator<Item = String>,
    known: &[String],
) -> Result<(), Error> {
    for name in names {
        if name.starts_with("QUILT_") && !known.contains(&name) {
            return Err(Error::UnknownVariable(name));
        }
    }
    Ok(())
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
