//! From RTP packets of one track to pictures and samples.

pub mod audio;
pub mod sync;
pub mod video;
