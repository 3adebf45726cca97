//! Judges what a client sees and hears in its mix: fresh marks, latency, lip sync. Pure: pictures,
//! samples and times are arguments.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::album::Album;
use super::audio;
use super::beep::Detector;
use super::mark::{self, Plane};
use super::report::{Percentiles, Sample, TileSample};
use super::sent::Log;
use crate::clock::{MediaTime, NtpTime};
use crate::id::ParticipantId;
use crate::media::{AUDIO_CLOCK, AUDIO_FRAME, Kind, Rect, Size, VIDEO_CLOCK};
use crate::signalling::TileMap;

/// A tile map can come this many pictures after the first picture it describes (half a second at
/// 25 a second); until then a strange mark in a tile proves nothing.
const MAP_MAY_LAG: u32 = 12;
/// Blocks of 20 ms among which an onset is looked for: the detector tells it 25 ms late.
const BLOCKS: usize = 10;

/// One source that may be seen and heard: its number in marks is its index in the list.
#[derive(Debug, Clone)]
pub struct Source {
    /// Who it is in the room, if it came so far.
    pub participant: Option<ParticipantId>,
    /// Its name in the report.
    pub name: String,
}

/// One client's eyes and ears.
#[derive(Debug)]
pub struct Watch {
    sources: Vec<Source>,
    shape: Size,
    began: Option<MediaTime>,
    map: Option<TileMap>,
    seen: BTreeMap<u8, Seen>,
    pictures: u64,
    strange: u64,
    detector: Detector,
    blocks: VecDeque<Block>,
    heard_samples: u64,
    heard: Vec<Heard>,
    reports: [Option<(NtpTime, u32)>; 2],
    album: Album,
}

/// What was seen of one source.
#[derive(Debug)]
struct Seen {
    last: Option<u64>,
    /// When its tile was first shown after counting began.
    since: MediaTime,
    fresh: u64,
    latencies: Vec<Duration>,
    /// Pictures in a row whose tile had another source's mark.
    strange: u32,
    /// Slot and downlink RTP time of each first showing.
    shown: BTreeMap<u64, u32>,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    first: u64,
    rtp: u32,
    decoded: MediaTime,
}

#[derive(Debug, Clone, Copy)]
struct Heard {
    source: u8,
    slot: u64,
    latency: Duration,
    rtp: u32,
}

impl Watch {
    /// Watches for so many sources, whose pictures have this shape.
    pub fn new(sources: usize, shape: Size) -> Self {
        let pitches: Vec<u32> = (0..sources.min(audio::BEEPING_SOURCES as usize))
            .filter_map(|source| audio::pitch(source as u8))
            .collect();
        Self {
            sources: vec![],
            shape,
            began: None,
            map: None,
            seen: BTreeMap::new(),
            pictures: 0,
            strange: 0,
            detector: Detector::new(&pitches),
            blocks: VecDeque::with_capacity(BLOCKS),
            heard_samples: 0,
            heard: vec![],
            reports: [None; 2],
            album: Album::default(),
        }
    }

    /// Counting starts now; all sources are in the room.
    pub fn begin(&mut self, sources: Vec<Source>, now: MediaTime) {
        self.sources = sources;
        self.began = Some(now);
        self.seen.clear();
        self.heard.clear();
        self.album = Album::default();
        (self.pictures, self.strange) = (0, 0);
    }

    /// The server says who is where.
    pub fn tiles(&mut self, map: TileMap) {
        self.map = Some(map);
    }

    /// A sender report of the downlink.
    pub fn sender_report(&mut self, kind: Kind, ntp: NtpTime, rtp: u32) {
        self.reports[kind as usize] = Some((ntp, rtp));
    }

    /// A picture of the mix with this RTP time was decoded at this time.
    pub fn picture(&mut self, plane: Plane<'_>, rtp: u32, now: MediaTime, log: &Log) {
        if self.began.is_none() {
            return;
        }
        self.pictures += 1;
        let Some(map) = &self.map else { return };
        let mut read = vec![];
        for tile in map.tiles.iter().filter(|tile| tile.live) {
            let is_it = |source: &Source| source.participant == Some(tile.id);
            let Some(index) = self.sources.iter().position(is_it) else {
                continue;
            };
            let seen = self
                .seen
                .entry(index as u8)
                .or_insert_with(|| Seen::new(now));
            let across = |share: f64| (share * plane.size.width as f64).round() as u32;
            let down = |share: f64| (share * plane.size.height as f64).round() as u32;
            let rect = Rect {
                x: across(tile.x),
                y: down(tile.y),
                width: across(tile.width),
                height: down(tile.height),
            };
            let Some(mark) = mark::read(plane, rect, self.shape) else {
                continue;
            };
            if mark.source != index as u8 {
                seen.strange += 1;
                self.strange += (seen.strange > MAP_MAY_LAG) as u64;
                continue;
            }
            seen.strange = 0;
            read.push((rect, mark));
            if let Some(sent) = log.find_picture(mark.source, mark.frame, now) {
                seen.mark(sent.slot, now.since(sent.at), rtp);
            }
        }
        if read.len() == map.tiles.len() {
            self.album.offer(plane, read, now);
        }
    }

    /// Takes out the pictures that were put aside.
    pub fn take_album(&mut self) -> Album {
        std::mem::take(&mut self.album)
    }

    /// 20 ms of the mix, beginning at this RTP time, were decoded at this time.
    pub fn samples(&mut self, pcm: &[i16; AUDIO_FRAME], rtp: u32, now: MediaTime, log: &Log) {
        if self.blocks.len() == BLOCKS {
            self.blocks.pop_front();
        }
        self.blocks.push_back(Block {
            first: self.heard_samples,
            rtp,
            decoded: now,
        });
        self.heard_samples += AUDIO_FRAME as u64;
        let counting = self.began.is_some();
        let (blocks, heard) = (&self.blocks, &mut self.heard);
        self.detector.push(pcm, |source, at| {
            let Some(block) = blocks.iter().rev().find(|block| block.first <= at) else {
                return;
            };
            let offset = at - block.first;
            let into = Duration::from_micros(offset * 1_000_000 / AUDIO_CLOCK as u64);
            let when = block.decoded.plus(into);
            if let Some(sent) = log.find_beep(source as u8, when).filter(|_| counting) {
                heard.push(Heard {
                    source: source as u8,
                    slot: sent.slot,
                    latency: when.since(sent.at),
                    rtp: block.rtp.wrapping_add(offset as u32),
                });
            }
        });
    }

    /// From being sent to being seen, of every fresh picture.
    pub fn latencies(&self) -> impl Iterator<Item = Duration> {
        self.seen.values().flat_map(|seen| &seen.latencies).copied()
    }

    /// What was seen and heard up to now.
    pub fn report(&self, now: MediaTime) -> Sample {
        Self::report_all(&[self], now)
    }

    /// What several clients saw and heard together: of rates the least, of latencies all.
    pub fn report_all(all: &[&Watch], now: MediaTime) -> Sample {
        let mut tiles: BTreeMap<u8, (&str, f64, Vec<Duration>)> = BTreeMap::new();
        let (mut sound, mut skews) = (vec![], vec![]);
        for watch in all {
            for (index, seen) in &watch.seen {
                let name = watch.sources[*index as usize].name.as_str();
                let rate = per_second(seen.fresh, now.since(seen.since).as_secs_f64());
                let tile = tiles.entry(*index).or_insert((name, rate, vec![]));
                tile.1 = tile.1.min(rate);
                tile.2.extend(&seen.latencies);
            }
            sound.extend(watch.heard.iter().map(|heard| heard.latency));
            skews.extend(watch.heard.iter().filter_map(|heard| watch.skew(heard)));
        }
        let sight: Vec<Duration> = tiles.values().flat_map(|tile| tile.2.clone()).collect();
        let tiles = tiles
            .into_values()
            .map(|(source, rate, latencies)| TileSample {
                source: source.to_owned(),
                marks_per_second: rate,
                latency_ms: Percentiles::of_durations(&latencies),
            });
        let rates = all.iter().map(|watch| {
            let counted = watch.began.map_or(Duration::ZERO, |began| now.since(began));
            per_second(watch.pictures, counted.as_secs_f64())
        });
        let distances: Vec<f64> = skews.iter().map(|skew| skew.abs()).collect();
        Sample {
            pictures_per_second: rates.reduce(f64::min).unwrap_or(0.0),
            tiles: tiles.collect(),
            strange_marks: all.iter().map(|watch| watch.strange).sum(),
            video_latency_ms: Percentiles::of_durations(&sight),
            audio_latency_ms: Percentiles::of_durations(&sound),
            skew_ms: Percentiles::of(&skews),
            skew_abs_ms: Percentiles::of(&distances),
            ssim: None,
        }
    }

    /// How much later the beep is than the picture it belongs to, ms, on the time line that the
    /// downlink's sender reports make common.
    fn skew(&self, heard: &Heard) -> Option<f64> {
        let shown = *self.seen.get(&heard.source)?.shown.get(&heard.slot)?;
        let sound = self.wall(Kind::Audio, AUDIO_CLOCK, heard.rtp)?;
        let picture = self.wall(Kind::Video, VIDEO_CLOCK, shown)?;
        Some((sound - picture) as f64 / 1e6)
    }

    /// Nanoseconds since 1900 of an RTP time of the downlink.
    fn wall(&self, kind: Kind, rate: u32, rtp: u32) -> Option<i128> {
        let (ntp, at) = self.reports[kind as usize]?;
        let ticks = rtp.wrapping_sub(at) as i32;
        Some(ntp.nanos() + ticks as i128 * 1_000_000_000 / rate as i128)
    }
}

impl Seen {
    fn new(since: MediaTime) -> Self {
        Self {
            last: None,
            since,
            fresh: 0,
            latencies: vec![],
            strange: 0,
            shown: BTreeMap::new(),
        }
    }

    /// A mark was read; a picture shown again, or an older one, is not fresh.
    fn mark(&mut self, slot: u64, latency: Duration, rtp: u32) {
        if self.last.is_some_and(|last| slot <= last) {
            return;
        }
        // The first one begins the interval that the rate is taken over.
        self.fresh += self.last.is_some() as u64;
        self.last = Some(slot);
        self.latencies.push(latency);
        self.shown.insert(slot, rtp);
    }
}

fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::DisplayName;
    use crate::load::mark::Mark;
    use crate::load::sent::Sent;
    use crate::signalling::{MapTile, NamesIn};

    const CANVAS: Size = Size::new(640, 360);

    fn tile(id: u32, x: f64) -> MapTile {
        MapTile {
            id: ParticipantId(id),
            name: DisplayName::new("n").unwrap(),
            x,
            y: 0.25,
            width: 0.5,
            height: 0.5,
            live: true,
            share: false,
        }
    }

    fn watch() -> Watch {
        let source = |id: u32| Source {
            participant: Some(ParticipantId(id)),
            name: format!("source {id}"),
        };
        let mut watch = Watch::new(2, CANVAS);
        watch.tiles(TileMap {
            layout: 1,
            rtp_time: 0,
            width: CANVAS.width,
            height: CANVAS.height,
            names: NamesIn::Page,
            includes_self: false,
            tiles: vec![tile(7, 0.0), tile(8, 0.5), tile(99, 0.5)],
        });
        watch.begin(vec![source(7), source(8)], MediaTime(0));
        watch
    }

    fn ms(millis: u64) -> MediaTime {
        MediaTime(millis * 1_000_000)
    }

    /// A mix of two tiles of 320 x 180, side by side.
    fn mix(left: Mark, right: Mark) -> Vec<u8> {
        let size = Size::new(320, 180);
        let mut out = vec![16; (CANVAS.width * CANVAS.height) as usize];
        for (mark, x) in [(left, 0), (right, 320)] {
            let mut luma = vec![100; (size.width * size.height) as usize];
            mark::draw(&mut luma, size, mark);
            for (y, row) in luma.chunks(320).enumerate() {
                out[(y + 90) * 640 + x..][..320].copy_from_slice(row);
            }
        }
        out
    }

    fn show(watch: &mut Watch, log: &Log, at: u64, left: u16, right: u16) {
        let mark = |source, frame| Mark { source, frame };
        let luma = mix(mark(0, left), mark(1, right));
        let plane = Plane {
            luma: &luma,
            stride: 640,
            size: CANVAS,
        };
        watch.picture(plane, (at * 90) as u32, ms(at), log);
    }

    #[test]
    fn repeats_are_not_fresh_and_latency_is_of_the_first_showing() {
        let (mut watch, log) = (watch(), Log::new(2));
        for slot in 0..50 {
            let sent = |at| Sent { slot, at: ms(at) };
            log.picture(0, slot as u16, sent(slot * 40));
            log.picture(1, slot as u16, sent(slot * 40 + 10));
            // The right one is shown at half the rate.
            show(
                &mut watch,
                &log,
                slot * 40 + 30,
                slot as u16,
                slot as u16 & !1,
            );
        }
        let report = watch.report(ms(2_000));
        let rates: Vec<f64> = report.tiles.iter().map(|t| t.marks_per_second).collect();
        assert!((rates[0] - 25.0).abs() < 0.5, "{rates:?}");
        assert!((rates[1] - 12.5).abs() < 0.5, "{rates:?}");
        assert_eq!(report.tiles[0].source, "source 7");
        assert_eq!(report.tiles[0].latency_ms.unwrap().p50, 30.0);
        assert_eq!(report.tiles[1].latency_ms.unwrap().p95, 20.0);
        assert_eq!(report.pictures_per_second, 25.0);
        assert_eq!(report.strange_marks, 0);
    }

    #[test]
    fn a_strange_source_in_a_tile_is_told_once_the_map_must_have_come() {
        let (mut watch, log) = (watch(), Log::new(2));
        for at in 0..20 {
            let wrong = mix(
                Mark {
                    source: 1,
                    frame: 3,
                },
                Mark {
                    source: 1,
                    frame: 3,
                },
            );
            let plane = Plane {
                luma: &wrong,
                stride: 640,
                size: CANVAS,
            };
            watch.picture(plane, 0, ms(at * 40), &log);
        }
        assert_eq!(watch.report(ms(800)).strange_marks, 20 - MAP_MAY_LAG as u64);
    }

    #[test]
    fn beeps_give_latency_and_lip_sync() {
        let (mut watch, log) = (watch(), Log::new(2));
        // RTP times that wrap, and reports that tie both clocks to one wall clock.
        let (audio, video) = (u32::MAX - 5_000, 77_u32);
        watch.sender_report(Kind::Audio, ms(0).ntp(), audio);
        watch.sender_report(Kind::Video, ms(0).ntp(), video);
        let track = audio::beeps(1).unwrap();
        let mut decoder = opus::Decoder::new(AUDIO_CLOCK, opus::Channels::Mono).unwrap();
        for tick in 0..200_u64 {
            let mut pcm = [0; AUDIO_FRAME];
            let packet = &track.packets[(tick % 50) as usize];
            decoder.decode(&packet.payload, &mut pcm, false).unwrap();
            let at = tick * 20;
            if tick % 50 == 0 {
                let sent = |at| Sent {
                    slot: tick / 2,
                    at: ms(at),
                };
                log.beep(1, sent(at));
                log.picture(1, (tick / 2) as u16, sent(at));
            }
            // Heard 60 ms after it was sent, on the mix's clock 5 ms before the picture.
            let rtp = audio.wrapping_add((at * 48) as u32);
            watch.samples(&pcm, rtp, ms(at + 60), &log);
            if tick % 2 == 0 {
                let frame = (tick / 50 * 25) as u16;
                let luma = mix(
                    Mark {
                        source: 0,
                        frame: 0,
                    },
                    Mark { source: 1, frame },
                );
                let plane = Plane {
                    luma: &luma,
                    stride: 640,
                    size: CANVAS,
                };
                let rtp = video.wrapping_add(((at + 5) * 90) as u32);
                watch.picture(plane, rtp, ms(at + 70), &log);
            }
        }
        let report = watch.report(ms(4_000));
        let latency = report.audio_latency_ms.unwrap();
        assert_eq!(latency.count, 4);
        assert!((latency.p50 - 60.0).abs() < 2.5, "{latency:?}");
        let skew = report.skew_ms.unwrap();
        assert!((skew.p50 + 5.0).abs() < 2.5, "{skew:?}");
        assert!((report.skew_abs_ms.unwrap().p50 - 5.0).abs() < 2.5);
    }
}
