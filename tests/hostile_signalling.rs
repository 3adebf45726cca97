//! Signalling as nobody should speak it: every refusal has a code and a text, is logged once, and
//! nobody else notices.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bystanders;
mod common;
mod support;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bystanders::{Call, ROOM};
use common::{PATIENCE, Server, Socket};
use futures_util::{SinkExt, StreamExt};
use quilt::peer::client::{Client, ClientOptions};
use quilt::quiet::REFUSED;
use serde_json::{Value, json};
use support::Recorder;
use tokio_tungstenite::tungstenite::Message;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

/// The lines about refusals, by room and code.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<BTreeMap<(String, String), usize>>>);

impl<S: tracing::Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != REFUSED {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut lines = self.0.lock().unwrap();
        *lines.entry((fields.0, fields.1)).or_default() += 1;
    }
}

#[derive(Default)]
struct Fields(String, String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "room" => self.0 = format!("{value:?}"),
            "code" => self.1 = format!("{value:?}"),
            _ => {}
        }
    }
}

fn assert_refused(answer: &Value, code: &str, closes: bool) {
    assert_eq!(answer["type"], "error", "{answer}");
    assert_eq!(answer["code"], code, "{answer}");
    assert_eq!(answer["closes"], closes, "{answer}");
    let text = answer["text"].as_str().unwrap();
    assert!(!text.is_empty() && text.len() <= 400, "{answer}");
}

/// Everything that is no command, with what it is called. Leaves the socket open.
async fn nonsense(socket: &mut Socket) {
    let deep_object = "{\"a\":".repeat(10_000);
    for frame in [
        "",
        "{",
        "null",
        "[1,2,3]",
        "\u{0}",
        r#"{"id":1}"#,
        r#"{"id":1,"type":7}"#,
        r#"{"id":1,"type":"dance"}"#,
        r#"{"id":"1","type":"leave"}"#,
        r#"{"id":1.5,"type":"leave"}"#,
        r#"{"id":4294967296,"type":"leave"}"#,
        r#"{"id":1,"type":"offer","sdp":[]}"#,
        r#"{"id":1,"type":"media","audio":"yes","video":1}"#,
        r#"{"id":1,"type":"leave","id":2}"#,
        r#"{"id":1,"type":"join","name":"x","view":false,"view":true}"#,
        r#"{"id":1,"type":"join","name":"x","codec":"h265"}"#,
        &"[".repeat(10_000),
        &deep_object,
        &format!(r#"{{"id":1,"type":"{}"}}"#, "x".repeat(60_000)),
    ] {
        socket.send(frame).await;
        assert_refused(&next_error(socket).await, "bad_message", false);
    }
}

async fn next_error(socket: &mut Socket) -> Value {
    socket.next_of("error").await
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_refused_in_words_logged_once_and_not_noticed() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::registry().with(lines.clone());
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let call = Call::start().await;
    let server = &call.server;
    call.unnoticed("nonsense at the socket", async {
        for round in 0..20 {
            let mut socket = server.socket(&format!("odd-{round}")).await;
            nonsense(&mut socket).await;
            let early = json!({"id": 2, "type": "offer", "sdp": "v=0"});
            assert_refused(&socket.ask(early).await, "not_joined", false);
            socket.join("Eve").await;
            for _ in 0..5 {
                let again = json!({"id": 3, "type": "join", "name": "Eve"});
                assert_refused(&socket.ask(again).await, "already_joined", false);
            }
            nonsense(&mut socket).await;
        }
        for _ in 0..10 {
            let mut socket = server.socket("flood").await;
            let mut answer = Value::Null;
            // The last one has no number: the command was not read any more.
            while answer["closes"] != true {
                socket.send(r#"{"id":1,"type":"dance"}"#).await;
                answer = next_error(&mut socket).await;
            }
            assert_refused(&answer, "rate_limited", true);
            assert_eq!(socket.next().await, None);
        }
    })
    .await;
    let lines = lines.0.lock().unwrap();
    for round in 0..20 {
        for code in ["BadMessage", "NotJoined", "AlreadyJoined"] {
            let key = (format!("odd-{round}"), code.to_owned());
            assert_eq!(lines.get(&key), Some(&1), "{key:?} in {lines:?}");
        }
    }
    assert_eq!(lines[&("flood".to_owned(), "RateLimited".to_owned())], 10);
}

/// A socket whose other end may be closed while it is still being written to.
async fn send_all_of(server: &Server, frame: Message) -> Vec<Value> {
    let url = format!("ws://{}/api/rooms/large/ws", server.http);
    let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let (mut write, mut read) = socket.split();
    let writing = tokio::spawn(async move {
        // It need not be read to its end.
        let _ = write.send(frame).await;
        write
    });
    let mut answers = Vec::new();
    let reading = async {
        while let Some(Ok(message)) = read.next().await {
            if let Message::Text(text) = message {
                answers.push(serde_json::from_str(&text).unwrap());
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap();
    writing.abort();
    answers
}

#[tokio::test]
async fn what_is_too_large_is_refused_however_large_it_is() {
    let server = Server::start("").await;
    for bytes in [65_537, 200_000, 1_000_000, 30_000_000] {
        let sdp = "x".repeat(bytes);
        let offer = json!({"id": 1, "type": "offer", "sdp": sdp}).to_string();
        let answers = send_all_of(&server, Message::Text(offer.into())).await;
        assert_eq!(answers.len(), 1, "{bytes}: {answers:?}");
        assert_refused(&answers[0], "too_large", true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptions_that_cannot_be_served_are_refused_and_the_next_one_may_be_good() {
    let server = Server::start("").await;
    let mut socket = server.socket(ROOM).await;
    socket.join("Eve").await;
    let log = Recorder::new();
    let (client, good) = Client::offer(ClientOptions::default(), log.clone())
        .await
        .unwrap();
    let unknown = good
        .replace("opus", "speex")
        .replace("VP8", "AV1")
        .replace("H264", "H265");
    let sections: String = (0..1_000)
        .map(|n| format!("m=audio {n} UDP/TLS/RTP/SAVPF 111\r\n"))
        .collect();
    let many = format!("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n{sections}");
    let long = format!("v=0\r\n{}", "a=x:y\r\n".repeat(5_000));
    let no_media = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
    for (sdp, named) in [
        ("", "empty"),
        (" \r\n\r\n", "empty"),
        ("hello", "v=0"),
        (no_media, "no media section"),
        (&long, "no media section"),
        (&many, "1000 media sections"),
        (&unknown, "VP8"),
        (&good.replace("a=fingerprint", "a=x"), "fingerprint"),
        (&good.replace("a=ice-pwd", "a=x"), "ice-pwd"),
    ] {
        let answer = socket
            .ask(json!({"id": 2, "type": "offer", "sdp": sdp}))
            .await;
        assert_refused(&answer, "bad_sdp", false);
        assert!(answer["text"].as_str().unwrap().contains(named), "{answer}");
    }
    let answer = socket
        .ask(json!({"id": 3, "type": "offer", "sdp": good}))
        .await;
    client
        .answer(answer["sdp"].as_str().unwrap())
        .await
        .unwrap();
    log.state(quilt::peer::State::Connected).await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_are_checked_and_nobody_is_called_because_of_one() {
    let server = Server::start("").await;
    let mut socket = server.socket(ROOM).await;
    socket.join("Eve").await;
    // Somebody who has nothing to do with all this.
    let bystander = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = bystander.local_addr().unwrap().port();
    let target = format!("candidate:9 1 udp 2130706431 127.0.0.1 {port} typ host");
    let candidate = |text: &str| json!({"id": 5, "type": "candidate", "candidate": text});
    let refused = [
        "rubbish",
        "candidate:1 1 udp",
        "candidate:1 1 udp 1 10.0.0.1 99999 typ host",
        "candidate:1 1 sctp 1 10.0.0.1 9 typ host",
        "candidate:1 1 udp 1 example.com 9 typ host",
        "candidate:1 1 udp 1 0.0.0.0 9 typ host",
        "candidate:1 1 udp 1 224.0.0.1 9 typ host",
        "candidate:1 1 udp 1 255.255.255.255 9 typ host",
        "candidate:1 1 udp 1 ff02::1 9 typ host",
        "candidate:1 1 udp 1 ::ffff:224.0.0.1 9 typ host",
        &"candidate:1 ".repeat(1_000),
    ];
    for text in refused {
        assert_refused(&socket.ask(candidate(text)).await, "bad_candidate", false);
    }
    assert_eq!(socket.ask(candidate(&target)).await["type"], "ack");
    let log = Recorder::new();
    let (client, offer) = Client::offer(ClientOptions::default(), log.clone())
        .await
        .unwrap();
    let line = format!("a={target}\r\na=mid:");
    let offer = offer.replace("a=mid:", &line);
    let answer = socket
        .ask(json!({"id": 3, "type": "offer", "sdp": offer}))
        .await;
    for text in refused {
        assert_refused(&socket.ask(candidate(text)).await, "bad_candidate", false);
    }
    assert_eq!(socket.ask(candidate(&target)).await["type"], "ack");
    client
        .answer(answer["sdp"].as_str().unwrap())
        .await
        .unwrap();
    log.state(quilt::peer::State::Connected).await;
    // An agent checks its candidates five times a second, from the start.
    let mut heard = [0; 2_000];
    let called = tokio::time::timeout(Duration::from_secs(1), bystander.recv(&mut heard));
    assert!(
        called.await.is_err(),
        "the server called an address that it was told"
    );
    client.close().await;
}
