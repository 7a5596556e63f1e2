//! Changing a resource: into the journal, step by step, out of the journal again.

use std::time::Duration;

use nodedev_model::{PlanStep, StepAction};
use nodedev_sys::{FileLock, HostAccess, SysError};

use super::Resource;
use super::journal::{ResourceJournal, Said};
use crate::journal::PATIENCE as LOCKS;
use crate::{Engine, OpsError, Result};

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How long the kernel may take for one write.
const LIMIT: Duration = Duration::from_secs(120);
/// How often undoing is tried: what fails once may work a moment later.
const ATTEMPTS: usize = 3;

/// A change that is to be carried out.
#[derive(Debug)]
pub(crate) struct ResourceChange<R: Resource> {
    pub(crate) resource: R,
    /// What is done, for the journal and the log.
    pub(crate) act: &'static str,
    pub(crate) before: R::State,
    pub(crate) after: R::State,
    pub(crate) steps: Vec<PlanStep>,
    /// Whether it is done if it is seen to be.
    pub(crate) is_seen: bool,
    /// What is told if a program fails, and what stands there if it says nothing.
    pub(crate) words: Words,
}

/// What a client is told of a program that failed.
#[derive(Debug, Clone)]
pub(crate) struct Words {
    pub(crate) what: String,
    pub(crate) nothing: &'static str,
}

impl Engine<'_> {
    /// The locks of a resource, no change of which is half-done.
    pub(super) fn begin_change<R: Resource>(&self, resource: &R) -> Result<Vec<FileLock>> {
        if let Some(issue) = self.recover_and_report(resource) {
            tracing::info!("{issue}");
        }
        let journal = ResourceJournal::of(self.host, resource);
        let locks = journal.lock(LOCKS)?;
        match journal.read()? {
            Some(entry) => {
                let problem = entry.problem.unwrap_or_else(|| "it was interrupted just now".to_owned());
                Err(OpsError::ChangeInterrupted { name: resource.called(), problem })
            }
            None => Ok(locks),
        }
    }

    /// Carries out a change whose locks are held. What fails is undone, unless it is the kernel's by then.
    pub(crate) fn change_resource<R: Resource>(
        &self,
        change: &ResourceChange<R>,
        locks: &[FileLock],
    ) -> Result<()> {
        let ResourceChange { resource, act, before, after, steps, is_seen, words } = change;
        let journal = ResourceJournal::of(self.host, resource);
        let entry = match journal.begin(Said { act, before, after, is_seen: *is_seen }) {
            Ok(entry) => entry,
            Err(error) => {
                // The rename may have happened, and only its sync failed.
                left(resource, journal.remove());
                return Err(error);
            }
        };
        let acted = steps.iter().try_for_each(|step| run(self.host, resource, step, locks, words));
        let settle = || match journal.remove() {
            // It is seen to be done; an entry that says otherwise is removed by the next one who looks.
            Err(error) if *is_seen => {
                left(resource, Err(error));
                Ok(())
            }
            // With the entry, what cannot be seen to be done would be undone later.
            Err(_) => journal.remove(),
            removed => removed,
        };
        let acted = acted.and_then(|()| await_state(self.host, resource, after));
        let cause = match acted.and_then(|()| settle()) {
            Ok(()) => {
                tracing::info!(target: "nodedev::audit", kind = ?R::KIND, device = resource.called(), act, "changed");
                return Ok(());
            }
            Err(waiting @ OpsError::ChangeWaiting { .. }) => {
                left(
                    resource,
                    journal.write(&super::journal::Entry { problem: Some(waiting.message()), ..entry }),
                );
                return Err(waiting);
            }
            Err(cause) => cause,
        };
        match self.restore(resource, before, locks) {
            Ok(()) => {
                left(resource, journal.remove());
                Err(cause)
            }
            Err(rollback) => {
                let problem = Some(rollback.message());
                left(resource, journal.write(&super::journal::Entry { problem, ..entry }));
                Err(OpsError::ChangeRollbackFailed {
                    name: resource.called(),
                    cause: Box::new(cause),
                    rollback: Box::new(rollback),
                })
            }
        }
    }

    /// Brings a resource back to how it was, from whatever it is now.
    pub(super) fn restore<R: Resource>(
        &self,
        resource: &R,
        before: &R::State,
        locks: &[FileLock],
    ) -> Result<()> {
        let mut last = Ok(());
        for _ in 0..ATTEMPTS {
            last = self.restore_once(resource, before, locks);
            if matches!(last, Ok(()) | Err(OpsError::ChangeWaiting { .. } | OpsError::Held { .. })) {
                break;
            }
        }
        last
    }

    fn restore_once<R: Resource>(&self, resource: &R, before: &R::State, locks: &[FileLock]) -> Result<()> {
        let now = resource.state(self.host)?;
        let steps = resource.way_back(self.host, &now, before)?;
        if steps.is_empty() {
            return Ok(());
        }
        resource.refuse_if_held(self.host)?;
        let words = Words {
            what: format!("Unable to undo a change of {}", resource.called()),
            nothing: "Unknown error",
        };
        steps.iter().try_for_each(|step| run(self.host, resource, step, locks, &words))?;
        await_state(self.host, resource, before)
    }
}

/// That an entry could not be written or removed is no end of what is done.
fn left<R: Resource>(resource: &R, done: Result<()>) {
    if let Err(error) = done {
        tracing::warn!(
            device = resource.called(),
            error = error.message(),
            "an entry of the journal was left"
        );
    }
}

/// Does one step.
fn run<R: Resource>(
    host: &dyn HostAccess,
    resource: &R,
    step: &PlanStep,
    locks: &[FileLock],
    words: &Words,
) -> Result<()> {
    match step.action {
        StepAction::RunProgram => {
            let arguments: Vec<_> = step.value.split(' ').collect();
            match host.run_mdevctl(&arguments, step.input.as_deref(), locks) {
                Ok(ran) if ran.success => Ok(()),
                Ok(ran) => {
                    let why = if ran.complaint.is_empty() { words.nothing.to_owned() } else { ran.complaint };
                    Err(OpsError::Program { what: words.what.clone(), why })
                }
                Err(source) => {
                    // One that was killed and does not end has the locks until it does.
                    locks.iter().for_each(FileLock::leave);
                    Err(OpsError::ProgramNotRun { source })
                }
            }
        }
        StepAction::RemoveFile => {
            let failed = |source| OpsError::Step { step: Box::new(step.clone()), source };
            host.remove(step.file.trim_start_matches('/').as_bytes()).map_err(failed)
        }
        _ => write(host, resource, step, locks),
    }
}

fn write<R: Resource>(
    host: &dyn HostAccess,
    resource: &R,
    step: &PlanStep,
    locks: &[FileLock],
) -> Result<()> {
    let failed = |source: SysError| OpsError::VportWrite {
        value: step.value.clone(),
        path: step.file.clone(),
        source,
    };
    let path = step.file.trim_start_matches('/').as_bytes();
    let mut write = host.start_write(path, step.value.as_bytes(), locks).map_err(failed)?;
    if let Some(written) = write.wait(LIMIT) {
        return written.map_err(failed);
    }
    locks.iter().for_each(FileLock::leave);
    let problem = "the kernel does not come back from it".to_owned();
    Err(OpsError::ChangeWaiting { name: resource.called(), problem })
}

/// Waits until a resource is seen to be as it should.
fn await_state<R: Resource>(host: &dyn HostAccess, resource: &R, wanted: &R::State) -> Result<()> {
    let (mut waited, mut pause) = (Duration::ZERO, FIRST_PAUSE);
    loop {
        let now = resource.state(host)?;
        if R::is_reached(&now, wanted) {
            return Ok(());
        }
        if waited >= R::PATIENCE {
            return Err(OpsError::ChangeNotReached { name: resource.called() });
        }
        host.pause(pause);
        waited += pause;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
