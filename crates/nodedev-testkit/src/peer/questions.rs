//! Everything that the real libvirt has to say about its devices, as [`Answers`].

use std::collections::BTreeMap;

use super::{Daemon, PeerError};
use crate::answers::{Answers, CAPABILITIES, LISTS};

/// A single argument of a program has at most 128 KiB; a name at most some 250 bytes, and it is given twice.
const NAMES_PER_SCRIPT: usize = 200;
const MARK: &str = "@@ ";

impl Daemon {
    /// Asks for every list, filter, the tree and every document.
    ///
    /// # Errors
    /// If `virsh` fails. A device that went away meanwhile is only missing in the documents.
    pub fn answers(&self) -> Result<Answers, PeerError> {
        let mut answers = Answers::default();
        for list in LISTS {
            let mut command = vec!["nodedev-list"];
            command.extend(list.options);
            answers.lists.insert(list.name.to_owned(), self.virsh(&command)?);
        }
        answers.tree = self.virsh(&["nodedev-list", "--tree"])?;
        for capability in CAPABILITIES {
            answers.by_capability.insert(
                (*capability).to_owned(),
                self.virsh(&["nodedev-list", "--all", "--cap", capability])?,
            );
        }
        let all = answers.names("list-all");
        let persistent = answers.persistent();
        answers.xml = self.documents(&all, false)?;
        answers.inactive_xml = self.documents(&persistent, true)?;
        for name in persistent {
            answers.info.insert(name.clone(), self.virsh(&["nodedev-info", &name])?);
        }
        Ok(answers)
    }

    /// The XML of each device, or with `inactive` that of its definition.
    ///
    /// # Errors
    /// If `virsh` can't be run.
    pub fn documents(
        &self,
        names: &[String],
        inactive: bool,
    ) -> Result<BTreeMap<String, Vec<u8>>, PeerError> {
        let option = if inactive { " --inactive" } else { "" };
        let mut documents = BTreeMap::new();
        for names in names.chunks(NAMES_PER_SCRIPT) {
            let script: String = names
                .iter()
                .map(|name| format!("echo '{MARK}{name}'; nodedev-dumpxml {name}{option}; "))
                .collect();
            let output = self.virsh_script(&format!("{script}echo '{MARK}'"))?;
            let mut rest = output.as_slice();
            for name in names {
                let mark = format!("{MARK}{name}\n");
                let Some(after) = find(rest, mark.as_bytes()).map(|at| &rest[at + mark.len()..]) else {
                    continue;
                };
                let end = find(after, MARK.as_bytes()).unwrap_or(after.len());
                let (text, following) = after.split_at(end);
                rest = following;
                // virsh ends each command with a blank line of its own.
                let text = text.strip_suffix(b"\n").unwrap_or(text);
                if text.starts_with(b"<device>") {
                    documents.insert(name.clone(), text.to_vec());
                }
            }
        }
        Ok(documents)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
