//! `quilt churn`: people come and go, for as long as one likes, and the server is asked whether it
//! holds more at the end than at the beginning.
//!
//! Two people stay in the room, so that there are mixes for everybody. Visitors come through the
//! same door, get a picture, and leave: some say goodbye, some just vanish, some only watch, some
//! have a room of their own, which opens and closes with them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::task::JoinSet;

use super::client::{Client, Entry, Material};
use super::content::Content;
use super::growth::{Figures, Report, Visit};
use super::publisher::{OnRequest, Pace};
use super::run::{BITRATE, SIZE};
use super::{audio, clip, metrics};
use crate::clock::{self, MediaTime};
use crate::gst::Library;
use crate::id::{DisplayName, RoomName};
use crate::media::{Quality, VideoCodec};

/// Pictures a second of what people send: they are to come and go, not to be admired.
const FPS: u32 = 10;
/// Seconds of it, over and over.
const LOOP_SECONDS: u32 = 4;
/// A picture that is not there by then does not come.
const PICTURE_PATIENCE: Duration = Duration::from_secs(10);
/// Rows of the report between the first and the last.
const SAMPLES: u32 = 20;
/// Between two moves of the warm-up, seconds: short, but as many people are there at the same time
/// as later, so that what is pooled and cached has its size.
const WARM_UP_EVERY: f64 = 0.5;
/// The server is at rest when its figures stay the same for this long ...
const REST: Duration = Duration::from_secs(2);
/// ... or never. Threads that the runtime keeps for a while go within ten seconds.
const REST_PATIENCE: Duration = Duration::from_secs(30);

/// What `quilt churn` is asked to do.
#[derive(Debug, Clone, Args)]
pub struct ChurnOptions {
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// The room, which needs not exist
    #[arg(long, default_value = "churn")]
    pub room: RoomName,
    /// Joins and leaves that count; the default is an hour's
    #[arg(long, default_value_t = 360)]
    pub moves: u32,
    /// From one of them to the next, seconds; 0: as fast as it goes
    #[arg(long, default_value_t = 10.0)]
    pub every: f64,
    /// Joins and leaves before, two a second or as fast as the others: pools grow and caches fill
    #[arg(long, default_value_t = 100)]
    pub warm_up: u32,
    /// Visitors at the same time
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub at_once: u32,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Who comes, and what they bring.
struct Crowd {
    url: String,
    room: RoomName,
    material: Vec<Material>,
}

/// Lets people come and go. Visits that fail are part of the report, not an error.
///
/// # Errors
/// When the material cannot be made, the metrics cannot be read, or nobody can stay in the room.
pub async fn run(options: ChurnOptions) -> anyhow::Result<Report> {
    // A server that is not there is told at once.
    metrics::read(&options.url).await?;
    let crowd = Arc::new(Crowd {
        url: options.url.clone(),
        room: options.room.clone(),
        material: tokio::task::spawn_blocking(material).await??,
    });
    let mut staying = vec![];
    for number in 0..2 {
        let joined = crowd.join(number, options.room.clone(), true).await;
        staying.push(joined.context("somebody who is to stay")?);
    }
    let visits = |moves: u32| moves.div_ceil(2);
    let warm_up_every = options.every.min(WARM_UP_EVERY);
    let warm = crowd.visits(visits(options.warm_up), options.at_once, warm_up_every);
    for visit in warm.await? {
        visit.context("warming up")?;
    }
    let began = clock::now();
    for client in &staying {
        client.receiver().begin(began);
    }
    let before = at_rest(&options.url, began, None).await?;
    let sampling = tokio::spawn(sample(options.clone(), began));
    let seen = crowd.visits(visits(options.moves), options.at_once, options.every);
    let seen = seen.await?;
    let after = at_rest(&options.url, began, Some(before)).await?;
    sampling.abort();
    let samples = match sampling.await {
        Ok(samples) => samples?,
        // It was still at it.
        Err(_) => vec![],
    };
    let now = clock::now();
    let disturbed = staying.iter().enumerate().filter_map(|(number, client)| {
        let lost = client
            .ended()
            .map(|why| format!("who stayed was lost: {why}"));
        let silent = client.receiver().counts(now).audio_packets == 0;
        lost.or_else(|| silent.then(|| format!("stayer {number} heard nothing")))
    });
    let disturbed = disturbed.collect();
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        visits: vec![],
        failures: vec![],
        disturbed,
        before,
        samples,
        after,
    };
    for visit in seen {
        match visit {
            Ok(visit) => report.visits.push(visit),
            Err(error) => report.failures.push(format!("{error:#}")),
        }
    }
    for client in staying {
        // An hour's figures are not to be lost for that.
        if let Err(error) = client.leave().await {
            let why = format!("who stayed could not say goodbye: {error}");
            report.disturbed.push(why);
        }
    }
    Ok(report)
}

/// What two kinds of people send.
fn material() -> anyhow::Result<Vec<Material>> {
    let library = Library::embedded();
    let length = LOOP_SECONDS * FPS;
    let content = Content::generated(2, 0, SIZE, length);
    let codecs = [VideoCodec::H264, VideoCodec::Vp8].into_iter();
    let made = codecs.zip(0..).map(|(codec, source)| {
        let settings = clip::Settings {
            codec,
            size: SIZE,
            fps: FPS,
            bitrate: BITRATE * FPS / 25,
            keyframes: length,
        };
        let clip = content.clip(&library, settings, source)?;
        anyhow::Ok(Material {
            source,
            clip: Arc::new(clip),
            track: Arc::new(audio::beeps(source)?),
            log: None,
        })
    });
    made.collect()
}

/// The server's figures once they rest: where `wanted` is given, once nothing is above it.
async fn at_rest(url: &str, began: MediaTime, wanted: Option<Figures>) -> anyhow::Result<Figures> {
    let deadline = clock::now().plus(REST_PATIENCE);
    let mut last: Option<Figures> = None;
    loop {
        let now = clock::now();
        let figures = Figures::of(&metrics::read(url).await?, now.since(began).as_secs_f64());
        let rests = match (&wanted, &last) {
            (Some(wanted), _) => figures.grown_since(wanted).is_empty(),
            (None, Some(last)) => last.counts() == figures.counts(),
            (None, None) => false,
        };
        if rests || now > deadline {
            return Ok(figures);
        }
        last = Some(figures);
        tokio::time::sleep(REST).await;
    }
}

/// Reads the figures from time to time, until it has all rows or is stopped.
async fn sample(options: ChurnOptions, began: MediaTime) -> anyhow::Result<Vec<Figures>> {
    let mut samples = vec![];
    let step = f64::from(options.moves) * options.every / f64::from(SAMPLES + 1);
    for number in 1..=SAMPLES {
        let at = began.plus(Duration::from_secs_f64(step * f64::from(number)));
        if step <= 0.0 {
            break; // As fast as it goes: nobody knows how long that is.
        }
        tokio::time::sleep_until(at.instant().into()).await;
        let seconds = clock::now().since(began).as_secs_f64();
        samples.push(Figures::of(&metrics::read(&options.url).await?, seconds));
    }
    Ok(samples)
}

impl Crowd {
    /// Has so many visitors come and go, one move `every` so many seconds; each gets their turn
    /// in one of `at_once` rows.
    async fn visits(
        self: &Arc<Self>,
        count: u32,
        at_once: u32,
        every: f64,
    ) -> anyhow::Result<Vec<anyhow::Result<Visit>>> {
        let began = clock::now();
        let mut rows = JoinSet::new();
        for row in 0..at_once {
            let crowd = self.clone();
            rows.spawn(async move {
                let mut visits = vec![];
                // This row's moves are every `at_once`th of all, two for each visit.
                let moment = |number: u32| {
                    let seconds = every * f64::from(row + at_once * number);
                    began.plus(Duration::from_secs_f64(seconds)).instant()
                };
                for (turn, number) in (row..count).step_by(at_once as usize).enumerate() {
                    let turn = turn as u32;
                    tokio::time::sleep_until(moment(2 * turn).into()).await;
                    let until = moment(2 * turn + 1);
                    visits.push((number, crowd.visit(number, until).await));
                }
                visits
            });
        }
        let mut visits = vec![];
        while let Some(row) = rows.join_next().await {
            visits.extend(row?);
        }
        visits.sort_by_key(|(number, _)| *number);
        Ok(visits.into_iter().map(|(_, visit)| visit).collect())
    }

    /// Somebody comes, sees, and leaves at `until`, or as soon as they have seen.
    async fn visit(&self, number: u32, until: std::time::Instant) -> anyhow::Result<Visit> {
        let room = match number % 4 {
            3 => RoomName::new(&format!("{}-{number}", self.room))?,
            _ => self.room.clone(),
        };
        let sends = number % 8 != 5;
        let client = self.join(number, room, sends).await?;
        let first = tokio::time::timeout(PICTURE_PATIENCE, first_picture(&client)).await;
        let first = first.with_context(|| format!("visitor {number} sees nothing"))?;
        tokio::time::sleep_until(until.into()).await;
        if let Some(why) = client.ended() {
            anyhow::bail!("visitor {number} was sent away: {why}");
        }
        let millis = |from: MediaTime, to: MediaTime| to.since(from).as_secs_f64() * 1e3;
        let visit = Visit {
            join_ms: millis(client.opened, client.connected),
            first_picture_ms: millis(client.connected, first),
        };
        // Every third says nothing, as when a lid is closed: the socket ends.
        if !number.is_multiple_of(3) {
            client.leave().await.context("leaving")?;
        }
        Ok(visit)
    }

    async fn join(&self, number: u32, room: RoomName, sends: bool) -> anyhow::Result<Client> {
        let material = &self.material[number as usize % self.material.len()];
        let entry = Entry {
            url: self.url.clone(),
            room,
            name: DisplayName::new(&format!("Visitor {number}"))?,
            sends: sends.then_some(material.clip.settings.codec),
            // Both codecs come back, too.
            receives: Some(match number / 2 % 2 {
                0 => VideoCodec::H264,
                _ => VideoCodec::Vp8,
            }),
            quality: Quality::Auto,
        };
        let mut client = Client::join(entry, None).await?;
        if sends {
            let length = material.clip.pictures.len() as u32;
            let pace = Pace::new(clock::now(), FPS, length, OnRequest::Restart);
            client.publish(material.clone(), pace);
        }
        Ok(client)
    }
}

async fn first_picture(client: &Client) -> MediaTime {
    loop {
        if let Some(first) = client.receiver().first_picture() {
            return first;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
