//! What carries a session's words. A session hears its client and answers on a line, and does not
//! know of what the line is made: a WebSocket ([`websocket`](super::websocket)), or requests and
//! an event stream where none can be had ([`events`](super::events)).

use std::future::Future;
use std::time::Duration;

use crate::room::talk::Refusal;
use crate::server::seats::Way;

/// A client that takes longer than this to accept a message is gone.
pub const SEND_PATIENCE: Duration = Duration::from_secs(5);

/// The session is over.
pub struct Over;

/// What a line brings.
pub enum Heard {
    /// One frame of text. Whether it may be that long, and come that soon, is the session's to
    /// judge.
    Text(String),
    /// Nothing but that the client is there.
    Alive,
    /// No text, and no harm.
    Odd(Refusal),
    /// Nothing that follows can be made sense of.
    Garbled(Refusal),
    /// The end.
    Gone,
}

/// Why a session closes its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// The client said goodbye.
    Left,
    /// Another session has its place.
    Resumed,
    /// The server said goodbye.
    Away,
    /// The last message says what was wrong.
    Refused,
}

/// A way to a client and back.
pub trait Line: Send + 'static {
    /// What it is made of.
    const WAY: Way;

    /// Waits for what comes next. What was not returned when this is dropped comes with the next
    /// call.
    fn hear(&mut self) -> impl Future<Output = Heard> + Send;

    /// Sends one message of text.
    fn say(&mut self, text: String) -> impl Future<Output = Result<(), Over>> + Send;

    /// Makes the client give a sign of life, which is heard.
    fn ping(&mut self) -> impl Future<Output = Result<(), Over>> + Send;

    /// Ends it once everything that was said has been sent.
    fn close(&mut self, why: Closing) -> impl Future<Output = ()> + Send;
}
