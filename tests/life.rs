//! A server's life: people come and go by the hundred, and nothing of them stays behind.

mod common;

use std::process::Child;
use std::time::{Duration, Instant};

use clap::Parser;
use common::program;
use quilt::clock;
use quilt::id::{DisplayName, RoomName};
use quilt::load::churn::{self, ChurnOptions};
use quilt::load::client::{Client, Entry};
use quilt::media::{Quality, VideoCodec};

/// A server in a process of its own: its threads, files and memory are its own, too.
struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut command = program::serve();
        command.args(["--cpu-budget", "64"]).args(arguments);
        let (process, addresses) = program::start(command.env_remove("QUILT_LOG"));
        let http = addresses["http"].as_str().expect("an address");
        Self {
            url: format!("http://{http}"),
            process,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("an end");
    }
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: ChurnOptions,
}

/// More than come and go in an hour at one join or leave every ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_come_and_go_and_nothing_stays() {
    let server = Server::start(&["--fps", "10"]);
    let line = format!(
        "churn --url {} --moves 400 --every 0 --warm-up 100",
        server.url
    );
    let options = Line::parse_from(line.split(' ')).options;
    let report = churn::run(options).await.expect("a report");
    println!("{report}");
    assert_eq!(report.complaints(), Vec::<String>::new());
    assert_eq!(report.visits.len(), 200);
    assert!(report.before.pipelines >= 8.0, "those who stay have theirs");
}

/// Nothing takes longer that comes at all.
const PATIENCE: Duration = Duration::from_secs(40);

/// Comes into the room and waits for a picture and for sound.
async fn come(url: &str, name: &str) -> Client {
    let entry = Entry {
        url: url.to_owned(),
        room: RoomName::new("life").expect("a name"),
        name: DisplayName::new(name).expect("a name"),
        sends: Some(VideoCodec::H264),
        receives: Some(VideoCodec::H264),
        quality: Quality::Auto,
    };
    let client = Client::join(entry, None).await.expect("they come in");
    client.receiver().begin(clock::now());
    plays(&client, name).await;
    client
}

/// Waits until pictures and sound come that were not there before.
async fn plays(client: &Client, name: &str) {
    let counts = || {
        let counts = client.receiver().counts(clock::now());
        (counts.pictures, counts.audio_packets)
    };
    let before = counts();
    let deadline = Instant::now() + PATIENCE;
    while counts().0 < before.0 + 3 || counts().1 < before.1 + 3 {
        assert_eq!(client.ended(), None, "{name} was sent away");
        assert!(Instant::now() < deadline, "{name} gets nothing any more");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_get_over_every_way_of_leaving() {
    let server = Server::start(&["--fps", "10"]);
    let url = server.url.as_str();
    // The last one refreshes, again and again: the room is just ending, or is it not? Sometimes
    // the browser says goodbye, sometimes the new page is quicker than the old one's end.
    let mut ann = come(url, "Ann").await;
    for round in 0..8 {
        match round % 3 {
            0 => ann.leave().await.expect("a goodbye"),
            1 => drop(ann),
            _ => {
                let (left, again) = tokio::join!(ann.leave(), come(url, "Ann"));
                left.expect("a goodbye");
                ann = again;
                continue;
            }
        }
        ann = come(url, "Ann").await;
    }
    // Two leave at once; the others' pictures go on.
    let (bob, cid, dot) = tokio::join!(come(url, "Bob"), come(url, "Cid"), come(url, "Dot"));
    let (bob, cid) = tokio::join!(bob.leave(), cid.leave());
    bob.and(cid).expect("two goodbyes");
    tokio::join!(plays(&ann, "Ann"), plays(&dot, "Dot"));
    // Everybody leaves at once, and everybody comes back.
    let (ann, dot) = tokio::join!(ann.leave(), dot.leave());
    ann.and(dot).expect("two goodbyes");
    let (ann, dot) = tokio::join!(come(url, "Ann"), come(url, "Dot"));
    tokio::join!(plays(&ann, "Ann"), plays(&dot, "Dot"));
}
