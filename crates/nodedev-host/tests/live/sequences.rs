//! Hot-plugging as udev told of it on a virtual machine with real drivers, and what the real libvirt 11.3 told its
//! clients: PCI cards, NVMe and SCSI disks, a USB disk, and the hosts of the module scsi_debug come and go.
//!
//! Each file has udev's messages with the properties that matter, and behind a blank line libvirt's events, without
//! those of devices that had been there before. Left out are the kernel's messages of SCSI devices that it had not put
//! into sysfs yet (`change /7:0:0:0`): libvirt creates devices of them that do not exist, so that the real ones only
//! update these; that they are created is what the files have.

use std::collections::BTreeMap;
use std::fs;

use nodedev_sys::uevent::Message;
use nodedev_testkit::repository;

use super::feed::Piece;
use super::world::Live;

/// Properties that udev adds and keeps in its database.
const OF_UDEV: &str = "ID_";
/// Subsystems that are buses; the others are classes.
const BUSES: [&str; 7] = ["pci", "usb", "scsi", "nvme", "pseudo", "cpu", "mdev"];

struct Replay {
    live: Live,
    /// Links to devices, and their records, to be removed with them.
    files: BTreeMap<String, Vec<String>>,
    /// Addresses of interfaces, which udev's messages do not have; libvirt's names do.
    addresses: BTreeMap<String, String>,
}

impl Replay {
    /// What the kernel and udev do before the message is sent.
    fn prepare(&mut self, action: &str, path: &str, properties: &BTreeMap<&str, &str>) {
        match action {
            "remove" => {
                for file in self.files.remove(path).unwrap_or_default() {
                    let _ = fs::remove_file(self.live.tree.root().join(file));
                }
                let _ = fs::remove_dir_all(self.live.sys(path));
            }
            _ => self.write(path, properties),
        }
    }

    fn write(&mut self, path: &str, properties: &BTreeMap<&str, &str>) {
        let subsystem = properties["SUBSYSTEM"];
        let name = path.rsplit('/').next().unwrap();
        let lines = |of_udev: bool| -> String {
            let wanted = properties.iter().filter(|(key, _)| key.starts_with(OF_UDEV) == of_udev);
            wanted
                .map(|(key, value)| (key, value.trim_start_matches("/dev/")))
                .map(|(key, value)| format!("{}{key}={value}\n", if of_udev { "E:" } else { "" }))
                .collect()
        };
        fs::create_dir_all(self.live.sys(path)).unwrap();
        self.live.write(&format!("{path}/uevent"), &lines(false));
        if let Some(address) = self.addresses.get(name) {
            self.live.write(&format!("{path}/address"), address);
        }
        let folder = match BUSES.contains(&subsystem) {
            true => format!("bus/{subsystem}/devices"),
            false => format!("class/{subsystem}"),
        };
        let link = format!("{folder}/{name}");
        if !self.live.sys(&link).exists() {
            self.live.tree.link(&link, path).unwrap();
        }
        let record = match (properties.get("MAJOR"), properties.get("IFINDEX")) {
            (Some(major), _) => {
                let letter = if subsystem == "block" { 'b' } else { 'c' };
                format!("{letter}{major}:{}", properties["MINOR"])
            }
            (None, Some(index)) => format!("n{index}"),
            (None, None) => format!("+{subsystem}:{name}"),
        };
        let record = format!("run/udev/data/{record}");
        // udev puts a new file in the place of the old one.
        let fresh = self.live.tree.root().join("fresh");
        fs::write(&fresh, lines(true)).unwrap();
        fs::rename(fresh, self.live.tree.root().join(&record)).unwrap();
        self.files.insert(path.to_owned(), vec![format!("sys/{link}"), record]);
    }

    fn send(&self, action: &str, path: &str, properties: &[&str]) {
        let mut text = format!("{action}@/{path}\0ACTION={action}\0DEVPATH=/{path}\0");
        properties.iter().for_each(|property| text.push_str(&format!("{property}\0")));
        let message = Message::from_kernel(text.as_bytes()).expect("a message of a device");
        self.live.feed.push(Piece::Uevent(message));
    }
}

#[test]
fn clients_hear_of_recorded_hot_plugging_what_libvirt_told_them() {
    let folder = repository().join("crates/nodedev-host/tests/live/sequences");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 10);
    let live = Live::of(&[]);
    let mut replay = Replay { live, files: BTreeMap::new(), addresses: BTreeMap::new() };
    let mut all = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let (messages, events) = text.split_once("\n\n").unwrap();
        for event in events.lines() {
            if let Some((interface, address)) =
                event.split_once("net_").and_then(|(_, name)| name.split_once('_'))
            {
                replay.addresses.insert(interface.to_owned(), address.replace('_', ":"));
            }
        }
        for line in messages.lines() {
            let mut parts = line.split('\t');
            let (action, path) = (parts.next().unwrap(), parts.next().unwrap().trim_start_matches('/'));
            let properties: Vec<&str> = parts.collect();
            let named = properties.iter().filter_map(|property| property.split_once('=')).collect();
            replay.prepare(action, path, &named);
            replay.send(action, path, &properties);
            // One after the other, as on the machine, where minutes lay between some.
            replay.live.feed.settle();
        }
        let events_told = replay.live.events();
        let told: Vec<String> = events_told
            .iter()
            .flat_map(|event| {
                let told: Vec<_> = event.libvirt_events().map(|(name, word)| (name.clone(), word)).collect();
                told.into_iter().map(|(name, word)| {
                    let word = match word {
                        nodedev_driver::LibvirtEvent::Updated => "update",
                        nodedev_driver::LibvirtEvent::Created => "created",
                        _ => "deleted",
                    };
                    format!("{word} {name}")
                })
            })
            .collect();
        assert_eq!(told, events.lines().collect::<Vec<_>>(), "{}", file.display());
        all.extend(events_told);
    }
    replay.live.check(&all);
}
