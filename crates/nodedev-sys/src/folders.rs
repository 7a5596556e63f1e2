//! Watches a folder of small files and the folders in it, also while the folder does not exist yet.

use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

/// Bound of the folders that are watched in the folder.
const FOLDERS: usize = 4096;
/// Files that come, go and are changed, but only when they are complete.
const CONTENT: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO);
/// A folder above: all that matters is what comes to be in it.
const ABOVE: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// Tells when something in a folder, or in a folder in it, may have changed.
#[derive(Debug)]
pub struct FolderWatch {
    inotify: OwnedFd,
    folder: PathBuf,
    /// What the watches of the folder and in it are called, sorted; the others are of folders above.
    inside: Vec<i32>,
}

impl FolderWatch {
    /// Begins to watch `folder`, and where it does not exist, the nearest folder above that does.
    ///
    /// # Errors
    /// What the operating system says where nothing can be watched.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut watch = Self { inotify, folder: folder.to_owned(), inside: Vec::new() };
        watch.arm()?;
        Ok(watch)
    }

    /// Whether something may have changed since the last call; does not wait.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn changed(&mut self) -> io::Result<bool> {
        let mut changed = false;
        let mut appeared = false;
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut space);
        loop {
            match reader.next() {
                Ok(event) => {
                    let inside = self.inside.binary_search(&event.wd()).is_ok()
                        || event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                    changed |= inside && !event.events().contains(ReadFlags::IGNORED);
                    appeared |= !inside || is_of_folder(event.events());
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        if changed || appeared {
            let known = self.inside.len();
            self.arm()?;
            // What came with the folder was there before its watch was.
            changed |= self.inside.len() > known;
        }
        Ok(changed)
    }

    /// Watches what there is now. Watches that are there already stay; those of what is gone have ended by themselves.
    fn arm(&mut self) -> io::Result<()> {
        let mut inside = Vec::new();
        match inotify::add_watch(&self.inotify, &self.folder, CONTENT | WatchFlags::ONLYDIR) {
            Ok(watch) => {
                inside.push(watch);
                for name in std::fs::read_dir(&self.folder)?.flatten().take(FOLDERS) {
                    if name.file_type().is_ok_and(|kind| kind.is_dir())
                        && let Ok(watch) =
                            inotify::add_watch(&self.inotify, name.path(), CONTENT | WatchFlags::ONLYDIR)
                    {
                        inside.push(watch);
                    }
                }
            }
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => return Err(errno.into()),
        }
        if inside.is_empty() {
            self.arm_above()?;
        }
        inside.sort_unstable();
        self.inside = inside;
        Ok(())
    }

    /// Watches the nearest folder above that exists.
    fn arm_above(&self) -> io::Result<()> {
        for above in self.folder.ancestors().skip(1) {
            match inotify::add_watch(&self.inotify, above, ABOVE | WatchFlags::ONLYDIR) {
                Ok(_) => return Ok(()),
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }
}

fn is_of_folder(events: ReadFlags) -> bool {
    events.intersects(ReadFlags::ISDIR | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED)
}

impl AsFd for FolderWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

/// `/` and a path of a host as one the operating system takes.
pub(crate) fn absolute(path: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec([b"/", path].concat()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Events of inotify are there when the call that made them returns.
    fn changed(watch: &mut FolderWatch) -> bool {
        watch.changed().unwrap()
    }

    #[test]
    fn files_in_the_folder_and_in_folders_in_it_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("mdevctl.d");
        fs::create_dir_all(folder.join("parent")).unwrap();
        let mut watch = FolderWatch::new(&folder).unwrap();
        assert!(!changed(&mut watch));
        fs::write(folder.join("parent/uuid"), "1").unwrap();
        assert!(changed(&mut watch));
        assert!(!changed(&mut watch));
        fs::create_dir(folder.join("other")).unwrap();
        assert!(changed(&mut watch));
        fs::write(folder.join("other/uuid"), "1").unwrap();
        assert!(changed(&mut watch));
        fs::rename(folder.join("other/uuid"), dir.path().join("elsewhere")).unwrap();
        assert!(changed(&mut watch));
        fs::remove_dir_all(&folder).unwrap();
        assert!(changed(&mut watch));
        assert!(!changed(&mut watch));
    }

    #[test]
    fn a_folder_that_comes_later_is_seen_with_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("etc/mdevctl.d");
        let mut watch = FolderWatch::new(&folder).unwrap();
        fs::create_dir(dir.path().join("unrelated")).unwrap();
        assert!(!changed(&mut watch));
        fs::create_dir_all(folder.join("parent")).unwrap();
        fs::write(folder.join("parent/uuid"), "1").unwrap();
        assert!(changed(&mut watch));
        fs::write(folder.join("parent/uuid"), "2").unwrap();
        assert!(changed(&mut watch));
        fs::remove_dir_all(dir.path().join("etc")).unwrap();
        assert!(changed(&mut watch));
        fs::create_dir_all(&folder).unwrap();
        assert!(changed(&mut watch));
    }

    #[test]
    fn a_folder_made_step_by_step_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("etc/mdevctl.d");
        let mut watch = FolderWatch::new(&folder).unwrap();
        fs::create_dir(dir.path().join("etc")).unwrap();
        assert!(!changed(&mut watch));
        fs::create_dir(&folder).unwrap();
        assert!(changed(&mut watch));
        fs::create_dir(folder.join("parent")).unwrap();
        fs::write(folder.join("parent/uuid"), "1").unwrap();
        assert!(changed(&mut watch));
    }
}
