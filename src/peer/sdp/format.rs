//! Payload types and what they stand for.

use std::collections::HashMap;

use super::Section;
use crate::media::{Kind, VideoCodec};

/// The codecs that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum Codec {
    /// opus/48000/2 (RFC 7587).
    Opus,
    /// RFC 7741.
    Vp8,
    /// RFC 6184.
    H264 {
        /// profile_idc: 66 baseline, 77 main, 100 high.
        profile: u8,
        /// Constrained baseline: no tool that other profiles lack.
        constrained: bool,
        /// packetization-mode: 1 allows fragments (FU-A) and aggregates (STAP-A).
        mode: u8,
    },
}

impl Codec {
    /// Its kind.
    pub fn kind(self) -> Kind {
        match self {
            Self::Opus => Kind::Audio,
            Self::Vp8 | Self::H264 { .. } => Kind::Video,
        }
    }

    /// The video codec it is, if it is one.
    pub fn video(self) -> Option<VideoCodec> {
        match self {
            Self::Opus => None,
            Self::Vp8 => Some(VideoCodec::Vp8),
            Self::H264 { .. } => Some(VideoCodec::H264),
        }
    }

    /// How well it suits as what *we* send; smaller is better, `None` is not at all. Pictures are
    /// packetised once for all, with fragments, and encoded as constrained baseline, which a
    /// decoder of any higher profile decodes too.
    fn sending_rank(self) -> Option<u8> {
        match self {
            Self::Opus => Some(0),
            Self::H264 { mode, .. } if mode != 1 => None,
            Self::H264 {
                constrained: true, ..
            } => Some(1),
            Self::H264 { profile: 66, .. } => Some(2),
            Self::H264 { profile: 77, .. } => Some(3),
            Self::H264 { .. } => Some(4),
            Self::Vp8 => Some(5),
        }
    }
}

/// A payload type of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::peer) struct Format {
    /// 0 to 127.
    pub payload_type: u8,
    /// What it is.
    pub codec: Codec,
    /// The value of its `a=fmtp`, empty if it has none.
    pub parameters: String,
    /// The payload type of its retransmissions (RFC 4588).
    pub rtx: Option<u8>,
}

impl Format {
    /// The formats of `section` that are served, in its order.
    pub fn all(section: &Section) -> Vec<Format> {
        let maps: HashMap<u8, &str> = numbered(section, "rtpmap").collect();
        let parameters: HashMap<u8, &str> = numbered(section, "fmtp").collect();
        let listed: Vec<u8> = section.formats().filter_map(|pt| pt.parse().ok()).collect();
        let rtx: HashMap<u8, u8> = listed
            .iter()
            .filter(|pt| maps.get(pt).is_some_and(|map| is(map, "rtx/90000")))
            .filter_map(|pt| Some((parameter(parameters.get(pt)?, "apt")?.parse().ok()?, *pt)))
            .collect();
        let mut formats: Vec<Format> = Vec::new();
        for payload_type in listed {
            let own = parameters.get(&payload_type).copied().unwrap_or("");
            let codec = maps
                .get(&payload_type)
                .and_then(|map| codec(section.media(), map, own));
            if let Some(codec) = codec
                && formats.iter().all(|f| f.payload_type != payload_type)
            {
                formats.push(Format {
                    payload_type,
                    codec,
                    parameters: own.to_owned(),
                    rtx: rtx.get(&payload_type).copied(),
                });
            }
        }
        formats
    }
}

/// Which of `formats` to send: `prefer` if it is there, else H.264, else VP8.
pub(in crate::peer) fn choose(formats: &[Format], prefer: Option<VideoCodec>) -> Option<&Format> {
    formats
        .iter()
        .filter_map(|format| Some((format, format.codec.sending_rank()?)))
        .min_by_key(|(format, rank)| {
            let preferred = prefer.is_some() && format.codec.video() == prefer;
            (!preferred, *rank)
        })
        .map(|(format, _)| format)
}

fn codec(media: &str, map: &str, parameters: &str) -> Option<Codec> {
    match media {
        "audio" if is(map, "opus/48000/2") => Some(Codec::Opus),
        "video" if is(map, "VP8/90000") => Some(Codec::Vp8),
        "video" if is(map, "H264/90000") => {
            // RFC 6184 section 8.1: baseline and mode 0 where nothing is said.
            let level = parameter(parameters, "profile-level-id").unwrap_or("42000a");
            let bytes = u32::from_str_radix(level, 16)
                .ok()
                .filter(|_| level.len() == 6)?;
            let [_, profile, constraints, _] = bytes.to_be_bytes();
            let mode = parameter(parameters, "packetization-mode").unwrap_or("0");
            matches!(profile, 66 | 77 | 100).then_some(Codec::H264 {
                profile,
                constrained: profile == 66 && constraints & 0x40 != 0,
                mode: mode.parse().ok().filter(|mode| *mode <= 1)?,
            })
        }
        _ => None,
    }
}

/// `a=name:<number> <value>` lines.
fn numbered<'a>(section: &'a Section, name: &str) -> impl Iterator<Item = (u8, &'a str)> {
    section
        .attributes(name)
        .filter_map(|value| {
            let (number, value) = value.split_once(' ')?;
            Some((number.parse().ok()?, value.trim()))
        })
        .filter(|(number, _)| *number < 128)
}

fn is(map: &str, name: &str) -> bool {
    map.eq_ignore_ascii_case(name)
}

fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case(name)
            .then_some(value.trim())
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Description;
    use super::*;

    pub(in crate::peer::sdp) fn video(lines: &str) -> Vec<Format> {
        let text = format!("v=0\nm=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 100 101 102\n{lines}");
        Format::all(&Description::parse(&text).unwrap().sections[0])
    }

    const OFFER: &str = "a=rtpmap:96 VP8/90000\na=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\n\
        a=rtpmap:98 H264/90000\n\
        a=fmtp:98 level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f\n\
        a=rtpmap:99 h264/90000\n\
        a=fmtp:99 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640c1f\n\
        a=rtpmap:100 H264/90000\n\
        a=fmtp:100 profile-level-id=42E01F; packetization-mode=1\n\
        a=rtpmap:101 rtx/90000\na=fmtp:101 rtx-time=3000;apt=100\n\
        a=rtpmap:102 AV1/90000\n";

    #[test]
    fn known_codecs_are_read_with_their_retransmissions() {
        let formats = video(OFFER);
        let seen: Vec<_> = formats.iter().map(|f| (f.payload_type, f.rtx)).collect();
        assert_eq!(
            seen,
            [(96, Some(97)), (98, None), (99, None), (100, Some(101))]
        );
        assert_eq!(
            formats[3].codec,
            Codec::H264 {
                profile: 66,
                constrained: true,
                mode: 1
            }
        );
    }

    #[test]
    fn the_downlink_codec_is_chosen() {
        let formats = video(OFFER);
        let chosen = |prefer| choose(&formats, prefer).map(|f| f.payload_type);
        assert_eq!(chosen(None), Some(100));
        assert_eq!(chosen(Some(VideoCodec::H264)), Some(100));
        assert_eq!(chosen(Some(VideoCodec::Vp8)), Some(96));
        let only_mode_0 = &formats[1..2];
        assert_eq!(choose(only_mode_0, None), None);
        assert_eq!(
            choose(&formats[..2], None).map(|f| f.payload_type),
            Some(96)
        );
    }

    #[test]
    fn nonsense_is_no_format() {
        assert_eq!(video("a=rtpmap:300 VP8/90000\na=rtpmap:x VP8/90000\n"), []);
        assert_eq!(
            video("a=rtpmap:96 H264/90000\na=fmtp:96 profile-level-id=zz\n"),
            []
        );
        assert_eq!(
            video("a=rtpmap:96 VP8/90001\na=rtpmap:97 opus/48000/2\n"),
            []
        );
        let repeated = video("a=rtpmap:96 VP8/90000\na=rtpmap:96 VP8/90000\n");
        assert_eq!(repeated.len(), 1);
    }
}
