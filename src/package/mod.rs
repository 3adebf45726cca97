//! What a mix is packed into for those who are no browsers. Pure: bytes in, bytes out.
//!
//! - [`avc`]: the H.264 of a picture out of its RTP payloads.
//! - [`cmaf`]: initialisation segments and chunks (ISO/IEC 23000-19).
//! - [`flv`]: the bodies of RTMP's audio and video messages.

pub mod avc;
pub mod cmaf;
pub mod flv;
