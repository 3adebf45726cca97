//! Signalling without a WebSocket: requests and an event stream carry the same messages, with the
//! same limits.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{PATIENCE, Server, http};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;

/// One event of a stream.
#[derive(Debug, Default, PartialEq)]
struct Event {
    id: u64,
    name: String,
    data: String,
}

/// A client without a WebSocket.
struct Client<'a> {
    server: &'a Server,
    session: String,
    lines: Option<Lines<BufReader<TcpStream>>>,
    /// The number of the event before the next one, pings included; none before the first.
    seen: Option<u64>,
}

async fn request(server: &Server, head: &str, body: &str) -> (u16, String) {
    let (verb, path) = head.split_once(' ').unwrap();
    let answer = http::ask(server.http, verb, path, &[], body).await;
    (answer.status, answer.text().to_owned())
}

impl<'a> Client<'a> {
    async fn open(server: &'a Server, room: &str) -> Self {
        let path = format!("POST /api/rooms/{room}/sessions");
        let (status, body) = request(server, &path, "").await;
        assert_eq!(status, 201, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let mut client = Self {
            server,
            session: body["session"].as_str().unwrap().to_owned(),
            lines: None,
            seen: None,
        };
        assert_eq!(client.follow(None).await, "200");
        client
    }

    /// Follows the events, after one of them; the status.
    async fn follow(&mut self, after: Option<u64>) -> String {
        let mut stream = TcpStream::connect(self.server.http).await.unwrap();
        self.seen = after;
        let after = after.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        let request = format!(
            "GET {}/events HTTP/1.1\r\nHost: {}\r\n{after}\r\n",
            self.session, self.server.http
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        let status = lines.next_line().await.unwrap().unwrap();
        self.lines = Some(lines);
        status.split(' ').nth(1).unwrap().to_owned()
    }

    /// The next event but pings, which are passed over; none when the stream has ended. None may
    /// be missing.
    async fn event(&mut self) -> Option<Event> {
        let lines = self.lines.as_mut().unwrap();
        let mut event = Event::default();
        loop {
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
            // What is between is the chunks' sizes, and the head.
            let line = line.expect("an event in time").ok()??;
            match line.split_once(": ") {
                Some(("id", id)) => event.id = id.parse().unwrap(),
                Some(("event", name)) => event.name = name.to_owned(),
                Some(("data", data)) => event.data = data.to_owned(),
                _ if line.is_empty() && event.id > 0 => {
                    let before = self.seen.replace(event.id);
                    assert!(
                        before.is_none_or(|before| event.id == before + 1),
                        "{event:?} after {before:?}"
                    );
                    if event.name != "ping" {
                        return Some(event);
                    }
                    event = Event::default();
                }
                _ => {}
            }
        }
    }

    async fn message(&mut self) -> Value {
        let event = self.event().await.expect("a message");
        serde_json::from_str(&event.data).expect("JSON")
    }

    async fn post(&self, commands: &str) -> u16 {
        let path = format!("POST {}/messages", self.session);
        request(self.server, &path, commands).await.0
    }

    async fn ask(&mut self, command: Value) -> Value {
        assert_eq!(self.post(&command.to_string()).await, 202);
        loop {
            let message = self.message().await;
            if message["id"] == command["id"] {
                return message;
            }
        }
    }

    async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.message().await;
            if message["type"] == kind {
                return message;
            }
        }
    }
}

#[tokio::test]
async fn everything_that_is_said_on_a_socket_can_be_said_without_one() {
    let server = Server::start("").await;
    let mut ann = Client::open(&server, "a").await;
    let joined = ann
        .ask(json!({"id": 1, "type": "join", "name": "Ann", "session": "ann-s-key-of-this-test"}))
        .await;
    assert_eq!(joined["people"][0]["name"], "Ann");
    let mut bob = server.socket("a").await;
    bob.join("Bob").await;
    // Several commands in one request, in their order.
    let commands = [
        json!({"id": 2, "type": "chat", "text": "one\ntwo"}),
        json!({"id": 3, "type": "dance"}),
        json!({"id": 4, "type": "offer", "sdp": "v=0"}),
    ];
    let commands = commands.map(|command| format!("{command}\n")).concat();
    assert_eq!(ann.post(&commands).await, 202);
    let mut answers = Vec::new();
    while answers.len() < 3 {
        let message = ann.message().await;
        if !message["id"].is_null() {
            answers.push((message["id"].clone(), message["code"].clone()));
        }
    }
    let expected = [
        (json!(2), Value::Null),
        (json!(3), json!("bad_message")),
        (json!(4), json!("bad_sdp")),
    ];
    assert_eq!(answers, expected);
    assert_eq!(bob.next_of("chat").await["text"], "one\ntwo");

    // A socket can be had after all: it takes the place over.
    let mut again = server.socket("a").await;
    let resume = json!({"id": 1, "type": "resume", "session": "ann-s-key-of-this-test"});
    let resumed = again.ask(resume).await;
    assert_eq!(resumed["participant"], joined["participant"]);
    let last = loop {
        match ann.event().await {
            Some(event) if event.name == "end" => break event,
            Some(_) => {}
            None => panic!("no end"),
        }
    };
    assert_eq!(last.data, "");
    assert_eq!(ann.event().await, None);
    assert_eq!(ann.post("{}").await, 404);
    assert_eq!(ann.follow(Some(last.id)).await, "404");
    server.stop().await;
}

#[tokio::test]
async fn a_stream_that_broke_is_gone_on_with_and_one_that_stays_away_is_a_leave() {
    let server = Server::start("").await;
    let mut ann = Client::open(&server, "a").await;
    ann.ask(json!({"id": 1, "type": "join", "name": "Ann"}))
        .await;
    let mut bob = server.socket("a").await;
    bob.join("Bob").await;
    let told = ann.next_of("people").await;
    let seen = ann.event().await.unwrap();
    ann.lines = None;
    for text in ["one", "two"] {
        let chat = json!({"id": text.len(), "type": "chat", "text": text});
        bob.ask(chat).await;
    }
    assert_eq!(ann.follow(Some(99)).await, "410", "the future: {told}");
    assert_eq!(ann.follow(Some(seen.id)).await, "200");
    let mut texts = Vec::new();
    while texts.len() < 2 {
        let event = ann.event().await.unwrap();
        let message: Value = serde_json::from_str(&event.data).unwrap();
        texts.extend(message["text"].as_str().map(str::to_owned));
    }
    assert_eq!(texts, ["one", "two"]);
    // A second stream takes over.
    let (before, seen) = (ann.lines.take(), ann.seen);
    assert_eq!(ann.follow(seen).await, "200");
    let after = std::mem::replace(&mut ann.lines, before);
    assert_eq!(ann.event().await, None);
    ann.lines = after;
    assert_eq!(server.metric("quilt_participants"), 2.0);
    ann.lines = None;
    server.metric_becomes("quilt_participants", 1.0).await;
    assert_eq!(ann.post("{}").await, 404);
    server.stop().await;
}

#[tokio::test]
async fn limits_are_those_of_the_socket() {
    let server = Server::start("").await;
    for (body, status, code) in [
        ("x".repeat(70_000), 202, "too_large"),
        ("x".repeat(300_000), 413, "too_large"),
        (
            // It ends in the middle of them.
            "{\"id\":1,\"type\":\"ping\"}\n".repeat(200),
            404,
            "rate_limited",
        ),
    ] {
        let mut client = Client::open(&server, "a").await;
        assert_eq!(client.post(&body).await, status);
        let mut refused = client.message().await;
        while refused["type"] == "ack" {
            refused = client.message().await;
        }
        assert_eq!(refused["code"], code);
        assert_eq!(refused["closes"], true);
        assert_eq!(client.event().await.unwrap().name, "end");
    }
    let mut client = Client::open(&server, "a").await;
    client
        .ask(json!({"id": 1, "type": "join", "name": "Ann"}))
        .await;
    // Another room's address, a secret that is none, another site's page.
    let elsewhere = client.session.replace("/a/", "/b/");
    let path = format!("DELETE {elsewhere}");
    assert_eq!(request(&server, &path, "").await.0, 404);
    let path = "DELETE /api/rooms/a/sessions/0123";
    assert_eq!(request(&server, path, "").await.0, 404);
    let evil = [("Origin", "http://evil.example")];
    for (verb, path) in [
        ("POST", "/api/rooms/a/sessions".to_owned()),
        ("POST", format!("{}/messages", client.session)),
        ("GET", format!("{}/events", client.session)),
        ("DELETE", client.session.clone()),
    ] {
        let answer = http::ask(server.http, verb, &path, &evil, "").await;
        assert_eq!(answer.status, 403, "{verb} {path}");
    }
    let path = format!("DELETE {}", client.session);
    assert_eq!(request(&server, &path, "").await.0, 204);
    server.metric_becomes("quilt_participants", 0.0).await;
    server.stop().await;
}

#[tokio::test]
async fn stopping_says_goodbye_and_ends_the_stream() {
    let server = Server::start("").await;
    let url = server.http;
    let mut ann = Client::open(&server, "a").await;
    ann.ask(json!({"id": 1, "type": "join", "name": "Ann"}))
        .await;
    server.signal().await;
    assert_eq!(ann.next_of("bye").await["reason"], "shutdown");
    assert_eq!(ann.event().await.unwrap().name, "end");
    assert_eq!(ann.event().await, None);
    drop(ann);
    server.ended().await;
    assert!(TcpStream::connect(url).await.is_err());
}
