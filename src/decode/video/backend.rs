//! The decoders there may be, and which is used: the first that works, hardware before software.

use gstreamer::ElementFactory;

use super::{H264, VP8, spec};
use crate::gst::choice::{Candidate, Choice, Refusal, first};
use crate::gst::{self, Hardware, Spec};
use crate::media::VideoCodec;

/// A decoder, and the pipeline text around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    /// VA-API, on GPUs of Intel and AMD.
    VaH264,
    /// NVDEC, on GPUs of NVIDIA, as GStreamer names it up to 1.22.
    NvSlH264,
    /// The same from GStreamer 1.24 on.
    NvH264,
    /// A V4L2 device that is told all of each picture, as GStreamer does it.
    V4l2SlH264,
    /// A V4L2 device that reads the stream itself.
    V4l2H264,
    /// Quick Sync, on GPUs of Intel.
    QsvH264,
    /// FFmpeg.
    AvH264,
    /// OpenH264.
    OpenH264,
    /// As for H.264.
    VaVp8,
    /// As for H.264.
    NvSlVp8,
    /// As for H.264.
    NvVp8,
    /// As for H.264.
    V4l2SlVp8,
    /// As for H.264.
    V4l2Vp8,
    /// libvpx.
    Vp8,
}

/// `decode-openh264.gst`.
pub const OPENH264: Spec = spec("decode-openh264");

/// `decode-h264-stateless.gst`: GStreamer keeps the order of pictures, the device decodes one.
pub const STATELESS: Hardware = Hardware {
    spec: spec("decode-h264-stateless"),
    elements: &["vah264dec", "nvh264sldec", "nvh264dec", "v4l2slh264dec"],
    stand_in: "avdec_h264",
};

/// `decode-h264-stateful.gst`: the device keeps the order of pictures.
pub const STATEFUL: Hardware = Hardware {
    spec: spec("decode-h264-stateful"),
    elements: &["v4l2h264dec", "qsvh264dec"],
    stand_in: "avdec_h264",
};

/// `decode-vp8-hardware.gst`.
pub const VP8_HARDWARE: Hardware = Hardware {
    spec: spec("decode-vp8-hardware"),
    elements: &[
        "vavp8dec",
        "nvvp8sldec",
        "nvvp8dec",
        "v4l2slvp8dec",
        "v4l2vp8dec",
    ],
    stand_in: "vp8dec",
};

/// Every text that wants hardware.
pub const HARDWARE: &[Hardware] = &[STATELESS, STATEFUL, VP8_HARDWARE];

const H264_CANDIDATES: &[Backend] = &[
    Backend::VaH264,
    Backend::NvSlH264,
    Backend::NvH264,
    Backend::V4l2SlH264,
    Backend::V4l2H264,
    Backend::QsvH264,
    Backend::AvH264,
    Backend::OpenH264,
];

const VP8_CANDIDATES: &[Backend] = &[
    Backend::VaVp8,
    Backend::NvSlVp8,
    Backend::NvVp8,
    Backend::V4l2SlVp8,
    Backend::V4l2Vp8,
    Backend::Vp8,
];

impl Candidate for Backend {
    fn element(self) -> &'static str {
        match self {
            Self::VaH264 => "vah264dec",
            Self::NvSlH264 => "nvh264sldec",
            Self::NvH264 => "nvh264dec",
            Self::V4l2SlH264 => "v4l2slh264dec",
            Self::V4l2H264 => "v4l2h264dec",
            Self::QsvH264 => "qsvh264dec",
            Self::AvH264 => "avdec_h264",
            Self::OpenH264 => "openh264dec",
            Self::VaVp8 => "vavp8dec",
            Self::NvSlVp8 => "nvvp8sldec",
            Self::NvVp8 => "nvvp8dec",
            Self::V4l2SlVp8 => "v4l2slvp8dec",
            Self::V4l2Vp8 => "v4l2vp8dec",
            Self::Vp8 => "vp8dec",
        }
    }

    fn package(self) -> Option<&'static str> {
        match self {
            Self::AvH264 => Some("gstreamer1.0-libav"),
            Self::OpenH264 => Some("gstreamer1.0-plugins-bad"),
            Self::Vp8 => Some("gstreamer1.0-plugins-good"),
            _ => None,
        }
    }
}

impl Backend {
    /// What it takes.
    pub fn codec(self) -> VideoCodec {
        match H264_CANDIDATES.contains(&self) {
            true => VideoCodec::H264,
            false => VideoCodec::Vp8,
        }
    }

    /// Whether it is a device's, which may have too few units or an ill-mannered driver.
    pub fn is_hardware(self) -> bool {
        self.package().is_none()
    }

    /// Its pipeline text.
    pub fn spec(self) -> &'static Spec {
        match self {
            Self::VaH264 | Self::NvSlH264 | Self::NvH264 | Self::V4l2SlH264 => &STATELESS.spec,
            Self::V4l2H264 | Self::QsvH264 => &STATEFUL.spec,
            Self::AvH264 => &H264,
            Self::OpenH264 => &OPENH264,
            Self::VaVp8 | Self::NvSlVp8 | Self::NvVp8 | Self::V4l2SlVp8 | Self::V4l2Vp8 => {
                &VP8_HARDWARE.spec
            }
            Self::Vp8 => &VP8,
        }
    }

    /// The one in software, untried: the first that is installed, or what would have to be.
    pub fn software(codec: VideoCodec) -> Self {
        let installed = |backend: &Self| {
            gst::init().is_ok() && ElementFactory::find(backend.element()).is_some()
        };
        match codec {
            VideoCodec::H264 if !installed(&Self::AvH264) && installed(&Self::OpenH264) => {
                Self::OpenH264
            }
            VideoCodec::H264 => Self::AvH264,
            VideoCodec::Vp8 => Self::Vp8,
        }
    }

    /// Chooses one for `codec` by trying. `hardware`: whether devices are tried at all.
    ///
    /// # Errors
    /// If none works: says why not, of each.
    pub fn choose(
        codec: VideoCodec,
        hardware: bool,
        attempt: impl FnMut(Self) -> Result<(), Refusal>,
    ) -> Result<Choice<Self, ()>, String> {
        let all = match codec {
            VideoCodec::H264 => H264_CANDIDATES,
            VideoCodec::Vp8 => VP8_CANDIDATES,
        };
        let mut candidates = all.to_vec();
        candidates.retain(|backend| hardware || !backend.is_hardware());
        first(&candidates, attempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gst::template::wants_hardware;

    #[test]
    fn hardware_texts_name_their_elements() {
        for backend in H264_CANDIDATES.iter().chain(VP8_CANDIDATES) {
            let hardware = wants_hardware(HARDWARE, backend.spec(), backend.element());
            assert_eq!(hardware, backend.is_hardware(), "{backend:?}");
        }
    }

    #[test]
    fn hardware_goes_before_software_unless_nobody_wants_it() {
        let there = [Backend::V4l2H264, Backend::AvH264, Backend::Vp8];
        let attempt = |backend| match there.contains(&backend) {
            true => Ok(()),
            false => Err(Refusal::Absent),
        };
        let h264 = Backend::choose(VideoCodec::H264, true, attempt).unwrap();
        assert_eq!(h264.chosen, Backend::V4l2H264);
        let why = "not there: vah264dec, nvh264sldec, nvh264dec, v4l2slh264dec";
        assert_eq!(h264.reason, why);
        let h264 = Backend::choose(VideoCodec::H264, false, attempt).unwrap();
        assert_eq!(
            (h264.chosen, &*h264.reason),
            (Backend::AvH264, "the first choice")
        );
        let vp8 = Backend::choose(VideoCodec::Vp8, true, attempt).unwrap();
        assert_eq!(vp8.chosen, Backend::Vp8);
        let none = Backend::choose(VideoCodec::Vp8, false, |_| Err(Refusal::Absent));
        assert_eq!(
            none.unwrap_err(),
            "not there: vp8dec (gstreamer1.0-plugins-good)"
        );
    }

    #[test]
    fn software_needs_no_trial() {
        for codec in [VideoCodec::H264, VideoCodec::Vp8] {
            let backend = Backend::software(codec);
            assert_eq!((backend.codec(), backend.is_hardware()), (codec, false));
        }
    }
}
