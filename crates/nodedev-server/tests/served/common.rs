//! A server in this process, with a driver of invented devices, and clients that speak plain messages.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use nodedev_driver::{
    Caller, Change, ChangeRequest, Changes, CreateFlags, DetachOptions, Devices, Driver, Entry, Error,
    ErrorDomain, EventLog, ExplainOptions, Happened, HostInfo, LibvirtCalls, LibvirtChange, LibvirtEvent,
    ListFlags, Operations, ReattachOptions, ResetOptions, Result, Revision, Rules, Scope, Snapshot,
    UpdateFlags, View, Watch, XmlFlags,
};
use nodedev_model::{
    CapabilityType, ChangePlan, DeviceName, DeviceState, DriverBinding, Explanation, HandoverOperation,
    HandoverPlan, Handovers, Issue, Outcome, PlannedDevice, Visibility,
};
use nodedev_rpc::*;
use nodedev_server::{Access, AllowAll, End, Identity as Who, Options, Peer, Service, Settings, Workers};

/// Longer than any answer takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Invented devices that come and go, and calls that can be held up.
pub(crate) struct Fake {
    devices: Mutex<BTreeMap<DeviceName, DeviceState>>,
    pub(crate) log: EventLog,
    held: Mutex<bool>,
    released: Condvar,
    /// Descriptions that are being made or held up.
    pub(crate) describing: AtomicUsize,
    pub(crate) lists: AtomicUsize,
    /// Calls that changed something, as `verb name`.
    pub(crate) done: Mutex<Vec<String>>,
}

impl Fake {
    pub(crate) fn new(names: impl IntoIterator<Item = String>, history: usize) -> Arc<Self> {
        let active = DeviceState { active: true, persistent: false, autostart: false };
        let devices = names.into_iter().map(|name| (name.parse().unwrap(), active)).collect();
        Arc::new(Self {
            devices: Mutex::new(devices),
            log: EventLog::with_capacity(history),
            held: Mutex::new(false),
            released: Condvar::new(),
            describing: AtomicUsize::new(0),
            lists: AtomicUsize::new(0),
            done: Mutex::default(),
        })
    }

    /// `computer` and one device below it.
    pub(crate) fn small() -> Arc<Self> {
        Self::new(["computer", "net_eth0"].map(str::to_owned), 1000)
    }

    pub(crate) fn add(&self, name: &str) {
        let state = DeviceState { active: true, persistent: false, autostart: false };
        let mut devices = self.devices.lock().unwrap();
        devices.insert(name.parse().unwrap(), state);
        self.tell(name, Change::Created, LibvirtEvent::Created);
    }

    pub(crate) fn remove(&self, name: &str) {
        let mut devices = self.devices.lock().unwrap();
        devices.remove(name);
        self.tell(name, Change::Deleted, LibvirtEvent::Deleted);
    }

    pub(crate) fn change(&self, name: &str) {
        self.tell(name, Change::Updated, LibvirtEvent::Updated);
    }

    pub(crate) fn tell(&self, name: &str, change: Change, event: LibvirtEvent) {
        let libvirt = LibvirtChange::One(event);
        self.log.publish([Happened { name: name.parse().unwrap(), change, libvirt, entry: None }]);
    }

    /// Descriptions wait until told otherwise.
    pub(crate) fn hold(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.released.notify_all();
    }

    fn find(&self, name: &str) -> Result<DeviceState> {
        let found = self.devices.lock().unwrap().get(name).copied();
        found.ok_or_else(|| Error::no_device(ErrorDomain::NODEDEV, name))
    }

    fn note(&self, what: &str, name: &str) -> Result<()> {
        self.done.lock().unwrap().push(format!("{what} {name}"));
        Ok(())
    }
}

impl LibvirtCalls for Fake {
    fn list_names(&self, flags: ListFlags) -> Result<Vec<DeviceName>> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        flags.check(ErrorDomain::NODEDEV, "nodeConnectListAllNodeDevices")?;
        let devices = self.devices.lock().unwrap();
        let bits = |name: &DeviceName| match name.as_str() {
            "computer" => CapabilityType::System.bit(),
            _ => CapabilityType::Net.bit(),
        };
        let wanted = devices.iter().filter(|(name, state)| flags.selects(bits(name), **state));
        Ok(wanted.map(|(name, _)| name.clone()).collect())
    }

    fn names(&self, _: Option<&str>, _: Option<usize>, _: u32) -> Result<Vec<DeviceName>> {
        Ok(self.devices.lock().unwrap().keys().cloned().collect())
    }

    fn lookup(&self, name: &str) -> Result<DeviceName> {
        self.find(name)?;
        Ok(name.parse().unwrap())
    }

    fn lookup_scsi_host_by_wwn(&self, wwnn: &str, _: &str, _: u32) -> Result<DeviceName> {
        if wwnn == "1" { self.lookup("net_eth0") } else { Err(Error::unknown_cause()) }
    }

    fn xml(&self, name: &str, flags: XmlFlags) -> Result<Vec<u8>> {
        flags.check(ErrorDomain::NODEDEV, "nodeDeviceGetXMLDesc")?;
        self.find(name)?;
        self.describing.fetch_add(1, Ordering::SeqCst);
        let held = self.held.lock().unwrap();
        drop(self.released.wait_while(held, |held| *held).unwrap());
        self.describing.fetch_sub(1, Ordering::SeqCst);
        assert_ne!(name, "panic", "a driver with a bug");
        Ok(format!("<device><name>{name}</name></device>").into_bytes())
    }

    fn parent(&self, name: &str) -> Result<Option<DeviceName>> {
        self.find(name)?;
        Ok((name != "computer").then(DeviceName::computer))
    }

    fn count_capabilities(&self, name: &str) -> Result<usize> {
        Ok(self.capabilities(name, None)?.len())
    }

    fn capabilities(&self, name: &str, most: Option<usize>) -> Result<Vec<Cow<'static, str>>> {
        self.find(name)?;
        let kinds = [CapabilityType::ScsiHost, CapabilityType::FcHost];
        Ok(kinds.iter().take(most.unwrap_or(2)).map(|kind| kind.as_str().into()).collect())
    }

    fn is_active(&self, name: &str) -> Result<bool> {
        self.find(name).map(|state| state.active)
    }

    fn is_persistent(&self, name: &str) -> Result<bool> {
        self.find(name).map(|state| state.persistent)
    }

    fn autostart(&self, name: &str) -> Result<bool> {
        self.find(name).map(|_| name == "computer")
    }

    fn create_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<DeviceName> {
        self.note("create_xml", &format!("{} {}", xml.escape_ascii(), flags.bits()))?;
        self.lookup("net_eth0")
    }

    fn define_xml(&self, xml: &[u8], flags: CreateFlags) -> Result<DeviceName> {
        self.note("define_xml", &format!("{} {}", xml.escape_ascii(), flags.bits()))?;
        self.lookup("net_eth0")
    }

    fn destroy(&self, name: &str) -> Result<()> {
        self.find(name)?;
        self.note("destroy", name)
    }

    fn undefine(&self, name: &str, _: u32) -> Result<()> {
        self.find(name)?;
        self.note("undefine", name)
    }

    fn create(&self, name: &str, _: u32) -> Result<()> {
        self.find(name)?;
        self.note("create", name)
    }

    fn update(&self, name: &str, xml: &[u8], flags: UpdateFlags) -> Result<()> {
        self.find(name)?;
        self.note("update", &format!("{name} {} {}", xml.escape_ascii(), flags.bits()))
    }

    fn set_autostart(&self, name: &str, autostart: bool) -> Result<()> {
        self.find(name)?;
        self.note("set_autostart", &format!("{name} {autostart}"))
    }

    fn reattach(&self, name: &str) -> Result<()> {
        self.find(name)?;
        self.note("reattach", name)
    }

    fn count(&self, flags: ListFlags) -> Result<usize> {
        Ok(self.list_names(flags)?.len())
    }

    // Resetting is a call that the driver lacks; the rest, the daemon answers itself, or by others.
    nodedev_driver::refused_calls!(
        count_names,
        detach,
        detach_flags,
        reset,
        events,
        driver_type,
        version,
        library_version,
        host_name,
        host_capabilities,
        max_vcpus,
        sysinfo,
    );

    fn host_info(&self) -> Result<HostInfo> {
        Ok(HostInfo {
            hostname: Some("host.example".into()),
            architecture: Some("x86_64".into()),
            memory_kib: 1024,
            cpus: 4,
            nodes: 1,
            sockets: 1,
            cores: 2,
            threads: 2,
            ..HostInfo::default()
        })
    }
}

impl Changes for Fake {
    fn snapshot(&self, _: View) -> Result<Snapshot> {
        // As a driver must: what is in the snapshot is not told after it.
        let devices = self.devices.lock().unwrap();
        let revision = self.log.revision();
        let entries = devices.iter().map(|(name, state)| Entry {
            name: name.clone(),
            parent: None,
            kind: "net".into(),
            visibility: Visibility::Libvirt,
            state: *state,
        });
        Ok(Snapshot { revision, entries: entries.collect() })
    }

    fn revision(&self) -> Option<Revision> {
        Some(self.log.revision())
    }

    fn watch(&self, since: Option<Revision>) -> Result<Watch> {
        self.log.watch(since)
    }
}

impl Operations for Fake {
    fn detach_with(&self, name: &str, options: &DetachOptions) -> Result<HandoverPlan> {
        match (options.rules, options.caller) {
            (Rules::Served, _) => self.note(if options.dry_run { "plan" } else { "take" }, name)?,
            (rules, Caller::Unknown) => {
                assert_eq!(rules, Rules::Libvirt);
                self.find(name)?;
                self.note("detach", &format!("{name} {}", options.kernel_driver.as_deref().unwrap_or("-")))?;
            }
            (rules, caller) => {
                assert_eq!(rules, Rules::Libvirt);
                self.note("detach for", &format!("{caller:?} {name}"))?;
            }
        }
        // Two functions of a card go together.
        let functions = if options.group { &["0000:02:00.0", "0000:02:00.1"][..] } else { &[] };
        let planned = |address: &&str| PlannedDevice {
            name: DeviceName::from_parts(b"pci", address.as_bytes(), None),
            address: address.parse().unwrap(),
            before: DriverBinding::default(),
            after: None,
        };
        Ok(HandoverPlan {
            operation: HandoverOperation::Detach,
            outcome: Outcome::Changed,
            devices: functions.iter().map(planned).collect(),
            steps: Vec::new(),
            undo: Vec::new(),
            findings: Vec::new(),
        })
    }

    fn reattach_with(&self, _: &str, _: &ReattachOptions) -> Result<HandoverPlan> {
        Err(Error::no_native_call())
    }

    fn reset_with(&self, _: &str, _: &ResetOptions) -> Result<HandoverPlan> {
        Err(Error::no_native_call())
    }

    fn plan_change(&self, _: &ChangeRequest<'_>) -> Result<ChangePlan> {
        Err(Error::no_native_call())
    }

    fn explain(&self, _: &str, _: &ExplainOptions) -> Result<Explanation> {
        Err(Error::no_native_call())
    }

    fn handovers(&self) -> Result<Handovers> {
        Ok(Handovers::default())
    }

    fn forget_handover(&self, name: &str) -> Result<bool> {
        self.note("forget", name)?;
        Ok(true)
    }

    fn recover_handovers(&self) -> Result<Vec<Issue>> {
        Err(Error::no_native_call())
    }
}

impl Driver for Fake {
    fn calls(&self) -> &(dyn LibvirtCalls + 'static) {
        self
    }

    fn devices(&self) -> Result<&dyn Devices> {
        Err(Error::no_native_view())
    }

    fn changes(&self) -> Result<&dyn Changes> {
        Ok(self)
    }

    fn operations(&self) -> Result<&dyn Operations> {
        Ok(self)
    }
}

/// A server and the runtime that it lives in.
pub(crate) struct Server {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) service: Service,
    pub(crate) settings: Settings,
}

impl Server {
    pub(crate) fn new(driver: Arc<dyn Driver>) -> Self {
        Self::with_access(driver, Arc::new(AllowAll))
    }

    pub(crate) fn with_access(driver: Arc<dyn Driver>, access: Arc<dyn Access>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let options =
            Options { scope: Scope::System, user: 4242, is_recording: false, workers: Workers::default() };
        Self { runtime, service: Service::new(driver, access, options), settings: Settings::default() }
    }

    /// A client that has only connected; what becomes of it can be waited for.
    pub(crate) fn join(&self, peer: Peer) -> (Client, tokio::task::JoinHandle<End>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let (service, settings) = (self.service.clone(), self.settings);
        let _context = self.runtime.enter();
        let stream = tokio::net::UnixStream::from_std(theirs).unwrap();
        let served = self
            .runtime
            .spawn(async move { nodedev_server::serve(&service, stream, peer, &settings, || ()).await });
        (Client { stream: ours, decoder: Decoder::default(), serial: 0 }, served)
    }

    pub(crate) fn connect(&self) -> Client {
        self.join(peer(Some(0))).0
    }

    /// A client that has opened the connection.
    pub(crate) fn open(&self) -> Client {
        let mut client = self.connect();
        client.open(0);
        client
    }
}

/// A client without a login.
pub(crate) fn peer(user_id: Option<u64>) -> Peer {
    Peer { identity: Who { user_id, ..Who::default() }, read_only: false, login: None }
}

pub(crate) fn text(text: &str) -> Str<'_> {
    Str::new(text).unwrap()
}

pub(crate) fn device(name: &str) -> Device<'_> {
    Device { name: text(name) }
}

/// A client of plain messages.
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    decoder: Decoder,
    serial: u32,
}

/// A message from the server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
}

impl Message {
    /// Code, domain and message of an error.
    pub(crate) fn error(&self) -> (i32, i32, String) {
        assert_eq!(self.header.status, Status::Error, "{self:?}");
        let error = ErrorObject::decode(&mut Reader::new(&self.payload)).unwrap();
        (error.code, error.domain, error.message.unwrap_or_default().to_string())
    }

    pub(crate) fn reply(&self) -> Reply<'_> {
        if self.header.status == Status::Error {
            panic!("{:?}", self.error());
        }
        let procedure = Procedure::from_number(self.header.procedure).unwrap();
        Reply::decode(procedure, &self.payload).unwrap()
    }

    /// Registration, device and kind of an event; `None` for an update.
    pub(crate) fn event(&self) -> (i32, String, Option<LifecycleKind>) {
        assert_eq!((self.header.kind, self.header.serial), (MessageType::Message, 1), "{self:?}");
        match Event::decode(self.header.procedure, &self.payload).unwrap() {
            Event::Lifecycle(event) => (event.callback, event.device.to_string(), Some(event.kind)),
            Event::Update(event) => (event.callback, event.device.to_string(), None),
            other => panic!("{other:?}"),
        }
    }
}

impl Client {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends a call; returns its serial number.
    pub(crate) fn send(&mut self, call: &Call<'_>) -> u32 {
        let mut out = Vec::new();
        call.encode(self.serial, &mut out).unwrap();
        self.write(&out);
        self.serial += 1;
        self.serial - 1
    }

    /// Sends any header with any payload, and returns the next message.
    pub(crate) fn raw(&mut self, header: Header, payload: &[u8]) -> Message {
        self.write(&message(header, payload));
        self.receive().unwrap()
    }

    pub(crate) fn call(&mut self, call: &Call<'_>) -> Message {
        let serial = self.send(call);
        let message = self.receive().expect("an answer");
        assert_eq!((message.header.kind, message.header.serial), (MessageType::Reply, serial), "{message:?}");
        message
    }

    pub(crate) fn open(&mut self, flags: u32) {
        let name = Some(text("nodedev:///system"));
        self.call(&Call::ConnectOpen(Open { name, flags })).reply();
    }

    /// The next message; nothing if the server has closed the connection.
    pub(crate) fn receive(&mut self) -> Option<Message> {
        loop {
            if let Some(packet) = self.decoder.next_packet().unwrap() {
                return Some(Message { header: packet.header, payload: packet.payload.to_vec() });
            }
            let space = self.decoder.space();
            match self.stream.read(space) {
                Ok(0) => return None,
                Ok(count) => self.decoder.filled(count),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing comes: {error}"),
            }
        }
    }

    pub(crate) fn register(&mut self, event: i32, name: Option<&str>) -> i32 {
        let registration = EventRegistration { event: event.into(), device: name.map(text) };
        let answer = self.call(&Call::ConnectNodeDeviceEventRegisterAny(registration));
        match answer.reply() {
            Reply::ConnectNodeDeviceEventRegisterAny(Callback { callback }) => callback,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn names(&mut self, flags: u32) -> Vec<String> {
        let answer = self.call(&Call::ConnectListAllNodeDevices(ListAllDevices { need_results: 1, flags }));
        match answer.reply() {
            Reply::ConnectListAllNodeDevices(list) => {
                assert_eq!(usize::try_from(list.count).unwrap(), list.devices.len());
                list.devices.iter().map(ToString::to_string).collect()
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A whole message.
pub(crate) fn message(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_message(&mut out, &header, &Void).unwrap();
    out.extend_from_slice(payload);
    let length = u32::try_from(out.len()).unwrap();
    out.splice(..4, length.to_be_bytes());
    out
}

/// Waits until something holds.
pub(crate) fn wait_for(what: &str, holds: impl Fn() -> bool) {
    let until = std::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(std::time::Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
