//! The real daemon on the loopback interface: with and without TLS.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use nodedev_interop::Failure;
use nodedev_testkit::peer::{Daemon, Libvirt, Scene};

use crate::certificates::Authority;

/// A daemon that shows this machine, and takes connections on two ports of the loopback interface.
pub(crate) struct Listening {
    pub(crate) daemon: Daemon,
    pub(crate) tcp: u16,
    pub(crate) tls: u16,
    _launcher: tempfile::TempDir,
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Listening {
    /// Starts it with `servercert.pem`, `serverkey.pem` and `cacert.pem` of an authority, and further lines of its
    /// configuration.
    pub(crate) fn start(authority: &Authority, lines: &str) -> Result<Self, Failure> {
        let dir = tempfile::Builder::new().prefix("nodedev-listen-").tempdir_in("/tmp")?;
        let (tcp, tls) = (free_port()?, free_port()?);
        let launcher = dir.path().join("listen.sh");
        let lines = format!("listen_tcp = 1\ntcp_port = \"{tcp}\"\n{}{lines}", authority.serve(tls));
        let text = format!("#!/bin/sh\ncat >>\"$2\" <<'CONF'\n{lines}CONF\nexec libvirtd --listen \"$@\"\n");
        fs::write(&launcher, text)?;
        fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755))?;
        let daemon = Libvirt::find()?.through(launcher).start(&Scene::Live)?;
        Ok(Self { daemon, tcp, tls, _launcher: dir })
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.daemon.uri().split_once('=').map_or("", |(_, socket)| socket).into()
    }
}
