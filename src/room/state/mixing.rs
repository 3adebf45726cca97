//! Which mixes a room needs, and who gets which.

use std::collections::{BTreeMap, BTreeSet};

use super::choices::shown;
use super::{Person, State};
use crate::clock::MediaTime;
use crate::id::{OutputId, ParticipantId, Source};
use crate::media::{Kind, Layout, Rect, Tier, VideoCodec};
use crate::mix::beside;
use crate::room::arrange::{Cast, effective};
use crate::room::budget::Step;
use crate::room::event::{Arrangement, AudioKey, Effect, MixPolicy, Place, VideoKey, Wanted};
use crate::room::mixes::Ear;
use crate::room::output::Wish as OutputWish;
use crate::room::stage::Stage;
use crate::room::tier;

/// Televisions are on before the meeting and after it: an empty picture has to be there soon for
/// whoever comes to watch, and may cost nothing.
const WAITING_FPS: u32 = 2;

/// The stage without what a mix leaves out.
fn cast(stage: &Stage, without: Option<ParticipantId>) -> Vec<Option<Source>> {
    let own = |place: &Option<Source>| place.is_some_and(|s| Some(s.who) == without);
    stage.places().filter(|place| !own(place)).collect()
}

impl State {
    /// Who is in a picture of one.
    fn alone(&self) -> Option<ParticipantId> {
        let first = || self.stage.sources().next().map(|source| source.who);
        self.by_floor().first().copied().or_else(first)
    }

    pub(super) fn tier(&self, person: &Person) -> Tier {
        let tiers = &self.settings.tiers;
        tiers.pick(person.quality, person.line, self.most()).0
    }

    /// Tells everybody what they get, once they are connected, and when that changes.
    pub(super) fn tell_tiers(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        let connected = |p: &Person| p.receives_audio || p.receives_video.is_some();
        let ids = self.people.iter().filter(|(_, p)| connected(p));
        for id in ids.map(|(id, _)| *id).collect::<Vec<_>>() {
            let given = self.given(id);
            if self.change(id, |p| std::mem::replace(&mut p.told, given) != given) {
                effects.push(Effect::Tier(id));
            }
        }
        effects
    }

    /// Which mix that is. None: there is no picture in this tier.
    pub fn key(&self, wanted: &Wanted) -> Option<VideoKey> {
        let Wanted { tier, without, .. } = *wanted;
        let cast = cast(self.shown(tier), without);
        let layout = match tier {
            Tier::Low => Layout::Solo,
            _ => wanted.layout.unwrap_or(self.settings.layout),
        };
        let screen = cast.iter().flatten().any(|source| source.share);
        let (canvas, fps) = (self.settings.canvas, self.settings.fps);
        let shape = tier::shape(tier, canvas, fps, wanted.portrait, screen)?;
        Some(VideoKey {
            without,
            tier,
            codec: wanted.codec,
            size: shape.size,
            layout: effective(layout, &cast),
            fps: match self.waits() {
                true => shape.fps.min(WAITING_FPS),
                false => shape.fps,
            },
            bitrate: self.settings.tiers.bitrate(tier),
            apart: false,
        })
    }

    /// Whether others share the mix that somebody is to see, and would get a keyframe for them.
    pub(super) fn would_disturb(&self, id: ParticipantId) -> bool {
        // Where the processor is at its limit, an encoder more is the greater evil.
        let key = self.people.get(&id).and_then(|p| self.wish(id, p));
        let mut mixes = self.video.iter();
        let shared = mixes.find(|(_, mix)| Some(mix.key) == key);
        let others = |ear: &Ear| *ear != Ear::Person(id);
        self.gives_way() < Step::Personal
            && shared.is_some_and(|(_, mix)| mix.listeners.iter().any(others))
    }

    /// Those who are apart see what the others see where these get a keyframe anyway, because
    /// somebody else comes.
    pub(super) fn rejoin(&mut self, sees: &mut BTreeMap<Ear, VideoKey>) {
        if !self.people.values().any(|person| person.apart) {
            return;
        }
        let has = |ear, key| {
            let mix = self.video.of(ear).and_then(|mix| self.video.get(mix));
            mix.is_some_and(|mix| mix.key == key)
        };
        let comes = sees
            .iter()
            .filter(|(ear, key)| !key.apart && !has(**ear, **key));
        let comes: Vec<_> = comes.map(|(_, key)| *key).collect();
        self.let_in(&comes);
        for key in sees.values_mut().filter(|key| key.apart) {
            key.apart = !comes.contains(&VideoKey {
                apart: false,
                ..*key
            });
        }
    }

    /// Nobody is apart from these mixes any more.
    pub(super) fn let_in(&mut self, mixes: &[VideoKey]) {
        let apart = self.people.iter().filter(|(_, person)| person.apart);
        let apart = apart.filter(|(id, person)| {
            let key = self.wish(**id, person);
            key.is_some_and(|key| {
                let apart = false;
                mixes.contains(&VideoKey { apart, ..key })
            })
        });
        for id in apart.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.change(id, |person| {
                person.apart = false;
                false
            });
        }
    }

    /// The picture that somebody is to see.
    pub(super) fn wish(&self, id: ParticipantId, person: &Person) -> Option<VideoKey> {
        let tier = self.tier(person);
        let on_stage = |id| self.shown(tier).sources().any(|source| source.who == id);
        // Who would see nobody but themselves is shown somebody else.
        let alone = || tier == Tier::Low && self.alone() == Some(id);
        let personal = self.is_personal() || !person.overlay || alone();
        let own = match person.without {
            Some(other) => on_stage(other).then_some(other),
            None => (on_stage(id) && personal).then_some(id),
        };
        let key = self.key(&Wanted {
            tier,
            codec: person.receives_video.filter(|_| person.mixed())?,
            portrait: person.portrait,
            layout: own.and(person.layout),
            without: own,
        })?;
        let apart = person.apart && own.is_none();
        Some(VideoKey { apart, ..key })
    }

    /// The best tier that anybody gets.
    pub(super) fn most(&self) -> Tier {
        self.cap.min(self.gives_way().tier())
    }

    /// The picture each listener will see once all are connected, with this codec if they have not
    /// chosen yet, and the policy has given way.
    pub fn foreseen_video(&self, codec: VideoCodec) -> BTreeMap<Ear, VideoKey> {
        let mut foreseen = self.clone();
        if foreseen.settings.policy == MixPolicy::Auto {
            foreseen.settings.policy = MixPolicy::Common;
        }
        for person in foreseen.people.values_mut() {
            person.receives_video.get_or_insert(codec);
            person.apart = false;
        }
        foreseen.wanted_video()
    }

    /// The picture each listener is to see.
    pub(super) fn wanted_video(&self) -> BTreeMap<Ear, VideoKey> {
        let person = |(id, person): (&ParticipantId, &Person)| {
            let key = self.wish(*id, person)?;
            Some((Ear::Person(*id), key))
        };
        let output = |(id, wish): (&OutputId, &OutputWish)| {
            let key = self.key(&Wanted {
                portrait: wish.portrait,
                layout: wish.layout,
                ..Wanted::common(wish.tier, wish.video?)
            })?;
            Some((Ear::Output(*id), key))
        };
        let people = self.people.iter().filter_map(person);
        let outputs = self.outputs.iter().filter_map(output);
        people.chain(outputs).collect()
    }

    /// Whether there is nothing to see, for those who only watch.
    fn waits(&self) -> bool {
        self.outputs.is_empty() && self.people.values().all(|person| person.view)
    }

    /// The sum each listener is to hear: without themselves while they may be in it.
    pub(super) fn wanted_audio(&mut self, now: MediaTime) -> BTreeMap<Ear, AudioKey> {
        let mut heard = BTreeSet::new();
        for (id, person) in &mut self.people {
            person.own_sum_until = person.own_sum_until.filter(|until| *until > now);
            let decoded = self.decoding.contains(&(*id, Kind::Audio));
            if (person.audible() && decoded) || person.own_sum_until.is_some() {
                heard.insert(*id);
            }
        }
        let people = self.people.iter();
        let people = people.filter(|(_, p)| p.receives_audio && p.mixed());
        let people = people.map(|(id, person)| {
            let without = person.without.unwrap_or(*id);
            let key = AudioKey {
                without: heard.contains(&without).then_some(without),
                tuned: (!person.volumes.is_empty()).then_some(*id),
            };
            (Ear::Person(*id), key)
        });
        let everybody = AudioKey {
            without: None,
            tuned: None,
        };
        let outputs = self.outputs.iter().filter(|(_, wish)| wish.audio);
        let outputs = outputs.map(|(id, _)| (Ear::Output(*id), everybody));
        people.chain(outputs).collect()
    }

    /// Lays every mix out; those that changed get a new serial number. Whether any did.
    pub(super) fn arrange(&mut self) -> bool {
        self.arrangements
            .retain(|id, _| self.video.get(*id).is_some());
        let speakers = self.by_floor();
        let mut changed = false;
        for (id, mix) in self.video.iter() {
            let VideoKey { size, layout, .. } = mix.key;
            let shown = shown(mix.key.tier, &self.settings, [&self.stage, &self.few]);
            let stage = cast(shown, mix.key.without);
            let before = self.arrangements.entry(id).or_default();
            let cast = Cast {
                stage: &stage,
                speakers: &speakers,
                before: &before.order,
            };
            let order = cast.order(layout);
            let rects = beside::places(layout, size, order.len(), self.settings.gutter);
            let place = |(source, rect): (&Option<Source>, Rect)| {
                let source = (*source)?;
                let person = self.people.get(&source.who);
                Some(Place {
                    source,
                    rect,
                    live: person.is_some_and(|p| p.shows(source)),
                })
            };
            let places: Vec<_> = order.iter().zip(rects).filter_map(place).collect();
            if before.layout == 0 || before.places != places {
                self.layouts += 1;
                *before = Arrangement {
                    layout: self.layouts,
                    places,
                    order,
                };
                changed = true;
            }
        }
        changed
    }
}
