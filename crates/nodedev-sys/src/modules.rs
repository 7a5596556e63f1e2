//! Kernel modules.

use std::process::Command;

use crate::error::{Operation, SysError};
use crate::{Root, paths, programs};

/// Bound of what is kept of modprobe's messages, in bytes.
const MOST_SAID: usize = 1024;

/// Loads a module of this machine with modprobe, which knows dependencies, options and what is forbidden (`-b`).
pub(crate) fn load(root: &Root, name: &str) -> Result<(), SysError> {
    if !root.is_live() {
        return Err(SysError::ReadOnly { path: format!("/{}/{name}", paths::MODULE) });
    }
    // A daemon's PATH need not have the folders of the administrator's programs.
    let programs = ["modprobe", "/usr/sbin/modprobe", "/sbin/modprobe"].map(|program| {
        let mut command = Command::new(program);
        command.args(["-b", "--", name]);
        command
    });
    let ended = programs::run(programs, b"", MOST_SAID, programs::PATIENCE)
        .map_err(|source| SysError::Io { operation: Operation::Run, path: "modprobe".to_owned(), source })?;
    if ended.is_success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.complaint);
    let said = said.trim().replace('\n', "; ");
    let problem = if said.is_empty() { format!("modprobe ended with {}", ended.told()) } else { said };
    Err(SysError::Module { name: name.to_owned(), problem })
}
