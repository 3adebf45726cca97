//! When a source sends what. Pure: the driver reads the clock, waits and sends.

use std::time::Duration;

use super::audio::PACKETS_PER_BEEP;
use crate::clock::MediaTime;
use crate::media::{AUDIO_CLOCK, AUDIO_FRAME, VIDEO_CLOCK};

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
        /// RTP timestamp.
        timestamp: u32,
    },
    /// A packet of the audio track.
    Audio {
        /// Its number since the start; its place in the track modulo the track's length.
        tick: u64,
        /// RTP timestamp.
        timestamp: u32,
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

    /// A picture is sent when it is captured.
    fn picture_due(&self) -> MediaTime {
        self.captured(self.slot)
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
            timestamp: self.captured(self.slot).rtp_ticks(VIDEO_CLOCK) as u32,
        };
        self.slot += 1;
        self.frame = (self.frame + 1) % self.length;
        due
    }

    fn audio(&mut self) -> Due {
        let first = self.start.rtp_ticks(AUDIO_CLOCK);
        let seconds = self.tick / PACKETS_PER_BEEP;
        let begins = self.tick.is_multiple_of(PACKETS_PER_BEEP);
        let due = Due::Audio {
            tick: self.tick,
            timestamp: (first + self.tick * AUDIO_FRAME as u64) as u32,
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
                timestamp,
                beep: Some(slot),
                ..
            } = due
            else {
                continue;
            };
            beeps += 1;
            let picture = all.iter().find_map(|(at, due)| match due {
                Due::Picture {
                    slot: s, timestamp, ..
                } if s == slot => Some((*at, *timestamp)),
                _ => None,
            });
            let (shown, picture) = picture.expect("its picture was sent before");
            assert_eq!(*at, shown + 20, "the packet is whole 20 ms later");
            assert_eq!(*timestamp as u64 / 48, picture as u64 / 90, "in ms");
        }
        assert_eq!(beeps, 3);
    }

    #[test]
    fn a_request_starts_the_clip_again_but_time_goes_on() {
        let mut pace = Pace::new(START, 25, 10, OnRequest::Restart);
        assert_eq!(frames(&run(&mut pace, 200)), [0, 1, 2, 3, 4, 5]);
        pace.keyframe_requested();
        pace.keyframe_requested();
        let more = run(&mut pace, 320);
        assert_eq!(frames(&more), [0, 1, 2]);
        pace.keyframe_requested();
        assert_eq!(
            frames(&run(&mut pace, 800))[..9],
            [0, 1, 2, 3, 4, 5, 6, 7, 8]
        );
        let last = more.iter().rev().find_map(|(at, due)| match due {
            Due::Picture { slot, .. } => Some((*at, *slot)),
            Due::Audio { .. } => None,
        });
        assert_eq!(last, Some((320, 8)));
    }

    #[test]
    fn what_waits_for_its_keyframes_does_not_jump() {
        let mut pace = Pace::new(START, 25, 5, OnRequest::Wait);
        run(&mut pace, 80);
        pace.keyframe_requested();
        assert_eq!(frames(&run(&mut pace, 280)), [3, 4, 0, 1, 2]);
    }

    #[test]
    fn a_late_driver_sends_everything_in_order() {
        let mut pace = Pace::new(START, 25, 250, OnRequest::Wait);
        let late = START.plus(Duration::from_millis(100));
        let mut order = vec![];
        while let Some(due) = pace.due(late) {
            order.push(matches!(due, Due::Picture { .. }));
        }
        // Pictures at 0, 40, 80; sound at 20, 40, 60, 80, 100.
        assert_eq!(order, [true, false, true, false, false, true, false, false]);
    }
}
