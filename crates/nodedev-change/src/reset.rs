//! Resetting a function alone, or with others that nobody uses.
//!
//! The kernel knows how (`reset_method`: a way of the device's own, FLR, power management, the bus; in that order, as
//! libvirt's), keeps the device's driver away meanwhile and puts its configuration back. Its `reset` never touches another
//! function: where only the bus is left and more is on it, there is no such file. Then the bridge above can reset all that is
//! below it (`reset_subordinate`, Linux 6.13), and it is for us to see that nobody uses any of that.

use nodedev_model::{
    Effect, Finding, FindingKind, HandoverOperation, HandoverPlan, Outcome, PciAddress, PlanStep,
    PlannedDevice, StepAction,
};
use nodedev_sys::FileLock;
use nodedev_sys::paths::{basename, parent};
use nodedev_sys::pci_config;

use crate::act::Effort;
use crate::check::{self, Intent, Scene};
use crate::detach::ATTEMPTS;
use crate::group::is_bridge;
use crate::{Engine, OpsError, PciFunction, Result, act, audit};

/// Ways to reset that libvirt leaves to whoever uses the device next, and reports as done.
const FUNCTION_LEVEL: &[&str] = &["flr", "af_flr"];

/// What is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResetRequest {
    /// Whether to pass what is refused unless it is forced.
    pub force: bool,
    /// Whether nothing is to be done but to say what would be.
    pub dry_run: bool,
    /// Success also where libvirt reports it without having done anything: for its clients only.
    pub as_libvirt: bool,
}

/// How a function can be reset.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Way {
    /// Alone, in the first of these ways that works; empty where the kernel does not tell (before Linux 5.15).
    Alone(Vec<String>),
    /// With all that is below a bridge.
    Below(PciFunction),
    /// Not at all: why, and what would help.
    None { why: String, help: String },
}

impl Engine<'_> {
    /// Resets a function, alone or with all that is below its bridge.
    ///
    /// # Errors
    /// What stands in the way, or what failed.
    pub fn reset(&self, function: &PciFunction, request: &ResetRequest) -> Result<HandoverPlan> {
        let gone = || OpsError::Gone { device: function.address };
        if is_bridge(self.host, function)? {
            return Err(OpsError::NotEndpoint { device: function.address });
        }
        let locks = if request.dry_run { Vec::new() } else { self.begin_reset(function)? };
        let before = function.binding(self.host)?.ok_or_else(gone)?;
        let scene = Scene::new(self.host);
        let way = self.way(&scene, function)?;
        let findings = self.against(&scene, function, &way)?;
        let planned = PlannedDevice {
            name: function.name.clone(),
            address: function.address,
            after: Some(before.clone()),
            before,
        };
        let mut plan = HandoverPlan {
            operation: HandoverOperation::Reset,
            outcome: Outcome::Planned,
            devices: vec![planned],
            steps: step(function, &way).into_iter().collect(),
            undo: Vec::new(),
            findings: Vec::new(),
        };
        let refusal = check::refuse(&findings, request.force).map(|skipped| {
            audit_if_done(request, function, &skipped);
        });
        if let Err(error) = refusal {
            return match (request.as_libvirt, &error) {
                (true, OpsError::Refused { finding }) if self.is_left_alone(function, &way, finding)? => {
                    Ok(HandoverPlan { outcome: Outcome::Unchanged, steps: Vec::new(), ..plan })
                }
                _ => Err(error),
            };
        }
        plan.findings = findings;
        if request.dry_run {
            return Ok(plan);
        }
        for step in &plan.steps {
            act::run(self.host, step, Effort::full(&locks, self.limit))?;
        }
        let answer = self.host.read_start(&function.file("config"), pci_config::HEADER)?;
        // One that fell off its bus is taken away by the kernel.
        if answer.is_none_or(|space| pci_config::is_silent(&space)) {
            return Err(OpsError::NoAnswer { device: function.address });
        }
        audit::changed(HandoverOperation::Reset, std::slice::from_ref(function));
        plan.outcome = Outcome::Changed;
        Ok(plan)
    }

    /// Locks all functions that a reset of one would reach: nobody gives one of them to a driver of the host meanwhile.
    fn begin_reset(&self, function: &PciFunction) -> Result<Vec<FileLock>> {
        let mut reached = vec![function.clone()];
        for _ in 0..ATTEMPTS {
            let locks = self.begin(&reached)?;
            // What was so before is looked at again under the locks.
            let now = self.reached(function)?;
            if now.iter().all(|function| reached.contains(function)) {
                return Ok(locks);
            }
            reached = now;
        }
        Err(OpsError::Busy { device: function.address, pid: None })
    }

    /// All functions that a reset of one reaches, sorted.
    fn reached(&self, function: &PciFunction) -> Result<Vec<PciFunction>> {
        let scene = Scene::new(self.host);
        match self.way(&scene, function)? {
            Way::Below(bridge) => Ok(scene.functions().below(&bridge)?.to_vec()),
            Way::Alone(_) | Way::None { .. } => Ok(vec![function.clone()]),
        }
    }

    /// What is known of how a function can be reset, for people who ask.
    pub(crate) fn reset_findings(&self, scene: &Scene<'_>, function: &PciFunction) -> Result<Vec<Finding>> {
        Ok(match self.way(scene, function)? {
            Way::None { why, help } => vec![Finding {
                kind: FindingKind::Reset,
                effect: Effect::Warning,
                problem: format!("PCI device {} cannot be reset between two guests: {why}", function.address),
                remedy: Some(help),
            }],
            way => described(&way).into_iter().collect(),
        })
    }

    fn way(&self, scene: &Scene<'_>, function: &PciFunction) -> Result<Way> {
        let methods = function.attribute(self.host, "reset_method")?;
        let functions = scene.functions();
        if functions.files(function)?.has_reset {
            let methods = methods.unwrap_or_default();
            return Ok(Way::Alone(methods.split_ascii_whitespace().map(str::to_owned).collect()));
        }
        let none = |why: String, help: &str| Ok(Way::None { why, help: help.to_owned() });
        let nothing = "no FLR, PM reset or bus reset available".to_owned();
        let Some(above) = bridge_above(scene, function)? else {
            return none(
                nothing,
                "a guest resets what it can itself; a cold start of the machine resets the device",
            );
        };
        for other in functions.below(&above)?.iter().filter(|other| *other != function) {
            let is_idle = functions.driver(other)?.is_none() || functions.is_kept(other)?;
            if !is_idle && !functions.is_bridge(other)? {
                return none(
                    format!(
                        "Active {} devices on bus with {}, not doing bus reset",
                        other.address, function.address
                    ),
                    if functions.is_vital(other)? {
                        "the host lives by the other device: a cold start of the machine resets both"
                    } else {
                        "detach all devices of its bus first, for instance with --group"
                    },
                );
            }
            if scene.holder(&scene.vfio_nodes(other)?)?.is_some() {
                return none(
                    format!(
                        "Active {} devices on bus with {}, not doing bus reset",
                        other.address, function.address
                    ),
                    "stop the guest that has the other device",
                );
            }
        }
        if functions.files(&above)?.has_reset_subordinate {
            return Ok(Way::Below(above));
        }
        none(
            nothing,
            "the kernel can reset a whole bus since Linux 6.13; a cold start of the machine resets the device",
        )
    }

    fn against(&self, scene: &Scene<'_>, function: &PciFunction, way: &Way) -> Result<Vec<Finding>> {
        let intent = Intent { function, chosen: None, together: &[], strict: true };
        let mut findings = check::reset(scene, &intent);
        match way {
            Way::None { why, help } => findings.push(Finding {
                kind: FindingKind::Reset,
                effect: Effect::Refused,
                problem: format!("Unable to reset PCI device {}: {why}", function.address),
                remedy: Some(help.clone()),
            }),
            way => findings.extend(described(way)),
        }
        Ok(findings)
    }

    /// Whether libvirt reports success here and does nothing: VFIO resets a device itself when a guest gets it, and function
    /// level reset is left to whoever uses the device.
    fn is_left_alone(&self, function: &PciFunction, way: &Way, finding: &Finding) -> Result<bool> {
        let function_level = match way {
            Way::Alone(methods) => methods.iter().any(|method| FUNCTION_LEVEL.contains(&method.as_str())),
            _ => false,
        };
        let Some(driver) = function.driver(self.host)? else { return Ok(false) };
        Ok(match finding.kind {
            FindingKind::HostDriver => function_level,
            FindingKind::Reset => function.is_bound_to_vfio(self.host, &driver)?,
            _ => false,
        })
    }
}

/// The bridge that a function is directly below; `None` for one on a root bus.
fn bridge_above(scene: &Scene<'_>, function: &PciFunction) -> Result<Option<PciFunction>> {
    let path = scene.functions().path(function)?.unwrap_or_default();
    Ok(PciAddress::from_bytes(basename(parent(path))).ok().map(PciFunction::new))
}

fn audit_if_done(request: &ResetRequest, function: &PciFunction, skipped: &[&Finding]) {
    if !request.dry_run {
        audit::forced(HandoverOperation::Reset, std::slice::from_ref(function), skipped);
    }
}

fn described(way: &Way) -> Option<Finding> {
    let problem = match way {
        Way::None { .. } => return None,
        Way::Alone(methods) => match methods.first() {
            Some(first) => format!("it is reset alone, by {first}"),
            None => "it is reset alone".to_owned(),
        },
        Way::Below(bridge) => format!("it is reset with all that is below the bridge {}", bridge.address),
    };
    Some(Finding { kind: FindingKind::Reset, effect: Effect::Note, problem, remedy: None })
}

fn step(function: &PciFunction, way: &Way) -> Option<PlanStep> {
    let file = match way {
        Way::None { .. } => return None,
        Way::Alone(_) => function.file("reset"),
        Way::Below(bridge) => bridge.file("reset_subordinate"),
    };
    Some(PlanStep {
        action: StepAction::Reset,
        device: Some(function.address),
        file: format!("/{}", String::from_utf8_lossy(&file)),
        value: "1".into(),
        input: None,
        before: None,
        after: None,
    })
}
