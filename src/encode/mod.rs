//! Encoding: each distinct mix once, however many listen to it.

pub mod aac;
pub mod audio;
pub mod backend;
pub mod choice;
pub mod in_flight;
pub mod keyframe;
mod packets;
pub mod trial;
pub mod video;
