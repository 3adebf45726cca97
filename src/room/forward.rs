//! Somebody's uplink, for those who take it as it is instead of in a mix: two fan-outs that are fed
//! by packets. A taker is a listener; it has a connection of its own, which carries nothing else.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::NtpTime;
use crate::fanout::{Fanout, Listener, ListenerId, Receiver, listener_of};
use crate::id::ParticipantId;
use crate::media::{ForwardedPacket, Kind, RtpPacket, VideoCodec};
use crate::payload::starts_keyframe;
use crate::peer::{self, Origin};
use crate::room::uplink::Uplink;

/// Packets that a taker may be behind: of a keyframe of 300 kB.
const QUEUE: usize = 256;
/// A keyframe that is waited for is asked for this often at most, ns.
const ASK_EVERY: u64 = 500_000_000;

/// What there is to take of somebody.
#[derive(Debug, Default)]
pub struct Source {
    video: Fanout<ForwardedPacket>,
    audio: Fanout<ForwardedPacket>,
    /// What others may have of the sender: sound, pictures.
    open: [AtomicBool; 2],
    codec: Mutex<Option<VideoCodec>>,
    /// When a keyframe was asked for last, ns of media time.
    asked: AtomicU64,
    origin: Arc<Origin>,
}

impl Source {
    /// Whether others may see or hear the sender, whatever the sender sends.
    pub fn let_through(&self, kind: Kind, open: bool) {
        self.open[kind as usize].store(open, Ordering::Release);
    }

    /// The codec of the pictures.
    pub fn codec(&self) -> Option<VideoCodec> {
        *self.codec.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The track begins, or its codec changes.
    pub(super) fn track(&self, codec: Option<VideoCodec>) {
        *self.codec.lock().unwrap_or_else(PoisonError::into_inner) = codec;
    }

    /// A packet came; whether a keyframe is to be asked for.
    pub(super) fn packet(&self, kind: Kind, packet: &RtpPacket) -> bool {
        let fanout = self.fanout(kind);
        if !self.open[kind as usize].load(Ordering::Acquire) || fanout.is_empty() {
            return false;
        }
        let codec = match kind {
            Kind::Audio => None,
            Kind::Video => match self.codec() {
                Some(codec) => Some(codec),
                None => return false,
            },
        };
        let keyframe = codec.is_some_and(|codec| starts_keyframe(codec, &packet.payload));
        let forwarded = ForwardedPacket {
            packet: packet.clone(),
            codec,
            keyframe,
        };
        fanout.send(&Arc::new(forwarded)) && self.asks(packet.arrived.0)
    }

    fn asks(&self, now: u64) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        if now.saturating_sub(asked) < ASK_EVERY && asked != 0 {
            return false;
        }
        self.asked.store(now, Ordering::Relaxed);
        true
    }

    /// The sender's report.
    pub(super) fn report(&self, kind: Kind, ntp: NtpTime, rtp: u32) {
        self.origin.report(kind, ntp, rtp);
    }

    /// The sender is gone: so is what was listened to.
    pub(super) fn end(&self) {
        for kind in [Kind::Audio, Kind::Video] {
            self.fanout(kind).clear();
        }
    }

    /// Packets that takers missed since the last call.
    pub fn take_dropped(&self) -> u64 {
        self.video.take_dropped() + self.audio.take_dropped()
    }

    /// How many take it.
    pub fn takers(&self) -> usize {
        self.video.len()
    }

    fn fanout(&self, kind: Kind) -> &Fanout<ForwardedPacket> {
        match kind {
            Kind::Audio => &self.audio,
            Kind::Video => &self.video,
        }
    }

    fn attach(&self, kind: Kind, id: ListenerId) -> Receiver<ForwardedPacket> {
        let (listener, receiver): (Listener<_>, _) = listener_of(QUEUE);
        self.fanout(kind).attach(id, listener);
        receiver
    }
}

/// One of those who take somebody's uplink as it is: what their connection reports to.
pub struct Taker {
    uplink: Arc<Uplink>,
    id: ListenerId,
    /// Of who takes it.
    traffic: Arc<peer::Traffic>,
    gone: Box<dyn Fn() + Send + Sync>,
    replaced: AtomicBool,
}

impl Taker {
    /// `who` takes what comes of `uplink`, which is part of their `traffic`; `gone` is called when
    /// the connection is over.
    pub fn new(
        who: ParticipantId,
        uplink: Arc<Uplink>,
        traffic: Arc<peer::Traffic>,
        gone: Box<dyn Fn() + Send + Sync>,
    ) -> Arc<Self> {
        let id = ListenerId(who.0.into());
        Arc::new(Self {
            uplink,
            id,
            traffic,
            gone,
            replaced: AtomicBool::new(false),
        })
    }

    /// Another connection has taken its place: its end means nothing.
    pub fn replaced(&self) {
        self.replaced.store(true, Ordering::Release);
    }

    /// From now on the connection carries it.
    pub fn play(&self, peer: &peer::Peer) {
        let source = self.uplink.source();
        let video = source.attach(Kind::Video, self.id);
        let audio = source.attach(Kind::Audio, self.id);
        peer.forward(&source.origin, video, audio);
    }
}

impl peer::Uplink for Taker {
    fn track(&self, _kind: Kind, _codec: Option<VideoCodec>) {}

    fn packet(&self, _kind: Kind, _packet: RtpPacket) {
        // It was agreed that nothing comes this way.
    }

    fn sender_report(&self, _kind: Kind, _ntp: NtpTime, _rtp: u32) {}

    fn keyframe_requested(&self) {
        self.uplink.keyframe_awaited();
    }

    fn state(&self, state: peer::State) {
        let over = matches!(state, peer::State::Closed | peer::State::CutOff);
        if over && !self.replaced.load(Ordering::Acquire) {
            (self.gone)();
        }
    }

    fn bandwidth(&self, _bits_per_second: u64) {
        // What is sent is measured by ourselves.
    }

    fn traffic(&self) -> Arc<peer::Traffic> {
        self.traffic.clone()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock::MediaTime;

    fn packet(n: u64, keyframe: bool) -> RtpPacket {
        let payload: &[u8] = match keyframe {
            true => &[0x10, 0x10],
            false => &[0x10, 0x11],
        };
        RtpPacket {
            payload_type: 96,
            marker: true,
            sequence: n as u16,
            timestamp: n as u32 * 3_000,
            ssrc: 1,
            payload: Bytes::from_static(payload),
            arrived: MediaTime(n * 33_000_000),
            level: None,
            rotation: None,
        }
    }

    #[test]
    fn who_may_not_be_heard_or_seen_is_not() {
        let source = Source::default();
        source.track(Some(VideoCodec::Vp8));
        let mut video = source.attach(Kind::Video, ListenerId(1));
        let mut audio = source.attach(Kind::Audio, ListenerId(1));
        let send = |n| {
            source.packet(Kind::Video, &packet(n, true));
            source.packet(Kind::Audio, &packet(n, true));
        };
        send(1);
        assert!(video.try_recv().is_err() && audio.try_recv().is_err());
        source.let_through(Kind::Video, true);
        send(2);
        assert!(video.try_recv().is_ok() && audio.try_recv().is_err());
        source.let_through(Kind::Video, false);
        source.let_through(Kind::Audio, true);
        send(3);
        assert!(video.try_recv().is_err() && audio.try_recv().is_ok());
    }

    #[test]
    fn a_keyframe_that_is_waited_for_is_asked_for_twice_a_second() {
        let source = Source::default();
        source.let_through(Kind::Video, true);
        source.track(Some(VideoCodec::Vp8));
        let alone = (1..50).filter(|n| source.packet(Kind::Video, &packet(*n, false)));
        assert_eq!(alone.count(), 0, "nobody waits");
        let mut taken = source.attach(Kind::Video, ListenerId(1));
        let asked = (50..80).filter(|n| source.packet(Kind::Video, &packet(*n, false)));
        assert_eq!(asked.collect::<Vec<_>>(), [50, 66]);
        assert!(taken.try_recv().is_err());
        assert!(!source.packet(Kind::Video, &packet(80, true)));
        assert!(!source.packet(Kind::Video, &packet(81, false)));
        assert_eq!(taken.try_recv().unwrap().packet.sequence, 80);
        source.end();
        assert_eq!(source.takers(), 0);
        assert_eq!(taken.try_recv().unwrap().packet.sequence, 81);
        assert!(taken.try_recv().is_err());
    }
}
