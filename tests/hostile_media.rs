//! Media as nobody should send them: whoever does is told, and nobody else notices.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod bystanders;
mod common;
mod support;

use std::time::{Duration, Instant};

use bystanders::{Call, FPS, SMALL, Villain, clip, sends};
use bytes::Bytes;
use quilt::load::audio;
use quilt::media::{Kind, Size, VideoCodec};
use quilt::peer::State;
use quilt::peer::client::{ClientOptions, Odd};
use quilt::stats::process_resident_bytes;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

/// How long each kind of trouble lasts.
const TROUBLE: Duration = Duration::from_secs(6);
/// What cannot be decoded is marked within this time of its beginning.
const MARKED: Duration = Duration::from_secs(5);
const NO_VIDEO: &str = "uplink_video_failed";
const NO_AUDIO: &str = "uplink_audio_failed";

type Pictures = Vec<Vec<Bytes>>;

/// A kind of trouble.
struct Bad {
    what: &'static str,
    pictures: Pictures,
    sound: Vec<Bytes>,
    /// What its sender is told; of what may work now and then, nothing is expected.
    marks: &'static [&'static str],
}

impl Bad {
    fn video(what: &'static str, pictures: Pictures, marks: &'static [&'static str]) -> Self {
        Self {
            what,
            pictures,
            sound: Vec::new(),
            marks,
        }
    }
}

/// Everybody sends what is theirs at the same time; those who are to be told are, in time and
/// once, and nobody is thrown out.
async fn suffer(call: &Call, codec: VideoCodec, bad: Vec<Bad>) {
    let before = process_resident_bytes();
    call.unnoticed("bad media", async {
        let began = Instant::now();
        let mut villains = Vec::new();
        for bad in bad {
            let options = ClientOptions {
                send_audio: !bad.sound.is_empty(),
                ..sends(codec)
            };
            let mut villain = Villain::join(&call.server, bad.what, options).await;
            villain.play(bad.pictures);
            if !bad.sound.is_empty() {
                villain.speak(bad.sound);
            }
            villains.push((villain, bad.what, bad.marks, Instant::now()));
        }
        for (villain, what, marks, since) in &mut villains {
            for mark in *marks {
                let after = villain
                    .told("code", mark)
                    .await
                    .saturating_duration_since(*since);
                println!("{what}: {mark} after {after:?}");
                assert!(after <= MARKED, "{what}: {mark} after {after:?}");
            }
        }
        tokio::time::sleep(TROUBLE.saturating_sub(began.elapsed())).await;
        for (villain, what, ..) in &villains {
            for mark in [NO_VIDEO, NO_AUDIO] {
                let told = villain.count("code", mark);
                assert!(told <= 2, "{what}: told {told} times within seconds");
            }
            assert_eq!(villain.count("type", "bye"), 0, "{what}");
            assert!(!villain.log.log().states.contains(&State::Closed), "{what}");
        }
    })
    .await;
    let grown = process_resident_bytes().saturating_sub(before);
    assert!(grown < 250 << 20, "{} MB", grown >> 20);
}

fn pictures(codec: VideoCodec) -> Pictures {
    clip(codec, SMALL, 7).pictures
}

/// Changes every payload.
fn spoilt(pictures: &Pictures, mut spoil: impl FnMut(&mut Vec<u8>)) -> Pictures {
    let mut payload = |payload: &Bytes| {
        let mut bytes = payload.to_vec();
        spoil(&mut bytes);
        Bytes::from(bytes)
    };
    let mut picture = |picture: &Vec<Bytes>| picture.iter().map(&mut payload).collect();
    pictures.iter().map(&mut picture).collect()
}

fn random(pictures: &Pictures, seed: u64) -> Pictures {
    let mut rng = SmallRng::seed_from_u64(seed);
    spoilt(pictures, |bytes| rng.fill_bytes(bytes))
}

/// A few bits of every packet are others.
fn flipped(pictures: &Pictures, seed: u64) -> Pictures {
    let mut rng = SmallRng::seed_from_u64(seed);
    spoilt(pictures, |bytes| {
        for _ in 0..rng.random_range(1..8) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << rng.random_range(0..8);
        }
    })
}

/// Every packet ends somewhere on the way.
fn cut(pictures: &Pictures, seed: u64) -> Pictures {
    let mut rng = SmallRng::seed_from_u64(seed);
    spoilt(pictures, |bytes| {
        bytes.truncate(rng.random_range(0..bytes.len()));
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn vp8_that_is_none_is_marked_and_hurts_nobody() {
    let call = Call::start().await;
    let good = pictures(VideoCodec::Vp8);
    // RFC 6386 section 9.1: behind the start code, 14 bits each of width and height.
    let mut huge = good.clone();
    let mut bytes = huge[0][0].to_vec();
    let code = bytes.windows(3).position(|w| w == [0x9d, 0x01, 0x2a]);
    let at = code.unwrap() + 3;
    bytes[at..at + 4].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    huge[0][0] = Bytes::from(bytes);
    // The decoder takes pictures that are not to be shown (the same section), and never answers.
    let mut unseen = good.clone();
    for picture in &mut unseen {
        let mut bytes = picture[0].to_vec();
        assert_eq!(bytes[0], 0x10, "a payload descriptor of one byte");
        bytes[1] &= !0x10;
        picture[0] = Bytes::from(bytes);
    }
    let stubs = spoilt(&good, |bytes| bytes.truncate(1));
    let no_video = &[NO_VIDEO];
    let bad = vec![
        Bad::video("random bytes", random(&good, 1), no_video),
        Bad::video("a keyframe of 16383x16383", huge, no_video),
        Bad::video("no keyframe", good[1..].to_vec(), no_video),
        Bad::video("not to be shown", unseen, no_video),
        Bad::video("descriptors and nothing else", stubs, no_video),
        Bad::video("flipped bits", flipped(&good, 2), &[]),
        Bad::video("cut short", cut(&good, 3), &[]),
    ];
    suffer(&call, VideoCodec::Vp8, bad).await;
}

/// The NAL units of a payload, aggregates (STAP-A) taken apart.
fn units(payload: &Bytes) -> Vec<Bytes> {
    if payload[0] & 0x1f != 24 {
        return vec![payload.clone()];
    }
    let (mut units, mut rest) = (Vec::new(), payload.slice(1..));
    while rest.len() > 2 {
        let size = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
        units.push(rest.slice(2..2 + size));
        rest = rest.slice(2 + size..);
    }
    units
}

/// A sequence parameter set of constrained baseline at level 6 (H.264 section 7.3.2.1.1).
fn parameter_set(size: Size) -> Bytes {
    let code = |value: u32| {
        let digits = format!("{:b}", value + 1);
        "0".repeat(digits.len() - 1) + &digits
    };
    let mut bits = String::new();
    // Its id, frame numbers of 4 bits, picture order as decoding order, one reference picture, and
    // no gaps in the frame numbers.
    bits.extend([0, 0, 2, 1].map(code));
    bits.push('0');
    bits.extend([size.width / 16 - 1, size.height / 16 - 1].map(code));
    // Frames only, direct inference, no cropping, no usability information, the stop bit.
    bits.push_str("11001");
    while !bits.len().is_multiple_of(8) {
        bits.push('0');
    }
    let mut unit = vec![0x67, 66, 0xc0, 60];
    for byte in bits.as_bytes().chunks(8) {
        let byte = std::str::from_utf8(byte).unwrap();
        unit.push(u8::from_str_radix(byte, 2).unwrap());
    }
    Bytes::from(unit)
}

#[tokio::test(flavor = "multi_thread")]
async fn h264_and_opus_that_are_none_are_marked_and_hurt_nobody() {
    let call = Call::start().await;
    let good = pictures(VideoCodec::H264);
    let is_set = |unit: &Bytes| unit[0] & 0x1f == 7;
    let mut huge = good.clone();
    let first: Vec<Bytes> = good[0].iter().flat_map(units).collect();
    assert!(
        first.iter().any(is_set),
        "the clip begins with a parameter set"
    );
    huge[0] = first
        .into_iter()
        .map(|unit| match is_set(&unit) {
            true => parameter_set(Size::new(7680, 4320)),
            false => unit,
        })
        .collect();
    // Fragments (FU-A) that begin and never end.
    let endless = spoilt(&good, |bytes| {
        bytes.splice(0..0, [0x7c, 0x85]);
    });
    let beeps = audio::beeps(9).unwrap().packets;
    let beeps = vec![beeps.into_iter().map(|p| p.payload).collect::<Vec<_>>()];
    // RFC 6716 section 3.2.5: a packet of as many frames as its second byte says, and that is none.
    let none = vec![Bytes::from_static(&[0xff, 0, 1, 2, 3])];
    let no_video = &[NO_VIDEO];
    let bad = vec![
        Bad {
            sound: none,
            marks: &[NO_VIDEO, NO_AUDIO],
            ..Bad::video("random bytes", random(&good, 4), &[])
        },
        Bad {
            sound: random(&beeps, 5).remove(0),
            ..Bad::video("8K", huge, no_video)
        },
        Bad {
            sound: flipped(&beeps, 6).remove(0),
            ..Bad::video("no parameters", good[1..].to_vec(), no_video)
        },
        Bad {
            sound: cut(&beeps, 7).remove(0),
            ..Bad::video("fragments without an end", endless, no_video)
        },
        Bad::video("flipped bits", flipped(&good, 8), &[]),
        Bad::video("cut short", cut(&good, 9), &[]),
    ];
    suffer(&call, VideoCodec::H264, bad).await;
}

/// Pictures of one shape for a second, then of the other, and so on.
fn restless(codec: VideoCodec) -> Pictures {
    let shapes = [
        Size::new(320, 180),
        Size::new(184, 320),
        Size::new(640, 360),
        Size::new(96, 96),
    ];
    let second = |size| clip(codec, size, 8).pictures.into_iter().take(FPS as usize);
    shapes.into_iter().flat_map(second).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_that_change_every_second_are_followed_and_frozen_ones_are_hidden() {
    let call = Call::start().await;
    call.unnoticed("restless and frozen", async {
        let mut restless_ones = Vec::new();
        for codec in [VideoCodec::Vp8, VideoCodec::H264] {
            let mut one = Villain::join(&call.server, "restless", sends(codec)).await;
            one.play(restless(codec));
            restless_ones.push(one);
        }
        let options = sends(VideoCodec::Vp8);
        let mut frozen = Villain::join(&call.server, "frozen", options).await;
        frozen.play(pictures(VideoCodec::Vp8));
        call.until_live(&frozen.id, true).await;
        frozen.hush();
        let since = Instant::now();
        call.until_live(&frozen.id, false).await;
        let after = since.elapsed();
        println!("frozen: hidden after {after:?}");
        assert!(after <= MARKED, "{after:?}");
        frozen.play(pictures(VideoCodec::Vp8));
        call.until_live(&frozen.id, true).await;
        for one in &restless_ones {
            call.until_live(&one.id, true).await;
            assert_eq!(one.count("code", NO_VIDEO), 0, "all of it could be decoded");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_payload_types_sources_and_broken_rtcp_are_dropped() {
    let call = Call::start().await;
    let unknown = "quilt_dropped_total{queue=\"inbound_unknown\"}";
    call.unnoticed("unknown RTP, broken RTCP", async {
        let options = sends(VideoCodec::Vp8);
        let mut villain = Villain::join(&call.server, "odd", options).await;
        villain.play(pictures(VideoCodec::Vp8));
        call.until_live(&villain.id, true).await;
        let media = villain.media.clone();
        let mut rng = SmallRng::seed_from_u64(1);
        villain.often(400, move |n| {
            let mut payload = vec![0; rng.random_range(0..1200)];
            rng.fill_bytes(&mut payload);
            let rtp = |payload_type, ssrc| Odd::Rtp {
                payload_type,
                ssrc,
                sequence: n as u16,
                payload: Bytes::from(payload.clone()),
            };
            media.send_odd(rtp(77, 77));
            // The type of the video, but another source: a few, and then ever more.
            media.send_odd(rtp(96, n as u32 % 9));
            media.send_odd(rtp(96, rng.random()));
            // Every type, with a length that is right, too long, or of something else.
            let mut rtcp = vec![0x80 | (n % 32) as u8, 192 + (n % 32) as u8, 0, 0];
            let words = rng.random_range(0..40u8);
            rtcp.extend(payload.iter().take(usize::from(words) * 4));
            rtcp[3] = match n % 3 {
                0 => words,
                1 => words.wrapping_add(200),
                _ => rng.random(),
            };
            media.send_odd(Odd::Rtcp(Bytes::from(rtcp)));
        });
        tokio::time::sleep(TROUBLE).await;
        assert_eq!(villain.count("type", "bye"), 0);
        // In between all that, the good stream is shown.
        call.until_live(&villain.id, true).await;
    })
    .await;
    assert!(call.server.metric(unknown) >= 400.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_keyframe_requests_a_second_make_two_keyframes() {
    let call = Call::start().await;
    let options = ClientOptions {
        receive_video: vec![VideoCodec::H264],
        ..sends(VideoCodec::Vp8)
    };
    let mut villain = Villain::join(&call.server, "impatient", options).await;
    villain.play(pictures(VideoCodec::Vp8));
    let log = villain.log.clone();
    log.until("a picture", |log| !log.video.is_empty()).await;
    let keyframes = |log: &support::Log| {
        let starts = |payload: &[u8]| quilt::payload::starts_keyframe(VideoCodec::H264, payload);
        log.video.iter().filter(|p| starts(&p.payload)).count()
    };
    let seconds = call
        .unnoticed("a flood of keyframe requests", async {
            let (before, since) = (keyframes(&log.log()), Instant::now());
            let media = villain.media.clone();
            villain.often(1_000, move |_| media.send_odd(Odd::Pli));
            tokio::time::sleep(TROUBLE).await;
            let (made, seconds) = (
                keyframes(&log.log()) - before,
                since.elapsed().as_secs_f64(),
            );
            println!("{made} keyframes in {seconds:.1} s");
            assert!(made as f64 <= 2.0 * seconds + 1.0, "{made} in {seconds} s");
            assert!(made >= 2, "the requests did come");
            seconds
        })
        .await;
    assert!(seconds >= TROUBLE.as_secs_f64());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabits_a_second_are_cut_off() {
    let call = Call::start().await;
    call.unnoticed("a flood of media", async {
        let options = sends(VideoCodec::Vp8);
        let mut villain = Villain::join(&call.server, "flood", options).await;
        villain.play(pictures(VideoCodec::Vp8));
        call.until_live(&villain.id, true).await;
        let since = Instant::now();
        let media = villain.media.clone();
        let payload = Bytes::from(vec![0x10; 1_200]);
        // 52 packets of 1,200 bytes 200 times a second.
        villain.often(200, move |n| {
            let payloads = vec![payload.clone(); 52];
            media.send_all(Kind::Video, payloads, n as u32 * 450, true, None);
        });
        let cut = villain.told("reason", "sends_too_much").await;
        let after = cut - since;
        println!("cut after {after:?}");
        assert!(after <= Duration::from_secs(3), "{after:?}");
        // Until the sender notices that nobody is there, it goes on.
        tokio::time::sleep(Duration::from_secs(1)).await;
    })
    .await;
    let gone = call.ann.until_tiles(|map| map.tiles.len() == 1);
    let gone = tokio::time::timeout(common::PATIENCE, gone).await;
    assert!(gone.is_ok(), "the flooder's tile is gone");
    // Who was cut may come again.
    let options = sends(VideoCodec::Vp8);
    let mut again = Villain::join(&call.server, "flood", options).await;
    again.play(pictures(VideoCodec::Vp8));
    call.until_live(&again.id, true).await;
}
