//! Which way a room's media goes, and which way `auto` chooses (pure).
//!
//! | people | what holds | topology |
//! |---|---|---|
//! | 0, 1 | no media flows | forwarded: it costs nothing |
//! | 2 | both agree to a mesh, and nothing needs the server's media | mesh |
//! | 2 | otherwise | forwarded |
//! | 3, 4 | everybody's line and device takes a stream from each of the others | forwarded |
//! | 3, 4 | somebody's does not | mixed |
//! | 5 and more | | mixed |
//!
//! The table is [`choose`], and has no memory. [`Auto`] has one, so that a room at the edge of two
//! lines does not swing: it climbs at once, because more people than a topology carries hurt all of
//! them, and goes back down only after a while in which it might have all along.

use std::time::Duration;

use crate::clock::MediaTime;
use crate::media::Topology;

/// So many are forwarded to each other at most: three streams are what a phone decodes and a home
/// line carries without noticing. One mix costs a client as much as one of them.
pub const FEW: usize = 4;
/// Less is wanted for so long before it is done: longer than it takes to come back after a
/// connection was lost, so that who does so is not met by two changes.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A choice is taken back at once for so long: who comes in says one thing after the other.
const FRESH: Duration = Duration::from_secs(1);

/// What the choice depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Meeting {
    /// How many send and receive.
    pub people: usize,
    /// Of them, those who agree to a mesh, in which the others learn their address.
    pub agree_to_mesh: usize,
    /// Of them, those whose line or device does not take a stream from each of the others.
    pub weak: usize,
    /// Something needs the media on the server: a recording, a player, a stream, an enforced mute.
    pub server_media: bool,
}

/// What suits this meeting, whatever it was before.
pub fn choose(meeting: &Meeting) -> Topology {
    let all_agree = meeting.agree_to_mesh >= meeting.people;
    match meeting.people {
        2 if all_agree && !meeting.server_media => Topology::Mesh,
        // One stream is one stream, mixed or not, so who is weak gains nothing by a mix.
        ..=2 => Topology::Sfu,
        ..=FEW if meeting.weak == 0 => Topology::Sfu,
        _ => Topology::Mcu,
    }
}

/// What a room that chooses by itself has chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Auto {
    chosen: Option<Topology>,
    /// When that was.
    since: MediaTime,
    /// Less would do since then.
    less_since: Option<MediaTime>,
    /// Nobody is with somebody: no media flows.
    idle: bool,
}

impl Auto {
    /// What the room shall be now. To be asked whenever the meeting changes, and at the time that
    /// [`wakes`](Self::wakes) says.
    pub fn decide(&mut self, now: MediaTime, meeting: &Meeting) -> Topology {
        let suits = choose(meeting);
        if meeting.people < 2 {
            // Who was left alone for a moment comes back to what there was.
            self.idle = true;
            return match self.chosen {
                Some(Topology::Mesh) if !meeting.server_media => self.settle(now, Topology::Mesh),
                _ => self.settle(now, suits),
            };
        }
        // Nothing flows yet that a change could disturb.
        let free = std::mem::take(&mut self.idle) || now.since(self.since) < FRESH;
        if free {
            return self.settle(now, suits);
        }
        let Some(chosen) = self.chosen.filter(|chosen| suits < *chosen) else {
            return self.settle(now, suits);
        };
        let since = *self.less_since.get_or_insert(now);
        match now.since(since) >= PATIENCE {
            true => self.settle(now, suits),
            false => chosen,
        }
    }

    /// When to ask again though nothing changes.
    pub fn wakes(&self) -> Option<MediaTime> {
        let since = self.less_since?;
        Some(MediaTime(since.0 + PATIENCE.as_nanos() as u64))
    }

    fn settle(&mut self, now: MediaTime, topology: Topology) -> Topology {
        if self.chosen.replace(topology) != Some(topology) {
            self.since = now;
        }
        self.less_since = None;
        topology
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Topology::{Mcu, Mesh, Sfu};

    fn at(milliseconds: u64) -> MediaTime {
        MediaTime(milliseconds * 1_000_000)
    }

    /// People who agree to a mesh and take what comes.
    fn strong(people: usize) -> Meeting {
        Meeting {
            people,
            agree_to_mesh: people,
            ..Meeting::default()
        }
    }

    #[test]
    fn the_table() {
        for (people, agree_to_mesh, weak, server_media, topology) in [
            (0, 0, 0, false, Sfu),
            (1, 1, 0, false, Sfu),
            (1, 1, 1, true, Sfu),
            (2, 2, 0, false, Mesh),
            (2, 2, 2, false, Mesh),
            (2, 1, 0, false, Sfu),
            (2, 0, 0, false, Sfu),
            (2, 2, 0, true, Sfu),
            (2, 0, 2, true, Sfu),
            (3, 3, 0, false, Sfu),
            (3, 3, 0, true, Sfu),
            (3, 3, 1, false, Mcu),
            (4, 0, 0, false, Sfu),
            (4, 4, 1, false, Mcu),
            (4, 4, 4, true, Mcu),
            (5, 5, 0, false, Mcu),
            (5, 0, 5, true, Mcu),
            (300, 300, 0, false, Mcu),
        ] {
            let meeting = Meeting {
                people,
                agree_to_mesh,
                weak,
                server_media,
            };
            assert_eq!(choose(&meeting), topology, "{meeting:?}");
        }
    }

    #[test]
    fn more_people_and_weaker_ones_never_get_less() {
        for people in 0..12 {
            for weak in 0..=people {
                for agree_to_mesh in [0, people] {
                    for server_media in [false, true] {
                        let meeting = Meeting {
                            people,
                            agree_to_mesh,
                            weak,
                            server_media,
                        };
                        let weaker = Meeting {
                            weak: weak + 1,
                            ..meeting
                        };
                        let more = Meeting {
                            people: people + 1,
                            agree_to_mesh: agree_to_mesh.min(1) * (people + 1),
                            ..meeting
                        };
                        assert!(choose(&weaker) >= choose(&meeting), "{meeting:?}");
                        assert!(people < 2 || choose(&more) >= choose(&meeting), "{more:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn two_to_six_one_by_one_and_back() {
        let mut auto = Auto::default();
        let steps = [2, 3, 4, 5, 6, 5, 4, 3, 2];
        let mut found = Vec::new();
        for (step, people) in (0..).zip(steps) {
            auto.decide(at(step * 10_000), &strong(people));
            // Nothing changes, so only the time that it asked for.
            if let Some(wakes) = auto.wakes() {
                assert_eq!(wakes, at(step * 10_000 + 5_000));
                auto.decide(wakes, &strong(people));
            }
            found.push(auto.decide(at(step * 10_000 + 9_000), &strong(people)));
            assert_eq!(auto.wakes(), None);
        }
        assert_eq!(found, [Mesh, Sfu, Sfu, Mcu, Mcu, Mcu, Sfu, Sfu, Mesh]);
    }

    #[test]
    fn it_climbs_at_once_and_goes_down_after_a_while() {
        let mut auto = Auto::default();
        assert_eq!(auto.decide(at(0), &strong(2)), Mesh);
        let recorded = Meeting {
            server_media: true,
            ..strong(2)
        };
        assert_eq!(auto.decide(at(1), &recorded), Sfu);
        assert_eq!(auto.decide(at(2), &strong(5)), Mcu);
        assert_eq!(auto.decide(at(2_000), &strong(2)), Mcu);
        // It is two steps down, and is taken in one.
        assert_eq!(auto.decide(at(6_999), &strong(2)), Mcu);
        assert_eq!(auto.decide(at(7_000), &strong(2)), Mesh);
        // What is said in the same breath is one wish.
        assert_eq!(auto.decide(at(7_100), &recorded), Sfu);
        assert_eq!(auto.decide(at(7_200), &strong(2)), Mesh);
    }

    #[test]
    fn who_was_alone_waits_for_nothing() {
        let mut auto = Auto::default();
        let alone = |server_media| Meeting {
            server_media,
            ..strong(1)
        };
        assert_eq!(auto.decide(at(0), &alone(false)), Sfu);
        assert_eq!(auto.decide(at(1), &strong(2)), Mesh);
        // The other is gone for a moment.
        assert_eq!(auto.decide(at(2), &alone(false)), Mesh);
        assert_eq!(auto.decide(at(3), &strong(2)), Mesh);
        assert_eq!(auto.decide(at(4), &alone(true)), Sfu);
        // Of a large meeting one is left.
        auto.decide(at(5), &strong(7));
        assert_eq!(auto.decide(at(6), &alone(false)), Sfu);
        assert_eq!(auto.wakes(), None);
    }

    #[test]
    fn a_room_at_the_edge_does_not_swing() {
        let mut auto = Auto::default();
        // The fifth comes and goes every three seconds for ten minutes.
        let chosen =
            (0..200).map(|turn| auto.decide(at(turn * 3_000), &strong(5 - turn as usize % 2)));
        assert!(chosen.into_iter().all(|topology| topology == Mcu));
        // A wish for less that was withdrawn counts for nothing.
        auto.decide(at(600_000), &strong(5));
        assert_eq!(auto.decide(at(600_001), &strong(4)), Mcu);
        assert_eq!(auto.decide(at(605_000), &strong(4)), Mcu);
        assert_eq!(auto.decide(at(605_001), &strong(4)), Sfu);
    }
}
