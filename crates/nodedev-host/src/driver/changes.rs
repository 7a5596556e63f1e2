//! The calls that hand devices over.

use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nodedev_change::{DetachRequest, Engine, OpsError, PciFunction, ResetRequest, Survey};
use nodedev_driver::{Caller, DetachOptions, Error, ErrorDomain, ExplainOptions, ReattachOptions, Result};
use nodedev_model::{CapabilityType, Effect, Explanation, HandoverPlan, PciAddress};
use nodedev_sys::HostAccess;
use nodedev_sys::paths::{DEVICES, basename};
use nodedev_sys::processes::ssh_address;

use super::HostDriver;
use super::change_error::told;
use crate::classify::Kind;

/// Names of drivers that clients of libvirt give and that are none.
const DEFAULT_DRIVER: &str = "vfio";
const LEGACY_DRIVER: &str = "kvm";
/// How long the kernel is waited for on behalf of libvirt's clients, which know of no progress.
const CLIENTS_PATIENCE: Duration = Duration::from_secs(30);
/// How long a look at all entries of the journal counts. It reads each of them, and hosts have thousands.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl HostDriver {
    fn host(&self) -> &dyn HostAccess {
        self.access.as_deref().unwrap_or_else(|| self.root())
    }

    pub(super) fn operations(&self) -> Engine<'_> {
        Engine::on(self.host())
    }

    /// The PCI function that a device is. Of one that stands on a PCI function, the error names that.
    pub(super) fn pci_function(&self, name: &str) -> Result<PciFunction> {
        let found = self.with(name, |index, id| {
            let entry = index.entry(id);
            (entry.kind, PciAddress::from_bytes(basename(&entry.path)))
        });
        let error: Error = match found {
            Ok((Kind::Libvirt(CapabilityType::Pci), Ok(address))) => return Ok(PciFunction::new(address)),
            Ok(_) => told(OpsError::NotPci { name: name.to_owned() }),
            Err(error) => error,
        };
        let path = self.with_any(name, |index, id| index.entry(id).path.clone());
        Err(match path.ok().and_then(|path| function_above(&path)) {
            Some(PciFunction { name, .. }) => error.with_help(format!(
                "it stands on the PCI function {name}, with all else that this has: `nodedev explain {name}`"
            )),
            None => error,
        })
    }

    /// The PCI function that a device is or stands on.
    pub(super) fn pci_function_below(&self, name: &str) -> Result<PciFunction> {
        let path = self.with_any(name, |index, id| index.entry(id).path.clone())?;
        match function_above(&path) {
            Some(function) => Ok(function),
            None => self.pci_function(name),
        }
    }

    /// A recording is looked at, and never changed. Before the first change of a program, and again if that was a while ago,
    /// what others left half-done is finished or undone.
    pub(super) fn changeable(&self, name: &str) -> Result<()> {
        if !self.operations().is_changeable() {
            return Err(told(OpsError::Recording { name: name.to_owned() }));
        }
        let now = Instant::now();
        if is_due(*self.recovered(), now) {
            for issue in self.operations().recover().map_err(told)? {
                tracing::info!("{issue}");
            }
            *self.recovered() = Some(now);
        }
        Ok(())
    }

    fn recovered(&self) -> MutexGuard<'_, Option<Instant>> {
        self.recovered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn detach_for_libvirt(
        &self,
        name: &str,
        kernel_driver: Option<&str>,
        caller: Caller,
    ) -> Result<()> {
        let function = self.pci_function(name)?;
        let kernel_driver = match kernel_driver {
            Some(LEGACY_DRIVER) => return Err(told(OpsError::LegacyKvm)),
            named => named.filter(|name| *name != DEFAULT_DRIVER),
        };
        self.changeable(name)?;
        let connected_at = match caller {
            Caller::Unknown => None,
            Caller::ConnectedAt(address) => Some(address),
            Caller::Process(process) => ssh_address(self.host(), Some(process)),
        };
        let request = DetachRequest { kernel_driver, connected_at, ..DetachRequest::default() };
        let plan = self.operations().within(CLIENTS_PATIENCE).detach(&[function], &request).map_err(told)?;
        for finding in plan.findings.iter().filter(|finding| finding.effect >= Effect::Warning) {
            tracing::warn!(device = name, "{}", finding.problem);
        }
        Ok(())
    }

    pub(super) fn explain_seen(
        &self,
        survey: &Survey<'_>,
        name: &str,
        options: &ExplainOptions,
    ) -> Result<Explanation> {
        let function = self.pci_function_below(name)?;
        self.operations().explain(survey, &function, options.kernel_driver.as_deref()).map_err(told)
    }

    /// `survey` is what was seen of the host for several plans that nothing is done of.
    pub(super) fn detach_device(
        &self,
        name: &str,
        options: &DetachOptions,
        survey: Option<&Survey<'_>>,
    ) -> Result<HandoverPlan> {
        let function = self.pci_function(name)?;
        if !options.dry_run {
            self.changeable(name)?;
        }
        let operations = self.operations();
        let functions = if options.group {
            operations.detachable_in_group(&function).map_err(told)?
        } else {
            vec![function]
        };
        let request = DetachRequest {
            kernel_driver: options.kernel_driver.as_deref(),
            force: options.force,
            dry_run: options.dry_run,
            strict: true,
            connected_at: options.connected_at,
        };
        match survey {
            Some(survey) => operations.plan_detach(survey, &functions, &request),
            None => operations.detach(&functions, &request),
        }
        .map_err(told)
    }

    pub(super) fn reattach_for_libvirt(&self, name: &str) -> Result<()> {
        let function = self.pci_function(name)?;
        self.changeable(name)?;
        self.operations().within(CLIENTS_PATIENCE).reattach(&[function], false).map_err(told)?;
        Ok(())
    }

    pub(super) fn reattach_device(&self, name: &str, options: &ReattachOptions) -> Result<HandoverPlan> {
        let function = self.pci_function(name)?;
        if !options.dry_run {
            self.changeable(name)?;
        }
        let operations = self.operations();
        let functions = if options.group {
            operations.detached_in_group(&function).map_err(told)?
        } else {
            vec![function]
        };
        operations.reattach(&functions, options.dry_run).map_err(told)
    }

    pub(super) fn reset_device(&self, name: &str, request: &ResetRequest) -> Result<HandoverPlan> {
        let function = self.pci_function(name)?;
        if !request.dry_run {
            self.changeable(name)?;
        }
        let operations = self.operations();
        let operations = if request.as_libvirt { operations.within(CLIENTS_PATIENCE) } else { operations };
        operations.reset(&function, request).map_err(told)
    }

    /// By the address too: the device of an entry need not be there any more.
    pub(super) fn forget(&self, name: &str) -> Result<bool> {
        self.changeable(name)?;
        let function = match name.parse() {
            Ok(address) => Some(PciFunction::new(address)),
            Err(_) => self.operations().function_of_entry(name).map_err(told)?,
        };
        match function {
            Some(function) => self.operations().forget(&function).map_err(told),
            None => self.pci_function(name).map(|_| false).map_err(|_| {
                let help = "`nodedev handover list` shows the entries; an entry has the name or the address of its device";
                Error::no_device(ErrorDomain::NODEDEV, name).with_help(help)
            }),
        }
    }
}

/// The nearest PCI function in a path: the device itself, or one above it.
fn function_above(path: &[u8]) -> Option<PciFunction> {
    let is_device = path.starts_with(DEVICES.as_bytes());
    PciAddress::in_path(path).next_back().filter(|_| is_device).map(PciFunction::new)
}

/// Whether it is time to look for interrupted operations.
fn is_due(last: Option<Instant>, now: Instant) -> bool {
    last.is_none_or(|last| now.saturating_duration_since(last) >= LOOK_AGAIN)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{LOOK_AGAIN, is_due};

    #[test]
    fn interrupted_operations_are_looked_for_at_first_and_now_and_then() {
        let last = Instant::now();
        assert!(is_due(None, last));
        for (passed, want) in [
            (Duration::ZERO, false),
            (LOOK_AGAIN - Duration::from_millis(1), false),
            (LOOK_AGAIN, true),
            (LOOK_AGAIN * 100, true),
        ] {
            assert_eq!(is_due(Some(last), last + passed), want, "{passed:?}");
        }
    }
}
