//! Which features of a network interface are on, asked from the interface itself.

use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use crate::ioctl::{ethtool_active_features, ethtool_value};

/// A feature that libvirt shows and `ethtool` knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Offload {
    Rx,
    Tx,
    Sg,
    Tso,
    Gso,
    Gro,
    Lro,
    RxVlan,
    TxVlan,
    Ntuple,
    RxHash,
    TxUdpTunnel,
}

/// Commands of `include/uapi/linux/ethtool.h` that answer 0 or 1.
const SINGLE: [(u32, Offload); 6] = [
    (0x14, Offload::Rx),  // ETHTOOL_GRXCSUM
    (0x16, Offload::Tx),  // ETHTOOL_GTXCSUM
    (0x18, Offload::Sg),  // ETHTOOL_GSG
    (0x1e, Offload::Tso), // ETHTOOL_GTSO
    (0x23, Offload::Gso), // ETHTOOL_GGSO
    (0x2b, Offload::Gro), // ETHTOOL_GGRO
];

const ETHTOOL_GFLAGS: u32 = 0x25;

/// Bits of the answer to `ETHTOOL_GFLAGS`.
const FLAGS: [(u32, Offload); 5] = [
    (1 << 15, Offload::Lro),
    (1 << 8, Offload::RxVlan),
    (1 << 7, Offload::TxVlan),
    (1 << 27, Offload::Ntuple),
    (1 << 28, Offload::RxHash),
];

/// The bit of the first block of features that libvirt takes for segmentation of UDP tunnels.
const UDP_TUNNEL: u32 = 1 << 25;

/// Asks interfaces of the caller's network namespace for their features.
#[derive(Debug)]
pub struct Ethtool {
    socket: OwnedFd,
}

impl Ethtool {
    /// Opens the socket that is needed to ask. `None` where even that is not allowed.
    pub fn open() -> Option<Self> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).ok()?;
        Some(Self { socket })
    }

    /// Calls `on` with each feature that is on. What an interface or its driver does not know is off.
    pub fn features(&self, interface: &[u8], mut on: impl FnMut(Offload)) {
        for (command, offload) in SINGLE {
            if ethtool_value(&self.socket, interface, command).is_ok_and(|value| value > 0) {
                on(offload);
            }
        }
        let flags = ethtool_value(&self.socket, interface, ETHTOOL_GFLAGS).unwrap_or(0);
        for (bit, offload) in FLAGS {
            if flags & bit != 0 {
                on(offload);
            }
        }
        if ethtool_active_features(&self.socket, interface).is_ok_and(|active| active & UDP_TUNNEL != 0) {
            on(Offload::TxUdpTunnel);
        }
    }
}
