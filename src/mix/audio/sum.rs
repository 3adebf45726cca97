//! The sum of everybody, made once, and everybody's own sum out of it: all minus oneself.
//!
//! In integers, so that what is subtracted is exactly what was added and nothing of one's own
//! voice is left, not even rounding.

use std::cmp::Reverse;

use crate::decode::audio::Pulled;
use crate::id::ParticipantId;
use crate::media::AUDIO_FRAME;
use crate::mix::audio::strip::{FULL_SCALE, Strip};
use crate::mix::audio::taste::Taste;
use crate::mix::plan::Level;

/// Ticks between reports of levels: 100 ms.
const REPORT_EVERY: u64 = 5;
/// Changes of loudness smaller than this, dB, are not worth a report.
const NOTICEABLE: f32 = 1.0;

/// The strips of a room and their sum.
pub struct Mixer {
    /// One for each source, in the order of [`Mixer::arrange`], then those that left and still
    /// fade out.
    places: Vec<Place>,
    /// How many of them have a source.
    sources: usize,
    /// At most this many sources are heard at a time: those who speak, then those who did last.
    /// Every open microphone brings its room's noise; five bring 7 dB more of it than one.
    pub heard: usize,
    /// Sum of all contributions of this tick.
    total: [i32; AUDIO_FRAME],
    /// How many there were.
    contributions: usize,
    ticks: u64,
    /// Samples are pulled into this.
    pulled: [i16; AUDIO_FRAME],
    /// Strips are ranked in this.
    ranking: Vec<usize>,
    /// What was reported last.
    reported: Vec<Level>,
}

struct Place {
    strip: Strip,
    /// In the sum whenever it sounds.
    admitted: bool,
    /// The tick at which the source last spoke.
    spoke: u64,
}

impl Default for Mixer {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            sources: 0,
            heard: usize::MAX,
            total: [0; AUDIO_FRAME],
            contributions: 0,
            ticks: 0,
            pulled: [0; AUDIO_FRAME],
            ranking: Vec::new(),
            reported: Vec::new(),
        }
    }
}

impl Mixer {
    /// Sets who may be heard, and whether the server mutes them. Who was there before keeps gain
    /// and ramps; who is not any more fades out in the next tick.
    pub fn arrange(&mut self, sources: impl IntoIterator<Item = (ParticipantId, bool)>) {
        let mut before = std::mem::take(&mut self.places);
        for (who, muted) in sources {
            let kept = before.iter().position(|place| place.strip.who() == who);
            let mut place = kept.map_or_else(|| Place::new(who), |at| before.swap_remove(at));
            place.strip.muted = muted;
            self.places.push(place);
        }
        self.sources = self.places.len();
        self.places.extend(before);
    }

    /// Does one tick. `pull` yields 20 ms of the source at an index of the arrangement.
    pub fn tick(&mut self, mut pull: impl FnMut(usize, &mut [i16; AUDIO_FRAME]) -> Pulled) {
        self.ticks += 1;
        let (present, left) = self.places.split_at_mut(self.sources);
        for (index, place) in present.iter_mut().enumerate() {
            let pulled = pull(index, &mut self.pulled);
            place.strip.hear(pulled, &self.pulled);
            if place.strip.speaks() {
                place.spoke = self.ticks;
            }
        }
        for place in left {
            place.strip.hear_nothing();
        }
        self.admit();
        self.sum();
        // Who left is gone as soon as the fade is over.
        let sources = self.sources;
        let mut index = 0;
        self.places.retain(|place| {
            index += 1;
            index <= sources || place.strip.contribution().is_some()
        });
    }

    /// The sum of this tick without `who`, full scale = 1 (and up to many times that). Returns
    /// whether there is anything in it.
    pub fn without(&self, who: Option<ParticipantId>, out: &mut [f32; AUDIO_FRAME]) -> bool {
        let own = self.own(who);
        if self.contributions == usize::from(own.is_some()) {
            out.fill(0.0);
            return false;
        }
        match own {
            Some(own) => {
                for ((out, total), own) in out.iter_mut().zip(&self.total).zip(own) {
                    *out = (total - own) as f32 / FULL_SCALE;
                }
            }
            None => {
                for (out, total) in out.iter_mut().zip(&self.total) {
                    *out = *total as f32 / FULL_SCALE;
                }
            }
        }
        true
    }

    /// The sum of this tick to somebody's taste; otherwise as [`Mixer::without`].
    pub fn to_taste(&self, taste: &Taste, out: &mut [f32; AUDIO_FRAME]) -> bool {
        let sounds = self.without(taste.without, out);
        for gain in taste.gains() {
            let Some(voice) = self.own(Some(gain.who)) else {
                continue;
            };
            let step = (gain.to - gain.from) / AUDIO_FRAME as f32;
            for (n, (out, voice)) in out.iter_mut().zip(voice).enumerate() {
                let more = gain.from + step * n as f32 - 1.0;
                *out += more * *voice as f32 / FULL_SCALE;
            }
        }
        sounds
    }

    /// Whether the sum of this tick to this taste is another than everybody's.
    pub fn differs(&self, taste: &Taste) -> bool {
        let voices = taste.gains().iter().map(|gain| Some(gain.who));
        let mut voices = voices.chain([taste.without]);
        voices.any(|who| self.own(who).is_some())
    }

    /// The levels of all sources, every 100 ms if somebody's changed noticeably.
    pub fn levels(&mut self) -> Option<Vec<Level>> {
        if !self.ticks.is_multiple_of(REPORT_EVERY) {
            return None;
        }
        let levels = || self.places[..self.sources].iter().map(|p| p.strip.level());
        let changed = self.reported.len() != self.sources
            || levels().zip(&self.reported).any(|(now, before)| {
                now.who != before.who
                    || now.speaking != before.speaking
                    || (now.dbfs - before.dbfs).abs() >= NOTICEABLE
            });
        if !changed {
            return None;
        }
        self.reported = levels().collect();
        Some(self.reported.clone())
    }

    fn own(&self, who: Option<ParticipantId>) -> Option<&[i32; AUDIO_FRAME]> {
        let who = who?;
        let own = self.places.iter().find(|place| place.strip.who() == who)?;
        own.strip.contribution()
    }

    /// Decides who is in the sum.
    fn admit(&mut self) {
        let sounding = self.places.iter().filter(|p| p.strip.sounds());
        if sounding.count() <= self.heard {
            self.places.iter_mut().for_each(|p| p.admitted = true);
            return;
        }
        self.ranking.clear();
        self.ranking.extend(0..self.places.len());
        let places = &self.places;
        // Who is in and speaks cannot be displaced: voices do not alternate syllable by syllable.
        self.ranking.sort_unstable_by_key(|index| {
            let place = &places[*index];
            let strip = &place.strip;
            let rank = (strip.sounds(), strip.speaks(), place.admitted, place.spoke);
            (Reverse(rank), *index)
        });
        for (rank, index) in self.ranking.iter().enumerate() {
            self.places[*index].admitted = rank < self.heard;
        }
    }

    fn sum(&mut self) {
        self.total.fill(0);
        self.contributions = 0;
        for place in &mut self.places {
            place.strip.contribute(place.admitted);
            if let Some(contribution) = place.strip.contribution() {
                self.contributions += 1;
                for (total, own) in self.total.iter_mut().zip(contribution) {
                    *total += own;
                }
            }
        }
    }
}

impl Place {
    fn new(who: ParticipantId) -> Self {
        Self {
            strip: Strip::new(who),
            admitted: false,
            spoke: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::audio::probe::{
        Noise, SECOND, amplitude, decibels, largest_step, loudness, speech, to_i16, tone,
    };

    /// Hertz; none is a harmonic of another.
    const PITCHES: [f32; 8] = [313., 409., 503., 601., 701., 809., 907., 1009.];

    fn who(n: usize) -> ParticipantId {
        ParticipantId(n as u32)
    }

    fn everybody(count: usize) -> impl Iterator<Item = (ParticipantId, bool)> {
        (0..count).map(|n| (who(n), false))
    }

    /// A second of `without`'s mix (from `tick` on), of `count` sources that `voice` makes.
    fn listen(
        mixer: &mut Mixer,
        without: Option<ParticipantId>,
        ticks: std::ops::Range<usize>,
        voice: impl Fn(usize, usize) -> (Pulled, [i16; AUDIO_FRAME]),
    ) -> Vec<f32> {
        let mut heard = Vec::new();
        for tick in ticks {
            mixer.tick(|source, samples| {
                let (pulled, made) = voice(source, tick);
                *samples = made;
                pulled
            });
            let mut block = [0.0; AUDIO_FRAME];
            mixer.without(without, &mut block);
            heard.extend(block);
        }
        heard
    }

    fn tones(source: usize, tick: usize) -> (Pulled, [i16; AUDIO_FRAME]) {
        (Pulled::Speech, tone(PITCHES[source], 0.1, tick))
    }

    #[test]
    fn one_listener_has_some_louder_or_softer_without_a_click() {
        let mut mixer = Mixer::default();
        mixer.arrange(everybody(4));
        let mut taste = Taste::from(Some(who(0)));
        assert!(mixer.without(None, &mut [0.0; AUDIO_FRAME]) || !mixer.differs(&taste));
        let mut heard = Vec::new();
        for tick in 0..200 {
            match tick {
                50 => taste.set(Some(who(0)), &[(who(1), 0.0), (who(2), 2.0)]),
                150 => taste.set(Some(who(0)), &[]),
                _ => {}
            }
            mixer.tick(|source, samples| {
                let (pulled, made) = tones(source, tick);
                *samples = made;
                pulled
            });
            let mut block = [0.0; AUDIO_FRAME];
            assert!(mixer.to_taste(&taste, &mut block) && mixer.differs(&taste));
            taste.step();
            heard.extend(block);
        }
        assert!(taste.gains().is_empty(), "back to everybody's");
        let at = |from: usize, pitch: f32| {
            let second = &heard[from * AUDIO_FRAME..(from + 50) * AUDIO_FRAME];
            decibels(amplitude(second, f64::from(pitch)))
        };
        let [own, silent, loud, same, ..] = PITCHES;
        for from in [51, 100] {
            assert!(at(from - 51, own) < -110.0);
        }
        assert!(at(75, silent) < -100.0, "{}", at(75, silent));
        let (before, doubled) = (at(0, loud), at(75, loud));
        assert!((doubled - before - 6.0).abs() < 0.5, "{before} {doubled}");
        assert!((at(75, same) - at(0, same)).abs() < 0.5);
        // A step of the gain would be as large as a sample of the tone; a ramp is as any sine's.
        let most = largest_step(&heard[10 * AUDIO_FRAME..50 * AUDIO_FRAME]);
        assert!(largest_step(&heard[10 * AUDIO_FRAME..]) < 2.0 * most);
    }

    #[test]
    fn everybody_hears_all_others_and_never_themselves() {
        for (listener, own) in PITCHES.iter().enumerate() {
            let mut mixer = Mixer::default();
            mixer.arrange(everybody(8));
            listen(&mut mixer, Some(who(listener)), 0..50, tones);
            let heard = listen(&mut mixer, Some(who(listener)), 50..100, tones);
            for pitch in &PITCHES {
                let level = decibels(amplitude(&heard, f64::from(*pitch)));
                if pitch == own {
                    assert!(level < -110.0, "own tone at {level} dBFS");
                } else {
                    assert!((level + 20.0).abs() < 6.0, "{pitch} Hz at {level} dBFS");
                }
            }
        }
    }

    #[test]
    fn the_sum_without_somebody_is_the_sum_of_the_others_to_the_last_bit() {
        let mut all = Mixer::default();
        all.arrange(everybody(4));
        let mut others = Mixer::default();
        others.arrange(everybody(3));
        // Own voice last, loud and levelled, coming and going.
        let voices: Vec<Vec<i16>> = (0..4)
            .map(|n| {
                let level = if n == 3 { -9.0 } else { -30.0 };
                speech(n + 1, level, 4).into_iter().map(to_i16).collect()
            })
            .collect();
        let voice = |source: usize, tick: usize| {
            let from = tick * AUDIO_FRAME;
            let samples = voices[source][from..from + AUDIO_FRAME].try_into();
            let pulled = match (source, tick % 70) {
                (3, 60..) => Pulled::Nothing,
                (3, 50..) => Pulled::Comfort,
                _ => Pulled::Speech,
            };
            (pulled, samples.expect("a whole block"))
        };
        let minus = listen(&mut all, Some(who(3)), 0..200, voice);
        let plain = listen(&mut others, None, 0..200, voice);
        assert!(plain.iter().any(|s| s.abs() > 0.05));
        assert_eq!(minus, plain);
    }

    #[test]
    fn mute_unmute_join_leave_and_underrun_do_not_click() {
        let mut mixer = Mixer::default();
        let mut heard = Vec::new();
        let underrun = |source: usize, tick: usize| match tick {
            61 | 66 | 67 if source == 0 => (Pulled::Nothing, [0; AUDIO_FRAME]),
            _ => tones(source, tick),
        };
        for tick in 0..100 {
            match tick {
                // At ticks that cut the tone at different phases.
                10 => mixer.arrange([(who(0), false)]),
                23 => mixer.arrange([(who(0), true)]),
                31 => mixer.arrange([(who(0), false)]),
                38 => mixer.arrange([]),
                45 => mixer.arrange([(who(0), false)]),
                // Leaves and is back before the fade is over.
                50 => mixer.arrange([]),
                51 => mixer.arrange([(who(0), false)]),
                _ => {}
            }
            heard.extend(listen(&mut mixer, None, tick..tick + 1, underrun));
        }
        // The steepest slope of the tone, amplified by no more than 1.5 dB (it is levelled).
        let steepest = 0.1 * 2.0 * std::f32::consts::PI * PITCHES[0] / 48_000.0 * 1.19;
        let step = largest_step(&heard);
        assert!(step < 1.5 * steepest, "{step} of {steepest}");
        let present = |ticks: std::ops::Range<usize>| {
            heard[ticks.start * AUDIO_FRAME..ticks.end * AUDIO_FRAME]
                .iter()
                .any(|s| s.abs() > 0.05)
        };
        for (ticks, expected) in [
            (0..10, false),
            (10..23, true),
            (24..31, false),
            (31..38, true),
            (39..45, false),
            (45..50, true),
            (52..61, true),
            (62..66, true),
            (68..100, true),
        ] {
            assert_eq!(present(ticks.clone()), expected, "ticks {ticks:?}");
        }
    }

    #[test]
    fn two_talkers_20_db_apart_arrive_within_3_lu() {
        let voices = [speech(21, -16.0, 8), speech(22, -36.0, 8)]
            .map(|voice| voice.into_iter().map(to_i16).collect::<Vec<_>>());
        let voice = |source: usize, tick: usize| {
            let from = tick * AUDIO_FRAME;
            let samples = voices[source][from..from + AUDIO_FRAME].try_into();
            (Pulled::Speech, samples.expect("a whole block"))
        };
        let [loud, quiet] = [1, 0].map(|without| {
            let mut mixer = Mixer::default();
            mixer.arrange(everybody(2));
            let heard = listen(&mut mixer, Some(who(without)), 0..400, voice);
            loudness(&heard[4 * SECOND..])
        });
        assert!((loud - quiet).abs() < 3.0, "{loud} and {quiet} LUFS");
    }

    #[test]
    fn comfort_noise_of_a_pause_is_heard_and_taught_by_nobody() {
        let mut mixer = Mixer::default();
        mixer.arrange(everybody(1));
        let words: Vec<i16> = speech(41, -36.0, 4).into_iter().map(to_i16).collect();
        let mut noise = Noise(43);
        let mut faint = || std::array::from_fn(|_| to_i16(noise.next() * 0.003));
        let pause: Vec<[i16; AUDIO_FRAME]> = (0..100).map(|_| faint()).collect();
        let voice = |_: usize, tick: usize| match tick {
            0..200 => {
                let samples = words[tick * AUDIO_FRAME..][..AUDIO_FRAME].try_into();
                (Pulled::Speech, samples.expect("a whole block"))
            }
            _ => (Pulled::Comfort, pause[tick - 200]),
        };
        listen(&mut mixer, None, 0..200, voice);
        let heard = listen(&mut mixer, None, 200..300, voice);
        // As it came, times a gain that does not move: neither up in the pause nor down.
        let gain = heard[AUDIO_FRAME] / (f32::from(pause[1][0]) / 32_768.0);
        assert!(gain > 1.5, "a quiet talker was raised: {gain}");
        let came = pause.iter().flatten().map(|s| f32::from(*s) / 32_768.0);
        for (heard, came) in heard.iter().zip(came) {
            assert!((heard - came * gain).abs() < 1e-4, "{heard} for {came}");
        }
        assert!(!mixer.places[0].strip.level().speaking);
    }

    #[test]
    fn silence_that_is_sent_is_silence() {
        let mut mixer = Mixer::default();
        mixer.arrange(everybody(1));
        // A muted microphone: zeros, which a decoder may dither.
        let dither = |_: usize, tick: usize| {
            let sample = |n: usize| ((n * 7 + tick) % 3) as i16 - 1;
            (Pulled::Speech, std::array::from_fn(sample))
        };
        let heard = listen(&mut mixer, None, 0..50, dither);
        assert!(heard.iter().all(|s| *s == 0.0));
        assert!(!mixer.differs(&Some(who(0)).into()));
    }

    #[test]
    fn whoever_begins_to_speak_is_heard_among_many() {
        // Fifteen open microphones; the last three have been silent longest.
        const HEARD: usize = 12;
        let mut mixer = Mixer {
            heard: HEARD,
            ..Mixer::default()
        };
        mixer.arrange(everybody(15));
        let room: [i16; AUDIO_FRAME] = std::array::from_fn(|n| if n % 2 == 0 { 8 } else { -8 });
        let speaker = |source: usize, tick: usize| match (source, tick) {
            (0..12, 0..25) => (Pulled::Speech, tone(PITCHES[0], 0.05, tick)),
            (14, 100..) => (Pulled::Speech, tone(PITCHES[7], 0.05, tick)),
            _ => (Pulled::Speech, room),
        };
        listen(&mut mixer, None, 0..100, speaker);
        assert!(!mixer.places[14].admitted);
        let heard = listen(&mut mixer, None, 100..101, speaker);
        let level = decibels(amplitude(&heard, f64::from(PITCHES[7])));
        assert!(
            level > -32.0,
            "heard in the tick in which it begins: {level}"
        );
        assert_eq!(mixer.places.iter().filter(|p| p.admitted).count(), HEARD);
    }

    #[test]
    fn a_thousand_sources_at_full_scale_do_not_overflow() {
        const HEARD: usize = 12;
        let mut mixer = Mixer {
            heard: HEARD,
            ..Mixer::default()
        };
        mixer.arrange(everybody(1000));
        let heard = listen(&mut mixer, Some(who(0)), 0..100, |_, tick| {
            let sign = if tick % 2 == 0 { i16::MAX } else { i16::MIN };
            (Pulled::Speech, [sign; AUDIO_FRAME])
        });
        // At most as many as may be heard at a time, four full scales each.
        assert!(heard.iter().all(|s| s.abs() <= 4.0 * HEARD as f32));
    }

    #[test]
    fn levels_are_reported_while_they_change() {
        let mut mixer = Mixer::default();
        mixer.arrange([(who(0), false), (who(1), false), (who(2), true)]);
        let mut reports = Vec::new();
        for tick in 0..200 {
            listen(&mut mixer, None, tick..tick + 1, |source, tick| {
                match (source, tick) {
                    (0, 50..100) => (Pulled::Speech, tone(440.0, 0.1, tick)),
                    (2, _) => (Pulled::Speech, tone(440.0, 0.5, tick)),
                    _ => (Pulled::Nothing, [0; AUDIO_FRAME]),
                }
            });
            if let Some(levels) = mixer.levels() {
                reports.push((tick, levels));
            }
        }
        let ticks: Vec<_> = reports.iter().map(|(tick, _)| *tick).collect();
        // Who is there; the onset; its end; the end of the hangover. Nothing in between.
        assert_eq!(ticks, [4, 54, 104, 119]);
        let of = |report: usize| reports[report].1[0];
        assert_eq!((of(0).dbfs, of(0).speaking), (-100.0, false));
        assert!((of(1).dbfs + 23.0).abs() < 0.1 && of(1).speaking);
        assert_eq!((of(2).dbfs, of(2).speaking), (-100.0, true));
        assert_eq!((of(3).dbfs, of(3).speaking), (-100.0, false));
        for (_, levels) in &reports {
            assert_eq!(levels.len(), 3);
            for silent in &levels[1..] {
                assert_eq!((silent.dbfs, silent.speaking), (-100.0, false));
            }
        }
    }
}
