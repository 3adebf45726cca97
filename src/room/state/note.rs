//! What events change in a room, before anything follows from it.

use std::collections::{BTreeMap, BTreeSet};

use super::{KEEP_OWN_SUM, Noted, Person, State};
use crate::clock::MediaTime;
use crate::id::ParticipantId;
use crate::media::{Downlink, Kind, Layer, Quality, Tier};
use crate::mix::plan::Level;
use crate::room::common_codec::Abilities;
use crate::room::event::Event;
use crate::room::mixes::Ear;
use crate::room::names;
use crate::room::speaker::Decoded;

impl State {
    /// Writes the event down.
    pub(super) fn note(&mut self, now: MediaTime, event: Event) -> Noted {
        let listed = match event {
            Event::Joined {
                id,
                name,
                view,
                audio,
                video,
                portrait,
                direct,
            } => {
                let others = self.people.values().filter(|person| !person.view);
                let person = Person {
                    label: names::apart(&name, others.map(|person| &person.label)),
                    name,
                    view,
                    audio,
                    video,
                    portrait,
                    overlay: false,
                    layout: None,
                    quality: Quality::default(),
                    line: Tier::High,
                    apart: false,
                    downlink: Downlink::Mixed,
                    direct,
                    takes: BTreeSet::new(),
                    taken: BTreeMap::new(),
                    layered: false,
                    copies: [false; 2],
                    told: None,
                    without: None,
                    pinned: false,
                    shares: false,
                    has_audio: false,
                    has_video: false,
                    live: false,
                    receives_video: None,
                    receives_audio: false,
                    able: Abilities::default(),
                    volumes: BTreeMap::new(),
                    own_sum_until: None,
                };
                self.people.insert(id, person);
                true
            }
            Event::Left { id } => {
                self.speakers.forget(id);
                self.decoding.retain(|(who, _)| *who != id);
                for person in self.people.values_mut() {
                    person.volumes.remove(&id);
                    person.takes.remove(&id);
                    person.taken.remove(&id);
                }
                self.people.remove(&id).is_some()
            }
            Event::Media { id, audio, video } => {
                if !audio {
                    self.speakers.mute(id);
                }
                let heard = self.decodes(id, Kind::Audio);
                self.change(id, |p| {
                    if p.audible() && heard && !audio {
                        p.own_sum_until = Some(now.plus(KEEP_OWN_SUM));
                    }
                    let changed = (p.audio, p.video) != (audio, video);
                    (p.audio, p.video) = (audio, video);
                    changed
                })
            }
            Event::Track { id, kind } => {
                if kind == Kind::Audio {
                    self.speakers.renew(id);
                }
                self.change(id, |p| match kind {
                    Kind::Audio => !std::mem::replace(&mut p.has_audio, true),
                    Kind::Video => {
                        p.has_video = true;
                        false
                    }
                })
            }
            Event::Live { id, live } => {
                // A decoder that was closed may still have something to say.
                let live = live && self.decodes(id, Kind::Video);
                self.change(id, |p| {
                    p.live = live;
                    false
                })
            }
            Event::Downlink { id, video, audio } => self.change(id, |p| {
                p.receives_video = video;
                p.receives_audio = audio;
                false
            }),
            Event::Able {
                id,
                codecs,
                layered,
            } => self.change(id, |p| {
                (p.able, p.layered) = (codecs, layered);
                false
            }),
            Event::Copies { id, live } => self.change(id, |p| {
                p.copies = live;
                false
            }),
            Event::Sizes { id, lines } => self.change(id, |p| {
                for (from, lines) in lines {
                    if p.takes.contains(&from) {
                        p.taken.entry(from).or_default().lines = Some(lines);
                    }
                }
                false
            }),
            Event::TakenLine { id, from, bears } => self.change(id, |p| {
                if let Some(taken) = p.taken.get_mut(&from) {
                    taken.bears = bears;
                }
                false
            }),
            Event::Voice { id } => {
                if self.people.get(&id).is_some_and(Person::audible) {
                    self.speakers.nominate(now, id);
                }
                return Noted::Sound;
            }
            Event::Claims(claims) => {
                for (id, claims) in claims {
                    if self.people.get(&id).is_some_and(Person::audible) {
                        self.speakers.claim(id, claims);
                    }
                }
                self.speakers.step(now);
                return Noted::Sound;
            }
            Event::Levels(levels) => {
                self.hear(now, &levels);
                return Noted::Sound;
            }
            Event::Share { id, on } => self.change(id, |p| {
                let on = on && !p.view;
                std::mem::replace(&mut p.shares, on) != on
            }),
            Event::Pin { id, pinned } => {
                self.change(id, |p| std::mem::replace(&mut p.pinned, pinned) != pinned)
            }
            Event::View { id, view } => self.change(id, |p| {
                p.layout = view.layout.unwrap_or(p.layout);
                p.downlink = view.downlink.unwrap_or(p.downlink);
                p.direct = view.direct.unwrap_or(p.direct);
                p.overlay = view.overlay.unwrap_or(p.overlay);
                p.portrait = view.portrait.unwrap_or(p.portrait);
                p.apart &= view.quality.is_none();
                p.quality = view.quality.unwrap_or(p.quality);
                p.without = view.without.filter(|_| p.view).or(p.without);
                false
            }),
            Event::Configure(change) => {
                let settings = &mut self.settings;
                settings.policy = change.mix.unwrap_or(settings.policy);
                settings.topology = change.topology.unwrap_or(settings.topology);
                settings.layout = change.layout.unwrap_or(settings.layout);
                settings.stage_size = change.stage_size.unwrap_or(settings.stage_size);
                true
            }
            Event::Load(used) => {
                let before = self.gives_way();
                self.budget.load(now, used);
                return match self.gives_way() == before {
                    true => Noted::Other,
                    false => Noted::Rate,
                };
            }
            Event::Output { id, wish } => {
                match wish {
                    Some(wish) => self.outputs.insert(id, wish),
                    None => self.outputs.remove(&id),
                };
                false
            }
            Event::Take { id, from, on } => {
                let there = id != from && self.people.get(&from).is_some_and(|p| !p.view);
                self.change(id, |p| {
                    match on && there {
                        true => p.takes.insert(from),
                        false => p.takes.remove(&from),
                    };
                    match on && there {
                        // By another connection, of whose line nothing is known.
                        true => p.taken.entry(from).or_default().bears = Layer::Whole,
                        false => drop(p.taken.remove(&from)),
                    }
                    false
                })
            }
            Event::Enforced(on) => {
                self.enforced = on;
                false
            }
            Event::Volume { id, who, percent } => {
                let heard = who != id && self.people.get(&who).is_some_and(|p| !p.view);
                self.change(id, |p| {
                    match percent {
                        100 => p.volumes.remove(&who),
                        _ if heard => p.volumes.insert(who, percent),
                        _ => None,
                    };
                    false
                });
                return Noted::Volume;
            }
            Event::Line { id, tier } => {
                let before = self.given(id).map(|given| given.tier);
                self.change(id, |p| {
                    p.line = tier;
                    p.apart = false;
                    false
                });
                let moves = self.given(id).map(|given| given.tier) != before;
                let apart = moves && self.would_disturb(id);
                self.change(id, |p| {
                    p.apart = apart;
                    false
                })
            }
            Event::Keyframe { id } => {
                let mix = self.video.of(Ear::Person(id));
                let key = mix.and_then(|mix| self.video.get(mix)).map(|mix| mix.key);
                self.let_in(&Vec::from_iter(key));
                false
            }
            Event::TierCap(tier) => {
                self.cap = tier;
                false
            }
            Event::Wake => false,
        };
        match listed {
            true => Noted::People,
            false => Noted::Other,
        }
    }

    fn hear(&mut self, now: MediaTime, levels: &[Level]) {
        for level in levels {
            if self.decodes(level.who, Kind::Audio) {
                let decoded = Decoded {
                    level: level.dbfs,
                    speaking: level.speaking,
                };
                self.speakers.decoded(now, level.who, Some(decoded));
            }
        }
    }

    pub(super) fn change(
        &mut self,
        id: ParticipantId,
        f: impl FnOnce(&mut Person) -> bool,
    ) -> bool {
        self.people.get_mut(&id).is_some_and(f)
    }
}
