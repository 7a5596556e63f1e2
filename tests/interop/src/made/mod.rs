//! Hosts made by hand for what no recorded machine has: rare hardware, odd contents, missing parts.
//!
//! Their golden files, below `fixtures/made`, are what libvirt 11.3 says about them. The peer test checks that it still
//! does, and with `UPDATE_GOLDEN=1` writes them.

mod mainframe;
mod network;
mod odd;
mod pci;
mod storage;
mod text;

use std::io;
use std::path::PathBuf;

use nodedev_testkit::pci_bytes::{Config, Express};
use nodedev_testkit::tree::{Device, Tree};

/// A hand-made host.
pub struct Made {
    /// Name of its folder of golden files.
    pub name: &'static str,
    fill: fn(&mut Tree) -> io::Result<()>,
}

impl Made {
    /// Makes it.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn tree(&self) -> io::Result<Tree> {
        let mut tree = Tree::temporary()?;
        (self.fill)(&mut tree)?;
        Ok(tree)
    }

    /// Its golden files.
    pub fn golden(&self) -> PathBuf {
        nodedev_testkit::repository().join("fixtures/made").join(self.name)
    }
}

/// Every hand-made host.
pub const ALL: &[Made] = &[
    Made { name: "empty", fill: |_| Ok(()) },
    Made { name: "mainframe", fill: mainframe::fill },
    Made { name: "network", fill: network::fill },
    Made { name: "odd", fill: odd::fill },
    Made { name: "pci", fill: pci::fill },
    Made { name: "storage", fill: storage::fill },
    Made { name: "text", fill: text::fill },
];

fn add_all(tree: &mut Tree, devices: impl IntoIterator<Item = Device>) -> io::Result<()> {
    devices.into_iter().try_for_each(|device| tree.add(&device))
}

/// A conventional PCI function with what every one has. libvirt leaves out functions whose configuration space can't be
/// read, which nodedev doesn't, so all have one.
fn function(parent: &str, address: &str, ids: (u16, u16), class: u32) -> Device {
    express(parent, address, ids, class, None)
}

/// A PCI function, of PCI Express if it has a link.
fn express(parent: &str, address: &str, ids: (u16, u16), class: u32, express: Option<Express>) -> Device {
    let (vendor, device) = ids;
    let header_type = u8::from(class >> 8 == 0x0604);
    Device::new(format!("{parent}/{address}"), "bus/pci")
        .uevent("PCI_CLASS", format!("{class:X}"))
        .uevent("PCI_ID", format!("{vendor:04X}:{device:04X}"))
        .uevent("PCI_SUBSYS_ID", "1AF4:1100")
        .uevent("PCI_SLOT_NAME", address)
        .attr("vendor", format_args!("{vendor:#06x}"))
        .attr("device", format_args!("{device:#06x}"))
        .attr("class", format_args!("{class:#08x}"))
        .bytes("config", Config { vendor, device, class, header_type, express }.to_bytes())
}
