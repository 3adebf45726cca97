//! The layouts of one to nine tiles, as pictures that a person can look at.
//!
//! `BLESS=1 cargo test --test layouts` writes them anew; look at the difference before you commit.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fmt::Write;
use std::path::Path;

use quilt::media::{Layout, Size};
use quilt::mix::beside::places;

const LANDSCAPE: Size = Size::new(1280, 720);
const PORTRAIT: Size = Size::new(720, 1280);

/// Pixels a character stands for: characters are twice as high as wide.
const ACROSS: u32 = 16;
const DOWN: u32 = 32;

/// Draws a layout with each number of tiles.
fn drawn(layout: Layout, canvas: Size, numbers: std::ops::RangeInclusive<usize>) -> String {
    let mut text = String::new();
    for tiles in numbers {
        let places = places(layout, canvas, tiles, 16);
        let size = places.last().unwrap().size();
        write!(text, "{tiles} of {}x{}, at", size.width, size.height).unwrap();
        for place in &places {
            write!(text, " {},{}", place.x, place.y).unwrap();
        }
        if places[0].size() != size {
            let large = places[0].size();
            write!(text, ", the first of {}x{}", large.width, large.height).unwrap();
        }
        text.push('\n');
        for y in (0..canvas.height / DOWN).map(|y| y * DOWN + DOWN / 2) {
            for x in (0..canvas.width / ACROSS).map(|x| x * ACROSS + ACROSS / 2) {
                let tile = places.iter().position(|r| {
                    (r.x..r.x + r.width).contains(&x) && (r.y..r.y + r.height).contains(&y)
                });
                match tile {
                    Some(n) => write!(text, "{}", n + 1).unwrap(),
                    None => text.push('.'),
                }
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

fn compare(name: &str, drawn: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, drawn).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (line, (golden, drawn)) in golden.lines().zip(drawn.lines()).enumerate() {
        assert_eq!(golden, drawn, "{name}, line {}", line + 1);
    }
    assert_eq!(golden.len(), drawn.len());
}

#[test]
fn grids() {
    for (name, canvas) in [
        ("layouts-landscape.txt", LANDSCAPE),
        ("layouts-portrait.txt", PORTRAIT),
    ] {
        compare(name, &drawn(Layout::Grid, canvas, 1..=9));
    }
}

#[test]
fn a_speaker_and_the_others() {
    for (name, canvas) in [
        ("layouts-speaker-landscape.txt", LANDSCAPE),
        ("layouts-speaker-portrait.txt", PORTRAIT),
    ] {
        compare(name, &drawn(Layout::Speaker, canvas, 1..=9));
    }
}

#[test]
fn a_screen_and_who_speaks() {
    let (wide, tall) = (Size::new(1920, 1080), Size::new(1080, 1920));
    for (name, canvas) in [
        ("layouts-presentation-landscape.txt", wide),
        ("layouts-presentation-portrait.txt", tall),
    ] {
        compare(name, &drawn(Layout::Presentation, canvas, 1..=2));
    }
}

#[test]
fn one_alone() {
    for (name, canvas) in [
        ("layouts-solo-landscape.txt", LANDSCAPE),
        ("layouts-solo-portrait.txt", PORTRAIT),
    ] {
        compare(name, &drawn(Layout::Solo, canvas, 1..=1));
    }
}
