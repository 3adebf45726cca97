//! What all connections of the process share: the port.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use rtc::shared::ifaces::ifaces;
use tokio::task::JoinHandle;

use super::connection::{self, Peer};
use super::mux::Mux;
use super::sdp::{Candidate, Transport};
use super::{Error, Options, Uplink, mux_tcp};
use crate::stats::Stats;

/// Candidates in an answer, per transport. A host with more addresses than that has bridges.
const CANDIDATES: usize = 16;
/// Tries to find a port number that is free for UDP and TCP.
const PORT_TRIES: usize = 16;

/// Where media comes in and goes out.
#[derive(Debug, Clone)]
pub struct Settings {
    /// UDP and TCP. Port 0 takes any that is free for both; an unspecified address (`0.0.0.0`)
    /// offers every address of the machine, loopback last.
    pub listen: SocketAddr,
    /// The addresses clients reach this machine by, if they are not its own (NAT); then only
    /// these are offered.
    pub public_ips: Vec<IpAddr>,
}

/// Process-wide: the port, and how connections are made.
#[derive(Debug)]
pub struct Engine {
    settings: Settings,
    local: SocketAddr,
    mux: Mux,
    tcp: JoinHandle<()>,
    stats: Arc<Stats>,
}

impl Engine {
    /// Opens the port.
    ///
    /// # Errors
    /// If it cannot be bound, for UDP or for TCP.
    pub async fn bind(settings: Settings, stats: Arc<Stats>) -> Result<Arc<Engine>, Error> {
        let listen = settings.listen;
        let (udp, tcp) = bind_both(listen)?;
        let error = |protocol| {
            move |source| Error::Listen {
                address: listen,
                protocol,
                source,
            }
        };
        let mux = Mux::start(udp, stats.clone()).map_err(error("UDP"))?;
        let local = mux.local_addr().map_err(error("UDP"))?;
        tcp.set_nonblocking(true).map_err(error("TCP"))?;
        let tcp = tokio::net::TcpListener::from_std(tcp).map_err(error("TCP"))?;
        let tcp = tokio::spawn(mux_tcp::listen(tcp, mux.streams()));
        Ok(Arc::new(Self {
            settings,
            local,
            mux,
            tcp,
            stats,
        }))
    }

    /// The address bound: UDP and TCP.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Connections, and entries in all tables of the port: zeros when everybody has gone.
    pub fn load(&self) -> (usize, usize) {
        self.mux.len()
    }

    /// Answers a client's first offer. The answer has all our candidates in it; the client need
    /// not send its own.
    ///
    /// # Errors
    /// Says what is wrong with the offer.
    pub async fn accept(
        self: &Arc<Self>,
        offer: &str,
        options: Options,
        uplink: Arc<dyn Uplink>,
    ) -> Result<(Peer, String), Error> {
        connection::accept(self.clone(), offer, options, uplink).await
    }

    pub(super) fn mux(&self) -> &Mux {
        &self.mux
    }

    pub(super) fn stats(&self) -> Arc<Stats> {
        self.stats.clone()
    }

    /// What an answer offers, best first. Looked up anew each time: networks come and go.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let mut ips = self.settings.public_ips.clone();
        if ips.is_empty() && self.local.ip().is_unspecified() {
            ips = interface_addresses(self.local.is_ipv4());
        } else if ips.is_empty() {
            ips.push(self.local.ip());
        }
        ips.truncate(CANDIDATES);
        [Transport::Udp, Transport::TcpPassive]
            .into_iter()
            .flat_map(|transport| {
                ips.iter().zip(0..).map(move |(ip, rank)| Candidate {
                    transport,
                    address: SocketAddr::new(*ip, self.local.port()),
                    rank,
                })
            })
            .collect()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.tcp.abort();
    }
}

fn bind_both(listen: SocketAddr) -> Result<(UdpSocket, TcpListener), Error> {
    let error = |protocol| {
        move |source| Error::Listen {
            address: listen,
            protocol,
            source,
        }
    };
    let mut tries = 0;
    loop {
        tries += 1;
        let udp = UdpSocket::bind(listen).map_err(error("UDP"))?;
        let local = udp.local_addr().map_err(error("UDP"))?;
        match TcpListener::bind(local) {
            Ok(tcp) => return Ok((udp, tcp)),
            // Free for UDP is not free for TCP.
            Err(taken)
                if taken.kind() == io::ErrorKind::AddrInUse
                    && listen.port() == 0
                    && tries < PORT_TRIES => {}
            Err(source) => return Err(error("TCP")(source)),
        }
    }
}

/// The machine's addresses that a client might reach, of both families.
pub fn addresses() -> Vec<IpAddr> {
    let (v4, v6) = (interface_addresses(true), interface_addresses(false));
    v4.into_iter().chain(v6).collect()
}

/// The machine's addresses of one family that a client might reach, loopback last.
fn interface_addresses(v4: bool) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = ifaces()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|interface| Some(interface.addr?.ip()))
        .filter(|ip| ip.is_ipv4() == v4 && !ip.is_unspecified() && !is_link_local(ip))
        .collect();
    addresses.push(match v4 {
        true => Ipv4Addr::LOCALHOST.into(),
        false => Ipv6Addr::LOCALHOST.into(),
    });
    addresses.sort_by_key(IpAddr::is_loopback);
    let mut seen = Vec::new();
    addresses.retain(|ip| {
        !seen.contains(ip) && {
            seen.push(*ip);
            true
        }
    });
    addresses
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_offered_last_and_once() {
        let addresses = interface_addresses(true);
        assert_eq!(addresses.last(), Some(&Ipv4Addr::LOCALHOST.into()));
        let mut distinct = addresses.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), addresses.len());
    }

    #[tokio::test]
    async fn one_number_for_udp_and_tcp() {
        let settings = Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_ips: vec!["203.0.113.5".parse().unwrap()],
        };
        let engine = Engine::bind(settings.clone(), Arc::default())
            .await
            .unwrap();
        assert_ne!(engine.local_addr().port(), 0);
        let candidates = engine.candidates();
        let port = engine.local_addr().port();
        assert_eq!(candidates.len(), 2);
        for candidate in candidates {
            let line = candidate.line();
            assert!(
                line.contains(&format!("203.0.113.5 {port} typ host")),
                "{line}"
            );
        }
        let taken = Settings {
            listen: engine.local_addr(),
            ..settings
        };
        let error = Engine::bind(taken, Arc::default()).await.unwrap_err();
        assert!(error.to_string().contains("UDP"), "{error}");
    }
}
