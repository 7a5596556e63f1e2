//! What the host, its guests and its processes have of a device or of what is below it: each situation is refused, with a text
//! that names who and what, and a device beside it is not.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;

use nodedev_driver::{DetachOptions, Driver, ExplainOptions};
use nodedev_model::{Effect, Outcome, Verdict};
use nodedev_sys::DeviceNode;
use nodedev_sys::NodeKind::Block;
use nodedev_testkit::fake_kernel::FakeKernel;
use nodedev_testkit::tree::{Device, NodeKind, Tree};

use crate::host::{
    BRIDGE, MOUNTS, NO_DISK, ONE, PINNED, TWO, UNUSED, built, disk, name, over, partition, process, program,
    tree,
};

/// A host on which something uses what is below [`UNUSED`], and nobody what is below [`PINNED`].
struct Situation {
    what: &'static str,
    build: fn(&mut Tree),
    /// What happens on it then.
    then: fn(&FakeKernel),
    /// In the message.
    told: &'static str,
    effect: Effect,
}

type Row = (&'static str, fn(&mut Tree), fn(&FakeKernel), &'static str);

const ALWAYS: Effect = Effect::Refused;
const UNLESS_FORCED: Effect = Effect::RefusedUnlessForced;

fn below(path: &str) -> String {
    format!("devices/pci0000:00/{BRIDGE}/{UNUSED}/{path}")
}

fn add(tree: &mut Tree, device: Device) {
    tree.add(&device).unwrap();
}

fn write(tree: &mut Tree, path: &str, content: &str) {
    tree.file(path, content.as_bytes()).unwrap();
}

/// A disk of either device, and mounts that are on neither.
fn disks(tree: &mut Tree) {
    disk(tree, UNUSED, "sda", 0);
    partition(tree, UNUSED, "sda", 1, 1);
    disk(tree, PINNED, "sdb", 16);
    if !tree.root().join(MOUNTS).exists() {
        tree.file(MOUNTS, NO_DISK).unwrap();
    }
}

fn node(tree: &mut Tree, path: &str, class: &str, number: u32, name: &str) {
    add(tree, Device::new(below(path), class).node(NodeKind::Char, 240, number, name));
}

/// A process that has a node open that belongs to something below the device.
fn opened(kernel: &FakeKernel, pid: u32, program: &str, node: &str) {
    process(kernel.folder(), pid, program, &["/dev/null", node]);
}

fn nothing(_: &FakeKernel) {}

fn storage() -> Vec<Situation> {
    let rows: &[Row] = &[
        (
            "a file system in a container's namespace alone",
            |tree| {
                disks(tree);
                write(tree, "proc/4242/mountinfo", "22 1 8:1 / /var/lib/pod rw - xfs /dev/sda1 rw\n");
            },
            |kernel| process(kernel.folder(), 4242, "postgres", &["/var/lib/pod/data"]),
            "the file system at /var/lib/pod of process 4242, in a namespace of its own, is on sda1",
        ),
        (
            "a file system that tells of itself, mounted where nobody sees it",
            |tree| {
                disks(tree);
                write(tree, "sys/fs/xfs/sda1/log/log_head_lsn", "1:2\n");
            },
            nothing,
            "a mounted file system (xfs) is on sda1",
        ),
        (
            "no list of mounts",
            |tree| {
                disks(tree);
                fs::remove_file(tree.root().join(MOUNTS)).unwrap();
            },
            nothing,
            "/proc/1/mountinfo is not there, which would tell what is mounted",
        ),
        (
            "a list of mounts that makes no sense",
            |tree| {
                write(tree, MOUNTS, "22 1 0:31 / / rw - tmpfs tmpfs rw\nnonsense\n");
                disks(tree);
            },
            nothing,
            "/proc/1/mountinfo makes no sense",
        ),
        (
            "a line of mounts without an end",
            |tree| {
                let line = format!("22 1 0:31 / / rw - tmpfs {} rw\n", "x".repeat(2 << 20));
                write(tree, MOUNTS, &line);
                disks(tree);
            },
            nothing,
            "/proc/1/mountinfo is larger than",
        ),
        (
            "a mapped device that nobody has mounted",
            |tree| {
                disks(tree);
                built(tree, "dm-0", 0, &["sda1"]);
                write(tree, "sys/devices/virtual/block/dm-0/dm/name", "vg-thin\n");
                let part = below("host0/target0:0:0/0:0:0:0/block/sda/sda1");
                tree.link(&format!("{part}/holders/dm-0"), "devices/virtual/block/dm-0").unwrap();
            },
            nothing,
            "dm-0 (vg-thin) is built upon sda1",
        ),
        (
            "an array that nobody has mounted",
            |tree| {
                disks(tree);
                built(tree, "md0", 0, &["sda"]);
                let disk = below("host0/target0:0:0/0:0:0:0/block/sda");
                tree.link(&format!("{disk}/holders/md0"), "devices/virtual/block/md0").unwrap();
            },
            nothing,
            "md0 is built upon sda",
        ),
        (
            "a disk that the kernel says somebody has for himself",
            disks,
            |kernel| kernel.claim("/dev/sda"),
            "the kernel, or a program, has for itself sda",
        ),
        (
            "such a disk whose content tells who that is",
            |tree| {
                disks(tree);
                write(tree, "run/udev/data/b8:1", "E:ID_FS_TYPE=drbd\n");
            },
            |kernel| kernel.claim("/dev/sda"),
            "DRBD has for itself sda",
        ),
        (
            "a disk whose node is not there to be asked",
            disks,
            |kernel| kernel.remove_node("/dev/sda"),
            "it is not known whether PCI device 0000:04:00.0 is in use: sda of the host",
        ),
        (
            "an imported pool of ZFS",
            |tree| {
                disks(tree);
                write(tree, "run/udev/data/b8:1", "E:ID_FS_TYPE=zfs_member\nE:ID_FS_LABEL=rpool\n");
                write(tree, "proc/spl/kstat/zfs/rpool/state", "ONLINE\n");
                write(tree, "proc/spl/kstat/zfs/arcstats", "1\n");
            },
            nothing,
            "the ZFS pool rpool is on sda1",
        ),
        (
            "a pool of ZFS on disks that nothing tells",
            |tree| {
                write(tree, MOUNTS, "22 1 0:25 / / rw - zfs rpool/ROOT/debian rw\n");
                disks(tree);
            },
            nothing,
            "nothing tells which disks the ZFS pool rpool is on",
        ),
        (
            "a backstore of the SCSI target",
            |tree| {
                disks(tree);
                write(tree, "sys/kernel/config/target/core/iblock_0/data/udev_path", "/dev/sda\n");
            },
            nothing,
            "the SCSI target's backstore data is on sda",
        ),
        (
            "a namespace of the NVMe target",
            |tree| {
                disks(tree);
                let file = "sys/kernel/config/nvmet/subsystems/s1/namespaces/7/device_path";
                write(tree, file, "/dev/sda1\n");
            },
            nothing,
            "the NVMe target's namespace 7 of s1 is on sda1",
        ),
        (
            "swap space by a name of the device mapper",
            |tree| {
                disks(tree);
                built(tree, "dm-7", 7, &["sda"]);
                write(tree, "sys/devices/virtual/block/dm-7/dm/name", "vg-swap\n");
                write(
                    tree,
                    "proc/swaps",
                    "Filename Type Size Used Priority\n/dev/mapper/vg-swap partition 1 0 -2\n",
                );
            },
            nothing,
            "swap space is on sda",
        ),
        (
            "swap space that cannot be found",
            |tree| {
                disks(tree);
                write(
                    tree,
                    "proc/swaps",
                    "Filename Type Size Used Priority\n/dev/mapper/gone partition 1 0 -2\n",
                );
            },
            nothing,
            "no device is known of the swap space /dev/mapper/gone",
        ),
        (
            "a file to swap on",
            |tree| {
                write(
                    tree,
                    MOUNTS,
                    "22 1 0:31 / / rw - tmpfs t rw\n23 22 8:1 / /srv rw - ext4 /dev/sda1 rw\n",
                );
                disks(tree);
                write(tree, "proc/swaps", "Filename Type Size Used Priority\n/srv/swapfile file 1 0 -2\n");
            },
            nothing,
            "the file system at /srv is on sda1",
        ),
        (
            "a controller that the NVMe target passes on whole",
            |tree| {
                node(tree, "nvme/nvme0", "class/nvme", 0, "nvme0");
                write(tree, "sys/kernel/config/nvmet/subsystems/s2/passthru/device_path", "/dev/nvme0\n");
            },
            nothing,
            "the NVMe target s2 passes /dev/nvme0 on",
        ),
        (
            "a file system whose device nothing tells",
            |tree| {
                write(tree, MOUNTS, "22 1 259:7 / / rw - ext4 /dev/nvme7n1 rw\n");
                disks(tree);
            },
            nothing,
            "it is not known whether PCI device 0000:04:00.0 is in use: nothing tells which device the file system at / is on",
        ),
        (
            "a file system on several disks that it names itself",
            |tree| {
                write(tree, MOUNTS, "22 1 0:50 / /b rw - bcachefs /dev/sdz:/dev/sda rw\n");
                disks(tree);
            },
            nothing,
            "the file system at /b is on sda",
        ),
        (
            "a loop device over a disk itself",
            |tree| {
                write(tree, MOUNTS, "22 1 7:0 / / rw - squashfs /dev/loop0 ro\n");
                disks(tree);
                let image = Device::new("devices/virtual/block/loop0", "class/block").devtype("disk");
                add(tree, image.node(NodeKind::Block, 7, 0, "loop0").attr("loop/backing_file", "/dev/sda"));
            },
            nothing,
            "the file system at / is on sda",
        ),
        (
            "what hibernation writes to",
            |tree| {
                disks(tree);
                write(tree, "sys/power/resume", "8:1\n");
            },
            nothing,
            "the memory of the host when it hibernates is on sda1",
        ),
        (
            "a live image on a disk",
            |tree| {
                write(
                    tree,
                    MOUNTS,
                    "22 1 7:0 / / rw - squashfs /dev/loop0 ro\n23 22 8:1 / /run/live rw - vfat /dev/sda1 rw\n",
                );
                disks(tree);
                let image = Device::new("devices/virtual/block/loop0", "class/block").devtype("disk");
                add(
                    tree,
                    image
                        .node(NodeKind::Block, 7, 0, "loop0")
                        .attr("loop/backing_file", "/run/live/root.img"),
                );
            },
            nothing,
            "the file system at / is on sda",
        ),
        (
            "a live image on a disk that nobody sees any more",
            |tree| {
                write(tree, MOUNTS, "22 1 7:0 / / rw - squashfs /dev/loop0 ro\n");
                disks(tree);
                let image = Device::new("devices/virtual/block/loop0", "class/block").devtype("disk");
                add(
                    tree,
                    image
                        .node(NodeKind::Block, 7, 0, "loop0")
                        .attr("loop/backing_file", "/run/live/root.img"),
                );
            },
            nothing,
            "the host uses the file /run/live/root.img, and where that is stored is hidden",
        ),
        (
            "the layer of an overlay that nobody sees any more",
            |tree| {
                write(
                    tree,
                    MOUNTS,
                    "22 1 0:40 / / rw - overlay overlay rw,lowerdir=/media/ro,upperdir=/media/rw\n",
                );
                disks(tree);
            },
            nothing,
            "the host uses the file /media/ro, and where that is stored is hidden",
        ),
    ];
    let row = |&(what, build, then, told)| Situation { what, build, then, told, effect: UNLESS_FORCED };
    rows.iter().map(row).collect()
}

#[test]
fn a_list_of_mounts_is_read_to_its_end_however_long_it_is() {
    let mut tree = tree();
    let mut mounts = Vec::new();
    let layers = "l".repeat(60_000);
    while mounts.len() < 65 << 20 {
        let line = format!("23 22 0:99 / /c rw - overlay overlay rw,lowerdir=/{layers}\n");
        mounts.extend(line.as_bytes());
    }
    mounts.extend(b"22 1 8:0 / / rw - ext4 /dev/sda rw\n");
    tree.file(MOUNTS, &mounts).unwrap();
    disks(&mut tree);
    let error = program(&over(tree)).detach(&name(UNUSED), None).unwrap_err();
    assert!(error.message().contains("the file system at / is on sda"), "{error}");
}

/// Nodes of all kinds, each below the device: path, class, name, the program that has it open.
const NODES: &[(&str, &str, &str, &str)] = &[
    ("drm/card1", "class/drm", "dri/card1", "Xorg"),
    ("drm/renderD128", "class/drm", "dri/renderD128", "gnome-shell"),
    ("nvme/nvme0", "class/nvme", "nvme0", "nvme"),
    ("nvme/nvme0/ng0n1", "class/nvme-generic", "ng0n1", "spdk_tgt"),
    ("host0/target0:0:0/0:0:0:0/scsi_generic/sg0", "class/scsi_generic", "sg0", "sg_dd"),
    ("host0/target0:0:0/0:0:0:0/scsi_tape/nst0", "class/scsi_tape", "nst0", "bacula-sd"),
    ("host0/target0:0:0/0:0:0:0/scsi_changer/sch0", "class/scsi_changer", "sch0", "mtx"),
    ("sound/card0/pcmC0D0p", "class/sound", "snd/pcmC0D0p", "pipewire"),
    ("video4linux/video0", "class/video4linux", "video0", "ffmpeg"),
    ("infiniband_verbs/uverbs0", "class/infiniband_verbs", "infiniband/uverbs0", "ib_server"),
    ("infiniband_mad/umad0", "class/infiniband_mad", "infiniband/umad0", "opensm"),
    ("watchdog/watchdog0", "class/watchdog", "watchdog0", "systemd"),
    ("tty/ttyS4", "class/tty", "ttyS4", "agetty"),
    ("tpm/tpm0", "class/tpm", "tpm0", "tpm2-abrmd"),
    ("rtc/rtc1", "class/rtc", "rtc1", "chronyd"),
    ("usb1/1-5", "bus/usb", "bus/usb/001/005", "scdaemon"),
    ("usb1/1-5/1-5:1.0/0003:1/hidraw/hidraw0", "class/hidraw", "hidraw0", "steam"),
    ("usb1/1-5/1-5:1.0/input/input3/event3", "class/input", "input/event3", "systemd-logind"),
    ("accel/accel0", "class/accel", "accel/accel0", "python3"),
    ("ptp/ptp0", "class/ptp", "ptp0", "ptp4l"),
    ("dvb/dvb0.frontend0", "class/dvb", "dvb/adapter0/frontend0", "tvheadend"),
];

#[test]
fn whatever_uses_storage_below_a_device_refuses_it_unless_forced() {
    let situations = storage();
    assert!(situations.len() >= 20);
    situations.iter().for_each(holds);
}

#[test]
fn a_process_with_any_node_below_a_device_open_refuses_it_unless_forced() {
    for (place, (path, class, node_name, program_name)) in NODES.iter().enumerate() {
        let mut tree = tree();
        node(&mut tree, path, class, place as u32, node_name);
        let kernel = over(tree);
        let node = format!("/srv/jail/dev/{node_name}");
        opened(&kernel, 777, program_name, &node);
        let told = format!("is in use: process 777 ({program_name}) has /dev/{node_name} open");
        let error = program(&kernel).detach_with(&name(UNUSED), &DetachOptions::default()).unwrap_err();
        assert!(error.message().ends_with(&told), "{node_name}: {error}");
        program(&kernel).detach(&name(PINNED), None).unwrap();
        let forced = DetachOptions { force: true, ..DetachOptions::default() };
        program(&kernel).detach_with(&name(UNUSED), &forced).unwrap();
    }
}

#[test]
fn nodes_of_a_driver_belong_to_what_it_serves() {
    let gpu = "0000:07:00.0";
    let other = "0000:08:00.0";
    let cases: &[(&str, &str, Option<&str>, [bool; 2])] = &[
        ("nvidia", "/dev/nvidiactl", None, [true, true]),
        ("nvidia", "/dev/nvidia-uvm", None, [true, true]),
        ("nvidia", "/dev/nvidia0", Some("Device Minor: \t 0\n"), [true, false]),
        ("nvidia", "/dev/nvidia1", Some("Device Minor: \t 0\n"), [false, true]),
        ("nvidia", "/dev/nvidia0", None, [true, true]),
        ("amdgpu", "/dev/kfd", None, [true, true]),
        ("nouveau", "/dev/nvidia0", None, [false, false]),
    ];
    for (driver, open, first_minor, refused) in cases {
        let mut tree = tree();
        for (group, address) in [(20, gpu), (21, other)] {
            let card = crate::host::function(address).driver(*driver);
            tree.iommu_group(group, card.path()).unwrap();
            add(&mut tree, card);
        }
        if let Some(minor) = first_minor {
            write(&mut tree, &format!("proc/driver/nvidia/gpus/{gpu}/information"), minor);
            let second = format!("proc/driver/nvidia/gpus/{other}/information");
            write(&mut tree, &second, "Model: x\nDevice Minor: 1\n");
        }
        let kernel = over(tree);
        opened(&kernel, 1, "systemd", "/dev/null");
        opened(&kernel, 5, "Xorg", open);
        for (address, refused) in [gpu, other].into_iter().zip(refused) {
            let detached = program(&kernel).detach_with(&name(address), &DetachOptions::default());
            match detached {
                Ok(plan) => {
                    assert!(!refused && plan.outcome == Outcome::Changed, "{driver} {open} {address}")
                }
                Err(error) => {
                    assert!(*refused, "{driver} {open} {address}: {error}");
                    assert!(
                        error.message().contains(&format!("process 5 (Xorg) has {open} open")),
                        "{error}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_program_that_has_the_registers_of_a_device_open_refuses_it_unless_forced() {
    let kernel = over(tree());
    let registers = format!("/sys/{}", below("resource0"));
    opened(&kernel, 9, "flashrom", &registers);
    let error = program(&kernel).detach_with(&name(UNUSED), &DetachOptions::default()).unwrap_err();
    assert!(error.message().contains(&format!("process 9 (flashrom) has {registers} open")), "{error}");
    program(&kernel).detach(&name(PINNED), None).unwrap();
    let forced = DetachOptions { force: true, ..DetachOptions::default() };
    program(&kernel).detach_with(&name(UNUSED), &forced).unwrap();
}

fn guests() -> Vec<Situation> {
    fn mediated(tree: &mut Tree) {
        let uuid = "c18a1a5e-3f31-4b39-8d1c-1b7a1b6c2d01";
        add(tree, Device::new(below(uuid), "bus/mdev"));
        tree.iommu_group(12, &below(uuid)).unwrap();
    }
    fn interface(tree: &mut Tree, upper: &str) {
        add(tree, Device::new(below("net/eno2"), "class/net"));
        let device = Device::new(format!("devices/virtual/net/{upper}"), "class/net");
        add(tree, device.link("lower_eno2", below("net/eno2")));
    }
    let rows: &[Row] = &[
        (
            "a mediated device whose group a guest has",
            mediated,
            |kernel| opened(kernel, 5001, "qemu-kvm", "/dev/vfio/12"),
            "has the device c18a1a5e-3f31-4b39-8d1c-1b7a1b6c2d01, which a guest uses: process 5001 (qemu-kvm) has /dev/vfio/12 open",
        ),
        (
            "a mediated device whose own node a guest has",
            |tree| {
                mediated(tree);
                let path = "c18a1a5e-3f31-4b39-8d1c-1b7a1b6c2d01/vfio-dev/vfio3";
                node(tree, path, "class/vfio-dev", 3, "vfio/devices/vfio3");
            },
            |kernel| opened(kernel, 5001, "cloud-hyperviso", "/dev/vfio/devices/vfio3"),
            "process 5001 (cloud-hyperviso) has /dev/vfio/devices/vfio3 open",
        ),
        (
            "a vDPA device",
            |tree| node(tree, "vdpa0/vhost-vdpa-0", "class/vhost-vdpa", 0, "vhost-vdpa-0"),
            |kernel| opened(kernel, 5002, "qemu-kvm", "/dev/vhost-vdpa-0"),
            "process 5002 (qemu-kvm) has /dev/vhost-vdpa-0 open",
        ),
        (
            "a macvtap",
            |tree| {
                interface(tree, "macvtap0");
                let tap = Device::new("devices/virtual/net/macvtap0/macvtap/tap7", "class/macvtap");
                add(tree, tap.node(NodeKind::Char, 236, 1, "tap7"));
            },
            |kernel| opened(kernel, 5003, "qemu-kvm", "/dev/tap7"),
            "process 5003 (qemu-kvm) has /dev/tap7 open",
        ),
        (
            "a USB device that a virtual machine has",
            |tree| node(tree, "usb1/1-5", "bus/usb", 4, "bus/usb/001/005"),
            |kernel| opened(kernel, 5004, "qemu-kvm", "/dev/bus/usb/001/005"),
            "process 5004 (qemu-kvm) has /dev/bus/usb/001/005 open",
        ),
        (
            "a USB device that a virtual machine of whatever name has",
            |tree| node(tree, "usb1/1-5", "bus/usb", 4, "bus/usb/001/005"),
            |kernel| process(kernel.folder(), 8, "my-vmm", &["anon_inode:kvm-vm", "/dev/bus/usb/001/005"]),
            "process 8 (my-vmm) has /dev/bus/usb/001/005 open",
        ),
        (
            "registers that a program drives itself",
            |tree| node(tree, "uio/uio0", "class/uio", 0, "uio0"),
            |kernel| opened(kernel, 6, "dpdk-testpmd", "/dev/uio0"),
            "process 6 (dpdk-testpmd) has /dev/uio0 open",
        ),
    ];
    let row = |&(what, build, then, told)| Situation { what, build, then, told, effect: ALWAYS };
    rows.iter().map(row).collect()
}

#[test]
fn what_guests_have_below_a_device_refuses_it_also_if_forced() {
    guests().iter().for_each(holds);
    for Situation { what, build, then, told, .. } in guests() {
        let mut tree = tree();
        build(&mut tree);
        let kernel = over(tree);
        then(&kernel);
        let error = program(&kernel).reset(&name(UNUSED)).unwrap_err();
        let help = error.help().unwrap_or_default();
        assert!(error.message().contains(told) || help.contains(told), "{what}: {error} {help}");
        assert_eq!(kernel.resets(), [""; 0], "{what}");
    }
}

#[test]
fn a_group_without_iommu_that_a_program_has_refuses_its_device_always() {
    let kernel = over(tree());
    program(&kernel).detach(&name(UNUSED), None).unwrap();
    opened(&kernel, 4, "dpdk-l3fwd", "/dev/vfio/noiommu-8");
    let driver = program(&kernel);
    for error in [
        driver.reattach(&name(UNUSED)).unwrap_err(),
        driver.reset(&name(UNUSED)).unwrap_err(),
        driver.detach(&name(UNUSED), None).unwrap_err(),
    ] {
        assert_eq!(error.code().0, 55, "{error}");
        let help = error.help().unwrap();
        assert!(help.contains("process 4 (dpdk-l3fwd) has /dev/vfio/noiommu-8 open"), "{help}");
    }
}

#[test]
fn a_disk_that_nobody_uses_is_free_whatever_files_the_host_swaps_on_and_mounts() {
    for (what, mounts, swaps, image) in [
        ("a swap file of btrfs", "22 1 0:31 / / rw - btrfs /dev/sdb rw\n", "/swap/file file 1 0 -2\n", None),
        ("an image on btrfs", "22 1 0:31 / / rw - btrfs /dev/sdb rw\n", "", Some("/var/lib/snapd/x.snap")),
        (
            "an image on ZFS",
            "22 1 0:31 / / rw - btrfs /dev/sdb rw\n23 22 0:40 / /z rw - btrfs /dev/sdb rw\n",
            "",
            Some("/z/x"),
        ),
        ("an image in memory", "22 1 0:31 / / rw - tmpfs t rw\n", "", Some("/run/live.img")),
        (
            "an image on another machine",
            "22 1 0:31 / / rw - nfs4 10.0.0.1:/x rw,addr=10.0.0.1\n",
            "",
            Some("/x.img"),
        ),
    ] {
        let mut tree = tree();
        write(&mut tree, MOUNTS, mounts);
        disks(&mut tree);
        write(&mut tree, "proc/swaps", &format!("Filename Type Size Used Priority\n{swaps}"));
        if let Some(file) = image {
            let device = Device::new("devices/virtual/block/loop0", "class/block").devtype("disk");
            let device = device.node(NodeKind::Block, 7, 0, "loop0").attr("loop/backing_file", file);
            add(&mut tree, device);
            let line = format!("{mounts}30 22 7:0 / /snap/x ro - squashfs /dev/loop0 ro\n");
            fs::write(tree.root().join(MOUNTS), line).unwrap();
        }
        let kernel = over(tree);
        let explained = program(&kernel).explain(&name(UNUSED), &ExplainOptions::default()).unwrap();
        assert_eq!(explained.verdict, Verdict::Possible, "{what}: {:?}", explained.findings);
    }
}

#[test]
fn who_has_a_group_has_what_any_driver_serves_of_it_also_on_kernels_without_nodes_of_devices() {
    let mut tree = tree();
    let device = crate::host::function("0000:06:00.0").driver("mlx5_vfio_pci");
    tree.iommu_group(20, device.path()).unwrap();
    add(&mut tree, device);
    let kernel = over(tree);
    opened(&kernel, 7, "qemu-kvm", "/dev/vfio/20");
    for driver in [None, Some("vfio-pci")] {
        let error = program(&kernel).detach(&name("0000:06:00.0"), driver).unwrap_err();
        assert!(error.message().ends_with("PCI device 0000:06:00.0 is in use"), "{error}");
    }
    assert!(program(&kernel).reset(&name("0000:06:00.0")).is_err());
}

#[test]
fn a_card_whose_interface_is_in_another_network_namespace_is_refused_unless_forced() {
    for (other, refused) in [("net:[2]", true), ("net:[1]", false)] {
        let mut tree = tree();
        let device = crate::host::function("0000:06:00.0").driver("igb");
        tree.iommu_group(20, device.path()).unwrap();
        add(&mut tree, device);
        let kernel = over(tree);
        for (pid, namespace) in [(1, "net:[1]"), (77, other)] {
            process(kernel.folder(), pid, "sh", &["/dev/null"]);
            let folder = kernel.folder().join(format!("proc/{pid}/ns"));
            fs::create_dir_all(&folder).unwrap();
            symlink(namespace, folder.join("net")).unwrap();
        }
        let detached = program(&kernel).detach_with(&name("0000:06:00.0"), &DetachOptions::default());
        assert_eq!(detached.is_err(), refused, "{detached:?}");
        if let Err(error) = detached {
            assert!(error.message().contains("other network namespaces (process 77)"), "{error}");
        }
    }
}

#[test]
fn graphics_cards_of_a_driver_with_nodes_of_its_own_are_refused_where_processes_are_hidden() {
    let mut tree = tree();
    let device = crate::host::function("0000:06:00.0").driver("nvidia");
    tree.iommu_group(20, device.path()).unwrap();
    add(&mut tree, device);
    let kernel = over(tree);
    opened(&kernel, 4000, "bash", "/dev/null");
    let error = program(&kernel).detach(&name("0000:06:00.0"), None).unwrap_err();
    assert!(error.message().contains("/proc does not show the processes of others"), "{error}");
}

#[test]
fn a_device_that_is_called_otherwise_in_a_container_is_known_by_its_numbers() {
    for (namespace, refused) in [("mnt:[2]", true), ("mnt:[1]", false)] {
        let mut tree = tree();
        disks(&mut tree);
        let kernel = over(tree);
        for (pid, namespace, file) in [(1, "mnt:[1]", "/etc/passwd"), (4242, namespace, "/data/block0")] {
            process(kernel.folder(), pid, "postgres", &["/home/x", file]);
            let folder = kernel.folder().join(format!("proc/{pid}/ns"));
            fs::create_dir_all(&folder).unwrap();
            symlink(namespace, folder.join("mnt")).unwrap();
        }
        kernel.node_at("proc/4242/fd/1", DeviceNode { kind: Block, major: 8, minor: 0 });
        let detached = program(&kernel).detach_with(&name(UNUSED), &DetachOptions::default());
        assert_eq!(detached.is_err(), refused, "{namespace}");
        if let Err(error) = detached {
            assert!(error.message().contains("process 4242 (postgres) has /data/block0 open"), "{error}");
        }
        program(&kernel).detach(&name(PINNED), None).unwrap();
    }
}

#[test]
fn processes_that_cannot_be_seen_refuse_what_has_nodes_and_nothing_else() {
    let mut tree = tree();
    node(&mut tree, "drm/card1", "class/drm", 1, "dri/card1");
    let kernel = over(tree);
    // As with the option hidepid of /proc.
    opened(&kernel, 4000, "bash", "/dev/null");
    let error = program(&kernel).detach_with(&name(UNUSED), &DetachOptions::default()).unwrap_err();
    assert!(error.message().contains("/proc does not show the processes of others"), "{error}");
    program(&kernel).detach(&name(PINNED), None).unwrap();
    opened(&kernel, 1, "systemd", "/dev/null");
    program(&kernel).detach(&name(UNUSED), None).unwrap();
}

#[test]
fn links_that_only_look_like_nodes_of_a_device_do_not_count() {
    let mut tree = tree();
    disks(&mut tree);
    node(&mut tree, "drm/card1", "class/drm", 1, "dri/card1");
    let kernel = over(tree);
    for (pid, file) in
        [(1, "/dev/dri/card2"), (2, "/dev/shm/sda"), (3, "/home/x/dri/card1"), (4, "socket:[1]")]
    {
        opened(&kernel, pid, "bash", file);
    }
    let process = kernel.folder().join("proc/5/fd");
    fs::create_dir_all(&process).unwrap();
    symlink("/dev/sdb", process.join("0")).unwrap();
    // Of the other device alone.
    let error = program(&kernel).detach_with(&name(PINNED), &DetachOptions::default()).unwrap_err();
    assert!(error.message().contains("process 5 () has /dev/sdb open"), "{error}");
    program(&kernel).detach(&name(UNUSED), None).unwrap();
}

#[test]
fn many_devices_are_explained_and_planned_by_one_look_at_processes_mounts_and_routes() {
    let mut tree = tree();
    disks(&mut tree);
    let kernel = over(tree);
    for pid in 1..200 {
        opened(&kernel, pid, "bash", if pid == 150 { "/dev/sda" } else { "/dev/null" });
    }
    let names = [ONE, TWO, UNUSED, PINNED, BRIDGE].map(name);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let driver = program(&kernel);
    let mut alone = Vec::new();
    kernel.restart();
    for name in &names {
        alone.push(driver.explain(name, &ExplainOptions::default()).unwrap());
    }
    let one_by_one = kernel.steps();
    kernel.restart();
    let mut together = Vec::new();
    driver.explain_each(&names, &ExplainOptions::default(), &mut |_, told| {
        together.push(told.unwrap());
        ControlFlow::Continue(())
    });
    assert_eq!(together, alone);
    assert!(kernel.steps() * 4 < one_by_one, "{} and {one_by_one}", kernel.steps());

    let options = DetachOptions { dry_run: true, force: true, ..DetachOptions::default() };
    kernel.restart();
    let alone: Vec<_> = names.iter().map(|name| driver.detach_with(name, &options)).collect();
    let one_by_one = kernel.steps();
    kernel.restart();
    let mut together = Vec::new();
    driver.detach_each(&names, &options, &mut |_, told| {
        together.push(told);
        ControlFlow::Continue(())
    });
    assert_eq!(together, alone);
    assert!(kernel.steps() * 3 < one_by_one, "{} and {one_by_one}", kernel.steps());
    assert_eq!(kernel.writes(), []);
    // Whoever has seen enough says so.
    let mut seen = 0;
    driver.explain_each(&names, &ExplainOptions::default(), &mut |_, _| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert_eq!(seen, 1);
}

/// Refused without force, by whoever asks; allowed with force or not as it should be; explained; and the other device is free.
fn holds(situation: &Situation) {
    let Situation { what, build, then, told, effect } = situation;
    let mut tree = tree();
    build(&mut tree);
    let kernel = over(tree);
    then(&kernel);
    let driver = program(&kernel);
    let error = driver.detach_with(&name(UNUSED), &DetachOptions::default()).unwrap_err();
    assert_eq!(error.code().0, 55, "{what}: {error}");
    let help = error.help().unwrap_or_default();
    assert!(!help.is_empty(), "{what}: {error}");
    // libvirt's clients are kept from it as well.
    assert_eq!(driver.detach(&name(UNUSED), None).unwrap_err(), error, "{what}");
    assert_eq!(kernel.writes(), [], "{what}");
    let explanation = driver.explain(&name(UNUSED), &ExplainOptions::default()).unwrap();
    let finding = explanation.findings.iter().find(|finding| finding.problem.contains(told));
    let finding = finding.unwrap_or_else(|| panic!("{what}: {:?}", explanation.findings));
    assert_eq!(finding.effect, *effect, "{what}");
    let verdict = if *effect == ALWAYS { Verdict::Impossible } else { Verdict::Forced };
    assert_eq!(explanation.verdict, verdict, "{what}");
    // What is not known concerns all disks; what is known does not.
    if !finding.problem.contains("not known") {
        driver.detach(&name(PINNED), None).unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    let forced = DetachOptions { force: true, ..DetachOptions::default() };
    let forced = driver.detach_with(&name(UNUSED), &forced);
    assert_eq!(forced.is_err(), *effect == ALWAYS, "{what}: {forced:?}");
}
