//! `quilt tradeoff`: the same meeting as mesh, SFU and MCU, with 2 to 10 people, on this machine and
//! with real clients; what each way costs, measured, and what follows.
//!
//! ```text
//! plan (cases) ▸ meeting ┬▸ person ┬▸ client, taken (by way of a server) ▸ stream ▸ watch
//!                        │         └▸ direct (page to page)             ▸ stream ▸ watch
//!                        └▸ browser, machine
//!                                      ▸ rows ▸ crate::tradeoff (report) ▸ written
//! ```
//!
//! - Every meeting has a server of its own, in a process of its own. Most are of bulk clients, for
//!   the figures of the network, the server and what is seen; in some one of them is a Chromium,
//!   whose CPU is measured.
//! - Everything is measured where it happens: kbit/s at the clients, which know what they sent and
//!   got; latency from mark to mark; quality against the source's pictures from before they were
//!   encoded.

mod browser;
mod direct;
mod machine;
mod meeting;
mod person;
mod plan;
mod stream;
mod taken;
pub mod written;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::run;
use super::{Options, Quality, Uplink};
use crate::encode::choice::{Encoders, Family};
use crate::id::RoomName;
use crate::media::{Size, VideoCodec};
use crate::room::tier::Tiers;
use crate::tradeoff::figures::{Named, Picture, Settings, Topology};
use crate::tradeoff::{Report, Run};
pub(super) use stream::Stream;
pub(super) use taken::Taken;

use browser::Seat;
use meeting::{FPS, Prepared};
use plan::{Case, cases, remaining};

/// Most people of a meeting.
const MOST: u8 = 10;
/// The mix that an MCU client gets.
const MIX: Size = Size::new(640, 360);
/// What joining, leaving and comparing take beside the counting, about.
const AROUND: Duration = Duration::from_secs(3);

/// What `quilt tradeoff` is asked to do.
#[derive(Debug, Clone, Args)]
pub struct TradeoffOptions {
    /// Few people, short meetings: done within three minutes on two cores
    #[arg(long)]
    pub quick: bool,
    /// Where the report is written, in a folder `tradeoff`; the server shows it at /tradeoff
    #[arg(
        long,
        env = "QUILT_DATA_DIR",
        default_value = "data",
        value_name = "FOLDER"
    )]
    pub data_dir: PathBuf,
    /// How often everything is measured [default: 3; quick: 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: Option<u32>,
    /// How long each meeting is counted, seconds [default: 8; quick: 2]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub seconds: Option<u32>,
    /// Only these ways
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WAY,...",
        default_values_t = Topology::ALL)]
    pub topologies: Vec<Topology>,
    /// Numbers of people [default: 2 to 10; quick: 2,4]
    #[arg(long, value_delimiter = ',', value_name = "N,...",
        value_parser = clap::value_parser!(u8).range(2..=MOST as i64))]
    pub people: Option<Vec<u8>>,
    /// Numbers of people of whom one is a Chromium [default: 2,4,6; quick: 3]
    #[arg(long, value_delimiter = ',', value_name = "N,...",
        value_parser = clap::value_parser!(u8).range(2..=MOST as i64))]
    pub browser_people: Option<Vec<u8>>,
    /// The Chromium [default: where it usually is; its figures are absent where there is none]
    #[arg(long, value_name = "PROGRAM")]
    pub browser: Option<PathBuf>,
}

/// What is to be done, with nothing left open.
struct Asked {
    quick: bool,
    rounds: u32,
    counted: Duration,
    settle: Duration,
    topologies: Vec<Topology>,
    people: Vec<u8>,
    browser_people: Vec<u8>,
}

impl From<&TradeoffOptions> for Asked {
    fn from(options: &TradeoffOptions) -> Self {
        let quick = options.quick;
        let choose = |quickly: u32, else_: u32| if quick { quickly } else { else_ };
        let seconds = options.seconds.unwrap_or(choose(2, 8));
        let all = || (2..=MOST).collect();
        let people = options.people.clone();
        let browser_people = options.browser_people.clone();
        Self {
            quick,
            rounds: options.rounds.unwrap_or(choose(2, 3)),
            counted: Duration::from_secs(seconds.into()),
            settle: Duration::from_millis(choose(1_000, 3_000).into()),
            topologies: options.topologies.clone(),
            people: people.unwrap_or_else(|| if quick { vec![2, 4] } else { all() }),
            browser_people: browser_people
                .unwrap_or_else(|| if quick { vec![3] } else { vec![2, 4, 6] }),
        }
    }
}

/// Measures, writes the report and says what follows.
///
/// # Errors
/// When nothing can be sent, or the report cannot be written. A meeting that comes to nothing is
/// part of the report.
pub async fn tradeoff(options: TradeoffOptions) -> anyhow::Result<()> {
    let asked = Asked::from(&options);
    let date = time::OffsetDateTime::from(SystemTime::now());
    let date = date.replace_nanosecond(0).unwrap_or(date);
    let date = date.format(&time::format_description::well_known::Rfc3339)?;
    let program = options.browser.clone().or_else(browser::installed);
    if program.is_none() {
        eprintln!("There is no Chromium: what clients cost is not measured.");
    }
    let prepared = prepare(&asked, program.as_deref()).await?;
    let browser_people: &[u8] = match &prepared.seat {
        Some(_) => &asked.browser_people,
        None => &[],
    };
    let all = cases(
        asked.rounds,
        &asked.topologies,
        &asked.people,
        browser_people,
    );
    let mut rows = Vec::new();
    let progress = Progress::new(&all, &asked);
    let mut done = Vec::new();
    for (number, case) in all.iter().enumerate() {
        progress.tell(*case, &done, &all[number..]);
        let began = Instant::now();
        rows.push(meeting::hold(*case, &prepared).await);
        if let Some(why) = rows.last().and_then(|row| row.failed.as_ref()) {
            progress.failed(*case, why);
        }
        done.push((*case, began.elapsed()));
    }
    progress.end();
    let report = Report::of(Run {
        version: env!("CARGO_PKG_VERSION").into(),
        date,
        machine: machine::machine(),
        software: software(&prepared),
        settings: settings(&asked),
        rows,
    });
    for passage in &report.advice {
        println!("{}\n  {}\n", passage.title, passage.sentences.join("\n  "));
    }
    for path in written::write(&options.data_dir, &report)? {
        println!("{}", path.display());
    }
    Ok(())
}

/// What everybody sends, encoded before the first meeting.
async fn prepare(asked: &Asked, program: Option<&Path>) -> anyhow::Result<Prepared> {
    let most = asked.people.iter().chain(&asked.browser_people).max();
    let most = *most.context("no number of people")?;
    eprintln!("encoding what {most} people send");
    let options = Options {
        url: String::new(),
        room: RoomName::new("tradeoff")?,
        publishers: most,
        viewers: 0,
        seconds: 1,
        settle: 0,
        clip: None,
        codec: Uplink::Vp8,
        downlink: super::Downlink::H264,
        quality: Quality::Medium,
        decode: 1,
        fps: FPS,
        seed: 1,
        json: false,
    };
    let (material, log, content) = run::make(&options).await?;
    let seat = program.map(|program| Seat::new(program, &content, most - 1));
    Ok(Prepared {
        material,
        log,
        content,
        seat: seat.transpose()?,
        settle: asked.settle,
        counted: asked.counted,
    })
}

fn software(prepared: &Prepared) -> Vec<Named> {
    let named = |name: &str, value: String| Named {
        name: name.into(),
        value,
    };
    let browser = prepared.seat.as_ref().and_then(Seat::version);
    let encoder = Encoders::software().of(VideoCodec::H264);
    [
        browser.map(|version| named("Chromium", version)),
        Some(named("GStreamer", gstreamer::version_string().into())),
        encoder.map(|encoder| named("Encoder of mixes", Family::of(encoder).to_string())),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn settings(asked: &Asked) -> Settings {
    let named = |name: &str, value: &str| Named {
        name: name.into(),
        value: value.into(),
    };
    Settings {
        quick: asked.quick,
        seconds: asked.counted.as_secs_f64(),
        rounds: asked.rounds,
        topologies: asked.topologies.clone(),
        people: asked.people.clone(),
        sent: Picture {
            width: run::SIZE.width,
            height: run::SIZE.height,
            fps: FPS,
            kbps: run::BITRATE * FPS / 25 / 1000,
        },
        mix: Picture {
            width: MIX.width,
            height: MIX.height,
            fps: FPS,
            kbps: Tiers::default().medium / 1000,
        },
        more: vec![
            named("Sent", "VP8 and Opus; bulk clients send one layer"),
            named("Mixes", "H.264, one for each person (VP8 for a browser)"),
            named("kbit/s", "RTP payload of pictures and sound"),
            named(
                "Latency",
                "from the sender's packet to the decoded picture, by the first client",
            ),
            named("Hybrid", "every other person takes the mix"),
        ],
    }
}

/// How far it is, for whoever waits.
struct Progress {
    bar: ProgressBar,
    expected: Duration,
}

impl Progress {
    fn new(all: &[Case], asked: &Asked) -> Self {
        // Where nobody watches, indicatif draws nothing.
        let bar = ProgressBar::new(all.len() as u64);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
        bar.set_style(style.expect("a valid template"));
        Self {
            bar,
            expected: asked.settle + asked.counted + AROUND,
        }
    }

    fn tell(&self, case: Case, done: &[(Case, Duration)], rest: &[Case]) {
        let left = remaining(done, rest, self.expected).as_secs();
        let (minutes, seconds) = (left / 60, left % 60);
        let text = format!("{}, {minutes}:{seconds:02} left", name(case));
        self.bar.set_position(done.len() as u64);
        if self.bar.is_hidden() {
            eprintln!("{} of {}: {text}", done.len() + 1, done.len() + rest.len());
        }
        self.bar.set_message(text);
    }

    fn failed(&self, case: Case, why: &str) {
        self.bar
            .suspend(|| eprintln!("{} came to nothing: {why}", name(case)));
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn name(case: Case) -> String {
    let with = if case.browser { ", one a browser" } else { "" };
    format!("{} of {}{with}", case.topology.name(), case.n)
}
