//! The tree of devices: as `virsh nodedev-list --tree` draws it in a pipe, with line characters on a terminal.

use std::collections::HashMap;
use std::io::{self, Write};

use nodedev::{DeviceName, DeviceRef, Entry};

use crate::output::{DIM, NAME, Output};
use crate::text::printable;

/// A device in a tree.
pub(super) trait Leaf {
    fn name(&self) -> &DeviceName;
    fn parent(&self) -> Option<&DeviceName>;
    /// What it is, for people.
    fn note(&self) -> Option<String>;
}

impl Leaf for Entry {
    fn name(&self) -> &DeviceName {
        &self.name
    }

    fn parent(&self) -> Option<&DeviceName> {
        self.parent.as_ref()
    }

    fn note(&self) -> Option<String> {
        let state = if self.state.active { "" } else { ", inactive" };
        Some(format!("({}{state})", printable(&self.kind)))
    }
}

impl Leaf for DeviceRef {
    fn name(&self) -> &DeviceName {
        &self.name
    }

    fn parent(&self) -> Option<&DeviceName> {
        self.parent.as_ref()
    }

    fn note(&self) -> Option<String> {
        None
    }
}

/// What a tree is drawn with.
struct Pens {
    /// Before the name of a device that more siblings follow, and of one that is the last.
    branch: [&'static str; 2],
    /// Before everything below such a device.
    below: [&'static str; 2],
    /// Before everything below a root.
    below_root: &'static str,
    /// Whether there is a line between a device and its children, and one behind the last leaf.
    airy: bool,
}

const VIRSH: Pens = Pens { branch: ["+- ", "+- "], below: ["|   ", "    "], below_root: "  ", airy: true };
const LINES: Pens =
    Pens { branch: ["├─ ", "└─ "], below: ["│  ", "   "], below_root: "", airy: false };

/// A device that is still to be drawn.
struct Pending {
    index: usize,
    /// Length of the indentation.
    indent: usize,
    root: bool,
    last: bool,
}

/// Draws the tree. A device whose parent is not in the list is a root, and so is one of a ring of parents: a drawing
/// leaves out nothing.
pub(super) fn print(entries: &[impl Leaf], out: &mut Output) -> io::Result<()> {
    let index: HashMap<&str, usize> =
        entries.iter().enumerate().map(|(index, entry)| (entry.name().as_str(), index)).collect();
    let mut children = vec![Vec::new(); entries.len()];
    let mut roots = Vec::new();
    for (child, entry) in entries.iter().enumerate() {
        match entry.parent().and_then(|parent| index.get(parent.as_str())) {
            Some(&parent) if parent != child => children[parent].push(child),
            _ => roots.push(child),
        }
    }
    let pens = if out.is_terminal() { LINES } else { VIRSH };
    let mut drawn = vec![false; entries.len()];
    for root in roots.into_iter().chain(0..entries.len()) {
        if !drawn[root] {
            draw(entries, &children, root, &mut drawn, &pens, out)?;
        }
    }
    Ok(())
}

fn draw(
    entries: &[impl Leaf],
    children: &[Vec<usize>],
    root: usize,
    drawn: &mut [bool],
    pens: &Pens,
    out: &mut Output,
) -> io::Result<()> {
    let mut indent = String::new();
    let mut pending = vec![Pending { index: root, indent: 0, root: true, last: true }];
    while let Some(Pending { index, indent: length, root, last }) = pending.pop() {
        if std::mem::replace(&mut drawn[index], true) {
            continue;
        }
        // What is left of the indentation is that of the siblings drawn before.
        indent.truncate(length);
        out.write_all(indent.as_bytes())?;
        if !root {
            out.write_all(pens.branch[usize::from(last)].as_bytes())?;
        }
        label(&entries[index], out)?;
        indent.push_str(if root { pens.below_root } else { pens.below[usize::from(last)] });
        let below = &children[index];
        if pens.airy {
            if !below.is_empty() {
                writeln!(out, "{indent}|")?;
            } else if last {
                out.line(&indent.as_bytes()[..indent.len() - 2])?;
            }
        }
        pending.extend(below.iter().rev().enumerate().map(|(place, &index)| Pending {
            index,
            indent: indent.len(),
            root: false,
            last: place == 0,
        }));
    }
    Ok(())
}

/// The name; on a terminal also what the device is.
fn label(entry: &impl Leaf, out: &mut Output) -> io::Result<()> {
    if !out.is_terminal() {
        return out.text(entry.name().as_str());
    }
    let name = out.paint(NAME, printable(entry.name().as_str())).to_string();
    match entry.note() {
        None => writeln!(out, "{name}"),
        Some(note) => {
            let note = out.paint(DIM, note).to_string();
            writeln!(out, "{name} {note}")
        }
    }
}
