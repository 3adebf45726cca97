//! HLS of a room: begun by the first request, read by ffmpeg without a word, no further encoder in a
//! room that is watched, for those only who may watch.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod common;

use std::process::Stdio;
use std::time::{Duration, Instant};

use common::http::{Answer, ask, ask_json};
use common::{PATIENCE, Server, Socket};
use mp4_atom::{Any, Buf, Decode};
use quilt::id::{DisplayName, RoomName};
use quilt::load::client::{Client, Entry};
use quilt::media::{Quality, VideoCodec};
use serde_json::json;

const INDEX: &str = "/hls/a/index.m3u8";

async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Answer {
    ask(server.http, "GET", path, headers, "").await
}

async fn ok(server: &Server, path: &str) -> Answer {
    let answer = get(server, path, &[]).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer
}

/// The address of a track's playlist, out of the index.
fn playlist(index: &str, name: &str) -> String {
    let from = index.split(['"', '\n']).find(|part| part.contains(name));
    format!("/hls/a/{}", from.unwrap())
}

/// What stands beside a playlist.
fn beside(playlist: &str, name: &str) -> String {
    format!("{}/{name}", playlist.rsplit_once('/').unwrap().0)
}

/// The addresses of whole segments.
fn segments(playlist: &str) -> Vec<&str> {
    playlist
        .lines()
        .filter(|line| !line.starts_with('#'))
        .collect()
}

/// Time of the first sample and of the end, in ticks, of everything in a segment.
fn times(segment: &[u8]) -> (u64, u64) {
    let mut rest = segment;
    let (mut first, mut end) = (None, 0);
    while rest.has_remaining() {
        if let Any::Moof(moof) = Any::decode(&mut rest).unwrap() {
            let traf = &moof.traf[0];
            let at = traf.tfdt.as_ref().unwrap().base_media_decode_time;
            assert!(first.is_none() || at == end, "a hole between chunks");
            first.get_or_insert(at);
            let lengths = traf.trun[0]
                .samples
                .iter()
                .map(|s| u64::from(s.duration.unwrap()));
            end = at + lengths.sum::<u64>();
        }
    }
    (first.unwrap(), end)
}

async fn viewer(server: &Server) -> Client {
    let entry = Entry {
        url: server.url(),
        room: RoomName::new("a").unwrap(),
        name: DisplayName::new("viewer").unwrap(),
        sends: None,
        receives: Some(VideoCodec::H264),
        quality: Quality::Auto,
    };
    Client::join(entry, None).await.unwrap()
}

async fn ann(server: &Server) -> Socket {
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    ann
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_room_is_watched_by_hls_too_and_ffmpeg_has_nothing_to_say() {
    let server = Server::start("").await;
    let nobody = get(&server, INDEX, &[]).await;
    assert_eq!(nobody.status, 404);
    assert_eq!(nobody.header("cache-control"), "no-store");
    let mut ann = ann(&server).await;
    let viewer = viewer(&server).await;
    server
        .metric_becomes("quilt_encoders{kind=\"video\"}", 1.0)
        .await;

    let asked = Instant::now();
    let index = ok(&server, INDEX).await;
    assert!(asked.elapsed() < Duration::from_secs(9));
    assert_eq!(
        index.header("content-type"),
        "application/vnd.apple.mpegurl"
    );
    assert_eq!(index.header("cache-control"), "public, max-age=1");
    assert_eq!(server.metric("quilt_outputs{kind=\"hls\"}"), 1.0);
    assert_eq!(
        server.metric("quilt_encoders{kind=\"video\"}"),
        1.0,
        "the viewer's"
    );
    let video = playlist(index.text(), "video.m3u8");
    let audio = playlist(index.text(), "audio.m3u8");

    // ffmpeg plays it beside everything that follows.
    let address = format!("{}{INDEX}", server.url());
    let ffmpeg = tokio::task::spawn_blocking(move || {
        let arguments = [
            "30", "ffmpeg", "-v", "error", "-i", &address, "-t", "3", "-f", "null", "-",
        ];
        std::process::Command::new("timeout")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
    });

    // The next segments are waited for, not polled.
    for number in 1..=2 {
        let list = format!("{video}?_HLS_msn={number}");
        let list = ok(&server, &list).await;
        assert_eq!(list.header("cache-control"), "public, max-age=12");
        assert!(segments(list.text()).len() > number, "{}", list.text());
    }
    for (playlist, kind, clock) in [(&video, "video/mp4", 90_000), (&audio, "audio/mp4", 48_000)] {
        let list = ok(&server, playlist).await;
        let init = list.text().split('"').find(|part| part.ends_with(".mp4"));
        let init = ok(&server, &beside(playlist, init.unwrap())).await;
        assert_eq!(init.header("content-type"), kind);
        let mut before = None;
        for name in &segments(list.text())[..3] {
            let segment = ok(&server, &beside(playlist, name)).await;
            assert_eq!(segment.header("content-type"), kind);
            assert_eq!(
                segment.header("cache-control"),
                "public, max-age=86400, immutable"
            );
            let (begin, end) = times(&segment.body);
            // A machine that stood still for half a second missed a keyframe, and says so.
            let whole = !list.text().contains("#EXT-X-DISCONTINUITY\n");
            let next = before.is_none_or(|before| before == begin);
            assert!(next || !whole, "{playlist}: a hole");
            let length = (end - begin) as f64 / f64::from(clock);
            assert!((0.3..2.5).contains(&length), "{length} seconds");
            before = Some(end);
        }
        // What was announced as the next part is waited for.
        let hint = list.text().split('"').rfind(|part| part.ends_with(".m4s"));
        let part = ok(&server, &beside(playlist, hint.unwrap())).await;
        assert!(!part.body.is_empty());
    }
    let refused = get(&server, &format!("{video}?_HLS_msn=1000000"), &[]).await;
    assert_eq!(refused.status, 400);
    let missing = get(&server, &beside(&video, "v123456.m4s"), &[]).await;
    assert_eq!(missing.status, 404);

    let read = tokio::time::timeout(PATIENCE, ffmpeg)
        .await
        .expect("in time");
    let read = read.unwrap().expect("ffmpeg is installed");
    let said = String::from_utf8_lossy(&read.stderr).into_owned();
    assert!(read.status.success() && said.is_empty(), "{said}");
    assert_eq!(
        server.metric("quilt_encoders{kind=\"video\"}"),
        1.0,
        "of two players"
    );

    // Players find the end of a meeting.
    viewer.leave().await.unwrap();
    ann.leave().await;
    server
        .metric_becomes("quilt_outputs{kind=\"hls\"}", 0.0)
        .await;
    let last = ok(&server, &video).await;
    assert!(last.text().ends_with("#EXT-X-ENDLIST\n"), "{}", last.text());
    server.metric_becomes("quilt_rooms", 0.0).await;
    assert_eq!(get(&server, INDEX, &[]).await.status, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_watch_gets_nothing() {
    const KEY: &str = "0123456789abcdef";
    let server = Server::start(&format!("api-key = \"{KEY}\"\n")).await;
    let token = async |role: &str| {
        let path = "/api/rooms/a/tokens";
        let key = format!("Bearer {KEY}");
        let key = [("Authorization", key.as_str())];
        let body = json!({"role": role}).to_string();
        let (_, body) = ask_json(server.http, "POST", path, &key, &body).await;
        body["token"].as_str().unwrap().to_owned()
    };
    let (host, guest) = (token("host").await, token("viewer").await);
    let mut ann = server.socket("a").await;
    let join = json!({"id": 1, "type": "join", "name": "Ann", "token": host});
    assert_eq!(ann.ask(join).await["type"], "ack");

    assert_eq!(get(&server, INDEX, &[]).await.status, 401);
    let elsewhere = [("Origin", "https://tv.example")];
    let path = format!("{INDEX}?token={guest}");
    let index = get(&server, &path, &elsewhere).await;
    assert_eq!(index.status, 200, "{}", index.text());
    let allowed = index.header("access-control-allow-origin");
    assert_eq!(allowed, "https://tv.example", "a token opens it to anybody");
    // Every address carries the token, and nothing is to be had without.
    let video = playlist(index.text(), "video.m3u8");
    assert!(video.ends_with(&format!("?token={guest}")), "{video}");
    let list = ok(&server, &video).await;
    let plain = video.split_once('?').unwrap().0;
    let segment = beside(plain, segments(list.text())[0]);
    assert_eq!(ok(&server, &segment).await.status, 200);
    for path in [plain, segment.split_once('?').unwrap().0] {
        assert_eq!(get(&server, path, &[]).await.status, 401, "{path}");
    }
    let bearer = format!("Bearer {guest}");
    let bearer = [("Authorization", bearer.as_str())];
    let mine = get(&server, plain, &bearer).await;
    assert_eq!(mine.status, 200);
    assert_eq!(mine.header("cache-control"), "private, max-age=1");

    // A locked room lets nobody in any more; who watches goes on.
    let lock = json!({"id": 2, "type": "moderate", "act": "lock"});
    assert_eq!(ann.ask(lock).await["type"], "ack");
    assert_eq!(get(&server, &path, &[]).await.status, 403);
    ok(&server, &video).await;
    ok(&server, &format!("{INDEX}?token={host}")).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_others_read_what_the_settings_allow() {
    let server = Server::start("hls-origin = [\"https://tv.example\"]\n").await;
    let _ann = ann(&server).await;
    let own = server.url();
    for (origin, allowed) in [
        ("https://tv.example", true),
        (&*own, true),
        ("https://evil.example", false),
    ] {
        let answer = get(&server, INDEX, &[("Origin", origin)]).await;
        assert_eq!(answer.status, 200);
        let read = answer.all("access-control-allow-origin").next();
        assert_eq!(read.is_some_and(|read| read == origin), allowed, "{origin}");
    }
    server.stop().await;
}
