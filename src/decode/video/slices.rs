//! Keeps the slices of a picture together (H.264; pure).
//!
//! GStreamer's payloader repeats the parameter sets before each slice of an IDR picture, not only
//! before the first (`rtph264pay config-interval=-1` of what `x264enc tune=zerolatency` makes of
//! several cores). Where parameter sets follow a slice, H.264 section 7.4.1.2.3 has another picture
//! begin; RFC 6184 section 5.1 has it end where the timestamp changes. To a decoder a keyframe
//! would be two broken ones. So what only precedes a picture is taken out of its middle.

use super::payload::{STAP_A, aggregated, any_unit, kind};
use crate::decode::input::Refined;

/// What packets of one picture have been.
#[derive(Debug, Default)]
pub struct Slices {
    /// The timestamp of a picture of which a slice has passed, and not yet its end.
    picture: Option<u32>,
}

impl Slices {
    /// What of the next packet, in order, goes on.
    pub fn refine(&mut self, timestamp: u32, marker: bool, payload: &[u8]) -> Refined {
        let inside = self.picture == Some(timestamp);
        let refined = match inside {
            true => without_heads(payload),
            false => Refined::Whole,
        };
        self.picture = match marker {
            true => None,
            false => (inside || any_unit(payload, is_slice) == Some(true)).then_some(timestamp),
        };
        refined
    }
}

fn without_heads(payload: &[u8]) -> Refined {
    match payload.first().map(kind) {
        Some(nal) if is_head(nal) => Refined::Nothing,
        Some(STAP_A) => {
            let Some(units) = aggregated(payload) else {
                return Refined::Whole;
            };
            let slices: Vec<_> = units
                .iter()
                .filter(|unit| !is_head(kind(&unit[0])))
                .collect();
            if slices.len() == units.len() {
                return Refined::Whole;
            }
            if slices.is_empty() {
                return Refined::Nothing;
            }
            let mut left = vec![payload[0]];
            for slice in slices {
                left.extend((slice.len() as u16).to_be_bytes());
                left.extend(*slice);
            }
            Refined::Other(left)
        }
        _ => Refined::Whole,
    }
}

/// A coded slice (H.264 table 7-1).
fn is_slice(kind: u8) -> bool {
    (1..=5).contains(&kind)
}

/// SEI, parameter sets and the delimiter of access units: what begins another picture.
fn is_head(kind: u8) -> bool {
    (6..=9).contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPS: &[u8] = &[0x67, 1];
    const PPS: &[u8] = &[0x68, 2];
    const IDR: &[u8] = &[0x65, 3];
    const FRAGMENT: &[u8] = &[0x7c, 0x85, 4];

    fn bundle(units: &[&[u8]]) -> Vec<u8> {
        let mut payload = vec![0x78];
        for unit in units {
            payload.extend((unit.len() as u16).to_be_bytes());
            payload.extend(*unit);
        }
        payload
    }

    #[test]
    fn parameter_sets_go_before_a_picture_and_not_into_it() {
        let mut slices = Slices::default();
        let mut refine =
            |timestamp, marker, payload: &[u8]| slices.refine(timestamp, marker, payload);
        assert_eq!(refine(1, false, SPS), Refined::Whole);
        assert_eq!(refine(1, false, &bundle(&[SPS, PPS])), Refined::Whole);
        assert_eq!(refine(1, false, IDR), Refined::Whole);
        assert_eq!(refine(1, false, SPS), Refined::Nothing);
        assert_eq!(refine(1, false, &bundle(&[SPS, PPS])), Refined::Nothing);
        let left = Refined::Other(bundle(&[IDR]));
        assert_eq!(refine(1, false, &bundle(&[SPS, PPS, IDR])), left);
        assert_eq!(refine(1, true, FRAGMENT), Refined::Whole);
        // The next picture, by its time; or by the end of the one before.
        assert_eq!(refine(2, false, &bundle(&[SPS, PPS, IDR])), Refined::Whole);
        assert_eq!(refine(3, false, PPS), Refined::Whole);
        assert_eq!(refine(3, true, FRAGMENT), Refined::Whole);
        assert_eq!(refine(3, false, SPS), Refined::Whole);
    }

    #[test]
    fn what_cannot_be_read_goes_on_as_it_is() {
        let mut slices = Slices::default();
        slices.refine(1, false, IDR);
        for odd in [&[][..], &[0x78], &[0x78, 0xff, 0xff, 0x67], &[0x7c]] {
            assert_eq!(slices.refine(1, false, odd), Refined::Whole);
        }
    }
}
