//! Who encodes and decodes video in this process: chosen at start by trial.

use std::time::Duration;

use crate::decode::{self, video};
use crate::encode::choice::{self, Encoders, Family, Unavailable};
use crate::encode::{self, backend};
use crate::gst::choice::{Candidate, Choice, Refusal};
use crate::gst::{Library, trial};
use crate::media::{SharedPicture, VideoCodec};
use crate::room::cost::{Pixel, Prices};
use crate::stats::Stats;

/// How long a trial of hardware may take. They take a tenth of a second; some drivers wake up
/// slowly, and what takes longer is of no use in a meeting.
const HARDWARE_LIMIT: Duration = Duration::from_secs(5);
/// The same for software, which does not hang, but may have to wait for a busy machine.
const SOFTWARE_LIMIT: Duration = Duration::from_secs(20);

/// The encoder and the decoder of each codec.
#[derive(Debug, Clone, Copy)]
pub struct Codecs {
    encoders: Encoders,
    h264: video::Backend,
    vp8: video::Backend,
}

/// CPU seconds of encoding a second of Opus on the machine whose prices are the usual ones.
const OPUS: f64 = 0.012;

type Pictures = Vec<SharedPicture>;

impl Codecs {
    /// Tries what is there, in the order of preference; tells the log and the metrics what was
    /// chosen and why. Takes some tenths of a second, and at most [`HARDWARE_LIMIT`] for each
    /// device that hangs.
    ///
    /// # Errors
    /// If an encoder was asked for that does not work.
    pub fn choose(family: Family, library: &Library, stats: &Stats) -> Result<Self, Unavailable> {
        if !family.is_software() {
            load_plugins(library);
        }
        let chosen = choice::choose(family, |backend| {
            let (library, limit) = (library.clone(), limit(backend.is_hardware()));
            trial::attempt(backend, limit, move |limit| {
                encode::trial::encode(backend, &library, limit)
            })
        })?;
        for (codec, choice) in [
            (VideoCodec::H264, &chosen.h264),
            (VideoCodec::Vp8, &chosen.vp8),
        ] {
            let (element, reason) = report((codec, "encoded"), choice);
            stats.video_encoder(codec, element, reason);
        }
        let encoders = chosen.encoders();
        let decoder = |codec, stream: Result<Choice<backend::Backend, Pictures>, String>| {
            let stream = stream.map(|choice| choice.made).unwrap_or_default();
            let choice = choose_decoder(codec, !family.is_software(), stream, library);
            let (element, reason) = report((codec, "decoded"), &choice);
            stats.video_decoder(codec, element, reason);
            choice.map_or_else(|_| video::Backend::software(codec), |choice| choice.chosen)
        };
        Ok(Self {
            encoders,
            h264: decoder(VideoCodec::H264, chosen.h264),
            vp8: decoder(VideoCodec::Vp8, chosen.vp8),
        })
    }

    /// Measures what these cost, which takes some tenths of a second. What cannot be measured is
    /// taken to cost what it usually does.
    pub fn prices(&self, library: &Library) -> Prices {
        let coded = |codec| {
            let encoder = self.encoder(codec)?;
            let measured = {
                let (library, limit) = (library.clone(), limit(encoder.is_hardware()));
                trial::attempt(encoder, limit, move |limit| {
                    encode::trial::measure(encoder, &library, limit)
                })
            };
            let (encode, stream) = measured.ok()?;
            let decoder = self.decoder(codec);
            let measured = {
                let (library, limit) = (library.clone(), limit(decoder.is_hardware()));
                trial::attempt(decoder, limit, move |limit| {
                    video::trial::measure(decoder, &library, &stream, limit)
                })
            };
            let size = encode::trial::SIZE;
            let decode = measured.ok()? / f64::from(size.width * size.height);
            Some((encode, decode))
        };
        // Not a number is not credible.
        let coded = |codec| coded(codec).unwrap_or((f64::NAN, f64::NAN));
        let (h264, vp8) = (coded(VideoCodec::H264), coded(VideoCodec::Vp8));
        let opus = encode::audio::measure().map_or(f64::NAN, |spent| spent / OPUS);
        let prices = Prices {
            encode: Pixel {
                h264: h264.0,
                vp8: vp8.0,
            },
            decode: Pixel {
                h264: h264.1,
                vp8: vp8.1,
            },
            slowness: opus,
        };
        let prices = prices.measured();
        tracing::debug!(?prices, "what things cost here");
        prices
    }

    /// Those in software, untried.
    pub fn software() -> Self {
        Self {
            encoders: Encoders::software(),
            h264: video::Backend::software(VideoCodec::H264),
            vp8: video::Backend::software(VideoCodec::Vp8),
        }
    }

    /// Who encodes, if anybody can.
    pub fn encoder(&self, codec: VideoCodec) -> Option<backend::Backend> {
        self.encoders.of(codec)
    }

    /// Who decodes.
    pub fn decoder(&self, codec: VideoCodec) -> video::Backend {
        match codec {
            VideoCodec::H264 => self.h264,
            VideoCodec::Vp8 => self.vp8,
        }
    }

    /// The codec that all get, where only one can be encoded.
    pub fn only(&self) -> Option<VideoCodec> {
        self.encoders.only()
    }
}

fn limit(hardware: bool) -> Duration {
    match hardware {
        true => HARDWARE_LIMIT,
        false => SOFTWARE_LIMIT,
    }
}

/// Tries decoders with what the encoder made. Without that, nothing can be tried, and software is
/// trusted.
fn choose_decoder(
    codec: VideoCodec,
    hardware: bool,
    stream: Pictures,
    library: &Library,
) -> Result<Choice<video::Backend, ()>, String> {
    if stream.is_empty() {
        return Ok(Choice {
            chosen: video::Backend::software(codec),
            reason: "nothing to try others with: the codec is not encoded".into(),
            made: (),
        });
    }
    video::Backend::choose(codec, hardware, |backend| -> Result<(), Refusal> {
        let (library, stream) = (library.clone(), stream.clone());
        trial::attempt(backend, limit(backend.is_hardware()), move |limit| {
            video::trial::decode(backend, &library, &stream, encode::trial::SIZE, limit)
        })
    })
}

/// Loads the plugins of all that goes on without hardware. GStreamer loads one plugin at a time:
/// a driver that hangs while its plugin is loaded would keep the others out.
fn load_plugins(library: &Library) {
    let texts = [
        backend::X264,
        backend::OPENH264,
        backend::VP8,
        video::H264,
        video::OPENH264,
        video::VP8,
        decode::audio::OPUS,
    ];
    for spec in texts {
        // One that cannot be built is not chosen either, and then says why.
        let _ = library.build(spec.name, spec.values);
    }
}

/// Tells the log who codes, and why; answers both for the metrics.
fn report<'a, C: Candidate, T>(
    (codec, coded): (VideoCodec, &str),
    choice: &'a Result<Choice<C, T>, String>,
) -> (&'static str, &'a str) {
    let name = codec.name();
    match choice {
        Ok(Choice { chosen, reason, .. }) => {
            let element = chosen.element();
            tracing::info!("{name} is {coded} by {element} ({reason})");
            (element, reason)
        }
        Err(why) => {
            tracing::warn!("no {name} is {coded} ({why})");
            ("none", why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_hardware_software_is_chosen_and_said_to_be() {
        let stats = Stats::default();
        let library = Library::embedded();
        let codecs = Codecs::choose(Family::X264, &library, &stats).unwrap();
        let h264 = codecs.encoder(VideoCodec::H264);
        assert_eq!(h264, Some(backend::Backend::X264));
        assert_eq!(codecs.decoder(VideoCodec::Vp8), video::Backend::Vp8);
        let text = stats.render();
        for line in [
            r#"quilt_video_encoder_info{codec="h264",encoder="x264enc",reason="--video-encoder x264"} 1"#,
            r#"quilt_video_encoder_info{codec="vp8",encoder="vp8enc",reason="the first choice"} 1"#,
            r#"quilt_video_decoder_info{codec="h264",decoder="avdec_h264",reason="the first choice"} 1"#,
            r#"quilt_video_decoder_info{codec="vp8",decoder="vp8dec",reason="the first choice"} 1"#,
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_is_not_encoded_is_decoded_all_the_same() {
        let stats = Stats::default();
        let codecs = Codecs::choose(Family::Vp8, &Library::embedded(), &stats).unwrap();
        assert_eq!(codecs.encoder(VideoCodec::H264), None);
        assert_eq!(codecs.only(), Some(VideoCodec::Vp8));
        let software = video::Backend::software(VideoCodec::H264);
        assert_eq!(codecs.decoder(VideoCodec::H264), software);
        let none = r#"quilt_video_encoder_info{codec="h264",encoder="none","#;
        assert!(stats.render().contains(none));
    }
}
