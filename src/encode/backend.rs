//! The encoders there may be: their elements, the pipeline texts around them, and what sets them.

use gstreamer::prelude::*;
use gstreamer::{Element, ElementFactory};

use super::video::Config;
use crate::gst::choice::Candidate;
use crate::gst::{self, Hardware, Spec, Value};
use crate::media::VideoCodec;

/// An encoder, and the pipeline text around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// VA-API, on GPUs of Intel and AMD.
    Va,
    /// The same on the low-power unit, which newer GPUs of Intel have alone.
    VaLowPower,
    /// NVENC, on GPUs of NVIDIA.
    Nv,
    /// Quick Sync, on GPUs of Intel.
    Qsv,
    /// A V4L2 memory-to-memory device, as systems on a chip have them.
    V4l2,
    /// x264: of those in software the best picture for its cost.
    X264,
    /// OpenH264: half a decibel less, and a licence without conditions.
    OpenH264,
    /// A V4L2 device for VP8.
    V4l2Vp8,
    /// libvpx.
    Vp8,
}

/// `encode-h264.gst`.
pub const X264: Spec = spec("encode-h264", KBPS);
/// `encode-openh264.gst`.
pub const OPENH264: Spec = spec("encode-openh264", BPS);
/// `encode-vp8.gst`.
pub const VP8: Spec = spec("encode-vp8", BPS);

/// `encode-va.gst`.
pub const VA: Hardware = Hardware {
    spec: spec(
        "encode-va",
        &[
            ("width", Value::Int(1280)),
            ("height", Value::Int(720)),
            ("fps", Value::Int(25)),
            ("kbps", Value::Int(1500)),
            ("buffer", Value::Int(600)),
        ],
    ),
    elements: &["vah264enc", "vah264lpenc"],
    stand_in: "x264enc",
};

/// `encode-nv.gst`.
pub const NV: Hardware = Hardware {
    spec: spec("encode-nv", KBPS),
    elements: &["nvh264enc"],
    stand_in: "x264enc",
};

/// `encode-qsv.gst`.
pub const QSV: Hardware = Hardware {
    spec: spec("encode-qsv", KBPS),
    elements: &["qsvh264enc"],
    stand_in: "x264enc",
};

/// `encode-v4l2-h264.gst`.
pub const V4L2: Hardware = Hardware {
    spec: spec("encode-v4l2-h264", BPS),
    elements: &["v4l2h264enc"],
    stand_in: "x264enc",
};

/// `encode-v4l2-vp8.gst`.
pub const V4L2_VP8: Hardware = Hardware {
    spec: spec("encode-v4l2-vp8", BPS),
    elements: &["v4l2vp8enc"],
    stand_in: "vp8enc",
};

/// Every text that wants hardware.
pub const HARDWARE: &[Hardware] = &[VA, NV, QSV, V4L2, V4L2_VP8];

const KBPS: &[(&str, Value)] = &[
    ("width", Value::Int(1280)),
    ("height", Value::Int(720)),
    ("fps", Value::Int(25)),
    ("kbps", Value::Int(1500)),
];

const BPS: &[(&str, Value)] = &[
    ("width", Value::Int(1280)),
    ("height", Value::Int(720)),
    ("fps", Value::Int(25)),
    ("bps", Value::Int(1_500_000)),
];

const fn spec(name: &'static str, values: &'static [(&'static str, Value)]) -> Spec {
    Spec {
        name,
        values,
        elements: &["source", "encoder", "sink"],
        inputs: &[],
    }
}

/// Milliseconds of a stream's own rate that the encoder's model of the receiver holds, where it
/// is a number of bits: what a keyframe may take at most.
const BUFFER_MS: u32 = 400;

impl Candidate for Backend {
    fn element(self) -> &'static str {
        match self {
            Self::Va => "vah264enc",
            Self::VaLowPower => "vah264lpenc",
            Self::Nv => "nvh264enc",
            Self::Qsv => "qsvh264enc",
            Self::V4l2 => "v4l2h264enc",
            Self::X264 => "x264enc",
            Self::OpenH264 => "openh264enc",
            Self::V4l2Vp8 => "v4l2vp8enc",
            Self::Vp8 => "vp8enc",
        }
    }

    fn package(self) -> Option<&'static str> {
        match self {
            Self::X264 => Some("gstreamer1.0-plugins-ugly"),
            Self::OpenH264 => Some("gstreamer1.0-plugins-bad"),
            Self::Vp8 => Some("gstreamer1.0-plugins-good"),
            _ => None,
        }
    }
}

impl Backend {
    /// What it makes.
    pub fn codec(self) -> VideoCodec {
        match self {
            Self::V4l2Vp8 | Self::Vp8 => VideoCodec::Vp8,
            _ => VideoCodec::H264,
        }
    }

    /// Whether it is a device's, which may have too few units or an ill-mannered driver.
    pub fn is_hardware(self) -> bool {
        self.package().is_none()
    }

    /// Whether there is such an element.
    pub fn is_installed(self) -> bool {
        gst::init().is_ok() && ElementFactory::find(self.element()).is_some()
    }

    /// Its pipeline text.
    pub fn spec(self) -> &'static Spec {
        match self {
            Self::Va | Self::VaLowPower => &VA.spec,
            Self::Nv => &NV.spec,
            Self::Qsv => &QSV.spec,
            Self::V4l2 => &V4L2.spec,
            Self::X264 => &X264,
            Self::OpenH264 => &OPENH264,
            Self::V4l2Vp8 => &V4L2_VP8.spec,
            Self::Vp8 => &VP8,
        }
    }

    /// What fills the placeholders of its text.
    pub fn values(self, config: &Config) -> Vec<(&'static str, Value)> {
        let mut values = vec![
            ("width", Value::Int(config.size.width.into())),
            ("height", Value::Int(config.size.height.into())),
            ("fps", Value::Int(config.fps.into())),
        ];
        if self.is_hardware() {
            values.push(("element", Value::Word(self.element())));
        }
        let kilobits = kilobits(config.bitrate);
        match self {
            Self::OpenH264 | Self::V4l2 | Self::V4l2Vp8 | Self::Vp8 => {
                values.push(("bps", Value::Int(config.bitrate.into())));
            }
            Self::Va | Self::VaLowPower | Self::Nv | Self::Qsv | Self::X264 => {
                values.push(("kbps", Value::Int(kilobits.into())));
            }
        }
        if let Self::Va | Self::VaLowPower = self {
            values.push(("buffer", Value::Int(buffer(kilobits).into())));
        }
        values
    }

    /// Changes the bitrate (bit/s) of a running encoder. A text from `--pipelines-dir` may have
    /// another element in its place; then it keeps its rate.
    pub fn set_bitrate(self, encoder: &Element, bitrate: u32) {
        let factory = encoder.factory().map(|factory| factory.name());
        if factory.as_deref() != Some(self.element()) {
            tracing::debug!(?factory, "an encoder of another kind keeps its bitrate");
            return;
        }
        for (property, value) in self.rate(bitrate) {
            encoder.set_property_from_str(property, &value);
        }
    }

    /// The properties that set a bitrate (bit/s), and their values.
    fn rate(self, bitrate: u32) -> Vec<(&'static str, String)> {
        let kilobits = kilobits(bitrate);
        match self {
            Self::Va | Self::VaLowPower => vec![
                ("bitrate", kilobits.to_string()),
                ("cpb-size", buffer(kilobits).to_string()),
            ],
            Self::Nv | Self::Qsv | Self::X264 => vec![("bitrate", kilobits.to_string())],
            Self::OpenH264 => vec![("bitrate", bitrate.to_string())],
            Self::V4l2 | Self::V4l2Vp8 => {
                vec![(
                    "extra-controls",
                    format!("controls,video_bitrate={bitrate}"),
                )]
            }
            Self::Vp8 => vec![("target-bitrate", bitrate.min(i32::MAX as u32).to_string())],
        }
    }
}

fn kilobits(bitrate: u32) -> u32 {
    (bitrate / 1000).max(1)
}

/// Kilobits of [`BUFFER_MS`].
fn buffer(kilobits: u32) -> u32 {
    (kilobits * BUFFER_MS / 1000).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::choice::Family;
    use crate::gst::template::wants_hardware;
    use crate::media::Size;

    /// Who is tried if nobody is asked for: all there are.
    fn all() -> Vec<Backend> {
        Family::Auto.candidates().concat()
    }

    #[test]
    fn every_text_is_filled_with_the_values_it_wants() {
        for backend in all() {
            let config = Config {
                backend,
                size: Size::new(640, 360),
                fps: 25,
                bitrate: 500_000,
            };
            let filled = backend.values(&config);
            let mut filled: Vec<_> = filled.iter().map(|(name, _)| *name).collect();
            filled.retain(|name| *name != "element");
            let wanted: Vec<_> = backend
                .spec()
                .values
                .iter()
                .map(|(name, _)| *name)
                .collect();
            assert_eq!(filled, wanted, "{backend:?}");
        }
    }

    #[test]
    fn hardware_texts_name_their_elements() {
        for backend in all() {
            let hardware = wants_hardware(HARDWARE, backend.spec(), backend.element());
            assert_eq!(hardware, backend.is_hardware(), "{backend:?}");
        }
    }

    #[test]
    fn rates_are_in_the_unit_of_each() {
        let rate = |backend: Backend| backend.rate(1_500_000);
        assert_eq!(rate(Backend::X264), [("bitrate", "1500".into())]);
        assert_eq!(rate(Backend::OpenH264), [("bitrate", "1500000".into())]);
        assert_eq!(rate(Backend::Vp8), [("target-bitrate", "1500000".into())]);
        let va = [("bitrate", "1500".into()), ("cpb-size", "600".into())];
        assert_eq!(rate(Backend::VaLowPower), va);
        let controls = "controls,video_bitrate=1500000".to_owned();
        assert_eq!(rate(Backend::V4l2), [("extra-controls", controls)]);
        assert_eq!(Backend::Nv.rate(1), [("bitrate", "1".into())], "never 0");
    }
}
