//! From values to pixels, and the round numbers beside an axis. Pure.

/// An axis from 0 (or a little below the least value, where 0 is far off) to a little above the
/// most.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// Round numbers on it.
    pub ticks: Vec<f64>,
}

/// So many steps at most.
const STEPS: f64 = 6.0;

impl Axis {
    /// For values from `least` to `most`. `zero`: it begins at 0, so that heights compare.
    pub fn of(least: f64, most: f64, zero: bool) -> Self {
        let least = if zero { 0.0 } else { least };
        let range = most - least;
        // A line without a slope lies in the middle of something.
        let range = if range > 0.0 {
            range
        } else {
            most.abs().max(1.0)
        };
        let step = round_step(range / STEPS);
        let first = (least / step).floor();
        let last = (most / step).ceil().max(first + 1.0);
        let count = (last - first) as usize;
        Self {
            from: first * step,
            to: last * step,
            ticks: (0..=count).map(|at| (first + at as f64) * step).collect(),
        }
    }

    /// How far along the axis a value is, 0 to 1 for those on it.
    pub fn part(&self, value: f64) -> f64 {
        (value - self.from) / (self.to - self.from)
    }

    /// How many digits after the point tell its ticks apart.
    pub fn digits(&self) -> usize {
        let step = self.ticks[1] - self.ticks[0];
        (0..6)
            .find(|digits| {
                let scaled = step * 10_f64.powi(*digits);
                (scaled - scaled.round()).abs() < 1e-6
            })
            .unwrap_or(6) as usize
    }
}

/// The next of 1, 2, 5, 10, … (times a power of ten) that is not below.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power);
    let fits = |step: &f64| *step >= least * (1.0 - 1e-9);
    steps.into_iter().find(fits).unwrap_or(power * 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_numbers_and_not_too_many() {
        for (least, most, zero, from, to, step, digits) in [
            (0.0, 9.0, true, 0.0, 10.0, 2.0, 0),
            (500.0, 4_950.0, true, 0.0, 5_000.0, 1_000.0, 0),
            (0.9, 0.97, false, 0.9, 0.98, 0.02, 2),
            (0.001, 0.004, true, 0.0, 0.004, 0.001, 3),
            (3.0, 3.0, true, 0.0, 3.0, 0.5, 1),
            (0.0, 0.0, true, 0.0, 0.2, 0.2, 1),
            (0.95, 0.95, false, 0.8, 1.0, 0.2, 1),
        ] {
            let axis = Axis::of(least, most, zero);
            let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
            assert!(near(axis.from, from) && near(axis.to, to), "{axis:?}");
            assert!(near(axis.ticks[1] - axis.ticks[0], step), "{axis:?}");
            assert!(axis.ticks.len() <= 8, "{axis:?}");
            assert_eq!(axis.digits(), digits, "{axis:?}");
            assert!(axis.part(least) >= 0.0 && axis.part(most) <= 1.0 + 1e-9);
        }
    }
}
