//! Pictures and sound of a mix become parts and segments of two tracks in step. Pure: every time in
//! here comes with the media.
//!
//! Segments begin at keyframes, and at every one: the mix has one at least every two seconds while
//! it is packaged. A segment is made of parts of up to a second, so that players need not wait for
//! the whole of it. A part is handed out when the sound of its time is there, too.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::MediaTime;
use crate::encode::aac;
use crate::media::{AUDIO_CLOCK, EncodedPicture, VIDEO_CLOCK};
use crate::package::avc::{self, Parameters};
use crate::package::cmaf::{self, Sample};

/// Parts are at most this long ...
const PART: Duration = Duration::from_millis(1020);
/// ... and segments this. Rounded, it is the target duration that playlists promise.
pub const LONGEST: Duration = Duration::from_millis(2400);
/// The last picture before a hole is shown for so long.
const LAST: Duration = Duration::from_millis(40);
/// Sound that waits for pictures, at most.
const MOST_SOUND: Duration = Duration::from_secs(5);
/// Numbers of frames may be off their times by rounding, in ticks.
const ROUNDING: u64 = 2;

/// What there is next to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// The pictures of all parts from now on are described by this.
    Parameters(Parameters),
    /// The next part.
    Part(Part),
}

/// A part of both tracks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The time of its first picture.
    pub at: MediaTime,
    /// Begins a segment: a decoder can start here.
    pub begins: bool,
    /// Ends that segment.
    pub ends: bool,
    /// Does not go on where the part before ended.
    pub breaks: bool,
    /// The pictures, a CMAF chunk.
    pub video: Chunk,
    /// The sound, a CMAF chunk.
    pub audio: Chunk,
}

/// One track's share of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The file's content.
    pub data: Bytes,
    /// How long it lasts.
    pub duration: Duration,
}

/// Why there is nothing to publish.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A picture is not as it should be.
    #[error("unpacking a picture: {0}")]
    Picture(#[from] avc::Error),
    /// A chunk could not be written.
    #[error("packing a part: {0}")]
    Chunk(#[from] cmaf::Error),
}

struct Picture {
    at: MediaTime,
    data: Bytes,
    starts: bool,
}

/// Pictures that will be a part.
struct Open {
    /// Begin of the segment.
    segment: MediaTime,
    begins: bool,
    breaks: bool,
    /// Never empty.
    pictures: Vec<Picture>,
}

/// A part whose end is known, and whose sound may still be missing.
struct Closed {
    open: Open,
    end: MediaTime,
    ends: bool,
}

/// See the [module](self).
#[derive(Default)]
pub struct Segmenter {
    /// What is zero on the players' time line.
    epoch: Option<MediaTime>,
    parameters: Option<Parameters>,
    open: Option<Open>,
    /// The next segment does not go on where the one before ended.
    broken: bool,
    waiting: VecDeque<Step>,
    sounds: VecDeque<aac::Frame>,
    /// The time of the next frame of sound if there is no hole, in ticks.
    next_tick: u64,
    chunks: u32,
}

enum Step {
    Parameters(Parameters),
    Part(Closed),
}

impl Segmenter {
    /// The next picture of the mix. Those before the first keyframe are left out.
    pub fn picture(&mut self, picture: &EncodedPicture) -> Result<(), avc::Error> {
        let at = picture.at;
        let last = self.open.as_ref().and_then(|open| open.pictures.last());
        if last.is_some_and(|last| at <= last.at) {
            return Ok(());
        }
        let unit = avc::unit(picture)?;
        match (picture.keyframe, unit.parameters) {
            (true, Some(sets)) => self.begin(at, sets),
            (true, None) if self.parameters.is_none() => return Ok(()),
            (true, None) => self.enter(at),
            (false, _) => self.go_on(at),
        }
        if let Some(open) = &mut self.open {
            open.pictures.push(Picture {
                at,
                data: unit.data,
                starts: picture.keyframe,
            });
        }
        Ok(())
    }

    /// The next frame of sound.
    pub fn sound(&mut self, frame: aac::Frame) {
        let at = frame.at;
        self.sounds.push_back(frame);
        let old = |frame: &aac::Frame| at.since(frame.at) > MOST_SOUND;
        while self.waiting.is_empty() && self.sounds.front().is_some_and(old) {
            self.sounds.pop_front();
        }
    }

    /// What can be published, if there is anything: to be called until there is not.
    pub fn take(&mut self) -> Result<Option<Made>, Error> {
        match self.waiting.front() {
            Some(Step::Parameters(_)) => {}
            Some(Step::Part(part)) if self.sounds.back().is_some_and(|s| s.at >= part.end) => {}
            _ => return Ok(None),
        }
        match self.waiting.pop_front() {
            Some(Step::Part(part)) => Ok(Some(Made::Part(self.pack(part)?))),
            Some(Step::Parameters(sets)) => Ok(Some(Made::Parameters(sets))),
            None => Ok(None),
        }
    }

    fn begin(&mut self, at: MediaTime, sets: Parameters) {
        let before = self.parameters.replace(sets.clone());
        let changed = before.as_ref() != Some(&sets);
        self.broken |= changed && before.is_some();
        self.enter(at);
        if changed {
            self.waiting.push_back(Step::Parameters(sets));
        }
    }

    /// A keyframe: the segment before it ends, and one begins.
    fn enter(&mut self, at: MediaTime) {
        if let Some(open) = self.open.take() {
            let whole = at.since(open.segment) <= LONGEST;
            self.broken |= !whole;
            self.close(open, whole.then_some(at), true);
        }
        self.epoch.get_or_insert(at);
        self.open = Some(Open {
            segment: at,
            begins: true,
            breaks: std::mem::take(&mut self.broken),
            pictures: Vec::new(),
        });
    }

    /// A picture between keyframes: the part before it may be long enough.
    fn go_on(&mut self, at: MediaTime) {
        let Some(open) = &self.open else { return };
        let (Some(first), Some(last)) = (open.pictures.first(), open.pictures.last()) else {
            return;
        };
        let segment = open.segment;
        // If one more like the last one would be too much.
        let full = at.since(first.at) + at.since(last.at) > PART;
        let overdue = at.since(segment) > LONGEST;
        if !full && !overdue {
            return;
        }
        if let Some(open) = self.open.take() {
            self.close(open, (!overdue).then_some(at), overdue);
        }
        self.broken |= overdue;
        // Nothing more can be shown until the next keyframe, which is late.
        self.open = (!overdue).then_some(Open {
            segment,
            begins: false,
            breaks: false,
            pictures: Vec::new(),
        });
    }

    fn close(&mut self, open: Open, end: Option<MediaTime>, ends: bool) {
        let Some(last) = open.pictures.last() else {
            return;
        };
        let end = end.unwrap_or(last.at.plus(LAST));
        self.waiting
            .push_back(Step::Part(Closed { open, end, ends }));
    }

    fn pack(&mut self, part: Closed) -> Result<Part, Error> {
        let Closed { open, end, ends } = part;
        let epoch = self.epoch.unwrap_or_default();
        let ticks = |at: MediaTime| MediaTime(at.0.saturating_sub(epoch.0)).rtp_ticks(VIDEO_CLOCK);
        let begin = open.pictures.first().map_or(end, |picture| picture.at);
        let nexts = open.pictures.iter().skip(1).map(|picture| picture.at);
        let pictures = open.pictures.iter().zip(nexts.chain([end]));
        let pictures = pictures.map(|(picture, next)| Sample {
            data: picture.data.clone(),
            duration: ticks(next).saturating_sub(ticks(picture.at)) as u32,
            starts: picture.starts,
        });
        self.chunks = self.chunks.wrapping_add(1);
        let pictures: Vec<_> = pictures.collect();
        let video = cmaf::chunk(self.chunks, ticks(begin), &pictures)?;
        Ok(Part {
            at: begin,
            begins: open.begins,
            ends,
            breaks: open.breaks,
            video: Chunk {
                data: video,
                duration: end.since(begin),
            },
            audio: self.pack_sound(epoch, begin, end, open.breaks)?,
        })
    }

    /// The sound of a part's time. What is older belongs to pictures that are not shown.
    fn pack_sound(
        &mut self,
        epoch: MediaTime,
        begin: MediaTime,
        end: MediaTime,
        breaks: bool,
    ) -> Result<Chunk, Error> {
        let before = |sounds: &VecDeque<aac::Frame>, at| {
            sounds.iter().take_while(|frame| frame.at < at).count()
        };
        if breaks || self.next_tick == 0 {
            self.sounds.drain(..before(&self.sounds, begin));
        }
        let count = before(&self.sounds, end);
        let frames: Vec<_> = self.sounds.drain(..count).collect();
        if let Some(first) = frames.first() {
            let tick = ticks_near(first.at.since(epoch));
            if tick.abs_diff(self.next_tick) > ROUNDING {
                self.next_tick = tick;
            }
        }
        let at = self.next_tick;
        self.next_tick += frames.len() as u64 * u64::from(aac::FRAME);
        let samples = frames.into_iter().map(|frame| Sample {
            data: frame.data,
            duration: aac::FRAME,
            starts: true,
        });
        let samples: Vec<_> = samples.collect();
        let length = samples.len() as f64 * f64::from(aac::FRAME) / f64::from(AUDIO_CLOCK);
        Ok(Chunk {
            data: cmaf::chunk(self.chunks, at, &samples)?,
            duration: Duration::from_secs_f64(length),
        })
    }
}

/// A time in ticks of the sound's clock, to the nearest.
fn ticks_near(time: Duration) -> u64 {
    let second = 1_000_000_000;
    ((time.as_nanos() * u128::from(AUDIO_CLOCK) + second / 2) / second) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::avc::testing::picture;

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    /// A mix of 25 pictures a second with the sound of its time.
    #[derive(Default)]
    struct Mix {
        segmenter: Segmenter,
        sounds: u64,
        made: Vec<Made>,
    }

    impl Mix {
        fn sound_until(&mut self, at: MediaTime) {
            loop {
                let next = MediaTime(self.sounds * 1_024_000_000_000 / 48_000);
                if next > at {
                    return;
                }
                let data = Bytes::from_static(b"aac");
                self.segmenter.sound(aac::Frame { at: next, data });
                self.sounds += 1;
            }
        }

        fn run(&mut self, times: std::ops::Range<u64>, keyframes: &[u64]) {
            for at in times.step_by(40) {
                let picture = picture(ms(at), keyframes.contains(&at));
                self.segmenter.picture(&picture).unwrap();
                self.sound_until(ms(at));
                while let Some(made) = self.segmenter.take().unwrap() {
                    self.made.push(made);
                }
            }
        }

        fn parts(&self) -> Vec<(u64, u64, bool, bool, bool)> {
            let part = |made: &Made| match made {
                Made::Part(p) => Some((
                    p.at.0 / 1_000_000,
                    p.video.duration.as_millis() as u64,
                    p.begins,
                    p.ends,
                    p.breaks,
                )),
                Made::Parameters(_) => None,
            };
            self.made.iter().filter_map(part).collect()
        }
    }

    #[test]
    fn segments_begin_at_keyframes_and_parts_last_a_second() {
        let mut mix = Mix::default();
        mix.run(0..6200, &[1000, 3000, 3480, 5480]);
        assert!(matches!(mix.made[0], Made::Parameters(_)));
        assert_eq!(
            mix.parts(),
            [
                (1000, 1000, true, false, false),
                (2000, 1000, false, true, false),
                (3000, 480, true, true, false),
                (3480, 1000, true, false, false),
                (4480, 1000, false, true, false),
            ]
        );
        let parameters = mix.made.iter().filter(|m| matches!(m, Made::Parameters(_)));
        assert_eq!(parameters.count(), 1, "they do not change");
    }

    #[test]
    fn a_part_waits_for_its_sound_and_has_all_of_it() {
        let mut segmenter = Segmenter::default();
        for at in (0..=1080).step_by(40) {
            segmenter.picture(&picture(ms(at), at == 0)).unwrap();
        }
        assert!(matches!(segmenter.take(), Ok(Some(Made::Parameters(_)))));
        let frame = |n: u64| aac::Frame {
            at: MediaTime(n * 1_024_000_000_000 / 48_000),
            data: Bytes::from_static(b"aac"),
        };
        // Frame 46 begins at 981 ms, frame 47 at 1002.
        (0..47).for_each(|n| segmenter.sound(frame(n)));
        assert_eq!(segmenter.take().unwrap(), None);
        segmenter.sound(frame(47));
        let Ok(Some(Made::Part(part))) = segmenter.take() else {
            panic!("it is complete")
        };
        assert_eq!(
            part.audio.duration.as_micros(),
            47 * 1024 * 1_000_000 / 48_000
        );
    }

    #[test]
    fn a_late_keyframe_and_a_pause_break_the_line() {
        let mut mix = Mix::default();
        // None at 2000: what comes after 2400 cannot be shown.
        mix.run(0..4000, &[0, 3000]);
        // The encoder is started again: nothing for two seconds.
        mix.run(6000..9000, &[6000, 8000]);
        let breaks: Vec<_> = mix.parts().iter().map(|p| (p.0, p.4)).collect();
        let expected = [
            (0, false),
            (1000, false),
            (2000, false),
            (3000, true),
            (6000, true),
        ];
        assert_eq!(breaks[..5], expected);
        for (at, length, ..) in mix.parts() {
            assert!(length <= 1020, "{at}: {length}");
        }
        assert_eq!(mix.parts()[2].1, 440, "until 2440");
        assert_eq!(mix.parts()[3].1, 1000);
    }

    #[test]
    fn other_parameters_come_before_their_pictures_and_break_the_line() {
        let mut mix = Mix::default();
        mix.run(0..2000, &[0]);
        let mut other = picture(ms(2000), true);
        let mut sps = other.payloads[0].to_vec();
        sps[3] = 40;
        other.payloads[0] = sps.into();
        mix.segmenter.picture(&other).unwrap();
        mix.run(2040..5000, &[4000]);
        let parameters = |(_, made): &(usize, &Made)| matches!(made, Made::Parameters(_));
        let second = mix.made.iter().enumerate().filter(parameters).nth(1);
        let Made::Part(next) = &mix.made[second.unwrap().0 + 1] else {
            panic!("{:?}", mix.made)
        };
        assert_eq!((next.at, next.breaks), (ms(2000), true));
    }
}
