//! Showing the journal, and forgetting an entry.

use nodedev_model::{DriverBinding, Handover, HandoverState, Handovers};

use crate::journal::{Journal, PATIENCE, Record};
use crate::{Engine, OpsError, PciFunction, Result, act};

impl Engine<'_> {
    /// What the journal says, and how the devices are served now.
    ///
    /// # Errors
    /// The journal cannot be listed, or a device not be looked at.
    pub fn handovers(&self) -> Result<Handovers> {
        let journal = Journal::of(self.host);
        let mut shown = Handovers::default();
        for address in journal.addresses()? {
            match journal.read(address) {
                Ok(Some(record)) => shown.entries.push(self.shown(PciFunction::new(address), record)?),
                // It is being written, or that was interrupted before anything else was done.
                Ok(None) => {}
                Err(error) => shown.issues.push(journal.issue(address, &error)),
            }
        }
        Ok(shown)
    }

    fn shown(&self, function: PciFunction, record: Record) -> Result<Handover> {
        let is_same = function.identity(self.host)?.is_some_and(|now| now.is_same(&record.identity));
        let journal = Journal::of(self.host);
        let may_be_busy = record.is_in_progress() || record.problem.is_some();
        let busy = if may_be_busy { journal.is_locked(function.address) } else { Some(false) };
        let current = match (is_same, busy) {
            (false, _) => None,
            (true, Some(false)) => function.binding(self.host)?,
            // The kernel tells no override while it changes the driver: whoever asks waits with it.
            (true, _) => {
                let kernel_driver = function.driver(self.host)?;
                Some(DriverBinding { kernel_driver, driver_override: None })
            }
        };
        let is_waiting = busy == Some(true) && record.problem.is_some();
        let waits = is_waiting.then(|| act::waits_for(self.host, &function));
        // That of a reset is over with it.
        let noted = record.problem.clone().filter(|_| record.is_in_progress());
        let problem = waits.or(noted).or_else(|| {
            let text = match record.state {
                _ if busy != Some(false) => return None,
                HandoverState::Detaching | HandoverState::Reattaching => {
                    "it was interrupted; the next operation finishes or undoes it"
                }
                HandoverState::Detached if !is_same => "the device is not there, or another one is in its place",
                HandoverState::Detached if current != record.target => {
                    "somebody else changed who serves it; `nodedev reattach` gives it back, `nodedev handover forget` \
                     leaves it as it is"
                }
                HandoverState::Detached => return None,
            };
            Some(text.to_owned())
        });
        Ok(Handover {
            name: function.name,
            address: function.address,
            state: record.state,
            original: record.original,
            current,
            pid: busy.and_then(|busy| journal.owner(function.address).filter(|_| busy)).unwrap_or(record.pid),
            busy,
            since_seconds: record.since_seconds,
            problem,
        })
    }

    /// What is going on with a function, if the kernel does not come back from it.
    pub(crate) fn waiting(&self, function: &PciFunction) -> Result<Option<(HandoverState, String)>> {
        let journal = Journal::of(self.host);
        // One that is damaged is told of elsewhere.
        let Ok(Some(record)) = journal.read(function.address) else { return Ok(None) };
        let is_waiting = journal.is_waiting(&record, function.address);
        Ok(is_waiting.then(|| (record.state, act::waits_for(self.host, function))))
    }

    /// Refuses functions that the kernel does not come back from: whoever looks at them waits with it.
    pub(crate) fn refuse_waiting(&self, functions: &[PciFunction]) -> Result<()> {
        for function in functions {
            if let Some((_, problem)) = self.waiting(function)? {
                return Err(OpsError::Waiting { device: function.address, problem });
            }
        }
        Ok(())
    }

    /// The function of an entry that is about a device of this name.
    ///
    /// # Errors
    /// The journal cannot be listed.
    pub fn function_of_entry(&self, name: &str) -> Result<Option<PciFunction>> {
        let addresses = Journal::of(self.host).addresses()?;
        let mut functions = addresses.into_iter().map(PciFunction::new);
        Ok(functions.find(|function| function.name.as_str() == name))
    }

    /// Removes an entry, and leaves the device as it is. Says whether there was one.
    ///
    /// # Errors
    /// Somebody is at the device, or the entry cannot be removed.
    pub fn forget(&self, function: &PciFunction) -> Result<bool> {
        let journal = Journal::of(self.host);
        let _locks = journal.lock(std::slice::from_ref(function), PATIENCE)?;
        let was = journal.addresses()?.contains(&function.address);
        journal.sweep(function.address)?;
        journal.remove(function.address)?;
        Ok(was)
    }
}
