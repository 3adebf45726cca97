//! What a room's decisions are carried out on: decoders, mixes, encoders and listeners.
//!
//! This is the one place that joins the stages of the media plane. It decides nothing: it does
//! what [`Effect`]s say, and hands what happens in pipelines to the room's inbox.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::clock::MediaTime;
use crate::decode;
use crate::encode;
use crate::encode::backend::Backend;
use crate::fanout::{Fanout, Listener, ListenerId};
use crate::gst;
use crate::id::{OutputId, ParticipantId};
use crate::media::{
    EncodedAudio, EncodedPicture, Fanned, Fit, ForwardedPacket, Kind, Layer, Tier, VideoCodec,
};
use crate::mix;
use crate::mix::plan::{self, MixEvent, MixId};
use crate::peer::{Passed, Peer};
use crate::room::budget::Step;
use crate::room::codecs::Codecs;
use crate::room::cost::Ledger;
use crate::room::links::Reception;
use crate::room::mixes::Mix;
use crate::room::output::{Ended, Feed};
use crate::room::speaker::Claims;
use crate::room::state::{AudioKey, Effect, Place, State, VideoKey};
use crate::room::uplink::Uplink;
use crate::stats::{Counted, Stats};

/// While something is recorded or packaged, its picture has a keyframe this often: what is lost when
/// it begins within one, and how exactly a player can seek.
const KEYFRAMES: Duration = Duration::from_secs(2);

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

impl Listening {
    /// They get this tier, or nothing.
    fn set(&mut self, tier: Option<Tier>, stats: &Stats) {
        if self.tier.as_ref().map(|(tier, _)| *tier) != tier {
            self.tier = tier.map(|tier| (tier, Counted::new(stats.tier_listeners(tier))));
        }
        match tier {
            Some(_) if self.all.is_none() => {
                self.all = Some(Counted::new(stats.listeners.clone()));
            }
            Some(_) => {}
            None => self.all = None,
        }
    }
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

    /// Carries effects out, in their order. Announcements are not the media plane's.
    pub fn carry_out(&mut self, state: &State, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Decode(id, kind, on) => self.decode(*id, *kind, *on),
                Effect::OpenVideo(mix, key) => {
                    let backend = self.context.codecs.encoder(key.codec);
                    self.open_video(*mix, *key, Arc::default(), backend);
                }
                Effect::OpenAudio(mix, _) => {
                    self.audio.insert(*mix, Arc::default());
                }
                Effect::ListenVideo(who, mix) => self.listen_video(*who, *mix),
                Effect::ListenAudio(who, mix) => self.listen_audio(*who, *mix),
                Effect::FeedVideo(id, mix) => self.feed_video(*id, *mix),
                Effect::FeedAudio(id, mix) => self.feed_audio(*id, *mix),
                Effect::CloseVideo(mix) => {
                    self.video.remove(mix);
                }
                Effect::CloseAudio(mix) => {
                    self.audio.remove(mix);
                }
                Effect::Replan => self.publish(state),
                Effect::Codec(codec) => {
                    self.uplinks = *codec;
                    for seat in self.seats.values() {
                        seat.uplink.ask_for_codec(*codec);
                    }
                }
                Effect::Layer {
                    who,
                    from,
                    layer,
                    best,
                } => {
                    if let Some(seat) = self.seats.get(from) {
                        let source = seat.uplink.source();
                        source.order(listener_id(*who), *layer, *best);
                    }
                }
                // Said, not done.
                Effect::Announce | Effect::Tier(_) | Effect::Uplink(..) => {}
            }
        }
    }

    /// Starts the encoder of a mix again after it failed. Its listeners stay. Where hardware
    /// failed, software goes on: devices have so many encoders and no more.
    pub fn restart(&mut self, state: &State, mix: MixId) {
        if let Some(out) = self.video.remove(&mix) {
            let mut backend = out.backend;
            if backend.is_some_and(|backend| backend.is_hardware()) {
                tracing::warn!(?backend, "hardware fails; the mix is encoded in software");
                backend = Codecs::software().encoder(out.key.codec);
            }
            self.open_video(mix, out.key, out.fanout, backend);
            self.publish(state);
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

    fn open_video(
        &mut self,
        mix: MixId,
        key: VideoKey,
        fanout: Arc<Fanout<EncodedPicture>>,
        backend: Option<Backend>,
    ) {
        let (library, stats) = (&self.context.library, &self.context.stats);
        let tell = self.tell.clone();
        let events = {
            let tell = tell.clone();
            Arc::new(move |event| tell(MediaEvent::Encoder(mix, event)))
        };
        let config = backend.map(|backend| encode::video::Config {
            backend,
            size: key.size,
            fps: key.fps,
            bitrate: key.bitrate,
        });
        let start = |config| {
            encode::video::Encoder::start(config, library, stats, fanout.clone(), events)
                .map_err(|error| error.to_string())
        };
        let encoder = config
            .ok_or_else(|| format!("nothing here encodes {}", key.codec.name()))
            .and_then(start)
            .inspect_err(|why| {
                let failed = encode::video::Event::Failed(why.clone());
                tell(MediaEvent::Encoder(mix, failed));
            })
            .ok();
        let out = VideoOut {
            backend,
            key,
            fanout,
            encoder,
        };
        self.video.insert(mix, out);
    }

    fn listen_video(&mut self, who: ParticipantId, mix: Option<MixId>) {
        let Some(seat) = self.seats.get_mut(&who) else {
            return;
        };
        let fanouts = |mix| self.video.get(&mix).map(|out| out.fanout.as_ref());
        seat.video.follow(listener_id(who), mix, fanouts);
        self.count(who);
        self.keyframe(mix);
    }

    fn feed_video(&mut self, id: OutputId, mix: Option<MixId>) {
        if let Some(tap) = self.taps.get_mut(&id) {
            let fanouts = |mix| self.video.get(&mix).map(|out| out.fanout.as_ref());
            tap.video.follow(output_id(id), mix, fanouts);
            self.count_output(id);
            self.keyframe(mix);
        }
    }

    fn feed_audio(&mut self, id: OutputId, mix: Option<MixId>) {
        if let Some(tap) = self.taps.get_mut(&id) {
            let fanouts = |mix| self.audio.get(&mix).map(|out| out.as_ref());
            tap.audio.follow(output_id(id), mix, fanouts);
            self.count_output(id);
        }
    }

    fn keyframe(&self, mix: Option<MixId>) {
        let out = mix.and_then(|mix| self.video.get(&mix));
        if let Some(encoder) = out.and_then(|out| out.encoder.as_ref()) {
            encoder.request_keyframe();
        }
    }

    fn listen_audio(&mut self, who: ParticipantId, mix: Option<MixId>) {
        let Some(seat) = self.seats.get_mut(&who) else {
            return;
        };
        let fanouts = |mix| self.audio.get(&mix).map(|out| out.as_ref());
        seat.audio.follow(listener_id(who), mix, fanouts);
        self.count(who);
    }

    fn count(&mut self, who: ParticipantId) {
        if let Some(seat) = self.seats.get_mut(&who) {
            let tier = tier(&seat.video, &seat.audio, &self.video);
            seat.listening.set(tier, &self.context.stats);
        }
    }

    fn count_output(&mut self, id: OutputId) {
        if let Some(tap) = self.taps.get_mut(&id) {
            let tier = tier(&tap.video, &tap.audio, &self.video);
            tap.listening.set(tier, &self.context.stats);
        }
    }

    /// Publishes what the loops are to do from their next tick on.
    fn publish(&mut self, state: &State) {
        self.let_through(state);
        self.pace_keyframes(state);
        let (video, audio) = (self.video_plan(state), self.audio_plan(state));
        if self.loops.is_none() && video.mixes.is_empty() && audio.mixes.is_empty() {
            return;
        }
        if self.loops.is_none() {
            match self.start_loops() {
                Ok(loops) => self.loops = Some(loops),
                Err(error) => {
                    let failed = MixEvent::Failed(format!("no thread to mix on: {error}"));
                    (self.tell)(MediaEvent::Mix(failed));
                }
            }
        }
        if let Some((video_loop, audio_loop)) = &self.loops {
            video_loop.publish(video);
            audio_loop.publish(audio);
        }
    }

    /// Who takes an uplink as it is gets what a mix would show and let hear, and no more.
    fn let_through(&self, state: &State) {
        for (id, seat) in &self.seats {
            let Some(person) = state.people().get(id) else {
                continue;
            };
            let source = seat.uplink.source();
            source.let_through(Kind::Audio, person.audio && !person.view);
            let shown = (person.video || person.shares) && !person.view;
            source.let_through(Kind::Video, shown);
        }
    }

    /// Files and segments are entered at keyframes, and nobody asks for those.
    fn pace_keyframes(&self, state: &State) {
        for (id, out) in &self.video {
            let output = state.video_mixes().get(*id).is_some_and(Mix::has_output);
            if let Some(encoder) = &out.encoder {
                encoder.keyframe_every(output.then_some(KEYFRAMES));
            }
        }
    }

    fn start_loops(&self) -> std::io::Result<(mix::video::Loop, mix::audio::Loop)> {
        let tell = self.tell.clone();
        let report: plan::Report = Arc::new(move |event| tell(MediaEvent::Mix(event)));
        let stats = &self.context.stats;
        Ok((
            mix::video::Loop::start(stats.clone(), report.clone())?,
            mix::audio::Loop::start(stats.clone(), report)?,
        ))
    }

    fn video_plan(&self, state: &State) -> plan::VideoPlan {
        let mixes = self.video.iter().filter_map(|(id, out)| {
            let arrangement = state.arrangement(*id)?;
            let tile = |place: &Place| {
                let who = place.source.who;
                let person = state.people().get(&who)?;
                let seat = self.seats.get(&who);
                Some(plan::Tile {
                    who,
                    name: person.label.clone(),
                    rect: place.rect,
                    fit: match place.source.share {
                        true => Fit::Whole,
                        false => Fit::Crop,
                    },
                    video: seat
                        .filter(|_| place.live)
                        .and_then(|seat| seat.frames.clone()),
                })
            };
            Some(plan::VideoMix {
                id: *id,
                layout: arrangement.layout,
                canvas: out.key.size,
                fps: out.key.fps,
                tiles: arrangement.places.iter().filter_map(tile).collect(),
                labels: out.key.without.is_none(),
                output: out.encoder.as_ref()?.input(),
            })
        });
        let period = Duration::from_secs(1) / self.context.fps.max(1);
        plan::VideoPlan {
            period: match state.gives_way() >= Step::Pictures {
                true => period * 2,
                false => period,
            },
            mixes: mixes.collect(),
        }
    }

    fn audio_plan(&self, state: &State) -> plan::AudioPlan {
        let sources = state.people().iter().filter(|(_, p)| !p.view);
        let sources = sources.filter_map(|(id, person)| {
            let seat = self.seats.get(id).filter(|seat| seat.has_audio)?;
            Some(plan::AudioSource {
                who: *id,
                samples: seat.samples.clone(),
                muted: !person.audio,
            })
        });
        let mixes = state.audio_mixes().iter().filter_map(|(id, mix)| {
            Some(plan::AudioMix {
                id,
                without: mix.key.without,
                gains: gains(state, mix.key),
                output: self.audio.get(&id)?.clone(),
            })
        });
        plan::AudioPlan {
            sources: sources.collect(),
            heard: state.settings().audio_active,
            mixes: mixes.collect(),
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

impl<T: Fanned> Line<T> {
    fn parked(parked: Option<Listener<T>>) -> Self {
        Self { at: None, parked }
    }

    /// Detaches from where it is and attaches to `mix`.
    fn follow<'a>(
        &mut self,
        id: ListenerId,
        mix: Option<MixId>,
        fanout: impl Fn(MixId) -> Option<&'a Fanout<T>>,
    ) {
        if let Some(listener) = self.at.take().and_then(&fanout).and_then(|f| f.detach(id)) {
            self.parked = Some(listener);
        }
        if let Some((mix, fanout)) = mix.and_then(|mix| Some((mix, fanout(mix)?)))
            && let Some(listener) = self.parked.take()
        {
            fanout.attach(id, listener);
            self.at = Some(mix);
        }
    }
}

/// How loud the voices of a sum are that are not as everybody hears them.
fn gains(state: &State, key: AudioKey) -> Vec<(ParticipantId, f32)> {
    let person = key.tuned.and_then(|id| state.people().get(&id));
    let volumes = person.into_iter().flat_map(|person| &person.volumes);
    volumes
        .map(|(who, percent)| (*who, f32::from(*percent) / 100.0))
        .collect()
}

/// What a listener gets. Who takes no video gets audio.
fn tier(
    video: &Line<EncodedPicture>,
    audio: &Line<EncodedAudio>,
    mixes: &HashMap<MixId, VideoOut>,
) -> Option<Tier> {
    let video = video.at.and_then(|mix| mixes.get(&mix));
    let audio = audio.at.map(|_| Tier::Audio);
    video.map(|out| out.key.tier).or(audio)
}

fn listener_id(id: ParticipantId) -> ListenerId {
    ListenerId(id.0.into())
}

/// No participant's, for those have 32 bits.
fn output_id(id: OutputId) -> ListenerId {
    ListenerId(1 << 32 | u64::from(id.0))
}
