//! One UDP port for all connections: what comes ([`reader`](super::reader)) is routed
//! ([`Routes`]).

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use tokio::sync::mpsc;
use webrtc::runtime::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};

use super::feedback;
use super::link::Link;
use super::mux_tcp::{Accepted, TcpPort};
use super::reader::Reader;
use super::routes::{PortId, Routes};
use super::socket::VirtualSocket;
use super::stun::{self, Binding};
use super::wire::Wire;
use crate::allowance::{Allowance, Rate};
use crate::clock::{self, MediaTime};
use crate::stats::Stats;

/// Datagrams that wait for one connection's driver: a second of a 2.5 Mbit/s uplink. A driver
/// that is further behind has more to fear than loss.
const PORT_QUEUE: usize = 256;
/// Kernel buffers asked for, bytes: 100 ms of 100 uplinks at 2.5 Mbit/s. The kernel may cap it.
const SOCKET_BUFFER: usize = 4 << 20;

/// Checks that a connection's agent gets from addresses it does not know: a client tries some
/// sixteen pairs of addresses twenty times a second. Each costs the agent an HMAC, 20 µs.
const CHECKS: Rate = Rate {
    burst: 500.0,
    a_second: 500.0,
};

/// Reports of one client that are read as they come in; more of them are read on a task of its own,
/// so that nobody else's datagrams wait for them. A browser sends up to twenty-five a second.
const REPORTS: Rate = Rate {
    burst: 50.0,
    a_second: 50.0,
};

/// Strangers who are told their address: pages of a mesh that is about to be. What a forger can have
/// sent to somebody else by that is no more than a page of text a second.
const REFLECTIONS: Rate = Rate {
    burst: 100.0,
    a_second: 50.0,
};

/// A datagram on its way to a connection.
#[derive(Debug)]
pub(super) struct Datagram {
    /// As it came.
    pub bytes: Bytes,
    /// The other side's address.
    pub from: SocketAddr,
    /// The local address it came to, where the kernel tells: replies leave from there.
    pub to: Option<IpAddr>,
    /// When it was read.
    pub arrived: MediaTime,
}

/// The port. Reading ends when this is dropped.
#[derive(Debug)]
pub(super) struct Mux {
    shared: Arc<Shared>,
    _reader: Reader,
}

/// What the port's reader and its users share.
pub(super) struct Shared {
    socket: UdpSocket,
    io: UdpSocketState,
    tables: Mutex<Tables>,
    stats: Arc<Stats>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Tables {
    routes: Routes,
    inlets: HashMap<PortId, Inlet>,
    streams: HashMap<PortId, mpsc::Sender<Accepted>>,
    last: PortId,
    reflections: Allowance,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            routes: Routes::default(),
            inlets: HashMap::new(),
            streams: HashMap::new(),
            last: 0,
            reflections: Allowance::new(REFLECTIONS, clock::now().instant()),
        }
    }
}

/// The way to a connection.
#[derive(Debug)]
struct Inlet {
    /// To its driver.
    queue: mpsc::Sender<Datagram>,
    /// To whoever reads feedback.
    feedback: mpsc::Sender<Datagram>,
    link: Arc<Link>,
    reports: Allowance,
    strangers: Allowance,
}

/// Where a datagram goes.
enum Goes {
    /// To the driver.
    On,
    /// To whoever reads feedback.
    Aside,
    /// Nowhere: it is read at once.
    Nowhere,
}

impl Inlet {
    /// Whether a datagram may pass. What comes from an address that has not been proven to be the
    /// client's (a check) must neither be held against the client nor keep the driver busy.
    fn admit(&mut self, bytes: usize, proven: bool, at: MediaTime) -> bool {
        match proven {
            true => self.link.wire.admit(bytes, at),
            false => self.strangers.take(at.instant()),
        }
    }

    fn goes(&mut self, bytes: &[u8], at: MediaTime) -> Goes {
        if !feedback::is_feedback(bytes) || self.link.learned.opener().is_none() {
            return Goes::On;
        }
        match feedback::is_report(bytes) && self.reports.take(at.instant()) {
            true => Goes::Nowhere,
            false => Goes::Aside,
        }
    }
}

impl Mux {
    /// Takes over a bound socket.
    pub fn start(socket: UdpSocket, stats: Arc<Stats>) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let read = socket.try_clone()?;
        let io = UdpSocketState::new(UdpSockRef::from(&socket))?;
        // Larger kernel buffers are a wish; the default works, with more loss under bursts.
        let _ = io.set_recv_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER);
        let _ = io.set_send_buffer_size(UdpSockRef::from(&socket), SOCKET_BUFFER);
        let shared = Arc::new(Shared {
            socket,
            io,
            tables: Mutex::default(),
            stats,
        });
        Ok(Self {
            _reader: Reader::start(read, shared.clone())?,
            shared,
        })
    }

    /// The address bound.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.socket.local_addr()
    }

    /// Makes room for one more connection.
    pub fn open(&self, link: Arc<Link>) -> MuxPort {
        let mut tables = self.shared.lock();
        tables.last += 1;
        let id = tables.last;
        tables.routes.open(id);
        MuxPort(Arc::new(PortHandle {
            id,
            shared: self.shared.clone(),
            link,
        }))
    }

    /// Finds connections for TCP streams.
    pub fn streams(&self) -> Streams {
        Streams(self.shared.clone())
    }

    /// How many connections, and entries in all tables, there are.
    pub fn len(&self) -> (usize, usize) {
        let tables = self.shared.lock();
        let (ports, entries) = tables.routes.len();
        (ports, entries + tables.inlets.len() + tables.streams.len())
    }
}

/// Finds the connection a TCP stream asks for.
#[derive(Debug, Clone)]
pub(super) struct Streams(Arc<Shared>);

impl Streams {
    /// Where to put a stream whose first frame names `ufrag`.
    pub fn queue(&self, ufrag: &str) -> Option<mpsc::Sender<Accepted>> {
        self.0.stream_queue(ufrag)
    }

    /// Where to count.
    pub fn stats(&self) -> Arc<Stats> {
        self.0.stats.clone()
    }
}

/// A connection's share of the port. The last clone dropped closes it.
#[derive(Debug, Clone)]
pub(super) struct MuxPort(Arc<PortHandle>);

#[derive(Debug)]
struct PortHandle {
    id: PortId,
    shared: Arc<Shared>,
    link: Arc<Link>,
}

/// A [`MuxPort`], while others keep it.
#[derive(Debug, Clone, Default)]
pub(super) struct WeakPort(Weak<PortHandle>);

impl WeakPort {
    /// The port, if there still is one.
    pub fn upgrade(&self) -> Option<MuxPort> {
        self.0.upgrade().map(MuxPort)
    }
}

impl Drop for PortHandle {
    fn drop(&mut self) {
        self.shared.lock().routes.close(self.id);
    }
}

impl MuxPort {
    /// The agent behind this port is called `ufrag` from now on (and by its name before).
    pub fn name(&self, ufrag: &str) {
        self.0.shared.lock().routes.name(self.0.id, ufrag);
    }

    /// The socket for the driver; `local` is what it believes the address to be.
    pub fn socket(&self, local: SocketAddr) -> VirtualSocket {
        let (sender, queue) = mpsc::channel(PORT_QUEUE);
        let (feedback, heard) = mpsc::channel(feedback::QUEUE);
        let link = self.0.link.clone();
        // It ends with the inlet.
        tokio::spawn(feedback::hear(link.clone(), heard));
        let inlet = Inlet {
            queue: sender,
            feedback,
            link,
            reports: Allowance::new(REPORTS, clock::now().instant()),
            strangers: Allowance::new(CHECKS, clock::now().instant()),
        };
        self.0.shared.lock().inlets.insert(self.0.id, inlet);
        VirtualSocket::new(self.clone(), local, queue)
    }

    /// How the connection's driver is woken.
    pub fn wire(&self) -> &Wire {
        &self.0.link.wire
    }

    /// The same without keeping it open.
    pub fn downgrade(&self) -> WeakPort {
        WeakPort(Arc::downgrade(&self.0))
    }

    /// Where drops are counted.
    pub fn stats(&self) -> &Stats {
        &self.0.shared.stats
    }

    /// Datagrams that one [`MuxPort::send`] can be made of.
    pub fn max_segments(&self) -> usize {
        self.0.shared.io.max_gso_segments()
    }

    /// Sends from the shared port. Never waits.
    pub fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let shared = &self.0.shared;
        if let Some(Binding::Request { transaction, .. }) = stun::parse(transmit.contents) {
            let to = transmit.destination;
            shared.lock().routes.asked(self.0.id, transaction, to);
        }
        let socket = UdpSockRef::from(&shared.socket);
        match shared.io.try_send(socket, transmit) {
            // The kernel's buffer is full for everybody. Waiting would hold up this connection's
            // checks and timers; a lost datagram is what its other layers are made for.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                shared.stats.dropped("udp_out", 1);
                Ok(())
            }
            Ok(()) => {
                let bytes = transmit.contents.len();
                let each = transmit.segment_size.unwrap_or(bytes).max(1);
                self.wire().traffic().send(bytes, bytes.div_ceil(each));
                Ok(())
            }
            failed => failed,
        }
    }

    /// The driver let go of its socket.
    pub fn unplug(&self) {
        self.0.shared.lock().inlets.remove(&self.0.id);
        self.wire().end();
    }

    /// The TCP listener for the driver; `local` is what it believes the address to be.
    pub fn listener(&self, local: SocketAddr) -> TcpPort {
        let (sender, queue) = mpsc::channel(super::mux_tcp::STREAMS);
        self.0.shared.lock().streams.insert(self.0.id, sender);
        let port = self.clone();
        let (wire, stats) = (self.0.link.wire.clone(), self.0.shared.stats.clone());
        TcpPort::new(local, queue, wire, stats, move || {
            port.0.shared.lock().streams.remove(&port.0.id);
        })
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        // The tables are whole after every statement that changes them.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stream_queue(&self, ufrag: &str) -> Option<mpsc::Sender<Accepted>> {
        let tables = self.lock();
        let port = tables.routes.request(ufrag)?;
        tables.streams.get(&port).cloned()
    }

    /// Tells somebody their address. Whoever does not get it asks again.
    fn reflect(&self, transaction: stun::Transaction, meta: &RecvMeta) {
        let answer = stun::reflection(transaction, meta.addr);
        let transmit = Transmit {
            destination: meta.addr,
            ecn: None,
            contents: &answer,
            segment_size: None,
            src_ip: meta.dst_ip,
        };
        let _ = self.io.try_send(UdpSockRef::from(&self.socket), &transmit);
    }

    /// How the socket is used.
    pub fn io(&self) -> &UdpSocketState {
        &self.io
    }

    /// Routes what came; what is left is feedback to be read at once, and whose it is.
    pub fn route<'a>(
        &self,
        datagrams: impl Iterator<Item = (&'a [u8], &'a RecvMeta)>,
        arrived: MediaTime,
    ) -> Vec<(Arc<Link>, &'a [u8])> {
        let mut tables = self.lock();
        let left = datagrams.filter_map(|(bytes, meta)| {
            let link = self.route_one(&mut tables, bytes, meta, arrived)?;
            Some((link, bytes))
        });
        left.collect()
    }

    fn route_one(
        &self,
        tables: &mut Tables,
        bytes: &[u8],
        meta: &RecvMeta,
        arrived: MediaTime,
    ) -> Option<Arc<Link>> {
        let (routes, from) = (&mut tables.routes, meta.addr);
        let port = if stun::is_stun(bytes) {
            match stun::parse(bytes) {
                Some(Binding::Request {
                    transaction,
                    ufrag: None,
                }) => {
                    if tables.reflections.take(arrived.instant()) {
                        self.reflect(transaction, meta);
                    }
                    return None;
                }
                Some(Binding::Request { ufrag, .. }) => {
                    ufrag.and_then(|ufrag| routes.request(ufrag))
                }
                Some(Binding::Success { transaction }) => routes.success(transaction, from),
                Some(Binding::Error { transaction }) => routes.response(transaction, from),
                Some(Binding::Indication) => routes.media(from),
                None => None,
            }
        } else {
            routes.media(from)
        };
        // What belongs to nobody is dropped without a word or a copy: a stranger learns nothing
        // and costs next to nothing.
        let proven = routes.media(from) == port;
        let inlet = tables.inlets.get_mut(&port?)?;
        let admitted = inlet.admit(bytes.len(), proven, arrived);
        let datagram = || Datagram {
            bytes: Bytes::copy_from_slice(bytes),
            from,
            to: meta.dst_ip,
            arrived,
        };
        let goes = match admitted.then(|| inlet.goes(bytes, arrived)) {
            Some(Goes::Nowhere) => return Some(inlet.link.clone()),
            Some(Goes::On) => inlet.queue.try_send(datagram()).is_ok(),
            Some(Goes::Aside) => inlet.feedback.try_send(datagram()).is_ok(),
            None => false,
        };
        if !goes {
            self.stats.dropped("udp_in", 1);
        }
        None
    }
}
