//! What comes up from one participant: packets go straight to the track's decoder, everything
//! else becomes an event in the room's inbox.
//!
//! Called on the connection's tasks, so nothing here blocks: building a decoder is the room's
//! work, and until it is there packets wait in a short queue.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::NtpTime;
use crate::decode::{audio, sync::Sync, video};
use crate::media::{Kind, RtpPacket, VideoCodec};
use crate::peer;

/// Packets kept for a decoder that is being built: a first keyframe has some 30, and building
/// takes 2 ms (100 ms for the first one of a process). Without it every join would cost a
/// second keyframe.
const WAITING_PACKETS: usize = 128;

/// What an uplink tells its room.
#[derive(Debug, Clone)]
pub enum UplinkEvent {
    /// A track began, or its codec changed: a decoder is wanted.
    Track(Kind, Option<VideoCodec>),
    /// The receiver of the downlink lost its picture.
    KeyframeRequested,
    /// The connection's state changed.
    State(peer::State),
}

/// Where events go. Must not block.
pub type Tell = Box<dyn Fn(UplinkEvent) + Send + std::marker::Sync>;

/// One participant's uplink.
pub struct Uplink {
    tell: Tell,
    sync: Arc<Sync>,
    video: Slot<video::Decoder>,
    audio: Slot<audio::Decoder>,
    keyframe_asked: AtomicBool,
}

/// A decoder, or the packets that wait for one.
struct Slot<D>(Mutex<SlotState<D>>);

enum SlotState<D> {
    Waiting(Vec<RtpPacket>),
    Ready(Arc<D>),
    Ended,
}

impl<D> Slot<D> {
    fn new() -> Self {
        Self(Mutex::new(SlotState::Waiting(Vec::new())))
    }

    /// Hands the packet on outside the lock, or keeps it.
    fn packet(&self, packet: RtpPacket, push: impl Fn(&D, &RtpPacket)) {
        let decoder = {
            let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *slot {
                SlotState::Ready(decoder) => decoder.clone(),
                SlotState::Waiting(packets) => {
                    if packets.len() < WAITING_PACKETS {
                        packets.push(packet);
                    }
                    return;
                }
                SlotState::Ended => return,
            }
        };
        push(&decoder, &packet);
    }

    /// Gives the decoder what waited for it, and everything from now on.
    fn ready(&self, decoder: Arc<D>, push: impl Fn(&D, &RtpPacket)) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let SlotState::Waiting(packets) = &mut *slot {
            // Under the lock, so that no later packet overtakes these; pushing never blocks.
            for packet in packets.drain(..) {
                push(&decoder, &packet);
            }
        }
        if !matches!(*slot, SlotState::Ended) {
            *slot = SlotState::Ready(decoder);
        }
    }

    /// Lets go of the decoder; what comes from now on waits for the next one, or is dropped.
    fn set(&self, next: SlotState<D>) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*slot, SlotState::Ended) {
            *slot = next;
        }
    }
}

impl Uplink {
    /// An uplink without tracks.
    pub fn new(tell: Tell, sync: Arc<Sync>) -> Self {
        Self {
            tell,
            sync,
            video: Slot::new(),
            audio: Slot::new(),
            keyframe_asked: AtomicBool::new(false),
        }
    }

    /// The participant's mapping between RTP clocks.
    pub fn sync(&self) -> &Arc<Sync> {
        &self.sync
    }

    /// The video track's decoder is there.
    pub fn video_ready(&self, decoder: Arc<video::Decoder>) {
        self.video.ready(decoder, video::Decoder::push);
    }

    /// The audio track's decoder is there.
    pub fn audio_ready(&self, decoder: Arc<audio::Decoder>) {
        self.audio.ready(decoder, audio::Decoder::push);
    }

    /// The participant left: the decoders end now, whenever the connection does.
    pub fn end(&self) {
        self.video.set(SlotState::Ended);
        self.audio.set(SlotState::Ended);
    }

    /// The room has passed the keyframe request on; the next one will be told again.
    pub fn keyframe_passed_on(&self) {
        self.keyframe_asked.store(false, Ordering::Release);
    }
}

impl peer::Uplink for Uplink {
    fn track(&self, kind: Kind, codec: Option<VideoCodec>) {
        match kind {
            Kind::Video => self.video.set(SlotState::Waiting(Vec::new())),
            Kind::Audio => self.audio.set(SlotState::Waiting(Vec::new())),
        }
        (self.tell)(UplinkEvent::Track(kind, codec));
    }

    fn packet(&self, kind: Kind, packet: RtpPacket) {
        match kind {
            Kind::Video => self.video.packet(packet, video::Decoder::push),
            Kind::Audio => self.audio.packet(packet, audio::Decoder::push),
        }
    }

    fn sender_report(&self, kind: Kind, ntp: NtpTime, rtp: u32) {
        self.sync.report(kind, ntp, rtp);
    }

    fn keyframe_requested(&self) {
        // One in the inbox is enough, however many are received.
        if !self.keyframe_asked.swap(true, Ordering::AcqRel) {
            (self.tell)(UplinkEvent::KeyframeRequested);
        }
    }

    fn state(&self, state: peer::State) {
        (self.tell)(UplinkEvent::State(state));
    }

    fn bandwidth(&self, _bits_per_second: u64) {
        // There is one quality so far; nothing could be chosen by it.
    }
}
