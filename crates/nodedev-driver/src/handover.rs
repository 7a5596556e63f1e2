//! How a device is handed over, where more is to be said than its name.

use std::net::IpAddr;

/// Whoever asks for a device ([`Driver::detach_for`](crate::Driver::detach_for)).
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

/// How a device is taken from the host ([`Driver::detach_with`](crate::Driver::detach_with)).
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
    /// Address of the machine that whoever asks is connected to, if that is over a network: a device that the connection
    /// leads through is refused.
    pub connected_at: Option<IpAddr>,
}

/// What is asked of a device ([`Driver::explain`](crate::Driver::explain)).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExplainOptions {
    /// As [`DetachOptions::kernel_driver`].
    pub kernel_driver: Option<String>,
    /// As [`DetachOptions::connected_at`].
    pub connected_at: Option<IpAddr>,
}

/// How a device is given back to the host ([`Driver::reattach_with`](crate::Driver::reattach_with)).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReattachOptions {
    /// Everything in the device's IOMMU group that is detached is given back.
    pub group: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// How a device is reset ([`Driver::reset_with`](crate::Driver::reset_with)).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResetOptions {
    /// Do it also while the host uses the device. What that skips is written to the log (`nodedev::audit`).
    pub force: bool,
    /// Only say what would be done.
    pub dry_run: bool,
}
