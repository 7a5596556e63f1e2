//! Carrying out a planned change of one or more functions: for all of them, or for none.

use nodedev_model::{DriverBinding, Finding, HandoverState, PlanStep, StepAction};

use nodedev_sys::FileLock;

use crate::act::{self, Effort};
use crate::check::{self, Intent, Scene};
use crate::function::Identity;
use crate::journal::{Journal, Member, Record, Stamp};
use crate::plan::{self, Target};
use crate::{Engine, OpsError, PciFunction, Result, kernel_driver};

/// What is to become of one function.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) function: PciFunction,
    pub(crate) identity: Identity,
    pub(crate) before: DriverBinding,
    pub(crate) target: Target,
    /// What is given back in the end.
    pub(crate) original: Option<DriverBinding>,
    /// The module of the original driver.
    pub(crate) module: Option<String>,
    pub(crate) steps: Vec<PlanStep>,
    /// The journal's entry from before.
    pub(crate) previous: Option<Record>,
}

impl Change {
    fn record(&self, state: HandoverState, stamp: &Stamp) -> Record {
        Record {
            original: self.original.clone(),
            target: self.target.exact().cloned(),
            module: self.module.clone(),
            ..Record::new(&self.function, self.identity.clone(), state, self.before.clone(), stamp)
        }
    }
}

/// The module of the driver of a binding, which is known of the original driver alone.
pub(crate) fn module_for<'m>(
    binding: &DriverBinding,
    original: Option<&DriverBinding>,
    module: Option<&'m str>,
) -> Option<&'m str> {
    module.filter(|_| original.is_some_and(|original| original.kernel_driver == binding.kernel_driver))
}

impl Engine<'_> {
    /// Carries out changes whose functions are locked: into the journal, step by step, out of the journal again. `state` is
    /// what the journal says meanwhile.
    ///
    /// What the kernel does not come back from is not undone: it is the kernel's then, with the locks.
    pub(crate) fn carry_out(
        &self,
        state: HandoverState,
        changes: &[Change],
        locks: &[FileLock],
    ) -> Result<()> {
        let effort = Effort::full(locks, self.limit);
        let journal = Journal::of(self.host);
        let stamp = journal
            .stamp(changes.iter().map(|change| Member::new(&change.function, change.target.exact())))?;
        for (place, change) in changes.iter().enumerate() {
            if let Err(error) = journal.write(&change.function, &change.record(state, &stamp)) {
                // The rename may have happened, and only its sync failed: the entry of this one goes back, too.
                for written in &changes[..=place] {
                    self.take_back(written);
                }
                return Err(error);
            }
        }
        let mut all = changes.iter().flat_map(|change| &change.steps);
        match all.try_for_each(|step| act::run(self.host, step, effort)) {
            Err(waiting @ OpsError::Waiting { .. }) => Err(waiting),
            acted => acted
                .and_then(|()| self.settle(state, changes, &stamp))
                .or_else(|cause| self.undo(changes, cause, effort)),
        }
    }

    /// Writes into the journal that the changes are done.
    fn settle(&self, state: HandoverState, changes: &[Change], stamp: &Stamp) -> Result<()> {
        let journal = Journal::of(self.host);
        for change in changes {
            let function = &change.function;
            if state == HandoverState::Detaching {
                let record = Record {
                    before: change.target.exact().cloned().unwrap_or_default(),
                    ..change.record(HandoverState::Detached, stamp)
                };
                journal.write(function, &record)?;
            } else if let Err(error) = journal.remove(function.address) {
                // The host has its device; an entry that says it is about to is removed by the next one who looks.
                tracing::warn!(device = %function.name, error = error.message(), "an entry of the journal was left");
            }
        }
        Ok(())
    }

    /// Undoes changes, the last one first. Gives the error that made it necessary, or one that says what it led to.
    fn undo(&self, changes: &[Change], cause: OpsError, effort: Effort<'_>) -> Result<()> {
        let mut failed = None;
        for change in changes.iter().rev() {
            let module = module_for(&change.before, change.original.as_ref(), change.module.as_deref());
            match self.put_back(&change.function, &change.before, module, effort) {
                Ok(()) => self.take_back(change),
                // It is the kernel's now: nothing more is written until it comes back.
                Err(waiting @ OpsError::Waiting { .. }) => return Err(waiting),
                Err(error) => {
                    act::note(self.host, &change.function, &error);
                    failed.get_or_insert((change, error));
                }
            }
        }
        let Some((change, rollback)) = failed else { return Err(cause) };
        Err(OpsError::RollbackFailed {
            device: change.function.address,
            original: change.before.kernel_driver.clone().unwrap_or_else(|| "no driver".into()),
            cause: Box::new(cause),
            rollback: Box::new(rollback),
        })
    }

    /// Makes a function be served as it was, from whatever it is now.
    pub(crate) fn put_back(
        &self,
        function: &PciFunction,
        before: &DriverBinding,
        module: Option<&str>,
        effort: Effort<'_>,
    ) -> Result<()> {
        let mut last = Ok(());
        for _ in 0..effort.attempts {
            last = self.bring(function, &Target::Exact(before.clone()), module, effort);
            if matches!(last, Ok(()) | Err(OpsError::Waiting { .. })) {
                break;
            }
        }
        last
    }

    /// Brings a function to a target from whatever it is now. One that is gone needs nothing.
    pub(crate) fn bring(
        &self,
        function: &PciFunction,
        target: &Target,
        module: Option<&str>,
        effort: Effort<'_>,
    ) -> Result<()> {
        let steps = self.steps_to(function, target)?;
        if let Some(driver) = target.exact().and_then(|wanted| wanted.kernel_driver.as_deref())
            && steps.iter().any(|step| step.action == StepAction::Probe)
        {
            kernel_driver::require(self.host, driver, module)?;
        }
        steps.iter().try_for_each(|step| act::run(self.host, step, effort))
    }

    /// The steps that lead a function to a target; none if it is gone.
    pub(crate) fn steps_to(&self, function: &PciFunction, target: &Target) -> Result<Vec<PlanStep>> {
        let Some(now) = function.binding(self.host)? else { return Ok(Vec::new()) };
        let kept = match &now.kernel_driver {
            Some(driver) => function.is_stub(self.host, driver)?,
            None => false,
        };
        Ok(plan::steps(function, &now, target, kept))
    }

    /// What stands in the way of steps that give functions back.
    pub(crate) fn against_giving_back(
        &self,
        scene: &Scene<'_>,
        function: &PciFunction,
        steps: &[PlanStep],
        together: &[PciFunction],
    ) -> Result<Vec<Finding>> {
        let unbound = steps.iter().find(|step| step.action == StepAction::Unbind);
        let from_host = match unbound.and_then(|step| step.before.as_deref()) {
            Some(driver) => !function.is_stub(self.host, driver)?,
            None => false,
        };
        let intent = Intent { function, chosen: None, together, strict: true };
        Ok(check::reattach(scene, &intent, from_host))
    }

    /// Puts the journal's entry of a change that did not happen back to what it was.
    fn take_back(&self, change: &Change) {
        let journal = Journal::of(self.host);
        let done = match &change.previous {
            Some(previous) => journal.write(&change.function, previous),
            None => journal.remove(change.function.address),
        };
        if let Err(error) = done {
            // It says that an operation is going on, whose undoing will find nothing to do.
            tracing::warn!(device = %change.function.name, error = error.message(), "an entry of the journal was left");
        }
    }
}
