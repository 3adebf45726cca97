//! The async runtime as webrtc sees it: tokio, except that the sockets are ours.

use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, RecvMeta, Runtime,
    TokioRuntime, Transmit,
};

use super::link::Link;
use super::mux::MuxPort;
use super::wire::Wire;
use crate::clock::{self, MediaTime};

/// A driver that has nothing to send or to read is woken at multiples of this only, as are all
/// others: each would else wake a thread of its own five times a second, to see whether it is time
/// for the next check, which is due once a second.
const REST: Duration = Duration::from_millis(500);
/// What is due sooner may be of use to somebody.
const SOON: Duration = Duration::from_millis(150);

/// Where a connection's packets come from and go to.
#[derive(Debug)]
pub(super) enum Sockets {
    /// The engine's one port.
    Shared(MuxPort),
    /// Sockets of its own (clients).
    Own,
}

/// One per connection.
#[derive(Debug)]
pub(super) struct PeerRuntime {
    /// Which sockets to hand out.
    pub sockets: Sockets,
    /// The connection.
    pub link: Arc<Link>,
}

impl PeerRuntime {
    /// How long a driver sleeps that wants to for `duration`. Where nothing goes by it, it only has
    /// its own timers. Those of a data channel have others wait for them.
    fn rest(&self, duration: Duration) -> Duration {
        let idle = self.link.takes_lane() && !self.link.talk.is_open();
        match idle && duration >= SOON {
            true => rest(clock::now(), duration),
            false => duration,
        }
    }
}

/// From `now` until the first multiple of [`REST`] that is not sooner than in `duration`.
fn rest(now: MediaTime, duration: Duration) -> Duration {
    let wanted = Duration::from_nanos(now.0).saturating_add(duration);
    let rests = wanted.as_nanos().div_ceil(REST.as_nanos());
    let until = u64::try_from(rests * REST.as_nanos()).unwrap_or(u64::MAX);
    MediaTime(until).since(now)
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Runtime for PeerRuntime {
    fn spawn(&self, future: Boxed<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        match &self.sockets {
            // The driver bound a socket to have an address to believe in; that is all it is for.
            Sockets::Shared(port) => Ok(Arc::new(port.socket(socket.local_addr()?))),
            Sockets::Own => Ok(Arc::new(WiredSocket {
                socket: TokioRuntime.wrap_udp_socket(socket)?,
                wire: self.link.wire.clone(),
            })),
        }
    }

    fn wrap_tcp_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        match &self.sockets {
            Sockets::Shared(port) => Ok(Arc::new(port.listener(listener.local_addr()?))),
            Sockets::Own => TokioRuntime.wrap_tcp_listener(listener),
        }
    }

    fn connect_tcp<'a>(
        &'a self,
        address: SocketAddr,
    ) -> Boxed<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        Box::pin(async move {
            match &self.sockets {
                // Clients come to us; their candidates are never called.
                Sockets::Shared(_) => Err(io::ErrorKind::Unsupported.into()),
                Sockets::Own => {
                    let stream = TokioRuntime.connect_tcp(address).await?;
                    let wire = self.link.wire.clone();
                    Ok(Arc::new(WiredStream { stream, wire }) as Arc<dyn AsyncTcpStream>)
                }
            }
        })
    }

    fn resolve_host<'a>(&'a self, _: &'a str) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        // Only STUN and TURN servers have names, and none are used.
        Box::pin(std::future::ready(Err(io::ErrorKind::Unsupported.into())))
    }

    fn sleep(&self, duration: Duration) -> Boxed<'static, ()> {
        TokioRuntime.sleep(self.rest(duration))
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Boxed<'static, ()> {
        TokioRuntime.yield_now()
    }

    fn name(&self) -> &'static str {
        "quilt"
    }
}

/// A client's own socket with the bell.
#[derive(Debug)]
struct WiredSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    wire: Arc<Wire>,
}

impl Drop for WiredSocket {
    fn drop(&mut self) {
        self.wire.end();
    }
}

impl AsyncUdpSocket for WiredSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn poll_send(
        &self,
        context: &mut Context<'_>,
        transmit: &Transmit<'_>,
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_send(context, transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        match self.socket.poll_recv(context, buffers, metas) {
            Poll::Pending if self.wire.poll_rung(context) => {
                if let Some(meta) = metas.first_mut() {
                    *meta = RecvMeta::default();
                    meta.stride = 1;
                }
                Poll::Ready(Ok(1))
            }
            received => {
                if matches!(received, Poll::Ready(Ok(_))) {
                    self.wire.set_arrived(clock::now());
                }
                received
            }
        }
    }

    fn max_gso_segments(&self) -> usize {
        self.socket.max_gso_segments()
    }

    fn max_gro_segments(&self) -> usize {
        self.socket.max_gro_segments()
    }
}

/// A client's own TCP stream with the clock.
#[derive(Debug)]
struct WiredStream {
    stream: Arc<dyn AsyncTcpStream>,
    wire: Arc<Wire>,
}

impl AsyncTcpStream for WiredStream {
    fn read<'a, 'b>(&'a self, buffer: &'b mut [u8]) -> Boxed<'b, io::Result<usize>>
    where
        'a: 'b,
    {
        Box::pin(async move {
            let read = self.stream.read(buffer).await;
            self.wire.set_arrived(clock::now());
            read
        })
    }

    fn write_all<'a, 'b>(&'a self, buffer: &'b [u8]) -> Boxed<'b, io::Result<()>>
    where
        'a: 'b,
    {
        self.stream.write_all(buffer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_rest_until_the_same_time() {
        let ms = Duration::from_millis;
        let at = |now: u64, wanted| rest(MediaTime(now * 1_000_000), ms(wanted));
        assert_eq!(at(0, 500), ms(500));
        assert_eq!(at(1, 200), ms(499));
        assert_eq!(at(1_301, 200), ms(699));
        assert_eq!(at(1_300, 200), ms(200));
        assert_eq!(at(7_777, 86_400_000), ms(86_400_223));
        assert!(rest(MediaTime(5), Duration::MAX) > ms(86_400_000));
    }
}
