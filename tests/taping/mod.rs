//! What tests of recordings share: a folder, the API, and somebody who watches.

#![allow(dead_code, reason = "each test file uses a part")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use quilt::clock::{self, MediaTime};
use quilt::media::{Tier, VideoCodec};
use quilt::room::output::{Item, Output, Wish};
use serde_json::{Value, json};

use crate::common::PATIENCE;
use crate::common::http::ask_json;

/// A folder that goes with the test.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("quilt-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub fn recordings(&self) -> PathBuf {
        self.0.join("recordings")
    }

    pub fn setting(&self) -> String {
        format!("data-dir = {:?}", self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub async fn ask(http: SocketAddr, verb: &str, path: &str, body: &str) -> (u16, Value) {
    ask_json(http, verb, path, &[], body).await
}

/// Begins a recording; its path.
pub async fn record(http: SocketAddr, wish: Value) -> String {
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
pub async fn until(http: SocketAddr, path: &str, wish: impl Fn(&Value) -> bool) -> Value {
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

pub fn size_reaches(bytes: u64) -> impl Fn(&Value) -> bool {
    move |seen| seen["bytes"].as_u64() >= Some(bytes)
}

pub fn is_over(seen: &Value) -> bool {
    let whole = |file: &str| !file.contains(".part.");
    seen["state"] != "recording" && seen["file"].as_str().is_none_or(whole)
}

/// What a viewer of the common mix gets from now on: when its pictures and sounds are, and when the
/// pictures came.
pub fn witness(mut output: Output) -> tokio::task::JoinHandle<[Vec<MediaTime>; 3]> {
    tokio::spawn(async move {
        let mut seen = [vec![], vec![], vec![]];
        while let Ok(item) = output.next().await {
            match item {
                Item::Picture(picture) => {
                    seen[0].push(picture.at);
                    seen[2].push(clock::now());
                }
                Item::Audio(audio) => seen[1].push(audio.at),
            }
        }
        seen
    })
}

pub const WITNESS: Wish = Wish {
    video: Some(VideoCodec::H264),
    audio: true,
    layout: None,
    portrait: false,
    patience: Duration::from_secs(30),
    sign: false,
    tier: Tier::High,
};

pub fn steps(times: &[MediaTime]) -> Vec<f64> {
    let pairs = times.windows(2);
    pairs
        .map(|pair| pair[1].since(pair[0]).as_secs_f64())
        .collect()
}
