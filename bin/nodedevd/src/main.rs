//! `nodedevd`: serves a host's node devices to libvirt's clients. See docs/daemon.md.

mod args;
mod clients;
mod config;
mod daemon;
mod exit;
mod files;
mod journal;
mod limits;
mod lines;
mod listeners;
mod logging;
mod places;
mod polkit;
mod sockets;
mod tls;
mod wire;
mod x509_name;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let code = if error.use_stderr() { exit::Exit::Usage as u8 } else { 0 };
            // Nothing can be done about an output that can't be written.
            let _ = error.print();
            return code.into();
        }
    };
    match daemon::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            eprintln!("nodedevd: error: {fatal}");
            (fatal.exit() as u8).into()
        }
    }
}
