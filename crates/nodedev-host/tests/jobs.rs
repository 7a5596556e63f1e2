//! By how many threads a host is looked at does not show.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::Path;

use nodedev_driver::{Devices as _, Entry, LibvirtCalls as _, ListFlags, View, XmlFlags};
use nodedev_host::HostDriver;
use nodedev_interop::made;
use nodedev_model::{Issue, NodeDevice};
use nodedev_sys::Root;
use nodedev_testkit::fixtures;
use nodedev_testkit::synthetic::Host;

const JOBS: [usize; 3] = [1, 2, 8];

fn open(path: &Path, jobs: usize) -> HostDriver {
    HostDriver::with_jobs(Root::open(path).unwrap(), NonZeroUsize::new(jobs).unwrap())
}

/// All that passes over many devices say, in their order.
#[derive(PartialEq)]
struct Said {
    documents: Vec<(String, Result<Vec<u8>, String>)>,
    definitions: Vec<(String, Result<Vec<u8>, String>)>,
    entries: Vec<Entry>,
    devices: Vec<NodeDevice>,
    issues: Vec<Issue>,
}

fn said(driver: &HostDriver) -> Said {
    let documents = |list, xml| {
        let mut all = Vec::new();
        let visited = driver.visit_xml(list, xml, &mut |name, text| {
            let text = text.map(<[u8]>::to_vec).map_err(|error| error.message().to_owned());
            all.push((name.as_str().to_owned(), text));
            ControlFlow::Continue(())
        });
        visited.unwrap();
        all
    };
    let mut devices = Vec::new();
    Said {
        documents: documents(ListFlags::empty(), XmlFlags::empty()),
        // Most devices have none, which is told of each.
        definitions: documents(ListFlags::empty(), XmlFlags::INACTIVE),
        entries: driver.entries(View::Native).unwrap(),
        issues: driver
            .visit(View::Native, &mut |device| {
                devices.push(device.clone());
                ControlFlow::Continue(())
            })
            .unwrap(),
        devices,
    }
}

fn check(name: &str, path: &Path) {
    let want = said(&open(path, 1));
    assert!(!want.documents.is_empty(), "{name}");
    for jobs in [2, 8] {
        assert!(said(&open(path, jobs)) == want, "{name} by {jobs} threads");
    }
}

#[test]
fn every_host_is_told_alike_by_any_number_of_threads() {
    for fixture in fixtures::all().unwrap() {
        check(fixture.name(), &fixture.archive());
    }
    for made in made::ALL {
        check(made.name, made.tree().unwrap().root());
    }
    let folder = tempfile::tempdir().unwrap();
    Host::new(600).mdev(true).seed(3).share_contents(true).write(folder.path()).unwrap();
    check("synthetic", folder.path());
    let plain = HostDriver::new(Root::open(folder.path()).unwrap());
    assert!(said(&plain) == said(&open(folder.path(), 1)), "by as many threads as there are processors");
}

#[test]
fn a_pass_ends_where_the_caller_has_seen_enough() {
    let folder = tempfile::tempdir().unwrap();
    Host::new(400).share_contents(true).write(folder.path()).unwrap();
    let all = open(folder.path(), 1).list_names(ListFlags::empty()).unwrap();
    for jobs in JOBS {
        for wanted in [1, 17, 300] {
            let driver = open(folder.path(), jobs);
            let mut names = Vec::new();
            driver
                .visit_xml(ListFlags::empty(), XmlFlags::empty(), &mut |name, text| {
                    assert!(text.is_ok());
                    names.push(name.clone());
                    // A caller may ask more meanwhile.
                    assert!(driver.lookup(name.as_str()).is_ok());
                    if names.len() == wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .unwrap();
            assert_eq!(names, all[..wanted], "{jobs}");
            let mut seen = 0;
            driver
                .visit(View::Libvirt, &mut |device| {
                    assert_eq!(device.name, all[seen]);
                    seen += 1;
                    if seen == wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                })
                .unwrap();
            assert_eq!(seen, wanted, "{jobs}");
        }
    }
}
