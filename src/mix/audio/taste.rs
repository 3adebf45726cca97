//! In what one listener's sum differs from everybody's: their own voice is left out, and others
//! are as loud as they like them.

use crate::id::ParticipantId;

/// What a listener wishes of their sum.
#[derive(Debug, Clone, Default)]
pub struct Taste {
    /// Whose voice is left out; `None`: nobody's.
    pub without: Option<ParticipantId>,
    gains: Vec<Gain>,
}

/// How loud one voice is; 1 is as in everybody's sum.
#[derive(Debug, Clone, Copy)]
pub struct Gain {
    /// Whose.
    pub who: ParticipantId,
    /// At the beginning of this tick.
    pub from: f32,
    /// At its end: a step would click.
    pub to: f32,
}

impl From<Option<ParticipantId>> for Taste {
    fn from(without: Option<ParticipantId>) -> Self {
        Self {
            without,
            gains: Vec::new(),
        }
    }
}

impl Taste {
    /// Other wishes, from the next tick on.
    pub fn set(&mut self, without: Option<ParticipantId>, gains: &[(ParticipantId, f32)]) {
        self.without = without;
        for gain in &mut self.gains {
            gain.to = 1.0;
        }
        for (who, to) in gains.iter().filter(|(who, _)| Some(*who) != without) {
            match self.gains.iter_mut().find(|gain| gain.who == *who) {
                Some(gain) => gain.to = *to,
                None => self.gains.push(Gain {
                    who: *who,
                    from: 1.0,
                    to: *to,
                }),
            }
        }
    }

    /// Who is louder or softer.
    pub fn gains(&self) -> &[Gain] {
        &self.gains
    }

    /// A tick is over.
    pub fn step(&mut self) {
        for gain in &mut self.gains {
            gain.from = gain.to;
        }
        self.gains.retain(|gain| gain.to != 1.0);
    }
}
