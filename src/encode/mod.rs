//! Encoding: each distinct mix once, however many listen to it.

pub mod audio;
pub mod backend;
pub mod keyframe;
pub mod video;
