//! From a name to a connection. A name is looked up once, each address is judged, and what was
//! judged is connected to: a name server that gives another answer the next time gains nothing.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

use crate::stream::push::allowed::Allowed;
use crate::stream::push::progress::STUCK;
use crate::trust;

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
    #[error(transparent)]
    Tls(#[from] trust::Error),
}

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
