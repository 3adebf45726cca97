//! Beside the picture, over the WebSocket: chat and its history, hands, and what hosts may do.

mod common;

use common::{Server, Socket};
use serde_json::{Value, json};

/// Joins with more than a name.
async fn join(socket: &mut Socket, more: Value) -> Value {
    let mut join = json!({"id": 1, "type": "join", "audio": true, "video": true});
    let fields = join.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    socket.ask(join).await
}

/// The list of people as soon as it is as wished.
async fn people(socket: &mut Socket, wish: impl Fn(&Value) -> bool) -> Value {
    loop {
        let told = socket.next_of("people").await;
        if wish(&told) {
            return told;
        }
    }
}

/// Asks for the host's token of a room as the lobby does: the status and the token.
async fn open(server: &Server, room: &str) -> (String, String) {
    let path = format!("/api/rooms/{room}/host");
    let (status, body) = server.request("POST", &path, None).await;
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let token = body["token"].as_str().unwrap_or_default().to_owned();
    (status, token)
}

#[tokio::test]
async fn chat_reaches_everybody_and_those_who_come_later() {
    let server = Server::start("").await;
    let mut ann = server.socket("a").await;
    ann.join("<b>Ann</b>").await;
    let mut bob = server.socket("a").await;
    let bob_id = bob.join("Bob").await["participant"].clone();
    let text = "<script>alert(1)</script> \u{202e}javascript:alert(1)\nsecond line";
    let answer = ann
        .ask(json!({"id": 2, "type": "chat", "text": format!("  {text} ")}))
        .await;
    assert_eq!(answer["type"], "ack", "{answer}");
    let line = bob.next_of("chat").await;
    assert_eq!(
        (&line["text"], &line["past"]),
        (&json!(text), &json!(false))
    );
    assert_eq!(line["name"], "<b>Ann</b>");
    ann.ask(json!({"id": 3, "type": "chat", "text": "psst", "to": bob_id}))
        .await;
    let line = bob.next_of("chat").await;
    assert_eq!((&line["text"], &line["to"]), (&json!("psst"), &bob_id));
    ann.ask(json!({"id": 4, "type": "react", "reaction": "clap"}))
        .await;
    assert_eq!(bob.next_of("reaction").await["reaction"], "clap");

    let mut eve = server.socket("a").await;
    eve.join("Eve").await;
    let line = eve.next_of("chat").await;
    assert_eq!((&line["text"], &line["past"]), (&json!(text), &json!(true)));
    ann.ask(json!({"id": 5, "type": "chat", "text": "hello Eve"}))
        .await;
    let line = eve.next_of("chat").await;
    assert_eq!(line["text"], "hello Eve", "nothing private in between");
}

#[tokio::test]
async fn what_cannot_be_said_is_refused_and_the_socket_stays() {
    let server = Server::start("").await;
    let mut ann = server.socket("a").await;
    let refused = |answer: &Value, code: &str| {
        assert_eq!(
            (&answer["code"], &answer["closes"]),
            (&json!(code), &json!(false)),
            "{answer}"
        );
    };
    let chat = |id: u32, text: &str| json!({"id": id, "type": "chat", "text": text});
    refused(&ann.ask(chat(1, "too early")).await, "not_joined");
    ann.join("Ann").await;
    for bad in ["", " \n ", "a\u{0}b", &"x".repeat(2001)] {
        refused(&ann.ask(chat(2, bad)).await, "bad_text");
    }
    let direct = json!({"id": 3, "type": "chat", "text": "hi", "to": "p999999"});
    refused(&ann.ask(direct).await, "not_there");
    let mut answers = Vec::new();
    for n in 0..20 {
        answers.push(ann.ask(chat(10 + n, "spam")).await);
    }
    let slowed = answers.iter().find(|answer| answer["type"] == "error");
    refused(slowed.expect("a flood is refused"), "slow_down");
    for act in ["mute", "lock", "end"] {
        let answer = ann
            .ask(json!({"id": 40, "type": "moderate", "act": act}))
            .await;
        refused(&answer, "not_host");
    }
    let mut viewer = server.socket("a").await;
    viewer
        .ask(json!({"id": 1, "type": "join", "view": true}))
        .await;
    refused(&viewer.ask(chat(2, "hi")).await, "not_host");
}

#[tokio::test]
async fn the_first_to_open_a_room_is_its_host() {
    let server = Server::start("").await;
    let (status, token) = open(&server, "tea").await;
    assert_eq!(status, "201");
    assert_eq!(open(&server, "tea").await.0, "409", "opened by another");
    // A guest who is there first does not become host.
    let mut bob = server.socket("tea").await;
    assert_eq!(join(&mut bob, json!({"name": "Bob"})).await["type"], "ack");
    let mut ann = server.socket("tea").await;
    let joined = join(&mut ann, json!({"name": "Ann", "token": token})).await;
    let host = |joined: &Value, n: usize| joined["people"][n]["host"].clone();
    assert_eq!(
        (host(&joined, 0), host(&joined, 1)),
        (json!(false), json!(true))
    );
    let mut eve = server.socket("other").await;
    let joined = join(&mut eve, json!({"name": "Eve", "token": token})).await;
    assert_eq!(host(&joined, 0), json!(false), "the token is for one room");
    assert_eq!(open(&server, "other").await.0, "409", "somebody is in");
}

#[tokio::test]
async fn a_host_mutes_locks_removes_and_ends() {
    let server = Server::start("").await;
    let (_, token) = open(&server, "a").await;
    let mut ann = server.socket("a").await;
    let joined = join(&mut ann, json!({"name": "Ann", "token": token})).await;
    let ann_id = joined["participant"].clone();
    let mut bob = server.socket("a").await;
    let session = "bob-has-a-key-of-his-own";
    let joined = join(&mut bob, json!({"name": "Bob", "session": session})).await;
    let bob_id = joined["participant"].clone();

    let moderate = |id: u32, act: &str, who: &Value| match who {
        Value::Null => json!({"id": id, "type": "moderate", "act": act}),
        who => json!({"id": id, "type": "moderate", "act": act, "who": who}),
    };
    ann.ask(moderate(2, "mute", &Value::Null)).await;
    let told = people(&mut bob, |told| told["people"][1]["silenced"] == true).await;
    assert_eq!(told["people"][1]["audio"], false);
    assert_eq!(told["people"][0]["silenced"], false, "hosts are spared");
    // He says that his microphone is on; it is not.
    bob.ask(json!({"id": 3, "type": "media", "audio": true, "video": false}))
        .await;
    let told = people(&mut bob, |told| told["people"][1]["video"] == false).await;
    assert_eq!(told["people"][1]["audio"], false);
    ann.ask(moderate(3, "unmute", &bob_id)).await;
    bob.ask(json!({"id": 4, "type": "media", "audio": true, "video": false}))
        .await;
    people(&mut bob, |told| told["people"][1]["audio"] == true).await;

    bob.ask(json!({"id": 5, "type": "hand", "raised": true}))
        .await;
    people(&mut ann, |told| told["people"][1]["hand"] == 1).await;
    ann.ask(moderate(4, "lower", &bob_id)).await;
    people(&mut ann, |told| told["people"][1]["hand"].is_null()).await;

    let room = |id: u32, size: u32| json!({"id": id, "type": "configure", "layout": "speaker", "stage_size": size});
    assert_eq!(bob.ask(room(6, 4)).await["code"], "not_host");
    assert_eq!(ann.ask(room(5, 50)).await["code"], "bad_value");
    assert_eq!(ann.ask(room(5, 4)).await["type"], "ack");
    let as_wished =
        |told: &Value| (&told["layout"], &told["stage_size"]) == (&json!("speaker"), &json!(4));
    people(&mut bob, as_wished).await;

    let volume =
        |who: &Value, gain: f64| json!({"id": 7, "type": "volume", "who": who, "gain": gain});
    assert_eq!(ann.ask(volume(&bob_id, 0.5)).await["type"], "ack");
    assert_eq!(ann.ask(volume(&bob_id, 2.5)).await["code"], "bad_value");
    let answer = ann.ask(volume(&json!("p999999"), 1.0)).await;
    assert_eq!(answer["code"], "not_there");

    ann.ask(moderate(5, "lock", &Value::Null)).await;
    people(&mut bob, |told| told["locked"] == true).await;
    let mut eve = server.socket("a").await;
    let answer = join(&mut eve, json!({"name": "Eve"})).await;
    assert_eq!(
        (&answer["code"], &answer["closes"]),
        (&json!("locked"), &json!(true))
    );

    let answer = ann.ask(moderate(6, "remove", &ann_id)).await;
    assert_eq!(answer["code"], "not_host", "a host cannot be removed");
    ann.ask(moderate(7, "remove", &bob_id)).await;
    assert_eq!(bob.next_of("bye").await["reason"], "removed");
    assert_eq!(bob.next().await, None);
    ann.ask(moderate(8, "unlock", &Value::Null)).await;
    let mut bob = server.socket("a").await;
    let answer = join(&mut bob, json!({"name": "Bob", "session": session})).await;
    assert_eq!(answer["code"], "removed");
    ann.ask(moderate(9, "end", &Value::Null)).await;
    assert_eq!(ann.next_of("bye").await["reason"], "ended");
    server.metric_becomes("quilt_rooms", 0.0).await;
}

#[tokio::test]
async fn a_session_comes_back_as_the_same_person() {
    let server = Server::start("").await;
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    let session = "the-key-of-this-very-window";
    let mut bob = server.socket("a").await;
    join(&mut bob, json!({"name": "Bob", "session": session})).await;
    bob.ask(json!({"id": 2, "type": "hand", "raised": true}))
        .await;
    // A second connection while the first is still there: no ghost beside it.
    let mut again = server.socket("a").await;
    let joined = join(&mut again, json!({"name": "Bob", "session": session})).await;
    assert_eq!(joined["people"].as_array().unwrap().len(), 2);
    assert_eq!(joined["people"][1]["hand"], 1, "the hand is still up");
    assert_eq!(bob.next_of("bye").await["reason"], "replaced");
    assert_eq!(bob.next().await, None);
    assert_eq!(server.metric("quilt_participants"), 2.0);
}

#[tokio::test]
async fn private_rooms_are_in_no_list() {
    let server = Server::start("").await;
    let (mut hidden, mut shown) = (server.socket("_tea").await, server.socket("tea").await);
    hidden.join("Ann").await;
    shown.join("Bob").await;
    let list = server.request("GET", "/api/rooms", None).await.1;
    assert!(list.contains("Bob") && !list.contains("Ann") && !list.contains("_tea"));
    let known = server.request("GET", "/api/rooms/_tea", None).await.1;
    assert!(known.contains("Ann"), "for those who know it: {known}");
}

#[tokio::test]
async fn newcomers_wait_until_a_host_lets_them_in() {
    let server = Server::start("").await;
    let (_, token) = open(&server, "a").await;
    let mut ann = server.socket("a").await;
    let host = json!({"name": "Ann", "token": token, "session": "ann-has-a-key-of-her-own"});
    join(&mut ann, host).await;
    let moderate = |id: u32, act: &str, who: &Value| match who {
        Value::Null => json!({"id": id, "type": "moderate", "act": act}),
        who => json!({"id": id, "type": "moderate", "act": act, "who": who}),
    };
    let hold = ann.ask(moderate(2, "hold", &Value::Null)).await;
    assert_eq!(hold["type"], "ack", "{hold}");
    people(&mut ann, |told| told["held"] == true).await;
    ann.ask(json!({"id": 3, "type": "chat", "text": "among us"}))
        .await;

    // He is told nothing, and can do nothing.
    let mut bob = server.socket("a").await;
    let session = "bob-has-a-key-of-his-own";
    let ask = json!({"name": "<b>Bob</b>", "session": session});
    let waits = join(&mut bob, ask.clone()).await;
    assert_eq!(waits, json!({"type": "ack", "id": 1, "waiting": true}));
    for command in [
        json!({"id": 2, "type": "offer", "sdp": "v=0"}),
        json!({"id": 2, "type": "chat", "text": "let me in"}),
        moderate(2, "admit", &Value::Null),
    ] {
        assert_eq!(bob.ask(command).await["code"], "not_joined");
    }
    assert_eq!(join(&mut bob, ask.clone()).await["waiting"], true, "still");
    let waiting = async |host: &mut Socket, count: usize| loop {
        let told = host.next_of("waiting").await;
        if told["waiting"].as_array().unwrap().len() == count {
            return told["waiting"].clone();
        }
    };
    let list = waiting(&mut ann, 1).await;
    assert_eq!(list[0]["name"], "<b>Bob</b>");
    let summary = server.request("GET", "/api/rooms/a", None).await.1;
    assert!(!summary.contains("Bob") && summary.contains("\"waiting\":true"));
    // Viewers wait, too; who goes away waits no more.
    let mut eve = server.socket("a").await;
    assert_eq!(join(&mut eve, json!({"view": true})).await["waiting"], true);
    assert_eq!(waiting(&mut ann, 2).await[1]["name"], "viewer");
    drop(eve);
    let list = waiting(&mut ann, 1).await;

    ann.ask(moderate(4, "admit", &list[0]["id"])).await;
    waiting(&mut ann, 0).await;
    assert_eq!(bob.next().await.unwrap(), json!({"type": "admitted"}));
    let joined = join(&mut bob, ask.clone()).await;
    assert_eq!(joined["people"].as_array().unwrap().len(), 2);
    assert_eq!(bob.next_of("chat").await["text"], "among us");
    // Who was in comes back without asking again.
    drop(bob);
    let mut bob = server.socket("a").await;
    assert!(join(&mut bob, ask).await["participant"].is_string());
    assert_eq!(
        bob.ask(moderate(5, "admit", &Value::Null)).await["code"],
        "not_host"
    );

    let mut eve = server.socket("a").await;
    let ask = json!({"name": "Eve", "session": "eve-has-a-key-of-her-own"});
    assert_eq!(join(&mut eve, ask.clone()).await["waiting"], true);
    let list = waiting(&mut ann, 1).await;
    ann.ask(moderate(6, "refuse", &list[0]["id"])).await;
    assert_eq!(
        eve.next().await.unwrap(),
        json!({"type": "bye", "reason": "refused"})
    );
    assert_eq!(eve.next().await, None);
    let mut eve = server.socket("a").await;
    assert_eq!(join(&mut eve, ask.clone()).await["code"], "not_admitted");
    // The door is opened: nobody waits any more, and nobody is turned away.
    let mut kim = server.socket("a").await;
    assert_eq!(
        join(&mut kim, json!({"name": "Kim"})).await["waiting"],
        true
    );
    ann.ask(moderate(7, "unhold", &Value::Null)).await;
    assert_eq!(kim.next().await.unwrap()["type"], "admitted");
    assert!(join(&mut kim, json!({"name": "Kim"})).await["participant"].is_string());
    let mut eve = server.socket("a").await;
    assert!(join(&mut eve, ask).await["participant"].is_string());
    server.metric_becomes("quilt_participants", 4.0).await;

    // With the last one the meeting is over for those who wait, too.
    ann.ask(moderate(8, "hold", &Value::Null)).await;
    let mut late = server.socket("a").await;
    assert_eq!(
        join(&mut late, json!({"name": "Late"})).await["waiting"],
        true
    );
    drop((ann, bob, kim, eve));
    assert_eq!(late.next().await.unwrap()["reason"], "ended");
    server.metric_becomes("quilt_rooms", 0.0).await;
}
