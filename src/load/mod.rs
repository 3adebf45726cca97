//! `quilt load`: real WebRTC clients in bulk.
pub mod audio;
pub mod beep;
pub mod clip;
pub mod freeze;
pub mod mark;
pub mod metrics;
pub mod persona;
pub mod picture;
pub mod voice;
pub mod publisher;
pub mod receiver;
pub mod report;
pub mod sample;
pub mod scene;
pub mod sent;
pub mod watch;
pub mod ws;
