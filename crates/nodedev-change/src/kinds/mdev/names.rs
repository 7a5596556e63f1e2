//! Names of a document that become parts of paths in sysfs or of mdevctl's files, where a program writes as root.

use nodedev_model::MdevConfig;

use crate::{OpsError, Result};

/// Longest name of a file, as in the kernel (`NAME_MAX`).
const LONGEST: usize = 255;
/// Folders of a mediated device that have attributes. Others there are links, and lead to what is not the device's.
const FOLDERS: &[&str] = &["nvidia"];

/// Whether a text is what the kernel calls types of mediated devices and attributes: one component of a path.
pub(super) fn is_name(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    first
        && text.len() <= LONGEST
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+' | b':'))
}

/// Whether a text is the name of an attribute of a mediated device.
fn is_attribute(text: &str) -> bool {
    match text.split_once('/') {
        Some((folder, name)) => FOLDERS.contains(&folder) && is_name(name),
        None => is_name(text),
    }
}

/// Refuses what is no name, before anything is run.
///
/// # Errors
/// [`OpsError::InvalidName`].
pub(super) fn check(parent: &str, config: Option<&MdevConfig>) -> Result<()> {
    let refused = |what: &'static str, text: &str, help: &'static str| {
        Err(OpsError::InvalidName { what, text: text.to_owned(), help })
    };
    if !is_name(parent) {
        return refused("parent", parent, "it is the last part of the parent's path in sysfs");
    }
    let Some(config) = config else { return Ok(()) };
    let type_id = config.type_id.to_string();
    if !is_name(&type_id) {
        return refused("type", &type_id, "`nodedev dumpxml PARENT` has the types of a parent");
    }
    for name in config.attributes.iter().map(|attribute| attribute.name.to_string()) {
        if !is_attribute(&name) {
            let help = "it is the name of a file in the device's folder in sysfs, such as assign_adapter";
            return refused("attribute name", &name, help);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use nodedev_model::MdevAttribute;

    use super::*;

    fn config(type_id: &str, attribute: &str) -> MdevConfig {
        let attribute = MdevAttribute { name: attribute.into(), value: Some("1".into()) };
        MdevConfig { type_id: type_id.into(), attributes: vec![attribute] }
    }

    #[test]
    fn names_are_one_component_of_what_the_kernel_uses() {
        for (parent, type_id, attribute) in [
            ("0000:00:02.0", "i915-GVTg_V5_4", "assign_adapter"),
            ("0.0.0052", "vfio_ccw-io", "0"),
            ("matrix", "vfio_ap-passthrough", "ap_config"),
            ("mtty", "mtty-2", "nvidia/vgpu_params"),
        ] {
            assert!(check(parent, Some(&config(type_id, attribute))).is_ok(), "{attribute}");
        }
        let long = "a".repeat(256);
        let wrong = [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "/x",
            "--x",
            "a b",
            "a\nb",
            "a\0b",
            "é",
            "a\u{202e}",
            "a;b",
            &long,
        ];
        for name in wrong {
            for (parent, config) in
                [(name, config("t", "a")), ("P", config(name, "a")), ("P", config("t", name))]
            {
                let error = check(parent, Some(&config)).unwrap_err();
                assert!(matches!(error, OpsError::InvalidName { .. }), "{name:?}");
                assert!(!error.message().contains(['\n', '\u{202e}']), "{error}");
            }
        }
        for attribute in
            ["nvidia/", "nvidia/../x", "nvidia/a/b", "driver/unbind", "../../../etc/ld.so.preload"]
        {
            assert!(check("P", Some(&config("t", attribute))).is_err(), "{attribute}");
        }
        assert!(check("../x", None).is_err());
    }
}
