//! What the guest is made of, from Debian. QEMU and libvirt are installed; a kernel, busybox and kmod are only unpacked, in
//! `vm` of cargo's target folder, where the next run finds them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::root::output;
use super::{client, samples, systemd};
use crate::peers;

/// Depends on the present kernel of a release of Debian.
const KERNEL: &str = "linux-image-amd64";
const UNPACKED: &[&str] = &["busybox-static", "kmod"];
/// Of these the latest that this release of Debian has.
const INSTALLED: &[&str] = &[
    "qemu-system-x86",
    "libvirt-daemon",
    "libvirt-clients",
    "libvirt-daemon-driver-qemu",
    "libvirt-dev",
    "gcc",
    "dmsetup",
    "systemd",
];
/// The network card with virtual functions; QEMU 8 is the first to have it.
const CARD: &str = "name \"igb\"";

/// Debian's kernel, unpacked, and what comes with it.
pub(super) struct Kernel {
    /// Folder with the content of all packages.
    pub(super) root: PathBuf,
    pub(super) image: PathBuf,
    /// As `uname -r` prints it.
    pub(super) release: String,
    /// Folder with the modules that are built for it.
    pub(super) samples: PathBuf,
}

/// Installs and unpacks what is missing.
pub(super) fn ensure() -> Result<Kernel> {
    if !is_installed() {
        peers::add(INSTALLED, &[])?;
        if !is_installed() {
            bail!("{INSTALLED:?} are installed, but libvirt's driver or QEMU's igb (QEMU 8) is missing");
        }
    }
    let package = match kernel_package() {
        Ok(package) => package,
        // Images of containers come without apt's lists.
        Err(_) => {
            peers::update()?;
            kernel_package()?
        }
    };
    let release = package.trim_start_matches("linux-image-").to_owned();
    let cache = nodedev_testkit::target().join("vm");
    let root = cache.join(&package);
    if !root.exists() {
        let partial = cache.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)?;
        }
        let packages: Vec<&str> = [package.as_str()].into_iter().chain(UNPACKED.iter().copied()).collect();
        unpack(&packages, &partial)?;
        depmod(&partial, &partial, &release)?;
        fs::rename(&partial, &root)?;
    }
    let samples = samples::ensure(&release, &cache)?;
    Ok(Kernel { image: root.join("boot").join(format!("vmlinuz-{release}")), root, release, samples })
}

fn is_installed() -> bool {
    let cards = Command::new(super::qemu::PROGRAM).args(["-device", "help"]).output();
    let has_card = cards.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(CARD));
    has_card
        && super::root::libvirt_files().iter().all(|file| Path::new(file).exists())
        && super::root::has_programs()
        && systemd::is_installed()
        && Path::new(client::HEADER).exists()
}

fn kernel_package() -> Result<String> {
    let text = output(Command::new("apt-cache").args(["depends", "--important", KERNEL]))?;
    text.lines()
        .find_map(|line| {
            line.trim().strip_prefix("Depends: ").filter(|name| name.starts_with("linux-image-"))
        })
        .map(str::to_owned)
        .with_context(|| format!("apt knows no {KERNEL}: a source of Debian's has to be in its sources"))
}

/// Has the content of packages in a folder.
pub(super) fn unpack(packages: &[&str], root: &Path) -> Result<()> {
    peers::unpack(packages, root)?;
    // Since Debian 13 packages have their files in /usr only, where depmod does not look.
    if !root.join("lib").exists() {
        symlink("usr/lib", root.join("lib"))?;
    }
    Ok(())
}

/// Writes the lists of modules below `root`, by the `depmod` of the packages.
pub(super) fn depmod(packages: &Path, root: &Path, release: &str) -> Result<()> {
    // What a program is to do, kmod takes from the name that it is called by.
    let work = tempfile::tempdir()?;
    let program = work.path().join("depmod");
    symlink(kmod(packages)?, &program)?;
    output(Command::new(&program).arg("--basedir").arg(root).arg(release)).map(|_| ())
}

/// The program of the package kmod.
pub(super) fn kmod(packages: &Path) -> Result<PathBuf> {
    first(packages, &["usr/bin/kmod", "bin/kmod"])
}

/// The program of the package busybox-static.
pub(super) fn busybox(packages: &Path) -> Result<PathBuf> {
    first(packages, &["usr/bin/busybox", "bin/busybox"])
}

fn first(packages: &Path, files: &[&str]) -> Result<PathBuf> {
    let there = files.iter().map(|file| packages.join(file)).find(|path| path.is_file());
    there.with_context(|| {
        format!("none of {files:?} is in {}: remove that folder and try again", packages.display())
    })
}
