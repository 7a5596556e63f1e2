//! Lines of the log for whoever has to find out later who has changed a device (target `nodedev::audit`).

use nodedev_driver::Error;
use nodedev_model::DeviceName;
use nodedev_model::request::CallName;
use nodedev_rpc::{Call, Str};

use super::{Answer, Caller, text};
use crate::failure::Failure;

/// Notes a call that was to change something: who asked, and what came of it.
/// `made` is the device that was made by it.
pub(super) fn note(caller: &Caller, call: &Call<'_>, made: Option<&DeviceName>, answer: &Answer) {
    let result = match answer {
        Ok(_) => "done".to_owned(),
        Err(Failure::Fault(fault)) => format!("refused: {fault:?}"),
        Err(Failure::Error(error)) => format!("failed: {}", error.message()),
    };
    let made = made.map(|name| name.as_str().to_owned());
    let device = device(call).map(|name| text(&name).into_owned()).or(made);
    write(caller, &format!("{:?}", call.procedure()), device.as_deref(), &result);
}

/// Notes a call by name that was to change something.
pub(crate) fn note_named(caller: &Caller, call: CallName, device: &str, failed: Option<&Error>) {
    let result = failed.map_or_else(|| "done".to_owned(), |error| format!("failed: {}", error.message()));
    write(caller, call.as_str(), Some(device), &result);
}

fn write(caller: &Caller, call: &str, device: Option<&str>, result: &str) {
    let peer = &*caller.peer;
    let acts_for = (!std::ptr::eq(peer, &*caller.identity)).then_some(&*caller.identity);
    tracing::info!(
        target: "nodedev::audit",
        call = %call,
        device,
        user = peer.user_id,
        process = peer.process_id,
        program = peer.program.as_deref(),
        certificate = peer.x509_name.as_deref(),
        address = peer.connected_from.map(tracing::field::display),
        for_user = acts_for.and_then(|other| other.user_id),
        for_process = acts_for.and_then(|other| other.process_id),
        result,
        "a change was asked for"
    );
}

/// The device that a call is about, if it says so.
fn device<'a>(call: &Call<'a>) -> Option<Str<'a>> {
    match call {
        Call::NodeDeviceDettach(device)
        | Call::NodeDeviceReAttach(device)
        | Call::NodeDeviceReset(device)
        | Call::NodeDeviceDestroy(device) => Some(device.name),
        Call::NodeDeviceDetachFlags(wanted) => Some(wanted.name),
        Call::NodeDeviceUndefine(wanted) | Call::NodeDeviceCreate(wanted) => Some(wanted.name),
        Call::NodeDeviceSetAutostart(wanted) => Some(wanted.name),
        Call::NodeDeviceUpdate(wanted) => Some(wanted.name),
        _ => None,
    }
}
