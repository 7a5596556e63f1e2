//! Our server against the real daemon, message by message: both get the same calls about the same host, and the bytes of
//! the answers are compared.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nodedev_driver::Scope;
use nodedev_host::HostDriver;
use nodedev_interop::is_reference;
use nodedev_rpc::*;
use nodedev_server::{AllowAll, Identity as ServedIdentity, Options, Peer, Service, Settings, Workers};
use nodedev_testkit::peer::{Libvirt, Scene};
use nodedev_testkit::synthetic::Host;

type Failure = Box<dyn std::error::Error>;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is sent in one connection; the answers to all of it are compared.
struct Scenario {
    name: &'static str,
    messages: Vec<Vec<u8>>,
}

struct Builder {
    messages: Vec<Vec<u8>>,
    serial: u32,
}

impl Builder {
    fn new() -> Self {
        Self { messages: Vec::new(), serial: 0 }
    }

    /// A connection that is open.
    fn opened(flags: u32) -> Self {
        Self::new().call(Call::AuthList(Void)).call(open(Some("nodedev:///system"), flags))
    }

    fn call(mut self, call: Call<'_>) -> Self {
        let mut out = Vec::new();
        call.encode(self.serial, &mut out).expect("short");
        self.serial += 1;
        self.messages.push(out);
        self
    }

    fn raw(mut self, header: Header, payload: &[u8]) -> Self {
        let mut out = Vec::new();
        encode_message(&mut out, &Header { serial: self.serial, ..header }, &Void).expect("short");
        out.extend_from_slice(payload);
        let length = u32::try_from(out.len()).expect("short");
        out.splice(..4, length.to_be_bytes());
        self.serial += 1;
        self.messages.push(out);
        self
    }

    fn named(self, name: &'static str) -> Scenario {
        Scenario { name, messages: self.messages }
    }
}

fn text(text: &str) -> Str<'_> {
    Str::new(text).expect("short")
}

fn open(name: Option<&str>, flags: u32) -> Call<'_> {
    Call::ConnectOpen(Open { name: name.map(text), flags })
}

fn device(name: &str) -> Device<'_> {
    Device { name: text(name) }
}

/// The calls that are about one device, with arguments that are right but for the device.
fn about(name: &str, flags: u32) -> Vec<Call<'_>> {
    let named = DeviceFlags { name: text(name), flags };
    vec![
        Call::NodeDeviceLookupByName(device(name)),
        Call::NodeDeviceGetXmlDesc(named.clone()),
        Call::NodeDeviceGetParent(device(name)),
        Call::NodeDeviceNumOfCaps(device(name)),
        Call::NodeDeviceListCaps(ListCapabilities { name: text(name), max_names: 10 }),
        Call::NodeDeviceListCaps(ListCapabilities { name: text(name), max_names: 0 }),
        Call::NodeDeviceListCaps(ListCapabilities { name: text(name), max_names: -1 }),
        Call::NodeDeviceListCaps(ListCapabilities { name: text(name), max_names: 65_537 }),
        Call::NodeDeviceDettach(device(name)),
        Call::NodeDeviceReAttach(device(name)),
        Call::NodeDeviceReset(device(name)),
        Call::NodeDeviceDetachFlags(Detach { name: text(name), driver: Some(text("vfio-pci")), flags }),
        Call::NodeDeviceDetachFlags(Detach { name: text(name), driver: None, flags }),
        Call::NodeDeviceGetAutostart(device(name)),
        Call::NodeDeviceIsPersistent(device(name)),
        Call::NodeDeviceIsActive(device(name)),
    ]
}

/// Calls that change a device, which a driver that can must be there for.
fn changes(name: &str, flags: u32) -> Vec<Call<'_>> {
    let named = DeviceFlags { name: text(name), flags };
    let document = Document { xml: text("<device/>"), flags };
    vec![
        Call::NodeDeviceCreateXml(document.clone()),
        Call::NodeDeviceDefineXml(document),
        Call::NodeDeviceDestroy(device(name)),
        Call::NodeDeviceUndefine(named.clone()),
        Call::NodeDeviceCreate(named),
        Call::NodeDeviceSetAutostart(Autostart { name: text(name), autostart: 1 }),
        Call::NodeDeviceUpdate(Update { name: text(name), xml: text("<device/>"), flags }),
    ]
}

fn scenarios() -> Vec<Scenario> {
    let mut all = vec![
        Builder::new().call(open(None, 0)).call(Call::ConnectGetType(Void)).named("no name"),
        Builder::new().call(open(Some(""), 0)).named("an empty name"),
        Builder::new()
            .call(Call::ConnectGetType(Void))
            .call(Call::NodeDeviceGetParent(device("computer")))
            .named("nothing opened"),
        Builder::opened(0)
            .call(open(Some("nodedev:///system"), 0))
            .call(Call::ConnectGetType(Void))
            .call(open(Some("nodedev:///system"), 0))
            .call(Call::ConnectGetType(Void))
            .named("opened twice"),
        Builder::opened(u32::MAX).call(Call::NodeDeviceReset(device("computer"))).named("all flags"),
        // Not AUTH_POLKIT: the real daemon answers it with whatever error its thread had before.
        Builder::new().call(Call::AuthSaslInit(Void)).call(Call::AuthList(Void)).named("other logins"),
        Builder::opened(0).call(Call::ConnectClose(Void)).named("closed"),
        Builder::opened(0)
            .call(Call::ConnectGetType(Void))
            .call(Call::ConnectGetVersion(Void))
            .call(Call::ConnectGetMaxVcpus(OptionalText { text: None }))
            .call(Call::ConnectGetUri(Void))
            .call(Call::ConnectIsSecure(Void))
            .call(Call::ConnectGetLibVersion(Void))
            .call(Call::ConnectGetSysinfo(Flags { flags: 0 }))
            .call(Call::ConnectRegisterCloseCallback(Void))
            .call(Call::ConnectRegisterCloseCallback(Void))
            .call(Call::ConnectUnregisterCloseCallback(Void))
            .call(Call::ConnectUnregisterCloseCallback(Void))
            .named("about the connection"),
    ];
    for name in [
        "nodedev:///session",
        "nodedev:///x",
        "nodedev:///",
        "nodedev://",
        "nodedev:",
        "nodedev",
        "nodedev:/system",
        "NODEDEV:///system",
        "nodedev+unix:///system",
        "nodedev:///system?foo=bar",
        "nodedev:///system#x",
        "qemu:///system",
        "nodedev:///system/",
        "bogus",
    ] {
        all.push(
            Builder::new()
                .call(Call::AuthList(Void))
                .call(open(Some(name), 0))
                .call(Call::ConnectGetType(Void))
                .named(name),
        );
    }
    let mut features = Builder::opened(0);
    for feature in (-1..20).chain([99, i32::MAX]) {
        features = features.call(Call::ConnectSupportsFeature(FeatureQuestion { feature: feature.into() }));
    }
    all.push(features.named("features"));
    for (name, device, flags) in [
        ("computer", "computer", 0),
        ("computer with flags", "computer", 2),
        ("no device", "nosuch", 0),
        ("no device with flags", "nosuch", 2),
    ] {
        for read_only in [0, 1] {
            let mut calls = Builder::opened(read_only);
            for call in about(device, flags) {
                calls = calls.call(call);
            }
            all.push(calls.named(name));
        }
        let mut calls = Builder::opened(1);
        for call in changes(device, flags) {
            calls = calls.call(call);
        }
        all.push(calls.named(name));
    }
    let mut lists = Builder::opened(0);
    for flags in [0, 1, 2, 1 << 31, 1 << 30, 1 << 28, 1 << 29, 1 << 24, u32::MAX] {
        for need_results in [0, 1, -1] {
            lists = lists.call(Call::ConnectListAllNodeDevices(ListAllDevices { need_results, flags }));
        }
    }
    for capability in [None, Some("pci"), Some("net"), Some("system"), Some("bogus"), Some(""), Some("vpd")] {
        for flags in [0, 1] {
            let capability = capability.map(text);
            lists = lists.call(Call::NodeNumOfDevices(CountDevices { capability, flags }));
            for max_names in [0, 1000, 65_536, 65_537, -1] {
                lists = lists.call(Call::NodeListDevices(ListDevices { capability, max_names, flags }));
            }
        }
    }
    lists = lists.call(Call::NodeDeviceLookupScsiHostByWwn(WorldWideNames {
        wwnn: text("1"),
        wwpn: text("2"),
        flags: 0,
    }));
    lists = lists.call(Call::NodeDeviceLookupScsiHostByWwn(WorldWideNames {
        wwnn: text("1"),
        wwpn: text("2"),
        flags: 4,
    }));
    all.push(lists.named("lists"));
    let mut events = Builder::opened(0);
    for event in [2, -1, 99] {
        events = events.call(Call::ConnectNodeDeviceEventRegisterAny(EventRegistration {
            event: event.into(),
            device: None,
        }));
    }
    events = events.call(Call::ConnectNodeDeviceEventDeregisterAny(Callback { callback: 12_345 }));
    events = events.call(Call::ConnectNodeDeviceEventDeregisterAny(Callback { callback: -1 }));
    all.push(events.named("events that there are not"));
    let wanted = |event: i32, device: Option<&'static str>| {
        let device = device.map(text);
        Call::ConnectNodeDeviceEventRegisterAny(EventRegistration { event: event.into(), device })
    };
    all.push(
        Builder::opened(0)
            .call(wanted(0, None))
            .call(wanted(0, None))
            .call(wanted(1, None))
            .call(wanted(0, Some("nosuch")))
            .call(wanted(0, Some("nosuch")))
            .call(Call::ConnectNodeDeviceEventDeregisterAny(Callback { callback: 0 }))
            .call(Call::ConnectNodeDeviceEventDeregisterAny(Callback { callback: 0 }))
            .call(wanted(0, None))
            .named("events"),
    );
    let parameter = |field, value| TypedParameter { field: text(field), value };
    let identity = |parameters, flags| {
        Call::ConnectSetIdentity(Identity { parameters: Array::new(parameters).expect("few"), flags })
    };
    all.push(
        Builder::opened(0)
            .call(identity(vec![], 0))
            .call(identity(vec![], 1))
            .call(identity(vec![parameter("bogus", TypedValue::Int(1))], 0))
            .call(identity(vec![parameter("process-id", TypedValue::Int(1))], 0))
            .call(identity(vec![parameter("user-name", TypedValue::Boolean(true))], 0))
            .call(identity(
                vec![
                    parameter("process-id", TypedValue::LLong(1)),
                    parameter("process-id", TypedValue::LLong(1)),
                ],
                0,
            ))
            .call(identity(
                vec![
                    parameter("unix-user-id", TypedValue::ULLong(1)),
                    parameter("user-name", TypedValue::String(text("x"))),
                ],
                0,
            ))
            .named("identity"),
    );
    let header = Header::call(113, 0);
    all.push(
        Builder::opened(0)
            .raw(header, &[])
            .raw(header, &[0, 0, 0, 9, b'x'])
            .raw(header, &[0xff; 12])
            .raw(Header { kind: MessageType::CallWithDescriptors, ..Header::call(3, 0) }, &[0; 4])
            .raw(Header { status: Status::Error, ..header }, &[])
            .raw(Header::call(4_000, 0), &[])
            .raw(Header::call(-1, 0), &[])
            .raw(Header { program: 7, ..header }, &[])
            .raw(Header { version: 9, ..header }, &[])
            .named("malformed"),
    );
    all
}

/// Sends one scenario, a message at a time, and returns the answers.
fn answers(socket: &Path, scenario: &Scenario) -> Result<Vec<Vec<u8>>, Failure> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut decoder = Decoder::default();
    let mut answers = Vec::new();
    for message in &scenario.messages {
        stream.write_all(message)?;
        answers.push(loop {
            if let Some(packet) = decoder.next_packet()? {
                let Packet { header, payload, .. } = packet;
                if header.kind == MessageType::Reply {
                    let mut whole = Vec::new();
                    encode_message(&mut whole, &header, &Void)?;
                    whole.extend_from_slice(payload);
                    break whole;
                }
                continue;
            }
            let space = decoder.space();
            match stream.read(space)? {
                0 => break b"closed".to_vec(),
                count => decoder.filled(count),
            }
        });
    }
    Ok(answers)
}

/// An answer in a form in which the order of names means nothing.
fn shown(answer: &[u8]) -> String {
    let mut whole = answer.to_vec();
    if let Ok(length) = u32::try_from(whole.len()) {
        whole.splice(..4, length.to_be_bytes());
    }
    let Ok(packet) = Packet::parse(&whole) else { return format!("{}", answer.escape_ascii()) };
    if packet.header.status == Status::Error {
        return match ErrorObject::decode(&mut Reader::new(packet.payload)) {
            Ok(error) => format!("{:?} {error:?}", packet.header),
            Err(_) => format!("{:?} {}", packet.header, packet.payload.escape_ascii()),
        };
    }
    match Procedure::from_number(packet.header.procedure)
        .map(|procedure| Reply::decode(procedure, packet.payload))
    {
        Some(Ok(Reply::NodeListDevices(names))) => {
            format!(
                "{:?} {:?}",
                packet.header,
                names.names.iter().map(|name| name.to_string()).collect::<BTreeSet<_>>()
            )
        }
        Some(Ok(Reply::ConnectListAllNodeDevices(list))) => {
            let names = list.devices.iter().map(|name| name.to_string()).collect::<BTreeSet<_>>();
            format!("{:?} {names:?} {}", packet.header, list.count)
        }
        _ => format!("{:?} {}", packet.header, packet.payload.escape_ascii()),
    }
}

/// Serves a recorded host as `nodedevd` does, at a socket in `dir`.
fn start(runtime: &tokio::runtime::Runtime, root: &Path, dir: &Path) -> Result<std::path::PathBuf, Failure> {
    let driver = HostDriver::new(nodedev_sys::Root::open(root)?);
    let options = Options { scope: Scope::System, user: 0, is_recording: true, workers: Workers::default() };
    let service = Service::new(Arc::new(driver), Arc::new(AllowAll), options);
    let socket = dir.join("ours");
    let _context = runtime.enter();
    let listener = tokio::net::UnixListener::bind(&socket)?;
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let identity = ServedIdentity { user_id: Some(0), ..ServedIdentity::default() };
                let peer = Peer { identity, read_only: false, login: None };
                serve(&service, stream, peer).await;
            });
        }
    });
    Ok(socket)
}

async fn serve(service: &Service, stream: tokio::net::UnixStream, peer: Peer) {
    nodedev_server::serve(service, stream, peer, &Settings::default(), || ()).await;
}

#[test]
#[ignore = "asks the real libvirt: cargo xtask test"]
fn answers_are_those_of_the_real_daemon_byte_for_byte() -> Result<(), Failure> {
    if !is_reference()? {
        return Ok(());
    }
    let dir = tempfile::tempdir_in("/tmp")?;
    let tree = dir.path().join("tree");
    Host::new(50).write(&tree)?;
    let real = Libvirt::find()?.start(&Scene::Tree(tree.clone()))?;
    let (_, real_socket) = real.uri().split_once("socket=").ok_or("a URI with a socket")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let socket = start(&runtime, &tree, dir.path())?;
    let mut differences = Vec::new();
    let mut compared = 0;
    for scenario in scenarios() {
        let expected = answers(Path::new(real_socket), &scenario)?;
        let found = answers(&socket, &scenario)?;
        for (index, (expected, found)) in expected.iter().zip(&found).enumerate() {
            compared += 1;
            let (expected, found) = (shown(expected), shown(found));
            if expected != found {
                differences
                    .push(format!("{} #{index}\n  libvirt {expected}\n  nodedev {found}", scenario.name));
            }
        }
        assert_eq!(expected.len(), found.len(), "{}", scenario.name);
    }
    assert!(differences.is_empty(), "{} of {compared}:\n{}", differences.len(), differences.join("\n"));
    assert!(compared > 300, "{compared}");
    Ok(())
}
