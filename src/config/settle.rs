//! Which of what is written counts, and whether it can be.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::texts::{CORES, TIER_BITRATES, parse_gutter};
use super::{Error, Settings, Tls, TlsMode, Written};
use crate::record::upload;
use crate::room::load;
use crate::room::tier::Tiers;
use crate::store::target::Target;
use crate::stream::push::allowed::Allowed;

/// Which certificate three settings mean together.
pub(super) fn certificate(
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
