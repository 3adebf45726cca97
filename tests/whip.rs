//! WHIP and WHEP over plain HTTP: what each verb answers, and what becomes of it in the room.
//! Other people's clients are in `tests/clients`.

mod common;
mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::http::{Answer, ask};
use common::{PATIENCE, Server, Socket};
use quilt::media::{Kind, VideoCodec};
use quilt::peer::State;
use quilt::peer::client::{Client, ClientOptions};
use serde_json::{Value, json};
use support::Recorder;

const SDP: (&str, &str) = ("Content-Type", "application/sdp");
const FRAGMENT: (&str, &str) = ("Content-Type", "application/trickle-ice-sdpfrag");

/// A client of either protocol.
struct Visitor {
    client: Client,
    log: Arc<Recorder>,
    answer: Answer,
}

impl Visitor {
    /// Offers, and takes the answer.
    async fn come(server: &Server, path: &str, options: ClientOptions) -> Self {
        let log = Recorder::new();
        let (client, offer) = Client::offer(options, log.clone()).await.expect("an offer");
        let answer = ask(server.http, "POST", path, &[SDP], &offer).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        client.answer(answer.text()).await.expect("a good answer");
        log.state(State::Connected).await;
        Self {
            client,
            log,
            answer,
        }
    }

    fn session(&self) -> &str {
        self.answer.header("location")
    }
}

/// Sends, and wants nothing back.
fn sender() -> ClientOptions {
    ClientOptions {
        receive_video: vec![],
        receive_audio: false,
        ..Default::default()
    }
}

/// Receives one of these.
fn player(codecs: &[VideoCodec]) -> ClientOptions {
    ClientOptions {
        send_video: None,
        send_audio: false,
        receive_video: codecs.to_vec(),
        ..Default::default()
    }
}

async fn offer(options: ClientOptions) -> String {
    let (client, offer) = Client::offer(options, Recorder::new())
        .await
        .expect("an offer");
    client.close().await;
    offer
}

fn value<'a>(sdp: &'a str, name: &str) -> &'a str {
    let mut lines = sdp.lines();
    let value = lines.find_map(|line| {
        line.strip_prefix("a=")?
            .strip_prefix(name)?
            .strip_prefix(':')
    });
    value.unwrap_or_else(|| panic!("no {name} in {sdp}"))
}

/// What a client that restarts ICE says of its new offer.
fn restart(offer: &str) -> String {
    let (ufrag, password) = (value(offer, "ice-ufrag"), value(offer, "ice-pwd"));
    format!(
        "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
         a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\na=end-of-candidates\r\n"
    )
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

#[tokio::test]
async fn a_sender_is_a_participant_as_long_as_there_is_a_connection() {
    let server = Server::start("").await;
    let mut bob = server.socket("a").await;
    bob.join("Bob").await;
    let ann = Visitor::come(&server, "/whip/a?name=Ann%20Lee", sender()).await;
    let told = people(&mut bob, |told| {
        told["people"].as_array().unwrap().len() == 2
    })
    .await;
    let person = &told["people"][1];
    assert_eq!(person["name"], "Ann Lee");
    assert_eq!(person["id"], ann.answer.header("quilt-participant"));
    assert_eq!(
        (&person["audio"], &person["video"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(server.metric("quilt_participants"), 2.0);
    assert_eq!(server.metric("quilt_http_sessions{protocol=\"whip\"}"), 1.0);

    let answer = &ann.answer;
    assert_eq!(answer.header("content-type"), "application/sdp");
    assert_eq!(answer.header("accept-patch"), FRAGMENT.1);
    for (line, times) in [
        ("a=recvonly\r\n", 2),
        ("a=sendrecv\r\n", 0),
        ("a=sendonly\r\n", 0),
        ("a=rtcp-mux-only\r\n", 2),
    ] {
        assert_eq!(
            answer.text().matches(line).count(),
            times,
            "{line}{}",
            answer.text()
        );
    }

    // News of the network.
    let (session, tag) = (ann.session(), answer.header("etag"));
    let patch = async |tag: &str, body: &str| {
        let headers = [FRAGMENT, ("If-Match", tag)];
        ask(server.http, "PATCH", session, &headers, body).await
    };
    let candidate = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
                     a=candidate:1 1 udp 2122260223 10.0.0.1 61764 typ host\r\n\
                     a=candidate:2 1 sctp 1 10.0.0.1 9 typ host\r\na=end-of-candidates\r\n";
    let taken = patch(tag, candidate).await;
    assert_eq!(
        (taken.status, taken.all("etag").count()),
        (204, 0),
        "{taken:?}"
    );

    // Another network: the connection goes on over the new path.
    let offer = ann.client.restart().await.expect("an offer");
    let restarted = patch("*", &restart(&offer)).await;
    assert_eq!(restarted.status, 200, "{restarted:?}");
    assert_eq!(restarted.header("content-type"), FRAGMENT.1);
    assert!(restarted.text().contains("a=candidate:"), "{restarted:?}");
    let mut next = answer.text().to_owned();
    for name in ["ice-ufrag", "ice-pwd"] {
        let (old, new) = (value(answer.text(), name), value(restarted.text(), name));
        assert_ne!(old, new);
        next = next.replace(old, new);
    }
    ann.client.answer(&next).await.expect("a good answer");
    // Until the new path is there, packets are lost: so send until they come.
    let sending = async {
        for tick in 0.. {
            let payload = Bytes::from_static(&[0xf8, 0xff, 0xfe]);
            ann.client
                .send(Kind::Audio, payload, tick * 960, false, None);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = sending => unreachable!("it sends for ever"),
        () = server.metric_becomes("quilt_decoders{kind=\"audio\"}", 1.0) => {}
    }
    let new_tag = restarted.header("etag");
    assert_ne!(new_tag, tag);
    patch(tag, candidate).await.refused(412);
    assert_eq!(patch(new_tag, candidate).await.status, 204);

    // The end.
    let ended = ask(server.http, "DELETE", session, &[], "").await;
    assert_eq!(ended.status, 200);
    people(&mut bob, |told| {
        told["people"].as_array().unwrap().len() == 1
    })
    .await;
    ask(server.http, "DELETE", session, &[], "")
        .await
        .refused(404);
    patch(new_tag, candidate).await.refused(404);
    assert_eq!(server.metric("quilt_http_sessions{protocol=\"whip\"}"), 0.0);
    server.stop().await;
}

#[tokio::test]
async fn who_loses_the_connection_or_is_removed_is_not_found_any_more() {
    let server = Server::start("").await;
    let opened = ask(server.http, "POST", "/api/rooms/a/host", &[], "").await;
    let opened: Value = opened.json();
    let mut bob = server.socket("a").await;
    let join = json!({"id": 1, "type": "join", "name": "Bob", "token": opened["token"]});
    assert_eq!(bob.ask(join).await["type"], "ack");
    let ann = Visitor::come(&server, "/whip/a?name=Ann", sender()).await;
    let cat = Visitor::come(&server, "/whip/a?name=Cat", sender()).await;
    let look = async |session: &str| ask(server.http, "GET", session, &[], "").await.status;
    assert_eq!(look(ann.session()).await, 204);
    // What is a secret in one room and protocol is nothing in another.
    let key = ann.session().rsplit('/').next().unwrap();
    for other in ["/whip/b/", "/whep/a/"] {
        assert_eq!(look(&format!("{other}{key}")).await, 404);
    }

    let id = ann.answer.header("quilt-participant");
    let removed = json!({"id": 2, "type": "moderate", "act": "remove", "who": id});
    assert_eq!(bob.ask(removed).await["type"], "ack");
    server.metric_becomes("quilt_participants", 2.0).await;
    // It is told to its session at the same time as to everybody.
    server
        .metric_becomes("quilt_http_sessions{protocol=\"whip\"}", 1.0)
        .await;
    assert_eq!(look(ann.session()).await, 404);

    // Programs try again by themselves.
    let again = offer(sender()).await;
    let again = ask(server.http, "POST", "/whip/a?name=Ann", &[SDP], &again).await;
    again.refused(403);

    cat.client.close().await;
    server
        .metric_becomes("quilt_http_sessions{protocol=\"whip\"}", 0.0)
        .await;
    assert_eq!(look(cat.session()).await, 404);

    let lock = json!({"id": 3, "type": "moderate", "act": "lock"});
    assert_eq!(bob.ask(lock).await["type"], "ack");
    let offer = offer(sender()).await;
    let locked = ask(server.http, "POST", "/whip/a?name=Dan", &[SDP], &offer).await;
    locked.refused(403);
    drop(bob);
    server.metric_becomes("quilt_rooms", 0.0).await;
    server.stop().await;
}

#[tokio::test]
async fn players_share_the_picture_that_everybody_gets() {
    let server = Server::start("").await;
    // A television may be on before the meeting.
    let h264 = player(&[VideoCodec::Vp8, VideoCodec::H264]);
    let first = Visitor::come(&server, "/whep/a", h264.clone()).await;
    let answer = &first.answer;
    assert_eq!(
        answer.text().matches("a=sendonly\r\n").count(),
        2,
        "{answer:?}"
    );
    let seen = |log: &support::Log| !log.video.is_empty() && !log.audio.is_empty();
    first.log.until("picture and sound", seen).await;
    // That takes nobody's place.
    let opened = ask(server.http, "POST", "/api/rooms/a/host", &[], "").await;
    assert_eq!(opened.status, 201, "{opened:?}");

    let mut bob = server.socket("a").await;
    bob.join("Bob").await;
    let second = Visitor::come(&server, "/whep/a", h264).await;
    second.log.until("picture and sound", seen).await;
    assert!(
        second
            .log
            .log()
            .tracks
            .contains(&(Kind::Video, Some(VideoCodec::H264)))
    );
    let told = people(&mut bob, |told| told["viewers"] == 2).await;
    assert_eq!(told["people"].as_array().unwrap().len(), 1);
    assert_eq!(server.metric("quilt_participants"), 1.0);
    assert_eq!(server.metric("quilt_listeners"), 2.0);
    let video = "quilt_encoders{kind=\"video\"}";
    server.metric_becomes(video, 1.0).await;
    assert_eq!(server.metric("quilt_encoders{kind=\"audio\"}"), 1.0);

    let third = Visitor::come(&server, "/whep/a", player(&[VideoCodec::Vp8])).await;
    third.log.until("picture and sound", seen).await;
    assert!(
        third
            .log
            .log()
            .tracks
            .contains(&(Kind::Video, Some(VideoCodec::Vp8)))
    );
    server.metric_becomes(video, 2.0).await;

    // Without Ann, who sends a voice.
    let ann = Visitor::come(&server, "/whip/a?name=Ann", sender()).await;
    let id = ann.answer.header("quilt-participant");
    let path = format!("/whep/a?without={id}");
    let fourth = Visitor::come(&server, &path, player(&[VideoCodec::H264])).await;
    fourth.log.until("picture and sound", seen).await;
    server.metric_becomes(video, 3.0).await;
    let ended = ask(server.http, "DELETE", ann.session(), &[], "").await;
    assert_eq!(ended.status, 200);
    // Nobody is left out any more.
    server.metric_becomes(video, 2.0).await;
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_with_a_reason() {
    let server = Server::start("").await;
    let (up, down) = (
        offer(sender()).await,
        offer(player(&[VideoCodec::Vp8])).await,
    );
    let long = "x".repeat(1_000_000);
    let json = ("Content-Type", "application/json");
    let refused = async |verb: &str, path: &str, headers: &[(&str, &str)], body: &str, status| {
        let answer = ask(server.http, verb, path, headers, body).await;
        let cut = &body[..body.len().min(60)];
        assert_eq!(
            answer.status, status,
            "{path} {headers:?} {cut}: {answer:?}"
        );
        answer.refused(status);
        if status == 415 {
            let (accept, wanted) = match verb {
                "POST" => ("accept-post", SDP.1),
                _ => ("accept-patch", FRAGMENT.1),
            };
            assert_eq!(answer.header(accept), wanted);
        }
    };
    let post = async |path: &str, headers: &[(&str, &str)], body: &str, status| {
        refused("POST", path, headers, body, status).await;
    };
    post("/whip/b%20d?name=A", &[SDP], &up, 400).await;
    post("/whip/a", &[SDP], &up, 400).await;
    post("/whip/a?name=", &[SDP], &up, 400).await;
    post("/whip/a?name=A&nam=B", &[SDP], &up, 400).await;
    post("/whip/a?name=A&session=short", &[SDP], &up, 400).await;
    let whip = "/whip/a?name=A";
    post(whip, &[], &up, 415).await;
    post(whip, &[json], &up, 415).await;
    post(whip, &[SDP], "", 400).await;
    post(whip, &[SDP], "hello", 400).await;
    post(whip, &[SDP], &long, 413).await;
    post(whip, &[SDP], &down, 422).await;
    for (good, bad, status) in [
        ("opus", "speex", 422),
        ("a=sendonly", "a=inactive", 422),
        ("a=group:BUNDLE", "a=group:LS", 422),
        ("a=ice-pwd", "a=ice-pw", 400),
    ] {
        post(whip, &[SDP], &up.replace(good, bad), status).await;
    }
    post("/whep/a", &[SDP], &up, 422).await;
    post("/whep/a?name=A", &[SDP], &down, 400).await;
    post("/whep/a?without=nobody", &[SDP], &down, 400).await;
    post("/whep/a?without=p99", &[SDP], &down, 404).await;
    assert_eq!(server.metric("quilt_rooms"), 0.0, "nobody came in");

    for path in ["/whip/a", "/whep/a"] {
        for verb in ["GET", "HEAD"] {
            let look = ask(server.http, verb, path, &[], "").await;
            assert_eq!((look.status, look.text()), (200, ""));
            assert_eq!(look.header("content-type"), SDP.1);
        }
        let options = ask(server.http, "OPTIONS", path, &[], "").await;
        assert_eq!(
            (options.status, options.header("accept-post")),
            (200, SDP.1)
        );
        let put = ask(server.http, "PUT", path, &[SDP], &up).await;
        assert_eq!(put.status, 405);
    }

    let ann = Visitor::come(&server, "/whip/a?name=Ann", sender()).await;
    let (session, tag) = (ann.session(), ann.answer.header("etag"));
    let options = ask(server.http, "OPTIONS", session, &[], "").await;
    assert_eq!(
        (options.status, options.header("accept-patch")),
        (200, FRAGMENT.1)
    );
    let (any, current) = (("If-Match", "*"), ("If-Match", tag));
    let half = "a=ice-ufrag:wxyz\r\n";
    let patch = async |path: &str, headers: &[(&str, &str)], body: &str, status| {
        refused("PATCH", path, headers, body, status).await;
    };
    patch(session, &[FRAGMENT], half, 428).await;
    patch(session, &[any], half, 415).await;
    patch(session, &[SDP, any], &up, 415).await;
    patch(session, &[FRAGMENT, current], "hello", 400).await;
    patch(session, &[FRAGMENT, current], "", 400).await;
    patch(session, &[FRAGMENT, current], "a=candidate:1 1 udp", 400).await;
    patch(session, &[FRAGMENT, any], half, 400).await;
    let quoted = "a=ice-ufrag:\"x\"\r\na=ice-pwd:y\r\n";
    patch(session, &[FRAGMENT, any], quoted, 400).await;
    patch(session, &[FRAGMENT, any], &long, 413).await;
    patch(session, &[FRAGMENT, ("If-Match", "\"other\"")], half, 412).await;
    patch("/whip/a/0123456789abcdef", &[FRAGMENT, any], half, 404).await;
    patch("/whip/a/x", &[FRAGMENT, any], half, 404).await;
    patch("/whip/b%20d/x", &[FRAGMENT, any], half, 400).await;
    let mut last = 0;
    for _ in 0..100 {
        let headers = [FRAGMENT, current];
        let patched = ask(
            server.http,
            "PATCH",
            session,
            &headers,
            "a=end-of-candidates",
        )
        .await;
        last = patched.status;
        if last == 429 {
            assert_eq!(patched.header("retry-after"), "1");
            break;
        }
    }
    assert_eq!(last, 429, "news cannot come as fast as they like");
    assert_eq!(
        server.metric("quilt_participants"),
        1.0,
        "it is still there"
    );
    server.stop().await;
}

#[tokio::test]
async fn with_a_key_tokens_are_needed_and_other_sites_may() {
    let key = "0123456789abcdef";
    let servers = "ice-server = [\"stun:stun.example.net\", \"turn:turn.example.net,ann,s3cret\"]";
    let server = Server::start(&format!("api-key = \"{key}\"\n{servers}")).await;
    let token = async |role: &str| {
        let bearer = format!("Bearer {key}");
        let json = ("Content-Type", "application/json");
        let headers = [("Authorization", bearer.as_str()), json];
        let body = json!({ "role": role }).to_string();
        let made = ask(server.http, "POST", "/api/rooms/a/tokens", &headers, &body).await;
        let made: Value = made.json();
        format!("Bearer {}", made["token"].as_str().expect("a token"))
    };
    let (viewer, member) = (token("viewer").await, token("member").await);
    let elsewhere = ("Origin", "https://elsewhere.example");
    let (up, down) = (
        offer(sender()).await,
        offer(player(&[VideoCodec::Vp8])).await,
    );
    let open = async |path: &str, offer: &str, token: Option<&str>| {
        let mut headers = vec![SDP, elsewhere];
        headers.extend(token.map(|token| ("Authorization", token)));
        ask(server.http, "POST", path, &headers, offer).await
    };
    let (whip, whep) = ("/whip/a?name=Ann", "/whep/a");
    for (path, offer, token, status) in [
        (whip, &up, None, 401),
        (whip, &up, Some("Bearer nonsense"), 401),
        (whip, &up, Some(viewer.as_str()), 403),
        ("/whip/b?name=Ann", &up, Some(member.as_str()), 403),
        (whep, &down, None, 401),
    ] {
        let answer = open(path, offer, token).await;
        answer.refused(status);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        if status == 401 {
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    let sends = open(whip, &up, Some(member.as_str())).await;
    let watches = open(whep, &down, Some(viewer.as_str())).await;
    for (answer, token, weak) in [
        (&sends, &member, Some(viewer.as_str())),
        (&watches, &viewer, None),
    ] {
        assert_eq!(answer.status, 201, "{answer:?}");
        let exposed = answer.header("access-control-expose-headers");
        assert!(exposed.contains("location") && exposed.contains("etag"));
        let links: Vec<_> = answer.all("link").collect();
        assert_eq!(links[0], "<stun:stun.example.net>; rel=\"ice-server\"");
        assert!(
            links[1].contains("username=\"ann\"; credential=\"s3cret\""),
            "{links:?}"
        );
        // The session wants it, too, whoever knows its address.
        let session = answer.header("location");
        ask(server.http, "DELETE", session, &[], "")
            .await
            .refused(401);
        if let Some(weak) = weak {
            let headers = [("Authorization", weak)];
            ask(server.http, "DELETE", session, &headers, "")
                .await
                .refused(403);
        }
        let headers = [("Authorization", token.as_str())];
        let ended = ask(server.http, "DELETE", session, &headers, "").await;
        assert_eq!(ended.status, 200);
    }
    let preflight = [elsewhere, ("Access-Control-Request-Method", "POST")];
    let allowed = ask(server.http, "OPTIONS", whip, &preflight, "").await;
    assert_eq!((allowed.status, allowed.all("link").count()), (200, 0));
    assert_eq!(allowed.header("access-control-allow-origin"), "*");
    let may = allowed.header("access-control-allow-headers");
    assert!(may.contains("authorization") && may.contains("if-match"));
    server.stop().await;
}

#[tokio::test]
async fn without_a_key_other_sites_may_not() {
    let server = Server::start("").await;
    let elsewhere = ("Origin", "https://elsewhere.example");
    let ours = server.url();
    let down = offer(player(&[VideoCodec::Vp8])).await;
    let refused = ask(server.http, "POST", "/whep/a", &[SDP, elsewhere], &down).await;
    refused.refused(403);
    let preflight = ask(server.http, "OPTIONS", "/whep/a", &[elsewhere], "").await;
    assert_eq!(preflight.all("access-control-allow-origin").count(), 0);
    let own = ask(
        server.http,
        "POST",
        "/whep/a",
        &[SDP, ("Origin", ours.as_str())],
        &down,
    )
    .await;
    assert_eq!(own.status, 201);

    // Who is in may stay when the server drains; nobody else comes.
    let server = Server::start("drain-timeout = 60").await;
    let ann = Visitor::come(&server, "/whip/a?name=Ann", sender()).await;
    server.signal().await;
    let draining = async {
        loop {
            let answer = ask(server.http, "POST", "/whep/a", &[SDP], &down).await;
            if answer.status != 201 {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, draining)
        .await
        .expect("in time");
    answer.refused(503);
    assert_eq!(answer.header("retry-after"), "60");
    let look = ask(server.http, "GET", ann.session(), &[], "").await;
    assert_eq!(look.status, 204);
    server.signal().await;
    server.ended().await;
}
