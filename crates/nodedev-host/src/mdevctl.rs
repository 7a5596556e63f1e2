//! Definitions of mediated devices: mdevctl's files, `etc/mdevctl.d/PARENT/UUID`.
//!
//! Format: a JSON object with `mdev_type`, `start` (`auto` or `manual`) and optionally `attrs`, a list of objects of one
//! pair each (mdevctl 1.4, manual page, section *FILES*). libvirt asks mdevctl for the same data.

use nodedev_model::{MdevAttribute, MdevConfig, Text, Uuid};
use nodedev_sys::paths::join;
use nodedev_sys::{Root, paths};
use serde_json::Value;

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
                Ok(Some(content)) => parse(content),
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

/// Reads one definition: the configuration, and whether it is started with the host.
pub(crate) fn parse(content: &[u8]) -> Result<(MdevConfig, bool), String> {
    let value: Value = serde_json::from_slice(content).map_err(|error| format!("not JSON: {error}"))?;
    let type_id = value.get("mdev_type").and_then(Value::as_str).ok_or("'mdev_type' is missing")?;
    let start = value.get("start").ok_or("'start' is missing")?;
    let attributes = match value.get("attrs") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list.iter().map(attribute).collect::<Result<_, _>>()?,
        Some(_) => return Err("'attrs' is not a list".into()),
    };
    Ok((MdevConfig { type_id: type_id.into(), attributes }, start == "auto"))
}

fn attribute(value: &Value) -> Result<MdevAttribute, String> {
    match value.as_object().map(|object| object.iter().collect::<Vec<_>>()).as_deref() {
        Some([(name, value)]) => {
            Ok(MdevAttribute { name: name.as_str().into(), value: value.as_str().map(Text::from) })
        }
        _ => Err("'attrs' holds something else than objects of one pair".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn definitions_are_read_and_broken_ones_say_why() {
        let (config, autostart) = parse(
            br#"{"mdev_type":"vfio_ap-passthrough","start":"auto","attrs":[{"assign_adapter":"5"},{"n":1},{"m":"\u00e4"}]}"#,
        )
        .unwrap();
        assert!(autostart);
        assert_eq!(config.type_id, "vfio_ap-passthrough");
        assert_eq!(config.attributes.len(), 3);
        assert_eq!(config.attributes[0].value.as_ref().unwrap(), &"5");
        assert_eq!(config.attributes[1].value, None);
        for (text, want) in [
            ("", "not JSON"),
            ("{}", "'mdev_type' is missing"),
            (r#"{"mdev_type":"a"}"#, "'start' is missing"),
            (r#"{"mdev_type":"a","start":"manual","attrs":{}}"#, "'attrs' is not a list"),
            (r#"{"mdev_type":"a","start":"manual","attrs":[{"a":"1","b":"2"}]}"#, "one pair"),
        ] {
            assert!(parse(text.as_bytes()).unwrap_err().contains(want), "{text}");
        }
    }
}
