//! What comes up from one participant: packets go straight to the track's decoder, everything
//! else becomes an event in the room's inbox.
//!
//! Called on the connection's tasks, so nothing here blocks: building a decoder is the room's
//! work, and until it is there packets wait in a short queue.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{MediaTime, NtpTime};
use crate::decode::{audio, sync::Sync, video};
use crate::media::{AudioLevel, Kind, Layer, RtpPacket, VideoCodec};
use crate::peer;
use crate::room::activity::Background;
use crate::room::forward::Source;
use crate::room::links::{Meter, Reception};
use crate::room::speaker::Claims;

/// Packets kept for a decoder that is being built: a first keyframe has some 30, and building
/// takes 2 ms (100 ms for the first one of a process). Without it every join would cost a
/// second keyframe.
const WAITING_PACKETS: usize = 128;
/// Sound kept of somebody who is not decoded: what the claim that they begin, the room's answer
/// and building a decoder take, so that the first syllable is heard.
const KEPT_SOUND: Duration = Duration::from_millis(100);
/// Claims kept for a room that is late: a second's.
const MOST_CLAIMS: usize = 50;

/// What an uplink tells its room.
#[derive(Debug, Clone, Copy)]
pub enum UplinkEvent {
    /// A track began, or its codec changed: a decoder is wanted.
    Track(Kind, Option<VideoCodec>),
    /// Somebody whose sound is not decoded claims to begin to speak.
    Voice,
    /// The receiver of the downlink lost its picture.
    KeyframeRequested,
    /// Somebody who takes this uplink as it is waits for a keyframe of this copy of it.
    KeyframeAwaited(Layer),
    /// The line bears this rung of what there is, and no higher one.
    Line(usize),
    /// The connection's state changed.
    State(peer::State),
}

/// Where events go; whether there was room for it. Must not block.
pub type Tell = Box<dyn Fn(UplinkEvent) -> bool + Send + std::marker::Sync>;

/// One participant's uplink.
pub struct Uplink {
    tell: Tell,
    sync: Arc<Sync>,
    video: Slot<video::Decoder>,
    audio: Slot<audio::Decoder>,
    said: Mutex<Said>,
    keyframe_asked: AtomicBool,
    keyframe_awaited: [AtomicBool; 2],
    meter: Mutex<Meter>,
    source: Source,
    /// What it is to be encoded with.
    codec: Mutex<Option<VideoCodec>>,
    traffic: Arc<peer::Traffic>,
    /// The half copy of the picture is decoded, for want of the whole.
    decodes_half: AtomicBool,
}

/// A decoder, or the packets that wait for one.
struct Slot<D> {
    state: Mutex<SlotState<D>>,
    /// How much is kept while nothing is decoded.
    keeps: Duration,
}

enum SlotState<D> {
    /// It is not known yet whether it is to be decoded.
    Waiting(Vec<RtpPacket>),
    /// It is not to be decoded for now.
    Resting(VecDeque<RtpPacket>),
    Ready(Arc<D>),
    Ended,
}

impl<D> Slot<D> {
    fn new(keeps: Duration) -> Self {
        let state = Mutex::new(SlotState::Waiting(Vec::new()));
        Self { state, keeps }
    }

    /// Hands the packet on outside the lock, or keeps it. Whether the track rests.
    fn packet(&self, packet: RtpPacket, push: impl Fn(&D, &RtpPacket)) -> bool {
        let decoder = match &mut *self.lock() {
            SlotState::Ready(decoder) => decoder.clone(),
            SlotState::Waiting(packets) => {
                if packets.len() < WAITING_PACKETS {
                    packets.push(packet);
                }
                return false;
            }
            SlotState::Resting(packets) => {
                let now = packet.arrived;
                packets.push_back(packet);
                self.trim(packets, now);
                return true;
            }
            SlotState::Ended => return false,
        };
        push(&decoder, &packet);
        false
    }

    /// Gives the decoder what waited for it, and everything from now on.
    fn ready(&self, decoder: Arc<D>, push: impl Fn(&D, &RtpPacket)) {
        let mut slot = self.lock();
        // Under the lock, so that no later packet overtakes these; pushing never blocks.
        match &mut *slot {
            SlotState::Waiting(packets) => packets.drain(..).for_each(|p| push(&decoder, &p)),
            SlotState::Resting(packets) => packets.drain(..).for_each(|p| push(&decoder, &p)),
            SlotState::Ready(_) | SlotState::Ended => {}
        }
        if !matches!(*slot, SlotState::Ended) {
            *slot = SlotState::Ready(decoder);
        }
    }

    /// Lets go of the decoder and keeps only the newest packets from now on.
    fn rest(&self) {
        let mut slot = self.lock();
        let mut packets = match &mut *slot {
            SlotState::Waiting(packets) => std::mem::take(packets).into(),
            SlotState::Resting(_) | SlotState::Ended => return,
            SlotState::Ready(_) => VecDeque::new(),
        };
        if let Some(newest) = packets.back().map(|packet: &RtpPacket| packet.arrived) {
            self.trim(&mut packets, newest);
        }
        *slot = SlotState::Resting(packets);
    }

    /// Lets go of the decoder; what comes from now on waits for the next one, or is dropped.
    fn set(&self, next: SlotState<D>) {
        let mut slot = self.lock();
        if !matches!(*slot, SlotState::Ended) {
            *slot = next;
        }
    }

    fn trim(&self, packets: &mut VecDeque<RtpPacket>, now: MediaTime) {
        let old = |packet: &RtpPacket| now.since(packet.arrived) >= self.keeps;
        while packets.front().is_some_and(old) || packets.len() > WAITING_PACKETS {
            packets.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, SlotState<D>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the audio packets say about loudness.
#[derive(Default)]
struct Said {
    claims: Claims,
    background: Background,
    /// That somebody seems to begin has been told since the claims were taken.
    told: bool,
}

impl Uplink {
    /// An uplink without tracks.
    pub fn new(tell: Tell, sync: Arc<Sync>) -> Self {
        Self {
            tell,
            sync,
            // A picture without those before it is worth nothing.
            video: Slot::new(Duration::ZERO),
            audio: Slot::new(KEPT_SOUND),
            said: Mutex::default(),
            keyframe_asked: AtomicBool::new(false),
            keyframe_awaited: Default::default(),
            meter: Mutex::default(),
            source: Source::default(),
            codec: Mutex::default(),
            traffic: Arc::default(),
            decodes_half: AtomicBool::new(false),
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

    /// A track is not to be decoded for now: its decoder, if there is one, ends.
    pub fn rest(&self, kind: Kind) {
        match kind {
            Kind::Video => self.video.rest(),
            Kind::Audio => self.audio.rest(),
        }
    }

    /// What the audio packets since the last call claimed.
    pub fn take_claims(&self) -> Claims {
        let mut said = self.said();
        said.told = false;
        std::mem::take(&mut said.claims)
    }

    /// Notes what a packet of sound claims; whether somebody seems to begin of whom that has not
    /// been told.
    fn note(&self, level: Option<AudioLevel>) -> bool {
        let mut said = self.said();
        let Some(level) = level else {
            said.claims.bare = true;
            return false;
        };
        let level = -f32::from(level.level);
        if said.claims.levels.len() < MOST_CLAIMS {
            said.claims.levels.push(level);
        }
        said.background.hear(level) > 0 && !said.told
    }

    /// How the connection was since the last call.
    pub fn take_reception(&self) -> Reception {
        self.meter().take()
    }

    fn meter(&self) -> MutexGuard<'_, Meter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The participant left: the decoders end now, whenever the connection does.
    pub fn end(&self) {
        self.video.set(SlotState::Ended);
        self.audio.set(SlotState::Ended);
        self.source.end();
    }

    /// What goes over the wire to and from this participant, on all of their connections.
    pub fn traffic(&self) -> &Arc<peer::Traffic> {
        &self.traffic
    }

    /// What there is to take as it is.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The copy of the picture that is decoded.
    pub fn decodes(&self) -> Layer {
        match self.decodes_half.load(Ordering::Acquire) {
            true => Layer::Half,
            false => Layer::Whole,
        }
    }

    /// Decodes this copy from now on.
    pub fn decode_copy(&self, layer: Layer) {
        let half = layer == Layer::Half;
        if self.decodes_half.swap(half, Ordering::AcqRel) != half {
            self.video.set(SlotState::Waiting(Vec::new()));
            (self.tell)(UplinkEvent::Track(Kind::Video, self.source.codec()));
        }
    }

    /// From the next answer on the video is asked for in this codec; none: as it comes.
    pub fn ask_for_codec(&self, codec: Option<VideoCodec>) {
        *self.codec.lock().unwrap_or_else(PoisonError::into_inner) = codec;
    }

    /// Somebody who takes it waits for a keyframe. One in the inbox is enough.
    pub fn keyframe_awaited(&self, layer: Layer) {
        tell_once(&self.keyframe_awaited[layer as usize], || {
            (self.tell)(UplinkEvent::KeyframeAwaited(layer))
        });
    }

    /// The room has asked for the keyframe; the next wish will be told again.
    pub fn keyframe_asked_for(&self, layer: Layer) {
        self.keyframe_awaited[layer as usize].store(false, Ordering::Release);
    }

    /// The room has passed the keyframe request on; the next one will be told again.
    pub fn keyframe_passed_on(&self) {
        self.keyframe_asked.store(false, Ordering::Release);
    }
}

/// Tells what need not be told again until it was dealt with. If there is no room for it now, the next
/// one tells.
fn tell_once(told: &AtomicBool, tell: impl FnOnce() -> bool) {
    if !told.swap(true, Ordering::AcqRel) && !tell() {
        told.store(false, Ordering::Release);
    }
}

impl peer::Uplink for Uplink {
    fn track(&self, kind: Kind, codec: Option<VideoCodec>) {
        match kind {
            Kind::Video => {
                self.source.track(codec);
                self.video.set(SlotState::Waiting(Vec::new()));
            }
            Kind::Audio => self.audio.set(SlotState::Waiting(Vec::new())),
        }
        (self.tell)(UplinkEvent::Track(kind, codec));
    }

    fn packet(&self, kind: Kind, packet: RtpPacket) {
        self.meter().packet(kind, &packet);
        if self.source.packet(kind, Layer::Whole, &packet) {
            self.keyframe_awaited(Layer::Whole);
        }
        match kind {
            Kind::Video => {
                self.traffic.picture();
                if self.decodes() == Layer::Whole {
                    self.video.packet(packet, video::Decoder::push);
                }
            }
            Kind::Audio => {
                let begins = self.note(packet.level);
                let rests = self.audio.packet(packet, audio::Decoder::push);
                if begins && rests {
                    self.said().told = true;
                    if !(self.tell)(UplinkEvent::Voice) {
                        self.said().told = false;
                    }
                }
            }
        }
    }

    fn wants(&self) -> Option<VideoCodec> {
        *self.codec.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sender_report(&self, kind: Kind, ntp: NtpTime, rtp: u32) {
        if kind == Kind::Audio || self.decodes() == Layer::Whole {
            self.sync.report(kind, ntp, rtp);
        }
        self.source.report(kind, Layer::Whole, ntp, rtp);
    }

    fn half(&self, codec: Option<VideoCodec>, packet: RtpPacket) {
        if self.source.codec() != codec {
            // It may be the only copy that comes.
            self.source.track(codec);
        }
        self.traffic.picture();
        if self.source.packet(Kind::Video, Layer::Half, &packet) {
            self.keyframe_awaited(Layer::Half);
        }
        if self.decodes() == Layer::Half {
            self.video.packet(packet, video::Decoder::push);
        }
    }

    fn half_report(&self, ntp: NtpTime, rtp: u32) {
        if self.decodes() == Layer::Half {
            self.sync.report(Kind::Video, ntp, rtp);
        }
        self.source.report(Kind::Video, Layer::Half, ntp, rtp);
    }

    fn keyframe_requested(&self) {
        // One in the inbox is enough, however many are received.
        tell_once(&self.keyframe_asked, || {
            (self.tell)(UplinkEvent::KeyframeRequested)
        });
    }

    fn state(&self, state: peer::State) {
        (self.tell)(UplinkEvent::State(state));
    }

    fn not_received(&self, part: f32) {
        self.meter().reported(part);
    }

    fn bandwidth(&self, _bits_per_second: u64) {
        // What is sent is measured by ourselves.
    }

    fn line(&self, rung: usize) {
        (self.tell)(UplinkEvent::Line(rung));
    }

    fn traffic(&self) -> Arc<peer::Traffic> {
        self.traffic.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sound of 20 ms, so many after the start.
    fn packet(n: u64, level: u8) -> RtpPacket {
        RtpPacket {
            payload_type: 111,
            marker: false,
            sequence: n as u16,
            timestamp: n as u32 * 960,
            ssrc: 1,
            payload: bytes::Bytes::from_static(b"x"),
            arrived: MediaTime(n * 20_000_000),
            level: Some(AudioLevel {
                level,
                voice: false,
            }),
            rotation: None,
        }
    }

    #[test]
    fn who_rests_keeps_the_newest_and_hands_it_over_in_order() {
        let slot = Slot::<Mutex<Vec<u16>>>::new(KEPT_SOUND);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let push = |heard: &Mutex<Vec<u16>>, packet: &RtpPacket| {
            heard.lock().expect("not poisoned").push(packet.sequence);
        };
        (0..50).for_each(|n| assert!(!slot.packet(packet(n, 60), push)));
        slot.rest();
        (50..80).for_each(|n| assert!(slot.packet(packet(n, 60), push)));
        slot.ready(heard.clone(), push);
        (80..82).for_each(|n| assert!(!slot.packet(packet(n, 60), push)));
        let newest: Vec<u16> = (75..82).collect();
        assert_eq!(*heard.lock().expect("not poisoned"), newest);
        slot.rest();
        slot.packet(packet(82, 60), push);
        assert_eq!(Arc::strong_count(&heard), 1, "the decoder is gone");
    }

    #[test]
    fn a_voice_is_told_once_until_its_claims_are_taken() {
        let told = Arc::new(Mutex::new(0));
        let count = told.clone();
        let tell = Box::new(move |event| {
            assert!(matches!(event, UplinkEvent::Voice));
            *count.lock().expect("not poisoned") += 1;
            true
        });
        let uplink = Uplink::new(tell, Arc::default());
        let send = |n, level| peer::Uplink::packet(&uplink, Kind::Audio, packet(n, level));
        let told = || *told.lock().expect("not poisoned");
        uplink.rest(Kind::Audio);
        (0..20).for_each(|n| send(n, 65));
        assert_eq!(told(), 0, "background");
        (20..25).for_each(|n| send(n, 30));
        assert_eq!(told(), 1);
        let claims = uplink.take_claims();
        assert_eq!((claims.levels.len(), claims.bare), (25, false));
        assert_eq!(claims.levels[24], -30.0);
        send(25, 30);
        assert_eq!(told(), 2, "it goes on");
        assert_eq!(uplink.take_claims().levels.len(), 1);
        assert_eq!(uplink.take_claims(), Claims::default());
    }
}
