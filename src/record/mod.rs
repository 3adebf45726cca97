//! Recordings: the common mix of a room in a file that plays anywhere and survives a crash.
//!
//! A recording is an [`output`](crate::room::output) of its room; nothing is encoded for it but, on
//! request, the sound as AAC. It is written in fragments of a second ([`cut`]) by a thread of its
//! own ([`tape`]), so that a disk that is slow, full or gone ends the recording and nothing else.
//! When it is over, the fragments become a file with its index in front. Beside it lies a
//! [`manifest`]: who was there when, and what became of it.
//!
//! - [`desk`] starts, stops, lists and deletes recordings.
//! - [`shelf`] is the folder: what lies in it, and what a crash left behind.
//! - [`name`] makes file names that cannot leave it.
//! - [`sound`] is the sound as the file has it.
//! - [`upload`] puts copies of what is over into a store.

pub mod cut;
pub mod desk;
pub mod manifest;
pub mod name;
pub mod shelf;
pub mod sound;
pub mod tape;
pub mod upload;

pub use desk::{Desk, Error};
pub use manifest::{Manifest, Options, RecordingId};
