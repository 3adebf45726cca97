//! Looking at a room and changing it over HTTP.

mod common;

use common::Server;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Asks and reads the status and the JSON that comes back.
async fn ask(server: &Server, verb: &str, path: &str, more: &str, body: &str) -> (u16, Value) {
    let mut stream = tokio::net::TcpStream::connect(server.http)
        .await
        .expect("to connect");
    let request = format!(
        "{verb} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{more}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        server.http,
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("to ask");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let status = answer.split(' ').nth(1).expect("a status");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    (
        status.parse().expect("a number"),
        serde_json::from_str(body).expect("JSON"),
    )
}

#[tokio::test]
async fn an_open_room_can_be_changed_and_says_how_it_is() {
    let server = Server::start("stage-size = 7\nlayout = \"speaker\"").await;
    let path = "/api/rooms/a";
    let (status, _) = ask(&server, "PATCH", path, "", r#"{"layout":"solo"}"#).await;
    assert_eq!(status, 404, "nobody is in it");
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    let (status, room) = ask(&server, "GET", path, "", "").await;
    let settings = |room: &Value| json!([room["mix"], room["layout"], room["stage_size"]]);
    assert_eq!(
        (status, settings(&room)),
        (200, json!(["auto", "speaker", 7]))
    );
    let change = r#"{"mix":"common","layout":"solo","stage_size":3}"#;
    let (status, changed) = ask(&server, "PATCH", path, "", change).await;
    assert_eq!(
        (status, settings(&changed)),
        (200, json!(["common", "solo", 3]))
    );
    let (_, changed) = ask(&server, "PATCH", path, "", r#"{"layout":"grid"}"#).await;
    assert_eq!(settings(&changed), json!(["common", "grid", 3]));
    let (_, room) = ask(&server, "GET", path, "", "").await;
    assert_eq!(room, changed);
    for bad in [
        "",
        "null",
        r#"{"layout":"circle"}"#,
        r#"{"stage_size":0}"#,
        r#"{"stage_size":50}"#,
        r#"{"stagesize":5}"#,
    ] {
        let (status, problem) = ask(&server, "PATCH", path, "", bad).await;
        assert_eq!(status, 400, "{bad}: {problem}");
    }
    let evil = "Origin: http://elsewhere.example\r\n";
    let (status, _) = ask(&server, "PATCH", path, evil, r#"{"layout":"solo"}"#).await;
    assert_eq!(status, 403);
    server.stop().await;
}

#[tokio::test]
async fn with_a_key_only_the_operator_and_hosts_change_rooms() {
    let key = "0123456789abcdef";
    let server = Server::start(&format!("api-key = \"{key}\"")).await;
    let path = "/api/rooms/a";
    let (status, _) = ask(&server, "PATCH", path, "", "{}").await;
    assert_eq!(status, 401);
    let with_key = format!("Authorization: Bearer {key}\r\n");
    let (status, _) = ask(&server, "PATCH", path, &with_key, "{}").await;
    assert_eq!(status, 404, "allowed, but nobody is in it");
    let tokens = "/api/rooms/a/tokens";
    for (role, expected) in [("host", 404), ("member", 403)] {
        let wish = json!({ "role": role }).to_string();
        let (_, token) = ask(&server, "POST", tokens, &with_key, &wish).await;
        let token = token["token"].as_str().expect("a token");
        let bearer = format!("Authorization: Bearer {token}\r\n");
        let (status, _) = ask(&server, "PATCH", path, &bearer, "{}").await;
        assert_eq!(status, expected, "{role}");
    }
    server.stop().await;
}
