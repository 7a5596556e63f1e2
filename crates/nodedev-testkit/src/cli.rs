//! The command line of nodedev as a peer: built once, run as a person would, asked what the real libvirt is asked.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::answers::{Answers, CAPABILITIES, LISTS, lines};
use crate::programs::nodedev;

/// The program with options that go before every subcommand, such as `--root DIR`.
#[derive(Debug, Clone)]
pub struct Cli {
    program: PathBuf,
    options: Vec<std::ffi::OsString>,
}

impl Cli {
    /// The program on this machine.
    ///
    /// # Errors
    /// If it can't be built.
    pub fn live() -> io::Result<Self> {
        Ok(Self { program: nodedev()?, options: Vec::new() })
    }

    /// The program on a host in a folder or archive.
    ///
    /// # Errors
    /// If it can't be built.
    pub fn at(root: &Path) -> io::Result<Self> {
        Ok(Self { program: nodedev()?, options: vec!["--root".into(), root.into()] })
    }

    /// Runs it, with whatever exit status.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> io::Result<Output> {
        self.run_as(&mut Command::new(&self.program), arguments)
    }

    /// Runs it through `launcher`, a command that ends where the program's own arguments begin.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn run_as<S: AsRef<OsStr>>(
        &self,
        launcher: &mut Command,
        arguments: impl IntoIterator<Item = S>,
    ) -> io::Result<Output> {
        launcher.args(&self.options).args(arguments).stdin(Stdio::null()).env("LC_ALL", "C").output()
    }

    /// The program's path, for a launcher.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Puts every question to it.
    ///
    /// # Errors
    /// If it can't be run, fails, or writes files that can't be read.
    pub fn answers(&self) -> io::Result<Answers> {
        self.answers_as(|program| Ok(Command::new(program)))
    }

    /// Puts every question to it, started by what `launcher` makes of its path.
    ///
    /// # Errors
    /// If it can't be run, fails, or writes files that can't be read.
    pub fn answers_as(&self, launcher: impl Fn(&Path) -> io::Result<Command>) -> io::Result<Answers> {
        let text = |arguments: &[&str]| -> io::Result<String> {
            let output = self.run_as(&mut launcher(&self.program)?, arguments)?;
            if !output.status.success() {
                let message = String::from_utf8_lossy(&output.stderr);
                return Err(io::Error::other(format!("nodedev {}: {message}", arguments.join(" "))));
            }
            String::from_utf8(output.stdout).map(|text| lines(&text)).map_err(io::Error::other)
        };
        let mut answers = Answers::default();
        for list in LISTS {
            let arguments: Vec<&str> = [&["list"], list.options].concat();
            answers.lists.insert(list.name.to_owned(), text(&arguments)?);
        }
        answers.tree = text(&["list", "--tree"])?;
        for capability in CAPABILITIES {
            answers.by_capability.insert((*capability).to_owned(), text(&["list", "--cap", capability])?);
        }
        for name in answers.persistent() {
            let info = text(&["info", &name])?;
            answers.info.insert(name, info);
        }
        answers.xml = documents(text, &["dumpxml", "--all"], "")?;
        answers.inactive_xml = documents(text, &["dumpxml", "--all", "--inactive"], ".inactive")?;
        Ok(answers)
    }
}

fn documents(
    run: impl Fn(&[&str]) -> io::Result<String>,
    command: &[&str],
    suffix: &str,
) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let out = tempfile::tempdir()?;
    let Some(dir) = out.path().to_str() else {
        return Err(io::Error::other("the temporary directory is not UTF-8"));
    };
    run(&[command, &["--output-dir", dir]].concat())?;
    let mut documents = BTreeMap::new();
    for entry in std::fs::read_dir(out.path())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let name = name.strip_suffix(".xml").unwrap_or(&name);
        documents.insert(name.strip_suffix(suffix).unwrap_or(name).to_owned(), std::fs::read(entry.path())?);
    }
    Ok(documents)
}
