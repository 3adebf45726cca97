//! The policy `auto` over real connections: mixes are personal until the processor's budget is
//! used up, and common then. Whoever receives notices one keyframe and nothing else; and whatever
//! else a room gives up, it is never sound.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use common::{PATIENCE, settings};
use quilt::clock::{self, NtpTime};
use quilt::id::{DisplayName, RoomName};
use quilt::load::receiver::{Counts, Receiver};
use quilt::media::{Kind, Quality, RtpPacket, VideoCodec};
use quilt::peer::client::{Client, ClientOptions};
use quilt::peer::{Options, State, Uplink};
use quilt::room::registry::{Admission, Joined, Registry};
use quilt::stats::Stats;
use tokio::time::{Instant, sleep};

/// Somebody's eyes.
#[derive(Default)]
struct Eyes {
    receiver: Mutex<Receiver>,
    /// RTP times of sound.
    heard: Mutex<Vec<u32>>,
    states: Mutex<Vec<State>>,
    /// Bits a second that were asked for in RTCP.
    limits: Mutex<Vec<u64>>,
}

impl Eyes {
    fn receiver(&self) -> MutexGuard<'_, Receiver> {
        self.receiver.lock().expect("no panic")
    }

    fn counts(&self) -> Counts {
        self.receiver().counts(clock::now())
    }
}

impl Uplink for Eyes {
    fn track(&self, _: Kind, _: Option<VideoCodec>) {}
    fn packet(&self, kind: Kind, packet: RtpPacket) {
        if kind == Kind::Audio {
            self.heard.lock().expect("no panic").push(packet.timestamp);
        }
        self.receiver().packet(kind, VideoCodec::H264, &packet);
    }
    fn sender_report(&self, _: Kind, _: NtpTime, _: u32) {}
    fn keyframe_requested(&self) {}
    fn state(&self, state: State) {
        self.states.lock().expect("no panic").push(state);
    }
    fn bandwidth(&self, bits: u64) {
        self.limits.lock().expect("no panic").push(bits);
    }
}

/// Somebody in the room, who can lay their picture over their own tile.
struct Person {
    eyes: Arc<Eyes>,
    connection: Client,
    joined: Joined,
}

impl Person {
    async fn join(rooms: &Arc<Registry>, room: &RoomName, n: u32) -> Self {
        let admission = Admission {
            name: DisplayName::new(&format!("P{n}")).expect("a name"),
            view: false,
            audio: true,
            video: true,
            portrait: false,
            session: None,
            host: false,
            overlay: true,
            direct: false,
            quality: Quality::High,
            ticket: None,
        };
        let joined = rooms.join(room, admission).await;
        let mut joined = joined.unwrap_or_else(|error| panic!("{error}"));
        let eyes = Arc::<Eyes>::default();
        let wishes = ClientOptions {
            receive_video: vec![VideoCodec::H264],
            ..Default::default()
        };
        let (connection, offer) = Client::offer(wishes, eyes.clone()).await.expect("an offer");
        let answer = joined.member.offer(&offer, Options::default()).await;
        let answered = connection.answer(&answer.expect("an answer")).await;
        answered.expect("to connect");
        Self {
            eyes,
            connection,
            joined,
        }
    }

    async fn gets_pictures(&self) {
        let before = self.eyes.counts().pictures;
        until(|| self.eyes.counts().pictures >= before + 3).await;
    }
}

/// Waits until it is so.
async fn until(mut wish: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !wish() {
        assert!(Instant::now() < deadline, "waited in vain");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_no_messages_is_told_in_rtcp() {
    let server = quilt::Server::bind(settings("stage-size = 1")).await;
    let rooms = server.expect("free ports").rooms();
    let room = RoomName::new("terse").expect("a name");
    let _ann = Person::join(&rooms, &room, 0).await;
    let ben = Person::join(&rooms, &room, 1).await;
    ben.joined.member.terse().await;
    let limit = || ben.eyes.limits.lock().expect("no panic").last().copied();
    let mut ticks = 0;
    until(|| {
        // No picture, but a packet: there is a track.
        let payload = bytes::Bytes::from_static(&[0x90, 0x80, 1, 2, 3]);
        ben.connection
            .send(Kind::Video, payload, ticks * 3_600, true, None);
        ticks += 1;
        // Off stage, next to nothing but sound is left.
        limit().is_some_and(|bits| (32_000..120_000).contains(&bits))
    })
    .await;
}

/// Keeps every core busy while it lives.
struct Starving(Arc<AtomicBool>);

impl Starving {
    fn start() -> Self {
        let on = Arc::new(AtomicBool::new(true));
        for _ in 0..2 * std::thread::available_parallelism().map_or(1, usize::from) {
            let on = on.clone();
            std::thread::spawn(move || {
                while on.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(on)
    }
}

impl Drop for Starving {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sound_never_gives_way() {
    let server = quilt::Server::bind(settings("fps = 10")).await;
    let server = server.expect("free ports");
    let (rooms, stats) = (server.rooms(), server.stats());
    let room = RoomName::new("starved").expect("a name");
    let ann = Person::join(&rooms, &room, 0).await;
    let _ben = Person::join(&rooms, &room, 1).await;
    ann.gets_pictures().await;
    let heard = || ann.eyes.heard.lock().expect("no panic").clone();
    until(|| !heard().is_empty()).await;
    let before = heard().len();
    let starving = Starving::start();
    let step = |name| stats.budget.giving_way(name).get();
    until(|| {
        rooms.tell_load(1.5);
        step("half_of_the_pictures") == 1
    })
    .await;
    assert_eq!(step("personal_mixes"), 0, "one step includes the other");
    ann.eyes.receiver().begin(clock::now());
    until(|| ann.eyes.counts().pictures >= 5).await;
    drop(starving);
    // Two periods between two pictures, if not more.
    assert!(ann.eyes.counts().longest_step >= Duration::from_millis(200));
    let heard = heard();
    assert!(
        heard.len() >= before + 5 * 50,
        "{} packets",
        heard.len() - before
    );
    for pair in heard.windows(2) {
        assert_eq!(pair[1].wrapping_sub(pair[0]), 960, "a packet is missing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_gives_way_with_one_keyframe() {
    // It does not run, so nobody but this test tells its rooms what the load is.
    let server = quilt::Server::bind(settings("fps = 10")).await;
    let server = server.expect("free ports");
    let (rooms, stats) = (server.rooms(), server.stats());
    let mixes = |stats: &Stats| stats.encoders(Kind::Video).get();
    let room = RoomName::new("auto").expect("a name");
    let mut people = Vec::new();
    for n in 0..3 {
        people.push(Person::join(&rooms, &room, n).await);
    }
    until(|| mixes(&stats) == 3).await;
    for person in &people {
        // A second and more: keyframes that were asked for while they came have been made.
        let before = person.eyes.counts().pictures;
        until(|| person.eyes.counts().pictures >= before + 15).await;
        person.eyes.receiver().begin(clock::now());
    }
    until(|| {
        rooms.tell_load(1.5);
        mixes(&stats) == 1
    })
    .await;
    rooms.tell_load(0.9);
    for person in &people {
        person.gets_pictures().await;
        let counts = person.eyes.counts();
        assert_eq!((counts.keyframes, counts.lost), (1, 0));
        let states = person.eyes.states.lock().expect("no panic").clone();
        assert_eq!(states, [State::Connected]);
    }
    assert_eq!(stats.budget.giving_way("personal_mixes").get(), 1);
}
