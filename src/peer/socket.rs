//! What a connection's driver believes to be its UDP socket.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};

use super::mux::{Datagram, MuxPort};
use super::sources::Sources;
use super::stun;
use crate::stats::Stats;

/// What a driver believes to be its socket.
#[derive(Debug)]
pub(super) struct VirtualSocket {
    port: MuxPort,
    local: SocketAddr,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    queue: mpsc::Receiver<Datagram>,
    /// The local address that each address of the client's talks to.
    locals: HashMap<SocketAddr, IpAddr>,
    sources: Sources,
}

/// Clients' addresses of which the local side is remembered; the same bound as in [`Routes`](super::routes::Routes).
const LOCALS: usize = 16;

impl VirtualSocket {
    /// Reads what the port routes into `queue`; `local` is the address the driver believes in.
    pub fn new(port: MuxPort, local: SocketAddr, queue: mpsc::Receiver<Datagram>) -> Self {
        Self {
            port,
            local,
            inner: Mutex::new(Inner {
                queue,
                locals: HashMap::new(),
                sources: Sources::default(),
            }),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for VirtualSocket {
    fn drop(&mut self) {
        self.port.unplug();
    }
}

impl AsyncUdpSocket for VirtualSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn max_gso_segments(&self) -> usize {
        self.port.max_segments()
    }

    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        let (to, from) = (
            transmit.destination,
            self.inner().locals.get(&transmit.destination).copied(),
        );
        if !stun::is_stun(transmit.contents) {
            let ways = self.port.wire().ways();
            ways.learn(|| self.port.downgrade(), to, from);
        }
        let transmit = Transmit {
            destination: to,
            ecn: transmit.ecn,
            contents: transmit.contents,
            segment_size: transmit.segment_size,
            src_ip: from,
        };
        Poll::Ready(self.port.send(&transmit).map(|()| transmit.contents.len()))
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (buffers.first_mut(), metas.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        *meta = RecvMeta::default();
        match self.inner().next(context, self.port.stats()) {
            Poll::Ready(Some(datagram)) => {
                self.port.wire().set_arrived(datagram.arrived);
                if stun::is_stun(&datagram.bytes) {
                    // The driver looks at it before it sends anything.
                    let ways = self.port.wire().ways();
                    ways.checked(datagram.from, datagram.to);
                }
                let length = datagram.bytes.len().min(buffer.len());
                buffer[..length].copy_from_slice(&datagram.bytes[..length]);
                meta.len = length;
                meta.stride = length.max(1);
                meta.addr = datagram.from;
                Poll::Ready(Ok(1))
            }
            Poll::Ready(None) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Poll::Pending if self.port.wire().poll_rung(context) => {
                meta.stride = 1;
                Poll::Ready(Ok(1))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Inner {
    fn next(&mut self, context: &mut Context<'_>, stats: &Stats) -> Poll<Option<Datagram>> {
        loop {
            let Some(datagram) = ready!(self.queue.poll_recv(context)) else {
                return Poll::Ready(None);
            };
            if !self.sources.admit(&datagram.bytes) {
                stats.dropped("inbound_unknown", 1);
                continue;
            }
            if let Some(to) = datagram.to {
                if self.locals.len() >= LOCALS {
                    self.locals.clear();
                }
                self.locals.insert(datagram.from, to);
            }
            return Poll::Ready(Some(datagram));
        }
    }
}
