//! Kinds of things that exist because somebody asked for them, each a [`Resource`]: mediated devices and virtual ports.
//!
//! A change of one is a transaction as that of a binding is: a plan as data, an entry of the journal before the first step, each
//! step followed by a look at what it did, undoing from what is seen, and recovery of what a crash left. Unlike a binding a
//! resource has no entry when nothing is going on: what it was before matters to nobody then.

mod journal;
pub(crate) mod mdev;
mod recover;
mod transaction;
pub(crate) mod vport;

use std::time::Duration;

use nodedev_model::{DeviceName, PlanStep, ResourceKind};
use nodedev_sys::HostAccess;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Result;

/// A thing that is changed by steps, and whose state can be seen.
pub(crate) trait Resource: Sized {
    /// What kind of thing it is.
    const KIND: ResourceKind;
    /// Where its journal is.
    const FOLDER: &'static str;
    /// How long a step's outcome may take to be seen.
    const PATIENCE: Duration;
    /// All that can be seen of it.
    type State: std::fmt::Debug + Clone + PartialEq + Serialize + DeserializeOwned;

    /// What tells it from others of its kind: a part of names of files.
    fn key(&self) -> String;

    /// The thing with a key; `None` if there can be none.
    fn from_key(key: &str) -> Option<Self>;

    /// The name of its device, as far as it is known.
    fn name(&self) -> Option<DeviceName>;

    /// Files that are locked while it is changed, besides its own, in the order in which locks are taken everywhere.
    ///
    /// # Errors
    /// The host cannot be looked at.
    fn locks(&self, host: &dyn HostAccess) -> Result<Vec<Vec<u8>>>;

    /// How it is.
    ///
    /// # Errors
    /// The host cannot be looked at.
    fn state(&self, host: &dyn HostAccess) -> Result<Self::State>;

    /// Whether what is seen is what steps should have led to, as far as programs and the kernel keep what they are given.
    fn is_reached(now: &Self::State, wanted: &Self::State) -> bool;

    /// The steps that undo a change: from how it is to how it was. What cannot be brought back is left out.
    ///
    /// # Errors
    /// What it was is not to be believed, or the host cannot be looked at.
    fn way_back(
        &self,
        host: &dyn HostAccess,
        now: &Self::State,
        before: &Self::State,
    ) -> Result<Vec<PlanStep>>;

    /// Refuses to take it from whoever has it open.
    ///
    /// # Errors
    /// Somebody has it, or the host cannot be looked at.
    fn refuse_if_held(&self, host: &dyn HostAccess) -> Result<()>;

    /// What the resource is called in messages.
    fn called(&self) -> String {
        self.name().map_or_else(|| self.key(), |name| name.to_string())
    }
}
