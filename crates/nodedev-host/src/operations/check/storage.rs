//! Disks that the host has file systems or swap space on.

use std::collections::HashSet;

use nodedev_model::{Effect, Finding, FindingKind};
use nodedev_sys::HostAccess;
use nodedev_sys::paths::{
    BTRFS, CLASS_BLOCK, DEV, DEV_BLOCK, PROCESSES_OF_THE_HOST, SWAPS, basename, follow, join, parent,
};

use super::scene::is_below;
use super::{Intent, Scene, finding};
use crate::operations::Result;

/// Bound of the list of mounts, of which a host with many containers has tens of thousands.
const MOUNTS_LIMIT: usize = 64 << 20;
const SWAPS_LIMIT: usize = 1 << 20;
/// Bound of a walk from one block device down to disks.
const MOST_DEVICES: usize = 1 << 16;
/// What the numbers of file systems begin with that are on no block device, or on more than one.
const NO_DEVICE: &str = "0:";
const NVME_SUBSYSTEM: &[u8] = b"nvme-subsystem";

/// A block device that the host uses, or one that that is built upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Use {
    /// What for, as it is told: `the file system at /home`.
    what: String,
    /// Relative to the root.
    path: Vec<u8>,
}

/// Whether the host has a file system or swap space below the function.
pub(super) fn check(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    let needed = |use_: &Use| {
        finding(
            FindingKind::HostStorage,
            Effect::RefusedUnlessForced,
            format!(
                "PCI device {} is needed by the host: {} is on {}",
                function.address,
                use_.what,
                String::from_utf8_lossy(basename(&use_.path))
            ),
            "unmount it, or turn the swap space off; with --force the host loses what is on it",
        )
    };
    Ok(scene.used()?.iter().find(|use_| is_below(&use_.path, function)).map(needed).into_iter().collect())
}

/// All that the host uses, be it through device-mapper, RAID, LVM or multipath, each block device once.
pub(super) fn used(host: &dyn HostAccess) -> Result<Vec<Use>> {
    let (mut used, mut seen) = (Vec::new(), HashSet::new());
    for Use { what, path } in uses(host)? {
        let below = all_below(host, path, &mut seen)?;
        used.extend(below.into_iter().map(|path| Use { what: what.clone(), path }));
    }
    Ok(used)
}

/// What the host uses, the root file system first: who reads the message should see the weightiest.
fn uses(host: &dyn HostAccess) -> Result<Vec<Use>> {
    let mut mounts = Vec::new();
    for process in PROCESSES_OF_THE_HOST {
        let table = host.read(format!("{process}/mountinfo").as_bytes(), MOUNTS_LIMIT);
        if let Ok(Some(table)) = table {
            mounts = String::from_utf8_lossy(&table).lines().filter_map(mount).collect();
            break;
        }
    }
    mounts.sort_by_key(|mount: &Mount| mount.at.len());
    let (mut uses, mut known) = (Vec::new(), HashSet::new());
    for Mount { number, at, source } in mounts {
        if !known.insert((number.clone(), source.clone())) {
            continue;
        }
        let what = format!("the file system at {at}");
        if !number.starts_with(NO_DEVICE) {
            let link = host.read_link(format!("{DEV_BLOCK}/{number}").as_bytes())?;
            uses.extend(link.map(|link| Use { what, path: follow(DEV_BLOCK.as_bytes(), &link) }));
            continue;
        }
        // Some of those are on several devices all the same, as bcachefs, which names all of them.
        for device in source.split(':') {
            uses.extend(by_node(host, device)?.map(|path| Use { what: what.clone(), path }));
        }
    }
    for name in host.names(BTRFS.as_bytes())?.unwrap_or_default() {
        let folder = join(&join(BTRFS.as_bytes(), &name), b"devices");
        for link in host.link_targets(&folder)?.unwrap_or_default() {
            let what = "a mounted file system".to_owned();
            uses.push(Use { what, path: follow(&folder, &link) });
        }
    }
    let swaps = host.read(SWAPS.as_bytes(), SWAPS_LIMIT)?.unwrap_or_default();
    for line in String::from_utf8_lossy(&swaps).lines().skip(1) {
        let node = unescaped(line.split_ascii_whitespace().next().unwrap_or_default());
        uses.extend(by_node(host, &node)?.map(|path| Use { what: "swap space".into(), path }));
    }
    Ok(uses)
}

/// The block device of a node. Links to nodes, as `/dev/mapper` has them, have a number in the list of mounts.
fn by_node(host: &dyn HostAccess, node: &str) -> Result<Option<Vec<u8>>> {
    let Some(name) = node.strip_prefix(&format!("/{DEV}/")) else { return Ok(None) };
    let name = name.replace('/', "!");
    let link = host.read_link(format!("{CLASS_BLOCK}/{name}").as_bytes())?;
    Ok(link.map(|link| follow(CLASS_BLOCK.as_bytes(), &link)))
}

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    /// Numbers of the block device, `8:1`.
    number: String,
    at: String,
    source: String,
}

/// Reads a line of `mountinfo` (kernel, `Documentation/filesystems/proc.rst`, 3.5).
fn mount(line: &str) -> Option<Mount> {
    let (before, behind) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(2);
    let (number, _root, at) = (fields.next()?, fields.next()?, fields.next()?);
    let source = behind.split(' ').nth(1)?;
    let is_number = number.bytes().all(|b| b.is_ascii_digit() || b == b':');
    is_number.then(|| Mount { number: number.to_owned(), at: unescaped(at), source: unescaped(source) })
}

/// A path with blanks and the like written as `\040`.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(char::from(byte));
                plain.push_str(&part[3..]);
            }
            None => {
                plain.push('\\');
                plain.push_str(part);
            }
        }
    }
    plain
}

/// A block device and all those that it is built upon, but for those that were `seen`.
pub(super) fn all_below(
    host: &dyn HostAccess,
    path: Vec<u8>,
    seen: &mut HashSet<Vec<u8>>,
) -> Result<Vec<Vec<u8>>> {
    let (mut all, mut open) = (Vec::new(), vec![path]);
    while let Some(path) = open.pop() {
        if seen.len() >= MOST_DEVICES || !seen.insert(path.clone()) {
            continue;
        }
        let slaves = join(&path, b"slaves");
        for link in host.link_targets(&slaves)?.unwrap_or_default() {
            open.push(follow(&slaves, &link));
        }
        // A partition is on its disk, and that may be built upon others; so is one of RAID.
        if host.read(&join(&path, b"partition"), 64)?.is_some() {
            open.push(parent(&path).to_vec());
        }
        // A disk with several paths hangs below its subsystem, and that has links to its controllers.
        let parts: Vec<&[u8]> = path.split(|&b| b == b'/').collect();
        if let Some(at) = parts.iter().position(|part| *part == NVME_SUBSYSTEM)
            && let Some(parts) = parts.get(..at + 2)
        {
            let subsystem = parts.join(&b'/');
            for link in host.link_targets(&subsystem)?.unwrap_or_default() {
                let target = follow(&subsystem, &link);
                if basename(&target).starts_with(b"nvme") {
                    open.push(target);
                }
            }
        }
        all.push(path);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::{Mount, mount, unescaped};

    #[test]
    fn lines_of_mountinfo_are_read_with_and_without_optional_fields() {
        let want = |number: &str, at: &str, source: &str| {
            Some(Mount { number: number.into(), at: at.into(), source: source.into() })
        };
        for (line, wanted) in [
            (
                "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
                want("98:0", "/mnt 2", "/dev/root"),
            ),
            ("22 1 0:31 / / rw shared:1 - btrfs /dev/sda2 rw", want("0:31", "/", "/dev/sda2")),
            ("22 1 0:31 / / rw - tmpfs tmpfs rw", want("0:31", "/", "tmpfs")),
            ("22 1 ../x / / rw - a b c", None),
            ("22 1 0:31", None),
            ("", None),
        ] {
            assert_eq!(mount(line), wanted, "{line}");
        }
        assert_eq!(unescaped("a\\134b\\q"), "a\\b\\q");
    }
}
