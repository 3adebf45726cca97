//! What is known of the pictures on their way through the decoder (pure).
//!
//! Decoders hand on a picture's timestamp and nothing else. The book keeps the rest by it, and
//! knows how much the pipeline has not taken yet.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::MediaTime;
use crate::media::{Rotation, RtpPacket};

/// A decoder this far behind gets no more packets: what it would show is old already.
pub const MAX_BACKLOG: Duration = Duration::from_secs(1);
/// The same in packets, against floods: a second at 20 Mbit/s.
pub const MAX_PACKETS: usize = 2_000;
/// Pictures remembered; those a decoder swallowed stay until pushed out.
const PICTURES: usize = 256;

#[derive(Debug)]
struct Entry {
    timestamp: u32,
    first: MediaTime,
    last: MediaTime,
    packets: usize,
    /// Packets of it, or of a later picture, have left the jitter buffer.
    passed: bool,
    rotation: Option<Rotation>,
}

/// Pictures in the order their first packets came.
#[derive(Debug, Default)]
pub struct Book {
    pictures: VecDeque<Entry>,
    /// Packets that have not left the jitter buffer.
    pending: usize,
    rotation: Rotation,
    last: MediaTime,
}

impl Book {
    /// Takes a packet down.
    pub fn packet(&mut self, packet: &RtpPacket) {
        self.last = packet.arrived;
        self.pending += 1;
        if let Some(index) = self.find(packet.timestamp) {
            let entry = &mut self.pictures[index];
            entry.last = packet.arrived;
            entry.packets += 1;
            entry.rotation = packet.rotation.or(entry.rotation);
            if entry.passed {
                self.pending -= 1;
            }
            return;
        }
        if self.pictures.len() == PICTURES {
            self.forget_first();
        }
        self.pictures.push_back(Entry {
            timestamp: packet.timestamp,
            first: packet.arrived,
            last: packet.arrived,
            packets: 1,
            passed: false,
            rotation: packet.rotation,
        });
    }

    /// A packet of this timestamp left the jitter buffer; whatever came before it did or never
    /// will.
    pub fn passed(&mut self, timestamp: u32) {
        let Some(index) = self.find(timestamp) else {
            return;
        };
        for entry in self.pictures.range_mut(..=index).rev() {
            if std::mem::replace(&mut entry.passed, true) {
                break;
            }
            self.pending -= entry.packets;
        }
    }

    /// Whether the pipeline is too far behind for another packet.
    pub fn full(&self, now: MediaTime) -> bool {
        let waits_since = self.pictures.iter().rev().take_while(|entry| !entry.passed);
        self.pending >= MAX_PACKETS
            || waits_since
                .last()
                .is_some_and(|oldest| now.since(oldest.first) > MAX_BACKLOG)
    }

    /// The picture of this timestamp came out. Yields when its last packet had come, and how it
    /// is turned: as it says itself, else as the last one that said.
    pub fn decoded(&mut self, timestamp: u32) -> (MediaTime, Rotation) {
        let Some(index) = self.find(timestamp) else {
            return (self.last, self.rotation);
        };
        let Some(entry) = self.pictures.remove(index) else {
            return (self.last, self.rotation);
        };
        if !entry.passed {
            self.pending -= entry.packets;
        }
        self.rotation = entry.rotation.unwrap_or(self.rotation);
        (entry.last, self.rotation)
    }

    /// Forgets the pictures of a pipeline that is gone.
    pub fn clear(&mut self) {
        self.pictures.clear();
        self.pending = 0;
    }

    fn forget_first(&mut self) {
        if let Some(entry) = self.pictures.pop_front() {
            if !entry.passed {
                self.pending -= entry.packets;
            }
            self.rotation = entry.rotation.unwrap_or(self.rotation);
        }
    }

    fn find(&self, timestamp: u32) -> Option<usize> {
        self.pictures
            .iter()
            .rposition(|entry| entry.timestamp == timestamp)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn packet(timestamp: u32, ms: u64, rotation: Option<Rotation>) -> RtpPacket {
        RtpPacket {
            payload_type: 96,
            marker: false,
            sequence: 0,
            timestamp,
            ssrc: 1,
            payload: Bytes::from_static(b"x"),
            arrived: at(ms),
            level: None,
            rotation,
        }
    }

    fn at(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    #[test]
    fn a_picture_arrived_with_its_last_packet() {
        let mut book = Book::default();
        for (timestamp, ms) in [(10, 1), (10, 2), (20, 3), (10, 9)] {
            book.packet(&packet(timestamp, ms, None));
        }
        assert_eq!(book.decoded(10).0, at(9), "the retransmission was the last");
        assert_eq!(book.decoded(20).0, at(3));
        assert_eq!(book.decoded(30).0, at(9), "never heard of");
    }

    #[test]
    fn rotation_stays_until_another_is_told() {
        let mut book = Book::default();
        book.packet(&packet(1, 1, None));
        book.packet(&packet(2, 2, None));
        book.packet(&packet(2, 2, Some(Rotation::R90)));
        book.packet(&packet(3, 3, None));
        book.packet(&packet(4, 4, Some(Rotation::R0)));
        assert_eq!(book.decoded(1).1, Rotation::R0);
        assert_eq!(book.decoded(2).1, Rotation::R90);
        assert_eq!(book.decoded(3).1, Rotation::R90);
        assert_eq!(book.decoded(4).1, Rotation::R0);
    }

    #[test]
    fn the_backlog_is_what_has_not_left_the_jitter_buffer() {
        let mut book = Book::default();
        book.packet(&packet(1, 0, None));
        book.packet(&packet(2, 500, None));
        assert!(!book.full(at(1_000)));
        assert!(book.full(at(1_001)));
        book.passed(1);
        assert!(!book.full(at(1_500)));
        assert!(book.full(at(1_501)));
        book.passed(2);
        assert!(!book.full(at(60_000)), "a pause is no backlog");
        for _ in 0..MAX_PACKETS {
            assert!(!book.full(at(500)));
            book.packet(&packet(3, 500, None));
        }
        assert!(book.full(at(500)));
        book.passed(3);
        assert_eq!(book.pending, 0);
    }

    #[test]
    fn it_forgets() {
        let mut book = Book::default();
        for n in 0..10_000 {
            book.packet(&packet(n, u64::from(n), None));
            book.passed(n);
            if n % 3 == 0 {
                book.decoded(n);
            }
        }
        assert!(book.pictures.len() <= PICTURES && book.pending == 0);
    }
}
