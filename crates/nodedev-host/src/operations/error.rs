//! What goes wrong with an operation, and how libvirt's clients are told.

use std::io;

use nodedev_driver::{Error, ErrorCode, ErrorDomain};
use nodedev_model::{Finding, FindingKind, PciAddress, PlanStep, StepAction};
use nodedev_sys::SysError;

/// An operation failed. Every variant names the device, and what to do is in [`OpsError::help`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum OpsError {
    /// The device is no PCI function.
    #[error("device {name} is not a PCI device")]
    NotPci { name: String },
    /// The device belongs to a recording.
    #[error("{name} belongs to a recording, whose devices cannot be changed")]
    Recording { name: String },
    /// `kvm`, which is no driver any more.
    #[error("'legacy KVM' device assignment is no longer supported on this system")]
    LegacyKvm,
    /// The device is not there, or not any more.
    #[error(
        "Device {device} not found: could not access /{}/{device}/config",
        nodedev_sys::paths::PCI_DEVICES
    )]
    Gone { device: PciAddress },
    /// Only endpoints can be reset.
    #[error("Invalid attempt to reset PCI device {device}. Only PCI endpoint devices can be reset")]
    NotEndpoint { device: PciAddress },
    /// The device was reset and does not answer any more.
    #[error("PCI device {device} does not answer after its reset")]
    NoAnswer { device: PciAddress },
    /// Somebody else is at it.
    #[error("another process is changing PCI device {device}")]
    Busy { device: PciAddress, pid: Option<u32> },
    /// The kernel does not come back from a change of the device.
    #[error("the change of PCI device {device} is not done: {problem}")]
    Waiting { device: PciAddress, problem: String },
    /// Something stands in the way.
    #[error("{}", finding.problem)]
    Refused { finding: Box<Finding> },
    /// The kernel refused a step.
    #[error("{}", step_failed(step))]
    Step { step: Box<PlanStep>, source: SysError },
    /// The kernel took a step, but it did not lead to what it should have.
    #[error("{}", not_reached(*action, *device, expected.as_deref(), found.as_deref()))]
    NotReached { action: StepAction, device: PciAddress, expected: Option<String>, found: Option<String> },
    /// There is no such driver, or its module cannot be loaded.
    #[error("Failed to load PCI driver module {module}: {problem}")]
    UnknownDriver { module: String, problem: String },
    /// The driver that a device is given back to is not there any more.
    #[error("the original driver {driver} is not there, and cannot be loaded: {problem}")]
    OriginalDriver { driver: String, problem: String },
    /// A module is no driver of PCI devices.
    #[error("module '{module}' does not implement any pci driver")]
    NoPciDriver { module: String },
    /// A module was loaded but is not there.
    #[error(
        "modprobe reported success loading module '{module}', but module is missing from /{}",
        nodedev_sys::paths::MODULE
    )]
    NotInSysfs { module: String },
    /// The journal cannot be written, so nothing was changed.
    #[error("cannot write the journal of detached devices for PCI device {device}")]
    Journal { device: PciAddress, source: SysError },
    /// The journal's entry makes no sense.
    #[error("the journal's entry of PCI device {address} is damaged: {problem}")]
    DamagedEntry { address: PciAddress, problem: String },
    /// An earlier operation was interrupted, and could be neither finished nor undone.
    #[error("an earlier operation on PCI device {device} was interrupted and could not be undone: {problem}")]
    Interrupted { device: PciAddress, problem: String },
    /// The operation failed and so did putting things back: the device needs an operator.
    #[error("{}; and PCI device {device} could not be given back to {original}: {}", cause.told(), rollback.told())]
    RollbackFailed { device: PciAddress, original: String, cause: Box<OpsError>, rollback: Box<OpsError> },
    /// A file of the host makes no sense.
    #[error("{path} makes no sense: {problem}")]
    Malformed { path: String, problem: &'static str },
    /// The host tells nowhere what has to be known.
    #[error("{path} is not there, which would tell {what}")]
    NotTold { what: &'static str, path: String },
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
    pub(crate) fn told(&self) -> String {
        match self {
            Self::Step { source, .. } | Self::Journal { source, .. } => format!("{self}: {}", reason(source)),
            Self::Sys(source) if source.errno().is_some() => format!("{self}: {}", reason(source)),
            _ => self.to_string(),
        }
    }

    /// What a person can do.
    fn help(&self) -> Option<String> {
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
            Self::Journal { .. } | Self::Malformed { .. } | Self::NotTold { .. } | Self::Sys(_) => {
                return None;
            }
        })
    }

    /// Number and part of libvirt's error.
    fn code(&self) -> (ErrorDomain, ErrorCode) {
        use ErrorCode as C;
        use ErrorDomain as D;
        match self {
            Self::NotPci { .. } => (D::DOMAIN, C::INVALID_ARG),
            Self::Recording { .. } => (D::NODEDEV, C::OPERATION_UNSUPPORTED),
            Self::LegacyKvm => (D::QEMU, C::ARGUMENT_UNSUPPORTED),
            Self::Step { step, .. } if step.action == StepAction::Reset => (D::NONE, C::INTERNAL_ERROR),
            Self::Gone { .. } | Self::Step { .. } | Self::Journal { .. } | Self::Sys(_) => {
                (D::NONE, C::SYSTEM_ERROR)
            }
            Self::Busy { .. } | Self::Interrupted { .. } => (D::NODEDEV, C::OPERATION_INVALID),
            Self::Waiting { .. } => (D::NODEDEV, C::OPERATION_TIMEOUT),
            Self::Refused { finding } => of_finding(finding.kind),
            Self::RollbackFailed { .. } => (D::NODEDEV, C::OPERATION_FAILED),
            Self::UnknownDriver { .. }
            | Self::OriginalDriver { .. }
            | Self::NoPciDriver { .. }
            | Self::NotInSysfs { .. }
            | Self::NotEndpoint { .. }
            | Self::NoAnswer { .. }
            | Self::NotReached { .. }
            | Self::Malformed { .. }
            | Self::NotTold { .. }
            | Self::DamagedEntry { .. } => (D::NONE, C::INTERNAL_ERROR),
        }
    }

    fn io(&self) -> Option<io::Error> {
        match self {
            Self::Gone { .. } => Some(io::Error::from_raw_os_error(nodedev_sys::NO_ENTRY)),
            Self::Step { step, .. } if step.action == StepAction::Reset => None,
            Self::Step { source, .. } | Self::Journal { source, .. } | Self::Sys(source) => {
                source.errno().map(io::Error::from_raw_os_error)
            }
            _ => None,
        }
    }
}

/// libvirt's number for what stands in the way.
fn of_finding(kind: FindingKind) -> (ErrorDomain, ErrorCode) {
    use FindingKind as K;
    match kind {
        K::IommuOff => (ErrorDomain::QEMU, ErrorCode::ARGUMENT_UNSUPPORTED),
        K::Bridge | K::NoOverride => (ErrorDomain::NODEDEV, ErrorCode::OPERATION_UNSUPPORTED),
        K::Reset => (ErrorDomain::NONE, ErrorCode::INTERNAL_ERROR),
        _ => (ErrorDomain::NONE, ErrorCode::OPERATION_INVALID),
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

impl From<OpsError> for Error {
    fn from(error: OpsError) -> Self {
        let (domain, code) = error.code();
        let this = match error.io() {
            Some(source) => Self::system(domain, &error, &source),
            None => Self::new(domain, code, error.told()),
        };
        match error.help() {
            Some(help) => this.with_help(help),
            None => this,
        }
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
        let text = error.told();
        assert!(text.contains("Device or resource busy; and PCI device"), "{text}");
        assert!(text.ends_with("No space left on device"), "{text}");
    }
}
