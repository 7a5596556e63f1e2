//! Mediated devices: made, changed and removed, and their definitions with them. mdevctl does it, so that its callouts run and
//! its files stay its own.

mod act;
pub(crate) mod definition;
mod mdevctl;
mod names;

use std::time::Duration;

use nodedev_model::{DeviceName, DeviceState, MdevConfig, PlanStep, ResourceKind, StepAction, Uuid};
use nodedev_sys::HostAccess;
use nodedev_sys::open_files::{self, OpenFile, OpenFiles};
use nodedev_sys::paths::{
    DEV_VFIO, HANDOVERS, MDEV_CHANGES, MDEV_DEVICES, MDEVCTL, basename, follow, parent,
};
use serde::{Deserialize, Serialize};

use self::definition::Definition;
use self::mdevctl::Request;
use super::Resource;
use crate::{OpsError, Result};

pub use act::MdevAct;

/// Bound of one definition file.
const DEFINITION_LIMIT: usize = 1 << 20;

/// A mediated device, whether or not it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mdev {
    /// The address by which mdevctl knows its parent: the last part of the parent's path in sysfs.
    pub parent: String,
    /// What tells it from all others.
    pub uuid: Uuid,
}

/// How a mediated device is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    /// Its type, if it exists.
    pub(crate) active: Option<String>,
    /// Its definition, if it has one.
    pub(crate) definition: Option<Definition>,
}

impl State {
    pub(crate) fn life(&self) -> DeviceState {
        let autostart = matches!(&self.definition, Some(Definition::Whole { autostart: true, .. }));
        DeviceState { active: self.active.is_some(), persistent: self.definition.is_some(), autostart }
    }
}

impl Mdev {
    fn link(&self) -> Vec<u8> {
        format!("{MDEV_DEVICES}/{}", self.uuid).into_bytes()
    }

    /// The type of the device, if it is active below this parent.
    fn active(&self, host: &dyn HostAccess) -> Result<Option<String>> {
        let Some(target) = host.read_link(&self.link())? else { return Ok(None) };
        let path = follow(MDEV_DEVICES.as_bytes(), &target);
        if basename(parent(&path)) != self.parent.as_bytes() {
            return Ok(None);
        }
        let type_link = [&self.link(), &b"/mdev_type"[..]].concat();
        let type_id = host.read_link(&type_link)?.unwrap_or_default();
        Ok(Some(String::from_utf8_lossy(basename(&type_id)).into_owned()))
    }

    fn definition_file(&self) -> String {
        format!("{MDEVCTL}/{}/{}", self.parent, self.uuid)
    }

    /// The step that removes a definition that cannot be read.
    fn removal(&self) -> PlanStep {
        PlanStep {
            action: StepAction::RemoveFile,
            device: None,
            file: format!("/{}", self.definition_file()),
            value: String::new(),
            input: None,
            before: None,
            after: None,
        }
    }

    fn definition(&self, host: &dyn HostAccess) -> Result<Option<Definition>> {
        let content = host.read(self.definition_file().as_bytes(), DEFINITION_LIMIT)?;
        Ok(content.map(|content| Definition::read(&content)))
    }

    /// Who has the device open, through its VFIO group or its own node: process and program.
    fn holder(&self, host: &dyn HostAccess) -> Result<Option<(u32, String)>> {
        let mut nodes = Vec::new();
        if let Some(group) = host.read_link(&[&self.link(), &b"/iommu_group"[..]].concat())? {
            nodes.push(format!("/{DEV_VFIO}/{}", String::from_utf8_lossy(basename(&group))));
        }
        let names = host.names(&[&self.link(), &b"/vfio-dev"[..]].concat())?.unwrap_or_default();
        nodes.extend(
            names.iter().map(|name| format!("/{DEV_VFIO}/devices/{}", String::from_utf8_lossy(name))),
        );
        if nodes.is_empty() {
            return Ok(None);
        }
        let has_it =
            |file: &OpenFile| open_files::vfio_node(host, file).is_some_and(|node| nodes.contains(&node));
        let open = OpenFiles::of(host)?;
        let holder = open.processes.into_iter().find(|process| process.files.iter().any(has_it));
        Ok(holder.map(|process| (process.pid, process.command)))
    }
}

impl Resource for Mdev {
    const KIND: ResourceKind = ResourceKind::Mdev;
    const FOLDER: &'static str = MDEV_CHANGES;
    const PATIENCE: Duration = Duration::from_secs(5);
    type State = State;

    fn key(&self) -> String {
        format!("{}@{}", self.parent, self.uuid)
    }

    fn from_key(key: &str) -> Option<Self> {
        let (parent, uuid) = key.split_once('@')?;
        let mdev = Self { parent: parent.to_owned(), uuid: uuid.parse().ok()? };
        (names::is_name(parent) && mdev.key() == key).then_some(mdev)
    }

    fn name(&self) -> Option<DeviceName> {
        let uuid = self.uuid.to_string();
        Some(DeviceName::from_parts(b"mdev", uuid.as_bytes(), Some(self.parent.as_bytes())))
    }

    /// That of the parent: it is not handed over, and no other device made of it, meanwhile.
    fn locks(&self, _: &dyn HostAccess) -> Result<Vec<Vec<u8>>> {
        let is_pci = self.parent.parse::<nodedev_model::PciAddress>().is_ok();
        let folder = if is_pci { HANDOVERS } else { MDEV_CHANGES };
        Ok(vec![format!("{folder}/{}.lock", self.parent).into_bytes()])
    }

    fn state(&self, host: &dyn HostAccess) -> Result<State> {
        Ok(State { active: self.active(host)?, definition: self.definition(host)? })
    }

    /// mdevctl may write a definition in another way than it is given; its type is the same.
    fn is_reached(now: &State, wanted: &State) -> bool {
        let type_of = |state: &State| match &state.definition {
            Some(Definition::Whole { mdev_type, .. }) => Some(mdev_type.clone()),
            Some(Definition::Damaged { .. }) => Some(String::new()),
            None => None,
        };
        now.active.is_some() == wanted.active.is_some() && type_of(now) == type_of(wanted)
    }

    fn way_back(&self, _: &dyn HostAccess, now: &State, before: &State) -> Result<Vec<PlanStep>> {
        let mut steps = Vec::new();
        if now.active.is_some() && before.active.is_none() {
            steps.push(Request::Stop.step(self));
        }
        let mut found = now.definition.as_ref();
        let Some(Definition::Whole { autostart, .. }) = before.definition else {
            match (found, &before.definition) {
                (Some(Definition::Damaged { .. }), None) => steps.push(self.removal()),
                (Some(Definition::Whole { .. }), None) => steps.push(Request::Undefine.step(self)),
                // What a damaged one said is not known.
                _ => {}
            }
            return Ok(steps);
        };
        if found == before.definition.as_ref() {
            return Ok(steps);
        }
        // mdevctl does not know what it cannot read, and defines nothing where it lies.
        if let Some(Definition::Damaged { .. }) = found {
            steps.push(self.removal());
            found = None;
        }
        let config = &before.definition.as_ref().map(Definition::config).unwrap_or_default();
        names::check(&self.parent, Some(config))?;
        steps.push(match found {
            Some(_) => Request::Modify { config, autostart, defined: true, live: false }.step(self),
            None => Request::Define { config, autostart }.step(self),
        });
        Ok(steps)
    }

    fn refuse_if_held(&self, host: &dyn HostAccess) -> Result<()> {
        match self.holder(host)? {
            Some((pid, command)) => Err(OpsError::Held { name: self.called(), pid, command }),
            None => Ok(()),
        }
    }
}

/// What a definition and a document have in common.
fn whole(config: &MdevConfig, autostart: bool) -> Definition {
    let attribute = |attribute: &nodedev_model::MdevAttribute| {
        (attribute.name.to_string(), attribute.value.as_ref().map(ToString::to_string))
    };
    Definition::Whole {
        mdev_type: config.type_id.to_string(),
        attributes: config.attributes.iter().map(attribute).collect(),
        autostart,
    }
}
