//! `libvirt.so.0`, linked of the static library of `nodedev-capi`.
//!
//! rustc can't give symbols versions. So the static library is what it makes, and the C compiler links it with the
//! version script that the crate's `build.rs` made of `symbols.toml`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nodedev_testkit::repository;
use serde_json::Value;

/// The name that programs look for at run time.
pub(crate) const SONAME: &str = "libvirt.so.0";
/// The name that the linker looks for.
pub(crate) const LINK_NAME: &str = "libvirt.so";
/// The release of libvirt whose interface this is.
pub(crate) const VERSION: &str = "11.3.0";
/// The name of the file, with libvirt's way to number that release.
pub(crate) const FILE: &str = "libvirt.so.0.11003.0";
const PACKAGE: &str = "nodedev-capi";
/// How the library is linked: bound when it is loaded and never unloaded, as Debian's, since there are destructors for
/// each thread; no symbol left open; nothing exported that the script does not name, and all that it names there.
const LINKING: &[&str] = &[
    "-shared",
    "-Wl,-soname,libvirt.so.0",
    "-Wl,--no-undefined-version",
    "-Wl,--gc-sections",
    "-Wl,--as-needed",
    "-Wl,-z,defs",
    "-Wl,-z,relro",
    "-Wl,-z,now",
    "-Wl,-z,nodelete",
];
/// What Rust's standard library stands on (`rustc --print native-static-libs`).
const SYSTEM: &[&str] = &["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"];

/// For what the library is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Library {
    /// For tests: the profile that tests are built in.
    Development,
    /// For use: optimized, without symbols for a debugger.
    Release,
}

/// A library that was built.
pub(crate) struct Built {
    /// The folder with the library under each of its names.
    pub(crate) dir: PathBuf,
    /// The library.
    pub(crate) file: PathBuf,
    /// `symbols.h`: each function of libvirt as `SYMBOL(RETURN, NAME, (ARGUMENTS))`.
    pub(crate) header: PathBuf,
}

/// Builds the library.
pub(super) fn build(library: Library) -> Result<Built> {
    let (archive, made) = compile(library)?;
    let profile = if library == Library::Release { "release" } else { "debug" };
    let dir = target().join("c-library").join(profile);
    fs::create_dir_all(&dir)?;
    let file = dir.join(FILE);
    // Linked beside it and moved into place, so that a program that runs meanwhile keeps the old one.
    let new = dir.join("new");
    let mut script = std::ffi::OsString::from("-Wl,--version-script=");
    script.push(made.join("libvirt.map"));
    let mut undefined = std::ffi::OsString::from("@");
    undefined.push(made.join("undefined"));
    let mut linker = Command::new("cc");
    linker.args(LINKING).arg(script).arg(undefined);
    if library == Library::Release {
        linker.arg("-Wl,--strip-debug");
    }
    linker.arg("-o").arg(&new).arg(archive).args(SYSTEM);
    let status = linker.status().context("cc can't be run; the library is linked with a C compiler")?;
    if !status.success() {
        bail!("{SONAME} can't be linked: {status}");
    }
    fs::rename(&new, &file)?;
    link(FILE, &dir.join(SONAME))?;
    link(SONAME, &dir.join(LINK_NAME))?;
    Ok(Built { dir, file, header: made.join("symbols.h") })
}

/// Makes `link` point to `target`, whatever was there.
pub(crate) fn link(target: &str, link: &Path) -> Result<()> {
    if link.symlink_metadata().is_ok() {
        fs::remove_file(link)?;
    }
    symlink(target, link).with_context(|| format!("cannot make the link {}", link.display()))
}

/// The static library, and the folder with what `build.rs` made.
fn compile(library: Library) -> Result<(PathBuf, PathBuf)> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", PACKAGE, "--message-format", "json-render-diagnostics"]);
    if library == Library::Release {
        command.arg("--release");
    }
    let output = command.current_dir(repository()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("{PACKAGE} can't be built");
    }
    let (mut archive, mut made) = (None, None);
    for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let message: Value = serde_json::from_slice(line).context("cargo printed no JSON")?;
        let of_package = |id: &Value| id.as_str().is_some_and(|id| id.contains(PACKAGE));
        if !of_package(&message["package_id"]) {
            continue;
        }
        match message["reason"].as_str() {
            Some("build-script-executed") => made = message["out_dir"].as_str().map(PathBuf::from),
            Some("compiler-artifact") => {
                let files = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let mut archives =
                    files.map(PathBuf::from).filter(|file| file.extension() == Some("a".as_ref()));
                archive = archives.next().or(archive);
            }
            _ => {}
        }
    }
    Ok((
        archive.with_context(|| format!("cargo names no static library of {PACKAGE}"))?,
        made.with_context(|| format!("cargo names no folder of {PACKAGE}'s build.rs"))?,
    ))
}

/// The folder for what is built.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}
