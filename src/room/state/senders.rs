//! Whom a room decodes, and what it asks of those who send.

use std::collections::{BTreeMap, BTreeSet};

use super::{KEEP_OWN_SUM, Person, State};
use crate::clock::MediaTime;
use crate::id::ParticipantId;
use crate::media::{Kind, Layer, Layout, Rect, VideoCodec};
use crate::mix::beside;
use crate::room::budget::Step;
use crate::room::common_codec;
use crate::room::demand::Demand;
use crate::room::event::Effect;
use crate::room::layers::{self, Choice};
use crate::room::speaker::Decoded;

/// Claims within this many dB of each other are equally loud: which of them is decoded is not
/// worth a change.
const AS_LOUD: f32 = 6.0;

impl State {
    /// Decodes what is shown or may be heard, and nothing else; a track that `began` is told
    /// about in any case.
    pub(super) fn decode(
        &mut self,
        now: MediaTime,
        began: Option<(ParticipantId, Kind)>,
    ) -> Vec<Effect> {
        let wanted = self.worth_decoding(now);
        let mut effects = Vec::new();
        for (id, kind) in self.decoding.difference(&wanted) {
            effects.push(Effect::Decode(*id, *kind, false));
            if let Some(person) = self.people.get_mut(id) {
                match kind {
                    Kind::Video => person.live = false,
                    Kind::Audio => person.own_sum_until = Some(now.plus(KEEP_OWN_SUM)),
                }
            }
            if *kind == Kind::Audio {
                self.speakers.decoded(now, *id, None);
            }
        }
        for (id, kind) in wanted.difference(&self.decoding) {
            effects.push(Effect::Decode(*id, *kind, true));
            if *kind == Kind::Audio {
                // Until the first report: nothing was heard.
                self.speakers.decoded(now, *id, Some(Decoded::SILENCE));
            }
        }
        if let Some((id, kind)) = began.filter(|(id, _)| self.people.contains_key(id)) {
            let on = wanted.contains(&(id, kind));
            let told = |effect: &Effect| *effect == Effect::Decode(id, kind, on);
            if !effects.iter().any(told) {
                effects.push(Effect::Decode(id, kind, on));
            }
        }
        self.decoding = wanted;
        effects
    }

    fn worth_decoding(&self, now: MediaTime) -> BTreeSet<(ParticipantId, Kind)> {
        let mut wanted = BTreeSet::new();
        let mut nominees = Vec::new();
        if !self.mixes() {
            return wanted;
        }
        for (id, person) in self.people.iter().filter(|(_, p)| !p.view) {
            let on_stage = self.stage.sources().any(|source| source.who == *id);
            if person.has_video && on_stage {
                wanted.insert((*id, Kind::Video));
            }
            if person.has_audio && (on_stage || (person.audio && self.speakers.is_opaque(*id))) {
                wanted.insert((*id, Kind::Audio));
            } else if person.audible()
                && let Some((fresh, level)) = self.speakers.nominated(now, *id)
            {
                let class = (level / AS_LOUD).floor() as i32;
                let is_decoded = self.decodes(*id, Kind::Audio);
                nominees.push((fresh, class, is_decoded, std::cmp::Reverse(*id)));
            }
        }
        nominees.sort_unstable();
        let loudest = nominees.into_iter().rev().take(self.settings.audio_active);
        wanted.extend(loudest.map(|(.., id)| (id.0, Kind::Audio)));
        wanted
    }

    /// What everybody's video is needed for. Who is on stage may be seen by a newcomer at any
    /// time, even if nobody sees them now.
    pub(super) fn needed(&self) -> BTreeMap<ParticipantId, Demand> {
        let sending = self.people.iter().filter(|(_, p)| p.has_video && !p.view);
        let mixes = self.mixes();
        let on_stage = |id: &ParticipantId| self.stage.sources().any(|s| s.who == *id);
        let least = |id: &ParticipantId| match mixes && on_stage(id) {
            true => Demand::least(),
            false => Demand::HIDDEN,
        };
        let mut needed: BTreeMap<_, _> = sending.map(|(id, _)| (*id, least(id))).collect();
        let slow = if self.gives_way() >= Step::Pictures {
            2
        } else {
            1
        };
        for (id, mix) in self.video.iter() {
            let fps = (mix.key.fps / slow).max(1);
            let places = self.arrangements.get(&id).map(|a| a.places.as_slice());
            for place in places.unwrap_or_default() {
                let who = place.source.who;
                let sent = |person: &Person| person.shares == place.source.share;
                if self.people.get(&who).is_some_and(sent)
                    && let Some(needed) = needed.get_mut(&who)
                {
                    *needed = needed.or(Demand::of(place.rect, fps));
                }
            }
        }
        for person in self.people.values() {
            let places = self.forwarded_places(person.takes.len());
            let each = person.takes.iter().zip(places);
            for (id, rect) in each {
                if let Some(needed) = needed.get_mut(id) {
                    *needed = needed.or(self.taken_demand(person, *id, rect));
                }
            }
        }
        needed
    }

    /// How large somebody's picture is for who takes so many.
    fn forwarded_places(&self, taken: usize) -> Vec<Rect> {
        beside::places(
            Layout::Grid,
            self.settings.canvas,
            taken,
            self.settings.gutter,
        )
    }

    /// What one taker needs of `from`, who is shown in `rect` for all that is known.
    fn taken_demand(&self, taker: &Person, from: ParticipantId, rect: Rect) -> Demand {
        let taken = taker.taken.get(&from);
        let lines = taken.and_then(|taken| taken.lines);
        let rect = match lines {
            Some(height) => Rect {
                width: height * 16 / 9,
                height,
                ..rect
            },
            None => rect,
        };
        let whole = Demand::of(rect, self.settings.fps);
        let sender = self.people.get(&from).filter(|sender| sender.layered);
        let order = taken.and_then(|taken| taken.order);
        match (sender, order) {
            (Some(_), Some((Layer::Half, Layer::Half))) => Demand::HALF,
            // It gets the half for want of the whole, which is still wished for if it would be borne.
            (Some(sender), Some((Layer::Half, _))) => match taken.map(|taken| taken.bears) {
                Some(Layer::Half) => Demand::HALF,
                _ if sender.shares => whole,
                _ => whole.or(Demand::HALF),
            },
            // Until the whole comes, something is to.
            (Some(sender), _) if !sender.copies[1] && !sender.shares => whole.or(Demand::HALF),
            _ => whole,
        }
    }

    /// Chooses which copy of each picture each taker gets; what of that is new.
    pub(super) fn choose_layers(&mut self, now: MediaTime) -> Vec<Effect> {
        let senders = self.people.iter().filter(|(_, sender)| sender.layered);
        let senders = senders.map(|(id, sender)| (*id, (sender.shares, sender.copies)));
        let senders: BTreeMap<_, _> = senders.collect();
        let mut effects = Vec::new();
        for (who, person) in &mut self.people {
            for (from, taken) in &mut person.taken {
                let Some((shares, copies)) = senders.get(from) else {
                    continue;
                };
                // Text in half its size is none.
                let fits = match shares {
                    true => Layer::Whole,
                    false => layers::fits(taken.lines),
                };
                let choice = taken.choice.get_or_insert(Choice::new(fits));
                let best = choice.follow(now, fits, Layer::Whole);
                let layer = best.min(taken.bears);
                // A sender whose own line is narrow sends the smaller one alone.
                let missing = layer == Layer::Whole && *copies == [true, false];
                let order = match missing {
                    true => (Layer::Half, best),
                    false => (layer, best),
                };
                if taken.order.replace(order) != Some(order) {
                    let (layer, best) = order;
                    effects.push(Effect::Layer {
                        who: *who,
                        from: *from,
                        layer,
                        best,
                    });
                }
            }
        }
        effects
    }

    /// What uplinks are to be, for those who take them as they are; none: as each sends.
    pub fn codec(&self) -> Option<VideoCodec> {
        self.codec
    }

    /// Chooses what uplinks are to be, if that changes.
    pub(super) fn choose_codec(&mut self) -> Option<Effect> {
        let forwarding = self.people.values().any(|person| !person.takes.is_empty());
        // Who only watches a mix has no say.
        let counts = |person: &&Person| !person.view || !person.takes.is_empty();
        let people = self.people.values().filter(counts);
        let able = people.map(|person| person.able);
        let codec = common_codec::choose(self.codec, forwarding, able);
        let before = std::mem::replace(&mut self.codec, codec);
        (before != codec).then_some(Effect::Codec(codec))
    }
}
