//! Whether programs that Debian linked with libvirt find in our libraries all that they need.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nodedev_testkit::target;

use super::exports::{installed, output};
use super::library::{Built, Name};

/// Bindings, each with a command that prints where its part in C is, from the folder with unpacked packages on.
const BINDINGS: &[(&str, &[&str])] = &[
    ("python3-libvirt", &["/usr/bin/python3", "-c", "import libvirtmod; print(libvirtmod.__file__)"]),
    ("libvirt_qemu", &["/usr/bin/python3", "-c", "import libvirtmod_qemu; print(libvirtmod_qemu.__file__)"]),
    ("libvirt_lxc", &["/usr/bin/python3", "-c", "import libvirtmod_lxc; print(libvirtmod_lxc.__file__)"]),
    (
        "Sys::Virt",
        &["perl", "-MSys::Virt", "-e", "print join qq(\\n), grep { /Virt/ } @DynaLoader::dl_shared_objects"],
    ),
    ("ruby-libvirt", &["ruby", "-rlibvirt", "-e", "puts $LOADED_FEATURES.grep(/_libvirt.so$/)"]),
    // Where programs in OCaml find the binding's part in C: in a folder named after the architecture and OCaml's version, or
    // in one that is not.
    ("libvirt-ocaml", &["find", "/usr/lib", "-name", "dllmllibvirt.so"]),
    ("libvirt-php", &["find", "libvirt-php", "-name", "libvirt-php.so"]),
    ("libvirt-dbus", &["find", "libvirt-dbus", "-path", "*/sbin/libvirt-dbus"]),
    // A program in Go has the binding in it.
    ("libvirt-go", &["find", "prometheus-libvirt-exporter", "-path", "*/bin/prometheus-libvirt-exporter"]),
];
/// Libraries on top of libvirt.
const LIBRARIES: &[&str] = &["libvirt-glib-1.0.so.0", "libvirt-gobject-1.0.so.0"];

/// Has the dynamic linker resolve every symbol of Debian's bindings with our libraries in place of libvirt's.
pub(super) fn check(built: &Built) -> Result<String> {
    let mut names = Vec::new();
    let mut wrong = String::new();
    let bindings = BINDINGS.iter().map(|(name, command)| (*name, binding(name, command)));
    let libraries = LIBRARIES.iter().map(|name| (*name, installed(name)));
    for (name, file) in bindings.chain(libraries) {
        resolve(name, &file?, built, &mut wrong)?;
        names.push(name);
    }
    if !wrong.is_empty() {
        bail!("programs for libvirt do not load:{wrong}");
    }
    Ok(format!("all symbols found by {}", names.join(", ")))
}

fn binding(name: &str, command: &[&str]) -> Result<PathBuf> {
    let [program, arguments @ ..] = command else { bail!("{name} has no command") };
    let unpacked = target().join("peers");
    let printed = output(Command::new(program).args(arguments).current_dir(&unpacked))
        .with_context(|| format!("{name} is not installed; `cargo xtask peers` installs it"))?;
    let path = printed.lines().next().unwrap_or_default();
    unpacked
        .join(path)
        .canonicalize()
        .with_context(|| format!("{name} does not say where it is, but {printed:?}"))
}

fn resolve(name: &str, file: &Path, built: &Built, wrong: &mut String) -> Result<()> {
    let ldd = Command::new("ldd")
        .arg("-r")
        .arg(file)
        .env("LC_ALL", "C")
        .env("LD_LIBRARY_PATH", &built.dir)
        .output()
        .context("ldd can't be run")?;
    let printed = [ldd.stdout, ldd.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let ours = built.dir.display().to_string();
    let of_library =
        |line: &str| Name::all().any(|library| line.contains(&format!("{} =>", library.soname())));
    let mut libraries = printed.lines().filter(|line| of_library(line)).peekable();
    if libraries.peek().is_none() || libraries.any(|line| !line.contains(&ours)) {
        write!(wrong, "\n  {name} does not use our libraries: {printed}")?;
    }
    // Symbols of the interpreter are its own business.
    let is_ours =
        |line: &&str| line.contains("symbol: vir") || line.contains("LIBVIRT_") || line.contains("NODEDEV_");
    for line in printed.lines().filter(is_ours) {
        write!(wrong, "\n  {name}: {}", line.trim())?;
    }
    Ok(())
}
