//! Files: brought once by whoever announced them, offered to those present, not kept.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{Server, Socket, http};
use serde_json::{Value, json};

async fn put(server: &Server, path: &str, body: &[u8]) -> u16 {
    http::ask(server.http, "PUT", path, &[], body).await.status
}

async fn announce(socket: &mut Socket, name: &str, size: u64, to: &Value) -> Value {
    let mut file = json!({"id": 7, "type": "file", "name": name, "size": size});
    if !to.is_null() {
        file["to"] = to.clone();
    }
    socket.ask(file).await
}

#[tokio::test]
async fn a_file_is_brought_once_and_offered_to_those_present() {
    let server = Server::start("").await;
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    let mut bob = server.socket("a").await;
    let bob_id = bob.join("Bob").await["participant"].clone();
    let expected = announce(&mut ann, "../a\u{202e}b.html", 5, &Value::Null).await;
    let path = expected["upload"].as_str().unwrap().to_owned();
    assert_eq!(server.request("GET", &path, None).await.0, "404", "not yet");
    let evil = [("Origin", "http://evil.example")];
    let refused = http::ask(server.http, "PUT", &path, &evil, "hello").await;
    assert_eq!(refused.status, 403);
    let elsewhere = path.replace("/a/", "/b/");
    assert_eq!(put(&server, &elsewhere, b"hello").await, 404);
    assert_eq!(put(&server, &path, b"hello").await, 204);
    assert_eq!(put(&server, &path, b"other").await, 404, "once");
    let line = bob.next_of("chat").await;
    assert_eq!(line["text"], "_ab.html");
    assert_eq!(line["file"], json!({"size": 5, "url": path}));
    let (status, body) = server.request("GET", &path, None).await;
    assert_eq!((status.as_str(), body.as_str()), ("200", "hello"));

    // Longer or shorter than was said: not offered, and forgotten.
    for body in [b"hell".as_slice(), b"hello!"] {
        let expected = announce(&mut ann, "x", 5, &bob_id).await;
        let path = expected["upload"].as_str().unwrap();
        assert_eq!(put(&server, path, body).await, 400);
        assert_eq!(put(&server, path, b"hello").await, 404);
    }
    let expected = announce(&mut ann, "for Bob", 0, &bob_id).await;
    let mut eve = server.socket("a").await;
    eve.join("Eve").await;
    let path = expected["upload"].as_str().unwrap();
    assert_eq!(put(&server, path, b"").await, 204);
    assert_eq!(bob.next_of("chat").await["to"], bob_id);
    ann.ask(json!({"id": 8, "type": "chat", "text": "and now?"}))
        .await;
    assert_eq!(eve.next_of("chat").await["text"], "and now?");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_it_is() {
    let server = Server::start("").await;
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    let gone = json!("p999");
    for (name, size, to, code) in [
        ("x", 10_000_001, &Value::Null, "bad_file"),
        ("\u{202e}..", 5, &Value::Null, "bad_file"),
        ("x", 5, &gone, "not_there"),
    ] {
        assert_eq!(announce(&mut ann, name, size, to).await["code"], code);
    }
    for _ in 0..2 {
        let expected = announce(&mut ann, "x", 10_000_000, &Value::Null).await;
        assert!(expected["upload"].is_string(), "{expected}");
    }
    let full = announce(&mut ann, "x", 1, &Value::Null).await;
    assert_eq!(full["code"], "files_full");
    let mut viewer = server.socket("a").await;
    let join = json!({"id": 1, "type": "join", "view": true});
    viewer.ask(join).await;
    assert_eq!(
        announce(&mut viewer, "x", 1, &Value::Null).await["code"],
        "not_host"
    );
    // Who leaves before the file is here sends nothing.
    let mut bob = server.socket("a").await;
    bob.join("Bob").await;
    let expected = announce(&mut bob, "x", 5, &Value::Null).await;
    bob.ask(json!({"id": 9, "type": "leave"})).await;
    server.metric_becomes("quilt_participants", 1.0).await;
    let path = expected["upload"].as_str().unwrap();
    assert_eq!(put(&server, path, b"hello").await, 409);
    server.stop().await;
}
