//! What listens to a room and is nobody in it: it gets what the audience would, costs one encoder
//! however many there are, keeps no room open, and one that is slow ends alone.

mod common;

use std::time::Duration;

use common::{PATIENCE, Server};
use quilt::clock::MediaTime;
use quilt::id::RoomName;
use quilt::media::{Layout, Tier, VideoCodec};
use quilt::room::output::{Ended, Error, Item, Output, Wish};
use serde_json::json;

const WISH: Wish = Wish {
    video: Some(VideoCodec::H264),
    tier: Tier::High,
    audio: true,
    layout: None,
    portrait: false,
    patience: Duration::from_secs(10),
    sign: false,
};

fn room() -> RoomName {
    RoomName::new("a").expect("a name")
}

async fn tap(server: &Server, wish: Wish) -> Output {
    let output = server.rooms.output(&room(), wish).await;
    output.expect("there is somebody")
}

async fn next(output: &mut Output) -> Result<Item, Ended> {
    let item = tokio::time::timeout(PATIENCE, output.next()).await;
    item.expect("in time")
}

/// A packet every 20 ms: none is missing but where the mix itself was kept from working for longer than
/// a jitter buffer bridges, which it counts.
fn assert_gapless(server: &Server, sounds: &[MediaTime]) {
    let uneven = |pair: &&[MediaTime]| pair[1].since(pair[0]) != Duration::from_millis(20);
    let holes = sounds.windows(2).filter(uneven).count();
    let skipped = server.dropped("audio_ticks") as usize;
    assert!(
        holes <= skipped,
        "{skipped} ticks were left out: {sounds:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_share_an_encoder_and_end_with_the_room() {
    let server = Server::start("").await;
    let nobody = server.rooms.output(&room(), WISH).await;
    assert_eq!(nobody.err(), Some(Error::NotOpen));
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    let mut first = tap(&server, WISH).await;
    let mut second = tap(&server, WISH).await;
    let wish = Wish {
        video: None,
        ..WISH
    };
    let mut third = tap(&server, wish).await;

    // Whenever it began, it can be played from its first picture on, and sought in.
    let (mut keyframes, mut pictures, mut sounds): (Vec<MediaTime>, _, Vec<MediaTime>) =
        (vec![], 0, vec![]);
    while keyframes.len() < 3 {
        match next(&mut first).await.expect("it goes on") {
            Item::Picture(picture) => {
                assert!(picture.keyframe || pictures > 0, "it begins in between");
                pictures += 1;
                if picture.keyframe {
                    keyframes.push(picture.at);
                }
            }
            Item::Audio(audio) => sounds.push(audio.at),
        }
    }
    for pair in keyframes.windows(2).skip(1) {
        let apart = pair[1].since(pair[0]);
        assert!(apart <= Duration::from_millis(2_200), "{apart:?}");
    }
    assert!(sounds.len() > 20);
    assert_gapless(&server, &sounds);
    assert!(matches!(next(&mut third).await, Ok(Item::Audio(_))));
    assert_eq!(server.metric("quilt_encoders{kind=\"video\"}"), 1.0);
    assert_eq!(server.metric("quilt_encoders{kind=\"audio\"}"), 1.0);
    assert_eq!(server.metric("quilt_listeners"), 3.0);
    assert_eq!(server.metric("quilt_participants"), 1.0);
    let summary = second.summary().borrow().clone();
    assert_eq!((summary.participants, summary.viewers), (1, 0));

    // Another layout is another picture, as long as somebody looks at it.
    let wish = Wish {
        layout: Some(Layout::Solo),
        ..WISH
    };
    let other = tap(&server, wish).await;
    server
        .metric_becomes("quilt_encoders{kind=\"video\"}", 2.0)
        .await;
    drop(other);
    server
        .metric_becomes("quilt_encoders{kind=\"video\"}", 1.0)
        .await;

    ann.ask(json!({"id": 2, "type": "leave"})).await;
    for output in [&mut first, &mut second, &mut third] {
        let ended = loop {
            if let Err(ended) = next(output).await {
                break ended;
            }
        };
        assert_eq!(ended, Ended::RoomClosed);
    }
    server.metric_becomes("quilt_rooms", 0.0).await;
    server.metric_becomes("quilt_listeners", 0.0).await;
    for kind in ["video", "audio"] {
        let encoders = format!("quilt_encoders{{kind=\"{kind}\"}}");
        server.metric_becomes(&encoders, 0.0).await;
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_does_not_keep_up_ends_alone_and_says_why() {
    let server = Server::start("").await;
    let mut ann = server.socket("a").await;
    ann.join("Ann").await;
    let wish = Wish {
        patience: Duration::from_millis(200),
        ..WISH
    };
    let mut slow = tap(&server, wish).await;
    let mut quick = tap(&server, WISH).await;
    let mut sounds = vec![];
    while sounds.len() < 100 {
        if let Item::Audio(audio) = next(&mut quick).await.expect("it goes on") {
            sounds.push(audio.at);
        }
    }
    assert_gapless(&server, &sounds);
    let mut got = 0;
    let ended = loop {
        match next(&mut slow).await {
            Ok(_) => got += 1,
            Err(ended) => break ended,
        }
    };
    assert_eq!(ended, Ended::TooSlow);
    assert!((1..=15).contains(&got), "{got} of the first 200 ms");
    drop(slow);
    server.metric_becomes("quilt_listeners", 1.0).await;

    // A server that stops says so.
    server.signal().await;
    let ended = loop {
        if let Err(ended) = next(&mut quick).await {
            break ended;
        }
    };
    assert_eq!(ended, Ended::Stopping);
    server.ended().await;
}
