//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

/// Serves this host's node devices to libvirt's clients, in place of virtnodedevd.
#[derive(Debug, Parser)]
#[command(name = "nodedevd", version, disable_version_flag = true, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Read this configuration [default: /etc/libvirt/nodedevd.conf, else virtnodedevd.conf there; for users other than
    /// root in $XDG_CONFIG_HOME/libvirt]
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Make the sockets here [default: /run/libvirt; for users other than root $XDG_RUNTIME_DIR/libvirt]
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: Option<PathBuf>,
    /// Serve a recorded host, a folder or an archive, in place of this machine
    #[arg(long, value_name = "PATH")]
    pub(crate) root: Option<PathBuf>,
    /// Exit after so many seconds without a client
    #[arg(short = 't', long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Write the process's number into this file, and keep it locked [default: nodedevd.pid beside the sockets]
    #[arg(short = 'p', long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Log what happens, not only what is odd; twice, log everything
    #[arg(short = 'v', long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Print the version
    #[arg(short = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
}

const AFTER_HELP: &str = "\
Signals: SIGTERM and SIGINT end the daemon, SIGHUP reads the configuration again.
Exit status: 0 ended as told, 64 wrong command line, 66 no recording at --root, 69 the sockets are taken,
71 the system refused something, 73 a file can't be made, 77 no permission, 78 wrong configuration.
An example of the configuration, with every key, is packaging/nodedevd.conf; docs/daemon.md tells more.";

impl Args {
    /// How long the daemon stays without a client; for ever if absent.
    pub(crate) fn idle(&self) -> Option<Duration> {
        self.timeout.filter(|&seconds| seconds > 0).map(Duration::from_secs)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn arguments_are_consistent_and_short_ones_are_virtnodedevds() {
        Args::command().debug_assert();
        let args = Args::parse_from(["nodedevd", "-f", "/f", "-p", "/p", "-t", "30", "-v"]);
        assert_eq!((args.config, args.pid_file), (Some("/f".into()), Some("/p".into())));
        assert_eq!((args.timeout, args.verbose), (Some(30), 1));
        assert_eq!(Args::parse_from(["nodedevd", "-t0"]).idle(), None);
    }
}
