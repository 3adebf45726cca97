//! How the library is set up for a connection: codecs, feedback, interceptors, patience.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rtc::ice::mdns::MulticastDnsMode;
use rtc::interceptor::{
    NackGeneratorBuilder, ReceiverReportBuilder, Registry, Slot, TwccReceiverBuilder,
};
use rtc::peer_connection::configuration::media_engine::{
    MIME_TYPE_H264, MIME_TYPE_OPUS, MIME_TYPE_VP8, MediaEngine,
};
use rtc::peer_connection::configuration::setting_engine::SctpMaxMessageSize;
use rtc::peer_connection::transport::RTCDtlsRole;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability, RtpCodecKind,
};
use webrtc::peer_connection::{
    PeerConnection, PeerConnectionBuilder, PeerConnectionEventHandler, SettingEngineBuilder,
    SrtpProtectionProfile,
};

use super::Error;
use super::channel::{MAX_MESSAGE, RECEIVE_BUFFER, SEND_BUFFER};
use super::introduced::Introduced;
use super::keys::Provider;
use super::link::Link;
use super::rtx::{self, Rtx};
use super::runtime::{PeerRuntime, Sockets};
use super::sdp::{ABS_SEND_TIME, AUDIO_LEVEL, Codec, Format, ORIENTATION, TRANSPORT_CC};
use super::tap::{self, Tap};
use crate::media::{AUDIO_CLOCK, Kind, VIDEO_CLOCK};

/// Nothing heard for this long is a connection in trouble. Checks go out every second
/// ([`KEEPALIVE`]), so this is two of them lost.
const DISCONNECTED: Duration = Duration::from_millis(2_500);
/// The agent gives up after this much more. Longer than the connection's own patience (it ends a
/// disconnected connection, and one that does not come about), so that checks go on meanwhile.
const FAILED: Duration = Duration::from_secs(15);
/// Less than a second, which is how often it is looked at where a driver [rests](super::runtime).
const KEEPALIVE: Duration = Duration::from_millis(950);
/// Holes are asked for, and asked for again, in this rhythm: a jitter buffer of 100 ms gets two or
/// three chances on a path of 20 ms.
const NACK_INTERVAL: Duration = Duration::from_millis(20);
/// Then a keyframe is the better cure.
const NACKS_PER_PACKET: u16 = 10;
/// Transport-wide feedback: Chrome's estimator wants 50 to 250 ms.
const FEEDBACK_INTERVAL: Duration = Duration::from_millis(100);
/// GCM is cheaper, and the only one that the [`lane`](super::lane) has; older clients only have the
/// other.
pub(super) const CIPHERS: [SrtpProtectionProfile; 2] = [
    SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm,
    SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80,
];
/// Who begins the DTLS handshake, in an answer of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DtlsRole {
    /// We do.
    Client,
    /// The other side does. Chrome does so at once, but takes 200 ms to answer.
    Server,
}

/// Builds the library's side of a connection.
pub(super) async fn build(
    link: &Arc<Link>,
    sockets: Sockets,
    local_ip: IpAddr,
    formats: [&[Format]; 2],
    role: DtlsRole,
    ciphers: &[SrtpProtectionProfile],
    handler: Arc<dyn PeerConnectionEventHandler>,
) -> Result<Arc<dyn PeerConnection>, Error> {
    let media = media_engine(formats).map_err(Error::refused("register codecs"))?;
    let provider = Provider::new(link.learned.clone()).map_err(Error::at("find a cipher"))?;
    let settings = SettingEngineBuilder::new()
        .with_crypto_provider(Arc::new(provider))
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .with_srtp_protection_profiles(ciphers.to_vec())
        .with_answering_dtls_role(match role {
            DtlsRole::Client => RTCDtlsRole::Client,
            DtlsRole::Server => RTCDtlsRole::Server,
        })
        .with_ice_timeouts(Some(DISCONNECTED), Some(FAILED), Some(KEEPALIVE))
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(MAX_MESSAGE))
        .with_sctp_max_receive_buffer_size(RECEIVE_BUFFER)
        .build();
    let any_port = SocketAddr::new(local_ip, 0);
    let connection = PeerConnectionBuilder::new()
        .with_media_engine(media)
        .with_interceptor_registry(interceptors(link))
        .with_setting_engine(settings)
        .with_handler(handler)
        .with_runtime(Arc::new(PeerRuntime {
            sockets,
            link: link.clone(),
        }))
        .with_udp_addrs(vec![any_port])
        .with_tcp_addrs(vec![any_port])
        .with_data_channel_send_buffer_limit(SEND_BUFFER)
        .build()
        .await
        .map_err(Error::at("set up a connection"))?;
    Ok(Arc::new(connection))
}

fn interceptors(link: &Arc<Link>) -> Registry {
    Registry::new()
        .with(Slot::Custom(rtx::SLOT), Rtx::new(link.clone()))
        .with(
            Slot::NackGenerator,
            Introduced::new(
                link.clone(),
                NackGeneratorBuilder::new()
                    .with_interval(NACK_INTERVAL)
                    .with_max_nacks_per_packet(NACKS_PER_PACKET)
                    .build(),
            ),
        )
        .with(
            Slot::TwccReceiver,
            Introduced::new(
                link.clone(),
                TwccReceiverBuilder::new()
                    .with_interval(FEEDBACK_INTERVAL)
                    .build(),
            ),
        )
        .with(
            Slot::ReceiverReport,
            Introduced::new(link.clone(), ReceiverReportBuilder::new().build()),
        )
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

/// A format and its retransmissions, as the library lists them.
pub(super) fn codec_parameters(format: &Format) -> impl Iterator<Item = RTCRtpCodecParameters> {
    let primary = RTCRtpCodecParameters {
        rtp_codec: codec(format),
        payload_type: format.payload_type,
    };
    let retransmissions = format.rtx.map(|rtx| RTCRtpCodecParameters {
        rtp_codec: RTCRtpCodec {
            mime_type: "video/rtx".to_owned(),
            clock_rate: VIDEO_CLOCK,
            channels: 0,
            sdp_fmtp_line: format!("apt={}", format.payload_type),
            rtcp_feedback: Vec::new(),
        },
        payload_type: rtx,
    });
    std::iter::once(primary).chain(retransmissions)
}

fn media_engine(formats: [&[Format]; 2]) -> Result<MediaEngine, rtc::shared::error::Error> {
    let mut media = MediaEngine::default();
    for format in formats.into_iter().flatten() {
        let kind = kind_of(format.codec.kind());
        for parameters in codec_parameters(format) {
            media.register_codec(parameters, kind)?;
        }
    }
    const BOTH: &[RtpCodecKind] = &[RtpCodecKind::Audio, RtpCodecKind::Video];
    for (uri, kinds) in [
        ("urn:ietf:params:rtp-hdrext:sdes:mid", BOTH),
        (TRANSPORT_CC, BOTH),
        (ABS_SEND_TIME, BOTH),
        (AUDIO_LEVEL, &BOTH[..1]),
        (ORIENTATION, &BOTH[1..]),
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

/// The library's name for a kind.
pub(super) fn kind_of(kind: Kind) -> RtpCodecKind {
    match kind {
        Kind::Audio => RtpCodecKind::Audio,
        Kind::Video => RtpCodecKind::Video,
    }
}
