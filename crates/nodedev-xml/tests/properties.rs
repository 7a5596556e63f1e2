//! Devices survive being written and read; no text makes the readers panic.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use nodedev_model::*;
use nodedev_xml::{Dialect, Form, ParseOptions, activate, check, parse, validate, write, xpath};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Text that an element can carry: any characters of XML but the carriage return, which readers take for a line feed.
fn text() -> impl Strategy<Value = Text> {
    "([ -~\t\n]|[äß€\u{85}\u{7f}\u{fffd}\u{10400}]|&amp;|]]>){1,12}".prop_map(Text::from)
}

/// Text that an attribute can carry: line breaks and tabs become blanks there.
fn attribute() -> impl Strategy<Value = Text> {
    "[ -~äß€]{1,12}".prop_map(Text::from)
}

fn int() -> impl Strategy<Value = u32> {
    prop_oneof![0..10_u32, 0..=i32::MAX as u32]
}

fn address() -> impl Strategy<Value = PciAddress> {
    (any::<u32>(), 0..=0xff_u32, 0..=0x1f_u32, 0..=7_u32)
        .prop_map(|(domain, bus, slot, function)| PciAddress { domain, bus, slot, function })
}

fn id_name() -> impl Strategy<Value = IdName> {
    (any::<u32>(), of(text())).prop_map(|(id, name)| IdName { id, name })
}

fn mdev_types() -> impl Strategy<Value = Vec<MdevType>> {
    vec((attribute(), of(text()), text(), any::<u32>()), 0..3).prop_map(|types| {
        let one = |(id, name, device_api, available_instances)| MdevType {
            id,
            name,
            device_api,
            available_instances,
        };
        types.into_iter().map(one).collect()
    })
}

fn fields(first: char) -> impl Strategy<Value = Vec<VpdField>> {
    vec(prop_oneof![text(), Just(Text::default())], 0..4).prop_map(move |values| {
        let indexes = first..;
        indexes.zip(values).map(|(index, value)| VpdField { index, value }).collect()
    })
}

fn vpd() -> impl Strategy<Value = VpdCapability> {
    let read_only = (of(text()), of(text()), of(text()), of(text()), fields('A'));
    let read_write = (of(text()), fields('0'), fields('B'));
    (of(text()), of(read_only), of(read_write)).prop_map(|(name, read_only, read_write)| VpdCapability {
        name,
        read_only: read_only.map(
            |(change_level, manufacture_id, part_number, serial_number, vendor_fields)| VpdReadOnly {
                change_level,
                manufacture_id,
                part_number,
                serial_number,
                vendor_fields,
            },
        ),
        read_write: read_write.map(|(asset_tag, vendor_fields, system_fields)| VpdReadWrite {
            asset_tag,
            vendor_fields,
            system_fields,
        }),
    })
}

fn link() -> impl Strategy<Value = PciLink> {
    (of(int()), of(select(&PcieSpeed::ALL[..])), any::<u32>()).prop_map(|(port, speed, width)| PciLink {
        port,
        speed,
        width,
    })
}

fn pci() -> impl Strategy<Value = Capability> {
    let ids = (of(0..=0xff_ffff_u32), address(), id_name(), id_name());
    let functions = (of(address()), of((any::<u32>(), vec(address(), 0..3))));
    let header = select(vec![None, Some(PciHeader::PciBridge), Some(PciHeader::CardbusBridge)]);
    let place = (of((any::<u32>(), vec(address(), 1..3))), of(int()), of((of(link()), of(link()))));
    (ids, functions, header, mdev_types(), of(vpd()), place).prop_map(
        |((class, address, product, vendor), (physical, functions), header, mdev_types, vpd, place)| {
            let (group, numa_node, express) = place;
            Capability::Pci(Box::new(PciCapability {
                class,
                address,
                product: Some(product),
                vendor: Some(vendor),
                physical_function: physical,
                virtual_functions: functions
                    .map(|(max_count, functions)| VirtualFunctions { max_count, functions }),
                header,
                mdev_types,
                vpd: vpd.map(Box::new),
                iommu_group: group.map(|(number, devices)| IommuGroup { number, devices }),
                numa_node,
                express: express.map(|(capability, status)| PciExpress {
                    capability,
                    status: status.map(|link: PciLink| PciLink { port: None, ..link }),
                }),
                ..PciCapability::default()
            }))
        },
    )
}

fn system() -> impl Strategy<Value = Capability> {
    let hardware = (of(text()), of(text()), of(text()), any::<[u8; 16]>());
    (of(text()), hardware, of(text()), of(text()), of(text())).prop_map(
        |(product, (vendor, version, serial, uuid), maker, firmware, release_date)| {
            Capability::System(Box::new(SystemCapability {
                product,
                hardware: Hardware { vendor, version, serial, uuid: Uuid(uuid) },
                firmware: Firmware { vendor: maker, version: firmware, release_date },
                machine: None,
            }))
        },
    )
}

fn net() -> impl Strategy<Value = Capability> {
    let link = (any::<u32>(), of(select(&NetLinkState::ALL[..])));
    let features = vec(select(&NetFeature::ALL[..]), 0..5);
    (text(), of(text()), link, features, of(select(&NetKind::ALL[..]))).prop_map(
        |(interface, address, (raw_speed, state), features, kind)| {
            Capability::Net(Box::new(NetCapability {
                interface,
                address,
                link: NetLink { raw_speed, state },
                features: features.into_iter().collect(),
                kind,
                ..NetCapability::default()
            }))
        },
    )
}

fn scsi() -> impl Strategy<Value = Capability> {
    let port = (text(), text(), of(text()));
    let host = (any::<u32>(), of(int()), of(port), of(any::<(u32, u32)>())).prop_map(
        |(host, unique_id, port, vports)| {
            Capability::ScsiHost(Box::new(ScsiHostCapability {
                host,
                unique_id,
                fc_host: port.map(|(wwnn, wwpn, fabric_wwn)| FcHost {
                    wwnn: Some(wwnn),
                    wwpn: Some(wwpn),
                    fabric_wwn,
                }),
                vport_ops: vports.map(|(max_vports, vports)| VportOps { max_vports, vports }),
            }))
        },
    );
    let target = (text(), of((text(), text()))).prop_map(|(target, port)| {
        let fc_remote_port = port.map(|(rport, wwpn)| FcRemotePort { rport, wwpn });
        Capability::ScsiTarget(Box::new(ScsiTargetCapability {
            target,
            fc_remote_port,
            ..ScsiTargetCapability::default()
        }))
    });
    let unit = (any::<[u32; 4]>(), of(text())).prop_map(|([host, bus, target, lun], kind)| {
        Capability::Scsi(Box::new(ScsiCapability {
            host,
            bus,
            target,
            lun: lun.into(),
            kind,
            ..ScsiCapability::default()
        }))
    });
    let generic = text().prop_map(|path| Capability::ScsiGeneric(ScsiGenericCapability { path }));
    prop_oneof![host, target, unit, generic]
}

fn storage() -> impl Strategy<Value = Capability> {
    let fixed = any::<[u64; 3]>().prop_map(|[size, logical_block_size, num_blocks]| StorageMedia::Fixed {
        size,
        logical_block_size,
        num_blocks,
    });
    let removable = (any::<bool>(), any::<[u64; 3]>(), of(text())).prop_map(|(available, numbers, label)| {
        let [size, logical_block_size, num_blocks] = numbers;
        StorageMedia::Removable(RemovableMedia { available, size, label, logical_block_size, num_blocks })
    });
    let words = (text(), of(text()), of(text()), of(text()), of(text()), of(text()));
    (words, prop_oneof![fixed, removable], any::<bool>()).prop_map(
        |((block, bus, drive_type, model, vendor, serial), media, hotpluggable)| {
            Capability::Storage(Box::new(StorageCapability {
                block,
                bus,
                drive_type,
                model,
                vendor,
                serial,
                media,
                removable: false,
                hotpluggable,
                software: None,
            }))
        },
    )
}

fn mdev() -> impl Strategy<Value = Capability> {
    let attributes = vec((attribute(), of(prop_oneof![attribute(), Just(Text::default())])), 0..3);
    let config = (attribute(), attributes).prop_map(|(type_id, attributes)| MdevConfig {
        type_id,
        attributes: attributes.into_iter().map(|(name, value)| MdevAttribute { name, value }).collect(),
    });
    (of(any::<[u8; 16]>()), of(text()), any::<u32>(), config).prop_map(
        |(uuid, parent_addr, iommu_group, config)| {
            Capability::Mdev(Box::new(MdevCapability {
                uuid: uuid.map(Uuid),
                parent_addr,
                iommu_group,
                active: Some(config.clone()),
                defined: Some(config),
            }))
        },
    )
}

fn channel() -> impl Strategy<Value = Capability> {
    let address = || any::<[u32; 3]>().prop_map(|[cssid, ssid, devno]| CcwAddress { cssid, ssid, devno });
    let state = || of(select(&CcwState::ALL[..]));
    let ccw = (state(), address(), of(text())).prop_map(|(state, address, group_device)| {
        Capability::Ccw(CcwCapability { state, address, group_device })
    });
    let css = (address(), of(address()), mdev_types()).prop_map(|(address, channel_dev_addr, mdev_types)| {
        Capability::Css(CssCapability { address, channel_dev_addr, mdev_types })
    });
    let kind = select(&QethKind::ALL[..]);
    let group = (state(), address(), vec((attribute(), text()), 0..3), kind, of(text()), of(text()))
        .prop_map(|(state, address, members, kind, card_type, chpid)| {
            let member = |(reference, device)| CcwGroupMember { reference, device };
            let members = members.into_iter().map(member).collect();
            let group = CcwGroupCapability { state, address, members, kind, card_type, chpid };
            Capability::Ccwgroup(Box::new(group))
        });
    let card = any::<u32>().prop_map(|adapter| Capability::ApCard(ApCardCapability { adapter }));
    let queue = (any::<u32>(), 0..=255_u32)
        .prop_map(|(adapter, domain)| Capability::ApQueue(ApQueueCapability { adapter, domain }));
    let matrix = mdev_types().prop_map(|mdev_types| Capability::ApMatrix(ApMatrixCapability { mdev_types }));
    prop_oneof![ccw, css, group, card, queue, matrix]
}

fn other() -> impl Strategy<Value = Capability> {
    let usb_device =
        (any::<[u32; 2]>(), id_name(), id_name()).prop_map(|([bus, device], product, vendor)| {
            Capability::UsbDevice(Box::new(UsbDeviceCapability {
                bus,
                device,
                product,
                vendor,
                ..UsbDeviceCapability::default()
            }))
        });
    let usb =
        (any::<[u32; 4]>(), of(text())).prop_map(|([number, class, subclass, protocol], description)| {
            Capability::Usb(Box::new(UsbInterfaceCapability {
                number,
                class,
                subclass,
                protocol,
                description,
            }))
        });
    let drm = select(&DrmKind::ALL[..]).prop_map(|kind| Capability::Drm(DrmCapability { kind }));
    let types = mdev_types().prop_map(|types| Capability::MdevTypes(MdevTypesCapability { types }));
    let vdpa = of(text()).prop_map(|chardev| Capability::Vdpa(VdpaCapability { chardev }));
    prop_oneof![usb_device, usb, drm, types, vdpa]
}

fn device() -> impl Strategy<Value = NodeDevice> {
    let capability = || prop_oneof![pci(), system(), net(), scsi(), storage(), mdev(), channel(), other()];
    let name = || "[ -~ä]{1,12}".prop_map(|name| name.parse::<DeviceName>().unwrap());
    let nodes = (of(text()), of(text()), vec(text(), 0..3), of(text()));
    (name(), of(name()), nodes, vec(capability(), 1..3)).prop_map(
        |(name, parent, (syspath, devnode, devlinks, kernel_driver), capabilities)| {
            let device = NodeDevice::new(name, Capability::Drm(DrmCapability { kind: DrmKind::Render }));
            NodeDevice { parent, syspath, devnode, devlinks, kernel_driver, capabilities, ..device }
        },
    )
}

fn lossless() -> ParseOptions<'static> {
    ParseOptions { dialect: Dialect::Lossless, ..ParseOptions::default() }
}

fn goldens() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Everything that reads a text, for its own sake.
fn read_all(text: &[u8]) {
    for dialect in [Dialect::Libvirt, Dialect::Lossless] {
        let parsed = parse(text, ParseOptions { dialect, ..ParseOptions::default() });
        let all = check(text, ParseOptions { dialect, ..ParseOptions::default() });
        assert!(parsed.is_ok() || !all.is_empty());
    }
    let _ = validate(text);
    let _ = xpath::select(text, "//*[@type] | //text() | //@*", true);
}

proptest! {
    #[test]
    fn a_device_written_and_read_is_the_same(device in device()) {
        let text = write(&device, Form::Live);
        let mut read = parse(&text, lossless()).map_err(|e| TestCaseError::fail(format!("{e}\n{}", String::from_utf8_lossy(&text))))?;
        activate(&mut read);
        prop_assert_eq!(&read, &device);
        prop_assert_eq!(check(&text, lossless()), vec![]);
    }

    #[test]
    fn json_written_and_read_is_the_same(device in device(), above in of(device()), bytes in vec(vec(any::<u8>(), 0..9), 0..4)) {
        let mut device = NodeDevice { devlinks: bytes.into_iter().map(Text::from).collect(), ..device };
        if let (Some(above), Some(_)) = (above, &device.parent) {
            device.native_parent = Some(above.name);
        }
        let inventory = document::Inventory { devices: vec![device], ..document::Inventory::default() };
        let mut json = Vec::new();
        inventory.write(&mut json).unwrap();
        let read: document::Inventory = document::read(&json).map_err(|e| TestCaseError::fail(format!("{e}\n{}", String::from_utf8_lossy(&json))))?;
        prop_assert_eq!(&read, &inventory);
        let mut again = Vec::new();
        read.write(&mut again).unwrap();
        prop_assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&json));
    }

    #[test]
    fn what_libvirts_parser_keeps_is_stable(device in device()) {
        let keep = |text: &[u8]| parse(text, ParseOptions::default()).map(|mut device| {
            activate(&mut device);
            write(&device, Form::Live)
        });
        if let Ok(once) = keep(&write(&device, Form::Live)) {
            prop_assert_eq!(keep(&once), Ok(once));
        }
    }

    #[test]
    fn no_bytes_make_the_readers_panic(bytes in vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
    }

    #[test]
    fn no_markup_makes_the_readers_panic(parts in vec(select(vec![
        "<", ">", "/", "</", "/>", "device", "capability", " type='", "'", "pci", "net", "vpd", "a:b", "xmlns='u'", " xmlns:a='u'",
        "&", "&amp;", "&#", "&#x41;", ";", "<!--", "-->", "<![CDATA[", "]]>", "<?", "?>", "<?xml version='1.0'?>", "<!DOCTYPE", "\n", " ",
        "ä", "1", "-", "=", "<device>", "</device>", "<name>n</name>", "<capability type='scsi_host'>", "</capability>",
    ]), 0..60)) {
        read_all(parts.concat().as_bytes());
    }

    #[test]
    fn no_change_to_a_document_makes_the_readers_panic(
        document in any::<Index>(),
        changes in vec((any::<Index>(), 0..4_u8, any::<u8>()), 1..6),
    ) {
        let documents = goldens();
        let mut text = document.get(&documents).clone();
        for (at, change, byte) in changes {
            let at = at.index(text.len().max(1)).min(text.len().saturating_sub(1));
            match change {
                _ if text.is_empty() => {}
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                2 => { text.remove(at); }
                _ => text.truncate(at),
            }
        }
        read_all(&text);
    }
}
