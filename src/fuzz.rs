//! Inputs for the tests of parsers: known ones, changed at random. Seeded, so a failure comes
//! again; `FUZZ_ROUNDS=1000000 cargo test --release fuzz` runs more rounds than every test run does.

use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

/// Rounds of an ordinary run: a fraction of a second for each parser.
const ROUNDS: usize = 20_000;
/// Changes to one input at most.
const CHANGES: usize = 6;
/// The longest input, bytes.
const LONGEST: usize = 4_096;

/// Rounds asked for.
fn rounds() -> usize {
    let asked = std::env::var("FUZZ_ROUNDS").ok();
    asked.map_or(ROUNDS, |n| n.parse().expect("FUZZ_ROUNDS is a number"))
}

/// Changed inputs, one a round.
pub fn mutants<'a>(corpus: &'a [&'a [u8]]) -> impl Iterator<Item = Vec<u8>> + 'a {
    let mut rng = SmallRng::seed_from_u64(0x5eed);
    (0..rounds()).map(move |_| {
        let mut bytes = pick(&mut rng, corpus).to_vec();
        for _ in 0..rng.random_range(1..=CHANGES) {
            change(&mut rng, &mut bytes, corpus);
        }
        bytes.truncate(LONGEST);
        bytes
    })
}

/// The same as text.
pub fn texts<'a>(corpus: &'a [&'a [u8]]) -> impl Iterator<Item = String> + 'a {
    mutants(corpus).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn pick<'a, T>(rng: &mut SmallRng, from: &'a [T]) -> &'a T {
    &from[rng.random_range(0..from.len())]
}

fn change(rng: &mut SmallRng, bytes: &mut Vec<u8>, corpus: &[&[u8]]) {
    let length = bytes.len();
    let at = rng.random_range(0..=length);
    let some = at..rng.random_range(at..=length.min(at + 32));
    match rng.random_range(0..9) {
        0 if length > 0 => bytes[rng.random_range(0..length)] ^= 1 << rng.random_range(0..8),
        // What lengths and counts are wrong about.
        1 if length > 0 => {
            let odd = [
                0, 1, 2, 3, 4, 0x7f, 0x80, 0xfe, 0xff, b'0', b'9', b'"', b'\n',
            ];
            bytes[rng.random_range(0..length)] = *pick(rng, &odd);
        }
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(some)),
        4 => {
            let again = bytes[some].to_vec();
            bytes.splice(at..at, again);
        }
        5 => rng.fill_bytes(&mut bytes[some]),
        6 => {
            let other = *pick(rng, corpus);
            let from = rng.random_range(0..=other.len());
            let to = rng.random_range(from..=other.len());
            bytes.splice(some, other[from..to].iter().copied());
        }
        7 => change_lines(rng, bytes),
        _ => bytes.insert(at, rng.random()),
    }
}

/// Drops, repeats or swaps whole lines: what is left is still half sensible.
fn change_lines(rng: &mut SmallRng, bytes: &mut Vec<u8>) {
    let mut lines: Vec<Vec<u8>> = bytes
        .split_inclusive(|b| *b == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    if lines.len() < 2 {
        return;
    }
    let (a, b) = (
        rng.random_range(0..lines.len()),
        rng.random_range(0..lines.len()),
    );
    match rng.random_range(0..3) {
        0 => drop(lines.remove(a)),
        1 => lines.insert(b, lines[a].clone()),
        _ => lines.swap(a, b),
    }
    *bytes = lines.concat();
}
