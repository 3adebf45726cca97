//! [`Peer`]: a client's connection as the rest of the server sees it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{mpsc, oneshot};

use super::channel::Said;
use super::engine::Engine;
use super::forward::{Forwarding, Origin};
use super::library::{CIPHERS, build};
use super::life::{self, Command, Events};
use super::link::Link;
use super::negotiation::{Answerer, Request};
use super::outbound::{Pictures, Sound};
use super::runtime::Sockets;
use super::sdp::{Offer, default_formats};
use super::{Error, Ladder, Options, Uplink};
use crate::clock::{self, MediaTime};
use crate::fanout::{Ending, Listener, outlet};
use crate::media::{EncodedAudio, EncodedPicture, ForwardedPacket, Kind, Layer, VideoCodec};

/// A connection to a client. Clones are the same connection; when the last one is dropped, the
/// connection is closed.
#[derive(Clone)]
pub struct Peer {
    inner: Arc<Inner>,
}

struct Inner {
    commands: mpsc::Sender<Command<Request>>,
    link: Arc<Link>,
    /// What is sent.
    outlets: Mutex<Vec<Ending>>,
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Peer").field(&self.inner.link.cname).finish()
    }
}

impl Peer {
    /// Answers a later offer: tracks that come or go, an ICE restart.
    ///
    /// # Errors
    /// Says what is wrong with the offer; the connection goes on as it was.
    pub async fn renegotiate(&self, offer: &str) -> Result<String, Error> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Negotiate((offer.to_owned(), reply));
        let sent = self.inner.commands.send(command).await;
        sent.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// The codec of the video we send, if the client wants any.
    pub fn downlink_codec(&self) -> Option<VideoCodec> {
        let negotiated = self.inner.link.negotiated();
        negotiated.sending_video.as_ref()?.codec.video()
    }

    /// Whether the client can both send and receive video in this codec.
    pub fn can(&self, codec: VideoCodec) -> bool {
        self.inner.link.negotiated().video_in(codec).is_some()
    }

    /// Whether the client can send its picture in all of [`Layer`].
    pub fn layered(&self) -> bool {
        let negotiated = self.inner.link.negotiated();
        let track = negotiated.track(Kind::Video);
        track.is_some_and(|track| track.layers.is_some())
    }

    /// What does not keep the connection open.
    pub fn downgrade(&self) -> WeakPeer {
        WeakPeer(Arc::downgrade(&self.inner))
    }

    /// Whether the client takes audio.
    pub fn downlink_audio(&self) -> bool {
        self.inner.link.negotiated().sending_audio.is_some()
    }

    /// Asks the client for a keyframe, at most every 450 ms.
    pub fn request_keyframe(&self) {
        self.request_keyframe_of(Layer::Whole);
    }

    /// The same, of this copy of its picture.
    pub fn request_keyframe_of(&self, layer: Layer) {
        self.inner.link.request_keyframe(clock::now(), layer);
    }

    /// Asks the client to send at most so many bits a second in all (REMB); nothing happens while
    /// it sends no video.
    pub fn limit(&self, bits_per_second: u32) {
        self.inner.link.limit(bits_per_second);
    }

    /// Sends what these are handed, instead of what was sent before. Sequence numbers and
    /// timestamps go on across the change.
    pub fn play(&self) -> (Listener<EncodedPicture>, Listener<EncodedAudio>) {
        let link = &self.inner.link;
        let (pictures, picture_end) = outlet(Pictures::on(link.clone()));
        let (sound, sound_end) = outlet(Sound::on(link.clone()));
        self.inner.send_only([picture_end, sound_end]);
        (pictures, sound)
    }

    /// Sends somebody's packets on as these are handed them, video and sound, instead of what was
    /// sent before.
    pub fn forward(&self, origin: &Arc<Origin>) -> [Listener<ForwardedPacket>; 2] {
        let passes = |kind| {
            let link = self.inner.link.clone();
            outlet(Forwarding::on(link, kind, origin.clone()))
        };
        let (video, video_end) = passes(Kind::Video);
        let (audio, audio_end) = passes(Kind::Audio);
        self.inner.send_only([video_end, audio_end]);
        [video, audio]
    }

    /// Waits for what the client says by its data channel.
    pub async fn hear(&self) -> Said {
        self.inner.link.talk.hear().await
    }

    /// Whether the client's data channel is open.
    pub fn talks(&self) -> bool {
        self.inner.link.talk.is_open()
    }

    /// Tells the client by its data channel; whether it is open, and not behind.
    pub async fn say(&self, text: &str) -> bool {
        self.inner.link.talk.say(text).await
    }

    /// Says what the client is given, and what it could be given. From then on its line is watched,
    /// and [`Uplink::line`] tells how much of that it bears.
    pub fn serve(&self, ladder: Ladder) {
        self.inner.link.set_ladder(ladder);
    }

    /// Whether packets to the client go past the library's driver at present, which is the cheap way.
    pub fn takes_lane(&self) -> bool {
        self.inner.link.takes_lane()
    }

    /// What this viewer's video RTP clock shows at `at`.
    pub fn video_rtp_time(&self, at: MediaTime) -> u32 {
        self.inner.link.video.rtp_time(at)
    }

    /// Closes the connection; returns when everything is freed.
    pub async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self
            .inner
            .commands
            .send(Command::Close(reply))
            .await
            .is_ok()
        {
            // An error means that it was closed otherwise.
            let _ = closed.await;
        }
    }
}

/// A [`Peer`], while others keep it.
#[derive(Clone, Default)]
pub struct WeakPeer(Weak<Inner>);

impl WeakPeer {
    /// The connection, if there still is one.
    pub fn upgrade(&self) -> Option<Peer> {
        let inner = self.0.upgrade()?;
        Some(Peer { inner })
    }
}

impl Inner {
    /// Whatever else is sent ends.
    fn send_only(&self, outlets: [Ending; 2]) {
        let current = self.outlets.lock();
        *current.unwrap_or_else(PoisonError::into_inner) = outlets.into();
    }
}

/// Answers a first offer.
pub(super) async fn accept(
    engine: Arc<Engine>,
    text: &str,
    options: Options,
    uplink: Arc<dyn Uplink>,
) -> Result<(Peer, String), Error> {
    let offer = Offer::parse(text, &[], options.channel)?;
    let link = Link::new(uplink, engine.stats());
    let port = engine.mux().open(link.clone());
    let local_ip: IpAddr = match engine.local_addr().is_ipv4() {
        true => Ipv4Addr::LOCALHOST.into(),
        false => Ipv6Addr::LOCALHOST.into(),
    };
    let formats = |kind| match offer.section(kind) {
        Some(_) => offer.formats(kind, options.prefer),
        None => default_formats(kind),
    };
    let (audio, video) = (formats(Kind::Audio), formats(Kind::Video));
    let (events, watched) = Events::new(link.clone());
    let connection = build(
        &link,
        Sockets::Shared(port.clone()),
        local_ip,
        [&audio, &video],
        offer.dtls_role(),
        &CIPHERS,
        events,
    )
    .await?;
    let (commands, inbox) = mpsc::channel(8);
    let state = watched.state.clone();
    let answerer = Answerer {
        engine,
        port,
        connection: connection.clone(),
        link: link.clone(),
        watched,
        prefer: options.prefer,
        channel: options.channel,
        formats: [audio, video],
        served: Vec::new(),
        sending: Vec::new(),
    };
    let life = life::live(
        link.clone(),
        connection,
        state,
        inbox,
        answerer,
        options.patience,
    );
    tokio::spawn(life);
    let peer = Peer {
        inner: Arc::new(Inner {
            commands,
            link,
            outlets: Mutex::default(),
        }),
    };
    let answer = peer.renegotiate(text).await?;
    Ok((peer, answer))
}
