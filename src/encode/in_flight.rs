//! What is known of the pictures on their way through an encoder. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::MediaTime;

/// Pictures that may be known of without having come out: more than three seconds' worth, when
/// the watchdog has told of the encoder.
const MOST: usize = 100;

/// Encoders that count in units of the frame rate may round a picture's time.
const ROUNDING: Duration = Duration::from_millis(1);

/// What goes with a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PictureMeta {
    /// The tick it was composed at; also its buffer's PTS.
    pub at: MediaTime,
    /// Serial number of its layout.
    pub layout: u64,
    /// For each source frame first shown in it: when its last packet had arrived.
    pub arrivals: Vec<MediaTime>,
}

/// Matches what comes out with what went in, by time: pictures keep their order, and one that
/// was dropped before the encoder is found missing when the next one comes out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct InFlight {
    /// Oldest first.
    metas: VecDeque<PictureMeta>,
    /// Of the last picture that went in.
    layout: u64,
}

impl InFlight {
    /// A picture goes in. Answers how many are given up for it.
    pub fn enter(&mut self, meta: PictureMeta) -> u64 {
        let given_up = self.metas.len() == MOST;
        if given_up {
            self.metas.pop_front();
        }
        self.layout = meta.layout;
        self.metas.push_back(meta);
        given_up.into()
    }

    /// The picture of `at` has come out: what is known of it, and how many older ones never
    /// will.
    pub fn leave(&mut self, at: MediaTime) -> (PictureMeta, u64) {
        let older = |meta: &PictureMeta| meta.at.plus(ROUNDING) < at;
        let dropped = self.metas.iter().take_while(|meta| older(meta)).count();
        self.metas.drain(..dropped);
        let known = self
            .metas
            .front()
            .is_some_and(|m| m.at <= at.plus(ROUNDING));
        let meta = self.metas.pop_front_if(|_| known);
        let unknown = || PictureMeta {
            at,
            layout: self.layout,
            arrivals: Vec::new(),
        };
        (meta.unwrap_or_else(unknown), dropped as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(ms: u64) -> PictureMeta {
        PictureMeta {
            at: MediaTime(ms * 1_000_000),
            layout: ms,
            arrivals: vec![MediaTime(ms)],
        }
    }

    #[test]
    fn pictures_find_their_meta_and_the_missing_are_counted() {
        let mut flight = InFlight::default();
        for ms in [0, 40, 80, 120] {
            assert_eq!(flight.enter(meta(ms)), 0);
        }
        assert_eq!(flight.leave(MediaTime(0)), (meta(0), 0));
        assert_eq!(flight.leave(MediaTime(80_000_400)), (meta(80), 1));
        assert_eq!(flight.leave(MediaTime(119_999_600)), (meta(120), 0));
    }

    #[test]
    fn a_picture_nobody_knows_gets_what_is_known() {
        let mut flight = InFlight::default();
        flight.enter(meta(40));
        let (unknown, dropped) = flight.leave(MediaTime(0));
        assert_eq!((unknown.at, unknown.layout, dropped), (MediaTime(0), 40, 0));
        assert_eq!(unknown.arrivals, []);
        assert_eq!(
            flight.leave(meta(40).at),
            (meta(40), 0),
            "its own is still there"
        );
    }

    #[test]
    fn a_stuck_encoder_costs_no_memory() {
        let mut flight = InFlight::default();
        let given_up: u64 = (0..250).map(|ms| flight.enter(meta(ms))).sum();
        assert_eq!((flight.metas.len(), given_up), (MOST, 150));
    }
}
