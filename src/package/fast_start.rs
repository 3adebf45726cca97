//! From a film in fragments to one with its index in front, which every player opens at once and
//! seeks in. Nothing is encoded anew. What is cut off at the end, as after a crash, is left out to
//! the last whole sample.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use bytes::Bytes;
use mp4_atom::{
    Buf, Co64, Codec, Decode, DecodeAtom, Encode, FourCC, Ftyp, Header, Moof, Moov, Stbl, Stco,
    Stsc, StscEntry, Stsd, Stss, Stsz, StszSamples, Stts, SttsEntry,
};

use crate::package::avc::Parameters;
use crate::package::cmaf;
use crate::package::movie::{EPOCH, Indexed, moov};

/// Descriptions are kilobytes; what is longer is no file of ours.
const LONGEST_HEAD: u64 = 64 << 20;
/// What is read at once.
const PIECE: usize = 1 << 20;
/// A parameter set is some 30 bytes; what is longer is none.
const LONGEST_SET: u32 = 1024;
/// NAL units of parameter sets (ITU-T H.264 table 7-1).
const SPS: u8 = 7;
const PPS: u8 = 8;

/// Why no film comes of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The boxes.
    #[error("ISO boxes: {0}")]
    Box(#[from] mp4_atom::Error),
    /// There is not one sample in it.
    #[error("nothing was recorded")]
    Empty,
}

/// Samples of one track that lie in the source one after the other.
#[derive(Debug)]
struct Chunk {
    source: u64,
    bytes: u64,
    samples: u32,
    /// Which of the track's descriptions, from 1.
    description: u32,
}

#[derive(Debug)]
struct Track {
    id: u32,
    clock: u32,
    descriptions: Vec<Codec>,
    /// Of the next sample.
    description: u32,
    sizes: Vec<u32>,
    durations: Vec<SttsEntry>,
    /// Numbers of those that a decoder can start at, from 1.
    starts: Vec<u32>,
    chunks: Vec<Chunk>,
    first: Option<u64>,
    /// Sum of the durations.
    duration: u64,
}

/// Writes the film that the fragments in `source` make to `target`; how long it is.
pub fn write(source: &File, target: &mut File) -> Result<Duration, Error> {
    let mut film = Film::default();
    film.scan(source)?;
    film.write(source, target)
}

#[derive(Debug, Default)]
struct Film {
    /// Seconds since 1970.
    made: u64,
    tracks: Vec<Track>,
    /// Track and chunk, as they lie in the source.
    order: Vec<(usize, usize)>,
}

impl Film {
    fn scan(&mut self, source: &File) -> Result<(), Error> {
        let end = source.metadata()?.len();
        let mut at = 0;
        while let Some((kind, head, body)) = header(source, at, end)? {
            let Some(next) = at.checked_add(head + body) else {
                break;
            };
            if kind == FourCC::new(b"moov") || kind == FourCC::new(b"moof") {
                if next > end || body > LONGEST_HEAD {
                    break;
                }
                let mut bytes = vec![0; body as usize];
                source.read_exact_at(&mut bytes, at + head)?;
                let header = Header {
                    kind,
                    size: Some(bytes.len()),
                };
                let mut bytes = &bytes[..];
                match kind == FourCC::new(b"moov") {
                    true => self.begin(Moov::decode_atom(&header, &mut bytes)?),
                    false => {
                        let fragment = Moof::decode_atom(&header, &mut bytes)?;
                        self.add(source, &fragment, at, end)?;
                    }
                }
            }
            at = next;
        }
        Ok(())
    }

    fn begin(&mut self, moov: Moov) {
        self.made = moov.mvhd.creation_time.saturating_sub(EPOCH);
        let track = |trak: mp4_atom::Trak| Track {
            id: trak.tkhd.track_id,
            clock: trak.mdia.mdhd.timescale,
            descriptions: trak.mdia.minf.stbl.stsd.codecs,
            description: 1,
            sizes: Vec::new(),
            durations: Vec::new(),
            starts: Vec::new(),
            chunks: Vec::new(),
            first: None,
            duration: 0,
        };
        self.tracks = moov.trak.into_iter().map(track).collect();
    }

    /// Takes a fragment in whose description begins at `moof`; the file ends at `end`.
    fn add(&mut self, source: &File, fragment: &Moof, moof: u64, end: u64) -> Result<(), Error> {
        for traf in &fragment.traf {
            let by_id = |track: &Track| track.id == traf.tfhd.track_id;
            let Some(number) = self.tracks.iter().position(by_id) else {
                continue;
            };
            let track = &mut self.tracks[number];
            let at = traf.tfdt.as_ref().map(|t| t.base_media_decode_time);
            track.jump(at.unwrap_or(track.duration));
            for run in &traf.trun {
                let mut place = moof + u64::from(run.data_offset.unwrap_or(0).unsigned_abs());
                for sample in run.samples.iter() {
                    let (size, duration) = (sample.size.unwrap_or(0), sample.duration.unwrap_or(0));
                    let next = place + u64::from(size);
                    if next > end {
                        break;
                    }
                    let starts = sample.flags.is_some_and(|flags| flags & 0x1_0000 == 0);
                    let before = track.chunks.len();
                    track.sample(source, place, size, duration, starts)?;
                    if track.chunks.len() > before {
                        self.order.push((number, before));
                    }
                    place = next;
                }
            }
        }
        Ok(())
    }

    fn write(self, source: &File, target: &mut File) -> Result<Duration, Error> {
        let first = |track: &Track| track.first;
        let begin = self.tracks.iter().filter_map(|track| {
            let first = first(track)?;
            Some(first as f64 / f64::from(track.clock.max(1)))
        });
        let begin = begin.fold(f64::INFINITY, f64::min);
        if self.order.is_empty() || !begin.is_finite() {
            return Err(Error::Empty);
        }
        let bytes: u64 = self.chunks().map(|chunk| chunk.bytes).sum();
        let picture = self.tracks.iter().any(|t| !t.starts_everywhere());
        let mut head = Vec::new();
        ftyp(picture).encode(&mut head)?;
        let before = head.len() as u64;
        let mut description = Vec::new();
        self.describe(0, begin, bytes).encode(&mut description)?;
        let data = mdat(bytes);
        // Its length does not depend on what the offsets are.
        let offset = before + description.len() as u64 + data.len() as u64;
        self.describe(offset, begin, bytes).encode(&mut head)?;
        head.extend(data);
        target.write_all(&head)?;
        self.copy(source, target)?;
        let length = |track: &Track| {
            let ticks = track.first.unwrap_or(0) + track.duration;
            ticks as f64 / f64::from(track.clock.max(1)) - begin
        };
        let length = self.tracks.iter().map(length).fold(0.0, f64::max);
        Ok(Duration::from_secs_f64(length))
    }

    fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        let chunk = |(track, chunk): &(usize, usize)| &self.tracks[*track].chunks[*chunk];
        self.order.iter().map(chunk)
    }

    /// The film's description if its samples begin at `offset` of the file; `begin` is the time
    /// of the earliest one in the source, seconds.
    fn describe(&self, offset: u64, begin: f64, bytes: u64) -> Moov {
        let mut places: Vec<Vec<u64>> = self.tracks.iter().map(|_| Vec::new()).collect();
        let mut place = offset;
        for ((track, _), chunk) in self.order.iter().zip(self.chunks()) {
            places[*track].push(place);
            place += chunk.bytes;
        }
        // The description itself is far shorter than the other half.
        let long = bytes > u64::from(u32::MAX / 2);
        let indexed = self
            .tracks
            .iter()
            .zip(places)
            .filter_map(|(track, places)| {
                let first = track.first?;
                let wait = first as f64 - begin * f64::from(track.clock);
                Some(Indexed {
                    id: track.id,
                    clock: track.clock,
                    offset: wait.max(0.0).round() as u64,
                    duration: track.duration,
                    index: track.index(places, long),
                })
            });
        moov(indexed.collect(), self.made)
    }

    fn copy(&self, source: &File, target: &mut File) -> Result<(), Error> {
        let mut piece = vec![0; PIECE];
        let mut chunks = self.chunks().peekable();
        while let Some(chunk) = chunks.next() {
            let (mut at, mut left) = (chunk.source, chunk.bytes);
            // What lies together is copied together.
            while let Some(next) = chunks.next_if(|next| next.source == at + left) {
                left += next.bytes;
            }
            while left > 0 {
                let length = left.min(PIECE as u64) as usize;
                source.read_exact_at(&mut piece[..length], at)?;
                target.write_all(&piece[..length])?;
                at += length as u64;
                left -= length as u64;
            }
        }
        Ok(())
    }
}

impl Track {
    /// The next sample is due at `at`: the one before it lasts until then.
    fn jump(&mut self, at: u64) {
        let first = *self.first.get_or_insert(at);
        let missing = at.saturating_sub(first + self.duration);
        let last = self.durations.last_mut();
        if missing > 0
            && let Some(last) = last
        {
            let longer = u64::from(last.sample_delta) + missing;
            last.sample_count -= 1;
            if last.sample_count == 0 {
                self.durations.pop();
            }
            self.lasts(u32::try_from(longer).unwrap_or(u32::MAX));
            self.duration += missing;
        }
    }

    fn lasts(&mut self, duration: u32) {
        match self.durations.last_mut() {
            Some(last) if last.sample_delta == duration => last.sample_count += 1,
            _ => self.durations.push(SttsEntry {
                sample_count: 1,
                sample_delta: duration,
            }),
        }
    }

    fn sample(
        &mut self,
        source: &File,
        place: u64,
        size: u32,
        duration: u32,
        starts: bool,
    ) -> Result<(), Error> {
        if starts && matches!(self.descriptions.first(), Some(Codec::Avc1(_))) {
            self.describe(sets(source, place, size)?);
        }
        self.sizes.push(size);
        if starts && !self.starts_everywhere() {
            self.starts.push(self.sizes.len() as u32);
        }
        self.lasts(duration);
        self.duration += u64::from(duration);
        let description = self.description;
        match self.chunks.last_mut() {
            Some(last) if last.source + last.bytes == place && last.description == description => {
                last.bytes += u64::from(size);
                last.samples += 1;
            }
            _ => self.chunks.push(Chunk {
                source: place,
                bytes: size.into(),
                samples: 1,
                description,
            }),
        }
        Ok(())
    }

    /// A keyframe that brings its own parameter sets has another description than those without.
    fn describe(&mut self, sets: Option<Parameters>) {
        let described = sets.and_then(|sets| Some(cmaf::video(&sets, sets.size()?)));
        let Some(described) = described else { return };
        let known = self.descriptions.iter().position(|one| *one == described);
        let known = known.unwrap_or_else(|| {
            self.descriptions.push(described);
            self.descriptions.len() - 1
        });
        self.description = known as u32 + 1;
    }

    fn starts_everywhere(&self) -> bool {
        !matches!(self.descriptions.first(), Some(Codec::Avc1(_)))
    }

    fn index(&self, places: Vec<u64>, long: bool) -> Stbl {
        let mut groups: Vec<StscEntry> = Vec::new();
        for (chunk, number) in self.chunks.iter().zip(1..) {
            let same = groups.last().is_some_and(|last| {
                last.samples_per_chunk == chunk.samples
                    && last.sample_description_index == chunk.description
            });
            if !same {
                groups.push(StscEntry {
                    first_chunk: number,
                    samples_per_chunk: chunk.samples,
                    sample_description_index: chunk.description,
                });
            }
        }
        let short = places.iter().map(|place| *place as u32);
        Stbl {
            stsd: Stsd {
                codecs: self.descriptions.clone(),
            },
            stts: Stts {
                entries: self.durations.clone(),
            },
            stss: (!self.starts_everywhere()).then(|| Stss {
                entries: self.starts.clone(),
            }),
            stsc: Stsc { entries: groups },
            stsz: Stsz {
                samples: StszSamples::Different {
                    sizes: self.sizes.clone(),
                },
            },
            stco: (!long).then(|| Stco {
                entries: short.collect(),
            }),
            co64: long.then_some(Co64 { entries: places }),
            ..Stbl::default()
        }
    }
}

fn ftyp(picture: bool) -> Ftyp {
    let (major, brands): (&[u8; 4], &[&[u8; 4]]) = match picture {
        true => (b"isom", &[b"isom", b"iso2", b"avc1", b"mp41"]),
        false => (b"M4A ", &[b"M4A ", b"isom", b"iso2", b"mp42"]),
    };
    Ftyp {
        major_brand: major.into(),
        minor_version: 512,
        compatible_brands: brands.iter().map(|brand| (*brand).into()).collect(),
    }
}

/// The head of the samples' box.
fn mdat(bytes: u64) -> Vec<u8> {
    match u32::try_from(bytes + 8) {
        Ok(short) => [&short.to_be_bytes()[..], b"mdat"].concat(),
        Err(_) => {
            let long = (bytes + 16).to_be_bytes();
            [&1u32.to_be_bytes()[..], b"mdat", &long].concat()
        }
    }
}

/// The box at `at`: its kind, and how long its head and its body are. None: there is no whole head.
fn header(source: &File, at: u64, end: u64) -> Result<Option<(FourCC, u64, u64)>, Error> {
    let mut bytes = [0; 16];
    let there = end.saturating_sub(at).min(16) as usize;
    source.read_exact_at(&mut bytes[..there], at)?;
    let mut rest = &bytes[..there];
    if there < 8 || (bytes[..4] == [0, 0, 0, 1] && there < 16) {
        return Ok(None);
    }
    let Ok(header) = Header::decode(&mut rest) else {
        return Ok(None);
    };
    let head = (there - rest.remaining()) as u64;
    let body = header.size.map_or(end - at - head, |size| size as u64);
    Ok(Some((header.kind, head, body)))
}

/// The parameter sets that a sample begins with.
fn sets(source: &File, place: u64, size: u32) -> Result<Option<Parameters>, Error> {
    let mut found = [const { None }; 2];
    let mut at = 0;
    for (kind, found) in [SPS, PPS].into_iter().zip(&mut found) {
        let mut head = [0; 5];
        if at + 5 > size {
            return Ok(None);
        }
        source.read_exact_at(&mut head, place + u64::from(at))?;
        let [a, b, c, d, nal] = head;
        let length = u32::from_be_bytes([a, b, c, d]);
        if nal & 31 != kind || length > LONGEST_SET || at + 4 + length > size {
            return Ok(None);
        }
        let mut set = vec![0; length as usize];
        source.read_exact_at(&mut set, place + u64::from(at) + 4)?;
        *found = Some(Bytes::from(set));
        at += 4 + length;
    }
    let [sps, pps] = found;
    Ok(sps.zip(pps).map(|(sps, pps)| Parameters { sps, pps }))
}

#[cfg(test)]
mod tests {
    use mp4_atom::Any;

    use super::*;
    use crate::package::avc::testing::SETS;
    use crate::package::cmaf::Sample;
    use crate::package::movie::{self, Run, Track};

    fn sets() -> Parameters {
        let [sps, pps] = SETS.map(Bytes::from_static);
        Parameters { sps, pps }
    }

    fn sample(data: &[u8], duration: u32, starts: bool) -> Sample {
        Sample {
            data: Bytes::copy_from_slice(data),
            duration,
            starts,
        }
    }

    fn run(track: u32, at: u64, samples: &[(&[u8], bool)]) -> Run {
        let duration = if track == 1 { 3600 } else { 1024 };
        let samples = samples.iter().map(|(data, s)| sample(data, duration, *s));
        Run {
            track,
            at,
            samples: samples.collect(),
        }
    }

    fn file(name: &str, bytes: &[u8]) -> File {
        let name = format!("quilt-fast-start-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let options = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path);
        let mut file = options.unwrap();
        file.write_all(bytes).unwrap();
        // Nobody but us needs it.
        std::fs::remove_file(path).unwrap();
        file
    }

    fn written(name: &str, bytes: &[u8]) -> Result<(Duration, Vec<Any>, Vec<u8>), Error> {
        let source = file(name, bytes);
        let mut target = file(name, &[]);
        let duration = write(&source, &mut target)?;
        let mut whole = vec![0; target.metadata()?.len() as usize];
        target.read_exact_at(&mut whole, 0)?;
        let (mut rest, mut boxes) = (&whole[..], vec![]);
        while rest.has_remaining() {
            boxes.push(Any::decode(&mut rest)?);
        }
        Ok((duration, boxes, whole))
    }

    /// What the samples of a track are, by its index.
    fn samples(stbl: &Stbl, whole: &[u8]) -> Vec<Vec<u8>> {
        let StszSamples::Different { sizes } = &stbl.stsz.samples else {
            panic!("{stbl:?}")
        };
        let mut sizes = sizes.iter();
        let mut found = vec![];
        let offsets = &stbl.stco.as_ref().unwrap().entries;
        for (offset, number) in offsets.iter().zip(1..) {
            let group = stbl
                .stsc
                .entries
                .iter()
                .rev()
                .find(|g| g.first_chunk <= number);
            let mut at = *offset as usize;
            for size in sizes
                .by_ref()
                .take(group.unwrap().samples_per_chunk as usize)
            {
                found.push(whole[at..at + *size as usize].to_vec());
                at += *size as usize;
            }
        }
        found
    }

    #[test]
    fn the_index_finds_every_sample_that_is_whole() {
        let tracks = [Track::Video(sets()), Track::Aac(96_000)];
        let mut bytes = movie::init(&tracks, 1_785_000_000).unwrap();
        let pictures = run(1, 0, &[(b"key", true), (b"two", false)]);
        let sounds = run(2, 512, &[(b"la", true)]);
        bytes.extend(movie::fragment(1, &[pictures, sounds]).unwrap());
        // A picture is missing here: the one before lasts.
        let pictures = run(1, 10_800, &[(b"four", false), (b"five!", true)]);
        let sounds = run(2, 1536, &[(b"li", true), (b"lu", true)]);
        bytes.extend(movie::fragment(2, &[pictures, sounds]).unwrap());
        for cut in 0..4 {
            let (duration, boxes, whole) = written("whole", &bytes[..bytes.len() - cut]).unwrap();
            let [Any::Ftyp(_), Any::Moov(moov), Any::Mdat(_)] = &boxes[..] else {
                panic!("{boxes:?}")
            };
            let [video, audio] = &moov.trak[..] else {
                panic!("{moov:?}")
            };
            let stbl = &video.mdia.minf.stbl;
            assert_eq!(
                samples(stbl, &whole),
                [&b"key"[..], b"two", b"four", b"five!"]
            );
            assert_eq!(stbl.stss.as_ref().unwrap().entries, [1, 4]);
            let lasts = stbl
                .stts
                .entries
                .iter()
                .map(|e| (e.sample_count, e.sample_delta));
            assert_eq!(lasts.collect::<Vec<_>>(), [(1, 3600), (1, 7200), (2, 3600)]);
            assert_eq!(video.edts, None);
            assert_eq!(duration, Duration::from_millis(200));
            let stbl = &audio.mdia.minf.stbl;
            let sounds = samples(stbl, &whole);
            let expected = [&b"la"[..], b"li", b"lu"];
            // Of two bytes at a time, whatever is cut off.
            assert_eq!(sounds, expected[..3 - cut.div_ceil(2)]);
            let wait = &audio.edts.as_ref().unwrap().elst.as_ref().unwrap().entries[0];
            assert_eq!((wait.segment_duration, wait.media_time), (960, None));
        }
    }

    #[test]
    fn other_parameter_sets_are_another_description() {
        let mut bytes = movie::init(&[Track::Video(sets())], 0).unwrap();
        // 640x360, as x264 describes it.
        let sps: &[u8] = &[
            0x67, 0x42, 0xc0, 0x1e, 0xda, 0x02, 0x80, 0xbf, 0xe5, 0xc0, 0x44, 0x00, 0x00, 0x03,
            0x00, 0x04, 0x00, 0x00, 0x03, 0x00, 0xc8, 0x3c, 0x58, 0xba, 0x80,
        ];
        let mut other = vec![];
        for nal in [sps, SETS[1], &[0x65; 9]] {
            other.extend((nal.len() as u32).to_be_bytes());
            other.extend(nal);
        }
        let plain: &[u8] = &[0, 0, 0, 2, 0x65, 1];
        let pictures = [(plain, true), (&other[..], true), (plain, false)];
        bytes.extend(movie::fragment(1, &[run(1, 0, &pictures)]).unwrap());
        let (_, boxes, whole) = written("sets", &bytes).unwrap();
        let Any::Moov(moov) = &boxes[1] else {
            panic!("{boxes:?}")
        };
        let stbl = &moov.trak[0].mdia.minf.stbl;
        let sizes = stbl.stsd.codecs.iter().map(|codec| match codec {
            Codec::Avc1(avc) => (avc.visual.width, avc.visual.height),
            other => panic!("{other:?}"),
        });
        assert_eq!(sizes.collect::<Vec<_>>(), [(1280, 720), (640, 360)]);
        let groups = stbl.stsc.entries.iter();
        let groups = groups.map(|g| {
            (
                g.first_chunk,
                g.samples_per_chunk,
                g.sample_description_index,
            )
        });
        assert_eq!(groups.collect::<Vec<_>>(), [(1, 1, 1), (2, 2, 2)]);
        assert_eq!(samples(stbl, &whole), [plain, &other[..], plain]);
    }

    #[test]
    fn what_is_no_film_is_an_error() {
        for bytes in [&b""[..], b"not a film at all", &[0; 100]] {
            assert!(
                matches!(written("none", bytes), Err(Error::Empty)),
                "{bytes:?}"
            );
        }
        let head = movie::init(&[Track::Opus], 0).unwrap();
        for end in 0..head.len() {
            assert!(written("cut", &head[..end]).is_err());
        }
    }
}
