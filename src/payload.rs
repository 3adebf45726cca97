//! What stands at the front of RTP payloads (RFC 6184, RFC 7741), read without decoding.

use crate::media::VideoCodec;

/// Whether a payload holds the start of a picture from which a decoder can start.
pub fn starts_keyframe(codec: VideoCodec, payload: &[u8]) -> bool {
    match codec {
        VideoCodec::H264 => h264_starts(payload),
        VideoCodec::Vp8 => vp8_starts(payload),
    }
}

/// A sequence parameter set, alone or in a STAP-A (RFC 6184): without one, an IDR picture is of
/// no use to a decoder that starts.
fn h264_starts(payload: &[u8]) -> bool {
    let is_start = |header: u8| header & 0x1f == 7;
    match payload {
        [header, size_high, size_low, rest @ ..] if header & 0x1f == 24 => {
            let (mut size, mut units) = (u16::from_be_bytes([*size_high, *size_low]), rest);
            while let Some(first) = units.first() {
                if is_start(*first) {
                    return true;
                }
                let Some([high, low, more @ ..]) = units.get(size as usize..) else {
                    return false;
                };
                (size, units) = (u16::from_be_bytes([*high, *low]), more);
            }
            false
        }
        [header, ..] => is_start(*header),
        [] => false,
    }
}

/// The first packet of the first partition of a frame whose P bit is clear (RFC 7741).
fn vp8_starts(payload: &[u8]) -> bool {
    let byte = |at: usize| payload.get(at).copied().unwrap_or(0);
    let first = byte(0);
    if first & 0x17 != 0x10 {
        return false;
    }
    let mut header = 1;
    if first & 0x80 != 0 {
        let extension = byte(1);
        header = 2;
        if extension & 0x80 != 0 {
            header += if byte(2) & 0x80 != 0 { 2 } else { 1 };
        }
        header += (extension & 0x40 != 0) as usize;
        header += (extension & 0x30 != 0) as usize;
    }
    payload.get(header).is_some_and(|first| first & 1 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyframes_are_recognised() {
        let h264 = |payload: &[u8]| starts_keyframe(VideoCodec::H264, payload);
        assert!(h264(&[0x67, 0x42]) && !h264(&[0x65]) && !h264(&[0x41, 0]) && !h264(&[]));
        assert!(h264(&[0x18, 0, 2, 0x09, 0xf0, 0, 2, 0x67, 0x42]));
        assert!(!h264(&[0x18, 0, 2, 0x09, 0xf0, 0, 2, 0x41, 0x42]));
        let vp8 = |payload: &[u8]| starts_keyframe(VideoCodec::Vp8, payload);
        assert!(vp8(&[0x10, 0x10]) && !vp8(&[0x10, 0x11]) && !vp8(&[0x00, 0x10]));
        assert!(vp8(&[0x90, 0x80, 0x80, 0x01, 0x10]) && !vp8(&[0x90, 0x80, 0x80, 0x01, 0x11]));
        assert!(vp8(&[0x90, 0x80, 0x01, 0x10]) && vp8(&[0x90, 0xe0, 0x01, 0x02, 0x03, 0x10]));
    }
}
