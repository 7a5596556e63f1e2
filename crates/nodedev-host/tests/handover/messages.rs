//! What programs with a subscriber of `tracing`, as the daemon is, hear besides results.

use nodedev_driver::LibvirtCalls;
use nodedev_testkit::messages::listen;

use crate::host::{ONE, UNUSED, host, name, program};

#[test]
fn libvirts_clients_are_warned_of_a_shared_group_and_not_of_what_is_only_noted() {
    let kernel = host();
    let lines = listen().during(|| program(&kernel).detach(&name(ONE)).unwrap());
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].starts_with("WARN nodedev_host"), "{lines:?}");
    assert!(lines[1].contains("shares IOMMU group 7") && lines[1].contains("pci_0000_03_00_0"), "{lines:?}");
    assert!(lines[0].starts_with("INFO nodedev::audit"), "{lines:?}");
    kernel.module("igb_vfio", "igb-vfio");
    let lines =
        listen().during(|| program(&kernel).detach_flags(&name(UNUSED), Some("igb-vfio"), 0).unwrap());
    assert_eq!(lines.len(), 1, "that a module is loaded is only noted: {lines:?}");
}
