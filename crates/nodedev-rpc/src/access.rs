//! What a procedure does, what it takes, and what its caller must be allowed to do.

use nodedev_model::request::{CallAccess, CallName};

/// A permission that a procedure asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permission {
    /// What it is about: `connect` or `node_device`, or of calls that libvirt has not got, the part of their names before the dot.
    pub object: &'static str,
    /// What is to be done with it, for instance `getattr`.
    pub action: &'static str,
    /// With which flags it is asked for.
    pub when: When,
}

/// Objects of permissions that libvirt has; the others are ours.
const LIBVIRTS: &[&str] = &["connect", "node_device"];

/// Which flags of a call a permission depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// None: it is always asked for.
    Always,
    /// It is asked for if one of these bits is set.
    AnyOf(u32),
    /// It is asked for if none of these bits is set.
    NoneOf(u32),
}

impl Permission {
    /// What the caller of a named call needs.
    pub fn of_call(call: CallName) -> Self {
        let action = match call.access() {
            CallAccess::Query | CallAccess::Inspect => "query",
            CallAccess::Manage => "manage",
        };
        Self { object: call.area(), action, when: When::Always }
    }

    /// Whether a call with `flags` needs it; `flags` is 0 for calls without.
    pub fn is_needed(&self, flags: u32) -> bool {
        match self.when {
            When::Always => true,
            When::AnyOf(bits) => flags & bits != 0,
            When::NoneOf(bits) => flags & bits == 0,
        }
    }

    /// The name of polkit's action.
    ///
    /// ```
    /// let permissions = nodedev_rpc::Procedure::NodeNumOfDevices.permissions();
    /// assert_eq!(permissions[0].polkit_action(), "org.libvirt.api.connect.search-node-devices");
    /// ```
    pub fn polkit_action(&self) -> String {
        let vendor = if LIBVIRTS.contains(&self.object) { "org.libvirt.api" } else { "org.nodedev" };
        format!("{vendor}.{}.{}", self.object, self.action).replace('_', "-")
    }
}

/// What of a connection a procedure needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it can be called before `CONNECT_OPEN`.
    Nothing,
    /// The connection that was opened, whichever its driver.
    Connection,
    /// The connection's node devices.
    NodeDevices,
}

/// Whether a procedure changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It looks; read-only connections may.
    Reads,
    /// It acts; read-only connections may not.
    Writes,
}

/// How long a procedure takes where devices are served, from the shortest on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// It is in the index of devices: handing it to another thread would take longer.
    Known,
    /// It looks at no device.
    Quick,
    /// It describes one device: dozens of microseconds, unless a driver of the kernel answers late.
    Describe,
    /// It is about all devices, of which lists are kept from one call to the next.
    List,
    /// It looks at the host.
    Look,
    /// It changes something, asks somebody else, or waits until there is an index.
    Wait,
}
