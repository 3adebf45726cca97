//! What is taken from a client's offer, and what of it the library gets to see.

use super::{Codec, Description, Format, REPAIRED_RID, RID, SdpError, Section, choose};
use crate::media::{Kind, Layer, VideoCodec};
use crate::peer::library::DtlsRole;

/// An offer that can be served.
#[derive(Debug, Clone)]
pub(in crate::peer) struct Offer {
    pub(super) description: Description,
    /// Index of the section served, by kind.
    audio: Option<usize>,
    video: Option<usize>,
    /// Of the data channel, if it is served.
    channel: Option<usize>,
}

impl Offer {
    /// Reads a first offer, or a later one: `before` are the mids served so far, which keep
    /// their sections. A data channel is served if it is to be, and can be.
    ///
    /// # Errors
    /// Says what is missing or wrong.
    pub fn parse(text: &str, before: &[(Kind, String)], channel: bool) -> Result<Self, SdpError> {
        let description = Description::parse(text)?;
        description.check_mids()?;
        let mut offer = Self {
            description,
            audio: None,
            video: None,
            channel: None,
        };
        for (kind, mid) in before {
            let sections = &offer.description.sections;
            let index = sections.iter().position(|s| s.mid() == Some(mid));
            *offer.slot(*kind) = Some(index.ok_or_else(|| SdpError::SectionGone(mid.clone()))?);
        }
        for (index, kind) in offer.candidates_for_service() {
            offer.slot(kind).get_or_insert(index);
        }
        offer.check()?;
        if channel {
            offer.channel = offer.channel_section();
        }
        Ok(offer)
    }

    /// The section of the data channel. One that lacks something, or goes another way than the
    /// media, is turned down as if there were no data channels here.
    fn channel_section(&self) -> Option<usize> {
        let bundled: Vec<&str> = self.description.bundle().collect();
        let needed = ["ice-ufrag", "ice-pwd", "fingerprint", "sctp-port"];
        self.description.sections.iter().position(|section| {
            let has = |name: &&str| {
                let value = self.description.attribute(section, name);
                value.is_some_and(|value| !value.is_empty())
            };
            section.media() == "application"
                && section.protocol().ends_with("DTLS/SCTP")
                && section.formats().next() == Some("webrtc-datachannel")
                && !section.stopped()
                && section.mid().is_some_and(|mid| bundled.contains(&mid))
                && needed.iter().all(has)
        })
    }

    fn slot(&mut self, kind: Kind) -> &mut Option<usize> {
        match kind {
            Kind::Audio => &mut self.audio,
            Kind::Video => &mut self.video,
        }
    }

    fn candidates_for_service(&self) -> Vec<(usize, Kind)> {
        let sections = self.description.sections.iter().enumerate();
        sections
            .filter(|(_, s)| !s.stopped() && s.protocol().ends_with("TLS/RTP/SAVPF"))
            .filter_map(|(index, section)| {
                let format = Format::all(section).into_iter().next()?;
                Some((index, format.codec.kind()))
            })
            .collect()
    }

    fn check(&self) -> Result<(), SdpError> {
        let indices = self.media();
        if indices.is_empty() {
            return Err(SdpError::NoKnownCodec);
        }
        for &index in &indices {
            let section = &self.description.sections[index];
            for attribute in ["mid", "ice-ufrag", "ice-pwd", "fingerprint", "rtcp-mux"] {
                let value = match attribute {
                    // What names a section cannot stand for all of them.
                    "mid" => section.mid(),
                    _ => self.description.attribute(section, attribute),
                };
                if value.is_none_or(|value| value.is_empty() && attribute != "rtcp-mux") {
                    return Err(SdpError::Missing {
                        section: index + 1,
                        attribute,
                    });
                }
            }
        }
        let mids = self.mids(&indices);
        let bundled: Vec<&str> = self.description.bundle().collect();
        if mids.len() > 1 && !mids.iter().all(|mid| bundled.contains(mid)) {
            return Err(SdpError::NotBundled(mids.join(" ")));
        }
        Ok(())
    }

    /// The sections served, in the offer's order.
    pub(super) fn indices(&self) -> Vec<usize> {
        let mut indices = self.media();
        indices.extend(self.channel);
        indices.sort_unstable();
        indices
    }

    fn media(&self) -> Vec<usize> {
        let mut indices: Vec<usize> = self.audio.into_iter().chain(self.video).collect();
        indices.sort_unstable();
        indices
    }

    fn mids(&self, indices: &[usize]) -> Vec<&str> {
        let sections = &self.description.sections;
        indices
            .iter()
            .filter_map(|&index| sections[index].mid())
            .collect()
    }

    /// Kind and mid of what is served, for [`Offer::parse`] of the next one.
    pub fn served(&self) -> Vec<(Kind, String)> {
        [(Kind::Audio, self.audio), (Kind::Video, self.video)]
            .into_iter()
            .filter_map(|(kind, index)| {
                let mid = self.description.sections[index?].mid()?;
                Some((kind, mid.to_owned()))
            })
            .collect()
    }

    /// The section of a kind.
    pub fn section(&self, kind: Kind) -> Option<&Section> {
        let index = match kind {
            Kind::Audio => self.audio,
            Kind::Video => self.video,
        };
        index.map(|index| &self.description.sections[index])
    }

    /// Who is to begin the DTLS handshake: the client, unless it insists on waiting.
    pub fn dtls_role(&self) -> DtlsRole {
        let waits = self.indices().iter().any(|&index| {
            let section = &self.description.sections[index];
            self.description.attribute(section, "setup") == Some("passive")
        });
        match waits {
            true => DtlsRole::Client,
            false => DtlsRole::Server,
        }
    }

    /// Whether the client wants to receive this kind.
    pub fn wants(&self, kind: Kind) -> bool {
        self.section(kind)
            .is_some_and(|section| !section.stopped() && section.direction().1)
    }

    /// What an answer has to say for the client to send its picture in all sizes that are known here,
    /// if it offers exactly these.
    pub fn layers(&self, section: &Section) -> Option<Vec<String>> {
        let offered = section.attribute("simulcast")?.strip_prefix("send ")?;
        let names = Layer::ALL.map(Layer::rid);
        // One that is not sent for now has a tilde (RFC 8853), and keeps it: without, it would be sent.
        let known = |name: &str| names.contains(&name.strip_prefix('~').unwrap_or(name));
        let all = offered.split(';').count() == names.len() && offered.split(';').all(known);
        let map = |uri| {
            let id = section.extension(uri)?;
            Some(format!("a=extmap:{id} {uri}"))
        };
        let maps = [map(RID)?, map(REPAIRED_RID)?];
        let rids = names.map(|name| format!("a=rid:{name} recv"));
        let simulcast = format!("a=simulcast:recv {offered}");
        all.then(|| maps.into_iter().chain(rids).chain([simulcast]).collect())
    }

    /// The formats of a kind that are served, ours for sending first.
    pub fn formats(&self, kind: Kind, prefer: Option<VideoCodec>) -> Vec<Format> {
        let mut formats = self.section(kind).map(Format::all).unwrap_or_default();
        if let Some(chosen) = choose(&formats, prefer).map(|format| format.payload_type) {
            formats.sort_by_key(|format| format.payload_type != chosen);
        }
        formats
    }

    /// The offer as the library gets to see it.
    pub fn for_library(&self, prefer: Option<VideoCodec>) -> String {
        let mut session = self.description.session.clone();
        session.retain(|line| !CANDIDATES.iter().any(|name| attribute(line).0 == *name));
        let mut description = Description {
            session,
            sections: Vec::new(),
        };
        let indices = self.indices();
        description.set_bundle(&self.mids(&indices));
        for index in indices {
            let section = &self.description.sections[index];
            if self.channel == Some(index) {
                description.sections.push(channel(section));
                continue;
            }
            let kind = match self.audio == Some(index) {
                true => Kind::Audio,
                false => Kind::Video,
            };
            let formats = self.formats(kind, prefer);
            description.sections.push(filtered(section, &formats));
        }
        description.text()
    }
}

/// Attributes about where the client is.
const CANDIDATES: [&str; 3] = ["candidate", "end-of-candidates", "remote-candidates"];

/// Name and value of an attribute line; both are empty for any other.
fn attribute(line: &str) -> (&str, &str) {
    let attribute = line.strip_prefix("a=").unwrap_or("");
    attribute.split_once(':').unwrap_or((attribute, ""))
}

/// A data channel's section without what is about where the client is, and on the bundle's port.
fn channel(section: &Section) -> Section {
    let head = format!("m=application 9 {} webrtc-datachannel", section.protocol());
    let kept = section.lines.iter().skip(1).filter(|line| {
        let (name, _) = attribute(line);
        !CANDIDATES.contains(&name) && name != "bundle-only"
    });
    let lines = std::iter::once(head).chain(kept.cloned()).collect();
    Section { lines }
}

fn filtered(section: &Section, formats: &[Format]) -> Section {
    let numbers: Vec<u8> = formats
        .iter()
        .flat_map(|format| [Some(format.payload_type), format.rtx])
        .flatten()
        .collect();
    let stopped = section.stopped();
    let has_sources = section.attribute("ssrc").is_some();
    let mut lines = vec![format!(
        "m={} 9 {} {}",
        section.media(),
        section.protocol(),
        numbers
            .iter()
            .map(u8::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    )];
    for line in &section.lines[1..] {
        let (name, value) = attribute(line);
        let keep = match name {
            // Clients reach us; see the module's text.
            name if CANDIDATES.contains(&name) => false,
            // The library knows of one layer; the answer asks for all, or a client sends just that one.
            "rid" | "simulcast" => false,
            // The port is not 0 any more.
            "bundle-only" => false,
            "ssrc-group" => !value.starts_with("SIM"),
            // The library wants a source for every msid. Sources need not be declared: packets
            // find their way by payload type.
            "msid" => has_sources,
            "sendrecv" | "sendonly" | "recvonly" | "inactive" => !stopped,
            "rtpmap" | "fmtp" | "rtcp-fb" => value
                .split_ascii_whitespace()
                .next()
                .is_some_and(|pt| pt == "*" || pt.parse().is_ok_and(|pt| numbers.contains(&pt))),
            _ => true,
        };
        if keep {
            lines.push(line.clone());
        }
    }
    if stopped {
        lines.push("a=inactive".to_owned());
    }
    Section { lines }
}

/// What a client that offers nothing of a kind would be served, for offers to come.
pub(in crate::peer) fn default_formats(kind: Kind) -> Vec<Format> {
    let h264 = |payload_type, level: &str, mode| Format {
        payload_type,
        codec: Codec::H264 {
            profile: 66,
            constrained: true,
            mode,
        },
        parameters: format!(
            "level-asymmetry-allowed=1;packetization-mode={mode};profile-level-id={level}"
        ),
        rtx: Some(payload_type + 1),
    };
    match kind {
        Kind::Audio => vec![Format {
            payload_type: 111,
            codec: Codec::Opus,
            parameters: "minptime=10;useinbandfec=1".to_owned(),
            rtx: None,
        }],
        Kind::Video => vec![
            h264(108, "42e01f", 1),
            Format {
                payload_type: 96,
                codec: Codec::Vp8,
                parameters: String::new(),
                rtx: Some(97),
            },
        ],
    }
}

#[cfg(test)]
pub(in crate::peer) mod tests {
    use super::*;

    pub(in crate::peer) const CHROME: &str = concat!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2 3\r\n",
        "a=msid-semantic: WMS s\r\n",
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n",
        "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n",
        "a=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\n",
        "m=audio 50000 UDP/TLS/RTP/SAVPF 111 63 9\r\nc=IN IP4 0.0.0.0\r\n",
        "a=candidate:1 1 udp 1 10.0.0.1 50000 typ host\r\n",
        "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n",
        "a=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\na=mid:1\r\na=sendrecv\r\na=rtcp-mux\r\n",
        "a=extmap:14 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n",
        "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n",
        "a=rtpmap:63 red/48000/2\r\na=rtpmap:9 G722/8000\r\na=rtcp-fb:111 transport-cc\r\n",
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97 102 103\r\nc=IN IP4 0.0.0.0\r\n",
        "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n",
        "a=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\na=mid:2\r\na=sendrecv\r\na=rtcp-mux\r\n",
        "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n",
        "a=rtpmap:102 H264/90000\r\n",
        "a=fmtp:102 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n",
        "a=rtpmap:103 rtx/90000\r\na=fmtp:103 apt=102\r\n",
        "a=rid:h send\r\na=simulcast:send h\r\na=ssrc-group:SIM 1 2\r\na=ssrc-group:FID 1 3\r\n",
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\n",
        "a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n",
        "a=fingerprint:sha-256 AA:BB\r\na=setup:actpass\r\na=mid:3\r\na=sendonly\r\na=rtcp-mux\r\n",
        "a=rtpmap:96 VP8/90000\r\n",
    );

    #[test]
    fn the_library_sees_one_audio_and_one_video_section() {
        let offer = Offer::parse(CHROME, &[], false).unwrap();
        assert_eq!(
            offer.served(),
            [(Kind::Audio, "1".into()), (Kind::Video, "2".into())]
        );
        let seen = offer.for_library(None);
        let sections: Vec<&str> = seen.lines().filter(|l| l.starts_with("m=")).collect();
        assert_eq!(
            sections,
            [
                "m=audio 9 UDP/TLS/RTP/SAVPF 111",
                "m=video 9 UDP/TLS/RTP/SAVPF 102 103 96 97"
            ]
        );
        assert!(seen.contains("a=group:BUNDLE 1 2\r\n"), "{seen}");
        assert!(seen.contains("a=ssrc-group:FID 1 3"));
        assert!(seen.contains("a=rtcp-fb:96 nack"));
        for gone in ["candidate", "rid:", "simulcast", "SIM", "red/48000", "sctp"] {
            assert!(!seen.contains(gone), "{gone} in\n{seen}");
        }
        let vp8 = offer.for_library(Some(VideoCodec::Vp8));
        assert!(vp8.contains("SAVPF 96 97 102 103"), "{vp8}");
    }

    #[test]
    fn a_data_channel_is_served_where_it_is_to_be_and_can_be() {
        let seen = |text: &str| {
            let offer = Offer::parse(text, &[], true).unwrap();
            assert_eq!(offer.served().len(), 2);
            offer.for_library(None)
        };
        let whole = seen(CHROME);
        assert!(whole.contains("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"));
        assert!(whole.contains("a=sctp-port:5000") && whole.contains("BUNDLE 0 1 2\r\n"));
        let firefox = CHROME
            .replace("m=application 9", "m=application 0")
            .replace(
                "a=mid:0\r\n",
                "a=mid:0\r\na=bundle-only\r\na=candidate:1 1 udp 1 10.0.0.1 9 typ host\r\n",
            );
        assert_eq!(seen(&firefox), whole);
        for (part, without) in [
            ("a=sctp-port:5000\r\n", ""),
            ("BUNDLE 0 1", "BUNDLE 1"),
            ("m=application 9", "m=application 0"),
            ("webrtc-datachannel", "5000"),
            ("a=mid:0\r\n", ""),
        ] {
            assert!(
                !seen(&CHROME.replace(part, without)).contains("m=application"),
                "{part}"
            );
        }
    }

    #[test]
    fn sources_need_not_be_declared() {
        let offer = CHROME.replace("a=mid:2\r\n", "a=mid:2\r\na=msid:s v\r\n");
        let seen = Offer::parse(&offer, &[], false).unwrap().for_library(None);
        assert!(!seen.contains("a=msid:s v"), "{seen}");
        let declared = offer.replace("a=rid:h send\r\n", "a=ssrc:1 cname:x\r\n");
        let seen = Offer::parse(&declared, &[], false)
            .unwrap()
            .for_library(None);
        assert!(seen.contains("a=msid:s v"), "{seen}");
    }

    #[test]
    fn what_cannot_be_served_is_named() {
        let error = |text: &str| Offer::parse(text, &[], false).unwrap_err();
        let without = |gone: &str| error(&CHROME.replace(gone, ""));
        assert_eq!(
            without("a=rtcp-mux\r\n"),
            SdpError::Missing {
                section: 2,
                attribute: "rtcp-mux"
            }
        );
        assert_eq!(
            without("a=fingerprint:sha-256 AA:BB\r\n"),
            SdpError::Missing {
                section: 2,
                attribute: "fingerprint"
            }
        );
        assert_eq!(
            error(&CHROME.replace("a=mid:3", "a=mid:1")),
            SdpError::MidTwice("1".into())
        );
        assert_eq!(
            without("a=group:BUNDLE 0 1 2 3\r\n"),
            SdpError::NotBundled("1 2".into())
        );
        let unknown = CHROME
            .replace("opus", "speex")
            .replace("VP8", "AV1")
            .replace("H264", "H265");
        assert_eq!(error(&unknown), SdpError::NoKnownCodec);
        assert!(error(&unknown).to_string().contains("VP8"));
    }

    #[test]
    fn the_client_begins_unless_it_waits() {
        let role = |text: &str| Offer::parse(text, &[], false).unwrap().dtls_role();
        assert_eq!(role(CHROME), DtlsRole::Server);
        assert_eq!(role(&CHROME.replace("actpass", "active")), DtlsRole::Server);
        assert_eq!(
            role(&CHROME.replace("actpass", "passive")),
            DtlsRole::Client
        );
    }

    #[test]
    fn later_offers_keep_their_sections() {
        let before = Offer::parse(CHROME, &[], false).unwrap().served();
        // The camera's section is stopped; the other one does not take its place.
        let stopped = CHROME.replace(
            "m=video 9 UDP/TLS/RTP/SAVPF 96 97",
            "m=video 0 UDP/TLS/RTP/SAVPF 96 97",
        );
        let offer = Offer::parse(&stopped, &before, false).unwrap();
        assert_eq!(offer.served(), before);
        assert!(!offer.wants(Kind::Video));
        let seen = offer.for_library(None);
        assert!(seen.contains("a=inactive"), "{seen}");
        let gone = CHROME.replace("a=mid:2", "a=mid:9");
        assert_eq!(
            Offer::parse(&gone, &before, false).unwrap_err(),
            SdpError::SectionGone("2".into())
        );
    }

    #[test]
    fn a_bundle_only_section_is_not_stopped() {
        let firefox = CHROME
            .replace("m=video 9 UDP", "m=video 0 UDP")
            .replace("a=mid:2\r\n", "a=mid:2\r\na=bundle-only\r\n");
        let offer = Offer::parse(&firefox, &[], false).unwrap();
        assert!(offer.wants(Kind::Video));
        let seen = offer.for_library(None);
        assert!(seen.contains("m=video 9 "), "{seen}");
        assert!(
            !seen.contains("bundle-only") && !seen.contains("a=inactive"),
            "{seen}"
        );
    }

    #[test]
    fn any_cut_of_an_offer_is_an_error_or_an_offer() {
        for end in 0..CHROME.len() {
            if let Ok(offer) = Offer::parse(&CHROME[..end], &[], false) {
                assert!(!offer.served().is_empty());
            }
        }
    }
}
