//! What a connection's driver and the tasks around it share: packets on their way out, what was
//! negotiated, and where news go.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rtc::interceptor::Packet;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use tokio::sync::watch;

use super::Uplink;
use super::channel::Talk;
use super::line::Ladder;
use super::sdp::Negotiated;
use super::wire::Wire;
use crate::clock::{MediaTime, NtpTime};
use crate::media::{
    AUDIO_CLOCK, AudioLevel, Kind, Layer, Rotation, SharedPicture, VIDEO_CLOCK, VideoCodec,
};
use crate::stats::Stats;

/// Packets that the driver has not taken for this long are dropped, and all behind them: a live
/// picture this late is worth less than what it would delay.
const OUTBOX_AGE: Duration = Duration::from_millis(300);
/// At most one keyframe is asked for in this time: an encoder needs it to make one.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(500);

/// One per connection.
pub(super) struct Link {
    /// Wakes the driver.
    pub wire: Arc<Wire>,
    /// Where news go.
    pub uplink: Arc<dyn Uplink>,
    /// Where drops are counted.
    pub stats: Arc<Stats>,
    /// What we send.
    pub audio: Stream,
    /// What we send.
    pub video: Stream,
    /// RFC 3550 CNAME and msid stream: audio and video share it, so receivers play them in sync.
    pub cname: String,
    /// The data channel.
    pub talk: Talk,
    /// Where what is sent is not made here: the time lines it is on, of sound and of pictures.
    lines: Mutex<[Option<(NtpTime, u32)>; 2]>,
    /// Source of the video that is received; 0 is none.
    pub remote_video: AtomicU32,
    /// Of its half copy.
    remote_half: AtomicU32,
    negotiated: Mutex<Arc<Negotiated>>,
    ladder: Mutex<Ladder>,
    /// How often the ladder was set.
    ladders: AtomicU64,
    outbox: Mutex<Outbox>,
    connected: AtomicBool,
    closed: watch::Sender<bool>,
}

/// An outgoing stream's names, random as RFC 3550 wants them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    /// Of the media.
    pub ssrc: u32,
    /// Of its retransmissions.
    pub rtx: u32,
    /// What the RTP clock showed at media time zero.
    pub base: u32,
    /// The first packet's.
    pub sequence: u16,
    /// Hz.
    pub clock: u32,
}

impl Stream {
    fn random(clock: u32) -> Self {
        Self {
            ssrc: rand::random(),
            rtx: rand::random(),
            base: rand::random(),
            sequence: rand::random(),
            clock,
        }
    }

    /// What the RTP clock shows at `at`.
    pub fn rtp_time(&self, at: MediaTime) -> u32 {
        self.base.wrapping_add(at.rtp_ticks(self.clock) as u32)
    }
}

/// A packet without what only the driver's side knows: payload type and sequence number.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Which stream.
    pub kind: Kind,
    /// Last of a picture, first of a talk spurt.
    pub marker: bool,
    /// On the wire.
    pub timestamp: u32,
    /// Media.
    pub payload: Bytes,
    /// RFC 6464, for those who negotiated it.
    pub level: Option<AudioLevel>,
    /// On the first packet of a picture: the picture, to measure its latency.
    pub first_of: Option<SharedPicture>,
    /// Of a packet that was not made here.
    pub forwarded: Option<Passed>,
}

/// What a packet that somebody else made keeps of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed {
    /// How far behind the first packet that was sent: where some are missing or late, the receiver
    /// is to see that.
    pub number: u16,
    /// How its receiver has to turn the picture.
    pub rotation: Option<Rotation>,
    /// When it arrived here.
    pub arrived: MediaTime,
}

#[derive(Debug, Default)]
struct Outbox {
    packets: VecDeque<(MediaTime, Outgoing)>,
    keyframe_wanted: [bool; 2],
    keyframe_asked: [Option<MediaTime>; 2],
    odd: Vec<Packet>,
}

/// The outbox was full: everything in it is gone, the packets just given included.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Behind;

impl Link {
    /// Of a connection that is about to be.
    pub fn new(uplink: Arc<dyn Uplink>, stats: Arc<Stats>) -> Arc<Self> {
        Arc::new(Self {
            wire: Arc::new(Wire::counted(uplink.traffic())),
            uplink,
            stats,
            audio: Stream::random(AUDIO_CLOCK),
            video: Stream::random(VIDEO_CLOCK),
            cname: format!("quilt-{:016x}", rand::random::<u64>()),
            talk: Talk::default(),
            lines: Mutex::default(),
            remote_video: AtomicU32::new(0),
            remote_half: AtomicU32::new(0),
            negotiated: Mutex::default(),
            ladder: Mutex::default(),
            ladders: AtomicU64::new(0),
            outbox: Mutex::default(),
            connected: AtomicBool::new(false),
            closed: watch::Sender::new(false),
        })
    }

    /// The stream of a kind.
    pub fn stream(&self, kind: Kind) -> &Stream {
        match kind {
            Kind::Audio => &self.audio,
            Kind::Video => &self.video,
        }
    }

    /// What is sent is not made here: its RTP clock shows `rtp` when the sender's wall clock is `ntp`.
    pub fn set_line(&self, kind: Kind, line: Option<(NtpTime, u32)>) {
        lock(&self.lines)[kind as usize] = line;
    }

    /// See [`Link::set_line`].
    pub fn line(&self, kind: Kind) -> Option<(NtpTime, u32)> {
        lock(&self.lines)[kind as usize]
    }

    /// What was agreed on last.
    pub fn negotiated(&self) -> Arc<Negotiated> {
        lock(&self.negotiated).clone()
    }

    /// It was agreed on something.
    pub fn set_negotiated(&self, negotiated: Negotiated) {
        *lock(&self.negotiated) = Arc::new(negotiated);
    }

    /// Sends video in this codec from now on; whether that was agreed on.
    pub fn send_in(&self, codec: VideoCodec) -> bool {
        let mut negotiated = lock(&self.negotiated);
        let format = negotiated.video_in(codec).cloned();
        let sends = negotiated.sending_video.is_some();
        let Some(format) = format.filter(|_| sends) else {
            return false;
        };
        *negotiated = Arc::new(Negotiated {
            sending_video: Some(format),
            ..Negotiated::clone(&negotiated)
        });
        true
    }

    /// The other side is to be given this.
    pub fn set_ladder(&self, ladder: Ladder) {
        *lock(&self.ladder) = ladder;
        self.ladders.fetch_add(1, Ordering::Release);
    }

    /// What the other side is to be given, if that was set since version `known`.
    pub fn ladder(&self, known: u64) -> Option<(u64, Ladder)> {
        let version = self.ladders.load(Ordering::Acquire);
        (version != known).then(|| (version, lock(&self.ladder).clone()))
    }

    /// Whether packets can be sent.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Packets can, or cannot, be sent from now on. Returns what was so before.
    pub fn set_connected(&self, connected: bool) -> bool {
        self.connected.swap(connected, Ordering::Relaxed)
    }

    /// Hands packets to the driver. Never waits.
    pub fn send(
        &self,
        now: MediaTime,
        packets: impl Iterator<Item = Outgoing>,
    ) -> Result<(), Behind> {
        let sent = lock(&self.outbox).push(now, packets);
        match sent {
            Ok(()) => {
                self.wire.ring();
                Ok(())
            }
            Err(dropped) => {
                self.stats.dropped("outbox", dropped);
                Err(Behind)
            }
        }
    }

    /// Asks the other side for a keyframe, unless it was asked just now or sends no video.
    pub fn request_keyframe(&self, now: MediaTime, layer: Layer) {
        if self.remote(layer).load(Ordering::Relaxed) == 0 {
            return;
        }
        if lock(&self.outbox).want_keyframe(now, layer) {
            self.wire.ring();
        }
    }

    /// Source of a copy of the picture that is received; 0 is none.
    pub fn remote(&self, layer: Layer) -> &AtomicU32 {
        match layer {
            Layer::Whole => &self.remote_video,
            Layer::Half => &self.remote_half,
        }
    }

    /// Asks the other side to send at most so much in all, if it sends video.
    pub fn limit(&self, bits_per_second: u32) {
        let source = self.remote_video.load(Ordering::Relaxed);
        if source != 0 && self.is_connected() {
            self.send_odd(Packet::Rtcp(vec![Box::new(
                ReceiverEstimatedMaximumBitrate {
                    sender_ssrc: self.video.ssrc,
                    bitrate: bits_per_second as f32,
                    ssrcs: vec![source],
                },
            )]));
        }
    }

    /// Hands the driver a packet that goes out as it is.
    pub fn send_odd(&self, packet: Packet) {
        lock(&self.outbox).odd.push(packet);
        self.wire.ring();
    }

    /// For the driver's side: moves what waits into `packets`; of which copies a keyframe is wanted,
    /// and what goes out as it is.
    pub fn take(&self, packets: &mut VecDeque<Outgoing>) -> ([bool; 2], Vec<Packet>) {
        let mut outbox = lock(&self.outbox);
        packets.extend(outbox.packets.drain(..).map(|(_, packet)| packet));
        let keyframe = std::mem::take(&mut outbox.keyframe_wanted);
        (keyframe, std::mem::take(&mut outbox.odd))
    }

    /// The connection is over: ends [`Link::until_closed`].
    pub fn close(&self) {
        self.set_connected(false);
        self.closed.send_replace(true);
        self.talk.close();
        lock(&self.outbox).packets.clear();
    }

    /// Whether the connection is over.
    pub fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Waits for the end.
    pub async fn until_closed(&self) {
        // The sender lives as long as this.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }
}

impl Outbox {
    fn push(&mut self, now: MediaTime, packets: impl Iterator<Item = Outgoing>) -> Result<(), u64> {
        if let Some((since, _)) = self.packets.front()
            && now.since(*since) > OUTBOX_AGE
        {
            let dropped = self.packets.len() + packets.count();
            self.packets.clear();
            return Err(dropped as u64);
        }
        self.packets.extend(packets.map(|packet| (now, packet)));
        Ok(())
    }

    fn want_keyframe(&mut self, now: MediaTime, layer: Layer) -> bool {
        let layer = layer as usize;
        if let Some(asked) = self.keyframe_asked[layer]
            && now.since(asked) < KEYFRAME_INTERVAL
        {
            return false;
        }
        self.keyframe_asked[layer] = Some(now);
        self.keyframe_wanted[layer] = true;
        true
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is under these locks is whole between any two statements.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packets(n: usize) -> impl Iterator<Item = Outgoing> {
        (0..n).map(|n| Outgoing {
            kind: Kind::Video,
            marker: false,
            timestamp: n as u32,
            payload: Bytes::new(),
            level: None,
            first_of: None,
            forwarded: None,
        })
    }

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    #[test]
    fn rtp_time_goes_on_for_days() {
        let stream = Stream::random(VIDEO_CLOCK);
        let mut last = stream.rtp_time(ms(0));
        // It wraps seven times.
        for at in (40..4 * 86_400_000).step_by(40) {
            let next = stream.rtp_time(ms(at));
            assert_eq!(next.wrapping_sub(last), 3_600, "at {at} ms");
            last = next;
        }
    }

    #[test]
    fn an_outbox_nobody_empties_is_bounded_in_time() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(ms(0), packets(2)), Ok(()));
        assert_eq!(outbox.push(ms(300), packets(2)), Ok(()));
        assert_eq!(outbox.push(ms(301), packets(3)), Err(7));
        assert!(outbox.packets.is_empty());
        assert_eq!(outbox.push(ms(302), packets(1)), Ok(()));
    }

    #[test]
    fn keyframes_are_asked_for_twice_a_second_at_most() {
        let mut outbox = Outbox::default();
        let asked =
            [0, 100, 499, 500, 900, 1000].map(|at| outbox.want_keyframe(ms(at), Layer::Whole));
        assert_eq!(asked, [true, false, false, true, false, true]);
        assert!(outbox.want_keyframe(ms(1_001), Layer::Half), "another one");
    }
}
