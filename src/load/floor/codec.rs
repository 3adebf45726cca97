//! Codecs taken out of their pipelines, and the CPU time they take.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use gstreamer::prelude::*;
use gstreamer::{
    Buffer, Caps, ClockTime, Element, EventView, FlowSuccess, FormattedSegment, Pad, PadDirection,
    State, event,
};

use crate::gst;
use crate::stats::process_cpu_seconds;

/// Elements of a pipeline on their own: what is pushed in comes out in the same call.
pub struct Codec {
    /// In the order in which data passes.
    pub elements: Vec<Element>,
    entry: Pad,
    exit: Pad,
    out: Arc<Mutex<Out>>,
}

#[derive(Default)]
struct Out {
    caps: Option<Caps>,
    /// The newest.
    buffer: Option<Buffer>,
}

impl Codec {
    /// Takes elements, linked in this order, for input of these caps.
    pub fn start(elements: Vec<Element>, caps: &Caps) -> anyhow::Result<Self> {
        let (first, last) = (elements.first(), elements.last());
        let (first, last) = first.zip(last).context("no elements")?;
        Element::link_many(&elements)?;
        let out = Arc::new(Mutex::new(Out::default()));
        let (buffers, events) = (out.clone(), out.clone());
        let exit = Pad::builder(PadDirection::Sink)
            .chain_function(move |_, _, buffer| {
                lock(&buffers).buffer = Some(buffer);
                Ok(FlowSuccess::Ok)
            })
            .event_function(move |_, _, event| {
                if let EventView::Caps(caps) = event.view() {
                    lock(&events).caps = Some(caps.caps_owned());
                }
                true
            })
            .build();
        exit.set_active(true)?;
        let entry = Pad::builder(PadDirection::Src).build();
        entry.set_active(true)?;
        last.static_pad("src").context("a way out")?.link(&exit)?;
        entry.link(&first.static_pad("sink").context("a way in")?)?;
        for element in elements.iter().rev() {
            element.set_state(State::Playing)?;
        }
        entry.push_event(event::StreamStart::new("floor"));
        entry.push_event(event::Caps::new(caps));
        entry.push_event(event::Segment::new(&FormattedSegment::<ClockTime>::new()));
        Ok(Self {
            elements,
            entry,
            exit,
            out,
        })
    }

    /// Codes a picture; adds what that takes to `spent`. Yields what came out and its caps.
    pub fn push(&self, picture: Buffer, spent: &mut f64) -> anyhow::Result<Option<(Buffer, Caps)>> {
        counted(spent, || self.entry.push(picture)).context("a codec fails")?;
        let mut out = lock(&self.out);
        Ok(out.buffer.take().zip(out.caps.clone()))
    }
}

fn lock(out: &Mutex<Out>) -> MutexGuard<'_, Out> {
    // Both fields are whole at any time.
    out.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Codec {
    fn drop(&mut self) {
        for element in &self.elements {
            // It holds nothing that outlives it.
            let _ = element.set_state(State::Null);
        }
        let _ = self.entry.set_active(false);
        let _ = self.exit.set_active(false);
    }
}

/// Adds what `work` takes to `spent`, CPU seconds of the whole process: whatever threads a codec
/// has are counted with it.
pub fn counted<T>(spent: &mut f64, work: impl FnOnce() -> T) -> T {
    let before = process_cpu_seconds();
    let done = work();
    *spent += process_cpu_seconds() - before;
    done
}

/// The one element of a pipeline whose class (as `gst-inspect` shows it) contains this.
pub fn of_class(pipeline: &gst::Pipeline, class: &str) -> anyhow::Result<Element> {
    let found = pipeline
        .inner()
        .iterate_elements()
        .into_iter()
        .flatten()
        .find(|element| {
            let klass = element.metadata("klass");
            klass.is_some_and(|klass| klass.contains(class))
        });
    found.with_context(|| format!("pipeline {} has no {class}", pipeline.name()))
}
