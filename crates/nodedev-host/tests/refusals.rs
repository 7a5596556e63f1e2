//! What calls that change the host refuse before anything is done: codes and texts are those that the real libvirt 11.3
//! gave its Python binding on the recorded host kitchen-sink.

use nodedev_driver::{CreateFlags, LibvirtCalls, Result, UpdateFlags};
use nodedev_host::HostDriver;
use nodedev_testkit::fixtures;

fn driver() -> HostDriver {
    let all = fixtures::all().expect("fixtures");
    let fixture = all.iter().find(|fixture| fixture.name() == "kitchen-sink").expect("a recorded host");
    HostDriver::new(nodedev_sys::Root::open(&fixture.archive()).expect("an archive"))
}

fn refusal<T: std::fmt::Debug>(result: Result<T>) -> (i32, i32, String) {
    let error = result.expect_err("it must be refused");
    (error.code().0, error.domain().0, error.message().to_owned())
}

const EMPTY: &str = "at line 1: Document is empty\n(null)\n^";
const UNSUPPORTED: &str = "unsupported configuration: Unsupported device type";

#[test]
fn documents_of_devices_that_cannot_be_made_are_refused_as_libvirt_does() {
    let driver = driver();
    let mdev = |parent: &str| {
        format!("<device>{parent}<capability type='mdev'><type id='a'/></capability></device>")
    };
    for (xml, code, domain, message) in [
        ("", 35, 22, EMPTY),
        ("<domain/>", 27, 5, "XML error: expecting root element of 'device', not 'domain'"),
        ("<device/>", 1, 22, "internal error: no device capabilities for 'new device'"),
        (
            "<device><capability type='net'><interface>a</interface></capability></device>",
            67,
            22,
            UNSUPPORTED,
        ),
        (
            "<device><capability type='mdev'/></device>",
            67,
            22,
            "unsupported configuration: missing type id attribute for 'new device'",
        ),
        (&mdev(""), 67, 22, "unsupported configuration: missing parent device"),
        (
            &mdev("<parent>nosuch</parent>"),
            67,
            22,
            "unsupported configuration: invalid parent device 'nosuch'",
        ),
        (
            &mdev("<parent>computer</parent>"),
            32,
            22,
            "failed to parse configuration file Unable to find address for parent device 'computer'",
        ),
    ] {
        let want = (code, domain, message.to_owned());
        assert_eq!(refusal(driver.create_xml(xml.as_bytes(), CreateFlags::empty())), want, "{xml}");
        assert_eq!(refusal(driver.define_xml(xml.as_bytes(), CreateFlags::empty())), want, "{xml}");
    }
    let host = b"<device><capability type='scsi_host'/></device>";
    let no_hba = (1, 22, "internal error: Device is not a fibre channel HBA".to_owned());
    assert_eq!(refusal(driver.create_xml(host, CreateFlags::empty())), no_hba);
    assert_eq!(refusal(driver.define_xml(host, CreateFlags::empty())), (67, 22, UNSUPPORTED.to_owned()));
    assert_eq!(refusal(driver.update("computer", b"", UpdateFlags::empty())), (35, 22, EMPTY.to_owned()));
    assert_eq!(refusal(driver.update("nosuch", b"", UpdateFlags::empty())).0, 53);
    let invalid = refusal(driver.update("computer", &mdev("").into_bytes(), UpdateFlags::empty()));
    assert_eq!((invalid.0, invalid.1), (92, 5));
}

#[test]
fn devices_in_the_wrong_state_or_of_the_wrong_kind_are_refused_as_libvirt_does() {
    let driver = driver();
    let transient = "mdev_83b8f4f2_509f_382f_3c1e_e6bfe0fa1001_mtty";
    let both = "mdev_83b8f4f2_509f_382f_3c1e_e6bfe0fa1002_mdpy";
    let inactive = "mdev_83b8f4f2_509f_382f_3c1e_e6bfe0fa1003_mtty";
    let net = "net_dummy0_02_00_00_00_0d_00";
    let invalid = |text: &str| (55, 22, format!("Requested operation is not valid: {text}"));
    let unsupported = || (67, 22, UNSUPPORTED.to_owned());
    for name in [transient, net, "scsi_host21"] {
        let want = invalid(&format!("Node device '{name}' is not defined"));
        assert_eq!(refusal(driver.undefine(name, 0)), want);
    }
    assert_eq!(refusal(driver.undefine("computer", 0)), unsupported());
    for name in [transient, both, net, "computer"] {
        assert_eq!(refusal(driver.create(name, 0)), invalid("Device is already active"), "{name}");
    }
    assert_eq!(refusal(driver.destroy(inactive)), invalid(&format!("Device '{inactive}' is not active")));
    for name in [net, "computer"] {
        assert_eq!(refusal(driver.destroy(name)), unsupported(), "{name}");
    }
    let want = invalid("cannot set autostart for transient device");
    assert_eq!(refusal(driver.set_autostart(transient, true)), want);
    for name in [net, "scsi_host21", "computer"] {
        let want = (84, 22, "Operation not supported: Unsupported device type".to_owned());
        assert_eq!(refusal(driver.set_autostart(name, true)), want, "{name}");
    }
    let now = driver.autostart(both).expect("it exists");
    assert_eq!(driver.set_autostart(both, now), Ok(()), "as it is already");
}
