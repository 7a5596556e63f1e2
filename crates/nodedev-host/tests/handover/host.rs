//! The fake host that devices are handed over on.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use nodedev_driver::{DetachOptions, Error, ExplainOptions, LibvirtCalls, Operations as _, ReattachOptions};
use nodedev_host::HostDriver;
use nodedev_model::{Effect, Explanation, FindingKind, HandoverState, Handovers, Outcome};
use nodedev_sys::Root;
use nodedev_testkit::fake_kernel::FakeKernel;
use nodedev_testkit::tree::{Device, NodeKind, Tree};

/// Two functions of one card, in one IOMMU group, which the host uses.
pub(crate) const ONE: &str = "0000:03:00.0";
pub(crate) const TWO: &str = "0000:03:00.1";
/// A card of its own that no driver serves.
pub(crate) const UNUSED: &str = "0000:04:00.0";
/// A card of its own with an override from before.
pub(crate) const PINNED: &str = "0000:05:00.0";
/// Another function of the first card, which a driver keeps for somebody else.
pub(crate) const STUBBED: &str = "0000:03:00.2";
/// The bridge above all of them.
pub(crate) const BRIDGE: &str = "0000:00:1c.0";

/// The file systems of the host.
pub(crate) const MOUNTS: &str = "proc/1/mountinfo";
/// The file systems of a host that has none on a disk.
pub(crate) const NO_DISK: &[u8] = b"22 1 0:31 / / rw - tmpfs tmpfs rw\n";

pub(crate) fn name(address: &str) -> String {
    format!("pci_{}", address.replace([':', '.'], "_"))
}

/// A PCI function below the bridge, with what drivers and identity need.
pub(crate) fn function(address: &str) -> Device {
    let mut config = vec![0u8; 4096];
    config[0x0e] = 0;
    Device::new(format!("devices/pci0000:00/{BRIDGE}/{address}"), "bus/pci")
        .uevent("PCI_CLASS", "20000")
        .uevent("PCI_ID", "8086:10C9")
        .uevent("PCI_SLOT_NAME", address)
        .attr("vendor", "0x8086")
        .attr("device", "0x10c9")
        .attr("subsystem_vendor", "0x1af4")
        .attr("subsystem_device", "0x1100")
        .attr("class", "0x020000")
        .attr("modalias", "pci:v00008086d000010C9sv00001AF4sd00001100bc02sc00i00")
        .bytes("config", config)
}

pub(crate) fn tree() -> Tree {
    tree_with(&[ONE, TWO, UNUSED, PINNED])
}

/// A tree with some of the functions only, which is made faster.
pub(crate) fn tree_with(addresses: &[&str]) -> Tree {
    let mut tree = Tree::in_memory().unwrap();
    let mut bridge_config = vec![0u8; 4096];
    bridge_config[0x0e] = 1;
    tree.add(
        &Device::new(format!("devices/pci0000:00/{BRIDGE}"), "bus/pci")
            .driver("pcieport")
            .uevent("PCI_CLASS", "60400")
            .uevent("PCI_SLOT_NAME", BRIDGE)
            .attr("vendor", "0x8086")
            .attr("device", "0x3420")
            .attr("class", "0x060400")
            .bytes("config", bridge_config),
    )
    .unwrap();
    for (group, device) in [
        (7, function(ONE).driver("igb")),
        (7, function(TWO).driver("igb")),
        (7, function(STUBBED).driver("pciback").attr("driver_override", "pciback")),
        (8, function(UNUSED)),
        (9, function(PINNED).driver("uio").attr("driver_override", "uio")),
    ] {
        if addresses.iter().any(|address| device.path().ends_with(address)) {
            tree.add(&device).unwrap();
            tree.iommu_group(group, device.path()).unwrap();
        }
    }
    tree.iommu_group(1, &format!("devices/pci0000:00/{BRIDGE}")).unwrap();
    tree.file("proc/sys/kernel/random/boot_id", b"11111111-2222-3333-4444-555555555555\n").unwrap();
    tree.file("proc/sys/kernel/osrelease", b"6.12.0\n").unwrap();
    tree
}

/// A host with `vfio-pci` loaded.
pub(crate) fn host() -> Arc<FakeKernel> {
    over(tree())
}

pub(crate) fn over(tree: Tree) -> Arc<FakeKernel> {
    let kernel = FakeKernel::over(tree).unwrap();
    kernel.driver("vfio-pci", &[]).unwrap();
    Arc::new(kernel)
}

/// A program that starts on the host: its own driver, nothing remembered.
pub(crate) fn program(kernel: &Arc<FakeKernel>) -> HostDriver {
    let root = Root::open(kernel.folder()).unwrap();
    HostDriver::with_access(root, Arc::clone(kernel) as Arc<_>)
}

/// Driver and override of a function.
pub(crate) fn served(kernel: &FakeKernel, address: &str) -> (Option<String>, String) {
    (kernel.bound(address), kernel.driver_override(address))
}

pub(crate) fn is(driver: Option<&str>, driver_override: &str) -> (Option<String>, String) {
    (driver.map(str::to_owned), driver_override.to_owned())
}

pub(crate) fn detached() -> (Option<String>, String) {
    is(Some("vfio-pci"), "vfio-pci")
}

/// What a person is told who detaches a device.
pub(crate) fn detach(kernel: &Arc<FakeKernel>, address: &str, force: bool) -> Result<Outcome, Error> {
    let options = DetachOptions { force, ..DetachOptions::default() };
    program(kernel).detach_with(&name(address), &options).map(|plan| plan.outcome)
}

pub(crate) fn explain(kernel: &Arc<FakeKernel>, address: &str) -> Explanation {
    program(kernel).explain(&name(address), &ExplainOptions::default()).unwrap()
}

/// The host needs [`UNUSED`] for what is told: it is explained first of all, refused unless forced to people and to libvirt's
/// clients, and nothing is written; [`PINNED`] is free.
pub(crate) fn is_needed(kernel: &Arc<FakeKernel>, situation: &str, kind: FindingKind, told: &str) {
    let found = explain(kernel, UNUSED).findings.remove(0);
    assert_eq!((found.kind, found.effect), (kind, Effect::RefusedUnlessForced), "{situation}: {found:?}");
    let error = detach(kernel, UNUSED, false).expect_err(situation);
    let want = format!("PCI device {UNUSED} is needed by the host: {told}");
    assert!(error.message().contains(&want), "{situation}: {error}");
    assert_eq!((error.code().0, error.help().is_some()), (55, true), "{situation}");
    assert_eq!(program(kernel).detach(&name(UNUSED)).unwrap_err(), error, "{situation}");
    assert_eq!(kernel.writes(), [], "{situation}");
    detach(kernel, PINNED, false).expect(situation);
    detach(kernel, UNUSED, true).expect(situation);
}

/// A whole group is detached, or given back.
pub(crate) fn group() -> (DetachOptions, ReattachOptions) {
    (
        DetachOptions { group: true, ..DetachOptions::default() },
        ReattachOptions { group: true, ..ReattachOptions::default() },
    )
}

/// The journal, which must be readable.
pub(crate) fn journal(driver: &HostDriver) -> Vec<(String, HandoverState)> {
    let Handovers { entries, issues } = driver.handovers().unwrap();
    assert_eq!(issues, []);
    entries.into_iter().map(|entry| (entry.address.to_string(), entry.state)).collect()
}

pub(crate) fn message(error: &Error) -> (i32, i32, &str) {
    (error.code().0, error.domain().0, error.message())
}

/// A process with files open.
pub(crate) fn process(folder: &Path, pid: u32, command: &str, files: &[&str]) {
    let process = folder.join("proc").join(pid.to_string());
    std::fs::create_dir_all(process.join("fd")).unwrap();
    std::fs::write(process.join("comm"), format!("{command}\n")).unwrap();
    for (number, file) in files.iter().enumerate() {
        symlink(file, process.join("fd").join(number.to_string())).unwrap();
    }
}

/// Ends a process.
pub(crate) fn end(folder: &Path, pid: u32) {
    std::fs::remove_dir_all(folder.join("proc").join(pid.to_string())).unwrap();
}

/// A disk below a function, with its block device.
pub(crate) fn disk(tree: &mut Tree, function: &str, name: &str, minor: u32) {
    let path = format!("devices/pci0000:00/{BRIDGE}/{function}/host0/target0:0:0/0:0:0:0/block/{name}");
    tree.add(&Device::new(path, "class/block").node(NodeKind::Block, 8, minor, name).devtype("disk"))
        .unwrap();
}

pub(crate) fn partition(tree: &mut Tree, function: &str, disk: &str, number: u32, minor: u32) {
    let name = format!("{disk}{number}");
    let path =
        format!("devices/pci0000:00/{BRIDGE}/{function}/host0/target0:0:0/0:0:0:0/block/{disk}/{name}");
    let device = Device::new(path, "class/block").node(NodeKind::Block, 8, minor, &name).devtype("partition");
    tree.add(&device.attr("partition", number)).unwrap();
}

/// A block device that is built upon others.
pub(crate) fn built(tree: &mut Tree, name: &str, minor: u32, upon: &[&str]) {
    let path = format!("devices/virtual/block/{name}");
    let mut device = Device::new(path, "class/block").node(NodeKind::Block, 253, minor, name).devtype("disk");
    for slave in upon {
        let target = std::fs::read_link(tree.root().join("sys/class/block").join(slave)).unwrap();
        let target = target.to_string_lossy().replace("../../", "");
        device = device.link(format!("slaves/{slave}"), target);
    }
    tree.add(&device).unwrap();
}
