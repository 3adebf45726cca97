//! Many clients in one room.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::Semaphore;

use super::super::bench::Server;
use super::super::client::{Client, Entry, Material};
use super::super::metrics::{self, Metrics};
use super::super::publisher::{OnRequest, Pace};
use super::material::FPS;
use crate::clock::{self, MediaTime};
use crate::id::{DisplayName, RoomName};
use crate::media::{Quality, VideoCodec};

/// Joins at a time: the handshakes of this process are not to be measured.
const AT_ONCE: usize = 4;
/// How long somebody may take to get a picture before that is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// Everybody in a room of a server of their own.
pub struct Crowd {
    server: Server,
    room: RoomName,
    /// In the order they were asked in.
    pub clients: Vec<Client>,
}

/// What the server did, and what everybody got, for a while.
pub struct Measured {
    /// CPU seconds a second.
    pub cores: f64,
    /// Resident memory at the end, MB.
    pub memory: f64,
    /// The most at either end.
    pub video_encoders: f64,
    /// The same.
    pub video_decoders: f64,
    /// Complete pictures a second of each.
    pub pictures: Vec<f64>,
    /// All together.
    pub freezes: f64,
    /// Payload of each one's video, 1000 bits a second.
    pub video_kbps: Vec<f64>,
    /// Packets of it a second.
    pub video_packets: Vec<f64>,
    /// Packets of sound a second.
    pub audio_packets: Vec<f64>,
}

impl Crowd {
    /// Nobody yet, at a server started with these arguments.
    pub async fn at(arguments: &[&str], fps: u32) -> anyhow::Result<Self> {
        // What is measured here is not refused.
        let arguments = arguments.iter().chain(&["--cpu-budget", "64"]);
        let arguments: Vec<String> = arguments.map(|a| (*a).to_owned()).collect();
        let start = move || Server::start(&arguments, fps);
        Ok(Self {
            server: tokio::task::spawn_blocking(start).await??,
            room: RoomName::new("large")?,
            clients: Vec::new(),
        })
    }

    /// How somebody enters.
    fn entry(&self, n: usize, sends: bool, quality: Quality) -> anyhow::Result<Entry> {
        Ok(Entry {
            url: self.server.url().to_owned(),
            room: self.room.clone(),
            name: DisplayName::new(&format!("P{n}"))?,
            sends: sends.then_some(VideoCodec::H264),
            receives: Some(VideoCodec::H264),
            quality,
        })
    }

    /// Has so many join, one after the other and some at a time, each of whom sends what `wears`
    /// says or only watches. With a pause between two, or as quickly as it goes. How long each
    /// took from the first step to the first picture, ms.
    pub async fn join(
        &mut self,
        many: usize,
        quality: Quality,
        pause: Duration,
        wears: impl Fn(usize) -> Option<Material>,
    ) -> anyhow::Result<Vec<f64>> {
        let turns = Arc::new(Semaphore::new(match pause.is_zero() {
            true => AT_ONCE,
            false => many,
        }));
        let mut joining = Vec::new();
        let began = tokio::time::Instant::now();
        for n in 0..many {
            let number = self.clients.len() + n;
            let material = wears(number);
            let entry = self.entry(number, material.is_some(), quality)?;
            let (turns, at) = (turns.clone(), began + pause * n as u32);
            joining.push(tokio::spawn(async move {
                let _turn = turns.acquire_owned().await?;
                tokio::time::sleep_until(at).await;
                let mut client = Client::join(entry, None).await?;
                if let Some(material) = material {
                    let length = material.clip.pictures.len() as u32;
                    // Voices speak in turn only if all began at the same time.
                    let pace = Pace::in_step(clock::now(), FPS, length);
                    let pace = pace.on_request(OnRequest::Restart);
                    client.publish(material, pace);
                }
                anyhow::Ok(client)
            }));
        }
        let mut took = Vec::new();
        for joined in joining {
            let client = joined.await?.context("somebody cannot join")?;
            let deadline = clock::now().plus(PATIENCE);
            let first = loop {
                if let Some(first) = client.receiver().first_picture() {
                    break first;
                }
                anyhow::ensure!(clock::now() < deadline, "somebody gets no picture");
                tokio::time::sleep(Duration::from_millis(5)).await;
            };
            took.push(first.since(client.opened).as_secs_f64() * 1e3);
            self.clients.push(client);
        }
        Ok(took)
    }

    /// Has the last so many leave.
    pub async fn leave(&mut self, many: usize) -> anyhow::Result<()> {
        let stay = self.clients.len().saturating_sub(many);
        for client in self.clients.drain(stay..) {
            client.leave().await?;
        }
        Ok(())
    }

    /// Has so many join who only send.
    pub async fn send(
        &mut self,
        many: usize,
        wears: impl Fn(usize) -> Option<Material>,
    ) -> anyhow::Result<()> {
        for n in 0..many {
            let entry = Entry {
                receives: None,
                ..self.entry(n, true, Quality::Auto)?
            };
            let mut client = Client::join(entry, None).await?;
            if let Some(material) = wears(n) {
                let length = material.clip.pictures.len() as u32;
                let pace = Pace::in_step(clock::now(), FPS, length);
                client.publish(material, pace.on_request(OnRequest::Restart));
            }
            self.clients.push(client);
        }
        Ok(())
    }

    /// The server, and the room.
    pub fn address(&self) -> (&str, &RoomName) {
        (self.server.url(), &self.room)
    }

    /// Counts from now on.
    pub fn begin(&self) -> MediaTime {
        let now = clock::now();
        for client in &self.clients {
            client.receiver().begin(now);
        }
        now
    }

    /// The server's figures.
    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        Ok(metrics::read(self.server.url()).await?)
    }

    /// Lets them be for so long, and tells what that was like.
    pub async fn measure(&self, seconds: u64) -> anyhow::Result<Measured> {
        let before = self.metrics().await?;
        let began = self.begin();
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        let after = self.metrics().await?;
        let now = clock::now();
        let seconds = now.since(began).as_secs_f64();
        let cpu = |metrics: &Metrics| metrics.value("process_cpu_seconds_total");
        let most = |name| before.value(name).max(after.value(name));
        let counts = self.clients.iter().map(|client| {
            if let Some(why) = client.ended() {
                anyhow::bail!("somebody fell out: {why}");
            }
            Ok(client.receiver().counts(now))
        });
        let counts = counts.collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Measured {
            cores: (cpu(&after) - cpu(&before)) / seconds,
            memory: after.value("process_resident_memory_bytes") / 1e6,
            video_encoders: most("quilt_encoders{kind=\"video\"}"),
            video_decoders: most("quilt_decoders{kind=\"video\"}"),
            pictures: counts.iter().map(|c| c.pictures as f64 / seconds).collect(),
            freezes: counts.iter().map(|c| f64::from(c.freezes)).sum(),
            video_kbps: counts
                .iter()
                .map(|c| c.video_bytes as f64 * 8e-3 / seconds)
                .collect(),
            video_packets: counts
                .iter()
                .map(|c| c.video_packets as f64 / seconds)
                .collect(),
            audio_packets: counts
                .iter()
                .map(|c| c.audio_packets as f64 / seconds)
                .collect(),
        })
    }
}

impl Measured {
    /// Of whoever got the fewest, pictures a second.
    pub fn fewest(&self) -> f64 {
        self.pictures.iter().copied().fold(f64::INFINITY, f64::min)
    }
}
