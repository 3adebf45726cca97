//! What all connections of the process share, and how the library is set up.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{
    NackGeneratorBuilder, NackResponderBuilder, ReceiverReportBuilder, Registry, Slot,
    TwccReceiverBuilder,
};
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_VP8, MediaEngine,
};
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use rtc::shared::ifaces::ifaces;
use tokio::task::JoinHandle;
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, SettingEngineBuilder,
    SrtpProtectionProfile,
};

use super::connection::{self, Peer};
use super::link::Link;
use super::mux::Mux;
use super::negotiation::kind_of;
use super::rtx::{self, Rtx};
use super::runtime::{PeerRuntime, Sockets};
use super::sdp::{Candidate, Codec, Format, Transport};
use super::tap::{self, Tap};
use super::{Error, Options, Uplink, mux_tcp};
use crate::media::{AUDIO_CLOCK, Kind, VIDEO_CLOCK};
use crate::stats::Stats;

/// Nothing heard for this long is a connection in trouble. Checks go out every second
/// ([`KEEPALIVE`]), so this is two of them lost.
const DISCONNECTED: Duration = Duration::from_millis(2_500);
/// The agent gives up after this much more. Longer than the connection's own patience (it ends a
/// disconnected connection, and one that does not come about), so that checks go on meanwhile.
const FAILED: Duration = Duration::from_secs(15);
const KEEPALIVE: Duration = Duration::from_secs(1);
/// Holes are asked for, and asked for again, in this rhythm: a jitter buffer of 100 ms gets two or
/// three chances on a path of 20 ms.
const NACK_INTERVAL: Duration = Duration::from_millis(20);
/// Then a keyframe is the better cure.
const NACKS_PER_PACKET: u16 = 10;
/// Transport-wide feedback: Chrome's estimator wants 50 to 250 ms.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(100);
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
        mux.ready().await.map_err(error("UDP"))?;
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

/// Builds the library's side of a connection.
pub(super) async fn build(
    link: &Arc<Link>,
    sockets: Sockets,
    local_ip: IpAddr,
    formats: [&[Format]; 2],
    handler: Arc<dyn PeerConnectionEventHandler>,
) -> Result<Arc<dyn PeerConnection>, Error> {
    let media = media_engine(formats).map_err(Error::at("register codecs"))?;
    let settings = SettingEngineBuilder::new()
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        // GCM is cheaper; older clients only have the other.
        .with_srtp_protection_profiles(vec![
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
        ])
        .with_ice_timeouts(Some(DISCONNECTED), Some(FAILED), Some(KEEPALIVE))
        .build();
    let any_port = SocketAddr::new(local_ip, 0);
    let connection = PeerConnectionBuilder::new()
        .with_media_engine(media)
        .with_interceptor_registry(interceptors(link))
        .with_setting_engine(settings)
        .with_handler(handler)
        .with_runtime(Arc::new(PeerRuntime {
            sockets,
            wire: link.wire.clone(),
        }))
        .with_udp_addrs(vec![any_port])
        .with_tcp_addrs(vec![any_port])
        .build()
        .await
        .map_err(Error::at("set up a connection"))?;
    Ok(Arc::new(connection))
}

fn interceptors(link: &Arc<Link>) -> Registry {
    Registry::new()
        .with(Slot::NackResponder, NackResponderBuilder::new().build())
        .with(Slot::Custom(rtx::SLOT), Rtx::new(link.clone()))
        .with(
            Slot::NackGenerator,
            NackGeneratorBuilder::new()
                .with_interval(NACK_INTERVAL)
                .with_max_nacks_per_packet(NACKS_PER_PACKET)
                .build(),
        )
        .with(
            Slot::TwccReceiver,
            TwccReceiverBuilder::new()
                .with_interval(FEEDBACK_INTERVAL)
                .build(),
        )
        .with(Slot::ReceiverReport, ReceiverReportBuilder::new().build())
        .with(Slot::Custom(tap::SLOT), Tap::new(link.clone()))
}

/// The library's name for a codec, with the feedback we understand.
pub(super) fn codec(format: &Format) -> RTCRtpCodec {
    let (name, clock_rate, channels) = match format.codec {
        Codec::Opus => (MIME_TYPE_OPUS, AUDIO_CLOCK, 2),
        Codec::Vp8 => (MIME_TYPE_VP8, VIDEO_CLOCK, 0),
        Codec::H264 { .. } => (MIME_TYPE_H264, VIDEO_CLOCK, 0),
    };
    // Opus repairs itself (in-band FEC); asking for it again would come too late.
    let feedback: &[(&str, &str)] = match format.codec.kind() {
        Kind::Audio => &[("transport-cc", "")],
        Kind::Video => &[
            ("transport-cc", ""),
            ("goog-remb", ""),
            ("ccm", "fir"),
            ("nack", ""),
            ("nack", "pli"),
        ],
    };
    RTCRtpCodec {
        mime_type: name.to_owned(),
        clock_rate,
        channels,
        sdp_fmtp_line: format.parameters.clone(),
        rtcp_feedback: feedback
            .iter()
            .map(|(typ, parameter)| RTCPFeedback {
                typ: (*typ).to_owned(),
                parameter: (*parameter).to_owned(),
            })
            .collect(),
    }
}

fn media_engine(formats: [&[Format]; 2]) -> Result<MediaEngine, rtc::shared::error::Error> {
    let mut media = MediaEngine::default();
    for format in formats.into_iter().flatten() {
        let kind = kind_of(format.codec.kind());
        let primary = RTCRtpCodecParameters {
            rtp_codec: codec(format),
            payload_type: format.payload_type,
        };
        media.register_codec(primary, kind)?;
        if let Some(rtx) = format.rtx {
            let retransmissions = RTCRtpCodecParameters {
                rtp_codec: RTCRtpCodec {
                    mime_type: "video/rtx".to_owned(),
                    clock_rate: VIDEO_CLOCK,
                    channels: 0,
                    sdp_fmtp_line: format!("apt={}", format.payload_type),
                    rtcp_feedback: Vec::new(),
                },
                payload_type: rtx,
            };
            media.register_codec(retransmissions, kind)?;
        }
    }
    const BOTH: &[RtpCodecKind] = &[RtpCodecKind::Audio, RtpCodecKind::Video];
    for (uri, kinds) in [
        ("urn:ietf:params:rtp-hdrext:sdes:mid", BOTH),
        (
            "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            BOTH,
        ),
        (
            "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            BOTH,
        ),
        ("urn:ietf:params:rtp-hdrext:ssrc-audio-level", &BOTH[..1]),
        ("urn:3gpp:video-orientation", &BOTH[1..]),
    ] {
        for kind in kinds {
            let extension = RTCRtpHeaderExtensionCapability {
                uri: uri.to_owned(),
            };
            media.register_header_extension(extension, *kind, None)?;
        }
    }
    Ok(media)
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
