//! The graphics card with the console.

use nodedev_model::{Effect, Finding, FindingKind};

use super::{Intent, Scene, finding};
use crate::Result;

/// The firmware's console is on it (`boot_vga`), and a driver of the host shows the host's on it now.
pub(super) fn check(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    let is_console = function.attribute(scene.host, "boot_vga")?.as_deref() == Some("1")
        && scene.functions().driver(function)?.is_some()
        && !scene.functions().is_kept(function)?;
    let problem = format!("PCI device {} is needed by the host: the console is on it", function.address);
    let remedy =
        "use the host over the network, and --force: its screen stays dark until the device is given back";
    Ok(is_console
        .then(|| finding(FindingKind::HostConsole, Effect::RefusedUnlessForced, problem, remedy))
        .into_iter()
        .collect())
}
