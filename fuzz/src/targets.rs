//! What is given random input.

use std::io::{self, Write as _};
use std::path::Path;

use nodedev_sys::link;
use nodedev_sys::udev::{Record, Uevent, record_name};
use nodedev_sys::uevent::Message;

use crate::{config, host, seeds};

/// A parser under test.
#[derive(Debug)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Parses an input, whatever comes of it. Panics where the parser does, and where what must hold does not.
    pub parse: fn(&[u8]),
    /// Inputs to start from: what recorded hosts have, and what the testkit makes.
    pub seeds: fn() -> io::Result<Vec<Vec<u8>>>,
    /// Words of the format.
    pub words: &'static [&'static [u8]],
    /// How many executions of the others one of this is worth.
    pub cost: u64,
}

/// The target of that name.
///
/// # Errors
/// A sentence that names those that there are.
pub fn find(name: &str) -> Result<&'static Target, String> {
    let known = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    TARGETS
        .iter()
        .find(|target| target.name == name)
        .ok_or_else(|| format!("no target {name}; there are {}", known()))
}

/// All targets.
pub const TARGETS: &[Target] = &[
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
    Target { name: "document", parse: document, seeds: seeds::documents, words: MEMBERS, cost: 2 },
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
            use nodedev_host::pci_config::parse;
            use nodedev_sys::pci_config::{is_endpoint, is_express_card, is_silent, isolation};
            for length in [input.len() as u64, 256] {
                assert_eq!(parse(input, length).is_silent, is_silent(input));
            }
            let _ = (is_endpoint(input), is_express_card(input), isolation(input));
        },
        seeds: seeds::config,
        words: &[
            b"\x10\x40",
            b"\x10\x10",
            b"\x01\x60",
            b"\x40",
            b"\xff",
            b"\xfc",
            b"\x0d\0\x01\x16",
            b"\x03\0\x01\0",
        ],
        cost: 1,
    },
    Target {
        name: "pci-ids",
        parse: |input| {
            let database = nodedev_host::pci_ids::Database::new(input.to_vec());
            for vendor in [0x8086, 0x1af4, 0x1b36, 0x10de, 0, 0xffff, u32::MAX] {
                for device in [0x1237, 0x1000, 0x000c, 0, 0xffff, u32::MAX] {
                    let (vendor, device) = database.names(vendor, device);
                    assert!(vendor.is_some() || device.is_none());
                    // What libpciaccess takes for a line, without what comes before a name in it.
                    assert!([vendor, device].into_iter().flatten().all(|name| name.len() <= 121));
                }
            }
        },
        seeds: seeds::pci_ids,
        words: &[b"\n\t", b"\n\t\t", b"8086  ", b"\n1af4  x\n", b"\t1000  ", b"C 01  ", b"#", b"\r\n"],
        cost: 10,
    },
    Target {
        name: "udev-record",
        parse: udev_record,
        seeds: seeds::records,
        words: &[
            b"\nE:",
            b"E:ID_SERIAL=",
            b"E:ID_TYPE=disk\n",
            b"E:ID_TYPE=cd\n",
            b"E:ID_CDROM=1\n",
            b"E:ID_CDROM_MEDIA=1\n",
            b"E:ID_DRIVE_FLASH_SD=1\n",
            b"E:ID_DRIVE_FLOPPY=1\n",
            b"E:ID_BUS=usb\n",
            b"E:ID_PART_TABLE_TYPE=gpt\n",
            b"E:DKD_MEDIA_AVAILABLE=1\n",
            b"E:ID_FS_LABEL=",
            b"\nS:",
            b"L:-5",
            b"V:1",
            b"=",
            b"\n",
            b"\\x20",
        ],
        cost: 300,
    },
    Target {
        name: "uevent",
        parse: |input| {
            let uevent = Uevent::new(input);
            let _ = (uevent.get(b"DEVNAME"), uevent.is_empty());
            for subsystem in [&b"block"[..], b"net"] {
                assert!(!record_name(uevent, subsystem, b"sda").contains(&b'/'));
            }
        },
        seeds: seeds::uevents,
        words: &[b"MAJOR=", b"MINOR=", b"IFINDEX=", b"DEVNAME=", b"DEVTYPE=disk", b"=", b"\n", b"4294967296"],
        cost: 1,
    },
    Target {
        name: "uevent-message",
        parse: |input| {
            for message in [Message::from_kernel(input), Message::from_udev(input)].into_iter().flatten() {
                assert!(message.path.starts_with(b"sys/devices/"));
                assert!(!message.path.split(|&b| b == b'/').any(|part| part == b".."));
            }
        },
        seeds: || Ok(seeds::uevent_messages()),
        words: &[
            b"libudev\0\xfe\xed\xca\xfe",
            b"\x28\0\0\0",
            b"\xff\xff\xff\xff",
            b"ACTION=move\0",
            b"DEVPATH=/devices/",
            b"DEVPATH_OLD=/devices/",
            b"SUBSYSTEM=net\0",
            b"/../",
            b"@",
            b"\0",
        ],
        cost: 1,
    },
    Target {
        name: "link-message",
        parse: |input| {
            // Each needs a header in the message, so that there are never many.
            assert!(link::addresses(input).len() <= input.len() / 32);
        },
        seeds: || Ok(seeds::link_messages()),
        words: &[b"\x10\0", b"\x04\0", b"\0\0", b"\x03\0", b"\x01\0", b"\xff\xff", b"\x20\0\0\0"],
        cost: 1,
    },
    Target { name: "rpc-packet", parse: packets, seeds: seeds::messages, words: WIRE, cost: 1 },
    Target { name: "rpc-arguments", parse: arguments, seeds: seeds::payloads, words: WIRE, cost: 1 },
    Target {
        name: "mdevctl",
        parse: |input| {
            let _ = nodedev_change::parse_definition(input);
        },
        seeds: || Ok(seeds::definitions()),
        words: JSON,
        cost: 1,
    },
    Target { name: "journal", parse: journal, seeds: || Ok(seeds::journal_entries()), words: JSON, cost: 2 },
    Target {
        name: "remote-uri",
        parse: uri,
        seeds: || Ok(seeds::uris()),
        words: &[
            b"nodedev",
            b"+ssh",
            b"+unix",
            b"+tcp",
            b"://",
            b"@",
            b"[::1]",
            b":16514",
            b"%00",
            b"%2F",
            b"?mode=direct",
            b"&socket=",
            b"&name=",
            b"&no_verify=1",
            b"&proxy=auto",
            b"&auth=sasl",
            b";root=",
            b"#",
        ],
        cost: 1,
    },
    Target {
        name: "config",
        parse: |input| {
            if let Ok(text) = std::str::from_utf8(input)
                && let Err(mistake) = config::parse(text)
            {
                // A file that is empty has a first line, too.
                assert!((1..=text.split('\n').count()).contains(&mistake.line), "{mistake:?}");
            }
        },
        seeds: seeds::configurations,
        words: &[
            b" = ",
            b"[ ",
            b" ]",
            b"\"",
            b"'",
            b"\"\"\"",
            b", ",
            b"#",
            b"\n",
            b"-1",
            b"1",
            b"\"none\"",
            b"_tcp",
        ],
        cost: 1,
    },
    Target {
        name: "host-file",
        parse: host_file,
        seeds: host_files,
        words: &[b"\n", b"0x", b"-1"],
        cost: 40,
    },
    Target {
        name: "mask",
        parse: mask,
        seeds: host_files,
        words: &[b"\nE:ID_SERIAL_SHORT=", b"\nS:", b"\nG:", b"ZA1B2C3D", b"525400123456", b"=", b"\\x20"],
        cost: 300,
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

const JSON: &[&[u8]] = &[
    b"\"attrs\":[",
    b"\"mdev_type\":",
    b"\"start\":\"auto\"",
    b"\"version\":1",
    b"\"members\":[",
    b"\"target\":",
    b"0000:00:03.0",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"null",
    b"-1e308",
    b"\\ud83d\\ude00",
    b"\\u0000",
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

/// Words of the wire protocol: lengths, counts at its limits, programs, numbers of procedures.
const WIRE: &[&[u8]] = &[
    b"\0\0\0\0",
    b"\0\0\0\x01",
    b"\0\0\0\x1c",
    b"\0\0\0\x20",
    b"\0\x01\0\0",
    b"\0\x01\0\x01",
    b"\0\x40\0\0",
    b"\0\x40\0\x01",
    b"\x02\0\0\x04",
    b"\x02\0\0\x05",
    b"\xff\xff\xff\xff",
    b"\x20\0\x80\x86\0\0\0\x01",
    b"keep\0\0\0\x01",
    b"\0\0\x01\x1d",
    b"\0\0\x01\xa3",
    b"\0\0\0\x04",
    b"computer",
];

/// Cuts a stream into messages and does what a server and a client do with each.
fn packets(input: &[u8]) {
    use nodedev_rpc::{Call, Decoder, NativeCall, Packet, Procedure, Reply, Request};
    let serve = |packet: &Packet<'_>| {
        let mut out = Vec::new();
        match Request::of(&packet.header) {
            Request::Call(procedure) => {
                if let Ok(call) = Call::decode(procedure, packet.payload) {
                    let _ = (call.needs(), call.encode(packet.header.serial, &mut out));
                }
            }
            Request::Native(procedure) => drop(NativeCall::decode(procedure, packet.payload)),
            Request::Refused(fault) => drop(fault.object().encode_reply(&packet.header, &mut out)),
            _ => {}
        }
        let _ = packet.response();
        if let Some(procedure) = Procedure::from_number(packet.header.procedure) {
            let _ = Reply::decode(procedure, packet.payload);
        }
    };
    let mut decoder = Decoder::default();
    let mut rest = input;
    while !rest.is_empty() {
        let taken = decoder.feed(rest);
        rest = rest.get(taken..).unwrap_or_default();
        loop {
            match decoder.next_packet() {
                Ok(Some(packet)) => serve(&packet),
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert!(taken > 0, "the decoder has no space although nothing waits");
    }
}

/// What a payload can be read as.
enum Structure {
    Call(nodedev_rpc::Procedure),
    Reply(nodedev_rpc::Procedure),
    NativeCall(nodedev_rpc::NativeProcedure),
    NativeReply(nodedev_rpc::NativeProcedure),
    Event(i32),
    NativeEvent(i32),
    Error,
}

/// Numbers of the events of program NODEDEV.
const NATIVE_EVENTS: [i32; 2] = [4, 5];
/// Structures that an input is read as. There are some hundred, and most input is refused by most of them at the first
/// number: more inputs find more than more structures for each.
const READ_AS: usize = 5;

impl Structure {
    /// All there are.
    fn all() -> impl Iterator<Item = Self> {
        use nodedev_rpc::{Event, NativeProcedure, Procedure};
        let libvirt = Procedure::ALL.iter();
        let native = || NativeProcedure::ALL.iter().map(|(procedure, ..)| *procedure);
        libvirt
            .flat_map(|procedure| [Self::Call(*procedure), Self::Reply(*procedure)])
            .chain(native().flat_map(|procedure| [Self::NativeCall(procedure), Self::NativeReply(procedure)]))
            .chain(Event::ALL.iter().map(|(number, _)| Self::Event(*number)))
            .chain(NATIVE_EVENTS.map(Self::NativeEvent))
            .chain([Self::Error])
    }

    /// Reads a payload and writes it again, as a message; nothing if it is no such structure.
    fn again(&self, payload: &[u8]) -> Option<Vec<u8>> {
        use nodedev_rpc::{
            Call, ErrorObject, Event, Header, NativeCall, NativeEvent, NativeReply, Reader, Reply, Wire,
        };
        let mut out = Vec::new();
        let written = match self {
            Self::Call(procedure) => Call::decode(*procedure, payload).ok()?.encode(1, &mut out),
            Self::Reply(procedure) => Reply::decode(*procedure, payload).ok()?.encode(1, &mut out),
            Self::NativeCall(procedure) => NativeCall::decode(*procedure, payload).ok()?.encode(1, &mut out),
            Self::NativeReply(procedure) => {
                NativeReply::decode(*procedure, payload).ok()?.encode(1, &mut out)
            }
            Self::Event(number) => Event::decode(*number, payload).ok()?.encode(&mut out),
            Self::NativeEvent(number) => NativeEvent::decode(*number, payload).ok()?.encode(&mut out),
            Self::Error => {
                let error = ErrorObject::decode(&mut Reader::new(payload)).ok()?;
                error.encode_reply(&Header::call(1, 1), &mut out)
            }
        };
        written.ok().map(|()| out)
    }
}

/// Reads a payload as some of all structures: arguments, replies, events, errors. What can be read and is written reads
/// as the same.
fn arguments(input: &[u8]) {
    use nodedev_rpc::bounds::MESSAGE_MIN;
    // The input says which, so that it fails again when it is reproduced.
    let hash =
        input.iter().fold(0, |hash: u64, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    let mut random = nodedev_testkit::random::Random::new(hash);
    let count = Structure::all().count() as u64;
    for _ in 0..READ_AS {
        let at = usize::try_from(random.next() % count).unwrap_or_default();
        let Some(structure) = Structure::all().nth(at) else { continue };
        let Some(written) = structure.again(input) else { continue };
        let payload = written.get(MESSAGE_MIN..).unwrap_or_default();
        assert_eq!(structure.again(payload).as_ref(), Some(&written), "it changes when read again");
    }
}

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

/// Words of JSON, and of documents.
const MEMBERS: &[&[u8]] = &[
    b"{\"version\":1,\"devices\":[",
    b"]}",
    b"\"type\":\"",
    b"\"view\":\"native\"",
    b"\"libvirt\":{\"removable\":true,\"hotpluggable\":true,\"media\":{\"fixed\":{",
    b"\"speed_unknown\":true",
    b"\\\\x5c",
    b"\\\\xff",
    b"\\u0000",
    b"18446744073709551615",
    b"null",
    b"1e308",
];

/// Reads a document. What is read, written and read again is the same.
fn document(input: &[u8]) {
    use nodedev_model::document::{Inventory, WatchLine, read};
    let _ = read::<WatchLine<'_>>(input);
    let _ = read::<nodedev_model::HandoverPlan>(input);
    let Ok(inventory) = read::<Inventory>(input) else { return };
    let mut written = Vec::new();
    // Writing into memory does not fail.
    let _ = inventory.write(&mut written);
    match read::<Inventory>(&written) {
        Ok(again) => assert_eq!(again, inventory, "it changes when read again"),
        Err(error) => panic!("what was written can't be read: {error}\n{}", shown(&written)),
    }
}

/// Reads a record, and describes a disk that has it.
fn udev_record(input: &[u8]) {
    let record = Record::new(input);
    let _ = record.get(b"");
    assert!(record.links().is_sorted());
    for (name, _) in record.properties() {
        assert!(record.entry(name).is_some() || name.contains(&b'='));
    }
    if let Ok(root) = host::host().and_then(|host| host.with(Path::new(host::DISK_RECORD), input)) {
        describe_all(root);
    }
}

/// Reads an entry of the journal. What is read, written and read again is the same.
fn journal(input: &[u8]) {
    let address = nodedev_model::PciAddress { domain: 0, bus: 0, slot: 3, function: 0 };
    let read = |content: &[u8]| nodedev_change::read_entry(content, address);
    if let Ok(written) = read(input) {
        assert_eq!(read(&written).as_ref(), Ok(&written), "it changes when read again");
    }
}

/// Reads a URI. What a daemon is asked to open names no transport, and is a URI itself.
fn uri(input: &[u8]) {
    use nodedev_driver::{ConnectUri, RemoteUri};
    let Ok(text) = std::str::from_utf8(input) else { return };
    let _ = text.parse::<ConnectUri>();
    let Ok(uri) = RemoteUri::of(text) else { return };
    assert!(!uri.host.as_ref().is_some_and(String::is_empty) && uri.port != Some(0));
    // Parameter `name` is passed on as it is.
    if !text.contains(['%', 'n', 'N']) {
        for name in [uri.wire_name(), uri.helper_name()] {
            let again = RemoteUri::of(name).map(|again| (again.host.clone(), again.wire_name().to_owned()));
            assert_eq!(again.ok(), Some((None, uri.wire_name().to_owned())), "{name}");
        }
    }
}

fn host_files() -> io::Result<Vec<Vec<u8>>> {
    host::host().map(host::Host::seeds)
}

/// Describes a host of which one file is foreign.
fn host_file(input: &[u8]) {
    if let Ok(Some(root)) = host::host().and_then(|host| host.changed_by(input)) {
        describe_all(root);
    }
}

/// Records a host of which one file is foreign, masked. The recording is searched for what it is to hide.
fn mask(input: &[u8]) {
    use nodedev_record::{RecordError, RecordOptions, record};
    let Ok(Some(root)) = host::host().and_then(|host| host.changed_by(input)) else { return };
    let Ok(archive) = tempfile::Builder::new().suffix(".tar").tempfile_in(host::memory()) else { return };
    let recorded = record(&root, archive.path(), RecordOptions { mask: true });
    // A value that the mask left is refused (`Revealed`): nothing is written. Foreign bytes reach that by a serial number that is also the
    // name and value of a property, or by an address in the middle of other digits.
    assert!(!matches!(recorded, Err(RecordError::Write { .. } | RecordError::Format { .. })), "{recorded:?}");
}

/// Opens a recording, lists and describes what is in it.
fn archive(input: &[u8]) {
    let Ok(mut file) = host::in_memory() else { return };
    if file.write_all(input).is_err() {
        return;
    }
    if let Ok(root) = nodedev_sys::Root::open(file.path()) {
        describe_all(root);
    }
}

/// Asks everything that a command can ask about a host.
fn describe_all(root: nodedev_sys::Root) {
    use nodedev_driver::{Changes as _, LibvirtCalls as _, ListFlags, Operations as _, View, XmlFlags};
    let driver = nodedev_host::HostDriver::new(root);
    for device in driver.list(ListFlags::empty()).unwrap_or_default() {
        let _ = driver.xml(device.name.as_str(), XmlFlags::empty());
    }
    let _ = (driver.snapshot(View::Native), driver.host_info(), driver.handovers());
}
