//! Which topology to use: the one that costs the server least, among those that the clients can
//! bear. What they can bear is an assumption, and named as one; everything else is measured. Pure.
//!
//! A hybrid is not among the answers: its clients are of two kinds, and the mean of them is nobody.

use std::collections::BTreeSet;

use serde::Serialize;

use super::figures::Topology;
use super::points::{Point, Spread};
use super::quantity::Quantity;
use super::verdict::{ROUNDS, Reach, best, reach};

/// Topologies between which is chosen.
pub const CHOICES: [Topology; 3] = [Topology::Mesh, Topology::Sfu, Topology::Mcu];

/// What one kind of client can bear at most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Yardstick {
    /// In the middle of a sentence.
    pub name: &'static str,
    /// The limits.
    pub limits: [Limit; 4],
}

/// The most of one quantity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Limit {
    /// Of what.
    pub quantity: Quantity,
    /// So much is borne, and no more.
    pub most: f64,
}

/// Two kinds of client. Lines are those that many people have; of a device, what is left for a
/// meeting beside everything else on it.
pub const YARDSTICKS: [Yardstick; 2] = [
    Yardstick {
        name: "a laptop on a home line",
        limits: limits(5_000.0, 20_000.0, 1.0),
    },
    Yardstick {
        name: "a phone on a mobile line",
        limits: limits(1_000.0, 3_000.0, 0.5),
    },
];

const fn limits(up: f64, down: f64, cores: f64) -> [Limit; 4] {
    const fn limit(quantity: Quantity, most: f64) -> Limit {
        Limit { quantity, most }
    }
    [
        limit(Quantity::ClientKbpsUp, up),
        limit(Quantity::ClientKbpsDown, down),
        limit(Quantity::ClientCoresChromium, cores),
        // ITU-T G.114: up to here most people do not notice a delay.
        limit(Quantity::LatencyP95Ms, 150.0),
    ]
}

/// What to use for one kind of client.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overall {
    /// Which kind.
    pub yardstick: Yardstick,
    /// For each number of people that was measured.
    pub at: Vec<Choice>,
    /// For each topology between which was chosen anywhere.
    pub ends: Vec<OverallEnd>,
}

/// What to use with so many people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Choice {
    /// People.
    pub n: u8,
    /// The best choices; more than one if their cost for the server is the same.
    pub best: Vec<Topology>,
    /// Why there are none.
    pub open: Option<Open>,
    /// Topologies that are no choice, because clients do not bear them.
    pub too_much: Vec<TooMuch>,
    /// Topologies that cannot be judged: not measured often enough, or saturated.
    pub unjudged: Vec<Topology>,
    /// Limits to which not all of those judged could be held, because it was not measured.
    pub unmeasured: Vec<Quantity>,
}

/// A limit that is not kept, or may not be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TooMuch {
    /// By which topology.
    pub topology: Topology,
    /// Which limit.
    pub limit: Limit,
    /// As measured, the round in the middle ...
    pub measured: f64,
    /// ... with so many people: fewer than it is said of, if it was measured only there.
    pub with: u8,
}

/// Why nothing was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum Open {
    /// Fewer than two topologies could be judged.
    TooFew,
    /// It hangs on a limit that one of them may or may not keep.
    Noise(TooMuch),
    /// Clients bear none of those that could be judged.
    None,
    /// This one was the best choice with fewer people, and cannot be judged here.
    Missing {
        /// Which.
        topology: Topology,
    },
}

/// How long a topology is the best choice.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OverallEnd {
    /// Which.
    pub topology: Topology,
    /// How long.
    #[serde(flatten)]
    pub reach: Reach,
    /// The limit at which it stops, if it is one.
    pub stopped_by: Option<TooMuch>,
}

impl Choice {
    /// It says of those judged which are the best; that none of them is counts.
    pub fn decides(&self) -> bool {
        matches!(self.open, None | Some(Open::None))
    }
}

/// What to use, for each of these kinds of client.
pub fn overall(points: &[Point], yardsticks: &[Yardstick]) -> Vec<Overall> {
    let one = |yardstick: &Yardstick| {
        let people: BTreeSet<u8> = points.iter().map(|point| point.n).collect();
        let choices = people.into_iter().map(|n| choose(points, n, yardstick));
        let mut at: Vec<_> = choices.collect();
        await_missing(&mut at);
        let ends = CHOICES
            .into_iter()
            .filter_map(|topology| end(topology, &at));
        Overall {
            yardstick: *yardstick,
            ends: ends.collect(),
            at,
        }
    };
    yardsticks.iter().map(one).collect()
}

/// Whether a limit is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kept {
    Yes,
    Perhaps,
    No,
    NotMeasured,
}

impl Limit {
    /// Whether `topology` keeps it with `n` people, and where that was seen. What grows with the
    /// people needs not be measured everywhere: who does not bear few does not bear more, who bears
    /// many bears fewer, and of whom it is not sure with few nothing is known with more.
    fn kept<'a>(&self, of: &[&'a Point], n: u8) -> (Kept, Option<&'a Point>) {
        let judged = of.iter().filter_map(|point| {
            let spread = point.decided(self.quantity)?;
            // A single round has no spread: it may as well be on the other side.
            let enough = spread.rounds >= ROUNDS;
            enough.then(|| (self.keeps(spread), *point))
        });
        let all: Vec<_> = judged.collect();
        let here = all.iter().find(|(_, point)| point.n == n);
        let fewer = all.iter().filter(|(_, point)| point.n < n);
        let mut more = all.iter().filter(|(_, point)| point.n > n);
        let found = here
            .or(fewer.clone().rev().find(|(kept, _)| *kept == Kept::No))
            .or(more.find(|(kept, _)| *kept == Kept::Yes))
            .or(fewer.rev().find(|(kept, _)| *kept == Kept::Perhaps));
        match found {
            Some((kept, point)) => (*kept, Some(*point)),
            None => (Kept::NotMeasured, None),
        }
    }

    fn keeps(&self, spread: &Spread) -> Kept {
        match spread.likely() {
            (_, most) if most <= self.most => Kept::Yes,
            (least, _) if least > self.most => Kept::No,
            _ => Kept::Perhaps,
        }
    }
}

fn choose(points: &[Point], n: u8, yardstick: &Yardstick) -> Choice {
    let cost = Quantity::ServerCores;
    let mut choice = Choice {
        n,
        best: vec![],
        open: None,
        too_much: vec![],
        unjudged: vec![],
        unmeasured: vec![],
    };
    let (mut bearable, mut doubtful) = (Vec::<(Topology, &Spread)>::new(), Vec::new());
    let mut judged = 0;
    for topology in CHOICES {
        let of: Vec<_> = points.iter().filter(|p| p.topology == topology).collect();
        let here = of.iter().find(|point| point.n == n);
        let spread = here.and_then(|point| point.decided(cost));
        let Some(spread) = spread.filter(|spread| spread.rounds >= ROUNDS) else {
            choice.unjudged.push(topology);
            continue;
        };
        judged += 1;
        let (mut over, mut edge) = (None, None);
        for limit in yardstick.limits {
            let (kept, seen) = limit.kept(&of, n);
            let seen = seen.and_then(|point| Some((point, point.decided(limit.quantity)?)));
            let too_much = seen.map(|(point, spread)| TooMuch {
                topology,
                limit,
                measured: spread.median,
                with: point.n,
            });
            match kept {
                Kept::Yes => {}
                Kept::No => over = over.or(too_much),
                Kept::Perhaps => edge = edge.or(too_much),
                Kept::NotMeasured if choice.unmeasured.contains(&limit.quantity) => {}
                Kept::NotMeasured => choice.unmeasured.push(limit.quantity),
            }
        }
        match (over, edge) {
            (Some(limit), _) => choice.too_much.push(limit),
            (None, Some(limit)) => doubtful.push((topology, spread, limit)),
            (None, None) => bearable.push((topology, spread)),
        }
    }
    // Would it be the best, or equal to it, if it kept the limit?
    let decisive = doubtful.iter().find(|(topology, spread, _)| {
        let with: Vec<_> = [(*topology, *spread)]
            .into_iter()
            .chain(bearable.clone())
            .collect();
        best(cost, &with).is_none_or(|(best, _)| best.contains(topology))
    });
    choice.open = match (decisive, bearable.len()) {
        _ if judged < 2 => Some(Open::TooFew),
        (Some((.., limit)), _) => Some(Open::Noise(*limit)),
        (None, 0) => Some(Open::None),
        _ => None,
    };
    if choice.open.is_none() {
        choice.best = match best(cost, &bearable) {
            Some((best, _)) => best,
            // The only one that clients bear.
            None => bearable.iter().map(|(topology, _)| *topology).collect(),
        };
    }
    choice
}

/// Where the best choice cannot be judged any more, another is not the best for that.
fn await_missing(at: &mut [Choice]) {
    let mut last: Vec<Topology> = vec![];
    for choice in at.iter_mut().filter(|choice| choice.decides()) {
        let missing = |topology: &&Topology| choice.unjudged.contains(topology);
        // Two that were equally good stand for each other.
        let gone = last.iter().find(missing).copied();
        let stays = last.iter().any(|topology| choice.best.contains(topology));
        match gone.filter(|_| !stays) {
            Some(topology) => {
                choice.open = Some(Open::Missing { topology });
                choice.best.clear();
            }
            None if choice.open.is_none() => last = choice.best.clone(),
            None => {}
        }
    }
}

fn end(topology: Topology, at: &[Choice]) -> Option<OverallEnd> {
    let seen: Vec<_> = at
        .iter()
        .filter(|choice| choice.decides())
        .filter(|choice| !choice.unjudged.contains(&topology))
        .map(|choice| (choice.n, choice.best.contains(&topology)))
        .collect();
    let reach = reach(&seen)?;
    let stops_at = match reach {
        Reach::Best { stops_at, .. } => stops_at,
        _ => None,
    };
    let there = at.iter().find(|choice| Some(choice.n) == stops_at);
    let stopped_by = there.and_then(|choice| {
        let mut limits = choice.too_much.iter();
        limits.find(|limit| limit.topology == topology).copied()
    });
    Some(OverallEnd {
        topology,
        reach,
        stopped_by,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tradeoff::figures::Row;
    use crate::tradeoff::points::points;
    use Topology::{Mcu, Mesh, Sfu};

    const YARDSTICK: Yardstick = Yardstick {
        name: "somebody",
        limits: limits(1_000.0, 3_000.0, 0.5),
    };

    /// Two rounds that differ by a hundredth.
    fn rows(topology: Topology, n: u8, cores: f64, up: f64, down: f64) -> Vec<Row> {
        let row = |(round, times): (u32, f64)| Row {
            busy: Some(0.5),
            fps_got: Some(20.0),
            fps_wanted: Some(20.0),
            server_cores: Some(cores * times),
            client_kbps_up: Some(up * times),
            client_kbps_down: Some(down * times),
            client_cores_chromium: Some(0.2),
            latency_p95_ms: Some(60.0),
            ..Row::new(topology, n, round)
        };
        [(1, 1.0), (2, 1.01)].map(row).to_vec()
    }

    /// Everybody sends 500 kbit/s.
    fn meeting(n: u8) -> Vec<Row> {
        let others = f64::from(n - 1);
        [
            rows(Mesh, n, 0.001, 500.0 * others, 500.0 * others),
            rows(Sfu, n, 0.03 * others, 500.0, 500.0 * others),
            rows(Mcu, n, 0.2 * others, 500.0, 500.0),
        ]
        .concat()
    }

    fn judged(rows: &[Row]) -> Overall {
        let mut all = overall(&points(rows), &[YARDSTICK]);
        all.pop().expect("one kind of client")
    }

    #[test]
    fn the_cheapest_that_clients_bear() {
        let all: Vec<_> = [2, 4, 8].into_iter().flat_map(meeting).collect();
        let overall = judged(&all);
        let best: Vec<_> = overall.at.iter().map(|at| at.best.as_slice()).collect();
        assert_eq!(best, [&[Mesh][..], &[Sfu], &[Mcu]]);
        let ends: Vec<_> = overall.ends.iter().map(|end| end.reach).collect();
        let run = |n, late, stops_at| Reach::Best {
            from: n,
            to: n,
            late,
            stops_at,
        };
        let runs = [
            run(2, false, Some(4)),
            run(4, true, Some(8)),
            run(8, true, None),
        ];
        assert_eq!(ends, runs);
        let limits: Vec<_> = overall.ends.iter().map(|end| end.stopped_by).collect();
        let quantities = limits.iter().map(|limit| limit.map(|l| l.limit.quantity));
        assert_eq!(
            quantities.collect::<Vec<_>>(),
            [
                Some(Quantity::ClientKbpsUp),
                Some(Quantity::ClientKbpsDown),
                None
            ]
        );
    }

    #[test]
    fn nothing_is_chosen_where_it_hangs_on_noise_or_on_nothing() {
        let edge = Limit {
            quantity: Quantity::ClientKbpsUp,
            most: 1_000.0,
        };
        // 995 and 1005: it may keep to 1000, or not.
        let doubtful = [
            rows(Mesh, 3, 0.001, 995.0, 1_000.0),
            rows(Sfu, 3, 0.06, 500.0, 1_000.0),
        ];
        let at = &judged(&doubtful.concat()).at[0];
        assert!(matches!(at.open, Some(Open::Noise(TooMuch { limit, .. })) if limit == edge));
        assert_eq!(at.best, []);
        // The same with who would not be the best anyway.
        let idle = [
            rows(Mesh, 3, 0.9, 995.0, 1_000.0),
            rows(Sfu, 3, 0.06, 500.0, 1_000.0),
        ];
        assert_eq!(judged(&idle.concat()).at[0].best, [Sfu]);
        // Too much for everybody, of whom one was the best with fewer people.
        let none = [
            meeting(2),
            rows(Mesh, 3, 0.1, 5_000.0, 9_000.0),
            rows(Sfu, 3, 0.06, 500.0, 9_000.0),
        ];
        let none = judged(&none.concat());
        assert_eq!(none.at[1].open, Some(Open::None));
        assert!(matches!(
            none.ends[0].reach,
            Reach::Best {
                stops_at: Some(3),
                ..
            }
        ));
        for few in [
            rows(Mesh, 3, 0.1, 1.0, 1.0),
            // A single round of each.
            meeting(3)
                .into_iter()
                .filter(|row| row.round == 1)
                .collect(),
            // Saturated.
            meeting(3)
                .into_iter()
                .map(|row| Row {
                    busy: Some(0.9),
                    ..row
                })
                .collect(),
            // Nothing measured.
            vec![Row::new(Mesh, 3, 1), Row::new(Sfu, 3, 1)],
        ] {
            let overall = judged(&few);
            assert_eq!(overall.at[0].open, Some(Open::TooFew));
            assert_eq!(overall.ends, []);
        }
        assert_eq!(judged(&[]).at, []);
    }

    #[test]
    fn a_limit_of_what_was_not_measured_is_named() {
        let without = |row: Row| Row {
            client_cores_chromium: None,
            ..row
        };
        let rows: Vec<_> = meeting(2).into_iter().map(without).collect();
        let at = &judged(&rows).at[0];
        assert_eq!(at.best, [Mesh]);
        assert_eq!(at.unmeasured, [Quantity::ClientCoresChromium]);
    }

    #[test]
    fn who_does_not_bear_few_does_not_bear_more_and_who_bears_many_bears_fewer() {
        let mut all: Vec<_> = [2, 3, 4, 5].into_iter().flat_map(meeting).collect();
        for row in &mut all {
            row.client_kbps_up = Some(500.0);
            row.client_kbps_down = Some(500.0);
            row.client_cores_chromium = match (row.topology, row.n) {
                (Mesh, 4) => Some(0.6),
                (_, 4) => Some(0.2),
                _ => None,
            };
        }
        let overall = judged(&all);
        let best: Vec<_> = overall.at.iter().map(|at| at.best.as_slice()).collect();
        assert_eq!(best, [&[Mesh][..], &[Mesh], &[Sfu], &[Sfu]]);
        assert_eq!(overall.at[3].too_much[0].with, 4);
        // That a mesh of four is too much says nothing of one of three, nor four of five.
        let cpu: &[Quantity] = &[Quantity::ClientCoresChromium];
        let unmeasured: Vec<_> = overall
            .at
            .iter()
            .map(|at| at.unmeasured.as_slice())
            .collect();
        assert_eq!(unmeasured, [cpu, cpu, &[], cpu]);
    }

    #[test]
    fn of_whom_it_is_not_sure_with_few_nothing_is_known_with_more() {
        let mut all: Vec<_> = [2, 3, 4].into_iter().flat_map(meeting).collect();
        for row in &mut all {
            row.client_kbps_up = Some(500.0);
            row.client_kbps_down = Some(500.0);
            // On both sides of half a core.
            let edge = 0.495 + 0.01 * f64::from(row.round - 1);
            row.client_cores_chromium = match (row.topology, row.n) {
                (Mesh, 3) => Some(edge),
                (_, 3) => Some(0.2),
                _ => None,
            };
        }
        let overall = judged(&all);
        let of = |at: &Choice| match at.open {
            Some(Open::Noise(limit)) => Some((limit.topology, limit.with)),
            _ => None,
        };
        let noise: Vec<_> = overall.at.iter().map(of).collect();
        assert_eq!(noise, [None, Some((Mesh, 3)), Some((Mesh, 3))]);
    }

    #[test]
    fn a_topology_that_was_not_judged_does_not_stop_there() {
        let mut all: Vec<_> = [2, 3].into_iter().flat_map(meeting).collect();
        for row in &mut all {
            if (row.topology, row.n) == (Mesh, 3) {
                row.busy = Some(0.95);
            }
        }
        let overall = judged(&all);
        assert_eq!(overall.at[1].unjudged, [Mesh]);
        // Nor is another the best choice for that.
        assert_eq!(overall.at[1].best, []);
        let missing = Open::Missing { topology: Mesh };
        assert_eq!(overall.at[1].open, Some(missing));
        assert_eq!(
            overall.ends[0].reach,
            Reach::Best {
                from: 2,
                to: 2,
                late: false,
                stops_at: None
            }
        );
    }
}
