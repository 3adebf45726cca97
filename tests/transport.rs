//! The transport between a real engine and real clients, over loopback.

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quilt::clock::{self, MediaTime};
use quilt::fanout::{Fanout, ListenerId, listener};
use quilt::media::{
    AUDIO_CLOCK, AudioLevel, EncodedAudio, EncodedPicture, Kind, VIDEO_CLOCK, VideoCodec,
};
use quilt::peer::client::ClientOptions;
use quilt::peer::{Options, State};
use support::{Log, Pair, engine, join};

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

fn contiguous(log: &Log) {
    for pair in log.video.windows(2) {
        let step = pair[1].sequence.wrapping_sub(pair[0].sequence);
        assert_eq!(step, 1, "{:?}", log.video.iter().map(|p| p.sequence).collect::<Vec<_>>());
    }
}

async fn media_both_ways(codec: VideoCodec) {
    let (engine, stats) = engine().await;
    let wishes = ClientOptions {
        send_video: Some(codec),
        ..Default::default()
    };
    let options = Options {
        prefer: Some(codec),
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
        let payloads = [Bytes::from(vec![n as u8; 1000]), Bytes::from(vec![n as u8; 10])];
        pair.client.send_all(Kind::Video, payloads, n * 3600, true, None);
        let payload = Bytes::from(vec![n as u8; 60]);
        pair.client.send(Kind::Audio, payload, n * 960, n == 0, Some(level));
    }
    let log = pair
        .peer_log
        .until("all packets", |log| log.video.len() == 40 && log.audio.len() == 20)
        .await;
    assert!(log.tracks.contains(&(Kind::Video, Some(codec))), "{:?}", log.tracks);
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
    let (video, video_out) = listener();
    let (audio, audio_out) = listener();
    pictures.attach(ListenerId(1), video);
    sounds.attach(ListenerId(1), audio);
    pair.peer.play(Some(video_out), Some(audio_out));
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
        .until("all packets", |log| log.video.len() == 30 && log.audio.len() == 10)
        .await;
    contiguous(&log);
    for (n, packet) in log.video.iter().enumerate() {
        let at = start.plus(Duration::from_millis(40 * (n as u64 / 3)));
        assert_eq!(packet.timestamp, pair.peer.video_rtp_time(at));
        assert_eq!(packet.marker, n % 3 == 2);
    }
    let text = stats.render();
    assert!(text.contains("quilt_video_latency_seconds_count 10"), "{text}");

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
        assert!((by_clock - by_rtp).abs() <= 2, "{kind:?}: {by_clock} and {by_rtp}");
    }

    pair.client.request_keyframe();
    pair.peer_log
        .until("a keyframe request", |log| log.keyframe_requests >= 1)
        .await;
    close(pair).await;
    assert_eq!(engine.load(), (0, 0));
}

async fn close(pair: Pair) {
    pair.client.close().await;
    pair.peer.close().await;
    pair.peer_log.state(State::Closed).await;
    pair.client_log.state(State::Closed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_both_ways() {
    media_both_ways(VideoCodec::H264).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vp8_both_ways() {
    media_both_ways(VideoCodec::Vp8).await;
}
