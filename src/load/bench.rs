//! `quilt bench`: what a room costs and how quick it is, beside the codecs alone.
//!
//! The server is a process of its own, so that its CPU time is its own. Rounds of all kinds of
//! work are interleaved, so that a machine that becomes slower does so for all of them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use serde::Deserialize;

use super::verdict::{Round, Row, Verdict, verdicts};
use super::{Downlink, Options, Quality, Uplink, floor, run};
use crate::encode::choice::{Encoders, Family};
use crate::id::RoomName;
use crate::media::VideoCodec;

/// Participants and pictures a second of the mixes: eight at 12, so that they fit on two cores.
const WORK: [(u8, u32); 3] = [(2, 25), (4, 25), (8, 12)];
/// The row that is held to figures over a full minute.
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
    /// How long a round with four participants lasts; the others take a third of it
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(3..))]
    pub seconds: u32,
}

/// Measures and prints a table, a JSON line for each row, and what was reached. Answers whether
/// everything was.
///
/// # Errors
/// When the server does not start, or a round cannot be run.
pub async fn bench(options: BenchOptions) -> anyhow::Result<bool> {
    let mut floors = vec![vec![]; WORK.len()];
    let mut quilts = vec![vec![]; WORK.len()];
    for round in 1..=options.rounds {
        for (index, (n, fps)) in WORK.into_iter().enumerate() {
            let seconds = if n == MAIN {
                options.seconds
            } else {
                options.seconds.div_ceil(3)
            };
            let of = options.rounds;
            eprintln!("round {round} of {of}: {n} participants at {fps} pictures a second");
            let floor = tokio::task::spawn_blocking(move || {
                floor::run(n as usize, fps, options.seconds.div_ceil(3) as usize)
            });
            let floor = floor.await?.context("measuring the codecs alone")?;
            floors[index].push(floor.cores());
            tokio::time::sleep(REST).await;
            quilts[index].push(measure(n, fps, seconds).await?);
            tokio::time::sleep(REST).await;
        }
    }
    let mut rows = vec![];
    for (index, (n, fps)) in WORK.into_iter().enumerate() {
        let floor = Row::floor(n, fps, &floors[index]);
        let quilt = Row::quilt(&floor, &quilts[index]);
        rows.extend([floor, quilt]);
    }
    print(&rows, &verdicts(&rows))
}

fn print(rows: &[Row], verdicts: &[Verdict]) -> anyhow::Result<bool> {
    println!("{}", Row::HEAD);
    for row in rows {
        println!("{row}");
    }
    println!();
    for verdict in verdicts {
        println!("{verdict}");
    }
    println!();
    for row in rows {
        println!("{}", serde_json::to_string(row)?);
    }
    Ok(verdicts.iter().all(|verdict| verdict.pass))
}

async fn measure(n: u8, fps: u32, seconds: u32) -> anyhow::Result<Round> {
    let server = tokio::task::spawn_blocking(move || Server::start(fps)).await??;
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
struct Server {
    child: Child,
    url: String,
}

/// The first line a server writes.
#[derive(Deserialize)]
struct Addresses {
    http: String,
}

impl Server {
    fn start(fps: u32) -> anyhow::Result<Self> {
        let fps = fps.to_string();
        let any = "127.0.0.1:0";
        // In software, as the floor: what a device does is not to be seen in CPU time.
        let h264 = Encoders::software().of(VideoCodec::H264);
        let family = Family::of(h264.context("no H.264 encoder is installed")?).to_string();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", "--listen", any, "--rtc-listen", any])
            .args(["--mix", "personal", "--fps", &fps])
            .args(["--video-encoder", &family])
            .env("QUILT_LOG", "warn")
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

impl Drop for Server {
    fn drop(&mut self) {
        // It keeps nothing: there is nothing to end in good order. An error means it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
