//! One running libvirtd in its namespaces.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Libvirt, PeerError, Scene, privileged, tails};
use crate::answers::lines;

/// Until when a daemon has to have answered. Thousands of devices take libvirt seconds; 50,000 take it minutes.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at whether it is up.
const PAUSE: Duration = Duration::from_millis(50);
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
    virsh: PathBuf,
    uri: String,
}

impl Daemon {
    pub(super) fn start(libvirt: &Libvirt, scene: &Scene) -> Result<Self, PeerError> {
        // Not $TMPDIR: the path of a Unix socket has at most 107 bytes.
        let work = tempfile::Builder::new()
            .prefix("nodedev-peer-")
            .tempdir_in("/tmp")
            .map_err(PeerError::io("make a working directory"))?;
        let script = work.path().join("libvirtd.sh");
        fs::write(&script, include_str!("libvirtd.sh")).map_err(PeerError::io("write libvirtd.sh"))?;

        let mut command = privileged("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
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
        let mut daemon = Self { child, work, virsh: libvirt.virsh.clone(), uri };
        let root = match scene {
            Scene::Tree(tree) => tree.as_path(),
            Scene::Live | Scene::Network(_) => Path::new("/"),
        };
        daemon.wait_for(&socket, definitions(root))?;
        Ok(daemon)
    }

    /// Waits until the daemon has answered, the answer stays the same, and defined devices are in it.
    fn wait_for(&mut self, socket: &Path, definitions: usize) -> Result<(), PeerError> {
        let until = Instant::now() + PATIENCE;
        let mut answered: Option<Instant> = None;
        let mut last: Option<(Instant, String)> = None;
        while Instant::now() < until {
            let ended = self.child.try_wait().map_err(PeerError::io("wait for libvirtd"))?.is_some();
            if ended {
                break;
            }
            if socket.exists()
                && let Ok(list) = self.virsh(&["nodedev-list", "--all"])
            {
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

    /// The connection URI under which any libvirt client reaches this daemon.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Runs one `virsh` command and returns its output without the blank line that virsh ends lists with.
    ///
    /// # Errors
    /// [`PeerError::Virsh`] if it fails.
    pub fn virsh(&self, command: &[&str]) -> Result<String, PeerError> {
        let failed = |message: String| PeerError::Virsh { command: command.join(" "), message };
        let output = Command::new(&self.virsh)
            .args(["--connect", &self.uri])
            .args(command)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .map_err(PeerError::io("run virsh"))?;
        if !output.status.success() {
            return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let text = String::from_utf8(output.stdout).map_err(|_| failed("its output is not UTF-8".into()))?;
        Ok(lines(&text))
    }

    /// Runs many commands in one `virsh` and returns its standard output; a command that fails only leaves its part out.
    pub(super) fn virsh_script(&self, script: &str) -> Result<Vec<u8>, PeerError> {
        let output = Command::new(&self.virsh)
            .args(["--connect", &self.uri, script])
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .map_err(PeerError::io("run virsh"))?;
        Ok(output.stdout)
    }

    /// A command that runs `program` where the daemon runs: same mounts, same network.
    ///
    /// # Errors
    /// If the daemon's processes can't be found, because it ended.
    pub fn inside(&self, program: &Path) -> Result<Command, PeerError> {
        let mut pid = self.child.id();
        // Under sudo the child is sudo, and unshare one of its descendants.
        while fs::read_to_string(format!("/proc/{pid}/comm"))
            .map_err(PeerError::io("find the daemon"))?
            .trim()
            != "unshare"
        {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
                .map_err(PeerError::io("find the daemon"))?;
            pid = children
                .split_whitespace()
                .next()
                .and_then(|text| text.parse().ok())
                .ok_or_else(|| PeerError::NotUp { log: self.log() })?;
        }
        let mut command = privileged("nsenter");
        command.arg("--target").arg(pid.to_string()).args(["--mount", "--net", "--root"]).arg(program);
        Ok(command)
    }
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
