//! Reads the media port, on a thread of its own.
//!
//! It listens for what can be read only: that there is room to write again the kernel would tell
//! after each packet.
//!
//! Hundreds who only watch send little, but often, and each datagram comes alone. A thread that has
//! nothing else to do is woken once for it; a pool of workers wakes a second one to look for what
//! else there may be. And no work of theirs, however long, has the kernel drop what comes in.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};
use webrtc::runtime::{RecvMeta, UdpSockRef};

use super::feedback;
use super::mux::Shared;
use crate::clock;

/// Datagrams (or runs of them that the kernel has joined) taken by one system call.
const BATCH: usize = 8;
/// The longest run of datagrams that the kernel joins.
const BUFFER: usize = 65_536;

/// System calls in a row, before it is seen whether it is time to stop.
const TURNS: usize = 64;

const SOCKET: Token = Token(0);
const STOP: Token = Token(1);

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Reader {
    stop: Waker,
}

impl Reader {
    /// Reads `socket`, which is the port's, and has what comes routed.
    pub fn start(socket: UdpSocket, shared: Arc<Shared>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut socket = mio::net::UdpSocket::from_std(socket);
        let registry = poll.registry();
        registry.register(&mut socket, SOCKET, Interest::READABLE)?;
        let stop = Waker::new(registry, STOP)?;
        let thread = std::thread::Builder::new().name("media-port".to_owned());
        thread.spawn(move || {
            if let Err(error) = run(poll, &socket, &shared) {
                tracing::error!(%error, "the media port cannot be read any more");
            }
        })?;
        Ok(Self { stop })
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Err(error) = self.stop.wake() {
            tracing::error!(%error, "the media port's reader cannot be stopped");
        }
    }
}

fn run(mut poll: Poll, socket: &mio::net::UdpSocket, shared: &Shared) -> io::Result<()> {
    let mut events = Events::with_capacity(2);
    let mut buffers = vec![0u8; BATCH * BUFFER];
    let mut more = false;
    loop {
        match poll.poll(&mut events, more.then_some(Duration::ZERO)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        if events.iter().any(|event| event.token() == STOP) {
            return Ok(());
        }
        more = (0..TURNS).all(|_| read(socket, shared, &mut buffers));
    }
}

/// Reads what the kernel gives at once; whether there may be more.
fn read(socket: &mio::net::UdpSocket, shared: &Shared, buffers: &mut [u8]) -> bool {
    let mut metas = [RecvMeta::default(); BATCH];
    let mut slices: [IoSliceMut<'_>; BATCH] = {
        let mut chunks = buffers.chunks_exact_mut(BUFFER);
        std::array::from_fn(|_| {
            IoSliceMut::new(chunks.next().expect("BATCH chunks of BUFFER bytes"))
        })
    };
    let io = shared.io();
    let count = match io.recv(UdpSockRef::from(socket), &mut slices, &mut metas) {
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
        // An ICMP message about somebody who left.
        Err(_) => return true,
    };
    let arrived = clock::now();
    let datagrams = buffers.chunks_exact(BUFFER).zip(&metas).take(count);
    let datagrams = datagrams.flat_map(|(buffer, meta)| {
        let each = buffer[..meta.len].chunks(meta.stride.max(1));
        each.map(move |bytes| (bytes, meta))
    });
    // Those who wait for the tables do not wait for what is read here.
    for (link, bytes) in shared.route(datagrams, arrived) {
        feedback::hear_now(&link, bytes, arrived);
    }
    true
}
