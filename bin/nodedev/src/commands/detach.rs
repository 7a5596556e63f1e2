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
        caller: nodedev::caller(),
        ..DetachOptions::default()
    };
    if options.dry_run {
        let operations = connection.operations()?;
        return each_at_once(
            connection,
            &args.devices.names,
            |names, tell| operations.detach_each(names, &options, tell),
            |name, plan| tell(out, &args.telling, name, &Some(plan), &WORDS),
        );
    }
    let plain = !(options.group || options.force || args.telling.is_native());
    each(
        connection,
        &args.devices.names,
        |name| {
            let native =
                connection.operations().and_then(|operations| operations.detach_with(name, &options));
            native_or(native, plain, || match &args.driver {
                None => connection.detach(name),
                driver => connection.detach_flags(name, driver.as_deref(), 0),
            })
        },
        |name, told| tell(out, &args.telling, name, &told, &WORDS),
    )
}
