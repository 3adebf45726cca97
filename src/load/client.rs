//! One client of the load generator: signalling, a WebRTC connection, what it sends and counts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::outlet::{Outlet, publish};
use super::publisher::Pace;
use super::receiver::Receiver;
use super::sample::Sampler;
use super::watch::Watch;
use super::ws::{self, Session};
use crate::clock::{self, MediaTime, NtpTime};
use crate::id::{DisplayName, ParticipantId, RoomName};
use crate::media::{AudioLevel, Kind, Quality, RtpPacket, Tier, VideoCodec};
use crate::peer::{self, State, Uplink};
use crate::signalling::{AckResult, Command, Message, TileMap};

pub use super::outlet::Material;

/// ICE and DTLS on a good network take a fraction of a second; a minute-long wait would only
/// hide that something is wrong.
const CONNECT_TIME_OUT: Duration = Duration::from_secs(15);

/// How a client joins.
#[derive(Debug, Clone)]
pub struct Entry {
    /// `http://host:port`.
    pub url: String,
    /// Which room.
    pub room: RoomName,
    /// Its display name.
    pub name: DisplayName,
    /// The codec it sends; without, it is a viewer.
    pub sends: Option<VideoCodec>,
    /// The codec it receives; without, it only sends.
    pub receives: Option<VideoCodec>,
    /// What it gets at most.
    pub quality: Quality,
}

/// Why a client is not in the room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Signalling.
    #[error(transparent)]
    Signalling(#[from] ws::Error),
    /// The WebRTC client.
    #[error("WebRTC: {0}")]
    Peer(#[from] peer::Error),
    /// No transport.
    #[error("not connected within {CONNECT_TIME_OUT:?} of the answer")]
    NotConnected,
    /// What comes cannot be looked at.
    #[error("cannot decode: {0}")]
    Eyes(String),
    /// Another acknowledgement than expected.
    #[error("the answer to {0} is not what it should yield")]
    Unexpected(&'static str),
}

/// A client in the room. It leaves when told, and falls out of it when dropped.
pub struct Client {
    /// Who it is there.
    pub participant: ParticipantId,
    /// When its WebSocket was opened.
    pub opened: MediaTime,
    /// When its transport was connected.
    pub connected: MediaTime,
    session: Session,
    connection: peer::client::Client,
    events: Arc<Events>,
    tasks: Vec<AbortHandle>,
}

/// What happens on the connection.
pub struct Events {
    receives: Option<VideoCodec>,
    receiver: Mutex<Receiver>,
    eyes: Option<(Sampler, Arc<Mutex<Watch>>)>,
    keyframe_requested: AtomicBool,
    /// Nobody sees what is sent.
    hidden: AtomicBool,
    /// Payload bytes of video that were sent.
    sent_video: AtomicU64,
    /// The same of sound.
    sent_audio: AtomicU64,
    state: watch::Sender<Option<State>>,
    tiles: watch::Sender<Option<TileMap>>,
    tier: watch::Sender<Option<Tier>>,
    people: watch::Sender<Vec<ParticipantId>>,
    ended: watch::Sender<Option<String>>,
}

impl Client {
    /// Joins and waits for the transport. What is received also goes to `eyes`, if any.
    pub async fn join(
        entry: Entry,
        eyes: Option<(Sampler, Arc<Mutex<Watch>>)>,
    ) -> Result<Self, Error> {
        let opened = clock::now();
        let (session, notices) = Session::connect(&entry.url, &entry.room).await?;
        let join = Command::Join {
            name: entry.sends.is_some().then_some(entry.name),
            view: entry.sends.is_none(),
            codec: entry.receives,
            token: None,
            audio: true,
            video: true,
            portrait: false,
            session: None,
            // Under the policy of one common mix it is to cost no encoder of its own.
            overlay: true,
            direct: false,
            quality: entry.quality,
        };
        let AckResult::Joined(joined) = session.request(join).await? else {
            return Err(Error::Unexpected("join"));
        };
        let (state, mut states) = watch::channel(None);
        let events = Arc::new(Events {
            receives: entry.receives,
            receiver: Mutex::default(),
            eyes,
            keyframe_requested: AtomicBool::new(false),
            hidden: AtomicBool::new(false),
            sent_video: AtomicU64::new(0),
            sent_audio: AtomicU64::new(0),
            state,
            tiles: watch::Sender::new(None),
            tier: watch::Sender::new(None),
            people: watch::Sender::default(),
            ended: watch::Sender::new(None),
        });
        let options = peer::client::ClientOptions {
            send_video: entry.sends,
            send_audio: entry.sends.is_some(),
            receive_video: entry.receives.into_iter().collect(),
            receive_audio: entry.receives.is_some(),
            local_ip: session.local_ip(),
            ..Default::default()
        };
        let (connection, sdp) = peer::client::Client::offer(options, events.clone()).await?;
        let AckResult::Answered(answer) = session.request(Command::Offer { sdp }).await? else {
            return Err(Error::Unexpected("offer"));
        };
        connection.answer(&answer.sdp).await?;
        let connected = states.wait_for(|state| *state == Some(State::Connected));
        match tokio::time::timeout(CONNECT_TIME_OUT, connected).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return Err(Error::NotConnected),
        }
        let noticing = tokio::spawn(take_notices(notices, events.clone()));
        Ok(Self {
            participant: joined.participant,
            opened,
            connected: clock::now(),
            session,
            connection,
            events,
            tasks: vec![noticing.abort_handle()],
        })
    }

    /// Sends from now on, until the client leaves.
    pub fn publish(&mut self, material: Material, pace: Pace) {
        let way = Arc::new(Way {
            connection: self.connection.clone(),
            events: self.events.clone(),
        });
        let sending = tokio::spawn(publish(way, material, pace));
        self.tasks.push(sending.abort_handle());
    }

    /// What has been received.
    pub fn receiver(&self) -> MutexGuard<'_, Receiver> {
        lock(&self.events.receiver)
    }

    /// Payload bytes of video that were sent.
    pub fn sent_video(&self) -> u64 {
        self.events.sent(Kind::Video).load(Ordering::Relaxed)
    }

    /// Payload bytes of sound that were sent.
    pub fn sent_audio(&self) -> u64 {
        self.events.sent(Kind::Audio).load(Ordering::Relaxed)
    }

    /// What it says to the server beside what every client does.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// What has been seen and heard, if this client decodes.
    pub fn watch(&self) -> Option<MutexGuard<'_, Watch>> {
        self.events.eyes.as_ref().map(|(_, watch)| lock(watch))
    }

    /// Waits until what this client receives is laid out as wished; none: the stay ended before.
    pub async fn until_tiles(&self, mut wish: impl FnMut(&TileMap) -> bool) -> Option<TileMap> {
        let mut tiles = self.events.tiles.subscribe();
        tokio::select! {
            map = tiles.wait_for(|map| map.as_ref().is_some_and(&mut wish)) => map.ok()?.clone(),
            _ = self.until_ended() => None,
        }
    }

    /// Which tier this client gets, once it was told, and every change of that.
    pub fn tier(&self) -> watch::Receiver<Option<Tier>> {
        self.events.tier.subscribe()
    }

    /// Who is in the room, as far as it was told, and every change of that.
    pub fn people(&self) -> watch::Receiver<Vec<ParticipantId>> {
        self.events.people.subscribe()
    }

    /// Chooses what this client gets at most.
    pub async fn choose(&self, quality: Quality) -> Result<(), Error> {
        let done = self.session.request(Command::Quality { quality }).await;
        Ok(done.map(|_| ())?)
    }

    /// Why the server or the network ended the stay, if they did.
    pub fn ended(&self) -> Option<String> {
        self.events.ended.borrow().clone()
    }

    /// Waits until the server or the network ends the stay, and tells why.
    pub async fn until_ended(&self) -> String {
        let mut ended = self.events.ended.subscribe();
        // The sender lives in `self.events`: the wait ends only with a reason.
        match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Says goodbye and waits for the acknowledgement.
    pub async fn leave(self) -> Result<(), Error> {
        for task in &self.tasks {
            task.abort();
        }
        let left = self.session.request(Command::Leave {}).await;
        self.connection.close().await;
        Ok(left.map(|_| ())?)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn take_notices(mut notices: mpsc::Receiver<Message>, events: Arc<Events>) {
    while let Some(notice) = notices.recv().await {
        match notice {
            Message::Tiles(map) => {
                if let Some((_, watch)) = &events.eyes {
                    lock(watch).tiles(map.clone());
                }
                events.tiles.send_replace(Some(map));
            }
            Message::Uplink(uplink) => events.show(uplink.bitrate > 0),
            Message::Tier { tier, .. } => {
                events.tier.send_replace(Some(tier));
            }
            Message::Notice { code, text } => tracing::warn!(?code, "the server says: {text}"),
            Message::Bye { reason } => events.end(format!("the server said goodbye: {reason:?}")),
            Message::Error { text, .. } => events.end(format!("the server refused: {text}")),
            Message::People { people, .. } => {
                let people = people.iter().map(|person| person.id).collect();
                events.people.send_replace(people);
            }
            Message::Waiting { .. }
            | Message::Admitted {}
            | Message::Speaking { .. }
            | Message::Links { .. }
            | Message::Relay { .. }
            | Message::Recording { .. }
            | Message::Chat(_)
            | Message::Reaction { .. }
            | Message::Ack { .. } => {}
        }
    }
    events.end("the signalling connection ended".into());
}

/// A client's only connection, as what it publishes sees it.
struct Way {
    connection: peer::client::Client,
    events: Arc<Events>,
}

impl Outlet for Way {
    fn take_keyframe_request(&self) -> bool {
        self.events
            .keyframe_requested
            .swap(false, Ordering::Relaxed)
    }

    fn is_seen(&self) -> bool {
        !self.events.hidden.load(Ordering::Relaxed)
    }

    fn send(
        &self,
        kind: Kind,
        payloads: &[Bytes],
        timestamp: u32,
        marker: bool,
        level: Option<AudioLevel>,
    ) {
        let bytes: usize = payloads.iter().map(Bytes::len).sum();
        self.events
            .sent(kind)
            .fetch_add(bytes as u64, Ordering::Relaxed);
        let payloads = payloads.iter().cloned();
        self.connection
            .send_all(kind, payloads, timestamp, marker, level);
    }
}

impl Events {
    fn sent(&self, kind: Kind) -> &AtomicU64 {
        match kind {
            Kind::Video => &self.sent_video,
            Kind::Audio => &self.sent_audio,
        }
    }

    /// Somebody sees, or nobody sees any more, what is sent.
    fn show(&self, seen: bool) {
        if self.hidden.swap(!seen, Ordering::Relaxed) && seen {
            // As an encoder that is turned on again begins.
            self.keyframe_requested.store(true, Ordering::Relaxed);
        }
    }

    fn end(&self, why: String) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert(why);
            first
        });
    }
}

impl Uplink for Events {
    fn track(&self, _kind: Kind, codec: Option<VideoCodec>) {
        if codec.is_some() && codec != self.receives {
            self.end(format!("{codec:?} comes instead of {:?}", self.receives));
        }
    }

    fn packet(&self, kind: Kind, packet: RtpPacket) {
        let Some(codec) = self.receives else { return };
        lock(&self.receiver).packet(kind, codec, &packet);
        if let Some((sampler, _)) = &self.eyes {
            sampler.push(kind, &packet);
        }
    }

    fn sender_report(&self, kind: Kind, ntp: NtpTime, rtp: u32) {
        if let Some((_, watch)) = &self.eyes {
            lock(watch).sender_report(kind, ntp, rtp);
        }
    }

    fn keyframe_requested(&self) {
        self.keyframe_requested.store(true, Ordering::Relaxed);
    }

    fn state(&self, state: State) {
        if state != State::Connected {
            self.end(format!("the transport is {state:?}").to_lowercase());
        }
        self.state.send_replace(Some(state));
    }

    fn bandwidth(&self, _bits_per_second: u64) {}
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counting is one step; a panic elsewhere leaves the counts usable.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
