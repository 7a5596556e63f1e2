//! Random changes of a host, told one by one, in bursts, or not at all: whatever comes, the index is in the end as a
//! fresh look makes it, and what was told leads there from the start.

use std::fs;

use nodedev_driver::View;
use nodedev_sys::link::LinkAddress;
use nodedev_testkit::random::Random;
use nodedev_testkit::tree::Device;

use super::feed::Piece;
use super::world::Live;

const UUIDS: [&str; 2] = ["2ba9b46c-9c1f-4f2c-a1d8-2a8c0c4a9a10", "3ba9b46c-9c1f-4f2c-a1d8-2a8c0c4a9a10"];
const HOSTS: u64 = 12;
const CHANGES: usize = 150;

/// A place where there can be a device, and what is below it in the list comes behind it.
struct Place {
    path: &'static str,
    kind: &'static str,
    there: bool,
}

const PLACES: [(&str, &str); 17] = [
    ("devices/pci0000:00/0000:00:01.0", "pci"),
    ("devices/pci0000:00/0000:00:01.0/virtio0", "virtio"),
    ("devices/pci0000:00/0000:00:01.0/virtio0/block/vda", "block"),
    ("devices/pci0000:00/0000:00:01.0/virtio0/block/vda/dax0", "dax"),
    ("devices/pci0000:00/0000:00:02.0", "pci"),
    ("devices/pci0000:00/0000:00:02.0/0000:01:00.0", "pci"),
    ("devices/pci0000:00/0000:00:02.0/0000:01:00.0/net/eth0", "net"),
    ("devices/pci0000:00/0000:00:02.0/0000:01:00.0/net/eth0/phy0", "ieee80211"),
    ("devices/pci0000:00/0000:00:02.0/2ba9b46c-9c1f-4f2c-a1d8-2a8c0c4a9a10", "mdev"),
    ("devices/a/0-1", "pci"),
    ("devices/a/0-1/net/x", "net"),
    ("devices/a/0_1", "pci"),
    ("devices/a/0_1/virtio1", "virtio"),
    ("devices/a/0+1", "pci"),
    ("devices/css0/0.0.0001", "css"),
    ("devices/css0/0.0.0001/0.0.1234", "ccw"),
    ("devices/virtual/net/lo", "net"),
];

fn folder(kind: &str) -> String {
    match kind {
        "pci" | "virtio" | "mdev" | "css" | "ccw" | "dax" => format!("bus/{kind}"),
        _ => format!("class/{kind}"),
    }
}

fn links(kind: &str) -> String {
    let folder = folder(kind);
    if folder.starts_with("bus/") { format!("{folder}/devices") } else { folder }
}

/// What the kernel says of a device in one of a few states.
fn uevent(path: &str, kind: &str, state: u64) -> String {
    let name = path.rsplit('/').next().unwrap();
    match (kind, state % 3) {
        ("pci", 0) => "X=1\n".into(),
        ("pci", state) => format!("PCI_CLASS=20000\nPCI_ID={state}\n"),
        ("net", 0) => format!("DEVTYPE=bridge\nINTERFACE={name}\nIFINDEX=2\n"),
        ("net", _) => format!("INTERFACE={name}\nIFINDEX=2\n"),
        ("css", 0) => "X=1\n".into(),
        ("css", _) => "DRIVER=vfio_ccw\n".into(),
        ("block", 0) => "DEVNAME=loop0\nDEVTYPE=disk\n".into(),
        ("block", state) => format!("DEVNAME=vda\nDEVTYPE=disk\nID_SERIAL={state}\n"),
        _ => "X=1\n".into(),
    }
}

struct Kernel {
    live: Live,
    random: Random,
    places: Vec<Place>,
    renamed: bool,
}

impl Kernel {
    fn below(&mut self, count: u64) -> u64 {
        self.random.next() % count
    }

    /// Where the device is now: an interface may have been renamed.
    fn path(&self, at: usize) -> String {
        let path = self.places[at].path;
        if self.renamed { path.replace("eth0", "lan0") } else { path.to_owned() }
    }

    fn tell(&self, action: &str, at: usize, more: &[(&str, &str)]) {
        self.live.feed.uevent(action, &self.path(at), self.places[at].kind, more);
    }

    fn plug(&mut self, at: usize) {
        let state = self.random.next();
        let (path, kind) = (self.path(at), self.places[at].kind);
        let mut device = Device::new(&path, folder(kind));
        if kind == "net" {
            device = device.attr("address", format!("02:00:00:00:00:0{}", state % 4));
        }
        self.live.plug(&device);
        self.live.write(&format!("{path}/uevent"), &uevent(&path, kind, state));
        self.places[at].there = true;
        self.tell("add", at, &[]);
    }

    /// Those below a device go first.
    fn unplug(&mut self, at: usize) {
        let above = self.path(at);
        for below in (at..self.places.len()).rev() {
            let path = self.path(below);
            let inside = path == above || path.starts_with(&format!("{above}/"));
            if inside && self.places[below].there {
                self.live.unplug(&path, &links(self.places[below].kind));
                self.places[below].there = false;
                self.tell("remove", below, &[]);
            }
        }
    }

    fn change(&mut self, at: usize) {
        let (state, path, kind) = (self.random.next(), self.path(at), self.places[at].kind);
        match self.below(4) {
            0 if kind == "net" => {
                let address = format!("02:00:00:00:00:0{}", state % 4);
                self.live.write(&format!("{path}/address"), &format!("{address}\n"));
                let name = path.rsplit('/').next().unwrap().as_bytes().into();
                self.live.feed.push(Piece::Address(LinkAddress { name, address }));
            }
            0 => self.tell("change", at, &[]),
            1 => {
                self.live.write(&format!("{path}/uevent"), &uevent(&path, kind, state));
                self.tell("bind", at, &[("DRIVER", "d")]);
            }
            2 => {
                self.live.write(&format!("{path}/uevent"), &uevent(&path, kind, state));
                self.tell("unbind", at, &[("DRIVER", "d")]);
            }
            _ => {
                self.live.write(&format!("{path}/uevent"), &uevent(&path, kind, state));
                self.tell("change", at, &[]);
            }
        }
    }

    fn rename(&mut self) {
        let at = PLACES.iter().position(|(path, _)| path.ends_with("eth0")).unwrap();
        if !self.places[at].there {
            return;
        }
        let state = self.random.next();
        let from = self.path(at);
        self.renamed = !self.renamed;
        let to = self.path(at);
        let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
        fs::rename(self.live.sys(&from), self.live.sys(&to)).unwrap();
        fs::remove_file(self.live.sys(&format!("class/net/{}", name(&from)))).unwrap();
        self.live.tree.link(&format!("class/net/{}", name(&to)), &to).unwrap();
        self.live.write(&format!("{to}/uevent"), &uevent(&to, "net", state));
        if self.places[at + 1].there {
            fs::remove_file(self.live.sys("class/ieee80211/phy0")).unwrap();
            self.live.tree.link("class/ieee80211/phy0", &format!("{to}/phy0")).unwrap();
        }
        self.tell("move", at, &[("DEVPATH_OLD", &format!("/{from}"))]);
    }

    fn define(&mut self) {
        let parent = ["0000:00:02.0", "0-1"][self.below(2) as usize];
        let uuid = UUIDS[self.below(2) as usize];
        let folder = self.live.tree.root().join("etc/mdevctl.d").join(parent);
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(uuid);
        match self.below(3) {
            0 => drop(fs::remove_file(file)),
            start => {
                // In one step, as mdevctl does not leave half a file.
                let fresh = folder.join("fresh");
                fs::write(&fresh, format!(r#"{{"mdev_type":"t","start":"{start}"}}"#)).unwrap();
                fs::rename(fresh, file).unwrap();
            }
        }
        self.live.feed.push(Piece::Definitions);
    }

    fn step(&mut self) {
        let at = self.below(self.places.len() as u64) as usize;
        match self.below(20) {
            0 => self.live.feed.hold(),
            1 => self.live.feed.release(),
            2 => {
                let keep = self.below(4) as usize;
                self.live.feed.overflow(keep);
            }
            3 => self.define(),
            4 => self.rename(),
            5 => {
                // Enough for a burst.
                self.live.feed.hold();
                for _ in 0..300 {
                    self.live.feed.uevent("change", "devices/virtual/none", "none", &[]);
                }
            }
            6 => self.live.feed.settle_if_free(),
            _ if !self.places[at].there => self.plug(at),
            7..=10 => self.unplug(at),
            _ => self.change(at),
        }
    }
}

#[test]
fn whatever_comes_the_index_is_as_a_fresh_look_makes_it() {
    // More of them with SEEDS=FIRST..LAST, one again with SEEDS=N..N.
    let wanted = std::env::var("SEEDS").ok();
    let wanted = wanted.as_deref().and_then(|range| range.split_once(".."));
    let (first, last) = wanted.map_or((0, HOSTS), |(a, b)| (a.parse().unwrap(), b.parse().unwrap()));
    for seed in first..=last {
        let mut live = Live::of(&[]);
        // As sysfs has it whether or not there are devices.
        fs::create_dir_all(live.sys("devices/a")).unwrap();
        live.start = nodedev_driver::Changes::snapshot(&live.driver, View::Native).unwrap();
        let places = PLACES.iter().map(|&(path, kind)| Place { path, kind, there: false }).collect();
        let mut kernel = Kernel { live, random: Random::new(seed), places, renamed: false };
        for _ in 0..CHANGES {
            kernel.step();
        }
        let live = &mut kernel.live;
        live.feed.release();
        live.feed.settle();
        let events = live.events();
        println!("seed {seed}: {} events", events.len());
        live.check(&events);
    }
}
