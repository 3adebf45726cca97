//! Recordings, from the outside: they play, are complete, cost no further picture encoder, everybody
//! is told, and a server that is killed finishes them when it is started again.

mod common;
mod film;
mod taping;

use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{PATIENCE, Server, http, program};
use film::Film;
use quilt::clock;
use quilt::gst::Library;
use quilt::id::{DisplayName, RoomName};
use quilt::load::audio;
use quilt::load::client::{Client, Entry, Material};
use quilt::load::clip::{Clip, Settings};
use quilt::load::publisher::Pace;
use quilt::media::{Quality, Size, VideoCodec};
use serde_json::json;
use taping::{Folder, WITNESS, ask, is_over, record, size_reaches, steps, until, witness};

const FPS: u32 = 25;

/// A camera that flashes for a fifth of each second, and beeps as long.
fn material(source: u8) -> Material {
    let settings = Settings {
        codec: VideoCodec::Vp8,
        size: Size::new(160, 90),
        fps: FPS,
        bitrate: 200_000,
        keyframes: FPS,
    };
    let clip = Clip::encode(&Library::embedded(), settings, FPS, |number, picture| {
        let luma = if number < FPS / 5 { 220 } else { 30 };
        picture.luma_mut().fill(luma);
    });
    Material {
        source,
        clip: Arc::new(clip.expect("a clip")),
        track: Arc::new(audio::beeps(source).expect("a track")),
        log: None,
    }
}

async fn member(server: &Server, name: &str, view: bool) -> Client {
    let entry = Entry {
        url: server.url(),
        room: RoomName::new("a").expect("a name"),
        name: DisplayName::new(name).expect("a name"),
        sends: (!view).then_some(VideoCodec::Vp8),
        receives: Some(VideoCodec::H264),
        quality: Quality::Auto,
    };
    Client::join(entry, None).await.expect("to join")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_meeting_is_recorded_whole_and_for_no_further_picture() {
    let folder = Folder::new("recorded");
    let server = Server::start(&format!("mix = \"personal\"\n{}", folder.setting())).await;
    let http = server.http;
    let mut people = Vec::new();
    for (name, source) in [("Ann", 0), ("Ben", 1)] {
        let made = tokio::task::spawn_blocking(move || material(source));
        let mut client = member(&server, name, false).await;
        client.publish(
            made.await.expect("material"),
            Pace::in_step(clock::now(), FPS, FPS),
        );
        people.push(client);
    }
    let viewer = member(&server, "viewer", true).await;
    let met = viewer.until_tiles(|map| map.tiles.iter().filter(|t| t.live).count() == 2);
    tokio::time::timeout(PATIENCE, met).await.expect("in time");
    let encoders = "quilt_encoders{kind=\"video\"}";
    // Two mixes of their own, and the audience's.
    server.metric_becomes(encoders, 3.0).await;
    let listeners = server.metric("quilt_listeners");
    let mut told = server.socket("a").await;
    told.join("Cid").await;

    let room = RoomName::new("a").expect("a name");
    let output = server.rooms.output(&room, WITNESS).await;
    let witness = witness(output.expect("an output"));
    let path = record(http, json!({"name": "{room} {id}", "audio": "aac"})).await;
    let sound = record(http, json!({"audio_only": true, "audio": "opus"})).await;
    assert_eq!(told.next_of("recording").await["on"], true);
    until(http, &path, size_reaches(10_000)).await;
    assert_eq!(server.metric(encoders), 3.0);
    assert_eq!(server.metric("quilt_listeners"), listeners + 3.0);
    // Who comes now is told without having offered any media, before anything but who is there.
    let mut late = server.socket("a").await;
    late.send(json!({"id": 1, "type": "join", "name": "Dan"}).to_string())
        .await;
    loop {
        let message = late.next().await.expect("a message");
        if message["type"] == "recording" {
            assert!(message["on"] == true && message["since"].as_u64().is_some());
            break;
        }
        let kind = message["type"].as_str().expect("a type");
        assert!(["ack", "people"].contains(&kind), "{message}");
    }
    let (status, busy) = ask(http, "GET", &format!("{path}/file"), "").await;
    assert_eq!(status, 409, "{busy}");
    let (status, busy) = ask(http, "DELETE", &path, "").await;
    assert_eq!(status, 409, "{busy}");
    // Both beep in each second of sound that is written.
    tokio::time::sleep(Duration::from_secs(4)).await;

    let (status, stopped) = ask(http, "POST", &format!("{path}/stop"), "").await;
    assert_eq!(status, 200, "{stopped}");
    let done = until(http, &path, is_over).await;
    assert_eq!(done["state"], "finished", "{done}");
    ask(http, "POST", &format!("{sound}/stop"), "").await;
    let sound_done = until(http, &sound, is_over).await;
    assert_eq!(sound_done["state"], "finished", "{sound_done}");
    assert_eq!(told.next_of("recording").await["on"], false);
    let names: Vec<_> = done["events"].as_array().expect("events").iter().collect();
    let of = |kind: &str| -> Vec<&str> {
        let of = names.iter().filter(|event| event["type"] == kind);
        of.filter_map(|event| event["name"].as_str()).collect()
    };
    assert_eq!(of("joined"), ["Ann", "Ben", "Cid", "Dan"], "{done}");
    let (_, list) = ask(http, "GET", "/api/rooms/a/recordings", "").await;
    assert_eq!(list["recordings"].as_array().map(Vec::len), Some(2));

    // What one downloads is what lies there, whole and in part.
    let name = done["file"].as_str().expect("a file");
    assert!(name.starts_with("a ") && name.ends_with(".mp4"), "{name}");
    let file = folder.recordings().join(name);
    let bytes = std::fs::read(&file).expect("the file");
    assert_eq!(done["bytes"].as_u64(), Some(bytes.len() as u64));
    let place = format!("{path}/file");
    let whole = http::ask(http, "GET", &place, &[], "").await;
    assert_eq!(whole.status, 200);
    assert_eq!(whole.header("content-type"), "video/mp4");
    assert!(whole.body == bytes, "what lies there");
    let range = [("Range", "bytes=1000-1999")];
    let part = http::ask(http, "GET", &place, &range, "").await;
    assert_eq!((part.status, &part.body[..]), (206, &bytes[1000..2000]));

    // Every picture that the audience got, at its time.
    let film = Film::read(&file);
    println!(
        "{} pictures, {} sounds, {} s",
        film.pictures.len(),
        film.sounds.len(),
        film.length
    );
    assert!(film.fast_start);
    assert_eq!((film.size, &*film.sound), ((1280, 720), "aac"));
    drop((people, viewer, told, late));
    let [pictures, ..] = witness.await.expect("no panic");
    let (film_steps, steps) = (film.steps(), steps(&pictures));
    // Four seconds and more, at the full rate or at half of it.
    let length: f64 = film_steps.iter().sum();
    assert!(length > 4.0 && film_steps.len() > 45, "{film_steps:?}");
    let alike = |window: &[f64]| {
        let pairs = window.iter().zip(&film_steps);
        pairs.into_iter().all(|(a, b)| (a - b).abs() < 0.001)
    };
    assert!(
        steps.windows(film_steps.len()).any(alike),
        "{film_steps:?} is not in {steps:?}"
    );
    let long = film.keyframes.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(long.fold(0.0, f64::max) < 2.6, "{:?}", film.keyframes);
    assert!(film.silence() < 0.001, "{}", film.silence());
    let skews = film::skews(&file);
    println!("skews {skews:?}");
    assert!(
        skews.len() >= 3,
        "{:?} {:?}",
        film::flashes(&file),
        film::beeps(&file)
    );
    let mut sizes: Vec<_> = skews.iter().map(|skew| skew.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    // One of them may be off where the machine that makes them is busy.
    assert!(sizes[sizes.len() / 2] <= 0.045, "{skews:?}");
    let ends = film.pictures.last().expect("pictures").0 - film.sounds.last().expect("sounds").0;
    assert!(ends.abs() < 0.5, "{ends}");

    let voices = folder
        .recordings()
        .join(sound_done["file"].as_str().expect("a file"));
    let voices = Film::read(&voices);
    assert_eq!((&*voices.sound, voices.pictures.len()), ("opus", 0));
    assert!(
        voices.silence() < 0.001 && voices.length > 3.0,
        "{voices:?}"
    );

    let (status, _) = ask(http, "DELETE", &path, "").await;
    assert_eq!(status, 204);
    let (status, _) = ask(http, "GET", &path, "").await;
    assert_eq!(status, 404);
    assert!(!file.exists());
    let left = std::fs::read_dir(folder.recordings())
        .expect("the folder")
        .count();
    assert_eq!(left, 2, "only the other one and its manifest");
    server.stop().await;
}

/// The program itself, which can be killed.
struct Program {
    child: Child,
    http: std::net::SocketAddr,
}

impl Program {
    fn start(data: &Path) -> Self {
        let mut command = program::serve();
        command.args(["--video-encoder", "x264", "--data-dir"]);
        let (child, addresses) = program::start(command.arg(data));
        let http = addresses["http"].as_str().expect("an address");
        let http = http.parse().expect("an address");
        Self { child, http }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SIGKILL: it is asked nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How often the server is killed in the middle; more by hand, as `TEST_KILLS=10`.
fn kills() -> u32 {
    let wished = std::env::var("TEST_KILLS").ok();
    wished.and_then(|text| text.parse().ok()).unwrap_or(3)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_finds_and_finishes_what_it_recorded() {
    let folder = Folder::new("killed");
    let mut recorded = Vec::new();
    for round in 0..kills() {
        let program = Program::start(&folder.0);
        let url = format!("ws://{}/api/rooms/a/ws", program.http);
        let (mut socket, _) = tokio_tungstenite::connect_async(url)
            .await
            .expect("a socket");
        let join = json!({"id": 1, "type": "join", "name": "Ann"}).to_string();
        use futures_util::{SinkExt as _, StreamExt as _};
        let frame = tokio_tungstenite::tungstenite::Message::Text(join.into());
        socket.send(frame).await.expect("to join");
        // Until she is in.
        while let Some(Ok(frame)) = socket.next().await {
            if frame.to_text().is_ok_and(|text| text.contains("\"ack\"")) {
                break;
            }
        }
        let path = record(program.http, json!({})).await;
        // Something is on the disk: from here on the picture has a beginning.
        until(program.http, &path, size_reaches(1)).await;
        let began = Instant::now();
        let moment = 0.3 + f64::from(round) * 0.9 + rand::random::<f64>() * 0.9;
        tokio::time::sleep(Duration::from_secs_f64(moment)).await;
        drop(program);
        recorded.push((path, began.elapsed().as_secs_f64()));
    }
    let program = Program::start(&folder.0);
    for (path, seconds) in &recorded {
        let found = until(program.http, path, is_over).await;
        assert_eq!(found["state"], "interrupted", "{found}");
        let file = found["file"]
            .as_str()
            .map(|name| folder.recordings().join(name));
        let length = match &file {
            None => 0.0,
            Some(file) => {
                let film = Film::read(file);
                assert!(film.fast_start);
                film.length
            }
        };
        println!("killed after {seconds:.2} s: {length:.2} s are left");
        assert!(
            seconds - length <= 2.0,
            "{seconds} s, of which {length} s are left"
        );
    }
}

/// Sound and picture of a long recording, at its beginning and at its end. How long: the variable
/// `QUILT_RECORD_SECONDS`, else a minute.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes as long as it records"]
async fn sound_and_picture_stay_together() {
    const JUDGED: usize = 30;
    let seconds = std::env::var("QUILT_RECORD_SECONDS");
    let seconds = seconds.map_or(60, |text| text.parse().expect("a number of seconds"));
    let folder = Folder::new("long");
    let server = Server::start(&folder.setting()).await;
    let made = tokio::task::spawn_blocking(|| material(0));
    let mut ann = member(&server, "Ann", false).await;
    ann.publish(
        made.await.expect("material"),
        Pace::in_step(clock::now(), FPS, FPS),
    );
    let path = record(server.http, json!({})).await;
    until(server.http, &path, size_reaches(10_000)).await;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    ask(server.http, "POST", &format!("{path}/stop"), "").await;
    let done = until(server.http, &path, is_over).await;
    assert_eq!(done["state"], "finished", "{done}");
    let file = folder
        .recordings()
        .join(done["file"].as_str().expect("a file"));
    let film = Film::read(&file);
    let longest = film.steps().into_iter().fold(0.0, f64::max);
    println!(
        "{} s, {} pictures, {longest} s apart at most, {} s without sound",
        film.length,
        film.pictures.len(),
        film.silence()
    );
    let skews = film::skews(&file);
    for (when, part) in [
        ("beginning", &skews[..JUDGED]),
        ("end", &skews[skews.len() - JUDGED..]),
    ] {
        let mut sizes: Vec<_> = part.iter().map(|skew| skew.abs()).collect();
        sizes.sort_by(f64::total_cmp);
        let median = sizes[JUDGED / 2];
        println!("{when}: median {median}, most {}", sizes[JUDGED - 1]);
        assert!(median <= 0.045, "{when}: {part:?}");
    }
    drop(ann);
    server.stop().await;
}
