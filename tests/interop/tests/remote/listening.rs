//! The real daemon on the loopback interface: with and without TLS.

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nodedev_testkit::peer::privileged;

use crate::certificates::Authority;

/// How the testkit runs libvirtd.
const SCRIPT: &str = include_str!("../../../../crates/nodedev-testkit/src/peer/libvirtd.sh");
const PATIENCE: Duration = Duration::from_secs(30);

/// A daemon that shows this machine, and takes connections on two ports of the loopback interface.
pub(crate) struct Listening {
    child: Child,
    work: tempfile::TempDir,
    pub(crate) tcp: u16,
    pub(crate) tls: u16,
}

/// A port that was free a moment ago.
fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn driver() -> io::Result<PathBuf> {
    let found = fs::read_dir("/usr/lib")?.flatten().map(|entry| entry.path());
    found
        .chain(["/usr/lib64".into()])
        .map(|dir| dir.join("libvirt/connection-driver/libvirt_driver_nodedev.so"))
        .find(|path| path.is_file())
        .ok_or_else(|| io::Error::other("libvirt_driver_nodedev.so is not installed: run cargo xtask test"))
}

impl Listening {
    /// Starts it with `servercert.pem`, `serverkey.pem` and `cacert.pem` of an authority, and further lines of its
    /// configuration.
    pub(crate) fn start(authority: &Authority, auth_tcp: &str) -> io::Result<Self> {
        let work = tempfile::Builder::new().prefix("nodedev-peer-").tempdir_in("/tmp")?;
        let (tcp, tls) = (free_port()?, free_port()?);
        let pki = authority.dir().display();
        let wrapper = work.path().join("listen.sh");
        // It is started as the testkit starts libvirtd, and adds to the configuration that it is given.
        let text = format!(
            "#!/bin/sh\ncat >>\"$2\" <<CONF\nlisten_tls = 1\nlisten_tcp = 1\nlisten_addr = \"127.0.0.1\"\ntcp_port = \"{tcp}\"\n\
             tls_port = \"{tls}\"\nauth_tcp = \"{auth_tcp}\"\nauth_tls = \"none\"\nca_file = \"{pki}/cacert.pem\"\n\
             cert_file = \"{pki}/servercert.pem\"\nkey_file = \"{pki}/serverkey.pem\"\nCONF\nexec libvirtd --listen \"$@\"\n"
        );
        fs::write(&wrapper, text)?;
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))?;
        let script = work.path().join("libvirtd.sh");
        fs::write(&script, SCRIPT)?;
        let mut command = privileged("unshare");
        command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh"]);
        command.arg(&script).arg(work.path()).arg(&wrapper).arg(driver()?).arg("live");
        let stderr = fs::File::create(work.path().join("stderr"))?;
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(stderr).spawn()?;
        let mut this = Self { child, work, tcp, tls };
        let until = Instant::now() + PATIENCE;
        while [tcp, tls].iter().any(|port| TcpStream::connect(("127.0.0.1", *port)).is_err()) {
            if Instant::now() > until || this.child.try_wait()?.is_some() {
                return Err(io::Error::other(format!("libvirtd does not listen: {}", this.log())));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(this)
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.work.path().join("sock/libvirt-sock")
    }

    fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(Path::join(self.work.path(), name)).unwrap_or_default();
        ["stderr", "libvirtd.out", "libvirtd.log"].map(read).concat()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // The script ends when its input does. Its files are root's.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
        let _ = privileged("rm").args(["-rf", "--one-file-system"]).arg(self.work.path()).status();
    }
}
