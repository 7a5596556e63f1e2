//! What speaks against handing a function over, looked for before anything is written.
//!
//! Each check is one function from what is known of the host ([`Scene`]) to findings; the tables say which are made for
//! which operation. `docs/operations.md` lists what each finding means and whether force skips it.

mod blocks;
mod claims;
mod console;
mod consoles;
mod descriptors;
mod driver_nodes;
mod drivers;
mod exclusive;
mod functions;
mod guests;
mod keyboards;
mod lookup;
mod memory;
mod mounts;
mod network;
mod nodes;
mod openers;
mod platform;
mod power;
mod scene;
mod sharing;
mod storage;
mod usbip;
mod user_space;
mod virtual_functions;
mod vital;

pub use mounts::recorded_mount;

use nodedev_model::{Effect, Finding, FindingKind};

pub(crate) use scene::Scene;
pub(crate) use vital::is_vital;

use super::kernel_driver::Chosen;
use super::{OpsError, PciFunction, Result};

/// What is to be done with a function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Intent<'a> {
    pub(crate) function: &'a PciFunction,
    /// Driver that is to be bound; none where a function is given back.
    pub(crate) chosen: Option<&'a Chosen>,
    /// What is handed over in the same operation.
    pub(crate) together: &'a [PciFunction],
    /// Whether a group that the host still uses is a reason to refuse.
    pub(crate) strict: bool,
}

type Check = fn(&Scene<'_>, &Intent<'_>) -> Result<Vec<Finding>>;

/// Whether a guest has the function, or something below it.
const OF_GUESTS: &[Check] =
    &[openers::in_use, claims::of_guests, virtual_functions::in_use, descriptors::may_be_in_use];

/// What the host needs a function for, while it has it; what is not known counts.
const NEEDED: &[Check] = &[
    claims::of_host,
    exclusive::claimed,
    console::check,
    memory::peer_to_peer,
    network::elsewhere,
    claims::not_known,
];

const DETACH: &[&[Check]] = &[
    &[drivers::bridge, power::answers, vital::check],
    OF_GUESTS,
    &[drivers::no_override, drivers::iommu],
    NEEDED,
    &[virtual_functions::needed, virtual_functions::check, sharing::group_shared],
    &[platform::hypervisor, user_space::mode],
    &[drivers::provides_vfio, drivers::module, openers::not_recorded],
];

/// What is told of a function that guests get from the driver that it has: nothing is taken from the host.
const AS_IT_IS: &[&[Check]] = &[&[
    drivers::provides_vfio,
    openers::in_use,
    descriptors::may_be_in_use,
    drivers::iommu,
    sharing::group_shared,
    openers::not_recorded,
]];

/// Guests that lose a function which its driver lets go of, or keep another driver from getting it.
const HELD: &[&[Check]] = &[OF_GUESTS, &[openers::may_be_held, sharing::group_held]];

const TAKEN_BACK: &[&[Check]] = &[NEEDED, &[virtual_functions::needed]];

/// What resetting a function may harm.
const RESET: &[&[Check]] =
    &[&[vital::check], OF_GUESTS, &[drivers::host_driver], NEEDED, &[virtual_functions::needed]];

/// All that is found about taking a function from the host, the weightiest first.
pub(crate) fn detach(scene: &Scene<'_>, intent: &Intent<'_>) -> Vec<Finding> {
    run(DETACH, scene, intent)
}

/// All that is found about resetting a function, the weightiest first.
pub(crate) fn reset(scene: &Scene<'_>, intent: &Intent<'_>) -> Vec<Finding> {
    run(RESET, scene, intent)
}

/// As [`detach`], for a function that its driver may provide for guests as it is.
pub(crate) fn explain(scene: &Scene<'_>, intent: &Intent<'_>) -> Vec<Finding> {
    run(if is_as_it_is(scene, intent) { AS_IT_IS } else { DETACH }, scene, intent)
}

/// All that is found about giving a function back. `from_host` says that a driver of the host has it now, and not the one
/// that it is given back to.
pub(crate) fn reattach(scene: &Scene<'_>, intent: &Intent<'_>, from_host: bool) -> Vec<Finding> {
    let mut findings = run(HELD, scene, intent);
    if from_host {
        // There is no force here.
        let needed = run(TAKEN_BACK, scene, intent).into_iter();
        let needed = needed.filter(|finding| finding.effect >= Effect::RefusedUnlessForced);
        findings.extend(needed.map(|finding| Finding {
            remedy: Some(format!(
                "stop its use; or leave it to the driver that has it now: `nodedev handover forget {}`",
                intent.function.address
            )),
            ..finding
        }));
    }
    findings
}

/// Whether a function is in use by a guest: what is refused even where nothing is to be done. And what is known where a driver
/// of the host provides it for guests.
pub(crate) fn in_use(scene: &Scene<'_>, intent: &Intent<'_>) -> Vec<Finding> {
    run(&[&[openers::in_use, drivers::provides_vfio]], scene, intent)
}

/// Whether a driver of the host provides a function for guests, and is to keep it.
fn is_as_it_is(scene: &Scene<'_>, intent: &Intent<'_>) -> bool {
    let provider = scene.host_provider(intent.function).ok().flatten();
    provider.is_some_and(|driver| intent.chosen.is_some_and(|chosen| chosen.driver == driver))
}

/// The first process that has a function open, or something below it, as it is told.
pub(crate) fn holder(scene: &Scene<'_>, function: &PciFunction) -> Result<Option<String>> {
    openers::holder(scene, function)
}

fn run(checks: &[&[Check]], scene: &Scene<'_>, intent: &Intent<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for check in checks.iter().copied().flatten() {
        // What cannot be looked at refuses, as what was found would.
        findings.extend(check(scene, intent).unwrap_or_else(|error| vec![unknown(intent.function, &error)]));
    }
    // Stable: among equals the order of the table stays.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.effect));
    findings.dedup();
    findings
}

/// What could not be found out about a function.
pub(crate) fn unknown(function: &PciFunction, error: &OpsError) -> Finding {
    finding(
        FindingKind::Unknown,
        Effect::RefusedUnlessForced,
        format!("not everything could be looked at of PCI device {}: {}", function.address, error.message()),
        "mend that; --force goes on without knowing",
    )
}

/// Refuses what stands in the way. Gives what force skipped.
pub(crate) fn refuse(findings: &[Finding], force: bool) -> Result<Vec<&Finding>> {
    let refused = |finding: &&Finding| match finding.effect {
        Effect::Refused => true,
        Effect::RefusedUnlessForced => !force,
        Effect::Note | Effect::Warning => false,
    };
    if let Some(finding) = findings.iter().find(refused) {
        return Err(OpsError::Refused { finding: Box::new(finding.clone()) });
    }
    Ok(findings.iter().filter(|finding| finding.effect == Effect::RefusedUnlessForced).collect())
}

/// A finding with a remedy.
fn finding(
    kind: FindingKind,
    effect: Effect,
    problem: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    Finding { kind, effect, problem: problem.into(), remedy: Some(remedy.into()) }
}
