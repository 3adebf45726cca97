//! Where packets come from: one sequence out of whatever a sender does to its own (pure).
//!
//! A jitter buffer that sees old packets again takes them for a sender that has started anew and
//! throws away what it has. So it sees none: no repeats, no stragglers, and a sender that really
//! starts anew, with another SSRC or with other numbers, goes on where it was before.

/// Packets this far from the newest are no reordering and no retransmission any more: two seconds
/// at 10 Mbit/s.
const WINDOW: u16 = 2_048;
/// That many in a row out of the window are a new beginning.
const RESTART: u16 = 5;

/// One track's sequence.
#[derive(Debug)]
pub struct Source {
    ssrc: Option<u32>,
    previous: Option<u32>,
    offset: u16,
    highest: u16,
    /// A bit for each of the last [`WINDOW`] numbers: it came.
    seen: [u64; WINDOW as usize / 64],
    /// The number expected next of those far out, and how many came in a row.
    stray: (u16, u16),
}

impl Default for Source {
    fn default() -> Self {
        Self {
            ssrc: None,
            previous: None,
            offset: 0,
            highest: 0,
            seen: [0; WINDOW as usize / 64],
            stray: (0, 0),
        }
    }
}

impl Source {
    /// The sequence number to go on with, and whether something new begins here. None for a
    /// repeat, and for a straggler.
    pub fn admit(&mut self, ssrc: u32, sequence: u16) -> Option<(u16, bool)> {
        if self.ssrc != Some(ssrc) {
            if self.previous == Some(ssrc) {
                return None;
            }
            let first = self.ssrc.is_none();
            self.previous = self.ssrc.replace(ssrc);
            return Some((self.begin(sequence, first), true));
        }
        let number = sequence.wrapping_add(self.offset);
        let ahead = number.wrapping_sub(self.highest);
        let behind = self.highest.wrapping_sub(number);
        if ahead.min(behind) >= WINDOW {
            return self.far(sequence);
        }
        self.stray.1 = 0;
        if behind < WINDOW {
            return self.note(number).then_some((number, false));
        }
        for skipped in 1..=ahead {
            self.forget(self.highest.wrapping_add(skipped));
        }
        self.highest = number;
        self.note(number);
        Some((number, false))
    }

    /// Counts how many come in a row from afar; enough are a new beginning.
    fn far(&mut self, sequence: u16) -> Option<(u16, bool)> {
        let in_a_row = if self.stray.0 == sequence {
            self.stray.1 + 1
        } else {
            1
        };
        self.stray = (sequence.wrapping_add(1), in_a_row);
        (in_a_row == RESTART).then(|| (self.begin(sequence, false), true))
    }

    fn begin(&mut self, sequence: u16, first: bool) -> u16 {
        self.offset = match first {
            true => 0,
            false => self.highest.wrapping_add(1).wrapping_sub(sequence),
        };
        self.highest = sequence.wrapping_add(self.offset);
        self.seen.fill(0);
        self.stray.1 = 0;
        self.note(self.highest);
        self.highest
    }

    /// Notes that a number came; false if it had come before.
    fn note(&mut self, number: u16) -> bool {
        let (word, bit) = place(number);
        let new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        new
    }

    fn forget(&mut self, number: u16) {
        let (word, bit) = place(number);
        self.seen[word] &= !bit;
    }
}

fn place(number: u16) -> (usize, u64) {
    let index = number % WINDOW;
    (usize::from(index / 64), 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_ssrc_goes_on_where_the_last_one_was() {
        let mut source = Source::default();
        assert_eq!(source.admit(1, 100), Some((100, true)));
        assert_eq!(source.admit(1, 102), Some((102, false)));
        assert_eq!(source.admit(1, 101), Some((101, false)));
        assert_eq!(source.admit(2, 60_000), Some((103, true)));
        assert_eq!(source.admit(1, 103), None, "a straggler");
        assert_eq!(source.admit(2, 60_002), Some((105, false)));
        assert_eq!(source.admit(2, 60_001), Some((104, false)));
    }

    #[test]
    fn nothing_comes_twice() {
        let mut source = Source::default();
        let mut came = std::collections::HashSet::new();
        for n in 0..100_000u32 {
            // Each number up to three times, the last time a thousand later.
            for sequence in [n, n.saturating_sub(3), n.saturating_sub(1_000)] {
                if source.admit(7, sequence as u16).is_some() {
                    assert!(came.insert(sequence), "{sequence}");
                }
            }
        }
        assert_eq!(came.len(), 100_000);
    }

    #[test]
    fn losses_are_holes_and_late_packets_fill_them() {
        let mut source = Source::default();
        assert_eq!(source.admit(1, 65_000), Some((65_000, true)));
        assert_eq!(source.admit(1, 500), Some((500, false)));
        assert_eq!(source.admit(1, 65_300), Some((65_300, false)));
        assert_eq!(source.admit(1, 65_300), None);
    }

    #[test]
    fn a_sender_that_starts_anew_goes_on() {
        let mut source = Source::default();
        source.admit(1, 100);
        source.admit(1, 101);
        for n in 30_000..30_004 {
            assert_eq!(source.admit(1, n), None);
        }
        assert_eq!(source.admit(1, 30_004), Some((102, true)));
        assert_eq!(source.admit(1, 30_005), Some((103, false)));
        // Single ones from afar are noise.
        assert_eq!(source.admit(1, 9), None);
        assert_eq!(source.admit(1, 30_006), Some((104, false)));
    }
}
