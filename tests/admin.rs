//! What the operator may: see everybody, have somebody leave, end a meeting.

mod common;

use common::Server;
use serde_json::{Value, json};

const KEY: &str = "0123456789abcdef";

#[tokio::test]
async fn the_operator_sees_everybody_and_has_them_leave() {
    let server = Server::start(&format!("api-key = \"{KEY}\"")).await;
    let mut ann = server.socket("_hidden").await;
    let mut bob = server.socket("_hidden").await;
    for (socket, name) in [(&mut ann, "Ann"), (&mut bob, "Bob")] {
        let join = json!({"id": 1, "type": "join", "name": name, "token": KEY});
        assert_eq!(socket.ask(join).await["type"], "ack");
    }
    let (status, body) = server.request("GET", "/api/admin", Some(KEY)).await;
    assert_eq!(status, "200");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["rooms"][0]["name"], "_hidden");
    assert_eq!(body["rooms"][0]["people"][1]["name"], "Bob");
    assert_eq!(body["rooms"][0]["people"][1]["way"], "websocket");
    let inside = json!({"encoders": [], "channels": [], "waiting": 0});
    assert_eq!(body["rooms"][0]["inside"], inside);
    assert!(body["pipelines"].is_array());
    let graph = "/api/admin/pipelines/0";
    assert_eq!(server.request("GET", graph, Some(KEY)).await.0, "404");
    let id = body["rooms"][0]["people"][1]["id"].as_str().unwrap();

    let path = format!("/api/rooms/_hidden/people/{id}");
    for key in [None, Some("wrong")] {
        for (verb, path) in [
            ("GET", "/api/admin"),
            ("GET", graph),
            ("DELETE", "/api/rooms/_hidden"),
            ("DELETE", &path),
        ] {
            assert_eq!(
                server.request(verb, path, key).await.0,
                "401",
                "{verb} {path}"
            );
        }
    }
    assert_eq!(server.request("DELETE", &path, Some(KEY)).await.0, "204");
    assert_eq!(bob.next_of("bye").await["reason"], "removed");
    assert_eq!(server.request("DELETE", &path, Some(KEY)).await.0, "404");
    let room = "/api/rooms/_hidden";
    assert_eq!(server.request("DELETE", room, Some(KEY)).await.0, "204");
    assert_eq!(ann.next_of("bye").await["reason"], "ended");
    server.metric_becomes("quilt_rooms", 0.0).await;
    assert_eq!(server.request("DELETE", room, Some(KEY)).await.0, "404");
}

#[tokio::test]
async fn without_a_key_there_is_no_operator() {
    let server = Server::start("").await;
    assert_eq!(server.request("GET", "/admin", None).await.0, "404");
    assert_eq!(server.request("GET", "/api/admin", None).await.0, "409");
}
