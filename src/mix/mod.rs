//! Mixing: what each tick of a room puts together, for video and for audio.

pub mod audio;
pub mod plan;
