//! Running the built program.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test program uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a run left.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A file of the tests' data.
pub(crate) fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// What the real virsh 11.3 printed.
pub(crate) fn virsh(name: &str) -> String {
    std::fs::read_to_string(data("virsh").join(name)).unwrap()
}

/// The program with arguments, which blanks separate.
pub(crate) fn command(args: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nodedev"));
    command.args(args.split_whitespace()).stdin(Stdio::null());
    command
}

pub(crate) fn run(args: &str) -> Ran {
    ran(&command(args).output().unwrap())
}

/// Runs on `test:///default`.
pub(crate) fn test_default(args: &str) -> Ran {
    run(&format!("--connect test:///default {args}"))
}

pub(crate) fn ran(output: &Output) -> Ran {
    Ran {
        code: output.status.code().expect("the program ends by itself"),
        stdout: String::from_utf8(output.stdout.clone()).unwrap(),
        stderr: String::from_utf8(output.stderr.clone()).unwrap(),
    }
}
