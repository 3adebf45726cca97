//! The port of HTTP and HTTPS: who may connect, how long they may dawdle, how it closes.
//!
//! Strangers reach this port, so everything has a bound: how many connections there are, how long
//! a TLS handshake and a request's head may take, how large that head may be, how long an answer
//! may wait to be taken. HTTP/1.1 is all that is spoken: the page is some twenty small files, and
//! a WebSocket wants a connection of its own anyway.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use crate::room::registry::Phase;
use crate::server::socket::Socket;
use crate::stats::Stats;

/// Connections at the same time, where the limit on open files allows it: a WebSocket and up to
/// five more while its page loads for each of six hundred people, who are more than one machine
/// mixes for. At some 60 KB each they are a quarter of a gigabyte at worst.
const MAX_CONNECTIONS: usize = 4096;
/// The part of the process's file descriptors that connections may take; the rest is for media
/// (a participant's pipelines have some ten), so that a flood of connections ends no meeting.
const DESCRIPTORS_SHARE: u64 = 2;
/// From the connection to the end of the TLS handshake. It is two round trips.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);
/// From the end of the last answer, or of the handshake, to the end of the next request's head.
const HEADER_PATIENCE: Duration = Duration::from_secs(10);
/// A request's line and headers, bytes. A browser's have 1 KB, and a token 1 KB more.
const MAX_HEADER: usize = 16 * 1024;
/// What one connection may have read or written and not used, bytes.
const MAX_BUFFER: usize = 64 * 1024;
/// The system refuses to accept (no descriptors are left): asking again at once would spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What a request under way may still take when the server stops.
const GOODBYE: Duration = Duration::from_secs(1);
/// First byte of a TLS connection: a handshake record (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;
/// What somebody gets for whom there is no place, where they can read it.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\
                      retry-after: 5\r\nconnection: close\r\n\r\n";

/// How much strangers may take up.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at the same time.
    connections: usize,
    /// Time for a TLS handshake.
    handshake: Duration,
    /// Time for a request's head.
    header: Duration,
}

impl Limits {
    /// For a process that may have so many files open.
    pub fn with_descriptors(descriptors: u64) -> Self {
        let share = usize::try_from(descriptors / DESCRIPTORS_SHARE).unwrap_or(usize::MAX);
        Self {
            connections: share.clamp(1, MAX_CONNECTIONS),
            handshake: HANDSHAKE_PATIENCE,
            header: HEADER_PATIENCE,
        }
    }
}

/// The open port.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    limits: Limits,
}

/// What is said on the port's connections.
#[derive(Clone)]
pub struct Routes {
    /// Over TLS, or over plain TCP where there is no TLS.
    pub all: Router,
    /// Over plain TCP to those from elsewhere who should use TLS.
    pub plain: Router,
}

impl Listener {
    /// Opens the port.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        limits: Limits,
    ) -> io::Result<Self> {
        Ok(Self {
            tcp: TcpListener::bind(address).await?,
            tls: tls.map(TlsAcceptor::from),
            limits,
        })
    }

    /// The address in use.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until the phase is stopping; then closes the port, lets requests under way end, and
    /// waits until no connection is left, WebSockets included. How long to wait is the caller's.
    pub async fn serve(self, routes: Routes, phase: watch::Receiver<Phase>, stats: Arc<Stats>) {
        let Self { tcp, tls, limits } = self;
        let places = Arc::new(Semaphore::new(limits.connections));
        loop {
            let accepted = tokio::select! {
                accepted = tcp.accept() => accepted,
                () = stopping(phase.clone()) => break,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) if ended_early(&error) => continue,
                Err(error) => {
                    stats.dropped("connections", 1);
                    tracing::debug!(%error, "cannot accept a connection");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Ok(place) = places.clone().try_acquire_owned() else {
                stats.dropped("connections", 1);
                if tls.is_none() {
                    // As much as fits into the socket's buffer, which is all of it.
                    let _ = stream.try_write(FULL);
                }
                continue;
            };
            let (tls, routes, phase) = (tls.clone(), routes.clone(), phase.clone());
            tokio::spawn(async move {
                // Messages are small and urgent; they need not be collected.
                let _ = stream.set_nodelay(true);
                let connection = Connection {
                    from,
                    routes,
                    phase,
                    limits,
                };
                match tls {
                    None => connection.whole(Socket::new(stream, place)).await,
                    Some(tls) => connection.secure(stream, place, tls).await,
                }
            });
        }
        drop(tcp);
        // The semaphore is never closed, and there were never more places than that.
        let _all = places.acquire_many(limits.connections as u32).await;
    }
}

/// What somebody speaks who came to the port of HTTPS.
enum Opened {
    Http(Socket<TcpStream>),
    Https(Box<TlsStream<Socket<TcpStream>>>),
}

struct Connection {
    from: SocketAddr,
    routes: Routes,
    phase: watch::Receiver<Phase>,
    limits: Limits,
}

impl Connection {
    /// Offers everything.
    async fn whole(self, socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let router = self.routes.all.clone();
        self.http(socket, router).await;
    }

    /// Speaks HTTPS. Those who speak HTTP here are sent to HTTPS, except programs on this machine:
    /// what stays on it needs no encryption, and they cannot know the certificate.
    async fn secure(self, stream: TcpStream, place: OwnedSemaphorePermit, tls: TlsAcceptor) {
        let from = self.from;
        let at = stream.local_addr().map(|at| at.ip()).ok();
        let open = async {
            let mut first = [0];
            let speaks_http = stream.peek(&mut first).await? > 0 && first[0] != TLS_HANDSHAKE;
            let socket = Socket::new(stream, place);
            match speaks_http {
                true => Ok(Opened::Http(socket)),
                false => tls.accept(socket).await.map(|s| Opened::Https(Box::new(s))),
            }
        };
        match timeout(self.limits.handshake, open).await {
            Ok(Ok(Opened::Https(socket))) => self.whole(socket).await,
            Ok(Ok(Opened::Http(socket))) if from_here(from.ip(), at) => {
                self.whole(socket).await;
            }
            Ok(Ok(Opened::Http(socket))) => {
                let router = self.routes.plain.clone();
                self.http(socket, router).await;
            }
            Ok(Err(error)) => tracing::debug!(%from, %error, "no TLS"),
            Err(_) => tracing::debug!(%from, "no TLS in time"),
        }
    }

    async fn http(
        self,
        socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        router: Router,
    ) {
        let from = self.from;
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(from));
            router.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header)
            .max_header_size(MAX_HEADER)
            .max_buf_size(MAX_BUFFER)
            .serve_connection(TokioIo::new(socket), service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopping(self.phase) => {
                connection.as_mut().graceful_shutdown();
                match timeout(GOODBYE, connection).await {
                    Ok(ended) => ended,
                    // It said nothing, or took nothing; it is not waited for.
                    Err(_) => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%from, %error, "HTTP connection ended");
        }
    }
}

/// Resolves when the server stops.
pub async fn stopping(mut phase: watch::Receiver<Phase>) {
    // Without a sender nobody is left to say anything else.
    let _ = phase.wait_for(|phase| *phase == Phase::Stopping).await;
}

/// Whether somebody connects from this very machine: by loopback, or from the address that they
/// connect to. Nobody else can hold a TCP conversation from there.
fn from_here(from: IpAddr, at: Option<IpAddr>) -> bool {
    from.to_canonical().is_loopback() || at.is_some_and(|at| at == from)
}

/// Whether accepting failed because of the one connection that would have been accepted.
fn ended_early(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

#[cfg(test)]
mod tests {
    use axum::extract::ws::{WebSocket, WebSocketUpgrade};
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;

    use super::*;
    use crate::server::{self_signed, tls};

    const LIMITS: Limits = Limits {
        connections: 2,
        handshake: Duration::from_secs(60),
        header: Duration::from_secs(60),
    };
    const SOON: Duration = Duration::from_millis(20);
    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    struct Port {
        address: SocketAddr,
        phase: watch::Sender<Phase>,
        stats: Arc<Stats>,
        serving: JoinHandle<()>,
    }

    impl Port {
        async fn open(limits: Limits, tls: Option<Arc<ServerConfig>>) -> Self {
            let local = SocketAddr::from(([127, 0, 0, 1], 0));
            let listener = Listener::bind(local, tls, limits).await.unwrap();
            let address = listener.local_addr().unwrap();
            let who = |ConnectInfo(from): ConnectInfo<SocketAddr>| async move { from.to_string() };
            let echo = |socket: WebSocketUpgrade| async {
                socket.on_upgrade(|mut socket: WebSocket| async move {
                    while let Some(Ok(frame)) = socket.recv().await {
                        let _ = socket.send(frame).await;
                    }
                })
            };
            let all = Router::new().route("/", get(who)).route("/ws", get(echo));
            let routes = Routes {
                plain: Router::new(),
                all,
            };
            let (phase, stats) = (watch::Sender::new(Phase::Serving), Arc::<Stats>::default());
            let serving = listener.serve(routes, phase.subscribe(), stats.clone());
            Self {
                address,
                phase,
                stats,
                serving: tokio::spawn(serving),
            }
        }

        async fn connect(&self) -> TcpStream {
            TcpStream::connect(self.address).await.unwrap()
        }

        /// What comes back for what is sent, until the other side closes.
        async fn ask(&self, request: &[u8]) -> String {
            let mut stream = self.connect().await;
            stream.write_all(request).await.unwrap();
            answer(&mut stream).await
        }
    }

    async fn answer(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        // A reset is an end, too.
        let _ = stream.read_to_end(&mut text).await;
        String::from_utf8(text).unwrap()
    }

    fn certificate() -> Arc<ServerConfig> {
        let folder = std::env::temp_dir().join(format!("quilt-listen-{:x}", rand::random::<u64>()));
        let made = self_signed::keep(&folder, &[], &[]).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        Arc::new(tls::server(vec![made.certificate], made.key).unwrap())
    }

    #[tokio::test]
    async fn who_dawdles_is_let_go() {
        let limits = Limits {
            header: SOON,
            ..LIMITS
        };
        let port = Port::open(limits, None).await;
        assert_eq!(port.ask(b"GET / HTTP/1.1\r\nhost: x\r\nslow: ").await, "");
        assert_eq!(port.ask(b"").await, "");
        let answer = port.ask(GET).await;
        assert!(
            answer.starts_with("HTTP/1.1 200"),
            "idle, it closes later: {answer}"
        );
        let limits = Limits {
            handshake: SOON,
            ..LIMITS
        };
        let port = Port::open(limits, Some(certificate())).await;
        assert_eq!(port.ask(b"").await, "");
        assert_eq!(port.ask(&[TLS_HANDSHAKE, 3, 1]).await, "");
    }

    #[tokio::test]
    async fn a_large_head_is_refused() {
        let port = Port::open(LIMITS, None).await;
        let filler = "x".repeat(MAX_HEADER);
        let request = format!("GET / HTTP/1.1\r\nhost: x\r\nfiller: {filler}\r\n\r\n");
        let answer = port.ask(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }

    #[tokio::test]
    async fn only_so_many_connections_and_then_a_clear_word() {
        let port = Port::open(LIMITS, None).await;
        let mut first = port.connect().await;
        first.write_all(GET).await.unwrap();
        first.read_exact(&mut [0; 12]).await.unwrap();
        let url = format!("ws://{}/ws", port.address);
        let request = url.into_client_request().unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, port.connect().await)
            .await
            .unwrap();
        // An upgraded connection still has its place.
        let answer = port.ask(GET).await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(
            port.stats
                .render()
                .contains("quilt_dropped_total{queue=\"connections\"} 1")
        );
        drop((first, socket));
        // Until the server has noticed, which no event tells.
        while !port.ask(GET_ONCE).await.starts_with("HTTP/1.1 200") {
            tokio::task::yield_now().await;
        }
    }

    const GET_ONCE: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn handlers_know_who_asks_and_local_programs_need_no_tls() {
        let port = Port::open(LIMITS, Some(certificate())).await;
        let mut stream = port.connect().await;
        let from = stream.local_addr().unwrap().to_string();
        stream.write_all(GET_ONCE).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.ends_with(&from), "{answer}");
    }

    #[tokio::test]
    async fn stopping_waits_for_upgraded_connections_and_not_for_idle_ones() {
        let port = Port::open(LIMITS, None).await;
        let url = format!("ws://{}/ws", port.address);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut idle = port.connect().await;
        idle.write_all(GET).await.unwrap();
        idle.read_exact(&mut [0; 12]).await.unwrap();
        port.phase.send_replace(Phase::Stopping);
        answer(&mut idle).await;
        assert!(
            TcpStream::connect(port.address).await.is_err(),
            "the port is closed"
        );
        assert!(!port.serving.is_finished());
        drop(socket);
        port.serving.await.unwrap();
    }

    #[test]
    fn who_comes_from_here_is_told_by_the_address() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let at = Some(ip("192.0.2.2"));
        assert!(from_here(ip("127.0.0.1"), at));
        assert!(from_here(ip("::ffff:127.0.0.1"), None));
        assert!(from_here(ip("192.0.2.2"), at));
        assert!(!from_here(ip("192.0.2.3"), at));
        assert!(!from_here(ip("192.0.2.3"), None));
    }

    #[test]
    fn connections_leave_descriptors_for_media() {
        assert_eq!(Limits::with_descriptors(1024).connections, 512);
        assert_eq!(
            Limits::with_descriptors(u64::MAX).connections,
            MAX_CONNECTIONS
        );
        assert_eq!(Limits::with_descriptors(0).connections, 1);
    }
}
