//! Looks into a film with FFmpeg's tools: whether it plays, when its pictures and sounds are, what
//! is seen and heard.

#![allow(dead_code, reason = "each test file uses a part")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

fn run(program: &str, arguments: &[&str], path: &Path) -> Vec<u8> {
    let mut command = Command::new(program);
    for argument in arguments {
        match *argument {
            "FILE" => command.arg(path),
            other => command.arg(other),
        };
    }
    let output = command.output().expect("FFmpeg is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.is_empty(), "{}: {said}", path.display());
    assert!(
        output.status.success(),
        "{}: {}",
        path.display(),
        output.status
    );
    output.stdout
}

/// Decodes all of it: FFmpeg has nothing to complain about.
pub fn plays(path: &Path) {
    run(
        "ffmpeg",
        &["-v", "error", "-i", "FILE", "-f", "null", "-"],
        path,
    );
}

/// What is known of a film.
#[derive(Debug)]
pub struct Film {
    /// Begin and length of each picture, seconds.
    pub pictures: Vec<(f64, f64)>,
    /// Those that begin anew.
    pub keyframes: Vec<f64>,
    /// Begin and length of each piece of sound, seconds.
    pub sounds: Vec<(f64, f64)>,
    /// The codec of the sound.
    pub sound: String,
    /// Sizes of the pictures.
    pub size: (u64, u64),
    /// Whether its index is before its samples.
    pub fast_start: bool,
    /// Seconds.
    pub length: f64,
}

impl Film {
    /// Reads one that plays.
    pub fn read(path: &Path) -> Self {
        plays(path);
        let what = [
            "-v",
            "error",
            "-show_packets",
            "-show_streams",
            "-show_format",
            "-of",
            "json",
            "FILE",
        ];
        let text = run("ffprobe", &what, path);
        let probed: Value = serde_json::from_slice(&text).expect("JSON");
        let number = |value: &Value| -> f64 {
            let text = value.as_str().expect("a number as text");
            text.parse().expect("a number")
        };
        let packets = probed["packets"].as_array().expect("packets");
        let of = |kind: &str| -> Vec<(f64, f64)> {
            let packets = packets.iter().filter(|p| p["codec_type"] == kind);
            let packets = packets.map(|p| (number(&p["pts_time"]), number(&p["duration_time"])));
            packets.collect()
        };
        let starts = packets.iter().filter(|p| {
            let flags = p["flags"].as_str().expect("flags");
            p["codec_type"] == "video" && flags.starts_with('K')
        });
        let streams = probed["streams"].as_array().expect("streams");
        let stream = |kind: &str| streams.iter().find(|s| s["codec_type"] == kind);
        let side = |side: &str| stream("video").map_or(0, |s| s[side].as_u64().expect("a side"));
        let bytes = std::fs::read(path).expect("the file");
        let place = |kind: &[u8]| bytes.windows(4).position(|four| four == kind);
        let sound = stream("audio").map(|s| s["codec_name"].as_str().expect("a name").to_owned());
        Self {
            pictures: of("video"),
            keyframes: starts.map(|p| number(&p["pts_time"])).collect(),
            sounds: of("audio"),
            sound: sound.unwrap_or_default(),
            size: (side("width"), side("height")),
            fast_start: place(b"moov") < place(b"mdat") && place(b"moof").is_none(),
            length: number(&probed["format"]["duration"]),
        }
    }

    /// Times between pictures, seconds.
    pub fn steps(&self) -> Vec<f64> {
        let pairs = self.pictures.windows(2);
        pairs.map(|pair| pair[1].0 - pair[0].0).collect()
    }

    /// The longest time without sound between its first and its last piece, seconds.
    pub fn silence(&self) -> f64 {
        let pairs = self.sounds.windows(2);
        let holes = pairs.map(|pair| pair[1].0 - pair[0].0 - pair[0].1);
        holes.fold(0.0, f64::max)
    }
}

/// When the picture becomes bright, by the film's clock, seconds.
pub fn flashes(path: &Path) -> Vec<f64> {
    let film = Film::read(path);
    let arguments = [
        "-v",
        "error",
        "-i",
        "FILE",
        "-fps_mode",
        "passthrough",
        "-an",
        "-vf",
        "scale=16:16,format=gray",
        "-f",
        "rawvideo",
        "-",
    ];
    let pixels = run("ffmpeg", &arguments, path);
    let bright = pixels.chunks(256).map(|picture| {
        let sum: u32 = picture.iter().map(|pixel| u32::from(*pixel)).sum();
        sum / 256 > 80
    });
    let times = film.pictures.iter().map(|(at, _)| *at);
    onsets(times.zip(bright))
}

/// When a sound begins after silence, by the film's clock, seconds.
pub fn beeps(path: &Path) -> Vec<f64> {
    let film = Film::read(path);
    let arguments = [
        "-v", "error", "-i", "FILE", "-vn", "-ac", "1", "-ar", "48000", "-f", "s16le", "-",
    ];
    let bytes = run("ffmpeg", &arguments, path);
    let samples = bytes
        .chunks_exact(2)
        .map(|b| i16::from_le_bytes([b[0], b[1]]));
    let samples: Vec<_> = samples.collect();
    let begin = film.sounds[0].0;
    // Of two milliseconds each.
    let loud = samples
        .chunks(96)
        .map(|some| some.iter().any(|s| s.unsigned_abs() > 1_000));
    let times = (0..).map(|number| begin + f64::from(number) * 0.002);
    let mut loud: Vec<_> = times.zip(loud).collect();
    // A tone has quiet places; a pause is longer.
    for at in (0..loud.len()).rev() {
        let soon = loud[at..].iter().take(25).any(|(_, loud)| *loud);
        let before = loud[..at].iter().rev().take(25).any(|(_, loud)| *loud);
        loud[at].1 |= soon && before;
    }
    onsets(loud.into_iter())
}

fn onsets(mut states: impl Iterator<Item = (f64, bool)>) -> Vec<f64> {
    let mut found = Vec::new();
    let mut before = states.next().is_none_or(|(_, on)| on);
    for (at, on) in states {
        if on && !before {
            found.push(at);
        }
        before = on;
    }
    found
}

/// How far sounds are behind their pictures, seconds: of each flash that has a beep near it.
pub fn skews(path: &Path) -> Vec<f64> {
    let (flashes, beeps) = (flashes(path), beeps(path));
    let nearest = |flash: &f64| {
        let skews = beeps.iter().map(|beep| beep - flash);
        let nearest = skews.min_by(|a, b| a.abs().total_cmp(&b.abs()));
        nearest.filter(|skew| skew.abs() < 0.4)
    };
    flashes.iter().filter_map(nearest).collect()
}
