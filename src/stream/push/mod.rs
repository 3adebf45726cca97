//! Pushing a room to where it is shown on: RTMP, RTMPS and SRT.
//!
//! - [`target`]: the URL, and what of it is a secret (pure).
//! - [`allowed`]: which addresses may be connected to (pure).
//! - [`retry`], [`progress`]: when it is tried again, and when a receiver is stuck (pure).
//! - [`connect`]: from a name to a connection to an address that was judged.
//! - [`rtmp`], [`srt`]: one connection each, from its begin to its end.
//! - [`desk`]: all pushes, and the task of each.

pub mod allowed;
pub mod connect;
pub mod desk;
pub mod progress;
pub mod retry;
pub mod rtmp;
pub mod srt;
pub mod target;

pub use desk::Desk;

use crate::stream::programme;

/// What a connection has come to; told as it happens, must not block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// The receiver takes the stream.
    Live,
    /// It has taken so many bytes in all.
    Sent(u64),
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// There is none.
    #[error(transparent)]
    Connect(#[from] connect::Error),
    /// The room has nothing more to show.
    #[error(transparent)]
    Programme(#[from] programme::Error),
    /// In the protocol's words.
    #[error("{0}")]
    Protocol(String),
    /// It did not answer.
    #[error("the receiver does not answer")]
    Silent,
    /// It stopped taking what it is sent.
    #[error("the receiver takes nothing any more")]
    Stuck,
    /// It hung up.
    #[error("the receiver closed the connection")]
    Closed,
    /// In the system's words.
    #[error("the connection broke: {0}")]
    Io(std::io::Error),
}

impl From<std::io::Error> for Broken {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            // The system found it before we did.
            std::io::ErrorKind::TimedOut => Self::Stuck,
            _ => Self::Io(error),
        }
    }
}

impl Broken {
    /// Whether trying again can help.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Connect(error) => matches!(error, connect::Error::Forbidden),
            Self::Programme(programme::Error::Output(_)) => true,
            _ => false,
        }
    }
}
