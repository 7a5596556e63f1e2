//! The real `virsh` as a client of any daemon, and everything that a daemon has to say through it, as [`Answers`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::PeerError;
use crate::answers::{Answers, CAPABILITIES, LISTS, lines};

/// A single argument of a program has at most 128 KiB; a name at most some 250 bytes, and it is given twice.
const NAMES_PER_SCRIPT: usize = 200;
const MARK: &str = "@@ ";

/// The real `virsh`, connected to one daemon: libvirt's or ours.
#[derive(Debug, Clone)]
pub struct Virsh {
    program: PathBuf,
    uri: String,
}

impl Virsh {
    pub(super) fn new(program: PathBuf, uri: String) -> Self {
        Self { program, uri }
    }

    /// The URI under which any libvirt client reaches the daemon.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The command, to which words of virsh can be added: `nodedev-list`, `--tree` …
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--connect", &self.uri]).env("LC_ALL", "C").stdin(Stdio::null());
        command
    }

    /// Runs one command, with whatever exit status.
    ///
    /// # Errors
    /// If `virsh` can't be run.
    pub fn output(&self, words: &[&str]) -> Result<Output, PeerError> {
        self.command().args(words).output().map_err(PeerError::io("run virsh"))
    }

    /// Runs one command and returns its output without the blank line that virsh ends lists with.
    ///
    /// # Errors
    /// [`PeerError::Virsh`] if it fails.
    pub fn text(&self, words: &[&str]) -> Result<String, PeerError> {
        let failed = |message: String| PeerError::Virsh { command: words.join(" "), message };
        let output = self.output(words)?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let text = String::from_utf8(output.stdout).map_err(|_| failed("its output is not UTF-8".into()))?;
        Ok(lines(&text))
    }

    /// Asks for every list, filter, the tree and every document.
    ///
    /// # Errors
    /// If `virsh` fails. A device that went away meanwhile is only missing in the documents.
    pub fn answers(&self) -> Result<Answers, PeerError> {
        let mut answers = Answers::default();
        for list in LISTS {
            let mut command = vec!["nodedev-list"];
            command.extend(list.options);
            answers.lists.insert(list.name.to_owned(), self.text(&command)?);
        }
        answers.tree = self.text(&["nodedev-list", "--tree"])?;
        for capability in CAPABILITIES {
            answers.by_capability.insert(
                (*capability).to_owned(),
                self.text(&["nodedev-list", "--all", "--cap", capability])?,
            );
        }
        let all = answers.names("list-all");
        let persistent = answers.persistent();
        answers.xml = self.documents(&all, false)?;
        answers.inactive_xml = self.documents(&persistent, true)?;
        for name in persistent {
            answers.info.insert(name.clone(), self.text(&["nodedev-info", &name])?);
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
            // A command that fails only leaves its part out.
            let output = self.output(&[&format!("{script}echo '{MARK}'")])?.stdout;
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
