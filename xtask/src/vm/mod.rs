//! `cargo xtask vm-test`: hands devices over for real, in a virtual machine with an emulated IOMMU.
//!
//! The guest is Debian's kernel with an initramfs made here: busybox, this workspace's programs, libvirt's, and `tests/vm`, whose
//! tables say what is done. Nothing of the machine that it runs on is touched.

mod cpio;
mod modules;
mod packages;
mod qemu;
mod qmp;
mod report;
mod root;
mod samples;

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nodedev_testkit::repository;

use report::Report;

/// Options of the task.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// How often nodedev and nodedevd are killed in the middle of an operation, half of it each
    #[arg(long, default_value_t = KILLS)]
    kills: u32,
    /// Print everything that the guest prints
    #[arg(long)]
    console: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { kills: KILLS, console: false }
    }
}

/// Where it can be run.
pub(crate) const WHERE: &str = "needs Debian on x86-64: its kernel is started in the guest";

/// Enough to find what fails often, in a minute.
const KILLS: u32 = 20;
/// What an emulated guest needs on a slow machine: for everything but the kills, and for each kill.
const PATIENCE: Duration = Duration::from_secs(900);
const PATIENCE_FOR_KILL: Duration = Duration::from_secs(12);

/// Whether this machine is one that it can be run on; Ubuntu has no such kernel.
pub(crate) fn is_possible() -> bool {
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    cfg!(target_arch = "x86_64") && system.lines().any(|line| line == "ID=debian")
}

/// Makes the guest, runs it, and says how its checks ended.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !is_possible() {
        bail!("vm-test {WHERE}");
    }
    let kernel = packages::ensure()?;
    let work = tempfile::Builder::new().prefix("nodedev-vm.").tempdir()?;
    println!("making the guest: Linux {}", kernel.release);
    let root = work.path().join("root");
    root::make(&kernel, &root)?;
    let initrd = work.path().join("initrd");
    cpio::write(&root, &initrd).context("cannot write the initramfs")?;
    let disk = work.path().join("disk");
    fs::File::create(&disk)?.set_len(qemu::DISK_BYTES)?;

    let tables = repository().join("tests/vm");
    let mut report = Report::expecting(&tables)?;
    let guest = qemu::Guest {
        kernel: &kernel.image,
        initrd: &initrd,
        disk: &disk,
        variables: &[("nodedev_kills", options.kills.to_string())],
        patience: PATIENCE + PATIENCE_FOR_KILL * options.kills,
    };
    let ended = guest.run(|line| {
        if report.take(line) || options.console {
            println!("{line}");
        }
    });
    let failures = report.finish();
    ended?;
    if failures > 0 {
        bail!("{failures} checks failed; --console shows what the guest prints besides");
    }
    Ok(())
}
