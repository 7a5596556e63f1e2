//! The program `mdevctl`, which keeps definitions of mediated devices and starts them.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::process::Command;

use rustix::io::dup;

use crate::error::{Operation, SysError};
use crate::{FileLock, Root, programs};

/// Bound of what is kept of each of its outputs, in bytes.
const MOST_SAID: usize = 64 << 10;
/// Where the program is in [`Root::scratch`].
const OF_SCRATCH: &str = "usr/sbin/mdevctl";

/// How a run of mdevctl ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Whether it did what it was asked for.
    pub success: bool,
    /// What it wrote to its output, without blanks around it.
    pub output: String,
    /// What it complained of, as it wrote it.
    pub complaint: String,
}

/// Runs mdevctl with arguments and an input. It has the locks: they stay taken until it ends, also if the caller ends before. In [`Root::scratch`] it is the program that lies there, with the root as its
/// working directory.
///
/// # Errors
/// [`SysError::ReadOnly`] for a recording; [`SysError::Io`] if the program cannot be run.
pub fn run(
    root: &Root,
    arguments: &[&str],
    input: Option<&str>,
    locks: &[FileLock],
) -> Result<Ran, SysError> {
    let failed = |source| SysError::io(Operation::Run, b"mdevctl", source);
    let mut programs = Vec::new();
    if root.is_live() {
        // A daemon's PATH need not have the folders of the administrator's programs.
        programs.extend(["mdevctl", "/usr/sbin/mdevctl"].map(Command::new));
    } else if let Some(folder) = root.changeable_folder() {
        let folder = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let folder = std::fs::canonicalize(folder).map_err(failed)?;
        let mut program = Command::new(folder.join(OF_SCRATCH));
        program.current_dir(folder);
        programs.push(program);
    } else {
        return Err(SysError::ReadOnly { path: "/etc/mdevctl.d".to_owned() });
    }
    for program in &mut programs {
        program.args(arguments);
    }
    let input = input.unwrap_or_default().as_bytes();
    // They are given to every process that is started at this moment: it cannot be told which.
    let inherited: Result<Vec<OwnedFd>, _> = locks.iter().map(|lock| dup(lock.as_fd())).collect();
    let inherited = inherited.map_err(|errno| failed(errno.into()))?;
    let ended = programs::run(programs, input, MOST_SAID, programs::PATIENCE);
    drop(inherited);
    let ended = ended.map_err(failed)?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ran {
        success: ended.is_success(),
        output: said(&ended.output).trim().to_owned(),
        complaint: said(&ended.complaint),
    })
}
