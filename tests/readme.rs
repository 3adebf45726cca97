//! What the README promises is there: its settings are those of `quilt serve`, with their
//! defaults, and every file it points to exists.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../README.md");

#[test]
fn the_settings_table_is_what_help_says() {
    let help = Command::new(env!("CARGO_BIN_EXE_quilt"))
        .args(["serve", "--help"])
        .output()
        .expect("quilt runs");
    assert!(help.status.success(), "quilt serve --help: {}", help.status);
    let help = String::from_utf8(help.stdout).expect("help is UTF-8");
    assert_eq!(in_readme(), in_help(&help));
}

#[test]
fn files_that_the_readme_points_to_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let links = README
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'));
    let files: Vec<_> = links
        .map(|(target, _)| target)
        .filter(|target| !target.contains("://"))
        .collect();
    assert!(files.len() > 3, "no links found in the README");
    for file in files {
        assert!(root.join(file).exists(), "the README points to {file}");
    }
}

/// Option with its value's name, and default, of every row such as
/// ``| `--fps N` | `25` | … |``.
fn in_readme() -> BTreeMap<String, String> {
    let rows = README.lines().filter(|line| line.starts_with("| `--"));
    let cell = |text: Option<&str>| text.unwrap_or_default().trim().replace('`', "");
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|');
        (cell(cells.next()), cell(cells.next()))
    })
    .collect()
}

/// The same from clap's text: an option, and its description with `[default: 25]` on the same
/// line or, where the description is long, on the ones below.
fn in_help(help: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut option = None;
    for line in help.lines().map(str::trim) {
        let line = line.strip_prefix("-h, ").unwrap_or(line);
        if line.starts_with("--") {
            // `--demo [<BOOL>]` where the value may be left out.
            let name = line.split("  ").next().unwrap_or(line);
            let name = name.replace(['<', '>', '[', ']'], "").replace("...", "");
            option = (name != "--help").then(|| {
                found.insert(name.clone(), String::new());
                name
            });
        }
        if let (Some(name), Some((_, rest))) = (&option, line.split_once("[default: ")) {
            let default = rest.split(']').next().unwrap_or_default();
            found.insert(name.clone(), default.to_owned());
        }
    }
    found
}
