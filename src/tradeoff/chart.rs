//! One quantity over the number of people, as an SVG picture. Lines differ in colour (Okabe and
//! Ito's, which people with any kind of colour vision tell apart), dashes and markers, so that
//! one printed in black and white reads as well. No script, no style of its own: the page has it.

use std::fmt::Write as _;

use super::figures::Topology;
use super::markup::escape;
use super::points::{Point, Value};
use super::quantity::{Quantity, grouped};
use super::scale::Axis;

/// Of the picture, in its own units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 330.0;
/// Of the part with the lines in it.
const LEFT: f64 = 78.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = HEIGHT - 46.0;
/// Markers and error bars of several topologies stand side by side, not on each other.
const APART: f64 = 10.0;
/// Half of a marker's width.
const RADIUS: f64 = 5.0;
/// Half of the cap of an error bar.
const CAP: f64 = 3.5;

/// Draws it; `None` if it was not measured at all.
pub fn chart(quantity: Quantity, points: &[Point]) -> Option<String> {
    let values = points.iter().filter_map(|p| p.values.get(&quantity));
    let spreads: Vec<_> = values.map(|value| value.spread).collect();
    let least = spreads.iter().map(|spread| spread.min).reduce(f64::min)?;
    let most = spreads.iter().map(|spread| spread.max).reduce(f64::max)?;
    // A likeness is never near 0.
    let axis = Axis::of(least, most, !quantity.about().more_is_better);
    let measured = |point: &&Point| point.values.contains_key(&quantity);
    let people = || points.iter().filter(measured).map(|point| point.n);
    let plot = Plot {
        quantity,
        points,
        axis,
        people: (people().min()?, people().max()?),
    };
    Some(plot.draw())
}

struct Plot<'a> {
    quantity: Quantity,
    points: &'a [Point],
    axis: Axis,
    people: (u8, u8),
}

impl Plot<'_> {
    fn draw(&self) -> String {
        let about = self.quantity.about();
        let key = about.key;
        let (from, to) = self.people;
        let lines: Vec<_> = Topology::ALL
            .into_iter()
            .filter(|topology| !self.line(*topology).is_empty())
            .collect();
        let names: Vec<_> = lines.iter().map(|topology| topology.name()).collect();
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"chart\" role=\"img\" \
             viewBox=\"0 0 {WIDTH} {HEIGHT}\" aria-labelledby=\"{key}-title {key}-desc\">\
             <title id=\"{key}-title\">{}</title>\
             <desc id=\"{key}-desc\">{}</desc>",
            escape(about.title),
            escape(&format!(
                "Lines of {} for {from} to {to} people, from {} to {}. The table below has the \
                 figures.",
                names.join(", "),
                self.quantity.number(self.axis.from.max(0.0)),
                self.quantity.amount(self.axis.to),
            )),
        );
        self.grid(&mut out);
        for (place, topology) in lines.iter().enumerate() {
            let aside = (place as f64 - (lines.len() - 1) as f64 / 2.0) * APART;
            self.series(&mut out, *topology, aside);
        }
        self.legend(&mut out, &lines);
        out + "</svg>"
    }

    /// Axes, ticks and what they say.
    fn grid(&self, out: &mut String) {
        let digits = self.axis.digits();
        for tick in &self.axis.ticks {
            let (y, number) = (self.y(*tick), grouped(&format!("{tick:.digits$}")));
            push(
                out,
                format_args!(
                    "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"tick\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{number}</text>",
                    LEFT - 8.0,
                    y + 4.5,
                ),
            );
        }
        for n in self.people.0..=self.people.1 {
            let x = self.x(n);
            push(
                out,
                format_args!(
                    "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{BOTTOM}\" y2=\"{:.1}\"/>\
                 <text class=\"tick\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{n}</text>",
                    BOTTOM + 5.0,
                    BOTTOM + 19.0,
                ),
            );
        }
        let unit = match self.quantity.about().unit {
            "" => "SSIM",
            unit => unit,
        };
        let unit = match self.axis.from > 0.0 {
            true => format!("{unit} (the axis begins above 0)"),
            false => unit.to_owned(),
        };
        push(
            out,
            format_args!(
                "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\"/>\
             <text class=\"label\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">\
             people in the meeting</text>\
             <text class=\"label\" text-anchor=\"middle\" \
             transform=\"translate(16 {:.1}) rotate(-90)\">{}</text>",
                (LEFT + RIGHT) / 2.0,
                HEIGHT - 7.0,
                (TOP + BOTTOM) / 2.0,
                escape(&unit),
            ),
        );
    }

    fn series(&self, out: &mut String, topology: Topology, aside: f64) {
        let line = self.line(topology);
        push(out, format_args!("<g class=\"series {}\">", topology.key()));
        let path: Vec<_> = line
            .iter()
            .map(|(n, value)| {
                format!(
                    "{:.1},{:.1}",
                    self.x(*n) + aside,
                    self.y(value.spread.median)
                )
            })
            .collect();
        push(
            out,
            format_args!("<polyline class=\"line\" points=\"{}\"/>", path.join(" ")),
        );
        for (n, value) in line {
            let x = self.x(n) + aside;
            let (low, high) = (self.y(value.spread.min), self.y(value.spread.max));
            if low - high > 0.5 {
                push(
                    out,
                    format_args!(
                        "<path class=\"bar\" d=\"M{:.1} {high:.1}H{:.1}M{:.1} {low:.1}H{:.1}\
                     M{x:.1} {high:.1}V{low:.1}\"/>",
                        x - CAP,
                        x + CAP,
                        x - CAP,
                        x + CAP,
                    ),
                );
            }
            let (y, class) = (self.y(value.spread.median), class(value));
            push(
                out,
                format_args!(
                    "<g class=\"{class}\"><title>{}</title>{}</g>",
                    escape(&self.tip(topology, n, value)),
                    marker(topology, x, y),
                ),
            );
        }
        out.push_str("</g>");
    }

    fn legend(&self, out: &mut String, lines: &[Topology]) {
        let mut x = LEFT;
        let y = 18.0;
        for topology in lines {
            push(
                out,
                format_args!(
                    "<g class=\"series {}\"><polyline class=\"line\" points=\"{x},{y} {:.1},{y}\"/>\
                 <g class=\"point\">{}</g></g>\
                 <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    topology.key(),
                    x + 44.0,
                    marker(*topology, x + 22.0, y),
                    x + 52.0,
                    y + 4.5,
                    topology.name(),
                ),
            );
            x += 122.0;
        }
        let hollow = |(_, value): (u8, &Value)| value.saturated;
        let mut all = lines.iter().flat_map(|topology| self.line(*topology));
        if all.any(hollow) {
            push(
                out,
                format_args!(
                    "<g class=\"series plain\"><g class=\"point saturated\">{}</g></g>\
                 <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\">saturated</text>",
                    marker(Topology::Mesh, x + 22.0, y),
                    x + 34.0,
                    y + 4.5,
                ),
            );
        }
    }

    fn line(&self, topology: Topology) -> Vec<(u8, &Value)> {
        let of = self
            .points
            .iter()
            .filter(|point| point.topology == topology);
        of.filter_map(|point| Some((point.n, point.values.get(&self.quantity)?)))
            .collect()
    }

    /// What a pointer that rests on a marker is told.
    fn tip(&self, topology: Topology, n: u8, value: &Value) -> String {
        let Value { spread, saturated } = value;
        let mut tip = format!(
            "{} with {n} people: {}",
            topology.name(),
            self.quantity.amount(spread.median)
        );
        if spread.rounds > 1 {
            let (min, max) = (
                self.quantity.number(spread.min),
                self.quantity.number(spread.max),
            );
            let _ = write!(tip, " ({min} to {max} in {} rounds)", spread.rounds);
        }
        if *saturated {
            tip.push_str(", saturated");
        }
        tip
    }

    fn x(&self, n: u8) -> f64 {
        let (from, to) = self.people;
        // Half a step of room on both sides.
        let part = (f64::from(n - from) + 0.5) / (f64::from(to - from) + 1.0);
        LEFT + part * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - self.axis.part(value) * (BOTTOM - TOP)
    }
}

fn class(value: &Value) -> &'static str {
    match value.saturated {
        true => "point saturated",
        false => "point",
    }
}

/// The shape that stands for a topology.
fn marker(topology: Topology, x: f64, y: f64) -> String {
    let r = RADIUS;
    match topology {
        Topology::Mesh => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r}\"/>"),
        Topology::Sfu => {
            let side = r * 1.8;
            let (left, top) = (x - side / 2.0, y - side / 2.0);
            format!("<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{side}\" height=\"{side}\"/>")
        }
        Topology::Mcu => {
            let (half, up, down) = (r * 1.15, y - r * 1.2, y + r * 0.85);
            format!(
                "<path d=\"M{x:.1} {up:.1}L{:.1} {down:.1}H{:.1}Z\"/>",
                x + half,
                x - half
            )
        }
        Topology::Hybrid => {
            let r = r * 1.25;
            format!(
                "<path d=\"M{x:.1} {:.1}L{:.1} {y:.1}L{x:.1} {:.1}L{:.1} {y:.1}Z\"/>",
                y - r,
                x + r,
                y + r,
                x - r
            )
        }
    }
}

fn push(out: &mut String, what: std::fmt::Arguments<'_>) {
    out.write_fmt(what).expect("a text takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tradeoff::figures::Row;
    use crate::tradeoff::points::points;
    use crate::tradeoff::sample;

    fn drawn(quantity: Quantity, rows: &[Row]) -> Option<String> {
        chart(quantity, &points(rows))
    }

    #[test]
    fn every_topology_has_a_line_and_every_point_a_marker_and_a_bar() {
        let rows = sample::run().rows;
        for quantity in Quantity::ALL {
            let svg = drawn(quantity, &rows).expect("all of it is in the sample");
            let xml = roxmltree::Document::parse(&svg).expect("well-formed XML");
            let all = points(&rows);
            let of: Vec<_> = all
                .iter()
                .filter_map(|point| Some((point.topology, point.values.get(&quantity)?)))
                .collect();
            for topology in Topology::ALL {
                let class = format!("series {}", topology.key());
                let series = xml
                    .descendants()
                    .find(|node| node.attribute("class") == Some(&class));
                let values: Vec<_> = of.iter().filter(|(of, _)| *of == topology).collect();
                assert_eq!(
                    series.is_some(),
                    !values.is_empty(),
                    "{quantity:?} {topology:?}"
                );
                let Some(series) = series else { continue };
                let with = |class: &str| {
                    let nodes = series.descendants();
                    nodes
                        .filter(|n| n.attribute("class") == Some(class))
                        .count()
                };
                let hollow = values.iter().filter(|(_, value)| value.saturated).count();
                assert_eq!(with("point saturated"), hollow, "{quantity:?} {topology:?}");
                assert_eq!(with("point"), values.len() - hollow);
                assert_eq!(with("line"), 1);
            }
            let of = |name| xml.descendants().find(|node| node.has_tag_name(name));
            assert!(of("title").is_some() && of("desc").is_some());
        }
    }

    #[test]
    fn the_spread_is_drawn_where_there_is_one() {
        let row = |round, cores| Row {
            server_cores: Some(cores),
            ..Row::new(Topology::Mcu, 2, round)
        };
        let bars = |rows: &[Row]| {
            let svg = drawn(Quantity::ServerCores, rows).expect("it was measured");
            svg.matches("class=\"bar\"").count()
        };
        assert_eq!(bars(&[row(1, 0.5)]), 0);
        assert_eq!(bars(&[row(1, 0.5), row(2, 0.5)]), 0);
        assert_eq!(bars(&[row(1, 0.5), row(2, 0.7)]), 1);
    }

    #[test]
    fn what_was_not_measured_has_no_picture() {
        let rows = [Row::new(Topology::Mesh, 2, 1)];
        for quantity in Quantity::ALL {
            assert_eq!(drawn(quantity, &rows), None);
            assert_eq!(drawn(quantity, &[]), None);
        }
    }
}
