//! Sockets of this machine.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nodedev_driver::{RemoteUri, Result, SocketMode};

use super::Socket;
use crate::failure;
use crate::options::Options;

/// Where libvirt's clients look for the daemons of the system: with `/var`, unlike the daemons themselves.
const SYSTEM: &str = "/var/run/libvirt";
/// Socket of the daemon for everything. That of a driver's own daemon is named after the driver. Each has a read-only one
/// beside it.
const LEGACY: &str = "libvirt-sock";

pub(super) fn connect(uri: &RemoteUri, options: &Options) -> Result<Socket> {
    let path = Place::of_process().socket(uri, options.read_only, |path| path.exists());
    UnixStream::connect(&path).map(Socket::Unix).map_err(|error| {
        let what = format!("Failed to connect socket to '{}'", path.display());
        let help = match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                "is the daemon running, and is this its socket? nodedev:///system without parameters needs none"
            }
            ErrorKind::PermissionDenied => {
                "be root or a member of the group that the socket belongs to (libvirt), or connect read-only"
            }
            _ => "the parameter socket names the socket of a daemon",
        };
        failure::system(what, &error).with_help(help)
    })
}

/// What of this process decides where the sockets are.
pub(super) struct Place {
    is_root: bool,
    runtime_dir: Option<OsString>,
    cache_dir: Option<OsString>,
    home: Option<OsString>,
}

impl Place {
    pub(super) fn of_process() -> Self {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            is_root: rustix::process::geteuid().is_root(),
            runtime_dir: var("XDG_RUNTIME_DIR"),
            cache_dir: var("XDG_CACHE_HOME"),
            home: var("HOME"),
        }
    }

    /// Whether a URI means the daemon of the user, and not the system's: root has none.
    pub(super) fn is_of_user(&self, uri: &RemoteUri) -> bool {
        uri.session && !self.is_root
    }

    /// The socket that a URI means.
    fn socket(&self, uri: &RemoteUri, read_only: bool, exists: impl Fn(&Path) -> bool) -> PathBuf {
        if let Some(path) = &uri.socket {
            return path.clone();
        }
        let (dir, suffix) = match (self.is_of_user(uri), read_only) {
            // Daemons of users have no read-only sockets.
            (true, _) => (self.user_dir(), ""),
            (false, true) => (PathBuf::from(SYSTEM), "-ro"),
            (false, false) => (PathBuf::from(SYSTEM), ""),
        };
        let path = |name: &str| dir.join(format!("{name}{suffix}"));
        let direct = format!("virt{}d-sock", uri.scheme());
        match uri.mode {
            SocketMode::Direct => path(&direct),
            SocketMode::Legacy => path(LEGACY),
            SocketMode::Auto => {
                Some(path(&direct)).filter(|path| exists(path)).unwrap_or_else(|| path(LEGACY))
            }
        }
    }

    /// As GLib has it: the cache of the user where no folder for running programs is known.
    fn user_dir(&self) -> PathBuf {
        let home = || PathBuf::from(self.home.clone().unwrap_or_else(|| "/".into())).join(".cache");
        let dir =
            self.runtime_dir.clone().or_else(|| self.cache_dir.clone()).map_or_else(home, PathBuf::from);
        dir.join("libvirt")
    }
}

/// The socket of `libvirtd` on another machine, which is always the system's.
pub(super) fn legacy(read_only: bool) -> PathBuf {
    Path::new(SYSTEM).join(if read_only { format!("{LEGACY}-ro") } else { LEGACY.to_owned() })
}

#[cfg(test)]
mod tests {
    use nodedev_driver::ConnectUri;

    use super::*;

    fn uri(text: &str) -> RemoteUri {
        match text.parse() {
            Ok(ConnectUri::Remote(uri)) => *uri,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// What virsh 9 and 11 looked for, from strace.
    #[test]
    fn sockets_are_where_libvirt_looks_for_them() {
        const DIRECT: &str = "/var/run/libvirt/virtnodedevd-sock";
        const LEGACY: &str = "/var/run/libvirt/libvirt-sock";
        for (text, is_root, there, want) in [
            ("nodedev+unix:///system", true, "", LEGACY),
            ("nodedev+unix:///system", true, DIRECT, DIRECT),
            ("nodedev+unix:///system", false, LEGACY, LEGACY),
            ("nodedev:///system?mode=auto", false, DIRECT, DIRECT),
            ("nodedev:///system?mode=direct", true, "", DIRECT),
            ("nodedev:///system?mode=legacy", true, DIRECT, LEGACY),
            ("nodedev:///system?socket=/nonexist&mode=direct", true, DIRECT, "/nonexist"),
            ("nodedev+unix:///session", true, "", LEGACY),
            ("nodedev+unix:///session", true, DIRECT, DIRECT),
            ("nodedev+unix:///session", false, DIRECT, "/run/user/7/libvirt/libvirt-sock"),
            (
                "nodedev+unix:///session",
                false,
                "/run/user/7/libvirt/virtnodedevd-sock",
                "/run/user/7/libvirt/virtnodedevd-sock",
            ),
            ("nodedev+unix:///bogus", false, "", LEGACY),
        ] {
            let place = Place {
                is_root,
                runtime_dir: Some("/run/user/7".into()),
                cache_dir: Some("/c".into()),
                home: Some("/h".into()),
            };
            for read_only in [false, true] {
                let of_system = want.starts_with("/var");
                let suffix = if read_only && of_system { "-ro" } else { "" };
                let exists = |path: &Path| path == Path::new(&format!("{there}{suffix}"));
                let socket = place.socket(&uri(text), read_only, exists);
                assert_eq!(socket, Path::new(&format!("{want}{suffix}")), "{text} {read_only}");
            }
        }
    }

    #[test]
    fn a_user_without_a_runtime_dir_has_the_sockets_in_the_cache() {
        let place = |cache_dir: Option<&str>| Place {
            is_root: false,
            runtime_dir: None,
            cache_dir: cache_dir.map(Into::into),
            home: Some("/h".into()),
        };
        let uri = uri("nodedev+unix:///session");
        let socket = |place: Place| place.socket(&uri, true, |_| false);
        assert_eq!(socket(place(None)), Path::new("/h/.cache/libvirt/libvirt-sock"));
        assert_eq!(socket(place(Some("/c"))), Path::new("/c/libvirt/libvirt-sock"));
    }
}
