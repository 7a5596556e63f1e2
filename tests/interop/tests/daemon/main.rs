//! Unmodified clients of libvirt against `nodedevd` and against the real daemon, on the same hosts: what they print and
//! how they end must be the same.

mod activation;
mod polkit;
mod python;
mod rust;
mod stock;
mod virsh;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use nodedev_interop::Failure;
use nodedev_testkit::compare::{Tolerance, in_words_of, normalized};
use nodedev_testkit::fixtures::{self, Fixture};
use nodedev_testkit::peer::{Daemon, Libvirt, Nodedevd, Scene};

/// Both daemons over one host.
struct Pair {
    real: Daemon,
    ours: Nodedevd,
    _root: tempfile::TempDir,
}

impl Pair {
    fn on(fixture: &Fixture) -> Result<Self, Failure> {
        let root = fixture.unpack()?;
        Self::over(root)
    }

    fn over(root: tempfile::TempDir) -> Result<Self, Failure> {
        let real = Libvirt::find()?.start(&Scene::Tree(root.path().to_owned()))?;
        let ours = Nodedevd::at(root.path())?;
        Ok(Self { real, ours, _root: root })
    }
}

fn fixture(name: &str) -> Result<Fixture, Failure> {
    let found = fixtures::all()?.into_iter().find(|fixture| fixture.name() == name);
    found.ok_or_else(|| format!("there is no recorded host {name}").into())
}

/// What a client did, as far as two runs can be compared: exit status and what it said. Where each daemon listens and
/// the orders that the kernel does not define are set aside.
fn said(output: &Output, uri: &str) -> String {
    let socket = uri.split_once('=').map_or(uri, |(_, socket)| socket);
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(&normalized(bytes, Tolerance::Recording)).into_owned();
        text.replace(uri, "URI").replace(socket, "SOCKET")
    };
    format!("{}\n{}stderr:\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// The same without what a schema has against a document, which libvirt tells in libxml2's words and we in ours.
fn without_schema_mistakes(said: &str) -> String {
    const HEAD: &str = "Unable to validate doc against";
    match said.split_once(HEAD) {
        Some((before, _)) => format!("{before}{HEAD}\n"),
        None => said.to_owned(),
    }
}

/// The lines in alphabetical order, for what comes in the order of libvirt's hash table or of a folder.
fn sorted(said: &str) -> String {
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// Collects where the two differ.
#[derive(Default)]
struct Comparison {
    compared: usize,
    report: String,
}

impl Comparison {
    fn add(&mut self, what: &str, real: &str, ours: &str) {
        self.compared += 1;
        let ours = in_words_of(real, ours);
        if real != ours {
            let _ = writeln!(self.report, "== {what}\n-- libvirt\n{real}\n-- nodedevd\n{ours}");
        }
    }

    fn verdict(self, what: &str) -> Result<(), Failure> {
        println!("{what}: {} answers compared", self.compared);
        if self.report.is_empty() { Ok(()) } else { Err(format!("{what}\n{}", self.report).into()) }
    }
}

/// Runs a script of an interpreter on both, with the daemon's URI as its only argument.
fn script_on_both(pair: &Pair, interpreter: &str, script: &Path) -> Result<(String, String), Failure> {
    let run = |uri: &str| -> Result<String, Failure> {
        let output = Command::new(interpreter)
            .arg(script)
            .arg(uri)
            .env("LC_ALL", "C.UTF-8")
            .env("LIBVIRT_DEFAULT_URI", uri)
            .output()?;
        Ok(said(&output, uri))
    };
    Ok((run(pair.real.uri())?, run(pair.ours.uri())?))
}

/// Names of the host by what they begin with, for commands that need one of a kind.
fn first_of_each(names: &[String]) -> BTreeMap<&str, &str> {
    let mut first = BTreeMap::new();
    for name in names {
        let kind = name.split('_').next().unwrap_or(name);
        first.entry(kind).or_insert(name.as_str());
    }
    first
}
