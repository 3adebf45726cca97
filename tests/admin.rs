//! What the operator may: see everybody, have somebody leave, end a meeting.

mod common;

use common::Server;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const KEY: &str = "0123456789abcdef";

/// A request with or without the key: status and body.
async fn ask(server: &Server, verb: &str, path: &str, key: Option<&str>) -> (String, Value) {
    let stream = tokio::net::TcpStream::connect(server.http).await;
    let mut stream = stream.expect("to connect");
    let bearer = key.map_or(String::new(), |key| {
        format!("Authorization: Bearer {key}\r\n")
    });
    let request = format!(
        "{verb} {path} HTTP/1.1\r\nHost: {}\r\n{bearer}Connection: close\r\n\r\n",
        server.http
    );
    stream.write_all(request.as_bytes()).await.expect("to ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let status = answer.split(' ').nth(1).expect("a status").to_owned();
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    (status, serde_json::from_str(body).unwrap_or_default())
}

#[tokio::test]
async fn the_operator_sees_everybody_and_has_them_leave() {
    let server = Server::start(&format!("api-key = \"{KEY}\"")).await;
    let mut ann = server.socket("_hidden").await;
    let mut bob = server.socket("_hidden").await;
    for (socket, name) in [(&mut ann, "Ann"), (&mut bob, "Bob")] {
        let join = json!({"id": 1, "type": "join", "name": name, "token": KEY});
        assert_eq!(socket.ask(join).await["type"], "ack");
    }
    let (status, body) = ask(&server, "GET", "/api/admin", Some(KEY)).await;
    assert_eq!(status, "200");
    assert_eq!(body["rooms"][0]["name"], "_hidden");
    assert_eq!(body["rooms"][0]["people"][1]["name"], "Bob");
    let id = body["rooms"][0]["people"][1]["id"].as_str().unwrap();

    let path = format!("/api/rooms/_hidden/people/{id}");
    for key in [None, Some("wrong")] {
        for (verb, path) in [
            ("GET", "/api/admin"),
            ("DELETE", "/api/rooms/_hidden"),
            ("DELETE", &path),
        ] {
            assert_eq!(
                ask(&server, verb, path, key).await.0,
                "401",
                "{verb} {path}"
            );
        }
    }
    assert_eq!(ask(&server, "DELETE", &path, Some(KEY)).await.0, "204");
    assert_eq!(bob.next_of("bye").await["reason"], "removed");
    assert_eq!(ask(&server, "DELETE", &path, Some(KEY)).await.0, "404");
    let room = "/api/rooms/_hidden";
    assert_eq!(ask(&server, "DELETE", room, Some(KEY)).await.0, "204");
    assert_eq!(ann.next_of("bye").await["reason"], "ended");
    server.metric_becomes("quilt_rooms", 0.0).await;
    assert_eq!(ask(&server, "DELETE", room, Some(KEY)).await.0, "404");
}

#[tokio::test]
async fn without_a_key_there_is_no_operator() {
    let server = Server::start("").await;
    assert_eq!(ask(&server, "GET", "/admin", None).await.0, "404");
    assert_eq!(ask(&server, "GET", "/api/admin", None).await.0, "409");
}
