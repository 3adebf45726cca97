//! Real pipelines, real streams: colours, sizes and events.

use std::sync::mpsc::{Receiver, RecvTimeoutError};

use bytes::Bytes;
use gstreamer_video::{VideoFrameExt, VideoFrameRef};

use super::*;
use crate::decode::testing::*;
use crate::media::Rotation;

const RED: (u32, [u8; 3]) = (0xffff_0000, [81, 90, 240]);
const GREEN: (u32, [u8; 3]) = (0xff00_ff00, [145, 54, 34]);
const BLUE: (u32, [u8; 3]) = (0xff00_00ff, [41, 240, 110]);

type Colour = (u32, [u8; 3]);

const VP8_LINE: &str = "vp8enc deadline=1 target-bitrate=8000000 min-quantizer=4 max-quantizer=20 keyframe-max-dist=1000 ! rtpvp8pay mtu=1200 picture-id-mode=15-bit";
const H264_LINE: &str = "x264enc tune=zerolatency bitrate=8000 qp-max=28 speed-preset=ultrafast key-int-max=1000 threads=1 \
    ! video/x-h264,profile=constrained-baseline ! rtph264pay mtu=1200 aggregate-mode=zero-latency config-interval=-1";

/// Pictures of one colour with noise in a corner, so that a picture takes several packets.
fn stream(encode: &str, colour: Colour, size: Size, pictures: u32) -> Vec<RtpPacket> {
    let Size { width, height } = size;
    packets(&format!(
        "videotestsrc pattern=solid-color foreground-color={} num-buffers={pictures} \
         ! video/x-raw,format=I420,width={width},height={height},framerate=25/1 ! mix.sink_0 \
         videotestsrc pattern=snow num-buffers={pictures} \
         ! video/x-raw,format=I420,width=96,height=96,framerate=25/1 ! mix.sink_1 \
         compositor name=mix ! video/x-raw,format=I420,width={width},height={height},framerate=25/1 \
         ! {encode}",
        colour.0
    ))
}

struct Bench {
    decoder: Decoder,
    events: Receiver<Event>,
    stats: Arc<Stats>,
    last: Option<u64>,
    seen: Vec<Event>,
    /// When the next picture is due at the pace of its timestamps.
    pace: Option<MediaTime>,
}

impl Bench {
    fn new(codec: VideoCodec) -> Self {
        let (tell, events) = ears();
        Self::telling(codec, tell, events)
    }

    /// One whose events come by way of `tell`.
    fn telling(
        codec: VideoCodec,
        tell: Arc<dyn Fn(Event) + Send + std::marker::Sync>,
        events: Receiver<Event>,
    ) -> Self {
        let stats = Arc::new(Stats::default());
        let library = Library::embedded();
        let backend = Backend::software(codec);
        let decoder = Decoder::start(backend, &library, &stats, Arc::default(), tell).unwrap();
        Self {
            decoder,
            events,
            stats,
            last: None,
            seen: Vec::new(),
            pace: None,
        }
    }

    fn push(&self, packets: &[RtpPacket]) {
        for packet in packets {
            self.decoder.push(&now(packet));
        }
    }

    /// The next new frame.
    fn frame(&mut self) -> Arc<Frame> {
        let frames = self.decoder.frames();
        let last = self.last;
        let frame = until(|| {
            let frame = frames.due(clock::now())?;
            (Some(frame.serial) != last).then_some(frame)
        });
        let frame = frame.unwrap_or_else(|| panic!("no frame; {:?}", self.heard()));
        self.last = Some(frame.serial);
        frame
    }

    /// Waits for the next picture's time. The jitter buffer reckons when a packet is lost from
    /// timestamps; a stream in fast motion would mislead it.
    fn pace(&mut self) {
        let now = clock::now();
        let due = self.pace.unwrap_or(now);
        std::thread::sleep(due.since(now));
        self.pace = Some(due.plus(Duration::from_millis(40)));
    }

    /// Pushes picture by picture, each when the one before has come out.
    fn play(&mut self, packets: Vec<RtpPacket>, colour: Colour) {
        for picture in pictures(packets) {
            self.push(&picture);
            look(&self.frame(), colour);
        }
    }

    /// Repeats a stream, as a publisher goes on who is asked for keyframes.
    fn push_until<T>(
        &mut self,
        mut packets: Vec<RtpPacket>,
        mut answer: impl FnMut(&mut Self) -> Option<T>,
    ) -> T {
        let answer = until(|| {
            self.push(&packets);
            let last = packets.clone();
            continue_from(&last, &mut packets, 3600);
            std::thread::sleep(Duration::from_millis(10));
            answer(self)
        });
        answer.unwrap_or_else(|| panic!("{:?}", self.heard()))
    }

    /// What goes in is refused, which the packets that follow it learn.
    fn push_until_failed(&mut self, packets: Vec<RtpPacket>) {
        let failed = |event: &Event| matches!(event, Event::Failed(_));
        self.push_until(packets, |bench| {
            bench.heard().iter().any(failed).then_some(())
        });
    }

    fn push_until_blue(&mut self, packets: Vec<RtpPacket>) {
        self.push_until(packets, |bench| {
            let frame = bench.decoder.frames().due(clock::now())?;
            (colour_of(&frame)[1] > 200).then_some(())
        });
    }

    fn heard(&mut self) -> Vec<Event> {
        self.seen.extend(self.events.try_iter());
        self.seen.clone()
    }

    fn wait_for(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            match self.events.recv_timeout(PATIENCE) {
                Ok(event) => {
                    self.seen.push(event.clone());
                    if wanted(&event) {
                        return event;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("only {:?}", self.seen),
                Err(RecvTimeoutError::Disconnected) => unreachable!("the bench holds the sender"),
            }
        }
    }

    fn requests(&mut self) -> usize {
        let asked = |event: &&Event| **event == Event::KeyframeNeeded;
        self.heard().iter().filter(asked).count()
    }
}

/// The colour of a picture, away from the noise in its corner.
fn look(frame: &Frame, colour: Colour) {
    let (x, y) = corner(frame);
    look_at(frame, x, y, colour);
}

fn look_at(frame: &Frame, x: usize, y: usize, colour: Colour) {
    let yuv = colour_at(frame, x, y);
    for (is, should) in yuv.iter().zip(colour.1) {
        assert!(is.abs_diff(should) < 12, "{yuv:?} should be {:?}", colour.1);
    }
}

fn colour_of(frame: &Frame) -> [u8; 3] {
    let (x, y) = corner(frame);
    colour_at(frame, x, y)
}

fn corner(frame: &Frame) -> (usize, usize) {
    let (width, height) = (frame.info.width(), frame.info.height());
    (width as usize - 20, height as usize - 20)
}

fn colour_at(frame: &Frame, x: usize, y: usize) -> [u8; 3] {
    let picture = VideoFrameRef::from_buffer_ref_readable(&frame.buffer, &frame.info).unwrap();
    assert_eq!(picture.format(), gstreamer_video::VideoFormat::I420);
    [0, 1, 2].map(|plane| {
        let half = usize::from(plane > 0);
        let stride = picture.plane_stride()[plane as usize] as usize;
        picture.plane_data(plane).unwrap()[(y >> half) * stride + (x >> half)]
    })
}

const SMALL: Size = Size::new(320, 180);

#[test]
fn vp8_comes_out_picture_by_picture() {
    let packets = stream(VP8_LINE, RED, SMALL, 20);
    assert!(packets.len() > 20, "several packets a picture");
    let mut bench = Bench::new(VideoCodec::Vp8);
    bench.play(packets, RED);
    assert_eq!(bench.heard(), [Event::Started(SMALL)]);
}

/// Both clocks wrap in the middle, as they do once in half a day.
fn wrap_soon(packets: &mut [RtpPacket]) {
    let (first, last) = (packets[0].clone(), packets[packets.len() - 1].clone());
    let numbers = last.sequence.wrapping_sub(first.sequence) / 2;
    let time = last.timestamp.wrapping_sub(first.timestamp) / 2;
    for packet in packets {
        let number = packet.sequence.wrapping_sub(first.sequence);
        packet.sequence = number.wrapping_sub(numbers);
        let ticks = packet.timestamp.wrapping_sub(first.timestamp);
        packet.timestamp = ticks.wrapping_sub(time);
    }
    assert!(numbers > 0 && time > 0);
}

#[test]
fn clocks_that_wrap_lose_no_picture() {
    for (codec, line) in [(VideoCodec::Vp8, VP8_LINE), (VideoCodec::H264, H264_LINE)] {
        let mut packets = stream(line, RED, SMALL, 40);
        wrap_soon(&mut packets);
        let mut bench = Bench::new(codec);
        bench.play(packets, RED);
        assert_eq!(bench.heard(), [Event::Started(SMALL)]);
    }
}

#[test]
fn a_camera_that_was_off_for_hours_is_seen_at_once() {
    for (codec, line) in [(VideoCodec::Vp8, VP8_LINE), (VideoCodec::H264, H264_LINE)] {
        let mut bench = Bench::new(codec);
        let mut before = stream(line, RED, SMALL, 10);
        bench.play(before.clone(), RED);
        // Seven hours are more than half of what an RTP clock can tell, five are less.
        for (hours, colour) in [(7, GREEN), (5, BLUE)] {
            let mut packets = stream(line, colour, SMALL, 10);
            continue_from(&before, &mut packets, hours * 3_600 * 90_000);
            let began = clock::now();
            for picture in pictures(packets.clone()) {
                bench.pace();
                bench.push(&picture);
            }
            let seen = until(|| {
                let frame = bench.decoder.frames().due(clock::now())?;
                let yuv = colour_of(&frame);
                let near = |(is, should): (&u8, u8)| is.abs_diff(should) < 12;
                yuv.iter().zip(colour.1).all(near).then(clock::now)
            });
            let seen = seen.unwrap_or_else(|| panic!("{codec:?} {hours}: {:?}", bench.heard()));
            // 400 ms are the stream's own.
            let after = seen.since(began);
            assert!(
                after < Duration::from_secs(3),
                "{codec:?} {hours}: {after:?}"
            );
            before = packets;
        }
    }
}

#[test]
fn h264_profiles_and_packetisation_modes_come_out_without_delay() {
    let mode_0 = "x264enc tune=zerolatency bitrate=8000 qp-max=28 speed-preset=ultrafast option-string=slice-max-size=900 \
        ! video/x-h264,profile=constrained-baseline ! rtph264pay mtu=1400 aggregate-mode=none";
    let main = "x264enc tune=zerolatency bitrate=8000 qp-max=28 speed-preset=superfast ! video/x-h264,profile=main \
        ! rtph264pay mtu=1200 aggregate-mode=zero-latency config-interval=-1";
    let high = "x264enc tune=zerolatency bitrate=8000 qp-max=28 speed-preset=faster ! video/x-h264,profile=high \
        ! rtph264pay mtu=1200 aggregate-mode=zero-latency config-interval=-1";
    for line in [H264_LINE, mode_0, main, high] {
        let packets = stream(line, BLUE, SMALL, 20);
        if line == mode_0 {
            let single = |p: &RtpPacket| matches!(p.payload[0] & 0x1f, 1..=23);
            assert!(packets.iter().all(single), "one NAL unit a packet");
        }
        let mut bench = Bench::new(VideoCodec::H264);
        bench.play(packets, BLUE);
        assert_eq!(bench.heard(), [Event::Started(SMALL)], "{line}");
    }
}

#[test]
fn a_frame_says_when_its_last_packet_came_and_how_it_is_turned() {
    let mut bench = Bench::new(VideoCodec::Vp8);
    for (n, mut picture) in pictures(stream(VP8_LINE, RED, SMALL, 4))
        .into_iter()
        .enumerate()
    {
        // Told once, then again only when it changes.
        picture.last_mut().unwrap().rotation = match n {
            1 => Some(Rotation::R90),
            3 => Some(Rotation::R0),
            _ => None,
        };
        let mut arrived = MediaTime::default();
        for packet in picture {
            let packet = now(&packet);
            arrived = packet.arrived;
            bench.decoder.push(&packet);
        }
        let frame = bench.frame();
        assert_eq!(frame.arrived, arrived);
        let turned = [Rotation::R0, Rotation::R90, Rotation::R90, Rotation::R0];
        assert_eq!(frame.rotation, turned[n]);
    }
}

#[test]
fn sizes_change_in_mid_stream() {
    let portrait = Size::new(180, 320);
    for (codec, line) in [(VideoCodec::Vp8, VP8_LINE), (VideoCodec::H264, H264_LINE)] {
        let first = stream(line, RED, SMALL, 5);
        let mut second = stream(line, GREEN, portrait, 5);
        continue_from(&first, &mut second, 3600);
        let mut bench = Bench::new(codec);
        bench.play(first, RED);
        for picture in pictures(second) {
            bench.push(&picture);
            // Where the machine was so busy that a packet counted as lost, the decoder may have
            // shown its last red picture twice.
            let frame = loop {
                let frame = bench.frame();
                match colour_of(&frame)[2] > 200 {
                    true => assert_eq!((frame.info.width(), frame.info.height()), (320, 180)),
                    false => break frame,
                }
            };
            look(&frame, GREEN);
            assert_eq!((frame.info.width(), frame.info.height()), (180, 320));
        }
        let events = [Event::Started(SMALL), Event::SizeChanged(portrait)];
        assert_eq!(bench.heard(), events);
    }
}

#[test]
fn empty_packets_are_counted_but_not_decoded() {
    for (codec, line) in [(VideoCodec::Vp8, VP8_LINE), (VideoCodec::H264, H264_LINE)] {
        let mut packets = Vec::new();
        let mut number = 65_500u16;
        for packet in stream(line, GREEN, SMALL, 15) {
            // Before every packet a probe, in the middle of pictures too.
            for empty in [true, false] {
                let mut packet = packet.clone();
                packet.sequence = number;
                number = number.wrapping_add(1);
                if empty {
                    packet.payload = Bytes::new();
                    packet.marker = false;
                }
                packets.push(packet);
            }
        }
        let mut bench = Bench::new(codec);
        for picture in pictures(packets) {
            // And out of order.
            let (first, rest) = picture.split_at(2);
            bench.push(&[first[1].clone(), first[0].clone()]);
            bench.push(rest);
            look(&bench.frame(), GREEN);
        }
        assert_eq!(bench.requests(), 0, "no hole was seen");
    }
}

#[test]
fn reordered_and_repeated_packets_do_no_harm() {
    let mut bench = Bench::new(VideoCodec::H264);
    for (n, mut picture) in pictures(stream(H264_LINE, RED, SMALL, 15))
        .into_iter()
        .enumerate()
    {
        // The first packet of all says where numbers begin.
        bench.pace();
        if n > 0 {
            picture.reverse();
        }
        bench.push(&picture);
        bench.push(&picture);
        look(&bench.frame(), RED);
    }
    assert_eq!(bench.requests(), 0);
}

#[test]
fn a_loss_asks_for_a_keyframe_and_the_next_one_heals() {
    for (codec, line) in [(VideoCodec::Vp8, VP8_LINE), (VideoCodec::H264, H264_LINE)] {
        let mut all = pictures(stream(line, RED, SMALL, 12));
        let mut healed = stream(line, BLUE, SMALL, 5);
        continue_from(all.last().unwrap(), &mut healed, 3600);
        let mut bench = Bench::new(codec);
        bench.play(all.drain(..4).flatten().collect(), RED);
        // The middle of one picture never comes; the next ones do.
        let mut broken = all.remove(0);
        assert!(broken.len() >= 3, "{}", broken.len());
        broken.remove(1);
        bench.push(&broken);
        for picture in &all {
            bench.push(picture);
        }
        bench.wait_for(|event| *event == Event::KeyframeNeeded);
        // Pictures of the broken stretch may still come; blue ends it.
        bench.push(&healed);
        until(|| (colour_of(&bench.frame())[1] > 200).then_some(())).unwrap();
        let errors = |event: &Event| matches!(event, Event::Failed(_) | Event::Stalled);
        assert!(!bench.heard().iter().any(errors), "{:?}", bench.heard());
    }
}

#[test]
fn a_stream_joined_in_the_middle_asks_until_a_picture_comes() {
    let mut packets = pictures(stream(VP8_LINE, RED, SMALL, 30));
    packets.remove(0);
    // Noted when it is told: here it might be heard late, and the next at once after it.
    let asked = Arc::<Mutex<Vec<MediaTime>>>::default();
    let note = asked.clone();
    let (tell, events) = ears();
    let tell = Arc::new(move |event| {
        note.lock().unwrap().push(clock::now());
        tell(event);
    });
    let mut bench = Bench::telling(VideoCodec::Vp8, tell, events);
    for picture in packets.iter().cycle().take(75) {
        bench.push(picture);
        std::thread::sleep(Duration::from_millis(40));
    }
    let needed = |event: &Event| *event == Event::KeyframeNeeded;
    assert!(bench.heard().iter().all(needed), "{:?}", bench.heard());
    let asked = asked.lock().unwrap();
    assert!((2..=6).contains(&asked.len()), "{asked:?}");
    for pair in asked.windows(2) {
        let apart = pair[1].since(pair[0]);
        assert!(apart >= Duration::from_millis(450), "{asked:?}");
    }
}

#[test]
fn pictures_without_a_keyframe_are_a_stall() {
    let packets = pictures(stream(VP8_LINE, RED, SMALL, 250));
    let mut bench = Bench::new(VideoCodec::Vp8);
    let begun = clock::now();
    let mut pushed = packets.into_iter().skip(1);
    let last = loop {
        let picture = pushed.next().expect("a stall is told within ten seconds");
        bench.push(&picture);
        match bench.events.recv_timeout(Duration::from_millis(40)) {
            Ok(Event::Stalled) => break picture,
            Ok(event) => assert_eq!(event, Event::KeyframeNeeded),
            Err(_) => {}
        }
    };
    let after = clock::now().since(begun);
    assert!(after >= Duration::from_secs(3), "{after:?}");
    // And the new pipeline shows what a keyframe begins.
    let mut healed = stream(VP8_LINE, BLUE, SMALL, 2);
    continue_from(&last, &mut healed, 3600);
    bench.push_until_blue(healed);
}

#[test]
fn a_failed_pipeline_is_counted_and_the_next_keyframe_starts_another() {
    let (red, large) = (stream(H264_LINE, RED, SMALL, 4), Size::new(1920, 1200));
    let mut refused = stream(H264_LINE, GREEN, large, 3);
    continue_from(&red, &mut refused, 3600);
    let mut good = stream(H264_LINE, BLUE, SMALL, 3);
    continue_from(&refused, &mut good, 3600);
    let mut bench = Bench::new(VideoCodec::H264);
    bench.play(red, RED);
    bench.push_until_failed(refused);
    let metrics = bench.stats.render();
    let failures = "quilt_pipeline_errors_total{pipeline=\"decode-h264\"} 1";
    assert!(metrics.contains(failures), "{metrics}");
    // What was shown stays until there is better.
    look(&bench.decoder.frames().due(clock::now()).unwrap(), RED);
    let begun = clock::now();
    bench.push_until_blue(good);
    let after = clock::now().since(begun);
    assert!(after < Duration::from_secs(5), "{after:?}");
    assert!(bench.requests() >= 1, "the keyframe was asked for");
}

#[test]
fn truncated_flipped_and_random_payloads_never_end_the_track() {
    for (codec, line) in [(VideoCodec::Vp8, VP8_LINE), (VideoCodec::H264, H264_LINE)] {
        let good = stream(line, RED, SMALL, 30);
        let bench = &mut Bench::new(codec);
        for (n, packet) in good.iter().enumerate() {
            let mut packet = packet.clone();
            let mut bytes = packet.payload.to_vec();
            match n % 4 {
                0 => bytes.truncate(n % 7),
                1 => {
                    let at = (n * 31) % bytes.len();
                    bytes[at] ^= 0x55;
                }
                2 => bytes.fill((n * 37) as u8),
                _ => {}
            }
            packet.payload = bytes.into();
            bench.push(std::slice::from_ref(&packet));
        }
        let mut healed = stream(line, BLUE, SMALL, 3);
        continue_from(&good, &mut healed, 3600);
        bench.push_until_blue(healed);
    }
}

#[test]
fn a_picture_that_claims_to_be_huge_is_refused() {
    let mut packets = stream(VP8_LINE, RED, SMALL, 1);
    let payload = packets[0].payload.to_vec();
    // RFC 6386 section 9.1: start code, then 14 bits each of width and height.
    let code = payload.windows(3).position(|w| w == [0x9d, 0x01, 0x2a]);
    let at = code.unwrap() + 3;
    let mut huge = payload;
    huge[at..at + 4].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    packets[0].payload = huge.into();
    let mut bench = Bench::new(VideoCodec::Vp8);
    let before = crate::stats::process_resident_bytes();
    bench.push_until_failed(packets);
    let grown = crate::stats::process_resident_bytes().saturating_sub(before);
    // Other tests of this process run meanwhile; unguarded it takes 894 MB.
    assert!(grown < 200 << 20, "{} MB", grown >> 20);
    assert!(bench.decoder.frames().due(clock::now()).is_none());
}

#[test]
fn the_size_limit_knows_both_orientations() {
    for (codec, line) in [(VideoCodec::Vp8, VP8_LINE), (VideoCodec::H264, H264_LINE)] {
        for (size, taken) in [
            (Size::new(1920, 1080), true),
            (Size::new(1080, 1920), true),
            (Size::new(1440, 1440), false),
            (Size::new(1920, 1200), false),
            (Size::new(2048, 1080), false),
        ] {
            let packets = stream(line, RED, size, 1);
            let mut bench = Bench::new(codec);
            if taken {
                bench.play(packets, RED);
            } else {
                bench.push_until_failed(packets);
                assert!(
                    bench.decoder.frames().due(clock::now()).is_none(),
                    "{size:?}"
                );
            }
        }
    }
}

#[test]
fn without_packets_a_track_freezes_and_shows_nothing() {
    let mut packets = stream(VP8_LINE, RED, SMALL, 3);
    let mut bench = Bench::new(VideoCodec::Vp8);
    bench.play(packets.clone(), RED);
    bench.wait_for(|event| *event == Event::Frozen);
    assert!(bench.decoder.frames().due(clock::now()).is_none());
    let last = packets.clone();
    packets = stream(VP8_LINE, GREEN, SMALL, 3);
    continue_from(&last, &mut packets, 3 * 90_000);
    bench.play(packets, GREEN);
    bench.wait_for(|event| *event == Event::Resumed);
}

#[test]
fn another_source_takes_over_at_once() {
    let first = stream(H264_LINE, RED, SMALL, 5);
    let mut second = stream(H264_LINE, GREEN, SMALL, 5);
    for packet in &mut second {
        packet.ssrc = first[0].ssrc ^ 1;
        packet.sequence = packet.sequence.wrapping_add(33_333);
        packet.timestamp = packet.timestamp.wrapping_sub(1 << 30);
    }
    let mut bench = Bench::new(VideoCodec::H264);
    bench.play(first, RED);
    bench.play(second, GREEN);
    assert_eq!(bench.requests(), 0);
}

#[test]
fn a_keyframe_of_several_slices_is_one_picture() {
    // What many send by GStreamer: a slice a core, and the parameter sets before each of them.
    for bundles in ["none", "zero-latency"] {
        let line = format!(
            "x264enc tune=zerolatency bitrate=8000 qp-max=28 speed-preset=ultrafast \
             key-int-max=5 threads=4 sliced-threads=true ! video/x-h264,profile=constrained-baseline \
             ! rtph264pay mtu=1200 aggregate-mode={bundles} config-interval=-1"
        );
        let mut bench = Bench::new(VideoCodec::H264);
        for picture in pictures(stream(&line, RED, SMALL, 20)) {
            bench.push(&picture);
            let frame = bench.frame();
            let shown = input::timestamp(frame.buffer.pts().unwrap(), VIDEO_CLOCK);
            assert_eq!(shown, picture[0].timestamp, "another picture came out");
            look(&frame, RED);
            look_at(&frame, 300, 10, RED);
        }
        assert_eq!(bench.requests(), 0);
    }
}

#[test]
fn retransmissions_are_waited_for_once_their_time_is_known() {
    let all = pictures(stream(VP8_LINE, RED, SMALL, 100));
    let mut bench = Bench::new(VideoCodec::Vp8);
    let mut late: Option<(usize, RtpPacket)> = None;
    let mut asked = Vec::new();
    for (n, mut picture) in all.into_iter().enumerate() {
        bench.pace();
        if n % 10 == 5 {
            late = Some((n, picture.remove(1)));
        }
        bench.push(&picture);
        // 80 ms to ask and to answer.
        if let Some((_, packet)) = late.take_if(|(lost, _)| n == *lost + 2) {
            bench.push(&[packet]);
        }
        if n % 10 == 9 {
            asked.push(bench.requests());
        }
    }
    assert!(asked[0] >= 1, "the first was given up");
    // On a busy machine "80 ms" may be longer now and then, which is learned too.
    assert!(
        asked[9] - asked[1] <= 3,
        "the later ones were not waited for: {asked:?}"
    );
    let shown = until(|| {
        let frame = bench.decoder.frames().due(clock::now())?;
        look(&frame, RED);
        Some(())
    });
    assert!(shown.is_some());
}
