//! Interfaces and block devices that the kernel makes of others: bridges, bonds, VLANs; loop devices, mapped devices, RAID.

use std::cell::OnceCell;
use std::collections::HashMap;

use nodedev_model::{
    Bond, Bridge, LoopDevice, MappedDevice, NetSoftware, RaidArray, StorageSoftware, Text, Vlan,
};
use nodedev_sys::{Root, paths};

use super::facts::{Facts, known};
use crate::kernel::KernelDevice;
use crate::number;

/// Most that is read of the list of VLANs: 100 bytes for each.
const VLANS_LIMIT: usize = 16 << 20;

/// The kernel's list of VLANs, read once for all interfaces of a pass.
#[derive(Debug, Default)]
pub(super) struct Vlans(OnceCell<HashMap<Vec<u8>, Vlan>>);

impl Vlans {
    fn of(&self, root: &Root, interface: &[u8]) -> Option<Vlan> {
        let list = self.0.get_or_init(|| {
            let mut buffer = Vec::new();
            // Only root may read it, and without the module of VLANs it is not there.
            let content = root.read(paths::VLANS.as_bytes(), &mut buffer, VLANS_LIMIT);
            content.ok().flatten().map(vlans).unwrap_or_default()
        });
        list.get(interface).cloned()
    }
}

/// Lines `NAME | ID | INTERFACE` behind two of titles.
fn vlans(list: &[u8]) -> HashMap<Vec<u8>, Vlan> {
    list.split(|&b| b == b'\n')
        .filter_map(|line| {
            let mut parts = line.split(|&b| b == b'|').map(<[u8]>::trim_ascii);
            let (name, id, interface) = (parts.next()?, parts.next()?, parts.next()?);
            let id = number::u32(id, 10)?;
            Some((name.to_vec(), Vlan { id: Some(id), interface: Some(interface.into()) }))
        })
        .collect()
}

/// What an interface is made of. Nothing is read for hardware.
pub(super) fn interface(vlans: &Vlans, device: &KernelDevice<'_>) -> Option<NetSoftware> {
    let read = Facts(device);
    match device.devtype()? {
        b"bridge" => known(Bridge {
            id: read.text("bridge/bridge_id"),
            stp: read.u32("bridge/stp_state"),
            vlan_filtering: read.flag("bridge/vlan_filtering"),
            ports: read.names("brif"),
        })
        .map(|bridge| NetSoftware::Bridge(Box::new(bridge))),
        b"bond" => known(Bond {
            // `active-backup 1`
            mode: read.words("bonding/mode").and_then(|words| words.into_iter().next()),
            members: read.words("bonding/slaves"),
            active_member: read.text("bonding/active_slave"),
            miimon_ms: read.u32("bonding/miimon"),
        })
        .map(|bond| NetSoftware::Bond(Box::new(bond))),
        b"vlan" => vlans.of(device.root, device.sysname()).map(|vlan| NetSoftware::Vlan(Box::new(vlan))),
        _ => None,
    }
}

/// What a block device is made of. Nothing is read for hardware.
pub(super) fn block(device: &KernelDevice<'_>) -> Option<StorageSoftware> {
    let name = device.sysname();
    let is = |stem: &[u8]| {
        name.strip_prefix(stem).is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit))
    };
    let read = Facts(device);
    let members = || read.names("slaves").filter(|members: &Vec<Text>| !members.is_empty());
    if is(b"loop") {
        // A loop device without a file has no folder of this name.
        let backing_file = read.text("loop/backing_file")?;
        Some(StorageSoftware::Loop(LoopDevice {
            backing_file: Some(backing_file),
            offset_bytes: read.u64("loop/offset"),
            limit_bytes: read.u64("loop/sizelimit"),
            autoclear: read.flag("loop/autoclear"),
        }))
    } else if is(b"dm-") {
        known(MappedDevice {
            name: read.text("dm/name"),
            uuid: read.text("dm/uuid"),
            suspended: read.flag("dm/suspended"),
            members: members(),
        })
        .map(StorageSoftware::DeviceMapper)
    } else if name.starts_with(b"md") && device.is_virtual() {
        known(RaidArray {
            level: read.text("md/level"),
            disks: read.u32("md/raid_disks"),
            state: read.text("md/array_state"),
            degraded: read.u32("md/degraded"),
            metadata: read.text("md/metadata_version"),
            members: members(),
        })
        .map(StorageSoftware::Raid)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::vlans;

    #[test]
    fn the_kernels_list_of_vlans_is_read() {
        let list = b"VLAN Dev name\t | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\neth0.5         | 5  | eth0\nuplink         | 4094  | bond0\njunk | x | y\n|";
        let found = vlans(list);
        assert_eq!(found.len(), 2);
        let uplink = &found[&b"uplink"[..]];
        assert_eq!((uplink.id, uplink.interface.as_ref().unwrap().as_str()), (Some(4094), Some("bond0")));
    }
}
