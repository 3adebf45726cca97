//! The import rules of the house: which module may name which, and where the big crates end.
//!
//! Reads the sources as tokens, so comments and texts do not count. Unit tests may name what they
//! need from anywhere above or beside (a decoder is tested with an encoder's output), but even
//! there each big crate keeps to its folder.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// What everybody speaks of; names nobody but itself.
const VOCABULARY: [&str; 10] = [
    "allowance",
    "clock",
    "fanout",
    "id",
    "media",
    "payload",
    "quiet",
    "signalling",
    "stats",
    "strict_json",
];

/// Which modules each module may name besides itself and the vocabulary.
const MAY_NAME: [(&str, &[&str]); 18] = [
    ("memory", &[]),
    ("fuzz", &[]),
    ("gst", &[]),
    ("decode", &["gst"]),
    ("encode", &["gst"]),
    ("mix", &["gst", "decode", "encode"]),
    ("peer", &[]),
    ("room", &["gst", "decode", "encode", "mix", "peer"]),
    ("package", &[]),
    ("trust", &[]),
    ("store", &["trust"]),
    ("record", &["gst", "encode", "package", "room", "store"]),
    ("stream", &["gst", "encode", "package", "room", "trust"]),
    ("config", &["encode", "record", "room", "store", "stream"]),
    ("systemd", &[]),
    (
        "server",
        &["config", "gst", "peer", "record", "room", "stream"],
    ),
    (
        "load",
        &[
            "config", "gst", "decode", "encode", "mix", "peer", "room", "server", "tradeoff",
        ],
    ),
    ("tradeoff", &[]),
];

/// `main.rs` and `lib.rs` join the parts and may name all of them.
const ROOTS: [&str; 2] = ["main", "lib"];

/// Crates that must not spread: the modules that may name them.
const CRATES: [(&str, &[&str]); 16] = [
    ("webrtc", &["peer"]),
    ("rtc", &["peer"]),
    ("gstreamer", MEDIA),
    ("gstreamer_app", MEDIA),
    ("gstreamer_rtp", MEDIA),
    ("gstreamer_video", MEDIA),
    ("opus", &["decode", "encode", "mix", "load", "record"]),
    ("mp4_atom", &["package"]),
    ("tower_http", &["server"]),
    ("axum", &["server"]),
    ("hyper", &["server", "store"]),
    ("hyper_util", &["server", "store"]),
    ("object_store", &["store"]),
    ("rcgen", &["server"]),
    ("rustls", &["server", "trust"]),
    ("tokio_rustls", &["server", "trust"]),
];

/// Where GStreamer is at home.
const MEDIA: &[&str] = &["gst", "decode", "mix", "encode", "stream", "load"];

#[test]
fn modules_name_only_what_lies_below_them() {
    let mut wrong = Vec::new();
    for file in sources() {
        let module = file.module.as_str();
        if ROOTS.contains(&module) || file.is_test {
            continue;
        }
        let allowed = allowed(module);
        for name in modules_named(&file.tokens(Tests::Left)) {
            if name != module && !allowed.contains(name.as_str()) {
                wrong.push(format!("{} names crate::{name}", file.path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "against the import rules:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn big_crates_stay_in_their_folders() {
    let mut wrong = Vec::new();
    for file in sources() {
        let tokens = file.tokens(Tests::Kept);
        for (name, homes) in CRATES {
            if !homes.contains(&file.module.as_str()) && names_crate(&tokens, name) {
                wrong.push(format!("{} names the crate {name}", file.path.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "against the import rules:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_rules_are_read_from_tokens() {
    let tokens = |text: &str, tests| flatten(text.parse().expect("valid tokens"), tests);
    let source = "
        // crate::comment
        use crate::media::{Kind, Size};
        use crate::{decode::video, encode as e, gst};
        const TEXT: &str = \"crate::text\";
        fn f() { webrtc.start(); let x = crate::mix::layout::grid(); gstreamer_app::go(); }
        #[cfg(test)] mod tests { use crate::room; use rtc as core; }
    ";
    let left = tokens(source, Tests::Left);
    let named: Vec<_> = modules_named(&left).into_iter().collect();
    assert_eq!(named, ["decode", "encode", "gst", "media", "mix"]);
    assert!(modules_named(&tokens(source, Tests::Kept)).contains("room"));
    assert!(names_crate(&left, "gstreamer_app"));
    assert!(!names_crate(&left, "webrtc"), "a variable is no crate");
    assert!(names_crate(&tokens(source, Tests::Kept), "rtc"));
    assert!(
        !names_crate(&tokens("use crate::rtc::x;", Tests::Kept), "rtc"),
        "a module is no crate"
    );
}

/// One source file.
struct Source {
    path: PathBuf,
    /// The first part of its module path: `decode` for `src/decode/video.rs`.
    module: String,
    /// The whole file is a test module.
    is_test: bool,
}

/// Whether `#[cfg(test)]` modules count.
#[derive(Clone, Copy, PartialEq)]
enum Tests {
    Kept,
    Left,
}

impl Source {
    fn tokens(&self, tests: Tests) -> Vec<String> {
        let text = fs::read_to_string(&self.path).expect("a readable source file");
        // A `#!` line or inner attribute at the head is a token like others.
        let stream = text.parse().unwrap_or_else(|error| {
            panic!("{} is not Rust: {error}", self.path.display());
        });
        flatten(stream, tests)
    }
}

fn allowed(module: &str) -> BTreeSet<&'static str> {
    let mut allowed = BTreeSet::from(VOCABULARY);
    if !VOCABULARY.contains(&module) {
        let (_, more) = MAY_NAME
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| panic!("tests/imports.rs has no rule for the module `{module}`"));
        allowed.extend(*more);
    }
    allowed
}

/// Every file under `src`.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let inside = path
                    .strip_prefix(&root)
                    .expect("below src")
                    .with_extension("");
                let mut parts = inside
                    .iter()
                    .map(|part| part.to_string_lossy().into_owned());
                let module = parts.next().expect("a file has a name");
                let is_test = parts.any(|part| part == "tests");
                found.push(Source {
                    path,
                    module,
                    is_test,
                });
            }
        }
    }
    assert!(found.len() > 10, "only {} files under src", found.len());
    found
}

/// All tokens in reading order; braces appear as tokens of their own.
fn flatten(stream: TokenStream, tests: Tests) -> Vec<String> {
    let mut out = Vec::new();
    let mut skip_block = false;
    for token in stream {
        match token {
            TokenTree::Group(group) => {
                if skip_block && group.delimiter() == Delimiter::Brace {
                    skip_block = false;
                    continue;
                }
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::None => ("", ""),
                };
                out.push(open.to_owned());
                out.extend(flatten(group.stream(), tests));
                out.push(close.to_owned());
                if tests == Tests::Left && out.ends_with(&CFG_TEST.map(str::to_owned)) {
                    skip_block = true;
                }
            }
            TokenTree::Punct(punct) => {
                // `mod tests;` has no block.
                skip_block &= punct.as_char() != ';';
                out.push(punct.to_string());
            }
            other => out.push(other.to_string()),
        }
    }
    out
}

const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];

/// The first parts of all paths that begin with `crate::`.
fn modules_named(tokens: &[String]) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for at in 0..tokens.len() {
        let Some([head, ":", ":", next]) = window(tokens, at) else {
            continue;
        };
        // In `use quilt::…` of main.rs the crate goes by its own name.
        if head != "crate" {
            continue;
        }
        if next != "{" {
            named.insert(next.to_owned());
            continue;
        }
        // `crate::{a, b::c, d::{e, f}}`: what follows the brace or a comma, at this depth.
        let mut depth = 0;
        for inner in at + 3..tokens.len() {
            match tokens[inner].as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                _ => {}
            }
            let first = matches!(tokens[inner].as_str(), "{" | ",");
            if first && depth == 1 && tokens[inner + 1] != "}" {
                named.insert(tokens[inner + 1].clone());
            }
            if depth == 0 {
                break;
            }
        }
    }
    named
}

/// Whether a path begins with this crate's name, or a `use` renames it.
fn names_crate(tokens: &[String], name: &str) -> bool {
    (0..tokens.len())
        .filter(|&at| tokens[at] == name)
        .any(|at| {
            let before = |back: usize| at.checked_sub(back).map_or("", |at| tokens[at].as_str());
            let after = |ahead: usize| tokens.get(at + ahead).map_or("", String::as_str);
            let begins_path = before(1) != ":" || before(2) != ":" || !is_word(before(3));
            let goes_on = after(1) == ":" && after(2) == ":";
            begins_path && (goes_on || before(1) == "use")
        })
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_') || token == ">"
}

fn window(tokens: &[String], at: usize) -> Option<[&str; 4]> {
    let slice = tokens.get(at..at + 4)?;
    Some([&slice[0], &slice[1], &slice[2], &slice[3]])
}
