//! A folder of a host that is held open.

use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use crate::error::{Operation, SysError};
use crate::tree::{Node, Tree};

use super::{
    ATTRIBUTE_LIMIT, LIST, READ, Root, copy_bounded, gives_parts, is_absent, list_opened, node_content,
    read_link_at, read_opened, read_start_opened,
};

/// An opened folder of a host, for reading several files in it without walking the path again.
#[derive(Debug)]
pub struct Folder<'a> {
    pub(super) root: &'a Root,
    pub(super) path: &'a [u8],
    pub(super) handle: Handle<'a>,
}

/// How a folder is held: open, or as a place in an unpacked recording.
#[derive(Debug)]
pub(super) enum Handle<'a> {
    Fd(OwnedFd),
    Node(&'a Tree, usize),
}

impl Folder<'_> {
    /// Where the folder is, relative to the root.
    pub fn path(&self) -> &[u8] {
        self.path
    }

    /// Reads the attribute `name` whole, of at most 64 KiB, into `buffer` and returns its bytes, line break included. A
    /// name with a `/` may lead through links, one without must not be a link itself. `None` if there is no such file.
    ///
    /// # Errors
    /// [`SysError::Io`] when it cannot be read, [`SysError::TooLarge`] beyond 64 KiB.
    pub fn read<'b>(&self, name: &[u8], buffer: &'b mut Vec<u8>) -> Result<Option<&'b [u8]>, SysError> {
        match &self.handle {
            Handle::Node(tree, _) => {
                let path = self.join(name);
                copy_bounded(node_content(tree, &path, name.contains(&b'/')), &path, buffer, ATTRIBUTE_LIMIT)
            }
            Handle::Fd(_) => {
                buffer.clear();
                let gives_parts = gives_parts(self.path);
                read_opened(self.open_file(name), name, buffer, ATTRIBUTE_LIMIT, gives_parts)
                    .map_err(|error| error.at(self.join(name)))
            }
        }
    }

    /// Opens a file for reading; a name without `/` must not be a link.
    fn open_file(&self, name: &[u8]) -> Result<OwnedFd, Errno> {
        match &self.handle {
            Handle::Fd(fd) if !name.contains(&b'/') => {
                openat(fd, name, READ | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
            }
            Handle::Fd(fd) if self.root.is_live() => openat(fd, name, READ | OFlags::CLOEXEC, Mode::empty()),
            _ => self.root.open_at(&self.join(name), READ),
        }
    }

    /// Reads at most the first `length` bytes of a file into `buffer`, for binary attributes of which only the beginning
    /// matters. Links are followed as in [`Folder::read`]. `None` if there is no such file.
    ///
    /// # Errors
    /// [`SysError::Io`] when it cannot be read.
    pub fn read_start<'b>(
        &self,
        name: &[u8],
        buffer: &'b mut Vec<u8>,
        length: usize,
    ) -> Result<Option<&'b [u8]>, SysError> {
        buffer.clear();
        match &self.handle {
            Handle::Node(tree, _) => {
                Ok(node_content(tree, &self.join(name), name.contains(&b'/')).map(|content| {
                    buffer.extend_from_slice(&content[..content.len().min(length)]);
                    &buffer[..]
                }))
            }
            Handle::Fd(_) => {
                let fd = match self.open_file(name) {
                    Ok(fd) => fd,
                    Err(errno) if is_absent(errno) => return Ok(None),
                    Err(errno) => return Err(SysError::io(Operation::Open, &self.join(name), errno)),
                };
                match read_start_opened(&fd, buffer, length) {
                    Ok(()) => Ok(Some(buffer)),
                    Err(Errno::ISDIR) => Ok(None),
                    Err(errno) => Err(SysError::io(Operation::Read, &self.join(name), errno)),
                }
            }
        }
    }

    /// The target of the symbolic link `name`, as it is stored. `None` if there is no link of that name.
    ///
    /// # Errors
    /// [`SysError::Io`] when it cannot be read.
    pub fn link(&self, name: &[u8]) -> Result<Option<Vec<u8>>, SysError> {
        match &self.handle {
            Handle::Node(tree, _) => {
                Ok(match tree.resolve(&self.join(name), false).map(|index| tree.node(index)) {
                    Some(Node::Link(target)) => Some(target.to_vec()),
                    _ => None,
                })
            }
            Handle::Fd(fd) => read_link_at(fd.as_fd(), name)
                .map_err(|errno| SysError::io(Operation::ReadLink, &self.join(name), errno)),
        }
    }

    /// The last component of the target of the symbolic link `name`. `None` if there is no link of that name, or if it
    /// leads nowhere that has a name.
    ///
    /// # Errors
    /// [`SysError::Io`] when it cannot be read.
    pub fn link_basename(&self, name: &[u8]) -> Result<Option<Vec<u8>>, SysError> {
        Ok(self.link(name)?.and_then(|mut target| {
            let start = target.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
            target.drain(..start);
            (!target.is_empty() && target != b".." && target != b".").then_some(target)
        }))
    }

    /// Whether something is at `name`; links are followed.
    pub fn exists(&self, name: &[u8]) -> bool {
        match &self.handle {
            Handle::Node(tree, _) => tree.resolve(&self.join(name), true).is_some(),
            Handle::Fd(fd) => match statat(fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                // A link may lead anywhere, and one in the middle of the name may have been followed out of the root.
                Ok(stat) if name.contains(&b'/') || FileType::from_raw_mode(stat.st_mode).is_symlink() => {
                    self.root.open_at(&self.join(name), OFlags::PATH).is_ok()
                }
                found => found.is_ok(),
            },
        }
    }

    /// Length in bytes that the file `name` in the folder states, which can be more than its reader may see. `None` if
    /// there is no such file.
    pub fn length(&self, name: &[u8]) -> Option<u64> {
        match &self.handle {
            Handle::Node(tree, _) => {
                node_content(tree, &self.join(name), false).map(|content| content.len() as u64)
            }
            Handle::Fd(fd) => statat(fd, name, AtFlags::SYMLINK_NOFOLLOW)
                .ok()
                .filter(|stat| FileType::from_raw_mode(stat.st_mode).is_file())
                .and_then(|stat| u64::try_from(stat.st_size).ok()),
        }
    }

    /// Names of what is in the folder, in the order of the file system.
    ///
    /// # Errors
    /// [`SysError::Io`] when it cannot be listed.
    pub fn names(&self) -> Result<Vec<Box<[u8]>>, SysError> {
        let mut names = Vec::new();
        self.for_each_name(|name| names.push(name.into()))?;
        Ok(names)
    }

    /// Calls `visit` with the name of each entry of the folder, in the order of the file system.
    ///
    /// # Errors
    /// [`SysError::Io`] when it cannot be listed.
    pub fn for_each_name(&self, mut visit: impl FnMut(&[u8])) -> Result<(), SysError> {
        match &self.handle {
            Handle::Node(tree, index) => {
                if let Node::Folder(entries) = tree.node(*index) {
                    entries.keys().for_each(|name| visit(name));
                }
                Ok(())
            }
            Handle::Fd(fd) => {
                // The folder was opened for its path only.
                openat(fd, ".", LIST, Mode::empty())
                    .and_then(|fd| list_opened(&fd, &mut visit))
                    .map_err(|errno| SysError::io(Operation::List, self.path, errno))
            }
        }
    }

    /// Opens the folder `name` in this one. `None` if there is none. Links are not followed.
    ///
    /// # Errors
    /// [`SysError::Io`] when it cannot be opened.
    pub fn open<'b>(&'b self, name: &[u8], path: &'b mut Vec<u8>) -> Result<Option<Folder<'b>>, SysError> {
        path.clear();
        path.extend_from_slice(&self.join(name));
        let path: &'b [u8] = path;
        let handle = match &self.handle {
            Handle::Node(tree, _) => match tree.resolve(path, false) {
                Some(index) if matches!(tree.node(index), Node::Folder(_)) => Handle::Node(tree, index),
                _ => return Ok(None),
            },
            Handle::Fd(fd) => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                match openat(fd, name, flags, Mode::empty()) {
                    Ok(fd) => Handle::Fd(fd),
                    Err(errno) if is_absent(errno) => return Ok(None),
                    Err(errno) => return Err(SysError::io(Operation::Open, path, errno)),
                }
            }
        };
        Ok(Some(Folder { root: self.root, path, handle }))
    }

    fn join(&self, name: &[u8]) -> Vec<u8> {
        let mut path = Vec::with_capacity(self.path.len() + 1 + name.len());
        path.extend_from_slice(self.path);
        path.push(b'/');
        path.extend_from_slice(name);
        path
    }
}
