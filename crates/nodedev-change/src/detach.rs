//! Taking functions from the host.

use std::net::IpAddr;

use nodedev_model::{
    DriverBinding, Finding, HandoverOperation, HandoverPlan, HandoverState, Outcome, PlannedDevice,
};
use nodedev_sys::FileLock;

use crate::check::{self, Intent, Scene};
use crate::journal::{Journal, PATIENCE, PAUSE, Record};
use crate::kernel_driver::{self, Chosen};
use crate::plan::{self, Target};
use crate::transaction::Change;
use crate::{Engine, OpsError, PciFunction, Result, Survey, audit};

/// How often it is tried to begin where somebody else changes devices at the same time, or left an operation half-done.
pub(crate) const ATTEMPTS: usize = 3;

/// What is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct DetachRequest<'o> {
    /// The kernel driver that guests get it by; without one, the one that fits.
    pub kernel_driver: Option<&'o str>,
    /// Whether to pass what is refused unless it is forced.
    pub force: bool,
    /// Whether nothing is to be done but to say what would be.
    pub dry_run: bool,
    /// Whether a group that the host still uses is a reason to refuse, as for people, or only to warn, as for clients of
    /// libvirt, which detach the functions of a group one after the other.
    pub strict: bool,
    /// Address of the machine that whoever asks is connected to over a network.
    pub connected_at: Option<IpAddr>,
}

impl Engine<'_> {
    /// Detaches functions, which are sorted: all, or none.
    ///
    /// # Errors
    /// What stands in the way, or what failed; then everything is as it was, unless the error says otherwise.
    pub fn detach(&self, functions: &[PciFunction], request: &DetachRequest<'_>) -> Result<HandoverPlan> {
        let locks = if request.dry_run { Vec::new() } else { self.begin(functions)? };
        let scene = Scene::for_caller(self.host, request.connected_at);
        self.detach_seen(&scene, functions, request, &locks)
    }

    /// What detaching functions would do, on a host that was surveyed: for many plans that nothing is done of.
    ///
    /// # Errors
    /// What stands in the way.
    pub fn plan_detach(
        &self,
        survey: &Survey<'_>,
        functions: &[PciFunction],
        request: &DetachRequest<'_>,
    ) -> Result<HandoverPlan> {
        let request = DetachRequest { dry_run: true, ..*request };
        self.detach_seen(&survey.scene, functions, &request, &[])
    }

    /// As [`Engine::detach`], of a host that was looked at.
    fn detach_seen(
        &self,
        scene: &Scene<'_>,
        functions: &[PciFunction],
        request: &DetachRequest<'_>,
        locks: &[FileLock],
    ) -> Result<HandoverPlan> {
        if locks.is_empty() {
            self.refuse_waiting(functions)?;
        }
        let mut chosen = Vec::with_capacity(functions.len());
        for function in functions {
            chosen.push(scene.choose(function, request.kernel_driver)?);
        }
        let mut modules: Vec<String> = chosen.iter().filter_map(|chosen| chosen.module.clone()).collect();
        modules.sort_unstable();
        modules.dedup();
        let mut changes = self.changes(functions, &chosen)?;
        let mut plan = plan_of(&changes);
        plan.steps.splice(0..0, modules.iter().map(|module| plan::load_module(module)));
        plan.findings = findings(scene, functions, &chosen, request, plan.outcome);
        let skipped = check::refuse(&plan.findings, request.force)?;
        if request.dry_run || plan.outcome == Outcome::Unchanged {
            return Ok(plan);
        }
        audit::forced(HandoverOperation::Detach, functions, &skipped);
        if !modules.is_empty() {
            for chosen in &mut chosen {
                let driver = kernel_driver::load(self.host, chosen.clone())?;
                *chosen = Chosen { driver, module: None };
            }
            // What is called how is known only now.
            changes = self.changes(functions, &chosen)?;
            let loaded = plan.steps.drain(..modules.len());
            let now = plan_of(&changes);
            plan = HandoverPlan { steps: loaded.chain(now.steps).collect(), findings: plan.findings, ..now };
        }
        changes.retain(|change| !change.steps.is_empty());
        self.carry_out(HandoverState::Detaching, &changes, locks)?;
        audit::changed(HandoverOperation::Detach, functions);
        plan.outcome = Outcome::Changed;
        Ok(plan)
    }

    /// Locks functions, which are sorted, and makes sure that no operation on them is half-done.
    pub(crate) fn begin(&self, functions: &[PciFunction]) -> Result<Vec<FileLock>> {
        let journal = Journal::of(self.host);
        let mut interrupted = None;
        for _ in 0..ATTEMPTS {
            for issue in self.recover_these(functions.iter().map(|function| function.address)) {
                tracing::info!("{issue}");
            }
            let locks = journal.lock(functions, PATIENCE)?;
            interrupted = None;
            for function in functions {
                let device = function.address;
                let Some(record) = journal.read(device)?.filter(Record::is_in_progress) else { continue };
                interrupted = Some(match record.problem {
                    Some(problem) => OpsError::Interrupted { device, problem },
                    // Somebody else is at the other devices of that operation.
                    None => OpsError::Busy { device, pid: None },
                });
            }
            if interrupted.is_none() {
                self.forget_what_is_over(functions)?;
                return Ok(locks);
            }
            drop(locks);
            self.host.pause(PAUSE);
        }
        interrupted.map_or_else(|| Ok(Vec::new()), Err)
    }

    /// A reset that was left to itself has noted whom the kernel waits for. Who has the locks knows that it does not any more.
    fn forget_what_is_over(&self, functions: &[PciFunction]) -> Result<()> {
        let journal = Journal::of(self.host);
        for function in functions {
            if let Some(record) = journal.read(function.address)?
                && !record.is_in_progress()
                && record.problem.is_some()
            {
                journal.write(function, &Record { problem: None, ..record })?;
            }
        }
        Ok(())
    }

    fn changes(&self, functions: &[PciFunction], chosen: &[Chosen]) -> Result<Vec<Change>> {
        functions.iter().zip(chosen).map(|(function, chosen)| self.change(function, chosen)).collect()
    }

    fn change(&self, function: &PciFunction, chosen: &Chosen) -> Result<Change> {
        let gone = || OpsError::Gone { device: function.address };
        let journal = Journal::of(self.host);
        let identity = function.identity(self.host)?.ok_or_else(gone)?;
        let before = function.binding(self.host)?.ok_or_else(gone)?;
        let target = Target::only(&chosen.driver);
        // Bound already, in whichever way: that is how libvirt sees it too.
        let is_so = before.kernel_driver.as_deref() == Some(&chosen.driver);
        let steps = if is_so { Vec::new() } else { plan::steps(function, &before, &target, false) };
        let previous = journal.read(function.address)?;
        let boot_id = journal.boot_id()?;
        // What the journal knows counts as long as the device is what an operation made of it.
        let known = previous.as_ref().filter(|record| {
            record.boot_id == boot_id
                && record.identity.is_same(&identity)
                && record.target.as_ref().is_some_and(|target| shares(target, &before))
        });
        let (original, module) = match known {
            Some(record) => (record.original.clone(), record.module.clone()),
            None => {
                let module = match &before.kernel_driver {
                    Some(driver) => kernel_driver::module_of(self.host, driver)?,
                    None => None,
                };
                (Some(before.clone()), module)
            }
        };
        let function = function.clone();
        Ok(Change { function, identity, before, target, original, module, steps, previous })
    }
}

/// What speaks against detaching. Where nothing is to be done, only whether a guest has it: for libvirt's clients that is
/// an error even then.
fn findings(
    scene: &Scene<'_>,
    functions: &[PciFunction],
    chosen: &[Chosen],
    request: &DetachRequest<'_>,
    outcome: Outcome,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (function, chosen) in functions.iter().zip(chosen) {
        let intent = Intent { function, chosen: Some(chosen), together: functions, strict: request.strict };
        findings.extend(match outcome {
            Outcome::Unchanged => check::in_use(scene, &intent),
            _ => check::detach(scene, &intent),
        });
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.effect));
    findings.dedup();
    findings
}

/// Whether something of what an operation made of a device is still so.
fn shares(target: &DriverBinding, now: &DriverBinding) -> bool {
    let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    same(&target.kernel_driver, &now.kernel_driver) || same(&target.driver_override, &now.driver_override)
}

/// What is told of changes that are planned.
fn plan_of(changes: &[Change]) -> HandoverPlan {
    describe(HandoverOperation::Detach, changes)
}

/// What is told of planned changes.
pub(crate) fn describe(operation: HandoverOperation, changes: &[Change]) -> HandoverPlan {
    let steps: Vec<_> = changes.iter().flat_map(|change| change.steps.clone()).collect();
    let undo = |change: &Change| {
        let after = change.target.exact().cloned().unwrap_or_default();
        let before = Target::Exact(change.before.clone());
        plan::steps(&change.function, &after, &before, false)
    };
    let changed = changes.iter().rev().filter(|change| !change.steps.is_empty());
    HandoverPlan {
        operation,
        outcome: if steps.is_empty() { Outcome::Unchanged } else { Outcome::Planned },
        undo: changed.flat_map(undo).collect(),
        steps,
        devices: changes.iter().map(planned).collect(),
        findings: Vec::new(),
    }
}

fn planned(change: &Change) -> PlannedDevice {
    let after = if change.steps.is_empty() { Some(&change.before) } else { change.target.exact() };
    PlannedDevice {
        name: change.function.name.clone(),
        address: change.function.address,
        before: change.before.clone(),
        after: after.cloned(),
    }
}
