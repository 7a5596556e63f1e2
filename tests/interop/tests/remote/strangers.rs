//! Those who hold places for logins, in every way at once, and root beside them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nodedev_rpc::{Call, Device, ListAllDevices, Open, Packet, Status, Str, Void};
use nodedev_testkit::peer::Nodedevd;
use nodedev_testkit::synthetic::Host;

use crate::certificates::Authority;
use crate::listening::free_port;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A user who may do nothing.
const NOBODY: u32 = 65_534;
/// Tells the program to be that user's: the socket for reading and writing.
const SOCKET: &str = "NODEDEV_TEST_STRANGER_AT";
/// More than there are places, in each way.
const EACH: usize = 60;
/// Root is to be served within a second; this is for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(5);

fn read_only(socket: &Path) -> PathBuf {
    PathBuf::from(format!("{}-ro", socket.display()))
}

fn send(stream: &mut UnixStream, call: &Call<'_>) -> Result<(), Failure> {
    let mut out = Vec::new();
    call.encode(1, &mut out)?;
    Ok(stream.write_all(&out)?)
}

/// The user's side: some say nothing, some wait for polkit to decide about them.
#[test]
#[ignore = "started by the test below"]
fn stranger() -> Result<(), Failure> {
    let Some(socket) = std::env::var_os(SOCKET).map(PathBuf::from) else { return Ok(()) };
    let mut held = Vec::new();
    for path in [read_only(&socket), socket] {
        for number in 0..2 * EACH {
            let mut stream = UnixStream::connect(&path)?;
            if number >= EACH {
                // Nobody reads the answers.
                let _asked = send(&mut stream, &Call::AuthList(Void))
                    .and_then(|()| send(&mut stream, &Call::AuthPolkit(Void)));
            }
            held.push(stream);
        }
    }
    println!("held");
    // Until it is killed.
    std::thread::sleep(Duration::from_secs(600));
    Ok(())
}

struct Stranger(Child);

impl Stranger {
    /// Starts it, and waits until it has connected as often as it wants to.
    fn start(folder: &Path, socket: &Path) -> Result<Self, Failure> {
        let program = folder.join("stranger");
        std::fs::copy(std::env::current_exe()?, &program)?;
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
        let mut command = Command::new(program);
        command.args(["strangers::stranger", "--exact", "--ignored", "--nocapture"]).env(SOCKET, socket);
        command.current_dir("/").uid(NOBODY).gid(NOBODY).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut this = Self(command.spawn()?);
        let mut said = Vec::new();
        let mut stdout = this.0.stdout.take().ok_or("no output")?;
        while !said.ends_with(b"held\n") {
            let mut byte = [0];
            if stdout.read(&mut byte)? == 0 {
                return Err(format!("it ended: {}", String::from_utf8_lossy(&said)).into());
            }
            said.extend(byte);
        }
        Ok(this)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn call(stream: &mut UnixStream, call: &Call<'_>) -> Result<(), Failure> {
    send(stream, call)?;
    let mut message = vec![0; 4];
    stream.read_exact(&mut message)?;
    let length = u32::from_be_bytes(message[..4].try_into()?);
    message.resize(usize::try_from(length)?, 0);
    stream.read_exact(&mut message[4..])?;
    match Packet::parse(&message)?.header.status {
        Status::Ok => Ok(()),
        _ => Err(format!("{:?} failed", call.procedure()).into()),
    }
}

/// Connects, logs in, lists and looks a device up; how long that took.
fn served(socket: &Path) -> Result<Duration, Failure> {
    let begin = Instant::now();
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let name = Some(Str::truncated("nodedev:///system"));
    for wanted in [
        Call::AuthList(Void),
        Call::ConnectOpen(Open { name, flags: 0 }),
        Call::ConnectListAllNodeDevices(ListAllDevices { need_results: 1, flags: 0 }),
        Call::NodeDeviceLookupByName(Device { name: Str::truncated("computer") }),
    ] {
        call(&mut stream, &wanted)?;
    }
    Ok(begin.elapsed())
}

#[test]
#[ignore = "asks certtool: cargo xtask test"]
fn root_does_not_wait_for_strangers_who_log_in_without_end() -> Result<(), Failure> {
    assert!(rustix::process::geteuid().is_root(), "only root can act as another user");
    let dir = tempfile::tempdir()?;
    Host::new(200).write(&dir.path().join("host"))?;
    let authority = Authority::new(dir.path().join("pki"))?;
    authority.sign("server", "cn = localhost\nip_address = 127.0.0.1\ntls_www_server\n")?;
    // A bus at which somebody listens and nobody answers: polkit's decision never comes.
    let bus = dir.path().join("bus");
    let _mute = UnixListener::bind(&bus)?;
    std::fs::set_permissions(&bus, std::fs::Permissions::from_mode(0o777))?;
    let port = free_port()?;
    let mut launcher = Command::new(Nodedevd::program()?);
    launcher.env("DBUS_SYSTEM_BUS_ADDRESS", format!("unix:path={}", bus.display()));
    let config = format!("auth_unix_rw = \"polkit\"\nauth_unix_ro = \"polkit\"\n{}", authority.serve(port));
    let daemon = Nodedevd::launched_at(launcher, &dir.path().join("host"), &config)?;
    let alone = served(&daemon.socket())?;

    let mut half_open = Vec::new();
    for _ in 0..EACH {
        half_open.push(TcpStream::connect(("127.0.0.1", port))?);
    }
    let work = tempfile::tempdir()?;
    let _stranger = Stranger::start(work.path(), &daemon.socket())?;
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        for socket in [daemon.socket(), read_only(&daemon.socket())] {
            slowest = slowest.max(served(&socket)?);
        }
    }
    println!("root was served within {alone:?} alone, within {slowest:?} beside {} strangers", 5 * EACH);
    assert!(slowest < PATIENCE, "{slowest:?}: {}", daemon.log());
    Ok(())
}
