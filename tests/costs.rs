//! What the API says that a meeting costs: the same three people mixed, forwarded and in a mesh,
//! and the figures beside what the clients count themselves.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::http::ask_json;
use common::{PATIENCE, Server, Socket};
use quilt::clock::NtpTime;
use quilt::gst::Library;
use quilt::load::audio;
use quilt::load::clip::{Clip, Settings};
use quilt::media::{Kind, RtpPacket, Size, VideoCodec};
use quilt::peer::client::{Client, ClientOptions};
use quilt::peer::{State, Uplink};
use quilt::tradeoff::figures;
use serde_json::{Value, json};

/// Pictures a second, and the packets of sound that go with each.
const FPS: u64 = 25;

/// What a client counts.
#[derive(Default)]
struct Counts {
    /// Payload bytes that came.
    came: AtomicU64,
    /// Payload bytes that went.
    went: AtomicU64,
    keyframe: AtomicBool,
}

struct Ear(Arc<Counts>);

impl Uplink for Ear {
    fn track(&self, _kind: Kind, _codec: Option<VideoCodec>) {}

    fn packet(&self, _kind: Kind, packet: RtpPacket) {
        let bytes = packet.payload.len() as u64;
        self.0.came.fetch_add(bytes, Ordering::Relaxed);
    }

    fn sender_report(&self, _kind: Kind, _ntp: NtpTime, _rtp: u32) {}

    fn keyframe_requested(&self) {
        self.0.keyframe.store(true, Ordering::Relaxed);
    }

    fn state(&self, _state: State) {}

    fn bandwidth(&self, _bits_per_second: u64) {}
}

/// Somebody in the meeting, as a page is.
struct Person {
    socket: Socket,
    id: String,
    counts: Arc<Counts>,
    connection: Client,
    taken: Vec<Client>,
}

impl Person {
    async fn join(server: &Server, name: &str) -> Self {
        let mut socket = server.socket("a").await;
        let joined = socket.join(name).await;
        let id = joined["participant"].as_str().expect("an id").to_owned();
        let counts = Arc::<Counts>::default();
        let events = Arc::new(Ear(counts.clone()));
        let offered = Client::offer(ClientOptions::default(), events).await;
        let (connection, sdp) = offered.expect("an offer");
        let offer = json!({"id": 2, "type": "offer", "sdp": sdp});
        let answer = socket.ask(offer).await;
        let answer = answer["sdp"].as_str().unwrap_or_else(|| panic!("{answer}"));
        connection.answer(answer).await.expect("an answer");
        Self {
            socket,
            id,
            counts,
            connection,
            taken: Vec::new(),
        }
    }

    async fn view(&mut self, view: Value) {
        let mut view = view;
        view["id"] = 3.into();
        view["type"] = "view".into();
        assert_eq!(self.socket.ask(view).await["type"], "ack");
    }

    async fn take(&mut self, from: &str) {
        let options = ClientOptions {
            send_video: None,
            send_audio: false,
            ..ClientOptions::default()
        };
        let events = Arc::new(Ear(self.counts.clone()));
        let (taken, sdp) = Client::offer(options, events).await.expect("an offer");
        let take = json!({"id": 4, "type": "take", "from": from, "sdp": sdp});
        let answer = self.socket.ask(take).await;
        let answer = answer["sdp"].as_str().unwrap_or_else(|| panic!("{answer}"));
        taken.answer(answer).await.expect("an answer");
        self.taken.push(taken);
    }
}

/// Sends until dropped or told to be quiet.
async fn send(connection: Client, counts: Arc<Counts>, quiet: Arc<AtomicBool>) {
    let settings = Settings {
        codec: VideoCodec::Vp8,
        size: Size::new(320, 180),
        fps: FPS as u32,
        bitrate: 250_000,
        keyframes: FPS as u32,
    };
    let made = tokio::task::spawn_blocking(move || {
        Clip::encode(
            &Library::embedded(),
            settings,
            FPS as u32,
            |number, picture| {
                let noise = (0u32..).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
                let luma = picture.luma_mut();
                for (pixel, noise) in luma.iter_mut().zip(noise.skip(number as usize * 7)) {
                    *pixel = 60 + noise / 4;
                }
            },
        )
    });
    let clip = made.await.expect("no panic").expect("a clip");
    let track = audio::beeps(0).expect("a track");
    let mut pace = tokio::time::interval(Duration::from_millis(1_000 / FPS));
    let (mut n, mut frame) = (0, 0);
    loop {
        pace.tick().await;
        n += 1;
        if quiet.load(Ordering::Relaxed) {
            continue;
        }
        // A clip begins with a keyframe.
        frame = match counts.keyframe.swap(false, Ordering::Relaxed) {
            true => 0,
            false => (frame + 1) % clip.pictures.len(),
        };
        let picture: Vec<Bytes> = clip.pictures[frame].to_vec();
        let bytes: usize = picture.iter().map(Bytes::len).sum();
        counts.went.fetch_add(bytes as u64, Ordering::Relaxed);
        let at = (n * 90_000 / FPS) as u32;
        connection.send_all(Kind::Video, picture, at, true, None);
        for half in [0, 1] {
            let tick = n * 2 + half;
            let packet = &track.packets[tick as usize % track.packets.len()];
            let bytes = packet.payload.len() as u64;
            counts.went.fetch_add(bytes, Ordering::Relaxed);
            let (payload, level) = (packet.payload.clone(), Some(packet.level));
            connection.send(Kind::Audio, payload, (tick * 960) as u32, false, level);
        }
    }
}

async fn costs(server: &Server) -> Value {
    let answer = ask_json(server.http, "GET", "/api/rooms/a/costs", &[], "").await;
    assert_eq!(answer.0, 200, "{}", answer.1);
    answer.1
}

/// What the server says once it is as wished.
async fn once(server: &Server, wished: impl Fn(&Value) -> bool) -> Value {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let costs = costs(server).await;
        if wished(&costs) {
            return costs;
        }
        assert!(tokio::time::Instant::now() < deadline, "{costs:#}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Beside what clients counted while the server did: payloads, kbit/s each, up and down.
async fn measured(server: &Server, people: &[Person]) -> (Value, f64, f64) {
    // Whatever was before is no part of it any more.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sum = |of: fn(&Counts) -> &AtomicU64| {
        let all = people.iter().map(|p| of(&p.counts).load(Ordering::Relaxed));
        all.sum::<u64>() as f64
    };
    let (came, went) = (sum(|counts| &counts.came), sum(|counts| &counts.went));
    let began = tokio::time::Instant::now();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let costs = costs(server).await;
    let each = began.elapsed().as_secs_f64() * people.len() as f64 * 125.0;
    let up = (sum(|counts| &counts.went) - went) / each;
    (costs, up, (sum(|counts| &counts.came) - came) / each)
}

/// Headers, authentication, feedback and checks come on top of payloads: some 30 bytes a packet.
fn is_true(said: &Value, payload: f64) {
    let said = said.as_f64().unwrap_or_else(|| panic!("{said}"));
    // The seconds that the server and the client counted are not the very same.
    let (least, most) = (payload * 0.9, payload * 1.35 + 60.0);
    assert!(
        (least..most).contains(&said),
        "{said} kbit/s, and {payload} of payloads"
    );
}

fn topologies(computed: &Value) -> Vec<&str> {
    let all = computed.as_array().expect("a list").iter();
    all.map(|one| one["topology"].as_str().expect("a text"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_people_mixed_forwarded_and_in_a_mesh() {
    let server = Server::start("").await;
    let configure = async |topology: &str| {
        let change = json!({"topology": topology}).to_string();
        let answer = ask_json(server.http, "PATCH", "/api/rooms/a", &[], &change).await;
        assert_eq!(answer.0, 200, "{}", answer.1);
    };
    let quiet = Arc::<AtomicBool>::default();
    let mut people = Vec::new();
    for name in ["Ann", "Ben", "Cid"] {
        let person = Person::join(&server, name).await;
        let (connection, counts) = (person.connection.clone(), person.counts.clone());
        tokio::spawn(send(connection, counts, quiet.clone()));
        people.push(person);
    }

    // Mixed.
    let mixed = once(&server, |costs| costs["mixing"].is_object()).await;
    let document: Value =
        serde_json::from_str(include_str!("../src/server/openapi.json")).expect("JSON");
    let promised = &document["components"]["schemas"]["Costs"]["required"];
    let promised = promised.as_array().expect("a list").iter();
    let promised: BTreeSet<_> = promised.filter_map(Value::as_str).collect();
    let said = mixed.as_object().expect("an object").keys();
    assert_eq!(said.map(String::as_str).collect::<BTreeSet<_>>(), promised);
    let (mixed, up, down) = measured(&server, &people).await;
    assert_eq!(
        (&mixed["people"], &mixed["viewers"]),
        (&json!(3), &json!(0))
    );
    assert_eq!(
        (&mixed["uplinks"], &mixed["downlinks"]),
        (&json!(1.0), &json!(1.0))
    );
    is_true(&mixed["client_kbps_up"], up);
    is_true(&mixed["client_kbps_down"], down);
    let sum = |costs: &Value, key: &str| costs[key].as_f64().expect("a number");
    for (all, each) in [
        ("server_kbps_in", "client_kbps_up"),
        ("server_kbps_out", "client_kbps_down"),
    ] {
        let (all, each) = (sum(&mixed, all), sum(&mixed, each));
        assert!((all / each - 3.0).abs() < 0.01, "{all} and {each}");
    }
    assert_eq!(mixed["encoders"]["video"], 3);
    assert_eq!(mixed["decoders"], json!({"video": 3, "audio": 3}));
    assert_eq!(mixed["forwarding"], Value::Null, "nothing is forwarded");
    let (half, most) = (&mixed["mixing"]["p50_ms"], &mixed["mixing"]["p95_ms"]);
    assert!(
        half.as_f64() > Some(1.0) && half.as_f64() <= most.as_f64(),
        "{half} {most}"
    );
    assert!(sum(&mixed, "server_cores") > 0.01, "{mixed:#}");
    assert_eq!(
        mixed["server_cores_estimated"], false,
        "there is no other room"
    );
    assert_eq!(topologies(&mixed["computed"]), ["mesh", "sfu"]);
    let forwarded_would = mixed["computed"][1].clone();

    // Forwarded.
    configure("sfu").await;
    let ids: Vec<_> = people.iter().map(|person| person.id.clone()).collect();
    for (person, own) in people.iter_mut().zip(&ids) {
        person.view(json!({"downlink": "forwarded"})).await;
        for from in ids.iter().filter(|id| *id != own) {
            person.take(from).await;
        }
    }
    once(&server, |costs| costs["forwarding"].is_object()).await;
    let (forwarded, up, down) = measured(&server, &people).await;
    assert_eq!(forwarded["topology"], "sfu");
    assert_eq!(
        (&forwarded["uplinks"], &forwarded["downlinks"]),
        (&json!(1.0), &json!(2.0))
    );
    is_true(&forwarded["client_kbps_up"], up);
    is_true(&forwarded["client_kbps_down"], down);
    let none = json!({"video": 0, "audio": 0});
    assert_eq!(
        (&forwarded["encoders"], &forwarded["decoders"]),
        (&none, &none)
    );
    assert_eq!(forwarded["mixing"], Value::Null, "nothing is mixed");
    assert_eq!(topologies(&forwarded["computed"]), ["mesh", "mcu"]);
    // What was computed before is what it is now.
    for key in [
        "uplinks",
        "downlinks",
        "client_kbps_down",
        "server_kbps_out",
    ] {
        let (was, is) = (sum(&forwarded_would, key), sum(&forwarded, key));
        assert!(
            (was / is - 1.0).abs() < 0.25,
            "{key}: {was} computed, {is} measured"
        );
    }

    // From one to another: the test introduces nobody, but the server cannot know.
    quiet.store(true, Ordering::Relaxed);
    for (person, own) in people.iter_mut().zip(&ids) {
        person.taken.clear();
        for from in ids.iter().filter(|id| *id != own) {
            let drop = json!({"id": 5, "type": "drop", "from": from});
            assert_eq!(person.socket.ask(drop).await["type"], "ack");
        }
        person
            .view(json!({"downlink": "direct", "direct": true}))
            .await;
    }
    configure("mesh").await;
    let mesh = once(&server, |costs| {
        costs["topology"] == "mesh" && costs["seconds"].as_f64() > Some(3.0)
    })
    .await;
    for key in [
        "uplinks",
        "downlinks",
        "client_kbps_up",
        "client_kbps_down",
        "mixing",
        "forwarding",
    ] {
        assert_eq!(mesh[key], Value::Null, "{key}");
    }
    assert!(sum(&mesh, "server_kbps_in") < 100.0, "{mesh:#}");
    assert_eq!(topologies(&mesh["computed"]), ["sfu", "mcu"]);
    assert_eq!(mesh["computed"][0]["downlinks"], 2.0);
    assert_eq!(mesh["computed"][0]["client_kbps_down"], Value::Null);

    // The report names things alike.
    for (costs, topology, seen_by) in [
        (
            &mixed,
            figures::Topology::Mcu,
            figures::SeenBy::MixingServer,
        ),
        (
            &forwarded,
            figures::Topology::Sfu,
            figures::SeenBy::ForwardingServer,
        ),
        (&mesh, figures::Topology::Mesh, figures::SeenBy::Nobody),
    ] {
        assert_eq!(costs["topology"], json!(topology));
        assert_eq!(costs["seen_by"], json!(seen_by));
    }
    drop(people);
    server.metric_becomes("quilt_rooms", 0.0).await;
    let gone = ask_json(server.http, "GET", "/api/rooms/a/costs", &[], "").await;
    assert_eq!(gone.0, 404);
    server.stop().await;
}
