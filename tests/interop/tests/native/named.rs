//! Calls by name: a daemon's devices are what the host itself says, and hand-overs are planned, explained and refused alike.

use std::ops::ControlFlow;
use std::path::PathBuf;

use nodedev_driver::{
    Caller, ChangeRequest, CreateFlags, DetachOptions, Devices as _, Error, ErrorCode, ExplainOptions,
    LibvirtCalls as _, ListFlags, Operations as _, ReattachOptions, ResetOptions, UpdateFlags, View,
};
use nodedev_host::HostDriver;
use nodedev_model::request::{CallAccess, CallName};
use nodedev_model::{HandoverPlan, NodeDevice};
use nodedev_sys::Root;

use super::Server;

fn recorded() -> Vec<PathBuf> {
    let hosts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/hosts");
    let mut roots: Vec<PathBuf> = std::fs::read_dir(hosts)
        .expect("recorded hosts")
        .filter_map(|entry| Some(entry.ok()?.path().join("root.tar.gz")))
        .filter(|root| root.is_file())
        .collect();
    roots.sort();
    assert!(roots.len() > 2, "{roots:?}");
    roots
}

fn all(devices: &dyn nodedev_driver::Devices, view: View) -> (Vec<NodeDevice>, Vec<nodedev_model::Issue>) {
    let mut found = Vec::new();
    let issues = devices.visit(view, &mut |device| {
        found.push(device.clone());
        ControlFlow::Continue(())
    });
    (found, issues.expect("a visit"))
}

#[test]
fn devices_of_a_daemon_are_those_of_its_host_in_both_views() {
    for root in recorded() {
        let host = HostDriver::new(Root::open(&root).expect("a recording"));
        let server = Server::recording(&root);
        let daemon = server.open();
        assert_eq!(daemon.has_values(), Ok(true));
        for view in [View::Libvirt, View::Native] {
            let (here, there) = (all(&host, view), all(&daemon, view));
            assert_eq!(there.0, here.0, "{} {view:?}", root.display());
            assert_eq!(there.1, here.1, "issues of {}", root.display());
            let Some(middle) = here.0.get(here.0.len() / 2) else { continue };
            let name = middle.name.as_str();
            assert_eq!(daemon.device(name).as_ref(), Ok(middle));
            let mut later = Vec::new();
            let visited = daemon.visit_from(view, Some(name), &mut |device| {
                later.push(device.name.clone());
                ControlFlow::Continue(())
            });
            visited.expect("a visit");
            let after = here.0.iter().map(|device| &device.name).filter(|other| other.as_str() > name);
            assert_eq!(later.iter().collect::<Vec<_>>(), after.collect::<Vec<_>>());
        }
        assert_eq!(daemon.issues(), host.issues());
        let unknown = daemon.device("no_such_device").expect_err("there is none");
        let want = host.device("no_such_device").expect_err("there is none");
        assert_eq!((unknown.code(), unknown.message()), (want.code(), want.message()));
        let mut count = 0;
        let stopped = daemon.visit(View::Native, &mut |_| {
            count += 1;
            ControlFlow::Break(())
        });
        assert!(stopped.is_ok() && count == 1, "a visit ends when it is told to");
    }
}

/// Pages have about a mebibyte.
#[test]
fn many_devices_come_in_pages_and_each_once() {
    let dir = tempfile::tempdir().expect("a folder");
    nodedev_testkit::synthetic::Host::new(2_000).write(dir.path()).expect("a host");
    let host = HostDriver::new(Root::open(dir.path()).expect("a host"));
    let server = Server::recording(dir.path());
    let (here, there) = (all(&host, View::Native), all(&server.open(), View::Native));
    let size: usize = here.0.iter().map(|device| serde_json::to_vec(device).expect("JSON").len()).sum();
    assert!(size > 9 << 17, "{size} bytes are no two pages");
    assert_eq!(there.0.len(), here.0.len());
    assert!(there == here);
}

#[test]
fn functions_are_explained_and_plans_made_as_on_the_host() {
    let mut compared = 0;
    for root in recorded() {
        let host = HostDriver::new(Root::open(&root).expect("a recording"));
        let server = Server::recording(&root);
        let daemon = server.open();
        let names = host.list_names(ListFlags::CAP_PCI_DEV).expect("a list");
        let names: Vec<&str> =
            names.iter().map(|name| name.as_str()).chain(["computer", "no_such_device"]).collect();
        let options = ExplainOptions { kernel_driver: None, caller: Caller::Unknown };
        let (mut here, mut there) = (Vec::new(), Vec::new());
        host.explain_each(&names, &options, &mut |name, answer| {
            here.push((name.to_owned(), answer));
            ControlFlow::Continue(())
        });
        daemon.explain_each(&names, &options, &mut |name, answer| {
            there.push((name.to_owned(), answer));
            ControlFlow::Continue(())
        });
        assert_eq!(here.len(), there.len());
        for ((name, here), (_, there)) in here.iter().zip(&there) {
            match (here, there) {
                (Ok(here), Ok(there)) => {
                    assert_eq!(here, there, "{name}");
                    compared += 1;
                }
                (Err(here), Err(there)) => assert_eq!(told(here), told(there), "{name}"),
                _ => panic!("{name}: {here:?} and {there:?}"),
            }
        }
        for name in names.iter().take(20) {
            let dry = DetachOptions { dry_run: true, ..DetachOptions::default() };
            same(host.detach_with(name, &dry), daemon.detach_with(name, &dry));
            let group = DetachOptions { group: true, ..dry };
            same(host.detach_with(name, &group), daemon.detach_with(name, &group));
            let back = ReattachOptions { dry_run: true, ..ReattachOptions::default() };
            same(host.reattach_with(name, &back), daemon.reattach_with(name, &back));
            let reset = ResetOptions { dry_run: true, ..ResetOptions::default() };
            same(host.reset_with(name, &reset), daemon.reset_with(name, &reset));
        }
        assert_eq!(daemon.handovers(), host.handovers());
    }
    assert!(compared > 20, "{compared}");
}

fn told(error: &Error) -> (ErrorCode, &str) {
    (error.code(), error.message())
}

fn same(here: nodedev_driver::Result<HandoverPlan>, there: nodedev_driver::Result<HandoverPlan>) {
    match (here, there) {
        (Ok(here), Ok(there)) => assert_eq!(here, there),
        (Err(here), Err(there)) => assert_eq!(told(&here), told(&there)),
        (here, there) => panic!("{here:?} and {there:?}"),
    }
}

#[test]
fn changes_of_mediated_devices_are_planned_as_on_the_host() {
    let mut plans = 0;
    for root in recorded() {
        let host = HostDriver::new(Root::open(&root).expect("a recording"));
        let server = Server::recording(&root);
        let daemon = server.open();
        let mut compare =
            |request: ChangeRequest<'_>| match (host.plan_change(&request), daemon.plan_change(&request)) {
                (Ok(here), Ok(there)) => {
                    assert_eq!(here, there, "{request:?}");
                    plans += 1;
                }
                (Err(here), Err(there)) => assert_eq!(told(&here), told(&there), "{request:?}"),
                (here, there) => panic!("{request:?}: {here:?} and {there:?}"),
            };
        let names = host.list_names(ListFlags::CAP_MDEV).expect("a list");
        for name in names.iter().map(|name| name.as_str()).chain(["computer", "no_such_device"]) {
            let xml =
                host.xml(name, nodedev_driver::XmlFlags::empty()).unwrap_or_else(|_| b"<device".to_vec());
            let flags = CreateFlags::empty();
            compare(ChangeRequest::Create { xml: &xml, flags });
            compare(ChangeRequest::Define { xml: &xml, flags: CreateFlags::VALIDATE });
            compare(ChangeRequest::Start(name));
            compare(ChangeRequest::Destroy(name));
            compare(ChangeRequest::Undefine(name));
            compare(ChangeRequest::Update { name, xml: &xml, flags: UpdateFlags::CONFIG });
            compare(ChangeRequest::SetAutostart { name, autostart: true });
        }
        compare(ChangeRequest::Create {
            xml: b"<device>\xff</device>",
            flags: CreateFlags::from_bits_retain(1 << 20),
        });
    }
    assert!(plans > 3, "{plans}");
}

#[test]
fn nothing_is_forced_from_afar() {
    let server = Server::start(9, false);
    let driver = server.open();
    let detach = DetachOptions { force: true, ..DetachOptions::default() };
    let reset = ResetOptions { force: true, ..ResetOptions::default() };
    for error in [driver.detach_with("computer", &detach), driver.reset_with("computer", &reset)] {
        let error = error.expect_err("force");
        assert_eq!(
            told(&error),
            (
                ErrorCode::OPERATION_DENIED,
                "operation forbidden: no client of a daemon can force what is refused"
            )
        );
    }
}

#[test]
fn what_is_malformed_unknown_or_not_for_this_connection_is_refused() {
    let server = Server::start(9, true);
    let driver = server.open();
    for call in CallName::ALL {
        let refused = driver.call_named(call.as_str(), b"{\"name\":1}").expect_err("refused");
        let want = match call.access() {
            CallAccess::Query => format!("invalid argument: the request for {}: ", call.as_str()),
            CallAccess::Inspect | CallAccess::Manage => {
                format!("operation forbidden: read only access prevents {}", call.as_str())
            }
        };
        assert!(refused.message().starts_with(&want), "{refused}");
    }
    let later = driver.call_named("device.dream", b"{}").expect_err("unknown");
    assert_eq!(later.code(), ErrorCode::NO_SUPPORT);
    assert_eq!(later.help(), Some("the daemon is older than this call; update it"));
    let server = Server::start(9, false);
    let driver = server.open();
    let wrong = driver.call_named(CallName::Forget.as_str(), b"{}").expect_err("a request without a name");
    assert!(wrong.message().contains("missing field `name`"), "{wrong}");
    let names = vec!["a"; nodedev_model::request::NAMES_MAX + 1];
    let json = serde_json::json!({ "names": names }).to_string();
    let many = driver.call_named(CallName::Explain.as_str(), json.as_bytes()).expect_err("too many names");
    assert!(many.message().contains("257 names in one request, of which there can be 256"), "{many}");
    let unsupported = driver.handovers().expect_err("invented devices");
    assert_eq!(unsupported.code(), ErrorCode::NO_SUPPORT);
    assert!(driver.is_alive(), "errors end no connection");
}
