//! A packet of RTP that is complete: its header (RFC 3550, RFC 8285) as it is on the wire, for there
//! are a hundred a second for everybody who watches. Pure.

use bytes::Bytes;
use rtc::rtp;
use rtc::shared::marshal::Unmarshal as _;

/// All that [`Fixed`] says.
const FIXED: usize = 12;
/// With the largest extensions that we have: 3, 1, 1 and 2 bytes, two bytes before each, and four
/// before all.
const MOST: usize = FIXED + 4 + 16;
/// The first byte: version 2, and whether there are extensions.
const VERSION: u8 = 0x80;
const EXTENDED: u8 = 0x10;
/// Extensions with one byte before each, and with two.
const SHORT: u16 = 0xbede;
const LONG: u16 = 0x1000;

/// A packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    head: Head,
    /// Media.
    pub payload: Bytes,
}

/// Its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    bytes: [u8; MOST],
    length: usize,
}

/// What every header has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fixed {
    /// The end of a picture, the beginning of speech.
    pub marker: bool,
    /// What is in it.
    pub payload_type: u8,
    /// Its number.
    pub sequence: u16,
    /// When it is to be played.
    pub timestamp: u32,
    /// Whose it is.
    pub ssrc: u32,
}

impl Head {
    /// With these extensions, as far as their numbers are agreed on.
    pub fn new(fixed: Fixed, extensions: &[(Option<u8>, &[u8])]) -> Self {
        let mut bytes = [0; MOST];
        bytes[0] = VERSION;
        bytes[1] = u8::from(fixed.marker) << 7 | fixed.payload_type & 0x7f;
        bytes[2..4].copy_from_slice(&fixed.sequence.to_be_bytes());
        bytes[4..8].copy_from_slice(&fixed.timestamp.to_be_bytes());
        bytes[8..FIXED].copy_from_slice(&fixed.ssrc.to_be_bytes());
        let agreed = || {
            let agreed = extensions.iter();
            agreed.filter_map(|(id, value)| Some(((*id)?, *value)))
        };
        if agreed().next().is_none() {
            let length = FIXED;
            return Self { bytes, length };
        }
        let short = agreed().all(|(id, _)| id < 15);
        let mut at = FIXED + 4;
        for (id, value) in agreed() {
            if short {
                bytes[at] = id << 4 | (value.len() as u8 - 1);
                at += 1;
            } else {
                bytes[at..at + 2].copy_from_slice(&[id, value.len() as u8]);
                at += 2;
            }
            bytes[at..at + value.len()].copy_from_slice(value);
            at += value.len();
        }
        let length = at.next_multiple_of(4);
        let words = (length - FIXED - 4) / 4;
        bytes[0] |= EXTENDED;
        let form = if short { SHORT } else { LONG };
        bytes[FIXED..FIXED + 2].copy_from_slice(&form.to_be_bytes());
        bytes[FIXED + 2..FIXED + 4].copy_from_slice(&(words as u16).to_be_bytes());
        Self { bytes, length }
    }

    /// As it is on the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Packet {
    /// Of both.
    pub fn new(head: Head, payload: Bytes) -> Self {
        Self { head, payload }
    }

    /// Its header.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// What every header has.
    pub fn fixed(&self) -> Fixed {
        let [_, second, s0, s1, t0, t1, t2, t3, a, b, c, d, ..] = self.head.bytes;
        Fixed {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([a, b, c, d]),
        }
    }

    /// As the library has it.
    pub fn library(self) -> rtp::Packet {
        let mut bytes = self.head.bytes();
        // What is made here is a header.
        let header = rtp::Header::unmarshal(&mut bytes).unwrap_or_default();
        let payload = self.payload;
        rtp::Packet { header, payload }
    }
}

#[cfg(test)]
mod tests {
    use rtc::shared::marshal::Marshal as _;

    use super::*;

    const FIRST: Fixed = Fixed {
        marker: true,
        payload_type: 96,
        sequence: 65_534,
        timestamp: 0x0102_0304,
        ssrc: 0x8182_8384,
    };

    #[test]
    fn the_library_reads_what_is_written() {
        let values: [&[u8]; 4] = [&[1, 2, 3], &[4], &[5], &[6, 7]];
        for ids in [
            [None; 4],
            [Some(1), None, None, None],
            [Some(1), Some(2), Some(3), Some(14)],
            [None, Some(14), None, Some(5)],
            [Some(1), None, None, Some(15)],
            [Some(200), Some(201), Some(202), Some(255)],
        ] {
            let extensions: Vec<_> = ids.into_iter().zip(values).collect();
            let head = Head::new(FIRST, &extensions);
            let packet = Packet::new(head, Bytes::from_static(b"media"));
            assert_eq!(packet.fixed(), FIRST);
            let read = packet.clone().library();
            let header = &read.header;
            assert_eq!(
                (header.version, header.marker, header.payload_type),
                (2, true, 96)
            );
            assert_eq!(
                (header.sequence_number, header.timestamp, header.ssrc),
                (65_534, 0x0102_0304, 0x8182_8384)
            );
            for (id, value) in ids.into_iter().zip(values) {
                if let Some(id) = id {
                    assert_eq!(header.get_extension(id).as_deref(), Some(value), "{id}");
                }
            }
            let wanted = ids.into_iter().flatten().count();
            assert_eq!(header.extensions.len(), wanted, "{ids:?}");
            // The library writes the same, so either may send it again.
            let mut bytes = packet.head().bytes().to_vec();
            bytes.extend_from_slice(b"media");
            assert_eq!(read.marshal().unwrap(), bytes);
        }
    }
}
