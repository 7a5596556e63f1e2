use nodedev::{Connection, ReattachOptions};

use super::each;
use super::plan::{Words, native_or, tell};
use crate::args::ReattachArgs;
use crate::exit::Exit;
use crate::output::Output;

const WORDS: Words = Words { done: "re-attached", already: "is not detached" };

/// Gives devices back to the host.
pub(super) fn run(connection: &Connection, args: &ReattachArgs, out: &mut Output) -> anyhow::Result<Exit> {
    let options =
        ReattachOptions { group: args.group, dry_run: args.telling.dry_run, ..ReattachOptions::default() };
    let plain = !(options.group || args.telling.is_native());
    each(
        connection,
        &args.devices.names,
        |name| {
            let native =
                connection.operations().and_then(|operations| operations.reattach_with(name, &options));
            native_or(native, plain, || connection.reattach(name))
        },
        |name, told| tell(out, &args.telling, name, &told, &WORDS),
    )
}
