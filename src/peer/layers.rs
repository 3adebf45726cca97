//! Which copy of its picture a source of a client's is (RFC 8852). Pure.

use std::collections::VecDeque;

use crate::media::Layer;

/// Sources known at a time: two, and as many again after a change.
const SOURCES: usize = 4;

/// What is known of a client's sources: they name themselves until a report of ours has told them
/// that they are known.
#[derive(Debug, Default)]
pub(super) struct Layers {
    known: VecDeque<(u32, Layer)>,
}

impl Layers {
    /// The copy that `ssrc` is, which calls itself `rid` in this packet if at all.
    pub fn of(&mut self, ssrc: u32, rid: Option<&[u8]>) -> Option<Layer> {
        let known = self.known.iter().find(|(known, _)| *known == ssrc);
        let known = known.map(|(_, layer)| *layer);
        let named = rid.and_then(Layer::of_rid);
        // A browser that was told that it is known, while it was not, does not name itself again.
        let unnamed = || rid.is_none().then(|| self.missing()).flatten();
        let layer = named.or(known).or_else(unnamed)?;
        if known != Some(layer) {
            self.known.retain(|(known, _)| *known != ssrc);
            if self.known.len() == SOURCES {
                self.known.pop_front();
            }
            self.known.push_back((ssrc, layer));
        }
        Some(layer)
    }

    /// The copy of which no source is known, where one of the other is.
    fn missing(&self) -> Option<Layer> {
        let is_known = |layer: &Layer| self.known.iter().any(|(_, known)| known == layer);
        let missing = Layer::ALL.into_iter().find(|layer| !is_known(layer));
        missing.filter(|_| !self.known.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_names_itself_once() {
        let mut layers = Layers::default();
        assert_eq!(layers.of(1, None), None);
        assert_eq!(layers.of(1, Some(b"f")), Some(Layer::Whole));
        assert_eq!(layers.of(2, Some(b"h")), Some(Layer::Half));
        assert_eq!(layers.of(3, Some(b"x")), None);
        assert_eq!(layers.of(1, None), Some(Layer::Whole));
        assert_eq!(layers.of(2, Some(b"")), Some(Layer::Half));
        // It may not be remembered for ever, nor grow.
        for ssrc in 10..1_000 {
            layers.of(ssrc, Some(b"h"));
        }
        assert_eq!(layers.known.len(), SOURCES);
        assert!(!layers.known.contains(&(1, Layer::Whole)));
    }

    #[test]
    fn who_names_itself_no_more_is_the_other_copy() {
        let mut layers = Layers::default();
        assert_eq!(layers.of(1, None), None, "of which?");
        assert_eq!(layers.of(1, Some(b"f")), Some(Layer::Whole));
        assert_eq!(layers.of(2, None), Some(Layer::Half));
        assert_eq!(layers.of(3, None), None, "there are two");
        assert_eq!(layers.of(2, None), Some(Layer::Half));
        // What it says of itself counts.
        assert_eq!(layers.of(2, Some(b"f")), Some(Layer::Whole));
    }
}
