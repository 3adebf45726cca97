//! Fragments of descriptions (RFC 8840 section 9): what a client that has no signalling but HTTP
//! says of its network after the offer, and what it is told of ours.

use super::{Description, SdpError, check_candidate};

/// A client's fragment: further candidates, or the credentials of a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    ufrag: Option<String>,
    password: Option<String>,
}

impl Fragment {
    /// Reads one. Candidates are checked and not kept: the client reaches us. One by which nobody
    /// can be reached is no error (RFC 9725 section 4.3.2).
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn read(text: &str) -> Result<Self, SdpError> {
        let fragment = Description::parse_fragment(text)?;
        let sections = fragment.sections.iter().flat_map(|section| &section.lines);
        for line in fragment.session.iter().chain(sections) {
            let candidate = line.strip_prefix("a=candidate:");
            match candidate.map_or(Ok(()), check_candidate) {
                Ok(()) | Err(SdpError::NoWay(_)) => {}
                Err(error) => return Err(error),
            }
        }
        // All that is served is bundled, so the first section speaks for all.
        let credential = |name, shortest| match fragment.first(name) {
            None => Ok(None),
            Some(value) if is_credential(value, shortest) => Ok(Some(value.to_owned())),
            Some(_) => Err(SdpError::Credentials(name)),
        };
        Ok(Self {
            ufrag: credential("ice-ufrag", UFRAG_MIN)?,
            password: credential("ice-pwd", PASSWORD_MIN)?,
        })
    }

    /// The credentials of a restart of what has `ufrag` so far; none if it goes on.
    ///
    /// # Errors
    /// If there is no password for the new user name.
    pub(super) fn restarts(&self, ufrag: &str) -> Result<Option<(&str, &str)>, SdpError> {
        let Some(new) = self.ufrag.as_deref().filter(|new| *new != ufrag) else {
            return Ok(None);
        };
        let password = self.password.as_deref();
        let password = password.ok_or(SdpError::Credentials("ice-pwd"))?;
        Ok(Some((new, password)))
    }

    /// What an answer says of our network: credentials and candidates.
    ///
    /// # Errors
    /// If the answer cannot be read.
    pub fn of_answer(answer: &str) -> Result<String, SdpError> {
        const SESSION: [&str; 3] = ["a=ice-lite", "a=ice-options:", "a=group:BUNDLE"];
        const SECTION: [&str; 7] = [
            "m=",
            "a=mid:",
            "a=ice-ufrag:",
            "a=ice-pwd:",
            "a=ice-options:",
            "a=candidate:",
            "a=end-of-candidates",
        ];
        let mut fragment = Description::parse(answer)?;
        let keep = |lines: &mut Vec<String>, names: &[&str]| {
            lines.retain(|line| names.iter().any(|name| line.starts_with(name)));
        };
        keep(&mut fragment.session, &SESSION);
        fragment.sections.retain(|section| section.port() != "0");
        // Only the first one has candidates.
        fragment.sections.truncate(1);
        for section in &mut fragment.sections {
            keep(&mut section.lines, &SECTION);
        }
        Ok(fragment.text())
    }
}

/// Shortest and longest credentials (RFC 8839 section 5.4).
const UFRAG_MIN: usize = 4;
const PASSWORD_MIN: usize = 22;
const CREDENTIAL_MAX: usize = 256;

fn is_credential(text: &str, shortest: usize) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    (shortest..=CREDENTIAL_MAX).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRICKLED: &str = "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
        a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
        a=candidate:1387637174 1 udp 2122260223 10.0.0.1 61764 typ host generation 0\r\n\
        a=candidate:1 1 sctp 1 10.0.0.1 61764 typ host\r\n\
        a=candidate:2 1 udp 1 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\n";

    #[test]
    fn further_candidates_restart_nothing() {
        let fragment = Fragment::read(TRICKLED).unwrap();
        assert_eq!(fragment.restarts("EsAw"), Ok(None));
        let new = fragment.restarts("other");
        assert_eq!(new, Ok(Some(("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1"))));
        // Some clients send nothing but this.
        let end = Fragment::read("a=end-of-candidates\r\n").unwrap();
        assert_eq!(end.restarts("EsAw"), Ok(None));
        let in_the_session = TRICKLED.replace("m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", "");
        assert_eq!(Fragment::read(&in_the_session), Ok(fragment));
    }

    #[test]
    fn what_is_no_fragment_is_named() {
        let error = |text: &str| Fragment::read(text).unwrap_err();
        assert_eq!(error(""), SdpError::Empty);
        assert_eq!(error("hello"), SdpError::Line(1));
        assert_eq!(error("{\"candidate\":\"\"}"), SdpError::Line(1));
        let broken = TRICKLED.replace("typ host", "type host");
        assert_eq!(error(&broken), SdpError::Candidate("type"));
        for (good, bad) in [("EsAw", "Es"), ("EsAw", "E\"w!"), ("EsAw", "")] {
            let broken = TRICKLED.replace(good, bad);
            assert_eq!(error(&broken), SdpError::Credentials("ice-ufrag"), "{bad}");
        }
        let alone = TRICKLED.replace("a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n", "");
        let alone = Fragment::read(&alone).unwrap();
        let error = alone.restarts("other").unwrap_err();
        assert_eq!(error, SdpError::Credentials("ice-pwd"));
        let long = "a=x\r\n".repeat(20_000);
        assert_eq!(Fragment::read(&long), Err(SdpError::TooLong(100_000)));
    }

    #[test]
    fn an_answer_is_cut_down_to_the_network() {
        let answer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\na=ice-options:trickle\r\n\
            a=group:BUNDLE 1\r\nm=application 0 x 0\r\na=mid:0\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=ice-ufrag:srv1\r\n\
            a=ice-pwd:0123456789012345678901\r\na=rtpmap:96 VP8/90000\r\n\
            a=candidate:u0 1 udp 1 127.0.0.1 4 typ host\r\na=end-of-candidates\r\n";
        let fragment = Fragment::of_answer(answer).unwrap();
        assert_eq!(
            fragment,
            "a=ice-options:trickle\r\na=group:BUNDLE 1\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\n\
             a=mid:1\r\na=ice-ufrag:srv1\r\na=ice-pwd:0123456789012345678901\r\n\
             a=candidate:u0 1 udp 1 127.0.0.1 4 typ host\r\na=end-of-candidates\r\n"
        );
        assert!(Fragment::read(&fragment).is_ok());
    }
}
