//! What a room tells its members.

use super::{Room, Summary};
use crate::id::ParticipantId;
use crate::mix::plan::MixId;
use crate::peer;
use crate::room::mixes::Ear;
use crate::room::tier::Given;
use crate::room::tilemap::tile_map;
use crate::signalling::{Message, Person};

impl Room {
    pub(super) fn tell_links(&self, id: ParticipantId) {
        let links = self.links.told();
        if !links.is_empty() {
            self.tell(id, Message::Links { links });
        }
    }

    /// Has their connection watch what their line bears of what they get.
    pub(super) fn serve(&self, id: ParticipantId) {
        let (given, best) = (self.state.given(id), self.state.best(id));
        let (Some(given), Some(best)) = (given, best) else {
            return;
        };
        let tiers = &self.state.settings().tiers;
        let all = tiers.all();
        let rung = |tier| all.iter().position(|one| *one == tier).unwrap_or(0);
        if let Some(peer) = self.wiring.peer(id) {
            peer.serve(peer::Ladder {
                at: rung(given.tier),
                top: rung(best),
                rungs: all.iter().map(|tier| tiers.bitrate(*tier)).collect(),
            });
        }
    }

    pub(super) fn tell_tier(&self, id: ParticipantId) {
        if let Some(given) = self.state.given(id) {
            let Given {
                tier,
                quality,
                because,
                bitrate,
            } = given;
            let message = Message::Tier {
                tier,
                quality,
                because,
                bitrate,
            };
            self.tell(id, message);
        }
    }

    /// Sends the map of a mix to one or all of its listeners, if it has been shown.
    pub(super) fn send_tiles(&self, mix: MixId, only: Option<ParticipantId>) {
        let Some((layout, at)) = self.shown.get(&mix) else {
            return;
        };
        let (Some(found), Some(arrangement)) = (
            self.state.video_mixes().get(mix),
            self.state.arrangement(mix),
        ) else {
            return;
        };
        if arrangement.layout != *layout {
            // A newer arrangement is on its way; its map comes with its first picture.
            return;
        }
        for ear in &found.listeners {
            let Ear::Person(who) = ear else { continue };
            if only.is_none_or(|only| only == *who)
                && let Some(peer) = self.wiring.peer(*who)
            {
                let rtp_time = peer.video_rtp_time(*at);
                let map = tile_map(&self.state, &found.key, arrangement, *who, rtp_time);
                self.tell(*who, Message::Tiles(map));
            }
        }
    }

    /// Tells those who are in, and those who ask before they come in.
    pub(super) fn show_sign(&self) {
        let on = self.sign.is_on();
        self.summary.send_modify(|summary| summary.recording = on);
        self.tell_all(&self.sign.message());
    }

    pub(super) fn announce(&self) {
        let people = self.people();
        self.summary.send_replace(Summary {
            participants: people.len(),
            viewers: self.state.people().len() - people.len(),
            names: people.iter().map(|p| p.name.clone()).collect(),
            people,
            waiting: self.talk.floor.held(),
            encoders: self.state.video_mixes().iter().count(),
            recording: self.sign.is_on(),
            ..Summary::of(self.state.settings())
        });
        self.tell_all(&self.who_is_in());
        if !self.waiting.is_empty() {
            // Somebody may have become a host just now.
            self.tell_hosts();
        }
    }

    pub(super) fn who_is_in(&self) -> Message {
        let people = self.people();
        let viewers = self.state.people().len() - people.len();
        let settings = self.state.settings();
        Message::People {
            people,
            viewers,
            locked: self.talk.floor.locked(),
            held: self.talk.floor.held(),
            layout: settings.layout,
            stage_size: settings.stage_size,
            topology: self.state.topology(),
        }
    }

    pub(super) fn people(&self) -> Vec<Person> {
        let people = self.state.people().iter().filter(|(_, p)| !p.view);
        people
            .map(|(id, p)| Person {
                id: *id,
                name: p.name.clone(),
                audio: p.audio,
                video: p.video,
                host: self.talk.floor.host(*id),
                silenced: self.talk.floor.silenced(*id),
                hand: self.talk.floor.hand(*id),
                pinned: p.pinned,
                sharing: p.shares,
            })
            .collect()
    }

    pub(super) fn tell_all(&self, message: &Message) {
        for id in self.members.keys() {
            self.tell(*id, message.clone());
        }
    }

    pub(super) fn tell(&self, id: ParticipantId, message: Message) {
        let Some(member) = self.members.get(&id) else {
            return;
        };
        if member.notices.try_send(message).is_err() {
            // The socket is wedged or gone; its ping times out, which is a leave.
            self.context.stats.dropped("notices", 1);
        }
    }
}
