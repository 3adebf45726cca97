//! Sound made a little shorter or longer without a click, and continued where it breaks off
//! (pure). All of it works on whole pitch periods: where a voice looks most like itself.

/// Shortest and longest period looked for, samples at 48 kHz: 2.5 to 10 ms, 400 to 100 Hz.
const SHORTEST: usize = 120;
/// See [`SHORTEST`]. Also the longest piece that is cut out or put in.
pub const LONGEST: usize = 480;
/// Samples compared to find a period, and samples over which two pieces are blended.
const BLEND: usize = 240;
/// Sound below this RMS has no period worth looking for: any cut will do.
const QUIET: f64 = 60.0;
/// Pieces less alike than this are not joined.
const ALIKE: f64 = 0.6;

/// Where `x` is most like its own beginning, and how much (1: the same), looking at the periods
/// from [`SHORTEST`] to [`LONGEST`]. `x` holds `LONGEST + BLEND` samples.
fn period(x: &[i16]) -> (usize, f64) {
    let first = &x[..BLEND];
    let energy = |s: &[i16]| -> f64 { s.iter().map(|v| f64::from(*v).powi(2)).sum() };
    let base = energy(first);
    if base < QUIET * QUIET * BLEND as f64 {
        return (LONGEST, 1.0);
    }
    // Every fourth sample at every second lag finds the same periods at an eighth of the price.
    let alike = |lag: usize| {
        let second = &x[lag..lag + BLEND];
        let pairs = first.iter().zip(second).step_by(4);
        let (mut dot, mut a, mut b) = (0.0, 1.0, 1.0);
        for (p, q) in pairs {
            let (p, q) = (f64::from(*p), f64::from(*q));
            dot += p * q;
            a += p * p;
            b += q * q;
        }
        dot / f64::sqrt(a * b)
    };
    (SHORTEST..=LONGEST)
        .step_by(2)
        .map(|lag| (lag, alike(lag)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((LONGEST, 0.0))
}

/// Samples needed to look for a period.
pub const LOOK: usize = LONGEST + BLEND;

/// Takes one period out near the beginning of `x`; answers how many samples went. `None`, and `x`
/// is as before, where nothing in it is alike, unless `must`. Needs [`LOOK`] samples.
pub fn shorten(x: &mut Vec<i16>, must: bool) -> Option<usize> {
    if x.len() < LOOK {
        return None;
    }
    let (lag, alike) = period(x);
    if alike < ALIKE && !must {
        return None;
    }
    for n in 0..BLEND {
        x[n] = blend(x[n], x[n + lag], n);
    }
    x.drain(BLEND..BLEND + lag);
    Some(lag)
}

/// Puts one period in near the beginning of `x`; answers how many samples came. `None` as with
/// [`shorten`]. Needs [`LOOK`] samples.
pub fn lengthen(x: &mut Vec<i16>, must: bool) -> Option<usize> {
    if x.len() < LOOK {
        return None;
    }
    let (lag, alike) = period(x);
    if alike < ALIKE && !must {
        return None;
    }
    let mut out = Vec::with_capacity(x.len() + lag);
    out.extend_from_slice(&x[..lag]);
    out.extend((0..BLEND).map(|n| blend(x[lag + n], x[n], n)));
    out.extend_from_slice(&x[BLEND..]);
    *x = out;
    Some(lag)
}

/// From `a` to `b` in the course of [`BLEND`] samples.
fn blend(a: i16, b: i16, n: usize) -> i16 {
    let (a, b, n) = (i32::from(a), i32::from(b), n as i32);
    let whole = BLEND as i32;
    ((a * (whole - n) + b * n) / whole) as i16
}

/// Blends the beginning of `x` with what would have gone on before it.
pub fn join(before: &[i16], x: &mut [i16]) {
    for (n, (b, x)) in before.iter().zip(x.iter_mut()).take(BLEND).enumerate() {
        *x = blend(*b, *x, n);
    }
}

/// Samples that [`join`] blends.
pub const JOIN: usize = BLEND;

/// Goes on where sound broke off: repeats its last period, fading out.
#[derive(Debug, Default)]
pub struct Continuation {
    period: Vec<i16>,
    at: usize,
}

/// Silence is reached after this many samples: 60 ms. Longer repeats sound like a machine.
pub const FADE: usize = 2_880;

impl Continuation {
    /// Continues `history`, of which the last [`LOOK`] samples count.
    pub fn of(history: &[i16]) -> Self {
        if history.len() < LOOK {
            return Self::default();
        }
        // The period is looked for backwards: from the end of what was heard.
        let backwards: Vec<i16> = history.iter().rev().take(LOOK).copied().collect();
        let (lag, _) = period(&backwards);
        let start = history.len() - lag;
        let mut period = history[start..].to_vec();
        // Its end turns into what came before its beginning, so that repeats have no step.
        let seam = lag.min(BLEND) / 2;
        for n in 0..seam {
            let (late, early) = (period[lag - seam + n], history[start - seam + n]);
            period[lag - seam + n] = blend(late, early, n * BLEND / seam);
        }
        Self { period, at: 0 }
    }

    /// The next samples.
    pub fn fill(&mut self, out: &mut [i16]) {
        for sample in out {
            let gain = FADE.saturating_sub(self.at) as i32;
            *sample = match self.period.get(self.at % self.period.len().max(1)) {
                Some(s) if gain > 0 => (i32::from(*s) * gain / FADE as i32) as i16,
                _ => 0,
            };
            self.at += 1;
        }
    }

    /// Whether only silence is left.
    pub fn over(&self) -> bool {
        self.at >= FADE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hertz: f64, samples: usize) -> Vec<i16> {
        (0..samples)
            .map(|n| (8_000.0 * (n as f64 * hertz / 48_000.0 * std::f64::consts::TAU).sin()) as i16)
            .collect()
    }

    /// Largest step from one sample to the next.
    fn steepest(x: &[i16]) -> i32 {
        let steps = x
            .windows(2)
            .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs());
        steps.max().unwrap_or(0)
    }

    fn noise(samples: usize) -> Vec<i16> {
        let mut state = 7u32;
        (0..samples)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 18) as i16 - 8_192
            })
            .collect()
    }

    #[test]
    fn a_tone_stays_a_tone() {
        for hertz in [110.0, 213.0, 333.0, 1_000.0, 3_100.0] {
            let x = tone(hertz, 2_000);
            let limit = steepest(&x) * 5 / 4 + 20;
            let mut shorter = x.clone();
            let gone = shorten(&mut shorter, false).unwrap();
            assert_eq!(shorter.len() + gone, x.len());
            assert!(
                steepest(&shorter) <= limit,
                "{hertz}: {}",
                steepest(&shorter)
            );
            let mut longer = x.clone();
            let come = lengthen(&mut longer, false).unwrap();
            assert_eq!(longer.len(), x.len() + come);
            assert!(steepest(&longer) <= limit, "{hertz}: {}", steepest(&longer));
            assert_eq!(longer[longer.len() - 900..], x[x.len() - 900..]);
            assert_eq!(shorter[0], x[0]);
        }
    }

    #[test]
    fn what_is_not_alike_is_left_alone_unless_it_must() {
        let mut x = noise(2_000);
        assert_eq!(shorten(&mut x, false), None);
        assert_eq!(lengthen(&mut x, false), None);
        assert_eq!(x, noise(2_000));
        assert!(shorten(&mut x, true).is_some());
        assert!(lengthen(&mut x, true).is_some());
        // Silence can always be cut.
        assert_eq!(shorten(&mut vec![0; 1_000], false), Some(LONGEST));
        assert_eq!(shorten(&mut vec![0; LOOK - 1], true), None);
    }

    #[test]
    fn a_continuation_goes_on_and_fades() {
        for hertz in [110.0, 213.0, 1_000.0] {
            let history = tone(hertz, 1_500);
            let mut continuation = Continuation::of(&history);
            let mut out = vec![0; FADE + 960];
            continuation.fill(&mut out);
            let mut whole = history.clone();
            whole.extend(&out);
            let limit = steepest(&history) * 3 / 2 + 40;
            assert!(steepest(&whole) <= limit, "{hertz}: {}", steepest(&whole));
            let loud = |x: &[i16]| x.iter().map(|s| i32::from(s.abs())).max().unwrap();
            assert!(loud(&out[..480]) > 5_000);
            assert_eq!(loud(&out[FADE..]), 0);
            assert!(continuation.over());
        }
    }

    #[test]
    fn nothing_to_continue_is_silence() {
        let mut out = [1; 100];
        Continuation::of(&[5; 10]).fill(&mut out);
        assert_eq!(out, [0; 100]);
    }
}
