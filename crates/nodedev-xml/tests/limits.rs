//! Texts made to hurt: work and memory stay linear, depth and size are bounded.

use nodedev_xml::dom::{Document, MAX_DEPTH, MAX_MISTAKES, MAX_TEXT};
use nodedev_xml::{ParseOptions, check, parse, validate, xpath};

/// A text of about 4 MiB with many of something; a reader that is not linear would not come back from it.
fn filled(before: &str, part: impl Fn(usize) -> String, after: &str) -> String {
    let mut text = before.to_owned();
    let mut number = 0;
    while text.len() + after.len() + 256 < MAX_TEXT {
        text.push_str(&part(number));
        number += 1;
    }
    text + after
}

fn device(inside: &str) -> String {
    format!("<device><name>n</name><capability type='drm'><type>render</type>{inside}</capability></device>")
}

#[test]
fn many_attributes_are_read_in_one_go() {
    let text = filled("<device", |n| format!(" a{n}='{n}'"), "><name>n</name></device>");
    let document = Document::parse(text.as_bytes()).unwrap();
    assert!(document.attributes(document.root_element()).len() > 200_000);
    assert_eq!(
        parse(text.as_bytes(), ParseOptions::default()).unwrap_err().detail,
        "no device capabilities for 'n'"
    );
    assert_eq!(validate(text.as_bytes()).unwrap().len(), MAX_MISTAKES);
}

#[test]
fn many_attributes_of_one_name_are_reported_up_to_a_limit() {
    let text = filled("<device", |_| " a=''".to_owned(), "/>");
    let errors = check(text.as_bytes(), ParseOptions::default());
    assert_eq!(errors.len(), MAX_MISTAKES);
    let size: usize = errors.iter().map(|error| error.detail.len()).sum();
    assert!(size < 3 * MAX_TEXT, "{size} bytes of messages");
}

#[test]
fn a_long_name_is_not_copied_into_each_message() {
    let name = "n".repeat(MAX_TEXT / 2);
    let text = format!("<device><name>{name}</name>{}</device>", "<capability type='usb'/>".repeat(2000));
    let errors = check(text.as_bytes(), ParseOptions::default());
    assert_eq!(errors.len(), MAX_MISTAKES);
    let size: usize = errors.iter().map(|error| error.detail.len()).sum();
    assert!(size < MAX_TEXT, "{size} bytes of messages");
    let first = parse(text.as_bytes(), ParseOptions::default()).unwrap_err();
    assert!(first.detail.ends_with(&format!("for '{name}'")));
}

#[test]
fn many_open_tags_are_refused_at_the_limit() {
    let text = "<a>".repeat(200_000);
    let error = parse(text.as_bytes(), ParseOptions::default()).unwrap_err();
    assert_eq!(error.summary(), "Excessive depth in document: 256 use XML_PARSE_HUGE option");
    assert_eq!(error.column as usize, 3 * (MAX_DEPTH + 1) + 1);

    let deepest = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(Document::parse(deepest(MAX_DEPTH + 1).as_bytes()).is_ok());
    assert!(Document::parse(deepest(MAX_DEPTH + 2).as_bytes()).is_err());
    let nested = deepest(MAX_DEPTH + 1);
    assert_eq!(xpath::select(nested.as_bytes(), "//a[not(*)]", false).unwrap(), b"<a/>\n");
}

#[test]
fn many_elements_and_references_and_namespaces_are_read_in_one_go() {
    for (text, wanted) in [
        (filled("", |_| "<x/>".to_owned(), ""), None),
        (filled("", |_| "&amp;".to_owned(), ""), None),
        (filled("", |_| "\r\n".to_owned(), ""), None),
        (filled("", |_| "<![CDATA[]]]]>".to_owned(), ""), None),
        (filled("", |n| format!("<a{n}:x xmlns:a{n}='u'/>"), ""), None),
        (filled("", |_| "<!--x-->".to_owned(), ""), None),
        (filled("", |_| "]]>".to_owned(), ""), Some(MAX_MISTAKES)),
        (filled("", |n| format!("&e{n};"), ""), Some(MAX_MISTAKES)),
        (filled("", |_| "</x>".to_owned(), ""), Some(2)),
    ] {
        let text = device(&text);
        let start = &text[..120];
        let errors = check(text.as_bytes(), ParseOptions::default());
        match wanted {
            None => assert!(errors.len() <= 1, "{start}: {} mistakes, {}", errors.len(), errors[0]),
            Some(number) => assert!(errors.len() >= number, "{start}: {} mistakes", errors.len()),
        }
    }
}

#[test]
fn a_longer_text_is_refused_unread() {
    let text = " ".repeat(MAX_TEXT + 1);
    let error = parse(text.as_bytes(), ParseOptions::default()).unwrap_err();
    assert!(error.summary().starts_with("the document is longer than"), "{error}");
}
