use nodedev::{Connection, DetachOptions};

use super::plan::{Words, native_or, tell};
use super::{each, each_at_once};
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
    if options.dry_run {
        return each_at_once(
            connection,
            &args.devices.names,
            |names, tell| connection.detach_each(names, &options, tell),
            |name, plan| tell(out, &args.telling, name, &Some(plan), &WORDS),
        );
    }
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
