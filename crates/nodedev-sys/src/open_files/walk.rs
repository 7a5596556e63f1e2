//! The walk of all processes.

mod namespaces;

use std::collections::{HashMap, HashSet};

use super::links::{VFIO_DEVICE, VIRTUAL_MACHINE, can_be_a_device, device_path, node_name, node_path};
use super::{OpenFile, OpenFiles, Process};
use crate::paths::{DEV, PROC, join, parent};
use crate::{HostAccess, SysError, processes};

/// Where the kernel says which device a descriptor of VFIO is of, and which interface a file of `/dev/net/tun` is, in `/proc/PID/fdinfo`.
const DEVICE_PATH: &[u8] = b"vfio-device-syspath:";
const INTERFACE: &[u8] = b"iff:";
/// Bound of a line there: a path of the kernel's has 4 KiB at most.
const LONGEST_LINE: usize = 8 << 10;
/// Programs that run virtual machines, by what their names begin with: they can do without KVM.
const MONITORS: &[&str] = &["qemu", "kvm", "cloud-hyperviso", "crosvm", "firecracker"];

/// How much is kept and looked at. Whoever has more of them open has something else in mind: what exceeds the bound of one process
/// costs that process alone.
pub(super) struct Bounds {
    /// What is kept of one process.
    pub(super) files: usize,
    /// Bytes of what is kept of all: their owners choose the names.
    pub(super) all_bytes: usize,
    /// What threads have open that share no files with their process, in one process and in all.
    pub(super) of_threads: usize,
    pub(super) of_all_threads: usize,
}

pub(super) const BOUNDS: Bounds =
    Bounds { files: 1 << 14, all_bytes: 64 << 20, of_threads: 1 << 18, of_all_threads: 1 << 21 };

pub(super) struct Walk<'a> {
    host: &'a dyn HostAccess,
    bounds: Bounds,
    /// The mount namespace of the first process.
    mounts_of_host: Option<Vec<u8>>,
    /// The network namespace of the first process.
    network_of_host: Option<Vec<u8>>,
    found: OpenFiles,
    /// Whether namespaces are told here at all.
    are_told: bool,
    /// Places in the list of what was found, by namespace.
    namespaces: HashMap<Vec<u8>, usize>,
    /// Bytes.
    kept: usize,
    /// How much was seen of what threads have for themselves.
    of_threads: usize,
    /// Whether processes have the numbers here that they have for this one.
    are_own_numbers: bool,
}

/// A folder with links to what threads have open that share it, and the names of these links.
type Table = (Vec<u8>, Vec<Box<[u8]>>);

/// What is said of a process that may be gone by now, or that the caller may not look at, which makes it no whole one.
fn told<T>(answer: Result<Option<T>, SysError>, is_whole: &mut bool) -> Result<Option<T>, SysError> {
    match answer {
        Err(error) if error.is_over() => Ok(None),
        Err(error) if error.is_permission() => {
            *is_whole = false;
            Ok(None)
        }
        answer => answer,
    }
}

/// What became of something that one can do without, unless that no more files may be open: then nothing is known of any.
fn unless_exhausted<T>(answer: Result<T, SysError>) -> Result<Result<T, SysError>, SysError> {
    match answer {
        Err(error) if error.is_exhausted() => Err(error),
        answer => Ok(answer),
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(host: &'a dyn HostAccess, bounds: Bounds) -> Result<Self, SysError> {
        // Who may not look at them is told so of each process, too.
        let link = |name: &[u8]| told(host.read_link(&join(PROC.as_bytes(), name)), &mut true);
        let mounts_of_host = link(b"1/ns/mnt")?;
        Ok(Self {
            host,
            bounds,
            are_told: mounts_of_host.is_some() || link(b"self/ns/mnt")?.is_some(),
            mounts_of_host,
            network_of_host: link(b"1/ns/net")?,
            found: OpenFiles::default(),
            namespaces: HashMap::new(),
            kept: 0,
            of_threads: 0,
            are_own_numbers: link(b"self")?.as_deref() == Some(std::process::id().to_string().as_bytes()),
        })
    }

    pub(super) fn all(mut self) -> Result<OpenFiles, SysError> {
        let names = self.host.names(PROC.as_bytes())?;
        if names.is_none() {
            self.found.incomplete = Some("/proc is not there");
        }
        let mut pids: Vec<u32> =
            names.unwrap_or_default().iter().filter_map(|name| number_of(name)).collect();
        pids.sort_unstable();
        // With the option hidepid, /proc has one's own processes only.
        if pids.first().is_some_and(|first| *first != 1) && !pids.contains(&1) {
            self.found.incomplete = Some("/proc does not show the processes of others");
        }
        for pid in pids {
            let mut is_whole = true;
            self.process(pid, &mut is_whole)?;
            self.found.unseen += usize::from(!is_whole);
        }
        Ok(self.found)
    }

    fn process(&mut self, pid: u32, is_whole: &mut bool) -> Result<(), SysError> {
        let process = join(PROC.as_bytes(), pid.to_string().as_bytes());
        let tables = self.tables(pid, &process, is_whole).map(Some);
        let Some(tables) = told(tables, is_whole)? else { return Ok(()) };
        let is_elsewhere = self.namespace(pid, &process)?;
        let mut found = Process { pid, ..Process::default() };
        self.files(&tables, is_elsewhere, &mut found, is_whole)?;
        // Of others than the first it matters whose taps they have.
        if self.found.other_network.is_none() || !found.taps.is_empty() {
            found.is_network_elsewhere = self.network(pid, &process, is_whole)?;
        }
        if found.files.is_empty() && found.vfio_devices.is_empty() {
            return Ok(());
        }
        self.kept += found.size();
        if self.kept > self.bounds.all_bytes {
            self.found.incomplete = Some("processes have too many files of devices open");
            return Ok(());
        }
        let command = unless_exhausted(processes::program(self.host, pid))?;
        found.command = command.ok().flatten().unwrap_or_default();
        found.is_monitor |= MONITORS.iter().any(|monitor| found.command.starts_with(monitor));
        self.found.processes.push(found);
        Ok(())
    }

    /// Adds what a process has open.
    fn files(
        &self,
        tables: &[Table],
        is_elsewhere: bool,
        found: &mut Process,
        is_whole: &mut bool,
    ) -> Result<(), SysError> {
        let (mut seen, mut taps) = (HashSet::new(), HashSet::new());
        let files = tables.iter().flat_map(|(folder, names)| names.iter().map(move |name| (folder, name)));
        for (folder, name) in files {
            if found.count() >= self.bounds.files {
                *is_whole = false;
                break;
            }
            let file = join(folder, name);
            let (link, is_named) = match self.host.read_link(&file) {
                Ok(Some(link)) => (link, true),
                // What is gone by now is not open.
                Ok(None) => continue,
                Err(error) if error.is_over() => continue,
                // Root without CAP_SYS_PTRACE is told how many there are, and not what they are.
                Err(error) if error.is_permission() => {
                    *is_whole = false;
                    break;
                }
                // The kernel has no room for the name.
                Err(error) if error.is_name_too_long() => (join(b"", &file), false),
                Err(error) => return Err(error),
            };
            found.is_monitor |= link == VIRTUAL_MACHINE;
            if link == VFIO_DEVICE {
                let path = self.info(folder, name, DEVICE_PATH, is_whole)?;
                found.vfio_devices.push(path.and_then(device_path));
            }
            let is_node = is_named && can_be_a_device(&link);
            // In a container, a device can be called anything.
            if !(is_node || !is_named || is_elsewhere && link.starts_with(b"/")) {
                continue;
            }
            let open = if is_node { self.look(&file, link)? } else { self.look_elsewhere(&file, link)? };
            let Some(open) = open else { continue };
            if open.is_tun()
                && let Some(interface) = self.info(folder, name, INTERFACE, is_whole)?
                && !interface.is_empty()
                && taps.insert(interface.clone())
            {
                found.taps.push(interface);
            }
            // Two nodes can be called the same: what counts is what they are.
            if seen.insert((open.link.clone(), open.node)) {
                found.files.push(open);
            }
        }
        Ok(())
    }

    /// What a process has open, and what those of its threads have that share no files with it. Where its first thread has ended,
    /// another one has what the others share.
    pub(super) fn tables(
        &mut self,
        pid: u32,
        process: &[u8],
        is_whole: &mut bool,
    ) -> Result<Vec<Table>, SysError> {
        let folder = join(process, b"fd");
        let names = self.host.names(&folder)?.unwrap_or_default();
        let mut known = (!names.is_empty()).then_some(pid);
        let mut tables = vec![(folder, names)];
        let mut of_threads = 0;
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
            let names = told(self.host.names(&folder), is_whole)?.unwrap_or_default();
            if names.is_empty() {
                continue;
            }
            if known.is_some() {
                of_threads += names.len();
            }
            if of_threads > self.bounds.of_threads {
                *is_whole = false;
                break;
            }
            if self.of_threads + of_threads > self.bounds.of_all_threads {
                self.found.incomplete = Some("threads have too many files of their own open");
                break;
            }
            known.get_or_insert(thread);
            tables.push((folder, names));
        }
        self.of_threads += of_threads;
        Ok(tables)
    }

    /// What the kernel says of an open file behind a word. `None` if it says nothing, or the file is closed by now. Where it cannot
    /// be read, the process is no whole one.
    fn info(
        &self,
        folder: &[u8],
        name: &[u8],
        word: &[u8],
        is_whole: &mut bool,
    ) -> Result<Option<Vec<u8>>, SysError> {
        let file = join(&join(parent(folder), b"fdinfo"), name);
        let mut value = None;
        // It has as many lines as its owner wants: one for each lock.
        let read = self.host.lines(&file, LONGEST_LINE, &mut |line| {
            if value.is_none() {
                value = line.strip_prefix(word).map(|value| value.trim_ascii().to_vec());
            }
        });
        if unless_exhausted(read)?.is_err_and(|error| !error.is_over()) {
            *is_whole = false;
        }
        Ok(value)
    }

    /// A file of another mount namespace that is a device node, whatever it is called there.
    fn look_elsewhere(&self, file: &[u8], link: Vec<u8>) -> Result<Option<OpenFile>, SysError> {
        let node = unless_exhausted(self.host.node(file))?.ok().flatten();
        Ok(node.map(|node| OpenFile { link, node: Some(node) }))
    }

    /// A file that is a device's. One whose text is a node's, but which is none, is none: anybody can put whatever file there in a
    /// namespace of their own.
    fn look(&self, file: &[u8], link: Vec<u8>) -> Result<Option<OpenFile>, SysError> {
        if node_path(&link).is_none() {
            return Ok(Some(OpenFile { link, node: None }));
        }
        match unless_exhausted(self.host.node(file))? {
            Ok(Some(node)) => Ok(Some(OpenFile { link, node: Some(node) })),
            Ok(None) => {
                // Where the host's own is no node either, numbers say nothing.
                let Some(name) = node_name(&link) else { return Ok(None) };
                let is_none =
                    matches!(unless_exhausted(self.host.node(&join(DEV.as_bytes(), name)))?, Ok(None));
                Ok(is_none.then_some(OpenFile { link, node: None }))
            }
            // A recording has no nodes, and the file can be closed by now.
            Err(_) => Ok(Some(OpenFile { link, node: None })),
        }
    }
}

fn number_of(name: &[u8]) -> Option<u32> {
    std::str::from_utf8(name).ok()?.parse().ok()
}
