//! All that an operation that changes a host does with it.

use std::fmt;
use std::time::Duration;

use crate::change::{self, FileLock};
use crate::network::{self, Network};
use crate::paths::{basename, parent};
use crate::{DeviceNode, PendingWrite, Root, SysError, ioctl, mdevctl, modules, slow_write};

/// A host that can be looked at and changed. [`Root`] is one; tests have another that reacts like a kernel and fails where it
/// is told to.
///
/// Paths are relative to the root of the host, as everywhere in this crate. Every call is one step that can fail, or be the
/// last one before a crash: nothing here does two things to the host that could be told apart.
pub trait HostAccess: fmt::Debug + Send + Sync {
    /// Whether the host can be changed at all: a recording cannot.
    fn is_changeable(&self) -> bool;

    /// The whole file, of at most `limit` bytes. `None` if there is no such file.
    ///
    /// # Errors
    /// As [`Root::read`].
    fn read(&self, path: &[u8], limit: usize) -> Result<Option<Vec<u8>>, SysError>;

    /// The first bytes of a file, at most `length`; nothing beyond is read of a device. The file is no link itself. `None` if
    /// there is no such file.
    ///
    /// # Errors
    /// As [`Root::read`].
    fn read_start(&self, path: &[u8], length: usize) -> Result<Option<Vec<u8>>, SysError>;

    /// The target of a symbolic link, as it is stored. `None` if there is no link.
    ///
    /// # Errors
    /// As [`Root::read_link`].
    fn read_link(&self, path: &[u8]) -> Result<Option<Vec<u8>>, SysError>;

    /// Names of what is in a folder, sorted. `None` if there is no such folder.
    ///
    /// # Errors
    /// As [`Root::list`].
    fn names(&self, path: &[u8]) -> Result<Option<Vec<Box<[u8]>>>, SysError>;

    /// Targets of all symbolic links in a folder, in one pass. `None` if there is no such folder.
    ///
    /// # Errors
    /// As [`Root::list`]; a link that is gone by the time it is read is left out.
    fn link_targets(&self, path: &[u8]) -> Result<Option<Vec<Vec<u8>>>, SysError>;

    /// Gives an attribute a value, in one write: what the kernel makes of it has happened when this returns.
    ///
    /// # Errors
    /// [`SysError::Io`] with what the kernel says; [`SysError::ReadOnly`] for a recording.
    fn write(&self, path: &[u8], value: &[u8]) -> Result<(), SysError>;

    /// Begins to give an attribute a value that the kernel may wait for others with, perhaps for ever: it lets go of a device when
    /// those who have it open are done. `locks` stay taken until the write is done, whatever becomes of this process, if they
    /// are [left](FileLock::leave).
    ///
    /// # Errors
    /// As [`HostAccess::write`]; what the kernel says to the write itself is told by what is returned.
    fn start_write(
        &self,
        path: &[u8],
        value: &[u8],
        locks: &[FileLock],
    ) -> Result<Box<dyn PendingWrite>, SysError>;

    /// Makes a file with this content, which is on its medium when this returns; its folder is made if necessary, and a file
    /// that a crash left there is replaced.
    ///
    /// # Errors
    /// [`SysError::Io`]; [`SysError::ReadOnly`] for a recording.
    fn create_file(&self, path: &[u8], content: &[u8]) -> Result<(), SysError>;

    /// Gives a file the name of another in the same folder, whose place it takes. What is found under the name after a
    /// power failure is one of the two, whole.
    ///
    /// # Errors
    /// [`SysError::Io`]; [`SysError::ReadOnly`] for a recording.
    fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), SysError>;

    /// Removes a file, if there is one.
    ///
    /// # Errors
    /// [`SysError::Io`]; [`SysError::ReadOnly`] for a recording.
    fn remove(&self, path: &[u8]) -> Result<(), SysError>;

    /// Locks a file, which is made if necessary, against all other processes and all other users in this one. `None` if
    /// somebody else has it. The lock ends with the value, and with the process, whatever becomes of that. Meanwhile the
    /// file holds the number of the process. Only the file's owner can open it.
    ///
    /// # Errors
    /// [`SysError::Io`]; [`SysError::ReadOnly`] for a recording.
    fn try_lock(&self, path: &[u8]) -> Result<Option<FileLock>, SysError>;

    /// Whether somebody has the lock of a file. It is made by nobody who asks, and is in nobody's way who asks too.
    ///
    /// # Errors
    /// [`SysError::Io`], as where the file is another user's; [`SysError::ReadOnly`] for a recording.
    fn is_locked(&self, path: &[u8]) -> Result<bool, SysError>;

    /// The device node that a path leads to, links of `/proc/PID/fd` included; `None` if it is no device node.
    ///
    /// # Errors
    /// [`SysError::Io`]; [`SysError::ReadOnly`] where there are no nodes, as in a recording.
    fn node(&self, path: &[u8]) -> Result<Option<DeviceNode>, SysError>;

    /// Whether two threads, by their numbers as this process has them, have one table of open files. `None` if nobody can say, as in
    /// a recording, and on a kernel without `kcmp`.
    fn shares_files(&self, one: u32, other: u32) -> Option<bool>;

    /// Whether somebody has a block device for himself (`O_EXCL`): a file system, the device mapper, RAID, a swap space, a
    /// target, a program, in whichever namespace. Asked by opening its node for a moment; nothing is read of it.
    ///
    /// # Errors
    /// [`SysError::Io`], also if the node at `path` is not this device's; [`SysError::ReadOnly`] where there are no nodes.
    fn is_claimed(&self, path: &[u8], device: DeviceNode) -> Result<bool, SysError>;

    /// Calls `visit` with each line of a file, which can be of any length. `false` if there is no such file.
    ///
    /// # Errors
    /// As [`Root::lines`].
    fn lines(&self, path: &[u8], longest: usize, visit: &mut dyn FnMut(&[u8])) -> Result<bool, SysError>;

    /// The network of this process, asked from the kernel; empty in a recording.
    ///
    /// # Errors
    /// [`SysError::Io`] if the kernel does not tell.
    fn network(&self) -> Result<Network, SysError>;

    /// Loads a kernel module and what it depends on, unless the administrator's configuration forbids it (`modprobe -b`).
    ///
    /// # Errors
    /// [`SysError::Module`] with what modprobe says.
    fn load_module(&self, name: &str) -> Result<(), SysError>;

    /// Runs mdevctl, which keeps definitions of mediated devices and starts them, with an input. It has the locks: they stay taken
    /// until it ends, also if this process ends before, and if they are [left](FileLock::leave).
    ///
    /// # Errors
    /// [`SysError::Io`] if it cannot be run or does not end; [`SysError::ReadOnly`] for a recording.
    fn run_mdevctl(
        &self,
        arguments: &[&str],
        input: Option<&str>,
        locks: &[FileLock],
    ) -> Result<mdevctl::Ran, SysError>;

    /// Waits, between two looks for something that takes a moment.
    fn pause(&self, time: Duration);
}

impl HostAccess for Root {
    fn is_changeable(&self) -> bool {
        Self::is_changeable(self)
    }

    fn read(&self, path: &[u8], limit: usize) -> Result<Option<Vec<u8>>, SysError> {
        let mut buffer = Vec::new();
        let found = Self::read(self, path, &mut buffer, limit)?.is_some();
        Ok(found.then_some(buffer))
    }

    fn read_start(&self, path: &[u8], length: usize) -> Result<Option<Vec<u8>>, SysError> {
        let Some(folder) = self.folder(parent(path))? else { return Ok(None) };
        let mut buffer = Vec::new();
        let found = folder.read_start(basename(path), &mut buffer, length)?.is_some();
        Ok(found.then_some(buffer))
    }

    fn read_link(&self, path: &[u8]) -> Result<Option<Vec<u8>>, SysError> {
        Self::read_link(self, path)
    }

    fn names(&self, path: &[u8]) -> Result<Option<Vec<Box<[u8]>>>, SysError> {
        let mut names = Vec::new();
        let found = self.list(path, |name| names.push(name.into()))?;
        names.sort_unstable();
        Ok(found.then_some(names))
    }

    fn link_targets(&self, path: &[u8]) -> Result<Option<Vec<Vec<u8>>>, SysError> {
        let Some(folder) = self.folder(path)? else { return Ok(None) };
        let mut targets = Vec::new();
        for name in folder.names()? {
            targets.extend(folder.link(&name)?);
        }
        Ok(Some(targets))
    }

    fn write(&self, path: &[u8], value: &[u8]) -> Result<(), SysError> {
        change::write(self, path, value)
    }

    fn start_write(
        &self,
        path: &[u8],
        value: &[u8],
        locks: &[FileLock],
    ) -> Result<Box<dyn PendingWrite>, SysError> {
        slow_write::start(self, path, value, locks)
    }

    fn create_file(&self, path: &[u8], content: &[u8]) -> Result<(), SysError> {
        change::create_file(self, path, content)
    }

    fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), SysError> {
        change::rename(self, from, to)
    }

    fn remove(&self, path: &[u8]) -> Result<(), SysError> {
        change::remove(self, path)
    }

    fn try_lock(&self, path: &[u8]) -> Result<Option<FileLock>, SysError> {
        change::try_lock(self, path)
    }

    fn is_locked(&self, path: &[u8]) -> Result<bool, SysError> {
        change::is_locked(self, path)
    }

    fn node(&self, path: &[u8]) -> Result<Option<DeviceNode>, SysError> {
        Self::node(self, path)
    }

    fn shares_files(&self, one: u32, other: u32) -> Option<bool> {
        if self.is_live() { ioctl::shares_files(one, other).ok() } else { None }
    }

    fn is_claimed(&self, path: &[u8], device: DeviceNode) -> Result<bool, SysError> {
        Self::is_claimed(self, path, device)
    }

    fn lines(&self, path: &[u8], longest: usize, visit: &mut dyn FnMut(&[u8])) -> Result<bool, SysError> {
        Self::lines(self, path, longest, visit)
    }

    fn network(&self) -> Result<Network, SysError> {
        if self.is_live() { network::ask() } else { Ok(Network::default()) }
    }

    fn load_module(&self, name: &str) -> Result<(), SysError> {
        modules::load(self, name)
    }

    fn run_mdevctl(
        &self,
        arguments: &[&str],
        input: Option<&str>,
        locks: &[FileLock],
    ) -> Result<mdevctl::Ran, SysError> {
        mdevctl::run(self, arguments, input, locks)
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}
