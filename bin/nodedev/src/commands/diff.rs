use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use nodedev::{Capability, Connection, DeviceName, NetFeatures, NodeDevice, View};
use serde_json::Value;

use crate::args::{DiffArgs, Global};
use crate::exit::Exit;
use crate::output::{ADDED, CHANGED, DIM, Output, REMOVED};
use crate::progress::Progress;
use crate::session;
use crate::text::{count, printable};

/// Prints how the devices of two hosts differ.
pub(super) fn run(global: &Global, args: &DiffArgs, out: &mut Output) -> anyhow::Result<Exit> {
    let mut before = devices(&open(global, &args.before)?, out)?;
    let after = match &args.after {
        Some(path) => devices(&open(global, path)?, out)?,
        None => {
            let mut after = devices(&session::open(global)?, out)?;
            if global.root.is_none() {
                keep_comparable(&mut before);
                keep_comparable(&mut after);
            }
            after
        }
    };
    let mut numbers = [0; 3];
    for change in changes(&before, &after)? {
        numbers[change.place()] += 1;
        print(&change, out)?;
    }
    let [added, removed, changed] = numbers;
    if numbers == [0; 3] {
        log::info!("no difference in {}", count(after.len(), "device"));
        return Ok(Exit::Done);
    }
    log::info!("{added} added, {removed} removed, {changed} changed");
    Ok(Exit::Failed)
}

fn open(global: &Global, path: &Path) -> anyhow::Result<Connection> {
    let named = Global { root: Some(path.to_owned()), connect: None, log: global.log };
    session::open(&named)
}

fn devices(connection: &Connection, out: &Output) -> anyhow::Result<BTreeMap<DeviceName, NodeDevice>> {
    let progress = Progress::start("describing devices", out);
    let mut devices = BTreeMap::new();
    connection.visit(View::Native, &mut |device| {
        progress.step();
        devices.insert(device.name.clone(), device.clone());
        ControlFlow::Continue(())
    })?;
    Ok(devices)
}

/// Leaves out what only the kernel of a running machine tells, and no recording holds: features of network interfaces.
fn keep_comparable(devices: &mut BTreeMap<DeviceName, NodeDevice>) {
    for device in devices.values_mut() {
        for capability in &mut device.capabilities {
            if let Capability::Net(net) = capability {
                net.features = NetFeatures::default();
            }
        }
    }
}

/// One way in which two hosts differ.
#[derive(Debug)]
enum Change<'a> {
    Added(&'a NodeDevice),
    Removed(&'a NodeDevice),
    Changed(&'a NodeDevice, Vec<Field>),
}

impl Change<'_> {
    fn place(&self) -> usize {
        match self {
            Self::Added(_) => 0,
            Self::Removed(_) => 1,
            Self::Changed(..) => 2,
        }
    }
}

/// The differences, sorted by name.
fn changes<'a>(
    before: &'a BTreeMap<DeviceName, NodeDevice>,
    after: &'a BTreeMap<DeviceName, NodeDevice>,
) -> anyhow::Result<Vec<Change<'a>>> {
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let mut changes = Vec::new();
    for name in names {
        match (before.get(name), after.get(name)) {
            (None, Some(new)) => changes.push(Change::Added(new)),
            (Some(old), None) => changes.push(Change::Removed(old)),
            (Some(old), Some(new)) if old != new => {
                let fields = fields(old, new)?;
                if !fields.is_empty() {
                    changes.push(Change::Changed(new, fields));
                }
            }
            _ => {}
        }
    }
    Ok(changes)
}

fn print(change: &Change<'_>, out: &mut Output) -> anyhow::Result<()> {
    let (style, sign, device) = match change {
        Change::Added(device) => (ADDED, '+', device),
        Change::Removed(device) => (REMOVED, '-', device),
        Change::Changed(device, _) => (CHANGED, '~', device),
    };
    let name = out.paint(style, format_args!("{sign} {}", printable(device.name.as_str()))).to_string();
    let kind = out.paint(DIM, kind(device)).to_string();
    writeln!(out, "{name} {kind}")?;
    if let Change::Changed(_, fields) = change {
        let arrow = if out.is_terminal() { "→" } else { "->" };
        for Field { path, old, new } in fields {
            let path = out.paint(DIM, format_args!("{path}:")).to_string();
            writeln!(out, "    {path} {} {arrow} {}", word(old.as_ref()), word(new.as_ref()))?;
        }
    }
    Ok(())
}

/// Types of the device, in parentheses.
fn kind(device: &NodeDevice) -> String {
    let types: Vec<String> = device
        .capabilities
        .iter()
        .map(|capability| match capability {
            Capability::Native(native) => printable(&native.class.to_string()).into_owned(),
            other => other.kind().map_or_else(String::new, |kind| kind.to_string()),
        })
        .collect();
    format!("({})", types.join(", "))
}

fn word(value: Option<&Value>) -> String {
    match value {
        None => "(none)".to_owned(),
        Some(Value::String(text)) => printable(text).into_owned(),
        Some(value) => value.to_string(),
    }
}

/// A value that differs.
#[derive(Debug, PartialEq)]
struct Field {
    path: String,
    old: Option<Value>,
    new: Option<Value>,
}

/// The values of two devices that differ, in the order of the JSON. None, if only values differ that the JSON corrects
/// or has no place for.
fn fields(old: &NodeDevice, new: &NodeDevice) -> anyhow::Result<Vec<Field>> {
    let mut fields = Vec::new();
    compare(String::new(), Some(serde_json::to_value(old)?), Some(serde_json::to_value(new)?), &mut fields);
    Ok(fields)
}

/// Compares two values field by field. Lists are compared place by place if they hold objects of the same number, and
/// as a whole otherwise. The depth is that of the model's types.
fn compare(path: String, old: Option<Value>, new: Option<Value>, fields: &mut Vec<Field>) {
    if old == new {
        return;
    }
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(mut new))) => {
            for (key, value) in old {
                let other = new.shift_remove(&key);
                compare(below(&key), Some(value), other, fields);
            }
            for (key, value) in new {
                compare(below(&key), None, Some(value), fields);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new)))
            if old.len() == new.len() && old.iter().chain(&new).all(Value::is_object) =>
        {
            let single = old.len() == 1;
            for (place, (old, new)) in old.into_iter().zip(new).enumerate() {
                let path = if single { path.clone() } else { format!("{path}[{place}]") };
                compare(path, Some(old), Some(new), fields);
            }
        }
        (old, new) => fields.push(Field { path, old, new }),
    }
}
