//! When a source sends what. Pure: the driver reads the clock, waits and sends.

use std::time::Duration;

use super::audio::PACKETS_PER_BEEP;
use crate::clock::MediaTime;

/// From a picture's capture until it is sent. A camera reads out and an encoder works for some
/// 20 ms, about what a packet of sound takes to fill: with less, pictures would be ahead of their
/// sound as no browser's are, and a server that keeps them together would hold them back.
const PICTURE_DELAY: Duration = Duration::from_millis(20);
/// Length of an audio packet.
const PACKET: Duration = Duration::from_millis(20);

/// The course of one source from its start on.
#[derive(Debug)]
pub struct Pace {
    start: MediaTime,
    fps: u32,
    /// Pictures of the clip.
    length: u32,
    on_request: OnRequest,
    slot: u64,
    frame: u32,
    tick: u64,
    keyframe_wanted: bool,
}

/// What a keyframe request does to a source that cannot encode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnRequest {
    /// The clip starts again with the next picture: its first one is a keyframe.
    Restart,
    /// Nothing: the clip has keyframes often enough, and picture and voice stay together.
    Wait,
}

/// Something to send now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// A picture of the clip.
    Picture {
        /// Its number since the start.
        slot: u64,
        /// Its place in the clip.
        frame: u32,
        /// When it was captured, as it were: its RTP timestamp is made of this.
        captured: MediaTime,
    },
    /// A packet of the audio track.
    Audio {
        /// Its number since the start; its place in the track modulo the track's length.
        tick: u64,
        /// When its first sample was captured, as it were.
        captured: MediaTime,
        /// The slot of the picture that begins with this packet, if its first sample is the
        /// onset of a beep.
        beep: Option<u64>,
    },
}

impl Pace {
    /// A source whose first picture and first sample are captured at `start`.
    pub fn new(start: MediaTime, fps: u32, length: u32, on_request: OnRequest) -> Self {
        Self {
            start,
            fps,
            length,
            on_request,
            slot: 0,
            frame: 0,
            tick: 0,
            keyframe_wanted: false,
        }
    }

    /// A source that joins a loop which began at the clock's zero: it starts with the next whole
    /// second, at the place in the loop where all others of this length are then.
    pub fn in_step(now: MediaTime, fps: u32, length: u32) -> Self {
        let seconds = now.0.div_ceil(1_000_000_000);
        let slot = seconds * fps as u64;
        Self {
            slot,
            frame: (slot % length as u64) as u32,
            tick: seconds * PACKETS_PER_BEEP,
            ..Self::new(MediaTime(0), fps, length, OnRequest::Wait)
        }
    }

    /// The same, but a keyframe request does this.
    pub fn on_request(self, on_request: OnRequest) -> Self {
        Self { on_request, ..self }
    }

    /// When the next thing is due.
    pub fn next(&self) -> MediaTime {
        self.picture_due().min(self.audio_due())
    }

    /// A receiver wants a keyframe.
    pub fn keyframe_requested(&mut self) {
        self.keyframe_wanted = self.on_request == OnRequest::Restart;
    }

    /// What is due at this time, one thing a call, pictures before sound.
    pub fn due(&mut self, now: MediaTime) -> Option<Due> {
        if self.picture_due() <= now.min(self.audio_due()) {
            return Some(self.picture());
        }
        (self.audio_due() <= now).then(|| self.audio())
    }

    fn picture_due(&self) -> MediaTime {
        self.captured(self.slot).plus(PICTURE_DELAY)
    }

    /// A packet of sound is sent when its last sample has been captured.
    fn audio_due(&self) -> MediaTime {
        self.start.plus(PACKET * (self.tick + 1) as u32)
    }

    fn captured(&self, slot: u64) -> MediaTime {
        self.start
            .plus(Duration::from_nanos(slot * 1_000_000_000 / self.fps as u64))
    }

    fn picture(&mut self) -> Due {
        if std::mem::take(&mut self.keyframe_wanted) {
            self.frame = 0;
        }
        let due = Due::Picture {
            slot: self.slot,
            frame: self.frame,
            captured: self.captured(self.slot),
        };
        self.slot += 1;
        self.frame = (self.frame + 1) % self.length;
        due
    }

    fn audio(&mut self) -> Due {
        let seconds = self.tick / PACKETS_PER_BEEP;
        let begins = self.tick.is_multiple_of(PACKETS_PER_BEEP);
        let due = Due::Audio {
            tick: self.tick,
            captured: self.start.plus(PACKET * self.tick as u32),
            beep: begins.then_some(seconds * self.fps as u64),
        };
        self.tick += 1;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: MediaTime = MediaTime(5_123_456_789);

    /// Everything that falls due in a number of milliseconds, with when.
    fn run(pace: &mut Pace, millis: u64) -> Vec<(u64, Due)> {
        let mut all = vec![];
        let end = START.plus(Duration::from_millis(millis));
        while pace.next() <= end {
            let now = pace.next();
            let due = pace.due(now).expect("something is due when it is due");
            all.push((now.since(START).as_millis() as u64, due));
        }
        all
    }

    fn frames(all: &[(u64, Due)]) -> Vec<u32> {
        let frame = |(_, due): &(u64, Due)| match due {
            Due::Picture { frame, .. } => Some(*frame),
            Due::Audio { .. } => None,
        };
        all.iter().filter_map(frame).collect()
    }

    #[test]
    fn a_beep_has_the_media_time_of_its_picture() {
        let all = run(&mut Pace::new(START, 25, 250, OnRequest::Restart), 3_000);
        let mut beeps = 0;
        for (at, due) in &all {
            let Due::Audio {
                captured: sound,
                beep: Some(slot),
                ..
            } = due
            else {
                continue;
            };
            beeps += 1;
            let picture = all.iter().find_map(|(at, due)| match due {
                Due::Picture {
                    slot: s, captured, ..
                } if s == slot => Some((*at, *captured)),
                _ => None,
            });
            let (shown, picture) = picture.expect("its picture was sent before");
            assert_eq!(
                *at, shown,
                "the packet is whole when the picture is encoded"
            );
            assert_eq!(*sound, picture);
        }
        assert_eq!(beeps, 3);
    }

    #[test]
    fn a_request_starts_the_clip_again_but_time_goes_on() {
        let mut pace = Pace::new(START, 25, 10, OnRequest::Restart);
        assert_eq!(frames(&run(&mut pace, 220)), [0, 1, 2, 3, 4, 5]);
        pace.keyframe_requested();
        pace.keyframe_requested();
        let more = run(&mut pace, 340);
        assert_eq!(frames(&more), [0, 1, 2]);
        pace.keyframe_requested();
        assert_eq!(
            frames(&run(&mut pace, 820))[..9],
            [0, 1, 2, 3, 4, 5, 6, 7, 8]
        );
        let last = more.iter().rev().find_map(|(at, due)| match due {
            Due::Picture { slot, .. } => Some((*at, *slot)),
            Due::Audio { .. } => None,
        });
        assert_eq!(last, Some((340, 8)));
    }

    #[test]
    fn what_waits_for_its_keyframes_does_not_jump() {
        let mut pace = Pace::new(START, 25, 5, OnRequest::Wait);
        run(&mut pace, 100);
        pace.keyframe_requested();
        assert_eq!(frames(&run(&mut pace, 300)), [3, 4, 0, 1, 2]);
    }

    #[test]
    fn those_in_step_show_the_same_place_of_the_loop_at_the_same_time() {
        let late = MediaTime(7_300_000_001);
        let mut early = Pace::in_step(MediaTime(0), 25, 100);
        let mut joined = Pace::in_step(late, 25, 100);
        assert_eq!(joined.next(), MediaTime(8_020_000_000));
        let from = MediaTime(8_000_000_000);
        let until = MediaTime(20_000_000_000);
        let pictures = |pace: &mut Pace| {
            let mut shown = vec![];
            while pace.next() < until {
                match pace.due(pace.next()) {
                    Some(Due::Picture {
                        frame, captured, ..
                    }) if captured >= from => shown.push((captured, frame)),
                    _ => {}
                }
            }
            shown
        };
        let shown = pictures(&mut joined);
        assert_eq!(shown.len(), 12 * 25);
        assert_eq!(shown, pictures(&mut early));
    }

    #[test]
    fn a_late_driver_sends_everything_in_order() {
        let mut pace = Pace::new(START, 25, 250, OnRequest::Wait);
        let late = START.plus(Duration::from_millis(100));
        let mut order = vec![];
        while let Some(due) = pace.due(late) {
            order.push(matches!(due, Due::Picture { .. }));
        }
        // Pictures at 20, 60, 100; sound at 20, 40, 60, 80, 100.
        assert_eq!(order, [true, false, false, true, false, false, true, false]);
    }
}
