//! The other side: a real WebRTC client on sockets of its own, for the load generator and tests.
//!
//! It offers; [`Client::answer`] takes the server's answer. RTP timestamps given to
//! [`Client::send`] are [`MediaTime::rtp_ticks`] (a random offset is added on the wire), so that
//! its sender reports put what it sends on the process's media time line.
//!
//! [`MediaTime::rtp_ticks`]: crate::clock::MediaTime::rtp_ticks

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rtc::interceptor::Packet;
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::raw_packet::RawPacket;
use rtc::rtp;
use tokio::sync::{mpsc, oneshot};
use webrtc::peer_connection::{PeerConnection, RTCIceCandidateInit, RTCSessionDescription};
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection, RTCRtpTransceiverInit};

use super::library::{CIPHERS, DtlsRole, build, codec_parameters, kind_of};
use super::life::{self, Command, Events, Negotiator, Next};
use super::link::{Link, Outgoing};
use super::negotiation::add_track;
use super::runtime::Sockets;
use super::sdp::{self, Description, Format, default_formats};
use super::{Error, Uplink};
use crate::clock;
use crate::media::{AudioLevel, Kind, Layer, VideoCodec};
use crate::stats::Stats;

/// What a client sends and wants.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The video it sends.
    pub send_video: Option<VideoCodec>,
    /// Whether it sends audio.
    pub send_audio: bool,
    /// The video codecs it can receive, best first; none is no video.
    pub receive_video: Vec<VideoCodec>,
    /// Whether it wants audio.
    pub receive_audio: bool,
    /// The local address it uses.
    pub local_ip: IpAddr,
    /// Connect over TCP, as behind a firewall that blocks UDP.
    pub tcp: bool,
    /// Encrypt as older clients do (AES-CM with SHA-1), which know nothing else.
    pub old_cipher: bool,
}

impl Default for ClientOptions {
    /// Sends VP8 and Opus, receives anything, on loopback.
    fn default() -> Self {
        Self {
            send_video: Some(VideoCodec::Vp8),
            send_audio: true,
            receive_video: vec![VideoCodec::H264, VideoCodec::Vp8],
            receive_audio: true,
            local_ip: Ipv4Addr::LOCALHOST.into(),
            tcp: false,
            old_cipher: false,
        }
    }
}

/// A client's connection. Clones are the same one; it is closed when the last is dropped.
#[derive(Clone)]
pub struct Client {
    commands: mpsc::Sender<Command<Request>>,
    link: Arc<Link>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Client").field(&self.link.cname).finish()
    }
}

impl Client {
    /// Opens sockets and makes an offer.
    ///
    /// # Errors
    /// If there are no sockets to be had, or nothing is to be sent nor received.
    pub async fn offer(
        options: ClientOptions,
        events: Arc<dyn Uplink>,
    ) -> Result<(Client, String), Error> {
        let link = Link::new(events, stats());
        let (handler, mut watched) = Events::new(link.clone());
        let video = video_formats(&options);
        let audio = default_formats(Kind::Audio);
        let connection = build(
            &link,
            Sockets::Own,
            options.local_ip,
            [&audio, &video],
            DtlsRole::Client,
            match options.old_cipher {
                true => &CIPHERS[1..],
                false => &CIPHERS,
            },
            handler,
        )
        .await?;
        let video_wanted = !options.receive_video.is_empty();
        for (kind, send, receive, formats) in [
            (
                Kind::Audio,
                options.send_audio,
                options.receive_audio,
                &audio,
            ),
            (
                Kind::Video,
                options.send_video.is_some(),
                video_wanted,
                &video,
            ),
        ] {
            add_transceiver(&*connection, &link, kind, (send, receive), formats).await?;
        }
        let offer = local_offer(&*connection, false).await?;
        watched.gathered().await?;
        let (commands, inbox) = mpsc::channel(8);
        let offerer = Offerer {
            connection: connection.clone(),
            link: link.clone(),
            options,
        };
        let life = life::live(
            link.clone(),
            connection,
            watched.state,
            inbox,
            offerer,
            super::Options::default().patience,
        );
        tokio::spawn(life);
        Ok((Client { commands, link }, offer))
    }

    /// Takes the server's answer to the last offer.
    ///
    /// # Errors
    /// If it cannot be read or does not fit the offer.
    pub async fn answer(&self, answer: &str) -> Result<(), Error> {
        let (reply, done) = oneshot::channel();
        self.ask(Request::Answer(answer.to_owned(), reply)).await?;
        done.await.map_err(|_| Error::Closed)?
    }

    /// Makes an offer that restarts ICE.
    ///
    /// # Errors
    /// If the connection is closed.
    pub async fn restart(&self) -> Result<String, Error> {
        let (reply, offer) = oneshot::channel();
        self.ask(Request::Restart(reply)).await?;
        offer.await.map_err(|_| Error::Closed)?
    }

    async fn ask(&self, request: Request) -> Result<(), Error> {
        let sent = self.commands.send(Command::Negotiate(request)).await;
        sent.map_err(|_| Error::Closed)
    }

    /// Sends one packet; nothing happens unless connected. `timestamp` is the time on the media
    /// time line in ticks of the kind's RTP clock.
    pub fn send(
        &self,
        kind: Kind,
        payload: Bytes,
        timestamp: u32,
        marker: bool,
        level: Option<AudioLevel>,
    ) {
        self.send_all(kind, [payload], timestamp, marker, level);
    }

    /// Sends the packets of one picture (or one of audio) at once, which wakes the connection
    /// once; `marker` is for the last.
    pub fn send_all(
        &self,
        kind: Kind,
        payloads: impl IntoIterator<Item = Bytes, IntoIter: ExactSizeIterator>,
        timestamp: u32,
        marker: bool,
        level: Option<AudioLevel>,
    ) {
        if !self.link.is_connected() {
            return;
        }
        let payloads = payloads.into_iter();
        let last = payloads.len().saturating_sub(1);
        let timestamp = self.link.stream(kind).base.wrapping_add(timestamp);
        let packets = payloads.enumerate().map(|(index, payload)| Outgoing {
            kind,
            marker: marker && index == last,
            timestamp,
            payload,
            level,
            first_of: None,
            forwarded: None,
        });
        // What a stalled driver drops is counted.
        let _ = self.link.send(clock::now(), packets);
    }

    /// Sends what no honest client does. Nothing happens unless connected.
    pub fn send_odd(&self, odd: Odd) {
        if self.link.is_connected() {
            self.link.send_odd(odd.packet(&self.link));
        }
    }

    /// Asks the server for a keyframe, at most every 450 ms.
    pub fn request_keyframe(&self) {
        self.link.request_keyframe(clock::now(), Layer::Whole);
    }

    /// The video codec that is sent, as negotiated.
    pub fn video_codec(&self) -> Option<VideoCodec> {
        let negotiated = self.link.negotiated();
        negotiated.sending_video.as_ref()?.codec.video()
    }

    /// Closes the connection; returns when everything is freed.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.commands.send(Command::Close(reply)).await.is_ok() {
            // An error means that it was closed otherwise.
            let _ = closed.await;
        }
    }
}

/// What no honest client sends: for tests of servers. It is encrypted as everything else.
#[derive(Debug, Clone)]
pub enum Odd {
    /// Media of whatever payload type and source.
    Rtp {
        /// Negotiated or not.
        payload_type: u8,
        /// Anything.
        ssrc: u32,
        /// On the wire.
        sequence: u16,
        /// Anything.
        payload: Bytes,
    },
    /// These bytes as RTCP. They begin with a header of version 2.
    Rtcp(Bytes),
    /// A keyframe request, however many there were before.
    Pli,
}

impl Odd {
    pub(super) fn packet(self, link: &Link) -> Packet {
        match self {
            Self::Rtp {
                payload_type,
                ssrc,
                sequence,
                payload,
            } => {
                let header = rtp::Header {
                    version: 2,
                    payload_type,
                    sequence_number: sequence,
                    ssrc,
                    ..Default::default()
                };
                Packet::Rtp(rtp::Packet { header, payload })
            }
            Self::Rtcp(bytes) => Packet::Rtcp(vec![Box::new(RawPacket(bytes))]),
            Self::Pli => Packet::Rtcp(vec![Box::new(PictureLossIndication {
                sender_ssrc: link.video.ssrc,
                media_ssrc: link.remote_video.load(Ordering::Relaxed),
            })]),
        }
    }
}

enum Request {
    Answer(String, oneshot::Sender<Result<(), Error>>),
    Restart(oneshot::Sender<Result<String, Error>>),
}

struct Offerer {
    connection: Arc<dyn PeerConnection>,
    link: Arc<Link>,
    options: ClientOptions,
}

#[async_trait::async_trait]
impl Negotiator for Offerer {
    type Command = Request;

    async fn negotiate(&mut self, request: Request) -> Next {
        // Whoever asked may have gone; that is no trouble of the connection's.
        match request {
            Request::Answer(text, reply) => {
                let _ = reply.send(self.answer(&text).await);
            }
            Request::Restart(reply) => {
                let _ = reply.send(local_offer(&*self.connection, true).await);
            }
        }
        Next::Mend
    }
}

impl Offerer {
    async fn answer(&self, text: &str) -> Result<(), Error> {
        let mut description = Description::parse(text)?;
        let candidates = self.take_candidates(&mut description);
        let negotiated = sdp::negotiated(text, false, self.options.send_video)?;
        self.link.set_negotiated(negotiated);
        let answer = RTCSessionDescription::answer(description.text())
            .map_err(Error::at("read the answer"))?;
        self.connection
            .set_remote_description(answer)
            .await
            .map_err(Error::at("apply the answer"))?;
        for candidate in candidates {
            let candidate = RTCIceCandidateInit {
                candidate,
                ..Default::default()
            };
            self.connection
                .add_ice_candidate(candidate)
                .await
                .map_err(Error::at("add a candidate"))?;
        }
        Ok(())
    }

    /// Candidates go in one by one: that is the way on which the library connects over TCP.
    fn take_candidates(&self, description: &mut Description) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for section in &mut description.sections {
            section.lines.retain(|line| {
                let candidate = line
                    .strip_prefix("a=")
                    .filter(|c| c.starts_with("candidate:"));
                found.extend(candidate.map(str::to_owned));
                candidate.is_none()
            });
        }
        let transport = if self.options.tcp { "tcp" } else { "udp" };
        found.retain(|candidate| {
            let mut words = candidate.split(' ');
            words
                .nth(2)
                .is_some_and(|word| word.eq_ignore_ascii_case(transport))
        });
        // From loopback only loopback can be reached.
        let loops = |candidate: &String| {
            let address = candidate.split(' ').nth(4).map(str::parse::<IpAddr>);
            matches!(address, Some(Ok(ip)) if ip.is_loopback())
        };
        let want = self.options.local_ip.is_loopback();
        if found.iter().any(|candidate| loops(candidate) == want) {
            found.retain(|candidate| loops(candidate) == want);
        }
        found
    }
}

async fn add_transceiver(
    connection: &dyn PeerConnection,
    link: &Link,
    kind: Kind,
    (send, receive): (bool, bool),
    formats: &[Format],
) -> Result<(), Error> {
    let step = "add a track";
    match (send, receive, formats.first()) {
        (true, receive, Some(format)) => {
            add_track(connection, link, kind, format).await?;
            // In no order: the newest has the highest number.
            let all = connection.get_transceivers().await;
            if let Some(transceiver) = all.iter().max_by_key(|one| one.id()) {
                // With a track, the library offers the track's codec only.
                let all = formats.iter().flat_map(codec_parameters).collect();
                transceiver
                    .set_codec_preferences(all)
                    .await
                    .map_err(Error::at(step))?;
                if !receive {
                    transceiver
                        .set_direction(RTCRtpTransceiverDirection::Sendonly)
                        .await
                        .map_err(Error::at(step))?;
                }
            }
        }
        (false, true, Some(_)) => {
            let init = RTCRtpTransceiverInit {
                direction: RTCRtpTransceiverDirection::Recvonly,
                ..Default::default()
            };
            connection
                .add_transceiver_from_kind(kind_of(kind), Some(init))
                .await
                .map_err(Error::at(step))?;
        }
        _ => {}
    }
    Ok(())
}

async fn local_offer(connection: &dyn PeerConnection, restart: bool) -> Result<String, Error> {
    if restart {
        connection
            .restart_ice()
            .await
            .map_err(Error::at("restart ICE"))?;
    }
    let offer = connection
        .create_offer(None)
        .await
        .map_err(Error::at("make an offer"))?;
    let text = offer.sdp.clone();
    connection
        .set_local_description(offer)
        .await
        .map_err(Error::at("apply the offer"))?;
    Ok(text)
}

/// What is sent first, then what can be received, in order of preference.
fn video_formats(options: &ClientOptions) -> Vec<Format> {
    let all = default_formats(Kind::Video);
    let mut wanted: Vec<VideoCodec> = options.send_video.into_iter().collect();
    for codec in &options.receive_video {
        if !wanted.contains(codec) {
            wanted.push(*codec);
        }
    }
    wanted
        .iter()
        .filter_map(|codec| all.iter().find(|f| f.codec.video() == Some(*codec)))
        .cloned()
        .collect()
}

/// Clients count into figures of their own, which nobody publishes.
fn stats() -> Arc<Stats> {
    static STATS: OnceLock<Arc<Stats>> = OnceLock::new();
    STATS.get_or_init(Arc::default).clone()
}
