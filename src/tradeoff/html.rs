//! The report as one page that needs nothing else: no script, no font, no address. It is XML, too.

use std::collections::BTreeSet;

use super::chart::chart;
use super::figures::{Named, Picture, Run, Topology};
use super::markup::{cell, column, corner, escape, head_of_people, policy, row, table};
use super::overall::{Choice, Open, Overall};
use super::phrases::capital;
use super::points::{BUSY, Because, FULL, Point};
use super::quantity::grouped;
use super::report::{Judgement, Report};
use super::verdict::{At, ROUNDS};
use super::words::Passage;

const STYLE: &str = include_str!("page.css");

/// The content security policy of the page, also in it; for who serves it.
pub fn content_security_policy() -> String {
    policy(STYLE)
}

/// Draws the page.
pub fn html(report: &Report) -> String {
    let parts = [
        head(&report.run),
        conclusion(report),
        best(report),
        gaps(report),
        figures(report),
        seen(report),
        how(&report.run),
    ];
    format!(
        "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\"><head>\
         <meta charset=\"utf-8\"/>\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{}\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <meta name=\"referrer\" content=\"no-referrer\"/>\
         <title>{}</title><style>{STYLE}</style></head><body><main>\n{}\n</main></body></html>\n",
        escape(&content_security_policy()),
        escape(&format!("Mesh, SFU or MCU? {}", report.run.date)),
        parts.join("\n"),
    )
}

fn head(run: &Run) -> String {
    let short = match run.settings.quick {
        true => " <span class=\"badge\">short version</span>",
        false => "",
    };
    let sections = [
        ("best", "Who is best at what"),
        ("gaps", "What this run does not say"),
        ("figures", "The figures"),
        ("seen", "Who can see the media"),
        ("how", "How it was measured"),
    ];
    let links = sections.map(|(id, name)| format!("<li><a href=\"#{id}\">{name}</a></li>"));
    format!(
        "<header><h1>Mesh, SFU or MCU?</h1>\
         <p class=\"soft\">What a meeting costs in each topology: every figure was measured in one \
         run on one machine ({}, {} cores) with Quilt {}, {}.{short}</p>\
         <nav aria-label=\"Sections\"><ul>{}</ul></nav></header>",
        escape(&run.machine.cpu),
        run.machine.cores,
        escape(&run.version),
        escape(&run.date),
        links.concat(),
    )
}

fn conclusion(report: &Report) -> String {
    let advice = report.advice.iter().map(|Passage { title, sentences }| {
        let items = sentences
            .iter()
            .map(|one| format!("<li>{}</li>", escape(one)));
        format!(
            "<div class=\"advice\"><h3>{}</h3><ul>{}</ul></div>",
            escape(title),
            items.collect::<String>()
        )
    });
    let people: BTreeSet<u8> = report.points.iter().map(|point| point.n).collect();
    let mut out = format!(
        "<section id=\"conclusion\"><h2>Conclusion</h2>{}\
         <p class=\"soft\">The best choice is the topology that costs the server the least CPU \
         among those that the clients bear. What they bear is assumed; all else is measured.</p>",
        advice.collect::<String>(),
    );
    if !people.is_empty() {
        let row = |one: &Overall| {
            let cells = one.at.iter().map(choice).collect::<String>();
            row(&capital(one.yardstick.name), &cells)
        };
        let rows: String = report.overall.iter().map(row).collect();
        let caption = "The best choice by number of people. none: clients bear none of those \
                       judged; ?: no conclusion.";
        out += &table(caption, &head_of_people(&people), &rows, "people");
    }
    let limits = report.overall.iter().map(|one| {
        let limits = one.yardstick.limits.iter();
        let cells = limits.map(|limit| cell("", &limit.quantity.limit(limit.most)));
        row(&capital(one.yardstick.name), &cells.collect::<String>())
    });
    let names = report.overall.first().map_or(String::new(), |one| {
        let limits = one.yardstick.limits.iter();
        limits
            .map(|limit| column(limit.quantity.about().title))
            .collect()
    });
    let caption = "What each kind of client is assumed to bear at most.";
    let head = corner() + &names;
    out + &table(caption, &head, &limits.collect::<String>(), "") + "</section>"
}

fn choice(choice: &Choice) -> String {
    match &choice.open {
        None => cell("best", &names(&choice.best)),
        Some(Open::None) => cell("absent", "none"),
        Some(_) => cell("absent", "?"),
    }
}

fn best(report: &Report) -> String {
    let compared = report.judgements.iter().flat_map(|one| &one.verdict.at);
    let people: BTreeSet<u8> = compared.map(|at| at.n).collect();
    let body = match people.is_empty() {
        true => "<p>Nothing could be compared.</p>".to_owned(),
        false => {
            let line = |one: &Judgement| {
                let at = |n: &u8| one.verdict.at.iter().find(|at| at.n == *n);
                let cells = people
                    .iter()
                    .map(|n| at(n).map_or(cell("absent", "–"), winners));
                row(
                    one.verdict.quantity.about().title,
                    &cells.collect::<String>(),
                )
            };
            let rows: String = report.judgements.iter().map(line).collect();
            let caption = "The best by number of people; all of them where they cannot be told \
                           apart, and =: nobody is worse. –: not compared.";
            table(caption, &head_of_people(&people), &rows, "people")
        }
    };
    format!("<section id=\"best\"><h2>Who is best at what</h2>{body}</section>")
}

fn winners(at: &At) -> String {
    match (at.best.is_empty(), at.worse.is_empty()) {
        (true, _) => cell("absent", "–"),
        (false, true) if at.unrivalled.is_empty() => cell("", "="),
        _ => cell("", &names(&at.best)),
    }
}

fn names(of: &[Topology]) -> String {
    // A line each: columns are narrow.
    let all: Vec<_> = of.iter().map(|topology| topology.name()).collect();
    all.join("<br/>")
}

fn gaps(report: &Report) -> String {
    let items = report.gaps.iter();
    let items: String = items
        .map(|gap| format!("<li>{}</li>", escape(gap)))
        .collect();
    let list = match items.is_empty() {
        true => "<p>All that was asked for was measured.</p>".to_owned(),
        false => format!("<ul>{items}</ul>"),
    };
    let saturated = report.points.iter().filter(|p| !p.saturated.is_empty());
    let rows: String = saturated.map(saturated_row).collect();
    let table = match rows.is_empty() {
        true => String::new(),
        false => {
            let columns = ["People", "Rows", "Saturated", "Why"].map(column).concat();
            table(
                &format!(
                    "Saturated rows. They decide nothing: the machine was over {:.0} % busy, \
                     somebody got less than {:.0} % of the pictures, the meeting came to nothing, or \
                     it is not known.",
                    BUSY * 100.0,
                    FULL * 100.0
                ),
                &(corner() + &columns),
                &rows,
                "texts",
            )
        }
    };
    format!("<section id=\"gaps\"><h2>What this run does not say</h2>{list}{table}</section>")
}

fn saturated_row(point: &Point) -> String {
    let mut why: Vec<String> = Vec::new();
    let (mut busiest, mut fewest, mut unknown) = (None, None, false);
    for saturated in &point.saturated {
        match &saturated.because {
            Because::Failed { why: text } => why.push(format!("round {}: {text}", saturated.round)),
            Because::Busy { share } => busiest = Some(share.max(busiest.unwrap_or(0.0))),
            Because::Frames { got, wanted } => {
                let (least, _) = fewest.unwrap_or((f64::INFINITY, 0.0));
                fewest = Some((got.min(least), *wanted));
            }
            Because::Unknown => unknown = true,
        }
    }
    if let Some(share) = busiest {
        why.push(format!("machine up to {:.0} % busy", share * 100.0));
    }
    if let Some((got, wanted)) = fewest {
        why.push(format!("{got:.1} pictures a second of {wanted:.0}"));
    }
    if unknown {
        why.push("it was not measured how busy the machine was, or whether frames came".into());
    }
    let cells = [
        point.n.to_string(),
        point.rows.to_string(),
        point.saturated.len().to_string(),
        escape(&why.join("; ")),
    ];
    let cells = cells.map(|text| cell("", &text)).concat();
    row(point.topology.name(), &cells)
}

fn figures(report: &Report) -> String {
    let figure = |one: &Judgement| figure(one, &report.points);
    let all: String = report.judgements.iter().map(figure).collect();
    format!("<section id=\"figures\"><h2>The figures</h2>{all}</section>")
}

fn figure(judgement: &Judgement, points: &[Point]) -> String {
    let quantity = judgement.verdict.quantity;
    let about = quantity.about();
    let head = format!(
        "<figure id=\"{}\"><h3>{}</h3><p class=\"soft\">{}</p><p>{}</p>",
        about.key,
        escape(about.title),
        escape(about.how),
        escape(&judgement.text),
    );
    let Some(chart) = chart(quantity, points) else {
        return head + "</figure>";
    };
    let shown = points
        .iter()
        .filter(|point| point.values.contains_key(&quantity));
    let people: BTreeSet<u8> = shown.map(|point| point.n).collect();
    let mut saturated = false;
    let mut absent = false;
    let mut rows = String::new();
    for topology in Topology::ALL {
        let find = |n: u8| points.iter().find(|p| (p.topology, p.n) == (topology, n));
        if points.iter().all(|point| point.topology != topology) {
            continue;
        }
        let mut cells = String::new();
        for n in &people {
            let Some(value) = find(*n).and_then(|point| point.values.get(&quantity)) else {
                absent = true;
                cells += &cell("absent", "–");
                continue;
            };
            let spread = value.spread;
            let (median, min, max) = (
                quantity.number(spread.median),
                quantity.number(spread.min),
                quantity.number(spread.max),
            );
            let range = match min == max {
                true => String::new(),
                false => format!("<small>{min} –<br/>{max}</small>"),
            };
            let at = judgement.verdict.at.iter().find(|at| at.n == *n);
            let is_best = at.is_some_and(|at| at.best.contains(&topology) && !at.worse.is_empty());
            cells += &match (value.saturated, is_best) {
                (true, _) => {
                    saturated = true;
                    cell("saturated", &format!("({median}){range}"))
                }
                (false, true) => cell("best", &format!("{median}{range}")),
                (false, false) => cell("", &format!("{median}{range}")),
            };
        }
        rows += &row(topology.name(), &cells);
    }
    let mut caption = about.title.to_owned();
    if !about.unit.is_empty() {
        caption += &format!(", {}", about.unit);
    }
    caption += ": median of the rounds by number of people, beneath it the least and the most. \
                Bold: the best.";
    if saturated {
        caption += " In brackets: saturated, decides nothing.";
    }
    if absent {
        caption += " –: not measured.";
    }
    head + &chart + &table(&caption, &head_of_people(&people), &rows, "people") + "</figure>"
}

fn seen(report: &Report) -> String {
    let body = match report.seen.is_empty() {
        true => "<p>Not found out.</p>".to_owned(),
        false => {
            let line =
                |one: &Passage| row(&one.title, &cell("", &escape(&one.sentences.join(" "))));
            let rows: String = report.seen.iter().map(line).collect();
            let head = corner() + &column("Who can see and hear it");
            table("Who can see and hear the media.", &head, &rows, "texts")
        }
    };
    format!("<section id=\"seen\"><h2>Who can see the media</h2>{body}</section>")
}

fn how(run: &Run) -> String {
    let (settings, machine) = (&run.settings, &run.machine);
    let gigabytes = machine.memory as f64 / f64::from(1 << 30);
    let pairs = |pairs: &[(&str, String)], more: &[Named]| {
        let more = more
            .iter()
            .map(|Named { name, value }| (name.as_str(), value.clone()));
        let all = pairs.iter().cloned().chain(more);
        all.map(|(name, value)| row(name, &cell("", &escape(&value))))
            .collect::<String>()
    };
    let machine = pairs(
        &[
            ("Processor", machine.cpu.clone()),
            ("Cores", machine.cores.to_string()),
            ("Memory", format!("{gigabytes:.1} GiB")),
            ("Kernel", machine.kernel.clone()),
            ("Quilt", run.version.clone()),
        ],
        &run.software,
    );
    let people: Vec<_> = settings.people.iter().map(u8::to_string).collect();
    let topologies: Vec<_> = settings.topologies.iter().map(|t| t.name()).collect();
    let settings = pairs(
        &[
            ("Date", run.date.clone()),
            (
                "Version",
                if settings.quick { "short" } else { "full" }.into(),
            ),
            ("Topologies", topologies.join(", ")),
            ("People", people.join(", ")),
            ("Rounds", settings.rounds.to_string()),
            ("Counted in each row", format!("{} s", settings.seconds)),
            ("Each client sends", looks(&settings.sent)),
            ("The mix an MCU client gets", looks(&settings.mix)),
        ],
        &settings.more,
    );
    let head = corner() + &column("Value");
    format!(
        "<section id=\"how\"><h2>How it was measured</h2>\
         <p>The server and all clients ran on this machine, so there is no network in these \
         figures, and a busy machine shows in all of them. That is why saturated rows decide \
         nothing.</p>\
         <p>No conclusion is drawn inside the noise. Two figures differ if their spreads, the least \
         and the most of the rounds, do not overlap even when each is widened on both sides by its \
         width divided by the rounds less one, and if the difference is worth a word: 5 %, and at \
         least 0.01 cores (0.002 of a bulk client), 10 kbit/s, 5 ms or 0.005 of SSIM (of which 5 % would be too much). With \
         fewer than {ROUNDS} rounds nothing but counts is compared. Who is best only because a \
         better one is missing is not called best.</p>\
         <p>Where a limit was not measured, it counts as kept if it was kept with more people, and \
         as broken if it was broken with fewer. A hybrid is no choice of its own: its clients are \
         of two kinds, and its figures are their mean.</p>{}{}</section>",
        table("Machine and versions.", &head, &machine, "texts"),
        table("Settings of the run.", &head, &settings, "texts"),
    )
}

fn looks(picture: &Picture) -> String {
    let Picture {
        width,
        height,
        fps,
        kbps,
    } = picture;
    let kbps = grouped(&kbps.to_string());
    format!("{width}x{height}, {fps} pictures a second, {kbps} kbit/s")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tradeoff::figures::Row;
    use crate::tradeoff::quantity::Quantity;
    use crate::tradeoff::sample;
    use proptest::prelude::*;
    use roxmltree::{Document, Node, ParsingOptions};

    /// The page as XML, which a text that was not escaped would not be.
    fn parse(page: &str) -> Document<'_> {
        let options = ParsingOptions {
            allow_dtd: true,
            ..ParsingOptions::default()
        };
        Document::parse_with_options(page, options).expect("well-formed")
    }

    fn all<'a>(page: &'a Document, name: &'a str) -> impl Iterator<Item = Node<'a, 'a>> {
        let nodes = page.root_element().descendants();
        nodes.filter(move |node| node.tag_name().name() == name)
    }

    fn text(node: Node<'_, '_>) -> String {
        let texts = node.descendants().filter(|node| node.is_text());
        texts.filter_map(|node| node.text()).collect()
    }

    /// A full run, one without a row, and one of a single row in which nothing was measured.
    fn pages() -> Vec<String> {
        let empty = sample::empty();
        let absent = Run {
            rows: vec![Row::new(Topology::Mesh, 2, 1)],
            ..sample::empty()
        };
        let runs = [sample::run(), empty, absent].into_iter();
        runs.map(|run| html(&Report::of(run))).collect()
    }

    #[test]
    fn every_page_holds_together() {
        for page in pages() {
            let page = parse(&page);
            let ids: Vec<_> = page
                .descendants()
                .filter_map(|n| n.attribute("id"))
                .collect();
            let unique: BTreeSet<_> = ids.iter().collect();
            assert_eq!(unique.len(), ids.len(), "{ids:?}");
            for link in all(&page, "a") {
                let target = link
                    .attribute("href")
                    .and_then(|href| href.strip_prefix('#'));
                assert!(
                    ids.contains(&target.expect("a place in the page")),
                    "{link:?}"
                );
            }
            for labelled in page
                .descendants()
                .filter_map(|n| n.attribute("aria-labelledby"))
            {
                assert!(
                    labelled.split(' ').all(|id| ids.contains(&id)),
                    "{labelled}"
                );
            }
            for table in all(&page, "table") {
                let first = table.first_element_child().expect("a caption");
                assert_eq!(first.tag_name().name(), "caption");
                assert!(!text(first).is_empty());
                let rows = table.descendants().filter(|n| n.tag_name().name() == "tr");
                let widths = rows.map(|row| row.children().filter(Node::is_element).count());
                assert_eq!(widths.collect::<BTreeSet<_>>().len(), 1, "{}", text(first));
            }
        }
    }

    #[test]
    fn every_chart_has_its_table_and_what_was_not_measured_has_neither() {
        let pages = pages();
        let count = Quantity::ALL.len();
        for (page, shown) in pages.iter().zip([count, 0, 0]) {
            let page = parse(page);
            assert_eq!(all(&page, "figure").count(), count);
            let mut charts = 0;
            for figure in all(&page, "figure") {
                let of = |name| {
                    figure
                        .descendants()
                        .filter(move |n| n.tag_name().name() == name)
                };
                charts += of("svg").count();
                assert_eq!(of("svg").count(), of("table").count());
                assert!(of("svg").count() == 1 || text(figure).contains("Not measured."));
            }
            assert_eq!(charts, shown);
        }
    }

    #[test]
    fn texts_are_shown_as_they_are() {
        let source = &pages()[0];
        let page = parse(source);
        let shown = text(page.root_element());
        for part in [
            "Imaginary <E5> @ 2.00GHz & \"friends\"",
            "1 of 10 clients did not join: <timeout> & \"nothing\" came",
            "0.1.0 (synthetic: nobody measured these figures)",
            "2026-11-27T03:00:00Z",
            "Chromium",
            "640x360, 20 pictures a second, 500 kbit/s",
            "7.7 GiB",
        ] {
            assert!(shown.contains(part), "{part}");
        }
    }

    #[test]
    fn the_conclusion_comes_first() {
        let page = &pages()[0];
        let at = |what: &str| page.find(what).unwrap_or_else(|| panic!("{what}"));
        let conclusion = at("<section id=\"conclusion\">");
        let figures = at("<section id=\"figures\">");
        assert!(conclusion < at("class=\"advice\"") && at("class=\"advice\"") < figures);
    }

    #[test]
    fn figures_of_the_run_are_in_the_cells_and_absent_ones_are_no_zeros() {
        let source = &pages()[0];
        let page = parse(source);
        let figure = |id| all(&page, "figure").find(|f| f.attribute("id") == Some(id));
        let row = |id, name: &str| -> Vec<String> {
            let figure = figure(id).expect("a figure of each quantity");
            let mut rows = figure.descendants().filter(|n| n.tag_name().name() == "tr");
            let row = rows.find(|row| row.first_element_child().map(text).as_deref() == Some(name));
            let cells = row.expect("a row of each topology").children().skip(1);
            cells.map(text).collect()
        };
        let uplinks = row("uplinks", "Mesh");
        assert_eq!(uplinks, ["1", "2", "3", "4", "5", "6", "7", "8", "9"]);
        let mcu = row("uplinks", "MCU");
        assert_eq!(mcu[6..], ["1", "(1)", "(1)"]);
        assert_eq!(row("client_cores_chromium", "Hybrid"), ["–", "–", "–"]);
    }

    #[test]
    fn it_runs_nothing_and_fetches_nothing() {
        for source in pages() {
            let page = parse(&source);
            for name in ["script", "link", "img", "iframe", "form", "object"] {
                assert_eq!(all(&page, name).count(), 0, "{name}");
            }
            for node in page.descendants() {
                let mut names = node.attributes().map(|attribute| attribute.name());
                // The policy has no place for styles in attributes, nor for handlers.
                assert!(names.all(|name| name != "style" && !name.starts_with("on")));
            }
            assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
            // What the policy's hash is of is what is between the tags.
            let style = all(&page, "style").next().map(text);
            assert_eq!(style.as_deref(), Some(STYLE));
            let policy = all(&page, "meta").find_map(|meta| {
                let equivalent = meta.attribute("http-equiv");
                equivalent.and_then(|_| meta.attribute("content"))
            });
            assert_eq!(policy, Some(content_security_policy().as_str()));
        }
    }

    fn any_row() -> impl Strategy<Value = Row> {
        let topology = prop::sample::select(Topology::ALL.to_vec());
        let value = || prop::option::weighted(0.7, prop_oneof![Just(0.0), 0.0..2.0, 0.0..1e9]);
        let values = prop::collection::vec(value(), Quantity::ALL.len());
        let frames = (prop::option::of(0.0..1.1), prop::option::of(15.0..20.0));
        let failed = prop::option::weighted(0.1, ".{0,12}");
        (topology, 0..=20_u8, 1..4_u32, values, frames, failed).prop_map(
            |(topology, n, round, values, (busy, fps_got), failed)| {
                let mut json = serde_json::to_value(Row {
                    busy,
                    fps_got,
                    fps_wanted: Some(20.0),
                    failed,
                    ..Row::new(topology, n, round)
                })
                .expect("a row");
                for (quantity, value) in Quantity::ALL.iter().zip(values) {
                    json[quantity.about().key] = value.into();
                }
                serde_json::from_value(json).expect("a row")
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn whatever_was_measured_makes_a_page(rows in prop::collection::vec(any_row(), 0..60)) {
            let run = Run {
                rows,
                ..sample::empty()
            };
            let source = html(&Report::of(run));
            let page = parse(&source);
            prop_assert_eq!(all(&page, "figure").count(), Quantity::ALL.len());
            prop_assert!(!source.contains("NaN") && !source.contains("inf\""));
        }
    }
}
