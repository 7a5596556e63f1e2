//! Lines of the log for whoever has to find out later what was done to a host (target `nodedev::audit`).

use nodedev_model::{Finding, HandoverOperation};

use crate::PciFunction;

fn names(functions: &[PciFunction]) -> String {
    functions.iter().map(|function| function.name.as_str()).collect::<Vec<_>>().join(" ")
}

/// A device changed hands.
pub(crate) fn changed(operation: HandoverOperation, functions: &[PciFunction]) {
    tracing::info!(target: "nodedev::audit", ?operation, devices = names(functions), "a device changed hands");
}

/// Somebody took the responsibility for what would have been refused.
pub(crate) fn forced(operation: HandoverOperation, functions: &[PciFunction], skipped: &[&Finding]) {
    for finding in skipped {
        tracing::warn!(
            target: "nodedev::audit",
            ?operation,
            devices = names(functions),
            skipped = finding.problem,
            "a refusal was skipped by force"
        );
    }
}
