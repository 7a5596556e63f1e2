//! Who has files open, and where somebody is logged in from.

use std::net::IpAddr;

use crate::paths::{PROC, join};
use crate::{HostAccess, SysError};

/// Bound of a process's name, which the kernel cuts off at 15 bytes.
const NAME_LIMIT: usize = 64;
const STAT_LIMIT: usize = 4096;
/// Bound of a process's environment.
const ENVIRONMENT_LIMIT: usize = 4 << 20;
/// What SSH's server tells the programs that it starts: addresses and ports of the client and of this machine (`ssh(1)`).
const SSH_CONNECTION: &[u8] = b"SSH_CONNECTION=";
/// How many processes there can be between one and the server that it was started by.
const MOST_ANCESTORS: usize = 256;

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

/// The address of this machine that a process's user is connected to over SSH; `None` if it is not known that there is such a
/// connection. Looked for in the environment of the process (this one, if none is named) and of those above it: `sudo` takes
/// it out of that of the programs that it starts.
pub fn ssh_address(host: &dyn HostAccess, process: Option<u32>) -> Option<IpAddr> {
    let mut process = process.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    for _ in 0..MOST_ANCESTORS {
        let folder = join(PROC.as_bytes(), process.as_bytes());
        let environment =
            host.read(&join(&folder, b"environ"), ENVIRONMENT_LIMIT).ok().flatten().unwrap_or_default();
        let found = environment.split(|&b| b == 0).find_map(|variable| variable.strip_prefix(SSH_CONNECTION));
        if let Some(connection) = found {
            return third_address(connection);
        }
        let stat = host.read(&join(&folder, b"stat"), STAT_LIMIT).ok()??;
        process = parent(&stat).filter(|pid| *pid != 0)?.to_string();
    }
    None
}

fn third_address(connection: &[u8]) -> Option<IpAddr> {
    let address = std::str::from_utf8(connection).ok()?.split(' ').nth(2)?;
    // A link-local one names its interface, too.
    let address = address.split('%').next()?;
    address.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// The parent of a process, by its `stat` (kernel, `Documentation/filesystems/proc.rst`, table 1-4).
fn parent(stat: &[u8]) -> Option<u32> {
    // The name of the program, the second field, is in parentheses and may hold blanks and parentheses itself.
    let behind = stat.iter().rposition(|&b| b == b')')?;
    let field = stat[behind..].split(|&b| b == b' ').nth(2)?;
    std::str::from_utf8(field).ok()?.parse().ok()
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

    #[test]
    fn the_connection_over_ssh_is_found_above_sudo() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sys")).unwrap();
        let process = |pid: &str, parent: u32, environment: &str| {
            let process = folder.path().join("proc").join(pid);
            fs::create_dir_all(&process).unwrap();
            fs::write(process.join("stat"), format!("{pid} (a ) b) S {parent} 1 1 0")).unwrap();
            fs::write(process.join("environ"), environment).unwrap();
        };
        let root = Root::open(folder.path()).unwrap();
        process("self", 40, "PATH=/bin\0SUDO_USER=x\0");
        process("40", 30, "");
        process("1", 0, "HOME=/\0");
        for (environment, want) in [
            ("A=1\0SSH_CONNECTION=198.51.100.7 50000 192.0.2.1 22\0", Some("192.0.2.1")),
            ("SSH_CONNECTION=fe80::2%eth0 50000 fe80::1%eth0 22\0", Some("fe80::1")),
            ("SSH_CONNECTION=::ffff:1.2.3.4 5 ::ffff:192.0.2.1 22\0", Some("192.0.2.1")),
            ("SSH_CONNECTION=UNKNOWN\0", None),
            ("XSSH_CONNECTION=198.51.100.7 50000 192.0.2.1 22\0", None),
        ] {
            process("30", 1, environment);
            let want: Option<IpAddr> = want.map(|address| address.parse().unwrap());
            assert_eq!(ssh_address(&root, None), want, "{environment}");
            assert_eq!(ssh_address(&root, Some(40)), want, "{environment}");
        }
        // A circle ends.
        process("1", 30, "");
        assert_eq!(ssh_address(&root, None), None);
        assert_eq!(ssh_address(&root, Some(99)), None);
    }
}
