//! CMAF (ISO/IEC 23000-19): one track a file, an initialisation segment, then chunks that each
//! stand for themselves.

use bytes::Bytes;
use mp4_atom::{
    Audio, Avc1, Avcc, Codec, Dinf, Dref, DrefEntry, Encode, Ftyp, Hdlr, Mdhd, Mdia, Mfhd, Minf,
    Moof, Moov, Mp4a, Mvex, Mvhd, Smhd, Stbl, Stco, Stsd, Tfdt, Tfhd, Tkhd, Traf, Trak, Trex, Trun,
    TrunEntry, TrunSamples, Url, Visual, Vmhd, esds,
};

use crate::media::{AUDIO_CLOCK, Size, VIDEO_CLOCK};
use crate::package::avc::Parameters;

/// The one track of a file.
const TRACK: u32 = 1;
/// Sample flags (ISO/IEC 14496-12 section 8.8.3.1): depends on no other; depends on others and is
/// no place to start.
pub(super) const STARTS: u32 = 0x0200_0000;
pub(super) const DEPENDS: u32 = 0x0101_0000;

/// What a track carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Track {
    /// H.264, in ticks of [`VIDEO_CLOCK`].
    Video(Parameters),
    /// AAC-LC of one channel, in ticks of [`AUDIO_CLOCK`]; its bit rate.
    Audio(u32),
}

/// A picture, or a frame of sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// As files hold it.
    pub data: Bytes,
    /// Ticks until the next one.
    pub duration: u32,
    /// Whether a decoder may start here.
    pub starts: bool,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing is known that could describe the track.
    #[error("the parameter sets of the stream are not understood")]
    Parameters,
    /// A box does not hold what it should.
    #[error("writing ISO boxes: {0}")]
    Box(#[from] mp4_atom::Error),
}

/// AAC-LC, 48 kHz, one channel (ISO/IEC 14496-3 section 1.6.2.1).
pub const AAC_CONFIG: [u8; 2] = [0x11, 0x88];

/// What a player must have read before any chunk.
pub fn init(track: &Track) -> Result<Bytes, Error> {
    let brands = [b"iso6", b"cmfc", b"mp41"].map(|brand| brand.into());
    let mut out = Vec::with_capacity(1024);
    Ftyp {
        major_brand: b"iso6".into(),
        minor_version: 0,
        compatible_brands: brands.into(),
    }
    .encode(&mut out)?;
    let (size, clock, handler, codec) = match track {
        Track::Video(sets) => {
            let size = sets.size().ok_or(Error::Parameters)?;
            (Some(size), VIDEO_CLOCK, b"vide", video(sets, size))
        }
        Track::Audio(bitrate) => (None, AUDIO_CLOCK, b"soun", audio(*bitrate)),
    };
    let side = |of: fn(Size) -> u32| (size.map_or(0, of) as u16).into();
    let media = Mdia {
        mdhd: Mdhd {
            timescale: clock,
            language: "und".into(),
            ..Mdhd::default()
        },
        hdlr: Hdlr {
            handler: handler.into(),
            name: "Quilt".into(),
        },
        minf: Minf {
            vmhd: size.map(|_| Vmhd::default()),
            smhd: size.is_none().then(Smhd::default),
            dinf: Dinf {
                dref: Dref {
                    entries: vec![DrefEntry::Url(Url::default())],
                },
            },
            stbl: Stbl {
                stsd: Stsd {
                    codecs: vec![codec],
                },
                // Wanted even where there is nothing in it.
                stco: Some(Stco::default()),
                ..Stbl::default()
            },
            ..Minf::default()
        },
    };
    Moov {
        mvhd: Mvhd {
            timescale: clock,
            rate: 1.into(),
            volume: 1.into(),
            next_track_id: TRACK + 1,
            ..Mvhd::default()
        },
        mvex: Some(Mvex {
            mehd: None,
            trex: vec![Trex {
                track_id: TRACK,
                default_sample_description_index: 1,
                ..Trex::default()
            }],
        }),
        trak: vec![Trak {
            tkhd: Tkhd {
                track_id: TRACK,
                enabled: true,
                in_movie: true,
                volume: u8::from(size.is_none()).into(),
                width: side(|size| size.width),
                height: side(|size| size.height),
                ..Tkhd::default()
            },
            mdia: media,
            ..Trak::default()
        }],
        ..Moov::default()
    }
    .encode(&mut out)?;
    Ok(out.into())
}

pub(super) fn video(sets: &Parameters, size: Size) -> Codec {
    let [profile, compatibility, level] = sets.profile();
    Codec::Avc1(Avc1 {
        visual: Visual {
            data_reference_index: 1,
            width: size.width as u16,
            height: size.height as u16,
            ..Visual::default()
        },
        avcc: Avcc {
            configuration_version: 1,
            avc_profile_indication: profile,
            profile_compatibility: compatibility,
            avc_level_indication: level,
            length_size: 4,
            sequence_parameter_sets: vec![sets.sps.to_vec()],
            picture_parameter_sets: vec![sets.pps.to_vec()],
            ext: None,
        },
        ..Avc1::default()
    })
}

pub(super) fn audio(bitrate: u32) -> Codec {
    Codec::Mp4a(Mp4a {
        audio: Audio {
            data_reference_index: 1,
            channel_count: 1,
            sample_size: 16,
            sample_rate: (AUDIO_CLOCK as u16).into(),
        },
        esds: mp4_atom::Esds {
            es_desc: esds::EsDescriptor {
                es_id: 1,
                dec_config: esds::DecoderConfig {
                    // ISO/IEC 14496-1 table 5: audio of ISO/IEC 14496-3, an audio stream.
                    object_type_indication: 0x40,
                    stream_type: 5,
                    max_bitrate: bitrate,
                    avg_bitrate: bitrate,
                    dec_specific: Some(esds::DecoderSpecific {
                        raw: AAC_CONFIG.to_vec(),
                        ..Default::default()
                    }),
                    ..Default::default()
                },
                ..Default::default()
            },
        },
        btrt: None,
        taic: None,
    })
}

/// Samples that follow one another, the first one's time being `at` ticks.
pub fn chunk(sequence: u32, at: u64, samples: &[Sample]) -> Result<Bytes, Error> {
    let entry = |sample: &Sample| TrunEntry {
        duration: Some(sample.duration),
        size: Some(sample.data.len() as u32),
        flags: Some(if sample.starts { STARTS } else { DEPENDS }),
        cts: None,
    };
    let moof = |offset: i32| Moof {
        mfhd: Mfhd {
            sequence_number: sequence,
        },
        traf: vec![Traf {
            tfhd: Tfhd {
                track_id: TRACK,
                default_base_is_moof: true,
                ..Tfhd::default()
            },
            tfdt: Some(Tfdt {
                base_media_decode_time: at,
            }),
            trun: vec![Trun {
                data_offset: Some(offset),
                samples: TrunSamples::Explicit(samples.iter().map(entry).collect()),
            }],
            ..Traf::default()
        }],
    };
    let bytes = samples
        .iter()
        .map(|sample| sample.data.len())
        .sum::<usize>();
    let mut out = Vec::with_capacity(bytes + 128 + 16 * samples.len());
    // Its length does not depend on what the offset is.
    moof(0).encode(&mut out)?;
    let offset = out.len() as i32 + 8;
    out.clear();
    moof(offset).encode(&mut out)?;
    out.extend((bytes as u32 + 8).to_be_bytes());
    out.extend(b"mdat");
    for sample in samples {
        out.extend_from_slice(&sample.data);
    }
    Ok(out.into())
}

#[cfg(test)]
mod tests {
    use mp4_atom::{Any, Buf, Decode};

    use super::*;
    use crate::package::avc::testing::SETS;

    fn boxes(bytes: &Bytes) -> Vec<Any> {
        let mut rest = &bytes[..];
        let mut boxes = Vec::new();
        while rest.has_remaining() {
            boxes.push(Any::decode(&mut rest).unwrap());
        }
        boxes
    }

    #[test]
    fn an_initialisation_segment_describes_its_track() {
        let [sps, pps] = SETS.map(Bytes::from_static);
        let video = boxes(
            &init(&Track::Video(Parameters {
                sps: sps.clone(),
                pps,
            }))
            .unwrap(),
        );
        let [Any::Ftyp(_), Any::Moov(moov)] = &video[..] else {
            panic!("{video:?}")
        };
        let media = &moov.trak[0].mdia;
        assert_eq!(media.mdhd.timescale, 90_000);
        let [Codec::Avc1(avc)] = &media.minf.stbl.stsd.codecs[..] else {
            panic!("{media:?}")
        };
        assert_eq!((avc.visual.width, avc.visual.height), (1280, 720));
        assert_eq!(avc.avcc.sequence_parameter_sets, [sps.to_vec()]);

        let audio = boxes(&init(&Track::Audio(96_000)).unwrap());
        let [Any::Ftyp(_), Any::Moov(moov)] = &audio[..] else {
            panic!("{audio:?}")
        };
        let [Codec::Mp4a(aac)] = &moov.trak[0].mdia.minf.stbl.stsd.codecs[..] else {
            panic!("{audio:?}")
        };
        let said = aac.esds.es_desc.dec_config.dec_specific.as_ref().unwrap();
        assert_eq!((said.profile, said.freq_index, said.chan_conf), (2, 3, 1));
    }

    #[test]
    fn a_chunk_holds_its_samples_where_it_says() {
        let sample = |text: &'static str, starts| Sample {
            data: Bytes::from_static(text.as_bytes()),
            duration: 3600,
            starts,
        };
        let made = chunk(7, 90_000, &[sample("key", true), sample("next", false)]).unwrap();
        let read = boxes(&made);
        let [Any::Moof(moof), Any::Mdat(mdat)] = &read[..] else {
            panic!("{read:?}")
        };
        assert_eq!(mdat.data, b"keynext");
        let traf = &moof.traf[0];
        assert_eq!(traf.tfdt.as_ref().unwrap().base_media_decode_time, 90_000);
        let offset = traf.trun[0].data_offset.unwrap() as usize;
        assert_eq!(&made[offset..], b"keynext");
        let flags: Vec<_> = traf.trun[0].samples.iter().map(|s| s.flags).collect();
        assert_eq!(flags, [Some(STARTS), Some(DEPENDS)]);
    }
}
