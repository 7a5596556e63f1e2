use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use nodedev_driver::{
    CreateFlags, DeviceRef, Driver, Entry, Error, ErrorCode, ListFlags, RemoteUri, Result, Revision,
    Snapshot, UpdateFlags, View, Watch, XmlFlags, XmlVisitor,
};
use nodedev_model::{CapabilityType, DeviceName};
use nodedev_rpc::bounds::{NODE_DEVICE_CAPS_LIST_MAX, NODE_DEVICE_LIST_MAX};
use nodedev_rpc::{
    Array, Autostart, Call, Detach, Device, DeviceFlags, Document, EventRegistration, Feature,
    FeatureQuestion, ListAllDevices, ListCapabilities, ListDevices, NodeDeviceEventId, Number, Rpc, Str,
    Update, Void, WorldWideNames, calls,
};

use crate::end::End;
use crate::link::Link;
use crate::options::{Options, Pings};
use crate::{failure, login, transport};

/// The kinds of events that a watch is made of.
const WATCHED: [NodeDeviceEventId; 2] = [NodeDeviceEventId::Lifecycle, NodeDeviceEventId::Update];

/// The devices of a daemon: libvirt's view of them, and of `nodedevd` also which devices the native view has, and their
/// changes.
///
/// Errors of the daemon are given on as they came. Of a list's devices, those that vanish before they are asked about are
/// left out.
#[derive(Debug)]
pub struct RemoteDriver {
    link: Link,
    /// How many of [`WATCHED`] the daemon has been asked for.
    watched: Mutex<usize>,
    /// The daemon said that it does not serve program NODEDEV.
    lacks_native: AtomicBool,
}

impl RemoteDriver {
    /// Connects, logs in and opens what the URI names.
    ///
    /// # Errors
    /// Of the network, the certificates, `ssh`; of the login; the daemon's, if it does not serve the URI.
    pub fn open(uri: &RemoteUri, options: &Options) -> Result<Self> {
        let channel = transport::connect(uri, options)?;
        let waits_for_people = channel.waits_for_people;
        let link = Link::start(channel, options)?;
        login::open(&link, uri, options, waits_for_people)?;
        Ok(Self { link, watched: Mutex::new(0), lacks_native: AtomicBool::new(false) })
    }

    /// The parents of many devices, in one pipelined pass. A device that has vanished is left out.
    ///
    /// # Errors
    /// Those of the connection, and of a call other than that there is no such device.
    pub fn parents(&self, names: &[DeviceName]) -> Result<Vec<DeviceRef>> {
        self.ask_all::<calls::NodeDeviceGetParent, _>(names, Call::NodeDeviceGetParent, |name, reply| {
            Ok(DeviceRef { name: name.clone(), parent: reply.text.map(to_name).transpose()? })
        })
    }

    /// Which of many devices are started with the host, in one pipelined pass. A device that has vanished is left out.
    ///
    /// # Errors
    /// Those of the connection, and of a call other than that there is no such device.
    pub fn autostarts(&self, names: &[DeviceName]) -> Result<Vec<(DeviceName, bool)>> {
        self.ask_all::<calls::NodeDeviceGetAutostart, _>(
            names,
            Call::NodeDeviceGetAutostart,
            |name, reply| Ok((name.clone(), reply.number != 0)),
        )
    }

    /// Makes any call of libvirt's protocol. `P` is the procedure of `call`; `read` takes its reply.
    ///
    /// For those who pass on what the daemon says, as the C library does.
    ///
    /// # Errors
    /// The daemon's, as it came; those of the connection.
    pub fn call<P: Rpc, T>(
        &self,
        call: &Call<'_>,
        read: impl for<'a> FnOnce(P::Reply<'a>) -> Result<T>,
    ) -> Result<T> {
        self.link.call::<P, T>(call, read)
    }

    /// Whether the connection has not ended, as far as is known.
    pub fn is_alive(&self) -> bool {
        self.link.shared().is_alive()
    }

    /// Calls `heir` once when the connection ends, from a thread of the connection; at once if it has ended. It must not
    /// wait for a call on this connection.
    pub fn on_end(&self, heir: impl FnOnce(End) + Send + 'static) {
        self.link.shared().ending.tell(Box::new(heir));
    }

    /// Sets whether, and how often, the daemon is asked if it is still there (`virConnectSetKeepAlive`). `false`: the
    /// daemon does not know pings, and is not asked.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn set_pings(&self, pings: Option<Pings>) -> Result<bool> {
        let shared = self.link.shared();
        let set = || {
            shared
                .set_pings(pings)
                .map_err(|error| failure::system("Unable to set the timeout of the connection", &error))
        };
        if pings.is_some() {
            let call = Call::ConnectSupportsFeature(FeatureQuestion { feature: Feature::Keepalive });
            let known = self.number::<calls::ConnectSupportsFeature>(&call)?;
            if !known {
                return Ok(false);
            }
        }
        set()?;
        shared.pinging.store(pings.is_some(), Ordering::Relaxed);
        // Its answer wakes the thread that reads, which may be waiting without a limit still.
        self.link.call::<calls::ConnectGetLibVersion, _>(&Call::ConnectGetLibVersion(Void), |_| Ok(()))?;
        Ok(true)
    }

    /// Asks one question about each of many devices.
    fn ask_all<'a, P: Rpc, T>(
        &self,
        names: &'a [DeviceName],
        question: impl Fn(Device<'a>) -> Call<'a>,
        read: impl Fn(&DeviceName, P::Reply<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut answers = Vec::with_capacity(names.len());
        let mut failed = None;
        let texts = texts(names)?;
        let calls = texts.iter().map(|name| question(Device { name: *name }));
        self.link.each::<P>(calls, |index, reply| {
            let Some(name) = names.get(index) else { return ControlFlow::Break(()) };
            match reply.and_then(|reply| read(name, reply)) {
                Ok(answer) => answers.push(answer),
                Err(error) if error.code() == ErrorCode::NO_NODE_DEVICE => {}
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        failed.map_or(Ok(answers), Err)
    }

    /// A device that a call gave the name of.
    fn device(&self, name: DeviceName) -> Result<DeviceRef> {
        let parent = self.parent(name.as_str())?;
        Ok(DeviceRef { name, parent })
    }

    fn number<P>(&self, call: &Call<'_>) -> Result<bool>
    where
        P: for<'a> Rpc<Reply<'a> = Number>,
    {
        self.link.call::<P, _>(call, |reply| Ok(reply.number != 0))
    }

    /// A call whose reply says nothing.
    fn done<P: Rpc>(&self, call: &Call<'_>) -> Result<()> {
        self.link.call::<P, _>(call, |_| Ok(()))
    }
}

/// A text as an argument.
fn text<'a>(text: &'a (impl AsRef<[u8]> + ?Sized)) -> Result<Str<'a>> {
    Str::new(text).map_err(failure::too_long)
}

/// The name of a device as an argument. One with a NUL would be cut, and the call be about another device.
fn device(name: &str) -> Result<Device<'_>> {
    if name.contains('\0') {
        return Err(Error::no_device(nodedev_driver::ErrorDomain::NODEDEV, name));
    }
    Ok(Device { name: text(name)? })
}

fn device_flags(name: &str, flags: u32) -> Result<DeviceFlags<'_>> {
    Ok(DeviceFlags { name: device(name)?.name, flags })
}

fn texts(names: &[DeviceName]) -> Result<Vec<Str<'_>>> {
    names.iter().map(|name| text(name.as_str())).collect()
}

/// A name in an answer.
fn to_name(name: Str<'_>) -> Result<DeviceName> {
    let name =
        name.to_str().map_err(|_| failure::violation(format_args!("{name:?} is no name of a device")))?;
    name.parse().map_err(failure::violation)
}

/// The names in an answer, sorted, each once.
fn to_names<const MAX: usize>(names: &Array<Str<'_>, MAX>) -> Result<Vec<DeviceName>> {
    let mut names: Vec<DeviceName> = names.iter().map(|name| to_name(*name)).collect::<Result<_>>()?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

impl Driver for RemoteDriver {
    fn list(&self, flags: ListFlags) -> Result<Vec<DeviceRef>> {
        self.parents(&self.list_names(flags)?)
    }

    fn list_names(&self, flags: ListFlags) -> Result<Vec<DeviceName>> {
        let call = Call::ConnectListAllNodeDevices(ListAllDevices { need_results: 1, flags: flags.bits() });
        self.link.call::<calls::ConnectListAllNodeDevices, _>(&call, |reply| to_names(&reply.devices))
    }

    fn names(&self, capability: Option<&str>) -> Result<Vec<DeviceName>> {
        let capability = capability.map(text).transpose()?;
        let max_names = i32::try_from(NODE_DEVICE_LIST_MAX).unwrap_or(i32::MAX);
        let call = Call::NodeListDevices(ListDevices { capability, max_names, flags: 0 });
        self.link.call::<calls::NodeListDevices, _>(&call, |reply| to_names(&reply.names))
    }

    fn lookup(&self, name: &str) -> Result<DeviceRef> {
        let call = Call::NodeDeviceLookupByName(device(name)?);
        let found = self.link.call::<calls::NodeDeviceLookupByName, _>(&call, |reply| to_name(reply.name))?;
        self.device(found)
    }

    fn lookup_scsi_host_by_wwn(&self, wwnn: &str, wwpn: &str) -> Result<DeviceRef> {
        let names = WorldWideNames { wwnn: text(wwnn)?, wwpn: text(wwpn)?, flags: 0 };
        let call = Call::NodeDeviceLookupScsiHostByWwn(names);
        let found =
            self.link.call::<calls::NodeDeviceLookupScsiHostByWwn, _>(&call, |reply| to_name(reply.name))?;
        self.device(found)
    }

    fn xml(&self, name: &str, flags: XmlFlags) -> Result<Vec<u8>> {
        let call = Call::NodeDeviceGetXmlDesc(device_flags(name, flags.bits())?);
        self.link.call::<calls::NodeDeviceGetXmlDesc, _>(&call, |reply| Ok(reply.text.as_bytes().to_vec()))
    }

    fn parent(&self, name: &str) -> Result<Option<DeviceName>> {
        let call = Call::NodeDeviceGetParent(device(name)?);
        self.link.call::<calls::NodeDeviceGetParent, _>(&call, |reply| reply.text.map(to_name).transpose())
    }

    /// Types that this version does not know are left out.
    fn capabilities(&self, name: &str) -> Result<Vec<CapabilityType>> {
        let max_names = i32::try_from(NODE_DEVICE_CAPS_LIST_MAX).unwrap_or(i32::MAX);
        let call = Call::NodeDeviceListCaps(ListCapabilities { name: device(name)?.name, max_names });
        self.link.call::<calls::NodeDeviceListCaps, _>(&call, |reply| {
            Ok(reply.names.iter().filter_map(|name| name.to_str().ok()?.parse().ok()).collect())
        })
    }

    fn is_active(&self, name: &str) -> Result<bool> {
        self.number::<calls::NodeDeviceIsActive>(&Call::NodeDeviceIsActive(device(name)?))
    }

    fn is_persistent(&self, name: &str) -> Result<bool> {
        self.number::<calls::NodeDeviceIsPersistent>(&Call::NodeDeviceIsPersistent(device(name)?))
    }

    fn autostart(&self, name: &str) -> Result<bool> {
        self.number::<calls::NodeDeviceGetAutostart>(&Call::NodeDeviceGetAutostart(device(name)?))
    }

    fn visit_xml(&self, list: ListFlags, xml: XmlFlags, visit: &mut XmlVisitor<'_>) -> Result<()> {
        let names = self.list_names(list)?;
        let flags = xml.bits();
        let texts = texts(&names)?;
        let calls = texts.iter().map(|name| Call::NodeDeviceGetXmlDesc(DeviceFlags { name: *name, flags }));
        self.link.each::<calls::NodeDeviceGetXmlDesc>(calls, |index, reply| {
            let Some(name) = names.get(index) else { return ControlFlow::Break(()) };
            match reply {
                Ok(reply) => visit(name, Ok(reply.text.as_bytes())),
                Err(error) if error.code() == ErrorCode::NO_NODE_DEVICE => ControlFlow::Continue(()),
                Err(error) => visit(name, Err(error)),
            }
        })
    }

    fn create_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<DeviceRef> {
        let call = Call::NodeDeviceCreateXml(Document { xml: text(xml)?, flags: flags.bits() });
        let made = self.link.call::<calls::NodeDeviceCreateXml, _>(&call, |reply| to_name(reply.name))?;
        self.device(made)
    }

    fn define_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<DeviceRef> {
        let call = Call::NodeDeviceDefineXml(Document { xml: text(xml)?, flags: flags.bits() });
        let made = self.link.call::<calls::NodeDeviceDefineXml, _>(&call, |reply| to_name(reply.name))?;
        self.device(made)
    }

    fn destroy(&self, name: &str) -> Result<()> {
        self.done::<calls::NodeDeviceDestroy>(&Call::NodeDeviceDestroy(device(name)?))
    }

    fn undefine(&self, name: &str) -> Result<()> {
        self.done::<calls::NodeDeviceUndefine>(&Call::NodeDeviceUndefine(device_flags(name, 0)?))
    }

    fn create(&self, name: &str) -> Result<()> {
        self.done::<calls::NodeDeviceCreate>(&Call::NodeDeviceCreate(device_flags(name, 0)?))
    }

    fn update(&self, name: &str, xml: &[u8], flags: UpdateFlags) -> Result<()> {
        let update = Update { name: device(name)?.name, xml: text(xml)?, flags: flags.bits() };
        self.done::<calls::NodeDeviceUpdate>(&Call::NodeDeviceUpdate(update))
    }

    fn set_autostart(&self, name: &str, autostart: bool) -> Result<()> {
        let wanted = Autostart { name: device(name)?.name, autostart: i32::from(autostart) };
        self.done::<calls::NodeDeviceSetAutostart>(&Call::NodeDeviceSetAutostart(wanted))
    }

    fn detach(&self, name: &str, kernel_driver: Option<&str>) -> Result<()> {
        let device = device(name)?;
        match kernel_driver {
            None => self.done::<calls::NodeDeviceDettach>(&Call::NodeDeviceDettach(device)),
            Some(driver) => {
                let detach = Detach { name: device.name, driver: Some(text(driver)?), flags: 0 };
                self.done::<calls::NodeDeviceDetachFlags>(&Call::NodeDeviceDetachFlags(detach))
            }
        }
    }

    fn reattach(&self, name: &str) -> Result<()> {
        self.done::<calls::NodeDeviceReAttach>(&Call::NodeDeviceReAttach(device(name)?))
    }

    fn reset(&self, name: &str) -> Result<()> {
        self.done::<calls::NodeDeviceReset>(&Call::NodeDeviceReset(device(name)?))
    }

    /// Those of `nodedevd`, from the index alone; other daemons have not got them.
    fn entries(&self, view: View) -> Result<Vec<Entry>> {
        Ok(self.snapshot(view)?.entries)
    }

    /// Those of `nodedevd`, whose revisions hold across connections; other daemons have not got them.
    fn snapshot(&self, view: View) -> Result<Snapshot> {
        if !self.lacks_native.load(Ordering::Relaxed)
            && let Some(snapshot) = self.link.snapshot(view)?
        {
            return Ok(snapshot);
        }
        self.lacks_native.store(true, Ordering::Relaxed);
        Err(Error::no_native_view()
            .with_help("only nodedevd has it; of libvirt's daemons, use `list`, `show` and `event`"))
    }

    /// Revisions of `nodedevd` are its own, and hold across connections until it is restarted. Of other daemons they are
    /// those of this connection: a new one begins a new history.
    fn watch(&self, since: Option<Revision>) -> Result<Watch> {
        if !self.lacks_native.load(Ordering::Relaxed) {
            if let Some(watch) = self.link.watch(since)? {
                return Ok(watch);
            }
            self.lacks_native.store(true, Ordering::Relaxed);
        }
        self.events(since)
    }
}

impl RemoteDriver {
    /// What libvirt's events tell from now on, of `nodedevd` as of any daemon. A daemon of devices that never change serves
    /// them, too, and tells nothing.
    ///
    /// # Errors
    /// The daemon's, as it came; those of the connection.
    pub fn watch_events(&self) -> Result<Watch> {
        self.events(None)
    }

    fn events(&self, since: Option<Revision>) -> Result<Watch> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        // A daemon refuses a second registration for the same events.
        for event in WATCHED.into_iter().skip(*watched) {
            let call = Call::ConnectNodeDeviceEventRegisterAny(EventRegistration { event, device: None });
            self.done::<calls::ConnectNodeDeviceEventRegisterAny>(&call)?;
            *watched += 1;
        }
        self.link.shared().events.watch(since)
    }
}
