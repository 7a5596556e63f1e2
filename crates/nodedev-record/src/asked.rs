//! What `explain` asks of a host: noted while it is asked, so that a recording answers it as the host does.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nodedev_change::{Engine, PciFunction, Survey, recorded_mount};
use nodedev_model::PciAddress;
use nodedev_sys::mdevctl::Ran;
use nodedev_sys::network::Network;
use nodedev_sys::open_files;
use nodedev_sys::paths::{self, PCI_DEVICES, join};
use nodedev_sys::{DeviceNode, FileLock, HostAccess, PendingWrite, Root, SysError};

use crate::Recorder;
use crate::attributes;

/// How many links are followed, as in the kernel.
const MOST_LINKS: usize = 40;

/// What links to connections begin with.
const SOCKET: &[u8] = b"socket:";

/// Paths, relative to the root.
#[derive(Debug, Default)]
pub(crate) struct Paths {
    /// Files that were read, and links.
    pub(crate) files: BTreeSet<Vec<u8>>,
    /// Folders that were listed.
    pub(crate) folders: BTreeSet<Vec<u8>>,
}

/// What is asked to say of each PCI function whether a guest can have it.
pub(crate) fn by_explain(root: &Root) -> Paths {
    let noted = Noted { root, paths: Mutex::default() };
    let operations = Engine::on(&noted);
    let survey = Survey::at(operations, None);
    let names = root.names(PCI_DEVICES.as_bytes()).unwrap_or_default();
    for address in names.iter().filter_map(|name| PciAddress::from_bytes(name).ok()) {
        // What is found is of no interest, and neither is what cannot be.
        let _ = operations.explain(&survey, &PciFunction::new(address), None);
    }
    drop(survey);
    noted.paths.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A host that notes what it is asked. It answers as a recording does: nothing is opened that a recording has not got.
#[derive(Debug)]
struct Noted<'a> {
    root: &'a Root,
    paths: Mutex<Paths>,
}

impl Noted<'_> {
    fn file(&self, path: &[u8]) {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner).files.insert(path.to_vec());
    }

    fn folder(&self, path: &[u8]) {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner).folders.insert(path.to_vec());
    }
}

fn refused<T>(path: &[u8]) -> Result<T, SysError> {
    Err(SysError::ReadOnly { path: format!("/{}", String::from_utf8_lossy(path)) })
}

impl HostAccess for Noted<'_> {
    fn is_changeable(&self) -> bool {
        false
    }

    fn read(&self, path: &[u8], limit: usize) -> Result<Option<Vec<u8>>, SysError> {
        self.file(path);
        HostAccess::read(self.root, path, limit)
    }

    fn read_start(&self, path: &[u8], length: usize) -> Result<Option<Vec<u8>>, SysError> {
        self.file(path);
        HostAccess::read_start(self.root, path, length)
    }

    fn read_link(&self, path: &[u8]) -> Result<Option<Vec<u8>>, SysError> {
        self.file(path);
        HostAccess::read_link(self.root, path)
    }

    fn names(&self, path: &[u8]) -> Result<Option<Vec<Box<[u8]>>>, SysError> {
        self.folder(path);
        HostAccess::names(self.root, path)
    }

    fn link_targets(&self, path: &[u8]) -> Result<Option<Vec<Vec<u8>>>, SysError> {
        self.folder(path);
        HostAccess::link_targets(self.root, path)
    }

    fn lines(&self, path: &[u8], longest: usize, visit: &mut dyn FnMut(&[u8])) -> Result<bool, SysError> {
        self.file(path);
        HostAccess::lines(self.root, path, longest, visit)
    }

    fn node(&self, path: &[u8]) -> Result<Option<DeviceNode>, SysError> {
        refused(path)
    }

    fn shares_files(&self, one: u32, other: u32) -> Option<bool> {
        HostAccess::shares_files(self.root, one, other)
    }

    fn is_claimed(&self, path: &[u8], _: DeviceNode) -> Result<bool, SysError> {
        refused(path)
    }

    fn network(&self) -> Result<Network, SysError> {
        Ok(Network::default())
    }

    fn write(&self, path: &[u8], _: &[u8]) -> Result<(), SysError> {
        refused(path)
    }

    fn start_write(&self, path: &[u8], _: &[u8], _: &[FileLock]) -> Result<Box<dyn PendingWrite>, SysError> {
        refused(path)
    }

    fn create_file(&self, path: &[u8], _: &[u8]) -> Result<(), SysError> {
        refused(path)
    }

    fn rename(&self, from: &[u8], _: &[u8]) -> Result<(), SysError> {
        refused(from)
    }

    fn remove(&self, path: &[u8]) -> Result<(), SysError> {
        refused(path)
    }

    fn try_lock(&self, path: &[u8]) -> Result<Option<FileLock>, SysError> {
        refused(path)
    }

    fn is_locked(&self, path: &[u8]) -> Result<bool, SysError> {
        refused(path)
    }

    fn load_module(&self, name: &str) -> Result<(), SysError> {
        refused(name.as_bytes())
    }

    fn run_mdevctl(&self, _: &[&str], _: Option<&str>, _: &[FileLock]) -> Result<Ran, SysError> {
        refused(paths::MDEVCTL.as_bytes())
    }

    fn pause(&self, _: Duration) {}
}

impl Recorder<'_> {
    /// All that is asked of the host besides. A masked recording does not tell of processes, file systems and block devices.
    pub(crate) fn asked(&mut self) -> io::Result<()> {
        let asked = by_explain(self.root);
        let mut real = HashMap::new();
        for folder in &asked.folders {
            let Some(folder) = self.real(&asked, folder, 0, &mut real)?.filter(|path| self.is_told(path))
            else {
                continue;
            };
            let names = self.names(&folder);
            // What is in the folder of a device is recorded with that.
            if names.iter().any(|name| **name == *b"uevent") || !self.root.exists(&folder) {
                continue;
            }
            self.any_folder(&folder)?;
            let of_processes = folder == paths::PROC.as_bytes();
            // Threads are told of where they have files of their own, whose folder was listed then.
            if folder.starts_with(paths::PROC.as_bytes()) && paths::basename(&folder) == b"task" {
                continue;
            }
            for name in names {
                let path = join(&folder, &name);
                if of_processes && !name.iter().all(u8::is_ascii_digit) {
                    continue;
                }
                match self.root.read_link(&path) {
                    Ok(Some(target)) => self.told_link(&asked, &path, &target)?,
                    _ if of_processes || matches!(self.root.folder(&path), Ok(Some(_))) => {
                        self.any_folder(&path)?
                    }
                    _ => {}
                }
            }
        }
        for path in &asked.files {
            let Some(folder) = self.real(&asked, paths::parent(path), 0, &mut real)? else { continue };
            let path = below(&folder, paths::basename(path));
            if !self.is_told(&path) {
                continue;
            }
            match self.root.read_link(&path) {
                Ok(Some(target)) => self.told_link(&asked, &path, &target)?,
                // What no table knows can be anything.
                _ if self.mask.is_some() && !attributes::is_recorded(paths::basename(&path)) => {}
                _ if paths::basename(&path) == b"mountinfo" => {
                    self.lines(&path, |line| Some(recorded_mount(line)))?;
                }
                // Behind the machines there is whose key is used, and for what.
                _ if paths::basename(&path) == b"config_info" => {
                    self.lines(&path, |line| line.split(|&b| b == b' ').next())?;
                }
                _ => self.file(&path)?,
            }
        }
        Ok(())
    }

    /// Whether a recording tells of what is at a path.
    fn is_told(&self, path: &[u8]) -> bool {
        let of_device =
            path.starts_with(paths::DEVICES.as_bytes()) || path.starts_with(paths::USBIP_HOST.as_bytes());
        let of_disk = path.windows(7).any(|part| part == b"/block/");
        let of_configuration =
            path == paths::LOCKDOWN.as_bytes() || path.starts_with(paths::MODULES.as_bytes());
        !of_configuration && (self.mask.is_none() || of_device && !of_disk)
    }

    /// What processes have open is told of devices alone, and of the connections of those whose connections were asked for.
    fn told_link(&mut self, asked: &Paths, path: &[u8], target: &[u8]) -> io::Result<()> {
        let is_of_process = path.starts_with(paths::PROC.as_bytes());
        let is_connection = || {
            let connections = process_of(path).map(|process| join(process, b"net/tcp"));
            target.starts_with(SOCKET) && connections.is_some_and(|list| asked.files.contains(&list))
        };
        let is_told = !is_of_process || open_files::is_of_device(target) || is_connection();
        if is_told { self.link(path, target) } else { Ok(()) }
    }

    /// A path without links in it, which are recorded. `None` if it leads nowhere.
    fn real(
        &mut self,
        asked: &Paths,
        path: &[u8],
        links: usize,
        known: &mut HashMap<Vec<u8>, Option<Vec<u8>>>,
    ) -> io::Result<Option<Vec<u8>>> {
        if path.is_empty() || links > MOST_LINKS {
            return Ok(path.is_empty().then(Vec::new));
        }
        if let Some(real) = known.get(path) {
            return Ok(real.clone());
        }
        let mut real = None;
        if let Some(folder) = self.real(asked, paths::parent(path), links, known)? {
            let here = below(&folder, paths::basename(path));
            real = match self.root.read_link(&here) {
                Ok(Some(target)) => {
                    if self.is_told(&here) {
                        self.told_link(asked, &here, &target)?;
                    }
                    self.real(asked, &paths::follow(&folder, &target), links + 1, known)?
                }
                _ => Some(here),
            };
        }
        known.insert(path.to_vec(), real.clone());
        Ok(real)
    }
}

/// The folder of the process that a path is in. `None` for one that is in no such folder.
fn process_of(path: &[u8]) -> Option<&[u8]> {
    let inside = path.strip_prefix(paths::PROC.as_bytes())?.strip_prefix(b"/")?;
    let length = inside.iter().position(|&b| b == b'/')?;
    Some(&path[..paths::PROC.len() + 1 + length])
}

/// A path in a folder, which is the root where it is empty.
fn below(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { join(folder, name) }
}
