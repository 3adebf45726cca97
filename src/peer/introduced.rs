//! Introduces sources to an interceptor that would otherwise not know them.
//!
//! The library tells its interceptors about a source only if the description declares it, which
//! descriptions need not do (RFC 9429), and only under the codec it first came in. Without that
//! there are no NACKs, no receiver reports and no transport-wide feedback for it, and a browser
//! without that feedback sends a few hundred kbit/s at most.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use rtc::interceptor::{
    Interceptor, Packet, RTCPFeedback, RTPHeaderExtension, StreamInfo, TaggedPacket,
};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::error::Error;

use super::link::Link;
use super::sdp::{Payload, TRANSPORT_CC};
use crate::media::{AUDIO_CLOCK, Kind, VIDEO_CLOCK};

/// Sources known at a time: audio, video in two sizes, retransmissions of both, and as many again
/// after a change.
const SOURCES: usize = 10;

/// The interceptor around another.
pub(super) struct Introduced<T> {
    link: Arc<Link>,
    inner: T,
    known: VecDeque<u32>,
}

impl<T: Interceptor> Introduced<T> {
    /// Around `inner`.
    pub fn new(link: Arc<Link>, inner: T) -> Self {
        Self {
            link,
            inner,
            known: VecDeque::new(),
        }
    }

    fn introduce(&mut self, header: &rtp::Header) {
        if self.known.contains(&header.ssrc) {
            return;
        }
        let negotiated = self.link.negotiated();
        let payload_type = header.payload_type;
        let primary = match negotiated.payload(payload_type) {
            Some(Payload::Rtx(primary)) => primary,
            Some(Payload::Media(_)) => payload_type,
            None => return,
        };
        let Some(Payload::Media(codec)) = negotiated.payload(primary) else {
            return;
        };
        let kind = codec.kind();
        let extension = negotiated.track(kind).and_then(|track| track.transport_cc);
        // Holes in what repairs holes are not repaired.
        let repairable = kind == Kind::Video && primary == payload_type;
        let info = StreamInfo {
            ssrc: header.ssrc,
            payload_type,
            clock_rate: match kind {
                Kind::Audio => AUDIO_CLOCK,
                Kind::Video => VIDEO_CLOCK,
            },
            rtp_header_extensions: extension
                .map(|id| RTPHeaderExtension {
                    uri: TRANSPORT_CC.to_owned(),
                    id: id.into(),
                })
                .into_iter()
                .collect(),
            rtcp_feedback: ["transport-cc"]
                .into_iter()
                .chain(repairable.then_some("nack"))
                .map(|typ| RTCPFeedback {
                    typ: typ.to_owned(),
                    parameter: String::new(),
                })
                .collect(),
            ..Default::default()
        };
        self.bind_remote_stream(&info);
    }
}

impl<T: Interceptor> Protocol<TaggedPacket, TaggedPacket, ()> for Introduced<T> {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtp(packet) = &message.message.packet {
            self.introduce(&packet.header);
        }
        self.inner.handle_read(message)
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.inner.poll_read()
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.inner.handle_write(message)
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.inner.poll_write()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.inner.handle_timeout(now)
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.inner.poll_timeout()
    }

    fn close(&mut self) -> Result<(), Error> {
        self.inner.close()
    }
}

impl<T: Interceptor> Interceptor for Introduced<T> {
    fn bind_local_stream(&mut self, info: &StreamInfo) {
        self.inner.bind_local_stream(info);
    }

    fn unbind_local_stream(&mut self, info: &StreamInfo) {
        self.inner.unbind_local_stream(info);
    }

    fn bind_remote_stream(&mut self, info: &StreamInfo) {
        if self.known.len() == SOURCES
            && let Some(ssrc) = self.known.pop_front()
        {
            self.inner.unbind_remote_stream(&StreamInfo {
                ssrc,
                ..Default::default()
            });
        }
        self.known.push_back(info.ssrc);
        self.inner.bind_remote_stream(info);
    }

    fn unbind_remote_stream(&mut self, info: &StreamInfo) {
        self.known.retain(|ssrc| *ssrc != info.ssrc);
        self.inner.unbind_remote_stream(info);
    }
}
