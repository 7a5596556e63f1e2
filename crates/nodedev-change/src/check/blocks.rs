//! Block devices: what they are built upon, and which functions they are of.

use std::collections::{HashMap, HashSet};

use nodedev_model::PciAddress;
use nodedev_sys::attribute_value;
use nodedev_sys::open_files::number;
use nodedev_sys::paths::{CLASS_BLOCK, DEV, DEV_BLOCK, UDEV_DATA, basename, follow, join, parent};
use nodedev_sys::udev::{Record, Uevent};
use nodedev_sys::{DeviceNode, HostAccess, NodeKind};

use super::Scene;
use super::claims::functions_above;
use super::lookup::devices_in;
use super::storage::{self, Place};
use crate::{OpsError, Result};

/// Bound of a walk from one block device down to disks.
const MOST_DEVICES: usize = 1 << 20;
const SMALL: usize = 4096;
const UEVENT_LIMIT: usize = 64 << 10;
/// Bound of a record of udev's database.
const RECORD_LIMIT: usize = 1 << 20;
/// Bound of the name of the file behind a loop device.
const PATH_LIMIT: usize = 64 << 10;
const NVME_SUBSYSTEM: &[u8] = b"nvme-subsystem";

/// The block devices and partitions of a host.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// Their paths, relative to the root.
    paths: Vec<Vec<u8>>,
    /// Places in that list, by the kernel's names.
    by_name: HashMap<Vec<u8>, usize>,
}

impl Blocks {
    pub(super) fn of(host: &dyn HostAccess) -> Result<Self> {
        let paths = devices_in(host, CLASS_BLOCK)?;
        let by_name =
            paths.iter().enumerate().map(|(place, path)| (basename(path).to_vec(), place)).collect();
        Ok(Self { paths, by_name })
    }

    pub(super) fn paths(&self) -> &[Vec<u8>] {
        &self.paths
    }

    /// The device with a name of the kernel's, such as `sda1` or `cciss!c0d0`.
    pub(super) fn named(&self, name: &[u8]) -> Option<&[u8]> {
        self.by_name.get(name).map(|place| self.paths[*place].as_slice())
    }

    pub(super) fn is_partition(&self, path: &[u8]) -> bool {
        self.named(basename(parent(path))).is_some_and(|disk| disk == parent(path))
    }

    /// The functions that a block device's own path leads to, and, for a disk with several paths of NVMe, its controllers' too.
    pub(super) fn functions_of(&self, host: &dyn HostAccess, path: &[u8]) -> Result<Vec<PciAddress>> {
        let mut functions: Vec<_> = functions_above(path).collect();
        for controller in controllers(host, path)? {
            functions.extend(functions_above(&controller));
        }
        Ok(functions)
    }

    /// The device of a node that is named by a path, be it a link, a name of the kernel's, or one of the device mapper's.
    pub(super) fn of_node(&self, host: &dyn HostAccess, node: &[u8]) -> Result<Option<Vec<u8>>> {
        // The numbers say it whatever the name is; a recording and a test have none.
        if let Ok(Some(found)) = host.node(node.strip_prefix(b"/").unwrap_or(node))
            && found.kind == NodeKind::Block
            && let Some(path) = numbered(host, found.to_string().as_bytes())?
        {
            return Ok(Some(path));
        }
        let Some(name) = node.strip_prefix(format!("/{DEV}/").as_bytes()) else { return Ok(None) };
        let kernels: Vec<u8> = name.iter().map(|&b| if b == b'/' { b'!' } else { b }).collect();
        if let Some(path) = self.named(&kernels) {
            return Ok(Some(path.to_vec()));
        }
        match name.strip_prefix(b"mapper/") {
            Some(name) => self.mapped(host, name),
            None => Ok(None),
        }
    }

    /// The device of the device mapper that is called so by those who made it.
    fn mapped(&self, host: &dyn HostAccess, name: &[u8]) -> Result<Option<Vec<u8>>> {
        for path in self.paths.iter().filter(|path| basename(path).starts_with(b"dm-")) {
            let called = host.read(&join(path, b"dm/name"), SMALL)?.unwrap_or_default();
            if attribute_value(&called) == name {
                return Ok(Some(path.clone()));
            }
        }
        Ok(None)
    }

    /// A block device and all those that it is built upon, but for those that were `seen`; gives the files behind loop devices whose
    /// place nobody knows to `hidden`.
    ///
    /// # Errors
    /// Those of looking; [`OpsError::Malformed`] if there are more devices than there can be.
    pub(super) fn below(
        &self,
        scene: &Scene<'_>,
        path: Vec<u8>,
        seen: &mut HashSet<Vec<u8>>,
        hidden: &mut Vec<Vec<u8>>,
    ) -> Result<Vec<Vec<u8>>> {
        let host = scene.host;
        let (mut all, mut open) = (Vec::new(), vec![path]);
        while let Some(path) = open.pop() {
            if !seen.insert(path.clone()) {
                continue;
            }
            if seen.len() > MOST_DEVICES {
                let path = format!("/{CLASS_BLOCK}");
                return Err(OpsError::Malformed {
                    path,
                    problem: "more devices are built upon each other than there can be",
                });
            }
            let slaves = join(&path, b"slaves");
            for link in host.link_targets(&slaves)?.unwrap_or_default() {
                open.push(follow(&slaves, &link));
            }
            // A partition is on its disk, and that may be built upon others; so is one of RAID.
            if self.is_partition(&path) {
                open.push(parent(&path).to_vec());
            }
            open.extend(controllers(host, &path)?);
            if let Some(file) = host.read(&join(&path, b"loop/backing_file"), PATH_LIMIT)? {
                let file = attribute_value(&file);
                let file = file.strip_suffix(b" (deleted)").unwrap_or(file);
                match storage::place_of(scene, file)? {
                    // On itself: what it is really on is hidden below it.
                    Place::Disks(disks) if disks.contains(&path) => hidden.push(file.to_vec()),
                    Place::Disks(disks) => open.extend(disks),
                    Place::NoDisk => {}
                    Place::Hidden => hidden.push(file.to_vec()),
                }
            }
            all.push(path);
        }
        Ok(all)
    }
}

/// The block device of numbers such as `8:1`. `None` if there is none.
pub(super) fn numbered(host: &dyn HostAccess, number: &[u8]) -> Result<Option<Vec<u8>>> {
    let link = host.read_link(&join(DEV_BLOCK.as_bytes(), number))?;
    Ok(link.map(|link| follow(DEV_BLOCK.as_bytes(), &link)))
}

/// The node of a block device, relative to the root, and its numbers, as its `uevent` has them, or `dev`. `None` if it has none: it is
/// gone, or hidden, as one of several paths to a disk is.
///
/// # Errors
/// Those of looking; [`OpsError::Malformed`] for a device that is there and that nothing says the numbers of.
pub(super) fn node_of(host: &dyn HostAccess, path: &[u8]) -> Result<Option<(Vec<u8>, DeviceNode)>> {
    let Some(content) = host.read(&join(path, b"uevent"), UEVENT_LIMIT)? else { return Ok(None) };
    let uevent = Uevent::new(&content);
    let Some(node) = numbers(uevent, NodeKind::Block).or_else(|| number(host, path, NodeKind::Block)) else {
        let hidden = host.read(&join(path, b"hidden"), SMALL)?.unwrap_or_default();
        if attribute_value(&hidden) == b"1" {
            return Ok(None);
        }
        let path = format!("/{}", String::from_utf8_lossy(path));
        return Err(OpsError::Malformed { path, problem: "it does not say what numbers its node has" });
    };
    let name = node_name(uevent.get(b"DEVNAME").unwrap_or_else(|| basename(path)));
    Ok(Some((join(DEV.as_bytes(), &name), node)))
}

/// The name of a node: where the kernel's name has a `!`, it has a `/`.
pub(super) fn node_name(name: &[u8]) -> Vec<u8> {
    name.iter().map(|&b| if b == b'!' { b'/' } else { b }).collect()
}

/// The numbers of a device's node, as its `uevent` has them.
pub(super) fn numbers(uevent: Uevent<'_>, kind: NodeKind) -> Option<DeviceNode> {
    let number = |key: &[u8]| std::str::from_utf8(uevent.get(key)?).ok()?.parse().ok();
    Some(DeviceNode { kind, major: number(b"MAJOR")?, minor: number(b"MINOR")? })
}

/// A property of a block device in udev's database, such as `ID_FS_TYPE`. `None` if it is not told.
pub(super) fn udev_property(host: &dyn HostAccess, path: &[u8], key: &str) -> Result<Option<String>> {
    let Some((_, number)) = node_of(host, path)? else { return Ok(None) };
    let record = host.read(format!("{UDEV_DATA}/b{number}").as_bytes(), RECORD_LIMIT)?.unwrap_or_default();
    let value = Record::new(&record).get(key.as_bytes());
    Ok(value.map(|value| String::from_utf8_lossy(value).into_owned()))
}

/// What a disk with several paths hangs on: it is below its subsystem, and that has links to its controllers.
fn controllers(host: &dyn HostAccess, path: &[u8]) -> Result<Vec<Vec<u8>>> {
    let parts: Vec<&[u8]> = path.split(|&b| b == b'/').collect();
    let at = parts.iter().position(|part| *part == NVME_SUBSYSTEM);
    let Some(subsystem) = at.and_then(|at| parts.get(..at + 2)) else { return Ok(Vec::new()) };
    let subsystem = subsystem.join(&b'/');
    let links = host.link_targets(&subsystem)?.unwrap_or_default();
    let targets = links.iter().map(|link| follow(&subsystem, link));
    Ok(targets.filter(|target| basename(target).starts_with(b"nvme")).collect())
}
