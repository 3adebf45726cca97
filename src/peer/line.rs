//! How much of what is on offer a client's line carries (pure).
//!
//! A ladder of rates is given; this decides which rung the line bears. It starts by believing in
//! what it is given, and steps down when packets queue or are lost, to the rung that is sure to fit
//! into what did arrive. Seeing that a small stream arrives says nothing about a larger one, so a step
//! up is proven first: for half a second as much is sent as the next rung would need, filled up with
//! packets that were sent before. That is given up at the first sign of a queue, and is a tenth of all
//! that is sent at most.
//!
//! A receiver tells of each packet that has a number, up to twenty times a second, which costs a phone
//! its radio and the server more than protecting what it sends. So while a line has carried all that
//! is wished for, only some packets are numbered; at the first sign of trouble, all are again.

use std::time::Duration;

use super::delivery::{Arrival, Delivery, Window, slot};
use crate::clock::MediaTime;

/// Sound and what packets have around them, bit/s: comes first, whatever the picture.
const SOUND: f64 = 60_000.0;
/// Pictures may be so much larger than their rate for a while.
const SPARE: f64 = 1.1;
/// A queue that lasts: longer than what a keyframe or a busy machine makes.
const QUEUE: Duration = Duration::from_millis(120);
/// A queue of this length is too much even if it does not grow.
const LONG_QUEUE: Duration = Duration::from_millis(400);
/// If it is there for so long.
const LASTS: Duration = Duration::from_secs(2);
/// Less arrives than this part of what is sent: the queue grows.
const ARRIVES: f64 = 0.92;
/// More packets are lost than radio loses: the queue is full.
const LOST: f64 = 0.1;
/// Of what arrived while there was a queue, so much is counted on.
const SURE: f64 = 0.9;
/// What is believed is at most so many times what was delivered lately.
const BELIEVED: f64 = 1.5;
/// For how long what was delivered counts as lately.
const LATELY: Duration = Duration::from_secs(5);
/// Steps up are this far apart.
const APART: Duration = Duration::from_secs(5);
/// A proof lasts this long: a line that lets a burst pass shows its rate by then.
const PROOF: Duration = Duration::from_millis(500);
/// And more is sent than is needed by so much.
const OVER: f64 = 1.05;
/// The first sign of a queue.
const SIGN: Duration = Duration::from_millis(50);
/// Nothing is heard of a proof for so long after its end: it failed.
const SILENCE: Duration = Duration::from_millis(1_000);
/// After a proof that failed the next is this far off, then twice as far, and so on ...
const RETRY: Duration = Duration::from_secs(8);
/// ... up to this: a line that is free again is found out by then.
const MOST_RETRY: Duration = Duration::from_secs(16);
/// A step up that is taken back within this time was in vain ...
const VAIN: Duration = Duration::from_secs(60);
/// ... and the next one waits so long, then twice as long, and so on ...
const VAIN_WAIT: Duration = Duration::from_secs(30);
/// ... up to 2^4 times: eight minutes.
const MOST_VAIN: u32 = 4;
/// Part of all other bytes that proofs may cost.
const SHARE: f64 = 0.1;
/// Bytes of that which may be saved up.
const SAVED: f64 = 30_000.0;
/// The largest filler, bytes on the wire.
const FILLER: f64 = 1_250.0;
/// How often fillers go out.
const PACE: Duration = Duration::from_millis(5);
/// A line on which nothing has happened for so long is calm.
const CALM: Duration = Duration::from_secs(5);
/// Then packets are numbered in one of so many slots: 800 ms pass at most before a queue can be seen.
const SAMPLED: u64 = 5;
/// Without a way to prove anything a step up is tried after so long.
const UNPROVEN: Duration = Duration::from_secs(30);

/// What a client may be sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ladder {
    /// Bit/s of the picture on each rung, from the lowest.
    pub rungs: Vec<u32>,
    /// On which rung the client is.
    pub at: usize,
    /// The highest that it is to be on, if its line bears it.
    pub top: usize,
}

/// The line of one client.
#[derive(Debug)]
pub(super) struct Line {
    ladder: Ladder,
    /// The highest rung that the line bears as far as is known.
    bears: usize,
    delivery: Delivery,
    /// Packets can be sent again as fillers.
    fills: bool,
    /// Since when the client is on this rung.
    since: MediaTime,
    /// When there was a sign of trouble last, or a change.
    trouble: MediaTime,
    /// Since when all packets have been numbered.
    whole: MediaTime,
    /// The last step up, if nothing has come of it yet.
    raised: Option<MediaTime>,
    vain: u32,
    /// No proof before.
    retry: MediaTime,
    failed: u32,
    /// Since when the queue is [`LONG_QUEUE`].
    long: Option<MediaTime>,
    proof: Option<Proof>,
    /// Bytes that proofs may cost; what they cost too much is earned first.
    balance: f64,
    estimate: f64,
    /// The most that was delivered lately, and when.
    best: (f64, MediaTime),
}

#[derive(Debug)]
struct Proof {
    rate: f64,
    began: MediaTime,
    /// Bytes that went out since, fillers and all.
    sent: f64,
    /// When it was complete.
    ended: Option<MediaTime>,
}

impl Line {
    /// A line of which nothing is known but what it is given. `fills`: see [`Line::filler`].
    pub fn new(now: MediaTime, ladder: Ladder, fills: bool) -> Self {
        Self {
            bears: ladder.rungs.len().saturating_sub(1),
            ladder,
            delivery: Delivery::default(),
            fills,
            since: now,
            trouble: now,
            whole: now,
            raised: None,
            vain: 0,
            retry: now,
            failed: 0,
            long: None,
            proof: None,
            balance: 0.0,
            estimate: 0.0,
            best: (0.0, now),
        }
    }

    /// The client is given something else, for whatever reason.
    pub fn serve(&mut self, now: MediaTime, ladder: Ladder) {
        self.rouse(now);
        if ladder.rungs != self.ladder.rungs {
            self.bears = ladder.rungs.len().saturating_sub(1);
        }
        if ladder.at != self.ladder.at {
            self.step(now);
        }
        self.ladder = ladder;
    }

    /// A packet of so many bytes goes out; its transport-wide number, if it is to have one. `fills`:
    /// nobody needs it.
    pub fn sent(&mut self, now: MediaTime, bytes: u32, fills: bool) -> Option<u16> {
        let size = f64::from(bytes);
        match fills {
            true => self.balance -= size,
            false => self.balance = (self.balance + size * SHARE).min(SAVED),
        }
        if let Some(proof) = self.proof.as_mut().filter(|proof| proof.ended.is_none()) {
            proof.sent += size;
        }
        let told = !self.is_calm(now) || slot(now).is_multiple_of(SAMPLED);
        told.then(|| self.delivery.sent(now, bytes))
    }

    /// There is something to be found out: all packets are numbered from now on.
    fn rouse(&mut self, now: MediaTime) {
        if self.is_calm(now) {
            self.whole = now;
        }
        self.trouble = now;
    }

    /// Whether nothing is to be found out.
    fn is_calm(&self, now: MediaTime) -> bool {
        self.ladder.at >= self.ladder.top && now.since(self.trouble) >= CALM
    }

    /// What the receiver tells of packets. The rung that the line bears, if that has changed.
    pub fn told(
        &mut self,
        now: MediaTime,
        packets: impl Iterator<Item = (u16, Option<Arrival>)>,
    ) -> Option<usize> {
        for (number, arrival) in packets {
            self.delivery.told(now, number, arrival);
        }
        if self.delivery.queue() >= SIGN || self.delivery.lost() > LOST {
            self.rouse(now);
        }
        if self.is_calm(now) {
            return None;
        }
        let window = self.delivery.window(self.since.max(self.whole));
        let before = self.bears;
        if let Some(window) = window {
            self.estimate(now, window);
        }
        if let Some(capacity) = window.and_then(|window| self.overused(now, window)) {
            self.lower(now, capacity);
        } else {
            self.raise(now);
        }
        (self.bears != before).then_some(self.bears)
    }

    /// Bytes of filler that are due now, and when to ask again.
    pub fn filler(&mut self, now: MediaTime) -> (usize, Option<MediaTime>) {
        let Some(proof) = self.proof.as_mut() else {
            return (0, None);
        };
        if proof.ended.is_some() {
            return (0, None);
        }
        let passed = now.since(proof.began);
        if passed >= PROOF {
            proof.ended = Some(now);
            return (0, None);
        }
        let due = proof.rate / 8.0 * passed.as_secs_f64() - proof.sent;
        // As large as they may be, for what is around each is not for nothing.
        let due = (due / FILLER).floor().max(0.0) * FILLER;
        (due as usize, Some(now.plus(PACE)))
    }

    /// Bit/s that the line is believed to carry; none while nothing is known.
    pub fn carries(&self) -> Option<f64> {
        (self.estimate > 0.0).then_some(self.estimate)
    }

    fn need(&self, rung: usize) -> f64 {
        let picture = self.ladder.rungs.get(rung).copied().unwrap_or(0);
        f64::from(picture) * SPARE + SOUND
    }

    fn estimate(&mut self, now: MediaTime, window: Window) {
        let (best, at) = self.best;
        if window.delivered >= best || now.since(at) > LATELY {
            self.best = (window.delivered, now);
        }
        let believed = self.estimate.max(window.delivered);
        self.estimate = believed.min(self.best.0 * BELIEVED);
    }

    /// How much the line carries, if that is less than is sent.
    fn overused(&mut self, now: MediaTime, window: Window) -> Option<f64> {
        let grows = window.queue >= QUEUE && window.delivered < window.sent * ARRIVES;
        let long = window.queue >= LONG_QUEUE;
        let since = long.then(|| self.long.unwrap_or(now));
        self.long = since;
        let stays = since.is_some_and(|since| now.since(since) >= LASTS);
        let full = window.lost > LOST;
        match full {
            true => Some(window.lately),
            false => (grows || stays).then_some(window.delivered),
        }
    }

    /// Steps down to what fits, if the rung does not.
    fn lower(&mut self, now: MediaTime, capacity: f64) {
        self.estimate = capacity * SURE;
        if self.proof.take().is_some() {
            self.fail(now);
        }
        let mut rungs = (0..=self.ladder.at).rev();
        let fits = rungs.find(|rung| self.need(*rung) <= self.estimate);
        let rung = fits.unwrap_or(0);
        if rung >= self.ladder.at {
            // It was a moment, or what is left of before.
            return;
        }
        let vain = self.raised.take().is_some_and(|at| now.since(at) < VAIN);
        self.vain = if vain {
            (self.vain + 1).min(MOST_VAIN)
        } else {
            0
        };
        let wait = match self.vain {
            0 => RETRY,
            n => VAIN_WAIT * (1 << (n - 1)),
        };
        self.failed = 0;
        self.move_to(now, rung);
        self.retry = now.plus(wait);
    }

    fn raise(&mut self, now: MediaTime) {
        if self.proof.is_some() {
            self.judge(now);
            return;
        }
        let (at, top) = (self.ladder.at, self.ladder.top);
        let rested = now.since(self.since) >= APART && now >= self.retry;
        if at >= top || !rested || self.delivery.queue() >= SIGN {
            return;
        }
        if !self.fills {
            if now.since(self.since) >= UNPROVEN {
                self.raised = Some(now);
                self.move_to(now, at + 1);
            }
        } else if self.balance >= 0.0 {
            self.proof = Some(Proof {
                rate: self.need(at + 1) * OVER,
                began: now,
                sent: 0.0,
                ended: None,
            });
        }
    }

    /// Looks at what came of a proof so far.
    fn judge(&mut self, now: MediaTime) {
        let Some(proof) = &self.proof else { return };
        let end = proof.ended.unwrap_or(now);
        let seen = self.delivery.between(proof.began, end);
        let lost =
            seen.packets >= 20 && f64::from(seen.lost) > f64::from(seen.packets) * LOST / 2.0;
        if self.delivery.queue() >= SIGN || lost {
            self.fail(now);
            return;
        }
        let Some(ended) = proof.ended else { return };
        if seen.unknown > 0 {
            if now.since(ended) >= SILENCE {
                self.fail(now);
            }
            return;
        }
        // A busy machine may have sent less: that proves nothing, and costs a while.
        let needed = self.need(self.ladder.at + 1) / 8.0 * PROOF.as_secs_f64();
        if proof.sent + FILLER < needed {
            self.fail(now);
            return;
        }
        self.proof = None;
        self.failed = 0;
        self.raised = Some(now);
        let rate = seen.bytes as f64 * 8.0 / seen.seconds.max(PROOF.as_secs_f64());
        self.best = (rate, now);
        self.estimate = self.estimate.max(rate);
        let rung = self.ladder.at + 1;
        self.move_to(now, rung);
    }

    fn fail(&mut self, now: MediaTime) {
        self.proof = None;
        let wait = (RETRY * (1 << self.failed)).min(MOST_RETRY);
        self.failed = (self.failed + 1).min(8);
        self.retry = self.retry.max(now.plus(wait));
    }

    fn move_to(&mut self, now: MediaTime, rung: usize) {
        self.bears = rung;
        self.ladder.at = rung;
        self.step(now);
    }

    /// On another rung, nothing that was seen before counts.
    fn step(&mut self, now: MediaTime) {
        self.rouse(now);
        self.since = now;
        self.long = None;
        self.proof = None;
    }
}

#[cfg(test)]
mod tests;
