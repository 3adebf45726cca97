//! The answer as the client gets to see it, and what was agreed on.

use super::{Candidate, Codec, Description, Format, Offer, SdpError, Section, choose};
use crate::media::{Kind, VideoCodec};

pub(in crate::peer) const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
pub(in crate::peer) const ORIENTATION: &str = "urn:3gpp:video-orientation";
/// Transport-wide congestion control: sequence numbers over all streams.
pub(in crate::peer) const TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
pub(in crate::peer) const ABS_SEND_TIME: &str =
    "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";

/// Names a stream among those of one track (RFC 8852).
pub(in crate::peer) const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// The same, in retransmissions.
pub(in crate::peer) const REPAIRED_RID: &str =
    "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";

/// Completes the library's answer: candidates are ours, sections that are not served are turned
/// down in their places. `wanted`: what the client is to send its video in, if it can; browsers send
/// what an answer has first.
///
/// # Errors
/// If the library's answer cannot be read.
pub(in crate::peer) fn answer(
    offer: &Offer,
    from_library: &str,
    candidates: &[Candidate],
    wanted: Option<VideoCodec>,
) -> Result<String, SdpError> {
    let library = Description::parse(from_library)?;
    let served = offer.indices();
    let mut description = Description {
        session: library.session.clone(),
        sections: Vec::new(),
    };
    let mut candidates = Some(candidates);
    let mut bundled = Vec::new();
    for (index, offered) in offer.description.sections.iter().enumerate() {
        let mid = offered.mid().unwrap_or_default();
        let answered = served
            .contains(&index)
            .then(|| library.section(mid))
            .flatten()
            .filter(|section| !section.stopped() && !offered.stopped());
        let Some(answered) = answered else {
            description.sections.push(turned_down(offered));
            continue;
        };
        bundled.push(mid);
        let mut section = answered.clone();
        let formats = Format::all(&section);
        let first = choose(&formats, wanted).filter(|format| format.codec.video() == wanted);
        if let Some(format) = first.filter(|_| wanted.is_some()) {
            section.put_first(format.payload_type);
        }
        section.lines.retain(|line| {
            !line.starts_with("a=candidate:") && !line.starts_with("a=end-of-candidates")
        });
        if let Some(layers) = offer.layers(offered) {
            section.lines.extend(layers);
        }
        // All sections are bundled, so the first speaks for all.
        if let Some(candidates) = candidates.take() {
            section.lines.extend(candidates.iter().map(Candidate::line));
            section.lines.push("a=end-of-candidates".to_owned());
        }
        description.sections.push(section);
    }
    description.set_bundle(&bundled);
    Ok(description.text())
}

fn turned_down(offered: &Section) -> Section {
    let format = offered.formats().next().unwrap_or("0");
    let mut lines = vec![
        format!("m={} 0 {} {format}", offered.media(), offered.protocol()),
        "c=IN IP4 0.0.0.0".to_owned(),
        "a=inactive".to_owned(),
    ];
    if let Some(mid) = offered.mid() {
        lines.push(format!("a=mid:{mid}"));
    }
    Section { lines }
}

/// One kind of media, as agreed, from our side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::peer) struct Track {
    /// We send it.
    pub sends: bool,
    /// The other side sends it.
    pub receives: bool,
    /// Payload types agreed on, in the answer's order.
    pub formats: Vec<Format>,
    /// Id of the RFC 6464 extension.
    pub level: Option<u8>,
    /// Id of the CVO extension.
    pub rotation: Option<u8>,
    /// Id of the abs-send-time extension, which lets receivers estimate their bandwidth (REMB).
    pub abs_send_time: Option<u8>,
    /// Id of the transport-wide sequence number.
    pub transport_cc: Option<u8>,
    /// The other side can send its picture in several sizes: ids of their names, in what is sent and
    /// in what is sent again.
    pub layers: Option<[Option<u8>; 2]>,
}

/// What a payload type carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::peer) enum Payload {
    /// Media.
    Media(Codec),
    /// Retransmissions of this payload type.
    Rtx(u8),
}

/// What an answer has settled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::peer) struct Negotiated {
    /// Audio, if any.
    pub audio: Option<Track>,
    /// Video, if any.
    pub video: Option<Track>,
    /// What we send.
    pub sending_video: Option<Format>,
    /// What we send.
    pub sending_audio: Option<Format>,
}

impl Negotiated {
    /// The track of a kind.
    pub fn track(&self, kind: Kind) -> Option<&Track> {
        match kind {
            Kind::Audio => self.audio.as_ref(),
            Kind::Video => self.video.as_ref(),
        }
    }

    /// The format sent.
    pub fn sending(&self, kind: Kind) -> Option<&Format> {
        match kind {
            Kind::Audio => self.sending_audio.as_ref(),
            Kind::Video => self.sending_video.as_ref(),
        }
    }

    /// The video format by which we can send `codec`, if that was agreed on.
    pub fn video_in(&self, codec: VideoCodec) -> Option<&Format> {
        let track = self.video.as_ref()?;
        choose(&track.formats, Some(codec)).filter(|format| format.codec.video() == Some(codec))
    }

    /// What arrives under a payload type.
    pub fn payload(&self, payload_type: u8) -> Option<Payload> {
        let tracks = [&self.video, &self.audio].into_iter().flatten();
        tracks.flat_map(|track| &track.formats).find_map(|format| {
            if format.payload_type == payload_type {
                Some(Payload::Media(format.codec))
            } else if format.rtx == Some(payload_type) {
                Some(Payload::Rtx(format.payload_type))
            } else {
                None
            }
        })
    }
}

/// Reads what `answer` has settled. `ours`: whether we wrote it (else the other side did).
/// `prefer` is the codec of the video that we send.
///
/// # Errors
/// If the answer cannot be read.
pub(in crate::peer) fn negotiated(
    answer: &str,
    ours: bool,
    prefer: Option<VideoCodec>,
) -> Result<Negotiated, SdpError> {
    let description = Description::parse(answer)?;
    let mut negotiated = Negotiated::default();
    for section in description.sections.iter().filter(|s| s.port() != "0") {
        let formats = Format::all(section);
        let Some(kind) = formats.first().map(|format| format.codec.kind()) else {
            continue;
        };
        let (author_sends, author_receives) = section.direction();
        let (sends, receives) = match ours {
            true => (author_sends, author_receives),
            false => (author_receives, author_sends),
        };
        let sending = choose(&formats, prefer).filter(|_| sends).cloned();
        let track = Track {
            sends,
            receives,
            level: section.extension(AUDIO_LEVEL),
            rotation: section.extension(ORIENTATION),
            abs_send_time: section.extension(ABS_SEND_TIME),
            transport_cc: section.extension(TRANSPORT_CC),
            layers: section
                .attribute("simulcast")
                .map(|_| [RID, REPAIRED_RID].map(|uri| section.extension(uri))),
            formats,
        };
        match kind {
            Kind::Audio => (negotiated.audio, negotiated.sending_audio) = (Some(track), sending),
            Kind::Video => (negotiated.video, negotiated.sending_video) = (Some(track), sending),
        }
    }
    Ok(negotiated)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::Transport;
    use super::super::offer::tests::CHROME;
    use super::*;

    const LIBRARY: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\na=group:BUNDLE 1 2\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=ice-ufrag:srv\r\na=sendrecv\r\n\
        a=rtpmap:111 opus/48000/2\r\na=extmap:14 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
        a=candidate:1 1 udp 1 127.0.0.1 45678 typ host\r\na=end-of-candidates\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 102 103 96 97\r\na=mid:2\r\na=recvonly\r\n\
        a=rtpmap:102 H264/90000\r\na=fmtp:102 packetization-mode=1;profile-level-id=42e01f\r\n\
        a=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\n\
        a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
        a=extmap:13 urn:3gpp:video-orientation\r\n";

    #[test]
    fn the_answer_matches_the_offer_section_by_section() {
        let offer = Offer::parse(CHROME, &[], false).unwrap();
        let address = SocketAddr::from(([203, 0, 113, 9], 40_000));
        let candidate = |transport| Candidate {
            transport,
            address,
            rank: 0,
        };
        let candidates = [candidate(Transport::Udp), candidate(Transport::TcpPassive)];
        let text = answer(&offer, LIBRARY, &candidates, None).unwrap();
        let description = Description::parse(&text).unwrap();
        let sections: Vec<_> = description
            .sections
            .iter()
            .map(|s| (s.media(), s.port() != "0", s.mid().unwrap()))
            .collect();
        assert_eq!(
            sections,
            [
                ("application", false, "0"),
                ("audio", true, "1"),
                ("video", true, "2"),
                ("video", false, "3")
            ]
        );
        assert_eq!(description.bundle().collect::<Vec<_>>(), ["1", "2"]);
        assert!(!text.contains("45678"));
        assert_eq!(text.matches("203.0.113.9 40000 typ host").count(), 2);
        assert_eq!(text.matches("a=end-of-candidates").count(), 1);
    }

    #[test]
    fn what_the_client_is_to_send_comes_first() {
        let offer = Offer::parse(CHROME, &[], false).unwrap();
        let order = |library: &str, wanted| {
            let text = answer(&offer, library, &[], wanted).unwrap();
            let lines = text.lines().filter(|line| line.starts_with("m="));
            lines.skip(1).take(2).map(str::to_owned).collect::<Vec<_>>()
        };
        let (audio, h264) = (
            "m=audio 9 UDP/TLS/RTP/SAVPF 111",
            "m=video 9 UDP/TLS/RTP/SAVPF 102 103 96 97",
        );
        assert_eq!(order(LIBRARY, None), [audio, h264]);
        assert_eq!(order(LIBRARY, Some(VideoCodec::H264)), [audio, h264]);
        let vp8 = "m=video 9 UDP/TLS/RTP/SAVPF 96 102 103 97";
        assert_eq!(order(LIBRARY, Some(VideoCodec::Vp8)), [audio, vp8]);
        let without = LIBRARY.replace("VP8/90000", "AV1/90000");
        assert_eq!(order(&without, Some(VideoCodec::Vp8)), [audio, h264]);
    }

    #[test]
    fn two_sizes_are_asked_for_where_exactly_these_are_offered() {
        let offered = CHROME.replace(
            "a=rid:h send\r\na=simulcast:send h\r\n",
            &format!(
                "a=rid:f send\r\na=rid:h send\r\na=simulcast:send f;h\r\n\
                 a=extmap:10 {RID}\r\na=extmap:11 {REPAIRED_RID}\r\n"
            ),
        );
        let layers = |text: &str| {
            let offer = Offer::parse(text, &[], false).unwrap();
            let text = answer(&offer, LIBRARY, &[], None).unwrap();
            let settled = negotiated(&text, true, None).unwrap();
            assert!(settled.audio.is_some_and(|audio| audio.layers.is_none()));
            (settled.video.and_then(|video| video.layers), text)
        };
        let (ids, text) = layers(&offered.replace("f;h", "f;~h"));
        assert_eq!(ids, Some([Some(10), Some(11)]));
        assert!(text.contains("a=simulcast:recv f;~h\r\n"), "{text}");
        let (ids, text) = layers(&offered);
        assert_eq!(ids, Some([Some(10), Some(11)]));
        for line in ["a=rid:f recv", "a=rid:h recv", "a=simulcast:recv f;h"] {
            assert_eq!(text.matches(line).count(), 1, "{line} in {text}");
        }
        for other in [
            CHROME.to_owned(),
            offered.replace("send f;h", "send f;h;q"),
            offered.replace("send f;h", "send f"),
            offered.replace("send f;h", "send f;x"),
            offered.replace("send f;h", "recv f;h"),
            offered.replace(RID, "urn:x"),
        ] {
            let (ids, text) = layers(&other);
            assert_eq!((ids, text.contains("simulcast")), (None, false), "{text}");
        }
    }

    #[test]
    fn what_was_settled_is_read_from_either_side() {
        let ours = negotiated(LIBRARY, true, None).unwrap();
        let audio = ours.audio.as_ref().unwrap();
        assert_eq!(
            (audio.sends, audio.receives, audio.level),
            (true, true, Some(14))
        );
        let video = ours.video.as_ref().unwrap();
        assert_eq!((video.sends, video.receives), (false, true));
        assert_eq!(video.rotation, Some(13));
        assert_eq!(ours.sending_video, None);
        assert_eq!(ours.sending_audio.as_ref().unwrap().payload_type, 111);
        assert_eq!(ours.payload(97), Some(Payload::Rtx(96)));
        assert_eq!(ours.payload(111), Some(Payload::Media(Codec::Opus)));
        assert_eq!(ours.payload(63), None);
        let theirs = negotiated(LIBRARY, false, Some(VideoCodec::Vp8)).unwrap();
        assert_eq!(theirs.sending_video.unwrap().payload_type, 96);
    }
}
