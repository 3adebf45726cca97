//! What is asked of each sender's video (pure): as much as the largest tile that shows it needs.
//!
//! More is asked for at once, so that a tile that grows is sharp; less only after a while, for
//! speakers come and go and each change costs a browser's encoder a keyframe.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::MediaTime;
use crate::id::ParticipantId;
use crate::media::{Rect, VideoCodec};
use crate::signalling::{Message, Uplink};

/// What suffices for less must do so for this long before less is asked for.
const SHRINK: Duration = Duration::from_secs(5);
/// Heights that are asked for, and bits a second that a camera's picture of this height needs at
/// [`FULL_RATE`]. In steps, so that a tile that changes by some pixels changes nothing.
const STEPS: [(u32, u32); 7] = [
    (90, 100_000),
    (180, 250_000),
    (270, 450_000),
    (360, 800_000),
    (540, 1_200_000),
    (720, 1_700_000),
    (1080, 2_500_000),
];
/// Pictures a second for which the bits are meant.
const FULL_RATE: u32 = 25;

/// Bits a second of somebody's sound, which a REMB includes, and of a trickle of video: some
/// clients would end the track without.
const BESIDE: u32 = 64_000 + 30_000;

/// What is asked of one sender's video; all 0: nobody sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Demand {
    /// Lines that are shown, of an upright landscape picture.
    pub height: u32,
    /// Pictures a second that are shown.
    pub fps: u32,
    /// Bits a second that this takes.
    pub bitrate: u32,
    /// A copy of half the size is wanted, too.
    pub half: bool,
}

impl Demand {
    /// Nobody sees it.
    pub const HIDDEN: Self = Self {
        height: 0,
        fps: 0,
        bitrate: 0,
        half: false,
    };

    /// Nothing but the copy of half the size.
    pub const HALF: Self = Self {
        half: true,
        ..Self::HIDDEN
    };

    /// For a tile of this size with so many pictures a second. A tile that is wider than the
    /// usual 16:9 cuts lines away, of which there must be more then.
    pub fn of(tile: Rect, fps: u32) -> Self {
        let lines = tile.height.max(tile.width * 9 / 16);
        let step = STEPS.into_iter().find(|(height, _)| *height >= lines);
        let (height, bits) = step.unwrap_or(STEPS[STEPS.len() - 1]);
        // Fewer pictures differ more from each other.
        let rate = fps.min(FULL_RATE) + FULL_RATE;
        Self {
            height,
            fps,
            bitrate: bits / (2 * FULL_RATE) * rate,
            half: false,
        }
    }

    /// The least of somebody who may be seen in no time.
    pub fn least() -> Self {
        let (height, _) = STEPS[1];
        let tile = Rect {
            x: 0,
            y: 0,
            width: height * 16 / 9,
            height,
        };
        Self::of(tile, 10)
    }

    /// Bits a second of all that somebody sends.
    pub fn with_sound(self) -> u32 {
        self.bitrate + BESIDE
    }

    /// As the sender is told; `codec`: what it is to be encoded with.
    pub fn message(self, codec: Option<VideoCodec>) -> Message {
        let Self {
            height,
            fps,
            bitrate,
            half,
        } = self;
        Message::Uplink(Uplink {
            height,
            fps,
            bitrate,
            half,
            codec,
        })
    }

    /// What suffices for both.
    pub fn or(self, other: Self) -> Self {
        Self {
            height: self.height.max(other.height),
            fps: self.fps.max(other.fps),
            bitrate: self.bitrate.max(other.bitrate),
            half: self.half || other.half,
        }
    }
}

/// What everybody was asked for.
#[derive(Debug, Default, Clone)]
pub struct Demands {
    asked: BTreeMap<ParticipantId, Asked>,
}

#[derive(Debug, Clone)]
struct Asked {
    demand: Demand,
    /// Less suffices since then.
    less: Option<MediaTime>,
}

impl Demands {
    /// Takes in what is needed of everybody who sends; what they have to be told. Whoever is new
    /// is told at once.
    pub fn follow(
        &mut self,
        now: MediaTime,
        needed: &BTreeMap<ParticipantId, Demand>,
    ) -> Vec<(ParticipantId, Demand)> {
        self.asked.retain(|id, _| needed.contains_key(id));
        let mut told = Vec::new();
        for (id, needed) in needed {
            let Some(asked) = self.asked.get_mut(id) else {
                let (demand, less) = (*needed, None);
                self.asked.insert(*id, Asked { demand, less });
                told.push((*id, demand));
                continue;
            };
            if let Some(demand) = asked.follow(now, *needed) {
                told.push((*id, demand));
            }
        }
        told
    }

    /// When less is to be asked of somebody.
    pub fn wake_at(&self) -> Option<MediaTime> {
        let less = self.asked.values().filter_map(|asked| asked.less);
        less.min().map(|since| since.plus(SHRINK))
    }

    /// What somebody was asked for last.
    pub fn of(&self, id: ParticipantId) -> Option<Demand> {
        self.asked.get(&id).map(|asked| asked.demand)
    }
}

impl Asked {
    fn follow(&mut self, now: MediaTime, needed: Demand) -> Option<Demand> {
        if needed == self.demand {
            self.less = None;
            return None;
        }
        let both = self.demand.or(needed);
        if both != self.demand {
            (self.demand, self.less) = (both, None);
            return Some(both);
        }
        let since = *self.less.get_or_insert(now);
        if now.since(since) < SHRINK {
            return None;
        }
        (self.demand, self.less) = (needed, None);
        Some(needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: ParticipantId = ParticipantId(1);

    fn tile(width: u32, height: u32) -> Rect {
        Rect {
            x: 0,
            y: 0,
            width,
            height,
        }
    }

    #[test]
    fn a_larger_tile_needs_more_and_a_slower_one_less() {
        let mut before = Demand::HIDDEN;
        for height in [48, 180, 224, 352, 480, 720, 1080] {
            let demand = Demand::of(tile(height * 16 / 9, height), 25);
            assert!(demand.height >= height && demand.bitrate > before.bitrate);
            let slower = Demand::of(tile(height * 16 / 9, height), 10);
            assert!(slower.bitrate < demand.bitrate && slower.bitrate * 2 > demand.bitrate);
            before = demand;
        }
        // No camera is asked for more lines than may be decoded.
        assert_eq!(Demand::of(tile(7680, 4320), 25).height, 1080);
        // A wide tile cuts lines away.
        assert_eq!(Demand::of(tile(640, 200), 25).height, 360);
        assert_eq!(Demand::of(tile(200, 352), 25).height, 360);
    }

    /// What is told when this is needed at these milliseconds; it is asked as often as wished.
    fn told(demands: &mut Demands, at: u64, needed: Demand) -> Option<Demand> {
        let needed = BTreeMap::from([(ANN, needed)]);
        let told = demands.follow(MediaTime(at * 1_000_000), &needed);
        assert!(told.len() <= 1);
        told.first().map(|(_, demand)| *demand)
    }

    #[test]
    fn it_grows_at_once_and_shrinks_late() {
        let (small, large) = (
            Demand::of(tile(320, 180), 25),
            Demand::of(tile(640, 360), 25),
        );
        let mut demands = Demands::default();
        assert_eq!(told(&mut demands, 0, small), Some(small));
        assert_eq!(told(&mut demands, 10, large), Some(large));
        assert_eq!(told(&mut demands, 20, large), None);
        assert_eq!(demands.wake_at(), None);
        assert_eq!(told(&mut demands, 1_000, Demand::HIDDEN), None);
        assert_eq!(demands.wake_at(), Some(MediaTime(6_000_000_000)));
        assert_eq!(told(&mut demands, 5_999, small), None);
        assert_eq!(told(&mut demands, 6_000, small), Some(small));
        assert_eq!(demands.wake_at(), None);
        assert_eq!(demands.of(ANN), Some(small));
    }

    #[test]
    fn who_comes_and_goes_is_asked_for_the_same_all_the_time() {
        let large = Demand::of(tile(640, 360), 25);
        let mut demands = Demands::default();
        assert_eq!(told(&mut demands, 0, large), Some(large));
        for second in 1..100 {
            let needed = match second % 5 {
                0 => large,
                _ => Demand::HIDDEN,
            };
            assert_eq!(told(&mut demands, second * 1_000, needed), None);
        }
    }

    #[test]
    fn a_tile_that_is_larger_and_slower_takes_the_most_of_both() {
        let (quick, large) = (
            Demand::of(tile(320, 180), 25),
            Demand::of(tile(1280, 720), 5),
        );
        let mut demands = Demands::default();
        told(&mut demands, 0, quick);
        let both = told(&mut demands, 1, large).expect("it grows");
        assert_eq!((both.height, both.fps), (720, 25));
        assert_eq!(told(&mut demands, 2, large), None);
        assert_eq!(told(&mut demands, 5_002, large), Some(large));
    }

    #[test]
    fn whoever_is_gone_is_forgotten() {
        let mut demands = Demands::default();
        told(&mut demands, 0, Demand::least());
        told(&mut demands, 1, Demand::HIDDEN);
        assert_eq!(demands.follow(MediaTime(2), &BTreeMap::new()), []);
        assert_eq!((demands.of(ANN), demands.wake_at()), (None, None));
    }
}
