//! s390 crypto adapters, their queues, and the matrix.

use nodedev_model::{ApCardCapability, ApMatrixCapability, ApQueueCapability, Capability};

use super::mdev;
use crate::kernel::KernelDevice;
use crate::number;

/// A card is called `card07`, in hexadecimal.
pub(super) fn card(device: &KernelDevice<'_>) -> Capability {
    let adapter = device.sysname().strip_prefix(b"card").and_then(|number| number::u32(number, 16));
    Capability::ApCard(ApCardCapability { adapter: adapter.unwrap_or_else(|| unnamed(device)) })
}

/// A queue is called `07.0038`: adapter and domain in hexadecimal.
pub(super) fn queue(device: &KernelDevice<'_>) -> Capability {
    let mut parts = device.sysname().split(|&b| b == b'.').map(|part| number::u32(part, 16));
    let (adapter, domain) = match (parts.next().flatten(), parts.next().flatten()) {
        (Some(adapter), Some(domain)) => (adapter, domain),
        _ => (unnamed(device), 0),
    };
    Capability::ApQueue(ApQueueCapability { adapter, domain })
}

fn unnamed(device: &KernelDevice<'_>) -> u32 {
    device.issue("", "its name is not that of a crypto adapter");
    0
}

pub(super) fn matrix(device: &KernelDevice<'_>) -> Capability {
    Capability::ApMatrix(ApMatrixCapability { mdev_types: mdev::types(device) })
}
