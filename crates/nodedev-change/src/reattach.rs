//! Giving functions back to the host.

use nodedev_model::{HandoverOperation, HandoverPlan, HandoverState, Outcome};

use crate::check::{self, Scene};
use crate::detach::describe;
use crate::journal::Journal;
use crate::plan::{self, Target};
use crate::transaction::Change;
use crate::{Engine, OpsError, PciFunction, Result, audit, kernel_driver};

impl Engine<'_> {
    /// Gives functions back, which are sorted: all, or none.
    ///
    /// # Errors
    /// What stands in the way, or what failed.
    pub fn reattach(&self, functions: &[PciFunction], dry_run: bool) -> Result<HandoverPlan> {
        let locks = if dry_run { Vec::new() } else { self.begin(functions)? };
        if dry_run {
            self.refuse_waiting(functions)?;
        }
        let mut changes = Vec::with_capacity(functions.len());
        let scene = Scene::new(self.host);
        for function in functions {
            changes.push(self.way_back(&scene, function)?);
        }
        let mut plan = describe(HandoverOperation::Reattach, &changes);
        let modules = self.missing_modules(&changes)?;
        plan.steps.splice(0..0, modules.iter().map(|module| plan::load_module(module)));
        if plan.outcome != Outcome::Unchanged {
            for change in &changes {
                let found = self.against_giving_back(&scene, &change.function, &change.steps, functions)?;
                plan.findings.extend(found);
            }
            check::refuse(&plan.findings, false)?;
        }
        if dry_run {
            return Ok(plan);
        }
        let (changes, done): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| !change.steps.is_empty());
        for change in done.iter().filter(|change| change.previous.is_some()) {
            Journal::of(self.host).remove(change.function.address)?;
        }
        if !changes.is_empty() {
            for change in &changes {
                if let Some(driver) = change.target.exact().and_then(|it| it.kernel_driver.as_deref()) {
                    kernel_driver::require(self.host, driver, change.module.as_deref())?;
                }
            }
            self.carry_out(HandoverState::Reattaching, &changes, &locks)?;
            audit::changed(HandoverOperation::Reattach, functions);
            plan.outcome = Outcome::Changed;
        }
        Ok(plan)
    }

    /// Modules of drivers that are given devices back, where they were unloaded meanwhile.
    fn missing_modules(&self, changes: &[Change]) -> Result<Vec<String>> {
        let mut modules = Vec::new();
        for change in changes.iter().filter(|change| !change.steps.is_empty()) {
            if let Some(driver) = change.target.exact().and_then(|it| it.kernel_driver.as_deref()) {
                modules.extend(kernel_driver::missing(self.host, driver, change.module.as_deref())?);
            }
        }
        modules.sort_unstable();
        modules.dedup();
        Ok(modules)
    }

    fn way_back(&self, scene: &Scene<'_>, function: &PciFunction) -> Result<Change> {
        let gone = || OpsError::Gone { device: function.address };
        let journal = Journal::of(self.host);
        let identity = function.identity(self.host)?.ok_or_else(gone)?;
        let before = function.binding(self.host)?.ok_or_else(gone)?;
        let previous = journal.read(function.address)?;
        let boot_id = journal.boot_id()?;
        // Also if the device was unplugged meanwhile and is served by the host again: what it had is what it gets.
        let known = previous
            .as_ref()
            .filter(|record| record.boot_id == boot_id && record.identity.is_same(&identity));
        let original = known.and_then(|record| record.original.clone());
        let module = known.and_then(|record| record.module.clone());
        let kept = scene.functions().is_kept(function)?;
        let target = match (original.clone(), scene.host_provider(function)?) {
            (Some(original), _) => Target::Exact(original),
            // It is with the host's own driver, which no guest took it from.
            (None, Some(_)) => Target::Exact(before.clone()),
            (None, None) => Target::KernelsChoice,
        };
        let steps = plan::steps(function, &before, &target, kept);
        let function = function.clone();
        Ok(Change { function, identity, before, target, original, module, steps, previous })
    }
}
