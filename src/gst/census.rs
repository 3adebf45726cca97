//! The pipelines that live in this process, for whoever watches over it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gstreamer::prelude::*;
use gstreamer::{DebugGraphDetails, glib};

use super::pipeline::{Gauge, Stage};

/// What is told of elements: how they are joined, what flows, and their state. Not their
/// properties: an address that something is sent to may have a secret in it.
const DETAILS: DebugGraphDetails = DebugGraphDetails::MEDIA_TYPE
    .union(DebugGraphDetails::CAPS_DETAILS)
    .union(DebugGraphDetails::STATES);

static LIVING: Mutex<BTreeMap<u64, Entry>> = Mutex::new(BTreeMap::new());
static LAST: AtomicU64 = AtomicU64::new(0);

struct Entry {
    name: &'static str,
    pipeline: glib::WeakRef<gstreamer::Pipeline>,
    stage: Gauge,
    since: Instant,
}

/// A pipeline as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Living {
    /// Its own in this process.
    pub number: u64,
    /// The text it is made of.
    pub name: &'static str,
    /// Where it is in its life.
    pub stage: Stage,
    /// Seconds since it was made.
    pub seconds: u64,
}

/// A pipeline's place in the list, until dropped.
#[derive(Debug)]
pub(super) struct Place(u64);

impl Drop for Place {
    fn drop(&mut self) {
        lock().remove(&self.0);
    }
}

/// A pipeline begins to live.
pub(super) fn enter(
    name: &'static str,
    pipeline: &gstreamer::Pipeline,
    stage: Gauge,
    now: Instant,
) -> Place {
    let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
    let entry = Entry {
        name,
        pipeline: pipeline.downgrade(),
        stage,
        since: now,
    };
    lock().insert(number, entry);
    Place(number)
}

/// Every pipeline that lives, the oldest first.
pub fn living(now: Instant) -> Vec<Living> {
    let living = lock();
    let tell = |(number, entry): (&u64, &Entry)| Living {
        number: *number,
        name: entry.name,
        stage: entry.stage.stage(),
        seconds: now.saturating_duration_since(entry.since).as_secs(),
    };
    living.iter().map(tell).collect()
}

/// How a pipeline is joined together, in Graphviz's language; none if it lives no more. Takes the
/// locks of its elements, so it must not be called where nothing may wait.
pub fn graph(number: u64) -> Option<String> {
    let pipeline = lock().get(&number)?.pipeline.upgrade()?;
    Some(pipeline.debug_to_dot_data(DETAILS).to_string())
}

fn lock() -> MutexGuard<'static, BTreeMap<u64, Entry>> {
    // The list is whole after every statement that changes it.
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::Pipeline;
    use super::*;

    #[test]
    fn a_pipeline_is_listed_as_long_as_it_lives() {
        super::super::init().unwrap();
        let inner = gstreamer::parse::launch("fakesrc name=a ! identity name=b ! fakesink");
        let pipeline = Pipeline::new("census", inner.unwrap().downcast().unwrap());
        // Other tests have theirs beside it.
        let ours = || {
            let mut all = living(Instant::now()).into_iter();
            all.find(|one| one.name == "census")
        };
        let listed = ours().unwrap();
        assert_eq!((listed.stage, listed.seconds), (Stage::Built, 0));
        let graph = graph(listed.number).unwrap();
        assert!(graph.starts_with("digraph") && graph.contains("GstIdentity"));
        pipeline.fail();
        assert_eq!(ours().unwrap().stage, Stage::Failed);
        drop(pipeline);
        assert_eq!(ours(), None);
        assert_eq!(super::graph(listed.number), None);
    }
}
