//! Copies of recordings go to a folder or a bucket; as long as they cannot, the recording stays
//! here, says why, and the meeting does not notice.

mod bucket;
mod common;
mod film;
mod taping;

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use bucket::{Bucket, KEY, SECRET};
use common::http::ask as fetch;
use common::{PATIENCE, Server, program};
use futures_util::{SinkExt as _, StreamExt as _};
use quilt::id::RoomName;
use serde_json::{Value, json};
use taping::{Folder, WITNESS, ask, is_over, record, size_reaches, steps, until, witness};
use tokio_tungstenite::tungstenite::Message;

fn upload_is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |seen| is_over(seen) && seen["upload"]["state"] == state
}

/// A recording of some seconds; its path.
async fn recorded(http: SocketAddr, name: &str) -> String {
    let path = record(http, json!({"name": name})).await;
    until(http, &path, size_reaches(2_000)).await;
    let (status, seen) = ask(http, "POST", &format!("{path}/stop"), "").await;
    assert_eq!(status, 200, "{seen}");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_comes_late_gets_all_and_nobody_in_the_meeting_notices() {
    let folder = Folder::new("upload");
    let archive = folder.0.join("archive");
    let target = format!("recordings-upload = \"file://{}\"", archive.display());
    let setting = format!("{}\n{target}", folder.setting());
    let server = Server::start(&setting).await;
    let http = server.http;
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    let room = RoomName::new("a").expect("a name");
    let output = server.rooms.output(&room, WITNESS).await;
    let witness = witness(output.expect("an output"));

    // It is not there: that is said, and the film stays.
    let first = recorded(http, "first").await;
    let seen = until(http, &first, |seen| {
        seen["upload"]["failures"].as_u64() >= Some(1)
    })
    .await;
    assert_eq!(seen["state"], "finished", "{seen}");
    assert_eq!(seen["upload"]["state"], "pending", "{seen}");
    assert_eq!(
        seen["upload"]["reason"], "No such file or directory (os error 2)",
        "{seen}"
    );
    assert_eq!(server.metric("quilt_recording_uploads_pending"), 1.0);
    film::plays(&folder.recordings().join("first.mp4"));
    let written = std::fs::read(folder.recordings().join("first.json")).expect("a manifest");
    let written: Value = serde_json::from_slice(&written).expect("JSON");
    assert_eq!(written["upload"]["state"], "pending", "{written}");

    std::fs::create_dir(&archive).expect("a folder");
    let seen = until(http, &first, upload_is("done")).await;
    assert_eq!(seen["upload"]["reason"], Value::Null, "{seen}");
    let id = seen["id"].as_str().expect("an id").to_owned();
    let copy = archive.join(format!("first-{id}.mp4"));
    film::plays(&copy);
    let here = folder.recordings().join("first.mp4");
    assert!(std::fs::read(&copy).expect("a copy") == std::fs::read(&here).expect("a film"));
    let manifest = std::fs::read(archive.join(format!("first-{id}.json"))).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    assert_eq!(manifest["file"], format!("first-{id}.mp4"));
    assert_eq!(manifest["state"], "finished");
    assert_eq!(manifest["events"][0]["name"], "Ann");
    assert_eq!(server.metric("quilt_recording_uploads_pending"), 0.0);
    assert_eq!(
        server.metric("quilt_recording_uploads_total{result=\"done\"}"),
        1.0
    );
    assert!(server.metric("quilt_recording_uploads_total{result=\"retried\"}") >= 1.0);
    let file = fetch(http, "GET", &format!("{first}/file"), &[], "").await;
    assert_eq!(file.status, 200);

    // What is not there when the server ends is put there by the next one.
    std::fs::rename(&archive, folder.0.join("away")).expect("to take it away");
    let second = recorded(http, "second").await;
    until(http, &second, |seen| {
        seen["upload"]["failures"].as_u64() >= Some(1)
    })
    .await;
    ann.leave().await;
    let [pictures, sounds, came] = witness.await.expect("no panic");
    for times in [pictures, sounds] {
        let longest = steps(&times).into_iter().fold(0.0, f64::max);
        assert!(longest <= 0.25, "{longest}");
    }
    let late = steps(&came).into_iter().fold(0.0, f64::max);
    println!("longest step until the next one came {late} s");
    assert!(late <= 0.5, "{late}");
    server.stop().await;

    std::fs::rename(folder.0.join("away"), &archive).expect("to bring it back");
    // And this one removes what is there.
    let setting = format!("{setting}\nrecordings-upload-remove = true");
    let server = Server::start(&setting).await;
    let seen = until(server.http, &second, |seen| {
        upload_is("done")(seen) && seen["file"].is_null()
    })
    .await;
    assert_eq!(seen["bytes"], 0, "{seen}");
    let id = seen["id"].as_str().expect("an id");
    film::plays(&archive.join(format!("second-{id}.mp4")));
    assert!(!folder.recordings().join("second.mp4").exists());
    assert!(here.exists(), "it was there before");
    let (status, problem) = ask(server.http, "GET", &format!("{second}/file"), "").await;
    assert_eq!(status, 404, "{problem}");
    assert_eq!(
        problem["detail"],
        "the film was uploaded and is not kept here"
    );
    server.stop().await;

    // Without the setting nobody is kept waiting.
    let server = Server::start(&folder.setting()).await;
    let (_, seen) = ask(server.http, "GET", &second, "").await;
    assert_eq!(seen["upload"]["state"], "done", "{seen}");
    server.stop().await;
}

/// Somebody in the room, for as long as this lives.
async fn join(http: SocketAddr) -> impl Sized {
    let url = format!("ws://{http}/api/rooms/a/ws");
    let socket = tokio_tungstenite::connect_async(url).await;
    let (mut socket, _) = socket.expect("a socket");
    let join = json!({"id": 1, "type": "join", "name": "Ann"}).to_string();
    let sent = socket.send(Message::Text(join.into())).await;
    sent.expect("to join");
    while let Some(Ok(frame)) = socket.next().await {
        if frame.to_text().is_ok_and(|text| text.contains("\"ack\"")) {
            break;
        }
    }
    socket
}

/// The program with a bucket; its error output in a file.
fn serve(folder: &Folder, endpoint: &str, log: &str) -> (Child, SocketAddr) {
    let mut command = program::serve();
    command
        .args(["--video-encoder", "x264", "--data-dir"])
        .arg(&folder.0)
        .args(["--recordings-upload", "s3://films/quilt"])
        .args(["--recordings-upload-endpoint", endpoint])
        .env("QUILT_LOG", "debug")
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_REGION", "eu-central-1");
    let log = std::fs::File::create(folder.0.join(log)).expect("a log");
    let (child, addresses) = program::start(command.stderr(Stdio::from(log)));
    let http = addresses["http"].as_str().expect("an address");
    (child, http.parse().expect("an address"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_busy_gets_all_and_one_that_refuses_is_asked_again_by_the_next_start() {
    let folder = Folder::new("bucket");
    let bucket = Bucket::open().await;
    // More than one attempt makes of its own.
    bucket.refuse(4, 503, "SlowDown");
    let (mut child, http) = serve(&folder, &bucket.endpoint(), "first.log");
    let _ann = join(http).await;
    let one = recorded(http, "one").await;
    let seen = until(http, &one, |seen| {
        seen["upload"]["failures"].as_u64() >= Some(1)
    })
    .await;
    let reason = seen["upload"]["reason"].as_str().expect("a reason");
    let answer = format!(
        "{} answers 503 Service Unavailable (SlowDown)",
        bucket.address
    );
    assert_eq!(reason, answer);
    let seen = until(http, &one, upload_is("done")).await;
    let id = seen["id"].as_str().expect("an id");
    let here = std::fs::read(folder.recordings().join("one.mp4")).expect("a film");
    assert!(bucket.object(&format!("/films/quilt/one-{id}.mp4")) == Some(here));
    assert!(
        bucket
            .object(&format!("/films/quilt/one-{id}.json"))
            .is_some()
    );

    // What it refuses is not tried again and again.
    bucket.refuse(1, 403, "AccessDenied");
    let two = recorded(http, "two").await;
    let seen = until(http, &two, upload_is("failed")).await;
    let reason = seen["upload"]["reason"].as_str().expect("a reason");
    assert!(
        reason.ends_with("answers 403 Forbidden (AccessDenied)"),
        "{reason}"
    );
    film::plays(&folder.recordings().join("two.mp4"));
    // A third is interrupted in the middle.
    let three = record(http, json!({"name": "three"})).await;
    until(http, &three, size_reaches(2_000)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    child.kill().expect("to kill it");
    child.wait().expect("to end");

    let (mut child, http) = serve(&folder, &bucket.endpoint(), "second.log");
    for path in [&two, &three] {
        until(http, path, upload_is("done")).await;
    }
    let (_, seen) = ask(http, "GET", &three, "").await;
    assert_eq!(seen["state"], "interrupted", "{seen}");
    let (_, listed) = ask(http, "GET", "/api/rooms/a/recordings", "").await;
    let metrics = fetch(http, "GET", "/metrics", &[], "").await;
    child.kill().expect("to kill it");
    child.wait().expect("to end");
    assert_eq!(bucket.objects().len(), 6, "{:?}", bucket.objects());

    let mut shown = listed.to_string() + metrics.text();
    for log in ["first.log", "second.log"] {
        let mut file = std::fs::File::open(folder.0.join(log)).expect("a log");
        file.read_to_string(&mut shown).expect("text");
    }
    for name in ["one", "two", "three"] {
        let manifest = folder.recordings().join(format!("{name}.json"));
        shown += &std::fs::read_to_string(manifest).expect("a manifest");
    }
    assert!(
        shown.contains("AccessDenied"),
        "the logs are not what they should be"
    );
    for secret in [KEY, SECRET] {
        assert!(!shown.contains(secret), "somebody says {secret}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_not_there_is_named_and_the_film_stays_here() {
    let folder = Folder::new("nowhere");
    // A port that was somebody's a moment ago is given to others last.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = nobody.local_addr().expect("an address");
    drop(nobody);
    let (mut child, http) = serve(&folder, &format!("http://{address}"), "log");
    let _ann = join(http).await;
    let path = recorded(http, "kept").await;
    let failed = |seen: &Value| seen["upload"]["failures"].as_u64() >= Some(1);
    let seen = until(http, &path, failed).await;
    assert_eq!(seen["upload"]["state"], "pending", "{seen}");
    assert_eq!(
        seen["upload"]["reason"],
        format!("cannot connect to {address}: Connection refused (os error 111)"),
    );
    film::plays(&folder.recordings().join("kept.mp4"));
    // What is deleted is not put there either, and does not come back.
    let (status, _) = ask(http, "DELETE", &path, "").await;
    assert_eq!(status, 204);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let metrics = fetch(http, "GET", "/metrics", &[], "").await;
        if metrics
            .text()
            .contains("quilt_recording_uploads_pending 0\n")
        {
            break;
        }
        assert!(Instant::now() < deadline, "it is still tried");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!folder.recordings().join("kept.json").exists());
    child.kill().expect("to kill it");
    child.wait().expect("to end");
}
