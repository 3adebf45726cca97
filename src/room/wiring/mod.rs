//! What a room's decisions are carried out on: decoders, mixes, encoders and listeners.
//!
//! This is the one place that joins the stages of the media plane. It decides nothing: it does
//! what [`Effect`](crate::room::state::Effect)s say, and hands what happens in pipelines to the
//! room's inbox.
//!
//! - `plane`: mixes, their encoders, and what the two loops make.
//! - `listening`: who is attached to which mix.

mod listening;
mod plane;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use self::listening::{listener_id, output_id};
use crate::clock::MediaTime;
use crate::encode::backend::Backend;
use crate::fanout::{Fanout, Listener};
use crate::id::{OutputId, ParticipantId};
use crate::media::{
    EncodedAudio, EncodedPicture, Fanned as _, ForwardedPacket, Kind, Layer, Tier, VideoCodec,
};
use crate::mix::plan::{MixEvent, MixId};
use crate::peer::{Passed, Peer};
use crate::room::codecs::Codecs;
use crate::room::cost::Ledger;
use crate::room::links::Reception;
use crate::room::output::{Ended, Feed};
use crate::room::speaker::Claims;
use crate::room::state::VideoKey;
use crate::room::uplink::Uplink;
use crate::stats::{Counted, Stats};
use crate::{decode, encode, gst, mix};

/// What every room of a process is made with.
pub struct Context {
    /// Pipeline texts.
    pub library: gst::Library,
    /// Figures.
    pub stats: Arc<Stats>,
    /// Who encodes and decodes.
    pub codecs: Codecs,
    /// Pictures a second at most.
    pub fps: u32,
    /// What all rooms cost together.
    pub ledger: Arc<Ledger>,
}

/// What happens in the pipelines of a room.
#[derive(Debug, Clone)]
pub enum MediaEvent {
    /// In somebody's video decoder.
    Video(ParticipantId, decode::video::Event),
    /// In somebody's audio decoder.
    Audio(ParticipantId, decode::audio::Event),
    /// In a mix's encoder.
    Encoder(MixId, encode::video::Event),
    /// In a media loop.
    Mix(MixEvent),
}

/// Where media events go. Called on media threads: must not block.
pub type Tell = Arc<dyn Fn(MediaEvent) + Send + Sync>;

/// The media plane of one room.
pub struct Wiring {
    context: Arc<Context>,
    tell: Tell,
    loops: Option<(mix::video::Loop, mix::audio::Loop)>,
    video: HashMap<MixId, VideoOut>,
    audio: HashMap<MixId, Arc<Fanout<EncodedAudio>>>,
    seats: HashMap<ParticipantId, Seat>,
    taps: HashMap<OutputId, Tap>,
    /// What uplinks are to be; none: as each sends.
    uplinks: Option<VideoCodec>,
}

struct VideoOut {
    backend: Option<Backend>,
    key: VideoKey,
    fanout: Arc<Fanout<EncodedPicture>>,
    /// None while it could not be started; a failure was told then.
    encoder: Option<encode::video::Encoder>,
}

/// Everything of one participant.
struct Seat {
    uplink: Arc<Uplink>,
    /// Of the video track, if there is one.
    codec: Option<VideoCodec>,
    /// There is an audio track.
    has_audio: bool,
    frames: Option<Arc<decode::video::Frames>>,
    samples: Option<Arc<decode::audio::Samples>>,
    peer: Option<Peer>,
    video: Line<EncodedPicture>,
    audio: Line<EncodedAudio>,
    listening: Listening,
}

/// Counts a listener, whatever it takes.
#[derive(Default)]
struct Listening {
    all: Option<Counted>,
    tier: Option<(Tier, Counted)>,
}

/// Everything of one output.
struct Tap {
    end: Arc<OnceLock<Ended>>,
    video: Line<EncodedPicture>,
    audio: Line<EncodedAudio>,
    listening: Listening,
}

/// A listener's sending end: attached to a mix, or kept here.
struct Line<T> {
    at: Option<MixId>,
    parked: Option<Listener<T>>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            at: None,
            parked: None,
        }
    }
}

impl Wiring {
    /// A room without anybody: no thread, no pipeline.
    pub fn new(context: Arc<Context>, tell: Tell) -> Self {
        Self {
            context,
            tell,
            loops: None,
            video: HashMap::new(),
            audio: HashMap::new(),
            seats: HashMap::new(),
            taps: HashMap::new(),
            uplinks: None,
        }
    }

    /// Somebody came in.
    pub fn seat(&mut self, id: ParticipantId, uplink: Arc<Uplink>) {
        uplink.ask_for_codec(self.uplinks);
        let seat = Seat {
            uplink,
            codec: None,
            has_audio: false,
            frames: None,
            samples: None,
            peer: None,
            video: Line::default(),
            audio: Line::default(),
            listening: Listening::default(),
        };
        self.seats.insert(id, seat);
    }

    /// Somebody left: their decoders end, their listeners are gone with the next effects.
    pub fn unseat(&mut self, id: ParticipantId) {
        if let Some(seat) = self.seats.remove(&id) {
            seat.uplink.end();
            // The fan-outs would notice by themselves only when a queue is full.
            if let Some(out) = seat.video.at.and_then(|mix| self.video.get(&mix)) {
                out.fanout.detach(listener_id(id));
            }
            if let Some(out) = seat.audio.at.and_then(|mix| self.audio.get(&mix)) {
                out.detach(listener_id(id));
            }
        }
    }

    /// Somebody's connection is negotiated: makes it a listener of pictures and one of sound.
    pub fn connect(&mut self, id: ParticipantId, peer: Peer) {
        let Some(seat) = self.seats.get_mut(&id) else {
            return;
        };
        if let Some(out) = seat.video.at.take().and_then(|mix| self.video.get(&mix)) {
            out.fanout.detach(listener_id(id));
        }
        if let Some(out) = seat.audio.at.take().and_then(|mix| self.audio.get(&mix)) {
            out.detach(listener_id(id));
        }
        let (video, audio) = peer.play();
        seat.video.parked = Some(video);
        seat.audio.parked = Some(audio);
        seat.peer = Some(peer);
    }

    /// Somebody's connection, once negotiated.
    pub fn peer(&self, id: ParticipantId) -> Option<&Peer> {
        self.seats.get(&id)?.peer.as_ref()
    }

    /// An output is to be fed: what it gets is up to effects.
    pub fn tap(&mut self, id: OutputId, feed: Feed) {
        let tap = Tap {
            end: feed.end,
            video: Line::parked(feed.video),
            audio: Line::parked(feed.audio),
            listening: Listening::default(),
        };
        self.taps.insert(id, tap);
    }

    /// An output gets nothing any more; its listeners are gone with the next effects.
    pub fn untap(&mut self, id: OutputId, why: Ended) {
        if let Some(tap) = self.taps.remove(&id) {
            // Where it ended before, that is why.
            let _ = tap.end.set(why);
            if let Some(out) = tap.video.at.and_then(|mix| self.video.get(&mix)) {
                out.fanout.detach(output_id(id));
            }
            if let Some(out) = tap.audio.at.and_then(|mix| self.audio.get(&mix)) {
                out.detach(output_id(id));
            }
        }
    }

    /// No output gets anything any more.
    pub fn untap_all(&mut self, why: Ended) {
        for id in self.taps.keys().copied().collect::<Vec<_>>() {
            self.untap(id, why);
        }
    }

    /// A track began or changed its codec. Whether it is decoded is up to an effect.
    pub fn track(&mut self, id: ParticipantId, kind: Kind, codec: Option<VideoCodec>) {
        if let Some(seat) = self.seats.get_mut(&id) {
            match kind {
                Kind::Video => seat.codec = codec,
                Kind::Audio => seat.has_audio = true,
            }
        }
    }

    /// What everybody's packets claimed since the last call.
    pub fn take_claims(&self) -> Vec<(ParticipantId, Claims)> {
        let claims = self
            .seats
            .iter()
            .map(|(id, s)| (*id, s.uplink.take_claims()));
        claims.filter(|(_, c)| *c != Claims::default()).collect()
    }

    /// How everybody's connection was since the last call, of those who have one.
    pub fn take_receptions(&self) -> Vec<(ParticipantId, Reception)> {
        let seats = self.seats.iter().filter(|(_, seat)| seat.peer.is_some());
        seats
            .map(|(id, seat)| (*id, seat.uplink.take_reception()))
            .collect()
    }

    /// What went over everybody's wires since the last call.
    pub fn take_traffic(&self) -> Vec<(ParticipantId, Passed)> {
        let seats = self.seats.iter();
        seats
            .map(|(id, seat)| (*id, seat.uplink.traffic().take()))
            .collect()
    }

    /// Builds a track's decoder, or ends it.
    fn decode(&mut self, id: ParticipantId, kind: Kind, on: bool) {
        let Some(seat) = self.seats.get_mut(&id) else {
            return;
        };
        match kind {
            Kind::Video => seat.frames = None,
            Kind::Audio => seat.samples = None,
        }
        let started = match on {
            true => seat.decode(id, kind, &self.context, &self.tell),
            false => Ok(()),
        };
        if let Err(error) = &started {
            let why = error.to_string();
            (self.tell)(match kind {
                Kind::Video => MediaEvent::Video(id, decode::video::Event::Failed(why)),
                Kind::Audio => MediaEvent::Audio(id, decode::audio::Event::Failed(why)),
            });
        }
        if !on || started.is_err() {
            seat.uplink.rest(kind);
        }
    }

    /// Asks for a picture that the listener `id` can start from.
    pub fn request_keyframe(&self, id: ParticipantId) {
        let Some(seat) = self.seats.get(&id) else {
            return;
        };
        seat.uplink.keyframe_passed_on();
        self.keyframe(seat.video.at);
    }

    /// Asks somebody for a keyframe on behalf of those who take their uplink as it is.
    pub fn keyframe_awaited(&self, id: ParticipantId, layer: Layer) {
        if let Some(seat) = self.seats.get(&id) {
            seat.uplink.keyframe_asked_for(layer);
            if let Some(peer) = &seat.peer {
                peer.request_keyframe_of(layer);
            }
        }
    }

    /// Asks somebody for a keyframe of what is decoded of them.
    pub fn keyframe_needed(&self, id: ParticipantId) {
        if let Some(seat) = self.seats.get(&id)
            && let Some(peer) = &seat.peer
        {
            peer.request_keyframe_of(seat.uplink.decodes());
        }
    }

    /// Decodes the largest copy of somebody's picture that comes.
    pub fn decode_copy(&self, id: ParticipantId, live: [bool; 2]) {
        if let Some(seat) = self.seats.get(&id) {
            match live {
                [_, true] => seat.uplink.decode_copy(Layer::Whole),
                [true, false] => seat.uplink.decode_copy(Layer::Half),
                [false, false] => {}
            }
        }
    }

    /// Of which copies of everybody's picture something came lately.
    pub fn live(&self, now: MediaTime) -> Vec<(ParticipantId, [bool; 2])> {
        let seats = self.seats.iter();
        seats
            .map(|(id, seat)| (*id, seat.uplink.source().live(now)))
            .collect()
    }

    /// Somebody takes somebody's uplink no longer.
    pub fn forget(&self, who: ParticipantId, from: ParticipantId) {
        if let Some(seat) = self.seats.get(&from) {
            seat.uplink.source().forget(listener_id(who));
        }
    }

    /// What somebody sends, for who takes it as it is.
    pub fn uplink(&self, id: ParticipantId) -> Option<Arc<Uplink>> {
        Some(self.seats.get(&id)?.uplink.clone())
    }

    /// Moves the fan-outs' drop counts into the figures.
    pub fn count_drops(&self) {
        let stats = &self.context.stats;
        for seat in self.seats.values() {
            let dropped = seat.uplink.source().take_dropped();
            stats.dropped(ForwardedPacket::QUEUE, dropped);
        }
        for out in self.video.values() {
            stats.dropped(EncodedPicture::QUEUE, out.fanout.take_dropped());
        }
        for out in self.audio.values() {
            stats.dropped(EncodedAudio::QUEUE, out.take_dropped());
        }
    }
}

impl Seat {
    fn decode(
        &mut self,
        id: ParticipantId,
        kind: Kind,
        context: &Context,
        tell: &Tell,
    ) -> Result<(), gst::Error> {
        let (library, stats) = (&context.library, &context.stats);
        let sync = self.uplink.sync().clone();
        let tell = tell.clone();
        match (kind, self.codec) {
            (Kind::Video, Some(codec)) => {
                let events = Arc::new(move |event| tell(MediaEvent::Video(id, event)));
                let backend = context.codecs.decoder(codec);
                let decoder = decode::video::Decoder::start(backend, library, stats, sync, events)?;
                self.frames = Some(decoder.frames());
                self.uplink.video_ready(Arc::new(decoder));
            }
            (Kind::Video, None) => {}
            (Kind::Audio, _) => {
                let events = Arc::new(move |event| tell(MediaEvent::Audio(id, event)));
                let decoder = decode::audio::Decoder::start(library, stats, sync, events)?;
                self.samples = Some(decoder.samples());
                self.uplink.audio_ready(Arc::new(decoder));
            }
        }
        Ok(())
    }
}
