//! What is given random input.

use std::io::Write as _;
use std::{fs, io};

use nodedev_sys::udev::{Record, Uevent, record_name};

use crate::seeds;

/// A parser under test.
pub(crate) struct Target {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// Parses an input, whatever comes of it.
    pub(crate) parse: fn(&[u8]),
    /// Inputs to start from.
    pub(crate) seeds: fn() -> io::Result<Vec<Vec<u8>>>,
    /// Words of the format.
    pub(crate) words: &'static [&'static [u8]],
    /// How many executions of the others one of this is worth.
    pub(crate) cost: u64,
}

pub(crate) const TARGETS: &[Target] = &[
    Target { name: "xml", parse: xml, seeds: seeds::xml, words: MARKUP, cost: 2 },
    Target {
        name: "xml-schema",
        parse: |input| {
            let _ = nodedev_xml::validate(input);
        },
        seeds: seeds::xml,
        words: MARKUP,
        cost: 10,
    },
    Target {
        name: "xpath",
        parse: |input| {
            const DOCUMENT: &[u8] =
                b"<device><name>a</name><capability type='pci'><address bus='1'/></capability></device>";
            if let Ok(expression) = std::str::from_utf8(input) {
                let _ = nodedev_xml::xpath::select(DOCUMENT, expression, false);
            }
        },
        seeds: seeds::expressions,
        words: &[
            b"//",
            b"[",
            b"]",
            b"(",
            b")",
            b"@",
            b"*",
            b"..",
            b"::",
            b"last()",
            b" and ",
            b"'",
            b"ancestor-or-self::",
            b"-",
            b"1e308",
        ],
        cost: 2,
    },
    Target {
        name: "vpd",
        parse: |input| {
            let _ = nodedev_host::vpd::parse(input);
        },
        seeds: seeds::vpd,
        words: &[
            b"\x82",
            b"\x90",
            b"\x91",
            b"\x78",
            b"PN\x04",
            b"RV\x01",
            b"YA\x01",
            b"RW\xff",
            b"V0\x00",
            b"\xff\xff",
        ],
        cost: 1,
    },
    Target {
        name: "pci-config",
        parse: |input| {
            let _ = nodedev_host::pci_config::parse(input);
        },
        seeds: seeds::config,
        words: &[b"\x10\x40", b"\x10\x10", b"\x01\x60", b"\x40", b"\xff", b"\xfc"],
        cost: 1,
    },
    Target {
        name: "pci-ids",
        parse: |input| {
            let database = nodedev_host::pci_ids::Database::new(input.to_vec());
            for (vendor, device) in
                [(0x8086, 0x1237), (0x1af4, 0x1000), (0x1b36, 0x000c), (u32::MAX, u32::MAX)]
            {
                let _ = database.names(vendor, device);
            }
        },
        seeds: seeds::pci_ids,
        words: &[b"\n\t", b"\n\t\t", b"8086  ", b"\n1af4  x\n", b"\t1000  ", b"C 01  ", b"#", b"\r\n"],
        cost: 10,
    },
    Target {
        name: "udev-record",
        parse: |input| {
            let record = Record::new(input);
            let _ = (record.get(b"ID_SERIAL"), record.get(b""), record.links());
        },
        seeds: seeds::records,
        words: &[b"\nE:", b"E:ID_SERIAL=", b"\nS:", b"L:-5", b"V:1", b"=", b"\n", b"\\x20"],
        cost: 1,
    },
    Target {
        name: "uevent",
        parse: |input| {
            let uevent = Uevent::new(input);
            let _ = (uevent.get(b"DEVNAME"), record_name(uevent, b"block", b"sda"));
        },
        seeds: seeds::uevents,
        words: &[b"MAJOR=", b"MINOR=", b"IFINDEX=", b"DEVNAME=", b"DEVTYPE=disk", b"=", b"\n", b"4294967296"],
        cost: 1,
    },
    Target {
        name: "archive",
        parse: archive,
        seeds: seeds::archives,
        words: &[
            b"sys/",
            b"../",
            b"/",
            b"ustar\x0000",
            b"00000000777",
            b"77777777777",
            b"\x80\x00\x00\x00\x7f\xff\xff\xff",
        ],
        cost: 100,
    },
];

const MARKUP: &[&[u8]] = &[
    b"<device>",
    b"</device>",
    b"<capability type='",
    b"<!DOCTYPE x [<!ENTITY e 'e'>]>",
    b"<![CDATA[",
    b"]]>",
    b"<!--",
    b"-->",
    b"&amp;",
    b"&#x10ffff;",
    b"&#0;",
    b" a='1'",
    b" xmlns:a='b'",
    b"<?xml version='1.0' encoding='latin1'?>",
    b"'",
    b"\"",
    b"/>",
    b"\xc3\x28",
    b"0xffffffffffffffff",
    b"-1",
];

/// Reads a document in both modes and dialects. What is read without loss, written and read again is the same.
fn xml(input: &[u8]) {
    use nodedev_xml::{Dialect, Form, Mode, ParseOptions, check, parse, write};
    for mode in [Mode::Existing, Mode::Create] {
        let _ = check(input, ParseOptions { mode, ..ParseOptions::default() });
    }
    let lossless = || ParseOptions { dialect: Dialect::Lossless, ..ParseOptions::default() };
    let read = |text: &[u8]| {
        parse(text, lossless()).map(|mut device| {
            device.activate_definition();
            write(&device, Form::Live)
        })
    };
    let Ok(written) = read(input) else { return };
    match read(&written) {
        Ok(again) => assert_eq!(shown(&again), shown(&written), "it changes when read again"),
        Err(error) => panic!("what was written can't be read: {}\n{}", error.message(), shown(&written)),
    }
}

fn shown(document: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(document)
}

/// Opens a recording, lists and describes what is in it.
fn archive(input: &[u8]) {
    use nodedev_host::HostDriver;
    let Ok(mut file) = tempfile::NamedTempFile::new() else { return };
    if file.write_all(input).is_err() {
        return;
    }
    if let Ok(root) = nodedev_sys::Root::open(file.path()) {
        let _ = describe_all(&HostDriver::new(root));
    }
    let _ = fs::remove_file(file.path());
}

/// Everything that a command can ask about a host.
fn describe_all(driver: &dyn nodedev_driver::Driver) -> usize {
    use nodedev_driver::{ListFlags, XmlFlags};
    let Ok(devices) = driver.list(ListFlags::empty()) else { return 0 };
    devices.iter().filter(|device| driver.xml(device.name.as_str(), XmlFlags::empty()).is_ok()).count()
}
