//! What is to be done, was done, or stands in the way when a device is handed from the host to a guest and back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DeviceName, IommuGroup, Issue, PciAddress};

/// Who serves a PCI function.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub struct DriverBinding {
    /// Name of the kernel driver that is bound (link `driver`); absent if none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_driver: Option<String>,
    /// Name of the only driver that may be bound (`driver_override`); absent (`(null)` in sysfs) if the kernel is free
    /// to choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver_override: Option<String>,
}

/// A change of who serves a device, or a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HandoverOperation {
    /// Taken from the host.
    Detach,
    /// Given back to the host.
    Reattach,
    /// Put into the state of power-on.
    Reset,
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing was to be done but to say what would be.
    Planned,
    /// The steps were done, and what they should bring about was seen to be so.
    Changed,
    /// It was so already; there was no step to do.
    Unchanged,
}

/// What an operation does, or did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HandoverPlan {
    /// Which operation.
    pub operation: HandoverOperation,
    /// Whether it was done.
    pub outcome: Outcome,
    /// The devices it is about, sorted by address.
    pub devices: Vec<PlannedDevice>,
    /// What is written, in this order. Empty if everything is so already.
    pub steps: Vec<PlanStep>,
    /// What is written if the last step fails; earlier failures need the end of it. Empty for a reset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<PlanStep>,
    /// What speaks against it, or should be known, even if it does not stand in the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
}

/// A device that an operation is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedDevice {
    /// Name.
    pub name: DeviceName,
    /// Where it is.
    pub address: PciAddress,
    /// Who served it at the beginning.
    pub before: DriverBinding,
    /// Who serves it at the end; absent if the kernel chooses, as nothing is known of what was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<DriverBinding>,
}

/// Kind of a [`PlanStep`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepAction {
    /// A kernel module is loaded: no file is written.
    LoadModule,
    /// `driver_override` is set, or cleared by an empty line.
    SetOverride,
    /// The driver lets go of the device.
    Unbind,
    /// The kernel looks for a driver of the device.
    Probe,
    /// The device is reset.
    Reset,
    /// A program is run: no file is written.
    RunProgram,
    /// A file that makes no sense is removed, so that a right one can take its place.
    RemoveFile,
    /// A virtual port of a SCSI host is made.
    CreateVport,
    /// A virtual port of a SCSI host is deleted.
    DeleteVport,
}

/// One step of a plan: a single write, and what is looked at after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanStep {
    /// What is done.
    pub action: StepAction,
    /// The PCI function that it is done to; absent for a module, and for what is no PCI function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<PciAddress>,
    /// The file that is written, as an absolute path of the host; for a module, its folder in sysfs; for a program, its name.
    pub file: String,
    /// What is written to it, without the line break; empty where `driver_override` is cleared. For a module, its name;
    /// for a program, its arguments, which hold no blanks.
    pub value: String,
    /// What a program reads; absent if it reads nothing, or no program is run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// What was there before the step: the override, or the driver. Absent if there was nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What is expected after the step, and waited for: the override, or the driver. Absent if nothing is to be there, or
    /// the kernel chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What a [`Finding`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// The device is a bridge, which no guest can be given.
    Bridge,
    /// The kernel has no `driver_override` for the device (before Linux 3.16).
    NoOverride,
    /// A process has the device open through VFIO, or another machine has what is below it over the network.
    InUse,
    /// A process uses a node of the device itself, such as its disk.
    NodeOpen,
    /// Some processes could not be looked at: they may have the device open.
    ProcessesUnseen,
    /// There is no IOMMU, or it is off.
    IommuOff,
    /// Other devices of the IOMMU group are served by the host.
    GroupShared,
    /// A process has another device of the IOMMU group open, so that the kernel lets no driver of the host bind.
    GroupHeld,
    /// A bridge above does not separate what is below it (Access Control Services), which makes the group larger.
    AcsMissing,
    /// The host has a file system or swap space on it.
    HostStorage,
    /// The host reaches its network through it, or a guest does by a bridge.
    HostNetwork,
    /// The console is on it.
    HostConsole,
    /// Its memory is a part of the host's, or other devices use it.
    HostMemory,
    /// The host lives by it: a part of the chipset, a watchdog that runs, the only keyboard.
    VitalPart,
    /// VFIO's mode without an IOMMU is on for it, or could be.
    NoIommuMode,
    /// The host runs on a hypervisor that hands devices over in another way.
    OtherHypervisor,
    /// It has virtual functions, which go with its driver.
    VirtualFunctions,
    /// There is no such kernel driver.
    UnknownDriver,
    /// The driver's module will be loaded.
    ModuleNotLoaded,
    /// The kernel is locked down (Secure Boot).
    Lockdown,
    /// It is being detached or given back, and the kernel waits for somebody who has it open.
    UnderWay,
    /// It is detached already.
    Detached,
    /// A driver of the host serves it for VFIO itself, so that guests get it without it being detached.
    ProvidesVfioItself,
    /// How it is reset, or that it cannot be.
    Reset,
    /// The host serves it, and would not notice that it was reset.
    HostDriver,
    /// It does not answer: it sleeps, is dead or was unplugged.
    NoAnswer,
    /// What could not be read, and so is not known; of a newer program's document, also what this version has no word for.
    #[serde(other)]
    Unknown,
}

/// What a [`Finding`] means for an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Worth knowing.
    Note,
    /// The operation goes on, but may not lead to what is wanted.
    Warning,
    /// The operation is refused, unless it is forced.
    RefusedUnlessForced,
    /// The operation is refused, also if it is forced.
    Refused,
}

/// Something that was found when a device was looked at before an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What it is about.
    pub kind: FindingKind,
    /// What it means for the operation.
    pub effect: Effect,
    /// What is so, as one sentence without a full stop.
    pub problem: String,
    /// What would help. Absent if nothing does, or nothing need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Whether a device can be handed to a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It can.
    Possible,
    /// It can if somebody takes the responsibility (`--force`).
    Forced,
    /// It cannot, as things are.
    Impossible,
}

/// Whether a device can be handed to a guest, why not, and what would help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// Name.
    pub name: DeviceName,
    /// Where it is.
    pub address: PciAddress,
    /// The answer.
    pub verdict: Verdict,
    /// Who serves it now.
    pub binding: DriverBinding,
    /// The kernel driver that would be bound for the guest; absent if there is none of the name that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_driver: Option<String>,
    /// The devices that can only be handed over together; absent without an IOMMU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iommu_group: Option<IommuGroup>,
    /// The reasons, the weightiest first.
    pub findings: Vec<Finding>,
}

impl Explanation {
    /// The answer that findings make.
    pub fn verdict(findings: &[Finding]) -> Verdict {
        match findings.iter().map(|finding| finding.effect).max() {
            Some(Effect::Refused) => Verdict::Impossible,
            Some(Effect::RefusedUnlessForced) => Verdict::Forced,
            _ => Verdict::Possible,
        }
    }
}

/// How far a hand-over is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HandoverState {
    /// It is being taken from the host, or that was interrupted.
    Detaching,
    /// It is taken from the host.
    Detached,
    /// It is being given back, or that was interrupted.
    Reattaching,
}

/// An entry of the host's journal of devices that were taken from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Handover {
    /// Name.
    pub name: DeviceName,
    /// Where it is.
    pub address: PciAddress,
    /// How far it is.
    pub state: HandoverState,
    /// Who served it before, and is given it back; absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<DriverBinding>,
    /// Who serves it now; absent if it is not there, or another device is in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<DriverBinding>,
    /// The process that is at it now, or was last.
    pub pid: u32,
    /// Whether a process is at it now. Absent where nobody knows: only root can look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy: Option<bool>,
    /// When it began, in seconds since 1970 (UTC).
    pub since_seconds: u64,
    /// What went wrong, and what an operator can do. Absent if all is as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The host's journal of devices that were taken from it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Handovers {
    /// The entries, sorted by address.
    pub entries: Vec<Handover>,
    /// Entries that cannot be read.
    pub issues: Vec<Issue>,
}

#[cfg(test)]
mod tests {
    use super::{Effect, Explanation, Finding, FindingKind, Verdict};

    #[test]
    fn the_weightiest_finding_decides() {
        let finding =
            |effect| Finding { kind: FindingKind::InUse, effect, problem: String::new(), remedy: None };
        for (effects, want) in [
            (&[][..], Verdict::Possible),
            (&[Effect::Note, Effect::Warning], Verdict::Possible),
            (&[Effect::RefusedUnlessForced, Effect::Note], Verdict::Forced),
            (&[Effect::Refused, Effect::RefusedUnlessForced], Verdict::Impossible),
        ] {
            let findings: Vec<Finding> = effects.iter().copied().map(finding).collect();
            assert_eq!(Explanation::verdict(&findings), want, "{effects:?}");
        }
    }
}
