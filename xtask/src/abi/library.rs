//! `libvirt.so.0`, linked of the static library of `nodedev-capi`, and the small libraries beside it.
//!
//! rustc can't give symbols versions. So the static library is what it makes, and the C compiler links it with the
//! version script that the crate's `build.rs` made of `symbols/libvirt.toml`. The others are compiled of what it made of
//! their tables: each function has `libvirt.so.0` set the error that it fails with.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use nodedev_testkit::{repository, target};
use serde_json::Value;

/// The release of libvirt whose interface this is.
pub(crate) const VERSION: &str = "11.3.0";
/// libvirt's way to number that release in names of files.
const FILE_VERSION: &str = "11003.0";
const PACKAGE: &str = "nodedev-capi";

/// A library, by its name without ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name(pub(crate) &'static str);

/// libvirt's own library.
pub(crate) const LIBVIRT: Name = Name("libvirt");
/// Those beside it.
const BESIDE: [Name; 2] = [Name("libvirt-qemu"), Name("libvirt-lxc")];

impl Name {
    /// All libraries.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        std::iter::once(LIBVIRT).chain(BESIDE)
    }

    /// The name that programs look for at run time.
    pub(crate) fn soname(self) -> String {
        format!("{}.so.0", self.0)
    }

    /// The name that the linker looks for.
    pub(crate) fn link_name(self) -> String {
        format!("{}.so", self.0)
    }

    /// The name of the file.
    pub(crate) fn file(self) -> String {
        format!("{}.{FILE_VERSION}", self.soname())
    }
}

/// How a library is linked: bound when it is loaded and never unloaded, as Debian's, since there are destructors for
/// each thread; no symbol left open; nothing exported that the script does not name, and all that it names there.
const LINKING: &[&str] = &[
    "-shared",
    "-Wl,--no-undefined-version",
    "-Wl,--gc-sections",
    "-Wl,--as-needed",
    "-Wl,-z,defs",
    "-Wl,-z,relro",
    "-Wl,-z,now",
    "-Wl,-z,nodelete",
];
/// How the functions of the small libraries are compiled. What a callback of the program unwinds goes through them.
const COMPILING: &[&str] = &["-fPIC", "-O2", "-fexceptions", "-Wall"];
/// What Rust's standard library stands on (`rustc --print native-static-libs`).
const SYSTEM: [&str; 7] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"];

/// For what the library is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Library {
    /// For tests: the profile that tests are built in.
    Development,
    /// For use: optimized, without symbols for a debugger.
    Release,
}

/// Libraries that were built.
pub(crate) struct Built {
    /// The folder with the libraries under each of their names.
    pub(crate) dir: PathBuf,
    /// `symbols.h`: each function of libvirt as `SYMBOL(RETURN, NAME, (ARGUMENTS))`.
    pub(crate) header: PathBuf,
}

impl Built {
    /// Where a library is.
    pub(crate) fn file(&self, name: Name) -> PathBuf {
        self.dir.join(name.file())
    }
}

/// Builds the libraries.
pub(super) fn build(library: Library) -> Result<Built> {
    let (archive, made) = compile(library)?;
    let profile = if library == Library::Release { "release" } else { "debug" };
    let dir = target().join("c-library").join(profile);
    fs::create_dir_all(&dir)?;
    // Another one that links at the same time writes the same files.
    let lock = File::create(dir.join("lock"))?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    let built = Built { dir, header: made.join("symbols.h") };
    let mut undefined = OsString::from("@");
    undefined.push(made.join("undefined"));
    let of_crate = [&[undefined, archive.into()], SYSTEM.map(OsString::from).as_slice()].concat();
    built.link(LIBVIRT, library, &made, &of_crate)?;
    for name in BESIDE {
        let code = made.join(name.0).with_extension("c");
        let of_code = [COMPILING, &["-x", "c"]].concat().into_iter().map(OsString::from);
        let libvirt = ["-x", "none"].map(OsString::from).into_iter().chain([built.file(LIBVIRT).into()]);
        built.link(name, library, &made, &of_code.chain([code.into()]).chain(libvirt).collect::<Vec<_>>())?;
    }
    Ok(built)
}

impl Built {
    /// Links `parts` and gives the library its names.
    fn link(&self, name: Name, library: Library, made: &Path, parts: &[OsString]) -> Result<()> {
        // Linked beside it and moved into place, so that a program that runs meanwhile keeps the old one.
        let new = self.dir.join("new");
        let mut script = OsString::from("-Wl,--version-script=");
        script.push(made.join(name.0).with_extension("map"));
        let mut linker = Command::new("cc");
        linker.args(LINKING).arg(format!("-Wl,-soname,{}", name.soname())).arg(script);
        if library == Library::Release {
            linker.arg("-Wl,--strip-debug");
        }
        let status = linker.arg("-o").arg(&new).args(parts).status();
        let status = status.context("cc can't be run; the library is linked with a C compiler")?;
        if !status.success() {
            bail!("{} can't be linked: {status}", name.soname());
        }
        fs::rename(&new, self.file(name))?;
        link(&name.file(), &self.dir.join(name.soname()))?;
        link(&name.soname(), &self.dir.join(name.link_name()))
    }
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
