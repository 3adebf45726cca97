//! The server's side of offer and answer.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use rtc::media_stream::MediaStreamTrack;
use rtc::rtp_transceiver::rtp_sender::{
    RTCRtpCodingParameters, RTCRtpEncodingParameters, RTCRtpRtxParameters,
};
use tokio::sync::oneshot;
use webrtc::media_stream::track_local::static_rtp::TrackLocalStaticRTP;
use webrtc::peer_connection::{PeerConnection, RTCSessionDescription};

use super::Error;
use super::engine::Engine;
use super::library::{codec, kind_of};
use super::life::{Negotiator, Next, Watched};
use super::link::Link;
use super::mux::MuxPort;
use super::sdp::{self, Description, Format, Offer};
use crate::media::{Kind, VideoCodec};

/// An offer, and where its answer goes.
pub(super) type Request = (String, oneshot::Sender<Result<String, Error>>);

/// Adds what we send of a kind.
pub(super) async fn add_track(
    connection: &dyn PeerConnection,
    link: &Link,
    kind: Kind,
    format: &Format,
) -> Result<(), Error> {
    let stream = link.stream(kind);
    let name = match kind {
        Kind::Audio => "audio",
        Kind::Video => "video",
    };
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters {
            ssrc: Some(stream.ssrc),
            rtx: format.rtx.map(|_| RTCRtpRtxParameters { ssrc: stream.rtx }),
            ..Default::default()
        },
        codec: codec(format),
        ..Default::default()
    };
    let track = MediaStreamTrack::new(
        link.cname.clone(),
        format!("{}-{name}", link.cname),
        name.to_owned(),
        kind_of(kind),
        vec![encoding],
    );
    connection
        .add_track(Arc::new(TrackLocalStaticRTP::new(track)))
        .await
        .map_err(Error::at("add a track"))?;
    Ok(())
}

/// Answers the offers of one client.
pub(super) struct Answerer {
    /// Keeps the port open.
    pub engine: Arc<Engine>,
    /// The connection's share of it.
    pub port: MuxPort,
    /// The library's side.
    pub connection: Arc<dyn PeerConnection>,
    /// Where to put what was agreed on.
    pub link: Arc<Link>,
    /// Whether the agent is ready.
    pub watched: Watched,
    /// Codec of the downlink.
    pub prefer: Option<VideoCodec>,
    /// Whether a data channel is served.
    pub channel: bool,
    /// Audio's and video's, of the first offer.
    pub formats: [Vec<Format>; 2],
    /// Sections served so far.
    pub served: Vec<(Kind, String)>,
    /// Kinds of which we have a track.
    pub sending: Vec<Kind>,
}

#[async_trait::async_trait]
impl Negotiator for Answerer {
    type Command = Request;

    async fn negotiate(&mut self, (text, reply): Request) -> Next {
        let first = self.served.is_empty();
        let answer = self.offer(&text).await;
        let next = match answer {
            Ok(_) => Next::Mend,
            Err(_) if first => Next::End,
            Err(_) => Next::GoOn,
        };
        // If nobody waits for the answer any more, the connection's deadline ends it.
        let _ = reply.send(answer);
        next
    }
}

impl Answerer {
    async fn offer(&mut self, text: &str) -> Result<String, Error> {
        let offer = Offer::parse(text, &self.served, self.channel)?;
        // The library parses text from strangers: what it trips over must not take more than
        // this one offer down.
        let negotiated = AssertUnwindSafe(self.answer(&offer)).catch_unwind().await;
        let answer = match negotiated {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                self.roll_back().await;
                return Err(error);
            }
            Err(_) => return Err(Error::refused("read the offer")("the library panicked")),
        };
        self.served = offer.served();
        Ok(answer)
    }

    async fn answer(&mut self, offer: &Offer) -> Result<String, Error> {
        for (kind, formats) in [Kind::Audio, Kind::Video].into_iter().zip(&self.formats) {
            if offer.wants(kind)
                && !self.sending.contains(&kind)
                && let Some(format) = sdp::choose(formats, self.prefer)
            {
                add_track(&*self.connection, &self.link, kind, format).await?;
                self.sending.push(kind);
            }
        }
        let remote = RTCSessionDescription::offer(offer.for_library(self.prefer))
            .map_err(Error::refused("read the offer"))?;
        let connection = &self.connection;
        connection
            .set_remote_description(remote)
            .await
            .map_err(Error::refused("apply the offer"))?;
        let local = connection
            .create_answer(None)
            .await
            .map_err(Error::at("answer the offer"))?;
        let wanted = self.link.uplink.wants();
        let answer = sdp::answer(offer, &local.sdp, &self.engine.candidates(), wanted)?;
        connection
            .set_local_description(local)
            .await
            .map_err(Error::at("apply the answer"))?;
        if self.served.is_empty() {
            self.watched.gathered().await?;
        }
        let negotiated = sdp::negotiated(&answer, true, self.prefer)?;
        self.link.set_negotiated(negotiated);
        self.name_port(&answer)?;
        Ok(answer)
    }

    /// Checks that name this answer's user name fragment are ours from now on.
    fn name_port(&self, answer: &str) -> Result<(), Error> {
        let description = Description::parse(answer)?;
        let sections = description.sections.iter();
        for ufrag in sections.filter_map(|section| description.attribute(section, "ice-ufrag")) {
            self.port.name(ufrag);
        }
        Ok(())
    }

    async fn roll_back(&self) {
        if let Ok(rollback) = RTCSessionDescription::rollback(None) {
            // Refused if the offer got nowhere, and then there is nothing to roll back.
            let _ = self.connection.set_remote_description(rollback).await;
        }
    }
}
