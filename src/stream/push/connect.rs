//! From a name to a connection. A name is looked up once, each address is judged, and what was
//! judged is connected to: a name server that gives another answer the next time gains nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::stream::push::allowed::Allowed;
use crate::stream::push::progress::STUCK;

/// Looking up, connecting and the handshakes may take so long each.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that the system keeps for a receiver that is slow: what 1.5 Mbit/s need on a path of half a
/// second. What is in there is lost when the connection breaks, and hides that nobody reads.
const SEND_BUFFER: u32 = 128 * 1024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The name means nothing.
    #[error("{0} cannot be found")]
    Unknown(String),
    /// It means nothing that may be connected to.
    #[error("this address is not allowed (see --output-allow)")]
    Forbidden,
    /// Nobody is there, in the system's words.
    #[error("cannot connect: {0}")]
    Refused(std::io::Error),
    /// Nobody answers.
    #[error("cannot connect: no answer within {PATIENCE:?}")]
    Silent,
    /// It is not who it should be, or speaks no TLS.
    #[error("TLS: {0}")]
    Tls(std::io::Error),
}

/// A connection, encrypted or not.
pub trait Link: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Link for T {}

/// The addresses of `host` that may be connected to; never none.
pub async fn addresses(host: &str, port: u16, allowed: &Allowed) -> Result<Vec<SocketAddr>, Error> {
    let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
        Ok(address) => vec![(address, port).into()],
        Err(_) => {
            let unknown = || Error::Unknown(host.to_owned());
            let found = timeout(PATIENCE, lookup_host((host, port))).await;
            let found = found.map_err(|_| unknown())?.map_err(|_| unknown())?;
            found.collect()
        }
    };
    let admitted = found.into_iter();
    let admitted = admitted.filter(|address| allowed.admits(host, address.ip()));
    let admitted: Vec<_> = admitted.collect();
    match admitted.is_empty() {
        true => Err(Error::Forbidden),
        false => Ok(admitted),
    }
}

/// Connects to the first of these that answers.
pub async fn tcp(addresses: &[SocketAddr]) -> Result<TcpStream, Error> {
    let mut last = Error::Silent;
    for address in addresses {
        match timeout(PATIENCE, tcp_to(*address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Error::Refused(error),
            Err(_) => last = Error::Silent,
        }
    }
    Err(last)
}

async fn tcp_to(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_send_buffer_size(SEND_BUFFER)?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    // Who acknowledges and reads nothing, or is cut off, is found by the system (tcp(7)).
    SockRef::from(&stream).set_tcp_user_timeout(Some(STUCK))?;
    Ok(stream)
}

/// Speaks TLS with who must be `host`.
pub async fn tls(
    stream: TcpStream,
    host: &str,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, Error> {
    let invalid = |error| Error::Tls(std::io::Error::other(error));
    let name = ServerName::try_from(host.to_owned()).map_err(invalid)?;
    let connecting = TlsConnector::from(config).connect(name, stream);
    let connected = timeout(PATIENCE, connecting).await;
    connected.map_err(|_| Error::Silent)?.map_err(Error::Tls)
}

/// TLS with the certificates that this system trusts, which are read once.
pub fn trusted() -> Result<Arc<ClientConfig>, Error> {
    static CLIENT: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    let make = || {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err("this system trusts no certificate (ca-certificates)".to_owned());
        }
        trusting(roots)
    };
    let client = CLIENT.get_or_init(make).clone();
    client.map_err(|why| Error::Tls(std::io::Error::other(why)))
}

/// TLS with those whom one of these vouches for.
pub fn trusting(roots: RootCertStore) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = config.with_root_certificates(roots);
    Ok(Arc::new(config.with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_are_judged_by_what_they_stand_for() {
        let any = Allowed::default();
        for host in ["localhost", "127.0.0.1", "::1", "2130706433"] {
            let refused = addresses(host, 1935, &any).await;
            assert!(
                matches!(refused, Err(Error::Forbidden | Error::Unknown(_))),
                "{host}"
            );
        }
        let local = Allowed(vec!["127.0.0.0/8".parse().unwrap()]);
        let found = addresses("localhost", 1935, &local).await.unwrap();
        assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], 1935))]);
    }
}
