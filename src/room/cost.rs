//! What rooms cost, in cores, before they cost it (pure), and the account of all of them.
//!
//! The model counts what is known to cost: pixels that are decoded, scaled and encoded, voices,
//! sums, and packets. What a pixel costs is measured at start; the rest was measured once and is
//! corrected by how quick this machine is.

use std::collections::BTreeMap;
use std::iter::Sum;
use std::ops::Add;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::media::VideoCodec;
use crate::stats::Stats;

/// CPU seconds of scaling and laying out a pixel of a tile: .25 ms for 640x360.
const SCALE: f64 = 1.1e-9;
/// CPU seconds of a second of a voice: receiving, decoding and levelling it.
const VOICE: f64 = 0.008;
/// CPU seconds of a second of a sum: adding and encoding it.
const SUM: f64 = 0.010;
/// CPU seconds of receiving a packet: reading, decrypting, sorting it in.
const RECEIVED: f64 = 12e-6;
/// CPU seconds of sending a packet: encrypting and writing it.
const SENT: f64 = 18e-6;
/// A measurement that is off what is usual by more than this factor is a hiccup's.
const CREDIBLE: f64 = 5.0;

/// CPU seconds of coding a pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pixel {
    /// H.264.
    pub h264: f64,
    /// VP8.
    pub vp8: f64,
}

impl Pixel {
    /// Of a codec.
    pub fn of(&self, codec: VideoCodec) -> f64 {
        match codec {
            VideoCodec::H264 => self.h264,
            VideoCodec::Vp8 => self.vp8,
        }
    }

    /// As measured, where that is credible beside what is usual.
    fn measured(self, usual: Self) -> Self {
        let credible = |value: f64, usual: f64| match value.is_finite() && value > 0.0 {
            // Hardware may cost next to nothing, and that is believed.
            true => value.min(usual * CREDIBLE),
            false => usual,
        };
        Self {
            h264: credible(self.h264, usual.h264),
            vp8: credible(self.vp8, usual.vp8),
        }
    }
}

/// What things cost on this machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// Of encoding a pixel.
    pub encode: Pixel,
    /// Of decoding a pixel.
    pub decode: Pixel,
    /// How slow this machine is beside the one on which the rest was measured.
    pub slowness: f64,
}

impl Default for Prices {
    /// One core of a virtual machine of 2024, in software: 1280x720 encoded in 7 ms (x264
    /// superfast) and 7.2 ms (VP8), 640x360 decoded in .6 and .4 ms.
    fn default() -> Self {
        let (full, small) = (1280.0 * 720.0, 640.0 * 360.0);
        Self {
            encode: Pixel {
                h264: 7.0e-3 / full,
                vp8: 7.2e-3 / full,
            },
            decode: Pixel {
                h264: 0.6e-3 / small,
                vp8: 0.4e-3 / small,
            },
            slowness: 1.0,
        }
    }
}

impl Prices {
    /// As measured, where that is credible.
    pub fn measured(self) -> Self {
        let usual = Self::default();
        let slowness = match self.slowness.is_finite() && self.slowness > 0.0 {
            true => self.slowness.clamp(1.0 / CREDIBLE, CREDIBLE),
            false => usual.slowness,
        };
        Self {
            encode: self.encode.measured(usual.encode),
            decode: self.decode.measured(usual.decode),
            slowness,
        }
    }
}

/// What is done in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Work {
    /// Pixels, H.264 and VP8.
    pub decoded: [f64; 2],
    /// Pixels, H.264 and VP8.
    pub encoded: [f64; 2],
    /// Pixels of tiles.
    pub scaled: f64,
    /// Voices that are decoded.
    pub voices: f64,
    /// Sums that are encoded.
    pub sums: f64,
    /// Packets.
    pub received: f64,
    /// Packets.
    pub sent: f64,
}

impl Work {
    /// Cores that this takes.
    pub fn cost(&self, prices: &Prices) -> f64 {
        let pixels = |[h264, vp8]: [f64; 2], price: Pixel| h264 * price.h264 + vp8 * price.vp8;
        let coded = pixels(self.decoded, prices.decode) + pixels(self.encoded, prices.encode);
        let rest = self.scaled * SCALE
            + self.voices * VOICE
            + self.sums * SUM
            + self.received * RECEIVED
            + self.sent * SENT;
        coded + rest * prices.slowness
    }
}

impl Add for Work {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let both = |a: [f64; 2], b: [f64; 2]| [a[0] + b[0], a[1] + b[1]];
        Self {
            decoded: both(self.decoded, other.decoded),
            encoded: both(self.encoded, other.encoded),
            scaled: self.scaled + other.scaled,
            voices: self.voices + other.voices,
            sums: self.sums + other.sums,
            received: self.received + other.received,
            sent: self.sent + other.sent,
        }
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// Where a codec stands in [`Work`].
pub fn index(codec: VideoCodec) -> usize {
    match codec {
        VideoCodec::H264 => 0,
        VideoCodec::Vp8 => 1,
    }
}

/// What all rooms cost together, and what they may.
#[derive(Debug)]
pub struct Ledger {
    /// Cores.
    budget: f64,
    prices: Prices,
    stats: Arc<Stats>,
    next: AtomicU64,
    rooms: Mutex<BTreeMap<u64, f64>>,
    /// What each room costs at present.
    present: Mutex<BTreeMap<u64, f64>>,
}

/// A room's part of what all rooms do at present.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// 1 is all of it.
    pub of_all: f64,
    /// There is no other room.
    pub alone: bool,
}

/// There is no room for this any more.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "this server is full: {needed:.1} of its {budget:.1} processor cores would be in use; \
     try again when another meeting has ended"
)]
pub struct Full {
    /// Cores that all rooms would need.
    pub needed: f64,
    /// Cores that there are.
    pub budget: f64,
}

impl Ledger {
    /// Nothing is done yet.
    pub fn new(budget: f64, prices: Prices, stats: Arc<Stats>) -> Arc<Self> {
        Arc::new(Self {
            budget,
            prices,
            stats,
            next: AtomicU64::new(0),
            rooms: Mutex::default(),
            present: Mutex::default(),
        })
    }

    /// A room opens.
    pub fn open(self: &Arc<Self>) -> Account {
        Account {
            room: self.next.fetch_add(1, Ordering::Relaxed),
            ledger: self.clone(),
        }
    }

    /// Whether there is room for this besides all there is.
    ///
    /// # Errors
    /// If there is not.
    pub fn fits(&self, work: &Work) -> Result<(), Full> {
        let others = total(self.lock().values());
        self.check(others, work)
    }

    fn check(&self, others: f64, work: &Work) -> Result<(), Full> {
        let (needed, budget) = (others + work.cost(&self.prices), self.budget);
        match needed <= budget {
            true => Ok(()),
            false => {
                self.stats.budget.refused.inc();
                Err(Full { needed, budget })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, f64>> {
        // Every change of the map is one step.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn present(&self) -> MutexGuard<'_, BTreeMap<u64, f64>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, rooms: &BTreeMap<u64, f64>) {
        self.stats.budget.committed.set(total(rooms.values()));
    }
}

/// Of nothing it is 0, and not -0 as a sum of nothing is.
fn total<'a>(costs: impl Iterator<Item = &'a f64>) -> f64 {
    costs.fold(0.0, |sum, cost| sum + cost)
}

/// One room's part in it, until dropped.
#[derive(Debug)]
pub struct Account {
    room: u64,
    ledger: Arc<Ledger>,
}

impl Account {
    /// Whether the room may do all this instead of what it did; if so, it is written down.
    ///
    /// # Errors
    /// If it does not fit beside what the other rooms do.
    pub fn admit(&self, work: &Work) -> Result<(), Full> {
        let mut rooms = self.ledger.lock();
        let others = rooms.iter().filter(|(room, _)| **room != self.room);
        let others = total(others.map(|(_, cost)| cost));
        self.ledger.check(others, work)?;
        rooms.insert(self.room, work.cost(&self.ledger.prices));
        self.ledger.publish(&rooms);
        Ok(())
    }

    /// The room does all this, whether it fits or not.
    pub fn commit(&self, work: &Work) {
        let mut rooms = self.ledger.lock();
        rooms.insert(self.room, work.cost(&self.ledger.prices));
        self.ledger.publish(&rooms);
    }

    /// This is what the room does at present. It is no promise, so nothing is refused for it.
    pub fn does(&self, work: &Work) {
        let cost = work.cost(&self.ledger.prices);
        self.ledger.present().insert(self.room, cost);
    }

    /// The room's part of what all rooms do at present, by what is known to cost; none: nothing is
    /// done.
    pub fn part(&self) -> Option<Part> {
        let present = self.ledger.present();
        let (own, all) = (present.get(&self.room)?, total(present.values()));
        (all > 0.0).then(|| Part {
            of_all: own / all,
            alone: present.len() == 1,
        })
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.ledger.present().remove(&self.room);
        let mut rooms = self.ledger.lock();
        rooms.remove(&self.room);
        self.ledger.publish(&rooms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many encoders of a full-size mix.
    fn mixes(n: f64) -> Work {
        Work {
            encoded: [n * 1280.0 * 720.0 * 25.0, 0.0],
            ..Work::default()
        }
    }

    fn ledger(budget: f64) -> (Arc<Ledger>, Arc<Stats>) {
        let stats = Arc::<Stats>::default();
        (Ledger::new(budget, Prices::default(), stats.clone()), stats)
    }

    #[test]
    fn rooms_fit_until_they_do_not() {
        // An encoder takes .175 cores.
        let (ledger, stats) = ledger(0.6);
        let (one, other) = (ledger.open(), ledger.open());
        assert_eq!(one.admit(&mixes(1.0)), Ok(()));
        assert_eq!(one.admit(&mixes(2.0)), Ok(()), "it is counted once");
        assert_eq!(other.admit(&mixes(1.0)), Ok(()));
        let full = other.admit(&mixes(2.0)).unwrap_err();
        assert!((full.needed - 0.7).abs() < 0.01, "{full:?}");
        assert!(ledger.fits(&mixes(1.0)).is_err());
        assert!((stats.budget.committed.get() - 0.525).abs() < 0.01);
        assert_eq!(stats.budget.refused.get(), 2);
        drop(one);
        assert_eq!(other.admit(&mixes(3.0)), Ok(()));
        drop(other);
        assert_eq!(stats.budget.committed.get(), 0.0);
    }

    #[test]
    fn what_is_done_is_written_down_even_if_it_is_too_much() {
        let (ledger, stats) = ledger(0.1);
        let room = ledger.open();
        room.commit(&mixes(4.0));
        assert!((stats.budget.committed.get() - 0.7).abs() < 0.01);
        assert_eq!(stats.budget.refused.get(), 0);
    }

    #[test]
    fn a_rooms_part_is_by_what_all_do_at_present() {
        let (ledger, _) = ledger(1.0);
        let (one, other) = (ledger.open(), ledger.open());
        assert_eq!(one.part(), None);
        one.does(&mixes(1.0));
        let part = |of_all, alone| Some(Part { of_all, alone });
        assert_eq!(one.part(), part(1.0, true));
        other.does(&mixes(3.0));
        assert_eq!(one.part(), part(0.25, false));
        drop(other);
        assert_eq!(one.part(), part(1.0, true));
        one.does(&Work::default());
        assert_eq!(one.part(), None);
    }

    #[test]
    fn hiccups_are_not_believed_and_hardware_is() {
        let usual = Prices::default();
        let odd = Prices {
            encode: Pixel {
                h264: usual.encode.h264 / 100.0,
                vp8: usual.encode.vp8 * 100.0,
            },
            decode: Pixel {
                h264: f64::NAN,
                vp8: 0.0,
            },
            slowness: 1e9,
        };
        let measured = odd.measured();
        assert_eq!(measured.encode.h264, odd.encode.h264);
        assert_eq!(measured.encode.vp8, usual.encode.vp8 * CREDIBLE);
        assert_eq!(measured.decode, usual.decode);
        assert_eq!(measured.slowness, CREDIBLE);
        assert_eq!(usual.measured(), usual);
    }
}
