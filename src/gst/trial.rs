//! What codecs are tried with before they are trusted: a picture of a known colour, and a bound
//! in time. A driver may do anything, even nothing, for ever.

use std::sync::mpsc;
use std::time::Duration;

use gstreamer::ElementFactory;

use super::choice::{Candidate, Refusal};
use crate::media::Size;

/// The colour of the lower half of every trial picture (Y, U, V): pure BT.601 red.
pub const COLOUR: [u8; 3] = [82, 90, 240];
/// How far a codec may be off it in its first pictures.
pub const TOLERANCE: u8 = 12;
/// Beyond its own limit a trial may take this long to say that it failed.
const GRACE: Duration = Duration::from_secs(1);

/// Tries `candidate`, if there is such an element: `work`, which is given `limit` to end by
/// itself, runs on a thread of its own. A thread that hangs is left alone for the life of the
/// process; nobody waits for it.
pub fn attempt<C: Candidate, T: Send + 'static>(
    candidate: C,
    limit: Duration,
    work: impl FnOnce(Duration) -> Result<T, String> + Send + 'static,
) -> Result<T, Refusal> {
    // Knows from the registry: loads nothing, touches no driver.
    if super::init().is_err() || ElementFactory::find(candidate.element()).is_none() {
        return Err(Refusal::Absent);
    }
    bounded(limit + GRACE, move || work(limit)).map_err(|why| {
        tracing::warn!("{} is there but not used: {why}", candidate.element());
        Refusal::Failed(why)
    })
}

fn bounded<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    let (done, result) = mpsc::channel();
    std::thread::Builder::new()
        .name("trial".into())
        .spawn(move || {
            // Refused where nobody waits any more.
            let _ = done.send(work());
        })
        .map_err(|error| format!("no thread to try it on: {error}"))?;
    match result.recv_timeout(limit) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => Err(format!("it hung for {limit:?}")),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err("its trial panicked".into()),
    }
}

/// I420 bytes of the `number`th trial picture: [`COLOUR`] with a grey bar that walks down the
/// upper half.
pub fn picture(Size { width, height }: Size, number: u32) -> Vec<u8> {
    let luma = (width * height) as usize;
    let mut data = vec![COLOUR[0]; luma];
    let bar = (number * 4 % (height / 2).max(1) * width) as usize;
    data[bar..(bar + 4 * width as usize).min(luma)].fill(200);
    data.extend(vec![COLOUR[1]; luma / 4]);
    data.extend(vec![COLOUR[2]; luma / 4]);
    data
}

/// I420 bytes of the `number`th picture of a scene that costs a codec about what a camera's does:
/// what stands still has a sensor's noise, and a part in the middle moves.
pub fn scenery(size: Size, number: u32) -> Vec<u8> {
    let (width, height) = (size.width as usize, size.height as usize);
    let mut noise = 0x9e37_79b9_u32 ^ number.wrapping_mul(0x85eb_ca6b);
    let mut data = Vec::with_capacity(width * height * 3 / 2);
    let (left, right) = (width / 3, width * 2 / 3);
    for y in 0..height {
        for x in 0..width {
            let moved = match (left..right).contains(&x) && y > height / 4 {
                true => 3 * number as usize,
                false => 0,
            };
            let (x, y) = (x + moved, y + moved / 2);
            // Blocks of some size with edges between them, and a fine pattern in each.
            let block = (x / 24).wrapping_mul(37) ^ (y / 16).wrapping_mul(61);
            let pattern = (x * y / 16) & 15;
            noise ^= noise << 13;
            noise ^= noise >> 17;
            noise ^= noise << 5;
            data.push((64 + (block & 127) + pattern + (noise & 3) as usize) as u8);
        }
    }
    data.resize(width * height * 3 / 2, 120);
    data
}

/// The middle of how much a counter went up from each reading to the next; none if there are
/// fewer than three.
pub fn middle_step(readings: &[f64]) -> Option<f64> {
    // The first picture is a keyframe, and what is needed once is made with it.
    let steps = readings.windows(2).skip(1).map(|pair| pair[1] - pair[0]);
    let mut steps: Vec<f64> = steps.collect();
    steps.sort_by(f64::total_cmp);
    steps.get(steps.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_hangs_is_left_behind() {
        let began = Instant::now();
        let (hold, held) = mpsc::channel::<()>();
        let hung = bounded(Duration::from_millis(50), move || {
            let _ = held.recv();
            Ok(())
        });
        assert_eq!(hung.unwrap_err(), "it hung for 50ms");
        assert!(began.elapsed() < Duration::from_secs(10));
        drop(hold);
    }

    #[test]
    fn what_ends_is_heard() {
        let limit = Duration::from_secs(20);
        assert_eq!(bounded(limit, || Ok(7)), Ok(7));
        let refused = bounded::<()>(limit, || Err("no".into()));
        assert_eq!(refused.unwrap_err(), "no");
        let panicked = bounded::<()>(limit, || panic!("on purpose"));
        assert_eq!(panicked.unwrap_err(), "its trial panicked");
    }

    #[test]
    fn what_is_not_there_is_not_tried() {
        let absent = attempt("nosuchelement", Duration::ZERO, |_| -> Result<(), _> {
            panic!("tried")
        });
        assert_eq!(absent, Err(Refusal::Absent));
    }

    #[test]
    fn a_step_is_that_in_the_middle() {
        assert_eq!(middle_step(&[0.0, 9.0, 10.0, 11.5, 20.0]), Some(1.5));
        assert_eq!(middle_step(&[0.0, 9.0]), None);
    }

    #[test]
    fn scenery_moves_and_has_noise() {
        let size = Size::new(96, 64);
        let (a, b) = (scenery(size, 0), scenery(size, 1));
        assert_eq!(a.len(), 96 * 64 * 3 / 2);
        let differ = a.iter().zip(&b).filter(|(a, b)| a != b).count();
        assert!(differ > 96 * 64 / 2, "{differ}");
        // Beside what moves, noise alone.
        assert!((0..32).all(|x| a[x].abs_diff(b[x]) < 4));
    }

    #[test]
    fn pictures_move_above_and_stand_still_below() {
        let size = Size::new(64, 36);
        let (a, b) = (picture(size, 0), picture(size, 1));
        assert_eq!(a.len(), 64 * 36 * 3 / 2);
        assert_ne!(a, b);
        for number in 0..100 {
            let picture = picture(size, number);
            assert!(picture[64 * 24..64 * 36].iter().all(|y| *y == COLOUR[0]));
        }
    }
}
