//! Whether a function can be handed to a guest; if not, why, and what would help.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;

use nodedev_model::{
    DriverBinding, Effect, Explanation, Finding, FindingKind, HandoverState, IommuGroup, PciAddress, Verdict,
};
use nodedev_sys::paths::LOCKDOWN;
use nodedev_sys::pci_config::{self, Isolation};

use crate::check::{self, Intent, Scene};
use crate::group::Group;
use crate::kernel_driver::{self, Chosen};
use crate::{Engine, OpsError, PciFunction, Result, once, power};

const SMALL: usize = 4096;

/// A host, looked at once for all functions that are explained.
#[derive(Debug)]
pub struct Survey<'a> {
    pub(crate) scene: Scene<'a>,
    lockdown: OnceCell<Vec<Finding>>,
    isolation: RefCell<HashMap<PciAddress, Isolation>>,
}

impl<'a> Survey<'a> {
    /// Begins to look, on behalf of somebody who is connected to this address, if over a network.
    pub fn at(operations: Engine<'a>, connected_at: Option<IpAddr>) -> Self {
        let scene = Scene::for_caller(operations.host, connected_at);
        Self { scene, lockdown: OnceCell::new(), isolation: RefCell::default() }
    }
}

impl Engine<'_> {
    /// Whether a function can be handed to a guest by a driver; without a name, by the one that fits.
    ///
    /// # Errors
    /// The function is gone or cannot be looked at.
    pub fn explain(
        &self,
        survey: &Survey<'_>,
        function: &PciFunction,
        kernel_driver: Option<&str>,
    ) -> Result<Explanation> {
        let gone = || OpsError::Gone { device: function.address };
        let scene = &survey.scene;
        if let Some((state, problem)) = self.waiting(function)? {
            return self.under_way(scene, function, state, problem);
        }
        let binding = function.binding(self.host)?.ok_or_else(gone)?;
        let mut findings = Vec::new();
        let chosen = match scene.choose(function, kernel_driver) {
            Ok(chosen) => Some(chosen),
            Err(error) => {
                findings.push(Finding {
                    kind: FindingKind::UnknownDriver,
                    effect: Effect::Refused,
                    problem: error.message(),
                    remedy: Some("leave out the name: vfio-pci fits every device".into()),
                });
                None
            }
        };
        let intent = Intent { function, chosen: chosen.as_ref(), together: &[], strict: true };
        findings.extend(check::explain(scene, &intent));
        let group = scene.functions().group(function)?;
        for found in [
            self.missing_module(scene, chosen.as_ref()),
            self.isolation(survey, function, group.as_deref()),
            once(&survey.lockdown, || self.lockdown()).cloned(),
            self.reset_findings(scene, function),
            self.detached(scene, function),
        ] {
            findings.extend(found.unwrap_or_else(|error| vec![check::unknown(function, &error)]));
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.effect));
        Ok(Explanation {
            name: function.name.clone(),
            address: function.address,
            verdict: Explanation::verdict(&findings),
            binding,
            guest_driver: chosen.map(|chosen| chosen.driver),
            iommu_group: group.map(|group| IommuGroup {
                number: group.number,
                devices: group.members.iter().map(|member| member.address).collect(),
            }),
            findings,
        })
    }

    /// What is told of a function that the kernel does not come back from a change of: all else would wait with it.
    fn under_way(
        &self,
        scene: &Scene<'_>,
        function: &PciFunction,
        state: HandoverState,
        problem: String,
    ) -> Result<Explanation> {
        let doing = match state {
            HandoverState::Detaching => "detached",
            HandoverState::Reattaching => "given back to the host",
            // What is done to it meanwhile has no entry of its own.
            HandoverState::Detached => "reset",
        };
        let finding = Finding {
            kind: FindingKind::UnderWay,
            effect: Effect::Refused,
            problem: format!("PCI device {} is being {doing}: {problem}", function.address),
            remedy: Some("end that process; the next operation finishes or undoes it then".into()),
        };
        let kernel_driver = scene.functions().driver(function)?;
        Ok(Explanation {
            name: function.name.clone(),
            address: function.address,
            verdict: Verdict::Impossible,
            binding: DriverBinding { kernel_driver, driver_override: None },
            guest_driver: None,
            iommu_group: None,
            findings: vec![finding],
        })
    }

    /// Whether the module that is to be loaded is on disk at all.
    fn missing_module(&self, scene: &Scene<'_>, chosen: Option<&Chosen>) -> Result<Vec<Finding>> {
        let Some(module) = chosen.and_then(|chosen| chosen.module.as_deref()) else { return Ok(Vec::new()) };
        if scene.drivers().is_on_disk(module)? != Some(false) {
            return Ok(Vec::new());
        }
        let release = kernel_driver::release(self.host)?.unwrap_or_default();
        Ok(vec![Finding {
            kind: FindingKind::UnknownDriver,
            effect: Effect::Refused,
            problem: format!("the kernel {release} has no module {module}"),
            remedy: Some(
                "install the package of the kernel that has all its modules, or boot another kernel".into(),
            ),
        }])
    }

    /// Bridges above that make the group larger than the device.
    fn isolation(
        &self,
        survey: &Survey<'_>,
        function: &PciFunction,
        group: Option<&Group>,
    ) -> Result<Vec<Finding>> {
        if group.is_none_or(|group| group.members.len() < 2) {
            return Ok(Vec::new());
        }
        let path = survey.scene.functions().path(function)?.unwrap_or_default();
        let above = PciAddress::in_path(path);
        let mut findings = Vec::new();
        for bridge in above.filter(|address| *address != function.address).map(PciFunction::new) {
            let why = match self.isolation_of(survey, &bridge)? {
                Isolation::On | Isolation::NotNeeded | Isolation::Unknown => continue,
                Isolation::Off => "has Access Control Services, which are off",
                Isolation::Missing => "has no Access Control Services",
                Isolation::Conventional => "is a bridge to conventional PCI",
                Isolation::Silent => {
                    findings.push(power::silent_bridge(self.host, &bridge)?);
                    continue;
                }
            };
            findings.push(Finding {
                kind: FindingKind::AcsMissing,
                effect: Effect::Note,
                problem: format!(
                    "the bridge {} {why}, so what is below it cannot be separated",
                    bridge.address
                ),
                remedy: Some(
                    "another slot may have a group of its own; firmware can have a setting for ACS".into(),
                ),
            });
        }
        Ok(findings)
    }

    fn isolation_of(&self, survey: &Survey<'_>, bridge: &PciFunction) -> Result<Isolation> {
        if let Some(known) = survey.isolation.borrow().get(&bridge.address) {
            return Ok(*known);
        }
        let space = self.host.read(&bridge.file("config"), pci_config::EXTENDED)?.unwrap_or_default();
        let isolation = pci_config::isolation(&space);
        survey.isolation.borrow_mut().insert(bridge.address, isolation);
        Ok(isolation)
    }

    fn lockdown(&self) -> Result<Vec<Finding>> {
        let found = self.host.read(LOCKDOWN.as_bytes(), SMALL)?.unwrap_or_default();
        let found = String::from_utf8_lossy(&found);
        let mode = found.split_ascii_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
        Ok(match mode {
            None | Some("none") => Vec::new(),
            Some(mode) => vec![Finding {
                kind: FindingKind::Lockdown,
                effect: Effect::Note,
                problem: format!(
                    "the kernel is locked down ({mode}), as with Secure Boot: it loads signed modules only"
                ),
                remedy: Some(
                    "vfio-pci of the distribution is signed; a driver built by hand has to be".into(),
                ),
            }],
        })
    }

    fn detached(&self, scene: &Scene<'_>, function: &PciFunction) -> Result<Vec<Finding>> {
        let Some(driver) = scene.functions().driver(function)? else { return Ok(Vec::new()) };
        if !scene.functions().is_kept(function)? || scene.host_provider(function)?.is_some() {
            return Ok(Vec::new());
        }
        Ok(vec![Finding {
            kind: FindingKind::Detached,
            effect: Effect::Note,
            problem: format!("it is detached already: {driver} has it"),
            remedy: None,
        }])
    }
}
