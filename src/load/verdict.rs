//! What must be reached, and whether the bench's rows reach it. Pure.

use std::fmt;

use serde::Serialize;

use super::row::{Kind, Row};
use crate::tradeoff::points::FULL;

/// Something that must be reached on two cores.
#[derive(Debug, Clone, Copy)]
struct Target {
    what: &'static str,
    n: u8,
    /// Whose figure it is.
    of: Kind,
    /// What it is measured beside, if anything.
    beside: Option<Kind>,
    value: Value,
    limit: Limit,
}

type Value = fn(&Row) -> Option<f64>;

#[derive(Debug, Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

const TARGETS: [Target; 19] = [
    at_most(1.25, "CPU, ratio to floor", 4, |row| row.ratio_to_floor).beside(Kind::Floor),
    at_least(25.0 * FULL, "pictures a second", 4, pictures),
    at_most(0.0, "freezes", 4, |row| row.freezes.map(f64::from)),
    at_most(0.1, "late ticks, %", 4, late_ticks),
    at_least(24.0, "fresh marks a second in each tile", 4, |row| {
        row.marks_per_second
    }),
    at_most(75.0, "packet in to packet out p95, ms", 4, |row| {
        row.inside_p95_ms
    }),
    at_most(70.0, "mark to mark p50, ms", 4, |row| row.video_p50_ms),
    at_most(110.0, "mark to mark p95, ms", 4, |row| row.video_p95_ms),
    at_most(120.0, "beep to beep p95, ms", 4, |row| row.audio_p95_ms),
    at_least(12.0 * FULL, "pictures a second", 8, pictures),
    at_most(350.0, "resident memory, MB", 8, |row| row.memory_mb),
    at_most(0.8, "CPU, ratio to naive", 4, |row| row.ratio_to_naive).beside(Kind::Naive),
    at_most(0.65, "CPU, ratio to naive", 8, |row| row.ratio_to_naive).beside(Kind::Naive),
    // Two servers compare only where both deliver the same.
    at_least(25.0 * FULL, "naive: pictures a second", 4, pictures).of(Kind::Naive),
    at_least(12.0 * FULL, "naive: pictures a second", 8, pictures).of(Kind::Naive),
    at_most(0.005, "SSIM, below naive's by", 4, ssim_below).beside(Kind::Naive),
    at_most(0.005, "SSIM, below naive's by", 8, ssim_below).beside(Kind::Naive),
    at_most(5.0, "bits a second, % apart from naive", 4, bits_apart).beside(Kind::Naive),
    at_most(5.0, "bits a second, % apart from naive", 8, bits_apart).beside(Kind::Naive),
];

fn pictures(row: &Row) -> Option<f64> {
    row.pictures_per_second
}

fn late_ticks(row: &Row) -> Option<f64> {
    row.late_ticks.map(|share| share * 100.0)
}

fn ssim_below(row: &Row) -> Option<f64> {
    row.ssim_over_naive.map(|over| -over)
}

fn bits_apart(row: &Row) -> Option<f64> {
    row.kbps_to_naive.map(|ratio| (ratio - 1.0).abs() * 100.0)
}

/// Something of Quilt's that must not be more.
const fn at_most(most: f64, what: &'static str, n: u8, value: Value) -> Target {
    Target {
        what,
        n,
        of: Kind::Quilt,
        beside: None,
        value,
        limit: Limit::AtMost(most),
    }
}

/// Something of Quilt's that must not be less.
const fn at_least(least: f64, what: &'static str, n: u8, value: Value) -> Target {
    Target {
        limit: Limit::AtLeast(least),
        ..at_most(least, what, n, value)
    }
}

impl Target {
    /// Another's than Quilt's.
    const fn of(self, kind: Kind) -> Self {
        Self { of: kind, ..self }
    }

    /// It is measured beside another row, which must be sound, too.
    const fn beside(self, kind: Kind) -> Self {
        Self {
            beside: Some(kind),
            ..self
        }
    }
}

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

/// Holds the rows to what must be reached of them. What needs a row that was left out is left out,
/// too; a figure that was not measured is not reached.
pub fn verdicts(rows: &[Row]) -> Vec<Verdict> {
    let find = |kind, n| rows.iter().find(|row| row.row == kind && row.n == n);
    let judge = |target: &Target| {
        let row = find(target.of, target.n)?;
        let sound = match target.beside {
            Some(kind) => find(kind, target.n)?.sound && row.sound,
            None => row.sound,
        };
        let value = (target.value)(row);
        let (limit, reached) = match target.limit {
            Limit::AtMost(most) => (format!("at most {most}"), value.is_some_and(|v| v <= most)),
            Limit::AtLeast(least) => (
                format!("at least {least}"),
                value.is_some_and(|v| v >= least),
            ),
        };
        Some(Verdict {
            target: target.what,
            n: target.n,
            value,
            limit,
            pass: reached && sound,
        })
    };
    TARGETS.iter().filter_map(judge).collect()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value.map_or("-".into(), |value| format!("{value:.3}"));
        let pass = if self.pass { "pass" } else { "FAIL" };
        let Self {
            target, n, limit, ..
        } = self;
        write!(f, "{pass}  N={n} {target:<34} {value:>8}  ({limit})")
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::Round;
    use super::super::row::tests::{round, rows};
    use super::*;

    fn failed(rows: &[Row]) -> Vec<(&'static str, u8)> {
        let verdicts = verdicts(rows).into_iter();
        let failed = verdicts.filter(|verdict| !verdict.pass);
        failed.map(|verdict| (verdict.target, verdict.n)).collect()
    }

    #[test]
    fn medians_forgive_one_bad_round_but_freezes_do_not() {
        let mut rounds = [round(0.9), round(5.0), round(0.8), round(0.88), round(0.92)];
        let naives = [2.0; 5].map(round);
        assert_eq!(failed(&rows(&rounds, &naives)), []);
        rounds[2].freezes = 1;
        assert_eq!(failed(&rows(&rounds, &naives)), [("freezes", 4)]);
    }

    #[test]
    fn what_was_not_measured_or_not_sound_is_not_reached() {
        let none = Round {
            marks: None,
            sight: None,
            ..round(0.9)
        };
        assert_eq!(failed(&rows(&[none], &[])).len(), 3);
        let unsound = Round {
            sound_run: false,
            ..round(0.9)
        };
        let all = rows(&[unsound], &[]);
        assert_eq!(failed(&all).len(), verdicts(&all).len());
    }

    #[test]
    fn what_was_left_out_is_not_judged() {
        let all = rows(&[round(0.9)], &[round(2.0)]);
        assert_eq!(verdicts(&all).len(), TARGETS.len());
        let quilt: Vec<Row> = all
            .into_iter()
            .filter(|row| row.row == Kind::Quilt && row.n == 4)
            .collect();
        let judged = verdicts(&quilt);
        assert!(judged.iter().all(|verdict| verdict.n == 4 && verdict.pass));
        assert!(
            judged
                .iter()
                .all(|verdict| !verdict.target.contains("ratio"))
        );
        assert!(verdicts(&[]).is_empty());
    }

    #[test]
    fn a_comparison_needs_an_opponent_who_delivers_the_same() {
        let naive = |change: fn(&mut Round)| {
            let mut naive = round(2.0);
            change(&mut naive);
            failed(&rows(&[round(0.9)], &[naive]))
        };
        assert_eq!(naive(|_| ()), []);
        assert_eq!(
            naive(|round| round.pictures = 11.0),
            [
                ("naive: pictures a second", 4),
                ("naive: pictures a second", 8)
            ]
        );
        let below = "SSIM, below naive's by";
        assert_eq!(
            naive(|round| round.ssim = Some(0.96)),
            [(below, 4), (below, 8)]
        );
        assert_eq!(naive(|round| round.ssim = Some(0.94)), []);
        let bits = "bits a second, % apart from naive";
        assert_eq!(naive(|round| round.kbps = 1_300.0), [(bits, 4), (bits, 8)]);
        // Not one figure beside it counts then.
        assert_eq!(naive(|round| round.sound_run = false).len(), 8);
        let close = rows(&[round(0.9)], &[round(1.2)]);
        assert_eq!(failed(&close), [("CPU, ratio to naive", 8)]);
    }
}
