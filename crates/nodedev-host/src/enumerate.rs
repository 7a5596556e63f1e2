//! Which devices the kernel has: the folders of buses and classes in sysfs list them.

use std::ops::ControlFlow;

use nodedev_sys::{Folder, Root, SysError, paths};

use crate::kernel::Issues;

/// Subsystems that libvirt does not look at: many devices, none of interest.
const LEFT_OUT: [&[u8]; 4] = [b"acpi", b"tty", b"vc", b"i2c"];
/// Subsystems none of whose devices either view has: the kernel gives them no property that libvirt goes by. Big hosts
/// have tens of thousands of such devices (a memory block for each 128 MiB), so that they are not even listed.
///
/// Sorted.
const NO_NODE_DEVICES: [&[u8]; 38] = [
    b"bdi",
    b"bsg",
    b"clockevents",
    b"clocksource",
    b"cpu",
    b"cpuid",
    b"edac",
    b"event_source",
    b"fc_host",
    b"fc_transport",
    b"fc_vports",
    b"firmware",
    b"gpio",
    b"input",
    b"leds",
    b"machinecheck",
    b"mem",
    b"memory",
    b"memory_tiering",
    b"msr",
    b"node",
    b"nvmem",
    b"pci_bus",
    b"pci_express",
    b"pnp",
    b"power_supply",
    b"powercap",
    b"regulator",
    b"rtc",
    b"scsi_device",
    b"scsi_disk",
    b"scsi_host",
    b"serial-base",
    b"serio",
    b"thermal",
    b"vtconsole",
    b"wakeup",
    b"workqueue",
];

/// Whether a view may have devices of this subsystem.
pub(crate) fn has_node_devices(subsystem: &[u8]) -> bool {
    !LEFT_OUT.contains(&subsystem) && NO_NODE_DEVICES.binary_search(&subsystem).is_err()
}

/// What the folders of buses and classes list: links to devices, which are not looked at yet.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    subsystems: Vec<Listed>,
    /// The names of the links, one behind the other, and where each ends.
    names: Vec<u8>,
    ends: Vec<usize>,
}

#[derive(Debug)]
struct Listed {
    subsystem: Box<[u8]>,
    folder: Vec<u8>,
    /// How many links there are in its folder and in those before.
    end: usize,
}

/// Where a link to a device leads.
pub(crate) struct Followed {
    /// As it is stored.
    pub(crate) target: Vec<u8>,
    /// The device's folder.
    pub(crate) path: Vec<u8>,
}

/// The folder that was opened last, which most of the next links are in too.
#[derive(Debug, Default)]
pub(crate) struct Opened<'a>(Option<(usize, Option<Folder<'a>>)>);

impl Listing {
    /// Lists the wanted subsystems that libvirt's enumeration would look at.
    pub(crate) fn of(root: &Root, issues: &Issues, wanted: impl Fn(&[u8]) -> bool) -> Self {
        let mut listing = Self::default();
        for (top, devices) in [(paths::BUS, &b"/devices"[..]), (paths::CLASS, b"")] {
            let mut subsystems = root.names(top.as_bytes()).unwrap_or_else(|error: SysError| {
                issues.error(&error);
                Vec::new()
            });
            subsystems.sort_unstable();
            for subsystem in subsystems {
                if LEFT_OUT.contains(&&*subsystem) || !wanted(&subsystem) {
                    continue;
                }
                let folder = [top.as_bytes(), b"/", &subsystem, devices].concat();
                let listed = root.list(&folder, |name| {
                    listing.names.extend_from_slice(name);
                    listing.ends.push(listing.names.len());
                });
                if let Err(error) = listed {
                    issues.error(&error);
                }
                listing.subsystems.push(Listed { subsystem, folder, end: listing.ends.len() });
            }
        }
        listing
    }

    /// How many links there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The subsystem that a link is listed in.
    pub(crate) fn subsystem(&self, link: usize) -> &[u8] {
        &self.subsystems[self.place(link)].subsystem
    }

    /// Which of the subsystems a link is in.
    fn place(&self, link: usize) -> usize {
        self.subsystems.partition_point(|listed| listed.end <= link)
    }

    fn name(&self, link: usize) -> &[u8] {
        let start = link.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.names[start..self.ends[link]]
    }

    /// Follows a link. `None` if it is none, or leads to no device.
    pub(crate) fn follow<'a>(
        &'a self,
        root: &'a Root,
        link: usize,
        opened: &mut Opened<'a>,
    ) -> Result<Option<Followed>, SysError> {
        let place = self.place(link);
        let folder = &self.subsystems[place].folder;
        let opened = match &mut opened.0 {
            Some((of, opened)) if *of == place => opened,
            other => &mut other.insert((place, root.folder(folder)?)).1,
        };
        let Some(opened) = opened else { return Ok(None) };
        // What is no link is a control file of the class.
        let Some(target) = opened.link(self.name(link))? else { return Ok(None) };
        let path = paths::follow(folder, &target);
        Ok(path.starts_with(paths::SYS.as_bytes()).then_some(Followed { target, path }))
    }
}

/// A device as the folders of buses and classes list it.
#[derive(Debug)]
pub struct Found<'a> {
    /// Bus or class.
    pub subsystem: &'a [u8],
    /// The folder with the link to the device.
    pub folder: &'a [u8],
    /// The link's name.
    pub name: &'a [u8],
    /// The link's stored target.
    pub target: &'a [u8],
    /// The device's folder.
    pub path: Vec<u8>,
}

/// Calls `visit` for each device of the host that libvirt's enumeration would look at, in the wanted subsystems, until
/// it says stop.
pub fn enumerate(
    root: &Root,
    issues: &Issues,
    wanted: impl Fn(&[u8]) -> bool,
    visit: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let listing = Listing::of(root, issues, wanted);
    let mut opened = Opened::default();
    for link in 0..listing.len() {
        match listing.follow(root, link, &mut opened) {
            Ok(Some(Followed { target, path })) => {
                let Listed { subsystem, folder, .. } = &listing.subsystems[listing.place(link)];
                visit(Found { subsystem, folder, name: listing.name(link), target: &target, path })?;
            }
            Ok(None) => {}
            Err(error) => issues.error(&error),
        }
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn table_of_subsystems_is_sorted() {
        assert!(super::NO_NODE_DEVICES.is_sorted());
    }
}
