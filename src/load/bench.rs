//! `quilt bench`: what a room costs and how quick it is, between the codecs alone and what one
//! would write by hand.
//!
//! Each server is a process of its own, so that its CPU time is its own. Rounds of all kinds of
//! work are interleaved, so that a machine that becomes slower does so for all of them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum as _};
use serde::Deserialize;

use super::large::figure::Figure;
use super::large::{self, Large};
use super::row::{Kind, Measured, Round, Row};
use super::verdict::{Verdict, verdicts};
use super::{Downlink, Options, Quality, Uplink, floor, run};
use crate::encode::choice::{Encoders, Family};
use crate::id::RoomName;
use crate::media::VideoCodec;

/// Participants and pictures a second of the mixes: eight at 12, so that they fit on two cores.
const WORK: [(u8, u32); 3] = [(2, 25), (4, 25), (8, 12)];
/// The room in which Quilt is held to figures over a full minute.
const MAIN: u8 = 4;
/// Before counting begins, seconds.
const SETTLE: u32 = 3;
/// Between two rounds: sockets close, caches and clocks settle.
const REST: Duration = Duration::from_secs(1);

/// What `quilt bench` is asked to do.
#[derive(Debug, Clone, Args)]
pub struct BenchOptions {
    /// How often everything is measured; the table shows medians
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,
    /// How long Quilt's round with four participants lasts; all others take a third of it
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(3..))]
    pub seconds: u32,
    /// Measure only these; what must be reached of others is not judged
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ROW,...",
        default_values_t = [Kind::Floor, Kind::Quilt, Kind::Naive])]
    pub only: Vec<Kind>,
    /// Measure only with so many participants
    #[arg(long, value_delimiter = ',', value_name = "N,...", value_parser = participants(),
        default_values_t = WORK.map(|(n, _)| n))]
    pub n: Vec<u8>,
    /// Measure these large meetings; all of them if `only` does not leave everything else out
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ROW,...", num_args = 0..)]
    pub large: Option<Vec<Large>>,
}

impl BenchOptions {
    /// The large meetings that are asked for.
    fn large(&self) -> Vec<Large> {
        let everything = self.only.len() == Kind::value_variants().len();
        let all = || Large::value_variants().to_vec();
        self.large
            .clone()
            .unwrap_or_else(|| if everything { all() } else { Vec::new() })
    }
}

fn participants() -> impl TypedValueParser<Value = u8> {
    PossibleValuesParser::new(["2", "4", "8"]).map(|n| n.parse().expect("one of these numbers"))
}

/// Measures and prints a table, a JSON line for each row, and what was reached. Answers whether
/// everything was.
///
/// # Errors
/// When a server does not start, or a round cannot be run.
pub async fn bench(options: BenchOptions) -> anyhow::Result<bool> {
    let work = WORK.into_iter().filter(|(n, _)| options.n.contains(n));
    let empty = |(n, fps)| Measured {
        n,
        fps,
        ..Measured::default()
    };
    let mut all: Vec<_> = work.map(empty).collect();
    for round in 1..=options.rounds {
        for measured in &mut all {
            let of = options.rounds;
            let Measured { n, fps, .. } = *measured;
            eprintln!("round {round} of {of}: {n} participants at {fps} pictures a second");
            measure_all(measured, &options).await?;
        }
    }
    let rows: Vec<Row> = all.iter().flat_map(Measured::rows).collect();
    let figures = large::measure(&options.large()).await?;
    print(&rows, &verdicts(&rows), &figures)
}

/// One round of the same work for everybody who is asked for.
async fn measure_all(measured: &mut Measured, options: &BenchOptions) -> anyhow::Result<()> {
    let Measured { n, fps, .. } = *measured;
    let third = options.seconds.div_ceil(3);
    if options.only.contains(&Kind::Floor) {
        let floor = move || floor::run(n as usize, fps, third as usize);
        let floor = tokio::task::spawn_blocking(floor).await?;
        let floor = floor.context("measuring the codecs alone")?;
        measured.floors.push(floor.cores());
        tokio::time::sleep(REST).await;
    }
    if options.only.contains(&Kind::Quilt) {
        let seconds = if n == MAIN { options.seconds } else { third };
        let arguments = ["serve", "--mix", "personal"].map(str::to_owned);
        measured
            .quilts
            .push(measure(arguments.into(), n, fps, seconds).await?);
        tokio::time::sleep(REST).await;
    }
    if options.only.contains(&Kind::Naive) {
        let arguments = ["naive".into(), "--participants".into(), n.to_string()];
        measured
            .naives
            .push(measure(arguments.into(), n, fps, third).await?);
        tokio::time::sleep(REST).await;
    }
    Ok(())
}

fn print(rows: &[Row], verdicts: &[Verdict], figures: &[Figure]) -> anyhow::Result<bool> {
    println!("{}", Row::HEAD);
    for row in rows {
        println!("{row}");
    }
    println!();
    for verdict in verdicts {
        println!("{verdict}");
    }
    println!();
    for figure in figures {
        println!("{figure}");
    }
    println!();
    for row in rows {
        println!("{}", serde_json::to_string(row)?);
    }
    for figure in figures {
        println!("{}", serde_json::to_string(figure)?);
    }
    let reached = verdicts.iter().all(|verdict| verdict.pass);
    Ok(reached && figures.iter().all(|figure| figure.pass))
}

/// One round: a server started with these arguments, and a room of load clients in it.
async fn measure(arguments: Vec<String>, n: u8, fps: u32, seconds: u32) -> anyhow::Result<Round> {
    let start = move || Server::start(&arguments, fps);
    let server = tokio::task::spawn_blocking(start).await??;
    let options = Options {
        url: server.url.clone(),
        room: RoomName::new("bench")?,
        publishers: n,
        viewers: 0,
        seconds,
        settle: SETTLE,
        clip: None,
        codec: Uplink::Mixed,
        downlink: Downlink::H264,
        quality: Quality::High,
        decode: 4,
        // Cameras give what they are asked for, and a mix at 12 asks for no more.
        fps,
        seed: 1,
        json: false,
    };
    let report = run(options).await?;
    eprintln!("{report}");
    Ok(Round::from(&report))
}

/// A server in a process of its own, ended when this is dropped.
pub(super) struct Server {
    child: Child,
    url: String,
}

/// The first line a server writes.
#[derive(Deserialize)]
struct Addresses {
    http: String,
}

impl Server {
    /// Starts this program with these arguments, and waits until it listens.
    pub(super) fn start(arguments: &[String], fps: u32) -> anyhow::Result<Self> {
        let fps = fps.to_string();
        let any = "127.0.0.1:0";
        // In software, as the floor: what a device does is not to be seen in CPU time.
        let h264 = Encoders::software().of(VideoCodec::H264);
        let family = Family::of(h264.context("no H.264 encoder is installed")?).to_string();
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .args(["--listen", any, "--rtc-listen", any, "--fps", &fps])
            .env("QUILT_VIDEO_ENCODER", &family)
            .env("QUILT_LOG", "error,quilt=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the server")?;
        let output = child.stdout.take().context("the server's output")?;
        let mut server = Self {
            child,
            url: String::new(),
        };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let addresses: Addresses =
            serde_json::from_str(&line).context("reading the server's addresses")?;
        server.url = format!("http://{}", addresses.http);
        Ok(server)
    }
}

impl Server {
    /// `http://host:port`.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It keeps nothing: there is nothing to end in good order. An error means it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
