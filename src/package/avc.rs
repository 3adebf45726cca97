//! The H.264 of a picture: NAL units (ITU-T H.264 section 7.3.1) out of RTP payloads (RFC 6184),
//! and what files and RTMP want of them (ISO/IEC 14496-15).

use bytes::{BufMut, Bytes, BytesMut};

use crate::media::{EncodedPicture, Size, VideoCodec};

/// Types of NAL units, H.264 table 7-1.
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
/// Types of RTP payloads, RFC 6184 section 5.4.
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// What a decoder must know before the first picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// A sequence parameter set, with its NAL header.
    pub sps: Bytes,
    /// A picture parameter set, with its NAL header.
    pub pps: Bytes,
}

/// A picture as files hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// NAL units, each after its length in four bytes; without parameter sets and delimiters.
    pub data: Bytes,
    /// The sets that came with it.
    pub parameters: Option<Parameters>,
}

/// Why a picture cannot be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Some other codec.
    #[error("the picture is not H.264")]
    Codec,
    /// The payloads are not as RFC 6184 wants them.
    #[error("the RTP payloads of the picture make no NAL units")]
    Payload,
}

/// Unpacks a picture.
pub fn unit(picture: &EncodedPicture) -> Result<Unit, Error> {
    if picture.codec != VideoCodec::H264 {
        return Err(Error::Codec);
    }
    let (mut sps, mut pps) = (None, None);
    let mut data = BytesMut::new();
    for nal in nals(&picture.payloads)? {
        match nal[0] & 31 {
            SPS => sps = Some(nal),
            PPS => pps = Some(nal),
            DELIMITER => {}
            _ => {
                data.put_u32(nal.len() as u32);
                data.put_slice(&nal);
            }
        }
    }
    let parameters = sps.zip(pps).map(|(sps, pps)| Parameters { sps, pps });
    Ok(Unit {
        data: data.freeze(),
        parameters,
    })
}

/// A picture as streams hold it (ITU-T H.264 annex B): each NAL unit after a start code.
pub fn byte_stream(picture: &EncodedPicture) -> Result<Bytes, Error> {
    if picture.codec != VideoCodec::H264 {
        return Err(Error::Codec);
    }
    let mut data = BytesMut::new();
    for nal in nals(&picture.payloads)? {
        data.put_slice(&[0, 0, 0, 1]);
        data.put_slice(&nal);
    }
    Ok(data.freeze())
}

/// The NAL units of a picture's payloads; each has its header at least.
fn nals(payloads: &[Bytes]) -> Result<Vec<Bytes>, Error> {
    let mut nals = Vec::new();
    let mut fragments: Option<BytesMut> = None;
    for payload in payloads {
        let head = *payload.first().ok_or(Error::Payload)?;
        match head & 31 {
            1..=23 => nals.push(payload.clone()),
            STAP_A => {
                let mut rest = payload.slice(1..);
                while !rest.is_empty() {
                    let length = rest.first_chunk().map(|l| u16::from_be_bytes(*l));
                    let end = 2 + usize::from(length.ok_or(Error::Payload)?);
                    if end == 2 || end > rest.len() {
                        return Err(Error::Payload);
                    }
                    nals.push(rest.slice(2..end));
                    rest = rest.slice(end..);
                }
            }
            FU_A => {
                let (&fu, body) = payload[1..].split_first().ok_or(Error::Payload)?;
                let (start, end) = (fu & 0x80 != 0, fu & 0x40 != 0);
                if start {
                    fragments = Some(BytesMut::from(&[head & 0xe0 | fu & 31][..]));
                }
                let nal = fragments.as_mut().ok_or(Error::Payload)?;
                nal.put_slice(body);
                if end && let Some(nal) = fragments.take() {
                    nals.push(nal.freeze());
                }
            }
            _ => return Err(Error::Payload),
        }
    }
    match fragments {
        None => Ok(nals),
        Some(_) => Err(Error::Payload),
    }
}

impl Parameters {
    /// Profile, constraints and level, as RFC 6381 names them in `avc1.…`.
    pub fn profile(&self) -> [u8; 3] {
        let byte = |n| self.sps.get(n).copied().unwrap_or_default();
        [byte(1), byte(2), byte(3)]
    }

    /// The size of the pictures, cropped as the set says. None where the set is of a profile that
    /// no encoder here makes, or broken.
    pub fn size(&self) -> Option<Size> {
        let mut bits = Bits::new(self.sps.get(4..)?);
        let profile = self.profile()[0];
        if !matches!(profile, 66 | 77 | 88 | 100) {
            return None;
        }
        bits.ue()?;
        if profile == 100 {
            let (chroma, luma_depth, chroma_depth) = (bits.ue()?, bits.ue()?, bits.ue()?);
            let (_bypass, scaling) = (bits.bits(1)?, bits.bits(1)?);
            if (chroma, luma_depth, chroma_depth, scaling) != (1, 0, 0, 0) {
                return None;
            }
        }
        bits.ue()?;
        match bits.ue()? {
            0 => {
                bits.ue()?;
            }
            2 => {}
            _ => return None,
        }
        bits.ue()?;
        bits.bits(1)?;
        let (width, height) = (bits.ue()?.checked_add(1)?, bits.ue()?.checked_add(1)?);
        let frames_only = bits.bits(1)?;
        if frames_only == 0 {
            return None;
        }
        bits.bits(1)?;
        let mut crop = [0; 4];
        if bits.bits(1)? == 1 {
            for side in &mut crop {
                *side = bits.ue()?.checked_mul(2)?;
            }
        }
        let [left, right, top, bottom] = crop;
        let length =
            |blocks: u32, a: u32, b: u32| blocks.checked_mul(16)?.checked_sub(a.checked_add(b)?);
        Some(Size::new(
            length(width, left, right)?,
            length(height, top, bottom)?,
        ))
    }
}

/// Reads bits of a parameter set, whose emulation prevention (section 7.4.1) is skipped.
struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    fn new(escaped: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(escaped.len());
        let mut zeros = 0;
        for &byte in escaped {
            if zeros >= 2 && byte == 3 {
                zeros = 0;
                continue;
            }
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            bytes.push(byte);
        }
        Self { bytes, at: 0 }
    }

    fn bits(&mut self, count: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.at / 8)?;
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Some(value)
    }

    /// An Exp-Golomb code (section 9.1).
    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bits(1)? == 0 {
            zeros += 1;
            if zeros > 30 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.bits(zeros)?)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::clock::MediaTime;

    /// x264's sets for 1280x720.
    pub const SETS: [&[u8]; 2] = [
        &[
            0x67, 0x42, 0xc0, 0x1f, 0xda, 0x01, 0x40, 0x16, 0xec, 0x04, 0x40, 0x00, 0x00, 0x03,
            0x00, 0x40, 0x00, 0x00, 0x0c, 0x83, 0xc6, 0x0c, 0xa8,
        ],
        &[0x68, 0xce, 0x0f, 0xc8],
    ];

    /// A picture of one slice; a keyframe brings its sets.
    pub fn picture(at: MediaTime, keyframe: bool) -> EncodedPicture {
        let slice = Bytes::from(vec![if keyframe { 0x65 } else { 0x41 }; 100]);
        let mut payloads = vec![slice];
        if keyframe {
            payloads.splice(0..0, SETS.map(Bytes::from_static));
        }
        EncodedPicture {
            codec: VideoCodec::H264,
            at,
            keyframe,
            payloads,
            arrivals: Vec::new(),
            layout: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MediaTime;

    fn of(payloads: &[&'static [u8]]) -> Result<Unit, Error> {
        let mut picture = testing::picture(MediaTime(0), false);
        picture.payloads = payloads.iter().map(|p| Bytes::from_static(p)).collect();
        unit(&picture)
    }

    #[test]
    fn single_aggregated_and_fragmented_units_come_out_whole() {
        let stap = &[24, 0, 3, 0x67, 1, 2, 0, 2, 0x68, 3];
        let made = of(&[
            stap,
            &[0x06, 9],
            &[0x7c, 0x85, 1],
            &[0x7c, 0x05, 2],
            &[0x7c, 0x45, 3],
        ]);
        let made = made.unwrap();
        assert_eq!(
            &made.data[..],
            [0, 0, 0, 2, 6, 9, 0, 0, 0, 4, 0x65, 1, 2, 3]
        );
        let sets = made.parameters.unwrap();
        assert_eq!(
            (&sets.sps[..], &sets.pps[..]),
            (&[0x67, 1, 2][..], &[0x68, 3][..])
        );
        assert_eq!(
            of(&[&[0x09, 0x10], &[0x41]]).unwrap().data[..],
            [0, 0, 0, 1, 0x41]
        );
    }

    #[test]
    fn a_stream_has_start_codes_and_the_sets() {
        let key = byte_stream(&testing::picture(MediaTime(0), true)).unwrap();
        let units = key.windows(5).filter(|w| w.starts_with(&[0, 0, 0, 1]));
        let kinds: Vec<_> = units.map(|w| w[4] & 31).collect();
        assert_eq!(kinds, [7, 8, 5]);
    }

    #[test]
    fn what_is_no_h264_is_an_error() {
        for broken in [
            &[&[][..]][..],
            &[&[24, 0, 9, 1]],
            &[&[24, 0]],
            &[&[24, 0, 0]],
            &[&[0x7c, 0x05, 1]],
            &[&[0x7c, 0x85, 1]],
            &[&[0x7c]],
            &[&[30, 1]],
        ] {
            assert_eq!(of(broken), Err(Error::Payload), "{broken:?}");
        }
        let mut vp8 = testing::picture(MediaTime(0), true);
        vp8.codec = VideoCodec::Vp8;
        assert_eq!(unit(&vp8), Err(Error::Codec));
    }

    #[test]
    fn the_size_stands_in_the_parameter_set() {
        let [sps, pps] = testing::SETS.map(Bytes::from_static);
        let sets = Parameters { sps, pps };
        assert_eq!(sets.profile(), [66, 0xc0, 31]);
        assert_eq!(sets.size(), Some(Size::new(1280, 720)));
        for end in 0..sets.sps.len() {
            let cut = Parameters {
                sps: sets.sps.slice(..end),
                pps: sets.pps.clone(),
            };
            // Whatever it says of a stump, it does not panic.
            let _ = cut.size();
        }
    }
}
