//! Recordings, from the outside: they play, are complete, cost no further picture encoder, everybody
//! is told, and whatever happens to their disk or their server, something plays and the meeting
//! goes on.

mod common;
mod film;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{PATIENCE, Server};
use film::Film;
use quilt::clock::{self, MediaTime};
use quilt::gst::Library;
use quilt::id::{DisplayName, RoomName};
use quilt::load::audio;
use quilt::load::client::{Client, Entry, Material};
use quilt::load::clip::{Clip, Settings};
use quilt::load::publisher::Pace;
use quilt::media::{Size, VideoCodec};
use quilt::room::output::{Item, Output, Wish};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const FPS: u32 = 25;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("quilt-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn recordings(&self) -> PathBuf {
        self.0.join("recordings")
    }

    fn setting(&self) -> String {
        format!("data-dir = {:?}", self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Asks over HTTP: the status, the head and the body.
async fn asked(
    http: std::net::SocketAddr,
    verb: &str,
    path: &str,
    more: &str,
    body: &str,
) -> (u16, String, Vec<u8>) {
    let mut stream = tokio::net::TcpStream::connect(http)
        .await
        .expect("to connect");
    let request = format!(
        "{verb} {path} HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n{more}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("to ask");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.expect("a head");
    let head = String::from_utf8(answer[..end].to_vec()).expect("text");
    let status = head[9..12].parse().expect("a status");
    (status, head.to_lowercase(), answer[end + 4..].to_vec())
}

async fn ask(http: std::net::SocketAddr, verb: &str, path: &str, body: &str) -> (u16, Value) {
    let (status, _, body) = asked(http, verb, path, "", body).await;
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// Begins a recording; its path.
async fn record(http: std::net::SocketAddr, wish: Value) -> String {
    let path = "/api/rooms/a/recordings";
    let (status, made) = ask(http, "POST", path, &wish.to_string()).await;
    assert_eq!(
        (status, &made["state"]),
        (201, &json!("recording")),
        "{made}"
    );
    format!("{path}/{}", made["id"].as_str().expect("an id"))
}

/// Waits until a recording is as wished.
async fn until(http: std::net::SocketAddr, path: &str, wish: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (status, seen) = ask(http, "GET", path, "").await;
        assert_eq!(status, 200, "{seen}");
        if wish(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "it stays so: {seen}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn size_reaches(bytes: u64) -> impl Fn(&Value) -> bool {
    move |seen| seen["bytes"].as_u64() >= Some(bytes)
}

fn is_over(seen: &Value) -> bool {
    let whole = |file: &str| !file.contains(".part.");
    seen["state"] != "recording" && seen["file"].as_str().is_none_or(whole)
}

/// What a viewer of the common mix gets from now on: when its pictures and sounds are.
fn witness(mut output: Output) -> tokio::task::JoinHandle<[Vec<MediaTime>; 2]> {
    tokio::spawn(async move {
        let mut seen = [vec![], vec![]];
        while let Ok(item) = output.next().await {
            match item {
                Item::Picture(picture) => seen[0].push(picture.at),
                Item::Audio(audio) => seen[1].push(audio.at),
            }
        }
        seen
    })
}

const WITNESS: Wish = Wish {
    video: Some(VideoCodec::H264),
    audio: true,
    layout: None,
    portrait: false,
    patience: Duration::from_secs(30),
    sign: false,
};

fn steps(times: &[MediaTime]) -> Vec<f64> {
    let pairs = times.windows(2);
    pairs
        .map(|pair| pair[1].since(pair[0]).as_secs_f64())
        .collect()
}

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
    };
    Client::join(entry, None).await.expect("to join")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_meeting_is_recorded_whole_and_for_no_further_picture() {
    let folder = Folder::new("recorded");
    let server = Server::start(&folder.setting()).await;
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
    // Who comes now knows it before they have got the answer to their join.
    let mut late = server.socket("a").await;
    late.send(json!({"id": 1, "type": "join", "name": "Dan"}).to_string())
        .await;
    loop {
        let message = late.next().await.expect("a message");
        assert_ne!(message["type"], "ack", "nobody told them before");
        if message["type"] == "recording" {
            assert!(message["on"] == true && message["since"].as_u64().is_some());
            break;
        }
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
    let (status, head, body) = asked(http, "GET", &format!("{path}/file"), "", "").await;
    assert_eq!(status, 200, "{head}");
    assert!(
        head.contains("content-type: video/mp4") && body == bytes,
        "{head}"
    );
    let range = "Range: bytes=1000-1999\r\n";
    let (status, head, body) = asked(http, "GET", &format!("{path}/file"), range, "").await;
    assert_eq!((status, &body[..]), (206, &bytes[1000..2000]), "{head}");

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
    let [pictures, _] = witness.await.expect("no panic");
    let (film_steps, steps) = (film.steps(), steps(&pictures));
    assert!(film_steps.len() > 80, "{}", film_steps.len());
    let alike = |window: &[f64]| {
        let pairs = window.iter().zip(&film_steps);
        pairs.into_iter().all(|(a, b)| (a - b).abs() < 0.001)
    };
    assert!(
        steps.windows(film_steps.len()).any(alike),
        "{film_steps:?} is not in {steps:?}"
    );
    let long = film.keyframes.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(long.fold(0.0, f64::max) < 2.3, "{:?}", film.keyframes);
    assert!(film.silence() < 0.001, "{}", film.silence());
    let skews = film::skews(&file);
    println!("skews {skews:?}");
    assert!(
        skews.len() >= 3,
        "{:?} {:?}",
        film::flashes(&file),
        film::beeps(&file)
    );
    let worst = skews
        .iter()
        .fold(0.0f64, |worst, skew| worst.max(skew.abs()));
    assert!(worst <= 0.045, "{skews:?}");
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

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_the_disk_the_meeting_goes_on_and_something_plays() {
    let folder = Folder::new("disk");
    let server = Server::start(&folder.setting()).await;
    let http = server.http;
    let room = RoomName::new("a").expect("a name");
    let nobody = ask(http, "POST", "/api/rooms/a/recordings", "{}").await;
    assert_eq!(nobody.0, 404, "{nobody:?}");
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    let output = server.rooms.output(&room, WITNESS).await;
    let witness = witness(output.expect("an output"));
    for bad in [
        r#"{"name": "../up"}"#,
        r#"{"name": "{host}"}"#,
        r#"{"layout": "circle"}"#,
        r#"{"codec": "av1"}"#,
        "",
    ] {
        let (status, problem) = ask(http, "POST", "/api/rooms/a/recordings", bad).await;
        assert_eq!(status, 400, "{bad}: {problem}");
    }

    // Its folder is taken away.
    let path = record(http, json!({"name": "gone"})).await;
    until(http, &path, size_reaches(2_000)).await;
    std::fs::rename(folder.recordings(), folder.0.join("elsewhere")).expect("to take it away");
    let seen = until(http, &path, is_over).await;
    assert_eq!(seen["state"], "failed", "{seen}");
    assert_eq!(seen["reason"], "its file was taken away");
    film::plays(&folder.recordings().join("gone.mp4"));

    // The disk is full: as far as this process can tell, for files of more than so much.
    let path = record(http, json!({"name": "full"})).await;
    let first = until(http, &path, size_reaches(2_000)).await;
    let limit = first["bytes"].as_u64().expect("a number") + 20_000;
    // SAFETY: the arguments are valid, and nothing but ignoring is asked of the signal.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let limit = libc::rlimit {
            rlim_cur: limit,
            rlim_max: libc::RLIM_INFINITY,
        };
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
    let seen = until(http, &path, |seen| seen["state"] != "recording").await;
    assert_eq!(seen["state"], "failed", "{seen}");
    let reason = seen["reason"].as_str().expect("a reason");
    assert!(
        reason.starts_with("writing failed: File too large"),
        "{reason}"
    );
    let file = folder
        .recordings()
        .join(seen["file"].as_str().expect("a file"));
    film::plays(&file);
    assert!(Film::read(&file).length >= 1.0);

    // There is no place for it at all.
    std::fs::rename(folder.recordings(), folder.0.join("full")).expect("to take it away");
    std::fs::write(folder.recordings(), b"no folder").expect("to be in the way");
    let (status, problem) = ask(http, "POST", "/api/rooms/a/recordings", "{}").await;
    assert_eq!(status, 507, "{problem}");
    let detail = problem["detail"].as_str().expect("a text");
    assert!(detail.contains("recordings"), "{detail}");
    // Everybody was told of two recordings, and of none that there was not.
    for on in [true, false, true, false] {
        assert_eq!(ann.next_of("recording").await["on"], on);
    }
    ann.send(json!({"id": 9, "type": "ping"}).to_string()).await;
    loop {
        let message = ann.next().await.expect("the meeting goes on");
        assert_ne!(message["type"], "recording", "{message}");
        if message["id"] == 9 {
            break;
        }
    }

    ann.ask(json!({"id": 10, "type": "leave"})).await;
    let [pictures, sounds] = witness.await.expect("no panic");
    let longest = steps(&pictures).into_iter().fold(0.0, f64::max);
    println!("{} pictures, longest step {longest} s", pictures.len());
    assert!(longest <= 0.1, "{longest}");
    assert!(steps(&sounds).iter().all(|step| (step - 0.02).abs() < 1e-9));
    server.stop().await;
}

/// The program itself, which can be killed.
struct Program {
    child: Child,
    http: std::net::SocketAddr,
}

impl Program {
    fn start(data: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_quilt"))
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--rtc-listen",
                "127.0.0.1:0",
            ])
            .args(["--video-encoder", "x264", "--data-dir"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .expect("quilt runs");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let addresses: Value = serde_json::from_str(&line).expect("JSON");
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
