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
