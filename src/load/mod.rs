//! `quilt load`: real WebRTC clients in bulk.
pub mod audio;
pub mod beep;
pub mod freeze;
pub mod mark;
pub mod metrics;
pub mod picture;
pub mod receiver;
pub mod scene;
pub mod sent;
pub mod ws;
