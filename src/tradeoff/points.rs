//! All rounds of the same meeting taken together, without those that decide nothing.

use std::collections::BTreeMap;

use serde::Serialize;

use super::figures::{Row, SeenBy, Topology};
use super::quantity::Quantity;

/// Full frame rate: one picture in fifty may be missing.
pub const FULL: f64 = 0.98;

/// The value in the middle, or the mean of the two there.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// A machine busier than this is no judge: what is measured then is who waits for whom.
pub const BUSY: f64 = 0.85;

/// Several rounds of one quantity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The round in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
    /// How many there were.
    pub rounds: usize,
}

impl Spread {
    /// Of these rounds; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        Some(Self {
            median: median(values.iter().copied())?,
            min: values.iter().copied().reduce(f64::min)?,
            max: values.iter().copied().reduce(f64::max)?,
            rounds: values.len(),
        })
    }
}

/// What is known of one quantity of a point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Value {
    /// Its rounds.
    #[serde(flatten)]
    pub spread: Spread,
    /// Every round in which it was measured decides nothing; shown all the same, and marked.
    pub saturated: bool,
}

/// One topology with one number of people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// Which way the media went.
    pub topology: Topology,
    /// People in the meeting.
    pub n: u8,
    /// Rows that were measured.
    pub rows: usize,
    /// Those that decide nothing, and why.
    pub saturated: Vec<Saturated>,
    /// What was measured, from the rows that decide if there are any.
    pub values: BTreeMap<Quantity, Value>,
    /// Who could see the media: the most of any row.
    pub seen_by: Option<SeenBy>,
}

/// Why a row decides nothing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Saturated {
    /// The row's round.
    pub round: u32,
    /// The reason.
    pub because: Because,
}

/// Reasons to decide nothing.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Because {
    /// It came to nothing.
    Failed {
        /// Why.
        why: String,
    },
    /// The machine was over the limit.
    Busy {
        /// Of all its cores.
        share: f64,
    },
    /// Clients missed their frame rate.
    Frames {
        /// Pictures a second of the stream with the fewest.
        got: f64,
        /// As it should have been.
        wanted: f64,
    },
    /// It is not known how busy the machine was, or whether the frames came.
    Unknown,
}

impl Point {
    /// Its value of `quantity`, if it decides.
    pub fn decided(&self, quantity: Quantity) -> Option<&Spread> {
        let value = self.values.get(&quantity)?;
        (!value.saturated).then_some(&value.spread)
    }
}

/// Takes the rounds together: a point for each topology and number of people, in order.
pub fn points(rows: &[Row]) -> Vec<Point> {
    let mut groups: BTreeMap<(Topology, u8), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        groups.entry((row.topology, row.n)).or_default().push(row);
    }
    let point = |((topology, n), rows): ((Topology, u8), Vec<&Row>)| Point {
        topology,
        n,
        rows: rows.len(),
        saturated: rows.iter().filter_map(|row| saturated(row)).collect(),
        values: Quantity::ALL
            .into_iter()
            .filter_map(|quantity| Some((quantity, value(quantity, &rows)?)))
            .collect(),
        seen_by: rows.iter().filter_map(|row| row.seen_by).max(),
    };
    groups.into_iter().map(point).collect()
}

/// Whether a row decides nothing, and the first reason for that.
pub fn saturated(row: &Row) -> Option<Saturated> {
    let sane = |value: &f64| value.is_finite() && *value >= 0.0;
    let because = match (
        row.busy.filter(sane),
        row.fps_got.filter(sane),
        row.fps_wanted.filter(sane),
    ) {
        _ if row.failed.is_some() => Because::Failed {
            why: row.failed.clone().unwrap_or_default(),
        },
        (Some(share), ..) if share > BUSY => Because::Busy { share },
        (_, Some(got), Some(wanted)) if got < wanted * FULL => Because::Frames { got, wanted },
        (Some(_), Some(_), Some(_)) => return None,
        _ => Because::Unknown,
    };
    Some(Saturated {
        round: row.round,
        because,
    })
}

fn value(quantity: Quantity, rows: &[&Row]) -> Option<Value> {
    let all = |decides: bool| -> Vec<f64> {
        let rows = rows.iter();
        rows.filter(|row| saturated(row).is_none() == decides)
            .filter_map(|row| quantity.of(row))
            .collect()
    };
    let (decide, others) = (Spread::of(&all(true)), Spread::of(&all(false)));
    Some(Value {
        spread: decide.or(others)?,
        saturated: decide.is_none(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(round: u32, busy: f64, got: f64, cores: Option<f64>) -> Row {
        Row {
            busy: Some(busy),
            fps_got: Some(got),
            fps_wanted: Some(20.0),
            server_cores: cores,
            ..Row::new(Topology::Mcu, 4, round)
        }
    }

    #[test]
    fn what_saturates_a_row() {
        let failed = Row {
            failed: Some("two of four did not join".into()),
            ..row(1, 0.1, 20.0, None)
        };
        let without_frames = Row {
            fps_wanted: None,
            ..row(1, 0.1, 20.0, None)
        };
        let frames = |got| Some(Because::Frames { got, wanted: 20.0 });
        for (row, because) in [
            (row(1, 0.5, 20.0, None), None),
            (row(1, 0.85, 19.6, None), None),
            (
                row(1, 0.851, 20.0, None),
                Some(Because::Busy { share: 0.851 }),
            ),
            (row(1, 0.5, 19.5, None), frames(19.5)),
            (row(1, f64::NAN, 20.0, None), Some(Because::Unknown)),
            (without_frames, Some(Because::Unknown)),
            (Row::new(Topology::Sfu, 2, 1), Some(Because::Unknown)),
            (
                failed,
                Some(Because::Failed {
                    why: "two of four did not join".into(),
                }),
            ),
        ] {
            let found = saturated(&row).map(|saturated| saturated.because);
            assert_eq!(found, because, "{row:?}");
        }
    }

    #[test]
    fn rounds_that_decide_stand_alone_and_others_only_where_there_are_none() {
        let rows = [
            row(1, 0.5, 20.0, Some(0.7)),
            row(2, 0.99, 20.0, Some(3.0)),
            row(3, 0.5, 20.0, Some(0.9)),
            Row {
                ssim: Some(0.8),
                ..row(4, 0.9, 20.0, None)
            },
        ];
        let points = points(&rows);
        let [point] = points.as_slice() else {
            panic!("{points:?}");
        };
        assert_eq!((point.rows, point.saturated.len()), (4, 2));
        let cores = point.decided(Quantity::ServerCores).expect("two rounds");
        assert_eq!((cores.min, cores.max, cores.rounds), (0.7, 0.9, 2));
        assert!((cores.median - 0.8).abs() < 1e-9);
        assert_eq!(point.decided(Quantity::Ssim), None);
        assert!(point.values[&Quantity::Ssim].saturated);
        assert!(!point.values.contains_key(&Quantity::Uplinks));
    }

    #[test]
    fn there_is_a_point_for_each_topology_and_number_of_people() {
        let rows = [
            Row::new(Topology::Mcu, 2, 1),
            Row::new(Topology::Mesh, 4, 1),
            Row::new(Topology::Mesh, 2, 1),
            Row::new(Topology::Mesh, 4, 2),
        ];
        let found: Vec<_> = points(&rows).iter().map(|p| (p.topology, p.n)).collect();
        let (mesh, mcu) = (Topology::Mesh, Topology::Mcu);
        assert_eq!(found, [(mesh, 2), (mesh, 4), (mcu, 2)]);
        assert_eq!(points(&[]), []);
    }

    #[test]
    fn medians() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median([].into_iter()), None);
    }
}
