//! Whether the device answers at all.

use nodedev_model::{Effect, Finding, FindingKind};

use super::{Intent, Scene, finding};
use crate::{Result, power};

/// A device that sleeps, is dead or was unplugged: nobody can say what becomes of it.
pub(super) fn answers(scene: &Scene<'_>, intent: &Intent<'_>) -> Result<Vec<Finding>> {
    let function = intent.function;
    let Some(silence) = power::silence(scene.host, function)? else { return Ok(Vec::new()) };
    let (why, remedy) = power::told(function, &silence);
    let above = match power::silent_bridge_above(scene.host, function)? {
        Some(bridge) => format!(", nor does the bridge {} above it", bridge.address),
        None => String::new(),
    };
    let problem = format!("PCI device {} does not answer{above}: {why}", function.address);
    Ok(vec![finding(FindingKind::NoAnswer, Effect::Refused, problem, remedy)])
}
