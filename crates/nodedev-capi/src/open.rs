//! What a URI opens.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use nodedev::{ConnectUri, Connection, HostDriver};
use nodedev_driver::{Error, ErrorCode, ErrorDomain, RemoteUri, Result, Transport};
use nodedev_remote::{Options, RemoteDriver};

use crate::source::{Daemon, Kind, Source};

/// What is opened where no URI is given, neither in the call nor in [`DEFAULT_URI`].
const DEFAULT: &str = "nodedev:///system";
/// Variable with the URI of programs that give none.
const DEFAULT_URI: &str = "LIBVIRT_DEFAULT_URI";

/// This machine, which all connections to it have in common while there are any: it is followed once.
static THIS_MACHINE: Common = Mutex::new((0, Weak::new()));
/// The invented devices of `test:///default`, of which the same is true.
static TEST_DEFAULT: Common = Mutex::new((0, Weak::new()));

/// The flag of a connection that refuses to change anything (`VIR_CONNECT_RO`). The others that libvirt has are about guests; its
/// test driver alone refuses them.
pub(crate) const READ_ONLY: u32 = 1;

/// What connections have in common, and the process that opened it: a child has a copy that no thread follows.
type Common = Mutex<(u32, Weak<Source>)>;

/// What is open, and as which URI.
pub(crate) struct Opened {
    pub(crate) source: Arc<Source>,
    pub(crate) uri: String,
}

/// Opens a URI. One without a name of a daemon is served by one that listens on this machine; where none does, by this
/// process, if it can.
pub(crate) fn open(uri: Option<&str>, flags: u32) -> Result<Opened> {
    let of_environment = || std::env::var(DEFAULT_URI).ok();
    let uri = uri.map(str::to_owned).or_else(of_environment).filter(|uri| !uri.is_empty());
    let uri = uri.unwrap_or_else(|| DEFAULT.to_owned());
    let source = source(&uri, flags)?;
    Ok(Opened { source, uri })
}

fn source(uri: &str, flags: u32) -> Result<Arc<Source>> {
    let read_only = flags & READ_ONLY != 0;
    if !uri.contains(':') {
        let detail = format!("URI '{uri}' does not include a driver name");
        return Err(Error::new(ErrorDomain::NONE, ErrorCode::NO_CONNECT, detail));
    }
    match uri.parse() {
        Ok(ConnectUri::Remote(uri)) => remote(&uri, read_only),
        Ok(ConnectUri::TestDefault | ConnectUri::TestFile(_)) if flags & !READ_ONLY != 0 => {
            Err(Error::unsupported_flags(ErrorDomain::TEST, flags & !READ_ONLY, "testConnectOpen"))
        }
        Ok(parsed @ ConnectUri::TestDefault) => {
            common(&TEST_DEFAULT, Kind::Test, || Connection::open_uri(&parsed, &Options::default()))
        }
        Ok(parsed @ ConnectUri::TestFile(_)) => local(&parsed, Kind::Test),
        Ok(parsed @ ConnectUri::Host { root: Some(_), .. }) => local(&parsed, Kind::Host),
        Ok(ConnectUri::Host { root: None, .. }) => match remote(&RemoteUri::of(uri)?, read_only) {
            Err(error) if nobody_listens(&error) => common(&THIS_MACHINE, Kind::Host, this_machine),
            result => result,
        },
        // The daemon knows drivers that this library does not.
        Err(error) if error.code() == ErrorCode::NO_CONNECT => remote(&RemoteUri::of(uri)?, read_only),
        Err(error) => Err(error),
    }
}

/// Whether an error of connecting means that there is no daemon.
fn nobody_listens(error: &Error) -> bool {
    let [errno, _] = error.ints();
    error.code() == ErrorCode::SYSTEM_ERROR && [libc::ENOENT, libc::ECONNREFUSED].contains(&errno)
}

fn local(parsed: &ConnectUri, kind: Kind) -> Result<Arc<Source>> {
    let connection = Connection::open_uri(parsed, &Options::default())?;
    Ok(Arc::new(Source::Local { connection, kind }))
}

/// What all connections have in common: opened by the first, closed with the last.
fn common(known: &Common, kind: Kind, open: impl FnOnce() -> Result<Connection>) -> Result<Arc<Source>> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    if let (opener, Some(local)) = (known.0, known.1.upgrade())
        // Nothing has to follow what is invented, and libvirt's is common to a process and its children.
        && (opener == process || kind == Kind::Test)
    {
        return Ok(local);
    }
    let local = Arc::new(Source::Local { connection: open()?, kind });
    *known = (process, Arc::downgrade(&local));
    Ok(local)
}

/// This machine, followed by a thread: programs keep connections for long, and lists are to be right.
fn this_machine() -> Result<Connection> {
    let driver = HostDriver::watching(Connection::root(None)?).map_err(|error| {
        Error::system(ErrorDomain::NODEDEV, "Unable to follow this machine's devices", &error)
    })?;
    Ok(Connection::from_driver(driver))
}

fn remote(uri: &RemoteUri, read_only: bool) -> Result<Arc<Source>> {
    // As libvirt's library, it asks a daemon that says nothing only if the program wants that.
    let driver = RemoteDriver::open(uri, &Options { read_only, pings: None })?;
    let encrypted = uri.transport == Transport::Tls;
    let secure = encrypted || uri.transport == Transport::Unix;
    Ok(Arc::new(Source::Daemon(Daemon { driver, encrypted, secure })))
}
