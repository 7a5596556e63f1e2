//! A document that can be read prints as one that reads and prints the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nodedev_xml::{Dialect, Form, ParseOptions, activate, parse, write};

fn print(text: &[u8]) -> Option<Vec<u8>> {
    let options = ParseOptions { dialect: Dialect::Lossless, ..ParseOptions::default() };
    let mut device = parse(text, options).ok()?;
    activate(&mut device);
    Some(write(&device, Form::Live))
}

fuzz_target!(|text: &[u8]| {
    if let Some(printed) = print(text) {
        // A carriage return or, in an attribute, a tab or line break reads back as something else.
        if !printed.iter().any(|byte| matches!(byte, b'\r' | b'\t')) {
            let again = print(&printed);
            assert!(again.is_some());
            assert_eq!(again.and_then(|again| print(&again)), print(&printed));
        }
    }
});
