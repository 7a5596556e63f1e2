//! Doing a step, and looking whether it did what it should.

use std::time::Duration;

use nodedev_model::{PciAddress, PlanStep, StepAction};
use nodedev_sys::HostAccess;

use super::{OpsError, PciFunction, Result};

/// The first pause between two looks; each is twice as long as the one before, up to a hundred times this.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// How hard it is tried to bring a device to a driver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// How often: what fails once, as a device that is busy, may work a moment later.
    pub(crate) attempts: usize,
    /// How long a driver may take to let go of a device or to take it, beyond the write itself. The write waits for both, so
    /// this is for drivers that are bound later (deferred probe).
    pub(crate) patience: Duration,
}

impl Effort {
    pub(crate) const FULL: Self = Self { attempts: 3, patience: Duration::from_secs(5) };
    /// For what failed already, and is in the way of nobody who waits now.
    pub(crate) const BRIEF: Self = Self { attempts: 1, patience: Duration::from_millis(100) };
}

/// Does one step, and makes sure of what it should bring about.
pub(crate) fn run(host: &dyn HostAccess, step: &PlanStep, effort: Effort) -> Result<()> {
    let failed = |source| OpsError::Step { step: Box::new(step.clone()), source };
    let path = step.file.trim_start_matches('/').as_bytes();
    match step.action {
        StepAction::LoadModule => host.load_module(&step.value).map_err(failed)?,
        _ => host.write(path, format!("{}\n", step.value).as_bytes()).map_err(failed)?,
    }
    let Some(address) = step.device else { return Ok(()) };
    match step.action {
        StepAction::LoadModule | StepAction::Reset => Ok(()),
        StepAction::SetOverride => {
            let found = PciFunction::new(address).driver_override(host)?;
            check(step, address, found)
        }
        // Which driver the kernel chooses, and whether it finds one, is its matter.
        StepAction::Probe if step.after.is_none() => Ok(()),
        StepAction::Unbind | StepAction::Probe => wait_for_driver(host, step, address, effort.patience),
    }
}

fn wait_for_driver(
    host: &dyn HostAccess,
    step: &PlanStep,
    address: PciAddress,
    patience: Duration,
) -> Result<()> {
    let function = PciFunction::new(address);
    let (mut waited, mut pause) = (Duration::ZERO, FIRST_PAUSE);
    loop {
        let found = function.driver(host)?;
        // Another driver than the expected one does not go away by itself.
        if found == step.after || waited >= patience || (found.is_some() && step.after.is_some()) {
            return check(step, address, found);
        }
        host.pause(pause);
        waited += pause;
        pause = (pause * 2).min(FIRST_PAUSE * 100);
    }
}

fn check(step: &PlanStep, address: PciAddress, found: Option<String>) -> Result<()> {
    if found == step.after {
        return Ok(());
    }
    let (action, expected) = (step.action, step.after.clone());
    Err(OpsError::NotReached { action, device: address, expected, found })
}
