use nodedev_model::{
    Capability, DeviceName, DeviceState, FcHost, Firmware, Hardware, NodeDevice, ScsiHostCapability,
    SystemCapability, Text, Uuid, VportOps,
};

/// One SCSI host of the set: number, parent, unique id, WWNN, WWPN, fabric WWN, whether it can make virtual ports.
type HostRow = (u32, &'static str, u32, &'static str, &'static str, &'static str, bool);

const HOSTS: [HostRow; 3] = [
    (1, "computer", 0, "2000000012341234", "1000000012341234", "2000000043214321", true),
    (2, "computer", 1, "2000000056785678", "1000000056785678", "2000000087658765", true),
    (11, "scsi_host1", 10, "2000000034563456", "1000000034563456", "2000000043214321", false),
];

/// The devices of `test:///default`: persistent and active, all four.
pub(super) fn devices() -> Vec<NodeDevice> {
    let text = |text: &str| Some(Text::from(text));
    let computer = Capability::System(Box::new(SystemCapability {
        product: None,
        hardware: Hardware {
            vendor: text("Libvirt"),
            version: text("Test driver"),
            serial: text("123456"),
            uuid: Uuid([
                0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x33, 0x33, 0x44, 0x44, 0x55, 0x55, 0x55, 0x55, 0x55,
                0x55,
            ]),
        },
        firmware: Firmware {
            vendor: text("Libvirt"),
            version: text("Test Driver"),
            release_date: text("01/22/2007"),
        },
        machine: None,
    }));
    let mut devices = vec![device(DeviceName::computer(), None, computer)];
    devices.extend(HOSTS.map(|(host, parent, unique_id, wwnn, wwpn, fabric_wwn, vports)| {
        let capability = ScsiHostCapability {
            host,
            unique_id: Some(unique_id),
            fc_host: Some(FcHost { wwnn: text(wwnn), wwpn: text(wwpn), fabric_wwn: text(fabric_wwn) }),
            vport_ops: vports.then(VportOps::default),
        };
        device(host_name(host), parent.parse().ok(), Capability::ScsiHost(Box::new(capability)))
    }));
    devices
}

/// Name of a SCSI host.
pub(super) fn host_name(host: u32) -> DeviceName {
    DeviceName::from_parts(b"scsi", format!("host{host}").as_bytes(), None)
}

fn device(name: DeviceName, parent: Option<DeviceName>, capability: Capability) -> NodeDevice {
    let mut device = NodeDevice::new(name, capability);
    device.parent = parent;
    device.state = DeviceState { active: true, persistent: true, autostart: false };
    device
}
