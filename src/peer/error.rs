//! What can go wrong, named by the operation.

use std::io;
use std::net::SocketAddr;

use super::sdp::SdpError;

/// Errors of the transport.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port cannot be opened.
    #[error("cannot listen for media on {address} ({protocol})")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The client's description or candidate is at fault.
    #[error(transparent)]
    Sdp(#[from] SdpError),
    /// The client's description is at fault in a way that the library found.
    #[error("cannot {step}: {reason}")]
    Refused {
        /// What was being done.
        step: &'static str,
        /// In the library's words.
        reason: String,
    },
    /// The library refused.
    #[error("cannot {step}: {reason}")]
    Negotiate {
        /// What was being done.
        step: &'static str,
        /// In the library's words.
        reason: String,
    },
    /// The connection is over.
    #[error("the connection is closed")]
    Closed,
}

impl Error {
    /// Names the step at which the library refused what a client sent.
    pub(super) fn refused<E: std::fmt::Display>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |reason| Self::Refused {
            step,
            reason: reason.to_string(),
        }
    }

    /// Names the step at which the library refused.
    pub(super) fn at<E: std::fmt::Display>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |reason| Self::Negotiate {
            step,
            reason: reason.to_string(),
        }
    }
}
