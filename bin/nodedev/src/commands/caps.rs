use std::io::Write;

use nodedev::{CapabilityType, Connection};

use super::each;
use crate::args::CapsArgs;
use crate::exit::Exit;
use crate::output::{DIM, Output};
use crate::text::printable;

/// Prints the capability types of devices, or how often each type occurs.
pub(super) fn run(connection: &Connection, args: &CapsArgs, out: &mut Output) -> anyhow::Result<Exit> {
    if args.names.is_empty() {
        return count(connection, out);
    }
    let several = args.names.len() > 1;
    each(
        connection,
        &args.names,
        |name| connection.capabilities(name, None),
        |name, types| {
            for kind in types {
                if several {
                    write!(out, "{} ", printable(name))?;
                }
                out.text(&kind)?;
            }
            Ok(())
        },
    )
}

fn count(connection: &Connection, out: &mut Output) -> anyhow::Result<Exit> {
    for kind in CapabilityType::ALL {
        let number = connection.count_names(Some(kind.as_str()), 0)?;
        let line = format!("{kind:<16}{number:>6}");
        if number == 0 {
            let line = out.paint(DIM, line).to_string();
            out.line(line.as_bytes())?;
        } else {
            out.line(line.as_bytes())?;
        }
    }
    Ok(Exit::Done)
}
