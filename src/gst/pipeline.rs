//! One GStreamer pipeline whose state only climbs, whose error is told once, and whose end
//! costs its owner nothing.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gstreamer::prelude::*;
use gstreamer::{BusSyncReply, MessageView};
use gstreamer_app::{AppSink, AppSrc};

use super::{Error, census};

/// Where a pipeline is in its life. It never goes back: a failed pipeline is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stage {
    /// Parsed.
    Built,
    /// Running.
    Playing,
    /// Reported an error; gives no more output.
    Failed,
}

/// A stage that others may look at.
#[derive(Debug, Clone)]
pub(super) struct Gauge(Arc<AtomicU8>);

impl Gauge {
    /// What it shows now.
    pub fn stage(&self) -> Stage {
        match self.0.load(Ordering::Acquire) {
            stage if stage == Stage::Built as u8 => Stage::Built,
            stage if stage == Stage::Playing as u8 => Stage::Playing,
            _ => Stage::Failed,
        }
    }

    /// Climbs, if it is not there yet; what it showed before.
    fn climb(&self, stage: Stage) -> u8 {
        self.0.fetch_max(stage as u8, Ordering::AcqRel)
    }
}

/// A pipeline made of a text. Dropping it stops it, on a thread of its own.
#[derive(Debug)]
pub struct Pipeline {
    name: &'static str,
    inner: gstreamer::Pipeline,
    stage: Gauge,
    _listed: census::Place,
}

impl Pipeline {
    pub(super) fn new(name: &'static str, inner: gstreamer::Pipeline) -> Self {
        let stage = Gauge(Arc::new(AtomicU8::new(Stage::Built as u8)));
        let listed = census::enter(name, &inner, stage.clone(), Instant::now());
        Self {
            name,
            inner,
            stage,
            _listed: listed,
        }
    }

    /// The text it is made of.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where it is in its life.
    pub fn stage(&self) -> Stage {
        self.stage.stage()
    }

    /// The element the text names so.
    pub fn element(&self, element: &'static str) -> Result<gstreamer::Element, Error> {
        self.inner
            .by_name(element)
            .ok_or_else(|| self.lacks(element, "element"))
    }

    /// The `appsrc` the text names so.
    pub fn app_src(&self, element: &'static str) -> Result<AppSrc, Error> {
        self.element(element)?
            .downcast()
            .map_err(|_| self.lacks(element, "appsrc"))
    }

    /// The `appsink` the text names so.
    pub fn app_sink(&self, element: &'static str) -> Result<AppSink, Error> {
        self.element(element)?
            .downcast()
            .map_err(|_| self.lacks(element, "appsink"))
    }

    /// The always-there sink pad of an element, for those who push into a pipeline themselves.
    pub fn sink_pad(&self, element: &'static str) -> Result<gstreamer::Pad, Error> {
        self.element(element)?
            .static_pad("sink")
            .ok_or_else(|| self.lacks(element, "sink pad"))
    }

    /// GStreamer's own object, for walking it.
    pub fn inner(&self) -> &gstreamer::Pipeline {
        &self.inner
    }

    /// `told` hears of the first ERROR on the bus: at most once, on a thread of the pipeline, so
    /// it must not block. It may drop the pipeline.
    pub fn on_error(&self, told: Box<dyn Fn(String) + Send + Sync>) {
        let Some(bus) = self.inner.bus() else { return };
        let (name, stage) = (self.name, self.stage.clone());
        // A handler in the posting thread needs no thread and no main loop of ours, and leaves no
        // message in the queue.
        bus.set_sync_handler(move |_, message| {
            match message.view() {
                MessageView::Error(error) => {
                    let source = message.src().map(|s| s.name().to_string());
                    let mut text = format!("{}: {}", source.unwrap_or_default(), error.error());
                    let whole = error.debug();
                    // Below the place in the source, some say more than that data stopped.
                    if let Some((_, detail)) = whole.as_ref().and_then(|all| all.split_once('\n')) {
                        text = format!("{text} ({})", detail.trim().replace('\n', " "));
                    }
                    tracing::debug!(pipeline = name, debug = ?whole, "{text}");
                    let before = stage.climb(Stage::Failed);
                    if before < Stage::Failed as u8 {
                        told(text);
                    }
                }
                MessageView::Warning(warning) => {
                    tracing::debug!(pipeline = name, "{}", warning.error());
                }
                _ => {}
            }
            BusSyncReply::Drop
        });
    }

    /// Takes it out of service without a message on the bus, as when a push into it is refused.
    /// Answers whether this was its first failure.
    pub fn fail(&self) -> bool {
        let before = self.stage.climb(Stage::Failed);
        before < Stage::Failed as u8
    }

    /// Starts it. A failed pipeline does not start again.
    pub fn play(&self) -> Result<(), Error> {
        let refuse = |reason: String| Error::Start {
            name: self.name,
            reason,
        };
        if self.stage() == Stage::Failed {
            return Err(refuse("it has failed already".into()));
        }
        self.inner
            .set_state(gstreamer::State::Playing)
            .map_err(|error| refuse(error.to_string()))?;
        self.stage.climb(Stage::Playing);
        Ok(())
    }

    fn lacks(&self, element: &'static str, kind: &'static str) -> Error {
        Error::Element {
            name: self.name,
            element,
            kind,
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // Going to NULL joins the pipeline's threads: a thread for each, so that one that hangs
        // keeps nobody else's from ending, and so that a pipeline may be dropped from inside.
        let stop = {
            let pipeline = self.inner.clone();
            let under_way = Stopping::begin();
            move || {
                let _under_way = under_way;
                if pipeline.set_state(gstreamer::State::Null).is_err() {
                    tracing::warn!("a pipeline does not stop");
                }
                if let Some(bus) = pipeline.bus() {
                    bus.unset_sync_handler();
                }
            }
        };
        let spawned = std::thread::Builder::new()
            .name("gst-stop".into())
            .spawn(stop);
        if let Err(error) = spawned {
            // No thread to be had. Stopping here may deadlock when called from inside, so the
            // pipeline is left; the process is at its limits anyway.
            tracing::error!("no thread to stop pipeline {}: {error}", self.name);
        }
    }
}

/// Pipelines of the process that are on their way to NULL.
static STOPPING: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

/// One of them.
struct Stopping;

impl Stopping {
    fn begin() -> Self {
        *STOPPING.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        *STOPPING.0.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        STOPPING.1.notify_all();
    }
}

/// Waits until every pipeline that was dropped has ended, and answers whether that is so within
/// `patience`. A process that exits while GStreamer's threads work may crash.
pub fn wait_until_stopped(patience: Duration) -> bool {
    let stopping = STOPPING.0.lock().unwrap_or_else(PoisonError::into_inner);
    let (left, _) = STOPPING
        .1
        .wait_timeout_while(stopping, patience, |left| *left > 0)
        .unwrap_or_else(PoisonError::into_inner);
    *left == 0
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn launch(line: &str) -> Pipeline {
        super::super::init().unwrap();
        let inner = gstreamer::parse::launch(line).unwrap();
        Pipeline::new("test", inner.downcast().unwrap())
    }

    #[test]
    fn an_error_is_told_once_and_ends_the_pipeline() {
        let pipeline = launch("fakesrc num-buffers=1 ! identity error-after=1 ! fakesink");
        let (send, told) = mpsc::channel();
        pipeline.on_error(Box::new(move |text| send.send(text).unwrap()));
        pipeline.play().unwrap();
        let text = told.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(!text.is_empty());
        assert_eq!(pipeline.stage(), Stage::Failed);
        assert!(!pipeline.fail(), "it had failed before");
        assert!(matches!(pipeline.play(), Err(Error::Start { .. })));
        // The handler goes with the pipeline; nothing more was told until then.
        drop(pipeline);
        assert!(told.recv_timeout(Duration::from_secs(10)).is_err());
    }

    #[test]
    fn a_drop_does_not_wait_for_the_pipeline() {
        let pipeline = launch("fakesrc ! identity sleep-time=3000000 ! fakesink sync=false");
        let weak = pipeline.inner().downgrade();
        let sink = pipeline.inner().clone();
        pipeline.play().unwrap();
        sink.state(gstreamer::ClockTime::from_seconds(10))
            .0
            .unwrap();
        drop(sink);
        drop(pipeline);
        // Dropped here, but its thread is still asleep inside `identity`.
        assert!(weak.upgrade().is_some());
        assert!(
            wait_until_stopped(Duration::from_secs(10)),
            "it never ended"
        );
        let until = std::time::Instant::now() + Duration::from_secs(10);
        while weak.upgrade().is_some() {
            assert!(std::time::Instant::now() < until, "it never ended");
            std::thread::yield_now();
        }
    }

    #[test]
    fn lookups_name_what_is_missing() {
        let pipeline = launch("fakesrc name=a ! fakesink name=b");
        assert!(pipeline.element("a").is_ok());
        assert!(pipeline.sink_pad("b").is_ok());
        let error = pipeline.app_sink("b").unwrap_err().to_string();
        assert_eq!(error, "pipeline test has no appsink named b");
        assert!(pipeline.sink_pad("a").is_err());
        assert!(pipeline.app_src("c").is_err());
    }
}
