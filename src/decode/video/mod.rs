//! One video track.

use crate::gst::{Spec, Value};

mod frames;
mod pace;

pub use frames::{Frame, Frames};

/// What this module looks up in `decode-h264.gst`.
pub const H264: Spec = spec("decode-h264");
/// What this module looks up in `decode-vp8.gst`.
pub const VP8: Spec = spec("decode-vp8");

const fn spec(name: &'static str) -> Spec {
    Spec {
        name,
        values: &[("latency", Value::Int(20))],
        elements: &["jitterbuffer", "parser", "guard", "sink"],
        inputs: &[("jitterbuffer", "sink")],
    }
}
