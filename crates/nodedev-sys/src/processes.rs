//! Who has files open, and where somebody is logged in from.

use std::net::IpAddr;
use std::str::FromStr;

use crate::paths::{CLASS_VFIO, CLASS_VFIO_DEV, DEV, DEV_VFIO, PROC, join};
use crate::{HostAccess, SysError};

/// Bound of a process's name, which the kernel cuts off at 15 bytes.
const NAME_LIMIT: usize = 64;
const NUMBER_LIMIT: usize = 64;
const STAT_LIMIT: usize = 4096;
/// Bound of a process's environment.
const ENVIRONMENT_LIMIT: usize = 4 << 20;
/// What SSH's server tells the programs that it starts: addresses and ports of the client and of this machine (`ssh(1)`).
const SSH_CONNECTION: &[u8] = b"SSH_CONNECTION=";
/// How many processes there can be between one and the server that it was started by.
const MOST_ANCESTORS: usize = 256;

/// Numbers of a device node: major and minor.
pub type NodeNumber = (u32, u32);

/// A device node that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it is on the host, as an absolute path.
    pub path: String,
    /// Its numbers, if they are known.
    pub number: Option<NodeNumber>,
}

/// A process that has a device node open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Number of the process.
    pub pid: u32,
    /// Name of its program, at most 15 bytes (`comm`).
    pub command: String,
    /// The node's path, as it was looked for.
    pub node: String,
}

/// What a search among all processes found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holders {
    /// Who has one of the nodes open, each process once for each node, by number.
    pub found: Vec<Holder>,
    /// How many processes the caller may not look at: they may have any file open. 0 for root with all its capabilities.
    pub unseen: usize,
}

/// Searches all processes for those that have one of some device nodes open. Source: the links in `/proc/PID/fd`.
///
/// `wanted` is given the text of a link, and gives the node that it can be of. The text alone proves nothing: anybody can put
/// whatever file there in a namespace of their own, and a process in a `chroot` has another path before it. So the numbers
/// count, where they are known.
///
/// # Errors
/// [`SysError::Io`] if processes cannot be listed; one that ends meanwhile has nothing open.
pub fn holders(host: &dyn HostAccess, wanted: &dyn Fn(&[u8]) -> Option<Node>) -> Result<Holders, SysError> {
    let mut holders = Holders::default();
    for name in host.names(PROC.as_bytes())?.unwrap_or_default() {
        let Some(pid) = std::str::from_utf8(&name).ok().and_then(|name| name.parse().ok()) else { continue };
        let process = join(PROC.as_bytes(), &name);
        let files = join(&process, b"fd");
        let links = match host.link_targets(&files) {
            Ok(links) => links.unwrap_or_default(),
            Err(error) if error.is_permission() => {
                holders.unseen += 1;
                continue;
            }
            Err(error) if error.is_vanished() || error.errno() == Some(libc::ESRCH) => continue,
            Err(error) => return Err(error),
        };
        if !links.iter().any(|link| wanted(link).is_some()) {
            continue;
        }
        let mut nodes = opened(host, &files, wanted);
        nodes.sort_unstable();
        nodes.dedup();
        if nodes.is_empty() {
            continue;
        }
        let command = host.read(&join(&process, b"comm"), NAME_LIMIT).ok().flatten().unwrap_or_default();
        let command = String::from_utf8_lossy(command.trim_ascii_end()).into_owned();
        holders.found.extend(nodes.into_iter().map(|node| Holder { pid, command: command.clone(), node }));
    }
    holders.found.sort_by_key(|holder| holder.pid);
    Ok(holders)
}

/// The node of VFIO that the text of a link can be of, a group's or a device's own.
pub fn vfio_node(host: &dyn HostAccess, link: &[u8]) -> Option<Node> {
    let name = node_path(link)?.strip_prefix(format!("/{DEV_VFIO}/").as_bytes())?;
    let known = match name.strip_prefix(b"devices/") {
        Some(device) => join(CLASS_VFIO_DEV.as_bytes(), device),
        None => join(CLASS_VFIO.as_bytes(), name),
    };
    let path = format!("/{DEV_VFIO}/{}", String::from_utf8_lossy(name));
    Some(Node { path, number: number(host, &known) })
}

/// The part of a link's text that can be the path of a node: before it can be the folder that a process has as its root, and
/// behind it that the node is removed.
pub fn node_path(link: &[u8]) -> Option<&[u8]> {
    let link = link.strip_suffix(b" (deleted)").unwrap_or(link);
    let folder = format!("/{DEV}/");
    let at = link.windows(folder.len()).rposition(|part| part == folder.as_bytes())?;
    Some(&link[at..])
}

/// The numbers of the node of a device in sysfs, if it has one.
pub fn number(host: &dyn HostAccess, device: &[u8]) -> Option<NodeNumber> {
    let text = host.read(&join(device, b"dev"), NUMBER_LIMIT).ok()??;
    let (major, minor) = std::str::from_utf8(text.trim_ascii_end()).ok()?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// The nodes among a process's open files.
fn opened(host: &dyn HostAccess, files: &[u8], wanted: &dyn Fn(&[u8]) -> Option<Node>) -> Vec<String> {
    let mut nodes = Vec::new();
    // What is gone by now is not open.
    for name in host.names(files).ok().flatten().unwrap_or_default() {
        let file = join(files, &name);
        let Some(node) = host.read_link(&file).ok().flatten().and_then(|link| wanted(&link)) else {
            continue;
        };
        let is_it = match (node.number, host.node_number(&file)) {
            (Some(wanted), Ok(Some(is))) => wanted == is,
            // No device node at all.
            (_, Ok(None)) => false,
            // A recording has no nodes, and the file can be closed by now.
            (None, _) | (_, Err(_)) => true,
        };
        if is_it {
            nodes.push(node.path);
        }
    }
    nodes
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

/// When a process started, in clock ticks since the machine did; `None` if there is no such process. Tells it from a later one
/// with the same number.
pub fn start_time(host: &dyn HostAccess, process: u32) -> Option<u64> {
    let folder = join(PROC.as_bytes(), process.to_string().as_bytes());
    stat_field(&host.read(&join(&folder, b"stat"), STAT_LIMIT).ok()??, 22)
}

/// The name of a process's program, as `/proc/PID/comm` has it: at most 15 bytes, and what the process itself says. `None` if
/// there is no such process, or its name is no text.
pub fn program(host: &dyn HostAccess, process: u32) -> Option<String> {
    let folder = join(PROC.as_bytes(), process.to_string().as_bytes());
    let name = host.read(&join(&folder, b"comm"), NAME_LIMIT).ok()??;
    Some(std::str::from_utf8(name.strip_suffix(b"\n").unwrap_or(&name)).ok()?.to_owned())
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
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::Root;

    fn node(path: &str, number: Option<NodeNumber>) -> Node {
        Node { path: path.to_owned(), number }
    }

    #[test]
    fn those_who_have_a_node_open_are_found_once_for_each_node() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sys")).unwrap();
        for (pid, command, files) in [
            ("77", "qemu (x) 1", &["/dev/vfio/7", "/srv/jail/dev/vfio/7", "/dev/null"][..]),
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
        let wanted = |file: &[u8]| {
            let file = std::str::from_utf8(file).unwrap();
            file.find("/dev/vfio/").map(|at| node(&file[at..], Some((240, 0))))
        };
        let found = holders(&root, &wanted).unwrap();
        let holder =
            |pid, command: &str, node: &str| Holder { pid, command: command.into(), node: node.into() };
        assert_eq!(found.found, [holder(9, "other", "/dev/vfio/8"), holder(77, "qemu (x) 1", "/dev/vfio/7")]);
        assert_eq!(found.unseen, 0);
    }

    #[test]
    fn nodes_of_vfio_are_known_by_their_links_and_their_numbers_by_sysfs() {
        let folder = tempfile::tempdir().unwrap();
        for (device, number) in [("vfio/7", "240:1\n"), ("vfio-dev/vfio0", "239:0\n"), ("vfio/8", "x\n")] {
            let device = folder.path().join("sys/class").join(device);
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("dev"), number).unwrap();
        }
        let root = Root::open(folder.path()).unwrap();
        for (link, want) in [
            ("/dev/vfio/7", Some(node("/dev/vfio/7", Some((240, 1))))),
            ("/srv/jail/dev/vfio/7", Some(node("/dev/vfio/7", Some((240, 1))))),
            ("/dev/vfio/devices/vfio0", Some(node("/dev/vfio/devices/vfio0", Some((239, 0))))),
            ("/dev/vfio/7 (deleted)", Some(node("/dev/vfio/7", Some((240, 1))))),
            ("/dev/vfio/8", Some(node("/dev/vfio/8", None))),
            ("/dev/sda", None),
            ("socket:[1]", None),
        ] {
            assert_eq!(vfio_node(&root, link.as_bytes()), want, "{link}");
        }
    }

    #[test]
    fn what_only_looks_like_a_node_is_none() {
        let null = fs::File::open("/dev/null").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("null");
        let plain = fs::File::create(&path).unwrap();
        let path = path.to_str().unwrap().to_owned();
        let root = Root::live().unwrap();
        let own = std::process::id();
        let is_held = |text: &str, number| {
            let wanted = |file: &[u8]| (file == text.as_bytes()).then(|| node("/dev/looked/for", number));
            let found = holders(&root, &wanted).unwrap().found;
            found.iter().any(|holder| holder.pid == own && holder.node == "/dev/looked/for")
        };
        for (text, number, want) in [
            ("/dev/null", Some((1, 3)), true),
            ("/dev/null", None, true),
            ("/dev/null", Some((1, 5)), false),
            (&path, Some((1, 3)), false),
            (&path, None, false),
        ] {
            assert_eq!(is_held(text, number), want, "{text} {number:?}");
        }
        drop((null, plain));
    }

    #[test]
    fn a_process_started_when_its_22nd_field_says() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("sys")).unwrap();
        let process = folder.path().join("proc/7");
        fs::create_dir_all(&process).unwrap();
        // The third field on, as the kernel writes it of a shell.
        let rest = "S 1 7 7 34816 7 4194560 2211 29511 6 62 1 2 45 17 20 0 1 0 5203 4923392 1154 18446744073709551615\n";
        fs::write(process.join("stat"), format!("7 (a ) 22 b) {rest}")).unwrap();
        let root = Root::open(folder.path()).unwrap();
        assert_eq!((start_time(&root, 7), start_time(&root, 8)), (Some(5203), None));
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
