//! One run of `quilt load`: make the material, join, count, leave.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::{Client, Entry, Material};
use super::clip;
use super::content::Content;
use super::metrics;
use super::publisher::{OnRequest, Pace};
use super::report::{self, Report, Role, Server};
use super::sample::Sampler;
use super::sent::Log;
use super::watch::{Source, Watch};
use super::{Options, album::Album, audio};
use crate::clock::{self, MediaTime};
use crate::gst::Library;
use crate::id::DisplayName;
use crate::media::{Size, VideoCodec};
use crate::stats::process_cpu_seconds;

/// What the sources send: the size of a laptop's camera in a call of several.
pub(super) const SIZE: Size = Size::new(640, 360);
/// Bits a second of each source at 25 pictures a second.
pub(super) const BITRATE: u32 = 500_000;
/// Length of the loops: longer than any latency, so that a mark means one picture; short enough
/// for 4 MB a minute of clips.
const LOOP_SECONDS: u32 = 10;
/// Joins at a time. More would measure how this process, not the server, shakes hands.
const JOINS_AT_ONCE: usize = 8;
/// How long a client that joined is waited for to get its first picture before counting begins.
const FIRST_PICTURE: Duration = Duration::from_secs(5);

/// Runs the load and reports. Clients that do not join are part of the report, not an error.
///
/// # Errors
/// When the material cannot be made, or the server's metrics cannot be read.
pub async fn run(options: Options) -> anyhow::Result<Report> {
    // A server that is not there is told at once, not after a minute of encoding.
    metrics::read(&options.url).await?;
    let (material, log, content) = make(&options).await?;
    let mut clients = join(&options, &material, &log).await?;
    until_pictures(&clients).await;
    tokio::time::sleep(Duration::from_secs(options.settle as u64)).await;

    let before = metrics::read(&options.url).await?;
    let (began, load_cpu) = (clock::now(), process_cpu_seconds());
    let sources = sources(&clients);
    for client in clients
        .iter()
        .filter_map(|member| member.client.as_ref().ok())
    {
        client.receiver().begin(began);
        if let Some(mut watch) = client.watch() {
            watch.begin(sources.clone(), began);
        }
    }
    let end = began.plus(Duration::from_secs(options.seconds as u64));
    tokio::time::sleep_until(end.instant().into()).await;
    let ended = clock::now();
    let load_cpu_seconds = process_cpu_seconds() - load_cpu;
    let seconds = ended.since(began).as_secs_f64();
    let reports = clients.iter().map(|member| member.report(ended));
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        room: options.room.clone(),
        seed: options.seed,
        seconds,
        clients: reports.collect(),
        sample: sample(&clients, ended),
        server: Server::default(),
        load_cpu_seconds,
    };
    let after = metrics::read(&options.url).await?;
    report.server = Server::between(&before, &after, clock::now().since(began).as_secs_f64());
    report = compared(report, &clients, content).await?;

    let mut leaving = JoinSet::new();
    for member in clients.drain(..) {
        if let Ok(client) = member.client {
            leaving.spawn(client.leave());
        }
    }
    while let Some(left) = leaving.join_next().await {
        if let Err(error) = left? {
            tracing::warn!("leaving: {error}");
        }
    }
    Ok(report)
}

/// Fills in how true the pictures were that the clients put aside.
async fn compared(
    mut report: Report,
    clients: &[Member],
    content: Arc<Content>,
) -> anyhow::Result<Report> {
    let watches = clients.iter().enumerate().filter_map(|(index, member)| {
        let client = member.client.as_ref().ok()?;
        Some((index, client.watch()?.take_album()))
    });
    let albums: Vec<_> = watches.collect();
    let compare = move || -> anyhow::Result<Vec<(usize, Option<f64>)>> {
        let ssim = |(index, album): (usize, Album)| Ok((index, album.ssim(&content)?));
        albums.into_iter().map(ssim).collect()
    };
    let found = tokio::task::spawn_blocking(compare).await??;
    let all: Vec<f64> = found.iter().filter_map(|(_, ssim)| *ssim).collect();
    for (index, ssim) in found {
        if let Some(sample) = &mut report.clients[index].sample {
            sample.ssim = ssim;
        }
    }
    if let Some(sample) = &mut report.sample {
        sample.ssim = (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64);
    }
    Ok(report)
}

/// One client of the run, in the room or not.
struct Member {
    name: DisplayName,
    role: Role,
    client: Result<Client, String>,
}

/// Clips and beeps for all publishers, made on as many threads as there are processors.
pub(super) async fn make(
    options: &Options,
) -> anyhow::Result<(Vec<Material>, Arc<Log>, Arc<Content>)> {
    let log = Arc::new(Log::new(options.publishers as usize));
    let library = Library::embedded();
    let length = LOOP_SECONDS * options.fps;
    let content = match options.clip.clone() {
        None => Content::generated(options.publishers, options.seed, SIZE, length),
        Some(path) => {
            let (library, fps) = (library.clone(), options.fps);
            let read = move || clip::read_file(&library, &path, SIZE, fps, length as usize);
            Content::footage(tokio::task::spawn_blocking(read).await??, SIZE)
        }
    };
    let content = Arc::new(content);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let turns = Arc::new(Semaphore::new(threads));
    let mut making = vec![];
    for source in 0..options.publishers {
        let (library, content, log, turns) =
            (library.clone(), content.clone(), log.clone(), turns.clone());
        let settings = clip::Settings {
            codec: options.codec.of(source),
            size: SIZE,
            fps: options.fps,
            bitrate: BITRATE * options.fps / 25,
            keyframes: length,
        };
        making.push(tokio::spawn(async move {
            let _turn = turns.acquire_owned().await?;
            let make = move || content.clip(&library, settings, source);
            let clip = tokio::task::spawn_blocking(make).await??;
            anyhow::Ok(Material {
                source,
                clip: Arc::new(clip),
                track: Arc::new(audio::beeps(source)?),
                log: Some(log),
            })
        }));
    }
    let mut material = vec![];
    for made in making {
        material.push(made.await?.context("making what a publisher sends")?);
    }
    Ok((material, log, content))
}

/// Joins everybody, some at a time, publishers first; each publisher sends from then on.
async fn join(
    options: &Options,
    material: &[Material],
    log: &Arc<Log>,
) -> anyhow::Result<Vec<Member>> {
    let downlink = VideoCodec::from(options.downlink);
    let library = Library::embedded();
    let total = material.len() + options.viewers as usize;
    let mut phases = SmallRng::seed_from_u64(options.seed);
    let turns = Arc::new(Semaphore::new(JOINS_AT_ONCE));
    let mut joining = vec![];
    for index in 0..total {
        let publisher = material.get(index).cloned();
        let (role, name) = match &publisher {
            Some(_) => (Role::Publisher, format!("Load {index}")),
            None => (Role::Viewer, format!("View {}", index - material.len())),
        };
        let name = DisplayName::new(&name)?;
        let entry = Entry {
            url: options.url.clone(),
            room: options.room.clone(),
            name: name.clone(),
            sends: publisher
                .as_ref()
                .map(|material| material.clip.settings.codec),
            receives: Some(downlink),
            quality: options.quality.into(),
        };
        // Those who decode are spread over all, so that viewers are among them.
        let decoders = (options.decode as usize).min(total);
        let decodes = (index + 1) * decoders / total > index * decoders / total;
        let eyes = if decodes {
            let watch = Arc::new(Mutex::new(Watch::new(material.len(), SIZE)));
            let sampler = Sampler::start(&library, downlink, &watch, log)?;
            Some((sampler, watch))
        } else {
            None
        };
        let phase = Duration::from_micros(phases.random_range(0..1_000_000));
        let (fps, turns) = (options.fps, turns.clone());
        let joined = tokio::spawn(async move {
            let _turn = turns.acquire_owned().await.map_err(|e| e.to_string())?;
            let joined = Client::join(entry, eyes).await;
            let mut client = joined.map_err(|error| error.to_string())?;
            if let Some(material) = publisher {
                // A random time within a second: neither pictures nor beeps coincide.
                let start = clock::now().plus(phase);
                let length = material.clip.pictures.len() as u32;
                let pace = Pace::new(start, fps, length, OnRequest::Restart);
                client.publish(material, pace);
            }
            Ok(client)
        });
        joining.push((name, role, joined));
    }
    let mut members = vec![];
    for (name, role, joined) in joining {
        members.push(Member {
            name,
            role,
            client: joined.await?,
        });
    }
    Ok(members)
}

/// Waits until everybody who joined has a picture, a while.
async fn until_pictures(members: &[Member]) {
    let deadline = clock::now().plus(FIRST_PICTURE);
    let waiting = |member: &Member| {
        let client = member.client.as_ref().ok();
        client.is_some_and(|client| client.receiver().first_picture().is_none())
    };
    while members.iter().any(waiting) && clock::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Who sends what: in the order of the numbers in the marks.
fn sources(members: &[Member]) -> Vec<Source> {
    let publishers = members
        .iter()
        .filter(|member| member.role == Role::Publisher);
    publishers
        .map(|member| Source {
            participant: member.client.as_ref().ok().map(|client| client.participant),
            name: member.name.to_string(),
        })
        .collect()
}

fn sample(members: &[Member], now: MediaTime) -> Option<report::Sample> {
    let joined = members
        .iter()
        .filter_map(|member| member.client.as_ref().ok());
    let watches: Vec<_> = joined.filter_map(Client::watch).collect();
    let watches: Vec<&Watch> = watches.iter().map(|watch| &**watch).collect();
    (!watches.is_empty()).then(|| Watch::report_all(&watches, now))
}

impl Member {
    fn report(&self, now: MediaTime) -> report::Client {
        let mut report = report::Client {
            name: self.name.to_string(),
            role: self.role,
            participant: None,
            error: None,
            join_ms: None,
            first_picture_ms: None,
            pictures_per_second: 0.0,
            freezes: 0,
            frozen_ms: 0.0,
            video_kbps: 0.0,
            lost_packets: 0,
            audio_packets_per_second: 0.0,
            sample: None,
        };
        let client = match &self.client {
            Ok(client) => client,
            Err(error) => {
                report.error = Some(error.clone());
                return report;
            }
        };
        let receiver = client.receiver();
        let counts = receiver.counts(now);
        let millis = |from: MediaTime, to: MediaTime| to.since(from).as_secs_f64() * 1e3;
        let counted = receiver
            .began()
            .map_or(Duration::ZERO, |began| now.since(began));
        let seconds = counted.as_secs_f64().max(f64::MIN_POSITIVE);
        let first = receiver.first_picture();
        report.participant = Some(client.participant);
        report.error = client.ended();
        report.join_ms = Some(millis(client.opened, client.connected));
        report.first_picture_ms = first.map(|first| millis(client.connected, first));
        report.pictures_per_second = counts.pictures as f64 / seconds;
        report.freezes = counts.freezes;
        report.frozen_ms = counts.frozen.as_secs_f64() * 1e3;
        report.video_kbps = counts.video_bytes as f64 * 8e-3 / seconds;
        report.lost_packets = counts.lost;
        report.audio_packets_per_second = counts.audio_packets as f64 / seconds;
        report.sample = client.watch().map(|watch| watch.report(now));
        report
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::load::echo;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(line: &str) -> Options {
        Line::parse_from(std::iter::once("load").chain(line.split(' '))).options
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn everybody_sees_and_hears_what_comes_back() {
        let url = echo::start().await;
        tokio::join!(echoed(&url, "h264"), echoed(&url, "vp8"));
    }

    async fn echoed(url: &str, codec: &str) {
        let line = format!(
            "--url {url} --publishers 2 --seconds 2 --settle 0 --codec {codec} \
             --downlink {codec} --decode 1"
        );
        let report = run(options(&line)).await.unwrap();
        assert_eq!(report.clients.len(), 2);
        for client in &report.clients {
            assert_eq!(client.error, None);
            assert!(client.pictures_per_second > 0.0, "{client:?}");
            assert!(client.audio_packets_per_second > 0.0, "{client:?}");
            assert!(client.join_ms.is_some() && client.first_picture_ms.is_some());
        }
        let sample = report.sample.unwrap();
        assert_eq!(sample.tiles.len(), 1);
        assert!(sample.tiles[0].marks_per_second > 0.0);
        assert_eq!(sample.strange_marks, 0);
        assert!(sample.video_latency_ms.unwrap().count > 10);
        assert!(sample.audio_latency_ms.unwrap().count >= 1);
        assert!(sample.skew_ms.is_some());
        // What comes back is the uplink itself.
        assert!(sample.ssim.unwrap() > 0.8, "{:?}", sample.ssim);
        let sampled = report.clients.iter().filter(|c| c.sample.is_some());
        assert_eq!(sampled.count(), 1);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_at_once() {
        let error = run(options("--url http://127.0.0.1:1")).await.unwrap_err();
        assert!(error.to_string().contains("reading /metrics"), "{error:#}");
    }
}
