//! Who gets which events, and what becomes of those who do not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nodedev_driver::{Change, Error, ErrorDomain, LibvirtEvent};
use nodedev_rpc::*;
use nodedev_server::{Access, End, Identity as Who};

use crate::common::{Client, Fake, Server, peer, text, wait_for};

const CREATED: Option<LifecycleKind> = Some(LifecycleKind::Created);
const DELETED: Option<LifecycleKind> = Some(LifecycleKind::Deleted);

fn event(client: &mut Client) -> (i32, String, Option<LifecycleKind>) {
    client.receive().expect("an event").event()
}

fn deregister(client: &mut Client, callback: i32) -> crate::common::Message {
    client.call(&Call::ConnectNodeDeviceEventDeregisterAny(Callback { callback }))
}

#[test]
fn each_registration_gets_its_events_in_order_with_its_number() {
    let fake = Fake::small();
    let server = Server::new(Arc::clone(&fake) as _);
    let (mut one, mut other) = (server.open(), server.open());
    assert_eq!(one.register(0, None), 0);
    assert_eq!(other.register(1, None), 0, "numbers are each client's own");
    assert_eq!(one.register(0, Some("net_a")), 1);
    assert_eq!(one.register(1, Some("net_b")), 2, "the device need not be there");
    fake.add("net_a");
    fake.change("net_a");
    fake.change("net_b");
    fake.remove("net_a");
    fake.tell("net_c", Change::Defined, LibvirtEvent::Defined);
    fake.tell("net_c", Change::Undefined, LibvirtEvent::Undefined);
    let expected = [
        (0, "net_a", CREATED),
        (1, "net_a", CREATED),
        (2, "net_b", None),
        (0, "net_a", DELETED),
        (1, "net_a", DELETED),
        (0, "net_c", Some(LifecycleKind::Defined)),
        (0, "net_c", Some(LifecycleKind::Undefined)),
    ];
    for (callback, name, kind) in expected {
        assert_eq!(event(&mut one), (callback, name.to_owned(), kind));
    }
    assert_eq!(event(&mut other), (0, "net_a".into(), None));
    assert_eq!(event(&mut other), (0, "net_b".into(), None));
}

#[test]
fn registrations_are_refused_and_ended_as_in_libvirt() {
    let fake = Fake::small();
    let server = Server::new(Arc::clone(&fake) as _);
    let (mut one, mut other) = (server.open(), server.open());
    let register = |client: &mut Client, event: i32| {
        let wanted = EventRegistration { event: event.into(), device: None };
        client.call(&Call::ConnectNodeDeviceEventRegisterAny(wanted)).error()
    };
    for id in [2, -1] {
        let text = format!("internal error: unsupported node device event ID {id}");
        assert_eq!(register(&mut one, id), (1, 7, text));
    }
    assert_eq!(one.register(0, None), 0);
    assert_eq!(register(&mut one, 0), (8, 0, "invalid argument: event callback already tracked".into()));
    let unknown = |id| (1, 7, format!("internal error: node device event callback {id} not registered"));
    assert_eq!(deregister(&mut other, 0).error(), unknown(0), "it is another client's");
    deregister(&mut one, 0).reply();
    assert_eq!(deregister(&mut one, 0).error(), unknown(0));
    assert_eq!(one.register(0, None), 1, "no number is used twice");
    fake.add("net_a");
    assert_eq!(event(&mut one), (1, "net_a".into(), CREATED));
}

#[test]
fn what_happened_before_a_registration_is_not_told() {
    let fake = Fake::small();
    let server = Server::new(Arc::clone(&fake) as _);
    for round in 0..50 {
        let mut client = server.open();
        // The thread that tells events may well not have seen these yet.
        fake.add("net_before");
        fake.remove("net_before");
        let callback = client.register(0, None);
        let name = format!("net_{round}");
        fake.add(&name);
        assert_eq!(event(&mut client), (callback, name, CREATED));
    }
}

#[test]
fn a_history_that_is_too_short_becomes_the_difference() {
    let fake = Fake::new((0..100).map(|number| format!("net_{number}")), 4);
    let server = Server::new(Arc::clone(&fake) as _);
    let mut client = server.open();
    let lifecycle = client.register(0, None);
    // Faster than anybody can follow a history of 4.
    for number in 0..2_000 {
        let name = format!("net_new_{number}");
        fake.add(&name);
        if number % 2 == 0 {
            fake.remove(&name);
        }
    }
    fake.add("net_last");
    let before: std::collections::BTreeSet<_> = (0..100).map(|number| format!("net_{number}")).collect();
    let mut picture = before.clone();
    loop {
        let (callback, name, kind) = event(&mut client);
        assert_eq!(callback, lifecycle);
        match kind {
            CREATED => assert!(picture.insert(name.clone()), "{name} came twice"),
            DELETED => assert!(picture.remove(&name), "{name} went twice"),
            other => panic!("{other:?}"),
        }
        if picture.contains("net_last") && picture.len() == 100 + 1_000 + 1 {
            break;
        }
    }
    assert_eq!(picture, server.open().names(0).into_iter().collect());
}

#[test]
fn a_client_that_does_not_read_is_disconnected_and_delays_nobody() {
    const ROUNDS: usize = 30_000;
    let fake = Fake::new(["computer".to_owned()], 4 * ROUNDS);
    let mut server = Server::new(Arc::clone(&fake) as _);
    server.settings.max_queued_events = 10_000;
    let (mut deaf, served) = server.join(peer(Some(0)));
    deaf.open(0);
    deaf.register(0, None);
    let mut reader = server.open();
    reader.register(0, None);
    let read = Arc::new(AtomicUsize::new(0));
    let progress = Arc::clone(&read);
    let reading = std::thread::spawn(move || {
        for number in 0..2 * ROUNDS {
            assert_eq!(event(&mut reader).1, format!("net_{}", number / 2));
            progress.store(number, Ordering::Relaxed);
        }
    });
    for number in 0..ROUNDS {
        let name = format!("net_{number}");
        fake.add(&name);
        fake.remove(&name);
        // Not so fast that the one who reads is too slow.
        wait_for("the other reads", || read.load(Ordering::Relaxed) + 5_000 > 2 * number);
    }
    assert_eq!(server.runtime.block_on(served).unwrap(), End::TooSlow);
    assert_eq!(server.service.clients_too_slow(), 1);
    reading.join().unwrap();
    // What was on its way arrives, then the end; the last message may have been cut.
    while std::io::Read::read(&mut deaf.stream, &mut [0; 65_536]).is_ok_and(|count| count > 0) {}
}

/// Lets each client see the devices of one name alone, and says that it was asked.
pub(crate) struct OnlyOwn(pub(crate) AtomicBool);

impl Access for OnlyOwn {
    fn allows(&self, who: &Who, permission: &Permission, device: Option<&str>) -> Result<bool, Error> {
        // Who asks somebody waits, which the tasks of clients must not.
        assert!(tokio::runtime::Handle::try_current().is_err(), "asked where nobody may wait");
        self.0.store(true, Ordering::Relaxed);
        Ok(match device {
            Some(name) => who.user_name.as_deref() == Some(name),
            None => permission.object == "connect",
        })
    }
}

#[test]
fn clients_see_what_they_may_see_in_lists_lookups_and_events() {
    let fake = Fake::small();
    let access = Arc::new(OnlyOwn(AtomicBool::new(false)));
    let server = Server::with_access(Arc::clone(&fake) as _, Arc::clone(&access) as _);
    let client = |name: &str| {
        let identity = Who { user_id: Some(1000), user_name: Some(name.into()), ..Who::default() };
        let (mut client, _) = server.join(nodedev_server::Peer { identity, read_only: false, login: None });
        client.open(0);
        client
    };
    let (mut eth0, mut eth1) = (client("net_eth0"), client("net_eth1"));
    assert!(access.0.load(Ordering::Relaxed), "opening needs a permission, too");
    for feature in [Feature::Keepalive, Feature::CloseCallback] {
        eth0.call(&Call::ConnectSupportsFeature(FeatureQuestion { feature })).reply();
    }
    eth0.call(&Call::ConnectGetType(Void)).reply();
    eth0.call(&Call::ConnectRegisterCloseCallback(Void)).reply();
    assert_eq!((eth0.names(0), eth1.names(0)), (vec!["net_eth0".to_owned()], vec![]));
    let lookup = Call::NodeDeviceLookupByName(crate::common::device("net_eth0"));
    eth0.call(&lookup).reply();
    let denied = (88, 55, "access denied: 'nodedev' denied access".to_owned());
    assert_eq!(eth1.call(&lookup).error(), denied);
    let missing = Call::NodeDeviceLookupByName(crate::common::device("nosuch"));
    assert_eq!(eth1.call(&missing).error().0, 53, "that there is none is no secret");
    let parent = Call::NodeDeviceGetParent(crate::common::device("net_eth0"));
    assert_eq!(
        eth0.call(&parent).reply(),
        Reply::NodeDeviceGetParent(OptionalText { text: Some(text("computer")) })
    );
    assert_eq!(eth1.call(&parent).error(), denied);
    for name in ["net_eth0", "nosuch"] {
        let destroy = Call::NodeDeviceDestroy(crate::common::device(name));
        assert_eq!(eth1.call(&destroy).error().0, if name == "nosuch" { 53 } else { 88 });
    }
    assert!(fake.done.lock().unwrap().is_empty());
    let (first, second) = (eth0.register(1, None), eth1.register(1, None));
    for _ in 0..20 {
        fake.change("net_eth0");
        fake.change("net_eth1");
    }
    for _ in 0..20 {
        assert_eq!(event(&mut eth0), (first, "net_eth0".into(), None));
        assert_eq!(event(&mut eth1), (second, "net_eth1".into(), None));
    }
}

#[test]
fn a_client_that_acts_for_another_has_the_others_rights() {
    let server = Server::with_access(Fake::small(), Arc::new(OnlyOwn(AtomicBool::new(false))));
    let mut proxy = server.open();
    assert!(proxy.names(0).is_empty());
    let parameter = TypedParameter { field: text("user-name"), value: TypedValue::String(text("net_eth0")) };
    let parameters = Array::new(vec![parameter]).unwrap();
    proxy.call(&Call::ConnectSetIdentity(Identity { parameters, flags: 0 })).reply();
    assert_eq!(proxy.names(0), ["net_eth0"]);
}

#[test]
fn a_driver_that_tells_no_more_is_noticed() {
    let fake = Fake::small();
    let server = Server::new(Arc::clone(&fake) as _);
    let lost = |seconds| {
        let wait = async { tokio::time::timeout(Duration::from_secs(seconds), server.service.lost()).await };
        server.runtime.block_on(wait).is_ok()
    };
    // It is followed, as this client hears.
    let mut client = server.open();
    assert_eq!(client.register(0, None), 0);
    fake.add("net_a");
    assert_eq!(event(&mut client), (0, "net_a".into(), CREATED));
    assert!(!lost(0));
    fake.log.end(Some(Error::internal(ErrorDomain::NODEDEV, "the socket is gone")));
    assert!(lost(10));
}
