//! A film in one file (ISO/IEC 14496-12): pictures and sound as tracks, in fragments that each stand
//! for themselves, or with one index of all.

use mp4_atom::{
    Audio, Codec, Dinf, Dops, Dref, DrefEntry, Edts, Elst, ElstEntry, Encode, Ftyp, Hdlr, Mdhd,
    Mdia, Mfhd, Minf, Moof, Moov, Mvex, Mvhd, Opus, Smhd, Stbl, Stco, Stsd, Tfdt, Tfhd, Tkhd, Traf,
    Trak, Trex, Trun, TrunEntry, TrunSamples, Url, Vmhd,
};

use crate::media::{AUDIO_CLOCK, VIDEO_CLOCK};
use crate::package::avc::Parameters;
use crate::package::cmaf::{self, DEPENDS, Error, STARTS, Sample};

/// Ticks a second of what is said of the whole film.
pub(super) const MOVIE_CLOCK: u32 = VIDEO_CLOCK;
/// Seconds between 1904, when these files' time begins, and 1970.
pub(super) const EPOCH: u64 = 2_082_844_800;
/// Samples that an Opus encoder for speech looks ahead, at 48 kHz: what a decoder puts out first.
const OPUS_LOOK_AHEAD: u16 = 312;

/// What a track carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Track {
    /// H.264, in ticks of [`VIDEO_CLOCK`].
    Video(Parameters),
    /// AAC-LC of one channel, in ticks of [`AUDIO_CLOCK`]; its bit rate.
    Aac(u32),
    /// Opus of one channel, in the same ticks.
    Opus,
}

/// Samples of one track that follow one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// From 1, in the order of [`init`].
    pub track: u32,
    /// Time of the first one in the track's ticks.
    pub at: u64,
    /// At least one.
    pub samples: Vec<Sample>,
}

impl Track {
    /// Ticks a second.
    pub fn clock(&self) -> u32 {
        match self {
            Self::Video(_) => VIDEO_CLOCK,
            Self::Aac(_) | Self::Opus => AUDIO_CLOCK,
        }
    }

    fn codec(&self) -> Result<Codec, Error> {
        Ok(match self {
            Self::Video(sets) => {
                let size = sets.size().ok_or(Error::Parameters)?;
                cmaf::video(sets, size)
            }
            Self::Aac(bitrate) => cmaf::audio(*bitrate),
            Self::Opus => Codec::Opus(Opus {
                audio: Audio {
                    data_reference_index: 1,
                    channel_count: 1,
                    sample_size: 16,
                    sample_rate: (AUDIO_CLOCK as u16).into(),
                },
                dops: Dops {
                    output_channel_count: 1,
                    pre_skip: OPUS_LOOK_AHEAD,
                    input_sample_rate: AUDIO_CLOCK,
                    output_gain: 0,
                    channel_mapping: None,
                },
                btrt: None,
            }),
        })
    }
}

/// The beginning of a file in fragments; `made` is in seconds since 1970.
pub fn init(tracks: &[Track], made: u64) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(1024);
    let brands = [b"iso6", b"iso5", b"isom", b"mp41"].map(|brand| brand.into());
    Ftyp {
        major_brand: b"iso6".into(),
        minor_version: 0,
        compatible_brands: brands.into(),
    }
    .encode(&mut out)?;
    let mut indexed = Vec::new();
    for (track, id) in tracks.iter().zip(1..) {
        let index = Stbl {
            stsd: Stsd {
                codecs: vec![track.codec()?],
            },
            // Wanted even where there is nothing in it.
            stco: Some(Stco::default()),
            ..Stbl::default()
        };
        indexed.push(Indexed {
            id,
            clock: track.clock(),
            offset: 0,
            duration: 0,
            index,
        });
    }
    let trex = |track: &Indexed| Trex {
        track_id: track.id,
        default_sample_description_index: 1,
        ..Trex::default()
    };
    let mvex = Mvex {
        mehd: None,
        trex: indexed.iter().map(trex).collect(),
    };
    let mut moov = moov(indexed, made);
    moov.mvex = Some(mvex);
    moov.encode(&mut out)?;
    Ok(out)
}

/// One fragment.
pub fn fragment(sequence: u32, runs: &[Run]) -> Result<Vec<u8>, Error> {
    let entry = |sample: &Sample| TrunEntry {
        duration: Some(sample.duration),
        size: Some(sample.data.len() as u32),
        flags: Some(if sample.starts { STARTS } else { DEPENDS }),
        cts: None,
    };
    let bytes_of = |run: &Run| run.samples.iter().map(|s| s.data.len()).sum::<usize>();
    let moof = |head: usize| {
        let mut offset = head;
        let traf = runs.iter().map(|run| {
            let begins = offset;
            offset += bytes_of(run);
            Traf {
                tfhd: Tfhd {
                    track_id: run.track,
                    default_base_is_moof: true,
                    ..Tfhd::default()
                },
                tfdt: Some(Tfdt {
                    base_media_decode_time: run.at,
                }),
                trun: vec![Trun {
                    data_offset: Some(begins as i32),
                    samples: TrunSamples::Explicit(run.samples.iter().map(entry).collect()),
                }],
                ..Traf::default()
            }
        });
        Moof {
            mfhd: Mfhd {
                sequence_number: sequence,
            },
            traf: traf.collect(),
        }
    };
    let bytes = runs.iter().map(bytes_of).sum::<usize>();
    let mut out = Vec::with_capacity(bytes + 2048);
    // Its length does not depend on what the offsets are.
    moof(0).encode(&mut out)?;
    let head = out.len() + 8;
    out.clear();
    moof(head).encode(&mut out)?;
    out.extend((bytes as u32 + 8).to_be_bytes());
    out.extend(b"mdat");
    for sample in runs.iter().flat_map(|run| &run.samples) {
        out.extend_from_slice(&sample.data);
    }
    Ok(out)
}

/// One track as its file describes it.
pub(super) struct Indexed {
    pub id: u32,
    /// Ticks a second.
    pub clock: u32,
    /// When it begins after the others, in ticks.
    pub offset: u64,
    /// In ticks.
    pub duration: u64,
    pub index: Stbl,
}

/// The description of a film.
pub(super) fn moov(tracks: Vec<Indexed>, made: u64) -> Moov {
    let made = made + EPOCH;
    let scaled = |ticks: u64, clock: u32| {
        (u128::from(ticks) * u128::from(MOVIE_CLOCK) / u128::from(clock.max(1))) as u64
    };
    let whole = |track: &Indexed| scaled(track.offset + track.duration, track.clock);
    let next_track_id = tracks.iter().map(|track| track.id).max().unwrap_or(0) + 1;
    Moov {
        mvhd: Mvhd {
            creation_time: made,
            modification_time: made,
            timescale: MOVIE_CLOCK,
            duration: tracks.iter().map(whole).max().unwrap_or(0),
            rate: 1.into(),
            volume: 1.into(),
            next_track_id,
            ..Mvhd::default()
        },
        trak: tracks
            .into_iter()
            .map(|track| {
                let (offset, length) = (
                    scaled(track.offset, track.clock),
                    scaled(track.duration, track.clock),
                );
                trak(track, made, offset, length)
            })
            .collect(),
        ..Moov::default()
    }
}

/// `offset` and `length` are in ticks of [`MOVIE_CLOCK`].
fn trak(track: Indexed, made: u64, offset: u64, length: u64) -> Trak {
    let size = track
        .index
        .stsd
        .codecs
        .iter()
        .find_map(|codec| match codec {
            Codec::Avc1(avc) => Some((avc.visual.width, avc.visual.height)),
            _ => None,
        });
    let (width, height) = size.unwrap_or_default();
    let wait = ElstEntry {
        segment_duration: offset,
        media_time: None,
        media_rate: 1.into(),
    };
    let play = ElstEntry {
        segment_duration: length,
        media_time: Some(0),
        media_rate: 1.into(),
    };
    Trak {
        tkhd: Tkhd {
            creation_time: made,
            modification_time: made,
            track_id: track.id,
            duration: offset + length,
            enabled: true,
            in_movie: true,
            volume: u8::from(size.is_none()).into(),
            width: width.into(),
            height: height.into(),
            ..Tkhd::default()
        },
        edts: (offset > 0).then(|| Edts {
            elst: Some(Elst {
                entries: vec![wait, play],
            }),
        }),
        mdia: Mdia {
            mdhd: Mdhd {
                creation_time: made,
                modification_time: made,
                timescale: track.clock,
                duration: track.duration,
                language: "und".into(),
            },
            hdlr: Hdlr {
                handler: if size.is_some() { b"vide" } else { b"soun" }.into(),
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
                stbl: track.index,
                ..Minf::default()
            },
        },
        ..Trak::default()
    }
}
