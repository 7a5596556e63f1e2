//! One target of `nodedev-fuzz` under libFuzzer: the one that the environment variable `NODEDEV_FUZZ_TARGET` names.
//!
//! `cargo xtask fuzz` builds it with the compiler's marks for libFuzzer, and runs it.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use nodedev_fuzz::{Target, find};

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fn target() -> &'static Target {
    TARGET.get_or_init(|| {
        let name = std::env::var("NODEDEV_FUZZ_TARGET").unwrap_or_default();
        find(&name).unwrap_or_else(|problem| {
            eprintln!("NODEDEV_FUZZ_TARGET: {problem}");
            std::process::exit(2)
        })
    })
}

fuzz_target!(init: { target(); }, |input: &[u8]| {
    (target().parse)(input);
});
