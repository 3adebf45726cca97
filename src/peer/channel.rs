//! The data channel: a client that opens one, ordered and reliable, may say by it what it says by
//! its socket. There is one; whoever opens more and more of them is cut off, because the library
//! remembers each for as long as the connection lives.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use webrtc::data_channel::{DataChannel, DataChannelEvent};

use super::link::Link;

/// What the channel is called.
pub(super) const LABEL: &str = "talk";
/// The largest message either side sends, bytes: the longest text of a chat and what is around it.
pub(super) const MAX_MESSAGE: u32 = 16 * 1024;
/// What the library keeps of messages that are under way, bytes: some of the largest.
pub(super) const RECEIVE_BUFFER: u32 = 4 * MAX_MESSAGE;
/// What waits for a client that takes nothing, bytes; beyond, there are other ways to tell it.
pub(super) const SEND_BUFFER: usize = 256 * 1024;
/// Messages that wait to be heard, which takes microseconds each. A client may send a burst of some
/// hundred; whoever has more waiting does not wait for answers.
const WAITING: usize = 128;
/// Channels that a connection may open in its life. A page needs one.
const OPENINGS: u32 = 4;

/// What comes by the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A message of text.
    Text(String),
    /// Something else.
    Binary,
}

/// One connection's channel, if the client has opened it.
pub(super) struct Talk {
    channel: Mutex<Option<Arc<dyn DataChannel>>>,
    openings: AtomicU32,
    heard: mpsc::Sender<Said>,
    inbox: tokio::sync::Mutex<mpsc::Receiver<Said>>,
}

impl Default for Talk {
    fn default() -> Self {
        let (heard, inbox) = mpsc::channel(WAITING);
        Self {
            channel: Mutex::default(),
            openings: AtomicU32::new(0),
            heard,
            inbox: inbox.into(),
        }
    }
}

impl Talk {
    /// Waits for the next message. What was not returned when this is dropped comes with the next
    /// call.
    pub async fn hear(&self) -> Said {
        match self.inbox.lock().await.recv().await {
            Some(said) => said,
            // The sender lives as long as this.
            None => std::future::pending().await,
        }
    }

    /// Whether there is one.
    pub fn is_open(&self) -> bool {
        self.channel().is_some()
    }

    /// Sends a message, if the channel is open and its client takes what is sent.
    pub async fn say(&self, text: &str) -> bool {
        let channel = self.channel();
        match channel.filter(|_| text.len() <= MAX_MESSAGE as usize) {
            Some(channel) => channel.try_send_text(text).await.is_ok(),
            None => false,
        }
    }

    /// The connection is over. The channel holds the connection, which holds this.
    pub fn close(&self) {
        self.set(None);
    }

    fn channel(&self) -> Option<Arc<dyn DataChannel>> {
        let channel = self.channel.lock();
        channel.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, channel: Option<Arc<dyn DataChannel>>) {
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = channel;
    }
}

/// The client has opened a channel. Called on the driver's task.
pub(super) fn opened(link: &Arc<Link>, channel: Arc<dyn DataChannel>) {
    match link.talk.openings.fetch_add(1, Ordering::Relaxed) {
        0..OPENINGS => {
            tokio::spawn(serve(link.clone(), channel));
        }
        _ => link.wire.cut_off(),
    }
}

/// Hears a channel until it or its connection ends.
async fn serve(link: Arc<Link>, channel: Arc<dyn DataChannel>) {
    if suits(&*channel).await && !link.talk.is_open() && !link.is_closed() {
        link.talk.set(Some(channel.clone()));
        tokio::select! {
            () = listen(&link, &*channel) => {}
            () = link.until_closed() => {}
        }
        link.talk.close();
    }
    // Its errors are about what is closed already.
    let _ = channel.close().await;
}

/// Whether a channel is what [`LABEL`] promises.
async fn suits(channel: &dyn DataChannel) -> bool {
    let label = channel.label().await;
    label.is_ok_and(|label| label == LABEL)
        && channel.ordered().await.unwrap_or(false)
        && channel.max_retransmits().await.is_ok_and(|n| n.is_none())
        && channel
            .max_packet_life_time()
            .await
            .is_ok_and(|n| n.is_none())
}

async fn listen(link: &Link, channel: &dyn DataChannel) {
    while let Some(event) = channel.poll().await {
        let said = match event {
            DataChannelEvent::OnMessage(message) if message.is_string => {
                match String::from_utf8(message.data.into()) {
                    Ok(text) => Said::Text(text),
                    Err(_) => Said::Binary,
                }
            }
            DataChannelEvent::OnMessage(_) => Said::Binary,
            DataChannelEvent::OnClosing | DataChannelEvent::OnClose => return,
            _ => continue,
        };
        if link.talk.heard.try_send(said).is_err() {
            link.wire.cut_off();
            return;
        }
    }
}
