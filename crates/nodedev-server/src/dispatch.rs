//! One call: checks in libvirt's order, then the driver.

mod audit;
mod changes;
mod connection;
mod work;

pub(crate) use work::Work;

use std::sync::Arc;

use nodedev_driver::{Error, ErrorDomain, ListFlags, XmlFlags};
use nodedev_model::CapabilityType;
use nodedev_rpc::bounds::{LENGTH_SIZE, MESSAGE_MAX, NODE_DEVICE_CAPS_LIST_MAX, NODE_DEVICE_LIST_MAX};
use nodedev_rpc::{
    Call, Callback, Device, Effect, Fault, Header, Needs, Number, OptionalText, Procedure, Reply, Str, Text,
    Void, Wire as _,
};

use crate::access::denied;
use crate::failure::Failure;
use crate::hub::Listener;
use crate::identity::Identity;
use crate::lists::Names;
use crate::outbox::{Frame, Prefix};
use crate::service::Shared;

/// What a client has opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connection {
    pub(crate) read_only: bool,
}

/// Who calls.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) service: Arc<Shared>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) identity: Arc<Identity>,
    /// Who the client itself is, whoever it acts for.
    pub(crate) peer: Arc<Identity>,
    pub(crate) connection: Option<Connection>,
}

type Answer = Result<Option<Frame>, Failure>;

/// The message of a reply.
pub(crate) fn reply(header: &Header, reply: &Reply<'_>) -> Answer {
    let mut out = Vec::new();
    reply.encode(header.serial, &mut out).map_err(|_| Fault::unencodable())?;
    Ok(Some(out.into()))
}

fn flag(yes: bool) -> Number {
    Number { number: yes.into() }
}

fn number(count: usize) -> Number {
    // What is counted is in memory and limited, so far below 2³¹.
    Number { number: i32::try_from(count).unwrap_or(i32::MAX) }
}

/// Flags that a function must not be given.
fn no_flags(flags: u32, function: &str) -> Result<(), Error> {
    if flags == 0 { Ok(()) } else { Err(Error::unsupported_flags(ErrorDomain::NODEDEV, flags, function)) }
}

/// How many names are wanted at most.
fn limit(max_names: i32, most: usize, too_many: fn() -> Fault) -> Result<usize, Fault> {
    let wanted = usize::try_from(max_names).map_err(|_| Fault::negative_max_names())?;
    if wanted > most { Err(too_many()) } else { Ok(wanted) }
}

/// Text that a driver takes. Devices have no name that is not UTF-8, and documents are.
fn text<'a>(text: &Str<'a>) -> std::borrow::Cow<'a, str> {
    text.to_string_lossy()
}

impl Caller {
    /// Refuses the call unless what it needs is open.
    fn opened(&self, call: &Call<'_>) -> Result<(), Fault> {
        match (call.needs(), self.connection) {
            (Needs::Nothing, _) | (_, Some(_)) => Ok(()),
            (Needs::Connection, None) => Err(Fault::connection_not_open()),
            (Needs::NodeDevices, None) => Err(Fault::node_devices_not_open()),
        }
    }

    fn writable(&self, procedure: Procedure) -> Result<(), Fault> {
        let read_only = self.connection.is_none_or(|connection| connection.read_only);
        if read_only && procedure.effect() == Effect::Writes {
            return Err(Fault::read_only(procedure));
        }
        Ok(())
    }

    /// Refuses the call unless the caller has all permissions that it asks for.
    pub(crate) fn allowed(
        &self,
        procedure: Procedure,
        flags: u32,
        device: Option<&str>,
    ) -> Result<(), Error> {
        let access = &self.service.access;
        if access.allows_all() {
            return Ok(());
        }
        for permission in procedure.permissions().iter().filter(|wanted| wanted.is_needed(flags)) {
            let about = device.filter(|_| permission.object == "node_device");
            if !access.allows(&self.identity, permission, about)? {
                return Err(denied());
            }
        }
        Ok(())
    }

    /// Refuses the call unless the caller may do this with the device, which must be there for that to be asked.
    fn allowed_with(&self, procedure: Procedure, flags: u32, name: &str) -> Result<(), Error> {
        if self.service.access.allows_all() {
            return Ok(());
        }
        self.service.driver.calls().lookup(name)?;
        self.allowed(procedure, flags, Some(name))
    }

    /// The devices that flags select, as far as the caller may know of them.
    fn names(&self, procedure: Procedure, flags: ListFlags) -> Result<Names, Failure> {
        let names = self.service.lists.get(&*self.service.driver, flags)?;
        if self.service.access.allows_all() {
            return Ok(names);
        }
        let mut visible = Vec::new();
        for name in names.iter() {
            let name = text(&name);
            if self.may_know(procedure, &name)? {
                visible.push(name);
            }
        }
        Ok(Names::of(visible.iter().map(AsRef::as_ref)))
    }

    /// Whether the caller may find a device in the result of a call.
    pub(crate) fn may_know(&self, procedure: Procedure, device: &str) -> Result<bool, Error> {
        let access = &self.service.access;
        if access.allows_all() {
            return Ok(true);
        }
        for permission in procedure.filter() {
            if !access.allows(&self.identity, permission, Some(device))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The devices with a capability; all without one.
    fn with_capability(&self, procedure: Procedure, capability: Option<Str<'_>>) -> Result<Names, Failure> {
        let flags = match capability.map(|name| text(&name).parse::<CapabilityType>()) {
            None => ListFlags::empty(),
            Some(Ok(kind)) => ListFlags::capability(kind),
            Some(Err(_)) => return Ok(Names::of([])),
        };
        self.names(procedure, flags)
    }

    /// Runs a call. Nothing comes back if the reply is in the client's queue already.
    pub(crate) fn answer(&self, header: &Header, call: &Call<'_>) -> Answer {
        self.opened(call)?;
        let procedure = call.procedure();
        let calls = self.service.driver.calls();
        let answer = match call {
            Call::NodeNumOfDevices(wanted) => {
                self.allowed(procedure, 0, None)?;
                no_flags(wanted.flags, "nodeNumOfDevices")?;
                Reply::NodeNumOfDevices(number(self.with_capability(procedure, wanted.capability)?.count))
            }
            Call::NodeListDevices(wanted) => {
                let most = limit(wanted.max_names, NODE_DEVICE_LIST_MAX, Fault::too_many_names_wanted)?;
                self.allowed(procedure, 0, None)?;
                no_flags(wanted.flags, "nodeListDevices")?;
                let names = self.with_capability(procedure, wanted.capability)?.first(most);
                return list(header, &names, &[]);
            }
            Call::ConnectListAllNodeDevices(wanted) => {
                let flags = ListFlags::from_bits_retain(wanted.flags);
                flags.check(ErrorDomain::NODEDEV, "nodeConnectListAllNodeDevices")?;
                self.allowed(procedure, 0, None)?;
                let names = self.names(procedure, flags)?;
                if names.count > NODE_DEVICE_LIST_MAX {
                    return Err(Fault::too_many_devices(names.count).into());
                }
                // Limited above.
                let count = u32::try_from(names.count).unwrap_or(u32::MAX).to_be_bytes();
                let shown = if wanted.need_results == 0 { Names::of([]) } else { names };
                return list(header, &shown, &count);
            }
            Call::NodeDeviceLookupByName(Device { name }) => {
                calls.lookup(&text(name))?;
                self.allowed(procedure, 0, Some(&text(name)))?;
                Reply::NodeDeviceLookupByName(Device { name: *name })
            }
            Call::NodeDeviceLookupScsiHostByWwn(names) => {
                no_flags(names.flags, "nodeDeviceLookupSCSIHostByWWN")?;
                let found =
                    calls.lookup_scsi_host_by_wwn(&text(&names.wwnn), &text(&names.wwpn), names.flags)?;
                self.allowed(procedure, 0, Some(found.as_str()))?;
                let name = Str::truncated(found.as_str());
                return reply(header, &Reply::NodeDeviceLookupScsiHostByWwn(Device { name }));
            }
            Call::NodeDeviceGetXmlDesc(wanted) => {
                let name = text(&wanted.name);
                let flags = XmlFlags::from_bits_retain(wanted.flags);
                flags.check(ErrorDomain::NODEDEV, "nodeDeviceGetXMLDesc")?;
                self.allowed_with(procedure, 0, &name)?;
                let xml = calls.xml(&name, flags)?;
                let text = Str::new(&xml).map_err(|_| Fault::unencodable())?;
                return reply(header, &Reply::NodeDeviceGetXmlDesc(Text { text }));
            }
            Call::NodeDeviceGetParent(Device { name }) => {
                let name = text(name);
                calls.lookup(&name)?;
                self.allowed(procedure, 0, Some(&name))?;
                let parent = calls.parent(&name)?;
                let text = parent.as_ref().map(|parent| Str::truncated(parent.as_str()));
                return reply(header, &Reply::NodeDeviceGetParent(OptionalText { text }));
            }
            Call::NodeDeviceNumOfCaps(Device { name }) => {
                self.allowed_with(procedure, 0, &text(name))?;
                Reply::NodeDeviceNumOfCaps(number(calls.count_capabilities(&text(name))?))
            }
            Call::NodeDeviceListCaps(wanted) => {
                let too_many = Fault::too_many_capabilities_wanted;
                let most = limit(wanted.max_names, NODE_DEVICE_CAPS_LIST_MAX, too_many)?;
                self.allowed_with(procedure, 0, &text(&wanted.name))?;
                let capabilities = calls.capabilities(&text(&wanted.name), Some(most))?;
                let names = Names::of(capabilities.iter().map(|kind| &**kind));
                return list(header, &names, &[]);
            }
            Call::NodeDeviceGetAutostart(Device { name }) => {
                self.allowed_with(procedure, 0, &text(name))?;
                Reply::NodeDeviceGetAutostart(flag(calls.autostart(&text(name))?))
            }
            Call::NodeDeviceIsPersistent(Device { name }) => {
                self.allowed_with(procedure, 0, &text(name))?;
                Reply::NodeDeviceIsPersistent(flag(calls.is_persistent(&text(name))?))
            }
            Call::NodeDeviceIsActive(Device { name }) => {
                self.allowed_with(procedure, 0, &text(name))?;
                Reply::NodeDeviceIsActive(flag(calls.is_active(&text(name))?))
            }
            Call::NodeDeviceDettach(_)
            | Call::NodeDeviceReAttach(_)
            | Call::NodeDeviceReset(_)
            | Call::NodeDeviceDetachFlags(_)
            | Call::NodeDeviceCreateXml(_)
            | Call::NodeDeviceDefineXml(_)
            | Call::NodeDeviceDestroy(_)
            | Call::NodeDeviceUndefine(_)
            | Call::NodeDeviceCreate(_)
            | Call::NodeDeviceSetAutostart(_)
            | Call::NodeDeviceUpdate(_) => return self.change(header, call),
            Call::ConnectNodeDeviceEventRegisterAny(wanted) => {
                if let nodedev_rpc::NodeDeviceEventId::Unknown(id) = wanted.event {
                    return Err(Fault::unsupported_event(id).into());
                }
                self.allowed(procedure, 0, None)?;
                let outbox = &self.listener.outbox;
                self.service.hub.register(
                    &self.listener,
                    &self.identity,
                    wanted.event,
                    wanted.device,
                    |callback| {
                        let answer = Reply::ConnectNodeDeviceEventRegisterAny(Callback { callback });
                        if let Ok(Some(frame)) = reply(header, &answer) {
                            outbox.reply(frame);
                        }
                    },
                )?;
                return Ok(None);
            }
            Call::ConnectNodeDeviceEventDeregisterAny(Callback { callback }) => {
                self.allowed(procedure, 0, None)?;
                self.service.hub.deregister(&self.listener, *callback)?;
                Reply::ConnectNodeDeviceEventDeregisterAny(Void)
            }
            _ => return self.about_connection(header, call),
        };
        reply(header, &answer)
    }
}

/// The reply of names, with what follows them.
fn list(header: &Header, names: &Names, tail: &[u8]) -> Answer {
    let count = u32::try_from(names.count).unwrap_or(u32::MAX).to_be_bytes();
    framed(header, &count, names.encoded.clone(), tail).map(Some)
}

/// The reply whose middle may be shared with others.
pub(crate) fn framed(header: &Header, first: &[u8], body: Prefix, tail: &[u8]) -> Result<Frame, Failure> {
    let mut head = vec![0; LENGTH_SIZE];
    header.reply(nodedev_rpc::Status::Ok).encode(&mut head);
    head.extend_from_slice(first);
    let length = head.len() + body.length + tail.len();
    if length > MESSAGE_MAX {
        return Err(Fault::unencodable().into());
    }
    let word = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(place) = head.first_chunk_mut() {
        *place = word;
    }
    Ok(Frame { head, body: Some(body), tail: tail.to_vec() })
}
