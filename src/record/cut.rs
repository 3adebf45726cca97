//! From pictures and sounds with their times to the bytes of a film in fragments. Pure.
//!
//! Every sample lasts until the next one of its track, so there are no gaps; each is therefore held
//! back until then. The first picture is time zero.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::clock::MediaTime;
use crate::media::{AUDIO_CLOCK, EncodedPicture, VIDEO_CLOCK};
use crate::package::avc::{self, Parameters};
use crate::package::cmaf::{self, Sample};
use crate::package::movie::{self, Run, Track};

/// How long the sound goes on without a picture at the beginning before nobody believes in one any
/// more: an encoder that failed is started again after a second.
const NO_PICTURE: Duration = Duration::from_secs(10);
/// Ticks that a sound's time may differ from where the one before ended and still be that.
const ROUNDING: u64 = 2;

/// Why there is no more film.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A picture is not what it should be.
    #[error(transparent)]
    Picture(#[from] avc::Error),
    /// The boxes.
    #[error(transparent)]
    Box(#[from] cmaf::Error),
    /// There is sound, and never a picture.
    #[error("no picture came within {NO_PICTURE:?}")]
    NoPicture,
}

/// Cuts a film into fragments of a second.
#[derive(Debug)]
pub struct Cutter {
    /// Seconds since 1970.
    made: u64,
    begin: Option<MediaTime>,
    /// With pictures: those sets that the beginning of the file has, once it is written.
    pictures: Option<Option<Parameters>>,
    /// The sets of the pictures changed: from then on each keyframe brings its own.
    changed: bool,
    sound: Track,
    /// Sound that came before there was a beginning: a picture takes longer to encode than the
    /// sound of its time.
    early: Vec<(MediaTime, Bytes)>,
    lanes: Vec<Lane>,
    fragments: u32,
}

/// One track's samples that are not in a fragment yet.
#[derive(Debug)]
struct Lane {
    clock: u32,
    /// What the last sample lasts, and where sounds are expected.
    usual: u32,
    /// Sounds follow one another without a gap.
    steady: bool,
    run: Option<Run>,
    held: Option<(u64, bool, Bytes)>,
}

impl Cutter {
    /// Of pictures and sound or of sound alone, whose samples last `frame` ticks; `made` is in
    /// seconds since 1970.
    pub fn new(pictures: bool, sound: Track, frame: u32, made: u64) -> Self {
        let lane = |clock, usual, steady| Lane {
            clock,
            usual,
            steady,
            run: None,
            held: None,
        };
        let mut lanes = vec![lane(AUDIO_CLOCK, frame, true)];
        if pictures {
            // A picture at 25 a second, until there are two.
            lanes.insert(0, lane(VIDEO_CLOCK, VIDEO_CLOCK / 25, false));
        }
        Self {
            made,
            begin: None,
            pictures: pictures.then_some(None),
            changed: false,
            sound,
            early: Vec::new(),
            lanes,
            fragments: 0,
        }
    }

    /// The next picture; what is to be written.
    pub fn picture(&mut self, picture: &EncodedPicture) -> Result<Vec<u8>, Error> {
        let unit = avc::unit(picture)?;
        let Some(head) = &mut self.pictures else {
            return Ok(Vec::new());
        };
        let mut out = Vec::new();
        let mut data = unit.data;
        if let Some(sets) = unit.parameters.filter(|_| picture.keyframe) {
            match head {
                None => {
                    let tracks = [Track::Video(sets.clone()), self.sound.clone()];
                    out = movie::init(&tracks, self.made)?;
                    *head = Some(sets);
                    self.begin = Some(picture.at);
                }
                Some(known) => {
                    self.changed |= *known != sets;
                    if self.changed {
                        data = with_sets(&sets, &data);
                    }
                }
            }
        }
        if let Some(begin) = self.begin.filter(|begin| *begin <= picture.at) {
            let at = self.lanes[0].ticks(picture.at.since(begin));
            self.lanes[0].push(0, at, picture.keyframe, data);
            for (at, data) in std::mem::take(&mut self.early) {
                self.hear(at, data);
            }
        }
        self.cut(false, &mut out)?;
        Ok(out)
    }

    /// The next piece of sound; what is to be written.
    pub fn sound(&mut self, at: MediaTime, data: Bytes) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        match (self.begin, &self.pictures) {
            (None, Some(_)) => {
                let first = self.early.first().map_or(at, |(first, _)| *first);
                if at.since(first) > NO_PICTURE {
                    return Err(Error::NoPicture);
                }
                self.early.push((at, data));
                return Ok(out);
            }
            (None, None) => {
                out = movie::init(std::slice::from_ref(&self.sound), self.made)?;
                self.begin = Some(at);
            }
            _ => {}
        }
        self.hear(at, data);
        self.cut(false, &mut out)?;
        Ok(out)
    }

    /// Puts a sound into its track, unless it is of before the beginning.
    fn hear(&mut self, at: MediaTime, data: Bytes) {
        let track = self.lanes.len() - 1;
        if let Some(begin) = self.begin.filter(|begin| *begin <= at) {
            let lane = &mut self.lanes[track];
            let at = lane.ticks(at.since(begin));
            lane.push(track, at, true, data);
        }
    }

    /// What is left to be written when it is over.
    pub fn end(&mut self) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        for (track, lane) in self.lanes.iter_mut().enumerate() {
            if let Some((at, starts, data)) = lane.held.take() {
                let duration = lane.usual;
                lane.append(
                    track,
                    at,
                    Sample {
                        data,
                        duration,
                        starts,
                    },
                );
            }
        }
        self.cut(true, &mut out)?;
        Ok(out)
    }

    fn cut(&mut self, all: bool, out: &mut Vec<u8>) -> Result<(), Error> {
        if !all && self.lanes.iter().all(|lane| !lane.is_due()) {
            return Ok(());
        }
        let runs: Vec<_> = self.lanes.iter_mut().filter_map(|l| l.run.take()).collect();
        if !runs.is_empty() {
            self.fragments += 1;
            out.extend(movie::fragment(self.fragments, &runs)?);
        }
        Ok(())
    }
}

impl Lane {
    fn ticks(&self, time: Duration) -> u64 {
        const SECOND: u128 = 1_000_000_000;
        ((time.as_nanos() * u128::from(self.clock) + SECOND / 2) / SECOND) as u64
    }

    fn push(&mut self, track: usize, mut at: u64, starts: bool, data: Bytes) {
        if let Some((before, held_starts, held)) = self.held.take() {
            let expected = before + u64::from(self.usual);
            if self.steady && at.abs_diff(expected) <= ROUNDING {
                at = expected;
            }
            // Time goes on: whatever comes too late is heard at once.
            at = at.max(before + 1);
            let duration = u32::try_from(at - before).unwrap_or(u32::MAX);
            if !self.steady {
                self.usual = duration;
            }
            let sample = Sample {
                data: held,
                duration,
                starts: held_starts,
            };
            self.append(track, before, sample);
        }
        self.held = Some((at, starts, data));
    }

    fn append(&mut self, track: usize, at: u64, sample: Sample) {
        let run = self.run.get_or_insert_with(|| Run {
            track: track as u32 + 1,
            at,
            samples: Vec::new(),
        });
        run.samples.push(sample);
    }

    /// Whether there is a second of it.
    fn is_due(&self) -> bool {
        let Some(run) = &self.run else { return false };
        let ticks: u64 = run.samples.iter().map(|s| u64::from(s.duration)).sum();
        ticks >= u64::from(self.clock)
    }
}

/// A picture that brings its own parameter sets.
fn with_sets(sets: &Parameters, data: &Bytes) -> Bytes {
    let mut whole = BytesMut::with_capacity(sets.sps.len() + sets.pps.len() + 8 + data.len());
    for set in [&sets.sps, &sets.pps] {
        whole.put_u32(set.len() as u32);
        whole.put_slice(set);
    }
    whole.put_slice(data);
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::avc::testing::picture;

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    fn cutter(pictures: bool) -> Cutter {
        Cutter::new(pictures, Track::Opus, 960, 0)
    }

    fn count(bytes: &[u8], kind: &[u8; 4]) -> usize {
        bytes.windows(4).filter(|four| four == kind).count()
    }

    #[test]
    fn fragments_are_of_a_second_and_begin_with_the_first_keyframe() {
        let mut cutter = cutter(true);
        let mut written = vec![];
        for tick in 0..=200 {
            let at = 20 * tick;
            written.push(cutter.sound(ms(at), Bytes::from_static(b"hiss")).unwrap());
            if tick % 2 == 0 {
                // The first two are of before, and nothing begins with them.
                let picture = picture(ms(at), tick == 4);
                written.push(cutter.picture(&picture).unwrap());
            }
        }
        written.push(cutter.end().unwrap());
        let sounds: Vec<_> = written
            .iter()
            .filter(|bytes| count(bytes, b"moof") > 0)
            .map(|bytes| count(bytes, b"hiss"))
            .collect();
        // Whichever track has its second first ends a fragment; of the other the last sample may be
        // held back.
        assert_eq!(sounds, [50, 48, 50, 48, 1]);
        let all = written.concat();
        assert_eq!((count(&all, b"ftyp"), count(&all, b"moov")), (1, 1));
        // From the keyframe on, with the sound of its time that came before it: all of them.
        assert_eq!(count(&all, b"hiss"), 197);
        assert_eq!(count(&all, &[0x41; 4]), 98 * 97);
        assert_eq!(count(&all, &[0x65; 4]), 97);
        assert!(cutter.end().unwrap().is_empty());
    }

    #[test]
    fn sets_that_change_stand_in_the_pictures_from_then_on() {
        let mut cutter = cutter(true);
        let sets = |bytes: &[u8]| count(bytes, &[0x67, 0x42, 0xc0, 0x1f]);
        let mut out = cutter.picture(&picture(ms(0), true)).unwrap();
        out.extend(cutter.picture(&picture(ms(500), true)).unwrap());
        let mut other = picture(ms(1_000), true);
        other.payloads[1] = Bytes::from_static(&[0x68, 1]);
        out.extend(cutter.picture(&other).unwrap());
        assert_eq!(sets(&out), 1, "in the beginning of the file");
        out.extend(cutter.picture(&picture(ms(1_500), true)).unwrap());
        out.extend(cutter.end().unwrap());
        assert_eq!(sets(&out), 3);
    }

    #[test]
    fn sound_alone_needs_no_picture_and_else_waits_for_one_in_vain_only_so_long() {
        let mut alone = cutter(false);
        let mut pictured = cutter(true);
        let (mut written, mut refused) = (vec![], None);
        for tick in 0..600 {
            let data = Bytes::from_static(b"hiss");
            written.extend(alone.sound(ms(20 * tick), data.clone()).unwrap());
            refused = refused.or(pictured.sound(ms(20 * tick), data).err());
        }
        assert_eq!(count(&written, b"moof"), 11);
        assert!(matches!(refused, Some(Error::NoPicture)));
    }
}
