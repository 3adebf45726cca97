//! Looking at a room and changing it over HTTP.

mod common;

use common::Server;
use common::http::ask_json;
use serde_json::{Value, json};

#[tokio::test]
async fn an_open_room_can_be_changed_and_says_how_it_is() {
    let server = Server::start("stage-size = 7\nlayout = \"speaker\"").await;
    let path = "/api/rooms/a";
    let (status, _) = ask_json(server.http, "PATCH", path, &[], r#"{"layout":"solo"}"#).await;
    assert_eq!(status, 404, "nobody is in it");
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    let (status, room) = ask_json(server.http, "GET", path, &[], "").await;
    let settings = |room: &Value| json!([room["mix"], room["layout"], room["stage_size"]]);
    assert_eq!(
        (status, settings(&room)),
        (200, json!(["auto", "speaker", 7]))
    );
    let change = r#"{"mix":"common","layout":"solo","stage_size":3}"#;
    let (status, changed) = ask_json(server.http, "PATCH", path, &[], change).await;
    assert_eq!(
        (status, settings(&changed)),
        (200, json!(["common", "solo", 3]))
    );
    let (_, changed) = ask_json(server.http, "PATCH", path, &[], r#"{"layout":"grid"}"#).await;
    assert_eq!(settings(&changed), json!(["common", "grid", 3]));
    let (_, room) = ask_json(server.http, "GET", path, &[], "").await;
    assert_eq!(room, changed);
    for bad in [
        "",
        "null",
        r#"{"layout":"circle"}"#,
        r#"{"stage_size":0}"#,
        r#"{"stage_size":50}"#,
        r#"{"stagesize":5}"#,
    ] {
        let (status, problem) = ask_json(server.http, "PATCH", path, &[], bad).await;
        assert_eq!(status, 400, "{bad}: {problem}");
    }
    let evil = [("Origin", "http://elsewhere.example")];
    let (status, _) = ask_json(server.http, "PATCH", path, &evil, r#"{"layout":"solo"}"#).await;
    assert_eq!(status, 403);
    server.stop().await;
}

#[tokio::test]
async fn with_a_key_only_the_operator_and_hosts_change_rooms() {
    let key = "0123456789abcdef";
    let server = Server::start(&format!("api-key = \"{key}\"")).await;
    let path = "/api/rooms/a";
    let (status, _) = ask_json(server.http, "PATCH", path, &[], "{}").await;
    assert_eq!(status, 401);
    let with_key = format!("Bearer {key}");
    let with_key = [("Authorization", with_key.as_str())];
    let (status, _) = ask_json(server.http, "PATCH", path, &with_key, "{}").await;
    assert_eq!(status, 404, "allowed, but nobody is in it");
    let tokens = "/api/rooms/a/tokens";
    for (role, expected) in [("host", 404), ("member", 403)] {
        let wish = json!({ "role": role }).to_string();
        let (_, token) = ask_json(server.http, "POST", tokens, &with_key, &wish).await;
        let token = token["token"].as_str().expect("a token");
        let bearer = format!("Bearer {token}");
        let bearer = [("Authorization", bearer.as_str())];
        let (status, _) = ask_json(server.http, "PATCH", path, &bearer, "{}").await;
        assert_eq!(status, expected, "{role}");
    }
    server.stop().await;
}
