//! What the real libvirt makes of documents (`data/*.txt`, `data/golden/*.xml`), and that ours is the same.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use nodedev_xml::{Dialect, Form, Mode, ParseOptions, activate, check, parse, validate, write};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Situation, document and outcome.
struct Case {
    title: String,
    document: String,
    outcome: String,
}

fn cases(file: &str) -> Vec<Case> {
    let text = fs::read_to_string(data(file)).unwrap();
    let blocks = text.split("\n== ").skip(1);
    let cases: Vec<_> = blocks
        .map(|block| {
            let (title, rest) = block.split_once('\n').unwrap();
            let (document, outcome) = rest.split_once("\n-- ").unwrap();
            Case { title: title.to_owned(), document: document.to_owned(), outcome: outcome.to_owned() }
        })
        .collect();
    assert!(cases.len() > 20, "{file} is not read as intended");
    cases
}

/// Outcome of a document as the files write it.
fn outcome(case: &Case) -> String {
    let mode = if case.title.ends_with("(create)") { Mode::Create } else { Mode::Existing };
    match parse(case.document.as_bytes(), ParseOptions { mode, ..ParseOptions::default() }) {
        Ok(device) => format!("ok\n{}", String::from_utf8(write(&device, Form::Inactive)).unwrap()),
        Err(error) => {
            format!("{} {}\n{}\n", error.domain.0, error.code.0, error.message())
        }
    }
}

#[test]
fn documents_are_read_and_refused_as_by_libvirt() {
    let mut wrong = Vec::new();
    for file in ["markup.txt", "numbers.txt", "missing.txt", "whole.txt"] {
        for case in cases(file) {
            let got = outcome(&case);
            if got.trim_end() != case.outcome.trim_end() {
                let Case { title, document, outcome } = case;
                wrong.push(format!("{file}: {title}\n{document}\n-- libvirt: {outcome}\n-- ours: {got}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_first_mistake_is_among_all_that_are_found() {
    for file in ["markup.txt", "numbers.txt", "missing.txt", "whole.txt"] {
        for Case { title, document, .. } in cases(file) {
            let first = parse(document.as_bytes(), ParseOptions::default()).err();
            let all = check(document.as_bytes(), ParseOptions::default());
            let summaries: Vec<_> = all.iter().map(|error| error.summary()).collect();
            match first {
                Some(first) => {
                    assert!(summaries.contains(&first.summary()), "{title}: {first} not in {all:?}")
                }
                None => {
                    assert!(all.iter().all(|e| e.summary().starts_with("mdev attribute")), "{title}: {all:?}")
                }
            }
            assert!(all.is_sorted_by_key(|error| (error.line, error.column)), "{title}: {all:?}");
        }
    }
}

#[test]
fn the_schema_allows_what_libvirts_allows() {
    for Case { title, document, outcome } in cases("schema.txt") {
        let violations = validate(document.as_bytes()).unwrap();
        let valid = outcome.trim_end() == "valid";
        assert_eq!(violations.is_empty(), valid, "{title}\n{document}\n{outcome}\n{violations:?}");
    }
}

#[test]
fn golden_documents_go_through_to_the_same_bytes() {
    let mut count = 0;
    for entry in fs::read_dir(data("golden")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read(&path).unwrap();
        let options = ParseOptions { dialect: Dialect::Lossless, ..ParseOptions::default() };
        let mut device = parse(&text, options).unwrap();
        activate(&mut device);
        let printed = write(&device, Form::Live);
        assert_eq!(String::from_utf8_lossy(&printed), String::from_utf8_lossy(&text), "{}", path.display());
        assert_eq!(check(&text, ParseOptions { dialect: Dialect::Lossless, ..ParseOptions::default() }), []);
        count += 1;
    }
    assert!(count >= 30, "only {count} documents");
}

/// Where ours differs from libvirt on purpose; each with what libvirt 11.3 does.
#[test]
fn differences_from_libvirt_are_these() {
    let usb = "<device><name>n</name><capability type='usb'><number>4294967295</number><class>1</class>\
        <subclass>1</subclass><protocol>1</protocol></capability></device>";
    let vhba = "<device><name>n</name><capability type='scsi_host'><host>1</host><unique_id>-5</unique_id></capability></device>";
    let qeth = "<device><name>n</name><capability type='ccwgroup'><cssid>0</cssid><ssid>0</ssid><devno>1</devno>\
        </capability></device>";
    let address = "<address domain='0' bus='1' slot='0' function='0'/>";
    let twice = format!(
        "<device><name>n</name><capability type='pci'><domain>0</domain><bus>0</bus><slot>0</slot>\
        <function>0</function><product id='1'/><vendor id='2'/><capability type='virt_functions'>{address}</capability>\
        <capability type='virt_functions'>{address}</capability></capability></device>"
    );
    for (document, want, unwanted) in [
        // libvirt prints -1.
        (usb, "<number>4294967295</number>", "-1"),
        // libvirt prints a negative unique_id, unless it is -1.
        (vhba, "<host>1</host>", "unique_id"),
        // libvirt prints <card_type>(null)</card_type> and <chpid>(null)</chpid>.
        (qeth, "<capability type='qeth_generic'>", "(null)"),
        // libvirt writes beyond the end of its list of functions, and may crash.
        (&twice, "<address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>", "maxCount"),
    ] {
        let device = parse(document.as_bytes(), ParseOptions::default()).unwrap();
        let printed = String::from_utf8(write(&device, Form::Live)).unwrap();
        assert!(printed.contains(want) && !printed.contains(unwanted), "{printed}");
    }
    for (document, want) in [
        // libvirt accepts these, and leaves out what the entity stands for.
        ("<!DOCTYPE device><device/>", "1:1: a document type declaration is not allowed"),
        ("<!-- x --><!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "1:11: a document type declaration is not allowed"),
        // libvirt accepts every name of an encoding that the C library has, and reads UTF-8 all the same.
        ("<?xml version='1.0' encoding='EUC-JP'?><device/>", "1:38: Unsupported encoding EUC-JP"),
        // libvirt crashes.
        ("\n\n", "3:1: Start tag expected, '<' not found"),
    ] {
        let error = parse(document.as_bytes(), ParseOptions::default()).unwrap_err();
        assert_eq!(error.to_string(), want);
    }
    for (text, want) in [
        // libvirt looks for a start tag in the UTF-16.
        (&b"\xff\xfe<\0d\0"[..], "1:1: the document is not in UTF-8"),
        // libvirt says "internal error: detected an error in element content".
        (b"<device>\xc3", "1:9: Input is not proper UTF-8, indicate encoding !"),
        // libvirt takes a NUL for the end.
        (b"<device/>\0", "1:10: Extra content at the end of the document"),
    ] {
        let error = parse(text, ParseOptions::default()).unwrap_err();
        assert_eq!(error.to_string(), want);
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    for (text, want) in [
        (&b"<device>\x01</device>"[..], "1:9: PCDATA invalid Char value 1"),
        (b"<device>\0</device>", "1:9: PCDATA invalid Char value 0"),
        (b"<device a='\x01'/>", "1:12: invalid character in attribute value"),
        (b"<device>\xffabc</device>", "1:9: Input is not proper UTF-8, indicate encoding !"),
        (b"<device>\xed\xa0\x80</device>", "1:9: Char 0xD800 out of allowed range"),
        (b"<device>\xef\xbf\xbf</device>", "1:9: Char 0xFFFF out of allowed range"),
    ] {
        let error = parse(text, ParseOptions::default()).unwrap_err();
        assert_eq!(error.to_string(), want);
    }
}
