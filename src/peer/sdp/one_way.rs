//! Offers of clients that only send (WHIP, RFC 9725) or only receive (WHEP,
//! draft-ietf-wish-whep). Such a client makes one offer in its life; later it sends no more than
//! fragments, from which a restart's offer is made here.

use super::{Description, Fragment, Offer, SdpError, Section};
use crate::media::Kind;

/// Which way media goes, as the client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// The client sends.
    Sends,
    /// The client receives.
    Receives,
}

impl Way {
    fn attribute(self) -> &'static str {
        match self {
            Self::Sends => "sendonly",
            Self::Receives => "recvonly",
        }
    }
}

/// An offer for one way.
#[derive(Debug, Clone)]
pub struct OneWay {
    description: Description,
    kinds: Vec<Kind>,
    ufrag: String,
}

impl OneWay {
    /// Reads a client's offer; what it offers for the other way is taken out.
    ///
    /// # Errors
    /// Says what is missing or wrong. All audio and video in it must be of use: a client of which
    /// only a part is seen or heard would not be told.
    pub fn read(text: &str, way: Way) -> Result<Self, SdpError> {
        let offer = Offer::parse(text, &[], false)?;
        let served = offer.indices();
        let mut description = offer.description.clone();
        for (index, section) in description.sections.iter_mut().enumerate() {
            if section.stopped() || !matches!(section.media(), "audio" | "video") {
                continue;
            }
            if !served.contains(&index) {
                return Err(SdpError::Unserved(index + 1));
            }
            let (sends, receives) = section.direction();
            let fits = match way {
                Way::Sends => sends,
                Way::Receives => receives,
            };
            if !fits {
                return Err(SdpError::Direction {
                    section: index + 1,
                    wanted: way.attribute(),
                });
            }
            direct(section, way);
        }
        let first = served
            .first()
            .map(|index| &offer.description.sections[*index]);
        let ufrag = first.and_then(|first| offer.description.attribute(first, "ice-ufrag"));
        Ok(Self {
            ufrag: ufrag.unwrap_or_default().to_owned(),
            kinds: offer.served().into_iter().map(|(kind, _)| kind).collect(),
            description,
        })
    }

    /// Whether it is about this kind of media.
    pub fn has(&self, kind: Kind) -> bool {
        self.kinds.contains(&kind)
    }

    /// The offer to be answered.
    pub fn text(&self) -> String {
        self.description.text()
    }

    /// The offer that restarts ICE as the client wishes; none if the fragment is about the
    /// candidates of what is there.
    ///
    /// # Errors
    /// If it says half of what a restart needs.
    pub fn restarted(&self, fragment: &Fragment) -> Result<Option<Self>, SdpError> {
        let Some((ufrag, password)) = fragment.restarts(&self.ufrag)? else {
            return Ok(None);
        };
        let mut next = Self {
            ufrag: ufrag.to_owned(),
            ..self.clone()
        };
        let sections = next.description.sections.iter_mut();
        let sections = sections.map(|section| &mut section.lines);
        for lines in std::iter::once(&mut next.description.session).chain(sections) {
            lines.retain(|line| !line.starts_with("a=candidate:"));
            for line in lines {
                if line.starts_with("a=ice-ufrag:") {
                    *line = format!("a=ice-ufrag:{ufrag}");
                } else if line.starts_with("a=ice-pwd:") {
                    *line = format!("a=ice-pwd:{password}");
                }
            }
        }
        Ok(Some(next))
    }

    /// An answer as these protocols want it: they know no RTCP on a port of its own
    /// (RFC 9725 section 4.4.1).
    ///
    /// # Errors
    /// If the answer cannot be read.
    pub fn complete(answer: &str) -> Result<String, SdpError> {
        let mut answer = Description::parse(answer)?;
        for section in &mut answer.sections {
            let multiplexed = section.attribute("rtcp-mux").is_some();
            if multiplexed && section.attribute("rtcp-mux-only").is_none() {
                section.lines.push("a=rtcp-mux-only".to_owned());
            }
        }
        Ok(answer.text())
    }
}

/// Has a section go one way.
fn direct(section: &mut Section, way: Way) {
    const DIRECTIONS: [&str; 4] = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];
    section
        .lines
        .retain(|line| !DIRECTIONS.contains(&line.as_str()));
    section.lines.push(format!("a={}", way.attribute()));
}

#[cfg(test)]
mod tests {
    use super::super::offer::tests::CHROME;
    use super::*;

    /// Chrome's offer without what is not served.
    fn offer() -> String {
        let third = CHROME.find("m=video 9 UDP/TLS/RTP/SAVPF 96\r\n");
        CHROME[..third.unwrap()].to_owned()
    }

    #[test]
    fn the_other_way_is_taken_out() {
        for (way, attribute) in [(Way::Sends, "sendonly"), (Way::Receives, "recvonly")] {
            let read = OneWay::read(&offer(), way).unwrap();
            assert!(read.has(Kind::Audio) && read.has(Kind::Video));
            let text = read.text();
            assert_eq!(text.matches("sendrecv").count(), 0);
            assert_eq!(text.matches(&format!("a={attribute}\r\n")).count(), 2);
            assert!(Offer::parse(&text, &[], false).is_ok(), "{text}");
        }
        let unsaid = offer().replace("a=sendrecv\r\n", "");
        assert!(OneWay::read(&unsaid, Way::Sends).is_ok());
    }

    #[test]
    fn all_or_nothing() {
        let error = |text: &str, way| OneWay::read(text, way).unwrap_err();
        // The second camera.
        assert_eq!(error(CHROME, Way::Sends), SdpError::Unserved(4));
        let unknown = offer().replace("opus", "speex");
        assert_eq!(error(&unknown, Way::Sends), SdpError::Unserved(2));
        let wrong = SdpError::Direction {
            section: 2,
            wanted: "sendonly",
        };
        for direction in ["recvonly", "inactive"] {
            let offer = offer().replace("sendrecv", direction);
            assert_eq!(error(&offer, Way::Sends), wrong, "{direction}");
        }
        let offer = offer().replace("sendrecv", "sendonly");
        assert!(OneWay::read(&offer, Way::Sends).is_ok());
        assert!(OneWay::read(&offer, Way::Receives).is_err());
    }

    #[test]
    fn a_restart_changes_the_credentials_and_nothing_else() {
        let before = OneWay::read(&offer(), Way::Sends).unwrap();
        let same = Fragment::read("a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n");
        assert!(before.restarted(&same.unwrap()).unwrap().is_none());
        let new = Fragment::read("a=ice-ufrag:wxyz\r\na=ice-pwd:zyxwvutsrqponmlkjihgfedc\r\n");
        let after = before.restarted(&new.unwrap()).unwrap().unwrap();
        let expected = before
            .text()
            .replace("ice-ufrag:abcd", "ice-ufrag:wxyz")
            .replace(
                "ice-pwd:abcdefghijklmnopqrstuvwx",
                "ice-pwd:zyxwvutsrqponmlkjihgfedc",
            )
            .replace("a=candidate:1 1 udp 1 10.0.0.1 50000 typ host\r\n", "");
        assert_eq!(after.text(), expected);
        let half = Fragment::read("a=ice-ufrag:wxyz\r\n").unwrap();
        assert!(before.restarted(&half).is_err());
    }

    #[test]
    fn answers_say_that_rtcp_has_no_port_of_its_own() {
        let answer = OneWay::complete(&offer()).unwrap();
        assert_eq!(answer.matches("a=rtcp-mux-only\r\n").count(), 2);
        assert_eq!(OneWay::complete(&answer).unwrap(), answer);
    }
}
