//! The port of HTTP and HTTPS: who may connect, how long they may dawdle, how it closes.
//!
//! Strangers reach this port, so everything has a bound: how many connections there are, how long
//! a TLS handshake and a request's head may take, how large that head may be, how long an answer
//! may wait to be taken. HTTP/1.1 is all that is spoken: the page is some twenty small files, and
//! a WebSocket wants a connection of its own anyway.

use std::io;
use std::net::SocketAddr;
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
/// From the first byte of a TLS handshake to its end. It is two round trips.
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

/// The open port.
pub struct Listener {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
    limit: usize,
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
    /// Opens the port. `descriptors` is how many files the process may have open.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        descriptors: u64,
    ) -> io::Result<Self> {
        let limit = places(descriptors);
        Ok(Self {
            tcp: TcpListener::bind(address).await?,
            tls: tls.map(TlsAcceptor::from),
            places: Arc::new(Semaphore::new(limit)),
            limit,
        })
    }

    /// The address in use.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Serves until the phase is stopping; then closes the port, lets requests under way end, and
    /// waits until no connection is left, WebSockets included. How long to wait is the caller's.
    pub async fn serve(self, routes: Routes, phase: watch::Receiver<Phase>, stats: Arc<Stats>) {
        let Self {
            tcp,
            tls,
            places,
            limit,
        } = self;
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
                };
                match tls {
                    None => connection.whole(Socket::new(stream, place)).await,
                    Some(tls) => connection.secure(stream, place, tls).await,
                }
            });
        }
        drop(tcp);
        // The semaphore is never closed, and there were never more places than that.
        let _all = places.acquire_many(limit as u32).await;
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
}

impl Connection {
    /// Offers everything.
    async fn whole(self, socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let router = self.routes.all.clone();
        self.http(socket, router).await;
    }

    /// Speaks HTTPS. Those who speak HTTP here are sent to HTTPS, except programs on this machine:
    /// what stays on it needs no encryption, and they cannot know the certificate.
    async fn secure(
        self,
        stream: TcpStream,
        place: OwnedSemaphorePermit,
        tls: TlsAcceptor,
    ) {
        let from = self.from;
        let open = async {
            let mut first = [0];
            let speaks_http = stream.peek(&mut first).await? > 0 && first[0] != TLS_HANDSHAKE;
            let socket = Socket::new(stream, place);
            match speaks_http {
                true => Ok(Opened::Http(socket)),
                false => tls.accept(socket).await.map(|s| Opened::Https(Box::new(s))),
            }
        };
        match timeout(HANDSHAKE_PATIENCE, open).await {
            Ok(Ok(Opened::Https(socket))) => self.whole(socket).await,
            Ok(Ok(Opened::Http(socket))) if from.ip().to_canonical().is_loopback() => {
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
            .header_read_timeout(HEADER_PATIENCE)
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

/// How many connections there may be with so many file descriptors.
fn places(descriptors: u64) -> usize {
    let share = usize::try_from(descriptors / DESCRIPTORS_SHARE).unwrap_or(usize::MAX);
    share.clamp(1, MAX_CONNECTIONS)
}

/// Whether accepting failed because of the one connection that would have been accepted.
fn ended_early(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
