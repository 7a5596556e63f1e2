//! From the daemon's events to changes.

use nodedev_driver::{Change, Happened, LibvirtChange, LibvirtEvent};
use nodedev_rpc::{Event, LifecycleKind, Str};

/// The change that an event of the daemon tells; nothing for events that are not about devices, or that are not known.
pub(crate) fn happened(event: &Event<'_>) -> Option<Happened> {
    let (device, change, libvirt) = match event {
        Event::Lifecycle(event) => {
            let (change, libvirt) = match event.kind {
                LifecycleKind::Created => (Change::Created, LibvirtEvent::Created),
                LifecycleKind::Deleted => (Change::Deleted, LibvirtEvent::Deleted),
                LifecycleKind::Defined => (Change::Defined, LibvirtEvent::Defined),
                LifecycleKind::Undefined => (Change::Undefined, LibvirtEvent::Undefined),
                LifecycleKind::Unknown(_) => return None,
            };
            (event.device, change, libvirt)
        }
        Event::Update(event) => (event.device, Change::Updated, LibvirtEvent::Updated),
        Event::ConnectionClosed(_) | Event::Unknown { .. } => return None,
    };
    let name = Str::to_string_lossy(device).parse().ok()?;
    Some(Happened { name, change, libvirt: LibvirtChange::One(libvirt), entry: None })
}
