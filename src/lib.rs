//! Quilt.
pub mod clock;
pub mod decode;
pub mod encode;
pub mod fanout;
pub mod gst;
pub mod id;
pub mod load;
pub mod media;
pub mod mix;
pub mod peer;
pub mod room;
pub mod server;
pub mod signalling;
pub mod stats;
