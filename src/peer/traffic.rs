//! What goes over the wire to and from one participant, on all of their connections, and how long
//! it was here: counted where it passes, read by whoever wants to know what a meeting costs.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Delays are told apart by so much: a twelfth of a factor of ten, 21 %.
const A_DECADE: f64 = 12.0;
/// The shortest delay that is told apart from none, seconds.
const SHORTEST: f64 = 20e-6;
/// Up to six decades more: 20 seconds.
const BUCKETS: usize = 72;

/// Counters of one participant. Counting never blocks.
#[derive(Debug, Default)]
pub struct Traffic {
    received: Count,
    sent: Count,
    pictures: AtomicU64,
    mixed: Delays,
    forwarded: Delays,
}

/// Datagrams one way.
#[derive(Debug, Default)]
struct Count {
    bytes: AtomicU64,
    packets: AtomicU64,
}

/// Datagrams, and the bytes in them: all that is above UDP, or a frame of TCP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volume {
    /// Bytes.
    pub bytes: u64,
    /// Datagrams.
    pub packets: u64,
}

/// What was counted since the last look.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Passed {
    /// From the participant.
    pub received: Volume,
    /// To the participant.
    pub sent: Volume,
    /// Packets of pictures from the participant.
    pub pictures: u64,
    /// How long pictures took through the mixer.
    pub mixed: Histogram,
    /// How long packets took that were passed on as they are.
    pub forwarded: Histogram,
}

impl Traffic {
    /// A datagram came.
    pub(super) fn receive(&self, bytes: usize) {
        self.received.add(bytes, 1);
    }

    /// So many datagrams went.
    pub(super) fn send(&self, bytes: usize, packets: usize) {
        self.sent.add(bytes, packets);
    }

    /// A packet of a picture came.
    pub fn picture(&self) {
        self.pictures.fetch_add(1, Ordering::Relaxed);
    }

    /// A picture of the mix goes out, so long after what it shows came in, seconds.
    pub(super) fn mixed(&self, delay: f64) {
        self.mixed.add(delay);
    }

    /// A packet goes out as it is, so long after it came in, seconds.
    pub(super) fn forwarded(&self, delay: f64) {
        self.forwarded.add(delay);
    }

    /// What was counted since the last call.
    pub fn take(&self) -> Passed {
        Passed {
            received: self.received.take(),
            sent: self.sent.take(),
            pictures: self.pictures.swap(0, Ordering::Relaxed),
            mixed: self.mixed.take(),
            forwarded: self.forwarded.take(),
        }
    }
}

impl Count {
    fn add(&self, bytes: usize, packets: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.packets.fetch_add(packets as u64, Ordering::Relaxed);
    }

    fn take(&self) -> Volume {
        Volume {
            bytes: self.bytes.swap(0, Ordering::Relaxed),
            packets: self.packets.swap(0, Ordering::Relaxed),
        }
    }
}

#[derive(Debug)]
struct Delays([AtomicU32; BUCKETS]);

impl Default for Delays {
    fn default() -> Self {
        Self([const { AtomicU32::new(0) }; BUCKETS])
    }
}

impl Delays {
    fn add(&self, delay: f64) {
        self.0[bucket(delay)].fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self) -> Histogram {
        let counts = self.0.iter().map(|count| count.swap(0, Ordering::Relaxed));
        let counts: Vec<_> = counts.map(u64::from).collect();
        match counts.iter().any(|count| *count > 0) {
            true => Histogram(counts),
            false => Histogram::default(),
        }
    }
}

/// Delays, sorted into buckets of the same ratio. Pure.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram(Vec<u64>);

impl Histogram {
    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += more;
        }
    }

    /// The delay that this part of them did not exceed, seconds; the middle of its bucket, so that
    /// it is off by a tenth at most. None: nothing was counted.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let all: u64 = self.0.iter().sum();
        let wanted = (all as f64 * part).ceil().max(1.0) as u64;
        let mut seen = 0;
        let at = self.0.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(SHORTEST * 10f64.powf((at as f64 - 0.5) / A_DECADE))
    }
}

/// Buckets end at `SHORTEST` times a whole power of the ratio.
fn bucket(delay: f64) -> usize {
    let steps = (delay / SHORTEST).log10() * A_DECADE;
    // NaN and what is below zero are the first.
    (steps.ceil().max(0.0) as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_taken_once() {
        let traffic = Traffic::default();
        assert_eq!(traffic.take(), Passed::default());
        traffic.receive(100);
        traffic.receive(50);
        traffic.send(3_000, 3);
        traffic.picture();
        let passed = traffic.take();
        let volume = |bytes, packets| Volume { bytes, packets };
        assert_eq!(passed.received, volume(150, 2));
        assert_eq!((passed.sent, passed.pictures), (volume(3_000, 3), 1));
        assert_eq!(passed.mixed.quantile(0.5), None);
        assert_eq!(traffic.take(), Passed::default());
    }

    #[test]
    fn quantiles_are_true_to_a_tenth() {
        for delay in [0.0, 3e-5, 0.000_4, 0.002, 0.033, 0.21, 4.0] {
            let traffic = Traffic::default();
            traffic.mixed(delay);
            let median = traffic.take().mixed.quantile(0.5).expect("one");
            let off = (median / delay.max(SHORTEST)).ln().abs();
            assert!(off < 0.11, "{delay}: {median}");
        }
        let traffic = Traffic::default();
        (0..100).for_each(|n| traffic.forwarded(if n < 90 { 0.001 } else { 0.1 }));
        let mut sum = traffic.take().forwarded;
        let close = |value: Option<f64>, wanted: f64| {
            let value = value.expect("a value");
            assert!((value / wanted).ln().abs() < 0.11, "{value}, not {wanted}");
        };
        close(sum.quantile(0.5), 0.001);
        close(sum.quantile(0.9), 0.001);
        close(sum.quantile(0.95), 0.1);
        let other = sum.clone();
        sum.add(&other);
        close(sum.quantile(0.95), 0.1);
        let mut none = Histogram::default();
        none.add(&other);
        assert_eq!(none, other);
    }

    #[test]
    fn what_no_clock_should_say_counts_as_an_end_of_the_scale() {
        let traffic = Traffic::default();
        for delay in [-1.0, f64::NAN, f64::INFINITY] {
            traffic.mixed(delay);
        }
        assert!(
            traffic
                .take()
                .mixed
                .quantile(1.0)
                .is_some_and(|most| most > 10.0)
        );
    }
}
