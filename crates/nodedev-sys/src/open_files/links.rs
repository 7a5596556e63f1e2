//! What files that processes have open are, by the text of their links.

use crate::HostAccess;
use crate::node::{DeviceNode, NodeKind};
use crate::paths::{CLASS_VFIO, CLASS_VFIO_DEV, DEV, DEV_VFIO, DEVICES, join};

const NUMBER_LIMIT: usize = 64;
/// What a process has open that runs a virtual machine (kernel, `virt/kvm/kvm_main.c`).
pub(super) const VIRTUAL_MACHINE: &[u8] = b"anon_inode:kvm-vm";
/// What a process has open that VFIO made of a device (kernel, `drivers/vfio/group.c`).
pub(super) const VFIO_DEVICE: &[u8] = b"anon_inode:[vfio-device]";
/// The node of `/dev/net/tun`, by its numbers and its name.
const TUN: DeviceNode = DeviceNode { kind: NodeKind::Char, major: 10, minor: 200 };
const TUN_NAME: &[u8] = b"net/tun";
/// Folders of `/dev` that every user has files in.
const FILES_OF_USERS: &[&[u8]] = &[b"shm/", b"mqueue/", b"hugepages/"];
/// Files of a PCI function in sysfs through which programs use it themselves.
const RESOURCE: &[u8] = b"resource";

/// A file that a process has open, and that is a device's or can be one's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFile {
    /// What the process opened, as the kernel tells it (`/proc/PID/fd`): a path of the process's own file systems, so that the
    /// text alone proves nothing.
    pub link: Vec<u8>,
    /// The device node behind it; absent if that cannot be told, as in a recording.
    pub node: Option<DeviceNode>,
}

impl OpenFile {
    /// The path of a node that the file can be, by its text: what is before `/dev/` can be the folder that the process has as its
    /// root.
    pub fn path(&self) -> Option<&[u8]> {
        node_path(&self.link)
    }

    /// Name of a node below `/dev`, by the text alone.
    pub fn name(&self) -> Option<&[u8]> {
        node_name(&self.link)
    }

    /// Whether it is `/dev/net/tun`, which makes network interfaces.
    pub(super) fn is_tun(&self) -> bool {
        match self.node {
            Some(node) => node == TUN,
            None => self.name() == Some(TUN_NAME),
        }
    }
}

/// The device that VFIO names, relative to the root. `None` if that is no path of a device.
pub(super) fn device_path(told: Vec<u8>) -> Option<Vec<u8>> {
    let path = told.strip_prefix(b"/")?;
    let is_one =
        path.starts_with(DEVICES.as_bytes()) && !path.split(|&b| b == b'/').any(|part| part == b"..");
    is_one.then(|| path.to_vec())
}

pub(super) fn can_be_a_device(link: &[u8]) -> bool {
    match node_name(link) {
        Some(name) => !FILES_OF_USERS.iter().any(|folder| name.starts_with(folder)),
        None => is_resource(link),
    }
}

/// Whether a link's text tells of devices alone, and names no file of anybody's: a node in `/dev`, what VFIO or KVM made, or a
/// function's registers.
pub fn is_of_device(link: &[u8]) -> bool {
    let is_node = link.starts_with(format!("/{DEV}/").as_bytes()) && can_be_a_device(link);
    is_node || is_resource(link) || link == VIRTUAL_MACHINE || link == VFIO_DEVICE
}

/// Whether a link's text is that of a PCI function's `resource0` … in sysfs.
pub fn is_resource(link: &[u8]) -> bool {
    let name = link.rsplit(|&b| b == b'/').next().unwrap_or_default();
    link.starts_with(b"/sys/devices/") && name.len() > RESOURCE.len() && name.starts_with(RESOURCE)
}

/// The part of a link's text that can be the path of a node: before it can be the folder that a process has as its root, and
/// behind it that the node is removed.
pub(super) fn node_path(link: &[u8]) -> Option<&[u8]> {
    let link = link.strip_suffix(b" (deleted)").unwrap_or(link);
    let folder = format!("/{DEV}/");
    let at = link.windows(folder.len()).rposition(|part| part == folder.as_bytes())?;
    Some(&link[at..])
}

pub(super) fn node_name(link: &[u8]) -> Option<&[u8]> {
    node_path(link)?.strip_prefix(format!("/{DEV}/").as_bytes())
}

/// The path of the node of VFIO that an open file is, a group's or a device's own. `None` if it is none, or one with other numbers
/// than the kernel's.
pub fn vfio_node(host: &dyn HostAccess, file: &OpenFile) -> Option<String> {
    let name = file.path()?.strip_prefix(format!("/{DEV_VFIO}/").as_bytes())?;
    let known = match name.strip_prefix(b"devices/") {
        Some(device) => join(CLASS_VFIO_DEV.as_bytes(), device),
        None => join(CLASS_VFIO.as_bytes(), name),
    };
    if let (Some(is), Some(node)) = (file.node, number(host, &known, NodeKind::Char))
        && is != node
    {
        return None;
    }
    Some(format!("/{DEV_VFIO}/{}", String::from_utf8_lossy(name)))
}

/// The node of a device in sysfs, if it has one.
pub fn number(host: &dyn HostAccess, device: &[u8], kind: NodeKind) -> Option<DeviceNode> {
    DeviceNode::parse(kind, &host.read(&join(device, b"dev"), NUMBER_LIMIT).ok()??)
}
