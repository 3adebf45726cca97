//! One source's way to the sum: who speaks, level, ramps.

use crate::decode::audio::Pulled;
use crate::id::ParticipantId;
use crate::media::AUDIO_FRAME;
use crate::mix::audio::level::Leveller;
use crate::mix::audio::ramp::Ramp;
use crate::mix::audio::speech::{SILENCE, Speech, mean_square};
use crate::mix::plan::Level;

/// Full scale of a contribution. Four bits below those of 16-bit samples keep 16 of them exact,
/// nine above let a thousand sources at [`LOUDEST`] be summed in an `i32`.
pub const FULL_SCALE: f32 = 524_288.0;
/// No contribution exceeds four times full scale: only a source at full scale that the leveller
/// still takes for a quiet one comes near.
const LOUDEST: f32 = 4.0 * FULL_SCALE;

/// A block without a sample beyond this (-72 dBFS) is silence: what decoders make of the zeros
/// that a muted microphone sends.
const INAUDIBLE: u32 = 8 * 16;

/// The strip of one source.
#[derive(Debug, Clone)]
pub struct Strip {
    who: ParticipantId,
    /// The server leaves it out, whatever arrives.
    pub muted: bool,
    speech: Speech,
    leveller: Leveller,
    ramp: Ramp,
    /// Whether this tick brought something to hear.
    sounds: bool,
    /// Whether the leveller may learn from it.
    voice: bool,
    samples: [f32; AUDIO_FRAME],
    contribution: [i32; AUDIO_FRAME],
    /// Whether there is anything in `contribution`.
    audible: bool,
}

impl Strip {
    /// A strip that has heard nothing yet.
    pub fn new(who: ParticipantId) -> Self {
        Self {
            who,
            muted: false,
            speech: Speech::default(),
            leveller: Leveller::default(),
            ramp: Ramp::default(),
            sounds: false,
            voice: false,
            samples: [0.0; AUDIO_FRAME],
            contribution: [0; AUDIO_FRAME],
            audible: false,
        }
    }

    /// Whose strip this is.
    pub fn who(&self) -> ParticipantId {
        self.who
    }

    /// Takes what was pulled for this tick and judges it.
    pub fn hear(&mut self, pulled: Pulled, samples: &[i16; AUDIO_FRAME]) {
        self.sounds = !self.muted && pulled != Pulled::Nothing;
        if self.sounds {
            for (sample, pulled) in self.samples.iter_mut().zip(samples) {
                *sample = f32::from(*pulled) / 32_768.0;
            }
        }
        self.voice = false;
        match pulled {
            _ if self.muted => self.speech.nothing(),
            Pulled::Nothing | Pulled::Comfort => self.speech.nothing(),
            Pulled::Speech | Pulled::Concealed => {
                let voice = self.speech.heard(mean_square(&self.samples));
                // What was concealed is a guess: nothing for the leveller to learn from.
                self.voice = voice && pulled == Pulled::Speech;
            }
        }
    }

    /// Nothing comes from this source any more (it left).
    pub fn hear_nothing(&mut self) {
        self.voice = false;
        self.sounds = false;
        self.speech.nothing();
    }

    /// Makes this tick's contribution, ramped out unless `admitted` to the sum.
    pub fn contribute(&mut self, admitted: bool) {
        let on = self.sounds && admitted;
        if !on && !self.ramp.is_on() {
            self.audible = false;
            return;
        }
        if on {
            // Comfort noise in a pause is levelled like the voice: it is the room behind it.
            self.leveller.run(&mut self.samples, self.voice);
        } else {
            self.samples.fill(0.0);
        }
        self.ramp.run(on, &mut self.samples);
        for (out, sample) in self.contribution.iter_mut().zip(&self.samples) {
            *out = (sample * FULL_SCALE).clamp(-LOUDEST, LOUDEST) as i32;
        }
        self.audible = self
            .contribution
            .iter()
            .any(|sample| sample.unsigned_abs() > INAUDIBLE);
    }

    /// What this source adds to the sum; none while that is silence.
    pub fn contribution(&self) -> Option<&[i32; AUDIO_FRAME]> {
        self.audible.then_some(&self.contribution)
    }

    /// Whether something could be heard if this source were admitted.
    pub fn sounds(&self) -> bool {
        self.sounds
    }

    /// Speaking, or just beginning to.
    pub fn speaks(&self) -> bool {
        self.voice || self.speech.speaking()
    }

    /// How loud the source is, as it came.
    pub fn level(&self) -> Level {
        Level {
            who: self.who,
            dbfs: self.speech.level().max(SILENCE),
            speaking: self.speech.speaking(),
        }
    }
}
