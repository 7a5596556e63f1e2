//! The program `mdevctl`, which keeps definitions of mediated devices and starts them.

use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};

use crate::Root;
use crate::error::{Operation, SysError};

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

/// Runs mdevctl with arguments and an input. In [`Root::scratch`] it is the program that lies there, with the root as its
/// working directory.
///
/// # Errors
/// [`SysError::ReadOnly`] for a recording; [`SysError::Io`] if the program cannot be run.
pub fn run(root: &Root, arguments: &[String], input: Option<&str>) -> Result<Ran, SysError> {
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
    let mut ran = Err(io::Error::from(io::ErrorKind::NotFound));
    for mut program in programs {
        program.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        program.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        ran = program.spawn();
        if !matches!(&ran, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            break;
        }
    }
    let mut child = ran.map_err(failed)?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // It may refuse its arguments, and end, before it reads any of it; what it says of that counts.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(MOST_SAID)]).into_owned();
    Ok(Ran {
        success: output.status.success(),
        output: said(&output.stdout).trim().to_owned(),
        complaint: said(&output.stderr),
    })
}
