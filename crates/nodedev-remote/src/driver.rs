use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use nodedev_driver::{
    Changes, CreateFlags, DeviceRef, Devices, Driver, Error, ErrorCode, ErrorDomain, HostInfo, LibvirtCalls,
    ListFlags, Operations, RemoteUri, Result, Revision, Snapshot, UpdateFlags, View, Watch, XmlFlags,
    XmlVisitor,
};
use nodedev_model::request::DeviceRequest;
use nodedev_model::{DeviceName, Text};
use nodedev_rpc::bounds::{NODE_DEVICE_CAPS_LIST_MAX, NODE_DEVICE_LIST_MAX};
use nodedev_rpc::{
    self as rpc, Array, Autostart, Call, CountDevices, Detach, Device, DeviceFlags, Document,
    EventRegistration, Feature, FeatureQuestion, Flags, ListAllDevices, ListCapabilities, ListDevices,
    NodeDeviceEventId, Number, OptionalText, Rpc, Str, Update, Void, WorldWideNames, calls,
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

    /// Whether calls can be made: the connection has not ended, as far as is known, and is this process's.
    pub fn is_alive(&self) -> bool {
        !self.is_inherited() && self.link.shared().is_alive()
    }

    /// Whether this process is a child of the one that connected: every call fails here, and that one's go on.
    pub fn is_inherited(&self) -> bool {
        self.link.is_inherited()
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
            let known = self.flag::<calls::ConnectSupportsFeature>(&call)?;
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

    fn flag<P>(&self, call: &Call<'_>) -> Result<bool>
    where
        P: for<'a> Rpc<Reply<'a> = Number>,
    {
        self.link.call::<P, _>(call, |reply| Ok(reply.number != 0))
    }

    fn count_of<P>(&self, call: &Call<'_>) -> Result<usize>
    where
        P: for<'a> Rpc<Reply<'a> = Number>,
    {
        self.link.call::<P, _>(call, |reply| {
            usize::try_from(reply.number)
                .map_err(|_| failure::violation(format_args!("{} is no count", reply.number)))
        })
    }

    /// A call whose reply is the name of a device.
    fn device_of<P>(&self, call: &Call<'_>) -> Result<DeviceName>
    where
        P: for<'a> Rpc<Reply<'a> = Device<'a>>,
    {
        self.link.call::<P, _>(call, |reply| to_name(reply.name))
    }

    fn text_of<P>(&self, call: &Call<'_>) -> Result<Text>
    where
        P: for<'a> Rpc<Reply<'a> = rpc::Text<'a>>,
    {
        self.link.call::<P, _>(call, |reply| Ok(Text::from(reply.text.as_bytes())))
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
        return Err(Error::no_device(ErrorDomain::NODEDEV, name));
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

/// The names in an answer.
fn to_names<const MAX: usize>(names: &Array<Str<'_>, MAX>) -> Result<Vec<DeviceName>> {
    names.iter().map(|name| to_name(*name)).collect()
}

/// How many names are asked for.
fn limit(most: Option<usize>, max: usize, function: &str) -> Result<i32> {
    let most = most.unwrap_or(max);
    if most > max {
        let detail = format!("too many remote strings: {most} > {max},in parameter 'names' for '{function}'");
        return Err(Error::new(ErrorDomain::REMOTE, ErrorCode::RPC, detail));
    }
    // Not above a constant of the protocol.
    Ok(i32::try_from(most).unwrap_or(i32::MAX))
}

impl LibvirtCalls for RemoteDriver {
    fn count(&self, flags: ListFlags) -> Result<usize> {
        let call = Call::ConnectListAllNodeDevices(ListAllDevices { need_results: 0, flags: flags.bits() });
        self.link.call::<calls::ConnectListAllNodeDevices, _>(&call, |reply| Ok(reply.count as usize))
    }

    fn list_names(&self, flags: ListFlags) -> Result<Vec<DeviceName>> {
        let call = Call::ConnectListAllNodeDevices(ListAllDevices { need_results: 1, flags: flags.bits() });
        self.link.call::<calls::ConnectListAllNodeDevices, _>(&call, |reply| to_names(&reply.devices))
    }

    /// The parents are asked for in one pipelined pass.
    fn list(&self, flags: ListFlags) -> Result<Vec<DeviceRef>> {
        self.parents(&self.sorted(flags)?)
    }

    fn count_names(&self, capability: Option<&str>, flags: u32) -> Result<usize> {
        let capability = capability.map(text).transpose()?;
        let call = Call::NodeNumOfDevices(CountDevices { capability, flags });
        self.count_of::<calls::NodeNumOfDevices>(&call)
    }

    fn names(&self, capability: Option<&str>, most: Option<usize>, flags: u32) -> Result<Vec<DeviceName>> {
        let max_names = limit(most, NODE_DEVICE_LIST_MAX, "virNodeListDevices")?;
        let capability = capability.map(text).transpose()?;
        let call = Call::NodeListDevices(ListDevices { capability, max_names, flags });
        self.link.call::<calls::NodeListDevices, _>(&call, |reply| to_names(&reply.names))
    }

    fn lookup(&self, name: &str) -> Result<DeviceName> {
        self.device_of::<calls::NodeDeviceLookupByName>(&Call::NodeDeviceLookupByName(device(name)?))
    }

    fn lookup_scsi_host_by_wwn(&self, wwnn: &str, wwpn: &str, flags: u32) -> Result<DeviceName> {
        let names = WorldWideNames { wwnn: text(wwnn)?, wwpn: text(wwpn)?, flags };
        self.device_of::<calls::NodeDeviceLookupScsiHostByWwn>(&Call::NodeDeviceLookupScsiHostByWwn(names))
    }

    fn xml(&self, name: &str, flags: XmlFlags) -> Result<Vec<u8>> {
        let call = Call::NodeDeviceGetXmlDesc(device_flags(name, flags.bits())?);
        self.link.call::<calls::NodeDeviceGetXmlDesc, _>(&call, |reply| Ok(reply.text.as_bytes().to_vec()))
    }

    fn parent(&self, name: &str) -> Result<Option<DeviceName>> {
        let call = Call::NodeDeviceGetParent(device(name)?);
        self.link.call::<calls::NodeDeviceGetParent, _>(&call, |reply| reply.text.map(to_name).transpose())
    }

    fn count_capabilities(&self, name: &str) -> Result<usize> {
        self.count_of::<calls::NodeDeviceNumOfCaps>(&Call::NodeDeviceNumOfCaps(device(name)?))
    }

    fn capabilities(&self, name: &str, most: Option<usize>) -> Result<Vec<Cow<'static, str>>> {
        let max_names = limit(most, NODE_DEVICE_CAPS_LIST_MAX, "virNodeDeviceListCaps")?;
        let call = Call::NodeDeviceListCaps(ListCapabilities { name: device(name)?.name, max_names });
        self.link.call::<calls::NodeDeviceListCaps, _>(&call, |reply| {
            Ok(reply.names.iter().map(|name| name.to_string_lossy().into_owned().into()).collect())
        })
    }

    fn is_active(&self, name: &str) -> Result<bool> {
        self.flag::<calls::NodeDeviceIsActive>(&Call::NodeDeviceIsActive(device(name)?))
    }

    fn is_persistent(&self, name: &str) -> Result<bool> {
        self.flag::<calls::NodeDeviceIsPersistent>(&Call::NodeDeviceIsPersistent(device(name)?))
    }

    fn autostart(&self, name: &str) -> Result<bool> {
        self.flag::<calls::NodeDeviceGetAutostart>(&Call::NodeDeviceGetAutostart(device(name)?))
    }

    /// The documents are asked for in one pipelined pass.
    fn visit_xml(&self, list: ListFlags, xml: XmlFlags, visit: &mut XmlVisitor<'_>) -> Result<()> {
        let names = self.sorted(list)?;
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

    fn create_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<DeviceName> {
        let document = Document { xml: text(xml)?, flags: flags.bits() };
        self.device_of::<calls::NodeDeviceCreateXml>(&Call::NodeDeviceCreateXml(document))
    }

    fn define_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<DeviceName> {
        let document = Document { xml: text(xml)?, flags: flags.bits() };
        self.device_of::<calls::NodeDeviceDefineXml>(&Call::NodeDeviceDefineXml(document))
    }

    fn destroy(&self, name: &str) -> Result<()> {
        self.done::<calls::NodeDeviceDestroy>(&Call::NodeDeviceDestroy(device(name)?))
    }

    fn undefine(&self, name: &str, flags: u32) -> Result<()> {
        self.done::<calls::NodeDeviceUndefine>(&Call::NodeDeviceUndefine(device_flags(name, flags)?))
    }

    fn create(&self, name: &str, flags: u32) -> Result<()> {
        self.done::<calls::NodeDeviceCreate>(&Call::NodeDeviceCreate(device_flags(name, flags)?))
    }

    fn update(&self, name: &str, xml: &[u8], flags: UpdateFlags) -> Result<()> {
        let update = Update { name: device(name)?.name, xml: text(xml)?, flags: flags.bits() };
        self.done::<calls::NodeDeviceUpdate>(&Call::NodeDeviceUpdate(update))
    }

    fn set_autostart(&self, name: &str, autostart: bool) -> Result<()> {
        let wanted = Autostart { name: device(name)?.name, autostart: i32::from(autostart) };
        self.done::<calls::NodeDeviceSetAutostart>(&Call::NodeDeviceSetAutostart(wanted))
    }

    fn detach(&self, name: &str) -> Result<()> {
        self.done::<calls::NodeDeviceDettach>(&Call::NodeDeviceDettach(device(name)?))
    }

    fn detach_flags(&self, name: &str, kernel_driver: Option<&str>, flags: u32) -> Result<()> {
        let driver = kernel_driver.map(text).transpose()?;
        let detach = Detach { name: device(name)?.name, driver, flags };
        self.done::<calls::NodeDeviceDetachFlags>(&Call::NodeDeviceDetachFlags(detach))
    }

    fn reattach(&self, name: &str) -> Result<()> {
        self.done::<calls::NodeDeviceReAttach>(&Call::NodeDeviceReAttach(device(name)?))
    }

    fn reset(&self, name: &str) -> Result<()> {
        self.done::<calls::NodeDeviceReset>(&Call::NodeDeviceReset(device(name)?))
    }

    fn events(&self) -> Result<Watch> {
        self.libvirt_events(None)
    }

    fn driver_type(&self) -> Result<Text> {
        self.text_of::<calls::ConnectGetType>(&Call::ConnectGetType(Void))
    }

    fn version(&self) -> Result<u64> {
        let call = Call::ConnectGetVersion(Void);
        self.link.call::<calls::ConnectGetVersion, _>(&call, |reply| Ok(reply.version))
    }

    fn library_version(&self) -> Result<u64> {
        let call = Call::ConnectGetLibVersion(Void);
        self.link.call::<calls::ConnectGetLibVersion, _>(&call, |reply| Ok(reply.version))
    }

    fn host_name(&self) -> Result<Text> {
        self.text_of::<calls::ConnectGetHostname>(&Call::ConnectGetHostname(Void))
    }

    fn host_capabilities(&self) -> Result<Text> {
        self.text_of::<calls::ConnectGetCapabilities>(&Call::ConnectGetCapabilities(Void))
    }

    fn max_vcpus(&self, kind: Option<&str>) -> Result<i32> {
        let call = Call::ConnectGetMaxVcpus(OptionalText { text: kind.map(text).transpose()? });
        self.link.call::<calls::ConnectGetMaxVcpus, _>(&call, |reply| Ok(reply.number))
    }

    fn sysinfo(&self, flags: u32) -> Result<Text> {
        self.text_of::<calls::ConnectGetSysinfo>(&Call::ConnectGetSysinfo(Flags { flags }))
    }

    /// What `virNodeGetInfo` has room for; the machine's name and UUID are not in it.
    fn host_info(&self) -> Result<HostInfo> {
        self.link.call::<calls::NodeGetInfo, _>(&Call::NodeGetInfo(Void), |info| {
            let number = |number: i32| u32::try_from(number).unwrap_or_default();
            Ok(HostInfo {
                architecture: Some(String::from_utf8_lossy(info.model.text()).into_owned()),
                memory_kib: info.memory_kib,
                cpus: number(info.cpus),
                mhz: number(info.mhz),
                nodes: number(info.nodes),
                sockets: number(info.sockets),
                cores: number(info.cores),
                threads: number(info.threads),
                ..HostInfo::default()
            })
        })
    }
}

impl Changes for RemoteDriver {
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

    fn revision(&self) -> Option<Revision> {
        None
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
        self.libvirt_events(since)
    }
}

/// Devices as values and operations are those of `nodedevd`.
impl Driver for RemoteDriver {
    fn calls(&self) -> &(dyn LibvirtCalls + 'static) {
        self
    }

    fn devices(&self) -> Result<&dyn Devices> {
        Ok(self)
    }

    fn changes(&self) -> Result<&dyn Changes> {
        Ok(self)
    }

    fn operations(&self) -> Result<&dyn Operations> {
        Ok(self)
    }
}

impl RemoteDriver {
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Whether the daemon is `nodedevd`, and not older than calls by name: then it has devices as values, in both views.
    ///
    /// # Errors
    /// Those of the connection.
    pub fn has_values(&self) -> Result<bool> {
        match self.named(&DeviceRequest { name: DeviceName::COMPUTER.to_owned() }) {
            Ok(_) => Ok(true),
            Err(error) if error.code() == ErrorCode::NO_SUPPORT => Ok(false),
            // It has the call, and another answer.
            Err(error) if self.is_alive() => Ok(error.code() != ErrorCode::RPC),
            Err(error) => Err(error),
        }
    }

    /// The devices that flags select, sorted, each once.
    fn sorted(&self, flags: ListFlags) -> Result<Vec<DeviceName>> {
        let mut names = self.list_names(flags)?;
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn libvirt_events(&self, since: Option<Revision>) -> Result<Watch> {
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
