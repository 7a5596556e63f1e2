//! What calls that would change the host refuse before they would do anything, in libvirt's order and words.
//!
//! Each check says that the call may go on, and with what; carrying it out is another matter.

use nodedev_driver::{CreateFlags, Error, ErrorCode, ErrorDomain, Result, UpdateFlags, parse_document};
use nodedev_model::{Capability, CapabilityType, DeviceName, NodeDevice};
use nodedev_xml::{Mode, WwnGenerator};

use crate::making::Devices;

/// What a device that can be made or destroyed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Makeable {
    /// A mediated device.
    Mdev,
    /// A virtual SCSI host.
    Vhba,
}

fn makeable(capabilities: impl IntoIterator<Item = CapabilityType>) -> Option<Makeable> {
    capabilities.into_iter().find_map(|kind| match kind {
        CapabilityType::ScsiHost => Some(Makeable::Vhba),
        CapabilityType::Mdev => Some(Makeable::Mdev),
        _ => None,
    })
}

fn kinds(device: &NodeDevice) -> impl Iterator<Item = CapabilityType> {
    device.capabilities.iter().filter_map(Capability::kind)
}

fn unsupported() -> Error {
    Error::unsupported_device_type(ErrorDomain::NODEDEV)
}

fn invalid(detail: impl Into<String>) -> Error {
    Error::new(ErrorDomain::NODEDEV, ErrorCode::OPERATION_INVALID, detail)
}

/// Reads the document of a device to be made. A mediated device must name a parent that mdevctl can be told of.
fn read(devices: &Devices<'_>, xml: &[u8], mode: Mode, validate: bool) -> Result<NodeDevice> {
    let device = parse_document(xml, mode, validate, WwnGenerator::OUI_QEMU)?;
    if kinds(&device).any(|kind| kind == CapabilityType::Mdev) {
        check_parent(devices, device.parent.as_ref())?;
    }
    Ok(device)
}

fn check_parent(devices: &Devices<'_>, parent: Option<&DeviceName>) -> Result<()> {
    use CapabilityType as T;
    let refused = |detail: String| Error::new(ErrorDomain::NODEDEV, ErrorCode::CONFIG_UNSUPPORTED, detail);
    let Some(parent) = parent else { return Err(refused("missing parent device".into())) };
    let Ok(capabilities) = devices.kinds(parent.as_str()) else {
        return Err(refused(format!("invalid parent device '{parent}'")));
    };
    let has_address = |kind: &T| matches!(kind, T::Pci | T::Css | T::ApMatrix | T::MdevTypes | T::Ccwgroup);
    if capabilities.iter().any(has_address) {
        return Ok(());
    }
    let detail = format!("Unable to find address for parent device '{parent}'");
    Err(Error::new(ErrorDomain::NODEDEV, ErrorCode::PARSE_FAILED, detail))
}

pub(crate) fn create_xml(
    devices: &Devices<'_>,
    xml: &[u8],
    flags: CreateFlags,
) -> Result<(Makeable, NodeDevice)> {
    flags.check(ErrorDomain::NODEDEV, "nodeDeviceCreateXML")?;
    let device = read(devices, xml, Mode::Create, flags.contains(CreateFlags::VALIDATE))?;
    let is_fc_host = device.capability_types().any(|kind| kind == CapabilityType::FcHost);
    match makeable(kinds(&device)) {
        Some(Makeable::Vhba) if !is_fc_host => {
            Err(Error::internal(ErrorDomain::NODEDEV, "Device is not a fibre channel HBA"))
        }
        Some(kind) => Ok((kind, device)),
        None => Err(unsupported()),
    }
}

pub(crate) fn define_xml(devices: &Devices<'_>, xml: &[u8], flags: CreateFlags) -> Result<NodeDevice> {
    flags.check(ErrorDomain::NODEDEV, "nodeDeviceDefineXML")?;
    let device = read(devices, xml, Mode::Create, flags.contains(CreateFlags::VALIDATE))?;
    if kinds(&device).any(|kind| kind == CapabilityType::Mdev) { Ok(device) } else { Err(unsupported()) }
}

pub(crate) fn destroy(devices: &Devices<'_>, name: &str) -> Result<Makeable> {
    match makeable(devices.kinds(name)?) {
        Some(Makeable::Mdev) if !devices.is_active(name)? => {
            Err(invalid(format!("Device '{name}' is not active")))
        }
        Some(kind) => Ok(kind),
        None => Err(unsupported()),
    }
}

pub(crate) fn undefine(devices: &Devices<'_>, name: &str) -> Result<()> {
    if !devices.is_persistent(name)? {
        return Err(invalid(format!("Node device '{name}' is not defined")));
    }
    match makeable(devices.kinds(name)?) {
        Some(Makeable::Mdev) => Ok(()),
        _ => Err(unsupported()),
    }
}

pub(crate) fn create(devices: &Devices<'_>, name: &str) -> Result<()> {
    if devices.is_active(name)? {
        return Err(invalid("Device is already active"));
    }
    match makeable(devices.kinds(name)?) {
        Some(Makeable::Mdev) => Ok(()),
        _ => Err(unsupported()),
    }
}

/// Whether anything is to be changed at all.
pub(crate) fn set_autostart(devices: &Devices<'_>, name: &str, autostart: bool) -> Result<bool> {
    if makeable(devices.kinds(name)?) != Some(Makeable::Mdev) {
        let detail = "Unsupported device type";
        return Err(Error::new(ErrorDomain::NODEDEV, ErrorCode::OPERATION_UNSUPPORTED, detail));
    }
    if !devices.is_persistent(name)? {
        return Err(invalid("cannot set autostart for transient device"));
    }
    Ok(devices.autostart(name)? != autostart)
}

pub(crate) fn update(
    devices: &Devices<'_>,
    name: &str,
    xml: &[u8],
    flags: UpdateFlags,
) -> Result<NodeDevice> {
    flags.check(ErrorDomain::NODEDEV, "nodeDeviceUpdate")?;
    let is_mdev = makeable(devices.kinds(name)?) == Some(Makeable::Mdev);
    let device = read(devices, xml, Mode::Existing, true)?;
    if is_mdev && kinds(&device).any(|kind| kind == CapabilityType::Mdev) {
        Ok(device)
    } else {
        Err(unsupported())
    }
}
