//! Mediated devices and virtual ports: made, changed and removed on a host on disk, the kernel and mdevctl of which react.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nodedev_driver::{
    Changes as _, CreateFlags, Error, LibvirtCalls, LibvirtEvent, ListFlags, Next, UpdateFlags, Watch,
    XmlFlags,
};
use nodedev_host::HostDriver;
use nodedev_sys::Root;
use nodedev_testkit::tree::{Device, Tree};

use super::feed::{Feed, Piece};

const PARENT: &str = "devices/pci0000:00/0000:00:03.0";
const UUID: &str = "2ba9b46c-9c1f-4f2c-a1d8-2a8c0c4a9a10";
const NAME: &str = "mdev_2ba9b46c_9c1f_4f2c_a1d8_2a8c0c4a9a10_0000_00_03_0";
/// What the kernel makes up.
const MADE_UP: &str = "mdev_11111111_2222_3333_4444_555555555555_0000_00_03_0";
const PORT: &str = "devices/platform/host5";

/// A host that reacts to what is done with it, and a driver that follows it.
struct Host {
    tree: Tree,
    driver: HostDriver,
    watch: Watch,
    kernel: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Host {
    fn new() -> Self {
        let mut tree = Tree::temporary().unwrap();
        let types = "mdev_supported_types/t-1";
        for device in [
            Device::new(PARENT, "bus/pci")
                .uevent("PCI_CLASS", "30000")
                .uevent("PCI_ID", "8086:591B")
                .uevent("PCI_SUBSYS_ID", "8086:0001")
                .uevent("PCI_SLOT_NAME", "0000:00:03.0")
                .attr("class", "0x030000")
                .attr("vendor", "0x8086")
                .attr("device", "0x591b")
                .attr(format!("{types}/device_api"), "vfio-pci")
                .attr(format!("{types}/available_instances"), 2),
            Device::new(PORT, "bus/scsi").devtype("scsi_host"),
            Device::new(format!("{PORT}/fc_host/host5"), "class/fc_host")
                .attr("node_name", "0x2000000000000005")
                .attr("port_name", "0x1000000000000005")
                .attr("fabric_name", "0x3000000000000005")
                .attr("max_npiv_vports", 8)
                .attr("npiv_vports_inuse", 0)
                .attr("vport_create", "")
                .attr("vport_delete", ""),
        ] {
            tree.add(&device).unwrap();
        }
        let random = "proc/sys/kernel/random/uuid";
        tree.file(random, b"11111111-2222-3333-4444-555555555555\n").unwrap();
        tree.file("usr/sbin/mdevctl", include_bytes!("mdevctl.sh")).unwrap();
        let script = tree.root().join("usr/sbin/mdevctl");
        fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(tree.root().join("sys/bus/mdev/devices")).unwrap();
        let feed = Feed::default();
        let driver = HostDriver::following(Root::scratch(tree.root()).unwrap(), feed.clone()).unwrap();
        let watch = driver.watch(None).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (root, ended) = (tree.root().to_owned(), Arc::clone(&stop));
        let kernel = std::thread::spawn(move || {
            let mut kernel = Kernel { root, feed, definitions: Vec::new(), mdevs: BTreeSet::new() };
            while !ended.load(Ordering::Relaxed) {
                kernel.look();
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { tree, driver, watch, kernel: Some(kernel), stop }
    }

    /// What mdevctl was asked to do since the last call, without what it was asked about itself.
    fn ran(&self) -> Vec<String> {
        let file = self.tree.root().join("ran");
        let text = fs::read_to_string(&file).unwrap_or_default();
        let _ = fs::remove_file(file);
        text.lines().filter(|line| !line.contains("--help")).map(str::to_owned).collect()
    }

    /// Has mdevctl refuse whatever it is asked for.
    fn refuse(&self, complaint: Option<&str>) {
        let file = self.tree.root().join("refuse");
        match complaint {
            Some(complaint) => fs::write(file, complaint).unwrap(),
            None => fs::remove_file(file).unwrap(),
        }
    }

    /// What libvirt's clients were told since the last call, once there are so many events.
    fn told(&mut self, count: usize) -> Vec<(String, LibvirtEvent)> {
        let mut told = Vec::new();
        while told.len() < count {
            match self.watch.next(Some(Duration::from_secs(20))) {
                Next::Event(event) => {
                    told.extend(
                        event.libvirt_events().map(|(name, event)| (name.as_str().to_owned(), event)),
                    );
                }
                other => panic!("{other:?} after {told:?}"),
            }
        }
        told
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.kernel.take().map(JoinHandle::join);
        assert!(!matches!(ended, Some(Err(_))) || std::thread::panicking(), "the kernel panicked");
    }
}

/// Tells what changed on disk, and does what is written to a port's attributes.
struct Kernel {
    root: PathBuf,
    feed: Feed,
    definitions: Vec<(PathBuf, Vec<u8>)>,
    mdevs: BTreeSet<String>,
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort();
    found
}

impl Kernel {
    fn look(&mut self) {
        let folders = files(&self.root.join("etc/mdevctl.d"));
        let now: Vec<_> = folders
            .iter()
            .flat_map(|folder| files(folder))
            .filter_map(|file| fs::read(&file).ok().map(|content| (file, content)))
            .collect();
        if now != self.definitions {
            self.definitions = now;
            self.feed.push(Piece::Definitions);
        }
        let links = files(&self.root.join("sys/bus/mdev/devices"));
        let mdevs: BTreeSet<String> =
            links.iter().map(|link| link.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        for gone in self.mdevs.difference(&mdevs) {
            self.feed.uevent("remove", &format!("{PARENT}/{gone}"), "mdev", &[]);
        }
        for new in mdevs.difference(&self.mdevs) {
            self.feed.uevent("add", &format!("{PARENT}/{new}"), "mdev", &[]);
        }
        self.mdevs = mdevs;
        let port = self.root.join("sys").join(PORT);
        let attribute = |name: &str| port.join("fc_host/host5").join(name);
        let take = |name: &str| {
            let value = fs::read_to_string(attribute(name)).unwrap_or_default();
            let value = value.trim().to_owned();
            if !value.is_empty() {
                fs::write(attribute(name), "").unwrap();
            }
            value
        };
        if let Some((wwpn, wwnn)) = take("vport_create").split_once(':')
            && !self.root.join("mute").exists()
        {
            let mut tree = Tree::create(&self.root).unwrap();
            let path = format!("{PORT}/vport-5:0-0/host6");
            tree.add(&Device::new(&path, "bus/scsi").devtype("scsi_host")).unwrap();
            tree.add(
                &Device::new(format!("{path}/fc_host/host6"), "class/fc_host")
                    .attr("node_name", format!("0x{wwnn}"))
                    .attr("port_name", format!("0x{wwpn}"))
                    .attr("fabric_name", "0x3000000000000005"),
            )
            .unwrap();
            self.feed.uevent("add", &path, "scsi", &[("DEVTYPE", "scsi_host")]);
        }
        let deleted = take("vport_delete");
        if !deleted.is_empty() {
            fs::write(self.root.join("deleted"), deleted).unwrap();
            let path = format!("{PORT}/vport-5:0-0/host6");
            if self.root.join("sys").join(&path).exists() {
                fs::remove_file(self.root.join("sys/bus/scsi/devices/host6")).unwrap();
                fs::remove_file(self.root.join("sys/class/fc_host/host6")).unwrap();
                fs::remove_dir_all(self.root.join("sys").join(&path)).unwrap();
                self.feed.uevent("remove", &path, "scsi", &[("DEVTYPE", "scsi_host")]);
            }
        }
    }
}

fn mdev(uuid: Option<&str>, type_id: &str, attributes: &str) -> Vec<u8> {
    let uuid = uuid.map(|uuid| format!("<uuid>{uuid}</uuid>")).unwrap_or_default();
    format!(
        "<device><name>x</name><parent>pci_0000_00_03_0</parent><capability type='mdev'><type id='{type_id}'/>{uuid}\
         {attributes}</capability></device>"
    )
    .into_bytes()
}

fn define(host: &Host, xml: &[u8]) -> String {
    host.driver.define_xml(xml, CreateFlags::empty()).unwrap().as_str().to_owned()
}

#[test]
fn a_mediated_device_is_defined_started_changed_stopped_and_forgotten() {
    use LibvirtEvent as E;
    let mut host = Host::new();
    let name = define(&host, &mdev(Some(UUID), "t-1", "<attr name='a' value='1'/>"));
    assert_eq!(name, NAME);
    assert_eq!(host.ran(), [format!("define --parent=0000:00:03.0 --jsonfile=/dev/stdin --uuid={UUID}")]);
    assert_eq!(host.told(1), [(NAME.to_owned(), E::Defined)]);
    let state = |host: &Host| {
        let driver = &host.driver;
        (
            driver.is_active(NAME).unwrap(),
            driver.is_persistent(NAME).unwrap(),
            driver.autostart(NAME).unwrap(),
        )
    };
    assert_eq!(state(&host), (false, true, false));
    let listed = host.driver.list_names(ListFlags::INACTIVE).unwrap();
    assert_eq!(listed.iter().map(|name| name.as_str()).collect::<Vec<_>>(), [NAME]);

    host.driver.set_autostart(NAME, true).unwrap();
    assert_eq!(host.ran(), [format!("modify --parent=0000:00:03.0 --uuid={UUID} --auto")]);
    assert_eq!(state(&host), (false, true, true));
    host.driver.set_autostart(NAME, true).unwrap();
    assert!(host.ran().is_empty(), "nothing is to be done");

    // Another definition of the same device keeps what a document cannot say.
    define(&host, &mdev(Some(UUID), "t-1", "<attr name='a' value='2'/>"));
    assert_eq!(
        host.ran(),
        [format!("modify --parent=0000:00:03.0 --jsonfile=/dev/stdin --uuid={UUID} --defined")]
    );
    assert_eq!(state(&host), (false, true, true), "autostart is not lost");

    host.driver.create(NAME, 0).unwrap();
    assert_eq!(host.ran(), [format!("start --parent=0000:00:03.0 --uuid={UUID}")]);
    assert_eq!(state(&host), (true, true, true));
    let error = host.driver.create(NAME, 0).unwrap_err();
    assert_eq!(error.message(), "Requested operation is not valid: Device is already active");

    let update = |flags| host.driver.update(NAME, &existing("3"), flags);
    update(UpdateFlags::LIVE | UpdateFlags::CONFIG).unwrap();
    assert_eq!(
        host.ran(),
        [format!("modify --parent=0000:00:03.0 --jsonfile=/dev/stdin --uuid={UUID} --defined --live")]
    );
    let inactive = String::from_utf8(host.driver.xml(NAME, XmlFlags::INACTIVE).unwrap()).unwrap();
    assert!(inactive.contains("<attr name='a' value='3'/>"), "{inactive}");
    assert_eq!(state(&host), (true, true, true), "autostart is not lost");
    update(UpdateFlags::empty()).unwrap();
    assert!(host.ran()[0].ends_with("--live"), "without flags, what is running is changed");

    host.driver.undefine(NAME, 0).unwrap();
    assert_eq!(host.ran(), [format!("undefine --parent=0000:00:03.0 --uuid={UUID}")]);
    assert_eq!(state(&host), (true, false, false));
    let error = update_error(&host, UpdateFlags::CONFIG);
    assert!(error.ends_with("transient node devices do not have any persistent config"), "{error}");
    host.driver.destroy(NAME).unwrap();
    assert_eq!(host.ran(), [format!("stop --uuid={UUID}")]);
    assert!(host.driver.lookup(NAME).is_err());
    let told = host.told(6);
    let count = |event| told.iter().filter(|(_, told)| *told == event).count();
    assert_eq!((count(E::Created), count(E::Undefined), count(E::Deleted)), (1, 1, 1), "{told:?}");
}

/// The document of the device that exists.
fn existing(value: &str) -> Vec<u8> {
    format!(
        "<device><name>{NAME}</name><parent>pci_0000_00_03_0</parent><capability type='mdev'><type id='t-1'/>\
         <uuid>{UUID}</uuid><parent_addr>0000:00:03.0</parent_addr><iommuGroup number='0'/><attr name='a' value='{value}'/>\
         </capability></device>"
    )
    .into_bytes()
}

fn update_error(host: &Host, flags: UpdateFlags) -> String {
    host.driver.update(NAME, &existing("4"), flags).unwrap_err().message().to_owned()
}

#[test]
fn a_transient_mediated_device_comes_with_its_call_and_goes() {
    let host = Host::new();
    let made = host.driver.create_xml(&mdev(None, "t-1", ""), CreateFlags::empty()).unwrap();
    assert_eq!(made.as_str(), MADE_UP);
    assert_eq!(host.driver.parent(MADE_UP).unwrap().unwrap().as_str(), "pci_0000_00_03_0");
    assert_eq!(
        host.ran(),
        ["start --parent=0000:00:03.0 --jsonfile=/dev/stdin --uuid=11111111-2222-3333-4444-555555555555"]
    );
    assert!(!host.driver.is_persistent(MADE_UP).unwrap());
    // A guest has it through its own node.
    let (root, uuid) = (host.tree.root(), "11111111-2222-3333-4444-555555555555");
    fs::create_dir_all(root.join("sys").join(PARENT).join(uuid).join("vfio-dev/vfio3")).unwrap();
    fs::create_dir_all(root.join("proc/77/fd")).unwrap();
    symlink("/dev/vfio/devices/vfio3", root.join("proc/77/fd/9")).unwrap();
    let error = host.driver.destroy(MADE_UP).unwrap_err();
    assert!(error.message().ends_with(&format!("Unable to destroy '{MADE_UP}': device in use")), "{error}");
    assert!(error.help().is_some_and(|help| help.contains("process 77")), "{error:?}");
    fs::remove_dir_all(root.join("proc/77")).unwrap();
    host.driver.destroy(MADE_UP).unwrap();
    assert!(host.driver.lookup(MADE_UP).is_err());
}

#[test]
fn names_that_lead_elsewhere_are_refused_and_nothing_is_run() {
    let host = Host::new();
    let driver = &host.driver;
    let flags = CreateFlags::empty();
    let attribute =
        |name: &str| mdev(Some(UUID), "t-1", &format!("<attr name='{name}' value='/tmp/evil.so'/>"));
    let documents = [
        attribute("../../../../../../../../../../etc/ld.so.preload"),
        attribute("/etc/ld.so.preload"),
        attribute("driver/unbind"),
        attribute("--x"),
        attribute("a&#10;b"),
        mdev(Some(UUID), "../../../x&#10;y", ""),
    ];
    for xml in &documents {
        for result in [driver.define_xml(xml, flags), driver.create_xml(xml, flags)] {
            let error = result.unwrap_err();
            assert_eq!(error.code().0, 27, "{error}");
            assert!(!error.message().contains('\n'), "{error}");
        }
    }
    define(&host, &existing("1"));
    host.ran();
    for flags in [UpdateFlags::CONFIG, UpdateFlags::empty()] {
        let error = driver.update(NAME, &attribute("../x"), flags).unwrap_err();
        assert_eq!(error.code().0, 27, "{error}");
    }
    assert!(host.ran().is_empty());
}

#[test]
fn what_mdevctl_refuses_is_told_in_its_words_and_changes_nothing() {
    let host = Host::new();
    define(&host, &mdev(Some(UUID), "t-1", ""));
    host.refuse(Some("no, \n"));
    let driver = &host.driver;
    let fails = |result: Result<(), Error>, message: &str| {
        let error = result.unwrap_err();
        assert_eq!((error.code().0, error.domain().0, error.message()), (1, 22, message));
    };
    let new = mdev(None, "t-1", "");
    let flags = CreateFlags::empty();
    fails(
        driver.create_xml(&new, flags).map(drop),
        "internal error: Unable to start mediated device: no, \n",
    );
    fails(
        driver.define_xml(&new, flags).map(drop),
        "internal error: Unable to define mediated device: no, \n",
    );
    fails(driver.create(NAME, 0), "internal error: Unable to create mediated device: no, \n");
    fails(driver.undefine(NAME, 0), "internal error: Unable to undefine mediated device: no, \n");
    fails(
        driver.set_autostart(NAME, true),
        &format!("internal error: Unable to set autostart on '{NAME}': no, \n"),
    );
    let config = UpdateFlags::CONFIG;
    fails(
        driver.update(NAME, &existing("1"), config),
        "internal error: Unable to modify mediated device: no, \n",
    );
    host.refuse(Some(""));
    fails(driver.create(NAME, 0), "internal error: Unable to create mediated device: Unknown error");
    host.refuse(None);
    assert_eq!(
        update_error(&host, UpdateFlags::LIVE),
        "Requested operation is not valid: node device is not active"
    );
    let other =
        String::from_utf8(existing("1")).unwrap().replace(UUID, "11111111-2222-3333-4444-555555555555");
    let error = driver.update(NAME, other.as_bytes(), config).unwrap_err();
    assert_eq!(
        error.message(),
        format!(
            "unsupported configuration: Cannot update device '{NAME}, uuid mismatch (current uuid '{UUID}')"
        )
    );
    assert!(driver.is_persistent(NAME).unwrap() && !driver.is_active(NAME).unwrap());
    assert!(!driver.autostart(NAME).unwrap());
}

fn vhba(parent: &str, names: &str) -> Vec<u8> {
    format!(
        "<device>{parent}<capability type='scsi_host'><capability type='fc_host'>{names}</capability></capability></device>"
    )
    .into_bytes()
}

const NAMES: &str = "<wwnn>20:01:00:1B:32:a9:da:5e</wwnn><wwpn>0x2101001b32a9da5e</wwpn>";

#[test]
fn a_virtual_port_is_made_on_the_port_that_is_meant_and_deleted() {
    let host = Host::new();
    for parent in [
        "<parent>scsi_host5</parent>",
        "<parent wwnn='2000000000000005' wwpn='1000000000000005'/>",
        "<parent fabric_wwn='3000000000000005'/>",
        "",
    ] {
        let made = host.driver.create_xml(&vhba(parent, NAMES), CreateFlags::empty());
        let made = made.unwrap_or_else(|error| panic!("{parent}: {error}"));
        assert_eq!(made.as_str(), "scsi_host6");
        let xml = String::from_utf8(host.driver.xml("scsi_host6", XmlFlags::empty()).unwrap()).unwrap();
        assert!(xml.contains("<wwpn>2101001b32a9da5e</wwpn>"), "{xml}");
        host.driver.destroy("scsi_host6").unwrap();
        let mut watch = host.driver.watch(None).unwrap();
        while host.driver.lookup("scsi_host6").is_ok() {
            assert!(!matches!(watch.next(Some(Duration::from_secs(20))), Next::TimedOut), "it does not go");
        }
        let deleted = fs::read_to_string(host.tree.root().join("deleted")).unwrap();
        assert_eq!(deleted, "2101001b32a9da5e:2001001b32a9da5e");
    }
    // Names that are left out are made up.
    let made = host.driver.create_xml(&vhba("", ""), CreateFlags::empty()).unwrap();
    let xml = String::from_utf8(host.driver.xml(made.as_str(), XmlFlags::empty()).unwrap()).unwrap();
    assert!(xml.contains("<wwnn>5001a4a"), "{xml}");
}

#[test]
fn virtual_ports_that_cannot_be_are_refused_and_nothing_is_written() {
    let host = Host::new();
    let parent = "<parent>scsi_host5</parent>";
    for (xml, code, message) in [
        (
            vhba("<parent>scsi_host9</parent>", NAMES),
            1,
            "internal error: Could not find parent device for 'new device'",
        ),
        (
            vhba("<parent>pci_0000_00_03_0</parent>", NAMES),
            1,
            "internal error: Parent device pci_0000_00_03_0 is not capable of vport operations",
        ),
        (
            vhba("<parent fabric_wwn='3000000000000009'/>", NAMES),
            1,
            "internal error: Could not find parent device for 'new device'",
        ),
        (
            vhba(parent, "<wwnn>2001001b32a9da5</wwnn><wwpn>2101001b32a9da5e</wwpn>"),
            38,
            "Write of '2101001b32a9da5e:2001001b32a9da5' to '/sys/class/fc_host/host5/vport_create' during vport \
             create/delete failed: Invalid argument",
        ),
    ] {
        let error = host.driver.create_xml(&xml, CreateFlags::empty()).unwrap_err();
        assert_eq!((error.code().0, error.message()), (code, message));
    }
    // The port itself is below a bus and no virtual one.
    let error = host.driver.destroy("scsi_host5").unwrap_err();
    assert!(
        error.message().contains("Invalid adapter name") || error.message().contains("cannot find parent"),
        "{error}"
    );
    assert!(!host.tree.root().join("deleted").exists());
}
