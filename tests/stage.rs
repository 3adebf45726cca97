//! The stage end to end, over real connections: four people speak in turn in a room that shows
//! two, and whoever watches sees each of them while they speak, though no more than two cameras
//! are ever decoded.

mod common;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::{PATIENCE, Server, watch};
use quilt::clock;
use quilt::gst::Library;
use quilt::id::{DisplayName, ParticipantId, RoomName};
use quilt::load::client::{Client, Entry, Material};
use quilt::load::clip::{Clip, Settings};
use quilt::load::publisher::Pace;
use quilt::load::ws::Session;
use quilt::load::{audio, voice};
use quilt::media::{Quality, Size, VideoCodec};
use quilt::peer;
use quilt::signalling::{AckResult, Command, Message};
use support::Recorder;
use tokio::sync::mpsc;

/// How long one speaks, seconds.
const TURN: u32 = 3;
const PEOPLE: u32 = 4;

/// Somebody's camera and voice, which speaks in its turn.
fn material(n: u32) -> Material {
    let seconds = TURN * PEOPLE;
    let (from, to) = ((n * TURN) as f32 + 0.2, ((n + 1) * TURN) as f32 - 0.2);
    let pcm = voice::turn(n.into(), 100.0 + 30.0 * n as f32, seconds, from, to);
    let settings = Settings {
        codec: VideoCodec::Vp8,
        size: Size::new(160, 90),
        fps: 10,
        bitrate: 100_000,
        keyframes: 10,
    };
    let clip = Clip::encode(&Library::embedded(), settings, 10, |_, _| {});
    Material {
        source: n as u8,
        clip: Arc::new(clip.expect("a clip")),
        track: Arc::new(audio::encode(&pcm).expect("a track")),
        log: None,
    }
}

/// Somebody who only watches, and what they are told.
struct Watcher {
    notices: mpsc::Receiver<Message>,
    _session: Session,
    _connection: peer::client::Client,
}

impl Watcher {
    async fn join(url: &str, room: &RoomName) -> Self {
        let (session, notices) = Session::connect(url, room).await.expect("a socket");
        session.request(watch()).await.expect("to join");
        let options = peer::client::ClientOptions {
            send_video: None,
            send_audio: false,
            receive_video: vec![VideoCodec::H264],
            receive_audio: true,
            local_ip: session.local_ip(),
            ..Default::default()
        };
        let offer = peer::client::Client::offer(options, Recorder::new()).await;
        let (connection, sdp) = offer.expect("an offer");
        let answer = session.request(Command::Offer { sdp }).await;
        let AckResult::Answered(answer) = answer.expect("an answer") else {
            panic!("another answer than one to an offer");
        };
        connection.answer(&answer.sdp).await.expect("to connect");
        Self {
            notices,
            _session: session,
            _connection: connection,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_speaks_is_seen_and_only_the_stage_is_decoded() {
    let server = Server::start("stage-size = 2").await;
    let room = RoomName::new("stage").expect("a name");
    let mut watcher = Watcher::join(&server.url(), &room).await;
    let made = tokio::task::spawn_blocking(|| (0..PEOPLE).map(material).collect::<Vec<_>>());
    let mut people = Vec::new();
    for (n, material) in made.await.expect("material").into_iter().enumerate() {
        let entry = Entry {
            url: server.url(),
            room: room.clone(),
            name: DisplayName::new(&format!("P{n}")).expect("a name"),
            sends: Some(VideoCodec::Vp8),
            receives: None,
            quality: Quality::Auto,
        };
        people.push((Client::join(entry, None).await.expect("to join"), material));
    }
    // Together, so that they speak one after the other.
    for (client, material) in &mut people {
        client.publish(material.clone(), Pace::in_step(clock::now(), 10, 10));
    }
    let all: Vec<_> = people
        .iter()
        .map(|(client, _)| client.participant)
        .collect();
    let mut began: BTreeMap<ParticipantId, clock::MediaTime> = BTreeMap::new();
    let mut seen: BTreeMap<ParticipantId, Duration> = BTreeMap::new();
    let mut live = BTreeSet::new();
    // Everybody has had their turn by then, and whoever came too early another one.
    let deadline = tokio::time::Instant::now() + 2 * PATIENCE;
    while all.iter().any(|id| !seen.contains_key(id)) {
        let notice = tokio::time::timeout_at(deadline, watcher.notices.recv()).await;
        let now = clock::now();
        match notice.unwrap_or_else(|_| panic!("of {all:?} only {seen:?} were seen")) {
            Some(Message::Speaking { speaking }) => {
                for id in speaking {
                    began.entry(id).or_insert(now);
                }
            }
            Some(Message::Tiles(map)) => {
                assert!(map.tiles.len() <= 2, "{:?}", map.tiles);
                let tiles = map.tiles.iter().filter(|tile| tile.live);
                live = tiles.map(|tile| tile.id).collect();
            }
            Some(_) => {}
            None => panic!("the room ended"),
        }
        for (id, began) in began.iter().filter(|(id, _)| live.contains(*id)) {
            seen.entry(*id).or_insert(now.since(*began));
        }
        assert!(server.metric("quilt_decoders{kind=\"video\"}") <= 2.0);
        assert!(server.metric("quilt_encoders{kind=\"video\"}") <= 1.0);
    }
    println!("from the first report of a voice to live pictures: {seen:?}");
    drop((people, watcher));
    server.stop().await;
}
