//! Disks that somebody has for himself: the general answer of the kernel to who uses a disk in whichever namespace.
//!
//! What is built upon a disk is asked first, since that says who it is.

use nodedev_model::{Effect, Finding, FindingKind};
use nodedev_sys::attribute_value;
use nodedev_sys::paths::{basename, join, parent};

use super::blocks::{node_of, udev_property};
use super::claims::told;
use super::{Intent, Scene, finding};
use crate::Result;

const SMALL: usize = 4096;
/// What uses a disk that holds this, by udev's `ID_FS_TYPE`.
const USERS: &[(&str, &str)] = &[
    ("zfs_member", "a pool of ZFS"),
    ("linux_raid_member", "RAID (md)"),
    ("LVM2_member", "LVM"),
    ("bcache", "bcache"),
    ("drbd", "DRBD"),
    ("crypto_LUKS", "LUKS"),
    ("ceph_bluestore", "an OSD of Ceph"),
    ("mpath_member", "multipath"),
    ("VMFS_volume_member", "VMFS"),
    ("swap", "swap space"),
];

/// Whether something is built upon a disk of the function, or somebody has one for himself.
pub(super) fn claimed(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let below = scene.below()?;
    let devices = below.block_devices(intent.function);
    let mut findings = Vec::new();
    for path in devices {
        findings.extend(built_upon(scene, intent, path)?);
    }
    let is_known = !findings.is_empty()
        || scene.claims().on(intent.function).any(|claim| claim.kind == FindingKind::HostStorage);
    if is_known || !scene.host.is_changeable() {
        return Ok(findings);
    }
    for path in devices.iter().filter(|path| scene.blocks().is_ok_and(|blocks| !blocks.is_partition(path))) {
        findings.extend(exclusive(scene, intent, path)?);
    }
    Ok(findings)
}

fn needed(intent: &Intent<'_>, what: &str, path: &[u8], remedy: &str) -> Finding {
    finding(
        FindingKind::HostStorage,
        Effect::RefusedUnlessForced,
        format!(
            "PCI device {} is needed by the host: {what} {}",
            intent.function.address,
            String::from_utf8_lossy(basename(path))
        ),
        remedy,
    )
}

/// What is built upon a device: the device mapper, RAID, bcache. Source: its folder `holders`.
fn built_upon(scene: &Scene<'_>, intent: &Intent<'_>, path: &[u8]) -> Result<Vec<Finding>> {
    let host = scene.host;
    let mut findings = Vec::new();
    for holder in host.names(&join(path, b"holders"))?.unwrap_or_default() {
        let mut called = String::from_utf8_lossy(&holder).into_owned();
        if let Some(device) = scene.blocks()?.named(&holder)
            && let Some(name) = host.read(&join(device, b"dm/name"), SMALL)?
        {
            called = format!("{called} ({})", String::from_utf8_lossy(attribute_value(&name)));
        }
        let remedy = "take it apart (dmsetup, vgchange -an, mdadm --stop); with --force the host loses it";
        findings.push(needed(intent, &format!("{called} is built upon"), path, remedy));
    }
    Ok(findings)
}

fn exclusive(scene: &Scene<'_>, intent: &Intent<'_>, path: &[u8]) -> Result<Option<Finding>> {
    let host = scene.host;
    // A medium that can be taken out would be looked for.
    let removable = host.read(&join(path, b"removable"), SMALL)?.unwrap_or_default();
    if attribute_value(&removable) == b"1" {
        return Ok(None);
    }
    // Gone meanwhile, or hidden: a path to a disk that is another device.
    let Some((node, number)) = node_of(host, path)? else { return Ok(None) };
    Ok(match host.is_claimed(&node, number) {
        Ok(false) => None,
        Ok(true) => {
            let who = user(scene, path)?;
            let remedy = "stop its use (lsblk, dmsetup ls, zpool list, mdadm, targetcli); with --force it loses the disk";
            Some(needed(intent, &format!("{who} has for itself"), path, remedy))
        }
        Err(error) => Some(finding(
            FindingKind::Unknown,
            Effect::RefusedUnlessForced,
            format!(
                "it is not known whether PCI device {} is in use: {} of the host: {}",
                intent.function.address,
                String::from_utf8_lossy(basename(path)),
                told(&error.into())
            ),
            "ask as root, where the host's device nodes are; --force takes the device without knowing",
        )),
    })
}

/// Who it can be that has a disk for himself: what is written on it, or on one of its partitions.
fn user(scene: &Scene<'_>, disk: &[u8]) -> Result<String> {
    let blocks = scene.blocks()?;
    let parts = blocks.paths().iter().filter(|path| parent(path) == disk && blocks.is_partition(path));
    for path in std::iter::once(disk).chain(parts.map(Vec::as_slice)) {
        let Some(kind) = udev_property(scene.host, path, "ID_FS_TYPE")? else { continue };
        if let Some((_, user)) = USERS.iter().find(|(known, _)| *known == kind) {
            return Ok((*user).to_owned());
        }
        return Ok(format!("a file system ({kind}), or something else of the kernel,"));
    }
    Ok("the kernel, or a program,".to_owned())
}
