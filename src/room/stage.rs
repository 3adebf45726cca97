//! Who is shown: the places of a room's pictures (pure).
//!
//! Pins and screens come first, then whoever speaks, and there is room for who spoke lately or
//! never. A newcomer takes the place of the least recent speaker and nobody else moves. Only when
//! the number of places changes must the others move (a reflow), so those changes are batched.

use std::time::Duration;

use crate::clock::MediaTime;
use crate::id::Source;
use crate::room::speaker::Rank;

/// Reflows are at least this far apart.
pub const REFLOW: Duration = Duration::from_secs(2);
/// Who came on by speaking stays at least this long.
pub const STAY: Duration = Duration::from_secs(2);
/// Up to so many places nothing is to be held still: the mixes of two people have one tile each.
const FEW: usize = 2;

/// Somebody who could be shown.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// What is to be seen.
    pub source: Source,
    /// Pinned, or a screen.
    pub first: bool,
    /// How its owner speaks.
    pub rank: Rank,
}

/// The places, in reading order.
#[derive(Debug, Default, Clone)]
pub struct Stage {
    /// None: its holder left, and the next reflow closes the gap.
    places: Vec<Option<Holder>>,
    reflowed: Option<MediaTime>,
    wake: Option<MediaTime>,
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    source: Source,
    /// Not to be displaced before.
    stays_until: MediaTime,
}

impl Stage {
    /// The places in reading order. None: left empty until the next reflow.
    pub fn places(&self) -> impl ExactSizeIterator<Item = Option<Source>> {
        self.places.iter().map(|place| place.map(|h| h.source))
    }

    /// Those who are shown.
    pub fn sources(&self) -> impl Iterator<Item = Source> {
        self.places().flatten()
    }

    /// Whether something is shown.
    pub fn holds(&self, source: Source) -> bool {
        self.sources().any(|shown| shown == source)
    }

    /// When [`Stage::follow`] is due again although nothing happened.
    pub fn wake_at(&self) -> Option<MediaTime> {
        self.wake
    }

    /// Takes in what everybody wishes, in the order they came; `size` places are there. Whether
    /// anything changed.
    pub fn follow(&mut self, now: MediaTime, size: usize, wishes: &[Wish]) -> bool {
        let before: Vec<_> = self.places().collect();
        let first = first(wishes, size);
        let wish = |source: Source| wishes.iter().find(|wish| wish.source == source);
        for place in &mut self.places {
            *place = place.filter(|holder| wish(holder.source).is_some());
        }
        if self.places.iter().all(Option::is_none) {
            // Nothing is left to be held still.
            *self = Self::default();
        }
        self.shrink(now, size, &|source| {
            (first.contains(&source), wish(source).map(|wish| wish.rank))
        });
        let mut waiting: Vec<&Wish> = wishes
            .iter()
            .filter(|wish| !self.holds(wish.source))
            .collect();
        waiting.sort_by_key(|wish| {
            std::cmp::Reverse((first.contains(&wish.source), wish.rank.speaks, wish.rank))
        });
        let mut waits = Vec::new();
        for wish in waiting {
            let urgent = first.contains(&wish.source);
            if let Some(gap) = self.places.iter().position(Option::is_none) {
                self.places[gap] = Some(Holder::new(now, wish, urgent));
            } else if self.places.len() < size {
                waits.push(Holder::new(now, wish, urgent));
            } else if urgent || wish.rank.speaks {
                self.displace(now, wish, urgent, wishes, &first);
            }
        }
        waits.truncate(size - self.places.len().min(size));
        waits.sort_by_key(|holder| wishes.iter().position(|w| w.source == holder.source));
        self.reflow(now, waits);
        self.wake = self.next(now, size, wishes, &first);
        !self.places().eq(before)
    }

    /// Gives up places when the stage has become smaller.
    fn shrink(
        &mut self,
        now: MediaTime,
        size: usize,
        rank: &dyn Fn(Source) -> (bool, Option<Rank>),
    ) {
        while self.places.len() > size {
            let least = |(index, place): &(usize, &Option<Holder>)| {
                let rank = place.map(|holder| rank(holder.source));
                (rank, std::cmp::Reverse(*index))
            };
            let places = self.places.iter().enumerate();
            let Some(index) = places.min_by_key(least).map(|(index, _)| index) else {
                return;
            };
            self.places.remove(index);
            self.reflowed = Some(now);
        }
    }

    /// Puts a newcomer in the place of the least recent speaker, if somebody may go.
    fn displace(
        &mut self,
        now: MediaTime,
        wish: &Wish,
        urgent: bool,
        wishes: &[Wish],
        first: &[Source],
    ) {
        let victim = self.candidates(wish, urgent, wishes, first);
        let victim = victim.filter(|(_, holder)| urgent || holder.stays_until <= now);
        // A pin does not wait, but takes who has been there long, if there is somebody.
        let victim = victim.min_by_key(|(rank, holder)| (holder.stays_until > now, *rank));
        let Some((_, victim)) = victim else {
            return;
        };
        for place in &mut self.places {
            if place.is_some_and(|holder| holder.source == victim.source) {
                *place = Some(Holder::new(now, wish, urgent));
            }
        }
    }

    /// Those who would have to go for `wish`, if their time on stage were over.
    fn candidates(
        &self,
        wish: &Wish,
        urgent: bool,
        wishes: &[Wish],
        first: &[Source],
    ) -> impl Iterator<Item = (VictimRank, Holder)> {
        self.places
            .iter()
            .enumerate()
            .filter_map(move |(index, place)| {
                let holder = (*place)?;
                let rank = wishes
                    .iter()
                    .find(|wish| wish.source == holder.source)?
                    .rank;
                // Among those who speak only the dominant speaker displaces another one.
                let yields = urgent || !rank.speaks || (wish.rank.dominant && !rank.dominant);
                let free = !first.contains(&holder.source) && yields;
                free.then_some(((rank, std::cmp::Reverse(index)), holder))
            })
    }

    /// Adds places and closes gaps, when that is due.
    fn reflow(&mut self, now: MediaTime, waits: Vec<Holder>) {
        let gaps = self.places.iter().any(Option::is_none);
        if !gaps && waits.is_empty() {
            return;
        }
        let few = self.places.len() + waits.len() <= FEW;
        if !few && self.reflow_at().is_some_and(|at| at > now) {
            return;
        }
        // At most one of both: who waits has taken the gaps.
        self.places.retain(Option::is_some);
        self.places.extend(waits.into_iter().map(Some));
        if !few {
            self.reflowed = Some(now);
        }
    }

    fn reflow_at(&self) -> Option<MediaTime> {
        self.reflowed.map(|at| at.plus(REFLOW))
    }

    fn next(
        &self,
        now: MediaTime,
        size: usize,
        wishes: &[Wish],
        first: &[Source],
    ) -> Option<MediaTime> {
        let gaps = self.places.iter().any(Option::is_none);
        let waits = wishes.iter().filter(|wish| !self.holds(wish.source));
        if gaps || (self.places.len() < size && waits.clone().next().is_some()) {
            return self.reflow_at();
        }
        let stays = waits
            .filter(|wish| wish.rank.speaks)
            .flat_map(|wish| self.candidates(wish, false, wishes, first))
            .map(|(_, holder)| holder.stays_until);
        stays.filter(|until| *until > now).min()
    }
}

/// Least recent speaker first; of those who never spoke, the last in reading order.
type VictimRank = (Rank, std::cmp::Reverse<usize>);

impl Holder {
    fn new(now: MediaTime, wish: &Wish, urgent: bool) -> Self {
        let stays = urgent || wish.rank.speaks;
        Self {
            source: wish.source,
            stays_until: if stays { now.plus(STAY) } else { now },
        }
    }
}

/// What is pinned or shared, screens before pins; a place is left for who speaks.
fn first(wishes: &[Wish], size: usize) -> Vec<Source> {
    let mut first: Vec<_> = wishes.iter().filter(|wish| wish.first).collect();
    first.sort_by_key(|wish| !wish.source.share);
    let most = size.saturating_sub(1).max(1);
    first.into_iter().map(|w| w.source).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ParticipantId;

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    fn camera(n: u32) -> Source {
        Source::camera(ParticipantId(n))
    }

    fn quiet(n: u32) -> Wish {
        Wish {
            source: camera(n),
            first: false,
            rank: Rank::default(),
        }
    }

    /// Who last spoke at `at`, and speaks if `at` is now.
    fn spoke(n: u32, at: u64, speaks: bool) -> Wish {
        let rank = Rank {
            speaks,
            spoke: Some(ms(at)),
            ..Rank::default()
        };
        Wish { rank, ..quiet(n) }
    }

    fn shown(stage: &Stage) -> Vec<u32> {
        stage
            .places()
            .map(|place| place.map_or(0, |source| source.who.0))
            .collect()
    }

    #[test]
    fn the_first_who_come_are_shown_and_later_ones_in_batches() {
        let mut stage = Stage::default();
        let mut wishes = Vec::new();
        let mut reflows = Vec::new();
        for n in 1..=20 {
            wishes.push(quiet(n));
            let before = stage.places().len();
            stage.follow(ms(n as u64 * 300), 9, &wishes);
            if stage.places().len() != before {
                reflows.push(n);
            }
        }
        // One and two at once, three too; what comes within two seconds comes together.
        assert_eq!(reflows, [1, 2, 3, 10]);
        assert_eq!(shown(&stage), (1..=9).collect::<Vec<_>>());
        assert_eq!(
            stage.wake_at(),
            None,
            "who does not speak waits for nothing"
        );
    }

    #[test]
    fn a_speaker_takes_the_place_of_the_least_recent_one() {
        let mut stage = Stage::default();
        let mut wishes = vec![
            spoke(1, 500, false),
            quiet(2),
            spoke(3, 400, false),
            quiet(4),
        ];
        stage.follow(ms(10_000), 3, &wishes);
        assert_eq!(shown(&stage), [1, 2, 3], "the fourth waits");
        wishes[3] = spoke(4, 10_100, true);
        assert!(stage.follow(ms(10_100), 3, &wishes));
        assert_eq!(shown(&stage), [1, 4, 3]);
        wishes[3] = spoke(4, 10_100, false);
        wishes[1] = spoke(2, 10_200, true);
        stage.follow(ms(10_200), 3, &wishes);
        assert_eq!(shown(&stage), [1, 4, 2]);
        // Who speaks again waits while everybody has just come on.
        wishes[0] = spoke(1, 10_250, true);
        wishes[2] = spoke(3, 10_300, true);
        stage.follow(ms(10_300), 3, &wishes);
        assert_eq!(shown(&stage), [1, 4, 2]);
        assert_eq!(stage.wake_at(), Some(ms(12_100)));
        stage.follow(ms(12_100), 3, &wishes);
        assert_eq!(shown(&stage), [1, 3, 2]);
    }

    #[test]
    fn a_gap_is_taken_by_who_waits_and_closed_in_time_otherwise() {
        let mut stage = Stage::default();
        let mut wishes: Vec<_> = (1..=5).map(quiet).collect();
        stage.follow(ms(0), 4, &wishes);
        wishes.remove(1);
        stage.follow(ms(100), 4, &wishes);
        assert_eq!(shown(&stage), [1, 5, 3, 4]);
        wishes.remove(0);
        stage.follow(ms(200), 4, &wishes);
        assert_eq!(shown(&stage), [0, 5, 3, 4]);
        assert_eq!(stage.wake_at(), Some(ms(2_000)));
        stage.follow(ms(2_000), 4, &wishes);
        assert_eq!(shown(&stage), [5, 3, 4], "three are left, and move once");
        // A pair needs no patience.
        let mut stage = Stage::default();
        wishes.truncate(2);
        stage.follow(ms(3_000), 4, &wishes);
        wishes.remove(0);
        stage.follow(ms(3_100), 4, &wishes);
        assert_eq!(stage.places().len(), 1);
    }

    #[test]
    fn screens_and_pins_come_first_and_leave_a_place_for_who_speaks() {
        let mut stage = Stage::default();
        let mut wishes: Vec<_> = (1..=4).map(|n| spoke(n, 100, true)).collect();
        stage.follow(ms(100), 3, &wishes);
        wishes.push(Wish {
            source: Source::screen(ParticipantId(9)),
            first: true,
            ..quiet(9)
        });
        stage.follow(ms(200), 3, &wishes);
        assert_eq!(shown(&stage), [1, 2, 9], "at once, although all speak");
        for wish in &mut wishes {
            wish.first = true;
        }
        stage.follow(ms(5_000), 3, &wishes);
        assert!(stage.holds(Source::screen(ParticipantId(9))));
        assert_eq!(first(&wishes, 3).len(), 2);
        assert_eq!(first(&wishes, 1).len(), 1);
    }

    #[test]
    fn a_smaller_stage_keeps_the_recent_speakers() {
        let mut stage = Stage::default();
        let wishes = [
            quiet(1),
            spoke(2, 100, false),
            quiet(3),
            spoke(4, 200, true),
        ];
        stage.follow(ms(300), 9, &wishes);
        stage.follow(ms(400), 2, &wishes);
        assert_eq!(shown(&stage), [2, 4]);
    }
}
