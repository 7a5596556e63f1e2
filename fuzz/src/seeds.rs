//! Real input to start from: the recorded hosts and what the testkit makes.

use std::ops::ControlFlow;
use std::path::Path;
use std::{fs, io};

use nodedev_model::document::Inventory;
use nodedev_testkit::corrupt::files;
use nodedev_testkit::pci_bytes::{Config, Express, vpd as vital_data};
use nodedev_testkit::{fixtures, repository};

/// No more seeds than that of one kind and host: more say nothing new.
const ENOUGH: usize = 200;

/// Documents that the real libvirt wrote.
pub(crate) fn xml() -> io::Result<Vec<Vec<u8>>> {
    let mut seeds = Vec::new();
    for place in ["fixtures/hosts", "fixtures/made"] {
        for file in files(&repository().join(place))? {
            if file.extension().is_some_and(|extension| extension == "xml") {
                seeds.push(fs::read(repository().join(place).join(file))?);
            }
        }
    }
    Ok(seeds)
}

/// JSON of the devices of recorded hosts, one in each.
pub(crate) fn documents() -> io::Result<Vec<Vec<u8>>> {
    use nodedev_driver::{Devices as _, View};
    let mut seeds = Vec::new();
    for fixture in fixtures::all()? {
        let root = nodedev_sys::Root::open(&fixture.archive()).map_err(io::Error::other)?;
        let driver = nodedev_host::HostDriver::new(root);
        let visited = driver.visit(View::Native, &mut |device| {
            let devices = vec![device.clone()];
            let mut json = Vec::new();
            // Writing into memory does not fail.
            let _ = Inventory { devices, issues: Some(Vec::new()), ..Inventory::default() }.write(&mut json);
            seeds.push(json);
            ControlFlow::Continue(())
        });
        visited.map_err(io::Error::other)?;
    }
    Ok(seeds)
}

/// Files of the recorded hosts that `choose` picks by their path.
fn recorded(choose: impl Fn(&Path) -> bool) -> io::Result<Vec<Vec<u8>>> {
    let mut seeds = Vec::new();
    for fixture in fixtures::all()? {
        seeds.extend(fixture.files(&choose)?.into_values().take(ENOUGH));
    }
    Ok(seeds)
}

/// Vital product data: that of the recorded hosts and some of our own.
pub(crate) fn vpd() -> io::Result<Vec<Vec<u8>>> {
    let mut seeds = recorded(|path| path.ends_with("vpd"))?;
    let fields = [("PN", "A1"), ("SN", "0001"), ("V0", "x"), ("EC", "")];
    seeds.push(vital_data("Card", &fields, &[("YA", "tag"), ("Y1", "s"), ("V1", "v")]));
    seeds.push(vital_data("", &[], &[]));
    Ok(seeds)
}

/// Configuration spaces.
pub(crate) fn config() -> io::Result<Vec<Vec<u8>>> {
    let mut seeds = recorded(|path| path.ends_with("config"))?;
    let express = Express { port_type: 4, port: 1, max_speed: 5, max_width: 16, speed: 3, width: 8 };
    for express in [None, Some(express)] {
        seeds
            .push(Config { vendor: 0x8086, device: 1, class: 0x06_0400, header_type: 1, express }.to_bytes());
    }
    // Extended capabilities: Advanced Error Reporting, Access Control Services, a serial number.
    if let Some(space) = seeds.last_mut() {
        for (at, bytes) in [
            (0x100, 0x1482_0001_u32.to_le_bytes()),
            (0x148, 0x1601_000d_u32.to_le_bytes()),
            (0x14c, 0x001d_005f_u32.to_le_bytes()),
            (0x160, 0x0001_0003_u32.to_le_bytes()),
            (0x164, 0x1234_5678_u32.to_le_bytes()),
        ] {
            space[at..at + 4].copy_from_slice(&bytes);
        }
    }
    seeds.extend([vec![0xff; 64], Vec::new()]);
    Ok(seeds)
}

/// Records of udev's database.
pub(crate) fn records() -> io::Result<Vec<Vec<u8>>> {
    recorded(|path| path.starts_with("run/udev/data"))
}

/// The `uevent` files of devices.
pub(crate) fn uevents() -> io::Result<Vec<Vec<u8>>> {
    recorded(|path| path.ends_with("uevent"))
}

/// Messages of the kernel and of udev about devices.
pub(crate) fn uevent_messages() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (action, more) in
        [("add", ""), ("move", "DEVPATH_OLD=/devices/virtual/net/b\0"), ("bind", "DRIVER=vfio-pci\0")]
    {
        let head = format!("{action}@/devices/virtual/net/a\0");
        let properties = format!(
            "ACTION={action}\0DEVPATH=/devices/virtual/net/a\0SUBSYSTEM=net\0{more}INTERFACE=a\0SEQNUM=7\0"
        );
        seeds.push([head.as_bytes(), properties.as_bytes()].concat());
        let mut message = b"libudev\0\xfe\xed\xca\xfe".to_vec();
        for number in [40, 40, properties.len() as u32, 0, 0, 0, 0] {
            message.extend(number.to_ne_bytes());
        }
        message.extend(properties.as_bytes());
        seeds.push(message);
    }
    seeds
}

/// A message of rtnetlink about an interface.
pub(crate) fn link_messages() -> Vec<Vec<u8>> {
    let mut message = vec![56, 0, 0, 0, 16, 0];
    message.resize(32, 0);
    message.extend(b"\x0a\0\x03\0veth0\0\0\0\x0a\0\x01\0\x02\0\0\0\0\x01\0\0");
    vec![message]
}

/// Lists of PCI ids.
pub(crate) fn pci_ids() -> io::Result<Vec<Vec<u8>>> {
    let mut seeds = recorded(|path| path.ends_with("pci.ids"))?;
    // The whole of one is slow to read, so that little of it would be changed in a minute.
    seeds.push(
        b"# ids\n\n8086  Intel Corporation\n\t1237  440FX\n\t\t1af4 1100  Qemu\n\t1000\n10de  NVIDIA\r\n8086  again\n\
          \t000c  late\nC 02  Network controller\n\t00  Ethernet controller\n"
            .to_vec(),
    );
    let long = "x".repeat(118);
    seeds.push(format!("1af4  {long}\n\t1000  {long}y\0z\n1b36\n").into_bytes());
    Ok(seeds)
}

/// A small recording, not compressed: mutations of compressed bytes only ever meet the decompressor.
pub(crate) fn archives() -> io::Result<Vec<Vec<u8>>> {
    let mut tree = nodedev_testkit::tree::Tree::temporary()?;
    let device = nodedev_testkit::tree::Device::new("devices/virtual/net/lo", "class/net");
    tree.add(&device.uevent("INTERFACE", "lo").uevent("IFINDEX", "1").attr("address", "00:00:00:00:00:00"))?;
    let mut builder = tar::Builder::new(Vec::new());
    builder.follow_symlinks(false);
    builder.append_dir_all("", tree.root())?;
    let plain = builder.into_inner()?;
    let mut compressed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut compressed, &plain)?;
    Ok(vec![plain, compressed.finish()?])
}

/// Definitions of mdevctl's.
pub(crate) fn definitions() -> Vec<Vec<u8>> {
    let definitions = [
        r#"{"mdev_type":"i915-GVTg_V5_4","start":"manual"}"#,
        r#"{"mdev_type":"vfio_ap-passthrough","start":"auto","attrs":[{"assign_adapter":"5"},{"assign_domain":"0xab"}]}"#,
        r#"{"start":"auto","mdev_type":"\u00e4\ud83d\ude00","attrs":null}"#,
    ];
    definitions.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// Entries of the journal of hand-overs.
pub(crate) fn journal_entries() -> Vec<Vec<u8>> {
    const IDENTITY: &str = r#"{"vendor":"0x8086","device":"0x1572","subsystem_vendor":"0x8086","subsystem_device":"0x0001",
        "syspath":"devices/pci0000:00/0000:00:03.0"}"#;
    let entry = |state: &str, more: &str, members: &str| {
        format!(
            r#"{{"version":1,"name":"pci_0000_00_03_0","address":"0000:00:03.0","identity":{IDENTITY},"state":"{state}",
            "before":{{"kernel_driver":"i40e"}},{more}"members":[{members}],"operation":1700000000000000000,
            "boot_id":"7452791a-1836-4f24-86aa-6ed9fd3712f5","pid":17,"since_seconds":1700000000}}"#
        )
        .into_bytes()
    };
    let vfio = r#"{"kernel_driver":"vfio-pci","driver_override":"vfio-pci"}"#;
    vec![
        entry("detached", r#""original":{"kernel_driver":"i40e"},"#, r#"{"address":"0000:00:03.0"}"#),
        entry(
            "detaching",
            &format!(r#""target":{vfio},"module":"i40e","problem":"x","#),
            &format!(
                r#"{{"address":"0000:00:03.0","target":{vfio}}},{{"address":"0000:00:03.1","target":{vfio}}}"#
            ),
        ),
        entry("reattaching", "", r#"{"address":"0000:00:03.0","target":{}}"#),
    ]
}

/// URIs of connections.
pub(crate) fn uris() -> Vec<Vec<u8>> {
    let uris = [
        "nodedev:///system",
        "nodedev:///session?root=/tmp/host%20a.tar.gz",
        "test:///default",
        "test:///etc/test.xml",
        "nodedev+ssh://user@host:22/system?keyfile=/k&netcat=nc&proxy=native&no_tty=1&no_verify=0&command=/usr/bin/ssh",
        "nodedev+tls://[fd00::1]:16514/session?pkipath=/pki;auth=sasl.x",
        "nodedev+tcp://host/system?mode=legacy&foo=b%61r#end",
        "nodedev+unix:///system?socket=/run/s&mode=direct&auth=polkit",
        "nodedev+ext:///system?command=/bin/relay&name=qemu:///system",
        "qemu+ssh://host/system?known_hosts=/k&tls_priority=NORMAL",
    ];
    uris.map(|text| text.as_bytes().to_vec()).to_vec()
}

/// Configuration files of the daemon: the one that is installed, and the same with every setting in force.
pub(crate) fn configurations() -> io::Result<Vec<Vec<u8>>> {
    let text = fs::read_to_string(repository().join("packaging/nodedevd.conf"))?;
    let is_setting = |line: &str| line.starts_with('#') && !line.starts_with("# ") && line.contains(" = ");
    let settings: Vec<&str> = text.lines().filter(|line| is_setting(line)).map(|line| &line[1..]).collect();
    let mut seeds = vec![text.clone().into_bytes(), settings.join("\n").into_bytes()];
    // Where one is refused, those that follow are not looked at.
    seeds.extend(settings.iter().map(|line| line.as_bytes().to_vec()));
    seeds.push(b"a = \"\"\"x\ny\"\"\" # c\nb = [ 'x', \"y\",\n ]\n".to_vec());
    Ok(seeds)
}

/// XPath expressions.
pub(crate) fn expressions() -> io::Result<Vec<Vec<u8>>> {
    let expressions = [
        "//name",
        "/device/capability[@type='pci']/product/@id",
        "count(//address)",
        "string(//capability[last()])",
        "//address[@bus='0x01' and position() > 1] | //vendor",
        "not(contains(//name, 'pci')) or 1 + 2 * -3 div 4 mod 5 >= 0",
    ];
    Ok(expressions.iter().map(|text| text.as_bytes().to_vec()).collect())
}

/// Messages that real clients and the real libvirt sent.
pub(crate) fn messages() -> io::Result<Vec<Vec<u8>>> {
    let mut seeds = Vec::new();
    let folder = repository().join("crates/nodedev-rpc/tests/captures");
    for file in files(&folder)? {
        if file.extension().is_some_and(|extension| extension == "txt") {
            let text = fs::read_to_string(folder.join(file))?;
            seeds.extend(text.lines().filter_map(|line| unhex(line.split(' ').nth(2)?)));
        }
    }
    Ok(seeds)
}

/// What is in these messages: arguments, replies, events and errors.
pub(crate) fn payloads() -> io::Result<Vec<Vec<u8>>> {
    let header = nodedev_rpc::bounds::MESSAGE_MIN;
    let mut seeds: Vec<_> =
        messages()?.iter().filter_map(|seed| Some(seed.get(header..)?.to_vec())).collect();
    seeds.sort();
    seeds.dedup();
    Ok(seeds)
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
