//! Handing over on the command line: plans and explanations on a recorded host, which is never changed, and on libvirt's test
//! driver, which cannot.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Ran, run, test_default};
use nodedev_testkit::fixtures;
use serde_json::Value;

/// An NVMe controller that is alone in its IOMMU group.
const NVME: &str = "pci_0000_02_00_0";
/// A SATA controller that shares its group with two functions that the host lives by.
const SATA: &str = "pci_0000_00_1f_2";
const BRIDGE: &str = "pci_0000_00_06_0";

fn recorded(args: &str) -> Ran {
    let all = fixtures::all().unwrap();
    let fixture = all.iter().find(|fixture| fixture.name() == "kitchen-sink").unwrap();
    run(&format!("--root {} {args}", fixture.archive().display()))
}

#[test]
fn a_dry_run_prints_what_would_be_written_as_a_shell_would_write_it() {
    let steps = "modprobe -b -- vfio_pci\n\
                 echo vfio-pci > /sys/bus/pci/devices/0000:02:00.0/driver_override && : 'override none, then vfio-pci'\n\
                 echo 0000:02:00.0 > /sys/bus/pci/drivers/nvme/unbind && : 'driver nvme, then none'\n\
                 echo 0000:02:00.0 > /sys/bus/pci/drivers_probe && : 'driver none, then vfio-pci'\n";
    for command in ["detach", "nodedev-detach", "nodedev-dettach"] {
        let ran = recorded(&format!("{command} --dry-run {NVME}"));
        assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, steps, ""));
    }
    let ran = recorded(&format!("reattach --dry-run {NVME}"));
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "Device pci_0000_02_00_0 is not detached\n"));
    let ran = recorded(&format!("reset --force --dry-run {NVME}"));
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "echo 1 > /sys/bus/pci/devices/0000:02:00.0/reset\n"));
    let ran = recorded(&format!("detach --group --force --dry-run {SATA}"));
    let unbound = ran.stdout.lines().filter(|line| line.contains("/unbind")).count();
    assert_eq!((ran.code, unbound), (0, 3), "{}", ran.stdout);
}

#[test]
fn refusals_say_what_and_what_to_do_and_a_recording_is_not_changed() {
    for (args, message, help) in [
        (format!("detach {NVME}"), "belongs to a recording", "--dry-run works on a recording"),
        (format!("reattach {NVME}"), "belongs to a recording", "leave out --root"),
        (format!("reset {NVME}"), "belongs to a recording", "leave out --root"),
        (format!("handover forget {NVME}"), "belongs to a recording", "leave out --root"),
        (
            format!("detach --dry-run {SATA}"),
            "shares IOMMU group 32 with 0000:00:1f.0",
            "--group would take vital parts",
        ),
        (
            format!("detach --group --dry-run {SATA}"),
            "0000:00:1f.0 is a vital part of the host",
            "leave it to the host",
        ),
        (format!("detach --dry-run --force {BRIDGE}"), "is a bridge", "the devices behind it"),
        (format!("reset --dry-run {BRIDGE}"), "Only PCI endpoint devices can be reset", "behind the bridge"),
        ("detach computer".into(), "device computer is not a PCI device", "list --cap pci"),
        ("detach nosuch".into(), "no node device with matching name 'nosuch'", "list --all"),
    ] {
        let ran = recorded(&args);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{args}");
        assert!(ran.stderr.contains(message) && ran.stderr.contains(help), "{args}: {}", ran.stderr);
    }
    let ran = recorded(&format!("detach --dry-run {NVME} nosuch"));
    assert_eq!(ran.code, 3, "some were planned for");
    assert_eq!(recorded("detach").code, 2);
    assert_eq!(recorded("handover").code, 2);
}

#[test]
fn an_explanation_has_the_answer_in_its_status_too() {
    for (name, code, answer) in [
        (NVME, 0, "a guest can have it\n"),
        (SATA, 1, "a guest can have it only by force\n"),
        (BRIDGE, 1, "no guest can have it as things are\n"),
    ] {
        let ran = recorded(&format!("explain {name}"));
        assert_eq!(ran.code, code, "{}", ran.stderr);
        assert!(ran.stdout.starts_with(&format!("{name}: {answer}")), "{}", ran.stdout);
    }
    let ran = recorded("handover list");
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "", ""));
}

#[test]
fn json_is_what_the_schema_says() {
    for (command, document) in [
        (format!("detach --dry-run --json {NVME}"), "plan"),
        (format!("detach --dry-run --force --json {SATA}"), "plan"),
        (format!("reattach --dry-run --json {NVME}"), "plan"),
        (format!("reset --dry-run --force --json {NVME}"), "plan"),
        (format!("explain --json {SATA}"), "explain"),
        ("handover list --json".into(), "handover"),
    ] {
        let schema: Value = serde_json::from_str(&run(&format!("schema {document}")).stdout).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let json: Value = serde_json::from_str(&recorded(&command).stdout).unwrap();
        let mistakes: Vec<_> = validator.iter_errors(&json).map(|mistake| mistake.to_string()).collect();
        assert!(mistakes.is_empty(), "{command}: {mistakes:?}");
    }
}

#[test]
fn a_driver_without_the_native_calls_is_asked_in_libvirts_way() {
    for (args, function) in [
        ("detach computer", "virNodeDeviceDettach"),
        ("detach --driver vfio computer", "virNodeDeviceDetachFlags"),
        ("reattach computer", "virNodeDeviceReAttach"),
        ("reset computer", "virNodeDeviceReset"),
        ("detach --group computer", "native view"),
        // What libvirt's calls do not tell is not made up: nothing is done.
        ("detach --json computer", "native view"),
        ("reattach --json computer", "native view"),
        ("reset --json computer", "native view"),
        ("explain computer", "native view"),
    ] {
        let ran = test_default(args);
        let want = format!("error: this function is not supported by the connection driver: {function}\n");
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.starts_with(&want), "{args}: {}", ran.stderr);
        if function == "native view" {
            assert!(
                ran.stderr.contains("have nothing of this: run the command on"),
                "{args}: {}",
                ran.stderr
            );
            assert!(!ran.stderr.contains("libvirt view"), "it would not help: {}", ran.stderr);
        }
    }
}

/// A host with a parent of mediated devices, one of which is defined and one of which is active and defined.
fn with_mediated_devices() -> nodedev_testkit::tree::Tree {
    use nodedev_testkit::tree::{Device, Tree};
    let mut tree = Tree::temporary().unwrap();
    let parent = "devices/pci0000:00/0000:00:03.0";
    let device = Device::new(parent, "bus/pci")
        .uevent("PCI_CLASS", "30000")
        .uevent("PCI_ID", "8086:591B")
        .uevent("PCI_SLOT_NAME", "0000:00:03.0")
        .attr("class", "0x030000")
        .attr("vendor", "0x8086")
        .attr("device", "0x591b")
        .attr("mdev_supported_types/t-1/device_api", "vfio-pci")
        .attr("mdev_supported_types/t-1/available_instances", 2);
    tree.add(&device).unwrap();
    tree.add(
        &Device::new(format!("{parent}/{ACTIVE}"), "bus/mdev")
            .link("mdev_type", format!("{parent}/mdev_supported_types/t-1")),
    )
    .unwrap();
    let definition = br#"{"mdev_type":"t-1","start":"manual","attrs":[{"a":"1"}]}"#;
    for uuid in [ACTIVE, DEFINED] {
        tree.file(&format!("etc/mdevctl.d/0000:00:03.0/{uuid}"), definition).unwrap();
    }
    tree
}

const ACTIVE: &str = "11111111-2222-3333-4444-555555555555";
const DEFINED: &str = "2ba9b46c-9c1f-4f2c-a1d8-2a8c0c4a9a10";

fn mdev(uuid: &str) -> String {
    format!("mdev_{}_0000_00_03_0", uuid.replace('-', "_"))
}

#[test]
fn a_dry_run_of_a_mediated_device_prints_the_command_and_changes_nothing() {
    let tree = with_mediated_devices();
    let document = tree.root().join("new.xml");
    let uuid = "33333333-2222-3333-4444-555555555555";
    let xml = format!(
        "<device><parent>pci_0000_00_03_0</parent><capability type='mdev'><type id='t-1'/><uuid>{uuid}</uuid>\
         <attr name='a' value='1'/></capability></device>"
    );
    std::fs::write(&document, xml).unwrap();
    let ran = |args: &str| run(&format!("--root {} {args}", tree.root().display()));
    let file = document.display();
    let json = r#"'{"mdev_type":"t-1","start":"manual","attrs":[{"a":"1"}]}'"#;
    let piped = format!("printf '%s\\n' {json} | mdevctl");
    let input = "--parent=0000:00:03.0 --jsonfile=/dev/stdin";
    for (args, want) in [
        (format!("create --dry-run {file}"), format!("{piped} start {input} --uuid={uuid}")),
        (format!("nodedev-define --dry-run {file}"), format!("{piped} define {input} --uuid={uuid}")),
        (
            format!("start --dry-run {}", mdev(DEFINED)),
            format!("mdevctl start --parent=0000:00:03.0 --uuid={DEFINED}"),
        ),
        (format!("destroy --dry-run {}", mdev(ACTIVE)), format!("mdevctl stop --uuid={ACTIVE}")),
        (
            format!("undefine --dry-run {}", mdev(DEFINED)),
            format!("mdevctl undefine --parent=0000:00:03.0 --uuid={DEFINED}"),
        ),
        (
            format!("autostart --dry-run {}", mdev(DEFINED)),
            format!("mdevctl modify --parent=0000:00:03.0 --uuid={DEFINED} --auto"),
        ),
        (
            format!("autostart --disable --dry-run {}", mdev(DEFINED)),
            format!("Device {} is so already", mdev(DEFINED)),
        ),
    ] {
        let ran = ran(&args);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (0, format!("{want}\n").as_str()),
            "{args}: {}",
            ran.stderr
        );
    }
    // What stands in the way is told as the call itself would tell it.
    let refused = ran(&format!("start --dry-run {}", mdev(ACTIVE)));
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("Device is already active"), "{}", refused.stderr);
    let plan: Value = serde_json::from_str(&ran(&format!("create --dry-run --json {file}")).stdout).unwrap();
    assert_eq!(plan["operation"], "create");
    assert_eq!(plan["device"]["key"], format!("0000:00:03.0@{uuid}"));
    assert_eq!(
        (&plan["device"]["before"]["active"], &plan["device"]["after"]["active"]),
        (&false.into(), &true.into())
    );
    assert_eq!(plan["undo"][0]["value"], format!("stop --uuid={uuid}"));
    assert_eq!(ran(&format!("create --json {file}")).code, 2, "--json goes with --dry-run");
    // A recording is never changed, and neither is libvirt's test driver asked for plans.
    let recording = ran(&format!("create {file}"));
    assert_eq!(recording.code, 1);
    assert!(recording.stderr.contains("leave out --root"), "{}", recording.stderr);
}
