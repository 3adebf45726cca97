//! The load generator against a real server: what is sent comes back mixed, in the right tiles,
//! and the synthetic people of the demonstration are in their room.

mod common;

use clap::Parser;
use common::{Server, watch};
use quilt::id::RoomName;
use quilt::load::{self, Options, demo, report::Role, ws::Session};
use quilt::signalling::Message;

/// On a busy machine, `auto` would be common.
const PERSONAL: &str = "mix = \"personal\"";

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_the_others_and_only_them() {
    let server = Server::start(PERSONAL).await;
    let url = server.url();
    let line = format!("load --url {url} --publishers 3 --viewers 1 --seconds 3");
    let options = Line::parse_from(line.split(' ')).options;
    let report = load::run(options).await.expect("a report");
    println!("{report}");
    assert_eq!(report.clients.len(), 4);
    for client in &report.clients {
        assert_eq!(client.error, None);
        let sample = client.sample.as_ref().expect("all four decode");
        assert_eq!(sample.strange_marks, 0);
        let seen: Vec<_> = sample.tiles.iter().map(|tile| &tile.source).collect();
        let expected = match client.role {
            Role::Publisher => 2,
            Role::Viewer => 3,
        };
        assert_eq!(seen.len(), expected, "{} sees {seen:?}", client.name);
        assert!(!seen.contains(&&client.name));
        for tile in &sample.tiles {
            assert!(
                tile.marks_per_second > 0.0,
                "{} of {}",
                tile.source,
                client.name
            );
        }
        assert!(
            sample.audio_latency_ms.is_some(),
            "{} hears nobody",
            client.name
        );
        assert!(sample.skew_ms.is_some());
    }
    // Three personal mixes and the common one.
    assert_eq!(report.server.video_encoders, 4.0);
    assert!(report.server.ticks > 0.0 && report.server.cpu_seconds > 0.0);
    assert!(report.server.video_latency_p95_ms.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demonstrations_people_are_in_their_room() {
    let server = Server::start(PERSONAL).await;
    let url = server.url();
    let room = RoomName::new("demo").expect("a name");
    let (session, mut notices) = Session::connect(&url, &room).await.expect("a socket");
    session.request(watch()).await.expect("to watch is allowed");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async {
        stopped.await.ok();
    };
    let at = url.clone();
    let people = tokio::spawn(async move { demo::synthetic(&at, room, 4, stopped).await });
    let mut names: Vec<String> = vec![];
    while names.len() < 4 {
        let notice = notices.recv().await.expect("they come while we watch");
        if let Message::People { people, .. } = notice {
            names = people
                .iter()
                .map(|person| person.name.to_string())
                .collect();
        }
    }
    names.sort();
    assert_eq!(names, ["Ada", "Alan", "Edsger", "Grace"]);
    stop.send(()).expect("they are still there");
    people.await.expect("no panic").expect("no error");
}
