//! Any bytes as a node device document: no reader may panic, and all must agree on what is well-formed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nodedev_xml::{Dialect, ErrorCode, ParseOptions, check, parse, validate, xpath};

fuzz_target!(|text: &[u8]| {
    let options = || ParseOptions { dialect: Dialect::Lossless, ..ParseOptions::default() };
    let parsed = parse(text, options());
    let mistakes = check(text, options());
    let malformed = matches!(&parsed, Err(error) if error.code == ErrorCode::NotWellFormed);
    assert_eq!(validate(text).is_err(), malformed);
    assert!(parsed.is_ok() || !mistakes.is_empty());
    assert!(mistakes.is_sorted_by_key(|mistake| (mistake.line, mistake.column)));
    assert_eq!(xpath::select(text, "//*[@type]", true).is_err(), malformed);
});
