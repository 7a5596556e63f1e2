//! What a program has to say about the devices of a host: lists, filters, the tree, every document.
//!
//! The same questions are put to the real libvirt ([`crate::peer`]), to the command line of nodedev ([`crate::cli`])
//! and to a folder of golden files, and the answers compared.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use crate::compare::{Tolerance, differences};

/// The capability names that libvirt's `--cap` filter knows.
pub const CAPABILITIES: &[&str] = &[
    "system",
    "pci",
    "usb_device",
    "usb",
    "net",
    "scsi_host",
    "scsi_target",
    "scsi",
    "storage",
    "fc_host",
    "vports",
    "scsi_generic",
    "drm",
    "mdev_types",
    "mdev",
    "ccw",
    "css",
    "vdpa",
    "ap_card",
    "ap_queue",
    "ap_matrix",
    "vpd",
    "ccwgroup",
    "ccwgroup_member",
];

/// A list of devices that both programs can print.
#[derive(Debug, Clone, Copy)]
pub struct ListKind {
    /// Name of the golden file, without `.txt`.
    pub name: &'static str,
    /// Options of `virsh nodedev-list` and of `nodedev list`.
    pub options: &'static [&'static str],
}

/// The lists that are compared.
pub const LISTS: &[ListKind] = &[
    ListKind { name: "list", options: &[] },
    ListKind { name: "list-all", options: &["--all"] },
    ListKind { name: "list-inactive", options: &["--inactive"] },
    ListKind { name: "list-persistent", options: &["--persistent"] },
    ListKind { name: "list-transient", options: &["--transient"] },
];

/// Lists, filters, tree and documents of one host. A part that was not asked for is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// Text of each list, by [`ListKind::name`]: one name a line.
    pub lists: BTreeMap<String, String>,
    /// Text of `list --tree`.
    pub tree: String,
    /// Text of `list --cap`, by capability.
    pub by_capability: BTreeMap<String, String>,
    /// The document of each device.
    pub xml: BTreeMap<String, Vec<u8>>,
    /// The document of each persistent device's definition.
    pub inactive_xml: BTreeMap<String, Vec<u8>>,
    /// Text of `info` of each persistent device: the only ones of which it says more than the tree.
    pub info: BTreeMap<String, String>,
}

impl Answers {
    /// The names in a list.
    pub fn names(&self, list: &str) -> Vec<String> {
        self.lists.get(list).map(|text| text.lines().map(str::to_owned).collect()).unwrap_or_default()
    }

    /// Names of the persistent devices, active and not; virsh's `--persistent` alone shows only active ones.
    pub fn persistent(&self) -> Vec<String> {
        let mut names = self.names("list-persistent");
        names.extend(self.names("list-inactive"));
        names
    }

    /// Reads golden files: `golden/NAME.xml`, `golden/NAME.inactive.xml`, `list*.txt`, `tree.txt`, `bycap/CAP.txt`,
    /// `info/NAME.txt`. What is not there stays empty.
    ///
    /// # Errors
    /// If a file that is there can't be read.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let mut answers = Self::default();
        for (name, content) in files(&dir.join("golden"), ".xml")? {
            match name.strip_suffix(".inactive") {
                Some(name) => answers.inactive_xml.insert(name.to_owned(), content),
                None => answers.xml.insert(name, content),
            };
        }
        for (name, content) in files(dir, ".txt")? {
            let text = lines(&String::from_utf8_lossy(&content));
            if name == "tree" {
                answers.tree = text;
            } else if LISTS.iter().any(|list| list.name == name) {
                answers.lists.insert(name, text);
            }
        }
        for (name, content) in files(&dir.join("bycap"), ".txt")? {
            answers.by_capability.insert(name, lines(&String::from_utf8_lossy(&content)));
        }
        for (name, content) in files(&dir.join("info"), ".txt")? {
            answers.info.insert(name, lines(&String::from_utf8_lossy(&content)));
        }
        Ok(answers)
    }

    /// Writes golden files in place of those that are there.
    ///
    /// # Errors
    /// If a file can't be written or an old one can't be removed.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        for folder in ["golden", "bycap", "info"] {
            match fs::remove_dir_all(dir.join(folder)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::create_dir_all(dir.join("golden"))?;
        for (name, text) in &self.xml {
            fs::write(dir.join(format!("golden/{name}.xml")), text)?;
        }
        for (name, text) in &self.inactive_xml {
            fs::write(dir.join(format!("golden/{name}.inactive.xml")), text)?;
        }
        for (name, text) in &self.lists {
            fs::write(dir.join(format!("{name}.txt")), text)?;
        }
        fs::write(dir.join("tree.txt"), &self.tree)?;
        for (folder, texts) in [("bycap", &self.by_capability), ("info", &self.info)] {
            for (name, text) in texts.iter().filter(|(_, text)| !text.is_empty()) {
                fs::create_dir_all(dir.join(folder))?;
                fs::write(dir.join(format!("{folder}/{name}.txt")), text)?;
            }
        }
        Ok(())
    }

    /// How `other` differs from these answers, as text for a person; empty when it does not.
    ///
    /// Parts that are empty here are compared too, apart from whole kinds that golden files may leave out: `info`, and
    /// every list but `list`.
    pub fn differences(&self, other: &Self, tolerance: Tolerance) -> String {
        let mut report = differences(&self.xml, &other.xml, tolerance);
        report += &differences(&self.inactive_xml, &other.inactive_xml, tolerance);
        for (name, text) in &self.lists {
            compare_text(&mut report, name, text, other.lists.get(name).map_or("", String::as_str));
        }
        if !self.tree.is_empty() {
            compare_text(&mut report, "tree", &self.tree, &other.tree);
        }
        for capability in CAPABILITIES {
            let text = |answers: &Self| answers.by_capability.get(*capability).cloned().unwrap_or_default();
            if !self.by_capability.is_empty() {
                compare_text(&mut report, &format!("--cap {capability}"), &text(self), &text(other));
            }
        }
        for (name, text) in &self.info {
            compare_text(
                &mut report,
                &format!("info {name}"),
                text,
                other.info.get(name).map_or("", String::as_str),
            );
        }
        report
    }
}

/// `text` without the blank lines at its end, which are no part of a list; virsh prints one, golden files keep none.
pub(crate) fn lines(text: &str) -> String {
    let text = text.trim_end();
    if text.is_empty() { String::new() } else { format!("{text}\n") }
}

fn compare_text(report: &mut String, what: &str, expected: &str, found: &str) {
    if expected != found {
        let _ = writeln!(report, "differs: {what}\n{}", crate::compare::diff(expected, found));
    }
}

/// The files of `dir` whose name ends in `suffix`, by the rest of their name.
fn files(dir: &Path, suffix: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(name) = entry.file_name().to_str().and_then(|name| name.strip_suffix(suffix)) {
            found.push((name.to_owned(), fs::read(entry.path())?));
        }
    }
    Ok(found)
}
