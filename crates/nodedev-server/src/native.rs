//! Calls of program NODEDEV, and changes as it tells them.

use std::sync::Arc;

use nodedev_driver::{
    Entry, Error, ErrorCode, ErrorDomain, Event, LibvirtChange, LibvirtEvent, Revision, Snapshot, View,
};
use nodedev_model::Visibility;
use nodedev_rpc::{
    Array, Callback, Fault, Header, NativeCall, NativeChange, NativeEntry, NativeProcedure, NativeReply,
    NativeSnapshot, Procedure, Str, Void, WatchBegun, Wire as _,
};

use crate::dispatch::{Caller, framed};
use crate::failure::Failure;
use crate::lanes::Lane;
use crate::ledger::Incoming;

/// The revision of every recording.
const RECORDED: Revision = Revision { history: 0, number: 0 };

/// A call that is to be run: owns what it was sent.
pub(crate) struct NativeWork {
    pub(crate) header: Header,
    pub(crate) procedure: NativeProcedure,
    pub(crate) payload: Vec<u8>,
    pub(crate) caller: Caller,
    /// What it counts as until it was run.
    pub(crate) _charge: Option<Incoming>,
}

impl NativeWork {
    pub(crate) fn lane(&self) -> Lane {
        Lane::of(self.procedure.cost())
    }

    /// Runs the call; its reply is in the client's queue afterwards.
    pub(crate) fn run(self) {
        let Self { header, procedure, payload, caller, .. } = &self;
        let answer = NativeCall::decode(*procedure, payload)
            .map_err(|_| Fault::undecodable().into())
            .and_then(|call| caller.answer_native(header, &call));
        if let Err(failure) = answer {
            failure.log(*procedure);
            caller.listener.outbox.reply(failure.encode(header).into());
        }
    }
}

impl Caller {
    /// Runs a call, and puts the reply into the client's queue.
    fn answer_native(&self, header: &Header, call: &NativeCall<'_>) -> Result<(), Failure> {
        // All of it is a list that goes on.
        self.allowed(Procedure::ConnectListAllNodeDevices, 0, None)?;
        match call {
            NativeCall::Snapshot(question) => {
                let view = if question.native { View::Native } else { View::Libvirt };
                let service = &self.service;
                let body = match service.access.allows_all() {
                    true => service.lists.snapshot(&*service.driver, view, || self.encode_snapshot(view))?,
                    false => Arc::<[u8]>::from(self.encode_snapshot(view)?).into(),
                };
                self.listener.outbox.reply(framed(header, &[], body, &[])?);
                Ok(())
            }
            NativeCall::Watch(question) => {
                let since = question.since.map(revision).transpose()?;
                let mut answered = Ok(());
                self.service.hub.watch_changes(
                    &self.listener,
                    &self.identity,
                    since,
                    |callback, revision| {
                        let text = revision.to_string();
                        let begun = WatchBegun { callback, revision: Str::truncated(&text) };
                        answered = self.reply_native(header, &NativeReply::Watch(begun));
                    },
                )?;
                answered
            }
            NativeCall::Unwatch(Callback { callback }) => {
                self.service.hub.unwatch(&self.listener, *callback)?;
                self.reply_native(header, &NativeReply::Unwatch(Void))
            }
        }
    }

    /// The devices that the caller may know of, as they go over the wire.
    fn encode_snapshot(&self, view: View) -> Result<Vec<u8>, Failure> {
        let snapshot = self.snapshot(view)?;
        let revision = snapshot.revision.to_string();
        let mut entries = Vec::with_capacity(snapshot.entries.len());
        for known in &snapshot.entries {
            if self.may_know(Procedure::ConnectListAllNodeDevices, known.name.as_str())? {
                entries.push(entry(known));
            }
        }
        let entries = Array::new(entries).map_err(|_| Fault::unencodable())?;
        let mut out = Vec::new();
        NativeSnapshot { revision: Str::truncated(&revision), entries }.encode(&mut out);
        Ok(out)
    }

    /// The devices and their revision. A recording has one for ever, as nothing changes.
    fn snapshot(&self, view: View) -> Result<Snapshot, Error> {
        let driver = &self.service.driver;
        if self.service.options.is_recording {
            return Ok(Snapshot { revision: RECORDED, entries: driver.devices()?.entries(view)? });
        }
        driver.changes()?.snapshot(view)
    }

    fn reply_native(&self, header: &Header, reply: &NativeReply<'_>) -> Result<(), Failure> {
        let mut out = Vec::new();
        reply.encode(header.serial, &mut out).map_err(|_| Fault::unencodable())?;
        self.listener.outbox.reply(out.into());
        Ok(())
    }
}

fn revision(text: Str<'_>) -> Result<Revision, Error> {
    text.to_string_lossy().parse().map_err(|error: nodedev_driver::InvalidRevision| {
        let text = text.to_string_lossy();
        Error::new(ErrorDomain::NODEDEV, ErrorCode::INVALID_ARG, format!("'{text}': {error}"))
    })
}

/// A change as its message; the number of the watch is filled in for each.
pub(crate) fn change<'a>(event: &'a Event, revision: &'a str) -> NativeChange<'a> {
    let kernel_driver = match &event.change {
        nodedev_driver::Change::DriverBound { kernel_driver } => Some(kernel_driver.as_bytes()),
        _ => None,
    };
    NativeChange {
        callback: 0,
        revision: Str::truncated(revision),
        name: Str::truncated(event.name.as_str()),
        change: Str::truncated(event.change.as_str()),
        former: event.change.former_name().map(|name| Str::truncated(name.as_str())),
        kernel_driver: kernel_driver.map(Str::truncated),
        libvirt: match event.libvirt {
            LibvirtChange::Unseen => -1,
            LibvirtChange::One(LibvirtEvent::Created) => 0,
            LibvirtChange::One(LibvirtEvent::Deleted) => 1,
            LibvirtChange::One(LibvirtEvent::Defined) => 2,
            LibvirtChange::One(LibvirtEvent::Undefined) => 3,
            LibvirtChange::One(LibvirtEvent::Updated) => 4,
            LibvirtChange::Replaced => 5,
        },
        entry: event.entry.as_ref().map(entry),
    }
}

fn entry(entry: &Entry) -> NativeEntry<'_> {
    let Entry { name, parent, kind, visibility, state } = entry;
    NativeEntry {
        name: Str::truncated(name.as_str()),
        parent: parent.as_ref().map(|parent| Str::truncated(parent.as_str())),
        kind: Str::truncated(&**kind),
        in_libvirt: *visibility == Visibility::Libvirt,
        active: state.active,
        persistent: state.persistent,
        autostart: state.autostart,
    }
}
