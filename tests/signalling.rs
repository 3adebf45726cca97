//! The WebSocket: what is answered, what is refused and how, and who is told.

mod common;

use common::Server;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn everybody_is_told_who_comes_and_goes() {
    let server = Server::start("").await;
    let mut ann = server.socket("a").await;
    let joined = ann.join("Ann").await;
    assert_eq!(joined["people"][0]["name"], "Ann");
    assert_eq!(joined["room"], "a");
    let mut bob = server.socket("a").await;
    let joined = bob.join("Bob").await;
    assert_eq!(joined["people"].as_array().unwrap().len(), 2);
    let mut told = ann.next_of("people").await;
    while told["people"].as_array().unwrap().len() != 2 {
        told = ann.next_of("people").await;
    }
    bob.ask(json!({"id": 2, "type": "media", "audio": false, "video": true}))
        .await;
    let told = ann.next_of("people").await;
    assert_eq!(told["people"][1]["audio"], false);
    let left = bob.ask(json!({"id": 3, "type": "leave"})).await;
    assert_eq!(left["type"], "ack");
    assert_eq!(bob.next().await, None, "the socket closes after a leave");
    let told = ann.next_of("people").await;
    assert_eq!(told["people"].as_array().unwrap().len(), 1);
    drop(ann);
    server.metric_becomes("quilt_rooms", 0.0).await;
    server.stop().await;
}

#[tokio::test]
async fn namesakes_are_allowed() {
    let server = Server::start("").await;
    let mut sockets = [server.socket("a").await, server.socket("a").await];
    let mut ids = Vec::new();
    for socket in &mut sockets {
        let joined = socket.join("Ann").await;
        ids.push(joined["participant"].clone());
    }
    assert_ne!(ids[0], ids[1]);
    let mut told = sockets[0].next_of("people").await;
    while told["people"].as_array().unwrap().len() != 2 {
        told = sockets[0].next_of("people").await;
    }
    // Each as they called themselves; the page and the picture tell them apart.
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(told["people"][n]["name"], "Ann");
        assert_eq!(told["people"][n]["id"], *id);
    }
}

#[tokio::test]
async fn a_place_can_be_taken_along_to_another_socket() {
    let server = Server::start("").await;
    let mut ann = server.socket("a").await;
    let key = "ann-s-key-that-nobody-can-guess";
    let join = json!({"id": 1, "type": "join", "name": "Ann", "session": key});
    let joined = ann.ask(join.clone()).await;
    let mut bob = server.socket("a").await;
    let his = bob.join("Bob").await;
    let said = json!({"id": 2, "type": "chat", "text": "hello"});
    assert_eq!(bob.ask(said).await["type"], "ack");
    let resume = json!({"id": 2, "type": "resume", "session": key});

    // A key of another room, one of nobody's, and a second chair.
    let stray = server.socket("b").await.ask(resume.clone()).await;
    assert_eq!(stray["code"], "no_seat", "{stray}");
    let nobody = json!({"id": 2, "type": "resume", "session": "0".repeat(32)});
    let mut again = server.socket("a").await;
    assert_eq!(again.ask(nobody).await["code"], "no_seat");
    assert_eq!(bob.ask(resume.clone()).await["code"], "already_joined");

    let resumed = again.ask(resume.clone()).await;
    for same in ["participant", "room", "people", "seat"] {
        assert_eq!(
            resumed[same],
            if same == "people" { &his } else { &joined }[same]
        );
    }
    // What she may have missed is told again, and the old socket is closed.
    let told = again.next_of("people").await;
    assert_eq!(told["people"].as_array().unwrap().len(), 2);
    again.next_of("speaking").await;
    assert_eq!(again.next_of("chat").await["text"], "hello");
    while ann.next().await.is_some() {}
    assert_eq!(
        again.ask(json!({"id": 3, "type": "ping"})).await["type"],
        "ack"
    );
    assert_eq!(server.metric("quilt_participants"), 2.0);

    // The place can be taken along again; a join with the key makes it another one, and with that
    // one's end the key is worth nothing.
    let mut third = server.socket("a").await;
    assert_eq!(third.ask(resume.clone()).await["type"], "ack");
    let mut fourth = server.socket("a").await;
    assert_ne!(fourth.ask(join).await["participant"], joined["participant"]);
    assert_eq!(third.next_of("bye").await["reason"], "replaced");
    let mut fifth = server.socket("a").await;
    let resumed = fifth.ask(resume.clone()).await;
    assert_eq!(resumed["type"], "ack", "{resumed}");
    fifth.ask(json!({"id": 3, "type": "leave"})).await;
    server.metric_becomes("quilt_participants", 1.0).await;
    let late = server.socket("a").await.ask(resume).await;
    assert_eq!(late["code"], "no_seat");
    server.stop().await;
}

#[tokio::test]
async fn viewers_are_counted_and_not_listed() {
    let server = Server::start("").await;
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    let mut viewer = server.socket("a").await;
    let joined = viewer
        .ask(json!({"id": 1, "type": "join", "view": true}))
        .await;
    assert_eq!(joined["people"].as_array().unwrap().len(), 1);
    let mut told = ann.next_of("people").await;
    while told["viewers"] != 1 {
        told = ann.next_of("people").await;
    }
    assert_eq!(server.metric("quilt_participants"), 1.0);
}

#[tokio::test]
async fn refusals_are_typed_and_the_socket_stays() {
    let server = Server::start("").await;
    let mut socket = server.socket("a").await;
    let refused = |answer: &serde_json::Value, code: &str| {
        assert_eq!(answer["type"], "error", "{answer}");
        assert_eq!(answer["code"], code, "{answer}");
        assert_eq!(answer["closes"], false, "{answer}");
    };
    let answer = socket
        .ask(json!({"id": 1, "type": "offer", "sdp": ""}))
        .await;
    refused(&answer, "not_joined");
    for (n, name) in ["", "  ", "a\u{0}b", &"x".repeat(65)]
        .into_iter()
        .enumerate()
    {
        let answer = socket
            .ask(json!({"id": n + 2, "type": "join", "name": name}))
            .await;
        refused(&answer, "bad_name");
    }
    let answer = socket.ask(json!({"id": 9, "type": "join"})).await;
    refused(&answer, "bad_name");
    for frame in [
        "",
        "null",
        "{",
        r#"{"id":7,"type":"dance"}"#,
        r#"{"id":7,"type":"join","name":"x","name":"y"}"#,
        r#"{"id":7,"type":"join","name":["x"]}"#,
        r#"{"id":7,"type":"leave","extra":1}"#,
        &"[".repeat(10_000),
    ] {
        socket.send(frame).await;
        refused(&socket.next().await.unwrap(), "bad_message");
    }
    socket
        .send_frame(Message::Binary(vec![1, 2, 3].into()))
        .await;
    refused(&socket.next().await.unwrap(), "bad_message");
    socket.join("Ann").await;
    let answer = socket
        .ask(json!({"id": 10, "type": "join", "name": "Ann"}))
        .await;
    refused(&answer, "already_joined");
    for sdp in ["", "v=0", "no sdp at all", &"a=x\r\n".repeat(2000)] {
        let answer = socket
            .ask(json!({"id": 11, "type": "offer", "sdp": sdp}))
            .await;
        refused(&answer, "bad_sdp");
    }
    let many: String = (0..1000)
        .map(|n| format!("m=audio {n} UDP/TLS/RTP/SAVPF 111\r\n"))
        .collect();
    let sdp = format!("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n{many}");
    let answer = socket
        .ask(json!({"id": 12, "type": "offer", "sdp": sdp}))
        .await;
    refused(&answer, "bad_sdp");
}

#[tokio::test]
async fn what_is_too_large_or_too_fast_closes() {
    let server = Server::start("").await;
    let mut socket = server.socket("a").await;
    let text = json!({"id": 1, "type": "offer", "sdp": "x".repeat(70_000)}).to_string();
    socket.send(text).await;
    // The refusal has no number: the frame was not read.
    let answer = socket.next().await.unwrap();
    assert_eq!(
        (&answer["code"], &answer["closes"]),
        (&json!("too_large"), &json!(true))
    );
    assert_eq!(socket.next().await, None);

    let mut socket = server.socket("a").await;
    let mut answers = Vec::new();
    for n in 0..200 {
        socket
            .send(json!({"id": n, "type": "leaf"}).to_string())
            .await;
        answers.push(socket.next().await);
        if answers.last().is_some_and(|a| a.is_none()) {
            break;
        }
        if answers
            .last()
            .and_then(|a| a.as_ref())
            .is_some_and(|a| a["code"] == "rate_limited")
        {
            break;
        }
    }
    let last = answers
        .last()
        .cloned()
        .flatten()
        .expect("a refusal before the end");
    assert_eq!(last["code"], "rate_limited");
    assert_eq!(socket.next().await, None);
}

#[tokio::test]
async fn stopping_says_goodbye() {
    let server = Server::start("").await;
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    let stopped = tokio::spawn(server.stop());
    let bye = ann.next_of("bye").await;
    assert_eq!(bye["reason"], "shutdown");
    assert_eq!(ann.next().await, None);
    stopped.await.unwrap();
}

#[tokio::test]
async fn with_a_key_a_token_is_needed() {
    let server = Server::start("api-key = \"0123456789abcdef\"").await;
    let mut socket = server.socket("a").await;
    let answer = socket
        .ask(json!({"id": 1, "type": "join", "name": "Ann"}))
        .await;
    assert_eq!(
        (&answer["code"], &answer["closes"]),
        (&json!("forbidden"), &json!(true))
    );
    let mut socket = server.socket("a").await;
    let token = "0123456789abcdef";
    let answer = socket
        .ask(json!({"id": 1, "type": "join", "name": "Ann", "token": token}))
        .await;
    assert_eq!(answer["type"], "ack");
}

#[tokio::test]
async fn pages_of_other_sites_are_turned_away() {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    let server = Server::start("").await;
    let url = format!("ws://{}/api/rooms/a/ws", server.http);
    let mut request = url.into_client_request().unwrap();
    let origin = "http://evil.example".parse().unwrap();
    request.headers_mut().insert("origin", origin);
    let refused = tokio_tungstenite::connect_async(request).await.unwrap_err();
    assert!(refused.to_string().contains("403"), "{refused}");
    let url = format!("ws://{}/api/rooms/{}/ws", server.http, "x".repeat(65));
    let refused = tokio_tungstenite::connect_async(url).await.unwrap_err();
    assert!(refused.to_string().contains("400"), "{refused}");
}
