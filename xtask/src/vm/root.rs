//! The guest's file system: the programs, the shared libraries that they need, kernel modules, and `tests/vm`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nodedev_testkit::{programs, repository};

use super::modules;
use super::packages::{self, Kernel};

/// Modules of the machine in `qemu.rs`, for guests, and for a file system on its disk.
const MODULES: &[&str] = &[
    "igb",
    "igbvf",
    "e1000",
    "e1000e",
    "nvme",
    "vfio_pci",
    "vfio_iommu_type1",
    "pci_stub",
    "ext4",
    "crc32c_generic",
];
const DRIVERS: &str = "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver";
const DAEMON: &str = "/usr/sbin/libvirtd";
const CLIENT: &str = "/usr/bin/virsh";
/// Models of processors, without which libvirt's QEMU driver does not start.
const CPU_MAP: &str = "/usr/share/libvirt/cpu_map";
const FOLDERS: &[&str] = &[
    "dev",
    "proc",
    "run",
    "sys",
    "tmp",
    "etc/libvirt",
    "mnt",
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "usr/lib64",
    "var/cache/libvirt",
    "var/lib/libvirt",
    "var/log/libvirt",
    "vm",
];
/// Links of the root folder; what Debian has had since release 12.
const MERGED: &[&str] = &["bin", "sbin", "lib", "lib64"];
/// What is in /etc. libvirtd needs the users, and is open to root, as there is nobody else.
const FILES: &[(&str, &str)] = &[
    ("etc/passwd", "root:x:0:0:root:/:/bin/sh\nlibvirt-qemu:x:64055:1::/:/bin/sh\n"),
    ("etc/group", "root:x:0:\nkvm:x:1:\nlibvirt:x:2:\nlibvirt-qemu:x:64055:\n"),
    ("etc/nsswitch.conf", "passwd: files\n"),
    (
        "etc/libvirt/libvirtd.conf",
        "auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nunix_sock_group = \"root\"\n",
    ),
    (
        "etc/libvirt/qemu.conf",
        "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\ncgroup_controllers = []\nstdio_handler = \"file\"\n",
    ),
];

/// Files of the installed libvirt that go into the guest.
pub(super) fn libvirt_files() -> Vec<String> {
    let drivers = ["nodedev", "qemu"].map(|name| format!("{DRIVERS}/libvirt_driver_{name}.so"));
    drivers.into_iter().chain([DAEMON, CLIENT, CPU_MAP].map(str::to_owned)).collect()
}

/// Fills `root`.
pub(super) fn make(kernel: &Kernel, root: &Path) -> Result<()> {
    for folder in FOLDERS {
        fs::create_dir_all(root.join(folder))?;
    }
    for name in MERGED {
        symlink(format!("usr/{name}"), root.join(name))?;
    }
    symlink("/run", root.join("var/run"))?;
    for (path, text) in FILES {
        fs::write(root.join(path), text)?;
    }
    busybox(&packages::busybox(&kernel.root)?, root)?;
    let mut linked = BTreeSet::new();
    for (program, own) in [("nodedev", programs::nodedev()?), ("nodedevd", programs::nodedevd()?)] {
        let place = root.join("usr/bin").join(program);
        output(Command::new("strip").arg("-o").arg(&place).arg(&own))?;
        linked.extend(libraries(&own)?);
    }
    let kmod = packages::kmod(&kernel.root)?;
    copy(&kmod, &root.join("usr/bin/kmod"))?;
    symlink("../bin/kmod", root.join("usr/sbin/modprobe"))?;
    linked.extend(libraries(&kmod)?);
    for file in libvirt_files() {
        let (from, to) = (Path::new(&file), root.join(file.trim_start_matches('/')));
        if from.is_dir() {
            files(from, &to)?;
        } else {
            copy(from, &to)?;
            linked.extend(libraries(from)?);
        }
    }
    for library in linked {
        let inside = library.strip_prefix("/usr").or_else(|_| library.strip_prefix("/"))?;
        copy(&library, &root.join("usr").join(inside))?;
    }
    kernel_modules(kernel, root)?;
    files(&repository().join("tests/vm"), &root.join("vm"))?;
    symlink("vm/init", root.join("init"))?;
    Ok(())
}

/// busybox under all its names but those of the programs that are there in full.
fn busybox(program: &Path, root: &Path) -> Result<()> {
    copy(program, &root.join("usr/bin/busybox"))?;
    for applet in output(Command::new(program).arg("--list"))?.split_whitespace() {
        if !matches!(applet, "busybox" | "modprobe") {
            symlink("busybox", root.join("usr/bin").join(applet))?;
        }
    }
    Ok(())
}

fn kernel_modules(kernel: &Kernel, root: &Path) -> Result<()> {
    let folder = Path::new("lib/modules").join(&kernel.release);
    let (from, to) = (kernel.root.join(&folder), root.join(&folder));
    let dependencies = fs::read_to_string(from.join("modules.dep")).context("cannot read modules.dep")?;
    for file in modules::with_dependencies(&dependencies, MODULES)? {
        copy(&from.join(&file), &to.join(&file))?;
    }
    for list in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        copy(&from.join(list), &to.join(list))?;
    }
    packages::depmod(&kernel.root, root, &kernel.release)
}

/// Shared libraries of a program, as the loader of this machine finds them, and the loader.
fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let text = output(Command::new("ldd").arg(program))?;
    if let Some(missing) = text.lines().find(|line| line.contains("not found")) {
        bail!("{} cannot run here: {}", program.display(), missing.trim());
    }
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

/// Copies the plain files of a folder.
fn files(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// Runs a program that has to succeed.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let name = Path::new(command.get_program()).file_name().map(OsStr::to_owned).unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("{name} can't be run"))?;
    if !output.status.success() {
        bail!("{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
