//! The real libvirt as a peer: its node device driver over any tree, or over this machine.
//!
//! Debian and Ubuntu ship no `virtnodedevd`; their `libvirtd` with nothing but the node device driver in its driver
//! directory is the same code. It runs in mount, PID and network namespaces of its own, so that neither the libvirt
//! of this machine, if there is one, nor its files are touched. `cargo xtask test` installs what this needs.
//!
//! ```no_run
//! use nodedev_testkit::peer::{Libvirt, Scene};
//!
//! let libvirt = Libvirt::find()?;
//! let daemon = libvirt.start(&Scene::Tree("/tmp/host".into()))?;
//! print!("{}", daemon.virsh(&["nodedev-list", "--tree"])?);
//! # Ok::<(), nodedev_testkit::peer::PeerError>(())
//! ```

mod daemon;
mod nodedevd;
mod questions;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, io};

pub use daemon::Daemon;
pub use nodedevd::Nodedevd;
pub use questions::Virsh;

/// Why the real libvirt could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Something that has to be installed is not.
    #[error("{what} is not installed: run `cargo xtask test`, which installs it, or pass --offline")]
    Missing {
        /// Program or file that was looked for.
        what: String,
    },
    /// A program could not be started or read.
    #[error("cannot {doing}")]
    Io {
        /// What was being done, as a verb and its object.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Nothing can be mounted that the rest of the machine does not see.
    #[error(
        "the root directory is no mount point, as in a plain chroot, and a mount of a test's own can't be made there: bind the \
         folder on itself (`mount --bind DIR DIR`) and `pivot_root` into it, in a mount namespace; CONTRIBUTING.md has the commands"
    )]
    RootIsNoMountPoint,
    /// The daemon ended, or did not answer in time.
    #[error("libvirtd did not come up: {log}")]
    NotUp {
        /// The end of its log and of its standard error.
        log: String,
    },
    /// `virsh` failed.
    #[error("virsh {command}: {message}")]
    Virsh {
        /// The command given to it.
        command: String,
        /// What it wrote to standard error.
        message: String,
    },
}

impl PeerError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// What the real libvirt is to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scene {
    /// This machine as it is, with its network devices.
    Live,
    /// This machine, but in a new network namespace, with the interfaces that these commands of `ip` make, such as
    /// `link add br0 type bridge`. One that this kernel can't make is left out.
    Network(Vec<String>),
    /// A folder that stands for `/`: a testkit host or an unpacked recording.
    Tree(PathBuf),
}

/// An installed libvirt with a node device driver.
#[derive(Debug, Clone)]
pub struct Libvirt {
    libvirtd: PathBuf,
    virsh: PathBuf,
    driver: PathBuf,
    version: String,
}

impl Libvirt {
    /// Finds the installed libvirt.
    ///
    /// # Errors
    /// [`PeerError::Missing`] names the first part that is not installed.
    pub fn find() -> Result<Self, PeerError> {
        for tool in ["unshare", "nsenter", "mount"] {
            program(tool)?;
        }
        let libvirtd = program("libvirtd")?;
        let virsh = program("virsh")?;
        let driver =
            driver().ok_or_else(|| PeerError::Missing { what: "libvirt_driver_nodedev.so".into() })?;
        let printed = Command::new(&libvirtd)
            .arg("--version")
            .env("LC_ALL", "C")
            .output()
            .map_err(PeerError::io("run libvirtd --version"))?;
        let version =
            String::from_utf8_lossy(&printed.stdout).trim().rsplit(' ').next().unwrap_or("").to_owned();
        Ok(Self { libvirtd, virsh, driver, version })
    }

    /// Its version, such as `11.3.0`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether this is a release whose output nodedev promises to match to the byte (11.3).
    pub fn is_reference(&self) -> bool {
        self.version.starts_with("11.3.")
    }

    /// The same libvirt with another program in place of its daemon: one that is given the daemon's arguments, prepares
    /// what the daemon needs in its namespaces, and then becomes it (`exec libvirtd "$@"`). Its second argument is the
    /// configuration.
    pub fn through(self, launcher: PathBuf) -> Self {
        Self { libvirtd: launcher, ..self }
    }

    /// Starts the daemon over `scene` and waits until it has seen every device.
    ///
    /// # Errors
    /// If the namespaces can't be made (this needs root, or `sudo` that asks for no password) or the daemon fails.
    pub fn start(&self, scene: &Scene) -> Result<Daemon, PeerError> {
        Daemon::start(self, scene)
    }

    /// Starts the daemon over `scene` and returns as soon as it listens, while it still looks for devices.
    ///
    /// # Errors
    /// As [`Libvirt::start`].
    pub fn launch(&self, scene: &Scene) -> Result<Daemon, PeerError> {
        Daemon::launch(self, scene)
    }
}

/// `program`, prefixed by what makes it run as root where this process is not root.
pub fn privileged(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if rustix::process::geteuid().is_root() {
        Command::new(program)
    } else {
        let mut command = Command::new("sudo");
        command.arg("--non-interactive").arg(program);
        command
    }
}

/// A command to which a program is added that is to have mounts and processes of its own. It runs as root, and all that it
/// started ends with it.
///
/// # Errors
/// [`PeerError::RootIsNoMountPoint`]
pub fn unshare() -> Result<Command, PeerError> {
    check_root()?;
    let mut command = privileged("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    Ok(command)
}

/// Whether mounts can be made private, which the root directory has to be a mount point for.
///
/// # Errors
/// [`PeerError::RootIsNoMountPoint`]
pub fn check_root() -> Result<(), PeerError> {
    // Where /proc is not mounted, unshare is left to say so.
    match fs::read_to_string("/proc/self/mountinfo") {
        Ok(mounts) if !is_mounted(&mounts, "/") => Err(PeerError::RootIsNoMountPoint),
        _ => Ok(()),
    }
}

fn is_mounted(mountinfo: &str, place: &str) -> bool {
    mountinfo.lines().any(|line| line.split(' ').nth(4) == Some(place))
}

fn program(name: &str) -> Result<PathBuf, PeerError> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| PeerError::Missing { what: name.to_owned() })
}

/// `libvirt_driver_nodedev.so`, which distributions keep below a directory named after the architecture.
fn driver() -> Option<PathBuf> {
    let below = |lib: &Path| lib.join("libvirt/connection-driver/libvirt_driver_nodedev.so");
    let mut places = vec![below(Path::new("/usr/lib")), below(Path::new("/usr/lib64"))];
    if let Ok(entries) = fs::read_dir("/usr/lib") {
        places.extend(entries.flatten().map(|entry| below(&entry.path())));
    }
    places.into_iter().find(|place| place.is_file())
}

/// The last lines of the files, each with its name, for an error message.
fn tails(files: &[PathBuf]) -> String {
    let mut text = String::new();
    for file in files {
        let Ok(content) = fs::read(file) else { continue };
        let content = String::from_utf8_lossy(&content);
        let lines: Vec<&str> = content.lines().collect();
        for line in &lines[lines.len().saturating_sub(10)..] {
            let _ = write!(text, "\n  {line}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_chroot_is_told_by_its_mounts() {
        let host =
            "29 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n30 29 0:27 / /proc rw - proc proc rw\n";
        // Only what is mounted below it.
        let chroot = "71 29 0:27 / /proc rw,relatime - proc proc rw\n72 29 0:22 / /sys rw - sysfs sysfs rw\n";
        assert!(is_mounted(host, "/") && !is_mounted(chroot, "/"));
        let said = PeerError::RootIsNoMountPoint.to_string();
        assert!(said.contains("mount --bind DIR DIR") && said.contains("CONTRIBUTING.md"), "{said}");
    }
}
