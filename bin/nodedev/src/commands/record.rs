use nodedev::record::{RecordError, RecordOptions, record};
use nodedev::{ConnectUri, Connection, Root};

use crate::args::{Global, RecordArgs};
use crate::exit::Exit;
use crate::progress::Progress;
use crate::report::Advice;
use crate::text::count;

/// Records this machine, or records a recording again (to mask it).
pub(super) fn run(global: &Global, args: &RecordArgs) -> anyhow::Result<Exit> {
    let root = root(global)?;
    let progress = Progress::start_quiet_phase("recording the host");
    let report =
        record(&root, &args.output, RecordOptions { mask: args.mask }).map_err(|error| match error {
            RecordError::Format { .. } => {
                Advice::usage(error.to_string(), "for instance: nodedev record -o host.tar.gz").into()
            }
            other => anyhow::Error::from(other),
        })?;
    drop(progress);
    log::info!(
        "recorded {} in {}, {} masked",
        count(report.devices, "device"),
        count(report.files, "file"),
        count(report.masked, "value")
    );
    for issue in &report.issues {
        log::debug!("{issue}");
    }
    if !report.issues.is_empty() {
        log::warn!(
            "{} of the host could not be read; --log debug names them",
            count(report.issues.len(), "value")
        );
    }
    if !args.mask {
        log::warn!("the recording holds serial numbers and hardware addresses; --mask replaces them");
    }
    Ok(Exit::Done)
}

/// The host that the global options name.
fn root(global: &Global) -> anyhow::Result<Root> {
    let named = match (&global.root, &global.connect) {
        (Some(root), _) => Some(root.clone()),
        (None, None) => None,
        (None, Some(uri)) => match uri.parse()? {
            ConnectUri::Host { root, .. } => root,
            ConnectUri::Remote(_) => {
                let help = "a daemon does not tell enough; on its machine, run `nodedev record -o FILE`";
                return Err(Advice::usage(format!("{uri} is no host that could be recorded"), help).into());
            }
            ConnectUri::TestDefault | ConnectUri::TestFile(_) => {
                let help = "leave out --connect for this machine, or name a recording with --root";
                return Err(Advice::usage(format!("{uri} is no host that could be recorded"), help).into());
            }
        },
    };
    Ok(Connection::root(named.as_deref())?)
}
