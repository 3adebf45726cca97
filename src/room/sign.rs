//! Whether a room is being recorded, which everybody in it is told. Pure.

use std::collections::BTreeMap;

use crate::id::OutputId;
use crate::signalling::Message;

/// The outputs that record, and since when: milliseconds since 1970.
#[derive(Debug, Default)]
pub struct Sign {
    since: BTreeMap<OutputId, u64>,
}

impl Sign {
    /// One begins. Whether that is news.
    pub fn begin(&mut self, id: OutputId, now: u64) -> bool {
        self.since.insert(id, now);
        self.since.len() == 1
    }

    /// One ends. Whether that is news.
    pub fn end(&mut self, id: OutputId) -> bool {
        self.since.remove(&id).is_some() && self.since.is_empty()
    }

    /// Whether any goes on.
    pub fn is_on(&self) -> bool {
        !self.since.is_empty()
    }

    /// What everybody is to know.
    pub fn message(&self) -> Message {
        Message::Recording {
            on: self.is_on(),
            since: self.since.values().min().copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_are_news() {
        let mut sign = Sign::default();
        assert!(sign.begin(OutputId(1), 5));
        assert!(!sign.begin(OutputId(2), 7));
        assert!(!sign.end(OutputId(1)));
        let (on, since) = (true, Some(7));
        assert_eq!(sign.message(), Message::Recording { on, since });
        assert!(sign.end(OutputId(2)));
        assert!(!sign.end(OutputId(2)), "nothing of it is left");
        let (on, since) = (false, None);
        assert_eq!(sign.message(), Message::Recording { on, since });
    }
}
