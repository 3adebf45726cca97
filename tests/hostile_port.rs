//! Strangers at the media port: whatever they spray, joins come about, calls go on, memory stays
//! and nothing goes back to them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bystanders;
mod common;
mod support;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bystanders::{Call, Villain, entry, sends};
use quilt::load::client::Client;
use quilt::media::VideoCodec;
use quilt::peer::State;
use quilt::stats::process_resident_bytes;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

/// Of each kind of datagram, a second.
const RATE: u32 = 1_000;
/// Addresses they come from.
const SOCKETS: usize = 64;
const JOINS: usize = 20;

/// An alert in the clear: fatal, handshake_failure.
const ALERT: [u8; 15] = [21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40];

/// Bytes that look like SRTP or SRTCP.
fn srtp(rng: &mut SmallRng) -> Vec<u8> {
    let mut junk = vec![0; rng.random_range(1..1_200)];
    rng.fill_bytes(&mut junk);
    junk[0] = 0x80 | junk[0] & 0x3f;
    junk
}

/// A check with all that an agent looks for, except that its integrity is made up (RFC 8489).
fn check(rng: &mut SmallRng, username: &str) -> Vec<u8> {
    let mut attributes = vec![0, 6];
    attributes.extend((username.len() as u16).to_be_bytes());
    attributes.extend(username.as_bytes());
    attributes.resize(attributes.len().next_multiple_of(4), 0);
    // PRIORITY, ICE-CONTROLLING, USE-CANDIDATE, MESSAGE-INTEGRITY.
    attributes.extend([0, 0x24, 0, 4, 0x6e, 0, 0, 0xff]);
    attributes.extend([0x80, 0x2a, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    attributes.extend([0, 0x25, 0, 0]);
    attributes.extend([0, 8, 0, 20]);
    attributes.extend(rng.random::<[u8; 20]>());
    let mut message = vec![0, 1];
    message.extend((attributes.len() as u16).to_be_bytes());
    message.extend([0x21, 0x12, 0xa4, 0x42]);
    message.extend(rng.random::<[u8; 12]>());
    message.extend(attributes);
    message
}

/// Strangers at work, on a thread of their own until dropped.
struct Strangers {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<u64>>,
}

impl Strangers {
    /// `username` is that of an agent behind the port: somebody has overheard its signalling.
    fn begin(port: SocketAddr, username: String) -> Self {
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, counted) = (stop.clone(), sent.clone());
        let thread = std::thread::spawn(move || {
            let mut rng = SmallRng::seed_from_u64(1);
            let socket = || UdpSocket::bind("127.0.0.1:0").unwrap();
            let sockets: Vec<UdpSocket> = (0..SOCKETS).map(|_| socket()).collect();
            let (began, mut answered) = (Instant::now(), 0);
            for n in 0u32.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let socket = &sockets[n as usize % SOCKETS];
                let spray = [
                    support::client_hello(rng.random()),
                    ALERT.to_vec(),
                    srtp(&mut rng),
                    check(&mut rng, "nobody:knows"),
                    check(&mut rng, &username),
                ];
                for datagram in &spray {
                    // A full buffer is as good as a lost datagram.
                    let _ = socket.send_to(datagram, port);
                }
                counted.fetch_add(spray.len() as u64, Ordering::Relaxed);
                let due = began + Duration::from_secs(1) * n / RATE;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            for socket in &sockets {
                socket.set_nonblocking(true).unwrap();
                let mut buffer = [0; 2_000];
                while let Ok(bytes) = socket.recv(&mut buffer) {
                    answered += bytes as u64;
                }
            }
            answered
        });
        Self {
            stop,
            sent,
            thread: Some(thread),
        }
    }

    /// Datagrams sent, and bytes that came back.
    fn end(mut self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        let answered = self.thread.take().unwrap().join().unwrap();
        (self.sent.load(Ordering::Relaxed), answered)
    }
}

impl Drop for Strangers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn attribute<'a>(sdp: &'a str, name: &str) -> &'a str {
    let value = sdp.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap_or_else(|| panic!("{name} in {sdp}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_not_heard_not_answered_and_not_noticed() {
    let call = Call::start().await;
    // Somebody in the call whose agent's name is known to the strangers.
    let options = sends(VideoCodec::Vp8);
    let overheard = Villain::join(&call.server, "overheard", options).await;
    let [server, client] =
        [&overheard.answer, &overheard.offer].map(|sdp| attribute(sdp, "a=ice-ufrag:"));
    let username = format!("{server}:{client}");
    join_and_leave(&call, 0).await;
    let before = process_resident_bytes();
    let strangers = Strangers::begin(call.server.rtc, username);
    let began = Instant::now();
    call.unnoticed("strangers at the port", async {
        for n in 0..JOINS {
            join_and_leave(&call, n).await;
        }
    })
    .await;
    let seconds = began.elapsed().as_secs_f64();
    let (sent, answered) = strangers.end();
    let grown = process_resident_bytes().saturating_sub(before);
    println!(
        "{sent} datagrams in {seconds:.1} s, {answered} bytes back, {} KB",
        grown >> 10
    );
    assert_eq!(answered, 0, "bytes came back");
    assert!(
        sent as f64 >= 2.0 * f64::from(RATE),
        "the strangers did spray"
    );
    // Twenty joins leave the allocator some crumbs; what strangers send must leave nothing.
    assert!(grown < 32 << 20, "{} MB for {sent} datagrams", grown >> 20);
    let states = overheard.log.log().states;
    assert_eq!(states, [State::Connected], "the one who was overheard");
}

async fn join_and_leave(call: &Call, n: usize) {
    let entry = entry(&call.server, &format!("join {n}"), None);
    // Fails by itself where it takes too long.
    let client = Client::join(entry, None).await;
    let client = client.unwrap_or_else(|error| panic!("join {n}: {error}"));
    client.leave().await.unwrap();
}

/// Who can send from a client's own address (on its network, by forging it) can send what the
/// client could, except that nothing of it is genuine.
#[tokio::test(flavor = "multi_thread")]
async fn forgeries_from_a_clients_own_address_change_nothing() {
    use quilt::peer::client::{Client, ClientOptions};
    let (engine, _) = support::engine().await;
    let path = support::LossyPath::to(engine.local_addr()).await;
    let (client_log, peer_log) = (support::Recorder::new(), support::Recorder::new());
    let (client, offer) = Client::offer(ClientOptions::default(), client_log.clone())
        .await
        .unwrap();
    let accepted = engine.accept(&offer, Default::default(), peer_log.clone());
    let (_peer, answer) = accepted.await.unwrap();
    let there = support::through(&answer, path.port);
    client.answer(&there).await.unwrap();
    client_log.state(State::Connected).await;
    peer_log.state(State::Connected).await;
    let [server, its] = [&answer, &offer].map(|sdp| attribute(sdp, "a=ice-ufrag:"));
    let username = format!("{server}:{its}");
    let mut rng = SmallRng::seed_from_u64(2);
    for n in 0..400u32 {
        let payload = bytes::Bytes::from(vec![n as u8; 600]);
        client.send(quilt::media::Kind::Video, payload, n * 3_600, true, None);
        let mut forged = vec![
            support::client_hello(rng.random()),
            ALERT.to_vec(),
            srtp(&mut rng),
            check(&mut rng, &username),
        ];
        // What really went by: again, cut, and with another bit.
        let genuine = path.last();
        let cut = genuine[..rng.random_range(0..genuine.len())].to_vec();
        let mut flipped = genuine.clone();
        flipped[rng.random_range(0..genuine.len())] ^= 1 << rng.random_range(0..8);
        forged.extend([genuine, cut, flipped]);
        for datagram in forged {
            path.forge(&datagram).await;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let log = peer_log
        .until("most packets", |log| log.video.len() >= 390)
        .await;
    assert!(log.video.iter().all(|packet| packet.payload.len() == 600));
    assert_eq!(log.states, [State::Connected]);
    assert_eq!(client_log.log().states, [State::Connected]);
    client.close().await;
}
