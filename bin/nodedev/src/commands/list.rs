use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::Write;

use nodedev::document::ListedDevice;
use nodedev::{CapabilityType, Connection, DeviceName, Entry, ListFlags, View};
use serde::Serialize;

use super::tree;
use crate::args::ListArgs;
use crate::exit::Exit;
use crate::output::{DIM, NAME, Output};
use crate::report::Advice;
use crate::text::printable;

/// A device as JSON has it.
pub(super) fn listed(entry: &Entry) -> ListedDevice<'_> {
    ListedDevice {
        name: Cow::Borrowed(&entry.name),
        parent: entry.parent.as_ref().map(Cow::Borrowed),
        kind: Cow::Borrowed(&entry.kind),
        visibility: entry.visibility,
        state: entry.state,
    }
}

/// Prints devices: names, a table, a tree or JSON; or what could not be read.
pub(super) fn run(connection: &Connection, args: &ListArgs, out: &mut Output) -> anyhow::Result<Exit> {
    if args.issues {
        return issues(connection, args.json, out);
    }
    let wanted = Wanted::new(args)?;
    let plain = !args.json && !out.is_terminal();
    if plain && !args.extended && !args.tree {
        let mut names = connection.list_names(wanted.flags)?;
        names.sort_by(caseless);
        log::info!("{} devices", names.len());
        for name in &names {
            out.text(name.as_str())?;
        }
        return Ok(Exit::Done);
    }
    if plain && !args.extended {
        // A tree without types takes only the parents of a daemon's devices, and not their documents.
        let mut devices = connection.list(wanted.flags)?;
        devices.sort_by(|a, b| caseless(&a.name, &b.name));
        log::info!("{} devices", devices.len());
        tree::print(&devices, out)?;
        return Ok(Exit::Done);
    }
    let mut entries = entries(connection, args, &wanted)?;
    entries.sort_by(|a, b| caseless(&a.name, &b.name));
    log::info!("{} devices", entries.len());
    if args.tree {
        tree::print(&entries, out)?;
    } else if args.json {
        json(entries.iter().map(listed), out)?;
    } else if plain {
        for entry in &entries {
            out.text(entry.name.as_str())?;
        }
    } else {
        table(&entries, out)?;
    }
    Ok(Exit::Done)
}

/// What the options select.
struct Wanted {
    flags: ListFlags,
    /// The words of `--cap`, where they can also be the kernel's.
    words: Vec<String>,
}

impl Wanted {
    fn new(args: &ListArgs) -> anyhow::Result<Self> {
        let mut flags = match args {
            ListArgs { all: true, .. } => ListFlags::STATES,
            ListArgs { inactive: true, .. } => ListFlags::INACTIVE,
            // As in libvirt's API, what asks for capabilities alone gets active and inactive devices.
            ListArgs { active: false, cap, .. } if !cap.is_empty() => ListFlags::empty(),
            _ => ListFlags::ACTIVE,
        };
        flags.set(ListFlags::PERSISTENT, args.persistent);
        flags.set(ListFlags::TRANSIENT, args.transient);
        let mut words = Vec::new();
        for word in &args.cap {
            if args.extended {
                words.push(word.clone());
            }
            match word.parse::<CapabilityType>() {
                Ok(kind) => flags |= ListFlags::capability(kind),
                Err(_) if args.extended => {}
                Err(_) => return Err(unknown_capability(word, "", [])),
            }
        }
        Ok(Self { flags, words })
    }
}

fn unknown_capability<'a>(word: &str, of: &str, more: impl IntoIterator<Item = &'a str>) -> anyhow::Error {
    let known: Vec<_> = CapabilityType::ALL.iter().map(|kind| kind.as_str()).chain(more).collect();
    let help = format!("the capability types{of} are {}", known.join(", "));
    Advice::usage(format!("unknown capability type '{}'", printable(word)), help).into()
}

/// The selected devices with type and parent, sorted by name.
fn entries(connection: &Connection, args: &ListArgs, wanted: &Wanted) -> anyhow::Result<Vec<Entry>> {
    let view = if args.extended { View::Native } else { View::Libvirt };
    let mut entries = connection.devices()?.entries(view)?;
    if !wanted.words.is_empty() {
        let known: BTreeSet<&str> = CapabilityType::ALL.iter().map(|kind| kind.as_str()).collect();
        let kinds: BTreeSet<&str> = entries.iter().map(|entry| &*entry.kind).collect();
        let more: Vec<&str> = kinds.difference(&known).copied().collect();
        let unknown = |word: &&String| !known.contains(word.as_str()) && !kinds.contains(word.as_str());
        if let Some(word) = wanted.words.iter().find(unknown) {
            return Err(unknown_capability(word, " of this host", more));
        }
    }
    // Capabilities below the first one are known to the driver's own filter alone.
    let capable: Option<BTreeSet<DeviceName>> = if wanted.flags.intersects(ListFlags::CAPABILITIES) {
        Some(connection.list(wanted.flags)?.into_iter().map(|device| device.name).collect())
    } else {
        None
    };
    entries.retain(|entry| {
        let state = wanted.flags.difference(ListFlags::CAPABILITIES).selects(0, entry.state);
        let named = wanted.words.iter().any(|word| *word == entry.kind);
        state
            && match &capable {
                Some(capable) => named || capable.contains(&entry.name),
                None => named || wanted.words.is_empty(),
            }
    });
    Ok(entries)
}

/// The order of `virsh nodedev-list`: without regard to the case of ASCII letters.
fn caseless(a: &DeviceName, b: &DeviceName) -> std::cmp::Ordering {
    fn lower(name: &DeviceName) -> impl Iterator<Item = u8> {
        name.as_str().bytes().map(|byte| byte.to_ascii_lowercase())
    }
    lower(a).cmp(lower(b)).then_with(|| a.cmp(b))
}

fn table(entries: &[Entry], out: &mut Output) -> anyhow::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let width = |of: fn(&Entry) -> usize, title: &str| {
        entries.iter().map(of).max().unwrap_or_default().max(title.len())
    };
    let names = width(|entry| printable(entry.name.as_str()).chars().count(), "NAME");
    let kinds = width(|entry| printable(&entry.kind).chars().count(), "TYPE");
    let title = out.paint(DIM, format_args!("{:<names$}  {:<kinds$}  PARENT", "NAME", "TYPE")).to_string();
    writeln!(out, "{title}")?;
    for entry in entries {
        let name = out.paint(NAME, format_args!("{:<names$}", printable(entry.name.as_str()))).to_string();
        write!(out, "{name}  {:<kinds$}  ", printable(&entry.kind))?;
        let parent = entry.parent.as_ref().map_or("", |parent| parent.as_str());
        let note = if entry.state.active { "" } else { " (inactive)" };
        if parent.is_empty() && note.is_empty() {
            out.line(b"")?;
        } else {
            let rest = out.paint(DIM, format_args!("{}{note}", printable(parent))).to_string();
            writeln!(out, "{rest}")?;
        }
    }
    Ok(())
}

/// Writes an array, one element a line.
fn json<T: Serialize>(items: impl Iterator<Item = T>, out: &mut Output) -> anyhow::Result<()> {
    let mut separator: &[u8] = b"[\n";
    for item in items {
        out.write_all(separator)?;
        out.json(&item)?;
        separator = b",\n";
    }
    out.write_all(if separator == b"[\n" { b"[]\n" } else { b"\n]\n" })?;
    Ok(())
}

fn issues(connection: &Connection, as_json: bool, out: &mut Output) -> anyhow::Result<Exit> {
    let issues = connection.devices()?.issues()?;
    if as_json {
        json(issues.iter(), out)?;
    } else {
        for issue in &issues {
            out.text(&issue.to_string())?;
        }
    }
    Ok(Exit::Done)
}
