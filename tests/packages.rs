//! What is handed out besides the sources: the Debian package, its service and the image hold what
//! they name, and name only settings that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args as _;
use quilt::config::Written;

const PACKAGES: &str = include_str!("../.make/packages");
const DOCKERFILE: &str = include_str!("../Dockerfile");
const UNIT: &str = include_str!("../.debian/quilt.service");
const SETTINGS: &str = include_str!("../.debian/quilt.toml");
const ENVIRONMENT: &str = include_str!("../.debian/quilt.default");
const PROGRAM: &str = env!("CARGO_BIN_EXE_quilt");

#[test]
fn the_settings_file_has_every_setting_and_its_default() {
    let shipped: Written = toml::from_str(SETTINGS).expect("the file is valid");
    let settings = shipped.settle().expect("and so are its values");
    assert_eq!(
        values(UNIT, "WorkingDirectory=").next(),
        settings.data_dir.to_str()
    );

    let all: String = SETTINGS.lines().map(uncommented).collect();
    toml::from_str::<Written>(&all).expect("what is commented out is valid, too");
    let all: toml::Table = all.parse().expect("TOML");
    let command = Written::augment_args(clap::Command::new("serve"));
    let known: BTreeSet<_> = command
        .get_arguments()
        .filter_map(|a| a.get_long())
        .collect();
    assert_eq!(
        all.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        known
    );
    for argument in command.get_arguments() {
        let (name, help) = (argument.get_long(), argument.get_help());
        let (name, help) = (name.expect("a name"), help.expect("a text").to_string());
        let default = help
            .split_once("[default: ")
            .map(|(_, rest)| rest.trim_end_matches(']'));
        if let Some(default) = default.filter(|_| name != "data-dir") {
            let written = all[name].to_string();
            assert_eq!(written.trim_matches('"'), default, "{name}");
        }
    }
}

#[test]
fn variables_are_settings() {
    let command = Written::augment_args(clap::Command::new("serve"));
    let mut known: BTreeSet<_> = command
        .get_arguments()
        .filter_map(|a| a.get_env()?.to_str())
        .collect();
    known.extend(["QUILT_CONFIG", "QUILT_LOG"]);
    for (file, text) in [
        ("Dockerfile", DOCKERFILE),
        ("unit", UNIT),
        ("default", ENVIRONMENT),
    ] {
        let words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
        let variables: Vec<_> = words.filter(|word| word.starts_with("QUILT_")).collect();
        assert!(!variables.is_empty(), "no variable in the {file}");
        for variable in variables {
            assert!(known.contains(variable), "{variable} in the {file}");
        }
    }
}

#[test]
fn systemd_takes_the_unit_and_thinks_it_safe() {
    let unit = folder("unit").join("quilt.service");
    let program = values(UNIT, "ExecStart=").next().expect("a command");
    let (program, _) = program.split_once(' ').expect("with an argument");
    fs::write(&unit, UNIT.replace(program, PROGRAM)).expect("to write");
    let said = run("systemd-analyze", &["verify", "--man=no", utf8(&unit)]);
    assert_eq!(said, "", "systemd-analyze verify");
    // Of 10, in tenths; what is left is mostly what a server is there for: the network.
    run(
        "systemd-analyze",
        &[
            "security",
            "--offline=true",
            "--threshold=20",
            "--no-pager",
            utf8(&unit),
        ],
    );
}

#[test]
fn the_package_holds_what_its_parts_name() {
    let folder = folder("package");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join(".make/deb");
    let package = run(utf8(&script), &[PROGRAM, utf8(&folder)]);
    let package = package
        .lines()
        .last()
        .expect("the script names the package");

    let depends = run("dpkg-deb", &["--field", package, "Depends"]);
    let depends: BTreeSet<_> = depends
        .split(", ")
        .filter_map(|one| one.split_whitespace().next())
        .collect();
    for name in listed("run")
        .into_iter()
        .chain(["adduser", "libc6", "libgstreamer1.0-0"])
    {
        assert!(depends.contains(name), "it does not depend on {name}");
    }

    let tree = folder.join("tree");
    run("dpkg-deb", &["--raw-extract", package, utf8(&tree)]);
    let named = [
        "ExecStart=",
        "EnvironmentFile=-",
        "Environment=QUILT_CONFIG=",
        "WorkingDirectory=",
    ];
    for path in named.iter().flat_map(|key| values(UNIT, key)) {
        let path = path.split(' ').next().expect("a path");
        assert!(
            tree.join(path.trim_start_matches('/')).exists(),
            "{path} is not in it"
        );
    }
    for path in [
        "lib/systemd/system/quilt.service",
        "usr/share/man/man1/quilt-mcu.1.gz",
        "usr/share/doc/quilt-mcu/copyright",
        "usr/share/doc/quilt-mcu/notices.gz",
    ] {
        assert!(
            tree.join(path)
                .metadata()
                .is_ok_and(|file| file.len() > 500),
            "{path}"
        );
    }
    let conffiles = fs::read_to_string(tree.join("DEBIAN/conffiles")).expect("conffiles");
    assert_eq!(conffiles, "/etc/default/quilt\n/etc/quilt/quilt.toml\n");
    for script in ["postinst", "prerm", "postrm"] {
        run("sh", &["-n", utf8(&tree.join("DEBIAN").join(script))]);
    }
    let user = values(UNIT, "User=").next().expect("a user");
    let postinst = fs::read_to_string(tree.join("DEBIAN/postinst")).expect("postinst");
    assert!(
        postinst.contains(&format!("--no-create-home {user}\n")),
        "nobody makes {user}"
    );
    let help = run(utf8(&tree.join("usr/bin/quilt-mcu")), &["--help"]);
    assert!(help.contains("--drain-timeout"), "{help}");
}

#[test]
fn the_image_takes_what_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut copied = 0;
    for line in values(DOCKERFILE, "COPY ").filter(|line| !line.starts_with("--from")) {
        let source = line.split(' ').next().expect("a source");
        assert!(root.join(source).exists(), "{source}");
        copied += 1;
    }
    assert!(copied >= 3, "{copied} files copied");
    let needs: Vec<_> = DOCKERFILE
        .split("make/setup ")
        .skip(1)
        .filter_map(|rest| rest.split_whitespace().next())
        .collect();
    assert_eq!(needs, ["build", "run"], "a stage each");
    assert!(needs.iter().all(|need| !listed(need).is_empty()));
    assert_eq!(values(DOCKERFILE, "USER ").last(), Some("quilt"));
}

/// The values of all lines that begin with `key`.
fn values<'a>(text: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.strip_prefix(key))
}

/// A line of the settings file as if its setting were not commented out. Prose has a blank after
/// its sign.
fn uncommented(line: &str) -> String {
    let setting = line
        .strip_prefix('#')
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
    format!("{}\n", setting.unwrap_or(line))
}

/// The packages that are listed for `need`.
fn listed(need: &str) -> Vec<&'static str> {
    let lines = PACKAGES.lines().filter(|line| !line.starts_with('#'));
    let columns = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    columns
        .inspect(|columns| assert!(columns.len() > 3, "{columns:?} has no reason"))
        .filter(|columns| columns[0] == need)
        .map(|columns| columns[1])
        .collect()
}

/// An empty folder for a test of its own.
fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("packages")
        .join(name);
    if path.exists() {
        fs::remove_dir_all(&path).expect("to remove what an earlier run left");
    }
    fs::create_dir_all(&path).expect("a folder");
    path
}

fn utf8(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What a command says on standard output, or, where that is nothing, on standard error.
fn run(program: &str, arguments: &[&str]) -> String {
    // Compressing takes seconds and tells nothing.
    let output = Command::new(program)
        .args(arguments)
        .env("DPKG_DEB_COMPRESSOR_TYPE", "none")
        .output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; make test installs it"));
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let (said, complained) = (text(output.stdout), text(output.stderr));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {said}{complained}"
    );
    if said.is_empty() { complained } else { said }
}
