//! One running libvirtd in its namespaces.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Libvirt, PeerError, Scene, Virsh, privileged, tails, unshare};
use crate::answers::Answers;

/// Until when a daemon has to have answered. Thousands of devices take libvirt seconds; 50,000 take it minutes.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at whether it is up.
const PAUSE: Duration = Duration::from_millis(50);
/// The same where every millisecond is measured.
const SOON: Duration = Duration::from_millis(2);
/// For how long the list has to stay the same.
const SETTLED: Duration = Duration::from_millis(200);
/// How long defined mediated devices may take to appear: libvirt asks mdevctl for them after its first answer. Those
/// that it does not show, because something is wrong with them, cost this once.
const DEFINITIONS: Duration = Duration::from_secs(10);

/// A real libvirtd that looks at one [`Scene`]. Dropping it ends the daemon and everything it started.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    work: TempDir,
    virsh: Virsh,
}

impl Daemon {
    pub(super) fn start(libvirt: &Libvirt, scene: &Scene) -> Result<Self, PeerError> {
        let mut daemon = Self::launch(libvirt, scene)?;
        let root = match scene {
            Scene::Tree(tree) => tree.as_path(),
            Scene::Live | Scene::Network(_) => Path::new("/"),
        };
        daemon.wait_for(definitions(root))?;
        Ok(daemon)
    }

    pub(super) fn launch(libvirt: &Libvirt, scene: &Scene) -> Result<Self, PeerError> {
        // Not $TMPDIR: the path of a Unix socket has at most 107 bytes.
        let work = tempfile::Builder::new()
            .prefix("nodedev-peer-")
            .tempdir_in("/tmp")
            .map_err(PeerError::io("make a working directory"))?;
        let script = work.path().join("libvirtd.sh");
        fs::write(&script, include_str!("libvirtd.sh")).map_err(PeerError::io("write libvirtd.sh"))?;

        let mut command = unshare()?;
        let tree = match scene {
            Scene::Live => PathBuf::from("live"),
            Scene::Network(links) => {
                let lines: String = links.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
                fs::write(work.path().join("links"), lines)
                    .map_err(PeerError::io("write the link commands"))?;
                command.arg("--net");
                PathBuf::from("net")
            }
            Scene::Tree(tree) => {
                command.arg("--net");
                tree.canonicalize().map_err(PeerError::io(format!("open {}", tree.display())))?
            }
        };
        command.arg("sh").arg(&script).arg(work.path()).arg(&libvirt.libvirtd).arg(&libvirt.driver).arg(tree);
        let stderr =
            fs::File::create(work.path().join("stderr")).map_err(PeerError::io("make a log file"))?;
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .map_err(PeerError::io("run unshare"))?;

        let socket = work.path().join("sock/libvirt-sock");
        let uri = format!("nodedev+unix:///system?socket={}", socket.display());
        let mut daemon = Self { child, work, virsh: Virsh::new(libvirt.virsh.clone(), uri) };
        let until = Instant::now() + PATIENCE;
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            let ended = daemon.child.try_wait().map_err(PeerError::io("wait for libvirtd"))?.is_some();
            if ended || Instant::now() >= until {
                return Err(PeerError::NotUp { log: daemon.log() });
            }
            std::thread::sleep(SOON);
        }
        Ok(daemon)
    }

    /// The process of `libvirtd` itself.
    ///
    /// # Errors
    /// If it ended.
    pub fn process(&self) -> Result<u32, PeerError> {
        descendants(self.child.id())
            .into_iter()
            .find(|pid| comm(*pid).is_some_and(|name| name == "libvirtd"))
            .ok_or_else(|| PeerError::NotUp { log: self.log() })
    }

    /// Waits until the daemon has answered, the answer stays the same, and defined devices are in it.
    fn wait_for(&mut self, definitions: usize) -> Result<(), PeerError> {
        let until = Instant::now() + PATIENCE;
        let mut answered: Option<Instant> = None;
        let mut last: Option<(Instant, String)> = None;
        while Instant::now() < until {
            let ended = self.child.try_wait().map_err(PeerError::io("wait for libvirtd"))?.is_some();
            if ended {
                break;
            }
            if let Ok(list) = self.virsh(&["nodedev-list", "--all"]) {
                let complete = list.lines().filter(|name| name.starts_with("mdev_")).count() >= definitions;
                let late = answered.get_or_insert_with(Instant::now).elapsed() >= DEFINITIONS;
                match &last {
                    Some((since, before)) if *before == list => {
                        if since.elapsed() >= SETTLED && (complete || late) {
                            return Ok(());
                        }
                    }
                    _ => last = Some((Instant::now(), list)),
                }
            }
            std::thread::sleep(PAUSE);
        }
        Err(PeerError::NotUp { log: self.log() })
    }

    /// The end of what the daemon and its set-up had to say.
    pub fn log(&self) -> String {
        tails(&["stderr", "libvirtd.out", "libvirtd.log"].map(|name| self.work.path().join(name)))
    }

    /// The real `virsh`, connected to this daemon.
    pub fn client(&self) -> &Virsh {
        &self.virsh
    }

    /// The connection URI under which any libvirt client reaches this daemon.
    pub fn uri(&self) -> &str {
        self.virsh.uri()
    }

    /// Runs one `virsh` command and returns its output without the blank line that virsh ends lists with.
    ///
    /// # Errors
    /// [`PeerError::Virsh`] if it fails.
    pub fn virsh(&self, words: &[&str]) -> Result<String, PeerError> {
        self.virsh.text(words)
    }

    /// Asks for every list, filter, the tree and every document.
    ///
    /// # Errors
    /// If `virsh` fails. A device that went away meanwhile is only missing in the documents.
    pub fn answers(&self) -> Result<Answers, PeerError> {
        self.virsh.answers()
    }

    /// A command that runs `program` where the daemon runs: same mounts, same network.
    ///
    /// # Errors
    /// If the daemon's processes can't be found, because it ended.
    pub fn inside(&self, program: &Path) -> Result<Command, PeerError> {
        self.enter(&["--mount", "--net", "--root"], program)
    }

    /// A command that runs `program` in the network of the daemon, where events of devices can be sent to it, and
    /// otherwise where this process runs.
    ///
    /// # Errors
    /// As [`Daemon::inside`].
    pub fn in_network(&self, program: &Path) -> Result<Command, PeerError> {
        self.enter(&["--net"], program)
    }

    /// A command that runs `program` beside the daemon: same mounts, same network, and in the numbering of processes
    /// that the daemon knows its clients by, and asks polkit by.
    ///
    /// # Errors
    /// As [`Daemon::inside`].
    pub fn beside(&self, program: &Path) -> Result<Command, PeerError> {
        let mut command = privileged("nsenter");
        command.args(["--target", &self.process()?.to_string(), "--mount", "--net", "--root", "--pid"]);
        command.arg(program);
        Ok(command)
    }

    fn enter(&self, namespaces: &[&str], program: &Path) -> Result<Command, PeerError> {
        // Under sudo the child is sudo, and unshare one of its descendants.
        let mut pids = std::iter::once(self.child.id()).chain(descendants(self.child.id()));
        let pid = pids
            .find(|pid| comm(*pid).is_some_and(|name| name == "unshare"))
            .ok_or_else(|| PeerError::NotUp { log: self.log() })?;
        let mut command = privileged("nsenter");
        command.arg("--target").arg(pid.to_string()).args(namespaces).arg(program);
        Ok(command)
    }
}

/// The processes below one, nearest first.
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut next = vec![pid];
    while let Some(pid) = next.pop() {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        for child in children.split_whitespace().filter_map(|text| text.parse().ok()) {
            found.push(child);
            next.push(child);
        }
    }
    found
}

fn comm(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/comm")).ok().map(|name| name.trim().to_owned())
}

/// How many mediated devices are defined on a host: a file for each, in a directory for each parent.
fn definitions(root: &Path) -> usize {
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    entries(&root.join("etc/mdevctl.d"))
        .filter(|parent| parent.file_name() != "scripts.d")
        .map(|parent| entries(&parent.path()).count())
        .sum()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // The script ends when its input does. Its files are root's, so they have gone before the directory goes.
        drop(self.child.stdin.take());
        let until = Instant::now() + Duration::from_secs(10);
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        let _ = privileged("rm").args(["-rf", "--one-file-system"]).arg(self.work.path()).status();
    }
}
