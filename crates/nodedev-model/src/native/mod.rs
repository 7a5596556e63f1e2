//! Devices that libvirt has no capability for.

mod bus;
pub(crate) mod facts;
mod memory;
mod scsi;
mod storage;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use bus::{
    Framebuffer, InfinibandDevice, PtpClock, Thunderbolt, Tpm, VideoDevice, VirtioDevice, VmbusDevice,
    Watchdog, WirelessPhy,
};
pub use memory::{CxlDevice, DaxDevice, Nvdimm};
pub use scsi::{AtaPort, FcPort, SasEndDevice, SasExpander, ScsiEnclosure, ScsiIdentity, TapeDrive};
pub use storage::{MmcCard, NvmeController, NvmeSubsystem};

use crate::Text;

/// A device that libvirt has no capability for: NVMe controllers, InfiniBand, accelerators, TPMs, tapes …
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NativeCapability {
    /// What it is, as one word (`nvme`, `infiniband`, `accel`, `tpm` …).
    pub class: Text,
    /// What the kernel says of it, under a name of its kind. Absent where it says nothing.
    #[serde(flatten)]
    pub details: Option<NativeDetails>,
}

/// What the kernel says of a device that libvirt has no capability for, by its kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NativeDetails {
    /// A port of an ATA controller.
    AtaPort(AtaPort),
    /// A medium changer.
    Changer(ScsiIdentity),
    /// A device on Compute Express Link.
    Cxl(CxlDevice),
    /// Memory that is used as a device.
    Dax(DaxDevice),
    /// An enclosure of disks.
    Enclosure(ScsiEnclosure),
    /// A Fibre Channel port that is reached over a host's.
    FcRemotePort(FcPort),
    /// A framebuffer.
    Framebuffer(Framebuffer),
    /// An RDMA device: InfiniBand, RoCE or iWARP.
    Infiniband(Box<InfinibandDevice>),
    /// A memory card, or an eMMC.
    Mmc(Box<MmcCard>),
    /// Persistent memory: a module, region or namespace.
    Nvdimm(Nvdimm),
    /// An NVMe controller.
    Nvme(Box<NvmeController>),
    /// An NVMe subsystem.
    NvmeSubsystem(Box<NvmeSubsystem>),
    /// A clock of the Precision Time Protocol.
    Ptp(PtpClock),
    /// A device at the end of a SAS link.
    SasEndDevice(SasEndDevice),
    /// A SAS expander.
    SasExpander(SasExpander),
    /// A tape drive.
    Tape(Box<TapeDrive>),
    /// A Thunderbolt or USB4 device.
    Thunderbolt(Box<Thunderbolt>),
    /// A Trusted Platform Module.
    Tpm(Tpm),
    /// A video device.
    Video(VideoDevice),
    /// A virtio device.
    Virtio(VirtioDevice),
    /// A device of Hyper-V's.
    Vmbus(VmbusDevice),
    /// A watchdog.
    Watchdog(Watchdog),
    /// A wireless radio.
    WirelessPhy(WirelessPhy),
    /// What the kernel says of a device whose kind has no type here.
    Properties(Vec<NativeProperty>),
}

/// Something that the kernel says of a device.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct NativeProperty {
    /// Name, as the kernel's attribute is called.
    pub name: Text,
    /// Value.
    pub value: Text,
}
