use nodedev::{Connection, ResetOptions};

use super::each;
use super::plan::{Words, native_or, tell};
use crate::args::ResetArgs;
use crate::exit::Exit;
use crate::output::Output;

const WORDS: Words = Words { done: "reset", already: "reset" };

/// Resets devices.
pub(super) fn run(connection: &Connection, args: &ResetArgs, out: &mut Output) -> anyhow::Result<Exit> {
    let options =
        ResetOptions { force: args.force, dry_run: args.telling.dry_run, ..ResetOptions::default() };
    let plain = !(options.force || args.telling.is_native());
    each(
        connection,
        &args.devices.names,
        |name| {
            let native = connection.operations().and_then(|operations| operations.reset_with(name, &options));
            native_or(native, plain, || connection.reset(name))
        },
        |name, told| tell(out, &args.telling, name, &told, &WORDS),
    )
}
