//! Who has nodes of devices open.

use std::cell::OnceCell;
use std::collections::HashSet;

use nodedev_model::{Effect, Finding, FindingKind};
use nodedev_sys::open_files::{OpenFile, Process, is_resource};
use nodedev_sys::paths::{NUMBERS, basename, join, parent};
use nodedev_sys::{HostAccess, NodeKind};

use super::claims::{Claim, Claims, Concern, functions_above};
use super::scene::{Holder, told};
use super::{Intent, Scene, driver_nodes, finding, network, nodes, storage};
use crate::{PciFunction, Result, once};

/// Devices that a guest has through a node of theirs, by their subsystem: nobody can take them away.
const OF_GUESTS: &[&[u8]] = &[b"vhost-vdpa", b"macvtap", b"ipvtap", b"vfio-dev", b"uio"];
/// Devices that a guest has if a virtual machine has their node open.
const OF_MACHINES: &[&[u8]] = &[b"usb"];
const CLASS_VFIO_DEV: &[u8] = b"vfio-dev";
/// Folders of an interface with the node of its other end.
const TAPS: [&[u8]; 2] = [b"macvtap", b"ipvtap"];
/// What the names of their nodes begin with; a number follows.
const TAP: &[u8] = b"tap";
const NUMBERS_LIMIT: usize = 1 << 20;
const SEE_NETWORK: &str =
    "look where its interface is (ip netns, lsns -t net); --force takes the device without knowing";
const SEE_PROCESSES: &str =
    "ask as root, where all processes are shown, and stop those that have too many files open";
const SEE_ALL: &str = "ask as root; a daemon needs CAP_SYS_PTRACE to see the files of others; --force takes the device without knowing";

/// A guest has it, or a program that is one's own guest, such as DPDK: nobody can take it away.
pub(super) fn in_use(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    let holder = scene.holder(&scene.vfio_nodes(function)?)?;
    let in_use = |holder| {
        finding(
            FindingKind::InUse,
            Effect::Refused,
            format!("PCI device {} is in use", function.address),
            format!("{}: stop it, or take the device from its guest", told(holder)),
        )
    };
    Ok(holder.map(in_use).into_iter().collect())
}

/// A guest may have it of which nobody was told.
pub(super) fn may_be_held(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    if !scene.host.is_changeable() || !scene.functions().is_bound_to_vfio(function)? {
        return Ok(Vec::new());
    }
    let Some(why) = scene.open_files()?.incomplete else { return Ok(Vec::new()) };
    let problem = format!(
        "it is not known whether PCI device {} is in use: {why}, and one may have it open",
        function.address
    );
    Ok(vec![finding(FindingKind::Unknown, Effect::RefusedUnlessForced, problem, SEE_PROCESSES)])
}

/// Claims of processes that have a node below a function open, be it through what is built upon that.
pub(super) fn claims(scene: &Scene<'_>, claims: &mut Claims) -> Result<()> {
    let open = scene.open_files()?;
    let mut hidden = Vec::new();
    let majors = OnceCell::new();
    for process in &open.processes {
        let mut seen = HashSet::new();
        for file in &process.files {
            if let Some(path) = resource(file) {
                claims.add(claim(process, file, path, false));
                continue;
            }
            for path in driver_nodes::functions(scene, file)? {
                claims.add(claim(process, file, path, false));
            }
            let Some(path) = nodes::device_of(scene.host, file, || scene.nodes())? else {
                // In another network namespace sysfs does not show it either.
                if is_tap(file, once(&majors, || majors_of_taps(scene.host))?) {
                    tap_elsewhere(claims, process, file, "its interface is not here");
                }
                continue;
            };
            let is_guests = is_of_guest(scene, process, &path)?;
            if TAPS.contains(&basename(parent(&path))) {
                tap(scene, claims, process, file, basename(parent(parent(&path))));
                continue;
            }
            for path in reached(scene, path, &mut seen, &mut hidden)? {
                claims.add(claim(process, file, path, is_guests));
            }
        }
    }
    hidden.sort_unstable();
    hidden.dedup();
    storage::hide(claims, hidden);
    if !scene.host.is_changeable() {
        return Ok(());
    }
    if let Some(why) = open.incomplete {
        claims.unknown(Concern::Nodes, format!("{why}, and one may have it open"), SEE_ALL);
    }
    if open.unseen > 0 {
        let count = open.unseen;
        let processes = if count == 1 { "process" } else { "processes" };
        let problem = format!("{count} {processes} could not be looked at, and may have it open");
        claims.unknown(Concern::Nodes, problem, SEE_ALL);
    }
    Ok(())
}

/// Who has a function open, or something below it: whoever the kernel may wait for. Nothing is asked that waits with it.
pub(super) fn holder(scene: &Scene<'_>, function: &PciFunction) -> Result<Option<String>> {
    if let Some(holder) = scene.holder(&scene.vfio_nodes(function)?)? {
        return Ok(Some(told(holder)));
    }
    for process in &scene.open_files()?.processes {
        for file in &process.files {
            let mut paths = driver_nodes::functions(scene, file)?;
            paths.extend(resource(file));
            paths.extend(nodes::device_of(scene.host, file, || scene.nodes())?);
            if paths.iter().any(|path| functions_above(path).any(|address| address == function.address)) {
                return Ok(Some(told(&holder_of(process, file))));
            }
        }
    }
    Ok(None)
}

/// Claims of a guest on what its interface is built upon. Where it may be several, and where nobody knows, that is not its own.
fn tap(scene: &Scene<'_>, claims: &mut Claims, process: &Process, file: &OpenFile, interface: &[u8]) {
    let below = network::devices_below(scene, interface);
    match &below {
        Ok(below) if below.is_empty() => tap_elsewhere(claims, process, file, "its interface is not here"),
        Ok(_) => {}
        Err(error) => tap_elsewhere(claims, process, file, &error.message()),
    }
    for (path, is_guess) in below.unwrap_or_default() {
        claims.add(claim(process, file, path, !is_guess));
    }
}

fn tap_elsewhere(claims: &mut Claims, process: &Process, file: &OpenFile, problem: &str) {
    let problem = format!("{}, and {problem}", told(&holder_of(process, file)));
    claims.unknown(Concern::Network, problem, SEE_NETWORK);
}

/// Whether a file is the node of a macvtap or the like, which no device is known of: by its number, else by its name.
fn is_tap(file: &OpenFile, majors: &[u32]) -> bool {
    match (file.node, file.name()) {
        (Some(node), _) => node.kind == NodeKind::Char && majors.contains(&node.major),
        (None, Some(name)) => name
            .strip_prefix(TAP)
            .is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit)),
        (None, None) => false,
    }
}

/// The first numbers of the nodes of macvtap and ipvtap, as the kernel lists them: `236 macvtap`.
fn majors_of_taps(host: &dyn HostAccess) -> Result<Vec<u32>> {
    let list = host.read(NUMBERS.as_bytes(), NUMBERS_LIMIT)?.unwrap_or_default();
    let list = String::from_utf8_lossy(&list);
    let number = |line: &str| {
        let (number, kind) = line.trim().split_once(' ')?;
        TAPS.contains(&kind.as_bytes()).then(|| number.parse().ok())?
    };
    Ok(list.lines().filter_map(number).collect())
}

/// All devices that a process with one open uses: what a block device is built upon.
fn reached(
    scene: &Scene<'_>,
    path: Vec<u8>,
    seen: &mut HashSet<Vec<u8>>,
    hidden: &mut Vec<Vec<u8>>,
) -> Result<Vec<Vec<u8>>> {
    // The function's own node for VFIO: that of the function itself is looked for by its name.
    if basename(parent(&path)) == CLASS_VFIO_DEV
        && functions_above(parent(parent(&path)).rsplit(|&b| b == b'/').next().unwrap_or_default())
            .next()
            .is_some()
    {
        return Ok(Vec::new());
    }
    scene.blocks()?.below(scene, path, seen, hidden)
}

fn is_of_guest(scene: &Scene<'_>, process: &Process, path: &[u8]) -> Result<bool> {
    let link = scene.host.read_link(&join(path, b"subsystem"))?;
    let subsystem = link.as_deref().map(basename).unwrap_or_default();
    Ok(OF_GUESTS.contains(&subsystem) || (process.is_monitor && OF_MACHINES.contains(&subsystem)))
}

fn claim(process: &Process, file: &OpenFile, path: Vec<u8>, is_guests: bool) -> Claim {
    let (kind, effect, remedy) = if is_guests {
        let remedy = "stop that process, or take the device from its guest";
        (FindingKind::InUse, Effect::Refused, remedy)
    } else {
        let remedy = "stop that process; --force takes the device away from it";
        (FindingKind::NodeOpen, Effect::RefusedUnlessForced, remedy)
    };
    let what = format!("is in use: {}", told(&holder_of(process, file)));
    Claim { kind, effect, path, what, remedy: remedy.to_owned() }
}

fn holder_of(process: &Process, file: &OpenFile) -> Holder {
    let link = file.path().unwrap_or(&file.link);
    let node = String::from_utf8_lossy(link).into_owned();
    Holder { pid: process.pid, command: process.command.clone(), node }
}

/// The function whose registers a program has mapped or reads itself.
fn resource(file: &OpenFile) -> Option<Vec<u8>> {
    is_resource(&file.link).then(|| parent(&file.link).strip_prefix(b"/").unwrap_or_default().to_vec())
}

/// What a recording does not tell.
pub(super) fn not_recorded(scene: &Scene<'_>, _: &Intent<'_>) -> Result<Vec<Finding>> {
    let note = Finding {
        kind: FindingKind::Unknown,
        effect: Effect::Note,
        problem: "a recording need not tell all processes, file systems and routes that use a device".into(),
        remedy: None,
    };
    Ok(if scene.host.is_changeable() { Vec::new() } else { vec![note] })
}
