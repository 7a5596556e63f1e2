use std::io::Write;

use nodedev::{Connection, DeviceName, ErrorCode, Result};

use super::each;
use crate::args::NamesArgs;
use crate::exit::Exit;
use crate::output::{DIM, NAME, Output};
use crate::text::printable;

/// Name, parent and state of a device.
struct Info {
    parent: Option<DeviceName>,
    active: bool,
    persistent: bool,
    /// Absent where the driver knows no autostart.
    autostart: Option<bool>,
}

impl Info {
    fn of(connection: &Connection, name: &str) -> Result<Self> {
        Ok(Self {
            parent: connection.parent(name)?,
            active: connection.is_active(name)?,
            persistent: connection.is_persistent(name)?,
            autostart: match connection.autostart(name) {
                Err(error) if error.code() == ErrorCode::NO_SUPPORT => None,
                autostart => Some(autostart?),
            },
        })
    }
}

/// Prints the five lines of `virsh nodedev-info` for each device, with an empty line between two devices.
pub(super) fn run(connection: &Connection, args: &NamesArgs, out: &mut Output) -> anyhow::Result<Exit> {
    let mut first = true;
    each(
        connection,
        &args.names,
        |name| Info::of(connection, name),
        |name, info| {
            if !std::mem::take(&mut first) {
                out.line(b"")?;
            }
            let word = |yes| if yes { "yes" } else { "no" };
            let name = out.paint(NAME, printable(name)).to_string();
            for (label, value) in [
                ("Name:", name.as_str()),
                ("Parent:", &printable(info.parent.as_ref().map_or("", |parent| parent.as_str()))),
                ("Active:", word(info.active)),
                ("Persistent:", word(info.persistent)),
                ("Autostart:", info.autostart.map_or("no autostart", word)),
            ] {
                let label = out.paint(DIM, format_args!("{label:<15}")).to_string();
                writeln!(out, "{label} {value}")?;
            }
            Ok(())
        },
    )
}
