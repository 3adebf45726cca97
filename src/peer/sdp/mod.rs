//! Session descriptions (RFC 8866, RFC 9429) as far as the server has a say in them. Pure.
//!
//! The library negotiates; this decides what it gets to see of an offer and what the client gets
//! to see of the answer:
//!
//! - One audio and one video section are served, and a data channel's where it is wanted; others (a
//!   second camera) are answered with port 0 and never reach the library.
//! - The codec for the downlink is put first, so that both directions agree on it.
//! - Candidates of the client are left out: it reaches us, so we learn its address from its checks,
//!   and nobody can have us probe addresses of their choice.
//! - A client that offers its picture in the sizes of [`Layer`](crate::media::Layer) is asked for all of
//!   them; the library does not learn of it. Others' layers are turned down.
//! - Candidates in the answer are the port that all connections share.

mod answer;
mod candidate;
mod description;
mod format;
mod fragment;
mod offer;
mod one_way;

pub(super) use answer::{
    ABS_SEND_TIME, AUDIO_LEVEL, Negotiated, ORIENTATION, Payload, REPAIRED_RID, RID, TRANSPORT_CC,
    Track, answer, negotiated,
};
pub(super) use candidate::{Candidate, Transport, check_candidate};
pub(super) use description::{Description, Section};
pub(super) use format::{Codec, Format, choose};
pub use fragment::Fragment;
pub(super) use offer::{Offer, default_formats};
pub use one_way::{OneWay, Way};

use description::MAX_BYTES;
#[cfg(test)]
pub(super) use offer::tests;

/// Most media sections of an offer that are looked at.
pub(super) const MAX_SECTIONS: usize = 32;

/// What is wrong with a description, in words for whoever sent it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Nothing there.
    #[error("the session description is empty")]
    Empty,
    /// Longer than anybody needs.
    #[error("the session description has {0} bytes; at most {MAX_BYTES} are allowed")]
    TooLong(usize),
    /// Not a session description at all.
    #[error("the session description does not begin with \"v=0\"")]
    NoVersion,
    /// A line that is not `x=…`.
    #[error("line {0} of the session description is not of the form <letter>=<value>")]
    Line(usize),
    /// No `m=` line.
    #[error("the session description has no media section")]
    NoMedia,
    /// More `m=` lines than anybody needs.
    #[error("the session description has {0} media sections; at most {MAX_SECTIONS} are allowed")]
    TooManySections(usize),
    /// An attribute that WebRTC requires.
    #[error("media section {section} of the session description has no a={attribute}")]
    Missing {
        /// Counted from 1.
        section: usize,
        /// Its name.
        attribute: &'static str,
    },
    /// Nothing that can be served.
    #[error(
        "no media section can be served: audio has to offer opus/48000/2, video H264 or VP8, \
         both over UDP/TLS/RTP/SAVPF"
    )]
    NoKnownCodec,
    /// Audio and video on transports of their own.
    #[error("audio and video have to share one transport (a=group:BUNDLE with mids {0})")]
    NotBundled(String),
    /// Two sections of one name.
    #[error("the mid {0} stands twice in the session description")]
    MidTwice(String),
    /// A later offer without a section that was there before.
    #[error("the section with mid {0} was there before and is missing now")]
    SectionGone(String),
    /// A candidate that cannot be read.
    #[error("not an ICE candidate: {0}")]
    Candidate(&'static str),
    /// A candidate by which nobody can be reached.
    #[error("not an ICE candidate: {0}")]
    NoWay(&'static str),
    /// ICE credentials outside RFC 8839 section 5.4.
    #[error("a={0} is missing, too short or too long, or has characters that it must not have")]
    Credentials(&'static str),
    /// A section that goes the wrong way.
    #[error("media section {section} is not {wanted}, nor sendrecv")]
    Direction {
        /// Counted from 1.
        section: usize,
        /// `sendonly` or `recvonly`.
        wanted: &'static str,
    },
    /// A section of which nothing would become, where all or nothing is wanted.
    #[error(
        "media section {0} cannot be served: at most one of audio, which has to offer \
         opus/48000/2, and one of video, which has to offer H264 or VP8, over UDP/TLS/RTP/SAVPF"
    )]
    Unserved(usize),
}
