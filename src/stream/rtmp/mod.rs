//! RTMP (Adobe's specification 1.0), the side that publishes. Without sockets and clocks: bytes in,
//! bytes out.
//!
//! - [`amf`]: the values in commands (AMF 0).
//! - [`chunk`]: messages in chunks.
//! - [`publisher`]: handshake, commands, and then pictures and sound.

pub mod amf;
pub mod chunk;
pub mod publisher;
