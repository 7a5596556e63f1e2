//! Many calls at once, and answers in any order.

use std::io::Write as _;
use std::ops::ControlFlow;

use nodedev_driver::{LibvirtCalls as _, ListFlags, XmlFlags};
use nodedev_model::DeviceName;
use nodedev_remote::{WINDOW_BYTES, WINDOW_CALLS};
use nodedev_rpc::{AllDevices, Array, Call, DeviceFlags, OptionalText, Procedure, Reply, Str, Text};

use crate::server::{Peer, Received, Server};

fn names(count: usize) -> Vec<DeviceName> {
    (0..count).map(|number| format!("pci_{number:05}").parse().expect("a name")).collect()
}

fn answer_parent(peer: &mut Peer, call: &Received) {
    let Call::NodeDeviceGetParent(device) = call.call() else { panic!("{call:?}") };
    let parent = format!("above_{}", device.name);
    let text = Some(Str::new(&parent).expect("short"));
    peer.reply(call, &Reply::NodeDeviceGetParent(OptionalText { text }));
}

#[test]
fn answers_in_any_order_find_their_calls() {
    let server = Server::start(|mut peer| {
        peer.welcome();
        let mut waiting: Vec<Received> = Vec::new();
        while let Some(call) = peer.receive() {
            if call.call().procedure() == Procedure::ConnectClose {
                break;
            }
            waiting.push(call);
            // The first call is answered last of all that fit into the window.
            if waiting.len() == WINDOW_CALLS {
                waiting.drain(..).rev().for_each(|call| answer_parent(&mut peer, &call));
            }
        }
    });
    let driver = server.open().expect("open");
    let names = names(2 * WINDOW_CALLS);
    let parents = driver.parents(&names).expect("parents");
    assert_eq!(parents.len(), names.len());
    for (device, name) in parents.iter().zip(&names) {
        assert_eq!(&device.name, name);
        assert_eq!(device.parent.as_ref().map(DeviceName::as_str), Some(format!("above_{name}").as_str()));
    }
    drop(driver);
    server.join();
}

/// A daemon that, as libvirt's, reads no further call while its answers are not taken.
fn one_by_one(mut peer: Peer, names: Vec<DeviceName>, document: Vec<u8>) {
    peer.welcome();
    while let Some(received) = peer.receive() {
        match received.call() {
            Call::ConnectListAllNodeDevices(_) => {
                let all = names.iter().rev().map(|name| Str::new(name.as_str()).expect("short")).collect();
                let devices = Array::new(all).expect("few");
                peer.reply(&received, &Reply::ConnectListAllNodeDevices(AllDevices { devices, count: 0 }));
            }
            Call::NodeDeviceGetXmlDesc(DeviceFlags { name, .. }) => {
                let document = [name.as_bytes(), b" ", &document].concat();
                let text = Str::new(&document).expect("short");
                peer.reply(&received, &Reply::NodeDeviceGetXmlDesc(Text { text }));
            }
            Call::ConnectClose(_) => break,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn neither_side_waits_for_the_other_when_buffers_are_full() {
    // Names and documents of many times what sockets hold, both ways.
    let long = "x".repeat(4000);
    let names: Vec<DeviceName> =
        (0..1500).map(|number| format!("{number:05}_{long}").parse().expect("a name")).collect();
    assert!(names.len() * long.len() > 4 * WINDOW_BYTES);
    let document = vec![b'd'; 50_000];
    let theirs = names.clone();
    let server = Server::start(move |peer| one_by_one(peer, theirs, document));
    let driver = server.open().expect("open");
    let mut seen = Vec::new();
    let visited = driver.visit_xml(ListFlags::empty(), XmlFlags::empty(), &mut |name, document| {
        assert!(document.expect("a document").starts_with(name.as_str().as_bytes()));
        seen.push(name.clone());
        ControlFlow::Continue(())
    });
    visited.expect("visit_xml");
    assert_eq!(seen, names, "sorted, each once");
    drop(driver);
    server.join();
}

#[test]
fn a_visitor_may_stop_and_may_call_the_driver() {
    let theirs = names(3000);
    let server = Server::start(move |peer| one_by_one(peer, theirs, b"!".to_vec()));
    let driver = server.open().expect("open");
    let mut seen = 0;
    let visited = driver.visit_xml(ListFlags::empty(), XmlFlags::empty(), &mut |name, _| {
        let again = driver.xml(name.as_str(), XmlFlags::empty()).expect("xml");
        assert!(again.starts_with(name.as_str().as_bytes()));
        seen += 1;
        if seen == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    visited.expect("visit_xml");
    assert_eq!(seen, 10);
    // The answers that nobody waited for did no harm.
    assert_eq!(driver.list_names(ListFlags::empty()).expect("list").len(), 3000);
    drop(driver);
    server.join();
}

#[test]
fn callers_on_several_threads_get_their_own_answers() {
    let server = Server::start(|mut peer| {
        peer.welcome();
        while let Some(call) = peer.receive() {
            if call.call().procedure() == Procedure::ConnectClose {
                break;
            }
            answer_parent(&mut peer, &call);
        }
    });
    let driver = server.open().expect("open");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let driver = &driver;
            scope.spawn(move || {
                for number in 0..200 {
                    let name = format!("t{thread}_{number}");
                    let parent = driver.parent(&name).expect("parent").expect("a parent");
                    assert_eq!(parent.as_str(), format!("above_{name}"));
                }
            });
        }
    });
    drop(driver);
    server.join();
}

#[test]
fn a_message_in_single_bytes_is_read() {
    let server = Server::start(|mut peer| {
        peer.welcome();
        let call = peer.expect(Procedure::NodeDeviceGetParent);
        let mut out = Vec::new();
        let text = Some(Str::new("above").expect("short"));
        Reply::NodeDeviceGetParent(OptionalText { text })
            .encode(call.header.serial, &mut out)
            .expect("short");
        for byte in out {
            peer.socket.write_all(&[byte]).expect("written");
        }
        assert_eq!(peer.receive().expect("a call").call().procedure(), Procedure::ConnectClose);
    });
    let driver = server.open().expect("open");
    assert_eq!(driver.parent("x").expect("parent").expect("a parent").as_str(), "above");
    drop(driver);
    server.join();
}
