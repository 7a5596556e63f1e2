//! Program NODEDEV, which `nodedevd` serves: snapshots and resumable watches.

use std::collections::HashMap;
use std::sync::mpsc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nodedev_driver::{
    Change, Entry, Error, ErrorCode, Event, EventLog, LibvirtChange, LibvirtEvent, Result, Revision,
    Snapshot, View, Watch,
};
use nodedev_model::{DeviceName, DeviceState, Text, Visibility};
use nodedev_rpc::{
    Callback, ErrorObject, NativeCall, NativeChange, NativeEntry, NativeEvent, NativeProcedure, NativeReply,
    Packet, Reader, SnapshotQuestion, Status, Str, WatchQuestion, Wire as _,
};

use crate::failure;
use crate::link::Link;
use crate::shared::Answer;

/// Changes that a watch keeps until they are fetched: as many as `nodedevd` itself keeps.
const HISTORY: usize = 1 << 16;

/// Watches of the daemon that have begun, by their numbers.
#[derive(Default)]
pub(crate) struct Watches(Mutex<HashMap<i32, Begun>>);

struct Begun {
    log: EventLog,
    /// Until its caller has come for it.
    watch: Option<Watch>,
}

impl Watches {
    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Begun>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a watch from the reply to its call: the next message can be a change for it.
    pub(crate) fn begin(&self, packet: &Packet<'_>) -> Result<()> {
        if packet.header.status != Status::Ok {
            return Ok(());
        }
        let reply =
            NativeReply::decode(NativeProcedure::Watch, packet.payload).map_err(failure::violation)?;
        let NativeReply::Watch(begun) = reply else { return Ok(()) };
        let revision = to_revision(begun.revision)?;
        let log = EventLog::continuing(revision, HISTORY);
        let watch = Some(log.watch(Some(revision))?);
        let mut watches = self.lock();
        if watches.get(&begun.callback).is_some_and(|known| known.log.is_shared()) {
            // Its changes could be either's, and the first would wait for ever.
            return Err(failure::violation(format_args!("two watches have number {}", begun.callback)));
        }
        watches.insert(begun.callback, Begun { log, watch });
        Ok(())
    }

    fn fetch(&self, callback: i32) -> Option<Watch> {
        self.lock().get_mut(&callback)?.watch.take()
    }

    /// Gives a message of the daemon to its watch. A watch of which nobody has an end any more is returned by its number:
    /// it is to be ended.
    pub(crate) fn take(&self, event: &NativeEvent<'_>) -> Result<Option<i32>> {
        let callback = match event {
            NativeEvent::Change(change) => change.callback,
            NativeEvent::Missed(missed) => missed.callback,
            NativeEvent::Unknown(_) => return Ok(None),
        };
        let mut watches = self.lock();
        // What was on its way when a watch was ended is for nobody.
        let Some(begun) = watches.get(&callback) else { return Ok(None) };
        if !begun.log.is_shared() {
            watches.remove(&callback);
            return Ok(Some(callback));
        }
        let goes_on = match event {
            NativeEvent::Change(change) => begun.log.append(to_event(change)?),
            NativeEvent::Missed(missed) => begun.log.skip_to(to_revision(missed.revision)?),
            NativeEvent::Unknown(_) => true,
        };
        if goes_on { Ok(None) } else { Err(failure::violation("a change does not follow the one before it")) }
    }

    /// Removes the watches that nobody has any more.
    fn abandoned(&self) -> Vec<i32> {
        let mut watches = self.lock();
        let gone: Vec<i32> =
            watches.iter().filter(|(_, begun)| !begun.log.is_shared()).map(|(number, _)| *number).collect();
        gone.iter().for_each(|number| drop(watches.remove(number)));
        gone
    }

    /// No more changes come.
    pub(crate) fn end(&self, reason: Option<&Error>) {
        for begun in self.lock().values() {
            begun.log.end(reason.cloned());
        }
    }
}

impl Link {
    /// Makes a call of the program; `None` if the daemon does not serve it.
    pub(crate) fn call_native<T>(
        &self,
        call: &NativeCall<'_>,
        read: impl for<'a> FnOnce(NativeReply<'a>) -> Result<T>,
    ) -> Result<Option<T>> {
        let (answers, answer) = mpsc::channel();
        self.submit(call, 0, &answers)?;
        drop(answers);
        let message = match answer.recv() {
            Ok((_, Answer::Reply(message))) => message,
            Ok((_, Answer::Lost(error))) => return Err(error),
            // The reader answers or fails every call.
            Err(mpsc::RecvError) => return Err(failure::closed()),
        };
        let Packet { header, payload, .. } = message.packet();
        match header.status {
            Status::Ok => {
                let reply = NativeReply::decode(call.procedure(), payload).map_err(failure::violation)?;
                read(reply).map(Some)
            }
            Status::Error => {
                let error = ErrorObject::decode(&mut Reader::new(payload)).map_err(failure::violation)?;
                if error.is_unknown_program() { Ok(None) } else { Err(failure::of_daemon(&error)) }
            }
            other => Err(failure::violation(format_args!("the reply's status is {}", u32::from(other)))),
        }
    }

    /// The devices of a view and the daemon's revision; `None` if the daemon does not serve the program.
    pub(crate) fn snapshot(&self, view: View) -> Result<Option<Snapshot>> {
        let question = SnapshotQuestion { native: view == View::Native };
        self.call_native(&NativeCall::Snapshot(question), |reply| match reply {
            NativeReply::Snapshot(snapshot) => {
                let mut entries: Vec<Entry> = snapshot.entries.iter().map(to_entry).collect::<Result<_>>()?;
                entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
                entries.dedup_by(|a, b| a.name == b.name);
                Ok(Snapshot { revision: to_revision(snapshot.revision)?, entries })
            }
            _ => Err(failure::violation("another reply than that to Snapshot")),
        })
    }

    /// A watch of the daemon's own history; `None` if the daemon does not serve the program.
    pub(crate) fn watch(&self, since: Option<Revision>) -> Result<Option<Watch>> {
        for callback in self.shared().watches.abandoned() {
            // The number is known to the daemon, and nobody waits for more of it.
            self.call_native(&NativeCall::Unwatch(Callback { callback }), |_| Ok(()))?;
        }
        let text = since.map(|since| since.to_string());
        let question = WatchQuestion { since: text.as_deref().map(Str::truncated) };
        let begun = self.call_native(&NativeCall::Watch(question), |reply| match reply {
            NativeReply::Watch(begun) => {
                let watch = self.shared().watches.fetch(begun.callback);
                watch.ok_or_else(|| failure::violation("a watch was not begun"))
            }
            _ => Err(failure::violation("another reply than that to Watch")),
        });
        match (begun, since) {
            // A daemon's errors have no advice with them.
            (Err(error), Some(since))
                if error.code() == ErrorCode::OPERATION_INVALID
                    && error.message() == Error::history_gone(&since.to_string()).message() =>
            {
                Err(Error::history_gone(&since.to_string()))
            }
            (begun, _) => begun,
        }
    }
}

fn to_text(text: Str<'_>) -> Result<&str> {
    text.to_str().map_err(|_| failure::violation(format_args!("{text:?} is not UTF-8")))
}

fn to_name(text: Str<'_>) -> Result<DeviceName> {
    to_text(text)?.parse().map_err(failure::violation)
}

fn to_revision(text: Str<'_>) -> Result<Revision> {
    to_text(text)?.parse().map_err(failure::violation)
}

fn to_entry(entry: &NativeEntry<'_>) -> Result<Entry> {
    Ok(Entry {
        name: to_name(entry.name)?,
        parent: entry.parent.map(to_name).transpose()?,
        kind: to_text(entry.kind)?.to_owned().into(),
        visibility: if entry.in_libvirt { Visibility::Libvirt } else { Visibility::Native },
        state: DeviceState { active: entry.active, persistent: entry.persistent, autostart: entry.autostart },
    })
}

fn to_event(change: &NativeChange<'_>) -> Result<Event> {
    let former = change.former.map(to_name).transpose()?;
    let kernel_driver = change.kernel_driver.map(|text| Text::from(text.as_bytes()));
    let entry = change.entry.as_ref().map(to_entry).transpose()?;
    // A newer daemon may have words of its own: something is another way, or it is gone.
    let unknown = if entry.is_some() { Change::Updated } else { Change::Deleted };
    Ok(Event {
        revision: to_revision(change.revision)?,
        name: to_name(change.name)?,
        change: Change::from_word(to_text(change.change)?, former, kernel_driver).unwrap_or(unknown),
        libvirt: match change.libvirt {
            0 => LibvirtChange::One(LibvirtEvent::Created),
            1 => LibvirtChange::One(LibvirtEvent::Deleted),
            2 => LibvirtChange::One(LibvirtEvent::Defined),
            3 => LibvirtChange::One(LibvirtEvent::Undefined),
            4 => LibvirtChange::One(LibvirtEvent::Updated),
            5 => LibvirtChange::Replaced,
            _ => LibvirtChange::Unseen,
        },
        entry,
    })
}
