//! Disks that the host has file systems or swap space on, or gives to others.

use std::collections::{BTreeSet, HashSet};

use nodedev_model::FindingKind;
use nodedev_sys::SysError;
use nodedev_sys::attribute_value;
use nodedev_sys::paths::{
    BTRFS, DEV, FILE_SYSTEMS, NVME_TARGETS, PROCESSES_OF_THE_HOST, RESUME, SWAPS, TARGET_CORE, ZFS_POOLS,
    basename, follow, join,
};

use super::blocks::udev_property;
use super::claims::{Claim, Claims, Concern};
use super::mounts::{Mount, Mounts, unescaped};
use super::{Scene, blocks};
use crate::{OpsError, Result};

const SWAPS_LIMIT: usize = 1 << 20;
const SMALL: usize = 4096;
const UNMOUNT: &str = "unmount it; with --force the host loses what is on it";
/// The error (EINVAL) of the mounts of a process that has ended and that nobody has waited for.
const ENDED: i32 = 22;
/// File systems that have no numbers of a device, and tell of their devices elsewhere.
pub(super) const TOLD_OTHERWISE: &[&[u8]] = &[b"btrfs", b"zfs"];
const HIDDEN: &str = "look what is mounted there; with --force the host may lose its files";

/// Claims a block device, and all that it is built upon.
pub(super) struct Claimant<'s, 'h> {
    scene: &'s Scene<'h>,
    claims: &'s mut Claims,
    seen: HashSet<Vec<u8>>,
}

impl<'s, 'h> Claimant<'s, 'h> {
    pub(super) fn new(scene: &'s Scene<'h>, claims: &'s mut Claims) -> Self {
        Self { scene, claims, seen: HashSet::new() }
    }

    /// Claims `path` for what `what` says: `the file system at /home`. What is claimed already is not claimed again.
    pub(super) fn claim(&mut self, path: Vec<u8>, what: &str, remedy: &str) -> Result<()> {
        let blocks = self.scene.blocks()?;
        let mut hidden = Vec::new();
        let below = blocks.below(self.scene, path, &mut self.seen, &mut hidden)?;
        hide(self.claims, hidden);
        for path in below {
            let device = String::from_utf8_lossy(basename(&path)).into_owned();
            let why = format!("{what} is on {device}");
            self.claims.add(Claim::needed(FindingKind::HostStorage, why, remedy, path));
        }
        Ok(())
    }
}

/// Files behind loop devices whose file system nobody tells of: they can be on any disk.
pub(super) fn hide(claims: &mut Claims, files: Vec<Vec<u8>>) {
    for file in files {
        let file = String::from_utf8_lossy(&file);
        let problem = format!("the host uses the file {file}, and where that is stored is hidden");
        claims.unknown(Concern::Block, problem, HIDDEN);
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
    let mut not_found = Vec::new();
    let mut claimant = Claimant::new(scene, claims);
    for mount in mounts.all() {
        let what = format!("the file system at {}", String::from_utf8_lossy(&mount.at));
        let devices = devices_of(scene, mount)?;
        if devices.is_empty() && !mount.is_numberless() {
            not_found.push(what.clone());
        }
        for path in devices {
            claimant.claim(path, &what, UNMOUNT)?;
        }
    }
    for layer in &mounts.layers {
        if matches!(place_of(scene, layer)?, Place::Hidden) {
            hide(claimant.claims, vec![layer.clone()]);
        }
    }
    for what in not_found {
        claims.unknown(Concern::Block, format!("nothing tells which device {what} is on"), UNMOUNT);
    }
    Ok(())
}

/// Where a file is stored.
pub(super) enum Place {
    /// On these block devices.
    Disks(Vec<Vec<u8>>),
    /// On no disk of this machine, or on some that are claimed already for the file system itself.
    NoDisk,
    /// Nobody sees that any more.
    Hidden,
}

/// Where a file of the host is stored, which can be a block device itself.
pub(super) fn place_of(scene: &Scene<'_>, file: &[u8]) -> Result<Place> {
    if let Some(path) = scene.blocks()?.of_node(scene.host, file)? {
        return Ok(Place::Disks(vec![path]));
    }
    let Some(mount) = scene.mounts().ok().flatten().and_then(|mounts| mounts.of_path(file)) else {
        return Ok(Place::Hidden);
    };
    let devices = devices_of(scene, mount)?;
    Ok(match devices.is_empty() {
        false => Place::Disks(devices),
        true if mount.is_on_no_disk() || TOLD_OTHERWISE.contains(&mount.kind.as_slice()) => Place::NoDisk,
        true => Place::Hidden,
    })
}

/// The block devices of a file system.
fn devices_of(scene: &Scene<'_>, mount: &Mount) -> Result<Vec<Vec<u8>>> {
    if !mount.is_numberless()
        && let Some(path) = blocks::numbered(scene.host, &mount.number)?
    {
        return Ok(vec![path]);
    }
    // Some are on several devices, as bcachefs, which names all of them.
    let mut devices = Vec::new();
    for device in mount.source.split(|&b| b == b':') {
        if device.starts_with(format!("/{DEV}/").as_bytes()) {
            devices.extend(scene.blocks()?.of_node(scene.host, device)?);
        }
    }
    Ok(devices)
}

/// File systems that are mounted in other namespaces alone, as in containers.
pub(super) fn mounted_elsewhere(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    let mut claimant = Claimant::new(scene, claims);
    let elsewhere = scene.mounts_elsewhere()?;
    for (pid, mount) in &elsewhere.mounts {
        for path in devices_of(scene, mount)? {
            let at = String::from_utf8_lossy(&mount.at);
            let what = format!("the file system at {at} of process {pid}, in a namespace of its own,");
            claimant.claim(
                path,
                &what,
                "end that container or service; with --force it loses what is on it",
            )?;
        }
    }
    for problem in &elsewhere.problems {
        claims.unknown(
            Concern::Block,
            problem.clone(),
            "end that process; --force takes the device without knowing",
        );
    }
    Ok(())
}

/// What is mounted in other namespaces than the first process's alone.
#[derive(Debug, Default)]
pub(crate) struct Elsewhere {
    /// Each file system once, with a process that sees it.
    pub(super) mounts: Vec<(u32, Mount)>,
    /// Namespaces that could not be looked at.
    pub(super) problems: Vec<String>,
}

/// Looks at the file systems of each namespace.
pub(super) fn mounts_elsewhere(scene: &Scene<'_>) -> Result<Elsewhere> {
    let mut known = HashSet::new();
    if let Ok(Some(mounts)) = scene.mounts() {
        known.extend(mounts.all().map(Mount::key));
    }
    let mut found = Elsewhere::default();
    for pids in &scene.open_files()?.namespaces {
        let mut problem = None;
        for pid in pids {
            match Mounts::of_administrators(scene.host, &format!("proc/{pid}")) {
                Ok(Some(mounts)) => {
                    let new = mounts.all().filter(|mount| known.insert(mount.key()));
                    found.mounts.extend(new.map(|mount| (*pid, mount.clone())));
                    problem = None;
                    break;
                }
                // One that has ended; others of its namespace can go on.
                Ok(None) => {}
                Err(OpsError::Sys(error)) if is_over(&error) => {}
                // One that may not be seen: the walk of processes says how many.
                Err(OpsError::Sys(error)) if error.is_permission() => {}
                Err(error) => problem = Some(format!("the mounts of process {pid}: {}", error.message())),
            }
        }
        found.problems.extend(problem);
    }
    Ok(found)
}

/// Whether the process is gone whose mounts were asked for: one that nobody has waited for yet gives an error of its own.
fn is_over(error: &SysError) -> bool {
    error.is_over() || error.errno() == Some(ENDED)
}

/// File systems that tell the kernel's users of themselves, wherever they are mounted, and those on several devices.
pub(super) fn file_systems(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    let host = scene.host;
    let mut claimant = Claimant::new(scene, claims);
    for kind in host.names(FILE_SYSTEMS.as_bytes())?.unwrap_or_default() {
        let folder = join(FILE_SYSTEMS.as_bytes(), &kind);
        // One that only root may list is none of these.
        let names = match host.names(&folder) {
            Err(error) if error.is_permission() => continue,
            names => names?,
        };
        for name in names.unwrap_or_default() {
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
        let place = match scene.blocks()?.of_node(scene.host, &node)? {
            Some(path) => Place::Disks(vec![path]),
            None if is_file => place_of(scene, &node)?,
            None => Place::Hidden,
        };
        let remedy = "turn the swap space off (swapoff); with --force the host loses memory";
        match place {
            Place::Disks(disks) => {
                for path in disks {
                    claimant.claim(path, "swap space", remedy)?;
                }
            }
            Place::NoDisk => {}
            Place::Hidden => not_found.push(node),
        }
    }
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
        let folder = join(NVME_TARGETS.as_bytes(), &subsystem);
        let told = format!("NVMe target {}", String::from_utf8_lossy(&subsystem));
        found.push((join(&folder, b"passthru/device_path"), told));
    }
    let mut claimant = Claimant::new(scene, claims);
    for (file, what) in found {
        let node = host.read(&file, SMALL)?.unwrap_or_default();
        let node = attribute_value(&node);
        let remedy = "remove it from the target; with --force its clients lose it";
        let (what, shown) = (format!("the {what}"), String::from_utf8_lossy(node));
        match given(scene, node)? {
            Given::Device(path) => {
                let what = format!("{what} passes {shown} on");
                claimant.claims.add(Claim::needed(FindingKind::HostStorage, what, remedy, path));
            }
            Given::Place(Place::Disks(disks)) => {
                for path in disks {
                    claimant.claim(path, &what, remedy)?;
                }
            }
            Given::Place(Place::NoDisk) => {}
            Given::Place(Place::Hidden) => {
                let problem = format!("{what} passes {shown} on, and no device is known of that");
                claimant.claims.unknown(Concern::Any, problem, remedy);
            }
        }
    }
    Ok(())
}

/// What a target gives to others.
enum Given {
    /// A device that is no block device: a controller of NVMe, a tape, any device of SCSI. No process has it open.
    Device(Vec<u8>),
    Place(Place),
}

/// What a target has by this node or file. One that has none gives memory.
fn given(scene: &Scene<'_>, node: &[u8]) -> Result<Given> {
    if !node.starts_with(b"/") {
        return Ok(Given::Place(Place::NoDisk));
    }
    let name = node.strip_prefix(format!("/{DEV}/").as_bytes());
    Ok(match (scene.blocks()?.of_node(scene.host, node)?, name) {
        (Some(path), _) => Given::Place(Place::Disks(vec![path])),
        (None, None) => Given::Place(place_of(scene, node)?),
        (None, Some(name)) => match scene.nodes()?.named(name) {
            Some(path) => Given::Device(path.to_vec()),
            None => Given::Place(Place::Hidden),
        },
    })
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
    for mount in scene.mounts()?.into_iter().flat_map(Mounts::all).filter(|mount| mount.kind == b"zfs") {
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
