//! What a room will have to do once everybody in it is connected and it has given way as far as
//! its policy lets it (pure): what is asked before somebody is let in.

use std::collections::HashSet;

use crate::media::VideoCodec;
use crate::room::cost::{Work, index};
use crate::room::state::{Person, State, VideoKey};

/// Who is not connected yet will most likely take this.
const CODEC: VideoCodec = VideoCodec::H264;
/// Pixels a second of a camera, which is asked for no more than its tile needs.
const CAMERA: f64 = 640.0 * 360.0 * 25.0;
/// Pixels a second of a screen.
const SCREEN: f64 = 1920.0 * 1080.0 * 10.0;
/// Packets a second of somebody's sound, or of a sum.
const SOUND: f64 = 50.0;
/// Bytes of video in a packet, on average.
const PACKET: f64 = 1_050.0;
/// Packets a second of a camera.
const CAMERA_PACKETS: f64 = 800_000.0 / 8.0 / PACKET;

/// What this room will do.
pub fn foresee(state: &State) -> Work {
    let settings = state.settings();
    let seen = state.foreseen_video(CODEC);
    let mut work = Work::default();
    for key in seen.values().collect::<HashSet<_>>() {
        work.encoded[index(key.codec)] += pixels(key);
    }
    for source in state.stage().sources() {
        let Some(person) = state.people().get(&source.who) else {
            continue;
        };
        let Some(pixels) = camera_or_screen(person).filter(|_| source.share == person.shares)
        else {
            continue;
        };
        // Which codec it is sent in is not known here; this one is dearer.
        work.decoded[index(VideoCodec::H264)] += pixels;
        work.scaled += pixels;
        work.received += CAMERA_PACKETS;
    }
    let audible = state.people().values().filter(|p| p.audio && !p.view);
    let audible = audible.count();
    let (on_stage, heard) = (settings.stage_size, settings.audio_active);
    work.voices = audible.min(on_stage + heard) as f64;
    // Each who may be heard has a sum without themselves.
    work.sums = work.voices + 1.0;
    work.received += audible as f64 * SOUND;
    let sent = |key: &VideoKey| f64::from(key.bitrate) / 8.0 / PACKET;
    work.sent = seen.values().map(sent).sum::<f64>() + seen.len() as f64 * SOUND;
    work
}

/// Pixels a second of what somebody sends; none: they send no pictures.
pub(super) fn camera_or_screen(person: &Person) -> Option<f64> {
    match (person.shares, person.video) {
        (true, _) => Some(SCREEN),
        (false, true) => Some(CAMERA),
        (false, false) => None,
    }
}

/// Pixels a second.
pub(super) fn pixels(key: &VideoKey) -> f64 {
    f64::from(key.size.width * key.size.height) * f64::from(key.fps)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::MediaTime;
    use crate::id::{DisplayName, ParticipantId};
    use crate::room::cost::Prices;
    use crate::room::state::{Event, MixPolicy, Settings, View};

    /// Cores for a room of so many who send and so many who watch.
    fn cores(policy: MixPolicy, people: u32, viewers: u32, overlay: bool, fps: u32) -> f64 {
        let settings = Settings {
            policy,
            fps,
            ..Settings::default()
        };
        let mut state = State::new(settings);
        for n in 0..people + viewers {
            let id = ParticipantId(n + 1);
            let event = Event::Joined {
                id,
                name: DisplayName::new(&format!("P{n}")).unwrap(),
                view: n >= people,
                audio: true,
                video: true,
                portrait: false,
                direct: false,
            };
            state.apply(MediaTime(0), event);
            let view = View {
                overlay: Some(overlay),
                ..View::default()
            };
            state.apply(MediaTime(0), Event::View { id, view });
        }
        state.apply(MediaTime(10_000_000_000), Event::Wake);
        foresee(&state).cost(&Prices::default())
    }

    #[test]
    fn meetings_for_which_two_cores_suffice_are_let_in() {
        let budget = 2.0 * 0.85;
        for (people, viewers) in [(12, 60), (100, 0), (9, 150)] {
            let cost = cores(MixPolicy::Auto, people, viewers, true, 25);
            assert!(cost < budget, "{people} and {viewers}: {cost}");
        }
        // Clients that cannot lay their picture over their tile need mixes of their own.
        let four = cores(MixPolicy::Auto, 4, 10, false, 25);
        assert!(four < budget, "{four}");
    }

    #[test]
    fn what_can_give_way_is_not_counted() {
        let of = |policy, overlay| cores(policy, 8, 0, overlay, 25);
        let (auto, personal) = (of(MixPolicy::Auto, true), of(MixPolicy::Personal, true));
        assert_eq!(auto, of(MixPolicy::Common, true));
        // Seven more encoders at .175 cores.
        assert!((personal - auto - 7.0 * 0.175).abs() < 0.01);
        assert_eq!(personal, of(MixPolicy::Auto, false));
    }

    #[test]
    fn it_grows_with_whoever_comes() {
        let mut before = 0.0;
        for people in 1..40 {
            let cost = cores(MixPolicy::Common, people, 0, true, 25);
            assert!(cost > before);
            // Off stage somebody costs packets alone.
            assert!(people < 15 || cost - before < 0.01, "{people}: {cost}");
            before = cost;
        }
        let slow = cores(MixPolicy::Personal, 8, 0, true, 12);
        assert!(slow < cores(MixPolicy::Personal, 8, 0, true, 25) * 0.6);
    }
}
