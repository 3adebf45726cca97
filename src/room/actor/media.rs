//! What connections, decoders and encoders report to a room.

use std::time::Duration;

use super::{Command, Room};
use crate::clock;
use crate::id::ParticipantId;
use crate::media::{Kind, VideoCodec};
use crate::mix::plan::{Level, MixEvent};
use crate::quiet::REFUSED;
use crate::room::common_codec::Abilities;
use crate::room::state::Event;
use crate::room::uplink::UplinkEvent;
use crate::room::wiring::MediaEvent;
use crate::signalling::{ByeReason, Message, NoticeCode};
use crate::{decode, encode, peer};

/// A failed encoder is started again after this long, so that a broken one cannot spin.
const RESTART_AFTER: Duration = Duration::from_secs(1);

impl Room {
    /// Looks at everybody's connection, and tells what changed.
    pub(super) fn look_at_links(&mut self) {
        let mut seen = self.wiring.take_receptions();
        for (id, reception) in &mut seen {
            reception.gone = self.members.get(&*id).is_some_and(|member| member.away);
        }
        if self.links.look(&seen) {
            let links = self.links.told();
            self.tell_all(&Message::Links { links });
        }
    }

    /// Looks which copies of the pictures come that are taken as they are.
    pub(super) fn look_at_copies(&mut self) {
        for (id, live) in self.wiring.live(clock::now()) {
            if self.state.copies(id).is_some_and(|copies| copies != live) {
                // Who has a narrow line may send the small copy alone.
                self.wiring.decode_copy(id, live);
                self.apply(Event::Copies { id, live });
            }
        }
    }

    pub(super) fn uplink(&mut self, id: ParticipantId, event: UplinkEvent) {
        match event {
            UplinkEvent::Track(kind, codec) => {
                self.wiring.track(id, kind, codec);
                self.apply(Event::Track { id, kind });
            }
            UplinkEvent::Voice => self.apply(Event::Voice { id }),
            UplinkEvent::Line(rung) => {
                if let Some(tier) = self.state.settings().tiers.all().get(rung) {
                    self.apply(Event::Line { id, tier: *tier });
                }
            }
            UplinkEvent::KeyframeAwaited(layer) => self.wiring.keyframe_awaited(id, layer),
            UplinkEvent::KeyframeRequested => {
                self.apply(Event::Keyframe { id });
                self.wiring.request_keyframe(id);
            }
            UplinkEvent::State(peer::State::Connected) => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.connected = true;
                    member.away = false;
                    self.downlink(id);
                }
            }
            UplinkEvent::State(peer::State::Disconnected) => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.away = true;
                }
                tracing::info!(room = %self.name, %id, "media disconnected");
            }
            UplinkEvent::State(peer::State::Closed) => self.dismiss(id, ByeReason::MediaLost),
            UplinkEvent::State(peer::State::CutOff) => {
                let room = &self.name;
                tracing::info!(target: REFUSED, %room, %id, "sends more than anybody may");
                self.dismiss(id, ByeReason::SendsTooMuch);
            }
        }
    }

    /// Once connected: what they can receive.
    pub(super) fn downlink(&mut self, id: ParticipantId) {
        if !self.members.get(&id).is_some_and(|m| m.connected) {
            return;
        }
        if let Some(peer) = self.wiring.peer(id) {
            let (video, audio) = (peer.downlink_codec(), peer.downlink_audio());
            let codecs = Abilities {
                h264: peer.can(VideoCodec::H264),
                vp8: peer.can(VideoCodec::Vp8),
            };
            let layered = peer.layered();
            self.apply(Event::Able {
                id,
                codecs,
                layered,
            });
            self.apply(Event::Downlink { id, video, audio });
        }
    }

    pub(super) fn media(&mut self, event: MediaEvent) {
        match event {
            MediaEvent::Video(id, event) => self.video_decoder(id, event),
            MediaEvent::Audio(id, event) => self.audio_decoder(id, event),
            MediaEvent::Encoder(mix, event) => {
                let why = match event {
                    encode::video::Event::Failed(why) => why,
                    encode::video::Event::Stalled => "it takes pictures and yields none".into(),
                };
                tracing::error!(room = %self.name, ?mix, why, "encoder failed, starting it again");
                let commands = self.commands.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(RESTART_AFTER).await;
                    if let Some(commands) = commands.upgrade() {
                        let _ = commands.send(Command::Restart(mix)).await;
                    }
                });
            }
            MediaEvent::Mix(MixEvent::LayoutShown { mix, layout, at }) => {
                self.shown.insert(mix, (layout, at));
                self.send_tiles(mix, None);
            }
            MediaEvent::Mix(MixEvent::Levels(levels)) => {
                self.levels(&levels);
                self.apply(Event::Levels(levels));
            }
            // Caught by the registry: it ends this room, and every session is told.
            MediaEvent::Mix(MixEvent::Failed(why)) => panic!("{why}"),
        }
    }

    fn video_decoder(&mut self, id: ParticipantId, event: decode::video::Event) {
        use decode::video::Event as Decoder;
        match event {
            Decoder::KeyframeNeeded => self.wiring.keyframe_needed(id),
            Decoder::Started(_) | Decoder::Resumed => self.apply(Event::Live { id, live: true }),
            Decoder::SizeChanged(_) => {}
            Decoder::Frozen => self.apply(Event::Live { id, live: false }),
            Decoder::Stalled => {
                self.apply(Event::Live { id, live: false });
                self.uplink_failed(id, Kind::Video, "nothing could be decoded for seconds");
            }
            Decoder::Failed(why) => {
                self.apply(Event::Live { id, live: false });
                self.uplink_failed(id, Kind::Video, &why);
            }
        }
    }

    fn audio_decoder(&mut self, id: ParticipantId, event: decode::audio::Event) {
        use decode::audio::Event as Decoder;
        match event {
            Decoder::Stalled => self.uplink_failed(id, Kind::Audio, "nothing could be decoded"),
            Decoder::Failed(why) => self.uplink_failed(id, Kind::Audio, &why),
            // A voice that pauses is silence in the sum; nobody needs to be told.
            Decoder::Started | Decoder::Frozen | Decoder::Resumed => {}
        }
    }

    /// Says so, unless it was said just now: what is broken stays broken for a while.
    fn uplink_failed(&mut self, id: ParticipantId, kind: Kind, why: &str) {
        let now = clock::now();
        let failing = self.members.get_mut(&id).map(|member| &mut member.failing);
        let more = failing.and_then(|failing| match kind {
            Kind::Audio => failing[0].ask(now),
            Kind::Video => failing[1].ask(now),
        });
        let Some(more) = more else { return };
        let room = &self.name;
        tracing::info!(target: REFUSED, %room, %id, ?kind, why, more, "uplink cannot be decoded");
        let (code, what) = match kind {
            Kind::Video => (NoticeCode::UplinkVideoFailed, "camera"),
            Kind::Audio => (NoticeCode::UplinkAudioFailed, "microphone"),
        };
        let text = format!("The server cannot decode what your {what} sends.");
        self.tell(id, Message::Notice { code, text });
    }

    fn levels(&mut self, levels: &[Level]) {
        let mut loudest: Vec<_> = levels.iter().filter(|l| l.speaking).collect();
        loudest.sort_by(|a, b| b.dbfs.total_cmp(&a.dbfs));
        let mut speaking: Vec<_> = loudest.into_iter().map(|l| l.who).collect();
        let unchanged = {
            let (mut was, mut is) = (self.speaking.clone(), speaking.clone());
            was.sort();
            is.sort();
            was == is
        };
        if !unchanged {
            self.speaking = std::mem::take(&mut speaking);
            let speaking = self.speaking.clone();
            self.tell_all(&Message::Speaking { speaking });
        }
    }
}
