//! The life of one track's pipeline, whatever it decodes.
//!
//! A pipeline that fails is replaced, not repaired: its error is told and counted, and while
//! packets come a new one is built at most once a second. One that takes input and gives nothing
//! for three seconds is told as a stall and replaced once. All of it happens on the patrol thread
//! that every track shares; pushing packets only ever pushes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use gstreamer::FlowError;
use gstreamer_app::AppSinkCallbacks;

use super::input::{Encoding, Input, Tap};
use super::source::Source;
use super::vitals::{Order, Vitals};
use crate::clock::{self, MediaTime};
use crate::gst::watchdog::{Watched, watch};
use crate::gst::{Error, Library, Pipeline, Value};
use crate::media::{Kind, RtpPacket};
use crate::stats::{Counted, Stats};

/// What befell a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// Packets go in, nothing comes out; the pipeline is being replaced.
    Stalled,
    /// No packets for three seconds.
    Frozen,
    /// Packets again.
    Resumed,
    /// The pipeline ended with an error.
    Failed(String),
}

/// What a track decodes, and what it makes of the result. All of it is called on the network's
/// task, the pipeline's threads and the patrol's: must not block.
pub trait Medium: Tap {
    /// Audio or video, for the gauge.
    fn kind(&self) -> Kind;
    /// The text of the next pipeline.
    fn pipeline(&self) -> &'static str;
    /// What fills the text's placeholders besides `latency`.
    fn values(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }
    /// What the packets carry.
    fn encoding(&self) -> Encoding;
    /// How long the jitter buffer should wait for a hole now, ms.
    fn latency(&self) -> u32;
    /// Looks at a packet before it goes in under `number`; `new`: another source begins with it.
    /// Answers whether it may go in.
    fn admit(&self, packet: &RtpPacket, number: u16, new: bool) -> bool;
    /// Something came out. Answers whether it was worth anything.
    fn output(&self, sample: &gstreamer::Sample, now: MediaTime) -> bool;
    /// A new pipeline is about to run.
    fn restarted(&self, now: MediaTime);
    /// Some four times a second; `flows`: packets came within the last one.
    fn check(&self, now: MediaTime, flows: bool);
    /// Tells the owner.
    fn tell(&self, happening: Happening);
}

/// A medium and its pipeline.
pub struct Track<M> {
    medium: Arc<M>,
    library: Library,
    stats: Arc<Stats>,
    state: Mutex<State>,
    me: Weak<Self>,
    _counted: Counted,
}

struct State {
    running: Option<Running>,
    /// Which pipeline: what an earlier one still says is no news.
    generation: u64,
    vitals: Vitals,
    source: Source,
}

struct Running {
    input: Arc<Input>,
    _pipeline: Pipeline,
}

impl<M: Medium> Track<M> {
    /// Builds the first pipeline and begins the watch.
    pub fn start(medium: M, library: &Library, stats: &Arc<Stats>) -> Result<Arc<Self>, Error> {
        let now = clock::now();
        let counted = Counted::new(stats.decoders(medium.kind()));
        let track = Arc::new_cyclic(|me| Self {
            medium: Arc::new(medium),
            library: library.clone(),
            stats: stats.clone(),
            state: Mutex::new(State {
                running: None,
                generation: 0,
                vitals: Vitals::new(now),
                source: Source::default(),
            }),
            me: me.clone(),
            _counted: counted,
        });
        let running = track.build(0)?;
        track.lock().running = Some(running);
        let watched: Weak<dyn Watched> = Arc::downgrade(&(track.clone() as Arc<dyn Watched>));
        watch(watched);
        Ok(track)
    }

    /// What it decodes.
    pub fn medium(&self) -> &Arc<M> {
        &self.medium
    }

    /// Takes a packet. Never blocks.
    pub fn push(&self, packet: &RtpPacket) {
        let now = packet.arrived;
        let (resumed, number, input) = {
            let mut state = self.lock();
            let resumed = state.vitals.packet(now);
            let number = state.source.admit(packet.ssrc, packet.sequence);
            let input = state.running.as_ref().map(|running| running.input.clone());
            (
                resumed,
                number,
                input.map(|input| (input, state.generation)),
            )
        };
        if resumed {
            self.medium.tell(Happening::Resumed);
        }
        let (Some((number, new)), Some((input, generation))) = (number, input) else {
            return;
        };
        // What is not admitted counts too: a stream of nothing but nonsense is a stall.
        if !packet.payload.is_empty() {
            self.lock().vitals.input(now);
        }
        if !self.medium.admit(packet, number, new) {
            return;
        }
        input.set_latency(self.medium.latency());
        if let Err(error) = input.push(packet, number) {
            let text = match error {
                FlowError::NotNegotiated => "the stream's format or size is not accepted".into(),
                other => other.to_string(),
            };
            self.fail(generation, text);
        }
    }

    /// Ends a pipeline, unless it has been replaced already.
    fn fail(&self, generation: u64, text: String) {
        let ended = {
            let mut state = self.lock();
            if state.generation != generation || state.running.is_none() {
                return;
            }
            state.vitals.broke();
            state.running.take()
        };
        drop(ended);
        self.stats.pipeline_error(self.medium.pipeline());
        tracing::debug!(pipeline = self.medium.pipeline(), "{text}");
        self.medium.tell(Happening::Failed(text));
    }

    fn build(&self, generation: u64) -> Result<Running, Error> {
        let latency = self.medium.latency();
        let mut values = self.medium.values();
        values.push(("latency", Value::Int(latency.into())));
        let pipeline = self.library.build(self.medium.pipeline(), &values)?;
        let me = self.me.clone();
        pipeline.on_error(Box::new(move |text| {
            if let Some(track) = me.upgrade() {
                track.fail(generation, text);
            }
        }));
        let me = self.me.clone();
        let callbacks = AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let sample = sink.pull_sample().map_err(|_| FlowError::Eos)?;
                let track = me.upgrade().ok_or(FlowError::Eos)?;
                if track.medium.output(&sample, clock::now()) {
                    track.lock().vitals.output();
                }
                Ok(gstreamer::FlowSuccess::Ok)
            })
            .build();
        pipeline.app_sink("sink")?.set_callbacks(callbacks);
        pipeline.play()?;
        let tap = Arc::downgrade(&self.medium);
        let input = Input::open(&pipeline, self.medium.encoding(), latency, tap)?;
        Ok(Running {
            input: Arc::new(input),
            _pipeline: pipeline,
        })
    }

    fn rebuild(&self, now: MediaTime) {
        let generation = {
            let mut state = self.lock();
            state.generation += 1;
            state.generation
        };
        self.medium.restarted(now);
        let built = self.build(generation);
        let mut state = self.lock();
        state.vitals.built(now, built.is_ok());
        match built {
            Ok(running) => state.running = Some(running),
            Err(error) => {
                drop(state);
                self.stats.pipeline_error(self.medium.pipeline());
                self.medium.tell(Happening::Failed(error.to_string()));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Medium> Watched for Track<M> {
    fn check(&self, now: MediaTime) {
        loop {
            let order = self.lock().vitals.check(now);
            match order {
                Some(Order::Freeze) => self.medium.tell(Happening::Frozen),
                Some(Order::Stall) => {
                    let ended = self.lock().running.take();
                    drop(ended);
                    self.stats.pipeline_error(self.medium.pipeline());
                    self.medium.tell(Happening::Stalled);
                }
                Some(Order::Build) => self.rebuild(now),
                None => break,
            }
        }
        let flows = self.lock().vitals.flows(now);
        self.medium.check(now, flows);
    }
}
