//! The bodies of RTMP's audio and video messages, which are those of FLV tags (Adobe's FLV file
//! format 10.1, annex E.4).

use bytes::{BufMut, Bytes, BytesMut};

use crate::package::avc::Parameters;
use crate::package::cmaf::AAC_CONFIG;

/// A keyframe, and any other picture; both AVC.
const KEY: u8 = 0x17;
const INTER: u8 = 0x27;
/// AAC; the rate and channels of this byte are to be ignored then.
const AAC: u8 = 0xaf;

/// What a decoder must know before the first picture: an AVCDecoderConfigurationRecord (ISO/IEC
/// 14496-15).
pub fn video_header(sets: &Parameters) -> Bytes {
    let [profile, compatibility, level] = sets.profile();
    let mut body = BytesMut::from(&[KEY, 0, 0, 0, 0][..]);
    // Lengths of four bytes; one set of each kind.
    body.put_slice(&[1, profile, compatibility, level, 0xff, 0xe1]);
    body.put_u16(sets.sps.len() as u16);
    body.put_slice(&sets.sps);
    body.put_u8(1);
    body.put_u16(sets.pps.len() as u16);
    body.put_slice(&sets.pps);
    body.freeze()
}

/// A picture, as [`super::avc::unit`] makes it.
pub fn video(data: &[u8], keyframe: bool) -> Bytes {
    let head = if keyframe { KEY } else { INTER };
    [&[head, 1, 0, 0, 0], data].concat().into()
}

/// What a decoder must know before the first sound.
pub fn audio_header() -> Bytes {
    [&[AAC, 0][..], &AAC_CONFIG].concat().into()
}

/// A raw AAC frame.
pub fn audio(data: &[u8]) -> Bytes {
    [&[AAC, 1], data].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_as_written_down() {
        let sets = Parameters {
            sps: Bytes::from_static(&[0x67, 66, 0xc0, 31, 9]),
            pps: Bytes::from_static(&[0x68, 1]),
        };
        let header = [
            0x17, 0, 0, 0, 0, 1, 66, 0xc0, 31, 0xff, 0xe1, 0, 5, 0x67, 66, 0xc0, 31, 9, 1, 0, 2,
            0x68, 1,
        ];
        assert_eq!(video_header(&sets)[..], header);
        assert_eq!(video(b"x", true)[..], *b"\x17\x01\0\0\0x");
        assert_eq!(video(b"x", false)[..], *b"\x27\x01\0\0\0x");
        assert_eq!(audio_header()[..], [0xaf, 0, 0x11, 0x88]);
        assert_eq!(audio(b"y")[..], *b"\xaf\x01y");
    }
}
