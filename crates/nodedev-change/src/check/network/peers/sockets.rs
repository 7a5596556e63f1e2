//! The machines that a process is connected to.

use std::collections::{BTreeSet, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nodedev_sys::HostAccess;
use nodedev_sys::paths::{PROC, join};

use crate::Result;

/// Bound of the list of a network's connections.
const CONNECTIONS_LIMIT: usize = 256 << 20;
/// The state of a connection that is made (`include/net/tcp_states.h`).
const ESTABLISHED: &[u8] = b"01";

/// The other ends of a process's TCP connections, if it has any; `None` if nobody can say.
pub(super) fn peers_of(host: &dyn HostAccess, pid: &str) -> Result<Option<BTreeSet<IpAddr>>> {
    if pid.is_empty() || !pid.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    let process = join(PROC.as_bytes(), pid.as_bytes());
    let links = match host.link_targets(&join(&process, b"fd")) {
        Err(error) if error.is_permission() || error.is_vanished() => return Ok(None),
        links => links?,
    };
    let Some(links) = links else { return Ok(None) };
    let sockets: HashSet<&[u8]> =
        links.iter().filter_map(|link| link.strip_prefix(b"socket:[")?.strip_suffix(b"]")).collect();
    if sockets.is_empty() {
        return Ok(None);
    }
    let (mut peers, mut is_told) = (BTreeSet::new(), false);
    for file in ["net/tcp", "net/tcp6"] {
        let Some(table) = host.read(&join(&process, file.as_bytes()), CONNECTIONS_LIMIT)? else { continue };
        is_told = true;
        for line in table.split(|&b| b == b'\n').skip(1) {
            let fields: Vec<&[u8]> =
                line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).collect();
            let [_, _, remote, state, _, _, _, _, _, inode, ..] = fields[..] else { continue };
            if state == ESTABLISHED && sockets.contains(inode) {
                peers.extend(address(remote));
            }
        }
    }
    Ok(is_told.then_some(peers))
}

/// An address as the kernel's lists have it: words of four bytes as they are in memory, and a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let (digits, _port) = std::str::from_utf8(text).ok()?.split_once(':')?;
    if !digits.len().is_multiple_of(8) {
        return None;
    }
    let words: Option<Vec<[u8; 4]>> = digits
        .as_bytes()
        .chunks(8)
        .map(|word| Some(u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?.to_ne_bytes()))
        .collect();
    let bytes = words?.concat();
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|bytes| Ipv4Addr::from(bytes).into()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|bytes| Ipv6Addr::from(bytes).to_canonical()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::{address, peers_of};

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_of_the_lists_are_read() {
        for (text, want) in [
            ("0100000A:0CBC", Some("10.0.0.1")),
            ("B80D0120000000000000000001000000:2775", Some("2001:db8::1")),
            ("0000000000000000FFFF00000100000A:2775", Some("10.0.0.1")),
            ("0100000A", None),
            ("01:1", None),
            ("", None),
        ] {
            assert_eq!(address(text.as_bytes()), want.map(|want| want.parse().unwrap()), "{text}");
        }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn connections_that_are_made_and_a_process_s_own_have_its_peers() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sys")).unwrap();
        let line = |remote: &str, state: &str, inode: u32| {
            format!("0: 0200000A:1234 {remote}:0CBC {state} 0:0 0:0 0 0 0 {inode} 1\n")
        };
        let table = [
            "head\n".to_owned(),
            line("0100000A", "01", 77),
            line("0300000A", "01", 78),
            line("0400000A", "0A", 77),
            "x\n".to_owned(),
        ];
        for process in ["proc/5", "other"] {
            let process = folder.path().join(process);
            fs::create_dir_all(process.join("fd")).unwrap();
            fs::create_dir_all(process.join("net")).unwrap();
            symlink("socket:[77]", process.join("fd/3")).unwrap();
            fs::write(process.join("net/tcp"), table.concat()).unwrap();
        }
        fs::create_dir_all(folder.path().join("proc/6/fd")).unwrap();
        let host = nodedev_sys::Root::open(folder.path()).unwrap();
        for (pid, want) in [
            ("5", Some(vec!["10.0.0.1"])),
            ("6", None),
            ("7", None),
            ("", None),
            ("../other", None),
            ("x", None),
        ] {
            let found = peers_of(&host, pid).unwrap();
            let found = found.map(|peers| peers.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(found, want.map(|want| want.into_iter().map(str::to_owned).collect()), "{pid}");
        }
    }
}
