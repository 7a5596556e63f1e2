//! Our own daemon, started as the real one is, so that the same clients can be given either.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Libvirt, PeerError, Virsh, tails};
use crate::programs;

/// Until when it has to listen.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(1);
/// Name of the socket for reading and writing; that of virtnodedevd.
const SOCKET: &str = "virtnodedevd-sock";
/// Configuration with which whoever connects may do everything.
const OPEN: &str = "auth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\n";

/// A running `nodedevd`, without access control where nothing else is said. Dropping it ends it.
#[derive(Debug)]
pub struct Nodedevd {
    command: Command,
    child: Child,
    work: TempDir,
    virsh: Virsh,
}

impl Nodedevd {
    /// Starts it on a folder or archive that stands for a host.
    ///
    /// # Errors
    /// If it can't be built or does not come up.
    pub fn at(root: &Path) -> Result<Self, PeerError> {
        Self::start(Command::new(Self::program()?), &["--root".as_ref(), root.as_os_str()], OPEN)
    }

    /// Starts it on this machine, through `launcher`: a command that ends where the daemon's arguments begin, such as
    /// [`Daemon::inside`](super::Daemon::inside) gives for [`Nodedevd::program`].
    ///
    /// # Errors
    /// If it does not come up.
    pub fn launched(launcher: Command) -> Result<Self, PeerError> {
        Self::start(launcher, &[], OPEN)
    }

    /// Starts another program in its place on a folder or archive.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn program_at(program: &Path, root: &Path) -> Result<Self, PeerError> {
        Self::start(Command::new(program), &["--root".as_ref(), root.as_os_str()], OPEN)
    }

    /// Starts it on a folder or archive, with further lines of configuration.
    ///
    /// # Errors
    /// If it can't be built or does not come up.
    pub fn configured(root: &Path, lines: &str) -> Result<Self, PeerError> {
        let config = format!("{OPEN}{lines}");
        Self::start(Command::new(Self::program()?), &["--root".as_ref(), root.as_os_str()], &config)
    }

    /// Starts it through `launcher` on a folder or archive, with all of its configuration.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn launched_at(launcher: Command, root: &Path, config: &str) -> Result<Self, PeerError> {
        Self::start(launcher, &["--root".as_ref(), root.as_os_str()], config)
    }

    /// The program.
    ///
    /// # Errors
    /// If it can't be built.
    pub fn program() -> Result<PathBuf, PeerError> {
        programs::nodedevd().map_err(PeerError::io("build nodedevd"))
    }

    fn start(mut command: Command, source: &[&std::ffi::OsStr], text: &str) -> Result<Self, PeerError> {
        // Not $TMPDIR: the path of a Unix socket has at most 107 bytes.
        let work = tempfile::Builder::new()
            .prefix("nodedev-ours-")
            .tempdir_in("/tmp")
            .map_err(PeerError::io("make a working directory"))?;
        // Clients of other users get as far as the sockets.
        fs::set_permissions(work.path(), fs::Permissions::from_mode(0o755))
            .map_err(PeerError::io("open the working directory"))?;
        let config = work.path().join("nodedevd.conf");
        fs::write(&config, text).map_err(PeerError::io("write nodedevd.conf"))?;
        let stderr =
            fs::File::create(work.path().join("stderr")).map_err(PeerError::io("make a log file"))?;
        command.arg("--config").arg(&config).arg("--run-dir").arg(work.path()).args(source);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let child = command.spawn().map_err(PeerError::io("run nodedevd"))?;
        let uri = format!("nodedev:///system?socket={}", work.path().join(SOCKET).display());
        let mut this = Self { command, child, work, virsh: Virsh::new(Libvirt::find()?.virsh, uri) };
        this.wait()?;
        Ok(this)
    }

    /// Kills it and starts it again in the same folder, over whatever the first one left there.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn kill_and_restart(&mut self) -> Result<(), PeerError> {
        self.end();
        self.child = self.command.spawn().map_err(PeerError::io("run nodedevd"))?;
        self.wait()
    }

    /// Tells it to end, and says how long that took.
    ///
    /// # Errors
    /// If it does not end by itself.
    pub fn terminate(&mut self) -> Result<Duration, PeerError> {
        let begin = Instant::now();
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(|errno| PeerError::io("end nodedevd")(errno.into()))?;
        while begin.elapsed() < PATIENCE {
            if self.child.try_wait().map_err(PeerError::io("wait for nodedevd"))?.is_some() {
                return Ok(begin.elapsed());
            }
            std::thread::sleep(PAUSE);
        }
        Err(PeerError::NotUp { log: self.log() })
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait(&mut self) -> Result<(), PeerError> {
        let until = Instant::now() + PATIENCE;
        // The path is there a moment before it is listened on.
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            let ended = self.child.try_wait().map_err(PeerError::io("wait for nodedevd"))?.is_some();
            if ended || Instant::now() >= until {
                return Err(PeerError::NotUp { log: self.log() });
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// The socket for reading and writing.
    pub fn socket(&self) -> PathBuf {
        self.work.path().join(SOCKET)
    }

    /// The real `virsh`, connected to it.
    pub fn client(&self) -> &Virsh {
        &self.virsh
    }

    /// The connection URI under which any libvirt client reaches it.
    pub fn uri(&self) -> &str {
        self.virsh.uri()
    }

    /// The folder with its sockets.
    pub fn run_dir(&self) -> &Path {
        self.work.path()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of what it had to say.
    pub fn log(&self) -> String {
        tails(&[self.work.path().join("stderr")])
    }
}

impl Drop for Nodedevd {
    fn drop(&mut self) {
        // It keeps nothing on disk that an orderly end would write; tests of its end do not use this.
        self.end();
    }
}
