//! What the tests of the host driver share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test program uses its part")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use nodedev_driver::{Devices as _, LibvirtCalls, View, XmlFlags};
use nodedev_host::HostDriver;
use nodedev_model::{Capability, Issue, NodeDevice, Visibility};
use nodedev_sys::Root;
use nodedev_testkit::tree::{Device, Tree};

/// The driver on a recording.
pub(crate) fn open(path: &Path) -> HostDriver {
    HostDriver::new(Root::open(path).unwrap())
}

/// A host of these devices.
pub(crate) fn tree(devices: &[Device]) -> Tree {
    let mut tree = Tree::temporary().unwrap();
    for device in devices {
        tree.add(device).unwrap();
    }
    tree
}

/// The driver on a host of these devices; the host stays as long as the tree.
pub(crate) fn host(devices: &[Device]) -> (Tree, HostDriver) {
    let tree = tree(devices);
    let driver = open(tree.root());
    (tree, driver)
}

/// Everything a driver says of a host.
#[derive(Debug, PartialEq)]
pub(crate) struct Everything {
    pub(crate) devices: Vec<NodeDevice>,
    pub(crate) xml: BTreeMap<String, Vec<u8>>,
    pub(crate) inactive_xml: BTreeMap<String, Vec<u8>>,
    pub(crate) issues: Vec<Issue>,
}

pub(crate) fn everything(driver: &HostDriver) -> Everything {
    let mut devices = Vec::new();
    let issues = driver
        .visit(View::Native, &mut |device| {
            devices.push(device.clone());
            ControlFlow::Continue(())
        })
        .unwrap();
    let mut found = Everything { devices, xml: BTreeMap::new(), inactive_xml: BTreeMap::new(), issues };
    for device in found.devices.iter().filter(|device| device.visibility == Visibility::Libvirt) {
        let name = device.name.as_str();
        found.xml.insert(name.to_owned(), driver.xml(name, XmlFlags::empty()).unwrap());
        if device.state.persistent {
            found.inactive_xml.insert(name.to_owned(), driver.xml(name, XmlFlags::INACTIVE).unwrap());
        }
    }
    found
}

/// Names of all devices in a view.
pub(crate) fn names(driver: &HostDriver, view: View) -> Vec<String> {
    driver.entries(view).unwrap().into_iter().map(|entry| entry.name.as_str().to_owned()).collect()
}

/// The first capability of a device.
pub(crate) fn capability(driver: &HostDriver, name: &str) -> Capability {
    driver.device(name).unwrap().capabilities.swap_remove(0)
}

/// libvirt's document of a device.
pub(crate) fn xml(driver: &HostDriver, name: &str) -> String {
    String::from_utf8_lossy(&driver.xml(name, XmlFlags::empty()).unwrap()).into_owned()
}

/// The parent of a device in the native view.
pub(crate) fn native_parent(driver: &HostDriver, name: &str) -> String {
    let entries = driver.entries(View::Native).unwrap();
    let entry = entries.into_iter().find(|entry| entry.name.as_str() == name);
    entry.expect("the device is in the native view").parent.expect("a parent").as_str().to_owned()
}

/// A PCI function below `devices/pci0000:00`.
pub(crate) fn pci(address: &str) -> Device {
    pci_below("devices/pci0000:00", address)
}

/// A PCI function below another device.
pub(crate) fn pci_below(parent: &str, address: &str) -> Device {
    Device::new(format!("{parent}/{address}"), "bus/pci")
        .uevent("PCI_CLASS", "20000")
        .uevent("PCI_ID", "8086:10D3")
        .uevent("PCI_SLOT_NAME", address)
        .attr("vendor", "0x8086")
        .attr("device", "0x10d3")
        .attr("class", "0x020000")
        .attr("numa_node", "-1")
}

/// A network interface below another device.
pub(crate) fn net(parent: &str, name: &str, index: u32, address: &str) -> Device {
    Device::new(format!("{parent}/net/{name}"), "class/net")
        .uevent("INTERFACE", name)
        .uevent("IFINDEX", index.to_string())
        .attr("address", address)
        .attr("operstate", "up")
        .attr("speed", "1000")
}
