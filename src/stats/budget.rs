//! Figures of the processor's budget: how much there is, how much of it is used, and what rooms
//! give way for it.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// `step="…"`: what a room does without.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabel {
    step: &'static str,
}

/// A gauge of something that is not counted in pieces.
pub type Measured = Gauge<f64, AtomicU64>;

/// The budget's metrics.
#[derive(Debug)]
pub struct Budget {
    /// Cores that Quilt may use.
    pub cores: Measured,
    /// Cores that it uses, smoothed over a few seconds.
    pub used: Measured,
    /// The same as a part of the budget, late ticks included: from 1 on, rooms give way.
    pub load: Measured,
    /// Cores that the rooms need, by what is known to cost.
    pub committed: Measured,
    /// Joins and rooms for which there was no room.
    pub refused: Counter,
    giving_way: Family<StepLabel, Gauge>,
}

impl Budget {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let budget = Self {
            cores: Measured::default(),
            used: Measured::default(),
            load: Measured::default(),
            committed: Measured::default(),
            refused: Counter::default(),
            giving_way: Family::default(),
        };
        registry.register(
            "quilt_cpu_budget_cores",
            "Cores that Quilt may use",
            budget.cores.clone(),
        );
        registry.register(
            "quilt_cpu_used_cores",
            "Cores that Quilt uses, smoothed over a few seconds",
            budget.used.clone(),
        );
        registry.register(
            "quilt_load",
            "Load as a part of the budget, late ticks included; from 1 on rooms give way",
            budget.load.clone(),
        );
        registry.register(
            "quilt_cpu_committed_cores",
            "Cores that the rooms need, by what is known to cost, once they have given way",
            budget.committed.clone(),
        );
        registry.register(
            "quilt_refused",
            "Joins and rooms for which the budget had no room",
            budget.refused.clone(),
        );
        registry.register(
            "quilt_rooms_giving_way",
            "Rooms that do without something because of the load",
            budget.giving_way.clone(),
        );
        budget
    }

    /// The gauge of rooms that do without this.
    pub fn giving_way(&self, step: &'static str) -> Gauge {
        self.giving_way.get_or_create(&StepLabel { step }).clone()
    }
}
