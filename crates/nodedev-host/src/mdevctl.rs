//! Definitions of mediated devices: mdevctl's files, `etc/mdevctl.d/PARENT/UUID`. libvirt asks mdevctl for the same data.

use nodedev_change::parse_definition;
use nodedev_model::{Text, Uuid};
use nodedev_sys::paths::join;
use nodedev_sys::{Root, paths};

use crate::index::Definition;
use crate::kernel::Issues;

/// Bound of one definition file.
const LIMIT: usize = 1 << 20;

/// Reads all definitions, sorted by parent and UUID. A broken one is reported and left out, the others stay.
pub(crate) fn read(root: &Root, issues: &Issues) -> Vec<Definition> {
    let mut definitions = Vec::new();
    let mut buffer = Vec::new();
    let top = paths::MDEVCTL.as_bytes();
    for parent in sorted_names(root, top, issues) {
        let folder = join(top, &parent);
        for file in sorted_names(root, &folder, issues) {
            // Scripts and editors' leftovers lie beside the definitions; mdevctl takes the files named by a UUID.
            let Some(uuid) = std::str::from_utf8(&file).ok().and_then(|name| name.parse::<Uuid>().ok())
            else {
                continue;
            };
            let path = join(&folder, &file);
            let parsed = match root.read(&path, &mut buffer, LIMIT) {
                Ok(None) => continue,
                Ok(Some(content)) => parse_definition(content),
                Err(error) => {
                    issues.error(&error);
                    continue;
                }
            };
            match parsed {
                Ok((config, autostart)) => {
                    definitions.push(Definition { uuid, parent_addr: parent.clone(), config, autostart });
                }
                Err(problem) => issues.push(format!("/{}", Text::from(path)), problem),
            }
        }
    }
    definitions
}

fn sorted_names(root: &Root, path: &[u8], issues: &Issues) -> Vec<Box<[u8]>> {
    let mut names = root.names(path).unwrap_or_else(|error| {
        issues.error(&error);
        Vec::new()
    });
    names.sort_unstable();
    names
}
