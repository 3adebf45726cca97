//! What tests of the transport share: a recorder of what happens on a connection, and a room of
//! one server and its clients.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quilt::clock::{self, NtpTime};
use quilt::media::{Kind, RtpPacket, VideoCodec};
use quilt::peer::client::{Client, ClientOptions};
use quilt::peer::{Engine, Options, Peer, Settings, State, Uplink};
use quilt::stats::Stats;
use tokio::sync::watch;

/// Nothing on loopback takes this long unless it never comes.
const PATIENCE: Duration = Duration::from_secs(40);

#[derive(Debug, Default, Clone)]
pub struct Log {
    pub tracks: Vec<(Kind, Option<VideoCodec>)>,
    pub audio: Vec<RtpPacket>,
    pub video: Vec<RtpPacket>,
    pub reports: Vec<(Kind, NtpTime, u32)>,
    pub keyframe_requests: usize,
    pub states: Vec<State>,
    pub bandwidth: Vec<u64>,
}

/// Records what happens on one connection.
pub struct Recorder {
    log: Mutex<Log>,
    changes: watch::Sender<u64>,
}

impl Recorder {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            log: Mutex::default(),
            changes: watch::Sender::new(0),
        })
    }

    fn record(&self, change: impl FnOnce(&mut Log)) {
        change(&mut self.log.lock().unwrap());
        self.changes.send_modify(|n| *n += 1);
    }

    pub fn log(&self) -> Log {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log is as wished.
    #[track_caller]
    pub fn until(&self, what: &str, wish: impl Fn(&Log) -> bool) -> impl Future<Output = Log> {
        let caller = std::panic::Location::caller();
        let mut changes = self.changes.subscribe();
        async move {
            let waiting = async {
                loop {
                    if wish(&self.log.lock().unwrap()) {
                        return self.log();
                    }
                    changes.changed().await.expect("the recorder lives");
                }
            };
            match tokio::time::timeout(PATIENCE, waiting).await {
                Ok(log) => log,
                Err(_) => {
                    let log = self.log();
                    panic!(
                        "{caller}: waited in vain for: {what}; tracks {:?}, {} audio, {} video, \
                         {} reports, {} keyframe requests, states {:?}",
                        log.tracks,
                        log.audio.len(),
                        log.video.len(),
                        log.reports.len(),
                        log.keyframe_requests,
                        log.states
                    )
                }
            }
        }
    }

    #[track_caller]
    pub fn state(&self, state: State) -> impl Future<Output = Log> {
        self.until("a state", move |log| log.states.contains(&state))
    }
}

impl Uplink for Recorder {
    fn track(&self, kind: Kind, codec: Option<VideoCodec>) {
        self.record(|log| log.tracks.push((kind, codec)));
    }
    fn packet(&self, kind: Kind, packet: RtpPacket) {
        self.record(|log| match kind {
            Kind::Audio => log.audio.push(packet),
            Kind::Video => log.video.push(packet),
        });
    }
    fn sender_report(&self, kind: Kind, ntp: NtpTime, rtp: u32) {
        self.record(|log| log.reports.push((kind, ntp, rtp)));
    }
    fn keyframe_requested(&self) {
        self.record(|log| log.keyframe_requests += 1);
    }
    fn state(&self, state: State) {
        self.record(|log| log.states.push(state));
    }
    fn bandwidth(&self, bits_per_second: u64) {
        self.record(|log| log.bandwidth.push(bits_per_second));
    }
}

/// An engine on a free port of loopback.
pub async fn engine() -> (Arc<Engine>, Arc<Stats>) {
    clock::now();
    let stats = Arc::<Stats>::default();
    let settings = Settings {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        public_ips: Vec::new(),
    };
    (Engine::bind(settings, stats.clone()).await.unwrap(), stats)
}

/// Both ends of one connection.
pub struct Pair {
    pub client: Client,
    pub client_log: Arc<Recorder>,
    pub peer: Peer,
    pub peer_log: Arc<Recorder>,
}

/// Joins without waiting for the connection.
pub async fn join(engine: &Arc<Engine>, wishes: ClientOptions, options: Options) -> Pair {
    join_edited(engine, wishes, options, |offer| offer, str::to_owned)
        .await
        .0
}

/// The same with an offer and an answer that somebody changes on their way. Also yields the answer
/// as it was given.
pub async fn join_edited(
    engine: &Arc<Engine>,
    wishes: ClientOptions,
    options: Options,
    offered: impl Fn(String) -> String,
    answered: impl Fn(&str) -> String,
) -> (Pair, String) {
    let (client_log, peer_log) = (Recorder::new(), Recorder::new());
    let (client, offer) = Client::offer(wishes, client_log.clone()).await.unwrap();
    let offer = offered(offer);
    let accepted = engine.accept(&offer, options, peer_log.clone()).await;
    let (peer, answer) = accepted.unwrap();
    client.answer(&answered(&answer)).await.unwrap();
    let pair = Pair {
        client,
        client_log,
        peer,
        peer_log,
    };
    (pair, answer)
}

/// Mixes in VP8.
pub fn vp8() -> Options {
    Options {
        prefer: Some(VideoCodec::Vp8),
        ..Default::default()
    }
}

/// Fails where a packet of the video is missing or out of its place.
pub fn contiguous(log: &Log) {
    let numbers: Vec<u16> = log.video.iter().map(|packet| packet.sequence).collect();
    let goes_on = |pair: &[u16]| pair[1] == pair[0].wrapping_add(1);
    assert!(numbers.windows(2).all(goes_on), "{numbers:?}");
}

/// Waits until nothing is left of any connection in the port's tables: a driver that is slow to stop
/// may hold its place a moment longer than its connection.
pub async fn freed(engine: &Engine) {
    becomes("nothing is left", || engine.load() == (0, 0)).await;
}

/// Waits until something is so that nobody tells of.
pub async fn becomes(what: &str, so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let came = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(came.is_ok(), "waited in vain until {what}");
}

/// Ends both sides.
pub async fn close(pair: Pair) {
    pair.client.close().await;
    pair.peer.close().await;
    pair.peer_log.state(State::Closed).await;
    pair.client_log.state(State::Closed).await;
}

/// An offer or an answer without some of its lines.
pub fn without(text: &str, dropped: impl Fn(&str) -> bool) -> String {
    let lines = text.lines().filter(|line| !dropped(line));
    lines.flat_map(|line| [line, "\r\n"]).collect()
}

impl Pair {
    pub async fn connected(self) -> Self {
        self.client_log.state(State::Connected).await;
        self.peer_log.state(State::Connected).await;
        self
    }
}

/// Replaces port numbers in the candidates of an answer.
pub fn through(answer: &str, port: u16) -> String {
    answer
        .lines()
        .map(|line| {
            let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            if line.starts_with("a=candidate:") {
                words[5] = port.to_string();
            }
            words.join(" ") + "\r\n"
        })
        .collect()
}

/// What a DTLS 1.2 client begins a handshake with (RFC 6347).
pub fn client_hello(random: [u8; 32]) -> Vec<u8> {
    let mut body = vec![254, 253];
    body.extend(random);
    // No session, no cookie, ECDHE-ECDSA with AES-128-GCM, no compression.
    body.extend([0, 0, 0, 2, 0xc0, 0x2b, 1, 0]);
    let extensions = [
        &[0, 10, 0, 4, 0, 2, 0, 23][..],     // P-256
        &[0, 11, 0, 2, 1, 0],                // uncompressed points
        &[0, 13, 0, 4, 0, 2, 4, 3],          // ECDSA with SHA-256
        &[0, 14, 0, 7, 0, 4, 0, 7, 0, 1, 0], // SRTP: GCM, CM
        &[0, 23, 0, 0],                      // extended master secret
    ]
    .concat();
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let length = (body.len() as u32).to_be_bytes();
    let mut handshake = vec![1];
    handshake.extend(&length[1..]);
    handshake.extend([0; 5]);
    handshake.extend(&length[1..]);
    handshake.extend(body);
    let mut record = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0];
    record.extend((handshake.len() as u16).to_be_bytes());
    record.extend(handshake);
    record
}

/// A path that loses every `n`th media packet in both directions, starting when told to.
pub struct LossyPath {
    pub port: u16,
    pub every: Arc<std::sync::atomic::AtomicUsize>,
    pub lost: Arc<std::sync::atomic::AtomicUsize>,
    /// The end that the server sees.
    far: Arc<tokio::net::UdpSocket>,
    /// What went up last.
    last: Arc<Mutex<Vec<u8>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for LossyPath {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LossyPath {
    /// Between one client and `server`.
    pub async fn to(server: SocketAddr) -> Self {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let near = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let far = Arc::new(tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap());
        far.connect(server).await.unwrap();
        let (towards, last) = (far.clone(), Arc::<Mutex<Vec<u8>>>::default());
        let passed = last.clone();
        let port = near.local_addr().unwrap().port();
        let (every, lost) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (wanted, counted) = (every.clone(), lost.clone());
        let task = tokio::spawn(async move {
            let (mut up, mut down) = ([0; 2048], [0; 2048]);
            let mut client = None;
            let mut seen = 0;
            let mut loses = move |packet: &[u8]| {
                // RTP, not RTCP (RFC 5761), not DTLS, not STUN.
                let media = (128..192).contains(&packet[0]) && !(192..224).contains(&packet[1]);
                let every = wanted.load(Ordering::Relaxed);
                seen += usize::from(media && every > 0);
                let lose = media && every > 0 && seen % every == 0;
                counted.fetch_add(usize::from(lose), Ordering::Relaxed);
                lose
            };
            loop {
                tokio::select! {
                    received = near.recv_from(&mut up) => {
                        let (length, from) = received.unwrap();
                        client = Some(from);
                        if !loses(&up[..length]) {
                            towards.send(&up[..length]).await.unwrap();
                        }
                        *passed.lock().unwrap() = up[..length].to_vec();
                    }
                    received = towards.recv(&mut down) => {
                        let length = received.unwrap();
                        if let Some(client) = client && !loses(&down[..length]) {
                            near.send_to(&down[..length], client).await.unwrap();
                        }
                    }
                }
            }
        });
        Self {
            port,
            every,
            lost,
            far,
            last,
            task,
        }
    }

    /// Sends the server something from where it believes the client to be.
    pub async fn forge(&self, datagram: &[u8]) {
        self.far.send(datagram).await.unwrap();
    }

    /// What went up last.
    pub fn last(&self) -> Vec<u8> {
        self.last.lock().unwrap().clone()
    }
}
