//! USB devices that other machines have over the network.

use nodedev_model::FindingKind;
use nodedev_testkit::tree::Device;

use crate::host::{explain, over, tree};

use super::{Situation, UNLESS_FORCED, UNUSED, add, below, holds, nothing};

#[test]
fn usb_devices_that_other_machines_have_refuse_their_controller_unless_forced() {
    for (status, told) in [
        (Some("2"), "is in use: another machine has its USB device 1-5 over the network (usbip)"),
        (Some("1"), "is in use: other machines can have its USB device 1-5 over the network (usbip)"),
        (None, "is in use: other machines can have its USB device 1-5"),
    ] {
        let build = match status {
            Some("2") => |tree: &mut _| exported(tree, Some("2")),
            Some(_) => |tree: &mut _| exported(tree, Some("1")),
            None => |tree: &mut _| exported(tree, None),
        };
        holds(&Situation { what: told, build, then: nothing, told, effect: UNLESS_FORCED });
    }
    // That it is a driver of USB says nothing.
    let mut tree = tree();
    add(&mut tree, Device::new(below("usb1/1-5"), "bus/usb").driver("usb"));
    let kernel = over(tree);
    assert!(explain(&kernel, UNUSED).findings.iter().all(|finding| finding.kind != FindingKind::InUse));
}

fn exported(tree: &mut nodedev_testkit::tree::Tree, status: Option<&str>) {
    let device = Device::new(below("usb1/1-5"), "bus/usb").driver("usbip-host");
    add(
        tree,
        match status {
            Some(status) => device.attr("usbip_status", status),
            None => device,
        },
    );
}
