//! What goes wrong with an operation, and what helps.

use std::io;

use nodedev_model::{Finding, PciAddress, PlanStep, StepAction};
use nodedev_sys::SysError;

/// An operation failed. Every variant names the device, and what to do is in [`OpsError::help`].
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// The device is no PCI function.
    #[error("device {name} is not a PCI device")]
    NotPci {
        /// Name of the device.
        name: String,
    },
    /// The device belongs to a recording.
    #[error("{name} belongs to a recording, whose devices cannot be changed")]
    Recording {
        /// Name of the device.
        name: String,
    },
    /// `kvm`, which is no driver any more.
    #[error("'legacy KVM' device assignment is no longer supported on this system")]
    LegacyKvm,
    /// The device is not there, or not any more.
    #[error(
        "Device {device} not found: could not access /{}/{device}/config",
        nodedev_sys::paths::PCI_DEVICES
    )]
    Gone {
        /// Where the function is.
        device: PciAddress,
    },
    /// Only endpoints can be reset.
    #[error("Invalid attempt to reset PCI device {device}. Only PCI endpoint devices can be reset")]
    NotEndpoint {
        /// Where the function is.
        device: PciAddress,
    },
    /// The device was reset and does not answer any more.
    #[error("PCI device {device} does not answer after its reset")]
    NoAnswer {
        /// Where the function is.
        device: PciAddress,
    },
    /// Somebody else is at it.
    #[error("another process is changing PCI device {device}")]
    Busy {
        /// Where the function is.
        device: PciAddress,
        /// The process, if it is known.
        pid: Option<u32>,
    },
    /// The kernel does not come back from a change of the device.
    #[error("the change of PCI device {device} is not done: {problem}")]
    Waiting {
        /// Where the function is.
        device: PciAddress,
        /// Why.
        problem: String,
    },
    /// Something stands in the way.
    #[error("{}", finding.problem)]
    Refused {
        /// What it is.
        finding: Box<Finding>,
    },
    /// The kernel refused a step.
    #[error("{}", step_failed(step))]
    Step {
        /// The step.
        step: Box<PlanStep>,
        /// What the system said.
        source: SysError,
    },
    /// The kernel took a step, but it did not lead to what it should have.
    #[error("{}", not_reached(*action, *device, expected.as_deref(), found.as_deref()))]
    NotReached {
        /// What was done.
        action: StepAction,
        /// Where the function is.
        device: PciAddress,
        /// What should be there: a driver, or the override.
        expected: Option<String>,
        /// What is there.
        found: Option<String>,
    },
    /// There is no such driver, or its module cannot be loaded.
    #[error("Failed to load PCI driver module {module}: {problem}")]
    UnknownDriver {
        /// Name of the module.
        module: String,
        /// Why.
        problem: String,
    },
    /// The driver that a device is given back to is not there any more.
    #[error("the original driver {driver} is not there, and cannot be loaded: {problem}")]
    OriginalDriver {
        /// Name of the driver.
        driver: String,
        /// Why.
        problem: String,
    },
    /// A module is no driver of PCI devices.
    #[error("module '{module}' does not implement any pci driver")]
    NoPciDriver {
        /// Name of the module.
        module: String,
    },
    /// A module was loaded but is not there.
    #[error(
        "modprobe reported success loading module '{module}', but module is missing from /{}",
        nodedev_sys::paths::MODULE
    )]
    NotInSysfs {
        /// Name of the module.
        module: String,
    },
    /// The journal cannot be written, so nothing was changed.
    #[error("cannot write the journal of detached devices for PCI device {device}")]
    Journal {
        /// Where the function is.
        device: PciAddress,
        /// What the system said.
        source: SysError,
    },
    /// The journal's entry makes no sense.
    #[error("the journal's entry of PCI device {address} is damaged: {problem}")]
    DamagedEntry {
        /// Where the function is.
        address: PciAddress,
        /// Why.
        problem: String,
    },
    /// An earlier operation was interrupted, and could be neither finished nor undone.
    #[error("an earlier operation on PCI device {device} was interrupted and could not be undone: {problem}")]
    Interrupted {
        /// Where the function is.
        device: PciAddress,
        /// Why.
        problem: String,
    },
    /// The operation failed and so did putting things back: the device needs an operator.
    #[error("{}; and PCI device {device} could not be given back to {original}: {}", cause.message(), rollback.message())]
    RollbackFailed {
        /// Where the function is.
        device: PciAddress,
        /// What it could not be given back to.
        original: String,
        /// What failed first.
        cause: Box<OpsError>,
        /// What failed when that was undone.
        rollback: Box<OpsError>,
    },
    /// A name of a document that would lead elsewhere in sysfs, or in mdevctl's files.
    #[error("Invalid {what} '{}' of a mediated device", text.escape_debug())]
    InvalidName {
        /// What it names.
        what: &'static str,
        /// The name.
        text: String,
        /// What it should be.
        help: &'static str,
    },
    /// mdevctl is too old to change a running device.
    #[error("Unable to modify mediated device: modify unsupported")]
    ModifyUnsupported,
    /// A program did not do what it was asked for.
    #[error("{what}: {why}")]
    Program {
        /// What it should have done.
        what: String,
        /// What it says.
        why: String,
    },
    /// A program could not be run, or did not end.
    #[error("{source}")]
    ProgramNotRun {
        /// What the system said.
        source: SysError,
    },
    /// Somebody has the device open.
    #[error("Unable to destroy '{name}': device in use")]
    Held {
        /// Name of the device.
        name: String,
        /// Their process.
        pid: u32,
        /// Their program.
        command: String,
    },
    /// The kernel refused to make or delete a virtual port.
    #[error("Write of '{value}' to '{path}' during vport create/delete failed")]
    VportWrite {
        /// What was written.
        value: String,
        /// The attribute.
        path: String,
        /// What the system said.
        source: SysError,
    },
    /// What is given for World Wide Names are none.
    #[error("Write of '{value}' to '{path}' during vport create/delete failed")]
    InvalidWwn {
        /// What is given.
        value: String,
        /// The attribute that it would have been written to.
        path: String,
    },
    /// What is to be done to a SCSI host cannot be done to it.
    #[error("vport operation '{attribute}' is not supported for {host}")]
    NoVports {
        /// Name of the attribute that it lacks.
        attribute: &'static str,
        /// The SCSI host.
        host: String,
    },
    /// Somebody else changes the device.
    #[error("another process is changing {name}")]
    ChangeBusy {
        /// Name of the device.
        name: String,
        /// The process, if it is known.
        pid: Option<u32>,
    },
    /// The kernel does not come back from a change of the device.
    #[error("the change of {name} is not done: {problem}")]
    ChangeWaiting {
        /// Name of the device.
        name: String,
        /// Why.
        problem: String,
    },
    /// A step was done, but did not lead to what it should have.
    #[error("{name} is not as it should be after its change")]
    ChangeNotReached {
        /// Name of the device.
        name: String,
    },
    /// The journal cannot be written, so nothing was changed.
    #[error("cannot write the journal of changes for {name}")]
    ChangeJournal {
        /// Name of the device.
        name: String,
        /// What the system said.
        source: SysError,
    },
    /// The journal's entry makes no sense.
    #[error("the journal's entry {path} is damaged: {problem}")]
    DamagedChange {
        /// The entry.
        path: String,
        /// Why.
        problem: String,
    },
    /// An earlier change was interrupted, and could be neither finished nor undone.
    #[error("an earlier change of {name} was interrupted and could not be undone: {problem}")]
    ChangeInterrupted {
        /// Name of the device.
        name: String,
        /// Why.
        problem: String,
    },
    /// The change failed and so did undoing it.
    #[error("{}; and {name} could not be brought back to what it was: {}", cause.message(), rollback.message())]
    ChangeRollbackFailed {
        /// Name of the device.
        name: String,
        /// What failed first.
        cause: Box<OpsError>,
        /// What failed when that was undone.
        rollback: Box<OpsError>,
    },
    /// A file of the host makes no sense.
    #[error("{path} makes no sense: {problem}")]
    Malformed {
        /// The file.
        path: String,
        /// Why.
        problem: &'static str,
    },
    /// The host tells nowhere what has to be known.
    #[error("{path} is not there, which would tell {what}")]
    NotTold {
        /// What is not known.
        what: &'static str,
        /// The file.
        path: String,
    },
    /// Something of the host could not be read.
    #[error(transparent)]
    Sys(#[from] SysError),
}

fn step_failed(step: &PlanStep) -> String {
    let device = step.device.unwrap_or_default();
    let PlanStep { value, before, .. } = step;
    match step.action {
        StepAction::LoadModule => format!("Failed to load PCI driver module {value}"),
        StepAction::SetOverride if value.is_empty() => {
            format!("Failed to clear driver_override interface of PCI device '{device}'")
        }
        StepAction::SetOverride => {
            format!("Failed to add driver '{value}' to driver_override interface of PCI device '{device}'")
        }
        StepAction::Unbind => {
            let driver = before.as_deref().unwrap_or_default();
            format!("Failed to unbind PCI device '{device}' from {driver}")
        }
        StepAction::Probe => format!("Failed to trigger a probe for PCI device '{device}'"),
        StepAction::Reset => format!("Unable to reset PCI device {device}"),
        StepAction::RunProgram => format!("Failed to run {}", step.file),
        StepAction::RemoveFile => format!("Failed to remove {}", step.file),
        StepAction::CreateVport | StepAction::DeleteVport => format!("Failed to write {}", step.file),
    }
}

fn not_reached(
    action: StepAction,
    device: PciAddress,
    expected: Option<&str>,
    found: Option<&str>,
) -> String {
    let driver = |name: Option<&str>| name.map_or("no driver".to_owned(), |name| format!("driver {name}"));
    match action {
        StepAction::SetOverride => format!(
            "the override of PCI device {device} is {} and not {}",
            found.unwrap_or("empty"),
            expected.unwrap_or("empty")
        ),
        _ => format!("PCI device {device} is bound to {} and not to {}", driver(found), driver(expected)),
    }
}

impl OpsError {
    /// What it is with all its causes, in one line.
    pub fn message(&self) -> String {
        match self {
            Self::Step { source, .. }
            | Self::Journal { source, .. }
            | Self::ChangeJournal { source, .. }
            | Self::VportWrite { source, .. } => format!("{self}: {}", reason(source)),
            Self::Sys(source) if source.errno().is_some() => format!("{self}: {}", reason(source)),
            _ => self.to_string(),
        }
    }

    /// What a person can do.
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::NotPci { .. } => {
                "only PCI functions can be detached; `nodedev list --cap pci` shows them".into()
            }
            Self::Recording { .. } => {
                "leave out --root to change this machine; --dry-run works on a recording".into()
            }
            Self::LegacyKvm => "leave out the driver, or name vfio-pci".into(),
            Self::Gone { .. } => {
                "it was unplugged, or its slot was turned off; `nodedev list --cap pci` shows what is there"
                    .into()
            }
            Self::NotEndpoint { .. } => "reset the devices behind the bridge".into(),
            Self::NoAnswer { .. } => {
                "a cold start of the machine brings it back, or taking it out and putting it in again".into()
            }
            Self::Busy { pid: Some(pid), .. } => format!("wait for process {pid} to finish it"),
            Self::Busy { pid: None, .. } => "wait for it to finish".into(),
            Self::Waiting { device, .. } => format!(
                "end that process: the change is then done, or undone by the next operation; `nodedev handover list` and \
                 `nodedev explain {device}` say how far it is"
            ),
            Self::Refused { finding } => return finding.remedy.clone(),
            Self::Step { source, .. } | Self::Journal { source, .. } if source.is_permission() => {
                "changing who serves a device needs root".into()
            }
            Self::Step { .. } | Self::NotReached { .. } => {
                "the kernel's log (dmesg) says why; the device is served as before".into()
            }
            Self::UnknownDriver { .. } | Self::NoPciDriver { .. } | Self::NotInSysfs { .. } => {
                "vfio-pci is the driver for guests; without --driver the one that fits is taken".into()
            }
            Self::OriginalDriver { .. } => {
                "load it, and give the device back then; or `nodedev handover forget` and \
                                            `nodedev reattach` let the kernel choose a driver"
                    .into()
            }
            Self::DamagedEntry { address, .. } => {
                format!(
                    "`nodedev handover forget {address}` removes it; what was there before is then not known"
                )
            }
            Self::Interrupted { device, .. } | Self::RollbackFailed { device, .. } => format!(
                "the kernel's log (dmesg) says why; `nodedev reattach` tries it again, and `nodedev handover forget {device}` leaves the device as it is"
            ),
            Self::InvalidName { help, .. } => (*help).into(),
            Self::ModifyUnsupported => "mdevctl can do that from version 1.3.0 on".into(),
            Self::ProgramNotRun { source } => match source.errno() {
                Some(_) => "mediated devices are defined and started with the program mdevctl; install it",
                None => "leave out --root to change this machine",
            }
            .into(),
            Self::Held { pid, command, .. } => format!("process {pid} ({command}) has it"),
            Self::VportWrite { source, .. } if source.errno().is_none() => {
                "leave out --root to change this machine".into()
            }
            Self::InvalidWwn { .. } => "a World Wide Name has 16 hexadecimal digits".into(),
            Self::ChangeBusy { pid: Some(pid), .. } => format!("wait for process {pid} to finish it"),
            Self::ChangeBusy { pid: None, .. } | Self::ChangeWaiting { .. } => "wait for it to finish".into(),
            Self::ChangeNotReached { .. } => "the kernel's log (dmesg) says why; it is as before".into(),
            Self::DamagedChange { path, .. } => {
                format!("removing {path} ends that; what was there before is then not known")
            }
            Self::ChangeInterrupted { .. } | Self::ChangeRollbackFailed { .. } => {
                "the next change of it tries that again; the kernel's log (dmesg) says why it failed".into()
            }
            Self::Program { .. }
            | Self::NoVports { .. }
            | Self::VportWrite { .. }
            | Self::ChangeJournal { .. } => return None,
            Self::Journal { .. } | Self::Malformed { .. } | Self::NotTold { .. } | Self::Sys(_) => {
                return None;
            }
        })
    }
}

/// The operating system's reason alone.
fn reason(error: &SysError) -> String {
    match error.errno() {
        Some(errno) => {
            let text = io::Error::from_raw_os_error(errno).to_string();
            text.split(" (os error").next().unwrap_or_default().to_owned()
        }
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use nodedev_model::PciAddress;
    use nodedev_sys::{Operation, SysError};

    use super::OpsError;

    #[test]
    fn both_causes_of_an_undo_that_failed_are_told_with_what_the_system_said() {
        let device: PciAddress = "0000:03:00.0".parse().unwrap();
        let failed = |errno| {
            let source = io::Error::from_raw_os_error(errno);
            let source = SysError::Io { operation: Operation::Write, path: "/x".into(), source };
            Box::new(OpsError::Journal { device, source })
        };
        let original = "igb".to_owned();
        let error = OpsError::RollbackFailed { device, original, cause: failed(16), rollback: failed(28) };
        let text = error.message();
        assert!(text.contains("Device or resource busy; and PCI device"), "{text}");
        assert!(text.ends_with("No space left on device"), "{text}");
    }
}
