//! What a connection's driver and the tasks around it share: packets on their way out, what was
//! negotiated, and where news go.
//!
//! Packets leave by the [`lane`](super::lane) where there is one, on the task of whoever sends them,
//! and else by the driver.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rtc::interceptor::Packet;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::sender_report::SenderReport;
use rtc::rtcp::source_description::SourceDescription;
use rtc::rtcp::transport_feedbacks::transport_layer_cc::TransportLayerCc;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::rtp;
use tokio::sync::watch;

use super::Uplink;
use super::channel::Talk;
use super::head;
use super::keys::Learned;
use super::lane::Lane;
use super::line::Ladder;
use super::outward::{Hopeless, Outward};
use super::sdp::Negotiated;
use super::wire::Wire;
use crate::clock::{MediaTime, NtpTime};
use crate::media::{
    AUDIO_CLOCK, AudioLevel, Kind, Layer, Rotation, SharedPicture, VIDEO_CLOCK, VideoCodec,
};
use crate::stats::Stats;

/// At most one keyframe is asked for in this time: an encoder needs it to make one. The decoders
/// ask half a second after the last time by their own clock, which on its way may become a little less.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(450);

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
    /// The keys, once there are any.
    pub learned: Arc<Learned>,
    /// Where what is sent is not made here: the time lines it is on, of sound and of pictures.
    lines: Mutex<[Option<(NtpTime, u32)>; 2]>,
    /// Source of the video that is received; 0 is none.
    pub remote_video: AtomicU32,
    /// Of its half copy.
    remote_half: AtomicU32,
    negotiated: Mutex<Arc<Negotiated>>,
    outward: Mutex<Outward>,
    requests: Mutex<Requests>,
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

/// A packet without what it gets on its way out: payload type, sequence number and extensions.
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

/// What the driver is to send besides.
#[derive(Debug, Default)]
struct Requests {
    keyframe_wanted: [bool; 2],
    keyframe_asked: [Option<MediaTime>; 2],
    odd: Vec<Packet>,
}

/// The driver is behind: all that waited for it is gone, the packets just given included. Of
/// pictures, it may have been some time ago, and be told now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Behind;

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Of keys there is to be no word.
        let link = &mut f.debug_struct("Link");
        link.field("cname", &self.cname).finish_non_exhaustive()
    }
}

impl Link {
    /// Of a connection that is about to be.
    pub fn new(uplink: Arc<dyn Uplink>, stats: Arc<Stats>) -> Arc<Self> {
        let (audio, video) = (Stream::random(AUDIO_CLOCK), Stream::random(VIDEO_CLOCK));
        Arc::new(Self {
            wire: Arc::new(Wire::counted(uplink.traffic())),
            uplink,
            stats,
            audio,
            video,
            cname: format!("quilt-{:016x}", rand::random::<u64>()),
            talk: Talk::default(),
            learned: Arc::default(),
            lines: Mutex::default(),
            remote_video: AtomicU32::new(0),
            remote_half: AtomicU32::new(0),
            negotiated: Mutex::default(),
            outward: Mutex::new(Outward::new(audio, video)),
            requests: Mutex::default(),
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

    /// Whether something is sent that is not made here.
    pub fn has_line(&self) -> bool {
        lock(&self.lines).iter().any(Option::is_some)
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
        lock(&self.outward).serve(ladder);
    }

    /// Whether packets can be sent.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// Packets can, or cannot, be sent from now on. Returns what was so before.
    pub fn set_connected(&self, connected: bool) -> bool {
        if !connected {
            self.wire.ways().forget();
        }
        self.connected.swap(connected, Ordering::Relaxed)
    }

    /// Sends packets, or hands them to the driver. Never waits.
    pub fn send(
        &self,
        now: MediaTime,
        packets: impl Iterator<Item = Outgoing>,
    ) -> Result<(), Behind> {
        let mut outward = lock(&self.outward);
        let mut packets = packets.peekable();
        let pictures = packets
            .peek()
            .is_some_and(|packet| packet.kind == Kind::Video);
        if pictures && outward.take_broken() {
            self.stats.dropped("outbox", packets.count() as u64);
            return Err(Behind);
        }
        let lane = match outward.waits() {
            true => None,
            false => self.lane(),
        };
        let Some(lane) = lane else {
            let sent = outward.wait(now, packets);
            drop(outward);
            return match sent {
                Ok(()) => {
                    self.wire.ring();
                    Ok(())
                }
                Err(dropped) => {
                    self.stats.dropped("outbox", dropped);
                    Err(Behind)
                }
            };
        };
        let negotiated = self.negotiated();
        let begins = !outward.is_active();
        outward.follow(now, &negotiated);
        let complete = packets.filter_map(|outgoing| {
            let packet = outward.complete(now, &negotiated, &outgoing)?;
            self.observe(now, &outgoing);
            Some(packet)
        });
        let complete: Vec<_> = complete.collect();
        self.stats.dropped("udp_out", lane.send(complete.iter()));
        drop(outward);
        if begins {
            // For the first report.
            self.wire.ring();
        }
        Ok(())
    }

    /// Sends again what the other side missed, or has a keyframe made where that is worth more.
    pub fn send_again(&self, now: MediaTime, nack: &TransportLayerNack) {
        let negotiated = self.negotiated();
        let mut outward = lock(&self.outward);
        match outward.again(now, &negotiated, nack) {
            Ok(packets) => self.pass(outward, packets),
            Err(Hopeless) => {
                drop(outward);
                self.uplink.keyframe_requested();
            }
        }
    }

    /// Sends the fillers that are due, if any are.
    pub fn fill(&self, now: MediaTime) {
        let mut outward = lock(&self.outward);
        if outward.wake().is_some_and(|due| due <= now) {
            let packets = outward.fill(now, &self.negotiated());
            self.pass(outward, packets);
        }
    }

    /// When [`Link::fill`] is due.
    pub fn wake(&self) -> Option<MediaTime> {
        lock(&self.outward).wake()
    }

    /// The other side tells what became of packets.
    pub fn told(&self, now: MediaTime, feedback: &TransportLayerCc) {
        let negotiated = self.negotiated();
        let mut outward = lock(&self.outward);
        outward.follow(now, &negotiated);
        let told = outward.told(now, feedback);
        let before = outward.wake();
        let packets = outward.fill(now, &negotiated);
        let wakes = outward.wake().is_some() && before.is_none();
        self.pass(outward, packets);
        if wakes {
            // The driver has the timer.
            self.wire.ring();
        }
        if let Some(carries) = told.carries.filter(|_| told.note) {
            self.stats.line.observe(carries);
        }
        if let Some(rung) = told.rung {
            let carries = told.carries;
            tracing::info!(connection = %self.cname, rung, carries, "line");
            self.uplink.line(rung);
        }
    }

    /// Sends packets that are complete, which nothing depends on the order of.
    fn pass(&self, mut outward: MutexGuard<'_, Outward>, packets: Vec<head::Packet>) {
        if packets.is_empty() {
            return;
        }
        match self.lane() {
            Some(lane) => self.stats.dropped("udp_out", lane.send(packets.iter())),
            None => {
                outward.wait_complete(packets);
                drop(outward);
                self.wire.ring();
            }
        }
    }

    /// Whether packets go by the lane.
    pub fn takes_lane(&self) -> bool {
        self.lane().is_some()
    }

    fn lane(&self) -> Option<Lane> {
        Lane::of(&self.learned, self.wire.ways())
    }

    /// A packet leaves, which tells how long it, or what it shows, was here.
    fn observe(&self, now: MediaTime, outgoing: &Outgoing) {
        if let Some(passed) = outgoing.forwarded {
            let latency = now.since(passed.arrived).as_secs_f64();
            self.stats.forward_latency.observe(latency);
            self.wire.traffic().forwarded(latency);
        }
        if let Some(picture) = &outgoing.first_of {
            for arrived in &picture.arrivals {
                let latency = now.since(*arrived).as_secs_f64();
                self.stats.video_latency.observe(latency);
                self.wire.traffic().mixed(latency);
            }
        }
    }

    /// Whether anything was sent.
    pub fn is_active(&self) -> bool {
        lock(&self.outward).is_active()
    }

    /// Sender reports of what is sent, and whose they are.
    pub fn reports(&self, at: MediaTime) -> Vec<(SenderReport, SourceDescription)> {
        let lines = [Kind::Audio, Kind::Video].map(|kind| (kind, self.line(kind)));
        let mut outward = lock(&self.outward);
        let reports = lines.into_iter().filter_map(|(kind, line)| {
            let sent = outward.sent(kind);
            sent.is_active().then(|| sent.report(at, line, &self.cname))
        });
        reports.collect()
    }

    /// Asks the other side for a keyframe, unless it was asked just now or sends no video.
    pub fn request_keyframe(&self, now: MediaTime, layer: Layer) {
        if self.remote(layer).load(Ordering::Relaxed) == 0 {
            return;
        }
        if lock(&self.requests).want_keyframe(now, layer) {
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
        lock(&self.requests).odd.push(packet);
        self.wire.ring();
    }

    /// For the driver's side: of which copies a keyframe is wanted, and what goes out as it is.
    pub fn take_requests(&self) -> ([bool; 2], Vec<Packet>) {
        let mut requests = lock(&self.requests);
        let keyframe = std::mem::take(&mut requests.keyframe_wanted);
        (keyframe, std::mem::take(&mut requests.odd))
    }

    /// For the driver's side: the packets that wait for it.
    pub fn take(&self, now: MediaTime) -> Vec<rtp::Packet> {
        let negotiated = self.negotiated();
        let mut outward = lock(&self.outward);
        outward.follow(now, &negotiated);
        let mut packets = Vec::new();
        while let Some((packet, made_of)) = outward.take(now, &negotiated) {
            if let Some(outgoing) = made_of {
                self.observe(now, &outgoing);
            }
            packets.push(packet.library());
        }
        packets
    }

    /// The connection is over: ends [`Link::until_closed`].
    pub fn close(&self) {
        self.set_connected(false);
        self.closed.send_replace(true);
        self.talk.close();
        lock(&self.outward).clear();
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

impl Requests {
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
    fn keyframes_are_asked_for_about_twice_a_second_at_most() {
        let mut requests = Requests::default();
        let asked =
            [0, 100, 449, 450, 899, 990].map(|at| requests.want_keyframe(ms(at), Layer::Whole));
        assert_eq!(asked, [true, false, false, true, false, true]);
        assert!(
            requests.want_keyframe(ms(1_001), Layer::Half),
            "another one"
        );
    }
}
