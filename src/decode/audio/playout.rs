//! Decoded sound between the moment it comes and the tick that plays it (pure).
//!
//! The queue is as deep as jitter asks for and no deeper. For each stretch of sound it is known
//! how much of what waited before it could have been missing without anybody noticing. Where
//! that was never needed for a while it is taken out, a pitch period at a time; where sound came
//! only just in time, a period is put in. Sound that comes too late is played late, which makes
//! the queue deeper by itself. Clock drift between sender and server is followed the same way.
//!
//! Where losses are frequent the queue is kept one packet deeper, because a packet's copy (FEC)
//! travels in the one after it.

use std::collections::VecDeque;
use std::time::Duration;

use super::Pulled;
use super::opus::{Chunk, Kind};
use super::stretch::{self, Continuation, JOIN, LOOK};
use crate::clock::MediaTime;
use crate::media::{AUDIO_CLOCK, AUDIO_FRAME};

/// Time between pulls.
const TICK: Duration = Duration::from_millis(20);
/// Never more than this waits, whatever the network does: a meeting would rather lose a word than
/// fall behind.
pub const MOST: usize = samples(200);
/// What is left when [`MOST`] is passed.
const AFTER_CUT: usize = samples(60);
/// Sound that comes with less time than this to its tick is nearly late: scheduling alone varies
/// by so much.
const TIGHT: Duration = Duration::from_millis(2);
/// Only what came with more time than this has something to spare.
const EASY: Duration = Duration::from_millis(7);
/// How long nothing may have been needed before it is taken out, with no underrun lately ...
const CALM: Duration = Duration::from_secs(2);
/// ... and for [`WARY_FOR`] after one.
const WARY: Duration = Duration::from_secs(10);
const WARY_FOR: Duration = Duration::from_secs(30);
/// Two losses within this time are frequent.
const LOSSY_FOR: Duration = Duration::from_secs(10);
/// With this much to spare, sound is shortened at every tick rather than every fifth.
const MUCH: usize = samples(40);
/// Ticks between two changes of length.
const REST: u32 = 5;
/// After this many ticks without a good place, any place will do.
const INSIST: u32 = 50;
/// A pause ends after this long without any packet: senders in DTX refresh every 400 ms.
const PAUSE: Duration = Duration::from_millis(1_500);
/// How long the first sound waits: the jitter that is expected before any is known.
const FIRST_WAIT: Duration = Duration::from_millis(15);
/// A sound whose place in time is within this of now is played there; it is not a new beginning.
const SAME_TIME: Duration = Duration::from_millis(150);
/// Loudest comfort noise, RMS: -56 dBFS.
const COMFORT: f64 = 50.0;
/// What was played is remembered for as long as a continuation needs.
const HISTORY: usize = 1_200;

const fn samples(ms: usize) -> usize {
    AUDIO_CLOCK as usize / 1000 * ms
}

/// What is going on.
#[derive(Debug)]
enum State {
    /// Nothing has come, or nothing for long.
    Idle,
    /// A beginning waits for its time.
    Waiting { from: MediaTime, paused: bool },
    /// Sound plays.
    Playing,
    /// The queue ran dry in the middle of sound.
    Starving { since: MediaTime },
    /// The queue ran dry in a pause.
    Paused { since: MediaTime },
}

/// The queue. Time is an argument.
#[derive(Debug)]
pub struct Playout {
    queue: VecDeque<Chunk>,
    /// Samples in `queue`.
    waiting: usize,
    state: State,
    last_pull: Option<MediaTime>,
    /// The sample of this RTP time was the first at this tick.
    played: Option<(MediaTime, u32)>,
    /// RTP time after the last sample played or made up.
    head: u32,
    /// What the last sample was part of.
    last: Kind,
    history: VecDeque<i16>,
    continuation: Continuation,
    made_up: bool,
    spare: Spare,
    tight: bool,
    underrun: Option<MediaTime>,
    lost: Option<MediaTime>,
    lossy_until: MediaTime,
    rest: u32,
    tried: u32,
    noise: Noise,
}

impl Default for Playout {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            waiting: 0,
            state: State::Idle,
            last_pull: None,
            played: None,
            head: 0,
            last: Kind::Sent,
            history: VecDeque::with_capacity(HISTORY + AUDIO_FRAME),
            continuation: Continuation::default(),
            made_up: false,
            spare: Spare::default(),
            tight: false,
            underrun: None,
            lost: None,
            lossy_until: MediaTime::default(),
            rest: 0,
            tried: 0,
            noise: Noise::default(),
        }
    }
}

impl Playout {
    /// Takes a stretch of sound. Answers how many samples had to go for it.
    pub fn write(&mut self, now: MediaTime, mut chunk: Chunk) -> usize {
        self.note_loss(now, &chunk);
        if chunk.kind == Kind::Pause {
            self.noise.like(&chunk.pcm);
        }
        if chunk.kind == Kind::Recovered && self.waiting == 0 {
            // Its time has been filled already, as far as the head has gone on.
            let late = self.head.wrapping_sub(chunk.rtp) as i32;
            let late = usize::try_from(late).unwrap_or(0).min(chunk.pcm.len());
            chunk.pcm.drain(..late);
            chunk.rtp = chunk.rtp.wrapping_add(late as u32);
        }
        if chunk.pcm.is_empty() {
            return 0;
        }
        match self.state {
            State::Idle | State::Paused { .. } => self.begin(now, chunk.rtp),
            State::Starving { since } if now.since(since) > SAME_TIME => self.begin(now, chunk.rtp),
            State::Playing | State::Starving { .. } => self.measure(now),
            State::Waiting { .. } => {}
        }
        self.waiting += chunk.pcm.len();
        self.queue.push_back(chunk);
        if self.waiting <= MOST {
            return 0;
        }
        let over = self.waiting - AFTER_CUT;
        self.take(over);
        self.continuation = Continuation::of(self.history.make_contiguous());
        self.made_up = true;
        self.spare.forget();
        over
    }

    /// The next 20 ms, what they are, and the RTP time of the first sample where it was sent.
    pub fn pull(&mut self, tick: MediaTime, out: &mut [i16; AUDIO_FRAME]) -> (Pulled, Option<u32>) {
        self.last_pull = Some(tick);
        if let State::Waiting { from, paused } = self.state {
            // The nearest tick: half a tick early is as good as half a tick late.
            if tick.plus(TICK / 2) < from {
                return (self.between(paused, out), None);
            }
            self.state = State::Playing;
            self.made_up = true;
        }
        match self.state {
            State::Idle => {
                out.fill(0);
                return (Pulled::Nothing, None);
            }
            State::Paused { since } if tick.since(since) >= PAUSE => self.state = State::Idle,
            _ => {}
        }
        if self.waiting >= AUDIO_FRAME {
            return self.play(tick, out);
        }
        self.run_dry(tick, out)
    }

    /// A whole frame is there.
    fn play(&mut self, tick: MediaTime, out: &mut [i16; AUDIO_FRAME]) -> (Pulled, Option<u32>) {
        self.state = State::Playing;
        let rtp = self.queue.front().map(|chunk| chunk.rtp);
        let (mut pcm, kind) = self.take(AUDIO_FRAME);
        self.adjust(tick, &mut pcm);
        out.copy_from_slice(&pcm[..AUDIO_FRAME]);
        if std::mem::take(&mut self.made_up) {
            let mut before = [0; JOIN];
            self.continuation.fill(&mut before);
            stretch::join(&before, out);
        }
        self.continuation = Continuation::default();
        self.remember(out);
        if let Some(rtp) = rtp {
            self.played = Some((tick, rtp));
        }
        let pulled = match kind {
            Kind::Sent => Pulled::Speech,
            Kind::Recovered => Pulled::Concealed,
            Kind::Pause => Pulled::Comfort,
        };
        (pulled, rtp)
    }

    /// Less than a frame is there.
    fn run_dry(&mut self, tick: MediaTime, out: &mut [i16; AUDIO_FRAME]) -> (Pulled, Option<u32>) {
        let first = self.queue.front().map(|chunk| chunk.rtp);
        let (rest, _) = self.take(self.waiting);
        let paused = match self.state {
            State::Paused { .. } | State::Idle => true,
            _ => self.last == Kind::Pause || self.fell_quiet(&rest),
        };
        out[..rest.len()].copy_from_slice(&rest);
        if !rest.is_empty() {
            self.played = first.map(|rtp| (tick, rtp));
            self.remember(&rest);
        }
        if paused {
            if !matches!(self.state, State::Paused { .. } | State::Idle) {
                self.state = State::Paused { since: tick };
            }
            let pulled = match self.state {
                State::Idle => {
                    out[rest.len()..].fill(0);
                    Pulled::Nothing
                }
                _ => {
                    self.noise.fill(&mut out[rest.len()..]);
                    Pulled::Comfort
                }
            };
            return (pulled, first.filter(|_| !rest.is_empty()));
        }
        let since = match self.state {
            State::Starving { since } => since,
            _ => {
                self.underrun = Some(tick);
                self.spare.forget();
                self.continuation = Continuation::of(self.history.make_contiguous());
                tick
            }
        };
        self.state = State::Starving { since };
        self.continuation.fill(&mut out[rest.len()..]);
        self.made_up = true;
        self.head = self.head.wrapping_add((AUDIO_FRAME - rest.len()) as u32);
        let over = self.continuation.over();
        if over && tick.since(since) >= PAUSE {
            self.state = State::Idle;
        }
        let pulled = if over {
            Pulled::Nothing
        } else {
            Pulled::Concealed
        };
        (pulled, first.filter(|_| !rest.is_empty()))
    }

    /// Whether what was heard last is as faint as a pause. Some senders in DTX just stop, without
    /// a packet that says so.
    fn fell_quiet(&mut self, rest: &[i16]) -> bool {
        let last = self.history.iter().rev().take(AUDIO_FRAME / 2);
        let tail: Vec<i16> = rest.iter().chain(last).copied().collect();
        let quiet = rms(&tail) <= COMFORT * 2.0;
        if quiet {
            self.noise.like(&tail);
        }
        quiet
    }

    /// What is heard before a beginning.
    fn between(&mut self, paused: bool, out: &mut [i16]) -> Pulled {
        if paused {
            self.noise.fill(out);
            Pulled::Comfort
        } else {
            out.fill(0);
            Pulled::Nothing
        }
    }

    /// Sound begins, or begins again. After a pause it goes on at its own time, so that a pause
    /// changes no delay; otherwise it waits for the jitter to be expected.
    fn begin(&mut self, now: MediaTime, rtp: u32) {
        let paused = matches!(self.state, State::Paused { .. });
        let own_time = self.played.and_then(|(tick, head)| {
            let ahead = rtp.wrapping_sub(head) as i32;
            let ahead = u64::try_from(ahead).ok()?;
            let at = tick.plus(Duration::from_nanos(
                ahead * 1_000_000_000 / u64::from(AUDIO_CLOCK),
            ));
            let near = at.since(now).max(now.since(at)) <= SAME_TIME;
            near.then_some(at)
        });
        let from = own_time.unwrap_or_else(|| now.plus(FIRST_WAIT));
        self.spare.forget();
        self.continuation = Continuation::default();
        self.state = State::Waiting { from, paused };
    }

    /// Sound came while sound plays: how much of what waits was in its way?
    fn measure(&mut self, now: MediaTime) {
        let Some(last) = self.last_pull else { return };
        let next = last.plus(TICK);
        let extra = if now < self.lossy_until {
            TICK
        } else {
            Duration::ZERO
        };
        // Ticks that must pass before this sound is due, for it to come with that much time.
        let ticks = |time: Duration| {
            let needed = now.plus(time).since(next);
            needed.as_nanos().div_ceil(TICK.as_nanos()) as usize
        };
        let spare = self.waiting as i64 - (ticks(EASY + extra) * AUDIO_FRAME) as i64;
        self.spare.note(now, spare);
        if self.waiting < ticks(TIGHT + extra) * AUDIO_FRAME {
            self.tight = true;
        }
    }

    /// Makes the sound about to be played shorter or longer where that is called for. `pcm` holds
    /// a frame and leaves with a frame or more: what is too much goes back.
    fn adjust(&mut self, tick: MediaTime, pcm: &mut Vec<i16>) {
        self.rest = self.rest.saturating_sub(1);
        let wary = self.underrun.is_some_and(|at| tick.since(at) < WARY_FOR);
        let window = if wary { WARY } else { CALM };
        let spare = self.spare.least(tick, window).unwrap_or(0).max(0) as usize;
        if self.rest > 0 && spare < MUCH {
            return;
        }
        let must = self.tried >= INSIST;
        if self.tight {
            self.tried += 1;
            if let Some(come) = stretch::lengthen(pcm, must) {
                let back = pcm.split_off(AUDIO_FRAME);
                self.give_back(back);
                self.spare.shift(come as i64);
                self.settled();
            }
        } else if spare >= stretch::LONGEST && self.waiting >= stretch::LONGEST {
            self.tried += 1;
            let (more, _) = self.take(stretch::LONGEST);
            pcm.extend(more);
            let gone = stretch::shorten(pcm, must);
            let back = pcm.split_off(AUDIO_FRAME);
            self.give_back(back);
            if let Some(gone) = gone {
                self.spare.shift(-(gone as i64));
                self.settled();
            }
        } else {
            self.tried = 0;
        }
    }

    fn settled(&mut self) {
        self.tight = false;
        self.rest = REST;
        self.tried = 0;
    }

    /// Takes samples out of the queue; their kind is the least certain among them.
    fn take(&mut self, count: usize) -> (Vec<i16>, Kind) {
        let mut out = Vec::with_capacity(AUDIO_FRAME + LOOK);
        let mut kind = Kind::Pause;
        while out.len() < count {
            let Some(chunk) = self.queue.front_mut() else {
                break;
            };
            let part = chunk.pcm.len().min(count - out.len());
            kind = match (kind, chunk.kind) {
                (Kind::Recovered, _) | (_, Kind::Recovered) => Kind::Recovered,
                (Kind::Sent, _) | (_, Kind::Sent) => Kind::Sent,
                _ => Kind::Pause,
            };
            out.extend(chunk.pcm.drain(..part));
            chunk.rtp = chunk.rtp.wrapping_add(part as u32);
            self.head = chunk.rtp;
            self.last = chunk.kind;
            if chunk.pcm.is_empty() {
                self.queue.pop_front();
            }
        }
        self.waiting -= out.len();
        (out, kind)
    }

    fn give_back(&mut self, pcm: Vec<i16>) {
        if pcm.is_empty() {
            return;
        }
        self.waiting += pcm.len();
        let rtp = self.head.wrapping_sub(pcm.len() as u32);
        self.head = rtp;
        self.queue.push_front(Chunk {
            rtp,
            kind: Kind::Sent,
            pcm,
        });
    }

    fn remember(&mut self, pcm: &[i16]) {
        self.history.extend(pcm);
        let over = self.history.len().saturating_sub(HISTORY);
        self.history.drain(..over);
    }

    fn note_loss(&mut self, now: MediaTime, chunk: &Chunk) {
        if chunk.kind != Kind::Recovered {
            return;
        }
        let again = self.lost.replace(now);
        // A burst of losses is one.
        let again = again.map(|before| now.since(before));
        if again.is_some_and(|apart| apart > TICK * 5 && apart < LOSSY_FOR) {
            self.lossy_until = now.plus(LOSSY_FOR);
        }
    }
}

/// How many samples could have been missing, at worst, in the last seconds.
#[derive(Debug, Default)]
struct Spare {
    /// Least of each half second, newest last.
    halves: VecDeque<(MediaTime, i64)>,
    since: Option<MediaTime>,
}

impl Spare {
    const HALF: Duration = Duration::from_millis(500);

    fn note(&mut self, now: MediaTime, spare: i64) {
        self.since.get_or_insert(now);
        match self.halves.back_mut() {
            Some((start, least)) if now.since(*start) < Self::HALF => *least = spare.min(*least),
            _ => self.halves.push_back((now, spare)),
        }
        while self.halves.len() > (WARY.as_millis() / Self::HALF.as_millis()) as usize + 2 {
            self.halves.pop_front();
        }
    }

    /// None before a whole window has been seen.
    fn least(&self, now: MediaTime, window: Duration) -> Option<i64> {
        if now.since(self.since?) < window {
            return None;
        }
        let recent = |half: &&(MediaTime, i64)| now.since(half.0) <= window + Self::HALF;
        self.halves.iter().filter(recent).map(|half| half.1).min()
    }

    /// The queue became deeper by so much.
    fn shift(&mut self, by: i64) {
        for half in &mut self.halves {
            half.1 += by;
        }
    }

    fn forget(&mut self) {
        *self = Self::default();
    }
}

fn rms(pcm: &[i16]) -> f64 {
    let energy: f64 = pcm.iter().map(|s| f64::from(*s).powi(2)).sum();
    (energy / pcm.len().max(1) as f64).sqrt()
}

/// Faint noise for pauses: as loud as the pause was, softened.
#[derive(Debug)]
struct Noise {
    level: f64,
    state: u32,
    last: f64,
}

impl Default for Noise {
    fn default() -> Self {
        Self {
            level: 0.0,
            state: 1,
            last: 0.0,
        }
    }
}

impl Noise {
    /// Sounds like this from now on.
    fn like(&mut self, pcm: &[i16]) {
        self.level = rms(pcm).min(COMFORT);
    }

    fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            self.state = self
                .state
                .wrapping_mul(1_664_525)
                .wrapping_add(1_013_904_223);
            let white = f64::from(self.state >> 8) / f64::from(1u32 << 23) - 1.0;
            // One pole; 3.0 brings uniform noise through it back to RMS 1.
            self.last += 0.3 * (white - self.last);
            *sample = (self.last * self.level * 3.0) as i16;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: f64) -> MediaTime {
        MediaTime((ms * 1e6) as u64)
    }

    struct Dice(u64);
    impl Dice {
        fn unit(&mut self) -> f64 {
            self.0 = self
                .0
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (self.0 >> 33) as f64 / (1u64 << 31) as f64
        }
    }

    fn tone(rtp: u32, kind: Kind) -> Chunk {
        let pcm = (0..AUDIO_FRAME as u32)
            .map(|n| {
                (f64::from(rtp.wrapping_add(n)) * 200.0 / 48_000.0 * std::f64::consts::TAU).sin()
            })
            .map(|s| (s * 8_000.0) as i16)
            .collect();
        Chunk { rtp, kind, pcm }
    }

    #[derive(Debug, Clone, Copy)]
    struct Network {
        /// First packet, ms after the first pull.
        phase: f64,
        /// Each packet is late by up to this, ms.
        jitter: f64,
        /// Share by which the sender's clock is fast.
        drift: f64,
        seed: u64,
    }

    #[derive(Debug, Default)]
    struct Heard {
        /// From being spoken to being played, ms, at each pull of speech.
        delays: Vec<f64>,
        concealed: usize,
        dropped: usize,
        steepest: i32,
    }

    /// When and for how long somebody is listened to.
    #[derive(Debug, Clone, Copy)]
    struct Span {
        /// Of the first pull, ms.
        start: f64,
        /// RTP time of the first sample.
        rtp: u32,
        /// Pulls of 20 ms.
        pulls: u32,
        /// What counts begins so many ms after the start.
        settle: f64,
    }

    /// A minute of a tone in packets of 20 ms; what counts begins after `settle` ms.
    fn minute(network: Network, settle: f64) -> Heard {
        let span = Span {
            start: 0.0,
            rtp: 0,
            pulls: 3_000,
            settle,
        };
        listen(network, span)
    }

    fn listen(network: Network, span: Span) -> Heard {
        let mut dice = Dice(network.seed);
        let mut playout = Playout::default();
        let mut heard = Heard::default();
        let step = 20.0 / (1.0 + network.drift);
        let (mut number, mut arrival) = (0u32, 0.0);
        let mut out = [0; AUDIO_FRAME];
        let mut last = 0;
        for pull in 0..span.pulls {
            let now = f64::from(pull) * 20.0;
            loop {
                // Spoken over 20 ms, sent at once, in order.
                let sent = network.phase + f64::from(number) * step + 20.0;
                let late = Dice(network.seed ^ u64::from(number) << 20).unit() * network.jitter;
                let at = (sent + late).max(arrival);
                if at > now {
                    break;
                }
                arrival = at;
                let mut chunk = tone(number.wrapping_mul(960), Kind::Sent);
                chunk.rtp = chunk.rtp.wrapping_add(span.rtp);
                heard.dropped += playout.write(ms(span.start + at), chunk);
                number += 1;
            }
            let (pulled, rtp) = playout.pull(ms(span.start + now), &mut out);
            let rtp = rtp.map(|rtp| rtp.wrapping_sub(span.rtp));
            if now < span.settle {
                last = out[AUDIO_FRAME - 1];
                continue;
            }
            for sample in out {
                heard.steepest = heard
                    .steepest
                    .max((i32::from(sample) - i32::from(last)).abs());
                last = sample;
            }
            match (pulled, rtp) {
                (Pulled::Speech, Some(rtp)) => {
                    let spoken = network.phase + f64::from(rtp) / 48.0 / (1.0 + network.drift);
                    heard.delays.push(now - spoken);
                }
                _ => heard.concealed += 1,
            }
        }
        dice.unit();
        heard.delays.sort_by(f64::total_cmp);
        heard
    }

    impl Heard {
        fn median(&self) -> f64 {
            self.delays[self.delays.len() / 2]
        }
        fn most(&self) -> f64 {
            self.delays[self.delays.len() - 1]
        }
    }

    /// Steps of the tone itself are at most 210.
    const SMOOTH: i32 = 420;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_good_network_costs_little_and_nothing_is_lost(
            phase in 0.0..20.0f64, jitter in 0.0..4.0f64, drift in -1e-4..1e-4f64, seed: u64,
        ) {
            let heard = minute(Network { phase, jitter, drift, seed }, 5_000.0);
            // 20 ms of packet, up to 20 ms of wait for the tick, the jitter and a few of margin.
            prop_assert!(heard.median() <= 48.0 + jitter && heard.most() <= 62.0, "{} {}", heard.median(), heard.most());
            prop_assert!(heard.concealed <= 1, "{}", heard.concealed);
            prop_assert!(heard.steepest <= SMOOTH, "{}", heard.steepest);
            prop_assert_eq!(heard.dropped, 0);
        }

        #[test]
        fn jitter_costs_what_it_is(
            phase in 0.0..20.0f64, jitter in 20.0..60.0f64, seed: u64,
        ) {
            let heard = minute(Network { phase, jitter, drift: 0.0, seed }, 5_000.0);
            prop_assert!(heard.median() <= 20.0 + jitter + 35.0, "{} {jitter}", heard.median());
            prop_assert!(heard.concealed <= 15, "{} of 2750", heard.concealed);
            prop_assert_eq!(heard.dropped, 0);
        }

        #[test]
        fn drift_is_followed_without_a_click(
            phase in 0.0..20.0f64, drift in prop_oneof![Just(-5e-4), Just(5e-4)], seed: u64,
        ) {
            let heard = minute(Network { phase, jitter: 2.0, drift, seed }, 5_000.0);
            prop_assert!(heard.most() <= 70.0, "{}", heard.most());
            prop_assert!(heard.concealed <= 1, "{}", heard.concealed);
            prop_assert!(heard.steepest <= SMOOTH, "{}", heard.steepest);
        }
    }

    /// Pulls once and says what came.
    const AN_HOUR: f64 = 3_600_000.0;

    #[test]
    fn who_comes_when_the_server_is_days_old_is_heard_as_soon() {
        let network = Network {
            phase: 3.0,
            jitter: 4.0,
            drift: 2e-5,
            seed: 7,
        };
        let fresh = minute(network, 0.0);
        let span = Span {
            start: 100.0 * AN_HOUR,
            // The RTP clock wraps half a minute later.
            rtp: (30 * AUDIO_CLOCK).wrapping_neg(),
            pulls: 3_000,
            settle: 0.0,
        };
        let late = listen(network, span);
        assert_eq!(fresh.delays.len(), late.delays.len());
        for (fresh, late) in fresh.delays.iter().zip(&late.delays) {
            assert!((fresh - late).abs() < 0.01, "{fresh} ms and {late} ms");
        }
        assert_eq!(fresh.concealed, late.concealed);
    }

    #[test]
    fn after_an_hour_nothing_has_piled_up() {
        let network = Network {
            phase: 11.0,
            jitter: 4.0,
            drift: 5e-5,
            seed: 3,
        };
        let span = Span {
            start: 0.0,
            rtp: 0,
            pulls: 180_000,
            settle: AN_HOUR - 60_000.0,
        };
        let (first, last) = (minute(network, 5_000.0), listen(network, span));
        let (first, most) = (first.median(), last.most());
        let last = last.median();
        // The wait for the tick moves through its 20 ms as the clocks drift.
        assert!((first - last).abs() <= 21.0, "{first} ms, then {last} ms");
        assert!(most <= 62.0, "{most}");
    }

    fn pull(playout: &mut Playout, at: f64) -> (Pulled, Vec<i16>, Option<u32>) {
        let mut out = [0; AUDIO_FRAME];
        let (pulled, rtp) = playout.pull(ms(at), &mut out);
        (pulled, out.to_vec(), rtp)
    }

    fn loudest(pcm: &[i16]) -> i16 {
        pcm.iter().map(|s| s.saturating_abs()).max().unwrap()
    }

    #[test]
    fn before_the_first_packet_there_is_nothing() {
        let mut playout = Playout::default();
        let (pulled, pcm, rtp) = pull(&mut playout, 0.0);
        assert_eq!((pulled, loudest(&pcm), rtp), (Pulled::Nothing, 0, None));
    }

    #[test]
    fn sound_that_breaks_off_fades_and_silence_follows() {
        let mut playout = Playout::default();
        for n in 0..5 {
            playout.write(ms(20.0 * f64::from(n)), tone(n * 960, Kind::Sent));
            pull(&mut playout, 20.0 * f64::from(n) + 15.0);
        }
        let mut kinds = Vec::new();
        let mut loud = Vec::new();
        for n in 5..100 {
            let (pulled, pcm, _) = pull(&mut playout, 20.0 * f64::from(n) + 15.0);
            kinds.push(pulled);
            loud.push(loudest(&pcm));
        }
        assert_eq!(kinds[0], Pulled::Concealed);
        assert!(loud[0] > 4_000);
        assert_eq!(kinds[4..], vec![Pulled::Nothing; 91]);
        assert_eq!(loud[4..], vec![0; 91]);
    }

    #[test]
    fn a_pause_is_faint_noise_and_costs_no_delay() {
        let mut playout = Playout::default();
        let quiet = |rtp| Chunk {
            rtp,
            kind: Kind::Pause,
            pcm: (0..960)
                .map(|n| if n % 2 == 0 { 20 } else { -20 })
                .collect(),
        };
        let mut delays = Vec::new();
        let mut number = 0u32;
        for n in 0..1_000u32 {
            let now = 20.0 * f64::from(n);
            // A second of speech, a second of pause with one packet in twenty.
            let speaks = n % 100 < 50;
            if speaks {
                playout.write(ms(now + 7.0), tone(n * 960, Kind::Sent));
                number = n;
            } else if n % 20 == 10 || n == number + 1 {
                playout.write(ms(now + 7.0), quiet(n * 960));
            }
            let (pulled, pcm, rtp) = pull(&mut playout, now + 19.0);
            if let (Pulled::Speech, Some(rtp)) = (pulled, rtp) {
                delays.push(now + 19.0 - f64::from(rtp) / 48.0);
            }
            if !speaks && n % 100 > 54 {
                assert_eq!(pulled, Pulled::Comfort, "{n}");
                assert!(loudest(&pcm) <= 120, "{}", loudest(&pcm));
            }
        }
        let (least, most) = delays
            .iter()
            .fold((f64::MAX, 0.0f64), |(a, b), d| (a.min(*d), b.max(*d)));
        assert!(most - least < 21.0, "{least} to {most}");
        assert!(most <= 60.0, "{most}");
    }

    #[test]
    fn a_burst_after_a_stall_is_cut_to_size() {
        let mut playout = Playout::default();
        let mut dropped = 0;
        for n in 0..500u32 {
            let now = 20.0 * f64::from(n);
            let held = (100..150).contains(&n);
            if n == 150 {
                for late in 100..150 {
                    dropped += playout.write(ms(now), tone(late * 960, Kind::Sent));
                }
            }
            if !held {
                dropped += playout.write(ms(now + 5.0), tone(n * 960, Kind::Sent));
            }
            let (_, _, rtp) = pull(&mut playout, now + 15.0);
            if let Some(rtp) = rtp
                && !held
            {
                let delay = now + 15.0 - f64::from(rtp) / 48.0;
                assert!(delay <= 240.0, "{n}: {delay}");
                assert!(n < 400 || delay <= 60.0, "{n}: {delay}");
            }
        }
        assert!(dropped > samples(700), "{dropped}");
        assert!(playout.waiting <= MOST);
    }

    #[test]
    fn what_was_concealed_is_not_played_again() {
        let mut playout = Playout::default();
        let at = |n: u32| 20.0 * f64::from(n);
        for n in 0..100 {
            // Packet 50 is lost; its copy comes with the next one, after its time.
            if n == 51 {
                playout.write(ms(at(n) + 5.0), tone(50 * 960, Kind::Recovered));
            }
            if n != 50 {
                playout.write(ms(at(n) + 5.0), tone(n * 960, Kind::Sent));
            }
            let (pulled, _, rtp) = pull(&mut playout, at(n) + 10.0);
            if n > 10 && n != 50 {
                let delay = at(n) + 10.0 - f64::from(rtp.unwrap()) / 48.0;
                assert!(delay < 41.0, "{n}: {delay} {pulled:?}");
            }
        }
    }

    #[test]
    fn frequent_losses_buy_the_time_that_copies_need() {
        let mut playout = Playout::default();
        let at = |n: u32| 20.0 * f64::from(n);
        let mut made_up = Vec::new();
        for n in 0..1_500u32 {
            if n % 25 == 1 && n > 1 {
                playout.write(ms(at(n) + 5.0), tone((n - 1) * 960, Kind::Recovered));
            }
            if n % 25 != 0 || n == 0 {
                playout.write(ms(at(n) + 5.0), tone(n * 960, Kind::Sent));
            }
            let (pulled, _, rtp) = pull(&mut playout, at(n) + 10.0);
            // Concealed from a copy has a place in time; made up has none.
            if pulled == Pulled::Concealed && rtp.is_none() {
                made_up.push(n);
            }
        }
        assert!(made_up.iter().all(|n| *n < 200), "{made_up:?}");
    }

    #[test]
    fn the_queue_is_bounded_without_pulls() {
        let mut playout = Playout::default();
        for n in 0..1_000 {
            playout.write(ms(20.0 * f64::from(n)), tone(n * 960, Kind::Sent));
            assert!(playout.waiting <= MOST);
        }
    }
}
