//! Disks that the host has file systems or swap space on, or gives to others.

use std::collections::{BTreeSet, HashSet};

use nodedev_model::FindingKind;
use nodedev_sys::paths::{
    BTRFS, DEV, FILE_SYSTEMS, NVME_TARGETS, PROCESSES_OF_THE_HOST, RESUME, SWAPS, TARGET_CORE, ZFS_POOLS,
    basename, follow, join,
};

use super::blocks::udev_property;
use super::claims::{Claim, Claims, Concern};
use super::mounts::{Mount, Mounts, unescaped};
use super::{Scene, blocks};
use crate::kernel::attribute_value;
use crate::operations::{OpsError, Result};

const SWAPS_LIMIT: usize = 1 << 20;
const SMALL: usize = 4096;
const UNMOUNT: &str = "unmount it; with --force the host loses what is on it";
const HIDDEN: &str = "look what is mounted there; with --force the host may lose its files";

/// Claims a block device, and all that it is built upon.
pub(super) struct Claimant<'s, 'h> {
    scene: &'s Scene<'h>,
    claims: &'s mut Claims,
    seen: HashSet<Vec<u8>>,
    hidden: Vec<Vec<u8>>,
}

impl<'s, 'h> Claimant<'s, 'h> {
    pub(super) fn new(scene: &'s Scene<'h>, claims: &'s mut Claims) -> Self {
        Self { scene, claims, seen: HashSet::new(), hidden: Vec::new() }
    }

    /// Claims `path` for what `what` says: `the file system at /home`. What is claimed already is not claimed again.
    pub(super) fn claim(&mut self, path: Vec<u8>, what: &str, remedy: &str) -> Result<()> {
        let Scene { host, .. } = *self.scene;
        let mounts = self.scene.mounts().ok().flatten();
        let blocks = self.scene.blocks()?;
        for path in blocks.below(host, mounts, path, &mut self.seen, &mut self.hidden)? {
            let device = String::from_utf8_lossy(basename(&path)).into_owned();
            let why = format!("{what} is on {device}");
            self.claims.add(Claim::needed(FindingKind::HostStorage, why, remedy, path));
        }
        Ok(())
    }

    /// Files behind loop devices whose file system nobody tells of: they can be on any disk.
    fn finish(self) {
        for file in self.hidden {
            let file = String::from_utf8_lossy(&file);
            let problem = format!("the host uses the file {file}, and where that is stored is hidden");
            self.claims.unknown(Concern::Block, problem, HIDDEN);
        }
    }
}

/// File systems that the host has mounted.
pub(super) fn mounted(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    let Some(mounts) = scene.mounts()? else {
        return Err(OpsError::NotTold {
            what: "what is mounted",
            path: format!("/{}/mountinfo", PROCESSES_OF_THE_HOST[0]),
        });
    };
    let mut claimant = Claimant::new(scene, claims);
    for mount in &mounts.all {
        let what = format!("the file system at {}", String::from_utf8_lossy(&mount.at));
        if let Some(path) = device_of(scene, mount)? {
            claimant.claim(path, &what, UNMOUNT)?;
        }
    }
    for layer in &mounts.layers {
        let number = mounts.number_of(layer);
        let is_told =
            mounts.all.iter().any(|mount| Some(mount.number.as_slice()) == number && !is_overlay(mount));
        if !is_told {
            claimant.hidden.push(layer.clone());
        }
    }
    claimant.finish();
    Ok(())
}

fn is_overlay(mount: &Mount) -> bool {
    mount.kind == b"overlay"
}

/// The block device of a file system.
fn device_of(scene: &Scene<'_>, mount: &Mount) -> Result<Option<Vec<u8>>> {
    if !mount.is_numberless() {
        return blocks::numbered(scene.host, &mount.number);
    }
    // Some of those are on several devices all the same, as bcachefs, which names all of them.
    for device in mount.source.split(|&b| b == b':') {
        if device.starts_with(format!("/{DEV}/").as_bytes())
            && let Some(path) = scene.blocks()?.of_node(scene.host, device)?
        {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// File systems that are mounted in other namespaces alone, as in containers.
pub(super) fn mounted_elsewhere(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    let mut claimant = Claimant::new(scene, claims);
    for (pid, mount) in scene.mounts_elsewhere()? {
        let Some(path) = device_of(scene, mount)? else { continue };
        let at = String::from_utf8_lossy(&mount.at);
        let what = format!("the file system at {at} of process {pid}, in a namespace of its own,");
        claimant.claim(path, &what, "end that container or service; with --force it loses what is on it")?;
    }
    claimant.finish();
    Ok(())
}

/// Looks at the file systems of one process of each namespace.
pub(super) fn mounts_elsewhere(scene: &Scene<'_>) -> Result<Vec<(u32, Mount)>> {
    let mut known = HashSet::new();
    if let Ok(Some(mounts)) = scene.mounts() {
        known.extend(mounts.all.iter().map(Mount::key));
    }
    let mut found = Vec::new();
    for pid in &scene.open_files()?.namespaces {
        let mounts = match Mounts::of_administrators(scene.host, &format!("proc/{pid}")) {
            Ok(mounts) => mounts.unwrap_or_default(),
            // One that ended meanwhile, or may not be seen: the walk of processes says how many.
            Err(OpsError::Sys(error)) if error.is_permission() || error.is_over() => continue,
            Err(error) => return Err(error),
        };
        found.extend(mounts.all.into_iter().filter(|mount| known.insert(mount.key())).map(|it| (*pid, it)));
    }
    Ok(found)
}

/// File systems that tell the kernel's users of themselves, wherever they are mounted, and those on several devices.
pub(super) fn file_systems(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    let host = scene.host;
    let mut claimant = Claimant::new(scene, claims);
    for kind in host.names(FILE_SYSTEMS.as_bytes())?.unwrap_or_default() {
        let folder = join(FILE_SYSTEMS.as_bytes(), &kind);
        // One that only root may list is none of these.
        for name in host.names(&folder).ok().flatten().unwrap_or_default() {
            if let Some(path) = scene.blocks()?.named(&name)
                && !claimant.claims.has_storage(path)
            {
                let what = format!("a mounted file system ({})", String::from_utf8_lossy(&kind));
                claimant.claim(path.to_vec(), &what, UNMOUNT)?;
            }
        }
    }
    for name in host.names(BTRFS.as_bytes())?.unwrap_or_default() {
        let folder = join(&join(BTRFS.as_bytes(), &name), b"devices");
        for link in host.link_targets(&folder)?.unwrap_or_default() {
            let path = follow(&folder, &link);
            if !claimant.claims.has_storage(&path) {
                claimant.claim(path, "a mounted file system", UNMOUNT)?;
            }
        }
    }
    claimant.finish();
    Ok(())
}

pub(super) fn swap_spaces(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    let swaps = scene.host.read(SWAPS.as_bytes(), SWAPS_LIMIT)?.unwrap_or_default();
    let mut not_found = Vec::new();
    let mut claimant = Claimant::new(scene, claims);
    for line in swaps.split(|&b| b == b'\n').skip(1).filter(|line| !line.is_empty()) {
        let mut words = line.split(|b| b.is_ascii_whitespace()).filter(|word| !word.is_empty());
        let node = unescaped(words.next().unwrap_or_default());
        let is_file = words.next() == Some(b"file");
        let path = match scene.blocks()?.of_node(scene.host, &node)? {
            None if is_file => {
                let number = scene.mounts()?.and_then(|mounts| mounts.number_of(&node)).map(<[u8]>::to_vec);
                number.map(|number| blocks::numbered(scene.host, &number)).transpose()?.flatten()
            }
            found => found,
        };
        let remedy = "turn the swap space off (swapoff); with --force the host loses memory";
        match path {
            Some(path) => claimant.claim(path, "swap space", remedy)?,
            None => not_found.push(node),
        }
    }
    claimant.finish();
    for node in not_found {
        let problem = format!("no device is known of the swap space {}", String::from_utf8_lossy(&node));
        claims.unknown(
            Concern::Block,
            problem,
            "turn it off (swapoff); --force takes the device without knowing",
        );
    }
    Ok(())
}

/// Block devices that the kernel gives to others over a network.
pub(super) fn targets(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    let host = scene.host;
    let mut found = Vec::new();
    for adapter in host.names(TARGET_CORE.as_bytes())?.unwrap_or_default() {
        let folder = join(TARGET_CORE.as_bytes(), &adapter);
        for store in host.names(&folder)?.unwrap_or_default() {
            let node = join(&join(&folder, &store), b"udev_path");
            let told = format!("SCSI target's backstore {}", String::from_utf8_lossy(&store));
            found.push((node, told));
        }
    }
    for subsystem in host.names(NVME_TARGETS.as_bytes())?.unwrap_or_default() {
        let folder = join(&join(NVME_TARGETS.as_bytes(), &subsystem), b"namespaces");
        for namespace in host.names(&folder)?.unwrap_or_default() {
            let node = join(&join(&folder, &namespace), b"device_path");
            let [subsystem, namespace] = [&subsystem, &namespace].map(|name| String::from_utf8_lossy(name));
            found.push((node, format!("NVMe target's namespace {namespace} of {subsystem}")));
        }
    }
    let mut claimant = Claimant::new(scene, claims);
    for (file, what) in found {
        let node = host.read(&file, SMALL)?.unwrap_or_default();
        if let Some(path) = scene.blocks()?.of_node(host, attribute_value(&node))? {
            let what = format!("the {what}");
            claimant.claim(path, &what, "remove it from the target; with --force its clients lose it")?;
        }
    }
    Ok(())
}

/// Pools of ZFS that are imported: ZFS tells the kernel of no file system on its disks.
pub(super) fn pools(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    let mut pools = BTreeSet::new();
    for name in scene.host.names(ZFS_POOLS.as_bytes())?.unwrap_or_default() {
        // Beside the folders of pools there are files of statistics.
        if scene.host.names(&join(ZFS_POOLS.as_bytes(), &name))?.is_some() {
            pools.insert(name.into_vec());
        }
    }
    for mount in scene.mounts()?.iter().flat_map(|mounts| &mounts.all).filter(|mount| mount.kind == b"zfs") {
        pools.insert(mount.source.split(|&b| b == b'/').next().unwrap_or_default().to_vec());
    }
    if pools.is_empty() {
        return Ok(());
    }
    let mut members = Vec::new();
    for path in scene.blocks()?.paths() {
        if udev_property(scene.host, path, "ID_FS_TYPE")?.as_deref() == Some("zfs_member") {
            let label = udev_property(scene.host, path, "ID_FS_LABEL")?;
            members.push((path.clone(), label.unwrap_or_default().into_bytes()));
        }
    }
    let mut claimant = Claimant::new(scene, claims);
    let mut not_found = Vec::new();
    for pool in pools {
        let name = String::from_utf8_lossy(&pool).into_owned();
        let mut disks = members.iter().filter(|(_, label)| *label == pool).peekable();
        if disks.peek().is_none() {
            not_found.push(name.clone());
        }
        for (path, _) in disks {
            let remedy = "export the pool (zpool export); with --force it loses the disk";
            claimant.claim(path.clone(), &format!("the ZFS pool {name}"), remedy)?;
        }
    }
    claimant.finish();
    for pool in not_found {
        let problem = format!("nothing tells which disks the ZFS pool {pool} is on");
        claims.unknown(
            Concern::Block,
            problem,
            "look at `zpool status`; --force takes the device without knowing",
        );
    }
    Ok(())
}

/// The swap space that hibernation writes to.
pub(super) fn hibernation(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    let number = scene.host.read(RESUME.as_bytes(), SMALL)?.unwrap_or_default();
    if let Some(path) = blocks::numbered(scene.host, attribute_value(&number))? {
        let remedy = format!("name another device in /{RESUME}; with --force the host cannot hibernate");
        Claimant::new(scene, claims).claim(path, "the memory of the host when it hibernates", &remedy)?;
    }
    Ok(())
}

/// The file systems of the host: those of the first process, or one's own where it cannot be seen.
pub(super) fn mounts_of_host(scene: &Scene<'_>) -> Result<Option<Mounts>> {
    for process in PROCESSES_OF_THE_HOST {
        match Mounts::of(scene.host, process) {
            Ok(None) => {}
            Err(OpsError::Sys(error)) if error.is_permission() || error.is_vanished() => {}
            found => return found,
        }
    }
    Ok(None)
}
