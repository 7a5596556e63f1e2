//! The host's journal of devices that were taken from it: one file for each, on disk before the first write to the device.
//!
//! It is below `/run`, as what it tells of does not outlive the kernel either. A file is written under another name, synced
//! and renamed, so that after a crash it is there whole or not at all. The daemon, the C library and the command line share
//! it: whoever changes a device has its lock, which the kernel takes back when a process ends, however it does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nodedev_model::{DriverBinding, HandoverState, Issue, PciAddress, ResourceKind};
use nodedev_sys::paths::{BOOT_ID, HANDOVERS};
use nodedev_sys::{FileLock, HostAccess, SysError};
use serde::{Deserialize, Serialize};

use crate::function::Identity;
use crate::{OpsError, PciFunction, Result, act, kernel_driver};

/// Version of the entries' format. Version 1 had no kind of resource: all its entries are of bindings.
pub(crate) const VERSION: u32 = 2;
/// The oldest version that is read.
const OLDEST: u32 = 1;
/// Bound of an entry.
const ENTRY_LIMIT: usize = 64 << 10;
/// Bound of what a lock says of its owner.
const OWNER_LIMIT: usize = 64;
/// How long another process's change of the same device is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) version: u32,
    #[serde(default = "binding")]
    pub(crate) kind: ResourceKind,
    /// Name of the device: for people who look at the file.
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) identity: Identity,
    pub(crate) state: HandoverState,
    /// What is given back in the end; absent if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) original: Option<DriverBinding>,
    /// How the device was served when the present operation began: what undoing it leads to.
    pub(crate) before: DriverBinding,
    /// Where the present operation leads; absent where the kernel chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<DriverBinding>,
    /// The module of the original driver, to be loaded where it was unloaded meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) module: Option<String>,
    /// All devices of the operation, sorted: it is done for all or for none.
    pub(crate) members: Vec<Member>,
    /// What tells the operation from others: when it began, in nanoseconds since 1970.
    pub(crate) operation: u64,
    pub(crate) boot_id: String,
    pub(crate) pid: u32,
    pub(crate) since_seconds: u64,
    /// Why the operation could be neither finished nor undone, or whom the kernel waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

/// What entries of version 1 are about.
fn binding() -> ResourceKind {
    ResourceKind::Binding
}

/// A device of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Member {
    pub(crate) address: String,
    /// Where the operation leads it; absent where the kernel chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<DriverBinding>,
}

impl Member {
    pub(crate) fn new(function: &PciFunction, target: Option<&DriverBinding>) -> Self {
        Self { address: function.address.to_string(), target: target.cloned() }
    }
}

/// What an operation on several devices has in common.
#[derive(Debug)]
pub(crate) struct Stamp {
    members: Vec<Member>,
    boot_id: String,
    since: Duration,
}

impl Record {
    pub(crate) fn new(
        function: &PciFunction,
        identity: Identity,
        state: HandoverState,
        before: DriverBinding,
        stamp: &Stamp,
    ) -> Self {
        Self {
            version: VERSION,
            kind: ResourceKind::Binding,
            name: function.name.to_string(),
            address: function.address.to_string(),
            identity,
            state,
            original: None,
            before,
            target: None,
            module: None,
            members: stamp.members.clone(),
            boot_id: stamp.boot_id.clone(),
            pid: std::process::id(),
            operation: stamp.since.as_nanos() as u64,
            since_seconds: stamp.since.as_secs(),
            problem: None,
        }
    }

    /// Whether an operation began that did not end.
    pub(crate) fn is_in_progress(&self) -> bool {
        self.state != HandoverState::Detached
    }

    /// Whether both are of one operation.
    pub(crate) fn is_of_the_operation_of(&self, other: &Self) -> bool {
        (self.operation, self.pid, &self.members) == (other.operation, other.pid, &other.members)
    }

    /// The functions of the operation.
    pub(crate) fn functions(&self) -> Vec<PciFunction> {
        let addresses = self.members.iter().filter_map(|member| member.address.parse().ok());
        addresses.map(PciFunction::new).collect()
    }
}

/// The journal of a host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Journal<'a> {
    host: &'a dyn HostAccess,
}

impl<'a> Journal<'a> {
    pub(crate) fn of(host: &'a dyn HostAccess) -> Self {
        Self { host }
    }

    /// The entry of a function.
    pub(crate) fn read(&self, address: PciAddress) -> Result<Option<Record>> {
        let path = entry(address);
        let content = match self.host.read(&path, ENTRY_LIMIT) {
            Err(error @ SysError::TooLarge { .. }) => {
                return Err(OpsError::DamagedEntry { address, problem: error.to_string() });
            }
            content => content?,
        };
        let Some(content) = content else { return Ok(None) };
        parse(&content, address).map(Some).map_err(|problem| OpsError::DamagedEntry { address, problem })
    }

    /// Puts an entry in the place of the one that is there.
    pub(crate) fn write(&self, function: &PciFunction, record: &Record) -> Result<()> {
        let failed = |source| OpsError::Journal { device: function.address, source };
        let (path, new) = (entry(function.address), unfinished(function.address));
        let content = serde_json::to_vec_pretty(record).map_err(|error| OpsError::DamagedEntry {
            address: function.address,
            problem: error.to_string(),
        })?;
        self.host.create_file(&new, &content).map_err(failed)?;
        self.host.rename(&new, &path).map_err(failed)
    }

    pub(crate) fn remove(&self, address: PciAddress) -> Result<()> {
        self.host.remove(&entry(address)).map_err(|source| OpsError::Journal { device: address, source })
    }

    /// Addresses of all entries, whole and unfinished ones, sorted.
    pub(crate) fn addresses(&self) -> Result<Vec<PciAddress>> {
        let names = self.host.names(HANDOVERS.as_bytes())?.unwrap_or_default();
        let address = |name: &[u8]| {
            let name = name.strip_suffix(b".new").unwrap_or(name).strip_suffix(b".json")?;
            PciAddress::from_bytes(name).ok()
        };
        let mut addresses: Vec<_> = names.iter().filter_map(|name| address(name)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }

    /// A problem with an entry, as it is reported.
    pub(crate) fn issue(&self, address: PciAddress, error: &OpsError) -> Issue {
        let path = format!("/{}", String::from_utf8_lossy(&entry(address)));
        Issue { device: Some(PciFunction::new(address).name), path, problem: error.message() }
    }

    /// Removes what a crash left of an entry that was being written.
    pub(crate) fn sweep(&self, address: PciAddress) -> Result<()> {
        let path = unfinished(address);
        self.host.remove(&path).map_err(|source| OpsError::Journal { device: address, source })
    }

    /// The lock of a function; `None` if somebody else has it.
    pub(crate) fn try_lock(&self, address: PciAddress) -> Result<Option<FileLock>> {
        self.host
            .try_lock(&lock_file(address))
            .map_err(|source| OpsError::Journal { device: address, source })
    }

    /// Whether somebody is at a function. `None` where nobody knows, as for an ordinary user.
    pub(crate) fn is_locked(&self, address: PciAddress) -> Option<bool> {
        self.host.is_locked(&lock_file(address)).ok()
    }

    /// Whether the kernel does not come back from a write to a function with this entry: that was noted, and the locks are taken
    /// until it does. A device that is reset can have the entry of an operation that is over.
    pub(crate) fn is_waiting(&self, record: &Record, address: PciAddress) -> bool {
        record.problem.is_some() && self.is_locked(address).unwrap_or(record.is_in_progress())
    }

    /// The process that has the lock of a function, if it is locked.
    pub(crate) fn owner(&self, address: PciAddress) -> Option<u32> {
        let content = self.host.read(&lock_file(address), OWNER_LIMIT).ok()??;
        std::str::from_utf8(&content).ok()?.trim_end().parse().ok()
    }

    /// The locks of functions, which must be sorted so that two operations cannot wait for each other. They are waited for
    /// for so long in all.
    pub(crate) fn lock(&self, functions: &[PciFunction], patience: Duration) -> Result<Vec<FileLock>> {
        debug_assert!(functions.is_sorted(), "locks are taken in one order");
        let mut waited = Duration::ZERO;
        let mut locks = Vec::with_capacity(functions.len());
        for function in functions {
            let lock = loop {
                if let Some(lock) = self.try_lock(function.address)? {
                    break lock;
                }
                if waited >= patience {
                    return Err(self.busy(function.address));
                }
                self.host.pause(PAUSE);
                waited += PAUSE;
            };
            locks.push(lock);
        }
        Ok(locks)
    }

    /// Why a function's lock cannot be had.
    fn busy(&self, device: PciAddress) -> OpsError {
        match self.read(device) {
            Ok(Some(record)) if self.is_waiting(&record, device) => {
                let function = PciFunction::new(device);
                OpsError::Waiting { device, problem: act::waits_for(self.host, &function) }
            }
            _ => OpsError::Busy { device, pid: self.owner(device) },
        }
    }

    /// What the entries of an operation that begins now have in common.
    pub(crate) fn stamp(&self, members: impl Iterator<Item = Member>) -> Result<Stamp> {
        Ok(Stamp {
            members: members.collect(),
            boot_id: self.boot_id()?,
            since: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        })
    }

    /// The number of this boot; empty where the kernel has none.
    pub(crate) fn boot_id(&self) -> Result<String> {
        let content = self.host.read(BOOT_ID.as_bytes(), ENTRY_LIMIT)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(content.trim_ascii()).into_owned())
    }
}

fn entry(address: PciAddress) -> Vec<u8> {
    format!("{HANDOVERS}/{address}.json").into_bytes()
}

fn lock_file(address: PciAddress) -> Vec<u8> {
    format!("{HANDOVERS}/{address}.lock").into_bytes()
}

fn unfinished(address: PciAddress) -> Vec<u8> {
    format!("{HANDOVERS}/{address}.json.new").into_bytes()
}

/// Reads an entry of the journal and writes it again: for what tests readers.
///
/// # Errors
/// What is wrong with the entry.
pub fn read_again(content: &[u8], address: PciAddress) -> std::result::Result<Vec<u8>, String> {
    serde_json::to_vec_pretty(&parse(content, address)?).map_err(|error| error.to_string())
}

/// Reads an entry: nothing in it is believed that the rest does not bear out.
fn parse(content: &[u8], address: PciAddress) -> std::result::Result<Record, String> {
    let record: Record = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    if !(OLDEST..=VERSION).contains(&record.version) {
        let version = record.version;
        return Err(format!("it has version {version}, and versions {OLDEST} to {VERSION} are known here"));
    }
    if record.kind != ResourceKind::Binding {
        return Err(format!("it is about {:?}, not a binding", record.kind));
    }
    // What is written again is of the present version.
    let record = Record { version: VERSION, ..record };
    if record.address != address.to_string() {
        return Err(format!("it is about {:?}, not {address}", record.address));
    }
    let functions = record.functions();
    // Each lock is taken once, and in order.
    let is_sorted = functions.is_sorted_by(|a, b| a < b);
    let has_it = functions.iter().any(|function| function.address == address);
    if functions.len() != record.members.len() || !is_sorted || !has_it {
        return Err(
            "its list of members is not a sorted one of PCI functions with this one among them".into()
        );
    }
    let known = [Some(&record.before), record.original.as_ref(), record.target.as_ref()];
    let of_members = record.members.iter().map(|member| member.target.as_ref());
    let names =
        known.into_iter().chain(of_members).flatten().flat_map(|it| [&it.kernel_driver, &it.driver_override]);
    let of_drivers = names.flatten().find(|name| !kernel_driver::is_driver(name));
    match of_drivers.or(record.module.as_ref().filter(|name| !kernel_driver::is_name(name))) {
        Some(name) => Err(format!("{name:?} is no name of a kernel driver")),
        None => Ok(record),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry() -> Value {
        let binding = |driver: &str| json!({ "kernel_driver": driver, "driver_override": driver });
        json!({
            "version": 2, "kind": "binding", "name": "pci_0000_05_00_0", "address": "0000:05:00.0",
            "identity": {
                "vendor": "0x8086", "device": "0x10c9", "subsystem_vendor": "0x1af4", "subsystem_device": "0x1100",
                "syspath": "/sys/devices/pci0000:00/0000:05:00.0",
            },
            "state": "detaching", "original": binding("uio"), "before": binding("uio"),
            "target": binding("vfio-pci"), "module": "uio",
            "members": [{ "address": "0000:05:00.0", "target": binding("vfio-pci") }],
            "operation": 7, "boot_id": "b", "pid": 9, "since_seconds": 0,
        })
    }

    #[test]
    fn an_entry_is_read_and_written_as_it_is_or_refused_with_the_reason() {
        let address: PciAddress = "0000:05:00.0".parse().unwrap();
        let again = |entry: &Value| {
            let written = read_again(&serde_json::to_vec(entry).unwrap(), address)?;
            Ok::<Value, String>(serde_json::from_slice(&written).unwrap())
        };
        assert_eq!(again(&entry()), Ok(entry()));
        let mut old = entry();
        old["version"] = json!(1);
        old.as_object_mut().unwrap().remove("kind");
        assert_eq!(again(&old), Ok(entry()), "version 1 becomes version 2");
        for (field, value, want) in [
            ("version", json!(3), "it has version 3"),
            ("version", json!(0), "it has version 0"),
            ("kind", json!("mdev"), "it is about Mdev"),
            ("kind", json!("usb"), "usb"),
            ("address", json!("0000:05:00.1"), "it is about"),
            ("members", json!([]), "list of members"),
            ("members", json!([{ "address": "0000:05:00.1" }]), "list of members"),
            ("module", json!("../x"), "is no name of a kernel driver"),
            ("target", json!({ "kernel_driver": "a/b" }), "is no name of a kernel driver"),
            ("state", json!("asleep"), "asleep"),
            ("more", json!(1), "unknown field"),
        ] {
            let mut changed = entry();
            changed[field] = value;
            let error = again(&changed).unwrap_err();
            assert!(error.contains(want), "{field}: {error}");
        }
    }
}
