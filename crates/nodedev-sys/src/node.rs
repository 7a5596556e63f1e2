//! Device nodes: what programs open to use a device.

use std::fmt;

/// Whether a node is of a block or a character device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// A block device, such as `/dev/sda`.
    Block,
    /// A character device, such as `/dev/dri/card0`.
    Char,
}

/// What tells a device node from all others, whatever its name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceNode {
    /// Block or character device: both have numbers of their own.
    pub kind: NodeKind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl DeviceNode {
    /// Reads `8:1`, as sysfs writes it in `dev`. `None` if it is something else.
    pub fn parse(kind: NodeKind, text: &[u8]) -> Option<Self> {
        let (major, minor) = std::str::from_utf8(text.trim_ascii_end()).ok()?.split_once(':')?;
        Some(Self { kind, major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

/// The numbers alone, as sysfs writes them.
impl fmt::Display for DeviceNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}
