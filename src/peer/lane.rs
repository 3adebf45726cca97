//! Packets on their way past the library: protected and sent there and then, by whoever has them.
//!
//! The library's driver takes 20 microseconds and more for each wake. A viewer's pictures and sound
//! would wake it seventy times a second, for what is done here in a few.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use webrtc::runtime::Transmit;

use super::head::Packet;
use super::keys::Learned;
use super::mux::MuxPort;
use super::srtp::{Sealer, TAG};
use super::way::Ways;

/// Bytes that one system call may send: less than IPv4 has, and than a kernel takes.
const MOST: usize = 60_000;

thread_local! {
    /// Where packets are protected.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The way past the library.
pub(super) struct Lane {
    port: MuxPort,
    way: super::way::Way,
    sealer: Arc<Mutex<Sealer>>,
}

impl Lane {
    /// There is one where the key and the way are known.
    pub fn of(learned: &Learned, ways: &Ways) -> Option<Self> {
        let sealer = learned.sealer()?.clone();
        let way = ways.current()?;
        let port = way.port.upgrade()?;
        Some(Self { port, way, sealer })
    }

    /// Sends these packets, those of one size by one system call. Never waits; how many were lost.
    pub fn send<'a>(&self, packets: impl Iterator<Item = &'a Packet>) -> u64 {
        BUFFER.with_borrow_mut(|buffer| {
            buffer.clear();
            let mut sealer = self.sealer.lock().unwrap_or_else(PoisonError::into_inner);
            let most = self.port.max_segments();
            let (mut run, mut lost) = (Run::default(), 0);
            for packet in packets {
                let begin = buffer.len();
                if seal(&mut sealer, packet, buffer).is_none() {
                    buffer.truncate(begin);
                    lost += 1;
                    continue;
                }
                let size = buffer.len() - begin;
                if !run.takes(size, most) {
                    lost += self.flush(&run, &buffer[..begin]);
                    buffer.drain(..begin);
                    run = Run::default();
                }
                run.take(size);
            }
            lost + self.flush(&run, buffer)
        })
    }

    fn flush(&self, run: &Run, contents: &[u8]) -> u64 {
        if run.packets == 0 {
            return 0;
        }
        let sent = self.port.send(&Transmit {
            destination: self.way.to,
            ecn: None,
            contents,
            segment_size: (run.packets > 1).then_some(run.size),
            src_ip: self.way.from,
        });
        match sent {
            Ok(()) => 0,
            Err(error) => self.failed(run, &error),
        }
    }

    /// Whoever is not reached any more is found out by checks.
    fn failed(&self, run: &Run, error: &io::Error) -> u64 {
        tracing::debug!(%error, "a packet cannot be sent");
        run.packets as u64
    }
}

/// Appends a packet as it is on the wire.
fn seal(sealer: &mut Sealer, packet: &Packet, buffer: &mut Vec<u8>) -> Option<()> {
    let (begin, head) = (buffer.len(), packet.head().bytes());
    buffer.extend_from_slice(head);
    buffer.extend_from_slice(&packet.payload);
    buffer.extend_from_slice(&[0; TAG]);
    let (head, rest) = buffer[begin..].split_at_mut(head.len());
    let (text, tag) = rest.split_at_mut(packet.payload.len());
    sealer.seal(head, text, tag).ok()
}

/// Packets that one system call sends: all of one size, only the last may be smaller.
#[derive(Debug, Default)]
struct Run {
    packets: usize,
    /// Of the first.
    size: usize,
    bytes: usize,
    /// A smaller one was the last.
    ended: bool,
}

impl Run {
    fn takes(&self, size: usize, most: usize) -> bool {
        self.packets == 0
            || (!self.ended
                && size <= self.size
                && self.packets < most
                && self.bytes + size <= MOST)
    }

    fn take(&mut self, size: usize) {
        if self.packets == 0 {
            self.size = size;
        }
        self.ended |= size < self.size;
        self.packets += 1;
        self.bytes += size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How packets of these sizes are sent.
    fn runs(sizes: &[usize], most: usize) -> Vec<usize> {
        let (mut run, mut sent) = (Run::default(), Vec::new());
        for size in sizes {
            if !run.takes(*size, most) {
                sent.push(run.packets);
                run = Run::default();
            }
            run.take(*size);
        }
        sent.push(run.packets);
        sent
    }

    #[test]
    fn what_has_one_size_goes_together_and_the_last_may_be_smaller() {
        assert_eq!(runs(&[900, 900, 900], 64), [3]);
        assert_eq!(runs(&[900, 900, 20], 64), [3]);
        assert_eq!(runs(&[900, 20, 20], 64), [2, 1]);
        assert_eq!(runs(&[20, 900, 900], 64), [1, 2]);
        assert_eq!(runs(&[900; 5], 2), [2, 2, 1]);
        assert_eq!(runs(&[900; 3], 1), [1, 1, 1], "no offload");
        assert_eq!(runs(&[1_200; 120], 1_000), [50, 50, 20]);
    }
}
