//! Which encoders are used: those that the settings allow, in the order of preference (pure).

use std::fmt;

use super::backend::Backend;
use crate::gst::choice::{Choice, Refusal, first};
use crate::media::VideoCodec;

/// What may be asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub enum Family {
    /// Hardware that works here, else x264, else OpenH264; VP8 for who has no H.264.
    #[default]
    Auto,
    /// x264, in software.
    X264,
    /// OpenH264, in software.
    OpenH264,
    /// VP8 for everybody, in software (libvpx).
    Vp8,
    /// VA-API: GPUs of Intel and AMD.
    Va,
    /// NVENC: GPUs of NVIDIA.
    Nv,
    /// Quick Sync: GPUs of Intel.
    Qsv,
    /// V4L2: encoders of systems on a chip.
    V4l2,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::X264 => "x264",
            Self::OpenH264 => "openh264",
            Self::Vp8 => "vp8",
            Self::Va => "va",
            Self::Nv => "nv",
            Self::Qsv => "qsv",
            Self::V4l2 => "v4l2",
        })
    }
}

impl Family {
    /// The one to ask for to get this.
    pub fn of(backend: Backend) -> Self {
        match backend {
            Backend::Va | Backend::VaLowPower => Self::Va,
            Backend::Nv => Self::Nv,
            Backend::Qsv => Self::Qsv,
            Backend::V4l2 | Backend::V4l2Vp8 => Self::V4l2,
            Backend::X264 => Self::X264,
            Backend::OpenH264 => Self::OpenH264,
            Backend::Vp8 => Self::Vp8,
        }
    }

    /// Whether it asks for a codec in software: who does so wants no device touched.
    pub fn is_software(self) -> bool {
        matches!(self, Self::X264 | Self::OpenH264 | Self::Vp8)
    }

    /// Who may encode H.264, and who VP8. VP8 is not for show: some browsers have nothing else.
    pub(super) fn candidates(self) -> [&'static [Backend]; 2] {
        const VP8: &[Backend] = &[Backend::Vp8];
        match self {
            Self::Auto => [
                &[
                    Backend::Va,
                    Backend::VaLowPower,
                    Backend::Nv,
                    Backend::Qsv,
                    Backend::V4l2,
                    Backend::X264,
                    Backend::OpenH264,
                ],
                &[Backend::V4l2Vp8, Backend::Vp8],
            ],
            Self::X264 => [&[Backend::X264], VP8],
            Self::OpenH264 => [&[Backend::OpenH264], VP8],
            Self::Vp8 => [&[], VP8],
            Self::Va => [&[Backend::Va, Backend::VaLowPower], VP8],
            Self::Nv => [&[Backend::Nv], VP8],
            Self::Qsv => [&[Backend::Qsv], VP8],
            Self::V4l2 => [&[Backend::V4l2], &[Backend::V4l2Vp8, Backend::Vp8]],
        }
    }

    /// The codec it stands for, which must work if it is asked for.
    fn codec(self) -> Option<VideoCodec> {
        match self {
            Self::Auto => None,
            Self::Vp8 => Some(VideoCodec::Vp8),
            _ => Some(VideoCodec::H264),
        }
    }
}

/// Somebody asked for an encoder that does not work here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("--video-encoder {family} does not work here: {why}")]
pub struct Unavailable {
    /// Which one.
    pub family: Family,
    /// Why not, of each of its elements.
    pub why: String,
}

/// For each codec an encoder and what its trial made, or why there is none.
#[derive(Debug)]
pub struct Chosen<T> {
    /// For H.264.
    pub h264: Result<Choice<Backend, T>, String>,
    /// For VP8.
    pub vp8: Result<Choice<Backend, T>, String>,
}

/// Chooses by trying.
///
/// # Errors
/// If `family` is not [`Family::Auto`] and none of its elements works.
pub fn choose<T>(
    family: Family,
    mut attempt: impl FnMut(Backend) -> Result<T, Refusal>,
) -> Result<Chosen<T>, Unavailable> {
    let mut one = |codec, candidates: &[Backend]| {
        let mut choice = match candidates {
            [] => Err("all get VP8, as --video-encoder says".to_owned()),
            some => first(some, &mut attempt),
        };
        if family.codec() == Some(codec) {
            match &mut choice {
                Ok(choice) => choice.reason = format!("--video-encoder {family}"),
                Err(why) => {
                    let why = why.clone();
                    return Err(Unavailable { family, why });
                }
            }
        }
        Ok(choice)
    };
    let [h264, vp8] = family.candidates();
    Ok(Chosen {
        h264: one(VideoCodec::H264, h264)?,
        vp8: one(VideoCodec::Vp8, vp8)?,
    })
}

/// The encoders of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoders {
    h264: Option<Backend>,
    vp8: Option<Backend>,
}

impl<T> Chosen<T> {
    /// Just them.
    pub fn encoders(&self) -> Encoders {
        let chosen = |choice: &Result<Choice<Backend, T>, String>| {
            let choice = choice.as_ref().ok();
            choice.map(|choice| choice.chosen)
        };
        Encoders {
            h264: chosen(&self.h264),
            vp8: chosen(&self.vp8),
        }
    }
}

impl Encoders {
    /// Those in software that are installed, untried.
    pub fn software() -> Self {
        let installed = |backends: &[Backend]| {
            let mut backends = backends.iter().copied();
            backends.find(|backend| !backend.is_hardware() && backend.is_installed())
        };
        let [h264, vp8] = Family::Auto.candidates().map(installed);
        Self { h264, vp8 }
    }

    /// The one for a codec, if there is one.
    pub fn of(&self, codec: VideoCodec) -> Option<Backend> {
        match codec {
            VideoCodec::H264 => self.h264,
            VideoCodec::Vp8 => self.vp8,
        }
    }

    /// The codec that all must get, where only one can be encoded.
    pub fn only(&self) -> Option<VideoCodec> {
        match (self.h264, self.vp8) {
            (Some(_), None) => Some(VideoCodec::H264),
            (None, Some(_)) => Some(VideoCodec::Vp8),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn works(these: &[Backend]) -> impl FnMut(Backend) -> Result<(), Refusal> {
        move |backend| match these.contains(&backend) {
            true => Ok(()),
            false if backend.is_hardware() => Err(Refusal::Absent),
            false => Err(Refusal::Failed("no picture".into())),
        }
    }

    fn reasons(chosen: &Chosen<()>) -> [Result<(Backend, &str), &str>; 2] {
        [&chosen.h264, &chosen.vp8].map(|choice| match choice {
            Ok(choice) => Ok((choice.chosen, &*choice.reason)),
            Err(why) => Err(&**why),
        })
    }

    #[test]
    fn hardware_goes_before_software() {
        let there = [Backend::Nv, Backend::X264, Backend::V4l2Vp8, Backend::Vp8];
        let chosen = choose(Family::Auto, works(&there)).unwrap();
        let h264 = (Backend::Nv, "not there: vah264enc, vah264lpenc");
        let vp8 = (Backend::V4l2Vp8, "the first choice");
        assert_eq!(reasons(&chosen), [Ok(h264), Ok(vp8)]);
        assert_eq!(chosen.encoders().only(), None);
    }

    #[test]
    fn what_does_not_work_is_passed_over_down_to_vp8() {
        let no_gpu = "not there: vah264enc, vah264lpenc, nvh264enc, qsvh264enc, v4l2h264enc";
        let chosen = choose(Family::Auto, works(&[Backend::OpenH264, Backend::Vp8])).unwrap();
        let why = format!("{no_gpu}; x264enc: no picture");
        assert_eq!(reasons(&chosen)[0], Ok((Backend::OpenH264, &*why)));

        let chosen = choose(Family::Auto, works(&[Backend::Vp8])).unwrap();
        let why = format!("{no_gpu}; x264enc: no picture; openh264enc: no picture");
        assert_eq!(reasons(&chosen)[0], Err(&*why));
        let encoders = chosen.encoders();
        assert_eq!(encoders.of(VideoCodec::H264), None);
        assert_eq!(encoders.only(), Some(VideoCodec::Vp8));
    }

    #[test]
    fn one_that_is_asked_for_is_taken_or_an_error() {
        let all = [Backend::VaLowPower, Backend::X264, Backend::Vp8];
        for (family, backend) in [
            (Family::Va, Backend::VaLowPower),
            (Family::X264, Backend::X264),
        ] {
            let chosen = choose(family, works(&all)).unwrap();
            let h264 = chosen.h264.as_ref().unwrap();
            assert_eq!(h264.chosen, backend);
            assert_eq!(h264.reason, format!("--video-encoder {family}"));
            assert_eq!(chosen.vp8.unwrap().chosen, Backend::Vp8, "for Firefox");
        }
        let refused = choose(Family::Nv, works(&all)).unwrap_err();
        let text = "--video-encoder nv does not work here: not there: nvh264enc";
        assert_eq!(refused.to_string(), text);
        let refused = choose(Family::OpenH264, works(&all)).unwrap_err();
        assert_eq!(refused.why, "openh264enc: no picture");
        assert!(choose(Family::Vp8, works(&[Backend::X264])).is_err());
    }

    #[test]
    fn vp8_for_all_encodes_no_h264() {
        let chosen = choose(Family::Vp8, works(&[Backend::X264, Backend::Vp8])).unwrap();
        let vp8 = (Backend::Vp8, "--video-encoder vp8");
        let why = "all get VP8, as --video-encoder says";
        assert_eq!(reasons(&chosen), [Err(why), Ok(vp8)]);
    }

    #[test]
    fn software_is_found_without_a_trial() {
        let encoders = Encoders::software();
        let x264 = Backend::X264.is_installed();
        let h264 = if x264 {
            Backend::X264
        } else {
            Backend::OpenH264
        };
        assert_eq!(encoders.of(VideoCodec::H264), Some(h264));
        assert_eq!(encoders.of(VideoCodec::Vp8), Some(Backend::Vp8));
    }
}
