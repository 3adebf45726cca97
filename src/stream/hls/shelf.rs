//! The files of the last seconds of a stream, and the playlists that list them. Pure.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::clock::MediaTime;
use crate::encode::aac;
use crate::package::avc::Parameters;
use crate::package::cmaf::{self, Track as Described};
use crate::stream::hls::segmenter::{Chunk, Made, Part};

/// Segments that playlists list: three target durations are the least (RFC 8216 section 6.2.2), and
/// keyframes that somebody asked for make short ones.
const LISTED: usize = 12;
/// Segments that are kept beside those: for whoever fetches late.
const KEPT: usize = 2 * LISTED;
/// Segments whose parts are listed, too: three target durations of the shortest.
const WITH_PARTS: usize = 6;
/// Descriptions of pictures that are kept: a screen comes and goes.
const INITS: usize = 64;
/// Seconds: what no segment is longer than, rounded.
pub const TARGET: u64 = 2;
/// Seconds: what no part is longer than, and how far from the newest one players stay: three of them.
const PART_TARGET: &str = "1.1";
const HOLD_BACK: &str = "3.3";
/// The same in parts.
const HELD_BACK: usize = 3;

/// One of the two tracks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Track {
    /// The pictures.
    Video,
    /// The sound.
    Audio,
}

impl Track {
    /// What the names of its files begin with.
    fn letter(self) -> char {
        match self {
            Self::Video => 'v',
            Self::Audio => 'a',
        }
    }

    /// The name of its playlist.
    pub fn playlist(self) -> &'static str {
        match self {
            Self::Video => "video.m3u8",
            Self::Audio => "audio.m3u8",
        }
    }

    fn of(self, part: &Part) -> &Chunk {
        match self {
            Self::Video => &part.video,
            Self::Audio => &part.audio,
        }
    }
}

/// How far a stream is: a part of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The segment's number, from 0.
    pub segment: u64,
    /// The part's number in it, from 0.
    pub part: u64,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// A playlist.
    Playlist(Track),
    /// An initialisation segment, by its number.
    Init(Track, usize),
    /// A whole segment.
    Segment(Track, u64),
    /// A part of one.
    Part(Track, Place),
}

impl File {
    /// Reads a name.
    pub fn parse(name: &str) -> Option<Self> {
        for track in [Track::Video, Track::Audio] {
            if name == track.playlist() {
                return Some(Self::Playlist(track));
            }
            let Some(rest) = name.strip_prefix(track.letter()) else {
                continue;
            };
            if let Some(number) = rest.strip_prefix('i') {
                let number = number.strip_suffix(".mp4")?;
                return Some(Self::Init(track, number.parse().ok()?));
            }
            let rest = rest.strip_suffix(".m4s")?;
            return Some(match rest.split_once('.') {
                None => Self::Segment(track, rest.parse().ok()?),
                Some((segment, part)) => Self::Part(
                    track,
                    Place {
                        segment: segment.parse().ok()?,
                        part: part.parse().ok()?,
                    },
                ),
            });
        }
        None
    }
}

struct Segment {
    number: u64,
    /// When it began, milliseconds since 1970.
    wall: u64,
    /// Breaks of the line up to its begin, its own included.
    era: u64,
    breaks: bool,
    init: usize,
    parts: Vec<Part>,
    whole: bool,
}

/// See the [module](self).
#[derive(Default)]
pub struct Shelf {
    parameters: Option<Parameters>,
    /// Of the pictures; the first of them has this number.
    inits: VecDeque<Bytes>,
    first_init: usize,
    audio: Option<Bytes>,
    segments: VecDeque<Segment>,
    next: u64,
    era: u64,
    ended: bool,
}

impl Shelf {
    /// Takes what was made.
    pub fn put(&mut self, made: Made) -> Result<(), cmaf::Error> {
        match made {
            Made::Parameters(sets) => {
                if self.audio.is_none() {
                    self.audio = Some(cmaf::init(&Described::Audio(aac::BITRATE))?);
                }
                self.inits
                    .push_back(cmaf::init(&Described::Video(sets.clone()))?);
                self.parameters = Some(sets);
                if self.inits.len() > INITS {
                    self.inits.pop_front();
                    self.first_init += 1;
                }
            }
            Made::Part(part) => self.put_part(part),
        }
        Ok(())
    }

    fn put_part(&mut self, part: Part) {
        if part.begins {
            self.era += u64::from(part.breaks);
            self.segments.push_back(Segment {
                number: self.next,
                wall: wall(part.at),
                era: self.era,
                breaks: part.breaks,
                init: self.first_init + self.inits.len().saturating_sub(1),
                parts: Vec::new(),
                whole: false,
            });
            self.next += 1;
            while self.segments.len() > KEPT {
                self.segments.pop_front();
            }
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.whole = part.ends;
            segment.parts.push(part);
        }
    }

    /// Nothing more will come.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether there is a whole segment to play, and as much as players are to be behind: they begin
    /// where the list does if it is shorter, and stall as soon as one part is late.
    pub fn is_ready(&self) -> bool {
        let parts: usize = self
            .segments
            .iter()
            .map(|segment| segment.parts.len())
            .sum();
        parts >= HELD_BACK && self.segments.iter().any(|segment| segment.whole)
    }

    /// The newest part.
    pub fn edge(&self) -> Option<Place> {
        let last = self.segments.back()?;
        Some(Place {
            segment: last.number,
            part: (last.parts.len() as u64).checked_sub(1)?,
        })
    }

    /// Whether a part, or a segment as a whole, has been published (and may be gone by now).
    pub fn has(&self, segment: u64, part: Option<u64>) -> bool {
        let Some(last) = self.segments.back() else {
            return false;
        };
        let here = last.number == segment;
        last.number > segment
            || here && last.whole
            || here && part.is_some_and(|part| (part as usize) < last.parts.len())
    }

    /// The part that comes next.
    fn upcoming(&self) -> Place {
        match self.segments.back() {
            Some(last) if !last.whole => Place {
                segment: last.number,
                part: last.parts.len() as u64,
            },
            _ => Place {
                segment: self.next,
                part: 0,
            },
        }
    }

    /// What is in a file that is no playlist.
    pub fn file(&self, file: File) -> Option<Bytes> {
        let segment = |number| self.segments.iter().find(|s| s.number == number);
        match file {
            File::Playlist(_) => None,
            File::Init(Track::Audio, 0) => self.audio.clone(),
            File::Init(Track::Audio, _) => None,
            File::Init(Track::Video, number) => {
                let place = number.checked_sub(self.first_init)?;
                self.inits.get(place).cloned()
            }
            File::Part(track, place) => {
                let part = segment(place.segment)?.parts.get(place.part as usize)?;
                Some(track.of(part).data.clone())
            }
            File::Segment(track, number) => {
                let found = segment(number).filter(|segment| segment.whole)?;
                let mut whole = BytesMut::new();
                for part in &found.parts {
                    whole.extend_from_slice(&track.of(part).data);
                }
                Some(whole.freeze())
            }
        }
    }

    /// The playlist that names the two others, which are in the folder `folder`. `query` goes on
    /// every address, with its question mark.
    pub fn index(&self, folder: &str, query: &str) -> Option<String> {
        let sets = self.parameters.as_ref()?;
        let [profile, compatibility, level] = sets.profile();
        let size = sets.size()?;
        let (peak, average) = self.bandwidth();
        let (video, audio) = (Track::Video.playlist(), Track::Audio.playlist());
        Some(format!(
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"Meeting\",DEFAULT=YES,\
             AUTOSELECT=YES,CHANNELS=\"1\",URI=\"{folder}/{audio}{query}\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH={peak},AVERAGE-BANDWIDTH={average},\
             CODECS=\"avc1.{profile:02x}{compatibility:02x}{level:02x},mp4a.40.2\",\
             RESOLUTION={}x{},AUDIO=\"sound\"\n{folder}/{video}{query}\n",
            size.width, size.height
        ))
    }

    /// Bits a second of both tracks: of the largest segment, and of all.
    fn bandwidth(&self) -> (u64, u64) {
        let (mut peak, mut bits, mut time) = (1.0_f64, 0.0, 0.001);
        for segment in self.segments.iter().filter(|segment| segment.whole) {
            let bytes = |p: &Part| p.video.data.len() + p.audio.data.len();
            let size = 8.0 * segment.parts.iter().map(bytes).sum::<usize>() as f64;
            let length = length(Track::Video, segment).as_secs_f64().max(0.001);
            peak = peak.max(size / length);
            (bits, time) = (bits + size, time + length);
        }
        (peak.ceil() as u64, (bits / time).ceil() as u64)
    }

    /// The playlist of a track.
    pub fn playlist(&self, track: Track, query: &str) -> String {
        let letter = track.letter();
        let listed = self.segments.len().saturating_sub(LISTED);
        let listed: Vec<_> = self.segments.iter().skip(listed).collect();
        let first = listed.first();
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:{TARGET}\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK={HOLD_BACK}\n\
             #EXT-X-PART-INF:PART-TARGET={PART_TARGET}\n#EXT-X-MEDIA-SEQUENCE:{}\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:{}\n",
            first.map_or(0, |segment| segment.number),
            // Those whose mark is still in the list are not counted.
            first.map_or(0, |segment| segment.era - u64::from(segment.breaks)),
        );
        let mut described = None;
        for (place, segment) in listed.iter().enumerate() {
            if segment.breaks {
                text.push_str("#EXT-X-DISCONTINUITY\n");
            }
            let init = match track {
                Track::Video => segment.init,
                Track::Audio => 0,
            };
            if described != Some(init) || segment.breaks {
                let _ = writeln!(text, "#EXT-X-MAP:URI=\"{letter}i{init}.mp4{query}\"");
                described = Some(init);
            }
            let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", date(segment.wall));
            let number = segment.number;
            if place + WITH_PARTS >= listed.len() {
                for (part, made) in segment.parts.iter().enumerate() {
                    let independent = match part == 0 || track == Track::Audio {
                        true => ",INDEPENDENT=YES",
                        false => "",
                    };
                    let length = track.of(made).duration.as_secs_f64();
                    let _ = writeln!(
                        text,
                        "#EXT-X-PART:DURATION={length:.5},\
                         URI=\"{letter}{number}.{part}.m4s{query}\"{independent}"
                    );
                }
            }
            if segment.whole {
                let length = length(track, segment).as_secs_f64();
                let _ = writeln!(text, "#EXTINF:{length:.5},\n{letter}{number}.m4s{query}");
            }
        }
        if self.ended {
            text.push_str("#EXT-X-ENDLIST\n");
            return text;
        }
        let Place { segment, part } = self.upcoming();
        let _ = writeln!(
            text,
            "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{letter}{segment}.{part}.m4s{query}\""
        );
        let other = match track {
            Track::Video => Track::Audio,
            Track::Audio => Track::Video,
        };
        if let Some(Place { segment, part }) = self.edge() {
            let _ = writeln!(
                text,
                "#EXT-X-RENDITION-REPORT:URI=\"{}{query}\",LAST-MSN={segment},LAST-PART={part}",
                other.playlist()
            );
        }
        text
    }
}

fn length(track: Track, segment: &Segment) -> Duration {
    let lengths = segment.parts.iter().map(|part| track.of(part).duration);
    lengths.sum()
}

/// Milliseconds since 1970.
fn wall(at: MediaTime) -> u64 {
    const SECONDS_1900_TO_1970: i128 = 2_208_988_800;
    let nanos = at.ntp().nanos() - SECONDS_1900_TO_1970 * 1_000_000_000;
    (nanos / 1_000_000) as u64
}

/// As RFC 3339 has it, in UTC.
fn date(wall: u64) -> String {
    let time = time::OffsetDateTime::from_unix_timestamp((wall / 1000) as i64)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        wall % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::package::avc::testing::SETS;

    fn sets() -> Parameters {
        let [sps, pps] = SETS.map(Bytes::from_static);
        Parameters { sps, pps }
    }

    fn part(number: u64, begins: bool, ends: bool, breaks: bool) -> Made {
        let chunk = |text: &str, ms| Chunk {
            data: format!("{text}{number}").into(),
            duration: Duration::from_millis(ms),
        };
        Made::Part(Part {
            at: MediaTime(number * 1_000_000_000),
            begins,
            ends,
            breaks,
            video: chunk("v", 1000),
            audio: chunk("a", 1003),
        })
    }

    fn shelf(parts: u64, breaks_at: u64) -> Shelf {
        let mut shelf = Shelf::default();
        shelf.put(Made::Parameters(sets())).unwrap();
        for number in 0..parts {
            let begins = number % 2 == 0;
            let made = part(number, begins, !begins, number == breaks_at);
            shelf.put(made).unwrap();
        }
        shelf
    }

    #[test]
    fn a_playlist_lists_segments_their_last_parts_and_what_comes() {
        let shelf = shelf(5, 2);
        assert!(shelf.is_ready());
        let text = shelf.playlist(Track::Video, "?token=x");
        let lines: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with("#EXT-X-PROGRAM-DATE-TIME:20"))
            .collect();
        assert_eq!(
            lines[1..],
            [
                "#EXT-X-VERSION:9",
                "#EXT-X-TARGETDURATION:2",
                "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3.3",
                "#EXT-X-PART-INF:PART-TARGET=1.1",
                "#EXT-X-MEDIA-SEQUENCE:0",
                "#EXT-X-DISCONTINUITY-SEQUENCE:0",
                "#EXT-X-MAP:URI=\"vi0.mp4?token=x\"",
                "#EXT-X-PART:DURATION=1.00000,URI=\"v0.0.m4s?token=x\",INDEPENDENT=YES",
                "#EXT-X-PART:DURATION=1.00000,URI=\"v0.1.m4s?token=x\"",
                "#EXTINF:2.00000,",
                "v0.m4s?token=x",
                "#EXT-X-DISCONTINUITY",
                "#EXT-X-MAP:URI=\"vi0.mp4?token=x\"",
                "#EXT-X-PART:DURATION=1.00000,URI=\"v1.0.m4s?token=x\",INDEPENDENT=YES",
                "#EXT-X-PART:DURATION=1.00000,URI=\"v1.1.m4s?token=x\"",
                "#EXTINF:2.00000,",
                "v1.m4s?token=x",
                "#EXT-X-PART:DURATION=1.00000,URI=\"v2.0.m4s?token=x\",INDEPENDENT=YES",
                "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"v2.1.m4s?token=x\"",
                "#EXT-X-RENDITION-REPORT:URI=\"audio.m3u8?token=x\",LAST-MSN=2,LAST-PART=0",
            ]
        );
        let audio = shelf.playlist(Track::Audio, "");
        assert!(audio.contains("#EXTINF:2.00600,\na1.m4s\n"), "{audio}");
    }

    #[test]
    fn players_begin_when_there_is_as_much_as_they_are_to_be_behind() {
        let ready = [0, 1, 2, 3, 4].map(|parts| shelf(parts, 9).is_ready());
        assert_eq!(ready, [false, false, false, true, true]);
    }

    #[test]
    fn the_list_moves_on_and_forgets_no_break() {
        let shelf = shelf(200, 2);
        let text = shelf.playlist(Track::Video, "");
        assert!(text.contains("#EXT-X-MEDIA-SEQUENCE:88\n#EXT-X-DISCONTINUITY-SEQUENCE:1\n"));
        assert_eq!(text.matches("#EXTINF").count(), LISTED);
        let has = |name: &str| shelf.file(File::parse(name).unwrap());
        assert_eq!(has("v99.m4s").unwrap(), "v198v199");
        assert_eq!(has("a99.1.m4s").unwrap(), "a199");
        assert!(has("v80.m4s").is_some(), "kept for who is late");
        assert_eq!(has("v70.m4s"), None);
        assert_eq!(has("v100.m4s"), None);
        assert!(has("vi0.mp4").is_some() && has("ai0.mp4").is_some());
        assert_eq!(has("vi1.mp4"), None);
    }

    #[test]
    fn the_index_names_codecs_size_and_both_tracks() {
        assert_eq!(Shelf::default().index("x", ""), None);
        let index = shelf(4, 99).index("f00", "?token=x").unwrap();
        let codecs = "CODECS=\"avc1.42c01f,mp4a.40.2\",RESOLUTION=1280x720,";
        assert!(index.contains(codecs), "{index}");
        assert!(index.ends_with("\nf00/video.m3u8?token=x\n"), "{index}");
        assert!(
            index.contains("URI=\"f00/audio.m3u8?token=x\"\n"),
            "{index}"
        );
    }

    #[test]
    fn what_is_awaited_is_known_when_it_is_there() {
        let mut shelf = shelf(3, 99);
        assert_eq!(
            shelf.edge(),
            Some(Place {
                segment: 1,
                part: 0
            })
        );
        assert!(shelf.has(0, None) && shelf.has(0, Some(7)) && shelf.has(1, Some(0)));
        assert!(!shelf.has(1, None) && !shelf.has(1, Some(1)) && !shelf.has(2, None));
        shelf.end();
        assert!(
            shelf
                .playlist(Track::Video, "")
                .ends_with("#EXT-X-ENDLIST\n")
        );
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for name in [
            "",
            "v",
            "v.m4s",
            "v1.mp4",
            "vi.mp4",
            "../v1.m4s",
            "v-1.m4s",
            "x1.m4s",
        ] {
            assert_eq!(File::parse(name), None, "{name}");
        }
        let place = Place {
            segment: 12,
            part: 3,
        };
        assert_eq!(
            File::parse("a12.3.m4s"),
            Some(File::Part(Track::Audio, place))
        );
        assert_eq!(
            File::parse("video.m3u8"),
            Some(File::Playlist(Track::Video))
        );
    }

    #[test]
    fn dates_are_written_as_rfc_3339_has_them() {
        assert_eq!(date(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
    }
}
