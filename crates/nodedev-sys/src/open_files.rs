//! Which device nodes processes have open, found in one walk of `/proc`.

mod links;

use std::collections::{HashMap, HashSet};

pub use links::{OpenFile, is_of_device, is_resource, number, vfio_node};

use crate::paths::{DEV, PROC, join, parent};
use crate::{HostAccess, SysError, processes};
use links::{VFIO_DEVICE, VIRTUAL_MACHINE, can_be_a_device, device_path, node_name, node_path};

/// Bound of what is kept of all processes: whoever has more of them open has something else in mind.
const MOST_FILES: usize = 1 << 18;
/// Bound of what threads can have open that share no files with their process.
const MOST_OF_THREADS: usize = 1 << 20;
/// How many processes of a namespace are kept.
const MOST_OF_A_NAMESPACE: usize = 8;
/// Where the kernel says which device a descriptor of VFIO is of, and which interface a file of `/dev/net/tun` is, in `/proc/PID/fdinfo`.
const DEVICE_PATH: &[u8] = b"vfio-device-syspath:";
const INTERFACE: &[u8] = b"iff:";
const INFO_LIMIT: usize = 64 << 10;
/// Programs that run virtual machines, by what their names begin with: they can do without KVM.
const MONITORS: &[&str] = &["qemu", "kvm", "cloud-hyperviso", "crosvm", "firecracker"];

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
        'tables: for (folder, names) in tables {
            for name in names {
                let file = join(&folder, &name);
                let link = match self.host.read_link(&file) {
                    Ok(Some(link)) => link,
                    // Root without CAP_SYS_PTRACE is told how many there are, and not what they are.
                    Err(error) if error.is_permission() => {
                        self.found.unseen += 1;
                        break 'tables;
                    }
                    // What is gone by now is not open.
                    _ => continue,
                };
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

fn number_of(name: &[u8]) -> Option<u32> {
    std::str::from_utf8(name).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
