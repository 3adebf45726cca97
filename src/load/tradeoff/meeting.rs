//! One meeting: a server of its own, everybody comes in, it is counted for a while, and everybody
//! leaves.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::super::album::Album;
use super::super::bench::Server;
use super::super::content::Content;
use super::super::metrics::{self, Metrics};
use super::super::outlet::Material;
use super::super::publisher::{OnRequest, Pace};
use super::super::report::Percentiles;
use super::super::run::SIZE;
use super::super::sent::Log;
use super::super::watch::{Source, Watch};
use super::browser::{Browser, Seat};
use super::machine::Work;
use super::person::{Arrival, Exchanged, Person};
use super::plan::Case;
use super::stream::Eyes;
use crate::clock;
use crate::id::RoomName;
use crate::media::Downlink;
use crate::tradeoff::figures::{Row, SeenBy, Topology};

/// Pictures a second of what is sent and of the mixes.
pub const FPS: u32 = 20;
/// Until everybody has a picture of everybody.
const PICTURES: Duration = Duration::from_secs(20);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// From one arrival to the next: whole handshakes, not all at once.
const APART: Duration = Duration::from_millis(50);
/// Streams of which the pictures are compared with their sources: it takes 50 ms each.
const COMPARED: usize = 3;

/// What meetings are made of.
pub struct Prepared {
    /// What each sends.
    pub material: Vec<Material>,
    /// When they sent it.
    pub log: Arc<Log>,
    /// What it shows.
    pub content: Arc<Content>,
    /// Where browsers come from, if there are any.
    pub seat: Option<Seat>,
    /// Everybody is there until counting begins.
    pub settle: Duration,
    /// It is counted for so long.
    pub counted: Duration,
}

/// Holds a meeting and says what it cost. One that comes to nothing says why.
pub async fn hold(case: Case, prepared: &Prepared) -> Row {
    let row = Row::new(case.topology, case.n, case.round);
    match measure(case, prepared, row.clone()).await {
        Ok(measured) => measured,
        Err(error) => Row {
            failed: Some(format!("{error:#}")),
            ..row
        },
    }
}

/// By which way the `index`th client gets the others.
fn downlink(topology: Topology, index: usize) -> Downlink {
    match topology {
        Topology::Mesh => Downlink::Direct,
        Topology::Sfu => Downlink::Forwarded,
        Topology::Mcu => Downlink::Mixed,
        Topology::Hybrid if index.is_multiple_of(2) => Downlink::Forwarded,
        Topology::Hybrid => Downlink::Mixed,
    }
}

/// What the room is set to.
fn policy(topology: Topology) -> &'static str {
    match topology {
        // Whoever wants the mix says so.
        Topology::Hybrid => Topology::Sfu.key(),
        pure => pure.key(),
    }
}

async fn measure(case: Case, prepared: &Prepared, row: Row) -> anyhow::Result<Row> {
    let server = serve(policy(case.topology)).await?;
    let mut people = arrive(case, prepared, server.url()).await?;
    let mut browser = match (&prepared.seat, case.browser) {
        (Some(seat), true) => Some(seat.open(&address(server.url(), case.topology)).await?),
        (None, true) => anyhow::bail!("there is no browser"),
        (_, false) => None,
    };
    let n = usize::from(case.n);
    for person in &mut people {
        person.meet(n).await?;
    }
    let streams = match case.topology {
        Topology::Mcu => 1,
        _ => n - 1,
    };
    until_pictures(&people, n - 1, browser.as_mut(), streams).await?;
    tokio::time::sleep(prepared.settle).await;

    let sources = sources(&people);
    let shown = match &mut browser {
        Some(browser) => browser.pictures().await?,
        None => Vec::new(),
    };
    let before = metrics::read(server.url()).await?;
    let sent: Vec<_> = people.iter().map(Person::sent).collect();
    let taken = browser.as_ref().and_then(Browser::cpu_seconds);
    let (work, began) = (Work::now(), clock::now());
    for person in &people {
        person.begin(&sources, began);
    }
    tokio::time::sleep_until(began.plus(prepared.counted).instant().into()).await;
    let (now, worked) = (clock::now(), Work::now());
    let seconds = now.since(began).as_secs_f64();
    let exchanged = people.iter().zip(&sent);
    let exchanged: Vec<Exchanged> = exchanged
        .map(|(person, sent)| person.exchanged(sent, now))
        .collect();
    let spent = browser.as_ref().and_then(Browser::cpu_seconds);
    let after = metrics::read(server.url()).await?;
    for person in &people {
        if let Some(why) = person.ended() {
            anyhow::bail!("{} fell out: {why}", person.id());
        }
    }
    let mut fewest = exchanged.iter().map(|one| one.fewest).min();
    if let Some(browser) = &mut browser {
        let now = browser.pictures().await?;
        ensure!(now.len() == shown.len(), "the browser lost a picture");
        let each = now
            .iter()
            .zip(&shown)
            .map(|(now, before)| now.saturating_sub(*before));
        fewest = fewest.into_iter().chain(each).min();
    }
    let mut row = Row {
        busy: work
            .zip(worked)
            .and_then(|(before, now)| now.busy_since(before)),
        fps_got: fewest.map(|pictures| pictures as f64 / seconds),
        fps_wanted: Some(f64::from(FPS)),
        ..row
    };
    if case.browser {
        // What bulk clients say is said where there are only such.
        row.client_cores_chromium = taken
            .zip(spent)
            .map(|(before, now)| (now - before) / seconds);
    } else {
        network(&mut row, &exchanged, seconds);
        service(&mut row, &before, &after, seconds);
        look(&mut row, &people, prepared, now).await?;
    }
    drop(browser);
    for person in people {
        person.leave().await;
    }
    Ok(row)
}

/// A server for one meeting.
async fn serve(topology: &str) -> anyhow::Result<Server> {
    // What is measured here is neither refused nor made cheaper.
    let arguments = [
        "serve",
        "--mix",
        "personal",
        "--cpu-budget",
        "64",
        "--topology",
        topology,
    ];
    let arguments = arguments.map(str::to_owned);
    tokio::task::spawn_blocking(move || Server::start(&arguments, FPS)).await?
}

fn room() -> RoomName {
    RoomName::new("tradeoff").expect("a valid name")
}

/// Where a browser joins. It sends and gets VP8 in every meeting, as what comes straight from others
/// is; the codec is not to make the difference.
fn address(server: &str, topology: Topology) -> String {
    let direct = match topology {
        Topology::Mesh => "&direct=1",
        _ => "",
    };
    let room = room();
    format!("{server}/r/{room}?name=Browser&join=1&quality=medium&codec=vp8{direct}")
}

/// The bulk clients come in one after the other, and send from then on.
async fn arrive(case: Case, prepared: &Prepared, url: &str) -> anyhow::Result<Vec<Person>> {
    let bulk = usize::from(case.n) - usize::from(case.browser);
    let room = room();
    let mut people = Vec::new();
    for index in 0..bulk {
        let looks = index == 0 && !case.browser;
        let arrival = Arrival {
            url,
            room: &room,
            name: format!("Person {}", index + 1),
            downlink: downlink(case.topology, index),
            eyes: looks.then(|| Eyes {
                sources: prepared.material.len(),
                size: SIZE,
                log: prepared.log.clone(),
            }),
        };
        let mut person = Person::join(arrival).await.context("joining")?;
        let material = prepared.material.get(index).context("there is material")?;
        let length = material.clip.pictures.len() as u32;
        // Not all send at the same moment.
        let start = clock::now().plus(APART * index as u32 / 2);
        person.publish(
            material.clone(),
            Pace::new(start, FPS, length, OnRequest::Restart),
        );
        people.push(person);
        tokio::time::sleep(APART).await;
    }
    Ok(people)
}

async fn until_pictures(
    people: &[Person],
    others: usize,
    mut browser: Option<&mut Browser>,
    streams: usize,
) -> anyhow::Result<()> {
    let deadline = clock::now().plus(PICTURES);
    loop {
        let blind = people.iter().filter(|person| !person.sees(others)).count();
        let shown = match &mut browser {
            Some(browser) => {
                // A page that is still being loaded answers nothing.
                let pictures = browser.pictures().await.unwrap_or_default();
                pictures.len() == streams && pictures.iter().all(|pictures| *pictures > 0)
            }
            None => true,
        };
        if blind == 0 && shown {
            return Ok(());
        }
        let late = clock::now() >= deadline;
        ensure!(!late || shown, "the browser does not show everybody");
        ensure!(!late, "{blind} of {} do not see everybody", people.len());
        tokio::time::sleep(LOOK).await;
    }
}

/// Who sends what: in the order of the numbers in the marks.
fn sources(people: &[Person]) -> Vec<Source> {
    let source = |person: &Person| Source {
        participant: Some(person.id()),
        name: person.id().to_string(),
    };
    people.iter().map(source).collect()
}

/// What the clients sent and got: means over all of them.
fn network(row: &mut Row, exchanged: &[Exchanged], seconds: f64) {
    let mean = |of: fn(&Exchanged) -> f64| {
        let sum = exchanged.iter().map(of).fold(0.0, |sum, one| sum + one);
        (!exchanged.is_empty()).then(|| sum / exchanged.len() as f64)
    };
    let kbps = |bytes: f64| bytes * 8e-3 / seconds;
    row.uplinks = mean(|one| one.uplinks as f64);
    row.downlinks = mean(|one| one.downlinks as f64);
    row.client_kbps_up = mean(|one| one.up as f64).map(kbps);
    row.client_kbps_down = mean(|one| one.down as f64).map(kbps);
    // Whatever goes to or comes from the server is counted by those at the other end.
    let served = || exchanged.iter().filter(|one| one.served);
    let up: u64 = served().map(|one| one.up).sum();
    let down: u64 = served().map(|one| one.down).sum();
    row.server_kbps_in = Some(kbps(up as f64));
    row.server_kbps_out = Some(kbps(down as f64));
}

/// What the server did.
fn service(row: &mut Row, before: &Metrics, after: &Metrics, seconds: f64) {
    let cpu = "process_cpu_seconds_total";
    row.server_cores = Some((after.value(cpu) - before.value(cpu)) / seconds);
    row.seen_by = Some(match (after.sum("quilt_decoders"), row.server_kbps_in) {
        (decoders, _) if decoders > 0.0 => SeenBy::MixingServer,
        (_, Some(kbps)) if kbps > 0.0 => SeenBy::ForwardingServer,
        _ => SeenBy::Nobody,
    });
}

/// What the one who looks has seen.
async fn look(
    row: &mut Row,
    people: &[Person],
    prepared: &Prepared,
    now: clock::MediaTime,
) -> anyhow::Result<()> {
    let mut latencies = Vec::new();
    let mut albums: Vec<Album> = Vec::new();
    for person in people {
        person.look(|watch: &mut Watch| {
            latencies.extend(watch.latencies());
            if albums.len() < COMPARED {
                albums.push(watch.take_album());
            }
            let strange = watch.report(now).strange_marks;
            if strange > 0 {
                row.failed = Some(format!("{strange} pictures were of somebody else"));
            }
        });
    }
    let latency = Percentiles::of_durations(&latencies);
    row.latency_p50_ms = latency.map(|latency| latency.p50);
    row.latency_p95_ms = latency.map(|latency| latency.p95);
    let content = prepared.content.clone();
    let compare = move || -> anyhow::Result<Vec<f64>> {
        let each = albums.iter().map(|album| album.ssim(&content));
        let each: Vec<Option<f64>> = each.collect::<anyhow::Result<_>>()?;
        Ok(each.into_iter().flatten().collect())
    };
    let found = tokio::task::spawn_blocking(compare).await??;
    row.ssim = (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64);
    Ok(())
}
