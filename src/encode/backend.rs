//! Which encoder of those installed does the work: the one place where that is chosen.

use std::sync::OnceLock;

use gstreamer::prelude::*;
use gstreamer::{Element, ElementFactory};

use super::video::Config;
use crate::gst::{self, Spec, Value};
use crate::media::VideoCodec;

/// An encoder, and the pipeline text around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// x264: the best picture for its cost.
    X264,
    /// OpenH264: half a decibel less, and a licence without conditions.
    OpenH264,
    /// libvpx.
    Vp8,
}

/// `encode-h264.gst`.
pub const X264: Spec = Spec {
    name: "encode-h264",
    values: &[
        ("width", Value::Int(1280)),
        ("height", Value::Int(720)),
        ("fps", Value::Int(25)),
        ("kbps", Value::Int(1500)),
    ],
    elements: ELEMENTS,
    inputs: &[],
};

/// `encode-openh264.gst`.
pub const OPENH264: Spec = Spec {
    name: "encode-openh264",
    ..VP8
};

/// `encode-vp8.gst`.
pub const VP8: Spec = Spec {
    name: "encode-vp8",
    values: &[
        ("width", Value::Int(1280)),
        ("height", Value::Int(720)),
        ("fps", Value::Int(25)),
        ("bps", Value::Int(1_500_000)),
    ],
    elements: ELEMENTS,
    inputs: &[],
};

const ELEMENTS: &[&str] = &["source", "encoder", "sink"];

impl Backend {
    /// The one to use for a codec; `None` where no encoder for it is installed. Chosen at the
    /// first question, for the life of the process.
    pub fn of(codec: VideoCodec) -> Option<Self> {
        static CHOICE: OnceLock<[Option<Backend>; 2]> = OnceLock::new();
        let [h264, vp8] = CHOICE.get_or_init(|| {
            let installed = |backend: &Backend| backend.is_installed();
            let first = |backends: &[Backend]| backends.iter().copied().find(installed);
            let choice = [
                first(&[Backend::X264, Backend::OpenH264]),
                first(&[Backend::Vp8]),
            ];
            log(choice);
            choice
        });
        match codec {
            VideoCodec::H264 => *h264,
            VideoCodec::Vp8 => *vp8,
        }
    }

    fn is_installed(self) -> bool {
        gst::init().is_ok() && ElementFactory::find(self.element()).is_some()
    }

    /// GStreamer's element.
    fn element(self) -> &'static str {
        match self {
            Self::X264 => "x264enc",
            Self::OpenH264 => "openh264enc",
            Self::Vp8 => "vp8enc",
        }
    }

    /// Its pipeline text.
    pub fn spec(self) -> &'static Spec {
        match self {
            Self::X264 => &X264,
            Self::OpenH264 => &OPENH264,
            Self::Vp8 => &VP8,
        }
    }

    /// What fills the placeholders of its text.
    pub fn values(self, config: &Config) -> [(&'static str, Value); 4] {
        let (rate, bitrate) = match self {
            Self::X264 => ("kbps", kilobits(config.bitrate)),
            Self::OpenH264 | Self::Vp8 => ("bps", config.bitrate),
        };
        [
            ("width", Value::Int(config.size.width.into())),
            ("height", Value::Int(config.size.height.into())),
            ("fps", Value::Int(config.fps.into())),
            (rate, Value::Int(bitrate.into())),
        ]
    }

    /// Changes the bitrate (bit/s) of a running encoder. A text from `--pipelines-dir` may have
    /// another element in its place; then it keeps its rate.
    pub fn set_bitrate(self, encoder: &Element, bitrate: u32) {
        let (property, value) = match self {
            Self::X264 => ("bitrate", kilobits(bitrate)),
            Self::OpenH264 => ("bitrate", bitrate),
            Self::Vp8 => ("target-bitrate", bitrate.min(i32::MAX as u32)),
        };
        let factory = encoder.factory().map(|factory| factory.name());
        if factory.as_deref() == Some(self.element()) {
            encoder.set_property_from_str(property, &value.to_string());
        } else {
            tracing::debug!(?factory, "an encoder of another kind keeps its bitrate");
        }
    }
}

fn kilobits(bitrate: u32) -> u32 {
    (bitrate / 1000).max(1)
}

fn log([h264, vp8]: [Option<Backend>; 2]) {
    match h264 {
        Some(Backend::X264) => tracing::info!("H.264 is encoded by x264enc"),
        Some(other) => tracing::warn!(
            "H.264 is encoded by {}: x264enc (gstreamer1.0-plugins-ugly) is not installed",
            other.element()
        ),
        None => tracing::warn!(
            "no H.264 is encoded: neither x264enc (gstreamer1.0-plugins-ugly) nor openh264enc \
             (gstreamer1.0-plugins-bad) is installed"
        ),
    }
    match vp8 {
        Some(_) => tracing::info!("VP8 is encoded by vp8enc"),
        None => {
            tracing::warn!("no VP8 is encoded: vp8enc (gstreamer1.0-plugins-good) is not installed")
        }
    }
}
