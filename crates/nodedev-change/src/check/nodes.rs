//! Which device a node that a process has open is of.

use std::collections::HashMap;

use nodedev_sys::open_files::OpenFile;
use nodedev_sys::paths::{BUS, CLASS, DEV_BLOCK, DEV_CHAR, follow, join};
use nodedev_sys::udev::Uevent;
use nodedev_sys::{DeviceNode, HostAccess, NodeKind};

use super::blocks::{node_name, numbers};
use super::lookup::devices_in;
use crate::Result;

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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nodes_of_disks_are_block_devices_and_all_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let sys = folder.path().join("sys");
        for (place, name, uevent) in [
            ("class/block", "sda", "MAJOR=8\nMINOR=0\nDEVNAME=sda\n"),
            ("class/tty", "ttyS0", "MAJOR=4\nMINOR=64\nDEVNAME=ttyS0\n"),
            ("class/block", "cciss!c0d0", "MAJOR=104\nMINOR=0\nDEVNAME=cciss!c0d0\n"),
            ("bus/usb/devices", "1-1", "MAJOR=189\nMINOR=1\nDEVNAME=bus/usb/001/002\n"),
            ("class/net", "eth0", "INTERFACE=eth0\n"),
        ] {
            let device = sys.join("devices").join(name);
            fs::create_dir_all(&device).unwrap();
            fs::write(device.join("uevent"), uevent).unwrap();
            fs::create_dir_all(sys.join(place)).unwrap();
            let up = "../".repeat(place.split('/').count());
            symlink(format!("{up}devices/{name}"), sys.join(place).join(name)).unwrap();
        }
        let host = nodedev_sys::Root::open(folder.path()).unwrap();
        let nodes = Nodes::of(&host).unwrap();
        let device = |name: &str| Some(format!("sys/devices/{name}").into_bytes());
        for (kind, major, minor, want) in [
            (NodeKind::Block, 8, 0, device("sda")),
            (NodeKind::Char, 8, 0, None),
            (NodeKind::Char, 4, 64, device("ttyS0")),
            (NodeKind::Block, 4, 64, None),
            (NodeKind::Char, 189, 1, device("1-1")),
        ] {
            let file = OpenFile { link: b"/x".to_vec(), node: Some(DeviceNode { kind, major, minor }) };
            assert_eq!(device_of(&host, &file, || Ok(&nodes)).unwrap(), want, "{kind:?} {major}:{minor}");
        }
        for (name, want) in [("cciss/c0d0", device("cciss!c0d0")), ("ttyS0", device("ttyS0")), ("eth0", None)]
        {
            assert_eq!(nodes.named(name.as_bytes()).map(<[u8]>::to_vec), want, "{name}");
        }
    }
}
