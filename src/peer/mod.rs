//! The WebRTC transport: browsers and players on one side, RTP payloads on ours.
//!
//! Everything that knows the `webrtc` and `rtc` crates is in here. How a packet goes:
//!
//! ```text
//! reader ▸ port (mux) ▸ routes ▸ virtual socket ▸ webrtc's driver ▸ interceptors (rtx, tap) ▸ Uplink
//!                              ▸ feedback ▸ link
//! Fanout's round ▸ outbound ▸ link ▸ lane ▸ port
//!                                  ▸ tap ▸ webrtc's driver ▸ virtual socket ▸ port
//! ```
//!
//! - One UDP port and one TCP port of the same number serve all connections ([`mux`], [`mux_tcp`]).
//!   UDP is read by a thread of its own ([`reader`]); [`routes`] decides whose a datagram is, and that
//!   strangers' datagrams are nobody's; [`flood`], how much one client may send.
//! - Media does not go through the library's track objects: the [`tap`], its innermost interceptor,
//!   hands packets to the [`Uplink`] on the driver's task, and makes sender reports, as a function of
//!   media time.
//! - Each wake of the driver is dear, and a viewer would cause seventy a second. So packets go out
//!   by the [`lane`]: completed ([`outward`], [`head`]), protected ([`srtp`]) and sent on the round
//!   that a fan-out makes of all who get the same, where the driver was seen to send ([`way`]), with
//!   the keys that it was seen to make ([`keys`]). They go by the driver where that is not known, over
//!   TCP, and by any but the one cipher.
//! - Receivers' [`feedback`] goes past the driver likewise. It says what became of each packet
//!   ([`arrivals`], [`delivery`]), and the [`line`](mod@line) decides by it how much a client can be
//!   sent. It is of single packets (transport-wide congestion control). An estimate of the client's own
//!   (REMB) was measured beside it (`tests/browser/remb.measure.mjs`): Chromium's says 60 to 80 kbit/s
//!   of a line of 300 that gets too much, which would mean sound only, takes five seconds and more to
//!   see that a bottleneck is gone, and of a free line never says twice what is sent. What did not
//!   arrive is sent again out of the [`history`].
//! - What somebody else sent is passed on by [`mod@forward`] instead of [`outbound`].
//! - A client may send its picture in two sizes (simulcast, RFC 8853): which packet is of which is told
//!   by [`layers`], for the library's own way ends in its track objects.
//! - [`sdp`] is what the server has to say about session descriptions. The library negotiates.
//! - A connection is owned by one task ([`life`]); a [`Peer`] is its inbox. A data channel has
//!   another ([`channel`]).
//! - [`client`] is the other side, for the load generator and tests.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::NtpTime;
use crate::media::{Kind, Layer, RtpPacket, VideoCodec};

mod arrivals;
pub mod bare;
mod channel;
pub mod client;
mod connection;
mod delivery;
mod engine;
mod error;
mod feedback;
mod flood;
mod forward;
mod head;
mod history;
mod inbound;
mod introduced;
mod keys;
mod lane;
mod layers;
mod library;
mod life;
mod line;
mod link;
mod mux;
mod mux_tcp;
mod negotiation;
mod outbound;
mod outward;
mod reader;
mod reports;
mod routes;
mod rtx;
mod runtime;
mod sdp;
mod socket;
mod sources;
mod srtp;
mod streams;
mod stun;
mod tap;
#[cfg(test)]
mod tests;
mod traffic;
mod vp8;
mod way;
mod wire;

pub use channel::Said;
pub use connection::{Peer, WeakPeer};
pub use engine::{Engine, Settings, addresses};
pub use error::Error;
pub use forward::Origin;
pub use line::Ladder;
pub use sdp::{Fragment, OneWay, SdpError, Way};
pub use traffic::{Histogram, Passed, Traffic, Volume};

/// Takes a candidate that a client trickles. It is checked and not used: the client reaches us,
/// and its checks tell us its addresses.
///
/// # Errors
/// If it is no candidate, or of an address where nobody can be.
pub fn check_candidate(candidate: &str) -> Result<(), Error> {
    Ok(sdp::check_candidate(candidate)?)
}

/// How to serve one client.
#[derive(Debug, Clone)]
pub struct Options {
    /// The codec of the downlink, if the client offers it. Else H.264 (constrained baseline,
    /// packetization-mode 1) if offered, else VP8.
    pub prefer: Option<VideoCodec>,
    /// How long a connection in trouble may take to come back. It takes 2.5 s to notice.
    pub patience: Duration,
    /// Serve a data channel, if the client offers one.
    pub channel: bool,
}

impl Default for Options {
    /// For a client of which nothing but its media is known: killed, it is gone after 5 s.
    fn default() -> Self {
        Self {
            prefer: None,
            patience: Duration::from_millis(2_500),
            channel: false,
        }
    }
}

/// How a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Media flows.
    Connected,
    /// Nothing has been heard from the other side for some time; it may come back.
    Disconnected,
    /// Over; everything is freed. The last thing that is reported.
    Closed,
    /// Over likewise, because the other side sent more than anybody may.
    CutOff,
}

/// What happens on a connection. Called on its tasks, which also keep it alive: must not block.
pub trait Uplink: Send + Sync + 'static {
    /// A track starts: before its first packet, and again when its codec or source changes.
    /// `codec` is `None` for audio (Opus).
    fn track(&self, kind: Kind, codec: Option<VideoCodec>);
    /// What the other side is to send its video in, if it can; none: as it likes. Asked when an offer
    /// is answered.
    fn wants(&self) -> Option<VideoCodec> {
        None
    }
    /// A packet of the track, retransmissions in their place (so possibly out of order).
    fn packet(&self, kind: Kind, packet: RtpPacket);
    /// A packet of the half copy of the picture, which some clients send beside the whole.
    fn half(&self, _codec: Option<VideoCodec>, _packet: RtpPacket) {}
    /// See [`Uplink::sender_report`]; of the half copy.
    fn half_report(&self, _ntp: NtpTime, _rtp: u32) {}
    /// Where somebody else's packets are sent on: which copy of the picture is to be.
    fn layer(&self) -> Layer {
        Layer::Whole
    }
    /// ... and that it is this one from now on.
    fn sends(&self, _layer: Layer) {}
    /// ... and that a copy comes which is to be, and cannot be begun with for want of a keyframe.
    fn keyframe_missed(&self, _layer: Layer) {}
    /// The sender says: at `ntp`, by its clock, the RTP clock of this track showed `rtp`.
    fn sender_report(&self, kind: Kind, ntp: NtpTime, rtp: u32);
    /// The other side needs a keyframe of the video we send (PLI or FIR).
    fn keyframe_requested(&self);
    /// The other side says that this part of what it was sent did not arrive; 0 to 1.
    fn not_received(&self, _part: f32) {}
    /// The connection's state changed.
    fn state(&self, state: State);
    /// The other side estimates that it can receive this much (REMB).
    fn bandwidth(&self, bits_per_second: u64);
    /// The other side's line bears this rung of the [`Ladder`] and no higher one, as far as is
    /// known.
    fn line(&self, _rung: usize) {}
    /// Where what goes over the wire is counted; asked once, as the connection begins.
    fn traffic(&self) -> Arc<Traffic> {
        Arc::default()
    }
}
