//! Which device nodes processes have open, found in one walk of `/proc`.

mod links;
mod walk;

pub use links::{OpenFile, is_of_device, is_resource, number, vfio_node};

use crate::{HostAccess, SysError};
use walk::{BOUNDS, Walk};

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
    /// Whether its network namespace is known to be another than the first process's, where it has [`taps`](Self::taps): their
    /// names may be those of other interfaces then.
    pub is_network_elsewhere: bool,
}

impl Process {
    /// Bytes that it takes.
    fn size(&self) -> usize {
        let files: usize = self.files.iter().map(|file| size_of::<OpenFile>() + file.link.len()).sum();
        let taps = self.taps.iter().map(Vec::len);
        let paths = self.vfio_devices.iter().map(|path| path.as_ref().map_or(0, Vec::len));
        let others: usize = taps.chain(paths).map(|length| size_of::<Vec<u8>>() + length).sum();
        size_of::<Self>() + files + others
    }

    /// How much of it is kept.
    fn count(&self) -> usize {
        self.files.len() + self.taps.len() + self.vfio_devices.len()
    }
}

/// What a walk of all processes found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenFiles {
    /// Processes with device nodes open, by number.
    pub processes: Vec<Process>,
    /// How many processes were not looked at as a whole, as the caller may not, or they have too much open: they may have any other
    /// file open. 0 for root with all its capabilities, unless somebody has something else in mind.
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
    /// [`SysError::Io`] if processes cannot be listed, or no more files may be open; a process that ends meanwhile has nothing open.
    pub fn of(host: &dyn HostAccess) -> Result<Self, SysError> {
        Walk::new(host, BOUNDS)?.all()
    }
}

#[cfg(test)]
mod tests;
