//! Which topologies are best at one quantity, at which number of people. No conclusion inside the
//! noise. Pure.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::Serialize;

use super::figures::Topology;
use super::points::{Point, Spread};
use super::quantity::Quantity;

/// Fewer rounds have no spread, so nobody knows what is noise in them.
pub const ROUNDS: usize = 2;
/// Differences below this part of the larger value are none: nobody chooses by them.
pub const WORTH: f64 = 0.05;

/// Of one quantity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Which.
    pub quantity: Quantity,
    /// For each number of people at which at least two topologies can be compared.
    pub at: Vec<At>,
    /// For each topology that was compared.
    pub ends: Vec<End>,
}

/// Of one number of people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct At {
    /// People.
    pub n: u8,
    /// The best, and whoever cannot be told apart from it.
    pub best: Vec<Topology>,
    /// Those that are worse.
    pub worse: Vec<Topology>,
    /// Those that are best only because one is missing here that was better with fewer people.
    pub unrivalled: Vec<Topology>,
}

/// How long one topology is among the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct End {
    /// Which.
    pub topology: Topology,
    /// How long.
    #[serde(flatten)]
    pub reach: Reach,
}

/// A stretch of numbers of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "reach")]
pub enum Reach {
    /// It is never among the best from `from` to `to` people.
    Never {
        /// The first number of people at which it was compared.
        from: u8,
        /// The last.
        to: u8,
    },
    /// It is among the best from `from` to `to` people.
    Best {
        /// The first number of people.
        from: u8,
        /// The last.
        to: u8,
        /// It was compared with fewer people, and was not among the best.
        late: bool,
        /// Where it stops being the best choice; none if it was not seen to stop.
        stops_at: Option<u8>,
    },
    /// It is among the best here and there; nothing follows from that.
    Wavers,
}

/// Judges all quantities.
pub fn verdicts(points: &[Point]) -> Vec<Verdict> {
    let judge = |quantity| judge(quantity, points);
    Quantity::ALL.into_iter().map(judge).collect()
}

/// How `one` compares with `other`: `Greater` is better, `Equal` cannot be told apart. `None`: a
/// single round of something that is not counted.
pub fn compare(quantity: Quantity, one: &Spread, other: &Spread) -> Option<Ordering> {
    let about = quantity.about();
    let enough = |spread: &Spread| about.counted || spread.rounds >= ROUNDS;
    if !enough(one) || !enough(other) {
        return None;
    }
    let difference = (one.median - other.median).abs();
    let worth = match about.more_is_better {
        // A likeness: all of them are near 1, and a twentieth of it is a different picture.
        true => about.worth,
        false => about.worth.max(WORTH * one.median.max(other.median)),
    };
    let ((one_least, one_most), (other_least, other_most)) = (one.likely(), other.likely());
    let apart = one_least > other_most || one_most < other_least;
    // What is counted differs when it differs.
    let differs = about.counted || difference >= worth;
    Some(match apart && differs {
        false => Ordering::Equal,
        true if about.more_is_better => one.median.total_cmp(&other.median),
        true => other.median.total_cmp(&one.median),
    })
}

impl Spread {
    /// Where further rounds are likely to be: the spread of few is narrower than the noise, so it
    /// is widened on both sides by its width, divided by the number of rounds less one.
    ///
    /// Two times the same thing are then taken for different 6 times in 100 with two rounds, and
    /// once with three; by bare spreads it would be 33 and 10 times (normal noise).
    pub fn likely(&self) -> (f64, f64) {
        let wider = (self.max - self.min) / self.rounds.saturating_sub(1).max(1) as f64;
        (self.min - wider, self.max + wider)
    }
}

/// The best of these and whoever cannot be told apart from it, and the others; in the order they
/// came. `None` if there are not at least two that can be compared.
pub fn best(
    quantity: Quantity,
    of: &[(Topology, &Spread)],
) -> Option<(Vec<Topology>, Vec<Topology>)> {
    let counted = quantity.about().counted;
    let comparable = |(_, spread): &&(Topology, &Spread)| counted || spread.rounds >= ROUNDS;
    let of: Vec<_> = of.iter().filter(comparable).copied().collect();
    if of.len() < 2 {
        return None;
    }
    let more = quantity.about().more_is_better;
    let sign = if more { -1.0 } else { 1.0 };
    let by_median = |a: &&(Topology, &Spread), b: &&(Topology, &Spread)| {
        (sign * a.1.median).total_cmp(&(sign * b.1.median))
    };
    let (_, first) = *of.iter().min_by(by_median)?;
    let is_best = |spread| compare(quantity, spread, first) != Some(Ordering::Less);
    let (best, worse): (Vec<_>, Vec<_>) = of.into_iter().partition(|(_, spread)| is_best(spread));
    let names = |of: Vec<(Topology, _)>| of.into_iter().map(|(topology, _)| topology).collect();
    Some((names(best), names(worse)))
}

/// How long a topology is among the best, by `(people, among the best)` in order.
pub fn reach(seen: &[(u8, bool)]) -> Option<Reach> {
    let (first, last) = (seen.first()?, seen.last()?);
    let stretches: Vec<&[(u8, bool)]> = seen.chunk_by(|a, b| a.1 == b.1).collect();
    let mut best = stretches
        .iter()
        .enumerate()
        .filter(|(_, stretch)| stretch[0].1);
    Some(match (best.next(), best.next()) {
        (None, _) => Reach::Never {
            from: first.0,
            to: last.0,
        },
        (Some((at, stretch)), None) => Reach::Best {
            from: stretch[0].0,
            to: stretch[stretch.len() - 1].0,
            late: at > 0,
            stops_at: stretches.get(at + 1).map(|next| next[0].0),
        },
        _ => Reach::Wavers,
    })
}

fn judge(quantity: Quantity, points: &[Point]) -> Verdict {
    let people: BTreeSet<u8> = points.iter().map(|point| point.n).collect();
    let at = |n: u8| {
        let here = points.iter().filter(|point| point.n == n);
        let of: Vec<_> = here
            .filter_map(|point| Some((point.topology, point.decided(quantity)?)))
            .collect();
        let (best, worse) = best(quantity, &of)?;
        Some(At {
            n,
            best,
            worse,
            unrivalled: vec![],
        })
    };
    let mut at: Vec<At> = people.into_iter().filter_map(at).collect();
    unrival(&mut at);
    let end = |topology: Topology| {
        let seen: Vec<_> = at
            .iter()
            .filter(|at| at.best.contains(&topology) || at.worse.contains(&topology))
            .map(|at| (at.n, at.best.contains(&topology)))
            .collect();
        let reach = reach(&seen)?;
        Some(End { topology, reach })
    };
    let ends = Topology::ALL.into_iter().filter_map(end).collect();
    Verdict { quantity, at, ends }
}

/// Takes those out of the best whose better is missing.
fn unrival(at: &mut [At]) {
    // Who was better than whom, when both were last compared.
    let mut better: BTreeSet<(Topology, Topology)> = BTreeSet::new();
    for at in at {
        let there = [at.best.clone(), at.worse.clone()].concat();
        let missing = |topology: &Topology| {
            let mut better = better.iter();
            better.any(|(one, other)| other == topology && !there.contains(one))
        };
        let (unrivalled, best) = at.best.iter().partition(|topology| missing(topology));
        (at.unrivalled, at.best) = (unrivalled, best);
        better.retain(|(one, other)| !(there.contains(one) && there.contains(other)));
        let pairs = at
            .best
            .iter()
            .flat_map(|one| at.worse.iter().map(move |other| (*one, *other)));
        better.extend(pairs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tradeoff::figures::Row;
    use crate::tradeoff::points::points;
    use Ordering::{Equal, Greater, Less};
    use Topology::{Mcu, Mesh, Sfu};

    fn spread(values: &[f64]) -> Spread {
        Spread::of(values).expect("values")
    }

    #[test]
    fn what_differs_no_more_than_its_rounds_is_the_same() {
        let cores = Quantity::ServerCores;
        for (quantity, one, other, expected) in [
            // Less is better.
            (cores, &[0.1, 0.11][..], &[0.5, 0.52][..], Some(Greater)),
            (cores, &[0.5, 0.52], &[0.1, 0.11], Some(Less)),
            // More is better.
            (Quantity::Ssim, &[0.9, 0.901], &[0.95, 0.951], Some(Less)),
            // The spreads overlap.
            (cores, &[0.1, 0.3], &[0.2, 0.4], Some(Equal)),
            // They do not, but of two rounds each that is worth little.
            (cores, &[0.1, 0.2], &[0.25, 0.35], Some(Equal)),
            // With more of them it is worth more.
            (
                cores,
                &[0.1, 0.15, 0.15, 0.16, 0.2],
                &[0.26, 0.31, 0.31, 0.32, 0.36],
                Some(Greater),
            ),
            // Sharp, and not worth a word.
            (cores, &[0.1, 0.1], &[0.109, 0.109], Some(Equal)),
            (cores, &[1.0, 1.0], &[1.04, 1.04], Some(Equal)),
            (cores, &[1.0, 1.0], &[1.06, 1.06], Some(Greater)),
            (Quantity::Ssim, &[0.95, 0.95], &[0.951, 0.951], Some(Equal)),
            // One round has no spread ...
            (cores, &[0.1], &[0.5, 0.51], None),
            (cores, &[0.1], &[9.0], None),
            // ... and needs none where things are counted.
            (Quantity::Uplinks, &[1.0], &[2.0], Some(Greater)),
            (Quantity::Uplinks, &[30.0], &[31.0], Some(Greater)),
            (Quantity::Uplinks, &[1.0], &[1.0], Some(Equal)),
        ] {
            let found = compare(quantity, &spread(one), &spread(other));
            assert_eq!(found, expected, "{quantity:?} {one:?} {other:?}");
        }
    }

    #[test]
    fn ssim_is_worth_a_word_from_its_own_limit_on() {
        // Five in a hundred of an SSIM would be a different picture.
        let (good, less) = (spread(&[0.95, 0.95]), spread(&[0.93, 0.93]));
        assert_eq!(compare(Quantity::Ssim, &good, &less), Some(Greater));
    }

    #[test]
    fn the_same_thing_is_seldom_taken_for_different() {
        // Sums of uniform values are near enough to normal ones.
        let mut state = 1_u64;
        let mut noise = || {
            let mut uniform = || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 40) as f64 / (1_u64 << 24) as f64
            };
            (0..12).map(|_| uniform()).sum::<f64>() + 100.0
        };
        for (rounds, at_most) in [(2, 0.08), (3, 0.02), (5, 0.005)] {
            let mut draw = || spread(&(0..rounds).map(|_| noise()).collect::<Vec<_>>());
            let apart = |(one, other): &(Spread, Spread)| {
                let (one, other) = (one.likely(), other.likely());
                one.0 > other.1 || one.1 < other.0
            };
            let pairs: Vec<_> = (0..5_000).map(|_| (draw(), draw())).collect();
            let wrong = pairs.iter().filter(|pair| apart(pair)).count() as f64 / 5_000.0;
            assert!(wrong <= at_most, "{rounds} rounds: {wrong}");
        }
    }

    #[test]
    fn the_best_and_whoever_cannot_be_told_apart_from_it() {
        let (low, near, high) = (
            spread(&[1.0, 1.2]),
            spread(&[1.3, 1.5]),
            spread(&[2.0, 2.1]),
        );
        let all = [(Mcu, &high), (Mesh, &near), (Sfu, &low)];
        let found = best(Quantity::ServerCores, &all);
        assert_eq!(found, Some((vec![Mesh, Sfu], vec![Mcu])));
        let single = spread(&[0.1]);
        let found = best(Quantity::ServerCores, &[(Mesh, &single), (Sfu, &low)]);
        assert_eq!(found, None, "who has a single round is not compared");
        assert_eq!(best(Quantity::ServerCores, &[]), None);
    }

    #[test]
    fn how_far_the_best_reaches() {
        let best = |from, to, late, stops_at| {
            Some(Reach::Best {
                from,
                to,
                late,
                stops_at,
            })
        };
        for (seen, expected) in [
            (&[][..], None),
            (&[(2, true), (3, true), (4, true)], best(2, 4, false, None)),
            (
                &[(2, true), (3, true), (5, false)],
                best(2, 3, false, Some(5)),
            ),
            (&[(2, false), (3, true)], best(3, 3, true, None)),
            (
                &[(2, false), (3, true), (4, false)],
                best(3, 3, true, Some(4)),
            ),
            (
                &[(2, false), (9, false)],
                Some(Reach::Never { from: 2, to: 9 }),
            ),
            (&[(2, true), (3, false), (4, true)], Some(Reach::Wavers)),
        ] {
            assert_eq!(reach(seen), expected, "{seen:?}");
        }
    }

    /// Rows in which the server's CPU was measured, round by round.
    fn rows(topology: Topology, n: u8, busy: f64, cores: &[Option<f64>]) -> Vec<Row> {
        let row = |(round, cores): (u32, &Option<f64>)| Row {
            busy: Some(busy),
            fps_got: Some(20.0),
            fps_wanted: Some(20.0),
            server_cores: *cores,
            ..Row::new(topology, n, round)
        };
        (1..).zip(cores).map(row).collect()
    }

    fn server_cores(rows: &[Row]) -> Verdict {
        let all = verdicts(&points(rows));
        assert_eq!(all.len(), Quantity::ALL.len());
        let found = all
            .into_iter()
            .find(|v| v.quantity == Quantity::ServerCores);
        found.expect("all are judged")
    }

    #[test]
    fn a_verdict_from_rows() {
        let mut all = Vec::new();
        for (n, sfu, mcu) in [(2, 0.1, 0.1), (4, 0.2, 0.7), (6, 0.3, 1.0)] {
            all.extend(rows(Sfu, n, 0.4, &[Some(sfu), Some(sfu + 0.01)]));
            all.extend(rows(Mcu, n, 0.4, &[Some(mcu), Some(mcu + 0.01)]));
        }
        let verdict = server_cores(&all);
        let people: Vec<_> = verdict.at.iter().map(|at| (at.n, at.best.len())).collect();
        assert_eq!(people, [(2, 2), (4, 1), (6, 1)]);
        let sfu = Reach::Best {
            from: 2,
            to: 6,
            late: false,
            stops_at: None,
        };
        let mcu = Reach::Best {
            from: 2,
            to: 2,
            late: false,
            stops_at: Some(4),
        };
        let ends: Vec<_> = verdict.ends.iter().map(|e| (e.topology, e.reach)).collect();
        assert_eq!(ends, [(Sfu, sfu), (Mcu, mcu)]);
    }

    #[test]
    fn nobody_is_best_because_a_better_one_is_missing() {
        let mut all = Vec::new();
        for (n, mesh_busy) in [(2, 0.3), (3, 0.9)] {
            all.extend(rows(Mesh, n, mesh_busy, &[Some(0.01), Some(0.01)]));
            all.extend(rows(Sfu, n, 0.4, &[Some(0.2), Some(0.21)]));
            all.extend(rows(Mcu, n, 0.4, &[Some(0.7), Some(0.71)]));
        }
        let verdict = server_cores(&all);
        let last = At {
            n: 3,
            best: vec![],
            worse: vec![Mcu],
            unrivalled: vec![Sfu],
        };
        assert_eq!(verdict.at[1], last);
        let never = |to| Reach::Never { from: 2, to };
        let ends: Vec<_> = verdict.ends.iter().map(|e| (e.topology, e.reach)).collect();
        assert_eq!(ends[1..], [(Sfu, never(2)), (Mcu, never(3))]);
    }

    #[test]
    fn nothing_follows_from_nothing() {
        let both = |busy, cores: &[Option<f64>]| {
            [rows(Sfu, 4, busy, cores), rows(Mcu, 4, busy, cores)].concat()
        };
        for (what, all) in [
            ("no rows", vec![]),
            ("all absent", both(0.4, &[None, None])),
            ("one round", both(0.4, &[Some(0.5)])),
            ("saturated", both(0.9, &[Some(0.5), Some(0.6)])),
            ("alone", rows(Sfu, 4, 0.4, &[Some(0.5), Some(0.6)])),
        ] {
            let verdict = server_cores(&all);
            assert_eq!((verdict.at, verdict.ends), (vec![], vec![]), "{what}");
        }
    }
}
