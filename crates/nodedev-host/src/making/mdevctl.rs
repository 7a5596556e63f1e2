//! What mdevctl is asked to do: arguments and input. Source: mdevctl's manual page; libvirt asks in the same way, but for the
//! parent, which is always named here: one UUID can be defined below two parents.

use nodedev_driver::{Error, ErrorCode, ErrorDomain, Result};
use nodedev_model::{MdevConfig, Uuid};
use nodedev_sys::{Root, mdevctl};
use serde_json::{Value, json};

use super::names;

/// The device that is meant.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    /// Address of the parent.
    pub(super) parent: &'a str,
    /// Absent: mdevctl makes one up.
    pub(super) uuid: Option<Uuid>,
}

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
    fn arguments(&self, target: Target<'_>) -> Vec<String> {
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
            arguments.push(format!("--parent={}", target.parent));
        }
        if self.input().is_some() {
            arguments.push("--jsonfile=/dev/stdin".to_owned());
        }
        arguments.extend(target.uuid.map(|uuid| format!("--uuid={uuid}")));
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

    /// What could not be done, in libvirt's words, and what stands there if mdevctl says nothing.
    fn failure(&self, name: &str) -> (String, &'static str) {
        const UNKNOWN: &str = "Unknown error";
        match self {
            Self::StartNew(_) => ("Unable to start mediated device".to_owned(), UNKNOWN),
            Self::Define { .. } => ("Unable to define mediated device".to_owned(), UNKNOWN),
            Self::Modify { .. } => ("Unable to modify mediated device".to_owned(), UNKNOWN),
            Self::StartDefined => ("Unable to create mediated device".to_owned(), UNKNOWN),
            Self::Stop => (format!("Unable to destroy '{name}'"), UNKNOWN),
            Self::Undefine => ("Unable to undefine mediated device".to_owned(), UNKNOWN),
            Self::SetAutostart(_) => (format!("Unable to set autostart on '{name}'"), "Unknown Error"),
        }
    }

    /// Has mdevctl do it. What it says: the UUID of a device that had none. `name` is the device's, for errors.
    pub(super) fn run(&self, root: &Root, target: Target<'_>, name: &str) -> Result<String> {
        names::check(target, self.config().map(|(config, _)| config))?;
        if matches!(self, Self::Modify { .. }) && !can_modify(root)? {
            let detail = "Unable to modify mediated device: modify unsupported";
            return Err(Error::new(ErrorDomain::NODEDEV, ErrorCode::OPERATION_UNSUPPORTED, detail)
                .with_help("mdevctl can do that from version 1.3.0 on"));
        }
        let ran = mdevctl::run(root, &self.arguments(target), self.input().as_deref()).map_err(not_run)?;
        if ran.success {
            return Ok(ran.output);
        }
        let (what, nothing) = self.failure(name);
        let why = if ran.complaint.is_empty() { nothing } else { &ran.complaint };
        Err(Error::internal(ErrorDomain::NODEDEV, format!("{what}: {why}")))
    }
}

/// Whether mdevctl can change a running device, or a definition alone. Asking for help does nothing else.
fn can_modify(root: &Root) -> Result<bool> {
    let question = ["modify", "--defined", "--live", "--jsonfile", "b", "--help"].map(str::to_owned);
    Ok(mdevctl::run(root, &question, None).map_err(not_run)?.success)
}

fn not_run(error: nodedev_sys::SysError) -> Error {
    let help = match error.errno() {
        Some(_) => "mediated devices are defined and started with the program mdevctl; install it",
        None => "leave out --root to change this machine",
    };
    Error::internal(ErrorDomain::NODEDEV, error.to_string()).with_help(help)
}

#[cfg(test)]
mod tests {
    use nodedev_model::{MdevAttribute, MdevConfig};

    use super::{Request, Target};

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
        for (request, has_uuid, arguments, input) in [
            (Request::StartNew(&plain), false, "start --parent=P --jsonfile=/dev/stdin", Some(plain_input)),
            (
                Request::StartNew(&plain),
                true,
                "start --parent=P --jsonfile=/dev/stdin --uuid=U",
                Some(plain_input),
            ),
            (
                Request::Define { config: &rich, autostart: true },
                true,
                "define --parent=P --jsonfile=/dev/stdin --uuid=U",
                Some(rich_input),
            ),
            (
                modify(true, false),
                true,
                "modify --parent=P --jsonfile=/dev/stdin --uuid=U --defined",
                Some(plain_input),
            ),
            (
                modify(true, true),
                true,
                "modify --parent=P --jsonfile=/dev/stdin --uuid=U --defined --live",
                Some(plain_input),
            ),
            (
                Request::Modify { config: &rich, autostart: true, defined: true, live: false },
                true,
                "modify --parent=P --jsonfile=/dev/stdin --uuid=U --defined",
                Some(rich_input),
            ),
            (Request::StartDefined, true, "start --parent=P --uuid=U", None),
            (Request::Stop, true, "stop --uuid=U", None),
            (Request::Undefine, true, "undefine --parent=P --uuid=U", None),
            (Request::SetAutostart(true), true, "modify --parent=P --uuid=U --auto", None),
            (Request::SetAutostart(false), true, "modify --parent=P --uuid=U --manual", None),
        ] {
            let parsed = has_uuid.then(|| uuid.parse().expect("a UUID"));
            let target = Target { parent: "P", uuid: parsed };
            assert_eq!(request.arguments(target).join(" "), arguments.replace('U', uuid), "{request:?}");
            assert_eq!(request.input().as_deref(), input, "{request:?}");
        }
    }
}
