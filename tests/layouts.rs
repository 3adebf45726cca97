//! The layouts of one to nine tiles, as pictures that a person can look at.
//!
//! `BLESS=1 cargo test --test layouts` writes them anew; look at the difference before you commit.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fmt::Write;
use std::path::Path;

use quilt::media::Size;
use quilt::mix::layout::grid;

/// Pixels a character stands for: characters are twice as high as wide.
const ACROSS: u32 = 16;
const DOWN: u32 = 32;

fn drawn(canvas: Size) -> String {
    let mut text = String::new();
    for tiles in 1..=9 {
        let places = grid(canvas, tiles, 16);
        let size = places[0].size();
        write!(text, "{tiles} of {}x{}, at", size.width, size.height).unwrap();
        for place in &places {
            write!(text, " {},{}", place.x, place.y).unwrap();
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

fn compare(name: &str, canvas: Size) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    let drawn = drawn(canvas);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &drawn).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (line, (golden, drawn)) in golden.lines().zip(drawn.lines()).enumerate() {
        assert_eq!(golden, drawn, "{name}, line {}", line + 1);
    }
    assert_eq!(golden.len(), drawn.len());
}

#[test]
fn landscape() {
    compare("layouts-landscape.txt", Size::new(1280, 720));
}

#[test]
fn portrait() {
    compare("layouts-portrait.txt", Size::new(720, 1280));
}
