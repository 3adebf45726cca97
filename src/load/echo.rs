//! A server for tests that sends everybody their own media back: real transport, no mixing.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;

use super::host::{self, Guest};
use crate::clock::{self, MediaTime, NtpTime};
use crate::fanout::{Fanout, ListenerId};
use crate::id::{DisplayName, ParticipantId};
use crate::media::{EncodedAudio, EncodedPicture, Kind, RtpPacket, VideoCodec};
use crate::payload::starts_keyframe;
use crate::peer::{self, Engine, Peer, State};
use crate::signalling::{MapTile, Message, NamesIn, TileMap};
use crate::stats::Stats;

/// Starts the server on loopback; answers its URL.
pub async fn start() -> String {
    let stats = Arc::new(Stats::default());
    let settings = peer::Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        public_ips: vec![],
    };
    let engine = Engine::bind(settings, stats.clone()).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let door: host::Door<Echo> = Arc::new(|id| Some(Arc::new(Echo::new(id))));
    tokio::spawn(host::serve(listener, engine, stats, door));
    url
}

/// Everybody has the whole picture.
fn map(id: ParticipantId) -> Message {
    Message::Tiles(TileMap {
        layout: 1,
        rtp_time: 0,
        width: 640,
        height: 360,
        names: NamesIn::Page,
        includes_self: true,
        tiles: vec![MapTile {
            id,
            name: DisplayName::new("echo").unwrap(),
            x: 0.0,
            y: 0.0,
            width: 1.0,
            height: 1.0,
            live: true,
            share: false,
        }],
    })
}

struct Echo {
    id: ParticipantId,
    peer: OnceLock<Peer>,
    video: Fanout<EncodedPicture>,
    audio: Fanout<EncodedAudio>,
    state: Mutex<Gathered>,
}

#[derive(Default)]
struct Gathered {
    codec: Option<VideoCodec>,
    payloads: Vec<Bytes>,
    sound: Option<MediaTime>,
}

impl Echo {
    fn new(id: ParticipantId) -> Self {
        Self {
            id,
            peer: OnceLock::new(),
            video: Fanout::default(),
            audio: Fanout::default(),
            state: Mutex::default(),
        }
    }
}

impl Guest for Echo {
    fn greeting(&self) -> Vec<Message> {
        vec![map(self.id)]
    }

    fn meet(&self, peer: Peer) {
        let (video, audio) = peer.play();
        self.video.attach(ListenerId(0), video);
        self.audio.attach(ListenerId(0), audio);
        self.peer.set(peer).unwrap();
    }
}

impl peer::Uplink for Echo {
    fn track(&self, _kind: Kind, codec: Option<VideoCodec>) {
        let mut state = self.state.lock().unwrap();
        state.codec = codec.or(state.codec);
    }

    fn packet(&self, kind: Kind, packet: RtpPacket) {
        let mut state = self.state.lock().unwrap();
        if packet.payload.is_empty() {
            return;
        }
        if kind == Kind::Audio {
            // A packet's worth after the one before; the first was captured 20 ms ago.
            let packet_time = Duration::from_millis(20);
            let before = state.sound.map(|at| at.plus(packet_time));
            let at = before.unwrap_or(MediaTime(clock::now().0 - 20_000_000));
            state.sound = Some(at);
            let payload = packet.payload;
            self.audio.send(&Arc::new(EncodedAudio { at, payload }));
            return;
        }
        state.payloads.push(packet.payload);
        if let (true, Some(codec)) = (packet.marker, state.codec) {
            let payloads = std::mem::take(&mut state.payloads);
            let waiting = self.video.send(&Arc::new(EncodedPicture {
                codec,
                at: clock::now(),
                keyframe: payloads.iter().any(|p| starts_keyframe(codec, p)),
                payloads,
                arrivals: vec![],
                layout: 1,
            }));
            if let (true, Some(peer)) = (waiting, self.peer.get()) {
                peer.request_keyframe();
            }
        }
    }

    fn sender_report(&self, _kind: Kind, _ntp: NtpTime, _rtp: u32) {}

    fn keyframe_requested(&self) {
        if let Some(peer) = self.peer.get() {
            peer.request_keyframe();
        }
    }

    fn state(&self, _state: State) {}

    fn bandwidth(&self, _bits_per_second: u64) {}
}
