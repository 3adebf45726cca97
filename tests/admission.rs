//! Who does not fit into the processor's budget is not let in, and told why; who is in stays, and
//! who comes back is let in again.

mod common;

use common::Server;
use serde_json::{Value, json};

fn join(session: Option<&str>) -> Value {
    let mut join = json!({"id": 1, "type": "join", "name": "Ann", "overlay": true});
    if let Some(session) = session {
        join["session"] = session.into();
    }
    join
}

#[tokio::test]
async fn a_room_that_does_not_fit_is_refused() {
    let server = Server::start("cpu-budget = 0.1").await;
    assert_eq!(server.metric("quilt_cpu_budget_cores"), 0.1);
    let mut ann = server.socket("a").await;
    let refused = ann.ask(join(None)).await;
    assert_eq!(refused["code"], "no_room", "{refused}");
    assert_eq!(refused["closes"], true);
    let text = refused["text"].as_str().expect("a text");
    assert!(text.starts_with("this server is full"), "{text}");
    assert_eq!(ann.next().await, None, "the socket closes");
    server.metric_becomes("quilt_rooms", 0.0).await;

    let (status, body) = server.request("POST", "/api/rooms/a/host", None).await;
    assert_eq!(status, "503");
    assert!(body.contains("this server is full"), "{body}");
    assert_eq!(server.metric("quilt_refused_total"), 2.0);
    assert_eq!(server.metric("quilt_cpu_committed_cores"), 0.0);
    server.stop().await;
}

#[tokio::test]
async fn a_server_fills_up_and_empties() {
    // Rooms of one cost an encoder and a decoder each, on any machine something between 0.05 and 1.
    let server = Server::start("cpu-budget = 1.5").await;
    let session = "a-session-that-is-anns-own-and-long-enough";
    let mut sockets = Vec::new();
    let refused = loop {
        let mut socket = server.socket(&format!("room-{}", sockets.len())).await;
        let answer = socket
            .ask(join(sockets.is_empty().then_some(session)))
            .await;
        if answer["type"] == "error" {
            break answer;
        }
        sockets.push(socket);
        assert!(sockets.len() < 100, "there is no end of rooms");
    };
    assert_eq!(refused["code"], "no_room", "{refused}");
    assert!(sockets.len() >= 2, "only {}", sockets.len());
    let committed = server.metric("quilt_cpu_committed_cores");
    assert!(committed > 0.5 && committed <= 1.5, "{committed}");
    // Ann comes back, and nobody has to make room for her.
    let mut again = server.socket("room-0").await;
    let answer = again.ask(join(Some(session))).await;
    assert_eq!(answer["type"], "ack", "{answer}");
    // Somebody goes, somebody comes.
    drop(sockets.pop());
    let rooms = sockets.len() as f64;
    server.metric_becomes("quilt_rooms", rooms).await;
    let mut socket = server.socket("another").await;
    assert_eq!(socket.ask(join(None)).await["type"], "ack");
    drop((socket, again, sockets));
    server.stop().await;
}
