//! What drivers and the command line ask of the crate.

use nodedev_model::Capability;
use nodedev_xml::dom::Document;
use nodedev_xml::{
    Dialect, ErrorCode, ErrorDomain, Form, Mode, NEW_DEVICE, ParseOptions, WwnGenerator, XmlError, activate,
    check, parse, parse_document, validate, write,
};

const VHBA: &[u8] = b"<device>
  <parent>scsi_host5</parent>
  <capability type='scsi_host'>
    <capability type='fc_host'>
      <wwnn>2001001b32a9da4e</wwnn>
    </capability>
  </capability>
</device>
";

#[test]
fn missing_names_of_a_new_vhba_are_made_by_the_generator() {
    let mut numbers = [0x1_2345_6789_u64].into_iter();
    let mut random = || numbers.next().unwrap();
    let generator = WwnGenerator::new(WwnGenerator::OUI_TEST, &mut random);
    let options =
        ParseOptions { mode: Mode::Create, wwn_generator: Some(generator), ..ParseOptions::default() };
    let device = parse(VHBA, options).unwrap();
    assert_eq!(device.name.as_str(), NEW_DEVICE);
    assert_eq!(device.parent.unwrap().as_str(), "scsi_host5");
    let Capability::ScsiHost(host) = &device.capabilities[0] else { panic!("{:?}", device.capabilities) };
    let port = host.fc_host.as_ref().unwrap();
    assert_eq!(port.wwnn.as_ref().unwrap(), &"2001001b32a9da4e");
    assert_eq!(port.wwpn.as_ref().unwrap(), &"5100000123456789");
}

#[test]
fn missing_names_are_a_mistake_without_a_generator() {
    let options = ParseOptions { mode: Mode::Create, ..ParseOptions::default() };
    let error = parse(VHBA, options).unwrap_err();
    assert_eq!((error.domain, error.code), (ErrorDomain::NODEDEV, ErrorCode::INTERNAL_ERROR));
    assert_eq!(
        error.message(),
        "internal error: no WWPN supplied for 'new device', and auto-generation failed"
    );
    assert_eq!((error.line, error.column), (4, 5));
}

#[test]
fn a_device_within_a_larger_document_is_read_where_it_stands() {
    let text = b"<node>\n<device><name>a</name><capability type='drm'><type>render</type></capability></device>\n<device/>\n</node>";
    let document = Document::parse(text).unwrap();
    let devices: Vec<_> = document.elements_named(document.root_element(), "device").collect();
    let read = |at: usize| parse_document(text, &document, devices[at], ParseOptions::default());
    assert_eq!(read(0).unwrap().name.as_str(), "a");
    let error = read(1).unwrap_err();
    assert_eq!(error.message(), "missing name information");
    assert_eq!((error.line, error.column), (3, 1));
}

#[test]
fn a_mediated_device_shows_its_type_once_it_is_active() {
    let text = b"<device><name>m</name><capability type='mdev'><type id='t'/></capability></device>";
    let mut device = parse(text, ParseOptions::default()).unwrap();
    let shows_type =
        |device: &_, form| String::from_utf8_lossy(&write(device, form)).contains("<type id='t'/>");
    assert!(shows_type(&device, Form::Inactive) && !shows_type(&device, Form::Live));
    activate(&mut device);
    assert!(shows_type(&device, Form::Inactive) && shows_type(&device, Form::Live));
}

#[test]
fn each_dialect_keeps_its_own() {
    let text = b"<device><name>d</name><driver><name>sd</name></driver><capability type='storage'><block>/dev/sda</block>\
        <serial></serial><size>1024</size><logical_block_size>512</logical_block_size><num_blocks>2</num_blocks>\
        </capability></device>";
    let print = |dialect| {
        let device = parse(text, ParseOptions { dialect, ..ParseOptions::default() }).unwrap();
        String::from_utf8(write(&device, Form::Live)).unwrap()
    };
    let (libvirt, lossless) = (print(Dialect::Libvirt), print(Dialect::Lossless));
    for extra in ["<driver>", "<serial></serial>", "<num_blocks>2</num_blocks>"] {
        assert!(!libvirt.contains(extra) && lossless.contains(extra), "{extra}");
    }
    for kind in
        ["scsi_generic'><char>/dev/sg0</char", "vdpa'><chardev>/dev/x</chardev", "mdev_types'><type id='x'/"]
    {
        let text = format!("<device><name>x</name><capability type='{kind}></capability></device>");
        let error = parse(text.as_bytes(), ParseOptions::default()).unwrap_err();
        assert!(error.detail.starts_with("unknown capability type"), "{error}");
        let options = ParseOptions { dialect: Dialect::Lossless, ..ParseOptions::default() };
        assert!(parse(text.as_bytes(), options).is_ok());
    }
}

#[test]
fn all_mistakes_are_found_at_their_places() {
    let text = b"<device>
  <name>x</name>
  <capability type='pci'>
    <domain>z</domain>
    <slot>1</slot>
    <product id='0x1'>a &nbsp; b</product>
    <capability/>
    <pci-express><link validity='cap' port='p'/></pci-express>
  </capability>
  <capability type='foo'/>
</devise>
";
    let mistakes: Vec<_> = check(text, ParseOptions::default()).iter().map(ToString::to_string).collect();
    assert_eq!(
        mistakes,
        [
            "3:3: no PCI bus ID supplied for 'x'",
            "3:3: no PCI function ID supplied for 'x'",
            "3:3: no PCI vendor ID supplied for 'x'",
            "4:5: invalid PCI domain ID supplied for 'x'",
            "6:25: Entity 'nbsp' not defined",
            "7:5: Missing capability type",
            "8:18: Missing required attribute 'width' in element 'link'",
            "8:39: Invalid value for attribute 'port' in element 'link': 'p'. Expected integer value",
            "10:15: Invalid value for attribute 'type' in element 'capability': 'foo'.",
            "11:1: Opening and ending tag mismatch: device line 1 and devise",
        ]
    );
}

#[test]
fn violations_of_the_schema_say_what_is_expected() {
    let text = b"<device>
  <name>x</name>
  <capability type='usb_device'>
    <device>2</device>
    <bus>one</bus>
    <product id='0xAB'>p</product>
    <speed/>
  </capability>
  <capability type='fc_host'/>
  text
</device>
";
    let violations = validate(text).unwrap();
    let messages: Vec<_> = violations.iter().map(ToString::to_string).collect();
    assert_eq!(
        messages,
        [
            "3:3: 'vendor' is missing in 'capability' with type usb_device",
            "5:5: 'bus' is in the wrong place in 'capability' with type usb_device",
            "5:5: 'bus' must be a decimal number, not 'one'",
            "6:14: attribute 'id' of 'product' must be a hexadecimal number in lower case, not '0xAB'",
            "7:5: 'speed' is not allowed in 'capability' with type usb_device",
            "9:3: 'capability' of type 'fc_host' is not allowed in 'device'",
            "9:31: text is not allowed in 'device'",
        ]
    );
    let error = XmlError::schema("/usr/share/libvirt/schemas/nodedev.rng", &violations);
    assert_eq!((error.domain.0, error.code.0, error.line), (5, 92, 3));
    let start = "XML document failed to validate against schema: Unable to validate doc against /usr";
    assert!(error.message().starts_with(start), "{}", error.message());
}
