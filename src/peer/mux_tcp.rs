//! ICE-TCP (RFC 6544), passive side, for networks that block UDP: one listener for all
//! connections, on the same port number as UDP.
//!
//! Frames are RFC 4571: a 16-bit length, then the packet. The first frame of a stream has to be a
//! Binding request; it names the connection that the stream is given to, first frame included.
//! As on UDP, nothing but STUN passes until the other side has answered a Binding request of the
//! agent's.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use webrtc::runtime::{AsyncTcpListener, AsyncTcpStream};

use super::mux::Streams;
use super::sources::Sources;
use super::stun::{self, Binding, Transaction};
use super::wire::Wire;
use crate::clock::{self, MediaTime};
use crate::stats::Stats;

/// Streams of one connection at a time: one for each address pair a client may try, and a restart.
pub(super) const STREAMS: usize = 8;
/// Streams that have not yet said whose they are. More are hung up on: strangers' business.
const PENDING: usize = 64;
/// How long a stream may take to say whose it is.
const FIRST_FRAME: Duration = Duration::from_secs(5);
/// The longest frame: an Ethernet packet's worth, with room for a DTLS flight in one record.
const FRAME: usize = 4096;
/// Frames read or to be written that wait: half a second at 2.5 Mbit/s.
const QUEUE: usize = 128;
/// Checks under way on one stream.
const TRANSACTIONS: usize = 16;

/// A stream that has said whose it is.
#[derive(Debug)]
pub(super) struct Accepted {
    stream: TcpStream,
    peer: SocketAddr,
    first: Bytes,
}

/// Accepts streams for all connections until dropped (aborted).
pub(super) async fn listen(listener: TcpListener, streams: Streams) {
    let pending = Arc::new(Semaphore::new(PENDING));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or a stream that was gone at once. Do not spin on it.
                tracing::debug!(%error, "accepting a media stream failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = pending.clone().try_acquire_owned() else {
            streams.stats().dropped("tcp_pending", 1);
            continue;
        };
        let streams = streams.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let introduced = tokio::time::timeout(FIRST_FRAME, introduce(stream, peer, &streams));
            // Whoever does not introduce himself is hung up on without a word.
            let _ = introduced.await;
        });
    }
}

async fn introduce(mut stream: TcpStream, peer: SocketAddr, streams: &Streams) -> Option<()> {
    // Media in small packets: waiting to fill segments would only add delay.
    stream.set_nodelay(true).ok()?;
    let first = read_frame(&mut stream).await.ok()?;
    let Some(Binding::Request {
        ufrag: Some(ufrag), ..
    }) = stun::parse(first.get(2..)?)
    else {
        return None;
    };
    let queue = streams.queue(ufrag)?;
    queue
        .try_send(Accepted {
            stream,
            peer,
            first,
        })
        .ok()
}

/// Reads one frame, its length included.
async fn read_frame(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Bytes> {
    let length = stream.read_u16().await?;
    if usize::from(length) > FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = BytesMut::zeroed(2 + usize::from(length));
    frame[..2].copy_from_slice(&length.to_be_bytes());
    stream.read_exact(&mut frame[2..]).await?;
    Ok(frame.freeze())
}

/// What a driver believes to be its TCP listener.
pub(super) struct TcpPort {
    local: SocketAddr,
    queue: Mutex<mpsc::Receiver<Accepted>>,
    wire: Arc<Wire>,
    slots: Arc<Semaphore>,
    on_drop: Option<Box<dyn FnOnce() + Send + Sync>>,
    stats: Arc<Stats>,
}

impl std::fmt::Debug for TcpPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpPort")
            .field("local", &self.local)
            .finish_non_exhaustive()
    }
}

impl TcpPort {
    /// `local` is the address the driver believes in; `on_drop` stops the supply of `queue`.
    pub fn new(
        local: SocketAddr,
        queue: mpsc::Receiver<Accepted>,
        wire: Arc<Wire>,
        stats: Arc<Stats>,
        on_drop: impl FnOnce() + Send + Sync + 'static,
    ) -> Self {
        Self {
            local,
            queue: Mutex::new(queue),
            wire,
            slots: Arc::new(Semaphore::new(STREAMS)),
            on_drop: Some(Box::new(on_drop)),
            stats,
        }
    }

    async fn next(&self) -> io::Result<(Arc<dyn AsyncTcpStream>, SocketAddr)> {
        loop {
            let accepted = poll_fn(|context| lock(&self.queue).poll_recv(context))
                .await
                .ok_or(io::ErrorKind::BrokenPipe)?;
            let Ok(slot) = self.slots.clone().try_acquire_owned() else {
                self.stats.dropped("tcp_pending", 1);
                continue;
            };
            let peer = accepted.peer;
            let stream = FramedStream::start(
                accepted,
                self.local,
                self.wire.clone(),
                self.stats.clone(),
                slot,
            );
            return Ok((Arc::new(stream), peer));
        }
    }
}

impl Drop for TcpPort {
    fn drop(&mut self) {
        if let Some(on_drop) = self.on_drop.take() {
            on_drop();
        }
    }
}

impl AsyncTcpListener for TcpPort {
    fn accept<'a>(
        &'a self,
    ) -> Pin<Box<dyn Future<Output = io::Result<(Arc<dyn AsyncTcpStream>, SocketAddr)>> + Send + 'a>>
    {
        Box::pin(self.next())
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

/// Lets only STUN pass until the other side has answered one of our checks.
#[derive(Debug, Default)]
struct Gate {
    asked: VecDeque<Transaction>,
    open: bool,
    sources: Sources,
}

impl Gate {
    fn sent(&mut self, packet: &[u8]) {
        if let Some(Binding::Request { transaction, .. }) = stun::parse(packet) {
            if self.asked.len() == TRANSACTIONS {
                self.asked.pop_front();
            }
            self.asked.push_back(transaction);
        }
    }

    fn passes(&mut self, packet: &[u8]) -> bool {
        match stun::parse(packet) {
            Some(Binding::Success { transaction }) => {
                let answered = self.asked.contains(&transaction);
                self.open |= answered;
                answered
            }
            Some(_) => true,
            None => self.open && !stun::is_stun(packet) && self.sources.admit(packet),
        }
    }
}

/// A stream as the driver sees it. Neither reading nor writing ever holds up the driver: a
/// client that does not read loses frames, as it would on UDP.
#[derive(Debug)]
struct FramedStream {
    local: SocketAddr,
    peer: SocketAddr,
    wire: Arc<Wire>,
    stats: Arc<Stats>,
    frames: Mutex<Frames>,
    outgoing: mpsc::Sender<Bytes>,
    gate: Arc<Mutex<Gate>>,
    reader: JoinHandle<()>,
    _slot: OwnedSemaphorePermit,
}

#[derive(Debug)]
struct Frames {
    queue: mpsc::Receiver<(Bytes, MediaTime)>,
    /// The rest of a frame that did not fit into the driver's buffer.
    rest: Bytes,
}

impl FramedStream {
    fn start(
        accepted: Accepted,
        local: SocketAddr,
        wire: Arc<Wire>,
        stats: Arc<Stats>,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        let gate = Arc::<Mutex<Gate>>::default();
        let (read_half, write_half) = accepted.stream.into_split();
        let (incoming, queue) = mpsc::channel(QUEUE);
        let (outgoing, to_write) = mpsc::channel(QUEUE);
        let reader = tokio::spawn(read(
            read_half,
            accepted.first,
            incoming,
            gate.clone(),
            wire.clone(),
        ));
        tokio::spawn(write(write_half, to_write));
        Self {
            local,
            peer: accepted.peer,
            wire,
            stats,
            frames: Mutex::new(Frames {
                queue,
                rest: Bytes::new(),
            }),
            outgoing,
            gate,
            reader,
            _slot: slot,
        }
    }
}

impl Drop for FramedStream {
    fn drop(&mut self) {
        // The writer ends by itself when its queue closes.
        self.reader.abort();
    }
}

async fn read(
    mut stream: OwnedReadHalf,
    first: Bytes,
    frames: mpsc::Sender<(Bytes, MediaTime)>,
    gate: Arc<Mutex<Gate>>,
    wire: Arc<Wire>,
) {
    let mut frame = first;
    loop {
        if !wire.admit(frame.len(), clock::now()) {
            return;
        }
        let passes = lock(&gate).passes(&frame[2..]);
        // Waiting here is TCP's own back-pressure on the client.
        if passes && frames.send((frame, clock::now())).await.is_err() {
            return;
        }
        frame = match read_frame(&mut stream).await {
            Ok(frame) => frame,
            Err(_) => return,
        };
    }
}

async fn write(mut stream: OwnedWriteHalf, mut frames: mpsc::Receiver<Bytes>) {
    while let Some(frame) = frames.recv().await {
        if stream.write_all(&frame).await.is_err() {
            return;
        }
    }
}

impl AsyncTcpStream for FramedStream {
    fn read<'a, 'b>(
        &'a self,
        buffer: &'b mut [u8],
    ) -> Pin<Box<dyn Future<Output = io::Result<usize>> + Send + 'b>>
    where
        'a: 'b,
    {
        Box::pin(poll_fn(move |context| {
            let mut frames = lock(&self.frames);
            if frames.rest.is_empty() {
                match ready!(frames.queue.poll_recv(context)) {
                    Some((frame, arrived)) => {
                        self.wire.set_arrived(arrived);
                        // A check here, too, may mean that this pair is chosen.
                        if frame.get(2..).is_some_and(stun::is_stun) {
                            self.wire.ways().forget();
                        }
                        frames.rest = frame;
                    }
                    None => return Poll::Ready(Ok(0)),
                }
            }
            let length = frames.rest.len().min(buffer.len());
            frames.rest.copy_to_slice(&mut buffer[..length]);
            Poll::Ready(Ok(length))
        }))
    }

    fn write_all<'a, 'b>(
        &'a self,
        frame: &'b [u8],
    ) -> Pin<Box<dyn Future<Output = io::Result<()>> + Send + 'b>>
    where
        'a: 'b,
    {
        // The driver writes whole frames.
        if let Some(packet) = frame.get(2..) {
            lock(&self.gate).sent(packet);
            if !stun::is_stun(packet) {
                self.wire.ways().forget();
            }
        }
        let written = match self.outgoing.try_send(Bytes::copy_from_slice(frame)) {
            Ok(()) => {
                self.wire.traffic().send(frame.len(), 1);
                Ok(())
            }
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.stats.dropped("tcp_out", 1);
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(io::ErrorKind::BrokenPipe.into()),
        };
        Box::pin(std::future::ready(written))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is done under these locks can leave them half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::stun::tests::{message, request};

    #[test]
    fn the_gate_opens_when_a_check_is_answered() {
        let mut gate = Gate::default();
        let dtls = [22, 254, 253, 0];
        assert!(gate.passes(&request([1; 12], "server:client")));
        assert!(!gate.passes(&dtls));
        assert!(!gate.passes(&message(0x0101, [9; 12], &[])), "nobody asked");
        assert!(!gate.passes(&dtls));
        gate.sent(&request([9; 12], "client:server"));
        assert!(gate.passes(&message(0x0101, [9; 12], &[])));
        assert!(gate.passes(&dtls));
        assert!(!gate.passes(&[0, 1, 2]), "broken STUN never passes");
    }

    #[test]
    fn checks_under_way_are_bounded() {
        let mut gate = Gate::default();
        for n in 0..100 {
            gate.sent(&request([n; 12], "client:server"));
        }
        assert_eq!(gate.asked.len(), TRANSACTIONS);
    }
}
