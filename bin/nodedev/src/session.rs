//! The connection that the global options ask for, and names that are looked up on it.

use std::time::Instant;

use nodedev::{Connection, DeviceName, Error, ErrorCode, View, near_matches};

use crate::args::Global;
use crate::progress::Progress;

/// Opens what `--root` or `--connect` names; this machine without either.
pub(crate) fn open(global: &Global) -> anyhow::Result<Connection> {
    let start = Instant::now();
    let progress = Progress::start_quiet_phase("reading the host");
    let connection = match (&global.root, &global.connect) {
        (Some(root), _) => Connection::open_root(root)?,
        (None, Some(uri)) => Connection::open(uri)?,
        (None, None) => Connection::open("nodedev:///system")?,
    };
    drop(progress);
    log::info!("opened {} in {:.1?}", describe(global), start.elapsed());
    Ok(connection)
}

fn describe(global: &Global) -> String {
    match (&global.root, &global.connect) {
        (Some(root), _) => root.display().to_string(),
        (None, Some(uri)) => uri.clone(),
        (None, None) => "this machine".to_owned(),
    }
}

/// Adds to the error of an unknown name what was probably meant.
pub(crate) fn explain(connection: &Connection, name: &str, error: Error) -> Error {
    if error.code() != ErrorCode::NO_NODE_DEVICE || error.help().is_some() {
        return error;
    }
    let native: Vec<DeviceName> = match connection.entries(View::Native) {
        Ok(entries) => entries.into_iter().map(|entry| entry.name).collect(),
        Err(_) => connection.names(None).unwrap_or_default(),
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
