//! The JSON that commands print is what `nodedev schema` says, on recorded and synthetic hosts and on this machine.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;

use common::run;
use std::ops::ControlFlow;

use jsonschema::Validator;
use nodedev::document::{self, Inventory, ListedDevice};
use nodedev::{Connection, View};
use nodedev_testkit::fixtures;
use nodedev_testkit::synthetic::Host;
use serde_json::{Value, json};

/// Commands with JSON, and the document of the schema that tells of it.
const COMMANDS: [(&str, &str); 5] = [
    ("show --all --json", "show"),
    ("show computer --json", "show"),
    ("list --all --json", "list"),
    ("list --extended --json", "list"),
    ("list --issues --json", "issues"),
];

fn schema(document: &str) -> Value {
    let ran = run(&format!("schema {document}"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    serde_json::from_str(&ran.stdout).unwrap()
}

fn validator(document: &str) -> Validator {
    let schema = schema(document);
    jsonschema::meta::validate(&schema).expect("the schema is one");
    jsonschema::validator_for(&schema).unwrap()
}

fn printed(host: &str, command: &str) -> Value {
    let ran = run(&format!("{host} {command}"));
    assert_eq!(ran.code, 0, "{command}: {}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn json_of_hosts_is_what_the_schema_says() {
    let synthetic = tempfile::tempdir().unwrap();
    Host::new(200).mdev(true).write(synthetic.path()).unwrap();
    // Something to report.
    let device = synthetic.path().join("sys/bus/pci/devices");
    let first = std::fs::read_dir(device).unwrap().next().unwrap().unwrap().path();
    std::fs::write(first.join("config"), "short").unwrap();
    let mut hosts = vec![String::new(), "--connect test:///default".into()];
    hosts.push(format!("--root {}", synthetic.path().display()));
    let fixtures = fixtures::all().unwrap();
    hosts.extend(fixtures.iter().map(|fixture| format!("--root {}", fixture.archive().display())));
    let mut reported = 0;
    for (command, document) in COMMANDS {
        let validator = validator(document);
        for host in &hosts {
            let json = printed(host, command);
            let mistakes: Vec<String> = validator
                .iter_errors(&json)
                .map(|mistake| format!("{}: {mistake}", mistake.instance_path()))
                .collect();
            assert!(mistakes.is_empty(), "{host} {command}: {mistakes:#?}");
            if document == "issues" {
                reported += json.as_array().unwrap().len();
            }
        }
    }
    assert!(reported > 0, "an issue is among what was checked");
}

#[test]
fn what_is_printed_is_read_back_as_the_same_devices() {
    let synthetic = tempfile::tempdir().unwrap();
    Host::new(200).mdev(true).write(synthetic.path()).unwrap();
    let fixtures = fixtures::all().unwrap();
    let hosts = fixtures.iter().map(|fixture| fixture.archive()).chain([synthetic.path().to_owned()]);
    for host in hosts {
        let ran = run(&format!("--root {} show --all --json", host.display()));
        let inventory: Inventory = document::read(ran.stdout.as_bytes()).unwrap();
        let mut devices = Vec::new();
        let connection = Connection::open_root(&host).unwrap();
        let issues = connection.devices().unwrap().visit(View::Native, &mut |device| {
            devices.push(device.clone());
            ControlFlow::Continue(())
        });
        assert_eq!(inventory.devices, devices, "{}", host.display());
        assert_eq!(inventory.issues, Some(issues.unwrap()));
        let mut again = Vec::new();
        inventory.write(&mut again).unwrap();
        assert_eq!(String::from_utf8(again).unwrap(), ran.stdout);
        let last = inventory.devices.last().unwrap();
        assert_eq!(inventory.get(last.name.as_str()), Some(last));
        assert_eq!(inventory.get("no such device"), None);
        assert_eq!((&inventory).into_iter().count(), devices.len());
        let list = run(&format!("--root {} list --extended --json", host.display()));
        let listed: Vec<ListedDevice<'_>> = document::read(list.stdout.as_bytes()).unwrap();
        assert_eq!(
            serde_json::to_value(&listed).unwrap(),
            serde_json::from_str::<Value>(&list.stdout).unwrap()
        );
    }
}

#[test]
fn the_schema_refuses_what_is_never_printed() {
    let validator = validator("show");
    let fixture = &fixtures::all().unwrap()[0];
    let host = format!("--root {}", fixture.archive().display());
    let whole = printed(&host, "show --all --json");
    assert!(validator.is_valid(&whole));
    let devices = whole["devices"].as_array().unwrap();
    let of =
        |kind: &str| devices.iter().position(|device| device["capabilities"][0]["type"] == kind).expect(kind);
    for (pointer, wrong) in [
        (format!("/devices/{}/name", of("pci")), json!(7)),
        (format!("/devices/{}/name", of("net")), Value::Null),
        (format!("/devices/{}/capabilities", of("net")), json!({})),
        (format!("/devices/{}/capabilities/0/type", of("pci")), json!("no such type")),
        (format!("/devices/{}/capabilities/0/address", of("pci")), json!(["0000:00:01.0"])),
        (format!("/devices/{}/capabilities/0/link", of("net")), json!({"state": "sideways"})),
        (format!("/devices/{}/capabilities/0/link", of("net")), json!({"speed_mbits": -1})),
        (format!("/devices/{}/capabilities/0/block", of("storage")), json!(0)),
        ("/devices".into(), json!("none")),
    ] {
        let mut broken = whole.clone();
        *broken.pointer_mut(&pointer).expect(&pointer) = wrong.clone();
        assert!(!validator.is_valid(&broken), "{wrong} at {pointer}");
    }
}

/// Names of all members of objects in a value.
fn members(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                found.insert(name.clone());
                members(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| members(item, found)),
        _ => {}
    }
}

/// Names of all members that a schema tells of.
fn described(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                found.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| described(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| described(item, found)),
        _ => {}
    }
}

#[test]
fn every_member_that_is_printed_is_in_the_schema() {
    for (command, document) in COMMANDS {
        let mut known = BTreeSet::new();
        described(&schema(document), &mut known);
        let mut seen = BTreeSet::new();
        for fixture in fixtures::all().unwrap() {
            members(&printed(&format!("--root {}", fixture.archive().display()), command), &mut seen);
        }
        let unknown: Vec<_> = seen.difference(&known).collect();
        assert!(unknown.is_empty(), "{command}: {unknown:?}");
    }
}

#[test]
fn one_call_tells_of_all_devices_what_single_calls_tell() {
    let fixture = fixtures::all().unwrap().into_iter().find(|fixture| fixture.name() == "small-vm").unwrap();
    let host = format!("--root {}", fixture.archive().display());
    let whole = printed(&host, "show --all --json");
    let listed = printed(&host, "list --extended --all --json");
    let names = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|device| device["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&whole["devices"]), names(&listed));
    for device in whole["devices"].as_array().unwrap() {
        let name = device["name"].as_str().unwrap();
        assert_eq!(printed(&host, &format!("show {name} --json"))["devices"], json!([device]));
    }
}
