//! What every driver promises, through the exported C functions.

use crate::c_driver::CDriver;
use nodedev_driver::contract::{Expect, check};
use nodedev_testkit::fixtures;

/// C has no native view, and looks devices up.
fn of_c(expect: Expect) -> Expect {
    Expect { native_view: false, entries: false, calls_take_names: false, ..expect }
}

#[test]
fn recorded_hosts_keep_the_contract() {
    for fixture in fixtures::all().expect("fixtures") {
        let uri = format!("nodedev:///system?root={}", fixture.archive().display());
        let driver = CDriver::open(&uri).expect("a recording");
        check(&driver, &of_c(Expect::HOST));
    }
}

#[test]
fn the_invented_devices_keep_the_contract() {
    let driver = CDriver::open("test:///default").expect("no host is needed");
    check(&driver, &of_c(Expect::TEST));
}
