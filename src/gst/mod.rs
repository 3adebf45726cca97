//! GStreamer behind one door: pipelines as text, their life, and the watch over them.
//!
//! - [`template`]: a text with placeholders becomes a launch line (pure).
//! - [`library`]: the texts of `pipelines/*.gst`, embedded or from a folder.
//! - [`pipeline`]: one running pipeline. Its state only climbs, its error is reported once and
//!   ends that pipeline alone, and dropping it never blocks.
//! - [`census`]: those that live, for whoever watches over the process.
//! - [`choice`], [`trial`]: which of several elements does a job, found by trying them.
//! - [`watchdog`]: notices "takes input, gives no output" (pure), and the one thread that asks.
//!
//! Nothing here knows what a pipeline is for. The grammar of the texts is in
//! `pipelines/README.md`; `tests/pipelines.rs` holds every file to it.

pub mod census;
pub mod choice;
pub mod library;
pub mod pipeline;
pub mod template;
pub mod trial;
pub mod watchdog;

use std::sync::OnceLock;

pub use gstreamer::Buffer;
pub use library::Library;
pub use pipeline::{Pipeline, wait_until_stopped};
pub use template::{Hardware, Spec, Value};

/// What can go wrong between a pipeline's text and its running.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// GStreamer itself does not start.
    #[error("starting GStreamer: {0}")]
    Init(String),
    /// A folder of pipeline texts cannot be read.
    #[error("reading pipelines from {path}: {reason}")]
    Read {
        /// The file or folder.
        path: String,
        /// The system's words.
        reason: String,
    },
    /// No such text in the library.
    #[error("no pipeline {0}.gst")]
    Unknown(&'static str),
    /// The text's placeholders and the values given do not agree, or its braces do not pair.
    #[error("filling pipeline {name}: {reason}")]
    Fill {
        /// Which text.
        name: &'static str,
        /// What does not agree.
        reason: String,
    },
    /// GStreamer refuses the filled text: syntax, an element that is not installed, a bad value.
    #[error("parsing pipeline {name}: {reason}")]
    Parse {
        /// Which text.
        name: &'static str,
        /// GStreamer's words.
        reason: String,
    },
    /// The text has no element of that name and kind.
    #[error("pipeline {name} has no {kind} named {element}")]
    Element {
        /// Which text.
        name: &'static str,
        /// What was looked up.
        element: &'static str,
        /// `element`, `appsrc`, `appsink`, `sink pad`.
        kind: &'static str,
    },
    /// It does not start.
    #[error("starting pipeline {name}: {reason}")]
    Start {
        /// Which text.
        name: &'static str,
        /// GStreamer's words.
        reason: String,
    },
}

/// Starts GStreamer once in the process; every later call answers the same.
pub fn init() -> Result<(), Error> {
    static ONCE: OnceLock<Result<(), Error>> = OnceLock::new();
    ONCE.get_or_init(|| gstreamer::init().map_err(|error| Error::Init(error.to_string())))
        .clone()
}
