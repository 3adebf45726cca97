//! What the bench's rounds amount to: one row for each kind of work, and what must be reached.
//! Pure.

use std::fmt;

use serde::Serialize;

use super::report::{Percentiles, Report};

/// CPU, frame rate, latency and memory of one round of Quilt at work.
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
            memory: report.server.resident_bytes_end / 1e6,
            sound_run: !failed && sample.is_none_or(|sample| sample.strange_marks == 0),
        }
    }
}

/// One line of the table. Medians over the rounds, but for what must never happen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// `floor` or `quilt`.
    pub row: &'static str,
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
    /// Resident memory, MB.
    pub memory_mb: Option<f64>,
    /// In every round everybody joined and stayed, and nobody was in another's tile.
    pub sound: bool,
}

impl Row {
    /// The codecs alone; values are CPU seconds a second.
    pub fn floor(n: u8, fps: u32, rounds: &[f64]) -> Self {
        Self {
            row: "floor",
            n,
            fps,
            rounds: rounds.len(),
            cores: median(rounds.iter().copied()).unwrap_or(0.0),
            ratio_to_floor: None,
            pictures_per_second: None,
            freezes: None,
            late_ticks: None,
            marks_per_second: None,
            inside_p95_ms: None,
            video_p50_ms: None,
            video_p95_ms: None,
            audio_p95_ms: None,
            skew_p95_ms: None,
            memory_mb: None,
            sound: true,
        }
    }

    /// Quilt, beside its floor.
    pub fn quilt(floor: &Row, rounds: &[Round]) -> Self {
        let all = || rounds.iter();
        let cores = median(all().map(|r| r.cores)).unwrap_or(0.0);
        let ticks: f64 = all().map(|r| r.ticks).sum();
        let late: f64 = all().map(|r| r.late_ticks).sum();
        let percentile = |of: fn(&Round) -> Option<Percentiles>, which: fn(Percentiles) -> f64| {
            median(all().filter_map(|round| of(round).map(which)))
        };
        Self {
            row: "quilt",
            rounds: rounds.len(),
            cores,
            ratio_to_floor: (floor.cores > 0.0).then(|| cores / floor.cores),
            pictures_per_second: median(all().map(|r| r.pictures)),
            freezes: Some(all().map(|r| r.freezes).sum()),
            late_ticks: (ticks > 0.0).then(|| late / ticks),
            marks_per_second: median(all().filter_map(|r| r.marks)),
            inside_p95_ms: median(all().filter_map(|r| r.inside_p95)),
            video_p50_ms: percentile(|r| r.sight, |p| p.p50),
            video_p95_ms: percentile(|r| r.sight, |p| p.p95),
            audio_p95_ms: percentile(|r| r.sound, |p| p.p95),
            skew_p95_ms: percentile(|r| r.skew, |p| p.p95),
            memory_mb: median(all().map(|r| r.memory)),
            sound: all().all(|r| r.sound_run),
            ..floor.clone()
        }
    }

    /// The table's head.
    pub const HEAD: &str = "row    N  fps   cores ratio  pic/s freezes  late % marks/s \
        in-out95 mark50 mark95 beep95 skew95     MB";
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<f64>, width: usize, digits: usize| match value {
            Some(value) => format!("{value:>width$.digits$}"),
            None => format!("{:>width$}", "-"),
        };
        write!(
            f,
            "{:<6} {:>1} {:>4}  {:>6.3} {} {} {:>7} {} {} {} {} {} {} {} {}{}",
            self.row,
            self.n,
            self.fps,
            self.cores,
            number(self.ratio_to_floor, 5, 2),
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
            number(self.memory_mb, 6, 0),
            if self.sound { "" } else { "  unsound" },
        )
    }
}

/// Something that must be reached on two cores.
#[derive(Debug, Clone, Copy)]
struct Target {
    what: &'static str,
    n: u8,
    value: fn(&Row) -> Option<f64>,
    limit: Limit,
}

#[derive(Debug, Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

const TARGETS: [Target; 10] = [
    Target {
        what: "CPU, ratio to floor",
        n: 4,
        value: |row| row.ratio_to_floor,
        limit: Limit::AtMost(1.25),
    },
    Target {
        what: "pictures a second",
        n: 4,
        value: |row| row.pictures_per_second,
        limit: Limit::AtLeast(24.5),
    },
    Target {
        what: "freezes",
        n: 4,
        value: |row| row.freezes.map(f64::from),
        limit: Limit::AtMost(0.0),
    },
    Target {
        what: "late ticks, %",
        n: 4,
        value: |row| row.late_ticks.map(|share| share * 100.0),
        limit: Limit::AtMost(0.1),
    },
    Target {
        what: "fresh marks a second in each tile",
        n: 4,
        value: |row| row.marks_per_second,
        limit: Limit::AtLeast(24.0),
    },
    Target {
        what: "packet in to packet out p95, ms",
        n: 4,
        value: |row| row.inside_p95_ms,
        limit: Limit::AtMost(75.0),
    },
    Target {
        what: "mark to mark p50, ms",
        n: 4,
        value: |row| row.video_p50_ms,
        limit: Limit::AtMost(70.0),
    },
    Target {
        what: "mark to mark p95, ms",
        n: 4,
        value: |row| row.video_p95_ms,
        limit: Limit::AtMost(110.0),
    },
    Target {
        what: "beep to beep p95, ms",
        n: 4,
        value: |row| row.audio_p95_ms,
        limit: Limit::AtMost(120.0),
    },
    Target {
        what: "resident memory, MB",
        n: 8,
        value: |row| row.memory_mb,
        limit: Limit::AtMost(350.0),
    },
];

/// Whether one target was reached.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// What.
    pub target: &'static str,
    /// Participants.
    pub n: u8,
    /// As measured; none if nothing was.
    pub value: Option<f64>,
    /// In words.
    pub limit: String,
    /// Reached.
    pub pass: bool,
}

/// Holds the rows to what must be reached. A figure that was not measured is not reached.
pub fn verdicts(rows: &[Row]) -> Vec<Verdict> {
    TARGETS
        .iter()
        .map(|target| {
            let row = rows
                .iter()
                .find(|row| row.row == "quilt" && row.n == target.n);
            let value = row.and_then(target.value);
            let (limit, pass) = match target.limit {
                Limit::AtMost(most) => {
                    (format!("at most {most}"), value.is_some_and(|v| v <= most))
                }
                Limit::AtLeast(least) => (
                    format!("at least {least}"),
                    value.is_some_and(|v| v >= least),
                ),
            };
            Verdict {
                target: target.what,
                n: target.n,
                value,
                limit,
                pass: pass && row.is_some_and(|row| row.sound),
            }
        })
        .collect()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.map_or("-".into(), |value| format!("{value:.2}"));
        let pass = if self.pass { "pass" } else { "FAIL" };
        let Self {
            target, n, limit, ..
        } = self;
        write!(f, "{pass}  N={n} {target:<34} {value:>8}  ({limit})")
    }
}

/// The value in the middle, or the mean of the two there.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(cores: f64) -> Round {
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
            memory: 200.0,
            sound_run: true,
        }
    }

    fn rows(rounds: &[Round]) -> Vec<Row> {
        [(4, 25), (8, 12)]
            .iter()
            .flat_map(|&(n, fps)| {
                let floor = Row::floor(n, fps, &[0.7, 0.9, 0.8]);
                let quilt = Row::quilt(&floor, rounds);
                [floor, quilt]
            })
            .collect()
    }

    #[test]
    fn medians_forgive_one_bad_round_but_freezes_do_not() {
        let mut rounds = [round(0.9), round(5.0), round(0.8), round(0.88), round(0.92)];
        let all = rows(&rounds);
        assert_eq!(all[1].ratio_to_floor, Some(0.9 / 0.8));
        assert!(
            verdicts(&all).iter().all(|v| v.pass),
            "{:?}",
            verdicts(&all)
        );
        rounds[2].freezes = 1;
        let failed = verdicts(&rows(&rounds));
        let failed: Vec<_> = failed.iter().filter(|v| !v.pass).collect();
        assert_eq!(failed.len(), 1);
        assert_eq!(failed[0].target, "freezes");
    }

    #[test]
    fn what_was_not_measured_or_not_sound_is_not_reached() {
        let none = Round {
            marks: None,
            sight: None,
            ..round(0.9)
        };
        let failed = verdicts(&rows(&[none])).iter().filter(|v| !v.pass).count();
        assert_eq!(failed, 3);
        let unsound = Round {
            sound_run: false,
            ..round(0.9)
        };
        assert!(verdicts(&rows(&[unsound])).iter().all(|v| !v.pass));
        assert!(verdicts(&[]).iter().all(|v| !v.pass));
    }

    #[test]
    fn the_table_has_a_place_for_everything() {
        let rows = rows(&[round(0.9)]);
        assert_eq!(rows[0].to_string().len(), Row::HEAD.len());
        assert_eq!(rows[1].to_string().len(), Row::HEAD.len());
    }

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median([].into_iter()), None);
    }
}
