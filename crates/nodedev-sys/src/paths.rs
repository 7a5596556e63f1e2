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
/// Fibre Channel ports, and SCSI hosts, where older kernels have the attributes of virtual ports.
pub const CLASSES_OF_PORTS: [&str; 2] = ["sys/class/fc_host", "sys/class/scsi_host"];
/// Nodes of VFIO: one for each open group, the container, and `devices` with one for each device.
pub const DEV_VFIO: &str = "dev/vfio";
/// Kernel modules that are loaded or built in, one folder for each.
pub const MODULE: &str = "sys/module";
/// PCI functions, one link for each.
pub const PCI_DEVICES: &str = "sys/bus/pci/devices";
/// Kernel drivers of PCI, one folder for each.
pub const PCI_DRIVERS: &str = "sys/bus/pci/drivers";
/// Takes the address of a PCI function for which the kernel is to look for a driver.
pub const PCI_DRIVERS_PROBE: &str = "sys/bus/pci/drivers_probe";
/// Links from the numbers of block devices (`8:0`) to them.
pub const DEV_BLOCK: &str = "sys/dev/block";
/// Links from the numbers of character devices (`226:1`) to them.
pub const DEV_CHAR: &str = "sys/dev/char";
/// File systems that tell of themselves: one folder for each kind, with one for each that is mounted.
pub const FILE_SYSTEMS: &str = "sys/fs";
/// Numbers of the block device that hibernation writes to; `0:0` if it is off.
pub const RESUME: &str = "sys/power/resume";
/// Backstores of the kernel's SCSI target (LIO): one folder for each adapter, with one for each backstore.
pub const TARGET_CORE: &str = "sys/kernel/config/target/core";
/// Subsystems of the kernel's NVMe target, one folder for each.
pub const NVME_TARGETS: &str = "sys/kernel/config/nvmet/subsystems";
/// Imported pools of ZFS, one folder for each.
pub const ZFS_POOLS: &str = "proc/spl/kstat/zfs";
/// What the NVIDIA driver says of its devices, one folder for each address.
pub const NVIDIA_DEVICES: &str = "proc/driver/nvidia/gpus";
/// Block devices and their partitions, one link for each.
pub const CLASS_BLOCK: &str = "sys/class/block";
/// Groups that have a node of VFIO's, by number.
pub const CLASS_VFIO: &str = "sys/class/vfio";
/// Devices that have a node of VFIO's of their own (Linux 6.1), by the names of the nodes.
pub const CLASS_VFIO_DEV: &str = "sys/class/vfio-dev";
/// Network interfaces, one link for each.
pub const CLASS_NET: &str = "sys/class/net";
/// What interfaces lie below that stand on no device.
pub const VIRTUAL: &str = "sys/devices/virtual";
/// VLANs, one in a line. Only root may read it.
pub const VLANS: &str = "proc/net/vlan/config";
/// Model, serial number and the like of a machine that a device tree describes.
pub const DEVICE_TREE: &str = "sys/firmware/devicetree/base";
/// Consoles of the kernel, one in a line, and those that are active by name.
pub const CONSOLES: &str = "proc/consoles";
/// See [`CONSOLES`].
pub const ACTIVE_CONSOLES: &str = "sys/class/tty/console/active";
/// Terminals, one link for each.
pub const CLASS_TTY: &str = "sys/class/tty";
/// Framebuffers, one link for each.
pub const CLASS_GRAPHICS: &str = "sys/class/graphics";
/// Graphics cards, their connectors and nodes, one link for each.
pub const CLASS_DRM: &str = "sys/class/drm";
/// Watchdogs, one link for each.
pub const CLASS_WATCHDOG: &str = "sys/class/watchdog";
/// Trusted platform modules, one link for each.
pub const CLASS_TPM: &str = "sys/class/tpm";
/// Interfaces to management controllers of boards, one link for each.
pub const CLASS_IPMI: &str = "sys/class/ipmi";
/// Mediated devices, one link for each.
pub const MDEV_DEVICES: &str = "sys/bus/mdev/devices";
/// USB devices that are given to other machines, one link for each.
pub const USBIP_HOST: &str = "sys/bus/usb/drivers/usbip-host";
/// Targets that the kernel writes its log to over the network, one folder for each.
pub const NETCONSOLE: &str = "sys/kernel/config/netconsole";
/// What the kernel was started with.
pub const COMMAND_LINE: &str = "proc/cmdline";
/// Kinds of devices by the first of their numbers, with a list of each.
pub const NUMBERS: &str = "proc/devices";
/// Devices that user space drives, one link for each.
pub const CLASS_UIO: &str = "sys/class/uio";
/// What can be typed, clicked or the like, and how.
pub const INPUT_DEVICES: &str = "proc/bus/input/devices";
/// Memory that is mapped directly, one link for each.
pub const DAX_DEVICES: &str = "sys/bus/dax/devices";
/// Devices of Compute Express Link, one link for each.
pub const CXL_DEVICES: &str = "sys/bus/cxl/devices";
/// Non-volatile memory, its regions and namespaces, one link for each.
pub const ND_DEVICES: &str = "sys/bus/nd/devices";
/// What Xen says its domain may do.
pub const XEN_CAPABILITIES: &str = "proc/xen/capabilities";
/// What the machine runs on, if that is no hardware.
pub const HYPERVISOR_TYPE: &str = "sys/hypervisor/type";
/// Whether VFIO takes devices without an IOMMU.
pub const VFIO_WITHOUT_IOMMU: &str = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
/// Sessions and connections of iSCSI, one link for each, and the hosts that they begin at.
pub const CLASS_ISCSI_SESSION: &str = "sys/class/iscsi_session";
/// See [`CLASS_ISCSI_SESSION`].
pub const CLASS_ISCSI_CONNECTION: &str = "sys/class/iscsi_connection";
/// See [`CLASS_ISCSI_SESSION`].
pub const CLASS_ISCSI_HOST: &str = "sys/class/iscsi_host";
/// Controllers of NVMe, one link for each.
pub const CLASS_NVME: &str = "sys/class/nvme";
/// Controllers of NVMe over fabrics, one folder for each.
pub const NVME_FABRICS: &str = "sys/devices/virtual/nvme-fabrics/ctl";
/// Ports of Fibre Channel, one link for each.
pub const CLASS_FC_HOST: &str = "sys/class/fc_host";
/// Disks of Ceph, one link for each.
pub const RBD_DEVICES: &str = "sys/bus/rbd/devices";
/// Drivers of virtio, one folder for each.
pub const VIRTIO_DRIVERS: &str = "sys/bus/virtio/drivers";
/// Mounted file systems of btrfs, one folder for each, with their block devices in `devices`.
pub const BTRFS: &str = "sys/fs/btrfs";
/// What the kernel forbids even to root; the word in force is in brackets.
pub const LOCKDOWN: &str = "sys/kernel/security/lockdown";
/// Kernel modules on disk, one folder for each release of the kernel.
pub const MODULES: &str = "lib/modules";
/// Release of the running kernel.
pub const KERNEL_RELEASE: &str = "proc/sys/kernel/osrelease";
/// A random number of this boot.
pub const BOOT_ID: &str = "proc/sys/kernel/random/boot_id";
/// Processes, one folder for each.
pub const PROC: &str = "proc";
/// Files of the first process, which sees the host as it is: a daemon may have mounts and a network of its own. Where it
/// cannot be seen, one's own are the best there is.
pub const PROCESSES_OF_THE_HOST: [&str; 2] = ["proc/1", "proc/self"];
/// Where swap space is.
pub const SWAPS: &str = "proc/swaps";
/// Devices that were taken from the host: one file for each. It must not outlive the machine's user space by more than a
/// reboot, which makes it meaningless: drivers are bound anew then.
pub const HANDOVERS: &str = "run/nodedev/handover";
/// Changes of mediated devices that are going on or were interrupted: one file for each.
pub const MDEV_CHANGES: &str = "run/nodedev/mdev";
/// Changes of virtual ports that are going on or were interrupted: one file for each.
pub const VPORT_CHANGES: &str = "run/nodedev/vport";
/// A new random UUID with each look.
pub const RANDOM_UUID: &str = "proc/sys/kernel/random/uuid";
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
