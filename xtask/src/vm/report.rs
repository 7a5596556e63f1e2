//! What the guest says of its checks, against what `tests/vm` has: a check that says nothing has failed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Begins each line of the console that is meant for us: `nodedev-vm: PASS NAME`, `nodedev-vm: FAIL NAME: WHY`,
/// `nodedev-vm: NOTE TEXT`.
pub(super) const PREFIX: &str = "nodedev-vm: ";
/// A part of the tests: `tests/vm/NAME.sh`.
pub(super) struct Part {
    pub(super) name: &'static str,
    /// Whether it has a table `NAME.table`, a check each line, its name first.
    has_table: bool,
    /// Its checks that are in no table.
    others: &'static [&'static str],
}

/// All parts of each guest, in its order. The guests run at once, and take about as long: an emulated one takes no more than one
/// processor.
pub(super) const PARTS: [&[Part]; 2] = [
    &[
        Part { name: "cli", has_table: true, others: &[] },
        Part { name: "virsh", has_table: true, others: &[] },
        Part { name: "guard", has_table: true, others: &[] },
        Part { name: "service", has_table: true, others: &[] },
    ],
    &[
        Part {
            name: "mdev",
            has_table: true,
            others: &["mdev: devices were really made, by libvirt and by us"],
        },
        Part { name: "plug", has_table: true, others: &[] },
        Part { name: "npiv", has_table: true, others: &[] },
        Part {
            name: "kills",
            has_table: false,
            others: &["nodedev survives kill -9", "nodedevd survives kill -9"],
        },
    ],
];
/// What a guest ends with, and its parts.
const AT_THE_END: &str = "the kernel complains of nothing: ";

/// The checks that ended, by name.
pub(super) struct Report {
    expected: BTreeSet<String>,
    ended: BTreeMap<String, Result<(), String>>,
}

impl Report {
    /// Expects nothing.
    pub(super) fn new() -> Self {
        Self { expected: BTreeSet::new(), ended: BTreeMap::new() }
    }

    /// Expects the checks of these parts of one guest, whose tables are in a folder. Gives their names.
    pub(super) fn expect(&mut self, parts: &[&Part], folder: &Path) -> Result<String> {
        let names_of_parts = parts.iter().map(|part| part.name).collect::<Vec<_>>().join(",");
        let expected = &mut self.expected;
        expected.insert(format!("{AT_THE_END}{names_of_parts}"));
        for part in parts {
            expected.extend(part.others.iter().map(|&name| name.to_owned()));
            if part.has_table {
                let table = format!("{}.table", part.name);
                let text = fs::read_to_string(folder.join(&table))
                    .with_context(|| format!("cannot read {table}"))?;
                expected.extend(names(&text).map(str::to_owned));
            }
        }
        Ok(names_of_parts)
    }

    /// Takes a line of the console; whether it is one for us.
    pub(super) fn take(&mut self, line: &str) -> bool {
        let Some((_, said)) = line.split_once(PREFIX) else { return false };
        if let Some(name) = said.strip_prefix("PASS ") {
            self.ended.entry(name.to_owned()).or_insert(Ok(()));
        } else if let Some(said) = said.strip_prefix("FAIL ") {
            // Names have colons in them.
            let known = self.expected.iter().find_map(|name| {
                said.strip_prefix(name.as_str())?.strip_prefix(": ").map(|why| (name.as_str(), why))
            });
            let (name, why) = known.or_else(|| said.split_once(": ")).unwrap_or((said, ""));
            self.ended.insert(name.to_owned(), Err(why.to_owned()));
        }
        true
    }

    /// Prints what failed, or was never said, and how many checks passed. Gives the number of those that did not.
    pub(super) fn finish(&self) -> usize {
        let failed =
            self.ended.iter().filter_map(|(name, ended)| Some((name, ended.as_ref().err()?.as_str())));
        let silent = self.expected.iter().filter(|&name| !self.ended.contains_key(name));
        let bad: Vec<_> = failed.chain(silent.map(|name| (name, "the guest did not get to it"))).collect();
        for (name, why) in &bad {
            println!("FAILED   {name}: {why}");
        }
        let passed = self.ended.values().filter(|ended| ended.is_ok()).count();
        println!("{passed} checks passed; {} failed", bad.len());
        bad.len()
    }
}

/// Names of the checks of a table; lines without one only prepare the next.
fn names(table: &str) -> impl Iterator<Item = &str> {
    table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split('|').next())
        .map(str::trim)
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let expected =
            names("# about\nPCI: a card | x\n | prepare\n\na disk | y | z\n").map(str::to_owned).collect();
        Report { expected, ended: BTreeMap::new() }
    }

    #[test]
    fn checks_that_all_passed_are_no_failure() {
        let mut report = report();
        assert!(report.take("nodedev-vm: PASS PCI: a card") && report.take("nodedev-vm: PASS a disk"));
        assert!(report.take("nodedev-vm: NOTE hello") && !report.take("something else"));
        assert_eq!(report.finish(), 0);
    }

    #[test]
    fn checks_that_failed_or_said_nothing_count() {
        let mut report = report();
        assert!(
            report.take("junk nodedev-vm: FAIL PCI: a card: it is: gone")
                && report.take("nodedev-vm: PASS PCI: a card")
        );
        assert_eq!(report.finish(), 2);
        assert_eq!(report.ended["PCI: a card"], Err("it is: gone".to_owned()));
    }
}
