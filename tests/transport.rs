//! The transport between a real engine and real clients, over loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quilt::clock::{self, MediaTime};
use quilt::fanout::{Fanout, ListenerId};
use quilt::media::{
    AUDIO_CLOCK, AudioLevel, EncodedAudio, EncodedPicture, Kind, VIDEO_CLOCK, VideoCodec,
};
use quilt::peer::client::ClientOptions;
use quilt::peer::{Options, State};
use support::{Log, Pair, close, contiguous, engine, freed, join, join_edited, vp8, without};

fn picture(codec: VideoCodec, at: MediaTime, keyframe: bool, payloads: u8) -> Arc<EncodedPicture> {
    Arc::new(EncodedPicture {
        codec,
        at,
        keyframe,
        payloads: (0..payloads).map(|n| Bytes::from(vec![n; 900])).collect(),
        arrivals: vec![at],
        layout: 1,
    })
}

async fn media_both_ways(codec: VideoCodec) {
    let (engine, stats) = engine().await;
    let wishes = ClientOptions {
        send_video: Some(codec),
        ..Default::default()
    };
    let options = Options {
        prefer: Some(codec),
        ..Default::default()
    };
    let pair = join(&engine, wishes, options).await.connected().await;
    assert_eq!(pair.peer.downlink_codec(), Some(codec));
    assert_eq!(pair.client.video_codec(), Some(codec));

    // Up.
    let level = AudioLevel {
        level: 33,
        voice: true,
    };
    for n in 0..20u32 {
        let payloads = [
            Bytes::from(vec![n as u8; 1000]),
            Bytes::from(vec![n as u8; 10]),
        ];
        pair.client
            .send_all(Kind::Video, payloads, n * 3600, true, None);
        let payload = Bytes::from(vec![n as u8; 60]);
        pair.client
            .send(Kind::Audio, payload, n * 960, n == 0, Some(level));
    }
    let log = pair
        .peer_log
        .until("all packets", |log| {
            log.video.len() == 40 && log.audio.len() == 20
        })
        .await;
    assert!(
        log.tracks.contains(&(Kind::Video, Some(codec))),
        "{:?}",
        log.tracks
    );
    assert!(log.tracks.contains(&(Kind::Audio, None)));
    contiguous(&log);
    for (n, packet) in log.video.iter().enumerate() {
        assert_eq!(packet.payload.len(), if n % 2 == 0 { 1000 } else { 10 });
        assert_eq!(packet.payload[0] as usize, n / 2);
        assert_eq!(packet.marker, n % 2 == 1);
        let ticks = packet.timestamp.wrapping_sub(log.video[0].timestamp);
        assert_eq!(ticks, n as u32 / 2 * 3600);
        assert!(clock::now().since(packet.arrived) < Duration::from_secs(20));
    }
    assert!(log.audio.iter().all(|packet| packet.level == Some(level)));
    // A track's start asks for a keyframe.
    pair.client_log
        .until("a keyframe request", |log| log.keyframe_requests >= 1)
        .await;

    // Down.
    let (pictures, sounds) = (Fanout::default(), Fanout::default());
    let (video, audio) = pair.peer.play();
    pictures.attach(ListenerId(1), video);
    sounds.attach(ListenerId(1), audio);
    let start = clock::now();
    for n in 0..10 {
        let at = start.plus(Duration::from_millis(40 * n));
        pictures.send(&picture(codec, at, n == 0, 3));
        sounds.send(&Arc::new(EncodedAudio {
            at,
            payload: Bytes::from(vec![n as u8; 50]),
        }));
    }
    let log = pair
        .client_log
        .until("all packets", |log| {
            log.video.len() == 30 && log.audio.len() == 10
        })
        .await;
    contiguous(&log);
    for (n, packet) in log.video.iter().enumerate() {
        let at = start.plus(Duration::from_millis(40 * (n as u64 / 3)));
        assert_eq!(packet.timestamp, pair.peer.video_rtp_time(at));
        assert_eq!(packet.marker, n % 3 == 2);
    }
    let text = stats.render();
    assert!(
        text.contains("quilt_video_latency_seconds_count 10"),
        "{text}"
    );

    // Sender reports of both kinds lie on the media time line: what they say about one moment
    // is what the packets say.
    let log = pair
        .client_log
        .until("reports of both kinds", |log| {
            [Kind::Audio, Kind::Video]
                .iter()
                .all(|kind| log.reports.iter().any(|(k, ..)| k == kind))
        })
        .await;
    for (kind, ntp, rtp) in log.reports {
        let (clock, packet) = match kind {
            Kind::Audio => (AUDIO_CLOCK, &log.audio[0]),
            Kind::Video => (VIDEO_CLOCK, &log.video[0]),
        };
        let by_clock = (ntp.nanos() - start.ntp().nanos()) * i128::from(clock) / 1_000_000_000;
        let by_rtp = i128::from(rtp.wrapping_sub(packet.timestamp) as i32);
        assert!(
            (by_clock - by_rtp).abs() <= 2,
            "{kind:?}: {by_clock} and {by_rtp}"
        );
    }

    pair.client.request_keyframe();
    pair.peer_log
        .until("a keyframe request", |log| log.keyframe_requests >= 1)
        .await;
    close(pair).await;
    freed(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_both_ways() {
    media_both_ways(VideoCodec::H264).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vp8_both_ways() {
    media_both_ways(VideoCodec::Vp8).await;
}

/// Plays `count` pictures of VP8 from a fan-out of its own.
fn play(pair: &Pair, count: u64, from: MediaTime) {
    let pictures = Fanout::default();
    pictures.attach(ListenerId(1), pair.peer.play().0);
    for n in 0..count {
        let at = from.plus(Duration::from_millis(40 * n));
        pictures.send(&picture(VideoCodec::Vp8, at, n == 0, 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_go_on_across_a_change_of_mix() {
    let (engine, _) = engine().await;
    let pair = join(&engine, ClientOptions::default(), vp8())
        .await
        .connected()
        .await;
    let start = clock::now();
    for mix in 0..4 {
        play(&pair, 5, start.plus(Duration::from_millis(200 * mix)));
        let wanted = (mix as usize + 1) * 10;
        pair.client_log
            .until("the mix", move |log| log.video.len() == wanted)
            .await;
    }
    let log = pair.client_log.log();
    contiguous(&log);
    let ticks = log.video[39].timestamp.wrapping_sub(log.video[0].timestamp);
    assert_eq!(ticks, 19 * 3600);
    assert_eq!(
        log.tracks.len(),
        1,
        "one and the same track: {:?}",
        log.tracks
    );
    close(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ice_restarts_on_the_shared_port() {
    let (engine, _) = engine().await;
    let pair = join(&engine, ClientOptions::default(), vp8())
        .await
        .connected()
        .await;
    for round in 1..=3 {
        let offer = pair.client.restart().await.unwrap();
        let answer = pair.peer.renegotiate(&offer).await.unwrap();
        let port = format!(" {} typ host", engine.local_addr().port());
        assert!(answer.contains(&port), "{answer}");
        pair.client.answer(&answer).await.unwrap();
        // Until the new path is there, packets are lost: so send until they come.
        let (before, wanted) = (pair.peer_log.log().video.len(), 5 * round);
        let sending = async {
            loop {
                let payload = Bytes::from_static(&[0x10, 0]);
                pair.client.send(Kind::Video, payload, 0, true, None);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            () = sending => unreachable!("it sends for ever"),
            _ = pair.peer_log.until("packets after the restart", move |log| {
                log.video.len() >= before + wanted
            }) => {}
        }
    }
    assert!(!pair.peer_log.log().states.contains(&State::Closed));
    assert_eq!(engine.load().0, 1);
    close(pair).await;
    freed(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_serves_those_without_udp() {
    let (engine, _) = engine().await;
    let wishes = ClientOptions {
        tcp: true,
        ..Default::default()
    };
    let pair = join(&engine, wishes, vp8()).await.connected().await;
    for n in 0..20 {
        let payload = Bytes::from(vec![n; 1100]);
        pair.client.send(Kind::Video, payload, 0, true, None);
    }
    let log = pair
        .peer_log
        .until("packets", |log| log.video.len() == 20)
        .await;
    contiguous(&log);
    play(&pair, 10, clock::now());
    let log = pair
        .client_log
        .until("pictures", |log| log.video.len() == 20)
        .await;
    contiguous(&log);
    close(pair).await;
    freed(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_do_not_hinder_joins() {
    let (engine, _) = engine().await;
    let address = engine.local_addr();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let sprayer = tokio::task::spawn_blocking(move || {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        // A ClientHello, RTP, RTCP, a check for nobody, and garbage.
        let hello = support::client_hello([9; 32]);
        let mut check = vec![0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42];
        check.extend([7; 12]);
        check.extend([0, 6, 0, 4, b'x', b':', b'y', b'z']);
        let datagrams = [
            hello,
            vec![0x80; 200],
            vec![0x80, 200, 0, 6],
            check,
            vec![3; 50],
        ];
        let mut answers = 0;
        while stopped.try_recv() == Err(tokio::sync::oneshot::error::TryRecvError::Empty) {
            for datagram in &datagrams {
                // A full buffer is as good as a lost datagram.
                let _ = socket.send_to(datagram, address);
            }
            answers += usize::from(socket.recv(&mut [0; 2000]).is_ok());
            std::thread::sleep(Duration::from_micros(500));
        }
        answers
    });
    for _ in 0..8 {
        let pair = join(&engine, ClientOptions::default(), vp8())
            .await
            .connected()
            .await;
        play(&pair, 5, clock::now());
        pair.client_log
            .until("pictures", |log| log.video.len() == 10)
            .await;
        close(pair).await;
    }
    stop.send(()).unwrap();
    assert_eq!(sprayer.await.unwrap(), 0, "a stranger is not answered");
    freed(&engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_does_not_introduce_itself_is_hung_up_on() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (engine, _) = engine().await;
    for greeting in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0, 3, 22, 254, 253],
        &[0, 0],
    ] {
        let mut stream = tokio::net::TcpStream::connect(engine.local_addr())
            .await
            .unwrap();
        stream.write_all(greeting).await.unwrap();
        let end = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut [0; 10])).await;
        assert!(matches!(end, Ok(Ok(0) | Err(_))), "{greeting:?}: {end:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_are_sent_again() {
    lossy(|offer| offer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_packets_are_sent_again_where_sources_are_not_declared() {
    lossy(|offer| without(&offer, |line| line.starts_with("a=ssrc"))).await;
}

async fn lossy(edit: impl Fn(String) -> String) {
    use std::sync::atomic::Ordering;
    let (engine, _) = engine().await;
    let path = support::LossyPath::to(engine.local_addr()).await;
    let there = |answer: &str| support::through(answer, path.port);
    let joined = join_edited(&engine, ClientOptions::default(), vp8(), edit, there).await;
    let pair = joined.0.connected().await;
    path.every.store(10, Ordering::Relaxed);
    let complete = |count: usize| {
        move |log: &Log| {
            let mut seen: Vec<u16> = log.video.iter().map(|packet| packet.sequence).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), log.video.len(), "a packet came twice");
            seen.len() >= count
        }
    };
    // Up. The last ones are repeated until they come: nobody misses what nothing follows.
    for n in 0..100u32 {
        pair.client.send(
            Kind::Video,
            Bytes::from(vec![n as u8; 500]),
            n * 3600,
            true,
            None,
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    pair.peer_log.until("most packets", complete(99)).await;
    // Down.
    for n in 0..5 {
        play(&pair, 10, clock::now().plus(Duration::from_millis(400 * n)));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pair.client_log.until("most packets", complete(99)).await;
    assert!(path.lost.load(Ordering::Relaxed) >= 20, "the path did lose");
    close(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_is_noticed() {
    let (engine, _) = engine().await;
    let pair = join(&engine, ClientOptions::default(), vp8())
        .await
        .connected()
        .await;
    pair.client.close().await;
    let gone = std::time::Instant::now();
    pair.peer_log.state(State::Disconnected).await;
    let noticed = gone.elapsed();
    let log = pair.peer_log.state(State::Closed).await;
    let closed = gone.elapsed();
    println!("noticed after {noticed:?}, closed after {closed:?}");
    assert_eq!(
        log.states,
        [State::Connected, State::Disconnected, State::Closed]
    );
    freed(&engine).await;
    assert!(pair.peer.renegotiate("v=0").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_closes() {
    let (engine, _) = engine().await;
    let pair = join(&engine, ClientOptions::default(), vp8())
        .await
        .connected()
        .await;
    play(&pair, 1, clock::now());
    let (client, log) = (pair.client, pair.peer_log);
    drop(pair.peer);
    log.state(State::Closed).await;
    freed(&engine).await;
    client.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_offers_are_named_and_leave_nothing_behind() {
    let (engine, _) = engine().await;
    let (client, good) =
        quilt::peer::client::Client::offer(ClientOptions::default(), support::Recorder::new())
            .await
            .unwrap();
    let cases = [
        (String::new(), "empty"),
        ("hello".to_owned(), "v=0"),
        ("v=0\r\n".repeat(20_000), "65536"),
        ("v=0\r\ns=-\r\n".to_owned(), "no media section"),
        (
            format!("v=0\r\n{}", "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n".repeat(40)),
            "40 media sections",
        ),
        (
            good.replace("opus", "speex")
                .replace("VP8", "VP9")
                .replace("H264", "H265"),
            "VP8",
        ),
        (good.replace("a=rtcp-mux", "a=x"), "rtcp-mux"),
    ];
    for (offer, named) in cases {
        let log = support::Recorder::new();
        let refused = engine.accept(&offer, Options::default(), log.clone()).await;
        let error = match refused {
            Err(error) => error.to_string(),
            Ok(_) => panic!("accepted: {offer}"),
        };
        assert!(error.contains(named), "{named:?} is not in {error:?}");
        assert!(log.log().states.is_empty(), "nothing had begun");
    }
    // A connection survives a bad offer.
    let pair = join(&engine, ClientOptions::default(), vp8())
        .await
        .connected()
        .await;
    let error = pair
        .peer
        .renegotiate("v=0\r\nm=audio 9 x 1\r\n")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
    play(&pair, 5, clock::now());
    pair.client_log
        .until("pictures", |log| log.video.len() == 10)
        .await;
    close(pair).await;
    client.close().await;
    freed(&engine).await;
}

/// Cuts and swaps of a real offer: whatever happens, it is an error or an answer.
#[tokio::test(flavor = "multi_thread")]
async fn mangled_offers_never_panic() {
    let (engine, _) = engine().await;
    let (client, good) =
        quilt::peer::client::Client::offer(ClientOptions::default(), support::Recorder::new())
            .await
            .unwrap();
    let lines: Vec<&str> = good.lines().collect();
    for index in 0..lines.len() {
        let line = lines[index];
        let half = &line[..line.len() / 2 + 1];
        let numbers = line.replace(|c: char| c.is_ascii_digit(), "9999999999");
        for other in [
            String::new(),
            half.to_owned(),
            numbers,
            format!("{line} {line}"),
        ] {
            let mut mangled: Vec<&str> = lines.clone();
            mangled[index] = &other;
            let text = mangled.join("\r\n") + "\r\n";
            let log = support::Recorder::new();
            if let Ok((peer, _)) = engine.accept(&text, Options::default(), log).await {
                peer.close().await;
            }
        }
    }
    freed(&engine).await;
    client.close().await;
}
