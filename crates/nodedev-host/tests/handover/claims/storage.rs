//! File systems, swap, arrays, targets and whatever else uses a disk below a device.

use std::fs;

use nodedev_driver::{DetachOptions, ExplainOptions, LibvirtCalls, Operations as _};
use nodedev_model::Verdict;
use nodedev_testkit::tree::{Device, NodeKind, Tree};

use crate::host::{MOUNTS, UNUSED, built, name, over, process, program, tree};

use super::{Row, Situation, UNLESS_FORCED, add, below, disks, holds, node, nothing, opened, write};

/// A loop device whose image is a file.
fn image(tree: &mut Tree, file: &str) {
    let device = Device::new("devices/virtual/block/loop0", "class/block").devtype("disk");
    add(tree, device.node(NodeKind::Block, 7, 0, "loop0").attr("loop/backing_file", file));
}

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
            "a tape that the SCSI target passes on",
            |tree| {
                node(tree, "scsi_generic/sg3", "class/scsi_generic", 3, "sg3");
                write(tree, "sys/kernel/config/target/core/pscsi_0/tape/udev_path", "/dev/sg3\n");
            },
            nothing,
            "the SCSI target's backstore tape passes /dev/sg3 on",
        ),
        (
            "a process with a loop device whose image nobody sees any more",
            |tree| {
                write(tree, MOUNTS, "22 1 0:50 / / rw - fuse.own own rw\n");
                disks(tree);
                image(tree, "/root.img");
            },
            |kernel| opened(kernel, 9, "dd", "/dev/loop0"),
            "the host uses the file /root.img, and where that is stored is hidden",
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
                image(tree, "/dev/sda");
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
                image(tree, "/run/live/root.img");
            },
            nothing,
            "the file system at / is on sda",
        ),
        (
            "a live image on a disk that nobody sees any more",
            |tree| {
                write(tree, MOUNTS, "22 1 7:0 / / rw - squashfs /dev/loop0 ro\n");
                disks(tree);
                image(tree, "/run/live/root.img");
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
    let error = program(&over(tree)).detach(&name(UNUSED)).unwrap_err();
    assert!(error.message().contains("the file system at / is on sda"), "{error}");
}

#[test]
fn whatever_uses_storage_below_a_device_refuses_it_unless_forced() {
    let situations = storage();
    assert!(situations.len() >= 20);
    situations.iter().for_each(holds);
}

#[test]
fn a_disk_that_does_not_say_its_numbers_is_never_taken_for_one_that_nobody_has() {
    // What its `uevent` and the other files say, and whether it is refused.
    for (uevent, file, refused) in [
        ("DEVNAME=sda\n", None, true),
        ("", None, true),
        ("MAJOR=8\nMINOR=x\n", None, true),
        // A last line that has no end is none.
        ("MINOR=0\nMAJOR=8", None, true),
        ("DEVNAME=sda\n", Some(("dev", "8:0\n")), false),
        // Of several paths to a disk.
        ("DEVTYPE=disk\n", Some(("hidden", "1\n")), false),
    ] {
        let mut tree = tree();
        disks(&mut tree);
        let kernel = over(tree);
        let folder = kernel.folder().join("sys").join(below("host0/target0:0:0/0:0:0:0/block/sda"));
        let _ = fs::remove_file(folder.join("dev"));
        fs::write(folder.join("uevent"), uevent).unwrap();
        if let Some((name, content)) = file {
            fs::write(folder.join(name), content).unwrap();
        }
        let detached = program(&kernel).detach_with(&name(UNUSED), &DetachOptions::default());
        assert_eq!(detached.is_err(), refused, "{uevent:?} {file:?}: {detached:?}");
        if let Err(error) = detached {
            assert!(error.message().contains("it does not say what numbers its node has"), "{error}");
        }
    }
}

#[test]
fn a_disk_that_nobody_uses_is_free_whatever_files_the_host_swaps_on_and_mounts() {
    for (what, mounts, swaps, file) in [
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
        if let Some(file) = file {
            image(&mut tree, file);
            let line = format!("{mounts}30 22 7:0 / /snap/x ro - squashfs /dev/loop0 ro\n");
            fs::write(tree.root().join(MOUNTS), line).unwrap();
        }
        let kernel = over(tree);
        let explained = program(&kernel).explain(&name(UNUSED), &ExplainOptions::default()).unwrap();
        assert_eq!(explained.verdict, Verdict::Possible, "{what}: {:?}", explained.findings);
    }
}
