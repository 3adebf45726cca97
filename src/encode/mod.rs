//! Encoding: each distinct mix once, however many listen to it.

pub mod audio;
