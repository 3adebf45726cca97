//! What a room does without when the processor is at its limit (pure).
//!
//! It gives way step by step, in the order of [`Step`], soon after the limit is reached, and tries
//! to take a step back when there has been room for long. Each time that was in vain the next try
//! is further off, so a room that is a little too large for its machine does not swing.

use std::time::Duration;

use crate::clock::MediaTime;
use crate::media::Tier;

/// Over the limit for this long is too much: longer than a join or a keyframe's peak.
const OVER: Duration = Duration::from_secs(2);
/// The same once something was given up: what that saves shows only after a while.
const STILL_OVER: Duration = Duration::from_secs(5);
/// With less than this part of the limit in use there may be room for one step back.
const ROOMY: f32 = 0.6;
/// For how long there must be room at first ...
const PATIENCE: Duration = Duration::from_secs(20);
/// ... and at most.
const MOST_PATIENCE: Duration = Duration::from_secs(640);
/// A try that lasted this long was a success.
const SUCCESS: Duration = Duration::from_secs(60);

/// What a room does without; each step includes those before it. Sound is not among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Nothing.
    #[default]
    Nothing,
    /// A mix for each: those who can lay their own picture over their tile get the common one.
    Personal,
    /// Half of the pictures.
    Pictures,
    /// The high tier.
    High,
    /// The medium one, too.
    Medium,
}

impl Step {
    /// From the first on.
    pub const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Personal,
        Self::Pictures,
        Self::High,
        Self::Medium,
    ];

    /// For metrics and the log; none where nothing is missed.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Personal => Some("personal_mixes"),
            Self::Pictures => Some("half_of_the_pictures"),
            Self::High => Some("high_tier"),
            Self::Medium => Some("medium_tier"),
        }
    }

    /// The best tier that is left.
    pub fn tier(self) -> Tier {
        match self {
            Self::Nothing | Self::Personal | Self::Pictures => Tier::High,
            Self::High => Tier::Medium,
            Self::Medium => Tier::Low,
        }
    }

    fn next(self) -> Option<Self> {
        Self::ALL.into_iter().find(|step| *step > self)
    }

    fn back(self) -> Option<Self> {
        Self::ALL.into_iter().rev().find(|step| *step < self)
    }
}

/// What there is room for.
#[derive(Debug, Clone)]
pub struct Budget {
    step: Step,
    /// A step was taken back then.
    tried: Option<MediaTime>,
    /// Where to, since when.
    towards: Option<(Step, MediaTime)>,
    patience: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            step: Step::default(),
            tried: None,
            towards: None,
            patience: PATIENCE,
        }
    }
}

impl Budget {
    /// What the room must do without.
    pub fn step(&self) -> Step {
        self.step
    }

    /// So much is in use, as a part of the limit.
    pub fn load(&mut self, now: MediaTime, used: f32) {
        let wanted = match used {
            1.0.. => self.step.next(),
            ..ROOMY => self.step.back(),
            _ => None,
        };
        let Some(wanted) = wanted else {
            self.towards = None;
            return;
        };
        let since = match self.towards {
            Some((towards, since)) if towards == wanted => since,
            _ => now,
        };
        self.towards = Some((wanted, since));
        let gives_way = wanted > self.step;
        let long_enough = match (gives_way, self.step) {
            (true, Step::Nothing) => OVER,
            (true, _) => STILL_OVER,
            (false, _) => self.patience,
        };
        if now.since(since) < long_enough {
            return;
        }
        self.towards = None;
        self.step = wanted;
        if !gives_way {
            self.tried = Some(now);
        } else if let Some(tried) = self.tried.take() {
            self.patience = match now.since(tried) < SUCCESS {
                true => (self.patience * 2).min(MOST_PATIENCE),
                false => PATIENCE,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When it changed, in seconds, and to what, when `used` is in use at each second and step.
    fn changes(seconds: u64, used: impl Fn(u64, Step) -> f32) -> Vec<(u64, Step)> {
        let mut budget = Budget::default();
        let mut changes = Vec::new();
        for second in 0..seconds {
            let before = budget.step();
            let now = MediaTime(second * 1_000_000_000);
            budget.load(now, used(second, before));
            if budget.step() != before {
                changes.push((second, budget.step()));
            }
        }
        changes
    }

    #[test]
    fn a_peak_is_no_reason_and_a_plateau_is() {
        let peaks = |second, _| if second % 3 == 0 { 2.0 } else { 0.9 };
        assert_eq!(changes(1_000, peaks), []);
        let plateau = |second, step| match (second, step) {
            (10..100, Step::Nothing) => 1.2,
            (10..100, _) => 0.9,
            _ => 0.3,
        };
        let both = [(12, Step::Personal), (120, Step::Nothing)];
        assert_eq!(changes(200, plateau), both);
    }

    #[test]
    fn it_gives_way_in_order_and_takes_back_in_the_opposite_one() {
        let used = |second, _| if second < 60 { 1.5 } else { 0.1 };
        let all = [
            (2, Step::Personal),
            (8, Step::Pictures),
            (14, Step::High),
            (20, Step::Medium),
            (80, Step::High),
            (101, Step::Pictures),
            (122, Step::Personal),
            (143, Step::Nothing),
        ];
        assert_eq!(changes(200, used), all);
    }

    #[test]
    fn a_room_that_is_a_little_too_large_does_not_swing() {
        // All is just too much, a step less is cheap.
        for last in [Step::Personal, Step::Pictures] {
            let used = |_, step| if step >= last { 0.2 } else { 1.1 };
            let changes = changes(3_600, used);
            assert!(changes.len() < 24, "{changes:?}");
            let pauses = changes.windows(2).map(|pair| pair[1].0 - pair[0].0);
            assert!(pauses.max() >= Some(600), "{changes:?}");
        }
    }

    #[test]
    fn in_between_nothing_changes() {
        let tight = |step| step >= Step::Personal;
        let between = |_, step| if tight(step) { 0.7 } else { 0.9 };
        assert_eq!(changes(1_000, between), []);
        let used = |second, step| {
            if second < 5 {
                1.5
            } else if tight(step) {
                0.7
            } else {
                0.9
            }
        };
        assert_eq!(changes(1_000, used), [(2, Step::Personal)]);
    }
}
