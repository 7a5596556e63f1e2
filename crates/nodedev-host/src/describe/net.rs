//! Network interfaces.

use std::cell::OnceCell;
use std::collections::HashSet;

use nodedev_model::{
    Capability, NetCapability, NetFeature, NetFeatures, NetKind, NetLink, NetLinkState, Text,
};
use nodedev_sys::Root;
use nodedev_sys::devlink::Devlink;
use nodedev_sys::ethtool::{Ethtool, Offload};
use nodedev_sys::paths::{self, basename, join};

use super::facts::Facts;
use super::{Describer, software};
use crate::kernel::{KernelDevice, first_line, up_to_nul};
use crate::number;

/// Bound of the list of a device's memory regions, as in libvirt.
const RESOURCE_LIMIT: usize = 4096;

pub(super) fn describe(context: &Describer<'_>, device: &KernelDevice<'_>) -> Capability {
    let interface = Text::from(device.kernel("INTERFACE").unwrap_or_else(|| device.sysname()));
    let devtype = device.kernel("DEVTYPE").map(Text::from);
    let wireless = devtype.as_ref().is_some_and(|devtype| *devtype == "wlan");
    // Drivers of software have the files too, and nothing in them.
    let hardware = (context.is_native && !device.is_virtual()).then_some(Facts(device));
    Capability::Net(Box::new(NetCapability {
        address: device.clean_text("address"),
        link: link(device),
        features: features(&context.net, device, &interface),
        kind: Some(if wireless { NetKind::Wireless } else { NetKind::Ethernet }),
        devtype,
        port_name: hardware.as_ref().and_then(|read| read.text("phys_port_name")),
        switch_id: hardware.as_ref().and_then(|read| read.text("phys_switch_id")),
        dev_port: hardware.as_ref().and_then(|read| read.u32("dev_port")),
        software: context.is_native.then(|| software::interface(&context.net.vlans, device)).flatten(),
        interface,
    }))
}

/// State of the link, and its speed while it is up. The kernel's `-1` for an unknown speed is kept as libvirt shows it.
fn link(device: &KernelDevice<'_>) -> NetLink {
    let state = device.attribute("operstate", |value| {
        let value = first_line(value);
        let state = std::str::from_utf8(value).ok().and_then(NetLinkState::from_word);
        if state.is_none() {
            device.malformed("operstate", value, "a state of a link");
        }
        state
    });
    let state = state.flatten();
    let raw_speed = if state == Some(NetLinkState::Up) { speed(device) } else { 0 };
    NetLink { raw_speed, state }
}

fn speed(device: &KernelDevice<'_>) -> u32 {
    let mut buffer = Vec::new();
    // Drivers that know no speed refuse to be read, which is no fault.
    let Some(Ok(Some(content))) = device.folder().map(|folder| folder.read(b"speed", &mut buffer)) else {
        return 0;
    };
    let value = first_line(content);
    // A recording has an empty file where the driver refused.
    if value.is_empty() {
        return 0;
    }
    number::wrapping_u32(value, 10).unwrap_or_else(|| {
        device.malformed("speed", value, "a speed in Mbit/s");
        0
    })
}

/// What interfaces are asked beside their attributes, shared by all that are described in one pass.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    ethtool: OnceCell<Option<Ethtool>>,
    devlink: OnceCell<Option<Devlink>>,
    rdma: OnceCell<HashSet<Vec<u8>>>,
    vlans: software::Vlans,
}

fn features(probes: &Probes, device: &KernelDevice<'_>, interface: &[u8]) -> NetFeatures {
    let mut features = NetFeatures::default();
    if is_rdma(probes, device) {
        features.insert(NetFeature::Rdma);
    }
    // Only a running machine's interfaces can be asked.
    if !device.root.is_live() {
        return features;
    }
    if let Some(ethtool) = probes.ethtool.get_or_init(Ethtool::open) {
        ethtool.features(interface, |offload| features.insert(feature(offload)));
    }
    if is_switchdev(probes, device) {
        features.insert(NetFeature::Switchdev);
    }
    features
}

fn feature(offload: Offload) -> NetFeature {
    match offload {
        Offload::Rx => NetFeature::Rx,
        Offload::Tx => NetFeature::Tx,
        Offload::Sg => NetFeature::Sg,
        Offload::Tso => NetFeature::Tso,
        Offload::Gso => NetFeature::Gso,
        Offload::Gro => NetFeature::Gro,
        Offload::Lro => NetFeature::Lro,
        Offload::RxVlan => NetFeature::RxVlan,
        Offload::TxVlan => NetFeature::TxVlan,
        Offload::Ntuple => NetFeature::Ntuple,
        Offload::RxHash => NetFeature::RxHash,
        Offload::TxUdpTunnel => NetFeature::TxUdpTnl,
    }
}

/// Whether the card behind the interface has its embedded switch in switchdev mode. For a virtual function the physical
/// one is asked.
fn is_switchdev(probes: &Probes, device: &KernelDevice<'_>) -> bool {
    let link = |path: &[u8]| {
        device.root.read_link(&join(device.path, path)).unwrap_or_else(|error| {
            device.issues.only_exhausted(&error);
            None
        })
    };
    let is_pci = link(b"device/subsystem").is_some_and(|target| basename(&target).starts_with(b"pci"));
    if !is_pci {
        return false;
    }
    let Some(target) = link(b"device/physfn").or_else(|| link(b"device")) else { return false };
    let devlink = probes.devlink.get_or_init(Devlink::open);
    devlink.as_ref().is_some_and(|devlink| devlink.is_switchdev(basename(&target)))
}

/// Whether an RDMA device has the same memory regions as the interface's device, which is how libvirt tells.
fn is_rdma(probes: &Probes, device: &KernelDevice<'_>) -> bool {
    let known = probes.rdma.get_or_init(|| rdma_resources(device.root));
    if known.is_empty() {
        return false;
    }
    let mut own = Vec::new();
    let read = device.folder().map(|folder| folder.read(b"device/resource", &mut own));
    matches!(read, Some(Ok(Some(content))) if known.contains(up_to_nul(content)))
}

/// Memory regions of all RDMA devices.
fn rdma_resources(root: &Root) -> HashSet<Vec<u8>> {
    let class = join(paths::CLASS.as_bytes(), b"infiniband");
    let mut buffer = Vec::new();
    root.names(&class)
        .unwrap_or_default()
        .iter()
        .filter_map(|name| {
            let path = [&class, &b"/"[..], name, b"/device/resource"].concat();
            root.read(&path, &mut buffer, RESOURCE_LIMIT).ok()?.map(|content| up_to_nul(content).to_vec())
        })
        .filter(|resource| !resource.is_empty())
        .collect()
}
