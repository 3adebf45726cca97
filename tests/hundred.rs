//! A hundred who watch: every one of them is fed, and what is encoded are the mixes that differ,
//! however many share one.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{PATIENCE, Server};
use futures_util::future::join_all;
use quilt::clock;
use quilt::gst::Library;
use quilt::id::{DisplayName, RoomName};
use quilt::load::client::{Client, Entry, Material};
use quilt::load::content::Content;
use quilt::load::publisher::{OnRequest, Pace};
use quilt::load::{audio, clip};
use quilt::media::{Quality, Size, VideoCodec};

const VIEWERS: usize = 100;
/// Joins at a time: both ends of every handshake are in this process.
const AT_ONCE: usize = 5;
const FPS: u32 = 10;
/// How long is counted.
const COUNTED: Duration = Duration::from_secs(4);
/// What sound may be behind on a busy machine.
const LATE: Duration = Duration::from_millis(800);

async fn join(server: &Server, name: &str, sends: bool, quality: Quality) -> Client {
    let entry = Entry {
        url: server.url(),
        room: RoomName::new("hundred").expect("a name"),
        name: DisplayName::new(name).expect("a name"),
        sends: sends.then_some(VideoCodec::H264),
        receives: Some(VideoCodec::H264),
        quality,
    };
    let joined = Client::join(entry, None).await;
    joined.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What somebody sends: a small picture and a beep each second.
fn material(source: u8) -> Material {
    let size = Size::new(320, 180);
    let settings = clip::Settings {
        codec: VideoCodec::H264,
        size,
        fps: FPS,
        bitrate: 150_000,
        keyframes: 3 * FPS,
    };
    let content = Content::generated(2, 1, size, 3 * FPS);
    let clip = content.clip(&Library::embedded(), settings, source);
    Material {
        source,
        clip: Arc::new(clip.expect("a clip")),
        track: Arc::new(audio::beeps(source).expect("sound")),
        log: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_are_fed_by_as_many_encoders_as_there_are_mixes() {
    let server = Server::start("mix = \"common\"").await;
    let mut publishers = Vec::new();
    for source in 0..2 {
        let mut client = join(&server, &format!("P{source}"), true, Quality::Medium).await;
        let (start, length) = (clock::now(), 3 * FPS);
        client.publish(
            material(source),
            Pace::new(start, FPS, length, OnRequest::Restart),
        );
        publishers.push(client);
    }
    let (mut viewers, mut most) = (Vec::new(), 0.0_f64);
    while viewers.len() < VIEWERS {
        // The first few want both tiers, and so do all others. Those who send get the larger one:
        // the smaller shows the speaker alone, who would be the one exception.
        let joining = (0..AT_ONCE).map(|n| {
            let quality = match n % 5 {
                0 => Quality::Medium,
                _ => Quality::Low,
            };
            join(&server, "V", false, quality)
        });
        viewers.extend(join_all(joining).await);
        for viewer in &viewers[viewers.len() - AT_ONCE..] {
            let pictures = async {
                while viewer.receiver().first_picture().is_none() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            let came = tokio::time::timeout(PATIENCE, pictures).await;
            came.expect("a picture");
        }
        // One a tier, whoever has come so far; while somebody comes there may be one more.
        let encoders = "quilt_encoders{kind=\"video\"}";
        server.metric_becomes(encoders, 2.0).await;
        most = most.max(server.metric("quilt_encoders{kind=\"audio\"}"));
    }
    // Sound without oneself for each of the two who beep, and for all others.
    assert!(most <= 3.0, "{most} encoders of sound");
    let listeners = server.metric("quilt_listeners");
    assert_eq!(listeners, VIEWERS as f64 + 2.0);

    let began = clock::now();
    for viewer in &viewers {
        viewer.receiver().begin(began);
    }
    tokio::time::sleep(COUNTED).await;
    assert_eq!(server.metric("quilt_encoders{kind=\"video\"}"), 2.0);
    let now = clock::now();
    let seconds = now.since(began).as_secs_f64();
    for (n, viewer) in viewers.iter().enumerate() {
        assert_eq!(viewer.ended(), None);
        let counts = viewer.receiver().counts(now);
        let pictures = counts.pictures as f64;
        // 20 and 10 a second, of which a busy machine may halve the rate of the mix.
        let least = if n % AT_ONCE == 0 { 9.0 } else { 4.5 };
        assert!(
            pictures / seconds >= least,
            "{n}: {pictures} in {seconds} s"
        );
    }
    // Sound is never given up: what a busy machine brings late is there all the same, and soon.
    let soon = tokio::time::Instant::now() + LATE;
    let wanted = (COUNTED.as_millis() / 20) as u64;
    for (n, viewer) in viewers.iter().enumerate() {
        let all = async {
            while viewer.receiver().counts(clock::now()).audio_packets < wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let came = tokio::time::timeout_at(soon, all).await;
        let counts = viewer.receiver().counts(clock::now());
        assert!(came.is_ok(), "{n}: {} of {wanted}", counts.audio_packets);
        assert_eq!(counts.lost, 0, "{n}");
    }
    server.stop().await;
}
