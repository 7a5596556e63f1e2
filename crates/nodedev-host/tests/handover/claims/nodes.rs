//! Processes that have a node of what is below a device open.

use std::fs;
use std::os::unix::fs::symlink;

use nodedev_driver::{DetachOptions, LibvirtCalls, Operations as _};
use nodedev_model::Outcome;
use nodedev_sys::DeviceNode;
use nodedev_sys::NodeKind::Block;
use nodedev_sys::open_files::{OpenFiles, Process};
use nodedev_testkit::fake_kernel::errno;

use crate::host::{PINNED, UNUSED, name, over, process, program, tree};

use super::{add, below, disks, node, opened, write};

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
        program(&kernel).detach(&name(PINNED)).unwrap();
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
    program(&kernel).detach(&name(PINNED)).unwrap();
    let forced = DetachOptions { force: true, ..DetachOptions::default() };
    program(&kernel).detach_with(&name(UNUSED), &forced).unwrap();
}

#[test]
fn graphics_cards_of_a_driver_with_nodes_of_its_own_are_refused_where_processes_are_hidden() {
    let mut tree = tree();
    let device = crate::host::function("0000:06:00.0").driver("nvidia");
    tree.iommu_group(20, device.path()).unwrap();
    add(&mut tree, device);
    let kernel = over(tree);
    opened(&kernel, 4000, "bash", "/dev/null");
    let error = program(&kernel).detach(&name("0000:06:00.0")).unwrap_err();
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
        program(&kernel).detach(&name(PINNED)).unwrap();
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
    program(&kernel).detach(&name(PINNED)).unwrap();
    opened(&kernel, 1, "systemd", "/dev/null");
    program(&kernel).detach(&name(UNUSED)).unwrap();
}

#[test]
fn what_vfio_serves_is_not_given_back_where_guests_may_not_be_shown() {
    let kernel = over(tree());
    program(&kernel).detach(&name(UNUSED)).unwrap();
    opened(&kernel, 4000, "bash", "/dev/null");
    let error = program(&kernel).reattach(&name(UNUSED)).unwrap_err();
    assert_eq!(error.code().0, 55, "{error}");
    assert!(error.message().contains("/proc does not show the processes of others"), "{error}");
    opened(&kernel, 1, "systemd", "/dev/null");
    program(&kernel).reattach(&name(UNUSED)).unwrap();
}

#[test]
fn a_process_whose_files_can_be_counted_and_not_be_named_refuses_what_has_nodes_and_nothing_else() {
    let mut tree = tree();
    node(&mut tree, "drm/card1", "class/drm", 1, "dri/card1");
    let kernel = over(tree);
    // As root without CAP_SYS_PTRACE finds it.
    opened(&kernel, 1, "systemd", "/dev/null");
    kernel.hide_link("proc/1/fd/0");
    let error = program(&kernel).detach_with(&name(UNUSED), &DetachOptions::default()).unwrap_err();
    assert!(error.message().contains("1 process could not be looked at"), "{error}");
    program(&kernel).detach(&name(PINNED)).unwrap();
}

#[test]
fn a_walk_for_which_no_more_files_may_be_open_is_an_error_wherever_that_happens() {
    let kernel = over(tree());
    opened(&kernel, 1, "systemd", "/dev/null");
    process(kernel.folder(), 7, "qemu-kvm", &["/dev/net/tun", "/dev/vfio/7", "anon_inode:[vfio-device]"]);
    let folder = kernel.folder().join("proc/7");
    for (place, link) in [("ns/mnt", "mnt:[1]"), ("ns/net", "net:[1]"), ("task/8/fd/3", "/dev/dri/card1")] {
        for pid in [1, 7] {
            let at = kernel.folder().join(format!("proc/{pid}/{place}"));
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            symlink(link, at).unwrap();
        }
    }
    fs::create_dir(folder.join("fdinfo")).unwrap();
    fs::write(folder.join("fdinfo/0"), "iff:\ttap0\n").unwrap();
    fs::write(folder.join("fdinfo/2"), "pos:\t0\n").unwrap();
    let walk = |step, errno| {
        kernel.restart();
        kernel.fail_at(step, errno);
        OpenFiles::of(&*kernel)
    };
    let files = |found: &OpenFiles| -> Vec<_> {
        let of_one = |found: &Process| (found.files.clone(), found.taps.clone(), found.vfio_devices.clone());
        found.processes.iter().map(of_one).collect()
    };
    let whole = walk(0, errno::EIO).unwrap();
    assert_eq!((whole.processes.len(), whole.unseen, whole.incomplete), (2, 0, None));
    let steps = kernel.steps();
    assert!(steps > 30, "{steps}");
    for step in 1..=steps {
        for errno in [errno::EMFILE, errno::ENFILE] {
            assert!(walk(step, errno).is_err_and(|error| error.is_exhausted()), "step {step} of {steps}");
        }
        // A process that ends meanwhile, or may not be looked at, costs itself alone; without the list of all there is none.
        for (errno, most) in [(errno::ESRCH, 0), (errno::EACCES, 1)] {
            match walk(step, errno) {
                Ok(found) => {
                    let least = if files(&found) == files(&whole) { 0 } else { most };
                    assert!((least..=most).contains(&found.unseen), "step {step} of {steps}: {found:?}");
                }
                Err(error) => assert_eq!(error.path(), "/proc"),
            }
        }
    }
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
    program(&kernel).detach(&name(UNUSED)).unwrap();
}
