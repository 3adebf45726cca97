//! One who meets the others without the server's media: a connection to each of them, arranged as
//! the page does it (of two, the one whose id comes first as text offers), so that pages and these
//! clients meet in one room.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::super::client::Error;
use super::super::outlet::{Material, Outlet, publish};
use super::super::publisher::Pace;
use super::super::ws::Session;
use super::stream::{Eyes, Stream};
use crate::clock;
use crate::fanout::{Fanout, ListenerId};
use crate::id::{DisplayName, ParticipantId, RoomName};
use crate::media::{
    AUDIO_CLOCK, AudioLevel, ForwardedPacket, Kind, Layer, Quality, RtpPacket, Topology,
    VIDEO_CLOCK, VideoCodec,
};
use crate::payload::starts_keyframe;
use crate::peer::client::{Client, ClientOptions};
use crate::peer::{self, Engine, Origin, Peer};
use crate::signalling::{AckResult, Command, Message, Signal};
use crate::stats::Stats;

/// What everybody sends and receives in a mesh.
const CODEC: VideoCodec = VideoCodec::Vp8;
/// A client makes one offer to each of the others.
const ONLY: u32 = 1;

/// A client of a mesh. It leaves when told, and falls out of the room when dropped.
pub struct Direct {
    /// Who it is in the room.
    pub participant: ParticipantId,
    shared: Arc<Shared>,
    tasks: Vec<AbortHandle>,
}

struct Shared {
    me: ParticipantId,
    session: Session,
    /// Answers, as a server would.
    engine: Arc<Engine>,
    eyes: Option<Eyes>,
    keyframe: Arc<AtomicBool>,
    links: Mutex<HashMap<ParticipantId, Arc<Link>>>,
    /// Answers that came before the candidates that belong to them.
    answers: Mutex<HashMap<ParticipantId, Trickled>>,
    /// Numbers of packets.
    next: [AtomicU16; 2],
}

/// One other person.
struct Link {
    stream: Arc<Stream>,
    way: Way,
    sent: AtomicU64,
}

enum Way {
    Offered(Client),
    Answered {
        peer: Peer,
        video: Fanout<ForwardedPacket>,
        audio: Fanout<ForwardedPacket>,
    },
}

/// What a link carried.
pub struct Carried {
    /// From whom, and to whom.
    pub other: ParticipantId,
    /// What came.
    pub stream: Arc<Stream>,
    /// Payload bytes that were sent, pictures and sound.
    pub sent: u64,
}

impl Direct {
    /// Joins, and connects to whoever is there and comes; whoever has `eyes` looks at what they
    /// send.
    ///
    /// # Errors
    /// Where the server refuses, or there is no socket.
    pub async fn join(
        url: &str,
        room: &RoomName,
        name: DisplayName,
        eyes: Option<Eyes>,
    ) -> Result<Self, Error> {
        let (session, notices) = Session::connect(url, room).await?;
        let join = Command::Join {
            name: Some(name),
            view: false,
            codec: Some(CODEC),
            token: None,
            audio: true,
            video: true,
            portrait: false,
            session: None,
            overlay: true,
            direct: true,
            quality: Quality::Auto,
        };
        let AckResult::Joined(joined) = session.request(join).await? else {
            return Err(Error::Unexpected("join"));
        };
        let settings = peer::Settings {
            listen: (session.local_ip(), 0).into(),
            public_ips: vec![],
        };
        let engine = Engine::bind(settings, Arc::new(Stats::default())).await?;
        let shared = Arc::new(Shared {
            me: joined.participant,
            session,
            engine,
            eyes,
            keyframe: Arc::default(),
            links: Mutex::default(),
            answers: Mutex::default(),
            next: Default::default(),
        });
        let hearing = tokio::spawn(hear(shared.clone(), notices));
        Ok(Self {
            participant: joined.participant,
            shared,
            tasks: vec![hearing.abort_handle()],
        })
    }

    /// Sends from now on, to everybody.
    pub fn publish(&mut self, material: Material, pace: Pace) {
        let sending = tokio::spawn(publish(self.shared.clone(), material, pace));
        self.tasks.push(sending.abort_handle());
    }

    /// What each link carried so far.
    pub fn carried(&self) -> Vec<Carried> {
        let links = self.shared.links();
        let carried = links.iter().map(|(other, link)| Carried {
            other: *other,
            stream: link.stream.clone(),
            sent: link.sent.load(Ordering::Relaxed),
        });
        carried.collect()
    }

    /// Says goodbye.
    ///
    /// # Errors
    /// If the server does not hear it.
    pub async fn leave(self) -> Result<(), Error> {
        for task in &self.tasks {
            task.abort();
        }
        let left = self.shared.session.request(Command::Leave {}).await;
        let links: Vec<_> = self.shared.links().drain().collect();
        for (_, link) in links {
            link.close().await;
        }
        Ok(left.map(|_| ())?)
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Takes what the server says, in its order.
async fn hear(shared: Arc<Shared>, mut notices: mpsc::Receiver<Message>) {
    while let Some(notice) = notices.recv().await {
        let done = match notice {
            Message::People {
                people,
                topology: Topology::Mesh,
                ..
            } => {
                let people: Vec<_> = people.iter().map(|person| person.id).collect();
                shared.meet(&people).await
            }
            Message::Relay { from, signal } => shared.hear(from, signal).await,
            _ => Ok(()),
        };
        if let Err(error) = done {
            tracing::warn!("{} in a mesh: {error}", shared.me);
        }
    }
}

impl Shared {
    /// Offers to those whom it is to offer to, and forgets who is gone.
    async fn meet(&self, people: &[ParticipantId]) -> Result<(), Error> {
        self.links().retain(|other, _| people.contains(other));
        for other in people {
            let first = self.me.to_string() < other.to_string();
            if !first || self.links().contains_key(other) {
                continue;
            }
            let stream = self.stream(*other)?;
            let options = ClientOptions {
                send_video: Some(CODEC),
                receive_video: vec![CODEC],
                local_ip: self.session.local_ip(),
                ..Default::default()
            };
            let (client, sdp) = Client::offer(options, stream.clone()).await?;
            self.keep(*other, stream, Way::Offered(client));
            let offer = Signal::Offer {
                introduction: ONLY,
                sdp,
            };
            self.say(*other, offer).await?;
        }
        Ok(())
    }

    async fn hear(&self, from: ParticipantId, signal: Signal) -> Result<(), Error> {
        match signal {
            Signal::Offer { introduction, sdp } => {
                let stream = self.stream(from)?;
                let options = peer::Options {
                    prefer: Some(CODEC),
                    ..Default::default()
                };
                let (peer, sdp) = self.engine.accept(&sdp, options, stream.clone()).await?;
                let way = Way::answered(peer);
                self.keep(from, stream, way);
                let answer = Signal::Answer { introduction, sdp };
                self.say(from, answer).await
            }
            // Of clients of this kind: all is in it.
            Signal::Answer { sdp, .. } if sdp.contains("\r\na=candidate:") => {
                self.answered(from, &sdp).await
            }
            Signal::Answer { sdp, .. } => {
                let candidates = Vec::new();
                let trickled = Trickled { sdp, candidates };
                lock(&self.answers).insert(from, trickled);
                Ok(())
            }
            Signal::Candidate { candidate, .. } if candidate.is_empty() => {
                let whole = lock(&self.answers).remove(&from);
                match whole {
                    Some(trickled) => self.answered(from, &trickled.whole()).await,
                    None => Ok(()),
                }
            }
            // What was offered stands until they are gone.
            Signal::Again {} => Ok(()),
            Signal::Candidate { candidate, .. } => {
                // Those of whoever offers are not needed: this side only answers their checks.
                if let Some(trickled) = lock(&self.answers).get_mut(&from) {
                    trickled.candidates.push(candidate);
                }
                Ok(())
            }
        }
    }

    async fn answered(&self, from: ParticipantId, sdp: &str) -> Result<(), Error> {
        let link = self.links().get(&from).cloned();
        match link.as_deref() {
            Some(Link {
                way: Way::Offered(client),
                ..
            }) => Ok(client.answer(sdp).await?),
            _ => Ok(()),
        }
    }

    async fn say(&self, to: ParticipantId, signal: Signal) -> Result<(), Error> {
        let said = self.session.request(Command::Relay { to, signal }).await;
        Ok(said.map(|_| ())?)
    }

    fn stream(&self, of: ParticipantId) -> Result<Arc<Stream>, Error> {
        let stream = Stream::new(of, CODEC, self.eyes.as_ref(), self.keyframe.clone());
        stream.map_err(|error| Error::Eyes(error.to_string()))
    }

    fn keep(&self, other: ParticipantId, stream: Arc<Stream>, way: Way) {
        let link = Arc::new(Link {
            stream,
            way,
            sent: AtomicU64::new(0),
        });
        self.links().insert(other, link);
    }

    fn links(&self) -> MutexGuard<'_, HashMap<ParticipantId, Arc<Link>>> {
        lock(&self.links)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whole between any two statements.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer of a page, which tells its candidates one by one (RFC 8838).
struct Trickled {
    sdp: String,
    candidates: Vec<String>,
}

impl Trickled {
    /// The answer with the candidates in its first section, which carries all of them (RFC 8843).
    fn whole(&self) -> String {
        let second = self.sdp.match_indices("\r\nm=").nth(1);
        let end = second.map_or(self.sdp.trim_end().len(), |(at, _)| at);
        let (first, rest) = self.sdp.split_at(end);
        let candidates = self.candidates.iter();
        let candidates: String = candidates.map(|one| format!("\r\na={one}")).collect();
        format!("{first}{candidates}{rest}")
    }
}

impl Outlet for Shared {
    fn take_keyframe_request(&self) -> bool {
        self.keyframe.swap(false, Ordering::Relaxed)
    }

    fn is_seen(&self) -> bool {
        true
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
        let first = self.next[kind as usize].fetch_add(payloads.len() as u16, Ordering::Relaxed);
        for link in self.links().values() {
            link.sent.fetch_add(bytes as u64, Ordering::Relaxed);
            match &link.way {
                Way::Offered(client) => {
                    client.send_all(kind, payloads.iter().cloned(), timestamp, marker, level);
                }
                Way::Answered { video, audio, .. } => {
                    let fanout = match kind {
                        Kind::Video => video,
                        Kind::Audio => audio,
                    };
                    let packets = packets(kind, payloads, timestamp, marker, level, first);
                    for packet in packets {
                        if fanout.send(&Arc::new(packet)) {
                            self.keyframe.store(true, Ordering::Relaxed);
                        }
                    }
                }
            }
        }
    }
}

/// The packets as they would come from a sender.
fn packets(
    kind: Kind,
    payloads: &[Bytes],
    timestamp: u32,
    marker: bool,
    level: Option<AudioLevel>,
    first: u16,
) -> impl Iterator<Item = ForwardedPacket> {
    let arrived = clock::now();
    let codec = (kind == Kind::Video).then_some(CODEC);
    payloads.iter().enumerate().map(move |(index, payload)| {
        let packet = RtpPacket {
            payload_type: 96,
            marker: marker && index + 1 == payloads.len(),
            sequence: first.wrapping_add(index as u16),
            timestamp,
            ssrc: 1 + kind as u32,
            payload: payload.clone(),
            arrived,
            level,
            rotation: None,
        };
        ForwardedPacket {
            layer: Layer::Whole,
            codec,
            keyframe: codec.is_some_and(|codec| starts_keyframe(codec, payload)),
            packet,
        }
    })
}

impl Way {
    fn answered(peer: Peer) -> Self {
        let origin = Arc::new(Origin::default());
        let now = clock::now();
        for (kind, rate) in [(Kind::Video, VIDEO_CLOCK), (Kind::Audio, AUDIO_CLOCK)] {
            origin.report(kind, Layer::Whole, now.ntp(), now.rtp_ticks(rate) as u32);
        }
        let (video, audio) = (Fanout::default(), Fanout::default());
        let [pictures, sound] = peer.forward(&origin);
        video.attach(ListenerId(0), pictures);
        audio.attach(ListenerId(0), sound);
        Self::Answered { peer, video, audio }
    }
}

impl Link {
    async fn close(&self) {
        match &self.way {
            Way::Offered(client) => client.close().await,
            Way::Answered { peer, .. } => peer.close().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_go_into_the_first_section() {
        let candidates = vec!["candidate:1".to_owned(), "candidate:2".to_owned()];
        for (sdp, whole) in [
            (
                "v=0\r\nm=audio\r\na=mid:0\r\nm=video\r\na=mid:1\r\n",
                "v=0\r\nm=audio\r\na=mid:0\r\na=candidate:1\r\na=candidate:2\r\nm=video\r\na=mid:1\r\n",
            ),
            (
                "v=0\r\nm=audio\r\n",
                "v=0\r\nm=audio\r\na=candidate:1\r\na=candidate:2\r\n",
            ),
        ] {
            let trickled = Trickled {
                sdp: sdp.into(),
                candidates: candidates.clone(),
            };
            assert_eq!(trickled.whole(), whole);
        }
    }
}
