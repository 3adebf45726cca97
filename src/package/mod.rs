//! What a mix is packed into for those who are no browsers. Pure: bytes in, bytes out; only
//! [`fast_start`] reads and writes files.
//!
//! - [`avc`]: the H.264 of a picture out of its RTP payloads.
//! - [`cmaf`]: initialisation segments and chunks (ISO/IEC 23000-19).
//! - [`flv`]: the bodies of RTMP's audio and video messages.
//! - [`movie`]: one file of pictures and sound, in fragments or with one index.
//! - [`fast_start`]: turns the first into the second.

pub mod avc;
pub mod cmaf;
pub mod fast_start;
pub mod flv;
pub mod movie;
