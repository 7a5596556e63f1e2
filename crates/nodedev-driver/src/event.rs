use std::fmt;
use std::str::FromStr;

use nodedev_model::{DeviceName, Text};

use crate::Entry;

/// A place in the history of a source of devices: how many changes there were before it.
///
/// Written as `HISTORY-NUMBER`, both in hexadecimal digits. A source begins a new history each time it starts, so a
/// revision of another history says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision {
    /// Which history; chosen at random when a source starts.
    pub history: u64,
    /// Changes up to here. 0 is the start.
    pub number: u64,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:x}", self.history, self.number)
    }
}

/// The error of reading a [`Revision`] from a text that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidRevision;

impl fmt::Display for InvalidRevision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a revision is two hexadecimal numbers with a - between them, as events give it")
    }
}

impl std::error::Error for InvalidRevision {}

impl FromStr for Revision {
    type Err = InvalidRevision;

    fn from_str(text: &str) -> Result<Self, InvalidRevision> {
        let number = |digits: &str| match digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            true => u64::from_str_radix(digits, 16).map_err(|_| InvalidRevision),
            false => Err(InvalidRevision),
        };
        let (history, number_) = text.split_once('-').ok_or(InvalidRevision)?;
        Ok(Self { history: number(history)?, number: number(number_)? })
    }
}

/// What happened to a device, as the native view tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is there now: it was plugged in, or a definition was started.
    Created,
    /// It is gone; if it has a definition, it stays as an inactive device.
    Deleted,
    /// It has a definition now.
    Defined,
    /// It has no definition any more; if it is active, it stays until it goes.
    Undefined,
    /// Something that its description tells may have changed.
    Updated,
    /// A kernel driver has taken it.
    DriverBound {
        /// Name of the kernel driver.
        kernel_driver: Text,
    },
    /// Its kernel driver has let it go.
    DriverUnbound,
    /// The kernel calls it by another name, as a network interface that was renamed.
    Renamed {
        /// Its name before.
        from: DeviceName,
    },
    /// Its hardware address, which is part of its name, is another.
    AddressChanged {
        /// Its name before.
        from: DeviceName,
    },
    /// It hangs below another device now; for instance since one between it and its former parent is known.
    ParentChanged,
}

impl Change {
    /// One word for it, as JSON and logs have it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Deleted => "deleted",
            Self::Defined => "defined",
            Self::Undefined => "undefined",
            Self::Updated => "updated",
            Self::DriverBound { .. } => "driver-bound",
            Self::DriverUnbound => "driver-unbound",
            Self::Renamed { .. } => "renamed",
            Self::AddressChanged { .. } => "address-changed",
            Self::ParentChanged => "parent-changed",
        }
    }

    /// The change that a word means, with the name before and the kernel driver where it is told of these; absent for a
    /// word that this version does not know, and where what belongs to it is missing.
    pub fn from_word(word: &str, former: Option<DeviceName>, kernel_driver: Option<Text>) -> Option<Self> {
        Some(match word {
            "created" => Self::Created,
            "deleted" => Self::Deleted,
            "defined" => Self::Defined,
            "undefined" => Self::Undefined,
            "updated" => Self::Updated,
            "driver-bound" => Self::DriverBound { kernel_driver: kernel_driver? },
            "driver-unbound" => Self::DriverUnbound,
            "renamed" => Self::Renamed { from: former? },
            "address-changed" => Self::AddressChanged { from: former? },
            "parent-changed" => Self::ParentChanged,
            _ => return None,
        })
    }

    /// The device's name before, if the change gave it another.
    pub fn former_name(&self) -> Option<&DeviceName> {
        match self {
            Self::Renamed { from } | Self::AddressChanged { from } => Some(from),
            _ => None,
        }
    }
}

/// What libvirt's clients are told of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LibvirtEvent {
    /// `VIR_NODE_DEVICE_EVENT_CREATED` (lifecycle, 0).
    Created,
    /// `VIR_NODE_DEVICE_EVENT_DELETED` (lifecycle, 1).
    Deleted,
    /// `VIR_NODE_DEVICE_EVENT_DEFINED` (lifecycle, 2).
    Defined,
    /// `VIR_NODE_DEVICE_EVENT_UNDEFINED` (lifecycle, 3).
    Undefined,
    /// `VIR_NODE_DEVICE_EVENT_ID_UPDATE`.
    Updated,
}

/// How a change looks in the libvirt view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LibvirtChange {
    /// It does not show there: the device is not in that view, or libvirt has no event for it.
    Unseen,
    /// It is one event of the device.
    One(LibvirtEvent),
    /// The device of the former name is deleted and one with the new name created.
    Replaced,
}

/// A change of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The history up to and with this change.
    pub revision: Revision,
    /// The device; after a change of its name, the new one.
    pub name: DeviceName,
    /// What happened.
    pub change: Change,
    /// How libvirt's clients see it.
    pub libvirt: LibvirtChange,
    /// The device after the change, with its parent in the native view. Absent when it is gone, and from a daemon that
    /// tells no more than a name.
    pub entry: Option<Entry>,
}

impl Event {
    /// What libvirt's clients are told, in this order.
    pub fn libvirt_events(&self) -> impl Iterator<Item = (&DeviceName, LibvirtEvent)> {
        let (first, second) = match (self.libvirt, self.change.former_name()) {
            (LibvirtChange::Unseen, _) => (None, None),
            (LibvirtChange::One(event), _) => (Some((&self.name, event)), None),
            (LibvirtChange::Replaced, from) => {
                (from.map(|name| (name, LibvirtEvent::Deleted)), Some((&self.name, LibvirtEvent::Created)))
            }
        };
        first.into_iter().chain(second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_read_as_they_are_written() {
        let revision = Revision { history: 0xfeed, number: 300 };
        assert_eq!(revision.to_string(), "000000000000feed-12c");
        assert_eq!(revision.to_string().parse(), Ok(revision));
        for text in ["", "-", "1", "1-", "-1", "1-g", "+1-2", "1-2-3", "10000000000000000-1"] {
            assert_eq!(text.parse::<Revision>(), Err(InvalidRevision), "{text}");
        }
    }

    #[test]
    fn changes_are_read_from_their_words() {
        let from: DeviceName = "net_a".parse().unwrap();
        let kernel_driver = Text::from("vfio-pci");
        for change in [
            Change::Created,
            Change::Deleted,
            Change::Defined,
            Change::Undefined,
            Change::Updated,
            Change::DriverBound { kernel_driver: kernel_driver.clone() },
            Change::DriverUnbound,
            Change::Renamed { from: from.clone() },
            Change::AddressChanged { from: from.clone() },
            Change::ParentChanged,
        ] {
            let read = Change::from_word(change.as_str(), Some(from.clone()), Some(kernel_driver.clone()));
            assert_eq!(read, Some(change));
        }
        for word in ["driver-bound", "renamed", "address-changed", "melted", ""] {
            assert_eq!(Change::from_word(word, None, None), None, "{word}");
        }
    }

    #[test]
    fn a_new_name_is_a_device_that_goes_and_one_that_comes() {
        let name = |text: &str| text.parse::<DeviceName>().unwrap();
        let mut event = Event {
            revision: Revision { history: 0, number: 1 },
            name: name("net_b"),
            change: Change::Renamed { from: name("net_a") },
            libvirt: LibvirtChange::Replaced,
            entry: None,
        };
        let told: Vec<_> =
            event.libvirt_events().map(|(name, event)| (name.as_str().to_owned(), event)).collect();
        assert_eq!(told, [("net_a".into(), LibvirtEvent::Deleted), ("net_b".into(), LibvirtEvent::Created)]);
        event.libvirt = LibvirtChange::Unseen;
        assert_eq!(event.libvirt_events().count(), 0);
    }
}
