//! Who is shown in a room, by which topology, and what it does without.

use super::{LARGE, Person, State};
use crate::clock::MediaTime;
use crate::id::{ParticipantId, Source};
use crate::media::{Tier, Topology, TopologyPolicy};
use crate::room::budget::Step;
use crate::room::event::{MixPolicy, Settings};
use crate::room::stage::{Stage, Wish};
use crate::room::tier;
use crate::room::topology::Meeting;

/// Whom a tier shows: all of the stage, or the few.
pub(super) fn shown<'a>(tier: Tier, settings: &Settings, [all, few]: [&'a Stage; 2]) -> &'a Stage {
    match tier {
        Tier::Medium if settings.stage_size > tier::FEW => few,
        _ => all,
    }
}

impl State {
    /// What could be shown.
    pub(super) fn wishes(&self) -> Vec<Wish> {
        let people = self.people.iter().filter(|(_, p)| !p.view);
        let wishes = people.flat_map(|(id, person)| {
            let rank = self.speakers.rank(*id);
            let wish = |source: Source| Wish {
                source,
                first: person.pinned || source.share,
                rank,
            };
            let screen = person.shares.then(|| wish(Source::screen(*id)));
            [Some(wish(Source::camera(*id))), screen]
        });
        wishes.flatten().collect()
    }

    /// Whether those on stage get mixes of their own even if they could do without.
    pub fn is_personal(&self) -> bool {
        match self.settings.policy {
            MixPolicy::Personal => true,
            MixPolicy::Common => false,
            MixPolicy::Auto => self.budget.step() < Step::Personal,
        }
    }

    /// What the room does without because of the load.
    pub fn gives_way(&self) -> Step {
        self.budget.step()
    }

    /// Whether the room chooses its topology by itself.
    pub(super) fn is_auto(&self) -> bool {
        self.settings.topology == TopologyPolicy::Auto
    }

    /// Chooses which way media goes; whether that has changed.
    pub(super) fn choose_topology(&mut self, now: MediaTime) -> bool {
        let people = || self.people.values().filter(|person| !person.view);
        let watched = self.people.values().any(|person| person.view);
        let meeting = Meeting {
            people: people().count(),
            agree_to_mesh: people().filter(|person| person.direct).count(),
            weak: people().filter(|person| person.is_weak()).count(),
            server_media: watched || self.enforced || !self.outputs.is_empty(),
        };
        let all_agree = meeting.agree_to_mesh == meeting.people;
        let topology = match self.settings.topology {
            TopologyPolicy::Mcu => Topology::Mcu,
            TopologyPolicy::Mesh if all_agree && !meeting.server_media => Topology::Mesh,
            TopologyPolicy::Mesh | TopologyPolicy::Sfu => Topology::Sfu,
            TopologyPolicy::Auto => self.auto.decide(now, &meeting),
        };
        std::mem::replace(&mut self.topology, topology) != topology
    }

    /// Whether anybody gets a mix, or will when they are connected.
    pub(super) fn mixes(&self) -> bool {
        !self.outputs.is_empty() || self.people.values().any(Person::mixed)
    }

    /// Who holds the floor, if they are on stage.
    pub(super) fn wants_large(&self) -> Option<ParticipantId> {
        let dominant = self.speakers.dominant()?;
        let shown = self.stage.holds(Source::camera(dominant));
        shown.then_some(dominant)
    }

    /// Lets who holds the floor stand large, if who did so has had their time. Whether that is
    /// a change.
    pub(super) fn enlarge(&mut self, now: MediaTime) -> bool {
        let before = self.large;
        self.large = before.filter(|(id, _)| self.stage.holds(Source::camera(*id)));
        let over = |(_, since): (ParticipantId, MediaTime)| now.since(since) >= LARGE;
        if let Some(wanted) = self.wants_large()
            && self.large.map(|(id, _)| id) != Some(wanted)
            && self.large.is_none_or(over)
        {
            self.large = Some((wanted, now));
        }
        self.large != before
    }

    /// Those on stage who speak or spoke, in the order in which they are to stand large.
    pub(super) fn by_floor(&self) -> Vec<ParticipantId> {
        let on_stage = self.stage.sources().filter(|source| !source.share);
        let ranked = on_stage.filter_map(|source| {
            let dominated = self.speakers.rank(source.who).dominated?;
            let large = self.large.is_some_and(|(id, _)| id == source.who);
            Some((large, dominated, source.who))
        });
        let mut ranked: Vec<_> = ranked.collect();
        ranked.sort_unstable_by(|a, b| b.cmp(a));
        ranked.into_iter().map(|(_, _, id)| id).collect()
    }

    /// Chooses whom of the stage the medium tier shows, if anybody gets it. Whether that changed.
    pub(super) fn choose_few(&mut self, now: MediaTime, mut wishes: Vec<Wish>) -> bool {
        let people = self.people.values().map(|person| self.tier(person));
        let mut tiers = people.chain(self.outputs.values().map(|wish| wish.tier));
        let wanted = self.settings.stage_size > tier::FEW && tiers.any(|t| t == Tier::Medium);
        if !wanted {
            self.few = Stage::default();
            return false;
        }
        wishes.retain(|wish| self.stage.holds(wish.source));
        self.few.follow(now, tier::FEW, &wishes)
    }

    /// Whom a tier shows.
    pub(super) fn shown(&self, tier: Tier) -> &Stage {
        shown(tier, &self.settings, [&self.stage, &self.few])
    }
}
