use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use nodedev::{Capability, Connection, DeviceName, NetFeatures, NodeDevice, View, reduce_to_documents};
use serde_json::Value;

use crate::args::{DiffArgs, Global};
use crate::exit::Exit;
use crate::output::{ADDED, CHANGED, DIM, Output, REMOVED};
use crate::progress::Progress;
use crate::session;
use crate::text::{count, printable};

/// Prints how the devices of two hosts differ.
pub(super) fn run(global: &Global, args: &DiffArgs, out: &mut Output) -> anyhow::Result<Exit> {
    let before = open(global, &args.before)?;
    let (before, after) = match &args.after {
        Some(path) => {
            (devices(&before, View::Native, out)?, devices(&open(global, path)?, View::Native, out)?)
        }
        None => {
            let after = session::open(global)?;
            let view = after.fullest_view();
            let mut before = devices(&before, view, out)?;
            let mut after = devices(&after, view, out)?;
            if global.root.is_none() {
                keep_comparable(&mut before);
                keep_comparable(&mut after);
            }
            (before, after)
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
    let named = Global { root: Some(path.to_owned()), connect: None, ..*global };
    session::open(&named)
}

/// All devices of a view; of libvirt's, what their documents tell, as a daemon has nothing else.
fn devices(
    connection: &Connection,
    view: View,
    out: &Output,
) -> anyhow::Result<BTreeMap<DeviceName, NodeDevice>> {
    let progress = Progress::start("describing", out);
    let mut devices = BTreeMap::new();
    let mut failure = None;
    connection.devices()?.visit(view, &mut |device| {
        progress.step();
        let device = match (view, connection.fullest_view()) {
            (View::Libvirt, View::Native) => reduce_to_documents(device),
            _ => Ok(device.clone()),
        };
        match device {
            Ok(device) => devices.insert(device.name.clone(), device),
            Err(error) => {
                failure = Some(error);
                return ControlFlow::Break(());
            }
        };
        ControlFlow::Continue(())
    })?;
    match failure {
        Some(error) => Err(nodedev::Error::from(error).into()),
        None => Ok(devices),
    }
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
            Capability::Other(other) => printable(&other.kind).into_owned(),
            other => other.kind().map_or_else(String::new, |kind| kind.to_string()),
        })
        .collect();
    format!("({})", types.join(", "))
}

fn word(value: Option<&Value>) -> String {
    match value {
        None => "(none)".to_owned(),
        Some(Value::String(text)) => printable(text).into_owned(),
        Some(value) => printable(&value.to_string()).into_owned(),
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

/// Compares two values field by field: objects key by key, lists of as many objects place by place, and other lists by
/// what only one of them holds. The depth is that of the model's types.
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
        (Some(Value::Array(old)), Some(Value::Array(new))) => {
            let before = fields.len();
            let (was, is): (HashSet<_>, HashSet<_>) = (old.iter().collect(), new.iter().collect());
            let gone = old.iter().filter(|item| !is.contains(item));
            let come = new.iter().filter(|item| !was.contains(item));
            fields.extend(gone.map(|item| Field { path: path.clone(), old: Some(item.clone()), new: None }));
            fields.extend(come.map(|item| Field { path: path.clone(), old: None, new: Some(item.clone()) }));
            if fields.len() == before {
                // The same items in another order or number.
                fields.push(Field { path, old: Some(old.into()), new: Some(new.into()) });
            }
        }
        (old, new) => fields.push(Field { path, old, new }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Field, compare};

    #[test]
    fn each_value_that_differs_is_told_with_its_path() {
        let old = json!({
            "driver": "e1000e", "same": 1, "gone": true,
            "capabilities": [{"link": {"state": "up", "speed_mbits": 1000}, "vfs": ["a", "b"], "types": [{"n": 1}, {"n": 2}]}],
            "order": ["x", "y"],
            "objects": [{"id": "m1"}],
        });
        let new = json!({
            "driver": "vfio-pci", "same": 1, "come": [],
            "capabilities": [{"link": {"state": "up", "speed_mbits": 100}, "vfs": ["b", "c"], "types": [{"n": 1}, {"n": 3}]}],
            "order": ["y", "x"],
            "objects": [{"id": "m1"}, {"id": "m2"}],
        });
        let mut fields = Vec::new();
        compare(String::new(), Some(old), Some(new), &mut fields);
        let told: Vec<String> = fields
            .iter()
            .map(|Field { path, old, new }| {
                let word = |value: &Option<_>| value.as_ref().map_or("-".to_owned(), ToString::to_string);
                format!("{path} {} {}", word(old), word(new))
            })
            .collect();
        assert_eq!(
            told,
            [
                r#"driver "e1000e" "vfio-pci""#,
                "gone true -",
                "capabilities.link.speed_mbits 1000 100",
                r#"capabilities.vfs "a" -"#,
                r#"capabilities.vfs - "c""#,
                "capabilities.types[1].n 2 3",
                r#"order ["x","y"] ["y","x"]"#,
                r#"objects - {"id":"m2"}"#,
                "come - []",
            ]
        );
    }
}
