//! Which device nodes processes have open, found in one walk of `/proc`.

use std::collections::{HashMap, HashSet};

use crate::node::{DeviceNode, NodeKind};
use crate::paths::{CLASS_VFIO, CLASS_VFIO_DEV, DEV, DEV_VFIO, DEVICES, PROC, join, parent};
use crate::{HostAccess, SysError, processes};

const NUMBER_LIMIT: usize = 64;
/// Bound of what is kept of all processes: whoever has more of them open has something else in mind.
const MOST_FILES: usize = 1 << 18;
/// Bound of what threads can have open that share no files with their process.
const MOST_OF_THREADS: usize = 1 << 20;
/// How many processes of a namespace are kept.
const MOST_OF_A_NAMESPACE: usize = 8;
/// What a process has open that runs a virtual machine (kernel, `virt/kvm/kvm_main.c`).
const VIRTUAL_MACHINE: &[u8] = b"anon_inode:kvm-vm";
/// What a process has open that VFIO made of a device (kernel, `drivers/vfio/group.c`).
const VFIO_DEVICE: &[u8] = b"anon_inode:[vfio-device]";
/// Where the kernel says which device that is, and which interface a file of `/dev/net/tun` is, in `/proc/PID/fdinfo`.
const DEVICE_PATH: &[u8] = b"vfio-device-syspath:";
const INTERFACE: &[u8] = b"iff:";
const INFO_LIMIT: usize = 64 << 10;
/// The node of `/dev/net/tun`, by its numbers and its name.
const TUN: DeviceNode = DeviceNode { kind: NodeKind::Char, major: 10, minor: 200 };
const TUN_NAME: &[u8] = b"net/tun";
/// Programs that run virtual machines, by what their names begin with: they can do without KVM.
const MONITORS: &[&str] = &["qemu", "kvm", "cloud-hyperviso", "crosvm", "firecracker"];
/// Folders of `/dev` that every user has files in.
const FILES_OF_USERS: &[&[u8]] = &[b"shm/", b"mqueue/", b"hugepages/"];
/// Files of a PCI function in sysfs through which programs use it themselves.
const RESOURCE: &[u8] = b"resource";

/// A file that a process has open, and that is a device's or can be one's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFile {
    /// What the process opened, as the kernel tells it (`/proc/PID/fd`): a path of the process's own file systems, so that the
    /// text alone proves nothing.
    pub link: Vec<u8>,
    /// The device node behind it; absent if that cannot be told, as in a recording.
    pub node: Option<DeviceNode>,
}

impl OpenFile {
    /// The path of a node that the file can be, by its text: what is before `/dev/` can be the folder that the process has as its
    /// root.
    pub fn path(&self) -> Option<&[u8]> {
        node_path(&self.link)
    }

    /// Name of a node below `/dev`, by the text alone.
    pub fn name(&self) -> Option<&[u8]> {
        node_name(&self.link)
    }

    /// Whether it is `/dev/net/tun`, which makes network interfaces.
    fn is_tun(&self) -> bool {
        match self.node {
            Some(node) => node == TUN,
            None => self.name() == Some(TUN_NAME),
        }
    }
}

/// A process that has device nodes open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Name of its program, at most 15 bytes (`comm`).
    pub command: String,
    /// Whether it runs a virtual machine, or is known as a program that does.
    pub is_monitor: bool,
    /// What it has open, each once.
    pub files: Vec<OpenFile>,
    /// Network interfaces that it has by `/dev/net/tun`, each once.
    pub taps: Vec<Vec<u8>>,
    /// Devices that it has by a descriptor which VFIO made of them, one for each descriptor: the path of the device in sysfs,
    /// relative to the root; absent where the kernel does not say it (before Linux 6.18).
    pub vfio_devices: Vec<Option<Vec<u8>>>,
}

/// What a walk of all processes found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenFiles {
    /// Processes with device nodes open, by number.
    pub processes: Vec<Process>,
    /// How many processes the caller may not look at: they may have any file open. 0 for root with all its capabilities.
    pub unseen: usize,
    /// Why there may be processes that nobody was told of; absent if all were.
    pub incomplete: Option<&'static str>,
    /// Processes of each mount namespace, a few of each, since any of them can end meanwhile; those whose namespace is not told are
    /// on their own.
    pub namespaces: Vec<Vec<u32>>,
    /// A process in another network namespace than the first process, if there is one.
    pub other_network: Option<u32>,
}

impl OpenFiles {
    /// Walks `/proc`.
    ///
    /// # Errors
    /// [`SysError::Io`] if processes cannot be listed; one that ends meanwhile has nothing open.
    pub fn of(host: &dyn HostAccess) -> Result<Self, SysError> {
        let of_host = |kind: &[u8]| host.read_link(&join(PROC.as_bytes(), kind)).ok().flatten();
        let mut walk = Walk {
            host,
            of_host: of_host(b"1/ns/mnt"),
            are_told: of_host(b"1/ns/mnt").or_else(|| of_host(b"self/ns/mnt")).is_some(),
            network_of_host: of_host(b"1/ns/net"),
            found: Self::default(),
            namespaces: HashMap::new(),
            kept: 0,
            of_threads: 0,
            are_own_numbers: host.read_link(&join(PROC.as_bytes(), b"self")).ok().flatten().as_deref()
                == Some(std::process::id().to_string().as_bytes()),
        };
        let names = host.names(PROC.as_bytes())?;
        if names.is_none() {
            walk.found.incomplete = Some("/proc is not there");
        }
        let mut pids: Vec<u32> =
            names.unwrap_or_default().iter().filter_map(|name| number_of(name)).collect();
        pids.sort_unstable();
        // With the option hidepid, /proc has one's own processes only.
        if pids.first().is_some_and(|first| *first != 1) && !pids.contains(&1) {
            walk.found.incomplete = Some("/proc does not show the processes of others");
        }
        for pid in pids {
            walk.process(pid)?;
        }
        Ok(walk.found)
    }
}

struct Walk<'a> {
    host: &'a dyn HostAccess,
    /// The mount namespace of the first process.
    of_host: Option<Vec<u8>>,
    found: OpenFiles,
    /// Whether namespaces are told here at all.
    are_told: bool,
    /// The network namespace of the first process.
    network_of_host: Option<Vec<u8>>,
    /// Places in the list of what was found, by namespace.
    namespaces: HashMap<Vec<u8>, usize>,
    kept: usize,
    /// How much was seen of what threads have for themselves.
    of_threads: usize,
    /// Whether processes have the numbers here that they have for this one.
    are_own_numbers: bool,
}

/// A folder with links to what threads have open that share it, and the names of these links.
type Table = (Vec<u8>, Vec<Box<[u8]>>);

impl Walk<'_> {
    fn process(&mut self, pid: u32) -> Result<(), SysError> {
        let process = join(PROC.as_bytes(), pid.to_string().as_bytes());
        let tables = match self.tables(pid, &process) {
            Ok(tables) => tables,
            Err(error) if error.is_permission() => {
                self.found.unseen += 1;
                return Ok(());
            }
            Err(error) if error.is_over() => return Ok(()),
            Err(error) => return Err(error),
        };
        let is_elsewhere = self.namespace(pid, &process);
        let mut found = Process::default();
        let mut seen = HashSet::new();
        for (folder, names) in tables {
            for name in names {
                let file = join(&folder, &name);
                // What is gone by now is not open.
                let Ok(Some(link)) = self.host.read_link(&file) else { continue };
                found.is_monitor |= link == VIRTUAL_MACHINE;
                if link == VFIO_DEVICE {
                    found.vfio_devices.push(self.info(&folder, &name, DEVICE_PATH)?.and_then(device_path));
                }
                let is_node = can_be_a_device(&link);
                // In a container, a device can be called anything.
                if !(is_node || is_elsewhere && link.starts_with(b"/")) {
                    continue;
                }
                let open = if is_node { self.look(&file, link) } else { self.look_elsewhere(&file, link) };
                let Some(open) = open else { continue };
                if open.is_tun()
                    && let Some(interface) = self.info(&folder, &name, INTERFACE)?
                    && !interface.is_empty()
                    && !found.taps.contains(&interface)
                {
                    found.taps.push(interface);
                }
                // Two nodes can be called the same: what counts is what they are.
                if seen.insert((open.link.clone(), open.node)) {
                    found.files.push(open);
                }
            }
        }
        if found.files.is_empty() && found.vfio_devices.is_empty() {
            return Ok(());
        }
        self.kept += found.files.len() + found.taps.len() + found.vfio_devices.len();
        if self.kept > MOST_FILES {
            self.found.incomplete = Some("processes have too many files of devices open");
            return Ok(());
        }
        let command = processes::program(self.host, pid).unwrap_or_default();
        let is_monitor = found.is_monitor || MONITORS.iter().any(|monitor| command.starts_with(monitor));
        self.found.processes.push(Process { pid, command, is_monitor, ..found });
        Ok(())
    }

    /// What a process has open, and what those of its threads have that share no files with it. Where its first thread has ended,
    /// another one has what the others share.
    fn tables(&mut self, pid: u32, process: &[u8]) -> Result<Vec<Table>, SysError> {
        let folder = join(process, b"fd");
        let names = self.host.names(&folder)?.unwrap_or_default();
        let mut known = (!names.is_empty()).then_some(pid);
        let mut tables = vec![(folder, names)];
        let tasks = join(process, b"task");
        for task in self.host.names(&tasks)?.unwrap_or_default() {
            let Some(thread) = number_of(&task).filter(|thread| *thread != pid) else { continue };
            if self.are_own_numbers
                && known.is_some_and(|known| self.host.shares_files(known, thread) == Some(true))
            {
                continue;
            }
            let folder = join(&join(&tasks, &task), b"fd");
            // One that ends meanwhile has nothing open.
            let names = self.host.names(&folder).ok().flatten().unwrap_or_default();
            if names.is_empty() {
                continue;
            }
            if known.is_some() {
                self.of_threads += names.len();
            }
            if self.of_threads > MOST_OF_THREADS {
                self.found.incomplete = Some("threads have too many files of their own open");
                break;
            }
            known.get_or_insert(thread);
            tables.push((folder, names));
        }
        Ok(tables)
    }

    /// What the kernel says of an open file behind a word. `None` if it says nothing, or the file is closed by now.
    fn info(&self, folder: &[u8], name: &[u8], word: &[u8]) -> Result<Option<Vec<u8>>, SysError> {
        let file = join(&join(parent(folder), b"fdinfo"), name);
        let told = match self.host.read(&file, INFO_LIMIT) {
            Err(error) if error.is_over() => None,
            told => told?,
        };
        let told = told.unwrap_or_default();
        let line = told.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(word));
        Ok(line.map(|value| value.trim_ascii().to_vec()))
    }

    /// Notes the namespaces of a process. Whether its mounts are known to be others than the host's.
    fn namespace(&mut self, pid: u32, process: &[u8]) -> bool {
        if self.found.other_network.is_none()
            && let (Some(of_host), Ok(Some(link))) =
                (&self.network_of_host, self.host.read_link(&join(process, b"ns/net")))
            && *of_host != link
        {
            self.found.other_network = Some(pid);
        }
        match self.host.read_link(&join(process, b"ns/mnt")) {
            Ok(Some(link)) => {
                let is_elsewhere = self.of_host.as_ref().is_some_and(|of_host| *of_host != link);
                let place = *self.namespaces.entry(link).or_insert_with(|| {
                    self.found.namespaces.push(Vec::new());
                    self.found.namespaces.len() - 1
                });
                let known = &mut self.found.namespaces[place];
                if known.len() < MOST_OF_A_NAMESPACE {
                    known.push(pid);
                }
                is_elsewhere
            }
            // One that has ended, and that nobody has waited for yet, has none.
            Ok(None) if self.are_told => false,
            Err(error) if error.is_over() => false,
            // Not told: it can be any.
            _ => {
                self.found.namespaces.push(vec![pid]);
                false
            }
        }
    }

    /// A file of another mount namespace that is a device node, whatever it is called there.
    fn look_elsewhere(&self, file: &[u8], link: Vec<u8>) -> Option<OpenFile> {
        let node = self.host.node(file).ok().flatten()?;
        Some(OpenFile { link, node: Some(node) })
    }

    /// A file that is a device's. One whose text is a node's, but which is none, is none: anybody can put whatever file there in a
    /// namespace of their own.
    fn look(&self, file: &[u8], link: Vec<u8>) -> Option<OpenFile> {
        if node_path(&link).is_none() {
            return Some(OpenFile { link, node: None });
        }
        match self.host.node(file) {
            Ok(Some(node)) => Some(OpenFile { link, node: Some(node) }),
            Ok(None) => {
                // Where the host's own is no node either, numbers say nothing.
                let name = node_name(&link)?;
                let is_none = matches!(self.host.node(&join(DEV.as_bytes(), name)), Ok(None));
                is_none.then_some(OpenFile { link, node: None })
            }
            // A recording has no nodes, and the file can be closed by now.
            Err(_) => Some(OpenFile { link, node: None }),
        }
    }
}

/// The device that VFIO names, relative to the root. `None` if that is no path of a device.
fn device_path(told: Vec<u8>) -> Option<Vec<u8>> {
    let path = told.strip_prefix(b"/")?;
    let is_one =
        path.starts_with(DEVICES.as_bytes()) && !path.split(|&b| b == b'/').any(|part| part == b"..");
    is_one.then(|| path.to_vec())
}

fn number_of(name: &[u8]) -> Option<u32> {
    std::str::from_utf8(name).ok()?.parse().ok()
}

fn can_be_a_device(link: &[u8]) -> bool {
    match node_name(link) {
        Some(name) => !FILES_OF_USERS.iter().any(|folder| name.starts_with(folder)),
        None => is_resource(link),
    }
}

/// Whether a link's text tells of devices alone, and names no file of anybody's: a node in `/dev`, what VFIO or KVM made, or a
/// function's registers.
pub fn is_of_device(link: &[u8]) -> bool {
    let is_node = link.starts_with(format!("/{DEV}/").as_bytes()) && can_be_a_device(link);
    is_node || is_resource(link) || link == VIRTUAL_MACHINE || link == VFIO_DEVICE
}

/// Whether a link's text is that of a PCI function's `resource0` … in sysfs.
pub fn is_resource(link: &[u8]) -> bool {
    let name = link.rsplit(|&b| b == b'/').next().unwrap_or_default();
    link.starts_with(b"/sys/devices/") && name.len() > RESOURCE.len() && name.starts_with(RESOURCE)
}

/// The part of a link's text that can be the path of a node: before it can be the folder that a process has as its root, and
/// behind it that the node is removed.
fn node_path(link: &[u8]) -> Option<&[u8]> {
    let link = link.strip_suffix(b" (deleted)").unwrap_or(link);
    let folder = format!("/{DEV}/");
    let at = link.windows(folder.len()).rposition(|part| part == folder.as_bytes())?;
    Some(&link[at..])
}

fn node_name(link: &[u8]) -> Option<&[u8]> {
    node_path(link)?.strip_prefix(format!("/{DEV}/").as_bytes())
}

/// The path of the node of VFIO that an open file is, a group's or a device's own. `None` if it is none, or one with other numbers
/// than the kernel's.
pub fn vfio_node(host: &dyn HostAccess, file: &OpenFile) -> Option<String> {
    let name = file.path()?.strip_prefix(format!("/{DEV_VFIO}/").as_bytes())?;
    let known = match name.strip_prefix(b"devices/") {
        Some(device) => join(CLASS_VFIO_DEV.as_bytes(), device),
        None => join(CLASS_VFIO.as_bytes(), name),
    };
    if let (Some(is), Some(node)) = (file.node, number(host, &known, NodeKind::Char))
        && is != node
    {
        return None;
    }
    Some(format!("/{DEV_VFIO}/{}", String::from_utf8_lossy(name)))
}

/// The node of a device in sysfs, if it has one.
pub fn number(host: &dyn HostAccess, device: &[u8], kind: NodeKind) -> Option<DeviceNode> {
    DeviceNode::parse(kind, &host.read(&join(device, b"dev"), NUMBER_LIMIT).ok()??)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::Root;

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
        for (place, link) in
            [("1/fd/0", "/dev/null"), ("7/task/7/x", "/"), ("7/task/8/fd/3", "/dev/dri/card1")]
        {
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
        // A kernel need not have it, and a filter can forbid it: then all is looked at.
        let shares = |other| HostAccess::shares_files(&root, std::process::id(), other);
        assert!(matches!(
            (shares(std::process::id()), shares(thread_number)),
            (Some(true), Some(false)) | (None, None)
        ));
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
}
