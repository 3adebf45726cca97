//! Mixing: what each tick of a room puts together, for video and for audio.

pub mod audio;
pub mod beside;
pub mod canvas;
pub mod label;
pub mod layout;
pub mod mixer;
pub mod overlay;
pub mod pace;
pub mod pixels;
pub mod place;
pub mod plan;
#[cfg(test)]
mod testing;
pub mod text;
pub mod tiles;
mod turn;
pub mod video;
