//! The calls that hand devices over.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nodedev_change::{DetachRequest, Engine, MdevAct, OpsError, PciFunction, ResetRequest, Survey};
use nodedev_driver::{
    Caller, ChangeRequest, DetachOptions, Error, ErrorDomain, ExplainOptions, Operations, ReattachOptions,
    ResetOptions, Result, Rules,
};
use nodedev_model::{
    CapabilityType, ChangePlan, Effect, Explanation, HandoverPlan, Handovers, Issue, PciAddress,
};
use nodedev_sys::HostAccess;
use nodedev_sys::paths::{DEVICES, basename};
use nodedev_sys::processes::ssh_address;

use super::{HostDriver, told};
use crate::classify::Kind;
use crate::making::{mdev, vhba};
use crate::refuse::{self, Makeable};

/// Names of drivers that clients of libvirt give and that are none.
const DEFAULT_DRIVER: &str = "vfio";
const LEGACY_DRIVER: &str = "kvm";
/// How long the kernel is waited for on behalf of clients, which know of no progress.
const CLIENTS_PATIENCE: Duration = Duration::from_secs(30);
/// How long a look at all entries of the journal counts. It reads each of them, and hosts have thousands.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl HostDriver {
    fn host(&self) -> &dyn HostAccess {
        self.access.as_deref().unwrap_or_else(|| self.root())
    }

    pub(super) fn engine(&self) -> Engine<'_> {
        Engine::on(self.host())
    }

    /// The PCI function that a device is. Of one that stands on a PCI function, the error names that.
    fn pci_function(&self, name: &str) -> Result<PciFunction> {
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
    fn pci_function_below(&self, name: &str) -> Result<PciFunction> {
        let path = self.with_any(name, |index, id| index.entry(id).path.clone())?;
        match function_above(&path) {
            Some(function) => Ok(function),
            None => self.pci_function(name),
        }
    }

    /// A recording is looked at, and never changed. Before the first change of a program, and again if that was a while ago,
    /// what others left half-done is finished or undone.
    fn changeable(&self, name: &str) -> Result<()> {
        if !self.engine().is_changeable() {
            return Err(told(OpsError::Recording { name: name.to_owned() }));
        }
        let now = Instant::now();
        if is_due(*self.recovered(), now) {
            for issue in self.engine().recover().map_err(told)? {
                tracing::info!("{issue}");
            }
            *self.recovered() = Some(now);
        }
        Ok(())
    }

    fn recovered(&self) -> MutexGuard<'_, Option<Instant>> {
        self.recovered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The address of this machine that somebody is connected to over a network.
    fn connected_at(&self, caller: Caller) -> Option<IpAddr> {
        match caller {
            Caller::Unknown => None,
            Caller::ConnectedAt(address) => Some(address),
            Caller::Process(process) => ssh_address(self.host(), Some(process)),
        }
    }

    /// The engine for somebody who has these rules.
    fn engine_by(&self, rules: Rules) -> Engine<'_> {
        match rules {
            Rules::Strict => self.engine(),
            Rules::Served | Rules::Libvirt => self.engine().within(CLIENTS_PATIENCE),
        }
    }

    /// As a driver that lacks the function, libvirt's clients are refused what would change a recording.
    fn serves_by(&self, rules: Rules, function: &str) -> Result<()> {
        if rules == Rules::Libvirt { self.serves(function) } else { Ok(()) }
    }

    fn survey(&self, caller: Caller) -> Survey<'_> {
        Survey::at(self.engine(), self.connected_at(caller))
    }

    fn explain_seen(&self, survey: &Survey<'_>, name: &str, options: &ExplainOptions) -> Result<Explanation> {
        let function = self.pci_function_below(name)?;
        self.engine().explain(survey, &function, options.kernel_driver.as_deref()).map_err(told)
    }

    /// `survey` is what was seen of the host for several plans that nothing is done of.
    fn detach_device(
        &self,
        name: &str,
        options: &DetachOptions,
        survey: Option<&Survey<'_>>,
    ) -> Result<HandoverPlan> {
        let function = self.pci_function(name)?;
        let kernel_driver = match (options.rules, options.kernel_driver.as_deref()) {
            (Rules::Libvirt, Some(LEGACY_DRIVER)) => return Err(told(OpsError::LegacyKvm)),
            (Rules::Libvirt, Some(DEFAULT_DRIVER)) => None,
            (_, named) => named,
        };
        if !options.dry_run {
            self.changeable(name)?;
        }
        let engine = self.engine_by(options.rules);
        let functions =
            if options.group { engine.detachable_in_group(&function).map_err(told)? } else { vec![function] };
        let mut request = DetachRequest {
            kernel_driver,
            force: options.force,
            dry_run: options.dry_run,
            strict: options.rules != Rules::Libvirt,
            connected_at: None,
        };
        let plan = match survey {
            Some(survey) => engine.plan_detach(survey, &functions, &request),
            None => {
                request.connected_at = self.connected_at(options.caller);
                engine.detach(&functions, &request)
            }
        }
        .map_err(told)?;
        if options.rules == Rules::Libvirt {
            // libvirt's clients are told of none.
            for finding in plan.findings.iter().filter(|finding| finding.effect >= Effect::Warning) {
                tracing::warn!(device = name, "{}", finding.problem);
            }
        }
        Ok(plan)
    }

    /// By the address too: the device of an entry need not be there any more.
    fn forget(&self, name: &str) -> Result<bool> {
        self.changeable(name)?;
        let function = match name.parse() {
            Ok(address) => Some(PciFunction::new(address)),
            Err(_) => self.engine().function_of_entry(name).map_err(told)?,
        };
        match function {
            Some(function) => self.engine().forget(&function).map_err(told),
            None => self.pci_function(name).map(|_| false).map_err(|_| {
                let help = "`nodedev handover list` shows the entries; an entry has the name or the address of its device";
                Error::no_device(ErrorDomain::NODEDEV, name).with_help(help)
            }),
        }
    }
}

impl Operations for HostDriver {
    fn detach_with(&self, name: &str, options: &DetachOptions) -> Result<HandoverPlan> {
        self.serves_by(options.rules, "virNodeDeviceDettach")?;
        self.detach_device(name, options, None)
    }

    fn detach_each(
        &self,
        names: &[&str],
        options: &DetachOptions,
        tell: &mut dyn FnMut(&str, Result<HandoverPlan>) -> ControlFlow<()>,
    ) {
        // What one device is detached of is not what was seen before any more.
        let survey = options.dry_run.then(|| self.survey(options.caller));
        for name in names {
            if tell(name, self.detach_device(name, options, survey.as_ref())).is_break() {
                break;
            }
        }
    }

    fn reattach_with(&self, name: &str, options: &ReattachOptions) -> Result<HandoverPlan> {
        self.serves_by(options.rules, "virNodeDeviceReAttach")?;
        let function = self.pci_function(name)?;
        if !options.dry_run {
            self.changeable(name)?;
        }
        let engine = self.engine_by(options.rules);
        let functions =
            if options.group { engine.detached_in_group(&function).map_err(told)? } else { vec![function] };
        engine.reattach(&functions, options.dry_run).map_err(told)
    }

    fn reset_with(&self, name: &str, options: &ResetOptions) -> Result<HandoverPlan> {
        self.serves_by(options.rules, "virNodeDeviceReset")?;
        let function = self.pci_function(name)?;
        if !options.dry_run {
            self.changeable(name)?;
        }
        let ResetOptions { force, dry_run, rules } = *options;
        let request = ResetRequest { force, dry_run, as_libvirt: rules == Rules::Libvirt };
        self.engine_by(rules).reset(&function, &request).map_err(told)
    }

    fn plan_change(&self, request: &ChangeRequest<'_>) -> Result<ChangePlan> {
        let maker = self.maker();
        match *request {
            ChangeRequest::Create { xml, flags } => match refuse::create_xml(self, xml, flags)? {
                (Makeable::Mdev, device) => mdev::plan_new(maker, &device),
                (Makeable::Vhba, device) => vhba::plan_new(maker, &device),
            },
            ChangeRequest::Define { xml, flags } => {
                mdev::plan_definition(maker, &refuse::define_xml(self, xml, flags)?)
            }
            ChangeRequest::Start(name) => {
                refuse::create(self, name)?;
                mdev::plan_act(maker, name, &MdevAct::Start)
            }
            ChangeRequest::Destroy(name) => match refuse::destroy(self, name)? {
                Makeable::Mdev => mdev::plan_act(maker, name, &MdevAct::Destroy),
                Makeable::Vhba => vhba::plan_delete(maker, name),
            },
            ChangeRequest::Undefine(name) => {
                refuse::undefine(self, name)?;
                mdev::plan_act(maker, name, &MdevAct::Undefine)
            }
            ChangeRequest::Update { name, xml, flags } => {
                mdev::plan_update(maker, name, &refuse::update(self, name, xml, flags)?, flags)
            }
            ChangeRequest::SetAutostart { name, autostart } => {
                let is_change = refuse::set_autostart(self, name, autostart)?;
                let plan = mdev::plan_act(maker, name, &MdevAct::SetAutostart(autostart))?;
                Ok(if is_change { plan } else { plan.unchanged() })
            }
        }
    }

    fn explain(&self, name: &str, options: &ExplainOptions) -> Result<Explanation> {
        self.explain_seen(&self.survey(options.caller), name, options)
    }

    fn explain_each(
        &self,
        names: &[&str],
        options: &ExplainOptions,
        tell: &mut dyn FnMut(&str, Result<Explanation>) -> ControlFlow<()>,
    ) {
        let survey = self.survey(options.caller);
        for name in names {
            if tell(name, self.explain_seen(&survey, name, options)).is_break() {
                break;
            }
        }
    }

    fn handovers(&self) -> Result<Handovers> {
        self.engine().handovers().map_err(told)
    }

    fn forget_handover(&self, name: &str) -> Result<bool> {
        self.forget(name)
    }

    fn recover_handovers(&self) -> Result<Vec<Issue>> {
        self.engine().recover().map_err(told)
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
