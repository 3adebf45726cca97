//! Somebody's uplink, for those who take it as it is instead of in a mix: two fan-outs that are fed
//! by packets. A taker is a listener; it has a connection of its own, which carries nothing else.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::clock::{MediaTime, NtpTime};
use crate::fanout::{Fanout, ListenerId};
use crate::id::ParticipantId;
use crate::media::{ForwardedPacket, Kind, Layer, RtpPacket, VideoCodec};
use crate::payload::starts_keyframe;
use crate::peer::{self, Ladder, Origin, WeakPeer};
use crate::room::layers::RATES;
use crate::room::uplink::Uplink;

/// A keyframe that is waited for is asked for this often at most, ns.
const ASK_EVERY: u64 = 500_000_000;
/// A copy of the picture of which nothing has come for so long does not come, ns.
const LIVE: u64 = 1_500_000_000;

/// What one taker is to get.
#[derive(Debug, Default)]
struct Outlet {
    /// The copy of the picture, and the largest that would be shown.
    order: (Layer, Layer),
    /// Where several copies come.
    layered: bool,
    taker: Weak<Taker>,
}

/// What there is to take of somebody.
#[derive(Debug, Default)]
pub struct Source {
    /// By [`Layer`].
    video: [Fanout<ForwardedPacket>; 2],
    audio: Fanout<ForwardedPacket>,
    /// What others may have of the sender: sound, pictures.
    open: [AtomicBool; 2],
    codec: Mutex<Option<VideoCodec>>,
    /// When a keyframe was asked for last, ns of media time, by [`Layer`].
    asked: [AtomicU64; 2],
    /// When a packet of the picture came last, likewise.
    heard: [AtomicU64; 2],
    outlets: Mutex<HashMap<ListenerId, Outlet>>,
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
    pub(super) fn packet(&self, kind: Kind, layer: Layer, packet: &RtpPacket) -> bool {
        if kind == Kind::Video {
            self.heard[layer as usize].store(packet.arrived.0, Ordering::Relaxed);
        }
        let fanout = self.fanout(kind, layer);
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
            layer,
            codec,
            keyframe,
        };
        fanout.send(&Arc::new(forwarded)) && self.asks(layer, packet.arrived.0)
    }

    fn asks(&self, layer: Layer, now: u64) -> bool {
        let last = &self.asked[layer as usize];
        let asked = last.load(Ordering::Relaxed);
        if now.saturating_sub(asked) < ASK_EVERY && asked != 0 {
            return false;
        }
        last.store(now, Ordering::Relaxed);
        true
    }

    /// The sender's report.
    pub(super) fn report(&self, kind: Kind, layer: Layer, ntp: NtpTime, rtp: u32) {
        self.origin.report(kind, layer, ntp, rtp);
    }

    /// The sender is gone: so is what was listened to.
    pub(super) fn end(&self) {
        self.video.iter().for_each(Fanout::clear);
        self.audio.clear();
        self.outlets().clear();
    }

    /// Packets that takers missed since the last call.
    pub fn take_dropped(&self) -> u64 {
        let video = self.video.iter().map(Fanout::take_dropped);
        video.sum::<u64>() + self.audio.take_dropped()
    }

    /// How many take it.
    pub fn takers(&self) -> usize {
        self.audio.len()
    }

    /// Of which copies of the picture something came lately.
    pub fn live(&self, now: MediaTime) -> [bool; 2] {
        let lately = |heard: &AtomicU64| {
            let heard = heard.load(Ordering::Relaxed);
            heard != 0 && now.0.saturating_sub(heard) < LIVE
        };
        [lately(&self.heard[0]), lately(&self.heard[1])]
    }

    /// One of those who take it, or will in a moment, is to get this copy of the picture from its next
    /// keyframe on; with more room on the line it would be `best`.
    pub fn order(&self, id: ListenerId, layer: Layer, best: Layer) {
        let taker = {
            let mut outlets = self.outlets();
            let outlet = outlets.entry(id).or_default();
            (outlet.order, outlet.layered) = ((layer, best), true);
            let taker = outlet.taker.upgrade();
            taker.inspect(|taker| self.turn(taker, layer))
        };
        if let Some(taker) = taker {
            taker.serve(layer, best);
        }
    }

    /// Somebody takes it no longer.
    pub fn forget(&self, id: ListenerId) {
        self.outlets().remove(&id);
    }

    /// Has somebody listen to this copy, beside the one that they get until it comes.
    fn turn(&self, taker: &Taker, layer: Layer) {
        taker.layer.store(layer as u8, Ordering::Release);
        let [to, from] = match layer {
            Layer::Half => [&self.video[0], &self.video[1]],
            Layer::Whole => [&self.video[1], &self.video[0]],
        };
        if !to.has(taker.id) {
            if let Some(twin) = from.twin(taker.id) {
                to.attach(taker.id, twin);
            }
        } else if taker.sends.load(Ordering::Acquire) == layer as u8 {
            // They turned back before the other one came.
            from.detach(taker.id);
        }
    }

    fn outlets(&self) -> MutexGuard<'_, HashMap<ListenerId, Outlet>> {
        self.outlets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fanout(&self, kind: Kind, layer: Layer) -> &Fanout<ForwardedPacket> {
        match kind {
            Kind::Audio => &self.audio,
            Kind::Video => &self.video[layer as usize],
        }
    }
}

/// One of those who take somebody's uplink as it is: what their connection reports to.
pub struct Taker {
    uplink: Arc<Uplink>,
    id: ListenerId,
    /// Of who takes it.
    traffic: Arc<peer::Traffic>,
    tell: Box<dyn Fn(News) + Send + Sync>,
    stay: Mutex<Stay>,
    /// The copy of the picture that is to be sent on, and the one that is.
    layer: AtomicU8,
    sends: AtomicU8,
    peer: Mutex<WeakPeer>,
}

/// Whether the end of a taker's connection means something.
#[derive(Debug, Default)]
struct Stay {
    /// Another one takes its place.
    replaced: bool,
    over: bool,
}

/// What a taker's connection tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Its line bears this copy of the picture, and no larger one.
    Bears(Layer),
    /// It is over.
    Gone,
}

impl std::fmt::Debug for Taker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Taker").field(&self.id).finish()
    }
}

impl Taker {
    /// `who` takes what comes of `uplink`, which is part of their `traffic`.
    pub fn new(
        who: ParticipantId,
        uplink: Arc<Uplink>,
        traffic: Arc<peer::Traffic>,
        tell: Box<dyn Fn(News) + Send + Sync>,
    ) -> Arc<Self> {
        let id = ListenerId(who.0.into());
        Arc::new(Self {
            uplink,
            id,
            traffic,
            tell,
            stay: Mutex::default(),
            layer: AtomicU8::new(Layer::Whole as u8),
            sends: AtomicU8::new(Layer::Whole as u8),
            peer: Mutex::default(),
        })
    }

    /// Another connection takes its place: its end means nothing, from before the room hears of the
    /// other one, whose beginning it would undo.
    pub fn replaced(&self) {
        self.stay().replaced = true;
    }

    /// The other one has come to nothing.
    pub fn stays(&self) {
        let mut stay = self.stay();
        stay.replaced = false;
        if stay.over {
            (self.tell)(News::Gone);
        }
    }

    fn stay(&self) -> MutexGuard<'_, Stay> {
        self.stay.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the connection carries it.
    pub fn play(self: &Arc<Self>, peer: &peer::Peer) {
        *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = peer.downgrade();
        let source = self.uplink.source();
        // Held to the end: an order that came meanwhile would find it attached to nothing.
        let mut outlets = source.outlets();
        let outlet = outlets.entry(self.id).or_default();
        outlet.taker = Arc::downgrade(self);
        let ((layer, best), layered) = (outlet.order, outlet.layered);
        self.layer.store(layer as u8, Ordering::Release);
        self.sends.store(layer as u8, Ordering::Release);
        // The one before may have listened to another copy.
        source
            .video
            .iter()
            .for_each(|fanout| drop(fanout.detach(self.id)));
        let [video, audio] = peer.forward(&source.origin);
        source.fanout(Kind::Video, layer).attach(self.id, video);
        source.fanout(Kind::Audio, layer).attach(self.id, audio);
        drop(outlets);
        if layered {
            self.serve(layer, best);
        }
    }

    /// Has the connection watch what its line bears.
    fn serve(&self, layer: Layer, best: Layer) {
        let peer = self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(peer) = peer.upgrade() {
            peer.serve(Ladder {
                rungs: RATES.to_vec(),
                at: layer as usize,
                top: best as usize,
            });
        }
    }
}

impl peer::Uplink for Taker {
    fn track(&self, _kind: Kind, _codec: Option<VideoCodec>) {}

    fn packet(&self, _kind: Kind, _packet: RtpPacket) {
        // It was agreed that nothing comes this way.
    }

    fn sender_report(&self, _kind: Kind, _ntp: NtpTime, _rtp: u32) {}

    fn keyframe_requested(&self) {
        self.uplink.keyframe_awaited(of(&self.sends));
    }

    fn keyframe_missed(&self, layer: Layer) {
        self.uplink.keyframe_awaited(layer);
    }

    fn layer(&self) -> Layer {
        of(&self.layer)
    }

    fn sends(&self, layer: Layer) {
        let source = self.uplink.source();
        let _orders = source.outlets();
        self.sends.store(layer as u8, Ordering::Release);
        if of(&self.layer) != layer {
            // Another order came just now: they wait for the other copy.
            return;
        }
        for other in Layer::ALL.into_iter().filter(|other| *other != layer) {
            source.fanout(Kind::Video, other).detach(self.id);
        }
    }

    fn line(&self, rung: usize) {
        let layer = Layer::ALL.get(rung).copied().unwrap_or_default();
        let stay = self.stay();
        if !stay.replaced {
            (self.tell)(News::Bears(layer));
        }
    }

    fn state(&self, state: peer::State) {
        if matches!(state, peer::State::Closed | peer::State::CutOff) {
            // Told under the lock: nobody is replaced in between.
            let mut stay = self.stay();
            stay.over = true;
            if !stay.replaced {
                (self.tell)(News::Gone);
            }
        }
    }

    fn bandwidth(&self, _bits_per_second: u64) {
        // What is sent is measured by ourselves.
    }

    fn traffic(&self) -> Arc<peer::Traffic> {
        self.traffic.clone()
    }
}

/// The copy of the picture that was noted.
fn of(noted: &AtomicU8) -> Layer {
    match noted.load(Ordering::Acquire) {
        0 => Layer::Half,
        _ => Layer::Whole,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::fanout::{Receiver, listener};

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

    fn listen(source: &Source, kind: Kind) -> Receiver<ForwardedPacket> {
        let (listener, receiver) = listener();
        let fanout = source.fanout(kind, Layer::Whole);
        fanout.attach(ListenerId(1), listener);
        receiver
    }

    #[test]
    fn who_may_not_be_heard_or_seen_is_not() {
        let source = Source::default();
        source.track(Some(VideoCodec::Vp8));
        let mut video = listen(&source, Kind::Video);
        let mut audio = listen(&source, Kind::Audio);
        let send = |n| {
            source.packet(Kind::Video, Layer::Whole, &packet(n, true));
            source.packet(Kind::Audio, Layer::Whole, &packet(n, true));
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
        let alone =
            (1..50).filter(|n| source.packet(Kind::Video, Layer::Whole, &packet(*n, false)));
        assert_eq!(alone.count(), 0, "nobody waits");
        let mut taken = listen(&source, Kind::Video);
        let asked =
            (50..80).filter(|n| source.packet(Kind::Video, Layer::Whole, &packet(*n, false)));
        assert_eq!(asked.collect::<Vec<_>>(), [50, 66]);
        assert!(taken.try_recv().is_err());
        assert!(!source.packet(Kind::Video, Layer::Whole, &packet(80, true)));
        assert!(!source.packet(Kind::Video, Layer::Whole, &packet(81, false)));
        assert_eq!(taken.try_recv().unwrap().packet.sequence, 80);
        source.end();
        assert_eq!(source.takers(), 0);
        assert_eq!(taken.try_recv().unwrap().packet.sequence, 81);
        assert!(taken.try_recv().is_err());
    }
}
