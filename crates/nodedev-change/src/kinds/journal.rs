//! Entries of changes of resources that are going on, or were interrupted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nodedev_model::{Issue, ResourceKind};
use nodedev_sys::{FileLock, HostAccess, SysError};
use serde::{Deserialize, Serialize};

use super::Resource;
use crate::journal::{Journal, PAUSE};
use crate::{OpsError, Result};

/// Version of the entries' format, the same as that of entries of bindings.
const VERSION: u32 = crate::journal::VERSION;
/// Bound of an entry. A definition of mdevctl's may have that many attributes.
const ENTRY_LIMIT: usize = 256 << 10;

/// An entry of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry<S> {
    pub(crate) version: u32,
    pub(crate) kind: ResourceKind,
    pub(crate) key: String,
    /// Name of the device: for people who look at the file.
    pub(crate) name: String,
    /// What is being done: for people.
    pub(crate) act: String,
    /// How it was: what undoing leads to.
    pub(crate) before: S,
    /// How it is to be.
    pub(crate) after: S,
    /// Whether it is done if it is seen to be as it is to be: not where a part of it cannot be seen.
    pub(crate) is_seen: bool,
    pub(crate) boot_id: String,
    pub(crate) pid: u32,
    pub(crate) since_seconds: u64,
    /// Why it could be neither finished nor undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

/// What a change says of itself in the journal.
pub(crate) struct Said<'s, S> {
    pub(crate) act: &'s str,
    pub(crate) before: &'s S,
    pub(crate) after: &'s S,
    pub(crate) is_seen: bool,
}

/// The journal of one resource.
pub(crate) struct ResourceJournal<'a, R> {
    host: &'a dyn HostAccess,
    resource: &'a R,
}

impl<'a, R: Resource> ResourceJournal<'a, R> {
    pub(crate) fn of(host: &'a dyn HostAccess, resource: &'a R) -> Self {
        Self { host, resource }
    }

    fn file(&self, extension: &str) -> Vec<u8> {
        format!("{}/{}.{extension}", R::FOLDER, self.resource.key()).into_bytes()
    }

    fn damaged(&self, problem: String) -> OpsError {
        OpsError::DamagedChange { path: format!("/{}", String::from_utf8_lossy(&self.file("json"))), problem }
    }

    fn failed(&self, source: SysError) -> OpsError {
        OpsError::ChangeJournal { name: self.resource.called(), source }
    }

    pub(crate) fn read(&self) -> Result<Option<Entry<R::State>>> {
        let content = match self.host.read(&self.file("json"), ENTRY_LIMIT) {
            Err(error @ SysError::TooLarge { .. }) => return Err(self.damaged(error.to_string())),
            content => content?,
        };
        let Some(content) = content else { return Ok(None) };
        parse::<R>(&content, &self.resource.key()).map(Some).map_err(|problem| self.damaged(problem))
    }

    pub(crate) fn begin(&self, said: Said<'_, R::State>) -> Result<Entry<R::State>> {
        let Said { act, before, after, is_seen } = said;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let entry = Entry {
            version: VERSION,
            kind: R::KIND,
            key: self.resource.key(),
            name: self.resource.called(),
            act: act.to_owned(),
            before: before.clone(),
            after: after.clone(),
            is_seen,
            boot_id: Journal::of(self.host).boot_id()?,
            pid: std::process::id(),
            since_seconds: since.as_secs(),
            problem: None,
        };
        self.write(&entry)?;
        Ok(entry)
    }

    pub(crate) fn write(&self, entry: &Entry<R::State>) -> Result<()> {
        let content = serde_json::to_vec_pretty(entry).map_err(|error| self.damaged(error.to_string()))?;
        if content.len() > ENTRY_LIMIT {
            return Err(self.damaged(format!("it would have more than {ENTRY_LIMIT} bytes")));
        }
        let new = self.file("json.new");
        self.host.create_file(&new, &content).map_err(|source| self.failed(source))?;
        self.host.rename(&new, &self.file("json")).map_err(|source| self.failed(source))
    }

    pub(crate) fn remove(&self) -> Result<()> {
        self.host.remove(&self.file("json")).map_err(|source| self.failed(source))
    }

    /// Removes what a crash left of an entry that was being written.
    pub(crate) fn sweep(&self) -> Result<()> {
        self.host.remove(&self.file("json.new")).map_err(|source| self.failed(source))
    }

    /// The locks of the resource, waited for so long in all.
    pub(crate) fn lock(&self, patience: Duration) -> Result<Vec<FileLock>> {
        let mut files = self.resource.locks(self.host)?;
        files.push(self.file("lock"));
        let mut waited = Duration::ZERO;
        let mut locks = Vec::with_capacity(files.len());
        for file in &files {
            let lock = loop {
                if let Some(lock) = self.host.try_lock(file).map_err(|source| self.failed(source))? {
                    break lock;
                }
                if waited >= patience {
                    return Err(OpsError::ChangeBusy { name: self.resource.called(), pid: self.owner(file) });
                }
                self.host.pause(PAUSE);
                waited += PAUSE;
            };
            locks.push(lock);
        }
        Ok(locks)
    }

    fn owner(&self, file: &[u8]) -> Option<u32> {
        let content = self.host.read(file, 64).ok()??;
        std::str::from_utf8(&content).ok()?.trim_end().parse().ok()
    }

    /// A problem with the entry, as it is reported.
    pub(crate) fn issue(&self, problem: String) -> Issue {
        let path = format!("/{}", String::from_utf8_lossy(&self.file("json")));
        Issue { device: self.resource.name(), path, problem }
    }
}

/// The resources of a kind that have an entry, whole or unfinished.
pub(crate) fn all<R: Resource>(host: &dyn HostAccess) -> Result<Vec<R>> {
    let names = host.names(R::FOLDER.as_bytes())?.unwrap_or_default();
    let key = |name: &[u8]| {
        let name = name.strip_suffix(b".new").unwrap_or(name).strip_suffix(b".json")?;
        std::str::from_utf8(name).ok().map(str::to_owned)
    };
    let mut keys: Vec<_> = names.iter().filter_map(|name| key(name)).collect();
    keys.sort_unstable();
    keys.dedup();
    Ok(keys.iter().filter_map(|key| R::from_key(key)).collect())
}

/// Reads an entry: nothing in it is believed that the rest does not bear out.
pub(crate) fn parse<R: Resource>(content: &[u8], key: &str) -> std::result::Result<Entry<R::State>, String> {
    let entry: Entry<R::State> = serde_json::from_slice(content).map_err(|error| error.to_string())?;
    if entry.version != VERSION {
        return Err(format!("it has version {}, and version {VERSION} is known here", entry.version));
    }
    if entry.kind != R::KIND || entry.key != key {
        return Err(format!("it is about {:?} {:?}, not {:?} {key:?}", entry.kind, entry.key, R::KIND));
    }
    Ok(entry)
}
