//! RTP payloads of video: whether they can be what they claim, and where a decoder can start
//! (pure).

use crate::media::VideoCodec;

/// Whether a payload is complete as far as its own headers tell. The rest is for the decoder, but
/// this cannot be: `rtph264depay` of GStreamer 1.22 reads far beyond a fragment of one byte and
/// takes the process down.
pub fn sound(codec: VideoCodec, payload: &[u8]) -> bool {
    match codec {
        VideoCodec::Vp8 => frame_offset(payload).is_some_and(|at| at < payload.len()),
        VideoCodec::H264 => h264_sound(payload),
    }
}

/// Whether a decoder can start at this packet: it begins a VP8 keyframe (RFC 7741 section 4), or
/// an H.264 parameter set or IDR picture (RFC 6184 section 5).
pub fn starts(codec: VideoCodec, payload: &[u8]) -> bool {
    match codec {
        VideoCodec::Vp8 => vp8_starts(payload).unwrap_or(false),
        VideoCodec::H264 => h264_starts(payload).unwrap_or(false),
    }
}

/// Whether a packet only precedes a picture (H.264 access unit delimiter and SEI), so that it does
/// not tell yet what the picture is.
pub fn precedes(codec: VideoCodec, payload: &[u8]) -> bool {
    const SEI: u8 = 6;
    const DELIMITER: u8 = 9;
    codec == VideoCodec::H264 && matches!(payload.first().map(kind), Some(SEI | DELIMITER))
}

/// Where the VP8 frame begins behind the payload descriptor (RFC 7741 section 4.2).
fn frame_offset(payload: &[u8]) -> Option<usize> {
    if payload.first()? & 0x80 == 0 {
        return Some(1);
    }
    let flags = *payload.get(1)?;
    let mut at = 2;
    if flags & 0x80 != 0 {
        // The picture id takes two bytes when its first bit is set.
        at += if payload.get(at)? & 0x80 != 0 { 2 } else { 1 };
    }
    at += usize::from(flags & 0x40 != 0) + usize::from(flags & 0x30 != 0);
    Some(at)
}

fn vp8_starts(payload: &[u8]) -> Option<bool> {
    let first = *payload.first()?;
    let (begins, partition) = (first & 0x10 != 0, first & 0x07);
    // The inverse key frame flag is the lowest bit of the frame's first byte.
    let inverse = payload.get(frame_offset(payload)?)? & 1;
    Some(begins && partition == 0 && inverse == 0)
}

/// NAL unit types of RFC 6184 section 5.2 and of H.264 table 7-1.
const IDR: u8 = 5;
const SPS: u8 = 7;
pub const STAP_A: u8 = 24;
const FU_A: u8 = 28;

fn h264_sound(payload: &[u8]) -> bool {
    match payload.first().map(kind) {
        Some(1..=23) => payload.len() >= 2,
        Some(STAP_A) => aggregated(payload).is_some(),
        // Indicator, header, and something to put together.
        Some(FU_A) => payload.len() >= 3,
        // The rest belongs to interleaved mode, which nobody negotiates here, or to nothing.
        _ => false,
    }
}

/// The NAL units of an aggregation packet; None where their sizes do not fit.
pub fn aggregated(payload: &[u8]) -> Option<Vec<&[u8]>> {
    let mut units = Vec::new();
    let mut rest = payload.get(1..)?;
    while !rest.is_empty() {
        let size = usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?]));
        let unit = rest.get(2..2 + size)?;
        unit.first()?;
        units.push(unit);
        rest = &rest[2 + size..];
    }
    (!units.is_empty()).then_some(units)
}

/// Whether some NAL unit of a packet, or the one that it is a fragment of, is of such a type.
pub fn any_unit(payload: &[u8], wanted: impl Fn(u8) -> bool) -> Option<bool> {
    match kind(payload.first()?) {
        STAP_A => Some(
            aggregated(payload)?
                .iter()
                .any(|unit| wanted(kind(&unit[0]))),
        ),
        FU_A => payload.get(1).map(|header| wanted(kind(header))),
        nal => Some(wanted(nal)),
    }
}

/// The type of a NAL unit, by its first byte.
pub fn kind(first: &u8) -> u8 {
    first & 0x1f
}

fn h264_starts(payload: &[u8]) -> Option<bool> {
    let goes_on = kind(payload.first()?) == FU_A && payload.get(1)? & 0x80 == 0;
    Some(!goes_on && any_unit(payload, |nal| matches!(nal, IDR | SPS))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vp8_keyframes_start_where_the_first_partition_does() {
        let vp8 = |payload: &[u8]| starts(VideoCodec::Vp8, payload);
        assert!(vp8(&[0x10, 0x00]));
        assert!(!vp8(&[0x10, 0x01]), "an interframe");
        assert!(!vp8(&[0x00, 0x00]), "goes on");
        assert!(!vp8(&[0x11, 0x00]), "a later partition");
        assert!(vp8(&[0x90, 0x80, 0x12, 0x00]), "7-bit picture id");
        assert!(vp8(&[0x90, 0x80, 0x92, 0x34, 0x00]), "15-bit picture id");
        assert!(
            vp8(&[0x90, 0xe0, 0x92, 0x34, 0x07, 0x40, 0x00]),
            "all fields"
        );
        assert!(!vp8(&[0x90, 0xe0, 0x92, 0x34, 0x07, 0x40, 0x01]));
        for cut in [
            &[][..],
            &[0x10],
            &[0x90],
            &[0x90, 0x80],
            &[0x90, 0x80, 0x92],
        ] {
            assert!(!vp8(cut));
        }
    }

    #[test]
    fn h264_starts_at_parameter_sets_and_idr_pictures() {
        let h264 = |payload: &[u8]| starts(VideoCodec::H264, payload);
        assert!(h264(&[0x67, 0x42]) && h264(&[0x65]) && !h264(&[0x41]));
        assert!(h264(&[0x7c, 0x85]), "FU-A, first fragment of an IDR");
        assert!(!h264(&[0x7c, 0x05]) && !h264(&[0x7c, 0x81]));
        assert!(
            h264(&[0x78, 0, 2, 0x09, 0x10, 0, 1, 0x67]),
            "SPS behind an AUD"
        );
        assert!(!h264(&[0x78, 0, 2, 0x09, 0x10, 0, 1, 0x41]));
        for cut in [
            &[][..],
            &[0x7c],
            &[0x78],
            &[0x78, 0],
            &[0x78, 0xff, 0xff, 0x41],
        ] {
            assert!(!h264(cut));
        }
    }

    #[test]
    fn fuzz_payloads() {
        let corpus: [&[u8]; 7] = [
            &[0x10, 0x00, 1, 2, 0x9d, 0x01, 0x2a],
            &[0x90, 0xe0, 0x92, 0x34, 0x07, 0x40, 0x00, 1, 2],
            &[0x90, 0x80, 0x12, 0x01],
            &[0x67, 0x42, 0xc0, 0x1f],
            &[0x7c, 0x85, 1, 2, 3],
            &[0x78, 0, 2, 0x09, 0x10, 0, 1, 0x67],
            &[0x41, 0x9a],
        ];
        let mut seen = [0; 3];
        for payload in crate::fuzz::mutants(&corpus) {
            for codec in [VideoCodec::Vp8, VideoCodec::H264] {
                let sound = sound(codec, &payload);
                seen[0] += usize::from(sound);
                seen[1] += usize::from(starts(codec, &payload));
                seen[2] += usize::from(precedes(codec, &payload));
                // What takes the depayloader down, whatever else is in it.
                let fragment = payload.first().is_some_and(|first| first & 0x1f == FU_A);
                assert!(
                    !(sound && codec == VideoCodec::H264 && fragment && payload.len() < 3),
                    "{payload:?}"
                );
                assert!(!sound || payload.len() >= 2, "{payload:?}");
            }
        }
        assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
    }

    #[test]
    fn cut_payloads_are_not_sound() {
        let h264 = |payload: &[u8]| sound(VideoCodec::H264, payload);
        assert!(h264(&[0x41, 0x9a]) && h264(&[0x7c, 0x85, 1]));
        assert!(h264(&[0x78, 0, 2, 0x09, 0x10, 0, 1, 0x67]));
        let cut: [&[u8]; 10] = [
            &[],
            &[0x41],
            &[0x7c],
            &[0x7c, 0x85],
            &[0x78],
            &[0x78, 0],
            &[0x78, 0, 0],
            &[0x78, 0, 3, 0x67, 1],
            &[0x78, 0, 1, 0x67, 9],
            &[0x1f, 1, 2, 3],
        ];
        for payload in cut {
            assert!(!h264(payload), "{payload:?}");
        }
        let vp8 = |payload: &[u8]| sound(VideoCodec::Vp8, payload);
        assert!(vp8(&[0x10, 0]) && vp8(&[0x90, 0xe0, 0x92, 0x34, 7, 0x40, 0]));
        let cut: [&[u8]; 5] = [
            &[],
            &[0x10],
            &[0x90],
            &[0x90, 0x80, 0x92],
            &[0x90, 0xe0, 0x92, 0x34, 7, 0x40],
        ];
        for payload in cut {
            assert!(!vp8(payload), "{payload:?}");
        }
    }
}
