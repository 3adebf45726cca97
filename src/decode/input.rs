//! The way of RTP packets into a decode pipeline: straight into its jitter buffer's pad.
//!
//! The jitter buffer's pad queues and returns, so the network's task never waits, and no appsrc
//! with a thread and a queue of its own is in between. Two things are put right behind it, where
//! packets are in order:
//!
//! - Packets without payload (probes, padding), or with one that only does harm, have a place in
//!   the sequence, but nothing to decode. They go no further, and the packets behind them are
//!   renumbered, so that the depayloader sees no hole.
//! - Buffers get their RTP timestamp for a presentation time. The jitter buffer's own guess at
//!   the sender's clock is not needed, and so every decoded picture tells which one it is.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError, Weak};

use gstreamer::prelude::*;
use gstreamer::{Buffer, Caps, ClockTime, Event, EventView, FlowError, Memory, Pad, PadProbeData};
use gstreamer::{PadDirection, PadProbeInfo, PadProbeReturn, PadProbeType, QueryViewMut};

use super::unwrap::Unwrap;
use crate::gst::{Error, Pipeline};
use crate::media::RtpPacket;

/// Name of the jitter buffer in every decode pipeline.
pub const JITTER_BUFFER: &str = "jitterbuffer";
/// Payload type written into every packet: the pipeline has one track and needs no other.
const PAYLOAD_TYPE: u8 = 96;
/// Bytes of an RTP header without extensions (RFC 3550 section 5.1).
pub const HEADER: usize = 12;

/// What is seen on the way. Called on the pipeline's threads: must not block.
pub trait Tap: Send + Sync + 'static {
    /// A packet that carries something left the jitter buffer, in order.
    fn passed(&self, timestamp: u32);
    /// The jitter buffer gave up waiting for the packet of this sequence number.
    fn lost(&self, sequence: u16);
    /// An element cannot go on well without a keyframe.
    fn keyframe_wanted(&self);
    /// What of a packet, in order, goes on to the depayloader.
    fn refine(&self, _timestamp: u32, _marker: bool, _payload: &[u8]) -> Refined {
        Refined::Whole
    }
}

/// What is left of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refined {
    /// All of it.
    Whole,
    /// This instead of it.
    Other(Vec<u8>),
    /// Nothing: as if the packet were empty.
    Nothing,
}

/// What travels: an encoding name of RFC 6184, 7587 or 7741 and its clock rate in Hz.
#[derive(Debug, Clone, Copy)]
pub struct Encoding {
    /// `audio` or `video`.
    pub media: &'static str,
    /// `H264`, `VP8` or `OPUS`.
    pub name: &'static str,
    /// Hz.
    pub rate: u32,
}

/// The pushing end.
#[derive(Debug)]
pub struct Input {
    pad: Pad,
    jitter_buffer: gstreamer::Element,
    pipeline: gstreamer::glib::WeakRef<gstreamer::Pipeline>,
    latency: AtomicU32,
}

impl Input {
    /// Links to a pipeline that plays and whose jitter buffer waits `latency` ms.
    pub fn open<T: Tap>(
        pipeline: &Pipeline,
        encoding: Encoding,
        latency: u32,
        tap: Weak<T>,
    ) -> Result<Self, Error> {
        let jitter_buffer = pipeline.element(JITTER_BUFFER)?;
        let sink = pipeline.sink_pad(JITTER_BUFFER)?;
        let refuse = |reason: String| Error::Start {
            name: pipeline.name(),
            reason,
        };
        let upstream = tap.clone();
        let pad = Pad::builder(PadDirection::Src)
            .event_function(move |_, _, event| {
                let wanted = gstreamer_video::ForceKeyUnitEvent::is(&event);
                if let (true, Some(tap)) = (wanted, upstream.upgrade()) {
                    tap.keyframe_wanted();
                }
                true
            })
            // Live, and nothing waits here: decoders that ask keep no picture back.
            .query_function(|pad, parent, query| match query.view_mut() {
                QueryViewMut::Latency(latency) => {
                    latency.set(true, ClockTime::ZERO, ClockTime::NONE);
                    true
                }
                _ => gstreamer::Pad::query_default(pad, parent, query),
            })
            .build();
        pad.set_active(true).map_err(|e| refuse(e.to_string()))?;
        pad.link(&sink).map_err(|e| refuse(e.to_string()))?;
        behind(&jitter_buffer, encoding.rate, tap);
        let caps = Caps::builder("application/x-rtp")
            .field("media", encoding.media)
            .field("clock-rate", encoding.rate as i32)
            .field("encoding-name", encoding.name)
            .field("payload", i32::from(PAYLOAD_TYPE))
            .build();
        pad.push_event(gstreamer::event::StreamStart::new("track"));
        pad.push_event(gstreamer::event::Caps::new(&caps));
        let segment = gstreamer::FormattedSegment::<ClockTime>::new();
        pad.push_event(gstreamer::event::Segment::new(&segment));
        Ok(Self {
            pad,
            jitter_buffer,
            pipeline: pipeline.inner().downgrade(),
            latency: AtomicU32::new(latency),
        })
    }

    /// Hands a packet on under another sequence number. Never blocks. An error means that the
    /// pipeline takes nothing any more.
    pub fn push(&self, packet: &RtpPacket, sequence: u16) -> Result<(), FlowError> {
        let mut header = [0; HEADER];
        header[0] = 2 << 6;
        header[1] = PAYLOAD_TYPE | u8::from(packet.marker) << 7;
        header[2..4].copy_from_slice(&sequence.to_be_bytes());
        header[4..8].copy_from_slice(&packet.timestamp.to_be_bytes());
        // One source as far as the pipeline is concerned.
        header[8..12].copy_from_slice(&1u32.to_be_bytes());
        let mut buffer = Buffer::from_mut_slice(header);
        let arrival = self
            .pipeline
            .upgrade()
            .and_then(|pipeline| pipeline.current_running_time());
        let inside = buffer.get_mut().expect("a new buffer has one owner");
        if !packet.payload.is_empty() {
            inside.append_memory(Memory::from_slice(packet.payload.clone()));
        }
        inside.set_dts(arrival);
        inside.set_pts(arrival);
        self.pad.push(buffer).map(|_| ())
    }

    /// How long the jitter buffer waits for a hole, ms.
    pub fn set_latency(&self, ms: u32) {
        if self.latency.swap(ms, Ordering::Relaxed) != ms {
            self.jitter_buffer.set_property("latency", ms);
        }
    }
}

/// The RTP timestamp that a buffer's presentation time stands for.
pub fn timestamp(pts: ClockTime, rate: u32) -> u32 {
    // Rounded to the nearest tick: the way there rounds down.
    ((u128::from(pts.nseconds()) * u128::from(rate) + 500_000_000) / 1_000_000_000) as u32
}

fn presentation(ticks: i64, rate: u32) -> ClockTime {
    let ticks = u128::from(ticks.max(0).unsigned_abs());
    ClockTime::from_nseconds((ticks * 1_000_000_000 / u128::from(rate)) as u64)
}

/// Installs what happens to packets behind the jitter buffer.
fn behind<T: Tap>(jitter_buffer: &gstreamer::Element, rate: u32, tap: Weak<T>) {
    let Some(pad) = jitter_buffer.static_pad("src") else {
        return;
    };
    let order = Mutex::new(Order::new(rate));
    let mask = PadProbeType::BUFFER | PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(mask, move |_, info: &mut PadProbeInfo| {
        let mut order = order.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut info.data {
            Some(PadProbeData::Buffer(buffer)) => {
                let tap = tap.upgrade();
                let refine = |timestamp, marker, payload: &[u8]| match &tap {
                    Some(tap) => tap.refine(timestamp, marker, payload),
                    None => Refined::Whole,
                };
                match order.next(buffer.make_mut(), refine) {
                    Some(timestamp) => {
                        drop(order);
                        if let Some(tap) = tap {
                            tap.passed(timestamp);
                        }
                        PadProbeReturn::Ok
                    }
                    None => PadProbeReturn::Drop,
                }
            }
            Some(PadProbeData::Event(event)) => match lost(event) {
                Some(sequence) => {
                    drop(order);
                    if let Some(tap) = tap.upgrade() {
                        tap.lost(sequence);
                    }
                    // Goes no further: decoders answer a gap by draining, which costs them their
                    // references. The hole in the numbers tells the depayloader enough.
                    // (Handled, not Drop: for events that would be an unref too many.)
                    PadProbeReturn::Handled
                }
                None => PadProbeReturn::Ok,
            },
            _ => PadProbeReturn::Ok,
        }
    });
}

fn lost(event: &Event) -> Option<u16> {
    let EventView::CustomDownstream(custom) = event.view() else {
        return None;
    };
    let structure = custom.structure()?;
    (structure.name() == "GstRTPPacketLost").then(|| {
        let sequence: Result<u32, _> = structure.get("seqnum");
        sequence.unwrap_or_default() as u16
    })
}

/// Packets in order: numbers without the empty ones, times without the jitter.
struct Order {
    rate: u32,
    empty: u16,
    ticks: Unwrap<u32>,
}

impl Order {
    fn new(rate: u32) -> Self {
        Self {
            rate,
            empty: 0,
            ticks: Unwrap::default(),
        }
    }

    /// Rewrites a packet's number and time, and its payload if need be; answers its RTP timestamp.
    /// None: it carries nothing.
    fn next(
        &mut self,
        buffer: &mut gstreamer::BufferRef,
        refine: impl Fn(u32, bool, &[u8]) -> Refined,
    ) -> Option<u32> {
        let mut head = [0; HEADER];
        buffer.copy_to_slice(0, &mut head).ok()?;
        let marker = head[1] & 0x80 != 0;
        let timestamp = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let refined = match buffer.n_memory() {
            // As it was put together: the header, and the payload if there is one.
            2 => {
                let payload = buffer.peek_memory(1).map_readable().ok()?;
                refine(timestamp, marker, &payload)
            }
            _ if buffer.size() > HEADER => Refined::Whole,
            _ => Refined::Nothing,
        };
        match refined {
            Refined::Whole => {}
            Refined::Other(payload) => buffer.replace_memory(1, Memory::from_slice(payload)),
            Refined::Nothing => {
                self.empty = self.empty.wrapping_add(1);
                return None;
            }
        }
        let sequence = u16::from_be_bytes([head[2], head[3]]).wrapping_sub(self.empty);
        if self.empty != 0 {
            buffer.copy_from_slice(2, &sequence.to_be_bytes()).ok()?;
        }
        let time = presentation(self.ticks.unwrap(timestamp), self.rate);
        buffer.set_pts(time);
        buffer.set_dts(None);
        Some(timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(_: u32, _: bool, _: &[u8]) -> Refined {
        Refined::Whole
    }

    fn packet(sequence: u16, timestamp: u32, payload: &[u8]) -> Buffer {
        crate::gst::init().unwrap();
        let mut bytes = vec![0x80, PAYLOAD_TYPE];
        bytes.extend(sequence.to_be_bytes());
        bytes.extend(timestamp.to_be_bytes());
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(payload);
        Buffer::from_mut_slice(bytes)
    }

    #[test]
    fn empty_packets_leave_no_hole() {
        let mut order = Order::new(90_000);
        let mut out = Vec::new();
        let payloads: [&[u8]; 7] = [b"a", b"b", b"", b"", b"c", b"", b"d"];
        // One packet is missing for good: its number stays missing.
        for (n, payload) in payloads.iter().enumerate().filter(|(n, _)| *n != 1) {
            let mut buffer = packet(65_533u16.wrapping_add(n as u16), 7, payload);
            if order.next(buffer.make_mut(), whole).is_some() {
                let mut number = [0; 2];
                buffer.copy_to_slice(2, &mut number).unwrap();
                out.push(u16::from_be_bytes(number));
            }
        }
        assert_eq!(out, [65_533, 65_535, 0]);
    }

    #[test]
    fn presentation_times_are_rtp_timestamps() {
        let mut order = Order::new(90_000);
        let mut last = None;
        for timestamp in (0..2_000u32).map(|n| n.wrapping_mul(3_003).wrapping_sub(900_000)) {
            let mut buffer = packet(0, timestamp, b"x");
            assert_eq!(order.next(buffer.make_mut(), whole), Some(timestamp));
            let pts = buffer.pts().unwrap();
            assert_eq!(super::timestamp(pts, 90_000), timestamp);
            assert!(last.is_none_or(|last| pts > last), "wrapped");
            last = Some(pts);
        }
    }
}
