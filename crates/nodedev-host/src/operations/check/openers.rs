//! Who has the device open.

use nodedev_model::{Effect, Finding, FindingKind};

use super::scene::{Opened, is_below, told};
use super::{Intent, Scene, finding};
use crate::operations::Result;

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

/// Somebody reads or writes its disk without a file system, be it through device-mapper, RAID, LVM or multipath.
pub(super) fn node_open(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    let open = |opened: &Opened| {
        finding(
            FindingKind::NodeOpen,
            Effect::RefusedUnlessForced,
            format!("PCI device {} is in use: {}", function.address, told(&opened.holder)),
            "stop that process; --force takes the device away from it",
        )
    };
    Ok(scene.opened()?.iter().find(|opened| is_below(&opened.path, function)).map(open).into_iter().collect())
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
