//! What a connection's socket shares with the tasks around its driver.
//!
//! The driver (webrtc's event loop) sleeps until its socket has something to read, so the socket
//! is also how it is woken: a rung bell reads as an empty datagram, which the driver skips, and
//! then it looks for packets to write. That is one wake-up for a whole picture, where handing
//! packets over one by one through the library's channel is a loop of the driver for each. Packets
//! that go past the driver need none; where they go is learned from what the driver sends
//! ([`way`](super::way)).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use super::flood::Flood;
use super::traffic::Traffic;
use super::way::Ways;
use crate::clock::MediaTime;

/// One per connection.
#[derive(Debug, Default)]
pub(super) struct Wire {
    rung: AtomicBool,
    waker: AtomicWaker,
    arrived: AtomicU64,
    ended: Notify,
    flood: Mutex<Flood>,
    flooded: Notify,
    traffic: Arc<Traffic>,
    ways: Ways,
}

impl Wire {
    /// A wire whose traffic is counted there.
    pub fn counted(traffic: Arc<Traffic>) -> Self {
        Self {
            traffic,
            ..Self::default()
        }
    }

    /// Where what goes over it is counted.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Where packets go that do not go by the driver.
    pub fn ways(&self) -> &Ways {
        &self.ways
    }

    /// Wakes the driver. Cheap; rings before it wakes count once.
    pub fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Whether the bell was rung since the last call; else `context` is woken when it is.
    pub fn poll_rung(&self, context: &mut Context<'_>) -> bool {
        if self.rung.swap(false, Ordering::AcqRel) {
            return true;
        }
        self.waker.register(context.waker());
        // It may have rung between the look and the registration.
        self.rung.swap(false, Ordering::AcqRel)
    }

    /// The socket hands the driver a datagram that arrived at `at`. The driver passes it through
    /// its layers before it reads the next, so [`Wire::arrived`] is true for all of them.
    pub fn set_arrived(&self, at: MediaTime) {
        self.arrived.store(at.0, Ordering::Relaxed);
    }

    /// When the datagram that the driver is working on was read from the socket.
    pub fn arrived(&self) -> MediaTime {
        MediaTime(self.arrived.load(Ordering::Relaxed))
    }

    /// A packet of so many bytes came for this connection at `at`. Whether it may pass; where the
    /// client sends more than anybody may, no more do, and [`Wire::flooded`] ends.
    pub fn admit(&self, bytes: usize, at: MediaTime) -> bool {
        let mut flood = self.flood.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = flood.admit(bytes, at);
        match admitted {
            true => self.traffic.receive(bytes),
            false => self.flooded.notify_one(),
        }
        admitted
    }

    /// The client does what nobody may: ends [`Wire::flooded`].
    pub fn cut_off(&self) {
        self.flooded.notify_one();
    }

    /// Waits until the client sends more than anybody may.
    pub async fn flooded(&self) {
        self.flooded.notified().await;
    }

    /// The driver let go of its socket: it has ended, as it should or by an error.
    pub fn end(&self) {
        self.ended.notify_one();
    }

    /// Waits for [`Wire::end`].
    pub async fn ended(&self) {
        self.ended.notified().await;
    }
}
