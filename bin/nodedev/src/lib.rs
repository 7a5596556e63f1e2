//! The command line `nodedev`: lists, describes and compares the node devices of a host.
//!
//! A library so that the man pages and the shell completions are made from the same definition ([`command`]) that the
//! program parses its arguments with. Every command is one module of `commands`, and writes to the `output::Output`
//! it is given; what a person reads on standard error comes from `report` alone.

mod args;
mod commands;
mod describe;
mod exit;
mod logging;
mod output;
mod progress;
mod report;
mod session;
mod text;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::args::Cli;
use crate::exit::Exit;
use crate::output::Output;

/// The definition of the command line, for man pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    match commands::completions::answer() {
        Ok(false) => {}
        Ok(true) => return Exit::Done.into(),
        Err(error) => {
            let _ = error.print();
            return Exit::Failed.into();
        }
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are "errors" too, on standard output. If nobody reads it, nobody is there to tell.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done }.into();
        }
    };
    logging::start(cli.global.log);
    let mut out = Output::stdout();
    let trouble = cli.command.on_trouble();
    let result = commands::run(&cli, &mut out).and_then(|exit| {
        out.flush()?;
        Ok(exit)
    });
    match result {
        Ok(exit) => exit.into(),
        Err(error) if output::is_broken_pipe(&error) => Exit::Done.into(),
        Err(error) => {
            // What was written before the failure belongs to the user.
            let _ = out.flush();
            let error =
                if error.is::<std::io::Error>() { error.context("cannot write the output") } else { error };
            report::error(&error);
            if report::is_usage(&error) { Exit::Usage } else { trouble }.into()
        }
    }
}
