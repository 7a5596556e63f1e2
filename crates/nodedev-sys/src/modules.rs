//! Kernel modules.

use std::io;
use std::process::{Command, Stdio};

use crate::error::{Operation, SysError};
use crate::{Root, paths};

/// Bound of what is kept of modprobe's messages, in bytes.
const MOST_SAID: usize = 1024;

/// Loads a module of this machine with modprobe, which knows dependencies, options and what is forbidden (`-b`).
pub(crate) fn load(root: &Root, name: &str) -> Result<(), SysError> {
    if !root.is_live() {
        return Err(SysError::ReadOnly { path: format!("/{}/{name}", paths::MODULE) });
    }
    let failed = |problem: String| SysError::Module { name: name.to_owned(), problem };
    // A daemon's PATH need not have the folders of the administrator's programs.
    let mut ran = Err(io::Error::from(io::ErrorKind::NotFound));
    for program in ["modprobe", "/usr/sbin/modprobe", "/sbin/modprobe"] {
        ran = Command::new(program).args(["-b", "--", name]).stdin(Stdio::null()).output();
        if !matches!(&ran, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            break;
        }
    }
    let output = ran.map_err(|source| SysError::io(Operation::Run, b"modprobe", source))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr[..output.stderr.len().min(MOST_SAID)]);
    let said = said.trim().replace('\n', "; ");
    Err(failed(if said.is_empty() { format!("modprobe ended with {}", output.status) } else { said }))
}
