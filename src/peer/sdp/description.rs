//! A description cut into its sections; lines are kept as they are.

use std::collections::HashSet;

use super::{MAX_SECTIONS, SdpError};
use crate::quiet::cut;

/// The longest description that is read, bytes: what a signalling frame may carry.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// Session-level lines and media sections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::peer) struct Description {
    /// From `v=` to the first `m=`.
    pub session: Vec<String>,
    /// Each from its `m=` on.
    pub sections: Vec<Section>,
}

/// A media section; the first line is `m=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::peer) struct Section {
    /// Without line ends.
    pub lines: Vec<String>,
}

impl Description {
    /// Cuts `text` up.
    ///
    /// # Errors
    /// If it is no description, or larger than anybody needs.
    pub fn parse(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX_BYTES {
            return Err(SdpError::TooLong(text.len()));
        }
        if text.trim().is_empty() {
            return Err(SdpError::Empty);
        }
        let (session, sections) = cut_up(text, true)?;
        if session.is_empty() {
            return Err(SdpError::NoVersion);
        }
        match sections.len() {
            0 => Err(SdpError::NoMedia),
            n if n > MAX_SECTIONS => Err(SdpError::TooManySections(n)),
            _ => Ok(Self { session, sections }),
        }
    }

    /// The same for a fragment (RFC 8840 section 9): it has no head, and perhaps no section.
    ///
    /// # Errors
    /// If it is no fragment, or larger than anybody needs.
    pub fn parse_fragment(text: &str) -> Result<Self, SdpError> {
        if text.len() > MAX_BYTES {
            return Err(SdpError::TooLong(text.len()));
        }
        let (session, sections) = cut_up(text, false)?;
        match sections.len() {
            0 if session.is_empty() => Err(SdpError::Empty),
            n if n > MAX_SECTIONS => Err(SdpError::TooManySections(n)),
            _ => Ok(Self { session, sections }),
        }
    }

    /// The text again.
    pub fn text(&self) -> String {
        let sections = self.sections.iter().flat_map(|section| &section.lines);
        self.session
            .iter()
            .chain(sections)
            .flat_map(|line| [line.as_str(), "\r\n"])
            .collect()
    }

    /// The value of an attribute of a section, or of the session where the section has none.
    pub fn attribute<'a>(&'a self, section: &'a Section, name: &str) -> Option<&'a str> {
        section
            .attribute(name)
            .or_else(|| attributes(&self.session, name).next())
    }

    /// The value of an attribute of the session, or of the first section.
    pub fn first(&self, name: &str) -> Option<&str> {
        let in_session = attributes(&self.session, name).next();
        in_session.or_else(|| self.sections.first()?.attribute(name))
    }

    /// The mids of the first `a=group:BUNDLE`.
    pub fn bundle(&self) -> impl Iterator<Item = &str> {
        attributes(&self.session, "group")
            .filter_map(|group| group.strip_prefix("BUNDLE"))
            .take(1)
            .flat_map(str::split_ascii_whitespace)
    }

    /// Replaces the `a=group:BUNDLE`.
    pub fn set_bundle(&mut self, mids: &[&str]) {
        self.session
            .retain(|line| !line.starts_with("a=group:BUNDLE"));
        let group = format!("a=group:BUNDLE {}", mids.join(" "));
        self.session.push(group);
    }

    /// Whether every mid names one section (RFC 5888 section 4): sections are found by them.
    pub(super) fn check_mids(&self) -> Result<(), SdpError> {
        let mut seen = HashSet::new();
        let mut mids = self.sections.iter().filter_map(Section::mid);
        match mids.find(|mid| !seen.insert(*mid)) {
            Some(mid) => Err(SdpError::MidTwice(cut(mid, 64).to_owned())),
            None => Ok(()),
        }
    }

    /// The section with this mid.
    pub fn section(&self, mid: &str) -> Option<&Section> {
        self.sections
            .iter()
            .find(|section| section.mid() == Some(mid))
    }
}

impl Section {
    /// The words of the `m=` line: media, port, protocol, formats.
    fn words(&self) -> impl Iterator<Item = &str> {
        let line = self.lines.first().map_or("", String::as_str);
        line.strip_prefix("m=")
            .unwrap_or("")
            .split_ascii_whitespace()
    }

    /// `audio`, `video`, `application`, …
    pub fn media(&self) -> &str {
        self.words().next().unwrap_or("")
    }

    /// As written; see [`Section::stopped`] for what 0 means.
    pub fn port(&self) -> &str {
        self.words().nth(1).unwrap_or("")
    }

    /// Port 0 is a section that was turned down or stopped, unless it says `a=bundle-only`
    /// (RFC 9143 section 6): then it lives on the port of another one. Firefox offers so.
    pub fn stopped(&self) -> bool {
        self.port() == "0" && self.attribute("bundle-only").is_none()
    }

    /// Such as `UDP/TLS/RTP/SAVPF`.
    pub fn protocol(&self) -> &str {
        self.words().nth(2).unwrap_or("")
    }

    /// The payload types, in order of preference.
    pub fn formats(&self) -> impl Iterator<Item = &str> {
        self.words().skip(3)
    }

    /// Prefers this payload type to all others.
    pub(super) fn put_first(&mut self, payload_type: u8) {
        let first = payload_type.to_string();
        let others = self.formats().filter(|format| *format != first);
        let formats = std::iter::once(first.as_str()).chain(others);
        let (head, formats) = (self.words().take(3), formats.collect::<Vec<_>>());
        let line = format!("m={}", head.chain(formats).collect::<Vec<_>>().join(" "));
        if let Some(head) = self.lines.first_mut() {
            *head = line;
        }
    }

    /// The first `a=name` or `a=name:value`; the value is empty for the former.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        attributes(&self.lines, name).next()
    }

    /// Every `a=name:value`.
    pub fn attributes(&self, name: &str) -> impl Iterator<Item = &str> {
        attributes(&self.lines, name)
    }

    /// The section's name within the description.
    pub fn mid(&self) -> Option<&str> {
        self.attribute("mid").filter(|mid| !mid.is_empty())
    }

    /// Whether the author of this description (sends, receives).
    pub fn direction(&self) -> (bool, bool) {
        for (name, direction) in [
            ("sendrecv", (true, true)),
            ("sendonly", (true, false)),
            ("recvonly", (false, true)),
            ("inactive", (false, false)),
        ] {
            if self.attribute(name).is_some() {
                return direction;
            }
        }
        (true, true)
    }

    /// The id under which the header extension `uri` is sent (RFC 8285).
    pub fn extension(&self, uri: &str) -> Option<u8> {
        self.attributes("extmap").find_map(|map| {
            let (id, name) = map.split_once(' ')?;
            // The id may carry a direction: "3/sendonly".
            let id = id.split('/').next()?.parse().ok()?;
            (name.split(' ').next() == Some(uri)).then_some(id)
        })
    }
}

/// The session's lines and the sections; `whole` descriptions begin with their version.
fn cut_up(text: &str, whole: bool) -> Result<(Vec<String>, Vec<Section>), SdpError> {
    let mut session = Vec::new();
    let mut sections: Vec<Section> = Vec::new();
    let lines = text.lines().map(|line| line.trim_end_matches('\r'));
    for (index, line) in lines.enumerate().filter(|(_, line)| !line.is_empty()) {
        if whole && index == 0 && line != "v=0" {
            return Err(SdpError::NoVersion);
        }
        let mut bytes = line.bytes();
        if !bytes.next().is_some_and(|b| b.is_ascii_lowercase()) || bytes.next() != Some(b'=') {
            return Err(SdpError::Line(index + 1));
        }
        if line.starts_with("m=") {
            sections.push(Section { lines: Vec::new() });
        }
        match sections.last_mut() {
            Some(section) => section.lines.push(line.to_owned()),
            None => session.push(line.to_owned()),
        }
    }
    Ok((session, sections))
}

fn attributes<'a>(lines: &'a [String], name: &str) -> impl Iterator<Item = &'a str> {
    lines.iter().filter_map(move |line| {
        let rest = line.strip_prefix("a=")?.strip_prefix(name)?;
        match rest.as_bytes().first() {
            None => Some(""),
            Some(b':') => Some(&rest[1..]),
            Some(_) => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_description_is_named() {
        let cases = [
            ("", SdpError::Empty),
            (" \r\n", SdpError::Empty),
            ("{\"type\":\"offer\"}", SdpError::NoVersion),
            ("m=video 9 UDP/TLS/RTP/SAVPF 96", SdpError::NoVersion),
            ("v=0\r\nhello", SdpError::Line(2)),
            ("v=0\r\ns=-\r\n", SdpError::NoMedia),
        ];
        for (text, error) in cases {
            assert_eq!(Description::parse(text), Err(error), "{text:?}");
        }
        let long = "v=0\r\n".repeat(20_000);
        assert_eq!(Description::parse(&long), Err(SdpError::TooLong(100_000)));
        let many = format!("v=0\r\n{}", "m=video 9 x 96\r\n".repeat(33));
        assert_eq!(
            Description::parse(&many),
            Err(SdpError::TooManySections(33))
        );
    }

    #[test]
    fn sections_and_attributes_are_found() {
        let text = "v=0\r\ns=-\r\na=group:BUNDLE a v\r\na=ice-ufrag:x\r\n\
            m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:a\r\na=recvonly\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:v\r\na=ice-ufrag:y\r\n\
            a=extmap:3/sendonly urn:x\r\na=extmap:4 urn:xy\r\n";
        let mut description = Description::parse(text).unwrap();
        assert_eq!(description.text(), text);
        assert_eq!(description.bundle().collect::<Vec<_>>(), ["a", "v"]);
        let [audio, video] = &description.sections[..] else {
            panic!("two sections")
        };
        assert_eq!(audio.direction(), (false, true));
        assert_eq!(video.direction(), (true, true));
        assert_eq!(description.attribute(audio, "ice-ufrag"), Some("x"));
        assert_eq!(description.attribute(video, "ice-ufrag"), Some("y"));
        assert_eq!(video.formats().collect::<Vec<_>>(), ["96", "97"]);
        assert_eq!(video.extension("urn:x"), Some(3));
        assert_eq!(video.extension("urn:xy"), Some(4));
        assert_eq!(video.extension("urn"), None);
        description.set_bundle(&["v"]);
        assert_eq!(description.bundle().collect::<Vec<_>>(), ["v"]);
    }
}
