//! The command `nodedev`; see the library `nodedev_cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    nodedev_cli::main()
}
