//! That the library has each symbol of `symbols/libvirt.toml`: a real one that nobody wrote does not link, one that is written
//! by hand and made by `build.rs` too does not compile.

#![allow(unsafe_code, reason = "symbols of C are declared here")]

use std::collections::BTreeSet;

use nodedev_capi as _;

macro_rules! addresses {
    ($($name:ident,)*) => {
        unsafe extern "C" {
            $(#[allow(non_upper_case_globals)] static $name: u8;)*
        }

        /// Where each symbol is. None is called or read.
        fn addresses() -> Vec<(&'static str, *const u8)> {
            vec![$((stringify!($name), &raw const $name)),*]
        }
    };
}

include!(concat!(env!("OUT_DIR"), "/addresses.rs"));

#[test]
fn every_public_symbol_of_libvirt_is_there_once() {
    let all = addresses();
    assert_eq!(all.len(), 525, "libvirt 11.3 has 525 public symbols");
    let names: BTreeSet<_> = all.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), all.len(), "a symbol is on two version nodes");
    assert!(all.iter().all(|(_, address)| !address.is_null()));
}
