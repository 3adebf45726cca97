//! Who is attached to which mix, and how many that are.

use std::collections::HashMap;

use super::{Line, Listening, VideoOut, Wiring};
use crate::fanout::{Fanout, Listener, ListenerId};
use crate::id::{OutputId, ParticipantId};
use crate::media::{EncodedAudio, EncodedPicture, Fanned, Tier};
use crate::mix::plan::MixId;
use crate::stats::{Counted, Stats};

/// What a listener gets. Who takes no video gets audio.
pub(super) fn tier(
    video: &Line<EncodedPicture>,
    audio: &Line<EncodedAudio>,
    mixes: &HashMap<MixId, VideoOut>,
) -> Option<Tier> {
    let video = video.at.and_then(|mix| mixes.get(&mix));
    let audio = audio.at.map(|_| Tier::Audio);
    video.map(|out| out.key.tier).or(audio)
}

pub(super) fn listener_id(id: ParticipantId) -> ListenerId {
    ListenerId(id.0.into())
}

/// No participant's, for those have 32 bits.
pub(super) fn output_id(id: OutputId) -> ListenerId {
    ListenerId(1 << 32 | u64::from(id.0))
}

impl Listening {
    /// They get this tier, or nothing.
    pub(super) fn set(&mut self, tier: Option<Tier>, stats: &Stats) {
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

impl Wiring {
    pub(super) fn listen_video(&mut self, who: ParticipantId, mix: Option<MixId>) {
        let Some(seat) = self.seats.get_mut(&who) else {
            return;
        };
        let fanouts = |mix| self.video.get(&mix).map(|out| out.fanout.as_ref());
        seat.video.follow(listener_id(who), mix, fanouts);
        self.count(who);
        self.keyframe(mix);
    }

    pub(super) fn feed_video(&mut self, id: OutputId, mix: Option<MixId>) {
        if let Some(tap) = self.taps.get_mut(&id) {
            let fanouts = |mix| self.video.get(&mix).map(|out| out.fanout.as_ref());
            tap.video.follow(output_id(id), mix, fanouts);
            self.count_output(id);
            self.keyframe(mix);
        }
    }

    pub(super) fn feed_audio(&mut self, id: OutputId, mix: Option<MixId>) {
        if let Some(tap) = self.taps.get_mut(&id) {
            let fanouts = |mix| self.audio.get(&mix).map(|out| out.as_ref());
            tap.audio.follow(output_id(id), mix, fanouts);
            self.count_output(id);
        }
    }

    pub(super) fn listen_audio(&mut self, who: ParticipantId, mix: Option<MixId>) {
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
}

impl<T: Fanned> Line<T> {
    pub(super) fn parked(parked: Option<Listener<T>>) -> Self {
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
