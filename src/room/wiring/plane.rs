//! Carries out what a room decides about mixes: encoders, and what the loops make.

use std::sync::Arc;
use std::time::Duration;

use super::listening::listener_id;
use super::{MediaEvent, VideoOut, Wiring};
use crate::encode::backend::Backend;
use crate::fanout::Fanout;
use crate::id::ParticipantId;
use crate::media::{EncodedPicture, Fit, Kind};
use crate::mix::plan::{self, MixEvent, MixId};
use crate::room::budget::Step;
use crate::room::codecs::Codecs;
use crate::room::mixes::Mix;
use crate::room::state::{AudioKey, Effect, Place, State, VideoKey};
use crate::{encode, mix};

/// While something is recorded or packaged, its picture has a keyframe this often: what is lost when
/// it begins within one, and how exactly a player can seek.
const KEYFRAMES: Duration = Duration::from_secs(2);

/// How loud the voices of a sum are that are not as everybody hears them.
fn gains(state: &State, key: AudioKey) -> Vec<(ParticipantId, f32)> {
    let person = key.tuned.and_then(|id| state.people().get(&id));
    let volumes = person.into_iter().flat_map(|person| &person.volumes);
    volumes
        .map(|(who, percent)| (*who, f32::from(*percent) / 100.0))
        .collect()
}

impl Wiring {
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

    pub(super) fn keyframe(&self, mix: Option<MixId>) {
        let out = mix.and_then(|mix| self.video.get(&mix));
        if let Some(encoder) = out.and_then(|out| out.encoder.as_ref()) {
            encoder.request_keyframe();
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
