//! Node devices, their capabilities, names and addresses as plain values.
//!
//! A [`NodeDevice`] is one device of a host: what it is called, where it hangs in the device tree, and its
//! [`Capability`]. The same value is written as libvirt's XML (`nodedev-xml`) and as the JSON of the native view
//! (`serde`), so the two can never drift apart.
//!
//! This crate knows no XML and needs no operating system. [`document`] reads and writes the JSON.
//!
//! Fields keep what a document or the kernel said, also where libvirt shows it in an odd way; where the odd value
//! and the correct one differ, the field's comment says so and a method gives the correct one (for instance
//! [`StorageCapability::size_bytes`] and [`NetLink::speed_mbits`]). The JSON has the correct ones.

mod ap;
mod capability;
mod ccw;
mod change_plan;
mod device;
pub mod document;
mod drm;
mod error_numbers;
mod handover;
mod issue;
mod lenient;
mod mdev;
mod name;
mod native;
mod net;
mod number;
mod pci;
mod printable;
pub mod request;
mod scsi;
mod storage;
mod system;
mod text;
mod usb;
mod vdpa;
mod vpd;

pub use ap::{ApCardCapability, ApMatrixCapability, ApQueueCapability};
pub use capability::{Capability, CapabilityType, OtherCapability, UnknownCapability};
pub use ccw::{
    CcwAddress, CcwCapability, CcwGroupCapability, CcwGroupMember, CcwState, CssCapability, QethKind,
};
pub use change_plan::{ChangeOperation, ChangePlan, ChangedDevice, ResourceKind};
pub use device::{DeviceState, NodeDevice, ParentSelector, Visibility};
pub use document::Inventory;
pub use drm::{DrmCapability, DrmKind};
pub use error_numbers::{ErrorCode, ErrorDomain};
pub use handover::{
    DriverBinding, Effect, Explanation, Finding, FindingKind, Handover, HandoverOperation, HandoverPlan,
    HandoverState, Handovers, Outcome, PlanStep, PlannedDevice, StepAction, Verdict,
};
pub use issue::Issue;
pub use mdev::{MdevAttribute, MdevCapability, MdevConfig, MdevType, MdevTypesCapability};
pub use name::{DeviceName, InvalidDeviceName};
pub use native::{
    AtaPort, CxlDevice, DaxDevice, FcPort, Framebuffer, InfinibandDevice, MmcCard, NativeCapability,
    NativeDetails, NativeProperty, Nvdimm, NvmeController, NvmeSubsystem, PtpClock, SasEndDevice,
    SasExpander, ScsiEnclosure, ScsiIdentity, TapeDrive, Thunderbolt, Tpm, VideoDevice, VirtioDevice,
    VmbusDevice, Watchdog, WirelessPhy,
};
pub use net::{
    Bond, Bridge, NetCapability, NetFeature, NetFeatures, NetKind, NetLink, NetLinkState, NetSoftware, Vlan,
};
pub use number::CNumber;
pub use pci::{
    IdName, InvalidPciAddress, IommuGroup, PciAddress, PciCapability, PciExpress, PciHeader, PciLink,
    PciPower, PciRegion, PciSubsystem, PcieSpeed, VirtualFunctions,
};
pub use printable::{is_obeyed, printable};
pub use scsi::{
    FcHost, FcRemotePort, IscsiSession, ScsiCapability, ScsiGenericCapability, ScsiHostCapability,
    ScsiTargetCapability, VportOps,
};
pub use storage::{
    LoopDevice, MappedDevice, RaidArray, RemovableMedia, StorageCapability, StorageMedia, StorageSoftware,
};
pub use system::{Firmware, Hardware, InvalidUuid, Machine, SystemCapability, Uuid};
pub use text::Text;
pub use usb::{UsbDeviceCapability, UsbInterfaceCapability};
pub use vdpa::VdpaCapability;
pub use vpd::{VpdCapability, VpdField, VpdReadOnly, VpdReadWrite};
