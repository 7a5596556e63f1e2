//! Writes that the kernel may not come back from: it lets go of a device only when those who have it open are done.
//!
//! Such a write is done by a process of its own, `dd`: a thread that waits in the kernel would keep its program from ever
//! ending. The process has the locks of those who started it, so that what it does is theirs as long as it is at it.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command};
use std::time::Duration;

use rustix::io::dup;

use crate::error::{Operation, SysError};
use crate::programs::{Waited, beginning, is_success, memory_file_of, spawn_first, wait};
use crate::{FileLock, Root, change};

/// How much of a complaint is read.
const COMPLAINT: usize = 1024;
/// Error numbers that are known by their texts.
const ERRORS: std::ops::Range<i32> = 1..134;

/// A write that was begun, and perhaps is not done.
pub trait PendingWrite: fmt::Debug + Send {
    /// Waits so long for the write to be done. `None` if it is not by then.
    ///
    /// # Errors
    /// What the kernel says to the write, as [`HostAccess::write`](crate::HostAccess::write).
    fn wait(&mut self, patience: Duration) -> Option<Result<(), SysError>>;
}

/// A write by another process.
#[derive(Debug)]
struct ByProcess {
    /// Nothing once it was waited for.
    child: Option<Child>,
    complaint: File,
    path: Vec<u8>,
}

/// A write that was done at once.
#[derive(Debug)]
struct Done(Option<Result<(), SysError>>);

impl PendingWrite for Done {
    fn wait(&mut self, _: Duration) -> Option<Result<(), SysError>> {
        Some(self.0.take().unwrap_or(Ok(())))
    }
}

impl PendingWrite for ByProcess {
    fn wait(&mut self, patience: Duration) -> Option<Result<(), SysError>> {
        let failed = |source: io::Error| SysError::io(Operation::Write, &self.path, source);
        let Some(child) = &mut self.child else { return Some(Ok(())) };
        let status = match wait(child, patience) {
            Ok(Waited::TooLong) => return None,
            Ok(Waited::Ended(status)) => status,
            Err(error) => return Some(Err(failed(error))),
        };
        self.child = None;
        let complaint = beginning(&self.complaint, COMPLAINT).unwrap_or_default();
        if is_success(status, &complaint) {
            return Some(Ok(()));
        }
        Some(Err(failed(reason(&complaint))))
    }
}

impl Drop for ByProcess {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Somebody has to wait for it in the end. A thread that waits for a process keeps nobody from ending.
            let _ = nodedev_threads::spawn("nodedev-wait", move || child.wait());
        }
    }
}

/// Begins a write. `locks` stay taken until it is done, also if the caller ends before.
pub(crate) fn start(
    root: &Root,
    path: &[u8],
    value: &[u8],
    locks: &[FileLock],
) -> Result<Box<dyn PendingWrite>, SysError> {
    let failed = |source: io::Error| SysError::io(Operation::Write, path, source);
    let attribute = change::open_attribute(root, path)?;
    let stdin = memory_file_of(value).map_err(failed)?;
    let complaint = memory_file_of(b"").map_err(failed)?;
    // They are given to every process that is started at this moment: it cannot be told which.
    let inherited: Result<Vec<OwnedFd>, _> = locks.iter().map(|lock| dup(lock.as_fd())).collect();
    let inherited = inherited.map_err(|errno| failed(errno.into()))?;
    let started = spawn_first(["dd", "/usr/bin/dd", "/bin/dd"].into_iter().map(|program| {
        let mut command = Command::new(program);
        command.args(["bs=65536", "count=1", "status=none"]).env("LC_ALL", "C");
        command.stdin(stdin.try_clone()?).stderr(complaint.try_clone()?).stdout(attribute.try_clone()?);
        Ok(command)
    }));
    drop(inherited);
    match started {
        Ok(child) => Ok(Box::new(ByProcess { child: Some(child), complaint, path: path.to_owned() })),
        // Without the program it is done here: most writes end.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(Box::new(Done(Some(change::write(root, path, value)))))
        }
        Err(error) => Err(failed(error)),
    }
}

/// What the kernel said, by the text at the end of what `dd` says of it.
fn reason(complaint: &[u8]) -> io::Error {
    let complaint = String::from_utf8_lossy(complaint);
    let line = complaint.lines().next().unwrap_or_default();
    let told = line.rsplit_once(": ").map_or(line, |(_, told)| told);
    let known = ERRORS.map(io::Error::from_raw_os_error).find(|error| {
        let text = error.to_string();
        text.split(" (os error").next() == Some(told)
    });
    known.unwrap_or_else(|| io::Error::other(format!("dd says {line:?}")))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::HostAccess;

    const LONG: Duration = Duration::from_secs(20);

    fn host() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sys/devices")).unwrap();
        let root = Root::scratch(folder.path()).unwrap();
        (folder, root)
    }

    #[test]
    fn a_value_is_written_in_one_write_and_errors_keep_their_numbers() {
        let (folder, root) = host();
        let path = folder.path().join("sys/devices/value");
        fs::write(&path, "before, and longer\n").unwrap();
        let mut write = start(&root, b"sys/devices/value", b"after\n", &[]).unwrap();
        write.wait(LONG).unwrap().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after\n");
        let error = start(&root, b"sys/devices/other", b"1", &[]).unwrap_err();
        assert!(error.is_vanished(), "{error}");
        assert_eq!(fs::read(folder.path().join("sys/devices/other")).ok(), None);
        // The kernel refuses this one at the write.
        std::os::unix::fs::symlink("/dev/full", folder.path().join("full")).unwrap();
        let live = Root::live().unwrap();
        let mut write = start(&live, b"dev/full", b"1", &[]).unwrap();
        let error = write.wait(LONG).unwrap().unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOSPC), "{error}");
    }

    #[test]
    fn a_write_that_does_not_end_is_told_of_and_keeps_the_locks_of_its_starter() {
        let (folder, root) = host();
        let lock = HostAccess::try_lock(&root, b"run/a.lock").unwrap().unwrap();
        // A pipe that is full is a write that waits.
        let fifo = folder.path().join("sys/devices/fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        let flags = libc::O_NONBLOCK;
        let mut pipe = fs::File::options().read(true).write(true).custom_flags(flags).open(&fifo).unwrap();
        while io::Write::write(&mut pipe, &[b'x'; 4096]).is_ok() {}
        let mut write = start(&root, b"sys/devices/fifo", b"1\n", std::slice::from_ref(&lock)).unwrap();
        let begun = Instant::now();
        assert!(write.wait(Duration::from_millis(100)).is_none());
        assert!(begun.elapsed() < LONG);
        lock.leave();
        drop(lock);
        assert!(HostAccess::is_locked(&root, b"run/a.lock").unwrap(), "the one who writes has it");
        // Its end is the end of the lock.
        let mut buffer = [0; 4096];
        while io::Read::read(&mut pipe, &mut buffer).is_ok() {}
        write.wait(LONG).unwrap().unwrap();
        assert!(!HostAccess::is_locked(&root, b"run/a.lock").unwrap());
    }

    #[test]
    fn what_dd_says_is_understood() {
        for (text, want) in [
            ("dd: error writing 'standard output': Device or resource busy\n", Some(libc::EBUSY)),
            ("dd: write error: Invalid argument\n", Some(libc::EINVAL)),
            ("dd: something else\n", None),
            ("", None),
        ] {
            assert_eq!(reason(text.as_bytes()).raw_os_error(), want, "{text}");
        }
    }
}
