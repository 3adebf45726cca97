//! What became of the packets that were sent, by what the receiver tells of each (pure).
//!
//! Transport-wide feedback names for every packet when it arrived, by the receiver's clock. How far
//! that clock is from ours nobody knows, but the quickest packet of some time found no queue, so
//! whatever the others took longer, they waited.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::MediaTime;

/// Packets are judged together that were sent within this time: a keyframe's burst is over by then,
/// and some arrive of it on every line that can carry sound.
const SLOT: Duration = Duration::from_millis(200);
/// So many slots in a row are a judgement ...
const WINDOW: usize = 5;
/// ... and as few as these.
const LEAST: usize = 4;
/// What is lost in each of the newest of them is lost for a reason ...
const FEW: usize = 3;
/// ... and what arrives of the newest ones is what the line carries then.
const LATELY: usize = 2;
/// Packets of a slot by which loss is told.
const TELLING: u32 = 8;
/// Packets whose fate is still of interest: twenty seconds of the high tier.
const PACKETS: usize = 4_096;
/// And slots: fifteen seconds. A line may have a queue of many seconds, and all that is told of it
/// then is that old.
const SLOTS: usize = 75;
/// For how long the quickest packet is the measure of the others: clocks run apart, paths change.
const BASE: Duration = Duration::from_secs(10);
/// The least wait of so many packets is how long the queue is now.
const NOW: usize = 4;

/// Microseconds on the receiver's clock.
pub(super) type Arrival = i64;

/// What is known of one path.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    /// Number of the next packet.
    next: u64,
    /// The newest packets, in order.
    sent: VecDeque<Sent>,
    slots: VecDeque<Slot>,
    /// How long the last packets waited, microseconds.
    waits: VecDeque<i64>,
    base: Base,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    at: MediaTime,
    bytes: u32,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unknown,
    Lost,
    Arrived,
}

/// Packets that were sent within a [`SLOT`].
#[derive(Debug)]
struct Slot {
    number: u64,
    packets: u32,
    bytes: u64,
    lost: u32,
    arrived: u32,
    arrived_bytes: u64,
    /// Of the first and the last that arrived.
    span: Option<(Arrival, Arrival)>,
    /// The shortest, microseconds.
    wait: i64,
}

/// The quickest packet of the last one or two [`BASE`]s, microseconds between two clocks.
#[derive(Debug, Default)]
struct Base {
    since: MediaTime,
    now: Option<i64>,
    before: Option<i64>,
}

/// What became of some time's packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Window {
    /// Bit/s that were sent.
    pub sent: f64,
    /// Bit/s at which they arrived.
    pub delivered: f64,
    /// The same of the newest of them.
    pub lately: f64,
    /// The part of the packets that did not arrive, at least, lately.
    pub lost: f64,
    /// How long each of them waited at least.
    pub queue: Duration,
}

impl Delivery {
    /// A packet of so many bytes goes out; its transport-wide number.
    pub fn sent(&mut self, at: MediaTime, bytes: u32) -> u16 {
        let number = self.next;
        self.next += 1;
        if self.sent.len() == PACKETS {
            self.sent.pop_front();
        }
        let fate = Fate::Unknown;
        self.sent.push_back(Sent { at, bytes, fate });
        let slot = slot(at);
        if self.slots.back().is_none_or(|last| last.number != slot) {
            if self.slots.len() == SLOTS {
                self.slots.pop_front();
            }
            self.slots.push_back(Slot::new(slot));
        }
        if let Some(slot) = self.slots.back_mut() {
            slot.packets += 1;
            slot.bytes += u64::from(bytes);
        }
        number as u16
    }

    /// What the receiver tells of a packet; none: it has not arrived so far.
    pub fn told(&mut self, now: MediaTime, number: u16, arrival: Option<Arrival>) {
        let back = usize::from((self.next as u16).wrapping_sub(number));
        let index = self.sent.len().checked_sub(back).filter(|_| back > 0);
        let Some(sent) = index.and_then(|index| self.sent.get_mut(index)) else {
            return;
        };
        let number = slot(sent.at);
        let at = self.slots.binary_search_by_key(&number, |slot| slot.number);
        let slot = at.ok().and_then(|at| self.slots.get_mut(at));
        match (sent.fate, arrival) {
            (Fate::Unknown, None) => {
                sent.fate = Fate::Lost;
                if let Some(slot) = slot {
                    slot.lost += 1;
                }
            }
            (Fate::Unknown | Fate::Lost, Some(arrival)) => {
                let took = arrival - (sent.at.0 / 1_000) as i64;
                let wait = took - self.base.note(now, took);
                if self.waits.len() == NOW {
                    self.waits.pop_front();
                }
                self.waits.push_back(wait);
                if let Some(slot) = slot {
                    slot.lost -= u32::from(sent.fate == Fate::Lost);
                    slot.arrive(arrival, wait, sent.bytes);
                }
                sent.fate = Fate::Arrived;
            }
            (Fate::Lost, None) | (Fate::Arrived, _) => {}
        }
    }

    /// How long packets wait at present.
    pub fn queue(&self) -> Duration {
        micros(self.waits.iter().copied().min().unwrap_or(0))
    }

    /// The part that was lost of the newest slot of which all is known. A few packets tell nothing.
    pub fn lost(&self) -> f64 {
        let mut newest = self.slots.iter().rev();
        let known = newest.find(|slot| slot.is_known() && slot.packets >= TELLING);
        known.map_or(0.0, Slot::lost)
    }

    /// What became of the newest packets sent since `since` of which all is known. None while there
    /// are too few, or while nothing arrived at all for a while: that is an outage, which says
    /// nothing about how much gets through.
    pub fn window(&self, since: MediaTime) -> Option<Window> {
        let first = since.0.div_ceil(SLOT.as_nanos() as u64);
        let known = self.slots.iter().rev().skip_while(|slot| !slot.is_known());
        let slots = known.take_while(|slot| slot.arrived > 0 && slot.number >= first);
        sum(&slots.take(WINDOW).collect::<Vec<_>>())
    }

    /// What became of the packets sent from `from` to `to`, however few.
    pub fn between(&self, from: MediaTime, to: MediaTime) -> Between {
        let mut between = Between::default();
        let mut span: Option<(i64, i64)> = None;
        for sent in self.sent.iter().rev().take_while(|sent| sent.at >= from) {
            if sent.at > to {
                continue;
            }
            between.packets += 1;
            between.bytes += u64::from(sent.bytes);
            between.lost += u32::from(sent.fate == Fate::Lost);
            between.unknown += u32::from(sent.fate == Fate::Unknown);
            let at = sent.at.0 as i64;
            span = Some(span.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
        }
        let length = span.map_or(0, |(first, last)| last - first);
        between.seconds = length as f64 / 1e9;
        between
    }
}

/// The number of the slot of what is sent at `at`.
pub(super) fn slot(at: MediaTime) -> u64 {
    at.0 / SLOT.as_nanos() as u64
}

fn sum(slots: &[&Slot]) -> Option<Window> {
    if slots.len() < LEAST {
        return None;
    }
    let seconds = slots.len() as f64 * SLOT.as_secs_f64();
    let bytes: u64 = slots.iter().map(|slot| slot.bytes).sum();
    let lost = slots[..FEW].iter().map(|slot| slot.lost());
    let wait = slots.iter().map(|slot| slot.wait).min();
    Some(Window {
        sent: bytes as f64 * 8.0 / seconds,
        delivered: rate(slots),
        lately: rate(&slots[..LATELY]),
        lost: lost.fold(1.0, f64::min),
        queue: micros(wait.unwrap_or(0)),
    })
}

/// At how many bit/s these arrived.
fn rate(slots: &[&Slot]) -> f64 {
    let bytes: u64 = slots.iter().map(|slot| slot.arrived_bytes).sum();
    let spans = slots.iter().filter_map(|slot| slot.span);
    let first = spans.clone().map(|(first, _)| first).min().unwrap_or(0);
    let last = spans.map(|(_, last)| last).max().unwrap_or(0);
    // What was sent together may arrive together: then the time between is no measure.
    let least = slots.len() as f64 * SLOT.as_secs_f64() / 4.0;
    bytes as f64 * 8.0 / ((last - first) as f64 / 1e6).max(least)
}

/// What became of the packets of any time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Between {
    /// Packets sent.
    pub packets: u32,
    /// Of them, those that did not arrive ...
    pub lost: u32,
    /// ... and those that nothing is known of yet.
    pub unknown: u32,
    /// Bytes sent.
    pub bytes: u64,
    /// From the first to the last.
    pub seconds: f64,
}

impl Slot {
    fn new(number: u64) -> Self {
        Self {
            number,
            packets: 0,
            bytes: 0,
            lost: 0,
            arrived: 0,
            arrived_bytes: 0,
            span: None,
            wait: i64::MAX,
        }
    }

    fn arrive(&mut self, at: Arrival, wait: i64, bytes: u32) {
        self.arrived += 1;
        self.arrived_bytes += u64::from(bytes);
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
        self.wait = self.wait.min(wait);
    }

    /// The part that did not arrive.
    fn lost(&self) -> f64 {
        f64::from(self.lost) / f64::from(self.packets)
    }

    fn is_known(&self) -> bool {
        self.arrived + self.lost >= self.packets
    }
}

impl Base {
    /// A packet took so long; what the quickest took.
    fn note(&mut self, now: MediaTime, took: i64) -> i64 {
        if now.since(self.since) >= BASE {
            self.before = self.now.take();
            self.since = now;
        }
        let least = self.now.map_or(took, |least| least.min(took));
        self.now = Some(least);
        self.before.map_or(least, |before| before.min(least))
    }
}

fn micros(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    /// Sends a packet of 1,000 bytes every 10 ms for two seconds; `arrives` says how many ms it takes.
    fn two_seconds(arrives: impl Fn(u64) -> Option<u64>) -> Delivery {
        let mut delivery = Delivery::default();
        for n in 0..200 {
            let number = delivery.sent(ms(n * 10), 1_000);
            // Their clock is another.
            let arrival = arrives(n).map(|took| ((n * 10 + took) * 1_000) as i64 - 77_000_000);
            delivery.told(ms(n * 10 + 50), number, arrival);
        }
        delivery
    }

    #[test]
    fn a_line_with_room_delivers_what_is_sent() {
        let delivery = two_seconds(|_| Some(20));
        let window = delivery.window(ms(0)).unwrap();
        assert_eq!(window.sent, 800_000.0);
        assert!((window.delivered - window.sent).abs() < 20_000.0);
        assert_eq!((window.lost, window.queue), (0.0, Duration::ZERO));
        assert!(delivery.window(ms(1_500)).is_none(), "too short to say");
    }

    #[test]
    fn a_line_that_is_too_small_has_a_queue_and_its_own_rate() {
        // Twice as much as it carries.
        let delivery = two_seconds(|n| Some(20 + n * 10));
        let window = delivery.window(ms(0)).unwrap();
        assert!(
            (window.delivered - 400_000.0).abs() < 10_000.0,
            "{window:?}"
        );
        assert!(window.queue >= Duration::from_millis(900), "{window:?}");
        assert!(delivery.queue() > Duration::from_millis(1_900));
    }

    #[test]
    fn a_queue_of_many_seconds_is_seen() {
        let mut delivery = Delivery::default();
        let mut under_way = VecDeque::new();
        for now in (0..9_000).step_by(10) {
            // The first few were quick, as they are on an empty line.
            let took = if now < 100 { 20 } else { 5_000 };
            under_way.push_back((now + took, delivery.sent(ms(now), 1_000)));
            while let Some((at, number)) = under_way.front().copied().filter(|(at, _)| *at <= now) {
                delivery.told(ms(now), number, Some(at as i64 * 1_000));
                under_way.pop_front();
            }
        }
        let window = delivery.window(ms(0)).expect("all of the packets arrive");
        assert!(window.queue > Duration::from_millis(4_900), "{window:?}");
        assert_eq!((window.sent, window.lost), (800_000.0, 0.0));
    }

    #[test]
    fn an_outage_is_no_measure() {
        let delivery = two_seconds(|n| (!(60..150).contains(&n)).then_some(20));
        assert_eq!(delivery.window(ms(0)), None);
        let delivery = two_seconds(|n| n.is_multiple_of(4).then_some(20));
        assert_eq!(delivery.window(ms(0)).map(|w| w.lost), Some(0.75));
    }

    #[test]
    fn what_comes_later_than_it_was_missed_has_come() {
        let mut delivery = Delivery::default();
        for n in 0..100 {
            let number = delivery.sent(ms(n * 10), 100);
            delivery.told(ms(n * 10), number, None);
            delivery.told(ms(n * 10), number, Some(n as i64 * 10_000));
            delivery.told(ms(n * 10), number.wrapping_add(1), Some(5));
            delivery.told(ms(n * 10), number.wrapping_sub(30_000), Some(5));
        }
        let window = delivery.window(ms(0)).unwrap();
        assert_eq!((window.lost, window.sent), (0.0, 80_000.0));
        let between = delivery.between(ms(100), ms(190));
        assert_eq!((between.packets, between.lost, between.unknown), (10, 0, 0));
    }
}
