//! The guest's file system: the programs, the shared libraries that they need, kernel modules, and `tests/vm`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use nodedev_testkit::{programs, repository};

use super::packages::{self, Kernel};
use super::{client, modules, samples, systemd};

/// Modules of the machine in `qemu.rs`, for guests, and for what a host needs its devices for.
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
    "mdev",
    "fcoe",
    "veth",
    "bridge",
    "dm_mod",
    "raid1",
    "loop",
    "nfsd",
    "nfsv4",
    "bochs",
];
const DRIVERS: &str = "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver";
const DAEMON: &str = "/usr/sbin/libvirtd";
const CLIENT: &str = "/usr/bin/virsh";
/// Models of processors, without which libvirt's QEMU driver does not start.
const CPU_MAP: &str = "/usr/share/libvirt/cpu_map";
/// What libvirt compares documents with that update a device.
const SCHEMAS: &str = "/usr/share/libvirt/schemas";
/// Where programs are, in the guest as here.
const PROGRAM_FOLDERS: &[&str] = &["usr/bin", "usr/sbin", "bin", "sbin"];
/// Programs of this machine besides libvirt's. stdbuf has virsh print each event when it comes.
const PROGRAMS: &[&str] = &["mdevctl", "udevadm", "stdbuf", "dmsetup"];
/// What udevadm loads when it needs it, to load modules with; up to systemd 255 it is linked.
const LOADED: &str = "/usr/lib/x86_64-linux-gnu/libkmod.so.2";
/// What stdbuf has programs load.
const STDBUF: &str = "/usr/libexec/coreutils/libstdbuf.so";
/// Of udev's rules those that the devices here need. Names of interfaces stay the kernel's.
const RULES: &str = "/usr/lib/udev/rules.d";
const RULES_FILES: &[&str] =
    &["50-udev-default.rules", "60-mdevctl.rules", "60-persistent-storage.rules", "80-drivers.rules"];
const FOLDERS: &[&str] = &[
    "dev",
    "proc",
    "run",
    "sys",
    "tmp",
    "etc/libvirt",
    "etc/mdevctl.d/scripts.d/callouts",
    "etc/mdevctl.d/scripts.d/notifiers",
    // Without these mdevctl 1.4 does nothing, and libvirtd hears of no event then.
    "usr/lib/mdevctl/scripts.d/callouts",
    "usr/lib/mdevctl/scripts.d/notifiers",
    "mnt",
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "usr/lib64",
    "var/cache/libvirt",
    "var/lib/libvirt",
    "var/log/libvirt",
    "var/tmp",
    "etc/modprobe.d",
    "vm",
];
/// Links of the root folder; what Debian has had since release 12.
const MERGED: &[&str] = &["bin", "sbin", "lib", "lib64"];
/// What is in /etc. libvirtd needs the users, and is open to root, as there is nobody else.
const FILES: &[(&str, &str)] = &[
    ("etc/passwd", "root:x:0:0:root:/:/bin/sh\nlibvirt-qemu:x:64055:1::/:/bin/sh\n"),
    ("etc/group", "root:x:0:\nkvm:x:1:\nlibvirt:x:2:\nlibvirt-qemu:x:64055:\n"),
    ("etc/nsswitch.conf", "passwd: files\n"),
    // A screen that the kernel's console is not on.
    ("etc/modprobe.d/screen.conf", "options drm_kms_helper fbdev_emulation=0\n"),
    // There is nobody to ask. Its messages are looked at.
    (
        "etc/libvirt/nodedevd.conf",
        "auth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\nlog_outputs = \"2:file:/run/libvirt/nodedevd.log\"\n",
    ),
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
    drivers.into_iter().chain([DAEMON, CLIENT, CPU_MAP, SCHEMAS].map(str::to_owned)).collect()
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
    for program in PROGRAMS {
        let from = program_file(program)?;
        copy(&from, &root.join("usr/bin").join(program))?;
        linked.extend(libraries(&from)?);
    }
    client::make(root)?;
    linked.extend(systemd::make(root)?);
    linked.insert(LOADED.into());
    linked.extend(libraries(Path::new(LOADED))?);
    // Where udev's rule for mediated devices has it.
    symlink("../bin/mdevctl", root.join("usr/sbin/mdevctl"))?;
    symlink("../bin/udevadm", root.join("usr/sbin/systemd-udevd"))?;
    copy(Path::new(STDBUF), &root.join(STDBUF.trim_start_matches('/')))?;
    for file in RULES_FILES {
        let from = Path::new(RULES).join(file);
        copy(&from, &root.join("usr/lib/udev/rules.d").join(file))?;
    }
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
    for module in samples::MODULES {
        let file = format!("{module}.ko");
        copy(&kernel.samples.join(&file), &to.join("extra").join(&file))?;
    }
    packages::depmod(&kernel.root, root, &kernel.release)
}

/// Shared libraries of a program, as the loader of this machine finds them, and the loader.
pub(super) fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let text = output(Command::new("ldd").arg(program))?;
    if let Some(missing) = text.lines().find(|line| line.contains("not found")) {
        bail!("{} cannot run here: {}", program.display(), missing.trim());
    }
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

/// Whether the programs of this machine that go into the guest are there.
pub(super) fn has_programs() -> bool {
    PROGRAMS.iter().all(|program| program_file(program).is_ok())
}

fn program_file(program: &str) -> Result<PathBuf> {
    let places = PROGRAM_FOLDERS.iter().map(|folder| Path::new("/").join(folder).join(program));
    places.into_iter().find(|path| path.is_file()).with_context(|| format!("{program} is not installed"))
}

/// Copies the plain files of a folder.
pub(super) fn files(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
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
