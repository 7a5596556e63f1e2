//! What is known of processes: when they started, and where somebody is logged in from.

use std::net::IpAddr;
use std::str::FromStr;

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

/// When a process started, in clock ticks since the machine did, which tells it from a later one with the same number, and the
/// name of its program as [`program`] has it; `None` if there is no such process.
pub fn start_and_program(host: &dyn HostAccess, process: u32) -> Option<(u64, String)> {
    let folder = join(PROC.as_bytes(), process.to_string().as_bytes());
    let stat = host.read(&join(&folder, b"stat"), STAT_LIMIT).ok()??;
    let name = stat.iter().position(|&b| b == b'(').zip(stat.iter().rposition(|&b| b == b')'));
    let name = name.and_then(|(begin, end)| stat.get(begin + 1..end))?;
    Some((stat_field(&stat, 22)?, String::from_utf8_lossy(name).into_owned()))
}

/// The name of a process's program, as `/proc/PID/comm` has it: at most 15 bytes, and what the process itself says; bytes that are
/// no text are replaced. `None` if there is no such process.
///
/// # Errors
/// As [`HostAccess::read`].
pub fn program(host: &dyn HostAccess, process: u32) -> Result<Option<String>, SysError> {
    let folder = join(PROC.as_bytes(), process.to_string().as_bytes());
    let name = host.read(&join(&folder, b"comm"), NAME_LIMIT)?;
    Ok(name.map(|name| String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned()))
}

/// The parent of a process, by its `stat`.
fn parent(stat: &[u8]) -> Option<u32> {
    stat_field(stat, 4)
}

/// A numeric field of a process's `stat`, counted from 1 (kernel, `Documentation/filesystems/proc.rst`, table 1-4).
fn stat_field<T: FromStr>(stat: &[u8], number: usize) -> Option<T> {
    // The name of the program, the second field, is in parentheses and may hold blanks and parentheses itself.
    let behind = stat.iter().rposition(|&b| b == b')')?;
    let field = stat[behind..].split(|&b| b == b' ').nth(number.checked_sub(2)?)?;
    std::str::from_utf8(field).ok()?.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::Root;

    #[test]
    fn a_process_started_when_its_22nd_field_says_and_has_the_name_in_parentheses() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sys")).unwrap();
        let process = folder.path().join("proc/7");
        fs::create_dir_all(&process).unwrap();
        // The third field on, as the kernel writes it of a shell.
        let rest = "S 1 7 7 34816 7 4194560 2211 29511 6 62 1 2 45 17 20 0 1 0 5203 4923392 1154 18446744073709551615\n";
        fs::write(process.join("stat"), format!("7 (a ) 22 b) {rest}")).unwrap();
        let root = Root::open(folder.path()).unwrap();
        assert_eq!(start_and_program(&root, 7), Some((5203, "a ) 22 b".to_owned())));
        assert_eq!(start_and_program(&root, 8), None);
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
