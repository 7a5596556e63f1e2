//! A real polkit decides who gets in and what they may do, for `nodedevd` and the real daemon alike.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use nodedev_interop::Failure;
use nodedev_testkit::peer::{Daemon, Libvirt, Nodedevd, Scene};
use nodedev_testkit::programs;

use crate::{Comparison, fixture, said};

/// Users that every Debian has, and that may do nothing by themselves: number and name.
const ALLOWED: (u32, &str) = (65534, "nobody");
const REFUSED: (u32, &str) = (1, "daemon");
/// Would have to prove who they are, and have nobody to ask them.
const ASKED: (u32, &str) = (2, "bin");

/// A device that a rule keeps from some, one below it, and one about which they may know no more than that it is there.
const HIDDEN: &str = "pci_0000_03_00_0";
const CHILD: &str = "net_enp3s0_52_54_00_aa_00_00";
const UNREAD: &str = "pci_0000_01_00_0";

/// Until when libvirt has to know all devices, also those it asks mdevctl for.
const PATIENCE: Duration = Duration::from_secs(30);

const AUTH: &str = "auth_unix_rw = \"polkit\"\nauth_unix_ro = \"polkit\"\n";
const ACCESS: &str = "access_drivers = [ \"polkit\" ]\n";

/// Both daemons beside one system bus and one polkit.
struct Guarded {
    ours: Nodedevd,
    real: Daemon,
    work: tempfile::TempDir,
    _root: tempfile::TempDir,
}

impl Guarded {
    /// `lacking` is what is not started of bus and polkit.
    fn start(rules: &str, conf: &str, lacking: Option<&str>) -> Result<Self, Failure> {
        let root = fixture("kitchen-sink")?.unpack()?;
        let work = tempfile::Builder::new().prefix("nodedev-polkit-").tempdir_in("/tmp")?;
        fs::set_permissions(work.path(), fs::Permissions::from_mode(0o755))?;
        let file = |name: &str| work.path().join(name);
        fs::write(file("rules"), rules)?;
        fs::write(file("conf"), conf)?;
        fs::write(file("polkit.sh"), include_str!("polkit.sh"))?;
        if let Some(lacking) = lacking {
            fs::write(file(lacking), "")?;
        }
        let launcher = file("launcher");
        let dir = work.path().display();
        fs::write(&launcher, format!("#!/bin/sh\nexec sh {dir}/polkit.sh {dir} \"$@\"\n"))?;
        fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755))?;
        // Where other users can run it.
        fs::copy(programs::nodedev()?, file("nodedev"))?;

        // Started only: polkit knows nobody outside of its namespace, so who waits there is refused.
        let real = Libvirt::find()?.through(launcher).launch(&Scene::Tree(root.path().to_owned()))?;
        let beside = real.beside(&Nodedevd::program()?)?;
        let ours = Nodedevd::launched_at(beside, root.path(), &format!("{AUTH}log_level = 2\n{conf}"))?;
        let guarded = Self { ours, real, work, _root: root };
        let until = Instant::now() + PATIENCE;
        loop {
            let [real, ours] = guarded.virsh(0, false, "nodedev-list --all")?;
            if real == ours {
                return Ok(guarded);
            }
            if Instant::now() > until {
                return Err(format!("the same devices never came\n{real}\n{ours}").into());
            }
        }
    }

    /// The socket of each daemon, with or without the right to change something.
    fn sockets(&self, read_only: bool) -> [PathBuf; 2] {
        let both = [self.real.uri(), self.ours.uri()];
        let socket = |uri: &str| uri.split_once('=').map_or("", |(_, socket)| socket).to_owned();
        both.map(|uri| PathBuf::from(socket(uri) + if read_only { "-ro" } else { "" }))
    }

    /// Runs a program as a user.
    fn run(&self, user: u32, program: &Path, words: &[&str]) -> Result<Output, Failure> {
        let mut command = self.real.beside(Path::new("setpriv"))?;
        command.arg(format!("--reuid={user}")).arg(format!("--regid={user}")).arg("--clear-groups");
        command.arg(program).args(words).env("LC_ALL", "C").env("HOME", "/nonexistent");
        Ok(command.stdin(Stdio::null()).output()?)
    }

    /// What virsh says as a user, with the real daemon and with ours.
    fn virsh(&self, user: u32, read_only: bool, words: &str) -> Result<[String; 2], Failure> {
        let mut both = [String::new(), String::new()];
        for (said_by, socket) in both.iter_mut().zip(self.sockets(read_only)) {
            let uri = format!("nodedev:///system?socket={}", socket.display());
            let words: Vec<&str> = ["-c", &uri].into_iter().chain(words.split(' ')).collect();
            *said_by = said(&self.run(user, Path::new("virsh"), &words)?, &uri);
        }
        Ok(both)
    }

    /// What our own client says as a user, with each daemon.
    fn nodedev(&self, user: u32, words: &str) -> Result<[String; 2], Failure> {
        let mut both = [String::new(), String::new()];
        for (said_by, socket) in both.iter_mut().zip(self.sockets(true)) {
            let uri = format!("nodedev:///system?socket={}", socket.display());
            let words: Vec<&str> = ["-c", &uri].into_iter().chain(words.split(' ')).collect();
            *said_by = said(&self.run(user, &self.work.path().join("nodedev"), &words)?, &uri);
        }
        Ok(both)
    }
}

/// Compares what is said of both, and holds it against a part of what has to be said.
fn agree(to: &mut Comparison, what: &str, [real, ours]: [String; 2], expected: &str) {
    assert!(ours.contains(expected), "{what}: no '{expected}' in {ours}");
    to.add(what, &real, &ours);
}

#[test]
#[ignore = "asks polkit and the real libvirt: cargo xtask test"]
fn polkit_lets_in_whom_its_rules_let_in() -> Result<(), Failure> {
    let rules = format!(
        "polkit.addRule(function(action, subject) {{
            if (action.id == 'org.libvirt.unix.manage' || action.id == 'org.libvirt.unix.monitor') {{
                switch (subject.user) {{
                    case '{}': return polkit.Result.YES;
                    case '{}': return polkit.Result.NO;
                    case '{}': return polkit.Result.AUTH_ADMIN;
                }}
            }}
        }});",
        ALLOWED.1, REFUSED.1, ASKED.1
    );
    let guarded = Guarded::start(&rules, "", None)?;
    let mut comparison = Comparison::default();
    let agent = |action: &str| {
        format!(
            "error: authentication unavailable: no polkit agent available to authenticate action 'org.libvirt.unix.{action}'"
        )
    };
    let refused = "error: authentication failed: access denied by policy".to_owned();
    for (read_only, action) in [(false, "manage"), (true, "monitor")] {
        // Root is never asked about; a name tells that the list came.
        for (user, expected) in [
            (0, "computer".to_owned()),
            (ALLOWED.0, "computer".to_owned()),
            (REFUSED.0, refused.clone()),
            (ASKED.0, agent(action)),
        ] {
            let answers = guarded.virsh(user, read_only, "nodedev-list")?;
            agree(&mut comparison, &format!("{action} as {user}"), answers, &expected);
        }
    }
    for (user, expected) in
        [(ALLOWED.0, "computer"), (REFUSED.0, "authentication failed: access denied by policy")]
    {
        agree(&mut comparison, &format!("nodedev as {user}"), guarded.nodedev(user, "list")?, expected);
    }
    let log = guarded.ours.log();
    assert!(log.contains("a login was refused"), "{log}");
    comparison.verdict("logins")
}

#[test]
#[ignore = "asks polkit and the real libvirt: cargo xtask test"]
fn nobody_to_ask_is_told_clearly_and_root_gets_in() -> Result<(), Failure> {
    let mut comparison = Comparison::default();
    for (lacking, logged, expected) in [
        ("no-bus", "there is no system bus", "error: internal error: Unable to get system bus connection: "),
        ("no-polkit", "polkit does not answer; is polkitd installed and running?", "error: "),
    ] {
        let guarded = Guarded::start("", "", Some(lacking))?;
        for (user, expected) in [(ALLOWED.0, expected), (0, "computer")] {
            let answers = guarded.virsh(user, false, "nodedev-list")?;
            agree(&mut comparison, &format!("{lacking} as {user}"), answers, expected);
        }
        let log = guarded.ours.log();
        assert!(log.contains(logged), "{lacking}: {log}");
    }
    comparison.verdict("nobody to ask")
}

#[test]
#[ignore = "asks polkit and the real libvirt: cargo xtask test"]
fn each_call_is_allowed_or_denied_by_rules_about_the_device() -> Result<(), Failure> {
    let rules = format!(
        "polkit.addRule(function(action, subject) {{
            var device = action.lookup('node_device_name');
            if (action.id == 'org.libvirt.unix.manage') return polkit.Result.YES;
            if (action.id.indexOf('org.libvirt.api.') != 0 || subject.user != '{}') return undefined;
            if (action.lookup('connect_driver') != 'nodedev') return polkit.Result.NO;
            if (device == '{HIDDEN}') return polkit.Result.NO;
            if (device == '{UNREAD}' && action.id == 'org.libvirt.api.node-device.read') return polkit.Result.NO;
            return polkit.Result.YES;
        }});",
        ALLOWED.1
    );
    let guarded = Guarded::start(&rules, ACCESS, None)?;
    let document = guarded.work.path().join("device.xml");
    fs::write(
        &document,
        format!(
            "<device><parent>{HIDDEN}</parent><capability type='mdev'><type id='t'/></capability></device>"
        ),
    )?;
    fs::set_permissions(&document, fs::Permissions::from_mode(0o644))?;
    let document = document.display().to_string();
    let mut comparison = Comparison::default();
    let denied = "error: access denied: 'nodedev' denied access";
    for (user, words, expected) in [
        (ALLOWED.0, "nodedev-list --all", UNREAD),
        (ALLOWED.0, "nodedev-list --tree", UNREAD),
        (ALLOWED.0, "nodedev-list --cap pci", ""),
        (ALLOWED.0, &format!("nodedev-dumpxml {HIDDEN}"), denied),
        (ALLOWED.0, &format!("nodedev-info {HIDDEN}"), denied),
        (ALLOWED.0, &format!("nodedev-dumpxml {UNREAD}"), denied),
        (ALLOWED.0, &format!("nodedev-info {UNREAD}"), UNREAD),
        (ALLOWED.0, &format!("nodedev-dumpxml {CHILD}"), "<device>"),
        (ALLOWED.0, &format!("nodedev-info {CHILD}"), CHILD),
        (
            ALLOWED.0,
            "nodedev-dumpxml nosuch",
            "Node device not found: no node device with matching name 'nosuch'",
        ),
        (ALLOWED.0, "nodedev-event --event lifecycle --timeout 1", "events received: 0"),
        // The shipped policy lets everybody look, and nobody change.
        (REFUSED.0, "nodedev-list --all", HIDDEN),
        (REFUSED.0, &format!("nodedev-dumpxml {HIDDEN}"), "<device>"),
        (REFUSED.0, &format!("nodedev-destroy {HIDDEN}"), denied),
        (REFUSED.0, &format!("nodedev-create {document}"), denied),
        (REFUSED.0, &format!("nodedev-define {document}"), denied),
        // Who may do what is no question for root.
        (0, "nodedev-list --all", HIDDEN),
        (0, &format!("nodedev-dumpxml {HIDDEN}"), "<device>"),
    ] {
        let answers = guarded.virsh(user, false, words)?;
        agree(&mut comparison, &format!("{words} as {user}"), answers, expected);
    }
    // The real daemon can't do these without a hypervisor, and says so before it looks who asks.
    for user in [ALLOWED.0, REFUSED.0] {
        for words in ["nodedev-detach", "nodedev-reattach", "nodedev-reset"] {
            let [_, ours] = guarded.virsh(user, false, &format!("{words} {HIDDEN}"))?;
            assert!(ours.contains(denied), "{words} as {user}: {ours}");
        }
    }
    let [listed, _] = guarded.virsh(ALLOWED.0, false, "nodedev-list --all")?;
    assert!(!listed.contains(HIDDEN), "{listed}");
    let [_, ours] = guarded.nodedev(ALLOWED.0, "list")?;
    assert!(ours.contains(UNREAD) && !ours.contains(HIDDEN), "{ours}");
    comparison.verdict("calls")
}
