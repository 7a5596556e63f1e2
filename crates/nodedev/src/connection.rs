use std::ops::{ControlFlow, Deref};
use std::path::Path;
use std::sync::Arc;

use nodedev_driver::{
    Changes, ConnectUri, Devices, Driver, Error, ErrorDomain, LibvirtCalls, Operations, Result, TestDriver,
    View,
};
use nodedev_host::HostDriver;
use nodedev_model::Inventory;
use nodedev_remote::{Options, RemoteDriver};
use nodedev_sys::{Operation, Root, SysError};

use crate::daemon::Daemon;

/// A connection to a source of node devices: [`LibvirtCalls`] can be made on it, and [`devices`](Self::devices),
/// [`changes`](Self::changes) and [`operations`](Self::operations) give what the source has besides.
///
/// Connections are cheap to clone and can be used from several threads at once.
///
/// ```
/// use nodedev::{Connection, ListFlags, XmlFlags};
///
/// let connection = Connection::open("test:///default")?;
/// for device in connection.list(ListFlags::CAP_SCSI_HOST | ListFlags::ACTIVE)? {
///     let xml = connection.xml(device.name.as_str(), XmlFlags::empty())?;
///     assert!(xml.starts_with(b"<device>\n"));
/// }
/// # Ok::<(), nodedev::Error>(())
/// ```
#[derive(Clone)]
pub struct Connection {
    driver: Arc<dyn Driver>,
}

impl Connection {
    /// Opens the source that a URI names: `nodedev:///system` and `nodedev:///session` (this machine, or with
    /// `?root=PATH` a recording), `test:///default` and `test:///FILE` (invented devices), and with a transport, a machine
    /// or one of the parameters `socket` and `mode` those of a daemon (`nodedev+ssh://host/system`).
    ///
    /// # Errors
    /// [`ErrorCode::NO_CONNECT`](crate::ErrorCode::NO_CONNECT) for a URI that nobody serves; those of opening.
    pub fn open(uri: &str) -> Result<Self> {
        Self::open_uri(&uri.parse()?, &Options::default())
    }

    /// Opens the source that a parsed URI names; the options are for those of a daemon.
    ///
    /// ```no_run
    /// use nodedev::{Connection, ListFlags, Options};
    ///
    /// // Whoever only looks needs no more than the socket that everybody may use.
    /// let options = Options { read_only: true, ..Options::default() };
    /// let connection = Connection::open_uri(&"nodedev+unix:///system".parse()?, &options)?;
    /// println!("{} devices", connection.count(ListFlags::empty())?);
    /// # Ok::<(), nodedev::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of opening this machine, the recording or the file, or of connecting to the daemon.
    pub fn open_uri(uri: &ConnectUri, options: &Options) -> Result<Self> {
        Ok(match uri {
            ConnectUri::Host { root: None, .. } => Self::host(Self::root(None)?),
            ConnectUri::Host { root: Some(root), .. } => Self::open_root(root)?,
            ConnectUri::Remote(uri) => Self::from_driver(Daemon::new(RemoteDriver::open(uri, options)?)),
            ConnectUri::TestDefault => Self::from_driver(TestDriver::new()),
            ConnectUri::TestFile(path) => Self::from_driver(TestDriver::open(path)?),
        })
    }

    /// The view that tells most of this source: the native one, but of a daemon of libvirt's, which has only libvirt's.
    pub fn fullest_view(&self) -> View {
        self.devices().map_or(View::Libvirt, |devices| devices.fullest_view())
    }

    /// All devices of the fullest view, with what could not be read: what `nodedev show --all --json` prints. All are held in
    /// memory, some kilobytes each; [`visit`](Devices::visit) holds none.
    ///
    /// # Errors
    /// Those of [`visit`](Devices::visit).
    pub fn inventory(&self) -> Result<Inventory> {
        let host = self.host_name().ok();
        let revision =
            self.changes().ok().and_then(|changes| changes.revision()).map(|revision| revision.to_string());
        let mut devices = Vec::new();
        let issues = self.devices()?.visit(self.fullest_view(), &mut |device| {
            devices.push(device.clone());
            ControlFlow::Continue(())
        })?;
        Ok(Inventory { host, revision, devices, issues: Some(issues), ..Inventory::default() })
    }

    /// The devices as values.
    ///
    /// # Errors
    /// [`Error::no_native_view`] of a source that has not got them.
    pub fn devices(&self) -> Result<&dyn Devices> {
        self.driver.devices()
    }

    /// What happens to devices.
    ///
    /// # Errors
    /// [`Error::no_events`] of a source that nothing tells of changes.
    pub fn changes(&self) -> Result<&dyn Changes> {
        self.driver.changes()
    }

    /// What is done to devices, with more to choose than libvirt's functions have.
    ///
    /// # Errors
    /// [`Error::no_native_call`] of a source that has libvirt's functions alone.
    pub fn operations(&self) -> Result<&dyn Operations> {
        self.driver.operations()
    }

    /// The driver behind the connection, which has these four.
    pub fn driver(&self) -> &dyn Driver {
        &*self.driver
    }

    /// Opens a recording: a folder that stands for `/` of a machine, or an archive of one.
    ///
    /// # Errors
    /// If there is no such recording, or it cannot be read.
    pub fn open_root(path: &Path) -> Result<Self> {
        Self::root(Some(path)).map(Self::host)
    }

    /// The root that a recording, or this machine without a path, is read through. For programs that build a driver of
    /// their own on it, or record it.
    ///
    /// # Errors
    /// As [`Connection::open_root`].
    pub fn root(path: Option<&Path>) -> Result<Root> {
        match path {
            Some(path) => Root::open(path).map_err(|error| not_opened(path, &error)),
            None => Root::live().map_err(|error| not_opened(Path::new("/"), &error)),
        }
    }

    fn host(root: Root) -> Self {
        Self::from_driver(HostDriver::new(root))
    }

    /// A connection to a driver of one's own.
    ///
    /// ```
    /// use nodedev::{Connection, ListFlags, TestDriver};
    /// let connection = Connection::from_driver(TestDriver::new());
    /// assert_eq!(connection.count(ListFlags::empty())?, 4);
    /// # Ok::<(), nodedev::Error>(())
    /// ```
    pub fn from_driver(driver: impl Driver + 'static) -> Self {
        Self { driver: Arc::new(driver) }
    }
}

/// What is said to people whose path is none of a recording.
const RECORDING: &str = "a recording is a folder that stands for /, or a .tar, .tar.gz or .tar.zst of one; \
                         `nodedev record` makes them";

/// The error of a host that cannot be looked at. It names the path as the caller wrote it.
fn not_opened(path: &Path, error: &SysError) -> Error {
    let path = path.display();
    let refused = |message: String| Error::argument(ErrorDomain::NODEDEV, "virConnectOpen", "root", message);
    match error {
        // The archive's own complaint quotes its content, which may be anything.
        SysError::Io { operation: Operation::Unpack, source, .. } if source.raw_os_error().is_none() => {
            refused(format!("{path} is no archive of a recording, or a damaged one"))
        }
        SysError::Io { operation, source, .. } => {
            Error::system(ErrorDomain::NODEDEV, format_args!("{operation} {path}"), source)
        }
        SysError::TooLarge { limit, .. } => refused(format!("{path} is larger than {limit} bytes")),
        other => refused(format!("{path} is no recording of a host: {}", other.problem())),
    }
    .with_help(RECORDING)
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Deref for Connection {
    type Target = dyn LibvirtCalls;

    fn deref(&self) -> &Self::Target {
        self.driver.calls()
    }
}
