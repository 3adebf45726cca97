//! Two people in a call, Ann and Ben, who must not notice what others do to their server; and a
//! third who does it, with signalling and media under the test's control.

#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quilt::clock;
use quilt::gst::Library;
use quilt::id::{DisplayName, RoomName};
use quilt::load::client::{Client, Entry, Material};
use quilt::load::clip::{Clip, Settings};
use quilt::load::picture::Picture;
use quilt::load::publisher::{OnRequest, Pace};
use quilt::load::receiver::Counts;
use quilt::load::scene::Scene;
use quilt::load::{audio, mark};
use quilt::media::{AUDIO_CLOCK, Kind, Quality, Size, VIDEO_CLOCK, VideoCodec};
use quilt::peer;
use quilt::peer::client::ClientOptions;
use quilt::stats::process_cpu_seconds;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::task::AbortHandle;

use crate::common::{PATIENCE, Server};
use crate::support::Recorder;

/// The room of the call.
pub const ROOM: &str = "call";
/// Pictures a second that everybody sends and gets.
pub const FPS: u32 = 25;
/// Pictures of a clip.
const LENGTH: u32 = 50;
/// How long the call is watched before anything happens to it.
const CONTROL: Duration = Duration::from_secs(2);

/// A clip with a keyframe at its beginning only.
pub fn clip(codec: VideoCodec, size: Size, source: u8) -> Clip {
    let settings = Settings {
        codec,
        size,
        fps: FPS,
        bitrate: 300_000,
        keyframes: LENGTH,
    };
    let scene = Scene::new(source.into(), size, LENGTH);
    let draw = |number: u32, picture: &mut Picture| {
        scene.draw(number, picture);
        let frame = number as u16;
        mark::draw(picture.luma_mut(), size, mark::Mark { source, frame });
    };
    Clip::encode(&Library::embedded(), settings, LENGTH, draw).expect("a clip")
}

/// What everybody's cameras send here; the mixes are of full size all the same.
pub const SMALL: Size = Size::new(320, 180);

/// One call at a time: those of other tests would be noticed. (Where every test has a process of
/// its own, `.config/nextest.toml` sees to it.)
static TURN: Mutex<()> = Mutex::const_new(());

/// A server with a call on it.
pub struct Call {
    pub server: Server,
    pub ann: Client,
    pub ben: Client,
    /// Who only watches, if anybody does.
    viewer: Option<Client>,
    /// As it was before anything happened.
    control: Seen,
    _turn: MutexGuard<'static, ()>,
}

/// What one bystander got in some time.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Pictures a second.
    pictures: f64,
    /// Packets of sound a second.
    sounds: f64,
    /// Longest time between two pictures, by the clock of the server's mix.
    step: Duration,
    /// The same as they came, with all that this test's own clients do on the same two cores.
    gap: Duration,
    /// Cores that others on this machine kept busy meanwhile.
    others: f64,
}

impl Call {
    /// Ann and Ben see and hear each other.
    pub async fn start() -> Self {
        Self::of("", false).await
    }

    /// The same with these settings, and with somebody who only watches.
    pub async fn watched(extra: &str) -> Self {
        Self::of(extra, true).await
    }

    async fn of(extra: &str, watched: bool) -> Self {
        let turn = TURN.lock().await;
        let server = Server::start(extra).await;
        let (ann, ben) = tokio::join!(bystander(&server, "Ann", 0), bystander(&server, "Ben", 1));
        for one in [&ann, &ben] {
            let met = one.until_tiles(|map| map.tiles.len() == 1 && map.tiles[0].live);
            let met = tokio::time::timeout(PATIENCE, met).await;
            met.expect("in time").expect("they are in the room");
        }
        let viewer = match watched {
            false => None,
            true => {
                let entry = Entry {
                    sends: None,
                    ..entry(&server, "Viewer", Some(VideoCodec::H264))
                };
                let viewer = Client::join(entry, None).await.expect("to join");
                let live =
                    viewer.until_tiles(|map| map.tiles.iter().filter(|t| t.live).count() == 2);
                let live = tokio::time::timeout(PATIENCE, live).await;
                live.expect("in time").expect("it is in the room");
                Some(viewer)
            }
        };
        let mut call = Self {
            server,
            ann,
            ben,
            viewer,
            control: Seen {
                pictures: f64::from(FPS),
                sounds: 50.0,
                step: Duration::ZERO,
                gap: Duration::ZERO,
                others: 0.0,
            },
            _turn: turn,
        };
        let (worst, ()) = call.watch(tokio::time::sleep(CONTROL)).await;
        println!("before: {worst:?}");
        call.control = worst;
        call
    }

    fn all(&self) -> impl Iterator<Item = &Client> {
        [&self.ann, &self.ben].into_iter().chain(&self.viewer)
    }

    /// What the worst off of them gets while something happens.
    async fn watch<T>(&self, what: impl Future<Output = T>) -> (Seen, T) {
        let (began, busy, own) = (clock::now(), busy_seconds(), process_cpu_seconds());
        for one in self.all() {
            one.receiver().begin(began);
        }
        let result = what.await;
        let now = clock::now();
        let seconds = now.since(began).as_secs_f64();
        let others = (busy_seconds() - busy) - (process_cpu_seconds() - own);
        let seen = self.all().map(|one| {
            assert_eq!(one.ended(), None, "a bystander is still there");
            let Counts {
                pictures,
                audio_packets,
                longest_gap,
                longest_step,
                ..
            } = one.receiver().counts(now);
            Seen {
                pictures: pictures as f64 / seconds,
                sounds: audio_packets as f64 / seconds,
                step: longest_step,
                gap: longest_gap,
                others: others.max(0.0) / seconds,
            }
        });
        let worst = seen.reduce(|a, b| Seen {
            pictures: a.pictures.min(b.pictures),
            sounds: a.sounds.min(b.sounds),
            step: a.step.max(b.step),
            gap: a.gap.max(b.gap),
            others: a.others,
        });
        let worst = worst.expect("Ann at least");
        (worst, result)
    }

    /// Nobody notices `what`: pictures and sound come as before.
    ///
    /// The gap that is held to the limit is that of the server's output, by the clock of the mix
    /// (RTP time): pictures that a busy machine brings to the test late were on time there. Where
    /// other processes keep a good part of the cores busy, the server mixes at half the rate, as
    /// it should, or misses ticks; then the limits grow with what they took, which is measured.
    pub async fn unnoticed<T>(&self, name: &str, what: impl Future<Output = T>) -> T {
        let (seen, result) = self.watch(what).await;
        println!("{name}: {seen:?}");
        let others = seen.others.max(self.control.others);
        let (step, share) = match others < 0.3 {
            true => (0.1, 0.9),
            false => (0.1 + others, (0.6 - 0.3 * others).max(0.1)),
        };
        let step = Duration::from_secs_f64(step);
        assert!(seen.step <= step, "{name}: {seen:?}, at most {step:?}");
        let control = self.control;
        assert!(
            seen.pictures >= share * control.pictures && seen.sounds >= share * control.sounds,
            "{name}: {seen:?}, before {control:?}"
        );
        result
    }

    /// Waits until Ann's mix shows somebody as wished: live or not.
    pub async fn until_live(&self, id: &str, live: bool) {
        let shown = self.ann.until_tiles(|map| {
            let tile = map.tiles.iter().find(|tile| tile.id.to_string() == id);
            tile.is_some_and(|tile| tile.live == live)
        });
        let shown = tokio::time::timeout(PATIENCE, shown).await;
        shown.expect("in time").expect("Ann is there");
    }
}

async fn bystander(server: &Server, name: &str, source: u8) -> Client {
    let entry = entry(server, name, Some(VideoCodec::H264));
    let mut client = Client::join(entry, None).await.expect("to join");
    let material = Material {
        source,
        clip: Arc::new(clip(VideoCodec::Vp8, SMALL, source)),
        track: Arc::new(audio::beeps(source).expect("Opus")),
        log: None,
    };
    let pace = Pace::new(clock::now(), FPS, LENGTH, OnRequest::Restart);
    client.publish(material, pace);
    client
}

/// Somebody of the call's room who sends VP8.
pub fn entry(server: &Server, name: &str, receives: Option<VideoCodec>) -> Entry {
    Entry {
        url: server.url(),
        room: RoomName::new(ROOM).expect("a name"),
        name: DisplayName::new(name).expect("a name"),
        sends: Some(VideoCodec::Vp8),
        receives,
        quality: Quality::Auto,
    }
}

/// Seconds that all cores of the machine have been busy.
fn busy_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").expect("Linux");
    let line = text.lines().next().expect("a line for all cores");
    let ticks = line
        .split_whitespace()
        .skip(1)
        .map_while(|n| n.parse().ok());
    // user nice system idle iowait irq softirq steal, in hundredths.
    let busy: u64 = ticks
        .take(8)
        .enumerate()
        .filter(|(column, _)| ![3, 4].contains(column))
        .map(|(_, ticks): (usize, u64)| ticks)
        .sum();
    busy as f64 / 100.0
}

/// Somebody whose media are not what they should be.
pub struct Villain {
    /// Who the server takes them for.
    pub id: String,
    pub media: peer::client::Client,
    /// What happens on the connection.
    pub log: Arc<Recorder>,
    pub offer: String,
    pub answer: String,
    /// What the server says, and when. Ends with the socket.
    said: watch::Receiver<Vec<(Instant, Value)>>,
    listening: AbortHandle,
    sending: Vec<AbortHandle>,
}

impl Drop for Villain {
    fn drop(&mut self) {
        self.hush();
        self.listening.abort();
    }
}

/// Sends this codec and no sound, and receives nothing: costs the server no encoder.
pub fn sends(codec: VideoCodec) -> ClientOptions {
    ClientOptions {
        send_video: Some(codec),
        send_audio: false,
        receive_video: Vec::new(),
        receive_audio: false,
        ..Default::default()
    }
}

impl Villain {
    /// Joins like everybody.
    pub async fn join(server: &Server, name: &str, options: ClientOptions) -> Self {
        let mut socket = server.socket(ROOM).await;
        let joined = socket.join(name).await;
        let id = joined["participant"].as_str().expect("an id").to_owned();
        let log = Recorder::new();
        let (media, sdp) = peer::client::Client::offer(options, log.clone())
            .await
            .expect("an offer");
        let command = json!({"id": 2, "type": "offer", "sdp": sdp});
        let answered = socket.ask(command).await;
        let answer = answered["sdp"].as_str();
        let answer = answer.unwrap_or_else(|| panic!("{answered}")).to_owned();
        media.answer(&answer).await.expect("a good answer");
        log.state(peer::State::Connected).await;
        let (tell, said) = watch::channel(Vec::new());
        let listening = tokio::spawn(async move {
            while let Some(message) = socket.next().await {
                tell.send_modify(|said| said.push((Instant::now(), message)));
            }
        });
        Self {
            id,
            media,
            log,
            offer: sdp,
            answer,
            said,
            listening: listening.abort_handle(),
            sending: Vec::new(),
        }
    }

    /// Sends these pictures in a loop, at the usual rate, from now on.
    pub fn play(&mut self, pictures: Vec<Vec<Bytes>>) {
        let media = self.media.clone();
        self.often(FPS, move |n| {
            let payloads = pictures[n % pictures.len()].clone();
            let timestamp = clock::now().rtp_ticks(VIDEO_CLOCK) as u32;
            media.send_all(Kind::Video, payloads, timestamp, true, None);
        });
    }

    /// Sends these packets of sound in a loop from now on.
    pub fn speak(&mut self, packets: Vec<Bytes>) {
        let media = self.media.clone();
        self.often(50, move |n| {
            let payload = packets[n % packets.len()].clone();
            let timestamp = clock::now().rtp_ticks(AUDIO_CLOCK) as u32;
            media.send(Kind::Audio, payload, timestamp, n == 0, None);
        });
    }

    /// Does something so many times a second from now on; what was missed is made up for.
    pub fn often(&mut self, a_second: u32, mut act: impl FnMut(usize) + Send + 'static) {
        let acting = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / a_second);
            for n in 0.. {
                ticks.tick().await;
                act(n);
            }
        });
        self.sending.push(acting.abort_handle());
    }

    /// Stops sending.
    pub fn hush(&mut self) {
        for task in self.sending.drain(..) {
            task.abort();
        }
    }

    /// Waits for a message in which `key` is `value`, unless it has come already; and when it did.
    pub async fn told(&mut self, key: &str, value: &str) -> Instant {
        let wish = |said: &Vec<(Instant, Value)>| said.iter().any(|(_, said)| said[key] == value);
        let said = tokio::time::timeout(PATIENCE, self.said.wait_for(wish)).await;
        let said = said.unwrap_or_else(|_| panic!("waited in vain for {value}"));
        let said = said.unwrap_or_else(|_| panic!("the end before {value}"));
        let (at, _) = said
            .iter()
            .find(|(_, said)| said[key] == value)
            .expect("it came");
        *at
    }

    /// How often that message has come.
    pub fn count(&self, key: &str, value: &str) -> usize {
        let said = self.said.borrow();
        said.iter().filter(|(_, said)| said[key] == value).count()
    }
}
