//! All that is said of a run: its figures and what follows from them, for programs (JSON, schema:
//! `tests/tradeoff-report.schema.json`) and for the page.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::advice::advice;
use super::figures::{Run, SCHEMA};
use super::overall::{Overall, YARDSTICKS, overall};
use super::points::{Point, points};
use super::verdict::{Verdict, verdicts};
use super::words::{self, Passage};

/// A run and what follows from it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// What was measured.
    pub run: Run,
    /// The conclusion.
    pub advice: Vec<Passage>,
    /// Which topology to use, for each kind of client.
    pub overall: Vec<Overall>,
    /// Which topologies are best at each quantity.
    pub judgements: Vec<Judgement>,
    /// Who can see the media.
    pub seen: Vec<Passage>,
    /// What the run does not say.
    pub gaps: Vec<String>,
    /// The rounds taken together.
    pub points: Vec<Point>,
}

/// What follows from one quantity.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// In figures.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// In words.
    pub text: String,
}

/// Why a report could not be read.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// It is no report.
    #[error("this is no report of quilt tradeoff")]
    NoReport(#[from] serde_json::Error),
    /// It is one of another version.
    #[error("the report has schema {0}, and this program reads schema {SCHEMA}")]
    Schema(u32),
}

impl Report {
    /// Draws the conclusions.
    pub fn of(run: Run) -> Self {
        let points = points(&run.rows);
        let overall = overall(&points, &YARDSTICKS);
        let judge = |verdict: Verdict| Judgement {
            text: words::judgement(&verdict, &points),
            verdict,
        };
        Self {
            schema: SCHEMA,
            advice: advice(&overall)
                .into_iter()
                .chain(words::privacy(&points))
                .collect(),
            judgements: verdicts(&points).into_iter().map(judge).collect(),
            seen: words::seen(&points),
            gaps: words::gaps(&run, &points),
            overall,
            points,
            run,
        }
    }

    /// For programs.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts, numbers and keys that are texts")
    }

    /// Reads the figures of a report, and concludes anew.
    ///
    /// # Errors
    /// When it is none, or one that another version wrote.
    pub fn read(json: &str) -> Result<Self, Unreadable> {
        #[derive(Deserialize)]
        struct Head {
            schema: u32,
        }
        #[derive(Deserialize)]
        struct Stored {
            run: Run,
        }
        let Head { schema } = serde_json::from_str(json)?;
        if schema != SCHEMA {
            return Err(Unreadable::Schema(schema));
        }
        let Stored { run } = serde_json::from_str(json)?;
        Ok(Self::of(run))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tradeoff::figures::Row;
    use crate::tradeoff::sample;

    #[test]
    fn what_was_written_is_read_again() {
        for run in [sample::run(), sample::empty()] {
            let report = Report::of(run);
            let read = Report::read(&report.json()).expect("a report");
            // Not assert_eq: it would print all of both.
            assert!(read == report, "{:?}", read.advice);
        }
    }

    #[test]
    fn what_is_no_figure_is_written_as_absent() {
        let mut run = sample::empty();
        run.rows.push(Row {
            ssim: Some(f64::NAN),
            server_cores: Some(f64::INFINITY),
            ..Row::new(crate::tradeoff::figures::Topology::Sfu, 2, 1)
        });
        let read = Report::read(&Report::of(run).json()).expect("a report");
        assert_eq!(read.run.rows[0].ssim, None);
        assert_eq!(read.run.rows[0].server_cores, None);
    }

    #[test]
    fn other_files_are_refused() {
        let newer = r#"{"schema": 2, "anything": {}}"#;
        assert!(matches!(Report::read(newer), Err(Unreadable::Schema(2))));
        for other in ["", "{}", "[1]", r#"{"schema": 1}"#] {
            assert!(matches!(Report::read(other), Err(Unreadable::NoReport(_))));
        }
    }
}
