//! Which devices the kernel has: the folders of buses and classes in sysfs list them.

use std::ops::ControlFlow;

use nodedev_sys::{Root, SysError, paths};

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
    for (top, devices) in [(paths::BUS, &b"/devices"[..]), (paths::CLASS, b"")] {
        let mut subsystems = root.names(top.as_bytes()).unwrap_or_else(|error: SysError| {
            issues.error(&error);
            Vec::new()
        });
        subsystems.sort_unstable();
        for subsystem in subsystems.iter().filter(|name| !LEFT_OUT.contains(&&***name) && wanted(name)) {
            let folder = [top.as_bytes(), b"/", subsystem, devices].concat();
            match enumerate_subsystem(root, issues, subsystem, &folder, visit) {
                Ok(flow) => flow?,
                Err(error) => issues.error(&error),
            }
        }
    }
    ControlFlow::Continue(())
}

fn enumerate_subsystem(
    root: &Root,
    issues: &Issues,
    subsystem: &[u8],
    folder: &[u8],
    visit: &mut dyn FnMut(Found<'_>) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, SysError> {
    let Some(opened) = root.folder(folder)? else { return Ok(ControlFlow::Continue(())) };
    let mut flow = ControlFlow::Continue(());
    opened.for_each_name(|name| {
        if flow.is_break() {
            return;
        }
        match opened.link(name) {
            // What is no link is a control file of the class.
            Ok(None) => {}
            Ok(Some(target)) => {
                let path = paths::follow(folder, &target);
                if path.starts_with(paths::SYS.as_bytes()) {
                    flow = visit(Found { subsystem, folder, name, target: &target, path });
                }
            }
            Err(error) => issues.error(&error),
        }
    })?;
    Ok(flow)
}

#[cfg(test)]
mod tests {
    #[test]
    fn table_of_subsystems_is_sorted() {
        assert!(super::NO_NODE_DEVICES.is_sorted());
    }
}
