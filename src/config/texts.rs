//! How single settings are written.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::media::Layout;
use crate::room::state::MixPolicy;
use crate::signalling::IceServer;

/// What may be said of the processor: less does not carry one meeting, more is a slip.
pub(super) const CORES: std::ops::RangeInclusive<f64> = 0.1..=1024.0;
/// What the smaller tiers may have, bit/s.
pub(super) const TIER_BITRATES: std::ops::RangeInclusive<u32> = 50_000..=20_000_000;

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

pub(super) fn parse_policy(text: &str) -> Result<MixPolicy, String> {
    match text {
        "personal" => Ok(MixPolicy::Personal),
        "common" => Ok(MixPolicy::Common),
        "auto" => Ok(MixPolicy::Auto),
        _ => Err("expected personal, common or auto".into()),
    }
}

pub(super) fn parse_layout(text: &str) -> Result<Layout, String> {
    match text {
        "grid" => Ok(Layout::Grid),
        "speaker" => Ok(Layout::Speaker),
        "presentation" => Ok(Layout::Presentation),
        "solo" => Ok(Layout::Solo),
        _ => Err("expected grid, speaker, presentation or solo".into()),
    }
}

pub(super) fn parse_tier_bitrate(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(bitrate) if bitrate == 0 || TIER_BITRATES.contains(&bitrate) => Ok(bitrate),
        _ => Err("expected 0, or 50000 to 20000000".into()),
    }
}

pub(super) fn parse_gutter(text: &str) -> Result<u32, String> {
    match text {
        "0" => Ok(0),
        "16" => Ok(16),
        "32" => Ok(32),
        _ => Err("expected 0, 16 or 32".into()),
    }
}

pub(super) fn parse_cores(text: &str) -> Result<f64, String> {
    let cores = text.parse().ok().filter(|cores| CORES.contains(cores));
    cores.ok_or_else(|| "expected a number from 0.1 to 1024".into())
}
