//! A kernel for tests: a hand-made host whose files change as those of a real one do when they are written to, and that fails
//! or "crashes" at any step.
//!
//! ```
//! use nodedev_sys::HostAccess;
//! use nodedev_testkit::fake_kernel::FakeKernel;
//! use nodedev_testkit::tree::{Device, Tree};
//!
//! let mut tree = Tree::temporary()?;
//! tree.add(&Device::new("devices/pci0000:00/0000:00:03.0", "bus/pci").driver("e1000e"))?;
//! let kernel = FakeKernel::over(tree)?;
//! kernel.driver("vfio-pci", &[])?;
//! kernel.write(b"sys/bus/pci/devices/0000:00:03.0/driver_override", b"vfio-pci\n")?;
//! kernel.write(b"sys/bus/pci/devices/0000:00:03.0/driver/unbind", b"0000:00:03.0\n")?;
//! kernel.write(b"sys/bus/pci/drivers_probe", b"0000:00:03.0\n")?;
//! assert_eq!(kernel.bound("0000:00:03.0").as_deref(), Some("vfio-pci"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod faults;
mod mdev;
mod pci;
mod vport;

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, fs, io};

use nodedev_sys::mdevctl::Ran;
use nodedev_sys::network::Network;
use nodedev_sys::{DeviceNode, FileLock, HostAccess, Operation, PendingWrite, Root, SysError};

use crate::tree::Tree;
use faults::Faults;
use pci::Pci;

/// Numbers of errors, as a test gives them to [`FakeKernel::fail_at`].
pub mod errno {
    /// No such file or directory.
    pub const ENOENT: i32 = 2;
    /// No such process.
    pub const ESRCH: i32 = 3;
    /// Input/output error.
    pub const EIO: i32 = 5;
    /// Permission denied.
    pub const EACCES: i32 = 13;
    /// Device or resource busy.
    pub const EBUSY: i32 = 16;
    /// No such device.
    pub const ENODEV: i32 = 19;
    /// Invalid argument.
    pub const EINVAL: i32 = 22;
    /// Too many open files in the system.
    pub const ENFILE: i32 = 23;
    /// Too many open files.
    pub const EMFILE: i32 = 24;
    /// No space left on device.
    pub const ENOSPC: i32 = 28;
    /// Read-only file system.
    pub const EROFS: i32 = 30;
}

/// A host that reacts. It can be used from several threads, as a kernel can.
#[derive(Debug)]
pub struct FakeKernel {
    root: Root,
    folder: PathBuf,
    state: Mutex<State>,
    /// Goes away with the kernel.
    _tree: Tree,
}

#[derive(Default)]
struct State {
    faults: Faults,
    pci: Pci,
    waited: Duration,
    network: Network,
    network_error: Option<i32>,
    claimed: HashSet<String>,
    without_node: HashSet<String>,
    /// Links that nobody may read.
    hidden: HashSet<String>,
    /// Device nodes that paths lead to.
    nodes: HashMap<String, DeviceNode>,
    meanwhile: Option<Box<dyn FnOnce() + Send>>,
    /// The end of the path of files whose writes do not come back.
    hanging: Option<String>,
    hung: Option<Hung>,
    /// Locks that were taken, in order.
    locked: Vec<String>,
    /// What happens before the lock of this number is taken.
    before_lock: Option<(usize, Box<dyn FnOnce() + Send>)>,
    /// The error of everything that is written below this folder.
    full: Option<(String, i32)>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, pci, waited, network, network_error, claimed, without_node, locked, full, .. } =
            self;
        f.debug_struct("State")
            .field("faults", faults)
            .field("pci", pci)
            .field("waited", waited)
            .field("network", network)
            .field("network_error", network_error)
            .field("claimed", claimed)
            .field("without_node", without_node)
            .field("locked", locked)
            .field("full", full)
            .finish_non_exhaustive()
    }
}

impl FakeKernel {
    /// Brings a tree to life. The drivers that are in it are registered, and each device's own driver is the one that is
    /// found for it again when it is free to choose.
    ///
    /// # Errors
    /// If files cannot be made.
    pub fn over(tree: Tree) -> io::Result<Self> {
        let folder = tree.root().to_owned();
        let root = Root::scratch(&folder).map_err(io::Error::other)?;
        let pci = Pci::bring_to_life(&folder)?;
        let state = Mutex::new(State { pci, ..State::default() });
        Ok(Self { root, folder, state, _tree: tree })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a driver of PCI, and says which functions it is the kernel's choice for.
    ///
    /// # Errors
    /// If files cannot be made.
    pub fn driver(&self, name: &str, natural: &[&str]) -> io::Result<()> {
        let mut state = self.state();
        for address in natural {
            state.pci.natural.insert((*address).to_owned(), name.to_owned());
        }
        pci::register(&self.folder, name, None)
    }

    /// Has a module on disk that, once loaded, brings a driver of PCI.
    pub fn module(&self, module: &str, driver: &str) {
        self.state().pci.modules.insert(module.to_owned(), driver.to_owned());
    }

    /// Has a module on disk no more.
    pub fn remove_module(&self, module: &str) {
        self.state().pci.modules.remove(module);
    }

    /// Makes a driver refuse every device from now on: its probe fails, which the kernel tells nobody but its log.
    pub fn refusing(&self, driver: &str) {
        self.state().pci.refusing.insert(driver.to_owned());
    }

    /// Undoes [`FakeKernel::refusing`].
    pub fn accepting(&self, driver: &str) {
        self.state().pci.refusing.remove(driver);
    }

    /// Fails the step of this number, counted from 1 since the last [`FakeKernel::restart`], with an error number. More than
    /// one step can fail.
    pub fn fail_at(&self, step: usize, errno: i32) {
        self.state().faults.errors.insert(step, errno);
    }

    /// Lets the step of this number be done and fail all the same, as a rename whose sync fails.
    pub fn fail_late_at(&self, step: usize, errno: i32) {
        self.state().faults.late.insert(step, errno);
    }

    /// Lets everything that is written below a folder, such as `run`, fail from now on: its file system is full, or can only be
    /// read.
    pub fn refuse_writes_below(&self, folder: &str, errno: i32) {
        self.state().full = Some((format!("{folder}/"), errno));
    }

    /// Does something, once, before the lock of this number is taken, counted from 1 from now on: what another process does then.
    pub fn before_lock(&self, number: usize, act: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        let number = state.locked.len() + number;
        state.before_lock = Some((number, Box::new(act)));
    }

    /// The files that were locked since the beginning, in order.
    pub fn locked(&self) -> Vec<String> {
        self.state().locked.clone()
    }

    /// Lets everything from this step on fail, without doing it: what a process that died would not have done. A file that
    /// was being written then is there by half.
    pub fn crash_at(&self, step: usize) {
        self.state().faults.crash = Some(step);
    }

    /// A new process: nothing fails any more, and steps are counted from 1 again.
    pub fn restart(&self) {
        self.state().faults = Faults::default();
    }

    /// How many steps were tried since the last restart.
    pub fn steps(&self) -> usize {
        self.state().faults.steps
    }

    /// Whether something failed, or crashed, since the last restart because a test wanted it to.
    pub fn was_hit(&self) -> bool {
        self.state().faults.hit
    }

    /// What was written to the kernel since the beginning: path and value.
    pub fn writes(&self) -> Vec<(String, String)> {
        self.state().pci.writes.clone()
    }

    /// How long was waited by the clock of the host, which runs twenty times as fast as others.
    pub fn waited(&self) -> Duration {
        self.state().waited
    }

    /// Gives a network interface an address.
    pub fn address(&self, address: IpAddr, interface: &str) {
        self.state().network.addresses.push((address, interface.as_bytes().into()));
    }

    /// Changes what the kernel says of its network when it is asked over netlink; at the beginning that is nothing.
    pub fn network(&self, change: impl FnOnce(&mut Network)) {
        change(&mut self.state().network);
    }

    /// From now on the kernel does not say anything of its network.
    pub fn network_fails(&self, errno: i32) {
        self.state().network_error = Some(errno);
    }

    /// Lets somebody have a block device for himself, such as `/dev/sda`: others cannot open it exclusively.
    pub fn claim(&self, node: &str) {
        self.state().claimed.insert(node.to_owned());
    }

    /// Lets nobody read a link, such as `proc/7/fd/3`, whose folder can be listed.
    pub fn hide_link(&self, path: &str) {
        self.state().hidden.insert(path.to_owned());
    }

    /// Lets a path, such as `proc/7/fd/3`, lead to a device node.
    pub fn node_at(&self, path: &str, node: DeviceNode) {
        self.state().nodes.insert(path.to_owned(), node);
    }

    /// Takes the node of a block device away from `/dev`, so that nobody can say whether it is claimed.
    pub fn remove_node(&self, node: &str) {
        self.state().without_node.insert(node.to_owned());
    }

    /// Lets the kernel not come back from writes to files that end so, such as `igb/unbind`, until they are
    /// [released](FakeKernel::release).
    pub fn hang(&self, file: &str) {
        self.state().hanging = Some(file.to_owned());
    }

    /// Lets the kernel come back from the write that it does not come back from; the process that did it ends.
    pub fn release(&self) {
        let hung = {
            let mut state = self.state();
            state.hanging = None;
            state.hung.take()
        };
        if let Some(Hung { path, value, locks, written }) = hung {
            let done = self.write(&path, &value);
            *written.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
            drop(locks);
        }
    }

    /// Does something as soon as somebody waits, once.
    pub fn meanwhile(&self, act: impl FnOnce() + Send + 'static) {
        self.state().meanwhile = Some(Box::new(act));
    }

    /// The driver that a function is bound to.
    pub fn bound(&self, address: &str) -> Option<String> {
        pci::bound(&self.folder, address)
    }

    /// The function's override; `(null)` if there is none.
    pub fn driver_override(&self, address: &str) -> String {
        let path = pci::device(&self.folder, address).join("driver_override");
        fs::read_to_string(path).map(|text| text.trim_end().to_owned()).unwrap_or_default()
    }

    /// How often functions were reset, in order.
    pub fn resets(&self) -> Vec<String> {
        self.state().pci.resets.clone()
    }

    /// Takes a function out of its slot.
    ///
    /// # Errors
    /// If files cannot be removed.
    pub fn unplug(&self, address: &str) -> io::Result<()> {
        pci::unplug(&self.folder, address)
    }

    /// The folder that stands for `/`.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// A step that writes a file, which fails where none can be written.
    fn step_of_writing(&self, operation: Operation, path: &[u8]) -> Result<MutexGuard<'_, State>, SysError> {
        let state = self.step(operation, path)?;
        match &state.full {
            Some((folder, errno)) if path.starts_with(folder.as_bytes()) => {
                Err(failure(operation, path, *errno))
            }
            _ => Ok(state),
        }
    }

    /// One step: counted, and failed if a test wants it.
    fn step(&self, operation: Operation, path: &[u8]) -> Result<MutexGuard<'_, State>, SysError> {
        let mut state = self.state();
        match state.faults.next() {
            Some(errno) => Err(failure(operation, path, errno)),
            None => Ok(state),
        }
    }
}

/// What came of a write; nothing while the kernel does not come back from it.
type Written = Arc<Mutex<Option<Result<(), SysError>>>>;

/// A write that the kernel does not come back from.
#[derive(Debug)]
struct Hung {
    path: Vec<u8>,
    value: Vec<u8>,
    /// The locks that the process has that does it.
    locks: Vec<OwnedFd>,
    written: Written,
}

#[derive(Debug)]
struct Pending(Written);

impl PendingWrite for Pending {
    fn wait(&mut self, patience: Duration) -> Option<Result<(), SysError>> {
        // Time runs faster here.
        let end = Instant::now() + (patience / 20).min(Duration::from_millis(100));
        loop {
            let written = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
            if written.is_some() || Instant::now() >= end {
                return written;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn failure(operation: Operation, path: &[u8], errno: i32) -> SysError {
    let path = format!("/{}", String::from_utf8_lossy(path));
    SysError::Io { operation, path, source: io::Error::from_raw_os_error(errno) }
}

impl HostAccess for FakeKernel {
    fn is_changeable(&self) -> bool {
        true
    }

    fn read(&self, path: &[u8], limit: usize) -> Result<Option<Vec<u8>>, SysError> {
        let _state = self.step(Operation::Read, path)?;
        HostAccess::read(&self.root, path, limit)
    }

    fn read_start(&self, path: &[u8], length: usize) -> Result<Option<Vec<u8>>, SysError> {
        let _state = self.step(Operation::Read, path)?;
        self.root.read_start(path, length)
    }

    fn read_link(&self, path: &[u8]) -> Result<Option<Vec<u8>>, SysError> {
        let state = self.step(Operation::ReadLink, path)?;
        if state.hidden.contains(&*String::from_utf8_lossy(path)) {
            return Err(failure(Operation::ReadLink, path, errno::EACCES));
        }
        self.root.read_link(path)
    }

    fn names(&self, path: &[u8]) -> Result<Option<Vec<Box<[u8]>>>, SysError> {
        let _state = self.step(Operation::List, path)?;
        HostAccess::names(&self.root, path)
    }

    fn link_targets(&self, path: &[u8]) -> Result<Option<Vec<Vec<u8>>>, SysError> {
        let _state = self.step(Operation::List, path)?;
        self.root.link_targets(path)
    }

    fn write(&self, path: &[u8], value: &[u8]) -> Result<(), SysError> {
        let mut state = self.step(Operation::Write, path)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        state
            .pci
            .write(&self.folder, &text(path), &text(value))
            .map_err(|error| failure(Operation::Write, path, error.raw_os_error().unwrap_or(errno::EIO)))
    }

    fn start_write(
        &self,
        path: &[u8],
        value: &[u8],
        locks: &[FileLock],
    ) -> Result<Box<dyn PendingWrite>, SysError> {
        let hangs = self.state().hanging.clone();
        let name = String::from_utf8_lossy(path);
        if !hangs.is_some_and(|hanging| name.ends_with(&hanging)) {
            let written = self.write(path, value);
            return Ok(Box::new(Pending(Arc::new(Mutex::new(Some(written))))));
        }
        let mut state = self.step(Operation::Write, path)?;
        let inherited = locks.iter().map(|lock| lock.as_fd().try_clone_to_owned());
        let locks =
            inherited.collect::<Result<_, _>>().map_err(|_| failure(Operation::Write, path, errno::EIO))?;
        let written = Arc::default();
        state.hung = Some(Hung {
            path: path.to_owned(),
            value: value.to_owned(),
            locks,
            written: Arc::clone(&written),
        });
        Ok(Box::new(Pending(written)))
    }

    fn create_file(&self, path: &[u8], content: &[u8]) -> Result<(), SysError> {
        let stepped = self.step_of_writing(Operation::Write, path).map(drop);
        if stepped.is_err() && self.state().faults.crashed_now() {
            // What a crash leaves: the beginning of the file.
            self.root.create_file(path, &content[..content.len() / 2])?;
        }
        stepped?;
        self.root.create_file(path, content)
    }

    fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), SysError> {
        let mut state = self.step_of_writing(Operation::Write, to)?;
        self.root.rename(from, to)?;
        match state.faults.late() {
            Some(errno) => Err(failure(Operation::Write, to, errno)),
            None => Ok(()),
        }
    }

    fn remove(&self, path: &[u8]) -> Result<(), SysError> {
        let _state = self.step_of_writing(Operation::Remove, path)?;
        self.root.remove(path)
    }

    fn try_lock(&self, path: &[u8]) -> Result<Option<FileLock>, SysError> {
        let act = {
            let mut state = self.step_of_writing(Operation::Lock, path)?;
            state.locked.push(String::from_utf8_lossy(path).into_owned());
            let is_now = state.before_lock.as_ref().is_some_and(|(number, _)| *number == state.locked.len());
            if is_now { state.before_lock.take() } else { None }
        };
        if let Some((_, act)) = act {
            act();
        }
        self.root.try_lock(path)
    }

    fn is_locked(&self, path: &[u8]) -> Result<bool, SysError> {
        let _state = self.step(Operation::Lock, path)?;
        self.root.is_locked(path)
    }

    fn node(&self, path: &[u8]) -> Result<Option<DeviceNode>, SysError> {
        let state = self.step(Operation::Open, path)?;
        match state.nodes.get(&*String::from_utf8_lossy(path)) {
            Some(node) => Ok(Some(*node)),
            None => HostAccess::node(&self.root, path),
        }
    }

    fn shares_files(&self, _: u32, _: u32) -> Option<bool> {
        None
    }

    fn is_claimed(&self, path: &[u8], _: DeviceNode) -> Result<bool, SysError> {
        let state = self.step(Operation::Open, path)?;
        let node = format!("/{}", String::from_utf8_lossy(path));
        if state.without_node.contains(&node) {
            return Err(failure(Operation::Open, path, errno::ENOENT));
        }
        Ok(state.claimed.contains(&node))
    }

    fn lines(&self, path: &[u8], longest: usize, visit: &mut dyn FnMut(&[u8])) -> Result<bool, SysError> {
        let _state = self.step(Operation::Read, path)?;
        self.root.lines(path, longest, visit)
    }

    fn network(&self) -> Result<Network, SysError> {
        let state = self.step(Operation::Ask, b"network")?;
        match state.network_error {
            Some(errno) => Err(failure(Operation::Ask, b"network", errno)),
            None => Ok(state.network.clone()),
        }
    }

    fn load_module(&self, name: &str) -> Result<(), SysError> {
        let mut state = self.step(Operation::Run, name.as_bytes())?;
        let unknown = || SysError::Module {
            name: name.to_owned(),
            problem: format!("modprobe: FATAL: Module {name} not found in directory /lib/modules/6.12.0"),
        };
        let driver = state.pci.modules.get(name).cloned().ok_or_else(unknown)?;
        state.pci.writes.push(("modprobe".into(), name.to_owned()));
        pci::register(&self.folder, &driver, Some(name))
            .map_err(|_| failure(Operation::Run, name.as_bytes(), errno::EIO))
    }

    fn run_mdevctl(&self, arguments: &[&str], input: Option<&str>, _: &[FileLock]) -> Result<Ran, SysError> {
        let mut state = self.step(Operation::Run, b"mdevctl")?;
        if !arguments.contains(&"--help") {
            state.pci.writes.push(("mdevctl".into(), arguments.join(" ")));
        }
        mdev::run(&self.folder, &mut state.faults, arguments, input)
            .map_err(|errno| failure(Operation::Run, b"mdevctl", errno))
    }

    fn pause(&self, time: Duration) {
        let act = {
            let mut state = self.state();
            state.waited += time;
            state.meanwhile.take()
        };
        if let Some(act) = act {
            act();
        }
        // Others go on meanwhile, but time runs faster here.
        std::thread::sleep(time / 20);
    }
}
