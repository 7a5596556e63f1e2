//! Requests: what is to be done to a device, for whom, and by whose rules.

use std::net::IpAddr;

/// By whose rules a device is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rules {
    /// Ours: a device is refused, too, whose IOMMU group the host still uses, so that no guest could have it; a reset that does nothing
    /// is an error; the kernel is waited for as long as it takes.
    #[default]
    Strict,
    /// Ours, on behalf of a client of this program: nobody waits longer than 30 seconds for the kernel.
    Served,
    /// libvirt's, for its clients: the rest of the group is theirs to see to; a name that libvirt gives and that is no driver's
    /// (`vfio`) is the driver for VFIO; nobody waits longer than 30 seconds for the kernel.
    Libvirt,
}

/// Whoever asks for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Caller {
    /// Nothing is known.
    #[default]
    Unknown,
    /// Who is connected to this address of the machine.
    ConnectedAt(IpAddr),
    /// A process of the machine, by its number, which may be one that somebody started over SSH.
    Process(u32),
}

/// How a device is taken from the host ([`Operations::detach_with`](crate::Operations::detach_with)).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DetachOptions {
    /// Name of the kernel driver that is to serve it, or of its module. Without one: the driver for VFIO that fits the device
    /// best, as `modules.alias` has it, else `vfio-pci`.
    pub kernel_driver: Option<String>,
    /// Everything in the device's IOMMU group that can be detached is, or nothing.
    pub group: bool,
    /// Do it also where the host would lose something. What that skips is written to the log (`nodedev::audit`).
    pub force: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Who asks, who may have come over a network: a device that their connection leads through is refused.
    pub caller: Caller,
    /// By whose rules.
    pub rules: Rules,
}

/// What is asked of a device ([`Operations::explain`](crate::Operations::explain)).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExplainOptions {
    /// As [`DetachOptions::kernel_driver`].
    pub kernel_driver: Option<String>,
    /// As [`DetachOptions::caller`].
    pub caller: Caller,
}

/// How a device is given back to the host ([`Operations::reattach_with`](crate::Operations::reattach_with)).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReattachOptions {
    /// Everything in the device's IOMMU group that is detached is given back.
    pub group: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// By whose rules.
    pub rules: Rules,
}

/// How a device is reset ([`Operations::reset_with`](crate::Operations::reset_with)).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResetOptions {
    /// Do it also while the host uses the device. What that skips is written to the log (`nodedev::audit`).
    pub force: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// By whose rules.
    pub rules: Rules,
}
