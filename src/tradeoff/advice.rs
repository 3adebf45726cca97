//! Which topology to use, in sentences. Pure.

use super::figures::Topology;
use super::overall::{Choice, Open, Overall, OverallEnd, TooMuch};
use super::phrases::{capital, list, people, span, stretch};
use super::quantity::Quantity;
use super::verdict::Reach;
use super::words::Passage;

/// Which topology to use, for each kind of client.
pub fn advice(overall: &[Overall]) -> Vec<Passage> {
    let passage = |one: &Overall| Passage {
        title: capital(&format!("for {}", one.yardstick.name)),
        sentences: advise(one),
    };
    overall.iter().map(passage).collect()
}

fn advise(one: &Overall) -> Vec<String> {
    if one
        .at
        .iter()
        .all(|choice| choice.open == Some(Open::TooFew))
    {
        let none = "No conclusion: with no number of people could two topologies be judged.";
        return vec![none.into()];
    }
    let decided = one.at.iter().filter(|choice| choice.decides());
    let last = decided.map(|choice| choice.n).max().unwrap_or_default();
    let is_never = |end: &&OverallEnd| matches!(end.reach, Reach::Never { .. });
    let (never, others): (Vec<_>, Vec<_>) = one.ends.iter().partition(is_never);
    let mut sentences: Vec<_> = others.iter().map(|end| recommend(end, last)).collect();
    if !never.is_empty() {
        let names = list(never.iter().map(|end| end.topology.name()));
        let is = if never.len() == 1 { "is" } else { "are" };
        sentences.push(format!("{names} {is} never the best choice."));
    }
    sentences.extend(opens(&one.at));
    let mut unmeasured: Vec<(Quantity, Vec<u8>)> = Vec::new();
    for choice in one.at.iter().filter(|choice| choice.open.is_none()) {
        for quantity in &choice.unmeasured {
            note(&mut unmeasured, *quantity, choice.n);
        }
    }
    for (quantity, with) in unmeasured {
        let (name, with) = (quantity.about().name, people(&with));
        sentences.push(format!(
            "The limit of {name} is left out {with}, where it was not measured for each."
        ));
    }
    sentences
}

fn recommend(end: &OverallEnd, last: u8) -> String {
    let name = end.topology.name();
    match end.reach {
        Reach::Never { .. } => format!("{name} is never the best choice."),
        Reach::Wavers => {
            format!("{name} is the best choice here and there, from which nothing follows.")
        }
        Reach::Best {
            from,
            to,
            late,
            stops_at,
        } => {
            let stretch = stretch(from, to, late);
            match (stops_at, &end.stopped_by) {
                (Some(n), Some(limit)) => format!(
                    "{name} is the best choice {stretch} and stops being it with {n}: {}.",
                    exceeds(limit, n)
                ),
                (Some(n), None) => format!(
                    "{name} is the best choice {stretch} and stops being it with {n}, where \
                     another costs the server less."
                ),
                (None, _) if to < last => format!(
                    "{name} is the best choice {stretch}; with more it could not be judged."
                ),
                (None, _) => format!("{name} is the best choice {}.", span(from, to)),
            }
        }
    }
}

/// The same is so with `n` people, too.
fn note<T: PartialEq>(noted: &mut Vec<(T, Vec<u8>)>, what: T, n: u8) {
    match noted.iter_mut().find(|(of, _)| *of == what) {
        Some((_, with)) => with.push(n),
        None => noted.push((what, vec![n])),
    }
}

/// Why there is no choice with some numbers of people.
fn opens(at: &[Choice]) -> Vec<String> {
    let mut few = Vec::new();
    let mut none = Vec::new();
    let mut missing: Vec<(Topology, Vec<u8>)> = Vec::new();
    let mut noise: Vec<(TooMuch, Vec<u8>)> = Vec::new();
    let mut sentences = Vec::new();
    for choice in at {
        match &choice.open {
            Some(Open::TooFew) => few.push(choice.n),
            Some(Open::None) => none.push(choice.n),
            Some(Open::Missing { topology }) => note(&mut missing, *topology, choice.n),
            Some(Open::Noise(limit)) => note(&mut noise, *limit, choice.n),
            None => {}
        }
    }
    sentences.extend(noise.iter().map(|(limit, with)| undecided(limit, with)));
    if !none.is_empty() {
        let with = people(&none);
        sentences.push(format!(
            "Such a client bears none of those that could be judged {with}."
        ));
    }
    for (topology, with) in missing {
        let (name, with) = (topology.name(), people(&with));
        sentences.push(format!(
            "No conclusion {with}: {name} was the best choice with fewer, and could not be judged \
             there."
        ));
    }
    if !few.is_empty() {
        let with = people(&few);
        sentences.push(format!(
            "No conclusion {with}, where fewer than two topologies could be judged."
        ));
    }
    sentences
}

fn undecided(limit: &TooMuch, with: &[u8]) -> String {
    let quantity = limit.limit.quantity;
    let there = match with {
        [n] if *n == limit.with => String::new(),
        _ => format!(" of {}", limit.with),
    };
    format!(
        "No conclusion {}: {} lies so near its limit that the noise decides ({} with {}{there}, at \
         most {}).",
        people(with),
        quantity.about().name,
        quantity.amount(limit.measured),
        limit.topology.name(),
        quantity.limit(limit.limit.most),
    )
}

fn exceeds(limit: &TooMuch, n: u8) -> String {
    let quantity = limit.limit.quantity;
    let there = match limit.with == n {
        true => String::new(),
        false => format!(" already with {}", limit.with),
    };
    format!(
        "{} is {}{there}, over the {} that such a client bears",
        quantity.about().name,
        quantity.amount(limit.measured),
        quantity.limit(limit.limit.most)
    )
}

#[cfg(test)]
mod tests {
    use super::undecided;
    use crate::tradeoff::figures::Topology;
    use crate::tradeoff::overall::{Limit, TooMuch};
    use crate::tradeoff::quantity::Quantity;
    use crate::tradeoff::report::Report;
    use crate::tradeoff::sample;

    #[test]
    fn advice_names_the_limit_at_which_a_choice_ends() {
        let report = Report::of(sample::run());
        let [laptop, phone] = &report.advice[..2] else {
            panic!("{:?}", report.advice);
        };
        assert_eq!(laptop.title, "For a laptop on a home line");
        assert_eq!(
            laptop.sentences,
            [
                "Mesh is the best choice from 2 to 9 people.",
                "SFU and MCU are never the best choice.",
                "No conclusion with 10 people, where fewer than two topologies could be judged.",
                "The limit of a browser\u{2019}s CPU is left out with 7, 8 and 9 people, where it was \
                 not measured for each.",
            ]
        );
        assert_eq!(
            phone.sentences,
            [
                "Mesh is the best choice with 2 people and stops being it with 3: what a client \
                 sends is 1,054 kbit/s, over the 1,000 kbit/s that such a client bears.",
                "SFU is the best choice from 3 to 6 people and stops being it with 7: what a client \
                 receives is 3,165 kbit/s, over the 3,000 kbit/s that such a client bears.",
                "MCU is the best choice from 7 to 8 people.",
                "No conclusion with 9 people: MCU was the best choice with fewer, and could not be \
                 judged there.",
                "No conclusion with 10 people, where fewer than two topologies could be judged.",
                "The limit of a browser\u{2019}s CPU is left out with 5, 7 and 8 people, where it was \
                 not measured for each.",
            ]
        );
    }

    #[test]
    fn what_hangs_on_noise_says_where_it_was_seen() {
        let limit = TooMuch {
            topology: Topology::Mesh,
            limit: Limit {
                quantity: Quantity::ClientCoresChromium,
                most: 1.0,
            },
            measured: 0.959,
            with: 6,
        };
        assert_eq!(
            undecided(&limit, &[6]),
            "No conclusion with 6 people: a browser\u{2019}s CPU lies so near its limit that the noise \
             decides (0.959 cores with Mesh, at most 1 core)."
        );
        assert!(
            undecided(&limit, &[6, 7, 8]).starts_with("No conclusion with 6, 7 and 8 people: ")
        );
        assert!(undecided(&limit, &[6, 7, 8]).contains("(0.959 cores with Mesh of 6, at most"));
    }
}
