//! Virtual Fibre Channel ports (NPIV). The kernel makes and removes them when two World Wide Names are written to an attribute
//! of the port below them. Source: kernel, `Documentation/scsi/scsi_fc_transport.rst`, section *NPIV*.

use std::time::Duration;

use nodedev_model::{
    ChangeOperation, ChangePlan, ChangedDevice, DeviceName, DeviceState, Outcome, PciAddress, PlanStep,
    ResourceKind, StepAction,
};
use nodedev_sys::paths::{CLASSES_OF_PORTS, HANDOVERS, VPORT_CHANGES, follow};
use nodedev_sys::{HostAccess, attribute_value};
use serde::{Deserialize, Serialize};

use super::Resource;
use super::transaction::{ResourceChange, Words};
use crate::{Engine, OpsError, Result};

/// Bound of an attribute.
const ATTRIBUTE_LIMIT: usize = 4096;
/// Where ports of Fibre Channel are, whichever class makes virtual ones.
const PORTS: &str = CLASSES_OF_PORTS[0];

/// A virtual port, whether or not it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vport {
    /// The kernel's number of the SCSI host that it is made on.
    host: u32,
    /// World Wide Names as sysfs has them, but for the `0x`.
    port: String,
    node: String,
}

/// What is done with a virtual port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VportAct {
    /// It is made.
    Create,
    /// It is deleted.
    Delete,
}

impl VportAct {
    /// Name of the attribute.
    fn attribute(self) -> &'static str {
        match self {
            Self::Create => "vport_create",
            Self::Delete => "vport_delete",
        }
    }
}

/// How a virtual port is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    exists: bool,
}

impl Vport {
    /// World Wide Names of the node and of the port.
    pub fn names(&self) -> (&str, &str) {
        (&self.node, &self.port)
    }

    fn step(&self, host: &dyn HostAccess, act: VportAct) -> Result<PlanStep> {
        Ok(PlanStep {
            action: match act {
                VportAct::Create => StepAction::CreateVport,
                VportAct::Delete => StepAction::DeleteVport,
            },
            device: None,
            file: attribute(host, self.host, act)?,
            value: format!("{}:{}", self.port, self.node),
            input: None,
            before: None,
            after: None,
        })
    }
}

/// The attribute that does something, as an absolute path of the host.
fn attribute(host: &dyn HostAccess, number: u32, act: VportAct) -> Result<String> {
    let attribute = act.attribute();
    for class in CLASSES_OF_PORTS {
        let folder = format!("{class}/host{number}");
        let names = host.names(folder.as_bytes())?.unwrap_or_default();
        if names.iter().any(|name| **name == *attribute.as_bytes()) {
            return Ok(format!("/{folder}/{attribute}"));
        }
    }
    Err(OpsError::NoVports { attribute, host: format!("host{number}") })
}

/// A World Wide Name as sysfs has it, but for the `0x`: 16 digits in lower case. It may be given with `0x`, and with a colon
/// or a dash between its bytes.
fn normalised(name: &str) -> Option<String> {
    let bare = name.strip_prefix("0x").or_else(|| name.strip_prefix("0X")).unwrap_or(name);
    let digits: String = match bare.len() {
        16 => bare.to_owned(),
        // 8 pairs with 7 separators, all the same.
        23 => {
            let separator = bare.chars().nth(2).filter(|c| [':', '-'].contains(c))?;
            let pairs: Vec<_> = bare.split(separator).collect();
            pairs.iter().all(|pair| pair.len() == 2).then(|| pairs.concat())?
        }
        _ => return None,
    };
    (digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .then(|| digits.to_ascii_lowercase())
}

impl Resource for Vport {
    const KIND: ResourceKind = ResourceKind::Vport;
    const FOLDER: &'static str = VPORT_CHANGES;
    /// libvirt's time.
    const PATIENCE: Duration = Duration::from_secs(60);
    type State = State;

    fn key(&self) -> String {
        format!("host{}@{}:{}", self.host, self.port, self.node)
    }

    fn from_key(key: &str) -> Option<Self> {
        let (host, names) = key.strip_prefix("host")?.split_once('@')?;
        let (port, node) = names.split_once(':')?;
        let vport = Self { host: host.parse().ok()?, port: normalised(port)?, node: normalised(node)? };
        (vport.key() == key).then_some(vport)
    }

    /// The kernel numbers it.
    fn name(&self) -> Option<DeviceName> {
        None
    }

    /// That of the card, which is not handed over meanwhile, and that of the port.
    fn locks(&self, host: &dyn HostAccess) -> Result<Vec<Vec<u8>>> {
        let link = host.read_link(format!("{PORTS}/host{}", self.host).as_bytes())?;
        let path = link.map(|target| follow(PORTS.as_bytes(), &target)).unwrap_or_default();
        let card = PciAddress::in_path(&path).next_back();
        let mut locks: Vec<_> =
            card.iter().map(|address| format!("{HANDOVERS}/{address}.lock").into_bytes()).collect();
        locks.push(format!("{VPORT_CHANGES}/host{}.lock", self.host).into_bytes());
        Ok(locks)
    }

    fn state(&self, host: &dyn HostAccess) -> Result<State> {
        let below = format!("/host{}/", self.host);
        for name in host.names(PORTS.as_bytes())?.unwrap_or_default() {
            let is_it = |attribute: &str, wanted: &str| -> Result<bool> {
                let path = [PORTS.as_bytes(), b"/", &name, b"/", attribute.as_bytes()].concat();
                let found = host.read(&path, ATTRIBUTE_LIMIT)?.unwrap_or_default();
                let found = String::from_utf8_lossy(attribute_value(&found)).into_owned();
                Ok(normalised(&found).as_deref() == Some(wanted))
            };
            if !is_it("port_name", &self.port)? || !is_it("node_name", &self.node)? {
                continue;
            }
            let link = host.read_link(&[PORTS.as_bytes(), b"/", &name].concat())?.unwrap_or_default();
            if String::from_utf8_lossy(&link).contains(&format!("{below}vport-")) {
                return Ok(State { exists: true });
            }
        }
        Ok(State { exists: false })
    }

    /// The kernel deletes a port when it comes to it.
    fn is_reached(now: &State, wanted: &State) -> bool {
        now.exists || !wanted.exists
    }

    /// One that was deleted is not made again: it would be another device.
    fn way_back(&self, host: &dyn HostAccess, now: &State, before: &State) -> Result<Vec<PlanStep>> {
        if now.exists && !before.exists {
            Ok(vec![self.step(host, VportAct::Delete)?])
        } else {
            Ok(Vec::new())
        }
    }

    fn refuse_if_held(&self, _: &dyn HostAccess) -> Result<()> {
        Ok(())
    }
}

impl Engine<'_> {
    /// The virtual port of a SCSI host with these names, of the node and of the port.
    ///
    /// # Errors
    /// The host can have none, or what is given are no World Wide Names.
    pub fn vport(&self, host: u32, node: &str, port: &str, act: VportAct) -> Result<Vport> {
        let path = attribute(self.host, host, act)?;
        // What the kernel would take for names without being any is refused as the kernel refuses others.
        match (normalised(node), normalised(port)) {
            (Some(node), Some(port)) => Ok(Vport { host, port, node }),
            _ => Err(OpsError::InvalidWwn { value: format!("{port}:{node}"), path }),
        }
    }

    /// Makes or deletes a virtual port, or says what would be done.
    ///
    /// # Errors
    /// What stands in the way, or what failed.
    pub fn change_vport(&self, vport: &Vport, act: VportAct, dry_run: bool) -> Result<ChangePlan> {
        let mut outcome = Outcome::Planned;
        let change = if dry_run {
            self.planned_vport(vport, act)?
        } else {
            let locks = self.begin_change(vport)?;
            let change = self.planned_vport(vport, act)?;
            self.change_resource(&change, &locks)?;
            outcome = Outcome::Changed;
            change
        };
        let life = |state: &State| DeviceState { active: state.exists, persistent: false, autostart: false };
        Ok(ChangePlan {
            operation: match act {
                VportAct::Create => ChangeOperation::Create,
                VportAct::Delete => ChangeOperation::Destroy,
            },
            outcome,
            device: ChangedDevice {
                kind: ResourceKind::Vport,
                name: None,
                key: vport.key(),
                before: life(&change.before),
                after: life(&change.after),
            },
            undo: match dry_run {
                true => vport.way_back(self.host, &change.after, &change.before)?,
                false => Vec::new(),
            },
            steps: change.steps,
            findings: Vec::new(),
        })
    }

    fn planned_vport(&self, vport: &Vport, act: VportAct) -> Result<ResourceChange<Vport>> {
        Ok(ResourceChange {
            resource: vport.clone(),
            act: act.attribute(),
            before: vport.state(self.host)?,
            after: State { exists: act == VportAct::Create },
            steps: vec![vport.step(self.host, act)?],
            is_seen: true,
            words: Words { what: String::new(), nothing: "" },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn names_are_taken_in_every_usual_way_of_writing() {
        for (given, want) in [
            ("2001001b32a9da5e", Some("2001001b32a9da5e")),
            ("0x2001001B32A9DA5E", Some("2001001b32a9da5e")),
            ("20:01:00:1b:32:a9:da:5e", Some("2001001b32a9da5e")),
            ("20-01-00-1b-32-a9-da-5e", Some("2001001b32a9da5e")),
            ("20:01-00:1b:32:a9:da:5e", None),
            ("2001001b32a9da5", None),
            ("2001001b32a9da5g", None),
            ("2001001b32a9da5e0", None),
            ("éééééééé", None),
            ("20:01:00:1b:32:a9:da:5é", None),
            ("", None),
        ] {
            assert_eq!(normalised(given).as_deref(), want, "{given}");
        }
    }
}
