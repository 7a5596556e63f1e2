//! Virtual Fibre Channel ports (NPIV). The kernel makes and removes them when two World Wide Names are written to an attribute
//! of the port below them. Source: kernel, `Documentation/scsi/scsi_fc_transport.rst`, section *NPIV*.

use nodedev_driver::{Devices as _, Error, ErrorCode, ErrorDomain, LibvirtCalls as _, ListFlags, Result};
use nodedev_model::{Capability, DeviceName, NodeDevice, ScsiHostCapability, Text};
use nodedev_sys::paths::{CLASSES_OF_PORTS, join};
use nodedev_sys::{HostAccess as _, SysError};

use super::{APPEARANCE, Waiter};
use crate::HostDriver;

/// What is done with a virtual port.
#[derive(Debug, Clone, Copy)]
enum Change {
    Create,
    Delete,
}

impl Change {
    /// Name of the attribute.
    fn attribute(self) -> &'static str {
        match self {
            Self::Create => "vport_create",
            Self::Delete => "vport_delete",
        }
    }
}

/// A pair of World Wide Names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Names {
    node: String,
    port: String,
}

fn internal(detail: impl Into<String>) -> Error {
    Error::internal(ErrorDomain::NODEDEV, detail)
}

fn scsi_host(device: &NodeDevice) -> Option<&ScsiHostCapability> {
    device.capabilities.iter().find_map(|capability| match capability {
        Capability::ScsiHost(host) => Some(&**host),
        _ => None,
    })
}

pub(crate) fn create(driver: &HostDriver, device: &NodeDevice) -> Result<DeviceName> {
    let asked = scsi_host(device).and_then(|host| host.fc_host.as_ref());
    let asked = asked.ok_or_else(|| internal("Device is not a fibre channel HBA"))?;
    let parent = parent(driver, device)?;
    let given = |name: &Option<Text>| name.as_ref().map(ToString::to_string).unwrap_or_default();
    let names = Names { node: given(&asked.wwnn), port: given(&asked.wwpn) };
    let waiter = Waiter::new(driver)?;
    let kernels = write(driver, parent.host, Change::Create, &names)?;
    let found = |driver: &HostDriver| driver.lookup_scsi_host_by_wwn(&kernels.node, &kernels.port, 0).ok();
    waiter.wait(APPEARANCE, found).ok_or_else(|| {
        let Names { node, port } = &names;
        let detail =
            format!("no node device for '{}' with matching wwnn '{node}' and wwpn '{port}'", device.name);
        let error = Error::new(ErrorDomain::NODEDEV, ErrorCode::NO_NODE_DEVICE, detail);
        match write(driver, parent.host, Change::Delete, &names) {
            Ok(_) => error.with_help("the virtual port did not appear in time, and was deleted again"),
            Err(undo) => error.with_help(format!(
                "the virtual port did not appear in time, and could not be deleted again ({undo}): write \
                 '{port}:{node}' to vport_delete of host{}",
                parent.host
            )),
        }
    })
}

pub(crate) fn delete(driver: &HostDriver, name: &str) -> Result<()> {
    let device = driver.device(name)?;
    let port = scsi_host(&device).and_then(|host| host.fc_host.as_ref());
    let (Some(node), Some(port)) =
        (port.and_then(|port| port.wwnn.as_ref()), port.and_then(|port| port.wwpn.as_ref()))
    else {
        return Err(internal("Device is not a fibre channel HBA"));
    };
    let parent = device.parent.as_ref().map(DeviceName::as_str).unwrap_or_default();
    if driver.lookup(parent).is_err() {
        return Err(internal(format!("cannot find parent '{parent}' definition")));
    }
    let host = host_number(parent)?;
    let names = Names { node: node.to_string(), port: port.to_string() };
    write(driver, host, Change::Delete, &names).map(drop)
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
fn parent(driver: &HostDriver, device: &NodeDevice) -> Result<ScsiHostCapability> {
    let selector = &device.parent_selector;
    let missing = || internal(format!("Could not find parent device for '{}'", device.name));
    let is_same = |name: &Option<Text>, wanted: &Option<Text>| wanted.is_some() && name == wanted;
    if let Some(name) = &device.parent {
        let named = driver.device(name.as_str()).map_err(|_| missing())?;
        return scsi_host(&named)
            .filter(|host| host.vport_ops.is_some())
            .cloned()
            .ok_or_else(|| internal(format!("Parent device {name} is not capable of vport operations")));
    }
    let mut ports = ports(driver)?;
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

fn describe(driver: &HostDriver, name: &DeviceName) -> Option<ScsiHostCapability> {
    scsi_host(&driver.device(name.as_str()).ok()?).cloned()
}

/// The ports that can have virtual ones.
fn ports(driver: &HostDriver) -> Result<impl Iterator<Item = ScsiHostCapability>> {
    let names = driver.list_names(ListFlags::CAP_VPORTS)?;
    Ok(names.into_iter().filter_map(|name| describe(driver, &name)))
}

/// Has the kernel make or delete a virtual port; the names as the kernel has them.
fn write(driver: &HostDriver, host: u32, change: Change, names: &Names) -> Result<Names> {
    let attribute = change.attribute();
    let root = driver.root();
    let host_name = format!("host{host}");
    let path_in = |class: &str| join(&join(class.as_bytes(), host_name.as_bytes()), attribute.as_bytes());
    let Some(path) = CLASSES_OF_PORTS.iter().map(|class| path_in(class)).find(|path| root.exists(path))
    else {
        let detail = format!("vport operation '{attribute}' is not supported for {host_name}");
        return Err(Error::new(ErrorDomain::NODEDEV, ErrorCode::OPERATION_INVALID, detail));
    };
    let value = format!("{}:{}", names.port, names.node);
    let failed = |error: &std::io::Error| {
        let path = String::from_utf8_lossy(&path);
        let what = format!("Write of '{value}' to '/{path}' during vport create/delete failed");
        Error::system(ErrorDomain::NODEDEV, what, error)
    };
    // What the kernel would take for names without being any is refused as the kernel refuses others.
    let (Some(node), Some(port)) = (normalised(&names.node), normalised(&names.port)) else {
        let invalid = std::io::Error::from_raw_os_error(INVALID);
        return Err(failed(&invalid).with_help("a World Wide Name has 16 hexadecimal digits"));
    };
    let names = Names { node, port };
    let value = format!("{}:{}", names.port, names.node);
    match root.write(&path, value.as_bytes()) {
        Ok(()) => Ok(names),
        Err(SysError::Io { source, .. }) => Err(failed(&source)),
        Err(other) => Err(internal(other.to_string()).with_help("leave out --root to change this machine")),
    }
}

/// `EINVAL`, the same on all of Linux's architectures.
const INVALID: i32 = 22;

/// A World Wide Name as sysfs has it, but for the `0x`: 16 digits in lower case. It may be given with `0x`, and with a colon
/// or a dash between its bytes.
fn normalised(name: &str) -> Option<String> {
    let bare = name.strip_prefix("0x").or_else(|| name.strip_prefix("0X")).unwrap_or(name);
    let digits: String = match bare.len() {
        16 => bare.to_owned(),
        // 8 pairs with 7 separators, all the same.
        23 => {
            let separator = bare.chars().nth(2).filter(|c| [':', '-'].contains(c))?;
            let pairs: Vec<_> = bare.split(separator).collect();
            pairs.iter().all(|pair| pair.len() == 2).then(|| pairs.concat())?
        }
        _ => return None,
    };
    (digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .then(|| digits.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::{host_number, normalised};

    #[test]
    fn names_are_taken_in_every_usual_way_of_writing() {
        for (given, want) in [
            ("2001001b32a9da5e", Some("2001001b32a9da5e")),
            ("0x2001001B32A9DA5E", Some("2001001b32a9da5e")),
            ("20:01:00:1b:32:a9:da:5e", Some("2001001b32a9da5e")),
            ("20-01-00-1b-32-a9-da-5e", Some("2001001b32a9da5e")),
            ("20:01-00:1b:32:a9:da:5e", None),
            ("2001001b32a9da5", None),
            ("2001001b32a9da5g", None),
            ("2001001b32a9da5e0", None),
            ("éééééééé", None),
            ("20:01:00:1b:32:a9:da:5é", None),
            ("", None),
        ] {
            assert_eq!(normalised(given).as_deref(), want, "{given}");
        }
    }

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
