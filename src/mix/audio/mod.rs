//! The audio of a room: every 20 ms everybody's voice is pulled, levelled and summed once, and
//! each mix gets the sum without its listener's own voice, limited and encoded.
//!
//! ```text
//! samples ▸ strip (speech? ▸ level ▸ ramp) ▸ sum ▸ bus (minus own ▸ limit ▸ encode) ▸ fan-out
//! ```
//!
//! A tick waits for nobody: a source that has nothing adds nothing. Only [`Loop`] reads the
//! clock; all else is arithmetic on blocks of samples.

mod bus;
mod comfort;
mod level;
mod limit;
mod pace;
#[cfg(test)]
mod probe;
mod ramp;
mod speech;
mod strip;
mod sum;

use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::clock::{self, MediaTime};
use crate::media::{EncodedAudio, Fanned};
use crate::mix::plan::{AudioPlan, MixEvent, MixId, Report};
use crate::stats::Stats;
use bus::Bus;
use pace::{Pace, Step};
use sum::Mixer;

/// The audio thread of one room. Dropping it ends the thread and waits for that.
pub struct Loop {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the room and the thread have in common.
#[derive(Default)]
struct Shared {
    orders: Mutex<Orders>,
    changed: Condvar,
}

#[derive(Default)]
struct Orders {
    /// The newest plan, until the thread takes it.
    plan: Option<AudioPlan>,
    stop: bool,
}

impl Loop {
    /// Starts the thread, which rests until the first plan with a mix. If it panics, `panicked`
    /// is called on it with the message, and the thread ends.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        stats: Arc<Stats>,
        report: Report,
        panicked: impl FnOnce(String) + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new()
            .name("mix-audio".into())
            .spawn({
                let shared = shared.clone();
                move || {
                    let worker = Worker::new(stats, report);
                    // Whatever the panic left half done is dropped with the worker.
                    let run = AssertUnwindSafe(|| worker.run(&shared));
                    if let Err(cause) = catch_unwind(run) {
                        panicked(message(&*cause));
                    }
                }
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Sets what the next ticks do. Never blocks for longer than it takes to put it down.
    pub fn publish(&self, plan: AudioPlan) {
        // The plan it replaces may hold the last reference to a decoder: dropped outside the lock.
        let replaced = self.shared.lock().plan.replace(plan);
        self.shared.changed.notify_one();
        drop(replaced);
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // Its panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Orders> {
        // Nothing that can panic happens under the lock.
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread owns.
struct Worker {
    stats: Arc<Stats>,
    report: Report,
    plan: AudioPlan,
    mixer: Mixer,
    /// One for each mix of the plan.
    buses: HashMap<MixId, Bus>,
    pace: Pace,
}

impl Worker {
    fn new(stats: Arc<Stats>, report: Report) -> Self {
        Self {
            stats,
            report,
            plan: AudioPlan::default(),
            mixer: Mixer::default(),
            buses: HashMap::new(),
            pace: Pace::default(),
        }
    }

    fn run(mut self, shared: &Shared) {
        loop {
            let mut orders = shared.lock();
            if orders.stop {
                return;
            }
            if let Some(plan) = orders.plan.take() {
                drop(orders);
                self.adopt(plan);
                continue;
            }
            if self.plan.mixes.is_empty() {
                self.pace.rest();
                drop(
                    shared
                        .changed
                        .wait(orders)
                        .unwrap_or_else(PoisonError::into_inner),
                );
                continue;
            }
            match self.pace.step(clock::now()) {
                Step::Wait(until) => {
                    let time = until.since(clock::now());
                    drop(
                        shared
                            .changed
                            .wait_timeout(orders, time)
                            .unwrap_or_else(PoisonError::into_inner),
                    );
                }
                Step::Tick { at, skipped } => {
                    drop(orders);
                    self.stats.dropped("audio_ticks", skipped);
                    self.tick(at);
                }
            }
        }
    }

    /// Takes a plan over, with whatever it has in common with the one before.
    fn adopt(&mut self, plan: AudioPlan) {
        self.mixer
            .arrange(plan.sources.iter().map(|s| (s.who, s.muted)));
        self.buses
            .retain(|id, _| plan.mixes.iter().any(|mix| mix.id == *id));
        self.plan = plan;
    }

    fn tick(&mut self, at: MediaTime) {
        let sources = &self.plan.sources;
        self.mixer
            .tick(|index, samples| sources[index].samples.pull(at, samples));
        for mix in &self.plan.mixes {
            let packet = match self.buses.entry(mix.id) {
                Entry::Occupied(entry) => Ok(entry.into_mut()),
                Entry::Vacant(entry) => Bus::start(&self.stats).map(|bus| entry.insert(bus)),
            }
            .and_then(|bus| bus.packet(&self.mixer, mix.without));
            match packet {
                Ok(payload) => {
                    mix.output.send(&Arc::new(EncodedAudio { at, payload }));
                    self.stats
                        .dropped(EncodedAudio::QUEUE, mix.output.take_dropped());
                }
                Err(error) => {
                    // The next tick begins with an encoder anew.
                    tracing::error!(mix = mix.id.0, %error, "a tick of audio is lost");
                    self.stats.pipeline_error("opusenc");
                    self.buses.remove(&mix.id);
                }
            }
        }
        if let Some(levels) = self.mixer.levels() {
            (self.report)(MixEvent::Levels(levels));
        }
    }
}

/// What a panic said.
fn message(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().copied();
    text.or_else(|| cause.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panic without a message")
        .to_owned()
}
