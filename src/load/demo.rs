//! Synthetic participants for `quilt serve --demo`: they come in through the same door as
//! everybody, sway, blink, and speak in turn. All is made beforehand and looped, so they cost
//! little more than their packets; they do not receive.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use super::audio;
use super::client::{Client, Entry, Material};
use super::clip::{Clip, Settings};
use super::persona::{Face, PERSONAS};
use super::publisher::Pace;
use super::voice;
use crate::clock;
use crate::gst::Library;
use crate::id::{DisplayName, RoomName};
use crate::media::{Quality, Size, VideoCodec};

const SIZE: Size = Size::new(640, 360);
const FPS: u32 = 25;
/// Flat colours need little.
const BITRATE: u32 = 400_000;
/// How long one speaks, seconds.
const TURN: u32 = 5;
/// Before the first word and after the last one of a turn, seconds.
const PAUSE: f32 = 0.4;
/// Somebody who blinks does it about every so many pictures, for four pictures.
const BLINK: u32 = 87;
/// The server may still be starting, or restarting: try again after this long.
const RETRY: Duration = Duration::from_secs(2);

/// Keeps up to four synthetic participants in a room of the server at `url` until `stop`
/// resolves. Odd ones send VP8, even ones H.264.
///
/// # Errors
/// When their pictures or voices cannot be made. A lost connection is only a reason to join again.
pub async fn synthetic(
    url: &str,
    room: RoomName,
    count: usize,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let personas = &PERSONAS[..count.min(PERSONAS.len())];
    let mut making = vec![];
    for index in 0..personas.len() {
        making.push(tokio::task::spawn_blocking(move || make(index)));
    }
    let mut people = tokio::task::JoinSet::new();
    for (index, material) in making.into_iter().enumerate() {
        let material = material.await.context("making a synthetic participant")??;
        let entry = Entry {
            url: url.into(),
            room: room.clone(),
            name: DisplayName::new(personas[index].name).context("naming a participant")?,
            sends: Some(material.clip.settings.codec),
            receives: None,
            quality: Quality::Auto,
        };
        people.spawn(stay(entry, material));
    }
    tokio::select! {
        () = stop => {}
        Some(ended) = people.join_next() => ended.context("a synthetic participant failed")?,
    }
    people.shutdown().await;
    Ok(())
}

/// In the room as long as it can be, and back in it when it could not.
async fn stay(entry: Entry, material: Material) {
    let mut pause = Duration::ZERO;
    loop {
        tokio::time::sleep(pause).await;
        pause = RETRY;
        let mut client = match Client::join(entry.clone(), None).await {
            Ok(client) => client,
            Err(error) => {
                tracing::warn!("{} does not join: {error}", entry.name);
                continue;
            }
        };
        let length = material.clip.pictures.len() as u32;
        let pace = Pace::in_step(clock::now(), FPS, length);
        client.publish(material.clone(), pace);
        let why = client.until_ended().await;
        tracing::info!("{} joins again: {why}", entry.name);
    }
}

fn make(index: usize) -> anyhow::Result<Material> {
    let persona = &PERSONAS[index];
    let seconds = TURN * PERSONAS.len() as u32;
    let from = (index as u32 * TURN) as f32 + PAUSE;
    let to = from + TURN as f32 - 2.0 * PAUSE;
    let pcm = voice::turn(index as u64 + 1, persona.pitch, seconds, from, to);
    let codec = if index.is_multiple_of(2) {
        VideoCodec::H264
    } else {
        VideoCodec::Vp8
    };
    let settings = Settings {
        codec,
        size: SIZE,
        fps: FPS,
        bitrate: BITRATE,
        // One a second, because the loop never jumps.
        keyframes: FPS,
    };
    let length = seconds * FPS;
    let clip = Clip::encode(&Library::embedded(), settings, length, |number, picture| {
        let face = Face {
            // Nobody sways as the neighbour does.
            turn: number as f32 / length as f32 + index as f32 * 0.27,
            open: voice::openness(&pcm, number as f32 / FPS as f32),
            blink: (number + index as u32 * 23) % BLINK < 4,
        };
        persona.draw(face, picture);
    })?;
    Ok(Material {
        source: index as u8,
        clip: Arc::new(clip),
        track: Arc::new(audio::encode(&pcm)?),
        log: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::starts_keyframe;

    #[test]
    fn pictures_have_a_keyframe_a_second_and_one_speaks_in_turn() {
        let seconds = (TURN * PERSONAS.len() as u32) as usize;
        let material = make(1).unwrap();
        let clip = &material.clip;
        assert_eq!(clip.pictures.len(), seconds * FPS as usize);
        let is_keyframe = |picture: &usize| {
            let mut payloads = clip.pictures[*picture].iter();
            payloads.any(|payload| starts_keyframe(clip.settings.codec, payload))
        };
        let keyframes: Vec<usize> = (0..clip.pictures.len()).filter(is_keyframe).collect();
        let every_second: Vec<usize> = (0..seconds).map(|s| s * FPS as usize).collect();
        assert_eq!(keyframes, every_second);

        let packets = &material.track.packets;
        assert_eq!(packets.len(), seconds * 50);
        let turn = 50 * TURN as usize..2 * 50 * TURN as usize;
        let voiced = |range: std::ops::Range<usize>| {
            packets[range]
                .iter()
                .filter(|packet| packet.level.voice)
                .count()
        };
        assert!(voiced(turn.clone()) > 100, "{}", voiced(turn.clone()));
        assert_eq!(voiced(0..turn.start) + voiced(turn.end..packets.len()), 0);
    }
}
