//! Which waiting picture a tick shows: the pure half of the frame queue.
//!
//! Two clocks beat against each other here, the camera's and the tick's. Taking always the newest
//! picture drops and repeats in turns whenever a camera of the room's own rate delivers close to
//! the tick. So pictures are shown in order, one a tick, and the queue is elastic: when a picture
//! comes too late it is the tick that repeats, which leaves one picture in reserve from then on;
//! a reserve that was not touched for a while is given up. The delay settles at what the jitter
//! needs. A camera faster than the ticks feeds its own reserve, so little is kept of it.
//!
//! With sound to keep to, a picture that leads it by more than half a tick waits and one that
//! lags gives way to the next; how far is tolerated moves slowly, so that the first report of a
//! sender slows the picture down rather than stop it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::MediaTime;

/// No picture waits longer, whatever the sound says: delay in a conversation is worse than lips
/// out of step.
pub const MAX_WAIT: Duration = Duration::from_millis(300);
/// Pictures that may wait: [`MAX_WAIT`] at 50 a second. The oldest goes first.
pub const CAPACITY: usize = 15;
/// Pictures in reserve of a camera no faster than the ticks: what a burst of three needs.
const MAX_RESERVE: usize = 3;
/// How long a reserve must lie unused to be given up, for a camera no faster than the ticks: a
/// second of a camera's jitter and a busy machine's. A repeat soon after giving up doubles it.
const PATIENCE: Patience = Patience {
    least: Duration::from_secs(1),
    most: Duration::from_secs(16),
};
/// The same for a camera faster than the ticks, which refills its reserve several times a second:
/// none, unless jitter asks for it.
const FAST_PATIENCE: Patience = Patience {
    least: Duration::ZERO,
    most: Duration::from_millis(160),
};
/// The first step up from no patience at all: a tick.
const PATIENCE_STEP: Duration = Duration::from_millis(40);
/// Patience halves after this long without a repeat that it was blamed for.
const CALM: Duration = Duration::from_secs(8);
/// Lead and lag against the sound that need no correction, nanoseconds: a little over half a tick
/// at 25 Hz, so that a picture at the edge does not move to and fro; with the 10 ms that clocks
/// and the receiver add, within the 45 ms of skew that nobody notices.
const TOLERANCE: i64 = 28_000_000;
/// A step of the lead that is larger than this is the sound's (its queue was cut), not the
/// picture's: slew anew. Nanoseconds.
const STEP: i64 = 60_000_000;
/// Tolerance shrinks by this part of each tick: one repeat in five, until in step.
const SLEW: f64 = 0.2;

/// The bounds of patience.
#[derive(Debug, Clone, Copy)]
struct Patience {
    least: Duration,
    most: Duration,
}

/// Something that waits for its tick.
#[derive(Debug, Clone)]
struct Waiting<T> {
    item: T,
    rtp: u32,
    ready: MediaTime,
}

/// The elastic queue. Time is an argument.
#[derive(Debug)]
pub struct Pace<T> {
    waiting: VecDeque<Waiting<T>>,
    shown: Option<Waiting<T>>,
    last_ready: Option<MediaTime>,
    last_tick: Option<MediaTime>,
    /// Mean time between pictures, and between ticks, nanoseconds; 0: not known.
    interval: f64,
    period: f64,
    /// Since when every tick left something in reserve.
    reserve_since: Option<MediaTime>,
    patience: Duration,
    /// When the reserve was given up last.
    gave_up: Option<MediaTime>,
    /// When patience changed last.
    changed: MediaTime,
    /// Tolerated lead and lag, while there is sound to keep to.
    tolerance: Option<i64>,
    last_lead: i64,
}

impl<T> Default for Pace<T> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::with_capacity(CAPACITY),
            shown: None,
            last_ready: None,
            last_tick: None,
            interval: 0.0,
            period: 0.0,
            reserve_since: None,
            patience: Duration::ZERO,
            gave_up: None,
            changed: MediaTime::default(),
            tolerance: None,
            last_lead: 0,
        }
    }
}

impl<T> Pace<T> {
    /// A picture is ready. Answers how many older ones had to go for it.
    pub fn push(&mut self, item: T, rtp: u32, ready: MediaTime) -> usize {
        if let Some(last) = self.last_ready.replace(ready) {
            smooth(&mut self.interval, ready.since(last));
        }
        self.waiting.push_back(Waiting { item, rtp, ready });
        let over = self.waiting.len().saturating_sub(CAPACITY);
        self.waiting.drain(..over);
        over
    }

    /// Forgets everything, the picture shown too.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The picture this tick shows. `lead` tells, by RTP timestamp, how far a picture is ahead of
    /// the sound at this tick. Asking twice at one tick answers twice the same.
    pub fn due(&mut self, tick: MediaTime, lead: impl Fn(u32) -> Option<i64>) -> Option<&T> {
        if self.last_tick.is_none_or(|last| tick > last) {
            if let Some(last) = self.last_tick.replace(tick) {
                smooth(&mut self.period, tick.since(last));
            }
            self.advance(tick, &lead);
        }
        self.shown.as_ref().map(|shown| &shown.item)
    }

    fn advance(&mut self, tick: MediaTime, lead: &impl Fn(u32) -> Option<i64>) {
        let Some(next) = self.waiting.front() else {
            self.reserve_since = None;
            self.repeated(tick);
            return;
        };
        let (age, ahead) = (tick.since(next.ready), lead(next.rtp));
        self.slew(ahead);
        if let (Some(ahead), Some(tolerance)) = (ahead, self.tolerance) {
            // The wait for the next tick counts too.
            let patient = age + Duration::from_nanos(self.period as u64) <= MAX_WAIT;
            if ahead > tolerance && patient && self.shown.is_some() {
                return;
            }
        }
        self.show_next();
        self.skip(tick, lead);
    }

    /// Lets go of pictures that are not worth their delay.
    fn skip(&mut self, tick: MediaTime, lead: &impl Fn(u32) -> Option<i64>) {
        while let (Some(shown), Some(next)) = (&self.shown, self.waiting.front()) {
            let too_old = tick.since(shown.ready) > MAX_WAIT;
            let too_many = self.waiting.len() > self.max_reserve() && self.in_step(lead(next.rtp));
            if !(too_old || too_many) {
                break;
            }
            self.show_next();
        }
        let (Some(shown), Some(next)) = (&self.shown, self.waiting.front()) else {
            self.reserve_since = None;
            return;
        };
        let lags = lead(shown.rtp).is_some_and(|ahead| ahead < -TOLERANCE);
        let in_step = self.in_step(lead(next.rtp));
        let patience = self.patience(tick) / if lags { 4 } else { 1 };
        let since = *self.reserve_since.get_or_insert(tick);
        if in_step && tick.since(since) >= patience {
            self.show_next();
            self.reserve_since = None;
            self.gave_up = Some(tick);
        }
    }

    /// Nothing new for this tick. If that follows from having given up the reserve, the next one
    /// is kept for longer.
    fn repeated(&mut self, tick: MediaTime) {
        let patience = self.patience(tick);
        let blamed = patience.max(PATIENCE_STEP) * 2;
        let gave_up = self.gave_up.take_if(|at| tick.since(*at) <= blamed);
        if gave_up.is_some() {
            let most = self.bounds().most;
            self.patience = (patience * 2).clamp(PATIENCE_STEP, most);
            self.changed = tick;
        }
    }

    fn patience(&mut self, tick: MediaTime) -> Duration {
        let Patience { least, most } = self.bounds();
        if tick.since(self.changed) > CALM + self.patience * 4 {
            self.patience /= 2;
            self.changed = tick;
        }
        self.patience.clamp(least, most)
    }

    fn bounds(&self) -> Patience {
        if self.fast() { FAST_PATIENCE } else { PATIENCE }
    }

    fn show_next(&mut self) {
        if let Some(next) = self.waiting.pop_front() {
            self.shown = Some(next);
        }
    }

    /// Whether a picture may be shown one tick earlier than otherwise, as far as the sound goes.
    fn in_step(&self, lead: Option<i64>) -> bool {
        match (lead, self.tolerance) {
            (Some(lead), Some(tolerance)) => lead <= tolerance.min(TOLERANCE),
            _ => true,
        }
    }

    fn slew(&mut self, ahead: Option<i64>) {
        let Some(ahead) = ahead else {
            self.tolerance = None;
            return;
        };
        let stepped = (ahead - self.last_lead).abs() > STEP;
        self.last_lead = ahead;
        self.tolerance = Some(match self.tolerance {
            Some(tolerance) if !stepped => TOLERANCE.max(tolerance - (SLEW * self.period) as i64),
            _ => TOLERANCE.max(ahead.abs()),
        });
    }

    fn fast(&self) -> bool {
        self.interval > 0.0 && self.interval < 0.97 * self.period
    }

    fn max_reserve(&self) -> usize {
        if self.fast() {
            (self.period / self.interval).round().max(1.0) as usize
        } else {
            MAX_RESERVE
        }
    }
}

/// Follows a mean over some 16 steps; a step of more than a second is a pause and not counted.
fn smooth(mean: &mut f64, step: Duration) {
    let step = step.as_nanos() as f64;
    if step > 1e9 {
        return;
    }
    *mean = if *mean == 0.0 {
        step
    } else {
        *mean + (step - *mean) / 16.0
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TICK: u64 = 40_000_000;

    fn ms(ms: f64) -> MediaTime {
        MediaTime((ms * 1e6) as u64)
    }

    /// A small generator of our own, so that a run is its seed.
    struct Noise(u64);
    impl Noise {
        fn unit(&mut self) -> f64 {
            self.0 = self
                .0
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (self.0 >> 33) as f64 / (1u64 << 31) as f64
        }
    }

    #[derive(Debug, Clone, Copy)]
    struct Source {
        fps: f64,
        /// Share by which the camera's clock is fast.
        drift: f64,
        /// First picture, ms after the first tick.
        phase: f64,
        /// Each picture is late by up to this, ms, evenly.
        jitter: f64,
        seed: u64,
    }

    #[derive(Debug)]
    struct Seen {
        /// Distinct pictures a second.
        distinct: f64,
        mean_wait: f64,
        p95_wait: f64,
        max_wait: f64,
        dropped: usize,
        /// Lead of the picture shown, ms, where there is sound.
        leads: Vec<f64>,
    }

    /// Runs 60 s after 20 s of settling. `sound` is how late the sound plays after capture, ms.
    fn run(source: Source, sound: impl Fn(f64) -> Option<f64>) -> Seen {
        run_after(20_000.0, source, sound)
    }

    /// Runs 60 s after `settle` ms.
    fn run_after(settle: f64, source: Source, sound: impl Fn(f64) -> Option<f64>) -> Seen {
        let end = settle + 60_000.0;
        let mut noise = Noise(source.seed);
        let step = 1000.0 / (source.fps * (1.0 + source.drift));
        // Pictures in the order of their arrival: a network does not reorder whole pictures.
        let mut arrivals = VecDeque::new();
        let (mut captured, mut last) = (source.phase, 0.0f64);
        while captured < end {
            last = last.max(captured + noise.unit() * source.jitter);
            arrivals.push_back((captured, last));
            captured += step;
        }
        let mut pace = Pace::default();
        let (mut waits, mut leads, mut dropped) = (Vec::new(), Vec::new(), 0);
        let (mut distinct, mut last_shown) = (0, f64::NAN);
        for tick in 0..(end * 1e6) as u64 / TICK {
            let now = MediaTime(tick * TICK);
            let now_ms = now.0 as f64 / 1e6;
            while arrivals.front().is_some_and(|a| a.1 <= now_ms) {
                let (captured, ready) = arrivals.pop_front().unwrap();
                // RTP time wraps after half a day.
                let rtp = (captured * 90.0) as u64 as u32;
                dropped += pace.push((captured, ready), rtp, ms(ready));
            }
            let lead = |rtp: u32| {
                sound(now_ms).map(|late| ((f64::from(rtp) / 90.0 - (now_ms - late)) * 1e6) as i64)
            };
            let Some(&(captured, ready)) = pace.due(now, lead) else {
                continue;
            };
            if now_ms < settle {
                last_shown = captured;
                continue;
            }
            if captured != last_shown {
                assert!(last_shown.is_nan() || captured > last_shown, "backwards");
                distinct += 1;
                waits.push(now_ms - ready);
                if let Some(late) = sound(now_ms) {
                    leads.push(captured - (now_ms - late));
                }
            }
            last_shown = captured;
        }
        waits.sort_by(f64::total_cmp);
        Seen {
            distinct: f64::from(distinct) / 60.0,
            mean_wait: waits.iter().sum::<f64>() / waits.len() as f64,
            p95_wait: waits[waits.len() * 95 / 100],
            max_wait: waits[waits.len() - 1],
            dropped,
            leads,
        }
    }

    fn silent(_: f64) -> Option<f64> {
        None
    }

    fn source(fps: f64, jitter: f64) -> impl Strategy<Value = Source> {
        (-2e-4..2e-4f64, 0.0..100.0f64, 0.0..=1.0f64, any::<u64>()).prop_map(
            move |(drift, phase, share, seed)| Source {
                fps,
                drift,
                phase,
                jitter: jitter * share,
                seed,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_picture_of_a_camera_at_the_rooms_rate_is_shown(s in source(25.0, 10.0)) {
            let seen = run(s, silent);
            prop_assert!(seen.distinct >= 24.9, "{seen:?}");
            prop_assert!(seen.mean_wait <= 45.0 && seen.p95_wait <= 52.0, "{seen:?}");
            prop_assert_eq!(seen.dropped, 0);
        }

        #[test]
        fn a_faster_camera_fills_every_tick(fps in prop_oneof![Just(30.0), Just(50.0)], s in source(0.0, 10.0)) {
            let seen = run(Source { fps, ..s }, silent);
            prop_assert!(seen.distinct >= 24.8, "{seen:?}");
            prop_assert!(seen.mean_wait <= 35.0 && seen.p95_wait <= 45.0, "{seen:?}");
        }

        #[test]
        fn a_slower_camera_loses_nothing_and_waits_for_its_tick_only(
            fps in prop_oneof![Just(12.0), Just(15.0)],
            s in source(0.0, 15.0),
        ) {
            let seen = run(Source { fps, ..s }, silent);
            prop_assert!(seen.distinct >= fps - 0.1, "{seen:?}");
            prop_assert!(seen.max_wait <= 41.0, "{seen:?}");
        }

        #[test]
        fn a_bad_network_costs_delay_rather_than_pictures(
            fps in prop_oneof![Just(25.0), Just(30.0)],
            s in source(0.0, 30.0),
        ) {
            let seen = run(Source { fps, ..s }, silent);
            prop_assert!(seen.distinct >= 24.0, "{seen:?}");
            prop_assert!(seen.max_wait <= 90.0, "{seen:?}");
        }

        #[test]
        fn lips_move_with_the_sound(
            fps in prop_oneof![Just(15.0), Just(25.0), Just(30.0)],
            s in source(0.0, 6.0),
            // Above 250 the longest wait would cut in; below 40 a picture may come after its sound.
            late in 40.0..250.0f64,
        ) {
            let seen = run(Source { fps, ..s }, |_| Some(late));
            for lead in &seen.leads {
                prop_assert!(lead.abs() <= 42.0, "{lead} of {s:?}");
            }
            prop_assert!(seen.distinct >= fps.min(25.0) - 0.2, "{seen:?}");
            prop_assert_eq!(seen.dropped, 0);
        }
    }

    const CAMERA: Source = Source {
        fps: 25.0,
        drift: 0.0,
        phase: 17.0,
        jitter: 3.0,
        seed: 1,
    };

    #[test]
    fn after_half_a_day_pictures_wait_no_longer_than_at_first() {
        let half_a_day = 14.0 * 3_600_000.0;
        for drift in [0.0, 2e-5] {
            let camera = Source { drift, ..CAMERA };
            let (first, last) = (run(camera, silent), run_after(half_a_day, camera, silent));
            assert!(last.distinct >= 24.9, "{last:?}");
            // The wait for the tick moves through its 40 ms as the clocks drift.
            assert!(last.mean_wait <= first.mean_wait.max(45.0), "{last:?}");
            assert!(last.max_wait <= 52.0, "{last:?}");
        }
        // A newcomer's first picture is shown at the first tick, whenever that is.
        let mut pace = Pace::default();
        pace.push('a', 5, ms(half_a_day));
        assert_eq!(pace.due(ms(half_a_day + 1.0), |_| None), Some(&'a'));
    }

    #[test]
    fn sound_a_second_late_is_not_waited_for() {
        let seen = run(CAMERA, |_| Some(1_000.0));
        assert!(seen.max_wait <= 300.0, "{seen:?}");
        assert!(seen.distinct >= 24.9, "{seen:?}");
    }

    #[test]
    fn sound_before_the_picture_costs_no_pictures() {
        let seen = run(CAMERA, |_| Some(-100.0));
        assert!(seen.distinct >= 24.9, "{seen:?}");
        assert!(seen.max_wait <= 45.0, "{seen:?}");
    }

    /// Ticks of 40 ms over a 25 Hz camera; yields the serial number of the picture shown at each.
    fn shown(lead: impl Fn(u64, u32) -> Option<i64>, ticks: u64) -> Vec<u32> {
        let mut pace = Pace::default();
        (0..ticks)
            .map(|tick| {
                let now = tick * TICK;
                let number = tick as u32;
                pace.push(number, number * 3600, MediaTime(now));
                *pace
                    .due(MediaTime(now + TICK / 4), |rtp| lead(now, rtp))
                    .unwrap()
            })
            .collect()
    }

    #[test]
    fn the_first_report_slows_the_picture_down_but_never_stops_it() {
        // From tick 100 on the sound is 200 ms behind the pictures.
        let lead = |now: u64, rtp: u32| {
            let captured = i64::from(rtp) * 100_000 / 9;
            (now >= 100 * TICK).then(|| captured - now as i64 + 200_000_000)
        };
        let shown = shown(lead, 200);
        let repeats: Vec<_> = (1..200).filter(|&t| shown[t] == shown[t - 1]).collect();
        assert_eq!(repeats.len(), 5, "{repeats:?}");
        for pair in repeats.windows(2) {
            assert!(pair[1] - pair[0] >= 4, "{repeats:?}");
        }
        assert!(repeats[4] <= 130, "{repeats:?}");
    }

    #[test]
    fn a_burst_is_worked_off() {
        let mut pace = Pace::default();
        let (mut number, mut wait) = (0u64, 0.0);
        for tick in 0..150u64 {
            let now = tick * TICK;
            // Nothing for 400 ms, then all at once.
            if !(50..60).contains(&tick) {
                while number <= tick {
                    pace.push(now, number as u32 * 3600, MediaTime(now));
                    number += 1;
                }
            }
            let ready = *pace.due(MediaTime(now), |_| None).unwrap();
            wait = (now - ready) as f64 / 1e6;
            assert!(!(50..60).contains(&tick) || number == 50);
            assert!((50..60).contains(&tick) || wait <= 130.0, "{tick}: {wait}");
        }
        assert!(wait <= 40.0, "{wait}");
    }

    #[test]
    fn asking_twice_at_a_tick_moves_nothing() {
        let mut pace = Pace::default();
        pace.push('a', 0, MediaTime(1));
        pace.push('b', 3600, MediaTime(2));
        assert_eq!(pace.due(MediaTime(5), |_| None), Some(&'a'));
        assert_eq!(pace.due(MediaTime(5), |_| None), Some(&'a'));
        assert_eq!(pace.due(MediaTime(4), |_| None), Some(&'a'));
        assert_eq!(pace.due(MediaTime(TICK), |_| None), Some(&'b'));
        pace.clear();
        assert_eq!(pace.due(MediaTime(2 * TICK), |_| None), None);
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut pace = Pace::default();
        let dropped: usize = (0..100).map(|n| pace.push(n, 0, MediaTime(n))).sum();
        assert_eq!(dropped, 100 - CAPACITY);
        assert_eq!(pace.due(MediaTime(200), |_| None), Some(&96));
    }
}
