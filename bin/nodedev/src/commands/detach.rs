use nodedev::{Connection, DetachOptions};

use super::each;
use super::plan::{Words, native_or, tell};
use crate::args::DetachArgs;
use crate::exit::Exit;
use crate::output::Output;

const WORDS: Words = Words { done: "detached", already: "is detached already" };

/// Takes devices from the host.
pub(super) fn run(connection: &Connection, args: &DetachArgs, out: &mut Output) -> anyhow::Result<Exit> {
    let options = DetachOptions {
        kernel_driver: args.driver.clone(),
        group: args.group,
        force: args.force,
        dry_run: args.telling.dry_run,
        connected_at: nodedev::ssh_address(),
    };
    let plain = !(options.group || options.force || args.telling.is_native());
    each(
        connection,
        &args.devices.names,
        |name| {
            native_or(connection.detach_with(name, &options), plain, || {
                connection.detach(name, args.driver.as_deref())
            })
        },
        |name, told| tell(out, &args.telling, name, &told, &WORDS),
    )
}
