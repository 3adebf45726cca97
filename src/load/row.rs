//! One line of the bench's table for each kind of work: what its rounds amount to. Pure.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

use super::report::{Percentiles, Report};
pub use crate::tradeoff::points::median;

/// What does the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The codecs alone.
    Floor,
    /// Quilt.
    Quilt,
    /// What one would write by hand with GStreamer.
    Naive,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Quilt => "quilt",
            Self::Naive => "naive",
        }
    }
}

/// CPU, frame rate, latency, quality and memory of one round of a server at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Round {
    /// CPU seconds a second of the server.
    pub cores: f64,
    /// Complete pictures a second: the client that got the fewest.
    pub pictures: f64,
    /// All clients together.
    pub freezes: u32,
    /// Video ticks and how many of them were late.
    pub ticks: f64,
    /// Of them.
    pub late_ticks: f64,
    /// Fresh marks a second: the tile that showed the fewest.
    pub marks: Option<f64>,
    /// Packet in to packet out, 95th percentile, ms: upper edge of its bucket.
    pub inside_p95: Option<f64>,
    /// Mark to mark, ms.
    pub sight: Option<Percentiles>,
    /// Beep to beep, ms.
    pub sound: Option<Percentiles>,
    /// Distance of beep and picture, ms.
    pub skew: Option<Percentiles>,
    /// Payload of the video, 1000 bits a second: the mean of all clients.
    pub kbps: f64,
    /// How true the mixes are to the sources.
    pub ssim: Option<f64>,
    /// Resident memory at the end, MB.
    pub memory: f64,
    /// Everybody joined and stayed, nobody was shown in another's tile.
    pub sound_run: bool,
}

impl From<&Report> for Round {
    fn from(report: &Report) -> Self {
        let sample = report.sample.as_ref();
        let rates = report
            .clients
            .iter()
            .map(|client| client.pictures_per_second);
        let tiles = sample.into_iter().flat_map(|sample| &sample.tiles);
        let failed = report.clients.iter().any(|client| client.error.is_some());
        Self {
            cores: report.server.cpu_cores,
            pictures: rates.fold(f64::INFINITY, f64::min),
            freezes: report.clients.iter().map(|client| client.freezes).sum(),
            ticks: report.server.ticks,
            late_ticks: report.server.late_ticks,
            marks: tiles.map(|tile| tile.marks_per_second).reduce(f64::min),
            inside_p95: report.server.video_latency_p95_ms,
            sight: sample.and_then(|sample| sample.video_latency_ms),
            sound: sample.and_then(|sample| sample.audio_latency_ms),
            skew: sample.and_then(|sample| sample.skew_abs_ms),
            kbps: report.clients.iter().map(|c| c.video_kbps).sum::<f64>()
                / report.clients.len().max(1) as f64,
            ssim: sample.and_then(|sample| sample.ssim),
            memory: report.server.resident_bytes_end / 1e6,
            sound_run: !failed && sample.is_none_or(|sample| sample.strange_marks == 0),
        }
    }
}

/// All rounds of the same work.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// Participants.
    pub n: u8,
    /// Pictures a second of the mixes.
    pub fps: u32,
    /// The codecs alone, CPU seconds a second.
    pub floors: Vec<f64>,
    /// Quilt.
    pub quilts: Vec<Round>,
    /// What one would write by hand.
    pub naives: Vec<Round>,
}

impl Measured {
    /// A line for each that was measured.
    pub fn rows(&self) -> Vec<Row> {
        let floor = median(self.floors.iter().copied());
        let mut rows: Vec<Row> = floor.map(|cores| self.floor(cores)).into_iter().collect();
        for (kind, rounds) in [(Kind::Quilt, &self.quilts), (Kind::Naive, &self.naives)] {
            if !rounds.is_empty() {
                rows.push(self.server(kind, floor, rounds));
            }
        }
        rows
    }

    fn floor(&self, cores: f64) -> Row {
        Row {
            rounds: self.floors.len(),
            cores,
            sound: true,
            ..Row::empty(Kind::Floor, self.n, self.fps)
        }
    }

    fn server(&self, kind: Kind, floor: Option<f64>, rounds: &[Round]) -> Row {
        let all = || rounds.iter();
        let cores = median(all().map(|r| r.cores)).unwrap_or(0.0);
        let ticks: f64 = all().map(|r| r.ticks).sum();
        let late: f64 = all().map(|r| r.late_ticks).sum();
        let percentile = |of: fn(&Round) -> Option<Percentiles>, which: fn(Percentiles) -> f64| {
            median(all().filter_map(|round| of(round).map(which)))
        };
        // Quilt's round beside the naive one that came after it: both saw the same weather.
        let pairs = || {
            let pairs = self.quilts.iter().zip(&self.naives);
            pairs.filter(|_| kind == Kind::Quilt)
        };
        Row {
            rounds: rounds.len(),
            cores,
            ratio_to_floor: floor
                .filter(|floor| *floor > 0.0)
                .map(|floor| cores / floor),
            ratio_to_naive: median(pairs().map(|(quilt, naive)| quilt.cores / naive.cores)),
            pictures_per_second: median(all().map(|r| r.pictures)),
            freezes: Some(all().map(|r| r.freezes).sum()),
            late_ticks: (ticks > 0.0).then(|| late / ticks),
            marks_per_second: median(all().filter_map(|r| r.marks)),
            inside_p95_ms: median(all().filter_map(|r| r.inside_p95)),
            video_p50_ms: percentile(|r| r.sight, |p| p.p50),
            video_p95_ms: percentile(|r| r.sight, |p| p.p95),
            audio_p95_ms: percentile(|r| r.sound, |p| p.p95),
            skew_p95_ms: percentile(|r| r.skew, |p| p.p95),
            video_kbps: median(all().map(|r| r.kbps)),
            kbps_to_naive: median(pairs().map(|(quilt, naive)| quilt.kbps / naive.kbps)),
            ssim: median(all().filter_map(|r| r.ssim)),
            ssim_over_naive: median(
                pairs().filter_map(|(quilt, naive)| Some(quilt.ssim? - naive.ssim?)),
            ),
            memory_mb: median(all().map(|r| r.memory)),
            sound: all().all(|r| r.sound_run),
            ..Row::empty(kind, self.n, self.fps)
        }
    }
}

/// One line of the table. Medians over the rounds, but for what must never happen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What did the work.
    pub row: Kind,
    /// Participants, each with a personal mix.
    pub n: u8,
    /// Pictures a second of the mixes.
    pub fps: u32,
    /// How many rounds.
    pub rounds: usize,
    /// CPU seconds a second.
    pub cores: f64,
    /// The same divided by the floor's.
    pub ratio_to_floor: Option<f64>,
    /// Quilt's divided by that of the naive round beside it.
    pub ratio_to_naive: Option<f64>,
    /// Complete pictures a second, the client with the fewest.
    pub pictures_per_second: Option<f64>,
    /// In all rounds together.
    pub freezes: Option<u32>,
    /// Share of ticks that were late, in all rounds together.
    pub late_ticks: Option<f64>,
    /// Fresh marks a second, the tile with the fewest.
    pub marks_per_second: Option<f64>,
    /// `quilt_video_latency_seconds`, ms.
    pub inside_p95_ms: Option<f64>,
    /// Mark to mark.
    pub video_p50_ms: Option<f64>,
    /// Mark to mark.
    pub video_p95_ms: Option<f64>,
    /// Beep to beep.
    pub audio_p95_ms: Option<f64>,
    /// Distance of beep and picture.
    pub skew_p95_ms: Option<f64>,
    /// Payload of each one's video, 1000 bits a second.
    pub video_kbps: Option<f64>,
    /// Quilt's divided by that of the naive round beside it.
    pub kbps_to_naive: Option<f64>,
    /// How true the mixes are to the sources.
    pub ssim: Option<f64>,
    /// Quilt's less that of the naive round beside it.
    pub ssim_over_naive: Option<f64>,
    /// Resident memory, MB.
    pub memory_mb: Option<f64>,
    /// In every round everybody joined and stayed, and nobody was in another's tile.
    pub sound: bool,
}

impl Row {
    fn empty(row: Kind, n: u8, fps: u32) -> Self {
        Self {
            row,
            n,
            fps,
            rounds: 0,
            cores: 0.0,
            ratio_to_floor: None,
            ratio_to_naive: None,
            pictures_per_second: None,
            freezes: None,
            late_ticks: None,
            marks_per_second: None,
            inside_p95_ms: None,
            video_p50_ms: None,
            video_p95_ms: None,
            audio_p95_ms: None,
            skew_p95_ms: None,
            video_kbps: None,
            kbps_to_naive: None,
            ssim: None,
            ssim_over_naive: None,
            memory_mb: None,
            sound: false,
        }
    }

    /// The table's head.
    pub const HEAD: &str = "row    N  fps   cores /floor /naive  pic/s freezes  late % marks/s \
        in-out95 mark50 mark95 beep95 skew95 kbit/s  SSIM     MB";
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<f64>, width: usize, digits: usize| match value {
            Some(value) => format!("{value:>width$.digits$}"),
            None => format!("{:>width$}", "-"),
        };
        write!(
            f,
            "{:<6} {:>1} {:>4}  {:>6.3} {} {} {} {:>7} {} {} {} {} {} {} {} {} {} {}{}",
            self.row.name(),
            self.n,
            self.fps,
            self.cores,
            number(self.ratio_to_floor, 6, 2),
            number(self.ratio_to_naive, 6, 2),
            number(self.pictures_per_second, 6, 2),
            self.freezes
                .map_or("-".into(), |freezes| freezes.to_string()),
            number(self.late_ticks.map(|share| share * 100.0), 7, 3),
            number(self.marks_per_second, 7, 2),
            number(self.inside_p95_ms, 8, 0),
            number(self.video_p50_ms, 6, 1),
            number(self.video_p95_ms, 6, 1),
            number(self.audio_p95_ms, 6, 1),
            number(self.skew_p95_ms, 6, 1),
            number(self.video_kbps, 6, 0),
            number(self.ssim, 5, 3),
            number(self.memory_mb, 6, 0),
            if self.sound { "" } else { "  unsound" },
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A round in which all went well.
    pub fn round(cores: f64) -> Round {
        let percentiles = |p95| Percentiles::of(&[p95 - 20.0, p95]);
        Round {
            cores,
            pictures: 25.0,
            freezes: 0,
            ticks: 1_500.0,
            late_ticks: 1.0,
            marks: Some(24.8),
            inside_p95: Some(60.0),
            sight: percentiles(85.0),
            sound: percentiles(100.0),
            skew: percentiles(30.0),
            kbps: 1_500.0,
            ssim: Some(0.95),
            memory: 200.0,
            sound_run: true,
        }
    }

    /// Rooms of four and eight, in which Quilt and the naive server had these rounds.
    pub fn rows(quilts: &[Round], naives: &[Round]) -> Vec<Row> {
        let measured = |(n, fps)| Measured {
            n,
            fps,
            floors: vec![0.7, 0.9, 0.8],
            quilts: quilts.to_vec(),
            naives: naives.to_vec(),
        };
        let all = [(4, 25), (8, 12)].map(measured);
        all.iter().flat_map(Measured::rows).collect()
    }

    #[test]
    fn there_is_a_row_for_each_that_was_measured() {
        let kinds = |rows: Vec<Row>| rows.iter().map(|row| row.row).collect::<Vec<_>>();
        let all = rows(&[round(0.9)], &[round(1.4)]);
        let of_one = [Kind::Floor, Kind::Quilt, Kind::Naive];
        assert_eq!(kinds(all), [of_one, of_one].concat());
        let only = Measured {
            naives: vec![round(1.4)],
            ..Measured::default()
        };
        assert_eq!(kinds(only.rows()), [Kind::Naive]);
    }

    #[test]
    fn quilt_stands_beside_both_round_by_round() {
        // The machine is slower and slower, for both.
        let naives = [round(1.0), round(2.0), round(4.0)];
        let mut quilts = [round(0.5), round(1.2), round(2.0)];
        quilts[1].ssim = Some(0.96);
        quilts[2].ssim = None;
        let all = rows(&quilts, &naives);
        let quilt = &all[1];
        assert_eq!(quilt.ratio_to_floor, Some(1.2 / 0.8));
        assert_eq!(quilt.ratio_to_naive, Some(0.5));
        assert_eq!(quilt.kbps_to_naive, Some(1.0));
        assert!((quilt.ssim_over_naive.unwrap() - 0.005).abs() < 1e-9);
        assert_eq!(all[2].ratio_to_floor, Some(2.0 / 0.8));
        assert_eq!(all[2].ratio_to_naive, None);
    }

    #[test]
    fn the_table_has_a_place_for_everything() {
        for row in rows(&[round(0.9)], &[round(1.4)]) {
            assert_eq!(row.to_string().len(), Row::HEAD.len());
        }
    }
}
