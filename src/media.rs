//! The vocabulary of media that passes from stage to stage. Imports nobody but the clock.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::MediaTime;

/// RTP clock of every video codec here (RFC 6184, RFC 7741), Hz.
pub const VIDEO_CLOCK: u32 = 90_000;
/// RTP clock of Opus (RFC 7587) and sample rate of all audio here, Hz.
pub const AUDIO_CLOCK: u32 = 48_000;
/// Samples of one audio tick: 20 ms at 48 kHz, mono.
pub const AUDIO_FRAME: usize = 960;

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Opus.
    Audio,
    /// H.264 or VP8.
    Video,
}

/// The video codecs Quilt decodes and encodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VideoCodec {
    /// H.264 / AVC over RTP as in RFC 6184.
    H264,
    /// VP8 over RTP as in RFC 7741.
    Vp8,
}

impl VideoCodec {
    /// As people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::H264 => "H.264",
            Self::Vp8 => "VP8",
        }
    }
}

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl Size {
    /// A size.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }
}

/// A place on a canvas, in pixels from its top left corner; all even (I420).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

impl Rect {
    /// Its width and height.
    pub fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }
}

/// How a picture is brought into a tile of another shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Centre-cropped by at most 20 % of a side, letterboxed beyond: cameras.
    Crop,
    /// Never cropped: screen shares.
    Whole,
}

/// How the pictures of a mix are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// All of one size.
    #[default]
    Grid,
    /// Who speaks is large, the others are beside them.
    Speaker,
    /// A screen is large and whole, who speaks is beside it.
    Presentation,
    /// Who speaks, alone.
    Solo,
}

/// How good a picture somebody gets. Each tier has a size, a rate and an arrangement of its own.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// No picture at all.
    Audio,
    /// Who speaks, alone and small.
    Low,
    /// A few, of half the size.
    Medium,
    /// Everybody on stage.
    #[default]
    High,
}

/// What somebody chose to get at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// The best that their line carries.
    #[default]
    Auto,
    /// [`Tier::High`].
    High,
    /// [`Tier::Medium`].
    Medium,
    /// [`Tier::Low`].
    Low,
    /// [`Tier::Audio`].
    Audio,
}

impl Quality {
    /// The best tier that is in question.
    pub fn most(self) -> Tier {
        match self {
            Self::Auto | Self::High => Tier::High,
            Self::Medium => Tier::Medium,
            Self::Low => Tier::Low,
            Self::Audio => Tier::Audio,
        }
    }
}

/// Why somebody gets the tier that they get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Because {
    /// They chose it.
    Chosen,
    /// Their line carries no more.
    Line,
    /// The server can do no more.
    Server,
}

/// How far a decoded picture must be turned clockwise to stand upright (CVO, 3GPP TS 26.114).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Rotation {
    /// Upright already.
    #[default]
    R0,
    /// A quarter turn clockwise.
    R90,
    /// Upside down.
    R180,
    /// A quarter turn anticlockwise.
    R270,
}

/// A copy of somebody's picture: some clients send two, so that nobody gets more than is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Layer {
    /// Half as wide and half as high.
    Half,
    /// All of it; the only one of most clients.
    #[default]
    Whole,
}

impl Layer {
    /// The smaller first.
    pub const ALL: [Self; 2] = [Self::Half, Self::Whole];

    /// What RTP calls it (RID, RFC 8852).
    pub const fn rid(self) -> &'static str {
        match self {
            Self::Half => "h",
            Self::Whole => "f",
        }
    }

    /// What RTP calls so.
    pub fn of_rid(rid: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|layer| layer.rid().as_bytes() == rid)
    }
}

/// Which way the media of a room goes. The later ones do more for the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topology {
    /// From everybody to everybody; the server introduces them.
    Mesh,
    /// The server forwards what each sends to all others.
    Sfu,
    /// The server mixes.
    Mcu,
}

/// Which way the media of a room is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TopologyPolicy {
    /// From everybody to everybody, while nothing needs the server's media and all agree; else
    /// as [`TopologyPolicy::Sfu`].
    Mesh,
    /// The server forwards.
    Sfu,
    /// The server mixes.
    #[default]
    Mcu,
    /// What suits those who are in.
    Auto,
}

impl std::str::FromStr for TopologyPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "mesh" => Ok(Self::Mesh),
            "sfu" => Ok(Self::Sfu),
            "mcu" => Ok(Self::Mcu),
            "auto" => Ok(Self::Auto),
            _ => Err(format!("{text:?}: mesh, sfu, mcu or auto")),
        }
    }
}

/// What somebody gets from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Downlink {
    /// All of them in one stream.
    #[default]
    Mixed,
    /// A stream of each, as they send it, for which they ask one by one.
    Forwarded,
    /// Nothing by way of the server.
    Direct,
}

/// A sender's claim of loudness (RFC 6464).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioLevel {
    /// 0 is the loudest, 127 silence, in -dBov.
    pub level: u8,
    /// The sender believes that this is speech.
    pub voice: bool,
}

/// An RTP packet of an uplink (RFC 3550), decrypted, retransmissions already in their place.
#[derive(Debug, Clone)]
pub struct RtpPacket {
    /// Negotiated payload type.
    pub payload_type: u8,
    /// Last packet of a picture; first of a talk spurt.
    pub marker: bool,
    /// Wraps at 65,536.
    pub sequence: u16,
    /// In [`VIDEO_CLOCK`] or [`AUDIO_CLOCK`] ticks; wraps at 2^32.
    pub timestamp: u32,
    /// The sender's source.
    pub ssrc: u32,
    /// Without header, extensions and padding. May be empty: a probe, to be counted, not decoded.
    pub payload: Bytes,
    /// When it was read from the socket.
    pub arrived: MediaTime,
    /// RFC 6464 level, where negotiated (audio only).
    pub level: Option<AudioLevel>,
    /// CVO rotation, where negotiated (video only; on the last packet of a picture).
    pub rotation: Option<Rotation>,
}

/// One encoded picture of a mix, packetised once for all its listeners.
#[derive(Debug, Clone)]
pub struct EncodedPicture {
    /// Codec of `payloads`.
    pub codec: VideoCodec,
    /// The tick it was composed at: what outgoing RTP timestamps are made of.
    pub at: MediaTime,
    /// A decoder can start here.
    pub keyframe: bool,
    /// RTP payloads in order; the marker bit goes on the last one.
    pub payloads: Vec<Bytes>,
    /// For each source frame first shown in this picture: when its last packet had arrived.
    pub arrivals: Vec<MediaTime>,
    /// Serial number of the layout this picture was composed with.
    pub layout: u64,
}

/// One 20 ms Opus packet of a mix.
#[derive(Debug, Clone)]
pub struct EncodedAudio {
    /// The tick of its first sample.
    pub at: MediaTime,
    /// Opus payload (RFC 7587).
    pub payload: Bytes,
}

/// What a fan-out hands to its listeners.
pub trait Fanned: Send + Sync + 'static {
    /// Whether a listener may start here.
    fn starts(&self) -> bool;
    /// Which dropping queue this is in `quilt_dropped_total{queue}`.
    const QUEUE: &'static str;
    /// Items that a listener may be behind. More would be delay nobody wants; fewer are dropped on
    /// a scheduling hiccup.
    const BEHIND: usize;
}

impl Fanned for EncodedPicture {
    fn starts(&self) -> bool {
        self.keyframe
    }
    const QUEUE: &'static str = "fanout_video";
    // A second, at 25 a second.
    const BEHIND: usize = 25;
}

impl Fanned for EncodedAudio {
    fn starts(&self) -> bool {
        true
    }
    const QUEUE: &'static str = "fanout_audio";
    // Half a second.
    const BEHIND: usize = 25;
}

/// A packet of an uplink on its way to those who take it as it is.
#[derive(Debug, Clone)]
pub struct ForwardedPacket {
    /// As it came.
    pub packet: RtpPacket,
    /// Of which copy of the picture.
    pub layer: Layer,
    /// Of its payload; none: Opus.
    pub codec: Option<VideoCodec>,
    /// The first packet of a picture from which a decoder can start.
    pub keyframe: bool,
}

impl Fanned for ForwardedPacket {
    fn starts(&self) -> bool {
        self.keyframe || self.codec.is_none()
    }
    const QUEUE: &'static str = "fanout_forward";
    // Packets of a keyframe of 300 kB.
    const BEHIND: usize = 256;
}

/// Shared by every listener of a mix.
pub type SharedPicture = Arc<EncodedPicture>;
/// Shared by every listener of a mix.
pub type SharedAudio = Arc<EncodedAudio>;
