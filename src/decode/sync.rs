//! Lip sync: which picture belongs to the sound that plays now, by sender reports.
//!
//! A sender report (RFC 3550 section 6.4.1) says what the sender's wall clock was at an RTP
//! timestamp. With one for each track, both RTP time lines become that wall clock, and the sound
//! being played says which moment of it the picture should show. Whose wall clock it is and
//! whether it is right does not matter; that both reports come from the same one does.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{MediaTime, NtpTime};
use crate::media::{AUDIO_CLOCK, Kind, VIDEO_CLOCK};

/// Two reports that disagree by more than this are of two time lines: far above the jitter of a
/// sender's clock reading (a few ms), far below a stepped clock.
const AGREE: i128 = 100_000_000;
/// A lead or lag beyond this is a broken report, not a late picture. Nanoseconds.
const BELIEVABLE: i128 = 2_000_000_000;
/// How long the last sound played tells what plays now: across pauses between sentences, so that
/// the picture does not move to and fro, but not after the microphone is off.
const REMEMBERED: Duration = Duration::from_secs(5);

/// The time lines of one participant.
#[derive(Debug)]
pub struct Sync {
    core: Mutex<Core>,
}

#[derive(Debug)]
struct Core {
    audio: TimeLine,
    video: TimeLine,
    /// Sample of this RTP time plays at this tick.
    playing: Option<(MediaTime, u32)>,
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            core: Mutex::new(Core {
                audio: TimeLine::new(AUDIO_CLOCK),
                video: TimeLine::new(VIDEO_CLOCK),
                playing: None,
            }),
        }
    }
}

impl Sync {
    /// A sender report came: `rtp` on the track's clock is `ntp` on the sender's wall clock.
    pub fn report(&self, kind: Kind, ntp: NtpTime, rtp: u32) {
        let mut core = self.lock();
        match kind {
            Kind::Audio => core.audio.report(ntp, rtp),
            Kind::Video => core.video.report(ntp, rtp),
        }
    }

    /// The sample of RTP time `rtp` is the first one of the audio tick `tick`.
    pub fn played(&self, tick: MediaTime, rtp: u32) {
        self.lock().playing = Some((tick, rtp));
    }

    /// How far the picture of RTP time `rtp` is ahead of the sound that plays at `tick`, in
    /// nanoseconds: positive when it is too early to show it. `None` before both reports have
    /// come, while they contradict what came before, and without sound.
    pub fn lead(&self, tick: MediaTime, rtp: u32) -> Option<i64> {
        let core = self.lock();
        let (at, sound) = core.playing?;
        if tick.since(at).max(at.since(tick)) > REMEMBERED {
            return None;
        }
        let heard = core.audio.wall(sound)? + (i128::from(tick.0) - i128::from(at.0));
        let lead = core.video.wall(rtp)? - heard;
        (lead.abs() <= BELIEVABLE).then_some(lead as i64)
    }

    fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One track's RTP clock against the sender's wall clock.
#[derive(Debug)]
struct TimeLine {
    rate: u32,
    report: Option<(NtpTime, u32)>,
    /// A report that contradicts `report`, until a second one agrees with either.
    doubt: Option<(NtpTime, u32)>,
}

impl TimeLine {
    fn new(rate: u32) -> Self {
        Self {
            rate,
            report: None,
            doubt: None,
        }
    }

    fn report(&mut self, ntp: NtpTime, rtp: u32) {
        if ntp.0 == 0 {
            return; // RFC 3550: the sender has no wall clock.
        }
        let agrees = |with: Option<(NtpTime, u32)>| {
            with.is_some_and(|with| (self.at(with, rtp) - ntp.nanos()).abs() <= AGREE)
        };
        if self.report.is_none() || agrees(self.report) || agrees(self.doubt) {
            self.report = Some((ntp, rtp));
            self.doubt = None;
        } else {
            self.doubt = Some((ntp, rtp));
        }
    }

    /// The sender's wall clock at `rtp`, nanoseconds.
    fn wall(&self, rtp: u32) -> Option<i128> {
        match (self.report, self.doubt) {
            (Some(report), None) => Some(self.at(report, rtp)),
            _ => None,
        }
    }

    fn at(&self, (ntp, base): (NtpTime, u32), rtp: u32) -> i128 {
        let ticks = i128::from(rtp.wrapping_sub(base) as i32);
        ntp.nanos() + ticks * 1_000_000_000 / i128::from(self.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ntp_ms(ms: u64) -> NtpTime {
        NtpTime((3_900_000_000u64 << 32) + ((ms << 32) / 1000))
    }

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    /// Audio RTP time 0 and video RTP time 0 are the same moment.
    fn synced() -> Sync {
        let sync = Sync::default();
        sync.report(Kind::Audio, ntp_ms(10_000), 48_000 * 10);
        sync.report(Kind::Video, ntp_ms(12_000), 90_000 * 12);
        sync
    }

    fn lead_ms(sync: &Sync, tick: u64, video_ms: u32) -> Option<f64> {
        sync.lead(ms(tick), video_ms * 90).map(|ns| ns as f64 / 1e6)
    }

    fn near(lead: Option<f64>, expected: f64) {
        assert!(
            (lead.unwrap() - expected).abs() < 0.1,
            "{lead:?} {expected}"
        );
    }

    #[test]
    fn the_picture_is_measured_against_the_sound() {
        let sync = synced();
        assert_eq!(lead_ms(&sync, 500, 13_000), None, "nothing plays yet");
        sync.played(ms(500), 48 * 13_000);
        near(lead_ms(&sync, 500, 13_000), 0.0);
        near(lead_ms(&sync, 500, 13_060), 60.0);
        near(lead_ms(&sync, 500, 12_900), -100.0);
        // Sound plays on between its ticks, and a video tick may be before the audio tick.
        near(lead_ms(&sync, 515, 13_015), 0.0);
        near(lead_ms(&sync, 490, 12_990), 0.0);
    }

    #[test]
    fn without_reports_or_sound_there_is_no_lead() {
        let sync = Sync::default();
        sync.played(ms(0), 0);
        assert_eq!(lead_ms(&sync, 0, 0), None);
        sync.report(Kind::Audio, ntp_ms(0), 0);
        assert_eq!(lead_ms(&sync, 0, 0), None);
        sync.report(Kind::Video, ntp_ms(0), 0);
        near(lead_ms(&sync, 0, 0), 0.0);
        near(lead_ms(&sync, 4_900, 4_900), 0.0);
        assert_eq!(lead_ms(&sync, 5_100, 5_100), None, "the microphone is off");
    }

    #[test]
    fn timestamps_wrap() {
        let sync = Sync::default();
        let (audio, video) = (u32::MAX - 4_800, u32::MAX - 9_000);
        sync.report(Kind::Audio, ntp_ms(1_000), audio);
        sync.report(Kind::Video, ntp_ms(1_000), video);
        sync.played(ms(0), audio.wrapping_add(48 * 500));
        let lead = sync.lead(ms(0), video.wrapping_add(90 * 520));
        near(lead.map(|ns| ns as f64 / 1e6), 20.0);
    }

    #[test]
    fn lips_stay_in_step_for_days() {
        let sync = Sync::default();
        // Both RTP clocks wrap: video's after 13 hours, audio's after 25.
        for s in (0..60 * 3_600u64).step_by(5) {
            let rtp = |rate: u64| (s * rate) as u32;
            sync.report(Kind::Audio, ntp_ms(s * 1_000), rtp(48_000));
            sync.report(Kind::Video, ntp_ms(s * 1_000), rtp(90_000));
            sync.played(ms(s * 1_000), rtp(48_000).wrapping_add(48 * 1_000));
            let lead = sync.lead(ms(s * 1_000), rtp(90_000).wrapping_add(90 * 1_020));
            near(lead.map(|ns| ns as f64 / 1e6), 20.0);
        }
    }

    #[test]
    fn bad_reports_are_doubted() {
        let sync = synced();
        sync.played(ms(0), 48 * 20_000);
        sync.report(Kind::Video, NtpTime(0), 77);
        near(lead_ms(&sync, 0, 20_000), 0.0);
        // One report a second off: no lead rather than a wrong one, until it is outvoted ...
        sync.report(Kind::Video, ntp_ms(21_000), 90 * 20_000);
        assert_eq!(lead_ms(&sync, 0, 20_000), None);
        sync.report(Kind::Video, ntp_ms(21_000), 90 * 21_000);
        near(lead_ms(&sync, 0, 20_000), 0.0);
        // ... or confirmed: the sender's clock was set, for both its tracks.
        for s in [22, 23] {
            sync.report(Kind::Video, ntp_ms(s * 1_000 + 700), 90_000 * s as u32);
            assert_eq!(lead_ms(&sync, 0, 20_000).is_some(), s == 23);
        }
        for s in [22, 23] {
            sync.report(Kind::Audio, ntp_ms(s * 1_000 + 700), 48_000 * s as u32);
        }
        near(lead_ms(&sync, 0, 20_000), 0.0);
    }

    #[test]
    fn small_drift_is_followed() {
        let sync = synced();
        // The camera's clock runs 200 ppm fast against the microphone's for an hour.
        for s in (15..3600u64).step_by(5) {
            sync.report(Kind::Audio, ntp_ms(s * 1_000), 48_000 * s as u32);
            let video = (s as f64 * 90_000.0 * 1.0002) as u32;
            sync.report(Kind::Video, ntp_ms(s * 1_000), video);
        }
        sync.played(ms(0), 48_000 * 3_595);
        let lead = sync.lead(ms(0), (3_595.0 * 90_000.0 * 1.0002) as u32);
        near(lead.map(|ns| ns as f64 / 1e6), 0.0);
    }

    #[test]
    fn an_unbelievable_lead_is_none() {
        let sync = synced();
        sync.played(ms(0), 48 * 20_000);
        assert_eq!(lead_ms(&sync, 0, 25_000), None);
    }
}
