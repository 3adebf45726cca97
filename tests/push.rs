//! A room is pushed to where it is shown on: ffmpeg takes it by RTMP and SRT, what breaks is tried
//! again, a receiver that takes nothing is found out, and no private address is connected to.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod common;
mod localhost;
mod receiver;

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use common::http::ask_json;
use common::{PATIENCE, Server, Socket, program};
use futures_util::{SinkExt as _, StreamExt as _};
use quilt::stream::push::connect;
use quilt::trust;
use receiver::{accept, greet, listen};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::rustls::RootCertStore;

const OUTPUTS: &str = "/api/rooms/a/outputs";
const LOCAL: &str = "output-allow = [\"127.0.0.0/8\"]\n";

async fn ask(server: &Server, verb: &str, path: &str, body: Value) -> (u16, Value) {
    ask_json(server.http, verb, path, &[], &body.to_string()).await
}

/// Begins to push to `url`; its id.
async fn push(server: &Server, url: &str) -> String {
    let (status, listed) = ask(server, "POST", OUTPUTS, json!({"url": url})).await;
    assert_eq!(status, 201, "{listed}");
    listed["id"].as_str().unwrap().to_owned()
}

/// The only push of the room, as soon as it is as wished.
async fn until(
    server: &Server,
    what: &str,
    patience: Duration,
    wish: impl Fn(&Value) -> bool,
) -> Value {
    let mut last = Value::Null;
    let waiting = async {
        loop {
            let (_, listed) = ask(server, "GET", OUTPUTS, Value::Null).await;
            last = listed["outputs"][0].clone();
            if wish(&last) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if tokio::time::timeout(patience, waiting).await.is_err() {
        panic!("in vain for {what}: {last}");
    }
    last
}

async fn ann(server: &Server) -> Socket {
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    ann
}

/// A port that is free at present.
fn port() -> u16 {
    let listener = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// What ffmpeg decodes from its input within three seconds of media: for each frame its stream and
/// its time in seconds. It must have nothing to complain about.
async fn ffmpeg(input: &[&str]) -> Vec<(usize, f64)> {
    let arguments = ["60", "ffmpeg", "-v", "error"].iter().chain(input);
    let more = [
        "-t", "3", "-map", "0:v", "-map", "0:a", "-f", "framecrc", "-",
    ];
    let arguments: Vec<String> = arguments.chain(&more).map(|a| a.to_string()).collect();
    let read = tokio::task::spawn_blocking(|| {
        let mut ffmpeg = std::process::Command::new("timeout");
        ffmpeg.args(arguments).stdin(Stdio::null()).output()
    });
    let read = read.await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&read.stderr);
    assert!(read.status.success() && said.is_empty(), "{said}");
    let text = String::from_utf8(read.stdout).unwrap();
    let mut bases = [1.0; 2];
    let mut frames = Vec::new();
    for line in text.lines() {
        if let Some(base) = line.strip_prefix("#tb ") {
            let (stream, base) = base.split_once(": ").unwrap();
            let (over, under) = base.split_once('/').unwrap();
            let seconds = over.parse::<f64>().unwrap() / under.parse::<f64>().unwrap();
            bases[stream.parse::<usize>().unwrap()] = seconds;
        } else if !line.starts_with('#') {
            let mut cells = line.split(',').map(str::trim);
            let stream: usize = cells.next().unwrap().parse().unwrap();
            let time: f64 = cells.nth(1).unwrap().parse().unwrap();
            frames.push((stream, time * bases[stream]));
        }
    }
    frames
}

/// Both streams are there, and neither has a hole. Nothing moves in the picture: after its first
/// half second the mixer makes one every third tick, and every second one while a busy machine has
/// it tick half as often. One that is missing makes a hole of 240 ms.
fn assert_whole(frames: &[(usize, f64)]) {
    for (stream, least, hole) in [(0, 15, 0.2), (1, 100, 0.05)] {
        let times = frames.iter().filter(|frame| frame.0 == stream);
        let times: Vec<f64> = times.map(|frame| frame.1).collect();
        assert!(times.len() > least, "{stream}: {} frames", times.len());
        for pair in times.windows(2) {
            let apart = pair[1] - pair[0];
            assert!(apart > 0.0 && apart < hole, "stream {stream}: {pair:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_takes_it_by_rtmp() {
    let server = Server::start(LOCAL).await;
    let _ann = ann(&server).await;
    let url = format!("rtmp://127.0.0.1:{}/live/s3cret", port());
    let id = push(&server, &url).await;
    // Nobody is there yet; then ffmpeg is.
    let waits = |listed: &Value| listed["state"] == "waiting";
    let listed = until(&server, "a pause", PATIENCE, waits).await;
    assert!(
        listed["reason"]
            .as_str()
            .unwrap()
            .starts_with("cannot connect"),
        "{listed}"
    );
    assert_eq!(
        server.metric("quilt_encoders{kind=\"video\"}"),
        0.0,
        "for nobody"
    );
    let frames = ffmpeg(&["-listen", "1", "-f", "flv", "-i", &url]).await;
    assert_whole(&frames);
    // It is counted as soon as there is one.
    let dropped = server.stats.render().contains("{queue=\"rtmp\"}");
    assert!(!dropped, "the line had room");
    // It has gone again.
    let listed = until(&server, "another pause", PATIENCE, waits).await;
    assert!(listed["attempts"].as_u64() >= Some(2) && listed["bytes"].as_u64() > Some(1000));
    let shown = listed["url"].as_str().unwrap();
    assert!(
        shown.ends_with("/live/…") && !listed.to_string().contains("s3cret"),
        "{listed}"
    );
    assert_eq!(server.metric("quilt_outputs{kind=\"rtmp\"}"), 1.0);

    let path = format!("{OUTPUTS}/{id}");
    assert_eq!(ask(&server, "DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(ask(&server, "DELETE", &path, Value::Null).await.0, 404);
    server
        .metric_becomes("quilt_outputs{kind=\"rtmp\"}", 0.0)
        .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ffmpeg_takes_it_by_srt() {
    let server = Server::start(LOCAL).await;
    let mut ann = ann(&server).await;
    let port = port();
    let url = format!("srt://127.0.0.1:{port}?passphrase=0123456789s3cret&streamid=s3cret");
    push(&server, &url).await;
    let input = format!("srt://127.0.0.1:{port}?mode=listener&passphrase=0123456789s3cret");
    let frames = ffmpeg(&["-f", "mpegts", "-i", &input]).await;
    assert_whole(&frames);
    let broken = |listed: &Value| listed["state"] != "live" && listed["attempts"] != 1;
    let listed = until(&server, "another attempt", PATIENCE, broken).await;
    assert!(!listed.to_string().contains("s3cret"), "{listed}");
    // It ends with the meeting.
    ann.leave().await;
    server
        .metric_becomes("quilt_outputs{kind=\"srt\"}", 0.0)
        .await;
    // Its outputs are gone a moment before the room.
    server.metric_becomes("quilt_rooms", 0.0).await;
    assert_eq!(ask(&server, "GET", OUTPUTS, Value::Null).await.0, 404);
    server.stop().await;
}

#[tokio::test]
async fn what_leads_where_it_must_not_is_refused() {
    let server = Server::start("").await;
    let nobody = json!({"url": "rtmp://127.0.0.1/live/key"});
    assert_eq!(ask(&server, "POST", OUTPUTS, nobody).await.0, 404);
    let _ann = ann(&server).await;
    for url in [
        "rtmp://127.0.0.1/live/s3cret",
        "rtmp://localhost/live/s3cret",
        "rtmps://[::1]/live/s3cret",
        "srt://192.168.1.1:9000?streamid=s3cret",
        "srt://169.254.169.254:80",
        "rtmp://[::ffff:10.0.0.1]/live/s3cret",
    ] {
        let (status, problem) = ask(&server, "POST", OUTPUTS, json!({"url": url})).await;
        assert_eq!(status, 403, "{url}: {problem}");
        assert!(!problem.to_string().contains("s3cret"), "{problem}");
    }
    for body in [
        json!({"url": "http://example.com/live/s3cret"}),
        json!({"url": "srt://h:1?passphrase=s3cret"}),
        json!({"url": "rtmp://h/live/s3cret", "layout": "spiral"}),
        json!({"url": "rtmp://h/live/s3cret", "more": 1}),
        json!({}),
    ] {
        let (status, problem) = ask(&server, "POST", OUTPUTS, body.clone()).await;
        assert!(
            (400..500).contains(&status) && status != 403,
            "{body}: {problem}"
        );
        assert!(!problem.to_string().contains("s3cret"), "{problem}");
    }
    let (_, listed) = ask(&server, "GET", OUTPUTS, Value::Null).await;
    assert_eq!(listed, json!({"outputs": []}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_receiver_is_found_out_and_tried_again_and_nobody_else_notices() {
    let server = Server::start(LOCAL).await;
    let _ann = ann(&server).await;
    let (listener, address) = listen();
    push(&server, &format!("rtmp://{address}/live/key")).await;
    let stuck = accept(&listener).await;
    let live = |listed: &Value| listed["state"] == "live";
    until(&server, "a stream", PATIENCE, live).await;
    // Another listener of the same pictures, while the first takes nothing at all.
    let (other, other_address) = listen();
    let body = json!({"url": format!("rtmp://{other_address}/live/key")});
    assert_eq!(ask(&server, "POST", OUTPUTS, body).await.0, 201);
    let mut taken = accept(&other).await;
    let taking = tokio::spawn(async move {
        let (mut bytes, mut longest) = ([0; 65536], Duration::ZERO);
        let mut last = tokio::time::Instant::now();
        while let Ok(1..) = taken.read(&mut bytes).await {
            longest = longest.max(last.elapsed());
            last = tokio::time::Instant::now();
        }
        longest
    });
    // Issue 5: within 30 s.
    let waits = |listed: &Value| listed["state"] == "waiting";
    let listed = until(
        &server,
        "that it is found out",
        Duration::from_secs(30),
        waits,
    )
    .await;
    let reason = listed["reason"].as_str().unwrap();
    assert!(
        reason.contains("takes nothing") || reason.contains("timed out"),
        "{reason}"
    );
    drop(stuck);
    let mut again = accept(&listener).await;
    until(&server, "the stream again", PATIENCE, live).await;
    let mut bytes = [0; 1000];
    again.read_exact(&mut bytes).await.unwrap();
    server.stop().await;
    let longest = taking.await.unwrap();
    assert!(
        longest < Duration::from_secs(2),
        "the other one waited {longest:?}"
    );
}

#[tokio::test]
async fn rtmps_is_spoken_with_nobody_but_who_it_should_be() {
    let (acceptor, certificate) = localhost::certified();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // An error: who came does not trust us.
            if let Ok(mut stream) = acceptor.accept(stream).await {
                stream.write_all(b"rtmp").await.unwrap();
            }
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let knows = trust::trusting(roots).unwrap();
    let connected = |host, config| async move {
        let stream = connect::tcp(&[address]).await.unwrap();
        trust::tls(stream, host, config).await
    };
    let mut stream = connected("localhost", knows.clone()).await.unwrap();
    let mut hello = [0; 4];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"rtmp");
    let other = connected("live.example", knows).await;
    assert!(
        matches!(other, Err(trust::Error::Handshake(_))),
        "another name"
    );
    let stranger = connected("localhost", trust::trusted().unwrap()).await;
    assert!(
        matches!(stranger, Err(trust::Error::Handshake(_))),
        "nobody vouches for it"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_pushed_by_rtmps_to_whom_the_system_trusts() {
    let (acceptor, certificate) = localhost::certified();
    let folder = std::env::temp_dir().join(format!("quilt-rtmps-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let trusted = folder.join("trusted.pem");
    std::fs::write(&trusted, certificate.pem()).unwrap();
    let mut command = program::serve();
    command
        .args(["--video-encoder", "x264", "--output-allow", "127.0.0.0/8"])
        .arg("--data-dir")
        .arg(&folder)
        .env("SSL_CERT_FILE", &trusted)
        .env_remove("SSL_CERT_DIR");
    let (mut child, addresses) = program::start(&mut command);
    let http: SocketAddr = addresses["http"].as_str().unwrap().parse().unwrap();
    let url = format!("ws://{http}/api/rooms/a/ws");
    let (mut ann, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let join = json!({"id": 1, "type": "join", "name": "Ann"}).to_string();
    ann.send(join.into()).await.unwrap();
    while let Some(Ok(frame)) = ann.next().await {
        if frame.to_text().is_ok_and(|text| text.contains("\"ack\"")) {
            break;
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let body = json!({"url": format!("rtmps://localhost:{port}/live/key")}).to_string();
    let (status, listed) = ask_json(http, "POST", OUTPUTS, &[], &body).await;
    assert_eq!(status, 201, "{listed}");
    let taken = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = greet(acceptor.accept(stream).await.unwrap()).await;
        // A picture and more of it.
        let mut bytes = vec![0; 50_000];
        stream.read_exact(&mut bytes).await.unwrap();
        let (_, listed) = ask_json(http, "GET", OUTPUTS, &[], "").await;
        assert_eq!(listed["outputs"][0]["state"], "live", "{listed}");
        let header = b"onMetaData";
        assert!(bytes.windows(header.len()).any(|some| some == header));
    };
    let taken = tokio::time::timeout(PATIENCE, taken).await;
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    taken.expect("a stream in time");
}
