//! What a publisher sends, and the loop that sends it in time, by whatever way it goes.

use std::sync::Arc;

use bytes::Bytes;

use super::audio::Track;
use super::clip::Clip;
use super::publisher::{Due, Pace};
use super::sent::{Log, Sent};
use crate::clock;
use crate::media::{AUDIO_CLOCK, AudioLevel, Kind, VIDEO_CLOCK};

/// What a publisher sends.
#[derive(Clone)]
pub struct Material {
    /// Its number in marks.
    pub source: u8,
    /// Pictures.
    pub clip: Arc<Clip>,
    /// Sound.
    pub track: Arc<Track>,
    /// Where it notes what it sent; only sources that are marked.
    pub log: Option<Arc<Log>>,
}

/// Where what is sent goes.
pub trait Outlet: Send + Sync + 'static {
    /// Whether a keyframe was asked for since the last call.
    fn take_keyframe_request(&self) -> bool;
    /// Whether anybody sees pictures.
    fn is_seen(&self) -> bool;
    /// The packets of one picture or one of sound; `timestamp` is on the media time line, in ticks
    /// of the kind's RTP clock, `marker` for the last.
    fn send(
        &self,
        kind: Kind,
        payloads: &[Bytes],
        timestamp: u32,
        marker: bool,
        level: Option<AudioLevel>,
    );
}

/// Sends until it is dropped.
pub async fn publish(outlet: Arc<impl Outlet>, material: Material, mut pace: Pace) {
    loop {
        tokio::time::sleep_until(pace.next().instant().into()).await;
        if outlet.take_keyframe_request() {
            pace.keyframe_requested();
        }
        while let Some(due) = pace.due(clock::now()) {
            match due {
                Due::Picture {
                    slot,
                    frame,
                    captured,
                } => {
                    if !outlet.is_seen() {
                        continue;
                    }
                    let payloads = &material.clip.pictures[frame as usize];
                    let timestamp = captured.rtp_ticks(VIDEO_CLOCK) as u32;
                    outlet.send(Kind::Video, payloads, timestamp, true, None);
                    if let Some(log) = &material.log {
                        let at = clock::now();
                        log.picture(material.source, frame as u16, Sent { slot, at });
                    }
                }
                Due::Audio {
                    tick,
                    captured,
                    beep,
                } => {
                    let packets = &material.track.packets;
                    let packet = &packets[(tick % packets.len() as u64) as usize];
                    let payloads = std::slice::from_ref(&packet.payload);
                    let timestamp = captured.rtp_ticks(AUDIO_CLOCK) as u32;
                    let level = Some(packet.level);
                    outlet.send(Kind::Audio, payloads, timestamp, tick == 0, level);
                    if let (Some(slot), Some(log)) = (beep, &material.log) {
                        let at = clock::now();
                        log.beep(material.source, Sent { slot, at });
                    }
                }
            }
        }
    }
}
