//! RTP streams for tests, made by GStreamer's own encoders and payloaders.

use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gstreamer::prelude::*;

use crate::clock;
use crate::media::RtpPacket;

/// Nothing that is waited for takes longer, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// All packets of a launch line that ends in a payloader.
pub fn packets(line: &str) -> Vec<RtpPacket> {
    crate::gst::init().unwrap();
    let line = format!("{line} ! appsink name=sink sync=false");
    let pipeline = gstreamer::parse::launch(&line)
        .unwrap()
        .downcast::<gstreamer::Pipeline>()
        .unwrap();
    let sink: gstreamer_app::AppSink = pipeline.by_name("sink").unwrap().downcast().unwrap();
    pipeline.set_state(gstreamer::State::Playing).unwrap();
    let mut packets = Vec::new();
    while let Ok(sample) = sink.pull_sample() {
        let map = sample.buffer().unwrap().map_readable().unwrap();
        packets.push(parse(&map));
    }
    let error = pipeline
        .bus()
        .unwrap()
        .pop_filtered(&[gstreamer::MessageType::Error]);
    pipeline.set_state(gstreamer::State::Null).unwrap();
    assert!(error.is_none() && !packets.is_empty(), "{line}: {error:?}");
    packets
}

fn parse(bytes: &[u8]) -> RtpPacket {
    assert_eq!(bytes[0], 0x80, "no extensions, no padding");
    RtpPacket {
        payload_type: bytes[1] & 0x7f,
        marker: bytes[1] & 0x80 != 0,
        sequence: u16::from_be_bytes([bytes[2], bytes[3]]),
        timestamp: u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        ssrc: u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
        payload: Bytes::copy_from_slice(&bytes[12..]),
        arrived: Default::default(),
        level: None,
        rotation: None,
    }
}

/// Gives a stream the numbers and times that follow another's.
pub fn continue_from(before: &[RtpPacket], stream: &mut [RtpPacket], step: u32) {
    let (last, first) = (before.last().unwrap(), stream[0].clone());
    for packet in stream {
        let number = packet.sequence.wrapping_sub(first.sequence);
        let time = packet.timestamp.wrapping_sub(first.timestamp);
        packet.sequence = last.sequence.wrapping_add(1).wrapping_add(number);
        packet.timestamp = last.timestamp.wrapping_add(step).wrapping_add(time);
        packet.ssrc = last.ssrc;
    }
}

/// The packets of each picture.
pub fn pictures(packets: Vec<RtpPacket>) -> Vec<Vec<RtpPacket>> {
    let mut pictures: Vec<Vec<RtpPacket>> = Vec::new();
    for packet in packets {
        match pictures.last_mut() {
            Some(last) if last[0].timestamp == packet.timestamp => last.push(packet),
            _ => pictures.push(vec![packet]),
        }
    }
    pictures
}

/// The packet as if it had just been read from the socket.
pub fn now(packet: &RtpPacket) -> RtpPacket {
    RtpPacket {
        arrived: clock::now(),
        ..packet.clone()
    }
}

/// Polls until there is an answer: for what no event tells of.
pub fn until<T>(mut answer: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(answer) = answer() {
            return Some(answer);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

/// A callback and where to hear what it was told.
pub fn ears<E: Send + 'static>() -> (Arc<dyn Fn(E) + Send + Sync>, mpsc::Receiver<E>) {
    let (send, told) = mpsc::channel();
    let ears = move |event| {
        let _ = send.send(event);
    };
    (Arc::new(ears), told)
}
