//! Numbers in VP8's payload descriptor (RFC 7741 section 4.2) that go on across a change of source,
//! as sequence numbers and timestamps do: a receiver takes numbers from elsewhere for loss, or for
//! pictures that are over. Pure.

use bytes::{Bytes, BytesMut};

/// Where the numbers of one descriptor are, and what they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Numbers {
    /// Place, value and whether it has 15 bits, of the number of the picture.
    picture: Option<(usize, u16, bool)>,
    /// Place and value of the number of the last picture that others build on.
    base: Option<(usize, u8)>,
}

impl Numbers {
    fn read(payload: &[u8]) -> Option<Self> {
        let mut numbers = Self::default();
        if payload.first()? & 0x80 == 0 {
            return Some(numbers);
        }
        let has = *payload.get(1)?;
        let mut at = 2;
        if has & 0x80 != 0 {
            let first = *payload.get(at)?;
            let long = first & 0x80 != 0;
            let value = match long {
                true => u16::from(first & 0x7f) << 8 | u16::from(*payload.get(at + 1)?),
                false => u16::from(first),
            };
            numbers.picture = Some((at, value, long));
            at += 1 + usize::from(long);
        }
        if has & 0x40 != 0 {
            numbers.base = Some((at, *payload.get(at)?));
        }
        Some(numbers)
    }
}

/// The numbers that go out.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    ssrc: Option<u32>,
    /// What is added to those of the source.
    shift: (u16, u8),
    /// The newest that went out.
    newest: (Option<u16>, Option<u8>),
}

/// Numbers of pictures have 15 bits at most.
const WRAP: u16 = 1 << 15;

impl Numbering {
    /// The payload of a packet of this source with numbers that go on.
    pub fn renumber(&mut self, ssrc: u32, payload: &Bytes) -> Bytes {
        let Some(numbers) = Numbers::read(payload) else {
            return payload.clone();
        };
        if self.ssrc.replace(ssrc).is_some_and(|before| before != ssrc) {
            self.begin(numbers);
        }
        let (picture, base) = self.shift;
        let picture = numbers.picture.map(|(at, value, long)| {
            let wrap = if long { WRAP } else { 128 };
            (at, value.wrapping_add(picture) % wrap, long)
        });
        let base = numbers
            .base
            .map(|(at, value)| (at, value.wrapping_add(base)));
        if let Some((_, value, long)) = picture {
            let half = if long { WRAP / 2 } else { 64 };
            let ahead = |newest: u16| value.wrapping_sub(newest) % (half * 2) < half;
            if self.newest.0.is_none_or(ahead) {
                self.newest.0 = Some(value);
            }
        }
        if let Some((_, value)) = base
            && self
                .newest
                .1
                .is_none_or(|newest| value.wrapping_sub(newest) < 128)
        {
            self.newest.1 = Some(value);
        }
        if self.shift == (0, 0) {
            return payload.clone();
        }
        let mut changed = BytesMut::from(payload.as_ref());
        if let Some((at, value, long)) = picture {
            match long {
                true => changed[at..at + 2].copy_from_slice(&(value | WRAP).to_be_bytes()),
                false => changed[at] = value as u8,
            }
        }
        if let Some((at, value)) = base {
            changed[at] = value;
        }
        changed.freeze()
    }

    /// Another source begins with these.
    fn begin(&mut self, numbers: Numbers) {
        let next = self.newest.0.map(|newest| newest.wrapping_add(1));
        let picture = next.zip(numbers.picture);
        let base = self.newest.1.zip(numbers.base);
        self.shift = (
            picture.map_or(0, |(next, (_, value, _))| next.wrapping_sub(value)),
            base.map_or(0, |(newest, (_, value))| {
                newest.wrapping_add(1).wrapping_sub(value)
            }),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a number of 15 bits and one of 8.
    fn packet(picture: u16, base: u8) -> Bytes {
        let [high, low] = (picture | WRAP).to_be_bytes();
        Bytes::copy_from_slice(&[0x90, 0xe0, high, low, base, 0x20, 0xab, 0xcd])
    }

    #[test]
    fn one_source_is_left_as_it_is() {
        let mut numbering = Numbering::default();
        for payload in [
            packet(WRAP - 1, 255),
            packet(0, 0),
            Bytes::from_static(&[0x10, 1]),
            Bytes::from_static(&[0x90]),
            Bytes::new(),
        ] {
            assert_eq!(numbering.renumber(1, &payload), payload);
        }
    }

    #[test]
    fn another_source_goes_on_behind() {
        let mut numbering = Numbering::default();
        numbering.renumber(1, &packet(WRAP - 2, 254));
        numbering.renumber(1, &packet(WRAP - 1, 255));
        // Late, and not the newest.
        numbering.renumber(1, &packet(WRAP - 3, 253));
        assert_eq!(numbering.renumber(2, &packet(700, 9)), packet(0, 0));
        assert_eq!(numbering.renumber(2, &packet(702, 10)), packet(2, 1));
        assert_eq!(numbering.renumber(2, &packet(701, 10)), packet(1, 1));
        assert_eq!(numbering.renumber(1, &packet(5, 7)), packet(3, 2));
        assert_eq!(numbering.renumber(1, &packet(6, 7)), packet(4, 2));
    }

    #[test]
    fn short_numbers_stay_short() {
        let short = |n: u8| Bytes::copy_from_slice(&[0x90, 0x80, n, 0xab]);
        let mut numbering = Numbering::default();
        numbering.renumber(1, &short(126));
        assert_eq!(numbering.renumber(2, &short(3)), short(127));
        assert_eq!(numbering.renumber(2, &short(4)), short(0));
        assert_eq!(numbering.renumber(2, &short(5)), short(1));
    }
}
