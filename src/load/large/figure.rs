//! One figure of a large meeting, and whether it is what must be reached. Pure.

use std::fmt;

use serde::Serialize;

/// Something that was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// `large-common` and so on.
    pub row: &'static str,
    /// What it is.
    pub what: &'static str,
    /// As measured.
    pub value: f64,
    /// At least so much ...
    pub least: Option<f64>,
    /// ... and at most so much.
    pub most: Option<f64>,
    /// Whether it is.
    pub pass: bool,
}

impl Figure {
    /// Must not be more.
    pub fn at_most(row: &'static str, what: &'static str, value: f64, most: f64) -> Self {
        Self {
            row,
            what,
            value,
            least: None,
            most: Some(most),
            pass: value <= most,
        }
    }

    /// Must not be less.
    pub fn at_least(row: &'static str, what: &'static str, value: f64, least: f64) -> Self {
        Self {
            row,
            what,
            value,
            least: Some(least),
            most: None,
            pass: value >= least,
        }
    }

    /// Shown beside the others.
    pub fn shown(row: &'static str, what: &'static str, value: f64) -> Self {
        Self {
            row,
            what,
            value,
            least: None,
            most: None,
            pass: true,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            row, what, value, ..
        } = self;
        let (pass, limit) = match (self.least, self.most) {
            (None, None) => ("    ", String::new()),
            (least, most) => {
                let least = least.map(|least| format!("at least {least}"));
                let most = most.map(|most| format!("at most {most}"));
                let limit = least.or(most).unwrap_or_default();
                (
                    if self.pass { "pass" } else { "FAIL" },
                    format!("  ({limit})"),
                )
            }
        };
        write!(f, "{pass}  {row:<20} {what:<52} {value:>9.4}{limit}")
    }
}

/// The middle one.
pub fn median(values: Vec<f64>) -> f64 {
    quantile(values, 0.5)
}

/// The value that so many of all (0 to 1) are not above; infinite if there are none.
pub fn quantile(mut values: Vec<f64>, quantile: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    let at = (values.len() as f64 * quantile).ceil() as usize;
    values
        .get(at.saturating_sub(1).min(last))
        .copied()
        .unwrap_or(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_reached_or_not() {
        assert!(Figure::at_most("large-x", "cores", 0.9, 0.9).pass);
        assert!(!Figure::at_most("large-x", "cores", 0.91, 0.9).pass);
        assert!(!Figure::at_least("large-x", "pictures", 18.9, 19.0).pass);
        let text = Figure::at_least("large-x", "pictures", 18.9, 19.0).to_string();
        assert!(
            text.starts_with("FAIL") && text.ends_with("(at least 19)"),
            "{text}"
        );
        assert!(
            Figure::shown("large-x", "bits", 1.0)
                .to_string()
                .starts_with("     ")
        );
    }

    #[test]
    fn quantiles() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(values.clone(), 0.95), 95.0);
        assert_eq!(quantile(values, 1.0), 100.0);
        assert_eq!(quantile(vec![3.0], 0.95), 3.0);
        assert_eq!(quantile(vec![], 0.95), f64::INFINITY);
    }
}
