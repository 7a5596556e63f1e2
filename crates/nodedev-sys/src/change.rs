//! Writing to a host: attributes, and the few files that must survive a crash.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, chmodat, fchmod, flock, fstat, fsync, ftruncate, mkdirat,
    renameat, unlinkat,
};
use rustix::io::{Errno, pwrite, write as write_once};

use crate::Root;
use crate::error::{Operation, SysError, display_path};
use crate::paths::{basename, parent};

/// Folders and files that are made can be read by everybody: what they hold is no secret, and `handover list` asks no
/// privilege.
const FOLDER_MODE: Mode = Mode::RWXU.union(Mode::RGRP).union(Mode::XGRP).union(Mode::ROTH).union(Mode::XOTH);
const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::ROTH);
/// Locks are for their owner alone: who can open a file, be it to read, can lock it and keep all others away.
const LOCK_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A file that is locked as long as this value lives ([`HostAccess::try_lock`](crate::HostAccess::try_lock)).
#[derive(Debug)]
pub struct FileLock {
    fd: OwnedFd,
    is_left: AtomicBool,
}

impl FileLock {
    fn new(fd: OwnedFd) -> Self {
        Self { fd, is_left: AtomicBool::new(false) }
    }

    /// Leaves the lock to a process that a write was left to ([`PendingWrite`](crate::PendingWrite)): it ends with that one, and not
    /// with this value.
    pub fn leave(&self) {
        self.is_left.store(true, Ordering::Relaxed);
    }
}

impl AsFd for FileLock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        if *self.is_left.get_mut() {
            return;
        }
        // A child that was forked meanwhile has the same open file, and would keep it locked. There is nothing to be done
        // about an error, and closing the file is mostly enough.
        let _ = flock(&self.fd, FlockOperation::Unlock);
    }
}

pub(crate) fn write(root: &Root, path: &[u8], value: &[u8]) -> Result<(), SysError> {
    let fd = open_attribute(root, path)?;
    match retried(|| write_once(&fd, value)) {
        Ok(length) if length == value.len() => Ok(()),
        // The kernel took a part of it, which no attribute should do; it would be no value.
        Ok(_) => Err(SysError::io(Operation::Write, path, Errno::IO)),
        Err(errno) => Err(SysError::io(Operation::Write, path, errno)),
    }
}

/// Opens an attribute to write its value.
pub(crate) fn open_attribute(root: &Root, path: &[u8]) -> Result<OwnedFd, SysError> {
    // A file that is not there is an error: an attribute is never made. sysfs ignores that the rest is to be cut off.
    open(root, path, OFlags::WRONLY | OFlags::TRUNC | OFlags::NOCTTY)
}

pub(crate) fn create_file(root: &Root, path: &[u8], content: &[u8]) -> Result<(), SysError> {
    make_folders(root, parent(path))?;
    let failed = |errno| SysError::io(Operation::Write, path, errno);
    let fd = open(root, path, OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW)?;
    // Whatever the program's mask for new files is.
    fchmod(&fd, FILE_MODE).map_err(failed)?;
    let mut rest = content;
    while !rest.is_empty() {
        let length = retried(|| write_once(&fd, rest)).map_err(failed)?;
        rest = &rest[length..];
    }
    fsync(&fd).map_err(failed)
}

pub(crate) fn rename(root: &Root, from: &[u8], to: &[u8]) -> Result<(), SysError> {
    let folder = open_folder(root, parent(to))?;
    renameat(&folder, basename(from), &folder, basename(to))
        .and_then(|()| fsync(&folder))
        .map_err(|errno| SysError::io(Operation::Write, to, errno))
}

pub(crate) fn remove(root: &Root, path: &[u8]) -> Result<(), SysError> {
    let folder = match open_folder(root, parent(path)) {
        Err(error) if error.is_vanished() => return Ok(()),
        folder => folder?,
    };
    match unlinkat(&folder, basename(path), AtFlags::empty()) {
        Ok(()) => fsync(&folder),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
    .map_err(|errno| SysError::io(Operation::Remove, path, errno))
}

pub(crate) fn try_lock(root: &Root, path: &[u8]) -> Result<Option<FileLock>, SysError> {
    make_folders(root, parent(path))?;
    let failed = |errno| SysError::io(Operation::Lock, path, errno);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW;
    let fd = open_with_mode(root, path, flags, LOCK_MODE)?;
    let mode = Mode::from_raw_mode(fstat(&fd).map_err(failed)?.st_mode);
    if !LOCK_MODE.contains(mode) {
        fchmod(&fd, LOCK_MODE).map_err(failed)?;
    }
    if !lock(&fd, FlockOperation::NonBlockingLockExclusive).map_err(failed)? {
        return Ok(None);
    }
    // For people who wait: a lock that cannot say whose it is is one all the same.
    let owner = format!("{}\n", std::process::id());
    let _ = pwrite(&fd, owner.as_bytes(), 0).and_then(|length| ftruncate(&fd, length as u64));
    Ok(Some(FileLock::new(fd)))
}

pub(crate) fn is_locked(root: &Root, path: &[u8]) -> Result<bool, SysError> {
    let fd = match open(root, path, OFlags::RDONLY | OFlags::NOFOLLOW) {
        Err(error) if error.is_vanished() => return Ok(false),
        fd => fd?,
    };
    // Shared, so that two who look are not in each other's way.
    let locked = lock(&fd, FlockOperation::NonBlockingLockShared);
    Ok(!locked.map_err(|errno| SysError::io(Operation::Lock, path, errno))?)
}

/// Locks an open file. False if somebody else has it.
fn lock(fd: &OwnedFd, how: FlockOperation) -> Result<bool, Errno> {
    match retried(|| flock(fd, how)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Makes the folder at `path` and those above it that are missing.
fn make_folders(root: &Root, path: &[u8]) -> Result<(), SysError> {
    match open_folder(root, path) {
        Err(error) if error.is_vanished() && !path.is_empty() => {}
        other => return other.map(drop),
    }
    make_folders(root, parent(path))?;
    let above = open_folder(root, parent(path))?;
    let made = match mkdirat(&above, basename(path), FOLDER_MODE) {
        Ok(()) => chmodat(&above, basename(path), FOLDER_MODE, AtFlags::empty()),
        // Somebody else may have been faster.
        Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    };
    made.map_err(|errno| SysError::io(Operation::Write, path, errno))
}

fn open_folder(root: &Root, path: &[u8]) -> Result<OwnedFd, SysError> {
    open(root, if path.is_empty() { b"." } else { path }, OFlags::RDONLY | OFlags::DIRECTORY)
}

fn open(root: &Root, path: &[u8], flags: OFlags) -> Result<OwnedFd, SysError> {
    let mode = if flags.contains(OFlags::CREATE) { FILE_MODE } else { Mode::empty() };
    open_with_mode(root, path, flags, mode)
}

fn open_with_mode(root: &Root, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, SysError> {
    if !root.is_changeable() {
        return Err(SysError::ReadOnly { path: display_path(path) });
    }
    root.open_with_mode(path, flags, mode).map_err(|errno| SysError::io(Operation::Open, path, errno))
}

fn retried<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use crate::{HostAccess, Root, SysError};

    fn host() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sys/devices/a")).unwrap();
        fs::write(folder.path().join("sys/devices/a/value"), "before, and longer\n").unwrap();
        let root = Root::scratch(folder.path()).unwrap();
        (folder, root)
    }

    #[test]
    fn an_attribute_gets_its_value_and_is_never_made() {
        let (folder, root) = host();
        HostAccess::write(&root, b"sys/devices/a/value", b"after\n").unwrap();
        assert_eq!(fs::read(folder.path().join("sys/devices/a/value")).unwrap(), b"after\n");
        let error = HostAccess::write(&root, b"sys/devices/a/other", b"1").unwrap_err();
        assert!(error.is_vanished(), "{error}");
        assert!(!folder.path().join("sys/devices/a/other").exists());
    }

    #[test]
    fn a_file_is_made_with_its_folders_replaced_and_removed() {
        let (folder, root) = host();
        let path = folder.path().join("run/x/y/entry");
        root.create_file(b"run/x/y/entry.new", b"one").unwrap();
        root.rename(b"run/x/y/entry.new", b"run/x/y/entry").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        root.create_file(b"run/x/y/entry.new", b"a longer one").unwrap();
        root.create_file(b"run/x/y/entry.new", b"two").unwrap();
        root.rename(b"run/x/y/entry.new", b"run/x/y/entry").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        root.remove(b"run/x/y/entry").unwrap();
        assert!(!path.exists());
        root.remove(b"run/x/y/entry").unwrap();
        root.remove(b"no/such/folder/entry").unwrap();
    }

    #[test]
    fn everybody_can_read_what_is_made_whatever_the_mask_for_new_files_is() {
        let (folder, root) = host();
        let mask = rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
        root.create_file(b"run/m/n/entry", b"one").unwrap();
        rustix::process::umask(mask);
        for (path, want) in [("run/m", 0o755), ("run/m/n", 0o755), ("run/m/n/entry", 0o644)] {
            let mode = fs::metadata(folder.path().join(path)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, want, "{path}");
        }
    }

    #[test]
    fn a_lock_keeps_others_away_until_it_is_dropped() {
        let (_folder, root) = host();
        let lock = root.try_lock(b"run/x/a.lock").unwrap();
        assert!(lock.is_some());
        assert!(root.try_lock(b"run/x/a.lock").unwrap().is_none());
        assert!(root.try_lock(b"run/x/b.lock").unwrap().is_some());
        drop(lock);
        assert!(root.try_lock(b"run/x/a.lock").unwrap().is_some());
    }

    #[test]
    fn a_lock_is_its_owners_alone_and_says_whose_it_is() {
        let (folder, root) = host();
        let path = folder.path().join("run/a.lock");
        // As one was made before, with more in it.
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "1234567890\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        for name in ["a", "b"] {
            let _lock = root.try_lock(format!("run/{name}.lock").as_bytes()).unwrap().unwrap();
            let path = folder.path().join("run").join(format!("{name}.lock"));
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        }
    }

    #[test]
    fn looking_at_a_lock_tells_whether_somebody_has_it_and_makes_nothing() {
        let (folder, root) = host();
        assert!(!root.is_locked(b"run/a.lock").unwrap());
        assert!(!folder.path().join("run").exists());
        let lock = root.try_lock(b"run/a.lock").unwrap();
        assert!(root.is_locked(b"run/a.lock").unwrap());
        drop(lock);
        assert!(!root.is_locked(b"run/a.lock").unwrap());
        assert!(root.try_lock(b"run/a.lock").unwrap().is_some(), "a look takes nothing");
    }

    #[test]
    fn a_lock_ends_with_its_value_although_a_child_has_the_open_file_too() {
        let (_folder, root) = host();
        let lock = root.try_lock(b"run/a.lock").unwrap().unwrap();
        // What a child that is forked and runs no other program has.
        let _of_child = lock.fd.try_clone().unwrap();
        drop(lock);
        assert!(root.try_lock(b"run/a.lock").unwrap().is_some());
    }

    #[test]
    fn links_do_not_lead_a_write_out_of_the_root() {
        let (folder, root) = host();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("victim"), "untouched").unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("sys/out")).unwrap();
        HostAccess::write(&root, b"sys/out/victim", b"x").unwrap_err();
        root.create_file(b"sys/out/made", b"x").unwrap_err();
        assert_eq!(fs::read(outside.path().join("victim")).unwrap(), b"untouched");
        assert!(!outside.path().join("made").exists());
    }

    #[test]
    fn a_recording_is_never_written_to() {
        let (folder, _) = host();
        let root = Root::open(folder.path()).unwrap();
        let refused = |result: Result<(), SysError>| {
            assert!(matches!(result, Err(SysError::ReadOnly { .. })), "{result:?}");
        };
        refused(HostAccess::write(&root, b"sys/devices/a/value", b"x"));
        refused(root.create_file(b"run/a", b"x"));
        refused(root.rename(b"run/a", b"run/b"));
        refused(root.remove(b"sys/devices/a/value"));
        refused(root.try_lock(b"run/a").map(drop));
        refused(root.is_locked(b"run/a").map(drop));
        refused(root.load_module("vfio_pci"));
        assert_eq!(fs::read(folder.path().join("sys/devices/a/value")).unwrap(), b"before, and longer\n");
    }
}
