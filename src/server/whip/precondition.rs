//! `If-Match` (RFC 9110 section 13.1.1): which generation of ICE a request is about.

use axum::http::{HeaderMap, header};

/// What has to be so, that a request is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing but that there is a session.
    Any,
    /// The session's tag is one of these.
    OneOf(Vec<String>),
}

impl Precondition {
    /// Reads it; none if there is none.
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(header::IF_MATCH).iter();
        let lines: Vec<_> = lines.filter_map(|line| line.to_str().ok()).collect();
        if lines.is_empty() {
            return None;
        }
        // Our tags have no comma.
        let tags = lines.iter().flat_map(|line| line.split(','));
        let tags: Vec<_> = tags.map(|tag| tag.trim().to_owned()).collect();
        Some(match tags.iter().any(|tag| tag == "*") {
            true => Self::Any,
            false => Self::OneOf(tags),
        })
    }

    /// Whether it is so. A weak tag is none of ours.
    pub fn holds(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(tags) => tags.iter().any(|one| one == tag),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(value: &str) -> Option<bool> {
        let mut headers = HeaderMap::new();
        for line in value.lines() {
            headers.append(header::IF_MATCH, line.parse().unwrap());
        }
        Precondition::read(&headers).map(|read| read.holds("\"a1\""))
    }

    #[test]
    fn tags_are_compared_strongly() {
        assert_eq!(holds(""), None);
        for good in ["\"a1\"", "*", "\"b2\", \"a1\"", "\"b2\"\n\"a1\""] {
            assert_eq!(holds(good), Some(true), "{good}");
        }
        for bad in ["\"b2\"", "a1", "W/\"a1\"", "\"a1", "\"\""] {
            assert_eq!(holds(bad), Some(false), "{bad}");
        }
    }
}
