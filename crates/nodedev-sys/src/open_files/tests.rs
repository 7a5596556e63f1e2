//! Tests of the walk of all processes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::walk::Bounds;
use super::*;
use crate::Root;
use crate::{DeviceNode, NodeKind};

fn file(link: &str) -> OpenFile {
    OpenFile { link: link.into(), node: None }
}

#[test]
fn device_nodes_are_found_once_for_each_process_and_other_files_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("sys")).unwrap();
    for (pid, command, files) in [
        (
            "77",
            "qemu (x) 1",
            &["/dev/vfio/7", "/srv/jail/dev/vfio/7", "/dev/vfio/7", "/home/x", "socket:[7]"][..],
        ),
        (
            "9",
            "other",
            &["/dev/sda (deleted)", "/dev/shm/x", "/sys/devices/pci0000:00/0000:00:01.0/resource0"],
        ),
        ("1", "systemd", &["/etc/passwd", "/sys/devices/a/resource"]),
    ] {
        let process = folder.path().join("proc").join(pid);
        fs::create_dir_all(process.join("fd")).unwrap();
        fs::write(process.join("comm"), format!("{command}\n")).unwrap();
        for (number, file) in files.iter().enumerate() {
            symlink(file, process.join("fd").join(number.to_string())).unwrap();
        }
    }
    fs::create_dir_all(folder.path().join("proc/sys")).unwrap();
    let root = Root::open(folder.path()).unwrap();
    let found = OpenFiles::of(&root).unwrap();
    let process = |pid, command: &str, is_monitor, files: &[&str]| Process {
        pid,
        command: command.into(),
        is_monitor,
        files: files.iter().map(|link| file(link)).collect(),
        ..Process::default()
    };
    assert_eq!(
        found.processes,
        [
            process(
                9,
                "other",
                false,
                &["/dev/sda (deleted)", "/sys/devices/pci0000:00/0000:00:01.0/resource0"]
            ),
            process(77, "qemu (x) 1", true, &["/dev/vfio/7", "/srv/jail/dev/vfio/7"]),
        ]
    );
    assert_eq!((found.unseen, found.incomplete), (0, None));
    assert_eq!(found.namespaces, [[1], [9], [77]]);
}

#[test]
fn a_walk_that_does_not_see_the_first_process_or_no_proc_is_incomplete() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("sys")).unwrap();
    let root = Root::open(folder.path()).unwrap();
    assert!(OpenFiles::of(&root).unwrap().incomplete.is_some());
    fs::create_dir_all(folder.path().join("proc/7/fd")).unwrap();
    assert!(OpenFiles::of(&root).unwrap().incomplete.is_some());
    fs::create_dir_all(folder.path().join("proc/1/fd")).unwrap();
    assert_eq!(OpenFiles::of(&root).unwrap().incomplete, None);
}

#[test]
fn nodes_of_vfio_are_known_by_their_links_and_their_numbers_by_sysfs() {
    let folder = tempfile::tempdir().unwrap();
    for (device, number) in [("vfio/7", "240:1\n"), ("vfio-dev/vfio0", "239:0\n"), ("vfio/8", "x\n")] {
        let device = folder.path().join("sys/class").join(device);
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("dev"), number).unwrap();
    }
    let root = Root::open(folder.path()).unwrap();
    let char = |major, minor| Some(DeviceNode { kind: NodeKind::Char, major, minor });
    for (link, node, want) in [
        ("/dev/vfio/7", char(240, 1), Some("/dev/vfio/7")),
        ("/dev/vfio/7", None, Some("/dev/vfio/7")),
        ("/dev/vfio/7", char(240, 2), None),
        ("/srv/jail/dev/vfio/7", char(240, 1), Some("/dev/vfio/7")),
        ("/dev/vfio/devices/vfio0", char(239, 0), Some("/dev/vfio/devices/vfio0")),
        ("/dev/vfio/7 (deleted)", None, Some("/dev/vfio/7")),
        ("/dev/vfio/8", char(1, 3), Some("/dev/vfio/8")),
        ("/dev/vfio/noiommu-3", None, Some("/dev/vfio/noiommu-3")),
        ("/dev/sda", None, None),
        ("socket:[1]", None, None),
    ] {
        let file = OpenFile { link: link.into(), node };
        assert_eq!(vfio_node(&root, &file).as_deref(), want, "{link} {node:?}");
    }
}

#[test]
fn a_process_that_nobody_has_waited_for_is_in_no_namespace_and_in_nobodys_way() {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    let over = |state: String| state.rsplit(')').next().is_some_and(|rest| rest.trim().starts_with('Z'));
    while !fs::read_to_string(format!("/proc/{}/stat", child.id())).is_ok_and(over) {
        std::thread::yield_now();
    }
    let found = OpenFiles::of(&Root::live().unwrap()).unwrap();
    assert!(!found.namespaces.iter().flatten().any(|pid| *pid == child.id()), "{:?}", found.namespaces);
    child.wait().unwrap();
}

#[test]
fn a_node_is_found_that_a_thread_alone_has_and_one_behind_another_of_the_same_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("sys")).unwrap();
    for (place, link) in [("1/fd/0", "/dev/null"), ("7/task/7/x", "/"), ("7/task/8/fd/3", "/dev/dri/card1")] {
        let at = folder.path().join("proc").join(place);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(link, at).unwrap();
    }
    fs::create_dir_all(folder.path().join("proc/7/fd")).unwrap();
    let found = OpenFiles::of(&Root::open(folder.path()).unwrap()).unwrap();
    assert_eq!(found.processes.iter().map(|process| process.pid).collect::<Vec<_>>(), [1, 7]);
    assert_eq!(found.processes[1].files, [file("/dev/dri/card1")]);
}

#[test]
fn what_threads_have_for_themselves_is_found_and_what_they_share_is_looked_at_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("sys")).unwrap();
    for (place, link) in [
        ("1/fd/0", "/dev/null"),
        ("7/fd/3", "/dev/sda"),
        ("7/task/7/fd/3", "/dev/sda"),
        ("7/task/8/fd/3", "/dev/sda"),
        ("7/task/9/fd/3", "/dev/dri/card1"),
    ] {
        let at = folder.path().join("proc").join(place);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(link, at).unwrap();
    }
    let found = OpenFiles::of(&Root::open(folder.path()).unwrap()).unwrap();
    assert_eq!(found.processes[1].files, [file("/dev/sda"), file("/dev/dri/card1")]);
}

#[test]
fn a_node_that_one_thread_alone_opened_in_files_of_its_own_is_found_on_this_machine() {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let (end, is_over) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES).unwrap();
        let full = fs::File::open("/dev/full").unwrap();
        ready.send(nix::unistd::gettid().as_raw().cast_unsigned()).unwrap();
        let _ = is_over.recv();
        drop(full);
    });
    let thread_number = is_ready.recv().unwrap();
    let root = Root::live().unwrap();
    let own = std::process::id();
    match crate::ioctl::shares_files(own, own) {
        // What is shared is looked at once, and by which thread it is known whose the other is.
        Ok(is_shared) => {
            assert!(is_shared);
            assert_eq!(HostAccess::shares_files(&root, own, thread_number), Some(false));
            let (folder, mut is_whole) = (format!("proc/{own}"), true);
            let mut walk = Walk::new(&root, BOUNDS).unwrap();
            let tables = walk.tables(own, folder.as_bytes(), &mut is_whole).unwrap();
            let folders: Vec<_> =
                tables.iter().map(|(folder, _)| String::from_utf8_lossy(folder).into_owned()).collect();
            assert_eq!(folders, [format!("{folder}/fd"), format!("{folder}/task/{thread_number}/fd")]);
            assert!(is_whole);
        }
        Err(errno) => {
            let is_known = matches!(errno, rustix::io::Errno::NOSYS | rustix::io::Errno::PERM);
            assert!(is_known, "{errno}");
            eprintln!("NOT TESTED: kcmp is not to be had here ({errno}), so all threads are looked into");
            assert_eq!(HostAccess::shares_files(&root, own, thread_number), None);
        }
    }
    let found = OpenFiles::of(&root).unwrap();
    let own = found.processes.iter().find(|process| process.pid == std::process::id()).unwrap();
    assert!(own.files.iter().any(|file| file.link == b"/dev/full"), "{:?}", own.files);
    drop(end);
    thread.join().unwrap();
}

#[test]
fn what_vfio_made_of_devices_and_interfaces_of_tun_are_told_by_what_the_kernel_says_of_files() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("sys")).unwrap();
    let device = "/sys/devices/pci0000:e0/0000:e0:01.1/0000:e8:00.0";
    for (number, link, told) in [
        (3, "anon_inode:[vfio-device]", Some(format!("pos:\t0\nvfio-device-syspath: {device}\n"))),
        (4, "anon_inode:[vfio-device]", Some("pos:\t0\n".into())),
        (5, "anon_inode:[vfio-device]", None),
        (6, "anon_inode:[vfio-device]", Some("vfio-device-syspath: /sys/devices/../x\n".into())),
        (7, "/dev/net/tun", Some("pos:\t0\niff:\tvnet7\n".into())),
        (8, "/dev/net/tun", Some("pos:\t0\niff:\tvnet7\n".into())),
        (9, "/srv/jail/dev/net/tun", Some("iff:\ttap0\n".into())),
        (10, "/dev/net/tun", Some("iff:\t\n".into())),
        (11, "/dev/null", Some("iff:\teth0\n".into())),
    ] {
        let process = folder.path().join("proc/1");
        fs::create_dir_all(process.join("fd")).unwrap();
        fs::create_dir_all(process.join("fdinfo")).unwrap();
        symlink(link, process.join("fd").join(number.to_string())).unwrap();
        if let Some(told) = told {
            fs::write(process.join("fdinfo").join(number.to_string()), told).unwrap();
        }
    }
    let found = OpenFiles::of(&Root::open(folder.path()).unwrap()).unwrap();
    let path = device.strip_prefix('/').unwrap().as_bytes();
    // In the order of the names.
    assert_eq!(found.processes[0].vfio_devices, [Some(path.to_vec()), None, None, None]);
    let mut taps = found.processes[0].taps.clone();
    taps.sort_unstable();
    assert_eq!(taps, [&b"tap0"[..], b"vnet7"]);
}

/// A recording with a process of this number that has some files open, and what the kernel says of them.
fn opened(folder: &Path, pid: u32, files: &[(&str, String)]) {
    let process = folder.join(format!("proc/{pid}"));
    fs::create_dir_all(folder.join("sys")).unwrap();
    fs::create_dir_all(process.join("fd")).unwrap();
    fs::create_dir_all(process.join("fdinfo")).unwrap();
    for (number, (link, told)) in files.iter().enumerate() {
        symlink(link, process.join(format!("fd/{number}"))).unwrap();
        fs::write(process.join(format!("fdinfo/{number}")), told).unwrap();
    }
}

#[test]
fn what_the_kernel_says_of_a_file_can_be_long_and_what_cannot_be_read_costs_its_process_alone() {
    let folder = tempfile::tempdir().unwrap();
    let locks: String =
        (0..4000).map(|at| format!("lock:\t{at}: POSIX  ADVISORY  WRITE 7 00:05:1 {at} {at}\n")).collect();
    let long = "x".repeat(20 << 10);
    let tun = |told: String| ("/dev/net/tun", told);
    let files = [tun(format!("{locks}iff:\ttap1\n"))];
    opened(folder.path(), 1, &files);
    let device = ("anon_inode:[vfio-device]", long.clone());
    opened(folder.path(), 7, &[tun(format!("{long}\niff:\ttap7\n")), device, ("/dev/sda", "".into())]);
    opened(folder.path(), 8, &[("/dev/dri/card1", "".into())]);
    let found = OpenFiles::of(&Root::open(folder.path()).unwrap()).unwrap();
    let told: Vec<_> = found.processes.iter().map(|found| (found.pid, found.files.len())).collect();
    assert_eq!(told, [(1, 1), (7, 2), (8, 1)]);
    assert_eq!(found.processes[0].taps, [b"tap1"]);
    assert_eq!(found.processes[1].vfio_devices, [None]);
    assert_eq!((found.unseen, found.incomplete), (1, None));
}

#[test]
fn who_has_too_much_open_costs_nobody_else_and_all_together_make_it_incomplete() {
    let folder = tempfile::tempdir().unwrap();
    let taps: Vec<_> = (0..9).map(|tap| ("/dev/net/tun", format!("iff:\ttap{tap}\n"))).collect();
    let nodes: Vec<_> = (0..9).map(|disk| format!("/dev/sd{disk}")).collect();
    let nodes: Vec<_> = nodes.iter().map(|node| (node.as_str(), String::new())).collect();
    opened(folder.path(), 1, &taps);
    opened(folder.path(), 7, &nodes);
    // One whose threads have too many for themselves.
    opened(folder.path(), 8, &nodes[..1]);
    for thread in 9..13 {
        let at = folder.path().join(format!("proc/8/task/{thread}/fd"));
        fs::create_dir_all(&at).unwrap();
        symlink(format!("/dev/dri/card{thread}"), at.join("3")).unwrap();
    }
    opened(folder.path(), 20, &[("/dev/vfio/7", String::new())]);
    let root = Root::open(folder.path()).unwrap();
    let found = |bounds| Walk::new(&root, bounds).unwrap().all().unwrap();
    let count = |found: &OpenFiles| -> Vec<_> {
        found.processes.iter().map(|process| (process.pid, process.count())).collect()
    };
    let bounds = || Bounds { files: 5, of_threads: 3, ..BOUNDS };
    let bounded = found(bounds());
    assert_eq!(count(&bounded), [(1, 5), (7, 5), (8, 4), (20, 1)]);
    assert_eq!((bounded.unseen, bounded.incomplete), (3, None));
    let whole = found(BOUNDS);
    assert_eq!(count(&whole), [(1, 10), (7, 9), (8, 5), (20, 1)]);
    assert_eq!((whole.unseen, whole.incomplete), (0, None));
    for bounds in [Bounds { all_bytes: 500, ..bounds() }, Bounds { of_all_threads: 2, ..bounds() }] {
        assert!(found(bounds).incomplete.is_some());
    }
}

#[test]
fn a_process_in_another_network_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for (pid, network) in [(1, "net:[1]"), (7, "net:[1]"), (8, "net:[2]"), (9, "net:[3]")] {
        opened(folder.path(), pid, &[("/dev/net/tun", "iff:\ttap0\n".into())]);
        let namespaces = folder.path().join(format!("proc/{pid}/ns"));
        fs::create_dir(&namespaces).unwrap();
        symlink(network, namespaces.join("net")).unwrap();
    }
    let found = OpenFiles::of(&Root::open(folder.path()).unwrap()).unwrap();
    assert_eq!(found.other_network, Some(8));
    let elsewhere: Vec<_> = found.processes.iter().map(|process| process.is_network_elsewhere).collect();
    assert_eq!(elsewhere, [false, false, true, true]);
}

#[test]
fn a_file_whose_name_is_longer_than_the_kernel_tells_is_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let mut at = fs::File::open(folder.path()).unwrap();
    let flags = rustix::fs::OFlags::RDONLY;
    for _ in 0..30 {
        let name = "x".repeat(200);
        rustix::fs::mkdirat(&at, &name, 0o700.into()).unwrap();
        at = rustix::fs::openat(&at, &name, flags, 0o700.into()).unwrap().into();
    }
    let root = Root::live().unwrap();
    let link = format!("proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&at));
    assert!(root.read_link(link.as_bytes()).unwrap_err().is_name_too_long());
    let found = OpenFiles::of(&root).unwrap();
    let link = format!("/proc/{}/fd/{}", std::process::id(), std::os::fd::AsRawFd::as_raw_fd(&at));
    let own = found.processes.iter().find(|process| process.pid == std::process::id());
    assert!(own.is_none_or(|own| !own.files.iter().any(|file| file.link == link.as_bytes())), "{own:?}");
}

#[test]
fn what_only_looks_like_a_node_is_none() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("dev")).unwrap();
    let path = folder.path().join("dev/null");
    let plain = fs::File::create(&path).unwrap();
    let null = fs::File::open("/dev/null").unwrap();
    let found = OpenFiles::of(&Root::live().unwrap()).unwrap();
    let own = found.processes.into_iter().find(|process| process.pid == std::process::id()).unwrap();
    let node = Some(DeviceNode { kind: NodeKind::Char, major: 1, minor: 3 });
    assert!(own.files.contains(&OpenFile { link: b"/dev/null".to_vec(), node }));
    let plain_path = path.to_str().unwrap().as_bytes();
    assert!(!own.files.iter().any(|file| file.link == plain_path), "{:?}", own.files);
    drop((null, plain));
}
