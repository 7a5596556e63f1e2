//! The programs of this workspace as tests run them: built if they are not up to date.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The command line `nodedev`. `NODEDEV_BIN` names another one.
///
/// # Errors
/// If cargo fails; its output is in the error.
pub fn nodedev() -> io::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    once(&BUILT, "NODEDEV_BIN", "nodedev-cli", "nodedev")
}

/// The daemon `nodedevd`. `NODEDEVD_BIN` names another one.
///
/// # Errors
/// If cargo fails; its output is in the error.
pub fn nodedevd() -> io::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    once(&BUILT, "NODEDEVD_BIN", "nodedevd", "nodedevd")
}

fn once(
    built: &OnceLock<Result<PathBuf, String>>,
    variable: &str,
    package: &str,
    program: &str,
) -> io::Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let build = || build(package, program).map_err(|error| error.to_string());
    built.get_or_init(build).clone().map_err(io::Error::other)
}

fn build(package: &str, program: &str) -> io::Result<PathBuf> {
    // The test runs from TARGET/PROFILE/deps; the program belongs beside it, in the same profile.
    let test = std::env::current_exe()?;
    let profile_dir = test
        .ancestors()
        .find(|dir| dir.file_name() == Some(OsStr::new("deps")))
        .and_then(Path::parent)
        .or_else(|| test.parent())
        .ok_or_else(|| io::Error::other("the test is in no directory"))?;
    let profile = match profile_dir.file_name().and_then(OsStr::to_str) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--package", package, "--bin", program, "--profile", profile]);
    if let Some(target) = profile_dir.parent() {
        command.arg("--target-dir").arg(target);
    }
    let output = command.current_dir(crate::repository()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(profile_dir.join(program))
}
