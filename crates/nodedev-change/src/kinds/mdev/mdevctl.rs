//! What mdevctl is asked to do: arguments and input. Source: mdevctl's manual page; libvirt asks in the same way, but for the
//! parent, which is always named here: one UUID can be defined below two parents.

use nodedev_model::{MdevConfig, PlanStep, StepAction};
use serde_json::{Value, json};

use super::Mdev;

/// Name of the program.
const PROGRAM: &str = "mdevctl";

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Request<'a> {
    /// Start a device that is not defined.
    StartNew(&'a MdevConfig),
    Define {
        config: &'a MdevConfig,
        autostart: bool,
    },
    Modify {
        config: &'a MdevConfig,
        autostart: bool,
        defined: bool,
        live: bool,
    },
    StartDefined,
    Stop,
    Undefine,
    SetAutostart(bool),
}

impl Request<'_> {
    fn arguments(&self, mdev: &Mdev) -> Vec<String> {
        let command = match self {
            Self::StartNew(_) | Self::StartDefined => "start",
            Self::Define { .. } => "define",
            Self::Modify { .. } | Self::SetAutostart(_) => "modify",
            Self::Stop => "stop",
            Self::Undefine => "undefine",
        };
        let mut arguments = vec![command.to_owned()];
        // A running device has its UUID alone.
        if !matches!(self, Self::Stop) {
            arguments.push(format!("--parent={}", mdev.parent));
        }
        if self.input().is_some() {
            arguments.push("--jsonfile=/dev/stdin".to_owned());
        }
        arguments.push(format!("--uuid={}", mdev.uuid));
        let switches = match self {
            Self::Modify { defined, live, .. } => [(*defined, "--defined"), (*live, "--live")],
            Self::SetAutostart(on) => [(*on, "--auto"), (!*on, "--manual")],
            _ => [(false, ""); 2],
        };
        arguments.extend(switches.iter().filter(|(on, _)| *on).map(|(_, switch)| (*switch).to_owned()));
        arguments
    }

    /// What it is to be made of, and whether it is started with the host.
    fn config(&self) -> Option<(&MdevConfig, bool)> {
        match self {
            Self::StartNew(config) => Some((config, false)),
            Self::Define { config, autostart } | Self::Modify { config, autostart, .. } => {
                Some((config, *autostart))
            }
            _ => None,
        }
    }

    fn input(&self) -> Option<String> {
        let (config, autostart) = self.config()?;
        let text = |text: &nodedev_model::Text| text.to_string();
        let mut input = json!({
            "mdev_type": text(&config.type_id),
            "start": if autostart { "auto" } else { "manual" },
        });
        if !config.attributes.is_empty() {
            let pair = |attribute: &nodedev_model::MdevAttribute| {
                let value = attribute.value.as_ref().map_or(Value::Null, |value| text(value).into());
                json!({ text(&attribute.name): value })
            };
            input["attrs"] = config.attributes.iter().map(pair).collect();
        }
        Some(input.to_string())
    }

    /// The step that has mdevctl do it. No argument has a blank in it: parents are names, checked before.
    pub(super) fn step(&self, mdev: &Mdev) -> PlanStep {
        PlanStep {
            action: StepAction::RunProgram,
            device: None,
            file: PROGRAM.to_owned(),
            value: self.arguments(mdev).join(" "),
            input: self.input(),
            before: None,
            after: None,
        }
    }
}

/// The question whether mdevctl can change a running device, or a definition alone. Asking for help does nothing else.
pub(super) const CAN_MODIFY: [&str; 6] = ["modify", "--defined", "--live", "--jsonfile", "b", "--help"];

#[cfg(test)]
mod tests {
    use nodedev_model::{MdevAttribute, MdevConfig};

    use super::Request;
    use crate::kinds::mdev::Mdev;

    /// Arguments as libvirt 11.3 gives them, and the parent besides.
    #[test]
    fn mdevctl_is_asked_as_libvirt_asks_it() {
        let uuid = "3627463d-b7f0-4fea-b468-f1da537d301b";
        let attribute = |name: &str, value: Option<&str>| MdevAttribute {
            name: name.into(),
            value: value.map(Into::into),
        };
        let plain = MdevConfig { type_id: "mtty-1".into(), attributes: Vec::new() };
        let rich = MdevConfig {
            type_id: "vfio_ap/passthrough".into(),
            attributes: vec![
                attribute("assign_adapter", Some("5")),
                attribute("assign_domain", Some("0x\"6")),
            ],
        };
        let plain_input = r#"{"mdev_type":"mtty-1","start":"manual"}"#;
        let rich_input = r#"{"mdev_type":"vfio_ap/passthrough","start":"auto","attrs":[{"assign_adapter":"5"},{"assign_domain":"0x\"6"}]}"#;
        let modify = |defined, live| Request::Modify { config: &plain, autostart: false, defined, live };
        for (request, arguments, input) in [
            (Request::StartNew(&plain), "start --parent=P --jsonfile=/dev/stdin --uuid=U", Some(plain_input)),
            (
                Request::Define { config: &rich, autostart: true },
                "define --parent=P --jsonfile=/dev/stdin --uuid=U",
                Some(rich_input),
            ),
            (
                modify(true, false),
                "modify --parent=P --jsonfile=/dev/stdin --uuid=U --defined",
                Some(plain_input),
            ),
            (
                modify(true, true),
                "modify --parent=P --jsonfile=/dev/stdin --uuid=U --defined --live",
                Some(plain_input),
            ),
            (
                Request::Modify { config: &rich, autostart: true, defined: true, live: false },
                "modify --parent=P --jsonfile=/dev/stdin --uuid=U --defined",
                Some(rich_input),
            ),
            (Request::StartDefined, "start --parent=P --uuid=U", None),
            (Request::Stop, "stop --uuid=U", None),
            (Request::Undefine, "undefine --parent=P --uuid=U", None),
            (Request::SetAutostart(true), "modify --parent=P --uuid=U --auto", None),
            (Request::SetAutostart(false), "modify --parent=P --uuid=U --manual", None),
        ] {
            let mdev = Mdev { parent: "P".to_owned(), uuid: uuid.parse().expect("a UUID") };
            let step = request.step(&mdev);
            assert_eq!(step.value, arguments.replace('U', uuid), "{request:?}");
            assert_eq!(step.input.as_deref(), input, "{request:?}");
        }
    }
}
