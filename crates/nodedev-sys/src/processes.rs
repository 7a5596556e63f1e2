//! Who has files open.

use crate::paths::{PROC, join};
use crate::{HostAccess, SysError};

/// Bound of a process's name, which the kernel cuts off at 15 bytes.
const NAME_LIMIT: usize = 64;

/// A process that has a file open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Number of the process.
    pub pid: u32,
    /// Name of its program, at most 15 bytes (`comm`).
    pub command: String,
    /// The file, as an absolute path of the host.
    pub file: String,
}

/// What a search among all processes found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders {
    /// Who has one of the files open, each process once for each file, by number.
    pub found: Vec<Holder>,
    /// How many processes the caller may not look at: they may have any file open. 0 for root with all its capabilities.
    pub unseen: usize,
}

/// Searches all processes for those that have one of some files open. Source: the links in `/proc/PID/fd`. `wanted` is
/// given absolute paths.
///
/// # Errors
/// [`SysError::Io`] if processes cannot be listed; one that ends meanwhile has nothing open.
pub fn holders(host: &dyn HostAccess, wanted: &dyn Fn(&[u8]) -> bool) -> Result<Holders, SysError> {
    let mut holders = Holders::default();
    for name in host.names(PROC.as_bytes())?.unwrap_or_default() {
        let Some(pid) = std::str::from_utf8(&name).ok().and_then(|name| name.parse().ok()) else { continue };
        let process = join(PROC.as_bytes(), &name);
        let mut files = match host.link_targets(&join(&process, b"fd")) {
            Ok(files) => files.unwrap_or_default(),
            Err(error) if error.is_permission() => {
                holders.unseen += 1;
                continue;
            }
            Err(error) if error.is_vanished() || error.errno() == Some(libc::ESRCH) => continue,
            Err(error) => return Err(error),
        };
        files.retain(|file| wanted(file));
        files.sort_unstable();
        files.dedup();
        if files.is_empty() {
            continue;
        }
        let command = host.read(&join(&process, b"comm"), NAME_LIMIT).ok().flatten().unwrap_or_default();
        let command = String::from_utf8_lossy(command.trim_ascii_end()).into_owned();
        let holder = |file: Vec<u8>| {
            let file = String::from_utf8_lossy(&file).into_owned();
            Holder { pid, command: command.clone(), file }
        };
        holders.found.extend(files.into_iter().map(holder));
    }
    holders.found.sort_by_key(|holder| holder.pid);
    Ok(holders)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::Root;

    #[test]
    fn those_who_have_a_file_open_are_found_once_for_each_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sys")).unwrap();
        for (pid, command, files) in [
            ("77", "qemu (x) 1", &["/dev/vfio/7", "/dev/vfio/7", "/dev/null"][..]),
            ("9", "other", &["/dev/vfio/8"]),
        ] {
            let process = folder.path().join("proc").join(pid);
            fs::create_dir_all(process.join("fd")).unwrap();
            fs::write(process.join("comm"), format!("{command}\n")).unwrap();
            for (number, file) in files.iter().enumerate() {
                symlink(file, process.join("fd").join(number.to_string())).unwrap();
            }
        }
        fs::create_dir_all(folder.path().join("proc/sys")).unwrap();
        let root = Root::open(folder.path()).unwrap();
        let found = holders(&root, &|file| file.starts_with(b"/dev/vfio/")).unwrap();
        let holder =
            |pid, command: &str, file: &str| Holder { pid, command: command.into(), file: file.into() };
        assert_eq!(found.found, [holder(9, "other", "/dev/vfio/8"), holder(77, "qemu (x) 1", "/dev/vfio/7")]);
        assert_eq!(found.unseen, 0);
    }
}
