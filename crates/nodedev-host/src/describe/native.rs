//! Devices that libvirt leaves out: what the kernel says of each kind.

use nodedev_model::{
    AtaPort, Capability, CxlDevice, DaxDevice, FcPort, Framebuffer, InfinibandDevice, MmcCard,
    NativeCapability, NativeDetails as Details, NativeProperty, Nvdimm, NvmeController, NvmeSubsystem,
    PtpClock, SasExpander, ScsiEnclosure, ScsiIdentity, TapeDrive, Text, Thunderbolt, Tpm, VideoDevice,
    VirtioDevice, VmbusDevice, Watchdog, WirelessPhy,
};

use super::facts::{Facts, known};
use super::scsi;
use crate::kernel::KernelDevice;
use crate::native::NativeClass;

pub(super) fn describe(device: &KernelDevice<'_>, class: &NativeClass) -> Capability {
    Capability::Native(NativeCapability { class: class.word.into(), details: details(device, class) })
}

fn details(device: &KernelDevice<'_>, class: &NativeClass) -> Option<Details> {
    let read = Facts(device);
    match class.word {
        "ata_port" => {
            known(AtaPort { port: read.u32("port_no"), multiplier_links: read.u32("nr_pmp_links") })
                .map(Details::AtaPort)
        }
        "changer" => known(identity(&read)).map(Details::Changer),
        "cxl" => known(CxlDevice {
            serial: read.text("serial"),
            firmware: read.text("firmware_version"),
            ram_bytes: read.u64("ram/size"),
            pmem_bytes: read.u64("pmem/size"),
            numa_node: read.node("numa_node"),
        })
        .map(Details::Cxl),
        "dax" => known(DaxDevice {
            size_bytes: read.u64("size"),
            target_node: read.node("target_node"),
            numa_node: read.node("numa_node"),
        })
        .map(Details::Dax),
        "enclosure" => {
            let ScsiIdentity { vendor, model, wwid } = identity(&read);
            known(ScsiEnclosure {
                vendor,
                model,
                wwid,
                id: read.text("id"),
                components: read.u32("components"),
            })
            .map(Details::Enclosure)
        }
        "fc_remote_port" => known(FcPort {
            wwpn: read.text("port_name"),
            wwnn: read.text("node_name"),
            state: read.text("port_state"),
            roles: read.text("roles"),
        })
        .map(Details::FcRemotePort),
        "framebuffer" => known(Framebuffer {
            name: read.text("name"),
            virtual_size: read.text("virtual_size"),
            bits_per_pixel: read.u32("bits_per_pixel"),
        })
        .map(Details::Framebuffer),
        "infiniband" => known(InfinibandDevice {
            node_type: read.word("node_type"),
            node_guid: read.text("node_guid"),
            system_guid: read.text("sys_image_guid"),
            firmware: read.text("fw_ver"),
            hca_type: read.text("hca_type"),
            board_id: read.text("board_id"),
        })
        .map(|device| Details::Infiniband(Box::new(device))),
        "mmc" => known(MmcCard {
            kind: read.text("type"),
            name: read.text("name"),
            cid: read.text("cid"),
            manufacturer: read.u32("manfid"),
            serial: read.u32("serial"),
        })
        .map(|card| Details::Mmc(Box::new(card))),
        "nvdimm" => known(Nvdimm {
            mode: read.text("mode"),
            size_bytes: read.u64("size"),
            uuid: read.text("uuid").and_then(|uuid| uuid.as_str()?.parse().ok()),
            numa_node: read.node("numa_node"),
        })
        .map(Details::Nvdimm),
        "nvme" => known(NvmeController {
            model: read.text("model"),
            serial: read.text("serial"),
            firmware: read.text("firmware_rev"),
            transport: read.text("transport"),
            address: read.text("address"),
            state: read.text("state"),
            subsystem_nqn: read.text("subsysnqn"),
            controller_id: read.u32("cntlid"),
        })
        .map(|controller| Details::Nvme(Box::new(controller))),
        "nvme_subsystem" => known(NvmeSubsystem {
            nqn: read.text("subsysnqn"),
            model: read.text("model"),
            serial: read.text("serial"),
            firmware: read.text("firmware_rev"),
            iopolicy: read.text("iopolicy"),
        })
        .map(|subsystem| Details::NvmeSubsystem(Box::new(subsystem))),
        "ptp" => {
            known(PtpClock { name: read.text("clock_name"), max_adjustment_ppb: read.u64("max_adjustment") })
                .map(Details::Ptp)
        }
        "sas_end_device" => {
            known(scsi::end_device(device.root, device.sysname(), device.issues)).map(Details::SasEndDevice)
        }
        "sas_expander" => known(SasExpander {
            vendor: read.text("vendor_id"),
            product: read.text("product_id"),
            sas_address: scsi::sas_address(device.root, device.sysname(), device.issues),
        })
        .map(Details::SasExpander),
        "tape" => {
            let ScsiIdentity { vendor, model, wwid } = identity(&read);
            known(TapeDrive {
                vendor,
                model,
                wwid,
                default_block_size: read.node("default_blksize"),
                default_density: read.node("default_density"),
            })
            .map(|drive| Details::Tape(Box::new(drive)))
        }
        "thunderbolt" => known(Thunderbolt {
            vendor: read.text("vendor_name"),
            product: read.text("device_name"),
            unique_id: read.text("unique_id"),
            authorized: read.u32("authorized"),
        })
        .map(|device| Details::Thunderbolt(Box::new(device))),
        "tpm" => known(Tpm { version: read.u32("tpm_version_major") }).map(Details::Tpm),
        "video" => {
            known(VideoDevice { name: read.text("name"), index: read.u32("index") }).map(Details::Video)
        }
        "virtio" => known(VirtioDevice {
            vendor: read.u32("vendor"),
            device: read.u32("device"),
            status: read.u32("status"),
        })
        .map(Details::Virtio),
        "vmbus" => known(VmbusDevice {
            class_id: read.text("class_id"),
            device_id: read.text("device_id"),
            numa_node: read.node("numa_node"),
        })
        .map(Details::Vmbus),
        "watchdog" => known(Watchdog {
            identity: read.text("identity"),
            state: read.text("state"),
            timeout_seconds: read.u32("timeout"),
        })
        .map(Details::Watchdog),
        "wireless_phy" => known(WirelessPhy { address: read.text("macaddress"), name: read.text("name") })
            .map(Details::WirelessPhy),
        _ => properties(&read, class.attributes),
    }
}

/// What the logical unit says that a device of an upper driver stands on.
fn identity(read: &Facts<'_, '_>) -> ScsiIdentity {
    ScsiIdentity {
        vendor: read.text("device/vendor"),
        model: read.text("device/model"),
        wwid: read.text("device/wwid"),
    }
}

fn properties(read: &Facts<'_, '_>, attributes: &[&str]) -> Option<Details> {
    let properties: Vec<NativeProperty> = attributes
        .iter()
        .filter_map(|name| Some(NativeProperty { name: Text::from(*name), value: read.text(name)? }))
        .collect();
    (!properties.is_empty()).then_some(Details::Properties(properties))
}
