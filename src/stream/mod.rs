//! The programme for the many: the common mix of a room as HLS, or pushed to a service.
//!
//! - [`programme`]: a listener of the common mix, with its sound in AAC.
//! - [`hls`]: files that players fetch.
//! - [`push`]: what a room is sent to, over and over again until it is told to stop.
//! - [`rtmp`]: the protocol of most such services (pure).

pub mod hls;
pub mod programme;
pub mod push;
pub mod rtmp;

pub use programme::Studio;
