//! One call: checks in libvirt's order, then the driver.

use std::sync::Arc;

use nodedev_driver::{CreateFlags, Error, ErrorDomain, ListFlags, UpdateFlags, XmlFlags};
use nodedev_model::CapabilityType;
use nodedev_rpc::bounds::{LENGTH_SIZE, MESSAGE_MAX, NODE_DEVICE_CAPS_LIST_MAX, NODE_DEVICE_LIST_MAX};
use nodedev_rpc::{
    Call, Callback, Device, Effect, Fault, Feature, Header, Needs, Number, OptionalText, Procedure, Reply,
    Str, Text, Version, Void, Wire as _,
};
use tokio::sync::SemaphorePermit;

use crate::access::denied;
use crate::failure::Failure;
use crate::host;
use crate::hub::Listener;
use crate::identity::Identity;
use crate::lists::Names;
use crate::outbox::Frame;
use crate::service::Shared;

/// libvirt's version, as which the daemon presents itself: 11.3.0.
const LIB_VERSION: u64 = 11_003_000;

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
    pub(crate) connection: Option<Connection>,
}

/// A call that is to be run: owns what it was sent.
pub(crate) struct Work {
    pub(crate) header: Header,
    pub(crate) procedure: Procedure,
    pub(crate) payload: Vec<u8>,
    pub(crate) caller: Caller,
}

type Answer = Result<Option<Frame>, Failure>;

impl Work {
    /// Whether the call takes no longer than handing it to another thread: what it asks for is in the driver's index,
    /// or kept here.
    pub(crate) fn is_instant(&self) -> bool {
        use Procedure as P;
        match self.procedure {
            P::NodeDeviceLookupByName
            | P::NodeDeviceGetParent
            | P::NodeDeviceIsActive
            | P::NodeDeviceIsPersistent
            | P::NodeDeviceGetAutostart => self.waits_for_nobody(),
            P::ConnectListAllNodeDevices => self.waits_for_nobody() && self.is_list_kept(),
            _ => false,
        }
    }

    /// Leave to run a call that looks at one device where it arrived, if no more of those who serve clients do that than
    /// may. It takes a few dozen microseconds, of which handing it to another thread and back would be half; but a device
    /// whose driver answers late must not keep them all.
    pub(crate) fn leave_to_look(&self) -> Option<SemaphorePermit<'_>> {
        use Procedure as P;
        let looks_at_one = matches!(
            self.procedure,
            P::NodeDeviceGetXmlDesc | P::NodeDeviceNumOfCaps | P::NodeDeviceListCaps
        );
        let may = looks_at_one && self.waits_for_nobody();
        if may { self.caller.service.lookers.try_acquire().ok() } else { None }
    }

    /// Whether neither access control nor the first look at the devices is to be waited for.
    fn waits_for_nobody(&self) -> bool {
        let service = &self.caller.service;
        service.access.allows_all() && service.hub.is_ready()
    }

    fn is_list_kept(&self) -> bool {
        let service = &self.caller.service;
        match Call::decode(self.procedure, &self.payload) {
            Ok(Call::ConnectListAllNodeDevices(wanted)) => {
                service.lists.has(&*service.driver, ListFlags::from_bits_retain(wanted.flags))
            }
            _ => false,
        }
    }

    /// Runs the call; its reply is in the client's queue afterwards.
    pub(crate) fn run(&self) {
        let Self { header, procedure, payload, caller } = self;
        let answer = Call::decode(*procedure, payload)
            .map_err(|_| Fault::undecodable().into())
            .and_then(|call| caller.answer(header, &call));
        match answer {
            Ok(Some(frame)) => caller.listener.outbox.reply(frame),
            Ok(None) => {}
            Err(failure) => {
                failure.log(*procedure);
                caller.listener.outbox.reply(failure.encode(header).into());
            }
        }
    }
}

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
        self.service.driver.lookup(name)?;
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
        let driver = &*self.service.driver;
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
                driver.lookup(&text(name))?;
                self.allowed(procedure, 0, Some(&text(name)))?;
                Reply::NodeDeviceLookupByName(Device { name: *name })
            }
            Call::NodeDeviceLookupScsiHostByWwn(names) => {
                no_flags(names.flags, "nodeDeviceLookupSCSIHostByWWN")?;
                let found = driver.lookup_scsi_host_by_wwn(&text(&names.wwnn), &text(&names.wwpn))?;
                self.allowed(procedure, 0, Some(found.name.as_str()))?;
                let name = Str::truncated(found.name.as_str());
                return reply(header, &Reply::NodeDeviceLookupScsiHostByWwn(Device { name }));
            }
            Call::NodeDeviceGetXmlDesc(wanted) => {
                let name = text(&wanted.name);
                let flags = XmlFlags::from_bits_retain(wanted.flags);
                flags.check(ErrorDomain::NODEDEV, "nodeDeviceGetXMLDesc")?;
                self.allowed_with(procedure, 0, &name)?;
                let xml = driver.xml(&name, flags)?;
                let text = Str::new(&xml).map_err(|_| Fault::unencodable())?;
                return reply(header, &Reply::NodeDeviceGetXmlDesc(Text { text }));
            }
            Call::NodeDeviceGetParent(Device { name }) => {
                let name = text(name);
                driver.lookup(&name)?;
                // libvirt's daemon looks the device up, and has its parent with that: it asks for nothing more.
                self.allowed(Procedure::NodeDeviceLookupByName, 0, Some(&name))?;
                let parent = driver.parent(&name)?;
                let text = parent.as_ref().map(|parent| Str::truncated(parent.as_str()));
                return reply(header, &Reply::NodeDeviceGetParent(OptionalText { text }));
            }
            Call::NodeDeviceNumOfCaps(Device { name }) => {
                self.allowed_with(procedure, 0, &text(name))?;
                Reply::NodeDeviceNumOfCaps(number(driver.capabilities(&text(name))?.len()))
            }
            Call::NodeDeviceListCaps(wanted) => {
                let too_many = Fault::too_many_capabilities_wanted;
                let most = limit(wanted.max_names, NODE_DEVICE_CAPS_LIST_MAX, too_many)?;
                self.allowed_with(procedure, 0, &text(&wanted.name))?;
                let capabilities = driver.capabilities(&text(&wanted.name))?;
                let names = Names::of(capabilities.iter().take(most).map(|kind| kind.as_str()));
                return list(header, &names, &[]);
            }
            Call::NodeDeviceGetAutostart(Device { name }) => {
                self.allowed_with(procedure, 0, &text(name))?;
                Reply::NodeDeviceGetAutostart(flag(driver.autostart(&text(name))?))
            }
            Call::NodeDeviceIsPersistent(Device { name }) => {
                self.allowed_with(procedure, 0, &text(name))?;
                Reply::NodeDeviceIsPersistent(flag(driver.is_persistent(&text(name))?))
            }
            Call::NodeDeviceIsActive(Device { name }) => {
                self.allowed_with(procedure, 0, &text(name))?;
                Reply::NodeDeviceIsActive(flag(driver.is_active(&text(name))?))
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

    /// Runs a call that changes a device.
    fn change(&self, header: &Header, call: &Call<'_>) -> Answer {
        let procedure = call.procedure();
        self.writable(procedure)?;
        let driver = &*self.service.driver;
        let answer = match call {
            Call::NodeDeviceDettach(Device { name }) => {
                self.allowed_with(procedure, 0, &text(name))?;
                driver.detach(&text(name), None)?;
                Reply::NodeDeviceDettach(Void)
            }
            Call::NodeDeviceReAttach(Device { name }) => {
                self.allowed_with(procedure, 0, &text(name))?;
                driver.reattach(&text(name))?;
                Reply::NodeDeviceReAttach(Void)
            }
            Call::NodeDeviceReset(Device { name }) => {
                self.allowed_with(procedure, 0, &text(name))?;
                driver.reset(&text(name))?;
                Reply::NodeDeviceReset(Void)
            }
            Call::NodeDeviceDetachFlags(detach) => {
                self.allowed_with(procedure, 0, &text(&detach.name))?;
                // None are known, and no driver could be told of any.
                if detach.flags != 0 {
                    return Err(Fault::no_support(procedure.number()).into());
                }
                driver.detach(&text(&detach.name), detach.driver.as_ref().map(text).as_deref())?;
                Reply::NodeDeviceDetachFlags(Void)
            }
            Call::NodeDeviceCreateXml(document) => {
                let flags = CreateFlags::from_bits_retain(document.flags);
                flags.check(ErrorDomain::NODEDEV, "nodeDeviceCreateXML")?;
                self.allowed(procedure, 0, None)?;
                let made = driver.create_xml(document.xml.as_bytes(), flags)?;
                let name = Str::truncated(made.name.as_str());
                return reply(header, &Reply::NodeDeviceCreateXml(Device { name }));
            }
            Call::NodeDeviceDefineXml(document) => {
                let flags = CreateFlags::from_bits_retain(document.flags);
                flags.check(ErrorDomain::NODEDEV, "nodeDeviceDefineXML")?;
                self.allowed(procedure, 0, None)?;
                let made = driver.define_xml(document.xml.as_bytes(), flags)?;
                let name = Str::truncated(made.name.as_str());
                return reply(header, &Reply::NodeDeviceDefineXml(Device { name }));
            }
            Call::NodeDeviceDestroy(Device { name }) => {
                self.allowed_with(procedure, 0, &text(name))?;
                driver.destroy(&text(name))?;
                Reply::NodeDeviceDestroy(Void)
            }
            Call::NodeDeviceUndefine(wanted) => {
                no_flags(wanted.flags, "nodeDeviceUndefine")?;
                self.allowed_with(procedure, 0, &text(&wanted.name))?;
                driver.undefine(&text(&wanted.name))?;
                Reply::NodeDeviceUndefine(Void)
            }
            Call::NodeDeviceCreate(wanted) => {
                no_flags(wanted.flags, "nodeDeviceCreate")?;
                self.allowed_with(procedure, 0, &text(&wanted.name))?;
                driver.create(&text(&wanted.name))?;
                Reply::NodeDeviceCreate(Void)
            }
            Call::NodeDeviceSetAutostart(wanted) => {
                self.allowed_with(procedure, 0, &text(&wanted.name))?;
                driver.set_autostart(&text(&wanted.name), wanted.autostart != 0)?;
                Reply::NodeDeviceSetAutostart(Void)
            }
            Call::NodeDeviceUpdate(update) => {
                let name = text(&update.name);
                let flags = UpdateFlags::from_bits_retain(update.flags);
                flags.check(ErrorDomain::NODEDEV, "nodeDeviceUpdate")?;
                self.allowed_with(procedure, update.flags, &name)?;
                driver.update(&name, update.xml.as_bytes(), flags)?;
                Reply::NodeDeviceUpdate(Void)
            }
            _ => return Err(Fault::no_support(procedure.number()).into()),
        };
        reply(header, &answer)
    }

    /// Runs a call about the connection or the machine.
    fn about_connection(&self, header: &Header, call: &Call<'_>) -> Answer {
        let procedure = call.procedure();
        if call.needs() != Needs::Nothing {
            self.allowed(procedure, 0, None)?;
        }
        let driver = &*self.service.driver;
        let answer = match call {
            Call::ConnectGetType(Void) => Reply::ConnectGetType(Text { text: Str::truncated("nodedev") }),
            Call::ConnectGetUri(Void) => {
                let uri = format!("nodedev:///{}", self.service.options.scope);
                return reply(header, &Reply::ConnectGetUri(Text { text: Str::truncated(&uri) }));
            }
            Call::ConnectGetLibVersion(Void) => Reply::ConnectGetLibVersion(Version { version: LIB_VERSION }),
            Call::ConnectIsSecure(Void) => Reply::ConnectIsSecure(flag(true)),
            Call::ConnectSupportsFeature(question) => {
                Reply::ConnectSupportsFeature(flag(has_feature(question.feature)))
            }
            Call::ConnectRegisterCloseCallback(Void) => Reply::ConnectRegisterCloseCallback(Void),
            Call::ConnectUnregisterCloseCallback(Void) => Reply::ConnectUnregisterCloseCallback(Void),
            Call::ConnectGetHostname(Void) => {
                let hostname = driver.host_info()?.hostname;
                let hostname = hostname.ok_or_else(|| Fault::no_support(procedure.number()))?;
                let text = Str::truncated(&hostname);
                return reply(header, &Reply::ConnectGetHostname(Text { text }));
            }
            Call::NodeGetInfo(Void) => Reply::NodeGetInfo(host::node_info(&driver.host_info()?)),
            Call::ConnectGetCapabilities(Void) => {
                let xml = driver.host_info()?.capabilities_xml();
                let text = Str::truncated(&xml);
                return reply(header, &Reply::ConnectGetCapabilities(Text { text }));
            }
            _ => return Err(Fault::no_support(procedure.number()).into()),
        };
        reply(header, &answer)
    }
}

fn has_feature(feature: Feature) -> bool {
    matches!(
        feature,
        Feature::DescriptorPassing | Feature::Keepalive | Feature::EventCallbackIds | Feature::CloseCallback
    )
}

/// The reply of names, with what follows them.
fn list(header: &Header, names: &Names, tail: &[u8]) -> Answer {
    let mut head = vec![0; LENGTH_SIZE];
    header.reply(nodedev_rpc::Status::Ok).encode(&mut head);
    u32::try_from(names.count).unwrap_or(u32::MAX).encode(&mut head);
    let length = head.len() + names.encoded.len() + tail.len();
    if length > MESSAGE_MAX {
        return Err(Fault::unencodable().into());
    }
    let word = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(place) = head.first_chunk_mut() {
        *place = word;
    }
    Ok(Some(Frame { head, body: Some(Arc::clone(&names.encoded)), tail: tail.to_vec() }))
}
