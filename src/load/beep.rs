//! Hears beeps in a mix: at which sample each source's tone sets in.
//!
//! For each tone, the last 10 ms are multiplied by it and summed. All tones are multiples of
//! 100 Hz, so a steady tone vanishes from the sums of all the others, and the products can be
//! kept as a table of one window: sums are exact, whatever the length of the meeting.

use std::collections::VecDeque;
use std::f64::consts::TAU;

use crate::media::AUDIO_CLOCK;

/// Samples in 10 ms.
const WINDOW: usize = 480;
/// Peak amplitude (of 32,768) from which a tone counts: -40 dBFS.
const THRESHOLD: f64 = 330.0;
/// How long after crossing the threshold a tone is judged, samples: 25 ms, by when its amplitude
/// is steady, and the click of another tone's onset has gone.
const JUDGED_AFTER: usize = 1_200;
/// No second onset of a tone within 300 ms of the first.
const REST: u64 = 14_400;

/// Listens for several tones in one stream of samples.
#[derive(Debug)]
pub struct Detector {
    /// Samples heard so far.
    position: u64,
    window: Vec<i16>,
    tones: Vec<Tone>,
}

#[derive(Debug)]
struct Tone {
    products: Vec<(f64, f64)>,
    sum: (f64, f64),
    /// The amplitude at each of the latest samples, the newest last.
    recent: VecDeque<f64>,
    /// Samples to wait until the onset is judged.
    judged_in: Option<usize>,
    /// Where the tone may set in again.
    rests_until: u64,
}

impl Detector {
    /// Listens for tones of these pitches, Hz, each a multiple of 100.
    pub fn new(pitches: &[u32]) -> Self {
        Self {
            position: 0,
            window: vec![0; WINDOW],
            tones: pitches.iter().map(|&pitch| Tone::new(pitch)).collect(),
        }
    }

    /// Hears samples and tells the onsets found: which tone, and at which sample since the
    /// first one ever pushed. An onset is told some 25 ms of samples after it happened.
    pub fn push(&mut self, samples: &[i16], mut onset: impl FnMut(usize, u64)) {
        for &sample in samples {
            let index = (self.position % WINDOW as u64) as usize;
            let change = sample as f64 - self.window[index] as f64;
            self.window[index] = sample;
            for (which, tone) in self.tones.iter_mut().enumerate() {
                if let Some(at) = tone.hear(index, change, self.position) {
                    onset(which, at);
                }
            }
            self.position += 1;
        }
    }
}

impl Tone {
    fn new(pitch: u32) -> Self {
        let turn = TAU * pitch as f64 / AUDIO_CLOCK as f64;
        Self {
            products: (0..WINDOW)
                .map(|n| {
                    let (sin, cos) = (turn * n as f64).sin_cos();
                    (sin * 2.0 / WINDOW as f64, cos * 2.0 / WINDOW as f64)
                })
                .collect(),
            sum: (0.0, 0.0),
            recent: VecDeque::with_capacity(JUDGED_AFTER + WINDOW + 1),
            judged_in: None,
            rests_until: 0,
        }
    }

    fn hear(&mut self, index: usize, change: f64, position: u64) -> Option<u64> {
        let (sin, cos) = self.products[index];
        self.sum.0 += change * sin;
        self.sum.1 += change * cos;
        let amplitude = self.sum.0.hypot(self.sum.1);
        if self.recent.len() > JUDGED_AFTER + WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(amplitude);
        match self.judged_in {
            Some(0) => {
                self.judged_in = None;
                // The click of another tone's onset is over within a window; a tone is not.
                let latest = self.recent.iter().rev().take(WINDOW + 1);
                if latest.clone().any(|&amplitude| amplitude < THRESHOLD) {
                    return None;
                }
                let steady = latest.sum::<f64>() / (WINDOW + 1) as f64;
                self.rests_until = position + REST;
                let above = self.recent.iter().rev().take_while(|&&a| a > steady / 2.0);
                // The sum passes half its height half a window after the tone began.
                Some((position + 1).saturating_sub((above.count() + WINDOW / 2) as u64))
            }
            Some(samples) => {
                self.judged_in = Some(samples - 1);
                None
            }
            None => {
                if amplitude > THRESHOLD && position >= self.rests_until {
                    self.judged_in = Some(JUDGED_AFTER);
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::audio;
    use crate::media::AUDIO_FRAME;

    fn tone(pitch: u32, start: usize, length: usize, peak: f64, pcm: &mut [i16]) {
        for n in 0..length {
            let phase = TAU * pitch as f64 * n as f64 / AUDIO_CLOCK as f64;
            pcm[start + n] += (peak * phase.sin()) as i16;
        }
    }

    fn heard(pitches: &[u32], pcm: &[i16]) -> Vec<(usize, u64)> {
        let mut found = vec![];
        let mut detector = Detector::new(pitches);
        for block in pcm.chunks(333) {
            detector.push(block, |which, at| found.push((which, at)));
        }
        found
    }

    #[test]
    fn onsets_are_found_to_the_millisecond_and_tones_told_apart() {
        let mut pcm = vec![0; 96_000];
        tone(500, 10_000, 2_880, 6_000.0, &mut pcm);
        tone(600, 11_111, 2_880, 3_000.0, &mut pcm);
        tone(1_200, 60_000, 2_880, 900.0, &mut pcm);
        let found = heard(&[500, 600, 700, 1_200], &pcm);
        let which: Vec<usize> = found.iter().map(|f| f.0).collect();
        assert_eq!(which, [0, 1, 3], "{found:?}");
        for ((_, at), truth) in found.iter().zip([10_000_u64, 11_111, 60_000]) {
            assert!(at.abs_diff(truth) < 60, "{at} for {truth}");
        }
    }

    #[test]
    fn what_a_source_sends_is_heard_once_a_second() {
        let track = audio::beeps(2).unwrap();
        let mut decoder = opus::Decoder::new(AUDIO_CLOCK, opus::Channels::Mono).unwrap();
        let mut pcm = vec![];
        for packet in track.packets.iter().cycle().take(250) {
            let mut frame = [0; AUDIO_FRAME];
            decoder.decode(&packet.payload, &mut frame, false).unwrap();
            pcm.extend_from_slice(&frame);
        }
        let pitches = [0, 1, 2, 3].map(|source| audio::pitch(source).unwrap());
        let found = heard(&pitches, &pcm);
        assert_eq!(found.len(), 5, "{found:?}");
        for (second, (which, at)) in found.iter().enumerate().skip(1) {
            assert_eq!(*which, 2);
            let off = *at as i64 - second as i64 * 48_000;
            assert!(off.abs() < 96, "{off} samples off");
        }
    }

    #[test]
    fn noise_is_no_beep() {
        let track = audio::beeps(200).unwrap();
        let mut decoder = opus::Decoder::new(AUDIO_CLOCK, opus::Channels::Mono).unwrap();
        let mut pcm = vec![];
        for packet in &track.packets {
            let mut frame = [0; AUDIO_FRAME];
            decoder.decode(&packet.payload, &mut frame, false).unwrap();
            pcm.extend_from_slice(&frame);
        }
        assert_eq!(heard(&[500, 1_000], &pcm), []);
    }
}
