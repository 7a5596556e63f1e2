//! Finishing or undoing what a crash interrupted.
//!
//! An operation is a dead one's if its lock can be taken. What the journal says and what the kernel shows decide, not how far
//! the dead process may have come; so recovery can be interrupted itself, and begun again.

use std::time::Duration;

use nodedev_model::{HandoverState, Issue, PciAddress};

use crate::act::{self, Effort};
use crate::check::{self, Scene};
use crate::journal::{Journal, Record};
use crate::plan::Target;
use crate::transaction::module_for;
use crate::{Engine, OpsError, PciFunction, Result};

/// How long a lock is waited for here. Somebody may only look at it; who is at work is not waited for.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long the kernel is waited for at one write: whoever recovers wants to do something else.
const LIMIT: Duration = Duration::from_secs(30);

/// What became of an interrupted operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recovery {
    Finished,
    Undone,
    /// The device is gone, another one is in its place, or the machine was started anew since.
    Dropped,
}

impl Engine<'_> {
    /// Finishes or undoes every operation whose process is dead. Says what was done, and what could not be. What failed
    /// before is tried only briefly: one device that is broken should not keep others waiting.
    ///
    /// # Errors
    /// The journal cannot be listed.
    pub fn recover(&self) -> Result<Vec<Issue>> {
        let mut issues =
            self.recover_each(Journal::of(self.host).addresses()?, |record| record.problem.is_some());
        issues.extend(self.recover_resources()?);
        Ok(issues)
    }

    /// The same for some devices, which somebody wants to have now.
    pub(crate) fn recover_these(&self, addresses: impl IntoIterator<Item = PciAddress>) -> Vec<Issue> {
        self.recover_each(addresses, |_| false)
    }

    fn recover_each(
        &self,
        addresses: impl IntoIterator<Item = PciAddress>,
        is_brief: impl Fn(&Record) -> bool,
    ) -> Vec<Issue> {
        let journal = Journal::of(self.host);
        let mut issues = Vec::new();
        for address in addresses {
            match self.recover_one(address, &is_brief) {
                Ok(done) => issues.extend(done.map(|done| self.report(address, done))),
                // Whoever it is finishes or undoes it, or begins another one.
                Err(OpsError::Busy { .. } | OpsError::Waiting { .. }) => {}
                Err(error) => issues.push(journal.issue(address, &error)),
            }
        }
        issues
    }

    fn report(&self, address: PciAddress, done: Recovery) -> Issue {
        let what = match done {
            Recovery::Finished => "an interrupted operation was finished",
            Recovery::Undone => "an interrupted operation was undone",
            Recovery::Dropped => "the entry was dropped: the device it was about is not there any more",
        };
        let function = PciFunction::new(address);
        tracing::info!(device = %function.name, "{what}");
        let path = format!("/{}", String::from_utf8_lossy(&function.file("")));
        Issue { device: Some(function.name), path, problem: what.to_owned() }
    }

    /// `None` if there is nothing to be done.
    fn recover_one(
        &self,
        address: PciAddress,
        is_brief: &impl Fn(&Record) -> bool,
    ) -> Result<Option<Recovery>> {
        let journal = Journal::of(self.host);
        // Whoever is at work has the lock; what they write is complete only when they are done.
        let function = PciFunction::new(address);
        let lock = journal.lock(std::slice::from_ref(&function), PATIENCE)?;
        journal.sweep(address)?;
        let Some(record) = journal.read(address)? else { return Ok(None) };
        if record.boot_id != journal.boot_id()? {
            journal.remove(address)?;
            return Ok(Some(Recovery::Dropped));
        }
        if !record.is_in_progress() {
            return Ok(None);
        }
        match function.identity(self.host)? {
            Some(now) if now.is_same(&record.identity) => {}
            _ => {
                journal.remove(address)?;
                return Ok(Some(Recovery::Dropped));
            }
        }
        // The whole operation is one: all its functions are looked at, and nobody changes one of them meanwhile.
        drop(lock);
        let functions = record.functions();
        let locks = journal.lock(&functions, PATIENCE)?;
        // While no lock was held, somebody else may have done it.
        match journal.read(address)? {
            Some(again) if again == record => {
                let full = Effort::full(&locks, Some(self.limit.unwrap_or(LIMIT)));
                let effort = if is_brief(&record) { full.brief() } else { full };
                let done = self.resolve(&function, record, &functions, effort);
                // While the locks are held: the entry would else be another operation's by now.
                done.map(Some).inspect_err(|error| act::note(self.host, &function, error))
            }
            _ => Ok(None),
        }
    }

    /// Finishes or undoes an operation for one of its functions, all of which are locked.
    fn resolve(
        &self,
        function: &PciFunction,
        record: Record,
        members: &[PciFunction],
        effort: Effort<'_>,
    ) -> Result<Recovery> {
        let journal = Journal::of(self.host);
        let module = record.module.as_deref();
        let module_before = module_for(&record.before, record.original.as_ref(), module);
        match record.state {
            HandoverState::Reattaching if self.is_under_way_for_all(&record, members)? => {
                // Its owner wanted it back, and what is left to do is the same from wherever it is.
                let target = record.target.clone().map_or(Target::KernelsChoice, Target::Exact);
                self.refuse_if_held(function, &target, members)?;
                let error = match self.bring(function, &target, module, effort) {
                    Ok(()) => {
                        journal.remove(function.address)?;
                        return Ok(Recovery::Finished);
                    }
                    // It is the kernel's now: nothing more is written until it comes back.
                    Err(waiting @ OpsError::Waiting { .. }) => return Err(waiting),
                    Err(error) => error,
                };
                // It cannot be given back now: then it stays detached, and is not left without a driver.
                self.put_back(function, &record.before, module_before, effort)?;
                self.keep_detached(function, record)?;
                Err(error)
            }
            HandoverState::Detaching if self.is_done_for_all(&record, members)? => {
                let before = record.target.clone().unwrap_or_default();
                let settled = Record { state: HandoverState::Detached, before, problem: None, ..record };
                journal.write(function, &settled)?;
                Ok(Recovery::Finished)
            }
            _ => {
                self.refuse_if_held(function, &Target::Exact(record.before.clone()), members)?;
                self.put_back(function, &record.before, module_before, effort)?;
                if record.original.as_ref() == Some(&record.before) {
                    journal.remove(function.address)?;
                } else {
                    // It was detached already, for another driver.
                    self.keep_detached(function, record)?;
                }
                Ok(Recovery::Undone)
            }
        }
    }

    /// A guest may have got one of the devices since the crash, or the host begun to use one. Bringing a function to its
    /// target would take it away, or the kernel would wait for the guest.
    fn refuse_if_held(&self, function: &PciFunction, target: &Target, members: &[PciFunction]) -> Result<()> {
        let steps = self.steps_to(function, target)?;
        if steps.is_empty() {
            return Ok(());
        }
        let scene = Scene::new(self.host);
        for member in members {
            let steps = if member == function { &steps[..] } else { &[] };
            check::refuse(&self.against_giving_back(&scene, member, steps, members)?, false)?;
        }
        Ok(())
    }

    /// Writes into the journal that a function is detached as it was before the operation of its entry.
    fn keep_detached(&self, function: &PciFunction, record: Record) -> Result<()> {
        let journal = Journal::of(self.host);
        if record.original.is_none() {
            // There was no entry before.
            return journal.remove(function.address);
        }
        let target = Some(record.before.clone());
        let settled = Record { state: HandoverState::Detached, target, problem: None, ..record };
        journal.write(function, &settled)
    }

    /// Whether giving back had begun: the journal has all functions before the first is touched, and drops them when all are
    /// done.
    fn is_under_way_for_all(&self, operation: &Record, members: &[PciFunction]) -> Result<bool> {
        let journal = Journal::of(self.host);
        for (function, member) in members.iter().zip(&operation.members) {
            let is_of_it = match journal.read(function.address)? {
                Some(record) => record.is_in_progress() && record.is_of_the_operation_of(operation),
                // Done already; or not in the journal yet, if it was not there before either. What it is given back to can be
                // a driver that only keeps it, too.
                None => {
                    member.target.is_some() && function.binding(self.host)? == member.target
                        || !function.is_kept(self.host)?
                }
            };
            if !is_of_it {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether every function of an operation is served as the operation wants.
    fn is_done_for_all(&self, operation: &Record, members: &[PciFunction]) -> Result<bool> {
        let journal = Journal::of(self.host);
        for member in members {
            // One that has been undone has no entry, or that of an operation before.
            let Some(record) = journal.read(member.address)? else { return Ok(false) };
            let now = member.binding(self.host)?;
            if !record.is_of_the_operation_of(operation) || now.is_none() || now != record.target {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
