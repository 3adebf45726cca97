//! The opponent that `quilt bench` compares with: what one would write by hand with GStreamer.
//!
//! Every participant has a `compositor` of their own over the others' decoded video, in which each
//! is scaled, an `audiomixer` of their own and an encoder of their own. Everything around it is
//! Quilt's: the transport, the encoders with their settings, the places of the tiles. It is set
//! up with care (I420 and one colorimetry throughout, so that nothing is converted; each source
//! decoded once; compositors with all the threads they want), so that what is compared is the
//! design.
//!
//! It serves one meeting of a number of participants that is known beforehand: the mixing begins
//! when all of them send. Nobody can come or go.

pub mod graph;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;

use super::host::{self, Guest};
use crate::clock::NtpTime;
use crate::config::Written;
use crate::fanout::ListenerId;
use crate::gst::{self, Library};
use crate::id::{DisplayName, ParticipantId};
use crate::media::{Kind, Rect, RtpPacket, Size, VideoCodec};
use crate::mix::layout::grid;
use crate::peer::{self, Engine, Peer, State};
use crate::room::state;
use crate::signalling::{MapTile, Message, NamesIn, TileMap};
use crate::stats::Stats;
use graph::{Graph, Output};

/// A source that has shown nothing is asked for a keyframe again after this long.
const ASK_AGAIN: Duration = Duration::from_millis(600);
/// So often; then it has no video.
const ASKS: u32 = 50;

/// The meeting that is served.
#[derive(Debug, Clone, Args)]
pub struct NaiveOptions {
    /// How many take part
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(2..=16))]
    pub participants: u8,
    /// Pictures a second
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub fps: u32,
    /// Where signalling and metrics are served
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// The port for all media
    #[arg(long, default_value = "127.0.0.1:0")]
    pub rtc_listen: SocketAddr,
}

/// Serves until the process is ended; the first line on standard output is like that of
/// `quilt serve`.
///
/// # Errors
/// When the ports cannot be had.
pub async fn serve(options: NaiveOptions) -> anyhow::Result<()> {
    let door = Open::bind(&options).await?;
    let addresses = serde_json::json!({ "http": door.http, "rtc": door.rtc, "tls": false });
    println!("{addresses}");
    door.serve().await
}

/// What is mixed, and how.
#[derive(Debug, Clone)]
pub struct Meeting {
    participants: usize,
    fps: u32,
    canvas: Size,
    gutter: u32,
    /// Bits a second of each picture.
    bitrate: u32,
}

impl Meeting {
    /// With everything as Quilt has it by default.
    fn new(options: &NaiveOptions) -> anyhow::Result<Self> {
        let rules = state::Settings::default();
        Ok(Self {
            participants: options.participants.into(),
            fps: options.fps,
            canvas: rules.canvas,
            gutter: rules.gutter,
            bitrate: Written::default().settle()?.video_bitrate,
        })
    }

    /// Where the others are in everybody's picture.
    fn places(&self) -> Vec<Rect> {
        grid(self.canvas, self.participants - 1, self.gutter)
    }

    /// Who is where in the picture of the one in seat `own`.
    fn map(&self, own: usize) -> TileMap {
        let (width, height) = (f64::from(self.canvas.width), f64::from(self.canvas.height));
        let others = (0..self.participants).filter(|seat| *seat != own);
        let tile = |(seat, place): (usize, Rect)| MapTile {
            id: participant(seat),
            name: DisplayName::new(&format!("Seat {seat}")).expect("a valid name"),
            x: f64::from(place.x) / width,
            y: f64::from(place.y) / height,
            width: f64::from(place.width) / width,
            height: f64::from(place.height) / height,
            live: true,
            share: false,
        };
        TileMap {
            layout: 1,
            rtp_time: 0,
            width: self.canvas.width,
            height: self.canvas.height,
            names: NamesIn::Page,
            includes_self: false,
            tiles: others.zip(self.places()).map(tile).collect(),
        }
    }
}

/// Seats are taken in the order of joining.
fn participant(seat: usize) -> ParticipantId {
    ParticipantId(seat as u32 + 1)
}

/// A server whose ports are open.
struct Open {
    http: SocketAddr,
    rtc: SocketAddr,
    listener: TcpListener,
    engine: Arc<Engine>,
    stats: Arc<Stats>,
    hall: Arc<Hall>,
}

impl Open {
    async fn bind(options: &NaiveOptions) -> anyhow::Result<Self> {
        gst::init().context("cannot start GStreamer")?;
        let stats = Arc::new(Stats::default());
        let settings = peer::Settings {
            listen: options.rtc_listen,
            public_ips: vec![],
        };
        let engine = Engine::bind(settings, stats.clone()).await?;
        let listener = TcpListener::bind(options.listen).await.context("binding")?;
        Ok(Self {
            http: listener.local_addr()?,
            rtc: engine.local_addr(),
            listener,
            engine,
            hall: Hall::new(Meeting::new(options)?, stats.clone()),
            stats,
        })
    }

    async fn serve(self) -> anyhow::Result<()> {
        let hall = self.hall;
        let door: host::Door<Seat> = Arc::new(move |id| {
            let seats = hall.seats.iter().enumerate();
            let mut free = seats.filter(|(seat, _)| participant(*seat) == id);
            free.next().map(|(_, seat)| seat.clone())
        });
        host::serve(self.listener, self.engine, self.stats, door).await?;
        Ok(())
    }
}

/// The one meeting.
struct Hall {
    meeting: Meeting,
    stats: Arc<Stats>,
    seats: Vec<Arc<Seat>>,
    /// What each one sends; taken when everybody does.
    expected: Mutex<Option<Vec<Sends>>>,
    graph: OnceLock<Graph>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sends {
    video: Option<VideoCodec>,
    audio: bool,
}

/// One participant.
struct Seat {
    number: usize,
    hall: Weak<Hall>,
    output: Output,
    peer: OnceLock<Peer>,
}

impl Hall {
    fn new(meeting: Meeting, stats: Arc<Stats>) -> Arc<Self> {
        Arc::new_cyclic(|hall: &Weak<Self>| {
            let seat = |number| {
                Arc::new(Seat {
                    number,
                    hall: hall.clone(),
                    output: Output::default(),
                    peer: OnceLock::new(),
                })
            };
            Self {
                seats: (0..meeting.participants).map(seat).collect(),
                expected: Mutex::new(Some(vec![Sends::default(); meeting.participants])),
                meeting,
                stats,
                graph: OnceLock::new(),
            }
        })
    }

    /// Notes a track; the last one that was missing starts the meeting, on a thread of its own.
    fn track(self: &Arc<Self>, seat: usize, kind: Kind, codec: Option<VideoCodec>) {
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(all) = expected.as_mut() else {
            return;
        };
        match kind {
            Kind::Video => all[seat].video = codec,
            Kind::Audio => all[seat].audio = true,
        }
        let codecs: Option<Vec<_>> = all
            .iter()
            .map(|sends| sends.video.filter(|_| sends.audio))
            .collect();
        if let Some(codecs) = codecs {
            *expected = None;
            let hall = self.clone();
            std::thread::spawn(move || {
                if let Err(error) = hall.start(&codecs) {
                    tracing::error!("the meeting does not start: {error:#}");
                }
            });
        }
    }

    fn start(&self, codecs: &[VideoCodec]) -> anyhow::Result<()> {
        let library = Library::embedded();
        let outputs: Vec<_> = self.seats.iter().map(|seat| &seat.output).collect();
        let graph = Graph::start(&library, &self.stats, &self.meeting, codecs, &outputs)?;
        let graph = self.graph.get_or_init(|| graph);
        for _ in 0..ASKS {
            let blind = self.seats.iter().filter(|s| !graph.has_seen(s.number));
            let peers: Vec<_> = blind.filter_map(|seat| seat.peer.get()).collect();
            if peers.is_empty() {
                break;
            }
            peers.into_iter().for_each(Peer::request_keyframe);
            std::thread::sleep(ASK_AGAIN);
        }
        Ok(())
    }
}

impl Guest for Seat {
    fn greeting(&self) -> Vec<Message> {
        let hall = self.hall.upgrade();
        hall.map(|hall| Message::Tiles(hall.meeting.map(self.number)))
            .into_iter()
            .collect()
    }

    fn meet(&self, peer: Peer) {
        let (video, audio) = peer.play();
        self.output.video.attach(ListenerId(0), video);
        self.output.audio.attach(ListenerId(0), audio);
        // A later offer of the same participant would be another connection; none makes one.
        let _ = self.peer.set(peer);
    }
}

impl peer::Uplink for Seat {
    fn track(&self, kind: Kind, codec: Option<VideoCodec>) {
        if let Some(hall) = self.hall.upgrade() {
            hall.track(self.number, kind, codec);
        }
    }

    fn packet(&self, kind: Kind, packet: RtpPacket) {
        let hall = self.hall.upgrade();
        if let Some(graph) = hall.as_ref().and_then(|hall| hall.graph.get()) {
            graph.push(self.number, kind, &packet);
        }
    }

    fn sender_report(&self, _kind: Kind, _ntp: NtpTime, _rtp: u32) {}

    fn keyframe_requested(&self) {
        let hall = self.hall.upgrade();
        if let Some(graph) = hall.as_ref().and_then(|hall| hall.graph.get()) {
            graph.request_keyframe(self.number);
        }
    }

    fn state(&self, _state: State) {}

    fn bandwidth(&self, _bits_per_second: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::RoomName;
    use crate::load::{Downlink, Options, Quality, Uplink, run};

    #[tokio::test(flavor = "multi_thread")]
    async fn everybody_sees_and_hears_the_others() {
        let naive = NaiveOptions {
            participants: 3,
            fps: 12,
            listen: "127.0.0.1:0".parse().unwrap(),
            rtc_listen: "127.0.0.1:0".parse().unwrap(),
        };
        let open = Open::bind(&naive).await.unwrap();
        let url = format!("http://{}", open.http);
        tokio::spawn(open.serve());
        let options = Options {
            url,
            room: RoomName::new("naive").unwrap(),
            publishers: 3,
            viewers: 0,
            seconds: 5,
            settle: 3,
            clip: None,
            codec: Uplink::Mixed,
            downlink: Downlink::H264,
            quality: Quality::High,
            decode: 3,
            fps: 12,
            seed: 1,
            json: false,
        };
        let report = run(options).await.unwrap();
        for client in &report.clients {
            assert_eq!(client.error, None);
            let sample = client.sample.as_ref().unwrap();
            assert_eq!(sample.tiles.len(), 2, "{sample:?}");
            assert!(sample.tiles.iter().all(|tile| tile.marks_per_second > 0.0));
            assert_eq!(sample.strange_marks, 0);
            assert!(sample.ssim.unwrap() > 0.8, "{sample:?}");
            assert!(sample.audio_latency_ms.unwrap().count >= 2, "{sample:?}");
        }
    }

    #[test]
    fn nobody_is_in_their_own_picture() {
        let meeting = Meeting {
            participants: 4,
            fps: 25,
            canvas: Size::new(1280, 720),
            gutter: 16,
            bitrate: 1,
        };
        for own in 0..4 {
            let map = meeting.map(own);
            let ids: Vec<_> = map.tiles.iter().map(|tile| tile.id.0 as usize).collect();
            let others: Vec<_> = (1..=4).filter(|id| *id != own + 1).collect();
            assert_eq!(ids, others);
        }
    }
}
