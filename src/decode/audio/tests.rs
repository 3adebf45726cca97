//! Real pipelines and real Opus: what is said is heard, and when.

use std::sync::mpsc::Receiver;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::clock;
use crate::decode::testing::*;

/// A tone in packets of 20 ms.
fn tone(hertz: u32, milliseconds: u32) -> Vec<RtpPacket> {
    packets(&format!(
        "audiotestsrc wave=sine freq={hertz} volume=0.5 samplesperbuffer=960 num-buffers={} \
         ! audio/x-raw,rate=48000,channels=1 \
         ! opusenc bitrate=32000 frame-size=20 inband-fec=true packet-loss-percentage=20 \
         ! rtpopuspay pt=111",
        milliseconds / 20
    ))
}

struct Bench {
    decoder: Decoder,
    events: Receiver<Event>,
    stats: Arc<Stats>,
    sync: Arc<Sync>,
    start: MediaTime,
    ticks: u64,
    /// The tick that was pulled last.
    last: MediaTime,
}

impl Bench {
    fn new() -> Self {
        let (tell, events) = ears();
        let (stats, sync) = (Arc::new(Stats::default()), Arc::new(Sync::default()));
        let decoder = Decoder::start(&Library::embedded(), &stats, sync.clone(), tell).unwrap();
        Self {
            decoder,
            events,
            stats,
            sync,
            start: clock::now(),
            ticks: 0,
            last: MediaTime(0),
        }
    }

    /// Waits for the next tick, 20 ms after the last, and pulls.
    fn tick(&mut self) -> (Pulled, [i16; AUDIO_FRAME]) {
        self.ticks += 1;
        let tick = self
            .start
            .plus(Duration::from_millis(20) * self.ticks as u32);
        std::thread::sleep(tick.since(clock::now()));
        let late = clock::now().since(tick);
        if late > Duration::from_millis(10) {
            // The machine is busy with other tests. Ticks that follow each other at once would leave
            // the decoder no time, so all that is to come is as late.
            self.start = self.start.plus(late);
        }
        self.last = tick;
        let mut out = [0; AUDIO_FRAME];
        let pulled = self.decoder.samples().pull(tick, &mut out);
        (pulled, out)
    }

    /// Pushes a packet a tick; yields what was pulled.
    fn play(&mut self, packets: &[RtpPacket]) -> Vec<(Pulled, [i16; AUDIO_FRAME])> {
        let play = |packet: &RtpPacket| {
            self.decoder.push(&now(packet));
            self.tick()
        };
        packets.iter().map(play).collect()
    }
}

/// How much of a frame's energy is at this frequency, 0 to 1.
fn share(pcm: &[i16], hertz: f64) -> f64 {
    let (mut re, mut im, mut all) = (0.0, 0.0, 1.0);
    for (n, sample) in pcm.iter().enumerate() {
        let (s, phase) = (
            f64::from(*sample),
            n as f64 * hertz / 48_000.0 * std::f64::consts::TAU,
        );
        re += s * phase.cos();
        im += s * phase.sin();
        all += s * s;
    }
    2.0 * (re * re + im * im) / (pcm.len() as f64 * all)
}

#[test]
fn a_microphone_is_heard_across_the_wrap_and_after_hours() {
    let mut bench = Bench::new();
    let mut packets = tone(440, 600);
    // Number and time wrap after 300 ms.
    for (n, packet) in packets.iter_mut().enumerate() {
        packet.sequence = (n as u16).wrapping_sub(15);
        packet.timestamp = (n as u32).wrapping_sub(15).wrapping_mul(960);
    }
    // 13 hours are more than half of what an RTP clock can tell.
    let mut later = tone(440, 600);
    continue_from(&packets, &mut later, 13 * 3_600 * 48_000);
    for (what, packets) in [("the wrap", packets), ("hours", later)] {
        let pulled = bench.play(&packets);
        let heard = pulled
            .iter()
            .skip(10)
            .filter(|(pulled, pcm)| *pulled == Pulled::Speech && share(pcm, 440.0) > 0.9);
        // A machine that is busy with other tests may be late now and then.
        let heard = heard.count();
        assert!(heard >= 15, "{heard} of 20 after {what}");
    }
}

#[test]
fn a_tone_is_heard_soon_and_its_time_is_told() {
    let packets = tone(440, 1_000);
    let mut bench = Bench::new();
    let mut heard = 0;
    for (n, packet) in packets.iter().enumerate() {
        let (pulled, pcm) = bench.play(std::slice::from_ref(packet))[0];
        let clear = pulled == Pulled::Speech && share(&pcm, 440.0) > 0.9;
        heard += usize::from(n >= 10 && clear);
    }
    // A machine that is busy with other tests may be late now and then: a gap, and a stretch.
    assert!(heard >= 30, "{heard} of 40");
    assert_eq!(bench.events.recv_timeout(PATIENCE), Ok(Event::Started));
    // The sound that plays now was sent at most 100 ms ago, said through the sync.
    let ntp = clock::NtpTime(4 << 60);
    let last = packets.last().unwrap().timestamp;
    bench.sync.report(Kind::Audio, ntp, last);
    bench.sync.report(Kind::Video, ntp, 0);
    let behind = bench.sync.lead(bench.last, 0).unwrap() / 1_000_000;
    assert!((0..=100).contains(&behind), "{behind} ms");
}

#[test]
fn lost_packets_are_filled() {
    let mut bench = Bench::new();
    let packets: Vec<_> = tone(440, 2_000)
        .into_iter()
        .enumerate()
        .filter(|(n, _)| n % 10 != 5)
        .map(|(_, packet)| packet)
        .collect();
    let mut silent = 0;
    let mut last = packets[0].sequence;
    for packet in &packets {
        for _ in 0..packet.sequence.wrapping_sub(last).saturating_sub(1) {
            let (_, pcm) = bench.tick();
            silent += usize::from(pcm.iter().all(|s| s.abs() < 1_000));
        }
        last = packet.sequence;
        let (_, pcm) = bench.play(std::slice::from_ref(packet))[0];
        silent += usize::from(pcm.iter().all(|s| s.abs() < 1_000));
    }
    // Beginning, and what a busy machine does.
    assert!(silent <= 8, "{silent} of 100");
}

#[test]
fn reordered_repeated_empty_and_random_packets_do_no_harm() {
    let mut bench = Bench::new();
    let mut numbered = Vec::new();
    for (n, packet) in tone(440, 1_600).into_iter().enumerate() {
        let mut empty = packet.clone();
        empty.payload = Bytes::new();
        numbered.push(packet);
        if n % 4 == 0 {
            numbered.push(empty);
        }
    }
    let first = numbered[0].sequence;
    for (n, packet) in numbered.iter_mut().enumerate() {
        packet.sequence = first.wrapping_add(n as u16);
    }
    let mut heard = 0;
    for five in numbered.chunks_exact(5) {
        for packet in five {
            if !packet.payload.is_empty() {
                heard += usize::from(bench.tick().0 == Pulled::Speech);
            }
        }
        let mut garbage = five[0].clone();
        garbage.payload = Bytes::from_static(&[0xff; 40]);
        for packet in [
            &five[1], &five[0], &five[2], &garbage, &five[2], &five[4], &five[3],
        ] {
            bench.decoder.push(&now(packet));
        }
    }
    assert!(heard > 50, "{heard} of 80");
    let failed = |e: &Event| matches!(e, Event::Failed(_) | Event::Stalled);
    assert!(!bench.events.try_iter().any(|e| failed(&e)));
}

#[test]
fn a_pause_is_no_underrun() {
    let speech = "audiotestsrc wave=ticks volume=0.0 samplesperbuffer=960 num-buffers=40 \
        ! audio/x-raw,rate=48000,channels=1 ! opusenc dtx=true frame-size=20 audio-type=voice \
        ! rtpopuspay pt=111 dtx=true";
    let mut first = tone(300, 400);
    let mut pause = packets(speech);
    continue_from(&first, &mut pause, 960);
    first.extend(pause);
    let mut bench = Bench::new();
    let mut kinds = Vec::new();
    let mut last = first[0].timestamp;
    for packet in &first {
        // Time goes on where packets are left out.
        for _ in 1..(packet.timestamp.wrapping_sub(last) / 960).min(50) {
            kinds.push(bench.tick().0);
        }
        last = packet.timestamp;
        kinds.push(bench.play(std::slice::from_ref(packet))[0].0);
    }
    for _ in 0..20 {
        kinds.push(bench.tick().0);
    }
    let tail = &kinds[kinds.len() - 40..];
    // But for the packets that refresh it.
    let sound = tail.iter().filter(|k| **k != Pulled::Comfort).count();
    assert!(sound <= 3, "{kinds:?}");
    assert!(!tail.contains(&Pulled::Nothing), "{kinds:?}");
    // After a while without any packet the microphone is taken for off.
    for _ in 0..80 {
        kinds.push(bench.tick().0);
    }
    assert_eq!(kinds.last(), Some(&Pulled::Nothing));
}

#[test]
fn garbage_alone_is_a_stall_and_sound_comes_back() {
    let mut good = tone(440, 200);
    let mut bench = Bench::new();
    let mut garbage = good[0].clone();
    garbage.payload = Bytes::from_static(&[0xff; 40]);
    let stalled = until(|| {
        bench.decoder.push(&now(&garbage));
        let last = garbage.clone();
        continue_from(&[last], std::slice::from_mut(&mut garbage), 960);
        bench.tick();
        bench.events.try_iter().find(|e| *e == Event::Stalled)
    });
    assert!(stalled.is_some());
    assert!(bench.stats.render().contains("pipeline=\"decode-opus\"} 1"));
    continue_from(&[garbage], &mut good, 960);
    let heard = until(|| {
        let pulled = bench.play(&good);
        let last = good.clone();
        continue_from(&last, &mut good, 960);
        let speech = |(kind, pcm): &(Pulled, [i16; AUDIO_FRAME])| {
            *kind == Pulled::Speech && share(pcm, 440.0) > 0.8
        };
        pulled.iter().any(speech).then_some(())
    });
    assert!(heard.is_some());
}

#[test]
fn another_source_goes_on_at_once() {
    let first = tone(440, 600);
    let mut second = tone(1_000, 600);
    for packet in &mut second {
        packet.ssrc = first[0].ssrc ^ 1;
        packet.sequence = packet.sequence.wrapping_add(40_000);
        packet.timestamp = packet.timestamp.wrapping_sub(1 << 31);
    }
    let mut bench = Bench::new();
    bench.play(&first);
    let heard = bench.play(&second);
    let second = heard[15..]
        .iter()
        .filter(|(_, pcm)| share(pcm, 1_000.0) > 0.8);
    assert!(second.count() >= 12);
}
