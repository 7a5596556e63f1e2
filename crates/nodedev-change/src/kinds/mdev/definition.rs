//! What mdevctl's file of a mediated device says.
//!
//! Format: a JSON object with `mdev_type`, `start` (`auto` or `manual`) and optionally `attrs`, a list of objects of one
//! pair each (mdevctl 1.4, manual page, section *FILES*).

use nodedev_model::{MdevAttribute, MdevConfig, Text};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A definition as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Definition {
    /// It can be read.
    #[allow(missing_docs, reason = "the fields are those of the file")]
    Whole { mdev_type: String, attributes: Vec<(String, Option<String>)>, autostart: bool },
    /// It cannot.
    #[allow(missing_docs, reason = "the reason, for people")]
    Damaged { problem: String },
}

impl Definition {
    pub(super) fn read(content: &[u8]) -> Self {
        match parse(content) {
            Ok((config, autostart)) => super::whole(&config, autostart),
            Err(problem) => Self::Damaged { problem },
        }
    }

    pub(super) fn config(&self) -> MdevConfig {
        match self {
            Self::Whole { mdev_type, attributes, .. } => MdevConfig {
                type_id: mdev_type.as_str().into(),
                attributes: attributes
                    .iter()
                    .map(|(name, value)| MdevAttribute {
                        name: name.as_str().into(),
                        value: value.as_deref().map(Text::from),
                    })
                    .collect(),
            },
            Self::Damaged { .. } => MdevConfig::default(),
        }
    }

    pub(super) fn started_with_the_host(self, on: bool) -> Self {
        match self {
            Self::Whole { mdev_type, attributes, .. } => Self::Whole { mdev_type, attributes, autostart: on },
            damaged => damaged,
        }
    }
}

/// Reads one definition: the configuration, and whether it is started with the host.
///
/// # Errors
/// What is wrong with it.
pub fn parse(content: &[u8]) -> Result<(MdevConfig, bool), String> {
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
