use nodedev::Connection;

use super::each;
use crate::args::NamesArgs;
use crate::exit::Exit;
use crate::output::Output;

/// Prints the parent of each device.
pub(super) fn run(connection: &Connection, args: &NamesArgs, out: &mut Output) -> anyhow::Result<Exit> {
    each(
        connection,
        &args.names,
        |name| connection.parent(name),
        |_, parent| Ok(out.text(parent.as_ref().map_or("", |parent| parent.as_str()))?),
    )
}
