//! What the index of a followed host costs, in a process that does nothing else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;
use std::time::Duration;
use std::{env, fs, io};

use nodedev_driver::{Changes as _, Devices as _, View};
use nodedev_host::HostDriver;
use nodedev_host::live::Source;
use nodedev_sys::{News, Root, Waker};
use nodedev_testkit::synthetic::Host;

/// Bound of the resident memory for each device, in bytes.
const LIMIT: usize = 1024;
const DEVICES: usize = 5000;
const HOST: &str = "NODEDEV_MEMORY_TEST_HOST";

/// A host on which nothing happens.
struct Quiet(std::sync::mpsc::Receiver<()>, std::sync::mpsc::Sender<()>);

impl Source for Quiet {
    fn receive(&mut self, _: Option<Duration>, _: &mut News) -> io::Result<()> {
        let _ = self.0.recv();
        Ok(())
    }

    fn waker(&self) -> Waker {
        let sender = self.1.clone();
        Waker::new(move || {
            let _ = sender.send(());
        })
    }
}

fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() * 1024
}

#[test]
fn a_device_costs_less_than_a_kilobyte() {
    if let Some(host) = env::var_os(HOST) {
        let (sender, receiver) = std::sync::mpsc::channel();
        let before = resident();
        let driver =
            HostDriver::following(Root::open(host.as_ref()).unwrap(), Quiet(receiver, sender)).unwrap();
        drop(driver.watch(None).unwrap());
        let after = resident();
        let count = driver.entries(View::Native).unwrap().len();
        println!("{count} devices, {} bytes each", (after - before) / count);
        assert!((after - before) / count < LIMIT);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let host = folder.path().join("host");
    let devices = env::var("DEVICES").ok().and_then(|count| count.parse().ok()).unwrap_or(DEVICES);
    Host::new(devices).share_contents(true).write(&host).unwrap();
    // The host was made here, which needs memory of its own.
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_device_costs_less_than_a_kilobyte", "--nocapture"])
        .env(HOST, &host)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    assert!(output.status.success() && said.contains("bytes each"), "{said}");
}
