use nodedev_driver::contract::check;
use nodedev_driver::{ErrorCode, ListFlags};
use nodedev_interop::Failure;

use crate::certificates::Authority;
use crate::contract::DAEMON;
use crate::listening::Listening;
use crate::open;

fn daemon(auth_tcp: &str) -> Result<(tempfile::TempDir, Listening), Failure> {
    let dir = tempfile::tempdir()?;
    let authority = Authority::new(dir.path().join("pki"))?;
    authority.sign("server", "cn = x\nip_address = 127.0.0.1\ntls_www_server\n")?;
    let daemon = Listening::start(&authority, &format!("auth_tcp = \"{auth_tcp}\"\n"))?;
    Ok((dir, daemon))
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn a_daemon_is_reached_without_tls() -> Result<(), Failure> {
    let (_dir, daemon) = daemon("none")?;
    let port = daemon.tcp;
    let driver =
        open(&format!("nodedev+tcp://127.0.0.1:{port}/system")).map_err(|error| error.to_string())?;
    check(&driver, &DAEMON);
    let beside = open(&format!("nodedev:///system?socket={}", daemon.socket().display()));
    let names = |driver: &dyn nodedev_driver::LibvirtCalls| driver.list_names(ListFlags::empty());
    assert_eq!(names(&driver), names(&beside.map_err(|error| error.to_string())?));
    let by_name = open(&format!("nodedev+tcp://localhost:{port}/system"));
    assert_eq!(names(&driver), names(&by_name.map_err(|error| error.to_string())?));
    // The daemon's own words.
    let error = open(&format!("nodedev+tcp://127.0.0.1:{port}/bogus")).expect_err("no such path");
    let want = "internal error: unexpected nodedev URI path '/bogus', try nodedev:///system";
    assert_eq!((error.code(), error.message()), (ErrorCode::INTERNAL_ERROR, want));
    Ok(())
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn a_daemon_that_wants_a_sasl_login_is_refused_with_a_way_out() -> Result<(), Failure> {
    let (_dir, daemon) = daemon("sasl")?;
    let error = open(&format!("nodedev+tcp://127.0.0.1:{}/system", daemon.tcp)).expect_err("SASL");
    assert_eq!(error.code(), ErrorCode(45));
    assert!(error.message().contains("SASL") && error.help().is_some(), "{error:?}");
    Ok(())
}

#[test]
fn a_port_that_nobody_listens_on_is_an_error_as_libvirts() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    let error = open(&format!("nodedev+tcp://127.0.0.1:{port}/system")).expect_err("nobody listens");
    assert_eq!(error.code(), ErrorCode::SYSTEM_ERROR);
    let want = format!("unable to connect to server at '127.0.0.1:{port}': Connection refused");
    assert_eq!(error.message(), want);
    let error = open("nodedev+tcp://no.such.host.invalid/system").expect_err("no such host");
    assert!(
        error.message().starts_with("Unable to resolve address 'no.such.host.invalid' service '16509': ")
    );
}
