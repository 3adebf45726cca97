//! Taking somebody's uplink as it is, and meeting without the server, as the socket has it: what is
//! refused, who is told, and that a taken stream carries what is sent.

mod common;

use std::time::Duration;

use common::http::ask_json;
use common::{PATIENCE, Server};
use quilt::clock;
use quilt::gst::Library;
use quilt::id::{DisplayName, RoomName};
use quilt::load::audio;
use quilt::load::client::{Client, Entry, Material};
use quilt::load::clip::{Clip, Settings};
use quilt::load::publisher::Pace;
use quilt::media::{Quality, Size, VideoCodec};
use serde_json::{Value, json};

/// A client's offer to receive.
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
    a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
    a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
    a=setup:actpass\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=recvonly\r\na=rtcp-mux\r\n\
    a=rtpmap:111 opus/48000/2\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=recvonly\r\na=rtcp-mux\r\n\
    a=rtpmap:96 VP8/90000\r\n";

async fn configure(server: &Server, change: Value) {
    let change = change.to_string();
    let answer = ask_json(server.http, "PATCH", "/api/rooms/a", &[], &change).await;
    assert_eq!(answer.0, 200, "{}", answer.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_refused_and_what_can_is_answered() {
    let server = Server::start("").await;
    let mut ann = server.socket("a").await;
    let own = ann.join("Ann").await["participant"].clone();
    let mut bob = server.socket("a").await;
    let other = bob.join("Bob").await["participant"].clone();
    for (from, sdp, code) in [
        (json!("p4000000"), OFFER, "not_there"),
        (own, OFFER, "not_there"),
        (other.clone(), "v=0\r\n", "bad_sdp"),
        (
            other.clone(),
            &OFFER.replace("recvonly", "sendonly"),
            "bad_sdp",
        ),
        (json!("nobody"), OFFER, "bad_message"),
    ] {
        let refused = ann
            .ask(json!({"id": 2, "type": "take", "from": from, "sdp": sdp}))
            .await;
        assert_eq!(refused["code"], code, "{from} {refused}");
    }
    // Again and again: each takes the place of the one before.
    for _ in 0..3 {
        let taken = ann
            .ask(json!({"id": 3, "type": "take", "from": other, "sdp": OFFER}))
            .await;
        let sdp = taken["sdp"].as_str().unwrap_or_else(|| panic!("{taken}"));
        assert_eq!(sdp.matches("a=sendonly").count(), 2, "{sdp}");
        assert!(sdp.contains("VP8/90000"), "{sdp}");
    }
    let dropped = ann
        .ask(json!({"id": 4, "type": "drop", "from": other}))
        .await;
    assert_eq!(dropped["type"], "ack");
    drop((ann, bob));
    server.metric_becomes("quilt_rooms", 0.0).await;
    server.stop().await;
}

#[tokio::test]
async fn pages_are_introduced_where_all_agree() {
    let server = Server::start("").await;
    let mut ann = server.socket("a").await;
    let from = ann.join("Ann").await["participant"].clone();
    let mut bob = server.socket("a").await;
    let to = bob.join("Bob").await["participant"].clone();
    let signal = json!({"kind": "offer", "introduction": 1, "sdp": "v=0"});
    let relay = json!({"id": 5, "type": "relay", "to": to, "signal": signal});
    assert_eq!(ann.ask(relay.clone()).await["code"], "not_direct");
    configure(&server, json!({"topology": "mesh"})).await;
    assert_eq!(ann.ask(relay.clone()).await["code"], "not_direct");
    for socket in [&mut ann, &mut bob] {
        let agreed = socket
            .ask(json!({"id": 6, "type": "view", "direct": true}))
            .await;
        assert_eq!(agreed["type"], "ack");
    }
    while bob.next_of("people").await["topology"] != "mesh" {}
    assert_eq!(ann.ask(relay.clone()).await["type"], "ack");
    let brought = bob.next_of("relay").await;
    assert_eq!((&brought["from"], &brought["signal"]), (&from, &signal));
    let nobody = json!({"id": 7, "type": "relay", "to": "p4000000", "signal": signal});
    assert_eq!(ann.ask(nobody).await["code"], "not_there");
    let odd = json!({"id": 8, "type": "relay", "to": to, "signal": {"kind": "other"}});
    assert_eq!(ann.ask(odd).await["code"], "bad_message");
    // Who agrees from the start interrupts nothing.
    let mut cid = server.socket("a").await;
    let joined = cid
        .ask(json!({"id": 1, "type": "join", "name": "Cid", "direct": true}))
        .await;
    assert_eq!(joined["type"], "ack", "{joined}");
    let told = bob.next_of("people").await;
    assert_eq!(told["people"].as_array().map(Vec::len), Some(3), "{told}");
    assert_eq!(told["topology"], "mesh");
    // Somebody changes their mind.
    bob.ask(json!({"id": 9, "type": "view", "direct": false}))
        .await;
    assert_eq!(ann.ask(relay).await["code"], "not_direct");
    drop((ann, bob, cid));
    server.stop().await;
}

fn material() -> Material {
    let settings = Settings {
        codec: VideoCodec::Vp8,
        size: Size::new(160, 90),
        fps: 25,
        bitrate: 200_000,
        keyframes: 25,
    };
    let clip = Clip::encode(&Library::embedded(), settings, 25, |number, picture| {
        picture.luma_mut().fill(30 + number as u8);
    });
    Material {
        source: 0,
        clip: std::sync::Arc::new(clip.expect("a clip")),
        track: std::sync::Arc::new(audio::beeps(0).expect("a track")),
        log: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_change_their_way_a_hundred_times_and_keep_nothing() {
    let server = Server::start("mix = \"personal\"").await;
    let mut people = Vec::new();
    for name in ["Ann", "Ben"] {
        let entry = Entry {
            url: server.url(),
            room: RoomName::new("a").expect("a name"),
            name: DisplayName::new(name).expect("a name"),
            sends: Some(VideoCodec::Vp8),
            receives: Some(VideoCodec::H264),
            quality: Quality::Auto,
        };
        let mut client = Client::join(entry, None).await.expect("to join");
        let made = tokio::task::spawn_blocking(material).await;
        let pace = Pace::in_step(clock::now(), 25, 25);
        client.publish(made.expect("material"), pace);
        people.push(client);
    }
    let encoders = "quilt_encoders{kind=\"video\"}";
    server.metric_becomes(encoders, 2.0).await;
    // A third one, who takes the mix and what there is to take by turns.
    let mut cid = server.socket("a").await;
    cid.join("Cid").await;
    let threads = server.metric("process_threads");
    for turn in 0..50 {
        configure(&server, json!({"topology": "sfu"})).await;
        let from = people[turn % 2].participant.to_string();
        let taken = cid
            .ask(json!({"id": 3, "type": "take", "from": from, "sdp": OFFER}))
            .await;
        assert_eq!(taken["type"], "ack", "{taken}");
        configure(&server, json!({"topology": "mcu"})).await;
        cid.ask(json!({"id": 4, "type": "drop", "from": from}))
            .await;
    }
    server.metric_becomes(encoders, 2.0).await;
    cid.leave().await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    // Of the runtime some stay for a while; a hundred connections would have left more.
    while server.metric("process_threads") > threads + 10.0 {
        let left = server.metric("process_threads");
        assert!(
            tokio::time::Instant::now() < deadline,
            "{left} threads and not {threads}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    drop(people);
    server.metric_becomes("quilt_rooms", 0.0).await;
    for kind in ["audio", "video"] {
        for what in ["encoders", "decoders"] {
            let name = format!("quilt_{what}{{kind=\"{kind}\"}}");
            server.metric_becomes(&name, 0.0).await;
        }
    }
    server.stop().await;
}
