//! Program NODEDEV: snapshots, and watches that can begin at a revision of before.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use nodedev_driver::{
    Change, Changes, Devices, Driver, Entry, Error, Happened, LibvirtCalls, LibvirtChange, LibvirtEvent,
    Operations, Revision, TestDriver,
};
use nodedev_model::{DeviceState, Visibility};
use nodedev_rpc::*;
use nodedev_server::Identity as Who;

use crate::common::{Client, Fake, Message, Server, message, peer, text};
use crate::events::OnlyOwn;

fn send(client: &mut Client, call: &NativeCall<'_>) {
    let mut out = Vec::new();
    call.encode(77, &mut out).unwrap();
    client.write(&out);
}

fn call(client: &mut Client, call: &NativeCall<'_>) -> Message {
    send(client, call);
    let answer = client.receive().expect("an answer");
    assert_eq!((answer.header.kind, answer.header.serial), (MessageType::Reply, 77), "{answer:?}");
    assert_eq!(answer.header.program, program::NODEDEV);
    answer
}

fn reply(message: &Message) -> NativeReply<'_> {
    if message.header.status == Status::Error {
        panic!("{:?}", message.error());
    }
    let procedure = NativeProcedure::from_number(message.header.procedure).unwrap();
    NativeReply::decode(procedure, &message.payload).unwrap()
}

fn snapshot(client: &mut Client, native: bool) -> (Revision, Vec<String>) {
    let answer = call(client, &NativeCall::Snapshot(SnapshotQuestion { native }));
    match reply(&answer) {
        NativeReply::Snapshot(snapshot) => {
            let names = snapshot.entries.iter().map(|entry| entry.name.to_string());
            (snapshot.revision.to_string().parse().unwrap(), names.collect())
        }
        other => panic!("{other:?}"),
    }
}

fn try_watch(client: &mut Client, since: Option<&str>) -> Message {
    call(client, &NativeCall::Watch(WatchQuestion { since: since.map(text) }))
}

/// Number of the watch, and from where on it tells.
fn watch(client: &mut Client, since: Option<Revision>) -> (i32, Revision) {
    let since = since.map(|since| since.to_string());
    let answer = try_watch(client, since.as_deref());
    match reply(&answer) {
        NativeReply::Watch(begun) => (begun.callback, begun.revision.to_string().parse().unwrap()),
        other => panic!("{other:?}"),
    }
}

fn unwatch(client: &mut Client, callback: i32) -> Message {
    call(client, &NativeCall::Unwatch(Callback { callback }))
}

/// What the next message, which is a change, says: watch, number, device, change.
fn change(client: &mut Client) -> (i32, u64, String, String) {
    let message = client.receive().expect("a change");
    assert_eq!((message.header.program, message.header.kind), (program::NODEDEV, MessageType::Message));
    match NativeEvent::decode(message.header.procedure, &message.payload).unwrap() {
        NativeEvent::Change(change) => {
            let revision: Revision = change.revision.to_string().parse().unwrap();
            (change.callback, revision.number, change.name.to_string(), change.change.to_string())
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_change_is_told_with_all_that_is_known_of_it() {
    let fake = Fake::small();
    let server = Server::new(Arc::clone(&fake) as _);
    let mut client = server.open();
    let (callback, begun) = watch(&mut client, None);
    assert_eq!(begun, fake.log.revision());
    let entry = |name: &str| Entry {
        name: name.parse().unwrap(),
        parent: Some("computer".parse().unwrap()),
        kind: "bridge".into(),
        visibility: Visibility::Native,
        state: DeviceState { active: true, persistent: true, autostart: false },
    };
    let happened =
        |name: &str, change, libvirt, entry| Happened { name: name.parse().unwrap(), change, libvirt, entry };
    let bound = Change::DriverBound { kernel_driver: "vfio-pci".into() };
    let renamed = Change::Renamed { from: "net_a".parse().unwrap() };
    fake.log.publish([
        happened("net_b", renamed, LibvirtChange::Replaced, Some(entry("net_b"))),
        happened("net_b", bound, LibvirtChange::Unseen, None),
        happened("net_b", Change::Undefined, LibvirtChange::One(LibvirtEvent::Undefined), None),
    ]);
    let expected = |number: u64, former, kernel_driver, word, libvirt, entry| {
        let revision = Revision { number: begun.number + number, ..begun }.to_string();
        let expected = NativeChange {
            callback,
            revision: text(&revision),
            name: text("net_b"),
            change: text(word),
            former,
            kernel_driver,
            libvirt,
            entry,
        };
        let mut wire = Vec::new();
        NativeEvent::Change(expected).encode(&mut wire).unwrap();
        wire
    };
    let bridge = NativeEntry {
        name: text("net_b"),
        parent: Some(text("computer")),
        kind: text("bridge"),
        in_libvirt: false,
        active: true,
        persistent: true,
        autostart: false,
    };
    for wire in [
        expected(1, Some(text("net_a")), None, "renamed", 5, Some(bridge)),
        expected(2, None, Some(text("vfio-pci")), "driver-bound", -1, None),
        expected(3, None, None, "undefined", 3, None),
    ] {
        let told = client.receive().unwrap();
        assert_eq!(message(told.header, &told.payload), wire);
    }
}

#[test]
fn a_watch_since_a_snapshot_tells_every_later_change_once() {
    const CHANGES: usize = 3_000;
    // All of it is kept: nobody misses anything.
    let fake = Fake::new(["computer", "net_eth0"].map(str::to_owned), CHANGES);
    let server = Server::new(Arc::clone(&fake) as _);
    let writer = Arc::clone(&fake);
    let writing = std::thread::spawn(move || {
        for number in 0..CHANGES {
            writer.add(&format!("net_{number}"));
        }
    });
    let mut watching = Vec::new();
    for _ in 0..20 {
        let mut client = server.open();
        let (since, names) = snapshot(&mut client, true);
        // What is in the snapshot and what is told after it are all that there is.
        assert_eq!(u64::try_from(names.len()).unwrap(), 2 + since.number);
        let (callback, begun) = watch(&mut client, Some(since));
        assert_eq!(begun, since);
        watching.push((client, callback, since));
    }
    writing.join().unwrap();
    for (mut client, callback, since) in watching {
        for number in since.number + 1..=u64::try_from(CHANGES).unwrap() {
            let name = format!("net_{}", number - 1);
            assert_eq!(change(&mut client), (callback, number, name, "created".into()));
        }
    }
}

#[test]
fn each_watch_of_a_client_has_a_start_and_an_end_of_its_own() {
    let fake = Fake::small();
    let server = Server::new(Arc::clone(&fake) as _);
    let (mut one, mut other) = (server.open(), server.open());
    let start = fake.log.revision();
    fake.add("net_a");
    assert_eq!(one.register(1, Some("net_z")), 0);
    let (late, _) = watch(&mut one, None);
    let (early, _) = watch(&mut one, Some(start));
    assert_eq!((late, early), (1, 2), "numbers are those of the whole daemon");
    assert_eq!(change(&mut one), (early, 1, "net_a".into(), "created".into()));
    fake.remove("net_a");
    for callback in [late, early] {
        assert_eq!(change(&mut one), (callback, 2, "net_a".into(), "deleted".into()));
    }
    let unknown = |id| (1, 7, format!("internal error: node device event callback {id} not registered"));
    assert_eq!(unwatch(&mut other, late).error(), unknown(late), "it is another client's");
    assert_eq!(unwatch(&mut one, 0).error(), unknown(0), "it is no watch");
    let deregister = Call::ConnectNodeDeviceEventDeregisterAny(Callback { callback: early });
    assert_eq!(one.call(&deregister).error(), unknown(early), "nor is a watch a registration");
    assert_eq!(reply(&unwatch(&mut one, late)), NativeReply::Unwatch(Void));
    assert_eq!(unwatch(&mut one, late).error(), unknown(late));
    fake.change("net_b");
    assert_eq!(change(&mut one), (early, 3, "net_b".into(), "updated".into()));
    assert_eq!(snapshot(&mut one, true).0.number, 3);
}

#[test]
fn a_revision_from_which_nothing_can_be_told_is_refused() {
    let fake = Fake::new(["computer".to_owned()], 5);
    let server = Server::new(Arc::clone(&fake) as _);
    let mut client = server.open();
    let start = fake.log.revision();
    let gone = |since: &str| {
        let text =
            format!("Requested operation is not valid: the changes since revision {since} are not known");
        (55, 22, text)
    };
    let later = Revision { number: 9, ..start }.to_string();
    assert_eq!(try_watch(&mut client, Some(&later)).error(), gone(&later));
    let foreign = Revision { history: start.history ^ 1, ..start }.to_string();
    assert_eq!(try_watch(&mut client, Some(&foreign)).error(), gone(&foreign));
    (0..6).for_each(|_| fake.change("net_a"));
    let start = start.to_string();
    assert_eq!(try_watch(&mut client, Some(&start)).error(), gone(&start));
    let (code, domain, message) = try_watch(&mut client, Some("yesterday")).error();
    assert_eq!((code, domain), (8, 22));
    assert!(message.starts_with("invalid argument: 'yesterday': a revision is"), "{message}");
}

#[test]
fn more_changes_than_may_wait_for_a_client_are_not_resumed() {
    let fake = Fake::small();
    let mut server = Server::new(Arc::clone(&fake) as _);
    server.settings.max_queued_events = 40;
    let start = fake.log.revision();
    (0..21).for_each(|_| fake.change("net_a"));
    let mut client = server.open();
    assert_eq!(try_watch(&mut client, Some(&start.to_string())).error().0, 55);
    let (callback, _) = watch(&mut client, Some(Revision { number: 1, ..start }));
    for number in 2..=21 {
        assert_eq!(change(&mut client), (callback, number, "net_a".into(), "updated".into()));
    }
}

#[test]
fn a_watch_that_missed_changes_is_told_up_to_where() {
    let fake = Fake::new(["computer".to_owned()], 4);
    let server = Server::new(Arc::clone(&fake) as _);
    let mut client = server.open();
    let (callback, begun) = watch(&mut client, None);
    // Faster than anybody can follow a history of 4.
    for number in 0..20_000 {
        fake.add(&format!("net_{}", number % 100));
    }
    let (mut last, mut missed) = (begun.number, 0);
    while last < begun.number + 20_000 {
        let message = client.receive().expect("a message");
        match NativeEvent::decode(message.header.procedure, &message.payload).unwrap() {
            NativeEvent::Change(change) => {
                let revision: Revision = change.revision.to_string().parse().unwrap();
                assert_eq!(
                    (change.callback, revision.number),
                    (callback, last + 1),
                    "none is left out silently"
                );
                last = revision.number;
            }
            NativeEvent::Missed(told) => {
                let revision: Revision = told.revision.to_string().parse().unwrap();
                assert!(told.callback == callback && revision.number > last);
                (last, missed) = (revision.number, missed + 1);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(missed > 0, "the history is long enough");
}

#[test]
fn it_needs_a_connection_that_may_be_read_only_and_arguments() {
    let fake = Fake::small();
    let server = Server::new(Arc::clone(&fake) as _);
    let closed = (1, 7, "internal error: connection not open".to_owned());
    assert_eq!(try_watch(&mut server.connect(), None).error(), closed);
    let (mut client, _) = server.join(nodedev_server::Peer { read_only: true, ..peer(Some(1000)) });
    client.open(1);
    assert_eq!(snapshot(&mut client, false).1, ["computer", "net_eth0"]);
    let (callback, _) = watch(&mut client, None);
    fake.add("net_a");
    assert_eq!(change(&mut client).0, callback);
    let header = Header { program: program::NODEDEV, ..Header::call(2, 5) };
    let malformed = client.raw(header, &[0, 0, 0, 1]);
    assert_eq!(malformed.error(), (39, 7, "Unable to decode message payload".into()));
    let unknown = client.raw(Header { procedure: 4, ..header }, &[]);
    assert_eq!(unknown.error(), (39, 7, "unknown procedure: 4".into()));
}

/// Devices that never change.
struct Silent(TestDriver);

impl Driver for Silent {
    fn calls(&self) -> &(dyn LibvirtCalls + 'static) {
        &self.0
    }

    fn devices(&self) -> Result<&dyn Devices, Error> {
        Ok(&self.0)
    }

    fn changes(&self) -> Result<&dyn Changes, Error> {
        Err(Error::no_events())
    }

    fn operations(&self) -> Result<&dyn Operations, Error> {
        Err(Error::no_native_call())
    }
}

#[test]
fn a_driver_that_tells_of_no_changes_says_so() {
    let server = Server::new(Arc::new(Silent(TestDriver::new())));
    let mut client = server.open();
    let refusal =
        "this function is not supported by the connection driver: virConnectNodeDeviceEventRegisterAny";
    for question in [
        NativeCall::Watch(WatchQuestion { since: None }),
        NativeCall::Watch(WatchQuestion { since: Some(text("1-1")) }),
        NativeCall::Snapshot(SnapshotQuestion { native: true }),
    ] {
        assert_eq!(call(&mut client, &question).error(), (3, 22, refusal.to_owned()));
    }
}

#[test]
fn a_client_is_told_of_the_devices_that_it_may_know_of() {
    let fake = Fake::small();
    let server = Server::with_access(Arc::clone(&fake) as _, Arc::new(OnlyOwn(AtomicBool::new(false))));
    let identity = Who { user_id: Some(1000), user_name: Some("net_eth0".into()), ..Who::default() };
    let (mut client, _) = server.join(nodedev_server::Peer { identity, read_only: false, login: None });
    client.open(0);
    let (start, names) = snapshot(&mut client, true);
    assert_eq!(names, ["net_eth0"]);
    for _ in 0..2 {
        fake.change("net_eth1");
        fake.change("net_eth0");
    }
    let (callback, _) = watch(&mut client, Some(start));
    fake.change("net_eth1");
    fake.change("net_eth0");
    for number in [2, 4, 6] {
        assert_eq!(change(&mut client), (callback, number, "net_eth0".into(), "updated".into()));
    }
}
