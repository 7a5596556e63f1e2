use nodedev_model::{
    Capability, CcwAddress, CcwGroupCapability, CcwState, IdName, MdevCapability, NetCapability,
    RemovableMedia, ScsiHostCapability, StorageCapability, StorageMedia, SystemCapability,
    UsbDeviceCapability,
};

use super::Form;
use super::out::Out;
use super::pci::{self, mdev_types};

/// What is inside of a top-level `<capability>`.
pub(super) fn write(out: &mut Out<'_>, capability: &Capability, form: Form) {
    match capability {
        Capability::System(c) => system(out, c),
        Capability::Pci(c) => pci::write(out, c),
        Capability::UsbDevice(c) => usb_device(out, c),
        Capability::Usb(c) => {
            out.number("number", c.number);
            out.number("class", c.class);
            out.number("subclass", c.subclass);
            out.number("protocol", c.protocol);
            out.optional("description", c.description.as_ref());
        }
        Capability::Net(c) => net(out, c),
        Capability::ScsiHost(c) => scsi_host(out, c),
        Capability::ScsiTarget(c) => {
            out.text("target", &c.target);
            if let Some(port) = &c.fc_remote_port {
                out.open_capability("fc_remote_port");
                out.text("rport", &port.rport);
                out.text("wwpn", &port.wwpn);
                out.close("capability");
            }
        }
        Capability::Scsi(c) => {
            out.number("host", c.host);
            out.number("bus", c.bus);
            out.number("target", c.target);
            out.number("lun", c.lun);
            out.optional("type", c.kind.as_ref());
        }
        Capability::Storage(c) => storage(out, c),
        Capability::ScsiGeneric(c) => out.text("char", &c.path),
        Capability::Drm(c) => out.text("type", c.kind.as_str().as_bytes()),
        Capability::MdevTypes(c) => mdev_types(out, &c.types),
        Capability::Mdev(c) => mdev(out, c, form),
        Capability::Ccw(c) => {
            state(out, c.state);
            ccw_address(out, c.address);
            if let Some(group) = &c.group_device {
                out.open_capability("ccwgroup_member");
                out.text("group_device", group);
                out.close("capability");
            }
        }
        Capability::Css(c) => {
            ccw_address(out, c.address);
            if let Some(channel) = c.channel_dev_addr {
                out.open("channel_dev_addr");
                ccw_address(out, channel);
                out.close("channel_dev_addr");
            }
            mdev_types(out, &c.mdev_types);
        }
        Capability::Vdpa(c) => out.optional("chardev", c.chardev.as_ref()),
        Capability::ApCard(c) => out.hex("ap-adapter", c.adapter, 2),
        Capability::ApQueue(c) => {
            out.hex("ap-adapter", c.adapter, 2);
            out.hex("ap-domain", c.domain, 4);
        }
        Capability::ApMatrix(c) => mdev_types(out, &c.mdev_types),
        Capability::Ccwgroup(c) => ccwgroup(out, c),
        Capability::Native(_) | Capability::Other(_) => {}
    }
}

fn system(out: &mut Out<'_>, system: &SystemCapability) {
    out.optional("product", system.product.as_ref());
    out.open("hardware");
    let hardware = &system.hardware;
    out.optional("vendor", hardware.vendor.as_ref());
    out.optional("version", hardware.version.as_ref());
    out.optional("serial", hardware.serial.as_ref());
    out.text("uuid", hardware.uuid.to_string().as_bytes());
    out.close("hardware");
    out.open("firmware");
    out.optional("vendor", system.firmware.vendor.as_ref());
    out.optional("version", system.firmware.version.as_ref());
    out.optional("release_date", system.firmware.release_date.as_ref());
    out.close("firmware");
}

fn usb_device(out: &mut Out<'_>, usb: &UsbDeviceCapability) {
    out.number("bus", usb.bus);
    out.number("device", usb.device);
    for (name, IdName { id, name: text }) in [("product", &usb.product), ("vendor", &usb.vendor)] {
        let line = out.start(name).hex("id", *id, 4);
        match text {
            Some(text) => line.text(text).end(name),
            None => line.end_empty_blank(),
        }
    }
}

fn net(out: &mut Out<'_>, net: &NetCapability) {
    out.text("interface", &net.interface);
    out.optional("address", net.address.as_ref().filter(|address| !address.is_empty()));
    if net.link.raw_speed != 0 || net.link.state.is_some() {
        let mut line = out.start("link");
        if net.link.raw_speed != 0 {
            line = line.number("speed", net.link.raw_speed);
        }
        if let Some(state) = net.link.state {
            line = line.attribute("state", state.as_str().as_bytes());
        }
        line.end_empty();
    }
    for feature in net.features.iter() {
        out.start("feature").attribute("name", feature.as_str().as_bytes()).end_empty();
    }
    if let Some(kind) = net.kind {
        out.empty_capability(kind.as_str());
    }
}

fn scsi_host(out: &mut Out<'_>, host: &ScsiHostCapability) {
    out.number("host", host.host);
    if let Some(id) = host.unique_id {
        out.number("unique_id", id);
    }
    if let Some(port) = &host.fc_host {
        out.open_capability("fc_host");
        out.optional("wwnn", port.wwnn.as_ref());
        out.optional("wwpn", port.wwpn.as_ref());
        out.optional("fabric_wwn", port.fabric_wwn.as_ref());
        out.close("capability");
    }
    if let Some(vports) = &host.vport_ops {
        out.open_capability("vport_ops");
        out.number("max_vports", vports.max_vports);
        out.number("vports", vports.vports);
        out.close("capability");
    }
}

fn storage(out: &mut Out<'_>, disk: &StorageCapability) {
    out.text("block", &disk.block);
    out.optional("bus", disk.bus.as_ref());
    out.optional("drive_type", disk.drive_type.as_ref());
    out.optional("model", disk.model.as_ref());
    out.optional("vendor", disk.vendor.as_ref());
    out.optional("serial", disk.serial.as_ref());
    match &disk.media {
        StorageMedia::Removable(RemovableMedia {
            available,
            size,
            label,
            logical_block_size,
            num_blocks,
        }) => {
            out.open_capability("removable");
            out.number("media_available", *available);
            out.number("media_size", *size);
            out.optional("media_label", label.as_ref());
            blocks(out, *logical_block_size, *num_blocks);
            out.close("capability");
        }
        StorageMedia::Fixed { size, logical_block_size, num_blocks } => {
            out.number("size", *size);
            blocks(out, *logical_block_size, *num_blocks);
        }
    }
    if disk.hotpluggable {
        out.empty_capability("hotpluggable");
    }
}

fn blocks(out: &mut Out<'_>, logical_block_size: u64, num_blocks: u64) {
    if logical_block_size != 0 || num_blocks != 0 {
        out.number("logical_block_size", logical_block_size);
        out.number("num_blocks", num_blocks);
    }
}

fn mdev(out: &mut Out<'_>, mdev: &MdevCapability, form: Form) {
    let config = match form {
        Form::Live => mdev.active.as_ref(),
        Form::Inactive => mdev.defined.as_ref(),
    };
    if let Some(config) = config {
        out.start("type").attribute("id", &config.type_id).end_empty();
    }
    if let Some(uuid) = mdev.uuid {
        out.text("uuid", uuid.to_string().as_bytes());
    }
    out.optional("parent_addr", mdev.parent_addr.as_ref());
    out.start("iommuGroup").number("number", mdev.iommu_group).end_empty();
    for attribute in config.into_iter().flat_map(|config| &config.attributes) {
        let line = out.start("attr").attribute("name", &attribute.name);
        match &attribute.value {
            Some(value) => line.attribute("value", value).end_empty(),
            None => line.end_empty(),
        }
    }
}

fn state(out: &mut Out<'_>, state: Option<CcwState>) {
    if let Some(state) = state {
        out.text("state", state.as_str().as_bytes());
    }
}

fn ccw_address(out: &mut Out<'_>, address: CcwAddress) {
    out.hex("cssid", address.cssid, 1);
    out.hex("ssid", address.ssid, 1);
    out.hex("devno", address.devno, 4);
}

fn ccwgroup(out: &mut Out<'_>, group: &CcwGroupCapability) {
    state(out, group.state);
    ccw_address(out, group.address);
    if !group.members.is_empty() {
        out.open("members");
        for member in &group.members {
            out.start("ccw_device")
                .attribute("ref", &member.reference)
                .text(&member.device)
                .end("ccw_device");
        }
        out.close("members");
    }
    out.open_capability(group.kind.as_str());
    out.optional("card_type", group.card_type.as_ref());
    out.optional("chpid", group.chpid.as_ref());
    out.close("capability");
}
