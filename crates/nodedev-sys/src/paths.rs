//! Where things are on a host, relative to its root.

/// Top of sysfs.
pub const SYS: &str = "sys";
/// What all paths of devices begin with.
pub const DEVICES: &str = "sys/devices";
/// One folder for each bus, with its devices in `devices`.
pub const BUS: &str = "sys/bus";
/// One folder for each class, with its devices in it.
pub const CLASS: &str = "sys/class";
/// One folder for each IOMMU group.
pub const IOMMU_GROUPS: &str = "sys/kernel/iommu_groups";
/// Identity of the machine, from its firmware.
pub const DMI: &str = "sys/devices/virtual/dmi/id";
/// udev's database, one file for each device.
pub const UDEV_DATA: &str = "run/udev/data";
/// Where udev is asked to do something; it is there while udev runs.
pub const UDEV_CONTROL: &str = "run/udev/control";
/// The processors: one folder for each, and the list of those that are online.
pub const CPUS: &str = "sys/devices/system/cpu";
/// The NUMA nodes: one folder for each.
pub const NODES: &str = "sys/devices/system/node";
/// How much memory there is.
pub const MEMINFO: &str = "proc/meminfo";
/// What the processors say of themselves.
pub const CPUINFO: &str = "proc/cpuinfo";
/// Name of the machine.
pub const HOSTNAME: &str = "proc/sys/kernel/hostname";
/// Architecture, since Linux 6.1.
pub const ARCHITECTURE: &str = "proc/sys/kernel/arch";
/// Device nodes.
pub const DEV: &str = "dev";
/// Definitions of mediated devices: one folder for each parent, one file for each device.
pub const MDEVCTL: &str = "etc/mdevctl.d";
/// Where distributions keep the database of PCI vendors and devices; the first that exists is used.
pub const PCI_IDS: [&str; 4] =
    ["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids", "usr/share/pci.ids", "var/lib/pciutils/pci.ids"];

/// `path/name` as bytes.
pub fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    [path, b"/", name].concat()
}

/// Last component of a path.
pub fn basename(path: &[u8]) -> &[u8] {
    path.rsplit(|&b| b == b'/').next().unwrap_or(path)
}

/// The path without its last component; empty when there is only one.
pub fn parent(path: &[u8]) -> &[u8] {
    path.iter().rposition(|&b| b == b'/').map_or(b"", |at| &path[..at])
}

/// Where a link in `folder` with the stored target `target` leads, worked out from the text alone. sysfs has no link to
/// a link in such places, so that is where the kernel would go.
pub fn follow(folder: &[u8], target: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::with_capacity(24);
    let start: &[u8] = if target.starts_with(b"/") { b"" } else { folder };
    for part in start.split(|&b| b == b'/').chain(target.split(|&b| b == b'/')) {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join(&b'/')
}

#[cfg(test)]
mod tests {
    #[test]
    fn links_are_followed_by_text_and_stop_at_the_top() {
        for (folder, target, want) in [
            (
                "sys/bus/pci/devices",
                "../../../devices/pci0000:00/0000:00:02.0",
                "sys/devices/pci0000:00/0000:00:02.0",
            ),
            ("sys/class/net", "../../devices/virtual/net/lo", "sys/devices/virtual/net/lo"),
            ("sys/class/net", "/sys/devices/x", "sys/devices/x"),
            ("sys", "../../../../etc/shadow", "etc/shadow"),
            ("sys/a", ".//b/./c", "sys/a/b/c"),
        ] {
            assert_eq!(super::follow(folder.as_bytes(), target.as_bytes()), want.as_bytes());
        }
    }
}
