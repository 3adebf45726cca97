//! Packets past the library's driver: who gets them so, that each side understands them whichever
//! way they go, and that they follow where the client goes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use quilt::clock;
use quilt::fanout::{Fanout, ListenerId};
use quilt::media::{EncodedPicture, ForwardedPacket, Kind, Layer, RtpPacket, VideoCodec};
use quilt::peer::client::{ClientOptions, Odd};
use quilt::peer::{Engine, Origin, Peer};
use support::{
    Log, LossyPath, Pair, Recorder, becomes, close, contiguous, engine, join, join_edited, vp8,
    without,
};

async fn lane(peer: &Peer, wanted: bool) {
    let what = format!("the lane is there: {wanted}");
    becomes(&what, || peer.takes_lane() == wanted).await;
}

/// Pictures for one client.
struct Show(Fanout<EncodedPicture>);

impl Show {
    fn to(peer: &Peer) -> Self {
        let pictures = Fanout::default();
        pictures.attach(ListenerId(1), peer.play().0);
        Self(pictures)
    }

    /// Sends one of so many packets, the last of which is smaller.
    fn picture(&self, packets: usize) {
        let size = |n| if n + 1 == packets { 100 } else { 900 };
        self.0.send(&Arc::new(EncodedPicture {
            codec: VideoCodec::Vp8,
            at: clock::now(),
            keyframe: true,
            payloads: (0..packets)
                .map(|n| Bytes::from(vec![n as u8; size(n)]))
                .collect(),
            arrivals: Vec::new(),
            layout: 1,
        }));
    }

    /// Sends pictures until that many packets more have come.
    async fn until(&self, log: &Recorder, more: usize) {
        let wanted = log.log().video.len() + more;
        let sending = async {
            loop {
                self.picture(2);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = sending => unreachable!("it sends for ever"),
            _ = log.until("pictures", move |log| log.video.len() >= wanted) => {}
        }
    }
}

/// How many packets of pictures have come once none is on its way any more.
async fn still(log: &Recorder) -> usize {
    loop {
        let before = log.log().video.len();
        tokio::time::sleep(Duration::from_millis(150)).await;
        if log.log().video.len() == before {
            return before;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_s_packets_arrive_as_they_are() {
    let (engine, stats) = engine().await;
    let pair = join(&engine, ClientOptions::default(), vp8()).await;
    let pair = pair.connected().await;
    lane(&pair.peer, true).await;
    let show = Show::to(&pair.peer);
    // Up to more than one system call takes: 64 packets, or 60 kB.
    let sizes = [1, 2, 3, 30, 64, 65, 100];
    let mut wanted = 0;
    for packets in sizes {
        show.picture(packets);
        wanted += packets;
        let came = move |log: &Log| log.video.len() == wanted;
        pair.client_log.until("the picture", came).await;
    }
    let log = pair.client_log.log();
    contiguous(&log);
    let mut packets = log.video.iter();
    for count in sizes {
        for n in 0..count {
            let packet = packets.next().unwrap();
            let size = if n + 1 == count { 100 } else { 900 };
            assert_eq!(packet.payload, vec![n as u8; size]);
            assert_eq!(packet.marker, n + 1 == count);
        }
    }
    // Reports come though the driver has sent none of it.
    let reported = |log: &Log| log.reports.iter().any(|(kind, ..)| *kind == Kind::Video);
    pair.client_log.until("a report", reported).await;
    assert!(pair.peer.takes_lane());
    assert!(!stats.render().contains("udp_out"), "nothing was lost");
    close(pair).await;
}

/// A check of nobody's that knows the server's name, from elsewhere.
async fn check(engine: &Engine, answer: &str) {
    let name = |line: &str| line.strip_prefix("a=ice-ufrag:").map(str::to_owned);
    let user = answer.lines().find_map(name).unwrap() + ":nobody";
    let mut attributes = vec![0, 6, 0, user.len() as u8];
    attributes.extend(user.as_bytes());
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    let mut message = vec![0, 1, 0, attributes.len() as u8, 0x21, 0x12, 0xa4, 0x42];
    message.extend([7; 12]);
    message.extend(attributes);
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(&message, engine.local_addr()).await.unwrap();
}

fn sound(sequence: u16) -> Arc<ForwardedPacket> {
    Arc::new(ForwardedPacket {
        packet: RtpPacket {
            payload_type: 111,
            marker: false,
            sequence,
            timestamp: u32::from(sequence),
            ssrc: 5,
            payload: Bytes::from(sequence.to_be_bytes().to_vec()),
            arrived: clock::now(),
            level: None,
            rotation: None,
        },
        layer: Layer::Whole,
        codec: None,
        keyframe: false,
    })
}

/// Numbers go on by leaps, so that they wrap every few packets, while some go by the driver and
/// some do not.
#[tokio::test(flavor = "multi_thread")]
async fn numbers_wrap_whichever_way_packets_go() {
    let (engine, _) = engine().await;
    let wishes = ClientOptions::default();
    let (pair, answer) = join_edited(&engine, wishes, vp8(), |offer| offer, str::to_owned).await;
    let pair = pair.connected().await;
    let packets = Fanout::default();
    let [_, audio] = pair.peer.forward(&Arc::<Origin>::default());
    packets.attach(ListenerId(1), audio);
    let mut sequence = 0_u16;
    let mut by_driver = 0;
    for n in 0..60 {
        lane(&pair.peer, true).await;
        // Ten by the lane, ten by the driver, and so on: longer than it takes to wrap.
        if n / 10 % 2 == 1 {
            // What the driver sends meanwhile may bring the lane back before anybody looks.
            let checks = async {
                loop {
                    check(&engine, &answer).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::select! {
                () = checks => unreachable!("it checks for ever"),
                () = lane(&pair.peer, false) => {}
            }
            by_driver += 1;
        }
        packets.send(&sound(sequence));
        let wanted = sequence.to_be_bytes();
        pair.client_log
            .until("the packet", move |log| {
                log.audio
                    .last()
                    .is_some_and(|last| last.payload == wanted[..])
            })
            .await;
        sequence = sequence.wrapping_add(25_000);
    }
    assert_eq!((pair.client_log.log().audio.len(), by_driver), (60, 30));
    close(pair).await;
}

/// Pictures come to such a client, and none by the lane.
async fn served_by_the_driver(wishes: ClientOptions) -> Pair {
    let (engine, _) = engine().await;
    let pair = join(&engine, wishes, vp8()).await.connected().await;
    let show = Show::to(&pair.peer);
    for _ in 0..10 {
        show.until(&pair.client_log, 2).await;
        assert!(!pair.peer.takes_lane());
    }
    contiguous(&pair.client_log.log());
    pair
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_there_is_no_lane() {
    let wishes = ClientOptions {
        tcp: true,
        ..Default::default()
    };
    close(served_by_the_driver(wishes).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn older_clients_have_no_lane() {
    let wishes = ClientOptions {
        old_cipher: true,
        ..Default::default()
    };
    let pair = served_by_the_driver(wishes).await;
    // What they say is read all the same.
    let asked = pair.peer_log.log().keyframe_requests;
    pair.client.send_odd(Odd::Pli);
    let heard = move |log: &Log| log.keyframe_requests > asked;
    pair.peer_log.until("a keyframe request", heard).await;
    close(pair).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_client_goes_packets_follow() {
    let (engine, _) = engine().await;
    let pair = join(&engine, ClientOptions::default(), vp8()).await;
    let pair = pair.connected().await;
    let show = Show::to(&pair.peer);
    show.until(&pair.client_log, 10).await;
    lane(&pair.peer, true).await;
    // From then on through somebody else, who tells how much passes.
    for round in 1..=2 {
        let path = LossyPath::to(engine.local_addr()).await;
        let offer = pair.client.restart().await.unwrap();
        let answer = pair.peer.renegotiate(&offer).await.unwrap();
        let answer = support::through(&answer, path.port);
        pair.client.answer(&answer).await.unwrap();
        // All of the media is lost on this path, so nothing comes but what goes elsewhere.
        show.until(&pair.client_log, 50).await;
        lane(&pair.peer, true).await;
        path.every.store(1, Ordering::Relaxed);
        let before = still(&pair.client_log).await;
        let lost = path.lost.load(Ordering::Relaxed);
        for _ in 0..10 {
            show.picture(2);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(pair.peer.takes_lane());
        let what = format!("all went this way in round {round}");
        becomes(&what, || path.lost.load(Ordering::Relaxed) >= lost + 20).await;
        assert_eq!(pair.client_log.log().video.len(), before, "round {round}");
        path.every.store(0, Ordering::Relaxed);
        show.until(&pair.client_log, 4).await;
        // The next path begins while this one still is there.
        if round == 2 {
            close(pair).await;
            return;
        }
        drop(path);
    }
}

/// The packets of a picture that were lost on their way come, once.
async fn missed(edit: impl Fn(String) -> String) -> Vec<u16> {
    let (engine, _) = engine().await;
    let path = LossyPath::to(engine.local_addr()).await;
    let there = |answer: &str| support::through(answer, path.port);
    let joined = join_edited(&engine, ClientOptions::default(), vp8(), edit, there).await;
    let pair = joined.0.connected().await;
    lane(&pair.peer, true).await;
    let show = Show::to(&pair.peer);
    path.every.store(7, Ordering::Relaxed);
    for _ in 0..50 {
        show.picture(3);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(pair.peer.takes_lane());
    }
    path.every.store(0, Ordering::Relaxed);
    show.picture(3);
    let all = |log: &Log| log.video.len() == 153;
    let log = pair.client_log.until("all packets", all).await;
    assert!(path.lost.load(Ordering::Relaxed) >= 15);
    close(pair).await;
    let mut numbers: Vec<u16> = log.video.iter().map(|packet| packet.sequence).collect();
    let first = numbers[0];
    numbers.iter_mut().for_each(|n| *n = n.wrapping_sub(first));
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_sent_again() {
    let numbers = missed(|offer| offer).await;
    assert_eq!(numbers, (0..153).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_sent_again_where_nothing_is_agreed_on_for_that() {
    let is_rtx = |line: &str| line.contains(" rtx/90000") || line.contains(" apt=");
    let numbers = missed(|offer| without(&offer, is_rtx)).await;
    assert_eq!(numbers, (0..153).collect::<Vec<_>>());
}
