//! A device in words: the same content as its JSON, laid out for people.
//!
//! The layout follows from the shape of the JSON, so that nothing the model gains is forgotten here: simple values are
//! lines, small objects are one line, others are indented below their label.

use std::io::Write;

use nodedev::{DeviceState, NodeDevice, Visibility};
use serde_json::{Map, Value};

use crate::output::{DIM, NAME, Output};
use crate::text::printable;

/// Width up to which a list stays on one line.
const LINE: usize = 72;
/// The widest that labels make the column of values start.
const MOST_LABEL: usize = 32;

/// Writes a device.
pub(crate) fn describe(device: &NodeDevice, out: &mut Output) -> anyhow::Result<()> {
    let title = out.paint(NAME, printable(device.name.as_str())).to_string();
    writeln!(out, "{title}")?;
    let rows = rows(device)?;
    let width = rows
        .iter()
        .map(|row| row.indent() + row.label.chars().count())
        .max()
        .unwrap_or_default()
        .min(MOST_LABEL);
    for Row { depth, label, value } in &rows {
        let indent = depth * 2 + 2;
        let pad = if value.is_empty() { 0 } else { (width + 2).saturating_sub(indent) };
        let label = out.paint(DIM, format_args!("{label:<pad$}")).to_string();
        writeln!(out, "{:indent$}{label}{}{value}", "", if value.is_empty() { "" } else { "  " })?;
    }
    Ok(())
}

/// A line of a description.
#[derive(Debug, PartialEq)]
struct Row {
    depth: usize,
    label: String,
    value: String,
}

impl Row {
    fn indent(&self) -> usize {
        self.depth * 2
    }
}

fn rows(device: &NodeDevice) -> serde_json::Result<Vec<Row>> {
    let mut rows = Rows { rows: Vec::new(), pci: false };
    let Value::Object(mut fields) = serde_json::to_value(device)? else { return Ok(rows.rows) };
    // Told by the title and by the line "state".
    for key in ["name", "view", "active", "persistent", "autostart"] {
        fields.shift_remove(key);
    }
    let capabilities = fields.shift_remove("capabilities");
    let libvirt_parent = fields.shift_remove("libvirt_parent");
    if let Some(parent) = fields.shift_remove("parent") {
        rows.value(0, "parent", &parent);
        if let Some(other) = libvirt_parent.filter(|other| *other != parent) {
            rows.value(0, "parent for libvirt", &other);
        }
    }
    rows.push(0, "state", state(device.state, device.visibility));
    rows.fields(0, &fields);
    for mut capability in capabilities.as_ref().and_then(Value::as_array).cloned().unwrap_or_default() {
        let kind = capability.as_object_mut().and_then(|fields| fields.shift_remove("type"));
        let kind = kind.as_ref().and_then(Value::as_str).unwrap_or("capability");
        rows.pci = kind == "pci";
        rows.rows.push(Row { depth: 0, label: printable(kind).into_owned(), value: String::new() });
        if let Value::Object(fields) = &capability {
            rows.fields(1, fields);
        }
    }
    Ok(rows.rows)
}

fn state(state: DeviceState, visibility: Visibility) -> String {
    let mut words = vec![
        if state.active { "active" } else { "inactive" },
        if state.persistent { "persistent" } else { "transient" },
    ];
    if state.autostart {
        words.push("started with the host");
    }
    if visibility == Visibility::Native {
        words.push("not shown by libvirt");
    }
    words.join(", ")
}

struct Rows {
    rows: Vec<Row>,
    /// Whether the values are those of a PCI function, whose class is written as hexadecimal digits.
    pci: bool,
}

impl Rows {
    fn push(&mut self, depth: usize, label: &str, value: String) {
        self.rows.push(Row { depth, label: label.replace('_', " "), value });
    }

    fn fields(&mut self, depth: usize, fields: &Map<String, Value>) {
        for (key, value) in fields {
            self.value(depth, key, value);
        }
    }

    fn value(&mut self, depth: usize, key: &str, value: &Value) {
        match value {
            Value::Null => {}
            Value::Array(items) => self.list(depth, key, items),
            Value::Object(fields) => match self.inline(fields) {
                Some(line) => self.push(depth, key, line),
                None => {
                    self.push(depth, key, String::new());
                    self.fields(depth + 1, fields);
                }
            },
            scalar => {
                let (label, text) = self.scalar(key, scalar);
                self.push(depth, label, text);
            }
        }
    }

    fn list(&mut self, depth: usize, key: &str, items: &[Value]) {
        if items.iter().any(Value::is_object) {
            items.iter().for_each(|item| self.item(depth, key, item));
            return;
        }
        let texts: Vec<String> = items.iter().map(|item| self.scalar(key, item).1).collect();
        let length: usize = texts.iter().map(|text| text.len() + 2).sum();
        if length <= LINE {
            self.push(depth, key, texts.join(", "));
        } else {
            for (place, text) in texts.into_iter().enumerate() {
                self.push(depth, if place == 0 { key } else { "" }, text);
            }
        }
    }

    /// An item of a list: a value that has a name or a place is told by that, and what has an identifier by that.
    fn item(&mut self, depth: usize, key: &str, item: &Value) {
        let get = |key| item.get(key).and_then(Value::as_str);
        let pair = item.get("value").filter(|_| item.as_object().is_some_and(|fields| fields.len() == 2));
        match (pair, get("name"), get("index"), get("id"), item) {
            (Some(value), Some(name), ..) => {
                let (label, value) = (printable(name).into_owned(), self.scalar("", value).1);
                self.rows.push(Row { depth, label, value });
            }
            (Some(value), _, Some(index), ..) => {
                let value = self.scalar("", value).1;
                self.push(depth, &format!("{key} {}", printable(index)), value);
            }
            (None, _, _, Some(id), Value::Object(fields)) => {
                self.push(depth, key, printable(id).into_owned());
                let rest = fields.iter().filter(|(key, _)| *key != "id");
                rest.for_each(|(key, value)| self.value(depth + 1, key, value));
            }
            _ => self.value(depth, key, item),
        }
    }

    /// An object of simple values as one line: an identifier and its name, or labels and values.
    fn inline(&self, fields: &Map<String, Value>) -> Option<String> {
        let mut parts = Vec::with_capacity(fields.len());
        let named = fields.contains_key("id") && fields.keys().all(|key| key == "id" || key == "name");
        for (key, value) in fields {
            match value {
                Value::Object(_) | Value::Array(_) => return None,
                Value::Null => {}
                // Words without a label of their own line would run together.
                Value::String(text) if !named && text.contains(' ') => return None,
                scalar => {
                    let (label, text) = self.scalar(key, scalar);
                    parts.push(if named { text } else { format!("{} {text}", label.replace('_', " ")) });
                }
            }
        }
        let line = parts.join(if named { " " } else { ", " });
        (named || line.len() <= LINE).then_some(line)
    }

    /// Label and text of a simple value: with its unit, which the key tells, and in the base that people know it in.
    fn scalar<'k>(&self, key: &'k str, value: &Value) -> (&'k str, String) {
        let text = match value {
            Value::String(text) => printable(text).into_owned(),
            Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
            Value::Number(number) => match (key, number.as_u64()) {
                ("id", Some(id)) => format!("0x{id:04x}"),
                ("class", Some(class)) if self.pci => format!("0x{class:06x}"),
                ("vendor" | "device", Some(id)) if self.pci => format!("0x{id:04x}"),
                ("revision", Some(revision)) if self.pci => format!("0x{revision:02x}"),
                (_, Some(bytes)) if key.ends_with("_bytes") => size(bytes),
                _ => number.to_string(),
            },
            other => other.to_string(),
        };
        for (suffix, unit) in [
            ("_bytes", ""),
            ("_mbits", " Mbit/s"),
            ("_kbits", " kbit/s"),
            ("_gts", " GT/s"),
            ("_ms", " ms"),
            ("_seconds", " s"),
            ("_ppb", " ppb"),
        ] {
            if let Some(label) = key.strip_suffix(suffix) {
                return (label, text + unit);
            }
        }
        (key, text)
    }
}

/// A size in bytes, and roughly in the unit that fits.
fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut name = None;
    for unit in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        name = Some(unit);
    }
    match name {
        Some(unit) => format!("{bytes} bytes ({value:.1} {unit})"),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Row, Rows, size};

    #[test]
    fn the_shape_of_the_json_decides_the_layout() {
        let fields = json!({
            "address": "0000:03:00.0",
            "class": 0x20000,
            "revision": 3,
            "subsystem": {"vendor": 0x8086, "device": 0x1f},
            "speed_kbits": 1500,
            "product": {"id": 0x10d3, "name": "82574L \u{1b}[1m"},
            "absent": null,
            "express": {"capability": {"port": 0, "speed_gts": 2.5, "width": 1}, "status": {"width": 1}},
            "size_bytes": 1u64 << 30,
            "link": {"state": "up", "speed_mbits": 1000},
            "short": ["a", "b"],
            "long": ["a".repeat(40), "b".repeat(40)],
            "vendor_fields": [{"index": "0", "value": "zero"}, {"index": "A", "value": "x"}],
            "properties": [{"name": "hw_rev", "value": "7"}],
            "types": [{"id": "mtty-1", "name": "Single", "available_instances": 2}],
            "removable": true,
        });
        let mut rows = Rows { rows: Vec::new(), pci: true };
        rows.fields(0, fields.as_object().unwrap());
        let shown: Vec<String> =
            rows.rows.iter().map(|Row { depth, label, value }| format!("{depth} {label}: {value}")).collect();
        let long = [format!("0 long: {}", "a".repeat(40)), format!("0 : {}", "b".repeat(40))];
        assert_eq!(
            shown,
            [
                "0 address: 0000:03:00.0",
                "0 class: 0x020000",
                "0 revision: 0x03",
                "0 subsystem: vendor 0x8086, device 0x001f",
                "0 speed: 1500 kbit/s",
                "0 product: 0x10d3 82574L \\x1b[1m",
                "0 express: ",
                "1 capability: port 0, speed 2.5 GT/s, width 1",
                "1 status: width 1",
                "0 size: 1073741824 bytes (1.0 GiB)",
                "0 link: state up, speed 1000 Mbit/s",
                "0 short: a, b",
                &long[0],
                &long[1],
                "0 vendor fields 0: zero",
                "0 vendor fields A: x",
                "0 hw_rev: 7",
                "0 types: mtty-1",
                "1 name: Single",
                "1 available instances: 2",
                "0 removable: yes",
            ]
        );
    }

    #[test]
    fn sizes_are_exact_and_rounded_to_the_unit_that_fits() {
        for (bytes, want) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1536 bytes (1.5 KiB)"),
            (u64::MAX, "18446744073709551615 bytes (16.0 EiB)"),
        ] {
            assert_eq!(size(bytes), want);
        }
    }
}
