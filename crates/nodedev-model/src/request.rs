//! Requests to `nodedevd` beyond libvirt's calls: names, requests and replies, as JSON.
//!
//! One table has all of them; whoever serves, asks, documents or checks them goes by it.

use schemars::{JsonSchema, Schema, schema_for};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{ChangePlan, DeviceName, Explanation, HandoverPlan, Handovers, Issue, NodeDevice, Text};

/// What the caller of a named call has to be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallAccess {
    /// To see devices: polkit's action `org.nodedev.AREA.query`. Read-only connections may.
    Query,
    /// To see what users do with devices: `org.nodedev.AREA.query`, on a connection that is not read-only.
    Inspect,
    /// To change devices: `org.nodedev.AREA.manage`, on a connection that is not read-only.
    Manage,
}

/// A request, which names its call and the type of the reply.
pub trait NamedCall: Serialize + DeserializeOwned {
    /// The call.
    const CALL: CallName;
    /// What it is answered with.
    type Reply: Serialize + DeserializeOwned;
}

/// Declares the calls: name, request, reply, access.
macro_rules! calls {
    ($($(#[$doc:meta])* $variant:ident $name:literal $request:ty => $reply:ty, $access:ident;)*) => {
        /// A call by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum CallName {
            $($(#[$doc])* $variant,)*
        }

        impl CallName {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name: the area, a dot, the act.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What its caller has to be allowed.
            pub fn access(self) -> CallAccess {
                match self { $(Self::$variant => CallAccess::$access,)* }
            }

            /// JSON schema of its request.
            pub fn request_schema(self) -> Schema {
                match self { $(Self::$variant => schema_for!($request),)* }
            }

            /// JSON schema of its reply.
            pub fn reply_schema(self) -> Schema {
                match self { $(Self::$variant => schema_for!($reply),)* }
            }
        }

        $(impl NamedCall for $request {
            const CALL: CallName = CallName::$variant;
            type Reply = $reply;
        })*
    };
}

calls! {
    /// One device, described.
    Device "device.get" DeviceRequest => NodeDevice, Query;
    /// A page of the devices of a view, described, and what could not be read of them.
    Visit "device.visit" VisitRequest => VisitReply, Query;
    /// Whether devices can be handed to guests, and if not, why.
    Explain "handover.explain" ExplainRequest => ExplainReply, Inspect;
    /// Takes a device from the host.
    Detach "handover.detach" DetachRequest => HandoverPlan, Manage;
    /// Gives a device back to the host.
    Reattach "handover.reattach" ReattachRequest => HandoverPlan, Manage;
    /// Resets a device.
    Reset "handover.reset" ResetRequest => HandoverPlan, Manage;
    /// What would be done to make, change or remove a mediated device or a virtual port.
    PlanChange "change.plan" PlanChangeRequest => ChangePlan, Manage;
    /// The devices that were taken from the host.
    Handovers "handover.list" HandoversRequest => Handovers, Inspect;
    /// Forgets what is to be given back for a device.
    Forget "handover.forget" ForgetRequest => ForgetReply, Manage;
}

impl CallName {
    /// The call of a name; absent if none has it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|call| call.as_str() == name)
    }

    /// What the call is about: the part of its name before the dot.
    pub fn area(self) -> &'static str {
        self.as_str().split('.').next().unwrap_or_default()
    }
}

/// Request for one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceRequest {
    /// Its name, in either view.
    pub name: String,
}

/// Request for a page of devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VisitRequest {
    /// Whether devices are wanted, too, that libvirt leaves out.
    pub native: bool,
    /// The last device of the page before; absent for the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<DeviceName>,
    /// Only what could not be read is wanted: all devices are one page then, and are not told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub only_issues: bool,
}

/// A page of devices.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct VisitReply {
    /// The devices, sorted by name.
    pub devices: Vec<NodeDevice>,
    /// What could not be read.
    #[serde(default)]
    pub issues: Vec<Issue>,
    /// Whether more devices follow.
    #[serde(default)]
    pub more: bool,
}

/// So many devices can be asked about at once.
pub const NAMES_MAX: usize = 256;

/// Question about devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Names of the devices, at most [`NAMES_MAX`].
    pub names: Vec<String>,
    /// Name of the kernel driver that is to serve them; absent: the one that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_driver: Option<String>,
}

/// Answers about devices, in the order of the question.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ExplainReply {
    /// One for each name.
    pub answers: Vec<ExplainAnswer>,
}

/// Answer about a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExplainAnswer {
    /// It can be told.
    Explanation(Explanation),
    /// It cannot.
    Error(CallError),
}

/// An error of one part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallError {
    /// libvirt's number of the error.
    pub code: i32,
    /// libvirt's number of the part of the program that it is from.
    pub domain: i32,
    /// What is wrong.
    pub message: String,
    /// What helps; absent if nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// Request to take a device from the host. Nothing is forced for a client of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DetachRequest {
    /// Its name.
    pub name: String,
    /// Name of the kernel driver that is to serve it; absent: the one that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_driver: Option<String>,
    /// Everything in its IOMMU group that can be detached is, or nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub group: bool,
    /// Only say what would be done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Request to give a device back to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReattachRequest {
    /// Its name.
    pub name: String,
    /// Everything in its IOMMU group that is detached is given back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub group: bool,
    /// Only say what would be done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Request to reset a device. Nothing is forced for a client of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetRequest {
    /// Its name.
    pub name: String,
    /// Only say what would be done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Request for the plan of a change. Nothing is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "act", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PlanChangeRequest {
    /// A device is made without a definition.
    Create {
        /// The document.
        xml: Text,
        /// libvirt's flags (`virNodeDeviceCreateXMLFlags`).
        flags: u32,
    },
    /// A device gets a definition.
    Define {
        /// The document.
        xml: Text,
        /// libvirt's flags (`virNodeDeviceDefineXMLFlags`).
        flags: u32,
    },
    /// A defined device is started.
    Start {
        /// Its name.
        name: String,
    },
    /// A device is removed.
    Destroy {
        /// Its name.
        name: String,
    },
    /// A definition is removed.
    Undefine {
        /// Name of the device.
        name: String,
    },
    /// A device, or its definition, is changed.
    Update {
        /// Its name.
        name: String,
        /// The document.
        xml: Text,
        /// libvirt's flags (`virNodeDeviceUpdateFlags`).
        flags: u32,
    },
    /// Whether a device is started with the host is changed.
    SetAutostart {
        /// Its name.
        name: String,
        /// Whether it is.
        autostart: bool,
    },
}

impl PlanChangeRequest {
    /// Name of the device; absent where a document has it.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Create { .. } | Self::Define { .. } => None,
            Self::Start { name }
            | Self::Destroy { name }
            | Self::Undefine { name }
            | Self::Update { name, .. }
            | Self::SetAutostart { name, .. } => Some(name),
        }
    }
}

/// Request for the devices that were taken from the host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HandoversRequest {}

/// Request to forget what is to be given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ForgetRequest {
    /// Name or PCI address of the device.
    pub name: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgetReply {
    /// Whether there was something to forget.
    pub forgotten: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_found_by_their_names_which_say_what_they_are_about() {
        let mut names: Vec<_> = CallName::ALL.iter().map(|call| call.as_str()).collect();
        for call in CallName::ALL {
            assert_eq!(CallName::from_name(call.as_str()), Some(*call));
            assert!(call.as_str().starts_with(&format!("{}.", call.area())), "{}", call.as_str());
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CallName::ALL.len());
        assert_eq!(CallName::from_name("device"), None);
    }

    #[test]
    fn what_a_request_does_not_know_is_refused_and_nothing_can_be_forced() {
        let read = |json| serde_json::from_str::<DetachRequest>(json).map(|request| request.dry_run);
        assert!(!read(r#"{"name":"a"}"#).unwrap());
        assert!(read(r#"{"name":"a","dry_run":true}"#).unwrap());
        assert!(
            read(r#"{"name":"a","force":true}"#).unwrap_err().to_string().contains("unknown field `force`")
        );
        assert!(serde_json::from_str::<ResetRequest>(r#"{"name":"a","force":true}"#).is_err());
        assert!(read("{}").is_err());
    }
}
