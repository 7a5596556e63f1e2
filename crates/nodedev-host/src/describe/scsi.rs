//! SCSI hosts, targets and logical units, with what Fibre Channel adds.

use nodedev_model::{
    Capability, FcHost, FcRemotePort, IscsiSession, SasEndDevice, ScsiCapability, ScsiGenericCapability,
    ScsiHostCapability, ScsiTargetCapability, Text, VportOps,
};
use nodedev_sys::Root;
use nodedev_sys::paths::{self, basename, join};

use super::Describer;
use super::facts::{Facts, known};
use crate::kernel::{Issues, KernelDevice, attribute_value, first_line};
use crate::number;

pub(super) fn host(device: &KernelDevice<'_>) -> Capability {
    let name = device.sysname();
    let host = name.strip_prefix(b"host").and_then(|number| number::u32(number, 0)).unwrap_or(0);
    let unique_id = class_file(device.root, b"scsi_host", name, b"unique_id", device.issues)
        .and_then(|value| number::i32(&value, 10))
        .and_then(|id| u32::try_from(id).ok());
    let (fc_host, vport_ops) = fibre_channel(device.root, name, device.issues);
    Capability::ScsiHost(Box::new(ScsiHostCapability { host, unique_id, fc_host, vport_ops }))
}

/// The Fibre Channel part of a SCSI host. As in libvirt a port without its two names, or whose numbers of virtual
/// ports are missing though it can make them, has none. Negative numbers, which no kernel states, cost the numbers alone.
pub(crate) fn fibre_channel(root: &Root, host: &[u8], issues: &Issues) -> (Option<FcHost>, Option<VportOps>) {
    let class = [paths::CLASS.as_bytes(), b"/fc_host/", host].concat();
    let folder = match root.folder(&class) {
        Ok(Some(folder)) => folder,
        Ok(None) => return (None, None),
        Err(error) => {
            issues.error(&error);
            return (None, None);
        }
    };
    let mut buffer = Vec::new();
    let mut read = |name: &str| match folder.read(name.as_bytes(), &mut buffer) {
        Ok(content) => content.map(wwn),
        Err(error) => {
            issues.error(&error);
            None
        }
    };
    let fc_host =
        FcHost { wwpn: read("port_name"), wwnn: read("node_name"), fabric_wwn: read("fabric_name") };
    let number = |value: Option<Text>| number::i32(&value?, 10);
    let malformed =
        |problem: &str| issues.push(format!("/{}", Text::from(class.as_slice())), problem.to_owned());
    let vport_ops = if folder.exists(b"vport_create")
        || root.exists(&[paths::CLASS.as_bytes(), b"/scsi_host/", host, b"/vport_create"].concat())
    {
        match (number(read("max_npiv_vports")), number(read("npiv_vports_inuse"))) {
            (Some(max_vports), Some(vports)) => {
                let numbers = u32::try_from(max_vports).ok().zip(u32::try_from(vports).ok());
                if numbers.is_none() {
                    malformed("the port can make virtual ports, and their number is negative");
                }
                numbers.map(|(max_vports, vports)| VportOps { max_vports, vports })
            }
            _ => {
                malformed("the port can make virtual ports, but how many is missing");
                return (None, None);
            }
        }
    } else {
        None
    };
    if fc_host.wwpn.is_none() || fc_host.wwnn.is_none() {
        malformed("the port's World Wide Names are missing");
        return (None, None);
    }
    (Some(fc_host), vport_ops)
}

/// A value as libvirt takes it: the first line, from behind the first `0x` if there is one.
fn wwn(content: &[u8]) -> Text {
    let line = first_line(content);
    let start = line.windows(2).position(|window| window == b"0x").map_or(0, |at| at + 2);
    line[start..].into()
}

/// The first line of a file of a class.
fn class_file(root: &Root, class: &[u8], device: &[u8], name: &[u8], issues: &Issues) -> Option<Vec<u8>> {
    let path = [paths::CLASS.as_bytes(), b"/", class, b"/", device, b"/", name].concat();
    let mut buffer = Vec::new();
    match root.read(&path, &mut buffer, 64 << 10) {
        Ok(content) => content.map(|content| first_line(content).to_vec()),
        Err(error) => {
            issues.error(&error);
            None
        }
    }
}

pub(super) fn target(context: &Describer<'_>, device: &KernelDevice<'_>) -> Capability {
    let above = basename(paths::parent(device.path));
    let fc_remote_port = class_file(device.root, b"fc_remote_ports", above, b"port_name", device.issues)
        .map(|wwpn| FcRemotePort { rport: above.into(), wwpn: wwpn.into() });
    let is = |stem: &[u8]| context.is_native && above.starts_with(stem);
    Capability::ScsiTarget(Box::new(ScsiTargetCapability {
        target: device.sysname().into(),
        fc_remote_port,
        sas: is(b"end_device-").then(|| known(end_device(device.root, above, device.issues))).flatten(),
        iscsi: is(b"session").then(|| session(device.root, above, device.issues)),
    }))
}

/// What a class says of a device, trimmed; what it refuses to say is absent.
fn class_text(root: &Root, class: &str, device: &[u8], name: &str, issues: &Issues) -> Option<Text> {
    let path =
        [paths::CLASS.as_bytes(), b"/", class.as_bytes(), b"/", device, b"/", name.as_bytes()].concat();
    let mut buffer = Vec::new();
    let content = root.read(&path, &mut buffer, 64 << 10).unwrap_or_else(|error| {
        issues.only_exhausted(&error);
        None
    });
    let value = attribute_value(content?).trim_ascii();
    (!value.is_empty()).then(|| value.into())
}

/// The end of a SAS link. Its address is unset (zero) where the driver does not say it.
pub(super) fn end_device(root: &Root, name: &[u8], issues: &Issues) -> SasEndDevice {
    let read = |file: &str| class_text(root, "sas_device", name, file, issues);
    SasEndDevice {
        sas_address: sas_address(root, name, issues),
        enclosure: read("enclosure_identifier").filter(is_set),
        bay: read("bay_identifier").and_then(|bay| number::u32(&bay, 10)),
    }
}

pub(super) fn sas_address(root: &Root, name: &[u8], issues: &Issues) -> Option<Text> {
    class_text(root, "sas_device", name, "sas_address", issues).filter(is_set)
}

fn is_set(address: &Text) -> bool {
    address.strip_prefix(b"0x").unwrap_or(address).iter().any(|&digit| digit != b'0')
}

/// An iSCSI session; open-iscsi makes one connection in each.
fn session(root: &Root, name: &[u8], issues: &Issues) -> IscsiSession {
    let read = |file: &str| class_text(root, "iscsi_session", name, file, issues);
    let connection = [b"connection", name.strip_prefix(b"session").unwrap_or(name), b":0"].concat();
    let connected = |name: &str| class_text(root, "iscsi_connection", &connection, name, issues);
    IscsiSession {
        session: Some(name.into()),
        target: read("targetname"),
        initiator: read("initiatorname"),
        portal_group: read("tpgt").and_then(|group| number::u32(&group, 10)),
        state: read("state"),
        address: connected("persistent_address"),
        port: connected("persistent_port").and_then(|port| number::u32(&port, 10)),
    }
}

/// Words for the peripheral types that libvirt knows (SCSI Primary Commands, peripheral device type).
const TYPES: [(u32, &str); 10] = [
    (0, "disk"),
    (1, "tape"),
    (3, "processor"),
    (4, "worm"),
    (5, "cdrom"),
    (6, "scanner"),
    (7, "mod"),
    (8, "changer"),
    (12, "raid"),
    (13, "enclosure"),
];

pub(super) fn unit(context: &Describer<'_>, device: &KernelDevice<'_>) -> Capability {
    let (host, bus, target, lun) = unit_address(device.sysname()).unwrap_or_else(|| {
        device.issue("", "its name is not the address of a SCSI unit");
        (0, 0, 0, 0)
    });
    let kind = device
        .u32("type", 0)
        .and_then(|kind| TYPES.iter().find(|(number, _)| *number == kind))
        .map(|(_, word)| Text::from(*word));
    let read = |name: &str| context.is_native.then(|| Facts(device).text(name)).flatten();
    Capability::Scsi(Box::new(ScsiCapability {
        host,
        bus,
        target,
        lun,
        kind,
        vendor: read("vendor"),
        model: read("model"),
        wwid: read("wwid"),
    }))
}

/// Reads `host:bus:target:lun`, decimal.
fn unit_address(name: &[u8]) -> Option<(u32, u32, u32, u64)> {
    let mut parts = name.split(|&b| b == b':');
    let mut next = || number::u32(parts.next()?, 10);
    let (host, bus, target) = (next()?, next()?, next()?);
    let lun = number::u64(parts.next()?, 10)?;
    parts.next().is_none().then_some((host, bus, target, lun))
}

pub(super) fn generic(device: &KernelDevice<'_>) -> Capability {
    let path = device.devnode().unwrap_or_else(|| join(b"/dev", device.sysname()).into());
    Capability::ScsiGeneric(ScsiGenericCapability { path })
}
