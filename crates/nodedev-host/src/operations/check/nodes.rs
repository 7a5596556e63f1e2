//! Which device a node that a process has open is of.

use std::collections::HashMap;

use nodedev_sys::open_files::OpenFile;
use nodedev_sys::paths::{BUS, CLASS, DEV_BLOCK, DEV_CHAR, follow, join};
use nodedev_sys::udev::Uevent;
use nodedev_sys::{DeviceNode, HostAccess, NodeKind};

use super::blocks::{node_name, numbers};
use super::lookup::devices_in;
use crate::operations::Result;

const UEVENT_LIMIT: usize = 64 << 10;

/// Devices by their nodes, of those that the kernel lists nowhere by numbers.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    by_number: HashMap<DeviceNode, Vec<u8>>,
    by_name: HashMap<Vec<u8>, Vec<u8>>,
}

impl Nodes {
    /// Reads what all devices say of their nodes (`uevent`).
    pub(super) fn of(host: &dyn HostAccess) -> Result<Self> {
        let mut nodes = Self::default();
        let mut folders: Vec<(Vec<u8>, bool)> = Vec::new();
        for class in host.names(CLASS.as_bytes())?.unwrap_or_default() {
            folders.push((join(CLASS.as_bytes(), &class), *class == *b"block"));
        }
        for bus in host.names(BUS.as_bytes())?.unwrap_or_default() {
            folders.push((join(&join(BUS.as_bytes(), &bus), b"devices"), false));
        }
        for (folder, is_block) in folders {
            for path in devices_in(host, &folder)? {
                // One that is gone by now has no node.
                let uevent =
                    host.read(&join(&path, b"uevent"), UEVENT_LIMIT).ok().flatten().unwrap_or_default();
                nodes.add(path, &uevent, if is_block { NodeKind::Block } else { NodeKind::Char });
            }
        }
        Ok(nodes)
    }

    /// The device of a node that is called so below `/dev`.
    pub(super) fn named(&self, name: &[u8]) -> Option<&[u8]> {
        self.by_name.get(name).map(Vec::as_slice)
    }

    fn add(&mut self, path: Vec<u8>, uevent: &[u8], kind: NodeKind) {
        let uevent = Uevent::new(uevent);
        if let Some(node) = numbers(uevent, kind) {
            self.by_number.insert(node, path.clone());
        }
        if let Some(name) = uevent.get(b"DEVNAME") {
            self.by_name.insert(node_name(name), path);
        }
    }
}

/// The device in sysfs whose node a file is, by its numbers; by its name where numbers cannot be had. `None` if no device is
/// known, as of drivers that have nodes of their own. `all` is asked where the kernel's lists say nothing.
pub(super) fn device_of<'n>(
    host: &dyn HostAccess,
    file: &OpenFile,
    all: impl FnOnce() -> Result<&'n Nodes>,
) -> Result<Option<Vec<u8>>> {
    let Some(node) = file.node else {
        let Some(name) = file.name() else { return Ok(None) };
        return Ok(all()?.by_name.get(name).cloned());
    };
    let folder = match node.kind {
        NodeKind::Block => DEV_BLOCK,
        NodeKind::Char => DEV_CHAR,
    };
    match host.read_link(format!("{folder}/{node}").as_bytes())? {
        Some(link) => Ok(Some(follow(folder.as_bytes(), &link))),
        None => Ok(all()?.by_number.get(&node).cloned()),
    }
}
