//! What each kind of news leads to, one by one.

use std::fs;

use nodedev_driver::{Changes as _, Devices as _, LibvirtCalls, View, XmlFlags};
use nodedev_sys::link::LinkAddress;
use nodedev_testkit::tree::Device;

use super::feed::Piece;
use super::world::Live;

const TOP: &str = "devices/pci0000:00/0000:00:03.0";
const NET: &str = "devices/pci0000:00/0000:00:03.0/net/eth0";
const UUID: &str = "2ba9b46c-9c1f-4f2c-a1d8-2a8c0c4a9a10";

fn pci(path: &str) -> Device {
    Device::new(path, "bus/pci").uevent("PCI_CLASS", "20000").attr("vendor", "0x8086")
}

fn net(path: &str, address: &str) -> Device {
    let name = path.rsplit('/').next().unwrap();
    Device::new(path, "class/net").uevent("INTERFACE", name).uevent("IFINDEX", "2").attr("address", address)
}

fn host() -> Live {
    Live::of(&[pci(TOP), net(NET, "02:00:00:00:00:01")])
}

/// Checks what was told, and that the index is as a fresh look would make it.
#[track_caller]
fn expect(live: &mut Live, want: &[&str]) {
    live.feed.settle();
    let events = live.events();
    let told: Vec<_> = events.iter().map(|event| super::world::describe(event)).collect();
    assert_eq!(told, want);
    live.check(&events);
    live.start = live.driver.snapshot(View::Native).unwrap();
}

#[test]
fn a_device_that_comes_changes_and_goes_is_told_so() {
    let mut live = host();
    let path = "devices/virtual/net/dummy0";
    live.plug(&net(path, "02:00:00:00:00:09"));
    live.feed.uevent("add", path, "net", &[]);
    expect(&mut live, &["net_dummy0_02_00_00_00_00_09 created CREATED"]);
    live.feed.uevent("change", path, "net", &[]);
    live.feed.uevent("add", path, "net", &[]);
    let updated = "net_dummy0_02_00_00_00_00_09 updated UPDATE";
    expect(&mut live, &[updated, updated]);
    live.unplug(path, "class/net");
    live.feed.uevent("remove", path, "net", &[]);
    expect(&mut live, &["net_dummy0_02_00_00_00_00_09 deleted DELETED"]);
    // Of those nobody had heard before.
    live.feed.uevent("remove", path, "net", &[]);
    live.feed.uevent("change", path, "net", &[]);
    live.feed.uevent("add", "devices/system/cpu/cpu0", "cpu", &[]);
    expect(&mut live, &[]);
}

#[test]
fn a_device_that_goes_takes_those_below_it_with_it() {
    let mut live = host();
    live.unplug(NET, "class/net");
    live.unplug(TOP, "bus/pci/devices");
    live.feed.uevent("remove", TOP, "pci", &[]);
    expect(&mut live, &["net_eth0_02_00_00_00_00_01 deleted DELETED", "pci_0000_00_03_0 deleted DELETED"]);
}

#[test]
fn a_kernel_driver_that_comes_and_goes_is_told_natively_only() {
    let mut live = host();
    live.feed.uevent("unbind", TOP, "pci", &[]);
    live.feed.uevent("bind", TOP, "pci", &[("DRIVER", "vfio-pci")]);
    live.feed.uevent("online", TOP, "pci", &[]);
    expect(
        &mut live,
        &["pci_0000_00_03_0 driver-unbound", "pci_0000_00_03_0 driver-bound", "pci_0000_00_03_0 updated"],
    );
}

#[test]
fn a_kernel_driver_that_brings_a_device_into_libvirts_view_creates_it_there() {
    let path = "devices/css0/0.0.0001";
    let mut live = Live::of(&[Device::new(path, "bus/css").uevent("CSS", "1")]);
    assert!(live.driver.entries(View::Libvirt).unwrap().len() == 1);
    live.write(&format!("{path}/uevent"), "DRIVER=vfio_ccw\n");
    live.feed.uevent("bind", path, "css", &[("DRIVER", "vfio_ccw")]);
    expect(&mut live, &["css_0_0_0001 driver-bound CREATED"]);
    live.write(&format!("{path}/uevent"), "X=1\n");
    live.feed.uevent("unbind", path, "css", &[("DRIVER", "vfio_ccw")]);
    expect(&mut live, &["css_0_0_0001 driver-unbound DELETED"]);
}

/// A host whose interface has a device below it and is called `lan0` by now, which nobody has told yet; and its folder.
fn renamed_with_a_device_below() -> (Live, String) {
    let mut live = host();
    live.plug(&Device::new(format!("{NET}/phy0"), "class/ieee80211"));
    live.feed.uevent("add", &format!("{NET}/phy0"), "ieee80211", &[]);
    expect(&mut live, &["ieee80211_phy0 created"]);
    let to = NET.replace("eth0", "lan0");
    fs::rename(live.sys(NET), live.sys(&to)).unwrap();
    (live, to)
}

#[test]
fn a_renamed_interface_keeps_what_is_below_it() {
    let (mut live, to) = renamed_with_a_device_below();
    fs::remove_file(live.sys("class/net/eth0")).unwrap();
    fs::remove_file(live.sys("class/ieee80211/phy0")).unwrap();
    live.tree.link("class/net/lan0", &to).unwrap();
    live.tree.link("class/ieee80211/phy0", &format!("{to}/phy0")).unwrap();
    live.write(&format!("{to}/uevent"), "INTERFACE=lan0\nIFINDEX=2\n");
    live.feed.uevent("move", &to, "net", &[("DEVPATH_OLD", &format!("/{NET}"))]);
    let renamed = "net_lan0_02_00_00_00_00_01 renamed DELETED(net_eth0_02_00_00_00_00_01) CREATED";
    expect(&mut live, &[renamed, "ieee80211_phy0 updated", "ieee80211_phy0 parent-changed"]);
}

#[test]
fn news_under_a_former_name_lose_nothing_below_the_device() {
    let (mut live, to) = renamed_with_a_device_below();
    for (folder, old, new) in [("net", "eth0", to.clone()), ("ieee80211", "phy0", format!("{to}/phy0"))] {
        fs::remove_file(live.sys(&format!("class/{folder}/{old}"))).unwrap();
        live.tree.link(&format!("class/{folder}/{}", new.rsplit('/').next().unwrap()), &new).unwrap();
    }
    live.write(&format!("{to}/uevent"), "INTERFACE=lan0\nIFINDEX=2\n");
    // It was changed before it was renamed, and is looked at after that.
    live.feed.uevent("change", NET, "net", &[]);
    live.feed.settle();
    live.feed.uevent("move", &to, "net", &[("DEVPATH_OLD", &format!("/{NET}"))]);
    let renamed = "net_lan0_02_00_00_00_00_01 renamed DELETED(net_eth0_02_00_00_00_00_01) CREATED";
    expect(&mut live, &[renamed, "ieee80211_phy0 updated", "ieee80211_phy0 parent-changed"]);
}

#[test]
fn another_hardware_address_is_another_name() {
    let mut live = host();
    let link =
        |address: &str| Piece::Address(LinkAddress { name: (*b"eth0").into(), address: address.to_owned() });
    live.feed.push(link("02:00:00:00:00:01"));
    expect(&mut live, &[]);
    live.write(&format!("{NET}/address"), "02:00:00:00:00:99\n");
    live.feed.push(link("02:00:00:00:00:99"));
    let changed = "net_eth0_02_00_00_00_00_99 address-changed DELETED(net_eth0_02_00_00_00_00_01) CREATED";
    expect(&mut live, &[changed]);
    // News of an interface of which no uevent has told yet.
    live.plug(&net("devices/virtual/net/new0", "02:00:00:00:00:05"));
    live.feed
        .push(Piece::Address(LinkAddress { name: (*b"new0").into(), address: "02:00:00:00:00:05".into() }));
    assert_eq!(live.told(), [""; 0]);
}

#[test]
fn a_device_between_others_that_comes_late_is_their_parent() {
    let mut live = host();
    let middle = "devices/pci0000:00";
    let port = "devices/pci0000:00/0000:00:03.0/net";
    // What neither view shows changes nothing.
    live.plug(&Device::new(middle, "bus/platform"));
    live.feed.uevent("add", middle, "platform", &[]);
    expect(&mut live, &[]);
    live.plug(&Device::new(port, "bus/virtio").uevent("X", "1"));
    live.feed.uevent("add", port, "virtio", &[]);
    expect(&mut live, &[]);
    let virtio = format!("{TOP}/virtio0");
    let disk = format!("{virtio}/block/vda");
    live.plug(&Device::new(&disk, "class/block").devtype("disk").uevent("DEVNAME", "vda"));
    live.feed.uevent("add", &disk, "block", &[]);
    expect(&mut live, &["block_vda created CREATED"]);
    live.plug(&Device::new(&virtio, "bus/virtio"));
    live.feed.uevent("add", &virtio, "virtio", &[]);
    expect(&mut live, &["virtio_virtio0 created", "block_vda parent-changed"]);
    assert_eq!(live.driver.parent("block_vda").unwrap().unwrap().as_str(), "pci_0000_00_03_0");
}

#[test]
fn of_two_devices_with_one_name_the_other_takes_over_when_one_goes() {
    let mut live = Live::of(&[]);
    let (one, other) = ("devices/a/0-1", "devices/a/0_1");
    live.plug(&pci(one));
    live.feed.uevent("add", one, "pci", &[]);
    expect(&mut live, &["pci_0_1 created CREATED"]);
    live.plug(&pci(other));
    live.feed.uevent("add", other, "pci", &[]);
    expect(&mut live, &["pci_0_1 updated UPDATE"]);
    live.plug(&net(&format!("{one}/net/x"), "02:00:00:00:00:01"));
    live.feed.uevent("add", &format!("{one}/net/x"), "net", &[]);
    expect(&mut live, &["net_x_02_00_00_00_00_01 created CREATED"]);
    live.feed.uevent("change", one, "pci", &[]);
    expect(&mut live, &[]);
    live.unplug(other, "bus/pci/devices");
    live.feed.uevent("remove", other, "pci", &[]);
    expect(
        &mut live,
        &["pci_0_1 deleted DELETED", "pci_0_1 created CREATED", "net_x_02_00_00_00_00_01 parent-changed"],
    );
}

/// Writes or removes the definition of a mediated device, and tells that something changed there.
fn define(live: &Live, content: Option<&str>) {
    let folder = live.tree.root().join("etc/mdevctl.d/0000:00:03.0");
    fs::create_dir_all(&folder).unwrap();
    match content {
        Some(content) => fs::write(folder.join(UUID), content).unwrap(),
        None => fs::remove_file(folder.join(UUID)).unwrap(),
    }
    live.feed.push(Piece::Definitions);
}

#[test]
fn definitions_that_come_change_and_go_are_told_so() {
    let mut live = host();
    let name = "mdev_2ba9b46c_9c1f_4f2c_a1d8_2a8c0c4a9a10_0000_00_03_0";
    let text = |start: &str| format!(r#"{{"mdev_type":"i915-GVTg_V5_4","start":"{start}"}}"#);
    define(&live, Some(&text("manual")));
    expect(&mut live, &[&format!("{name} defined DEFINED")]);
    assert_eq!(live.driver.parent(name).unwrap().unwrap().as_str(), "pci_0000_00_03_0");
    assert!(!live.driver.is_active(name).unwrap() && live.driver.is_persistent(name).unwrap());
    define(&live, Some(&text("manual")));
    expect(&mut live, &[]);
    define(&live, Some(&text("auto")));
    expect(&mut live, &[&format!("{name} updated UPDATE")]);
    assert!(live.driver.autostart(name).unwrap());
    // Started and stopped, it stays.
    let path = format!("{TOP}/{UUID}");
    live.plug(&Device::new(&path, "bus/mdev"));
    live.feed.uevent("add", &path, "mdev", &[]);
    expect(&mut live, &[&format!("{name} created CREATED")]);
    live.unplug(&path, "bus/mdev/devices");
    live.feed.uevent("remove", &path, "mdev", &[]);
    expect(&mut live, &[&format!("{name} deleted DELETED")]);
    assert!(!live.driver.is_active(name).unwrap());
    // A parent that goes and comes.
    live.unplug(NET, "class/net");
    live.unplug(TOP, "bus/pci/devices");
    live.feed.uevent("remove", NET, "net", &[]);
    live.feed.uevent("remove", TOP, "pci", &[]);
    let gone = ["net_eth0_02_00_00_00_00_01 deleted DELETED", "pci_0000_00_03_0 deleted DELETED"];
    expect(&mut live, &[gone[0], gone[1], &format!("{name} parent-changed")]);
    live.plug(&pci(TOP));
    live.feed.uevent("add", TOP, "pci", &[]);
    expect(&mut live, &["pci_0000_00_03_0 created CREATED", &format!("{name} parent-changed")]);
    define(&live, None);
    expect(&mut live, &[&format!("{name} undefined UNDEFINED")]);
    assert!(live.driver.lookup(name).is_err());
}

#[test]
fn an_active_mediated_device_becomes_persistent_and_transient_again() {
    let mut live = host();
    let name = "mdev_2ba9b46c_9c1f_4f2c_a1d8_2a8c0c4a9a10_0000_00_03_0";
    let path = format!("{TOP}/{UUID}");
    live.plug(&Device::new(&path, "bus/mdev"));
    live.feed.uevent("add", &path, "mdev", &[]);
    expect(&mut live, &[&format!("{name} created CREATED")]);
    define(&live, Some(r#"{"mdev_type":"t","start":"manual"}"#));
    expect(&mut live, &[&format!("{name} defined DEFINED")]);
    assert!(live.driver.xml(name, XmlFlags::INACTIVE).is_ok());
    define(&live, None);
    expect(&mut live, &[&format!("{name} undefined UNDEFINED")]);
    assert!(live.driver.is_active(name).unwrap());
}

#[test]
fn many_changes_of_few_devices_come_to_one_each() {
    let mut live = host();
    live.feed.hold();
    for _ in 0..1000 {
        live.feed.uevent("change", TOP, "pci", &[]);
        live.feed.uevent("bind", TOP, "pci", &[("DRIVER", "e1000e")]);
    }
    live.unplug(NET, "class/net");
    live.feed.uevent("remove", NET, "net", &[]);
    live.plug(&net(NET, "02:00:00:00:00:01"));
    live.feed.uevent("add", NET, "net", &[]);
    live.feed.release();
    expect(
        &mut live,
        &[
            "pci_0000_00_03_0 updated UPDATE",
            "pci_0000_00_03_0 driver-bound",
            "net_eth0_02_00_00_00_00_01 deleted DELETED",
            "net_eth0_02_00_00_00_00_01 created CREATED",
        ],
    );
    assert_eq!(live.driver.follow_stats().events, 2002);
}

#[test]
fn after_an_overflow_the_difference_is_told() {
    let mut live = host();
    live.feed.hold();
    let disk = format!("{TOP}/virtio0/block/vda");
    live.plug(&Device::new(&disk, "class/block").devtype("disk").uevent("DEVNAME", "vda"));
    live.write(&format!("{NET}/address"), "02:00:00:00:00:77\n");
    live.write(&format!("{TOP}/uevent"), "PCI_CLASS=20000\nDRIVER=vfio-pci\n");
    live.feed.uevent("change", "devices/virtual/x", "x", &[]);
    live.feed.overflow(0);
    live.feed.release();
    expect(
        &mut live,
        &[
            "net_eth0_02_00_00_00_00_77 address-changed DELETED(net_eth0_02_00_00_00_00_01) CREATED",
            "block_vda created CREATED",
            "pci_0000_00_03_0 updated UPDATE",
        ],
    );
    // Nothing changed but what was heard.
    live.feed.hold();
    live.feed.uevent("change", TOP, "pci", &[]);
    live.feed.uevent("remove", &disk, "block", &[]);
    live.feed.uevent("add", &disk, "block", &[]);
    live.feed.uevent("change", "devices/virtual/x", "x", &[]);
    live.feed.overflow(3);
    live.feed.release();
    expect(
        &mut live,
        &["block_vda deleted DELETED", "block_vda created CREATED", "pci_0000_00_03_0 updated UPDATE"],
    );
    let stats = live.driver.follow_stats();
    assert_eq!((stats.overflows, stats.rescans), (2, 2));
}

#[test]
fn a_device_whose_record_in_udevs_database_is_replaced_has_changed() {
    let mut live = host();
    let record = live.tree.root().join("run/udev/data/+pci:0000:00:03.0");
    fs::write(&record, "E:ID_MODEL_FROM_DATABASE=x\n").unwrap();
    live.feed.push(Piece::Lost);
    expect(&mut live, &["pci_0000_00_03_0 updated UPDATE"]);
    live.feed.push(Piece::Lost);
    expect(&mut live, &[]);
}
