//! Files that the daemon makes where others might have been before it.
//!
//! Root's daemon must not write where somebody else leads it: a link, a second name of another file, or a file of their own.
//! Who may change a folder on the way to a file decides what the file's name means, so that is looked at first.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::exit::{Exit, Fatal};

/// Permission of others to change what is in a folder, and the bit that leaves each its own there. To a group the
/// administrator gives that on purpose, as some systems do with `/var/log`.
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// A folder whose names only root and the daemon's own user give a meaning to.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

/// What tells a file from any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Id {
    device: u64,
    inode: u64,
}

impl From<&Stat> for Id {
    fn from(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

/// Whether a file of this user is as good as the daemon's own.
fn is_own(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

impl Folder {
    /// Opens a folder, after it and each one above it was found to be root's or the daemon's own, and nobody else's to change.
    pub(crate) fn open(path: &Path) -> Result<Self, Fatal> {
        let failed = |error: io::Error| Fatal::system(format_args!("open {}", path.display()), &error);
        let real = path.canonicalize().map_err(failed)?;
        for part in real.ancestors() {
            let found = part.symlink_metadata().map_err(failed)?;
            let mode = found.permissions().mode();
            if !found.is_dir() {
                return Err(Fatal::new(
                    Exit::CannotCreate,
                    format!("cannot make files in {}, which is no folder", part.display()),
                )
                .help("move it away, or name another folder"));
            }
            if !is_own(found.uid()) {
                return Err(unsafe_place(path, format_args!("{} is user {}'s", part.display(), found.uid())));
            }
            if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
                return Err(unsafe_place(path, format_args!("others may change {}", part.display())));
            }
        }
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let fd = rustix::fs::open(&real, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// The folder of a file, and the file's name.
    pub(crate) fn of(path: &Path) -> Result<(Self, PathBuf), Fatal> {
        let name = path.file_name().ok_or_else(|| {
            Fatal::new(Exit::CannotCreate, format!("{} is no name of a file", path.display()))
        })?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok((Self::open(parent)?, name.into()))
    }

    /// The same folder once more.
    pub(crate) fn again(&self) -> io::Result<Self> {
        Ok(Self { fd: self.fd.try_clone()?, path: self.path.clone() })
    }

    /// Where a file of this name is.
    pub(crate) fn path(&self, name: &Path) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a file for reading and writing, and makes it if it is not there; then nobody else may open it.
    ///
    /// One that is there has to be a file with no other name, of root's or the daemon's own. Links are not followed, and what is
    /// no file is not waited for.
    pub(crate) fn open_file(&self, name: &Path, more: OFlags) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | more;
        let private = Mode::from_raw_mode(0o600);
        loop {
            match rustix::fs::openat(&self.fd, name, flags | OFlags::CREATE | OFlags::EXCL, private) {
                Ok(file) => return Ok(file.into()),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            match rustix::fs::openat(&self.fd, name, flags, Mode::empty()) {
                Ok(file) => {
                    let stat = rustix::fs::fstat(&file)?;
                    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
                    if !is_file || stat.st_nlink > 1 || !is_own(stat.st_uid) {
                        return Err(io::Error::other("it is not a file of this user with no other name"));
                    }
                    return Ok(file.into());
                }
                // Somebody has removed it meanwhile.
                Err(Errno::NOENT) => {}
                Err(Errno::LOOP) => return Err(io::Error::other("it is a symbolic link")),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What has this name, if anything has.
    pub(crate) fn stat(&self, name: &Path) -> io::Result<Option<Stat>> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a name, if it is still that of this file.
    pub(crate) fn remove(&self, name: &Path, id: Id) -> io::Result<()> {
        match self.stat(name)? {
            Some(stat) if Id::from(&stat) == id => {
                Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?)
            }
            _ => Ok(()),
        }
    }

    /// Sets group and mode of a socket that this process has made.
    pub(crate) fn give_socket(&self, name: &Path, group: Option<u32>, mode: u32) -> io::Result<Id> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let socket = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&socket)?;
        let is_socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
        if !is_socket || stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("somebody has put something else there"));
        }
        if let Some(group) = group {
            let group = Some(rustix::fs::Gid::from_raw(group));
            rustix::fs::chownat(&socket, "", None, group, AtFlags::EMPTY_PATH)?;
        }
        // What the descriptor stands for, whatever has the name by now.
        let same = format!("/proc/self/fd/{}", socket.as_raw_fd());
        std::fs::set_permissions(same, std::fs::Permissions::from_mode(mode))?;
        Ok((&stat).into())
    }
}

fn unsafe_place(path: &Path, why: std::fmt::Arguments<'_>) -> Fatal {
    Fatal::new(Exit::NoPermission, format!("{} is no safe place for the daemon's files: {why}", path.display()))
        .help("name a folder that only root (or who runs nodedevd) may change, as --run-dir, --pid-file or in the configuration")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        (dir, folder)
    }

    #[test]
    fn what_somebody_has_put_there_is_not_written_to() {
        let (dir, folder) = folder();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let at = |name: &str| dir.path().join(name);
        std::os::unix::fs::symlink(&victim, at("link")).unwrap();
        std::os::unix::fs::symlink(at("nothing"), at("dangling")).unwrap();
        std::fs::hard_link(&victim, at("second")).unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        rustix::fs::mknodat(&folder.fd, "pipe", FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        for name in ["link", "dangling", "second", "folder", "pipe"] {
            assert!(folder.open_file(Path::new(name), OFlags::empty()).is_err(), "{name}");
        }
        assert!(!at("nothing").exists());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        let file = folder.open_file(Path::new("new"), OFlags::empty()).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        folder.open_file(Path::new("new"), OFlags::empty()).unwrap();
    }

    #[test]
    fn a_folder_that_others_may_change_is_refused() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let (dir, _) = folder();
        let below = dir.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        let set = |owner: u32, mode: u32| {
            std::os::unix::fs::chown(dir.path().join("a"), Some(owner), Some(0)).unwrap();
            std::fs::set_permissions(dir.path().join("a"), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for (owner, mode, is_safe) in
            [(0, 0o755, true), (0, 0o775, true), (0, 0o1777, true), (0, 0o777, false), (65_534, 0o755, false)]
        {
            set(owner, mode);
            assert_eq!(Folder::open(&below).is_ok(), is_safe, "{owner} {mode:o}");
            assert_eq!(Folder::open(&dir.path().join("a")).is_ok(), is_safe, "{owner} {mode:o}");
        }
    }

    #[test]
    fn only_the_file_that_is_meant_is_removed() {
        let (dir, folder) = folder();
        let name = Path::new("f");
        std::fs::write(dir.path().join("f"), "").unwrap();
        let id = Id::from(&folder.stat(name).unwrap().unwrap());
        folder.remove(name, Id { device: id.device + 1, ..id }).unwrap();
        assert!(dir.path().join("f").exists(), "the same number on another file system");
        folder.remove(name, id).unwrap();
        assert!(!dir.path().join("f").exists());
        folder.remove(name, id).unwrap();
    }
}
