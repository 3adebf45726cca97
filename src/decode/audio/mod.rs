//! One audio track.

use crate::gst::{Spec, Value};

/// What this module looks up in `decode-opus.gst`.
pub const OPUS: Spec = Spec {
    name: "decode-opus",
    values: &[("latency", Value::Int(20))],
    elements: &["jitterbuffer", "sink"],
    inputs: &[("jitterbuffer", "sink")],
};

use crate::clock::MediaTime;
use crate::media::AUDIO_FRAME;

/// What [`Samples::pull`] put into its buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulled {
    /// Silence: not started, or muted at the source.
    Nothing,
    /// What the sender said.
    Speech,
    /// A guess at what was lost.
    Concealed,
    /// A pause (DTX): faint noise.
    Comfort,
}

/// Decoded sound on its way to the tick.
#[derive(Debug, Default)]
pub struct Samples {}

impl Samples {
    /// The next 20 ms.
    pub fn pull(&self, _tick: MediaTime, out: &mut [i16; AUDIO_FRAME]) -> Pulled {
        out.fill(0);
        Pulled::Nothing
    }
}
