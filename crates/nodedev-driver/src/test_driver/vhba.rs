//! Creating and destroying the one virtual SCSI host that the test driver knows.

use std::collections::BTreeMap;

use nodedev_model::{
    Capability, DeviceName, DeviceState, FcHost, NodeDevice, ParentSelector, ScsiHostCapability,
};
use nodedev_xml::{Mode, WwnGenerator};

use super::{DOMAIN, default_set::host_name};
use crate::{CreateFlags, Error, ErrorDomain, Result, parse_document};

type Devices = BTreeMap<DeviceName, NodeDevice>;

/// The vHBA that every new one is a copy of, and the number of the copy.
const PATTERN: u32 = 11;
const COPY: u32 = 12;

/// Makes `scsi_host12` from `scsi_host11` and the World Wide Names of a document.
pub(super) fn create(devices: &mut Devices, xml: &[u8], flags: CreateFlags) -> Result<DeviceName> {
    let validate = flags.contains(CreateFlags::VALIDATE);
    let wanted = parse_document(xml, Mode::Create, validate, WwnGenerator::OUI_TEST)?;
    let Some(fc_host) = fc_host(&wanted).cloned() else {
        return Err(Error::internal(ErrorDomain::NODEDEV, "Device is not a fibre channel HBA"));
    };
    choose_parent(devices, &wanted)?;
    let pattern = host_name(PATTERN);
    let Some(mut device) = devices.get(&pattern).cloned() else {
        return Err(Error::no_device(DOMAIN, pattern.as_str()));
    };
    device.name = host_name(COPY);
    device.state = DeviceState { active: false, persistent: false, autostart: false };
    for capability in &mut device.capabilities {
        if let Capability::ScsiHost(host) = capability
            && let Some(own) = &mut host.fc_host
        {
            own.wwnn.clone_from(&fc_host.wwnn);
            own.wwpn.clone_from(&fc_host.wwpn);
        }
    }
    let created = device.name.clone();
    devices.insert(created.clone(), device);
    Ok(created)
}

/// Removes a Fibre Channel host whose parent exists. Anything else that exists is left as it is, and that succeeds:
/// libvirt's test driver forgets to report such a failure, and clients see success. Returns what was removed.
pub(super) fn destroy(devices: &mut Devices, name: &str) -> Result<Option<DeviceName>> {
    let device = devices.get(name).ok_or_else(|| Error::no_device(DOMAIN, name))?;
    let has_parent = device.parent.as_ref().is_some_and(|parent| devices.contains_key(parent));
    let is_removed = fc_host(device).is_some() && has_parent;
    Ok(if is_removed { devices.remove(name).map(|device| device.name) } else { None })
}

/// The parent that a document asks for: by name, by World Wide Names, by fabric, or any.
fn choose_parent(devices: &Devices, wanted: &NodeDevice) -> Result<DeviceName> {
    let ParentSelector { wwnn, wwpn, fabric_wwn } = &wanted.parent_selector;
    let any = wanted.parent.is_none() && wwnn.is_none() && fabric_wwn.is_none();
    let found = if let Some(name) = &wanted.parent {
        devices.get(name)
    } else {
        devices.values().find(|device| {
            let Some(fc_host) = fc_host(device).filter(|_| has_vports(device)) else { return false };
            match (wwnn, fabric_wwn) {
                (Some(_), _) => fc_host.wwnn == *wwnn && fc_host.wwpn == *wwpn,
                (None, Some(_)) => fc_host.fabric_wwn == *fabric_wwn,
                (None, None) => true,
            }
        })
    };
    let refused = |detail: String| Error::internal(ErrorDomain::NODEDEV, detail);
    match found {
        Some(parent) if has_vports(parent) => Ok(parent.name.clone()),
        Some(parent) => {
            Err(refused(format!("Parent device {} is not capable of vport operations", parent.name)))
        }
        None if any => Err(refused("Could not find any vport capable device".to_owned())),
        None => Err(refused(format!("Could not find parent device for '{}'", wanted.name))),
    }
}

fn scsi_host(device: &NodeDevice) -> Option<&ScsiHostCapability> {
    device.capabilities.iter().find_map(|capability| match capability {
        Capability::ScsiHost(host) => Some(&**host),
        _ => None,
    })
}

fn fc_host(device: &NodeDevice) -> Option<&FcHost> {
    scsi_host(device)?.fc_host.as_ref()
}

fn has_vports(device: &NodeDevice) -> bool {
    scsi_host(device).is_some_and(|host| host.vport_ops.is_some())
}
