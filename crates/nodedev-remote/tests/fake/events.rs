use nodedev_driver::{Change, Changes as _, LibvirtCalls as _, LibvirtChange, LibvirtEvent, Next};
use nodedev_rpc::{
    Call, CloseReason, ConnectionClosed, Event, EventRegistration, LifecycleEvent, LifecycleKind,
    NodeDeviceEventId, Procedure, Reply, Str, UpdateEvent,
};

use crate::server::{PATIENCE, Peer, Server};

fn lifecycle(peer: &mut Peer, device: &str, kind: LifecycleKind) {
    let device = Str::new(device).expect("short");
    peer.event(&Event::Lifecycle(LifecycleEvent { callback: 0, device, kind, detail: 0 }));
}

#[test]
fn events_of_the_daemon_are_the_changes_of_every_watch() {
    let server = Server::start(|mut peer| {
        peer.welcome();
        for event in [NodeDeviceEventId::Lifecycle, NodeDeviceEventId::Update] {
            let asked = peer.expect(Procedure::ConnectNodeDeviceEventRegisterAny);
            let want = EventRegistration { event, device: None };
            assert_eq!(asked.call(), Call::ConnectNodeDeviceEventRegisterAny(want));
            // What happens before the registration is answered is not lost.
            lifecycle(&mut peer, "early", LifecycleKind::Created);
            let callback = nodedev_rpc::Callback { callback: 0 };
            peer.reply(&asked, &Reply::ConnectNodeDeviceEventRegisterAny(callback));
        }
        // Not asked for a second time: the next call is this one.
        let asked = peer.expect(Procedure::NodeDeviceIsActive);
        for kind in 0..5 {
            lifecycle(&mut peer, "net_a", kind.into());
        }
        let device = Str::new("net_b").expect("short");
        peer.event(&Event::Update(UpdateEvent { callback: 1, device }));
        peer.event(&Event::ConnectionClosed(ConnectionClosed { reason: CloseReason::Error }));
        peer.event(&Event::Unknown { number: 107, payload: b"some" });
        lifecycle(&mut peer, "", LifecycleKind::Created);
        peer.reply(&asked, &Reply::NodeDeviceIsActive(nodedev_rpc::Number { number: 1 }));
        while peer.receive().is_some() {}
    });
    let driver = server.open().expect("open");
    let mut first = driver.watch(None).expect("watch");
    let start = first.revision();
    let mut second = driver.watch(None).expect("watch");
    assert_eq!(driver.is_active("x"), Ok(true));
    let mut third = driver.watch(Some(start)).expect("watch");
    for watch in [&mut first, &mut second, &mut third] {
        for (name, change, event) in [
            ("net_a", Change::Created, LibvirtEvent::Created),
            ("net_a", Change::Deleted, LibvirtEvent::Deleted),
            ("net_a", Change::Defined, LibvirtEvent::Defined),
            ("net_a", Change::Undefined, LibvirtEvent::Undefined),
            ("net_b", Change::Updated, LibvirtEvent::Updated),
        ] {
            let Next::Event(told) = watch.next(Some(PATIENCE)) else { panic!("an event of {name}") };
            assert_eq!((told.name.as_str(), &told.change), (name, &change));
            assert_eq!((told.libvirt, &told.entry), (LibvirtChange::One(event), &None));
        }
        assert_eq!(watch.next(Some(std::time::Duration::ZERO)), Next::TimedOut);
    }
    drop(driver);
    assert_eq!(first.next(Some(PATIENCE)), Next::Ended(None), "the driver was dropped");
    server.join();
}

#[test]
fn a_registration_that_failed_is_tried_again() {
    let server = Server::start(|mut peer| {
        peer.welcome();
        peer.register(1);
        let asked = peer.expect(Procedure::ConnectNodeDeviceEventRegisterAny);
        peer.refuse(&asked, &nodedev_rpc::Fault::unsupported_event(1).object());
        let asked = peer.expect(Procedure::ConnectNodeDeviceEventRegisterAny);
        let want = EventRegistration { event: NodeDeviceEventId::Update, device: None };
        assert_eq!(asked.call(), Call::ConnectNodeDeviceEventRegisterAny(want));
        let callback = nodedev_rpc::Callback { callback: 0 };
        peer.reply(&asked, &Reply::ConnectNodeDeviceEventRegisterAny(callback));
    });
    let driver = server.open().expect("open");
    let error = driver.watch(None).expect_err("refused");
    assert_eq!(error.message(), "internal error: unsupported node device event ID 1");
    driver.watch(None).expect("watch");
    server.join();
}
