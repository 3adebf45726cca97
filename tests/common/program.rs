//! The program in a process of its own.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// `quilt serve` on free ports of the loopback, and whatever else is said.
pub fn serve() -> Command {
    let any = "127.0.0.1:0";
    let mut command = Command::new(env!("CARGO_BIN_EXE_quilt"));
    command.args(["serve", "--listen", any, "--rtc-listen", any]);
    command
}

/// Starts it and reads the line that says where it listens.
pub fn start(command: &mut Command) -> (Child, Value) {
    let started = command.stdout(Stdio::piped()).spawn();
    let mut child = started.expect("quilt runs");
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("its output");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    (child, serde_json::from_str(&line).expect("JSON"))
}
