//! From a fan-out to the wire: what one viewer's packets have of their own.

use std::sync::Arc;

use super::link::{Behind, Link, Outgoing};
use crate::clock;
use crate::fanout::Outlet;
use crate::media::{EncodedAudio, EncodedPicture, Fanned, Kind, SharedPicture, VideoCodec};

/// Sends pictures until the connection ends. A decoder starts at a keyframe; one is asked for where
/// the stream was broken on our side.
pub(super) struct Pictures {
    link: Arc<Link>,
    gate: Gate,
}

impl Pictures {
    /// On this connection.
    pub fn on(link: Arc<Link>) -> Self {
        let gate = Gate::default();
        Self { link, gate }
    }
}

impl Outlet<EncodedPicture> for Pictures {
    fn take(&mut self, picture: &SharedPicture) -> bool {
        let link = &self.link;
        let negotiated = link.negotiated();
        let sending = negotiated.sending_video.as_ref();
        let codec = sending.and_then(|format| format.codec.video());
        match self.gate.pass(picture, codec, link.is_connected()) {
            Pass::Send => {
                let timestamp = link.video.rtp_time(picture.at);
                if link.send(clock::now(), packets(picture, timestamp)) == Err(Behind) {
                    self.gate = Gate::default();
                    link.uplink.keyframe_requested();
                }
            }
            Pass::Wait { ask } => {
                if ask {
                    link.uplink.keyframe_requested();
                }
            }
            Pass::WrongCodec => {
                // What follows in the right one builds on it.
                self.gate = Gate::default();
                link.stats.dropped(EncodedPicture::QUEUE, 1);
            }
        }
        !link.is_closed()
    }
}

/// Sends sound until the connection ends.
pub(super) struct Sound {
    link: Arc<Link>,
    talks: bool,
}

impl Sound {
    /// On this connection.
    pub fn on(link: Arc<Link>) -> Self {
        let talks = false;
        Self { link, talks }
    }
}

impl Outlet<EncodedAudio> for Sound {
    fn take(&mut self, packet: &Arc<EncodedAudio>) -> bool {
        let link = &self.link;
        if link.is_connected() {
            let outgoing = Outgoing {
                kind: Kind::Audio,
                marker: !self.talks,
                timestamp: link.audio.rtp_time(packet.at),
                payload: packet.payload.clone(),
                level: None,
                first_of: None,
                forwarded: None,
            };
            self.talks = link.send(clock::now(), std::iter::once(outgoing)).is_ok();
        }
        !link.is_closed()
    }
}

fn packets(picture: &SharedPicture, timestamp: u32) -> impl Iterator<Item = Outgoing> {
    let last = picture.payloads.len().wrapping_sub(1);
    let payloads = picture.payloads.iter().enumerate();
    payloads.map(move |(index, payload)| Outgoing {
        kind: Kind::Video,
        marker: index == last,
        timestamp,
        payload: payload.clone(),
        level: None,
        first_of: (index == 0 && !picture.arrivals.is_empty()).then(|| picture.clone()),
        forwarded: None,
    })
}

/// Whether a picture can be sent.
#[derive(Debug, Default)]
struct Gate {
    flowing: bool,
    asked: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Pass {
    Send,
    /// For the connection, or for a keyframe; `ask` for one, the first time it is needed.
    Wait {
        ask: bool,
    },
    WrongCodec,
}

impl Gate {
    fn pass(
        &mut self,
        picture: &EncodedPicture,
        codec: Option<VideoCodec>,
        connected: bool,
    ) -> Pass {
        if codec != Some(picture.codec) {
            return Pass::WrongCodec;
        }
        if !connected {
            *self = Self::default();
            return Pass::Wait { ask: false };
        }
        self.flowing |= picture.keyframe;
        if self.flowing {
            return Pass::Send;
        }
        Pass::Wait {
            ask: !std::mem::replace(&mut self.asked, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MediaTime;
    use bytes::Bytes;

    fn picture(keyframe: bool) -> SharedPicture {
        Arc::new(EncodedPicture {
            codec: VideoCodec::Vp8,
            at: MediaTime(0),
            keyframe,
            payloads: vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")],
            arrivals: vec![MediaTime(1)],
            layout: 0,
        })
    }

    #[test]
    fn a_viewer_starts_at_a_keyframe_after_connecting() {
        let mut gate = Gate::default();
        let vp8 = Some(VideoCodec::Vp8);
        assert_eq!(
            gate.pass(&picture(true), vp8, false),
            Pass::Wait { ask: false }
        );
        assert_eq!(
            gate.pass(&picture(false), vp8, true),
            Pass::Wait { ask: true }
        );
        assert_eq!(
            gate.pass(&picture(false), vp8, true),
            Pass::Wait { ask: false }
        );
        assert_eq!(gate.pass(&picture(true), vp8, true), Pass::Send);
        assert_eq!(gate.pass(&picture(false), vp8, true), Pass::Send);
        assert_eq!(
            gate.pass(&picture(false), vp8, false),
            Pass::Wait { ask: false }
        );
        assert_eq!(
            gate.pass(&picture(false), vp8, true),
            Pass::Wait { ask: true }
        );
    }

    #[test]
    fn another_codec_than_the_negotiated_is_not_sent() {
        let mut gate = Gate::default();
        for codec in [Some(VideoCodec::H264), None] {
            assert_eq!(gate.pass(&picture(true), codec, true), Pass::WrongCodec);
        }
    }

    #[test]
    fn the_marker_is_on_the_last_packet_and_the_picture_on_the_first() {
        let picture = picture(true);
        let packets: Vec<_> = packets(&picture, 9).collect();
        let seen: Vec<_> = packets
            .iter()
            .map(|p| (p.marker, p.first_of.is_some(), p.timestamp))
            .collect();
        assert_eq!(seen, [(false, true, 9), (true, false, 9)]);
    }
}
