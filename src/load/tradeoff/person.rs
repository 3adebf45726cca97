//! One bulk client of a meeting, whatever way it meets the others.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Context as _;

use super::super::client::{Client, Entry};
use super::super::outlet::Material;
use super::super::publisher::Pace;
use super::super::receiver::{Counts, Receiver};
use super::super::sample::Sampler;
use super::super::watch::{Source, Watch};
use super::direct::Direct;
use super::stream::{Eyes, Stream};
use super::taken::Taken;
use crate::clock::MediaTime;
use crate::gst::Library;
use crate::id::{DisplayName, ParticipantId, RoomName};
use crate::media::{Downlink, Quality, VideoCodec};
use crate::signalling::Command;

/// What everybody sends.
pub const SENT: VideoCodec = VideoCodec::Vp8;
/// What mixes come in.
const MIXED: VideoCodec = VideoCodec::H264;
/// The tier of the mixes: ten personal ones of it fit on two cores.
const QUALITY: Quality = Quality::Medium;
/// How long one waits to be told of everybody.
const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody in the meeting.
pub enum Person {
    /// By way of the server.
    Served {
        /// Its connection with the server.
        client: Box<Client>,
        /// What it gets: a mix, or those whom it takes.
        downlink: Downlink,
        /// Those whom it takes.
        takes: Vec<Taken>,
        /// With which they are looked at.
        eyes: Option<Eyes>,
    },
    /// With a connection to each of the others.
    Direct(Direct),
}

/// How somebody comes in.
pub struct Arrival<'a> {
    /// The server.
    pub url: &'a str,
    /// Where.
    pub room: &'a RoomName,
    /// Under this name.
    pub name: String,
    /// By which way the others come.
    pub downlink: Downlink,
    /// What it looks at them with, if it does.
    pub eyes: Option<Eyes>,
}

/// What somebody sent and got since counting began.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Exchanged {
    /// Video streams sent.
    pub uplinks: usize,
    /// Video streams received.
    pub downlinks: usize,
    /// Payload bytes sent.
    pub up: u64,
    /// Payload bytes received.
    pub down: u64,
    /// Pictures of the stream that brought the fewest.
    pub fewest: u64,
    /// Whether the server took and gave it.
    pub served: bool,
}

impl Person {
    /// Comes in.
    ///
    /// # Errors
    /// Where the server, the transport or a decoder refuses.
    pub async fn join(arrival: Arrival<'_>) -> anyhow::Result<Self> {
        let Arrival {
            url,
            room,
            name,
            downlink,
            eyes,
        } = arrival;
        let name = DisplayName::new(&name)?;
        if downlink == Downlink::Direct {
            return Ok(Self::Direct(Direct::join(url, room, name, eyes).await?));
        }
        let mixed = downlink == Downlink::Mixed;
        let entry = Entry {
            url: url.to_owned(),
            room: room.clone(),
            name,
            sends: Some(SENT),
            receives: mixed.then_some(MIXED),
            quality: QUALITY,
        };
        let seeing = match (&eyes, mixed) {
            (Some(eyes), true) => {
                let watch = Arc::new(Mutex::new(Watch::new(eyes.sources, eyes.size)));
                let sampler = Sampler::start(&Library::embedded(), MIXED, &watch, &eyes.log)?;
                Some((sampler, watch))
            }
            _ => None,
        };
        let client = Box::new(Client::join(entry, seeing).await?);
        let chooses = Command::View {
            layout: None,
            overlay: None,
            portrait: None,
            downlink: Some(downlink),
            direct: None,
        };
        client.session().request(chooses).await?;
        Ok(Self::Served {
            client,
            downlink,
            takes: Vec::new(),
            eyes,
        })
    }

    /// Who it is in the room.
    pub fn id(&self) -> ParticipantId {
        match self {
            Self::Served { client, .. } => client.participant,
            Self::Direct(direct) => direct.participant,
        }
    }

    /// Sends from now on.
    pub fn publish(&mut self, material: Material, pace: Pace) {
        match self {
            Self::Served { client, .. } => client.publish(material, pace),
            Self::Direct(direct) => direct.publish(material, pace),
        }
    }

    /// Once all `n` are in the room: takes each of the others, if that is its way.
    ///
    /// # Errors
    /// Where the server refuses, or somebody does not come.
    pub async fn meet(&mut self, n: usize) -> anyhow::Result<()> {
        let Self::Served {
            client,
            downlink: Downlink::Forwarded,
            takes,
            eyes,
        } = self
        else {
            return Ok(());
        };
        let mut people = client.people();
        let all = people.wait_for(|people| people.len() >= n);
        let all = tokio::time::timeout(PATIENCE, all).await;
        let all = all.context("not everybody is there in time")??.clone();
        for from in all.into_iter().filter(|one| *one != client.participant) {
            let keyframe = Arc::new(AtomicBool::new(false));
            let stream = Stream::new(from, SENT, eyes.as_ref(), keyframe)?;
            takes.push(Taken::open(client.session(), from, SENT, stream).await?);
        }
        Ok(())
    }

    /// Whether there are pictures of all `others` (or the mix is there).
    pub fn sees(&self, others: usize) -> bool {
        let has = |receiver: MutexGuard<'_, Receiver>| receiver.first_picture().is_some();
        match self {
            Self::Served {
                client,
                downlink: Downlink::Mixed,
                ..
            } => has(client.receiver()),
            _ => {
                let streams = self.streams();
                streams.len() >= others && streams.iter().all(|stream| has(stream.receiver()))
            }
        }
    }

    /// Counting begins.
    pub fn begin(&self, sources: &[Source], now: MediaTime) {
        if let Self::Served { client, .. } = self {
            client.receiver().begin(now);
            if let Some(mut watch) = client.watch() {
                watch.begin(sources.to_vec(), now);
            }
        }
        for stream in self.streams() {
            stream.begin(sources, now);
        }
    }

    /// Payload bytes sent so far, for each stream that goes out.
    pub fn sent(&self) -> Vec<(ParticipantId, u64)> {
        match self {
            Self::Served { client, .. } => {
                vec![(
                    client.participant,
                    client.sent_video() + client.sent_audio(),
                )]
            }
            Self::Direct(direct) => {
                let carried = direct.carried().into_iter();
                carried.map(|link| (link.other, link.sent)).collect()
            }
        }
    }

    /// What was exchanged since [`Person::begin`], when this much had been [`sent`](Self::sent).
    pub fn exchanged(&self, before: &[(ParticipantId, u64)], now: MediaTime) -> Exchanged {
        let had = |to: ParticipantId| {
            let had = before.iter().find(|(one, _)| *one == to);
            had.map_or(0, |(_, bytes)| *bytes)
        };
        let sent = self.sent();
        let sent = sent
            .iter()
            .map(|(to, bytes)| bytes.saturating_sub(had(*to)));
        let sent: Vec<u64> = sent.filter(|bytes| *bytes > 0).collect();
        let mut counts: Vec<Counts> = Vec::new();
        if let Self::Served {
            client,
            downlink: Downlink::Mixed,
            ..
        } = self
        {
            counts.push(client.receiver().counts(now));
        }
        let streams = self.streams();
        counts.extend(streams.iter().map(|stream| stream.receiver().counts(now)));
        let down = counts.iter().map(|all| all.video_bytes + all.audio_bytes);
        Exchanged {
            uplinks: sent.len(),
            downlinks: counts.iter().filter(|all| all.pictures > 0).count(),
            up: sent.iter().sum(),
            down: down.sum(),
            fewest: counts.iter().map(|all| all.pictures).min().unwrap_or(0),
            served: matches!(self, Self::Served { .. }),
        }
    }

    /// Calls `look` with what this client's eyes have seen, one after the other.
    pub fn look(&self, mut look: impl FnMut(&mut Watch)) {
        if let Self::Served { client, .. } = self
            && let Some(mut watch) = client.watch()
        {
            look(&mut watch);
        }
        for stream in self.streams() {
            if let Some(mut watch) = stream.watch() {
                look(&mut watch);
            }
        }
    }

    /// Why it is not in the room any more, if that is so.
    pub fn ended(&self) -> Option<String> {
        match self {
            Self::Served { client, .. } => client.ended(),
            Self::Direct(_) => None,
        }
    }

    /// Leaves the room.
    pub async fn leave(self) {
        let left = match self {
            Self::Served { client, takes, .. } => {
                for taken in takes {
                    taken.close().await;
                }
                client.leave().await
            }
            Self::Direct(direct) => direct.leave().await,
        };
        if let Err(error) = left {
            tracing::debug!("leaving: {error}");
        }
    }

    fn streams(&self) -> Vec<Arc<Stream>> {
        match self {
            Self::Served { takes, .. } => takes.iter().map(|taken| taken.stream.clone()).collect(),
            Self::Direct(direct) => {
                let carried = direct.carried().into_iter();
                carried.map(|link| link.stream).collect()
            }
        }
    }
}
