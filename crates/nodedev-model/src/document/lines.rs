//! Devices as lists have them, and the lines of `nodedev watch --json`.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DeviceName, DeviceState, Text, Visibility};

/// A device in `list --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Listed")]
pub struct ListedDevice<'a> {
    /// Identity of the device.
    pub name: Cow<'a, DeviceName>,
    /// Nearest device above that is in the same view; absent for `computer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<Cow<'a, DeviceName>>,
    /// Type of its capability, or the kernel's word for a device that only the native view has.
    #[serde(rename = "type")]
    pub kind: Cow<'a, str>,
    /// Which views show the device.
    #[serde(flatten)]
    pub visibility: Visibility,
    /// Whether it exists now, and whether it has a definition.
    #[serde(flatten)]
    pub state: DeviceState,
}

/// A line of `watch --json`.
///
/// Without `--since`, and whenever changes were missed, `init` begins a complete picture: one `init-apply` for each
/// device, then `init-done`. A device that an `init` does not tell of is gone. After that, `apply` and `delete` change
/// the picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[schemars(rename = "Line")]
pub enum WatchLine<'a> {
    /// Forget all devices; the complete picture follows.
    Init,
    /// A device of the complete picture.
    InitApply {
        /// The device.
        device: ListedDevice<'a>,
    },
    /// The picture is complete.
    InitDone {
        /// What `--since` takes to go on from here.
        revision: Cow<'a, str>,
    },
    /// A device came or changed.
    Apply {
        /// What `--since` takes to go on from here.
        revision: Cow<'a, str>,
        /// What happened: `created`, `defined`, `updated`, `driver-bound` …
        change: Cow<'a, str>,
        /// Its name.
        name: Cow<'a, DeviceName>,
        /// Its name before, which no device has now.
        #[serde(skip_serializing_if = "Option::is_none")]
        from: Option<Cow<'a, DeviceName>>,
        /// The kernel driver that has it now, where the change is `driver-bound`.
        #[serde(skip_serializing_if = "Option::is_none")]
        driver: Option<Cow<'a, Text>>,
        /// The device now. Absent from a daemon of libvirt's, which tells no more than a name.
        #[serde(skip_serializing_if = "Option::is_none")]
        device: Option<ListedDevice<'a>>,
    },
    /// A device is gone.
    Delete {
        /// What `--since` takes to go on from here.
        revision: Cow<'a, str>,
        /// What happened: `deleted` or `undefined`.
        change: Cow<'a, str>,
        /// Its name.
        name: Cow<'a, DeviceName>,
    },
    /// A line that this version does not know, of a newer program; never written.
    #[serde(other, skip_serializing)]
    #[schemars(skip)]
    Other,
}
