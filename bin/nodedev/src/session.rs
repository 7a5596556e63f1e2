//! The connection that the global options ask for, and names that are looked up on it.

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Instant;

use nodedev::{
    ConnectUri, Connection, DeviceName, Error, ErrorCode, HostDriver, ListFlags, Options, View, near_matches,
};

use crate::args::Global;
use crate::progress::Progress;
use crate::report::Advice;

/// Opens what `--root` or `--connect` names; this machine without either. For looking: a daemon is asked on the socket that
/// everybody may use.
pub(crate) fn open(global: &Global) -> anyhow::Result<Connection> {
    open_for(global, true)
}

/// The same for commands that change something, or tell what others do with devices.
pub(crate) fn open_to_change(global: &Global) -> anyhow::Result<Connection> {
    open_for(global, false)
}

fn open_for(global: &Global, read_only: bool) -> anyhow::Result<Connection> {
    let start = Instant::now();
    let progress = Progress::start_quiet_phase("reading the host");
    let connection = match (&global.root, &global.connect) {
        (Some(root), _) => host(Some(root), global.jobs)?,
        (None, Some(uri)) => connect(uri, read_only, global.jobs)?,
        (None, None) => host(None, global.jobs)?,
    };
    drop(progress);
    log::info!("opened {} in {:.1?}", describe(global), start.elapsed());
    Ok(connection)
}

/// This machine, or a recording.
fn host(root: Option<&Path>, jobs: Option<NonZeroUsize>) -> nodedev::Result<Connection> {
    let root = Connection::root(root)?;
    Ok(Connection::from_driver(match jobs {
        Some(jobs) => HostDriver::with_jobs(root, jobs),
        None => HostDriver::new(root),
    }))
}

/// Opens what a URI names.
fn connect(uri: &str, read_only: bool, jobs: Option<NonZeroUsize>) -> nodedev::Result<Connection> {
    let uri: ConnectUri = uri.parse()?;
    if let ConnectUri::Host { root, .. } = &uri {
        return host(root.as_deref(), jobs);
    }
    if jobs.is_some() {
        log::warn!("--jobs has no effect here: it is for this machine and for recordings");
    }
    if let ConnectUri::Remote(remote) = &uri {
        for parameter in &remote.ignored {
            log::warn!("the parameter {parameter} of the URI has no effect here");
        }
    }
    Connection::open_uri(&uri, &Options { read_only, ..Options::default() })
}

fn describe(global: &Global) -> String {
    match (&global.root, &global.connect) {
        (Some(root), _) => root.display().to_string(),
        (None, Some(uri)) => uri.clone(),
        (None, None) => "this machine".to_owned(),
    }
}

/// The name of the device that an argument means: a name, or as for virsh the World Wide Names of a SCSI host, separated
/// by a comma (`WWNN,WWPN`).
pub(crate) fn resolve<'a>(connection: &Connection, argument: &'a str) -> anyhow::Result<Cow<'a, str>> {
    let is_wwn = |text: &str| {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    };
    match argument.split_once(',') {
        Some((wwnn, wwpn)) if is_wwn(wwnn) && is_wwn(wwpn) => {
            match connection.lookup_scsi_host_by_wwn(wwnn, wwpn, 0) {
                Ok(name) => Ok(name.as_str().to_owned().into()),
                // The answer that libvirt has for a pair that no host has.
                Err(error) if error == Error::unknown_cause() => {
                    let what = format!("no SCSI host has the World Wide Names {wwnn} and {wwpn}");
                    let help = "`nodedev list --cap fc_host` shows the hosts that have such names";
                    Err(Advice::new(what, help).into())
                }
                Err(error) => Err(error.into()),
            }
        }
        _ => Ok(argument.into()),
    }
}

/// Adds to the error of an unknown name what was probably meant.
pub(crate) fn explain(connection: &Connection, name: &str, error: Error) -> Error {
    if error.code() != ErrorCode::NO_NODE_DEVICE || error.help().is_some() {
        return error;
    }
    let native: Vec<DeviceName> = match connection.devices().and_then(|devices| devices.entries(View::Native))
    {
        Ok(entries) => entries.into_iter().map(|entry| entry.name).collect(),
        Err(_) => connection.list_names(ListFlags::empty()).unwrap_or_default(),
    };
    if native.iter().any(|known| known.as_str() == name) {
        return error.with_help(format!("libvirt does not show this device; `nodedev show {name}` does"));
    }
    let near = near_matches(name, &native);
    if near.is_empty() {
        return error.with_help("`nodedev list --all` shows the names of all devices");
    }
    error.with_suggestions(&near)
}
