//! Where no more files may be open, nobody knows what there is: that is an error, and never told as nothing.
//!
//! The limit is that of the whole program, so there is one test alone here.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use common::{host, open, pci, tree};
use nodedev_driver::{Devices as _, Error, LibvirtCalls, ListFlags, View, XmlFlags};
use nodedev_host::HostDriver;
use nodedev_host::live::Source;
use nodedev_sys::{News, Root, Waker};
use nodedev_testkit::tree::Device;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Opens files until no more may be.
fn all_files() -> Vec<File> {
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    files
}

/// Of which nothing is heard.
#[derive(Default)]
struct Silence(Arc<(Mutex<bool>, Condvar)>);

impl Source for Silence {
    fn receive(&mut self, timeout: Option<Duration>, _: &mut News) -> io::Result<()> {
        assert_eq!(timeout, None, "nothing is lost, and no definition is read");
        let woken = self.0.1.wait_while(self.0.0.lock().unwrap(), |woken| !*woken);
        *woken.unwrap() = false;
        Ok(())
    }

    fn waker(&self) -> Waker {
        let shared = Arc::clone(&self.0);
        Waker::new(move || {
            *shared.0.lock().unwrap() = true;
            shared.1.notify_all();
        })
    }
}

fn is_told<T: std::fmt::Debug>(what: &str, answer: Result<T, Error>) {
    let error = answer.expect_err(what);
    assert!(error.message().contains("open files"), "{what}: {error}");
    assert!(error.help().is_some_and(|help| help.contains("raise the number of files")), "{what}: {error}");
}

#[test]
fn what_cannot_be_looked_at_since_no_more_files_may_be_open_is_an_error_and_is_found_later() {
    let kind = "devices/pci0000:00/0000:00:03.0/mdev_supported_types/t-1";
    let devices = [
        pci("0000:00:03.0")
            .attr("mdev_supported_types/t-1/device_api", "vfio-pci")
            .attr("mdev_supported_types/t-1/available_instances", 3),
        pci("0000:00:04.0"),
        Device::new("devices/pci0000:00/0000:00:04.0/net/eth0", "class/net")
            .uevent("INTERFACE", "eth0")
            .attr("address", "02:00:00:00:00:01"),
        Device::new("devices/pci0000:00/0000:00:04.0/usb1/1-1", "bus/usb")
            .devtype("usb_device")
            .udev("E:ID_MODEL=m"),
        Device::new("devices/virtual/block/vda", "class/block").devtype("disk").udev("E:ID_SERIAL=s"),
    ];
    let tree = tree(&devices);
    assert!(tree.root().join("sys").join(kind).exists());
    let driver = open(tree.root());
    let (_other, known) = host(&devices);
    let all = known.list_names(ListFlags::empty()).unwrap();
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..limit }).unwrap();

    // The first look itself.
    let files = all_files();
    is_told("list", driver.list_names(ListFlags::empty()));
    is_told("entries", driver.entries(View::Native));
    is_told("lookup", driver.lookup("pci_0000_00_03_0"));
    drop(files);
    assert_eq!(driver.list_names(ListFlags::empty()).unwrap(), all);

    // Some devices, and not others: what is told later is all of it, with the names that it has.
    for free in 1..12 {
        let driver = open(tree.root());
        let mut files = all_files();
        files.truncate(files.len() - free);
        if let Ok(names) = driver.list_names(ListFlags::empty()) {
            assert_eq!(names, all, "with {free} files");
        }
        let natively = driver.visit(View::Native, &mut |_| ControlFlow::Continue(()));
        drop(files);
        assert_eq!(driver.list_names(ListFlags::empty()).unwrap(), all, "after {free} files");
        if let Ok(issues) = natively {
            assert_eq!(issues, [], "with {free} files");
        }
    }

    several_threads_find_what_one_finds();

    // Types that are nested in others, and descriptions.
    let files = all_files();
    is_told("types", driver.list_names(ListFlags::CAP_MDEV_TYPES));
    is_told("product data", driver.list_names(ListFlags::CAP_VPD));
    is_told("document", driver.xml("pci_0000_00_03_0", XmlFlags::empty()));
    let mut told = 0;
    driver
        .visit_xml(ListFlags::CAP_PCI_DEV, XmlFlags::empty(), &mut |_, document| {
            is_told("documents", document);
            told += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(told, 2);
    drop(files);
    assert_eq!(driver.list_names(ListFlags::CAP_MDEV_TYPES).unwrap().len(), 1);

    // A driver that follows the host waits for files, and can be dropped all the same.
    let [one, other] = [(); 2].map(|()| Root::open(tree.root()).unwrap());
    let files = all_files();
    let dropped = HostDriver::following(one, Silence::default()).unwrap();
    let waiting = HostDriver::following(other, Silence::default()).unwrap();
    is_told("names of one that follows", dropped.list_names(ListFlags::empty()));
    let start = Instant::now();
    drop(dropped);
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    drop(files);
    let start = Instant::now();
    while waiting.list_names(ListFlags::empty()).map_or(0, |names| names.len()) != all.len() {
        assert!(start.elapsed() < Duration::from_secs(60), "it does not look again");
        std::thread::sleep(Duration::from_millis(20));
    }
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// Where one thread has files enough, several have too; and what is told where files are wanting is all, or an error.
fn several_threads_find_what_one_finds() {
    let addresses: Vec<String> =
        (0..60).map(|slot| format!("0000:{:02x}:{:02x}.0", slot / 30, slot % 30)).collect();
    let tree = tree(&addresses.iter().map(|address| pci(address)).collect::<Vec<_>>());
    let root = || Root::open(tree.root()).unwrap();
    let with = |jobs| HostDriver::with_jobs(root(), NonZeroUsize::new(jobs).unwrap());
    let documents = |driver: &HostDriver| {
        let mut all = Vec::new();
        let visited = driver.visit_xml(ListFlags::empty(), XmlFlags::empty(), &mut |name, text| {
            all.push((name.clone(), text.map(<[u8]>::to_vec)));
            ControlFlow::Continue(())
        });
        visited.map(|()| all)
    };
    let want = documents(&with(1)).unwrap();
    assert_eq!(want.len(), addresses.len() + 1);
    let mut suffices = 0;
    for free in [2, 3, 4, 6] {
        for jobs in [1, 2, 8] {
            let driver = with(jobs);
            let mut files = all_files();
            files.truncate(files.len() - free);
            let told = documents(&driver);
            drop(files);
            match told {
                Ok(told) => {
                    for (found, want) in told.iter().zip(&want) {
                        assert!(found == want || found.0 == want.0 && found.1.is_err(), "{jobs}: {found:?}");
                    }
                    let is_complete = told == want;
                    suffices = if is_complete && jobs == 1 { suffices.max(free) } else { suffices };
                    assert!(is_complete || suffices != free, "{jobs} threads with {free} files");
                }
                Err(_) => assert_ne!(suffices, free, "{jobs} threads"),
            }
            assert_eq!(documents(&driver).unwrap(), want, "after {jobs} threads with {free} files");
        }
    }
    assert_ne!(suffices, 0);
}
