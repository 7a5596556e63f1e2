//! What can be done with a mediated device.

use nodedev_model::{
    ChangeOperation, ChangePlan, ChangedDevice, Effect, Finding, FindingKind, MdevConfig, Outcome,
    ResourceKind, Uuid,
};
use nodedev_sys::paths::RANDOM_UUID;

use super::definition::Definition;
use super::mdevctl::{CAN_MODIFY, Request};
use super::{Mdev, State, names, whole};
use crate::kinds::Resource;
use crate::kinds::transaction::{ResourceChange, Words};
use crate::{Engine, OpsError, Result};

const UNKNOWN: &str = "Unknown error";

/// What is done with a mediated device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MdevAct<'a> {
    /// It is made, and gets no definition.
    Create(&'a MdevConfig),
    /// It gets this definition; whether it is started with the host stays as it was.
    Define(&'a MdevConfig),
    /// It is made as its definition says.
    Start,
    /// Its attributes become these.
    Update {
        /// Type, which stays the same, and attributes.
        config: &'a MdevConfig,
        /// In its definition.
        defined: bool,
        /// Now.
        live: bool,
    },
    /// It is removed; its definition stays.
    Destroy,
    /// Its definition is removed.
    Undefine,
    /// It is started with the host, or not.
    SetAutostart(bool),
}

impl MdevAct<'_> {
    fn config(&self) -> Option<&MdevConfig> {
        match self {
            Self::Create(config) | Self::Define(config) | Self::Update { config, .. } => Some(config),
            _ => None,
        }
    }

    fn operation(&self) -> ChangeOperation {
        match self {
            Self::Create(_) => ChangeOperation::Create,
            Self::Define(_) => ChangeOperation::Define,
            Self::Start => ChangeOperation::Start,
            Self::Update { .. } => ChangeOperation::Update,
            Self::Destroy => ChangeOperation::Destroy,
            Self::Undefine => ChangeOperation::Undefine,
            Self::SetAutostart(_) => ChangeOperation::SetAutostart,
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Define(_) => "define",
            Self::Start => "start",
            Self::Update { .. } => "update",
            Self::Destroy => "destroy",
            Self::Undefine => "undefine",
            Self::SetAutostart(_) => "set-autostart",
        }
    }

    fn request(&self, before: &State) -> Request<'_> {
        let autostart = before.life().autostart;
        match *self {
            Self::Create(config) => Request::StartNew(config),
            Self::Define(config) if before.definition.is_some() => {
                Request::Modify { config, autostart, defined: true, live: false }
            }
            Self::Define(config) => Request::Define { config, autostart: false },
            Self::Start => Request::StartDefined,
            Self::Update { config, defined, live } => Request::Modify { config, autostart, defined, live },
            Self::Destroy => Request::Stop,
            Self::Undefine => Request::Undefine,
            Self::SetAutostart(on) => Request::SetAutostart(on),
        }
    }

    /// How the device is afterwards, and whether that can be seen: which attributes a device was given cannot.
    fn after(&self, before: &State) -> (State, bool) {
        let State { active, definition } = before.clone();
        let autostart = before.life().autostart;
        match self {
            Self::Create(config) => {
                let active = Some(config.type_id.to_string());
                (State { active, definition }, config.attributes.is_empty())
            }
            Self::Start => {
                let (active, is_plain) = match &definition {
                    Some(Definition::Whole { mdev_type, attributes, .. }) => {
                        (mdev_type.clone(), attributes.is_empty())
                    }
                    _ => (String::new(), false),
                };
                (State { active: Some(active), definition }, is_plain)
            }
            Self::Define(config) => (State { active, definition: Some(whole(config, autostart)) }, true),
            Self::Update { config, defined, live } => {
                let definition = if *defined { Some(whole(config, autostart)) } else { definition };
                (State { active, definition }, !live)
            }
            Self::Destroy => (State { active: None, definition }, true),
            Self::Undefine => (State { active, definition: None }, true),
            Self::SetAutostart(on) => {
                let definition = definition.map(|definition| definition.started_with_the_host(*on));
                (State { active, definition }, true)
            }
        }
    }

    /// What could not be done, in libvirt's words.
    fn words(&self, before: &State, name: &str) -> Words {
        let (what, nothing) = match self {
            Self::Create(_) => ("Unable to start mediated device".to_owned(), UNKNOWN),
            Self::Define(_) if before.definition.is_some() => {
                ("Unable to modify mediated device".to_owned(), UNKNOWN)
            }
            Self::Define(_) => ("Unable to define mediated device".to_owned(), UNKNOWN),
            Self::Update { .. } => ("Unable to modify mediated device".to_owned(), UNKNOWN),
            Self::Start => ("Unable to create mediated device".to_owned(), UNKNOWN),
            Self::Destroy => (format!("Unable to destroy '{name}'"), UNKNOWN),
            Self::Undefine => ("Unable to undefine mediated device".to_owned(), UNKNOWN),
            Self::SetAutostart(_) => (format!("Unable to set autostart on '{name}'"), "Unknown Error"),
        };
        Words { what, nothing }
    }
}

impl Engine<'_> {
    /// A UUID that no device has.
    ///
    /// # Errors
    /// The kernel gives none.
    pub fn new_uuid(&self) -> Result<Uuid> {
        let content = self.host.read(RANDOM_UUID.as_bytes(), 64)?.unwrap_or_default();
        let text = std::str::from_utf8(content.trim_ascii()).unwrap_or_default();
        text.parse().map_err(|_| OpsError::NotTold { what: "a new UUID", path: format!("/{RANDOM_UUID}") })
    }

    /// Does something with a mediated device, all or nothing; or says what would be done.
    ///
    /// # Errors
    /// What stands in the way, or what failed.
    pub fn change_mdev(&self, mdev: &Mdev, act: &MdevAct<'_>, dry_run: bool) -> Result<ChangePlan> {
        names::check(&mdev.parent, act.config())?;
        if dry_run {
            let change = self.planned(mdev, act)?;
            let findings = match mdev.holder(self.host)? {
                Some((pid, command)) if *act == MdevAct::Destroy => vec![in_use(mdev, pid, &command)],
                _ => Vec::new(),
            };
            return self.plan_of(&change, act, Outcome::Planned, findings);
        }
        if *act == MdevAct::Destroy {
            mdev.refuse_if_held(self.host)?;
        }
        let locks = self.begin_change(mdev)?;
        let change = self.planned(mdev, act)?;
        if matches!(act.request(&change.before), Request::Modify { .. }) && !self.can_modify()? {
            return Err(OpsError::ModifyUnsupported);
        }
        self.change_resource(&change, &locks)?;
        self.plan_of(&change, act, Outcome::Changed, Vec::new())
    }

    fn planned(&self, mdev: &Mdev, act: &MdevAct<'_>) -> Result<ResourceChange<Mdev>> {
        let before = mdev.state(self.host)?;
        let (after, is_seen) = act.after(&before);
        Ok(ResourceChange {
            steps: vec![act.request(&before).step(mdev)],
            act: act.word(),
            words: act.words(&before, &mdev.called()),
            resource: mdev.clone(),
            before,
            after,
            is_seen,
        })
    }

    fn plan_of(
        &self,
        change: &ResourceChange<Mdev>,
        act: &MdevAct<'_>,
        outcome: Outcome,
        findings: Vec<Finding>,
    ) -> Result<ChangePlan> {
        Ok(ChangePlan {
            operation: act.operation(),
            outcome,
            device: ChangedDevice {
                kind: ResourceKind::Mdev,
                name: change.resource.name(),
                key: change.resource.key(),
                before: change.before.life(),
                after: change.after.life(),
            },
            undo: change.resource.way_back(self.host, &change.after, &change.before)?,
            steps: change.steps.clone(),
            findings,
        })
    }

    fn can_modify(&self) -> Result<bool> {
        let ran = self.host.run_mdevctl(&CAN_MODIFY, None, &[]);
        Ok(ran.map_err(|source| OpsError::ProgramNotRun { source })?.success)
    }
}

fn in_use(mdev: &Mdev, pid: u32, command: &str) -> Finding {
    Finding {
        kind: FindingKind::InUse,
        effect: Effect::Refused,
        problem: format!("process {pid} ({command}) has {} open", mdev.called()),
        remedy: Some("end that process, or take the device from it".to_owned()),
    }
}
