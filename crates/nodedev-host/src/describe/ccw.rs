//! s390 channel devices, subchannels and groups of channel devices.

use nodedev_model::{
    Capability, CcwAddress, CcwCapability, CcwGroupCapability, CcwGroupMember, CcwState, CssCapability,
    DeviceName, QethKind, Text,
};

use super::mdev;
use crate::kernel::{KernelDevice, strip_control_characters};
use crate::number;

pub(super) fn device(device: &KernelDevice<'_>) -> Capability {
    let group_device = device
        .folder()
        .filter(|folder| folder.exists(b"group_device"))
        .and_then(|_| device.link("group_device"))
        .map(|group| reference(b"ccwgroup", &group));
    let state = match online(device) {
        // A missing file means that it is not.
        None => Some(CcwState::Offline),
        Some(online) => online.and_then(state),
    };
    Capability::Ccw(CcwCapability { state, address: own_address(device), group_device })
}

pub(super) fn subchannel(device: &KernelDevice<'_>) -> Capability {
    let channel_dev_addr = device
        .attribute("dev_busid", |value| {
            if value == b"none" {
                return None;
            }
            let mut clean = value.to_vec();
            strip_control_characters(&mut clean);
            let address = address(&clean);
            if address.is_none() {
                device.malformed("dev_busid", value, "the address of a channel device");
            }
            address
        })
        .flatten();
    Capability::Css(CssCapability {
        address: own_address(device),
        channel_dev_addr,
        mdev_types: mdev::types(device),
    })
}

pub(super) fn group(device: &KernelDevice<'_>) -> Capability {
    let kind = device
        .kernel("DEVTYPE")
        .and_then(|devtype| std::str::from_utf8(devtype).ok())
        .and_then(QethKind::from_word)
        .unwrap_or(QethKind::Generic);
    Capability::Ccwgroup(Box::new(CcwGroupCapability {
        // In contrast to a single device, what is no number means that it is not online.
        state: state(online(device).flatten().filter(|online| *online >= 0).unwrap_or(0)),
        address: own_address(device),
        members: members(device),
        kind,
        card_type: device.clean_text("card_type"),
        chpid: device.clean_text("chpid"),
    }))
}

/// The members, by the number of their links.
fn members(device: &KernelDevice<'_>) -> Vec<CcwGroupMember> {
    let Some(folder) = device.folder() else { return Vec::new() };
    let mut names = folder.names().unwrap_or_else(|error| {
        device.issues.error(&error);
        Vec::new()
    });
    names.retain(|name| name.starts_with(b"cdev"));
    names.sort_unstable_by_key(|name| (name.len(), name.clone()));
    let members: Vec<_> = names
        .into_iter()
        .filter(|name| folder.exists(name))
        .filter_map(|name| {
            let target = folder.link_basename(&name).ok()??;
            Some(CcwGroupMember { reference: Text::from(&*name), device: reference(b"ccw", &target) })
        })
        .collect();
    if members.is_empty() {
        device.issue("", "the group has no members");
    }
    members
}

fn reference(prefix: &[u8], target: &[u8]) -> Text {
    DeviceName::from_parts(prefix, target, None).as_str().into()
}

/// The number in `online`; absent when there is no such file, and when it holds no number.
fn online(device: &KernelDevice<'_>) -> Option<Option<i32>> {
    device.attribute("online", |value| {
        let online = number::i32(value, 0);
        if online.is_none() {
            device.malformed("online", value, "a number");
        }
        online
    })
}

fn state(online: i32) -> Option<CcwState> {
    match online {
        0 => Some(CcwState::Offline),
        1 => Some(CcwState::Online),
        _ => None,
    }
}

fn own_address(device: &KernelDevice<'_>) -> CcwAddress {
    address(device.sysname()).unwrap_or_else(|| {
        device.issue("", "its name is not the address of a channel device");
        CcwAddress::default()
    })
}

/// Reads `0.0.1234`, hexadecimal, whatever follows it.
fn address(text: &[u8]) -> Option<CcwAddress> {
    let mut parts = text.splitn(3, |&b| b == b'.');
    let mut next = || number::u32(parts.next()?, 16);
    Some(CcwAddress { cssid: next()?, ssid: next()?, devno: number::leading_u32(parts.next()?, 16)? })
}
