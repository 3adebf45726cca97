//! HLS (RFC 8216, second edition for its low-latency parts): a room's common mix as small files that
//! any number of players fetch, and any cache between them and us may keep.
//!
//! - [`segmenter`]: pictures and sound become parts and segments (pure).
//! - [`shelf`]: the files of the last seconds, and the playlists that list them (pure).
//! - [`idle`]: when nobody watches any more (pure).
//! - [`live`]: one room's stream, and the task that makes it.
//! - [`desk`]: the streams of all rooms, from the first request on.

pub mod desk;
pub mod idle;
pub mod live;
pub mod segmenter;
pub mod shelf;

pub use desk::Desk;
pub use live::Live;
