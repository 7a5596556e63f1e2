//! Doing a step, and looking whether it did what it should.

use std::time::Duration;

use nodedev_model::{PciAddress, PlanStep, StepAction};
use nodedev_sys::{FileLock, HostAccess};

use crate::check::{self, Scene};
use crate::journal::{Journal, Record};
use crate::{OpsError, PciFunction, Result};

/// How long a write may take before it is said what is waited for.
const MOMENT: Duration = Duration::from_secs(1);
/// How long is waited at once for a write without a limit.
const LONG: Duration = Duration::from_secs(3600);

/// The first pause between two looks; each is twice as long as the one before, up to a hundred times this.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// How hard it is tried to bring a device to a driver, and under which locks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort<'l> {
    /// How often: what fails once, as a device that is busy, may work a moment later.
    pub(crate) attempts: usize,
    /// How long a driver may take to let go of a device or to take it, beyond the write itself. The write waits for both, so
    /// this is for drivers that are bound later (deferred probe).
    pub(crate) patience: Duration,
    /// The locks of the operation: a write that does not end keeps them.
    locks: &'l [FileLock],
    /// How long a write may take before it is left to itself; without one it is waited for.
    limit: Option<Duration>,
}

impl<'l> Effort<'l> {
    pub(crate) fn full(locks: &'l [FileLock], limit: Option<Duration>) -> Self {
        Self { attempts: 3, patience: Duration::from_secs(5), locks, limit }
    }

    /// For what failed already, and is in the way of nobody who waits now.
    pub(crate) fn brief(self) -> Self {
        Self { attempts: 1, patience: Duration::from_millis(100), ..self }
    }
}

/// Does one step, and makes sure of what it should bring about.
pub(crate) fn run(host: &dyn HostAccess, step: &PlanStep, effort: Effort<'_>) -> Result<()> {
    match step.action {
        StepAction::LoadModule => {
            let failed = |source| OpsError::Step { step: Box::new(step.clone()), source };
            host.load_module(&step.value).map_err(failed)?;
        }
        _ => write(host, step, effort)?,
    }
    let Some(address) = step.device else { return Ok(()) };
    match step.action {
        StepAction::LoadModule
        | StepAction::Reset
        | StepAction::RunProgram
        | StepAction::RemoveFile
        | StepAction::CreateVport
        | StepAction::DeleteVport => Ok(()),
        StepAction::SetOverride => {
            let found = PciFunction::new(address).driver_override(host)?;
            check(step, address, found)
        }
        // Which driver the kernel chooses, and whether it finds one, is its matter.
        StepAction::Probe if step.after.is_none() => Ok(()),
        StepAction::Unbind | StepAction::Probe => wait_for_driver(host, step, address, effort.patience),
    }
}

/// Writes what a step says. The kernel may wait for those who have the device open: after a moment it is said for whom, in the log
/// and in the journal, and in the end the write is left to itself, with the locks.
fn write(host: &dyn HostAccess, step: &PlanStep, effort: Effort<'_>) -> Result<()> {
    let failed = |source| OpsError::Step { step: Box::new(step.clone()), source };
    let path = step.file.trim_start_matches('/').as_bytes();
    let value = format!("{}\n", step.value);
    let mut write = host.start_write(path, value.as_bytes(), effort.locks).map_err(failed)?;
    if let Some(written) = write.wait(MOMENT) {
        return written.map_err(failed);
    }
    let device = step.device.unwrap_or_default();
    let function = PciFunction::new(device);
    let problem = match step.action {
        StepAction::Probe => "a driver is looking at it, and has not come to an end".to_owned(),
        _ => waits_for(host, &function),
    };
    let waiting = OpsError::Waiting { device, problem };
    tracing::warn!(device = %function.name, "{waiting}");
    let journal = Journal::of(host);
    let before = journal.read(device).ok().flatten();
    note(host, &function, &waiting);
    let mut waited = MOMENT;
    while effort.limit.is_none_or(|limit| waited < limit) {
        let more = effort.limit.map_or(LONG, |limit| (limit - waited).min(LONG));
        if let Some(written) = write.wait(more) {
            // A reset writes no entry of its own that would say that it is over.
            if let Some(record) = before {
                told_if_failed(&function, journal.write(&function, &record));
            }
            return written.map_err(failed);
        }
        waited += more;
    }
    effort.locks.iter().for_each(FileLock::leave);
    Err(waiting)
}

/// For whom the kernel waits that does not come back from a write to a device.
pub(crate) fn waits_for(host: &dyn HostAccess, function: &PciFunction) -> String {
    let holder = check::holder(&Scene::new(host), function).ok().flatten();
    holder.map_or_else(
        || "the kernel waits for whoever has it open".into(),
        |told| format!("the kernel waits: {told}"),
    )
}

/// Writes into the journal's entry what stands in the way, for people who look at it.
pub(crate) fn note(host: &dyn HostAccess, function: &PciFunction, error: &OpsError) {
    let journal = Journal::of(host);
    let noted = journal.read(function.address).and_then(|record| match record {
        Some(record) => journal.write(function, &Record { problem: Some(error.message()), ..record }),
        None => Ok(()),
    });
    told_if_failed(function, noted);
}

/// That an entry for people to look at could not be written is no end of what is done.
fn told_if_failed(function: &PciFunction, noted: Result<()>) {
    if let Err(error) = noted {
        tracing::warn!(device = %function.name, error = error.message(), "the journal could not be written");
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
