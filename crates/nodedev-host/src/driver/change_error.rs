//! How clients are told what goes wrong with a change: in libvirt's numbers.

use std::io;

use nodedev_change::OpsError;
use nodedev_driver::{Error, ErrorCode, ErrorDomain};
use nodedev_model::{FindingKind, StepAction};

/// `EINVAL`, the same on all of Linux's architectures.
const INVALID: i32 = 22;

/// The error of a change, as drivers have errors.
pub(crate) fn told(error: OpsError) -> Error {
    let (domain, code) = number(&error);
    let this = match system_error(&error) {
        Some(source) => Error::system(domain, &error, &source),
        None => Error::new(domain, code, error.message()),
    };
    match error.help() {
        Some(help) => this.with_help(help),
        None => this,
    }
}

/// Number and part of libvirt's error.
fn number(error: &OpsError) -> (ErrorDomain, ErrorCode) {
    use ErrorCode as C;
    use ErrorDomain as D;
    use OpsError as E;
    match error {
        E::NotPci { .. } => (D::DOMAIN, C::INVALID_ARG),
        E::Recording { .. } => (D::NODEDEV, C::OPERATION_UNSUPPORTED),
        E::LegacyKvm => (D::QEMU, C::ARGUMENT_UNSUPPORTED),
        E::Step { step, .. } if step.action == StepAction::Reset => (D::NONE, C::INTERNAL_ERROR),
        E::Gone { .. } | E::Step { .. } | E::Journal { .. } | E::Sys(_) => (D::NONE, C::SYSTEM_ERROR),
        E::Busy { .. } | E::Interrupted { .. } => (D::NODEDEV, C::OPERATION_INVALID),
        E::Waiting { .. } => (D::NODEDEV, C::OPERATION_TIMEOUT),
        E::Refused { finding } => of_finding(finding.kind),
        E::RollbackFailed { .. } => (D::NODEDEV, C::OPERATION_FAILED),
        E::InvalidName { .. } => (D::NODEDEV, C::XML_ERROR),
        E::ModifyUnsupported => (D::NODEDEV, C::OPERATION_UNSUPPORTED),
        E::NoVports { .. } | E::ChangeBusy { .. } | E::ChangeInterrupted { .. } => {
            (D::NODEDEV, C::OPERATION_INVALID)
        }
        E::InvalidWwn { .. } => (D::NODEDEV, C::SYSTEM_ERROR),
        E::VportWrite { source, .. } | E::ChangeJournal { source, .. } if source.errno().is_some() => {
            (D::NODEDEV, C::SYSTEM_ERROR)
        }
        E::ChangeWaiting { .. } => (D::NODEDEV, C::OPERATION_TIMEOUT),
        E::ChangeRollbackFailed { .. } => (D::NODEDEV, C::OPERATION_FAILED),
        E::Program { .. }
        | E::ProgramNotRun { .. }
        | E::Held { .. }
        | E::VportWrite { .. }
        | E::ChangeJournal { .. }
        | E::ChangeNotReached { .. }
        | E::DamagedChange { .. } => (D::NODEDEV, C::INTERNAL_ERROR),
        E::UnknownDriver { .. }
        | E::OriginalDriver { .. }
        | E::NoPciDriver { .. }
        | E::NotInSysfs { .. }
        | E::NotEndpoint { .. }
        | E::NoAnswer { .. }
        | E::NotReached { .. }
        | E::Malformed { .. }
        | E::NotTold { .. }
        | E::DamagedEntry { .. } => (D::NONE, C::INTERNAL_ERROR),
    }
}

/// The system's error that one comes from, of which clients get the number.
fn system_error(error: &OpsError) -> Option<io::Error> {
    use OpsError as E;
    match error {
        E::Gone { .. } => Some(io::Error::from_raw_os_error(nodedev_sys::NO_ENTRY)),
        // As the kernel refuses others.
        E::InvalidWwn { .. } => Some(io::Error::from_raw_os_error(INVALID)),
        E::Step { step, .. } if step.action == StepAction::Reset => None,
        E::Step { source, .. }
        | E::Journal { source, .. }
        | E::VportWrite { source, .. }
        | E::ChangeJournal { source, .. }
        | E::Sys(source) => source.errno().map(io::Error::from_raw_os_error),
        _ => None,
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
