//! Finishing or undoing what a crash left of changes of resources.

use std::time::Duration;

use nodedev_model::Issue;

use super::Resource;
use super::journal::{Entry, ResourceJournal, all};
use super::mdev::Mdev;
use super::vport::Vport;
use crate::journal::Journal;
use crate::{Engine, OpsError, Result};

/// How long a lock is waited for here: who is at work is not waited for.
const PATIENCE: Duration = Duration::from_millis(250);

const FINISHED: &str = "an interrupted change was finished";
const UNDONE: &str = "an interrupted change was undone";
const UNSEEN: &str =
    "an interrupted change of its attributes is over: which of them were written is not known";
const DROPPED: &str = "the entry was dropped: the machine was started anew since";

impl Engine<'_> {
    /// Finishes or undoes every change of a resource whose process is dead. Says what was done, and what could not be.
    pub(crate) fn recover_resources(&self) -> Result<Vec<Issue>> {
        let mut issues = Vec::new();
        for mdev in all::<Mdev>(self.host)? {
            issues.extend(self.recover_and_report(&mdev));
        }
        for vport in all::<Vport>(self.host)? {
            issues.extend(self.recover_and_report(&vport));
        }
        Ok(issues)
    }

    /// The same of one resource, which somebody wants to change now.
    pub(crate) fn recover_and_report<R: Resource>(&self, resource: &R) -> Option<Issue> {
        let journal = ResourceJournal::of(self.host, resource);
        match self.recover_resource(resource) {
            Ok(done) => done.map(|what| {
                tracing::info!(device = resource.called(), "{what}");
                journal.issue(what.to_owned())
            }),
            // Whoever it is finishes or undoes it.
            Err(OpsError::ChangeBusy { .. } | OpsError::ChangeWaiting { .. }) => None,
            Err(error) => Some(journal.issue(error.message())),
        }
    }

    /// What was done; `None` if there was nothing to do.
    fn recover_resource<R: Resource>(&self, resource: &R) -> Result<Option<&'static str>> {
        let journal = ResourceJournal::of(self.host, resource);
        // A program that was running when its caller died has the locks.
        let locks = journal.lock(PATIENCE)?;
        journal.sweep()?;
        let Some(entry) = journal.read()? else { return Ok(None) };
        if entry.boot_id != Journal::of(self.host).boot_id()? {
            journal.remove()?;
            return Ok(Some(DROPPED));
        }
        let now = resource.state(self.host)?;
        let done = if now == entry.after && entry.is_seen {
            FINISHED
        } else if now == entry.before {
            if entry.after == entry.before { UNSEEN } else { UNDONE }
        } else {
            if let Err(error) = self.restore(resource, &entry.before, &locks) {
                let problem = Some(error.message());
                if entry.problem != problem {
                    journal.write(&Entry { problem, ..entry })?;
                }
                return Err(error);
            }
            UNDONE
        };
        journal.remove()?;
        Ok(Some(done))
    }
}
