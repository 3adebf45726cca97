//! What the figures show, in sentences drawn from this run and nothing else. Pure.

use serde::Serialize;

use super::figures::{Run, SeenBy, Topology};
use super::phrases::{capital, list, people, span, stretch};
use super::points::Point;
use super::quantity::Quantity;
use super::verdict::{ROUNDS, Reach, Verdict};

/// Something said of something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Passage {
    /// Of what.
    pub title: String,
    /// What.
    pub sentences: Vec<String>,
}

/// What `points` show of one quantity, and who is best at it.
pub fn judgement(verdict: &Verdict, points: &[Point]) -> String {
    let quantity = verdict.quantity;
    let shown = |point: &&Point| point.values.contains_key(&quantity);
    if !points.iter().any(|point| shown(&point)) {
        return "Not measured.".into();
    }
    if verdict.at.is_empty() {
        return no_judgement(quantity, points);
    }
    let mut sentences = Vec::new();
    let (from, to) = (verdict.at[0].n, verdict.at[verdict.at.len() - 1].n);
    if verdict.at.iter().all(|at| at.worse.is_empty()) {
        let of = verdict.ends.iter().map(|end| end.topology.name());
        let of = list(of);
        sentences.push(format!("{of} cannot be told apart {}.", span(from, to)));
    } else {
        // Those of whom the same is to be said are named together.
        let mut groups: Vec<(Reach, Vec<Topology>)> = Vec::new();
        for end in &verdict.ends {
            let never = |reach: &Reach| matches!(reach, Reach::Never { .. });
            let same = |reach: &Reach| *reach == end.reach || never(reach) && never(&end.reach);
            match groups.iter_mut().find(|(reach, _)| same(reach)) {
                Some((_, group)) => group.push(end.topology),
                None => groups.push((end.reach, vec![end.topology])),
            }
        }
        for (reach, group) in &groups {
            let places = verdict.at.iter().map(|at| &at.best);
            let mut with = places.filter(|best| group.iter().any(|of| best.contains(of)));
            let place = match with.all(|best| best.len() == 1) {
                true => "best",
                false => "among the best",
            };
            sentences.push(rank(*reach, group, place, to));
        }
    }
    sentences.push(course(quantity, points));
    sentences.join(" ")
}

/// Who can see the media, as far as that was found.
pub fn seen(points: &[Point]) -> Vec<Passage> {
    let of = |topology: Topology| {
        let points = points.iter().filter(|point| point.topology == topology);
        let by = points.filter_map(|point| point.seen_by).max()?;
        Some(Passage {
            title: topology.name().into(),
            sentences: vec![seen_by(by).into()],
        })
    };
    Topology::ALL.into_iter().filter_map(of).collect()
}

/// What is left if nobody else may see the media; `None` if nothing of that was found out.
pub fn privacy(points: &[Point]) -> Option<Passage> {
    let (mut private, mut others) = (Vec::new(), Vec::new());
    for topology in Topology::ALL {
        let points = points.iter().filter(|point| point.topology == topology);
        match points.filter_map(|point| point.seen_by).max() {
            Some(SeenBy::Nobody) => private.push(topology.name()),
            Some(_) => others.push(topology.name()),
            None => {}
        }
    }
    let text = match (private.is_empty(), others.is_empty()) {
        (true, true) => return None,
        (false, true) => format!("{} keeps to that.", list(private.iter())),
        (true, false) => format!(
            "None is a choice: the server can see it in {}.",
            list(others.iter())
        ),
        (false, false) => format!(
            "Only {} is a choice, whatever it costs: the server can see the media in {}.",
            list(private.iter()),
            list(others.iter())
        ),
    };
    Some(Passage {
        title: "If nobody but the people in the meeting may see its media".into(),
        sentences: vec![text],
    })
}

fn seen_by(by: SeenBy) -> &'static str {
    match by {
        SeenBy::Nobody => {
            "Only the people in the meeting: the media is encrypted from client to client. They \
             trust the server to pass on the fingerprints of their keys as they are."
        }
        SeenBy::ForwardingServer => {
            "Whoever runs the server, too: it holds the keys of every connection, though it \
             forwards packets as they are."
        }
        SeenBy::MixingServer => {
            "Whoever runs the server, too: it decodes all media and encodes it again."
        }
    }
}

/// What was not measured, or decides nothing.
pub fn gaps(run: &Run, points: &[Point]) -> Vec<String> {
    let mut gaps = Vec::new();
    for topology in Topology::ALL {
        let of: Vec<&Point> = points.iter().filter(|p| p.topology == topology).collect();
        if of.is_empty() {
            if run.settings.topologies.contains(&topology) {
                gaps.push(format!("{} was not measured at all.", topology.name()));
            }
            continue;
        }
        let missing = run.settings.people.iter().copied();
        let missing: Vec<u8> = missing
            .filter(|n| of.iter().all(|point| point.n != *n))
            .collect();
        if !missing.is_empty() && run.settings.topologies.contains(&topology) {
            let with = people(&missing);
            gaps.push(format!("{} was not measured {with}.", topology.name()));
        }
        let all = of.iter().filter(|p| p.saturated.len() == p.rows);
        let all: Vec<u8> = all.map(|point| point.n).collect();
        if !all.is_empty() {
            let with = people(&all);
            gaps.push(format!(
                "{} {with} decides nothing: every row was saturated.",
                topology.name()
            ));
        }
    }
    for quantity in Quantity::ALL {
        gaps.extend(missing(quantity, points));
    }
    let once = points.iter().filter(|point| {
        let mut measured = point.values.iter();
        measured.any(|(q, value)| !q.about().counted && value.spread.rounds < ROUNDS)
    });
    if once.count() > 0 {
        gaps.push(
            "A figure of a single round has no spread, so nothing but counts is concluded from it."
                .into(),
        );
    }
    gaps
}

/// Where a quantity is absent.
fn missing(quantity: Quantity, points: &[Point]) -> Option<String> {
    let name = capital(quantity.about().name);
    let has = |point: &&Point| point.values.contains_key(&quantity);
    if points.iter().all(|point| !has(&point)) {
        return Some(format!("{name} was not measured."));
    }
    let mut never = Vec::new();
    // Those that were measured with the same numbers of people are named together.
    let mut partly: Vec<(Vec<u8>, Vec<&str>)> = Vec::new();
    for topology in Topology::ALL {
        let of: Vec<&Point> = points.iter().filter(|p| p.topology == topology).collect();
        let with: Vec<u8> = of.iter().copied().filter(has).map(|p| p.n).collect();
        if with.len() == of.len() {
            continue;
        }
        match partly.iter_mut().find(|(same, _)| *same == with) {
            _ if with.is_empty() => never.push(topology.name()),
            Some((_, names)) => names.push(topology.name()),
            None => partly.push((with, vec![topology.name()])),
        }
    }
    let partly = partly.iter().map(|(with, names)| {
        let (names, with) = (list(names.iter()), people(with));
        format!("for {names} only {with}")
    });
    let mut parts: Vec<_> = partly.collect();
    if !never.is_empty() {
        parts.push(format!("not for {}", list(never.iter())));
    }
    (!parts.is_empty()).then(|| format!("{name} was measured {}.", list(parts.iter())))
}

/// `place`: best alone, or among the best.
fn rank(reach: Reach, of: &[Topology], place: &str, last: u8) -> String {
    let names = list(of.iter().map(|topology| topology.name()));
    let (is, stops) = match of.len() {
        1 => ("is", "stops"),
        _ => ("are", "stop"),
    };
    match reach {
        Reach::Never { .. } => format!("{names} {is} never among the best."),
        Reach::Wavers => {
            format!("{names} {is} {place} here and there, from which nothing follows.")
        }
        Reach::Best {
            from,
            to,
            late,
            stops_at,
        } => {
            let stretch = stretch(from, to, late);
            match stops_at {
                Some(n) => format!("{names} {is} {place} {stretch} and {stops} being so with {n}."),
                None if to < last => {
                    format!("{names} {is} {place} {stretch}; with more it was not compared.")
                }
                None => format!("{names} {is} {place} {}.", span(from, to)),
            }
        }
    }
}

fn no_judgement(quantity: Quantity, points: &[Point]) -> String {
    let decided: Vec<_> = points.iter().filter_map(|p| p.decided(quantity)).collect();
    let why = match decided.as_slice() {
        [] => "every row with it was saturated",
        all if all.iter().all(|spread| spread.rounds < ROUNDS) && !quantity.about().counted => {
            "it was measured once, and a single round has no spread"
        }
        _ => "with no number of people could two topologies be compared",
    };
    format!("No conclusion: {why}.")
}

/// From the fewest people to the most, of every topology.
fn course(quantity: Quantity, points: &[Point]) -> String {
    let of = |topology: Topology| {
        let of = points.iter().filter(|point| point.topology == topology);
        let decided: Vec<_> = of
            .filter_map(|point| Some((point.n, point.decided(quantity)?.median)))
            .collect();
        let ((from, first), (to, last)) = (decided.first()?, decided.last()?);
        let (name, first) = (topology.name(), quantity.number(*first));
        Some(match from == to {
            true => format!("{name} {first} with {from} people"),
            false => {
                let last = quantity.number(*last);
                format!("{name} {first} with {from} people and {last} with {to}")
            }
        })
    };
    let all: Vec<_> = Topology::ALL.into_iter().filter_map(of).collect();
    let unit = match quantity.about().unit {
        "" => String::new(),
        unit => format!(", in {unit}"),
    };
    format!("Measured{unit}: {}.", all.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tradeoff::figures::Row;
    use crate::tradeoff::report::Report;
    use crate::tradeoff::sample;

    fn report(rows: Vec<Row>) -> Report {
        Report::of(Run {
            rows,
            ..sample::empty()
        })
    }

    fn said(report: &Report, quantity: Quantity) -> &str {
        let mut all = report.judgements.iter();
        let found = all.find(|judgement| judgement.verdict.quantity == quantity);
        &found.expect("all are judged").text
    }

    fn row(topology: Topology, n: u8, round: u32, cores: f64) -> Row {
        Row {
            busy: Some(0.5),
            fps_got: Some(20.0),
            fps_wanted: Some(20.0),
            server_cores: Some(cores),
            ..Row::new(topology, n, round)
        }
    }

    /// SFU and MCU, a little apart from round to round.
    fn both(n: u8, sfu: f64, mcu: f64) -> Vec<Row> {
        let round = |round: u32| {
            let times = 1.0 + f64::from(round) / 100.0;
            [
                row(Topology::Sfu, n, round, sfu * times),
                row(Topology::Mcu, n, round, mcu * times),
            ]
        };
        (1..=3).flat_map(round).collect()
    }

    #[test]
    fn a_quantity_in_words() {
        let apart = report([both(2, 0.1, 0.1), both(3, 0.2, 0.6), both(4, 0.3, 0.9)].concat());
        assert_eq!(
            said(&apart, Quantity::ServerCores),
            "SFU is among the best from 2 to 4 people. MCU is among the best with 2 people and \
             stops being so with 3. Measured, in cores: SFU 0.102 with 2 people and 0.306 with 4; \
             MCU 0.102 with 2 people and 0.918 with 4."
        );
        let first = report([both(2, 0.1, 0.4), both(3, 0.2, 0.6)].concat());
        let text = said(&first, Quantity::ServerCores);
        assert!(
            text.starts_with("SFU is best from 2 to 3 people. MCU is never among the best. "),
            "{text}"
        );
        let equal = report(both(2, 0.1, 0.1));
        let text = said(&equal, Quantity::ServerCores);
        assert!(
            text.starts_with("SFU and MCU cannot be told apart with 2 people. "),
            "{text}"
        );
        assert_eq!(said(&equal, Quantity::Ssim), "Not measured.");
    }

    #[test]
    fn why_nothing_is_concluded() {
        let first = |rows: Vec<Row>| -> Vec<Row> {
            rows.into_iter().filter(|row| row.round == 1).collect()
        };
        let busy = |row: Row| Row {
            busy: Some(0.95),
            ..row
        };
        let sfu = |rows: Vec<Row>| -> Vec<Row> {
            let sfu = rows.into_iter().filter(|row| row.topology == Topology::Sfu);
            sfu.collect()
        };
        for (rows, because) in [
            (
                first(both(2, 0.1, 0.9)),
                "it was measured once, and a single round has no spread",
            ),
            (
                both(2, 0.1, 0.9).into_iter().map(busy).collect(),
                "every row with it was saturated",
            ),
            (
                sfu(both(2, 0.1, 0.9)),
                "with no number of people could two topologies be compared",
            ),
        ] {
            let report = report(rows);
            let expected = format!("No conclusion: {because}.");
            assert_eq!(said(&report, Quantity::ServerCores), expected);
            for passage in &report.advice[..2] {
                assert_eq!(
                    passage.sentences,
                    ["No conclusion: with no number of people could two topologies be judged."]
                );
            }
        }
    }

    #[test]
    fn gaps_name_all_that_is_absent() {
        let nothing = report(vec![]);
        let mesh = "Mesh was not measured at all.";
        assert!(
            nothing.gaps.iter().any(|gap| gap == mesh),
            "{:?}",
            nothing.gaps
        );
        let gaps = Report::of(sample::run()).gaps;
        assert_eq!(
            gaps,
            [
                "SFU with 10 people decides nothing: every row was saturated.",
                "MCU with 9 and 10 people decides nothing: every row was saturated.",
                "Hybrid with 9 and 10 people decides nothing: every row was saturated.",
                "A browser\u{2019}s CPU was measured for Mesh, SFU and MCU only with 2, 4 and 6 \
                 people and not for Hybrid.",
                "The picture quality of a tile was measured not for Hybrid.",
            ]
        );
        let few = report(vec![row(Topology::Sfu, 2, 1, 0.1)]).gaps;
        for expected in [
            "SFU was not measured with 3, 4, 5, 6, 7, 8, 9 and 10 people.",
            "The number of uplinks was not measured.",
            "A figure of a single round has no spread, so nothing but counts is concluded from it.",
        ] {
            assert!(few.iter().any(|gap| gap == expected), "{few:?}");
        }
    }

    #[test]
    fn who_sees_the_media_is_said_of_what_was_found() {
        let seen = |topology, seen_by| Row {
            seen_by: Some(seen_by),
            ..Row::new(topology, 2, 1)
        };
        let mesh = seen(Topology::Mesh, SeenBy::Nobody);
        let sfu = seen(Topology::Sfu, SeenBy::ForwardingServer);
        let text = |rows: Vec<Row>| {
            privacy(&report(rows).points).map(|passage| passage.sentences.concat())
        };
        assert_eq!(text(vec![]), None);
        assert_eq!(text(vec![Row::new(Topology::Mesh, 2, 1)]), None);
        assert_eq!(
            text(vec![mesh.clone()]).as_deref(),
            Some("Mesh keeps to that.")
        );
        assert_eq!(
            text(vec![sfu.clone()]).as_deref(),
            Some("None is a choice: the server can see it in SFU.")
        );
        assert_eq!(
            text(vec![mesh, sfu]).as_deref(),
            Some("Only Mesh is a choice, whatever it costs: the server can see the media in SFU.")
        );
    }
}
