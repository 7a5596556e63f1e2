//! Virtual Fibre Channel ports (NPIV): which port one is made on, and which one a device is.

use nodedev_change::{OpsError, Vport, VportAct};
use nodedev_driver::{Error, ErrorCode, ErrorDomain, ListFlags, Result};
use nodedev_model::{Capability, ChangePlan, DeviceName, NodeDevice, ScsiHostCapability, Text};

use super::{APPEARANCE, Devices, Maker, Waiter};
use crate::driver::told;

fn internal(detail: impl Into<String>) -> Error {
    Error::internal(ErrorDomain::NODEDEV, detail)
}

fn scsi_host(device: &NodeDevice) -> Option<&ScsiHostCapability> {
    device.capabilities.iter().find_map(|capability| match capability {
        Capability::ScsiHost(host) => Some(&**host),
        _ => None,
    })
}

/// The port that a document asks for.
struct Wanted {
    vport: Vport,
    /// Its parent's number.
    host: u32,
    /// Its names as the document has them.
    node: String,
    port: String,
}

fn wanted(maker: Maker<'_>, device: &NodeDevice) -> Result<Wanted> {
    let asked = scsi_host(device).and_then(|host| host.fc_host.as_ref());
    let asked = asked.ok_or_else(|| internal("Device is not a fibre channel HBA"))?;
    let parent = parent(maker.devices, device)?;
    let given = |name: &Option<Text>| name.as_ref().map(ToString::to_string).unwrap_or_default();
    let (node, port) = (given(&asked.wwnn), given(&asked.wwpn));
    let vport = maker.engine.vport(parent.host, &node, &port, VportAct::Create).map_err(told)?;
    Ok(Wanted { vport, host: parent.host, node, port })
}

pub(crate) fn plan_new(maker: Maker<'_>, device: &NodeDevice) -> Result<ChangePlan> {
    maker.engine.change_vport(&wanted(maker, device)?.vport, VportAct::Create, true).map_err(told)
}

pub(crate) fn create(maker: Maker<'_>, device: &NodeDevice) -> Result<DeviceName> {
    let Wanted { vport, host, node, port } = wanted(maker, device)?;
    let waiter = Waiter::new(maker.devices)?;
    let appeared = match maker.engine.change_vport(&vport, VportAct::Create, false) {
        Ok(_) => {
            let (node, port) = vport.names();
            let found = |devices: &Devices<'_>| devices.lookup_scsi_host_by_wwn(node, port, 0).ok();
            waiter.wait(APPEARANCE, found)
        }
        Err(OpsError::ChangeNotReached { .. }) => None,
        Err(error) => return Err(told(error)),
    };
    appeared.ok_or_else(|| {
        let detail =
            format!("no node device for '{}' with matching wwnn '{node}' and wwpn '{port}'", device.name);
        let error = Error::new(ErrorDomain::NODEDEV, ErrorCode::NO_NODE_DEVICE, detail);
        match maker.engine.change_vport(&vport, VportAct::Delete, false) {
            Ok(_) => error.with_help("the virtual port did not appear in time, and was deleted again"),
            Err(undo) => error.with_help(format!(
                "the virtual port did not appear in time, and could not be deleted again ({}): write '{port}:{node}' to \
                 vport_delete of host{host}",
                undo.message()
            )),
        }
    })
}

/// The virtual port that a device is.
fn existing(maker: Maker<'_>, name: &str) -> Result<Vport> {
    let device = maker.devices.device(name)?;
    let port = scsi_host(&device).and_then(|host| host.fc_host.as_ref());
    let (Some(node), Some(port)) =
        (port.and_then(|port| port.wwnn.as_ref()), port.and_then(|port| port.wwpn.as_ref()))
    else {
        return Err(internal("Device is not a fibre channel HBA"));
    };
    let parent = device.parent.as_ref().map(DeviceName::as_str).unwrap_or_default();
    if maker.devices.lookup(parent).is_err() {
        return Err(internal(format!("cannot find parent '{parent}' definition")));
    }
    let host = host_number(parent)?;
    maker.engine.vport(host, &node.to_string(), &port.to_string(), VportAct::Delete).map_err(told)
}

pub(crate) fn plan_delete(maker: Maker<'_>, name: &str) -> Result<ChangePlan> {
    maker.engine.change_vport(&existing(maker, name)?, VportAct::Delete, true).map_err(told)
}

pub(crate) fn delete(maker: Maker<'_>, name: &str) -> Result<()> {
    let vport = existing(maker, name)?;
    maker.engine.change_vport(&vport, VportAct::Delete, false).map(drop).map_err(told)
}

/// The kernel's number of a host, from the name of its device.
fn host_number(name: &str) -> Result<u32> {
    let bare = name.strip_prefix("scsi_").or_else(|| name.strip_prefix("fc_")).unwrap_or(name);
    let invalid = |name: &str| internal(format!("Invalid adapter name '{name}' for SCSI pool"));
    match bare.strip_prefix("host") {
        Some(number) => number.parse().map_err(|_| invalid(bare)),
        None => Err(invalid(name)),
    }
}

/// The port that a virtual one is made on: the one that is named, else the first that can have one, by name.
fn parent(devices: &Devices<'_>, device: &NodeDevice) -> Result<ScsiHostCapability> {
    let selector = &device.parent_selector;
    let missing = || internal(format!("Could not find parent device for '{}'", device.name));
    let is_same = |name: &Option<Text>, wanted: &Option<Text>| wanted.is_some() && name == wanted;
    if let Some(name) = &device.parent {
        let named = devices.device(name.as_str()).map_err(|_| missing())?;
        return scsi_host(&named)
            .filter(|host| host.vport_ops.is_some())
            .cloned()
            .ok_or_else(|| internal(format!("Parent device {name} is not capable of vport operations")));
    }
    let mut ports = ports(devices)?;
    let found = if selector.wwnn.is_some() {
        ports.find(|host| {
            host.fc_host.as_ref().is_some_and(|port| {
                is_same(&port.wwnn, &selector.wwnn) && is_same(&port.wwpn, &selector.wwpn)
            })
        })
    } else if selector.fabric_wwn.is_some() {
        ports.find(|host| {
            host.fc_host.as_ref().is_some_and(|port| is_same(&port.fabric_wwn, &selector.fabric_wwn))
        })
    } else {
        return ports.next().ok_or_else(|| internal("Could not find any vport capable device"));
    };
    found.ok_or_else(missing)
}

fn describe(devices: &Devices<'_>, name: &DeviceName) -> Option<ScsiHostCapability> {
    scsi_host(&devices.device(name.as_str()).ok()?).cloned()
}

/// The ports that can have virtual ones.
fn ports(devices: &Devices<'_>) -> Result<impl Iterator<Item = ScsiHostCapability>> {
    let names = devices.list_names(ListFlags::CAP_VPORTS)?;
    Ok(names.into_iter().filter_map(|name| describe(devices, &name)))
}

#[cfg(test)]
mod tests {
    use super::host_number;

    #[test]
    fn only_names_of_hosts_have_a_number() {
        for (name, want) in [
            ("scsi_host5", Ok(5)),
            ("fc_host12", Ok(12)),
            ("host0", Ok(0)),
            (
                "pci_0000_00_02_0",
                Err("internal error: Invalid adapter name 'pci_0000_00_02_0' for SCSI pool"),
            ),
            ("scsi_hostx", Err("internal error: Invalid adapter name 'hostx' for SCSI pool")),
        ] {
            let found = host_number(name);
            assert_eq!(found.as_ref().map_err(|error| error.message()), want.as_ref().map_err(|text| *text));
        }
    }
}
