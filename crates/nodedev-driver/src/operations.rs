use std::ops::ControlFlow;

use nodedev_model::{ChangePlan, Explanation, HandoverPlan, Handovers, Issue};

use crate::{ChangeRequest, DetachOptions, ExplainOptions, ReattachOptions, ResetOptions, Result};

/// What is done to devices, with more to choose than libvirt's functions have, and an account of what was done.
///
/// Each act has one request, which says who asks, what is wanted, by whose rules, and whether anything is done at all. By libvirt's
/// rules ([`Rules::Libvirt`](crate::Rules)) it is what [`LibvirtCalls`](crate::LibvirtCalls) do.
pub trait Operations: Send + Sync {
    /// Takes a device from the host. [`Outcome::Unchanged`](nodedev_model::Outcome::Unchanged): the driver has it already.
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device); what stands in the way; those of the change.
    fn detach_with(&self, name: &str, options: &DetachOptions) -> Result<HandoverPlan>;

    /// Gives a device back to the host. [`Outcome::Unchanged`](nodedev_model::Outcome::Unchanged): the host has it already.
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device); what stands in the way; those of the change.
    fn reattach_with(&self, name: &str, options: &ReattachOptions) -> Result<HandoverPlan>;

    /// Resets a device, and tells how.
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device); what stands in the way; those of the reset.
    fn reset_with(&self, name: &str, options: &ResetOptions) -> Result<HandoverPlan>;

    /// What would be done to make, change or remove a mediated device or a virtual port, and how it would be undone. Nothing is
    /// changed, and what stands in the way is told as the call itself would; somebody who has the device open is a finding.
    ///
    /// # Errors
    /// Those of the call; [`Error::no_native_call`](crate::Error::no_native_call).
    fn plan_change(&self, request: &ChangeRequest<'_>) -> Result<ChangePlan>;

    /// Whether a device can be handed to a guest, with a kernel driver of a name or the one that fits it; if not, why, and
    /// what would help. Nothing is changed.
    ///
    /// # Errors
    /// [`Error::no_device`](crate::Error::no_device); those of a device that is not PCI.
    fn explain(&self, name: &str, options: &ExplainOptions) -> Result<Explanation>;

    /// [`explain`](Self::explain) of several devices, each of which is told until `tell` says stop. A source that looks at the host
    /// itself looks once for all of them.
    fn explain_each(
        &self,
        names: &[&str],
        options: &ExplainOptions,
        tell: &mut dyn FnMut(&str, Result<Explanation>) -> ControlFlow<()>,
    ) {
        for name in names {
            if tell(name, self.explain(name, options)).is_break() {
                break;
            }
        }
    }

    /// [`detach_with`](Self::detach_with) of several devices, one after the other, each of which is told until `tell` says stop. Where
    /// nothing is done (`dry_run`), a source that looks at the host itself looks once for all of them.
    fn detach_each(
        &self,
        names: &[&str],
        options: &DetachOptions,
        tell: &mut dyn FnMut(&str, Result<HandoverPlan>) -> ControlFlow<()>,
    ) {
        for name in names {
            if tell(name, self.detach_with(name, options)).is_break() {
                break;
            }
        }
    }

    /// The devices that were taken from the host, and what is to be given back.
    ///
    /// # Errors
    /// Those of reading the journal.
    fn handovers(&self) -> Result<Handovers>;

    /// Forgets what is to be given back for a device, by its name or its PCI address; the device stays as it is. For an entry
    /// that cannot be used any more. Says whether there was one.
    ///
    /// # Errors
    /// Those of the journal.
    fn forget_handover(&self, name: &str) -> Result<bool>;

    /// Finishes or undoes the operations that a crash interrupted. Says what was done, and what could not be; a program
    /// that serves others calls it when it starts.
    ///
    /// # Errors
    /// Those of the journal as a whole.
    fn recover_handovers(&self) -> Result<Vec<Issue>>;
}
