//! What guests get: mediated devices, virtual functions, IOMMU groups; and SCSI with Fibre Channel.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;

use common::{capability, host, names, net, open, pci, tree, xml};
use nodedev_driver::{Devices as _, Error, LibvirtCalls, ListFlags, View, XmlFlags};
use nodedev_host::HostDriver;
use nodedev_model::{Capability, MdevCapability, PciCapability};
use nodedev_testkit::pci_bytes::Config;
use nodedev_testkit::tree::{Device, Tree};

const A: &str = "11111111-2222-4333-8444-555555555555";
const B: &str = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee";

fn mdev_name(uuid: &str, parent: &str) -> String {
    format!("mdev_{uuid}_{parent}").replace(['-', ':', '.'], "_")
}

fn mdev_of(driver: &HostDriver, name: &str) -> MdevCapability {
    match capability(driver, name) {
        Capability::Mdev(mdev) => *mdev,
        other => panic!("{name} is {other:?}"),
    }
}

fn pci_of(driver: &HostDriver, name: &str) -> PciCapability {
    match capability(driver, name) {
        Capability::Pci(pci) => *pci,
        other => panic!("{name} is {other:?}"),
    }
}

/// A running mediated device.
fn running(tree: &mut Tree, parent: &str, uuid: &str) {
    let path = format!("devices/pci0000:00/{parent}/{uuid}");
    let kind = format!("devices/pci0000:00/{parent}/mdev_supported_types/t-1");
    tree.add(&Device::new(&path, "bus/mdev").link("mdev_type", &kind)).unwrap();
    tree.iommu_group(11, &path).unwrap();
}

fn define(tree: &mut Tree, parent: &str, file: &str, content: &str) {
    tree.file(&format!("etc/mdevctl.d/{parent}/{file}"), content.as_bytes()).unwrap();
}

const MANUAL: &str = r#"{"mdev_type":"t-1","start":"manual","attrs":[{"one":"1"},{"two":"2"}]}"#;
const AUTO: &str = r#"{"mdev_type":"t-2","start":"auto"}"#;

#[test]
fn mediated_devices_are_running_defined_or_both() {
    let parent = "0000:00:03.0";
    let (only_running, only_defined, both) = (A, B, "99999999-2222-4333-8444-555555555555");
    let mut tree = tree(&[pci(parent)
        .attr("mdev_supported_types/t-1/device_api", "vfio-pci")
        .attr("mdev_supported_types/t-1/available_instances", 0)]);
    running(&mut tree, parent, only_running);
    running(&mut tree, parent, both);
    define(&mut tree, parent, both, AUTO);
    define(&mut tree, parent, only_defined, MANUAL);
    let driver = open(tree.root());
    for (uuid, active, persistent, autostart) in
        [(only_running, true, false, false), (only_defined, false, true, false), (both, true, true, true)]
    {
        let name = mdev_name(uuid, parent);
        assert_eq!(driver.is_active(&name), Ok(active), "{uuid}");
        assert_eq!(driver.is_persistent(&name), Ok(persistent), "{uuid}");
        assert_eq!(driver.autostart(&name), Ok(autostart), "{uuid}");
        assert_eq!(driver.parent(&name).unwrap().unwrap().as_str(), "pci_0000_00_03_0", "{uuid}");
        let mdev = mdev_of(&driver, &name);
        assert_eq!(mdev.uuid.unwrap().to_string(), uuid);
        assert_eq!((mdev.active.is_some(), mdev.defined.is_some()), (active, persistent), "{uuid}");
        assert_eq!(mdev.iommu_group, if active { 11 } else { 0 }, "{uuid}");
    }
    let name = mdev_name(both, parent);
    assert!(xml(&driver, &name).contains("<type id='t-1'/>"), "as it runs");
    let inactive = String::from_utf8(driver.xml(&name, XmlFlags::INACTIVE).unwrap()).unwrap();
    assert!(
        inactive.contains("<type id='t-2'/>") && !inactive.contains("<path>"),
        "as it is defined: {inactive}"
    );
    let defined = xml(&driver, &mdev_name(only_defined, parent));
    let (one, two) =
        (defined.find("<attr name='one' value='1'/>"), defined.find("<attr name='two' value='2'/>"));
    assert!(one.is_some() && one < two, "{defined}");
    let transient = mdev_name(only_running, parent);
    assert!(driver.xml(&transient, XmlFlags::INACTIVE).is_err());
    let inactive: Vec<_> = driver.list(ListFlags::INACTIVE).unwrap().into_iter().map(|d| d.name).collect();
    assert_eq!(inactive.len(), 1);
    assert_eq!(inactive[0].as_str(), mdev_name(only_defined, parent));
    assert_eq!(driver.issues().unwrap(), []);
}

#[test]
fn one_uuid_can_be_defined_for_two_parents() {
    let mut tree = tree(&[pci("0000:00:03.0"), pci("0000:00:04.0")]);
    for parent in ["0000:00:03.0", "0000:00:04.0", "0000:00:05.0"] {
        define(&mut tree, parent, A, MANUAL);
    }
    let driver = open(tree.root());
    for (parent, name) in [
        ("0000:00:03.0", "pci_0000_00_03_0"),
        ("0000:00:04.0", "pci_0000_00_04_0"),
        // Whose parent is not there.
        ("0000:00:05.0", "computer"),
    ] {
        let found = driver.parent(&mdev_name(A, parent)).unwrap().unwrap();
        assert_eq!(found.as_str(), name, "{parent}");
    }
}

#[test]
fn a_broken_definition_is_reported_and_costs_no_other() {
    let parent = "0000:00:03.0";
    let mut tree = tree(&[pci(parent)]);
    define(&mut tree, parent, A, MANUAL);
    let broken = [
        ("10000000-0000-4000-8000-000000000000", ""),
        ("20000000-0000-4000-8000-000000000000", "{\"mdev_type\":"),
        ("30000000-0000-4000-8000-000000000000", "[]"),
        ("40000000-0000-4000-8000-000000000000", "{\"start\":\"auto\"}"),
        ("50000000-0000-4000-8000-000000000000", r#"{"mdev_type":"t","start":"auto","attrs":7}"#),
    ];
    for (uuid, content) in broken {
        define(&mut tree, parent, uuid, content);
    }
    // What mdevctl does not take for a definition either.
    define(&mut tree, parent, "notes.txt", "x");
    define(&mut tree, parent, &format!("{A}~"), "x");
    let deep = "[".repeat(100_000);
    define(&mut tree, parent, "60000000-0000-4000-8000-000000000000", &deep);
    let driver = open(tree.root());
    let found: Vec<_> =
        names(&driver, View::Libvirt).into_iter().filter(|name| name.starts_with("mdev_")).collect();
    assert_eq!(found, [mdev_name(A, parent)]);
    let issues = driver.issues().unwrap();
    assert_eq!(issues.len(), broken.len() + 1, "{issues:#?}");
    for (issue, (uuid, _)) in issues.iter().zip(broken) {
        assert_eq!(issue.path, format!("/etc/mdevctl.d/{parent}/{uuid}"));
        assert!(issue.device.is_none() && !issue.problem.is_empty(), "{issue}");
    }
}

#[test]
fn types_of_mediated_devices_are_sorted_and_an_incomplete_one_is_reported() {
    let types = "devices/pci0000:00/0000:00:03.0/mdev_supported_types";
    let mut tree = tree(&[pci("0000:00:03.0")]);
    for (id, file, content) in [
        ("t-2", "device_api", "vfio-pci\n"),
        ("t-2", "available_instances", "3\n"),
        ("t-1", "device_api", "vfio-pci\n"),
        ("t-1", "available_instances", "16\n"),
        ("t-1", "name", "GRID T4-1B\n"),
        ("t-3", "device_api", "vfio-pci\n"),
        ("t-4", "available_instances", "many\n"),
    ] {
        tree.sys_file(&format!("{types}/{id}/{file}"), content.as_bytes()).unwrap();
    }
    let driver = open(tree.root());
    let found = pci_of(&driver, "pci_0000_00_03_0").mdev_types;
    let found: Vec<_> = found
        .iter()
        .map(|kind| {
            (kind.id.to_string(), kind.name.as_ref().map(ToString::to_string), kind.available_instances)
        })
        .collect();
    assert_eq!(found, [("t-1".into(), Some("GRID T4-1B".into()), 16), ("t-2".into(), None, 3)]);
    assert_eq!(driver.issues().unwrap().len(), 2);
    assert_eq!(driver.names(Some("mdev_types"), None, 0).unwrap().len(), 1);
}

#[test]
fn physical_and_virtual_functions_name_each_other() {
    let vf =
        |number: u32| pci(&format!("0000:00:10.{number}")).link("physfn", "devices/pci0000:00/0000:00:03.0");
    let pf = (0..3).fold(pci("0000:00:03.0").attr("sriov_totalvfs", 7), |pf, number| {
        pf.link(format!("virtfn{number}"), format!("devices/pci0000:00/0000:00:10.{number}"))
    });
    let (_tree, driver) = host(&[vf(0), vf(1), vf(2), pf, pci("0000:00:04.0").attr("sriov_totalvfs", 4)]);
    let functions = pci_of(&driver, "pci_0000_00_03_0").virtual_functions.unwrap();
    assert_eq!((functions.max_count, functions.functions.len()), (7, 3));
    assert_eq!(functions.functions[2].to_string(), "0000:00:10.2");
    let function = pci_of(&driver, "pci_0000_00_10_1");
    assert_eq!(function.physical_function.unwrap().to_string(), "0000:00:03.0");
    assert!(function.virtual_functions.is_none());
    let none = pci_of(&driver, "pci_0000_00_04_0").virtual_functions.unwrap();
    assert_eq!((none.max_count, none.functions.len()), (4, 0));
    assert!(xml(&driver, "pci_0000_00_04_0").contains("<capability type='virt_functions' maxCount='4'/>"));
}

#[test]
fn an_iommu_group_without_the_list_of_its_members_has_the_device_itself() {
    let mut tree = tree(&[pci("0000:00:03.0"), pci("0000:00:04.0"), pci("0000:00:05.0")]);
    tree.iommu_group(7, "devices/pci0000:00/0000:00:04.0").unwrap();
    tree.iommu_group(7, "devices/pci0000:00/0000:00:03.0").unwrap();
    tree.link("devices/pci0000:00/0000:00:05.0/iommu_group", "kernel/iommu_groups/9").unwrap();
    let driver = open(tree.root());
    let members = |name: &str| {
        let group = pci_of(&driver, name).iommu_group.unwrap();
        let devices: Vec<_> = group.devices.iter().map(ToString::to_string).collect();
        (group.number, devices)
    };
    let both = vec!["0000:00:03.0".to_owned(), "0000:00:04.0".into()];
    assert_eq!(members("pci_0000_00_03_0"), (7, both.clone()));
    assert_eq!(members("pci_0000_00_04_0"), (7, both));
    assert_eq!(members("pci_0000_00_05_0"), (9, vec!["0000:00:05.0".into()]));
    fs::remove_dir_all(tree.root().join("sys/kernel/iommu_groups")).unwrap();
    assert_eq!(members("pci_0000_00_04_0"), (7, vec!["0000:00:04.0".into()]));
    assert_eq!(driver.issues().unwrap(), []);
}

#[test]
fn a_loop_in_the_list_of_pci_capabilities_ends() {
    let mut space =
        Config { vendor: 1, device: 2, class: 0x2_0000, header_type: 0, express: None }.to_bytes();
    space[0x41] = 0x50;
    space[0x50] = 0x09;
    space[0x51] = 0x40;
    let (_tree, driver) = host(&[pci("0000:00:03.0").bytes("config", space)]);
    let described = pci_of(&driver, "pci_0000_00_03_0");
    assert!(described.express.is_none() && described.header.is_some());
}

#[test]
fn logical_units_have_64_bits() {
    let unit = |name: &str| {
        Device::new(format!("devices/platform/host0/target0:0:1/{name}"), "bus/scsi")
            .devtype("scsi_device")
            .attr("type", 0)
    };
    let (_tree, driver) = host(&[unit("0:0:1:18446744073709551615"), unit("0:0:1:16640"), unit("odd")]);
    let lun = |name: &str| match capability(&driver, name) {
        Capability::Scsi(unit) => unit.lun,
        other => panic!("{other:?}"),
    };
    assert_eq!(lun("scsi_0_0_1_18446744073709551615"), u64::MAX);
    assert_eq!(lun("scsi_0_0_1_16640"), 16640);
    assert!(xml(&driver, "scsi_0_0_1_18446744073709551615").contains("<lun>18446744073709551615</lun>"));
    assert_eq!(driver.issues().unwrap().len(), 1, "a name that is no address is reported");
}

/// A port of Fibre Channel.
fn port(tree: &mut Tree, number: u32, wwnn: &str, wwpn: &str) {
    let path = format!("devices/platform/host{number}");
    tree.add(&Device::new(&path, "bus/scsi").devtype("scsi_host")).unwrap();
    tree.add(
        &Device::new(format!("{path}/fc_host/host{number}"), "class/fc_host")
            .attr("node_name", wwnn)
            .attr("port_name", wwpn)
            .attr("fabric_name", "0x0"),
    )
    .unwrap();
}

#[test]
fn scsi_hosts_are_found_by_the_names_they_have_now() {
    let mut tree = tree(&[]);
    port(&mut tree, 1, "0x2000000000000001", "0x1000000000000001");
    port(&mut tree, 2, "0x2000000000000001", "0x1000000000000002");
    port(&mut tree, 3, "0x2000000000000001", "0x1000000000000002");
    let driver = open(tree.root());
    let find = |port: &str| {
        driver.lookup_scsi_host_by_wwn("2000000000000001", port, 0).map(|name| name.as_str().to_owned())
    };
    assert_eq!(find("1000000000000001").unwrap(), "scsi_host1");
    assert_eq!(find("1000000000000002").unwrap(), "scsi_host2", "the first of two with the same names");
    assert_eq!(find("1000000000000009"), Err(Error::unknown_cause()));
    assert_eq!(
        driver.lookup_scsi_host_by_wwn("0x2000000000000001", "0x1000000000000001", 0),
        Err(Error::unknown_cause())
    );
    // Names change while the driver runs, also after they were found once.
    let file =
        |host: u32| tree.root().join(format!("sys/devices/platform/host{host}/fc_host/host{host}/port_name"));
    fs::write(file(1), "0x1000000000000009\n").unwrap();
    assert_eq!(find("1000000000000001"), Err(Error::unknown_cause()));
    assert_eq!(find("1000000000000009").unwrap(), "scsi_host1");
    fs::write(file(2), "0x1000000000000001\n").unwrap();
    assert_eq!(find("1000000000000001").unwrap(), "scsi_host2");
    assert_eq!(find("1000000000000002").unwrap(), "scsi_host3");
    fs::remove_dir_all(tree.root().join("sys/devices/platform/host3")).unwrap();
    assert_eq!(find("1000000000000002"), Err(Error::unknown_cause()));
}

/// An interface is one of an RDMA card when its memory regions are those of an InfiniBand device. Each file is looked
/// at once, however many interfaces there are.
#[test]
fn rdma_cards_are_told_by_their_regions() {
    let resource = |number: u32| format!("0x{number:016x} 0x{number:016x} 0x0\n");
    let mut devices = Vec::new();
    for number in 0..200u32 {
        let address = format!("0000:{number:02x}:00.0");
        let path = format!("devices/pci0000:00/{address}");
        devices.push(pci(&address).bytes("resource", resource(number)));
        devices
            .push(net(&path, &format!("e{number}"), number + 2, "02:00:00:00:00:01").link("device", &path));
        if number % 2 == 0 {
            devices.push(
                Device::new(format!("{path}/infiniband/ib{number}"), "class/infiniband")
                    .link("device", &path),
            );
        }
    }
    let (_tree, driver) = host(&devices);
    for number in [0, 1, 198, 199] {
        let text = xml(&driver, &format!("net_e{number}_02_00_00_00_00_01"));
        assert_eq!(text.contains("<feature name='rdma'/>"), number % 2 == 0, "{text}");
    }
    let mut with = 0;
    driver
        .visit_xml(ListFlags::CAP_NET, XmlFlags::empty(), &mut |_, text| {
            with += usize::from(String::from_utf8_lossy(text.unwrap()).contains("rdma"));
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(with, 100);
}
