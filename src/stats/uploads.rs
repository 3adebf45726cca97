//! Figures of the copies of recordings in a store.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// `result="…"`: how an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// The uploads' metrics.
#[derive(Debug, Clone)]
pub struct Uploads {
    /// Recordings that are over and whose copy is not made yet, without those given up.
    pub pending: Gauge,
    /// Copies made.
    pub done: Counter,
    /// Attempts that failed and will be made again.
    pub retried: Counter,
    /// Copies given up.
    pub failed: Counter,
}

impl Uploads {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let results = Family::<ResultLabel, Counter>::default();
        let result = |result| results.get_or_create(&ResultLabel { result }).clone();
        let uploads = Self {
            pending: Gauge::default(),
            done: result("done"),
            retried: result("retried"),
            failed: result("failed"),
        };
        registry.register(
            "quilt_recording_uploads_pending",
            "Recordings that are over and not yet copied to the store",
            uploads.pending.clone(),
        );
        registry.register(
            "quilt_recording_uploads",
            "Attempts to copy a recording to the store, by their result",
            results,
        );
        uploads
    }
}
