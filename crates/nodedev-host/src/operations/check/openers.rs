//! Who has the device open.

use nodedev_model::{Effect, Finding, FindingKind, PciAddress};
use nodedev_sys::paths::basename;

use super::scene::told;
use super::{Intent, Scene, finding};
use crate::operations::{PciFunction, Result};

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

/// Somebody reads or writes its disk without a file system.
pub(super) fn node_open(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let holder = scene.holder(&scene.block_nodes(intent.function)?)?;
    let open = |holder| {
        finding(
            FindingKind::NodeOpen,
            Effect::RefusedUnlessForced,
            format!("PCI device {} is in use: {}", intent.function.address, told(holder)),
            "stop that process; --force takes the device away from it",
        )
    };
    Ok(holder.map(open).into_iter().collect())
}

/// Virtual functions end when the driver of their physical function lets go of it.
pub(super) fn virtual_functions(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let in_use = virtual_functions_in_use(scene, intent)?;
    let count = functions_of(scene, intent.function)?.len();
    if !in_use.is_empty() || count == 0 {
        return Ok(in_use);
    }
    let address = intent.function.address;
    let text = format!("PCI device {address} has virtual functions ({count}), which go with its driver");
    let remedy = "they are not made again when it is given back";
    Ok(vec![finding(FindingKind::VirtualFunctions, Effect::Warning, text, remedy)])
}

/// What happens to a physical function happens to the guests that have virtual ones of it.
pub(super) fn virtual_functions_in_use(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    for function in functions_of(scene, intent.function)? {
        if let Some(holder) = scene.holder(&scene.vfio_nodes(&function)?)? {
            return Ok(vec![finding(
                FindingKind::VirtualFunctions,
                Effect::Refused,
                format!(
                    "PCI device {} has the virtual function {}, which is in use",
                    intent.function.address, function.address
                ),
                format!("{}: stop it, or take the device from its guest", told(holder)),
            )]);
        }
    }
    Ok(Vec::new())
}

fn functions_of(scene: &Scene<'_>, function: &PciFunction) -> Result<Vec<PciFunction>> {
    let names = scene.host.names(&function.file(""))?.unwrap_or_default();
    let mut functions = Vec::new();
    for name in names.iter().filter(|name| name.starts_with(b"virtfn")) {
        let link = scene.host.read_link(&function.file(&String::from_utf8_lossy(name)))?;
        let address = link.and_then(|link| PciAddress::from_bytes(basename(&link)).ok());
        functions.extend(address.map(PciFunction::new));
    }
    Ok(functions)
}

/// Whether the search was complete.
pub(super) fn unseen(scene: &Scene<'_>, _: &Intent<'_>) -> Result<Vec<Finding>> {
    if !scene.host.is_changeable() {
        return Ok(vec![Finding {
            kind: FindingKind::Unknown,
            effect: Effect::Note,
            problem: "a recording does not tell which processes, file systems and routes use a device".into(),
            remedy: None,
        }]);
    }
    let count = scene.unseen();
    let processes = if count == 1 { "process" } else { "processes" };
    let text = format!("{count} {processes} could not be looked at, and may have the device open");
    let remedy = "ask as root; a daemon needs CAP_SYS_PTRACE to see the files of others";
    Ok((count > 0)
        .then(|| finding(FindingKind::ProcessesUnseen, Effect::Warning, text, remedy))
        .into_iter()
        .collect())
}
