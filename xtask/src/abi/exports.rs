//! What the library exports, and how it is linked, beside Debian's libvirt.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::library::{LIBVIRT, Name};

/// The nodes of symbols that libvirt's own programs, and our libraries, share with `libvirt.so.0`; not public.
const PRIVATE: &[&str] = &["LIBVIRT_PRIVATE_", "NODEDEV_PRIVATE"];
/// Libraries that come with every system.
const SYSTEM: &[&str] = &["libc.so", "libgcc_s.so", "libm.so", "ld-linux"];

/// Compares `ours` with the installed libvirt's library of that name.
pub(super) fn check(name: Name, ours: &Path) -> Result<String> {
    let theirs = installed(&name.soname())?;
    let (own, real) = (exports(ours)?, exports(&theirs)?);
    let mut wrong = String::new();
    for missing in real.difference(&own) {
        write!(wrong, "\n  missing: {missing}")?;
    }
    for leaked in own.difference(&real) {
        write!(wrong, "\n  exported, and not by libvirt: {leaked}")?;
    }
    let (our_nodes, nodes) = (nodes(name, ours)?, nodes(name, &theirs)?);
    if our_nodes != nodes {
        write!(wrong, "\n  the version nodes or their order differ: {our_nodes:?} in place of {nodes:?}")?;
    }
    dynamic(name, ours, &mut wrong)?;
    if !wrong.is_empty() {
        bail!("{} is not libvirt's:{wrong}", ours.display());
    }
    Ok(format!("{} symbols on {} nodes are those of {}", own.len(), nodes.len(), theirs.display()))
}

/// A library that the C compiler would link with.
pub(super) fn installed(name: &str) -> Result<PathBuf> {
    let printed = output(Command::new("cc").arg(format!("-print-file-name={name}")))?;
    let path = Path::new(printed.trim());
    // Where there is none, it prints the name.
    let path = path.canonicalize().ok().filter(|_| path.is_absolute());
    path.with_context(|| format!("{name} is not installed; `cargo xtask peers` installs it"))
}

/// `variable` or `function`, then `name@@node`, of each public symbol.
fn exports(library: &Path) -> Result<BTreeSet<String>> {
    let printed = output(
        Command::new("nm").args(["--dynamic", "--with-symbol-versions", "--defined-only"]).arg(library),
    )?;
    let mut found = BTreeSet::new();
    for line in printed.lines() {
        let mut words = line.split_whitespace().skip(1);
        let (Some(kind), Some(symbol)) = (words.next(), words.next()) else { continue };
        // A is a node itself.
        if kind == "A" || PRIVATE.iter().any(|node| symbol.contains(node)) {
            continue;
        }
        let what = if kind.eq_ignore_ascii_case("t") { "function" } else { "variable" };
        found.insert(format!("{what} {symbol}"));
    }
    Ok(found)
}

/// The version nodes in their order, each with the one that it inherits from.
fn nodes(name: Name, library: &Path) -> Result<Vec<String>> {
    let soname = name.soname();
    let printed = output(Command::new("readelf").args(["--version-info", "--wide"]).arg(library))?;
    let definitions = printed.split("Version needs section").next().unwrap_or_default();
    let mut nodes: Vec<String> = Vec::new();
    let mut is_private = false;
    for line in definitions.lines() {
        if let Some((_, name)) = line.split_once("  Name: ") {
            is_private = PRIVATE.iter().any(|node| name.starts_with(node));
            if !is_private && name != soname {
                nodes.push(name.to_owned());
            }
        } else if let (Some((_, parent)), false) = (line.split_once("Parent 1: "), is_private)
            && let Some(node) = nodes.last_mut()
        {
            write!(node, " of {parent}")?;
        }
    }
    Ok(nodes)
}

/// What the dynamic linker is told.
fn dynamic(name: Name, library: &Path, wrong: &mut String) -> Result<()> {
    let printed =
        output(Command::new("readelf").args(["--dynamic", "--program-headers", "--wide"]).arg(library))?;
    let has = |tag: &str, value: &str| printed.lines().any(|line| line.contains(tag) && line.contains(value));
    let soname = format!("[{}]", name.soname());
    for (tag, value) in [("(SONAME)", soname.as_str()), ("(FLAGS_1)", "NOW"), ("(FLAGS_1)", "NODELETE")] {
        if !has(tag, value) {
            write!(wrong, "\n  {tag} lacks {value}")?;
        }
    }
    if printed.contains("(TEXTREL)") {
        write!(wrong, "\n  its code has to be changed when it is loaded (TEXTREL)")?;
    }
    if printed.lines().any(|line| line.contains("GNU_STACK") && line.contains("RWE")) {
        write!(wrong, "\n  it needs a stack that can be executed")?;
    }
    let libvirt = format!("[{}]", LIBVIRT.soname());
    for line in printed.lines().filter(|line| line.contains("(NEEDED)")) {
        let is_libvirt = name != LIBVIRT && line.contains(&libvirt);
        if !is_libvirt && !SYSTEM.iter().any(|library| line.contains(library)) {
            write!(wrong, "\n  it needs more than the system's libraries: {}", line.trim())?;
        }
    }
    Ok(())
}

/// What a program prints.
pub(super) fn output(command: &mut Command) -> Result<String> {
    command.env("LC_ALL", "C");
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{program} can't be run"))?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
